/* SPDX-License-Identifier: PostgreSQL */
/*
 * shmem.c - the shared memory: one control block with the engine's region
 * behind it.
 *
 * Everything is reserved and initialised in the postmaster, from settings;
 * nothing grows later.  After a crash of a backend the postmaster runs this
 * again on fresh memory.
 */
#include "kvlsm.h"

#include "miscadmin.h"
#include "storage/ipc.h"
#include "storage/shmem.h"

#define REGION_ALIGN 64

KvlsmShared *kvlsm_shared = NULL;

static Size
control_bytes(Size engine_bytes)
{
	return add_size(offsetof(KvlsmShared, engine),
					add_size(engine_bytes, REGION_ALIGN));
}

void
kvlsm_shmem_request(void)
{
	KvConfig config;
	KvError err;

	kvlsm_config_from_gucs(&config);
	if (kv_config_check(&config, &err) != KV_OK)
		ereport(FATAL, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("kvlsm cannot start with these settings: %s",
							   err.message)));
	RequestAddinShmemSpace(control_bytes(kv_shared_bytes(&config)));
	RequestAddinShmemSpace(kvlsm_clock_bytes());
	RequestNamedLWLockTranche("kvlsm", KV_LOCK_COUNT + 1);
#ifdef KVLSM_TESTING
	RequestAddinShmemSpace(kvlsm_stop_shmem_bytes());
#endif
}

void
kvlsm_shmem_startup(void)
{
	KvConfig config;
	Size engine_bytes;
	bool found;

	kvlsm_config_from_gucs(&config);
	engine_bytes = kv_shared_bytes(&config);

	LWLockAcquire(AddinShmemInitLock, LW_EXCLUSIVE);
	kvlsm_shared = ShmemInitStruct("kvlsm", control_bytes(engine_bytes),
								   &found);
	if (!found)
	{
		memset(kvlsm_shared, 0, offsetof(KvlsmShared, engine));
		kvlsm_shared->locks = GetNamedLWLockTranche("kvlsm");
		kvlsm_shared->engine_bytes = engine_bytes;
		ConditionVariableInit(&kvlsm_shared->waiters);
		pg_atomic_init_u32(&kvlsm_shared->phase, KVLSM_STARTING);
		pg_atomic_init_u64(&kvlsm_shared->stall_logged_at, 0);
		pg_atomic_init_u64(&kvlsm_shared->synced_lsn, 0);
		pg_atomic_init_u64(&kvlsm_shared->slot_wanted_lsn, 0);
		pg_atomic_init_u64(&kvlsm_shared->slot_lsn, 0);
		pg_atomic_init_u32(&kvlsm_shared->slot_state, KVLSM_SLOT_UNKNOWN);
		pg_atomic_init_u32(&kvlsm_shared->open_backups, 0);
		pg_atomic_init_u64(&kvlsm_shared->backup_hint_ms, 0);
		kv_shared_init(kvlsm_engine_region(), &config);
	}
	kvlsm_clock_startup();
#ifdef KVLSM_TESTING
	kvlsm_stop_shmem_init();
#endif
	LWLockRelease(AddinShmemInitLock);
}

void *
kvlsm_engine_region(void)
{
	return (void *) TYPEALIGN(REGION_ALIGN, kvlsm_shared->engine);
}
