/* SPDX-License-Identifier: PostgreSQL */
/*
 * drain.c - from the ring into WAL segments.
 *
 * Whoever holds KV_LOCK_WAL_IO; in the server that is the worker alone.
 * "WAL before data": the host's log is durable up to the newest record
 * before any record is written here.
 */
#include "engine/lsm/db_internal.h"

#define KV_GROUP_BYTES (256 << 10)

/* The lsn of the newest record that the ring holds; false: none is left. */
static bool
newest_record(KvDb *db, uint64_t *lsn)
{
	const KvRing *ring = kv_ring_at(db);
	uint64_t pos = kv_ring_written(ring);
	KvLogRecord rec;
	bool any = false;

	while (kv_ring_read(ring, &pos, &rec))
	{
		*lsn = rec.lsn;
		any = true;
	}
	return any;
}

/* Makes start the segment that is written; its predecessor is synced. */
static KvStatus
open_segment(KvDb *db, const KvWalStart *start, KvError *err)
{
	KvShared *s = db->shared;
	KvWalWriter *w;
	KvStatus st = kv_wal_create(db->env, &db->identity, start,
								s->config.wal_prealloc, &w, err);

	if (st != KV_OK)
		return st;
	if (db->wal != NULL)
		kv_wal_close(db->wal);
	db->wal = w;
	atomic_store_explicit(&s->wal_no, start->segment_no, memory_order_relaxed);
	atomic_store_explicit(&s->wal_length, kv_wal_length(w),
						  memory_order_relaxed);
	return KV_OK;
}

/*
 * A failed sync is final: the system may have dropped what it could not
 * write, and a second attempt would succeed without having written it.  The
 * store goes on only after recovery, which reads what is really there.
 */
static KvStatus
sync_segment(KvDb *db, KvError *err)
{
	KvStatus st = kv_wal_sync(db->wal, err);

	db->sync_failed = st != KV_OK && !KV_BUG(wal_retry_sync);
	return st;
}

static KvStatus
next_segment(KvDb *db, const KvLogRecord *rec, KvError *err)
{
	KvWalStart start = {0};
	char name[KV_NAME_MAX];
	KvError ignored;
	KvStatus st;

	KV_ASSERT(rec->type == KV_LOG_SWITCH);
	KV_ASSERT(kv_wal_pending(db->wal) == 0);
	/* nothing goes into a segment before the one before it is synced */
	st = sync_segment(db, err);
	if (st != KV_OK)
		return st;
	start.segment_no = rec->xid;
	start.prev_segment_no = kv_wal_segment(db->wal);
	start.prev_length = kv_wal_length(db->wal);
	start.start_csn = rec->csn;
	start.start_lsn = rec->lsn;
	/* an attempt that failed half-way may have left it, with nothing in it */
	kv_file_name(name, KV_NAME_WAL, start.segment_no);
	(void) db->env->ops->unlink(db->env, name, &ignored);
	kv_file_name(name, KV_NAME_TEMP, start.segment_no);
	(void) db->env->ops->unlink(db->env, name, &ignored);
	return open_segment(db, &start, err);
}

/*
 * After a failed write, or in a worker that took over, the tail of the
 * segment is unknown: its good part is synced and closed by the header of a
 * new one, into which the ring's records go again.
 */
static KvStatus
continue_in_new_segment(KvDb *db, KvError *err)
{
	KvShared *s = db->shared;
	KvWalStart start = {0};
	KvWalStart old;
	KvWalReader *reader;
	KvStatus st;

	start.prev_segment_no = atomic_load_explicit(&s->wal_no,
												 memory_order_relaxed);
	start.prev_length = atomic_load_explicit(&s->wal_length,
											 memory_order_relaxed);
	start.start_lsn = db->drained_lsn;
	st = kv_wal_open(db->env, &db->identity, start.prev_segment_no, &reader,
					 &old, err);
	if (st == KV_OK)
	{
		st = kv_wal_reader_sync(reader, &db->sync_failed, err);
		if (KV_BUG(open_error_is_final) && st != KV_OK)
			db->sync_failed = true;
		kv_wal_reader_close(reader);
	}
	if (st == KV_OK)
		st = kv_new_file_no(db, &start.segment_no, err);
	return st == KV_OK ? open_segment(db, &start, err) : st;
}

static void
note_written(KvDb *db, uint64_t before)
{
	KvShared *s = db->shared;
	uint64_t length = kv_wal_length(db->wal);

	KV_ASSERT(length >= before);
	atomic_store_explicit(&s->wal_length, length, memory_order_relaxed);
	if (length > before)
		atomic_fetch_add_explicit(&s->counters.wal_bytes, length - before,
								  memory_order_relaxed);
}

static KvStatus
write_pending(KvDb *db, uint64_t pos, KvError *err)
{
	uint64_t before = kv_wal_length(db->wal);
	KvStatus st = kv_wal_write(db->wal, err);

	if (st != KV_OK)
	{
		/* nothing more goes into this segment */
		kv_wal_close(db->wal);
		db->wal = NULL;
		return st;
	}
	note_written(db, before);
	db->log_dirty = true;
	kv_ring_release(kv_ring_at(db), pos);
	return KV_OK;
}

