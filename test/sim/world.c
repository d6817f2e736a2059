/* SPDX-License-Identifier: PostgreSQL */
/*
 * world.c - opening, crashing and committing; see world.h.
 */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum
{
	REC_BATCH = 1,
	REC_FILE,
	REC_INGEST,
	REC_COMMIT,
	REC_ABORT
};

uint64_t
world_rand(World *w, uint64_t n)
{
	return n ? sim_draw(w->sim) % n : 0;
}

void
world_fail(World *w, const char *fmt, ...)
{
	va_list ap;

	if (w->failed)
		return;
	w->failed = true;
	va_start(ap, fmt);
	vsnprintf(w->why, sizeof(w->why), fmt, ap);
	snprintf(w->why + strlen(w->why), sizeof(w->why) - strlen(w->why),
			 " (while %s, commit %u, %u acknowledged)", w->phase,
			 w->model.commits, w->acked);
	va_end(ap);
}

/* ---- the host's log */
static uint64_t
host_append(World *w, uint8_t type, uint64_t xid, uint64_t csn,
			const void *bytes, size_t len)
{
	HostRecord *r;

	if (w->log_len == w->log_cap)
	{
		w->log_cap = w->log_cap ? w->log_cap * 2 : 256;
		w->log = realloc(w->log, w->log_cap * sizeof(*w->log));
	}
	r = &w->log[w->log_len++];
	memset(r, 0, sizeof(*r));
	r->type = type;
	r->xid = xid;
	r->csn = csn;
	r->len = len;
	r->bytes = malloc(len ? len : 1);
	if (len > 0)
		memcpy(r->bytes, bytes, len);
	return w->log_len;
}

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

/* ---- opening and crashing */
static KvEnvOps host_ops;

