/* SPDX-License-Identifier: PostgreSQL */
/*
 * get.c - point reads.
 *
 * Sources are asked newest first: memtables and L0 files merged by csn, then
 * one file of each deeper level.  The first visible version decides.  Filters
 * of several files are fetched at once.  Any process; takes no lock but those
 * of the block cache.
 */
#include "engine/lsm/get_internal.h"

/* ---- one key in one source */

static bool
visit(void *arg, const KvEntry *e)
{
	KvGet *g = arg;
	KvVerdict verdict;

	g->met = true;
	if (e->csn < g->dead_below)
	{
		g->done = true; /* and not found */
		return true;
	}
	g->status = kv_judge(g->db, g->view, e, g->source, &verdict);
	if (g->status != KV_OK)
		return true;
	if (verdict == KV_HIDDEN)
		return false;
	g->done = true;
	g->found = verdict == KV_SEEN_LIVE;
	g->db->skipped += !g->found;
	if (g->found)
		g->status = g->take(g->arg, e);
	return true;
}

KvStatus
kv_get_start(KvGet *g, uint32_t slot, KvGetProbe *p, KvError *err)
{
	KvStatus st;

	KV_ASSERT(slot < g->db->shared->config.max_files);
	p->file = kv_file_at(g->db, slot);
	p->probe.absent = true;
	st = kv_table_open(g->db, slot, &p->sst, err);
	if (st == KV_OK && p->file->meta.range_deletes > 0)
		st = kv_get_ranges_of_file(g, p);
	if (st != KV_OK)
		return st;
	return kv_sst_probe_start(p->sst, g->key, g->hash, &p->probe, err);
}

KvStatus
kv_get_filter(KvGet *g, KvGetProbe *p, KvError *err)
{
	if (p->probe.absent)
		return KV_OK;
	return kv_sst_probe_filter(p->sst, g->key, &p->probe, &g->db->sst_stats,
							   err);
}

KvStatus
kv_get_index(KvGet *g, KvGetProbe *p, KvError *err)
{
	if (p->probe.absent)
		return KV_OK;
	return kv_sst_probe_index(p->sst, g->key, &p->probe, &g->db->sst_stats,
							  err);
}

KvStatus
kv_get_visit(KvGet *g, KvGetProbe *p, KvError *err)
{
	KvStatus st;

	if (p->probe.absent)
		return KV_OK;
	g->source = kv_file_source(&p->file->meta);
	g->met = false;
	st = kv_sst_probe_visit(p->sst, g->key, &p->probe, visit, g,
							&g->db->sst_stats, err);
	/* one in a hundred of the files asked, so a shared counter is cheap */
	if (!g->met)
		atomic_fetch_add_explicit(&p->file->fruitless, 1, memory_order_relaxed);
	return st == KV_OK ? g->status : st;
}

KvStatus
kv_get_from_mem(KvGet *g, const KvVersionMem *mem)
{
	const KvMem *m = kv_mem_at(g->db, mem->slot);
	KvStatus st = KV_OK;

	if (kv_mem_has_range_deletes(m))
		st = kv_get_ranges_of_mem(g, mem);
	if (st != KV_OK)
		return st;
	g->source = KV_FROM_MEM;
	if (!kv_mem_lacks(m, mem->generation, g->hash))
		st = kv_mem_get(m, mem->generation, g->key, visit, g);
	if (st == KV_OK)
		kv_get_stop_below(g);
	return st == KV_OK ? g->status : st;
}

uint32_t
kv_get_candidate(KvDb *db, const KvVersion *v, int level, KvSlice key)
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

/* ---- one key in all of them */

/* So many files are looked at together. */
#define TOGETHER 8

/* The place in the order of sources. */
typedef struct Walk
{
	const KvVersion *v;
	uint32_t mem;  /* the next one */
	uint32_t file; /* in its level */
	int level;
} Walk;

