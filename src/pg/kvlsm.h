/* SPDX-License-Identifier: PostgreSQL */
/*
 * kvlsm.h - what the files of src/pg share.
 *
 * Grouped by the file that defines it.  Everything here may ereport(ERROR)
 * unless it says otherwise.
 */
#ifndef KVLSM_H
#define KVLSM_H

#include "postgres.h"

#include "access/transam.h"
#include "access/xlogdefs.h"
#include "port/atomics.h"
#include "storage/condition_variable.h"
#include "storage/lwlock.h"
#include "storage/proc.h"
#include "utils/snapshot.h"

#include "compat.h"
#include "engine/kv_engine.h"
#include "engine/kv_env.h"

#define KVLSM_DIR  "kvlsm" /* below the data directory */
#define KVLSM_SLOT "kvlsm" /* name of the physical replication slot */

/* ---- guc.c: settings (units as in pg_settings) */
extern int kvlsm_memtable_size; /* MB */
extern int kvlsm_memtables;
extern int kvlsm_block_cache_size; /* MB */
extern int kvlsm_wal_buffers;	   /* MB */
extern int kvlsm_max_files;
extern int kvlsm_wal_writer_delay;		/* ms */
extern int kvlsm_stall_timeout;			/* ms; 0: no limit */
extern int kvlsm_compaction_rate_limit; /* kB a second; 0: no limit */
extern int kvlsm_max_key_size;			/* bytes */
extern int kvlsm_max_value_size;		/* bytes */
extern int kvlsm_max_batch_items;
extern int kvlsm_max_rows; /* of one kv_range call */
extern int kvlsm_max_key_locks;
extern int kvlsm_write_set_memory; /* kB */
extern bool kvlsm_on_conflict;
extern char *kvlsm_default_store;
extern int kvlsm_block_size;  /* bytes */
extern int kvlsm_compression; /* 0 none, 1 lz4 */
extern int kvlsm_force_mode;  /* KvlsmForceMode */
void kvlsm_define_gucs(void);
/* what the settings mean for the engine; called in the postmaster */
void kvlsm_config_from_gucs(KvConfig *config);

typedef enum KvlsmForceMode
{
	KVLSM_FORCE_NORMAL,
	KVLSM_FORCE_READONLY,
	KVLSM_FORCE_OFF
} KvlsmForceMode;

/* ---- shmem.c: the shared region */
typedef enum KvlsmPhase
{
	KVLSM_STARTING = 0, /* recovery is not over */
	KVLSM_OPEN,			/* kv_mode() says the rest */
	KVLSM_REFUSED		/* the store could not be opened: info.reason */
} KvlsmPhase;

/* About the store and its start; under kvlsm_info_lock(), but for the pids. */
typedef struct KvlsmInfo
{
	KvStatus status; /* why it was refused, or is read-only; else KV_OK */
	char reason[384];
	char hint[256];
	char slot_error[256]; /* why there is no slot */
	/* each stored by its process, at once; 0: not running */
	int worker_pid, keeper_pid, compactor_pid;
	/* the last recovery */
	uint32 files, wal_segments;
	uint64 wal_records, replayed;
	XLogRecPtr replay_start, replay_end;
	int64 recovery_ms;
} KvlsmInfo;

typedef struct KvlsmShared
{
	/* set once in the postmaster */
	LWLockPadded *locks; /* KV_LOCK_COUNT and one more, tranche "kvlsm" */
	Size engine_bytes;

	/* latches of the workers; written by each worker at its start and end,
	 * read by kick(); NULL while it does not run */
	Latch *volatile worker_latch;
	Latch *volatile compactor_latch;
	Latch *volatile keeper_latch;
	ConditionVariable waiters; /* KV_KICK_WAITERS broadcasts */

	/* written by the worker; engine data may be used by others once OPEN */
	pg_atomic_uint32 phase; /* KvlsmPhase */
	/*
	 * This server has let the engine write a MANIFEST of its own: what is
	 * newer than the end of recovery is ours.  Written by the worker.
	 */
	bool store_opened;
	bool region_used; /* the worker has tried to recover into it */
	KvlsmInfo info;	  /* under kvlsm_info_lock() */
	/* when a stall was last reported to the log; by whoever swaps it */
	pg_atomic_uint64 stall_logged_at;

	/* the worker publishes, the slot keeper reads */
	pg_atomic_uint64 synced_lsn;
	/* 0: the keeper only looks; else: make the slot, keeping WAL from here */
	pg_atomic_uint64 slot_wanted_lsn;
	/* the slot keeper publishes: restart_lsn of the slot, 0 if there is none */
	pg_atomic_uint64 slot_lsn;
	pg_atomic_uint32 slot_state; /* KvlsmSlotState */
	/* last login for physical replication, ms; by authentication hook */
	pg_atomic_uint64 backup_hint_ms;
	/* sessions between pg_backup_start and pg_backup_stop */
	pg_atomic_uint32 open_backups;
	char engine[FLEXIBLE_ARRAY_MEMBER]; /* 64-byte aligned in fact */
} KvlsmShared;

