/* SPDX-License-Identifier: PostgreSQL */
/*
 * mem_entry.c - the bytes of entries and batches in a memtable's buffer; the
 * layout is in layout.h.
 *
 * Writing is the log lock holder's; reading is anybody's, at any time, and
 * therefore word by word with atomics.  Nothing here validates a node or a
 * generation: the callers do.
 */
#include <xxhash.h>

#include "engine/mem/layout.h"

#define ALIGN4(n) (((n) + 3) & ~(size_t) 3)

/* Entries up to this size are put together in private memory first. */
#define STAGE_BYTES 512

static size_t
head_bytes(const KvEntry *entry)
{
	return KV_ENTRY_WORDS * 4 + (entry->value.len >= KV_META_LONG ? 4 : 0) +
		   (entry->kind == KV_KIND_PUT_EXPIRING ? 8 : 0);
}

size_t
kv_entry_bytes(const KvEntry *entry)
{
	return ALIGN4(head_bytes(entry) + entry->key.len + entry->value.len);
}

/*
 * Copies into the buffer: words where the buffer is aligned, bytes at the
 * ends.  Release: pairs with the acquire loads of a reader of an earlier
 * generation, which must not see these bytes and miss the new generation.
 */
static void
copy_in(KvMem *mem, uint32_t off, const void *from, size_t len)
{
	char *to = kv_mem_ptr(mem, off);
	const char *p = from;

	while (len > 0 && (uintptr_t) to % 8 != 0)
	{
		atomic_store_explicit((_Atomic char *) to, *p, memory_order_release);
		to++, p++, len--;
	}
	while (len >= 8)
	{
		uint64_t word;

		memcpy(&word, p, 8);
		kv_release64((_Atomic uint64_t *) to, word);
		to += 8, p += 8, len -= 8;
	}
	while (len > 0)
	{
		atomic_store_explicit((_Atomic char *) to, *p, memory_order_release);
		to++, p++, len--;
	}
}

/* Pairs with copy_in. */
void
kv_mem_copy_bytes(void *to, const void *bytes, size_t len)
{
	const char *from = bytes;
	char *p = to;

	while (len > 0 && (uintptr_t) from % 8 != 0)
	{
		*p = atomic_load_explicit((const _Atomic char *) from,
								  memory_order_acquire);
		from++, p++, len--;
	}
	while (len >= 8)
	{
		uint64_t word = kv_acquire64((const _Atomic uint64_t *) from);

		memcpy(p, &word, 8);
		from += 8, p += 8, len -= 8;
	}
	while (len > 0)
	{
		*p = atomic_load_explicit((const _Atomic char *) from,
								  memory_order_acquire);
		from++, p++, len--;
	}
}

void
kv_mem_copy_out(const KvMem *mem, uint32_t off, void *to, size_t len)
{
	kv_mem_copy_bytes(to, kv_mem_ptr(mem, off), len);
}

/* The check of an entry: its bytes after the check word, and its batch. */
static uint32_t
entry_hash(const void *bytes, size_t len, uint64_t csn, uint64_t xid)
{
	uint64_t h = XXH3_64bits(bytes, len);

	/* odd multipliers: every bit of csn and xid reaches the result */
	h ^= csn * UINT64_C(0x9e3779b97f4a7c15);
	h ^= xid * UINT64_C(0xc2b2ae3d27d4eb4f);
	return (uint32_t) (h ^ h >> 32);
}

bool
kv_entry_check(const KvEntryView *view, const void *bytes, size_t len,
			   uint64_t csn, uint64_t xid)
{
	return entry_hash(bytes, len, csn, xid) == view->check;
}

