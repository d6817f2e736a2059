/* SPDX-License-Identifier: PostgreSQL */
/*
 * rot.c - damage to what lies on the disk, synced: it is reported, or the
 * answers are right; see world.h.
 *
 * Either one byte of one file in a store that the simulator has made (the
 * last step of a plan), or every byte of every file of a few small stores,
 * one after the other.
 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "engine/base/coding.h"
#include "engine/base/file_header.h"
#include "tally.h"

typedef struct Damage
{
	World *w;
	char name[64];
	bool reported;
} Damage;

static bool
look_for(void *arg, const char *file, const char *problem)
{
	Damage *d = arg;

	if (problem != NULL && strcmp(file, d->name) != 0)
		world_fail(d->w, SIM_OTHER, "verify blames %s for a damage of %s",
				   file, d->name);
	d->reported |= problem != NULL;
	return true;
}

/* Is it a WAL segment that no other one names as its predecessor? */
static bool
is_newest_segment(World *w, const char *name)
{
	uint64_t no, other;
	const char *n;
	size_t i;

	if (kv_file_name_parse(name, &no) != KV_NAME_WAL)
		return false;
	for (i = 0; (n = sim_file_name(w->sim, i)) != NULL; i++)
	{
		bool named;
		size_t size;
		char *data;

		if (kv_file_name_parse(n, &other) != KV_NAME_WAL)
			continue;
		data = sim_get_file(w->sim, n, &size);
		named = data != NULL && size >= KV_FILE_HEADER_BYTES + 8 &&
				kv_load_u64(data + KV_FILE_HEADER_BYTES) == no;
		free(data);
		if (named)
			return false;
	}
	return true;
}

/* Several WAL segments that are all needed: runs rotate, nobody flushes. */
static void
leave_segments(World *w)
{
	KvError err;
	int i;

	for (i = 0; i < 4; i++)
	{
		KvStatus st = world_commit(w, 3, i % 2 == 1, false, &err);

		if (st == KV_OK)
			st = world_sync(w, &err);
		if (st != KV_OK && st != KV_STALLED && !world_excuses(w, st))
			world_fail(w, SIM_OTHER, "%s: %s", kv_status_name(st), err.message);
	}
}

/*
 * The store lies on disk, complete.  One byte of one file changes.  Whether
 * the last group of the last segment was synced is nowhere told: losing it
 * looks like a crash before the sync, and is the one loss that is allowed.
 */
void
world_rot(World *w)
{
	uint64_t count = 0, no, off;
	KvNameKind kind;
	Damage d = {w, "", false};
	KvError err;
	int64_t size;
	KvStatus st;

	w->phase = "reading what rots";
	if (world_rand(w, 2) == 0)
		leave_segments(w);
	w->rotten = true;
	world_crash(w, SIM_SYNCED_ONLY);
	while (sim_file_name(w->sim, count) != NULL)
		count++;
	do
		snprintf(d.name, sizeof(d.name), "%s",
				 sim_file_name(w->sim, world_rand(w, count)));
	while (kv_file_name_parse(d.name, &no) != KV_NAME_WAL &&
		   world_rand(w, 3) != 0);
	kind = kv_file_name_parse(d.name, &no);
	size = sim_file_size(w->sim, d.name);
	if (size <= 0)
		return;
	/* preallocated zeros hold nothing */
	if (size > 4096 && kind == KV_NAME_WAL && world_rand(w, 4) != 0)
		size = 1024;
	if (is_newest_segment(w, d.name))
		w->acked = w->acked_before;
	off = world_rand(w, (uint64_t) size);
	/* the end of a MANIFEST, where damage looks like a torn write */
	if (kind == KV_NAME_MANIFEST && size > 64 && world_rand(w, 2) == 0)
		off = (uint64_t) size - 1 - world_rand(w, 64);
	(void) sim_rot(w->sim, d.name, off, (uint8_t) (1 + world_rand(w, 255)));
	st = world_open(w, &err);
	if (st == KV_OK)
		world_check_recovered(w);
	else if (!world_excuses(w, st))
		world_fail(w, SIM_OTHER, "opening: %s: %s", kv_status_name(st),
				   err.message);
	if (st == KV_OK && !w->failed && kind == KV_NAME_SST &&
		sim_file_size(w->sim, d.name) >= 0)
	{
		if (kv_verify(w->db, look_for, &d, &err) == KV_OK && !d.reported)
			world_fail(w, SIM_OTHER, "verify has not found the damage of %s",
					   d.name);
	}
	if (w->failed)
		snprintf(w->why + strlen(w->why), sizeof(w->why) - strlen(w->why),
				 " [damaged: %s of %lld bytes]", d.name, (long long) size);
	world_detach(w);
}

