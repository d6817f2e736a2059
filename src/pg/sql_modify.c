/* SPDX-License-Identifier: PostgreSQL */
/*
 * sql_modify.c - the SQL functions whose write depends on what is there:
 * kv_cas, kv_put_if_absent, kv_swap, kv_put_if_version, kv_delete_if_version,
 * kv_incr, kv_expire.
 *
 * All begin alike: the key is locked to the end of the transaction, and then
 * the newest version counts.  Where the transaction has one snapshot for all,
 * a newer version than it sees is 40001.  That a condition does not hold is
 * an answer and no error; the key stays locked then, too.
 */
#include "kvlsm.h"

#include "fmgr.h"
#include "scan.h"
#include "utils/builtins.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"
#include "value.h"

PG_FUNCTION_INFO_V1(kvlsm_sql_cas);
PG_FUNCTION_INFO_V1(kvlsm_sql_put_if_absent_text);
PG_FUNCTION_INFO_V1(kvlsm_sql_put_if_absent_jsonb);
PG_FUNCTION_INFO_V1(kvlsm_sql_swap);
PG_FUNCTION_INFO_V1(kvlsm_sql_put_if_version);
PG_FUNCTION_INFO_V1(kvlsm_sql_delete_if_version);
PG_FUNCTION_INFO_V1(kvlsm_sql_incr);
PG_FUNCTION_INFO_V1(kvlsm_sql_expire);

/* A key that is locked, and what is there. */
typedef struct Target
{
	KvlsmBytes key;
	bool found;
	KvlsmFound old;
} Target;

static void
open_target(FunctionCallInfo fcinfo, int store_arg, KvlsmAccess access,
			Target *t)
{
	KvlsmStore store;

	if (PG_ARGISNULL(0))
		kvlsm_error_null("key");
	kvlsm_open_store(PG_ARGISNULL(store_arg) ? InvalidOid
											 : PG_GETARG_OID(store_arg),
					 access, &store);
	kvlsm_make_key(&t->key, store.id, PG_GETARG_DATUM(0));
	t->found = kvlsm_read_to_modify(t->key.slice, GetActiveSnapshot(), &t->old);
}

static int64
ttl_argument(FunctionCallInfo fcinfo, int arg)
{
	return PG_ARGISNULL(arg) ? 0 : kvlsm_expires_at(PG_GETARG_INTERVAL_P(arg));
}

/* kv_cas(key, expected, new_value, store) */
Datum
kvlsm_sql_cas(PG_FUNCTION_ARGS)
{
	bool removes = PG_ARGISNULL(2);
	Target t;
	KvlsmBytes value;
	bool as_expected;

	open_target(fcinfo, 3, removes ? KVLSM_REMOVE : KVLSM_MODIFY, &t);
	as_expected = PG_ARGISNULL(1)
					  ? !t.found
					  : t.found && kvlsm_value_is_text(t.old.value,
													   PG_GETARG_TEXT_PP(1));
	if (!as_expected)
		PG_RETURN_BOOL(false);
	if (!removes)
	{
		kvlsm_make_value(&value, KVLSM_TAG_TEXT, PG_GETARG_DATUM(2));
		kvlsm_write_put(t.key.slice, value.slice, 0);
	}
	else if (t.found)
		kvlsm_write_delete(t.key.slice);
	PG_RETURN_BOOL(true);
}

/* kv_put_if_absent(key, value, ttl, store) */
static Datum
put_if_absent(FunctionCallInfo fcinfo, KvlsmTag tag)
{
	int64 expires_us = ttl_argument(fcinfo, 2);
	Target t;
	KvlsmBytes value;

	if (PG_ARGISNULL(1))
		kvlsm_error_null("value");
	open_target(fcinfo, 3, KVLSM_MODIFY, &t);
	if (t.found)
		PG_RETURN_BOOL(false);
	kvlsm_make_value(&value, tag, PG_GETARG_DATUM(1));
	kvlsm_write_put(t.key.slice, value.slice, expires_us);
	PG_RETURN_BOOL(true);
}

Datum
kvlsm_sql_put_if_absent_text(PG_FUNCTION_ARGS)
{
	return put_if_absent(fcinfo, KVLSM_TAG_TEXT);
}

Datum
kvlsm_sql_put_if_absent_jsonb(PG_FUNCTION_ARGS)
{
	return put_if_absent(fcinfo, KVLSM_TAG_JSONB);
}

