/* SPDX-License-Identifier: PostgreSQL */
/*
 * worker.c - the engine worker: recovery, then the engine's daily work.
 *
 * One process, alone to write the kvlsm WAL, the MANIFEST and flushed files.
 * Whatever is wrong with the store, it stays up and says so in the mode; the
 * server runs on.  It ends with 1, never 0, because the postmaster would not
 * start it again after 0.  Restarted alone it takes the store over; after a
 * crash of the server, or a start that failed, it recovers.
 */
#include "kvlsm.h"

#include <unistd.h>

#include "access/timeline.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xlogrecovery.h"
#include "compat.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "postmaster/bgworker.h"
#include "postmaster/interrupt.h"
#include "storage/fd.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "utils/guc.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#ifdef KVLSM_TESTING
#define RESTART_S 1
#else
#define RESTART_S 5
#endif

#define FAILURES_UNTIL_READONLY 3
#define RETRY_MS				1000
#define RETRY_READONLY_MS		5000
#define FAILURE_LOG_MS			60000
#define KEEPER_BYTES			(1024 * 1024)
#define BACKUP_DELAY_MS			3 /* between rounds while a base backup runs */

/* Of kv_worker_step(), since it last succeeded. */
typedef struct Failures
{
	KvStatus status;
	int count;
	TimestampTz logged_at, retry_at;
	char message[256];
} Failures;

static KvDb *db = NULL;
static Failures failures;
static List *history = NIL;	 /* of timelines; in TopMemoryContext */
static uint32 reloads = 0;	 /* of the configuration, by this process */
static bool gave_up = false; /* could not take over; the store is read-only */

/* ---- what all three processes share */

static void
register_one(const char *name, const char *function)
{
	BackgroundWorker worker;

	memset(&worker, 0, sizeof(worker));
	worker.bgw_flags = BGWORKER_SHMEM_ACCESS |
					   BGWORKER_BACKEND_DATABASE_CONNECTION;
	worker.bgw_start_time = BgWorkerStart_RecoveryFinished;
	worker.bgw_restart_time = RESTART_S;
	strlcpy(worker.bgw_library_name, "kvlsm", BGW_MAXLEN);
	strlcpy(worker.bgw_function_name, function, BGW_MAXLEN);
	strlcpy(worker.bgw_name, name, BGW_MAXLEN);
	strlcpy(worker.bgw_type, name, BGW_MAXLEN);
	RegisterBackgroundWorker(&worker);
}

void
kvlsm_register_workers(void)
{
	register_one("kvlsm engine worker", "kvlsm_worker_main");
	register_one("kvlsm slot keeper", "kvlsm_keeper_main");
	register_one("kvlsm compaction worker", "kvlsm_compactor_main");
}

static Latch *volatile *my_latch_slot;
static int *my_pid_slot;

static void
clear_slots(int code, Datum arg)
{
	*my_latch_slot = NULL;
	*my_pid_slot = 0;
}

void
kvlsm_worker_setup(Latch *volatile *latch, int *pid)
{
	pqsignal(SIGHUP, SignalHandlerForConfigReload);
	pqsignal(SIGTERM, SignalHandlerForShutdownRequest);
	BackgroundWorkerUnblockSignals();
	BackgroundWorkerInitializeConnection(NULL, NULL, 0);

	my_latch_slot = latch;
	my_pid_slot = pid;
	*pid = MyProcPid;
	*latch = MyLatch;
	before_shmem_exit(clear_slots, (Datum) 0);
}

void
kvlsm_worker_sleep(long timeout_ms)
{
	KVLSM_WAIT_EVENT(wait_event, "KvlsmWorkerMain");

	if (!ShutdownRequestPending)
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 timeout_ms, wait_event);
	ResetLatch(MyLatch);
	CHECK_FOR_INTERRUPTS();
	if (ConfigReloadPending)
	{
		ConfigReloadPending = false;
		ProcessConfigFile(PGC_SIGHUP);
		reloads++;
	}
}

void
kvlsm_worker_clean_up(void)
{
	LWLockReleaseAll();
	ConditionVariableCancelSleep();
	pgstat_report_wait_end();
	AtEOXact_Files(false);
}

/* ---- mode */

static void
set_info(KvStatus status, const char *reason, const char *hint)
{
	KvlsmInfo *info = &kvlsm_shared->info;

	LWLockAcquire(kvlsm_info_lock(), LW_EXCLUSIVE);
	info->status = status;
	strlcpy(info->reason, reason, sizeof(info->reason));
	strlcpy(info->hint, hint, sizeof(info->hint));
	LWLockRelease(kvlsm_info_lock());
}

