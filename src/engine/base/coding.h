/* SPDX-License-Identifier: PostgreSQL */
/*
 * coding.h - little-endian integers and varints in byte strings.
 *
 * kv_put_* write at p and return the byte after; the caller has checked the
 * room (a varint takes at most KV_VARINT_MAX bytes).  kv_get_* take from the
 * front of a slice and return false, leaving it undefined, when it is short
 * or malformed: no length from disk is trusted before it was checked here.
 */
#ifndef KV_CODING_H
#define KV_CODING_H

#include "engine/base/slice.h"

#define KV_VARINT_MAX 10

/*
 * Bytes are assembled one by one: compilers turn that into one load or store,
 * and any host reads the same files.  Inline, because every block, node and
 * filter is read through these.
 */
static inline char *
kv_put_u16(char *p, uint16_t v)
{
	p[0] = (char) v;
	p[1] = (char) (v >> 8);
	return p + 2;
}

static inline char *
kv_put_u32(char *p, uint32_t v)
{
	p[0] = (char) v;
	p[1] = (char) (v >> 8);
	p[2] = (char) (v >> 16);
	p[3] = (char) (v >> 24);
	return p + 4;
}

static inline char *
kv_put_u64(char *p, uint64_t v)
{
	p = kv_put_u32(p, (uint32_t) v);
	return kv_put_u32(p, (uint32_t) (v >> 32));
}

static inline char *
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

static inline uint16_t
kv_load_u16(const char *p)
{
	const unsigned char *b = (const unsigned char *) p;

	return (uint16_t) (b[0] | b[1] << 8);
}

static inline uint32_t
kv_load_u32(const char *p)
{
	const unsigned char *b = (const unsigned char *) p;

	return (uint32_t) b[0] | (uint32_t) b[1] << 8 | (uint32_t) b[2] << 16 |
		   (uint32_t) b[3] << 24;
}

static inline uint64_t
kv_load_u64(const char *p)
{
	const unsigned char *b = (const unsigned char *) p;

	return (uint64_t) b[0] | (uint64_t) b[1] << 8 | (uint64_t) b[2] << 16 |
		   (uint64_t) b[3] << 24 | (uint64_t) b[4] << 32 |
		   (uint64_t) b[5] << 40 | (uint64_t) b[6] << 48 |
		   (uint64_t) b[7] << 56;
}

static inline uint32_t
kv_load_be32(const char *p)
{
	const unsigned char *b = (const unsigned char *) p;

	return (uint32_t) b[0] << 24 | (uint32_t) b[1] << 16 |
		   (uint32_t) b[2] << 8 | (uint32_t) b[3];
}

static inline void
kv_store_be32(char *p, uint32_t v)
{
	p[0] = (char) (v >> 24);
	p[1] = (char) (v >> 16);
	p[2] = (char) (v >> 8);
	p[3] = (char) v;
}

static inline uint64_t
kv_load_be64(const char *p)
{
	const unsigned char *b = (const unsigned char *) p;

	return (uint64_t) b[0] << 56 | (uint64_t) b[1] << 48 |
		   (uint64_t) b[2] << 40 | (uint64_t) b[3] << 32 |
		   (uint64_t) b[4] << 24 | (uint64_t) b[5] << 16 |
		   (uint64_t) b[6] << 8 | (uint64_t) b[7];
}

/* The 8 bytes of key at from as a number, zeros where it has ended. */
static inline uint64_t
kv_key_word(KvSlice key, size_t from)
{
	char padded[8] = {0};

	if (key.len >= from + 8)
		return kv_load_be64(key.data + from);
	if (key.len > from)
		memcpy(padded, key.data + from, key.len - from);
	return kv_load_be64(padded);
}

size_t kv_varint_len(uint64_t v);
bool kv_get_u8(KvSlice *in, uint8_t *v);
bool kv_get_u32(KvSlice *in, uint32_t *v);
bool kv_get_u64(KvSlice *in, uint64_t *v);
bool kv_get_varint_slow(KvSlice *in, uint64_t *v); /* any length */
/* len bytes, borrowed from in */
bool kv_get_bytes(KvSlice *in, uint64_t len, KvSlice *out);

static inline bool
kv_get_varint(KvSlice *in, uint64_t *v)
{
	const unsigned char *b = (const unsigned char *) in->data;
	uint32_t n, result;

	/* nearly all are 1 to 4 bytes long and not at the end */
	if (in->len < 4)
		return kv_get_varint_slow(in, v);
	if (b[0] < 0x80)
		n = 1, result = b[0];
	else if (b[1] < 0x80)
		n = 2, result = (b[0] & 0x7fu) | (uint32_t) b[1] << 7;
	else if (b[2] < 0x80)
		n = 3,
		result = (b[0] & 0x7fu) | (b[1] & 0x7fu) << 7 | (uint32_t) b[2] << 14;
	else if (b[3] < 0x80)
		n = 4, result = (b[0] & 0x7fu) | (b[1] & 0x7fu) << 7 |
						(b[2] & 0x7fu) << 14 | (uint32_t) b[3] << 21;
	else
		return kv_get_varint_slow(in, v);
	*v = result;
	in->data += n;
	in->len -= n;
	return true;
}

static inline uint64_t
kv_zigzag(int64_t v)
{
	return ((uint64_t) v << 1) ^ (uint64_t) (v >> 63);
}

static inline int64_t
kv_unzigzag(uint64_t v)
{
	return (int64_t) (v >> 1) ^ -(int64_t) (v & 1);
}

#endif /* KV_CODING_H */
