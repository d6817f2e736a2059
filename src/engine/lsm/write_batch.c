/* SPDX-License-Identifier: PostgreSQL */
/*
 * write_batch.c - the entries of a batch as bytes.
 *
 * The same bytes stand in the host's log and in the kvlsm WAL:
 *   entry* with entry = kind 1, varint key length, varint value length,
 *   [varint zigzag expiry if kind = expiring put], key, value
 * where a range delete has its bounds for key and value,
 * up to the end of the payload (docs/format.md).
 */
#include "engine/lsm/db_internal.h"

/*
 * lower < upper, both of one store, or upper the end of lower's store; true
 * for every other kind.
 */
static bool
range_is_good(const KvEntry *e)
{
	uint32_t first, last;

	if (e->kind != KV_KIND_RANGE_DELETE)
		return true;
	if (e->value.len < KV_STORE_PREFIX || e->value.len > KV_MAX_KEY ||
		kv_slice_compare(e->key, e->value) >= 0)
		return false;
	first = kv_load_be32(e->key.data);
	last = kv_load_be32(e->value.data);
	return last == first ||
		   (last == first + 1 && e->value.len == KV_STORE_PREFIX);
}

KvStatus
kv_batch_add(KvEnv *env, KvBatch *batch, const KvEntry *e, KvError *err)
{
	size_t need = 1 + 3 * KV_VARINT_MAX + e->key.len + e->value.len;
	char *p;

	KV_ASSERT(e->kind >= KV_KIND_PUT && e->kind <= KV_KIND_RANGE_DELETE);
	KV_ASSERT(batch->len <= batch->cap);
	if (e->key.len > KV_MAX_KEY || e->key.len < KV_STORE_PREFIX ||
		e->value.len > KV_MAX_VALUE)
		return kv_fail(err, KV_TOO_LARGE, "key or value is too large");
	if (!range_is_good(e))
		return kv_fail(err, KV_INVALID,
					   "bounds of a range delete make no sense");
	if (batch->cap - batch->len < need)
	{
		size_t cap = batch->cap ? batch->cap * 2 : 512;

		if (cap < batch->len + need)
			cap = batch->len + need;
		p = batch->data ? env->ops->realloc(env, batch->data, cap)
						: env->ops->alloc(env, cap);
		if (p == NULL)
			return kv_fail(err, KV_NO_MEMORY, "out of memory");
		batch->data = p;
		batch->cap = cap;
	}
	p = batch->data + batch->len;
	*p++ = (char) e->kind;
	p = kv_put_varint(p, e->key.len);
	p = kv_put_varint(p, e->value.len);
	if (e->kind == KV_KIND_PUT_EXPIRING)
		p = kv_put_varint(p, kv_zigzag(e->expires_us));
	memcpy(p, e->key.data, e->key.len);
	p += e->key.len;
	if (e->value.len > 0)
		memcpy(p, e->value.data, e->value.len);
	p += e->value.len;
	batch->len = (size_t) (p - batch->data);
	batch->count++;
	batch->payload += e->key.len + e->value.len;
	return KV_OK;
}

void
kv_batch_reset(KvBatch *batch)
{
	batch->len = 0;
	batch->count = 0;
	batch->payload = 0;
}

void
kv_batch_free(KvEnv *env, KvBatch *batch)
{
	if (batch->data != NULL)
		env->ops->free(env, batch->data);
	memset(batch, 0, sizeof(*batch));
}

KvStatus
kv_batch_start(KvSlice *payload, uint32_t *count, KvError *err)
{
	KvSlice rest = *payload;
	KvEntry e;

	*count = 0;
	while (rest.len > 0)
	{
		KvStatus st = kv_batch_next(&rest, &e, err);

		if (st != KV_OK)
			return st;
		(*count)++;
	}
	return KV_OK;
}

KvStatus
kv_batch_next(KvSlice *payload, KvEntry *e, KvError *err)
{
	uint64_t key_len, value_len, expiry = 0;

	memset(e, 0, sizeof(*e));
	if (!kv_get_u8(payload, &e->kind) || !kv_get_varint(payload, &key_len) ||
		!kv_get_varint(payload, &value_len) || e->kind < KV_KIND_PUT ||
		e->kind > KV_KIND_RANGE_DELETE || key_len < KV_STORE_PREFIX ||
		key_len > KV_MAX_KEY || value_len > KV_MAX_VALUE ||
		(e->kind == KV_KIND_PUT_EXPIRING && !kv_get_varint(payload, &expiry)) ||
		!kv_get_bytes(payload, key_len, &e->key) ||
		!kv_get_bytes(payload, value_len, &e->value) || !range_is_good(e))
		return kv_corrupt(err, 0, 0, "batch entry is malformed");
	e->expires_us = kv_unzigzag(expiry);
	return KV_OK;
}
