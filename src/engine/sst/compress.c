/* SPDX-License-Identifier: PostgreSQL */
/*
 * compress.c - block payloads through LZ4.
 *
 * Pure functions on memory.  Called by sst_builder.c and sst_block.c.
 */
#include "engine/sst/compress.h"

#include <lz4.h>

size_t
kv_compress_state_bytes(void)
{
	return (size_t) LZ4_sizeofState();
}

size_t
kv_compress_room(size_t len)
{
	return len - len / 8;
}

size_t
kv_compress(void *state, const char *src, size_t len, char *dst)
{
	int n;

	/* a few bytes cannot win; LZ4 counts in int */
	if (len < 64 || len > LZ4_MAX_INPUT_SIZE)
		return 0;
	/* with less room than the worst case needs, 0 means "did not fit" */
	n = LZ4_compress_fast_extState(state, src, dst, (int) len,
								   (int) kv_compress_room(len), 1);
	return n > 0 ? (size_t) n : 0;
}

bool
kv_decompress(const char *src, size_t len, char *dst, size_t raw_len)
{
	if (len > LZ4_MAX_INPUT_SIZE || raw_len > LZ4_MAX_INPUT_SIZE)
		return false;
	return LZ4_decompress_safe(src, dst, (int) len, (int) raw_len) ==
		   (int) raw_len;
}
