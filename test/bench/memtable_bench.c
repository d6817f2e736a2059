/* SPDX-License-Identifier: PostgreSQL */
/*
 * memtable_bench.c - the memtable beside a skip list of the same entries.
 *
 * memtable_bench entries readers [shape]: inserts so many entries of 16 + 100
 * bytes (in batches of 100) into one and then the other, or the other way
 * around with "swap" as a fourth argument.  Without readers it then finds all
 * of them in another order and scans them; with 1 to 8 readers these find
 * what was inserted so far while the writer goes on.  shape is random, text
 * or ascending.  Prints lines of tab-separated fields, which bench-memtable.sh
 * reads: structure, entries, readers, shape, what, nanoseconds an operation.
 *
 * The skip list is that of textbooks and of LevelDB: p = 1/4, entries in line
 * with their towers, bump allocated, pointers published with release and
 * read with acquire.
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
#define MAX_READERS 8

/* Of this thread; the machine may be shared. */
static double
cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double) ts.tv_sec * 1e9 + (double) ts.tv_nsec;
}

static double
wall_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec * 1e9 + (double) ts.tv_nsec;
}

static void
fail(const char *what)
{
	fprintf(stderr, "memtable_bench: %s\n", what);
	exit(1);
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
	_Atomic(struct SkipNode *) next[]; /* as many as its height */
} SkipNode;

static char *skip_arena;
static size_t skip_used;
static SkipNode *skip_head;
static _Atomic int skip_height;

static SkipNode *
skip_next(SkipNode *node, int level)
{
	return atomic_load_explicit(&node->next[level], memory_order_acquire);
}

static SkipNode *
skip_alloc(int height)
{
	size_t bytes = sizeof(SkipNode) + (size_t) height * sizeof(SkipNode *);
	SkipNode *node = (SkipNode *) (skip_arena + skip_used);

	skip_used += (bytes + 7) & ~(size_t) 7;
	return node;
}

static SkipNode *
skip_search(const char *key, SkipNode **before)
{
	SkipNode *node = skip_head;
	int level;

	for (level = atomic_load_explicit(&skip_height, memory_order_relaxed) - 1;;
		 level--)
	{
		SkipNode *next = skip_next(node, level);

		while (next && memcmp(next->key, key, KEY_BYTES) < 0)
		{
			node = next;
			next = skip_next(node, level);
		}
		if (before)
			before[level] = node;
		if (level == 0)
			return next;
	}
}

static void
skip_open(uint32_t n)
{
	skip_arena = malloc((size_t) n * 160 + 4096);
	if (skip_arena == NULL)
		fail("no memory");
	/* page faults are not what is measured */
	memset(skip_arena, 0, (size_t) n * 160 + 4096);
	skip_used = 0;
	atomic_store(&skip_height, 1);
	skip_head = skip_alloc(MAX_HEIGHT);
}

static void
skip_insert(uint32_t i, KvSlice key, const char *value)
{
	SkipNode *before[MAX_HEIGHT];
	SkipNode *node;
	uint64_t random = mix(~(uint64_t) i);
	int height = 1, level;

	for (level = 0; level < MAX_HEIGHT; level++)
		before[level] = skip_head;
	while (height < MAX_HEIGHT && (random & 3) == 0)
	{
		height++;
		random >>= 2;
	}
	(void) skip_search(key.data, before);
	if (height > atomic_load_explicit(&skip_height, memory_order_relaxed))
		atomic_store_explicit(&skip_height, height, memory_order_relaxed);
	node = skip_alloc(height);
	memcpy(node->key, key.data, KEY_BYTES);
	memcpy(node->value, value, VALUE_BYTES);
	for (level = 0; level < height; level++)
	{
		atomic_store_explicit(&node->next[level],
							  skip_next(before[level], level),
							  memory_order_relaxed);
		/* pairs with skip_next: who sees the node sees what is in it */
		atomic_store_explicit(&before[level]->next[level], node,
							  memory_order_release);
	}
}

static uint64_t
skip_find(KvSlice key)
{
	SkipNode *node = skip_search(key.data, NULL);

	if (node == NULL || memcmp(node->key, key.data, KEY_BYTES) != 0)
		return 0;
	return (uint64_t) node->value[VALUE_BYTES - 1] + 1;
}

static uint64_t
skip_scan(void)
{
	SkipNode *node;
	uint64_t sum = 0;

	for (node = skip_next(skip_head, 0); node; node = skip_next(node, 0))
		sum += (uint64_t) node->value[0] + 1;
	return sum;
}

