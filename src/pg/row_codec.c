/* SPDX-License-Identifier: PostgreSQL */
/*
 * row_codec.c - the value of a row of the typed layout.
 *
 * Values are PostgreSQL's own images of their types, without the headers and
 * padding of a heap tuple.  A short string keeps the one-byte header that
 * PostgreSQL gives it in a heap tuple, so that a reader may use it where it
 * lies.
 *
 * Backends only.
 */
#include "row_codec.h"

#include "access/detoast.h"
#include "access/tupmacs.h"
#include "catalog/pg_type.h"
#include "fmgr.h"

/* On disk: the numbers never change. */
typedef enum Kind
{
	KIND_NUMBER = 0, /* passed by value: size 0..8, then the low bytes */
	KIND_SHORT = 1,	 /* a varlena of up to 126 bytes: header, bytes */
	KIND_LONG = 2,	 /* a longer one: size as varint, bytes */
	KIND_FIXED = 3	 /* a type of fixed size: that as varint, bytes; 0: NULL */
} Kind;

#define KIND_BITS		2
#define MAX_SHORT		126
#define MAX_VARINT32	5
#define SHORT_HEADER(n) ((char) (((n) + 1) << 1 | 1))

static void
append_varint(KvlsmBytes *out, uint32 v)
{
	char buf[MAX_VARINT32];
	size_t n = 0;

	for (; v >= 0x80; v >>= 7)
		buf[n++] = (char) (v | 0x80);
	buf[n++] = (char) v;
	kvlsm_bytes_append(out, buf, n);
}

static bool
take_varint(KvSlice *in, uint32 *v)
{
	size_t i;

	*v = 0;
	for (i = 0; i < in->len && i < MAX_VARINT32; i++)
	{
		uint8 byte = (uint8) in->data[i];

		*v |= (uint32) (byte & 0x7F) << (7 * i);
		if (byte < 0x80)
		{
			in->data += i + 1;
			in->len -= i + 1;
			return true;
		}
	}
	return false;
}

static void
append_head(KvlsmBytes *out, AttrNumber attno, Kind kind)
{
	append_varint(out, (uint32) attno << KIND_BITS | kind);
}

static int64
number_of(Datum value, int size)
{
	switch (size)
	{
	case 1:
		return (int8) DatumGetChar(value);
	case 2:
		return DatumGetInt16(value);
	case 4:
		return DatumGetInt32(value);
	default:
		return DatumGetInt64(value);
	}
}

static Datum
datum_of_number(int64 v, int size)
{
	switch (size)
	{
	case 1:
		return CharGetDatum((char) v);
	case 2:
		return Int16GetDatum((int16) v);
	case 4:
		return Int32GetDatum((int32) v);
	default:
		return Int64GetDatum(v);
	}
}

/* As few bytes, low ones first, as give v back with the sign extended. */
static void
append_number(KvlsmBytes *out, int64 v)
{
	char buf[1 + sizeof(v)];
	size_t n = 0;

	/* until what is left is the sign of what is written */
	for (; v != (n > 0 && (buf[n] & 0x80) != 0 ? -1 : 0); v >>= 8)
		buf[++n] = (char) v;
	buf[0] = (char) n;
	kvlsm_bytes_append(out, buf, n + 1);
}

static int64
number_of_bytes(KvSlice bytes)
{
	int64 v = 0;
	size_t i = bytes.len;

	if (i > 0 && (bytes.data[i - 1] & 0x80) != 0)
		v = -1;
	while (i > 0)
		v = (int64) ((uint64) v << 8 | (uint8) bytes.data[--i]);
	return v;
}

static void
append_varlena(KvlsmBytes *out, AttrNumber attno, Datum value)
{
	Size raw = toast_raw_datum_size(value) - VARHDRSZ;
	struct varlena *v;
	char header;

	kvlsm_check_value_size(out->slice.len + raw);
	v = pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value));
	raw = VARSIZE_ANY_EXHDR(v);
	if (raw <= MAX_SHORT)
	{
		append_head(out, attno, KIND_SHORT);
		header = SHORT_HEADER(raw);
		kvlsm_bytes_append(out, &header, 1);
	}
	else
	{
		append_head(out, attno, KIND_LONG);
		append_varint(out, (uint32) raw);
	}
	kvlsm_bytes_append(out, VARDATA_ANY(v), raw);
}

