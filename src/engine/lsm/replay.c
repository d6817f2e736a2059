/* SPDX-License-Identifier: PostgreSQL */
/*
 * replay.c - records of a log, our own or the host's, into memtables.
 *
 * Worker only, before the store is open.  Every transaction has ended by
 * now: what committed is inserted as visible to everyone, the rest is left
 * out.  Applying a record twice changes nothing.
 */
#include "engine/lsm/recover.h"

/* The oldest L0 file that is newer than csn; UINT64_MAX: none. */
static uint64_t
next_run(const KvDb *db, uint64_t csn)
{
	uint64_t next = UINT64_MAX;
	uint32_t i;

	for (i = 0; i < db->state.n_files; i++)
		if (db->state.files[i].level == 0 && db->state.files[i].max_csn > csn &&
			db->state.files[i].max_csn < next)
			next = db->state.files[i].max_csn;
	return next;
}

KvStatus
kv_replay_rotate(KvDb *db, uint64_t start_csn, KvError *err)
{
	KvEnv *env = db->env;
	KvShared *s = db->shared;
	uint32_t old = s->under_log_lock.active;
	uint32_t slot = (old + 1) % s->config.memtables;
	uint64_t generation = s->under_log_lock.next_generation++;
	KvMemSlot *m = &s->mem[slot];
	KvVersionChange change = {0};
	/* the first memtable of this recovery replaces none */
	bool first = generation == 1;
	KvStatus st;

	KV_ASSERT(kv_mode(db) == KV_MODE_STARTING);
	if (first)
		slot = old;
	m = &s->mem[slot];
	kv_mem_init(kv_mem_at(db, slot), s->config.memtable_bytes, generation);
	kv_mem_init_filter(kv_mem_at(db, slot));
	atomic_store_explicit(&m->generation, generation, memory_order_relaxed);
	atomic_store_explicit(&m->start_csn, start_csn, memory_order_relaxed);
	atomic_store_explicit(&m->max_csn, start_csn, memory_order_relaxed);
	atomic_store_explicit(&m->max_lsn, db->replayed_lsn, memory_order_relaxed);
	atomic_store_explicit(&m->state, KV_MEM_ACTIVE, memory_order_relaxed);
	m->settled_batch = 0;
	change.new_mem = true;
	change.mem = (KvVersionMem){slot, generation, start_csn};
	env->ops->lock(env, KV_LOCK_VERSION, true);
	st = kv_version_install_locked(db, &change);
	env->ops->unlock(env, KV_LOCK_VERSION);
	if (st != KV_OK)
		return kv_fail(err, st, "a version could not be installed");
	s->under_log_lock.active = slot;
	db->next_run_csn = next_run(db, start_csn);
	return first ? KV_OK : kv_flush_mem(db, old, NULL, err);
}

/* How a transaction ended, which is known for all of them by now. */
static KvStatus
outcome(KvDb *db, uint64_t xid, bool *committed, KvError *err)
{
	KvXactState state = KV_XACT_COMMITTED;

	if (xid != 0)
		state = db->env->ops->xact_state(db->env, xid);
	if (state == KV_XACT_UNKNOWN)
		return kv_corrupt(err, 0, 0,
						  "the commit log no longer knows transaction %llu",
						  (unsigned long long) xid);
	*committed = state == KV_XACT_COMMITTED || KV_BUG(recovery_keeps_undecided);
	return KV_OK;
}

static void
note_replayed(KvDb *db, uint64_t lsn, uint64_t csn)
{
	KvShared *s = db->shared;
	KvMemSlot *m = &s->mem[s->under_log_lock.active];

	if (lsn > db->replayed_lsn)
		db->replayed_lsn = lsn;
	if (csn > db->replayed_csn)
		db->replayed_csn = csn;
	atomic_store_explicit(&m->max_csn, db->replayed_csn, memory_order_relaxed);
	atomic_store_explicit(&m->max_lsn, db->replayed_lsn, memory_order_relaxed);
}

