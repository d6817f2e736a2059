/* SPDX-License-Identifier: PostgreSQL */
/*
 * bloom.c - filter partitions: Bloom filters blocked by cache lines.
 *
 * Pure functions on memory.  Called by sst_builder.c and sst_reader.c.  One
 * cache miss a lookup: Putze, Sanders, Singler, "Cache-, hash- and
 * space-efficient Bloom filters" (2007); bits from multiples of one hash.
 * The choice of line and bits is part of the file format
 * (docs/format_sst.md) and never changes for this type.
 */
#include "engine/sst/bloom.h"

#include <string.h>

#include "engine/base/check.h"
#include "engine/base/coding.h"

/* 2^32 divided by the golden ratio: spreads the bits of each step upwards */
#define STEP 0x9e3779b9u

static size_t
lines_for(size_t n_keys, uint32_t bits_per_key)
{
	size_t bits = n_keys * bits_per_key;
	size_t lines = (bits + KV_BLOOM_LINE * 8 - 1) / (KV_BLOOM_LINE * 8);

	return lines > 0 ? lines : 1;
}

/*
 * Fewer than bits * ln 2: keys are spread unevenly over the lines, and full
 * lines suffer most from more probes.
 */
static uint8_t
probes_for(uint32_t bits_per_key)
{
	uint32_t k = (bits_per_key * 6 + 5) / 10;

	return (uint8_t) (k < 1						? 1
					  : k > KV_BLOOM_MAX_PROBES ? KV_BLOOM_MAX_PROBES
												: k);
}

size_t
kv_bloom_bytes(size_t n_keys, uint32_t bits_per_key)
{
	return lines_for(n_keys, bits_per_key) * KV_BLOOM_LINE + KV_BLOOM_TAIL;
}

size_t
kv_bloom_keys(size_t bytes, uint32_t bits_per_key)
{
	if (bytes < KV_BLOOM_LINE + KV_BLOOM_TAIL)
		return 0;
	return (bytes - KV_BLOOM_TAIL) / KV_BLOOM_LINE * KV_BLOOM_LINE * 8 /
		   bits_per_key;
}

/* The upper half of the hash chooses the line, the lower half its bits. */
static inline size_t
line_of(uint64_t hash, uint32_t lines)
{
	return (size_t) (((hash >> 32) * lines) >> 32) * KV_BLOOM_LINE;
}

uint32_t
kv_bloom_line_at(size_t len, uint64_t hash)
{
	if (len < KV_BLOOM_LINE + KV_BLOOM_TAIL)
		return 0;
	return (uint32_t) line_of(hash, (uint32_t) ((len - KV_BLOOM_TAIL) /
												KV_BLOOM_LINE));
}

void
kv_bloom_build(const uint64_t *hashes, size_t n, uint32_t bits_per_key,
			   char *buf)
{
	size_t lines = lines_for(n, bits_per_key);
	uint8_t probes = probes_for(bits_per_key);
	char *tail = buf + lines * KV_BLOOM_LINE;
	size_t i;

	KV_ASSERT(bits_per_key > 0 && bits_per_key <= KV_BLOOM_MAX_BITS);
	memset(buf, 0, lines * KV_BLOOM_LINE);
	for (i = 0; i < n; i++)
	{
		char *line = buf + line_of(hashes[i], (uint32_t) lines);
		uint32_t h = (uint32_t) hashes[i];
		int k;

		for (k = 0; k < probes; k++)
		{
			h *= STEP;
			line[h >> 26] |= (char) (1 << ((h >> 23) & 7));
		}
	}
	tail = kv_put_u32(tail, (uint32_t) lines);
	*tail++ = (char) probes;
	*tail++ = KV_BLOOM_TYPE;
	(void) kv_put_u16(tail, 0);
}

bool
kv_bloom_may_contain(const char *filter, size_t len, uint64_t hash)
{
	const char *tail;
	const char *line;
	uint32_t h = (uint32_t) hash;
	uint32_t lines;
	uint8_t probes;
	bool found = true;
	int k;

	if (len < KV_BLOOM_LINE + KV_BLOOM_TAIL)
		return true;
	tail = filter + len - KV_BLOOM_TAIL;
	lines = kv_load_u32(tail);
	probes = (uint8_t) tail[4];
	if (lines != (len - KV_BLOOM_TAIL) / KV_BLOOM_LINE ||
		(len - KV_BLOOM_TAIL) % KV_BLOOM_LINE != 0 ||
		tail[5] != KV_BLOOM_TYPE || probes == 0 || probes > KV_BLOOM_MAX_PROBES)
		return true;
	line = filter + line_of(hash, lines);
	for (k = 0; k < probes && found; k++)
	{
		h *= STEP;
		found = (line[h >> 26] >> ((h >> 23) & 7)) & 1;
	}
	return found;
}
