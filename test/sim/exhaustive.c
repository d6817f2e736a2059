/* SPDX-License-Identifier: PostgreSQL */
/*
 * exhaustive.c - every tiny workload, hit at each of its calls.
 *
 * Most crash bugs of file systems and stores need few operations, placed
 * just so.  Here no random number decides where the crash is.  Each sequence
 * of at most so many operations runs once to count its calls; then
 *
 *   crashes  it dies at each I/O call, at each level;
 *   nested   the same, and recovery dies at each of its calls, too;
 *   faults   each call of each class fails in each way, in the workload and
 *            in the recovery that follows.
 *
 * Each of them is a plan, so a failure is printed as one.
 */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <xxhash.h>

#include "plan.h"
#include "tally.h"

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

#define MAX_OPS 4

typedef struct Driver
{
	SimDriver what;
	uint64_t each, seen; /* of so many cases one is run */
	uint64_t images, failed;
	Op ops[MAX_OPS];
	uint32_t n;
	bool host_log;
} Driver;

static double
seconds_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static void
add_op(Plan *p, Op op)
{
	switch (op)
	{
	case OP_COMMIT:
	case OP_COMMIT_AND_SYNC:
		plan_add(p, STEP_COMMIT, 3);
		if (op == OP_COMMIT_AND_SYNC)
			plan_add(p, STEP_SYNC, 0);
		break;
	case OP_RUN:
		plan_add(p, STEP_RUN, 5);
		break;
	case OP_TAKE_OVER:
		plan_add(p, STEP_TAKE_OVER, 0);
		break;
	case OP_FLUSH:
		plan_add(p, STEP_FLUSH, 0);
		plan_add(p, STEP_WORK, 0);
		break;
	default:
		plan_add(p, STEP_COMPACT_ALL, 0);
		plan_add(p, STEP_WORK, 0);
		plan_add(p, STEP_COMPACT, UINT64_MAX);
		plan_add(p, STEP_WORK, 0);
		break;
	}
}

/* Something to lose, in a file and in the log. */
static void
begin_plan(const Driver *d, Plan *p)
{
	int i;

	memset(p, 0, sizeof(*p));
	p->seed = 1;
	p->host_log = d->host_log;
	plan_add(p, STEP_OPEN, 0);
	for (i = 0; i < 4; i++)
		add_op(p, i == 2 ? OP_FLUSH : OP_COMMIT_AND_SYNC);
}

static void
add_ops(const Driver *d, Plan *p)
{
	uint32_t i;

	for (i = 0; i < d->n; i++)
		add_op(p, d->ops[i]);
}

/* Calls of the step last on and of those before it, back to the step first. */
static uint64_t
count_calls(const Plan *p, size_t first, size_t last, uint64_t *calls)
{
	static World w;
	uint64_t io = 0;
	size_t i;
	int c;

	memset(calls, 0, SIM_CALLS * sizeof(*calls));
	world_init(&w, p->seed, p->host_log);
	for (i = 0; i <= last && !w.failed; i++)
	{
		if (i == first)
		{
			io = w.sim->io_calls;
			memcpy(calls, w.sim->calls, sizeof(w.sim->calls));
		}
		run_step(&w, p, i);
	}
	io = w.sim->io_calls - io;
	for (c = 0; c < SIM_CALLS; c++)
		calls[c] = w.sim->calls[c] - calls[c];
	world_free(&w);
	return io;
}

/* Runs it and frees it. */
static void
try(Driver *d, Plan *p)
{
	char why[512];

	plan_add(p, STEP_COMPARE, 0);
	d->seen++;
	/* a sample at random: a stride would always meet the same level */
	if (XXH3_64bits(&d->seen, sizeof(d->seen)) % d->each == 0 && d->failed < 5)
	{
		d->images++;
		if (!run_plan(p, false, why, sizeof(why)))
		{
			d->failed++;
			printf("# %s, in this plan:\n", why);
			plan_print(p, stdout);
		}
	}
	plan_free(p);
}

/* The I/O calls of the workload alone. */
static uint64_t
count_work(Driver *d)
{
	uint64_t calls[SIM_CALLS], n;
	size_t first;
	Plan p;

	begin_plan(d, &p);
	first = p.n;
	add_ops(d, &p);
	n = count_calls(&p, first, p.n - 1, calls);
	plan_free(&p);
	return n;
}

/* The workload, killed at its call `at`, up to the recovery that follows. */
static void
crashed_plan(const Driver *d, Plan *p, uint64_t at, uint64_t level)
{
	begin_plan(d, p);
	plan_add(p, STEP_DIE, at);
	add_ops(d, p);
	plan_add(p, STEP_CRASH, level);
}

static void
crashes(Driver *d)
{
	uint64_t n = count_work(d), at, level;
	Plan p;

	for (at = 1; at <= n + 1; at++)
		for (level = 0; level < SIM_LEVELS; level++)
		{
			crashed_plan(d, &p, at, level);
			plan_add(&p, STEP_OPEN, 0);
			try(d, &p);
		}
}

