/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw.h - what the files of the foreign data wrapper share.
 */
#ifndef KVLSM_FDW_H
#define KVLSM_FDW_H

#include "kvlsm.h"

#include "foreign/fdwapi.h"
#include "utils/rel.h"
#include "value.h"

/* ---- fdw_options.c */
/*
 * A table of the plain layout: one key column, one value column.  What the
 * options and the columns of a relation come to.
 */
typedef struct KvlsmLayout
{
	AttrNumber key_attno;
	AttrNumber value_attno;
	bool key_is_bytea;	/* else text */
	KvlsmTag value_tag; /* TEXT, JSONB or BYTEA: the column's type */
	bool updatable;
	bool truncatable;
	int batch_size;
} KvlsmLayout;

/* 42P16 if the columns do not fit the layout. */
void kvlsm_layout_of(Relation rel, KvlsmLayout *layout);
/* The option "updatable" alone; never raises for columns. */
bool kvlsm_is_updatable(Oid relid);

/* Values of the two columns, palloced. */
Datum kvlsm_key_datum(const KvlsmLayout *layout, KvSlice key);
Datum kvlsm_value_datum(const KvlsmLayout *layout, KvSlice value);

/* ---- fdw_scan.c */
void kvlsm_scan_callbacks(FdwRoutine *routine);

/* ---- fdw_modify.c */
void kvlsm_modify_callbacks(FdwRoutine *routine);

#endif /* KVLSM_FDW_H */