static void
set_phase(KvlsmPhase phase)
{
	pg_write_barrier(); /* pairs with the one in is_open(), access.c */
	pg_atomic_write_u32(&kvlsm_shared->phase, phase);
	ConditionVariableBroadcast(&kvlsm_shared->waiters);
}

/* What the mode ought to be now; the strongest reason wins. */
static KvMode
wanted_mode(KvStatus *status, char *reason, size_t cap, const char **hint)
{
	uint32 slot = pg_atomic_read_u32(&kvlsm_shared->slot_state);

	*status = KV_OK;
	*hint = "";
	reason[0] = '\0';
	if (kvlsm_force_mode == KVLSM_FORCE_OFF)
	{
		strlcpy(reason, "kvlsm.mode is off", cap);
		*hint = "Set kvlsm.mode to normal and reload the configuration.";
		return KV_MODE_OFF;
	}
	if (failures.count >= FAILURES_UNTIL_READONLY)
	{
		*status = failures.status;
		strlcpy(reason, failures.message, cap);
		*hint = failures.status == KV_DISK_FULL
					? "Free space on the disk; writing goes on by itself then."
					: "See the server log; the worker tries again every few "
					  "seconds.";
		return KV_MODE_READONLY;
	}
	if (slot == KVLSM_SLOT_DROPPED)
	{
		strlcpy(reason, "kvlsm_drop_slot() was called", cap);
		*hint = "Restart the server to make the slot again, or remove kvlsm "
				"from shared_preload_libraries.";
		return KV_MODE_READONLY;
	}
	if (slot == KVLSM_SLOT_LOST)
	{
		LWLockAcquire(kvlsm_info_lock(), LW_SHARED);
		snprintf(reason, cap, "there is no replication slot \"%s\": %s",
				 KVLSM_SLOT, kvlsm_shared->info.slot_error);
		LWLockRelease(kvlsm_info_lock());
		*hint = "It needs wal_level = replica and a free entry of "
				"max_replication_slots.";
		return KV_MODE_READONLY;
	}
	if (kvlsm_force_mode == KVLSM_FORCE_READONLY)
	{
		strlcpy(reason, "kvlsm.mode is readonly", cap);
		*hint = "Set kvlsm.mode to normal and reload the configuration.";
		return KV_MODE_READONLY;
	}
	return KV_MODE_NORMAL;
}

static void
update_mode(void)
{
	KvStatus status;
	char reason[256], old_reason[256];
	const char *hint;
	KvMode mode = wanted_mode(&status, reason, sizeof(reason), &hint);

	kv_mode_reason(db, old_reason, sizeof(old_reason));
	if (mode == kv_mode(db) && strcmp(reason, old_reason) == 0)
		return;
	set_info(status, reason, hint);
	kv_set_mode(db, mode, reason);
	ConditionVariableBroadcast(&kvlsm_shared->waiters);
	if (mode == KV_MODE_NORMAL)
		ereport(LOG, (errmsg("kvlsm is open for reading and writing")));
	else
		ereport(LOG, (errmsg("kvlsm is %s: %s",
							 mode == KV_MODE_OFF ? "off" : "read-only", reason),
					  errhint("%s", hint)));
}

/* ---- recovery */

static bool
in_history(void *arg, uint32_t timeline, uint64_t lsn)
{
	ListCell *lc;

	/* lsn is the end of a record, or where the timeline began */
	foreach (lc, history)
	{
		TimeLineHistoryEntry *entry = lfirst(lc);

		if (entry->tli != timeline)
			continue;
		return lsn >= entry->begin &&
			   (XLogRecPtrIsInvalid(entry->end) || lsn <= entry->end);
	}
	return false;
}

static void
fill_host(KvHost *host)
{
	MemoryContext context = MemoryContextSwitchTo(TopMemoryContext);

	memset(host, 0, sizeof(*host));
	host->identity.system_id = GetSystemIdentifier();
	host->identity.timeline = GetWALInsertionTimeLine();
	list_free_deep(history);
	history = readTimeLineHistory(host->identity.timeline);
	MemoryContextSwitchTo(context);
	/* nothing of ours can be newer than what recovery has seen; 0: no crash */
	host->end_lsn = kvlsm_shared->store_opened ? InvalidXLogRecPtr
											   : GetXLogReplayRecPtr(NULL);
	host->in_history = in_history;
}

