/* SPDX-License-Identifier: PostgreSQL */
/*
 * xact.c - what a transaction does with its writes when it ends.
 *
 * PRE_COMMIT does everything that can fail or wait, and is cancellable: the
 * xid, the locks (in an order that cannot deadlock between blind writers),
 * then the batches, each a record in PostgreSQL's WAL and an insert into the
 * memtable; or, for a large write set, sorted files that are taken over by
 * one record.  From then on PostgreSQL's commit record decides: readers see
 * the versions by the xid.  COMMIT and ABORT only leave a hint about that
 * and free memory; nothing there may fail, because an error after the commit
 * record is a PANIC.
 *
 * Backends only.
 */
#include "kvlsm.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "scan.h"
#include "storage/lock.h"
#include "storage/proc.h"
#include "store_map.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timeout.h"
#include "utils/timestamp.h"
#include "write_set.h"

/* bytes of an ingested file in one record */
#define FILE_PIECE_BYTES (1024 * 1024)
/* keys of the map of stores that are locked one by one */
#define SYSTEM_KEY_LOCKS 64

/* What a commit under way holds; released by whichever end comes. */
static struct
{
	KvDb *db; /* NULL: nothing was logged */
	uint64 xid;
	KvIter *iter;
	KvIngest *ingest;
	bool holds_lsn;
	KvBatch batch; /* its memory is kept for the next commit */
} commit_state;

static KvIter *
open_iter(KvWriteSet *set, KvError *err)
{
	kv_error_clear(err);
	kvlsm_check(kv_write_set_iter(set, PG_UINT32_MAX, &commit_state.iter), err);
	commit_state.iter->err = err;
	commit_state.iter->ops->first(commit_state.iter);
	return commit_state.iter;
}

static void
close_iter(void)
{
	KvIter *iter = commit_state.iter;

	commit_state.iter = NULL;
	if (iter != NULL)
		iter->ops->close(iter);
}

static uint32
store_of(KvSlice key)
{
	uint32 id;

	memcpy(&id, key.data, sizeof(id));
	return pg_ntoh32(id);
}

/*
 * Locks what the transaction wrote in one store, from the iterator's place,
 * and moves it to the next store.  Up to budget keys are locked one by one,
 * more as the whole store: large commits follow one another, and the lock
 * table is never exhausted.  Some keys may be locked since they were written
 * (key_lock.c).
 */
static int
lock_one_store(KvIter *iter, int budget)
{
	uint32 store = store_of(iter->entry.key);
	uint32 next = pg_hton32(store + 1);
	char start_bytes[KV_MAX_KEY];
	KvSlice start = kv_slice(start_bytes, iter->entry.key.len);
	int keys = 0;

	memcpy(start_bytes, iter->entry.key.data, iter->entry.key.len);
	while (iter->valid && store_of(iter->entry.key) == store &&
		   keys <= Max(budget, kvlsm_most_key_locks()))
	{
		keys++;
		iter->ops->next(iter);
	}
	if (keys > budget && kvlsm_lock_store_of_keys(store, keys))
	{
		iter->ops->seek(iter, kv_slice(&next, sizeof(next)), PG_UINT64_MAX);
		return 0;
	}
	kvlsm_lock_store(store, RowExclusiveLock);
	iter->ops->seek(iter, start, PG_UINT64_MAX);
	while (iter->valid && store_of(iter->entry.key) == store)
	{
		kvlsm_lock_key(iter->entry.key);
		iter->ops->next(iter);
	}
	return keys;
}

static void
lock_writes(KvIter *iter)
{
	int budget = kvlsm_max_key_locks;

	while (iter->valid)
	{
		if (store_of(iter->entry.key) == KV_SYSTEM_STORE)
			lock_one_store(iter, SYSTEM_KEY_LOCKS);
		else
			budget -= lock_one_store(iter, budget);
	}
}

