/* SPDX-License-Identifier: PostgreSQL */
/*
 * sim.c - simulated crashes: random work, a crash, recovery, comparison.
 *
 * Everything follows from the seed.  A failure prints the seed and what was
 * being done; `sim --seed N` repeats it.  Each seed is several generations
 * of work on one disk, each ended by a crash of some level, at an I/O call
 * chosen by the seed, recovery itself included.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "world.h"

static bool trace;
static uint64_t crashes[SIM_LEVELS], nested, faults, generations, rotted;

/* A few calls will fail; the engine must go on, or stop cleanly. */
static void
plant_fault(World *w)
{
	static const SimCall calls[] = {SIM_OPEN,	SIM_PWRITE,	 SIM_PWRITE,
									SIM_PWRITE, SIM_LINK,	 SIM_PREAD,
									SIM_PREAD,	SIM_ALLOC,	 SIM_PREALLOCATE,
									SIM_UNLINK, SIM_SIZE,	 SIM_RENAME,
									SIM_LIST,	SIM_SYNC,	 SIM_SYNC,
									SIM_SYNC,	SIM_SYNC_DIR};
	SimFault f = {SIM_OPEN, 1, 1, KV_IO_ERROR, SIM_NOTHING};

	f.call = calls[world_rand(w, sizeof(calls) / sizeof(calls[0]))];
	f.nth = 1 + world_rand(w, f.call == SIM_SYNC ? 5 : 20);
	if (w->trace)
		printf("# fault: call class %d, the %lluth\n", (int) f.call,
			   (unsigned long long) f.nth);
	f.times = world_rand(w, 10) == 0 ? UINT64_MAX : 1 + world_rand(w, 3);
	f.status = world_rand(w, 2) ? KV_IO_ERROR : KV_DISK_FULL;
	f.done = (SimDone) world_rand(w, 3);
	/* only so many fit */
	if (w->planted++ % SIM_MAX_FAULTS == 0)
		sim_clear_faults(w->sim);
	w->faults = true;
	w->sync_fails |= f.call == SIM_SYNC || f.call == SIM_SYNC_DIR;
	sim_fail(w->sim, f);
}

static void
end_faults(World *w)
{
	sim_clear_faults(w->sim);
	w->sim->disk_limit = UINT64_MAX;
	w->faults = w->full = w->sync_fails = false;
	faults += w->sim->faults_fired;
	w->sim->faults_fired = 0;
}

static void
step_snapshot(World *w)
{
	if (!w->snap.open)
		snapshot_open(w);
	else if (world_rand(w, 3) != 0)
		snapshot_look(w);
	else
		snapshot_close(w);
}

static KvStatus
step_xact(World *w, KvError *err)
{
	if (!w->host_log)
		return KV_OK;
	if (w->xact.xid != 0)
		return world_end(w, world_rand(w, 3) != 0, err);
	return world_begin(w, 1 + (uint32_t) world_rand(w, 8),
					   world_rand(w, 4) == 0, err);
}

/* One random step.  KV_OK, or what made the engine stop. */
static KvStatus
step(World *w, bool with_faults, KvError *err)
{
	static const struct
	{
		uint32_t below;
		const char *name;
	} names[] = {{45, "commit "},	  {50, "run "},
				 {60, "sync "},		  {75, "work "},
				 {83, "compact "},	  {88, "xact "},
				 {92, "flush "},	  {93, "compact all "},
				 {99, "snapshot "},	  {103, "clock "},
				 {104, "backup "},	  {105, "take over "},
				 {106, "disk full "}, {107, "disk empty "},
				 {110, "compare "}};
	uint64_t dice = world_rand(w, 110);
	KvWork work;
	bool busy;
	int i;

	for (i = 0; dice >= names[i].below; i++)
		;
	w->doing = names[i].name;

	if (dice < 45)
		return world_commit(w, 1 + (uint32_t) world_rand(w, 6), false,
							w->host_log && world_rand(w, 8) == 0, err);
	if (dice < 50)
		return world_commit(w, 1 + (uint32_t) world_rand(w, 60), true,
							w->host_log && world_rand(w, 4) == 0, err);
	if (dice < 60)
		return world_sync(w, err);
	if (dice < 75)
		return kv_worker_step(w->db, &work, err);
	if (dice < 83)
		return kv_compact_step(w->db, 1 + world_rand(w, 20000), &busy, err);
	if (dice < 88)
		return step_xact(w, err);
	if (dice < 92)
		(void) kv_request_flush(w->db);
	else if (dice < 93)
		(void) kv_request_compact(w->db);
	else if (dice < 99)
		step_snapshot(w);
	else if (dice < 103)
		w->sim->clock_us += (int64_t) world_rand(w, 1500);
	else if (dice < 104)
		world_backup(w, !w->sim->backup);
	else if (dice < 105 && !w->sync_fails)
		return world_take_over(w, err);
	else if (dice < 106 && with_faults)
		world_limit_disk(w, world_rand(w, 20000));
	else if (dice < 107)
		w->sim->disk_limit = UINT64_MAX;
	else
		world_compare_now(w);
	return KV_OK;
}