void
kvlsm_row_append(KvlsmBytes *out, Form_pg_attribute att, Datum value)
{
	if (att->attbyval)
	{
		append_head(out, att->attnum, KIND_NUMBER);
		append_number(out, number_of(value, att->attlen));
	}
	else if (att->attlen > 0)
	{
		append_head(out, att->attnum, KIND_FIXED);
		append_varint(out, (uint32) att->attlen);
		kvlsm_bytes_append(out, DatumGetPointer(value), (size_t) att->attlen);
	}
	else
	{
		Assert(att->attlen == -1);
		append_varlena(out, att->attnum, value);
	}
}

void
kvlsm_row_append_null(KvlsmBytes *out, AttrNumber attno)
{
	append_head(out, attno, KIND_FIXED);
	append_varint(out, 0);
}

bool
kvlsm_row_open(KvlsmRowReader *reader, KvSlice value)
{
	reader->attno = 0;
	reader->kind = 0;
	reader->bytes = kv_slice(NULL, 0);
	if (value.len == 0 || (uint8) value.data[0] != KVLSM_ROW_FORMAT)
		return false;
	reader->rest = kv_slice(value.data + 1, value.len - 1);
	return true;
}

/* The size that stands before a column's bytes. */
static bool
take_size(KvSlice *rest, uint8 kind, uint32 *size)
{
	uint8 byte;

	if (kind == KIND_LONG || kind == KIND_FIXED)
		return take_varint(rest, size);
	if (rest->len == 0)
		return false;
	byte = (uint8) rest->data[0];
	rest->data++;
	rest->len--;
	if (kind == KIND_NUMBER)
	{
		*size = byte;
		return byte <= sizeof(int64);
	}
	*size = (uint32) (byte >> 1) - 1;
	return (byte & 1) != 0 && byte >= 3;
}

bool
kvlsm_row_next(KvlsmRowReader *reader, bool *damaged)
{
	KvSlice *rest = &reader->rest;
	uint32 head;
	uint32 attno;
	uint32 size;

	*damaged = false;
	if (rest->len == 0)
		return false;
	*damaged = true;
	if (!take_varint(rest, &head))
		return false;
	attno = head >> KIND_BITS;
	if (attno <= (uint32) reader->attno || attno > PG_INT16_MAX)
		return false;
	reader->attno = (AttrNumber) attno;
	reader->kind = (uint8) (head & ((1 << KIND_BITS) - 1));
	if (!take_size(rest, reader->kind, &size) || size > rest->len)
		return false;
	reader->bytes = kv_slice(rest->data, size);
	rest->data += size;
	rest->len -= size;
	*damaged = false;
	return true;
}

static Datum
datum_of_varlena(const KvlsmRowReader *reader, Form_pg_attribute att,
				 bool in_place)
{
	KvSlice bytes = reader->bytes;
	struct varlena *v;

#ifndef WORDS_BIGENDIAN
	/* types of plain storage never expect a short header */
	if (in_place && reader->kind == KIND_SHORT &&
		att->attstorage != TYPSTORAGE_PLAIN)
		return PointerGetDatum(bytes.data - 1);
#endif
	v = palloc(VARHDRSZ + bytes.len);
	SET_VARSIZE(v, VARHDRSZ + bytes.len);
	memcpy(VARDATA(v), bytes.data, bytes.len);
	return PointerGetDatum(v);
}

bool
kvlsm_row_datum(const KvlsmRowReader *reader, Form_pg_attribute att,
				bool in_place, Datum *value, bool *isnull)
{
	KvSlice bytes = reader->bytes;

	*isnull = reader->kind == KIND_FIXED && bytes.len == 0;
	*value = (Datum) 0;
	if (*isnull)
		return true;
	if (att->attbyval)
	{
		*value = datum_of_number(number_of_bytes(bytes), att->attlen);
		return reader->kind == KIND_NUMBER && bytes.len <= (size_t) att->attlen;
	}
	if (att->attlen > 0)
	{
		if (reader->kind != KIND_FIXED || bytes.len != (size_t) att->attlen)
			return false;
		*value = PointerGetDatum(memcpy(palloc(bytes.len), bytes.data,
										bytes.len));
		return true;
	}
	if (reader->kind != KIND_SHORT && reader->kind != KIND_LONG)
		return false;
	*value = datum_of_varlena(reader, att, in_place);
	return true;
}
