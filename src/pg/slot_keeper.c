/* SPDX-License-Identifier: PostgreSQL */
/*
 * slot_keeper.c - the process that moves kvlsm's replication slot.
 *
 * The slot keeps PostgreSQL's WAL until the kvlsm WAL holds the same batches
 * durably.  A process of its own, because acquiring a slot means to hold it
 * until it is released, and because the engine worker must not wait for the
 * slot's file.  It only looks until the engine worker asks for the slot
 * (slot_wanted_lsn); it never keeps the slot acquired; it does nothing else.
 */
#include "kvlsm.h"

#include "access/xlog.h"
#include "compat.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/spin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define MOVE_BYTES (1024 * 1024) /* moved when it is behind by this much, */
#define MOVE_MS	   10000		 /* or at all, after this time */
#define RETRY_MS   10000

typedef struct SlotView
{
	bool exists, logical, invalidated;
	XLogRecPtr restart_lsn;
} SlotView;

static TimestampTz last_move = 0;
static char last_error[256] = "";

static void
look(SlotView *view)
{
	ReplicationSlot *slot;

	memset(view, 0, sizeof(*view));
	LWLockAcquire(ReplicationSlotControlLock, LW_SHARED);
	slot = SearchNamedReplicationSlot(KVLSM_SLOT, false);
	if (slot != NULL)
	{
		SpinLockAcquire(&slot->mutex);
		view->exists = true;
		view->logical = SlotIsLogical(slot);
		view->invalidated = kvlsm_slot_invalidated(slot);
		view->restart_lsn = slot->data.restart_lsn;
		SpinLockRelease(&slot->mutex);
	}
	LWLockRelease(ReplicationSlotControlLock);
}

static void
set_state(KvlsmSlotState state, XLogRecPtr lsn, const char *slot_error)
{
	uint32 old = pg_atomic_read_u32(&kvlsm_shared->slot_state);

	if (old == KVLSM_SLOT_DROPPED)
		return; /* final: kvlsm_drop_slot() */
	LWLockAcquire(kvlsm_info_lock(), LW_EXCLUSIVE);
	strlcpy(kvlsm_shared->info.slot_error, slot_error,
			sizeof(kvlsm_shared->info.slot_error));
	LWLockRelease(kvlsm_info_lock());
	pg_atomic_write_u64(&kvlsm_shared->slot_lsn, lsn);
	if (old == state)
		return;
	pg_atomic_compare_exchange_u32(&kvlsm_shared->slot_state, &old, state);
	kvlsm_env()->ops->kick(kvlsm_env(), KV_KICK_WORKER);
}

/* The slot is acquired: sets where PostgreSQL's WAL is needed from. */
static void
set_restart_lsn(XLogRecPtr lsn)
{
	SpinLockAcquire(&MyReplicationSlot->mutex);
	MyReplicationSlot->data.restart_lsn = lsn;
	SpinLockRelease(&MyReplicationSlot->mutex);
	ReplicationSlotMarkDirty();
	/* on disk first: after a crash nothing older than this is needed */
	ReplicationSlotSave();
	ReplicationSlotsComputeRequiredLSN();
}

/* May raise. */
static void
make_slot(XLogRecPtr wanted_lsn, bool replace)
{
	XLogRecPtr lsn;

	CheckSlotRequirements();
	if (replace)
		ReplicationSlotDrop(KVLSM_SLOT, true);
	kvlsm_slot_create(KVLSM_SLOT);
	lsn = wanted_lsn;
	if (GetRedoRecPtr() < wanted_lsn)
	{
		ReplicationSlotReserveWal(); /* from the last checkpoint on */
		lsn = MyReplicationSlot->data.restart_lsn;
	}
	/* older WAL may be there, kept by keep_wal(), and must not go meanwhile */
	set_restart_lsn(lsn);
	ReplicationSlotRelease();
	ereport(LOG, (errmsg("kvlsm: created replication slot \"%s\" at %X/%X",
						 KVLSM_SLOT, LSN_FORMAT_ARGS(lsn))));
	set_state(KVLSM_SLOT_PRESENT, lsn, "");
	last_move = GetCurrentTimestamp();
}

static void
move_slot(XLogRecPtr target)
{
	kvlsm_slot_acquire(KVLSM_SLOT);
	set_restart_lsn(target);
	ReplicationSlotRelease();
	pg_atomic_write_u64(&kvlsm_shared->slot_lsn, target);
	last_move = GetCurrentTimestamp();
}

/* May raise. */
static void
do_round(void)
{
	XLogRecPtr wanted = pg_atomic_read_u64(&kvlsm_shared->slot_wanted_lsn);
	XLogRecPtr synced = pg_atomic_read_u64(&kvlsm_shared->synced_lsn);
	SlotView view;

	if (pg_atomic_read_u32(&kvlsm_shared->slot_state) == KVLSM_SLOT_DROPPED)
		return;
	look(&view);
	if (view.exists && view.logical)
	{
		set_state(KVLSM_SLOT_LOST, 0,
				  "a logical replication slot has the name \"" KVLSM_SLOT
				  "\"; drop it");
		return;
	}
	if (!view.exists || view.invalidated)
	{
		if (wanted == 0)
			set_state(KVLSM_SLOT_ABSENT, 0, "");
		else
			make_slot(Max(wanted, synced), view.exists);
		return;
	}
	set_state(KVLSM_SLOT_PRESENT, view.restart_lsn, "");
	if (wanted == 0 || synced <= view.restart_lsn)
		return;
	if (synced - view.restart_lsn >= MOVE_BYTES ||
		TimestampDifferenceExceeds(last_move, GetCurrentTimestamp(), MOVE_MS))
		move_slot(synced);
}

/* An error must not end the process: others wait for what it finds. */
static void
do_round_safely(void)
{
	MemoryContext context = CurrentMemoryContext;

	PG_TRY();
	{
		do_round();
	}
	PG_CATCH();
	{
		ErrorData *edata;

		HOLD_INTERRUPTS();
		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		if (strcmp(edata->message, last_error) != 0)
			EmitErrorReport(); /* once, not every few seconds */
		strlcpy(last_error, edata->message, sizeof(last_error));
		FlushErrorState();
		kvlsm_worker_clean_up();
		if (MyReplicationSlot != NULL)
			ReplicationSlotRelease();
		if (pg_atomic_read_u32(&kvlsm_shared->slot_state) != KVLSM_SLOT_PRESENT)
			set_state(KVLSM_SLOT_LOST, 0, edata->message);
		FreeErrorData(edata);
		RESUME_INTERRUPTS();
	}
	PG_END_TRY();
}

void
kvlsm_keeper_main(Datum arg)
{
	MemoryContext round_context;

	kvlsm_worker_setup(&kvlsm_shared->keeper_latch,
					   &kvlsm_shared->info.keeper_pid);
	round_context = AllocSetContextCreate(TopMemoryContext, "kvlsm slot keeper",
										  ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(round_context);
	last_move = GetCurrentTimestamp();

	while (!ShutdownRequestPending)
	{
		do_round_safely();
		MemoryContextReset(round_context);
		kvlsm_worker_sleep(pg_atomic_read_u32(&kvlsm_shared->slot_state) ==
								   KVLSM_SLOT_PRESENT
							   ? MOVE_MS
							   : RETRY_MS);
	}
	proc_exit(1); /* 0 would mean: never start it again */
}
