/* SPDX-License-Identifier: PostgreSQL */
/*
 * db_test.c - the engine as its host uses it: write, read, flush, compact,
 * be killed, come back.
 */
#include "db_support.h"

#include "harness.h"

static void
key_of(char *buf, int i)
{
	snprintf(buf, 32, "key%08d",
			 (int) ((unsigned) i * 2654435761u % 100000007u));
}

static void
fill(TestDb *t, int from, int to, const char *tag)
{
	char key[32], value[128];
	int i;

	for (i = from; i < to; i++)
	{
		key_of(key, i);
		snprintf(value, sizeof(value), "%s-%d-%0*d", tag, i, i % 90, 7);
		test_put(t, key, value);
	}
}

static void
expect(TestDb *t, int from, int to, const char *tag)
{
	char key[32], value[128];
	int i;

	for (i = from; i < to; i++)
	{
		const char *got;

		key_of(key, i);
		snprintf(value, sizeof(value), "%s-%d-%0*d", tag, i, i % 90, 7);
		got = test_get(t, key);
		KV_CHECK(got != NULL && strcmp(got, value) == 0);
	}
}

static void verify(TestDb *t);

static bool
report(void *arg, const char *file, const char *problem)
{
	(void) arg;
	if (problem != NULL)
		fprintf(stderr, "# %s: %s\n", file, problem);
	KV_CHECK(problem == NULL);
	return true;
}

static void
verify(TestDb *t)
{
	KvError err;

	KV_CHECK_OK(kv_verify(t->db, report, NULL, &err), &err);
}

KV_TEST(put_get_delete)
{
	TestDb t;
	KvError err;

	test_db_init(&t);
	KV_CHECK_OK(test_db_open(&t, &err), &err);
	KV_CHECK(t.recovery.created);
	KV_CHECK(test_get(&t, "a") == NULL);
	test_put(&t, "a", "1");
	KV_CHECK(strcmp(test_get(&t, "a"), "1") == 0);
	test_put(&t, "a", "2");
	KV_CHECK(strcmp(test_get(&t, "a"), "2") == 0);
	test_delete(&t, "a");
	KV_CHECK(test_get(&t, "a") == NULL);
	test_db_free(&t);
}

KV_TEST(rotation_flush_and_reads_from_every_place)
{
	TestDb t;
	KvError err;
	KvStats stats;

	test_db_init(&t);
	KV_CHECK_OK(test_db_open(&t, &err), &err);
	fill(&t, 0, 5000, "one");
	expect(&t, 0, 5000, "one");
	fill(&t, 0, 500, "two");
	expect(&t, 0, 500, "two");
	expect(&t, 500, 5000, "one");
	test_flush(&t);
	expect(&t, 0, 500, "two");
	expect(&t, 500, 5000, "one");
	KV_CHECK_EQ(test_count(&t, false), 5000);
	KV_CHECK_EQ(test_count(&t, true), 5000);
	test_compact(&t);
	expect(&t, 0, 500, "two");
	expect(&t, 500, 5000, "one");
	KV_CHECK_EQ(test_count(&t, false), 5000);
	verify(&t);
	kv_stats(t.db, &stats);
	KV_CHECK_EQ(stats.files[0], 0);
	test_db_free(&t);
}

KV_TEST(killed_and_back)
{
	TestDb t;
	KvError err;
	int round;

	test_db_init(&t);
	KV_CHECK_OK(test_db_open(&t, &err), &err);
	for (round = 0; round < 10; round++)
	{
		fill(&t, round * 300, round * 300 + 700, "r");
		KV_CHECK_OK(kv_sync_log(t.db, &err), &err);
		test_db_kill(&t);
		KV_CHECK_OK(test_db_open(&t, &err), &err);
		expect(&t, 0, round * 300 + 700, "r");
		verify(&t);
	}
	test_db_close(&t);
	KV_CHECK_OK(test_db_open(&t, &err), &err);
	KV_CHECK_EQ(t.recovery.wal_records, 0);
	expect(&t, 0, 3400, "r");
	test_db_free(&t);
}

static KvXactState outcome_of[100];

static KvXactState
xact_state(void *arg, uint64_t xid)
{
	(void) arg;
	return outcome_of[xid];
}

KV_TEST(only_what_committed_survives)
{
	TestDb t;
	KvError err;
	int i;

	test_db_init(&t);
	t.penv->xact_state = xact_state;
	t.penv->horizon.xid = 0;
	KV_CHECK_OK(test_db_open(&t, &err), &err);
	for (i = 1; i < 60; i++)
	{
		char key[16];

		snprintf(key, sizeof(key), "k%02d", i);
		outcome_of[i] = KV_XACT_IN_DOUBT;
		t.xid = (uint64_t) i;
		test_put(&t, key, "v");
		if (i % 20 == 0)
			test_flush(&t); /* files with transactions in doubt */
	}
	for (i = 1; i < 60; i++)
		outcome_of[i] = i % 3 == 0 ? KV_XACT_ABORTED : KV_XACT_COMMITTED;
	test_work(&t);
	for (i = 1; i < 60; i++)
	{
		char key[16];

		snprintf(key, sizeof(key), "k%02d", i);
		KV_CHECK((test_get(&t, key) != NULL) == (i % 3 != 0));
	}
	KV_CHECK_OK(kv_sync_log(t.db, &err), &err);
	test_db_kill(&t);
	KV_CHECK_OK(test_db_open(&t, &err), &err);
	KV_CHECK_EQ(test_count(&t, false), 40);
	t.penv->horizon.xid = UINT64_MAX;
	test_compact(&t);
	KV_CHECK_EQ(test_count(&t, true), 40);
	verify(&t);
	test_db_free(&t);
}