/* Waits until the keeper has said something else than old; false: shutdown. */
static bool
wait_for_keeper(uint32 old1, uint32 old2)
{
	for (;;)
	{
		uint32 now = pg_atomic_read_u32(&kvlsm_shared->slot_state);

		if (now != old1 && now != old2)
			return true;
		if (ShutdownRequestPending)
			return false;
		if (kvlsm_shared->keeper_latch != NULL)
			SetLatch(kvlsm_shared->keeper_latch);
		kvlsm_worker_sleep(100);
	}
}

/* Asks for the slot, to keep PostgreSQL's WAL from lsn on. */
static bool
ask_for_slot(XLogRecPtr lsn)
{
	pg_atomic_write_u64(&kvlsm_shared->synced_lsn, lsn);
	pg_atomic_write_u64(&kvlsm_shared->slot_wanted_lsn, lsn);
	return wait_for_keeper(KVLSM_SLOT_UNKNOWN, KVLSM_SLOT_ABSENT);
}

/* A region that an earlier attempt has filled cannot be recovered into. */
static void
fresh_region(void)
{
	KvConfig config;

	if (kvlsm_shared->region_used)
	{
		kvlsm_detach();
		kvlsm_config_from_gucs(&config);
		kv_shared_init(kvlsm_engine_region(), &config);
	}
	kvlsm_shared->region_used = true;
	db = kvlsm_attach();
}

static KvStatus
recover(KvlsmInfo *report, KvError *err)
{
	KvHost host;
	KvRecovery rec = {0};
	KvStatus status;
	bool had_slot, is_new;
	XLogRecPtr end;

	status = kvlsm_prepare_folder(err);
	if (status != KV_OK)
		return status;
	if (!wait_for_keeper(KVLSM_SLOT_UNKNOWN, KVLSM_SLOT_UNKNOWN))
		return kv_fail(err, KV_INTERRUPTED, "shutdown");
	had_slot = pg_atomic_read_u32(&kvlsm_shared->slot_state) ==
			   KVLSM_SLOT_PRESENT;
	/* the slot comes after a new store's MANIFEST: see below */
	if (had_slot && access(KVLSM_DIR "/CURRENT", F_OK) != 0)
		return kv_corrupt(err, 0, 0,
						  "directory \"%s\" holds no store, but the "
						  "replication slot of one exists",
						  KVLSM_DIR);
	fill_host(&host);
	fresh_region();

	status = kv_recover(db, &host, &rec, err);
	if (status != KV_OK)
		return status;
	kvlsm_shared->store_opened = true; /* what follows may be flushed */
	/* 0 and not created: the first start of all was cut short */
	is_new = rec.created || (rec.lsn == 0 && !had_slot);
	if (!is_new && !ask_for_slot(rec.lsn))
		return kv_fail(err, KV_INTERRUPTED, "shutdown");

	end = kvlsm_insert_end_lsn();
	XLogFlush(end);
	report->replay_start = is_new ? end : rec.lsn;
	report->replay_end = end;
	status = kvlsm_apply(db, report->replay_start, end, &report->replayed, err);
	if (status != KV_OK)
		return status;
	status = kv_open_for_use(db, end, err);
	if (status != KV_OK)
		return status;
	if (is_new && !ask_for_slot(end))
		return kv_fail(err, KV_INTERRUPTED, "shutdown");
	report->files = rec.files;
	report->wal_segments = rec.wal_segments;
	report->wal_records = rec.wal_records;
	if (rec.stepped_back)
		ereport(LOG, (errmsg("kvlsm: the directory was an incomplete copy; "
							 "the rest came from PostgreSQL's WAL")));
	return KV_OK;
}

static void
refuse(KvStatus status, const char *reason)
{
	const char *hint = "";

	switch (status)
	{
	case KV_CORRUPT:
	case KV_NOT_FOUND:
		hint = "Restore a base backup or clone again from a standby, or, "
			   "to start with an empty store, call kvlsm_drop_slot(), "
			   "stop the server and remove the directory.";
		break;
	case KV_FOREIGN:
		hint = "Nothing was changed. Put the directory of this cluster in "
			   "its place, then reload the configuration.";
		break;
	case KV_UNSUPPORTED:
		hint = "Nothing was changed. Install the newer kvlsm and restart.";
		break;
	case KV_NOT_READY:
		hint = "Set kvlsm.mode to normal and reload the configuration.";
		break;
	default:
		hint = "Remove the cause, then reload the configuration to try "
			   "again.";
		break;
	}
	set_info(status, reason, hint);
	set_phase(KVLSM_REFUSED);
	/* without a slot nothing is kept any more: see keep_wal(), rmgr.c */
	ReplicationSlotsComputeRequiredLSN();
	ereport(LOG, (errmsg("kvlsm could not open its store: %s", reason),
				  errhint("%s", hint)));
	pgstat_report_activity(STATE_IDLE, "off, see the server log");
}

