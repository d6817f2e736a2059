/* SPDX-License-Identifier: PostgreSQL */
/*
 * compact_pick.c - which compaction comes next: pure policy.
 *
 * No I/O, no shared state, no KvDb: the levels come as a plain array.  Called
 * by the compactor before each job.
 *
 * What every pick guarantees: no older version stays above the output.  So an
 * L0 file is taken only together with every older L0 file that overlaps it,
 * and with every file of the output level that overlaps the range of the
 * rest, in which the output will lie.
 */
#include "engine/lsm/compact_pick.h"

#include "engine/base/coding.h"
#include "engine/base/entry.h"
#include "engine/lsm/db_internal.h"

/* More than this in percent of a file's entries: rewrite it. */
#define TOMBSTONE_PERCENT 50

static const KvFileMeta *
meta_of(const KvLevels *l, uint32_t i)
{
	return l->files[i].meta;
}

static KvSlice
smallest(const KvFileMeta *m)
{
	return kv_slice(m->smallest, m->smallest_len);
}

static uint32_t
level_count(const KvLevels *l, int level)
{
	return l->start[level + 1] - l->start[level];
}

static bool
pick_add(KvPick *pick, uint32_t file)
{
	if (pick->n == KV_PICK_FILES)
		return false;
	pick->files[pick->n++] = file;
	return true;
}

static bool
pick_has(const KvPick *pick, uint32_t file)
{
	uint32_t i;

	for (i = 0; i < pick->n; i++)
		if (pick->files[i] == file)
			return true;
	return false;
}

static void
pick_start(KvPick *pick, KvPickKind kind, int output_level, const char *why)
{
	pick->kind = kind;
	pick->output_level = (uint8_t) output_level;
	pick->n = 0;
	pick->why = why;
}

static void
pick_nothing(KvPick *pick)
{
	pick_start(pick, KV_PICK_NOTHING, 0, "");
}

/* ---- ranges of files, in cut bounds */

/* Makes range, a meta of which only the bounds count, include meta. */
static void
widen(KvFileMeta *range, const KvFileMeta *meta)
{
	int c;

	if (kv_slice_compare(smallest(meta), smallest(range)) < 0)
	{
		range->smallest_len = meta->smallest_len;
		memcpy(range->smallest, meta->smallest, meta->smallest_len);
	}
	c = kv_slice_compare(kv_slice(meta->largest, meta->largest_len),
						 kv_slice(range->largest, range->largest_len));
	if (c > 0 || (c == 0 && meta->largest_cut))
	{
		range->largest_len = meta->largest_len;
		range->largest_cut = meta->largest_cut;
		memcpy(range->largest, meta->largest, meta->largest_len);
	}
}

/*
 * The files of a sorted level that overlap the range: [*from, *to).  false if
 * one of them is busy.
 */
static bool
overlapping(const KvLevels *l, int level, const KvFileMeta *range,
			uint32_t *from, uint32_t *to)
{
	uint32_t i = l->start[level], high = l->start[level + 1], end = high;

	while (i < high)
	{
		uint32_t mid = i + (high - i) / 2;

		if (kv_key_after_file(smallest(range), meta_of(l, mid)))
			i = mid + 1;
		else
			high = mid;
	}
	*from = i;
	while (i < end && kv_files_overlap(range, meta_of(l, i)))
	{
		if (l->files[i].busy)
			return false;
		i++;
	}
	*to = i;
	return true;
}

/* Adds what overlaps the picked files in the output level.  false: no room */
static bool
add_overlapping(const KvLevels *l, KvPick *pick)
{
	KvFileMeta range = *meta_of(l, pick->files[0]);
	uint32_t i, from, to;

	for (i = 1; i < pick->n; i++)
		widen(&range, meta_of(l, pick->files[i]));
	if (!overlapping(l, pick->output_level, &range, &from, &to))
		return false;
	for (i = from; i < to; i++)
		if (!pick_add(pick, i))
			return false;
	return true;
}

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
		   kv_store_listed(l->dropped, l->n_dropped, smallest(m));
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
	uint32_t from, to;

	for (level++; level < KV_LEVELS; level++)
		if (!overlapping(l, level, m, &from, &to) || from < to)
			return true;
	return false;
}

