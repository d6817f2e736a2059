/* SPDX-License-Identifier: PostgreSQL */
/*
 * block_cache.c - decompressed, verified blocks in shared memory.
 *
 * Knows nothing of what is in a block.  Called by sst_block.c and sst_iter.c
 * in every process.  Makes no I/O.  Filling frames is in cache_fill.c; who may
 * do what stands in cache_internal.h.
 */
#include "engine/sst/cache_internal.h"

/* ---- layout ---- */

typedef struct Layout
{
	uint32_t frames, parts, buckets_per_part;
	uint64_t parts_off, buckets_off, descs_off, data_off, end;
} Layout;

static uint64_t
align_up(uint64_t n)
{
	return (n + ALIGN - 1) & ~(uint64_t) (ALIGN - 1);
}

static void
lay_out(Layout *l, uint32_t frames, uint32_t frame_bytes)
{
	uint32_t per_part;

	l->frames = frames;
	l->parts = 1;
	while (l->parts < KV_CACHE_PARTITIONS &&
		   frames / (l->parts * 2) >= MIN_PER_PART)
		l->parts *= 2;
	per_part = (frames + l->parts - 1) / l->parts;
	l->buckets_per_part = 1;
	while (l->buckets_per_part < per_part)
		l->buckets_per_part *= 2;
	l->parts_off = align_up(sizeof(KvCacheShared));
	l->buckets_off = l->parts_off + (uint64_t) l->parts * sizeof(PartShared);
	l->descs_off = align_up(l->buckets_off + (uint64_t) l->parts *
												 l->buckets_per_part *
												 sizeof(_Atomic uint32_t));
	l->data_off = align_up(l->descs_off +
						   (uint64_t) frames * sizeof(FrameShared));
	l->end = l->data_off + (uint64_t) frames * frame_bytes;
	/* frames of whole pages start at one: a block costs one TLB entry */
	if (frame_bytes % PAGE == 0)
		l->end += PAGE;
}

size_t
kv_cache_frames(size_t bytes, uint32_t frame_bytes)
{
	uint64_t lo = 0;
	uint64_t hi = frame_bytes > 0 ? bytes / frame_bytes : 0;
	Layout l;

	if (hi > UINT32_MAX / 4)
		hi = UINT32_MAX / 4;
	while (lo < hi)
	{
		uint64_t mid = lo + (hi - lo + 1) / 2;

		lay_out(&l, (uint32_t) mid, frame_bytes);
		if (l.end <= bytes)
			lo = mid;
		else
			hi = mid - 1;
	}
	return (size_t) lo;
}

void
kv_cache_init(void *area, size_t bytes, uint32_t frame_bytes)
{
	KvCacheShared *s = area;
	Layout l;
	uint32_t i;
	uint32_t first = 0;

	KV_ASSERT(((uintptr_t) area & 7) == 0); /* the atomics; 64 is better */
	lay_out(&l, (uint32_t) kv_cache_frames(bytes, frame_bytes), frame_bytes);
	if (bytes < sizeof(*s))
		return;
	memset(s, 0, l.frames > 0 ? l.data_off : sizeof(*s));
	s->frames = l.frames;
	s->frame_bytes = frame_bytes;
	s->parts = l.parts;
	s->parts_off = l.parts_off;
	s->buckets_off = l.buckets_off;
	s->descs_off = l.descs_off;
	s->data_off = l.data_off;
	/* processes may map the region elsewhere, but at a page as well */
	if (frame_bytes % PAGE == 0)
		s->data_off += -((uintptr_t) area + l.data_off) & (PAGE - 1);
	for (i = 0; i < l.parts && l.frames > 0; i++)
	{
		PartShared *part = part_at(s, i);

		part->first = first;
		part->count = l.frames / l.parts + (i < l.frames % l.parts);
		part->first_bucket = i * l.buckets_per_part;
		part->bucket_mask = l.buckets_per_part - 1;
		first += part->count;
	}
	KV_ASSERT(l.frames == 0 || first == l.frames);
}

void
kv_cache_attach(KvCache *cache, KvEnv *env, void *area)
{
	memset(cache, 0, sizeof(*cache));
	cache->env = env;
	cache->shared = area;
}

/* ---- find ---- */