static void
open_store(void)
{
	MemoryContext context = CurrentMemoryContext;
	TimestampTz start = GetCurrentTimestamp();
	KvlsmInfo report = {0};
	volatile KvStatus status = KV_OK;
	KvError err;

	pgstat_report_activity(STATE_RUNNING, "recovering");
	kv_error_clear(&err);
	set_phase(KVLSM_STARTING);
	if (kvlsm_force_mode == KVLSM_FORCE_OFF)
	{
		refuse(KV_NOT_READY, "kvlsm.mode is off");
		return;
	}
	PG_TRY();
	{
		status = recover(&report, &err);
	}
	PG_CATCH();
	{
		ErrorData *edata;

		MemoryContextSwitchTo(context);
		edata = CopyErrorData();
		EmitErrorReport();
		FlushErrorState();
		kvlsm_worker_clean_up();
		status = kv_fail(&err, KV_IO_ERROR, "%s", edata->message);
		FreeErrorData(edata);
	}
	PG_END_TRY();
	if (status == KV_INTERRUPTED)
		return;
	if (status != KV_OK)
	{
		refuse(status, err.message);
		return;
	}

	report.recovery_ms = TimestampDifferenceMilliseconds(start,
														 GetCurrentTimestamp());
	LWLockAcquire(kvlsm_info_lock(), LW_EXCLUSIVE);
	kvlsm_shared->info.files = report.files;
	kvlsm_shared->info.wal_segments = report.wal_segments;
	kvlsm_shared->info.wal_records = report.wal_records;
	kvlsm_shared->info.replayed = report.replayed;
	kvlsm_shared->info.replay_start = report.replay_start;
	kvlsm_shared->info.replay_end = report.replay_end;
	kvlsm_shared->info.recovery_ms = report.recovery_ms;
	LWLockRelease(kvlsm_info_lock());
	set_info(KV_OK, "", "");
	memset(&failures, 0, sizeof(failures));
	update_mode();
	set_phase(KVLSM_OPEN);
	ereport(LOG,
			(errmsg("kvlsm: store opened in %lld ms: %u files, %llu records "
					"of %u kvlsm WAL segments, %llu records of PostgreSQL's "
					"WAL from %X/%X to %X/%X",
					(long long) report.recovery_ms, report.files,
					(unsigned long long) report.wal_records,
					report.wal_segments, (unsigned long long) report.replayed,
					LSN_FORMAT_ARGS(report.replay_start),
					LSN_FORMAT_ARGS(report.replay_end))));
}

static void
take_over(void)
{
	KvHost host;
	KvError err;
	KvStatus status;

	fill_host(&host);
	kv_error_clear(&err);
	status = kvlsm_prepare_folder(&err);
	db = kvlsm_attach();
	if (status == KV_OK)
		status = kv_take_over(db, &host, &err);
	if (status == KV_OK)
	{
		ereport(LOG, (errmsg("kvlsm: engine worker restarted")));
		return;
	}
	/* reading goes on; a start of the server recovers everything */
	gave_up = true;
	set_info(status, err.message, "Restart the server.");
	kv_set_mode(db, KV_MODE_READONLY, err.message);
	ConditionVariableBroadcast(&kvlsm_shared->waiters);
	ereport(LOG, (errmsg("kvlsm is read-only: %s", err.message),
				  errhint("Restart the server.")));
}

/* ---- daily work */

static void
publish(const KvWork *work)
{
	static uint64 told = 0; /* the keeper has been woken for it */

	if (work->synced_lsn <= pg_atomic_read_u64(&kvlsm_shared->synced_lsn))
		return;
	pg_atomic_write_u64(&kvlsm_shared->synced_lsn, work->synced_lsn);
	if (work->synced_lsn - told < KEEPER_BYTES)
		return; /* it looks by itself every few seconds */
	told = work->synced_lsn;
	if (kvlsm_shared->keeper_latch != NULL)
		SetLatch(kvlsm_shared->keeper_latch);
}

