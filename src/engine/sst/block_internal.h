/* SPDX-License-Identifier: PostgreSQL */
/*
 * block_internal.h - decoding one entry, for block_reader.c (moving) and
 * block_seek.c (searching).
 *
 * Inline, because nearly all of what a read does in a block is this.
 */
#ifndef KV_BLOCK_INTERNAL_H
#define KV_BLOCK_INTERNAL_H

#include "engine/base/check.h"
#include "engine/sst/block_reader.h"
#include "engine/sst/sst_format.h"

/* Copies may write and read that many bytes too many. */
#define COPY_SLACK 16

/* kv_get_varint for a place in a block; NULL: malformed. */
static inline const char *
get_varint(const char *p, const char *limit, uint64_t *v)
{
	KvSlice in = {p, (size_t) (limit - p)};

	return kv_get_varint(&in, v) ? in.data : NULL;
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

static inline void
cursor_fail(KvCursor *c, KvStatus status)
{
	c->valid = false;
	c->status = status;
}

/* Room for a key of len bytes in the cursor's buffer; false: failed. */
bool kv_cursor_make_room(KvCursor *c, size_t len);

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
		cursor_fail(c, KV_CORRUPT);
		return false;
	}
	if (key_len + COPY_SLACK > c->key.cap && !kv_cursor_make_room(c, key_len))
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
	cursor_fail(c, KV_CORRUPT);
}

/* Goes to restart point i < n_restarts. */
static inline void
at_restart(KvCursor *c, uint32_t i)
{
	uint32_t offset = kv_load_u32(c->block.offsets + (size_t) i * 4);

	c->status = KV_OK;
	c->entry->key.len = 0; /* a restart point shares nothing */
	if (offset >= (size_t) (c->block.limit - c->block.data))
		cursor_fail(c, KV_CORRUPT);
	else
		decode(c, c->block.data + offset);
}

/* Decodes from restart point i to the last entry that starts before end. */
void kv_cursor_last_before(KvCursor *c, uint32_t i, const char *end);

#endif /* KV_BLOCK_INTERNAL_H */
