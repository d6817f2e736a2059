/* SPDX-License-Identifier: PostgreSQL */
/*
 * env_sim_test.c - does the simulated disk lose what it should, and keep
 * what it must?
 */
#include "harness.h"

#include "env_sim.h"

static const KvEnvOps *ops;
static KvEnv *env;
static SimEnv *sim;
static KvError err;

static void
setup(uint64_t seed)
{
	sim = sim_new(seed);
	env = &sim->env;
	ops = env->ops;
}

static KvFile *
create(const char *name)
{
	KvFile *file = NULL;

	KV_REQUIRE_OK(ops->open(env, name, KV_OPEN_WRITE | KV_OPEN_CREATE, &file,
							&err),
				  &err);
	return file;
}

static void
put(KvFile *file, const char *text, uint64_t off)
{
	KV_CHECK_OK(ops->pwrite(env, file, text, strlen(text), off, &err), &err);
}

static bool
holds(const char *name, const char *text)
{
	size_t size;
	char *data = sim_get_file(sim, name, &size);
	bool same = data != NULL && size == strlen(text) &&
				memcmp(data, text, size) == 0;

	free(data);
	return same;
}

KV_TEST(reads_see_what_was_written)
{
	KvFile *file;
	char buf[32];
	size_t got;
	uint64_t size;

	setup(1);
	file = create("a");
	put(file, "hello", 0);
	put(file, "p!", 3);
	KV_CHECK_OK(ops->pread(env, file, buf, 32, 1, &got, &err), &err);
	KV_CHECK_EQ(got, 4);
	KV_CHECK(memcmp(buf, "elp!", 4) == 0);
	KV_CHECK_OK(ops->pread(env, file, buf, 32, 99, &got, &err), &err);
	KV_CHECK_EQ(got, 0);
	KV_CHECK_OK(ops->preallocate(env, file, 1000, &err), &err);
	KV_CHECK_OK(ops->size(env, file, &size, &err), &err);
	KV_CHECK_EQ(size, 1000);
	ops->close(env, file);
	KV_CHECK_STATUS(ops->open(env, "a", KV_OPEN_WRITE | KV_OPEN_CREATE, &file,
							  &err),
					KV_EXISTS);
	KV_CHECK_STATUS(ops->open(env, "b", KV_OPEN_READ, &file, &err),
					KV_NOT_FOUND);
	KV_CHECK_OK(ops->link(env, "a", "b", &err), &err);
	KV_CHECK_STATUS(ops->link(env, "a", "b", &err), KV_EXISTS);
	KV_CHECK_OK(ops->unlink(env, "a", &err), &err);
	KV_CHECK_STATUS(ops->unlink(env, "a", &err), KV_NOT_FOUND);
	KV_CHECK_EQ(sim_file_size(sim, "b"), 1000);
	KV_CHECK_EQ(sim->open_files, 0);
	sim_free(sim);
}

KV_TEST(level_1_keeps_exactly_what_was_synced)
{
	KvFile *a, *b;

	setup(2);
	a = create("a");
	b = create("b");
	put(a, "synced", 0);
	put(b, "synced", 0);
	KV_CHECK_OK(ops->sync(env, a, &err), &err);
	KV_CHECK_OK(ops->sync_dir(env, &err), &err);
	put(a, "SYNC", 0);
	(void) create("c");
	KV_CHECK_OK(ops->rename(env, "b", "d", &err), &err);
	sim_crash(sim, SIM_SYNCED_ONLY);
	KV_CHECK(holds("a", "synced"));
	KV_CHECK(holds("b", ""));
	KV_CHECK_EQ(sim_file_size(sim, "c"), -1);
	KV_CHECK_EQ(sim_file_size(sim, "d"), -1);
	KV_CHECK_EQ(sim->open_files, 0);
	sim_free(sim);
}

KV_TEST(level_0_keeps_all_but_does_not_sync_it)
{
	setup(3);
	put(create("a"), "text", 0);
	sim_crash(sim, SIM_KILL);
	KV_CHECK(holds("a", "text"));
	sim_crash(sim, SIM_SYNCED_ONLY);
	KV_CHECK_EQ(sim_file_size(sim, "a"), -1);
	sim_free(sim);
}

