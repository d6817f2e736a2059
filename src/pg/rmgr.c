/* SPDX-License-Identifier: PostgreSQL */
/*
 * rmgr.c - kvlsm's records in PostgreSQL's WAL.
 *
 * Redo keeps the WAL it starts from and does nothing else: the applier reads
 * the records once recovery is over (applier.c), so that nothing here can
 * stop a server from starting.  The inserting functions run in backends, in
 * PRE_COMMIT; the transaction's id is the record's xl_xid.
 */
#include "kvlsm.h"

#include <unistd.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "access/xloginsert.h"
#include "access/xlogrecovery.h"
#include "compat.h"

/* The engine worker does not run yet: it starts when recovery is over. */
static void
redo(XLogReaderState *record)
{
}

static void
desc(StringInfo buf, XLogReaderState *record)
{
	KvSlice data = kv_slice(XLogRecGetData(record), XLogRecGetDataLen(record));
	uint64 first, second;

	if (!kvlsm_take_le64(&data, &first))
		return;
	switch (XLogRecGetInfo(record) & XLR_RMGR_INFO_MASK)
	{
	case KVLSM_XLOG_BATCH:
	case KVLSM_XLOG_INGEST:
		appendStringInfo(buf, "csn %llu, %zu bytes",
						 (unsigned long long) first, data.len);
		break;
	case KVLSM_XLOG_FILE:
		if (kvlsm_take_le64(&data, &second))
			appendStringInfo(buf, "file %llu, offset %llu, %zu bytes",
							 (unsigned long long) first,
							 (unsigned long long) second, data.len);
		break;
	}
}

static const char *
identify(uint8 info)
{
	switch (info & XLR_RMGR_INFO_MASK)
	{
	case KVLSM_XLOG_BATCH:
		return "BATCH";
	case KVLSM_XLOG_FILE:
		return "FILE";
	case KVLSM_XLOG_INGEST:
		return "INGEST";
	}
	return NULL;
}

static bool
slot_exists(XLogRecPtr *oldest)
{
	bool found = false;
	int i;

	*oldest = InvalidXLogRecPtr;
	for (i = 0; i < max_replication_slots; i++)
	{
		ReplicationSlot *slot = &ReplicationSlotCtl->replication_slots[i];
		XLogRecPtr lsn = slot->data.restart_lsn;

		if (!slot->in_use)
			continue;
		if (strcmp(NameStr(slot->data.name), KVLSM_SLOT) == 0)
			found = true;
		if (lsn != 0 && (*oldest == 0 || lsn < *oldest))
			*oldest = lsn;
	}
	return found;
}

/*
 * Redo begins.  A restored base backup has the folder but no slot, and the
 * checkpoint at the end of its recovery would remove the WAL that the applier
 * is about to read.  So WAL is kept from here until the slot is made.  A
 * standby would keep it for ever: it does without.  Startup process, in which
 * nothing else touches slots yet.
 */
static void
keep_wal(void)
{
	XLogRecPtr start = GetXLogReplayRecPtr(NULL);
	XLogRecPtr oldest;

	if (access(STANDBY_SIGNAL_FILE, F_OK) == 0 ||
		access(KVLSM_DIR "/CURRENT", F_OK) != 0 || slot_exists(&oldest))
		return;
	if (oldest == 0 || start < oldest)
		XLogSetReplicationSlotMinimumLSN(start);
}

static RmgrData rmgr = {
	.rm_name = "kvlsm",
	.rm_startup = keep_wal,
	.rm_redo = redo,
	.rm_desc = desc,
	.rm_identify = identify,
};

void
kvlsm_register_rmgr(void)
{
	RegisterCustomRmgr(KVLSM_RMGR_ID, &rmgr);
}

static XLogRecPtr
insert_with_csn(uint8 info, uint64 csn, const void *payload, Size len)
{
	char head[8];

	kvlsm_store_le64(head, csn);
	XLogBeginInsert();
	XLogRegisterData(head, sizeof(head));
	if (len > 0)
		XLogRegisterData((char *) payload, len);
	return XLogInsert(KVLSM_RMGR_ID, info);
}

XLogRecPtr
kvlsm_log_batch(uint64 csn, const void *payload, Size len)
{
	return insert_with_csn(KVLSM_XLOG_BATCH, csn, payload, len);
}

XLogRecPtr
kvlsm_log_ingest(uint64 csn, const void *payload, Size len)
{
	return insert_with_csn(KVLSM_XLOG_INGEST, csn, payload, len);
}

XLogRecPtr
kvlsm_log_file_piece(uint64 file_no, uint64 offset, const void *bytes, Size len)
{
	char head[16];

	kvlsm_store_le64(head, file_no);
	kvlsm_store_le64(head + 8, offset);
	XLogBeginInsert();
	XLogRegisterData(head, sizeof(head));
	XLogRegisterData((char *) bytes, len);
	return XLogInsert(KVLSM_RMGR_ID, KVLSM_XLOG_FILE);
}