/* ---- every byte of every file */

typedef enum Outcome
{
	REFUSED,  /* by recovery */
	REPORTED, /* by a get, a scan or kv_verify */
	OLDER,	  /* as after a crash before the last sync */
	HARMLESS,
	OUTCOMES
} Outcome;

#define KINDS (KV_NAME_LOCK + 1)

typedef struct RotAll
{
	World base; /* a complete store, crashed */
	World w;	/* the one whose disk is damaged */
	uint64_t counts[KINDS][OUTCOMES];
} RotAll;

/* A store with several levels, runs, and a log that is still needed. */
static void
build(World *w, bool host_log, bool lz4)
{
	KvError err;
	KvWork work;
	bool busy;
	int i;
	KvStatus st;

	world_init(w, 1, host_log);
	w->config.lz4 = lz4;
	w->config.file_bytes = 1024;
	w->config.block_bytes = 256;
	w->config.wal_prealloc = 0;
	w->config.manifest_bytes = 4096;
	w->config.l0_compact = 3;
	w->phase = "building";
	st = world_open(w, &err);
	for (i = 0; st == KV_OK && i < 24; i++)
	{
		st = world_commit(w, i % 6 == 5 ? 12 : 4, i % 6 == 5, false, &err);
		if (st == KV_OK)
			st = world_sync(w, &err);
		if (st == KV_OK && i % 3 == 1)
		{
			(void) kv_request_flush(w->db);
			st = kv_worker_step(w->db, &work, &err);
		}
		if (st == KV_OK && i < 16)
			st = kv_compact_step(w->db, UINT64_MAX, &busy, &err);
	}
	if (st != KV_OK)
		world_fail(w, SIM_OTHER, "%s: %s", kv_status_name(st), err.message);
	leave_segments(w);
	world_crash(w, SIM_SYNCED_ONLY);
}

/*
 * A store that was opened again and only written to since: what its newest
 * segment holds hangs on the last edit of the MANIFEST.
 */
static void
build_reopened(World *w)
{
	KvError err;
	KvStatus st = KV_OK;
	int i;

	world_init(w, 1, false);
	w->config.wal_prealloc = 0;
	w->phase = "building";
	for (i = 0; i < 2 && st == KV_OK; i++)
	{
		st = world_open(w, &err);
		if (st == KV_OK)
			st = world_commit(w, 4, false, false, &err);
		if (st == KV_OK)
			st = world_sync(w, &err);
		/* what is not the last group is nobody's to lose */
		if (st == KV_OK)
			st = world_commit(w, 4, false, false, &err);
		if (st == KV_OK)
			st = world_sync(w, &err);
		if (st == KV_OK)
			world_crash(w, SIM_SYNCED_ONLY);
	}
	if (st != KV_OK)
		world_fail(w, SIM_OTHER, "%s: %s", kv_status_name(st), err.message);
}

/* The base's disk, to be damaged, with a process in front of it. */
static void
copy_world(World *w, const World *base)
{
	void *shared = w->shared;

	*w = *base;
	w->shared = shared;
	w->sim = sim_clone(base->sim, 1);
	w->env = &w->sim->env;
	if (w->host_log)
		w->env->ops = &w->ops;
	w->sim->arg = w;
	w->sim->clock_us = base->sim->clock_us;
	w->sim->flush_host_log = base->sim->flush_host_log;
	w->sim->xact_state = base->sim->xact_state;
	world_set_horizon(w);
	w->rotten = true;
	w->phase = "reading what rots";
}