bool
kv_cache_find(KvCache *cache, uint64_t file_no, uint64_t offset,
			  const char **data, uint32_t *len, uint32_t *pin)
{
	KvCacheShared *s = cache->shared;
	Place place;
	uint32_t link;
	int steps;

	if (s->frames == 0)
		return false;
	place = place_of(s, file_no, offset);
	/* acquire: pairs with the release that linked the frame */
	link = atomic_load_explicit(bucket_at(s, place.bucket),
								memory_order_acquire);
	for (steps = 0; link != NO_FRAME && steps < MAX_STEPS; steps++)
	{
		FrameShared *f = frame_at(s, link - 1);

		/* the miss of the bytes beside that of the frame's state */
		__builtin_prefetch(data_at(s, link - 1));
		if (try_pin(f, file_no, offset))
		{
			*data = data_at(s, link - 1);
			*len = atomic_load_explicit(&f->len, memory_order_relaxed);
			*pin = link - 1;
			if (++cache->hits >= COUNT_EVERY)
				kv_cache_count(cache);
			return true;
		}
		link = atomic_load_explicit(&f->next, memory_order_acquire);
	}
	if (++cache->misses >= COUNT_EVERY)
		kv_cache_count(cache);
	return false;
}

void
kv_cache_count(KvCache *cache)
{
	KvCacheShared *s = cache->shared;

	if (s->frames > 0)
	{
		(void) atomic_fetch_add_explicit(&s->hits, cache->hits,
										 memory_order_relaxed);
		(void) atomic_fetch_add_explicit(&s->misses, cache->misses,
										 memory_order_relaxed);
	}
	cache->hits = cache->misses = 0;
}

/* Any part of the frame: what it holds may change meanwhile. */
static void
prefetch_part(const KvCacheShared *s, const char *data, int64_t from,
			  int64_t end)
{
	if (from < 0)
		from = 0;
	if (end > (int64_t) s->frame_bytes)
		end = s->frame_bytes;
	for (from &= ~(int64_t) 63; from < end; from += 64)
		__builtin_prefetch(data + from);
}

void
kv_cache_seek_start(KvCache *cache, uint64_t file_no, uint64_t offset,
					KvCacheSeek *seek)
{
	KvCacheShared *s = cache->shared;

	seek->file_no = file_no;
	seek->offset = offset;
	seek->link = NO_FRAME;
	if (s->frames == 0)
		return;
	seek->bucket = place_of(s, file_no, offset).bucket;
	__builtin_prefetch(bucket_at(s, seek->bucket));
}

void
kv_cache_seek_frame(KvCache *cache, KvCacheSeek *seek)
{
	KvCacheShared *s = cache->shared;

	if (s->frames == 0)
		return;
	seek->link = atomic_load_explicit(bucket_at(s, seek->bucket),
									  memory_order_acquire);
	if (seek->link != NO_FRAME)
		__builtin_prefetch(frame_at(s, seek->link - 1));
}

void
kv_cache_seek_data(KvCache *cache, const KvCacheSeek *seek, int64_t from,
				   uint32_t len)
{
	KvCacheShared *s = cache->shared;
	uint32_t link = seek->link;
	int steps;

	for (steps = 0; link != NO_FRAME && steps < MAX_STEPS; steps++)
	{
		FrameShared *f = frame_at(s, link - 1);

		if (is_block(f, seek->file_no, seek->offset))
		{
			if (from < 0)
				from += atomic_load_explicit(&f->len, memory_order_relaxed);
			/* a sorted block is opened at its first key */
			__builtin_prefetch(data_at(s, link - 1));
			prefetch_part(s, data_at(s, link - 1), from, from + len);
			return;
		}
		link = atomic_load_explicit(&f->next, memory_order_acquire);
	}
}

void
kv_cache_prefetch(KvCache *cache, uint64_t file_no, uint64_t offset,
				  int64_t from, uint32_t len)
{
	KvCacheSeek seek;

	kv_cache_seek_start(cache, file_no, offset, &seek);
	kv_cache_seek_frame(cache, &seek);
	kv_cache_seek_data(cache, &seek, from, len);
}

void
kv_cache_unpin(KvCache *cache, uint32_t pin)
{
	KV_ASSERT(pin < cache->shared->frames);
	unpin(frame_at(cache->shared, pin));
}

void
kv_cache_stats(const KvCache *cache, KvCacheStats *stats)
{
	KvCacheShared *s = cache->shared;
	uint32_t i;

	memset(stats, 0, sizeof(*stats));
	stats->frames = s->frames;
	stats->frame_bytes = s->frame_bytes;
	stats->hits = cache->hits +
				  atomic_load_explicit(&s->hits, memory_order_relaxed);
	stats->misses = cache->misses +
					atomic_load_explicit(&s->misses, memory_order_relaxed);
	for (i = 0; i < s->parts && s->frames > 0; i++)
	{
		PartShared *part = part_at(s, i);

		stats->evictions += atomic_load_explicit(&part->evictions,
												 memory_order_relaxed);
		stats->oversize += atomic_load_explicit(&part->oversize,
												memory_order_relaxed);
	}
}
