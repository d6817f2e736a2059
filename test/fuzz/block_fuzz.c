/* SPDX-License-Identifier: PostgreSQL */
/*
 * block_fuzz.c - the block iterator beside a linear decode.
 *
 * Input: a byte of flags, then a block of any content, or (FUZZ_BUILD)
 * entries of which a block is built.  A block that a linear decode finds
 * sound must answer every move as the list of its entries does; of any other
 * it is asked that moves end, and that prev goes backwards.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/sst/block_builder.h"
#include "engine/sst/block_reader.h"
#include "engine/sst/sst_format.h"
#include "fuzz.h"

#define FUZZ_BUILD	1
#define FUZZ_INDEX	2 /* an index block: csn complemented */
#define MAX_ENTRIES 2000
#define MAX_PROBES	60 /* moves from so many places */
#define KEY_CAP		600

typedef struct Item
{
	KvSlice key, value; /* key malloc'ed */
	uint64_t csn, xid;
	int64_t expires_us;
	uint8_t kind;
	const char *at; /* in the block; NULL: not decoded from one */
} Item;

typedef struct List
{
	Item items[MAX_ENTRIES];
	size_t n;
} List;

static List list;

static void
list_clear(void)
{
	while (list.n > 0)
		free((char *) list.items[--list.n].key.data);
}

static Item *
list_add(KvSlice key)
{
	Item *item = &list.items[list.n++];
	char *copy = malloc(key.len > 0 ? key.len : 1);

	FUZZ_CHECK(copy != NULL);
	if (key.len > 0)
		memcpy(copy, key.data, key.len);
	memset(item, 0, sizeof(*item));
	item->key = kv_slice(copy, key.len);
	return item;
}

/* false: the block is damaged, or has more entries than are looked at */
static bool
decode_linearly(KvCursor *c)
{
	for (kv_cursor_first(c); c->valid; kv_cursor_next(c))
	{
		Item *item;

		if (list.n == MAX_ENTRIES)
			return false;
		FUZZ_CHECK(c->entry->key.len <= KV_MAX_KEY);
		item = list_add(c->entry->key);
		item->value = c->entry->value;
		item->csn = c->entry->csn;
		item->xid = c->entry->xid;
		item->expires_us = c->entry->expires_us;
		item->kind = c->entry->kind;
		item->at = c->at;
	}
	return c->status == KV_OK;
}

/* ---- what docs/format_sst.md asks of a block ---- */

static bool
array_is_sound(const KvBlock *b, uint32_t i, const Item *item)
{
	char head[8] = {0};
	size_t left = item->key.len - b->common;

	if (left > 0)
		memcpy(head, item->key.data + b->common, left < 8 ? left : 8);
	return memcmp(b->limit + (size_t) i * 8, head, 8) == 0 &&
		   item->at[1] == 0; /* nothing shared */
}

static bool
is_sound(const KvBlock *b)
{
	uint32_t restart = 0, since = 0;
	size_t i;

	for (i = 0; i < list.n; i++)
	{
		const Item *item = &list.items[i], *before = item - 1;

		if (item->key.len < b->common ||
			memcmp(item->key.data, list.items[0].key.data, b->common) != 0)
			return false;
		if (i > 0 && kv_entry_compare(before->key, before->csn, item->key,
									  item->csn) >= 0)
			return false;
		since++;
		if (restart < b->n_restarts &&
			kv_load_u32(b->offsets + (size_t) restart * 4) ==
				(size_t) (item->at - b->data))
		{
			if (!array_is_sound(b, restart++, item))
				return false;
			since = 0;
		}
		if (since >= KV_MAX_INTERVAL)
			return false;
	}
	return restart == b->n_restarts;
}

/* ---- moves ---- */

static void
expect_at(const KvCursor *c, size_t i)
{
	const Item *item = &list.items[i];

	FUZZ_CHECK(c->status == KV_OK);
	if (i >= list.n)
	{
		FUZZ_CHECK(!c->valid);
		return;
	}
	FUZZ_CHECK(c->valid);
	FUZZ_CHECK(kv_slice_equal(c->entry->key, item->key));
	FUZZ_CHECK(kv_slice_equal(c->entry->value, item->value));
	FUZZ_CHECK(c->entry->csn == item->csn && c->entry->xid == item->xid &&
			   c->entry->kind == item->kind &&
			   c->entry->expires_us == item->expires_us);
	FUZZ_CHECK(c->entry->state ==
			   (item->xid == 0 ? KV_XACT_COMMITTED : KV_XACT_IN_DOUBT));
}

