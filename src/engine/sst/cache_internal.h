/* SPDX-License-Identifier: PostgreSQL */
/*
 * cache_internal.h - the block cache's shared memory, for block_cache.c
 * (finding) and cache_fill.c (filling and giving back).
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
#ifndef KV_CACHE_INTERNAL_H
#define KV_CACHE_INTERNAL_H

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

static inline PartShared *
part_at(KvCacheShared *s, uint32_t i)
{
	return (PartShared *) (void *) ((char *) s + s->parts_off) + i;
}

static inline _Atomic uint32_t *
bucket_at(KvCacheShared *s, uint32_t i)
{
	return (_Atomic uint32_t *) (void *) ((char *) s + s->buckets_off) + i;
}

static inline FrameShared *
frame_at(KvCacheShared *s, uint32_t i)
{
	return (FrameShared *) (void *) ((char *) s + s->descs_off) + i;
}

static inline char *
data_at(KvCacheShared *s, uint32_t i)
{
	return (char *) s + s->data_off + (uint64_t) i * s->frame_bytes;
}

typedef struct Place
{
	uint32_t part_no;
	uint32_t bucket;
	PartShared *part;
} Place;

static inline Place
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

static inline bool
is_block(FrameShared *f, uint64_t file_no, uint64_t offset)
{
	return atomic_load_explicit(&f->offset, memory_order_relaxed) == offset &&
		   atomic_load_explicit(&f->file_no, memory_order_relaxed) == file_no;
}

static inline void
unpin(FrameShared *f)
{
	/* release: pairs with the acquire of the claim that follows one day */
	uint32_t old = atomic_fetch_sub_explicit(&f->state, 1,
											 memory_order_release);

	KV_ASSERT((old & PINS) > 0);
	(void) old;
}

/* Pins f if it is the block; see the head of this file. */
static inline bool
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

#endif /* KV_CACHE_INTERNAL_H */
