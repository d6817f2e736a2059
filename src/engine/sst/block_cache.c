/* SPDX-License-Identifier: PostgreSQL */
/*
 * block_cache.c - decompressed, verified blocks in shared memory.
 *
 * Knows nothing of what is in a block.  Called by sst_block.c and sst_iter.c
 * in every process.  Makes no I/O, and copies blocks outside of its locks.
 *
 * The area holds, in this order: KvCacheShared, partitions, hash buckets,
 * frame descriptors, frames.  A block belongs to one partition, by the hash
 * of {file, offset}; a partition has its own buckets, frames and clock hand.
 * Small caches have fewer partitions, so that a partition has at least 16
 * frames when the cache has.
 *
 * Who may do what:
 *
 * - chains (bucket heads, next), clock hand, usage going down: only with the
 *   partition's lock held exclusively.  They are atomics because finders
 *   read them without it.
 * - file_no, offset, len and the frame's bytes: only by whoever claimed the
 *   frame, that is, changed its state from "no pins" to CLAIMED under the
 *   lock, and only until he sets VALID.
 * - pins: by anyone, at any time.
 *
 * A finder takes no lock.  He walks the chain, adds a pin to a frame that
 * looks right, and looks again at state and identity.  If the state that his
 * pin was added to had VALID, the frame cannot be claimed until he unpins
 * (claiming needs zero pins), so what he sees then is what he keeps; adding
 * the pin is an acquire that pairs with the release that set VALID.  If it
 * had not, or the identity is another, he takes the pin away and has touched
 * nothing.  While he walks, frames may move to other chains under him: he
 * may then miss a block that is there, which costs one read from the file,
 * and his steps are counted, so he always ends.  Insert decides under the
 * lock, so a block is never in two frames.
 */
#include "engine/sst/block_cache.h"

#include <stdatomic.h>

#include "engine/base/check.h"

_Static_assert(ATOMIC_INT_LOCK_FREE == 2, "atomics are in shared memory");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "atomics are in shared memory");

#define ALIGN		 64
#define PAGE		 4096
#define MIN_PER_PART 16
#define MAX_STEPS	 64 /* of a finder in one chain */
#define MAX_SWEEPS	 16 /* twice what a frame survives without hits */
#define NO_FRAME	 0	/* links are frame number + 1 */

/* The state of a frame. */
#define PINS	0x000fffffu
#define VALID	0x00100000u /* identity and bytes may be read by who pins */
#define CLAIMED 0x00200000u /* somebody fills it */
#define KEEP	0x00400000u /* index or filter */
#define USAGE	0x07000000u /* sweeps it will survive */
#define USAGE_1 0x01000000u

typedef struct FrameShared
{
	_Atomic uint32_t state;
	_Atomic uint32_t next;
	_Atomic uint64_t file_no;
	_Atomic uint64_t offset;
	_Atomic uint32_t len;
	uint32_t bucket; /* in which chain; changed under the lock */
} FrameShared;

typedef struct PartShared
{
	uint32_t first; /* its frames; constant */
	uint32_t count;
	uint32_t first_bucket;
	uint32_t bucket_mask;
	uint32_t hand;		   /* under the lock */
	char pad1[ALIGN - 20]; /* what finders write is on a line of its own */
	_Atomic uint64_t hits;
	_Atomic uint64_t misses;
	_Atomic uint64_t evictions;
	_Atomic uint64_t oversize;
	char pad2[ALIGN - 32];
} PartShared;
_Static_assert(sizeof(PartShared) == 2 * ALIGN, "no padding of its own");

struct KvCacheShared
{
	/* constant after kv_cache_init; offsets from the area's start */
	uint32_t frames;
	uint32_t frame_bytes;
	uint32_t parts;
	uint64_t parts_off, buckets_off, descs_off, data_off;
};

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

static PartShared *
part_at(KvCacheShared *s, uint32_t i)
{
	return (PartShared *) (void *) ((char *) s + s->parts_off) + i;
}

static _Atomic uint32_t *
bucket_at(KvCacheShared *s, uint32_t i)
{
	return (_Atomic uint32_t *) (void *) ((char *) s + s->buckets_off) + i;
}

static FrameShared *
frame_at(KvCacheShared *s, uint32_t i)
{
	return (FrameShared *) (void *) ((char *) s + s->descs_off) + i;
}

static char *
data_at(KvCacheShared *s, uint32_t i)
{
	return (char *) s + s->data_off + (uint64_t) i * s->frame_bytes;
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
	cache->env = env;
	cache->shared = area;
}

/* ---- find ---- */

typedef struct Place
{
	uint32_t part_no;
	uint32_t bucket;
	PartShared *part;
} Place;

static Place
place_of(KvCacheShared *s, uint64_t file_no, uint64_t offset)
{
	uint64_t h = file_no * UINT64_C(0x9e3779b97f4a7c15) ^ offset;
	Place place;

	h ^= h >> 32;
	h *= UINT64_C(0xd6e8feb86659fd93);
	h ^= h >> 32;
	place.part_no = (uint32_t) (h >> 56) & (s->parts - 1);
	place.part = part_at(s, place.part_no);
	place.bucket = place.part->first_bucket +
				   ((uint32_t) h & place.part->bucket_mask);
	return place;
}

