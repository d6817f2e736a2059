/* SPDX-License-Identifier: PostgreSQL */
/*
 * value.c - keys and values between Datums and the engine's bytes.
 *
 * Sizes are checked before anything is detoasted or allocated.  A JSON
 * string and a text value are one and the same value, stored as text: so it
 * reads without quotes in SQL and as a string in JSON, whichever way it came
 * in, and a dump of a jsonb column restores exactly what was there.
 */
#include "value.h"

#include <xxhash.h>

#include "access/detoast.h"
#include "access/xact.h"
#include "common/base64.h"
#include "common/int.h"
#include "mb/pg_wchar.h"
#include "port/pg_bswap.h"
#include "scan.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

void
kvlsm_error_null(const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
					errmsg("%s must not be null", what)));
	pg_unreachable();
}

static void
error_too_large(const char *what, size_t size, size_t limit)
{
	ereport(ERROR,
			(errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			 errmsg("%s is too large", what),
			 errdetail("It has %zu bytes, the limit is %zu.", size, limit)));
}

void
kvlsm_check_key_size(KvSlice key)
{
	size_t len = key.len - KV_STORE_PREFIX;

	if (len > (size_t) kvlsm_max_key_size)
		error_too_large("key", len, kvlsm_max_key_size);
}

void
kvlsm_check_value_size(size_t size)
{
	if (size > (size_t) kvlsm_max_value_size)
		error_too_large("value", size, kvlsm_max_value_size);
}

char *
kvlsm_bytes_extend(KvlsmBytes *out, size_t len)
{
	char *data = unconstify(char *, out->slice.data);
	size_t used = out->slice.len;

	if (len > out->cap - used)
	{
		out->cap = (used + len) * 2;
		data = MemoryContextAllocHuge(CurrentMemoryContext, out->cap);
		memcpy(data, out->slice.data, used);
	}
	out->slice = kv_slice(data, used + len);
	return data + used;
}

static char *
make_room(KvlsmBytes *out, size_t len)
{
	char *data = len <= sizeof(out->local)
					 ? out->local
					 : MemoryContextAllocHuge(CurrentMemoryContext, len);

	out->slice = kv_slice(data, len);
	return data;
}

void
kvlsm_make_key_from(KvlsmBytes *out, uint32 store_id, const char *data,
					size_t len)
{
	uint32 id = pg_hton32(store_id);
	char *p;

	if (len > (size_t) kvlsm_max_key_size)
		error_too_large("key", len, kvlsm_max_key_size);
	p = make_room(out, KV_STORE_PREFIX + len);
	memcpy(p, &id, sizeof(id));
	memcpy(p + KV_STORE_PREFIX, data, len);
}

void
kvlsm_make_bound(KvlsmBytes *out, uint32 store_id, Datum key)
{
	Size raw = toast_raw_datum_size(key) - VARHDRSZ;
	struct varlena *v;

	if (raw > (Size) kvlsm_max_key_size)
		error_too_large("key", raw, kvlsm_max_key_size);
	v = pg_detoast_datum_packed((struct varlena *) DatumGetPointer(key));
	kvlsm_make_key_from(out, store_id, VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v));
}

void
kvlsm_make_key(KvlsmBytes *out, uint32 store_id, Datum key)
{
	kvlsm_make_bound(out, store_id, key);
	if (out->slice.len == KV_STORE_PREFIX)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("key must not be empty")));
}

static void
make_tagged(KvlsmBytes *out, KvlsmTag tag, const char *data, size_t len)
{
	char *p;

	kvlsm_check_value_size(len);
	p = make_room(out, len + 1);
	p[0] = (char) tag;
	memcpy(p + 1, data, len);
}

void
kvlsm_make_value(KvlsmBytes *out, KvlsmTag tag, Datum value)
{
	struct varlena *v;

	kvlsm_check_value_size(toast_raw_datum_size(value) - VARHDRSZ);
	v = pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value));
	if (tag == KVLSM_TAG_JSONB)
	{
		JsonbValue scalar;
		Jsonb *json = (Jsonb *) pg_detoast_datum(v);

		if (JB_ROOT_IS_SCALAR(json) &&
			JsonbExtractScalar(&json->root, &scalar) &&
			scalar.type == jbvString)
		{
			make_tagged(out, KVLSM_TAG_TEXT, scalar.val.string.val,
						scalar.val.string.len);
			return;
		}
		v = (struct varlena *) json;
	}
	make_tagged(out, tag, VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v));
}