static Outcome
flip(RotAll *r, const char *name, uint64_t off, uint8_t mask, bool newest)
{
	World *w = &r->w;
	Outcome outcome = HARMLESS;
	uint32_t acked = r->base.acked;
	Damage d = {w, "", false};
	KvError err;
	KvStatus st;
	uint64_t no;

	copy_world(w, &r->base);
	(void) snprintf(d.name, sizeof(d.name), "%s", name);
	if (newest)
		w->acked = w->acked_before;
	(void) sim_rot(w->sim, name, off, mask);
	st = world_open(w, &err);
	if (st != KV_OK)
	{
		outcome = REFUSED;
		if (!world_excuses(w, st))
			world_fail(w, SIM_OTHER, "opening: %s: %s", kv_status_name(st),
					   err.message);
	}
	else
	{
		world_check_recovered(w);
		if (!w->failed && kv_file_name_parse(name, &no) == KV_NAME_SST &&
			sim_file_size(w->sim, name) >= 0 &&
			kv_verify(w->db, look_for, &d, &err) == KV_OK && !d.reported)
			world_fail(w, SIM_OTHER, "verify has not found it");
		if (w->excused > 0 || d.reported)
			outcome = REPORTED;
		else if (!w->host_log && w->acked < acked)
			outcome = OLDER;
	}
	world_detach(w);
	if (w->failed)
	{
		printf("# %s, %s, byte %llu, mask %02x: %s\n",
			   w->host_log ? "host log" : "own log", name,
			   (unsigned long long) off, mask, w->why);
		tally.verdicts[w->verdict]++;
	}
	tally.rotten++;
	sim_free(w->sim);
	return outcome;
}

/* Every each-th byte; the number of flips that were answered wrongly. */
static uint32_t
flip_all(RotAll *r, uint64_t each)
{
	static const uint8_t masks[] = {0x01, 0x80, 0xff};
	uint64_t count = 0, seen = 0, no;
	uint32_t failed = 0;
	const char *name;
	size_t i, m;

	for (i = 0; (name = sim_file_name(r->base.sim, i)) != NULL; i++)
	{
		uint64_t size = (uint64_t) sim_file_size(r->base.sim, name), off;
		KvNameKind kind = kv_file_name_parse(name, &no);
		bool newest = is_newest_segment(&r->base, name);

		for (off = 0; off < size && failed < 5; off++)
			for (m = 0; m < sizeof(masks); m++)
			{
				/* a sample at random, not always the same fields */
				seen++;
				if (XXH3_64bits(&seen, sizeof(seen)) % each != 0)
					continue;
				r->counts[kind][flip(r, name, off, masks[m], newest)]++;
				failed += r->w.failed;
				count++;
			}
	}
	printf("# %s, %s: %zu files, %llu flips\n",
		   r->base.host_log ? "host log" : "own log",
		   r->base.config.lz4 ? "compressed" : "not compressed", i,
		   (unsigned long long) count);
	return failed;
}

int
sim_rot_all(uint64_t each)
{
	static const char *const names[KINDS] = {[KV_NAME_CURRENT] = "CURRENT",
											 [KV_NAME_MANIFEST] = "MANIFEST",
											 [KV_NAME_WAL] = "WAL",
											 [KV_NAME_SST] = "SSTable"};
	RotAll *r = calloc(1, sizeof(*r));
	uint64_t passed = 0;
	uint32_t failed = 0;
	int variant, k, o;

	if (r == NULL)
		abort();
	for (variant = 0; variant < 5; variant++)
	{
		if (variant == 4)
			build_reopened(&r->base);
		else
			build(&r->base, variant % 2 == 1, variant >= 2);
		if (r->base.failed)
		{
			printf("# %s\n", r->base.why);
			failed++;
		}
		else
			failed += flip_all(r, each);
		free(r->w.shared);
		r->w.shared = NULL;
		world_free(&r->base);
	}
	printf("# %-10s %9s %9s %9s %9s\n", "flipped in", "refused", "reported",
		   "older", "harmless");
	for (k = 0; k < KINDS; k++)
	{
		if (names[k] == NULL)
			continue;
		printf("# %-10s", names[k]);
		for (o = 0; o < OUTCOMES; o++)
		{
			printf(" %9llu", (unsigned long long) r->counts[k][o]);
			passed += r->counts[k][o];
		}
		printf("\n");
	}
	free(r);
	printf("%llu passed, %u failed\n", (unsigned long long) passed - failed,
		   failed);
	return failed > 0 || passed == 0;
}