static bool
is_block(FrameShared *f, uint64_t file_no, uint64_t offset)
{
	return atomic_load_explicit(&f->offset, memory_order_relaxed) == offset &&
		   atomic_load_explicit(&f->file_no, memory_order_relaxed) == file_no;
}

static void
unpin(FrameShared *f)
{
	/* release: pairs with the acquire of the claim that follows one day */
	uint32_t old = atomic_fetch_sub_explicit(&f->state, 1,
											 memory_order_release);

	KV_ASSERT((old & PINS) > 0);
	(void) old;
}

/* Pins f if it is the block; see the head of this file. */
static bool
try_pin(FrameShared *f, uint64_t file_no, uint64_t offset)
{
	uint32_t old;
	uint32_t usage;

	if (!is_block(f, file_no, offset))
		return false;
	old = atomic_fetch_add_explicit(&f->state, 1, memory_order_acquire);
	if ((old & VALID) == 0 || !is_block(f, file_no, offset))
	{
		unpin(f);
		return false;
	}
	usage = old & KEEP ? USAGE : USAGE_1;
	if ((old & usage) != usage)
		(void) atomic_fetch_or_explicit(&f->state, usage, memory_order_relaxed);
	return true;
}

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
			(void) atomic_fetch_add_explicit(&place.part->hits, 1,
											 memory_order_relaxed);
			return true;
		}
		link = atomic_load_explicit(&f->next, memory_order_acquire);
	}
	(void) atomic_fetch_add_explicit(&place.part->misses, 1,
									 memory_order_relaxed);
	return false;
}

void
kv_cache_prefetch(KvCache *cache, uint64_t file_no, uint64_t offset,
				  uint32_t bytes)
{
	KvCacheShared *s = cache->shared;
	uint32_t link;
	int steps;

	if (s->frames == 0)
		return;
	link = atomic_load_explicit(bucket_at(s,
										  place_of(s, file_no, offset).bucket),
								memory_order_acquire);
	for (steps = 0; link != NO_FRAME && steps < MAX_STEPS; steps++)
	{
		FrameShared *f = frame_at(s, link - 1);
		const char *data = data_at(s, link - 1);
		uint32_t i;

		if (is_block(f, file_no, offset))
		{
			for (i = 0; i < bytes && i < s->frame_bytes; i += 64)
				__builtin_prefetch(data + i);
			return;
		}
		link = atomic_load_explicit(&f->next, memory_order_acquire);
	}
}

void
kv_cache_unpin(KvCache *cache, uint32_t pin)
{
	KV_ASSERT(pin < cache->shared->frames);
	unpin(frame_at(cache->shared, pin));
}

/* ---- insert ---- */

static void
assert_locked(KvCache *cache, uint32_t part_no)
{
	KV_ASSERT(cache->env->ops->lock_held(cache->env,
										 KV_LOCK_CACHE + (int) part_no));
	(void) cache;
	(void) part_no;
}

/* A pinned frame with the block, or UINT32_MAX. */
static uint32_t
find_locked(KvCache *cache, const Place *place, uint64_t file_no,
			uint64_t offset)
{
	KvCacheShared *s = cache->shared;
	uint32_t link = atomic_load_explicit(bucket_at(s, place->bucket),
										 memory_order_relaxed);

	assert_locked(cache, place->part_no);
	while (link != NO_FRAME)
	{
		FrameShared *f = frame_at(s, link - 1);

		if (try_pin(f, file_no, offset))
			return link - 1;
		link = atomic_load_explicit(&f->next, memory_order_relaxed);
	}
	return UINT32_MAX;
}

static void
unlink_locked(KvCache *cache, const Place *place, uint32_t frame)
{
	KvCacheShared *s = cache->shared;
	FrameShared *f = frame_at(s, frame);
	_Atomic uint32_t *link = bucket_at(s, f->bucket);

	assert_locked(cache, place->part_no);
	while (atomic_load_explicit(link, memory_order_relaxed) != frame + 1)
	{
		KV_ASSERT(atomic_load_explicit(link, memory_order_relaxed) != NO_FRAME);
		link = &frame_at(s,
						 atomic_load_explicit(link, memory_order_relaxed) - 1)
					->next;
	}
	atomic_store_explicit(link,
						  atomic_load_explicit(&f->next, memory_order_relaxed),
						  memory_order_relaxed);
}

/*
 * Lets one sweep pass over f.  true: it had nothing left and is now claimed,
 * invalid and in no chain.  *pinned says that it was in use.
 */
