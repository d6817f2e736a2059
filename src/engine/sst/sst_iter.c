/* SPDX-License-Identifier: PostgreSQL */
/*
 * sst_iter.c - the iterator over one table.
 *
 * Holds copies of the index partition and the data block that it stands in,
 * so nothing is pinned between calls and an idle cursor costs no cache
 * frame.  With read-ahead, blocks in order come from large reads of its own
 * that leave the cache alone.  Called by backends (ranges) and by the
 * processes that flush and compact.
 */
#include "engine/sst/sst_internal.h"

#include <inttypes.h>

#include "engine/base/check.h"

/* An iterator with a larger block in memory is not kept. */
#define SPARE_BYTES ((size_t) 64 << 10)
/* The processor goes on by itself from there. */
#define PREFETCH_BYTES 1024

typedef struct SstIter
{
	KvIter base;
	KvSst *sst;
	uint32_t readahead;
	KvCursor top;
	KvCursor index;
	KvCursor data;
	KvBuffer index_mem;
	KvBuffer data_mem;
	KvBlockHandle index_at; /* the partition looked at; size 0: none */
	bool index_kept;		/* and it is in index_mem, under index */
	KvBlockHandle data_at;
	KvBuffer ahead; /* bytes of the file from ahead_off on */
	uint64_t ahead_off;
	KvBuffer target; /* of a seek: the caller's key may lie in our block */
	uint64_t target_csn;
	KvBuffer last; /* key before the block at hand, after a move forward */
} SstIter;

typedef enum Direction
{
	FORWARD,
	BACKWARD
} Direction;

static SstIter *
sst_iter(KvIter *it)
{
	return (SstIter *) it;
}

static void
fail(SstIter *it, KvStatus status)
{
	it->base.valid = false;
	it->base.status = status;
}

/* ---- blocks ---- */

static KvStatus
copy_in(SstIter *it, const char *data, uint32_t len, KvBuffer *mem)
{
	if (!kv_buffer_set(it->sst->env, mem, kv_slice(data, len)))
		return kv_fail(it->base.err, KV_NO_MEMORY,
					   "out of memory for a block of an iterator");
	return KV_OK;
}

/* A block from cache or file into mem, without leaving a pin. */
static KvStatus
copy_block(SstIter *it, KvBlockHandle h, KvBlockKind kind, KvFetch how,
		   KvBuffer *mem)
{
	KvSst *sst = it->sst;
	KvBlockRef ref;
	KvStatus status = kv_sst_fetch(sst, h, kind, how, &ref, sst->stats,
								   it->base.err);

	if (status != KV_OK)
		return status;
	if (!ref.pinned)
	{
		KvBuffer old = *mem;

		*mem = ref.own;
		ref.own = old;
	}
	else
		status = copy_in(it, ref.data, ref.len, mem);
	kv_sst_release(sst, &ref);
	return status;
}

static bool
is_ahead(const SstIter *it, KvBlockHandle h)
{
	return it->ahead.len > 0 && h.offset >= it->ahead_off &&
		   h.offset - it->ahead_off <= it->ahead.len &&
		   h.size <= it->ahead.len - (h.offset - it->ahead_off);
}

/* One large read that starts (or, backward, ends) with block h. */
static KvStatus
read_ahead(SstIter *it, KvBlockHandle h, Direction dir)
{
	KvSst *sst = it->sst;
	uint64_t end = sst->size - KV_FOOTER_BYTES;
	uint64_t from = h.offset;
	size_t len = it->readahead;
	size_t got = 0;
	KvStatus status;

	if (dir == BACKWARD)
	{
		uint64_t h_end = h.offset + h.size;

		from = KV_FILE_HEADER_BYTES;
		if (h_end - from > len)
			from = h_end - len;
		end = h_end;
	}
	if (end - from < len)
		len = (size_t) (end - from);
	it->ahead.len = 0;
	if (!kv_buffer_reserve(sst->env, &it->ahead, len))
		return kv_fail(it->base.err, KV_NO_MEMORY,
					   "out of memory to read %zu bytes ahead", len);
	status = sst->env->ops->pread(sst->env, sst->file, it->ahead.data, len,
								  from, &got, it->base.err);
	if (status != KV_OK)
		return status;
	KV_ASSERT(got <= len);
	it->ahead.len = got;
	it->ahead_off = from;
	if (!is_ahead(it, h))
		return kv_corrupt(it->base.err, sst->file_no, from + got,
						  "table ends in the middle of a block");
	return KV_OK;
}

