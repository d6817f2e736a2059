/* SPDX-License-Identifier: PostgreSQL */
/*
 * kv_engine.h - the engine as its host sees it.
 *
 * With kv_env.h this is all of src/engine that src/pg may include.  State
 * that processes share lives in one region that the host supplies; each
 * process attaches to it and gets a KvDb of its own.  No function throws,
 * waits or exits: where room is missing a function returns KV_STALLED, and
 * the host waits for a kick (KV_KICK_WAITERS) in its own way and calls again.
 *
 * Roles.  One process at a time is the worker (kv_recover, kv_replay_*,
 * kv_open_for_use, or kv_take_over; then kv_worker_step, kv_mark_host_log,
 * kv_shutdown); one is the compactor (kv_compact_step, kv_compact_abandon);
 * every other process reads and writes.  Without worker processes (tests,
 * benchmarks) one thread may play all the roles.  A KvDb is used by one
 * thread at a time.
 *
 * Any function may return KV_NO_MEMORY and the failures of the callbacks it
 * needs (kv_env.h) besides those that are named; unless something else is
 * said, a failure leaves the store as it was and the call may be repeated.
 */
#ifndef KV_ENGINE_H
#define KV_ENGINE_H

#include "engine/base/entry.h"
#include "engine/base/identity.h"
#include "engine/kv_env.h"

typedef struct KvDb KvDb;

/* Constant after kv_shared_init.  Sizes in bytes. */
typedef struct KvConfig
{
	uint64_t memtable_bytes; /* of one memtable */
	uint32_t memtables;		 /* active and immutable together, >= 2, <= 8 */
	uint64_t ring_bytes;	 /* kvlsm WAL ring */
	uint64_t cache_bytes;	 /* block cache */
	uint64_t file_bytes;	 /* SSTables are cut at about this size */
	uint64_t job_bytes;		 /* a compaction reads about that much at most */
	uint64_t wal_prealloc;	 /* steps in which a WAL segment's file grows */
	uint64_t manifest_bytes; /* a longer MANIFEST is replaced by a new one */
	uint32_t block_bytes;	 /* data block before compression */
	uint32_t max_files;		 /* SSTables that may exist at once */
	uint32_t max_readers;	 /* processes that may attach */
	/*
	 * The runs above the last level may come to that share of it: less costs
	 * more rewriting, more costs more space and reading.
	 */
	uint32_t space_percent;
	uint32_t l0_compact; /* files in L0 that start a compaction */
	uint32_t l0_stop;	 /* files in L0 that stall writers */
	bool lz4;
	bool host_log; /* the host's log is the truth: a gap in ours is no loss */
} KvConfig;

void kv_config_default(KvConfig *config);
/* KV_INVALID with a message that names the setting. */
KvStatus kv_config_check(const KvConfig *config, KvError *err) KV_MUST_CHECK;
size_t kv_shared_bytes(const KvConfig *config);
/* shared: kv_shared_bytes long, 64-byte aligned; any content. */
void kv_shared_init(void *shared, const KvConfig *config);

/*
 * Attaches this process as reader number reader_no (< max_readers, used by
 * nobody else at the same time).  KV_NO_MEMORY.
 */
KvStatus kv_attach(KvEnv *env, void *shared, uint32_t reader_no, KvDb **db,
				   KvError *err) KV_MUST_CHECK;
/* Releases every pin of this process; open scans become invalid. */
void kv_detach(KvDb *db);
/*
 * Releases what an error has left behind that the host threw through a call
 * of the engine: scans, and the version that was being looked at, without
 * which no other could be installed for long.  Frees whatever is still open.
 */
void kv_reset(KvDb *db);

/* ---- state of the store */
typedef enum KvMode
{
	KV_MODE_STARTING, /* recovery has not finished: nothing works yet */
	KV_MODE_NORMAL,
	KV_MODE_READONLY, /* reads work; kv_mode_reason says what to do */
	KV_MODE_OFF		  /* refused; kv_mode_reason says why */
} KvMode;

KvMode kv_mode(const KvDb *db);
/* one line for people; "" in KV_MODE_NORMAL.  Copied into buf. */
void kv_mode_reason(const KvDb *db, char *buf, size_t cap);
void kv_set_mode(KvDb *db, KvMode mode, const char *reason);

