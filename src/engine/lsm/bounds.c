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

/* Does "a, and if cut all that starts with it" end before b does? */
static bool
ends_before(KvSlice a, bool a_cut, KvSlice b, bool b_cut)
{
	if (a_cut && kv_slice_has_prefix(b, a))
		return false;
	if (kv_slice_compare(a, b) < 0)
		return true;
	return b_cut && kv_slice_has_prefix(a, b);
}

/*
 * The largest bound below upper: its predecessor, where that has one of at
 * most KV_BOUND_BYTES, else the smallest cut bound that holds everything
 * below.  A longer upper is cut itself, which lets in what it is a prefix of.
 * The end of a store stands for the last key of the store before it: a bound
 * is never shorter than a store's id.
 */
static KvSlice
bound_below(KvSlice upper, char *buf, bool *cut)
{
	size_t n = upper.len;

	KV_ASSERT(n >= KV_STORE_PREFIX);
	*cut = true;
	if (n > KV_BOUND_BYTES)
		n = KV_BOUND_BYTES;
	memcpy(buf, upper.data, n);
	if (upper.len > KV_BOUND_BYTES)
		return kv_slice(buf, n);
	if (n > KV_STORE_PREFIX && buf[n - 1] == 0)
	{
		*cut = false;
		return kv_slice(buf, n - 1);
	}
	if (n == KV_STORE_PREFIX)
		kv_store_be32(buf, kv_load_be32(buf) - 1);
	else
		buf[n - 1]--;
	memset(buf + n, 0xff, KV_BOUND_BYTES - n);
	return kv_slice(buf, KV_BOUND_BYTES);
}

void
kv_widen_bounds(KvFileMeta *meta, bool empty, KvSlice lower, KvSlice upper)
{
	char buf[KV_BOUND_BYTES];
	bool cut;
	KvSlice last = bound_below(upper, buf, &cut);

	KV_ASSERT(kv_slice_compare(lower, upper) < 0);
	if (lower.len > KV_BOUND_BYTES)
		lower.len = KV_BOUND_BYTES;
	if (empty || kv_slice_compare(lower, kv_slice(meta->smallest,
												  meta->smallest_len)) < 0)
	{
		meta->smallest_len = (uint16_t) lower.len;
		memcpy(meta->smallest, lower.data, lower.len);
	}
	if (empty || ends_before(kv_slice(meta->largest, meta->largest_len),
							 meta->largest_cut, last, cut))
	{
		meta->largest_len = (uint16_t) last.len;
		meta->largest_cut = cut;
		memcpy(meta->largest, last.data, last.len);
	}
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
