/* SPDX-License-Identifier: PostgreSQL */
/*
 * compress_fuzz.c - stored blocks: trailers that lie, LZ4 bytes of any kind.
 *
 * Input: a byte: 0 the rest is a stored block with its trailer, 1 a trailer's
 * raw length and LZ4 bytes, else the rest is compressed and comes back.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/sst/compress.h"
#include "engine/sst/sst_internal.h"
#include "fuzz.h"

static void
decode_stored(SimEnv *sim, const char *stored, size_t size)
{
	KvSst sst = {.env = &sim->env,
				 .file_no = FUZZ_FILE_NO,
				 .salt = FUZZ_SALT,
				 .size = (uint64_t) 1 << 40};
	KvBlockHandle h = {KV_FILE_HEADER_BYTES, size};
	size_t len = size - KV_BLOCK_TRAILER;
	KvBuffer out = {0};
	KvError err;

	if (!kv_sst_handle_ok(&sst, h))
		return;
	if (kv_sst_decode_block(&sst, h, KV_BLOCK_DATA, stored, &out, &err) == KV_OK)
	{
		FUZZ_CHECK(out.len == kv_load_u32(stored + len + 1));
		FUZZ_CHECK(out.len / KV_MAX_RATIO <= len);
		if (stored[len] == KV_COMPRESS_NONE)
			FUZZ_CHECK(out.len == len && memcmp(out.data, stored, len) == 0);
	}
	kv_buffer_free(&sim->env, &out);
}

static void
any_block(SimEnv *sim, FuzzIn *in)
{
	size_t size = in->left;
	char *stored = fuzz_bytes(in, &size);

	/* the checksum is 0 in this build */
	if (size > KV_BLOCK_TRAILER)
	{
		memset(stored + size - 8, 0, 8);
		decode_stored(sim, stored, size);
	}
	free(stored);
}

/* The output has exactly the room that was promised. */
static void
any_lz4(FuzzIn *in)
{
	size_t raw = fuzz_u64(in) & 0xffff, len = in->left;
	char *src = fuzz_bytes(in, &len), *dst = malloc(raw > 0 ? raw : 1);
	size_t i;
	volatile char sum = 0;

	FUZZ_CHECK(dst != NULL);
	if (kv_decompress(src, len, dst, raw))
		for (i = 0; i < raw; i++)
			sum = (char) (sum + dst[i]); /* all of it was written */
	free(dst);
	free(src);
}

static void
there_and_back(FuzzIn *in)
{
	size_t repeat = 1 + fuzz_u8(in), len = in->left, raw, n, room;
	char *part = fuzz_bytes(in, &len), *src, *dst, *back;
	void *state = malloc(kv_compress_state_bytes());

	raw = len * repeat;
	src = malloc(raw > 0 ? raw : 1);
	back = malloc(raw > 0 ? raw : 1);
	room = kv_compress_room(raw);
	dst = malloc(room > 0 ? room : 1);
	FUZZ_CHECK(src && dst && back && state);
	for (n = 0; n < repeat && len > 0; n++)
		memcpy(src + n * len, part, len);
	n = kv_compress(state, src, raw, dst);
	if (n > 0)
	{
		FUZZ_CHECK(n <= raw - raw / 8); /* it saved an eighth */
		FUZZ_CHECK(kv_decompress(dst, n, back, raw));
		FUZZ_CHECK(memcmp(src, back, raw) == 0);
		FUZZ_CHECK(!kv_decompress(dst, n, back, raw - 1));
		FUZZ_CHECK(raw / KV_MAX_RATIO <= n);
	}
	free(state);
	free(back);
	free(dst);
	free(src);
	free(part);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FuzzIn in = {data, size};
	SimEnv *sim = fuzz_begin();
	uint8_t what = fuzz_u8(&in) % 3;

	if (what == 0)
		any_block(sim, &in);
	else if (what == 1)
		any_lz4(&in);
	else
		there_and_back(&in);
	fuzz_end(sim);
	return 0;
}

void
fuzz_make_seeds(void)
{
	static char state[1 << 20];
	char text[400], seed[600] = {0};
	size_t i, n;

	for (i = 0; i < sizeof(text); i++)
		text[i] = (char) ('a' + i % 7);
	FUZZ_CHECK(kv_compress_state_bytes() <= sizeof(state));
	n = kv_compress(state, text, sizeof(text), seed + 1);
	FUZZ_CHECK(n > 0);
	seed[n + 1] = KV_COMPRESS_LZ4;
	(void) kv_put_u32(seed + n + 2, sizeof(text));
	fuzz_seed("lz4", seed, 1 + n + KV_BLOCK_TRAILER);
	memmove(seed + 9, seed + 1, n);
	seed[0] = 1;
	(void) kv_put_u64(seed + 1, sizeof(text));
	fuzz_seed("raw_lz4", seed, 9 + n);
	memset(seed, 0, sizeof(seed));
	memcpy(seed + 1, text, 100);
	(void) kv_put_u32(seed + 102, 100);
	fuzz_seed("plain", seed, 1 + 100 + KV_BLOCK_TRAILER);
	seed[0] = 2;
	seed[1] = 3;
	memcpy(seed + 2, text, 100);
	fuzz_seed("text", seed, 102);
}
