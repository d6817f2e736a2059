/* SPDX-License-Identifier: PostgreSQL */
/*
 * compact_range.c - range deletes in a compaction.
 *
 * Compactor only.  All of the inputs' range deletes are collected when the
 * job starts.  Versions are asked against them as they come by; what is left
 * of them goes into the outputs in pieces, each clipped to the keys that its
 * output is responsible for: from where the output before it ended, up to
 * the first KV_BOUND_BYTES of the key that begins the next.
 */
#include "engine/lsm/compact_job.h"

/* Every key of it belongs to a store that is gone. */
static bool
store_is_gone(const KvCompaction *c, const KvEntry *e)
{
	char next[KV_STORE_PREFIX];

	if (!kv_store_listed(c->dropped, c->n_dropped, e->key))
		return false;
	kv_store_be32(next, kv_load_be32(e->key.data) + 1);
	return kv_slice_compare(e->value, kv_slice(next, sizeof(next))) <= 0;
}

KvStatus
kv_job_collect_ranges(KvDb *db, KvCompaction *c, KvError *err)
{
	KvEnv *env = db->env;
	KvRangeList seen = {0};
	KvStatus status = KV_OK;
	uint32_t i;

	for (i = 0; i < db->shared->job.n_inputs && status == KV_OK; i++)
		status = kv_range_list_add_file(db, &c->ranges, c->inputs[i], err);
	for (i = 0; i < c->ranges.n && status == KV_OK; i++)
	{
		KvEntry *e = &c->ranges.items[i];
		KvXactState state = KV_XACT_UNKNOWN;

		status = kv_job_state_of(db, e, &state, err);
		e->state = (uint8_t) state;
		if (status == KV_OK &&
			(kv_seen_by_all(&c->horizon, e, state) ||
			 (KV_BUG(range_delete_ignores_snapshots) &&
			  state == KV_XACT_COMMITTED)) &&
			!kv_range_list_add(env, &seen, e))
			status = kv_fail(err, KV_NO_MEMORY,
							 "out of memory for range deletes");
	}
	if (status == KV_OK)
		status = kv_range_cover_build(env, &seen, &c->dead, err);
	if (status == KV_OK)
		status = kv_range_cover_build(env, &c->ranges, &c->any, err);
	c->seen_ranges = seen;
	return status;
}

void
kv_job_free_ranges(KvDb *db, KvCompaction *c)
{
	KvEnv *env = db->env;

	kv_range_cover_free(env, &c->dead);
	kv_range_cover_free(env, &c->any);
	kv_range_list_free(env, &c->seen_ranges);
	kv_range_list_free(env, &c->ranges);
	kv_buffer_free(env, &c->piece_from);
}

void
kv_job_cover_key(KvCompaction *c, KvSlice key)
{
	c->rule.dead_below = kv_range_cover_csn(&c->dead, key);
	c->rule.covered = kv_range_cover_csn(&c->any, key) != 0;
}

/* May older data lie below the output in [lower, upper)? */
static bool
data_below(KvDb *db, const KvCompaction *c, const KvEntry *e)
{
	uint32_t i, n = c->below_start[KV_LEVELS];

	for (i = 0; i < n; i++)
		if (kv_file_overlaps_range(&kv_file_at(db, c->below[i])->meta, e->key,
								   e->value))
			return true;
	return false;
}

/* The part of e in [from, to), decided; to.len 0: no bound.  false: nothing. */
static bool
piece_of(KvDb *db, const KvCompaction *c, const KvEntry *e, KvSlice to,
		 KvEntry *piece)
{
	KvSlice from = kv_slice(c->piece_from.data, c->piece_from.len);

	*piece = *e;
	if (!KV_BUG(range_delete_not_clipped) &&
		kv_slice_compare(piece->key, from) < 0)
		piece->key = from;
	if (to.len > 0 && !KV_BUG(range_delete_not_clipped) &&
		kv_slice_compare(piece->value, to) > 0)
		piece->value = to;
	if (kv_slice_compare(piece->key, piece->value) >= 0 ||
		(to.len > 0 && kv_slice_compare(piece->key, to) >= 0))
		return false;
	switch (kv_drop_decide_range(store_is_gone(c, e), data_below(db, c, piece),
								 &c->horizon, e, (KvXactState) e->state))
	{
	case KV_DROP:
		return false;
	case KV_KEEP_UNTAGGED:
		piece->xid = 0;
		break;
	default:
		break;
	}
	return true;
}

KvStatus
kv_job_range_pieces(KvDb *db, KvCompaction *c, KvSlice next, KvRangeList *out,
					KvError *err)
{
	KvEnv *env = db->env;
	uint32_t i;

	if (next.len > KV_BOUND_BYTES)
		next.len = KV_BOUND_BYTES;
	for (i = 0; i < c->ranges.n; i++)
	{
		KvEntry piece;

		if (piece_of(db, c, &c->ranges.items[i], next, &piece) &&
			!kv_range_list_add(env, out, &piece))
			return kv_fail(err, KV_NO_MEMORY,
						   "out of memory for range deletes");
	}
	kv_range_list_sort(env, out);
	return KV_OK;
}

KvStatus
kv_job_ranges_done(KvDb *db, KvCompaction *c, KvSlice next, KvError *err)
{
	if (c->ranges.n == 0)
		return KV_OK;
	if (next.len > KV_BOUND_BYTES)
		next.len = KV_BOUND_BYTES;
	if (!kv_buffer_set(db->env, &c->piece_from, next))
		return kv_fail(err, KV_NO_MEMORY, "out of memory for range deletes");
	return KV_OK;
}