/* ---- recovery: worker only, in this order */
typedef struct KvHost
{
	KvIdentity identity; /* system id, current timeline; incarnation ignored */
	/*
	 * End of the host's log after its recovery; entries beyond it, or on a
	 * timeline for which in_history says false, are cut.  0: no cut.
	 */
	uint64_t end_lsn;
	bool (*in_history)(void *arg, uint32_t timeline, uint64_t lsn);
	void *arg;
} KvHost;

typedef struct KvRecovery
{
	bool created;		   /* the folder was empty: a new store */
	uint32_t files;		   /* SSTables */
	uint32_t wal_segments; /* that were read */
	uint64_t wal_records;
	uint64_t lsn;	   /* the host replays its log from here (0: new store) */
	bool stepped_back; /* the folder was an incomplete copy */
} KvRecovery;

/*
 * Reads CURRENT, MANIFEST and the kvlsm WAL into memtables.  Batches whose
 * transaction did not commit are dropped (env->xact_state must know them
 * all: KV_XACT_UNKNOWN is KV_CORRUPT).  KV_CORRUPT, KV_FOREIGN,
 * KV_UNSUPPORTED: refused.  If CURRENT, the MANIFEST or a segment's header
 * says so, nothing in the folder was changed; damage further inside a segment
 * is met when a new MANIFEST is in place, and perhaps files with what stood
 * before it: no segment is touched, so a second attempt ends the same way.
 * After a failure the shared region is to be initialised before another.
 */
KvStatus kv_recover(KvDb *db, const KvHost *host, KvRecovery *out,
					KvError *err) KV_MUST_CHECK;
/*
 * The host's log, in its order, from KvRecovery.lsn on.  payload as given to
 * log_batch.  Records that are known already are recognised by lsn.
 */
KvStatus kv_replay_batch(KvDb *db, uint64_t lsn, uint64_t xid, uint64_t csn,
						 KvSlice payload, KvError *err) KV_MUST_CHECK;
/* A piece of an ingested file; only written if the file is not there. */
KvStatus kv_replay_file(KvDb *db, uint64_t file_no, uint64_t offset,
						KvSlice bytes, KvError *err) KV_MUST_CHECK;
KvStatus kv_replay_ingest(KvDb *db, uint64_t lsn, uint64_t xid, uint64_t csn,
						  KvSlice payload, KvError *err) KV_MUST_CHECK;
/*
 * Ends recovery: flushes what was replayed, starts a new WAL segment, sweeps
 * leftovers, sets KV_MODE_NORMAL.  lsn: the host's log was replayed up to
 * here.  After a failure the mode is still KV_MODE_STARTING.
 */
KvStatus kv_open_for_use(KvDb *db, uint64_t lsn, KvError *err) KV_MUST_CHECK;
/*
 * A worker that was restarted while the shared region lived on (not a
 * crash): takes over the files without recovering anything.  KV_NOT_READY:
 * its predecessor ended between two steps, only a restart helps.
 */
KvStatus kv_take_over(KvDb *db, const KvHost *host, KvError *err) KV_MUST_CHECK;

/* ---- the worker's daily work */
typedef struct KvWork
{
	bool more;			 /* call again at once */
	bool progressed;	 /* something was done */
	uint64_t synced_lsn; /* the host may recycle its log below this */
	uint64_t flushed_bytes;
	uint32_t removed_files;
} KvWork;

/*
 * One round: ring to WAL files and sync, settle ended transactions, flush
 * one immutable memtable, install a finished compaction, keep number
 * ceilings ahead, remove obsolete files.  An error leaves the store usable
 * for readers; the host logs it and calls again later.  KV_IO_ERROR of a
 * sync is final (the host panics or restarts).
 */
KvStatus kv_worker_step(KvDb *db, KvWork *work, KvError *err) KV_MUST_CHECK;
/*
 * Names the host's position in the kvlsm WAL now, although nothing new is to
 * be written: a copy of the folder then needs the host's log from there on.
 * Worker only.
 */
KvStatus kv_mark_host_log(KvDb *db, KvError *err) KV_MUST_CHECK;
/* Ring to files and sync only.  The worker, or where none runs, anyone. */
KvStatus kv_sync_log(KvDb *db, KvError *err) KV_MUST_CHECK;
/* Writes and syncs everything that is in memory to the WAL and closes. */
KvStatus kv_shutdown(KvDb *db, KvError *err) KV_MUST_CHECK;

/* ---- compactor */
/*
 * Picks a compaction if none is under way, or goes on with the one that is,
 * for about budget input bytes.  *busy: there is work left (call again; when
 * false, wait for a kick).
 */
