/* SPDX-License-Identifier: PostgreSQL */
/*
 * errors.c - the one table from the engine's statuses to SQLSTATEs, and the
 * messages for a store that cannot be used.
 *
 * Called in any process, outside of engine calls.  Every message says what
 * is wrong; the hint says what to do.
 */
#include "kvlsm.h"

#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/varlena.h"

typedef struct ErrorRow
{
	KvStatus status;
	int sqlstate;		  /* 0: from errno */
	const char *fallback; /* message when the engine gave none */
	const char *hint;
} ErrorRow;

#define HINT_DAMAGE                                                           \
	"Restore from a base backup or a standby; SELECT * FROM "                 \
	"kvlsm_verify() lists what is damaged."

static const ErrorRow table[] = {
	{KV_NOT_FOUND, ERRCODE_DATA_CORRUPTED, "a file of the store is missing",
	 HINT_DAMAGE},
	{KV_CORRUPT, ERRCODE_DATA_CORRUPTED, "the store is damaged", HINT_DAMAGE},
	{KV_IO_ERROR, 0, "a file of the store could not be read or written", NULL},
	{KV_DISK_FULL, ERRCODE_DISK_FULL, "no space left for the store",
	 "Free space on the disk that holds the data directory."},
	{KV_NO_MEMORY, ERRCODE_OUT_OF_MEMORY, "out of memory", NULL},
	{KV_FULL, ERRCODE_PROGRAM_LIMIT_EXCEEDED, "a fixed limit was reached",
	 "Write less in one transaction, or raise kvlsm.max_files."},
	{KV_STALLED, ERRCODE_INSUFFICIENT_RESOURCES,
	 "the store has no room for writes at the moment", "Try again."},
	{KV_RETRY, ERRCODE_INTERNAL_ERROR, "a retry was not handled", NULL},
	{KV_INTERRUPTED, ERRCODE_QUERY_CANCELED, "interrupted", NULL},
	{KV_INVALID, ERRCODE_INVALID_PARAMETER_VALUE, "invalid argument", NULL},
	{KV_TOO_LARGE, ERRCODE_PROGRAM_LIMIT_EXCEEDED,
	 "key, value or batch is too large", NULL},
	{KV_EXISTS, ERRCODE_DUPLICATE_FILE, "a file of the store already exists",
	 NULL},
	{KV_UNSUPPORTED, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
	 "the store was written by a newer version of kvlsm",
	 "Install the newer version; nothing was changed."},
	{KV_FOREIGN, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
	 "the store belongs to another cluster or timeline",
	 "Put the directory \"" KVLSM_DIR "\" of this cluster in its place."},
	{KV_NOT_READY, ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
	 "the store cannot be used now", NULL},
};

static const ErrorRow *
find_row(KvStatus status)
{
	int i;

	for (i = 0; i < (int) lengthof(table); i++)
		if (table[i].status == status)
			return &table[i];
	return NULL;
}

static int
set_sqlstate(const ErrorRow *row, const KvError *err)
{
	if (err != NULL && err->host_code != 0)
		return errcode(err->host_code);
	if (row == NULL)
		return errcode(ERRCODE_INTERNAL_ERROR);
	if (row->sqlstate != 0)
		return errcode(row->sqlstate);
	errno = err != NULL && err->os_errno != 0 ? err->os_errno : EIO;
	return errcode_for_file_access();
}

void
kvlsm_ereport(KvStatus status, const KvError *err)
{
	const ErrorRow *row = find_row(status);
	bool has_message = err != NULL && err->status == status &&
					   err->message[0] != '\0';
	const char *message = has_message ? err->message
						  : row != NULL
							  ? row->fallback
							  : "unexpected status of the kvlsm engine";
	bool has_place = has_message && err->file_no != 0;
	bool has_hint = row != NULL && row->hint != NULL &&
					(err == NULL || err->host_code == 0);

	if (status == KV_INTERRUPTED)
		CHECK_FOR_INTERRUPTS(); /* the real reason, if it is a signal's */
	if (status == KV_NOT_READY)
		kvlsm_error_not_ready(true);

	ereport(ERROR,
			(set_sqlstate(row, err), errmsg("kvlsm: %s", message),
			 has_place
				 ? errdetail("File number %llu in directory \"%s\", offset "
							 "%llu.",
							 (unsigned long long) err->file_no, KVLSM_DIR,
							 (unsigned long long) err->offset)
				 : 0,
			 has_hint ? errhint("%s", row->hint) : 0));
	pg_unreachable();
}

void
kvlsm_error_not_preloaded(void)
{
	const char *current = GetConfigOption("shared_preload_libraries", true,
										  false);
	StringInfoData libs;
	List *names = NIL;
	ListCell *lc;

	/*
	 * Each name is a literal of its own: 'a, b' would be taken as the name
	 * of one library, and the server would not start.
	 */
	initStringInfo(&libs);
	if (current != NULL && SplitDirectoriesString(pstrdup(current), ',', &names))
	{
		foreach (lc, names)
			appendStringInfo(&libs, "%s, ",
							 quote_literal_cstr((char *) lfirst(lc)));
	}
	appendStringInfoString(&libs, "'kvlsm'");
	ereport(ERROR,
			(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			 errmsg("kvlsm must be loaded by shared_preload_libraries"),
			 errhint("Run \"ALTER SYSTEM SET shared_preload_libraries = "
					 "%s;\" and restart the server.",
					 libs.data)));
	pg_unreachable();
}

/* The mode as the engine has it, with its SQLSTATE. */
static void
error_for_mode(KvMode mode, const KvlsmInfo *info, const char *reason)
{
	const ErrorRow *row = find_row(info->status);
	int sqlstate = ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE;
	const char *hint = info->hint;

	if (row != NULL && row->sqlstate != 0)
		sqlstate = row->sqlstate;
	if (hint[0] == '\0')
		hint = mode == KV_MODE_READONLY
				   ? "SELECT * FROM kvlsm_status() shows the state; reading "
					 "works."
				   : "The server log has more; SELECT * FROM kvlsm_status() "
					 "shows the state.";
	ereport(ERROR, (errcode(sqlstate),
					mode == KV_MODE_READONLY
						? errmsg("kvlsm is read-only: %s", reason)
						: errmsg("kvlsm is not available: %s", reason),
					errhint("%s", hint)));
}

void
kvlsm_error_not_ready(bool writing)
{
	KvlsmInfo info;
	char reason[256];
	KvlsmPhase phase;
	KvDb *db = NULL;
	KvMode mode = KV_MODE_STARTING;

	if (kvlsm_shared == NULL)
		kvlsm_error_not_preloaded();
	phase = pg_atomic_read_u32(&kvlsm_shared->phase);
	LWLockAcquire(kvlsm_info_lock(), LW_SHARED);
	info = kvlsm_shared->info;
	LWLockRelease(kvlsm_info_lock());

	if (phase == KVLSM_REFUSED)
		error_for_mode(KV_MODE_OFF, &info, info.reason);
	if (phase == KVLSM_OPEN)
	{
		db = kvlsm_attach();
		mode = kv_mode(db);
	}
	if (mode == KV_MODE_OFF || (mode == KV_MODE_READONLY && writing))
	{
		kv_mode_reason(db, reason, sizeof(reason));
		error_for_mode(mode, &info, reason);
	}
	ereport(ERROR, (errcode(ERRCODE_CANNOT_CONNECT_NOW),
					errmsg("kvlsm is starting up"),
					errhint("Try again in a moment.")));
	pg_unreachable();
}
