/* SPDX-License-Identifier: PostgreSQL */
/*
 * sql_batch.c - the SQL functions for many keys at once: kv_batch_put,
 * kv_put_many, kv_multi_get.
 *
 * A batch is checked item by item while it is buffered; an error ends the
 * statement, and with it everything that the statement had buffered.
 */
#include "kvlsm.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "funcapi.h"
#include "json_item.h"
#include "miscadmin.h"
#include "scan.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "value.h"

PG_FUNCTION_INFO_V1(kvlsm_sql_batch_put);
PG_FUNCTION_INFO_V1(kvlsm_sql_put_many);
PG_FUNCTION_INFO_V1(kvlsm_sql_multi_get);

#define BATCH_BYTES ((size_t) 64 * 1024 * 1024)

void
kvlsm_check_batch_items(int64 n)
{
	if (n > kvlsm_max_batch_items)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("too many items in one call"),
				 errdetail("There are " INT64_FORMAT ", the limit is %d.", n,
						   kvlsm_max_batch_items),
				 errhint("Make several calls in one transaction, or raise "
						 "kvlsm.max_batch_items.")));
}

void
kvlsm_check_batch_bytes(size_t bytes)
{
	if (bytes > BATCH_BYTES)
		ereport(ERROR,
				(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				 errmsg("batch is too large"),
				 errdetail("It has %zu bytes or more, the limit is %zu.",
						   bytes, BATCH_BYTES),
				 errhint("Make several calls in one transaction.")));
}

static void
put_item(const KvlsmStore *store, int item, JsonbValue *value)
{
	static const char *const fields[] = {"key", "value", "ttl", NULL};
	JsonbContainer *object = kvlsm_item_object(item, value);
	JsonbValue buf;
	JsonbValue *field;
	KvlsmBytes key;
	KvlsmBytes stored;
	int64 expires_us;

	field = kvlsm_item_field(object, "value", &buf);
	kvlsm_item_key(item, object, store->id, &key);
	if (field == NULL)
		kvlsm_bad_item(item, "missing field \"value\"");
	kvlsm_item_check_fields(item, object, fields);
	expires_us = kvlsm_item_expires_at(item, object);
	kvlsm_make_json_value(&stored, field);
	kvlsm_write_put(key.slice, stored.slice, expires_us);
}

/* kv_batch_put(items, store) */
Datum
kvlsm_sql_batch_put(PG_FUNCTION_ARGS)
{
	Jsonb *items;
	JsonbIterator *it;
	JsonbValue value;
	KvlsmStore store;
	MemoryContext per_item;
	MemoryContext outer;
	int n = 0;

	if (PG_ARGISNULL(0))
		kvlsm_error_null("items");
	items = PG_GETARG_JSONB_P(0);
	if (!JB_ROOT_IS_ARRAY(items) || JB_ROOT_IS_SCALAR(items))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("items must be a JSON array"),
				 errhint("Pass '[{\"key\":\"...\",\"value\":...}, ...]'.")));
	kvlsm_check_batch_items(JB_ROOT_COUNT(items));
	kvlsm_check_batch_bytes(VARSIZE(items));
	kvlsm_open_store(PG_ARGISNULL(1) ? InvalidOid : PG_GETARG_OID(1),
					 KVLSM_PUT, &store);

	per_item = AllocSetContextCreate(CurrentMemoryContext, "kvlsm item",
									 ALLOCSET_DEFAULT_SIZES);
	it = JsonbIteratorInit(&items->root);
	(void) JsonbIteratorNext(&it, &value, true); /* WJB_BEGIN_ARRAY */
	while (JsonbIteratorNext(&it, &value, true) == WJB_ELEM)
	{
		CHECK_FOR_INTERRUPTS();
		outer = MemoryContextSwitchTo(per_item);
		put_item(&store, n++, &value);
		MemoryContextSwitchTo(outer);
		MemoryContextReset(per_item);
	}
	MemoryContextDelete(per_item);
	PG_RETURN_INT64(n);
}

static void
text_array(ArrayType *array, const char *what, Datum **elems, bool **nulls,
		   int *n)
{
	if (ARR_NDIM(array) > 1)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("%s must be one-dimensional", what)));
	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, elems, nulls, n);
}

