/* SPDX-License-Identifier: PostgreSQL */
/*
 * engine_kvlsm.c - kvlsm in this process, as the server runs it.
 *
 * Implements bench.h.  The region that backends share is a shared anonymous
 * mapping of 4 KiB pages; one thread is the engine worker, one the compactor,
 * and each of them, like each session, attaches with a KvDb of its own.  Keys
 * carry the four bytes of store 1 before them, as they do in the server.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "bench.h"
#include "engine/base/coding.h"
#include "engine/kv_engine.h"
#include "env_bench.h"

#define STORE		1
#define KEY_BYTES	(KV_STORE_PREFIX + BENCH_KEY)
#define STEP_BYTES	(4 << 20)
#define WORKER_NAP	0.2 /* the server's wal_writer_delay */
#define MAX_READERS 16

struct Session
{
	KvDb *db;
	uint32_t reader_no;
	KvBatch batch;
	KvValue value;
	KvReadView view;
};

const char *const engine_name = "kvlsm";

static KvEnv *env;
static KvConfig kv_config;
static void *shared;
static size_t shared_size;
static KvDb *worker_db, *compactor_db;
static pthread_t worker, compactor;
static pthread_mutex_t worker_mutex = PTHREAD_MUTEX_INITIALIZER;
static _Atomic bool shut_down;
static _Atomic uint32_t readers_taken;

static void
check(const char *what, KvStatus st, const KvError *err)
{
	if (st != KV_OK)
		bench_die(what, err->message);
}

static void
configure(bool compress)
{
	kv_config_default(&kv_config);
	kv_config.memtable_bytes = UINT64_C(64) << 20;
	kv_config.memtables = 2;
	kv_config.cache_bytes = UINT64_C(1) << 30;
	kv_config.max_readers = MAX_READERS;
	kv_config.lz4 = compress;
}

void
engine_describe(FILE *out)
{
	configure(true);
	fprintf(out, "version\tthis tree\n");
	fprintf(out,
			"options\tmemtable %llu MiB x %u, log ring %llu MiB, block %u "
			"bytes, block cache %llu MiB, blocked Bloom 10 bits, files %llu "
			"MiB, LZ4 or none, checksums verified on load; shared mapping of "
			"%llu MiB, 4 KiB pages; one worker (log, flush), one compactor; "
			"log written by the worker and synced behind, never by put\n",
			(unsigned long long) kv_config.memtable_bytes >> 20,
			kv_config.memtables,
			(unsigned long long) kv_config.ring_bytes >> 20,
			kv_config.block_bytes,
			(unsigned long long) kv_config.cache_bytes >> 20,
			(unsigned long long) kv_config.file_bytes >> 20,
			(unsigned long long) kv_shared_bytes(&kv_config) >> 20);
}

static KvDb *
attach(uint32_t *reader_no)
{
	uint32_t i;
	KvError err;
	KvDb *db;

	for (i = 0; i < MAX_READERS; i++)
		if ((atomic_fetch_or(&readers_taken, 1u << i) & (1u << i)) == 0)
			break;
	if (i == MAX_READERS)
		bench_die("attach", "too many sessions");
	check("attach", kv_attach(env, shared, i, &db, &err), &err);
	*reader_no = i;
	return db;
}

/* ---- the two processes of the background */

static void *
run_worker(void *arg)
{
	KvWork work;
	KvError err;
	KvStatus st;

	(void) arg;
	while (!atomic_load(&shut_down))
	{
		(void) pthread_mutex_lock(&worker_mutex);
		st = kv_worker_step(worker_db, &work, &err);
		(void) pthread_mutex_unlock(&worker_mutex);
		if (st != KV_STALLED)
			check("worker", st, &err);
		if (st == KV_STALLED || !work.more)
			bench_env_wait(env, KV_KICK_WORKER,
						   st == KV_STALLED ? 0.02 : WORKER_NAP);
	}
	return NULL;
}

static void *
run_compactor(void *arg)
{
	bool busy;
	KvError err;
	KvStatus st;

	(void) arg;
	while (!atomic_load(&shut_down))
	{
		st = kv_compact_step(compactor_db, STEP_BYTES, &busy, &err);
		if (st != KV_STALLED)
			check("compactor", st, &err);
		if (st == KV_STALLED || !busy)
			bench_env_wait(env, KV_KICK_COMPACTOR, st == KV_STALLED ? 0.1 : 10);
	}
	kv_compact_abandon(compactor_db);
	return NULL;
}

