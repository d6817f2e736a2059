/* SPDX-License-Identifier: PostgreSQL */
/*
 * write_set_spill_test.c - a transaction's own writes beyond their memory:
 * the same answers, no more memory, no trace of a failure.
 */
#include "harness.h"

#include "engine/kv_engine.h"
#include "env_posix.h"
#include "env_sim.h"
#include "write_set_model.h"

#define KB ((size_t) 1 << 10)
#define MB ((size_t) 1 << 20)

static KvEntry
put_of(const char *key, KvSlice value)
{
	KvEntry e = {.key = kv_slice(key, strlen(key)),
				 .value = value,
				 .kind = KV_KIND_PUT};

	return e;
}

static void
sim_close_all(SimEnv *sim)
{
	KV_CHECK_EQ(sim->live_allocs, 0);
	KV_CHECK_EQ(sim->open_files, 0);
	sim_free(sim);
}

/* ---- the model */

KV_TEST(equals_a_list_of_all_writes)
{
	SimEnv *sim = sim_new(kv_rand());
	WriteSetPlan plan = {.env = &sim->env,
						 .max_bytes = 64 * KB,
						 .value_bytes = 800,
						 .files = true};
	WriteSetTally tally = {0};
	int i;

	/* many versions of few keys, then few of many */
	for (i = 0; i < 4; i++)
	{
		plan.keys = i % 2 == 0 ? 40 : 2000;
		plan.huge_bytes = i / 2 == 0 ? 0 : 100 * KB;
		plan.ops = kv_test_long() ? 60000 : 12000;
		tally = write_set_model_run(&plan);
		KV_CHECK(tally.most_runs >= 7);
		KV_CHECK(tally.merges >= 1);
	}
	sim_close_all(sim);
}

/* The next call of some kind fails, once or three times. */
static void
break_sim(KvEnv *env)
{
	static const SimCall calls[] = {SIM_OPEN, SIM_PWRITE, SIM_PREAD, SIM_SIZE,
									SIM_ALLOC};
	SimFault fault = {.status = kv_rand_below(2) ? KV_IO_ERROR : KV_DISK_FULL};

	if (kv_rand_below(8) == 0)
	{
		((SimEnv *) env)->interrupt = true;
		return;
	}
	fault.call = calls[kv_rand_below(5)];
	/* a spill as small as here opens and writes once */
	fault.nth = fault.call == SIM_PREAD || fault.call == SIM_ALLOC
					? 1 + kv_rand_below(4)
					: 1;
	fault.times = 1 + 2 * kv_rand_below(2);
	fault.done = (SimDone) kv_rand_below(3);
	sim_fail((SimEnv *) env, fault);
}

static void
repair_sim(KvEnv *env)
{
	((SimEnv *) env)->interrupt = false;
	sim_clear_faults((SimEnv *) env);
}

KV_TEST(a_failure_changes_nothing)
{
	SimEnv *sim = sim_new(kv_rand());
	WriteSetPlan plan = {.env = &sim->env,
						 .max_bytes = 64 * KB,
						 .keys = 300,
						 .value_bytes = 2000,
						 .huge_bytes = 80 * KB,
						 .ops = kv_test_long() ? 60000 : 20000,
						 .files = true,
						 .break_next = break_sim,
						 .repair = repair_sim};
	WriteSetTally tally = write_set_model_run(&plan);
	uint64_t writes_failed = 0;
	int form;

	KV_CHECK(tally.failures >= 100);
	KV_CHECK(tally.merges >= 1);
	for (form = 0; form < SIM_FORMS; form++)
		writes_failed += sim->fired[SIM_PWRITE][form];
	KV_CHECK(writes_failed > 0);
	sim_close_all(sim);
}

/* ---- single failures, with their messages */

/* Adds puts of 1,000 random bytes under new keys until one fails, at most n. */
static KvStatus
fill(KvWriteSet *ws, int n, KvError *err)
{
	char value[1000];
	char key[32];
	KvEntry e;
	KvStatus status = KV_OK;
	int i;
	size_t j;

	for (i = 0; i < n && status == KV_OK; i++)
	{
		for (j = 0; j < sizeof(value); j++)
			value[j] = (char) kv_rand();
		(void) snprintf(key, sizeof(key), "abcd%06d", i);
		e = put_of(key, kv_slice(value, sizeof(value)));
		kv_error_clear(err);
		status = kv_write_set_add(ws, 0, &e, err);
	}
	return status;
}

