/* SPDX-License-Identifier: PostgreSQL */
/*
 * env_sim.c - a process on a simulated disk: memory, locks, life and death.
 *
 * Test code: what breaks the contract of kv_env.h aborts the program.
 */
#include "env_sim_state.h"

#include <stdio.h>
#include <stdlib.h>

void
sim_give_up(const char *what, const char *name)
{
	fprintf(stderr, "env_sim: %s: %s\n", what, name);
	abort();
}

/* ---- memory ---- */

static void
link_block(struct SimState *st, Block *b)
{
	b->prev = NULL;
	b->next = st->blocks;
	if (b->next != NULL)
		b->next->prev = b;
	st->blocks = b;
}

static void
unlink_block(struct SimState *st, Block *b)
{
	if (b->prev != NULL)
		b->prev->next = b->next;
	else
		st->blocks = b->next;
	if (b->next != NULL)
		b->next->prev = b->prev;
}

static bool
may_allocate(SimEnv *sim)
{
	if (sim->on_call != NULL)
		sim->on_call(sim->arg, SIM_ALLOC, NULL);
	sim->calls[SIM_ALLOC]++;
	return sim_due_fault(sim, SIM_ALLOC) == NULL;
}

static void *
sim_alloc(KvEnv *env, size_t size)
{
	SimEnv *sim = sim_of(env);
	Block *b;

	if (!may_allocate(sim))
		return NULL;
	b = malloc(sizeof(*b) + size);
	if (b == NULL)
		return NULL;
	/* nobody may count on zeros */
	memset(b + 1, 0xa5, size);
	b->size = size;
	link_block(sim->state, b);
	sim->live_allocs++;
	return b + 1;
}

static void
sim_free_memory(KvEnv *env, void *ptr)
{
	SimEnv *sim = sim_of(env);
	Block *b;

	if (ptr == NULL)
		return;
	b = (Block *) ptr - 1;
	unlink_block(sim->state, b);
	sim->live_allocs--;
	free(b);
}

/* Always moves: a pointer to the old place is an error that ASan sees. */
static void *
sim_realloc(KvEnv *env, void *ptr, size_t size)
{
	void *p = sim_alloc(env, size);

	if (p != NULL && ptr != NULL)
	{
		size_t old = ((Block *) ptr - 1)->size;

		memcpy(p, ptr, old < size ? old : size);
		sim_free_memory(env, ptr);
	}
	return p;
}

/* ---- locks ---- */

static void
sim_lock(KvEnv *env, int lock_id, bool exclusive)
{
	struct SimState *st = sim_of(env)->state;
	char text[32];
	int i;

	(void) exclusive;
	(void) snprintf(text, sizeof(text), "%d", lock_id);
	for (i = lock_id; i < KV_LOCK_COUNT; i++)
		if (st->held[i])
			sim_give_up("lock is taken twice or against the order", text);
	st->held[lock_id] = true;
}

static void
sim_unlock(KvEnv *env, int lock_id)
{
	struct SimState *st = sim_of(env)->state;

	if (!st->held[lock_id])
		sim_give_up("lock is released but not held", "");
	st->held[lock_id] = false;
}

static bool
sim_lock_held(KvEnv *env, int lock_id)
{
	return sim_of(env)->state->held[lock_id];
}

/* ---- the rest of the world ---- */

static void
sim_kick(KvEnv *env, KvKick whom)
{
	sim_of(env)->kicks[whom]++;
}

static bool
sim_poll(KvEnv *env)
{
	return sim_of(env)->interrupt || sim_of(env)->state->dead;
}

static int64_t
sim_now_us(KvEnv *env)
{
	return sim_of(env)->clock_us;
}

static uint64_t
sim_env_random(KvEnv *env)
{
	return sim_random(&sim_of(env)->state->env_rng);
}

static KvXactState
sim_xact_state(KvEnv *env, uint64_t xid)
{
	SimEnv *sim = sim_of(env);

	return sim->xact_state != NULL ? sim->xact_state(sim->arg, xid)
								   : KV_XACT_COMMITTED;
}

static void
sim_horizon(KvEnv *env, KvHorizon *horizon)
{
	*horizon = sim_of(env)->horizon;
	if (horizon->now_us == 0)
		horizon->now_us = sim_of(env)->clock_us;
}

static KvStatus
sim_flush_host_log(KvEnv *env, uint64_t lsn, KvError *err)
{
	SimEnv *sim = sim_of(env);
	KvStatus status = KV_OK;

	if (sim->flush_host_log != NULL)
		status = sim->flush_host_log(sim->arg, lsn);
	if (status != KV_OK)
		return sim_fault_status(status, "the host's log", err);
	if (lsn != UINT64_MAX && lsn > sim->max_flushed_lsn)
		sim->max_flushed_lsn = lsn;
	return KV_OK;
}

static bool
sim_backup_running(KvEnv *env)
{
	return sim_of(env)->backup;
}

static void
sim_log(KvEnv *env, KvLogLevel level, const char *message)
{
	if (level == KV_LOG_WARNING)
		sim_of(env)->warnings++;
	if (sim_of(env)->verbose)
		fprintf(stderr, "# %s\n", message);
}

static void
sim_stop(KvEnv *env, const char *name)
{
	SimEnv *sim = sim_of(env);

	if (sim->stop != NULL)
		sim->stop(sim->arg, name);
}