void
engine_open(const BenchConfig *config)
{
	KvHost host = {{.system_id = 1, .timeline = 1}, 0, NULL, NULL};
	KvRecovery recovery;
	uint32_t reader_no;
	KvError err;

	if (strcmp(config->variant, "default") != 0)
		bench_die(config->variant, "no such variant");
	configure(config->compress);
	check("settings", kv_config_check(&kv_config, &err), &err);
	env = bench_env_open(config->dir);
	shared_size = kv_shared_bytes(&kv_config);
	shared = mmap(NULL, shared_size, PROT_READ | PROT_WRITE,
				  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		bench_die("mmap", "no memory for the shared region");
	(void) madvise(shared, shared_size, MADV_NOHUGEPAGE);
	kv_shared_init(shared, &kv_config);
	worker_db = attach(&reader_no);
	compactor_db = attach(&reader_no);
	check("recover", kv_recover(worker_db, &host, &recovery, &err), &err);
	check("open", kv_open_for_use(worker_db, recovery.lsn, &err), &err);
	if (pthread_create(&worker, NULL, run_worker, NULL) != 0 ||
		pthread_create(&compactor, NULL, run_compactor, NULL) != 0)
		bench_die("open", "no thread");
	/* for "perf report --sort comm,symbol" */
	(void) pthread_setname_np(worker, "kv-worker");
	(void) pthread_setname_np(compactor, "kv-compactor");
}

void
engine_close(void)
{
	KvError err;

	atomic_store(&shut_down, true);
	env->ops->kick(env, KV_KICK_WORKER);
	env->ops->kick(env, KV_KICK_COMPACTOR);
	(void) pthread_join(compactor, NULL);
	(void) pthread_join(worker, NULL);
	check("shutdown", kv_shutdown(worker_db, &err), &err);
	kv_detach(compactor_db);
	kv_detach(worker_db);
	(void) munmap(shared, shared_size);
	bench_env_close(env);
}

void
engine_compact(void)
{
	uint64_t ticket = kv_request_compact(compactor_db);

	while (!kv_request_done(compactor_db, ticket))
		bench_env_wait(env, KV_KICK_WAITERS, 0.01);
}

void
engine_counters(FILE *out)
{
	KvStats st;
	int level;

	kv_stats(worker_db, &st);
	fprintf(out,
			"stalls %llu, flushes %llu (%llu MiB), compactions %llu (%llu MiB "
			"in, %llu MiB out), log %llu MiB, cache hits %llu misses %llu "
			"evictions %llu frames %llu\n",
			(unsigned long long) st.stalls, (unsigned long long) st.flushes,
			(unsigned long long) st.flushed_bytes >> 20,
			(unsigned long long) st.compactions,
			(unsigned long long) st.compacted_in_bytes >> 20,
			(unsigned long long) st.compacted_out_bytes >> 20,
			(unsigned long long) st.wal_bytes >> 20,
			(unsigned long long) st.cache_hits,
			(unsigned long long) st.cache_misses,
			(unsigned long long) st.cache_evictions,
			(unsigned long long) st.cache_frames);
	for (level = 0; level < 7; level++)
		if (st.files[level] > 0)
			fprintf(out, "L%d: %llu files, %llu MiB, %llu entries\n", level,
					(unsigned long long) st.files[level],
					(unsigned long long) st.bytes[level] >> 20,
					(unsigned long long) st.entries[level]);
}

Session *
session_open(void)
{
	Session *s = calloc(1, sizeof(*s));

	if (s == NULL)
		bench_die("session", "out of memory");
	s->db = attach(&s->reader_no);
	s->view.max_csn = UINT64_MAX;
	return s;
}

void
session_close(Session *s)
{
	kv_batch_free(env, &s->batch);
	kv_value_free(env, &s->value);
	kv_detach(s->db);
	atomic_fetch_and(&readers_taken, ~(1u << s->reader_no));
	free(s);
}

/* ---- writing */

static KvSlice
full_key(char *buf, const char *key)
{
	kv_store_be32(buf, STORE);
	memcpy(buf + KV_STORE_PREFIX, key, BENCH_KEY);
	return kv_slice(buf, KEY_BYTES);
}

static void
add(Session *s, const char *key, const char *value)
{
	char buf[KEY_BYTES];
	KvEntry e = {0};
	KvError err;

	e.key = full_key(buf, key);
	e.kind = value != NULL ? KV_KIND_PUT : KV_KIND_DELETE;
	e.value = kv_slice(value, value != NULL ? BENCH_VALUE : 0);
	check("add", kv_batch_add(env, &s->batch, &e, &err), &err);
}

void
engine_batch_add(Session *s, const char *key, const char *value)
{
	add(s, key, value);
}

/* As the server before a statement's first write: see kv_write_delay_us. */
static void
keep_pace(Session *s)
{
	double left = (double) kv_write_delay_us(s->db) / 1e6;
	double end = bench_now() + left;

	for (; left > 0; left = end - bench_now())
		bench_env_wait(env, KV_KICK_WAITERS, left);
}

void
engine_batch_commit(Session *s)
{
	KvWrite w = {&s->batch, 0, NULL, NULL};
	uint64_t csn;
	KvError err;
	KvStatus st;

	keep_pace(s);

	while ((st = kv_write(s->db, &w, &csn, &err)) == KV_STALLED)
		bench_env_wait(env, KV_KICK_WAITERS, 0.01);
	check("write", st, &err);
	kv_batch_reset(&s->batch);
}

void
engine_put(Session *s, const char *key, const char *value)
{
	add(s, key, value);
	engine_batch_commit(s);
}

/* The worker's part is done here: what the host's log does in the server. */
void
engine_put_sync(Session *s, const char *key, const char *value)
{
	KvError err;

	engine_put(s, key, value);
	(void) pthread_mutex_lock(&worker_mutex);
	check("sync", kv_sync_log(worker_db, &err), &err);
	(void) pthread_mutex_unlock(&worker_mutex);
}

void
engine_delete(Session *s, const char *key)
{
	add(s, key, NULL);
	engine_batch_commit(s);
}

/* ---- reading */

bool
engine_get(Session *s, const char *key, uint64_t *sum)
{
	char buf[KEY_BYTES];
	KvError err;
	KvStatus st = kv_get(s->db, &s->view, full_key(buf, key), &s->value, &err);

	if (st == KV_NOT_FOUND)
		return false;
	check("get", st, &err);
	*sum += bench_touch(key, s->value.data, s->value.len);
	return true;
}

typedef struct Found
{
	const char *keys;
	uint64_t sum;
	unsigned n;
} Found;

static KvStatus
touch(void *arg, uint32_t i, const KvEntry *e)
{
	Found *f = arg;

	f->sum += bench_touch(f->keys + i * BENCH_KEY, e->value.data, e->value.len);
	f->n++;
	return KV_OK;
}

unsigned
engine_multiget(Session *s, const char *keys, unsigned n, uint64_t *sum)
{
	char bytes[BENCH_MULTI * KEY_BYTES];
	KvSlice slices[BENCH_MULTI];
	Found found = {keys, 0, 0};
	KvError err;
	unsigned i;

	for (i = 0; i < n; i++)
		slices[i] = full_key(bytes + i * KEY_BYTES, keys + i * BENCH_KEY);
	check("multiget",
		  kv_multi_get(s->db, &s->view, slices, n, touch, &found, &err), &err);
	*sum += found.sum;
	return found.n;
}

uint64_t
engine_scan(Session *s, const char *from, bool reverse, uint64_t limit,
			uint64_t *sum)
{
	char buf[KEY_BYTES], end[KV_STORE_PREFIX];
	KvSlice lower = {buf, KV_STORE_PREFIX};
	KvSlice upper = {end, KV_STORE_PREFIX};
	KvScan *scan;
	KvEntry e;
	KvError err;
	KvStatus st;
	uint64_t rows = 0;

	kv_store_be32(buf, STORE);
	kv_store_be32(end, STORE + 1);
	if (from != NULL)
		lower = full_key(buf, from);
	check("scan",
		  kv_scan_open(s->db, &s->view, lower, upper, reverse, NULL, &scan,
					   &err),
		  &err);
	st = KV_OK;
	while (rows < limit && (st = kv_scan_next(scan, &e, &err)) == KV_OK)
	{
		*sum += bench_touch(e.key.data + KV_STORE_PREFIX, e.value.data,
							e.value.len);
		rows++;
	}
	if (st != KV_NOT_FOUND)
		check("scan", st, &err);
	kv_scan_close(scan);
	return rows;
}
