/* SPDX-License-Identifier: PostgreSQL */
/*
 * db_internal.h - the shared state of a store, and what lsm/ files share.
 *
 * Three types: KvShared (in the region that all processes map), KvDb (one
 * per process), and the disk images of manifest_format.h and sst_format.h.
 * KvShared holds offsets and numbers, never pointers.
 *
 * Lock order: KV_LOCK_WAL_IO, KV_LOCK_LOG, KV_LOCK_VERSION, cache partitions.
 * Fields are grouped by what protects them.  Only this folder includes it.
 */
#ifndef KV_DB_INTERNAL_H
#define KV_DB_INTERNAL_H

#include <stdatomic.h>

#include "engine/base/check.h"
#include "engine/base/coding.h"
#include "engine/base/file_header.h"
#include "engine/kv_engine.h"
#include "engine/lsm/manifest.h"
#include "engine/mem/memtable.h"
#include "engine/sst/block_cache.h"
#include "engine/sst/sst.h"
#include "engine/wal/wal.h"

#define KV_MAX_MEMTABLES 8
#define KV_VERSION_SLOTS 32
#define KV_MAX_DOUBTS	 8192
#define KV_XACT_CACHE	 65536 /* a power of two */
#define KV_JOB_FILES	 512
#define KV_NUMBER_BLOCK	 1024 /* numbers are reserved by it */

/* ---- memtables */
typedef enum KvMemState
{
	KV_MEM_FREE,	 /* may be given a new generation */
	KV_MEM_ACTIVE,	 /* takes writes */
	KV_MEM_IMMUTABLE /* waits to be flushed */
} KvMemState;

/*
 * Written under KV_LOCK_LOG (rotation) and by the worker (flush: IMMUTABLE to
 * FREE after the version without it is published); generation and state are
 * read by anyone.
 */
typedef struct KvMemSlot
{
	_Atomic uint64_t generation;
	_Atomic uint32_t state;		/* KvMemState */
	_Atomic uint64_t wal_no;	/* segment in which its first record stands */
	_Atomic uint64_t start_csn; /* every entry has a larger csn */
	_Atomic uint64_t max_csn;	/* of its entries */
	_Atomic uint64_t max_lsn;
	/* worker only: batches before this one are settled (0: none) */
	uint32_t settled_batch;
} KvMemSlot;

/* ---- files */
typedef enum KvFileState
{
	KV_FILE_FREE,	 /* slot unused */
	KV_FILE_PENDING, /* being written: meta private to its writer */
	KV_FILE_LIVE,	 /* in the current version */
	KV_FILE_OBSOLETE /* in no version from obsolete_at on; not yet removed */
} KvFileState;

/*
 * state and compacting change under KV_LOCK_VERSION; whoever looks at them
 * without it takes a hint, and looks again under it before acting on it.
 * meta is its writer's while PENDING (of an ingested run: until the version
 * that names it is published) and constant while LIVE or OBSOLETE.
 * fruitless is anyone's.
 */
typedef struct KvFileSlot
{
	_Atomic uint32_t state;
	/* meta.file_no while LIVE, else 0: for who holds no version and no lock */
	_Atomic uint64_t live_no;
	bool compacting;	  /* a job's input, or a run that the worker removes */
	bool in_manifest;	  /* an edit that adds it is durable; the worker's */
	uint64_t obsolete_at; /* version number; 0 while live */
	/* point reads that went past the filter and found nothing */
	_Atomic uint32_t fruitless;
	KvFileMeta meta;
} KvFileSlot;

/* ---- versions: immutable sets of memtables and files */
typedef struct KvVersionMem
{
	uint32_t slot;
	uint64_t generation;
	uint64_t start_csn;
} KvVersionMem;

/*
 * Filled under KV_LOCK_VERSION before current_version is advanced to its
 * number; constant until the slot is reused, which waits for every reader
 * whose active number it is.
 */
typedef struct KvVersion
{
	uint64_t number;
	uint32_t n_mem;
	KvVersionMem mem[KV_MAX_MEMTABLES]; /* newest first */
	/* file slots: level l is files[level_start[l] .. level_start[l + 1]) */
	uint32_t level_start[KV_LEVELS + 1];
	uint32_t files[]; /* L0: max_csn descending; others: by smallest key */
} KvVersion;

