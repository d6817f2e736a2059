/* SPDX-License-Identifier: PostgreSQL */
/*
 * visibility.c - is a version visible, and what became of its transaction?
 *
 * The one place where xids are judged (design 6).  A version counts as soon
 * as PostgreSQL's snapshot says that its transaction had ended, and the
 * commit log says how.  Full xids are compared, never 32-bit ones; a commit
 * log that may have been truncated is not asked: KV_XACT_UNKNOWN, no guess.
 *
 * Called from inside the engine, in every process: nothing here raises, but
 * for kvlsm_view_of_snapshot, which is called before.
 */
#include "kvlsm.h"

#include "access/xact.h"
#include "compat.h"
#include "miscadmin.h"
#include "storage/procarray.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

/* The full xid within 2^31 of a full xid near it. */
static uint64
full_near(TransactionId xid, uint64 near)
{
	return near + (int64) (int32) (xid - (uint32) near);
}

static uint64
next_xid(void)
{
	return U64FromFullTransactionId(ReadNextFullTransactionId());
}

/* The snapshot's xmin as a full xid, converted once per snapshot. */
static uint64
full_xmin(Snapshot snapshot)
{
	static LocalTransactionId known_lxid = InvalidLocalTransactionId;
	static TransactionId known_xmin = InvalidTransactionId;
	static uint64 known_full = 0;

	if (snapshot->xmin != known_xmin || kvlsm_my_lxid() != known_lxid)
	{
		known_full = full_near(snapshot->xmin, next_xid());
		known_xmin = snapshot->xmin;
		known_lxid = kvlsm_my_lxid();
	}
	return known_full;
}

static uint64
own_xid(void)
{
	return U64FromFullTransactionId(GetTopFullTransactionIdIfAny());
}

/*
 * TransactionIdDidCommit under XactTruncationLock.  It raises when pg_xact
 * cannot be read; an error must not unwind the engine, so it is caught, and
 * the locks that were held at that point are given back here.
 */
static KvXactState
ask_commit_log(TransactionId xid)
{
	volatile KvXactState state = KV_XACT_UNKNOWN;
	MemoryContext context = CurrentMemoryContext;
	uint32 holdoff = InterruptHoldoffCount;
	LWLock *clog_lock = kvlsm_clog_lock();

	PG_TRY();
	{
		state = TransactionIdDidCommit(xid) ? KV_XACT_COMMITTED
											: KV_XACT_ABORTED;
	}
	PG_CATCH();
	{
		ErrorData *error;

		MemoryContextSwitchTo(context);
		error = CopyErrorData();
		FlushErrorState();
		InterruptHoldoffCount = holdoff; /* errors reset it */
		if (clog_lock != NULL && LWLockHeldByMe(clog_lock))
		{
			InterruptHoldoffCount++;
			LWLockRelease(clog_lock);
		}
		ereport(LOG, (errmsg("kvlsm: the commit log could not be read: %s",
							 error->message)));
		FreeErrorData(error);
	}
	PG_END_TRY();
	return state;
}

/* How a transaction that is not running any more has ended. */
static KvXactState
ended_state(uint64 xid)
{
	KvXactState state = KV_XACT_UNKNOWN;
	uint64 next = next_xid();

	if (xid >= next)
		return KV_XACT_UNKNOWN;
	LWLockAcquire(XactTruncationLock, LW_SHARED);
	if (xid >= full_near(kvlsm_oldest_clog_xid(), next))
		state = ask_commit_log((TransactionId) xid);
	LWLockRelease(XactTruncationLock);
	return state;
}

KvXactState
kvlsm_xact_state(uint64 full_xid)
{
	/* in this order, as heapam does: it may end between the two looks */
	if (full_xid < next_xid() &&
		TransactionIdIsInProgress((TransactionId) full_xid))
		return KV_XACT_IN_DOUBT;
	return ended_state(full_xid);
}

