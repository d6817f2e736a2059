/* SPDX-License-Identifier: PostgreSQL */
/*
 * compact_job.c - compactions from the choice to the hand-over.
 *
 * Compactor only (one process at a time, or the one thread of a test).  A job
 * is chosen (compact_pick.c), its inputs are marked, it runs in slices
 * (compact_run.c), and the result is handed to the engine worker, which
 * installs it (compact_install.c): nothing here touches the MANIFEST or a
 * version.  All that is durable before the hand-over are files that nobody
 * names; they are removed when the job is dropped, or at the next start.
 */
#include "engine/lsm/compact_job.h"

uint64_t
kv_compact_merged(const KvDb *db)
{
	return db->merged_bytes;
}

uint64_t
kv_compaction_version(const KvDb *db)
{
	return db->compaction != NULL && db->compaction->version != 0
			   ? db->compaction->version
			   : UINT64_MAX;
}

/* ---- the end of a job */

static void
free_private(KvDb *db)
{
	KvEnv *env = db->env;
	KvCompaction *c = db->compaction;

	if (c == NULL)
		return;
	if (c->merge != NULL)
		c->merge->ops->close(c->merge);
	if (c->out_open)
		kv_table_out_abort(db, &c->out);
	if (c->inputs != NULL)
		env->ops->free(env, c->inputs);
	if (c->below != NULL)
		env->ops->free(env, c->below);
	if (c->dropped != NULL)
		env->ops->free(env, c->dropped);
	kv_buffer_free(env, &c->key);
	kv_job_free_ranges(db, c);
	env->ops->free(env, c);
	db->compaction = NULL;
	kv_unpin_unneeded(db);
}

/* Outputs go, inputs are free for the next job. */
static void
drop_shared(KvDb *db)
{
	KvEnv *env = db->env;
	KvJobShared *job = &db->shared->job;
	uint32_t i;

	for (i = 0; i < job->n_outputs; i++)
	{
		uint32_t slot = job->outputs[i];
		char name[KV_NAME_MAX];
		KvError ignored;

		if (!job->move)
		{
			kv_file_name(name, KV_NAME_SST, kv_file_at(db, slot)->meta.file_no);
			(void) env->ops->unlink(env, name, &ignored);
		}
		kv_file_slot_release(db, slot);
	}
	env->ops->lock(env, KV_LOCK_VERSION, true);
	for (i = 0; i < job->n_inputs; i++)
		kv_file_at(db, job->inputs[i])->compacting = false;
	env->ops->unlock(env, KV_LOCK_VERSION);
	job->n_inputs = job->n_outputs = 0;
	/* pairs with the acquire in kv_compact_step of another process */
	atomic_store_explicit(&job->state, KV_JOB_IDLE, memory_order_release);
}

void
kv_compact_abandon(KvDb *db)
{
	if (db->compaction == NULL)
		return;
	free_private(db);
	drop_shared(db);
}

/* ---- the start of a job */

/* A run whose transaction was rolled back is the worker's to remove. */
static bool
is_busy(KvDb *db, const KvFileSlot *f)
{
	KvEntry probe = {0};

	if (f->compacting)
		return true;
	probe.xid = f->meta.run_xid;
	return probe.xid != 0 &&
		   kv_known_state(db, &probe, kv_file_source(&f->meta)) ==
			   KV_XACT_ABORTED;
}

static void
note_dropped(KvDb *db, const KvCompaction *c)
{
	/* ids are never taken off the list, so its length says if it is new */
	if (c->n_dropped == db->dropped_known)
		return;
	db->dropped_known = c->n_dropped;
	db->dropped_before = atomic_load_explicit(&db->shared->next_file_no,
											  memory_order_relaxed);
}

