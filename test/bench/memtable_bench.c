/* SPDX-License-Identifier: PostgreSQL */
/*
 * memtable_bench.c - the memtable beside a skip list of the same entries.
 *
 * memtable_bench [entries [shape]]: inserts so many entries of 16 + 100
 * bytes (in batches of 100), finds all of them in another order, scans them;
 * shape is random, text or ascending.  Prints nanoseconds an operation.  Then
 * the memtable with readers beside the writer.  The skip list is the plain
 * one of textbooks (p = 1/4, entries in line with their towers, bump
 * allocated), without the atomics that its readers would need.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "engine/base/coding.h"
#include "engine/mem/memtable.h"

#define KEY_BYTES	20
#define VALUE_BYTES 100
#define MAX_HEIGHT	12

/* CPU time, except where threads run together: the machine is shared. */
static clockid_t clock_id = CLOCK_THREAD_CPUTIME_ID;

static double
now_ns(void)
{
	struct timespec ts;

	clock_gettime(clock_id, &ts);
	return (double) ts.tv_sec * 1e9 + (double) ts.tv_nsec;
}

static uint64_t
mix(uint64_t x)
{
	x += UINT64_C(0x9e3779b97f4a7c15);
	x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
	return x ^ (x >> 31);
}

/* ---- keys ---- */

static const char *shape = "random";
static uint32_t entries;

/* A permutation of the keys without a table, which would cost misses. */
static uint32_t
permuted(uint32_t i)
{
	/* a prime larger than any n here: no common divisor */
	return (uint32_t) (i * UINT64_C(2654435761) % entries);
}

static KvSlice
key_of(uint32_t i, char *buf)
{
	int digit;

	kv_store_be32(buf, 1);
	if (shape[0] == 'r')
	{
		uint64_t r[2] = {mix(2 * (uint64_t) i), mix(2 * (uint64_t) i + 1)};

		memcpy(buf + 4, r, 16);
		return kv_slice(buf, KEY_BYTES);
	}
	if (shape[0] == 't')
		i = permuted(permuted(i));
	memcpy(buf + 4, "user:00000000000", 16);
	for (digit = KEY_BYTES - 1; i > 0; digit--, i /= 10)
		buf[digit] = (char) ('0' + i % 10);
	return kv_slice(buf, KEY_BYTES);
}

/* ---- the skip list ---- */

typedef struct SkipNode
{
	char key[KEY_BYTES];
	char value[VALUE_BYTES];
	struct SkipNode *next[]; /* as many as its height */
} SkipNode;

static char *skip_arena;
static size_t skip_used;
static SkipNode *skip_head;
static int skip_height = 1;

static SkipNode *
skip_alloc(int height)
{
	size_t bytes = sizeof(SkipNode) + (size_t) height * sizeof(SkipNode *);
	SkipNode *node = (SkipNode *) (skip_arena + skip_used);

	skip_used += (bytes + 7) & ~(size_t) 7;
	return node;
}

static SkipNode *
skip_find(const char *key, SkipNode **before)
{
	SkipNode *node = skip_head;
	int level;

	for (level = skip_height - 1;; level--)
	{
		SkipNode *next = node->next[level];

		while (next && memcmp(next->key, key, KEY_BYTES) < 0)
		{
			node = next;
			next = node->next[level];
		}
		if (before)
			before[level] = node;
		if (level == 0)
			return next;
	}
}

static void
skip_insert(const char *key, const char *value, uint64_t random)
{
	SkipNode *before[MAX_HEIGHT];
	SkipNode *node;
	int height = 1;
	int i;

	for (i = 0; i < MAX_HEIGHT; i++)
		before[i] = skip_head;
	while (height < MAX_HEIGHT && (random & 3) == 0)
	{
		height++;
		random >>= 2;
	}
	skip_find(key, before);
	if (height > skip_height)
		skip_height = height;
	node = skip_alloc(height);
	memcpy(node->key, key, KEY_BYTES);
	memcpy(node->value, value, VALUE_BYTES);
	for (i = 0; i < height; i++)
	{
		node->next[i] = before[i]->next[i];
		before[i]->next[i] = node;
	}
}