/* One per process, a cache line each; written by it, read by the worker. */
typedef struct KvReaderSlot
{
	_Alignas(64) _Atomic uint64_t active; /* version being looked at; 0: none */
	_Atomic uint64_t pinned;   /* oldest version whose files are needed */
	_Atomic uint64_t hold_lsn; /* host's log is needed from here; 0: no */
} KvReaderSlot;

/*
 * Transactions that were in doubt when a file was written.  Entries are
 * added before the file is published and removed when no file that named
 * them exists any more, both by the worker; readers search without a lock.
 */
typedef struct KvDoubtShared
{
	_Atomic uint64_t xid;	/* 0: free */
	_Atomic uint32_t state; /* KvXactState */
} KvDoubtShared;

/* ---- the compaction under way: compactor fills it, worker installs it */
typedef enum KvJobState
{
	KV_JOB_IDLE,
	KV_JOB_RUNNING, /* the compactor's */
	KV_JOB_DONE		/* the worker's: install, then IDLE */
} KvJobState;

typedef struct KvJobShared
{
	_Atomic uint32_t state; /* release by the giver, acquire by the taker */
	uint32_t n_inputs, n_outputs;
	uint32_t inputs[KV_JOB_FILES];	/* file slots */
	uint32_t outputs[KV_JOB_FILES]; /* file slots in KV_FILE_PENDING */
	uint64_t in_bytes, out_bytes;
	/* xids still in doubt that outputs contain: doubts of every output */
	uint32_t n_doubts;
	uint64_t doubts[KV_MAX_DOUBTS];
	bool move;	 /* trivial: outputs are new slots for the same files */
	bool logged; /* worker: the edit is durable, the version is not out yet */
} KvJobShared;

typedef struct KvCounters
{
	_Atomic uint64_t wal_bytes, flushes, flushed_bytes, compactions,
		compacted_in, compacted_out, ingests, ingested_bytes, delays,
		delayed_us, stalls[KV_STALL_CAUSES];
} KvCounters;

/* Keys [lower, upper), cut outwards; upper_len 0: no bound. */
typedef struct KvRange
{
	bool any; /* not empty */
	uint16_t lower_len, upper_len;
	char lower[KV_BOUND_BYTES], upper[KV_BOUND_BYTES];
} KvRange;

typedef struct KvShared
{
	uint64_t magic;
	KvConfig config;
	/* offsets from the start of the region */
	uint64_t mem_off, mem_stride, ring_off, cache_off, files_off, versions_off,
		version_stride, readers_off, total;

	_Atomic uint32_t mode; /* KvMode */
	char mode_reason[256]; /* under KV_LOCK_VERSION */

	_Atomic uint64_t current_version; /* advanced under KV_LOCK_VERSION */
	_Atomic uint32_t l0_files; /* of the current version; a run counts once */

	struct
	{
		uint64_t next_csn;	   /* the next batch gets it */
		uint64_t inserted_lsn; /* of the newest batch */
		uint32_t active;	   /* memtable slot */
		uint64_t next_generation;
	} under_log_lock;
	/* newest csn whose entries are all in; written under the log lock */
	_Atomic uint64_t published_csn;

	/* handed out by fetch-add below the ceilings; ceilings: worker */
	_Atomic uint64_t next_file_no, file_no_ceiling;
	_Atomic uint64_t next_store_id, store_id_ceiling;

	KvMemSlot mem[KV_MAX_MEMTABLES];

	/* written by the worker, read by anyone */
	_Atomic uint64_t synced_lsn;		 /* kvlsm WAL is synced up to here */
	_Atomic uint64_t flushed_lsn;		 /* up to here it is in SSTables */
	_Atomic uint64_t wal_no, wal_length; /* current segment, for take-over */
	/* of new files; set before KV_MODE_NORMAL, whose release publishes them */
	_Atomic uint32_t incarnation, timeline;
	_Atomic uint64_t system_id;

	/* tickets: asked by anyone, done by the worker */
	_Atomic uint64_t flush_asked, flush_done;
	_Atomic uint64_t compact_asked, compact_done;
	/* all that is asked for and not done; under KV_LOCK_VERSION */
	KvRange compact_range;
	_Atomic bool compaction_paused;
	_Atomic uint32_t last_stall; /* KvStall */

	_Atomic uint32_t n_doubts; /* entries of doubts[] ever in use */
	KvDoubtShared doubts[KV_MAX_DOUBTS];
	/* xid << 2 | state; lossy: a slot holds the newest that was stored */
	_Atomic uint64_t xact_cache[KV_XACT_CACHE];

	KvJobShared job;
	KvCounters counters;
} KvShared;

