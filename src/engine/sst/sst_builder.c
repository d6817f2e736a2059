/* SPDX-License-Identifier: PostgreSQL */
/*
 * sst_builder.c - writes one SSTable from entries that come in order.
 *
 * Data blocks go to the file as they fill, in large pieces; filter and index
 * partitions are kept in memory (about 1.5 bytes an entry) and follow at the
 * end.  Never reads the file, never syncs it.  Called by the engine worker
 * (flush), compaction workers and backends that build a run of their own.
 */
#include "engine/sst/sst.h"

#define XXH_STATIC_LINKING_ONLY /* for the state's size */
#include <xxhash.h>

#include "engine/base/check.h"
#include "engine/sst/block_builder.h"
#include "engine/sst/bloom.h"
#include "engine/sst/compress.h"
#include "engine/sst/sst_range.h"

#define OUT_BYTES	((size_t) 256 << 10)
#define WRITE_BACK	((size_t) 1 << 20) /* to the device in such pieces */
#define KEEP_BYTES	((size_t) 1 << 20) /* larger scratch memory is freed */
#define STATE_ALIGN 64				   /* of XXH3_state_t */

/*
 * A lower bound of a block: after all entries before it, at or before its
 * first.  csn UINT64_MAX: before all versions of key.
 */
typedef struct Separator
{
	KvBuffer key;
	uint64_t csn;
} Separator;

/* Finished partitions that wait for the end of the data blocks. */
typedef struct Pending
{
	KvBuffer buf;	 /* per partition: lengths 8 + 8, csn 8, key, payload */
	Separator first; /* of the partition that is being filled */
	uint64_t count;
} Pending;
#define PENDING_HEAD 24

struct KvSstBuilder
{
	KvEnv *env;
	KvSstOptions options;
	uint64_t file_no;
	KvFile *file; /* the caller's */
	uint64_t salt;
	KvStatus status; /* after a failure every call returns it */

	KvBuffer out;	   /* not written yet */
	uint64_t out_off;  /* where in the file it goes */
	uint64_t back_off; /* the device has been told of what is before it */
	void *digest_mem;
	XXH3_state_t *digest;
	void *lz4_state;
	KvBuffer scratch; /* a payload compressed, or on its way */

	KvBlockBuilder data;
	Separator sep; /* of the data block that is being filled */
	KvBlockBuilder index;
	Pending indexes;
	KvBuffer hashes;	/* 8 bytes each; of the partition, then the block */
	size_t filter_keys; /* hashes of blocks already in the partition */
	size_t filter_max;	/* keys that a partition may hold; 0: no filter */
	Pending filters;
	KvBlockBuilder top; /* used at the end, for both directories */

	KvBuffer first_key, last_key;
	uint64_t last_csn;
	KvRangeBlock ranges;
	KvSstProps props;
};

/* ---- output ---- */

static KvStatus
no_memory(KvSstBuilder *b, KvError *err)
{
	return kv_fail(err, KV_NO_MEMORY, "out of memory while building file %llu",
				   (unsigned long long) b->file_no);
}

static KvStatus
write_out(KvSstBuilder *b, const char *data, size_t len, KvError *err)
{
	KvStatus status;

	if (len == 0)
		return KV_OK;
	status = b->env->ops->pwrite(b->env, b->file, data, len, b->out_off, err);
	if (status != KV_OK)
		return status;
	(void) XXH3_64bits_update(b->digest, data, len);
	b->out_off += len;
	if (b->env->ops->write_back != NULL &&
		b->out_off - b->back_off >= WRITE_BACK)
	{
		/* the sync at the end then waits for the rest only */
		b->env->ops->write_back(b->env, b->file, b->back_off,
								b->out_off - b->back_off);
		b->back_off = b->out_off;
	}
	return KV_OK;
}

static KvStatus
flush_out(KvSstBuilder *b, KvError *err)
{
	KvStatus status = write_out(b, b->out.data, b->out.len, err);

	if (status == KV_OK)
		b->out.len = 0;
	return status;
}

