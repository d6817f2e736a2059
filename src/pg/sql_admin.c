/* SPDX-License-Identifier: PostgreSQL */
/*
 * sql_admin.c - the SQL functions about stores: kv_create_store,
 * kvlsm_store_size, kvlsm_stats, kvlsm_flush, kvlsm_compact,
 * kvlsm_pause_compaction, kvlsm_verify.
 *
 * Requests are served by the workers; a backend only asks and waits.  Who
 * may call what is decided by EXECUTE privileges (kvlsm--1.0.sql), except
 * for kvlsm_store_size, which asks for SELECT on the table.
 */
#include "kvlsm.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "scan.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"
#include "utils/pg_lsn.h"
#include "utils/regproc.h"
#include "utils/varlena.h"
#include "value.h"

PG_FUNCTION_INFO_V1(kvlsm_sql_create_store);
PG_FUNCTION_INFO_V1(kvlsm_sql_store_size);
PG_FUNCTION_INFO_V1(kvlsm_sql_flush);
PG_FUNCTION_INFO_V1(kvlsm_sql_compact);
PG_FUNCTION_INFO_V1(kvlsm_sql_pause_compaction);
PG_FUNCTION_INFO_V1(kvlsm_sql_verify);
PG_FUNCTION_INFO_V1(kvlsm_sql_stats);

/* The members of a JSON object as an OPTIONS clause; "" for none. */
static char *
options_clause(Jsonb *options)
{
	StringInfoData sql;
	JsonbIterator *it;
	JsonbIteratorToken token;
	JsonbValue v;
	const char *sep = " OPTIONS (";

	initStringInfo(&sql);
	if (!JB_ROOT_IS_OBJECT(options))
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("options must be a JSON object")));
	it = JsonbIteratorInit(&options->root);
	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
	{
		if (token == WJB_KEY)
		{
			char *name = pnstrdup(v.val.string.val, v.val.string.len);

			appendStringInfo(&sql, "%s%s ", sep, quote_identifier(name));
			sep = ", ";
		}
		else if (token == WJB_VALUE)
		{
			char *value = NULL;

			if (v.type == jbvString)
				value = pnstrdup(v.val.string.val, v.val.string.len);
			else if (v.type == jbvBool)
				value = v.val.boolean ? "true" : "false";
			else if (v.type == jbvNumeric)
				value =
					DatumGetCString(DirectFunctionCall1(numeric_out,
														NumericGetDatum(v.val.numeric)));
			else
				ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
								errmsg("options must be strings, numbers or "
									   "booleans")));
			appendStringInfoString(&sql, quote_literal_cstr(value));
		}
	}
	if (sql.len > 0)
		appendStringInfoChar(&sql, ')');
	return sql.data;
}

/*
 * kv_create_store(name, options): the foreign table of the plain layout, in
 * the caller's name and with the caller's privileges.
 */
Datum
kvlsm_sql_create_store(PG_FUNCTION_ARGS)
{
	RangeVar *name;
	char *options = "";
	char *sql;

	if (PG_ARGISNULL(0))
		kvlsm_error_null("name");
	name =
		makeRangeVarFromNameList(textToQualifiedNameList(PG_GETARG_TEXT_PP(0)));
	if (!PG_ARGISNULL(1))
		options = options_clause(PG_GETARG_JSONB_P(1));
	sql = psprintf("CREATE FOREIGN TABLE %s (key pg_catalog.text COLLATE "
				   "pg_catalog.\"C\" NOT NULL, value pg_catalog.jsonb NOT "
				   "NULL) SERVER kvlsm%s",
				   quote_qualified_identifier(name->schemaname, name->relname),
				   options);
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	if (SPI_execute(sql, false, 0) < 0)
		elog(ERROR, "SPI_execute failed: %s", sql);
	SPI_finish();
	CommandCounterIncrement();
	PG_RETURN_OID(get_relname_relid(name->relname,
									RangeVarGetCreationNamespace(name)));
}

