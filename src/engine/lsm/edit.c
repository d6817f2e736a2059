/* SPDX-License-Identifier: PostgreSQL */
/*
 * edit.c - the worker's MANIFEST: logging edits, rolling, number ceilings.
 *
 * Worker only.  db->state is what the MANIFEST says; the shared file table
 * may be ahead of it by ingested runs (kv_log_pending_files closes that).
 */
#include "engine/lsm/db_internal.h"

/* Numbers of MANIFESTs come from the same counter as all others. */
KvStatus
kv_roll_manifest(KvDb *db, KvError *err)
{
	KvEnv *env = db->env;
	KvShared *s = db->shared;
	KvManifest *m;
	uint64_t no;
	KvStatus st;

	KV_ASSERT(!env->ops->lock_held(env, KV_LOCK_LOG));
	KV_ASSERT(!env->ops->lock_held(env, KV_LOCK_VERSION));
	if (db->manifest != NULL)
		kv_manifest_close(db->manifest);
	db->manifest = NULL;
	st = kv_new_file_no(db, &no, err);
	if (st == KV_STALLED)
	{
		/*
		 * All reserved numbers are used up.  The new MANIFEST may raise the
		 * ceiling and use a number below it at once: it says so itself.
		 */
		no = db->state.file_no_ceiling;
		db->state.file_no_ceiling += KV_NUMBER_BLOCK;
	}
	else if (st != KV_OK)
		return st;
	env->ops->lock(env, KV_LOCK_WAL_IO, true);
	st = kv_manifest_create(env, &db->identity, no, &db->state, &m, err);
	env->ops->unlock(env, KV_LOCK_WAL_IO);
	if (st != KV_OK)
		return st;
	KV_ASSERT(no < db->state.file_no_ceiling);
	db->manifest = m;
	db->state.manifest_no = no;
	db->sweep_wanted = true;
	if (atomic_load_explicit(&s->next_file_no, memory_order_relaxed) <= no)
		atomic_store_explicit(&s->next_file_no, no + 1, memory_order_relaxed);
	atomic_store_explicit(&s->file_no_ceiling, db->state.file_no_ceiling,
						  memory_order_release);
	return KV_OK;
}

KvStatus
kv_log_edit(KvDb *db, const KvEdit *edit, KvError *err)
{
	/* once the edit is durable, remembering it must not fail */
	KvStatus st = kv_manifest_prepare(db->env, &db->state, edit, err);

	/* I/O follows: only the lock that says so may be held */
	KV_ASSERT(!db->env->ops->lock_held(db->env, KV_LOCK_LOG));
	KV_ASSERT(!db->env->ops->lock_held(db->env, KV_LOCK_VERSION));
	if (st != KV_OK)
		return st;
	if (db->manifest == NULL ||
		kv_manifest_bytes(db->manifest) > db->shared->config.manifest_bytes)
	{
		st = kv_roll_manifest(db, err);
		if (st != KV_OK)
			return st;
	}
	db->env->ops->stop(db->env, "manifest-append");
	db->env->ops->lock(db->env, KV_LOCK_WAL_IO, true);
	st = kv_manifest_append(db->manifest, edit, err);
	db->env->ops->unlock(db->env, KV_LOCK_WAL_IO);
	if (st != KV_OK && KV_BUG(manifest_append_after_failure))
		return st;
	if (st != KV_OK)
	{
		/*
		 * Poisoned: whether the edit is durable is unknown, so its files
		 * stay where they are.  The next call writes a complete new one.
		 */
		kv_manifest_close(db->manifest);
		db->manifest = NULL;
		return st;
	}
	return kv_manifest_apply(db->env, &db->state, edit, err);
}

KvStatus
kv_commit_change(KvDb *db, const KvEdit *edit, const KvVersionChange *change,
				 KvError *err)
{
	KvEnv *env = db->env;
	KvStatus st = kv_log_edit(db, edit, err);
	uint32_t i;

	if (st != KV_OK)
		return st;
	for (;;)
	{
		env->ops->lock(env, KV_LOCK_VERSION, true);
		st = kv_version_install_locked(db, change);
		if (st == KV_OK)
			for (i = 0; i < change->n_adds; i++)
				kv_file_at(db, change->adds[i])->in_manifest = true;
		env->ops->unlock(env, KV_LOCK_VERSION);
		/*
		 * KV_STALLED: a reader is inside a get since 32 installs ago, which
		 * is a matter of microseconds unless it is stopped by a debugger.
		 * The edit is durable, so there is no way back, not even for a
		 * worker that is asked to end.
		 */
		if (st != KV_STALLED)
			return st;
	}
}