/*
 * Where the transaction has one snapshot for all: what it overwrites must be
 * what it could see.  Under the locks, so nobody can come in between.  The
 * map of stores is not data of the transaction.
 */
static void
check_conflicts(KvIter *iter)
{
	Snapshot snapshot = GetTransactionSnapshot();
	KvReadView view;
	KvValue value = {0};
	KvError err;
	uint64 n = 0;

	kvlsm_view_latest(&view);
	for (; iter->valid; iter->ops->next(iter))
	{
		KvStatus status;
		bool found;

		if (store_of(iter->entry.key) == KV_SYSTEM_STORE)
			continue;
		if (++n % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		kv_error_clear(&err);
		status = kv_get_newest(commit_state.db, &view, iter->entry.key, &value,
							   &found, &err);
		if (status == KV_OK && !kvlsm_xid_visible(value.xid, snapshot))
		{
			kv_value_free(kvlsm_env(), &value);
			ereport(ERROR,
					(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
					 errmsg("could not serialize access due to concurrent "
							"update"),
					 errhint("Run the transaction again.")));
		}
		if (status != KV_OK && status != KV_NOT_FOUND)
		{
			kv_value_free(kvlsm_env(), &value);
			kvlsm_ereport(status, &err);
		}
	}
	kv_value_free(kvlsm_env(), &value);
}

static uint64_t
log_batch(void *arg, uint64_t csn)
{
	const KvBatch *batch = arg;

	return kvlsm_log_batch(csn, batch->data, batch->len);
}

static uint64_t
log_ingest(void *arg, uint64_t csn)
{
	const KvSlice *payload = arg;

	return kvlsm_log_ingest(csn, payload->data, payload->len);
}

static void
write_batch(KvBatch *batch)
{
	KvWrite write = {batch, commit_state.xid, log_batch, batch};
	TimestampTz started = 0;
	KvStatus status;
	KvError err;
	uint64_t csn;

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		kv_error_clear(&err);
		status = kv_write(commit_state.db, &write, &csn, &err);
		if (status != KV_STALLED)
			break;
		kvlsm_wait_for_room(&started);
	}
	kvlsm_check(status, &err);
	kv_batch_reset(batch);
}

static bool
has_ranges(const KvWriteSet *set)
{
	uint32_t at = 0;
	KvEntry range;

	return kv_write_set_next_range(set, PG_UINT32_MAX, &at, &range);
}

/*
 * The range deletes go first: they hide what was there before the
 * transaction, and the writes that are left came after them.  Those that do
 * not fill a batch stay in it.
 */
static void
write_ranges(const KvWriteSet *set, size_t max_bytes, KvError *err)
{
	KvBatch *batch = &commit_state.batch;
	uint32_t at = 0;
	KvEntry range;

	kv_batch_reset(batch);
	while (kv_write_set_next_range(set, PG_UINT32_MAX, &at, &range))
	{
		size_t room = range.key.len + range.value.len + KVLSM_ENTRY_OVERHEAD;

		if (batch->count > 0 && batch->len + room > max_bytes)
			write_batch(batch);
		kvlsm_check(kv_batch_add(kvlsm_env(), batch, &range, err), err);
	}
}

/* All entries, in batches that fit. */
static void
write_batches(KvIter *iter, size_t max_bytes, KvError *err)
{
	KvBatch *batch = &commit_state.batch;
	size_t room = kvlsm_largest_write();

	if (batch->count > 0 && batch->len + room > max_bytes)
		write_batch(batch);
	while (iter->valid)
	{
		kvlsm_check(kv_batch_add(kvlsm_env(), batch, &iter->entry, err), err);
		iter->ops->next(iter);
		if (iter->valid && (batch->count == KV_SLICE_ENTRIES ||
							batch->len + room > max_bytes))
			write_batch(batch);
	}
	kvlsm_check(iter->status, err);
	if (batch->count > 0)
		write_batch(batch);
}

