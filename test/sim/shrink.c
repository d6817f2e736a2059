/* SPDX-License-Identifier: PostgreSQL */
/*
 * shrink.c - a short plan from a long one that fails; see plan.h.
 *
 * Delta debugging: leaves out ever smaller stretches of steps as long as the
 * rest fails, then makes the numbers of what is left smaller.
 */
#include "plan.h"

#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ATTEMPT_SECONDS 10

static double
seconds_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

bool
plan_fails(const Plan *p)
{
	int status = 0;
	pid_t child;

	fflush(NULL);
	child = fork();
	if (child == 0)
	{
		char why[512];

		/* nobody wants to read the reasons of a hundred attempts */
		if (freopen("/dev/null", "w", stdout) == NULL ||
			freopen("/dev/null", "w", stderr) == NULL)
			_exit(0);
		alarm(ATTEMPT_SECONDS);
		_exit(run_plan(p, false, why, sizeof(why)) ? 0 : 1);
	}
	if (child < 0 || waitpid(child, &status, 0) != child)
		return false;
	return !(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Without the n steps from at on, if that fails too. */
static bool
leave_out(Plan *p, size_t at, size_t n)
{
	Plan shorter;

	plan_copy(&shorter, p);
	memmove(&shorter.steps[at], &shorter.steps[at + n],
			(shorter.n - at - n) * sizeof(Step));
	shorter.n -= n;
	if (!plan_fails(&shorter))
	{
		plan_free(&shorter);
		return false;
	}
	plan_free(p);
	*p = shorter;
	return true;
}

/* The step's number becomes this, if that fails too. */
static void
make_smaller(Plan *p, uint64_t *number, uint64_t to)
{
	uint64_t was = *number;

	if (was <= to)
		return;
	*number = to;
	if (!plan_fails(p))
		*number = was;
}

void
plan_shrink(Plan *p, double seconds)
{
	double end = seconds_now() + seconds;
	size_t chunk = p->n / 2, i;
	bool shorter = true;

	/* a round of single steps follows each that has helped */
	while (chunk > 0 && seconds_now() < end)
	{
		shorter = false;
		/* from the end: the reason mostly stands there */
		for (i = p->n; i >= chunk && seconds_now() < end;)
		{
			i -= chunk;
			if (leave_out(p, i, chunk))
			{
				shorter = true;
				if (i > p->n)
					i = p->n;
			}
			else if (i < chunk && i > 0)
				i = chunk;
		}
		if (chunk > 1)
			chunk /= 2;
		else if (!shorter)
			break;
	}
	for (i = 0; i < p->n && seconds_now() < end; i++)
	{
		Step *s = &p->steps[i];

		if (s->kind == STEP_COMMIT || s->kind == STEP_RUN)
		{
			make_smaller(p, &s->args[0], 1);
			make_smaller(p, &s->args[1], 0);
		}
		make_smaller(p, &s->draw, 0);
	}
}