/* kv_swap(key, value, ttl, store): the value that was there */
Datum
kvlsm_sql_swap(PG_FUNCTION_ARGS)
{
	int64 expires_us = ttl_argument(fcinfo, 2);
	Target t;
	KvlsmBytes value;
	Datum old = (Datum) 0;

	if (PG_ARGISNULL(1))
		kvlsm_error_null("value");
	open_target(fcinfo, 3, KVLSM_MODIFY, &t);
	if (t.found)
		old = kvlsm_value_text(t.old.value);
	kvlsm_make_value(&value, KVLSM_TAG_TEXT, PG_GETARG_DATUM(1));
	kvlsm_write_put(t.key.slice, value.slice, expires_us);
	if (!t.found)
		PG_RETURN_NULL();
	PG_RETURN_DATUM(old);
}

static bool
has_version(const Target *t, text *version)
{
	char current[KVLSM_VERSION_CHARS + 1];

	if (!t->found)
		return false;
	kvlsm_version_of(&t->old, current);
	return VARSIZE_ANY_EXHDR(version) == KVLSM_VERSION_CHARS &&
		   memcmp(VARDATA_ANY(version), current, KVLSM_VERSION_CHARS) == 0;
}

/* kv_put_if_version(key, value, version, ttl, store) */
Datum
kvlsm_sql_put_if_version(PG_FUNCTION_ARGS)
{
	int64 expires_us = ttl_argument(fcinfo, 3);
	Target t;
	KvlsmBytes value;

	if (PG_ARGISNULL(1))
		kvlsm_error_null("value");
	if (PG_ARGISNULL(2))
		kvlsm_error_null("version");
	open_target(fcinfo, 4, KVLSM_MODIFY, &t);
	if (!has_version(&t, PG_GETARG_TEXT_PP(2)))
		PG_RETURN_BOOL(false);
	kvlsm_make_value(&value, KVLSM_TAG_JSONB, PG_GETARG_DATUM(1));
	kvlsm_write_put(t.key.slice, value.slice, expires_us);
	PG_RETURN_BOOL(true);
}

/* kv_delete_if_version(key, version, store) */
Datum
kvlsm_sql_delete_if_version(PG_FUNCTION_ARGS)
{
	Target t;

	if (PG_ARGISNULL(1))
		kvlsm_error_null("version");
	open_target(fcinfo, 2, KVLSM_REMOVE, &t);
	if (!has_version(&t, PG_GETARG_TEXT_PP(1)))
		PG_RETURN_BOOL(false);
	kvlsm_write_delete(t.key.slice);
	PG_RETURN_BOOL(true);
}

/*
 * kv_incr(key, by, ttl, store): a number that was put as text or JSON is
 * taken on.  The ttl counts for a new key only; an old one keeps its own.
 */
Datum
kvlsm_sql_incr(PG_FUNCTION_ARGS)
{
	int64 expires_us = ttl_argument(fcinfo, 2);
	Target t;
	KvlsmBytes value;
	int64 sum = 0;

	if (PG_ARGISNULL(1))
		kvlsm_error_null("by");
	open_target(fcinfo, 3, KVLSM_MODIFY, &t);
	if (t.found)
	{
		sum = kvlsm_value_int8(t.old.value);
		expires_us = t.old.expires_us;
	}
	sum = kvlsm_add(sum, PG_GETARG_INT64(1));
	kvlsm_make_int8(&value, sum);
	kvlsm_write_put(t.key.slice, value.slice, expires_us);
	PG_RETURN_INT64(sum);
}

/* kv_expire(key, ttl, store): ttl NULL takes the expiry away */
Datum
kvlsm_sql_expire(PG_FUNCTION_ARGS)
{
	int64 expires_us = ttl_argument(fcinfo, 1);
	Target t;
	char *copy;

	open_target(fcinfo, 2, KVLSM_MODIFY, &t);
	if (!t.found)
		PG_RETURN_BOOL(false);
	/* it may lie in the write set, which moves when it grows */
	copy = palloc(t.old.value.len);
	memcpy(copy, t.old.value.data, t.old.value.len);
	kvlsm_write_put(t.key.slice, kv_slice(copy, t.old.value.len), expires_us);
	PG_RETURN_BOOL(true);
}
