/* SPDX-License-Identifier: PostgreSQL */
/*
 * ssi.c - SERIALIZABLE: what PostgreSQL's serializable snapshot isolation is
 * told about reads and writes of stores (design 8).
 *
 * The unit is the store, as for a heap table that is read without an index.
 * A reader takes the SIREAD lock of the store before it looks, and reports
 * the writer of each version that it met and that its snapshot does not see:
 * those of deletions and range deletes are versions like any other.  A writer
 * asks for readers at the write, and again in PRE_COMMIT when its batch is in
 * the memtable, because before that nobody could meet its versions.
 * PostgreSQL's own check comes after that and is the judge.
 *
 * The engine's callback may not raise, so it only notes the xids; they are
 * reported when the engine has returned.
 *
 * Backends only.  Outside SERIALIZABLE everything here is one comparison.
 */
#include "kvlsm.h"

#include "access/relation.h"
#include "access/transam.h"
#include "access/xact.h"
#include "storage/predicate.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

/* Writers of versions that the read under way has met and does not see. */
static struct
{
	bool on;
	bool no_memory;
	Oid relid; /* the store that was read last */
	TransactionId *xids;
	int n, room;
} met;

/* Tables that this transaction has written, in SERIALIZABLE only. */
static struct
{
	Oid *relids;
	int n, room;
} written;

void
kvlsm_ssi_read(Oid relid)
{
	Relation rel;

	if (!IsolationIsSerializable() || kvlsm_planted("ignore-reads"))
		return;
	rel = relation_open(relid, NoLock);
	PredicateLockRelation(rel, GetActiveSnapshot());
	relation_close(rel, NoLock);
	met.relid = relid;
	met.on = true;
}

void
kvlsm_ssi_met(TransactionId xid)
{
	int room;
	void *p;

	if (!met.on || (met.n > 0 && met.xids[met.n - 1] == xid))
		return;
	if (met.n == met.room)
	{
		room = Max(64, 2 * met.room);
		p = MemoryContextAllocExtended(TopMemoryContext,
									   room * sizeof(TransactionId),
									   MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);
		if (p == NULL)
		{
			met.no_memory = true;
			return;
		}
		if (met.n > 0)
			memcpy(p, met.xids, met.n * sizeof(TransactionId));
		if (met.xids != NULL)
			pfree(met.xids);
		met.xids = p;
		met.room = room;
	}
	met.xids[met.n++] = xid;
}

void
kvlsm_ssi_report(Snapshot snapshot)
{
	Relation rel;
	int i;
	int n = met.n;

	if (n == 0 && !met.no_memory)
		return;
	met.n = 0;
	if (met.no_memory)
	{
		met.no_memory = false;
		ereport(ERROR,
				(errcode(ERRCODE_OUT_OF_MEMORY), errmsg("out of memory")));
	}
	rel = relation_open(met.relid, NoLock);
	for (i = 0; i < n; i++)
		if (TransactionIdFollowsOrEquals(met.xids[i], TransactionXmin))
			CheckForSerializableConflictOut(rel, met.xids[i], snapshot);
	relation_close(rel, NoLock);
}

/* The table may have been dropped since, or its lock with a savepoint. */
static void
check_readers(Oid relid)
{
	Relation rel = try_relation_open(relid, AccessShareLock);

	if (rel == NULL)
		return;
	CheckForSerializableConflictIn(rel, NULL, InvalidBlockNumber);
	relation_close(rel, NoLock);
}

void
kvlsm_ssi_write(Oid relid)
{
	int i;

	if (!IsolationIsSerializable())
		return;
	check_readers(relid);
	for (i = 0; i < written.n; i++)
		if (written.relids[i] == relid)
			return;
	if (written.n == written.room)
	{
		int room = Max(8, 2 * written.room);

		written.relids = written.relids == NULL
							 ? MemoryContextAlloc(TopMemoryContext,
												  room * sizeof(Oid))
							 : repalloc(written.relids, room * sizeof(Oid));
		written.room = room;
	}
	written.relids[written.n++] = relid;
}

void
kvlsm_ssi_batch_is_in(void)
{
	int i;

	for (i = 0; i < written.n; i++)
		check_readers(written.relids[i]);
}

void
kvlsm_ssi_end(void)
{
	met.on = false;
	met.no_memory = false;
	met.n = 0;
	written.n = 0;
}
