/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw.h - what the files of the foreign data wrapper share.
 */
#ifndef KVLSM_FDW_H
#define KVLSM_FDW_H

#include "kvlsm.h"

#include "datatype/timestamp.h"
#include "executor/tuptable.h"
#include "foreign/fdwapi.h"
#include "key_codec.h"
#include "utils/rel.h"
#include "value.h"

/* ---- fdw_options.c */
typedef enum KvlsmDuplicate
{
	KVLSM_DUPLICATE_ERROR, /* INSERT of a key that is there: 23505 */
	KVLSM_DUPLICATE_UPDATE,
	KVLSM_DUPLICATE_IGNORE
} KvlsmDuplicate;

typedef struct KvlsmOptions
{
	const char *key; /* NULL: not given; borrowed from the catalogue's copy */
	bool typed;		 /* option "layout" says so */
	bool plain;		 /* or this; neither: it goes by the columns */
	KvlsmDuplicate on_duplicate;
	bool has_ttl;
	Interval ttl; /* of every row that the table writes */
	bool updatable;
	bool truncatable;
	int batch_size; /* rows */
} KvlsmOptions;

/* What the options of the table say; palloced in the current context. */
void kvlsm_options_of(Oid relid, KvlsmOptions *options);

/* One column of the option "key". */
typedef struct KvlsmKeyName
{
	char *name;
	bool descending;
	bool has_direction; /* ASC or DESC was written */
} KvlsmKeyName;

/*
 * The columns that the option "key" names, as KvlsmKeyName, palloced; NIL if
 * it is no list of columns.
 */
List *kvlsm_parse_key(const char *option);
/* The option that says so; palloced. */
char *kvlsm_format_key(List *names);

/* ---- fdw_layout.c */
/*
 * Where the columns of a table go.  Plain: one key column of type text or
 * bytea, whose bytes are the key, and one value column: the data of the SQL
 * functions.  Typed: the key columns' encodings one after the other, and all
 * other columns in the value (docs/format.md).
 */
typedef struct KvlsmLayout
{
	KvlsmOptions options; /* its key is NULL: see keys */
	bool typed;
	int n_keys;
	KvlsmKeyColumn keys[KVLSM_MAX_KEYS];
	AttrNumber value_attno; /* of the plain layout */
	KvlsmTag value_tag;		/* TEXT, JSONB or BYTEA: the column's type */
	/* of the typed layout: columns that were added with a default */
	int n_missing;
	struct KvlsmMissing *missing;
} KvlsmLayout;

/* What rows have in a column that was added after they were written. */
typedef struct KvlsmMissing
{
	AttrNumber attno;
	Datum value;
} KvlsmMissing;

/* Column option with the text form of such a value. */
#define KVLSM_MISSING_OPTION "missing"

/*
 * Palloced; 42703, 42701, 42P16, 0A000 if the columns and the options do not
 * go together.
 */
KvlsmLayout *kvlsm_layout_of(Relation rel);
/* NULL instead of an error; not remembered. */
KvlsmLayout *kvlsm_layout_if_good(Relation rel);
/* The position among the key columns; -1: it is none. */
int kvlsm_key_position(const KvlsmLayout *layout, AttrNumber attno);

/* ---- fdw_row.c: between a row in a slot and the engine's bytes */
/*
 * Appends column i of the key; the caller has begun with kvlsm_key_begin and
 * adds columns in their order.  Whoever writes calls kvlsm_check_key_size, or
 * uses kvlsm_row_key.
 */
void kvlsm_key_begin(KvlsmBytes *out, uint32 store_id);
void kvlsm_key_add(KvlsmBytes *out, const KvlsmLayout *layout, int i,
				   Datum value);
/*
 * Key and value of the row: 23502 for a NULL, 22023 for an empty key of the
 * plain layout, 54000 over the limits.
 */
void kvlsm_row_key(KvlsmBytes *out, const KvlsmLayout *layout, Relation rel,
				   uint32 store_id, TupleTableSlot *slot);
void kvlsm_row_value(KvlsmBytes *out, const KvlsmLayout *layout, Relation rel,
					 TupleTableSlot *slot);
/* 23502, as the core words it. */
pg_noreturn void kvlsm_error_null_column(Relation rel, AttrNumber attno);

/* Which columns are wanted, by attribute number - 1; NULL: all of them. */
typedef const bool *KvlsmWanted;
/*
 * Fills the slot with a stored row; what is not wanted is NULL.  Datums are
 * palloced in the current context.  XX001 for damaged bytes.
 */
void kvlsm_row_fill(const KvlsmLayout *layout, KvlsmWanted wanted, KvSlice key,
					KvSlice value, TupleTableSlot *slot);
/*
 * The same without a copy of what can be used where it lies: key and value
 * must live as long as the slot's contents, as those of a scan do until its
 * next row.
 */
void kvlsm_row_fill_in_place(const KvlsmLayout *layout, KvlsmWanted wanted,
							 KvSlice key, KvSlice value, TupleTableSlot *slot);

/* ---- fdw_scan.c */
void kvlsm_scan_callbacks(FdwRoutine *routine);

/* ---- fdw_modify.c */
void kvlsm_modify_callbacks(FdwRoutine *routine);

#endif /* KVLSM_FDW_H */