typedef enum KvlsmSlotState
{
	KVLSM_SLOT_UNKNOWN, /* the keeper has not looked yet */
	KVLSM_SLOT_ABSENT,	/* not there, or invalidated; not asked for yet */
	KVLSM_SLOT_PRESENT,
	KVLSM_SLOT_LOST,   /* it could not be made or kept: see the log */
	KVLSM_SLOT_DROPPED /* kvlsm_drop_slot() was called */
} KvlsmSlotState;

extern KvlsmShared *kvlsm_shared; /* NULL: not preloaded */
void kvlsm_shmem_request(void);
void kvlsm_shmem_startup(void);
void *kvlsm_engine_region(void);
static inline LWLock *
kvlsm_info_lock(void)
{
	return &kvlsm_shared->locks[KV_LOCK_COUNT].lock;
}

/* ---- folder.c */
/*
 * Makes the folder if it is missing and locks it for this process against
 * workers of another postmaster.  KV_FOREIGN: a symlink, or locked.  May
 * raise.  Worker only.
 */
KvStatus kvlsm_prepare_folder(KvError *err);

/* ---- env_pg.c: kv_env over PostgreSQL; callbacks never throw */
KvEnv *kvlsm_env(void); /* this process's */
/* Fills err for what could not be done to a file of the folder. */
KvStatus kvlsm_file_error(KvError *err, int os_errno, const char *action,
						  const char *name);
/* The worker clears it to finish its work although it was told to stop. */
extern bool kvlsm_poll_enabled;
/* GetXLogInsertRecPtr() as the end of a record: what XLogFlush accepts. */
XLogRecPtr kvlsm_insert_end_lsn(void);

/* ---- backup.c: files stay while a base backup runs */
bool kvlsm_backup_running(void);  /* never raises */
bool kvlsm_backup_expected(void); /* one may start in the next milliseconds */
void kvlsm_install_backup_hook(void);

/* ---- stop_pg.c: stop points, in builds for tests */
#ifdef KVLSM_TESTING
Size kvlsm_stop_shmem_bytes(void);
void kvlsm_stop_shmem_init(void);
void kvlsm_stop(const char *name); /* waits or dies; never raises */
bool kvlsm_planted(const char *name);
#else
#define kvlsm_stop(name)	((void) 0)
#define kvlsm_planted(name) false
#endif

/* ---- errors.c: the one table KvStatus -> SQLSTATE */
pg_noreturn void kvlsm_ereport(KvStatus status, const KvError *err);
static inline void
kvlsm_check(KvStatus status, const KvError *err)
{
	if (unlikely(status != KV_OK))
		kvlsm_ereport(status, err);
}
pg_noreturn void kvlsm_error_not_preloaded(void);
/* Why the store cannot be used, or (writing) cannot be written. */
pg_noreturn void kvlsm_error_not_ready(bool writing);

/* ---- access.c: may this process use the engine now? */
/*
 * The engine for this backend.  Raises 55000 (not preloaded, standby, off,
 * read-only and for_write), 57P03 (starting; waits up to a second first).
 */
KvDb *kvlsm_db(bool for_write);
/*
 * Attaches this process to the engine's region in any phase: for the
 * workers.  Released at process exit.
 */
KvDb *kvlsm_attach(void);
/* For the worker, which initialises the region anew after a failed start. */
void kvlsm_detach(void);
/* At the end of a transaction: what an error has left behind; never fails. */
void kvlsm_reset(void);
/* The engine if it can be used right now, else NULL; never raises. */
KvDb *kvlsm_db_if_ready(void);
/*
 * Waits for room after KV_STALLED (*started: 0 at the first call).
 * Interruptible; 53000 after kvlsm.stall_timeout.
 */
void kvlsm_wait_for_room(TimestampTz *started);
/* Waits until kv_request_done(ticket). */
void kvlsm_wait_for_request(uint64 ticket);

