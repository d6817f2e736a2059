/* SPDX-License-Identifier: PostgreSQL */
/*
 * ordered_test.c - the tree's shape: how full its nodes get, what they skip
 * of their keys, and what a reader does with a node that never gets ready.
 */
#include "harness.h"

#include "engine/base/coding.h"
#include "engine/mem/ordered.h"

typedef struct Tree
{
	KvMem *mem;
	uint32_t batch;
} Tree;

static Tree
new_tree(size_t bytes)
{
	Tree t = {.mem = aligned_alloc(64, bytes)};

	KV_REQUIRE(t.mem != NULL);
	kv_mem_init(t.mem, bytes, 1);
	KV_REQUIRE(kv_mem_begin_batch(t.mem, 1, 1, 0, KV_XACT_COMMITTED,
								  &t.batch) == KV_OK);
	return t;
}

static KvStatus
add(Tree *t, KvSlice key)
{
	KvEntry e = {.key = key, .value = kv_slice("v", 1), .kind = KV_KIND_PUT};

	return kv_mem_add(t->mem, t->batch, &e);
}

/* store id, then number as text behind a word */
static KvSlice
text_key(uint32_t store, const char *word, uint32_t number, char *buf)
{
	kv_store_be32(buf, store);
	return kv_slice(buf, 4 + (size_t) sprintf(buf + 4, "%s%09u", word,
											  (unsigned) number));
}

typedef struct Shape
{
	int leaves;
	int entries;
	int ties; /* neighbours in a leaf with equal heads */
	int depth;
} Shape;

static Shape
shape_of(const KvMem *mem)
{
	Shape s = {0};
	uint32_t off = kv_acquire32(&mem->root);
	const KvNode *node = kv_mem_ptr(mem, off);

	for (s.depth = 1; kv_shape_level(node->shape) > 0; s.depth++)
		node = kv_mem_ptr(mem, kv_acquire32(&node->child[0]));
	for (;;)
	{
		int count = kv_shape_count(node->shape);
		int i;

		s.leaves++;
		s.entries += count;
		for (i = 1; i < count; i++)
			s.ties += node->slot[i] >> 32 == node->slot[i - 1] >> 32;
		if (node->next == 0)
			break;
		node = kv_mem_ptr(mem, node->next);
	}
	KV_CHECK_STATUS(kv_mem_check(mem, NULL), KV_OK);
	KV_CHECK_EQ(s.entries, kv_mem_entries(mem));
	return s;
}

/* in percent */
static int
fill_of(Shape s)
{
	return s.entries * 100 / (s.leaves * KV_LEAF_SLOTS);
}

#define ROWS 20000

KV_TEST(ascending_keys_fill_their_leaves)
{
	Tree t = new_tree(8u << 20);
	char buf[64];
	uint32_t i;

	for (i = 0; i < ROWS; i++)
		KV_REQUIRE(add(&t, text_key(1, "user:", i, buf)) == KV_OK);
	KV_CHECK(fill_of(shape_of(t.mem)) >= 98);
	free(t.mem);
}

KV_TEST(ascending_keys_in_the_middle_do_too)
{
	Tree t = new_tree(8u << 20);
	char buf[64];
	uint32_t i;

	/* another store lies behind, and now and then something comes between */
	for (i = 0; i < 1000; i++)
		KV_REQUIRE(add(&t, text_key(9, "user:", i, buf)) == KV_OK);
	for (i = 0; i < ROWS; i++)
	{
		KV_REQUIRE(add(&t, text_key(1, "user:", i, buf)) == KV_OK);
		if (i % 1000 == 0)
			KV_REQUIRE(add(&t, text_key(9, "vser:",
										(uint32_t) kv_rand_below(1000000),
										buf)) != KV_FULL);
	}
	KV_CHECK(fill_of(shape_of(t.mem)) >= 95);
	free(t.mem);
}

KV_TEST(other_orders_fill_half_at_least)
{
	Tree random = new_tree(8u << 20);
	Tree descending = new_tree(8u << 20);
	char buf[64];
	uint32_t i;

	for (i = 0; i < ROWS; i++)
	{
		KvStatus status = add(&random,
							  text_key(1, "user:",
									   (uint32_t) kv_rand() % 999999, buf));

		KV_REQUIRE(status == KV_OK || status == KV_EXISTS);
		KV_REQUIRE(add(&descending, text_key(1, "", ROWS - i, buf)) == KV_OK);
	}
	KV_CHECK(fill_of(shape_of(random.mem)) >= 63);
	KV_CHECK(fill_of(shape_of(descending.mem)) >= 48);
	free(random.mem);
	free(descending.mem);
}