void
kv_entry_write(KvMem *mem, uint32_t ref, uint32_t batch, const KvEntry *entry)
{
	const KvMemBatchShared *b = kv_mem_ptr(mem, batch);
	uint64_t csn = kv_relaxed64(&b->csn);
	uint64_t xid = kv_relaxed64(&b->xid);
	uint32_t head[KV_ENTRY_MAX_HEAD / 4] = {0};
	size_t head_len = head_bytes(entry);
	size_t len = head_len + entry->key.len + entry->value.len;
	bool is_long = entry->value.len >= KV_META_LONG;
	int n = KV_ENTRY_WORDS;

	head[1] = batch;
	head[2] = (uint32_t) entry->kind << 29 | (uint32_t) entry->key.len << 12 |
			  (is_long ? KV_META_LONG : (uint32_t) entry->value.len);
	if (is_long)
		head[n++] = (uint32_t) entry->value.len;
	if (entry->kind == KV_KIND_PUT_EXPIRING)
	{
		head[n++] = (uint32_t) (uint64_t) entry->expires_us;
		head[n++] = (uint32_t) ((uint64_t) entry->expires_us >> 32);
	}
	if (len <= STAGE_BYTES - 4)
	{
		char stage[STAGE_BYTES];
		char *p = stage;

		memcpy(p, head, head_len);
		p += head_len;
		memcpy(p, entry->key.data, entry->key.len);
		p += entry->key.len;
		if (entry->value.len > 0)
			memcpy(p, entry->value.data, entry->value.len);
		memset(stage + len, 0, ALIGN4(len) - len);
		head[0] = entry_hash(stage + 4, len - 4, csn, xid);
		memcpy(stage, head, 4);
		copy_in(mem, ref, stage, ALIGN4(len));
		return;
	}
	copy_in(mem, ref, head, head_len);
	copy_in(mem, ref + (uint32_t) head_len, entry->key.data, entry->key.len);
	if (entry->value.len > 0)
		copy_in(mem, ref + (uint32_t) (head_len + entry->key.len),
				entry->value.data, entry->value.len);
	copy_in(mem, ref + (uint32_t) len, "\0\0\0", ALIGN4(len) - len);
	/* Nobody else writes: its own bytes may be read without atomics. */
	head[0] = entry_hash((char *) kv_mem_ptr(mem, ref) + 4, len - 4, csn, xid);
	copy_in(mem, ref, head, 4);
}

int
kv_entry_compare_key(const KvMem *mem, const KvEntryView *view, KvSlice key,
					 size_t skip)
{
	const _Atomic uint32_t *w = kv_mem_word(mem, view->key_off);
	size_t len = view->key_len < key.len ? view->key_len : key.len;
	size_t i = skip & ~(size_t) 3;

	/* The entry's key is aligned; the last word may go on into the value. */
	for (; i + 4 <= len; i += 4)
	{
		uint32_t a = kv_acquire32(w + i / 4);
		uint32_t b;

		memcpy(&b, key.data + i, 4);
		if (a != b)
			return kv_word_order(a) < kv_word_order(b) ? -1 : 1;
	}
	if (i < len)
	{
		uint32_t a = kv_acquire32(w + i / 4);
		uint32_t b = 0;
		unsigned unused = 8 * (4 - (unsigned) (len - i));

		memcpy(&b, key.data + i, len - i);
		a = kv_word_order(a) >> unused;
		b = kv_word_order(b) >> unused;
		if (a != b)
			return a < b ? -1 : 1;
	}
	return (view->key_len > key.len) - (view->key_len < key.len);
}

bool
kv_batch_read(const KvMem *mem, uint32_t batch, KvMemBatch *info)
{
	const KvMemBatchShared *b = kv_mem_ptr(mem, batch);

	if (!kv_mem_holds(mem, batch, sizeof(*b), 8))
		return false;
	info->csn = kv_acquire64(&b->csn);
	info->xid = kv_acquire64(&b->xid);
	info->lsn = kv_acquire64(&b->lsn);
	/* Pairs with kv_mem_set_state; either value will do. */
	info->state = (KvXactState) kv_relaxed32(&b->state);
	return true;
}
