/* SPDX-License-Identifier: PostgreSQL */
/*
 * range_model_test.c - a store with range deletes beside a sorted array, for
 * readers of now and of snapshots, through flush, compaction and recovery.
 */
#include "harness.h"

#include <string.h>

#include "db_support.h"
#include "engine/base/coding.h"

#define KEYS	  60
#define SNAPSHOTS 4

typedef struct Store
{
	TestDb t;
	uint64_t csn[KEYS]; /* of the value that each key has; 0: none */
	struct
	{
		KvReadView view; /* max_csn 0: not taken */
		uint64_t csn[KEYS];
	} snapshots[SNAPSHOTS];
} Store;

static KvSlice
key_of(char *buf, uint32_t k)
{
	size_t n;

	kv_store_be32(buf, 1);
	/* some differ behind what bounds can hold */
	memset(buf + 4, 'x', 140);
	n = k % 9 == 4 ? 144 : 4;
	n += (size_t) sprintf(buf + n, "%0*u", 1 + (int) (k % 3), k);
	return kv_slice(buf, n);
}

static void
set_horizon(Store *s)
{
	uint64_t oldest = UINT64_MAX;
	int i;

	for (i = 0; i < SNAPSHOTS; i++)
		if (s->snapshots[i].view.max_csn != 0 &&
			s->snapshots[i].view.max_csn < oldest)
			oldest = s->snapshots[i].view.max_csn;
	s->t.penv->horizon.csn = oldest;
}

static void
write_some(Store *s)
{
	char bufs[8][200], ends[2][200];
	bool in_batch[KEYS] = {false};
	uint64_t csn = kv_snapshot_csn(s->t.db) + 1;
	uint32_t i, n = (uint32_t) kv_rand_below(6), k;
	KvBatch batch = {0};
	KvEntry range = {.kind = KV_KIND_RANGE_DELETE};
	uint64_t at = kv_rand_below(12); /* place of the range delete, or none */
	KvError err;

	range.key = key_of(ends[0], (uint32_t) kv_rand_below(KEYS));
	range.value = key_of(ends[1], (uint32_t) kv_rand_below(KEYS));
	if (kv_rand_below(6) == 0)
		range.value = kv_slice("\0\0\0\2", 4);
	if (kv_slice_compare(range.key, range.value) >= 0)
		at = 100;
	for (i = 0; i <= n; i++)
	{
		KvEntry e = {0};

		if (i == at)
			KV_CHECK_OK(kv_batch_add(s->t.env, &batch, &range, &err), &err);
		k = (uint32_t) kv_rand_below(KEYS);
		if (in_batch[k])
			continue;
		in_batch[k] = true;
		e.key = key_of(bufs[i], k);
		e.kind = kv_rand_below(4) ? KV_KIND_PUT : KV_KIND_DELETE;
		if (e.kind == KV_KIND_PUT)
			e.value = kv_slice((const char *) &csn, sizeof(csn));
		KV_CHECK_OK(kv_batch_add(s->t.env, &batch, &e, &err), &err);
		s->csn[k] = e.kind == KV_KIND_PUT ? csn : 0;
	}
	for (k = 0; k < KEYS && at <= n; k++)
	{
		char buf[200];
		KvSlice key = key_of(buf, k);

		if (!in_batch[k] && kv_slice_compare(range.key, key) <= 0 &&
			kv_slice_compare(key, range.value) < 0)
			s->csn[k] = 0;
	}
	test_write(&s->t, &batch);
	kv_batch_free(s->t.env, &batch);
	KV_CHECK_EQ(kv_snapshot_csn(s->t.db), csn);
}

static void
check_gets(Store *s, const KvReadView *view, const uint64_t *want)
{
	KvValue value = {0};
	KvError err;
	uint32_t k;

	for (k = 0; k < KEYS; k++)
	{
		char buf[200];
		uint64_t got = 0;
		KvStatus st = kv_get(s->t.db, view, key_of(buf, k), &value, &err);

		if (st == KV_OK)
			memcpy(&got, value.data, sizeof(got));
		else
			KV_CHECK_STATUS(st, KV_NOT_FOUND);
		KV_CHECK_EQ(got, want[k]);
	}
	kv_value_free(s->t.env, &value);
}

