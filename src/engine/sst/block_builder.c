/* SPDX-License-Identifier: PostgreSQL */
/*
 * block_builder.c - encodes sorted blocks: data, index, top, filter
 * directory.
 *
 * Writes bytes into memory and nothing else.  Called through sst_builder.c by
 * whoever builds a table: the engine worker, compaction workers, backends
 * with a large commit.  docs/format_sst.md specifies the bytes.
 */
#include "engine/sst/block_builder.h"

#include "engine/base/check.h"
#include "engine/sst/sst_format.h"

/* One restart point while the block is built. */
#define RESTART_BYTES 12

void
kv_block_builder_init(KvBlockBuilder *b, KvEnv *env, uint32_t interval)
{
	memset(b, 0, sizeof(*b));
	b->env = env;
	b->interval = interval;
}

void
kv_block_builder_free(KvBlockBuilder *b)
{
	kv_buffer_free(b->env, &b->buf);
	kv_buffer_free(b->env, &b->restarts);
	kv_buffer_free(b->env, &b->last_key);
}

void
kv_block_builder_reset(KvBlockBuilder *b)
{
	b->buf.len = 0;
	b->restarts.len = 0;
	b->last_key.len = 0;
	b->entries = 0;
	b->n_restarts = 0;
	b->base_csn = 0;
	b->base_xid = 0;
	b->base_expiry = 0;
	b->has_expiry = false;
}

size_t
kv_block_builder_size(const KvBlockBuilder *b)
{
	return b->buf.len + (size_t) b->n_restarts * KV_SORTED_RESTART +
		   KV_SORTED_TAIL;
}

static bool
starts_interval(const KvBlockBuilder *b)
{
	return b->entries % b->interval == 0;
}

size_t
kv_block_builder_cost(const KvBlockBuilder *b, const KvEntry *entry)
{
	size_t shared = 0;
	size_t restart = KV_SORTED_RESTART;

	if (!starts_interval(b))
	{
		shared = kv_slice_common(kv_slice(b->last_key.data, b->last_key.len),
								 entry->key);
		restart = 0;
	}
	return KV_ENTRY_OVERHEAD + entry->key.len - shared + entry->value.len +
		   restart;
}

/* meta bits and delta of a number against the block's base, set by its first */
static uint8_t
against_base(uint64_t v, uint64_t *base, uint64_t *delta, uint8_t is_base,
			 uint8_t is_delta)
{
	if (v == 0)
		return 0;
	if (*base == 0)
		*base = v;
	if (v == *base)
		return is_base;
	*delta = kv_zigzag((int64_t) (v - *base));
	return is_delta;
}

static char *
put_numbers(KvBlockBuilder *b, const KvEntry *entry, char *p, char *meta)
{
	uint64_t csn_delta = 0;
	uint64_t xid_delta = 0;

	*meta |= (char) against_base(entry->csn, &b->base_csn, &csn_delta,
								 KV_META_CSN_BASE, KV_META_CSN_DELTA);
	*meta |= (char) against_base(entry->xid, &b->base_xid, &xid_delta,
								 KV_META_XID_BASE, KV_META_XID_DELTA);
	if (*meta & KV_META_CSN_DELTA)
		p = kv_put_varint(p, csn_delta);
	if (*meta & KV_META_XID_DELTA)
		p = kv_put_varint(p, xid_delta);
	if (entry->kind == KV_KIND_PUT_EXPIRING)
	{
		if (!b->has_expiry)
			b->base_expiry = entry->expires_us;
		b->has_expiry = true;
		p = kv_put_varint(p, kv_zigzag((int64_t) ((uint64_t) entry->expires_us -
												  (uint64_t) b->base_expiry)));
	}
	return p;
}

