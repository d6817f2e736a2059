/* SPDX-License-Identifier: PostgreSQL */
/*
 * levels_test.c - what lies where: how outputs are cut, where ingested runs
 * go, what is written and read for it, and that settings reach the files.
 */
#include "harness.h"

#include "db_support.h"
#include "engine/base/coding.h"

#include <stdio.h>

#define BOTTOM 6

static void
open_db(TestDb *t)
{
	KvError err;

	KV_REQUIRE_OK(test_db_open(t, &err), &err);
}

/* Every step-th key from first on, flushed as one run. */
static void
add_run(TestDb *t, int first, int step, int n)
{
	char key[16], value[64];
	int i;

	for (i = 0; i < n; i++)
	{
		snprintf(key, sizeof(key), "k%06d", first + i * step);
		snprintf(value, sizeof(value), "value %d, and so on and so on", i);
		test_put(t, key, value);
	}
	test_flush(t);
}

/* Until nobody asks for another step. */
static void
compact(TestDb *t)
{
	uint64_t before;
	KvError err;
	bool busy;

	do
	{
		before = t->penv->kicks[KV_KICK_COMPACTOR];
		KV_CHECK_OK(kv_compact_step(t->db, UINT64_MAX, &busy, &err), &err);
		test_work(t);
	} while (busy || t->penv->kicks[KV_KICK_COMPACTOR] != before);
}

static int
deepest(const KvStats *stats)
{
	int level = BOTTOM;

	while (level > 0 && stats->files[level] == 0)
		level--;
	return level;
}

KV_TEST(outputs_are_cut_by_size)
{
	TestDb t;
	KvStats stats;
	uint64_t files;

	test_db_init(&t);
	open_db(&t);
	/* two, because one would be moved as it is */
	add_run(&t, 0, 2, 3000);
	add_run(&t, 1, 2, 3000);
	test_compact(&t);
	kv_stats(t.db, &stats);
	files = stats.files[BOTTOM];
	KV_CHECK(files > 4);
	/* the last one may be short */
	KV_CHECK(stats.bytes[BOTTOM] < files * (t.config.file_bytes + 2048));
	KV_CHECK(stats.bytes[BOTTOM] > (files - 1) * t.config.file_bytes / 2);
	test_db_free(&t);
}

/*
 * A few rows from all over the keys, above many files: an output that reached
 * over all of them would cost a rewrite of them all when it goes down.
 */
KV_TEST(outputs_are_cut_where_they_lie_over_many_files)
{
	TestDb t;
	KvStats stats;
	uint64_t below;
	int i, above;

	test_db_init(&t);
	t.config.file_bytes = 4 << 10;
	open_db(&t);
	add_run(&t, 0, 2, 6000);
	add_run(&t, 1, 2, 6000);
	test_compact(&t);
	kv_stats(t.db, &stats);
	below = stats.files[BOTTOM];
	KV_CHECK(below > 40);
	for (i = 0; i < 4; i++)
		add_run(&t, 10 + i, 240, 50);
	compact(&t);
	kv_stats(t.db, &stats);
	KV_CHECK_EQ(stats.files[0], 0);
	KV_CHECK_EQ(stats.files[BOTTOM], below);
	for (above = BOTTOM - 1; above > 0 && stats.files[above] == 0;)
		above--;
	KV_REQUIRE(above > 0);
	/* 12 of the files below each, by compact_run.c */
	KV_CHECK(stats.files[above] >= below / 14);
	KV_CHECK_EQ(test_count(&t, false), 12000);
	test_db_free(&t);
}

/* ---- ingested runs */

static void
ingest(TestDb *t, int from, int to)
{
	KvIngest *g;
	KvError err;
	int i;

	KV_REQUIRE_OK(kv_ingest_open(t->db, 0, &g, &err), &err);
	for (i = from; i < to; i++)
	{
		char key[32] = {0, 0, 0, 1};
		KvEntry e = {.value = kv_slice("an ingested value", 17),
					 .kind = KV_KIND_PUT};

		e.key = kv_slice(key, 4 + (size_t) snprintf(key + 4, 28, "k%06d", i));
		KV_CHECK_OK(kv_ingest_add(g, &e, &err), &err);
	}
	test_ingest_commit(t, g);
}

