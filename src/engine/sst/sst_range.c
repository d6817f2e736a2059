/* SPDX-License-Identifier: PostgreSQL */
/*
 * sst_range.c - the block of a table that holds its range deletes.
 *
 * One block beside the data blocks, found through the properties, read when
 * the table is opened and kept in private memory.  docs/format_sst.md
 * specifies the bytes; nothing that is read is trusted.
 */
#include "engine/sst/sst_range.h"

#include "engine/base/check.h"

static bool
is_good(const KvEntry *e)
{
	return e->key.len >= KV_STORE_PREFIX && e->key.len <= KV_MAX_KEY &&
		   e->value.len >= KV_STORE_PREFIX && e->value.len <= KV_MAX_KEY &&
		   kv_slice_compare(e->key, e->value) < 0 && e->csn != 0;
}

KvStatus
kv_range_block_add(KvEnv *env, KvRangeBlock *block, KvSstProps *props,
				   const KvEntry *e, KvError *err)
{
	KvBuffer *buf = &block->payload;
	size_t need = 4 * KV_VARINT_MAX + e->key.len + e->value.len;
	char *p;

	if (e->kind != KV_KIND_RANGE_DELETE || !is_good(e))
		return kv_fail(err, KV_INVALID, "a range delete makes no sense");
	if (props->range_deletes > 0 &&
		kv_entry_compare(kv_slice(buf->data + block->lower_at, block->lower_len),
						 block->csn, e->key, e->csn) >= 0)
		return kv_fail(err, KV_INVALID, "range deletes are out of order");
	if (buf->len + need > KV_BLOCK_MAX_RAW)
		return kv_fail(err, KV_TOO_LARGE, "too many range deletes");
	if (!kv_buffer_reserve(env, buf, need))
		return kv_fail(err, KV_NO_MEMORY, "out of memory for range deletes");
	p = kv_put_varint(buf->data + buf->len, e->key.len);
	block->lower_at = (size_t) (p - buf->data);
	block->lower_len = e->key.len;
	memcpy(p, e->key.data, e->key.len);
	p = kv_put_varint(p + e->key.len, e->value.len);
	if (props->range_deletes == 0)
	{
		block->first_at = block->lower_at;
		block->first_len = block->lower_len;
	}
	if (props->range_deletes == 0 ||
		kv_slice_compare(e->value, kv_slice(buf->data + block->upper_at,
											block->upper_len)) > 0)
	{
		block->upper_at = (size_t) (p - buf->data);
		block->upper_len = e->value.len;
	}
	memcpy(p, e->value.data, e->value.len);
	p = kv_put_varint(p + e->value.len, e->csn);
	p = kv_put_varint(p, e->xid);
	buf->len = (size_t) (p - buf->data);
	block->csn = e->csn;
	kv_props_count(props, e);
	return KV_OK;
}

void
kv_range_block_summary(const KvRangeBlock *block, const KvSstProps *props,
					   KvSstSummary *summary)
{
	const char *data = block->payload.data;

	summary->entries = props->entries;
	summary->tombstones = props->tombstones;
	summary->min_csn = props->min_csn;
	summary->max_csn = props->max_csn;
	summary->min_xid = props->min_xid;
	summary->max_xid = props->max_xid;
	summary->key_bytes = props->key_bytes;
	summary->value_bytes = props->value_bytes;
	summary->oldest_expiry_us = props->oldest_expiry_us;
	summary->smallest = props->smallest;
	summary->largest = props->largest;
	summary->range_deletes = props->range_deletes;
	if (props->range_deletes == 0)
		return;
	summary->range_lower = kv_slice(data + block->first_at, block->first_len);
	summary->range_upper = kv_slice(data + block->upper_at, block->upper_len);
}

