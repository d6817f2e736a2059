/* SPDX-License-Identifier: PostgreSQL */
/*
 * write.c - one batch into the log and the active memtable.
 *
 * Runs in any process, under KV_LOCK_LOG, which gives batches their order:
 * csn, host's log, ring and memtable agree on it.  Never waits: what has no
 * room is KV_STALLED and the worker is kicked.
 */
#include "engine/lsm/db_internal.h"

size_t
kv_max_batch_bytes(const KvDb *db)
{
	const KvConfig *c = &db->shared->config;
	uint64_t mem = c->memtable_bytes / 8, ring = c->ring_bytes / 8;

	return (size_t) (mem < ring ? mem : ring);
}

uint64_t
kv_ingest_threshold(const KvDb *db)
{
	return db->shared->config.memtable_bytes / 2;
}

static bool
l0_is_full(const KvShared *s)
{
	return atomic_load_explicit(&s->l0_files, memory_order_relaxed) >=
		   s->config.l0_stop;
}

bool
kv_write_would_stall(const KvDb *db)
{
	const KvShared *s = db->shared;
	uint32_t i;

	if (l0_is_full(s))
		return true;
	/* room in the active one is not looked at: this is a forecast */
	for (i = 0; i < s->config.memtables; i++)
		if (atomic_load_explicit(&s->mem[i].state, memory_order_relaxed) !=
			KV_MEM_IMMUTABLE)
			return false;
	return true;
}

static void
note_stall(KvDb *db, KvStall cause, bool count)
{
	KvShared *s = db->shared;

	if (count)
		atomic_fetch_add_explicit(&s->counters.stalls[cause], 1,
								  memory_order_relaxed);
	atomic_store_explicit(&s->last_stall, cause, memory_order_relaxed);
	db->env->ops->kick(db->env, KV_KICK_WORKER);
	db->env->ops->kick(db->env, KV_KICK_COMPACTOR);
}

void
kv_stall_foreseen(KvDb *db, bool first)
{
	note_stall(db,
			   l0_is_full(db->shared) ? KV_STALL_COMPACTION : KV_STALL_FLUSH,
			   first);
}

const char *
kv_stall_name(KvStall cause)
{
	static const char *const names[] = {"compaction", "flush", "log",
										"numbers", "reader"};

	return cause < KV_STALL_CAUSES ? names[cause] : "unknown";
}

KvStall
kv_stall_cause(const KvDb *db)
{
	return (KvStall) atomic_load_explicit(&db->shared->last_stall,
										  memory_order_relaxed);
}

/* How far L0 is on its way from being compacted to being full: 0 to 1. */
static double
l0_debt(const KvShared *s)
{
	double n = atomic_load_explicit(&s->l0_files, memory_order_relaxed);
	double start = (s->config.l0_compact + s->config.l0_stop) / 2.0;

	return (n - start) / (s->config.l0_stop - start);
}

/* The second half of the last memtable, while all others wait for a flush. */
static double
memtable_debt(const KvDb *db)
{
	const KvShared *s = db->shared;
	double used = 0;
	uint32_t i;

	for (i = 0; i < s->config.memtables; i++)
		switch (atomic_load_explicit(&s->mem[i].state, memory_order_relaxed))
		{
		case KV_MEM_FREE:
			return 0;
		case KV_MEM_ACTIVE:
			used = (double) kv_mem_used(kv_mem_at(db, i)) /
				   (double) s->config.memtable_bytes;
			break;
		}
	return used * 2 - 1;
}

/* The last quarter of the ring: the worker is asked to empty it at half. */
static double
log_debt(const KvDb *db)
{
	const KvRing *ring = kv_ring_at(db);
	/* first: it never overtakes what is inserted later */
	uint64_t written = kv_ring_written(ring);
	uint64_t waiting = kv_ring_inserted(ring) - written;

	return 4.0 * (double) waiting / (double) kv_ring_size(ring) - 3;
}

static double
larger(double a, double b)
{
	return a > b ? a : b;
}

