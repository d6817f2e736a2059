/* SPDX-License-Identifier: PostgreSQL */
/*
 * coding.c - little-endian integers and varints.
 *
 * A varint is base 128, least significant group first, the high bit set on
 * all bytes but the last; at most 10 bytes.  Bytes are assembled one by one:
 * compilers turn that into one load, and any host reads the same files.
 */
#include "engine/base/coding.h"

char *
kv_put_u16(char *p, uint16_t v)
{
	p[0] = (char) v;
	p[1] = (char) (v >> 8);
	return p + 2;
}

char *
kv_put_u32(char *p, uint32_t v)
{
	p[0] = (char) v;
	p[1] = (char) (v >> 8);
	p[2] = (char) (v >> 16);
	p[3] = (char) (v >> 24);
	return p + 4;
}

char *
kv_put_u64(char *p, uint64_t v)
{
	p = kv_put_u32(p, (uint32_t) v);
	return kv_put_u32(p, (uint32_t) (v >> 32));
}

char *
kv_put_varint(char *p, uint64_t v)
{
	while (v >= 0x80)
	{
		*p++ = (char) (v | 0x80);
		v >>= 7;
	}
	*p++ = (char) v;
	return p;
}

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

uint16_t
kv_load_u16(const char *p)
{
	const unsigned char *b = (const unsigned char *) p;

	return (uint16_t) (b[0] | b[1] << 8);
}

uint32_t
kv_load_u32(const char *p)
{
	const unsigned char *b = (const unsigned char *) p;

	return (uint32_t) b[0] | (uint32_t) b[1] << 8 | (uint32_t) b[2] << 16 |
		   (uint32_t) b[3] << 24;
}

uint64_t
kv_load_u64(const char *p)
{
	return (uint64_t) kv_load_u32(p) | (uint64_t) kv_load_u32(p + 4) << 32;
}

uint32_t
kv_load_be32(const char *p)
{
	const unsigned char *b = (const unsigned char *) p;

	return (uint32_t) b[0] << 24 | (uint32_t) b[1] << 16 |
		   (uint32_t) b[2] << 8 | (uint32_t) b[3];
}

void
kv_store_be32(char *p, uint32_t v)
{
	p[0] = (char) (v >> 24);
	p[1] = (char) (v >> 16);
	p[2] = (char) (v >> 8);
	p[3] = (char) v;
}

uint64_t
kv_load_be64(const char *p)
{
	return (uint64_t) kv_load_be32(p) << 32 | (uint64_t) kv_load_be32(p + 4);
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
kv_get_varint(KvSlice *in, uint64_t *v)
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