/* The bytes of the finished files, into PostgreSQL's WAL. */
static void
log_files(KvIngest *ingest, KvError *err)
{
	char *piece = palloc(FILE_PIECE_BYTES);
	uint64_t file_no;
	uint64_t size;
	uint32 i;

	kv_hold_lsn(commit_state.db, GetXLogInsertRecPtr());
	commit_state.holds_lsn = true;
	for (i = 0; kv_ingest_file(ingest, i, &file_no, &size) == KV_OK; i++)
	{
		uint64 off;

		for (off = 0; off < size;)
		{
			Size len = Min(size - off, FILE_PIECE_BYTES);

			CHECK_FOR_INTERRUPTS();
			kvlsm_check(kv_ingest_read(ingest, i, off, piece, len, err), err);
			kvlsm_log_file_piece(file_no, off, piece, len);
			off += len;
		}
	}
	pfree(piece);
}

/* All entries as sorted files. */
static void
ingest_writes(KvIter *iter, KvError *err)
{
	TimestampTz started = 0;
	KvStatus status;
	KvSlice payload;
	uint64_t csn;
	uint64 n = 0;

	while ((status = kv_ingest_open(commit_state.db, commit_state.xid,
									&commit_state.ingest, err)) == KV_STALLED)
	{
		commit_state.ingest = NULL;
		kvlsm_wait_for_room(&started);
	}
	if (status != KV_OK)
		commit_state.ingest = NULL;
	kvlsm_check(status, err);

	for (; iter->valid; iter->ops->next(iter))
	{
		if (++n % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		started = 0;
		while ((status = kv_ingest_add(commit_state.ingest, &iter->entry,
									   err)) == KV_STALLED)
			kvlsm_wait_for_room(&started);
		kvlsm_check(status, err);
	}
	kvlsm_check(iter->status, err);
	kvlsm_check(kv_ingest_finish(commit_state.ingest, err), err);
	kvlsm_stop("commit-files-done");
	log_files(commit_state.ingest, err);
	kvlsm_stop("commit-files-logged");

	payload = kv_ingest_payload(commit_state.ingest);
	started = 0;
	while ((status = kv_ingest_commit(commit_state.db, commit_state.ingest,
									  log_ingest, &payload, &csn, err)) ==
		   KV_STALLED)
		kvlsm_wait_for_room(&started);
	kvlsm_check(status, err);
	commit_state.ingest = NULL;
	kvlsm_stop("commit-files-in");
	kv_hold_lsn(commit_state.db, 0);
	commit_state.holds_lsn = false;
}

static void
commit_writes(void)
{
	KvWriteSet *set = kvlsm_write_set();
	KvDb *db;
	KvIter *iter;
	KvError err;
	size_t max_batch;

	kvlsm_close_write_set();
	if (set == NULL)
		return;
	iter = open_iter(set, &err);
	kvlsm_check(iter->status, &err);
	if (!iter->valid && !has_ranges(set))
	{
		close_iter();
		return;
	}

	db = kvlsm_db(true);
	commit_state.xid = U64FromFullTransactionId(GetTopFullTransactionId());
	lock_writes(iter);
	kvlsm_check(iter->status, &err);

	commit_state.db = db;
	if (IsolationUsesXactSnapshot() && !kvlsm_planted("ignore-conflicts"))
	{
		iter->ops->first(iter);
		check_conflicts(iter);
		kvlsm_check(iter->status, &err);
	}
	iter->ops->first(iter);
	max_batch = kv_max_batch_bytes(db);
	kvlsm_stop("commit-locked");
	write_ranges(set, max_batch, &err);
	if (kv_write_set_bytes(set) > kv_ingest_threshold(db) ||
		kvlsm_largest_write() > max_batch)
	{
		if (commit_state.batch.count > 0)
			write_batch(&commit_state.batch);
		if (iter->valid)
			ingest_writes(iter, &err);
	}
	else
		write_batches(iter, max_batch, &err);
	kvlsm_stop("commit-batch-in");
	close_iter();
	kvlsm_ssi_batch_is_in();
}

/*
 * The server switches statement_timeout off before it ends a transaction,
 * because ending one did not use to take long.  Here it may wait for locks
 * and for room.  After an error the server switches every timeout off.
 */
static void
commit_writes_in_time(void)
{
	long elapsed_ms;

	if (StatementTimeout <= 0 || kvlsm_write_set() == NULL ||
		get_timeout_active(STATEMENT_TIMEOUT))
	{
		commit_writes();
		return;
	}
	elapsed_ms =
		TimestampDifferenceMilliseconds(GetCurrentStatementStartTimestamp(),
										GetCurrentTimestamp());
	enable_timeout_after(STATEMENT_TIMEOUT,
						 Max(StatementTimeout - elapsed_ms, 1));
	commit_writes();
	CHECK_FOR_INTERRUPTS();
	disable_timeout(STATEMENT_TIMEOUT, false);
}

/* Nothing here may fail. */
static void
end_writes(bool committed)
{
	close_iter();
	if (commit_state.ingest != NULL)
	{
		kv_ingest_abort(commit_state.ingest);
		commit_state.ingest = NULL;
	}
	if (commit_state.holds_lsn)
	{
		kv_hold_lsn(commit_state.db, 0);
		commit_state.holds_lsn = false;
	}
	if (commit_state.db != NULL)
	{
		if (committed)
			kvlsm_stop("commit-known");
		else
			kvlsm_stop("abort-known");
		kv_note_xact(commit_state.db, commit_state.xid, committed);
		commit_state.db = NULL;
	}
	if (commit_state.batch.cap > FILE_PIECE_BYTES)
		kv_batch_free(kvlsm_env(), &commit_state.batch);
	kvlsm_close_all_scans();
	kvlsm_reset();
	kvlsm_free_write_set();
	kvlsm_stores_end_xact(committed);
	kvlsm_forget_key_locks();
	kvlsm_end_clock();
	kvlsm_ssi_end();
}

static bool
has_live_writes(void)
{
	KvWriteSet *set = kvlsm_write_set();
	KvIter *iter;
	KvError err;
	bool live;

	if (set == NULL)
		return false;
	iter = open_iter(set, &err);
	kvlsm_check(iter->status, &err);
	live = iter->valid || has_ranges(set);
	close_iter();
	return live;
}

static void
xact_event(XactEvent event, void *arg)
{
	switch (event)
	{
	case XACT_EVENT_PRE_COMMIT:
		commit_writes_in_time();
		break;
	case XACT_EVENT_PRE_PREPARE:
		if (has_live_writes())
			ereport(ERROR, (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
							errmsg("cannot PREPARE a transaction that has "
								   "written to a kvlsm store"),
							errhint("Commit it in one phase.")));
		break;
	case XACT_EVENT_COMMIT:
	case XACT_EVENT_PARALLEL_COMMIT:
	case XACT_EVENT_PREPARE:
		end_writes(true);
		break;
	case XACT_EVENT_ABORT:
	case XACT_EVENT_PARALLEL_ABORT:
		end_writes(false);
		break;
	case XACT_EVENT_PARALLEL_PRE_COMMIT:
		break;
	}
}

static void
subxact_event(SubXactEvent event, SubTransactionId my_subid,
			  SubTransactionId parent_subid, void *arg)
{
	if (event != SUBXACT_EVENT_ABORT_SUB)
		return;
	kvlsm_abort_sub_writes(my_subid);
	kvlsm_stores_end_sub();
	kvlsm_forget_key_locks();
}

void
kvlsm_xact_init(void)
{
	RegisterXactCallback(xact_event, NULL);
	RegisterSubXactCallback(subxact_event, NULL);
}
