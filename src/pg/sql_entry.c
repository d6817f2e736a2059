/* SPDX-License-Identifier: PostgreSQL */
/*
 * sql_entry.c - the SQL functions that show more of a key than its value:
 * kv_entry (version and expiry), kv_ttl.
 *
 * They read what kv_get reads: the snapshot, and this transaction's earlier
 * commands.
 */
#include "kvlsm.h"

#include "fmgr.h"
#include "funcapi.h"
#include "scan.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "value.h"

PG_FUNCTION_INFO_V1(kvlsm_sql_entry);
PG_FUNCTION_INFO_V1(kvlsm_sql_ttl);

/* (key, store); a NULL key is found nowhere */
static bool
find(FunctionCallInfo fcinfo, KvlsmFound *found)
{
	KvlsmStore store;
	KvlsmBytes key;

	if (PG_ARGISNULL(0))
		return false;
	kvlsm_open_store(PG_ARGISNULL(1) ? InvalidOid : PG_GETARG_OID(1),
					 KVLSM_READ, &store);
	kvlsm_make_key(&key, store.id, PG_GETARG_DATUM(0));
	return store.id != 0 && kvlsm_lookup(key.slice, GetActiveSnapshot(), found);
}

/* kv_entry(key, store): one row, or none */
Datum
kvlsm_sql_entry(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	char version[KVLSM_VERSION_CHARS + 1];
	KvlsmFound found;
	Datum values[4];
	bool nulls[4] = {false};

	InitMaterializedSRF(fcinfo, 0);
	if (!find(fcinfo, &found))
		return (Datum) 0;
	kvlsm_version_of(&found, version);
	values[0] = PG_GETARG_DATUM(0);
	values[1] = kvlsm_value_jsonb(found.value);
	values[2] = CStringGetTextDatum(version);
	values[3] = TimestampTzGetDatum(found.expires_us);
	nulls[3] = found.expires_us == 0;
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	return (Datum) 0;
}

/* kv_ttl(key, store): what is left of it at the start of the transaction */
Datum
kvlsm_sql_ttl(PG_FUNCTION_ARGS)
{
	KvlsmFound found;
	TimestampTz now;

	if (!find(fcinfo, &found) || found.expires_us == 0)
		PG_RETURN_NULL();
	now = kvlsm_read_clock();
	return DirectFunctionCall2(timestamp_mi,
							   TimestampTzGetDatum(found.expires_us),
							   TimestampTzGetDatum(now));
}