static void
check_scan(Store *s, const KvReadView *view, const uint64_t *want, bool reverse)
{
	char a[200], b[200];
	KvSlice lower = key_of(a, (uint32_t) kv_rand_below(KEYS));
	KvSlice upper = key_of(b, (uint32_t) kv_rand_below(KEYS));
	uint32_t k, expected = 0, got = 0;
	KvScan *scan;
	KvError err;
	KvEntry e;
	KvStatus st;

	if (kv_rand_below(3) == 0 || kv_slice_compare(lower, upper) >= 0)
	{
		lower = kv_slice("\0\0\0\1", 4);
		upper = kv_slice("\0\0\0\2", 4);
	}
	for (k = 0; k < KEYS; k++)
	{
		char buf[200];
		KvSlice key = key_of(buf, k);

		expected += want[k] != 0 && kv_slice_compare(lower, key) <= 0 &&
					kv_slice_compare(key, upper) < 0;
	}
	KV_REQUIRE_OK(kv_scan_open(s->t.db, view, lower, upper, reverse, NULL,
							   &scan, &err),
				  &err);
	while ((st = kv_scan_next(scan, &e, &err)) == KV_OK)
	{
		uint64_t csn;

		KV_REQUIRE(e.value.len == sizeof(csn));
		memcpy(&csn, e.value.data, sizeof(csn));
		for (k = 0; k < KEYS; k++)
		{
			char buf[200];

			if (kv_slice_equal(e.key, key_of(buf, k)))
				break;
		}
		KV_CHECK(k < KEYS && want[k] == csn);
		got++;
	}
	KV_CHECK_STATUS(st, KV_NOT_FOUND);
	KV_CHECK_EQ(got, expected);
	kv_scan_close(scan);
}

static void
check(Store *s)
{
	KvReadView now = {UINT64_MAX, NULL, NULL, 0};
	int i;

	check_gets(s, &now, s->csn);
	check_scan(s, &now, s->csn, false);
	check_scan(s, &now, s->csn, true);
	for (i = 0; i < SNAPSHOTS; i++)
		if (s->snapshots[i].view.max_csn != 0)
		{
			check_gets(s, &s->snapshots[i].view, s->snapshots[i].csn);
			check_scan(s, &s->snapshots[i].view, s->snapshots[i].csn,
					   kv_rand_below(2) == 0);
		}
}

static void
one_step(Store *s)
{
	uint64_t i = kv_rand_below(SNAPSHOTS);
	KvError err;
	bool busy;

	switch (kv_rand_below(20))
	{
	case 0:
		s->snapshots[i].view = (KvReadView){kv_snapshot_csn(s->t.db), NULL,
											NULL, 0};
		memcpy(s->snapshots[i].csn, s->csn, sizeof(s->csn));
		set_horizon(s);
		return;
	case 1:
		s->snapshots[i].view.max_csn = 0;
		set_horizon(s);
		return;
	case 2:
		test_flush(&s->t);
		return;
	case 3:
		if (kv_rand_below(6) == 0)
			test_compact(&s->t);
		return;
	case 4:
	case 5:
		test_work(&s->t);
		KV_CHECK_OK(kv_compact_step(s->t.db, 1 + kv_rand_below(5000), &busy,
									&err),
					&err);
		test_work(&s->t);
		return;
	case 6:
		if (kv_rand_below(20) == 0)
		{
			KV_CHECK_OK(kv_sync_log(s->t.db, &err), &err);
			test_db_kill(&s->t);
			KV_REQUIRE_OK(test_db_open(&s->t, &err), &err);
		}
		return;
	case 7:
		check(s);
		return;
	default:
		write_some(s);
	}
}

KV_TEST(a_store_beside_a_sorted_array)
{
	int round, rounds = kv_test_long() ? 300 : 8, step;

	for (round = 0; round < rounds && kv_test_failures() == 0; round++)
	{
		Store s = {0};
		KvError err;

		test_db_init(&s.t);
		s.t.config.file_bytes = 300 << kv_rand_below(5);
		s.t.config.block_bytes = 128 << kv_rand_below(3);
		s.t.config.job_bytes = 2048 << kv_rand_below(5);
		s.t.config.l0_compact = 2 + (uint32_t) kv_rand_below(3);
		KV_REQUIRE_OK(test_db_open(&s.t, &err), &err);
		for (step = 0; step < 500 && kv_test_failures() == 0; step++)
			one_step(&s);
		check(&s);
		test_verify(s.t.db);
		memset(s.snapshots, 0, sizeof(s.snapshots));
		set_horizon(&s);
		test_compact(&s.t);
		check(&s);
		test_verify(s.t.db);
		test_db_free(&s.t);
	}
}