KvStatus kv_compact_step(KvDb *db, uint64_t budget, bool *busy,
						 KvError *err) KV_MUST_CHECK;
/* Drops the job under way, removes its output. */
void kv_compact_abandon(KvDb *db);
/* Bytes, before compression, that this process has merged: for pacing. */
uint64_t kv_compact_merged(const KvDb *db);
/* Any process: no step does anything until it is resumed.  Not durable. */
void kv_pause_compaction(KvDb *db, bool pause);
bool kv_compaction_paused(const KvDb *db);

/* ---- writing */
/*
 * The entries of one atomic batch, encoded as they stand in the kvlsm WAL
 * and in the host's log.  Zero-initialised = empty.
 */
typedef struct KvBatch
{
	char *data;
	size_t len, cap;
	uint32_t count;
	size_t payload; /* key and value bytes, for the memtable's bound */
} KvBatch;

/*
 * KV_NO_MEMORY, KV_TOO_LARGE.  Keys of one batch are distinct.
 *
 * KV_KIND_RANGE_DELETE: key and value are the bounds [key, value), both with a
 * store id, else KV_INVALID.  It hides what was written before this batch,
 * none of the batch itself, and may begin at a key of the batch.  Ingested runs
 * refuse it (KV_INVALID).
 */
KvStatus kv_batch_add(KvEnv *env, KvBatch *batch, const KvEntry *entry,
					  KvError *err) KV_MUST_CHECK;
void kv_batch_reset(KvBatch *batch); /* empty, memory kept */
void kv_batch_free(KvEnv *env, KvBatch *batch);
/* Takes the next entry off the front of payload (after kv_batch_start). */
KvStatus kv_batch_start(KvSlice *payload, uint32_t *count,
						KvError *err) KV_MUST_CHECK;
KvStatus kv_batch_next(KvSlice *payload, KvEntry *entry,
					   KvError *err) KV_MUST_CHECK;

/* A batch with more is split by the caller, or ingested. */
#define KV_SLICE_ENTRIES 256
/* Largest batch (encoded) and largest entry that go through the memtable. */
size_t kv_max_batch_bytes(const KvDb *db);
/* A write set of more bytes than this is better ingested. */
uint64_t kv_ingest_threshold(const KvDb *db);

typedef struct KvWrite
{
	const KvBatch *batch;
	uint64_t xid; /* 0: visible at once (hosts without transactions) */
	/*
	 * Called under KV_LOCK_LOG with the csn; logs the batch in the host's
	 * log and returns the end LSN.  NULL: no host log.  May throw
	 * (longjmp): the csn is lost, which is harmless, nothing else has been
	 * changed by then, and the host releases KV_LOCK_LOG in its error
	 * recovery.
	 */
	uint64_t (*log_batch)(void *arg, uint64_t csn);
	void *arg;
} KvWrite;

/*
 * Appends to ring and memtable.  KV_STALLED: no room now, nothing changed;
 * kicks the worker.  KV_NOT_READY, KV_TOO_LARGE.  Durable only after the
 * host's commit, or kv_sync_log.  *csn is the batch's.  Any process but the
 * compactor; takes KV_LOCK_LOG.
 */
KvStatus kv_write(KvDb *db, const KvWrite *write, uint64_t *csn,
				  KvError *err) KV_MUST_CHECK;

/* Why there is no room for a write, by what makes room. */
typedef enum KvStall
{
	KV_STALL_COMPACTION, /* L0 is full: a compaction */
	KV_STALL_FLUSH,		 /* no memtable is free: a flush */
	KV_STALL_LOG,		 /* the ring is full: the worker writes the WAL */
	KV_STALL_NUMBERS,	 /* file numbers or doubts: the worker's next round */
	KV_STALL_READER,	 /* a get that has been going on for 32 versions */
	KV_STALL_CAUSES
} KvStall;

/* The name of the cause, one word. */
const char *kv_stall_name(KvStall cause);
/* Writers would be stalled now (checked before locks are taken). */
bool kv_write_would_stall(const KvDb *db);
/*
 * For a writer that waits because of it: notes the cause, wakes up who can
 * end it, and counts a stall if this is the writer's first look.
 */
