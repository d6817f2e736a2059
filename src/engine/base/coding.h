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

char *kv_put_u16(char *p, uint16_t v);
char *kv_put_u32(char *p, uint32_t v);
char *kv_put_u64(char *p, uint64_t v);
char *kv_put_varint(char *p, uint64_t v);
size_t kv_varint_len(uint64_t v);
uint16_t kv_load_u16(const char *p);
uint32_t kv_load_u32(const char *p);
uint64_t kv_load_u64(const char *p);
uint32_t kv_load_be32(const char *p);
void kv_store_be32(char *p, uint32_t v);
uint64_t kv_load_be64(const char *p);

bool kv_get_u8(KvSlice *in, uint8_t *v);
bool kv_get_u32(KvSlice *in, uint32_t *v);
bool kv_get_u64(KvSlice *in, uint64_t *v);
bool kv_get_varint(KvSlice *in, uint64_t *v);
/* len bytes, borrowed from in */
bool kv_get_bytes(KvSlice *in, uint64_t len, KvSlice *out);

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
