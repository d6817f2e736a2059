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
	/*
	 * Not added to the shared counters yet: a line that every reader writes
	 * at every block would go from processor to processor.
	 */
	uint32_t hits, misses;
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
/* Adds this process' counts to the shared ones: before it ends. */
void kv_cache_count(KvCache *cache);
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
 * A block that kv_cache_find will be asked for soon.  Three steps bring
 * nearer, one after the other, its hash bucket, the description of its frame,
 * and its first byte with len others from from on (negative: from the end), each
 * without waiting if something else was done since the step before.  Nothing
 * is pinned or counted, and the block need not be there.
 */
typedef struct KvCacheSeek
{
	uint64_t file_no, offset;
	uint32_t bucket, link;
} KvCacheSeek;

void kv_cache_seek_start(KvCache *cache, uint64_t file_no, uint64_t offset,
						 KvCacheSeek *seek);
void kv_cache_seek_frame(KvCache *cache, KvCacheSeek *seek);
void kv_cache_seek_data(KvCache *cache, const KvCacheSeek *seek, int64_t from,
						uint32_t len);
/* All three. */
void kv_cache_prefetch(KvCache *cache, uint64_t file_no, uint64_t offset,
					   int64_t from, uint32_t len);
/*
 * A block that was just written and may be read soon: as kv_cache_insert, but
 * only into a frame that nothing else uses, and without a pin.
 */
void kv_cache_offer(KvCache *cache, uint64_t file_no, uint64_t offset,
					const char *block, uint32_t len, bool keep);
/*
 * Files that nobody will read again: their frames are free for others.  What
 * is pinned stays until its turn comes.  Looks at every frame.
 */
void kv_cache_forget(KvCache *cache, const uint64_t *file_nos, uint32_t n);
void kv_cache_unpin(KvCache *cache, uint32_t pin);
void kv_cache_stats(const KvCache *cache, KvCacheStats *stats);

#endif /* KV_BLOCK_CACHE_H */
