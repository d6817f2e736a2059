/* SPDX-License-Identifier: PostgreSQL */
/*
 * write_set_filter.c - is a key among a large transaction's writes?
 *
 * A load asks for every key whether it was written already, and the answer is
 * nearly always no.  Three bits a key (word_filter.h) say so without a way
 * through the memtable and the runs, whose filters have to be read from files.
 *
 * The filter grows with the memtable, to an eighth of the set's memory, and
 * no more once there are runs.  With 64 MB that is 1.5 % of wrong guesses at
 * 5 million keys and 23 % at 20 million.
 *
 * Killed writes keep their bits: they cost a look, no more.  The backend that
 * runs the transaction calls this through the set, nobody else.
 */
#include "engine/base/file_header.h"
#include "engine/base/word_filter.h"
#include "engine/lsm/write_set_internal.h"

/* A set with fewer writes does without. */
#define FIRST_ENTRIES 1024
#define FIRST_BYTES	  ((size_t) 16 << 10)
/* From here on the next size is the largest. */
#define LAST_STEP_BYTES ((size_t) 1 << 20)
/* Grown when there are fewer bits a key than that. */
#define MIN_BITS 16

static uint64_t *
word_of(const KvWriteSet *ws, uint64_t hash)
{
	return &ws->filter[hash & ws->filter_mask];
}

static void
set_bits(KvWriteSet *ws, KvSlice key)
{
	uint64_t hash = kv_key_hash(key);

	*word_of(ws, hash) |= kv_word_bits(hash);
}

static size_t
largest_bytes(const KvWriteSet *ws)
{
	return kv_word_count(ws->allowed_bytes / KV_SET_FILTER_PART) *
		   sizeof(uint64_t);
}

static size_t
next_bytes(const KvWriteSet *ws, size_t bytes)
{
	size_t largest = largest_bytes(ws);

	bytes = bytes == 0 ? FIRST_BYTES : 8 * bytes;
	return bytes < LAST_STEP_BYTES && bytes < largest ? bytes : largest;
}

/* Without memory for it, the one that is there goes on. */
static void
build(KvWriteSet *ws, size_t bytes)
{
	KvEnv *env = ws->env;
	KvIter *it = NULL;
	uint64_t *filter;

	KV_ASSERT(ws->runs == 0);
	if (kv_mem_iter(env, ws->mem, ws->generation, &it) != KV_OK)
		return;
	filter = env->ops->alloc(env, bytes);
	if (filter != NULL)
	{
		env->ops->free(env, ws->filter);
		memset(filter, 0, bytes);
		ws->filter = filter;
		ws->filter_mask = bytes / sizeof(uint64_t) - 1;
		for (it->ops->first(it); it->valid; it->ops->next(it))
			set_bits(ws, it->entry.key);
	}
	it->ops->close(it);
}

static size_t
bytes_now(const KvWriteSet *ws)
{
	return ws->filter == NULL ? 0 : (ws->filter_mask + 1) * sizeof(uint64_t);
}

void
kv_set_filter_add(KvWriteSet *ws, KvSlice key)
{
	uint64_t entries = kv_mem_entries(ws->mem);
	size_t bytes;

	if (ws->filter != NULL)
		set_bits(ws, key);
	if (ws->runs > 0 || entries % FIRST_ENTRIES != 0)
		return;
	bytes = bytes_now(ws);
	if (entries * MIN_BITS > bytes * 8 && bytes < largest_bytes(ws))
		build(ws, next_bytes(ws, bytes));
}

void
kv_set_filter_grow_to_end(KvWriteSet *ws)
{
	if (ws->runs == 0 && kv_mem_entries(ws->mem) >= FIRST_ENTRIES &&
		bytes_now(ws) < largest_bytes(ws))
		build(ws, largest_bytes(ws));
}

void
kv_write_set_prefetch(const KvWriteSet *ws, KvSlice key)
{
	if (ws->filter != NULL)
		__builtin_prefetch(word_of(ws, kv_key_hash(key)));
}

bool
kv_set_may_have(const KvWriteSet *ws, KvSlice key)
{
	uint64_t hash;

	if (ws->filter == NULL)
		return true;
	hash = kv_key_hash(key);
	return kv_word_may_have(*word_of(ws, hash), hash);
}
