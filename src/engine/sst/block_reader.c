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

/*
 * Prefix compression can be undone forward only, so a move backward decodes
 * the interval once and then steps through what it has kept.
 */
struct KvCursorBack
{
	uint32_t n; /* 0: nothing */
	uint32_t i; /* at which the cursor stands, if its place is at[i] */
	KvEntry entry[KV_BACK_ENTRIES];
	uint8_t repeats[KV_BACK_ENTRIES];
	const char *at[KV_BACK_ENTRIES + 1];
	KvBuffer keys; /* those that had to be put together */
};

/* Copies may write and read that many bytes too many. */
#define COPY_SLACK 16

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

/* 8 bytes of key after the first skip, zeros where it has ended */
static uint64_t
key_prefix(KvSlice key, size_t skip)
{
	char buf[8] = {0};

	if (key.len >= skip + 8)
		return kv_load_be64(key.data + skip);
	if (key.len > skip)
		memcpy(buf, key.data + skip, key.len - skip);
	return kv_load_be64(buf);
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
	block->common = kv_load_u32(tail + 24);
	block->n_restarts = kv_load_u32(tail + 28);
	arrays = (uint64_t) block->n_restarts * KV_SORTED_RESTART;
	if (arrays > len - KV_SORTED_TAIL)
		return false;
	block->limit = tail - arrays;
	block->offsets = block->limit + (size_t) block->n_restarts * 8;
	block->first_key = NULL;
	if (block->n_restarts == 0)
		return block->limit == data && block->common == 0;
	if (kv_load_u32(block->offsets) != 0 ||
		!decode_head(data, block->limit, &h) || h.shared != 0 ||
		block->common > h.unshared)
		return false;
	/* the first key's bytes come after its numbers: see decode() */
	return true;
}

void
kv_cursor_init(KvCursor *c, KvEnv *env, bool index, KvSstOverride override)
{
	memset(c, 0, sizeof(*c));
	c->env = env;
	c->entry = &c->own;
	c->csn_mask = index ? UINT64_MAX : 0;
	c->override = override;
}

void
kv_cursor_free(KvCursor *c)
{
	kv_buffer_free(c->env, &c->key);
	if (c->back != NULL)
	{
		kv_buffer_free(c->env, &c->back->keys);
		c->env->ops->free(c->env, c->back);
		c->back = NULL;
	}
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
	bool in_buffer = c->entry->key.data == c->key.data;
	size_t keep = in_buffer ? c->entry->key.len : 0;

	c->key.len = keep;
	if (!kv_buffer_reserve(c->env, &c->key, len + COPY_SLACK - keep))
	{
		fail(c, KV_NO_MEMORY);
		return false;
	}
	if (in_buffer)
		c->entry->key.data = c->key.data;
	return true;
}