void
world_init(World *w, uint64_t seed, bool host_log)
{
	memset(w, 0, sizeof(*w));
	w->seed = seed;
	w->host_log = host_log;
	w->sim = sim_new(seed);
	w->env = &w->sim->env;
	w->sim->arg = w;
	w->sim->clock_us = 1000000;
	w->sim->horizon.xid = UINT64_MAX;
	w->sim->horizon.csn = UINT64_MAX;
	w->next_xid = 1;
	model_init(&w->model);
	if (host_log)
	{
		host_ops = *w->env->ops;
		host_ops.host_log_end = host_end;
		w->env->ops = &host_ops;
		w->sim->flush_host_log = flush_host;
		w->sim->xact_state = xact_state;
	}
	kv_config_default(&w->config);
	w->config.memtable_bytes = 64 << 10;
	w->config.memtables = 2 + (uint32_t) world_rand(w, 2);
	w->config.ring_bytes = 32 << 10;
	w->config.cache_bytes = 32 << 10;
	w->config.file_bytes = 1024 << world_rand(w, 4);
	w->config.level_bytes = 8 << 10;
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

KvStatus
world_open(World *w, KvError *err)
{
	KvHost host = {{.system_id = 42, .timeline = 1}, 0, NULL, NULL};
	size_t bytes = kv_shared_bytes(&w->config);
	KvRecovery rec;
	KvStatus st;

	kv_error_clear(err);
	if (w->shared == NULL)
		w->shared = aligned_alloc(64, bytes);
	kv_shared_init(w->shared, &w->config);
	if (w->host_log)
		host.end_lsn = w->log_len;
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
world_crash(World *w, SimLevel level)
{
	uint64_t i;

	sim_crash(w->sim, level);
	w->db = NULL;
	if (!w->host_log)
		return;
	/* what was not flushed may be there or not, but not with a hole */
	host_truncate(w, w->log_durable +
						 world_rand(w, w->log_len - w->log_durable + 1));
	w->log_durable = w->log_len;
	memset(w->outcome, KV_XACT_ABORTED, sizeof(w->outcome));
	for (i = 0; i < w->log_len; i++)
		if (w->log[i].type == REC_COMMIT)
			w->outcome[w->log[i].xid] = KV_XACT_COMMITTED;
}

/* ---- committing */
typedef struct Logger
{
	World *w;
	KvSlice payload;
	uint64_t xid;
	uint8_t type;
} Logger;

static uint64_t
log_batch(void *arg, uint64_t csn)
{
	Logger *l = arg;

	return host_append(l->w, l->type, l->xid, csn, l->payload.data,
					   l->payload.len);
}

/* n different keys in order; the first is the commit counter. */
static uint32_t
choose_keys(World *w, uint32_t n, uint16_t *keys, bool *deleted)
{
	bool chosen[MODEL_KEYS] = {false};
	uint32_t i, count = 0;

	chosen[0] = true;
	for (i = 0; i < n; i++)
		chosen[1 + world_rand(w, MODEL_KEYS - 1)] = true;
	for (i = 0; i < MODEL_KEYS; i++)
		if (chosen[i])
		{
			keys[count] = (uint16_t) i;
			deleted[count++] = i != 0 && world_rand(w, 4) == 0;
		}
	return count;
}

typedef struct Item
{
	char key[64], value[MODEL_VALUE_MAX];
	uint32_t key_len, value_len;
	bool deleted;
} Item;

static void
fill_entry(const Item *item, KvEntry *e)
{
	memset(e, 0, sizeof(*e));
	e->key = kv_slice(item->key, item->key_len);
	e->kind = item->deleted ? KV_KIND_DELETE : KV_KIND_PUT;
	e->value = kv_slice(item->value, item->deleted ? 0 : item->value_len);
}

static int
by_key(const void *a, const void *b)
{
	const Item *x = a, *y = b;

	return kv_slice_compare(kv_slice(x->key, x->key_len),
							kv_slice(y->key, y->key_len));
}

static KvStatus
write_batch(World *w, const Item *items, uint32_t n, uint64_t xid,
			KvError *err)
{
	KvBatch batch = {0};
	Logger l = {w, {NULL, 0}, xid, REC_BATCH};
	KvWrite write = {&batch, xid, w->host_log ? log_batch : NULL, &l};
	KvStatus st = KV_OK;
	uint64_t csn;
	uint32_t i;
	int tries;

	for (i = 0; st == KV_OK && i < n; i++)
	{
		KvEntry e;

		fill_entry(&items[i], &e);
		st = kv_batch_add(w->env, &batch, &e, err);
	}
	l.payload = kv_slice(batch.data, batch.len);
	for (tries = 0; st == KV_OK; tries++)
	{
		KvWork work;
		bool busy;

		st = kv_write(w->db, &write, &csn, err);
		if (st != KV_STALLED)
			break;
		if (tries == 200)
		{
			world_fail(w, "a stall does not end");
			break;
		}
		st = kv_worker_step(w->db, &work, err);
		if (st == KV_OK)
			st = kv_compact_step(w->db, UINT64_MAX, &busy, err);
	}
	if (!sim_dead(w->sim))
		kv_batch_free(w->env, &batch);
	return st;
}

static KvStatus
log_files(World *w, KvIngest *g, KvError *err)
{
	uint64_t no, size;
	uint32_t i;
	KvStatus st = KV_OK;

	for (i = 0; st == KV_OK && kv_ingest_file(g, i, &no, &size) == KV_OK; i++)
	{
		uint64_t off, piece = 700;

		for (off = 0; st == KV_OK && off < size; off += piece)
		{
			char buf[700];
			size_t len = size - off < piece ? size - off : piece;
			HostRecord *r;

			st = kv_ingest_read(g, i, off, buf, len, err);
			if (st != KV_OK)
				break;
			host_append(w, REC_FILE, 0, 0, buf, len);
			r = &w->log[w->log_len - 1];
			r->file_no = no;
			r->offset = off;
		}
	}
	return st;
}

static KvStatus
write_run(World *w, const Item *items, uint32_t n, uint64_t xid, KvError *err)
{
	Logger l = {w, {NULL, 0}, xid, REC_INGEST};
	KvIngest *g;
	uint64_t csn;
	uint32_t i;
	int tries;
	KvStatus st = kv_ingest_open(w->db, xid, &g, err);

	if (st != KV_OK)
		return st;
	for (i = 0; st == KV_OK && i < n; i++)
	{
		KvEntry e;

		fill_entry(&items[i], &e);
		st = kv_ingest_add(g, &e, err);
	}
	if (st == KV_OK)
		st = kv_ingest_finish(g, err);
	if (st == KV_OK && w->host_log)
		st = log_files(w, g, err);
	l.payload = kv_ingest_payload(g);
	for (tries = 0; st == KV_OK && tries < 200; tries++)
	{
		KvWork work;

		st = kv_ingest_commit(w->db, g, w->host_log ? log_batch : NULL, &l,
							  &csn, err);
		if (st == KV_OK)
			return st;
		if (st == KV_STALLED)
			st = kv_worker_step(w->db, &work, err);
	}
	if (!sim_dead(w->sim))
		kv_ingest_abort(g);
	return st;
}

KvStatus
world_commit(World *w, uint32_t n, bool run, bool roll_back, KvError *err)
{
	static Item items[MODEL_KEYS];
	uint32_t commit = w->model.commits + 1, count, i;
	uint64_t xid = w->host_log ? w->next_xid++ : 0;
	uint16_t keys[MODEL_KEYS];
	bool deleted[MODEL_KEYS];
	KvStatus st;

	count = choose_keys(w, n, keys, deleted);
	for (i = 0; i < count; i++)
	{
		items[i].deleted = deleted[i];
		items[i].key_len = model_key(keys[i], items[i].key);
		items[i].value_len = model_value(commit, keys[i], items[i].value);
		model_write(&w->model, commit, keys[i], deleted[i]);
	}
	qsort(items, count, sizeof(Item), by_key);
	w->model.commits = commit;
	w->model.lost[commit] = roll_back;
	w->outcome[xid] = KV_XACT_IN_DOUBT;
	st = run ? write_run(w, items, count, xid, err)
			 : write_batch(w, items, count, xid, err);
	if (st == KV_TOO_LARGE)
		st = write_run(w, items, count, xid, err);
	if (!w->host_log)
	{
		if (st != KV_OK) /* then nothing of it was applied */
			model_truncate(&w->model, commit - 1);
		return st;
	}
	/* the commit record, or none if the batch could not be logged */
	if (st == KV_OK && !roll_back)
	{
		uint64_t lsn = host_append(w, REC_COMMIT, xid, commit, NULL, 0);

		(void) lsn;
		w->outcome[xid] = KV_XACT_COMMITTED;
	}
	else
	{
		host_append(w, REC_ABORT, xid, commit, NULL, 0);
		w->outcome[xid] = KV_XACT_ABORTED;
		w->model.lost[commit] = true;
	}
	kv_note_xact(w->db, xid, w->outcome[xid] == KV_XACT_COMMITTED);
	return st;
}

KvStatus
world_sync(World *w, KvError *err)
{
	KvStatus st = KV_OK;

	if (w->host_log)
		flush_host(w, UINT64_MAX);
	else
		st = kv_sync_log(w->db, err);
	if (st == KV_OK)
		w->acked = w->model.commits;
	return st;
}
