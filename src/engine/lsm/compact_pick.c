/* SPDX-License-Identifier: PostgreSQL */
/*
 * compact_pick.c - which compaction comes next: pure policy.
 *
 * No I/O, no shared state, no KvDb: the levels come as a plain array.  Called
 * by the compactor before each job.
 *
 * What every pick guarantees: no older version stays above the output.  So an
 * L0 file is taken only together with every older L0 file that overlaps it,
 * and with every file of the levels down to the output that overlaps the
 * range of the rest, in which the output will lie.
 */
#include "engine/lsm/pick_set.h"

#include "engine/base/coding.h"
#include "engine/base/entry.h"

/* More than this in percent of a file's entries: rewrite it. */
#define TOMBSTONE_PERCENT 50

/* ---- what can be dropped */

bool
kv_store_listed(const uint32_t *ids, uint32_t n, KvSlice key)
{
	uint32_t low = 0, high = n, id;

	if (n == 0 || key.len < KV_STORE_PREFIX)
		return false;
	id = kv_load_be32(key.data);
	while (low < high)
	{
		uint32_t mid = low + (high - low) / 2;

		if (ids[mid] < id)
			low = mid + 1;
		else
			high = mid;
	}
	return low < n && ids[low] == id;
}

static bool
wholly_dropped(const KvLevels *l, const KvFileMeta *m)
{
	return m->smallest_len >= KV_STORE_PREFIX &&
		   m->largest_len >= KV_STORE_PREFIX &&
		   memcmp(m->smallest, m->largest, KV_STORE_PREFIX) == 0 &&
		   kv_store_listed(l->dropped, l->n_dropped,
						   kv_slice(m->smallest, m->smallest_len));
}

/* A dropped store lies between the file's bounds. */
static bool
spans_dropped(const KvLevels *l, const KvFileMeta *m)
{
	uint32_t i;

	if (m->smallest_len < KV_STORE_PREFIX || m->largest_len < KV_STORE_PREFIX)
		return false;
	for (i = 0; i < l->n_dropped; i++)
		if (l->dropped[i] >= kv_load_be32(m->smallest) &&
			l->dropped[i] <= kv_load_be32(m->largest))
			return true;
	return false;
}

/* Everything in the file is visible to all: a rewrite will drop what is dead. */
static bool
below_horizon(const KvLevels *l, const KvFileMeta *m)
{
	return m->max_csn <= l->horizon.csn &&
		   (m->max_xid == 0 || m->max_xid < l->horizon.xid);
}

static bool
anything_below(const KvLevels *l, int level, const KvFileMeta *m)
{
	return !kv_pick_free_way(l, level + 1, KV_LEVELS - 1, m);
}

/* Much of the file goes, once it is at the bottom. */
static bool
much_to_drop(const KvLevels *l, uint32_t i)
{
	const KvFileMeta *m = kv_pick_meta(l, i);

	if (l->files[i].busy || !below_horizon(l, m))
		return false;
	return (m->oldest_expiry_us != 0 &&
			m->oldest_expiry_us <= l->horizon.now_us - KV_EXPIRY_LAG_US) ||
		   m->range_deletes > 0 ||
		   m->tombstones * 100 > m->entries * TOMBSTONE_PERCENT;
}

/* At the bottom, by request: anything to drop. */
static bool
something_to_drop(const KvLevels *l, int level, uint32_t i)
{
	const KvFileMeta *m = kv_pick_meta(l, i);

	if (l->files[i].busy)
		return false;
	if (spans_dropped(l, m))
		return true;
	if (!below_horizon(l, m) || anything_below(l, level, m))
		return false;
	/*
	 * What was merged here for everyone has no csn left.  A file with one may
	 * hold versions that only a snapshot could see; a run has no two.
	 */
	return m->tombstones > 0 || m->range_deletes > 0 ||
		   (m->max_csn != 0 && m->run_csn == 0) ||
		   (m->oldest_expiry_us != 0 &&
			m->oldest_expiry_us <= l->horizon.now_us);
}

