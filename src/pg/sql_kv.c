/* SPDX-License-Identifier: PostgreSQL */
/*
 * sql_kv.c - the SQL functions for one key: kv_put, kv_get, kv_delete,
 * kv_exists and their forms by type; kv_entry and kv_ttl, which show more of a
 * key than its value.
 *
 * Writes are not STRICT, because a strict put would do nothing without a
 * word; reads are.  text and bytea are the same bytes to a key, so one C
 * function serves both; only the type of the value makes a difference.
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

PG_FUNCTION_INFO_V1(kvlsm_sql_put_text);
PG_FUNCTION_INFO_V1(kvlsm_sql_put_jsonb);
PG_FUNCTION_INFO_V1(kvlsm_sql_put_bytea);
PG_FUNCTION_INFO_V1(kvlsm_sql_get);
PG_FUNCTION_INFO_V1(kvlsm_sql_get_json);
PG_FUNCTION_INFO_V1(kvlsm_sql_get_bytes);
PG_FUNCTION_INFO_V1(kvlsm_sql_exists);
PG_FUNCTION_INFO_V1(kvlsm_sql_entry);
PG_FUNCTION_INFO_V1(kvlsm_sql_http_entry);
PG_FUNCTION_INFO_V1(kvlsm_sql_ttl);
PG_FUNCTION_INFO_V1(kvlsm_sql_delete);

/* kv_put(key, value, ttl, store) */
static Datum
put(FunctionCallInfo fcinfo, KvlsmTag tag)
{
	KvlsmStore store;
	KvlsmBytes key;
	KvlsmBytes value;
	int64 expires_us = 0;

	if (PG_ARGISNULL(0))
		kvlsm_error_null("key");
	if (PG_ARGISNULL(1))
		kvlsm_error_null("value");
	if (!PG_ARGISNULL(2))
		expires_us = kvlsm_expires_at(PG_GETARG_INTERVAL_P(2));
	kvlsm_open_store(PG_ARGISNULL(3) ? InvalidOid : PG_GETARG_OID(3),
					 KVLSM_PUT, &store);
	kvlsm_make_key(&key, store.id, PG_GETARG_DATUM(0));
	kvlsm_make_value(&value, tag, PG_GETARG_DATUM(1));
	kvlsm_write_put(key.slice, value.slice, expires_us);
	PG_RETURN_VOID();
}

Datum
kvlsm_sql_put_text(PG_FUNCTION_ARGS)
{
	return put(fcinfo, KVLSM_TAG_TEXT);
}

Datum
kvlsm_sql_put_jsonb(PG_FUNCTION_ARGS)
{
	return put(fcinfo, KVLSM_TAG_JSONB);
}

Datum
kvlsm_sql_put_bytea(PG_FUNCTION_ARGS)
{
	return put(fcinfo, KVLSM_TAG_BYTEA);
}

/*
 * The reads are STRICT in their key only: a NULL store means the default
 * one, so the NULL key is handled here.
 */
static bool
get(FunctionCallInfo fcinfo, KvlsmFound *found)
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

Datum
kvlsm_sql_get(PG_FUNCTION_ARGS)
{
	KvlsmFound found;

	if (!get(fcinfo, &found))
		PG_RETURN_NULL();
	return kvlsm_value_text(found.value);
}

Datum
kvlsm_sql_get_json(PG_FUNCTION_ARGS)
{
	KvlsmFound found;

	if (!get(fcinfo, &found))
		PG_RETURN_NULL();
	return kvlsm_value_jsonb(found.value);
}

Datum
kvlsm_sql_get_bytes(PG_FUNCTION_ARGS)
{
	KvlsmFound found;

	if (!get(fcinfo, &found))
		PG_RETURN_NULL();
	return kvlsm_value_bytea(found.value);
}

Datum
kvlsm_sql_exists(PG_FUNCTION_ARGS)
{
	KvlsmFound found;

	if (PG_ARGISNULL(0))
		PG_RETURN_NULL();
	PG_RETURN_BOOL(get(fcinfo, &found));
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
	if (!get(fcinfo, &found))
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

/* kvlsm_http_entry(key, store): value and version; NULLs if there is none */
Datum
kvlsm_sql_http_entry(PG_FUNCTION_ARGS)
{
	char version[KVLSM_VERSION_CHARS + 1];
	KvlsmFound found;
	TupleDesc desc;
	Datum values[2];
	bool nulls[2] = {true, true};

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "return type must be a row type");
	if (get(fcinfo, &found))
	{
		kvlsm_version_of(&found, version);
		values[0] = kvlsm_value_tagged(found.value);
		values[1] = CStringGetTextDatum(version);
		nulls[0] = nulls[1] = false;
	}
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  values, nulls)));
}

/* kv_ttl(key, store): what is left of it at the start of the transaction */
Datum
kvlsm_sql_ttl(PG_FUNCTION_ARGS)
{
	KvlsmFound found;
	TimestampTz now;

	if (!get(fcinfo, &found) || found.expires_us == 0)
		PG_RETURN_NULL();
	now = kvlsm_read_clock();
	return DirectFunctionCall2(timestamp_mi,
							   TimestampTzGetDatum(found.expires_us),
							   TimestampTzGetDatum(now));
}

/*
 * kv_delete(key, store): whether a live key was there, as this statement
 * sees it.  The tombstone is written in any case: another transaction may
 * put the key before this one commits, and the last commit wins.
 */
Datum
kvlsm_sql_delete(PG_FUNCTION_ARGS)
{
	KvlsmStore store;
	KvlsmBytes key;
	KvlsmFound old;
	bool found;

	if (PG_ARGISNULL(0))
		kvlsm_error_null("key");
	kvlsm_open_store(PG_ARGISNULL(1) ? InvalidOid : PG_GETARG_OID(1),
					 KVLSM_DELETE, &store);
	kvlsm_make_key(&key, store.id, PG_GETARG_DATUM(0));
	found = kvlsm_lookup(key.slice, GetActiveSnapshot(), &old);
	kvlsm_write_delete(key.slice);
	PG_RETURN_BOOL(found);
}
