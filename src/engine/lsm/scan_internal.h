/* SPDX-License-Identifier: PostgreSQL */
/*
 * scan_internal.h - the state of a scan, for scan.c and scan_leaf.c.
 */
#ifndef KV_SCAN_INTERNAL_H
#define KV_SCAN_INTERNAL_H

#include "engine/lsm/db_internal.h"
#include "engine/lsm/range_deletes.h"
#include "engine/sst/sst_buffer.h"

/* Files are read ahead once a scan has moved that often. */
#define READAHEAD_AFTER 512
#define READAHEAD_BYTES (256 << 10)
#define POLL_EVERY		1024 /* entries, most of which may be hidden */

struct KvScan
{
	KvDb *db;
	KvScan *next; /* of db->scans */
	KvReadView view;
	KvSlice lower, upper; /* copies, behind the struct */
	bool reverse;
	KvIter *overlay;
	KvIter *merge;		/* NULL: to be built */
	KvIter *leaf;		/* moved instead of the merge, or NULL */
	bool leaf_inside;	/* the bound need not be looked at */
	uint64_t shown_xid; /* the last one found visible in a leaf; 0: none */
	uint64_t version;	/* whose files are pinned */
	uint32_t *slots;	/* of the runs' files */
	uint32_t n_slots, cap_slots;
	uint32_t readahead; /* for the runs */
	uint32_t moves;		/* until read-ahead is switched on */
	uint32_t steps;		/* since the last poll */
	bool positioned;
	bool on_returned;	 /* merge or leaf stands at the returned entry */
	KvRangeList ranges;	 /* range deletes that the view sees */
	KvRangeCover hidden; /* what they hide; n 0: nothing */
	KvBuffer decided;	 /* the last key that is done with */
	bool has_decided;
	KvBuffer key, value; /* reverse: the row that is being put together */
};

/* The key at hand is decided.  Its bytes, or false: no memory. */
static inline bool
kv_scan_decide(KvScan *scan, KvSlice key)
{
	if (!kv_buffer_set(scan->db->env, &scan->decided, key))
		return false;
	scan->has_decided = true;
	return true;
}

/* ---- scan_range.c */
/* What the sources of the merge have; KV_RETRY: a memtable was recycled. */
KvStatus kv_scan_collect_ranges(KvScan *scan, const KvVersion *v,
								KvError *err) KV_MUST_CHECK;
void kv_scan_drop_ranges(KvScan *scan);

/* ---- scan_leaf.c: one table is left */
/* Begins to read from the table alone, if it is the only one. */
void kv_scan_enter_leaf(KvScan *scan);
/*
 * The next row after the one that was returned.  false: the leaf was left,
 * and the merge stands at what was not looked at yet.  With count, rows are
 * counted until the leaf is left, and none is returned.
 */
bool kv_scan_leaf_forward(KvScan *scan, KvEntry *entry, uint64_t *count);
/*
 * The same backward.  The leaf stands at the oldest version of a key; only
 * what is known to be its newest as well is decided here.
 */
bool kv_scan_leaf_backward(KvScan *scan, KvEntry *entry);

#endif /* KV_SCAN_INTERNAL_H */