static bool
worth_a_rewrite(const KvLevels *l, int level, uint32_t i, bool manual)
{
	const KvFileMeta *m = meta_of(l, i);
	int64_t lag = manual ? 0 : KV_EXPIRY_LAG_US;

	if (l->files[i].busy)
		return false;
	if (spans_dropped(l, m) && (manual || m->file_no < l->dropped_before))
		return true;
	if (!below_horizon(l, m) || anything_below(l, level, m))
		return false;
	if (m->oldest_expiry_us != 0 &&
		m->oldest_expiry_us <= l->horizon.now_us - lag)
		return true;
	if (manual)
		return m->tombstones > 0;
	return m->tombstones * 100 > m->entries * TOMBSTONE_PERCENT;
}

static bool
pick_removal(const KvLevels *l, KvPick *pick)
{
	uint32_t i;

	pick_start(pick, KV_PICK_REMOVE, 0, "dropped store");
	for (i = 0; i < l->start[KV_LEVELS] && l->n_dropped > 0; i++)
		if (!l->files[i].busy && wholly_dropped(l, meta_of(l, i)) &&
			!pick_add(pick, i))
			break;
	return pick->n > 0;
}

static bool
pick_rewrite(const KvLevels *l, int level, uint64_t before, KvPick *pick)
{
	uint32_t i;

	pick_start(pick, KV_PICK_MERGE, level, "rewrite");
	for (i = l->start[level]; i < l->start[level + 1]; i++)
		if (meta_of(l, i)->file_no < before &&
			worth_a_rewrite(l, level, i, before != UINT64_MAX))
			return pick_add(pick, i);
	return false;
}

/* ---- L0 */

static bool
l0_eligible(const KvLevels *l, uint32_t i)
{
	return !l->files[i].busy && meta_of(l, i)->max_csn <= l->flushed_csn;
}

static bool
overlaps_picked(const KvLevels *l, const KvPick *pick, uint32_t file)
{
	uint32_t i;

	for (i = 0; i < pick->n; i++)
		if (kv_files_overlap(meta_of(l, pick->files[i]), meta_of(l, file)))
			return true;
	return false;
}

/* An older L0 file overlaps the file and is not picked. */
static bool
skips_older(const KvLevels *l, const KvPick *pick, uint32_t file)
{
	uint32_t i;

	for (i = file + 1; i < l->start[1]; i++)
		if (!pick_has(pick, i) &&
			kv_files_overlap(meta_of(l, i), meta_of(l, file)))
			return true;
	return false;
}

static void
sort_picked(KvPick *pick)
{
	uint32_t i, j;

	for (i = 1; i < pick->n; i++)
	{
		uint32_t file = pick->files[i];

		for (j = i; j > 0 && pick->files[j - 1] > file; j--)
			pick->files[j] = pick->files[j - 1];
		pick->files[j] = file;
	}
}

/* L0 files that nothing in L0 and L1 overlaps go down as they are. */
static bool
pick_l0_moves(const KvLevels *l, KvPick *pick)
{
	uint32_t i, j, from, to;

	pick_start(pick, KV_PICK_MOVE, 1, "L0 file without overlap");
	for (i = l->start[1]; i-- > l->start[0];)
	{
		bool alone = l0_eligible(l, i);

		for (j = l->start[0]; alone && j < l->start[1]; j++)
			alone = j == i || !kv_files_overlap(meta_of(l, i), meta_of(l, j));
		if (alone && overlapping(l, 1, meta_of(l, i), &from, &to) &&
			from == to && !pick_add(pick, i))
			break;
	}
	sort_picked(pick);
	return pick->n > 0;
}

