/* SPDX-License-Identifier: PostgreSQL */
/*
 * ingest.c - a large commit becomes files, visible in one step.
 *
 * Runs in the process that commits.  The files are complete, synced and
 * linked before anything refers to them; their entries carry no csn and no
 * xid, since neither is known while they are written: the file's meta does.
 */
#include "engine/lsm/db_internal.h"

struct KvIngest
{
	KvDb *db;
	uint64_t xid;
	KvTableOut out;
	bool open;
	uint32_t *slots; /* of the files that are complete */
	uint32_t n, cap;
	char *payload;
	size_t payload_len;
	KvFile *reading;
	uint32_t reading_i;
};

KvStatus
kv_ingest_open(KvDb *db, uint64_t xid, KvIngest **out, KvError *err)
{
	KvIngest *g = db->env->ops->alloc(db->env, sizeof(KvIngest));

	if (g == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory");
	memset(g, 0, sizeof(*g));
	g->db = db;
	g->xid = xid;
	*out = g;
	return KV_OK;
}

/*
 * Runs leave an eighth of the file slots to flush and compaction, without
 * which nothing would ever become free again.
 */
static bool
has_slots_for_runs(KvDb *db)
{
	uint32_t i, n = db->shared->config.max_files, used = 0;

	for (i = 0; i < n; i++)
		used += atomic_load_explicit(&kv_file_at(db, i)->state,
									 memory_order_relaxed) != KV_FILE_FREE;
	return used < n - n / 8;
}

static KvStatus
finish_file(KvIngest *g, KvError *err)
{
	KvDb *db = g->db;
	KvEnv *env = db->env;
	KvFileMeta meta;
	uint32_t slot;
	KvStatus st;

	KV_ASSERT(g->open && g->payload == NULL);
	if (g->n == g->cap)
	{
		uint32_t cap = g->cap ? g->cap * 2 : 8;
		uint32_t *p = g->slots
						  ? env->ops->realloc(env, g->slots, cap * sizeof(*p))
						  : env->ops->alloc(env, cap * sizeof(*p));

		if (p == NULL)
			return kv_fail(err, KV_NO_MEMORY, "out of memory");
		g->slots = p;
		g->cap = cap;
	}
	if (!has_slots_for_runs(db))
		return kv_fail(err, KV_FULL,
					   "no room for another file: %u are the limit",
					   db->shared->config.max_files);
	st = kv_file_slot_reserve(db, &slot, err);
	if (st != KV_OK)
		return st;
	g->open = false;
	st = kv_table_out_finish(db, &g->out, &meta, err);
	if (st != KV_OK)
	{
		kv_file_slot_release(db, slot);
		return st;
	}
	kv_file_at(db, slot)->meta = meta;
	g->slots[g->n++] = slot;
	return KV_OK;
}

KvStatus
kv_ingest_add(KvIngest *g, const KvEntry *entry, KvError *err)
{
	KvEntry e = *entry;
	KvStatus st;

	if (e.kind == KV_KIND_RANGE_DELETE)
		return kv_fail(err, KV_INVALID, "a run holds no range deletes");
	if (g->open && kv_sst_builder_bytes(g->out.builder) >=
					   g->db->shared->config.file_bytes)
	{
		st = finish_file(g, err);
		if (st != KV_OK)
			return st;
	}
	if (!g->open)
	{
		st = kv_table_out_open(g->db, &g->out, false, err);
		if (st != KV_OK)
			return st;
		g->open = true;
	}
	e.csn = 0;
	e.xid = 0;
	return kv_sst_builder_add(g->out.builder, &e, err);
}

KvStatus
kv_ingest_finish(KvIngest *g, KvError *err)
{
	KvEnv *env = g->db->env;
	uint32_t i;
	char *p;
	KvStatus st;

	KV_ASSERT(g->payload == NULL);
	if (g->open)
	{
		st = finish_file(g, err);
		if (st != KV_OK)
			return st;
	}
	if (g->n == 0)
		return kv_fail(err, KV_INVALID, "an ingested run must not be empty");
	g->payload = env->ops->alloc(env, KV_VARINT_MAX +
										  g->n * (size_t) KV_META_MAX_BYTES);
	if (g->payload == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory");
	p = kv_put_varint(g->payload, g->n);
	for (i = 0; i < g->n; i++)
		p += kv_meta_encode(&kv_file_at(g->db, g->slots[i])->meta, p,
							KV_META_MAX_BYTES);
	g->payload_len = (size_t) (p - g->payload);
	return KV_OK;
}

KvStatus
kv_ingest_file(KvIngest *g, uint32_t i, uint64_t *file_no, uint64_t *size)
{
	if (i >= g->n)
		return KV_NOT_FOUND;
	*file_no = kv_file_at(g->db, g->slots[i])->meta.file_no;
	*size = kv_file_at(g->db, g->slots[i])->meta.size;
	return KV_OK;
}

static void
stop_reading(KvIngest *g)
{
	if (g->reading != NULL)
		g->db->env->ops->close(g->db->env, g->reading);
	g->reading = NULL;
}

KvStatus
kv_ingest_read(KvIngest *g, uint32_t i, uint64_t off, void *buf, size_t len,
			   KvError *err)
{
	KvEnv *env = g->db->env;
	char name[KV_NAME_MAX];
	size_t got;
	KvStatus st;

	if (g->reading == NULL || g->reading_i != i)
	{
		stop_reading(g);
		kv_file_name(name, KV_NAME_SST,
					 kv_file_at(g->db, g->slots[i])->meta.file_no);
		st = env->ops->open(env, name, KV_OPEN_READ, &g->reading, err);
		if (st != KV_OK)
			return st;
		g->reading_i = i;
	}
	st = env->ops->pread(env, g->reading, buf, len, off, &got, err);
	if (st == KV_OK && got != len)
		st = kv_fail(err, KV_IO_ERROR, "an ingested file is short");
	return st;
}

KvSlice
kv_ingest_payload(KvIngest *g)
{
	return kv_slice(g->payload, g->payload_len);
}

static void
ingest_free(KvIngest *g)
{
	KvEnv *env = g->db->env;

	stop_reading(g);
	if (g->slots != NULL)
		env->ops->free(env, g->slots);
	if (g->payload != NULL)
		env->ops->free(env, g->payload);
	env->ops->free(env, g);
}

KvStatus
kv_ingest_commit(KvDb *db, KvIngest *g,
				 uint64_t (*log_batch)(void *arg, uint64_t csn), void *arg,
				 uint64_t *csn, KvError *err)
{
	KvCounters *c = &db->shared->counters;
	uint32_t i;
	KvStatus st;

	KV_ASSERT(g->db == db);
	KV_ASSERT(!g->open && g->payload != NULL); /* kv_ingest_finish */
	st = kv_publish_run(db, g->xid, kv_ingest_payload(g), g->slots, g->n,
						log_batch, arg, csn, err);

	if (st != KV_OK)
		return st;
	for (i = 0; i < g->n; i++)
		atomic_fetch_add_explicit(&c->ingested_bytes,
								  kv_file_at(db, g->slots[i])->meta.size,
								  memory_order_relaxed);
	atomic_fetch_add_explicit(&c->ingests, 1, memory_order_relaxed);
	ingest_free(g);
	db->env->ops->kick(db->env, KV_KICK_COMPACTOR);
	return KV_OK;
}

void
kv_ingest_abort(KvIngest *g)
{
	KvEnv *env = g->db->env;
	char name[KV_NAME_MAX];
	KvError ignored;
	uint32_t i;

	stop_reading(g);
	if (g->open)
		kv_table_out_abort(g->db, &g->out);
	for (i = 0; i < g->n; i++)
	{
		kv_file_name(name, KV_NAME_SST,
					 kv_file_at(g->db, g->slots[i])->meta.file_no);
		(void) env->ops->unlink(env, name, &ignored);
		kv_file_slot_release(g->db, g->slots[i]);
	}
	ingest_free(g);
}
