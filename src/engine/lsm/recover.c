/* SPDX-License-Identifier: PostgreSQL */
/*
 * recover.c - reading the folder after whatever happened to it.
 *
 * Worker only; begin_use.c follows.  Nothing in the folder is changed before
 * all headers say that it is ours, known and complete, and nothing is removed
 * here.  A recovered WAL segment or MANIFEST is never appended to.
 */
#include "engine/lsm/recover.h"

typedef struct Segment
{
	uint64_t no;
	KvWalStart start;
	bool before; /* written before the one that min_wal names */
} Segment;

typedef struct Recover
{
	KvDb *db;
	KvRecovery *out;
	Segment *segments; /* by number */
	uint32_t n, cap;
	uint64_t max_no;  /* largest number on disk */
	bool other_files; /* engine files although there is no CURRENT */
	bool no_memory;
} Recover;

void
kv_number_seen(KvDb *db, uint64_t file_no)
{
	KvShared *s = db->shared;

	if (atomic_load_explicit(&s->next_file_no, memory_order_relaxed) <= file_no)
		atomic_store_explicit(&s->next_file_no, file_no + 1,
							  memory_order_relaxed);
}

/* A file that cannot be opened just now is not one that is missing. */
KvStatus
kv_file_has_size(KvDb *db, const char *name, uint64_t size, bool *has,
				 KvError *err)
{
	KvEnv *env = db->env;
	uint64_t have = 0;
	KvFile *file;
	KvStatus st = env->ops->open(env, name, KV_OPEN_READ, &file, err);

	*has = false;
	if (st == KV_NOT_FOUND)
	{
		kv_error_clear(err);
		return KV_OK;
	}
	if (st != KV_OK)
		return st;
	st = env->ops->size(env, file, &have, err);
	env->ops->close(env, file);
	*has = st == KV_OK && have == size;
	return st;
}

static KvStatus
table_exists(void *arg, uint64_t file_no, uint64_t size, bool *exists,
			 KvError *err)
{
	char name[KV_NAME_MAX];

	kv_file_name(name, KV_NAME_SST, file_no);
	return kv_file_has_size(arg, name, size, exists, err);
}

static bool
look_at_name(void *arg, const char *name)
{
	Recover *r = arg;
	KvEnv *env = r->db->env;
	uint64_t no;
	KvNameKind kind = kv_file_name_parse(name, &no);
	uint32_t i;

	if (kind != KV_NAME_WAL && kind != KV_NAME_SST &&
		kind != KV_NAME_MANIFEST && kind != KV_NAME_TEMP)
		return true;
	/* a MANIFEST without CURRENT: the very first start was cut short */
	r->other_files |= kind == KV_NAME_WAL || kind == KV_NAME_SST;
	if (no > r->max_no)
		r->max_no = no;
	if (kind != KV_NAME_WAL)
		return true;
	if (r->n == r->cap)
	{
		uint32_t cap = r->cap ? r->cap * 2 : 16;
		size_t size = cap * sizeof(Segment);
		void *p = r->segments ? env->ops->realloc(env, r->segments, size)
							  : env->ops->alloc(env, size);

		if (p == NULL)
		{
			r->no_memory = true;
			return false;
		}
		r->segments = p;
		r->cap = cap;
	}
	for (i = r->n++; i > 0 && r->segments[i - 1].no > no; i--)
		r->segments[i] = r->segments[i - 1];
	memset(&r->segments[i], 0, sizeof(Segment));
	r->segments[i].no = no;
	return true;
}

/* Is what the MANIFEST says part of this server's history? */
static KvStatus
check_history(KvDb *db, KvError *err)
{
	const KvHost *host = &db->host;
	const KvManifestState *m = &db->state;

	if (host->end_lsn != 0 && m->flushed_lsn > host->end_lsn)
		return kv_fail(err, KV_FOREIGN,
					   "the folder is ahead of the server's log: flushed up "
					   "to %X/%X, log ends at %X/%X",
					   (unsigned) (m->flushed_lsn >> 32),
					   (unsigned) m->flushed_lsn,
					   (unsigned) (host->end_lsn >> 32),
					   (unsigned) host->end_lsn);
	if (host->in_history != NULL && m->timeline != 0 &&
		!host->in_history(host->arg, m->timeline, m->flushed_lsn))
		return kv_fail(err, KV_FOREIGN,
					   "the folder was written on timeline %u, which is not "
					   "in this server's history",
					   m->timeline);
	return KV_OK;
}