typedef struct KvOpenTable
{
	uint64_t file_no; /* 0: not open */
	KvSst *sst;
} KvOpenTable;

typedef struct KvCompaction KvCompaction; /* compact_run.c */

struct KvDb
{
	KvEnv *env;
	KvShared *shared;
	uint32_t reader_no;
	KvReaderSlot *reader;
	KvCache cache;
	KvSstStats sst_stats;
	uint64_t skipped;	   /* keys that scans and gets met dead */
	uint64_t owed_us;	   /* delay that this process has not waited yet */
	KvIdentity identity;   /* read from shared when tables are opened */
	KvOpenTable *tables;   /* by file slot */
	uint64_t tables_swept; /* version at which closed files were let go */
	KvScan *scans;		   /* open ones, for the pinned number */

	/* worker only */
	KvWalWriter *wal;
	KvManifest *manifest;
	KvManifestState state; /* the MANIFEST's content */
	KvHost host;
	uint64_t runs_due;	   /* runs_csn must be logged to at least this */
	bool sync_failed;	   /* of a WAL segment: nothing is written any more */
	bool log_dirty;		   /* groups were written and not synced */
	bool sweep_wanted;	   /* WAL segments or MANIFESTs may be unneeded */
	uint64_t drained_lsn;  /* of the newest record that is in the files */
	uint64_t replayed_lsn; /* recovery: host's log is applied up to here */
	uint64_t replayed_csn;
	uint64_t next_run_csn; /* the next L0 file's, counted from the memtable */

	/* compactor only */
	KvCompaction *compaction; /* NULL: none under way */
	/* the request being served: its flush, its files (0: wait) and level */
	uint64_t manual_ticket, manual_flush, manual_before;
	int manual_level;
	KvRange manual_range;
	uint64_t merged_bytes;
	/* files with smaller numbers may hold keys of stores dropped since */
	uint64_t dropped_before;
	uint32_t dropped_known; /* length of the list at that time */
};

/* ---- shared.c */
static inline KvMem *
kv_mem_at(const KvDb *db, uint32_t slot)
{
	return (KvMem *) ((char *) db->shared + db->shared->mem_off +
					  slot * db->shared->mem_stride);
}

static inline KvRing *
kv_ring_at(const KvDb *db)
{
	return (KvRing *) ((char *) db->shared + db->shared->ring_off);
}

static inline KvFileSlot *
kv_file_at(const KvDb *db, uint32_t slot)
{
	return (KvFileSlot *) ((char *) db->shared + db->shared->files_off) + slot;
}

static inline KvReaderSlot *
kv_reader_at(const KvDb *db, uint32_t i)
{
	return (KvReaderSlot *) ((char *) db->shared + db->shared->readers_off) + i;
}

/*
 * How the transaction of an entry ended, as far as the engine knows without
 * the host (source: see kv_judge).  IN_DOUBT: ask the host.
 */
KvXactState kv_known_state(KvDb *db, const KvEntry *entry, int source);
/*
 * What the doubt list says; only settled ABORTED or IN_DOUBT are on it.  What
 * it says, and that a transaction is not on it any more, is durable.
 */
KvXactState kv_listed_state(const KvDb *db, uint64_t xid);
/* A new file number, or KV_STALLED when the ceiling is reached. */
KvStatus kv_new_file_no(KvDb *db, uint64_t *file_no,
						KvError *err) KV_MUST_CHECK;

/* ---- version.c */
/*
 * The current version, with this process's active number published; not
 * nested.  Files named by it stay until kv_version_release, or as long as
 * kv_version_pin's number is published.
 */
const KvVersion *kv_version_acquire(KvDb *db);
void kv_version_release(KvDb *db);
/* Under an acquired version: publishes number as pinned (the smallest wins). */
void kv_version_pin(KvDb *db, uint64_t number);
/* The oldest version that this process's scans and jobs still need. */
void kv_version_unpin(KvDb *db, uint64_t oldest_needed);

typedef struct KvVersionChange
{
	const uint32_t *adds; /* file slots; become LIVE */
	uint32_t n_adds;
	const uint32_t *removes; /* file slots; become OBSOLETE */
	uint32_t n_removes;
	bool new_mem; /* put mem in front */
	KvVersionMem mem;
	uint64_t drop_generation; /* this memtable leaves; 0: none */
} KvVersionChange;

