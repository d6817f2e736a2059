/* SPDX-License-Identifier: PostgreSQL */
/*
 * sst_range.h - the block of range deletes, for builder, reader and check.
 */
#ifndef KV_SST_RANGE_H
#define KV_SST_RANGE_H

#include "engine/sst/sst.h"
#include "engine/sst/sst_internal.h"

/* The block of a table that is being built.  Zero-initialised = empty. */
typedef struct KvRangeBlock
{
	KvBuffer payload;
	/* of the last one, and the extents: places in the payload */
	size_t lower_at, lower_len;
	size_t first_at, first_len, upper_at, upper_len;
	uint64_t csn;
} KvRangeBlock;

/* Appends and counts; KV_INVALID: malformed, or out of order. */
KvStatus kv_range_block_add(KvEnv *env, KvRangeBlock *block, KvSstProps *props,
							const KvEntry *e, KvError *err) KV_MUST_CHECK;
/* What the properties say, and the extents. */
void kv_range_block_summary(const KvRangeBlock *block, const KvSstProps *props,
							KvSstSummary *summary);
/* Counts what the payload holds into props; false: malformed. */
bool kv_range_block_check(KvSlice payload, KvSstProps *props);
/* Reads the block, if the properties name one, into sst->ranges. */
KvStatus kv_sst_load_ranges(KvSst *sst, KvError *err) KV_MUST_CHECK;

#endif /* KV_SST_RANGE_H */