/* Over many seeds each sector and entry is lost at times, kept at times. */
KV_TEST(level_2_is_any_subset)
{
	enum
	{
		SECTORS = 6,
		SEEDS = 2000
	};
	int full = 0, holes = 0, shorter = 0, no_entry = 0, both_names = 0;
	char text[SECTORS * 512];
	uint64_t seed;

	memset(text, 'x', sizeof(text));
	for (seed = 0; seed < SEEDS; seed++)
	{
		KvFile *file;
		size_t size, i, zeros = 0;
		char *data;

		setup(seed);
		file = create("a");
		KV_CHECK_OK(ops->pwrite(env, file, text, 512, 0, &err), &err);
		KV_CHECK_OK(ops->sync(env, file, &err), &err);
		KV_CHECK_OK(ops->sync_dir(env, &err), &err);
		KV_CHECK_OK(ops->pwrite(env, file, text, sizeof(text) - 512, 512, &err),
					&err);
		KV_CHECK_OK(ops->link(env, "a", "b", &err), &err);
		sim_crash(sim, SIM_POWER_LOSS);
		data = sim_get_file(sim, "a", &size);
		KV_REQUIRE(data != NULL && size >= 512);
		for (i = 0; i < size; i++)
		{
			zeros += data[i] == 0;
			KV_CHECK(data[i] == 'x' || (data[i] == 0 && i >= 512));
		}
		full += size == sizeof(text) && zeros == 0;
		holes += zeros > 0;
		shorter += size < sizeof(text);
		no_entry += sim_file_size(sim, "b") < 0;
		both_names += sim_file_size(sim, "b") >= 0;
		free(data);
		/* what survived a crash survives the next one */
		sim_crash(sim, SIM_SYNCED_ONLY);
		KV_CHECK_EQ(sim_file_size(sim, "a"), size);
		sim_free(sim);
	}
	KV_CHECK(full > SEEDS / 50 && holes > SEEDS / 10 && shorter > SEEDS / 10);
	KV_CHECK(no_entry > SEEDS / 5 && both_names > SEEDS / 5);
}

KV_TEST(level_3_scribbles_on_unsynced_sectors_only)
{
	char text[2048];
	int scribbled = 0;
	uint64_t seed;

	memset(text, 'x', sizeof(text));
	for (seed = 0; seed < 200; seed++)
	{
		KvFile *file;
		size_t size, i;
		char *data;

		setup(seed);
		file = create("a");
		KV_CHECK_OK(ops->pwrite(env, file, text, 1024, 0, &err), &err);
		KV_CHECK_OK(ops->sync(env, file, &err), &err);
		KV_CHECK_OK(ops->sync_dir(env, &err), &err);
		KV_CHECK_OK(ops->pwrite(env, file, text, 1024, 1024, &err), &err);
		sim_crash(sim, SIM_GARBAGE);
		data = sim_get_file(sim, "a", &size);
		KV_REQUIRE(data != NULL);
		for (i = 0; i < size; i++)
		{
			KV_CHECK(i >= 1024 || data[i] == 'x');
			if (data[i] != 'x' && data[i] != 0)
			{
				scribbled++;
				break;
			}
		}
		free(data);
		sim_free(sim);
	}
	KV_CHECK(scribbled > 50);
}

/* What a failed sync has lost, no later sync brings back. */
KV_TEST(failed_sync_is_final)
{
	int lost = 0, evicted = 0;
	uint64_t seed;

	for (seed = 0; seed < 100; seed++)
	{
		SimFault fault = {SIM_SYNC, 1, 1, KV_IO_ERROR, SIM_NOTHING};
		KvFile *file;

		setup(seed);
		file = create("a");
		KV_CHECK_OK(ops->sync_dir(env, &err), &err);
		put(file, "text", 0);
		sim_fail(sim, fault);
		KV_CHECK_STATUS(ops->sync(env, file, &err), KV_IO_ERROR);
		KV_CHECK_EQ(sim->faults_fired, 1);
		/* the old bytes may come back at once, or only after a crash */
		evicted += !holds("a", "text");
		KV_CHECK_OK(ops->sync(env, file, &err), &err);
		sim_crash(sim, SIM_SYNCED_ONLY);
		lost += !holds("a", "text");
		sim_free(sim);
	}
	KV_CHECK(lost > 20 && lost < 80);
	KV_CHECK(evicted > 5 && evicted < lost);
}

