/* SPDX-License-Identifier: PostgreSQL */
/*
 * compaction_test.c - whatever is flushed and compacted, every snapshot sees
 * what it saw.
 */
#include "lsm_model.h"

#include "harness.h"

#include "engine/base/coding.h"

static void
step(LsmModel *m)
{
	switch (kv_rand_below(24))
	{
	case 0:
	case 1:
	case 2:
		lsm_end_transaction(m);
		break;
	case 3:
		lsm_snapshot(m);
		break;
	case 4:
		lsm_tick(m);
		break;
	case 5:
	case 6:
		lsm_worker(m);
		break;
	case 7:
	case 8:
	case 9:
		lsm_compactor(m, 1 + kv_rand_below(20000));
		break;
	case 10:
	case 11:
		lsm_scan(m);
		break;
	case 12:
		if (kv_rand_below(20) == 0)
			(void) kv_request_flush(m->t.db);
		else if (kv_rand_below(60) == 0)
			(void) kv_request_compact(m->t.db);
		else if (kv_rand_below(20) == 0)
			lsm_ingest(m);
		else if (kv_rand_below(60) == 0)
			kv_compact_abandon(m->t.db);
		break;
	default:
		lsm_write(m);
		break;
	}
}

/* Everything to the bottom, with nobody looking: only live rows remain. */
static void
check_at_rest(LsmModel *m)
{
	KvStats stats;
	int level, levels = 0;
	uint64_t entries = 0;

	lsm_drop_readers(m);
	lsm_end_all(m);
	test_work(&m->t);
	test_compact(&m->t);
	kv_stats(m->t.db, &stats);
	for (level = 0; level < 7; level++)
	{
		levels += stats.files[level] > 0;
		entries += stats.entries[level];
		KV_CHECK_EQ(stats.tombstones[level], 0);
	}
	KV_CHECK(levels <= 1);
	KV_CHECK_EQ(entries, lsm_live_rows(m));
	lsm_check(m);
	lsm_verify(m);
}

static void
live(int n_keys, int steps, bool restarts)
{
	LsmModel *m = lsm_open(n_keys);
	int i;

	for (i = 0; i < steps && kv_test_failures() == 0; i++)
	{
		step(m);
		if (i % 1500 == 1499)
			lsm_check(m);
		if (i % 5000 == 4999)
			lsm_verify(m);
		if (restarts && kv_rand_below(3000) == 0)
		{
			lsm_restart(m, kv_rand_below(3) != 0);
			lsm_check(m);
		}
	}
	if (kv_test_failures() == 0)
		check_at_rest(m);
	lsm_close(m);
}

KV_TEST(few_keys_many_versions)
{
	live(40, kv_test_long() ? 60000 : 4000, false);
}

KV_TEST(many_keys) { live(LSM_KEYS, kv_test_long() ? 60000 : 5000, false); }

KV_TEST(with_restarts) { live(300, kv_test_long() ? 60000 : 5000, true); }

/* ---- single properties */

static void
run_compactor(TestDb *t)
{
	KvError err;
	bool busy;
	uint64_t before;

	do
	{
		before = t->penv->kicks[KV_KICK_COMPACTOR];
		KV_CHECK_OK(kv_compact_step(t->db, UINT64_MAX, &busy, &err), &err);
		test_work(t);
	} while (busy || t->penv->kicks[KV_KICK_COMPACTOR] != before);
}

KV_TEST(sorted_input_is_moved_not_rewritten)
{
	TestDb t;
	KvError err;
	KvStats stats;
	char key[32], value[100];
	int i;

	test_db_init(&t);
	KV_REQUIRE_OK(test_db_open(&t, &err), &err);
	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	for (i = 0; i < 20000; i++)
	{
		snprintf(key, sizeof(key), "k%08d", i);
		test_put(&t, key, value);
		if (i % 500 == 0)
			run_compactor(&t);
	}
	kv_stats(t.db, &stats);
	KV_CHECK(stats.flushes > 10);
	KV_CHECK(stats.compactions > 0);
	KV_CHECK_EQ(stats.compacted_in_bytes, 0);
	KV_CHECK_EQ(test_count(&t, false), 20000);
	test_db_free(&t);
}

static void
put_in_store(TestDb *t, uint32_t store, int i)
{
	char key[16];
	KvBatch batch = {0};
	KvEntry e = {0};
	KvError err;

	kv_store_be32(key, store);
	e.key = kv_slice(key, 4 + (size_t) snprintf(key + 4, 12, "%07d", i));
	e.value = kv_slice("some value or other", 19);
	e.kind = KV_KIND_PUT;
	KV_CHECK_OK(kv_batch_add(t->env, &batch, &e, &err), &err);
	test_write(t, &batch);
	kv_batch_free(t->env, &batch);
}

static uint64_t
entries_on_disk(TestDb *t)
{
	KvStats stats;
	uint64_t n = 0;
	int level;

	kv_stats(t->db, &stats);
	for (level = 0; level < 7; level++)
		n += stats.entries[level];
	return n;
}

KV_TEST(dropped_stores_leave_the_disk)
{
	TestDb t;
	KvError err;
	KvBatch batch = {0};
	KvEntry e = {0};
	char key[16];
	int i;

	test_db_init(&t);
	KV_REQUIRE_OK(test_db_open(&t, &err), &err);
	for (i = 0; i < 9000; i++)
		put_in_store(&t, 2 + (uint32_t) i % 3, i);
	test_flush(&t);
	test_compact(&t);
	KV_CHECK_EQ(entries_on_disk(&t), 9000);
	e.key = kv_slice(key, kv_dropped_key(3, key));
	e.kind = KV_KIND_PUT;
	KV_CHECK_OK(kv_batch_add(t.env, &batch, &e, &err), &err);
	t.xid = 90;
	/* not before every snapshot sees the drop */
	t.penv->horizon.xid = 90;
	test_write(&t, &batch);
	kv_batch_free(t.env, &batch);
	test_flush(&t);
	run_compactor(&t);
	KV_CHECK_EQ(entries_on_disk(&t), 9001);
	/* then without being asked */
	t.penv->horizon.xid = 91;
	run_compactor(&t);
	KV_CHECK_EQ(entries_on_disk(&t), 6001);
	t.xid = 0;
	test_db_free(&t);
}

/* A compactor that fails in the middle leaves nothing behind. */
KV_TEST(failures_leave_nothing_behind)
{
	LsmModel *m = lsm_open(200);
	int i, failed = 0, interrupted = 0;

	for (i = 0; i < 6000 && kv_test_failures() == 0; i++)
	{
		step(m);
		if (i % 20 == 0)
		{
			KvError err;
			bool busy;
			KvStatus st;

			atomic_store(&m->t.penv->alloc_budget, (int64_t) kv_rand_below(60));
			atomic_store(&m->t.penv->interrupt, kv_rand_below(4) == 0);
			st = kv_compact_step(m->t.db, 5000, &busy, &err);
			atomic_store(&m->t.penv->alloc_budget, -1);
			atomic_store(&m->t.penv->interrupt, false);
			KV_CHECK(st == KV_OK || st == KV_NO_MEMORY ||
					 st == KV_INTERRUPTED || st == KV_STALLED);
			failed += st == KV_NO_MEMORY;
			interrupted += st == KV_INTERRUPTED;
		}
	}
	KV_CHECK(failed > 10);
	KV_CHECK(interrupted > 0);
	if (kv_test_failures() == 0)
		check_at_rest(m);
	lsm_close(m);
}
