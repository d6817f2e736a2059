/* SPDX-License-Identifier: PostgreSQL */
/*
 * cache_test.c - the block cache: few frames, all pinned, many threads.
 */
#include "env_posix.h"
#include "harness.h"

#include <time.h>

#include "engine/sst/block_cache.h"

#define FRAME 256

/* What block {file_no, offset} holds. */
static uint32_t
fill(char *block, uint64_t file_no, uint64_t offset)
{
	uint32_t len = 1 + (uint32_t) ((file_no * 31 + offset) % FRAME);

	memset(block, (int) (file_no * 7 + offset), len);
	return len;
}

static bool
is_filled(const char *block, uint32_t len, uint64_t file_no, uint64_t offset)
{
	char want[FRAME];

	return len == fill(want, file_no, offset) && memcmp(block, want, len) == 0;
}

typedef struct Fixture
{
	KvCache cache;
	void *area;
} Fixture;

static size_t
bytes_for(size_t frames)
{
	size_t bytes = frames * FRAME;

	while (kv_cache_frames(bytes, FRAME) < frames)
		bytes += 8;
	return bytes;
}

static Fixture
set_up(KvEnv *env, size_t frames)
{
	Fixture f;
	size_t bytes = bytes_for(frames);

	KV_CHECK_EQ(kv_cache_frames(bytes, FRAME), frames);
	f.area = malloc(bytes); /* exactly: writing beyond is seen by ASan */
	memset(f.area, 0xa5, bytes);
	kv_cache_init(f.area, bytes, FRAME);
	kv_cache_attach(&f.cache, env, f.area);
	return f;
}

static bool
insert(Fixture *f, uint64_t file_no, uint64_t offset, bool keep, uint32_t *pin)
{
	char block[FRAME];
	const char *data;
	uint32_t len = fill(block, file_no, offset);

	if (!kv_cache_insert(&f->cache, file_no, offset, block, len, keep, &data,
						 pin))
		return false;
	KV_CHECK(is_filled(data, len, file_no, offset));
	return true;
}

static bool
find(Fixture *f, uint64_t file_no, uint64_t offset)
{
	const char *data;
	uint32_t len;
	uint32_t pin;

	if (!kv_cache_find(&f->cache, file_no, offset, &data, &len, &pin))
		return false;
	KV_CHECK(is_filled(data, len, file_no, offset));
	kv_cache_unpin(&f->cache, pin);
	return true;
}

KV_TEST(area_sizes)
{
	size_t bytes;

	KV_CHECK_EQ(kv_cache_frames(0, FRAME), 0);
	KV_CHECK_EQ(kv_cache_frames(FRAME, FRAME), 0);
	for (bytes = 0; bytes < 200000; bytes += 777)
	{
		size_t n = kv_cache_frames(bytes, FRAME);

		KV_CHECK(n * FRAME <= bytes);
		KV_CHECK(kv_cache_frames(bytes + FRAME * 2, FRAME) >= n);
	}
	/* bookkeeping is small */
	KV_CHECK(kv_cache_frames((size_t) 128 << 20, 16384) > 8192 - 64);
}

KV_TEST(no_frames)
{
	uint64_t area[32];
	Fixture f;
	uint32_t pin;
	KvCacheStats stats;

	kv_cache_init(area, sizeof(area), FRAME);
	kv_cache_attach(&f.cache, kv_test_env(), area);
	KV_CHECK(!insert(&f, 1, 0, false, &pin));
	KV_CHECK(!find(&f, 1, 0));
	kv_cache_stats(&f.cache, &stats);
	KV_CHECK_EQ(stats.frames, 0);
}

KV_TEST(all_pinned)
{
	size_t sizes[] = {1, 2, 16, 33, 300};
	size_t k;

	for (k = 0; k < sizeof(sizes) / sizeof(sizes[0]); k++)
	{
		size_t n = sizes[k];
		Fixture f = set_up(kv_test_env(), n);
		uint32_t *pins = malloc(n * sizeof(*pins));
		uint64_t *offsets = malloc(n * sizeof(*offsets));
		size_t held = 0;
		uint64_t offset;
		uint32_t pin;
		size_t i;

		for (offset = 0; offset < 100 * n + 1000 && held < n; offset += 1)
			if (insert(&f, 5, offset, offset % 3 == 0, &pins[held]))
				offsets[held++] = offset;
		KV_CHECK_EQ(held, n);
		for (i = 0; i < 1000; i++)
			KV_CHECK(!insert(&f, 6, i, false, &pin));
		for (i = 0; i < n; i++)
			KV_CHECK(find(&f, 5, offsets[i]));
		for (i = 0; i < n; i++)
			kv_cache_unpin(&f.cache, pins[i]);
		for (i = 0; i < 1000; i++)
		{
			KV_CHECK(insert(&f, 6, i, false, &pin));
			KV_CHECK(find(&f, 6, i));
			kv_cache_unpin(&f.cache, pin);
		}
		free(pins);
		free(offsets);
		free(f.area);
	}
}

