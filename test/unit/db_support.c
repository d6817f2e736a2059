/* SPDX-License-Identifier: PostgreSQL */
/*
 * db_support.c - see db_support.h.
 */
#include "db_support.h"

#include "engine/base/coding.h"
#include "harness.h"

#define KEY_CAP 256

static KvSlice
store_key(char *buf, const char *key)
{
	size_t n = strlen(key);

	kv_store_be32(buf, 1);
	memcpy(buf + KV_STORE_PREFIX, key, n);
	return kv_slice(buf, n + KV_STORE_PREFIX);
}

void
test_db_init(TestDb *t)
{
	memset(t, 0, sizeof(*t));
	t->penv = posix_env_open_temp();
	t->penv->quiet = true;
	t->penv->horizon.xid = UINT64_MAX;
	t->penv->horizon.csn = UINT64_MAX;
	t->env = &t->penv->env;
	kv_config_default(&t->config);
	t->config.memtable_bytes = 64 << 10;
	t->config.memtables = 3;
	t->config.ring_bytes = 64 << 10;
	t->config.cache_bytes = 64 << 10;
	t->config.file_bytes = 8 << 10;
	t->config.job_bytes = 128 << 10;
	t->config.l0_compact = 4;
	t->config.block_bytes = 512;
	t->config.max_files = 256;
	t->config.max_readers = 4;
}

KvStatus
test_db_open(TestDb *t, KvError *err)
{
	size_t bytes = kv_shared_bytes(&t->config);
	KvHost host = {{.system_id = 4711, .timeline = 1}, 0, NULL, NULL};
	KvStatus st;

	t->shared = aligned_alloc(64, bytes);
	KV_REQUIRE(t->shared != NULL);
	memset(t->shared, 0x5a, bytes);
	kv_shared_init(t->shared, &t->config);
	KV_REQUIRE(kv_attach(t->env, t->shared, 0, &t->db, err) == KV_OK);
	st = kv_recover(t->db, &host, &t->recovery, err);
	if (st == KV_OK)
		st = kv_open_for_use(t->db, t->recovery.lsn, err);
	return st;
}

void
test_db_kill(TestDb *t)
{
	kv_detach(t->db);
	free(t->shared);
	t->db = NULL;
	t->shared = NULL;
}

void
test_db_close(TestDb *t)
{
	KvError err;

	KV_CHECK_OK(kv_shutdown(t->db, &err), &err);
	test_db_kill(t);
}

void
test_db_free(TestDb *t)
{
	if (t->db != NULL)
		test_db_close(t);
	KV_CHECK_EQ(t->penv->live_allocs, 0);
	KV_CHECK_EQ(t->penv->live_files, 0);
	posix_env_remove(t->penv);
	posix_env_close(t->penv);
}

void
test_batch_add(TestDb *t, KvBatch *batch, const char *key, const char *value)
{
	char buf[KEY_CAP];
	KvEntry e = {0};
	KvError err;

	e.key = store_key(buf, key);
	e.kind = value ? KV_KIND_PUT : KV_KIND_DELETE;
	e.value = kv_slice(value ? value : "", value ? strlen(value) : 0);
	KV_CHECK_OK(kv_batch_add(t->env, batch, &e, &err), &err);
}

void
test_ingest_commit(TestDb *t, KvIngest *g)
{
	KvError err;
	uint64_t csn;
	KvStatus st;

	KV_CHECK_OK(kv_ingest_finish(g, &err), &err);
	while ((st = kv_ingest_commit(t->db, g, NULL, NULL, &csn, &err)) ==
		   KV_STALLED)
		test_work(t);
	KV_CHECK_OK(st, &err);
}

void
test_write(TestDb *t, const KvBatch *batch)
{
	KvWrite w = {batch, t->xid, NULL, NULL};
	KvError err;
	uint64_t csn;
	KvStatus st;
	int tries = 0;

	while ((st = kv_write(t->db, &w, &csn, &err)) == KV_STALLED &&
		   tries++ < 1000)
	{
		bool busy;

		test_work(t);
		KV_CHECK_OK(kv_compact_step(t->db, UINT64_MAX, &busy, &err), &err);
	}
	KV_CHECK_OK(st, &err);
}

