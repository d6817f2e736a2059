/* SPDX-License-Identifier: PostgreSQL */
/*
 * backup.c - no file is removed while a base backup is being taken.
 *
 * BASE_BACKUP is seen by the state of its walsender.  A backup between
 * pg_backup_start and pg_backup_stop is seen by a hook on the execution of
 * these functions, and given up when the session has no backup any more or
 * ends.  Runs in backends; kvlsm_backup_running() in the workers too.
 */
#include "kvlsm.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_proc.h"
#include "compat.h"
#include "miscadmin.h"
#include "replication/walsender.h"
#include "replication/walsender_private.h"
#include "storage/ipc.h"
#include "storage/spin.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

#define DRAIN_LIMIT_MS 5000
#define HINT_MS		   10000 /* from a replication login to its BASE_BACKUP */

static object_access_hook_type prev_object_access;
static kvlsm_authentication_hook prev_authentication;
static bool counted = false; /* this process is in open_backups */

bool
kvlsm_backup_running(void)
{
	int i;

	if (pg_atomic_read_u32(&kvlsm_shared->open_backups) > 0)
		return true;
	for (i = 0; i < max_wal_senders; i++)
	{
		WalSnd *walsnd = &WalSndCtl->walsnds[i];
		bool found;

		SpinLockAcquire(&walsnd->mutex);
		found = walsnd->pid != 0 && walsnd->state == WALSNDSTATE_BACKUP;
		SpinLockRelease(&walsnd->mutex);
		if (found)
			return true;
	}
	return false;
}

bool
kvlsm_backup_expected(void)
{
	uint64 now_ms = (uint64) GetCurrentTimestamp() / 1000;

	return now_ms < pg_atomic_read_u64(&kvlsm_shared->backup_hint_ms) + HINT_MS;
}

/*
 * A walsender has logged in, maybe for BASE_BACKUP, for which there is no
 * hook.  Its checkpoint may take no more than milliseconds, and the kvlsm WAL
 * must be written up to it before it is copied: the worker watches out.
 */
static void
on_authentication(struct Port *port, int status)
{
	if (prev_authentication)
		prev_authentication(port, status);
	if (!am_walsender || am_db_walsender || status != STATUS_OK ||
		kvlsm_shared == NULL)
		return;
	pg_atomic_write_u64(&kvlsm_shared->backup_hint_ms,
						(uint64) GetCurrentTimestamp() / 1000);
	kvlsm_env()->ops->kick(kvlsm_env(), KV_KICK_WORKER);
}

static void
give_up(void)
{
	if (!counted)
		return;
	counted = false;
	pg_atomic_fetch_sub_u32(&kvlsm_shared->open_backups, 1);
}

static void
at_exit(int code, Datum arg)
{
	give_up();
}

/*
 * The hook also fires for calls that fail later or are never made (EXPLAIN).
 */
static void
at_xact_end(XactEvent event, void *arg)
{
	if ((event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT) && counted &&
		get_backup_status() == SESSION_BACKUP_NONE)
		give_up();
}

/*
 * What was inserted so far is to be in the kvlsm WAL before files are copied:
 * then the copy does not need WAL from before the backup.
 */
static void
wait_for_drain(void)
{
	KVLSM_WAIT_EVENT(wait_event, "KvlsmBackupStart");
	KvDb *db = kvlsm_db_if_ready();
	TimestampTz start = GetCurrentTimestamp();
	KvStats stats;
	uint64 target;

	if (db == NULL)
		return;
	kv_stats(db, &stats);
	target = stats.inserted_lsn;
	while (pg_atomic_read_u64(&kvlsm_shared->synced_lsn) < target &&
		   !TimestampDifferenceExceeds(start, GetCurrentTimestamp(),
									   DRAIN_LIMIT_MS))
	{
		kvlsm_env()->ops->kick(kvlsm_env(), KV_KICK_WORKER);
		ConditionVariableTimedSleep(&kvlsm_shared->waiters, 20, wait_event);
		CHECK_FOR_INTERRUPTS();
	}
	ConditionVariableCancelSleep();
}

static void
on_object_access(ObjectAccessType access, Oid class_id, Oid object_id,
				 int sub_id, void *arg)
{
	static bool registered = false;

	if (prev_object_access)
		prev_object_access(access, class_id, object_id, sub_id, arg);
	if (access != OAT_FUNCTION_EXECUTE || class_id != ProcedureRelationId ||
		object_id != F_PG_BACKUP_START || kvlsm_shared == NULL)
		return;
	if (!registered)
	{
		before_shmem_exit(at_exit, (Datum) 0);
		RegisterXactCallback(at_xact_end, NULL);
		registered = true;
	}
	if (!counted)
	{
		pg_atomic_fetch_add_u32(&kvlsm_shared->open_backups, 1);
		counted = true;
	}
	wait_for_drain();
}

void
kvlsm_install_backup_hook(void)
{
	prev_object_access = object_access_hook;
	object_access_hook = on_object_access;
	prev_authentication = ClientAuthentication_hook;
	ClientAuthentication_hook = on_authentication;
}