void kv_stall_foreseen(KvDb *db, bool first);
/* The cause of the stall that a writer is in or was in last. */
KvStall kv_stall_cause(const KvDb *db);
/*
 * For how long a writer should wait before it begins, without any lock.  Each
 * write owes nothing while flush and compaction keep up, and then the more
 * the further they are behind, at most KV_MAX_DELAY_US.  What this process
 * owes is due once it is KV_SHORTEST_NAP_US, and 0 until then: a writer that
 * naps for a moment before each write would nap for the timer's resolution.
 * Counted as a delay if not 0.
 */
#define KV_MAX_DELAY_US	   10000
#define KV_SHORTEST_NAP_US 5000
uint64_t kv_write_delay_us(KvDb *db);

/*
 * A hint that a transaction has ended: readers need not ask the host.  Never
 * fails; may be called from commit callbacks.
 */
void kv_note_xact(KvDb *db, uint64_t xid, bool committed);

/* ---- ingest: a sorted run of any size becomes files, visible in one step */
typedef struct KvIngest KvIngest;

/* KV_NO_MEMORY.  Close with kv_ingest_commit or kv_ingest_abort. */
KvStatus kv_ingest_open(KvDb *db, uint64_t xid, KvIngest **ingest,
						KvError *err) KV_MUST_CHECK;
/*
 * In key order, one version a key.  KV_STALLED: no file number is free;
 * KV_FULL: no file slot.
 */
KvStatus kv_ingest_add(KvIngest *ingest, const KvEntry *entry,
					   KvError *err) KV_MUST_CHECK;
/* Files complete, synced, linked under their final names. */
KvStatus kv_ingest_finish(KvIngest *ingest, KvError *err) KV_MUST_CHECK;
/*
 * For the host's log: file i of n (KV_NOT_FOUND past the last) and its
 * bytes.
 */
KvStatus kv_ingest_file(KvIngest *ingest, uint32_t i, uint64_t *file_no,
						uint64_t *size) KV_MUST_CHECK;
KvStatus kv_ingest_read(KvIngest *ingest, uint32_t i, uint64_t off, void *buf,
						size_t len, KvError *err) KV_MUST_CHECK;
/* The reference record's payload, borrowed until commit or abort. */
KvSlice kv_ingest_payload(KvIngest *ingest);
/*
 * Rotates the memtable, assigns the csn, calls log_batch, publishes the
 * files; all versions carry xid.  KV_STALLED, KV_NOT_READY as kv_write: the
 * ingest lives on and may be committed again.  On KV_OK it is freed.
 *
 * log_batch may throw as in KvWrite, but is called under KV_LOCK_VERSION too,
 * which the host then has to release; kv_ingest_abort afterwards.
 */
KvStatus kv_ingest_commit(KvDb *db, KvIngest *ingest,
						  uint64_t (*log_batch)(void *arg, uint64_t csn),
						  void *arg, uint64_t *csn, KvError *err) KV_MUST_CHECK;
/* Removes the files; frees.  Also after any failure above. */
void kv_ingest_abort(KvIngest *ingest);

/*
 * While a backend has logged pieces whose reference is not in yet, the host
 * must keep its log from lsn on: KvWork.synced_lsn stays behind it.  0: none.
 */
void kv_hold_lsn(KvDb *db, uint64_t lsn);

/* ---- a transaction's own writes (private to the process) */
typedef struct KvWriteSet KvWriteSet;

/*
 * Every write carries a stamp: one for each (command, subtransaction) pair,
 * rising, handed out by the caller.  Beyond max_bytes the writes go to
 * temporary files as sorted runs; a host without those gets KV_FULL.  Those
 * bytes hold everything but an open iterator's buffers (up to 100 kB for each
 * run) and what reading or building a block with a very large value takes;
 * 64 kB are the least.
 */
KvStatus kv_write_set_open(KvEnv *env, size_t max_bytes,
						   KvWriteSet **ws) KV_MUST_CHECK;
/* Closes the files: as good as at once. */
void kv_write_set_free(KvWriteSet *ws);
/*
 * As new, for the next transaction: true.  False: it has grown, and is better
 * freed.  No iterator over it may be open.
 */
bool kv_write_set_reset(KvWriteSet *ws);
/*
 * May write files: KV_DISK_FULL, KV_IO_ERROR, KV_INTERRUPTED.  After a failure
 * the set is what it was before.
 */
KvStatus kv_write_set_add(KvWriteSet *ws, uint32_t stamp, const KvEntry *entry,
						  KvError *err) KV_MUST_CHECK;
/*
 * Hides all keys in [lower, upper), of one store, that were written before, in
 * the set and in the store.  KV_INVALID, KV_TOO_LARGE, KV_NO_MEMORY.  Each
 * lookup and scan of the set looks at all of them: for few.
 */