KV_TEST(same_block_twice)
{
	Fixture f = set_up(kv_test_env(), 16);
	uint32_t a;
	uint32_t b;

	KV_CHECK(insert(&f, 1, 64, false, &a));
	KV_CHECK(insert(&f, 1, 64, false, &b));
	KV_CHECK_EQ(a, b);
	KV_CHECK(!find(&f, 2, 64));
	KV_CHECK(!find(&f, 1, 65));
	kv_cache_unpin(&f.cache, a);
	kv_cache_unpin(&f.cache, b);
	free(f.area);
}

KV_TEST(too_large)
{
	Fixture f = set_up(kv_test_env(), 16);
	char block[FRAME + 1] = {0};
	const char *data;
	uint32_t pin;
	KvCacheStats stats;

	KV_CHECK(!kv_cache_insert(&f.cache, 1, 0, block, FRAME + 1, false, &data,
							  &pin));
	KV_CHECK(kv_cache_insert(&f.cache, 1, 0, block, FRAME, false, &data, &pin));
	kv_cache_unpin(&f.cache, pin);
	kv_cache_stats(&f.cache, &stats);
	KV_CHECK_EQ(stats.oversize, 1);
	free(f.area);
}

/* Index blocks outlive data blocks; but not for ever if nobody asks. */
KV_TEST(kept_blocks)
{
	Fixture f = set_up(kv_test_env(), 64);
	uint32_t pin;
	uint64_t i;
	int alive = 0;

	for (i = 0; i < 16; i++)
		if (insert(&f, 1, i, true, &pin))
			kv_cache_unpin(&f.cache, pin);
	for (i = 0; i < 100; i++)
		if (insert(&f, 2, i, false, &pin))
			kv_cache_unpin(&f.cache, pin);
	for (i = 0; i < 16; i++)
		alive += find(&f, 1, i);
	KV_CHECK_EQ(alive, 16);
	for (i = 0; i < 5000; i++)
		if (insert(&f, 3, i, false, &pin))
			kv_cache_unpin(&f.cache, pin);
	alive = 0;
	for (i = 0; i < 16; i++)
		alive += find(&f, 1, i);
	KV_CHECK_EQ(alive, 0);
	free(f.area);
}

/* 16 frames: each block that went in is there or was counted as evicted. */
KV_TEST(counters_tell_what_happened)
{
	Fixture f = set_up(kv_test_env(), 16);
	uint64_t there = 0, missed = 0, i;
	KvCacheStats stats;
	uint32_t pin;

	for (i = 0; i < 500; i++)
	{
		missed += !find(&f, 1, i);
		KV_CHECK(insert(&f, 1, i, i % 7 == 0, &pin));
		kv_cache_unpin(&f.cache, pin);
	}
	for (i = 0; i < 500; i++)
		there += find(&f, 1, i);
	kv_cache_stats(&f.cache, &stats);
	KV_CHECK_EQ(stats.frames, 16);
	KV_CHECK(there > 0 && there <= 16);
	KV_CHECK_EQ(stats.hits, there);
	KV_CHECK_EQ(stats.misses, missed + 500 - there);
	KV_CHECK_EQ(stats.evictions, 500 - there);
	free(f.area);
}

