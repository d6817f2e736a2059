/* SPDX-License-Identifier: PostgreSQL */
/*
 * memtable_race_test.c - readers beside the writer, in a buffer that is
 * recycled all the time.
 *
 * Threads stand in for processes.  Built with -fsanitize=thread, this is
 * also the proof that all shared accesses are atomic.
 */
#include "harness.h"

#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "engine/base/coding.h"
#include "engine/base/file_header.h"
#include "engine/mem/memtable.h"

#define RACE_BYTES (512u << 10)

typedef struct Race
{
	KvMem *mem;
	/* generation << 32 | insertions done; release by the writer, pairs with
	 * the readers' acquire */
	_Atomic uint64_t published;
	atomic_bool stop;
	atomic_llong gets, scans, retries;
} Race;

/* Key i of a generation; every fifth is a new version of an older one. */
static KvSlice
race_key(uint64_t generation, uint32_t i, char *buf)
{
	uint64_t h;

	if (i % 5 == 4)
		i -= 1 + i / 5 % 4;
	h = (generation << 32 | i) * UINT64_C(0x9e3779b97f4a7c15);
	if (i % 2)
		h = i; /* half of them ascend */
	memcpy(buf, "\0\0\0\1user", 8);
	kv_store_be32(buf + 8, (uint32_t) (h >> 32));
	kv_store_be32(buf + 12, (uint32_t) h);
	return kv_slice(buf, 16);
}

/* Reads shared bytes one by one: the buffer may be recycled meanwhile. */
static void
careful_copy(char *to, KvSlice from)
{
	size_t i;

	for (i = 0; i < from.len; i++)
		to[i] = atomic_load_explicit((const _Atomic char *) from.data + i,
									 memory_order_acquire);
}

typedef struct RaceVisit
{
	bool found;
	bool wrong;
	uint64_t last_csn;
	uint64_t want; /* csn */
	char key[16];
} RaceVisit;

/* The value repeats key and csn. */
static bool
value_fits(const char *key, const char *value, uint64_t csn)
{
	return memcmp(value, key, 16) == 0 && kv_load_u64(value + 16) == csn;
}

static bool
race_visit(void *arg, const KvEntry *e)
{
	RaceVisit *v = arg;
	char value[24];

	if (e->value.len != 24)
	{
		v->wrong = true;
		return true;
	}
	careful_copy(value, e->value);
	if (e->csn >= v->last_csn || !value_fits(v->key, value, e->csn))
		v->wrong = true;
	v->last_csn = e->csn;
	if (e->csn == v->want)
		v->found = true;
	return v->found;
}

static void
race_get(Race *race, KvRand *r)
{
	uint64_t published = atomic_load_explicit(&race->published,
											  memory_order_acquire);
	uint32_t n = (uint32_t) published;
	RaceVisit v = {.last_csn = UINT64_MAX};
	uint32_t i;
	KvSlice key;
	KvStatus status;

	if (n == 0)
		return;
	i = (uint32_t) (kv_rand_next(r) % n);
	if (kv_rand_next(r) % 2)
		i = n - 1 - i % (n < 8 ? n : 8);
	key = race_key(published >> 32, i, v.key);
	v.want = i + 1;
	KV_CHECK(!kv_mem_lacks(race->mem, published >> 32, kv_key_hash(key)));
	status = kv_mem_get(race->mem, published >> 32, key, race_visit, &v);
	atomic_fetch_add_explicit(&race->gets, 1, memory_order_relaxed);
	if (status == KV_RETRY)
		atomic_fetch_add_explicit(&race->retries, 1, memory_order_relaxed);
	else
	{
		KV_CHECK_STATUS(status, KV_OK);
		KV_CHECK(!v.wrong);
		KV_CHECK(v.found);
	}
}

static void
race_scan(Race *race, KvRand *r)
{
	uint64_t published = atomic_load_explicit(&race->published,
											  memory_order_acquire);
	bool backward = kv_rand_next(r) % 2;
	KvIter *it;
	KvError err;
	uint64_t n = 0;
	char key[16] = {0};
	uint64_t csn = 0;

	KV_REQUIRE(kv_mem_iter(kv_test_env(), race->mem, published >> 32, &it) ==
			   KV_OK);
	it->err = &err;
	for (backward ? it->ops->last(it) : it->ops->first(it); it->valid;
		 backward ? it->ops->prev(it) : it->ops->next(it))
	{
		KvEntry *e = &it->entry;
		int cmp = kv_entry_compare(kv_slice(key, 16), csn, e->key, e->csn);

		KV_CHECK(e->key.len == 16 && e->value.len == 24 &&
				 value_fits(e->key.data, e->value.data, e->csn));
		KV_CHECK(n == 0 || (backward ? cmp > 0 : cmp < 0));
		if (kv_test_failures() > 0)
			break;
		memcpy(key, e->key.data, 16);
		csn = e->csn;
		n += e->csn <= (uint32_t) published;
	}
	if (it->status == KV_RETRY)
		atomic_fetch_add_explicit(&race->retries, 1, memory_order_relaxed);
	else if (kv_test_failures() == 0)
	{
		KV_CHECK_STATUS(it->status, KV_OK);
		KV_CHECK_EQ(n, (uint32_t) published);
	}
	atomic_fetch_add_explicit(&race->scans, 1, memory_order_relaxed);
	it->ops->close(it);
}

