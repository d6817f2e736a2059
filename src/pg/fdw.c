/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw.c - the handler of the foreign data wrapper.
 *
 * Must answer in a server that does not preload kvlsm: catalogue queries of
 * tools call it (pg_relation_is_updatable), and an error would fail them
 * all.  Only reading and writing raise then.
 */
#include "fdw_ddl.h"
#include "fdw_plan.h"

#include "fmgr.h"

PG_FUNCTION_INFO_V1(kvlsm_fdw_handler);

Datum
kvlsm_fdw_handler(PG_FUNCTION_ARGS)
{
	FdwRoutine *routine = makeNode(FdwRoutine);

	kvlsm_plan_callbacks(routine);
	kvlsm_scan_callbacks(routine);
	kvlsm_modify_callbacks(routine);
	kvlsm_direct_callbacks(routine);
	routine->ImportForeignSchema = kvlsm_import_schema;
	PG_RETURN_POINTER(routine);
}
