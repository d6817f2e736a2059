/* SPDX-License-Identifier: PostgreSQL */
/*
 * drop_rule.c - what flush and compaction do with each version of a key.
 *
 * Called by the worker for every entry of a memtable and by the compactor for
 * every entry of its inputs.  Pure: no I/O, no shared state.  Versions of one
 * key come newest first, and all of them that the inputs have; versions above
 * the inputs are newer than all of these, those below are older.
 */
#include "engine/lsm/drop_rule.h"

#include "engine/base/check.h"

bool
kv_seen_by_all(const KvHorizon *horizon, const KvEntry *entry,
			   KvXactState state)
{
	if (entry->xid == 0)
		state = KV_XACT_COMMITTED;
	return state == KV_XACT_COMMITTED &&
		   (entry->xid == 0 || entry->xid < horizon->xid) &&
		   entry->csn <= horizon->csn;
}

KvDropVerdict
kv_drop_decide_range(bool store_dropped, bool data_below,
					 const KvHorizon *horizon, const KvEntry *entry,
					 KvXactState state)
{
	KV_ASSERT(state != KV_XACT_UNKNOWN && entry->kind == KV_KIND_RANGE_DELETE);
	if (store_dropped || (entry->xid != 0 && state == KV_XACT_ABORTED))
		return KV_DROP;
	if (!kv_seen_by_all(horizon, entry, state) &&
		!(KV_BUG(range_delete_ignores_snapshots) && state == KV_XACT_COMMITTED))
		return KV_KEEP;
	/* what it hides in these inputs is dropped with it */
	if (!data_below || KV_BUG(range_delete_dropped_early))
		return KV_DROP;
	return KV_KEEP_UNTAGGED;
}

KvDropVerdict
kv_drop_decide(KvDropKey *key, const KvHorizon *horizon, const KvEntry *entry,
			   KvXactState state)
{
	bool seen_by_all, dead;

	KV_ASSERT(state != KV_XACT_UNKNOWN);
	KV_ASSERT(entry->kind >= KV_KIND_PUT && entry->kind <= KV_KIND_PUT_EXPIRING);
	if (key->store_dropped)
		return KV_DROP;
	/* whoever could see it sees a newer version, which hides it */
	if (key->shadowed || entry->csn < key->dead_below)
		return KV_DROP;
	if (entry->xid == 0)
		state = KV_XACT_COMMITTED;
	if (state == KV_XACT_ABORTED)
		return KV_DROP;
	seen_by_all = kv_seen_by_all(horizon, entry, state);
	if (KV_BUG(compaction_forgets_snapshots))
		seen_by_all = state == KV_XACT_COMMITTED;
	if (!seen_by_all)
	{
		key->kept = true;
		return KV_KEEP;
	}
	key->shadowed = true;
	dead = kv_entry_is_dead(entry, horizon->now_us);
	/*
	 * Absent for everyone, so it only hides what is older: in these inputs
	 * (dropped from here on) or below.
	 */
	if (dead && (!key->data_below || KV_BUG(compaction_drops_tombstones)))
		return KV_DROP;
	if (KV_BUG(compaction_drops_expired) && dead &&
		entry->kind == KV_KIND_PUT_EXPIRING)
		return KV_DROP;
	/*
	 * csn 0 is older than all and visible to all.  Two versions of one key
	 * with it must never meet, hence only where it is the oldest there is; nor
	 * may it meet an older range delete, hence not where one is in the inputs.
	 */
	if (!dead && !key->data_below && !key->kept && !key->covered)
	{
		key->kept = true;
		return KV_KEEP_BARE;
	}
	key->kept = true;
	return KV_KEEP_UNTAGGED;
}