static void
write_one(TestDb *t, const char *key, const char *value)
{
	KvBatch batch = {0};

	test_batch_add(t, &batch, key, value);
	test_write(t, &batch);
	kv_batch_free(t->env, &batch);
}

void
test_put(TestDb *t, const char *key, const char *value)
{
	write_one(t, key, value);
}

void
test_delete(TestDb *t, const char *key)
{
	write_one(t, key, NULL);
}

static KvReadView
everything(void)
{
	KvReadView view = {UINT64_MAX, NULL, NULL, 0};

	return view;
}

const char *
test_get(TestDb *t, const char *key)
{
	static char out[64 << 10];
	char buf[KEY_CAP];
	KvReadView view = everything();
	KvValue value = {0};
	KvError err;
	KvStatus st;

	st = kv_get(t->db, &view, store_key(buf, key), &value, &err);
	if (st == KV_OK)
	{
		KV_REQUIRE(value.len < sizeof(out));
		memcpy(out, value.data, value.len);
		out[value.len] = '\0';
	}
	else if (st != KV_NOT_FOUND)
		KV_CHECK_OK(st, &err);
	kv_value_free(t->env, &value);
	return st == KV_OK ? out : NULL;
}

void
test_work(TestDb *t)
{
	KvWork work;
	KvError err;
	int rounds = 0;

	do
	{
		KV_CHECK_OK(kv_worker_step(t->db, &work, &err), &err);
	} while (work.more && rounds++ < 1000);
}

void
test_flush(TestDb *t)
{
	uint64_t ticket = kv_request_flush(t->db);
	int rounds = 0;

	while (!kv_request_done(t->db, ticket) && rounds++ < 100)
		test_work(t);
	KV_CHECK(kv_request_done(t->db, ticket));
}

void
test_compact(TestDb *t)
{
	uint64_t ticket = kv_request_compact(t->db);
	KvError err;
	bool busy;
	int rounds = 0;

	while (!kv_request_done(t->db, ticket) && rounds++ < 1000)
	{
		test_work(t);
		KV_CHECK_OK(kv_compact_step(t->db, UINT64_MAX, &busy, &err), &err);
	}
	KV_CHECK(kv_request_done(t->db, ticket));
	test_work(t);
}

uint64_t
test_count(TestDb *t, bool reverse)
{
	char buf[KEY_CAP], upper[KV_STORE_PREFIX], last[KEY_CAP];
	KvReadView view = everything();
	size_t last_len = 0;
	KvScan *scan;
	uint64_t n = 0;
	KvError err;
	KvEntry e;
	KvStatus st;

	kv_store_be32(upper, 2);
	KV_CHECK_OK(kv_scan_open(t->db, &view, store_key(buf, ""),
							 kv_slice(upper, sizeof(upper)), reverse, NULL,
							 &scan, &err),
				&err);
	while ((st = kv_scan_next(scan, &e, &err)) == KV_OK)
	{
		if (n++ > 0)
		{
			int c = kv_slice_compare(kv_slice(last, last_len), e.key);

			KV_CHECK(reverse ? c > 0 : c < 0);
		}
		memcpy(last, e.key.data, e.key.len);
		last_len = e.key.len;
	}
	KV_CHECK_STATUS(st, KV_NOT_FOUND);
	kv_scan_close(scan);
	return n;
}

static bool
report(void *arg, const char *file, const char *problem)
{
	(void) arg;
	if (problem != NULL)
		kv_test_fail(__FILE__, __LINE__, "%s: %s", file, problem);
	return true;
}

void
test_verify(KvDb *db)
{
	KvError err;

	KV_CHECK_OK(kv_verify(db, report, NULL, &err), &err);
}