static bool
sweep_locked(KvCache *cache, const Place *place, uint32_t frame, bool *pinned)
{
	FrameShared *f = frame_at(cache->shared, frame);
	uint32_t old = atomic_load_explicit(&f->state, memory_order_relaxed);
	uint32_t new;

	assert_locked(cache, place->part_no);
	do
	{
		*pinned = (old & (PINS | CLAIMED)) != 0;
		if (*pinned)
			return false;
		new = old &USAGE ? old - USAGE_1 : CLAIMED;
		/* acquire: pairs with unpin, whose reads are then over */
	} while (!atomic_compare_exchange_weak_explicit(&f->state, &old, new,
													memory_order_acquire,
													memory_order_relaxed));
	if (new != CLAIMED)
		return false;
	if (old & VALID)
	{
		unlink_locked(cache, place, frame);
		(void) atomic_fetch_add_explicit(&place->part->evictions, 1,
										 memory_order_relaxed);
	}
	return true;
}

/* A claimed frame, or UINT32_MAX if all are pinned. */
static uint32_t
claim_locked(KvCache *cache, const Place *place)
{
	PartShared *part = place->part;
	uint64_t left = (uint64_t) part->count * MAX_SWEEPS;
	uint32_t in_use = 0; /* in a row */

	while (in_use < part->count && left-- > 0)
	{
		uint32_t frame = part->first + part->hand;
		bool pinned;

		part->hand = part->hand + 1 < part->count ? part->hand + 1 : 0;
		if (sweep_locked(cache, place, frame, &pinned))
			return frame;
		in_use = pinned ? in_use + 1 : 0;
	}
	return UINT32_MAX;
}

/* Makes a filled frame visible; its claimer keeps one pin. */
static void
publish_locked(KvCache *cache, const Place *place, uint32_t frame, bool keep)
{
	KvCacheShared *s = cache->shared;
	FrameShared *f = frame_at(s, frame);
	_Atomic uint32_t *head = bucket_at(s, place->bucket);

	assert_locked(cache, place->part_no);
	f->bucket = place->bucket;
	atomic_store_explicit(&f->next,
						  atomic_load_explicit(head, memory_order_relaxed),
						  memory_order_relaxed);
	/*
	 * Finders who look at a stale link may add and take away pins all the
	 * time, so the state is changed by adding: CLAIMED goes, VALID, usage
	 * and our pin come.  release: the bytes and the identity come first.
	 */
	(void) atomic_fetch_add_explicit(&f->state,
									 VALID + 1 + (keep ? KEEP + USAGE : 0) -
										 CLAIMED,
									 memory_order_release);
	atomic_store_explicit(head, frame + 1, memory_order_release);
}

bool
kv_cache_insert(KvCache *cache, uint64_t file_no, uint64_t offset,
				const char *block, uint32_t len, bool keep, const char **data,
				uint32_t *pin)
{
	KvCacheShared *s = cache->shared;
	KvEnv *env = cache->env;
	uint32_t frame;
	uint32_t other;
	int lock_id;
	FrameShared *f;
	Place place;

	if (s->frames == 0)
		return false;
	place = place_of(s, file_no, offset);
	if (len > s->frame_bytes)
	{
		(void) atomic_fetch_add_explicit(&place.part->oversize, 1,
										 memory_order_relaxed);
		return false;
	}
	lock_id = KV_LOCK_CACHE + (int) place.part_no;
	env->ops->lock(env, lock_id, true);
	frame = find_locked(cache, &place, file_no, offset);
	if (frame != UINT32_MAX)
	{
		env->ops->unlock(env, lock_id);
		*data = data_at(s, frame);
		*pin = frame;
		return true;
	}
	frame = claim_locked(cache, &place);
	env->ops->unlock(env, lock_id);
	if (frame == UINT32_MAX)
		return false;

	/* The frame is ours alone; copying needs no lock. */
	f = frame_at(s, frame);
	atomic_store_explicit(&f->file_no, file_no, memory_order_relaxed);
	atomic_store_explicit(&f->offset, offset, memory_order_relaxed);
	atomic_store_explicit(&f->len, len, memory_order_relaxed);
	memcpy(data_at(s, frame), block, len);

	env->ops->lock(env, lock_id, true);
	other = find_locked(cache, &place, file_no, offset);
	if (other == UINT32_MAX)
		publish_locked(cache, &place, frame, keep);
	else /* somebody was faster: our frame is free again */
		(void) atomic_fetch_sub_explicit(&f->state, CLAIMED,
										 memory_order_release);
	env->ops->unlock(env, lock_id);
	if (other != UINT32_MAX)
		frame = other;
	*data = data_at(s, frame);
	*pin = frame;
	return true;
}

void
kv_cache_stats(const KvCache *cache, KvCacheStats *stats)
{
	KvCacheShared *s = cache->shared;
	uint32_t i;

	memset(stats, 0, sizeof(*stats));
	stats->frames = s->frames;
	stats->frame_bytes = s->frame_bytes;
	for (i = 0; i < s->parts && s->frames > 0; i++)
	{
		PartShared *part = part_at(s, i);

		stats->hits += atomic_load_explicit(&part->hits, memory_order_relaxed);
		stats->misses += atomic_load_explicit(&part->misses,
											  memory_order_relaxed);
		stats->evictions += atomic_load_explicit(&part->evictions,
												 memory_order_relaxed);
		stats->oversize += atomic_load_explicit(&part->oversize,
												memory_order_relaxed);
	}
}