/* Is h what a read in order comes to next? */
static bool
in_order(const SstIter *it, KvBlockHandle h, Direction dir)
{
	if (it->readahead <= h.size || it->data_at.size == 0)
		return false;
	if (dir == FORWARD)
		return h.offset == it->data_at.offset + it->data_at.size;
	return h.offset + h.size == it->data_at.offset;
}

/* The block from the cache, if it is there. */
static bool
copy_cached(SstIter *it, KvBlockHandle h, KvStatus *status)
{
	KvSst *sst = it->sst;
	const char *data;
	uint32_t len;
	uint32_t pin;

	if (sst->cache == NULL ||
		!kv_cache_find(sst->cache, sst->file_no, h.offset, &data, &len, &pin))
		return false;
	if (sst->stats != NULL)
		sst->stats->blocks_cached++;
	*status = copy_in(it, data, len, &it->data_mem);
	kv_cache_unpin(sst->cache, pin);
	/* the next one, most often, while this one is being gone through */
	kv_cache_prefetch(sst->cache, sst->file_no, h.offset + h.size, 0,
					  PREFETCH_BYTES);
	return true;
}

static KvStatus
fill_data(SstIter *it, KvBlockHandle h, Direction dir)
{
	KvStatus status = KV_OK;

	if (!is_ahead(it, h))
	{
		if (!in_order(it, h, dir))
			return copy_block(it, h, KV_BLOCK_DATA, KV_FETCH_CACHE,
							  &it->data_mem);
		if (copy_cached(it, h, &status))
			return status;
		status = read_ahead(it, h, dir);
		if (status != KV_OK)
			return status;
	}
	if (it->sst->stats != NULL)
		it->sst->stats->blocks_read++;
	return kv_sst_decode_block(it->sst, h, KV_BLOCK_DATA,
							   it->ahead.data + (h.offset - it->ahead_off),
							   &it->data_mem, it->base.err);
}

/* Opens a data block; false: failed. */
static bool
load_data(SstIter *it, KvBlockHandle h, Direction dir)
{
	KvStatus status = KV_OK;

	if (it->data_at.size != 0 && it->data_at.offset == h.offset)
		return true;
	status = fill_data(it, h, dir);
	it->data_at.size = 0;
	if (status == KV_OK &&
		(!kv_cursor_open(&it->data, it->data_mem.data, it->data_mem.len) ||
		 it->data.block.n_restarts == 0))
		status = kv_sst_bad_block(it->sst, h, it->data.status, it->base.err);
	if (status != KV_OK)
	{
		fail(it, status);
		return false;
	}
	it->data_at = h;
	return true;
}

/* The block under the index cursor. */
static bool
load_indexed(SstIter *it, Direction dir)
{
	KvBlockHandle h;
	KvStatus status = kv_sst_handle_at(it->sst, &it->index, &h, it->base.err);

	if (status == KV_OK)
		return load_data(it, h, dir);
	fail(it, status);
	return false;
}

/* Keeps the index partition under the top cursor; false: failed. */
static bool
load_index(SstIter *it)
{
	KvBlockHandle h;
	KvStatus status = kv_sst_handle_at(it->sst, &it->top, &h, it->base.err);

	if (status == KV_OK && it->index_kept && it->index_at.offset == h.offset)
		return true;
	it->index_kept = false;
	if (status == KV_OK)
		status = copy_block(it, h, KV_BLOCK_INDEX,
							it->readahead > 0 ? KV_FETCH_NO_FILL
											  : KV_FETCH_CACHE,
							&it->index_mem);
	if (status == KV_OK &&
		(!kv_cursor_open(&it->index, it->index_mem.data, it->index_mem.len) ||
		 it->index.block.n_restarts == 0))
		status = kv_sst_bad_block(it->sst, h, it->index.status, it->base.err);
	if (status != KV_OK)
	{
		fail(it, status);
		return false;
	}
	it->index_at = h;
	it->index_kept = true;
	return true;
}

/* ---- positions ---- */

/* Says what is under the data cursor. */
static void
settle(SstIter *it)
{
	it->base.valid = it->data.valid;
	it->base.repeats = it->data.repeats;
	it->base.status = KV_OK;
	if (!it->data.valid && it->data.status != KV_OK)
		fail(it, kv_sst_bad_block(it->sst, it->data_at, it->data.status,
								  it->base.err));
}

/* The cursor is not valid: at its end (true), or failed. */
static bool
at_end(SstIter *it, const KvCursor *c, KvBlockHandle h)
{
	if (c->status == KV_OK)
		return true;
	fail(it, kv_sst_bad_block(it->sst, h, c->status, it->base.err));
	return false;
}

