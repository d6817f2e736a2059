/* SPDX-License-Identifier: PostgreSQL */
/*
 * mem_range.c - the range deletes of a memtable.
 *
 * They are no part of the tree: a list, newest first, that readers walk
 * without a lock.  An element never changes once the list's head has named
 * it, so all that a reader has to fear is the next generation.  The bytes are
 * described in layout.h.
 */
#include <xxhash.h>

#include "engine/mem/arena.h"
#include "engine/mem/layout.h"

#define ALIGN4(n) (((n) + 3) & ~(size_t) 3)

/* Where its numbers lie was compared with the buffer's end. */
typedef struct RangeView
{
	uint32_t ref, next, check;
	KvEntryView lower, upper; /* key_off and key_len only */
	KvMemBatch batch;
} RangeView;

static uint32_t
range_hash(const void *bytes, size_t len, uint64_t csn, uint64_t xid)
{
	uint64_t h = XXH3_64bits(bytes, len);

	h ^= csn * UINT64_C(0x9e3779b97f4a7c15);
	h ^= xid * UINT64_C(0xc2b2ae3d27d4eb4f);
	return (uint32_t) (h ^ h >> 32);
}

/* bytes at off, which is aligned; zeros up to the next word */
static void
put_words(KvMem *mem, uint32_t off, const char *bytes, size_t len)
{
	size_t i;

	KV_ASSERT(off % 4 == 0);
	for (i = 0; i < len; i += 4)
	{
		uint32_t word = 0;

		memcpy(&word, bytes + i, len - i < 4 ? len - i : 4);
		/* pairs with the acquire loads of readers, as in copy_in */
		kv_release32(kv_mem_ptr(mem, off + (uint32_t) i), word);
	}
}

KvStatus
kv_mem_add_range_delete(KvMem *mem, uint32_t batch, const KvEntry *entry)
{
	const KvMemBatchShared *b = kv_mem_ptr(mem, batch);
	KvSlice lower = entry->key, upper = entry->value;
	size_t bytes = KV_RANGE_HEAD + ALIGN4(lower.len) + ALIGN4(upper.len);
	uint32_t head[KV_RANGE_HEAD / 4];
	uint32_t ref, at;

	KV_ASSERT(batch != 0 && entry->kind == KV_KIND_RANGE_DELETE);
	if (lower.len > KV_MAX_KEY || upper.len > KV_MAX_KEY)
		return KV_TOO_LARGE;
	if (!kv_arena_fits(mem, bytes, 0))
		return KV_FULL;
	ref = kv_arena_alloc(mem, bytes, 4);
	at = ref + KV_RANGE_HEAD;
	head[0] = kv_relaxed32(&mem->range_deletes);
	head[2] = batch;
	head[3] = (uint32_t) lower.len;
	head[4] = (uint32_t) upper.len;
	put_words(mem, ref + 8, (char *) &head[2], KV_RANGE_HEAD - 8);
	put_words(mem, at, lower.data, lower.len);
	put_words(mem, at + (uint32_t) ALIGN4(lower.len), upper.data, upper.len);
	/* Nobody else writes: its own bytes may be read without atomics. */
	head[1] = range_hash((char *) kv_mem_ptr(mem, ref) + 8, bytes - 8,
						 kv_relaxed64(&b->csn), kv_relaxed64(&b->xid));
	put_words(mem, ref, (char *) head, 8);
	/* Publishes it; pairs with the load in first_range. */
	kv_release32(&mem->range_deletes, ref);
	kv_relaxed_set32(&mem->under_log_lock.n_range_deletes,
					 kv_relaxed32(&mem->under_log_lock.n_range_deletes) + 1);
	kv_relaxed_set64(&mem->under_log_lock.entries,
					 kv_relaxed64(&mem->under_log_lock.entries) + 1);
	return KV_OK;
}

bool
kv_mem_has_range_deletes(const KvMem *mem)
{
	/* acquire: a list that the next generation has emptied must not be taken
	 * for this one's by who looks at the generation afterwards */
	return kv_acquire32(&mem->range_deletes) != 0;
}

