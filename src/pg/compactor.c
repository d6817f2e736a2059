/* SPDX-License-Identifier: PostgreSQL */
/*
 * compactor.c - the process that merges sorted files.
 *
 * One job at a time, in steps of a few MB with interrupt checks between them,
 * and with pauses if kvlsm.compaction_rate_limit asks for them;
 * the engine worker installs the result.  It never touches the MANIFEST.  A
 * failure is reported and tried again later; the third in a row stops it for
 * longer, and reading and writing go on.
 */
#include "kvlsm.h"

#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/interrupt.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define STEP_BYTES	  (4 * 1024 * 1024)
#define IDLE_MS		  10000
#define FAILED_MS	  5000
#define QUARANTINE_MS 60000

/* A tenth of a second's work, if there is a limit. */
static uint64
step_bytes(void)
{
	uint64 limit = (uint64) kvlsm_compaction_rate_limit * 1024 / 10;

	return limit == 0 ? STEP_BYTES : Min(Max(limit, 4096), STEP_BYTES);
}

/* Sleeps for as long as that much may take. */
static void
pace(TimestampTz started, uint64 bytes)
{
	while (!ShutdownRequestPending && kvlsm_compaction_rate_limit > 0)
	{
		uint64 due_ms = bytes * 1000 / 1024 / kvlsm_compaction_rate_limit;
		long passed_ms = TimestampDifferenceMilliseconds(started,
														 GetCurrentTimestamp());

		if ((uint64) passed_ms >= due_ms)
			return;
		kvlsm_worker_sleep((long) Min(due_ms - passed_ms, 1000));
	}
}

/* Compacts until there is nothing to do; how long to sleep then. */
static long
compact(KvDb *db, int *failures)
{
	KvError err;
	bool busy = true;

	while (busy && !ShutdownRequestPending)
	{
		KvStatus status;
		TimestampTz started = GetCurrentTimestamp();
		uint64 merged = kv_compact_merged(db);

		if (kv_mode(db) != KV_MODE_NORMAL)
			return IDLE_MS;
		kv_error_clear(&err);
		status = kv_compact_step(db, step_bytes(), &busy, &err);
		CHECK_FOR_INTERRUPTS();
		if (status == KV_INTERRUPTED)
			break;
		if (status == KV_STALLED)
			return 100; /* the worker has something to do first */
		if (status != KV_OK)
		{
			kv_compact_abandon(db);
			(*failures)++;
			ereport(LOG, (errmsg("kvlsm: compaction failed (%d in a row): %s",
								 *failures, err.message)));
			return *failures < 3 ? FAILED_MS : QUARANTINE_MS;
		}
		*failures = 0;
		pace(started, kv_compact_merged(db) - merged);
	}
	return IDLE_MS;
}

void
kvlsm_compactor_main(Datum arg)
{
	MemoryContext context;
	KvDb *db = NULL;
	int failures = 0;
	TimestampTz next = 0; /* not before it, whoever wakes us */

	kvlsm_worker_setup(&kvlsm_shared->compactor_latch,
					   &kvlsm_shared->info.compactor_pid);
	context = AllocSetContextCreate(TopMemoryContext, "kvlsm compaction",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);

	while (!ShutdownRequestPending)
	{
		long timeout_ms = 500;

		if (db == NULL && kvlsm_db_if_ready() != NULL)
			db = kvlsm_attach();
		if (failures > 0)
			timeout_ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
														 next);
		if (db != NULL && (failures == 0 || timeout_ms == 0))
		{
			pgstat_report_activity(STATE_RUNNING, "compacting");
			timeout_ms = compact(db, &failures);
			next = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
											   timeout_ms);
			pgstat_report_activity(STATE_IDLE, failures < 3
												   ? ""
												   : "stopped after failures");
		}
		MemoryContextReset(context);
		if (!ShutdownRequestPending)
			kvlsm_worker_sleep(timeout_ms);
	}
	if (db != NULL)
		kv_compact_abandon(db);
	proc_exit(1); /* 0 would mean: never start it again */
}
