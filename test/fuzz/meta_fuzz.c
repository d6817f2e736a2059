/* SPDX-License-Identifier: PostgreSQL */
/*
 * meta_fuzz.c - a file's meta of any content, as records of ingested runs
 * bring it.  What is read and written again is read as the same.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/lsm/manifest.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	KvSlice in = kv_slice((const char *) data, size), again;
	char buf[KV_META_MAX_BYTES], twice[KV_META_MAX_BYTES];
	KvFileMeta meta, copy;
	KvError err;
	size_t n;

	while (in.len > 0 && kv_meta_decode(&in, &meta, &err) == KV_OK)
	{
		if (meta.smallest_len > KV_BOUND_BYTES ||
			meta.largest_len > KV_BOUND_BYTES || meta.level >= KV_LEVELS)
			abort();
		n = kv_meta_encode(&meta, buf, sizeof(buf));
		again = kv_slice(buf, n);
		if (n == 0 || kv_meta_decode(&again, &copy, &err) != KV_OK ||
			again.len != 0 || kv_meta_encode(&copy, twice, sizeof(twice)) != n ||
			memcmp(buf, twice, n) != 0)
			abort();
	}
	return 0;
}

void
fuzz_make_seeds(void)
{
	KvFileMeta meta;
	char buf[2 * KV_META_MAX_BYTES];
	size_t n;

	memset(&meta, 0, sizeof(meta));
	meta.file_no = 12;
	meta.size = 4096;
	meta.entries = 10;
	meta.max_csn = 300;
	meta.smallest_len = meta.largest_len = 5;
	memcpy(meta.smallest, "\0\0\0\1a", 5);
	memcpy(meta.largest, "\0\0\0\1z", 5);
	n = kv_meta_encode(&meta, buf, KV_META_MAX_BYTES);
	fuzz_seed("plain", buf, n);
	meta.level = 3;
	meta.has_doubt = meta.largest_cut = true;
	meta.run_csn = 400;
	meta.run_xid = 9;
	meta.oldest_expiry_us = -1;
	meta.largest_len = KV_BOUND_BYTES;
	memset(meta.largest + 5, 'y', KV_BOUND_BYTES - 5);
	n += kv_meta_encode(&meta, buf + n, KV_META_MAX_BYTES);
	fuzz_seed("two", buf, n);
}