static KvStatus
drain_records(KvDb *db, KvError *err)
{
	const KvRing *ring = kv_ring_at(db);
	uint64_t pos = kv_ring_written(ring), before = pos;
	KvLogRecord rec;
	KvStatus st = KV_OK;

	/* what an earlier attempt collected is still in the ring */
	kv_wal_discard(db->wal);
	while (st == KV_OK)
	{
		uint64_t here = pos;

		if (!kv_ring_read(ring, &pos, &rec))
			break;
		if (rec.type == KV_LOG_SWITCH)
		{
			st = write_pending(db, here, err);
			if (st == KV_OK)
				st = next_segment(db, &rec, err);
			if (st == KV_OK)
				kv_ring_release(kv_ring_at(db), pos);
		}
		else
			st = kv_wal_add(db->wal, &rec, err);
		if (st == KV_OK)
			db->drained_lsn = rec.lsn;
		if (st == KV_OK && kv_wal_pending(db->wal) >= KV_GROUP_BYTES)
			st = write_pending(db, pos, err);
	}
	if (st == KV_OK && pos != before)
		st = write_pending(db, pos, err);
	return st;
}

static KvStatus
drain_locked(KvDb *db, bool sync, KvError *err)
{
	KvEnv *env = db->env;
	KvShared *s = db->shared;
	uint64_t lsn;
	KvStatus st = KV_OK;

	KV_ASSERT(env->ops->lock_held(env, KV_LOCK_WAL_IO));
	KV_ASSERT(!env->ops->lock_held(env, KV_LOCK_LOG));
	if (db->sync_failed)
		return kv_fail(err, KV_IO_ERROR,
					   "a sync of the WAL has failed: restart the server");
	if (db->wal == NULL)
		st = continue_in_new_segment(db, err);
	if (st != KV_OK)
		return st;
	if (newest_record(db, &lsn))
	{
		if (!KV_BUG(flush_before_host_log))
			st = env->ops->flush_host_log(env, lsn, err);
		if (st == KV_OK)
			st = drain_records(db, err);
		env->ops->kick(env, KV_KICK_WAITERS);
	}
	if (st == KV_OK && sync && db->log_dirty)
	{
		env->ops->stop(env, "wal-sync");
		if (!KV_BUG(ack_before_sync))
			st = sync_segment(db, err);
		if (st == KV_OK)
		{
			db->log_dirty = false;
			/* pairs with the acquire in safe_lsn: synced, then published */
			atomic_store_explicit(&s->synced_lsn, db->drained_lsn,
								  memory_order_release);
		}
	}
	return st;
}

static KvStatus
drain(KvDb *db, bool sync, KvError *err)
{
	KvEnv *env = db->env;
	KvStatus st;

	env->ops->lock(env, KV_LOCK_WAL_IO, true);
	st = drain_locked(db, sync, err);
	env->ops->unlock(env, KV_LOCK_WAL_IO);
	return st;
}

KvStatus
kv_drain_ring(KvDb *db, KvError *err)
{
	return drain(db, true, err);
}

KvStatus
kv_relieve_ring(KvDb *db, KvError *err)
{
	const KvRing *ring = kv_ring_at(db);

	if (kv_ring_inserted(ring) - kv_ring_written(ring) < kv_ring_size(ring) / 4)
		return KV_OK;
	return drain(db, false, err);
}

KvStatus
kv_sync_log(KvDb *db, KvError *err)
{
	return kv_drain_ring(db, err);
}

/*
 * The host's log grows by what others write, and must be kept from the
 * newest position that our WAL names.  When nothing has been written for a
 * while, an empty record moves that position.
 */
KvStatus
kv_mark_log_position(KvDb *db, uint64_t min_advance, KvError *err)
{
	KvEnv *env = db->env;
	char payload[64];
	KvLogRecord rec = {KV_LOG_SETTLE, 0, 0, 0, {payload, 0}};
	uint64_t end;
	bool drained;
	KvStatus st;

	if (env->ops->host_log_end == NULL || db->wal == NULL)
		return KV_OK;
	/* under the log lock every batch before end is in the ring */
	env->ops->lock(env, KV_LOCK_WAL_IO, true);
	env->ops->lock(env, KV_LOCK_LOG, true);
	end = env->ops->host_log_end(env);
	rec.csn = db->shared->under_log_lock.next_csn - 1;
	drained = kv_ring_written(kv_ring_at(db)) ==
			  kv_ring_inserted(kv_ring_at(db));
	env->ops->unlock(env, KV_LOCK_LOG);
	if (!drained || end < db->drained_lsn + min_advance)
	{
		env->ops->unlock(env, KV_LOCK_WAL_IO);
		return KV_OK;
	}
	rec.lsn = end;
	kv_settle_encode(payload, 0, NULL, 0);
	rec.payload.len = kv_settle_size(0);
	st = env->ops->flush_host_log(env, end, err);
	if (st == KV_OK)
		st = kv_wal_add(db->wal, &rec, err);
	if (st == KV_OK)
		st = kv_wal_write(db->wal, err);
	if (st == KV_OK)
	{
		db->drained_lsn = end;
		db->log_dirty = true;
		st = drain_locked(db, true, err);
	}
	env->ops->unlock(env, KV_LOCK_WAL_IO);
	return st;
}

KvStatus
kv_mark_host_log(KvDb *db, KvError *err)
{
	return kv_mark_log_position(db, 1, err);
}