/* How many entries are before (key, csn). */
static size_t
lower_bound(KvSlice key, uint64_t csn)
{
	size_t i = 0;

	while (i < list.n && kv_entry_compare(list.items[i].key, list.items[i].csn,
										  key, csn) < 0)
		i++;
	return i;
}

static void
expect_seeks(KvCursor *c, KvSlice key, uint64_t csn)
{
	size_t i = lower_bound(key, csn);

	kv_cursor_seek(c, key, csn);
	expect_at(c, i);
	if (c->valid)
	{
		kv_cursor_prev(c);
		expect_at(c, i > 0 ? i - 1 : list.n);
	}
	kv_cursor_floor(c, key, csn);
	if (i < list.n &&
		kv_entry_compare(list.items[i].key, list.items[i].csn, key, csn) == 0)
		expect_at(c, i);
	else
		expect_at(c, i > 0 ? i - 1 : 0);
	if (c->valid)
		kv_cursor_next(c);
}

static void
compare_with_list(KvCursor *c)
{
	size_t step = list.n / MAX_PROBES + 1, i;
	char key[KEY_CAP + 1];

	kv_cursor_first(c);
	for (i = 0; i < list.n; i++, kv_cursor_next(c))
		expect_at(c, i);
	expect_at(c, list.n);
	kv_cursor_last(c);
	for (i = list.n; i > 0; i--, kv_cursor_prev(c))
		expect_at(c, i - 1);
	expect_at(c, list.n);
	expect_seeks(c, kv_slice("", 0), UINT64_MAX);
	for (i = 0; i < list.n; i += step)
	{
		const Item *item = &list.items[i];

		expect_seeks(c, item->key, UINT64_MAX);
		expect_seeks(c, item->key, item->csn);
		expect_seeks(c, item->key, item->csn - 1);
		expect_seeks(c, item->key, 0);
		if (item->key.len > 0 && item->key.len <= KEY_CAP)
		{
			memcpy(key, item->key.data, item->key.len);
			key[item->key.len] = 0;
			expect_seeks(c, kv_slice(key, item->key.len + 1), UINT64_MAX);
			expect_seeks(c, kv_slice(key, item->key.len - 1), 5);
			key[item->key.len - 1]++;
			expect_seeks(c, kv_slice(key, item->key.len), UINT64_MAX);
		}
	}
}

/* A block that may be anything: every move comes to an end. */
static void
move_around(KvCursor *c)
{
	size_t step = list.n / MAX_PROBES + 1, i;
	const char *at = NULL;

	kv_cursor_last(c);
	for (i = 0; c->valid && i < MAX_ENTRIES; i++, kv_cursor_prev(c))
	{
		FUZZ_CHECK(at == NULL || c->at < at);
		at = c->at;
	}
	FUZZ_CHECK(c->status == KV_OK || c->status == KV_CORRUPT);
	for (i = 0; i < list.n; i += step)
	{
		kv_cursor_seek(c, list.items[i].key, list.items[i].csn);
		if (c->valid)
			kv_cursor_prev(c);
		kv_cursor_floor(c, list.items[i].key, list.items[i].csn);
		if (c->valid)
			kv_cursor_next(c);
		FUZZ_CHECK(c->status == KV_OK || c->status == KV_CORRUPT);
	}
}

static void
any_block(SimEnv *sim, FuzzIn *in, bool index)
{
	KvSstOverride none = {0, 0};
	size_t len = in->left;
	char *block = fuzz_bytes(in, &len);
	KvCursor c;

	kv_cursor_init(&c, &sim->env, index, none);
	if (kv_cursor_open(&c, block, len))
	{
		if (decode_linearly(&c) && is_sound(&c.block))
			compare_with_list(&c);
		else
			move_around(&c);
	}
	kv_cursor_free(&c);
	free(block);
}

/* ---- a block of entries that the input tells ---- */

static int
item_order(const void *a, const void *b)
{
	const Item *x = a, *y = b;

	return kv_entry_compare(x->key, x->csn, y->key, y->csn);
}