static const KvEnvOps sim_ops = {
	.open = sim_open,
	.open_temp = sim_open_temp,
	.close = sim_close,
	.pread = sim_pread,
	.pwrite = sim_pwrite,
	.sync = sim_sync,
	.preallocate = sim_preallocate,
	.size = sim_size,
	.link = sim_link,
	.rename = sim_rename,
	.unlink = sim_unlink,
	.sync_dir = sim_sync_dir,
	.list = sim_list,
	.alloc = sim_alloc,
	.realloc = sim_realloc,
	.free = sim_free_memory,
	.lock = sim_lock,
	.unlock = sim_unlock,
	.lock_held = sim_lock_held,
	.kick = sim_kick,
	.poll = sim_poll,
	.now_us = sim_now_us,
	.random = sim_env_random,
	.xact_state = sim_xact_state,
	.horizon = sim_horizon,
	.flush_host_log = sim_flush_host_log,
	.backup_running = sim_backup_running,
	.log = sim_log,
	.stop = sim_stop,
};

/* ---- the test's side ---- */

static SimEnv *
new_process(SimDisk *disk, uint64_t seed)
{
	SimEnv *sim = calloc(1, sizeof(*sim));
	struct SimState *st = calloc(1, sizeof(*st));

	if (sim == NULL || st == NULL)
		sim_give_up("out of memory", "sim_new");
	sim->env.ops = &sim_ops;
	sim->clock_us = INT64_C(800000000) * 1000000;
	sim->disk_limit = UINT64_MAX;
	sim->horizon.xid = UINT64_MAX;
	sim->horizon.csn = UINT64_MAX;
	sim->state = st;
	st->disk = disk;
	st->disk_rng = seed;
	/* salts are no state: disks that differ only in them would count twice */
	st->env_rng = 1;
	st->die_in = SIM_NEVER;
	return sim;
}

SimEnv *
sim_new(uint64_t seed)
{
	return new_process(sim_disk_new(), seed);
}

SimEnv *
sim_clone(const SimEnv *sim, uint64_t seed)
{
	SimEnv *clone = new_process(sim_disk_clone(sim->state->disk), seed);

	clone->state->env_rng = sim->state->env_rng;
	return clone;
}

static void
end_process(SimEnv *sim)
{
	while (sim->state->files != NULL)
		sim_close(&sim->env, sim->state->files);
	while (sim->state->blocks != NULL)
		sim_free_memory(&sim->env, sim->state->blocks + 1);
}

void
sim_free(SimEnv *sim)
{
	end_process(sim);
	sim_disk_free(sim->state->disk);
	free(sim->state);
	free(sim);
}

void
sim_crash(SimEnv *sim, SimLevel level)
{
	struct SimState *st = sim->state;

	end_process(sim);
	st->n_faults = 0;
	st->die_in = SIM_NEVER;
	st->dead = false;
	st->death_place = 0;
	memset(st->held, 0, sizeof(st->held));
	sim_disk_crash(st->disk, level, &st->disk_rng);
}

bool
sim_rot(SimEnv *sim, const char *name, uint64_t off, uint8_t mask)
{
	int ino = sim_disk_find(sim->state->disk, name);

	return ino >= 0 && sim_disk_rot(sim->state->disk, ino, off, mask);
}

int64_t
sim_file_size(const SimEnv *sim, const char *name)
{
	int ino = sim_disk_find(sim->state->disk, name);

	return ino < 0 ? -1 : (int64_t) sim_disk_size(sim->state->disk, ino);
}

char *
sim_get_file(const SimEnv *sim, const char *name, size_t *size)
{
	int ino = sim_disk_find(sim->state->disk, name);
	char *data;

	if (ino < 0)
		return NULL;
	*size = (size_t) sim_disk_size(sim->state->disk, ino);
	data = malloc(*size > 0 ? *size : 1);
	if (data == NULL)
		sim_give_up("out of memory", name);
	(void) sim_disk_read(sim->state->disk, ino, data, *size, 0);
	return data;
}

void
sim_put_file(SimEnv *sim, const char *name, const void *data, size_t size)
{
	SimDisk *disk = sim->state->disk;
	int ino;

	if (sim_disk_find(disk, name) >= 0)
		sim_disk_unlink(disk, name);
	ino = sim_disk_create(disk, name);
	sim_disk_write(disk, ino, data, size, 0);
	sim_disk_sync(disk, ino);
	sim_disk_sync_dir(disk);
}

void
sim_remove_file(SimEnv *sim, const char *name)
{
	if (sim_disk_find(sim->state->disk, name) >= 0)
		sim_disk_unlink(sim->state->disk, name);
	sim_disk_sync_dir(sim->state->disk);
}

const char *
sim_file_name(const SimEnv *sim, size_t n)
{
	return sim_disk_name(sim->state->disk, n);
}

void
sim_swap_disks(SimEnv *a, SimEnv *b)
{
	SimDisk *disk = a->state->disk;

	a->state->disk = b->state->disk;
	b->state->disk = disk;
}

uint64_t
sim_draw(SimEnv *sim)
{
	return sim_random(&sim->state->disk_rng);
}

void
sim_reseed(SimEnv *sim, uint64_t seed)
{
	sim->state->disk_rng = seed;
}

uint64_t
sim_image_hash(const SimEnv *sim)
{
	return sim_disk_hash(sim->state->disk);
}

uint64_t
sim_death_place(const SimEnv *sim)
{
	return sim->state->death_place;
}
