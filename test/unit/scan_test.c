/* SPDX-License-Identifier: PostgreSQL */
/*
 * scan_test.c - ranges: bounds, directions, own writes, cursors that stay
 * open for long, and what a scan costs.
 */
#include "db_support.h"

#include <setjmp.h>

#include "harness.h"

#include "engine/base/coding.h"

static void
fill(TestDb *t, int from, int to, int stride)
{
	char key[32], value[64];
	int i;

	for (i = from; i < to; i += stride)
	{
		snprintf(key, sizeof(key), "k%06d", i);
		snprintf(value, sizeof(value), "value of %d", i);
		test_put(t, key, value);
	}
}

static KvSlice
store_key(char *buf, const char *key)
{
	size_t n = strlen(key);

	kv_store_be32(buf, 1);
	memcpy(buf + KV_STORE_PREFIX, key, n);
	return kv_slice(buf, n + KV_STORE_PREFIX);
}

static KvScan *
open_scan(TestDb *t, const char *from, const char *to, bool reverse,
		  KvIter *overlay)
{
	char low[64], high[64];
	KvReadView view = {UINT64_MAX, NULL, NULL, 0};
	KvScan *scan;
	KvError err;

	KV_REQUIRE_OK(kv_scan_open(t->db, &view,
							   from ? store_key(low, from) : kv_slice("", 0),
							   to ? store_key(high, to) : kv_slice("", 0),
							   reverse, overlay, &scan, &err),
				  &err);
	return scan;
}

/* The next row's key without its store; "" at the end. */
static const char *
next_key(KvScan *scan)
{
	static char key[64];
	KvError err;
	KvEntry e;
	KvStatus st = kv_scan_next(scan, &e, &err);

	key[0] = '\0';
	if (st == KV_NOT_FOUND)
		return key;
	if (KV_CHECK_OK(st, &err))
	{
		KV_REQUIRE(e.key.len < sizeof(key));
		memcpy(key, e.key.data + KV_STORE_PREFIX, e.key.len - KV_STORE_PREFIX);
		key[e.key.len - KV_STORE_PREFIX] = '\0';
	}
	return key;
}

static void
check_next(KvScan *scan, const char *want)
{
	const char *got = next_key(scan);

	KV_CHECK_SLICE(kv_slice(got, strlen(got)), want);
}

static void
check_rows(KvScan *scan, int from, int to, int step)
{
	char want[32];
	int i;

	for (i = from; i != to && kv_test_failures() == 0; i += step)
	{
		snprintf(want, sizeof(want), "k%06d", i);
		check_next(scan, want);
	}
}

static TestDb
open_db(void)
{
	TestDb t;
	KvError err;

	test_db_init(&t);
	t.penv->no_sync = true;
	KV_REQUIRE_OK(test_db_open(&t, &err), &err);
	return t;
}

KV_TEST(empty_store_and_empty_ranges)
{
	TestDb t = open_db();
	KvScan *scan = open_scan(&t, NULL, NULL, false, NULL);

	check_next(scan, "");
	check_next(scan, "");
	kv_scan_close(scan);
	fill(&t, 0, 100, 1);
	scan = open_scan(&t, "k000050", "k000050", true, NULL);
	check_next(scan, "");
	kv_scan_close(scan);
	scan = open_scan(&t, "k000060", "k000050", false, NULL);
	check_next(scan, "");
	kv_scan_close(scan);
	test_db_free(&t);
}

KV_TEST(bounds_in_both_directions)
{
	TestDb t = open_db();
	KvScan *scan;
	int round;

	fill(&t, 0, 300, 1);
	/* from memory, then from a file */
	for (round = 0; round < 2; round++)
	{
		scan = open_scan(&t, "k000050", "k000060", false, NULL);
		check_rows(scan, 50, 60, 1);
		check_next(scan, "");
		kv_scan_close(scan);
		scan = open_scan(&t, "k000050", "k000060", true, NULL);
		check_rows(scan, 59, 49, -1);
		check_next(scan, "");
		kv_scan_close(scan);
		scan = open_scan(&t, NULL, NULL, true, NULL);
		check_rows(scan, 299, -1, -1);
		check_next(scan, "");
		kv_scan_close(scan);
		test_flush(&t);
	}
	test_db_free(&t);
}

KV_TEST(rewind_starts_again)
{
	TestDb t = open_db();
	KvScan *scan;
	KvError err;
	int reverse;

	fill(&t, 0, 2000, 2);
	test_flush(&t);
	fill(&t, 1, 2000, 2);
	for (reverse = 0; reverse < 2; reverse++)
	{
		scan = open_scan(&t, "k000100", "k001900", reverse, NULL);
		check_rows(scan, reverse ? 1899 : 100, reverse ? 1500 : 900,
				   reverse ? -1 : 1);
		KV_CHECK_OK(kv_scan_rewind(scan, &err), &err);
		check_rows(scan, reverse ? 1899 : 100, reverse ? 99 : 1900,
				   reverse ? -1 : 1);
		check_next(scan, "");
		KV_CHECK_OK(kv_scan_rewind(scan, &err), &err);
		check_rows(scan, reverse ? 1899 : 100, reverse ? 1890 : 110,
				   reverse ? -1 : 1);
		kv_scan_close(scan);
	}
	test_db_free(&t);
}

