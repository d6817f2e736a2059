/* SPDX-License-Identifier: PostgreSQL */
/*
 * key_codec.h - key columns of the typed layout as order-preserving bytes.
 *
 * memcmp of two encodings answers as the type's default btree operators do
 * (for text and varchar: those of the collation "C"), inverted for DESC; and no
 * encoding is a prefix of another one of the same column, so that encodings
 * one after the other compare as rows do.  docs/format.md has the bytes.
 */
#ifndef KVLSM_KEY_CODEC_H
#define KVLSM_KEY_CODEC_H

#include "kvlsm.h"

#include "value.h"

#define KVLSM_MAX_KEYS 32 /* key columns of a table, as of an index */

typedef enum KvlsmKeyType
{
	KVLSM_KEY_BOOL,
	KVLSM_KEY_INT2,
	KVLSM_KEY_INT4,
	KVLSM_KEY_INT8,
	KVLSM_KEY_FLOAT4,
	KVLSM_KEY_FLOAT8,
	KVLSM_KEY_TEXT, /* text, varchar */
	KVLSM_KEY_BYTEA,
	KVLSM_KEY_UUID,
	KVLSM_KEY_DATE,
	KVLSM_KEY_TIME,
	KVLSM_KEY_TIMESTAMP /* with and without time zone */
} KvlsmKeyType;

typedef struct KvlsmKeyColumn
{
	AttrNumber attno;
	KvlsmKeyType type;
	bool descending;
} KvlsmKeyColumn;

/*
 * Can a column of this type (a domain counts as its base type) and collation
 * be a part of a key?  On false *key_type is KVLSM_KEY_TEXT if only the
 * collation is in the way, else as it was.
 */
bool kvlsm_key_type_of(Oid type, Oid collation, KvlsmKeyType *key_type);
/* Appends the column's bytes; whoever writes checks the key's size. */
void kvlsm_key_append(KvlsmBytes *out, const KvlsmKeyColumn *column,
					  Datum value);
/*
 * Takes the column off the front of *rest; *value is palloced in the current
 * context.  false: the bytes are damaged, *rest and *value mean nothing.
 */
bool kvlsm_key_take(const KvlsmKeyColumn *column, KvSlice *rest, Datum *value);
/* As kvlsm_key_take, without looking at the value. */
bool kvlsm_key_skip(const KvlsmKeyColumn *column, KvSlice *rest);

#endif /* KVLSM_KEY_CODEC_H */
