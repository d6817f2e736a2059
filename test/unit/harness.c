/* SPDX-License-Identifier: PostgreSQL */
/*
 * harness.c - main(), checks, random numbers and a files-free KvEnv for the
 * unit tests; see harness.h.
 */
#include "harness.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <time.h>
#include <unistd.h>

static KvTestCase *first_case;
static KvTestCase **last_case = &first_case;
static atomic_int failures; /* of the running test */
static pthread_mutex_t output_mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t seed;
static KvRand main_rand;
static atomic_llong env_blocks;
static uint64_t env_fail_alloc;

void
kv_test_register(KvTestCase *test)
{
	*last_case = test;
	last_case = &test->next;
}

/* ---- checks ---- */

void
kv_test_fail(const char *file, int line, const char *fmt, ...)
{
	va_list args;

	/* A loop that fails a million times says so 20 times. */
	if (atomic_fetch_add(&failures, 1) >= 20)
		return;
	pthread_mutex_lock(&output_mutex);
	printf("# %s:%d: ", file, line);
	va_start(args, fmt);
	vprintf(fmt, args);
	va_end(args);
	printf("\n");
	fflush(stdout);
	pthread_mutex_unlock(&output_mutex);
}

void
kv_test_die(const char *file, int line, const char *what)
{
	printf("# %s:%d: %s\n", file, line, what);
	printf("not ok - stopped there (KV_SEED=%llu)\n",
		   (unsigned long long) seed);
	fflush(stdout);
	_exit(1);
}

bool
kv_test_eq(const char *file, int line, const char *what, int64_t got,
		   int64_t want)
{
	if (got != want)
		kv_test_fail(file, line, "%s: got %lld, want %lld", what,
					 (long long) got, (long long) want);
	return got == want;
}

bool
kv_test_status(const char *file, int line, const char *what, KvStatus got,
			   KvStatus want, const KvError *err)
{
	if (got != want)
		kv_test_fail(file, line, "%s: got %s, want %s%s%s", what,
					 kv_status_name(got), kv_status_name(want),
					 err && got != KV_OK ? ": " : "",
					 err && got != KV_OK ? err->message : "");
	return got == want;
}

bool
kv_test_slice(const char *file, int line, const char *what, KvSlice got,
			  KvSlice want)
{
	bool same = kv_slice_equal(got, want);

	if (!same)
		kv_test_fail(file, line, "%s: got \"%.*s\" (%zu), want \"%.*s\" (%zu)",
					 what, (int) (got.len < 60 ? got.len : 60),
					 got.data ? got.data : "", got.len,
					 (int) (want.len < 60 ? want.len : 60),
					 want.data ? want.data : "", want.len);
	return same;
}

int
kv_test_failures(void)
{
	return atomic_load(&failures);
}

/* ---- random numbers ---- */

uint64_t
kv_test_seed(void)
{
	return seed;
}

bool
kv_test_long(void)
{
	const char *s = getenv("KV_LONG");

	return s != NULL && s[0] == '1';
}

void
kv_rand_init(KvRand *r, uint64_t from)
{
	int i;

	/* splitmix64, as the authors of xoshiro advise */
	for (i = 0; i < 4; i++)
	{
		uint64_t z = (from += UINT64_C(0x9e3779b97f4a7c15));

		z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
		z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
		r->s[i] = z ^ (z >> 31);
	}
}

static inline uint64_t
rotl(uint64_t x, int k)
{
	return (x << k) | (x >> (64 - k));
}

uint64_t
kv_rand_next(KvRand *r)
{
	uint64_t *s = r->s;
	uint64_t result = rotl(s[1] * 5, 7) * 9;
	uint64_t t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = rotl(s[3], 45);
	return result;
}

uint64_t
kv_rand(void)
{
	return kv_rand_next(&main_rand);
}

uint64_t
kv_rand_below(uint64_t n)
{
	return kv_rand() % n;
}

/* ---- an environment without files ---- */

static bool
alloc_fails(void)
{
	return env_fail_alloc > 0 && --env_fail_alloc == 0;
}

