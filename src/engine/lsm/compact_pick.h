/* SPDX-License-Identifier: PostgreSQL */
/*
 * compact_pick.h - which compaction comes next: pure policy.
 *
 * Lazy leveling.  The deepest level in use is the last one and holds nearly
 * all data.  Each level between it and L0 holds one run at most: when L0 has
 * enough runs they become one, in the deepest level that is still empty, and
 * nothing is rewritten until the levels are used up, or all that lies above
 * the last level comes to a fair share of it.  So targets follow from the
 * size of the last level.  Files also go down for being read in vain, and
 * for holding much that can be dropped; those that lie in dropped stores are
 * removed without being read.
 */
#ifndef KV_COMPACT_PICK_H
#define KV_COMPACT_PICK_H

#include "engine/kv_env.h"
#include "engine/lsm/manifest.h"

#define KV_PICK_FILES 512 /* inputs of one compaction at most */

/* An expired value is worth a rewrite once it has lain that long. */
#define KV_EXPIRY_LAG_US (INT64_C(3600) * 1000000)
/*
 * A point read that passes a file's filter and finds nothing has read a
 * block for it: a file is worth merging once that many bytes come to its
 * size.
 */
#define KV_FRUITLESS_BYTES 4096

typedef struct KvPickFile
{
	const KvFileMeta *meta;
	uint32_t fruitless; /* reads */
	bool busy;			/* not to be touched */
} KvPickFile;

/* The levels as they are.  Everything is borrowed. */
typedef struct KvLevels
{
	/*
	 * Level l is files[start[l] .. start[l + 1]).  L0: newest first; others
	 * by key, where not even cut bounds overlap.
	 */
	const KvPickFile *files;
	uint32_t start[KV_LEVELS + 1];
	/* all above the last level may come to that many percent of it */
	uint32_t space_percent;
	uint64_t job_bytes; /* about so much for one job, where there is a choice */
	uint32_t l0_compact;
	/*
	 * L0 files above it are newer than a memtable that is not flushed yet,
	 * and must stay above what that will bring.
	 */
	uint64_t flushed_csn;
	KvHorizon horizon;
	const uint32_t *dropped; /* stores, ascending */
	uint32_t n_dropped;
	/* files with smaller numbers may hold keys of dropped[] unseen */
	uint64_t dropped_before;
	/*
	 * manual_before not 0: somebody asked for [manual_lower, manual_upper) to
	 * be compacted (upper.len 0: no bound).  The level's files there with
	 * smaller numbers go down; in the deepest level in use those are
	 * rewritten that have something to drop.  When that is NOTHING the
	 * caller goes on with the next level: so what one step wrote is old for
	 * the next, and new data never keeps it going.
	 */
	uint64_t manual_before;
	int manual_level;
	KvSlice manual_lower, manual_upper;
} KvLevels;

typedef enum KvPickKind
{
	KV_PICK_NOTHING,
	KV_PICK_MERGE, /* read the inputs, write them to output_level */
	KV_PICK_MOVE,  /* the inputs go to output_level as they are */
	KV_PICK_REMOVE /* nobody needs the inputs */
} KvPickKind;

typedef struct KvPick
{
	KvPickKind kind;
	uint8_t output_level;
	uint32_t n;
	uint32_t files[KV_PICK_FILES]; /* indexes; by level, in the level's order */
	const char *why;			   /* for the log */
} KvPick;

void kv_compact_pick(const KvLevels *levels, KvPick *pick);

/* Is the store of the key in the ascending list? */
bool kv_store_listed(const uint32_t *ids, uint32_t n, KvSlice key);

#endif /* KV_COMPACT_PICK_H */
