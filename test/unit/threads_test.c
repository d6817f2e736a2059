/* SPDX-License-Identifier: PostgreSQL */
/*
 * threads_test.c - a store in use by five threads at once: a writer, the
 * worker, the compactor and two readers, each with a KvDb of its own, as
 * processes have.
 *
 * A batch gives the ten keys of one group the same value.  So whatever is
 * flushed and merged meanwhile, a snapshot sees ten rows with one value, by
 * gets and by scans in both directions, and none older than a snapshot before.
 */
#include "harness.h"

#include "db_support.h"
#include "engine/base/coding.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

#define GROUPS	40
#define KEYS	10
#define READERS 2

static TestDb t;
static atomic_bool ended;
static struct
{
	pthread_mutex_t mutex;
	uint64_t csn[READERS]; /* UINT64_MAX: none */
} snapshots = {PTHREAD_MUTEX_INITIALIZER, {0}};

/* Taken and registered in one step, as a host does it. */
static uint64_t
take_snapshot(KvDb *db, int reader)
{
	uint64_t csn;

	(void) pthread_mutex_lock(&snapshots.mutex);
	csn = snapshots.csn[reader] = kv_snapshot_csn(db);
	(void) pthread_mutex_unlock(&snapshots.mutex);
	return csn;
}

static void
drop_snapshot(int reader)
{
	(void) pthread_mutex_lock(&snapshots.mutex);
	snapshots.csn[reader] = UINT64_MAX;
	(void) pthread_mutex_unlock(&snapshots.mutex);
}

static KvHorizon
oldest_snapshot(void *arg)
{
	KvHorizon h = {.xid = UINT64_MAX, .csn = UINT64_MAX};
	int i;

	(void) arg;
	(void) pthread_mutex_lock(&snapshots.mutex);
	for (i = 0; i < READERS; i++)
		if (snapshots.csn[i] < h.csn)
			h.csn = snapshots.csn[i];
	(void) pthread_mutex_unlock(&snapshots.mutex);
	return h;
}

static KvSlice
key_of(char *buf, uint64_t group, int i)
{
	kv_store_be32(buf, 1);
	return kv_slice(buf, KV_STORE_PREFIX +
							 (size_t) snprintf(buf + KV_STORE_PREFIX, 20,
											   "g%02d-%02d", (int) group, i));
}

static KvDb *
attach(uint32_t number)
{
	KvError err;
	KvDb *db;

	KV_REQUIRE(kv_attach(t.env, t.shared, number, &db, &err) == KV_OK);
	return db;
}

/* ---- who writes */

static void
write_batch(KvDb *db, uint64_t b)
{
	KvBatch batch = {0};
	KvWrite w = {&batch, 0, NULL, NULL};
	char key[32], value[64];
	KvError err;
	uint64_t csn;
	KvStatus st;
	int i;

	for (i = 0; i < KEYS; i++)
	{
		KvEntry e = {.key = key_of(key, b % GROUPS, i), .kind = KV_KIND_PUT};

		e.value = kv_slice(value, (size_t) snprintf(value, sizeof(value),
													"%012llu and then some",
													(unsigned long long) b));
		KV_CHECK_OK(kv_batch_add(t.env, &batch, &e, &err), &err);
	}
	while ((st = kv_write(db, &w, &csn, &err)) == KV_STALLED &&
		   !atomic_load(&ended))
		(void) nanosleep(&(struct timespec){0, 20000}, NULL);
	if (st != KV_STALLED)
		KV_CHECK_OK(st, &err);
	kv_batch_free(t.env, &batch);
}

static void *
run_writer(void *arg)
{
	KvDb *db = attach(1);
	uint64_t b = GROUPS;

	(void) arg;
	while (!atomic_load(&ended) && kv_test_failures() == 0)
		write_batch(db, b++);
	kv_detach(db);
	return NULL;
}

static void *
run_worker(void *arg)
{
	KvWork work;
	KvError err;
	KvStatus st;

	(void) arg;
	while (!atomic_load(&ended) && kv_test_failures() == 0)
	{
		st = kv_worker_step(t.db, &work, &err);
		if (st != KV_STALLED)
			KV_CHECK_OK(st, &err);
	}
	return NULL;
}

static void *
run_compactor(void *arg)
{
	KvDb *db = attach(2);
	KvError err;
	bool busy;
	KvStatus st;

	(void) arg;
	while (!atomic_load(&ended) && kv_test_failures() == 0)
	{
		st = kv_compact_step(db, 8000, &busy, &err);
		if (st != KV_STALLED)
			KV_CHECK_OK(st, &err);
	}
	kv_compact_abandon(db);
	kv_detach(db);
	return NULL;
}

/* ---- who reads */

/* All rows of the group; returns their value. */
static uint64_t
scan_group(KvDb *db, const KvReadView *view, uint64_t group, bool reverse)
{
	char low[32], high[32];
	KvSlice lower = key_of(low, group, 0), upper = key_of(high, group, 99);
	uint64_t value = 0;
	KvScan *scan;
	KvEntry e;
	KvError err;
	int rows = 0;
	KvStatus st = kv_scan_open(db, view, lower, upper, reverse, NULL, &scan,
							   &err);

	KV_REQUIRE_OK(st, &err);
	while ((st = kv_scan_next(scan, &e, &err)) == KV_OK)
	{
		uint64_t v = strtoull(e.value.data, NULL, 10);

		KV_CHECK(rows == 0 || v == value);
		value = v;
		rows++;
	}
	KV_CHECK_STATUS(st, KV_NOT_FOUND);
	KV_CHECK_EQ(rows, KEYS);
	kv_scan_close(scan);
	return value;
}

