/* SPDX-License-Identifier: PostgreSQL */
/*
 * coding.c - little-endian integers and varints.
 *
 * A varint is base 128, least significant group first, the high bit set on
 * all bytes but the last; at most 10 bytes.
 */
#include "engine/base/coding.h"

size_t
kv_varint_len(uint64_t v)
{
	size_t n = 1;

	while (v >= 0x80)
	{
		v >>= 7;
		n++;
	}
	return n;
}

static void
take(KvSlice *in, size_t n)
{
	in->data += n;
	in->len -= n;
}

bool
kv_get_u8(KvSlice *in, uint8_t *v)
{
	if (in->len < 1)
		return false;
	*v = (uint8_t) in->data[0];
	take(in, 1);
	return true;
}

bool
kv_get_u32(KvSlice *in, uint32_t *v)
{
	if (in->len < 4)
		return false;
	*v = kv_load_u32(in->data);
	take(in, 4);
	return true;
}

bool
kv_get_u64(KvSlice *in, uint64_t *v)
{
	if (in->len < 8)
		return false;
	*v = kv_load_u64(in->data);
	take(in, 8);
	return true;
}

bool
kv_get_varint_slow(KvSlice *in, uint64_t *v)
{
	uint64_t result = 0;
	size_t i;

	for (i = 0; i < KV_VARINT_MAX && i < in->len; i++)
	{
		uint8_t byte = (uint8_t) in->data[i];

		/* the tenth byte has room for one bit of the 64 */
		if (i == KV_VARINT_MAX - 1 && byte > 1)
			return false;
		result |= (uint64_t) (byte & 0x7f) << (7 * i);
		if (byte < 0x80)
		{
			*v = result;
			take(in, i + 1);
			return true;
		}
	}
	return false;
}

bool
kv_get_bytes(KvSlice *in, uint64_t len, KvSlice *out)
{
	if (len > in->len)
		return false;
	*out = kv_slice(in->data, (size_t) len);
	take(in, (size_t) len);
	return true;
}
