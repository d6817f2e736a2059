/* SPDX-License-Identifier: PostgreSQL */
/*
 * wal.h - the kvlsm WAL: ring, segment writer, segment reader.
 *
 * The engine's own redo log.  Writers of batches append records to a ring in
 * shared memory under KV_LOCK_LOG; whoever holds KV_LOCK_WAL_IO (in the
 * server: the engine worker alone) moves them from the ring into segment
 * files as checksummed groups and syncs them.  docs/format.md has the bytes.
 */
#ifndef KV_WAL_H
#define KV_WAL_H

#include "engine/base/entry.h"
#include "engine/base/identity.h"
#include "engine/kv_env.h"

/* On disk: never renumbered. */
typedef enum KvLogType
{
	KV_LOG_BATCH = 1,  /* payload: entries, see lsm/write_batch.c */
	KV_LOG_INGEST = 2, /* payload: encoded file metas, see lsm/manifest.h */
	KV_LOG_SETTLE = 3, /* payload: KvSettle; for its lsn, see lsm/drain.c */
	KV_LOG_SWITCH = 100 /* ring only: the next segment starts; xid = its number */
} KvLogType;

typedef struct KvLogRecord
{
	uint8_t type; /* KvLogType */
	uint64_t csn;
	uint64_t xid;
	uint64_t lsn; /* end of the host's record; 0 without a host log */
	KvSlice payload;
} KvLogRecord;

/* ---- ring (ring.c): shared; appended under KV_LOCK_LOG, read under KV_LOCK_WAL_IO */
typedef struct KvRing KvRing; /* the start of its area */

size_t kv_ring_area(size_t ring_bytes);
/* area: aligned to 8 */
void kv_ring_init(void *area, size_t ring_bytes);
/*
 * Bytes that a record with such a payload takes: it fits if that is at most
 * kv_ring_free.  As records do not wrap, only a record of at most half of
 * kv_ring_size is sure to fit into a drained ring.
 */
size_t kv_ring_bound(size_t payload);
/* the largest record that fits now; only draining changes it, upwards */
size_t kv_ring_free(const KvRing *ring);
size_t kv_ring_size(const KvRing *ring);
/* KV_FULL leaves the ring as it was.  Positions are byte counts for ever. */
KvStatus kv_ring_append(KvRing *ring, const KvLogRecord *rec,
						uint64_t *end_pos) KV_MUST_CHECK;
uint64_t kv_ring_inserted(const KvRing *ring); /* end of the newest record */
uint64_t kv_ring_written(const KvRing *ring);  /* all before it is in files */
/*
 * Drainer: the record at *pos, if *pos < inserted; advances *pos.  payload
 * is contiguous (records never wrap: the ring skips its tail) and stays
 * valid until kv_ring_release passes it.
 */
bool kv_ring_read(const KvRing *ring, uint64_t *pos, KvLogRecord *rec);
void kv_ring_release(KvRing *ring, uint64_t pos);

/* ---- segment writer (wal_writer.c): one at a time, under KV_LOCK_WAL_IO */
typedef struct KvWalWriter KvWalWriter;

typedef struct KvWalStart
{
	uint64_t segment_no;	  /* the file is <segment_no>.wal */
	uint64_t prev_segment_no; /* 0: none */
	uint64_t prev_length;	  /* its final length; all of it is synced */
	uint64_t start_csn;		  /* every record here has a larger csn */
	uint64_t start_lsn;		  /* and a larger lsn */
} KvWalStart;

/*
 * Creates the segment (KV_EXISTS is an error: numbers are never reused),
 * writes its header, preallocates prealloc bytes, syncs file and folder.
 * Later the file is extended by as much whenever a write would pass its end;
 * where the last group ends is known without that (0: nothing ahead).
 * The file gets its name once it is synced: a bad header is always damage.
 */
KvStatus kv_wal_create(KvEnv *env, const KvIdentity *identity,
					   const KvWalStart *start, uint64_t prealloc,
					   KvWalWriter **writer, KvError *err) KV_MUST_CHECK;