static uint64_t
doubtful(TestDb *t)
{
	KvStats stats;

	kv_stats(t->db, &stats);
	return stats.doubtful;
}

/* The list is of a fixed size, and files may live for ever. */
KV_TEST(settled_transactions_leave_the_list)
{
	TestDb t;
	KvError err;
	int i;

	test_db_init(&t);
	t.penv->xact_state = xact_state;
	t.penv->horizon.xid = 0; /* nothing may lose its tag */
	KV_CHECK_OK(test_db_open(&t, &err), &err);
	for (i = 1; i <= 3; i++)
	{
		char key[16];

		snprintf(key, sizeof(key), "k%d", i);
		outcome_of[i] = KV_XACT_IN_DOUBT;
		t.xid = (uint64_t) i;
		test_put(&t, key, "v");
		test_flush(&t);
	}
	KV_CHECK_EQ(doubtful(&t), 3);
	outcome_of[1] = outcome_of[3] = KV_XACT_COMMITTED;
	outcome_of[2] = KV_XACT_ABORTED;
	test_work(&t);
	test_work(&t);
	KV_CHECK_EQ(doubtful(&t), 1);
	KV_CHECK(test_get(&t, "k1") != NULL && test_get(&t, "k3") != NULL);
	KV_CHECK(test_get(&t, "k2") == NULL);
	test_db_close(&t);

	outcome_of[1] = outcome_of[2] = outcome_of[3] = KV_XACT_UNKNOWN;
	KV_CHECK_OK(test_db_open(&t, &err), &err);
	KV_CHECK_EQ(doubtful(&t), 1);
	KV_CHECK(test_get(&t, "k1") != NULL && test_get(&t, "k3") != NULL);
	KV_CHECK(test_get(&t, "k2") == NULL);
	test_db_free(&t);
}

/* Writes, flushes and compacts until the worker has no file slot left. */
static KvStatus
work_until_full(TestDb *t, KvError *err)
{
	KvStatus st = KV_OK;
	int round;

	for (round = 0; st == KV_OK && round < 200; round++)
	{
		KvBatch batch = {0};
		KvWrite w = {&batch, 0, NULL, NULL};
		KvWork work;
		uint64_t csn;
		bool busy = true;
		KvStatus wrote;

		test_batch_add(t, &batch, round % 2 ? "a" : "b", "v");
		wrote = kv_write(t->db, &w, &csn, err);
		KV_CHECK(wrote == KV_OK || wrote == KV_STALLED);
		kv_batch_free(t->env, &batch);
		(void) kv_request_compact(t->db);
		while (busy && st == KV_OK)
		{
			KvStatus compacted;

			st = kv_worker_step(t->db, &work, err);
			compacted = kv_compact_step(t->db, UINT64_MAX, &busy, err);
			busy &= compacted == KV_OK;
		}
	}
	return st;
}

KV_TEST(a_closed_cursor_gives_its_files_back_to_a_worker_that_fails)
{
	TestDb t;
	KvReadView view = {UINT64_MAX, NULL, NULL, 0};
	KvScan *scan;
	KvWork work;
	KvError err;
	int i;

	test_db_init(&t);
	t.config.max_files = 16;
	KV_CHECK_OK(test_db_open(&t, &err), &err);
	test_put(&t, "a", "v");
	test_flush(&t);
	KV_CHECK_OK(kv_scan_open(t.db, &view, kv_slice("", 0), kv_slice("", 0),
							 false, NULL, &scan, &err),
				&err);
	KV_CHECK_EQ(work_until_full(&t, &err), KV_FULL);
	kv_scan_close(scan);
	for (i = 0; i < 3; i++)
		if (kv_worker_step(t.db, &work, &err) == KV_OK)
			break;
	KV_CHECK(i < 3);
	KV_CHECK_EQ(test_count(&t, false), 2);
	test_db_free(&t);
}

static void
ingest(TestDb *t, int from, int to, const char *value)
{
	KvIngest *g;
	KvError err;
	int i;

	KV_CHECK_OK(kv_ingest_open(t->db, t->xid, &g, &err), &err);
	for (i = from; i < to; i++)
	{
		char key[32] = {0, 0, 0, 1};
		KvEntry e = {0};
		int n = snprintf(key + 4, sizeof(key) - 4, "run%06d", i);

		e.key = kv_slice(key, (size_t) n + 4);
		e.value = kv_slice(value, strlen(value));
		e.kind = KV_KIND_PUT;
		KV_CHECK_OK(kv_ingest_add(g, &e, &err), &err);
	}
	test_ingest_commit(t, g);
}