static void
read_group(KvDb *db, const KvReadView *view, uint64_t group, uint64_t *before)
{
	uint64_t value = scan_group(db, view, group, false);
	KvValue got = {0};
	char key[32];
	KvError err;
	int i;

	KV_CHECK_EQ(value % GROUPS, group);
	KV_CHECK(value >= *before);
	*before = value;
	KV_CHECK_EQ(scan_group(db, view, group, true), value);
	for (i = 0; i < KEYS; i++)
	{
		KV_CHECK_OK(kv_get(db, view, key_of(key, group, i), &got, &err), &err);
		KV_CHECK_EQ(strtoull(got.data, NULL, 10), value);
	}
	kv_value_free(t.env, &got);
}

static void *
run_reader(void *arg)
{
	int reader = *(int *) arg, i;
	KvDb *db = attach(3 + (uint32_t) reader);
	uint64_t before[GROUPS] = {0}, x = (uint64_t) reader + 1;

	while (!atomic_load(&ended) && kv_test_failures() == 0)
	{
		KvReadView view = {.max_csn = take_snapshot(db, reader)};

		for (i = 0; i < 20; i++)
		{
			x = x * UINT64_C(6364136223846793005) + 1;
			read_group(db, &view, (x >> 33) % GROUPS,
					   &before[(x >> 33) % GROUPS]);
		}
		drop_snapshot(reader);
	}
	drop_snapshot(reader);
	kv_detach(db);
	return NULL;
}

KV_TEST(snapshots_hold_while_everything_moves)
{
	pthread_t threads[3 + READERS];
	int reader[READERS], i;
	KvStats stats;
	KvError err;

	test_db_init(&t);
	t.config.max_readers = 3 + READERS;
	t.penv->no_sync = true;
	t.penv->get_horizon = oldest_snapshot;
	KV_REQUIRE_OK(test_db_open(&t, &err), &err);
	for (i = 0; i < READERS; i++)
		drop_snapshot(i);
	for (i = 0; i < GROUPS; i++)
		write_batch(t.db, (uint64_t) i);
	atomic_store(&ended, false);
	KV_REQUIRE(pthread_create(&threads[0], NULL, run_writer, NULL) == 0);
	KV_REQUIRE(pthread_create(&threads[1], NULL, run_worker, NULL) == 0);
	KV_REQUIRE(pthread_create(&threads[2], NULL, run_compactor, NULL) == 0);
	for (i = 0; i < READERS; i++)
	{
		reader[i] = i;
		KV_REQUIRE(pthread_create(&threads[3 + i], NULL, run_reader,
								  &reader[i]) == 0);
	}
	(void) nanosleep(&(struct timespec){kv_test_long() ? 60 : 2, 0}, NULL);
	atomic_store(&ended, true);
	for (i = 0; i < 3 + READERS; i++)
		(void) pthread_join(threads[i], NULL);
	kv_stats(t.db, &stats);
	KV_CHECK(stats.flushes > 5);
	KV_CHECK(stats.compactions > 2);
	KV_CHECK_EQ(test_count(&t, false), GROUPS * KEYS);
	test_db_free(&t);
}

/* ---- the moment between the horizon and the inputs, without luck */

static struct
{
	bool armed;
	uint64_t snapshot; /* UINT64_MAX: none yet */
} moment;

/*
 * Right after the compactor was told that there is no snapshot, there is one,
 * and a newer version gets into a file.
 */
static KvHorizon
horizon_then_news(void *arg)
{
	KvHorizon h = {.xid = UINT64_MAX, .csn = moment.snapshot};

	(void) arg;
	if (moment.armed)
	{
		moment.armed = false;
		moment.snapshot = kv_snapshot_csn(t.db);
		test_put(&t, "key", "new");
		test_flush(&t);
	}
	return h;
}

KV_TEST(a_snapshot_taken_while_a_compaction_starts)
{
	KvReadView view = {0};
	KvValue value = {0};
	char buf[16];
	KvSlice key = kv_slice(buf, KV_STORE_PREFIX + 3);
	KvError err;
	KvDb *compactor;
	bool busy = true;
	int i;

	test_db_init(&t);
	moment.snapshot = UINT64_MAX;
	moment.armed = false;
	t.penv->get_horizon = horizon_then_news;
	KV_REQUIRE_OK(test_db_open(&t, &err), &err);
	compactor = attach(2);
	for (i = 0; i < 8; i++)
	{
		test_put(&t, "key", "old");
		test_flush(&t);
	}
	moment.armed = true;
	for (i = 0; i < 100 && (busy || i < 10); i++)
	{
		KV_CHECK_OK(kv_compact_step(compactor, UINT64_MAX, &busy, &err), &err);
		test_work(&t);
	}
	KV_CHECK(!moment.armed);
	KV_CHECK(moment.snapshot != UINT64_MAX);
	kv_store_be32(buf, 1);
	memcpy(buf + KV_STORE_PREFIX, "key", 3);
	view.max_csn = moment.snapshot;
	KV_CHECK_OK(kv_get(t.db, &view, key, &value, &err), &err);
	KV_CHECK_SLICE(kv_slice(value.data, value.len), "old");
	KV_CHECK(strcmp(test_get(&t, "key"), "new") == 0);
	kv_value_free(t.env, &value);
	kv_detach(compactor);
	test_db_free(&t);
}