KV_TEST(an_offer_takes_nothing_away)
{
	PosixEnv *penv = posix_env_open_temp();
	Fixture f = set_up(&penv->env, 16);
	char block[FRAME];
	uint64_t gone[] = {2, 7};
	uint32_t i, there = 0, pin;
	KvCacheStats stats;

	for (i = 0; i < 10; i++)
	{
		KV_CHECK(insert(&f, 1, i, false, &pin));
		kv_cache_unpin(&f.cache, pin);
	}
	for (i = 0; i < 100; i++)
		kv_cache_offer(&f.cache, 2, i, block, fill(block, 2, i), i % 2 == 0);
	for (i = 0; i < 10; i++)
		KV_CHECK(find(&f, 1, i));
	for (i = 0; i < 100; i++)
		there += find(&f, 2, i);
	KV_CHECK_EQ(there, 6);
	/* what is forgotten makes room, but not under a pin */
	KV_CHECK(insert(&f, 2, 0, false, &pin));
	kv_cache_forget(&f.cache, gone, 2);
	KV_CHECK(find(&f, 2, 0));
	kv_cache_unpin(&f.cache, pin);
	for (i = 0; i < 10; i++)
		KV_CHECK(find(&f, 1, i));
	for (i = 0; i < 100; i++)
		kv_cache_offer(&f.cache, 3, i, block, fill(block, 3, i), false);
	for (i = there = 0; i < 100; i++)
		there += find(&f, 3, i);
	KV_CHECK_EQ(there, 5);
	kv_cache_stats(&f.cache, &stats);
	KV_CHECK_EQ(stats.evictions, 0);
	free(f.area);
	posix_env_remove(penv);
	posix_env_close(penv);
}

/* ---- threads ---- */

typedef struct Worker
{
	Fixture *f;
	uint64_t seed;
	uint64_t end_ms;
	uint64_t blocks;
	uint64_t hits, tries;
} Worker;

static uint64_t
now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t) ts.tv_sec * 1000 + (uint64_t) ts.tv_nsec / 1000000;
}

static void *
work(void *arg)
{
	Worker *w = arg;
	KvCache cache; /* as each process has its own */
	KvRand r;
	char block[FRAME];

	kv_cache_attach(&cache, w->f->cache.env, w->f->area);
	kv_rand_init(&r, w->seed);
	while (now_ms() < w->end_ms && kv_test_failures() == 0)
	{
		uint64_t file_no = 1 + kv_rand_next(&r) % 4;
		uint64_t offset = kv_rand_next(&r) % w->blocks;
		const char *data;
		uint32_t len;
		uint32_t pin;
		int spins;

		w->tries++;
		/* what is written, and files that go away, beside the readers */
		if (w->tries % 50 == 0)
			kv_cache_forget(&cache, &file_no, 1);
		if (w->tries % 7 == 0)
			kv_cache_offer(&cache, file_no, offset, block,
						   fill(block, file_no, offset), offset % 5 == 0);
		if (kv_cache_find(&cache, file_no, offset, &data, &len, &pin))
			w->hits++;
		else
		{
			len = fill(block, file_no, offset);
			if (!kv_cache_insert(&cache, file_no, offset, block, len,
								 offset % 5 == 0, &data, &pin))
				continue;
		}
		/* while it is pinned it does not change */
		for (spins = 0; spins < 3; spins++)
			KV_CHECK(is_filled(data, len, file_no, offset));
		kv_cache_unpin(&cache, pin);
	}
	kv_cache_count(&cache);
	return NULL;
}

static void
run_threads(size_t frames, uint64_t blocks, uint64_t ms)
{
	PosixEnv *penv = posix_env_open_temp();
	Fixture f = set_up(&penv->env, frames);
	pthread_t threads[4];
	Worker workers[4];
	uint32_t *pins = malloc(frames * sizeof(*pins));
	size_t held = 0;
	uint64_t i;
	KvCacheStats stats;

	for (i = 0; i < 4; i++)
	{
		Worker w = {&f, kv_rand(), now_ms() + ms, blocks, 0, 0};

		workers[i] = w;
		KV_REQUIRE(pthread_create(&threads[i], NULL, work, &workers[i]) == 0);
	}
	for (i = 0; i < 4; i++)
		(void) pthread_join(threads[i], NULL);
	/* no pin was lost: every frame can be pinned once more */
	for (i = 0; i < 100 * frames + 1000 && held < frames; i++)
		held += insert(&f, 99, i, false, &pins[held]);
	KV_CHECK_EQ(held, frames);
	kv_cache_stats(&f.cache, &stats);
	for (i = 0; i < 4; i++)
	{
		KV_CHECK(workers[i].tries > 0);
		stats.hits -= workers[i].hits;
	}
	KV_CHECK_EQ(stats.hits, 0);
	free(pins);
	free(f.area);
	posix_env_remove(penv);
	posix_env_close(penv);
}

KV_TEST(threads)
{
	run_threads(16, 6, 500); /* 24 blocks: mostly hits, many evictions */
	run_threads(3, 4, 300);	 /* often all pinned */
	run_threads(256, 80, 500);
	run_threads(64, 2000, 300); /* mostly misses */
}
