/* SPDX-License-Identifier: PostgreSQL */
/*
 * plan.c - plans from seeds, to text and back; see plan.h.
 */
#include "plan.h"

#include <stdlib.h>
#include <string.h>

#include "env_sim_disk.h"

static const struct
{
	const char *name;
	int args;
} kinds[STEPS] = {
	[STEP_COMMIT] = {"commit", 2},
	[STEP_RUN] = {"run", 2},
	[STEP_SYNC] = {"sync", 0},
	[STEP_WORK] = {"work", 0},
	[STEP_COMPACT] = {"compact", 1},
	[STEP_XACT] = {"xact", 0},
	[STEP_FLUSH] = {"flush", 0},
	[STEP_COMPACT_ALL] = {"compact-all", 0},
	[STEP_COMPACT_RANGE] = {"compact-range", 0},
	[STEP_PAUSE] = {"pause", 0},
	[STEP_SNAPSHOT] = {"snapshot", 0},
	[STEP_CLOCK] = {"clock", 1},
	[STEP_BACKUP] = {"backup", 0},
	[STEP_TAKE_OVER] = {"take-over", 0},
	[STEP_DISK_FULL] = {"disk-full", 1},
	[STEP_DISK_EMPTY] = {"disk-empty", 0},
	[STEP_COMPARE] = {"compare", 0},
	[STEP_FAULT] = {"fault", 5},
	[STEP_DIE] = {"die", 1},
	[STEP_RESUME] = {"resume", 0},
	[STEP_SHUTDOWN] = {"shutdown", 0},
	[STEP_DETACH] = {"detach", 0},
	[STEP_CRASH] = {"crash", 1},
	[STEP_COPY] = {"copy", 0},
	[STEP_RESTORE] = {"restore", 0},
	[STEP_OPEN] = {"open", 0},
	[STEP_REST] = {"rest", 0},
	[STEP_ROT] = {"rot", 0},
};

const char *
step_name(StepKind kind)
{
	return kinds[kind].name;
}

/* ---- from a seed */

typedef struct Maker
{
	Plan *p;
	uint64_t rng;
	PlanStyle style;
	uint32_t faults;
} Maker;

static uint64_t
draw(Maker *m, uint64_t n)
{
	return sim_random(&m->rng) % n;
}

Step *
plan_add(Plan *p, StepKind kind, uint64_t arg)
{
	Step *s;

	if (p->n == p->cap)
	{
		p->cap = p->cap ? p->cap * 2 : 256;
		p->steps = realloc(p->steps, p->cap * sizeof(Step));
		if (p->steps == NULL)
			abort();
	}
	s = &p->steps[p->n++];
	memset(s, 0, sizeof(*s));
	s->kind = kind;
	s->args[0] = arg;
	s->draw = p->n;
	return s;
}

static Step *
add(Maker *m, StepKind kind, uint64_t arg)
{
	Step *s = plan_add(m->p, kind, arg);

	/* short enough to be read and typed */
	s->draw = draw(m, 1000000);
	return s;
}

/* A few calls will fail; the engine must go on, or stop cleanly. */
static void
add_fault(Maker *m)
{
	static const SimCall calls[] = {SIM_OPEN,	SIM_PWRITE,	 SIM_PWRITE,
									SIM_PWRITE, SIM_LINK,	 SIM_PREAD,
									SIM_PREAD,	SIM_ALLOC,	 SIM_PREALLOCATE,
									SIM_UNLINK, SIM_SIZE,	 SIM_RENAME,
									SIM_LIST,	SIM_SYNC,	 SIM_SYNC,
									SIM_SYNC,	SIM_SYNC_DIR};
	SimCall call = calls[draw(m, sizeof(calls) / sizeof(calls[0]))];
	uint64_t far = 20;
	Step *s;

	/* of these there are few in one life */
	if (call == SIM_SYNC)
		far = 5;
	else if (call == SIM_RENAME || call == SIM_LIST || call == SIM_SIZE ||
			 call == SIM_PREALLOCATE)
		far = 3;
	s = add(m, STEP_FAULT, call);
	s->args[1] = 1 + draw(m, far);
	/* 0: for ever */
	s->args[2] = draw(m, 10) == 0 ? 0 : 1 + draw(m, 3);
	s->args[3] = draw(m, 2);
	s->args[4] = draw(m, 3);
}

