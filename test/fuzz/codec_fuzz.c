/* SPDX-License-Identifier: PostgreSQL */
/*
 * codec_fuzz.c - the smallest parsers: numbers, keys and their order, bounds
 * of files, file headers and names, settle records.
 *
 * Input: a byte that says which, then its bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/coding.h"
#include "engine/base/entry.h"
#include "engine/lsm/db_internal.h"
#include "engine/wal/wal.h"
#include "fuzz.h"

static void
numbers(FuzzIn *in)
{
	size_t len = in->left;
	char *bytes = fuzz_bytes(in, &len), again[KV_VARINT_MAX];
	KvSlice rest = kv_slice(bytes, len), all = rest;
	uint64_t v, w;
	uint32_t u;
	uint8_t b;

	while (rest.len > 0 && kv_get_varint(&rest, &v))
	{
		size_t n = kv_varint_len(v);
		KvSlice s = kv_slice(again, n);

		/* what is read may be longer than it had to be, never shorter */
		FUZZ_CHECK(n <= all.len - rest.len && n <= KV_VARINT_MAX);
		FUZZ_CHECK(kv_put_varint(again, v) == again + n);
		FUZZ_CHECK(kv_get_varint(&s, &w) && w == v && s.len == 0);
		FUZZ_CHECK(kv_zigzag(kv_unzigzag(v)) == v);
		FUZZ_CHECK(kv_unzigzag(kv_zigzag((int64_t) v)) == (int64_t) v);
		s = kv_slice(again, n - 1);
		FUZZ_CHECK(!kv_get_varint(&s, &w));
		all = rest;
	}
	rest = kv_slice(bytes, len);
	if (kv_get_u64(&rest, &v))
	{
		(void) kv_put_u64(again, v);
		FUZZ_CHECK(memcmp(again, bytes, 8) == 0);
		FUZZ_CHECK(kv_load_be64(bytes) == __builtin_bswap64(v));
		kv_store_be32(again, kv_load_be32(bytes));
		FUZZ_CHECK(memcmp(again, bytes, 4) == 0);
		FUZZ_CHECK(kv_get_u32(&rest, &u) == (len >= 12));
		while (kv_get_u8(&rest, &b))
			;
		FUZZ_CHECK(rest.len == 0);
	}
	free(bytes);
}

static int
sign(int v)
{
	return (v > 0) - (v < 0);
}

/* Three (key, csn): kv_entry_compare orders them, and as memcmp orders keys. */
static void
order(FuzzIn *in)
{
	KvSlice key[3];
	uint64_t csn[3];
	size_t i, j, k;

	for (i = 0; i < 3; i++)
	{
		key[i].len = fuzz_u8(in) & 15;
		csn[i] = fuzz_u8(in);
		key[i].data = fuzz_bytes(in, &key[i].len);
	}
	for (i = 0; i < 3; i++)
		for (j = 0; j < 3; j++)
		{
			char a[16] = {0}, b[16] = {0};
			int c = kv_entry_compare(key[i], csn[i], key[j], csn[j]), bytes;

			FUZZ_CHECK(sign(c) ==
					   -sign(kv_entry_compare(key[j], csn[j], key[i], csn[i])));
			for (k = 0; k < 3; k++)
				if (c <= 0 &&
					kv_entry_compare(key[j], csn[j], key[k], csn[k]) <= 0)
					FUZZ_CHECK(kv_entry_compare(key[i], csn[i], key[k],
												csn[k]) <= 0);
			memcpy(a, key[i].data, key[i].len);
			memcpy(b, key[j].data, key[j].len);
			bytes = memcmp(a, b, 16);
			if (bytes != 0) /* zeros behind a key are its end */
				FUZZ_CHECK(sign(c) == sign(bytes));
			if (kv_slice_equal(key[i], key[j]))
			{
				FUZZ_CHECK(kv_key_hash(key[i]) == kv_key_hash(key[j]));
				FUZZ_CHECK(sign(c) == (csn[i] < csn[j]) - (csn[i] > csn[j]));
			}
		}
	for (i = 0; i < 3; i++)
		free((char *) key[i].data);
}