/* kvlsm_store_size(store): bytes on disk, roughly; the memtable not counted */
Datum
kvlsm_sql_store_size(PG_FUNCTION_ARGS)
{
	KvlsmStore store;
	char bounds[2][KV_STORE_PREFIX];
	KvSlice lower;
	KvSlice upper;
	KvError err;
	uint64_t bytes;
	uint64_t entries;

	kvlsm_open_store(PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0),
					 KVLSM_INSPECT, &store);
	if (store.id == 0)
		PG_RETURN_INT64(0);
	kvlsm_store_bounds(store.id, bounds[0], bounds[1], &lower, &upper);
	kv_error_clear(&err);
	kvlsm_check(kv_approximate_bytes(kvlsm_db(false), lower, upper, &bytes,
									 &entries, &err),
				&err);
	PG_RETURN_INT64((int64) bytes);
}

Datum
kvlsm_sql_flush(PG_FUNCTION_ARGS)
{
	kvlsm_wait_for_request(kv_request_flush(kvlsm_db(true)));
	PG_RETURN_VOID();
}

Datum
kvlsm_sql_compact(PG_FUNCTION_ARGS)
{
	KvDb *db = kvlsm_db(true);
	KvlsmStore store;
	char bounds[2][KV_STORE_PREFIX];
	KvSlice lower = {"", 0};
	KvSlice upper = {"", 0};

	if (kv_compaction_paused(db))
		ereport(ERROR, (errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
						errmsg("compaction is paused"),
						errhint("kvlsm_pause_compaction(false) resumes it.")));
	if (!PG_ARGISNULL(0))
	{
		kvlsm_open_store(PG_GETARG_OID(0), KVLSM_INSPECT, &store);
		if (store.id == 0)
			PG_RETURN_VOID(); /* nothing was ever written to it */
		kvlsm_store_bounds(store.id, bounds[0], bounds[1], &lower, &upper);
	}
	kvlsm_wait_for_request(kv_request_compact_range(db, lower, upper));
	PG_RETURN_VOID();
}

/* kvlsm_pause_compaction(pause): until it is resumed, or the server restarts */
Datum
kvlsm_sql_pause_compaction(PG_FUNCTION_ARGS)
{
	kv_pause_compaction(kvlsm_db(true), PG_GETARG_BOOL(0));
	PG_RETURN_VOID();
}

/* Inside the engine: nothing here may raise but out of memory. */
static bool
report_file(void *arg, const char *file, const char *problem)
{
	ReturnSetInfo *rsinfo = arg;
	Datum values[2];
	bool nulls[2] = {false, false};

	values[0] = CStringGetTextDatum(file);
	nulls[1] = problem == NULL;
	if (problem != NULL)
		values[1] = CStringGetTextDatum(problem);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	return !QueryCancelPending && !ProcDiePending;
}

/* kvlsm_verify(): every file with its problem, NULL for a good one */
Datum
kvlsm_sql_verify(PG_FUNCTION_ARGS)
{
	KvDb *db = kvlsm_db(false);
	KvStatus status;
	KvError err;

	InitMaterializedSRF(fcinfo, 0);
	kv_error_clear(&err);
	status = kv_verify(db, report_file, fcinfo->resultinfo, &err);
	CHECK_FOR_INTERRUPTS();
	kvlsm_check(status, &err);
	return (Datum) 0;
}

static const char *
mode_name(KvMode mode)
{
	switch (mode)
	{
	case KV_MODE_STARTING:
		return "starting";
	case KV_MODE_NORMAL:
		return "normal";
	case KV_MODE_READONLY:
		return "readonly";
	case KV_MODE_OFF:
		return "off";
	}
	return "unknown";
}

