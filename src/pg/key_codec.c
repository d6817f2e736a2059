/* SPDX-License-Identifier: PostgreSQL */
/*
 * key_codec.c - key columns of the typed layout as order-preserving bytes.
 *
 * A column's bytes are made in ascending order first; DESC inverts all of
 * them afterwards, terminator included.  docs/format.md has the bytes.
 *
 * Backends only.
 */
#include "key_codec.h"

#include <math.h>

#include "catalog/pg_type.h"
#include "datatype/timestamp.h"
#include "mb/pg_wchar.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/lsyscache.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

/* What follows a 0 byte in text and bytea. */
#define STRING_END	0x01
#define STRING_ZERO 0xFF

bool
kvlsm_key_type_of(Oid type, Oid collation, KvlsmKeyType *key_type)
{
	switch (getBaseType(type))
	{
	case BOOLOID:
		*key_type = KVLSM_KEY_BOOL;
		return true;
	case INT2OID:
		*key_type = KVLSM_KEY_INT2;
		return true;
	case INT4OID:
		*key_type = KVLSM_KEY_INT4;
		return true;
	case INT8OID:
		*key_type = KVLSM_KEY_INT8;
		return true;
	case FLOAT4OID:
		*key_type = KVLSM_KEY_FLOAT4;
		return true;
	case FLOAT8OID:
		*key_type = KVLSM_KEY_FLOAT8;
		return true;
	case TEXTOID:
	case VARCHAROID:
		*key_type = KVLSM_KEY_TEXT;
		return OidIsValid(collation) && kvlsm_collate_is_c(collation);
	case BYTEAOID:
		*key_type = KVLSM_KEY_BYTEA;
		return true;
	case UUIDOID:
		*key_type = KVLSM_KEY_UUID;
		return true;
	case DATEOID:
		*key_type = KVLSM_KEY_DATE;
		return true;
	case TIMEOID:
		*key_type = KVLSM_KEY_TIME;
		return true;
	case TIMESTAMPOID:
	case TIMESTAMPTZOID:
		*key_type = KVLSM_KEY_TIMESTAMP;
		return true;
	default:
		return false;
	}
}

/* Bytes of the column; 0: they end where a terminator stands. */
static int
fixed_size(KvlsmKeyType type)
{
	switch (type)
	{
	case KVLSM_KEY_BOOL:
		return 1;
	case KVLSM_KEY_INT2:
		return 2;
	case KVLSM_KEY_INT4:
	case KVLSM_KEY_FLOAT4:
	case KVLSM_KEY_DATE:
		return 4;
	case KVLSM_KEY_INT8:
	case KVLSM_KEY_FLOAT8:
	case KVLSM_KEY_TIME:
	case KVLSM_KEY_TIMESTAMP:
		return 8;
	case KVLSM_KEY_UUID:
		return UUID_LEN;
	case KVLSM_KEY_TEXT:
	case KVLSM_KEY_BYTEA:
		break;
	}
	return 0;
}

static void
put_be(char *p, int size, uint64 v)
{
	int i;

	for (i = size - 1; i >= 0; i--, v >>= 8)
		p[i] = (char) v;
}

static uint64
get_be(const char *p, int size, uint8 invert)
{
	uint64 v = 0;
	int i;

	for (i = 0; i < size; i++)
		v = v << 8 | (uint8) (p[i] ^ invert);
	return v;
}

/* Signed numbers in the order of unsigned ones, and back. */
static uint64
flip(uint64 v, int size)
{
	return v ^ UINT64CONST(1) << (size * 8 - 1);
}

/* The same for the bits of floats, where more is less below zero. */
static uint64
flip_float(uint64 bits, int size)
{
	uint64 sign = UINT64CONST(1) << (size * 8 - 1);

	return bits & sign ? ~bits : bits | sign;
}

static uint64
unflip_float(uint64 v, int size)
{
	uint64 sign = UINT64CONST(1) << (size * 8 - 1);

	return v & sign ? v & ~sign : ~v;
}

