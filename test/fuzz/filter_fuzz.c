/* SPDX-License-Identifier: PostgreSQL */
/*
 * filter_fuzz.c - filter partitions: of any content, and built ones that are
 * damaged.
 *
 * Input: a byte: 0 the rest is a filter; else so many bits a key, a byte and
 * a mask for the damage, the rest is keys.  A doubtful filter lets everything
 * pass; one that was built lets its keys pass, whatever happens to the tail
 * (checksums protect the lines, and the number of probes within its range).
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/coding.h"
#include "engine/sst/bloom.h"
#include "fuzz.h"

#define MAX_KEYS 4096

static bool
is_doubtful(const char *filter, size_t len)
{
	const char *tail = filter + len - KV_BLOOM_TAIL;

	if (len < KV_BLOOM_LINE + KV_BLOOM_TAIL ||
		(len - KV_BLOOM_TAIL) % KV_BLOOM_LINE != 0)
		return true;
	return kv_load_u32(tail) != (len - KV_BLOOM_TAIL) / KV_BLOOM_LINE ||
		   tail[4] == 0 || (uint8_t) tail[4] > KV_BLOOM_MAX_PROBES ||
		   tail[5] != KV_BLOOM_TYPE;
}

static void
any_filter(FuzzIn *in)
{
	size_t len = in->left;
	char *filter = fuzz_bytes(in, &len);
	bool doubtful = is_doubtful(filter, len);
	uint64_t hash = 0;
	int i;

	for (i = 0; i < 64; i++, hash += UINT64_C(0x9e3779b97f4a7c15))
	{
		bool found = kv_bloom_may_contain(filter, len, hash);

		FUZZ_CHECK(found || !doubtful);
	}
	free(filter);
}

static void
built_filter(FuzzIn *in, uint32_t bits)
{
	static uint64_t hashes[MAX_KEYS];
	size_t where = fuzz_u8(in), n = 0, bytes, i;
	char mask = (char) fuzz_u8(in);
	bool damaged;
	uint8_t probes;
	char *filter, *tail;

	while (in->left > 0 && n < MAX_KEYS)
		hashes[n++] = fuzz_u64(in) * UINT64_C(0xff51afd7ed558ccd);
	bytes = kv_bloom_bytes(n, bits);
	/* the rounding is to whole lines */
	FUZZ_CHECK(kv_bloom_keys(bytes, bits) >= n);
	filter = malloc(bytes);
	FUZZ_CHECK(filter != NULL);
	kv_bloom_build(hashes, n, bits, filter);
	FUZZ_CHECK(!is_doubtful(filter, bytes));
	for (i = 0; i < n; i++)
		FUZZ_CHECK(kv_bloom_may_contain(filter, bytes, hashes[i]));

	tail = filter + bytes - KV_BLOOM_TAIL;
	probes = (uint8_t) tail[4];
	damaged = where % (KV_BLOOM_TAIL + 1) < KV_BLOOM_TAIL;
	if (damaged)
		tail[where % (KV_BLOOM_TAIL + 1)] ^= mask;
	if (damaged && (uint8_t) tail[4] > probes &&
		(uint8_t) tail[4] <= KV_BLOOM_MAX_PROBES)
		n = 0;
	for (i = 0; i < n; i++)
		FUZZ_CHECK(kv_bloom_may_contain(filter, bytes, hashes[i]));
	/* cut short: never "not there" for what is */
	for (i = 0; i < n && bytes > 0; i++)
	{
		bytes -= 1 + where % 3 < bytes ? 1 + where % 3 : bytes;
		FUZZ_CHECK(is_doubtful(filter, bytes)
					   ? kv_bloom_may_contain(filter, bytes, hashes[i])
					   : true);
	}
	free(filter);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FuzzIn in = {data, size};
	uint32_t bits = fuzz_u8(&in) % (KV_BLOOM_MAX_BITS + 1);

	if (bits == 0)
		any_filter(&in);
	else
		built_filter(&in, bits);
	return 0;
}

void
fuzz_make_seeds(void)
{
	uint64_t hashes[30];
	char seed[1 + 4 * KV_BLOOM_LINE];
	size_t i, n;

	for (i = 0; i < 30; i++)
		hashes[i] = i * UINT64_C(0x9e3779b97f4a7c15);
	n = kv_bloom_bytes(30, 10);
	FUZZ_CHECK(n < sizeof(seed));
	seed[0] = 0;
	kv_bloom_build(hashes, 30, 10, seed + 1);
	fuzz_seed("built", seed, n + 1);
	seed[n] ^= 1; /* the reserved bytes */
	fuzz_seed("reserved", seed, n + 1);
	seed[0] = 10;
	seed[1] = 4; /* the number of probes */
	seed[2] = 0x40;
	for (i = 0; i < 8; i++)
		(void) kv_put_u64(seed + 3 + 8 * i, hashes[i]);
	fuzz_seed("keys", seed, 3 + 8 * 8);
}