KV_TEST(faults_fire_when_told)
{
	SimFault third = {SIM_PWRITE, 3, 2, KV_DISK_FULL, SIM_PARTLY};
	SimFault lie = {SIM_LINK, 1, 1, KV_IO_ERROR, SIM_ALL};
	SimFault memory = {SIM_ALLOC, 2, UINT64_MAX, KV_OK, SIM_NOTHING};
	KvFile *file;
	void *p;

	setup(5);
	file = create("a");
	sim_fail(sim, third);
	put(file, "1", 0);
	put(file, "2", 1);
	KV_CHECK_STATUS(ops->pwrite(env, file, "345", 3, 2, &err), KV_DISK_FULL);
	KV_CHECK(sim_file_size(sim, "a") < 5);
	KV_CHECK_STATUS(ops->pwrite(env, file, "345", 3, 2, &err), KV_DISK_FULL);
	put(file, "345", 2);
	KV_CHECK(holds("a", "12345"));
	KV_CHECK_EQ(sim->faults_fired, 2);

	sim_fail(sim, lie);
	KV_CHECK_STATUS(ops->link(env, "a", "b", &err), KV_IO_ERROR);
	KV_CHECK(holds("b", "12345"));

	sim_fail(sim, memory);
	p = ops->alloc(env, 10);
	KV_CHECK(p != NULL);
	KV_CHECK(ops->alloc(env, 10) == NULL);
	KV_CHECK(ops->realloc(env, p, 20) == NULL);
	sim_clear_faults(sim);
	p = ops->realloc(env, p, 20);
	KV_CHECK(p != NULL);
	KV_CHECK_EQ(sim->live_allocs, 1);
	ops->free(env, p);
	KV_CHECK_EQ(sim->live_allocs, 0);
	sim_free(sim);
}

KV_TEST(dead_processes_do_nothing)
{
	KvFile *file, *other;

	setup(6);
	file = create("a");
	KV_CHECK_OK(ops->sync_dir(env, &err), &err);
	sim_die_at(sim, 2);
	put(file, "1", 0);
	KV_CHECK(!sim_dead(sim) && !ops->poll(env));
	KV_CHECK_STATUS(ops->pwrite(env, file, "2", 1, 1, &err), KV_IO_ERROR);
	KV_CHECK(sim_dead(sim) && ops->poll(env));
	KV_CHECK_STATUS(ops->open(env, "a", KV_OPEN_READ, &other, &err),
					KV_IO_ERROR);
	KV_CHECK_STATUS(ops->unlink(env, "a", &err), KV_IO_ERROR);
	ops->lock(env, KV_LOCK_LOG, true);
	sim_crash(sim, SIM_KILL);
	KV_CHECK(!sim_dead(sim) && !ops->lock_held(env, KV_LOCK_LOG));
	KV_CHECK(holds("a", "1"));
	sim_free(sim);
}

KV_TEST(full_disks)
{
	KvFile *file;

	setup(7);
	file = create("a");
	sim->disk_limit = 10;
	put(file, "12345678", 0);
	KV_CHECK_STATUS(ops->pwrite(env, file, "90123", 5, 8, &err), KV_DISK_FULL);
	KV_CHECK(sim_file_size(sim, "a") <= 10);
	KV_CHECK_STATUS(ops->preallocate(env, file, 11, &err), KV_DISK_FULL);
	sim->disk_limit = 100;
	put(file, "90123", 8);
	KV_CHECK(holds("a", "1234567890123"));
	sim_free(sim);
}

KV_TEST(clones_share_nothing)
{
	SimEnv *first, *second;

	setup(8);
	put(create("a"), "text", 0);
	first = sim;
	second = sim_clone(first, 9);
	sim_crash(first, SIM_SYNCED_ONLY);
	KV_CHECK(!holds("a", "text"));
	sim = second;
	KV_CHECK(holds("a", "text"));
	KV_CHECK(sim_rot(sim, "a", 1, 0x20));
	KV_CHECK(holds("a", "tExt"));
	sim_crash(second, SIM_SYNCED_ONLY);
	KV_CHECK(!holds("a", "tExt"));
	sim_free(first);
	sim_free(second);
}

static bool
count_names(void *arg, const char *name)
{
	(void) name;
	return ++*(int *) arg < 3;
}

KV_TEST(lists_stop_when_told)
{
	int n = 0;

	setup(10);
	sim_put_file(sim, "a", "1", 1);
	sim_put_file(sim, "b", "2", 1);
	KV_CHECK_OK(ops->list(env, count_names, &n, &err), &err);
	KV_CHECK_EQ(n, 2);
	sim_put_file(sim, "c", "3", 1);
	sim_put_file(sim, "d", "4", 1);
	n = 0;
	KV_CHECK_OK(ops->list(env, count_names, &n, &err), &err);
	KV_CHECK_EQ(n, 3);
	sim_remove_file(sim, "a");
	sim_crash(sim, SIM_SYNCED_ONLY);
	KV_CHECK_EQ(sim_file_size(sim, "a"), -1);
	KV_CHECK(holds("d", "4"));
	sim_free(sim);
}