KV_TEST(ingested_run_goes_between)
{
	TestDb t;
	KvError err;

	test_db_init(&t);
	KV_CHECK_OK(test_db_open(&t, &err), &err);
	test_put(&t, "run000001", "before");
	test_put(&t, "run000002", "before");
	ingest(&t, 0, 3000, "run");
	test_put(&t, "run000002", "after");
	KV_CHECK(strcmp(test_get(&t, "run000001"), "run") == 0);
	KV_CHECK(strcmp(test_get(&t, "run000002"), "after") == 0);
	KV_CHECK_EQ(test_count(&t, false), 3000);
	KV_CHECK_OK(kv_sync_log(t.db, &err), &err);
	test_db_kill(&t); /* no edit names the run yet: the WAL does */
	KV_CHECK_OK(test_db_open(&t, &err), &err);
	KV_CHECK(strcmp(test_get(&t, "run000001"), "run") == 0);
	KV_CHECK(strcmp(test_get(&t, "run000002"), "after") == 0);
	KV_CHECK_EQ(test_count(&t, true), 3000);
	test_compact(&t);
	KV_CHECK(strcmp(test_get(&t, "run000002"), "after") == 0);
	KV_CHECK_EQ(test_count(&t, false), 3000);
	verify(&t);
	test_db_free(&t);
}

KV_TEST(aborted_run_leaves_nothing)
{
	TestDb t;
	KvError err;
	KvStats stats;

	test_db_init(&t);
	t.penv->xact_state = xact_state;
	t.penv->horizon.xid = 0;
	outcome_of[7] = KV_XACT_IN_DOUBT;
	KV_CHECK_OK(test_db_open(&t, &err), &err);
	t.xid = 7;
	ingest(&t, 0, 500, "run");
	test_work(&t);
	KV_CHECK_EQ(test_count(&t, false), 0);
	outcome_of[7] = KV_XACT_ABORTED;
	test_work(&t);
	kv_stats(t.db, &stats);
	KV_CHECK_EQ(stats.files[0], 0);
	KV_CHECK_EQ(test_count(&t, false), 0);
	test_db_free(&t);
}

/* The host's log is read from the middle of a run: what lacks is not served. */
KV_TEST(a_run_that_the_log_does_not_hold_as_a_whole_is_refused)
{
	TestDb t;
	KvHost host = {{.system_id = 4711, .timeline = 1}, 0, NULL, NULL};
	KvIngest *g;
	KvEntry e = {0};
	KvError err;
	char key[16] = {0, 0, 0, 1}, *bytes, *payload;
	uint64_t file_no, size;
	size_t payload_len;
	int i;

	test_db_init(&t);
	KV_CHECK_OK(test_db_open(&t, &err), &err);
	KV_CHECK_OK(kv_ingest_open(t.db, 0, &g, &err), &err);
	for (i = 0; i < 400; i++)
	{
		e.key = kv_slice(key, (size_t) snprintf(key + 4, 12, "k%06d", i) + 4);
		e.value = kv_slice("value", 5);
		e.kind = KV_KIND_PUT;
		KV_CHECK_OK(kv_ingest_add(g, &e, &err), &err);
	}
	KV_CHECK_OK(kv_ingest_finish(g, &err), &err);
	KV_REQUIRE(kv_ingest_file(g, 0, &file_no, &size) == KV_OK);
	bytes = malloc(size);
	payload_len = kv_ingest_payload(g).len;
	payload = malloc(payload_len);
	KV_REQUIRE(bytes != NULL && payload != NULL);
	KV_CHECK_OK(kv_ingest_read(g, 0, 0, bytes, size, &err), &err);
	memcpy(payload, kv_ingest_payload(g).data, payload_len);
	kv_ingest_abort(g); /* the copy of the folder lacks the file */
	test_db_close(&t);

	for (i = 1; i >= 0; i--)
	{
		size_t from = i == 1 ? 600 : 0;
		size_t shared = kv_shared_bytes(&t.config);

		t.shared = aligned_alloc(64, shared);
		KV_REQUIRE(t.shared != NULL);
		kv_shared_init(t.shared, &t.config);
		KV_REQUIRE(kv_attach(t.env, t.shared, 0, &t.db, &err) == KV_OK);
		KV_CHECK_OK(kv_recover(t.db, &host, &t.recovery, &err), &err);
		KV_CHECK_OK(kv_replay_file(t.db, file_no, from,
								   kv_slice(bytes + from, size - from), &err),
					&err);
		KV_CHECK_EQ(kv_replay_ingest(t.db, 1000, 0, 1000,
									 kv_slice(payload, payload_len), &err),
					i == 1 ? KV_CORRUPT : KV_OK);
		if (i == 1)
			test_db_kill(&t);
	}
	KV_CHECK_OK(kv_open_for_use(t.db, 1000, &err), &err);
	KV_CHECK_EQ(test_count(&t, false), 400);
	free(bytes);
	free(payload);
	test_db_free(&t);
}