/* The next one of the payload; false: malformed. */
static bool
next_range(KvSlice *in, KvEntry *e)
{
	uint64_t lower, upper;

	memset(e, 0, sizeof(*e));
	if (!kv_get_varint(in, &lower) || !kv_get_bytes(in, lower, &e->key) ||
		!kv_get_varint(in, &upper) || !kv_get_bytes(in, upper, &e->value) ||
		!kv_get_varint(in, &e->csn) || !kv_get_varint(in, &e->xid))
		return false;
	e->kind = KV_KIND_RANGE_DELETE;
	e->state = e->xid == 0 ? KV_XACT_COMMITTED : KV_XACT_IN_DOUBT;
	return is_good(e);
}

bool
kv_range_block_check(KvSlice payload, KvSstProps *props)
{
	KvEntry last = {0}, e;

	while (payload.len > 0)
	{
		if (!next_range(&payload, &e) ||
			(last.csn != 0 &&
			 kv_entry_compare(last.key, last.csn, e.key, e.csn) >= 0))
			return false;
		kv_props_count(props, &e);
		last = e;
	}
	return true;
}

KvStatus
kv_sst_load_ranges(KvSst *sst, KvError *err)
{
	KvBlockHandle h = sst->props.range_block;
	KvSstProps seen = {0};
	KvSlice payload;
	KvBlockRef ref;
	uint64_t i;
	KvStatus status;

	if (h.size == 0 && sst->props.range_deletes == 0)
		return KV_OK;
	if (!kv_sst_handle_ok(sst, h))
		return kv_sst_bad_block(sst, sst->footer.properties, KV_CORRUPT, err);
	status = kv_sst_fetch(sst, h, KV_BLOCK_RANGE_DELETES, KV_FETCH_DISK, &ref,
						  NULL, err);
	if (status != KV_OK)
		return status;
	KV_ASSERT(!ref.pinned);
	sst->ranges_mem = ref.own;
	memset(&ref.own, 0, sizeof(ref.own));
	kv_sst_release(sst, &ref);
	payload = kv_slice(sst->ranges_mem.data, sst->ranges_mem.len);
	if (!kv_range_block_check(payload, &seen) || seen.range_deletes == 0 ||
		seen.range_deletes != sst->props.range_deletes)
		return kv_sst_bad_block(sst, h, KV_CORRUPT, err);
	sst->ranges = sst->env->ops->alloc(sst->env,
									   seen.range_deletes * sizeof(KvEntry));
	sst->reach = sst->env->ops->alloc(sst->env,
									  seen.range_deletes * sizeof(uint32_t));
	if (sst->ranges == NULL || sst->reach == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory for range deletes");
	for (i = 0; i < seen.range_deletes; i++)
	{
		(void) next_range(&payload, &sst->ranges[i]);
		sst->reach[i] = (uint32_t) i;
		if (i > 0 && kv_slice_compare(sst->ranges[sst->reach[i - 1]].value,
									  sst->ranges[i].value) > 0)
			sst->reach[i] = sst->reach[i - 1];
	}
	return KV_OK;
}

/*
 * From the last one that begins at or before key backwards, as long as any
 * that is left reaches beyond key: for ranges that lie apart, one.
 */
void
kv_sst_covering(const KvSst *sst, KvSlice key, KvVersionFn fn, void *arg)
{
	uint32_t low = 0, high = (uint32_t) sst->props.range_deletes;

	if (sst->ranges == NULL)
		return;
	while (low < high)
	{
		uint32_t mid = low + (high - low) / 2;

		if (kv_slice_compare(sst->ranges[mid].key, key) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	for (; low > 0; low--)
	{
		const KvEntry *e = &sst->ranges[low - 1];

		if (kv_slice_compare(sst->ranges[sst->reach[low - 1]].value, key) <= 0)
			return;
		if (kv_slice_compare(key, e->value) < 0 && fn(arg, e))
			return;
	}
}

const KvEntry *
kv_sst_range_deletes(const KvSst *sst, uint32_t *n)
{
	*n = sst->ranges != NULL ? (uint32_t) sst->props.range_deletes : 0;
	return sst->ranges;
}