static void *
env_alloc(KvEnv *env, size_t size)
{
	void *p = alloc_fails() ? NULL : malloc(size ? size : 1);

	(void) env;
	if (p)
		atomic_fetch_add(&env_blocks, 1);
	return p;
}

static void *
env_realloc(KvEnv *env, void *ptr, size_t size)
{
	if (ptr == NULL)
		return env_alloc(env, size);
	return alloc_fails() ? NULL : realloc(ptr, size ? size : 1);
}

static void
env_free(KvEnv *env, void *ptr)
{
	(void) env;
	if (ptr)
		atomic_fetch_sub(&env_blocks, 1);
	free(ptr);
}

static KvStatus
no_files(KvError *err)
{
	return kv_fail(err, KV_IO_ERROR, "this test has no files");
}

static KvStatus
env_open(KvEnv *env, const char *name, int flags, KvFile **file, KvError *err)
{
	(void) env, (void) name, (void) flags, (void) file;
	return no_files(err);
}

static void
env_close(KvEnv *env, KvFile *file)
{
	(void) env, (void) file;
}

static KvStatus
env_pread(KvEnv *env, KvFile *file, void *buf, size_t len, uint64_t off,
		  size_t *got, KvError *err)
{
	(void) env, (void) file, (void) buf, (void) len, (void) off, (void) got;
	return no_files(err);
}

static KvStatus
env_pwrite(KvEnv *env, KvFile *file, const void *buf, size_t len, uint64_t off,
		   KvError *err)
{
	(void) env, (void) file, (void) buf, (void) len, (void) off;
	return no_files(err);
}

static KvStatus
env_sync(KvEnv *env, KvFile *file, KvError *err)
{
	(void) env, (void) file;
	return no_files(err);
}

static KvStatus
env_preallocate(KvEnv *env, KvFile *file, uint64_t size, KvError *err)
{
	(void) env, (void) file, (void) size;
	return no_files(err);
}

static KvStatus
env_size(KvEnv *env, KvFile *file, uint64_t *size, KvError *err)
{
	(void) env, (void) file, (void) size;
	return no_files(err);
}

static KvStatus
env_two_names(KvEnv *env, const char *from, const char *to, KvError *err)
{
	(void) env, (void) from, (void) to;
	return no_files(err);
}

static KvStatus
env_unlink(KvEnv *env, const char *name, KvError *err)
{
	(void) env, (void) name;
	return no_files(err);
}

static KvStatus
env_sync_dir(KvEnv *env, KvError *err)
{
	(void) env;
	return no_files(err);
}

static KvStatus
env_list(KvEnv *env, bool (*fn)(void *arg, const char *name), void *arg,
		 KvError *err)
{
	(void) env, (void) fn, (void) arg;
	return no_files(err);
}

static bool lock_held[KV_LOCK_COUNT];

static void
env_lock(KvEnv *env, int lock_id, bool exclusive)
{
	(void) env, (void) exclusive;
	KV_REQUIRE(lock_id >= 0 && lock_id < KV_LOCK_COUNT);
	KV_REQUIRE(!lock_held[lock_id]);
	lock_held[lock_id] = true;
}

static void
env_unlock(KvEnv *env, int lock_id)
{
	(void) env;
	KV_REQUIRE(lock_id >= 0 && lock_id < KV_LOCK_COUNT);
	KV_REQUIRE(lock_held[lock_id]);
	lock_held[lock_id] = false;
}

static bool
env_lock_held(KvEnv *env, int lock_id)
{
	(void) env;
	return lock_held[lock_id];
}

static void
env_kick(KvEnv *env, KvKick whom)
{
	(void) env, (void) whom;
}

static bool
env_poll(KvEnv *env)
{
	(void) env;
	return false;
}

static int64_t
env_now_us(KvEnv *env)
{
	struct timespec ts;

	(void) env;
	clock_gettime(CLOCK_REALTIME, &ts);
	/* 946684800: seconds from 1970 to 2000 */
	return ((int64_t) ts.tv_sec - 946684800) * 1000000 + ts.tv_nsec / 1000;
}