/* The answer for a version whose transaction has ended. */
static KvStatus
visible_if_committed(uint64 xid, KvXactState state, bool *visible)
{
	if (state == KV_XACT_IN_DOUBT)
	{
		KvDb *db;

		state = ended_state(xid);
		db = state == KV_XACT_UNKNOWN ? NULL : kvlsm_db_if_ready();
		if (db != NULL)
			kv_note_xact(db, xid, state == KV_XACT_COMMITTED);
	}
	*visible = state == KV_XACT_COMMITTED;
	if (state == KV_XACT_UNKNOWN)
		return kv_corrupt(NULL, 0, 0,
						  "the commit log does not know transaction %llu",
						  (unsigned long long) xid);
	return KV_OK;
}

static KvStatus
visible_in_snapshot(void *arg, uint64_t xid, KvXactState state, bool *visible)
{
	Snapshot snapshot = arg;
	uint64 xmin;

	*visible = false;
	if (state == KV_XACT_ABORTED)
		return KV_OK;
	if (xid == own_xid())
	{
		*visible = true;
		return KV_OK;
	}
	xmin = full_xmin(snapshot);
	if (xid >= xmin)
	{
		if (xid - xmin > PG_INT32_MAX)
			return kv_corrupt(NULL, 0, 0, "transaction %llu lies in the future",
							  (unsigned long long) xid);
		if (XidInMVCCSnapshot((TransactionId) xid, snapshot))
		{
			kvlsm_ssi_met((TransactionId) xid);
			return KV_OK;
		}
	}
	return visible_if_committed(xid, state, visible);
}

static KvStatus
visible_now(void *arg, uint64_t xid, KvXactState state, bool *visible)
{
	*visible = false;
	if (state == KV_XACT_ABORTED)
		return KV_OK;
	if (xid == own_xid() || state == KV_XACT_COMMITTED)
	{
		*visible = true;
		return KV_OK;
	}
	if (state == KV_XACT_IN_DOUBT && xid < next_xid() &&
		TransactionIdIsInProgress((TransactionId) xid))
		return KV_OK;
	return visible_if_committed(xid, state, visible);
}

void
kvlsm_view_of_snapshot(KvReadView *view, Snapshot snapshot)
{
	Assert(snapshot->snapshot_type == SNAPSHOT_MVCC);
	/*
	 * Recovery takes the tags off what has committed by its end, and this
	 * snapshot may be older than some of it.
	 */
	if (snapshot->takenDuringRecovery)
		ereport(ERROR,
				(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
				 errmsg("kvlsm cannot be read with a snapshot from before the "
						"promotion of this server"),
				 errhint("Run the transaction again.")));
	view->max_csn = PG_UINT64_MAX;
	view->visible = kvlsm_planted("ignore-snapshot") ? visible_now
													 : visible_in_snapshot;
	view->arg = snapshot;
	view->now_us = kvlsm_read_clock();
}

void
kvlsm_view_latest(KvReadView *view)
{
	view->max_csn = PG_UINT64_MAX;
	view->visible = visible_now;
	view->arg = NULL;
	view->now_us = kvlsm_read_clock();
}

static KvStatus
visible_now_noting(void *arg, uint64_t xid, KvXactState state, bool *visible)
{
	KvlsmConflicts *conflicts = arg;
	KvStatus status = visible_now(NULL, xid, state, visible);

	if (status == KV_OK && *visible &&
		!kvlsm_xid_visible(xid, conflicts->snapshot))
		conflicts->found = true;
	return status;
}

void
kvlsm_view_conflicts(KvReadView *view, KvlsmConflicts *conflicts)
{
	kvlsm_view_latest(view);
	view->visible = visible_now_noting;
	view->arg = conflicts;
}

bool
kvlsm_xid_visible(uint64 full_xid, Snapshot snapshot)
{
	uint64 xmin;

	if (full_xid == 0 || full_xid == own_xid())
		return true;
	xmin = full_xmin(snapshot);
	return full_xid < xmin ||
		   !XidInMVCCSnapshot((TransactionId) full_xid, snapshot);
}

void
kvlsm_horizon(KvHorizon *horizon)
{
	TransactionId xmin = GetOldestNonRemovableTransactionId(NULL);

	horizon->xid = full_near(xmin, next_xid());
	horizon->csn = PG_UINT64_MAX;
	horizon->now_us = kvlsm_oldest_clock();
}
