/* SPDX-License-Identifier: PostgreSQL */
/*
 * backpressure_test.c - what slows writers down and what stops them, and the
 * handles on compaction: ranges, pause, budget.
 */
#include "harness.h"

#include "db_support.h"
#include "engine/base/coding.h"

#include <stdio.h>

static void
step(TestDb *t, uint64_t budget, bool *busy)
{
	KvError err;

	KV_CHECK_OK(kv_compact_step(t->db, budget, busy, &err), &err);
}

/* One run in L0 with all keys i of [from, to) in store 1. */
static void
add_run(TestDb *t, int from, int to)
{
	char key[16];
	int i;

	for (i = from; i < to; i++)
	{
		snprintf(key, sizeof(key), "k%06d", i);
		test_put(t, key, "a value of some length, written again and again");
	}
	test_flush(t);
}

static TestDb
open_db(uint32_t l0_stop)
{
	TestDb t;
	KvError err;

	test_db_init(&t);
	t.config.l0_stop = l0_stop;
	KV_REQUIRE_OK(test_db_open(&t, &err), &err);
	return t;
}

static KvStatus
try_put(TestDb *t)
{
	KvBatch batch = {0};
	KvWrite w = {&batch, 0, NULL, NULL};
	KvError err;
	uint64_t csn;
	KvStatus st;

	test_batch_add(t, &batch, "one", "more");
	st = kv_write(t->db, &w, &csn, &err);
	kv_batch_free(t->env, &batch);
	return st;
}

/* What a write owes now, by the naps of many. */
static uint64_t
mean_delay_us(KvDb *db)
{
	uint64_t sum = 0;
	int i;

	for (i = 0; i < 1000; i++)
	{
		uint64_t us = kv_write_delay_us(db);

		KV_CHECK(us == 0 || us >= KV_SHORTEST_NAP_US);
		KV_CHECK(us <= KV_MAX_DELAY_US);
		sum += us;
	}
	return sum / 1000;
}

KV_TEST(delay_grows_with_l0_until_it_stops)
{
	TestDb t = open_db(12);
	uint64_t last = 0;
	KvStats stats;
	bool busy;
	int runs;

	kv_pause_compaction(t.db, true);
	for (runs = 1; runs <= 12; runs++)
	{
		uint64_t us;

		KV_CHECK(!kv_write_would_stall(t.db));
		add_run(&t, 0, 10);
		us = mean_delay_us(t.db);
		/* nothing up to the middle between compaction (4) and stop */
		if (runs <= 8)
			KV_CHECK_EQ(us, 0);
		else
			KV_CHECK(us > last);
		last = us;
	}
	KV_CHECK_EQ(last, KV_MAX_DELAY_US);
	KV_CHECK(kv_write_would_stall(t.db));
	KV_CHECK_STATUS(try_put(&t), KV_STALLED);
	KV_CHECK_EQ(kv_stall_cause(t.db), KV_STALL_COMPACTION);
	kv_stats(t.db, &stats);
	KV_CHECK(stats.compaction_paused);
	KV_CHECK_EQ(stats.stalls, 1);
	KV_CHECK_EQ(stats.stalls_by[KV_STALL_COMPACTION], 1);
	kv_stall_foreseen(t.db, true);
	KV_CHECK_EQ(kv_stall_cause(t.db), KV_STALL_COMPACTION);
	/* a nap for each write when a write owes one, else for several */
	KV_CHECK(stats.delays > 2500 && stats.delays < 3000);
	KV_CHECK(stats.delayed_us > KV_MAX_DELAY_US);

	/* the remedy helps */
	step(&t, UINT64_MAX, &busy);
	test_work(&t);
	KV_CHECK(!busy);
	KV_CHECK(kv_write_would_stall(t.db));
	kv_pause_compaction(t.db, false);
	step(&t, UINT64_MAX, &busy);
	test_work(&t);
	KV_CHECK_EQ(kv_write_delay_us(t.db), 0);
	KV_CHECK_STATUS(try_put(&t), KV_OK);
	test_db_free(&t);
}

