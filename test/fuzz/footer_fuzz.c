/* SPDX-License-Identifier: PostgreSQL */
/*
 * footer_fuzz.c - footer, properties and block handles of a table.
 *
 * Input: a byte that says which, then its bytes.  What is decoded is encoded
 * and decoded as the same.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/sst/sst_meta.h"
#include "fuzz.h"

static void
any_footer(FuzzIn *in)
{
	uint64_t size = KV_FOOTER_BYTES + (fuzz_u64(in) >> 1);
	size_t len = KV_FOOTER_BYTES;
	char *buf = fuzz_bytes(in, &len);
	char again[KV_FOOTER_BYTES];
	KvSstFooter f;
	KvError err;

	if (len == KV_FOOTER_BYTES &&
		kv_footer_decode(buf, FUZZ_SALT, FUZZ_FILE_NO, size, &f, &err) == KV_OK)
	{
		FUZZ_CHECK(f.file_size == size);
		kv_footer_encode(&f, FUZZ_SALT, FUZZ_FILE_NO, again);
		memset(buf + 56, 0, 8); /* reserved */
		FUZZ_CHECK(memcmp(buf, again, KV_FOOTER_BYTES) == 0);
	}
	free(buf);
}

static void
any_properties(SimEnv *sim, FuzzIn *in)
{
	size_t len = in->left;
	char *buf = fuzz_bytes(in, &len);
	KvBuffer out = {0}, twice = {0};
	KvSstProps props, copy;

	if (kv_props_decode(kv_slice(buf, len), &props))
	{
		FUZZ_CHECK(kv_props_encode(&sim->env, &props, &out));
		FUZZ_CHECK(kv_props_decode(kv_slice(out.data, out.len), &copy));
		FUZZ_CHECK(kv_slice_equal(props.smallest, copy.smallest) &&
				   kv_slice_equal(props.largest, copy.largest));
		/* the numbers: all that is left */
		FUZZ_CHECK(kv_props_encode(&sim->env, &copy, &twice));
		FUZZ_CHECK(out.len == twice.len &&
				   memcmp(out.data, twice.data, out.len) == 0);
		copy.smallest = props.smallest;
		copy.largest = props.largest;
		FUZZ_CHECK(memcmp(&props, &copy, sizeof(props)) == 0);
	}
	kv_buffer_free(&sim->env, &out);
	kv_buffer_free(&sim->env, &twice);
	free(buf);
}

static void
any_handle(FuzzIn *in)
{
	size_t len = in->left;
	char *buf = fuzz_bytes(in, &len);
	char again[KV_HANDLE_MAX];
	KvBlockHandle h, copy;

	if (kv_handle_get(kv_slice(buf, len), &h))
	{
		size_t n = (size_t) (kv_handle_put(again, h) - again);

		FUZZ_CHECK(n <= KV_HANDLE_MAX && n <= len);
		FUZZ_CHECK(kv_handle_get(kv_slice(again, n), &copy));
		FUZZ_CHECK(h.offset == copy.offset && h.size == copy.size);
	}
	free(buf);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FuzzIn in = {data, size};
	SimEnv *sim = fuzz_begin();
	uint8_t what = fuzz_u8(&in) % 3;

	if (what == 0)
		any_footer(&in);
	else if (what == 1)
		any_properties(sim, &in);
	else
		any_handle(&in);
	fuzz_end(sim);
	return 0;
}

void
fuzz_make_seeds(void)
{
	SimEnv *sim = fuzz_begin();
	KvSstFooter f = {{100, 50}, {150, 40}, {190, 60}, 330};
	KvSstProps props = {.entries = 7,
						.max_csn = UINT64_MAX,
						.oldest_expiry_us = -5,
						.smallest = kv_slice("\0\0\0\1a", 5),
						.largest = kv_slice("\0\0\0\1zz", 6)};
	char seed[512] = {0};
	KvBuffer out = {0};

	(void) kv_put_u64(seed + 1, (330 - KV_FOOTER_BYTES) * 2);
	kv_footer_encode(&f, FUZZ_SALT, FUZZ_FILE_NO, seed + 9);
	fuzz_seed("footer", seed, 9 + KV_FOOTER_BYTES);
	FUZZ_CHECK(kv_props_encode(&sim->env, &props, &out));
	seed[0] = 1;
	FUZZ_CHECK(out.len < sizeof(seed));
	memcpy(seed + 1, out.data, out.len);
	fuzz_seed("properties", seed, out.len + 1);
	seed[0] = 2;
	fuzz_seed("handle", seed, (size_t) (kv_handle_put(seed + 1, f.top) - seed));
	kv_buffer_free(&sim->env, &out);
	fuzz_end(sim);
}