static uint64_t
env_random(KvEnv *env)
{
	(void) env;
	return kv_rand();
}

static KvXactState
env_xact_state(KvEnv *env, uint64_t xid)
{
	(void) env, (void) xid;
	return KV_XACT_COMMITTED;
}

static void
env_horizon(KvEnv *env, KvHorizon *horizon)
{
	horizon->xid = UINT64_MAX;
	horizon->csn = UINT64_MAX;
	horizon->now_us = env_now_us(env);
}

static KvStatus
env_flush_host_log(KvEnv *env, uint64_t lsn, KvError *err)
{
	(void) env, (void) lsn, (void) err;
	return KV_OK;
}

static bool
env_backup_running(KvEnv *env)
{
	(void) env;
	return false;
}

static void
env_log(KvEnv *env, KvLogLevel level, const char *message)
{
	(void) env, (void) level, (void) message;
}

static void
env_stop(KvEnv *env, const char *name)
{
	(void) env, (void) name;
}

static const KvEnvOps env_ops = {
	.open = env_open,
	.close = env_close,
	.pread = env_pread,
	.pwrite = env_pwrite,
	.sync = env_sync,
	.preallocate = env_preallocate,
	.size = env_size,
	.link = env_two_names,
	.rename = env_two_names,
	.unlink = env_unlink,
	.sync_dir = env_sync_dir,
	.list = env_list,
	.alloc = env_alloc,
	.realloc = env_realloc,
	.free = env_free,
	.lock = env_lock,
	.unlock = env_unlock,
	.lock_held = env_lock_held,
	.kick = env_kick,
	.poll = env_poll,
	.now_us = env_now_us,
	.random = env_random,
	.xact_state = env_xact_state,
	.horizon = env_horizon,
	.flush_host_log = env_flush_host_log,
	.backup_running = env_backup_running,
	.log = env_log,
	.stop = env_stop,
};

KvEnv *
kv_test_env(void)
{
	static KvEnv env = {&env_ops};

	return &env;
}

int64_t
kv_test_env_blocks(void)
{
	return atomic_load(&env_blocks);
}

void
kv_test_env_fail_alloc(uint64_t n)
{
	env_fail_alloc = n;
}

/* ---- main ---- */

static bool
wanted(const KvTestCase *test, int argc, char **argv)
{
	int i;

	for (i = 1; i < argc; i++)
		if (strncmp(test->name, argv[i], strlen(argv[i])) == 0)
			return true;
	return argc < 2;
}

static bool
run_case(const KvTestCase *test)
{
	int64_t blocks = kv_test_env_blocks();
	bool ok;

	atomic_store(&failures, 0);
	env_fail_alloc = 0;
	memset(lock_held, 0, sizeof(lock_held));
	kv_rand_init(&main_rand, seed);
	test->fn();
	KV_CHECK_EQ(kv_test_env_blocks(), blocks);
	ok = kv_test_failures() == 0;
	if (ok)
		printf("ok - %s\n", test->name);
	else
		printf("not ok - %s (%d failed checks; KV_SEED=%llu)\n", test->name,
			   kv_test_failures(), (unsigned long long) seed);
	fflush(stdout);
	return ok;
}

int
main(int argc, char **argv)
{
	const char *s = getenv("KV_SEED");
	int ran = 0;
	int failed = 0;
	KvTestCase *test;

	if (s != NULL && s[0] != '\0')
		seed = strtoull(s, NULL, 0);
	else
	{
		struct timespec ts;

		clock_gettime(CLOCK_REALTIME, &ts);
		seed = ((uint64_t) ts.tv_sec * 1000003 + (uint64_t) ts.tv_nsec) &
			   UINT64_C(0xffffffff);
	}
	for (test = first_case; test != NULL; test = test->next)
	{
		if (!wanted(test, argc, argv))
			continue;
		ran++;
		failed += !run_case(test);
	}
	if (ran == 0)
		printf("not ok - no test of that name\n");
	return failed > 0 || ran == 0;
}
