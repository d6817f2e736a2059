/* SPDX-License-Identifier: PostgreSQL */
/*
 * range_delete_test.c - range deletes, one property at a time.
 *
 * In all combinations with transactions, snapshots, ingested runs, flush,
 * compaction and restarts they are in lsm_model.c; the drop rule's table has
 * them too, and memtable_race_test.c reads them beside the writer.
 */
#include "db_support.h"
#include "harness.h"

#include "engine/base/coding.h"
#include "engine/lsm/db_internal.h"

static KvSlice
store_key(char *buf, const char *key)
{
	size_t n = strlen(key);

	kv_store_be32(buf, 1);
	memcpy(buf + 4, key, n);
	return kv_slice(buf, n + 4);
}

static void
add_range(TestDb *t, KvBatch *batch, const char *lower, const char *upper)
{
	char a[400], b[400];
	KvEntry e = {.kind = KV_KIND_RANGE_DELETE};
	KvError err;

	e.key = store_key(a, lower);
	e.value = store_key(b, upper);
	KV_CHECK_OK(kv_batch_add(t->env, batch, &e, &err), &err);
}

static void
delete_range(TestDb *t, const char *lower, const char *upper)
{
	KvBatch batch = {0};

	add_range(t, &batch, lower, upper);
	test_write(t, &batch);
	kv_batch_free(t->env, &batch);
}

static void
put_number(TestDb *t, int i)
{
	char key[16], value[120];

	snprintf(key, sizeof(key), "k%05d", i);
	snprintf(value, sizeof(value), "%0100d", i);
	test_put(t, key, value);
}

static bool
is_there(TestDb *t, int i)
{
	char key[16];

	snprintf(key, sizeof(key), "k%05d", i);
	return test_get(t, key) != NULL;
}

static void
start(TestDb *t)
{
	KvError err;

	test_db_init(t);
	KV_REQUIRE_OK(test_db_open(t, &err), &err);
}

/* Rows of keys 0 .. n - 1 but for [from, to), in every way. */
static void
check_hole(TestDb *t, int n, int from, int to)
{
	int i;

	KV_CHECK_EQ(test_count(t, false), n - (to - from));
	KV_CHECK_EQ(test_count(t, true), n - (to - from));
	for (i = 0; i < n; i++)
		if (is_there(t, i) != (i < from || i >= to))
			kv_test_fail(__FILE__, __LINE__, "key %d", i);
}

static uint64_t
tombstones(TestDb *t)
{
	KvStats stats;
	uint64_t n = 0;
	int level;

	kv_stats(t->db, &stats);
	for (level = 0; level < 7; level++)
		n += stats.tombstones[level];
	return n;
}

KV_TEST(hides_what_is_older)
{
	TestDb t;
	int i;

	start(&t);
	for (i = 0; i < 100; i++)
		put_number(&t, i);
	delete_range(&t, "k00020", "k00040");
	check_hole(&t, 100, 20, 40);
	/* what comes later lives */
	put_number(&t, 30);
	KV_CHECK(is_there(&t, 30) && !is_there(&t, 29) && !is_there(&t, 31));
	KV_CHECK_EQ(test_count(&t, false), 81);
	KV_CHECK_EQ(test_count(&t, true), 81);
	test_verify(t.db);
	test_db_free(&t);
}

KV_TEST(points_of_the_same_batch_live)
{
	TestDb t;
	KvBatch batch = {0};
	int round;

	for (round = 0; round < 2; round++)
	{
		start(&t);
		test_put(&t, "a", "old");
		test_put(&t, "b", "old");
		if (round == 0)
			add_range(&t, &batch, "a", "z");
		test_batch_add(&t, &batch, "a", "new");
		if (round == 1)
			add_range(&t, &batch, "a", "z");
		test_write(&t, &batch);
		kv_batch_reset(&batch);
		KV_CHECK(test_get(&t, "a") != NULL && test_get(&t, "b") == NULL);
		test_flush(&t);
		KV_CHECK(test_get(&t, "a") != NULL && test_get(&t, "b") == NULL);
		test_compact(&t);
		KV_CHECK(test_get(&t, "a") != NULL && test_get(&t, "b") == NULL);
		KV_CHECK_EQ(test_count(&t, false), 1);
		KV_CHECK_EQ(tombstones(&t), 0);
		kv_batch_free(t.env, &batch);
		test_db_free(&t);
	}
}