static KvStatus
load_state(Recover *r, KvError *err)
{
	KvDb *db = r->db;
	KvEnv *env = db->env;
	KvStatus st = env->ops->list(env, look_at_name, r, err);

	if (st == KV_OK && r->no_memory)
		st = kv_fail(err, KV_NO_MEMORY, "out of memory");
	if (st != KV_OK)
		return st;
	st = kv_manifest_load(env, &db->identity, table_exists, db, &db->state,
						  &r->out->stepped_back, err);
	if (st == KV_NOT_FOUND)
	{
		if (r->other_files)
			return kv_corrupt(err, 0, 0,
							  "CURRENT is missing although there are files");
		kv_error_clear(err);
		memset(&db->state, 0, sizeof(db->state));
		r->out->created = true;
		return KV_OK;
	}
	return st == KV_OK ? check_history(db, err) : st;
}

/*
 * A segment that starts an incarnation and that the MANIFEST does not name:
 * that recovery was cut short before the edit, and nothing was written to
 * it.  If something was, the edit had been synced and is gone: it stood at
 * the end of the MANIFEST, where damage looks like a torn write.
 */
static KvStatus
check_unnamed(KvDb *db, KvWalReader *reader, uint64_t no, KvError *err)
{
	KvLogRecord rec;
	KvStatus st = kv_wal_next(reader, 0, &rec, err);

	if (st == KV_NOT_FOUND)
		return KV_OK;
	if (st != KV_OK || db->shared->config.host_log)
		return st;
	return kv_corrupt(err, db->state.manifest_no, 0,
					  "WAL segment %llu has been used, MANIFEST-%llu does "
					  "not name it",
					  (unsigned long long) no,
					  (unsigned long long) db->state.manifest_no);
}

/* Headers first: a newer format or a foreign file is refused untouched. */
static KvStatus
check_segments(Recover *r, KvError *err)
{
	KvDb *db = r->db;
	uint32_t i, kept = 0;

	for (i = 0; i < r->n; i++)
	{
		Segment *seg = &r->segments[i];
		KvWalReader *reader;
		bool unnamed = false;
		KvStatus st;

		if (seg->no < db->state.min_wal)
			continue;
		st = kv_wal_open(db->env, &db->identity, seg->no, &reader, &seg->start,
						 err);
		if (st == KV_OK)
		{
			unnamed = seg->start.prev_segment_no == 0 &&
					  seg->no != db->state.min_wal;
			if (unnamed && !KV_BUG(unnamed_segment_ignored))
				st = check_unnamed(db, reader, seg->no, err);
			kv_wal_reader_close(reader);
		}
		if (st == KV_CORRUPT && db->shared->config.host_log)
		{
			/* as if it were not there: the host's log has what it held */
			db->env->ops->log(db->env, KV_LOG_WARNING, err->message);
			kv_error_clear(err);
			continue;
		}
		if (st != KV_OK)
			return st;
		if (!unnamed)
			r->segments[kept++] = *seg;
	}
	r->n = kept;
	return KV_OK;
}

/* What follows segment `want`, of those from n on; r->n: nothing. */
static uint32_t
successor(const Recover *r, uint32_t n, uint64_t want)
{
	uint32_t i, found = r->n;

	for (i = n; i < r->n; i++)
		if ((n == 0 ? r->segments[i].no
					: r->segments[i].start.prev_segment_no) == want &&
			(found == r->n || r->segments[i].no > r->segments[found].no))
			found = i;
	return found;
}

/*
 * Brings the segments into the order in which they were written: the one that
 * min_wal names first, then each the successor of the one before.  Numbers
 * do not tell: a segment that replaced a failed one has a later number than
 * the one that a rotation had reserved before.  Of two with the same
 * predecessor the one with the smaller number is what a failed attempt to
 * create a segment has left.  What else is left over was written before the
 * one that min_wal names, or its predecessor is missing.
 */
static void
chain_segments(Recover *r, bool *gap)
{
	uint64_t min_wal = r->db->state.min_wal, want = min_wal;
	uint32_t i, j, n = 0;

	while ((i = successor(r, n, want)) < r->n)
	{
		Segment found = r->segments[i];

		r->segments[i] = r->segments[n];
		r->segments[n++] = found;
		want = found.no;
	}
	*gap = n == 0 && min_wal != 0;
	want = n > 0 ? r->segments[0].start.prev_segment_no : 0;
	for (i = n; want != 0 && i < r->n; i++)
		if (r->segments[i].no == want && !r->segments[i].before)
		{
			r->segments[i].before = true;
			want = r->segments[i].start.prev_segment_no;
			i = n - 1;
		}
	for (i = n; i < r->n; i++)
	{
		uint64_t prev = r->segments[i].start.prev_segment_no;

		/* if its predecessor is left over too, that one is asked instead */
		for (j = 0; j < r->n; j++)
			if (r->segments[j].no == prev)
				break;
		*gap |= !r->segments[i].before && prev >= min_wal && j == r->n;
	}
	r->n = n;
}

