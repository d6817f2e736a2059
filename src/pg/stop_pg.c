/* SPDX-License-Identifier: PostgreSQL */
/*
 * stop_pg.c - stop points that tests set from SQL (make TESTING=1 only).
 *
 * kvlsm_stop_set('name', 'wait')  processes that pass it wait until cleared
 * kvlsm_stop_set('name', 'kill')  the first that passes it dies by SIGKILL
 * kvlsm_stop_set('name', 'cancel') the first that passes it is sent what a
 *                                 cancel request sends
 * kvlsm_stop_set('name', 'bug')   kvlsm_planted('name') is true: a mistake on
 *                                 purpose, which a test has to find
 * kvlsm_stop_set('name', NULL)    cleared
 * kvlsm_stop_hits('name')         how often it was passed since it was set
 * A process waits with its locks held and without interrupts: that is what
 * is being tested.  A name that was never set costs one comparison.
 */
#include "kvlsm.h"

#ifdef KVLSM_TESTING

#include <signal.h>
#include <unistd.h>

#include "fmgr.h"
#include "miscadmin.h"
#include "postmaster/postmaster.h"
#include "storage/pmsignal.h"
#include "storage/shmem.h"
#include "storage/spin.h"
#include "utils/builtins.h"

#define STOPS	   64
#define NAME_BYTES 48

typedef struct Stop
{
	char name[NAME_BYTES]; /* "": unused */
	bool wait, kill, cancel, bug;
	uint32 hits;
} Stop;

typedef struct StopTable
{
	pg_atomic_uint32 used; /* entries with a name */
	slock_t mutex;		   /* everything below */
	Stop stops[STOPS];
} StopTable;

static StopTable *stop_table = NULL;

Size
kvlsm_stop_shmem_bytes(void)
{
	return MAXALIGN(sizeof(StopTable));
}

void
kvlsm_stop_shmem_init(void)
{
	bool found;

	stop_table = ShmemInitStruct("kvlsm stop points", sizeof(StopTable),
								 &found);
	if (found)
		return;
	memset(stop_table, 0, sizeof(StopTable));
	pg_atomic_init_u32(&stop_table->used, 0);
	SpinLockInit(&stop_table->mutex);
}

static Stop *
find_locked(const char *name)
{
	int i;

	for (i = 0; i < STOPS; i++)
		if (strcmp(stop_table->stops[i].name, name) == 0)
			return &stop_table->stops[i];
	return NULL;
}

static void
look_up(const char *name, bool hit, bool *wait, int *send)
{
	Stop *stop;

	SpinLockAcquire(&stop_table->mutex);
	stop = find_locked(name);
	*wait = stop != NULL && stop->wait;
	*send = 0;
	if (stop != NULL && hit)
		*send = stop->kill ? SIGKILL : stop->cancel ? SIGINT : 0;
	if (stop != NULL && hit)
	{
		stop->hits++;
		stop->kill = stop->cancel = false;
	}
	SpinLockRelease(&stop_table->mutex);
}

void
kvlsm_stop(const char *name)
{
	bool wait;
	int send;

	if (stop_table == NULL || pg_atomic_read_u32(&stop_table->used) == 0)
		return;
	look_up(name, true, &wait, &send);
	if (send != 0)
		kill(MyProcPid, send);
	while (wait && PostmasterIsAlive())
	{
		usleep(10000);
		look_up(name, false, &wait, &send);
	}
}

bool
kvlsm_planted(const char *name)
{
	Stop *stop;
	bool bug;

	if (stop_table == NULL || pg_atomic_read_u32(&stop_table->used) == 0)
		return false;
	SpinLockAcquire(&stop_table->mutex);
	stop = find_locked(name);
	bug = stop != NULL && stop->bug;
	SpinLockRelease(&stop_table->mutex);
	return bug;
}

PG_FUNCTION_INFO_V1(kvlsm_sql_stop_set);
PG_FUNCTION_INFO_V1(kvlsm_sql_stop_hits);

Datum
kvlsm_sql_stop_set(PG_FUNCTION_ARGS)
{
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char *action = PG_ARGISNULL(1) ? NULL
								   : text_to_cstring(PG_GETARG_TEXT_PP(1));
	Stop *stop;

	if (stop_table == NULL)
		kvlsm_error_not_preloaded();
	if (name[0] == '\0' || strlen(name) >= NAME_BYTES)
		elog(ERROR, "bad name of a stop point");
	SpinLockAcquire(&stop_table->mutex);
	stop = find_locked(name);
	if (stop == NULL)
		stop = find_locked("");
	if (stop != NULL)
	{
		if (stop->name[0] == '\0')
			pg_atomic_fetch_add_u32(&stop_table->used, 1);
		strlcpy(stop->name, name, NAME_BYTES);
		stop->wait = action != NULL && strcmp(action, "wait") == 0;
		stop->kill = action != NULL && strcmp(action, "kill") == 0;
		stop->cancel = action != NULL && strcmp(action, "cancel") == 0;
		stop->bug = action != NULL && strcmp(action, "bug") == 0;
		if (action != NULL)
			stop->hits = 0;
	}
	SpinLockRelease(&stop_table->mutex);
	if (stop == NULL)
		elog(ERROR, "too many stop points");
	PG_RETURN_VOID();
}

Datum
kvlsm_sql_stop_hits(PG_FUNCTION_ARGS)
{
	char *name = text_to_cstring(PG_GETARG_TEXT_PP(0));
	uint32 hits = 0;
	Stop *stop;

	if (stop_table == NULL)
		kvlsm_error_not_preloaded();
	SpinLockAcquire(&stop_table->mutex);
	stop = find_locked(name);
	if (stop != NULL)
		hits = stop->hits;
	SpinLockRelease(&stop_table->mutex);
	PG_RETURN_INT32(hits);
}

#endif