/* What is left after each step, counted by going through it and at once. */
static void
check_counts(TestDb *t, bool reverse, uint64_t rows)
{
	uint64_t first, n;
	KvError err;

	for (first = 0; first <= rows; first += rows / 3 + 1)
	{
		KvScan *scan = open_scan(t, "k000100", "k003900", reverse, NULL);
		uint64_t i;

		for (i = 0; i < first; i++)
			KV_REQUIRE(next_key(scan)[0] != '\0');
		KV_CHECK_OK(kv_scan_count(scan, &n, &err), &err);
		KV_CHECK_EQ(n, rows - first);
		check_next(scan, "");
		KV_CHECK_OK(kv_scan_rewind(scan, &err), &err);
		KV_CHECK_OK(kv_scan_count(scan, &n, &err), &err);
		KV_CHECK_EQ(n, rows);
		kv_scan_close(scan);
	}
}

KV_TEST(counting_sees_what_going_through_sees)
{
	TestDb t = open_db();
	char key[32];
	int step, i;

	fill(&t, 0, 4000, 1);
	for (step = 0; step < 3; step++)
	{
		/* in the memtable; over a file; and in one file alone */
		uint64_t deleted = step == 0 ? 0 : 190;

		check_counts(&t, false, 3800 - deleted);
		check_counts(&t, true, 3800 - deleted);
		test_flush(&t);
		check_counts(&t, false, 3800 - deleted);
		for (i = 100; step == 0 && i < 3900; i += 20)
		{
			snprintf(key, sizeof(key), "k%06d", i);
			test_delete(&t, key);
			fill(&t, i + 1, i + 3, 1);
		}
		if (step == 1)
			test_compact(&t);
	}
	test_db_free(&t);
}

KV_TEST(own_writes_lie_on_top)
{
	TestDb t = open_db();
	KvWriteSet *ws;
	KvIter *it;
	KvScan *scan;
	KvError err;
	int reverse;

	fill(&t, 0, 20, 2);
	for (reverse = 0; reverse < 2; reverse++)
	{
		static const char *const rows[] = {"k000002", "k000003", "k000006"};
		char key[64];
		KvEntry e = {0};
		int i;

		KV_REQUIRE(kv_write_set_open(t.env, 1 << 20, &ws) == KV_OK);
		e.key = store_key(key, "k000003");
		e.kind = KV_KIND_PUT;
		KV_CHECK_OK(kv_write_set_add(ws, 1, &e, &err), &err);
		e.key = store_key(key, "k000002");
		KV_CHECK_OK(kv_write_set_add(ws, 1, &e, &err), &err);
		e.key = store_key(key, "k000004");
		e.kind = KV_KIND_DELETE;
		KV_CHECK_OK(kv_write_set_add(ws, 1, &e, &err), &err);
		KV_REQUIRE(kv_write_set_iter(ws, 2, &it) == KV_OK);
		scan = open_scan(&t, "k000001", "k000007", reverse, it);
		for (i = 0; i < 3; i++)
			check_next(scan, rows[reverse ? 2 - i : i]);
		check_next(scan, "");
		kv_scan_close(scan);
		kv_write_set_free(ws);
	}
	test_db_free(&t);
}

/* The memtables under a cursor are flushed, recycled, their files merged. */
KV_TEST(cursor_outlives_everything_under_it)
{
	TestDb t = open_db();
	KvScan *forward, *backward;
	KvStats stats;
	int round;

	fill(&t, 0, 1000, 1);
	forward = open_scan(&t, NULL, NULL, false, NULL);
	backward = open_scan(&t, NULL, NULL, true, NULL);
	for (round = 0; round < 10; round++)
	{
		check_rows(forward, round * 100, round * 100 + 100, 1);
		check_rows(backward, 999 - round * 100, 899 - round * 100, -1);
		/* the same keys again: later versions of the same rows */
		fill(&t, 0, 1000, 1);
		test_flush(&t);
		if (round % 3 == 2)
			test_compact(&t);
	}
	check_next(forward, "");
	check_next(backward, "");
	kv_stats(t.db, &stats);
	KV_CHECK(stats.obsolete_files > 0);
	kv_scan_close(forward);
	kv_scan_close(backward);
	/* nobody needs the old files now */
	test_work(&t);
	test_work(&t);
	kv_stats(t.db, &stats);
	KV_CHECK_EQ(stats.obsolete_files, 0);
	test_db_free(&t);
}