static KvStatus
append(KvSstBuilder *b, const char *data, size_t len, KvError *err)
{
	KvStatus status;

	KV_ASSERT(b->out.len <= OUT_BYTES && b->out.cap >= OUT_BYTES);
	if (len > OUT_BYTES - b->out.len)
	{
		status = flush_out(b, err);
		if (status != KV_OK)
			return status;
		if (len > OUT_BYTES)
			return write_out(b, data, len, err);
	}
	memcpy(b->out.data + b->out.len, data, len);
	b->out.len += len;
	return KV_OK;
}

static void
shrink(KvSstBuilder *b, KvBuffer *buf)
{
	if (buf->cap > KEEP_BYTES)
		kv_buffer_free(b->env, buf);
}

/*
 * Writes payload, compressed if that pays, with its trailer (which is put
 * after it in memory).
 */
static KvStatus
write_block(KvSstBuilder *b, KvBlockKind kind, KvBuffer *payload,
			KvBlockHandle *handle, KvError *err)
{
	KvBuffer *stored = payload;
	KvCompression compression = KV_COMPRESS_NONE;
	size_t raw = payload->len;
	uint64_t offset = b->out_off + b->out.len;
	KvStatus status;
	char *p;

	KV_ASSERT(raw <= KV_BLOCK_MAX_RAW);
	if (b->lz4_state != NULL && kind != KV_BLOCK_FILTER)
	{
		b->scratch.len = 0;
		/* without the memory for it the block is stored as it is */
		if (kv_buffer_reserve(b->env, &b->scratch,
							  kv_compress_room(raw) + KV_BLOCK_TRAILER))
			b->scratch.len = kv_compress(b->lz4_state, payload->data, raw,
										 b->scratch.data);
		if (b->scratch.len > 0)
		{
			compression = KV_COMPRESS_LZ4;
			stored = &b->scratch;
		}
	}
	if (!kv_buffer_reserve(b->env, stored, KV_BLOCK_TRAILER))
		return no_memory(b, err);
	p = stored->data + stored->len;
	*p++ = (char) compression;
	p = kv_put_u32(p, (uint32_t) raw);
	p = kv_put_u64(p, kv_checksum(b->salt, b->file_no, offset, (uint8_t) kind,
								  stored->data, stored->len + 5));
	KV_ASSERT(offset >= KV_FILE_HEADER_BYTES);
	handle->offset = offset;
	handle->size = (uint64_t) (p - stored->data);
	status = append(b, stored->data, (size_t) handle->size, err);
	if (b->options.cache != NULL &&
		(kind == KV_BLOCK_DATA || kind == KV_BLOCK_INDEX ||
		 kind == KV_BLOCK_FILTER))
		kv_cache_offer(b->options.cache, b->file_no, offset, payload->data,
					   (uint32_t) raw, kind != KV_BLOCK_DATA);
	shrink(b, &b->scratch);
	return status;
}

/* ---- separators and partitions ---- */

static bool
copy_separator(KvEnv *env, Separator *to, const Separator *from)
{
	to->csn = from->csn;
	return kv_buffer_set(env, &to->key,
						 kv_slice(from->key.data, from->key.len));
}

/* The lower bound of a data block whose first entry is entry. */
static bool
start_block(KvSstBuilder *b, const KvEntry *entry)
{
	KvSlice key = entry->key;
	size_t n;

	b->sep.csn = UINT64_MAX;
	if (b->props.entries == 0)
		key.len = 0; /* the first block's bound is below everything */
	else
	{
		n = kv_slice_common(key, kv_slice(b->last_key.data, b->last_key.len));
		if (n < key.len)
			key.len = n + 1;
		else
			b->sep.csn = entry->csn; /* more versions of the last key */
	}
	return kv_buffer_set(b->env, &b->sep.key, key);
}

/* Moves a finished partition out of the way. */
static KvStatus
put_pending(KvSstBuilder *b, Pending *pending, KvSlice payload, KvError *err)
{
	const Separator *sep = &pending->first;
	char *p;

	if (payload.data == NULL ||
		!kv_buffer_reserve(b->env, &pending->buf,
						   PENDING_HEAD + sep->key.len + payload.len))
		return no_memory(b, err);
	p = pending->buf.data + pending->buf.len;
	p = kv_put_u64(p, sep->key.len);
	p = kv_put_u64(p, payload.len);
	p = kv_put_u64(p, sep->csn);
	if (sep->key.len > 0)
		memcpy(p, sep->key.data, sep->key.len);
	p += sep->key.len;
	memcpy(p, payload.data, payload.len);
	p += payload.len;
	pending->buf.len = (size_t) (p - pending->buf.data);
	pending->count++;
	return KV_OK;
}