static void
note_failure(KvStatus status, const KvError *err)
{
	TimestampTz now = GetCurrentTimestamp();

	if (status != failures.status)
		failures.count = 0;
	failures.status = status;
	failures.count++;
	strlcpy(failures.message, err->message, sizeof(failures.message));
	if (failures.count > 1 &&
		!TimestampDifferenceExceeds(failures.logged_at, now, FAILURE_LOG_MS))
		return;
	failures.logged_at = now;
	ereport(LOG,
			(errmsg("kvlsm: the engine worker's work failed: %s", err->message),
			 err->file_no == 0 ? 0
							   : errdetail("File number %llu, offset %llu.",
										   (unsigned long long) err->file_no,
										   (unsigned long long) err->offset)));
}

/*
 * A base backup has PostgreSQL's WAL from its checkpoint on.  The kvlsm WAL
 * must say that it needs none from before, by the time it is copied.
 */
static void
mark_for_backup(const KvWork *work)
{
	KvError err;

	if (work->synced_lsn >= GetRedoRecPtr())
		return;
	kv_error_clear(&err);
	if (kv_mark_host_log(db, &err) != KV_OK)
		ereport(LOG, (errmsg("kvlsm: a base backup may be incomplete: %s",
							 err.message)));
}

/* One round of everything there is to do; how long to sleep then. */
static long
work_round(void)
{
	KvWork work;
	KvError err;
	KvStatus status;
	long timeout_ms;

	/* whoever waits for room wakes us again and again meanwhile */
	if (failures.count > 0)
	{
		timeout_ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
													 failures.retry_at);
		if (timeout_ms > 0)
			return timeout_ms;
	}
	do
	{
		memset(&work, 0, sizeof(work));
		kv_error_clear(&err);
		status = kv_worker_step(db, &work, &err);
		if (status == KV_OK)
		{
			failures.count = 0;
			publish(&work);
		}
		CHECK_FOR_INTERRUPTS();
	} while (status == KV_OK && work.more && !ShutdownRequestPending);

	if (status == KV_STALLED)
		return 20;
	if (status != KV_OK && status != KV_INTERRUPTED)
	{
		note_failure(status, &err);
		timeout_ms = failures.count < FAILURES_UNTIL_READONLY
						 ? RETRY_MS
						 : RETRY_READONLY_MS;
		failures.retry_at = TimestampTzPlusMilliseconds(GetCurrentTimestamp(),
														timeout_ms);
		return timeout_ms;
	}
	if (status == KV_OK && kvlsm_backup_running())
		mark_for_backup(&work);
	else if (!kvlsm_backup_expected())
		return kvlsm_wal_writer_delay;
	return Min(kvlsm_wal_writer_delay, BACKUP_DELAY_MS);
}

static void
finish(void)
{
	KvError err;

	kvlsm_poll_enabled = false;
	kv_error_clear(&err);
	if (!gave_up && pg_atomic_read_u32(&kvlsm_shared->phase) == KVLSM_OPEN &&
		kv_shutdown(db, &err) != KV_OK)
		ereport(LOG, (errmsg("kvlsm: could not write what was in memory; "
							 "PostgreSQL's WAL has it: %s",
							 err.message)));
}

void
kvlsm_worker_main(Datum arg)
{
	MemoryContext context;
	uint32 seen_reloads = 0;

	kvlsm_worker_setup(&kvlsm_shared->worker_latch,
					   &kvlsm_shared->info.worker_pid);
	context = AllocSetContextCreate(TopMemoryContext, "kvlsm engine worker",
									ALLOCSET_DEFAULT_SIZES);
	MemoryContextSwitchTo(context);

	if (pg_atomic_read_u32(&kvlsm_shared->phase) == KVLSM_OPEN)
		take_over();
	else
		open_store();

	while (!ShutdownRequestPending)
	{
		long timeout_ms = RETRY_READONLY_MS;

		if (gave_up)
			; /* nothing may be written any more */
		else if (pg_atomic_read_u32(&kvlsm_shared->phase) == KVLSM_OPEN)
		{
			update_mode();
			pgstat_report_activity(STATE_RUNNING, "");
			timeout_ms = work_round();
			update_mode();
			pgstat_report_activity(STATE_IDLE, "");
		}
		else if (seen_reloads != reloads)
			open_store();
		seen_reloads = reloads;
		MemoryContextReset(context);
		kvlsm_worker_sleep(timeout_ms);
	}
	finish();
	proc_exit(1);
}
