/* SPDX-License-Identifier: PostgreSQL */
/*
 * sst_verify.c - reads all of a table and says what is wrong with it.
 *
 * Takes nothing from the cache: what is checked are the bytes of the file.
 * Called by kvlsm_verify() and by the tests.
 */
#include "engine/sst/sst_internal.h"

#include <inttypes.h>

#include "engine/base/check.h"
#include "engine/sst/bloom.h"
#include "engine/sst/sst_range.h"

typedef struct Verify
{
	KvSst *sst;
	KvError *err;
	KvSstProps seen;
	uint64_t bytes; /* of the file that something refers to */
	KvCursor index;
	KvCursor data;
	KvBuffer last_key;
	uint64_t last_csn;
	KvBlockHandle filter_at;
	KvBlockRef filter;
} Verify;

static KvStatus
wrong(Verify *v, uint64_t offset, const char *what)
{
	return kv_corrupt(v->err, v->sst->file_no, offset, "%s", what);
}

static KvStatus
fetch(Verify *v, KvBlockHandle h, KvBlockKind kind, KvBlockRef *ref)
{
	if (v->sst->env->ops->poll(v->sst->env))
		return kv_fail(v->err, KV_INTERRUPTED, "verification was interrupted");
	v->bytes += h.size;
	return kv_sst_fetch(v->sst, h, kind, KV_FETCH_DISK, ref, NULL, v->err);
}

/* What was read when the table was opened, again. */
static KvStatus
check_frame(Verify *v)
{
	static const KvBlockKind kinds[] = {KV_BLOCK_PROPERTIES, KV_BLOCK_TOP,
										KV_BLOCK_FILTER_DIR};
	KvSst *sst = v->sst;
	KvBlockHandle handles[3];
	char header_bytes[KV_FILE_HEADER_BYTES];
	char footer_bytes[KV_FOOTER_BYTES];
	KvFileHeader header;
	KvSstFooter footer;
	size_t got[2] = {0, 0};
	KvStatus status;
	int i;

	status = sst->env->ops->pread(sst->env, sst->file, header_bytes,
								  sizeof(header_bytes), 0, &got[0], v->err);
	if (status == KV_OK)
		status = sst->env->ops->pread(sst->env, sst->file, footer_bytes,
									  sizeof(footer_bytes),
									  sst->size - KV_FOOTER_BYTES, &got[1],
									  v->err);
	if (status == KV_OK && got[1] != sizeof(footer_bytes))
		status = wrong(v, sst->size - KV_FOOTER_BYTES, "table is cut short");
	if (status == KV_OK)
		status = kv_file_header_decode(header_bytes, got[0], KV_FILE_SST,
									   KV_SST_VERSION, NULL, sst->file_no,
									   &header, v->err);
	if (status == KV_OK)
		status = kv_footer_decode(footer_bytes, sst->salt, sst->file_no,
								  sst->size, &footer, v->err);
	v->bytes = KV_FILE_HEADER_BYTES + KV_FOOTER_BYTES;
	handles[0] = sst->footer.properties;
	handles[1] = sst->footer.top;
	handles[2] = sst->footer.filter_dir;
	for (i = 0; i < 3 && status == KV_OK; i++)
	{
		KvBlockRef ref;

		if (handles[i].size == 0)
			continue;
		status = fetch(v, handles[i], kinds[i], &ref);
		if (status == KV_OK)
			kv_sst_release(sst, &ref);
	}
	return status;
}

static KvStatus
check_filters(Verify *v)
{
	KvSst *sst = v->sst;
	KvCursor *dir = &sst->filter_dir;
	KvStatus status = KV_OK;

	if (sst->footer.filter_dir.size == 0)
		return KV_OK;
	for (kv_cursor_first(dir); dir->valid && status == KV_OK;
		 kv_cursor_next(dir))
	{
		KvBlockHandle h;
		KvBlockRef ref;

		status = kv_sst_handle_at(sst, dir, &h, v->err);
		if (status == KV_OK)
			status = fetch(v, h, KV_BLOCK_FILTER, &ref);
		if (status != KV_OK)
			break;
		kv_sst_release(sst, &ref);
		v->seen.filter_blocks++;
	}
	if (status == KV_OK && dir->status != KV_OK)
		status = kv_sst_bad_block(sst, sst->footer.filter_dir, dir->status,
								  v->err);
	return status;
}

