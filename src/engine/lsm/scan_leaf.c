/* SPDX-License-Identifier: PostgreSQL */
/*
 * scan_leaf.c - rows from the one table that is left of a scan.
 *
 * After a compaction, and at the end of most scans, a single table has all
 * that is left.  Its iterator is then moved directly: no layers, no
 * comparison of keys (the table knows which keys repeat), no bound where the
 * file does not reach it.  What is not simple is left to scan.c.
 *
 * Called by scan.c only, in any process.
 */
#include "engine/lsm/scan_internal.h"

void
kv_scan_enter_leaf(KvScan *scan)
{
	KvIter *it = scan->merge;

	if (it->valid)
		scan->leaf = it->ops->leaf(it,
								   scan->reverse ? scan->lower : scan->upper,
								   &scan->leaf_inside);
}

/* The merge stands where the leaf has come to. */
static void
leave_leaf(KvScan *scan)
{
	scan->leaf = NULL;
	scan->merge->ops->leaf_moved(scan->merge);
}

/* A poll is due, or read-ahead begins. */
static inline bool
leaf_must_stop(KvScan *scan)
{
	if (++scan->steps >= POLL_EVERY)
		return true;
	return scan->moves < READAHEAD_AFTER && ++scan->moves == READAHEAD_AFTER;
}

/*
 * Does the view see the version?  A visible transaction stays visible to it,
 * so a file that one transaction has written asks once.  *failed: it is not
 * known; the merge will say why.
 */
static inline bool
leaf_shows(KvScan *scan, const KvEntry *e, bool *failed)
{
	KvVerdict verdict;

	if (e->csn > scan->view.max_csn)
		return false;
	if (e->xid == 0 || e->xid == scan->shown_xid)
		return true;
	*failed = kv_judge(scan->db, &scan->view, e, KV_FROM_DOUBTFUL_FILE,
					   &verdict) != KV_OK;
	if (*failed || verdict == KV_HIDDEN)
		return false;
	scan->shown_xid = e->xid;
	return true;
}

bool
kv_scan_leaf_forward(KvScan *scan, KvEntry *entry, uint64_t *count)
{
	KvIter *leaf = scan->leaf;
	bool decided = true; /* the key at hand: it was returned */
	bool failed = false;

	leaf->err = scan->merge->err;
	KV_ASSERT(scan->on_returned && !scan->reverse);
	scan->on_returned = false;
	for (;;)
	{
		const KvEntry *e = &leaf->entry;

		leaf->ops->next(leaf);
		if (!leaf->valid || leaf_must_stop(scan))
			break;
		decided &= leaf->repeats == KV_REPEATS_YES;
		if (decided)
			continue;
		if (!leaf_shows(scan, e, &failed))
		{
			if (failed)
				break;
			continue;
		}
		if (!scan->leaf_inside && kv_slice_compare(e->key, scan->upper) >= 0)
			break;
		if (!kv_scan_decide(scan, e->key))
			break;
		decided = true;
		if (kv_entry_is_dead(e, scan->view.now_us))
		{
			scan->db->skipped++;
			continue;
		}
		if (count != NULL)
		{
			++*count;
			continue;
		}
		*entry = *e;
		scan->on_returned = true;
		return true;
	}
	leave_leaf(scan);
	return false;
}

bool
kv_scan_leaf_backward(KvScan *scan, KvEntry *entry)
{
	KvIter *leaf = scan->leaf;
	bool failed = false;

	leaf->err = scan->merge->err;
	KV_ASSERT(scan->reverse);
	for (;;)
	{
		const KvEntry *e = &leaf->entry;
		bool shows;

		if (scan->on_returned)
			leaf->ops->prev(leaf);
		scan->on_returned = false;
		if (!leaf->valid || leaf->repeats != KV_REPEATS_NO ||
			leaf_must_stop(scan))
			break;
		if (!scan->leaf_inside && kv_slice_compare(e->key, scan->lower) < 0)
			break;
		shows = leaf_shows(scan, e, &failed);
		if (failed || !kv_scan_decide(scan, e->key))
			break;
		scan->on_returned = true;
		if (!shows)
			continue;
		if (kv_entry_is_dead(e, scan->view.now_us))
		{
			scan->db->skipped++;
			continue;
		}
		*entry = *e;
		return true;
	}
	leave_leaf(scan);
	return false;
}
