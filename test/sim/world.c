/* SPDX-License-Identifier: PostgreSQL */
/*
 * world.c - the host: its log, its transactions, its life; see world.h.
 */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint64_t
world_rand(World *w, uint64_t n)
{
	return n ? sim_draw(w->sim) % n : 0;
}

void
world_fail(World *w, SimVerdict verdict, const char *fmt, ...)
{
	va_list ap;

	if (w->failed)
		return;
	w->failed = true;
	w->verdict = verdict;
	va_start(ap, fmt);
	vsnprintf(w->why, sizeof(w->why), fmt, ap);
	snprintf(w->why + strlen(w->why), sizeof(w->why) - strlen(w->why),
			 " (while %s, commit %u, %u acknowledged", w->phase,
			 w->model.commits, w->acked);
	if (w->step != NULL)
		snprintf(w->why + strlen(w->why), sizeof(w->why) - strlen(w->why),
				 ", step %zu: %s", w->at_step, w->step);
	snprintf(w->why + strlen(w->why), sizeof(w->why) - strlen(w->why), ")");
	va_end(ap);
}

bool
world_excuses(World *w, KvStatus st)
{
	if (sim_dead(w->sim))
		return true;
	if (w->rotten &&
		(st == KV_CORRUPT || st == KV_FOREIGN || st == KV_UNSUPPORTED))
	{
		w->excused++;
		return true;
	}
	if (w->full && st == KV_DISK_FULL)
		return true;
	return w->sim->faults_fired > 0 &&
		   (st == KV_IO_ERROR || st == KV_DISK_FULL || st == KV_NO_MEMORY ||
			st == KV_EXISTS || st == KV_NOT_READY);
}

/* ---- the host's log */

static void
host_truncate(World *w, uint64_t len)
{
	while (w->log_len > len)
		free(w->log[--w->log_len].bytes);
}

static KvStatus
flush_host(void *arg, uint64_t lsn)
{
	World *w = arg;

	if (w->faults && world_rand(w, 100) == 0)
	{
		w->sim->faults_fired++;
		return KV_IO_ERROR;
	}
	if (lsn > w->log_len)
		lsn = w->log_len;
	if (lsn > w->log_durable)
		w->log_durable = lsn;
	return KV_OK;
}

static uint64_t
host_end(KvEnv *env)
{
	return ((World *) ((SimEnv *) env)->arg)->log_len;
}

static KvXactState
xact_state(void *arg, uint64_t xid)
{
	World *w = arg;

	return (KvXactState) w->outcome[xid];
}

void
world_set_horizon(World *w)
{
	KvHorizon *h = &w->sim->horizon;
	uint64_t oldest = w->xact.xid != 0 ? w->xact.xid : w->next_xid;
	const View *v = &w->snap.view;

	h->csn = UINT64_MAX;
	h->xid = w->host_log ? oldest : UINT64_MAX;
	h->now_us = 0;
	if (!w->snap.open)
		return;
	h->now_us = v->now_us;
	if (!w->host_log)
		h->csn = v->csn;
	else if (v->xmax < h->xid)
		h->xid = v->xmax;
	if (w->host_log && v->running != 0 && v->running < h->xid)
		h->xid = v->running;
}

void
world_limit_disk(World *w, uint64_t bytes)
{
	const char *name;
	uint64_t used = 0;
	size_t i;

	for (i = 0; (name = sim_file_name(w->sim, i)) != NULL; i++)
		used += (uint64_t) sim_file_size(w->sim, name);
	w->sim->disk_limit = used + bytes;
	w->full = true;
}

/* ---- opening and crashing */

void
world_init(World *w, uint64_t seed, bool host_log)
{
	memset(w, 0, sizeof(*w));
	w->seed = seed;
	w->phase = "starting";
	w->host_log = host_log;
	w->sim = sim_new(seed);
	w->env = &w->sim->env;
	w->sim->arg = w;
	w->sim->clock_us = 1000000;
	w->next_xid = 1;
	model_init(&w->model);
	if (host_log)
	{
		w->ops = *w->env->ops;
		w->ops.host_log_end = host_end;
		w->env->ops = &w->ops;
		w->sim->flush_host_log = flush_host;
		w->sim->xact_state = xact_state;
	}
	world_set_horizon(w);
	kv_config_default(&w->config);
	w->config.memtable_bytes = 64 << 10;
	w->config.memtables = 2 + (uint32_t) world_rand(w, 2);
	w->config.ring_bytes = 32 << 10;
	w->config.cache_bytes = 32 << 10;
	w->config.file_bytes = 1024 << world_rand(w, 4);
	w->config.job_bytes = 4096 << world_rand(w, 6);
	w->config.space_percent = 10 + (uint32_t) world_rand(w, 100);
	w->config.manifest_bytes = 512 << world_rand(w, 6);
	w->config.block_bytes = 128 << (uint32_t) world_rand(w, 3);
	w->config.max_files = 512;
	w->config.max_readers = 2;
	w->config.l0_compact = 2;
	w->config.lz4 = world_rand(w, 2) == 0;
	w->config.wal_prealloc = world_rand(w, 2) ? 8192 : 0;
	w->config.host_log = host_log;
}

