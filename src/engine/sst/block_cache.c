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
 * - chains (bucket heads, next), clock hand, free frames, usage going down:
 *   only with the partition's lock held exclusively.  Chains are atomics
 *   because finders read them without it.
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
#define MAX_STEPS	 64	  /* of a finder in one chain */
#define COUNT_EVERY	 1024 /* lookups of a process, until it adds them up */
#define MAX_SWEEPS	 16	  /* twice what a frame survives without hits */
#define NO_FRAME	 0	  /* links are frame number + 1 */

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
	/* under the lock */
	uint32_t hand;
	uint32_t unused;	   /* frames from it on have never been used */
	uint32_t free_link;	   /* those that were given back, linked by next */
	char pad1[ALIGN - 28]; /* what is written often is on a line of its own */
	_Atomic uint64_t evictions;
	_Atomic uint64_t oversize;
	char pad2[ALIGN - 16];
} PartShared;
_Static_assert(sizeof(PartShared) == 2 * ALIGN, "no padding of its own");

struct KvCacheShared
{
	/* constant after kv_cache_init; offsets from the area's start */
	uint32_t frames;
	uint32_t frame_bytes;
	uint32_t parts;
	uint64_t parts_off, buckets_off, descs_off, data_off;
	char pad[ALIGN]; /* what is above is read by every finder */
	/* each process adds its own now and then: kv_cache_count */
	_Atomic uint64_t hits, misses;
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
	memset(cache, 0, sizeof(*cache));
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

/*
 * A frame that holds nothing, claimed, or UINT32_MAX.  Finders may have pins
 * on one that was given back, for a moment, so the state is changed by adding.
 */
static uint32_t
claim_free_locked(KvCache *cache, const Place *place)
{
	KvCacheShared *s = cache->shared;
	PartShared *part = place->part;
	uint32_t frame = part->free_link - 1;

	assert_locked(cache, place->part_no);
	if (part->unused < part->count)
		frame = part->first + part->unused++;
	else if (part->free_link != NO_FRAME)
		part->free_link = atomic_load_explicit(&frame_at(s, frame)->next,
											   memory_order_relaxed);
	else
		return UINT32_MAX;
	/* acquire: pairs with unpin, as in sweep_locked */
	(void) atomic_fetch_add_explicit(&frame_at(s, frame)->state, CLAIMED,
									 memory_order_acquire);
	return frame;
}

/* A claimed frame, or UINT32_MAX if all are pinned. */
static uint32_t
claim_locked(KvCache *cache, const Place *place)
{
	PartShared *part = place->part;
	uint64_t left = (uint64_t) part->count * MAX_SWEEPS;
	uint32_t in_use = 0; /* in a row */
	uint32_t free_frame = claim_free_locked(cache, place);

	if (free_frame != UINT32_MAX)
		return free_frame;
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

/* The frame goes back: nothing is in it. */
static void
give_back_locked(KvCache *cache, const Place *place, uint32_t frame)
{
	FrameShared *f = frame_at(cache->shared, frame);

	assert_locked(cache, place->part_no);
	atomic_store_explicit(&f->file_no, 0, memory_order_relaxed);
	atomic_store_explicit(&f->next, place->part->free_link,
						  memory_order_relaxed);
	place->part->free_link = frame + 1;
	(void) atomic_fetch_sub_explicit(&f->state, CLAIMED, memory_order_release);
}

/*
 * Fills a claimed frame, for which no lock is needed, and publishes it unless
 * somebody was faster.  The frame with the block, pinned.
 */
static uint32_t
fill_frame(KvCache *cache, const Place *place, uint32_t frame, uint64_t file_no,
		   uint64_t offset, const char *block, uint32_t len, bool keep)
{
	KvCacheShared *s = cache->shared;
	KvEnv *env = cache->env;
	int lock_id = KV_LOCK_CACHE + (int) place->part_no;
	FrameShared *f = frame_at(s, frame);
	uint32_t other;

	atomic_store_explicit(&f->file_no, file_no, memory_order_relaxed);
	atomic_store_explicit(&f->offset, offset, memory_order_relaxed);
	atomic_store_explicit(&f->len, len, memory_order_relaxed);
	memcpy(data_at(s, frame), block, len);
	env->ops->lock(env, lock_id, true);
	other = find_locked(cache, place, file_no, offset);
	if (other == UINT32_MAX)
		publish_locked(cache, place, frame, keep);
	else
		give_back_locked(cache, place, frame);
	env->ops->unlock(env, lock_id);
	return other == UINT32_MAX ? frame : other;
}

bool
kv_cache_insert(KvCache *cache, uint64_t file_no, uint64_t offset,
				const char *block, uint32_t len, bool keep, const char **data,
				uint32_t *pin)
{
	KvCacheShared *s = cache->shared;
	KvEnv *env = cache->env;
	uint32_t frame;
	uint32_t there;
	int lock_id;
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
	there = find_locked(cache, &place, file_no, offset);
	frame = there == UINT32_MAX ? claim_locked(cache, &place) : there;
	env->ops->unlock(env, lock_id);
	if (frame == UINT32_MAX)
		return false;
	if (there == UINT32_MAX)
		frame = fill_frame(cache, &place, frame, file_no, offset, block, len,
						   keep);
	*data = data_at(s, frame);
	*pin = frame;
	return true;
}

void
kv_cache_offer(KvCache *cache, uint64_t file_no, uint64_t offset,
			   const char *block, uint32_t len, bool keep)
{
	KvCacheShared *s = cache->shared;
	KvEnv *env = cache->env;
	uint32_t frame;
	int lock_id;
	Place place;

	if (s->frames == 0 || len > s->frame_bytes)
		return;
	place = place_of(s, file_no, offset);
	lock_id = KV_LOCK_CACHE + (int) place.part_no;
	env->ops->lock(env, lock_id, true);
	frame = claim_free_locked(cache, &place);
	env->ops->unlock(env, lock_id);
	if (frame == UINT32_MAX)
		return;
	frame = fill_frame(cache, &place, frame, file_no, offset, block, len, keep);
	unpin(frame_at(s, frame));
}

static bool
is_one_of(uint64_t file_no, const uint64_t *file_nos, uint32_t n)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		if (file_nos[i] == file_no)
			return true;
	return false;
}

/* Takes the frame out of its chain if nobody has a pin on it. */
static void
forget_locked(KvCache *cache, const Place *place, uint32_t frame)
{
	FrameShared *f = frame_at(cache->shared, frame);
	uint32_t old = atomic_load_explicit(&f->state, memory_order_relaxed);

	do
	{
		if ((old & VALID) == 0 || (old & (PINS | CLAIMED)) != 0)
			return;
		/* acquire: pairs with unpin, whose reads are then over */
	} while (!atomic_compare_exchange_weak_explicit(&f->state, &old, CLAIMED,
													memory_order_acquire,
													memory_order_relaxed));
	unlink_locked(cache, place, frame);
	give_back_locked(cache, place, frame);
}

void
kv_cache_forget(KvCache *cache, const uint64_t *file_nos, uint32_t n)
{
	KvCacheShared *s = cache->shared;
	KvEnv *env = cache->env;
	uint32_t i;
	uint32_t j;

	for (i = 0; s->frames > 0 && n > 0 && i < s->parts; i++)
	{
		Place place = {i, 0, part_at(s, i)};
		int lock_id = KV_LOCK_CACHE + (int) i;

		env->ops->lock(env, lock_id, true);
		for (j = 0; j < place.part->unused; j++)
		{
			uint32_t frame = place.part->first + j;

			if (is_one_of(atomic_load_explicit(&frame_at(s, frame)->file_no,
											   memory_order_relaxed),
						  file_nos, n))
				forget_locked(cache, &place, frame);
		}
		env->ops->unlock(env, lock_id);
	}
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
