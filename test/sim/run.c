/* SPDX-License-Identifier: PostgreSQL */
/*
 * run.c - does the steps of a plan; see plan.h.
 */
#include <stdio.h>
#include <string.h>

#include "plan.h"
#include "tally.h"

static void
plant_fault(World *w, const Step *s)
{
	SimFault f = {(SimCall) s->args[0], s->args[1], s->args[2],
				  s->args[3] ? KV_DISK_FULL : KV_IO_ERROR,
				  (SimDone) s->args[4]};

	if (f.times == 0)
		f.times = UINT64_MAX;
	/* only so many fit */
	if (w->planted++ % SIM_MAX_FAULTS == 0)
		sim_clear_faults(w->sim);
	w->faults = true;
	w->sync_fails |= f.call == SIM_SYNC || f.call == SIM_SYNC_DIR;
	sim_fail(w->sim, f);
}

static void
end_faults(World *w)
{
	sim_clear_faults(w->sim);
	w->sim->disk_limit = UINT64_MAX;
	w->faults = w->full = w->sync_fails = false;
	w->sim->faults_fired = 0;
}

/* ---- a life's work */

static void
do_snapshot(World *w)
{
	if (!w->snap.open)
		snapshot_open(w);
	else if (world_rand(w, 3) != 0)
		snapshot_look(w);
	else
		snapshot_close(w);
}

static KvStatus
do_xact(World *w, KvError *err)
{
	if (!w->host_log)
		return KV_OK;
	if (w->xact.xid != 0)
		return world_end(w, world_rand(w, 3) != 0, err);
	return world_begin(w, 1 + (uint32_t) world_rand(w, 8),
					   world_rand(w, 4) == 0, err);
}

static void
do_compact_range(World *w)
{
	char a[MODEL_KEY_MAX], b[MODEL_KEY_MAX];
	KvSlice lower = {a, model_key((uint16_t) world_rand(w, MODEL_KEYS), a)};
	KvSlice upper = {b, model_key((uint16_t) world_rand(w, MODEL_KEYS), b)};

	if (kv_slice_compare(lower, upper) > 0)
	{
		KvSlice swap = lower;

		lower = upper;
		upper = swap;
	}
	w->asked = kv_request_compact_range(w->db, lower, upper);
}

/* KV_OK, or what made the engine stop. */
static KvStatus
do_work(World *w, const Step *s, KvError *err)
{
	uint32_t n = (uint32_t) s->args[0];
	KvWork work;
	bool busy;

	if ((s->kind == STEP_COMMIT || s->kind == STEP_RUN || s->kind == STEP_XACT) &&
		w->model.commits >= MODEL_COMMITS - 2)
		return KV_OK;
	switch (s->kind)
	{
	case STEP_COMMIT:
		return world_commit(w, n, false, w->host_log && s->args[1], err);
	case STEP_RUN:
		return world_commit(w, n, true, w->host_log && s->args[1], err);
	case STEP_SYNC:
		return world_sync(w, err);
	case STEP_WORK:
		return kv_worker_step(w->db, &work, err);
	case STEP_COMPACT:
		if (w->manner == MANNER_LAZY && kv_request_done(w->db, w->asked))
			return KV_OK;
		return kv_compact_step(w->db, s->args[0], &busy, err);
	case STEP_XACT:
		return do_xact(w, err);
	case STEP_FLUSH:
		(void) kv_request_flush(w->db);
		return KV_OK;
	case STEP_COMPACT_ALL:
		w->asked = kv_request_compact(w->db);
		return KV_OK;
	case STEP_COMPACT_RANGE:
		do_compact_range(w);
		return KV_OK;
	case STEP_PAUSE:
		kv_pause_compaction(w->db, !kv_compaction_paused(w->db));
		return KV_OK;
	case STEP_SNAPSHOT:
		do_snapshot(w);
		return KV_OK;
	case STEP_CLOCK:
		w->sim->clock_us += (int64_t) s->args[0];
		return KV_OK;
	case STEP_BACKUP:
		world_backup(w, !w->sim->backup);
		return KV_OK;
	case STEP_TAKE_OVER:
		return w->sync_fails ? KV_OK : world_take_over(w, err);
	case STEP_DISK_FULL:
		world_limit_disk(w, s->args[0]);
		return KV_OK;
	case STEP_DISK_EMPTY:
		w->sim->disk_limit = UINT64_MAX;
		return KV_OK;
	default:
		world_compare_now(w);
		return KV_OK;
	}
}

/* All there is to do now, whatever that is. */
static KvStatus
do_everything(World *w, KvError *err)
{
	KvStatus st = KV_OK;
	KvWork done = {.more = true};
	bool busy = true;
	int i;

	for (i = 0; st == KV_OK && i < 50 && (busy || done.more); i++)
	{
		(void) kv_request_flush(w->db);
		st = kv_worker_step(w->db, &done, err);
		if (st == KV_OK)
			st = kv_compact_step(w->db, UINT64_MAX, &busy, err);
	}
	return st;
}

static void
work(World *w, const Step *s)
{
	KvError err;
	KvStatus st;

	kv_error_clear(&err);
	w->phase = "working";
	w->lived = true;
	/* the host starts a worker again until one can take over */
	st = w->no_worker ? world_take_over(w, &err) : do_work(w, s, &err);
	if (st == KV_OK && w->manner == MANNER_EAGER)
		st = do_everything(w, &err);
	if (w->trace && st != KV_OK)
		printf("# -> %s: %s\n", kv_status_name(st), err.message);
	if (st == KV_OK || (st == KV_STALLED && !w->steady))
		return;
	if (!world_excuses(w, st))
		world_fail(w, SIM_OTHER, "%s: %s", kv_status_name(st), err.message);
	/* mostly as a host that panics when a sync has failed */
	else if (w->sync_fails && world_rand(w, 3) != 0)
		w->gave_up = true;
	/* a worker cannot take over at every moment: the server restarts */
	else if (w->db == NULL || st == KV_NOT_READY || world_rand(w, 6) == 0)
		w->gave_up = true;
}

