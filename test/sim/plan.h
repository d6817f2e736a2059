/* SPDX-License-Identifier: PostgreSQL */
/*
 * plan.h - what is done to a store, step by step.
 *
 * A seed is turned into a plan before anything runs, and a plan is text: one
 * step a line, with its numbers.  All that is random within a step follows
 * from the step's own last number, so that a step does the same whatever
 * stands before it, as far as it can.  That is what lets shrink.c leave
 * steps out, and a plan be kept in test/sim/regress and edited by hand.
 *
 * A step that makes no sense where it stands (a commit while the process is
 * dead, a crash of a store that never opened) does nothing.  So any
 * subsequence of a plan is a plan.
 */
#ifndef SIM_PLAN_H
#define SIM_PLAN_H

#include <stdio.h>

#include "world.h"

/*
 * name, numbers of a plan's line.  Up to STEP_COMPARE: work of a life, which
 * ends with an error or the process.
 */
typedef enum StepKind
{
	STEP_COMMIT,	  /* writes, of which 1 is rolled back */
	STEP_RUN,		  /* the same, ingested */
	STEP_SYNC,		  /*  */
	STEP_WORK,		  /* a round of the worker */
	STEP_COMPACT,	  /* bytes */
	STEP_XACT,		  /* one begins, or the open one ends */
	STEP_FLUSH,		  /* is asked for */
	STEP_COMPACT_ALL, /* the same */
	STEP_COMPACT_RANGE,
	STEP_PAUSE,		/* compaction, or goes on */
	STEP_SNAPSHOT,	/* opens, is looked at, closes */
	STEP_CLOCK,		/* microseconds */
	STEP_BACKUP,	/* begins or ends */
	STEP_TAKE_OVER, /* the worker ends, another takes over */
	STEP_DISK_FULL, /* bytes that are left */
	STEP_DISK_EMPTY,
	STEP_COMPARE,
	STEP_FAULT,	   /* call class, which one, how often, 1 for ENOSPC, done */
	STEP_DIE,	   /* at which I/O call from now */
	STEP_RESUME,   /* calls succeed again: it must go on by itself */
	STEP_SHUTDOWN, /* clean */
	STEP_DETACH,   /* lets go of the store */
	STEP_CRASH,	   /* level */
	STEP_COPY,	   /* of the folder is made */
	STEP_RESTORE, /* the last copy takes the folder's place; host's log only */
	STEP_OPEN,	  /* recovery */
	STEP_REST,	  /* nothing is left to do, nothing lies around */
	STEP_ROT,	  /* crash, and damage to what is on disk; the end */
	STEPS
} StepKind;

#define STEP_ARGS 5

typedef struct Step
{
	StepKind kind;
	uint64_t args[STEP_ARGS];
	uint64_t draw; /* everything else follows from it */
} Step;

typedef struct Plan
{
	uint64_t seed; /* of the store's settings */
	bool host_log;
	Step *steps;
	size_t n, cap;
} Plan;

/* What makes plan_make's lives differ from those of the crash simulator. */
typedef enum PlanStyle
{
	PLAN_CRASHES,
	PLAN_METAMORPHIC /* no faults; nothing unsynced when a life ends */
} PlanStyle;

void plan_make(Plan *p, uint64_t seed, PlanStyle style);
/* A step at the end, with that first number. */
Step *plan_add(Plan *p, StepKind kind, uint64_t arg);
void plan_free(Plan *p);
void plan_copy(Plan *to, const Plan *from);
void plan_print(const Plan *p, FILE *out);
/* false, and why on stderr: not a plan. */
bool plan_read(Plan *p, const char *path);
const char *step_name(StepKind kind);

/* ---- run.c */
/*
 * Does step i of the plan in w.  Nothing is done in a world that failed or
 * whose end was reached.
 */
void run_step(World *w, const Plan *p, size_t i);
/* The whole plan in a new world; why is empty if nothing was wrong. */
bool run_plan(const Plan *p, bool trace, char *why, size_t why_len);

/* ---- shrink.c */
/*
 * Leaves out of a plan that fails what it fails without.  Each attempt runs
 * in a process of its own, since a failure may be a trap or a loop.
 */
void plan_shrink(Plan *p, double seconds);
/* Whether it fails, tried out in a process of its own. */
bool plan_fails(const Plan *p);

#endif /* SIM_PLAN_H */
