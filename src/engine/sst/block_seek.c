/* SPDX-License-Identifier: PostgreSQL */
/*
 * block_seek.c - finds a place in a sorted block in memory.
 *
 * By the restart points' prefixes first, then entry by entry.  Makes no I/O
 * and takes no lock.  Called by sst_reader.c and sst_iter.c in every process.
 */
#include "engine/sst/block_internal.h"

static inline int
compare(const KvCursor *c, KvSlice key, uint64_t csn)
{
	return kv_entry_compare(c->entry->key, c->entry->csn, key, csn);
}

/* How many prefixes are < p, or <= p: they are sorted in a sound block. */
static uint32_t
count_prefixes(const KvBlock *block, uint64_t p, bool or_equal)
{
	const char *prefixes = block->limit;
	uint32_t lo = 0;
	uint32_t n = block->n_restarts;

	/* the branch would be mispredicted half of the time */
	while (n > 0)
	{
		uint32_t half = n / 2;
		uint64_t v = kv_load_be64(prefixes + (size_t) (lo + half) * 8);
		bool below = v < p || (or_equal && v == p);

		lo = below ? lo + half + 1 : lo;
		n = below ? n - half - 1 : half;
	}
	return lo;
}

/*
 * Number of restart points that are at or before (key, csn), by prefixes as
 * far as they tell.  UINT32_MAX: the block is damaged, or no memory.
 */
static uint32_t
restarts_up_to(KvCursor *c, KvSlice key, uint64_t csn)
{
	const KvBlock *block = &c->block;
	size_t n = key.len < block->common ? key.len : block->common;
	int diff = n > 0 ? memcmp(key.data, block->first_key, n) : 0;
	uint64_t p;
	uint32_t lo;
	uint32_t hi;

	if (diff < 0 || (diff == 0 && key.len < block->common))
		return 0;
	if (diff > 0)
		return block->n_restarts;
	p = kv_key_word(key, block->common);
	lo = count_prefixes(block, p, false);
	hi = lo;
	if (lo < block->n_restarts &&
		kv_load_be64(block->limit + (size_t) lo * 8) == p)
		hi = count_prefixes(block, p, true);
	while (lo < hi)
	{
		uint32_t mid = lo + (hi - lo) / 2;

		at_restart(c, mid);
		if (!c->valid)
			return UINT32_MAX;
		if (compare(c, key, csn) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/*
 * Where a search begins: *n restart points are at or before (key, csn).  The
 * cursor is not valid.  false: the block is empty, or it has failed.
 */
static bool
start_search(KvCursor *c, KvSlice key, uint64_t csn, uint32_t *n)
{
	c->status = KV_OK;
	c->valid = false;
	if (c->block.n_restarts == 0)
		return false;
	*n = restarts_up_to(c, key, csn);
	return *n != UINT32_MAX;
}

const char *
kv_cursor_seek_start(KvCursor *c, KvSlice key, uint64_t csn)
{
	uint32_t n;

	if (!start_search(c, key, csn, &n))
		return NULL;
	n = kv_load_u32(c->block.offsets + (n > 0 ? n - 1 : 0) * (size_t) 4);
	return n < (size_t) (c->block.limit - c->block.data) ? c->block.data + n
														 : NULL;
}

/* The key of an entry, after its numbers; NULL: not a usual entry. */
static inline const char *
skip_numbers(const EntryHead *h, const char *limit)
{
	uint8_t kind = h->meta & KV_META_KIND;
	const char *p = h->rest;
	uint64_t ignored;

	if ((h->meta & KV_META_RESERVED) != 0 || kind < KV_KIND_PUT ||
		kind > KV_KIND_PUT_EXPIRING)
		return NULL;
	if (h->meta & KV_META_CSN_DELTA)
		p = get_varint(p, limit, &ignored);
	if (p != NULL && (h->meta & KV_META_XID_DELTA) != 0)
		p = get_varint(p, limit, &ignored);
	if (p != NULL && kind == KV_KIND_PUT_EXPIRING)
		p = get_varint(p, limit, &ignored);
	return p != NULL && h->unshared + h->value_len <= (uint64_t) (limit - p)
			   ? p
			   : NULL;
}

/*
 * From the entry under the cursor, which is before key, to the first one that
 * is not, without putting keys together.  lcp is what key and the entry at
 * hand have in common.  The next entry, if it shares more than that with it,
 * differs from key at the same byte and in the same way, so it is before key
 * as well; only else are its own bytes looked at.  false: something that the
 * caller's slower way will find out about; the cursor is where it was.
 */
static bool
skip_to(KvCursor *c, KvSlice key)
{
	const char *limit = c->block.limit;
	const char *p = c->next;
	KvSlice at = c->entry->key;
	size_t lcp = kv_slice_common(at, key);
	size_t len = at.len;

	while (p < limit)
	{
		EntryHead h;
		const char *bytes;

		__builtin_prefetch(p + 512);
		if (!decode_head(p, limit, &h) || h.shared > len ||
			h.shared + h.unshared > KV_MAX_KEY)
			return false;
		bytes = skip_numbers(&h, limit);
		if (bytes == NULL)
			return false;
		if (h.shared <= lcp)
		{
			KvSlice rest = {key.data + h.shared, key.len - h.shared};
			size_t n = kv_slice_common(kv_slice(bytes, h.unshared), rest);

			if (h.shared + n == key.len ||
				(n < h.unshared &&
				 (uint8_t) bytes[n] > (uint8_t) key.data[h.shared + n]))
				break;
			lcp = h.shared + n;
		}
		len = h.shared + h.unshared;
		p = bytes + h.unshared + h.value_len;
	}
	/* what it shares with its predecessor it shares with key */
	c->entry->key = p < limit ? kv_slice(key.data, len) : kv_slice(NULL, 0);
	decode(c, p);
	return true;
}

void
kv_cursor_seek(KvCursor *c, KvSlice key, uint64_t csn)
{
	uint32_t n;

	if (!start_search(c, key, csn, &n))
		return;
	at_restart(c, n > 0 ? n - 1 : 0);
	if (csn == UINT64_MAX && c->valid && compare(c, key, csn) < 0 &&
		skip_to(c, key))
		return;
	while (c->valid && compare(c, key, csn) < 0)
	{
		__builtin_prefetch(c->next + 256); /* two entries on, often */
		decode(c, c->next);
	}
}

void
kv_cursor_floor(KvCursor *c, KvSlice key, uint64_t csn)
{
	const char *best;
	uint32_t n;
	int i;

	if (!start_search(c, key, csn, &n))
		return;
	at_restart(c, n > 0 ? n - 1 : 0);
	if (n == 0)
		return;
	/* index blocks have a restart point for every entry: nothing to do */
	best = n < c->block.n_restarts
			   ? c->block.data + kv_load_u32(c->block.offsets + (size_t) n * 4)
			   : c->block.limit;
	for (i = 0; c->valid && c->next < best; i++)
	{
		const char *at = c->at;

		decode(c, c->next);
		if (c->valid && compare(c, key, csn) > 0)
		{
			kv_cursor_last_before(c, n - 1, at + 1);
			return;
		}
		if (i >= KV_MAX_INTERVAL)
			cursor_fail(c, KV_CORRUPT);
	}
}