static KvStatus
replay_segment(Recover *r, uint32_t i, bool *stop, KvError *err)
{
	KvDb *db = r->db;
	const KvHost *host = &db->host;
	uint64_t limit = i + 1 < r->n ? r->segments[i + 1].start.prev_length : 0;
	KvWalReader *reader;
	KvLogRecord rec;
	KvWalStart start;
	KvStatus st = kv_wal_open(db->env, &db->identity, r->segments[i].no,
							  &reader, &start, err);

	if (st != KV_OK)
		return st;
	while ((st = kv_wal_next(reader, limit, &rec, err)) == KV_OK)
	{
		if ((host->end_lsn != 0 && rec.lsn > host->end_lsn) ||
			(host->in_history != NULL &&
			 !host->in_history(host->arg, kv_wal_timeline(reader), rec.lsn)))
		{
			*stop = true;
			break;
		}
		r->out->wal_records++;
		if (rec.csn <= db->state.flushed_csn && rec.type != KV_LOG_SETTLE)
			continue;
		st = kv_replay_record(db, &rec, err);
		if (st != KV_OK)
			break;
	}
	kv_wal_reader_close(reader);
	return st == KV_NOT_FOUND ? KV_OK : st;
}

/*
 * Without a host's log every gap is a loss.  With one, ours is read as far
 * as it is whole, and the host's log has the rest.
 */
static KvStatus
replay_segments(Recover *r, KvError *err)
{
	KvDb *db = r->db;
	bool host_log = db->shared->config.host_log, stop = false, gap;
	uint32_t i;
	KvStatus st = KV_OK;

	chain_segments(r, &gap);
	if (gap && !host_log)
		return kv_corrupt(err, db->state.min_wal, 0,
						  "a WAL segment from %llu on is missing",
						  (unsigned long long) db->state.min_wal);
	for (i = 0; i < r->n && !stop; i++)
	{
		st = replay_segment(r, i, &stop, err);
		r->out->wal_segments++;
		if (st == KV_CORRUPT && host_log)
		{
			db->env->ops->log(db->env, KV_LOG_WARNING, err->message);
			kv_error_clear(err);
			st = KV_OK;
			break;
		}
		if (st != KV_OK)
			break;
	}
	return st;
}

/* Every transaction that files were not sure of has ended by now. */
static KvStatus
resolve_doubts(KvDb *db, KvError *err)
{
	KvEnv *env = db->env;
	uint32_t i;
	KvStatus st = KV_OK;

	for (i = 0; st == KV_OK && i < db->state.n_doubts; i++)
	{
		KvDoubt d = db->state.doubts[i];
		KvEdit edit = {0};

		if (d.state == KV_XACT_IN_DOUBT)
		{
			d.state = (uint8_t) env->ops->xact_state(env, d.xid);
			if (d.state == KV_XACT_UNKNOWN)
				return kv_corrupt(err, d.file_no, 0,
								  "the commit log no longer knows "
								  "transaction %llu",
								  (unsigned long long) d.xid);
			if (d.state == KV_XACT_IN_DOUBT)
				d.state = KV_XACT_ABORTED;
			edit.settles = &d;
			edit.n_settles = 1;
			st = kv_manifest_apply(env, &db->state, &edit, err);
		}
	}
	/* runs of transactions that were rolled back */
	for (i = 0; st == KV_OK && i < db->state.n_doubts; i++)
	{
		uint64_t file_no = db->state.doubts[i].file_no;
		KvEdit edit = {0};
		uint32_t j;

		if (db->state.doubts[i].state != KV_XACT_ABORTED)
			continue;
		for (j = 0; j < db->state.n_files; j++)
			if (db->state.files[j].file_no == file_no)
				break;
		if (j == db->state.n_files || db->state.files[j].run_xid == 0 ||
			db->state.files[j].run_xid != db->state.doubts[i].xid)
			continue;
		edit.removes = &file_no;
		edit.n_removes = 1;
		st = kv_manifest_apply(env, &db->state, &edit, err);
		i = UINT32_MAX; /* the removal took doubts away: from the start */
	}
	return st;
}