/*
 * From the oldest file on, all that overlap what is picked already.  With
 * skip, a file over an older one that is not picked stays where it is; else
 * passes are made until nothing is left to add.
 */
static bool
collect_l0(const KvLevels *l, uint32_t max, bool skip, KvPick *pick)
{
	uint32_t seed = l->start[1] - 1, before, i;

	pick_start(pick, KV_PICK_MERGE, 1, "L0 is full");
	if (!l0_eligible(l, seed) || !pick_add(pick, seed))
		return false;
	do
	{
		before = pick->n;
		for (i = seed; i-- > l->start[0];)
		{
			if (!l0_eligible(l, i))
				break; /* it and all newer ones stay */
			if (pick_has(pick, i) || !overlaps_picked(l, pick, i) ||
				(skip && skips_older(l, pick, i)))
				continue;
			if (pick->n == max && skip)
				break;
			if (pick->n == max || !pick_add(pick, i))
				return false;
		}
	} while (!skip && pick->n > before);
	sort_picked(pick);
	return add_overlapping(l, pick);
}

static bool
pick_l0(const KvLevels *l, KvPick *pick)
{
	uint32_t max;

	if (level_count(l, 0) == 0)
		return false;
	if (pick_l0_moves(l, pick))
		return true;
	if (collect_l0(l, KV_PICK_FILES, false, pick))
		return true;
	/* too much for one job: fewer, and never one above an older one */
	for (max = KV_PICK_FILES / 2; max > 0; max /= 4)
		if (collect_l0(l, max, true, pick))
			return true;
	return false;
}

/* Runs in L0 that may be compacted; the files of one ingest count once. */
static uint32_t
l0_runs(const KvLevels *l)
{
	uint32_t i, n = 0;

	for (i = l->start[0]; i < l->start[1]; i++)
	{
		uint64_t run = meta_of(l, i)->run_csn;

		if (l0_eligible(l, i) && (run == 0 || i == l->start[0] ||
								  meta_of(l, i - 1)->run_csn != run))
			n++;
	}
	return n;
}

/* ---- deeper levels */

static uint64_t
target_bytes(const KvLevels *l, int level)
{
	uint64_t target = l->level_bytes;

	while (--level > 0)
		target = target > UINT64_MAX / 10 ? UINT64_MAX : target * 10;
	return target;
}

static uint64_t
level_size(const KvLevels *l, int level)
{
	uint64_t bytes = 0;
	uint32_t i;

	for (i = l->start[level]; i < l->start[level + 1]; i++)
		bytes += meta_of(l, i)->size;
	return bytes;
}

/* As many files as it takes to shrink the level, if nothing is below them. */
static bool
pick_moves(const KvLevels *l, int level, uint64_t excess, KvPick *pick)
{
	uint64_t moved = 0;
	uint32_t i, from, to;

	pick_start(pick, KV_PICK_MOVE, level + 1, "file without overlap");
	for (i = l->start[level]; i < l->start[level + 1] && moved < excess; i++)
		if (!l->files[i].busy &&
			overlapping(l, level + 1, meta_of(l, i), &from, &to) && from == to)
		{
			if (!pick_add(pick, i))
				break;
			moved += meta_of(l, i)->size;
		}
	return pick->n > 0;
}

/* The file that costs least for what it brings. */
static bool
pick_level(const KvLevels *l, int level, uint64_t excess, KvPick *pick)
{
	uint32_t i, j, from, to, best = UINT32_MAX;
	double best_cost = 0;

	if (pick_moves(l, level, excess, pick))
		return true;
	for (i = l->start[level]; i < l->start[level + 1]; i++)
	{
		const KvFileMeta *m = meta_of(l, i);
		double cost = 0;

		if (l->files[i].busy || !overlapping(l, level + 1, m, &from, &to) ||
			to - from >= KV_PICK_FILES)
			continue;
		for (j = from; j < to; j++)
			cost += (double) meta_of(l, j)->size;
		cost /= (double) (m->size + 1);
		if (best == UINT32_MAX || cost < best_cost ||
			(cost == best_cost && m->file_no < meta_of(l, best)->file_no))
		{
			best = i;
			best_cost = cost;
		}
	}
	if (best == UINT32_MAX)
		return false;
	pick_start(pick, KV_PICK_MERGE, level + 1, "level is too large");
	return pick_add(pick, best) && add_overlapping(l, pick);
}

