/* SPDX-License-Identifier: PostgreSQL */
/*
 * sql_range.c - kv_range and kv_range_json: keys and values in key order;
 * kv_count and kv_count_estimate: how many; kv_delete_range: none any more.
 *
 * All bounds are intersected to one interval of bytes before the scan is
 * opened.  PostgreSQL runs a function in FROM to its end whatever LIMIT
 * says; so the number of rows is an argument, bounded by a setting.
 */
#include "kvlsm.h"

#include "access/xact.h"
#include "fmgr.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "nodes/supportnodes.h"
#include "scan.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "value.h"

PG_FUNCTION_INFO_V1(kvlsm_sql_range);
PG_FUNCTION_INFO_V1(kvlsm_sql_range_json);
PG_FUNCTION_INFO_V1(kvlsm_sql_http_range);
PG_FUNCTION_INFO_V1(kvlsm_range_support);
PG_FUNCTION_INFO_V1(kvlsm_sql_count);
PG_FUNCTION_INFO_V1(kvlsm_sql_count_estimate);
PG_FUNCTION_INFO_V1(kvlsm_sql_delete_range);

/* the default of max_rows, also in kvlsm--1.0.sql */
#define DEFAULT_ROWS 1000

/* arguments of the functions; those that count have only the first three */
enum
{
	ARG_START,
	ARG_END,
	ARG_PREFIX,
	ARG_COUNT_STORE,
	ARG_AFTER = ARG_COUNT_STORE,
	ARG_MAX_ROWS,
	ARG_REVERSE,
	ARG_STORE
};

/* [lower, upper); an empty upper is no bound */
typedef struct KeyInterval
{
	KvSlice lower, upper;
} KeyInterval;

static bool
is_empty(const KeyInterval *interval)
{
	return interval->upper.len > 0 &&
		   kv_slice_compare(interval->lower, interval->upper) >= 0;
}

static void
raise_lower(KeyInterval *interval, KvSlice bound)
{
	if (kv_slice_compare(bound, interval->lower) > 0)
		interval->lower = bound;
}

static void
cut_upper(KeyInterval *interval, KvSlice bound)
{
	if (bound.len > 0 && (interval->upper.len == 0 ||
						  kv_slice_compare(bound, interval->upper) < 0))
		interval->upper = bound;
}

/* A palloced copy of the bound with more bytes of room. */
static KvSlice
bound_argument(FunctionCallInfo fcinfo, int arg, uint32 store_id)
{
	KvlsmBytes bytes;
	char *copy;

	kvlsm_make_bound(&bytes, store_id, PG_GETARG_DATUM(arg));
	copy = palloc(bytes.slice.len + 1);
	memcpy(copy, bytes.slice.data, bytes.slice.len);
	copy[bytes.slice.len] = '\0';
	return kv_slice(copy, bytes.slice.len);
}

static void
set_interval(FunctionCallInfo fcinfo, uint32 store_id, KeyInterval *interval)
{
	char *bounds = palloc(KV_STORE_PREFIX * 2);
	KvSlice key;

	kvlsm_store_bounds(store_id, bounds, bounds + KV_STORE_PREFIX,
					   &interval->lower, &interval->upper);
	if (!PG_ARGISNULL(ARG_START))
		raise_lower(interval, bound_argument(fcinfo, ARG_START, store_id));
	if (!PG_ARGISNULL(ARG_END))
		cut_upper(interval, bound_argument(fcinfo, ARG_END, store_id));
	if (!PG_ARGISNULL(ARG_START) && !PG_ARGISNULL(ARG_END) &&
		kv_slice_compare(interval->lower, interval->upper) > 0)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("start_key must not be greater than end_key"),
				 errhint("Both are bounds in key order; reverse only turns "
						 "the direction round.")));
	if (!PG_ARGISNULL(ARG_PREFIX))
	{
		key = bound_argument(fcinfo, ARG_PREFIX, store_id);
		raise_lower(interval, key);
		cut_upper(interval, kvlsm_prefix_end(key, palloc(key.len)));
	}
}

