/* SPDX-License-Identifier: PostgreSQL */
/*
 * bloom.h - filter partitions: Bloom filters blocked by cache lines.
 *
 * A key sets and asks bits of one 64-byte line only, so a probe costs one
 * cache miss.  About 1 % of absent keys pass at 10 bits a key.  Works on
 * kv_key_hash(); which keys go in is the builder's business.
 */
#ifndef KV_BLOOM_H
#define KV_BLOOM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define KV_BLOOM_LINE 64
/* After the lines: number of lines 4, probes 1, type 1, reserved 2. */
#define KV_BLOOM_TAIL		8
#define KV_BLOOM_TYPE		1
#define KV_BLOOM_MAX_BITS	24
#define KV_BLOOM_MAX_PROBES 12

/* Bytes of a filter for n keys. */
size_t kv_bloom_bytes(size_t n_keys, uint32_t bits_per_key);
/* How many keys a filter of at most bytes holds. */
size_t kv_bloom_keys(size_t bytes, uint32_t bits_per_key);
/* Fills buf, kv_bloom_bytes(n, bits_per_key) long. */
void kv_bloom_build(const uint64_t *hashes, size_t n, uint32_t bits_per_key,
					char *buf);
/* false: the key is not in.  A filter that makes no sense says true. */
bool kv_bloom_may_contain(const char *filter, size_t len, uint64_t hash);

/* Where in a filter of len bytes the key's line is: to be fetched early. */
uint32_t kv_bloom_line_at(size_t len, uint64_t hash);

#endif /* KV_BLOOM_H */
