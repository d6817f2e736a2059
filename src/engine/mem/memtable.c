/* SPDX-License-Identifier: PostgreSQL */
/*
 * memtable.c - batches, versions and point lookups; see memtable.h.
 *
 * Backends add under KV_LOCK_LOG and read without a lock; the worker settles
 * batches and flushes.  The tree is ordered.h's, the bytes of entries are
 * mem_entry.c's, iterators are memtable_iter.c's.
 */
#include "engine/mem/memtable.h"

#include "engine/base/file_header.h"
#include "engine/mem/arena.h"
#include "engine/mem/ordered.h"

void
kv_mem_init(void *buf, size_t bytes, uint64_t generation)
{
	KvMem *mem = buf;

	KV_ASSERT(((uintptr_t) buf & 7) == 0);
	KV_ASSERT(bytes >= 64 << 10 && bytes <= UINT32_MAX);
	KV_ASSERT(generation != 0);
	/* Everything that is stored from here on is stored by release: whoever
	 * sees any of it sees the new generation too. */
	kv_release64(&mem->generation, generation);
	kv_release32(&mem->first_batch, 0);
	kv_release32(&mem->range_deletes, 0);
	kv_release32(&mem->filter, 0);
	kv_relaxed_set32(&mem->under_log_lock.last_batch, 0);
	kv_relaxed_set64(&mem->under_log_lock.entries, 0);
	kv_relaxed_set32(&mem->under_log_lock.n_range_deletes, 0);
	kv_arena_init(mem, bytes - bytes % KV_NODE_ALIGN);
	kv_ordered_init(mem);
}

uint64_t
kv_mem_generation(const KvMem *mem)
{
	return kv_acquire64(&mem->generation);
}

/* ---- room ---- */

size_t
kv_mem_bound(size_t n, size_t payload)
{
	/* an entry's head, its padding, and what it adds to the tree */
	size_t per_entry = KV_ENTRY_MAX_HEAD - 4 + 3 + KV_ORDERED_PER_ENTRY;

	/* a range delete has a shorter head, and two paddings */
	static_assert(KV_RANGE_HEAD + 3 + 3 <=
					  KV_ENTRY_MAX_HEAD - 4 + 3 + KV_ORDERED_PER_ENTRY,
				  "a range delete takes no more than an entry");
	/* the value's length word belongs to large values: 4 of 4096 bytes */
	return payload + payload / 1024 + n * per_entry + KV_ORDERED_PER_BATCH +
		   sizeof(KvMemBatchShared) + 8 + KV_ENTRY_MAX_HEAD;
}

size_t
kv_mem_free(const KvMem *mem)
{
	size_t left = kv_arena_left(mem);
	size_t debt = kv_ordered_debt(mem);

	if (kv_relaxed32(&mem->under_log_lock.n_range_deletes) >=
		KV_MEM_RANGE_DELETES)
		return 0;
	return left > debt ? left - debt : 0;
}

size_t
kv_mem_used(const KvMem *mem)
{
	return (size_t) kv_relaxed64(&mem->under_log_lock.used) -
		   kv_mem_filter_bytes(mem);
}

uint64_t
kv_mem_entries(const KvMem *mem)
{
	return kv_relaxed64(&mem->under_log_lock.entries);
}

void
kv_mem_grown(KvMem *mem, size_t bytes)
{
	KV_ASSERT(bytes >= kv_relaxed64(&mem->bytes) && bytes <= UINT32_MAX);
	kv_release64(&mem->bytes, bytes - bytes % KV_NODE_ALIGN);
}

/* ---- batches ---- */

KvStatus
kv_mem_begin_batch(KvMem *mem, uint64_t csn, uint64_t xid, uint64_t lsn,
				   KvXactState state, uint32_t *batch)
{
	uint32_t last = kv_relaxed32(&mem->under_log_lock.last_batch);
	KvMemBatchShared *b;
	uint32_t off;

	KV_ASSERT(state != KV_XACT_UNKNOWN);
	if (!kv_arena_fits(mem, sizeof(*b), 0))
		return KV_FULL;
	off = kv_arena_alloc(mem, sizeof(*b), 8);
	b = kv_mem_ptr(mem, off);
	kv_release64(&b->csn, csn);
	kv_release64(&b->xid, xid);
	kv_release64(&b->lsn, lsn);
	kv_release32(&b->state, (uint32_t) state);
	kv_release32(&b->next, 0);
	/* Publishes the batch; pairs with the loads in kv_mem_next_batch. */
	if (last == 0)
		kv_release32(&mem->first_batch, off);
	else
		kv_release32(&((KvMemBatchShared *) kv_mem_ptr(mem, last))->next, off);
	kv_relaxed_set32(&mem->under_log_lock.last_batch, off);
	*batch = off;
	return KV_OK;
}

bool
kv_mem_next_batch(const KvMem *mem, uint32_t *batch, KvMemBatch *info)
{
	uint32_t next;

	if (*batch == 0)
		next = kv_acquire32(&mem->first_batch);
	else
	{
		const KvMemBatchShared *b = kv_mem_ptr(mem, *batch);

		if (!kv_mem_holds(mem, *batch, sizeof(*b), 8))
			return false;
		next = kv_acquire32(&b->next);
	}
	/* offsets only rise, so not even a damaged list goes round */
	if (next <= *batch || !kv_batch_read(mem, next, info))
		return false;
	*batch = next;
	return true;
}