uint64_t
kv_write_delay_us(KvDb *db)
{
	KvCounters *c = &db->shared->counters;
	double debt = larger(l0_debt(db->shared),
						 larger(memtable_debt(db), log_debt(db)));
	uint64_t us;

	if (debt <= 0)
	{
		db->owed_us = 0;
		return 0;
	}
	if (debt > 1)
		debt = 1;
	db->owed_us += 1 + (uint64_t) (debt * debt * (KV_MAX_DELAY_US - 1));
	if (db->owed_us < KV_SHORTEST_NAP_US)
		return 0;
	us = db->owed_us < KV_MAX_DELAY_US ? db->owed_us : KV_MAX_DELAY_US;
	db->owed_us = 0;
	atomic_fetch_add_explicit(&c->delays, 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&c->delayed_us, us, memory_order_relaxed);
	return us;
}

/* A memtable that may take the next generation, or UINT32_MAX. */
static uint32_t
free_mem_slot(const KvShared *s)
{
	uint32_t i;

	for (i = 0; i < s->config.memtables; i++)
		if (atomic_load_explicit(&s->mem[i].state, memory_order_acquire) ==
			KV_MEM_FREE)
			return i;
	return UINT32_MAX;
}

/*
 * The steps of a rotation that can fail; on KV_OK KV_LOCK_VERSION is held
 * and rotation_finish cannot fail.
 */
static KvStatus
rotation_prepare(KvDb *db, uint32_t *slot, uint64_t *wal_no, KvStall *cause)
{
	KvEnv *env = db->env;
	KvError ignored;

	KV_ASSERT(env->ops->lock_held(env, KV_LOCK_LOG));
	*slot = free_mem_slot(db->shared);
	*cause = KV_STALL_FLUSH;
	if (*slot == UINT32_MAX)
		return KV_STALLED;
	*cause = KV_STALL_LOG;
	if (kv_ring_free(kv_ring_at(db)) < kv_ring_bound(0))
		return KV_STALLED;
	*cause = KV_STALL_NUMBERS;
	if (kv_new_file_no(db, wal_no, &ignored) != KV_OK)
		return KV_STALLED;
	*cause = KV_STALL_READER;
	env->ops->lock(env, KV_LOCK_VERSION, true);
	if (!kv_version_can_install_locked(db))
	{
		env->ops->unlock(env, KV_LOCK_VERSION);
		return KV_STALLED;
	}
	return KV_OK;
}

static void
rotation_finish(KvDb *db, uint32_t slot, uint64_t wal_no, uint64_t start_csn,
				const uint32_t *run_slots, uint32_t n_runs)
{
	KvEnv *env = db->env;
	KvShared *s = db->shared;
	KvMemSlot *old = &s->mem[s->under_log_lock.active];
	KvMemSlot *m = &s->mem[slot];
	uint64_t generation = s->under_log_lock.next_generation++;
	KvVersionChange change = {0};
	KvLogRecord rec = {KV_LOG_SWITCH,
					   start_csn,
					   wal_no,
					   s->under_log_lock.inserted_lsn,
					   {NULL, 0}};
	uint64_t pos;
	KvStatus st;

	KV_ASSERT(env->ops->lock_held(env, KV_LOCK_LOG));
	KV_ASSERT(env->ops->lock_held(env, KV_LOCK_VERSION));
	KV_ASSERT(slot != s->under_log_lock.active);
	KV_ASSERT(start_csn < s->under_log_lock.next_csn);
	kv_mem_init(kv_mem_at(db, slot), s->config.memtable_bytes, generation);
	kv_mem_init_filter(kv_mem_at(db, slot));
	atomic_store_explicit(&m->generation, generation, memory_order_relaxed);
	atomic_store_explicit(&m->wal_no, wal_no, memory_order_relaxed);
	atomic_store_explicit(&m->start_csn, start_csn, memory_order_relaxed);
	atomic_store_explicit(&m->max_csn, start_csn, memory_order_relaxed);
	atomic_store_explicit(&m->max_lsn, s->under_log_lock.inserted_lsn,
						  memory_order_relaxed);
	m->settled_batch = 0;
	change.new_mem = true;
	change.mem = (KvVersionMem){slot, generation, start_csn};
	change.adds = run_slots;
	change.n_adds = n_runs;
	st = kv_version_install_locked(db, &change);
	KV_ASSERT(st == KV_OK);
	s->under_log_lock.active = slot;
	atomic_store_explicit(&m->state, KV_MEM_ACTIVE, memory_order_release);
	/* pairs with the worker's acquire: the memtable's entries are complete */
	atomic_store_explicit(&old->state, KV_MEM_IMMUTABLE, memory_order_release);
	env->ops->unlock(env, KV_LOCK_VERSION);
	st = kv_ring_append(kv_ring_at(db), &rec, &pos);
	KV_ASSERT(st == KV_OK);
	(void) st;
	env->ops->kick(env, KV_KICK_WORKER);
}