static void
bench_skip_list(uint32_t n)
{
	char key[32];
	char value[VALUE_BYTES] = {0};
	uint64_t sum = 0;
	double t0, t1, t2, t3;
	SkipNode *node;
	uint32_t i;

	skip_arena = malloc((size_t) n * 160 + 4096);
	memset(skip_arena, 0, (size_t) n * 160 + 4096);
	skip_used = 0;
	skip_height = 1;
	skip_head = skip_alloc(MAX_HEIGHT);
	t0 = now_ns();
	for (i = 0; i < n; i++)
	{
		key_of(i, key);
		skip_insert(key, value, mix(~(uint64_t) i));
	}
	t1 = now_ns();
	for (i = 0; i < n; i++)
	{
		key_of(permuted(i), key);
		node = skip_find(key, NULL);
		sum += (uint64_t) node->value[VALUE_BYTES - 1] +
			   (memcmp(node->key, key, KEY_BYTES) == 0);
	}
	t2 = now_ns();
	for (node = skip_head->next[0]; node; node = node->next[0])
		sum += (uint64_t) node->value[0] + 1;
	t3 = now_ns();
	printf("skip list %9u %-9s insert %5.0f  find %5.0f  next %4.0f ns  "
		   "%5.1f bytes/row%s\n",
		   n, shape, (t1 - t0) / n, (t2 - t1) / n, (t3 - t2) / n,
		   (double) skip_used / n, sum == 2 * (uint64_t) n ? "" : " WRONG");
	free(skip_arena);
}

/* ---- the memtable ---- */

static void *
bench_alloc(KvEnv *env, size_t size)
{
	(void) env;
	return malloc(size);
}

static void
bench_free(KvEnv *env, void *p)
{
	(void) env;
	free(p);
}

static const KvEnvOps bench_ops = {.alloc = bench_alloc, .free = bench_free};
static KvEnv bench_env = {&bench_ops};

static void
fail(const char *what)
{
	fprintf(stderr, "memtable_bench: %s\n", what);
	exit(1);
}

static bool
take(void *arg, const KvEntry *e)
{
	*(uint64_t *) arg += (uint64_t) e->value.data[VALUE_BYTES - 1] + 1;
	return true;
}

static KvMem *
new_mem(uint32_t n)
{
	size_t bytes = (size_t) n * 160 + (1 << 20);
	KvMem *mem;

	bytes -= bytes % 64;
	mem = aligned_alloc(64, bytes);
	if (mem == NULL)
		fail("no memory");
	memset(mem, 0, bytes); /* page faults are not what is measured */
	kv_mem_init(mem, bytes, 1);
	return mem;
}

static _Atomic uint32_t inserted;

static void
fill(KvMem *mem, uint32_t n)
{
	char key[32];
	char value[VALUE_BYTES] = {0};
	uint32_t batch = 0;
	uint32_t i;

	for (i = 0; i < n; i++)
	{
		KvEntry e = {.key = key_of(i, key),
					 .value = kv_slice(value, VALUE_BYTES),
					 .kind = KV_KIND_PUT};

		if (i % 100 == 0 &&
			kv_mem_begin_batch(mem, i + 1, i + 1, 0, KV_XACT_COMMITTED,
							   &batch) != KV_OK)
			fail("full");
		if (kv_mem_add(mem, batch, &e) != KV_OK)
			fail("full");
		atomic_store_explicit(&inserted, i + 1, memory_order_release);
	}
}

static double
scan(KvMem *mem, uint64_t *sum)
{
	double t = now_ns();
	KvIter *it;

	if (kv_mem_iter(&bench_env, mem, 1, &it) != KV_OK)
		fail("no memory");
	for (it->ops->first(it); it->valid; it->ops->next(it))
		*sum += (uint64_t) it->entry.value.data[0] + 1;
	it->ops->close(it);
	return now_ns() - t;
}

