/* SPDX-License-Identifier: PostgreSQL */
/*
 * bounds.c - comparing keys with the bounds of files.
 *
 * Bounds are cut to KV_BOUND_BYTES.  A cut smallest is a lower bound as it
 * stands; a cut largest stands for "this and everything that starts with
 * it".  So every answer errs on the side of "may be inside".
 */
#include "engine/lsm/db_internal.h"

void
kv_set_bounds(KvFileMeta *meta, KvSlice smallest, KvSlice largest)
{
	KV_ASSERT(kv_slice_compare(smallest, largest) <= 0);
	meta->smallest_len = (uint16_t) (smallest.len < KV_BOUND_BYTES
										 ? smallest.len
										 : KV_BOUND_BYTES);
	memcpy(meta->smallest, smallest.data, meta->smallest_len);
	meta->largest_cut = largest.len > KV_BOUND_BYTES;
	meta->largest_len = (uint16_t) (meta->largest_cut ? KV_BOUND_BYTES
													  : largest.len);
	memcpy(meta->largest, largest.data, meta->largest_len);
}

/* key against "largest, and if cut all that starts with it" */
static bool
after_largest(KvSlice key, const KvFileMeta *meta)
{
	KvSlice largest = kv_slice(meta->largest, meta->largest_len);

	KV_ASSERT(meta->largest_len <= KV_BOUND_BYTES);
	if (meta->largest_cut && kv_slice_has_prefix(key, largest))
		return false;
	return kv_slice_compare(key, largest) > 0;
}

bool
kv_key_before_file(KvSlice key, const KvFileMeta *meta)
{
	return kv_slice_compare(key,
							kv_slice(meta->smallest, meta->smallest_len)) < 0;
}

bool
kv_key_after_file(KvSlice key, const KvFileMeta *meta)
{
	return after_largest(key, meta);
}

bool
kv_files_overlap(const KvFileMeta *a, const KvFileMeta *b)
{
	return !after_largest(kv_slice(a->smallest, a->smallest_len), b) &&
		   !after_largest(kv_slice(b->smallest, b->smallest_len), a);
}

bool
kv_file_overlaps_range(const KvFileMeta *meta, KvSlice lower, KvSlice upper)
{
	if (after_largest(lower, meta))
		return false;
	return upper.len == 0 ||
		   kv_slice_compare(kv_slice(meta->smallest, meta->smallest_len),
							upper) < 0;
}