/* An edge of a block, and how to come closer to it. */
static void
to_edge(KvCursor *c, Direction dir)
{
	if (dir == FORWARD)
		kv_cursor_first(c);
	else
		kv_cursor_last(c);
}

static void
step(KvCursor *c, Direction dir)
{
	if (dir == FORWARD)
		kv_cursor_next(c);
	else
		kv_cursor_prev(c);
}

/* A partition has entries, but the index cursor found none. */
static void
no_entry(SstIter *it)
{
	fail(it, kv_sst_bad_block(it->sst, it->index_at,
							  it->index.status == KV_OK ? KV_CORRUPT
														: it->index.status,
							  it->base.err));
}

/* The seek has only looked at the partition: most scans end in one block. */
static bool
keep_index(SstIter *it)
{
	if (it->index_kept)
		return true;
	if (!load_index(it))
		return false;
	kv_cursor_floor(&it->index, kv_slice(it->target.data, it->target.len),
					it->target_csn);
	if (it->index.valid)
		return true;
	no_entry(it);
	return false;
}

/* Puts the index cursor on the next block; false: none, or failed. */
static bool
step_index(SstIter *it, Direction dir)
{
	if (!keep_index(it))
		return false;
	step(&it->index, dir);
	if (it->index.valid)
		return true;
	if (!at_end(it, &it->index, it->index_at))
		return false;
	step(&it->top, dir);
	if (!it->top.valid)
	{
		if (at_end(it, &it->top, it->sst->footer.top))
			fail(it, KV_OK);
		return false;
	}
	if (!load_index(it))
		return false;
	to_edge(&it->index, dir);
	if (it->index.valid)
		return true;
	no_entry(it);
	return false;
}

/* From the block at hand to the edge of the next one. */
static void
next_block(SstIter *it, Direction dir)
{
	KvSlice last = it->data.entry->key;

	if (!step_index(it, dir))
		return;
	if (dir == FORWARD)
	{
		if (!kv_buffer_set(it->sst->env, &it->last, last))
		{
			fail(it, kv_fail(it->base.err, KV_NO_MEMORY,
							 "out of memory for a key of an iterator"));
			return;
		}
	}
	if (!load_indexed(it, dir))
		return;
	to_edge(&it->data, dir);
	settle(it);
	if (dir == FORWARD && it->base.valid)
		it->base.repeats = kv_slice_equal(it->base.entry.key,
										  kv_slice(it->last.data, it->last.len))
							   ? KV_REPEATS_YES
							   : KV_REPEATS_NO;
}

/*
 * Opens the block in which (key, csn) belongs; false: failed, or no blocks.
 * The index partition is looked at where it lies, and not copied.
 */
static bool
find_block(SstIter *it, KvSlice key, uint64_t csn)
{
	KvSst *sst = it->sst;
	KvBlockHandle h;
	KvStatus status;

	it->target_csn = csn;
	kv_cursor_floor(&it->top, key, csn);
	if (!it->top.valid)
	{
		if (at_end(it, &it->top, sst->footer.top))
			fail(it, KV_OK);
		return false;
	}
	it->index_kept = false;
	status = kv_sst_handle_at(sst, &it->top, &it->index_at, it->base.err);
	if (status == KV_OK)
		status = kv_sst_find_block(sst, it->index_at, key, csn, &h, NULL,
								   it->base.err);
	if (status == KV_OK)
		return load_data(it, h, FORWARD);
	fail(it, status);
	return false;
}

/* Keeps the key of a seek where moving does not overwrite it. */
static bool
keep_target(SstIter *it, KvSlice *key)
{
	if (!kv_buffer_set(it->sst->env, &it->target, *key))
	{
		fail(it, kv_fail(it->base.err, KV_NO_MEMORY,
						 "out of memory for the key of a seek"));
		return false;
	}
	key->data = it->target.data;
	return true;
}

static void
iter_seek(KvIter *base, KvSlice key, uint64_t csn)
{
	SstIter *it = sst_iter(base);

	if (!keep_target(it, &key) || !find_block(it, key, csn))
		return;
	kv_cursor_seek(&it->data, key, csn);
	settle(it);
	if (!base->valid && base->status == KV_OK)
		next_block(it, FORWARD);
}

static void
iter_seek_before(KvIter *base, KvSlice key)
{
	SstIter *it = sst_iter(base);

	if (!keep_target(it, &key) || !find_block(it, key, UINT64_MAX))
		return;
	kv_cursor_seek(&it->data, key, UINT64_MAX);
	if (it->data.valid)
		kv_cursor_prev(&it->data);
	else if (it->data.status == KV_OK)
		kv_cursor_last(&it->data);
	settle(it);
	if (!base->valid && base->status == KV_OK)
		next_block(it, BACKWARD);
}

