/* SPDX-License-Identifier: PostgreSQL */
/*
 * begin_use.c - from recovered (recover.c, replay.c) to open for everyone.
 *
 * Worker only: the end of recovery, and a new worker that takes over from one
 * that has gone while the shared region lived on.  Nothing is removed before
 * what replaces it is durable and named by an edit.
 */
#include "engine/lsm/recover.h"

typedef struct SweepAll
{
	KvDb *db;
	uint64_t keep_wal;
	char names[64][KV_NAME_MAX];
	uint32_t n;
} SweepAll;

static bool
collect_unnamed(void *arg, const char *name)
{
	SweepAll *sw = arg;
	const KvManifestState *m = &sw->db->state;
	uint64_t no;
	KvNameKind kind = kv_file_name_parse(name, &no);
	uint32_t i;

	switch (kind)
	{
	case KV_NAME_WAL:
		if (no == sw->keep_wal)
			return true;
		break;
	case KV_NAME_SST:
		for (i = 0; i < m->n_files; i++)
			if (m->files[i].file_no == no)
				return true;
		break;
	case KV_NAME_MANIFEST:
		if (no == m->manifest_no)
			return true;
		break;
	case KV_NAME_TEMP:
		break;
	default:
		return true; /* not ours to judge */
	}
	if (sw->n == 64)
		return false;
	memcpy(sw->names[sw->n++], name, strlen(name) + 1);
	return true;
}

/* What no edit names: left by jobs, commits and MANIFESTs cut short. */
static KvStatus
sweep_unnamed(KvDb *db, uint64_t keep_wal, KvError *err)
{
	KvEnv *env = db->env;
	SweepAll *sw;
	uint32_t i;
	KvStatus st = KV_OK;

	if (env->ops->backup_running(env))
		return KV_OK;
	sw = env->ops->alloc(env, sizeof(*sw));
	if (sw == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory");
	do
	{
		sw->db = db;
		sw->keep_wal = keep_wal;
		sw->n = 0;
		st = env->ops->list(env, collect_unnamed, sw, err);
		for (i = 0; st == KV_OK && i < sw->n; i++)
		{
			st = env->ops->unlink(env, sw->names[i], err);
			if (st == KV_NOT_FOUND)
				st = KV_OK;
		}
	} while (st == KV_OK && sw->n == 64);
	env->ops->free(env, sw);
	return st;
}

/* The first segment of this incarnation, named by an edit before any use. */
static KvStatus
start_wal(KvDb *db, uint64_t lsn, uint64_t *no, KvError *err)
{
	KvShared *s = db->shared;
	KvWalStart start = {0};
	KvEdit edit = {0};
	KvStatus st = kv_new_file_no(db, no, err);

	if (st != KV_OK)
		return st;
	start.segment_no = *no;
	start.start_csn = db->replayed_csn;
	start.start_lsn = lsn;
	db->env->ops->lock(db->env, KV_LOCK_WAL_IO, true);
	st = kv_wal_create(db->env, &db->identity, &start, s->config.wal_prealloc,
					   &db->wal, err);
	db->env->ops->unlock(db->env, KV_LOCK_WAL_IO);
	if (st != KV_OK)
		return st;
	edit.min_wal = *no;
	edit.flushed_csn = edit.csn_floor = db->replayed_csn;
	edit.flushed_lsn = lsn;
	edit.timeline = db->identity.timeline;
	edit.incarnation = db->identity.incarnation;
	return kv_log_edit(db, &edit, err);
}

/* No csn is given out twice: neither a file nor a log may know a larger one. */
static uint64_t
newest_csn(const KvDb *db)
{
	uint64_t csn = db->replayed_csn;
	uint32_t i;

	if (csn < db->state.csn_floor)
		csn = db->state.csn_floor;
	if (csn < db->state.runs_csn)
		csn = db->state.runs_csn;
	for (i = 0; i < db->state.n_files; i++)
		if (csn < db->state.files[i].max_csn)
			csn = db->state.files[i].max_csn;
	return csn;
}

KvStatus
kv_open_for_use(KvDb *db, uint64_t lsn, KvError *err)
{
	KvShared *s = db->shared;
	KvMemSlot *m;
	uint64_t no;
	KvStatus st;

	KV_ASSERT(kv_mode(db) == KV_MODE_STARTING && db->wal == NULL);
	if (lsn < db->replayed_lsn)
		lsn = db->replayed_lsn;
	st = kv_raise_ceilings(db, err);
	/* old segments are not appended to, so what they hold goes into files */
	db->replayed_csn = newest_csn(db);
	if (st == KV_OK)
		st = kv_replay_rotate(db, db->replayed_csn, err);
	if (st == KV_OK)
		st = start_wal(db, lsn, &no, err);
	if (st == KV_OK)
		st = sweep_unnamed(db, no, err);
	if (st != KV_OK)
		return st;
	m = &s->mem[s->under_log_lock.active];
	atomic_store_explicit(&m->wal_no, no, memory_order_relaxed);
	atomic_store_explicit(&m->max_lsn, lsn, memory_order_relaxed);
	atomic_store_explicit(&s->wal_no, no, memory_order_relaxed);
	atomic_store_explicit(&s->wal_length, kv_wal_length(db->wal),
						  memory_order_relaxed);
	s->under_log_lock.next_csn = db->replayed_csn + !KV_BUG(csn_reused);
	s->under_log_lock.inserted_lsn = lsn;
	db->drained_lsn = lsn;
	atomic_store_explicit(&s->synced_lsn, lsn, memory_order_release);
	atomic_store_explicit(&s->flushed_lsn, lsn, memory_order_relaxed);
	atomic_store_explicit(&s->published_csn, db->replayed_csn,
						  memory_order_release);
	kv_set_mode(db, KV_MODE_NORMAL, NULL);
	db->env->ops->kick(db->env, KV_KICK_COMPACTOR);
	return KV_OK;
}

/* The shared table of files and the MANIFEST must agree. */
static KvStatus
check_same_files(KvDb *db, KvError *err)
{
	uint32_t i, n = 0;

	for (i = 0; i < db->shared->config.max_files; i++)
	{
		const KvFileSlot *f = kv_file_at(db, i);

		if (atomic_load_explicit(&f->state, memory_order_relaxed) ==
				KV_FILE_LIVE &&
			f->in_manifest)
			n++;
	}
	if (n != db->state.n_files)
		return kv_fail(err, KV_NOT_READY,
					   "the worker stopped between two steps: restart the "
					   "server");
	return KV_OK;
}

KvStatus
kv_take_over(KvDb *db, const KvHost *host, KvError *err)
{
	KvShared *s = db->shared;
	bool back;
	KvStatus st;

	KV_ASSERT(kv_mode(db) != KV_MODE_STARTING && db->wal == NULL);
	db->host = *host;
	db->identity = host->identity;
	db->identity.incarnation = atomic_load_explicit(&s->incarnation,
													memory_order_relaxed);
	st = kv_manifest_load(db->env, &db->identity, NULL, NULL, &db->state,
						  &back, err);
	if (st == KV_OK)
		st = check_same_files(db, err);
	if (st == KV_OK)
		st = kv_roll_manifest(db, err);
	if (st != KV_OK)
		return st;
	db->drained_lsn = atomic_load_explicit(&s->synced_lsn,
										   memory_order_relaxed);
	db->log_dirty = true;
	/* whether the last one got as far as that is not known */
	db->runs_due = kv_snapshot_csn(db);
	/* goes on in a new segment, since no writer is open */
	return kv_drain_ring(db, err);
}
