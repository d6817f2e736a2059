/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_size.c - how large a table and a part of it are, for the planner.
 *
 * The engine knows for its files; what is still in memtables is added as if
 * it all were this table's.  Never raises because of the store.
 *
 * Backends only.
 */
#include "fdw_plan.h"

#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "scan.h"
#include "store_map.h"

/* when nothing is known */
#define DEFAULT_TUPLES 1000
#define DEFAULT_PAGES  100

/* Entries and bytes of the files between two keys. */
static bool
size_of(KvDb *db, KvSlice lower, KvSlice upper, double *entries, double *bytes)
{
	uint64_t n_bytes = 0;
	uint64_t n_entries = 0;
	KvError err;

	kv_error_clear(&err);
	if (kv_approximate_bytes(db, lower, upper, &n_bytes, &n_entries, &err) !=
		KV_OK)
		return false;
	*entries += (double) n_entries;
	*bytes += (double) n_bytes;
	return true;
}

/* The same, and how many of the rows may be in memory only. */
static bool
size_in_parts(Oid relid, double *tuples, double *bytes, double *memory)
{
	KvDb *db = kvlsm_db_if_ready();
	char bounds[2][KV_STORE_PREFIX];
	KvSlice lower;
	KvSlice upper;
	uint32 id;
	KvStats stats;

	*tuples = *bytes = *memory = 0;
	if (db == NULL || !kvlsm_map_peek(db, relid, &id))
		return false;
	if (id == 0)
		return true;
	kvlsm_store_bounds(id, bounds[0], bounds[1], &lower, &upper);
	if (!size_of(db, lower, upper, tuples, bytes))
		return false;
	/* the memtables are not in it, and nobody knows whose they are */
	kv_stats(db, &stats);
	*memory = stats.memtable_entries;
	*tuples += *memory;
	*bytes += stats.memtable_bytes;
	return true;
}

bool
kvlsm_table_size(Oid relid, double *tuples, double *bytes)
{
	double memory;

	return size_in_parts(relid, tuples, bytes, &memory);
}

void
kvlsm_estimate_size(RelOptInfo *rel, Oid relid, KvlsmRelInfo *info)
{
	double tuples;

	info->known = size_in_parts(relid, &tuples, &info->bytes, &info->memory);
	if (info->known)
	{
		rel->tuples = clamp_row_est(tuples);
		rel->pages = (BlockNumber) Min(info->bytes / BLCKSZ + 1,
									   MaxBlockNumber);
	}
	else
	{
		rel->tuples = DEFAULT_TUPLES;
		rel->pages = DEFAULT_PAGES;
	}
}

bool
kvlsm_estimate_rows(PlannerInfo *root, const KvlsmRelInfo *info, Oid relid,
					const KvlsmChosen *chosen, double *rows)
{
	KvDb *db = kvlsm_db_if_ready();
	KvlsmRanges *ranges;
	List *quals;
	KvlsmKeyRange *made;
	double entries = 0, bytes = 0;
	bool points;
	uint32 id;
	int n, i;

	if (!info->known || db == NULL || !kvlsm_map_peek(db, relid, &id) ||
		id == 0)
		return false;
	quals = (List *) estimate_expression_value(root, (Node *) chosen->quals);
	ranges = kvlsm_ranges_init(info->layout, quals, chosen->conds, NULL);
	if (ranges == NULL)
		return false;
	n = kvlsm_ranges_make(ranges, NULL, id, &made, &points);
	for (i = 0; i < n; i++)
		if (!size_of(db, made[i].lower, made[i].upper, &entries, &bytes))
			return false;
	*rows = entries + info->memory * clauselist_selectivity(root,
															chosen->quals, 0,
															JOIN_INNER, NULL);
	return true;
}