/* kv_put_many(keys, vals, store) */
Datum
kvlsm_sql_put_many(PG_FUNCTION_ARGS)
{
	Datum *keys;
	Datum *vals;
	bool *key_nulls;
	bool *val_nulls;
	KvlsmStore store;
	KvlsmBytes key;
	KvlsmBytes value;
	size_t bytes = 0;
	int n;
	int vals_n;
	int i;

	if (PG_ARGISNULL(0))
		kvlsm_error_null("keys");
	if (PG_ARGISNULL(1))
		kvlsm_error_null("vals");
	text_array(PG_GETARG_ARRAYTYPE_P(0), "keys", &keys, &key_nulls, &n);
	text_array(PG_GETARG_ARRAYTYPE_P(1), "vals", &vals, &val_nulls, &vals_n);
	if (n != vals_n)
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("keys and vals differ in length"),
				 errdetail("There are %d keys and %d vals.", n, vals_n)));
	kvlsm_check_batch_items(n);
	kvlsm_open_store(PG_ARGISNULL(2) ? InvalidOid : PG_GETARG_OID(2),
					 KVLSM_PUT, &store);
	for (i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		if (key_nulls[i])
			kvlsm_error_null(psprintf("keys[%d]", i + 1));
		if (val_nulls[i])
			kvlsm_error_null(psprintf("vals[%d]", i + 1));
		kvlsm_make_key(&key, store.id, keys[i]);
		kvlsm_make_value(&value, KVLSM_TAG_TEXT, vals[i]);
		bytes += key.slice.len + value.slice.len;
		kvlsm_check_batch_bytes(bytes);
		kvlsm_write_put(key.slice, value.slice, 0);
		if (key.slice.data != key.local)
			pfree(unconstify(char *, key.slice.data));
		if (value.slice.data != value.local)
			pfree(unconstify(char *, value.slice.data));
	}
	PG_RETURN_INT64(n);
}

/* keys of kv_multi_get that are looked up together */
#define KEYS_AT_ONCE 128

/* Rows for n keys, of which the first is the from-th of the array. */
static void
multi_get_some(ReturnSetInfo *rsinfo, const KvlsmStore *store, Datum *keys,
			   const bool *key_nulls, int n, int from)
{
	KvlsmBytes *bytes = palloc(n * sizeof(KvlsmBytes));
	KvSlice *slices = palloc(n * sizeof(KvSlice));
	KvSlice *found = palloc(n * sizeof(KvSlice));
	uint32 asked = 0;
	int i;

	for (i = 0; i < n; i++)
	{
		if (key_nulls[i])
			continue;
		kvlsm_make_key(&bytes[i], store->id, keys[i]);
		slices[asked++] = bytes[i].slice;
	}
	if (store->id != 0)
		kvlsm_lookup_many(slices, asked, GetActiveSnapshot(), found);
	asked = 0;
	for (i = 0; i < n; i++)
	{
		Datum values[3];
		bool nulls[3] = {false, false, true};

		values[0] = Int32GetDatum(from + i + 1);
		values[1] = keys[i];
		values[2] = (Datum) 0;
		nulls[1] = key_nulls[i];
		if (!key_nulls[i])
		{
			KvSlice value = found[asked++];

			if (store->id != 0 && value.data != NULL)
			{
				values[2] = kvlsm_value_text(value);
				nulls[2] = false;
			}
		}
		tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
	}
}

/* kv_multi_get(keys, store): a row for each key, in the order of the input */
Datum
kvlsm_sql_multi_get(PG_FUNCTION_ARGS)
{
	ReturnSetInfo *rsinfo = (ReturnSetInfo *) fcinfo->resultinfo;
	Datum *keys;
	bool *key_nulls;
	KvlsmStore store;
	MemoryContext some;
	MemoryContext outer;
	int n;
	int i;

	InitMaterializedSRF(fcinfo, 0);
	if (PG_ARGISNULL(0))
		return (Datum) 0;
	text_array(PG_GETARG_ARRAYTYPE_P(0), "keys", &keys, &key_nulls, &n);
	kvlsm_check_batch_items(n);
	kvlsm_open_store(PG_ARGISNULL(1) ? InvalidOid : PG_GETARG_OID(1),
					 KVLSM_READ, &store);
	some = AllocSetContextCreate(CurrentMemoryContext, "kvlsm rows",
								 ALLOCSET_DEFAULT_SIZES);
	outer = MemoryContextSwitchTo(some);
	for (i = 0; i < n; i += KEYS_AT_ONCE)
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(some);
		multi_get_some(rsinfo, &store, keys + i, key_nulls + i,
					   Min(n - i, KEYS_AT_ONCE), i);
	}
	MemoryContextSwitchTo(outer);
	MemoryContextDelete(some);
	return (Datum) 0;
}
