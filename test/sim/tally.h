/* SPDX-License-Identifier: PostgreSQL */
/*
 * tally.h - what a run of the simulator has done: crashes, faults, rot.
 *
 * A number of crashes says little: the same crash may be counted a thousand
 * times.  So each image that a crash leaves (the whole disk and what the
 * host's log has kept) goes into a set by its hash, and so does each place
 * in the engine where the process died (its call stack).
 */
#ifndef SIM_TALLY_H
#define SIM_TALLY_H

#include "world.h"

typedef struct HashSet
{
	uint64_t *slots; /* 0: empty */
	size_t n, cap;
} HashSet;

typedef struct Tally
{
	uint64_t crashes[SIM_LEVELS], nested[SIM_LEVELS];
	HashSet images[SIM_LEVELS], all_images, places;
	uint64_t fired[SIM_CALLS][SIM_FORMS], fired_full;
	uint64_t lives, steps;
	uint64_t verdicts[SIM_VERDICTS];
	uint64_t rotten;
} Tally;

extern Tally tally;

/* After world_crash; place: sim_death_place before it. */
void tally_crash(World *w, SimLevel level, uint64_t place, bool in_recovery);
/* Before world_free. */
void tally_world(const World *w);
/* The table of crashes. */
void tally_print(void);
/*
 * The table of failing calls; how many kinds of failure never fired,
 * and which. */
uint32_t tally_print_faults(bool which);
/* Appends the images' hashes, 8 bytes each, to count over several runs. */
bool tally_save(const char *path);

#endif /* SIM_TALLY_H */