static KvStatus
rotate_locked(KvDb *db, KvStall *cause)
{
	uint32_t slot;
	uint64_t wal_no;
	KvStatus st;

	KV_ASSERT(db->env->ops->lock_held(db->env, KV_LOCK_LOG));
	st = rotation_prepare(db, &slot, &wal_no, cause);
	if (st == KV_OK)
		rotation_finish(db, slot, wal_no,
						db->shared->under_log_lock.next_csn - 1, NULL, 0);
	return st;
}

KvStatus
kv_rotate_locked(KvDb *db)
{
	KvStall ignored;

	return rotate_locked(db, &ignored);
}

static KvStatus
stalled(KvDb *db, KvStall cause, KvError *err)
{
	note_stall(db, cause, true);
	return kv_fail(err, KV_STALLED, "no room for the write: waiting for %s",
				   kv_stall_name(cause));
}

/* Room for a batch in ring and memtable; rotates if that gives it. */
static KvStatus
make_room_locked(KvDb *db, size_t mem_need, size_t ring_need, KvStall *cause)
{
	KvShared *s = db->shared;

	KV_ASSERT(db->env->ops->lock_held(db->env, KV_LOCK_LOG));
	*cause = KV_STALL_COMPACTION;
	if (l0_is_full(s))
		return KV_STALLED;
	*cause = KV_STALL_LOG;
	if (kv_ring_free(kv_ring_at(db)) < ring_need + kv_ring_bound(0))
		return KV_STALLED;
	if (kv_mem_free(kv_mem_at(db, s->under_log_lock.active)) >= mem_need)
		return KV_OK;
	return rotate_locked(db, cause);
}

/* Cannot fail: room was made. */
static void
insert_locked(KvDb *db, uint64_t csn, uint64_t xid, uint64_t lsn,
			  const KvBatch *batch)
{
	KvShared *s = db->shared;
	KvMemSlot *slot = &s->mem[s->under_log_lock.active];
	KvMem *mem = kv_mem_at(db, s->under_log_lock.active);
	KvLogRecord rec = {KV_LOG_BATCH, csn, xid, lsn, {batch->data, batch->len}};
	KvSlice rest = {batch->data, batch->len};
	KvError err;
	KvEntry e;
	uint32_t b;
	uint64_t pos;
	KvStatus st;

	KV_ASSERT(db->env->ops->lock_held(db->env, KV_LOCK_LOG));
	/* csn order is the order of insertion, and the newest is published last */
	KV_ASSERT(csn + 1 == s->under_log_lock.next_csn);
	KV_ASSERT(csn >
			  atomic_load_explicit(&s->published_csn, memory_order_relaxed));
	KV_ASSERT(atomic_load_explicit(&slot->state, memory_order_relaxed) ==
			  KV_MEM_ACTIVE);
	st = kv_ring_append(kv_ring_at(db), &rec, &pos);
	if (st == KV_OK)
		st = kv_mem_begin_batch(mem, csn, xid, lsn,
								xid ? KV_XACT_IN_DOUBT : KV_XACT_COMMITTED, &b);
	while (st == KV_OK && rest.len > 0)
	{
		st = kv_batch_next(&rest, &e, &err);
		if (st == KV_OK)
			st = kv_mem_add(mem, b, &e);
	}
	if (st != KV_OK)
		kv_set_mode(db, KV_MODE_OFF,
					"internal error: a reserved batch did not fit; restart "
					"the server");
	KV_ASSERT(st == KV_OK);
	atomic_store_explicit(&slot->max_csn, csn, memory_order_relaxed);
	atomic_store_explicit(&slot->max_lsn, lsn, memory_order_relaxed);
	s->under_log_lock.inserted_lsn = lsn;
	/* pairs with kv_snapshot_csn: all entries up to csn are in */
	atomic_store_explicit(&s->published_csn, csn, memory_order_release);
}