static void
bench_memtable(uint32_t n)
{
	KvMem *mem = new_mem(n);
	char key[32];
	uint64_t sum = 0;
	double t0, t1, t2, t3;
	uint32_t i;

	t0 = now_ns();
	fill(mem, n);
	t1 = now_ns();
	for (i = 0; i < n; i++)
		if (kv_mem_get(mem, 1, key_of(permuted(i), key), take, &sum) != KV_OK)
			fail("get");
	t2 = now_ns();
	t3 = scan(mem, &sum);
	printf("memtable  %9u %-9s insert %5.0f  find %5.0f  next %4.0f ns  "
		   "%5.1f bytes/row%s\n",
		   n, shape, (t1 - t0) / n, (t2 - t1) / n, t3 / n,
		   (double) kv_mem_used(mem) / n,
		   sum == 2 * (uint64_t) n ? "" : " WRONG");
	free(mem);
}

/* ---- readers beside the writer ---- */

typedef struct Reader
{
	KvMem *mem;
	pthread_t thread;
	uint64_t finds, missed;
} Reader;

static atomic_bool stop;

static void *
read_all_the_time(void *arg)
{
	Reader *r = arg;
	char key[32];
	uint64_t x = (uint64_t) (uintptr_t) r;

	while (!atomic_load_explicit(&stop, memory_order_relaxed))
	{
		uint32_t n = atomic_load_explicit(&inserted, memory_order_acquire);
		uint64_t sum = 0;

		if (n == 0)
			continue;
		x = mix(x);
		if (kv_mem_get(r->mem, 1, key_of((uint32_t) (x % n), key), take,
					   &sum) != KV_OK)
			fail("get");
		r->finds++;
		r->missed += sum != 1;
	}
	return NULL;
}

static void
bench_together(uint32_t n, int readers)
{
	KvMem *mem = new_mem(n);
	Reader reader[3] = {0};
	uint64_t finds = 0;
	uint64_t missed = 0;
	double t;
	int i;

	atomic_store(&inserted, 0);
	atomic_store(&stop, false);
	for (i = 0; i < readers; i++)
	{
		reader[i].mem = mem;
		if (pthread_create(&reader[i].thread, NULL, read_all_the_time,
						   &reader[i]) != 0)
			fail("no thread");
	}
	clock_id = CLOCK_MONOTONIC;
	t = now_ns();
	fill(mem, n);
	t = now_ns() - t;
	clock_id = CLOCK_THREAD_CPUTIME_ID;
	atomic_store(&stop, true);
	for (i = 0; i < readers; i++)
	{
		pthread_join(reader[i].thread, NULL);
		finds += reader[i].finds;
		missed += reader[i].missed;
	}
	printf("memtable  %9u %-9s insert %5.0f ns beside %d readers, each find "
		   "%5.0f ns, %llu missed\n",
		   n, shape, t / n, readers, t * readers / (double) finds,
		   (unsigned long long) missed);
	free(mem);
}

int
main(int argc, char **argv)
{
	uint32_t n = argc > 1 ? (uint32_t) strtoul(argv[1], NULL, 10) : 500000;
	char key[32];
	uint64_t sum = 0;
	double t;
	uint32_t i;

	if (argc > 2)
		shape = argv[2];
	if (n == 0)
		fail("usage: memtable_bench [entries [random|text|ascending]]");
	entries = n;
	t = now_ns();
	for (i = 0; i < n; i++)
		sum += (uint64_t) key_of(permuted(i), key).data[5];
	printf("making a key costs %.0f ns of each (%u)\n", (now_ns() - t) / n,
		   (unsigned) (sum & 1));
	bench_skip_list(n);
	bench_memtable(n);
	bench_together(n, 1);
	bench_together(n, 3);
	return 0;
}
