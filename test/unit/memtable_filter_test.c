/* SPDX-License-Identifier: PostgreSQL */
/*
 * memtable_filter_test.c - the filter of a memtable: no key that is there is
 * said to be absent, few that are not are said to be there.
 * memtable_race_test.c has the threads.
 */
#include "harness.h"

#include "engine/base/coding.h"
#include "engine/base/file_header.h"
#include "engine/mem/memtable.h"

static KvMem *
new_mem(size_t bytes, uint64_t generation)
{
	KvMem *mem = aligned_alloc(64, bytes);

	KV_REQUIRE(mem != NULL);
	kv_mem_init(mem, bytes, generation);
	kv_mem_init_filter(mem);
	return mem;
}

static KvSlice
key_of(uint32_t i, char *buf)
{
	memcpy(buf, "\0\0\0\1", 4);
	kv_store_be32(buf + 4, i);
	return kv_slice(buf, 8);
}

static bool
lacks(const KvMem *mem, uint64_t generation, KvSlice key)
{
	return kv_mem_lacks(mem, generation, kv_key_hash(key));
}

/* Until it is full, with values of so many bytes. */
static uint32_t
fill(KvMem *mem, size_t value_len)
{
	char value[200] = {0};
	char buf[8];
	uint32_t batch, n;

	for (n = 0;; n++)
	{
		KvEntry e = {.key = key_of(n, buf),
					 .value = kv_slice(value, value_len),
					 .kind = n % 3 == 0 ? KV_KIND_DELETE : KV_KIND_PUT};

		if (kv_mem_free(mem) < kv_mem_bound(1, 8 + value_len))
			return n;
		KV_REQUIRE(kv_mem_begin_batch(mem, n + 1, 0, 0, KV_XACT_COMMITTED,
									  &batch) == KV_OK);
		KV_REQUIRE(kv_mem_add(mem, batch, &e) == KV_OK);
	}
}

/* The n keys that are there, and how many of as many others pass. */
static uint32_t
check_and_count(const KvMem *mem, uint32_t n)
{
	uint32_t passed = 0, i;
	char buf[8];

	for (i = 0; i < n; i++)
		KV_CHECK(!lacks(mem, 1, key_of(i, buf)));
	for (i = n; i < 2 * n; i++)
		passed += !lacks(mem, 1, key_of(i, buf));
	printf("# %u entries, %u of as many others pass\n", n, passed);
	return passed;
}

KV_TEST(hides_no_key_and_few_others_pass)
{
	KvMem *mem = new_mem(8u << 20, 1);
	uint32_t n = fill(mem, 100);

	KV_CHECK(n > 30000);
	KV_CHECK(check_and_count(mem, n) < n / 50);
	KV_CHECK_STATUS(kv_mem_check(mem, NULL), KV_OK);
	free(mem);
}

KV_TEST(the_smallest_memtable_has_one)
{
	KvMem *mem = new_mem(64u << 10, 1);
	uint32_t n = fill(mem, 10);

	KV_CHECK(n > 300);
	KV_CHECK(n - check_and_count(mem, n) > n / 2);
	free(mem);
}

/* Neither a memtable without one nor one of another generation says no. */
KV_TEST(says_nothing_of_what_it_does_not_know)
{
	KvMem *mem = new_mem(64u << 10, 3);
	char buf[8];
	KvSlice key = key_of(UINT32_MAX - 7, buf);

	KV_CHECK(!lacks(mem, 3, key)); /* too small to be asked */
	(void) fill(mem, 10);
	KV_CHECK(lacks(mem, 3, key));
	KV_CHECK(!lacks(mem, 2, key));
	kv_mem_init(mem, 64u << 10, 4);
	(void) fill(mem, 10);
	KV_CHECK(!lacks(mem, 4, key));
	kv_mem_init(mem, 64u << 10, 5);
	kv_mem_init_filter(mem);
	(void) fill(mem, 10);
	KV_CHECK(lacks(mem, 5, key));
	KV_CHECK(!lacks(mem, 3, key));
	free(mem);
}

/* It stands right behind the head, and all of its bits are looked at. */
KV_TEST(a_bit_that_is_lost_is_found)
{
	KvMem *mem = new_mem(64u << 10, 1);
	unsigned char *bytes = (unsigned char *) mem;
	size_t first = kv_mem_used(mem), at = first + 1024, found = 0, set = 0, i;

	(void) fill(mem, 10);
	for (i = first; i < at; i++)
	{
		unsigned char was = bytes[i];

		if (was == 0)
			continue;
		set++;
		bytes[i] = was & (was - 1);
		found += kv_mem_check(mem, NULL) == KV_CORRUPT;
		bytes[i] = was;
	}
	KV_CHECK(set > 100);
	KV_CHECK_EQ(found, set);
	KV_CHECK_STATUS(kv_mem_check(mem, NULL), KV_OK);
	free(mem);
}