/* The filter that a get would ask must know the key. */
static KvStatus
check_key_in_filter(Verify *v, KvSlice key)
{
	KvSst *sst = v->sst;
	KvCursor *dir = &sst->filter_dir;
	KvBlockHandle h;
	KvStatus status;

	if (sst->footer.filter_dir.size == 0)
		return KV_OK;
	kv_cursor_floor(dir, key, UINT64_MAX);
	if (!dir->valid)
		return kv_sst_bad_block(sst, sst->footer.filter_dir,
								dir->status == KV_OK ? KV_CORRUPT : dir->status,
								v->err);
	status = kv_sst_handle_at(sst, dir, &h, v->err);
	if (status != KV_OK)
		return status;
	if (h.offset != v->filter_at.offset)
	{
		kv_sst_release(sst, &v->filter);
		v->filter_at.offset = 0;
		status = kv_sst_fetch(sst, h, KV_BLOCK_FILTER, KV_FETCH_DISK,
							  &v->filter, NULL, v->err);
		if (status != KV_OK)
			return status;
		v->filter_at = h;
	}
	if (!kv_bloom_may_contain(v->filter.data, v->filter.len, kv_key_hash(key)))
		return wrong(v, h.offset, "filter does not know a key of the table");
	return KV_OK;
}

static KvStatus
check_entry(Verify *v, const KvEntry *e, KvBlockHandle h)
{
	KvSlice last = kv_slice(v->last_key.data, v->last_key.len);
	bool first = v->seen.entries == 0;
	bool same_key = !first && kv_slice_equal(last, e->key);
	KvStatus status = KV_OK;

	if (!first && kv_entry_compare(last, v->last_csn, e->key, e->csn) >= 0)
		return wrong(v, h.offset, "entries of a table are out of order");
	if (e->kind == KV_KIND_DELETE && e->value.len > 0)
		return wrong(v, h.offset, "a tombstone has a value");
	if (first && !kv_slice_equal(e->key, v->sst->props.smallest))
		return wrong(v, h.offset, "smallest key differs from properties");
	if (!same_key)
	{
		status = check_key_in_filter(v, e->key);
		v->last_key.len = 0;
		if (status == KV_OK &&
			!kv_buffer_reserve(v->sst->env, &v->last_key, e->key.len))
			status = kv_fail(v->err, KV_NO_MEMORY, "out of memory for a key");
		if (status != KV_OK)
			return status;
		if (e->key.len > 0)
			memcpy(v->last_key.data, e->key.data, e->key.len);
		v->last_key.len = e->key.len;
	}
	v->last_csn = e->csn;
	kv_props_count(&v->seen, e);
	return KV_OK;
}

/* A separator is after all entries before it and not after the first. */
static KvStatus
check_separator(Verify *v, const KvEntry *sep, KvBlockHandle h)
{
	if (v->seen.entries > 0 &&
		kv_entry_compare(kv_slice(v->last_key.data, v->last_key.len),
						 v->last_csn, sep->key, sep->csn) >= 0)
		return wrong(v, h.offset, "index separator is before the last block");
	return KV_OK;
}

static KvStatus
check_data_block(Verify *v, const KvEntry *sep, KvBlockHandle h)
{
	KvBlockRef ref;
	KvStatus status = check_separator(v, sep, h);

	if (status == KV_OK)
		status = fetch(v, h, KV_BLOCK_DATA, &ref);
	if (status != KV_OK)
		return status;
	if (!kv_cursor_open(&v->data, ref.data, ref.len) ||
		v->data.block.n_restarts == 0)
		status = kv_sst_bad_block(v->sst, h, v->data.status, v->err);
	else
		kv_cursor_first(&v->data);
	if (status == KV_OK && v->data.valid &&
		kv_entry_compare(sep->key, sep->csn, v->data.entry->key,
						 v->data.entry->csn) > 0)
		status = wrong(v, h.offset, "index separator is after its block");
	while (status == KV_OK && v->data.valid)
	{
		status = check_entry(v, v->data.entry, h);
		if (status == KV_OK)
			kv_cursor_next(&v->data);
	}
	if (status == KV_OK && v->data.status != KV_OK)
		status = kv_sst_bad_block(v->sst, h, v->data.status, v->err);
	kv_sst_release(v->sst, &ref);
	v->seen.data_blocks++;
	return status;
}

