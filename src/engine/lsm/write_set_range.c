/* SPDX-License-Identifier: PostgreSQL */
/*
 * write_set_range.c - the range deletes among a transaction's own writes.
 *
 * A list in memory, in the order of time, each with a batch number (csn) and
 * a stamp like any write, so that a rollback to a savepoint kills it as well.
 * One hides what was written before it, in the set (here) and in the store
 * (scan_range.c; a get finds a tombstone).  They are few: whoever deletes row
 * by row writes tombstones.
 */
#include "engine/lsm/write_set_internal.h"

KvStatus
kv_write_set_delete_range(KvWriteSet *ws, uint32_t stamp, KvSlice lower,
						  KvSlice upper, KvError *err)
{
	KvEntry e = {.key = lower, .value = upper, .kind = KV_KIND_RANGE_DELETE};
	KvStatus status;

	if (lower.len > KV_MAX_KEY || upper.len > KV_MAX_KEY)
		return kv_fail(err, KV_TOO_LARGE, "a bound is too large");
	if (lower.len < KV_STORE_PREFIX || kv_slice_compare(lower, upper) >= 0)
		return kv_fail(err, KV_INVALID,
					   "bounds of a range delete make no sense");
	status = kv_set_make_kill_room(ws, err);
	if (status != KV_OK)
		return status;
	e.csn = ws->csn + 1;
	e.xid = (uint64_t) stamp + 1;
	e.state = KV_XACT_COMMITTED;
	if (!kv_range_list_add(ws->env, &ws->ranges, &e))
		return kv_fail(err, KV_NO_MEMORY, "no memory for a range delete");
	ws->csn++;
	/* later writes under the same stamp are newer than it */
	ws->batch = 0;
	if (stamp < ws->min_stamp)
		ws->min_stamp = stamp;
	/* what iterators have at hand may be gone, in files too */
	ws->changes++;
	ws->all_kills++;
	return KV_OK;
}

static bool
is_seen(const KvWriteSet *ws, const KvEntry *range, uint32_t limit)
{
	uint32_t stamp = kv_set_stamp(range);

	return stamp < limit && kv_set_is_live(ws, range->csn, stamp);
}

bool
kv_set_is_covered(const KvWriteSet *ws, KvSlice key, uint64_t csn,
				  uint32_t limit)
{
	uint32_t i;

	for (i = ws->ranges.n; i > 0; i--)
	{
		const KvEntry *e = &ws->ranges.items[i - 1];

		if (e->csn <= csn)
			return false;
		if (kv_slice_compare(e->key, key) <= 0 &&
			kv_slice_compare(key, e->value) < 0 && is_seen(ws, e, limit))
			return true;
	}
	return false;
}

bool
kv_write_set_next_range(const KvWriteSet *ws, uint32_t limit, uint32_t *at,
						KvEntry *e)
{
	while (*at < ws->ranges.n)
	{
		*e = ws->ranges.items[(*at)++];
		if (!is_seen(ws, e, limit))
			continue;
		e->csn = KV_OWN_RANGE_CSN;
		e->xid = 0;
		return true;
	}
	return false;
}