void
kvlsm_make_json_value(KvlsmBytes *out, JsonbValue *value)
{
	if (value->type == jbvString)
		make_tagged(out, KVLSM_TAG_TEXT, value->val.string.val,
					value->val.string.len);
	else
	{
		Jsonb *json = JsonbValueToJsonb(value);

		make_tagged(out, KVLSM_TAG_JSONB, VARDATA(json),
					VARSIZE(json) - VARHDRSZ);
	}
}

void
kvlsm_make_int8(KvlsmBytes *out, int64 value)
{
	char bytes[sizeof(int64)];

	kvlsm_store_le64(bytes, (uint64) value);
	make_tagged(out, KVLSM_TAG_INT8, bytes, sizeof(bytes));
}

static KvlsmTag
split_value(KvSlice stored, KvSlice *payload)
{
	KvlsmTag tag = stored.len > 0 ? (KvlsmTag) (uint8) stored.data[0] : 0;
	bool good = tag >= KVLSM_TAG_TEXT && tag <= KVLSM_TAG_INT8;

	*payload = good ? kv_slice(stored.data + 1, stored.len - 1)
					: kv_slice(NULL, 0);
	/* a container starts with a 4-byte header, an empty one is nothing else */
	if (tag == KVLSM_TAG_JSONB && payload->len < sizeof(uint32))
		good = false;
	if (tag == KVLSM_TAG_INT8 && payload->len != sizeof(int64))
		good = false;
	if (!good)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("a value has the unknown tag %d", (int) tag),
						errhint("It was written by a newer version of kvlsm, "
								"or is damaged.")));
	return tag;
}

static int64
int8_of(KvSlice payload)
{
	uint64 v = 0;
	int i;

	for (i = 7; i >= 0; i--)
		v = v << 8 | (uint8) payload.data[i];
	return (int64) v;
}

/* A varlena of any type around the bytes. */
static Datum
make_varlena(KvSlice bytes)
{
	struct varlena *v = palloc(VARHDRSZ + bytes.len);

	SET_VARSIZE(v, VARHDRSZ + bytes.len);
	memcpy(VARDATA(v), bytes.data, bytes.len);
	return PointerGetDatum(v);
}

static char *
json_chars(KvSlice payload)
{
	Jsonb *json = (Jsonb *) DatumGetPointer(make_varlena(payload));

	return JsonbToCString(NULL, &json->root, VARSIZE(json));
}

Datum
kvlsm_value_text(KvSlice stored)
{
	KvSlice payload;

	switch (split_value(stored, &payload))
	{
	case KVLSM_TAG_TEXT:
		return make_varlena(payload);
	case KVLSM_TAG_JSONB:
		return CStringGetTextDatum(json_chars(payload));
	case KVLSM_TAG_INT8:
		return CStringGetTextDatum(psprintf(INT64_FORMAT, int8_of(payload)));
	case KVLSM_TAG_BYTEA:
		break;
	}
	ereport(ERROR,
			(errcode(ERRCODE_DATATYPE_MISMATCH), errmsg("the value is binary"),
			 errhint("Use kv_get_bytes, kv_get_json, kv_range_json or a "
					 "column of type bytea.")));
	pg_unreachable();
}

static void
base64_string(KvSlice bytes, JsonbValue *string)
{
	int room = pg_b64_enc_len((int) bytes.len);

	string->type = jbvString;
	string->val.string.val = palloc(room + 1);
	string->val.string.len = pg_b64_encode((const void *) bytes.data,
										   (int) bytes.len,
										   string->val.string.val, room);
}

Datum
kvlsm_value_jsonb(KvSlice stored)
{
	KvSlice payload;
	KvlsmTag tag = split_value(stored, &payload);
	JsonbValue scalar;

	if (tag == KVLSM_TAG_JSONB)
		return make_varlena(payload);
	if (tag == KVLSM_TAG_INT8)
	{
		scalar.type = jbvNumeric;
		scalar.val.numeric = int64_to_numeric(int8_of(payload));
	}
	else if (tag == KVLSM_TAG_BYTEA)
		base64_string(payload, &scalar);
	else
	{
		scalar.type = jbvString;
		scalar.val.string.val = unconstify(char *, payload.data);
		scalar.val.string.len = (int) payload.len;
	}
	return JsonbPGetDatum(JsonbValueToJsonb(&scalar));
}

