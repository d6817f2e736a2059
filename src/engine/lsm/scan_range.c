/* SPDX-License-Identifier: PostgreSQL */
/*
 * scan_range.c - the range deletes that a scan sees.
 *
 * Collected when the scan's merge is built, from the same sources.  Batches
 * that are written later are not seen by the view, nor are theirs.
 */
#include "engine/lsm/scan_internal.h"

void
kv_scan_drop_ranges(KvScan *scan)
{
	kv_range_cover_free(scan->db->env, &scan->hidden);
	kv_range_list_free(scan->db->env, &scan->ranges);
}

/* Of those from the source only what overlaps the scan, and is seen, stays. */
static KvStatus
keep_seen(KvScan *scan, uint32_t from, KvSource source)
{
	KvRangeList *list = &scan->ranges;
	KvEnv *env = scan->db->env;
	KvStatus status = KV_OK;
	uint32_t i, n = from;

	for (i = from; i < list->n; i++)
	{
		KvEntry e = list->items[i];
		KvVerdict verdict = KV_HIDDEN;

		if (status == KV_OK && kv_slice_compare(e.value, scan->lower) > 0 &&
			(scan->upper.len == 0 || kv_slice_compare(e.key, scan->upper) < 0))
			status = kv_judge(scan->db, &scan->view, &e, source, &verdict);
		if (status == KV_OK && verdict != KV_HIDDEN)
			list->items[n++] = e;
		else
			env->ops->free(env, (void *) (uintptr_t) e.key.data);
	}
	list->n = n;
	return status;
}

typedef struct Own
{
	KvScan *scan;
	bool no_memory;
} Own;

static bool
add_own(void *arg, const KvEntry *e)
{
	Own *own = arg;

	own->no_memory = !kv_range_list_add(own->scan->db->env, &own->scan->ranges,
										e);
	return own->no_memory;
}

/* Of the caller's own writes; they hide whatever is in the store. */
static KvStatus
collect_own(KvScan *scan, KvError *err)
{
	KvIter *overlay = scan->overlay;
	Own own = {scan, false};

	if (overlay == NULL || overlay->ops->range_deletes == NULL)
		return KV_OK;
	overlay->ops->range_deletes(overlay, add_own, &own);
	if (own.no_memory)
		return kv_fail(err, KV_NO_MEMORY, "out of memory for range deletes");
	return KV_OK;
}

KvStatus
kv_scan_collect_ranges(KvScan *scan, const KvVersion *v, KvError *err)
{
	KvDb *db = scan->db;
	uint32_t i, from;
	KvStatus status = collect_own(scan, err);

	for (i = 0; i < v->n_mem && status == KV_OK; i++)
	{
		from = scan->ranges.n;
		status = kv_range_list_add_mem(db, &scan->ranges, &v->mem[i], err);
		if (status == KV_OK)
			status = keep_seen(scan, from, KV_FROM_MEM);
	}
	for (i = 0; i < scan->n_slots && status == KV_OK; i++)
	{
		from = scan->ranges.n;
		status = kv_range_list_add_file(db, &scan->ranges, scan->slots[i], err);
		if (status == KV_OK)
			/* the list has given their states already */
			status = keep_seen(scan, from, KV_FROM_MEM);
	}
	if (status == KV_OK)
		status = kv_range_cover_build(db->env, &scan->ranges, &scan->hidden,
									  err);
	return status;
}