static KvStatus
pick(KvDb *db, KvCompaction *c, const KvVersion *v, KvPick *out, KvError *err)
{
	KvEnv *env = db->env;
	const KvConfig *config = &db->shared->config;
	uint32_t i, n = v->level_start[KV_LEVELS];
	KvPickFile *files;
	KvLevels levels = {0};

	files = env->ops->alloc(env, (n + 1) * sizeof(KvPickFile));
	if (files == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory for a compaction");
	for (i = 0; i < n; i++)
	{
		const KvFileSlot *f = kv_file_at(db, v->files[i]);

		files[i].meta = &f->meta;
		files[i].busy = is_busy(db, f);
		files[i].fruitless = atomic_load_explicit(&f->fruitless,
												  memory_order_relaxed);
	}
	levels.files = files;
	memcpy(levels.start, v->level_start, sizeof(levels.start));
	levels.space_percent = config->space_percent;
	levels.job_bytes = config->job_bytes;
	levels.l0_compact = config->l0_compact;
	levels.flushed_csn = v->n_mem > 0 ? v->mem[v->n_mem - 1].start_csn
									  : UINT64_MAX;
	env->ops->horizon(env, &levels.horizon);
	levels.dropped = c->dropped;
	levels.n_dropped = c->n_dropped;
	levels.dropped_before = db->dropped_before;
	levels.manual_before = db->manual_before;
	levels.manual_level = db->manual_level;
	levels.manual_lower = kv_slice(db->manual_range.lower,
								   db->manual_range.lower_len);
	levels.manual_upper = kv_slice(db->manual_range.upper,
								   db->manual_range.upper_len);
	kv_compact_pick(&levels, out);
	env->ops->free(env, files);
	return KV_OK;
}

/* false: an input has left the version meanwhile */
static bool
claim_inputs(KvDb *db, const KvCompaction *c, const KvVersion *v,
			 const KvPick *p)
{
	KvEnv *env = db->env;
	KvJobShared *job = &db->shared->job;
	bool live = true;
	uint32_t i;

	job->n_inputs = job->n_outputs = job->n_doubts = 0;
	job->in_bytes = job->out_bytes = 0;
	job->logged = false;
	job->move = c->kind == KV_PICK_MOVE;
	env->ops->lock(env, KV_LOCK_VERSION, true);
	for (i = 0; i < p->n && live; i++)
	{
		const KvFileSlot *f = kv_file_at(db, v->files[p->files[i]]);

		live = !f->compacting &&
			   atomic_load_explicit(&f->state, memory_order_relaxed) ==
				   KV_FILE_LIVE;
	}
	for (i = 0; i < p->n && live; i++)
	{
		KvFileSlot *f = kv_file_at(db, v->files[p->files[i]]);

		f->compacting = true;
		job->inputs[job->n_inputs++] = v->files[p->files[i]];
		job->in_bytes += f->meta.size;
	}
	if (live)
		atomic_store_explicit(&job->state, KV_JOB_RUNNING,
							  memory_order_release);
	env->ops->unlock(env, KV_LOCK_VERSION);
	return live;
}

static KvStatus
start_in_version(KvDb *db, KvCompaction *c, const KvVersion *v, KvPick *p,
				 KvError *err)
{
	KvStatus status = pick(db, c, v, p, err);

	if (status != KV_OK || p->kind == KV_PICK_NOTHING)
		return status;
	c->kind = p->kind;
	c->output_level = p->output_level;
	if (p->kind == KV_PICK_MERGE)
		status = kv_job_note_below(db, c, v, err);
	if (status != KV_OK)
		return status;
	kv_version_pin(db, v->number);
	c->version = v->number;
	if (!claim_inputs(db, c, v, p))
		p->kind = KV_PICK_NOTHING;
	return KV_OK;
}

/* *started: db->compaction runs. */
static KvStatus
start(KvDb *db, bool *started, KvError *err)
{
	KvEnv *env = db->env;
	KvCompaction *c;
	KvPick *p;
	KvStatus status;

	*started = false;
	c = env->ops->alloc(env, sizeof(*c));
	p = env->ops->alloc(env, sizeof(*p));
	if (c == NULL || p == NULL)
	{
		if (c != NULL)
			env->ops->free(env, c);
		if (p != NULL)
			env->ops->free(env, p);
		return kv_fail(err, KV_NO_MEMORY, "out of memory for a compaction");
	}
	memset(c, 0, sizeof(*c));
	db->compaction = c;
	status = kv_dropped_stores(db, &c->dropped, &c->n_dropped, err);
	if (status == KV_OK)
	{
		note_dropped(db, c);
		status = start_in_version(db, c, kv_version_acquire(db), p, err);
		kv_version_release(db);
	}
	if (status == KV_OK && p->kind != KV_PICK_NOTHING)
	{
		/* after the inputs were claimed: no snapshot is older than this */
		env->ops->horizon(env, &c->horizon);
		*started = true;
		if (p->kind == KV_PICK_MERGE)
			status = kv_job_open_inputs(db, c, err);
		if (p->kind == KV_PICK_MERGE && status == KV_OK)
			status = kv_job_collect_ranges(db, c, err);
	}
	env->ops->free(env, p);
	if (status != KV_OK && *started)
	{
		*started = false;
		kv_compact_abandon(db);
	}
	else if (!*started)
		free_private(db);
	return status;
}

/* ---- jobs without reading */

static KvStatus
move_files(KvDb *db, const KvCompaction *c, KvError *err)
{
	KvJobShared *job = &db->shared->job;
	uint32_t i;

	for (i = 0; i < job->n_inputs; i++)
	{
		uint32_t slot;
		KvStatus status = kv_file_slot_reserve(db, &slot, err);

		if (status != KV_OK)
			return status;
		kv_file_at(db, slot)->meta = kv_file_at(db, job->inputs[i])->meta;
		kv_file_at(db, slot)->meta.level = c->output_level;
		job->outputs[job->n_outputs++] = slot;
	}
	return KV_OK;
}

static void
mark_doubtful(KvDb *db, const KvJobShared *job)
{
	uint32_t i, j;

	for (i = 0; i < job->n_outputs; i++)
	{
		KvFileMeta *meta = &kv_file_at(db, job->outputs[i])->meta;
		bool found = false;

		meta->has_doubt = true;
		for (j = 0; j < job->n_doubts && !found; j++)
			found = kv_may_hold_xid(meta, job->doubts[j]);
		meta->has_doubt = found;
	}
}

static KvStatus
hand_over(KvDb *db, KvError *err)
{
	KvEnv *env = db->env;
	KvJobShared *job = &db->shared->job;
	KvStatus status;

	/*
	 * Versions were dropped or untagged because transactions were seen to
	 * have committed.  An asynchronous commit may be seen and still be lost:
	 * not after this.
	 */
	status = env->ops->flush_host_log(env, UINT64_MAX, err);
	if (status != KV_OK)
		return status;
	if (!job->move)
		mark_doubtful(db, job);
	free_private(db);
	env->ops->stop(env, "compaction-done");
	/* pairs with the acquire in kv_install_job */
	atomic_store_explicit(&job->state, KV_JOB_DONE, memory_order_release);
	env->ops->kick(env, KV_KICK_WORKER);
	return KV_OK;
}

static KvStatus
run(KvDb *db, uint64_t budget, KvError *err)
{
	KvCompaction *c = db->compaction;
	bool done = true;
	KvStatus status = KV_OK;

	if (c->kind == KV_PICK_MERGE)
		status = kv_job_merge(db, c, budget, &done, err);
	else if (c->kind == KV_PICK_MOVE && db->shared->job.n_outputs == 0)
		status = move_files(db, c, err);
	if (status == KV_OK && done)
		status = hand_over(db, err);
	if (status != KV_OK && status != KV_INTERRUPTED && status != KV_STALLED)
		kv_compact_abandon(db);
	return status;
}

/* ---- requests */

static void
start_level(KvDb *db, int level)
{
	db->manual_level = level;
	db->manual_before = atomic_load_explicit(&db->shared->next_file_no,
											 memory_order_relaxed);
}

/*
 * A request covers what was in memory when it came: its flush is waited for,
 * and then one level after the other goes down.
 */
static void
look_at_requests(KvDb *db)
{
	KvShared *s = db->shared;
	KvEnv *env = db->env;
	uint64_t asked;

	if (db->manual_ticket == 0)
	{
		env->ops->lock(env, KV_LOCK_VERSION, false);
		asked = atomic_load_explicit(&s->compact_asked, memory_order_acquire);
		db->manual_range = s->compact_range;
		env->ops->unlock(env, KV_LOCK_VERSION);
		if (asked <=
			atomic_load_explicit(&s->compact_done, memory_order_relaxed))
			return;
		db->manual_ticket = asked;
		db->manual_flush = atomic_load_explicit(&s->flush_asked,
												memory_order_acquire);
	}
	if (db->manual_before == 0 &&
		atomic_load_explicit(&s->flush_done, memory_order_acquire) >=
			db->manual_flush)
		start_level(db, 0);
}

/* Nothing was left to pick.  true: look again. */
static bool
request_goes_on(KvDb *db)
{
	KvShared *s = db->shared;
	KvEnv *env = db->env;

	if (db->manual_before == 0)
		return false;
	if (db->manual_level < KV_LEVELS - 1)
	{
		start_level(db, db->manual_level + 1);
		return true;
	}
	/* what was asked for meanwhile is still to be done */
	env->ops->lock(env, KV_LOCK_VERSION, true);
	if (atomic_load_explicit(&s->compact_asked, memory_order_relaxed) ==
		db->manual_ticket)
		s->compact_range.any = false;
	env->ops->unlock(env, KV_LOCK_VERSION);
	/* pairs with the acquire in kv_request_done */
	atomic_store_explicit(&s->compact_done, db->manual_ticket,
						  memory_order_release);
	db->manual_ticket = db->manual_before = 0;
	env->ops->kick(env, KV_KICK_WAITERS);
	return true;
}

KvStatus
kv_compact_step(KvDb *db, uint64_t budget, bool *busy, KvError *err)
{
	KvJobShared *job = &db->shared->job;
	KvStatus status = KV_OK;
	uint32_t state;

	*busy = false;
	if (kv_mode(db) != KV_MODE_NORMAL)
		return KV_OK;
	kv_table_sweep(db);
	if (kv_compaction_paused(db))
		return KV_OK;
	/* pairs with the release of the worker */
	state = atomic_load_explicit(&job->state, memory_order_acquire);
	if (state == KV_JOB_DONE)
		return KV_OK; /* the worker kicks when it has installed it */
	if (state == KV_JOB_RUNNING && db->compaction == NULL)
		drop_shared(db); /* whose compactor is gone */
	if (db->compaction == NULL)
	{
		bool started;

		look_at_requests(db);
		status = start(db, &started, err);
		if (status != KV_OK)
			return status;
		if (!started)
		{
			*busy = request_goes_on(db);
			return KV_OK;
		}
	}
	status = run(db, budget, err);
	*busy = db->compaction != NULL;
	return status;
}
