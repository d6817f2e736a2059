/* SPDX-License-Identifier: PostgreSQL */
/*
 * compact_job.h - the compactor's side of the job under way.
 *
 * Shared by compact_job.c (which job, its start and end) and compact_run.c
 * (reading inputs, writing outputs).
 */
#ifndef KV_COMPACT_JOB_H
#define KV_COMPACT_JOB_H

#include "engine/lsm/compact_pick.h"
#include "engine/lsm/db_internal.h"
#include "engine/lsm/drop_rule.h"
#include "engine/lsm/range_deletes.h"
#include "engine/sst/sst_buffer.h"

struct KvCompaction
{
	uint64_t version; /* whose files are pinned */
	KvHorizon horizon;
	KvPickKind kind;
	uint8_t output_level;
	uint32_t *dropped; /* stores */
	uint32_t n_dropped;

	/* reading */
	uint32_t *inputs; /* file slots, as the runs want them */
	uint32_t readahead;
	KvIter *merge;
	bool positioned;
	KvBuffer key; /* whose versions are coming by */
	bool has_key;
	KvDropKey rule;

	/*
	 * The levels below the output, to know whether a key may be there.  In
	 * level_at is the first file that does not end before the key.
	 */
	uint32_t *below; /* file slots */
	uint32_t below_start[KV_LEVELS + 1];
	uint32_t level_at[KV_LEVELS];
	int next_level;	 /* the next one below the output that is in use */
	uint32_t passed; /* of its files since the output began */

	/* range deletes of the inputs */
	KvRangeList ranges, seen_ranges; /* all; those that every snapshot sees */
	KvRangeCover dead, any; /* what the latter cover, and the former */
	KvBuffer piece_from;	/* the output is responsible from here on */

	/* writing */
	KvTableOut out;
	bool out_open;
	uint64_t last_doubt;
};

/* ---- compact_run.c */
/* Prepares reading; files are pinned and marked.  KV_NO_MEMORY. */
KvStatus kv_job_open_inputs(KvDb *db, KvCompaction *c,
							KvError *err) KV_MUST_CHECK;
/* The levels below the output; v is acquired. */
KvStatus kv_job_note_below(KvDb *db, KvCompaction *c, const KvVersion *v,
						   KvError *err) KV_MUST_CHECK;
/*
 * Merges about budget bytes.  *done: everything is in finished outputs.
 * KV_INTERRUPTED, KV_STALLED (no file numbers): call again.  Any other
 * failure: the job is to be dropped.
 */
KvStatus kv_job_merge(KvDb *db, KvCompaction *c, uint64_t budget, bool *done,
					  KvError *err) KV_MUST_CHECK;

/* How the writer of an input's entry ended.  KV_CORRUPT: nobody knows. */
KvStatus kv_job_state_of(KvDb *db, const KvEntry *e, KvXactState *state,
						 KvError *err) KV_MUST_CHECK;

/* ---- compact_range.c */
/* After the horizon was taken. */
KvStatus kv_job_collect_ranges(KvDb *db, KvCompaction *c,
							   KvError *err) KV_MUST_CHECK;
void kv_job_free_ranges(KvDb *db, KvCompaction *c);
/* Tells the rule what covers the key that starts. */
void kv_job_cover_key(KvCompaction *c, KvSlice key);
/*
 * What the output that ends before key next (len 0: the last one) keeps of
 * the range deletes, sorted; and after it was finished: the next one goes on
 * from there.
 */
KvStatus kv_job_range_pieces(KvDb *db, KvCompaction *c, KvSlice next,
							 KvRangeList *out, KvError *err) KV_MUST_CHECK;
KvStatus kv_job_ranges_done(KvDb *db, KvCompaction *c, KvSlice next,
							KvError *err) KV_MUST_CHECK;

/* May a version in the file carry the tag? */
static inline bool
kv_may_hold_xid(const KvFileMeta *meta, uint64_t xid)
{
	return meta->has_doubt && meta->min_xid <= xid && xid <= meta->max_xid;
}

/* ---- compact_job.c */
/* The version that the job under way pins; UINT64_MAX: none. */
uint64_t kv_compaction_version(const KvDb *db);

#endif /* KV_COMPACT_JOB_H */