static KvStatus
check_partition(Verify *v, const KvEntry *sep, KvBlockHandle h)
{
	KvCursor *index = &v->index;
	KvBlockRef ref;
	KvStatus status = fetch(v, h, KV_BLOCK_INDEX, &ref);

	if (status != KV_OK)
		return status;
	if (!kv_cursor_open(index, ref.data, ref.len) ||
		index->block.n_restarts == 0)
		status = kv_sst_bad_block(v->sst, h, index->status, v->err);
	else
		kv_cursor_first(index);
	if (status == KV_OK && index->valid &&
		kv_entry_compare(sep->key, sep->csn, index->entry->key,
						 index->entry->csn) > 0)
		status = wrong(v, h.offset, "top index is after its partition");
	while (status == KV_OK && index->valid)
	{
		KvBlockHandle data;

		status = kv_sst_handle_at(v->sst, index, &data, v->err);
		if (status == KV_OK)
			status = check_data_block(v, index->entry, data);
		if (status == KV_OK)
			kv_cursor_next(index);
	}
	if (status == KV_OK && index->status != KV_OK)
		status = kv_sst_bad_block(v->sst, h, index->status, v->err);
	kv_sst_release(v->sst, &ref);
	v->seen.index_blocks++;
	return status;
}

static KvStatus
check_blocks(Verify *v)
{
	KvSst *sst = v->sst;
	KvCursor *top = &sst->top;
	KvStatus status = KV_OK;

	for (kv_cursor_first(top); top->valid; kv_cursor_next(top))
	{
		KvBlockHandle h;

		status = kv_sst_handle_at(sst, top, &h, v->err);
		if (status == KV_OK)
			status = check_partition(v, top->entry, h);
		if (status != KV_OK)
			return status;
	}
	if (top->status != KV_OK)
		return kv_sst_bad_block(sst, sst->footer.top, top->status, v->err);
	return KV_OK;
}

static KvStatus
check_ranges(Verify *v)
{
	KvBlockHandle h = v->sst->props.range_block;
	KvBlockRef ref;
	KvStatus status;

	if (h.size == 0)
		return KV_OK;
	status = fetch(v, h, KV_BLOCK_RANGE_DELETES, &ref);
	if (status != KV_OK)
		return status;
	if (!kv_range_block_check(kv_slice(ref.data, ref.len), &v->seen))
		status = wrong(v, h.offset, "range deletes are malformed");
	kv_sst_release(v->sst, &ref);
	return status;
}

static KvStatus
compare_properties(Verify *v)
{
	const KvSstProps *a = &v->seen;
	const KvSstProps *b = &v->sst->props;
	uint64_t at = v->sst->footer.properties.offset;

	if (v->bytes != v->sst->size)
		return wrong(v, at, "table has bytes that belong to no block");
	if (a->range_deletes != b->range_deletes)
		return wrong(v, at, "range deletes differ from the properties");
	if (a->entries != b->entries || a->tombstones != b->tombstones ||
		a->key_bytes != b->key_bytes || a->value_bytes != b->value_bytes)
		return wrong(v, at, "counts differ from the table's properties");
	if (a->data_blocks != b->data_blocks || a->index_blocks != b->index_blocks ||
		a->filter_blocks != b->filter_blocks)
		return wrong(v, at, "blocks differ from the table's properties");
	if (a->min_csn != b->min_csn || a->max_csn != b->max_csn ||
		a->min_xid != b->min_xid || a->max_xid != b->max_xid ||
		a->oldest_expiry_us != b->oldest_expiry_us)
		return wrong(v, at, "ranges differ from the table's properties");
	if (!kv_slice_equal(kv_slice(v->last_key.data, v->last_key.len), b->largest))
		return wrong(v, at, "largest key differs from properties");
	return KV_OK;
}

KvStatus
kv_sst_verify(KvSst *sst, KvError *err)
{
	KvSstOverride none = {0, 0};
	Verify v;
	KvStatus status;

	memset(&v, 0, sizeof(v));
	v.sst = sst;
	v.err = err;
	kv_cursor_init(&v.index, sst->env, true, none);
	kv_cursor_init(&v.data, sst->env, false, none);
	status = check_frame(&v);
	if (status == KV_OK)
		status = check_filters(&v);
	if (status == KV_OK)
		status = check_ranges(&v);
	if (status == KV_OK)
		status = check_blocks(&v);
	if (status == KV_OK)
		status = compare_properties(&v);
	kv_sst_release(sst, &v.filter);
	kv_cursor_free(&v.index);
	kv_cursor_free(&v.data);
	kv_buffer_free(sst->env, &v.last_key);
	return status;
}