KV_TEST(snapshots_keep_what_they_see)
{
	TestDb t;
	KvReadView before = {0};
	KvValue value = {0};
	KvScan *scan;
	KvEntry e;
	KvError err;
	char key[16];
	int i, n = 0;

	start(&t);
	for (i = 0; i < 600; i++)
		put_number(&t, i);
	test_flush(&t);
	before.max_csn = kv_snapshot_csn(t.db);
	t.penv->horizon.csn = before.max_csn;
	delete_range(&t, "k", "l");
	test_flush(&t);
	test_compact(&t);
	KV_CHECK_EQ(test_count(&t, false), 0);
	KV_CHECK(tombstones(&t) > 0);
	KV_CHECK_OK(kv_get(t.db, &before, store_key(key, "k00300"), &value, &err),
				&err);
	KV_REQUIRE_OK(kv_scan_open(t.db, &before, kv_slice("", 0), kv_slice("", 0),
							   false, NULL, &scan, &err),
				  &err);
	while (kv_scan_next(scan, &e, &err) == KV_OK)
		n++;
	KV_CHECK_EQ(n, 600);
	kv_scan_close(scan);
	test_verify(t.db);
	/* nobody looks any more */
	t.penv->horizon.csn = UINT64_MAX;
	(void) kv_request_compact(t.db);
	test_work(&t);
	test_compact(&t);
	KV_CHECK_EQ(tombstones(&t), 0);
	KV_CHECK_EQ(test_count(&t, true), 0);
	kv_value_free(t.env, &value);
	test_db_free(&t);
}

static KvXactState fate;

static KvXactState
state_of(void *arg, uint64_t xid)
{
	(void) arg;
	return xid == 77 ? fate : KV_XACT_COMMITTED;
}

/* In doubt it does nothing, in memory or in a file; then it is settled. */
KV_TEST(waits_for_its_transaction)
{
	TestDb t;
	int round;

	for (round = 0; round < 4; round++)
	{
		bool commits = round % 2 == 0;
		int i;

		start(&t);
		t.penv->xact_state = state_of;
		t.penv->horizon.xid = 77;
		fate = KV_XACT_IN_DOUBT;
		for (i = 0; i < 50; i++)
			put_number(&t, i);
		t.xid = 77;
		delete_range(&t, "k00010", "k00020");
		t.xid = 0;
		check_hole(&t, 50, 0, 0);
		if (round >= 2)
		{
			test_flush(&t);
			check_hole(&t, 50, 0, 0);
			(void) kv_request_compact(t.db);
			test_work(&t);
			test_compact(&t);
			check_hole(&t, 50, 0, 0);
			KV_CHECK_EQ(tombstones(&t), 1);
		}
		fate = commits ? KV_XACT_COMMITTED : KV_XACT_ABORTED;
		t.penv->horizon.xid = 78;
		test_work(&t);
		check_hole(&t, 50, 10, commits ? 20 : 10);
		(void) kv_request_compact(t.db);
		test_work(&t);
		test_compact(&t);
		check_hole(&t, 50, 10, commits ? 20 : 10);
		KV_CHECK_EQ(tombstones(&t), 0);
		test_db_free(&t);
	}
}

KV_TEST(survives_restarts)
{
	TestDb t;
	KvError err;
	int i;

	start(&t);
	for (i = 0; i < 200; i++)
		put_number(&t, i);
	test_flush(&t);
	delete_range(&t, "k00050", "k00150");
	KV_CHECK_OK(kv_sync_log(t.db, &err), &err);
	test_db_kill(&t);
	KV_REQUIRE_OK(test_db_open(&t, &err), &err);
	check_hole(&t, 200, 50, 150);
	/* a memtable with nothing else in it */
	delete_range(&t, "k00040", "k00060");
	test_flush(&t);
	check_hole(&t, 200, 40, 150);
	test_verify(t.db);
	test_db_close(&t);
	KV_REQUIRE_OK(test_db_open(&t, &err), &err);
	check_hole(&t, 200, 40, 150);
	(void) kv_request_compact(t.db);
	test_work(&t);
	test_compact(&t);
	check_hole(&t, 200, 40, 150);
	KV_CHECK_EQ(tombstones(&t), 0);
	test_verify(t.db);
	test_db_free(&t);
}

