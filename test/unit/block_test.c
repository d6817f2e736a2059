/* SPDX-License-Identifier: PostgreSQL */
/*
 * block_test.c - sorted blocks in memory: every move against an array, and
 * random bytes.
 */
#include "harness.h"

#include "engine/sst/block_builder.h"
#include "engine/sst/block_reader.h"
#include "engine/sst/compress.h"
#include "engine/sst/sst_format.h"

#define MAX_ROWS 200

static const KvSstOverride no_override = {0, 0};

typedef struct Row
{
	char key[12];
	size_t key_len;
	uint64_t csn;
} Row;

typedef struct Rows
{
	Row row[MAX_ROWS];
	size_t n;
} Rows;

static int
compare_rows(const void *a, const void *b)
{
	const Row *x = a;
	const Row *y = b;

	return kv_entry_compare(kv_slice(x->key, x->key_len), x->csn,
							kv_slice(y->key, y->key_len), y->csn);
}

static Row
random_row(void)
{
	Row r = {"", kv_rand_below(12), kv_rand_below(4)};
	size_t i;

	/* zeros: the prefixes of keys that end early are filled with them */
	for (i = 0; i < r.key_len; i++)
		r.key[i] = (char) (i < 2 ? 'a' : kv_rand_below(2) * 255);
	return r;
}

static void
random_rows(Rows *rows, size_t n)
{
	size_t i;
	size_t kept = 0;

	for (i = 0; i < n; i++)
		rows->row[i] = random_row();
	qsort(rows->row, n, sizeof(Row), compare_rows);
	for (i = 0; i < n; i++)
		if (kept == 0 || compare_rows(&rows->row[kept - 1], &rows->row[i]) != 0)
			rows->row[kept++] = rows->row[i];
	rows->n = kept;
}

static KvSlice
build(KvBlockBuilder *b, const Rows *rows, uint64_t mask)
{
	size_t i;

	for (i = 0; i < rows->n; i++)
	{
		KvEntry e = {0};
		size_t cost;
		size_t before;

		e.key = kv_slice(rows->row[i].key, rows->row[i].key_len);
		e.value = kv_slice("value", i % 6);
		e.csn = rows->row[i].csn ^ mask;
		e.kind = KV_KIND_PUT;
		cost = kv_block_builder_cost(b, &e);
		before = kv_block_builder_size(b);
		KV_CHECK(kv_block_builder_add(b, &e));
		KV_CHECK(kv_block_builder_size(b) <= before + cost);
	}
	return kv_block_builder_finish(b);
}

static void
check_at(const KvCursor *c, const Rows *rows, size_t at)
{
	KV_CHECK_STATUS(c->status, KV_OK);
	KV_CHECK_EQ(c->valid, at < rows->n);
	if (!c->valid || at >= rows->n)
		return;
	KV_CHECK_SLICES(c->entry->key,
					kv_slice(rows->row[at].key, rows->row[at].key_len));
	KV_CHECK_EQ(c->entry->csn, rows->row[at].csn);
	KV_CHECK_SLICES(c->entry->value, kv_slice("value", at % 6));
}

static void
check_searches(KvCursor *c, const Rows *rows)
{
	int tries;

	for (tries = 0; tries < 100; tries++)
	{
		Row r = random_row();
		KvSlice key = kv_slice(r.key, r.key_len);
		size_t at = 0;

		while (at < rows->n && compare_rows(&rows->row[at], &r) < 0)
			at++;
		kv_cursor_seek(c, key, r.csn);
		check_at(c, rows, at);
		if (at == rows->n || compare_rows(&rows->row[at], &r) != 0)
			at = at > 0 ? at - 1 : 0;
		kv_cursor_floor(c, key, r.csn);
		check_at(c, rows, at);
		if (c->valid)
		{
			kv_cursor_prev(c);
			check_at(c, rows, at > 0 ? at - 1 : rows->n);
		}
	}
}

/* The base is the first expiry, whatever it is: 0 is a time too. */
KV_TEST(expiries_around_zero)
{
	static const int64_t times[] = {0, 5, -7, INT64_MIN, INT64_MAX, 0};
	size_t n = sizeof(times) / sizeof(times[0]), i;
	KvEnv *env = kv_test_env();
	KvBlockBuilder b;
	KvSlice payload;
	KvCursor c;
	char key[1];

	kv_block_builder_init(&b, env, KV_DATA_INTERVAL);
	for (i = 0; i < n; i++)
	{
		KvEntry e = {.key = kv_slice(key, 1),
					 .csn = 1,
					 .kind = KV_KIND_PUT_EXPIRING,
					 .expires_us = times[i]};

		key[0] = (char) ('a' + i);
		KV_CHECK(kv_block_builder_add(&b, &e));
	}
	payload = kv_block_builder_finish(&b);
	kv_cursor_init(&c, env, false, no_override);
	KV_REQUIRE(kv_cursor_open(&c, payload.data, payload.len));
	kv_cursor_first(&c);
	for (i = 0; i < n; i++, kv_cursor_next(&c))
	{
		KV_REQUIRE(c.valid);
		KV_CHECK(c.entry->expires_us == times[i]);
	}
	kv_cursor_free(&c);
	kv_block_builder_free(&b);
}

