/* SPDX-License-Identifier: PostgreSQL */
/*
 * row_codec.h - the value of a row of the typed layout: all columns that are
 * not in the key.
 *
 * A column is found by its attribute number, and its length by its own bytes:
 * so a column that was dropped is passed over, and one that was added later
 * is simply not there.  docs/format.md has the bytes.
 */
#ifndef KVLSM_ROW_CODEC_H
#define KVLSM_ROW_CODEC_H

#include "kvlsm.h"

#include "access/tupdesc.h"
#include "value.h"

/* The first byte of the value; no KvlsmTag has this number. */
#define KVLSM_ROW_FORMAT 0x10

/* A row under construction: begin, then columns by rising number. */
static inline void
kvlsm_row_begin(KvlsmBytes *out)
{
	static const char format = KVLSM_ROW_FORMAT;

	kvlsm_bytes_begin(out);
	kvlsm_bytes_append(out, &format, 1);
}
/* 54000 if the value grows over the limit; nothing is detoasted then. */
void kvlsm_row_append(KvlsmBytes *out, Form_pg_attribute att, Datum value);
/* A NULL that is written down: not the same as a column that is not there. */
void kvlsm_row_append_null(KvlsmBytes *out, AttrNumber attno);

/* A stored row being read. */
typedef struct KvlsmRowReader
{
	KvSlice rest;
	AttrNumber attno; /* of the current column */
	uint8 kind;		  /* how its bytes are to be read */
	KvSlice bytes;	  /* of it; a short string has its header before them */
} KvlsmRowReader;

/* false: these are not the bytes of a row. */
bool kvlsm_row_open(KvlsmRowReader *reader, KvSlice value);
/*
 * The next column, in the order of their numbers; *damaged and false: the
 * bytes are no row, false alone: there is none left.
 */
bool kvlsm_row_next(KvlsmRowReader *reader, bool *damaged);
/*
 * The current column as a Datum of the type of att, palloced in the current
 * context or, if in_place, perhaps pointing into the stored row.  false: the
 * bytes are not of that type.
 */
bool kvlsm_row_datum(const KvlsmRowReader *reader, Form_pg_attribute att,
					 bool in_place, Datum *value, bool *isnull);

#endif /* KVLSM_ROW_CODEC_H */
