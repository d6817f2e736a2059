/* SPDX-License-Identifier: PostgreSQL */
/*
 * access.c - may this process use the engine now, and how it waits for it.
 *
 * A process attaches at its first use and detaches at exit.  All waits are
 * interruptible, end when the postmaster dies, and wake by timeout as well as
 * by the workers' broadcast, so that a lost wakeup costs milliseconds.
 */
#include "kvlsm.h"

#include "access/xlog.h"
#include "compat.h"
#include "miscadmin.h"
#include "storage/ipc.h"
#include "utils/timestamp.h"

#define START_WAIT_MS	   1000	 /* for a store that is still starting */
#define STALL_LOG_MS	   1000	 /* a stall longer than this is logged, */
#define STALL_LOG_EVERY_MS 10000 /* but not more often than this */

static KvDb *this_db = NULL;

static void
detach_at_exit(int code, Datum arg)
{
	/* after a FATAL error in the middle of the engine */
	LWLockReleaseAll();
	kvlsm_detach();
}

void
kvlsm_detach(void)
{
	KvDb *db = this_db;

	this_db = NULL;
	if (db != NULL)
		kv_detach(db);
}

void
kvlsm_reset(void)
{
	if (this_db != NULL)
		kv_reset(this_db);
}

static KvStatus
attach(KvError *err)
{
	static bool registered = false;
	KvStatus status;

	if (this_db != NULL)
		return KV_OK;
	status = kv_attach(kvlsm_env(), kvlsm_engine_region(), kvlsm_my_proc_no(),
					   &this_db, err);
	if (status != KV_OK)
		return status;
	if (!registered)
	{
		/*
		 * Not before_shmem_exit: that would come before the abort of an open
		 * transaction, which closes scans and removes files.
		 */
		on_shmem_exit(detach_at_exit, (Datum) 0);
		registered = true;
	}
	return KV_OK;
}

KvDb *
kvlsm_attach(void)
{
	KvError err;

	kvlsm_check(attach(&err), &err);
	return this_db;
}

static KvlsmPhase
phase_now(void)
{
	return (KvlsmPhase) pg_atomic_read_u32(&kvlsm_shared->phase);
}

/*
 * Nobody but the workers attaches before the store is open: the worker may
 * initialise the region anew until then.
 */
static bool
is_open(void)
{
	if (phase_now() != KVLSM_OPEN)
		return false;
	pg_read_barrier(); /* pairs with the one in open_store(), worker.c */
	return true;
}

static void
wait_until_open(void)
{
	KVLSM_WAIT_EVENT(wait_event, "KvlsmStart");
	TimestampTz start = GetCurrentTimestamp();

	ConditionVariablePrepareToSleep(&kvlsm_shared->waiters);
	while (phase_now() == KVLSM_STARTING &&
		   !TimestampDifferenceExceeds(start, GetCurrentTimestamp(),
									   START_WAIT_MS))
		ConditionVariableTimedSleep(&kvlsm_shared->waiters, 100, wait_event);
	ConditionVariableCancelSleep();
}

KvDb *
kvlsm_db(bool for_write)
{
	KvMode mode;

	if (kvlsm_shared == NULL)
		kvlsm_error_not_preloaded();
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("kvlsm cannot be used on a standby server"),
				 errhint("Use the primary server, or promote this one.")));
	if (!is_open())
	{
		wait_until_open();
		if (!is_open())
			kvlsm_error_not_ready(for_write);
	}
	mode = kv_mode(kvlsm_attach());
	if (mode != KV_MODE_NORMAL && (for_write || mode != KV_MODE_READONLY))
		kvlsm_error_not_ready(for_write);
	return this_db;
}

KvDb *
kvlsm_db_if_ready(void)
{
	KvMode mode;

	if (kvlsm_shared == NULL || !is_open())
		return NULL;
	if (attach(NULL) != KV_OK)
		return NULL;
	mode = kv_mode(this_db);
	return mode == KV_MODE_NORMAL || mode == KV_MODE_READONLY ? this_db : NULL;
}

/* What ends the stall, in a sentence. */
static const char *
stall_remedy(void)
{
	switch (kv_stall_cause(this_db))
	{
	case KV_STALL_COMPACTION:
		return kv_compaction_paused(this_db)
				   ? "Level 0 is full and compaction is paused: "
					 "kvlsm_pause_compaction(false) resumes it."
				   : "Level 0 is full: the compaction worker has to merge it.";
	case KV_STALL_FLUSH:
		return "No memtable is free: the engine worker has to flush one.";
	case KV_STALL_LOG:
		return "The ring of the kvlsm WAL is full: the engine worker has to "
			   "write it.";
	case KV_STALL_NUMBERS:
		return "File numbers or places in a list are used up: the engine "
			   "worker makes new ones in its next round.";
	case KV_STALL_READER:
		return "A process is stuck in a read: the oldest version of the "
			   "store is still in use.";
	default:
		return "The engine worker has to make room.";
	}
}

/* One line a stall: the first of the waiters who gets there writes it. */
static void
log_stall(long waited_ms)
{
	uint64 now_ms = (uint64) GetCurrentTimestamp() / 1000;
	uint64 last_ms = pg_atomic_read_u64(&kvlsm_shared->stall_logged_at);
	KvStats stats;

	if (waited_ms < STALL_LOG_MS || now_ms < last_ms + STALL_LOG_EVERY_MS ||
		!pg_atomic_compare_exchange_u64(&kvlsm_shared->stall_logged_at,
										&last_ms, now_ms))
		return;
	kv_stats(this_db, &stats);
	ereport(LOG_SERVER_ONLY,
			(errmsg("kvlsm: writes have been waiting for room for %ld ms: "
					"%u memtables wait to be flushed, %llu files in level 0",
					waited_ms, stats.memtables_immutable,
					(unsigned long long) stats.files[0]),
			 errdetail("%s", stall_remedy())));
}

void
kvlsm_wait_for_room(TimestampTz *started)
{
	KVLSM_WAIT_EVENT(wait_event, "KvlsmStall");
	KvDb *db = kvlsm_db(true);
	TimestampTz now = GetCurrentTimestamp();
	long waited_ms;

	if (*started == 0)
		*started = now;
	waited_ms = TimestampDifferenceMilliseconds(*started, now);
	if (kvlsm_stall_timeout > 0 && waited_ms >= kvlsm_stall_timeout)
		ereport(ERROR,
				(errcode(ERRCODE_INSUFFICIENT_RESOURCES),
				 errmsg("kvlsm: no room for the write within "
						"kvlsm.stall_timeout (%d ms)",
						kvlsm_stall_timeout),
				 errdetail("%s", stall_remedy()),
				 errhint("Try again later; kvlsm_stats() shows what flush and "
						 "compaction are doing.")));
	log_stall(waited_ms);

	ConditionVariablePrepareToSleep(&kvlsm_shared->waiters);
	/* what we wait for may have come before we were on the list */
	ConditionVariableTimedSleep(&kvlsm_shared->waiters,
								kv_write_would_stall(db) ? 100 : 2, wait_event);
	ConditionVariableCancelSleep();
	CHECK_FOR_INTERRUPTS();
}

void
kvlsm_wait_for_request(uint64 ticket)
{
	KVLSM_WAIT_EVENT(wait_event, "KvlsmRequest");

	ConditionVariablePrepareToSleep(&kvlsm_shared->waiters);
	while (!kv_request_done(kvlsm_db(true), ticket))
		ConditionVariableTimedSleep(&kvlsm_shared->waiters, 200, wait_event);
	ConditionVariableCancelSleep();
}