/* ---- range deletes: every 16th batch has one, of its own key alone */

#define RANGE_EVERY 16

typedef struct RangeVisit
{
	uint64_t want, last_csn, n;
	bool found, wrong;
} RangeVisit;

static bool
range_visit(void *arg, const KvEntry *e)
{
	RangeVisit *v = arg;

	v->wrong |= e->csn >= v->last_csn || e->kind != KV_KIND_RANGE_DELETE ||
				e->csn % RANGE_EVERY != 1 || e->xid != 0;
	if (e->key.len > 0)
		v->wrong |= e->key.len != 16 || e->value.len != 17 ||
					memcmp(e->key.data, e->value.data, 16) != 0 ||
					e->value.data[16] != 0;
	v->last_csn = e->csn;
	v->found |= e->csn == v->want;
	v->n++;
	return false;
}

static void
race_ranges(Race *race, KvRand *r)
{
	uint64_t published = atomic_load_explicit(&race->published,
											  memory_order_acquire);
	uint32_t n = (uint32_t) published, i;
	RangeVisit v = {.last_csn = UINT64_MAX};
	char key[16];
	bool all = kv_rand_next(r) % 4 == 0;
	KvStatus status;

	if (n == 0)
		return;
	i = (uint32_t) (kv_rand_next(r) % n) / RANGE_EVERY * RANGE_EVERY;
	v.want = i + 1;
	if (all)
		status = kv_mem_range_deletes(kv_test_env(), race->mem,
									  published >> 32, range_visit, &v);
	else
		status = kv_mem_covering(race->mem, published >> 32,
								 race_key(published >> 32, i, key),
								 range_visit, &v);
	if (status == KV_RETRY)
	{
		atomic_fetch_add_explicit(&race->retries, 1, memory_order_relaxed);
		return;
	}
	KV_CHECK_STATUS(status, KV_OK);
	KV_CHECK(!v.wrong && v.found);
	KV_CHECK(!all || v.n >= (n + RANGE_EVERY - 1) / RANGE_EVERY);
}

typedef struct RaceThread
{
	Race *race;
	uint64_t seed;
	pthread_t thread;
} RaceThread;

static void *
race_reader(void *arg)
{
	RaceThread *t = arg;
	KvRand r;

	kv_rand_init(&r, t->seed);
	while (!atomic_load(&t->race->stop) && kv_test_failures() == 0)
	{
		int i;

		for (i = 0; i < 200; i++)
			race_get(t->race, &r);
		for (i = 0; i < 20; i++)
			race_ranges(t->race, &r);
		race_scan(t->race, &r);
	}
	return NULL;
}

static void
race_write_generation(Race *race, uint64_t generation)
{
	uint32_t i = 0;

	for (;;)
	{
		char key[17] = {0};
		char value[24];
		uint32_t batch;
		KvEntry e = {.key = race_key(generation, i, key),
					 .value = kv_slice(value, 24),
					 .kind = KV_KIND_PUT};
		KvEntry range = {.key = e.key,
						 .value = kv_slice(key, 17),
						 .kind = KV_KIND_RANGE_DELETE};

		memcpy(value, key, 16);
		kv_put_u64(value + 16, i + 1);
		if (kv_mem_free(race->mem) < kv_mem_bound(2, 40 + 33))
			return;
		KV_REQUIRE(kv_mem_begin_batch(race->mem, i + 1, 0, 0,
									  KV_XACT_COMMITTED, &batch) == KV_OK);
		KV_REQUIRE(kv_mem_add(race->mem, batch, &e) == KV_OK);
		if (i % RANGE_EVERY == 0)
			KV_REQUIRE(kv_mem_add(race->mem, batch, &range) == KV_OK);
		i++;
		atomic_store_explicit(&race->published, generation << 32 | i,
							  memory_order_release);
	}
}

KV_TEST(readers_beside_the_writer)
{
	Race race = {.mem = aligned_alloc(64, RACE_BYTES), .published = 1ull << 32};
	RaceThread reader[3];
	uint64_t generation = 1;
	time_t end = time(NULL) + (kv_test_long() ? 20 : 2);
	int i;

	KV_REQUIRE(race.mem != NULL);
	kv_mem_init(race.mem, RACE_BYTES, 1);
	kv_mem_init_filter(race.mem);
	for (i = 0; i < 3; i++)
	{
		reader[i].race = &race;
		reader[i].seed = kv_test_seed() + (uint64_t) i + 1;
		KV_REQUIRE(pthread_create(&reader[i].thread, NULL, race_reader,
								  &reader[i]) == 0);
	}
	while (time(NULL) < end && kv_test_failures() == 0)
	{
		race_write_generation(&race, generation);
		KV_CHECK_STATUS(kv_mem_check(race.mem, NULL), KV_OK);
		generation++;
		kv_mem_init(race.mem, RACE_BYTES, generation);
		kv_mem_init_filter(race.mem);
		atomic_store_explicit(&race.published, generation << 32,
							  memory_order_release);
	}
	atomic_store(&race.stop, true);
	for (i = 0; i < 3; i++)
		pthread_join(reader[i].thread, NULL);
	KV_CHECK(generation > 2);
	KV_CHECK(race.retries > 0);
	printf("# %llu generations, %lld gets, %lld scans, %lld retries\n",
		   (unsigned long long) generation, (long long) race.gets,
		   (long long) race.scans, (long long) race.retries);
	free(race.mem);
}
