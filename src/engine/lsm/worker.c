/* SPDX-License-Identifier: PostgreSQL */
/*
 * worker.c - the engine worker's round, and its end.
 *
 * One process at a time.  Every step is safe to be killed after: what is on
 * disk is complete without what follows.
 */
#include "engine/lsm/db_internal.h"

/* The host's log may go unnamed for this long, in bytes of it. */
#define KV_MARK_BYTES (1 << 20)
/* A memtable whose oldest transaction is this far behind is flushed. */
#define KV_MAX_XID_AGE 1000000

/* The active memtable becomes immutable, unless it is empty. */
static KvStatus
rotate_active(KvDb *db)
{
	KvEnv *env = db->env;
	KvStatus st = KV_OK;

	env->ops->lock(env, KV_LOCK_LOG, true);
	if (kv_mem_entries(kv_mem_at(db, db->shared->under_log_lock.active)) > 0)
		st = kv_rotate_locked(db);
	env->ops->unlock(env, KV_LOCK_LOG);
	return st;
}

/* Flushes what waits, but not for ever when writers keep up with us. */
static KvStatus
flush_waiting(KvDb *db, bool *progressed, KvError *err)
{
	uint32_t i;
	bool did = true;
	KvStatus st = KV_OK;

	for (i = 0; st == KV_OK && did && i < KV_MAX_MEMTABLES; i++)
	{
		st = kv_flush_oldest(db, &did, err);
		*progressed |= did;
	}
	return st;
}

/*
 * Transactions of memtable entries are looked up in the host's commit log at
 * recovery, and the host does not keep that for ever.
 */
static bool
memtable_is_old(KvDb *db)
{
	KvEnv *env = db->env;
	const KvVersion *v = kv_version_acquire(db);
	uint32_t slot = v->mem[v->n_mem - 1].slot, b = 0;
	KvHorizon h;
	KvMemBatch info;

	KV_ASSERT(v->n_mem > 0); /* the active one, at least */
	kv_version_release(db);
	if (!kv_mem_next_batch(kv_mem_at(db, slot), &b, &info) || info.xid == 0)
		return false;
	env->ops->horizon(env, &h);
	return info.xid + KV_MAX_XID_AGE < h.xid;
}

/* A flush is done when what was active at the time it was asked for is. */
static KvStatus
serve_requests(KvDb *db, KvWork *work, KvError *err)
{
	KvShared *s = db->shared;
	uint64_t asked = atomic_load_explicit(&s->flush_asked,
										  memory_order_acquire);
	KvStatus st, rotated;

	if (asked <= atomic_load_explicit(&s->flush_done, memory_order_relaxed))
		return memtable_is_old(db) && rotate_active(db) == KV_STALLED
				   ? flush_waiting(db, &work->progressed, err)
				   : KV_OK;
	rotated = rotate_active(db);
	st = flush_waiting(db, &work->progressed, err);
	if (st != KV_OK)
		return st;
	if (rotated != KV_OK)
	{
		work->more = true; /* there is room now: again in the next round */
		return KV_OK;
	}
	atomic_store_explicit(&s->flush_done, asked, memory_order_release);
	db->env->ops->kick(db->env, KV_KICK_WAITERS);
	db->env->ops->kick(db->env, KV_KICK_COMPACTOR);
	return KV_OK;
}

/* The host's log is needed from here: what is synced, or held back. */
static uint64_t
safe_lsn(KvDb *db)
{
	const KvShared *s = db->shared;
	uint64_t lsn = atomic_load_explicit(&s->synced_lsn, memory_order_acquire);
	uint32_t i;

	for (i = 0; i < s->config.max_readers; i++)
	{
		/* pairs with the store in kv_hold_lsn */
		uint64_t hold = atomic_load_explicit(&kv_reader_at(db, i)->hold_lsn,
											 memory_order_seq_cst);

		if (hold != 0 && hold < lsn)
			lsn = hold;
	}
	return lsn;
}

/* What makes memory durable. */
static KvStatus
write_out(KvDb *db, KvWork *work, KvError *err)
{
	bool did = false;
	KvStatus st = kv_drain_ring(db, err);

	if (st == KV_OK)
		st = kv_settle(db, err);
	if (st == KV_OK)
		st = kv_raise_ceilings(db, err);
	if (st == KV_OK)
		st = kv_log_pending_files(db, err);
	if (st == KV_OK)
		st = serve_requests(db, work, err);
	if (st == KV_OK)
		st = kv_flush_oldest(db, &did, err);
	work->progressed |= did;
	work->more |= did;
	return st;
}

/* What gives back room: disk space, file slots. */
static KvStatus
clean_up(KvDb *db, KvWork *work, KvError *err)
{
	bool did = false;
	KvError why;
	KvStatus installed = kv_install_job(db, &did, err);
	KvStatus removed = kv_remove_obsolete(db, &work->removed_files,
										  installed == KV_OK ? err : &why);

	work->progressed |= did;
	return installed != KV_OK ? installed : removed;
}

KvStatus
kv_worker_step(KvDb *db, KvWork *work, KvError *err)
{
	uint64_t before = kv_ring_written(kv_ring_at(db));
	KvError why;
	KvStatus st, cleaned;

	KV_ASSERT(!db->env->ops->lock_held(db->env, KV_LOCK_LOG));
	KV_ASSERT(!db->env->ops->lock_held(db->env, KV_LOCK_WAL_IO));
	memset(work, 0, sizeof(*work));
	st = write_out(db, work, err);
	/* also after a failure, which may be for want of what this gives back */
	cleaned = clean_up(db, work, st == KV_OK ? err : &why);
	if (st == KV_OK)
		st = cleaned;
	if (st == KV_OK)
		st = kv_mark_log_position(db, KV_MARK_BYTES, err);
	work->progressed |= work->removed_files > 0 ||
						kv_ring_written(kv_ring_at(db)) != before;
	work->synced_lsn = safe_lsn(db);
	return st;
}

KvStatus
kv_shutdown(KvDb *db, KvError *err)
{
	bool did = false;
	KvStatus st;

	if (kv_mode(db) != KV_MODE_NORMAL && kv_mode(db) != KV_MODE_READONLY)
		return KV_OK;
	st = kv_drain_ring(db, err);
	if (st == KV_OK)
		st = kv_settle(db, err);
	/* no room to rotate: what stays in memory is in the WAL */
	if (st == KV_OK)
		(void) rotate_active(db);
	if (st == KV_OK)
		st = flush_waiting(db, &did, err);
	if (st == KV_OK)
		st = kv_mark_log_position(db, 1, err);
	if (db->wal != NULL)
		kv_wal_close(db->wal);
	if (db->manifest != NULL)
		kv_manifest_close(db->manifest);
	db->wal = NULL;
	db->manifest = NULL;
	return st;
}
