/* SPDX-License-Identifier: PostgreSQL */
/*
 * get_internal.h - what looking one key up and looking many up share.
 */
#ifndef KV_GET_INTERNAL_H
#define KV_GET_INTERNAL_H

#include "engine/lsm/db_internal.h"

/* One key on its way through the sources, newest first. */
typedef struct KvGet
{
	KvDb *db;
	const KvReadView *view;
	KvSlice key;
	uint64_t hash;
	/* what is done with a live version; its slices live during the call */
	KvStatus (*take)(void *arg, const KvEntry *entry);
	void *arg;
	KvSource source;
	uint64_t dead_below; /* csn of the newest range delete that is seen */
	bool met;			 /* a version of the key, in the file at hand */
	bool done;			 /* a visible version was met */
	bool found;			 /* and it is live */
	KvStatus status;
} KvGet;

/* A table that may hold the key, and how far it was looked at. */
typedef struct KvGetProbe
{
	KvFileSlot *file;
	KvSst *sst;
	KvSstProbe probe;
} KvGetProbe;

/* The steps of kv_sst_probe_*, with what a get adds to them. */
KvStatus kv_get_start(KvGet *g, uint32_t slot, KvGetProbe *p,
					  KvError *err) KV_MUST_CHECK;
KvStatus kv_get_filter(KvGet *g, KvGetProbe *p, KvError *err) KV_MUST_CHECK;
KvStatus kv_get_index(KvGet *g, KvGetProbe *p, KvError *err) KV_MUST_CHECK;
KvStatus kv_get_visit(KvGet *g, KvGetProbe *p, KvError *err) KV_MUST_CHECK;
/* A take that copies; arg is a KvGetCopy. */
typedef struct KvGetCopy
{
	KvEnv *env;
	KvValue *value;
} KvGetCopy;
KvStatus kv_get_copy_value(void *arg, const KvEntry *entry) KV_MUST_CHECK;
/* KV_RETRY: a memtable was reused meanwhile, or its writer stands still. */
KvStatus kv_get_from_mem(KvGet *g, const KvVersionMem *mem) KV_MUST_CHECK;

/* ---- get_range.c: raise dead_below; before the source's versions */
KvStatus kv_get_ranges_of_mem(KvGet *g, const KvVersionMem *mem) KV_MUST_CHECK;
KvStatus kv_get_ranges_of_file(KvGet *g, const KvGetProbe *p) KV_MUST_CHECK;
/* A source is done with: what is left is older than its range deletes. */
static inline void
kv_get_stop_below(KvGet *g)
{
	if (g->dead_below > 0)
		g->done = true;
}

/*
 * The first file of a sorted level that key is not after.  Cut bounds may
 * tie, so the caller looks at its successors while they may hold the key.
 */
uint32_t kv_get_candidate(KvDb *db, const KvVersion *v, int level, KvSlice key);

/* Does the memtable m come before file f of L0?  Both lists are sorted. */
static inline bool
kv_mem_is_next(const KvDb *db, const KvVersion *v, uint32_t m, uint32_t f)
{
	return m < v->n_mem &&
		   (f == v->level_start[1] ||
			kv_file_at(db, v->files[f])->meta.max_csn <= v->mem[m].start_csn);
}

#endif /* KV_GET_INTERNAL_H */
