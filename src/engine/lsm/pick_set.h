/* SPDX-License-Identifier: PostgreSQL */
/*
 * pick_set.h - what the parts of the picker share: sets of files and ranges.
 *
 * For compact_pick.c and pick_l0.c.  Pure, as they are.
 */
#ifndef KV_PICK_SET_H
#define KV_PICK_SET_H

#include "engine/lsm/compact_pick.h"
#include "engine/lsm/db_internal.h"

static inline const KvFileMeta *
kv_pick_meta(const KvLevels *l, uint32_t i)
{
	return l->files[i].meta;
}

void kv_pick_start(KvPick *pick, KvPickKind kind, int output_level,
				   const char *why);
/* false: no room */
bool kv_pick_add(KvPick *pick, uint32_t file);
bool kv_pick_has(const KvPick *pick, uint32_t file);
void kv_pick_sort(KvPick *pick);

/* The deepest level below L0 that holds anything; 0: none. */
int kv_pick_last(const KvLevels *l);
uint64_t kv_pick_level_bytes(const KvLevels *l, int level);
uint64_t kv_pick_bytes(const KvLevels *l, const KvPick *pick);
/*
 * The files of a sorted level that overlap the range, of which only the
 * bounds count: [*from, *to).  false if one of them is busy.
 */
bool kv_pick_overlap(const KvLevels *l, int level, const KvFileMeta *range,
					 uint32_t *from, uint32_t *to);
/* Nothing in the levels from..to overlaps the range. */
bool kv_pick_free_way(const KvLevels *l, int from, int to,
					  const KvFileMeta *range);
/*
 * Completes a merge into the output level: adds, level by level from from
 * on, what overlaps all that is picked so far.  false: too much for a job
 * (max_bytes counts only where something was added), or busy; the pick is
 * as it was.
 */
bool kv_pick_add_down(const KvLevels *l, int from, int output_level,
					  uint64_t max_bytes, KvPick *pick);

/* ---- pick_l0.c */
/* Runs in L0 that may be compacted; the files of one ingest count once. */
uint32_t kv_pick_l0_runs(const KvLevels *l);
/*
 * The oldest file of L0 and all that overlaps it go down a tier.  With a
 * manual request: the oldest that it covers, and as deep as fits.
 */
bool kv_pick_l0(const KvLevels *l, bool manual, KvPick *pick);
/* Files of ingested runs that sink as they are, however full L0 is. */
bool kv_pick_runs(const KvLevels *l, KvPick *pick);
/* The request covers the file. */
bool kv_pick_requested(const KvLevels *l, uint32_t i);

#endif /* KV_PICK_SET_H */