static void
go_on_after(FunctionCallInfo fcinfo, uint32 store_id, bool reverse,
			KeyInterval *interval)
{
	KvSlice key;

	if (PG_ARGISNULL(ARG_AFTER))
		return;
	key = bound_argument(fcinfo, ARG_AFTER, store_id);
	if (reverse)
		cut_upper(interval, key);
	else
	{
		key.len++; /* the zero byte: the next possible key */
		raise_lower(interval, key);
	}
}

static int
max_rows_argument(FunctionCallInfo fcinfo)
{
	int n = PG_ARGISNULL(ARG_MAX_ROWS) ? DEFAULT_ROWS
									   : PG_GETARG_INT32(ARG_MAX_ROWS);

	if (n < 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("max_rows must not be negative")));
	if (n > kvlsm_max_rows)
	{
		if (PG_ARGISNULL(ARG_MAX_ROWS))
			return kvlsm_max_rows;
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("max_rows is too large"),
				 errdetail("It is %d, the limit is %d.", n, kvlsm_max_rows),
				 errhint("Read in pages with after_key, or read the foreign "
						 "table.")));
	}
	return n;
}

static void
read_rows(ReturnSetInfo *rsinfo, const KeyInterval *interval, bool reverse,
		  int max_rows, Datum (*value_of)(KvSlice stored))
{
	KvlsmScan *scan;
	MemoryContext per_row;
	MemoryContext outer;
	KvEntry entry;
	int i;

	scan = kvlsm_scan_open(interval->lower, interval->upper, reverse,
						   GetActiveSnapshot());
	per_row = AllocSetContextCreate(CurrentMemoryContext, "kvlsm row",
									ALLOCSET_DEFAULT_SIZES);
	for (i = 0; i < max_rows && kvlsm_scan_next(scan, &entry); i++)
	{
		Datum values[2];
		bool nulls[2] = {false, false};

		CHECK_FOR_INTERRUPTS();
		outer = MemoryContextSwitchTo(per_row);
		values[0] = kvlsm_key_text(entry.key);
		values[1] = value_of(entry.value);
		MemoryContextSwitchTo(outer);
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
		MemoryContextReset(per_row);
	}
	kvlsm_scan_close(scan);
	MemoryContextDelete(per_row);
}

static Datum
range(FunctionCallInfo fcinfo, Datum (*value_of)(KvSlice stored))
{
	bool reverse = !PG_ARGISNULL(ARG_REVERSE) && PG_GETARG_BOOL(ARG_REVERSE);
	int max_rows = max_rows_argument(fcinfo);
	KvlsmStore store;
	KeyInterval interval;

	InitMaterializedSRF(fcinfo, 0);
	kvlsm_open_store(PG_ARGISNULL(ARG_STORE) ? InvalidOid
											 : PG_GETARG_OID(ARG_STORE),
					 KVLSM_READ, &store);
	set_interval(fcinfo, store.id, &interval);
	go_on_after(fcinfo, store.id, reverse, &interval);
	if (store.id != 0 && max_rows > 0 && !is_empty(&interval))
		read_rows((ReturnSetInfo *) fcinfo->resultinfo, &interval, reverse,
				  max_rows, value_of);
	return (Datum) 0;
}

Datum
kvlsm_sql_range(PG_FUNCTION_ARGS)
{
	return range(fcinfo, kvlsm_value_text);
}

Datum
kvlsm_sql_range_json(PG_FUNCTION_ARGS)
{
	return range(fcinfo, kvlsm_value_jsonb);
}

Datum
kvlsm_sql_http_range(PG_FUNCTION_ARGS)
{
	return range(fcinfo, kvlsm_value_tagged);
}

