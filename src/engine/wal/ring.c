/* SPDX-License-Identifier: PostgreSQL */
/*
 * ring.c - log records on their way from the writers to the WAL files.
 *
 * Lies in shared memory: no pointers.  One process appends at a time, under
 * KV_LOCK_LOG; one drains, under KV_LOCK_WAL_IO; the two do not wait for
 * each other.  Nothing here does I/O, allocates or blocks.
 *
 * A position counts bytes since the ring was made and never wraps; modulo
 * the capacity it is a place in data.  Records start at multiples of 8 and
 * are contiguous: if the next one does not fit before the end of data, a
 * skip marker (type 0) fills the rest, and both are published together.
 */
#include <stdatomic.h>

#include "engine/base/check.h"
#include "engine/wal/wal.h"

_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2, "the ring is shared memory");

struct KvRing
{
	uint64_t capacity; /* bytes of data, a multiple of 8; constant */
	char pad0[56];	   /* the two below are written by different processes */

	/*
	 * End of the newest record.  Stored (release) by the appender after the
	 * record's bytes; pairs with the drainer's load (acquire) in
	 * kv_ring_inserted, which therefore sees them.
	 */
	_Atomic uint64_t inserted;
	char pad1[56];

	/*
	 * All before it is drained.  Stored (release) by the drainer after it
	 * last read those bytes; pairs with the appender's load (acquire) in
	 * kv_ring_written, after which it may overwrite them.
	 */
	_Atomic uint64_t released;
	char pad2[56];

	char data[];
};

/* In memory only, never on disk. */
typedef struct RingRecord
{
	uint32_t type; /* 0: skip to the start of data; the rest is not there */
	uint32_t unused;
	uint64_t csn;
	uint64_t xid;
	uint64_t lsn;
	uint64_t payload_len;
} RingRecord;

static uint64_t
align_8(uint64_t n)
{
	return (n + 7) & ~(uint64_t) 7;
}

size_t
kv_ring_area(size_t ring_bytes)
{
	return sizeof(KvRing) + (size_t) align_8(ring_bytes);
}

void
kv_ring_init(void *area, size_t ring_bytes)
{
	KvRing *ring = area;

	KV_ASSERT(((uintptr_t) area & 7) == 0);
	ring->capacity = align_8(ring_bytes);
	atomic_init(&ring->inserted, 0);
	atomic_init(&ring->released, 0);
}

size_t
kv_ring_size(const KvRing *ring)
{
	return (size_t) ring->capacity;
}

uint64_t
kv_ring_inserted(const KvRing *ring)
{
	/* pairs with the store in kv_ring_append */
	return atomic_load_explicit(&ring->inserted, memory_order_acquire);
}

uint64_t
kv_ring_written(const KvRing *ring)
{
	/* pairs with the store in kv_ring_release */
	return atomic_load_explicit(&ring->released, memory_order_acquire);
}

size_t
kv_ring_bound(size_t payload)
{
	return sizeof(RingRecord) + (size_t) align_8(payload);
}

size_t
kv_ring_free(const KvRing *ring)
{
	/* released first: it never overtakes an inserted that was read later */
	uint64_t released = kv_ring_written(ring);
	uint64_t inserted = kv_ring_inserted(ring);
	uint64_t tail = ring->capacity - inserted % ring->capacity;
	uint64_t room;

	/* another process may have gone round since: then nothing is free */
	if (inserted - released >= ring->capacity)
		return 0;
	room = ring->capacity - (inserted - released);
	if (room <= tail)
		return (size_t) room;
	return (size_t) (tail > room - tail ? tail : room - tail);
}

KvStatus
kv_ring_append(KvRing *ring, const KvLogRecord *rec, uint64_t *end_pos)
{
	size_t size = kv_ring_bound(rec->payload.len);
	uint64_t pos = kv_ring_inserted(ring);
	uint64_t tail = ring->capacity - pos % ring->capacity;
	RingRecord *dst;

	KV_ASSERT(rec->type != 0);
	KV_ASSERT(pos % 8 == 0);
	if (rec->payload.len > ring->capacity || size > kv_ring_free(ring))
		return KV_FULL;
	if (size > tail)
	{
		((RingRecord *) (ring->data + pos % ring->capacity))->type = 0;
		pos += tail;
	}
	dst = (RingRecord *) (ring->data + pos % ring->capacity);
	dst->type = rec->type;
	dst->unused = 0;
	dst->csn = rec->csn;
	dst->xid = rec->xid;
	dst->lsn = rec->lsn;
	dst->payload_len = rec->payload.len;
	if (rec->payload.len > 0)
		memcpy(dst + 1, rec->payload.data, rec->payload.len);
	*end_pos = pos + size;
	/* pairs with the load in kv_ring_inserted */
	atomic_store_explicit(&ring->inserted, pos + size, memory_order_release);
	return KV_OK;
}

bool
kv_ring_read(const KvRing *ring, uint64_t *pos, KvLogRecord *rec)
{
	uint64_t inserted = kv_ring_inserted(ring);
	const RingRecord *src;

	KV_ASSERT(*pos <= inserted);
	if (*pos >= inserted)
		return false;
	src = (const RingRecord *) (ring->data + *pos % ring->capacity);
	if (src->type == 0)
	{
		*pos += ring->capacity - *pos % ring->capacity;
		KV_ASSERT(*pos < inserted);
		src = (const RingRecord *) ring->data;
	}
	rec->type = (uint8_t) src->type;
	rec->csn = src->csn;
	rec->xid = src->xid;
	rec->lsn = src->lsn;
	rec->payload = kv_slice(src + 1, (size_t) src->payload_len);
	*pos += kv_ring_bound((size_t) src->payload_len);
	return true;
}

void
kv_ring_release(KvRing *ring, uint64_t pos)
{
	KV_ASSERT(pos >= kv_ring_written(ring) && pos <= kv_ring_inserted(ring));
	KV_ASSERT(pos % 8 == 0);
	/* pairs with the load in kv_ring_written */
	atomic_store_explicit(&ring->released, pos, memory_order_release);
}
