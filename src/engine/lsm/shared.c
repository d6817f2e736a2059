/* SPDX-License-Identifier: PostgreSQL */
/*
 * shared.c - the shared region: its size, its first content, attaching.
 *
 * kv_shared_init runs once, in whoever owns the region (the postmaster);
 * everything else in every process.  Nothing here touches a file.
 */
#include "engine/lsm/db_internal.h"

#define KV_SHARED_MAGIC UINT64_C(0x6b766c736d736831) /* "kvlsmsh1" */

#define KV_ALIGN64(n) (((n) + 63) & ~(uint64_t) 63)

void
kv_config_default(KvConfig *config)
{
	memset(config, 0, sizeof(*config));
	config->memtable_bytes = UINT64_C(64) << 20;
	config->memtables = 3;
	config->ring_bytes = UINT64_C(16) << 20;
	config->cache_bytes = UINT64_C(128) << 20;
	config->file_bytes = UINT64_C(64) << 20;
	config->space_percent = 50;
	config->job_bytes = UINT64_C(4) << 30;
	config->wal_prealloc = UINT64_C(1) << 20;
	config->manifest_bytes = UINT64_C(4) << 20;
	config->block_bytes = 4096;
	config->max_files = 4096;
	config->max_readers = 128;
	config->l0_compact = 8;
	config->l0_stop = 36;
	config->lz4 = true;
	config->host_log = false;
}

KvStatus
kv_config_check(const KvConfig *c, KvError *err)
{
	if (c->memtable_bytes < (64 << 10) ||
		c->memtable_bytes > (UINT64_C(4) << 30) - 64)
		return kv_fail(err, KV_INVALID,
					   "memtable size must be between 64 kB and 4 GB");
	if (c->memtables < 2 || c->memtables > KV_MAX_MEMTABLES)
		return kv_fail(err, KV_INVALID,
					   "number of memtables must be between 2 and %d",
					   KV_MAX_MEMTABLES);
	if (c->ring_bytes < (32 << 10) || c->ring_bytes > (UINT64_C(1) << 30))
		return kv_fail(err, KV_INVALID,
					   "WAL buffers must be between 32 kB and 1 GB");
	/* its head at least: frames are taken from what is left */
	if (c->cache_bytes < (4 << 10))
		return kv_fail(err, KV_INVALID, "block cache must have at least 4 kB");
	if (c->block_bytes < 64 || c->block_bytes > (64 << 10))
		return kv_fail(err, KV_INVALID,
					   "block size must be between 64 bytes and 64 kB");
	if (c->max_files < 16 || c->max_files > (1 << 20))
		return kv_fail(err, KV_INVALID,
					   "max files must be between 16 and 1048576");
	if (c->max_readers < 1 || c->l0_compact < 1 || c->l0_stop <= c->l0_compact)
		return kv_fail(err, KV_INVALID, "readers or L0 limits out of range");
	return KV_OK;
}

/*
 * The frame that holds a block.  Blocks are cut before the entry that would
 * not fit, so nothing is wasted; a larger entry is not cached.
 */
static uint32_t
frame_bytes(const KvConfig *config)
{
	uint32_t frame = 256;

	while (frame < config->block_bytes)
		frame *= 2;
	return frame;
}

static void
lay_out(const KvConfig *config, KvShared *s)
{
	uint64_t off = KV_ALIGN64(sizeof(KvShared));

	s->readers_off = off;
	off += KV_ALIGN64((uint64_t) config->max_readers * sizeof(KvReaderSlot));
	s->files_off = off;
	off += KV_ALIGN64((uint64_t) config->max_files * sizeof(KvFileSlot));
	s->versions_off = off;
	s->version_stride = KV_ALIGN64(sizeof(KvVersion) +
								   (uint64_t) config->max_files * 4);
	off += s->version_stride * KV_VERSION_SLOTS;
	s->ring_off = off;
	off += KV_ALIGN64(kv_ring_area(config->ring_bytes));
	s->cache_off = off;
	off += KV_ALIGN64(config->cache_bytes);
	s->mem_off = off;
	s->mem_stride = KV_ALIGN64(config->memtable_bytes);
	off += s->mem_stride * config->memtables;
	s->total = off;
}

size_t
kv_shared_bytes(const KvConfig *config)
{
	KvShared layout;

	lay_out(config, &layout);
	return layout.total;
}

