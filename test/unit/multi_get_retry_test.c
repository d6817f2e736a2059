/* SPDX-License-Identifier: PostgreSQL */
/*
 * multi_get_retry_test.c - a memtable that goes away in the midst of a get
 * of many keys.
 */
#include "harness.h"

#include <string.h>

#include "db_support.h"

static TestDb t;
static bool armed;

static KvXactState
all_committed(void *arg, uint64_t xid)
{
	(void) arg;
	(void) xid;
	return KV_XACT_COMMITTED;
}

/* Called for the range delete: flushes its memtable and has it reused. */
static KvStatus
visible(void *arg, uint64_t xid, KvXactState state, bool *result)
{
	int i;

	(void) arg;
	(void) xid;
	(void) state;
	*result = true;
	if (!armed)
		return KV_OK;
	armed = false;
	test_work(&t);
	for (i = 0; i < 4; i++)
	{
		t.xid = 0;
		test_put(&t, "z", "filler");
		test_flush(&t);
	}
	return KV_OK;
}

static KvStatus
take(void *arg, uint32_t i, const KvEntry *e)
{
	(void) i;
	(void) e;
	++*(int *) arg;
	return KV_OK;
}

KV_TEST(the_version_above_the_range_delete_is_found)
{
	KvReadView view = {UINT64_MAX, visible, NULL, 0};
	KvSlice key = {"\0\0\0\1k", 5};
	KvBatch batch = {0};
	KvEntry e = {.kind = KV_KIND_RANGE_DELETE,
				 .key = {"\0\0\0\1a", 5},
				 .value = {"\0\0\0\1x", 5}};
	KvDb *reader;
	KvError err;
	int found = 0;

	test_db_init(&t);
	KV_REQUIRE_OK(test_db_open(&t, &err), &err);
	KV_REQUIRE_OK(kv_attach(t.env, t.shared, 1, &reader, &err), &err);
	t.penv->xact_state = all_committed;
	t.penv->horizon.xid = 5; /* tags stay */
	t.xid = 7;
	KV_REQUIRE_OK(kv_batch_add(t.env, &batch, &e, &err), &err);
	test_write(&t, &batch);
	kv_batch_free(t.env, &batch);
	t.xid = 8;
	test_put(&t, "k", "live");
	armed = true;
	KV_CHECK_OK(kv_multi_get(reader, &view, &key, 1, take, &found, &err), &err);
	KV_CHECK(!armed);
	KV_CHECK_EQ(found, 1);
	kv_detach(reader);
	test_db_free(&t);
}

static KvStatus
take_value(void *arg, uint32_t i, const KvEntry *e)
{
	int *n = arg;

	(void) i;
	n[0]++;
	n[1] += e->value.len == 4 && memcmp(e->value.data, "live", 4) == 0;
	return KV_OK;
}

/* Nothing of this is about range deletes. */
KV_TEST(what_is_taken_is_what_was_written)
{
	KvReadView view = {UINT64_MAX, visible, NULL, 0};
	KvSlice key = {"\0\0\0\1k", 5};
	KvDb *reader;
	KvError err;
	int n[2] = {0, 0};

	test_db_init(&t);
	KV_REQUIRE_OK(test_db_open(&t, &err), &err);
	KV_REQUIRE_OK(kv_attach(t.env, t.shared, 1, &reader, &err), &err);
	t.penv->xact_state = all_committed;
	t.penv->horizon.xid = 5;
	t.xid = 8;
	test_put(&t, "k", "live");
	armed = true;
	KV_CHECK_OK(kv_multi_get(reader, &view, &key, 1, take_value, n, &err),
				&err);
	KV_CHECK(!armed);
	KV_CHECK_EQ(n[0], 1);
	KV_CHECK_EQ(n[1], 1);
	kv_detach(reader);
	test_db_free(&t);
}
