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

#endif /* KVLSM_KEY_CODEC_H */
