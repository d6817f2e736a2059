/* SPDX-License-Identifier: PostgreSQL */
/*
 * sql_admin_server.c - functions about the server side of kvlsm: its state,
 * its shared memory, its replication slot.
 *
 * kvlsm_status() and kvlsm_shared_memory_size() answer in every state of the
 * store, so that an administrator can always ask.
 */
#include "kvlsm.h"

#include "access/htup_details.h"
#include "access/xlog.h"
#include "compat.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/pg_lsn.h"
#include "utils/timestamp.h"

#define DROP_WAIT_MS 10000

PG_FUNCTION_INFO_V1(kvlsm_sql_drop_slot);
PG_FUNCTION_INFO_V1(kvlsm_sql_shared_memory_size);
PG_FUNCTION_INFO_V1(kvlsm_sql_status);

/* Writers must be refused before the slot that protects them is gone. */
static void
wait_until_not_writable(void)
{
	KVLSM_WAIT_EVENT(wait_event, "KvlsmDropSlot");
	TimestampTz start = GetCurrentTimestamp();

	ConditionVariablePrepareToSleep(&kvlsm_shared->waiters);
	for (;;)
	{
		KvDb *db = kvlsm_db_if_ready();

		if (db == NULL || kv_mode(db) != KV_MODE_NORMAL)
			break;
		if (TimestampDifferenceExceeds(start, GetCurrentTimestamp(),
									   DROP_WAIT_MS))
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_IN_USE),
					 errmsg("kvlsm's engine worker does not answer"),
					 errhint("Try again; the server log may say more.")));
		kvlsm_env()->ops->kick(kvlsm_env(), KV_KICK_WORKER);
		ConditionVariableTimedSleep(&kvlsm_shared->waiters, 100, wait_event);
	}
	ConditionVariableCancelSleep();
}

/*
 * Makes the store read-only until the next start and drops the replication
 * slot: before kvlsm is taken out of shared_preload_libraries, because a slot
 * that nobody moves keeps PostgreSQL's WAL for ever.
 */
Datum
kvlsm_sql_drop_slot(PG_FUNCTION_ARGS)
{
	bool exists;

	if (!superuser())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be superuser to drop kvlsm's replication "
							   "slot")));
	if (RecoveryInProgress())
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("kvlsm has no replication slot on a standby server")));
	if (kvlsm_shared != NULL)
	{
		pg_atomic_write_u32(&kvlsm_shared->slot_state, KVLSM_SLOT_DROPPED);
		wait_until_not_writable();
		pg_atomic_write_u64(&kvlsm_shared->slot_lsn, 0);
	}
	exists = SearchNamedReplicationSlot(KVLSM_SLOT, true) != NULL;
	if (exists)
		ReplicationSlotDrop(KVLSM_SLOT, false);
	PG_RETURN_BOOL(exists);
}

Datum
kvlsm_sql_shared_memory_size(PG_FUNCTION_ARGS)
{
	if (kvlsm_shared == NULL)
		kvlsm_error_not_preloaded();
	PG_RETURN_INT64((int64) (offsetof(KvlsmShared, engine) +
							 kvlsm_shared->engine_bytes));
}

static const char *
mode_name(const KvlsmInfo *info, char *reason, size_t cap)
{
	KvDb *db;

	reason[0] = '\0';
	if (kvlsm_shared == NULL)
		return "not preloaded";
	if (RecoveryInProgress())
		return "standby";
	switch (pg_atomic_read_u32(&kvlsm_shared->phase))
	{
	case KVLSM_STARTING:
		return "starting";
	case KVLSM_REFUSED:
		strlcpy(reason, info->reason, cap);
		return "off";
	}
	db = kvlsm_attach();
	kv_mode_reason(db, reason, cap);
	switch (kv_mode(db))
	{
	case KV_MODE_NORMAL:
		return "normal";
	case KV_MODE_READONLY:
		return "readonly";
	case KV_MODE_OFF:
		return "off";
	default:
		return "starting";
	}
}

static const char *
slot_name_of_state(void)
{
	switch (pg_atomic_read_u32(&kvlsm_shared->slot_state))
	{
	case KVLSM_SLOT_PRESENT:
		return "present";
	case KVLSM_SLOT_ABSENT:
		return "absent";
	case KVLSM_SLOT_LOST:
		return "lost";
	case KVLSM_SLOT_DROPPED:
		return "dropped";
	default:
		return "unknown";
	}
}

static void
put_lsn(Datum *value, bool *is_null, XLogRecPtr lsn)
{
	*is_null = lsn == 0;
	*value = LSNGetDatum(lsn);
}

Datum
kvlsm_sql_status(PG_FUNCTION_ARGS)
{
	enum
	{
		MODE,
		REASON,
		HINT,
		WORKER_PID,
		SLOT_STATE,
		SLOT_LSN,
		SYNCED_LSN,
		BACKUP,
		FILES,
		WAL_RECORDS,
		REPLAYED,
		RECOVERY_MS,
		COLUMNS
	};
	TupleDesc desc;
	Datum values[COLUMNS] = {0};
	bool nulls[COLUMNS];
	KvlsmInfo info = {0};
	char reason[sizeof(info.reason)];
	const char *mode;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE ||
		desc->natts != COLUMNS)
		elog(ERROR, "unexpected result type of kvlsm_status");
	memset(nulls, true, sizeof(nulls));
	if (kvlsm_shared != NULL)
	{
		LWLockAcquire(kvlsm_info_lock(), LW_SHARED);
		info = kvlsm_shared->info;
		LWLockRelease(kvlsm_info_lock());
	}
	mode = mode_name(&info, reason, sizeof(reason));
	values[MODE] = CStringGetTextDatum(mode);
	values[REASON] = CStringGetTextDatum(reason);
	values[HINT] = CStringGetTextDatum(reason[0] != '\0' ? info.hint : "");
	nulls[MODE] = false;
	nulls[REASON] = reason[0] == '\0';
	nulls[HINT] = reason[0] == '\0';
	if (kvlsm_shared != NULL && !RecoveryInProgress())
	{
		values[WORKER_PID] = Int32GetDatum(info.worker_pid);
		nulls[WORKER_PID] = info.worker_pid == 0;
		values[SLOT_STATE] = CStringGetTextDatum(slot_name_of_state());
		put_lsn(&values[SLOT_LSN], &nulls[SLOT_LSN],
				pg_atomic_read_u64(&kvlsm_shared->slot_lsn));
		put_lsn(&values[SYNCED_LSN], &nulls[SYNCED_LSN],
				pg_atomic_read_u64(&kvlsm_shared->synced_lsn));
		values[BACKUP] = BoolGetDatum(kvlsm_backup_running());
		values[FILES] = Int64GetDatum(info.files);
		values[WAL_RECORDS] = Int64GetDatum(info.wal_records);
		values[REPLAYED] = Int64GetDatum(info.replayed);
		values[RECOVERY_MS] = Int64GetDatum(info.recovery_ms);
		nulls[SLOT_STATE] = nulls[BACKUP] = nulls[FILES] = false;
		nulls[WAL_RECORDS] = nulls[REPLAYED] = nulls[RECOVERY_MS] = false;
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(desc, values, nulls)));
}