/* false: there cannot be one at ref */
static bool
range_view(const KvMem *mem, uint32_t ref, RangeView *v)
{
	const _Atomic uint32_t *w = kv_mem_word(mem, ref);

	if (!kv_mem_holds(mem, ref, KV_RANGE_HEAD, 4))
		return false;
	memset(v, 0, sizeof(*v));
	v->ref = ref;
	v->next = kv_acquire32(w);
	v->check = kv_acquire32(w + 1);
	v->lower.key_len = kv_acquire32(w + 3);
	v->upper.key_len = kv_acquire32(w + 4);
	/* offsets only fall, so not even a damaged list goes round */
	if (v->next >= ref || v->lower.key_len > KV_MAX_KEY ||
		v->upper.key_len > KV_MAX_KEY)
		return false;
	v->lower.key_off = ref + KV_RANGE_HEAD;
	v->upper.key_off = v->lower.key_off + (uint32_t) ALIGN4(v->lower.key_len);
	return kv_mem_holds(mem, v->upper.key_off, ALIGN4(v->upper.key_len), 4) &&
		   kv_batch_read(mem, kv_acquire32(w + 2), &v->batch);
}

static KvStatus
bad(const KvMem *mem, uint64_t generation)
{
	return kv_mem_generation(mem) == generation ? KV_CORRUPT : KV_RETRY;
}

static void
entry_of(const RangeView *v, KvEntry *e)
{
	memset(e, 0, sizeof(*e));
	e->csn = v->batch.csn;
	e->xid = v->batch.xid;
	e->state = (uint8_t) v->batch.state;
	e->kind = KV_KIND_RANGE_DELETE;
}

KvStatus
kv_mem_covering(const KvMem *mem, uint64_t generation, KvSlice key,
				KvVersionFn fn, void *arg)
{
	uint32_t ref = kv_acquire32(&mem->range_deletes);
	RangeView v;

	for (; ref != 0; ref = v.next)
	{
		bool covers;
		KvEntry e;

		if (!range_view(mem, ref, &v))
			return bad(mem, generation);
		covers = kv_entry_compare_key(mem, &v.lower, key, 0) <= 0 &&
				 kv_entry_compare_key(mem, &v.upper, key, 0) > 0;
		/* every load above was an acquire: none of it is newer than this */
		if (kv_mem_generation(mem) != generation)
			return KV_RETRY;
		entry_of(&v, &e);
		if (covers && fn(arg, &e))
			break;
	}
	return kv_mem_generation(mem) == generation ? KV_OK : KV_RETRY;
}

KvStatus
kv_mem_range_deletes(KvEnv *env, const KvMem *mem, uint64_t generation,
					 KvVersionFn fn, void *arg)
{
	uint32_t ref = kv_acquire32(&mem->range_deletes);
	KvStatus status = KV_OK;
	RangeView v;

	for (; ref != 0 && status == KV_OK; ref = v.next)
	{
		size_t bytes;
		KvEntry e;
		char *copy;

		if (!range_view(mem, ref, &v))
			return bad(mem, generation);
		bytes = v.upper.key_off + ALIGN4(v.upper.key_len) - ref;
		copy = env->ops->alloc(env, bytes);
		if (copy == NULL)
			return KV_NO_MEMORY;
		kv_mem_copy_out(mem, ref, copy, bytes);
		entry_of(&v, &e);
		e.key = kv_slice(copy + KV_RANGE_HEAD, v.lower.key_len);
		e.value = kv_slice(copy + (v.upper.key_off - ref), v.upper.key_len);
		if (kv_mem_generation(mem) != generation)
			status = KV_RETRY;
		else if (range_hash(copy + 8, bytes - 8, e.csn, e.xid) != v.check)
			status = KV_CORRUPT;
		else if (fn(arg, &e))
			v.next = 0;
		env->ops->free(env, copy);
	}
	/* the list may have been emptied before its head was read */
	if (status == KV_OK && kv_mem_generation(mem) != generation)
		status = KV_RETRY;
	return status;
}

KvStatus
kv_mem_check_ranges(const KvMem *mem, uint64_t generation, uint64_t *n)
{
	uint32_t ref = kv_acquire32(&mem->range_deletes);
	uint64_t last_csn = UINT64_MAX;
	RangeView v;

	*n = 0;
	for (; ref != 0; ref = v.next)
	{
		if (!range_view(mem, ref, &v) || v.batch.csn > last_csn ||
			range_hash((char *) kv_mem_ptr(mem, ref) + 8,
					   v.upper.key_off + ALIGN4(v.upper.key_len) - ref - 8,
					   v.batch.csn, v.batch.xid) != v.check)
			return bad(mem, generation);
		last_csn = v.batch.csn;
		(*n)++;
	}
	return KV_OK;
}