static bool
pick_removal(const KvLevels *l, KvPick *pick)
{
	uint32_t i;

	kv_pick_start(pick, KV_PICK_REMOVE, 0, "dropped store");
	for (i = 0; i < l->start[KV_LEVELS] && l->n_dropped > 0; i++)
		if (!l->files[i].busy && wholly_dropped(l, kv_pick_meta(l, i)) &&
			!kv_pick_add(pick, i))
			break;
	return pick->n > 0;
}

/* ---- below L0 */

/*
 * The file goes to the last level, or as near to it as one job can bring it,
 * with all that overlaps it on the way.
 */
static bool
pick_down(const KvLevels *l, int level, uint32_t i, const char *why,
		  KvPick *pick)
{
	int out;

	for (out = kv_pick_last(l); out > level; out--)
	{
		kv_pick_start(pick, KV_PICK_MERGE, out, why);
		if (kv_pick_add(pick, i) &&
			kv_pick_add_down(l, level + 1, out, UINT64_MAX, pick))
		{
			if (pick->n == 1)
				pick->kind = KV_PICK_MOVE;
			return true;
		}
	}
	return false;
}

/* What sinks without being read: as many files as it takes. */
static bool
pick_moves(const KvLevels *l, int level, int last, uint64_t excess,
		   KvPick *pick)
{
	uint64_t moved = 0;
	uint32_t i;

	kv_pick_start(pick, KV_PICK_MOVE, last, "file without overlap");
	for (i = l->start[level]; i < l->start[level + 1] && moved < excess; i++)
		if (!l->files[i].busy &&
			kv_pick_free_way(l, level + 1, last, kv_pick_meta(l, i)))
		{
			if (!kv_pick_add(pick, i))
				break;
			moved += kv_pick_meta(l, i)->size;
		}
	return pick->n > 0;
}

/* The file that costs least for what it brings to the last level. */
static bool
pick_cheapest(const KvLevels *l, int level, int last, KvPick *pick)
{
	uint32_t i, j, from, to, best = UINT32_MAX;
	double best_cost = 0;

	for (i = l->start[level]; i < l->start[level + 1]; i++)
	{
		const KvFileMeta *m = kv_pick_meta(l, i);
		double cost = 0;

		if (l->files[i].busy || !kv_pick_overlap(l, last, m, &from, &to) ||
			to - from >= KV_PICK_FILES)
			continue;
		for (j = from; j < to; j++)
			cost += (double) kv_pick_meta(l, j)->size;
		cost /= (double) (m->size + 1);
		if (best == UINT32_MAX || cost < best_cost ||
			(cost == best_cost && m->file_no < kv_pick_meta(l, best)->file_no))
		{
			best = i;
			best_cost = cost;
		}
	}
	return best != UINT32_MAX &&
		   pick_down(l, level, best, "too much above the last level", pick);
}

/* ---- by score */

/* What the runs between L0 and the last level come to, and may come to. */
static void
weigh(const KvLevels *l, uint64_t *above, uint64_t *target)
{
	int level, last = kv_pick_last(l);

	*above = 0;
	for (level = 1; level < last; level++)
		*above += kv_pick_level_bytes(l, level);
	*target = kv_pick_level_bytes(l, last) * l->space_percent / 100;
}

/* The deepest of them goes down piece by piece. */
static bool
pick_above(const KvLevels *l, uint64_t excess, KvPick *pick)
{
	int last = kv_pick_last(l), level = last - 1;

	while (level > 1 && l->start[level] == l->start[level + 1])
		level--;
	return pick_moves(l, level, last, excess, pick) ||
		   pick_cheapest(l, level, last, pick);
}

static bool
pick_by_size(const KvLevels *l, KvPick *pick)
{
	uint64_t above, target;
	double l0 = (double) kv_pick_l0_runs(l) / (double) l->l0_compact;
	bool too_much;

	weigh(l, &above, &target);
	too_much = above > target;
	/* the more urgent first; the other one if that is blocked */
	if (l0 >= 1.0 && !(too_much && (double) above / ((double) target + 1) > l0))
		return kv_pick_l0(l, false, pick) ||
			   (too_much && pick_above(l, above - target, pick));
	return (too_much && pick_above(l, above - target, pick)) ||
		   (l0 >= 1.0 && kv_pick_l0(l, false, pick));
}