static bool
add_handle(KvBlockBuilder *block, KvSlice key, uint64_t csn, KvBlockHandle h)
{
	char buf[KV_HANDLE_MAX];
	KvEntry e = {0};

	e.key = key;
	e.csn = ~csn;
	e.kind = KV_KIND_PUT;
	e.value = kv_slice(buf, (size_t) (kv_handle_put(buf, h) - buf));
	return kv_block_builder_add(block, &e);
}

static KvStatus
end_index_partition(KvSstBuilder *b, KvError *err)
{
	KvStatus status;

	if (b->index.entries == 0)
		return KV_OK;
	status = put_pending(b, &b->indexes, kv_block_builder_finish(&b->index),
						 err);
	kv_block_builder_reset(&b->index);
	return status;
}

static KvStatus
index_data_block(KvSstBuilder *b, KvBlockHandle handle, KvError *err)
{
	size_t more = KV_ENTRY_OVERHEAD + KV_HANDLE_MAX + KV_SORTED_RESTART +
				  b->sep.key.len;
	KvStatus status;

	if (b->index.entries > 0 &&
		(kv_block_builder_size(&b->index) >= b->options.block_bytes ||
		 kv_block_builder_size(&b->index) + more > b->options.frame_bytes))
	{
		status = end_index_partition(b, err);
		if (status != KV_OK)
			return status;
	}
	if (b->index.entries == 0 &&
		!copy_separator(b->env, &b->indexes.first, &b->sep))
		return no_memory(b, err);
	if (!add_handle(&b->index, kv_slice(b->sep.key.data, b->sep.key.len),
					b->sep.csn, handle))
		return no_memory(b, err);
	return KV_OK;
}

/* Builds the filter of the blocks that are in the partition. */
static KvStatus
end_filter_partition(KvSstBuilder *b, KvError *err)
{
	size_t n = b->filter_keys;
	size_t bytes = kv_bloom_bytes(n, b->options.filter_bits);
	KvStatus status;

	if (n == 0)
		return KV_OK;
	KV_ASSERT(n * 8 <= b->hashes.len);
	b->scratch.len = 0;
	if (!kv_buffer_reserve(b->env, &b->scratch, bytes))
		return no_memory(b, err);
	kv_bloom_build((const uint64_t *) (const void *) b->hashes.data, n,
				   b->options.filter_bits, b->scratch.data);
	status = put_pending(b, &b->filters, kv_slice(b->scratch.data, bytes), err);
	b->hashes.len -= n * 8;
	memmove(b->hashes.data, b->hashes.data + n * 8, b->hashes.len);
	b->filter_keys = 0;
	return status;
}

/* The data block that just ended belongs to this partition, or the next. */
static KvStatus
filter_data_block(KvSstBuilder *b, KvError *err)
{
	KvStatus status;

	if (b->filter_max == 0)
		return KV_OK;
	if (b->hashes.len / 8 > b->filter_max)
	{
		status = end_filter_partition(b, err);
		if (status != KV_OK)
			return status;
	}
	if (b->filter_keys == 0 &&
		!copy_separator(b->env, &b->filters.first, &b->sep))
		return no_memory(b, err);
	b->filter_keys = b->hashes.len / 8;
	return KV_OK;
}

static KvStatus
end_data_block(KvSstBuilder *b, KvError *err)
{
	KvBlockHandle handle;
	KvStatus status;

	if (b->data.entries == 0)
		return KV_OK;
	if (kv_block_builder_finish(&b->data).data == NULL)
		return no_memory(b, err);
	status = write_block(b, KV_BLOCK_DATA, &b->data.buf, &handle, err);
	if (status == KV_OK)
		status = filter_data_block(b, err);
	if (status == KV_OK)
		status = index_data_block(b, handle, err);
	kv_block_builder_reset(&b->data);
	shrink(b, &b->data.buf);
	b->props.data_blocks++;
	return status;
}

