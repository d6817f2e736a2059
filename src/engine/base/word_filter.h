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

#include <stdint.h>

/* hash: kv_key_hash of the key */
static inline uint64_t
kv_word_bits(uint64_t hash)
{
	return UINT64_C(1) << (hash >> 58) | UINT64_C(1) << (hash >> 52 & 63) |
		   UINT64_C(1) << (hash >> 46 & 63);
}

#endif /* KV_WORD_FILTER_H */