/* Nobody flushes: the last memtable fills more and more slowly, then stops. */
KV_TEST(delay_grows_with_the_last_memtable)
{
	TestDb t = open_db(36);
	uint64_t last = 0, us;
	KvStats stats;
	KvError err;
	int i;

	for (i = 0; i < 100000 && try_put(&t) == KV_OK; i++)
	{
		us = mean_delay_us(t.db);
		KV_CHECK(us + 10 >= last); /* a nap more or less in a thousand */
		last = us;
		/* the ring is not what is missing */
		KV_CHECK_OK(kv_sync_log(t.db, &err), &err);
	}
	KV_CHECK(last > KV_MAX_DELAY_US / 2);
	KV_CHECK_EQ(kv_stall_cause(t.db), KV_STALL_FLUSH);
	kv_stats(t.db, &stats);
	KV_CHECK_EQ(stats.stalls_by[KV_STALL_FLUSH], 1);
	/* who asks before it writes is counted once and told the same */
	kv_stall_foreseen(t.db, true);
	kv_stall_foreseen(t.db, false);
	KV_CHECK_EQ(kv_stall_cause(t.db), KV_STALL_FLUSH);
	kv_stats(t.db, &stats);
	KV_CHECK_EQ(stats.stalls_by[KV_STALL_FLUSH], 2);
	test_work(&t);
	KV_CHECK_EQ(kv_write_delay_us(t.db), 0);
	KV_CHECK_STATUS(try_put(&t), KV_OK);
	test_db_free(&t);
}

/* The worker writes nothing: slower from three quarters on, then a stall. */
KV_TEST(a_full_ring_is_a_stall_of_its_own)
{
	TestDb t = open_db(36);
	uint64_t last = 0, us;
	KvError err;
	int i, free_of_delay = 0;

	for (i = 0; i < 100000 && try_put(&t) == KV_OK; i++)
	{
		us = mean_delay_us(t.db);
		free_of_delay += us == 0;
		KV_CHECK(us + 10 >= last);
		last = us;
	}
	KV_CHECK_EQ(kv_stall_cause(t.db), KV_STALL_LOG);
	KV_CHECK(free_of_delay > i * 7 / 10);
	KV_CHECK(last > KV_MAX_DELAY_US / 2);
	KV_CHECK_OK(kv_sync_log(t.db, &err), &err);
	KV_CHECK_EQ(kv_write_delay_us(t.db), 0);
	KV_CHECK_STATUS(try_put(&t), KV_OK);
	test_db_free(&t);
}

KV_TEST(a_step_keeps_to_its_budget)
{
	TestDb t = open_db(36);
	uint64_t ticket, before, steps = 0;
	bool busy;

	add_run(&t, 0, 400);
	add_run(&t, 0, 400);
	ticket = kv_request_compact(t.db);
	while (!kv_request_done(t.db, ticket) && steps < 1000)
	{
		test_work(&t);
		before = kv_compact_merged(t.db);
		step(&t, 1000, &busy);
		/* the entry that reaches it is finished */
		KV_CHECK(kv_compact_merged(t.db) - before < 1000 + 100);
		steps++;
	}
	KV_CHECK(kv_request_done(t.db, ticket));
	KV_CHECK(steps > 40);
	test_db_free(&t);
}

static KvSlice
bound(char *buf, const char *key)
{
	size_t n = strlen(key);

	kv_store_be32(buf, 1);
	memcpy(buf + KV_STORE_PREFIX, key, n);
	return kv_slice(buf, KV_STORE_PREFIX + n);
}

static void
finish(TestDb *t, uint64_t ticket)
{
	int rounds = 0;
	bool busy;

	while (!kv_request_done(t->db, ticket) && rounds++ < 1000)
	{
		test_work(t);
		step(t, UINT64_MAX, &busy);
	}
	KV_CHECK(kv_request_done(t->db, ticket));
	test_work(t);
}