/* Lookups compare keys only where heads are equal: that must be rare. */
KV_TEST(heads_tell_text_keys_apart)
{
	Tree t = new_tree(8u << 20);
	char buf[128];
	uint32_t i;
	Shape s;

	for (i = 0; i < ROWS; i++)
	{
		uint32_t n = (uint32_t) (i * UINT64_C(2654435761) % ROWS);
		uint32_t store = 1 + n % 2;

		KV_REQUIRE(add(&t, text_key(store,
									n % 3 ? "a/rather/long/common/path/"
										  : "b/another/",
									n, buf)) == KV_OK);
	}
	s = shape_of(t.mem);
	KV_CHECK(s.ties < s.entries / 50);
	free(t.mem);
}

static size_t
root_skip(const Tree *t)
{
	const KvNode *root = kv_mem_ptr(t->mem, kv_acquire32(&t->mem->root));

	return kv_shape_skip(root->shape);
}

/* What all keys share is skipped at the edges; it shrinks with each key
 * that does not share it, wherever that key belongs. */
KV_TEST(the_common_beginning_shrinks)
{
	static const char *const strange[] = {
		"\0\0\0\1prefix-of-many-kex",
		"\0\0\0\1prefix-of-mANY",
		"\0\0\0\1prefix-o",
		"\0\0\0\1z",
		"\0\0\0\2prefix-of-many-keys",
		"\0\0\0\0",
		"\xff",
	};
	static const size_t length[] = {22, 18, 12, 5, 23, 4, 1};
	static const size_t common[] = {21, 15, 12, 4, 3, 3, 0};
	Tree t = new_tree(1u << 20);
	char buf[64];
	uint32_t i;
	uint32_t n = 0;

	for (i = 0; i < sizeof(length) / sizeof(length[0]); i++)
	{
		KvTarget target = {.csn = 1};
		KvCursor cursor;
		uint32_t until = n + 200;

		for (; n < until; n++)
			KV_REQUIRE(add(&t, text_key(1, "prefix-of-many-keys", n * 7919,
										buf)) == KV_OK);
		KV_CHECK(root_skip(&t) >= common[i]);
		KV_REQUIRE(add(&t, kv_slice(strange[i], length[i])) == KV_OK);
		KV_CHECK_EQ(root_skip(&t), common[i]);
		KV_CHECK_STATUS(kv_mem_check(t.mem, NULL), KV_OK);
		KV_CHECK_STATUS(add(&t, kv_slice(strange[i], length[i])), KV_EXISTS);
		target.key = kv_slice(strange[i], length[i]);
		KV_CHECK_STATUS(kv_ordered_seek(t.mem, 1, &target, false, &cursor),
						KV_OK);
	}
	free(t.mem);
}

/* Every small tree, checked after every insertion. */
KV_TEST(stays_in_order_at_every_step)
{
	int round;

	for (round = 0; round < 4; round++)
	{
		Tree t = new_tree(1u << 20);
		int i;

		for (i = 0; i < 600 && kv_test_failures() == 0; i++)
		{
			char buf[64];
			size_t len = 1 + kv_rand_below(round < 2 ? 3 : 12);
			size_t j;

			for (j = 0; j < len; j++)
				buf[j] = "\0\1ab\xff"[kv_rand_below(round % 2 ? 2 : 5)];
			KV_CHECK(add(&t, kv_slice(buf, len)) != KV_CORRUPT);
			KV_CHECK_STATUS(kv_mem_check(t.mem, NULL), KV_OK);
		}
		free(t.mem);
	}
}

static bool
never_called(void *arg, const KvEntry *entry)
{
	(void) arg, (void) entry;
	KV_CHECK(false);
	return true;
}

/* A writer that is stopped inside a change: readers come back in the end. */
KV_TEST(a_node_that_stays_odd_is_no_endless_loop)
{
	Tree t = new_tree(65536);
	KvNode *root;

	KV_REQUIRE(add(&t, kv_slice("abcde", 5)) == KV_OK);
	root = kv_mem_ptr(t.mem, kv_acquire32(&t.mem->root));
	root->version++;
	KV_CHECK_STATUS(kv_mem_get(t.mem, 1, kv_slice("abcde", 5), never_called,
							   NULL),
					KV_RETRY);
	free(t.mem);
}

KV_TEST(a_damaged_node_is_no_endless_loop)
{
	Tree t = new_tree(65536);
	KvNode *root = kv_mem_ptr(t.mem, kv_acquire32(&t.mem->root));

	KV_REQUIRE(add(&t, kv_slice("abcde", 5)) == KV_OK);
	root->shape |= 0xff;
	KV_CHECK_STATUS(kv_mem_get(t.mem, 1, kv_slice("abcde", 5), never_called,
							   NULL),
					KV_CORRUPT);
	KV_CHECK_STATUS(kv_mem_check(t.mem, NULL), KV_CORRUPT);
	free(t.mem);
}