/*
 * Work until the process dies, an error ends it, or enough was done.  false:
 * the host gives up.
 */
static bool
work_until_crash(World *w, uint64_t ops, bool with_faults)
{
	KvError err;
	uint64_t i;

	w->phase = "working";
	w->sim->faults_fired = 0;
	for (i = 0; i < ops && !w->failed && !sim_dead(w->sim); i++)
	{
		KvStatus st;

		if (w->model.commits >= MODEL_COMMITS - 2)
			return true;
		if (with_faults && world_rand(w, 40) == 0)
			plant_fault(w);
		kv_error_clear(&err);
		/* the host starts a worker again until one can take over */
		st = w->no_worker ? world_take_over(w, &err)
						  : step(w, with_faults, &err);
		if (w->trace)
			printf("# step %llu: %s%s\n", (unsigned long long) i, w->doing,
				   st == KV_OK ? "" : kv_status_name(st));
		if (st == KV_OK || st == KV_STALLED)
			continue;
		if (!world_excuses(w, st))
			world_fail(w, "%s: %s", kv_status_name(st), err.message);
		/* mostly as a host that panics when a sync has failed */
		else if (w->sync_fails && world_rand(w, 3) != 0)
			return false;
		/* a worker cannot take over at every moment: the server restarts */
		else if (w->db == NULL || st == KV_NOT_READY || world_rand(w, 6) == 0)
			return false;
	}
	return true;
}

/* Recovery, killed or hit by a fault a few times if the seed says so. */
static bool
recover(World *w)
{
	uint32_t depth = (uint32_t) world_rand(w, 4), i;
	KvError err;
	KvStatus st;

	w->phase = "recovering";
	end_faults(w);
	for (i = 0; i < depth && !w->failed; i++)
	{
		SimLevel level = (SimLevel) world_rand(w, SIM_LEVELS);

		if (world_rand(w, 2) == 0)
			plant_fault(w);
		else
			sim_die_at(w->sim, 1 + world_rand(w, 60));
		st = world_open(w, &err);
		if (st != KV_OK && !world_excuses(w, st))
		{
			world_fail(w, "recovery: %s: %s", kv_status_name(st), err.message);
			return false;
		}
		if (world_rand(w, 2) == 0)
			world_detach(w);
		end_faults(w);
		world_crash(w, level);
		crashes[level]++;
		nested++;
		if (w->trace)
			printf("# crash in recovery, level %d\n", (int) level);
	}
	sim_die_at(w->sim, SIM_NEVER);
	st = world_open(w, &err);
	if (st != KV_OK)
		world_fail(w, "recovery: %s: %s", kv_status_name(st), err.message);
	return st == KV_OK && !w->failed;
}

/* The calls succeed again: work goes on without a restart. */
static void
check_resumed(World *w)
{
	KvError err;

	end_faults(w);
	world_backup(w, false);
	if (w->no_worker)
	{
		KvStatus st = world_take_over(w, &err);

		if (st == KV_NOT_READY)
			return;
		if (st != KV_OK)
			world_fail(w, "no worker can take over: %s", err.message);
	}
	if (!w->failed)
		world_must_rest(w, 3);
	if (!w->failed)
		world_compare_now(w);
}

