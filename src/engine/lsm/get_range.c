/* SPDX-License-Identifier: PostgreSQL */
/*
 * get_range.c - the range deletes of a source, for one key.
 *
 * Only called for sources that have any.  Their range deletes are looked at
 * before their versions; the newest one that is seen makes every version with
 * a smaller csn dead, and everything in older sources is older than it.
 */
#include "engine/lsm/get_internal.h"

/* True: no newer one can come from this source, or an error. */
static bool
consider(KvGet *g, const KvEntry *e)
{
	KvVerdict verdict;

	if (e->csn <= g->dead_below)
		return true;
	g->status = kv_judge(g->db, g->view, e, g->source, &verdict);
	if (g->status != KV_OK)
		return true;
	if (verdict == KV_HIDDEN)
		return false;
	g->dead_below = e->csn;
	return true;
}

/* A memtable's come newest first. */
static bool
visit(void *arg, const KvEntry *e)
{
	return consider(arg, e);
}

KvStatus
kv_get_ranges_of_mem(KvGet *g, const KvVersionMem *mem)
{
	KvStatus st;

	g->source = KV_FROM_MEM;
	g->status = KV_OK;
	st = kv_mem_covering(kv_mem_at(g->db, mem->slot), mem->generation, g->key,
						 visit, g);
	return st == KV_OK ? g->status : st;
}

/* A table's come in no order: an older one does not end the search. */
static bool
visit_any(void *arg, const KvEntry *e)
{
	KvGet *g = arg;

	(void) consider(g, e);
	return g->status != KV_OK;
}

KvStatus
kv_get_ranges_of_file(KvGet *g, const KvGetProbe *p)
{
	g->source = kv_file_source(&p->file->meta);
	g->status = KV_OK;
	kv_sst_covering(p->sst, g->key, visit_any, g);
	return g->status;
}
