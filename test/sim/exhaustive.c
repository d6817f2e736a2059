/* SPDX-License-Identifier: PostgreSQL */
/*
 * exhaustive.c - every tiny workload, killed at each of its I/O calls.
 *
 * Most crash bugs of file systems and stores need few operations, placed
 * just so.  Here no random number decides where the crash is: each sequence
 * of at most `ops` operations runs once to count its calls, then once for
 * each call and level.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "world.h"

typedef enum Op
{
	OP_COMMIT,
	OP_COMMIT_AND_SYNC,
	OP_RUN,
	OP_FLUSH,
	OP_COMPACT,
	OP_TAKE_OVER,
	OPS
} Op;

static const char *const names[OPS] = {"commit", "sync",	"run",
									   "flush",	 "compact", "take over"};

static double
seconds_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static KvStatus
do_op(World *w, Op op, KvError *err)
{
	KvStatus st = KV_OK;
	KvWork work;
	bool busy;

	switch (op)
	{
	case OP_COMMIT:
	case OP_COMMIT_AND_SYNC:
		st = world_commit(w, 3, false, false, err);
		if (st == KV_OK && op == OP_COMMIT_AND_SYNC)
			st = world_sync(w, err);
		return st;
	case OP_RUN:
		return world_commit(w, 5, true, false, err);
	case OP_TAKE_OVER:
		return world_take_over(w, err);
	case OP_FLUSH:
		(void) kv_request_flush(w->db);
		return kv_worker_step(w->db, &work, err);
	default:
		(void) kv_request_compact(w->db);
		st = kv_worker_step(w->db, &work, err);
		if (st == KV_OK)
			st = kv_compact_step(w->db, UINT64_MAX, &busy, err);
		return st == KV_OK ? kv_worker_step(w->db, &work, err) : st;
	}
}

/* Runs to the crash; the number of I/O calls it made. */
static uint64_t
run_once(World *w, const Op *ops, uint32_t n, uint64_t die_at, SimLevel level)
{
	KvError err;
	uint64_t before;
	uint32_t i;
	KvStatus st = world_open(w, &err);

	/* something to lose, in a file and in the log */
	for (i = 0; st == KV_OK && i < 4; i++)
		st = do_op(w, i == 2 ? OP_FLUSH : OP_COMMIT_AND_SYNC, &err);
	if (st != KV_OK)
		world_fail(w, SIM_OTHER, "start: %s", err.message);
	w->phase = "working";
	before = w->sim->io_calls;
	sim_die_at(w->sim, die_at);
	for (i = 0; !w->failed && i < n && !sim_dead(w->sim); i++)
	{
		st = do_op(w, ops[i], &err);
		if (st != KV_OK && !sim_dead(w->sim))
			world_fail(w, SIM_OTHER, "%s: %s: %s", names[ops[i]],
					   kv_status_name(st), err.message);
	}
	before = w->sim->io_calls - before;
	if (w->failed)
		return before;
	world_crash(w, level);
	w->phase = "recovering";
	if (world_open(w, &err) != KV_OK)
		world_fail(w, SIM_OTHER, "recovery: %s", err.message);
	else
		world_check_recovered(w);
	return before;
}

static bool
run_workload(const Op *ops, uint32_t n, bool host_log, uint64_t *images)
{
	static World w;
	uint64_t calls = 1, at;
	int level;

	for (at = 1; at <= calls + 1; at++)
		for (level = 0; level < SIM_LEVELS; level++)
		{
			uint64_t made;
			uint32_t i;

			/* the first one runs to its end and counts */
			world_init(&w, 1, host_log);
			made = run_once(&w, ops, n, at == 1 && level == 0 ? SIM_NEVER : at,
							(SimLevel) level);
			if (at == 1 && level == 0)
				calls = made;
			(*images)++;
			if (w.failed)
			{
				printf("# exhaustive (%s), call %llu, level %d:",
					   host_log ? "host log" : "own log",
					   (unsigned long long) at, level);
				for (i = 0; i < n; i++)
					printf(" %s", names[ops[i]]);
				printf(": %s\n", w.why);
			}
			world_free(&w);
			if (w.failed)
				return false;
		}
	return true;
}

int
sim_exhaustive(uint32_t max_ops, double seconds)
{
	double start = seconds_now();
	uint64_t images = 0;
	uint32_t n, passed = 0, failed = 0, skipped = 0;

	for (n = 1; n <= max_ops && n <= 4; n++)
	{
		uint32_t i, code, all = 1;

		for (i = 0; i < n; i++)
			all *= OPS;
		for (code = 0; code < all * 2; code++)
		{
			Op ops[4];
			uint32_t rest = code / 2;

			for (i = 0; i < n; i++, rest /= OPS)
				ops[i] = (Op) (rest % OPS);
			if (seconds_now() - start > seconds || failed >= 5)
				skipped++;
			else if (run_workload(ops, n, code % 2 == 1, &images))
				passed++;
			else
				failed++;
		}
	}
	printf("# exhaustive: %u workloads of up to %u operations, %llu images, "
		   "%u not run, %.0f s\n",
		   passed + failed, max_ops, (unsigned long long) images, skipped,
		   seconds_now() - start);
	printf("%u passed, %u failed\n", passed, failed);
	return failed > 0 || passed == 0;
}