KvStatus
kv_replay_record(KvDb *db, const KvLogRecord *rec, KvError *err)
{
	KvShared *s = db->shared;
	KvSlice rest = rec->payload;
	KvMem *mem;
	KvEntry e;
	uint32_t count, b;
	size_t need;
	bool committed;
	KvStatus st;

	if (rec->type == KV_LOG_INGEST)
		return kv_replay_run(db, rec, err);
	if (rec->type != KV_LOG_BATCH)
	{
		note_replayed(db, rec->lsn, 0);
		return KV_OK;
	}
	st = outcome(db, rec->xid, &committed, err);
	if (st != KV_OK)
		return st;
	if (!committed)
	{
		note_replayed(db, rec->lsn, rec->csn);
		return KV_OK;
	}
	st = kv_batch_start(&rest, &count, err);
	if (st != KV_OK)
		return st;
	need = kv_mem_bound(count, rec->payload.len);
	/* a memtable is older or newer than a run as a whole */
	while (rec->csn > db->next_run_csn && !KV_BUG(replay_passes_runs))
	{
		st = kv_replay_rotate(db, db->next_run_csn, err);
		if (st != KV_OK)
			return st;
	}
	if (kv_mem_free(kv_mem_at(db, s->under_log_lock.active)) < need)
	{
		st = kv_replay_rotate(db, db->replayed_csn, err);
		if (st != KV_OK)
			return st;
	}
	mem = kv_mem_at(db, s->under_log_lock.active);
	if (kv_mem_free(mem) < need)
		return kv_fail(err, KV_TOO_LARGE,
					   "a batch of %zu bytes does not fit into a memtable: "
					   "start with a larger one",
					   rec->payload.len);
	st = kv_mem_begin_batch(mem, rec->csn, 0, rec->lsn, KV_XACT_COMMITTED, &b);
	while (st == KV_OK && rest.len > 0)
	{
		st = kv_batch_next(&rest, &e, err);
		if (st == KV_OK)
			st = kv_mem_add(mem, b, &e);
	}
	note_replayed(db, rec->lsn, rec->csn);
	return st;
}

static bool
file_is_known(const KvDb *db, uint64_t file_no)
{
	uint32_t i;

	for (i = 0; i < db->state.n_files; i++)
		if (db->state.files[i].file_no == file_no)
			return true;
	return false;
}

static void
remove_run_file(KvDb *db, uint64_t file_no)
{
	char name[KV_NAME_MAX];
	KvError ignored;

	kv_file_name(name, KV_NAME_SST, file_no);
	(void) db->env->ops->unlink(db->env, name, &ignored);
	kv_file_name(name, KV_NAME_TEMP, file_no);
	(void) db->env->ops->unlink(db->env, name, &ignored);
}

/* A file that was rebuilt from the host's log gets its final name. */
static KvStatus
complete_run_file(KvDb *db, const KvFileMeta *meta, KvError *err)
{
	KvEnv *env = db->env;
	char name[KV_NAME_MAX], temp[KV_NAME_MAX];
	KvFile *file;
	uint64_t size = 0, digest = 0;
	KvError ignored;
	bool there;
	KvStatus st;

	kv_file_name(name, KV_NAME_SST, meta->file_no);
	st = kv_file_has_size(db, name, meta->size, &there, err);
	if (st != KV_OK || there)
		return st;
	kv_file_name(temp, KV_NAME_TEMP, meta->file_no);
	st = env->ops->open(env, temp, KV_OPEN_WRITE, &file, err);
	if (st == KV_NOT_FOUND)
		return kv_corrupt(err, meta->file_no, 0,
						  "ingested file %s is missing and the log does not "
						  "hold all of it",
						  name);
	if (st != KV_OK)
		return st;
	/* pieces from before the place where replay began leave a hole */
	st = kv_file_digest(db, file, &size, &digest, err);
	if (st == KV_OK && (size != meta->size || digest != meta->digest))
		st = kv_corrupt(err, meta->file_no, size,
						"ingested file %s is incomplete in the log", name);
	if (st == KV_OK)
		st = env->ops->sync(env, file, err);
	env->ops->close(env, file);
	if (st == KV_OK)
	{
		/* an incomplete copy may stand under the final name */
		(void) env->ops->unlink(env, name, &ignored);
		st = env->ops->link(env, temp, name, err);
	}
	if (st == KV_OK)
		st = env->ops->unlink(env, temp, err);
	return st == KV_OK ? env->ops->sync_dir(env, err) : st;
}