void
kv_shared_init(void *shared, const KvConfig *config)
{
	KvShared *s = shared;
	KvShared layout;

	KV_ASSERT(((uintptr_t) shared & 63) == 0);
	lay_out(config, &layout);
	/* everything but memtables and cache frames starts as zeros */
	memset(shared, 0, layout.cache_off);
	s->readers_off = layout.readers_off;
	s->files_off = layout.files_off;
	s->versions_off = layout.versions_off;
	s->version_stride = layout.version_stride;
	s->ring_off = layout.ring_off;
	s->cache_off = layout.cache_off;
	s->mem_off = layout.mem_off;
	s->mem_stride = layout.mem_stride;
	s->total = layout.total;
	s->config = *config;
	s->under_log_lock.next_csn = 1;
	s->under_log_lock.next_generation = 1;
	atomic_init(&s->mode, KV_MODE_STARTING);
	kv_ring_init((char *) shared + s->ring_off, config->ring_bytes);
	kv_cache_init((char *) shared + s->cache_off, config->cache_bytes,
				  frame_bytes(config));
	s->magic = KV_SHARED_MAGIC;
}

KvStatus
kv_attach(KvEnv *env, void *shared, uint32_t reader_no, KvDb **out,
		  KvError *err)
{
	KvShared *s = shared;
	KvDb *db;

	if (s->magic != KV_SHARED_MAGIC || reader_no >= s->config.max_readers)
		return kv_fail(err, KV_INVALID, "region or reader number is invalid");
	db = env->ops->alloc(env, sizeof(KvDb));
	if (db == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory");
	memset(db, 0, sizeof(*db));
	db->env = env;
	db->shared = s;
	db->reader_no = reader_no;
	db->reader = kv_reader_at(db, reader_no);
	/* left by a process that had the number before and died in a scan */
	atomic_store_explicit(&db->reader->active, 0, memory_order_release);
	atomic_store_explicit(&db->reader->pinned, 0, memory_order_release);
	atomic_store_explicit(&db->reader->hold_lsn, 0, memory_order_release);
	kv_cache_attach(&db->cache, env, (char *) shared + s->cache_off);
	*out = db;
	return KV_OK;
}

void
kv_detach(KvDb *db)
{
	KvEnv *env = db->env;

	kv_compact_abandon(db);
	kv_scans_close_all(db);
	kv_table_close_all(db);
	kv_cache_count(&db->cache);
	if (db->wal != NULL)
		kv_wal_close(db->wal);
	if (db->manifest != NULL)
		kv_manifest_close(db->manifest);
	kv_manifest_state_free(env, &db->state);
	atomic_store_explicit(&db->reader->active, 0, memory_order_release);
	atomic_store_explicit(&db->reader->pinned, 0, memory_order_release);
	atomic_store_explicit(&db->reader->hold_lsn, 0, memory_order_release);
	env->ops->free(env, db);
}

KvMode
kv_mode(const KvDb *db)
{
	/* pairs with the release in kv_set_mode: what was set up before is seen */
	return (KvMode) atomic_load_explicit(&db->shared->mode,
										 memory_order_acquire);
}

void
kv_mode_reason(const KvDb *db, char *buf, size_t cap)
{
	KvEnv *env = db->env;

	env->ops->lock(env, KV_LOCK_VERSION, false);
	if (cap > 0)
	{
		size_t n = strlen(db->shared->mode_reason);

		n = n < cap - 1 ? n : cap - 1;
		memcpy(buf, db->shared->mode_reason, n);
		buf[n] = '\0';
	}
	env->ops->unlock(env, KV_LOCK_VERSION);
}

void
kv_set_mode(KvDb *db, KvMode mode, const char *reason)
{
	KvEnv *env = db->env;
	KvShared *s = db->shared;
	size_t n = reason ? strlen(reason) : 0;

	KV_ASSERT(mode == KV_MODE_NORMAL || mode == KV_MODE_STARTING || n > 0);
	if (n >= sizeof(s->mode_reason))
		n = sizeof(s->mode_reason) - 1;
	env->ops->lock(env, KV_LOCK_VERSION, true);
	if (n > 0)
		memcpy(s->mode_reason, reason, n);
	s->mode_reason[n] = '\0';
	atomic_store_explicit(&s->mode, mode, memory_order_release);
	env->ops->unlock(env, KV_LOCK_VERSION);
	env->ops->kick(env, KV_KICK_WAITERS);
}

/* Mixes the epoch and neighbouring xids over the cache. */
static inline uint32_t
xact_slot(uint64_t xid)
{
	return (uint32_t) ((xid * UINT64_C(0x9e3779b97f4a7c15)) >> 48) &
		   (KV_XACT_CACHE - 1);
}

void
kv_note_xact(KvDb *db, uint64_t xid, bool committed)
{
	uint64_t word = xid << 2 |
					(committed ? KV_XACT_COMMITTED : KV_XACT_ABORTED);

	KV_ASSERT(xid != 0 && xid < UINT64_C(1) << 62);
	/* one word says all: readers need no order with anything else */
	atomic_store_explicit(&db->shared->xact_cache[xact_slot(xid)], word,
						  memory_order_relaxed);
}

KvXactState
kv_listed_state(const KvDb *db, uint64_t xid)
{
	const KvShared *s = db->shared;
	/* pairs with the release in kv_doubt_add_locked */
	uint32_t n = atomic_load_explicit(&s->n_doubts, memory_order_acquire);
	uint32_t i;

	for (i = 0; i < n; i++)
		if (atomic_load_explicit(&s->doubts[i].xid, memory_order_acquire) == xid)
			return (KvXactState) atomic_load_explicit(&s->doubts[i].state,
													  memory_order_acquire);
	return KV_XACT_COMMITTED;
}

KvXactState
kv_known_state(KvDb *db, const KvEntry *entry, int source)
{
	const KvShared *s = db->shared;
	KvXactState state = (KvXactState) entry->state;
	uint64_t word;

	if (entry->xid == 0 || source == KV_FROM_FILE)
		return KV_XACT_COMMITTED;
	if (source == KV_FROM_DOUBTFUL_FILE)
		state = kv_listed_state(db, entry->xid);
	if (state != KV_XACT_IN_DOUBT)
		return state;
	word = atomic_load_explicit(&s->xact_cache[xact_slot(entry->xid)],
								memory_order_relaxed);
	if (word >> 2 == entry->xid)
		return (KvXactState) (word & 3);
	return KV_XACT_IN_DOUBT;
}

KvStatus
kv_new_file_no(KvDb *db, uint64_t *file_no, KvError *err)
{
	KvShared *s = db->shared;
	uint64_t n = atomic_fetch_add_explicit(&s->next_file_no, 2,
										   memory_order_relaxed);

	/*
	 * Odd numbers are recovery's, all others are even: in an older copy of
	 * the folder the host's log may bring runs whose numbers have not been
	 * reserved here, and recovery must not have given one of them to a file
	 * of its own before it gets there.
	 */
	n += n & 1;
	if (kv_mode(db) == KV_MODE_STARTING && !KV_BUG(recovery_takes_any_number))
		n++;
	/* pairs with the release in kv_raise_ceilings: the edit is durable */
	if (n >= atomic_load_explicit(&s->file_no_ceiling, memory_order_acquire))
	{
		/* the number is lost, which is harmless */
		db->env->ops->kick(db->env, KV_KICK_WORKER);
		return kv_fail(err, KV_STALLED, "file numbers are being reserved");
	}
	*file_no = n;
	return KV_OK;
}

KvStatus
kv_new_store_id(KvDb *db, uint32_t *id, KvError *err)
{
	KvShared *s = db->shared;
	uint64_t n = atomic_fetch_add_explicit(&s->next_store_id, 1,
										   memory_order_relaxed);

	if (n >= UINT32_MAX)
		return kv_fail(err, KV_TOO_LARGE, "store ids are used up");
	if (n >= atomic_load_explicit(&s->store_id_ceiling, memory_order_acquire))
	{
		db->env->ops->kick(db->env, KV_KICK_WORKER);
		return kv_fail(err, KV_STALLED, "store ids are being reserved");
	}
	*id = (uint32_t) n;
	return KV_OK;
}

void
kv_hold_lsn(KvDb *db, uint64_t lsn)
{
	/* pairs with the load in safe_lsn (worker.c) */
	atomic_store_explicit(&db->reader->hold_lsn, lsn, memory_order_seq_cst);
}

uint64_t
kv_snapshot_csn(KvDb *db)
{
	return atomic_load_explicit(&db->shared->published_csn,
								memory_order_acquire);
}

void
kv_value_free(KvEnv *env, KvValue *value)
{
	if (value->data != NULL)
		env->ops->free(env, value->data);
	memset(value, 0, sizeof(*value));
}
