/* SPDX-License-Identifier: PostgreSQL */
/*
 * coding_test.c - integers in byte strings: round trips, and what is refused.
 */
#include "harness.h"

#include "engine/base/coding.h"

KV_TEST(fixed_integers_are_little_endian)
{
	char buf[8];
	KvSlice in;
	uint32_t v32;
	uint64_t v64;
	uint8_t v8;

	KV_CHECK(kv_put_u16(buf, 0x0102) == buf + 2);
	KV_CHECK(memcmp(buf, "\x02\x01", 2) == 0);
	KV_CHECK_EQ(kv_load_u16(buf), 0x0102);
	KV_CHECK(kv_put_u32(buf, 0x81020304) == buf + 4);
	KV_CHECK(memcmp(buf, "\x04\x03\x02\x81", 4) == 0);
	KV_CHECK_EQ(kv_load_u32(buf), 0x81020304);
	KV_CHECK(kv_put_u64(buf, UINT64_C(0x8182838485868788)) == buf + 8);
	KV_CHECK(memcmp(buf, "\x88\x87\x86\x85\x84\x83\x82\x81", 8) == 0);
	KV_CHECK_EQ(kv_load_u64(buf), UINT64_C(0x8182838485868788));
	kv_store_be32(buf, 0xf1020304);
	KV_CHECK(memcmp(buf, "\xf1\x02\x03\x04", 4) == 0);
	KV_CHECK_EQ(kv_load_be32(buf), 0xf1020304);
	KV_CHECK_EQ(kv_load_be64("\xf1\x02\x03\x04\x05\x06\x07\x08"),
				UINT64_C(0xf102030405060708));

	in = kv_slice("\x01\x02\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x80", 13);
	KV_CHECK(kv_get_u8(&in, &v8) && v8 == 1);
	KV_CHECK(kv_get_u32(&in, &v32) && v32 == 2);
	KV_CHECK(!kv_get_bytes(&in, 9, &in));
	KV_CHECK(kv_get_u64(&in, &v64) && v64 == UINT64_C(0x8000000000000003));
	KV_CHECK_EQ(in.len, 0);
	KV_CHECK(!kv_get_u8(&in, &v8) && !kv_get_u32(&in, &v32) &&
			 !kv_get_u64(&in, &v64) && !kv_get_varint(&in, &v64));
	KV_CHECK(kv_get_bytes(&in, 0, &in));
	KV_CHECK(!kv_get_bytes(&in, UINT64_MAX, &in));
}

KV_TEST(varints_round_trip)
{
	int i;

	for (i = 0; i < 64 * 3 + 1000; i++)
	{
		uint64_t want = i < 64 * 3
							? (UINT64_C(1) << (i / 3)) + (uint64_t) (i % 3) - 1
							: kv_rand() >> kv_rand_below(64);
		char buf[KV_VARINT_MAX];
		size_t len = (size_t) (kv_put_varint(buf, want) - buf);
		KvSlice in = kv_slice(buf, len);
		uint64_t got = 0;
		size_t cut;

		KV_CHECK_EQ(len, kv_varint_len(want));
		for (cut = 0; cut < len; cut++)
		{
			KvSlice shorter = kv_slice(buf, cut);

			KV_CHECK(!kv_get_varint(&shorter, &got));
		}
		KV_CHECK(kv_get_varint(&in, &got));
		KV_CHECK_EQ(got, want);
		KV_CHECK_EQ(in.len, 0);
		KV_CHECK_EQ(kv_unzigzag(kv_zigzag((int64_t) want)), want);
	}
}

KV_TEST(varints_beyond_64_bits_are_refused)
{
	KvSlice max = kv_slice("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 10);
	KvSlice over = kv_slice("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10);
	KvSlice endless = kv_slice("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
							   11);
	uint64_t v;

	KV_CHECK(kv_get_varint(&max, &v) && v == UINT64_MAX);
	KV_CHECK(!kv_get_varint(&over, &v));
	KV_CHECK(!kv_get_varint(&endless, &v));
}

KV_TEST(zigzag_keeps_small_numbers_small)
{
	KV_CHECK_EQ(kv_zigzag(0), 0);
	KV_CHECK_EQ(kv_zigzag(-1), 1);
	KV_CHECK_EQ(kv_zigzag(1), 2);
	KV_CHECK_EQ(kv_zigzag(INT64_MIN), UINT64_MAX);
	KV_CHECK_EQ(kv_unzigzag(UINT64_MAX), INT64_MIN);
	KV_CHECK_EQ(kv_unzigzag(UINT64_MAX - 1), INT64_MAX);
}

KV_TEST(slices_compare_as_keys)
{
	KV_CHECK(kv_slice_compare(kv_slice("a", 1), kv_slice("b", 1)) < 0);
	KV_CHECK(kv_slice_compare(kv_slice("a", 1), kv_slice("a\0", 2)) < 0);
	KV_CHECK(kv_slice_compare(kv_slice("\xff", 1), kv_slice("a", 1)) > 0);
	KV_CHECK(kv_slice_compare(kv_slice(NULL, 0), kv_slice("", 0)) == 0);
	KV_CHECK(kv_slice_has_prefix(kv_slice("abc", 3), kv_slice("ab", 2)));
	KV_CHECK(!kv_slice_has_prefix(kv_slice("a", 1), kv_slice("ab", 2)));
}