/* One random thing to do. */
static void
add_work(Maker *m, bool host_log, bool with_faults)
{
	uint64_t dice = draw(m, 112);

	if (dice < 45)
		add(m, STEP_COMMIT, 1 + draw(m, 6))->args[1] = host_log &&
													   draw(m, 8) == 0;
	else if (dice < 50)
		add(m, STEP_RUN, 1 + draw(m, 60))->args[1] = host_log &&
													 draw(m, 4) == 0;
	else if (dice < 60)
		add(m, STEP_SYNC, 0);
	else if (dice < 75)
		add(m, STEP_WORK, 0);
	else if (dice < 83)
		add(m, STEP_COMPACT, 1 + draw(m, 20000));
	else if (dice < 88)
		add(m, STEP_XACT, 0);
	else if (dice < 92)
		add(m, STEP_FLUSH, 0);
	else if (dice < 93)
		add(m, STEP_COMPACT_ALL, 0);
	else if (dice < 94)
		add(m, STEP_COMPACT_RANGE, 0);
	else if (dice < 95)
		add(m, STEP_PAUSE, 0);
	else if (dice < 101)
		add(m, STEP_SNAPSHOT, 0);
	else if (dice < 105)
		add(m, STEP_CLOCK, draw(m, 1500));
	else if (dice < 106)
		add(m, STEP_BACKUP, 0);
	else if (dice < 107)
		add(m, STEP_TAKE_OVER, 0);
	else if (dice < 108 && with_faults)
		add(m, STEP_DISK_FULL, draw(m, 20000));
	else if (dice < 109)
		add(m, STEP_DISK_EMPTY, 0);
	else
		add(m, STEP_COMPARE, 0);
}

/* Recovery, killed or hit by a fault a few times. */
static void
add_recovery(Maker *m)
{
	uint64_t depth = m->style == PLAN_CRASHES ? draw(m, 4) : 0;

	while (depth-- > 0)
	{
		if (draw(m, 2) == 0)
			add_fault(m);
		else
			add(m, STEP_DIE, 1 + draw(m, 60));
		add(m, STEP_OPEN, 0);
		if (draw(m, 2) == 0)
			add(m, STEP_DETACH, 0);
		add(m, STEP_CRASH, draw(m, SIM_LEVELS));
	}
	add(m, STEP_OPEN, 0);
}

static void
add_life(Maker *m, bool host_log)
{
	bool with_faults = draw(m, 3) == 0 && m->style == PLAN_CRASHES;
	uint64_t n = 1 + draw(m, 1 + draw(m, 300));

	if (m->style == PLAN_CRASHES && draw(m, 4) != 0)
		add(m, STEP_DIE, 1 + draw(m, 400));
	while (n-- > 0)
	{
		if (with_faults && draw(m, 40) == 0)
			add_fault(m);
		add_work(m, host_log, with_faults);
		if (host_log && m->style == PLAN_CRASHES && draw(m, 80) == 0)
			add(m, STEP_COPY, 0);
	}
	if (m->style == PLAN_METAMORPHIC)
		add(m, STEP_SYNC, 0);
	if (draw(m, 2) == 0)
	{
		add(m, STEP_RESUME, 0);
		if (draw(m, 2) == 0)
			add(m, STEP_SHUTDOWN, 0);
	}
	if (host_log && m->style == PLAN_CRASHES && draw(m, 4) == 0)
	{
		add(m, STEP_RESUME, 0);
		add(m, STEP_RESTORE, 0);
	}
	add(m, STEP_CRASH, draw(m, SIM_LEVELS));
	add_recovery(m);
}