static size_t
skip_close(void)
{
	free(skip_arena);
	return skip_used;
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
static KvMem *mem;
static uint32_t batch;

static void
mem_open(uint32_t n)
{
	size_t bytes = (size_t) n * 160 + (1 << 20);

	bytes -= bytes % 64;
	mem = aligned_alloc(64, bytes);
	if (mem == NULL)
		fail("no memory");
	memset(mem, 0, bytes);
	kv_mem_init(mem, bytes, 1);
}

static void
mem_insert(uint32_t i, KvSlice key, const char *value)
{
	KvEntry e = {.key = key,
				 .value = kv_slice(value, VALUE_BYTES),
				 .kind = KV_KIND_PUT};

	if (i % 100 == 0 && kv_mem_begin_batch(mem, i + 1, i + 1, 0,
										   KV_XACT_COMMITTED, &batch) != KV_OK)
		fail("full");
	if (kv_mem_add(mem, batch, &e) != KV_OK)
		fail("full");
}

static bool
take(void *arg, const KvEntry *e)
{
	*(uint64_t *) arg += (uint64_t) e->value.data[VALUE_BYTES - 1] + 1;
	return true;
}

static uint64_t
mem_find(KvSlice key)
{
	uint64_t sum = 0;

	if (kv_mem_get(mem, 1, key, take, &sum) != KV_OK)
		fail("get");
	return sum;
}

static uint64_t
mem_scan(void)
{
	uint64_t sum = 0;
	KvIter *it;

	if (kv_mem_iter(&bench_env, mem, 1, &it) != KV_OK)
		fail("no memory");
	for (it->ops->first(it); it->valid; it->ops->next(it))
		sum += (uint64_t) it->entry.value.data[0] + 1;
	it->ops->close(it);
	return sum;
}

static size_t
mem_close(void)
{
	size_t used = (size_t) kv_mem_used(mem);

	free(mem);
	return used;
}

/* ---- the measurement ---- */

typedef struct Structure
{
	const char *name;
	void (*open)(uint32_t n);
	void (*insert)(uint32_t i, KvSlice key, const char *value);
	uint64_t (*find)(KvSlice key); /* 1, or 0: not there */
	uint64_t (*scan)(void);		   /* how many */
	size_t (*close)(void);		   /* bytes used */
} Structure;

static const Structure structures[] = {
	{"skip list", skip_open, skip_insert, skip_find, skip_scan, skip_close},
	{"memtable", mem_open, mem_insert, mem_find, mem_scan, mem_close},
};

static void
print(const Structure *s, uint32_t readers, const char *what, double value)
{
	printf("%s\t%u\t%u\t%s\t%s\t%.1f\n", s->name, entries, readers, shape,
		   what, value);
	fflush(stdout);
}

static _Atomic uint32_t inserted;

static void
fill(const Structure *s)
{
	char key[32];
	char value[VALUE_BYTES] = {0};
	uint32_t i;

	for (i = 0; i < entries; i++)
	{
		s->insert(i, key_of(i, key), value);
		atomic_store_explicit(&inserted, i + 1, memory_order_release);
	}
}

static void
alone(const Structure *s)
{
	char key[32];
	uint64_t sum = 0;
	double t0, t1, t2, t3;
	uint32_t i;

	s->open(entries);
	t0 = cpu_ns();
	fill(s);
	t1 = cpu_ns();
	for (i = 0; i < entries; i++)
		sum += s->find(key_of(permuted(i), key));
	t2 = cpu_ns();
	sum += s->scan();
	t3 = cpu_ns();
	if (sum != 2 * (uint64_t) entries)
		fail("something was not found");
	print(s, 0, "insert cpu", (t1 - t0) / entries);
	print(s, 0, "find cpu", (t2 - t1) / entries);
	print(s, 0, "next cpu", (t3 - t2) / entries);
	print(s, 0, "bytes", (double) s->close() / entries);
}

typedef struct Reader
{
	const Structure *s;
	pthread_t thread;
	uint64_t seed, finds, missed;
	double cpu;
} Reader;

static atomic_bool stop;

static void *
read_all_the_time(void *arg)
{
	Reader *r = arg;
	char key[32];
	uint64_t x = r->seed;
	double t = cpu_ns();

	while (!atomic_load_explicit(&stop, memory_order_relaxed))
	{
		uint32_t n = atomic_load_explicit(&inserted, memory_order_acquire);

		if (n == 0)
			continue;
		x = mix(x);
		r->missed += r->s->find(key_of((uint32_t) (x % n), key)) != 1;
		r->finds++;
	}
	r->cpu = cpu_ns() - t;
	return NULL;
}

static void
together(const Structure *s, uint32_t readers)
{
	Reader reader[MAX_READERS] = {0};
	uint64_t finds = 0, missed = 0;
	double wall, cpu, find_cpu = 0;
	uint32_t i;

	s->open(entries);
	atomic_store(&inserted, 0);
	atomic_store(&stop, false);
	for (i = 0; i < readers; i++)
	{
		reader[i].s = s;
		reader[i].seed = i + 1;
		if (pthread_create(&reader[i].thread, NULL, read_all_the_time,
						   &reader[i]) != 0)
			fail("no thread");
	}
	wall = wall_ns();
	cpu = cpu_ns();
	fill(s);
	cpu = cpu_ns() - cpu;
	wall = wall_ns() - wall;
	atomic_store(&stop, true);
	for (i = 0; i < readers; i++)
	{
		pthread_join(reader[i].thread, NULL);
		finds += reader[i].finds;
		missed += reader[i].missed;
		find_cpu += reader[i].cpu;
	}
	if (missed > 0 || finds == 0)
		fail("what had been inserted was not found");
	print(s, readers, "insert wall", wall / entries);
	print(s, readers, "insert cpu", cpu / entries);
	print(s, readers, "find wall", wall * readers / (double) finds);
	print(s, readers, "find cpu", find_cpu / (double) finds);
	(void) s->close();
}

int
main(int argc, char **argv)
{
	uint32_t readers = argc > 2 ? (uint32_t) strtoul(argv[2], NULL, 10) : 0;
	int swap = argc > 4 && strcmp(argv[4], "swap") == 0, i;

	entries = argc > 1 ? (uint32_t) strtoul(argv[1], NULL, 10) : 0;
	if (argc > 3)
		shape = argv[3];
	if (entries == 0 || readers > MAX_READERS)
		fail("usage: memtable_bench entries readers "
			 "[random|text|ascending [swap]]");
	for (i = 0; i < 2; i++)
	{
		if (readers == 0)
			alone(&structures[i ^ swap]);
		else
			together(&structures[i ^ swap], readers);
	}
	return 0;
}
