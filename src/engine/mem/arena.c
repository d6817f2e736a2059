/* SPDX-License-Identifier: PostgreSQL */
/*
 * arena.c - a bump allocator in a memtable's buffer.
 *
 * Nodes are taken eight at a time, so that they share pages: a lookup then
 * costs fewer TLB misses, and rows between nodes do not spoil the nodes'
 * alignment.  Called by the holder of KV_LOCK_LOG, or by the one process
 * that owns a private buffer.
 */
#include "engine/mem/arena.h"

#define ALIGN_UP(n, to) (((n) + (to) -1) / (to) * (to))

void
kv_arena_init(KvMem *mem, size_t bytes)
{
	/* release: after the generation, which kv_mem_init has set */
	kv_release64(&mem->bytes, bytes);
	kv_relaxed_set64(&mem->under_log_lock.used, KV_MEM_HEAD_BYTES);
	kv_relaxed_set32(&mem->under_log_lock.chunk, 0);
	kv_relaxed_set32(&mem->under_log_lock.chunk_left, 0);
}

bool
kv_arena_fits(const KvMem *mem, size_t bytes, int nodes)
{
	uint64_t used = kv_relaxed64(&mem->under_log_lock.used);
	int ready = (int) kv_relaxed32(&mem->under_log_lock.chunk_left);
	/* readers look at KV_ENTRY_MAX_HEAD bytes of the shortest entry */
	uint64_t need = bytes + 8 + KV_ENTRY_MAX_HEAD;

	if (nodes > ready)
		need += (uint64_t) (nodes - ready) * KV_NODE_BYTES + KV_NODE_ALIGN;
	return used + need <= kv_relaxed64(&mem->bytes);
}

uint32_t
kv_arena_alloc(KvMem *mem, size_t bytes, uint32_t align)
{
	uint64_t used = kv_relaxed64(&mem->under_log_lock.used);
	uint64_t start = ALIGN_UP(used, align);

	KV_ASSERT(align == 4 || align == 8);
	KV_ASSERT(start + bytes <= kv_relaxed64(&mem->bytes));
	kv_relaxed_set64(&mem->under_log_lock.used, start + bytes);
	return (uint32_t) start;
}

uint32_t
kv_arena_alloc_node(KvMem *mem)
{
	uint32_t left = kv_relaxed32(&mem->under_log_lock.chunk_left);
	uint32_t node = kv_relaxed32(&mem->under_log_lock.chunk);

	if (left == 0)
	{
		uint64_t bytes = kv_relaxed64(&mem->bytes);
		uint64_t used = kv_relaxed64(&mem->under_log_lock.used);

		used = ALIGN_UP(used, KV_NODE_ALIGN);
		/* Near the end one by one: the rest may be needed for rows. */
		left = used + 32 * KV_NODE_BYTES <= bytes ? KV_NODE_CHUNK : 1;
		KV_ASSERT(used + left * KV_NODE_BYTES <= bytes);
		node = (uint32_t) used;
		used += left * KV_NODE_BYTES;
		kv_relaxed_set64(&mem->under_log_lock.used, used);
	}
	kv_relaxed_set32(&mem->under_log_lock.chunk, node + KV_NODE_BYTES);
	kv_relaxed_set32(&mem->under_log_lock.chunk_left, left - 1);
	return node;
}

size_t
kv_arena_left(const KvMem *mem)
{
	uint64_t bytes = kv_relaxed64(&mem->bytes);
	uint64_t used = kv_relaxed64(&mem->under_log_lock.used);

	KV_ASSERT(used >= KV_MEM_HEAD_BYTES);
	return (size_t) (bytes - used) +
		   kv_relaxed32(&mem->under_log_lock.chunk_left) * KV_NODE_BYTES;
}