/* ---- worker.c, slot_keeper.c, compactor.c: the three processes */
PGDLLEXPORT void kvlsm_worker_main(Datum arg);
PGDLLEXPORT void kvlsm_keeper_main(Datum arg);
PGDLLEXPORT void kvlsm_compactor_main(Datum arg);
void kvlsm_register_workers(void);
/* Signals, connection and pg_stat_activity as all three have them. */
void kvlsm_worker_setup(Latch *volatile *latch, int *pid);
/* Sleeps until the latch is set; then interrupts and SIGHUP are served. */
void kvlsm_worker_sleep(long timeout_ms);
/* After an error was caught: there is no transaction whose end would do it. */
void kvlsm_worker_clean_up(void);

/* ---- rmgr.c: records in PostgreSQL's WAL */
#define KVLSM_RMGR_ID	  RM_EXPERIMENTAL_ID
#define KVLSM_XLOG_BATCH  0x00 /* csn 8 LE, then the batch */
#define KVLSM_XLOG_FILE	  0x10 /* file number 8, offset 8, bytes */
#define KVLSM_XLOG_INGEST 0x20 /* csn 8, then the reference payload */
void kvlsm_register_rmgr(void);
static inline void
kvlsm_store_le64(char *p, uint64 v)
{
	int i;

	for (i = 0; i < 8; i++)
		p[i] = (char) (v >> (8 * i));
}
/* Takes one off the front; false if there are no 8 bytes. */
static inline bool
kvlsm_take_le64(KvSlice *in, uint64 *v)
{
	int i;

	if (in->len < 8)
		return false;
	*v = 0;
	for (i = 0; i < 8; i++)
		*v |= (uint64) (uint8) in->data[i] << (8 * i);
	in->data += 8;
	in->len -= 8;
	return true;
}
/* End LSN of the record.  Callable under KV_LOCK_LOG. */
XLogRecPtr kvlsm_log_batch(uint64 csn, const void *payload, Size len);
XLogRecPtr kvlsm_log_ingest(uint64 csn, const void *payload, Size len);
XLogRecPtr kvlsm_log_file_piece(uint64 file_no, uint64 offset,
								const void *bytes, Size len);

/* ---- applier.c: batches out of PostgreSQL's WAL into the engine */
/*
 * From from_lsn to end_lsn; *records: how many were ours.  Called by the
 * worker in recovery.  KV_CORRUPT if a needed segment is gone, else what
 * kept a record from being read or applied.
 */
KvStatus kvlsm_apply(KvDb *db, XLogRecPtr from_lsn, XLogRecPtr end_lsn,
					 uint64 *records, KvError *err);

/* ---- visibility.c */
/*
 * The read view of a snapshot (borrowed: it must stay registered or active
 * while the view is used).
 */
void kvlsm_view_of_snapshot(KvReadView *view, Snapshot snapshot);
/* Newest committed state, own transaction's logged batches included. */
void kvlsm_view_latest(KvReadView *view);
/* As kvlsm_view_latest; notes what the snapshot does not see of it. */
typedef struct KvlsmConflicts
{
	Snapshot snapshot;
	bool found;
} KvlsmConflicts;
void kvlsm_view_conflicts(KvReadView *view, KvlsmConflicts *conflicts);
/* env callbacks */
KvXactState kvlsm_xact_state(uint64 full_xid);
void kvlsm_horizon(KvHorizon *horizon);
/* Did the transaction that wrote a version commit before the snapshot? */
bool kvlsm_xid_visible(uint64 full_xid, Snapshot snapshot);

/* ---- expiry.c: the clock that expiry is compared with */
Size kvlsm_clock_bytes(void);
void kvlsm_clock_startup(void); /* in kvlsm_shmem_startup */
/* Of this transaction: its start, or a little later; constant from then on. */
TimestampTz kvlsm_read_clock(void);
void kvlsm_end_clock(void); /* the transaction has ended; never fails */
/* No transaction will ever compare with less than this. */
TimestampTz kvlsm_oldest_clock(void);

/* ---- xact.c, write_set.c: transaction callbacks, write set */
void kvlsm_xact_init(void); /* in _PG_init */
/*
 * Buffers a write of this transaction (command id and subtransaction are
 * taken from PostgreSQL; calls GetCurrentCommandId(true)).  The caller has
 * checked privileges, read-only and limits.
 */
void kvlsm_buffer_write(const KvEntry *entry);
/*
 * Has this transaction written the key since the command of the snapshot
 * began?  If so, by which command last (kvlsm_write_put_of).
 */
