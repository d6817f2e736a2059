/* SPDX-License-Identifier: PostgreSQL */
/*
 * rest.c - a store in which nothing is left to do, or that was damaged while
 * it lay there; see world.h.
 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/coding.h"
#include "engine/base/file_header.h"
#include "engine/lsm/manifest.h"

#define MAX_ROUNDS 2000

void
world_must_rest(World *w, uint32_t tolerate)
{
	uint64_t ticket = kv_request_compact(w->db);
	KvError err;
	KvWork work;
	bool busy;
	int i, quiet = 0;

	kv_pause_compaction(w->db, false);
	w->phase = "coming to rest";
	for (i = 0; i < MAX_ROUNDS && quiet < 2; i++)
	{
		KvStatus st;

		kv_error_clear(&err);
		busy = false;
		st = kv_worker_step(w->db, &work, &err);
		if (st == KV_OK)
			st = kv_compact_step(w->db, UINT64_MAX, &busy, &err);
		if (st != KV_OK && tolerate > 0)
			tolerate--;
		else if (st != KV_OK)
		{
			world_fail(w, SIM_OTHER, "at rest: %s: %s", kv_status_name(st),
					   err.message);
			return;
		}
		if (st == KV_OK && kv_request_done(w->db, ticket) && !busy &&
			!work.progressed && !work.more)
			quiet++;
		else
			quiet = 0;
	}
	if (quiet < 2)
		world_fail(w, SIM_OTHER, "the engine does not come to rest");
}

/* ---- the folder */

static bool
is_named(const KvManifestState *m, KvNameKind kind, uint64_t no)
{
	uint32_t i;

	switch (kind)
	{
	case KV_NAME_CURRENT:
		return true;
	case KV_NAME_MANIFEST:
		return no == m->manifest_no;
	case KV_NAME_WAL:
		return no >= m->min_wal;
	case KV_NAME_SST:
		for (i = 0; i < m->n_files; i++)
			if (m->files[i].file_no == no)
				return true;
		return false;
	default:
		return false;
	}
}

void
world_check_folder(World *w)
{
	KvIdentity identity = {.system_id = 42, .timeline = 1};
	uint32_t tables = 0, segments = 0;
	KvManifestState m;
	const char *name;
	KvError err;
	size_t i;

	w->phase = "looking at the folder";
	if (kv_manifest_load(w->env, &identity, NULL, NULL, &m, NULL, &err) != KV_OK)
	{
		world_fail(w, SIM_OTHER, "MANIFEST: %s", err.message);
		return;
	}
	for (i = 0; (name = sim_file_name(w->sim, i)) != NULL; i++)
	{
		uint64_t no;
		KvNameKind kind = kv_file_name_parse(name, &no);

		if (!is_named(&m, kind, no))
			world_fail(w, SIM_OTHER, "file \"%s\" is nobody's", name);
		tables += kind == KV_NAME_SST;
		segments += kind == KV_NAME_WAL;
	}
	if (tables != m.n_files)
		world_fail(w, SIM_OTHER, "%u tables of %u are there", tables,
				   m.n_files);
	if (segments < 1 || segments > 2)
		world_fail(w, SIM_OTHER, "%u WAL segments are there", segments);
	kv_manifest_state_free(w->env, &m);
}

/* ---- base backups */

void
world_backup(World *w, bool runs)
{
	KvIdentity identity = {.system_id = 42, .timeline = 1};
	KvManifestState m;
	const char *name;
	KvError err;
	uint32_t i;

	for (i = 0; i < w->n_kept && !runs; i++)
		if (sim_file_size(w->sim, w->kept[i]) < 0)
			world_fail(w, SIM_OTHER, "\"%s\" was removed during a backup",
					   w->kept[i]);
	w->n_kept = 0;
	w->sim->backup = runs;
	if (!runs || kv_manifest_load(w->env, &identity, NULL, NULL, &m, NULL,
								  &err) != KV_OK)
		return;
	for (i = 0; (name = sim_file_name(w->sim, i)) != NULL; i++)
	{
		uint64_t no;
		KvNameKind kind = kv_file_name_parse(name, &no);

		if (is_named(&m, kind, no) && w->n_kept < 32)
			strcpy(w->kept[w->n_kept++], name);
	}
	kv_manifest_state_free(w->env, &m);
}

/* ---- a clean end */

void
world_shutdown(World *w)
{
	KvError err;
	KvStatus st;

	w->phase = "shutting down";
	snapshot_close(w);
	if (w->xact.xid != 0 && world_end(w, world_rand(w, 2) == 0, &err) != KV_OK)
		world_fail(w, SIM_OTHER, "a transaction could not end: %s",
				   err.message);
	w->log_durable = w->log_len;
	st = kv_shutdown(w->db, &err);
	if (st != KV_OK)
		world_fail(w, SIM_OTHER, "shutdown: %s: %s", kv_status_name(st),
				   err.message);
	w->acked = w->newest;
	world_detach(w);
}

/* ---- rot */

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
	uint64_t count = 0, no;
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
	(void) sim_rot(w->sim, d.name, world_rand(w, (uint64_t) size),
				   (uint8_t) (1 + world_rand(w, 255)));
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