Datum
kvlsm_value_tagged(KvSlice stored)
{
	KvSlice payload;
	JsonbParseState *state = NULL;
	JsonbValue name = {.type = jbvString};
	JsonbValue base64;

	if (split_value(stored, &payload) != KVLSM_TAG_BYTEA)
		return kvlsm_value_jsonb(stored);
	name.val.string.val = "$base64";
	name.val.string.len = (int) strlen(name.val.string.val);
	base64_string(payload, &base64);
	(void) pushJsonbValue(&state, WJB_BEGIN_OBJECT, NULL);
	(void) pushJsonbValue(&state, WJB_KEY, &name);
	(void) pushJsonbValue(&state, WJB_VALUE, &base64);
	return JsonbPGetDatum(JsonbValueToJsonb(pushJsonbValue(&state,
														   WJB_END_OBJECT,
														   NULL)));
}

Datum
kvlsm_value_bytea(KvSlice stored)
{
	KvSlice payload;

	switch (split_value(stored, &payload))
	{
	case KVLSM_TAG_TEXT:
	case KVLSM_TAG_BYTEA:
		break;
	case KVLSM_TAG_JSONB:
		payload.data = json_chars(payload);
		payload.len = strlen(payload.data);
		break;
	case KVLSM_TAG_INT8:
		payload.data = psprintf(INT64_FORMAT, int8_of(payload));
		payload.len = strlen(payload.data);
		break;
	}
	return make_varlena(payload);
}

bool
kvlsm_value_is_text(KvSlice stored, text *expected)
{
	KvSlice payload;
	KvlsmTag tag = split_value(stored, &payload);

	if (tag == KVLSM_TAG_BYTEA)
		return false;
	if (tag != KVLSM_TAG_TEXT)
	{
		text *shown = DatumGetTextPP(kvlsm_value_text(stored));

		payload = kv_slice(VARDATA_ANY(shown), VARSIZE_ANY_EXHDR(shown));
	}
	return kv_slice_equal(payload, kv_slice(VARDATA_ANY(expected),
											VARSIZE_ANY_EXHDR(expected)));
}

int64
kvlsm_value_int8(KvSlice stored)
{
	KvSlice payload;

	if (split_value(stored, &payload) == KVLSM_TAG_INT8)
		return int8_of(payload);
	return pg_strtoint64(TextDatumGetCString(kvlsm_value_text(stored)));
}

int64
kvlsm_add(int64 a, int64 b)
{
	int64 sum;

	if (pg_add_s64_overflow(a, b, &sum))
		ereport(ERROR, (errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
						errmsg("bigint out of range")));
	return sum;
}

void
kvlsm_version_of(const KvlsmFound *found, char buf[KVLSM_VERSION_CHARS + 1])
{
	XXH128_hash_t h = XXH3_128bits_withSeed(found->value.data, found->value.len,
											(XXH64_hash_t) found->expires_us);

	snprintf(buf, KVLSM_VERSION_CHARS + 1,
			 "%016" INT64_MODIFIER "x%016" INT64_MODIFIER "x",
			 (uint64) h.high64, (uint64) h.low64);
}

Datum
kvlsm_key_bytea(KvSlice key)
{
	return make_varlena(kv_slice(key.data + KV_STORE_PREFIX,
								 key.len - KV_STORE_PREFIX));
}

Datum
kvlsm_key_text(KvSlice key)
{
	const char *data = key.data + KV_STORE_PREFIX;
	int len = (int) (key.len - KV_STORE_PREFIX);

	if (!pg_verifymbstr(data, len, true))
		ereport(ERROR,
				(errcode(ERRCODE_CHARACTER_NOT_IN_REPERTOIRE),
				 errmsg("a key of the store is not valid text"),
				 errhint("It was put as bytea. ALTER FOREIGN TABLE ... ALTER "
						 "COLUMN key TYPE bytea shows such keys.")));
	return make_varlena(kv_slice(data, len));
}

int64
kvlsm_expires_at(Interval *ttl)
{
	TimestampTz now = GetCurrentTransactionStartTimestamp();
	TimestampTz at =
		DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
												TimestampTzGetDatum(now),
												IntervalPGetDatum(ttl)));

	if (at <= now)
		ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
						errmsg("ttl must be greater than zero")));
	return TIMESTAMP_NOT_FINITE(at) ? 0 : at;
}
