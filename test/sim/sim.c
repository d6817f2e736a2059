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

static uint64_t crashes[SIM_LEVELS], nested, faults, generations;

typedef struct Snapshot
{
	bool open;
	uint64_t csn;
	uint32_t commit;
} Snapshot;

/* A few calls will fail; the engine must go on, or stop cleanly. */
static void
plant_fault(World *w)
{
	static const SimCall calls[] = {SIM_OPEN, SIM_PWRITE, SIM_PWRITE,
									SIM_LINK, SIM_UNLINK, SIM_ALLOC,
									SIM_PREAD, SIM_RENAME, SIM_LIST};
	SimFault f = {SIM_OPEN, 1, 1, KV_IO_ERROR, SIM_NOTHING};

	f.call = calls[world_rand(w, sizeof(calls) / sizeof(calls[0]))];
	f.nth = 1 + world_rand(w, 20);
	f.times = 1 + world_rand(w, 3);
	f.status = world_rand(w, 2) ? KV_IO_ERROR : KV_DISK_FULL;
	f.done = (SimDone) world_rand(w, 3);
	sim_fail(w->sim, f);
}

/* One random step.  KV_OK, or what made the engine stop. */
static KvStatus
step(World *w, Snapshot *snap, KvError *err)
{
	uint64_t dice = world_rand(w, 100);
	KvWork work;
	bool busy;

	if (dice < 45)
		return world_commit(w, 1 + (uint32_t) world_rand(w, 6), false,
							w->host_log && world_rand(w, 8) == 0, err);
	if (dice < 50)
		return world_commit(w, 1 + (uint32_t) world_rand(w, 60), true,
							w->host_log && world_rand(w, 4) == 0, err);
	if (dice < 65)
		return world_sync(w, err);
	if (dice < 80)
		return kv_worker_step(w->db, &work, err);
	if (dice < 88)
		return kv_compact_step(w->db, 1 + world_rand(w, 20000), &busy, err);
	if (dice < 92)
		(void) kv_request_flush(w->db);
	else if (dice < 93)
		(void) kv_request_compact(w->db);
	else if (dice < 96 && !w->host_log)
	{
		/* a snapshot: nothing that it sees may go away */
		if (snap->open)
			world_compare(w, snap->commit, snap->csn);
		snap->open = !snap->open;
		snap->csn = kv_snapshot_csn(w->db);
		snap->commit = w->model.commits;
		w->sim->horizon.csn = snap->open ? snap->csn : UINT64_MAX;
	}
	else
		world_compare(w, w->model.commits, UINT64_MAX);
	return KV_OK;
}

/* Errors that the engine is allowed to have while calls fail. */
static bool
is_excused(const World *w, KvStatus st)
{
	return sim_dead(w->sim) || st == KV_STALLED || st == KV_NO_MEMORY ||
		   ((st == KV_IO_ERROR || st == KV_DISK_FULL ||
			 st == KV_NOT_READY || st == KV_CORRUPT) &&
			w->sim->faults_fired > 0);
}

/*
 * Work until the process dies, an error ends it, or enough was done.  A
 * comparison is only made while no fault is planted.
 */
static void
work_until_crash(World *w, uint64_t ops, bool with_faults)
{
	Snapshot snap = {false, 0, 0};
	KvError err;
	uint64_t i;

	w->phase = "working";
	w->sim->horizon.csn = UINT64_MAX;
	w->sim->faults_fired = 0;
	for (i = 0; i < ops && !w->failed && !sim_dead(w->sim); i++)
	{
		KvStatus st;

		if (w->model.commits >= MODEL_COMMITS - 2)
			return;
		if (with_faults && world_rand(w, 40) == 0)
			plant_fault(w);
		kv_error_clear(&err);
		st = step(w, &snap, &err);
		if (st == KV_OK)
			continue;
		if (!is_excused(w, st))
			world_fail(w, "%s: %s", kv_status_name(st), err.message);
		else if (st != KV_STALLED && world_rand(w, 2) == 0)
			return; /* as a host that gives up */
	}
}