/* ---- the ends of lives, and their beginnings */

/* The calls succeed again: work goes on without a restart. */
static void
resume(World *w, uint64_t draw)
{
	KvError err;

	w->phase = "going on after faults";
	if (w->sync_fails)
		return;
	sim_die_at(w->sim, SIM_NEVER);
	end_faults(w);
	world_backup(w, false);
	if (w->no_worker)
	{
		KvStatus st = world_take_over(w, &err);

		if (st == KV_NOT_READY)
			return;
		if (st != KV_OK)
			world_fail(w, SIM_OTHER, "no worker can take over: %s",
					   err.message);
	}
	if (!w->failed)
		world_must_rest(w, 3);
	/* how much was drawn till here depends on the settings */
	sim_reseed(w->sim, draw);
	if (!w->failed)
		world_compare_now(w);
	w->resumed = !w->failed;
}

static void
open_store(World *w)
{
	KvError err;
	KvStatus st;

	w->phase = "recovering";
	w->opened = true;
	st = world_open(w, &err);
	if (st == KV_OK)
		w->up = w->unchecked = true;
	else if (!world_excuses(w, st))
		world_fail(w, SIM_OTHER, "recovery: %s: %s", kv_status_name(st),
				   err.message);
	if (w->trace && st != KV_OK)
		printf("# -> %s: %s\n", kv_status_name(st), err.message);
}

static void
crash(World *w, SimLevel level)
{
	uint64_t place = sim_death_place(w->sim);
	bool in_recovery = !w->lived, count = w->opened;

	end_faults(w);
	world_crash(w, level);
	if (count)
		tally_crash(w, level, place, in_recovery);
	tally.lives += w->lived;
	w->up = w->unchecked = w->gave_up = w->lived = w->opened = false;
	w->resumed = false;
}

static void
copy_folder(World *w)
{
	if (w->copy != NULL)
		sim_free(w->copy);
	w->copy = sim_clone(w->sim, 1);
}

/*
 * A base backup is restored, and the host's log, which lost nothing, has all
 * that came after it.
 */
static void
restore(World *w)
{
	if (w->copy == NULL)
		return;
	w->log_durable = w->log_len;
	crash(w, SIM_KILL);
	sim_swap_disks(w->sim, w->copy);
	sim_free(w->copy);
	w->copy = NULL;
}

static void
rest(World *w, uint64_t draw)
{
	world_must_rest(w, 0);
	world_check_folder(w);
	if (!w->failed)
		world_check_levels(w);
	sim_reseed(w->sim, draw);
	if (!w->failed)
		world_compare_now(w);
}

void
run_step(World *w, const Plan *p, size_t i)
{
	const Step *s = &p->steps[i];
	bool alive = w->up && !w->gave_up && !sim_dead(w->sim);

	if (w->failed || w->ended)
		return;
	w->at_step = i + 1;
	w->step = step_name(s->kind);
	sim_reseed(w->sim, s->draw);
	if (w->trace)
		printf("# %zu: %s%s\n", i + 1, w->step, alive ? "" : " (not running)");
	/* a store that was opened is looked at before anything is done to it */
	if (alive && w->unchecked && s->kind != STEP_CRASH && s->kind != STEP_DETACH)
	{
		w->phase = "checking what was recovered";
		w->unchecked = false;
		world_check_recovered(w);
		alive = !sim_dead(w->sim);
		sim_reseed(w->sim, s->draw);
	}
	if (w->failed)
		return;
	tally.steps++;
	switch (s->kind)
	{
	case STEP_FAULT:
		if (!sim_dead(w->sim))
			plant_fault(w, s);
		break;
	case STEP_DIE:
		if (!sim_dead(w->sim))
			sim_die_at(w->sim, s->args[0]);
		break;
	case STEP_CRASH:
		crash(w, (SimLevel) s->args[0]);
		break;
	case STEP_COPY:
		if (alive)
			copy_folder(w);
		break;
	case STEP_RESTORE:
		if (w->host_log)
			restore(w);
		break;
	case STEP_OPEN:
		if (!w->up && !sim_dead(w->sim) && w->db == NULL)
			open_store(w);
		break;
	case STEP_DETACH:
		if (w->db != NULL)
			world_detach(w);
		w->gave_up = w->up;
		break;
	case STEP_RESUME:
		if (alive)
			resume(w, s->draw);
		break;
	case STEP_SHUTDOWN:
		if (alive && w->resumed && !w->no_worker)
		{
			world_shutdown(w);
			w->gave_up = true;
		}
		break;
	case STEP_REST:
		if (alive && !w->faults && !w->no_worker)
			rest(w, s->draw);
		break;
	case STEP_ROT:
		if (alive)
			world_rot(w);
		tally.rotten += alive;
		w->ended = true;
		break;
	default:
		if (alive)
			work(w, s);
		break;
	}
}

bool
run_plan(const Plan *p, bool trace, char *why, size_t why_len)
{
	static World w;
	size_t i;

	world_init(&w, p->seed, p->host_log);
	w.trace = w.sim->verbose = trace;
	for (i = 0; i < p->n && !w.failed && !w.ended; i++)
		run_step(&w, p, i);
	(void) snprintf(why, why_len, "%s", w.failed ? w.why : "");
	tally_world(&w);
	world_free(&w);
	return why[0] == '\0';
}