static uint64_t
tombstones(TestDb *t)
{
	uint64_t n = 0;
	KvStats stats;
	int i;

	kv_stats(t->db, &stats);
	for (i = 0; i < 7; i++)
		n += stats.tombstones[i];
	return n;
}

static void
delete_keys(TestDb *t, int from, int to)
{
	char key[16];
	int i;

	for (i = from; i < to; i++)
	{
		snprintf(key, sizeof(key), "k%06d", i);
		test_delete(t, key);
	}
	test_flush(t);
}

KV_TEST(a_range_is_compacted_alone)
{
	TestDb t = open_db(36);
	char low[2][32], high[2][32];
	uint64_t first, second;

	add_run(&t, 0, 3000);
	test_compact(&t);
	delete_keys(&t, 100, 120);
	delete_keys(&t, 2800, 2820);
	KV_CHECK_EQ(tombstones(&t), 40);
	finish(&t, kv_request_compact_range(t.db, bound(low[0], "k002800"),
										bound(high[0], "k002900")));
	KV_CHECK_EQ(tombstones(&t), 20);
	finish(&t, kv_request_compact_range(t.db, bound(low[0], "k000200"),
										bound(high[0], "k000300")));
	KV_CHECK_EQ(tombstones(&t), 20);
	/* two requests at once are served together */
	delete_keys(&t, 2900, 2920);
	first = kv_request_compact_range(t.db, bound(low[0], "k002900"),
									 bound(high[0], "k003"));
	second = kv_request_compact_range(t.db, bound(low[1], "k0"),
									  bound(high[1], "k000101"));
	finish(&t, first);
	finish(&t, second);
	KV_CHECK_EQ(tombstones(&t), 0);
	KV_CHECK_EQ(test_count(&t, false), 3000 - 60);
	test_db_free(&t);
}

/* Data is rewritten once or so on its way through a small store. */
KV_TEST(random_rows_are_rewritten_little)
{
	TestDb t;
	KvStats stats;
	KvError err;
	char key[16];
	bool busy;
	int i;

	test_db_init(&t);
	t.config.l0_compact = 8;
	t.config.job_bytes = UINT64_MAX;
	KV_REQUIRE_OK(test_db_open(&t, &err), &err);
	for (i = 0; i < 20000; i++)
	{
		snprintf(key, sizeof(key), "k%06d", (i * 7919) % 20000);
		test_put(&t, key, "a value of some length, written once");
		if (i % 200 == 0)
		{
			test_work(&t);
			step(&t, UINT64_MAX, &busy);
		}
	}
	kv_stats(t.db, &stats);
	KV_CHECK(stats.flushes > 20);
	KV_CHECK(stats.compacted_out_bytes < 2 * stats.flushed_bytes);
	KV_CHECK_EQ(test_count(&t, false), 20000);
	test_db_free(&t);
}

/* Keys that are not there are asked for until somebody does something. */
KV_TEST(fruitless_reads_bring_runs_down)
{
	TestDb t = open_db(36);
	KvStats stats;
	char key[16];
	bool busy;
	int i;

	add_run(&t, 0, 400);
	test_compact(&t);
	add_run(&t, 0, 300);
	step(&t, UINT64_MAX, &busy);
	test_work(&t);
	kv_stats(t.db, &stats);
	KV_CHECK_EQ(stats.files[0], 1);
	for (i = 0; i < 200000 && stats.files[0] > 0; i++)
	{
		snprintf(key, sizeof(key), "k%06dx", i % 300);
		KV_CHECK(test_get(&t, key) == NULL);
		if (i % 1000 == 999)
		{
			step(&t, UINT64_MAX, &busy);
			test_work(&t);
			kv_stats(t.db, &stats);
		}
	}
	KV_CHECK_EQ(stats.files[0], 0);
	KV_CHECK_EQ(test_count(&t, false), 400);
	test_db_free(&t);
}
