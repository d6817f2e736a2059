/* SPDX-License-Identifier: PostgreSQL */
/*
 * module.c - what happens when PostgreSQL loads the library.
 *
 * Preloaded (postmaster): settings, shared memory, resource manager, workers
 * and hooks are registered.  Loaded later by a backend (CREATE EXTENSION
 * without preload, pg_upgrade): nothing is registered, only the functions
 * exist, and those that need the engine answer 55000.
 */
#include "kvlsm.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "storage/ipc.h"

PG_MODULE_MAGIC;

PGDLLEXPORT void _PG_init(void);

static shmem_request_hook_type prev_shmem_request;
static shmem_startup_hook_type prev_shmem_startup;

static void
request_hook(void)
{
	if (prev_shmem_request)
		prev_shmem_request();
	kvlsm_shmem_request();
}

static void
startup_hook(void)
{
	if (prev_shmem_startup)
		prev_shmem_startup();
	kvlsm_shmem_startup();
}

void
_PG_init(void)
{
	if (!process_shared_preload_libraries_in_progress)
		return;

	kvlsm_define_gucs();

	prev_shmem_request = shmem_request_hook;
	shmem_request_hook = request_hook;
	prev_shmem_startup = shmem_startup_hook;
	shmem_startup_hook = startup_hook;

	kvlsm_register_rmgr();
	kvlsm_register_workers();
	kvlsm_xact_init();
	kvlsm_install_hooks();
	kvlsm_install_ddl_hooks();
	kvlsm_install_planner_hook();
	kvlsm_install_run_hook();
	kvlsm_install_relation_hook();
	kvlsm_install_backup_hook();
}