/* ---- the interface ---- */

static bool
allocate(KvSstBuilder *b)
{
	KvEnv *env = b->env;
	uintptr_t p;

	if (b->options.lz4)
	{
		b->lz4_state = env->ops->alloc(env, kv_compress_state_bytes());
		if (b->lz4_state == NULL)
			return false;
	}
	b->digest_mem = env->ops->alloc(env, sizeof(XXH3_state_t) + STATE_ALIGN);
	if (b->digest_mem == NULL)
		return false;
	p = (uintptr_t) b->digest_mem + STATE_ALIGN - 1;
	b->digest = (XXH3_state_t *) (p & ~(uintptr_t) (STATE_ALIGN - 1));
	XXH3_INITSTATE(b->digest);
	(void) XXH3_64bits_reset(b->digest);
	return kv_buffer_reserve(env, &b->out, OUT_BYTES);
}

KvStatus
kv_sst_builder_open(KvEnv *env, const KvSstOptions *options,
					const KvIdentity *identity, uint64_t file_no, KvFile *file,
					KvSstBuilder **builder, KvError *err)
{
	KvFileHeader header = {0};
	KvSstBuilder *b;

	*builder = NULL;
	if (options->block_bytes < 64 || options->frame_bytes < 256 ||
		options->frame_bytes > KV_MAX_VALUE ||
		options->filter_bits > KV_BLOOM_MAX_BITS)
		return kv_fail(err, KV_INVALID, "sizes of table blocks make no sense");
	b = env->ops->alloc(env, sizeof(*b));
	if (b == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory for a table builder");
	memset(b, 0, sizeof(*b));
	b->env = env;
	b->options = *options;
	b->file_no = file_no;
	b->file = file;
	b->salt = env->ops->random(env);
	kv_block_builder_init(&b->data, env, KV_DATA_INTERVAL);
	kv_block_builder_init(&b->index, env, KV_INDEX_INTERVAL);
	kv_block_builder_init(&b->top, env, KV_INDEX_INTERVAL);
	if (options->filter_bits > 0)
		b->filter_max = kv_bloom_keys(options->frame_bytes,
									  options->filter_bits);
	if (!allocate(b))
	{
		kv_sst_builder_free(b);
		return kv_fail(err, KV_NO_MEMORY, "out of memory for a table builder");
	}
	header.kind = KV_FILE_SST;
	header.version = KV_SST_VERSION;
	header.identity = *identity;
	header.file_no = file_no;
	header.salt = b->salt;
	header.features = options->range_deletes ? KV_FEATURE_RANGE_DELETES : 0;
	kv_file_header_encode(&header, b->out.data);
	b->out.len = KV_FILE_HEADER_BYTES;
	*builder = b;
	return KV_OK;
}

static KvStatus
check_entry(const KvSstBuilder *b, const KvEntry *e, KvError *err)
{
	if (e->key.len > KV_MAX_KEY || e->value.len > KV_MAX_VALUE)
		return kv_fail(err, KV_TOO_LARGE,
					   "entry of %zu + %zu bytes is over the limit",
					   e->key.len, e->value.len);
	if (e->kind < KV_KIND_PUT || e->kind > KV_KIND_PUT_EXPIRING ||
		(e->kind == KV_KIND_DELETE && e->value.len > 0))
		return kv_fail(err, KV_INVALID, "entry of kind %u", e->kind);
	if (b->props.entries > 0 &&
		kv_entry_compare(kv_slice(b->last_key.data, b->last_key.len),
						 b->last_csn, e->key, e->csn) >= 0)
		return kv_fail(err, KV_INVALID, "entries of a table are out of order");
	return KV_OK;
}

static bool
add_hash(KvSstBuilder *b, KvSlice key)
{
	uint64_t hash = kv_key_hash(key);

	if (!kv_buffer_reserve(b->env, &b->hashes, 8))
		return false;
	memcpy(b->hashes.data + b->hashes.len, &hash, 8);
	b->hashes.len += 8;
	return true;
}

static KvStatus
add_entry(KvSstBuilder *b, const KvEntry *e, KvError *err)
{
	bool same_key;
	KvStatus status;

	if (b->data.entries > 0 &&
		kv_block_builder_size(&b->data) + kv_block_builder_cost(&b->data, e) >
			b->options.frame_bytes)
	{
		status = end_data_block(b, err);
		if (status != KV_OK)
			return status;
	}
	same_key = b->data.entries > 0 &&
			   kv_slice_equal(e->key,
							  kv_slice(b->last_key.data, b->last_key.len));
	if (b->data.entries == 0 && !start_block(b, e))
		return no_memory(b, err);
	if (b->filter_max > 0 && !same_key &&
		!(KV_BUG(tombstones_not_in_filter) && e->kind == KV_KIND_DELETE) &&
		!add_hash(b, e->key))
		return no_memory(b, err);
	if (!kv_block_builder_add(&b->data, e))
		return no_memory(b, err);
	if (b->props.entries == 0 && !kv_buffer_set(b->env, &b->first_key, e->key))
		return no_memory(b, err);
	if (!same_key && !kv_buffer_set(b->env, &b->last_key, e->key))
		return no_memory(b, err);
	b->last_csn = e->csn;
	kv_props_count(&b->props, e);
	if (kv_block_builder_size(&b->data) >= b->options.block_bytes)
		return end_data_block(b, err);
	return KV_OK;
}

KvStatus
kv_sst_builder_add(KvSstBuilder *b, const KvEntry *entry, KvError *err)
{
	KvStatus status = b->status;

	if (status != KV_OK)
		return kv_fail(err, status, "an earlier failure ended this table");
	status = check_entry(b, entry, err);
	if (status != KV_OK)
		return status; /* nothing happened: the caller may go on */
	b->status = add_entry(b, entry, err);
	return b->status;
}

KvStatus
kv_sst_builder_add_range_delete(KvSstBuilder *b, const KvEntry *entry,
								KvError *err)
{
	if (b->status != KV_OK)
		return kv_fail(err, b->status, "an earlier failure ended this table");
	KV_ASSERT(b->options.range_deletes);
	return kv_range_block_add(b->env, &b->ranges, &b->props, entry, err);
}

uint64_t
kv_sst_builder_bytes(const KvSstBuilder *b)
{
	return b->out_off + b->out.len + kv_block_builder_size(&b->data) +
		   b->indexes.buf.len + b->filters.buf.len +
		   (b->filter_max > 0
				? kv_bloom_bytes(b->hashes.len / 8, b->options.filter_bits)
				: 0) +
		   kv_block_builder_size(&b->index);
}

/* Writes partitions, then the sorted block that leads to them. */
static KvStatus
write_partitions(KvSstBuilder *b, Pending *pending, KvBlockKind kind,
				 KvBlockKind dir_kind, KvBlockHandle *dir, KvError *err)
{
	KvBuffer payload = {0};
	const char *p = pending->buf.data;
	KvStatus status = KV_OK;
	uint64_t i;

	kv_block_builder_reset(&b->top);
	for (i = 0; i < pending->count && status == KV_OK; i++)
	{
		size_t key_len = (size_t) kv_load_u64(p);
		size_t len = (size_t) kv_load_u64(p + 8);
		uint64_t csn = kv_load_u64(p + 16);
		KvSlice key = kv_slice(p + PENDING_HEAD, key_len);
		KvBlockHandle handle;

		if (!kv_buffer_set(b->env, &payload,
						   kv_slice(p + PENDING_HEAD + key_len, len)))
			status = no_memory(b, err);
		if (status == KV_OK)
			status = write_block(b, kind, &payload, &handle, err);
		if (status == KV_OK && !add_handle(&b->top, key, csn, handle))
			status = no_memory(b, err);
		p += PENDING_HEAD + key_len + len;
	}
	kv_buffer_free(b->env, &payload);
	if (status == KV_OK && kv_block_builder_finish(&b->top).data == NULL)
		status = no_memory(b, err);
	if (status == KV_OK && b->top.buf.len > KV_BLOCK_MAX_RAW)
		status = kv_fail(err, KV_TOO_LARGE, "the index is over the limit");
	if (status == KV_OK)
		status = write_block(b, dir_kind, &b->top.buf, dir, err);
	return status;
}

static KvStatus
write_end(KvSstBuilder *b, KvSstFooter *footer, KvError *err)
{
	KvBuffer payload = {0};
	char buf[KV_FOOTER_BYTES];
	KvStatus status = KV_OK;

	if (b->props.range_deletes > 0)
		status = write_block(b, KV_BLOCK_RANGE_DELETES, &b->ranges.payload,
							 &b->props.range_block, err);
	if (status != KV_OK)
		return status;
	if (!kv_props_encode(b->env, &b->props, &payload))
		return no_memory(b, err);
	status = write_block(b, KV_BLOCK_PROPERTIES, &payload, &footer->properties,
						 err);
	kv_buffer_free(b->env, &payload);
	if (status != KV_OK)
		return status;
	footer->file_size = b->out_off + b->out.len + KV_FOOTER_BYTES;
	kv_footer_encode(footer, b->salt, b->file_no, buf);
	status = append(b, buf, sizeof(buf), err);
	return status != KV_OK ? status : flush_out(b, err);
}

static KvStatus
finish(KvSstBuilder *b, KvError *err)
{
	KvSstFooter footer = {0};
	KvStatus status = end_data_block(b, err);

	KV_ASSERT(status != KV_OK || b->data.entries == 0);
	b->props.data_end = b->out_off + b->out.len;
	if (status == KV_OK && b->filter_max > 0)
		status = end_filter_partition(b, err);
	if (status == KV_OK)
		status = end_index_partition(b, err);
	b->props.index_blocks = b->indexes.count;
	b->props.filter_blocks = b->filters.count;
	b->props.block_bytes = b->options.block_bytes;
	b->props.frame_bytes = b->options.frame_bytes;
	b->props.filter_bits = b->options.filter_bits;
	b->props.smallest = kv_slice(b->first_key.data, b->first_key.len);
	b->props.largest = kv_slice(b->last_key.data, b->last_key.len);
	if (status == KV_OK && b->filters.count > 0)
		status = write_partitions(b, &b->filters, KV_BLOCK_FILTER,
								  KV_BLOCK_FILTER_DIR, &footer.filter_dir, err);
	if (status == KV_OK)
		status = write_partitions(b, &b->indexes, KV_BLOCK_INDEX, KV_BLOCK_TOP,
								  &footer.top, err);
	return status != KV_OK ? status : write_end(b, &footer, err);
}

KvStatus
kv_sst_builder_finish(KvSstBuilder *b, KvSstSummary *summary, KvError *err)
{
	const KvSstProps *props = &b->props;

	memset(summary, 0, sizeof(*summary));
	if (b->status != KV_OK)
		return kv_fail(err, b->status, "an earlier failure ended this table");
	b->status = finish(b, err);
	if (b->status != KV_OK)
		return b->status;
	summary->size = b->out_off;
	summary->digest = XXH3_64bits_digest(b->digest);
	kv_range_block_summary(&b->ranges, props, summary);
	b->status = KV_INVALID; /* nothing may follow */
	return KV_OK;
}

void
kv_sst_builder_free(KvSstBuilder *b)
{
	KvEnv *env;

	if (b == NULL)
		return;
	env = b->env;
	kv_buffer_free(env, &b->out);
	kv_buffer_free(env, &b->scratch);
	kv_buffer_free(env, &b->sep.key);
	kv_buffer_free(env, &b->indexes.buf);
	kv_buffer_free(env, &b->indexes.first.key);
	kv_buffer_free(env, &b->filters.buf);
	kv_buffer_free(env, &b->filters.first.key);
	kv_buffer_free(env, &b->hashes);
	kv_buffer_free(env, &b->first_key);
	kv_buffer_free(env, &b->last_key);
	kv_buffer_free(env, &b->ranges.payload);
	kv_block_builder_free(&b->data);
	kv_block_builder_free(&b->index);
	kv_block_builder_free(&b->top);
	if (b->lz4_state != NULL)
		env->ops->free(env, b->lz4_state);
	if (b->digest_mem != NULL)
		env->ops->free(env, b->digest_mem);
	env->ops->free(env, b);
}
