/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_ddl.h - between fdw_ddl.c and fdw_missing.c, which check what a
 * statement has made of a kvlsm table.
 */
#ifndef KVLSM_FDW_DDL_H
#define KVLSM_FDW_DDL_H

#include "fdw.h"

#include "nodes/parsenodes.h"

/* ---- fdw_ddl.c */
/* Any, for a statement that begins now or for this transaction. */
bool kvlsm_store_has_rows(Oid relid);
/*
 * Sets an option of the table (column NULL) or of a column, without a look at
 * privileges; the table is locked exclusively.  Visible at once.
 */
void kvlsm_set_option(Oid relid, const char *column, const char *name,
					  const char *value, bool is_there);

/* Does the COPY that runs now choose rows by a WHERE? */
bool kvlsm_copy_has_where(void);

/* ---- fdw_import.c */
List *kvlsm_import_schema(ImportForeignSchemaStmt *stmt, Oid server_oid);
/* The tables are made: they are given their stores. */
void kvlsm_import_done(const ImportForeignSchemaStmt *stmt);
/* At the end of the statement, whatever has become of it; never fails. */
void kvlsm_import_reset(void);

/* ---- fdw_missing.c */
/*
 * Columns of a typed table that are new, or newly NOT NULL, since before: the
 * rows that are there must have something in them.  23502, 0A000.
 */
void kvlsm_check_added(Relation rel, TupleDesc before,
					   const KvlsmLayout *layout);

#endif /* KVLSM_FDW_DDL_H */
