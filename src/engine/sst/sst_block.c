/* SPDX-License-Identifier: PostgreSQL */
/*
 * sst_block.c - brings blocks of a table into memory: cache, file, checksum,
 * decompression.
 *
 * The only place of sst/ that reads a table's file after it was opened,
 * apart from the iterator's read-ahead.  Does not look at what is in a
 * payload.  Every process.
 */
#include "engine/sst/sst_internal.h"

#include <inttypes.h>

#include "engine/base/check.h"
#include "engine/sst/compress.h"

/* Scratch memory of this size or less is kept for the next block. */
#define SPARE_BYTES ((size_t) 256 << 10)

bool
kv_sst_handle_ok(const KvSst *sst, KvBlockHandle h)
{
	uint64_t end = sst->size - KV_FOOTER_BYTES;

	return h.offset >= KV_FILE_HEADER_BYTES && h.size > KV_BLOCK_TRAILER &&
		   h.offset <= end && h.size <= end - h.offset &&
		   h.size <= (uint64_t) KV_BLOCK_MAX_RAW + KV_BLOCK_TRAILER;
}

KvStatus
kv_sst_bad_block(const KvSst *sst, KvBlockHandle h, KvStatus status,
				 KvError *err)
{
	if (status == KV_NO_MEMORY)
		return kv_fail(err, status, "out of memory for a key of file %" PRIu64,
					   sst->file_no);
	return kv_corrupt(err, sst->file_no, h.offset,
					  "block passes its checksum but is malformed");
}

KvStatus
kv_sst_handle_at(const KvSst *sst, const KvCursor *c, KvBlockHandle *h,
				 KvError *err)
{
	if (!kv_handle_get(c->entry->value, h) || !kv_sst_handle_ok(sst, *h))
		return kv_corrupt(err, sst->file_no, sst->footer.top.offset,
						  "index entry points outside of the table");
	return KV_OK;
}

static KvStatus
no_memory(const KvSst *sst, uint64_t bytes, KvError *err)
{
	return kv_fail(err, KV_NO_MEMORY,
				   "out of memory for a block of %" PRIu64
				   " bytes of file %" PRIu64,
				   bytes, sst->file_no);
}

KvStatus
kv_sst_decode_block(KvSst *sst, KvBlockHandle h, KvBlockKind kind,
					const char *stored, KvBuffer *out, KvError *err)
{
	size_t len = (size_t) h.size - KV_BLOCK_TRAILER;
	const char *trailer = stored + len;
	uint64_t raw = kv_load_u32(trailer + 1);
	bool sound;

	KV_ASSERT(kv_sst_handle_ok(sst, h));
	if (kv_load_u64(trailer + 5) != kv_checksum(sst->salt, sst->file_no,
												h.offset, (uint8_t) kind,
												stored, len + 5))
		return kv_corrupt(err, sst->file_no, h.offset,
						  "wrong checksum of table block (kind %d)", kind);
	if (trailer[0] == KV_COMPRESS_NONE)
		sound = raw == len;
	else
		sound = trailer[0] == KV_COMPRESS_LZ4 && raw <= KV_BLOCK_MAX_RAW &&
				raw / KV_MAX_RATIO <= len;
	if (!sound)
		return kv_corrupt(err, sst->file_no, h.offset + len,
						  "table block with compression %d and %" PRIu64
						  " bytes in %zu",
						  trailer[0], raw, len);
	out->len = 0;
	if (!kv_buffer_reserve(sst->env, out, (size_t) raw))
		return no_memory(sst, raw, err);
	if (trailer[0] == KV_COMPRESS_NONE)
		memcpy(out->data, stored, len);
	else if (!kv_decompress(stored, len, out->data, (size_t) raw))
		return kv_corrupt(err, sst->file_no, h.offset,
						  "table block does not decompress");
	out->len = (size_t) raw;
	return KV_OK;
}

/* ---- scratch memory ---- */

static KvBuffer
take_spare(KvSst *sst)
{
	KvBuffer none = {0};
	int i;

	for (i = 0; i < KV_SST_SPARES; i++)
		if (sst->spares[i].data != NULL)
		{
			KvBuffer b = sst->spares[i];

			sst->spares[i] = none;
			b.len = 0;
			return b;
		}
	return none;
}

static void
give_spare(KvSst *sst, KvBuffer *b)
{
	int i;

	for (i = 0; i < KV_SST_SPARES && b->data != NULL; i++)
		if (sst->spares[i].data == NULL && b->cap <= SPARE_BYTES)
		{
			sst->spares[i] = *b;
			memset(b, 0, sizeof(*b));
		}
	kv_buffer_free(sst->env, b);
}