static KvStatus
publish_files(KvDb *db, KvError *err)
{
	KvEnv *env = db->env;
	KvShared *s = db->shared;
	KvVersionChange change = {0};
	uint32_t *slots, i;
	KvStatus st = KV_OK;

	KV_ASSERT(atomic_load_explicit(&s->current_version,
								   memory_order_relaxed) == 0);
	if (db->state.n_files > s->config.max_files)
		return kv_fail(err, KV_FULL,
					   "the store has %u files, more than the limit of %u",
					   db->state.n_files, s->config.max_files);
	slots = env->ops->alloc(env, (db->state.n_files + 1) * sizeof(*slots));
	if (slots == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory");
	env->ops->lock(env, KV_LOCK_VERSION, true);
	for (i = 0; i < db->state.n_files; i++)
	{
		kv_file_at(db, i)->meta = db->state.files[i];
		kv_file_at(db, i)->in_manifest = true;
		slots[i] = i;
	}
	/* not on the list means committed */
	for (i = 0; st == KV_OK && i < db->state.n_doubts; i++)
		if (db->state.doubts[i].state != KV_XACT_COMMITTED)
			st = kv_doubt_add_locked(db, db->state.doubts[i].xid,
									 (KvXactState) db->state.doubts[i].state);
	change.adds = slots;
	change.n_adds = db->state.n_files;
	if (st == KV_OK)
		st = kv_version_install_locked(db, &change);
	env->ops->unlock(env, KV_LOCK_VERSION);
	env->ops->free(env, slots);
	if (st != KV_OK)
		return kv_fail(err, st, "too many transactions in doubt");
	return KV_OK;
}

/* Numbers, identity and a MANIFEST of our own; from here on we write. */
static KvStatus
start_incarnation(Recover *r, KvError *err)
{
	KvDb *db = r->db;
	KvShared *s = db->shared;
	uint64_t next = db->state.file_no_ceiling;

	if (next <= r->max_no)
		next = r->max_no + 1;
	if (KV_BUG(file_number_reused))
		next = r->max_no > 2 ? r->max_no - 2 : 1;
	if (next == 0)
		next = 1;
	atomic_store_explicit(&s->next_file_no, next, memory_order_relaxed);
	db->state.file_no_ceiling = next + KV_NUMBER_BLOCK;
	atomic_store_explicit(&s->file_no_ceiling, db->state.file_no_ceiling,
						  memory_order_release);
	next = db->state.store_id_ceiling ? db->state.store_id_ceiling : 1;
	atomic_store_explicit(&s->next_store_id, next, memory_order_relaxed);
	db->state.store_id_ceiling = next + KV_NUMBER_BLOCK;
	atomic_store_explicit(&s->store_id_ceiling, db->state.store_id_ceiling,
						  memory_order_release);
	db->state.incarnation++;
	db->state.timeline = db->host.identity.timeline;
	db->identity.incarnation = db->state.incarnation;
	atomic_store_explicit(&s->system_id, db->identity.system_id,
						  memory_order_relaxed);
	atomic_store_explicit(&s->timeline, db->identity.timeline,
						  memory_order_relaxed);
	atomic_store_explicit(&s->incarnation, db->identity.incarnation,
						  memory_order_relaxed);
	return kv_roll_manifest(db, err);
}

KvStatus
kv_recover(KvDb *db, const KvHost *host, KvRecovery *out, KvError *err)
{
	Recover r = {0};
	KvStatus st;

	KV_ASSERT(kv_mode(db) == KV_MODE_STARTING);
	memset(out, 0, sizeof(*out));
	r.db = db;
	r.out = out;
	db->host = *host;
	db->identity = host->identity;
	st = load_state(&r, err);
	if (st == KV_OK)
		st = check_segments(&r, err);
	if (st == KV_OK)
		st = resolve_doubts(db, err);
	if (st == KV_OK)
		st = start_incarnation(&r, err);
	db->replayed_csn = db->state.flushed_csn;
	db->replayed_lsn = db->state.flushed_lsn;
	if (st == KV_OK)
		st = publish_files(db, err);
	if (st == KV_OK)
		st = kv_replay_rotate(db, db->replayed_csn, err);
	if (st == KV_OK)
		st = replay_segments(&r, err);
	if (r.segments != NULL)
		db->env->ops->free(db->env, r.segments);
	out->files = db->state.n_files;
	out->lsn = db->replayed_lsn;
	return st;
}
