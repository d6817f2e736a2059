/* SPDX-License-Identifier: PostgreSQL */
/*
 * memtable_limits_test.c - what fits into a memtable, its batches, and the
 * statuses of those who come too late or get no memory.
 */
#include "harness.h"

#include "engine/mem/memtable.h"

static KvIter *
open_iter(const KvMem *mem)
{
	KvIter *it = NULL;
	static KvError err;

	KV_REQUIRE(kv_mem_iter(kv_test_env(), mem, kv_mem_generation(mem), &it) ==
			   KV_OK);
	it->err = &err;
	return it;
}

static KvMem *
new_mem(size_t bytes, uint64_t generation)
{
	KvMem *mem = aligned_alloc(64, bytes);

	KV_REQUIRE(mem != NULL);
	kv_mem_init(mem, bytes, generation);
	return mem;
}

static uint32_t
new_batch(KvMem *mem, uint64_t csn)
{
	uint32_t batch = 0;

	KV_REQUIRE(kv_mem_begin_batch(mem, csn, csn + 1000, csn + 2000,
								  KV_XACT_IN_DOUBT, &batch) == KV_OK);
	return batch;
}

static KvEntry
put_of(KvSlice key, KvSlice value)
{
	KvEntry e = {.key = key, .value = value, .kind = KV_KIND_PUT};

	return e;
}

KV_TEST(batches_and_their_states)
{
	KvMem *mem = new_mem(65536, 1);
	uint32_t batch[3];
	uint32_t at = 0;
	KvMemBatch info;
	int i;

	for (i = 0; i < 3; i++)
		batch[i] = new_batch(mem, (uint64_t) i + 1);
	kv_mem_set_state(mem, batch[1], KV_XACT_ABORTED);
	for (i = 0; kv_mem_next_batch(mem, &at, &info); i++)
	{
		KV_CHECK_EQ(at, batch[i]);
		KV_CHECK_EQ(info.csn, i + 1);
		KV_CHECK_EQ(info.xid, i + 1001);
		KV_CHECK_EQ(info.lsn, i + 2001);
		KV_CHECK_EQ(info.state, i == 1 ? KV_XACT_ABORTED : KV_XACT_IN_DOUBT);
	}
	KV_CHECK_EQ(i, 3);
	KV_CHECK_EQ(kv_mem_batch(mem, batch[2]).lsn, 2003);
	free(mem);
}

KV_TEST(largest_keys_and_values)
{
	size_t bytes = 16u << 20;
	KvMem *mem = new_mem(bytes, 1);
	char *key = malloc(KV_MAX_KEY + 1);
	size_t value_len = 5u << 20;
	char *value = malloc(value_len);
	uint32_t batch = new_batch(mem, 1);
	KvIter *it;
	KvEntry e;
	int i;

	memset(key, 0xff, KV_MAX_KEY + 1);
	memset(value, 'v', value_len);
	for (i = 0; i < 3; i++)
	{
		e = put_of(kv_slice(key, KV_MAX_KEY - (size_t) i),
				   kv_slice(value, value_len >> (8 * i)));
		KV_CHECK_STATUS(kv_mem_add(mem, batch, &e), KV_OK);
	}
	e.key.len = KV_MAX_KEY + 1;
	KV_CHECK_STATUS(kv_mem_add(mem, batch, &e), KV_TOO_LARGE);
	it = open_iter(mem);
	for (i = 2, it->ops->first(it); it->valid; it->ops->next(it), i--)
	{
		KV_CHECK_EQ(it->entry.key.len, KV_MAX_KEY - i);
		KV_CHECK_SLICES(it->entry.value, kv_slice(value, value_len >> (8 * i)));
	}
	KV_CHECK_EQ(i, -1);
	KV_CHECK_EQ(it->status, KV_OK);
	it->ops->close(it);
	KV_CHECK_STATUS(kv_mem_check(mem, NULL), KV_OK);
	free(key);
	free(value);
	free(mem);
}

KV_TEST(sixty_four_megabytes_hold_450000_rows)
{
	KvMem *mem = new_mem(64u << 20, 1);
	char key[20] = {0, 0, 0, 1};
	char value[100] = {0};
	uint32_t batch = 0;
	uint64_t promised = 0;
	KvStatus status;

	do
	{
		uint64_t r[2] = {kv_rand(), kv_rand()};
		KvEntry e = put_of(kv_slice(key, 20), kv_slice(value, 100));
		uint64_t rows = kv_mem_entries(mem);

		memcpy(key + 4, r, 16);
		if (promised == 0 && kv_mem_free(mem) < kv_mem_bound(100, 12000))
			promised = rows;
		if (rows % 100 == 0)
			batch = new_batch(mem, rows + 1);
		status = kv_mem_add(mem, batch, &e);
	} while (status == KV_OK);
	KV_CHECK_STATUS(status, KV_FULL);
	KV_CHECK(kv_mem_entries(mem) >= 450000);
	KV_CHECK(promised >= 440000);
	printf("# %llu rows of 16 + 100 bytes, %llu of them promised\n",
		   (unsigned long long) kv_mem_entries(mem),
		   (unsigned long long) promised);
	KV_CHECK_STATUS(kv_mem_check(mem, NULL), KV_OK);
	free(mem);
}

static bool
count_visit(void *arg, const KvEntry *e)
{
	(void) e;
	++*(int *) arg;
	return false;
}

KV_TEST(a_recycled_buffer_says_retry)
{
	KvMem *mem = new_mem(65536, 1);
	uint32_t batch = new_batch(mem, 1);
	KvEntry e = put_of(kv_slice("\0\0\0\1a", 5), kv_slice("1", 1));
	KvIter *it;
	int visits = 0;

	KV_REQUIRE(kv_mem_add(mem, batch, &e) == KV_OK);
	it = open_iter(mem);
	it->ops->first(it);
	KV_REQUIRE(it->valid);
	kv_mem_init(mem, 65536, 2);
	/* still there: it is a copy */
	KV_CHECK_SLICE(it->entry.value, "1");
	it->ops->next(it);
	KV_CHECK(!it->valid);
	KV_CHECK_STATUS(it->status, KV_RETRY);
	it->ops->first(it);
	KV_CHECK_STATUS(it->status, KV_RETRY);
	KV_CHECK_STATUS(kv_mem_get(mem, 1, e.key, count_visit, &visits), KV_RETRY);
	KV_CHECK_STATUS(kv_mem_get(mem, 2, e.key, count_visit, &visits), KV_OK);
	KV_CHECK_EQ(visits, 0);
	it->ops->close(it);
	free(mem);
}

KV_TEST(no_memory_for_an_iterator)
{
	KvMem *mem = new_mem(65536, 1);
	uint32_t batch = new_batch(mem, 1);
	KvEntry e = put_of(kv_slice("\0\0\0\1a", 5), kv_slice("1", 1));
	KvIter *it = NULL;

	KV_REQUIRE(kv_mem_add(mem, batch, &e) == KV_OK);
	kv_test_env_fail_alloc(1);
	KV_CHECK_STATUS(kv_mem_iter(kv_test_env(), mem, 1, &it), KV_NO_MEMORY);
	it = open_iter(mem);
	kv_test_env_fail_alloc(1);
	it->ops->first(it);
	KV_CHECK(!it->valid);
	KV_CHECK_STATUS(it->status, KV_NO_MEMORY);
	it->ops->first(it);
	KV_CHECK(it->valid);
	it->ops->close(it);
	free(mem);
}