/*
 * Publishes the next version.  Caller holds KV_LOCK_VERSION.  KV_STALLED: a
 * reader still looks at the slot to be reused; nothing was changed.
 */
KvStatus kv_version_install_locked(KvDb *db,
								   const KvVersionChange *change) KV_MUST_CHECK;
bool kv_version_can_install_locked(KvDb *db);
/* A file slot (FREE to PENDING).  Takes KV_LOCK_VERSION.  KV_FULL. */
KvStatus kv_file_slot_reserve(KvDb *db, uint32_t *slot,
							  KvError *err) KV_MUST_CHECK;
/* PENDING or OBSOLETE to FREE.  Takes KV_LOCK_VERSION. */
void kv_file_slot_release(KvDb *db, uint32_t slot);
/* The oldest version number that any reader publishes; UINT64_MAX: none. */
uint64_t kv_oldest_reader(KvDb *db);
static inline uint32_t
kv_level_count(const KvVersion *v, int level)
{
	return v->level_start[level + 1] - v->level_start[level];
}

/* ---- bounds.c: keys against cut file bounds */
/* true: key is certainly before (after) everything in the file */
bool kv_key_before_file(KvSlice key, const KvFileMeta *meta);
bool kv_key_after_file(KvSlice key, const KvFileMeta *meta);
bool kv_files_overlap(const KvFileMeta *a, const KvFileMeta *b);
/* [lower, upper), upper.len 0 = no bound */
bool kv_file_overlaps_range(const KvFileMeta *meta, KvSlice lower,
							KvSlice upper);
void kv_set_bounds(KvFileMeta *meta, KvSlice smallest, KvSlice largest);
/* To hold [lower, upper) too; empty: the file has no keys. */
void kv_widen_bounds(KvFileMeta *meta, bool empty, KvSlice lower,
					 KvSlice upper);

/* ---- table.c: open tables of a process, and writing new ones */
/* db->identity as the worker has set it; before a file is opened. */
void kv_load_identity(KvDb *db);
/* The table in a slot; open until the slot's file changes. */
KvStatus kv_table_open(KvDb *db, uint32_t slot, KvSst **sst,
					   KvError *err) KV_MUST_CHECK;
/* Closes tables whose file is gone; cheap if no version was installed. */
void kv_table_sweep(KvDb *db);
void kv_table_close_all(KvDb *db);

typedef struct KvTableOut
{
	uint64_t file_no;
	KvFile *file;
	KvSstBuilder *builder;
} KvTableOut;

/*
 * Creates pgsql_tmp.<n> with a fresh number.  range_deletes: the table may
 * get some.
 */
KvStatus kv_table_out_open(KvDb *db, KvTableOut *out, bool range_deletes,
						   KvError *err) KV_MUST_CHECK;
/*
 * Finishes, syncs, links <n>.sst, removes the temporary name, syncs the
 * folder; fills all of meta but level, run_* and has_doubt.  The builder
 * and file are closed in any case; on failure nothing is left on disk.
 */
KvStatus kv_table_out_finish(KvDb *db, KvTableOut *out, KvFileMeta *meta,
							 KvError *err) KV_MUST_CHECK;
void kv_table_out_abort(KvDb *db, KvTableOut *out);

/* ---- write.c */
/*
 * Makes the active memtable immutable and starts a new one; caller holds
 * KV_LOCK_LOG.  KV_STALLED: no memtable, ring room, file number or version
 * slot; nothing changed.
 */
KvStatus kv_rotate_locked(KvDb *db) KV_MUST_CHECK;

/* kv_ingest_commit's half under the log lock. */
KvStatus kv_publish_run(KvDb *db, uint64_t xid, KvSlice payload,
						const uint32_t *slots, uint32_t n_slots,
						uint64_t (*log_batch)(void *arg, uint64_t csn),
						void *arg, uint64_t *csn, KvError *err) KV_MUST_CHECK;

/* ---- settle.c: transactions that files are not sure of */
/* Caller holds KV_LOCK_VERSION.  KV_FULL. */
KvStatus kv_doubt_add_locked(KvDb *db, uint64_t xid,
							 KvXactState state) KV_MUST_CHECK;

/* ---- flush.c, settle.c, obsolete.c, worker.c, edit.c: worker only */
/* Writes one memtable's content as a file in L0 (or none) and drops it. */
KvStatus kv_flush_mem(KvDb *db, uint32_t slot, const KvVersionMem *next,
					  KvError *err) KV_MUST_CHECK;