bool
kv_block_builder_add(KvBlockBuilder *b, const KvEntry *entry)
{
	size_t shared = 0;
	bool restart = starts_interval(b);
	char *meta;
	char *p;

	KV_ASSERT(b->buf.len <= UINT32_MAX / 2);
	KV_ASSERT(entry->kind >= KV_KIND_PUT && entry->kind <= KV_KIND_PUT_EXPIRING);
	KV_ASSERT(entry->key.len <= KV_MAX_KEY);
	/* with the end of the block, so that a huge value is moved only once */
	if (!kv_buffer_reserve(b->env, &b->buf,
						   KV_ENTRY_OVERHEAD + entry->key.len +
							   entry->value.len + KV_SORTED_RESTART +
							   KV_SORTED_TAIL + KV_BLOCK_TRAILER))
		return false;
	if (restart && !kv_buffer_reserve(b->env, &b->restarts, RESTART_BYTES))
		return false;
	if (b->last_key.cap < entry->key.len)
	{
		size_t more = entry->key.len - b->last_key.len;

		if (!kv_buffer_reserve(b->env, &b->last_key, more))
			return false;
	}

	if (!restart)
		shared = kv_slice_common(kv_slice(b->last_key.data, b->last_key.len),
								 entry->key);
	meta = p = b->buf.data + b->buf.len;
	*p++ = (char) entry->kind;
	p = kv_put_varint(p, shared);
	p = kv_put_varint(p, entry->key.len - shared);
	p = kv_put_varint(p, entry->value.len);
	p = put_numbers(b, entry, p, meta);
	if (restart)
	{
		char *r = b->restarts.data + b->restarts.len;

		r = kv_put_u32(r, (uint32_t) (meta - b->buf.data));
		r = kv_put_u32(r, (uint32_t) (p - b->buf.data));
		(void) kv_put_u32(r, (uint32_t) entry->key.len);
		b->restarts.len += RESTART_BYTES;
		b->n_restarts++;
	}
	if (entry->key.len > shared)
	{
		memcpy(p, entry->key.data + shared, entry->key.len - shared);
		memcpy(b->last_key.data + shared, entry->key.data + shared,
			   entry->key.len - shared);
	}
	p += entry->key.len - shared;
	b->last_key.len = entry->key.len;
	if (entry->value.len > 0)
		memcpy(p, entry->value.data, entry->value.len);
	p += entry->value.len;
	b->buf.len = (size_t) (p - b->buf.data);
	b->entries++;
	return true;
}

/* What every key of the block starts with: the first and the last decide. */
static size_t
common_prefix(const KvBlockBuilder *b)
{
	const char *r = b->restarts.data;

	if (b->n_restarts == 0)
		return 0;
	return kv_slice_common(kv_slice(b->buf.data + kv_load_u32(r + 4),
									kv_load_u32(r + 8)),
						   kv_slice(b->last_key.data, b->last_key.len));
}

KvSlice
kv_block_builder_finish(KvBlockBuilder *b)
{
	size_t common = common_prefix(b);
	uint32_t i;
	char *p;

	if (!kv_buffer_reserve(b->env, &b->buf,
						   (size_t) b->n_restarts * KV_SORTED_RESTART +
							   KV_SORTED_TAIL))
		return kv_slice(NULL, 0);
	p = b->buf.data + b->buf.len;
	for (i = 0; i < b->n_restarts; i++)
	{
		const char *r = b->restarts.data + (size_t) i * RESTART_BYTES;
		const char *key = b->buf.data + kv_load_u32(r + 4) + common;
		size_t left = kv_load_u32(r + 8) - common;

		/* 8 bytes of the key as they are are a big-endian number */
		memset(p, 0, 8);
		if (left > 0)
			memcpy(p, key, left < 8 ? left : 8);
		p += 8;
	}
	for (i = 0; i < b->n_restarts; i++)
		p = kv_put_u32(p, kv_load_u32(b->restarts.data +
									  (size_t) i * RESTART_BYTES));
	p = kv_put_u64(p, b->base_csn);
	p = kv_put_u64(p, b->base_xid);
	p = kv_put_u64(p, (uint64_t) b->base_expiry);
	p = kv_put_u32(p, (uint32_t) common);
	p = kv_put_u32(p, b->n_restarts);
	b->buf.len = (size_t) (p - b->buf.data);
	return kv_slice(b->buf.data, b->buf.len);
}
