/* SPDX-License-Identifier: PostgreSQL */
/*
 * arena.h - a bump allocator in a memtable's buffer; writer only.
 *
 * Nothing is freed but by the next generation.  Allocating cannot fail
 * halfway: kv_arena_fits is asked first, with everything that is needed.
 */
#ifndef KV_ARENA_H
#define KV_ARENA_H

#include "engine/mem/layout.h"

void kv_arena_init(KvMem *mem, size_t bytes);
/* room for bytes of entry or batch and so many nodes, in any order? */
bool kv_arena_fits(const KvMem *mem, size_t bytes, int nodes);
/* bytes for an entry or a batch; align is 4 or 8 */
uint32_t kv_arena_alloc(KvMem *mem, size_t bytes, uint32_t align);
uint32_t kv_arena_alloc_node(KvMem *mem);
/* bytes not yet taken, unused nodes included */
size_t kv_arena_left(const KvMem *mem);

#endif /* KV_ARENA_H */
