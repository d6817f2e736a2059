/* SPDX-License-Identifier: PostgreSQL */
/*
 * bloom_test.c - filter partitions: never a false "no", few false "yes",
 * and bits that must not change.
 */
#include "harness.h"

#include "engine/sst/bloom.h"

static uint64_t *
random_hashes(size_t n)
{
	uint64_t *h = malloc((n + 1) * sizeof(*h));
	size_t i;

	for (i = 0; i < n; i++)
		h[i] = kv_rand();
	return h;
}

KV_TEST(contains_all)
{
	static const size_t sizes[] = {0, 1, 2, 50, 51, 52, 1000, 13000};
	size_t k;
	uint32_t bits;

	for (k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++)
		for (bits = 1; bits <= KV_BLOOM_MAX_BITS; bits++)
		{
			size_t n = sizes[k];
			uint64_t *h = random_hashes(n);
			size_t bytes = kv_bloom_bytes(n, bits);
			char *filter = malloc(bytes);
			size_t i;

			kv_bloom_build(h, n, bits, filter);
			for (i = 0; i < n; i++)
				KV_CHECK(kv_bloom_may_contain(filter, bytes, h[i]));
			free(filter);
			free(h);
		}
}

KV_TEST(rate)
{
	size_t n = 13000;
	uint64_t *h = random_hashes(n);
	size_t bytes = kv_bloom_bytes(n, 10);
	char *filter = malloc(bytes);
	int wrong = 0;
	int i;

	kv_bloom_build(h, n, 10, filter);
	for (i = 0; i < 200000; i++)
		wrong += kv_bloom_may_contain(filter, bytes, kv_rand());
	if (wrong > 200000 / 80)
		kv_test_fail(__FILE__, __LINE__, "%d of 200000 pass", wrong);
	free(filter);
	free(h);
}

KV_TEST(fits_its_frame)
{
	size_t frame;
	uint32_t bits;

	KV_CHECK_EQ(kv_bloom_keys(10, 10), 0);
	for (frame = 256; frame <= 65536; frame *= 2)
		for (bits = 1; bits <= KV_BLOOM_MAX_BITS; bits++)
			KV_CHECK(kv_bloom_bytes(kv_bloom_keys(frame, bits), bits) <= frame);
}

/* Any doubt is a "may be there". */
KV_TEST(senseless_filters)
{
	uint64_t hash = kv_rand();
	char filter[3 * KV_BLOOM_LINE + KV_BLOOM_TAIL];
	size_t bytes = kv_bloom_bytes(0, 10);
	size_t len;

	KV_REQUIRE(bytes <= sizeof(filter));
	kv_bloom_build(NULL, 0, 10, filter);
	KV_CHECK(!kv_bloom_may_contain(filter, bytes, hash));
	for (len = 0; len < bytes; len++)
	{
		char *cut = malloc(len + 1);

		memcpy(cut, filter + bytes - len, len);
		KV_CHECK(kv_bloom_may_contain(cut, len, hash));
		free(cut);
	}
	filter[bytes - 3]++; /* type */
	KV_CHECK(kv_bloom_may_contain(filter, bytes, hash));
	filter[bytes - 3]--;
	filter[bytes - 4] = 0; /* probes */
	KV_CHECK(kv_bloom_may_contain(filter, bytes, hash));
	filter[bytes - 4] = KV_BLOOM_MAX_PROBES + 1;
	KV_CHECK(kv_bloom_may_contain(filter, bytes, hash));
	filter[bytes - 4] = 6;
	filter[bytes - 8] = 2; /* lines */
	KV_CHECK(kv_bloom_may_contain(filter, bytes, hash));
}

/* Frozen: filters on disk were built this way. */
KV_TEST(known_bits)
{
	static const uint64_t h[] = {UINT64_C(0x0123456789abcdef),
								 UINT64_C(0xfedcba9876543210)};
	static const char tail[KV_BLOOM_TAIL] = {2, 0, 0, 0, 6, 1, 0, 0};
	char filter[2 * KV_BLOOM_LINE + KV_BLOOM_TAIL];
	size_t bytes = kv_bloom_bytes(60, 10);
	uint64_t hashes[60];
	uint32_t x;
	size_t i;
	int k;

	KV_REQUIRE(bytes == sizeof(filter));
	for (i = 0; i < 60; i++)
		hashes[i] = h[i % 2];
	kv_bloom_build(hashes, 60, 10, filter);
	KV_CHECK(memcmp(filter + 2 * KV_BLOOM_LINE, tail, KV_BLOOM_TAIL) == 0);
	for (i = 0; i < 2; i++)
	{
		char *line = filter + i * KV_BLOOM_LINE; /* upper half: low, high */

		x = (uint32_t) h[i];
		for (k = 0; k < 6; k++)
		{
			x *= 0x9e3779b9u;
			KV_CHECK((line[x >> 26] >> ((x >> 23) & 7)) & 1);
			line[x >> 26] &= (char) ~(1 << ((x >> 23) & 7));
		}
	}
	for (i = 0; i < 2 * KV_BLOOM_LINE; i++)
		KV_CHECK_EQ(filter[i], 0);
}
