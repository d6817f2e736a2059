/* SPDX-License-Identifier: PostgreSQL */
/*
 * word_filter.h - the bits of a Bloom filter in blocks of one 64-bit word.
 *
 * The low bits of a key's hash choose the word, these three its bits (Putze,
 * Sanders, Singler, "Cache-, Hash- and Space-Efficient Bloom Filters", 2007).
 * For filters in memory; those of files are sst/bloom.h's.
 */
#ifndef KV_WORD_FILTER_H
#define KV_WORD_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* hash: kv_key_hash of the key */
static inline uint64_t
kv_word_bits(uint64_t hash)
{
	return UINT64_C(1) << (hash >> 58) | UINT64_C(1) << (hash >> 52 & 63) |
		   UINT64_C(1) << (hash >> 46 & 63);
}

/* false: no key with that hash was added to the word */
static inline bool
kv_word_may_have(uint64_t word, uint64_t hash)
{
	return (word & kv_word_bits(hash)) == kv_word_bits(hash);
}

/* How many words a filter of at most so many bytes has: a power of two. */
static inline size_t
kv_word_count(size_t bytes)
{
	size_t words = 1;

	while (words * 2 * sizeof(uint64_t) <= bytes)
		words *= 2;
	return words;
}

#endif /* KV_WORD_FILTER_H */