/*
 * Collects in private memory; a group is closed at KV_WAL_GROUP_MAX.  The
 * payload is copied.  KV_NO_MEMORY and KV_TOO_LARGE leave all as it was.
 */
KvStatus kv_wal_add(KvWalWriter *w, const KvLogRecord *rec,
					KvError *err) KV_MUST_CHECK;
size_t kv_wal_pending(const KvWalWriter *w); /* bytes collected */
/*
 * Writes what was collected, if anything, in one call, after the host's log
 * up to its highest lsn is durable (WAL before data).  If that fails,
 * nothing was written and the call may be repeated.  Any other failure
 * poisons the writer: every later call returns the same status, the tail is
 * unknown.
 */
KvStatus kv_wal_write(KvWalWriter *w, KvError *err) KV_MUST_CHECK;
KvStatus kv_wal_sync(KvWalWriter *w, KvError *err) KV_MUST_CHECK;
/* Forgets what was collected and not written. */
void kv_wal_discard(KvWalWriter *w);
uint64_t kv_wal_length(const KvWalWriter *w); /* end of the last group */
uint64_t kv_wal_segment(const KvWalWriter *w);
/* Does not sync. */
void kv_wal_close(KvWalWriter *w);

/* ---- segment reader (wal_reader.c): recovery, verify */
typedef struct KvWalReader KvWalReader;

/*
 * KV_NOT_FOUND: no such file.  KV_UNSUPPORTED, KV_FOREIGN, KV_CORRUPT: the
 * header.  *start is filled on KV_OK.
 */
KvStatus kv_wal_open(KvEnv *env, const KvIdentity *identity,
					 uint64_t segment_no, KvWalReader **reader,
					 KvWalStart *start, KvError *err) KV_MUST_CHECK;
/*
 * The next record.  KV_OK; KV_NOT_FOUND at the clean or torn end; KV_CORRUPT
 * when bytes that were synced are damaged: a bad group below limit, or below
 * the synced-through mark of a later good group.  limit is the final length
 * that the next segment's header tells, or 0 for the last segment (whose
 * tail may be torn).  rec->payload lives until the next call.
 */
KvStatus kv_wal_next(KvWalReader *r, uint64_t limit, KvLogRecord *rec,
					 KvError *err) KV_MUST_CHECK;
/*
 * End of the group that kv_wal_next is in, or after its end: of the last good
 * group; bytes from the start of the file.
 */
uint64_t kv_wal_good_end(const KvWalReader *r);
/* On which timeline the group was written that holds the last record. */
uint32_t kv_wal_timeline(const KvWalReader *r);
/*
 * Makes the file durable.  After a mere crash of the process its tail may
 * not be: called before anything is based on what was read (the next
 * segment, whose header tells this one's length; an acknowledgement).
 * *failed: the sync itself, which is final; any other failure is not.
 */
KvStatus kv_wal_reader_sync(KvWalReader *r, bool *failed,
							KvError *err) KV_MUST_CHECK;
void kv_wal_reader_close(KvWalReader *r);

/* ---- payload of KV_LOG_SETTLE (settle.c) */
/*
 * Every batch with a csn of at most csn_through has ended; all of them
 * committed, except those of the aborted xids.  Written with 0 and none
 * today: nobody reads it back, the record counts for its lsn.
 */
typedef struct KvSettle
{
	uint64_t csn_through;
	uint32_t n_aborted;
	const char *aborted; /* encoded xids, borrowed from the payload */
} KvSettle;

size_t kv_settle_size(uint32_t n_aborted);
/* buf: kv_settle_size bytes */
void kv_settle_encode(char *buf, uint64_t csn_through, const uint64_t *aborted,
					  uint32_t n_aborted);
/* KV_CORRUPT (file and offset unknown here) if malformed. */
KvStatus kv_settle_decode(KvSlice payload, KvSettle *settle,
						  KvError *err) KV_MUST_CHECK;
uint64_t kv_settle_aborted(const KvSettle *settle, uint32_t i);

#endif /* KV_WAL_H */