/* One that spans many outputs has a piece in each, and they do not overlap. */
KV_TEST(is_clipped_to_outputs)
{
	TestDb t;
	KvStats stats;
	int i, level;
	uint64_t files = 0;

	start(&t);
	t.penv->horizon.csn = 1; /* someone looks at the very start */
	for (i = 0; i < 1000; i++)
		put_number(&t, i);
	test_flush(&t);
	delete_range(&t, "a", "z");
	for (i = 0; i < 1000; i += 2)
		put_number(&t, i);
	test_flush(&t);
	(void) kv_request_compact(t.db);
	test_work(&t);
	test_compact(&t);
	kv_stats(t.db, &stats);
	for (level = 1; level < 7; level++)
		files += stats.files[level];
	KV_CHECK(files > 5);
	KV_CHECK_EQ(stats.files[0], 0);
	/* neighbours in one interval may share an output of their own */
	KV_CHECK(tombstones(&t) >= files - 1);
	for (i = 0; i < 1000; i++)
		KV_CHECK(is_there(&t, i) == (i % 2 == 0));
	KV_CHECK_EQ(test_count(&t, false), 500);
	KV_CHECK_EQ(test_count(&t, true), 500);
	test_verify(t.db);
	test_db_free(&t);
}

/* Bounds beyond what the MANIFEST holds of a key. */
KV_TEST(long_bounds)
{
	TestDb t;
	char key[300], lower[300], upper[300];
	int i, round;

	start(&t);
	memset(key, 'm', sizeof(key));
	for (i = 0; i < 500; i++)
	{
		snprintf(key + 140, 20, "%05d", i);
		test_put(&t, key, "some value that takes its room in a block");
	}
	memcpy(lower, key, sizeof(key));
	memcpy(upper, key, sizeof(key));
	snprintf(lower + 140, 20, "%05d", 100);
	snprintf(upper + 140, 20, "%05d", 400);
	test_flush(&t);
	t.penv->horizon.csn = kv_snapshot_csn(t.db);
	delete_range(&t, lower, upper);
	for (round = 0; round < 4; round++)
	{
		KV_CHECK_EQ(test_count(&t, false), 200);
		KV_CHECK_EQ(test_count(&t, true), 200);
		KV_CHECK(test_get(&t, lower) == NULL && test_get(&t, upper) != NULL);
		if (round == 0)
			test_flush(&t);
		else
		{
			if (round == 2)
				t.penv->horizon.csn = UINT64_MAX;
			(void) kv_request_compact(t.db);
			test_work(&t);
			test_compact(&t);
		}
		test_verify(t.db);
	}
	KV_CHECK_EQ(tombstones(&t), 0);
	test_db_free(&t);
}