void
world_free(World *w)
{
	host_truncate(w, 0);
	free(w->log);
	free(w->shared);
	if (w->copy != NULL)
		sim_free(w->copy);
	model_free(&w->model);
	sim_free(w->sim);
}

static KvStatus
replay_host(World *w, uint64_t from, KvError *err)
{
	uint64_t i;
	KvStatus st = KV_OK;

	for (i = from; st == KV_OK && i < w->log_len; i++)
	{
		const HostRecord *r = &w->log[i];
		KvSlice bytes = kv_slice(r->bytes, r->len);

		if (r->type == REC_BATCH)
			st = kv_replay_batch(w->db, i + 1, r->xid, r->csn, bytes, err);
		else if (r->type == REC_FILE)
			st = kv_replay_file(w->db, r->file_no, r->offset, bytes, err);
		else if (r->type == REC_INGEST)
			st = kv_replay_ingest(w->db, i + 1, r->xid, r->csn, bytes, err);
	}
	return st;
}

static KvHost
host_of(const World *w)
{
	KvHost host = {{.system_id = 42, .timeline = 1}, 0, NULL, NULL};

	if (w->host_log)
		host.end_lsn = w->log_len;
	return host;
}

KvStatus
world_open(World *w, KvError *err)
{
	KvHost host = host_of(w);
	size_t bytes = kv_shared_bytes(&w->config);
	KvRecovery rec;
	KvStatus st;

	kv_error_clear(err);
	if (w->shared == NULL)
		w->shared = aligned_alloc(64, bytes);
	kv_shared_init(w->shared, &w->config);
	w->db = NULL;
	st = kv_attach(w->env, w->shared, 0, &w->db, err);
	if (st == KV_OK)
		st = kv_recover(w->db, &host, &rec, err);
	if (st == KV_OK && w->host_log)
		st = replay_host(w, rec.lsn, err);
	if (st == KV_OK)
		st = kv_open_for_use(w->db, w->host_log ? w->log_len : 0, err);
	return st;
}

void
world_detach(World *w)
{
	w->snap.open = false;
	w->snap.scan = NULL;
	world_set_horizon(w);
	/* also in front of a store that did not open */
	if (w->db != NULL)
		kv_detach(w->db);
	w->db = NULL;
	if (w->sim->live_allocs != 0)
		world_fail(w, SIM_OTHER, "%lld allocations were left behind",
				   (long long) w->sim->live_allocs);
	if (w->sim->open_files != 0)
		world_fail(w, SIM_OTHER, "%lld files were left open",
				   (long long) w->sim->open_files);
}

KvStatus
world_take_over(World *w, KvError *err)
{
	KvHost host = host_of(w);
	KvStatus st;

	snapshot_close(w);
	world_detach(w);
	st = kv_attach(w->env, w->shared, 0, &w->db, err);
	if (st == KV_OK)
		st = kv_take_over(w->db, &host, err);
	w->no_worker = st != KV_OK;
	return st;
}

void
world_crash(World *w, SimLevel level)
{
	uint64_t i;

	sim_crash(w->sim, level);
	w->db = NULL;
	memset(&w->snap, 0, sizeof(w->snap));
	memset(&w->xact, 0, sizeof(w->xact));
	w->sim->disk_limit = UINT64_MAX;
	w->sim->backup = false;
	w->n_kept = 0;
	w->faults = w->full = w->sync_fails = w->no_worker = false;
	w->sim->faults_fired = 0;
	if (w->host_log)
	{
		/* what was not flushed may be there or not, but not with a hole */
		host_truncate(w, w->log_durable +
							 world_rand(w, w->log_len - w->log_durable + 1));
		w->log_durable = w->log_len;
		memset(w->outcome, KV_XACT_ABORTED, sizeof(w->outcome));
		w->next_xid = 1;
		for (i = 0; i < w->log_len; i++)
		{
			if (w->log[i].xid >= w->next_xid)
				w->next_xid = w->log[i].xid + 1;
			if (w->log[i].type == REC_COMMIT)
				w->outcome[w->log[i].xid] = KV_XACT_COMMITTED;
		}
	}
	world_set_horizon(w);
}