static void
to_end(SstIter *it, Direction dir)
{
	to_edge(&it->top, dir);
	if (!it->top.valid)
	{
		if (at_end(it, &it->top, it->sst->footer.top))
			fail(it, KV_OK);
		return;
	}
	if (!load_index(it))
		return;
	to_edge(&it->index, dir);
	if (!it->index.valid)
	{
		no_entry(it);
		return;
	}
	if (!load_indexed(it, dir))
		return;
	to_edge(&it->data, dir);
	settle(it);
}

static void
iter_first(KvIter *base)
{
	to_end(sst_iter(base), FORWARD);
}

static void
iter_last(KvIter *base)
{
	to_end(sst_iter(base), BACKWARD);
}

static void
iter_next(KvIter *base)
{
	SstIter *it = sst_iter(base);

	KV_ASSERT(base->valid);
	kv_cursor_next(&it->data);
	if (it->data.valid)
	{
		base->repeats = it->data.repeats;
		return;
	}
	settle(it);
	if (base->status == KV_OK)
		next_block(it, FORWARD);
}

static void
iter_prev(KvIter *base)
{
	SstIter *it = sst_iter(base);

	KV_ASSERT(base->valid);
	kv_cursor_prev(&it->data);
	settle(it);
	if (!base->valid && base->status == KV_OK)
		next_block(it, BACKWARD);
}

static void
destroy(SstIter *it)
{
	KvEnv *env = it->sst->env;

	kv_cursor_free(&it->top);
	kv_cursor_free(&it->index);
	kv_cursor_free(&it->data);
	kv_buffer_free(env, &it->index_mem);
	kv_buffer_free(env, &it->data_mem);
	kv_buffer_free(env, &it->ahead);
	kv_buffer_free(env, &it->target);
	kv_buffer_free(env, &it->last);
	env->ops->free(env, it);
}

void
kv_sst_free_spare(KvSst *sst)
{
	if (sst->spare_iter != NULL)
		destroy(sst_iter(sst->spare_iter));
	sst->spare_iter = NULL;
}

/* One iterator of a table is kept with its memory: most scans are short. */
static void
iter_close(KvIter *base)
{
	SstIter *it = sst_iter(base);

	if (it->sst->spare_iter != NULL || it->readahead > 0 ||
		it->data_mem.cap > SPARE_BYTES)
		destroy(it);
	else
		it->sst->spare_iter = base;
}

static const KvIterOps ops = {
	.seek = iter_seek,
	.seek_before = iter_seek_before,
	.first = iter_first,
	.last = iter_last,
	.next = iter_next,
	.prev = iter_prev,
	.close = iter_close,
};

static SstIter *
new_iter(KvSst *sst)
{
	KvSstOverride none = {0, 0};
	SstIter *it = sst->env->ops->alloc(sst->env, sizeof(*it));

	if (it == NULL)
		return NULL;
	memset(it, 0, sizeof(*it));
	it->base.ops = &ops;
	it->sst = sst;
	kv_cursor_init(&it->top, sst->env, true, none);
	kv_cursor_init(&it->index, sst->env, true, none);
	kv_cursor_init(&it->data, sst->env, false, sst->override);
	it->data.entry = &it->base.entry;
	return it;
}

void
kv_sst_count_in(KvSst *sst, KvSstStats *stats)
{
	sst->stats = stats;
}

KvStatus
kv_sst_iter(KvSst *sst, uint32_t readahead, KvIter **result, KvError *err)
{
	SstIter *it = NULL;

	*result = NULL;
	if (readahead == 0 && sst->spare_iter != NULL)
	{
		it = sst_iter(sst->spare_iter);
		sst->spare_iter = NULL;
	}
	else
		it = new_iter(sst);
	if (it == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory for an iterator");
	if (sst->stats != NULL)
		sst->stats->iterators++;
	it->base.valid = false;
	it->base.status = KV_OK;
	it->base.err = err;
	it->readahead = readahead;
	it->index_kept = false;
	it->data_at.size = 0;
	it->ahead.len = 0;
	/* it was well-formed when the table was opened */
	if (!kv_cursor_open(&it->top, sst->top_mem.data, sst->top_mem.len))
	{
		KvStatus status = kv_sst_bad_block(sst, sst->footer.top,
										   it->top.status, err);

		destroy(it);
		return status;
	}
	*result = &it->base;
	return KV_OK;
}
