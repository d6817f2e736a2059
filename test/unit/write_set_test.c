/* SPDX-License-Identifier: PostgreSQL */
/*
 * write_set_test.c - a transaction's own writes, in memory only.
 */
#include "harness.h"

#include "engine/kv_engine.h"
#include "write_set_model.h"

KV_TEST(equals_a_list_of_all_writes)
{
	WriteSetPlan plan = {.env = kv_test_env(),
						 .max_bytes = 64u << 20,
						 .keys = 150,
						 .value_bytes = 200,
						 .ops = 300};
	int i;

	for (i = 0; i < 20; i++)
		(void) write_set_model_run(&plan);
	plan.ops = kv_test_long() ? 20000 : 5000;
	(void) write_set_model_run(&plan);
}

static bool
has(KvWriteSet *ws, KvSlice key, uint32_t limit, KvEntry *out)
{
	KvStatus status = kv_write_set_get(ws, key, limit, out, NULL);

	KV_CHECK(status == KV_OK || status == KV_NOT_FOUND);
	return status == KV_OK;
}

static KvEntry
put_of(const char *key, KvSlice value)
{
	KvEntry e = {.key = kv_slice(key, strlen(key)),
				 .value = value,
				 .kind = KV_KIND_PUT};

	return e;
}

KV_TEST(rolled_back_loops_cost_nothing_but_their_writes)
{
	KvWriteSet *ws;
	KvEntry e = put_of("abcd1", kv_slice("v", 1));
	KvEntry kept = put_of("abcd0", kv_slice("w", 1));
	int64_t blocks;
	uint32_t i;
	KvEntry out;

	KV_REQUIRE(kv_write_set_open(kv_test_env(), 64u << 20, &ws) == KV_OK);
	KV_REQUIRE(kv_write_set_add(ws, 0, &kept, NULL) == KV_OK);
	blocks = kv_test_env_blocks();
	for (i = 1; i < 50000; i++)
	{
		KV_REQUIRE(kv_write_set_add(ws, i, &e, NULL) == KV_OK);
		kv_write_set_kill(ws, i);
	}
	/* the filter of a set with more than a few writes, and nothing else */
	KV_CHECK_EQ(kv_test_env_blocks(), blocks + 1);
	KV_CHECK(!has(ws, e.key, UINT32_MAX, &out));
	KV_CHECK(has(ws, kept.key, UINT32_MAX, &out));
	/* a stamp that was killed may be used again */
	KV_REQUIRE(kv_write_set_add(ws, 7, &e, NULL) == KV_OK);
	KV_CHECK(has(ws, e.key, UINT32_MAX, &out));
	kv_write_set_kill(ws, 0);
	KV_CHECK(!has(ws, kept.key, UINT32_MAX, &out));
	kv_write_set_free(ws);
}

/* Keys from before the filter and after it, of a set with few and many bits. */
KV_TEST(the_filter_hides_no_key)
{
	size_t max[] = {(size_t) 256 << 10, (size_t) 64 << 20};
	char name[32];
	KvEntry out;
	int m, i;

	for (m = 0; m < 2; m++)
	{
		KvWriteSet *ws;
		int n = 0;

		KV_REQUIRE(kv_write_set_open(kv_test_env(), max[m], &ws) == KV_OK);
		for (;; n++)
		{
			KvEntry e;

			snprintf(name, sizeof(name), "abcd%d", n);
			e = put_of(name, kv_slice("v", 1));
			if (n == 20000 || kv_write_set_add(ws, 0, &e, NULL) != KV_OK)
				break;
			if (n % 500 == 0)
				kv_write_set_kill(ws, 1); /* nothing */
		}
		KV_CHECK(n > 2000);
		for (i = 0; i < 2 * n; i++)
		{
			snprintf(name, sizeof(name), "abcd%d", i);
			KV_CHECK_EQ(has(ws, kv_slice(name, strlen(name)), 1, &out), i < n);
		}
		kv_write_set_free(ws);
	}
}

KV_TEST(full_and_large)
{
	KvWriteSet *ws;
	size_t max = 3u << 20;
	char *value = calloc(1, max);
	KvEntry large = put_of("abcdlarge", kv_slice(value, 2u << 20));
	KvEntry small = put_of("abcdsmall", kv_slice(value, 100));
	KvError err;
	KvEntry out;

	KV_REQUIRE(kv_write_set_open(kv_test_env(), max, &ws) == KV_OK);
	KV_CHECK_OK(kv_write_set_add(ws, 0, &small, &err), &err);
	KV_CHECK(kv_write_set_bytes(ws) < 16384);
	KV_CHECK_OK(kv_write_set_add(ws, 0, &large, &err), &err);
	KV_CHECK_STATUS(kv_write_set_add(ws, 1, &large, &err), KV_FULL);
	KV_CHECK(strstr(err.message, "3145728") != NULL);
	/* still usable */
	KV_CHECK_OK(kv_write_set_add(ws, 1, &small, &err), &err);
	KV_CHECK(has(ws, large.key, 1, &out));
	KV_CHECK_EQ(out.value.len, 2u << 20);
	KV_CHECK_EQ(kv_write_set_entries(ws), 3);
	kv_write_set_free(ws);
	free(value);
}

/* Every allocation fails once: a status, no leak, and the set goes on. */
KV_TEST(out_of_memory)
{
	char *value = calloc(1, 200000);
	KvEntry e = put_of("abcd", kv_slice(value, 200000));
	uint64_t n;

	for (n = 1; n < 8; n++)
	{
		KvWriteSet *ws = NULL;
		KvIter *it = NULL;
		KvStatus status;
		KvEntry out;

		kv_test_env_fail_alloc(n);
		status = kv_write_set_open(kv_test_env(), 64u << 20, &ws);
		if (status != KV_OK)
		{
			KV_CHECK_STATUS(status, KV_NO_MEMORY);
			continue;
		}
		if (kv_write_set_add(ws, 0, &e, NULL) != KV_OK)
			KV_CHECK_STATUS(kv_write_set_add(ws, 0, &e, NULL), KV_OK);
		KV_CHECK(has(ws, e.key, 1, &out));
		status = kv_write_set_iter(ws, 1, &it);
		if (status == KV_OK)
		{
			it->ops->first(it);
			if (!it->valid)
				KV_CHECK_STATUS(it->status, KV_NO_MEMORY);
			it->ops->last(it);
			if (!it->valid)
				KV_CHECK_STATUS(it->status, KV_NO_MEMORY);
			it->ops->close(it);
		}
		kv_write_set_free(ws);
	}
	free(value);
}
