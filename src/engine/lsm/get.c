/* SPDX-License-Identifier: PostgreSQL */
/*
 * get.c - point reads.
 *
 * Sources are asked newest first: memtables and L0 files merged by csn, then
 * one file of each deeper level.  The first visible version decides.  Any
 * process; takes no lock but those of the block cache.
 */
#include "engine/lsm/db_internal.h"

typedef struct GetState
{
	KvDb *db;
	const KvReadView *view;
	KvValue *value;
	KvSource source;
	bool met;	/* a version of the key, in the file at hand */
	bool done;	/* a visible version was met */
	bool found; /* and it is live */
	KvStatus status;
} GetState;

static KvStatus
copy_value(KvEnv *env, KvValue *value, const KvEntry *e)
{
	if (value->cap < e->value.len || value->data == NULL)
	{
		size_t cap = e->value.len < 64 ? 64 : e->value.len;
		char *p = env->ops->alloc(env, cap);

		if (p == NULL)
			return KV_NO_MEMORY;
		if (value->data != NULL)
			env->ops->free(env, value->data);
		value->data = p;
		value->cap = cap;
	}
	memcpy(value->data, e->value.data, e->value.len);
	value->len = e->value.len;
	value->csn = e->csn;
	value->xid = e->xid;
	value->expires_us = e->expires_us;
	return KV_OK;
}

static bool
visit(void *arg, const KvEntry *e)
{
	GetState *g = arg;
	KvVerdict verdict;

	g->met = true;
	g->status = kv_judge(g->db, g->view, e, g->source, &verdict);
	if (g->status != KV_OK)
		return true;
	if (verdict == KV_HIDDEN)
		return false;
	g->done = true;
	g->found = verdict == KV_SEEN_LIVE;
	if (g->found)
		g->status = copy_value(g->db->env, g->value, e);
	return true;
}

static KvStatus
ask_file(GetState *g, uint32_t slot, KvSlice key, uint64_t hash, KvError *err)
{
	KvFileSlot *file = kv_file_at(g->db, slot);
	const KvFileMeta *meta = &file->meta;
	const uint64_t *negatives = &g->db->sst_stats.filter_negatives;
	uint64_t before = *negatives;
	KvSst *sst;
	KvStatus st;

	KV_ASSERT(slot < g->db->shared->config.max_files);
	if (kv_key_before_file(key, meta) || kv_key_after_file(key, meta))
		return KV_OK;
	st = kv_table_open(g->db, slot, &sst, err);
	if (st != KV_OK)
		return st;
	g->source = kv_file_source(meta);
	g->met = false;
	st = kv_sst_get(sst, key, hash, visit, g, &g->db->sst_stats, err);
	/* one in a hundred of the files asked, so a shared counter is cheap */
	if (!g->met && *negatives == before)
		atomic_fetch_add_explicit(&file->fruitless, 1, memory_order_relaxed);
	return st == KV_OK ? g->status : st;
}

/* Memtables and L0, newest first; both lists are sorted that way. */
static KvStatus
ask_newest(GetState *g, const KvVersion *v, KvSlice key, uint64_t hash,
		   KvError *err)
{
	uint32_t m = 0, f = v->level_start[0];
	KvStatus st;

	while (!g->done && (m < v->n_mem || f < v->level_start[1]))
	{
		if (m < v->n_mem && (f == v->level_start[1] ||
							 kv_file_at(g->db, v->files[f])->meta.max_csn <=
								 v->mem[m].start_csn))
		{
			g->source = KV_FROM_MEM;
			st = kv_mem_get(kv_mem_at(g->db, v->mem[m].slot),
							v->mem[m].generation, key, visit, g);
			if (st == KV_OK)
				st = g->status;
			m++;
		}
		else
			st = ask_file(g, v->files[f++], key, hash, err);
		if (st != KV_OK)
			return st;
	}
	return KV_OK;
}

/*
 * The first file of a sorted level that key is not after.  Cut bounds may
 * tie, so the caller looks at its successors while they may hold the key.
 */
static uint32_t
first_candidate(KvDb *db, const KvVersion *v, int level, KvSlice key)
{
	uint32_t lo = v->level_start[level], hi = v->level_start[level + 1];

	KV_ASSERT(level > 0 && level < KV_LEVELS && lo <= hi);
	while (lo < hi)
	{
		uint32_t mid = lo + (hi - lo) / 2;

		if (kv_key_after_file(key, &kv_file_at(db, v->files[mid])->meta))
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static KvStatus
ask_version(GetState *g, const KvVersion *v, KvSlice key, KvError *err)
{
	uint64_t hash = kv_key_hash(key);
	KvStatus st = ask_newest(g, v, key, hash, err);
	int level;

	for (level = 1; st == KV_OK && !g->done && level < KV_LEVELS; level++)
	{
		uint32_t f = first_candidate(g->db, v, level, key);

		for (; st == KV_OK && !g->done && f < v->level_start[level + 1]; f++)
		{
			if (kv_key_before_file(key, &kv_file_at(g->db, v->files[f])->meta))
				break;
			st = ask_file(g, v->files[f], key, hash, err);
		}
	}
	return st;
}

KvStatus
kv_get_newest(KvDb *db, const KvReadView *view, KvSlice key, KvValue *value,
			  bool *found, KvError *err)
{
	KvStatus st;

	if (kv_mode(db) != KV_MODE_NORMAL && kv_mode(db) != KV_MODE_READONLY)
		return kv_fail(err, KV_NOT_READY, "the store is not open");
	kv_table_sweep(db);
	for (;;)
	{
		GetState g = {.db = db, .view = view, .value = value};
		const KvVersion *v = kv_version_acquire(db);

		st = ask_version(&g, v, key, err);
		kv_version_release(db);
		if (st == KV_RETRY)
		{
			/* a memtable was reused meanwhile, or its writer stands still */
			if (db->env->ops->poll(db->env))
				return kv_fail(err, KV_INTERRUPTED, "interrupted");
			continue;
		}
		if (st == KV_NO_MEMORY)
			return kv_fail(err, st, "out of memory");
		if (st != KV_OK)
			return st;
		*found = g.found;
		return g.done ? KV_OK : KV_NOT_FOUND;
	}
}

KvStatus
kv_get(KvDb *db, const KvReadView *view, KvSlice key, KvValue *value,
	   KvError *err)
{
	bool found;
	KvStatus st = kv_get_newest(db, view, key, value, &found, err);

	return st == KV_OK && !found ? KV_NOT_FOUND : st;
}