KV_TEST(a_bulk_load_into_an_empty_store_writes_its_data_once)
{
	TestDb t;
	KvStats stats;
	uint64_t before;

	test_db_init(&t);
	open_db(&t);
	before = atomic_load(&t.penv->pwrite_bytes);
	ingest(&t, 0, 20000);
	test_work(&t);
	compact(&t);
	kv_stats(t.db, &stats);
	KV_CHECK_EQ(stats.compacted_in_bytes, 0);
	KV_CHECK_EQ(stats.files[0], 0);
	KV_CHECK(stats.files[BOTTOM] > 10);
	KV_CHECK_EQ(stats.entries[BOTTOM], 20000);
	/* the files, and what names them */
	KV_CHECK(atomic_load(&t.penv->pwrite_bytes) - before <
			 stats.bytes[BOTTOM] + stats.bytes[BOTTOM] / 8);
	KV_CHECK_EQ(test_count(&t, false), 20000);
	test_db_free(&t);
}

KV_TEST(a_run_goes_to_the_lowest_level_that_it_does_not_overlap)
{
	TestDb t;
	KvStats stats;

	test_db_init(&t);
	open_db(&t);
	ingest(&t, 0, 2000);
	test_work(&t);
	compact(&t);
	/* beside what is there: to the same level */
	ingest(&t, 2000, 4000);
	test_work(&t);
	compact(&t);
	kv_stats(t.db, &stats);
	KV_CHECK_EQ(deepest(&stats), BOTTOM);
	KV_CHECK_EQ(stats.entries[BOTTOM], 4000);
	/* over it: to the one above */
	ingest(&t, 500, 600);
	test_work(&t);
	compact(&t);
	kv_stats(t.db, &stats);
	KV_CHECK_EQ(stats.files[0], 0);
	KV_CHECK_EQ(stats.entries[BOTTOM - 1], 100);
	KV_CHECK_EQ(stats.entries[BOTTOM], 4000);
	KV_CHECK_EQ(stats.compacted_in_bytes, 0);
	KV_CHECK_EQ(test_count(&t, false), 4000);
	test_db_free(&t);
}

/* ---- settings and I/O */

static uint64_t
bytes_with(bool lz4)
{
	TestDb t;
	KvStats stats;

	test_db_init(&t);
	t.config.lz4 = lz4;
	open_db(&t);
	ingest(&t, 0, 3000); /* values that are all the same */
	test_work(&t);
	compact(&t);
	kv_stats(t.db, &stats);
	test_db_free(&t);
	return stats.bytes[BOTTOM];
}

KV_TEST(compression_is_what_the_setting_says)
{
	KV_CHECK(bytes_with(true) * 3 < bytes_with(false) * 2);
}

/* Blocks that are looked at for keys that are not there. */
KV_TEST(one_in_a_hundred_passes_the_filter)
{
	TestDb t;
	KvStats before, after;
	uint64_t looked_at;
	char key[32];
	int i, n = 5000;

	test_db_init(&t);
	t.config.cache_bytes = 4 << 20;
	open_db(&t);
	add_run(&t, 0, 1, 20000);
	test_compact(&t);
	kv_stats(t.db, &before);
	for (i = 0; i < n; i++)
	{
		snprintf(key, sizeof(key), "k%06dx", i * 3);
		KV_CHECK(test_get(&t, key) == NULL);
	}
	kv_stats(t.db, &after);
	looked_at = after.cache_hits + after.cache_misses - before.cache_hits -
				before.cache_misses;
	/* the filter's itself, and two more for each that passes */
	KV_CHECK(looked_at >= (uint64_t) n);
	if (looked_at > (uint64_t) n * 106 / 100)
		kv_test_fail(__FILE__, __LINE__, "%llu blocks for %d keys",
					 (unsigned long long) looked_at, n);
	test_db_free(&t);
}

/* Blocks that are read in order are read many at a time. */
KV_TEST(scans_and_compactions_read_ahead)
{
	TestDb t;
	KvStats stats;
	uint64_t blocks, before;

	test_db_init(&t);
	t.config.memtable_bytes = 4 << 20;
	t.config.file_bytes = 1 << 20;
	t.config.job_bytes = UINT64_MAX;
	open_db(&t);
	add_run(&t, 0, 2, 10000);
	add_run(&t, 1, 2, 10000);
	kv_stats(t.db, &stats);
	blocks = (stats.bytes[0] + stats.bytes[BOTTOM]) / t.config.block_bytes;
	KV_CHECK(blocks > 400);
	before = atomic_load(&t.penv->preads);
	KV_CHECK_EQ(test_count(&t, false), 20000);
	/* a scan begins with single blocks */
	KV_CHECK(atomic_load(&t.penv->preads) - before < blocks / 2);
	before = atomic_load(&t.penv->preads);
	test_compact(&t);
	KV_CHECK(atomic_load(&t.penv->preads) - before < blocks / 4);
	test_db_free(&t);
}
