/* SPDX-License-Identifier: PostgreSQL */
/*
 * sst_meta.c - what a table says of itself: properties and footer.
 *
 * Pure functions on memory.  docs/format_sst.md specifies the bytes.
 */
#include "engine/sst/sst_meta.h"

#include <inttypes.h>

typedef struct Number
{
	uint64_t tag;
	size_t where; /* in KvSstProps */
} Number;

#define NUMBER(tag, field)                                                    \
	{                                                                         \
		tag, offsetof(KvSstProps, field)                                      \
	}

static const Number numbers[] = {
	NUMBER(KV_PROP_ENTRIES, entries),
	NUMBER(KV_PROP_TOMBSTONES, tombstones),
	NUMBER(KV_PROP_MIN_CSN, min_csn),
	NUMBER(KV_PROP_MAX_CSN, max_csn),
	NUMBER(KV_PROP_MIN_XID, min_xid),
	NUMBER(KV_PROP_MAX_XID, max_xid),
	NUMBER(KV_PROP_KEY_BYTES, key_bytes),
	NUMBER(KV_PROP_VALUE_BYTES, value_bytes),
	NUMBER(KV_PROP_DATA_BLOCKS, data_blocks),
	NUMBER(KV_PROP_DATA_END, data_end),
	NUMBER(KV_PROP_INDEX_BLOCKS, index_blocks),
	NUMBER(KV_PROP_FILTER_BLOCKS, filter_blocks),
	NUMBER(KV_PROP_BLOCK_BYTES, block_bytes),
	NUMBER(KV_PROP_FRAME_BYTES, frame_bytes),
	NUMBER(KV_PROP_FILTER_BITS, filter_bits),
	/* those of range deletes are last, and left out where there are none */
	NUMBER(KV_PROP_RANGE_DELETES, range_deletes),
	NUMBER(KV_PROP_RANGE_OFFSET, range_block.offset),
	NUMBER(KV_PROP_RANGE_SIZE, range_block.size),
};
#define N_NUMBERS		(sizeof(numbers) / sizeof(numbers[0]))
#define N_RANGE_NUMBERS 3

static char *
put_number(char *p, uint64_t tag, uint64_t v)
{
	p = kv_put_varint(p, tag);
	p = kv_put_varint(p, kv_varint_len(v));
	return kv_put_varint(p, v);
}

static char *
put_key(char *p, uint64_t tag, KvSlice key)
{
	p = kv_put_varint(p, tag);
	p = kv_put_varint(p, key.len);
	if (key.len > 0)
		memcpy(p, key.data, key.len);
	return p + key.len;
}

bool
kv_props_encode(KvEnv *env, const KvSstProps *props, KvBuffer *out)
{
	size_t room = (N_NUMBERS + 3) * 3 * KV_VARINT_MAX + props->smallest.len +
				  props->largest.len;
	size_t n = N_NUMBERS - (props->range_deletes > 0 ? 0 : N_RANGE_NUMBERS);
	char *p;
	size_t i;

	if (!kv_buffer_reserve(env, out, room))
		return false;
	p = out->data + out->len;
	for (i = 0; i < n; i++)
	{
		uint64_t v;

		memcpy(&v, (const char *) props + numbers[i].where, sizeof(v));
		p = put_number(p, numbers[i].tag, v);
	}
	p = put_number(p, KV_PROP_OLDEST_EXPIRY,
				   kv_zigzag(props->oldest_expiry_us));
	p = put_key(p, KV_PROP_SMALLEST, props->smallest);
	p = put_key(p, KV_PROP_LARGEST, props->largest);
	out->len = (size_t) (p - out->data);
	return true;
}

static bool
set_number(KvSstProps *props, uint64_t tag, KvSlice bytes)
{
	uint64_t v;
	size_t i;

	for (i = 0; i < N_NUMBERS && numbers[i].tag != tag; i++)
		;
	if (i == N_NUMBERS && tag != KV_PROP_OLDEST_EXPIRY)
		return true;
	if (!kv_get_varint(&bytes, &v) || bytes.len != 0)
		return false;
	if (i == N_NUMBERS)
		props->oldest_expiry_us = kv_unzigzag(v);
	else
		memcpy((char *) props + numbers[i].where, &v, sizeof(v));
	return true;
}

