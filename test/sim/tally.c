/* SPDX-License-Identifier: PostgreSQL */
/*
 * tally.c - counting crashes, and those that differ; see tally.h.
 */
#include "tally.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

Tally tally;

static const char *const level_names[SIM_LEVELS] = {"L0 kill", "L1 synced only",
													"L2 power loss",
													"L3 garbage"};

static void
set_add(HashSet *set, uint64_t hash)
{
	size_t i;

	if (hash == 0)
		hash = 1;
	if (set->n * 2 >= set->cap)
	{
		HashSet larger = {NULL, 0, set->cap ? set->cap * 2 : 1024};

		larger.slots = calloc(larger.cap, sizeof(uint64_t));
		if (larger.slots == NULL)
			abort();
		for (i = 0; i < set->cap; i++)
			if (set->slots[i] != 0)
				set_add(&larger, set->slots[i]);
		free(set->slots);
		*set = larger;
	}
	for (i = hash & (set->cap - 1); set->slots[i] != 0;
		 i = (i + 1) & (set->cap - 1))
		if (set->slots[i] == hash)
			return;
	set->slots[i] = hash;
	set->n++;
}

/* The image of a crash: all that the next life can find. */
static uint64_t
image_of(const World *w)
{
	uint64_t hash = sim_image_hash(w->sim), i;

	for (i = 0; i < w->log_len; i++)
	{
		const HostRecord *r = &w->log[i];
		uint64_t head[5] = {hash, r->type, r->xid, r->csn, r->len};

		hash = XXH3_64bits(head, sizeof(head));
		if (r->len > 0)
			hash = XXH3_64bits_withSeed(r->bytes, r->len, hash);
	}
	return hash;
}

void
tally_crash(World *w, SimLevel level, uint64_t place, bool in_recovery)
{
	uint64_t image = image_of(w);

	tally.crashes[level]++;
	tally.nested[level] += in_recovery;
	set_add(&tally.images[level], image);
	set_add(&tally.all_images, image);
	if (place != 0)
		set_add(&tally.places, place);
}

void
tally_world(const World *w)
{
	int call, form;

	for (call = 0; call < SIM_CALLS; call++)
		for (form = 0; form < SIM_FORMS; form++)
			tally.fired[call][form] += w->sim->fired[call][form];
	tally.fired_full += w->sim->fired_full;
	if (w->failed)
		tally.verdicts[w->verdict]++;
}

void
tally_print(void)
{
	uint64_t crashes = 0, nested = 0;
	int level;

	printf("# %-16s %10s %10s %12s\n", "crashes", "all", "distinct",
		   "in recovery");
	for (level = 0; level < SIM_LEVELS; level++)
	{
		printf("# %-16s %10llu %10zu %12llu\n", level_names[level],
			   (unsigned long long) tally.crashes[level],
			   tally.images[level].n, (unsigned long long) tally.nested[level]);
		crashes += tally.crashes[level];
		nested += tally.nested[level];
	}
	printf("# %-16s %10llu %10zu %12llu\n", "total",
		   (unsigned long long) crashes, tally.all_images.n,
		   (unsigned long long) nested);
	printf("# %zu places in the engine where the process died; %llu lives, "
		   "%llu steps, %llu rotten stores\n",
		   tally.places.n, (unsigned long long) tally.lives,
		   (unsigned long long) tally.steps, (unsigned long long) tally.rotten);
	printf("# %llu lost, %llu torn, %llu resurrected, %llu other failures\n",
		   (unsigned long long) tally.verdicts[SIM_LOST],
		   (unsigned long long) tally.verdicts[SIM_TORN],
		   (unsigned long long) tally.verdicts[SIM_RESURRECTED],
		   (unsigned long long) tally.verdicts[SIM_OTHER]);
}

uint32_t
tally_print_faults(bool which)
{
	uint32_t missing = 0;
	char line[512] = "";
	int call, form;

	for (call = 0; call < SIM_CALLS; call++)
	{
		uint64_t sum = 0;
		/* an allocation fails or not, once or for ever */
		int forms = call == SIM_ALLOC ? 2 : SIM_FORMS;

		for (form = 0; form < forms; form++)
		{
			sum += tally.fired[call][form];
			if (tally.fired[call][form] != 0)
				continue;
			missing++;
			if (!which)
				continue;
			printf("# never fired: %s, %s\n", sim_call_name((SimCall) call),
				   sim_form_name((unsigned) form));
		}
		(void) snprintf(line + strlen(line), sizeof(line) - strlen(line),
						" %s %llu,", sim_call_name((SimCall) call),
						(unsigned long long) sum);
	}
	printf("# failing calls:%s full disk %llu\n", line,
		   (unsigned long long) tally.fired_full);
	return missing + (tally.fired_full == 0);
}

bool
tally_save(const char *path)
{
	FILE *f = fopen(path, "ab");
	size_t i;
	bool ok = f != NULL;

	for (i = 0; ok && i < tally.all_images.cap; i++)
		if (tally.all_images.slots[i] != 0)
			ok = fwrite(&tally.all_images.slots[i], 8, 1, f) == 1;
	if (f != NULL)
		ok = fclose(f) == 0 && ok;
	return ok;
}