/* ---- fetching ---- */

/* Reads the block's bytes into stored. */
static KvStatus
read_stored(KvSst *sst, KvBlockHandle h, KvBuffer *stored, KvError *err)
{
	size_t got = 0;
	KvStatus status;

	stored->len = 0;
	if (!kv_buffer_reserve(sst->env, stored, (size_t) h.size))
		return no_memory(sst, h.size, err);
	status = sst->env->ops->pread(sst->env, sst->file, stored->data,
								  (size_t) h.size, h.offset, &got, err);
	if (status != KV_OK)
		return status;
	if (got != h.size)
		return kv_corrupt(err, sst->file_no, h.offset + got,
						  "table ends in the middle of a block");
	return KV_OK;
}

/* The block in private memory: ref->own. */
static KvStatus
fetch_private(KvSst *sst, KvBlockHandle h, KvBlockKind kind, KvBlockRef *ref,
			  KvError *err)
{
	KvBuffer stored = take_spare(sst);
	KvStatus status = read_stored(sst, h, &stored, err);

	ref->own = take_spare(sst);
	if (status == KV_OK)
		status = kv_sst_decode_block(sst, h, kind, stored.data, &ref->own, err);
	give_spare(sst, &stored);
	if (status != KV_OK)
	{
		give_spare(sst, &ref->own);
		return status;
	}
	ref->data = ref->own.data;
	ref->len = (uint32_t) ref->own.len;
	return KV_OK;
}

/*
 * A search starts at the first key, the tail and the array before it: three
 * misses at once instead of one after the other.
 */
static inline void
prefetch_block(const char *data, uint32_t len)
{
	const char *end = data + len - 1;

	__builtin_prefetch(data);
	__builtin_prefetch(end);
	if (len > 64)
		__builtin_prefetch(end - 64);
}

KvStatus
kv_sst_fetch(KvSst *sst, KvBlockHandle h, KvBlockKind kind, KvFetch how,
			 KvBlockRef *ref, KvSstStats *stats, KvError *err)
{
	bool keep = kind != KV_BLOCK_DATA;
	const char *data;
	KvStatus status;

	memset(ref, 0, sizeof(*ref));
	if (sst->cache != NULL && how != KV_FETCH_DISK &&
		kv_cache_find(sst->cache, sst->file_no, h.offset, &ref->data,
					  &ref->len, &ref->pin))
	{
		ref->pinned = true;
		if (kind != KV_BLOCK_FILTER)
			prefetch_block(ref->data, ref->len);
		if (stats != NULL)
			stats->blocks_cached++;
		return KV_OK;
	}
	if (!kv_sst_handle_ok(sst, h))
		return kv_corrupt(err, sst->file_no, h.offset,
						  "no block can be at this place of the table");
	status = fetch_private(sst, h, kind, ref, err);
	if (status != KV_OK)
		return status;
	if (stats != NULL)
		stats->blocks_read++;
	if (sst->cache != NULL && how == KV_FETCH_CACHE &&
		kv_cache_insert(sst->cache, sst->file_no, h.offset, ref->data,
						ref->len, keep, &data, &ref->pin))
	{
		ref->data = data;
		ref->pinned = true;
		give_spare(sst, &ref->own);
	}
	return KV_OK;
}

void
kv_sst_release(KvSst *sst, KvBlockRef *ref)
{
	KV_ASSERT(!ref->pinned || sst->cache != NULL);
	if (ref->pinned)
		kv_cache_unpin(sst->cache, ref->pin);
	give_spare(sst, &ref->own);
	memset(ref, 0, sizeof(*ref));
}

KvStatus
kv_sst_open_block(KvSst *sst, KvBlockHandle h, KvBlockKind kind,
				  KvBlockRef *ref, KvCursor *cursor, KvSstStats *stats,
				  KvError *err)
{
	KvStatus status = kv_sst_fetch(sst, h, kind, KV_FETCH_CACHE, ref, stats,
								   err);

	if (status != KV_OK)
		return status;
	/* only an empty table has a block without entries: its top index */
	if (kv_cursor_open(cursor, ref->data, ref->len) &&
		cursor->block.n_restarts > 0)
		return KV_OK;
	status = kv_sst_bad_block(sst, h, cursor->status, err);
	kv_sst_release(sst, ref);
	return status;
}