/* A file's cut bounds hold every key between its smallest and its largest. */
static void
bounds(FuzzIn *in)
{
	KvSlice k[3];
	KvFileMeta meta, other;
	size_t i;

	memset(&meta, 0, sizeof(meta));
	memset(&other, 0, sizeof(other));
	for (i = 0; i < 3; i++)
	{
		size_t same = fuzz_u8(in), left;
		char *data = malloc(2 * 256 + 1);

		FUZZ_CHECK(data != NULL);
		memset(data, 'a', same);
		for (left = fuzz_u8(in); left > 0 && in->left > 0; left--)
			data[same++] = (char) fuzz_u8(in);
		k[i] = kv_slice(data, same);
	}
	for (i = 0; i < 4; i++) /* sorts three */
		if (kv_slice_compare(k[i % 2], k[i % 2 + 1]) > 0)
		{
			KvSlice swap = k[i % 2];

			k[i % 2] = k[i % 2 + 1];
			k[i % 2 + 1] = swap;
		}
	kv_set_bounds(&meta, k[0], k[2]);
	kv_set_bounds(&other, k[1], k[1]);
	FUZZ_CHECK(meta.smallest_len <= KV_BOUND_BYTES &&
			   meta.largest_len <= KV_BOUND_BYTES);
	for (i = 0; i < 3; i++)
	{
		FUZZ_CHECK(!kv_key_before_file(k[i], &meta));
		FUZZ_CHECK(!kv_key_after_file(k[i], &meta));
	}
	FUZZ_CHECK(kv_files_overlap(&meta, &other));
	FUZZ_CHECK(kv_files_overlap(&other, &meta));
	FUZZ_CHECK(kv_file_overlaps_range(&meta, k[1], kv_slice(NULL, 0)));
	if (kv_slice_compare(k[1], k[2]) < 0)
		FUZZ_CHECK(kv_file_overlaps_range(&meta, k[1], k[2]));
	for (i = 0; i < 3; i++)
		free((char *) k[i].data);
}

static void
file_header(FuzzIn *in)
{
	uint8_t kind = fuzz_u8(in) & 7;
	size_t len = fuzz_u8(in) & 1 ? KV_FILE_HEADER_BYTES : in->left;
	char *buf = fuzz_bytes(in, &len), again[KV_FILE_HEADER_BYTES];
	KvFileHeader h;
	KvError err;

	if (kv_file_header_decode(buf, len, (KvFileKind) kind, 1, &fuzz_identity,
							  FUZZ_FILE_NO, &h, &err) == KV_OK)
	{
		FUZZ_CHECK(h.file_no == FUZZ_FILE_NO && h.kind == kind);
		kv_file_header_encode(&h, again);
		FUZZ_CHECK(memcmp(buf, again, KV_FILE_HEADER_BYTES) == 0);
	}
	free(buf);
}

static void
file_name(FuzzIn *in)
{
	char text[KV_NAME_MAX];
	size_t len = in->left;
	char *name = fuzz_bytes(in, &len);
	uint64_t file_no = 0;
	KvNameKind kind;

	name = realloc(name, len + 1);
	FUZZ_CHECK(name != NULL);
	name[len] = '\0';
	kind = kv_file_name_parse(name, &file_no);
	if (kind != KV_NAME_OTHER)
	{
		/* exactly the names that we would write */
		kv_file_name(text, kind, file_no);
		FUZZ_CHECK(strcmp(text, name) == 0);
	}
	free(name);
}

static void
settle(FuzzIn *in)
{
	size_t len = in->left;
	char *payload = fuzz_bytes(in, &len), *again;
	KvSettle s;
	KvError err;
	uint64_t *xids;
	uint32_t i;

	if (kv_settle_decode(kv_slice(payload, len), &s, &err) == KV_OK)
	{
		xids = malloc((s.n_aborted + 1) * sizeof(*xids));
		again = malloc(len);
		FUZZ_CHECK(xids != NULL && again != NULL);
		for (i = 0; i < s.n_aborted; i++)
			xids[i] = kv_settle_aborted(&s, i);
		FUZZ_CHECK(kv_settle_size(s.n_aborted) == len);
		kv_settle_encode(again, s.csn_through, xids, s.n_aborted);
		FUZZ_CHECK(memcmp(again, payload, len) == 0);
		free(again);
		free(xids);
	}
	free(payload);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static void (*const parts[])(FuzzIn *) = {numbers,	   order,	  bounds,
											  file_header, file_name, settle};
	FuzzIn in = {data, size};

	parts[fuzz_u8(&in) % 6](&in);
	return 0;
}

void
fuzz_make_seeds(void)
{
	static const char numbers_seed[] = "\0\x7f\x80\1\xff\xff\xff\xff\xff\xff"
									   "\xff\xff\xff\1\0\0\0\0";
	static const char order_seed[] = "\1\3\7abc\2\7ab\3\3abc";
	KvFileHeader h = {.kind = KV_FILE_SST,
					  .version = 1,
					  .identity = fuzz_identity,
					  .file_no = FUZZ_FILE_NO,
					  .salt = FUZZ_SALT};
	uint64_t xids[] = {7, 8};
	char seed[128] = {0};

	fuzz_seed("numbers", numbers_seed, sizeof(numbers_seed) - 1);
	fuzz_seed("order", order_seed, sizeof(order_seed) - 1);
	fuzz_seed("bounds", "\2\x1f\2bc\x20\0\x30\1z", 10);
	seed[0] = 3;
	seed[1] = KV_FILE_SST;
	seed[2] = 1;
	kv_file_header_encode(&h, seed + 3);
	fuzz_seed("header", seed, 3 + KV_FILE_HEADER_BYTES);
	fuzz_seed("name_wal",
			  "\4"
			  "12.wal",
			  7);
	fuzz_seed("name_manifest",
			  "\4"
			  "MANIFEST-345",
			  13);
	seed[0] = 5;
	kv_settle_encode(seed + 1, 99, xids, 2);
	fuzz_seed("settle", seed, 1 + kv_settle_size(2));
}