void
plan_make(Plan *p, uint64_t seed, PlanStyle style)
{
	Maker m = {p, seed, style, 0};
	uint64_t n, i;

	memset(p, 0, sizeof(*p));
	p->seed = seed;
	p->host_log = seed % 2 == 1;
	n = style == PLAN_CRASHES ? 4 + draw(&m, 6) : 2 + draw(&m, 3);
	add_recovery(&m);
	for (i = 0; i < n; i++)
	{
		add_life(&m, p->host_log);
		if (i + 1 == n || draw(&m, 6) == 0)
			add(&m, STEP_REST, 0);
	}
	if (style == PLAN_METAMORPHIC)
		return;
	if (draw(&m, 2) == 0)
		for (n = 1 + draw(&m, 60); n > 0; n--)
			add_work(&m, p->host_log, false);
	add(&m, STEP_ROT, 0);
}

void
plan_free(Plan *p)
{
	free(p->steps);
	memset(p, 0, sizeof(*p));
}

void
plan_copy(Plan *to, const Plan *from)
{
	*to = *from;
	to->cap = from->n > 0 ? from->n : 1;
	to->steps = malloc(to->cap * sizeof(Step));
	if (to->steps == NULL)
		abort();
	memcpy(to->steps, from->steps, from->n * sizeof(Step));
}

/* ---- text */

void
plan_print(const Plan *p, FILE *out)
{
	size_t i;
	int a;

	fprintf(out, "world %s %llu\n", p->host_log ? "host" : "own",
			(unsigned long long) p->seed);
	for (i = 0; i < p->n; i++)
	{
		const Step *s = &p->steps[i];

		fprintf(out, "%s", kinds[s->kind].name);
		for (a = 0; a < kinds[s->kind].args; a++)
			fprintf(out, " %llu", (unsigned long long) s->args[a]);
		fprintf(out, " %llu\n", (unsigned long long) s->draw);
	}
}

static bool
read_step(Maker *m, char *line)
{
	char *name = strtok(line, " \t\n"), *word;
	int kind, a;
	Step *s;

	if (name == NULL)
		return true;
	for (kind = 0; kind < STEPS; kind++)
		if (strcmp(kinds[kind].name, name) == 0)
			break;
	if (kind == STEPS)
		return false;
	s = add(m, (StepKind) kind, 0);
	for (a = 0; a <= kinds[kind].args; a++)
	{
		uint64_t *to = a == kinds[kind].args ? &s->draw : &s->args[a];
		char *end;

		word = strtok(NULL, " \t\n");
		if (word == NULL)
			return false;
		*to = strtoull(word, &end, 10);
		if (*end != '\0')
			return false;
	}
	/* what indexes an array */
	return strtok(NULL, " \t\n") == NULL &&
		   (kind != STEP_CRASH || s->args[0] < SIM_LEVELS) &&
		   (kind != STEP_FAULT || (s->args[0] < SIM_CALLS && s->args[1] > 0 &&
								   s->args[4] <= SIM_ALL));
}

bool
plan_read(Plan *p, const char *path)
{
	FILE *in = fopen(path, "r");
	Maker m = {p, 0, PLAN_CRASHES, 0};
	char line[256], type[8];
	bool has_world = false, ok = in != NULL;
	unsigned no = 0;

	memset(p, 0, sizeof(*p));
	while (ok && fgets(line, sizeof(line), in) != NULL)
	{
		unsigned long long seed;

		no++;
		line[strcspn(line, "#")] = '\0';
		if (!has_world && sscanf(line, "world %7s %llu", type, &seed) == 2)
		{
			has_world = true;
			p->seed = seed;
			p->host_log = strcmp(type, "host") == 0;
			ok = p->host_log || strcmp(type, "own") == 0;
		}
		else
			ok = read_step(&m, line);
	}
	if (in != NULL)
		(void) fclose(in);
	if (!ok || !has_world)
		fprintf(stderr, "%s:%u: not a plan\n", path, no);
	return ok && has_world;
}
