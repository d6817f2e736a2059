/* SPDX-License-Identifier: PostgreSQL */
/*
 * memtable.h - versions in memory, ordered by key and then csn descending.
 *
 * A memtable lives in one caller-supplied buffer (shared memory, or private
 * memory for a write set) and uses offsets from the buffer's start only, so
 * the buffer may be mapped anywhere and a private one may be moved by
 * realloc between calls.  It holds batches {csn, xid, lsn, state} and the
 * entries that point to them.
 *
 * One writer at a time (the holder of KV_LOCK_LOG); any number of readers in
 * other processes without a lock.  Entries never move and are never freed
 * before kv_mem_init starts the next generation.  A reader that is caught by
 * that sees KV_RETRY; it never follows an offset out of the buffer.
 */
#ifndef KV_MEMTABLE_H
#define KV_MEMTABLE_H

#include "engine/base/entry.h"
#include "engine/kv_env.h"

typedef struct KvMem KvMem; /* the start of the buffer */

/*
 * Empties the buffer and gives it a generation, which must be larger than
 * any it had.  Readers of the old generation get KV_RETRY; nobody may be given
 * the new one before kv_mem_init has returned.  buf is 64-byte aligned (a
 * private one: 8-byte); bytes at least 64 KiB, at most 4 GiB - 64.
 */
void kv_mem_init(void *buf, size_t bytes, uint64_t generation);
uint64_t kv_mem_generation(const KvMem *mem);

/*
 * Gives an empty memtable, before anybody else knows its generation, a filter
 * of a 64th of its bytes: worth it for a memtable that is asked for keys that
 * it does not have.
 *
 * kv_mem_lacks: true only if this generation has no entry of the key with
 * that kv_key_hash that a kv_mem_get now would show; false says nothing.  A
 * range delete is no entry of its lower bound.  One cache miss, which
 * kv_mem_prefetch starts.  Any process, without a lock.
 */
void kv_mem_init_filter(KvMem *mem);
void kv_mem_prefetch(const KvMem *mem, uint64_t hash);
bool kv_mem_lacks(const KvMem *mem, uint64_t generation, uint64_t hash);

/*
 * Room.  kv_mem_bound is an upper limit of what a batch of n entries whose
 * keys and values are payload bytes together can take; after
 * kv_mem_free(mem) >= kv_mem_bound(n, payload), the batch's calls of
 * kv_mem_begin_batch and kv_mem_add cannot return KV_FULL.
 * A memtable with KV_MEM_RANGE_DELETES of them has no room, since a reader
 * looks at them one after the other; a single batch may bring more.
 */
#define KV_MEM_RANGE_DELETES 1024

size_t kv_mem_bound(size_t n, size_t payload);
size_t kv_mem_free(const KvMem *mem);
size_t kv_mem_used(const KvMem *mem);
uint64_t kv_mem_entries(const KvMem *mem);

/* A private buffer was moved by realloc and is now larger. */
void kv_mem_grown(KvMem *mem, size_t bytes);

/* Writer: opens a batch; its entries carry csn and xid.  *batch names it. */
KvStatus kv_mem_begin_batch(KvMem *mem, uint64_t csn, uint64_t xid,
							uint64_t lsn, KvXactState state,
							uint32_t *batch) KV_MUST_CHECK;

/*
 * Writer: adds a version; key and value are copied.  entry's csn, xid and
 * state are ignored (the batch has them).  Keys of one batch are distinct:
 * KV_EXISTS (a range delete may start at the key of another entry, and is not
 * compared).  KV_EXISTS, KV_FULL and KV_TOO_LARGE leave the memtable as it was;
 * KV_CORRUPT: a node is damaged.
 */
KvStatus kv_mem_add(KvMem *mem, uint32_t batch,
					const KvEntry *entry) KV_MUST_CHECK;

/*
 * Batches in the order of their creation: *batch = 0 starts, false at the
 * end.  kv_mem_set_state is for the one process that settles (the worker):
 * a single relaxed store of the final state, COMMITTED or ABORTED; readers
 * may see either.
 */
typedef struct KvMemBatch
{
	uint64_t csn, xid, lsn;
	KvXactState state;
} KvMemBatch;
bool kv_mem_next_batch(const KvMem *mem, uint32_t *batch, KvMemBatch *info);
KvMemBatch kv_mem_batch(const KvMem *mem, uint32_t batch);
void kv_mem_set_state(KvMem *mem, uint32_t batch, KvXactState state);

/*
 * Visits the versions of key, newest first, until fn returns true or there
 * are none left.  KV_RETRY: the generation is no longer the one given, and
 * whatever fn saw is void (fn must have copied and must be able to forget);
 * or, rarely, the writer was stopped in the middle of a change for a long
 * time: look again after a check for interrupts.  KV_CORRUPT: the memory is
 * damaged.  Costs two cache misses; entries' checks are not verified.
 */
KvStatus kv_mem_get(const KvMem *mem, uint64_t generation, KvSlice key,
					KvVersionFn fn, void *arg) KV_MUST_CHECK;
/*
 * How such an fn copies: the bytes may be a memtable's that is taken into use
 * anew meanwhile, which a plain memcpy must not race with.  Any alignment.
 */
void kv_mem_copy_bytes(void *to, const void *bytes, size_t len);

/*
 * Range deletes are added by kv_mem_add and stand outside the order: neither
 * kv_mem_get nor an iterator shows them.  Without any, a reader's only cost is
 * the load of kv_mem_has_range_deletes, whose answer holds if the generation
 * is still the reader's afterwards.
 *
 * kv_mem_covering visits those that cover key, newest first, until fn returns
 * true; the entry has no slices.  KV_RETRY and KV_CORRUPT as in kv_mem_get.
 * kv_mem_range_deletes visits all, newest first, as verified copies that are
 * valid during the call.
 */
bool kv_mem_has_range_deletes(const KvMem *mem);
KvStatus kv_mem_covering(const KvMem *mem, uint64_t generation, KvSlice key,
						 KvVersionFn fn, void *arg) KV_MUST_CHECK;
KvStatus kv_mem_range_deletes(KvEnv *env, const KvMem *mem, uint64_t generation,
							  KvVersionFn fn, void *arg) KV_MUST_CHECK;

/*
 * An iterator over one generation.  It copies the current entry before it
 * shows it, so entry stays valid when the arena is recycled; the next move
 * then ends with KV_RETRY.  KV_NO_MEMORY or KV_OK.  With the writer at work,
 * it sees every entry added before it was opened.  Each entry's check is
 * verified: KV_CORRUPT.
 */
KvStatus kv_mem_iter(KvEnv *env, const KvMem *mem, uint64_t generation,
					 KvIter **it) KV_MUST_CHECK;

/* The iterator's private buffer was moved by realloc: before the next move. */
void kv_mem_iter_moved(KvIter *it, const KvMem *mem);

/* Tests and kvlsm_verify(): order, counts and bounds of every node. */
KvStatus kv_mem_check(const KvMem *mem, KvError *err) KV_MUST_CHECK;

#endif /* KV_MEMTABLE_H */