/* Files, bytes and entries of each level that has any, as a JSON array. */
static Datum
levels_json(const KvStats *stats)
{
	StringInfoData json;
	int i;

	initStringInfo(&json);
	for (i = 0; i < (int) lengthof(stats->files); i++)
		if (stats->files[i] > 0)
			appendStringInfo(&json,
							 "%s{\"level\": %d, \"files\": " UINT64_FORMAT
							 ", \"bytes\": " UINT64_FORMAT
							 ", \"entries\": " UINT64_FORMAT
							 ", \"tombstones\": " UINT64_FORMAT "}",
							 json.len == 0 ? "[" : ", ", i, stats->files[i],
							 stats->bytes[i], stats->entries[i],
							 stats->tombstones[i]);
	appendStringInfoString(&json, json.len == 0 ? "[]" : "]");
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}

/* How often writers had to wait, by what for. */
static Datum
stalls_json(const KvStats *stats)
{
	StringInfoData json;
	int i;

	initStringInfo(&json);
	for (i = 0; i < KV_STALL_CAUSES; i++)
		appendStringInfo(&json, "%s\"%s\": " UINT64_FORMAT, i == 0 ? "{" : ", ",
						 kv_stall_name((KvStall) i), stats->stalls_by[i]);
	appendStringInfoChar(&json, '}');
	return DirectFunctionCall1(jsonb_in, CStringGetDatum(json.data));
}

/* A row under construction: columns in the order of kvlsm--1.0.sql. */
typedef struct StatsRow
{
	Datum values[40];
	bool nulls[40];
	int n;
} StatsRow;

static void
add_int(StatsRow *row, uint64 v)
{
	row->values[row->n++] = Int64GetDatum((int64) v);
}

static void
add_lsn(StatsRow *row, uint64 lsn)
{
	row->nulls[row->n] = lsn == 0;
	row->values[row->n++] = LSNGetDatum(lsn);
}

static uint64
sum_levels(const uint64_t *levels)
{
	uint64 sum = 0;
	int i;

	for (i = 0; i < (int) lengthof(((KvStats *) 0)->files); i++)
		sum += levels[i];
	return sum;
}

/* kvlsm_stats(): one row of counters since the start of the server */
Datum
kvlsm_sql_stats(PG_FUNCTION_ARGS)
{
	KvStats stats;
	StatsRow row = {0};
	TupleDesc desc;

	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "unexpected result type of kvlsm_stats");
	kv_stats(kvlsm_db(false), &stats);

	row.values[row.n++] = CStringGetTextDatum(mode_name(stats.mode));
	add_int(&row, sum_levels(stats.files));
	add_int(&row, sum_levels(stats.bytes));
	add_int(&row, sum_levels(stats.entries));
	add_int(&row, sum_levels(stats.tombstones));
	row.values[row.n++] = levels_json(&stats);
	add_int(&row, stats.memtable_bytes);
	add_int(&row, stats.memtable_entries);
	add_int(&row, stats.memtables_immutable);
	add_int(&row, stats.last_csn);
	add_lsn(&row, stats.inserted_lsn);
	add_lsn(&row, stats.synced_lsn);
	add_lsn(&row, stats.flushed_lsn);
	add_int(&row, stats.wal_bytes);
	add_int(&row, stats.flushes);
	add_int(&row, stats.flushed_bytes);
	add_int(&row, stats.compactions);
	add_int(&row, stats.compacted_in_bytes);
	add_int(&row, stats.compacted_out_bytes);
	add_int(&row, stats.ingests);
	add_int(&row, stats.ingested_bytes);
	add_int(&row, stats.stalls);
	add_int(&row, stats.cache_hits);
	add_int(&row, stats.cache_misses);
	add_int(&row, stats.cache_evictions);
	add_int(&row, stats.cache_frames);
	add_int(&row, stats.obsolete_files);
	add_int(&row, stats.oldest_pinned_version == 0
					  ? 0
					  : stats.current_version - stats.oldest_pinned_version);
	add_int(&row, stats.doubtful);
	row.values[row.n++] = stalls_json(&stats);
	add_int(&row, stats.delays);
	add_int(&row, stats.delayed_us / 1000);
	row.values[row.n++] = BoolGetDatum(stats.compaction_paused);
	if (row.n != desc->natts)
		elog(ERROR, "unexpected number of columns of kvlsm_stats");
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc),
													  row.values, row.nulls)));
}