KV_TEST(nonsense_is_refused)
{
	TestDb t;
	KvBatch batch = {0};
	KvEntry e = {.kind = KV_KIND_RANGE_DELETE};
	char a[16], b[16];
	KvWriteSet *ws;
	KvIngest *ingest;
	KvError err;
	KvSlice payload;
	uint32_t n;

	start(&t);
	e.key = store_key(a, "b");
	e.value = store_key(b, "b");
	KV_CHECK_STATUS(kv_batch_add(t.env, &batch, &e, &err), KV_INVALID);
	e.value = store_key(b, "a");
	KV_CHECK_STATUS(kv_batch_add(t.env, &batch, &e, &err), KV_INVALID);
	e.value = kv_slice("\1", 1);
	KV_CHECK_STATUS(kv_batch_add(t.env, &batch, &e, &err), KV_INVALID);
	/* up to the end of the store, not into the next one or beyond it */
	e.value = kv_slice("\0\0\0\2a", 5);
	KV_CHECK_STATUS(kv_batch_add(t.env, &batch, &e, &err), KV_INVALID);
	e.value = kv_slice("\0\0\0\3", 4);
	KV_CHECK_STATUS(kv_batch_add(t.env, &batch, &e, &err), KV_INVALID);
	e.value = kv_slice("\0\0\0\2", 4);
	KV_CHECK_OK(kv_batch_add(t.env, &batch, &e, &err), &err);
	kv_batch_reset(&batch);
	e.value = store_key(b, "c");
	KV_REQUIRE_OK(kv_write_set_open(t.env, 1 << 20, &ws), NULL);
	KV_CHECK_STATUS(kv_write_set_add(ws, 1, &e, &err), KV_INVALID);
	kv_write_set_free(ws);
	KV_REQUIRE_OK(kv_ingest_open(t.db, 0, &ingest, &err), &err);
	KV_CHECK_STATUS(kv_ingest_add(ingest, &e, &err), KV_INVALID);
	kv_ingest_abort(ingest);
	/* bytes in which the bounds are turned round */
	KV_CHECK_OK(kv_batch_add(t.env, &batch, &e, &err), &err);
	batch.data[batch.len - 1] = 'a';
	payload = kv_slice(batch.data, batch.len);
	KV_CHECK_STATUS(kv_batch_start(&payload, &n, &err), KV_CORRUPT);
	kv_batch_free(t.env, &batch);
	test_db_free(&t);
}

/* Its end has a last byte of zero; a bound keeps the store's number. */
KV_TEST(whole_store_255)
{
	KvFileMeta meta = {0};

	kv_widen_bounds(&meta, true, kv_slice("\0\0\0\xff", 4),
					kv_slice("\0\0\1\0", 4));
	KV_CHECK_EQ(meta.smallest_len, 4);
	KV_CHECK_EQ(meta.largest_len, KV_BOUND_BYTES);
	KV_CHECK_EQ(kv_load_be32(meta.largest), 255);
	KV_CHECK(!kv_key_after_file(kv_slice("\0\0\0\xff\xff\xff", 6), &meta));
	KV_CHECK(kv_key_after_file(kv_slice("\0\0\1\0", 4), &meta));
	/* a key's own zero is no store's */
	memset(&meta, 0, sizeof(meta));
	kv_widen_bounds(&meta, true, kv_slice("\0\0\0\1", 4),
					kv_slice("\0\0\0\1\0", 5));
	KV_CHECK_EQ(meta.largest_len, 4);
	KV_CHECK(kv_key_after_file(kv_slice("\0\0\0\1\0", 5), &meta));
}

/* Many in one table: apart, nested, and one that spans them all. */
KV_TEST(many_in_one_table)
{
	enum
	{
		N = 3 * KV_MEM_RANGE_DELETES
	};
	TestDb t;
	char lower[16], upper[16];
	int i, wrong = 0;

	start(&t);
	t.penv->horizon.csn = kv_snapshot_csn(t.db);
	for (i = 0; i < N; i += 3)
		put_number(&t, i);
	test_flush(&t);
	for (i = 0; i < N; i += 6)
	{
		snprintf(lower, sizeof(lower), "k%05d", i);
		snprintf(upper, sizeof(upper), "k%05d", i + 2);
		delete_range(&t, lower, upper);
	}
	/* nested in a wide one, which begins first */
	delete_range(&t, "k01500", "k01800");
	put_number(&t, 1503);
	test_flush(&t);
	for (i = 0; i < N; i += 3)
	{
		bool gone = i % 6 == 0 || (i >= 1500 && i < 1800);

		wrong += is_there(&t, i) == (gone && i != 1503);
	}
	KV_CHECK_EQ(wrong, 0);
	test_verify(t.db);
	test_db_free(&t);
}

/* A memtable's are looked at one by one, so it takes no more than so many. */
KV_TEST(a_memtable_takes_so_many)
{
	TestDb t;
	KvStats stats;
	int i;

	start(&t);
	for (i = 0; i <= KV_MEM_RANGE_DELETES; i++)
		delete_range(&t, "a", "b");
	kv_stats(t.db, &stats);
	KV_CHECK_EQ(stats.memtables_immutable, 1);
	test_db_free(&t);
}
