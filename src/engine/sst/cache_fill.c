/* SPDX-License-Identifier: PostgreSQL */
/*
 * cache_fill.c - blocks into frames of the block cache, and out of them.
 *
 * Clock eviction, free frames, offers, forgetting.  Called by sst_block.c
 * (readers), sst_builder.c (writers of tables) and by the engine worker when
 * files go away.  Makes no I/O, and copies blocks outside of its locks.
 */
#include "engine/sst/cache_internal.h"

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