KvStatus kv_write_set_delete_range(KvWriteSet *ws, uint32_t stamp,
								   KvSlice lower, KvSlice upper,
								   KvError *err) KV_MUST_CHECK;
/*
 * The next live one with stamp < limit, from *at on, which begins with 0;
 * false: no more.  What kv_write_set_iter shows is newer: at a commit these go
 * first, into the same batch or an earlier one.
 */
bool kv_write_set_next_range(const KvWriteSet *ws, uint32_t limit,
							 uint32_t *at, KvEntry *e);
/* newer than anything in the store, older than what the iterator shows */
#define KV_OWN_RANGE_CSN (UINT64_MAX - 1)
/* All writes so far with stamps >= from are dead for ever (ROLLBACK TO). */
void kv_write_set_kill(KvWriteSet *ws, uint32_t from);
/* As much as it all took, or would take, in memory. */
size_t kv_write_set_bytes(const KvWriteSet *ws);
/* Versions in the set; dead ones count until they are in the way. */
uint64_t kv_write_set_entries(const KvWriteSet *ws);
/* How many runs it has in files. */
uint32_t kv_write_set_runs(const KvWriteSet *ws);
/*
 * The newest live version of key with stamp < limit, or KV_NOT_FOUND.  Its csn
 * tells the versions of a key apart: later ones have larger.  Borrowed until
 * the next call.  Tombstones are returned like any other.
 */
KvStatus kv_write_set_get(KvWriteSet *ws, KvSlice key, uint32_t limit,
						  KvEntry *entry, KvError *err) KV_MUST_CHECK;
/* A get of the key will follow soon: what it looks at first is fetched. */
void kv_write_set_prefetch(const KvWriteSet *ws, KvSlice key);
/*
 * Live keys in order, for each the newest version with stamp < limit, with
 * csn UINT64_MAX.  The set may grow, and spill, while the iterator is open.
 */
KvStatus kv_write_set_iter(KvWriteSet *ws, uint32_t limit,
						   KvIter **it) KV_MUST_CHECK;

/* ---- reading */
/*
 * What a reader sees.  A version with csn > max_csn is invisible.  One with
 * xid 0 is visible otherwise; else visible() decides (NULL: visible).
 * state is what the engine knows of the transaction; IN_DOUBT means that the
 * host has to find out.  UNKNOWN must be reported by returning KV_CORRUPT.
 */
typedef struct KvReadView
{
	uint64_t max_csn; /* the server: UINT64_MAX */
	KvStatus (*visible)(void *arg, uint64_t xid, KvXactState state,
						bool *visible);
	void *arg;
	int64_t now_us; /* what has expired by then is absent */
} KvReadView;

/* The newest csn that is published, for hosts without transactions. */
uint64_t kv_snapshot_csn(KvDb *db);

/* A value in memory of the env; reused from call to call. */
typedef struct KvValue
{
	char *data;
	size_t len, cap;
	uint64_t csn, xid;
	int64_t expires_us;
} KvValue;

void kv_value_free(KvEnv *env, KvValue *value);

/*
 * The newest visible version; KV_NOT_FOUND if there is none, or it is a
 * tombstone or has expired.  Allocates nothing but the value.
 */
KvStatus kv_get(KvDb *db, const KvReadView *view, KvSlice key, KvValue *value,
				KvError *err) KV_MUST_CHECK;
/* As kv_get, but a deleted or expired version is KV_OK too: *found is false. */
KvStatus kv_get_newest(KvDb *db, const KvReadView *view, KvSlice key,
					   KvValue *value, bool *found, KvError *err) KV_MUST_CHECK;

/*
 * kv_get of n keys, in any order and with repetitions: several times as fast
 * as one by one, because the memory for many keys is waited for at once.
 * Calls fn for keys[i] once, if a live version is seen, and not otherwise;
 * i is in no order.  The entry's slices are valid during the call; fn must
 * not throw and not call the engine; a status other than KV_OK ends the whole
 * with that status.
 */
typedef KvStatus (*KvMultiGetFn)(void *arg, uint32_t i, const KvEntry *entry);
KvStatus kv_multi_get(KvDb *db, const KvReadView *view, const KvSlice *keys,
					  uint32_t n, KvMultiGetFn fn, void *arg,
					  KvError *err) KV_MUST_CHECK;

