/* SPDX-License-Identifier: PostgreSQL */
/*
 * env_posix.h - a KvEnv over a real folder, for tests and benchmarks.
 *
 * Thread-safe: several threads may share one environment, as processes of
 * the server share the folder and the locks.  Locks are checked: taking one
 * twice, or against the order of KvLockId, aborts.  What a test injects
 * (clock, answers about transactions, failures) are plain members; set them
 * while no other thread is inside the engine.
 */
#ifndef ENV_POSIX_H
#define ENV_POSIX_H

#include <pthread.h>
#include <stdatomic.h>

#include "engine/kv_env.h"

typedef struct PosixEnv
{
	KvEnv env; /* first: a KvEnv * of ours is a PosixEnv * */

	/* Constant after posix_env_open. */
	char dir[4096];
	int dir_fd;
	pthread_rwlock_t locks[KV_LOCK_COUNT];

	/* Injected by the test. */
	_Atomic int64_t clock_us;			 /* 0: the real clock */
	_Atomic bool interrupt;				 /* what poll() answers */
	_Atomic bool backup;				 /* what backup_running() answers */
	bool no_sync;						 /* sync and sync_dir only count */
	bool quiet;							 /* log() only counts */
	KvHorizon horizon;					 /* now_us 0: the clock */
	KvHorizon (*get_horizon)(void *arg); /* NULL: the one above */
	KvXactState (*xact_state)(void *arg, uint64_t xid); /* NULL: committed */
	void (*stop)(void *arg, const char *name);			/* NULL: nothing */
	void *arg;											/* of the two above */
	_Atomic int64_t alloc_budget;  /* allocations until NULL; < 0: no limit */
	_Atomic uint64_t random_state; /* posix_env_open seeds it; may be set */

	/* Counted for the test. */
	_Atomic uint64_t kicks[3]; /* by KvKick */
	_Atomic uint64_t syncs, dir_syncs, host_flushes, warnings;
	_Atomic uint64_t preads, pread_bytes, pwrite_bytes;
	_Atomic uint64_t last_flush_lsn;
	_Atomic int64_t live_allocs, live_files; /* 0 when all was returned */
} PosixEnv;

/* Creates dir if it is missing.  Aborts the test program on failure. */
PosixEnv *posix_env_open(const char *dir);
void posix_env_close(PosixEnv *penv);
/* Removes the folder's plain files, and the folder. */
void posix_env_remove(PosixEnv *penv);
/* A new folder under $TMPDIR or /tmp. */
PosixEnv *posix_env_open_temp(void);

#endif /* ENV_POSIX_H */