KV_TEST(a_short_range_opens_few_files)
{
	TestDb t = open_db();
	KvScan *scan;
	KvStats stats;
	KvError err;
	int64_t before;

	fill(&t, 0, 10000, 1);
	test_compact(&t);
	kv_stats(t.db, &stats);
	KV_CHECK(stats.files[5] + stats.files[6] > 5);
	/* a process that has nothing open yet */
	test_db_close(&t);
	KV_REQUIRE_OK(test_db_open(&t, &err), &err);
	before = t.penv->live_files;
	scan = open_scan(&t, "k005000", NULL, false, NULL);
	KV_CHECK_EQ(t.penv->live_files - before, 0);
	check_rows(scan, 5000, 5010, 1);
	KV_CHECK(t.penv->live_files - before <= 2);
	kv_scan_close(scan);
	scan = open_scan(&t, NULL, "k003000", true, NULL);
	check_rows(scan, 2999, 2990, -1);
	KV_CHECK(t.penv->live_files - before <= 4);
	kv_scan_close(scan);
	test_db_free(&t);
}

KV_TEST(rows_cost_no_memory)
{
	TestDb t = open_db();
	KvScan *scan;
	int reverse;

	fill(&t, 0, 3000, 1);
	test_compact(&t);
	for (reverse = 0; reverse < 2; reverse++)
	{
		int64_t before;

		scan = open_scan(&t, "k001000", "k001100", reverse, NULL);
		/* the first blocks: most scans need not keep the index for them */
		check_rows(scan, reverse ? 1099 : 1000, reverse ? 1070 : 1030,
				   reverse ? -1 : 1);
		/* not one allocation more, within a file */
		before = t.penv->live_allocs;
		atomic_store(&t.penv->alloc_budget, 0);
		check_rows(scan, reverse ? 1070 : 1030, reverse ? 1040 : 1060,
				   reverse ? -1 : 1);
		atomic_store(&t.penv->alloc_budget, -1);
		KV_CHECK_EQ(t.penv->live_allocs, before);
		kv_scan_close(scan);
	}
	test_db_free(&t);
}

KV_TEST(without_memory_it_fails_and_leaks_nothing)
{
	TestDb t = open_db();
	int budget, complete = 0;

	fill(&t, 0, 1000, 2);
	test_flush(&t);
	fill(&t, 1, 1000, 2);
	for (budget = 0; budget < 60; budget++)
	{
		KvReadView view = {UINT64_MAX, NULL, NULL, 0};
		KvScan *scan;
		KvError err;
		KvEntry e;
		KvStatus st;
		int n = 0;

		atomic_store(&t.penv->alloc_budget, budget);
		st = kv_scan_open(t.db, &view, kv_slice("", 0), kv_slice("", 0),
						  budget % 2 == 0, NULL, &scan, &err);
		if (st == KV_OK)
		{
			while ((st = kv_scan_next(scan, &e, &err)) == KV_OK)
				n++;
			kv_scan_close(scan);
		}
		atomic_store(&t.penv->alloc_budget, -1);
		KV_CHECK(st == KV_NO_MEMORY || (st == KV_NOT_FOUND && n == 1000));
		complete += st == KV_NOT_FOUND;
	}
	KV_CHECK(complete > 0 && complete < 60);
	test_db_free(&t);
}

/* A million tombstones must not keep a session from being cancelled. */
KV_TEST(a_scan_over_hidden_entries_can_be_interrupted)
{
	TestDb t;
	KvError err;
	KvEntry e;
	char key[32];
	int i, reverse;

	test_db_init(&t);
	KV_REQUIRE_OK(test_db_open(&t, &err), &err);
	for (i = 0; i < 5000; i++)
	{
		snprintf(key, sizeof(key), "k%06d", i);
		test_delete(&t, key);
	}
	fill(&t, 9000, 9001, 1);
	for (reverse = 0; reverse < 2; reverse++)
	{
		KvScan *scan = open_scan(&t, reverse ? "j" : NULL, NULL, reverse, NULL);

		if (reverse)
			check_next(scan, "k009000");
		t.penv->interrupt = true;
		KV_CHECK_EQ(kv_scan_next(scan, &e, &err), KV_INTERRUPTED);
		t.penv->interrupt = false;
		/* and goes on afterwards */
		check_next(scan, reverse ? "" : "k009000");
		kv_scan_close(scan);
	}
	test_db_free(&t);
}

static jmp_buf unwound;

static KvStatus
throws(void *arg, uint64_t xid, KvXactState state, bool *visible)
{
	(void) arg;
	(void) xid;
	(void) state;
	(void) visible;
	longjmp(unwound, 1);
}

/* As a host does whose callback has raised an error after all. */
KV_TEST(an_error_through_the_engine_leaves_nothing)
{
	TestDb t;
	KvReadView view = {UINT64_MAX, throws, NULL, 0};
	KvStats stats;
	KvError err;

	test_db_init(&t);
	KV_REQUIRE_OK(test_db_open(&t, &err), &err);
	t.xid = 5;
	fill(&t, 0, 10, 1);
	if (setjmp(unwound) == 0)
	{
		char buf[64];
		KvValue value = {0};

		(void) open_scan(&t, NULL, NULL, false, NULL);
		KV_CHECK_EQ(kv_get(t.db, &view, store_key(buf, "k000003"), &value, &err),
					KV_OK);
		KV_CHECK(false);
	}
	kv_reset(t.db);
	kv_stats(t.db, &stats);
	KV_CHECK_EQ(stats.oldest_pinned_version, 0);
	test_db_free(&t);
}
