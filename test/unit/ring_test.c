/* SPDX-License-Identifier: PostgreSQL */
/*
 * ring_test.c - the ring against a queue, and with a thread at each end.
 */
#include "harness.h"

#include <pthread.h>

#include "engine/base/coding.h"
#include "engine/wal/wal.h"

static KvRing *
new_ring(size_t bytes)
{
	KvRing *ring = malloc(kv_ring_area(bytes));

	KV_REQUIRE(ring != NULL);
	/* init does not rely on zeroed memory */
	memset((void *) ring, 0xab, kv_ring_area(bytes));
	kv_ring_init(ring, bytes);
	return ring;
}

/* Everything about record n follows from n. */
static KvLogRecord
record(uint64_t n, size_t max_payload, char *buf)
{
	KvLogRecord rec = {.type = (uint8_t) (1 + n % 3)};
	KvRand rand;
	size_t i;

	kv_rand_init(&rand, n);
	rec.csn = kv_rand_next(&rand);
	rec.xid = kv_rand_next(&rand);
	rec.lsn = n;
	rec.payload = kv_slice(buf, kv_rand_next(&rand) % (max_payload + 1));
	for (i = 0; i < rec.payload.len; i++)
		buf[i] = (char) (n + i);
	return rec;
}

static bool
same(const KvLogRecord *a, const KvLogRecord *b)
{
	return a->type == b->type && a->csn == b->csn && a->xid == b->xid &&
		   a->lsn == b->lsn && kv_slice_equal(a->payload, b->payload);
}

KV_TEST(ring_free_is_exact)
{
	enum
	{
		SIZE = 1000
	};
	KvRing *ring = new_ring(SIZE);
	char buf[SIZE];
	uint64_t n_in = 0, n_out = 0, end, pos = 0;
	int i, wraps = 0;

	KV_CHECK_EQ(kv_ring_size(ring), 1000);
	KV_CHECK_EQ(kv_ring_free(ring), 1000);
	for (i = 0; i < 20000; i++)
	{
		KvLogRecord rec = record(n_in, 400, buf);
		KvLogRecord got;
		size_t bound = kv_ring_bound(rec.payload.len);
		size_t room = kv_ring_free(ring);
		uint64_t before = kv_ring_inserted(ring);

		if (kv_rand_below(2) == 0)
		{
			KvStatus status = kv_ring_append(ring, &rec, &end);

			KV_CHECK_STATUS(status, bound <= room ? KV_OK : KV_FULL);
			if (status == KV_OK)
			{
				n_in++;
				KV_CHECK_EQ(end, kv_ring_inserted(ring));
				wraps += end - before != bound;
			}
			else
				KV_CHECK_EQ(before, kv_ring_inserted(ring));
		}
		else if (kv_ring_read(ring, &pos, &got))
		{
			rec = record(n_out++, 400, buf);
			KV_CHECK(same(&got, &rec));
			if (kv_rand_below(3) > 0)
				kv_ring_release(ring, pos);
		}
		else
			KV_CHECK_EQ(n_in, n_out);
		/* a drained ring takes half its size wherever it stands */
		if (n_in == n_out)
		{
			kv_ring_release(ring, pos);
			KV_CHECK_EQ(kv_ring_written(ring), kv_ring_inserted(ring));
			KV_CHECK(kv_ring_free(ring) >= SIZE / 2);
		}
	}
	KV_CHECK(wraps > 100);
	free(ring);
}

KV_TEST(ring_refuses_what_can_never_fit)
{
	KvRing *ring = new_ring(256);
	KvLogRecord rec = {.type = KV_LOG_BATCH};
	uint64_t end;

	rec.payload = kv_slice("x", SIZE_MAX - 3);
	KV_CHECK_STATUS(kv_ring_append(ring, &rec, &end), KV_FULL);
	rec.payload = kv_slice("x", 257);
	KV_CHECK_STATUS(kv_ring_append(ring, &rec, &end), KV_FULL);
	KV_CHECK_EQ(kv_ring_inserted(ring), 0);
	free(ring);
}

#define THREAD_RECORDS 200000

static void *
drain(void *arg)
{
	KvRing *ring = arg;
	char buf[200];
	uint64_t pos = 0, n = 0;
	KvLogRecord got;

	while (n < THREAD_RECORDS)
	{
		KvLogRecord want;

		if (!kv_ring_read(ring, &pos, &got))
			continue;
		want = record(n++, 200, buf);
		if (!same(&got, &want))
		{
			KV_CHECK(same(&got, &want));
			break;
		}
		if (n % 7 == 0)
			kv_ring_release(ring, pos);
	}
	kv_ring_release(ring, kv_ring_inserted(ring));
	return NULL;
}

KV_TEST(ring_between_two_threads)
{
	KvRing *ring = new_ring(4096);
	char buf[200];
	pthread_t thread;
	uint64_t n, end;

	KV_REQUIRE(pthread_create(&thread, NULL, drain, ring) == 0);
	for (n = 0; n < THREAD_RECORDS && kv_test_failures() == 0; n++)
	{
		KvLogRecord rec = record(n, 200, buf);

		while (kv_ring_append(ring, &rec, &end) != KV_OK &&
			   kv_test_failures() == 0)
			;
	}
	(void) pthread_join(thread, NULL);
	free(ring);
}

KV_TEST(settle_records)
{
	uint64_t xids[3] = {7, UINT64_MAX, 3};
	char buf[64];
	KvSettle settle;
	KvError err;
	size_t len = kv_settle_size(3), cut;

	kv_settle_encode(buf, 99, xids, 3);
	KV_REQUIRE_OK(kv_settle_decode(kv_slice(buf, len), &settle, &err), &err);
	KV_CHECK_EQ(settle.csn_through, 99);
	KV_CHECK_EQ(settle.n_aborted, 3);
	KV_CHECK_EQ(kv_settle_aborted(&settle, 1), UINT64_MAX);
	KV_CHECK_EQ(kv_settle_aborted(&settle, 2), 3);
	for (cut = 0; cut < len; cut++)
		KV_CHECK_STATUS(kv_settle_decode(kv_slice(buf, cut), &settle, &err),
						KV_CORRUPT);
	KV_CHECK_STATUS(kv_settle_decode(kv_slice(buf, len + 1), &settle, &err),
					KV_CORRUPT);
	(void) kv_put_u32(buf + 8, UINT32_MAX);
	KV_CHECK_STATUS(kv_settle_decode(kv_slice(buf, len), &settle, &err),
					KV_CORRUPT);
	kv_settle_encode(buf, 1, NULL, 0);
	KV_CHECK_OK(kv_settle_decode(kv_slice(buf, kv_settle_size(0)), &settle,
								 &err),
				&err);
}
