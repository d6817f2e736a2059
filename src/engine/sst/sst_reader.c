/* SPDX-License-Identifier: PostgreSQL */
/*
 * sst_reader.c - opens a table and looks single keys up.
 *
 * Iterators are in sst_iter.c, full checks in sst_verify.c.  Never writes.
 * Called by backends, the engine worker and compaction workers; each has its
 * own KvSst for a file and shares blocks through the cache.
 */
#include "engine/sst/sst_internal.h"

#include <inttypes.h>

#include "engine/base/check.h"
#include "engine/sst/bloom.h"
#include "engine/sst/sst_range.h"

/* ---- open and close ---- */

static KvStatus
read_exactly(KvSst *sst, char *buf, size_t len, uint64_t off, KvError *err)
{
	size_t got = 0;
	KvStatus status = sst->env->ops->pread(sst->env, sst->file, buf, len, off,
										   &got, err);

	if (status == KV_OK && got != len)
		return kv_corrupt(err, sst->file_no, off + got, "table is cut short");
	return status;
}

static KvStatus
check_size(KvSst *sst, KvError *err)
{
	uint64_t real;
	KvStatus status = sst->env->ops->size(sst->env, sst->file, &real, err);

	if (status != KV_OK)
		return status;
	if (real != sst->size)
		return kv_corrupt(err, sst->file_no,
						  real < sst->size ? real : sst->size,
						  "table has %" PRIu64 " bytes, expected %" PRIu64,
						  real, sst->size);
	if (real < KV_FILE_HEADER_BYTES + KV_FOOTER_BYTES)
		return kv_corrupt(err, sst->file_no, real,
						  "table is too short: %" PRIu64 " bytes", real);
	return KV_OK;
}

/* Reads a block that stays in private memory while the table is open. */
static KvStatus
load_resident(KvSst *sst, KvBlockHandle h, KvBlockKind kind, KvBuffer *mem,
			  KvError *err)
{
	KvBlockRef ref;
	KvStatus status = kv_sst_fetch(sst, h, kind, KV_FETCH_DISK, &ref, NULL,
								   err);

	if (status != KV_OK)
		return status;
	KV_ASSERT(!ref.pinned);
	*mem = ref.own;
	memset(&ref.own, 0, sizeof(ref.own));
	kv_sst_release(sst, &ref);
	return KV_OK;
}

static KvStatus
load_directory(KvSst *sst, KvBlockHandle h, KvBlockKind kind, KvBuffer *mem,
			   KvCursor *cursor, KvError *err)
{
	KvStatus status = load_resident(sst, h, kind, mem, err);

	if (status != KV_OK)
		return status;
	if (!kv_cursor_open(cursor, mem->data, mem->len))
		return kv_sst_bad_block(sst, h, cursor->status, err);
	return KV_OK;
}

static KvStatus
load(KvSst *sst, const KvIdentity *identity, KvError *err)
{
	char header_bytes[KV_FILE_HEADER_BYTES];
	char footer_bytes[KV_FOOTER_BYTES];
	KvFileHeader header;
	KvStatus status = check_size(sst, err);

	if (status == KV_OK)
		status = read_exactly(sst, header_bytes, sizeof(header_bytes), 0, err);
	if (status == KV_OK)
		status = kv_file_header_decode(header_bytes, sizeof(header_bytes),
									   KV_FILE_SST, KV_SST_VERSION, identity,
									   sst->file_no, &header, err);
	if (status != KV_OK)
		return status;
	sst->salt = header.salt;
	status = read_exactly(sst, footer_bytes, sizeof(footer_bytes),
						  sst->size - KV_FOOTER_BYTES, err);
	if (status == KV_OK)
		status = kv_footer_decode(footer_bytes, sst->salt, sst->file_no,
								  sst->size, &sst->footer, err);
	if (status == KV_OK)
		status = load_resident(sst, sst->footer.properties,
							   KV_BLOCK_PROPERTIES, &sst->props_mem, err);
	if (status != KV_OK)
		return status;
	if (!kv_props_decode(kv_slice(sst->props_mem.data, sst->props_mem.len),
						 &sst->props))
		return kv_sst_bad_block(sst, sst->footer.properties, KV_CORRUPT, err);
	status = load_directory(sst, sst->footer.top, KV_BLOCK_TOP, &sst->top_mem,
							&sst->top, err);
	if (status == KV_OK && sst->footer.filter_dir.size != 0)
		status = load_directory(sst, sst->footer.filter_dir,
								KV_BLOCK_FILTER_DIR, &sst->dir_mem,
								&sst->filter_dir, err);
	if (status == KV_OK)
		status = kv_sst_load_ranges(sst, err);
	return status;
}