/* The file above the last level that was read in vain most for its size. */
static bool
pick_fruitless(const KvLevels *l, KvPick *pick)
{
	int level, best_level = 0, last = kv_pick_last(l);
	uint32_t i, best = UINT32_MAX;
	double most = 1.0;

	for (level = 0; level < last; level++)
		for (i = l->start[level]; i < l->start[level + 1]; i++)
		{
			double score = (double) l->files[i].fruitless * KV_FRUITLESS_BYTES /
						   (double) (kv_pick_meta(l, i)->size + 1);

			if (score >= most && !l->files[i].busy)
			{
				most = score;
				best = i;
				best_level = level;
			}
		}
	if (best == UINT32_MAX)
		return false;
	if (best_level == 0)
		return kv_pick_l0(l, false, pick);
	return pick_down(l, best_level, best, "read in vain", pick);
}

/* Files that carry much that can be dropped. */
static bool
pick_garbage(const KvLevels *l, KvPick *pick)
{
	int level;
	uint32_t i;

	for (level = 1; level < KV_LEVELS; level++)
		for (i = l->start[level]; i < l->start[level + 1]; i++)
		{
			const KvFileMeta *m = kv_pick_meta(l, i);
			bool much = much_to_drop(l, i);

			if (much && anything_below(l, level, m))
			{
				if (pick_down(l, level, i, "much to drop", pick))
					return true;
			}
			else if (much ||
					 (!l->files[i].busy && m->file_no < l->dropped_before &&
					  spans_dropped(l, m)))
			{
				kv_pick_start(pick, KV_PICK_MERGE, level, "rewrite");
				return kv_pick_add(pick, i);
			}
		}
	return false;
}

/* ---- on request */

/* Files from the first covered one on, as many as fit into a job. */
static bool
push_down(const KvLevels *l, int level, int last, KvPick *pick)
{
	uint32_t i = l->start[level], end = l->start[level + 1], n;
	uint32_t first;

	while (i < end && (l->files[i].busy || !kv_pick_requested(l, i)))
		i++;
	if (i == end)
		return false;
	kv_pick_start(pick, KV_PICK_MOVE, last, "requested");
	for (first = i; i < end && !l->files[i].busy && kv_pick_requested(l, i);
		 i++)
		if (!kv_pick_free_way(l, level + 1, last, kv_pick_meta(l, i)) ||
			!kv_pick_add(pick, i))
			break;
	if (pick->n > 0)
		return true;
	for (n = 1; first + n < end && !l->files[first + n].busy &&
				kv_pick_requested(l, first + n);)
		n++;
	/* fewer, until they fit with what is below them */
	for (; n > 1; n = n / 2)
	{
		kv_pick_start(pick, KV_PICK_MERGE, last, "requested");
		for (i = 0; i < n && kv_pick_add(pick, first + i);)
			i++;
		if (i == n && kv_pick_add_down(l, level + 1, last, l->job_bytes, pick))
			return true;
	}
	return pick_down(l, level, first, "requested", pick);
}

static bool
pick_manual(const KvLevels *l, KvPick *pick)
{
	int level = l->manual_level, last = kv_pick_last(l);
	uint32_t i;

	if (level == 0)
		return kv_pick_l0(l, true, pick);
	if (level < last)
		return push_down(l, level, last, pick);
	for (i = l->start[last]; level == last && i < l->start[last + 1]; i++)
		if (kv_pick_requested(l, i) && something_to_drop(l, last, i))
		{
			kv_pick_start(pick, KV_PICK_MERGE, last, "requested");
			return kv_pick_add(pick, i);
		}
	return false;
}

void
kv_compact_pick(const KvLevels *l, KvPick *pick)
{
	if (pick_removal(l, pick))
		return;
	if (pick_by_size(l, pick))
		return;
	if (kv_pick_runs(l, pick))
		return;
	if (l->manual_before != 0)
	{
		if (pick_manual(l, pick))
			return;
	}
	else if (pick_fruitless(l, pick) || pick_garbage(l, pick))
		return;
	kv_pick_start(pick, KV_PICK_NOTHING, 0, "");
}