bool
kv_props_decode(KvSlice in, KvSstProps *props)
{
	memset(props, 0, sizeof(*props));
	while (in.len > 0)
	{
		uint64_t tag;
		uint64_t len;
		KvSlice bytes;

		if (!kv_get_varint(&in, &tag) || !kv_get_varint(&in, &len) ||
			!kv_get_bytes(&in, len, &bytes))
			return false;
		if (tag == KV_PROP_SMALLEST)
			props->smallest = bytes;
		else if (tag == KV_PROP_LARGEST)
			props->largest = bytes;
		else if (!set_number(props, tag, bytes))
			return false;
	}
	/* they come together, or not at all */
	if ((props->range_deletes > 0) != (props->range_block.size > 0) ||
		(props->range_deletes == 0 && props->range_block.offset != 0))
		return false;
	return props->smallest.len <= KV_MAX_KEY &&
		   props->largest.len <= KV_MAX_KEY;
}

void
kv_props_count(KvSstProps *props, const KvEntry *e)
{
	bool first = props->entries == 0 && props->range_deletes == 0;

	if (first || e->csn < props->min_csn)
		props->min_csn = e->csn;
	if (e->csn > props->max_csn)
		props->max_csn = e->csn;
	if (e->xid != 0 && (props->min_xid == 0 || e->xid < props->min_xid))
		props->min_xid = e->xid;
	if (e->xid > props->max_xid)
		props->max_xid = e->xid;
	if (e->kind == KV_KIND_RANGE_DELETE)
	{
		props->range_deletes++;
		return;
	}
	if (e->kind == KV_KIND_DELETE)
		props->tombstones++;
	if (e->kind == KV_KIND_PUT_EXPIRING &&
		(props->oldest_expiry_us == 0 ||
		 e->expires_us < props->oldest_expiry_us))
		props->oldest_expiry_us = e->expires_us;
	props->key_bytes += e->key.len;
	props->value_bytes += e->value.len;
	props->entries++;
}

static uint64_t
footer_checksum(const char *buf, uint64_t salt, uint64_t file_no,
				uint64_t file_size)
{
	return kv_checksum(salt, file_no, file_size - KV_FOOTER_BYTES,
					   KV_BLOCK_FOOTER, buf, KV_FOOTER_BYTES - 8);
}

void
kv_footer_encode(const KvSstFooter *f, uint64_t salt, uint64_t file_no,
				 char *buf)
{
	char *p = buf;

	p = kv_put_u64(p, f->top.offset);
	p = kv_put_u64(p, f->top.size);
	p = kv_put_u64(p, f->filter_dir.offset);
	p = kv_put_u64(p, f->filter_dir.size);
	p = kv_put_u64(p, f->properties.offset);
	p = kv_put_u64(p, f->properties.size);
	p = kv_put_u64(p, f->file_size);
	p = kv_put_u64(p, 0);
	p = kv_put_u64(p, KV_FOOTER_MAGIC);
	(void) kv_put_u64(p, footer_checksum(buf, salt, file_no, f->file_size));
}

KvStatus
kv_footer_decode(const char *buf, uint64_t salt, uint64_t file_no,
				 uint64_t file_size, KvSstFooter *f, KvError *err)
{
	uint64_t at = file_size - KV_FOOTER_BYTES;

	f->top.offset = kv_load_u64(buf);
	f->top.size = kv_load_u64(buf + 8);
	f->filter_dir.offset = kv_load_u64(buf + 16);
	f->filter_dir.size = kv_load_u64(buf + 24);
	f->properties.offset = kv_load_u64(buf + 32);
	f->properties.size = kv_load_u64(buf + 40);
	f->file_size = kv_load_u64(buf + 48);
	if (kv_load_u64(buf + 64) != KV_FOOTER_MAGIC)
		return kv_corrupt(err, file_no, at + 64,
						  "table has no footer: cut short or overwritten");
	if (kv_load_u64(buf + 72) != footer_checksum(buf, salt, file_no, file_size))
		return kv_corrupt(err, file_no, at, "wrong checksum of table footer");
	if (f->file_size != file_size)
		return kv_corrupt(err, file_no, at + 48,
						  "table says that it has %" PRIu64
						  " bytes, it has %" PRIu64,
						  f->file_size, file_size);
	return KV_OK;
}
