/* SPDX-License-Identifier: PostgreSQL */
/*
 * mem_filter.c - is a key in a memtable?  The answer is mostly no.
 *
 * A lookup goes through all memtables before it comes to the files, and each
 * costs a way down a tree in cold memory, which three bits a key spare it
 * (word_filter.h).  A 64th of the memtable is 17 bits an entry of 116 bytes,
 * and less than 1 % of wrong guesses.
 *
 * Words only gain bits within a generation, and a key's bits are stored before
 * its entry is reachable: whoever may expect the entry sees them.  The words
 * are emptied after the new generation is set, so that a reader of the old one
 * who finds bits gone finds the generation gone too.
 *
 * The writer of the memtable calls kv_mem_filter_add, readers of any process
 * kv_mem_lacks, without a lock.
 */
#include "engine/base/word_filter.h"
#include "engine/mem/arena.h"
#include "engine/mem/layout.h"

/* Of the buffer. */
#define PART 64

static _Atomic uint64_t *
word_of(const KvMem *mem, uint32_t off, uint64_t hash)
{
	uint32_t mask = kv_acquire32(&mem->filter_mask);

	return (_Atomic uint64_t *) kv_mem_ptr(mem, off) + (hash & mask);
}

/*
 * Where the filter is, if it is worth a cache miss; 0: not.  A tree of one
 * node, which readers have in their caches, is as fast.
 */
static uint32_t
filter_to_ask(const KvMem *mem)
{
	uint32_t root = kv_acquire32(&mem->root);
	const KvNode *node = kv_mem_ptr(mem, root);

	if (!kv_mem_holds(mem, root, KV_NODE_BYTES, KV_NODE_ALIGN) ||
		kv_shape_level(kv_acquire32(&node->shape)) == 0)
		return 0;
	return kv_acquire32(&mem->filter);
}

void
kv_mem_init_filter(KvMem *mem)
{
	uint32_t words = (uint32_t) kv_word_count(kv_relaxed64(&mem->bytes) / PART);
	_Atomic uint64_t *word;
	uint32_t off, i;

	KV_ASSERT(kv_relaxed64(&mem->under_log_lock.entries) == 0);
	off = kv_arena_alloc(mem, words * sizeof(uint64_t), 8);
	word = kv_mem_ptr(mem, off);
	for (i = 0; i < words; i++)
		kv_release64(&word[i], 0);
	kv_release32(&mem->filter_mask, words - 1);
	kv_release32(&mem->filter, off);
}

void
kv_mem_filter_add(KvMem *mem, uint64_t hash)
{
	uint32_t off = kv_acquire32(&mem->filter);
	_Atomic uint64_t *word;

	KV_ASSERT(off != 0);
	if (KV_BUG(memtable_filter_forgets) && hash % 64 == 0)
		return;
	word = word_of(mem, off, hash);
	kv_release64(word, kv_relaxed64(word) | kv_word_bits(hash));
}

void
kv_mem_prefetch(const KvMem *mem, uint64_t hash)
{
	uint32_t off = filter_to_ask(mem);

	if (off != 0)
		__builtin_prefetch(word_of(mem, off, hash));
}

bool
kv_mem_lacks(const KvMem *mem, uint64_t generation, uint64_t hash)
{
	uint32_t off = filter_to_ask(mem);

	if (off == 0 ||
		kv_word_may_have(kv_acquire64(word_of(mem, off, hash)), hash))
		return false;
	return kv_mem_generation(mem) == generation;
}
