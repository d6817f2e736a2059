/* SPDX-License-Identifier: PostgreSQL */
/*
 * block_cache.h - decompressed, verified blocks in shared memory.
 *
 * Fixed frames, a hash partitioned over KV_CACHE_PARTITIONS locks, clock
 * eviction, pin counts.  A pin is held for the length of one engine call and
 * never across calls, so nothing is left behind when a query is cancelled.
 */
#ifndef KV_BLOCK_CACHE_H
#define KV_BLOCK_CACHE_H

#include "engine/kv_env.h"

typedef struct KvCacheShared KvCacheShared; /* at the start of its area */
typedef struct KvCache						/* per process */
{
	KvEnv *env;
	KvCacheShared *shared;
} KvCache;

typedef struct KvCacheStats
{
	uint64_t frames, frame_bytes;
	uint64_t hits, misses, evictions, oversize;
} KvCacheStats;

/*
 * bytes is the whole area, directory included; frame_bytes a power of two.
 * Frames of whole pages start at pages.
 */
size_t kv_cache_frames(size_t bytes, uint32_t frame_bytes);
void kv_cache_init(void *area, size_t bytes, uint32_t frame_bytes);
void kv_cache_attach(KvCache *cache, KvEnv *env, void *area);

/*
 * Looks {file_no, offset} up and pins it.  true: *data and *len are the
 * block until kv_cache_unpin(*pin).
 */
bool kv_cache_find(KvCache *cache, uint64_t file_no, uint64_t offset,
				   const char **data, uint32_t *len, uint32_t *pin);
/*
 * Inserts a block of at most frame_bytes and pins it; false when every
 * candidate frame is pinned or it is too large (the caller goes on with its
 * private copy).  keep: index or filter, evicted last.
 */
bool kv_cache_insert(KvCache *cache, uint64_t file_no, uint64_t offset,
					 const char *block, uint32_t len, bool keep,
					 const char **data, uint32_t *pin);
/*
 * A block that kv_cache_find will be asked for soon: brings the first bytes
 * bytes of it nearer, if it is there.  Pins nothing, counts nothing.
 */
void kv_cache_prefetch(KvCache *cache, uint64_t file_no, uint64_t offset,
					   uint32_t bytes);
void kv_cache_unpin(KvCache *cache, uint32_t pin);
void kv_cache_stats(const KvCache *cache, KvCacheStats *stats);

#endif /* KV_BLOCK_CACHE_H */
