/* SPDX-License-Identifier: PostgreSQL */
/*
 * block_builder.h - encodes sorted blocks: data, index, top, filter
 * directory.
 *
 * Knows nothing of files, compression or checksums.  Entries come in order;
 * the caller has checked that.  Used by sst_builder.c only.
 */
#ifndef KV_BLOCK_BUILDER_H
#define KV_BLOCK_BUILDER_H

#include "engine/base/entry.h"
#include "engine/sst/sst_buffer.h"

typedef struct KvBlockBuilder
{
	KvEnv *env;
	uint32_t interval; /* entries from one restart point to the next */
	KvBuffer buf;	   /* the entries; after finish the whole payload */
	KvBuffer restarts; /* offset, key offset, key length: 4 bytes each */
	KvBuffer last_key;
	uint32_t entries;
	uint32_t n_restarts;
	uint64_t base_csn, base_xid;
	int64_t base_expiry;
	bool has_expiry; /* base_expiry is set; it may be any number */
} KvBlockBuilder;

void kv_block_builder_init(KvBlockBuilder *b, KvEnv *env, uint32_t interval);
void kv_block_builder_free(KvBlockBuilder *b);
/* Empties it for the next block; keeps its memory. */
void kv_block_builder_reset(KvBlockBuilder *b);
/* Bytes of the payload if it ended now. */
size_t kv_block_builder_size(const KvBlockBuilder *b);
/* An upper bound of what entry would add. */
size_t kv_block_builder_cost(const KvBlockBuilder *b, const KvEntry *entry);
/* false: no memory; the block is as before */
bool kv_block_builder_add(KvBlockBuilder *b, const KvEntry *entry);
/* The payload, the builder's until reset; data NULL: no memory. */
KvSlice kv_block_builder_finish(KvBlockBuilder *b);

#endif /* KV_BLOCK_BUILDER_H */
