/* SPDX-License-Identifier: PostgreSQL */
/*
 * block_reader.c - finds and decodes entries of a sorted block in memory.
 *
 * Makes no I/O and takes no lock; allocates only when a key is longer than
 * any before.  Called by sst_reader.c and sst_iter.c in every process.
 * docs/format_sst.md specifies the bytes.
 */
#include "engine/sst/block_reader.h"

#include "engine/base/check.h"
#include "engine/sst/sst_format.h"

/* As kv_get_varint, inlined: three of four are one byte long. */
static inline const char *
get_varint(const char *p, const char *limit, uint64_t *v)
{
	KvSlice in;

	if (p < limit && (uint8_t) *p < 0x80)
	{
		*v = (uint8_t) *p;
		return p + 1;
	}
	in = kv_slice(p, (size_t) (limit - p));
	return kv_get_varint(&in, v) ? in.data : NULL;
}

static inline uint64_t
load_be64(const char *p)
{
	uint64_t v;

	memcpy(&v, p, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	v = __builtin_bswap64(v);
#endif
	return v;
}

static inline uint32_t
load_u32(const char *p)
{
	uint32_t v;

	memcpy(&v, p, 4);
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
	v = __builtin_bswap32(v);
#endif
	return v;
}

/* 8 bytes of key after the first skip, zeros where it has ended */
static uint64_t
key_prefix(KvSlice key, size_t skip)
{
	char buf[8] = {0};

	if (key.len >= skip + 8)
		return load_be64(key.data + skip);
	if (key.len > skip)
		memcpy(buf, key.data + skip, key.len - skip);
	return load_be64(buf);
}

/* The lengths at the start of an entry. */
typedef struct EntryHead
{
	uint8_t meta;
	uint64_t shared, unshared, value_len;
	const char *rest; /* after them */
} EntryHead;

static inline bool
decode_head(const char *p, const char *limit, EntryHead *h)
{
	/* limit is followed by the tail, so reading 4 bytes is safe */
	h->meta = (uint8_t) p[0];
	h->shared = (uint8_t) p[1];
	h->unshared = (uint8_t) p[2];
	h->value_len = (uint8_t) p[3];
	if (((h->shared | h->unshared | h->value_len) & 0x80) == 0)
	{
		h->rest = p + 4;
		return h->rest <= limit;
	}
	p = get_varint(p + 1, limit, &h->shared);
	if (p != NULL)
		p = get_varint(p, limit, &h->unshared);
	if (p != NULL)
		p = get_varint(p, limit, &h->value_len);
	h->rest = p;
	return p != NULL && h->shared <= KV_MAX_KEY && h->unshared <= KV_MAX_KEY &&
		   h->value_len <= KV_MAX_VALUE;
}

bool
kv_block_parse(KvBlock *block, const char *data, size_t len)
{
	const char *tail;
	uint64_t arrays;
	EntryHead h;

	if (len < KV_SORTED_TAIL || len > KV_BLOCK_MAX_RAW)
		return false;
	tail = data + len - KV_SORTED_TAIL;
	block->data = data;
	block->base_csn = kv_load_u64(tail);
	block->base_xid = kv_load_u64(tail + 8);
	block->base_expiry = kv_load_u64(tail + 16);
	block->common = load_u32(tail + 24);
	block->n_restarts = load_u32(tail + 28);
	arrays = (uint64_t) block->n_restarts * KV_SORTED_RESTART;
	if (arrays > len - KV_SORTED_TAIL)
		return false;
	block->limit = tail - arrays;
	block->offsets = block->limit + (size_t) block->n_restarts * 8;
	block->first_key = NULL;
	if (block->n_restarts == 0)
		return block->limit == data && block->common == 0;
	if (load_u32(block->offsets) != 0 || !decode_head(data, block->limit, &h) ||
		h.shared != 0 || block->common > h.unshared)
		return false;
	/* the first key's bytes come after its numbers: see decode() */
	return true;
}

void
kv_cursor_init(KvCursor *c, KvEnv *env, bool index, KvSstOverride override)
{
	memset(c, 0, sizeof(*c));
	c->env = env;
	c->csn_mask = index ? UINT64_MAX : 0;
	c->override = override;
}

void
kv_cursor_free(KvCursor *c)
{
	kv_buffer_free(c->env, &c->key);
	c->valid = false;
}

static void
fail(KvCursor *c, KvStatus status)
{
	c->valid = false;
	c->status = status;
}

/* Puts the key together; out of line: only the first use of a long key. */
static bool __attribute__((noinline)) make_room(KvCursor *c, size_t len)
{
	bool in_buffer = c->entry.key.data == c->key.data;
	size_t keep = in_buffer ? c->entry.key.len : 0;

	c->key.len = keep;
	if (!kv_buffer_reserve(c->env, &c->key, len - keep))
	{
		fail(c, KV_NO_MEMORY);
		return false;
	}
	if (in_buffer)
		c->entry.key.data = c->key.data;
	return true;
}

/* csn, xid and expiry; NULL: malformed */
static inline const char *
decode_numbers(KvCursor *c, uint8_t meta, const char *p)
{
	const char *limit = c->block.limit;
	KvEntry *e = &c->entry;
	uint64_t v;

	e->csn = 0;
	e->xid = 0;
	e->expires_us = 0;
	if (meta & KV_META_CSN_BASE)
		e->csn = c->block.base_csn;
	else if (meta & KV_META_CSN_DELTA)
	{
		p = get_varint(p, limit, &v);
		if (p == NULL)
			return NULL;
		e->csn = c->block.base_csn + (uint64_t) kv_unzigzag(v);
	}
	if (meta & KV_META_XID_BASE)
		e->xid = c->block.base_xid;
	else if (meta & KV_META_XID_DELTA)
	{
		p = get_varint(p, limit, &v);
		if (p == NULL)
			return NULL;
		e->xid = c->block.base_xid + (uint64_t) kv_unzigzag(v);
	}
	if ((meta & KV_META_KIND) == KV_KIND_PUT_EXPIRING)
	{
		p = get_varint(p, limit, &v);
		if (p == NULL)
			return NULL;
		e->expires_us = (int64_t) (c->block.base_expiry +
								   (uint64_t) kv_unzigzag(v));
	}
	return p;
}

/*
 * Decodes the entry at p, whose predecessor (if it shares anything) is
 * c->entry.  Leaves the cursor valid, or not: at the end or malformed.
 */
static inline void
decode(KvCursor *c, const char *p)
{
	const char *limit = c->block.limit;
	KvEntry *e = &c->entry;
	EntryHead h;
	size_t key_len;

	c->at = p;
	c->valid = false;
	if (p >= limit)
		return;
	if (!decode_head(p, limit, &h))
		goto corrupt;
	e->kind = h.meta & KV_META_KIND;
	if ((h.meta & KV_META_RESERVED) != 0 || e->kind < KV_KIND_PUT ||
		e->kind > KV_KIND_PUT_EXPIRING)
		goto corrupt;
	p = decode_numbers(c, h.meta, h.rest);
	if (p == NULL || h.unshared + h.value_len > (uint64_t) (limit - p))
		goto corrupt;
	key_len = h.shared + h.unshared;
	if (h.shared == 0)
		e->key.data = p;
	else
	{
		if (h.shared > e->key.len || key_len > KV_MAX_KEY)
			goto corrupt;
		if (key_len > c->key.cap && !make_room(c, key_len))
			return;
		if (e->key.data != c->key.data)
			memcpy(c->key.data, e->key.data, h.shared);
		memcpy(c->key.data + h.shared, p, h.unshared);
		e->key.data = c->key.data;
	}
	e->key.len = key_len;
	p += h.unshared;
	e->value = kv_slice(p, h.value_len);
	c->next = p + h.value_len;
	e->csn ^= c->csn_mask;
	if ((c->override.csn | c->override.xid) != 0)
	{
		e->csn = c->override.csn;
		e->xid = c->override.xid;
	}
	e->state = e->xid == 0 ? KV_XACT_COMMITTED : KV_XACT_IN_DOUBT;
	c->valid = true;
	return;

corrupt:
	fail(c, KV_CORRUPT);
}

/* Goes to restart point i < n_restarts. */
static void
at_restart(KvCursor *c, uint32_t i)
{
	uint32_t offset = load_u32(c->block.offsets + (size_t) i * 4);

	c->status = KV_OK;
	c->entry.key.len = 0; /* a restart point shares nothing */
	if (offset >= (size_t) (c->block.limit - c->block.data))
		fail(c, KV_CORRUPT);
	else
		decode(c, c->block.data + offset);
}

bool
kv_cursor_open(KvCursor *c, const char *data, size_t len)
{
	c->valid = false;
	c->status = KV_OK;
	c->entry.key = kv_slice(NULL, 0);
	if (!kv_block_parse(&c->block, data, len))
		return false;
	if (c->block.n_restarts == 0)
		return true;
	at_restart(c, 0);
	if (!c->valid)
		return false;
	c->block.first_key = c->entry.key.data;
	c->valid = false;
	return true;
}

void
kv_cursor_first(KvCursor *c)
{
	c->status = KV_OK;
	c->valid = false;
	if (c->block.n_restarts > 0)
		at_restart(c, 0);
}

/* Decodes from restart point i to the last entry that starts before end. */
static void
last_before(KvCursor *c, uint32_t i, const char *end)
{
	int n = 0;

	at_restart(c, i);
	while (c->valid && c->next < end)
	{
		if (++n >= KV_MAX_INTERVAL)
		{
			fail(c, KV_CORRUPT);
			return;
		}
		decode(c, c->next);
	}
}

void
kv_cursor_last(KvCursor *c)
{
	c->status = KV_OK;
	c->valid = false;
	if (c->block.n_restarts > 0)
		last_before(c, c->block.n_restarts - 1, c->block.limit);
}

void
kv_cursor_next(KvCursor *c)
{
	KV_ASSERT(c->valid);
	decode(c, c->next);
}

void
kv_cursor_prev(KvCursor *c)
{
	uint32_t at = (uint32_t) (c->at - c->block.data);
	uint32_t lo = 0;
	uint32_t hi = c->block.n_restarts;

	KV_ASSERT(c->valid);
	/* the last restart point before the entry: lo - 1 */
	while (lo < hi)
	{
		uint32_t mid = lo + (hi - lo) / 2;

		if (load_u32(c->block.offsets + (size_t) mid * 4) < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == 0)
		c->valid = false;
	else
		last_before(c, lo - 1, c->block.data + at);
}

static inline int
compare(const KvCursor *c, KvSlice key, uint64_t csn)
{
	return kv_entry_compare(c->entry.key, c->entry.csn, key, csn);
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
		uint64_t v = load_be64(prefixes + (size_t) (lo + half) * 8);
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
	p = key_prefix(key, block->common);
	lo = count_prefixes(block, p, false);
	hi = lo;
	if (lo < block->n_restarts && load_be64(block->limit + (size_t) lo * 8) == p)
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

void
kv_cursor_seek(KvCursor *c, KvSlice key, uint64_t csn)
{
	uint32_t n;

	c->status = KV_OK;
	c->valid = false;
	if (c->block.n_restarts == 0)
		return;
	n = restarts_up_to(c, key, csn);
	if (n == UINT32_MAX)
		return;
	at_restart(c, n > 0 ? n - 1 : 0);
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

	c->status = KV_OK;
	c->valid = false;
	if (c->block.n_restarts == 0)
		return;
	n = restarts_up_to(c, key, csn);
	if (n == UINT32_MAX)
		return;
	at_restart(c, n > 0 ? n - 1 : 0);
	if (n == 0)
		return;
	/* index blocks have a restart point for every entry: nothing to do */
	best = n < c->block.n_restarts
			   ? c->block.data + load_u32(c->block.offsets + (size_t) n * 4)
			   : c->block.limit;
	for (i = 0; c->valid && c->next < best; i++)
	{
		const char *at = c->at;

		decode(c, c->next);
		if (c->valid && compare(c, key, csn) > 0)
		{
			last_before(c, n - 1, at + 1);
			return;
		}
		if (i >= KV_MAX_INTERVAL)
			fail(c, KV_CORRUPT);
	}
}