KvStatus
kv_write(KvDb *db, const KvWrite *w, uint64_t *csn, KvError *err)
{
	KvEnv *env = db->env;
	KvShared *s = db->shared;
	const KvBatch *batch = w->batch;
	uint64_t lsn = 0;
	bool half_full;
	KvStall cause;
	KvStatus st;

	if (batch->len > kv_max_batch_bytes(db))
		return kv_fail(err, KV_TOO_LARGE, "batch of %zu bytes is too large",
					   batch->len);
	env->ops->lock(env, KV_LOCK_LOG, true);
	if (kv_mode(db) != KV_MODE_NORMAL)
	{
		env->ops->unlock(env, KV_LOCK_LOG);
		return kv_fail(err, KV_NOT_READY, "the store does not take writes");
	}
	st = make_room_locked(db, kv_mem_bound(batch->count, batch->payload),
						  kv_ring_bound(batch->len), &cause);
	if (st != KV_OK)
	{
		env->ops->unlock(env, KV_LOCK_LOG);
		return stalled(db, cause, err);
	}
	*csn = s->under_log_lock.next_csn++;
	if (w->log_batch != NULL)
		lsn = w->log_batch(w->arg, *csn);
	env->ops->stop(env, "batch-logged");
	insert_locked(db, *csn, w->xid, lsn, batch);
	half_full = kv_ring_free(kv_ring_at(db)) < kv_ring_size(kv_ring_at(db)) / 2;
	env->ops->unlock(env, KV_LOCK_LOG);
	if (half_full)
		env->ops->kick(env, KV_KICK_WORKER);
	return KV_OK;
}

/*
 * A run goes between the memtable of now and the next: its csn is larger
 * than all that is in and smaller than all that comes.
 */
KvStatus
kv_publish_run(KvDb *db, uint64_t xid, KvSlice payload, const uint32_t *slots,
			   uint32_t n_slots, uint64_t (*log_batch)(void *arg, uint64_t csn),
			   void *arg, uint64_t *csn, KvError *err)
{
	KvEnv *env = db->env;
	KvShared *s = db->shared;
	KvLogRecord rec = {KV_LOG_INGEST, 0, xid, 0, payload};
	uint64_t wal_no, pos;
	KvStall cause = KV_STALL_LOG;
	uint32_t slot, i;
	KvStatus st;

	env->ops->lock(env, KV_LOCK_LOG, true);
	st = kv_mode(db) == KV_MODE_NORMAL ? KV_OK : KV_NOT_READY;
	if (st == KV_OK && kv_ring_free(kv_ring_at(db)) <
						   kv_ring_bound(payload.len) + 2 * kv_ring_bound(0))
		st = KV_STALLED;
	if (st == KV_OK)
		st = rotation_prepare(db, &slot, &wal_no, &cause);
	if (st == KV_OK && xid != 0 &&
		kv_doubt_add_locked(db, xid, KV_XACT_IN_DOUBT) != KV_OK)
	{
		env->ops->unlock(env, KV_LOCK_VERSION);
		cause = KV_STALL_NUMBERS;
		st = KV_STALLED;
	}
	if (st != KV_OK)
	{
		env->ops->unlock(env, KV_LOCK_LOG);
		if (st == KV_NOT_READY)
			return kv_fail(err, st, "the store does not take writes");
		return stalled(db, cause, err);
	}
	*csn = s->under_log_lock.next_csn++;
	if (log_batch != NULL)
		rec.lsn = log_batch(arg, *csn);
	rec.csn = *csn;
	for (i = 0; i < n_slots; i++)
	{
		KvFileMeta *meta = &kv_file_at(db, slots[i])->meta;

		KV_ASSERT(meta->level == 0 && meta->run_csn == 0);
		meta->run_csn = meta->min_csn = meta->max_csn = *csn;
		meta->run_xid = meta->min_xid = meta->max_xid = xid;
		meta->has_doubt = xid != 0;
	}
	rotation_finish(db, slot, wal_no, *csn, slots, n_slots);
	st = kv_ring_append(kv_ring_at(db), &rec, &pos);
	KV_ASSERT(st == KV_OK);
	s->under_log_lock.inserted_lsn = rec.lsn;
	atomic_store_explicit(&s->mem[slot].max_lsn, rec.lsn, memory_order_relaxed);
	atomic_store_explicit(&s->published_csn, *csn, memory_order_release);
	env->ops->unlock(env, KV_LOCK_LOG);
	return KV_OK;
}