KV_TEST(what_went_wrong_is_said)
{
	SimEnv *sim = sim_new(1);
	SimFault no_open = {SIM_OPEN, 1, 1, KV_IO_ERROR, SIM_NOTHING};
	KvWriteSet *ws;
	KvError err;

	KV_REQUIRE(kv_write_set_open(&sim->env, 64 * KB, &ws) == KV_OK);
	sim_fail(sim, no_open);
	KV_CHECK_STATUS(fill(ws, 1000, &err), KV_IO_ERROR);
	KV_CHECK(strstr(err.message, "(temporary)") != NULL);
	KV_CHECK_OK(fill(ws, 200, &err), &err);
	sim->disk_limit = 100 * KB;
	KV_CHECK_STATUS(fill(ws, 1000, &err), KV_DISK_FULL);
	KV_CHECK_STATUS(fill(ws, 1000, &err), KV_DISK_FULL);
	sim->disk_limit = UINT64_MAX;
	KV_CHECK_OK(fill(ws, 1000, &err), &err);
	/* a merge can be cancelled; a spill as small as this is over before */
	sim->interrupt = true;
	KV_CHECK_STATUS(fill(ws, 100000, &err), KV_INTERRUPTED);
	sim->interrupt = false;
	KV_CHECK_OK(fill(ws, 1000, &err), &err);
	kv_write_set_free(ws);
	sim_close_all(sim);
}

KV_TEST(a_crash_keeps_nothing)
{
	SimEnv *sim = sim_new(1);
	KvWriteSet *ws;
	KvError err;

	KV_REQUIRE(kv_write_set_open(&sim->env, 64 * KB, &ws) == KV_OK);
	KV_CHECK_OK(fill(ws, 800, &err), &err);
	KV_CHECK(kv_write_set_runs(ws) > 3);
	KV_CHECK(sim->open_files > 3);
	sim_crash(sim, SIM_KILL);
	KV_CHECK(sim_file_name(sim, 0) == NULL);
	sim_close_all(sim);
}

/* ---- sizes */

KV_TEST(one_entry_may_be_larger_than_all_memory)
{
	PosixEnv *penv = posix_env_open_temp();
	char *value = calloc(1, 10 * MB);
	KvEntry large = put_of("abcdlarge", kv_slice(value, 10 * MB));
	KvEntry small = put_of("abcdsmall", kv_slice(value, 100));
	KvWriteSet *ws;
	KvError err;
	KvEntry out;
	KvIter *it;

	memset(value, 'v', 10 * MB);
	KV_REQUIRE(kv_write_set_open(&penv->env, 64 * KB, &ws) == KV_OK);
	KV_CHECK_OK(kv_write_set_add(ws, 0, &small, &err), &err);
	KV_CHECK_OK(kv_write_set_add(ws, 0, &large, &err), &err);
	KV_CHECK_OK(kv_write_set_add(ws, 1, &large, &err), &err);
	KV_CHECK_OK(kv_write_set_add(ws, 1, &small, &err), &err);
	KV_CHECK_EQ(kv_write_set_entries(ws), 4);
	KV_CHECK(kv_write_set_bytes(ws) > 20 * MB);
	KV_CHECK_OK(kv_write_set_get(ws, large.key, 1, &out, &err), &err);
	KV_CHECK_EQ(out.value.len, 10 * MB);
	KV_CHECK(memcmp(out.value.data, value, 10 * MB) == 0);
	kv_write_set_kill(ws, 0);
	KV_CHECK_STATUS(kv_write_set_get(ws, large.key, 1, &out, &err),
					KV_NOT_FOUND);
	KV_REQUIRE(kv_write_set_iter(ws, UINT32_MAX, &it) == KV_OK);
	it->err = &err;
	it->ops->last(it);
	KV_CHECK(!it->valid && it->status == KV_OK);
	it->ops->close(it);
	kv_write_set_free(ws);
	KV_CHECK_EQ(atomic_load(&penv->live_allocs), 0);
	KV_CHECK_EQ(atomic_load(&penv->live_files), 0);
	posix_env_remove(penv);
	posix_env_close(penv);
	free(value);
}

/* An environment that counts the bytes it has given out. */
typedef struct CountingEnv
{
	KvEnv env;
	KvEnvOps ops;
	PosixEnv *files;
	size_t bytes, most;
} CountingEnv;

static CountingEnv counting;

static void *
counting_alloc(KvEnv *env, size_t size)
{
	size_t *p = malloc(size + 16);

	(void) env;
	*p = size;
	counting.bytes += size;
	if (counting.bytes > counting.most)
		counting.most = counting.bytes;
	return p + 2;
}

static void
counting_free(KvEnv *env, void *ptr)
{
	size_t *p;

	(void) env;
	if (ptr == NULL)
		return;
	p = (size_t *) ptr - 2;
	counting.bytes -= *p;
	free(p);
}

/* What is copied is there twice, but no more than that is used. */
static void *
counting_realloc(KvEnv *env, void *ptr, size_t size)
{
	size_t old = ptr == NULL ? 0 : ((size_t *) ptr)[-2];
	void *p;

	counting.bytes -= old < size ? old : size;
	p = counting_alloc(env, size);
	counting.bytes += old < size ? old : size;
	if (ptr != NULL)
	{
		memcpy(p, ptr, old < size ? old : size);
		counting_free(env, ptr);
	}
	return p;
}

static KvStatus
counting_open_temp(KvEnv *env, KvFile **file, KvError *err)
{
	KvEnv *files = &counting.files->env;

	(void) env;
	return files->ops->open_temp(files, file, err);
}

static void
counting_close(KvEnv *env, KvFile *file)
{
	KvEnv *files = &counting.files->env;

	(void) env;
	files->ops->close(files, file);
}