/*
 * Logs edit, then publishes change; the two belong together.  Once the edit
 * is durable the publication is retried until it succeeds.
 */
KvStatus kv_commit_change(KvDb *db, const KvEdit *edit,
						  const KvVersionChange *change,
						  KvError *err) KV_MUST_CHECK;
/* The state as a whole, as the start of a new MANIFEST. */
KvStatus kv_roll_manifest(KvDb *db, KvError *err) KV_MUST_CHECK;
/*
 * Ring to segments, and sync: on KV_OK every batch that was in the ring is
 * durable.  After a failed write the next call goes on in a new segment; a
 * failed sync stays: KV_IO_ERROR for ever.  Takes KV_LOCK_WAL_IO.
 */
KvStatus kv_drain_ring(KvDb *db, KvError *err) KV_MUST_CHECK;
/*
 * In the midst of longer work: if a quarter of the ring is taken, it is
 * written, and not synced.  Writers would have to wait for that work.
 */
KvStatus kv_relieve_ring(KvDb *db, KvError *err) KV_MUST_CHECK;
/* Names the host's position in an idle WAL, if it moved by min_advance. */
KvStatus kv_mark_log_position(KvDb *db, uint64_t min_advance,
							  KvError *err) KV_MUST_CHECK;
/* Asks the host about what is in doubt, in memtables and in files. */
KvStatus kv_settle(KvDb *db, KvError *err) KV_MUST_CHECK;
/* Drains and settles first.  KV_OK without *did: nothing waits. */
KvStatus kv_flush_oldest(KvDb *db, bool *did, KvError *err) KV_MUST_CHECK;
/* KV_OK without *did: no job is done, or a reader is in the way just now. */
KvStatus kv_install_job(KvDb *db, bool *did, KvError *err) KV_MUST_CHECK;
/* Some of what can go; nothing while a backup runs. */
KvStatus kv_remove_obsolete(KvDb *db, uint32_t *removed,
							KvError *err) KV_MUST_CHECK;
/* Appends to the MANIFEST (rolls it when it is poisoned or long) and to db->state. */
KvStatus kv_log_edit(KvDb *db, const KvEdit *edit, KvError *err) KV_MUST_CHECK;
/* Adds of ingested files that no edit has yet. */
KvStatus kv_log_pending_files(KvDb *db, KvError *err) KV_MUST_CHECK;
/* Logs higher ceilings when half a block of numbers is left. */
KvStatus kv_raise_ceilings(KvDb *db, KvError *err) KV_MUST_CHECK;

/* ---- verify.c */
/* Of the whole file, as in KvFileMeta; KV_INTERRUPTED. */
KvStatus kv_file_digest(KvDb *db, KvFile *file, uint64_t *size,
						uint64_t *digest, KvError *err) KV_MUST_CHECK;

/* ---- dropped.c */
/* Ids of stores whose drop every snapshot sees, ascending. */
KvStatus kv_dropped_stores(KvDb *db, uint32_t **ids, uint32_t *n,
						   KvError *err) KV_MUST_CHECK;

/* scan.c: the oldest version an open scan needs; UINT64_MAX: none */
uint64_t kv_scans_oldest(const KvDb *db);
/* Publishes the oldest version that this process's scans and job still need. */
void kv_unpin_unneeded(KvDb *db);
void kv_scans_close_all(KvDb *db);

/*
 * view.c: is the entry visible, and if so, live?  The source decides what an
 * entry's IN_DOUBT means: in a memtable, that the batch is not settled yet;
 * in a file, nothing (a tag there means committed), unless the file's
 * meta.has_doubt is set and the xid is in the doubt list.
 */
typedef enum KvSource
{
	KV_FROM_MEM = 0,
	KV_FROM_DOUBTFUL_FILE = 1,
	KV_FROM_FILE = 2
} KvSource;
static inline KvSource
kv_file_source(const KvFileMeta *meta)
{
	return meta->has_doubt ? KV_FROM_DOUBTFUL_FILE : KV_FROM_FILE;
}
typedef enum KvVerdict
{
	KV_HIDDEN, /* look at the next older version */
	KV_SEEN_LIVE,
	KV_SEEN_DEAD /* tombstone or expired: the key is absent */
} KvVerdict;
KvStatus kv_judge(KvDb *db, const KvReadView *view, const KvEntry *entry,
				  KvSource source, KvVerdict *verdict);

#endif /* KV_DB_INTERNAL_H */