static KvStatus
add_run_file(KvDb *db, KvFileMeta *meta, const KvLogRecord *rec, KvError *err)
{
	KvVersionChange change = {0};
	KvEdit edit = {0};
	uint32_t slot;
	KvSst *sst;
	KvStatus st = complete_run_file(db, meta, err);

	if (st == KV_OK)
		st = kv_file_slot_reserve(db, &slot, err);
	if (st != KV_OK)
		return st;
	KV_ASSERT(rec->csn != 0); /* 0 says that it is no run */
	meta->level = 0;
	meta->run_csn = meta->min_csn = meta->max_csn = rec->csn;
	meta->run_xid = meta->min_xid = meta->max_xid = 0;
	meta->has_doubt = false;
	kv_file_at(db, slot)->meta = *meta;
	edit.adds = meta;
	edit.n_adds = 1;
	change.adds = &slot;
	change.n_adds = 1;
	st = kv_table_open(db, slot, &sst, err);
	if (st == KV_OK)
		st = kv_commit_change(db, &edit, &change, err);
	if (st != KV_OK)
		kv_file_slot_release(db, slot);
	return st;
}

KvStatus
kv_replay_run(KvDb *db, const KvLogRecord *rec, KvError *err)
{
	KvSlice in = rec->payload;
	KvFileMeta meta;
	uint64_t n, i;
	bool committed;
	KvStatus st = outcome(db, rec->xid, &committed, err);

	if (st != KV_OK)
		return st;
	if (!kv_get_varint(&in, &n) || n == 0)
		return kv_corrupt(err, 0, 0,
						  "reference to an ingested run is "
						  "malformed");
	if (rec->csn <= db->state.runs_csn && !KV_BUG(replay_repeats_runs))
	{
		note_replayed(db, rec->lsn, rec->csn);
		return KV_OK;
	}
	/* what came before the run must not end up above it */
	if (committed)
		st = kv_replay_rotate(db, rec->csn, err);
	for (i = 0; st == KV_OK && i < n; i++)
	{
		st = kv_meta_decode(&in, &meta, err);
		if (st != KV_OK)
			break;
		if (meta.range_deletes > 0)
			return kv_corrupt(err, meta.file_no, 0,
							  "a reference to an ingested run names range "
							  "deletes");
		kv_number_seen(db, meta.file_no);
		if (!committed)
		{
			if (!file_is_known(db, meta.file_no))
				remove_run_file(db, meta.file_no);
		}
		else if (!file_is_known(db, meta.file_no))
			st = add_run_file(db, &meta, rec, err);
	}
	if (st == KV_OK)
		note_replayed(db, rec->lsn, rec->csn);
	return st;
}

/* A record of the host's log, unless our own log had it already. */
static KvStatus
replay_host_record(KvDb *db, const KvLogRecord *rec, KvError *err)
{
	if (rec->lsn <= db->replayed_lsn)
		return KV_OK;
	return kv_replay_record(db, rec, err);
}

KvStatus
kv_replay_batch(KvDb *db, uint64_t lsn, uint64_t xid, uint64_t csn,
				KvSlice payload, KvError *err)
{
	KvLogRecord rec = {KV_LOG_BATCH, csn, xid, lsn, payload};

	return replay_host_record(db, &rec, err);
}

KvStatus
kv_replay_ingest(KvDb *db, uint64_t lsn, uint64_t xid, uint64_t csn,
				 KvSlice payload, KvError *err)
{
	KvLogRecord rec = {KV_LOG_INGEST, csn, xid, lsn, payload};

	return replay_host_record(db, &rec, err);
}

KvStatus
kv_replay_file(KvDb *db, uint64_t file_no, uint64_t offset, KvSlice bytes,
			   KvError *err)
{
	KvEnv *env = db->env;
	char name[KV_NAME_MAX];
	KvFile *file;
	KvStatus st;

	kv_number_seen(db, file_no);
	/* in an older copy of the folder it may lie beyond what is reserved */
	st = kv_raise_ceilings(db, err);
	if (st != KV_OK)
		return st;
	kv_file_name(name, KV_NAME_SST, file_no);
	st = env->ops->open(env, name, KV_OPEN_READ, &file, err);
	if (st == KV_OK)
	{
		env->ops->close(env, file); /* on this machine it is complete */
		return KV_OK;
	}
	if (st != KV_NOT_FOUND || file_is_known(db, file_no))
		return st == KV_NOT_FOUND ? KV_OK : st;
	kv_file_name(name, KV_NAME_TEMP, file_no);
	st = env->ops->open(env, name, KV_OPEN_WRITE, &file, err);
	if (st == KV_NOT_FOUND)
		st = env->ops->open(env, name, KV_OPEN_WRITE | KV_OPEN_CREATE, &file,
							err);
	if (st != KV_OK)
		return st;
	st = env->ops->pwrite(env, file, bytes.data, bytes.len, offset, err);
	env->ops->close(env, file);
	return st;
}
