/* SPDX-License-Identifier: PostgreSQL */
/*
 * write_set_internal.h - what the parts of a write set know of each other.
 *
 * write_set.c has the memtable, adding and killing, write_set_run.c the runs
 * in files, write_set_range.c range deletes, write_set_read.c gets and
 * iterators, write_set_filter.c a filter of its keys.  The set's interface is
 * in kv_engine.h.
 */
#ifndef KV_WRITE_SET_INTERNAL_H
#define KV_WRITE_SET_INTERNAL_H

#include "engine/base/check.h"
#include "engine/kv_engine.h"
#include "engine/lsm/range_deletes.h"
#include "engine/mem/memtable.h"
#include "engine/sst/sst.h"
#include "engine/sst/sst_buffer.h"

/* Beyond so many entries in a row a loop asks whether it should go on. */
#define KV_SET_POLL_EVERY 4096
/* of an iterator over a run */
#define KV_SET_READAHEAD ((uint32_t) 64 << 10)

/*
 * Versions that have left the memtable, as one table in a temporary file.
 * Their csns are all below those of younger runs and of the memtable.
 */
typedef struct KvRun
{
	KvSst *sst;
	uint32_t refs;	/* the set, while it has it, and each iterator */
	uint32_t tier;	/* how often its entries were merged */
	uint64_t size;	/* of the file */
	uint64_t bytes; /* that its entries took in the memtable */
	uint64_t entries;
	uint32_t min_stamp;
} KvRun;

/* The batches up to last whose stamp is from or larger are dead. */
typedef struct KvKill
{
	uint64_t last; /* csn */
	uint32_t from; /* stamp */
} KvKill;

struct KvWriteSet
{
	KvEnv *env;
	/* memory */
	KvMem *mem;
	size_t bytes;
	size_t max_bytes;	  /* of mem */
	size_t allowed_bytes; /* of the set */
	uint64_t generation;
	uint64_t csn;	/* of the newest batch */
	uint32_t batch; /* open for stamp; 0: none */
	uint32_t stamp;
	/* kills */
	KvKill *kill;
	size_t kills;
	size_t kill_room;	/* always more than kills once there is a write */
	uint64_t kill_csn;	/* csn at the last kill */
	uint32_t min_stamp; /* of the writes since then; UINT32_MAX: none */
	/* runs, the oldest first */
	KvRun **run;
	uint32_t runs;
	uint32_t run_room;
	uint64_t last_file_no;
	/* what iterators compare: any write or kill; any kill; other sources */
	uint64_t changes;
	uint64_t all_kills;
	uint64_t version;
	KvRangeList ranges; /* xid is the stamp plus one */
	KvBuffer found;		/* the value of the last get, if it is in a file */
	uint64_t *filter;	/* bits of keys' hashes; NULL: every key may be here */
	uint64_t filter_mask; /* of its words */
};

/* write_set_filter.c: the part of the set's memory that it may take. */
#define KV_SET_FILTER_PART 8
/* After each write of a key. */
void kv_set_filter_add(KvWriteSet *ws, KvSlice key);
/* Before the first run is there: keys of runs cannot be added again. */
void kv_set_filter_grow_to_end(KvWriteSet *ws);
/* false: no live or dead write of the key is in the set. */
bool kv_set_may_have(const KvWriteSet *ws, KvSlice key);

/* write_set.c */
/* The memtable, which is empty, becomes small, if memory can be had for it. */
void kv_set_shrink(KvWriteSet *ws);
/* For a kill after the next write: a kill cannot fail. */
KvStatus kv_set_make_kill_room(KvWriteSet *ws, KvError *err) KV_MUST_CHECK;
bool kv_set_is_live(const KvWriteSet *ws, uint64_t csn, uint32_t stamp);

/* write_set_range.c: does a range delete that is seen hide this version? */
bool kv_set_is_covered(const KvWriteSet *ws, KvSlice key, uint64_t csn,
					   uint32_t limit);

/* In batches and in tables xid is the stamp plus one: 0 means untagged. */
static inline uint32_t
kv_set_stamp(const KvEntry *entry)
{
	KV_ASSERT(entry->xid > 0 && entry->xid <= (uint64_t) UINT32_MAX + 1);
	return (uint32_t) (entry->xid - 1);
}

static inline bool
kv_set_is_visible(const KvWriteSet *ws, const KvEntry *entry, uint32_t limit)
{
	uint32_t stamp = kv_set_stamp(entry);

	return stamp < limit && kv_set_is_live(ws, entry->csn, stamp) &&
		   (ws->ranges.n == 0 ||
			!kv_set_is_covered(ws, entry->key, entry->csn, limit));
}

/*
 * write_set_run.c.  Both leave the set as it was if they fail, but for what
 * they were able to write before.
 */
/* Empties the memtable into a run; merges runs if there are many. */
KvStatus kv_set_spill(KvWriteSet *ws, KvError *err) KV_MUST_CHECK;
/* A run of one entry, whose csn and xid are set; the memtable is empty. */
KvStatus kv_set_add_run_of(KvWriteSet *ws, const KvEntry *entry,
						   KvError *err) KV_MUST_CHECK;
/* Over n runs from first on; whoever keeps it holds references to them. */
KvStatus kv_set_runs_iter(KvWriteSet *ws, uint32_t first, uint32_t n,
						  KvIter **it, KvError *err) KV_MUST_CHECK;
void kv_set_release_run(KvEnv *env, KvRun *run);
/* Runs all of whose entries are dead by a kill of all stamps >= from. */
void kv_set_drop_dead_runs(KvWriteSet *ws, uint32_t from);

#endif /* KV_WRITE_SET_INTERNAL_H */
