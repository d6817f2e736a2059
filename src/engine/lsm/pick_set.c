/* SPDX-License-Identifier: PostgreSQL */
/*
 * pick_set.c - sets of files for the picker, and what overlaps them.
 *
 * Pure: no I/O, no shared state.  Called by compact_pick.c and pick_l0.c.
 */
#include "engine/lsm/pick_set.h"

void
kv_pick_start(KvPick *pick, KvPickKind kind, int output_level, const char *why)
{
	pick->kind = kind;
	pick->output_level = (uint8_t) output_level;
	pick->n = 0;
	pick->why = why;
}

bool
kv_pick_add(KvPick *pick, uint32_t file)
{
	if (pick->n == KV_PICK_FILES)
		return false;
	pick->files[pick->n++] = file;
	return true;
}

bool
kv_pick_has(const KvPick *pick, uint32_t file)
{
	uint32_t i;

	for (i = 0; i < pick->n; i++)
		if (pick->files[i] == file)
			return true;
	return false;
}

void
kv_pick_sort(KvPick *pick)
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

int
kv_pick_last(const KvLevels *l)
{
	int level = KV_LEVELS - 1;

	while (level > 0 && l->start[level] == l->start[level + 1])
		level--;
	return level;
}

uint64_t
kv_pick_level_bytes(const KvLevels *l, int level)
{
	uint64_t bytes = 0;
	uint32_t i;

	for (i = l->start[level]; i < l->start[level + 1]; i++)
		bytes += kv_pick_meta(l, i)->size;
	return bytes;
}

uint64_t
kv_pick_bytes(const KvLevels *l, const KvPick *pick)
{
	uint64_t bytes = 0;
	uint32_t i;

	for (i = 0; i < pick->n; i++)
		bytes += kv_pick_meta(l, pick->files[i])->size;
	return bytes;
}

/* ---- ranges of files, in cut bounds */

static KvSlice
smallest(const KvFileMeta *m)
{
	return kv_slice(m->smallest, m->smallest_len);
}

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

bool
kv_pick_overlap(const KvLevels *l, int level, const KvFileMeta *range,
				uint32_t *from, uint32_t *to)
{
	uint32_t i = l->start[level], high = l->start[level + 1], end = high;

	while (i < high)
	{
		uint32_t mid = i + (high - i) / 2;

		if (kv_key_after_file(smallest(range), kv_pick_meta(l, mid)))
			i = mid + 1;
		else
			high = mid;
	}
	*from = *to = i;
	while (i < end && kv_files_overlap(range, kv_pick_meta(l, i)))
	{
		if (l->files[i].busy)
			return false;
		i++;
	}
	*to = i;
	return true;
}

bool
kv_pick_free_way(const KvLevels *l, int from, int to, const KvFileMeta *range)
{
	uint32_t first, end;

	for (; from <= to; from++)
		if (!kv_pick_overlap(l, from, range, &first, &end) || first < end)
			return false;
	return true;
}

bool
kv_pick_add_down(const KvLevels *l, int from, int output_level,
				 uint64_t max_bytes, KvPick *pick)
{
	KvFileMeta range = *kv_pick_meta(l, pick->files[0]);
	uint64_t bytes = 0;
	uint32_t i, first, end, before = pick->n;
	int level;

	for (i = 0; i < pick->n; i++)
	{
		widen(&range, kv_pick_meta(l, pick->files[i]));
		bytes += kv_pick_meta(l, pick->files[i])->size;
	}
	for (level = from; level <= output_level; level++)
	{
		bool fits = kv_pick_overlap(l, level, &range, &first, &end);

		for (i = first; fits && i < end; i++)
		{
			widen(&range, kv_pick_meta(l, i));
			bytes += kv_pick_meta(l, i)->size;
			fits = bytes <= max_bytes && kv_pick_add(pick, i);
		}
		if (!fits)
		{
			pick->n = before;
			return false;
		}
	}
	return true;
}
