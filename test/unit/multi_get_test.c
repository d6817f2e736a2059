/* SPDX-License-Identifier: PostgreSQL */
/*
 * multi_get_test.c - many keys at once give what each alone gives.
 */
#include "db_support.h"
#include "engine/base/coding.h"
#include "harness.h"

#define KEYS 700 /* that are ever written; some are asked for beyond */
#define ASK	 150

typedef struct Answers
{
	char bytes[ASK][48];
	KvSlice keys[ASK];
	uint32_t n, calls[ASK];
	char value[ASK][64];
	KvStatus answer;
} Answers;

static KvStatus
take(void *arg, uint32_t i, const KvEntry *e)
{
	Answers *a = arg;

	KV_REQUIRE(i < a->n && e->value.len < sizeof(a->value[i]));
	a->calls[i]++;
	memcpy(a->value[i], e->value.data, e->value.len);
	a->value[i][e->value.len] = '\0';
	return a->answer;
}

static KvSlice
key_of(char *buf, int i)
{
	kv_store_be32(buf, 1);
	return kv_slice(buf, 4 + (size_t) sprintf(buf + 4, "%03d/%05d", i % 7, i));
}

static void
ask(TestDb *t, const KvReadView *view, Answers *a)
{
	KvValue value = {0};
	KvError err;
	uint32_t i;

	memset(a->calls, 0, sizeof(a->calls));
	a->answer = KV_OK;
	a->n = (uint32_t) kv_rand_below(ASK);
	for (i = 0; i < a->n; i++)
		a->keys[i] = key_of(a->bytes[i], (int) kv_rand_below(KEYS + 50));
	if (a->n > 3) /* the same one again */
		a->keys[a->n - 1] = a->keys[0];
	KV_CHECK_OK(kv_multi_get(t->db, view, a->keys, a->n, take, a, &err), &err);
	for (i = 0; i < a->n; i++)
	{
		KvStatus st = kv_get(t->db, view, a->keys[i], &value, &err);

		KV_CHECK_EQ(a->calls[i], st == KV_OK);
		if (st == KV_OK && a->calls[i] == 1)
			KV_CHECK_SLICES(kv_slice(a->value[i], strlen(a->value[i])),
							kv_slice(value.data, value.len));
	}
	kv_value_free(t->env, &value);
}

static void
write_some(TestDb *t)
{
	char key[48], value[64];
	int i, n = (int) kv_rand_below(200);

	for (i = 0; i < n; i++)
	{
		/* test_put adds the store itself */
		(void) key_of(key, (int) kv_rand_below(KEYS));
		snprintf(value, sizeof(value), "%d-%0*d", (int) kv_rand_below(1000),
				 (int) kv_rand_below(40), i);
		if (kv_rand_below(4) == 0)
			test_delete(t, key + 4);
		else
			test_put(t, key + 4, value);
	}
}

KV_TEST(every_key_as_a_get_of_it)
{
	KvReadView now = {UINT64_MAX, NULL, NULL, 0};
	Answers *a = calloc(1, sizeof(*a));
	TestDb t;
	KvError err;
	int round;

	test_db_init(&t);
	KV_REQUIRE_OK(test_db_open(&t, &err), &err);
	ask(&t, &now, a);
	for (round = 0; round < 60; round++)
	{
		KvReadView then = now;

		then.max_csn = kv_rand_below(kv_snapshot_csn(t.db) + 1);
		write_some(&t);
		switch (kv_rand_below(6))
		{
		case 0:
			test_flush(&t);
			break;
		case 1:
			test_compact(&t);
			break;
		case 2:
			test_db_kill(&t);
			KV_REQUIRE_OK(test_db_open(&t, &err), &err);
			break;
		}
		ask(&t, &now, a);
		/* an old view of what may be dropped: the same answer all the same */
		ask(&t, &then, a);
	}
	test_db_free(&t);
	free(a);
}

KV_TEST(a_failure_of_the_caller_ends_it)
{
	KvReadView view = {UINT64_MAX, NULL, NULL, 0};
	Answers *a = calloc(1, sizeof(*a));
	TestDb t;
	KvError err;
	uint32_t i, calls = 0;

	test_db_init(&t);
	KV_REQUIRE_OK(test_db_open(&t, &err), &err);
	for (i = 0; i < 40; i++)
	{
		a->keys[i] = key_of(a->bytes[i], (int) i);
		test_put(&t, a->bytes[i] + 4, "v");
	}
	a->n = 40;
	a->answer = KV_NO_MEMORY;
	KV_CHECK_STATUS(kv_multi_get(t.db, &view, a->keys, a->n, take, a, &err),
					KV_NO_MEMORY);
	test_compact(&t);
	KV_CHECK_STATUS(kv_multi_get(t.db, &view, a->keys, a->n, take, a, &err),
					KV_NO_MEMORY);
	for (i = 0; i < 40; i++)
		calls += a->calls[i];
	KV_CHECK_EQ(calls, 2);
	/* nothing is left pinned: a get works */
	KV_CHECK(test_get(&t, a->bytes[7] + 4) != NULL);
	test_db_free(&t);
	free(a);
}
