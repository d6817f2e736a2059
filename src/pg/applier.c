/* SPDX-License-Identifier: PostgreSQL */
/*
 * applier.c - batches out of PostgreSQL's WAL into the engine.
 *
 * Called by the engine worker in its recovery, when PostgreSQL's own recovery
 * is over: the commit log knows how every transaction ended.  Reads from
 * where the kvlsm WAL ends to the end of PostgreSQL's.  A segment that is
 * gone is an error, never a gap.
 */
#include "kvlsm.h"

#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "access/xlogreader.h"
#include "access/xlogutils.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define PROGRESS_MS 10000

typedef struct Applier
{
	KvDb *db;
	XLogRecPtr from, end;
	uint64 records;
	FullTransactionId next_xid;
	XLogReaderState *reader;
	ReadLocalXLogPageNoWaitPrivate private_data;
	TimestampTz last_report;
} Applier;

/* 0 stays 0; any other belongs to one of the last two epochs. */
static uint64
full_xid(const Applier *a, TransactionId xid)
{
	uint32 epoch = EpochFromFullTransactionId(a->next_xid);

	if (xid == InvalidTransactionId)
		return 0;
	if (xid > XidFromFullTransactionId(a->next_xid))
		epoch--;
	return U64FromFullTransactionId(FullTransactionIdFromEpochAndXid(epoch,
																	 xid));
}

static KvStatus
apply_record(Applier *a, KvError *err)
{
	XLogReaderState *r = a->reader;
	KvSlice data = kv_slice(XLogRecGetData(r), XLogRecGetDataLen(r));
	uint64 xid = full_xid(a, XLogRecGetXid(r));
	uint64 first, offset;

	a->records++;
	if (!kvlsm_take_le64(&data, &first))
		return kv_corrupt(err, 0, 0,
						  "record at %X/%X of PostgreSQL's WAL is "
						  "too short",
						  LSN_FORMAT_ARGS(r->ReadRecPtr));
	switch (XLogRecGetInfo(r) & XLR_RMGR_INFO_MASK)
	{
	case KVLSM_XLOG_BATCH:
		return kv_replay_batch(a->db, r->EndRecPtr, xid, first, data, err);
	case KVLSM_XLOG_INGEST:
		return kv_replay_ingest(a->db, r->EndRecPtr, xid, first, data, err);
	case KVLSM_XLOG_FILE:
		if (!kvlsm_take_le64(&data, &offset))
			break;
		return kv_replay_file(a->db, first, offset, data, err);
	}
	return kv_fail(err, KV_UNSUPPORTED,
				   "record at %X/%X of PostgreSQL's WAL was written by a "
				   "newer "
				   "version of kvlsm",
				   LSN_FORMAT_ARGS(r->ReadRecPtr));
}

static void
report_progress(Applier *a)
{
	TimestampTz now = GetCurrentTimestamp();

	if (TimestampDifferenceMilliseconds(a->last_report, now) < PROGRESS_MS)
		return;
	a->last_report = now;
	ereport(LOG,
			(errmsg("kvlsm: reading PostgreSQL's WAL, now at %X/%X of "
					"%X/%X, %llu records",
					LSN_FORMAT_ARGS(a->reader->EndRecPtr),
					LSN_FORMAT_ARGS(a->end), (unsigned long long) a->records)));
}

static KvStatus
read_error(Applier *a, const char *message, KvError *err)
{
	return kv_corrupt(err, 0, 0,
					  "PostgreSQL's WAL is needed from %X/%X to %X/%X and "
					  "cannot be read at %X/%X: %s",
					  LSN_FORMAT_ARGS(a->from), LSN_FORMAT_ARGS(a->end),
					  LSN_FORMAT_ARGS(a->reader->EndRecPtr),
					  message != NULL ? message : "no valid record");
}

/*
 * What the WAL reader raised.  A segment that is gone or cut short does not
 * come back; after anything else the next attempt may succeed.
 */
static KvStatus
raised_error(Applier *a, const ErrorData *edata, KvError *err)
{
	switch (edata->sqlerrcode)
	{
	case ERRCODE_UNDEFINED_FILE:
	case ERRCODE_DATA_CORRUPTED:
		return read_error(a, edata->message, err);
	case ERRCODE_OUT_OF_MEMORY:
		return kv_fail(err, KV_NO_MEMORY, "%s", edata->message);
	default:
		return kv_fail(err, KV_IO_ERROR, "%s", edata->message);
	}
}

/* May raise what the WAL reader raises. */
static KvStatus
apply_all(Applier *a, KvError *err)
{
	XLogRecPtr start;
	KvStatus status = KV_OK;

	/* from may be the start of a page: there is no record at that very place */
	start = XLogFindNextRecord(a->reader, a->from);
	if (XLogRecPtrIsInvalid(start))
	{
		if (a->private_data.end_of_wal)
			return KV_OK;
		return read_error(a, NULL, err);
	}
	XLogBeginRead(a->reader, start);
	while (status == KV_OK)
	{
		char *message = NULL;
		XLogRecord *record = XLogReadRecord(a->reader, &message);

		if (record == NULL)
		{
			if (a->private_data.end_of_wal || a->reader->EndRecPtr >= a->end)
				break;
			return read_error(a, message, err);
		}
		if (a->reader->ReadRecPtr >= a->end)
			break;
		if (XLogRecGetRmid(a->reader) == KVLSM_RMGR_ID)
			status = apply_record(a, err);
		report_progress(a);
		CHECK_FOR_INTERRUPTS();
		if (status == KV_OK && kvlsm_env()->ops->poll(kvlsm_env()))
			return kv_fail(err, KV_INTERRUPTED, "interrupted");
	}
	if (status == KV_OK && a->reader->EndRecPtr < a->end &&
		!a->private_data.end_of_wal)
		return read_error(a, NULL, err);
	return status;
}

KvStatus
kvlsm_apply(KvDb *db, XLogRecPtr from_lsn, XLogRecPtr end_lsn, uint64 *records,
			KvError *err)
{
	MemoryContext outer = CurrentMemoryContext;
	Applier a = {0};
	volatile KvStatus status = KV_OK;

	*records = 0;
	if (from_lsn >= end_lsn)
		return KV_OK;
	a.db = db;
	a.from = from_lsn;
	a.end = end_lsn;
	a.next_xid = ReadNextFullTransactionId();
	a.last_report = GetCurrentTimestamp();
	a.reader =
		XLogReaderAllocate(wal_segment_size, NULL,
						   XL_ROUTINE(.page_read = &read_local_xlog_page_no_wait,
									  .segment_open = &wal_segment_open,
									  .segment_close = &wal_segment_close),
						   &a.private_data);
	if (a.reader == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory");
	a.reader->EndRecPtr = from_lsn;

	PG_TRY();
	{
		status = apply_all(&a, err);
	}
	PG_CATCH();
	{
		ErrorData *edata;

		MemoryContextSwitchTo(outer);
		edata = CopyErrorData();
		FlushErrorState();
		status = raised_error(&a, edata, err);
		FreeErrorData(edata);
	}
	PG_END_TRY();
	*records = a.records;
	XLogReaderFree(a.reader);
	return status;
}