/* csn, xid and expiry; NULL: malformed */
static inline const char *
decode_numbers(KvCursor *c, uint8_t meta, const char *p)
{
	const char *limit = c->block.limit;
	KvEntry *e = c->entry;
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
 * len bytes, in pieces of 16 where they are few: to has room for COPY_SLACK
 * more, and an entry's key is followed by a block's tail at least.
 */
static inline void
copy_key_bytes(char *to, const char *from, size_t len)
{
	if (len <= 32)
	{
		memcpy(to, from, 16);
		if (len > 16)
			memcpy(to + 16, from + 16, 16);
	}
	else
		memcpy(to, from, len);
}

/* The key at p, whose predecessor's is in c->entry.  false: failed. */
static inline bool
decode_key(KvCursor *c, const EntryHead *h, const char *p)
{
	KvEntry *e = c->entry;
	size_t key_len = h->shared + h->unshared;

	if (h->shared == 0)
	{
		e->key = kv_slice(p, key_len);
		c->repeats = KV_REPEATS_UNKNOWN;
		return true;
	}
	if (h->shared > e->key.len || key_len > KV_MAX_KEY)
	{
		fail(c, KV_CORRUPT);
		return false;
	}
	if (key_len + COPY_SLACK > c->key.cap && !make_room(c, key_len))
		return false;
	c->repeats = h->unshared == 0 && key_len == e->key.len ? KV_REPEATS_YES
														   : KV_REPEATS_NO;
	if (e->key.data != c->key.data)
		memcpy(c->key.data, e->key.data, h->shared);
	copy_key_bytes(c->key.data + h->shared, p, h->unshared);
	e->key = kv_slice(c->key.data, key_len);
	return true;
}

/*
 * Decodes the entry at p, whose predecessor (if it shares anything) is
 * c->entry.  Leaves the cursor valid, or not: at the end or malformed.
 */
static inline void
decode(KvCursor *c, const char *p)
{
	const char *limit = c->block.limit;
	KvEntry *e = c->entry;
	EntryHead h;

	c->at = p;
	c->valid = false;
	if (p >= limit)
		return;
	if (!decode_head(p, limit, &h))
		goto corrupt;
	e->kind = h.meta & KV_META_KIND;
	if (h.meta == KV_KIND_PUT)
	{
		/* what a compaction leaves of nearly every key */
		e->csn = 0;
		e->xid = 0;
		e->expires_us = 0;
		p = h.rest;
	}
	else
	{
		if ((h.meta & KV_META_RESERVED) != 0 || e->kind < KV_KIND_PUT ||
			e->kind > KV_KIND_PUT_EXPIRING)
			goto corrupt;
		p = decode_numbers(c, h.meta, h.rest);
	}
	if (p == NULL || h.unshared + h.value_len > (uint64_t) (limit - p))
		goto corrupt;
	if (!decode_key(c, &h, p))
		return;
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
	uint32_t offset = kv_load_u32(c->block.offsets + (size_t) i * 4);

	c->status = KV_OK;
	c->entry->key.len = 0; /* a restart point shares nothing */
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
	c->entry->key = kv_slice(NULL, 0);
	if (c->back != NULL)
		c->back->n = 0;
	if (!kv_block_parse(&c->block, data, len))
		return false;
	if (c->block.n_restarts == 0)
		return true;
	at_restart(c, 0);
	if (!c->valid)
		return false;
	c->block.first_key = c->entry->key.data;
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

/* ---- backward ---- */

/* Stands at the kept entry i. */
static void
show_kept(KvCursor *c, uint32_t i)
{
	KvCursorBack *back = c->back;

	KV_ASSERT(i < back->n);
	back->i = i;
	*c->entry = back->entry[i];
	c->repeats = back->repeats[i];
	c->at = back->at[i];
	c->next = back->at[i + 1];
	c->status = KV_OK;
	c->valid = true;
}

/* Puts the cursor's key where the next decode() does not overwrite it. */
static bool
keep_key(KvCursor *c, size_t *offset)
{
	KvBuffer *keys = &c->back->keys;
	KvSlice key = c->entry->key;

	*offset = SIZE_MAX;
	if (key.data != c->key.data)
		return true;
	if (!kv_buffer_reserve(c->env, keys, key.len))
	{
		fail(c, KV_NO_MEMORY);
		return false;
	}
	memcpy(keys->data + keys->len, key.data, key.len);
	*offset = keys->len;
	keys->len += key.len;
	return true;
}

/*
 * Keeps the entries from restart point i to the last one that starts before
 * end, and stands at that.  false: there are too many, nothing is kept.
 */
static bool
keep_interval(KvCursor *c, uint32_t i, const char *end)
{
	KvCursorBack *back = c->back;
	size_t offsets[KV_BACK_ENTRIES];
	uint32_t n = 0, j;

	back->n = 0;
	back->keys.len = 0;
	for (at_restart(c, i); c->valid && c->at < end; decode(c, c->next))
	{
		if (n == KV_BACK_ENTRIES)
			return false;
		if (!keep_key(c, &offsets[n]))
			return true;
		back->entry[n] = *c->entry;
		back->repeats[n] = c->repeats;
		back->at[n++] = c->at;
		back->at[n] = c->next;
	}
	if (c->status != KV_OK)
		return true;
	if (n == 0)
	{
		fail(c, KV_CORRUPT);
		return true;
	}
	/* only now do the keys stay where they are */
	for (j = 0; j < n; j++)
		if (offsets[j] != SIZE_MAX)
			back->entry[j].key.data = back->keys.data + offsets[j];
	back->n = n;
	show_kept(c, n - 1);
	return true;
}

/* To the last entry that starts before end, from restart point i on. */
static void
step_back(KvCursor *c, uint32_t i, const char *end)
{
	if (c->back == NULL)
	{
		c->back = c->env->ops->alloc(c->env, sizeof(*c->back));
		if (c->back == NULL)
		{
			fail(c, KV_NO_MEMORY);
			return;
		}
		memset(c->back, 0, sizeof(*c->back));
	}
	if (!keep_interval(c, i, end))
		last_before(c, i, end);
}

void
kv_cursor_last(KvCursor *c)
{
	c->status = KV_OK;
	c->valid = false;
	if (c->block.n_restarts > 0)
		step_back(c, c->block.n_restarts - 1, c->block.limit);
}

void
kv_cursor_next(KvCursor *c)
{
	KvSlice old = c->entry->key;

	KV_ASSERT(c->valid);
	decode(c, c->next);
	/* a restart point shares nothing: its key lies elsewhere */
	if (c->valid && c->repeats == KV_REPEATS_UNKNOWN)
		c->repeats = kv_slice_equal(old, c->entry->key) ? KV_REPEATS_YES
														: KV_REPEATS_NO;
}

void
kv_cursor_prev(KvCursor *c)
{
	KvCursorBack *back = c->back;
	uint32_t at = (uint32_t) (c->at - c->block.data);
	uint32_t lo = 0;
	uint32_t hi = c->block.n_restarts;

	KV_ASSERT(c->valid);
	if (back != NULL && back->n > 0 && back->i > 0 && back->at[back->i] == c->at)
	{
		show_kept(c, back->i - 1);
		return;
	}
	/* the last restart point before the entry: lo - 1 */
	while (lo < hi)
	{
		uint32_t mid = lo + (hi - lo) / 2;

		if (kv_load_u32(c->block.offsets + (size_t) mid * 4) < at)
			lo = mid + 1;
		else
			hi = mid;
	}
	if (lo == 0)
		c->valid = false;
	else
		step_back(c, lo - 1, c->block.data + at);
}

/* ---- searching ---- */

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
	p = key_prefix(key, block->common);
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

const char *
kv_cursor_seek_start(KvCursor *c, KvSlice key, uint64_t csn)
{
	uint32_t n;

	c->status = KV_OK;
	c->valid = false;
	if (c->block.n_restarts == 0)
		return NULL;
	n = restarts_up_to(c, key, csn);
	if (n == UINT32_MAX)
		return NULL;
	n = kv_load_u32(c->block.offsets + (n > 0 ? n - 1 : 0) * (size_t) 4);
	return n < (size_t) (c->block.limit - c->block.data) ? c->block.data + n
														 : NULL;
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
			   ? c->block.data + kv_load_u32(c->block.offsets + (size_t) n * 4)
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
