/* SPDX-License-Identifier: PostgreSQL */
/*
 * metamorphic.c - the same work under different settings.
 *
 * What a store answers must not depend on how large its blocks are, when it
 * flushes and what it compacts.  One plan runs under five sets of settings;
 * what gets, scans and snapshots answered is compared with the model and
 * between the sets, step by step.  After each version that is installed the
 * levels are looked at as a whole (levels.c).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "plan.h"
#include "tally.h"

typedef struct OptionSet
{
	const char *name;
	uint64_t memtable, file, job, cache, manifest, prealloc;
	uint32_t memtables, block, space, l0_compact, l0_stop;
	bool lz4;
	WorldManner manner;
} OptionSet;

#define KB 1024

static const OptionSet sets[] = {
	/* everything as small as it gets: many files, many blocks */
	{"tiny", 64 * KB, 1 * KB, 4 * KB, 16 * 256, 512, 0, 2, 128, 10, 1, 4,
	 false, MANNER_AS_PLANNED},
	/* everything in one file */
	{"large", 1024 * KB, 1024 * KB, 4096 * KB, 1024 * KB, 1024 * KB, 64 * KB,
	 4, 32 * KB, 200, 4, 20, true, MANNER_AS_PLANNED},
	/* not room for one block */
	{"no cache", 64 * KB, 4 * KB, 16 * KB, 256, 4 * KB, 8 * KB, 3, 512, 50, 2,
	 12, true, MANNER_AS_PLANNED},
	/* compacts only when writers would stop, or when asked */
	{"lazy", 64 * KB, 2 * KB, 1024 * KB, 32 * KB, 16 * KB, 8 * KB, 2, 256,
	 1000, 8, 16, false, MANNER_LAZY},
	/* flushes and compacts at once whatever can be */
	{"eager", 64 * KB, 2 * KB, 8 * KB, 32 * KB, 2 * KB, 0, 8, 256, 1, 1, 8,
	 true, MANNER_EAGER},
};

#define SETS (sizeof(sets) / sizeof(sets[0]))

static void
configure(World *w, const OptionSet *o)
{
	KvConfig *c = &w->config;

	/* files of 2 KB while compaction is paused are many */
	c->max_files = 4096;
	c->memtable_bytes = o->memtable;
	c->memtables = o->memtables;
	c->cache_bytes = o->cache;
	c->file_bytes = o->file;
	c->job_bytes = o->job;
	c->manifest_bytes = o->manifest;
	c->wal_prealloc = o->prealloc;
	c->block_bytes = o->block;
	c->space_percent = o->space;
	c->l0_compact = o->l0_compact;
	c->l0_stop = o->l0_stop;
	c->lz4 = o->lz4;
	w->manner = o->manner;
	w->steady = true;
}

/* Runs the plan under one set; answers[i]: all that was read up to step i. */
static bool
run_set(const Plan *p, const OptionSet *o, bool trace, uint64_t *answers,
		uint64_t *versions)
{
	static World w;
	size_t i;
	bool ok;

	world_init(&w, p->seed, p->host_log);
	configure(&w, o);
	w.trace = w.sim->verbose = trace;
	for (i = 0; i < p->n && !w.failed; i++)
	{
		run_step(&w, p, i);
		answers[i] = w.answers;
		if (w.failed || !w.up || w.gave_up || world_version(&w) == w.checked)
			continue;
		world_check_levels(&w);
		w.checked = world_version(&w);
		(*versions)++;
	}
	ok = !w.failed;
	if (!ok)
		printf("# seed %llu (%s, %s): %s\n", (unsigned long long) p->seed,
			   p->host_log ? "host log" : "own log", o->name, w.why);
	tally_world(&w);
	world_free(&w);
	return ok;
}

static bool
run_sets(const Plan *p, bool trace, uint64_t *versions)
{
	uint64_t *first = calloc(p->n + 1, sizeof(*first)),
			 *other = calloc(p->n + 1, sizeof(*other));
	bool ok = true;
	size_t s, i;

	if (first == NULL || other == NULL)
		abort();
	for (s = 0; s < SETS && ok; s++)
	{
		ok = run_set(p, &sets[s], trace, s == 0 ? first : other, versions);
		for (i = 0; i < p->n && ok && s > 0; i++)
			if (first[i] != other[i])
			{
				printf("# seed %llu: \"%s\" and \"%s\" answer differently "
					   "from step %zu on: %s\n",
					   (unsigned long long) p->seed, sets[0].name,
					   sets[s].name, i + 1, step_name(p->steps[i].kind));
				ok = false;
			}
	}
	free(first);
	free(other);
	return ok;
}

static double
seconds_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double) ts.tv_sec + (double) ts.tv_nsec / 1e9;
}

int
sim_metamorphic(uint64_t from, uint64_t count, double seconds,
				uint32_t most_failures, bool trace)
{
	double start = seconds_now();
	uint32_t passed = 0, failed = 0;
	uint64_t seed, versions = 0, steps = 0;

	for (seed = from; seed - from < count && seconds_now() - start < seconds &&
					  failed < most_failures;
		 seed++)
	{
		Plan p;

		plan_make(&p, seed, PLAN_METAMORPHIC);
		if (run_sets(&p, trace, &versions))
			passed++;
		else
			failed++;
		steps += p.n;
		plan_free(&p);
	}
	printf("# metamorphic: seeds %llu to %llu, %llu steps under %zu sets of "
		   "settings each, levels looked at after %llu versions, %.0f s\n",
		   (unsigned long long) from, (unsigned long long) seed - 1,
		   (unsigned long long) steps, SETS, (unsigned long long) versions,
		   seconds_now() - start);
	printf("%u passed, %u failed\n", passed, failed);
	return failed > 0 || passed == 0;
}