/*
 * The next file that may hold the key; false: a memtable is next, or nothing
 * is left.
 */
static bool
next_file(KvGet *g, Walk *w, uint32_t *slot)
{
	const KvVersion *v = w->v;

	while (w->level < KV_LEVELS)
	{
		const KvFileMeta *meta;

		if (w->level == 0 && kv_mem_is_next(g->db, v, w->mem, w->file))
			return false;
		if (w->file == v->level_start[w->level + 1])
		{
			if (++w->level < KV_LEVELS)
				w->file = kv_get_candidate(g->db, v, w->level, g->key);
			continue;
		}
		*slot = v->files[w->file++];
		meta = &kv_file_at(g->db, *slot)->meta;
		if (!kv_key_before_file(g->key, meta))
		{
			if (w->level > 0 || !kv_key_after_file(g->key, meta))
				return true;
		}
		else if (w->level > 0)
			w->file = v->level_start[w->level + 1];
	}
	return false;
}

/* Files up to the next memtable, TOGETHER at most. */
static KvStatus
ask_files(KvGet *g, Walk *w, KvError *err)
{
	KvGetProbe probes[TOGETHER];
	uint32_t slot, i, n = 0;
	KvStatus st = KV_OK;

	while (st == KV_OK && n < TOGETHER && next_file(g, w, &slot))
		st = kv_get_start(g, slot, &probes[n++], err);
	/* the filters of many files at once; of one it is not worth it */
	for (i = 0; st == KV_OK && n > 1 && i < n; i++)
		kv_sst_probe_frame(probes[i].sst, &probes[i].probe);
	for (i = 0; st == KV_OK && n > 1 && i < n; i++)
		kv_sst_probe_data(probes[i].sst, &probes[i].probe);
	for (i = 0; st == KV_OK && !g->done && i < n; i++)
	{
		st = kv_get_filter(g, &probes[i], err);
		if (st == KV_OK)
			st = kv_get_index(g, &probes[i], err);
		if (st == KV_OK)
			st = kv_get_visit(g, &probes[i], err);
	}
	kv_get_stop_below(g);
	return st;
}

static KvStatus
ask_version(KvGet *g, const KvVersion *v, KvError *err)
{
	Walk w = {v, 0, v->level_start[0], 0};
	KvStatus st = KV_OK;

	while (st == KV_OK && !g->done && w.level < KV_LEVELS)
	{
		if (w.level == 0 && kv_mem_is_next(g->db, v, w.mem, w.file))
			st = kv_get_from_mem(g, &v->mem[w.mem++]);
		else
			st = ask_files(g, &w, err);
	}
	return st;
}

/* ---- values */

KvStatus
kv_get_copy_value(void *arg, const KvEntry *e)
{
	KvGetCopy *copy = arg;
	KvEnv *env = copy->env;
	KvValue *value = copy->value;

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
	/* a memtable may be taken into use anew meanwhile: judged afterwards */
	kv_mem_copy_bytes(value->data, e->value.data, e->value.len);
	value->len = e->value.len;
	value->csn = e->csn;
	value->xid = e->xid;
	value->expires_us = e->expires_us;
	return KV_OK;
}

KvStatus
kv_get_newest(KvDb *db, const KvReadView *view, KvSlice key, KvValue *value,
			  bool *found, KvError *err)
{
	KvGetCopy copy = {db->env, value};
	KvGet start = {.db = db,
				   .view = view,
				   .key = key,
				   .hash = kv_key_hash(key),
				   .take = kv_get_copy_value,
				   .arg = &copy};
	KvStatus st;

	if (kv_mode(db) != KV_MODE_NORMAL && kv_mode(db) != KV_MODE_READONLY)
		return kv_fail(err, KV_NOT_READY, "the store is not open");
	kv_table_sweep(db);
	for (;;)
	{
		KvGet g = start;

		st = ask_version(&g, kv_version_acquire(db), err);
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