KvStatus
kv_log_pending_files(KvDb *db, KvError *err)
{
	KvEnv *env = db->env;
	uint32_t i, n = db->shared->config.max_files;
	/* every run with a csn up to this one is in the table by now */
	uint64_t published = kv_snapshot_csn(db);
	bool any = db->runs_due > db->state.runs_csn;
	KvStatus st;

	for (i = 0; i < n && !any; i++)
		any = atomic_load_explicit(&kv_file_at(db, i)->state,
								   memory_order_relaxed) == KV_FILE_LIVE &&
			  !kv_file_at(db, i)->in_manifest;
	if (!any)
		return KV_OK;
	/* a run must not outlive what was committed before it */
	st = kv_drain_ring(db, err);
	if (st != KV_OK)
		return st;
	for (i = 0; i < n; i++)
	{
		KvFileSlot *f = kv_file_at(db, i);
		KvFileMeta meta;
		KvDoubt doubt;
		KvEdit edit = {0};
		bool pending;

		if (atomic_load_explicit(&f->state, memory_order_relaxed) !=
			KV_FILE_LIVE)
			continue;
		/* a run is LIVE before its publisher lets go of the lock */
		env->ops->lock(env, KV_LOCK_VERSION, false);
		pending = atomic_load_explicit(&f->state, memory_order_relaxed) ==
					  KV_FILE_LIVE &&
				  !f->in_manifest;
		meta = f->meta;
		env->ops->unlock(env, KV_LOCK_VERSION);
		if (!pending || meta.run_csn > published)
			continue;
		st = env->ops->flush_host_log(env, UINT64_MAX, err);
		if (st != KV_OK)
			return st;
		/* if it was settled meanwhile, that edit does not come again */
		doubt = (KvDoubt){meta.file_no, meta.run_xid,
						  (uint8_t) kv_listed_state(db, meta.run_xid)};
		edit.adds = &meta;
		edit.n_adds = 1;
		edit.doubts = &doubt;
		edit.n_doubts = meta.has_doubt && doubt.state != KV_XACT_COMMITTED;
		st = kv_log_edit(db, &edit, err);
		if (st != KV_OK)
			return st;
		f->in_manifest = true;
		/* until it is logged: this call may fail before it gets there */
		db->runs_due = meta.run_csn;
	}
	/*
	 * Recovery must not look for these runs again, whose files may have been
	 * compacted away by then.
	 */
	if (db->runs_due > db->state.runs_csn)
	{
		KvEdit edit = {0};

		edit.runs_csn = published;
		return kv_log_edit(db, &edit, err);
	}
	return KV_OK;
}

KvStatus
kv_raise_ceilings(KvDb *db, KvError *err)
{
	KvShared *s = db->shared;
	uint64_t next_file = atomic_load_explicit(&s->next_file_no,
											  memory_order_relaxed);
	uint64_t next_store = atomic_load_explicit(&s->next_store_id,
											   memory_order_relaxed);
	KvEdit edit = {0};
	KvStatus st;

	if (next_file + KV_NUMBER_BLOCK / 2 > db->state.file_no_ceiling)
		edit.file_no_ceiling = next_file + KV_NUMBER_BLOCK;
	if (next_store + KV_NUMBER_BLOCK / 2 > db->state.store_id_ceiling)
		edit.store_id_ceiling = next_store + KV_NUMBER_BLOCK;
	if (edit.file_no_ceiling == 0 && edit.store_id_ceiling == 0)
		return KV_OK;
	/* a ceiling never sinks: numbers below it may be in use */
	KV_ASSERT(edit.file_no_ceiling == 0 ||
			  edit.file_no_ceiling > db->state.file_no_ceiling);
	KV_ASSERT(edit.store_id_ceiling == 0 ||
			  edit.store_id_ceiling > db->state.store_id_ceiling);
	st = kv_log_edit(db, &edit, err);
	if (st != KV_OK)
		return st;
	/* pairs with the acquire in kv_new_file_no: durable before it is used */
	atomic_store_explicit(&s->file_no_ceiling, db->state.file_no_ceiling,
						  memory_order_release);
	atomic_store_explicit(&s->store_id_ceiling, db->state.store_id_ceiling,
						  memory_order_release);
	db->env->ops->kick(db->env, KV_KICK_WAITERS);
	return KV_OK;
}