typedef struct KvScan KvScan;

/*
 * Live keys in [lower, upper) (upper.len 0: no bound), hiding what the view
 * does not see, tombstones and expired values.  overlay (may be NULL): a
 * transaction's own writes, which hide what is below; closed with the scan.
 * view and the bounds are copied, view->arg must outlive the scan.  The
 * files stay until kv_scan_close; no lock and no memtable is held.
 */
KvStatus kv_scan_open(KvDb *db, const KvReadView *view, KvSlice lower,
					  KvSlice upper, bool reverse, KvIter *overlay,
					  KvScan **scan, KvError *err) KV_MUST_CHECK;
/* The next key in the direction: KV_NOT_FOUND at the end.  Borrowed until the next call. */
KvStatus kv_scan_next(KvScan *scan, KvEntry *entry, KvError *err) KV_MUST_CHECK;
/* How many keys are left; they are gone through, several times as fast. */
KvStatus kv_scan_count(KvScan *scan, uint64_t *n, KvError *err) KV_MUST_CHECK;
/* As after kv_scan_open; overlay is rewound too. */
KvStatus kv_scan_rewind(KvScan *scan, KvError *err) KV_MUST_CHECK;
void kv_scan_close(KvScan *scan);

/* ---- stores: ids for key prefixes */
/* A new id, never handed out before; KV_STALLED: try again after a kick. */
KvStatus kv_new_store_id(KvDb *db, uint32_t *id, KvError *err) KV_MUST_CHECK;
#define KV_SYSTEM_STORE 0 /* the host's map of stores */
/*
 * Key in the system store under which the drop of a store is written; what
 * compaction finds there, visible to all, it removes with every key of it.
 */
#define KV_DROPPED_PREFIX 'D'
size_t kv_dropped_key(uint32_t store_id, char *buf); /* 4 + 1 + 4 bytes */

/* ---- administration */
/* Asks; done when kv_request_done(ticket).  The host waits. */
uint64_t kv_request_flush(KvDb *db);
uint64_t kv_request_compact(KvDb *db); /* flush, then everything to the bottom */
/* What overlaps [lower, upper); upper.len 0: no bound. */
uint64_t kv_request_compact_range(KvDb *db, KvSlice lower, KvSlice upper);
bool kv_request_done(KvDb *db, uint64_t ticket);

/* Bytes of the files that hold [lower, upper), roughly. */
KvStatus kv_approximate_bytes(KvDb *db, KvSlice lower, KvSlice upper,
							  uint64_t *bytes, uint64_t *entries,
							  KvError *err) KV_MUST_CHECK;

/*
 * Reads every file of the current version and the active memtable.  report
 * is called for each problem and, with a NULL problem, for each good file;
 * false stops.  KV_OK even if problems were reported.
 */
KvStatus kv_verify(KvDb *db,
				   bool (*report)(void *arg, const char *file,
								  const char *problem),
				   void *arg, KvError *err) KV_MUST_CHECK;

typedef struct KvStats
{
	KvMode mode;
	uint64_t files[7], bytes[7], entries[7], tombstones[7]; /* by level */
	uint64_t memtable_bytes, memtable_entries;				/* active */
	uint32_t memtables_immutable;
	uint64_t last_csn;
	uint64_t inserted_lsn, synced_lsn, flushed_lsn;
	uint64_t wal_bytes; /* written to kvlsm WAL files */
	uint64_t flushes, flushed_bytes;
	uint64_t compactions, compacted_in_bytes, compacted_out_bytes;
	uint64_t ingests, ingested_bytes;
	uint64_t stalls, stalls_by[KV_STALL_CAUSES];
	uint64_t delays, delayed_us;
	bool compaction_paused;
	uint64_t cache_hits, cache_misses, cache_evictions, cache_frames;
	uint64_t obsolete_files; /* waiting for readers or a backup */
	uint64_t oldest_pinned_version, current_version;
	uint64_t doubtful; /* transactions that files are not sure of yet */
} KvStats;

void kv_stats(KvDb *db, KvStats *stats);

/* What reading has cost this process since it attached. */
typedef struct KvReadCost
{
	uint64_t files; /* asked for a key, or gone through */
	uint64_t filter_negatives;
	uint64_t blocks_read, blocks_cached;
	uint64_t skipped; /* keys met that were deleted or had expired */
} KvReadCost;
void kv_read_cost(const KvDb *db, KvReadCost *cost);

#endif /* KV_ENGINE_H */