/* Frees all but the file. */
static void
destroy(KvSst *sst)
{
	KvEnv *env = sst->env;
	int i;

	kv_sst_free_spare(sst);
	kv_cursor_free(&sst->top);
	kv_cursor_free(&sst->filter_dir);
	kv_cursor_free(&sst->index);
	kv_cursor_free(&sst->data);
	kv_buffer_free(env, &sst->props_mem);
	kv_buffer_free(env, &sst->top_mem);
	kv_buffer_free(env, &sst->dir_mem);
	kv_buffer_free(env, &sst->ranges_mem);
	if (sst->ranges != NULL)
		env->ops->free(env, sst->ranges);
	if (sst->reach != NULL)
		env->ops->free(env, sst->reach);
	for (i = 0; i < KV_SST_SPARES; i++)
		kv_buffer_free(env, &sst->spares[i]);
	env->ops->free(env, sst);
}

KvStatus
kv_sst_open(KvEnv *env, KvCache *cache, const KvIdentity *identity,
			uint64_t file_no, KvFile *file, uint64_t size,
			KvSstOverride override, KvSst **result, KvError *err)
{
	KvSstOverride none = {0, 0};
	KvSst *sst = env->ops->alloc(env, sizeof(*sst));
	KvStatus status;

	*result = NULL;
	if (sst == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory for a table");
	memset(sst, 0, sizeof(*sst));
	sst->env = env;
	sst->cache = cache;
	sst->file = file;
	sst->file_no = file_no;
	sst->size = size;
	sst->override = override;
	kv_cursor_init(&sst->top, env, true, none);
	kv_cursor_init(&sst->filter_dir, env, true, none);
	kv_cursor_init(&sst->index, env, true, none);
	kv_cursor_init(&sst->data, env, false, override);
	status = load(sst, identity, err);
	if (status != KV_OK)
	{
		destroy(sst);
		return status;
	}
	*result = sst;
	return KV_OK;
}

void
kv_sst_close(KvSst *sst)
{
	if (sst == NULL)
		return;
	sst->env->ops->close(sst->env, sst->file);
	destroy(sst);
}

/* ---- get ---- */

/*
 * What a search looks at first: the tail of a block, and before it the arrays
 * that it is searched by; of an index partition, 12 bytes for each block.
 */
#define DATA_TAIL  128
#define INDEX_TAIL 1920
/* Of the entries that are decoded one after the other, those that count. */
#define ENTRY_BYTES 768

/* The block will be looked at next, len bytes from from on first. */
static void
seek_block(KvSst *sst, KvSstProbe *probe, KvBlockHandle h, int64_t from,
		   uint32_t len)
{
	probe->seek_from = from;
	probe->seek_len = len;
	if (sst->cache != NULL)
		kv_cache_seek_start(sst->cache, sst->file_no, h.offset, &probe->seek);
}

void
kv_sst_probe_frame(KvSst *sst, KvSstProbe *probe)
{
	if (sst->cache != NULL && !probe->absent)
		kv_cache_seek_frame(sst->cache, &probe->seek);
}

void
kv_sst_probe_data(KvSst *sst, KvSstProbe *probe)
{
	if (sst->cache != NULL && !probe->absent)
		kv_cache_seek_data(sst->cache, &probe->seek, probe->seek_from,
						   probe->seek_len);
}

static KvBlockHandle
handle_of(const uint64_t pair[2])
{
	KvBlockHandle h = {pair[0], pair[1]};

	return h;
}

KvStatus
kv_sst_probe_start(KvSst *sst, KvSlice key, uint64_t key_hash,
				   KvSstProbe *probe, KvError *err)
{
	KvBlockHandle h;
	KvStatus status;

	memset(probe, 0, sizeof(*probe));
	probe->hash = key_hash;
	probe->absent = kv_slice_compare(key, sst->props.smallest) < 0 ||
					kv_slice_compare(key, sst->props.largest) > 0;
	if (probe->absent || sst->footer.filter_dir.size == 0)
		return KV_OK;
	/* the partition in which the key's newest version would be */
	kv_cursor_floor(&sst->filter_dir, key, UINT64_MAX);
	if (!sst->filter_dir.valid)
		return sst->filter_dir.status == KV_OK
				   ? KV_OK
				   : kv_sst_bad_block(sst, sst->footer.filter_dir,
									  sst->filter_dir.status, err);
	status = kv_sst_handle_at(sst, &sst->filter_dir, &h, err);
	if (status != KV_OK)
		return status;
	probe->filter[0] = h.offset;
	probe->filter[1] = h.size;
	seek_block(sst, probe, h,
			   kv_bloom_line_at(h.size - KV_BLOCK_TRAILER, key_hash), 1);
	return KV_OK;
}

/* probe->absent is set only when the filter of key's partition is sure. */
static KvStatus
ask_filter(KvSst *sst, KvSstProbe *probe, KvSstStats *stats, KvError *err)
{
	KvBlockRef ref;
	KvStatus status;

	if (probe->filter[1] == 0)
		return KV_OK;
	status = kv_sst_fetch(sst, handle_of(probe->filter), KV_BLOCK_FILTER,
						  KV_FETCH_CACHE, &ref, stats, err);
	if (status != KV_OK)
		return status;
	probe->absent = !kv_bloom_may_contain(ref.data, ref.len, probe->hash);
	kv_sst_release(sst, &ref);
	if (stats != NULL)
	{
		stats->filter_checks++;
		stats->filter_negatives += probe->absent;
	}
	return KV_OK;
}

KvStatus
kv_sst_probe_filter(KvSst *sst, KvSlice key, KvSstProbe *probe,
					KvSstStats *stats, KvError *err)
{
	KvBlockHandle h;
	KvStatus status;

	KV_ASSERT(!probe->absent);
	status = ask_filter(sst, probe, stats, err);
	if (status != KV_OK || probe->absent)
		return status;
	kv_cursor_floor(&sst->top, key, UINT64_MAX);
	if (!sst->top.valid)
	{
		probe->absent = true;
		return sst->top.status == KV_OK
				   ? KV_OK
				   : kv_sst_bad_block(sst, sst->footer.top, sst->top.status,
									  err);
	}
	status = kv_sst_handle_at(sst, &sst->top, &h, err);
	if (status != KV_OK)
		return status;
	probe->index[0] = h.offset;
	probe->index[1] = h.size;
	seek_block(sst, probe, h, -INDEX_TAIL, INDEX_TAIL);
	return KV_OK;
}

KvStatus
kv_sst_find_block(KvSst *sst, KvBlockHandle partition, KvSlice key,
				  uint64_t csn, KvBlockHandle *block, KvSstStats *stats,
				  KvError *err)
{
	KvCursor *index = &sst->index;
	KvBlockRef ref;
	KvStatus status = kv_sst_open_block(sst, partition, KV_BLOCK_INDEX, &ref,
										index, stats, err);

	if (status != KV_OK)
		return status;
	kv_cursor_floor(index, key, csn);
	if (index->valid)
		status = kv_sst_handle_at(sst, index, block, err);
	else
		status = kv_sst_bad_block(sst, partition,
								  index->status == KV_OK ? KV_CORRUPT
														 : index->status,
								  err);
	kv_sst_release(sst, &ref);
	return status;
}

KvStatus
kv_sst_probe_index(KvSst *sst, KvSlice key, KvSstProbe *probe,
				   KvSstStats *stats, KvError *err)
{
	KvBlockHandle h;
	KvStatus status;

	KV_ASSERT(!probe->absent && probe->index[1] != 0);
	status = kv_sst_find_block(sst, handle_of(probe->index), key, UINT64_MAX,
							   &h, stats, err);
	if (status != KV_OK)
		return status;
	probe->block[0] = h.offset;
	probe->block[1] = h.size;
	seek_block(sst, probe, h, -DATA_TAIL, DATA_TAIL);
	return KV_OK;
}

void
kv_sst_probe_block(KvSst *sst, KvSlice key, const KvSstProbe *probe)
{
	const char *data, *at;
	uint32_t len, pin, i;

	if (probe->absent || sst->cache == NULL ||
		!kv_cache_find(sst->cache, sst->file_no, probe->block[0], &data, &len,
					   &pin))
		return;
	if (kv_cursor_open(&sst->data, data, len))
	{
		at = kv_cursor_seek_start(&sst->data, key, UINT64_MAX);
		for (i = 0; at != NULL && i < ENTRY_BYTES; i += 64)
			__builtin_prefetch(at + i);
	}
	kv_cache_unpin(sst->cache, pin);
}

typedef struct Visit
{
	KvVersionFn fn;
	void *arg;
	uint64_t visited, skip; /* versions */
} Visit;

static bool
visit(Visit *v, const KvEntry *entry)
{
	if (v->skip > 0)
	{
		v->skip--;
		return false;
	}
	v->visited++;
	return v->fn(v->arg, entry);
}

/* Visits versions of key in the block under sst->data; *more: its end was
 * reached, so the next block may go on with the key. */
static KvStatus
visit_block(KvSst *sst, KvBlockHandle h, KvSlice key, bool first_block,
			Visit *v, bool *more, KvError *err)
{
	KvCursor *c = &sst->data;

	if (first_block)
		kv_cursor_seek(c, key, UINT64_MAX);
	else
		kv_cursor_first(c);
	*more = false;
	while (c->valid)
	{
		if (!kv_slice_equal(c->entry->key, key) || visit(v, c->entry))
			return KV_OK;
		kv_cursor_next(c);
	}
	*more = c->status == KV_OK;
	return *more ? KV_OK : kv_sst_bad_block(sst, h, c->status, err);
}

/*
 * Goes on in the index partition under sst->index, whose cursor is at the
 * first block to look at.  *more: the partition's end was reached.
 */
static KvStatus
visit_partition(KvSst *sst, KvBlockHandle at, KvSlice key, bool *first_block,
				Visit *v, bool *more, KvSstStats *stats, KvError *err)
{
	KvCursor *index = &sst->index;
	KvStatus status = KV_OK;

	*more = true;
	while (index->valid && *more && status == KV_OK)
	{
		KvBlockHandle h;
		KvBlockRef ref;

		/*
		 * Only a block that starts with a version of the same key has the
		 * whole key as its separator.
		 */
		*more = *first_block || kv_slice_equal(index->entry->key, key);
		if (!*more)
			break;
		status = kv_sst_handle_at(sst, index, &h, err);
		if (status == KV_OK)
			status = kv_sst_open_block(sst, h, KV_BLOCK_DATA, &ref, &sst->data,
									   stats, err);
		if (status != KV_OK)
			break;
		status = visit_block(sst, h, key, *first_block, v, more, err);
		kv_sst_release(sst, &ref);
		*first_block = false;
		if (*more)
			kv_cursor_next(index);
	}
	if (status == KV_OK && !index->valid && index->status != KV_OK)
		status = kv_sst_bad_block(sst, at, index->status, err);
	return status;
}

/* The key's first block ended with the key: all blocks, those of v->skip too. */
static KvStatus
visit_all(KvSst *sst, KvSlice key, Visit *v, KvSstStats *stats, KvError *err)
{
	KvCursor *top = &sst->top;
	bool first_partition = true;
	bool first_block = true;
	bool more = true;
	KvStatus status = KV_OK;

	kv_cursor_floor(top, key, UINT64_MAX);
	while (top->valid && more && status == KV_OK)
	{
		KvBlockHandle h;
		KvBlockRef ref;

		if (!first_partition && !kv_slice_equal(top->entry->key, key))
			break;
		status = kv_sst_handle_at(sst, top, &h, err);
		if (status == KV_OK)
			status = kv_sst_open_block(sst, h, KV_BLOCK_INDEX, &ref,
									   &sst->index, stats, err);
		if (status != KV_OK)
			break;
		if (first_partition)
			kv_cursor_floor(&sst->index, key, UINT64_MAX);
		else
			kv_cursor_first(&sst->index);
		first_partition = false;
		status = visit_partition(sst, h, key, &first_block, v, &more, stats,
								 err);
		kv_sst_release(sst, &ref);
		if (more && status == KV_OK)
			kv_cursor_next(top);
	}
	if (status == KV_OK && !top->valid && top->status != KV_OK)
		status = kv_sst_bad_block(sst, sst->footer.top, top->status, err);
	return status;
}

KvStatus
kv_sst_probe_visit(KvSst *sst, KvSlice key, const KvSstProbe *probe,
				   KvVersionFn fn, void *arg, KvSstStats *stats, KvError *err)
{
	KvBlockHandle h = handle_of(probe->block);
	Visit v = {fn, arg, 0, 0};
	KvBlockRef ref;
	bool more;
	KvStatus status;

	KV_ASSERT(!probe->absent && h.size != 0);
	status = kv_sst_open_block(sst, h, KV_BLOCK_DATA, &ref, &sst->data, stats,
							   err);
	if (status != KV_OK)
		return status;
	status = visit_block(sst, h, key, true, &v, &more, err);
	kv_sst_release(sst, &ref);
	if (status != KV_OK || !more)
		return status;
	/* rare: the key, or the gap in which it would be, ends the block */
	v.skip = v.visited;
	return visit_all(sst, key, &v, stats, err);
}

KvStatus
kv_sst_get(KvSst *sst, KvSlice key, uint64_t key_hash, KvVersionFn fn,
		   void *arg, KvSstStats *stats, KvError *err)
{
	KvSstProbe probe;
	KvStatus status = kv_sst_probe_start(sst, key, key_hash, &probe, err);

	if (status == KV_OK && !probe.absent)
		status = kv_sst_probe_filter(sst, key, &probe, stats, err);
	if (status == KV_OK && !probe.absent)
		status = kv_sst_probe_index(sst, key, &probe, stats, err);
	if (status == KV_OK && !probe.absent)
		status = kv_sst_probe_visit(sst, key, &probe, fn, arg, stats, err);
	return status;
}

/* ---- estimates ---- */

uint64_t
kv_sst_offset_of(KvSst *sst, KvSlice key)
{
	KvBlockHandle h;
	KvError ignored;

	if (kv_slice_compare(key, sst->props.smallest) <= 0)
		return 0;
	if (kv_slice_compare(key, sst->props.largest) > 0)
		return sst->props.data_end;
	kv_cursor_floor(&sst->top, key, UINT64_MAX);
	if (!sst->top.valid ||
		kv_sst_handle_at(sst, &sst->top, &h, &ignored) != KV_OK ||
		kv_sst_find_block(sst, h, key, UINT64_MAX, &h, NULL, &ignored) != KV_OK)
		return sst->props.data_end; /* a read will say what is wrong */
	return h.offset;
}

uint64_t
kv_sst_data_end(const KvSst *sst)
{
	return sst->props.data_end;
}