/* One life of the process, with its end and the next one's recovery. */
static bool
run_generation(World *w, uint64_t ops)
{
	SimLevel level = (SimLevel) world_rand(w, SIM_LEVELS);
	bool with_faults = world_rand(w, 3) == 0, clean = false, goes_on, synced;

	generations++;
	if (world_rand(w, 4) != 0)
		sim_die_at(w->sim, 1 + world_rand(w, 400));
	goes_on = work_until_crash(w, 1 + world_rand(w, ops), with_faults);
	synced = !w->sync_fails;
	if (!w->failed && goes_on && synced && !sim_dead(w->sim) &&
		world_rand(w, 2) == 0)
	{
		sim_die_at(w->sim, SIM_NEVER);
		check_resumed(w);
		clean = !w->failed && !w->no_worker && world_rand(w, 2) == 0;
		if (clean)
			world_shutdown(w);
	}
	if (w->failed)
		return false;
	end_faults(w);
	world_crash(w, level);
	crashes[level]++;
	if (!recover(w))
		return false;
	w->phase = "checking what was recovered";
	world_check_recovered(w);
	return !w->failed;
}

static bool
run_seed(uint64_t seed, uint64_t ops)
{
	static World w;
	uint32_t generation = 0, n;
	bool ok;

	world_init(&w, seed, seed % 2 == 1);
	w.trace = w.sim->verbose = trace;
	n = 4 + (uint32_t) world_rand(&w, 6);
	ok = recover(&w);
	while (ok && generation < n)
	{
		ok = run_generation(&w, ops);
		if (ok && (generation + 1 == n || world_rand(&w, 6) == 0))
		{
			world_must_rest(&w, 0);
			world_check_folder(&w);
			if (!w.failed)
				world_compare_now(&w);
			ok = !w.failed;
		}
		generation++;
	}
	if (ok && world_rand(&w, 2) == 0)
		(void) work_until_crash(&w, 1 + world_rand(&w, 60), false);
	if (ok && !w.failed)
	{
		world_rot(&w);
		rotted++;
	}
	ok = !w.failed;
	if (!ok)
		printf("# seed %llu, generation %u (%s): %s\n",
			   (unsigned long long) seed, generation,
			   w.host_log ? "host log" : "own log", w.why);
	world_free(&w);
	return ok;
}

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

int
main(int argc, char **argv)
{
	double seconds = 40, start = now();
	uint64_t first = 1, count = UINT64_MAX, seed, ops = 300;
	uint32_t passed = 0, failed = 0, exhaustive = 0, most_failures = 5;
	int i;

	for (i = 1; i < argc; i++)
	{
		if (strcmp(argv[i], "--long") == 0)
			seconds = 1800;
		else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
		{
			first = strtoull(argv[++i], NULL, 10);
			count = 1;
		}
		else if (strcmp(argv[i], "--from") == 0 && i + 1 < argc)
			first = strtoull(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--seconds") == 0 && i + 1 < argc)
			seconds = strtod(argv[++i], NULL);
		else if (strcmp(argv[i], "--until-failure") == 0)
			most_failures = 1;
		else if (strcmp(argv[i], "--trace") == 0)
			trace = true;
		else if (strcmp(argv[i], "--exhaustive") == 0 && i + 1 < argc)
			exhaustive = (uint32_t) strtoul(argv[++i], NULL, 10);
		else if (strcmp(argv[i], "--quick") != 0)
		{
			fprintf(stderr, "usage: sim [--quick | --long] [--seconds S] "
							"[--from N] [--until-failure] "
							"[--seed N [--trace]] "
							"[--exhaustive OPS]\n");
			return 2;
		}
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	if (exhaustive > 0)
		return sim_exhaustive(exhaustive, seconds);
	for (seed = first; seed - first < count && now() - start < seconds &&
					   failed < most_failures;
		 seed++)
	{
		if (run_seed(seed, ops))
			passed++;
		else
			failed++;
	}
	printf("# %llu generations, %llu crashes (kill %llu, synced only %llu, "
		   "power loss %llu, garbage %llu; %llu in recovery), %llu faults, "
		   "%llu rotten, %.0f s\n",
		   (unsigned long long) generations,
		   (unsigned long long) (crashes[0] + crashes[1] + crashes[2] +
								 crashes[3]),
		   (unsigned long long) crashes[0], (unsigned long long) crashes[1],
		   (unsigned long long) crashes[2], (unsigned long long) crashes[3],
		   (unsigned long long) nested, (unsigned long long) faults,
		   (unsigned long long) rotted, now() - start);
	printf("%u passed, %u failed\n", passed, failed);
	return failed > 0 || passed == 0;
}