static void
draw_entries(FuzzIn *in, char *value)
{
	char key[KEY_CAP];
	size_t len = 0, i, n;

	while (in->left > 0 && list.n < MAX_ENTRIES)
	{
		uint8_t what = fuzz_u8(in);
		size_t shared = fuzz_u8(in) & 0x7f, more = what >> 4;
		Item *item;

		shared = shared < len ? shared : len;
		if ((what & 15) == 15)
			more = KEY_CAP - shared;
		for (len = shared; len < shared + more; len++)
			key[len] = (char) ((what & 15) == 15 ? what : fuzz_u8(in));
		item = list_add(kv_slice(key, len));
		item->csn = what & 8 ? fuzz_u64(in) : fuzz_u8(in) & 3;
		item->xid = what & 4 ? fuzz_u64(in) : fuzz_u8(in) & 1;
		item->kind = (uint8_t) (1 + what % 3);
		if (item->kind == KV_KIND_PUT_EXPIRING)
			item->expires_us = (int64_t) fuzz_u64(in);
		if (item->kind != KV_KIND_DELETE)
			item->value = kv_slice(value, fuzz_u8(in));
	}
	qsort(list.items, list.n, sizeof(Item), item_order);
	for (i = n = 0; i < list.n; i++)
	{
		if (n > 0 && item_order(&list.items[n - 1], &list.items[i]) == 0)
			free((char *) list.items[i].key.data);
		else
			list.items[n++] = list.items[i];
	}
	list.n = n;
}

static void
built_block(SimEnv *sim, FuzzIn *in, bool index)
{
	KvSstOverride none = {0, 0};
	uint32_t interval = 1 + fuzz_u8(in) % 32;
	KvBlockBuilder b;
	KvSlice payload;
	KvCursor c;
	char value[256];
	char *copy;
	size_t i;

	memset(value, 'v', sizeof(value));
	draw_entries(in, value);
	kv_block_builder_init(&b, &sim->env, interval);
	for (i = 0; i < list.n; i++)
	{
		const Item *item = &list.items[i];
		KvEntry e = {.key = item->key,
					 .value = item->value,
					 .csn = index ? ~item->csn : item->csn,
					 .xid = item->xid,
					 .expires_us = item->expires_us,
					 .kind = item->kind};
		size_t before = kv_block_builder_size(&b);
		size_t cost = kv_block_builder_cost(&b, &e);

		FUZZ_CHECK(kv_block_builder_add(&b, &e));
		FUZZ_CHECK(kv_block_builder_size(&b) - before <= cost);
	}
	payload = kv_block_builder_finish(&b);
	FUZZ_CHECK(payload.data != NULL);
	copy = malloc(payload.len);
	FUZZ_CHECK(copy != NULL);
	memcpy(copy, payload.data, payload.len);
	kv_cursor_init(&c, &sim->env, index, none);
	FUZZ_CHECK(kv_cursor_open(&c, copy, payload.len));
	compare_with_list(&c);
	kv_cursor_free(&c);
	free(copy);
	kv_block_builder_free(&b);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FuzzIn in = {data, size};
	SimEnv *sim = fuzz_begin();
	uint8_t flags = fuzz_u8(&in);

	if (flags & FUZZ_BUILD)
		built_block(sim, &in, (flags & FUZZ_INDEX) != 0);
	else
		any_block(sim, &in, (flags & FUZZ_INDEX) != 0);
	list_clear();
	fuzz_end(sim);
	return 0;
}

/* ---- seeds ---- */

static void
seed_block(const char *name, uint32_t n, uint32_t interval, char flags)
{
	SimEnv *sim = fuzz_begin();
	KvBlockBuilder b;
	KvSlice payload;
	char key[8], seed[4096];
	uint32_t i;

	kv_block_builder_init(&b, &sim->env, interval);
	for (i = 0; i < n; i++)
	{
		KvEntry e = {.csn = 9 - i % 3,
					 .xid = i % 4 == 1 ? 7 : 0,
					 .kind = (uint8_t) (1 + i % 3)};

		memcpy(key, "\0\0\0\1k00", 7);
		key[5] = (char) ('0' + i / 30);
		key[6] = (char) ('0' + i / 3 % 10);
		e.key = kv_slice(key, 7);
		if (e.kind != KV_KIND_DELETE)
			e.value = kv_slice("valuevalue", 10);
		if (e.kind == KV_KIND_PUT_EXPIRING)
			e.expires_us = 1000 + i;
		FUZZ_CHECK(kv_block_builder_add(&b, &e));
	}
	payload = kv_block_builder_finish(&b);
	seed[0] = flags;
	FUZZ_CHECK(payload.len < sizeof(seed));
	memcpy(seed + 1, payload.data, payload.len);
	fuzz_seed(name, seed, payload.len + 1);
	kv_block_builder_free(&b);
	fuzz_end(sim);
}

void
fuzz_make_seeds(void)
{
	static const char built[] = "\1\3\x21\0ab\1\0\x22\1cd\2\1\x31\2xyz\1\0\5"
								"\x18\0q\1\2\3\4\5\6\7\x8\1\0\x2f\0\1\0";

	seed_block("empty", 0, 16, 0);
	seed_block("data", 60, 16, 0);
	seed_block("index", 40, 1, FUZZ_INDEX);
	fuzz_seed("built", built, sizeof(built) - 1);
}
