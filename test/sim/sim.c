/* SPDX-License-Identifier: PostgreSQL */
/*
 * sim.c - the crash simulator: what is run, and what is said about it.
 *
 * Everything follows from a seed: it makes a plan (plan.h), and the plan is
 * run.  A failure prints the seed, `sim --seed N --shrink` makes a short plan
 * of it, `sim --ops file` runs a plan.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "plan.h"
#include "tally.h"

typedef struct Options
{
	double seconds;
	uint64_t first, count;
	uint32_t most_failures;
	uint32_t exhaustive, nested, sweep; /* operations */
	uint64_t each;						/* of so many cases one */
	bool trace, shrink, metamorphic, rot_all, strict;
	const char *save;
	char **ops; /* files */
	int n_ops;
} Options;

static char at_hand[64] = "?";

static void
note(const char *what, uint64_t seed)
{
	(void) snprintf(at_hand, sizeof(at_hand), "%s %llu", what,
					(unsigned long long) seed);
}

/* A trap in the engine is a failure that should say where it happened. */
static void
on_signal(int number)
{
	char text[128];
	int n = snprintf(text, sizeof(text), "# %s: killed by signal %d\n",
					 at_hand, number);

	if (write(STDOUT_FILENO, text, (size_t) n) != n)
		_exit(4);
	_exit(3);
}

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

static int
finish(uint32_t passed, uint32_t failed)
{
	printf("%u passed, %u failed\n", passed, failed);
	return failed > 0 || passed == 0;
}

static int
shrink(Plan *p)
{
	size_t before = p->n;

	if (!plan_fails(p))
	{
		fprintf(stderr, "it does not fail\n");
		return 2;
	}
	plan_shrink(p, 120);
	printf("# %zu steps of %zu\n", p->n, before);
	plan_print(p, stdout);
	return 0;
}

static int
run_ops(const Options *o)
{
	uint32_t passed = 0, failed = 0;
	char why[512];
	int i;

	for (i = 0; i < o->n_ops; i++)
	{
		Plan p;

		(void) snprintf(at_hand, sizeof(at_hand), "%s", o->ops[i]);
		if (!plan_read(&p, o->ops[i]))
			return 2;
		if (o->shrink)
			return shrink(&p);
		if (run_plan(&p, o->trace, why, sizeof(why)))
			passed++;
		else
		{
			failed++;
			printf("# %s: %s\n", o->ops[i], why);
		}
		plan_free(&p);
	}
	return finish(passed, failed);
}

static int
run_seeds(const Options *o)
{
	double start = now();
	uint32_t passed = 0, failed = 0, missing = 0;
	uint64_t seed;
	char why[512];

	for (seed = o->first;
		 seed - o->first < o->count && now() - start < o->seconds &&
		 failed < o->most_failures;
		 seed++)
	{
		Plan p;

		note("seed", seed);
		plan_make(&p, seed, PLAN_CRASHES);
		if (o->shrink)
			return shrink(&p);
		if (run_plan(&p, o->trace, why, sizeof(why)))
			passed++;
		else
		{
			failed++;
			printf("# seed %llu (%s): %s\n", (unsigned long long) seed,
				   p.host_log ? "host log" : "own log", why);
		}
		plan_free(&p);
	}
	printf("# seeds %llu to %llu, %.0f s\n", (unsigned long long) o->first,
		   (unsigned long long) seed - 1, now() - start);
	tally_print();
	missing = tally_print_faults(o->strict);
	/* in a short run some may not happen */
	if (o->strict && missing > 0)
	{
		printf("# %u kinds of failure never fired\n", missing);
		failed++;
	}
	return finish(passed, failed);
}

static int
usage(void)
{
	fprintf(stderr,
			"usage: sim [--seconds S] [--from SEED] [--until-failure] "
			"[--strict]\n"
			"       sim --seed N [--trace | --shrink]\n"
			"       sim --ops FILE... | --shrink --ops FILE\n"
			"       sim --exhaustive OPS | --nested OPS | --sweep OPS | "
			"--rot-all\n"
			"           [--each N] [--seconds S]    one of N cases\n"
			"       sim --metamorphic [--seconds S] [--from SEED | --seed N]\n"
			"       --save FILE           appends the hashes of all images\n");
	return 2;
}

/* One option; the number of arguments it took, 0: unknown. */
static int
take_option(Options *o, int argc, char **argv)
{
	const char *name = argv[0], *value = argc > 1 ? argv[1] : NULL;

	if (strcmp(name, "--until-failure") == 0)
		o->most_failures = 1;
	else if (strcmp(name, "--trace") == 0)
		o->trace = true;
	else if (strcmp(name, "--shrink") == 0)
		o->shrink = true;
	else if (strcmp(name, "--metamorphic") == 0)
		o->metamorphic = true;
	else if (strcmp(name, "--rot-all") == 0)
		o->rot_all = true;
	else if (strcmp(name, "--strict") == 0)
		o->strict = true;
	else if (value == NULL)
		return 0;
	else if (strcmp(name, "--ops") == 0)
	{
		o->ops = argv + 1;
		o->n_ops = argc - 1;
		return argc;
	}
	else
	{
		if (strcmp(name, "--seed") == 0)
		{
			o->first = strtoull(value, NULL, 10);
			o->count = 1;
		}
		else if (strcmp(name, "--from") == 0)
			o->first = strtoull(value, NULL, 10);
		else if (strcmp(name, "--seconds") == 0)
			o->seconds = strtod(value, NULL);
		else if (strcmp(name, "--exhaustive") == 0)
			o->exhaustive = (uint32_t) strtoul(value, NULL, 10);
		else if (strcmp(name, "--nested") == 0)
			o->nested = (uint32_t) strtoul(value, NULL, 10);
		else if (strcmp(name, "--sweep") == 0)
			o->sweep = (uint32_t) strtoul(value, NULL, 10);
		else if (strcmp(name, "--each") == 0)
			o->each = strtoull(value, NULL, 10);
		else if (strcmp(name, "--save") == 0)
			o->save = value;
		else
			return 0;
		return 2;
	}
	return 1;
}

int
main(int argc, char **argv)
{
	static const int signals[] = {SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS};
	Options o = {.seconds = 40,
				 .first = 1,
				 .count = UINT64_MAX,
				 .each = 1,
				 .most_failures = 5};
	size_t s;
	int i, n, rc;

	for (i = 1; i < argc; i += n)
	{
		n = take_option(&o, argc - i, argv + i);
		if (n == 0)
			return usage();
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (s = 0; s < sizeof(signals) / sizeof(signals[0]); s++)
		(void) signal(signals[s], on_signal);
	if (o.n_ops > 0)
		return run_ops(&o);
	if (o.metamorphic)
		rc = sim_metamorphic(o.first, o.count, o.seconds, o.most_failures,
							 o.trace);
	else if (o.rot_all)
		rc = sim_rot_all(o.each);
	else if (o.exhaustive > 0)
		rc = sim_exhaustive(SIM_CRASHES, o.exhaustive, o.each, o.seconds);
	else if (o.nested > 0)
		rc = sim_exhaustive(SIM_NESTED, o.nested, o.each, o.seconds);
	else if (o.sweep > 0)
		rc = sim_exhaustive(SIM_FAULTS, o.sweep, o.each, o.seconds);
	else
		rc = run_seeds(&o);
	if (o.save != NULL && !tally_save(o.save))
	{
		perror(o.save);
		return 2;
	}
	return rc;
}
