/* SPDX-License-Identifier: PostgreSQL */
/*
 * pick_l0.c - what leaves L0, and for which level.
 *
 * Pure, as compact_pick.c, which calls it.  An L0 file is taken only with
 * every older L0 file that overlaps it, and none that is newer than a
 * memtable still to be flushed.
 */
#include "engine/lsm/pick_set.h"

static bool
eligible(const KvLevels *l, uint32_t i)
{
	return !l->files[i].busy && kv_pick_meta(l, i)->max_csn <= l->flushed_csn;
}

/* From here on everything in L0 may be taken. */
static uint32_t
first_eligible(const KvLevels *l)
{
	uint32_t i = l->start[1];

	while (i > l->start[0] && eligible(l, i - 1))
		i--;
	return i;
}

uint32_t
kv_pick_l0_runs(const KvLevels *l)
{
	uint32_t i, n = 0;

	for (i = l->start[0]; i < l->start[1]; i++)
	{
		uint64_t run = kv_pick_meta(l, i)->run_csn;

		if (eligible(l, i) && (run == 0 || i == l->start[0] ||
							   kv_pick_meta(l, i - 1)->run_csn != run))
			n++;
	}
	return n;
}

bool
kv_pick_requested(const KvLevels *l, uint32_t i)
{
	const KvFileMeta *m = kv_pick_meta(l, i);

	return m->file_no < l->manual_before &&
		   kv_file_overlaps_range(m, l->manual_lower, l->manual_upper);
}

/* ---- moves */

/* The deepest level that the file can sink to; 0: none. */
static int
sinks_to(const KvLevels *l, uint32_t i)
{
	int level = 0;

	while (level + 1 < KV_LEVELS &&
		   kv_pick_free_way(l, level + 1, level + 1, kv_pick_meta(l, i)))
		level++;
	return level;
}

static bool
alone_in_l0(const KvLevels *l, uint32_t i)
{
	uint32_t j;

	for (j = l->start[0]; j < l->start[1]; j++)
		if (j != i && kv_files_overlap(kv_pick_meta(l, i), kv_pick_meta(l, j)))
			return false;
	return true;
}

/*
 * L0 files that nothing in L0 and L1 overlaps sink as they are: all, those
 * that were requested, or those of ingested runs.
 */
typedef enum Which
{
	ALL,
	REQUESTED,
	RUNS
} Which;

static bool
pick_moves(const KvLevels *l, Which which, KvPick *pick)
{
	uint32_t i;

	kv_pick_start(pick, KV_PICK_MOVE, 0, "L0 file without overlap");
	for (i = l->start[1]; i-- > l->start[0];)
	{
		int level;

		if (!eligible(l, i) ||
			(which == REQUESTED && !kv_pick_requested(l, i)) ||
			(which == RUNS && kv_pick_meta(l, i)->run_csn == 0) ||
			!alone_in_l0(l, i))
			continue;
		level = sinks_to(l, i);
		if (level == 0 || (pick->n > 0 && level != pick->output_level))
			continue;
		pick->output_level = (uint8_t) level;
		if (!kv_pick_add(pick, i))
			break;
	}
	kv_pick_sort(pick);
	return pick->n > 0;
}

bool
kv_pick_runs(const KvLevels *l, KvPick *pick)
{
	return pick_moves(l, RUNS, pick);
}

/* ---- merges */

static bool
overlaps_picked(const KvLevels *l, const KvPick *pick, uint32_t file)
{
	uint32_t i;

	for (i = 0; i < pick->n; i++)
		if (kv_files_overlap(kv_pick_meta(l, pick->files[i]),
							 kv_pick_meta(l, file)))
			return true;
	return false;
}

/* An older L0 file overlaps the file and is not picked. */
static bool
skips_older(const KvLevels *l, const KvPick *pick, uint32_t file)
{
	uint32_t i;

	for (i = file + 1; i < l->start[1]; i++)
		if (!kv_pick_has(pick, i) &&
			kv_files_overlap(kv_pick_meta(l, i), kv_pick_meta(l, file)))
			return true;
	return false;
}

/* The file and, one by one, all that overlap what is picked already. */
static bool
collect(const KvLevels *l, uint32_t seed, KvPick *pick)
{
	uint32_t i, before, first = first_eligible(l);

	if (seed < first || !kv_pick_add(pick, seed))
		return false;
	do
	{
		before = pick->n;
		for (i = l->start[1]; i-- > first;)
			if (!kv_pick_has(pick, i) && overlaps_picked(l, pick, i) &&
				!kv_pick_add(pick, i))
				return false;
	} while (pick->n > before);
	kv_pick_sort(pick);
	return true;
}

/* From the oldest on, at most max, none over an older one that stays. */
static bool
collect_some(const KvLevels *l, uint32_t max, KvPick *pick)
{
	uint32_t i, first = first_eligible(l);

	for (i = l->start[1]; i-- > first && pick->n < max;)
		if (pick->n == 0 ||
			(overlaps_picked(l, pick, i) && !skips_older(l, pick, i)))
			(void) kv_pick_add(pick, i);
	kv_pick_sort(pick);
	return pick->n > 0;
}

/*
 * Where a merge of that many bytes goes: as deep as levels are empty; a run
 * on the way is merged in where it is small beside what comes, or where no
 * level is empty above it.  The last level takes part when what comes is a
 * fair share of it.
 */
static int
tier_for(const KvLevels *l, uint64_t bytes)
{
	int level, out = 0, last = kv_pick_last(l);

	for (level = 1; level < KV_LEVELS; level++)
	{
		uint64_t size = kv_pick_level_bytes(l, level);

		if (size > 0 && out > 0 &&
			(level == last ? bytes * 100 < size * l->space_percent ||
								 bytes + size > l->job_bytes
						   : bytes < size * 2))
			break;
		bytes += size;
		out = level;
	}
	return out;
}

/* As deep as wanted; less deep where that were too much for one job. */
static bool
complete(const KvLevels *l, bool manual, KvPick *pick)
{
	int out = manual ? KV_LEVELS - 1 : tier_for(l, kv_pick_bytes(l, pick));

	for (; out > 0; out--)
	{
		pick->output_level = (uint8_t) out;
		if (kv_pick_add_down(l, 1, out, out == 1 ? UINT64_MAX : l->job_bytes,
							 pick))
			return true;
	}
	return false;
}

bool
kv_pick_l0(const KvLevels *l, bool manual, KvPick *pick)
{
	uint32_t max, seed = l->start[1];

	if (pick_moves(l, manual ? REQUESTED : ALL, pick))
		return true;
	while (seed > l->start[0] && manual && !kv_pick_requested(l, seed - 1))
		seed--;
	if (seed == l->start[0])
		return false;
	kv_pick_start(pick, KV_PICK_MERGE, 1, manual ? "requested" : "L0 is full");
	if (collect(l, seed - 1, pick) && complete(l, manual, pick))
		return true;
	/* too much for one job: fewer, and never one above an older one */
	for (max = KV_PICK_FILES / 2; max > 0; max /= 4)
	{
		pick->n = 0;
		if (collect_some(l, max, pick) && complete(l, manual, pick))
			return true;
	}
	return false;
}