/* One zero and one NaN, which is more than infinity: as btree has it. */
static uint64
float8_bits(float8 f)
{
	uint64 bits;

	if (isnan(f))
		f = (float8) NAN;
	else if (f == 0)
		f = 0;
	memcpy(&bits, &f, sizeof(bits));
	return isnan(f) ? bits & ~(UINT64CONST(1) << 63) : bits;
}

static uint64
float4_bits(float4 f)
{
	uint32 bits;

	if (isnan(f))
		f = (float4) NAN;
	else if (f == 0)
		f = 0;
	memcpy(&bits, &f, sizeof(bits));
	return isnan(f) ? bits & ~(UINT32_C(1) << 31) : bits;
}

/* The fixed-size types but uuid, as a number to be written big-endian. */
static uint64
number_of(KvlsmKeyType type, Datum value)
{
	switch (type)
	{
	case KVLSM_KEY_BOOL:
		return DatumGetBool(value) ? 1 : 0;
	case KVLSM_KEY_INT2:
		return flip((uint64) DatumGetInt16(value), 2);
	case KVLSM_KEY_INT4:
		return flip((uint64) DatumGetInt32(value), 4);
	case KVLSM_KEY_DATE:
		return flip((uint64) DatumGetDateADT(value), 4);
	case KVLSM_KEY_INT8:
		return flip((uint64) DatumGetInt64(value), 8);
	case KVLSM_KEY_TIME:
		return flip((uint64) DatumGetTimeADT(value), 8);
	case KVLSM_KEY_TIMESTAMP:
		return flip((uint64) DatumGetTimestamp(value), 8);
	case KVLSM_KEY_FLOAT4:
		return flip_float(float4_bits(DatumGetFloat4(value)), 4);
	case KVLSM_KEY_FLOAT8:
		return flip_float(float8_bits(DatumGetFloat8(value)), 8);
	case KVLSM_KEY_TEXT:
	case KVLSM_KEY_BYTEA:
	case KVLSM_KEY_UUID:
		break;
	}
	Assert(false);
	return 0;
}

static void
append_escaped(KvlsmBytes *out, const char *data, size_t len)
{
	static const char escape[2] = {0, (char) STRING_ZERO};

	while (len > 0)
	{
		const char *zero = memchr(data, 0, len);
		size_t n = zero == NULL ? len : (size_t) (zero - data);

		kvlsm_bytes_append(out, data, n);
		if (zero == NULL)
			return;
		kvlsm_bytes_append(out, escape, sizeof(escape));
		data += n + 1;
		len -= n + 1;
	}
}

static void
invert_from(KvlsmBytes *out, size_t start)
{
	char *p = unconstify(char *, out->slice.data);
	size_t i;

	for (i = start; i < out->slice.len; i++)
		p[i] = (char) ~p[i];
}

void
kvlsm_key_append(KvlsmBytes *out, const KvlsmKeyColumn *column, Datum value)
{
	static const char end[2] = {0, STRING_END};
	int size = fixed_size(column->type);
	size_t start = out->slice.len;
	char *p;

	if (column->type == KVLSM_KEY_UUID)
		kvlsm_bytes_append(out, DatumGetUUIDP(value)->data, UUID_LEN);
	else if (size > 0)
	{
		p = kvlsm_bytes_extend(out, size);
		put_be(p, size, number_of(column->type, value));
	}
	else
	{
		struct varlena *v =
			pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value));

		append_escaped(out, VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v));
		kvlsm_bytes_append(out, end, sizeof(end));
	}
	if (column->descending)
		invert_from(out, start);
}

/* Where the terminator of the string begins; -1: there is none. */
static ssize_t
string_end(KvSlice in, uint8 invert)
{
	size_t at = 0;

	for (;;)
	{
		const char *zero = memchr(in.data + at, invert, in.len - at);
		uint8 next;

		if (zero == NULL || (size_t) (zero - in.data) + 1 >= in.len)
			return -1;
		at = (size_t) (zero - in.data);
		next = (uint8) in.data[at + 1] ^ invert;
		if (next == STRING_END)
			return (ssize_t) at;
		if (next != STRING_ZERO)
			return -1;
		at += 2;
	}
}