static void
nested(Driver *d)
{
	uint64_t calls[SIM_CALLS], n = count_work(d), m, at, again, level;
	Plan p;

	for (at = 1; at <= n + 1; at++)
		for (level = 0; level < SIM_LEVELS; level++)
		{
			crashed_plan(d, &p, at, level);
			plan_add(&p, STEP_OPEN, 0);
			m = count_calls(&p, p.n - 1, p.n - 1, calls);
			plan_free(&p);
			for (again = 1; again <= m; again++)
			{
				crashed_plan(d, &p, at, level);
				plan_add(&p, STEP_DIE, again);
				plan_add(&p, STEP_OPEN, 0);
				plan_add(&p, STEP_CRASH, (at + again) % SIM_LEVELS);
				plan_add(&p, STEP_OPEN, 0);
				try(d, &p);
			}
		}
}

static void
add_fault_step(Plan *p, int call, uint64_t nth, unsigned form)
{
	Step *s = plan_add(p, STEP_FAULT, (uint64_t) call);

	s->args[1] = nth;
	s->args[2] = form % 2 == 0; /* 0: for ever */
	s->args[3] = form / 6;
	s->args[4] = form / 2 % 3;
}

/* The nth call of its class fails, the host's log cannot be written, or both. */
static void
fail_work(Driver *d, int call, uint64_t nth, unsigned form, uint64_t level)
{
	size_t first, i;
	int host_fails;

	for (host_fails = 0; host_fails <= d->host_log; host_fails++)
	{
		Plan p;

		begin_plan(d, &p);
		add_fault_step(&p, call, nth, form);
		first = p.n;
		add_ops(d, &p);
		/* the number that lets it fail, once in each step */
		for (i = first; host_fails && i < p.n; i++)
			p.steps[i].draw = 0;
		plan_add(&p, STEP_RESUME, 0);
		plan_add(&p, STEP_CRASH, level);
		plan_add(&p, STEP_OPEN, 0);
		try(d, &p);
	}
}

static void
faults(Driver *d)
{
	uint64_t work[SIM_CALLS], recovery[SIM_CALLS], nth, level = 0;
	unsigned form;
	size_t first;
	int call;
	Plan p;

	begin_plan(d, &p);
	first = p.n;
	add_ops(d, &p);
	(void) count_calls(&p, first, p.n - 1, work);
	plan_add(&p, STEP_CRASH, SIM_SYNCED_ONLY);
	plan_add(&p, STEP_OPEN, 0);
	(void) count_calls(&p, p.n - 1, p.n - 1, recovery);
	plan_free(&p);
	for (call = 0; call < SIM_CALLS; call++)
		for (form = 0; form < (call == SIM_ALLOC ? 2 : SIM_FORMS); form++)
		{
			for (nth = 1; nth <= work[call]; nth++)
				fail_work(d, call, nth, form, level++ % SIM_LEVELS);
			for (nth = 1; nth <= recovery[call]; nth++)
			{
				crashed_plan(d, &p, SIM_NEVER, SIM_SYNCED_ONLY);
				add_fault_step(&p, call, nth, form);
				plan_add(&p, STEP_OPEN, 0);
				plan_add(&p, STEP_CRASH, level++ % SIM_LEVELS);
				plan_add(&p, STEP_OPEN, 0);
				try(d, &p);
			}
		}
}

int
sim_exhaustive(SimDriver what, uint32_t max_ops, uint64_t each, double seconds)
{
	static const char *const names[] = {"crashes", "nested crashes", "faults"};
	Driver d = {.what = what, .each = each > 0 ? each : 1};
	double start = seconds_now();
	uint32_t length, done = 0, skipped = 0;

	for (length = 1; length <= max_ops && length <= MAX_OPS; length++)
	{
		uint32_t i, code, all = 1;

		for (i = 0; i < length; i++)
			all *= OPS;
		for (code = 0; code < all * 2; code++)
		{
			uint32_t rest = code / 2;

			d.n = length;
			d.host_log = code % 2 == 1;
			for (i = 0; i < length; i++, rest /= OPS)
				d.ops[i] = (Op) (rest % OPS);
			if (seconds_now() - start > seconds || d.failed >= 5)
			{
				skipped++;
				continue;
			}
			done++;
			if (what == SIM_CRASHES)
				crashes(&d);
			else if (what == SIM_NESTED)
				nested(&d);
			else
				faults(&d);
		}
	}
	printf("# exhaustive %s: %u workloads of up to %u operations, %llu of "
		   "%llu cases, %u workloads not run, %.0f s\n",
		   names[what], done, max_ops, (unsigned long long) d.images,
		   (unsigned long long) d.seen, skipped, seconds_now() - start);
	tally_print();
	if (what == SIM_FAULTS)
		(void) tally_print_faults(false);
	printf("%llu passed, %llu failed\n",
		   (unsigned long long) (d.images - d.failed),
		   (unsigned long long) d.failed);
	return d.failed > 0 || d.images == 0;
}