KvMemBatch
kv_mem_batch(const KvMem *mem, uint32_t batch)
{
	KvMemBatch info = {0, 0, 0, KV_XACT_UNKNOWN};

	(void) kv_batch_read(mem, batch, &info);
	return info;
}

void
kv_mem_set_state(KvMem *mem, uint32_t batch, KvXactState state)
{
	KvMemBatchShared *b = kv_mem_ptr(mem, batch);

	/* final: nobody asks again */
	KV_ASSERT(state == KV_XACT_COMMITTED || state == KV_XACT_ABORTED);
	/* Relaxed: the state is an answer of its own.  It is read by
	 * kv_batch_read. */
	if (kv_mem_holds(mem, batch, sizeof(*b), 8))
		kv_relaxed_set32(&b->state, (uint32_t) state);
}

/* ---- entries ---- */

KvStatus
kv_mem_add(KvMem *mem, uint32_t batch, const KvEntry *entry)
{
	KvPlan plan;
	KvStatus status;
	uint64_t csn = kv_batch_csn(mem, batch);
	bool filtered = kv_relaxed32(&mem->filter) != 0;
	uint64_t hash = 0;
	size_t bytes;
	uint32_t ref;

	KV_ASSERT(batch != 0);
	if (entry->kind == KV_KIND_RANGE_DELETE)
		return kv_mem_add_range_delete(mem, batch, entry);
	KV_ASSERT(entry->kind >= KV_KIND_PUT && entry->kind <= KV_KIND_PUT_EXPIRING);
	if (entry->key.len > KV_MAX_KEY || entry->value.len > KV_MAX_VALUE)
		return KV_TOO_LARGE;
	if (filtered)
	{
		hash = kv_key_hash(entry->key);
		kv_mem_prefetch(mem, hash);
	}
	status = kv_ordered_plan(mem, entry->key, csn, &plan);
	if (status != KV_OK)
		return status;
	bytes = kv_entry_bytes(entry);
	if (!kv_arena_fits(mem, bytes, plan.nodes))
		return KV_FULL;
	ref = kv_arena_alloc(mem, bytes, 4);
	kv_entry_write(mem, ref, batch, entry);
	if (filtered)
		kv_mem_filter_add(mem, hash);
	kv_ordered_add(mem, &plan, entry->key, ref);
	kv_relaxed_set64(&mem->under_log_lock.entries,
					 kv_relaxed64(&mem->under_log_lock.entries) + 1);
	return KV_OK;
}

/* The entry at the cursor if its key is key: slices into the buffer. */
static KvLook
entry_at(const KvMem *mem, const KvCursor *cursor, KvSlice key, KvEntry *entry)
{
	KvEntryView view;
	KvMemBatch batch;

	if (!kv_entry_view(mem, cursor->ref, &view))
		return KV_LOOK_BAD;
	if (kv_entry_compare_key(mem, &view, key, 0) != 0)
		return KV_LOOK_END;
	if (!kv_batch_read(mem, view.batch, &batch))
		return KV_LOOK_BAD;
	entry->key = kv_slice(kv_mem_ptr(mem, view.key_off), view.key_len);
	entry->value = kv_slice(kv_mem_ptr(mem, view.key_off + view.key_len),
							view.value_len);
	entry->csn = batch.csn;
	entry->xid = batch.xid;
	entry->expires_us = view.expires_us;
	entry->kind = view.kind;
	entry->state = (uint8_t) batch.state;
	return KV_LOOK_OK;
}

/* KV_OK: go on at the cursor; KV_NOT_FOUND: done. */
static KvStatus
visit_from(const KvMem *mem, uint64_t generation, KvTarget *target,
		   KvCursor *cursor, KvVersionFn fn, void *arg)
{
	KvLook look;

	do
	{
		KvEntry entry;
		KvStatus status;

		look = entry_at(mem, cursor, target->key, &entry);
		/* Before fn sees anything: most of what is void ends here. */
		status = kv_ordered_judge(mem, generation, look, cursor->ref);
		if (status != KV_OK)
			return status;
		if (fn(arg, &entry))
			return KV_NOT_FOUND;
		target->csn = entry.csn;
		target->after = true;
		look = kv_ordered_step(mem, cursor, false);
	} while (look == KV_LOOK_OK);
	return kv_ordered_judge(mem, generation, look, cursor->leaf);
}

KvStatus
kv_mem_get(const KvMem *mem, uint64_t generation, KvSlice key, KvVersionFn fn,
		   void *arg)
{
	KvTarget target = {.key = key, .csn = UINT64_MAX};
	KvStatus status;

	do
	{
		KvCursor cursor;

		status = kv_ordered_seek(mem, generation, &target, false, &cursor);
		if (status == KV_OK)
			status = visit_from(mem, generation, &target, &cursor, fn, arg);
	} while (status == KV_OK);
	if (status != KV_NOT_FOUND)
		return status;
#ifndef __SANITIZE_THREAD__
	/* fn read bytes without atomics; those reads come before this load. */
	atomic_thread_fence(memory_order_acquire);
#endif
	return kv_mem_generation(mem) == generation ? KV_OK : KV_RETRY;
}