static KvStatus
counting_pread(KvEnv *env, KvFile *file, void *buf, size_t len, uint64_t off,
			   size_t *got, KvError *err)
{
	KvEnv *files = &counting.files->env;

	(void) env;
	return files->ops->pread(files, file, buf, len, off, got, err);
}

static KvStatus
counting_pwrite(KvEnv *env, KvFile *file, const void *buf, size_t len,
				uint64_t off, KvError *err)
{
	KvEnv *files = &counting.files->env;

	(void) env;
	return files->ops->pwrite(files, file, buf, len, off, err);
}

static void
counting_open(void)
{
	counting.files = posix_env_open_temp();
	counting.ops = *kv_test_env()->ops;
	counting.ops.open_temp = counting_open_temp;
	counting.ops.close = counting_close;
	counting.ops.pread = counting_pread;
	counting.ops.pwrite = counting_pwrite;
	counting.ops.size = counting.files->env.ops->size;
	counting.ops.alloc = counting_alloc;
	counting.ops.realloc = counting_realloc;
	counting.ops.free = counting_free;
	counting.env.ops = &counting.ops;
	counting.bytes = counting.most = 0;
}

/*
 * Random keys, merges, and an iterator from end to end at last: never more
 * than was allowed.
 */
KV_TEST(memory_stays_within_its_limit)
{
	size_t max = 8 * MB;
	int n = kv_test_long() ? 5000000 : 900000;
	char value[100];
	char key[32];
	KvWriteSet *ws;
	KvError err;
	KvIter *it;
	int i, seen = 0;

	memset(value, 'v', sizeof(value));
	counting_open();
	KV_REQUIRE(kv_write_set_open(&counting.env, max, &ws) == KV_OK);
	for (i = 0; i < n; i++)
	{
		uint32_t number = (uint32_t) i * UINT32_C(2654435761);
		KvEntry e;

		(void) snprintf(key, sizeof(key), "abcd%012u", number);
		e = put_of(key, kv_slice(value, sizeof(value)));
		KV_REQUIRE_OK(kv_write_set_add(ws, 0, &e, &err), &err);
	}
	KV_CHECK_EQ(kv_write_set_entries(ws), n);
	KV_CHECK(counting.most <= max);
	KV_REQUIRE(kv_write_set_iter(ws, UINT32_MAX, &it) == KV_OK);
	it->err = &err;
	for (it->ops->first(it); it->valid; it->ops->next(it))
		seen++;
	KV_CHECK_OK(it->status, &err);
	KV_CHECK_EQ(seen, n);
	printf("# %u runs, most memory %zu of %zu\n", kv_write_set_runs(ws),
		   counting.most, max);
	KV_CHECK(kv_write_set_runs(ws) >= 2);
	KV_CHECK(counting.most <= max + kv_write_set_runs(ws) * 100 * KB);
	it->ops->close(it);
	kv_write_set_free(ws);
	KV_CHECK_EQ(counting.bytes, 0);
	posix_env_remove(counting.files);
	posix_env_close(counting.files);
}

/* An iterator from the first key to the last, while runs come and merge. */
KV_TEST(a_cursor_loses_and_repeats_nothing)
{
	SimEnv *sim = sim_new(1);
	KvWriteSet *ws;
	KvError err;
	KvIter *it;
	char key[32];
	char value[200] = {0};
	KvEntry e;
	uint32_t before, changes = 0;
	int i, n = 3000;

	KV_REQUIRE(kv_write_set_open(&sim->env, 64 * KB, &ws) == KV_OK);
	for (i = 0; i < n; i++)
	{
		(void) snprintf(key, sizeof(key), "abcd%06d", i);
		e = put_of(key, kv_slice(value, 200));
		KV_REQUIRE_OK(kv_write_set_add(ws, 0, &e, &err), &err);
	}
	KV_REQUIRE(kv_write_set_iter(ws, 1, &it) == KV_OK);
	it->err = &err;
	it->ops->first(it);
	before = kv_write_set_runs(ws);
	for (i = 0; i < n && it->valid; i++)
	{
		/* the row just read is written again, and so is one before */
		e = put_of(key, kv_slice(value, 200));
		(void) snprintf(key, sizeof(key), "abcd%06d", i);
		KV_CHECK_SLICES(it->entry.key, e.key);
		KV_CHECK_OK(kv_write_set_add(ws, 1, &e, &err), &err);
		(void) snprintf(key, sizeof(key), "abcd%06d", i / 2);
		KV_CHECK_OK(kv_write_set_add(ws, 2, &e, &err), &err);
		(void) snprintf(key, sizeof(key), "abcd%06d", i);
		KV_CHECK_SLICES(it->entry.key, e.key);
		changes += kv_write_set_runs(ws) != before;
		before = kv_write_set_runs(ws);
		it->ops->next(it);
	}
	KV_CHECK_EQ(i, n);
	KV_CHECK(!it->valid && it->status == KV_OK);
	KV_CHECK(changes > 16);
	it->ops->close(it);
	kv_write_set_free(ws);
	sim_close_all(sim);
}
