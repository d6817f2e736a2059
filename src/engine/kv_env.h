/* SPDX-License-Identifier: PostgreSQL */
/*
 * kv_env.h - what the host supplies to the engine.
 *
 * The engine makes no system call and takes no lock except through these
 * callbacks.  PostgreSQL binds them to fd.c and LWLocks (src/pg/env_pg.c);
 * the tests bind them to POSIX (test/unit/env_posix.c) or to a simulated
 * disk that loses what was not synced (test/sim/env_sim.c).
 *
 * A KvEnv belongs to one process.  Callbacks never throw (log_batch of
 * KvWrite in kv_engine.h is the one exception, documented there).
 */
#ifndef KV_ENV_H
#define KV_ENV_H

#include "engine/base/entry.h"

typedef struct KvEnv KvEnv;
typedef struct KvFile KvFile; /* the host's, private to a process */

/* open flags */
#define KV_OPEN_READ   0x1
#define KV_OPEN_WRITE  0x2 /* read and write an existing file */
#define KV_OPEN_CREATE 0x4 /* with WRITE: create; KV_EXISTS if it is there */

/*
 * Locks, in the order in which they may be nested (outer first).
 * KV_LOCK_CACHE + i, i < KV_CACHE_PARTITIONS, are leaves.
 */
typedef enum KvLockId
{
	KV_LOCK_WAL_IO,	 /* who writes the kvlsm WAL files; held over I/O */
	KV_LOCK_LOG,	 /* csn order: ring, active memtable; never over I/O */
	KV_LOCK_VERSION, /* installs of versions, file table; never over I/O */
	KV_LOCK_CACHE,
	KV_LOCK_COUNT = KV_LOCK_CACHE + 16
} KvLockId;
#define KV_CACHE_PARTITIONS 16

typedef enum KvLogLevel
{
	KV_LOG_DEBUG,
	KV_LOG_INFO,
	KV_LOG_WARNING
} KvLogLevel;

/* Whom kick() wakes. */
typedef enum KvKick
{
	KV_KICK_WORKER,	   /* the engine worker has something to do */
	KV_KICK_COMPACTOR, /* a compaction may be due */
	KV_KICK_WAITERS	   /* room was made, or a request was served */
} KvKick;

/* What no reader can distinguish any more; see KvEnvOps.horizon. */
typedef struct KvHorizon
{
	uint64_t xid; /* committed xids below it are visible to all snapshots */
	uint64_t csn; /* the same for hosts without xids; the server: UINT64_MAX */
	int64_t now_us; /* an expiry at or before it has passed for everyone */
} KvHorizon;

typedef struct KvEnvOps
{
	/*
	 * Files.  A name is a plain file name in the engine's folder.  Failures:
	 * KV_IO_ERROR, KV_DISK_FULL, KV_NOT_FOUND, KV_EXISTS, KV_NO_MEMORY.
	 */
	KvStatus (*open)(KvEnv *env, const char *name, int flags, KvFile **file,
					 KvError *err);
	/*
	 * A file without a name, empty, for reading and writing: gone when it is
	 * closed and when the process ends, however it ends.  Never synced.  NULL:
	 * the host has none.
	 */
	KvStatus (*open_temp)(KvEnv *env, KvFile **file, KvError *err);
	void (*close)(KvEnv *env, KvFile *file);
	/* *got < len only at the end of the file */
	KvStatus (*pread)(KvEnv *env, KvFile *file, void *buf, size_t len,
					  uint64_t off, size_t *got, KvError *err);
	/* all of len, or a failure that leaves the range undefined */
	KvStatus (*pwrite)(KvEnv *env, KvFile *file, const void *buf, size_t len,
					   uint64_t off, KvError *err);
	/*
	 * A hint: what was written there will be synced soon, so the device may
	 * begin.  Promises nothing, never fails; may be NULL.
	 */
	void (*write_back)(KvEnv *env, KvFile *file, uint64_t off, uint64_t len);
	/* data and size durable on KV_OK; a failure is final for the file */
	KvStatus (*sync)(KvEnv *env, KvFile *file, KvError *err);
	/* extends the file with zeros to size; a hint, may do nothing */
	KvStatus (*preallocate)(KvEnv *env, KvFile *file, uint64_t size,
							KvError *err);
	KvStatus (*size)(KvEnv *env, KvFile *file, uint64_t *size, KvError *err);
	/* gives from a second name; KV_EXISTS if to is there (unlike rename) */
	KvStatus (*link)(KvEnv *env, const char *from, const char *to,
					 KvError *err);
	/* replaces to; used for CURRENT only */
	KvStatus (*rename)(KvEnv *env, const char *from, const char *to,
					   KvError *err);
	KvStatus (*unlink)(KvEnv *env, const char *name, KvError *err);
	/* entries of the folder durable on KV_OK */
	KvStatus (*sync_dir)(KvEnv *env, KvError *err);
	/* calls fn for each name, in any order; stops early if fn returns false */
	KvStatus (*list)(KvEnv *env, bool (*fn)(void *arg, const char *name),
					 void *arg, KvError *err);

	/* Private memory; NULL when there is none. */
	void *(*alloc)(KvEnv *env, size_t size);
	void *(*realloc)(KvEnv *env, void *ptr, size_t size);
	void (*free)(KvEnv *env, void *ptr);

	/* Shared locks; not recursive. */
	void (*lock)(KvEnv *env, int lock_id, bool exclusive);
	void (*unlock)(KvEnv *env, int lock_id);
	bool (*lock_held)(KvEnv *env, int lock_id); /* for assertions */

	/* Wakes; never blocks, never fails, may be called under any lock. */
	void (*kick)(KvEnv *env, KvKick whom);
	/* true: give up soon with KV_INTERRUPTED (cancel, shutdown) */
	bool (*poll)(KvEnv *env);

	/* wall clock, microseconds since 2000-01-01 UTC */
	int64_t (*now_us)(KvEnv *env);
	/* 64 random bits (salts) */
	uint64_t (*random)(KvEnv *env);

	/* How a transaction ended, or IN_DOUBT while it runs.  Never a guess. */
	KvXactState (*xact_state)(KvEnv *env, uint64_t xid);
	void (*horizon)(KvEnv *env, KvHorizon *horizon);
	/*
	 * Makes the host's log durable up to lsn, UINT64_MAX = all that is
	 * inserted by now.  "WAL before data": called before anything with that
	 * LSN is written to an engine file.  KV_OK at once without a host log.
	 */
	KvStatus (*flush_host_log)(KvEnv *env, uint64_t lsn, KvError *err);
	/* end of what is inserted into the host's log; NULL without one */
	uint64_t (*host_log_end)(KvEnv *env);
	/* true while files must not be removed (a base backup runs) */
	bool (*backup_running)(KvEnv *env);

	void (*log)(KvEnv *env, KvLogLevel level, const char *message);
	/* stop points of tests; a no-op otherwise.  name is a literal. */
	void (*stop)(KvEnv *env, const char *name);
} KvEnvOps;

/* The host embeds this as the first member of its own struct. */
struct KvEnv
{
	const KvEnvOps *ops;
};

#endif /* KV_ENV_H */