/* Recovery, killed a few times on the way if the seed says so. */
static bool
recover(World *w)
{
	uint32_t depth = (uint32_t) world_rand(w, 4), i;
	KvError err;
	KvStatus st;

	w->phase = "recovering";
	sim_clear_faults(w->sim);
	for (i = 0; i < depth; i++)
	{
		SimLevel level = (SimLevel) world_rand(w, SIM_LEVELS);

		sim_die_at(w->sim, 1 + world_rand(w, 60));
		st = world_open(w, &err);
		if (st != KV_OK && !sim_dead(w->sim))
		{
			world_fail(w, "recovery: %s: %s", kv_status_name(st),
					   err.message);
			return false;
		}
		world_crash(w, level);
		crashes[level]++;
		nested++;
	}
	sim_die_at(w->sim, SIM_NEVER);
	w->sim->faults_fired = 0;
	st = world_open(w, &err);
	if (st != KV_OK)
		world_fail(w, "recovery: %s: %s", kv_status_name(st), err.message);
	return st == KV_OK;
}

/* Faults off, the engine must come to rest and own every file it left. */
static void
must_quiesce(World *w)
{
	uint64_t ticket = kv_request_compact(w->db);
	KvError err;
	KvWork work;
	bool busy;
	int i;

	w->phase = "coming to rest";
	for (i = 0; i < 2000 && !kv_request_done(w->db, ticket); i++)
	{
		KvStatus st = kv_worker_step(w->db, &work, &err);

		if (st == KV_OK)
			st = kv_compact_step(w->db, UINT64_MAX, &busy, &err);
		if (st != KV_OK)
		{
			world_fail(w, "at rest: %s: %s", kv_status_name(st), err.message);
			return;
		}
	}
	if (!kv_request_done(w->db, ticket))
		world_fail(w, "the engine does not come to rest");
}

static bool
run_seed(uint64_t seed, uint64_t ops)
{
	static World w;
	uint32_t generation, n;
	bool ok;

	world_init(&w, seed, seed % 2 == 1);
	n = 4 + (uint32_t) world_rand(&w, 6);
	ok = recover(&w);
	for (generation = 0; ok && !w.failed && generation < n; generation++)
	{
		SimLevel level = (SimLevel) world_rand(&w, SIM_LEVELS);
		bool with_faults = world_rand(&w, 3) == 0;

		generations++;
		if (world_rand(&w, 4) != 0)
			sim_die_at(w.sim, 1 + world_rand(&w, 400));
		work_until_crash(&w, 1 + world_rand(&w, ops), with_faults);
		faults += w.sim->faults_fired;
		if (w.failed)
			break;
		world_crash(&w, level);
		crashes[level]++;
		if (!recover(&w))
			break;
		w.phase = "checking what was recovered";
		world_check_recovered(&w);
		if (!w.failed && generation + 1 == n)
		{
			must_quiesce(&w);
			if (!w.failed)
				world_compare(&w, w.model.commits, UINT64_MAX);
		}
	}
	if (w.failed)
		printf("# seed %llu, generation %u (%s): %s\n",
			   (unsigned long long) seed, generation,
			   w.host_log ? "host log" : "own log", w.why);
	ok = !w.failed;
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
	uint32_t passed = 0, failed = 0;
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
		else if (strcmp(argv[i], "--quick") != 0)
		{
			fprintf(stderr, "usage: sim [--quick | --long] [--seconds S] "
							"[--from N] [--seed N]\n");
			return 2;
		}
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (seed = first; seed - first < count && now() - start < seconds &&
					   failed < 5;
		 seed++)
	{
		if (run_seed(seed, ops))
			passed++;
		else
			failed++;
	}
	printf("# %llu generations, %llu crashes (kill %llu, synced only %llu, "
		   "power loss %llu, garbage %llu; %llu in recovery), %llu faults, "
		   "%.0f s\n",
		   (unsigned long long) generations,
		   (unsigned long long) (crashes[0] + crashes[1] + crashes[2] +
								 crashes[3]),
		   (unsigned long long) crashes[0], (unsigned long long) crashes[1],
		   (unsigned long long) crashes[2], (unsigned long long) crashes[3],
		   (unsigned long long) nested, (unsigned long long) faults,
		   now() - start);
	printf("%u passed, %u failed\n", passed, failed);
	return failed > 0 || passed == 0;
}
