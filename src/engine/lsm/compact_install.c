/* SPDX-License-Identifier: PostgreSQL */
/*
 * compact_install.c - a finished compaction becomes part of the store.
 *
 * Worker only.  One edit removes the inputs and adds the outputs; the version
 * follows.  Should the version not be publishable at once, job.logged
 * remembers that the edit is durable, and only the publication is tried
 * again: nobody else logs edits, and the inputs stay marked.
 */
#include "engine/lsm/compact_job.h"

/*
 * Outputs name the transactions that were in doubt when they were written,
 * but not what was settled meanwhile: that edit does not come again.
 */
static void
list_doubts(const KvDb *db, const KvJobShared *job, KvEdit *edit,
			KvDoubt *doubts)
{
	uint32_t i, j;

	for (j = 0; j < job->n_doubts; j++)
	{
		uint64_t xid = job->doubts[j];
		KvXactState state = kv_listed_state(db, xid);

		if (state == KV_XACT_COMMITTED)
			continue;
		for (i = 0; i < edit->n_adds; i++)
			if (kv_may_hold_xid(&edit->adds[i], xid))
				doubts[edit->n_doubts++] = (KvDoubt){edit->adds[i].file_no,
													 xid, (uint8_t) state};
	}
}

/* How many list_doubts may write. */
static size_t
count_doubts(const KvJobShared *job, const KvFileMeta *adds, uint32_t n)
{
	size_t found = 0;
	uint32_t i, j;

	/* a moved file keeps its doubts without being told */
	for (j = 0; j < job->n_doubts && !job->move; j++)
		for (i = 0; i < n; i++)
			found += kv_may_hold_xid(&adds[i], job->doubts[j]);
	return found;
}

static KvStatus
log_job(KvDb *db, const KvJobShared *job, KvError *err)
{
	KvEnv *env = db->env;
	uint32_t i, n = job->n_outputs;
	size_t n_doubts = 0;
	KvEdit edit = {0};
	KvFileMeta *adds;
	uint64_t *removes;
	KvDoubt *doubts = NULL;
	KvStatus status;

	adds = env->ops->alloc(env, (n + 1) * sizeof(KvFileMeta));
	removes = env->ops->alloc(env, (job->n_inputs + 1) * sizeof(uint64_t));
	for (i = 0; adds != NULL && i < n; i++)
	{
		adds[i] = kv_file_at(db, job->outputs[i])->meta;
		adds[i].key_bytes += KV_BUG(manifest_wrong_statistics);
	}
	for (i = 0; removes != NULL && i < job->n_inputs; i++)
		removes[i] = kv_file_at(db, job->inputs[i])->meta.file_no;
	if (adds != NULL)
	{
		n_doubts = count_doubts(job, adds, n);
		doubts = env->ops->alloc(env, (n_doubts + 1) * sizeof(KvDoubt));
	}
	if (adds == NULL || removes == NULL || doubts == NULL)
		status = kv_fail(err, KV_NO_MEMORY, "out of memory for an edit");
	else
	{
		edit.adds = adds;
		edit.n_adds = n;
		edit.removes = removes;
		edit.n_removes = job->n_inputs;
		edit.doubts = doubts;
		if (n_doubts > 0)
			list_doubts(db, job, &edit, doubts);
		status = kv_log_edit(db, &edit, err);
	}
	if (adds != NULL)
		env->ops->free(env, adds);
	if (removes != NULL)
		env->ops->free(env, removes);
	if (doubts != NULL)
		env->ops->free(env, doubts);
	return status;
}

/* KV_STALLED: later */
static KvStatus
publish(KvDb *db, const KvJobShared *job)
{
	KvEnv *env = db->env;
	KvVersionChange change = {0};
	KvStatus status;
	uint32_t i;

	change.adds = job->outputs;
	change.n_adds = job->n_outputs;
	change.removes = job->inputs;
	change.n_removes = job->n_inputs;
	env->ops->lock(env, KV_LOCK_VERSION, true);
	status = kv_version_install_locked(db, &change);
	for (i = 0; i < job->n_outputs && status == KV_OK; i++)
		kv_file_at(db, job->outputs[i])->in_manifest = true;
	env->ops->unlock(env, KV_LOCK_VERSION);
	return status;
}

static void
count_job(KvDb *db, const KvJobShared *job)
{
	KvCounters *counters = &db->shared->counters;

	atomic_fetch_add_explicit(&counters->compactions, 1, memory_order_relaxed);
	if (job->move || job->n_outputs == 0)
		return;
	atomic_fetch_add_explicit(&counters->compacted_in, job->in_bytes,
							  memory_order_relaxed);
	atomic_fetch_add_explicit(&counters->compacted_out, job->out_bytes,
							  memory_order_relaxed);
}

KvStatus
kv_install_job(KvDb *db, bool *did, KvError *err)
{
	KvEnv *env = db->env;
	KvJobShared *job = &db->shared->job;
	KvStatus status;

	*did = false;
	/* pairs with the release in hand_over */
	if (atomic_load_explicit(&job->state, memory_order_acquire) != KV_JOB_DONE)
		return KV_OK;
	if (!job->logged)
	{
		/* an input may be an ingested run that no edit has added yet */
		status = kv_log_pending_files(db, err);
		if (status == KV_OK)
			status = log_job(db, job, err);
		if (status != KV_OK)
			return status;
		job->logged = true;
		env->ops->stop(env, "compaction-logged");
	}
	status = publish(db, job);
	if (status == KV_STALLED)
		return KV_OK; /* a reader is in the way; the next round tries again */
	if (status != KV_OK)
		return status;
	count_job(db, job);
	job->n_inputs = job->n_outputs = 0;
	/* pairs with the acquire in kv_compact_step */
	atomic_store_explicit(&job->state, KV_JOB_IDLE, memory_order_release);
	*did = true;
	env->ops->kick(env, KV_KICK_COMPACTOR);
	env->ops->kick(env, KV_KICK_WAITERS);
	return KV_OK;
}
