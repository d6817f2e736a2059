/* SPDX-License-Identifier: PostgreSQL */
/*
 * range_deletes.h - range deletes that were collected from several sources,
 * in private memory.
 *
 * A list owns copies; a cover says for a key how new the newest of a list is
 * that covers it.  For scans, flush and compaction; a get looks at the sources
 * one after the other (get_range.c).
 */
#ifndef KV_RANGE_DELETES_H
#define KV_RANGE_DELETES_H

#include "engine/lsm/db_internal.h"

typedef struct KvRangeList
{
	KvEntry *items; /* their slices belong to the list */
	uint32_t n, cap;
} KvRangeList;

/* Copies e; false: no memory.  Zero-initialised = empty. */
bool kv_range_list_add(KvEnv *env, KvRangeList *list, const KvEntry *e);
void kv_range_list_free(KvEnv *env, KvRangeList *list);
/*
 * As a table holds them: lower ascending, then csn descending; of several
 * with both equal (pieces of one batch) the widest stays.
 */
void kv_range_list_sort(KvEnv *env, KvRangeList *list);

/* Fragment i is [bounds[i], bounds[i + 1]). */
typedef struct KvRangeCover
{
	KvSlice *bounds; /* n + 1, ascending; they point into the list */
	uint64_t *csn;	 /* largest that covers the fragment; 0: none */
	uint32_t n;
	uint32_t at; /* where the last key was */
} KvRangeCover;

/*
 * Sorts the list by csn; the cover borrows its keys.  KV_NO_MEMORY.  An empty
 * list makes an empty cover (n 0), which holds no memory.
 */
KvStatus kv_range_cover_build(KvEnv *env, KvRangeList *list,
							  KvRangeCover *cover, KvError *err) KV_MUST_CHECK;
void kv_range_cover_free(KvEnv *env, KvRangeCover *cover);
/*
 * The largest csn that covers key, 0: none.  Cheap for keys that are asked
 * for in either order.
 */
uint64_t kv_range_cover_csn(KvRangeCover *cover, KvSlice key);

/* All of a table's or memtable's; KV_RETRY: the memtable was recycled. */
KvStatus kv_range_list_add_file(KvDb *db, KvRangeList *list, uint32_t slot,
								KvError *err) KV_MUST_CHECK;
KvStatus kv_range_list_add_mem(KvDb *db, KvRangeList *list,
							   const KvVersionMem *mem,
							   KvError *err) KV_MUST_CHECK;

#endif /* KV_RANGE_DELETES_H */