bool kvlsm_written_since(KvSlice key, Snapshot snapshot, CommandId *owner);
/* The two kinds of it; expires_us 0: never.  key and value are copied. */
void kvlsm_write_put(KvSlice key, KvSlice value, int64 expires_us);
void kvlsm_write_delete(KvSlice key);
/*
 * By the statement of another command id than the current one: its triggers
 * and functions have run commands meanwhile.  It is seen as any write now is.
 */
void kvlsm_write_put_of(CommandId owner, KvSlice key, KvSlice value,
						int64 expires_us);
void kvlsm_write_delete_of(CommandId owner, KvSlice key);
/*
 * All keys in [lower, upper), which are of one store: the caller has it locked
 * against other writers.
 */
void kvlsm_write_delete_range(KvSlice lower, KvSlice upper);
/*
 * What this transaction's commands before the snapshot's wrote, as stamps
 * below *limit; NULL if nothing.
 */
KvWriteSet *kvlsm_own_writes(Snapshot snapshot, uint32 *limit);

/* ---- ssi.c: SERIALIZABLE; nothing at other levels */
/* Before a store is read. */
void kvlsm_ssi_read(Oid relid);
/* A version was met that the snapshot does not see; never raises. */
void kvlsm_ssi_met(TransactionId xid);
/* After each call of the engine that reads: 40001 if that was one too many. */
void kvlsm_ssi_report(Snapshot snapshot);
/* A store is written; and: all that was written can be met by others now. */
void kvlsm_ssi_write(Oid relid);
void kvlsm_ssi_batch_is_in(void);
void kvlsm_ssi_end(void); /* the transaction has ended; never fails */

/* ---- key_lock.c */
void kvlsm_lock_store(uint32 store_id, LOCKMODE mode);
void kvlsm_lock_key(KvSlice key); /* store id included */
/*
 * For a write that depends on what it reads: the store in RowExclusive and
 * the key, or, beyond kvlsm.max_key_locks keys, the store alone as soon as it
 * is free.
 */
void kvlsm_lock_key_to_modify(KvSlice key);
/* So many keys will be locked: if the store is to be, it is so at once. */
void kvlsm_expect_keys(uint32 store_id, int n);
/* No transaction locks more keys than that one by one. */
int kvlsm_most_key_locks(void);
/*
 * The commit of so many keys, over the limit, locks the store; false: it is
 * not free, some keys are locked, and the others are to be.
 */
bool kvlsm_lock_store_of_keys(uint32 store_id, int n);
/*
 * The same for SELECT ... FOR UPDATE (share: FOR SHARE); beyond the limit both
 * lock the store against all who write.  wait false: returns false at once if
 * that would have to wait.
 */
bool kvlsm_lock_row(KvSlice key, bool share, bool wait);
void kvlsm_forget_key_locks(void); /* at the end of a (sub)transaction */

/* ---- store.c: foreign tables <-> store ids */
typedef struct KvlsmStore
{
	uint32 id; /* 0: has no data yet (nothing was ever written) */
} KvlsmStore;
typedef enum KvlsmAccess
{
	KVLSM_INSPECT, /* SELECT privilege, for figures about any kvlsm table */
	KVLSM_READ,	   /* the same, for rows */
	KVLSM_PUT,	   /* INSERT and UPDATE privilege */
	KVLSM_DELETE,
	KVLSM_MODIFY, /* reads and puts: SELECT too */
	KVLSM_REMOVE  /* reads and deletes: SELECT too */
} KvlsmAccess;
/*
 * Resolves (InvalidOid: kvlsm.default_store), locks the table, checks that
 * it is a kvlsm table and the current user's privilege; for writes also
 * read-only, recovery and parallel mode, and allocates the id.
 */
void kvlsm_open_store(Oid relid, KvlsmAccess access, KvlsmStore *store);
/* Without privilege checks: for the foreign table, which has its own. */
void kvlsm_store_of_relation(Oid relid, bool for_write, KvlsmStore *store);

/* ---- fdw_plan.c */
void kvlsm_install_relation_hook(void);

/* ---- fdw_conflict.c */
void kvlsm_install_planner_hook(void); /* ON CONFLICT for foreign tables */

/* ---- fdw_insert.c */
void kvlsm_install_run_hook(void); /* rows of an INSERT that wait */

/* ---- store_map.c (the rest of it: store_map.h) */
void kvlsm_install_hooks(void); /* object access: CREATE, DROP */

/* ---- fdw_ddl.c */
void kvlsm_install_ddl_hooks(void); /* utility statements, object access */

#endif /* KVLSM_H */