/* The level that is fullest for its size comes first. */
static bool
pick_by_size(const KvLevels *l, KvPick *pick)
{
	double score[KV_LEVELS - 1];
	int level, n;

	score[0] = (double) l0_runs(l) / (double) l->l0_compact;
	for (level = 1; level < KV_LEVELS - 1; level++)
	{
		score[level] = (double) level_size(l, level) /
					   (double) target_bytes(l, level);
		if (score[level] == 1.0)
			score[level] = 0;
	}
	for (n = 0; n < KV_LEVELS - 1; n++)
	{
		int best = 0;

		for (level = 1; level < KV_LEVELS - 1; level++)
			if (score[level] > score[best])
				best = level;
		if (score[best] < 1.0)
			return false;
		if (best == 0 ? pick_l0(l, pick)
					  : pick_level(l, best,
								   level_size(l, best) - target_bytes(l, best),
								   pick))
			return true;
		score[best] = 0;
	}
	return false;
}

/* ---- on request */

/* Files from the first old one on, as many as fit into a job. */
static bool
push_down(const KvLevels *l, int level, KvPick *pick)
{
	uint32_t i = l->start[level], end = l->start[level + 1];
	uint32_t from, to, first, below;
	KvFileMeta range;

	while (i < end &&
		   (l->files[i].busy || meta_of(l, i)->file_no >= l->manual_before))
		i++;
	if (i == end)
		return false;
	pick_start(pick, KV_PICK_MOVE, level + 1, "requested");
	for (first = i; i < end && !l->files[i].busy; i++)
		if (!overlapping(l, level + 1, meta_of(l, i), &from, &to) ||
			from < to || !pick_add(pick, i))
			break;
	if (pick->n > 0)
		return true;
	pick_start(pick, KV_PICK_MERGE, level + 1, "requested");
	range = *meta_of(l, first);
	for (i = first; i < end && !l->files[i].busy; i++)
	{
		KvFileMeta wider = range;

		widen(&wider, meta_of(l, i));
		if (!overlapping(l, level + 1, &wider, &from, &to))
			break;
		below = to - from;
		if (pick->n + 1 + below > KV_PICK_FILES || !pick_add(pick, i))
			break;
		range = wider;
	}
	return pick->n > 0 && add_overlapping(l, pick);
}

static bool
pick_old_l0(const KvLevels *l, KvPick *pick)
{
	uint32_t i;

	for (i = l->start[0]; i < l->start[1]; i++)
		if (l0_eligible(l, i) && meta_of(l, i)->file_no < l->manual_before &&
			pick_l0(l, pick))
		{
			pick->why = "requested";
			return true;
		}
	return false;
}

static bool
pick_manual(const KvLevels *l, KvPick *pick)
{
	int level, deepest = 1;

	for (level = 1; level < KV_LEVELS; level++)
		if (level_count(l, level) > 0)
			deepest = level;
	if (l->manual_level == 0)
		return pick_old_l0(l, pick);
	if (l->manual_level < deepest)
		return push_down(l, l->manual_level, pick);
	return pick_rewrite(l, deepest, l->manual_before, pick);
}

void
kv_compact_pick(const KvLevels *l, KvPick *pick)
{
	int level;

	if (pick_removal(l, pick))
		return;
	if (pick_by_size(l, pick))
		return;
	if (l->manual_before != 0)
	{
		if (pick_manual(l, pick))
			return;
	}
	else
		for (level = 1; level < KV_LEVELS; level++)
			if (pick_rewrite(l, level, UINT64_MAX, pick))
				return;
	pick_nothing(pick);
}