static Datum
unescape(const char *data, size_t len, uint8 invert)
{
	struct varlena *v = palloc(VARHDRSZ + len);
	char *p = VARDATA(v);
	size_t i;

	for (i = 0; i < len; i++)
	{
		*p = (char) ((uint8) data[i] ^ invert);
		if (*p++ == 0)
			i++; /* the escape's second byte: string_end has seen it */
	}
	SET_VARSIZE(v, p - (char *) v);
	return PointerGetDatum(v);
}

static bool
take_string(const KvlsmKeyColumn *column, KvSlice *rest, Datum *value)
{
	uint8 invert = column->descending ? 0xFF : 0;
	ssize_t len = string_end(*rest, invert);
	struct varlena *v;

	if (len < 0)
		return false;
	*value = unescape(rest->data, (size_t) len, invert);
	rest->data += len + 2;
	rest->len -= (size_t) len + 2;
	if (column->type == KVLSM_KEY_BYTEA)
		return true;
	v = (struct varlena *) DatumGetPointer(*value);
	return pg_verifymbstr(VARDATA(v), (int) (VARSIZE(v) - VARHDRSZ), true);
}

static bool
value_of(KvlsmKeyType type, uint64 v, Datum *value)
{
	float4 f4;
	float8 f8;
	uint32 bits;
	int64 i;

	switch (type)
	{
	case KVLSM_KEY_BOOL:
		*value = BoolGetDatum(v != 0);
		return v <= 1;
	case KVLSM_KEY_INT2:
		*value = Int16GetDatum((int16) flip(v, 2));
		return true;
	case KVLSM_KEY_INT4:
		*value = Int32GetDatum((int32) flip(v, 4));
		return true;
	case KVLSM_KEY_DATE:
		i = (int32) flip(v, 4);
		*value = DateADTGetDatum((DateADT) i);
		return DATE_NOT_FINITE(i) || IS_VALID_DATE(i);
	case KVLSM_KEY_INT8:
		*value = Int64GetDatum((int64) flip(v, 8));
		return true;
	case KVLSM_KEY_TIME:
		i = (int64) flip(v, 8);
		*value = TimeADTGetDatum(i);
		return i >= 0 && i <= USECS_PER_DAY;
	case KVLSM_KEY_TIMESTAMP:
		i = (int64) flip(v, 8);
		*value = TimestampGetDatum(i);
		return TIMESTAMP_NOT_FINITE(i) || IS_VALID_TIMESTAMP(i);
	case KVLSM_KEY_FLOAT4:
		bits = (uint32) unflip_float(v, 4);
		memcpy(&f4, &bits, sizeof(f4));
		*value = Float4GetDatum(f4);
		return true;
	case KVLSM_KEY_FLOAT8:
		v = unflip_float(v, 8);
		memcpy(&f8, &v, sizeof(f8));
		*value = Float8GetDatum(f8);
		return true;
	case KVLSM_KEY_TEXT:
	case KVLSM_KEY_BYTEA:
	case KVLSM_KEY_UUID:
		break;
	}
	return false;
}

bool
kvlsm_key_take(const KvlsmKeyColumn *column, KvSlice *rest, Datum *value)
{
	uint8 invert = column->descending ? 0xFF : 0;
	int size = fixed_size(column->type);
	const char *data = rest->data;

	if (size == 0)
		return take_string(column, rest, value);
	if (rest->len < (size_t) size)
		return false;
	rest->data += size;
	rest->len -= (size_t) size;
	if (column->type == KVLSM_KEY_UUID)
	{
		pg_uuid_t *uuid = palloc(sizeof(pg_uuid_t));
		int i;

		for (i = 0; i < UUID_LEN; i++)
			uuid->data[i] = (uint8) data[i] ^ invert;
		*value = UUIDPGetDatum(uuid);
		return true;
	}
	return value_of(column->type, get_be(data, size, invert), value);
}

bool
kvlsm_key_skip(const KvlsmKeyColumn *column, KvSlice *rest)
{
	size_t size = (size_t) fixed_size(column->type);

	if (size == 0)
	{
		ssize_t len = string_end(*rest, column->descending ? 0xFF : 0);

		if (len < 0)
			return false;
		size = (size_t) len + 2;
	}
	if (rest->len < size)
		return false;
	rest->data += size;
	rest->len -= size;
	return true;
}