/* false: nothing can be in the interval */
static bool
open_interval(FunctionCallInfo fcinfo, KeyInterval *interval)
{
	KvlsmStore store;

	kvlsm_open_store(PG_ARGISNULL(ARG_COUNT_STORE)
						 ? InvalidOid
						 : PG_GETARG_OID(ARG_COUNT_STORE),
					 KVLSM_READ, &store);
	set_interval(fcinfo, store.id, interval);
	return store.id != 0 && !is_empty(interval);
}

/* kv_count(start_key, end_key, prefix, store) */
Datum
kvlsm_sql_count(PG_FUNCTION_ARGS)
{
	KeyInterval interval;
	KvlsmScan *scan;
	int64 n;

	if (!open_interval(fcinfo, &interval))
		PG_RETURN_INT64(0);
	scan = kvlsm_scan_open(interval.lower, interval.upper, false,
						   GetActiveSnapshot());
	n = (int64) kvlsm_scan_count(scan);
	kvlsm_scan_close(scan);
	PG_RETURN_INT64(n);
}

/*
 * kv_count_estimate, of the same arguments: entries of the files' blocks that
 * overlap, with older versions and deletions, without what is in memory only.
 */
Datum
kvlsm_sql_count_estimate(PG_FUNCTION_ARGS)
{
	KeyInterval interval;
	uint64_t bytes;
	uint64_t entries;
	KvError err;

	if (!open_interval(fcinfo, &interval))
		PG_RETURN_INT64(0);
	kv_error_clear(&err);
	kvlsm_check(kv_approximate_bytes(kvlsm_db(false), interval.lower,
									 interval.upper, &bytes, &entries, &err),
				&err);
	PG_RETURN_INT64((int64) entries);
}

/*
 * kv_delete_range(start_key, end_key, store): one entry, however many keys.
 * The store is locked at once against all other writers, who could otherwise
 * put a key between this and the commit.
 */
Datum
kvlsm_sql_delete_range(PG_FUNCTION_ARGS)
{
	KvlsmStore store;
	KvSlice lower;
	KvSlice upper;
	int c;

	if (PG_ARGISNULL(0) && PG_ARGISNULL(1))
		ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
						errmsg("start_key and end_key must not be null"),
						errhint("TRUNCATE empties a store.")));
	if (PG_ARGISNULL(0))
		kvlsm_error_null("start_key");
	if (PG_ARGISNULL(1))
		kvlsm_error_null("end_key");
	kvlsm_open_store(PG_ARGISNULL(2) ? InvalidOid : PG_GETARG_OID(2),
					 KVLSM_DELETE, &store);
	lower = bound_argument(fcinfo, 0, store.id);
	upper = bound_argument(fcinfo, 1, store.id);
	c = kv_slice_compare(lower, upper);
	if (c > 0)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("start_key must not be greater than end_key")));
	if (c == 0)
		PG_RETURN_VOID();
	kvlsm_lock_store(store.id, ShareRowExclusiveLock);
	if (IsolationUsesXactSnapshot())
		kvlsm_check_range(lower, upper, GetActiveSnapshot());
	kvlsm_write_delete_range(lower, upper);
	PG_RETURN_VOID();
}

/* Row estimates for the planner: max_rows, where it is a constant. */
Datum
kvlsm_range_support(PG_FUNCTION_ARGS)
{
	Node *raw = (Node *) PG_GETARG_POINTER(0);
	SupportRequestRows *request;
	Node *arg;

	if (!IsA(raw, SupportRequestRows))
		PG_RETURN_POINTER(NULL);
	request = (SupportRequestRows *) raw;
	if (!is_funcclause(request->node) ||
		list_length(((FuncExpr *) request->node)->args) <= ARG_MAX_ROWS)
		PG_RETURN_POINTER(NULL);
	arg = list_nth(((FuncExpr *) request->node)->args, ARG_MAX_ROWS);
	if (!IsA(arg, Const) || ((Const *) arg)->constisnull)
		PG_RETURN_POINTER(NULL);
	request->rows = Max(DatumGetInt32(((Const *) arg)->constvalue), 1);
	PG_RETURN_POINTER(request);
}