KV_TEST(every_move)
{
	static const uint32_t intervals[] = {1, 2, 16};
	int rounds;

	for (rounds = 0; rounds < 300 && kv_test_failures() == 0; rounds++)
	{
		uint64_t mask = rounds % 2 ? UINT64_MAX : 0;
		KvBlockBuilder b;
		KvCursor c;
		KvSlice block;
		Rows rows;
		size_t i;

		random_rows(&rows, kv_rand_below(MAX_ROWS));
		kv_block_builder_init(&b, kv_test_env(), intervals[rounds % 3]);
		block = build(&b, &rows, mask);
		kv_cursor_init(&c, kv_test_env(), mask != 0, no_override);
		KV_REQUIRE(kv_cursor_open(&c, block.data, block.len));
		kv_cursor_first(&c);
		for (i = 0; i < rows.n; i++)
		{
			check_at(&c, &rows, i);
			kv_cursor_next(&c);
		}
		KV_CHECK(!c.valid);
		kv_cursor_last(&c);
		for (i = rows.n; i > 0; i--)
		{
			check_at(&c, &rows, i - 1);
			kv_cursor_prev(&c);
		}
		KV_CHECK(!c.valid);
		check_searches(&c, &rows);
		kv_cursor_free(&c);
		kv_block_builder_free(&b);
	}
}

/* Random and mutated bytes: no crash, no endless loop. */
KV_TEST(random_bytes)
{
	int rounds = kv_test_long() ? 1000000 : 20000;

	while (rounds-- > 0)
	{
		KvBlockBuilder b;
		KvCursor c;
		KvSlice block;
		Rows rows;
		char *copy;
		int changes = 1 + (int) kv_rand_below(4);
		size_t steps = 0;
		Row r = random_row();

		random_rows(&rows, 1 + kv_rand_below(40));
		kv_block_builder_init(&b, kv_test_env(), 4);
		block = build(&b, &rows, 0);
		copy = malloc(block.len); /* exactly: ASan sees a byte too far */
		memcpy(copy, block.data, block.len);
		while (changes-- > 0)
			copy[kv_rand_below(block.len)] = (char) kv_rand();
		kv_cursor_init(&c, kv_test_env(), false, no_override);
		if (kv_cursor_open(&c, copy, block.len))
		{
			for (kv_cursor_first(&c); c.valid; kv_cursor_next(&c))
				steps++;
			KV_CHECK(steps <= block.len);
			for (kv_cursor_last(&c); c.valid; kv_cursor_prev(&c))
				KV_REQUIRE(++steps <= 3 * block.len);
			kv_cursor_seek(&c, kv_slice(r.key, r.key_len), r.csn);
			kv_cursor_floor(&c, kv_slice(r.key, r.key_len), r.csn);
		}
		kv_cursor_free(&c);
		free(copy);
		kv_block_builder_free(&b);
	}
}

KV_TEST(too_short)
{
	char bytes[KV_SORTED_TAIL] = {0};
	KvBlock block;
	size_t len;

	for (len = 0; len < sizeof(bytes); len++)
		KV_CHECK(!kv_block_parse(&block, bytes, len));
	KV_CHECK(kv_block_parse(&block, bytes, sizeof(bytes)));
	bytes[KV_SORTED_TAIL - 1] = (char) 0xff; /* restart points */
	KV_CHECK(!kv_block_parse(&block, bytes, sizeof(bytes)));
}

/* A block of which n bytes in a thousand are easy. */
static size_t
compressed(size_t n)
{
	void *state = malloc(kv_compress_state_bytes());
	char src[4000], dst[4000];
	size_t i, got;

	for (i = 0; i < sizeof(src); i++)
		src[i] = i < 4 * n ? 'x' : (char) kv_rand();
	KV_CHECK(kv_compress_room(sizeof(src)) <= sizeof(dst));
	got = kv_compress(state, src, sizeof(src), dst);
	free(state);
	return got;
}

KV_TEST(compressed_only_if_it_saves_an_eighth)
{
	size_t got = compressed(180);

	KV_CHECK(got > 0 && got <= 4000 - 4000 / 8);
	KV_CHECK_EQ(compressed(90), 0);
	KV_CHECK_EQ(compressed(20), 0);
}

KV_TEST(compression)
{
	void *state = malloc(kv_compress_state_bytes());
	size_t len;

	for (len = 0; len < 5000; len = len * 3 / 2 + 1)
	{
		char *src = malloc(len + 1);
		char *dst = malloc(kv_compress_room(len) + 1);
		char *back = malloc(len + 1);
		size_t n;
		size_t i;

		for (i = 0; i < len; i++)
			src[i] = (char) kv_rand();
		KV_CHECK_EQ(kv_compress(state, src, len, dst), 0);
		memset(src, 'x', len);
		n = kv_compress(state, src, len, dst);
		KV_CHECK(len < 64 ? n == 0 : n > 0 && n <= kv_compress_room(len));
		if (n > 0)
		{
			KV_CHECK(kv_decompress(dst, n, back, len));
			KV_CHECK(memcmp(src, back, len) == 0);
			KV_CHECK(!kv_decompress(dst, n, back, len - 1));
			KV_CHECK(!kv_decompress(dst, n - 1, back, len));
		}
		free(src);
		free(dst);
		free(back);
	}
	free(state);
}
