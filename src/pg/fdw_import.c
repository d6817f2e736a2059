/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_import.c - IMPORT FOREIGN SCHEMA: stores whose table is gone.
 *
 * A table that is dropped while kvlsm cannot write (read-only, or off) leaves
 * its store behind, with a warning.  IMPORT FOREIGN SCHEMA lost makes a table
 * for each such store of this database; when the statement is done, the new
 * tables are given the stores.  Which store belongs to which table is never
 * said by an option, which anybody could set.
 *
 * The columns are those of the plain layout, by what the first row holds; a
 * store of the typed layout is named and left where it is, as nothing says
 * what its columns were.
 *
 * Superusers only; backends only.
 */
#include "fdw_ddl.h"

#include "catalog/namespace.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "row_codec.h"
#include "scan.h"
#include "store_map.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

#define REMOTE_SCHEMA "lost"

typedef struct Lost
{
	Oid relid; /* of the table that is gone */
	uint32 id;
	char name[NAMEDATALEN]; /* of the new one */
} Lost;

/* Of the statement that is being executed, in its memory. */
static List *imported = NIL;

/* The first value of the store; false: it is empty. */
static bool
first_value(uint32 id, KvlsmBytes *value)
{
	char bounds[2][KV_STORE_PREFIX];
	KvSlice lower, upper;
	KvlsmScan *scan;
	KvEntry entry;
	bool found;

	kvlsm_store_bounds(id, bounds[0], bounds[1], &lower, &upper);
	scan = kvlsm_scan_open(lower, upper, false, GetActiveSnapshot());
	found = kvlsm_scan_next(scan, &entry);
	kvlsm_bytes_begin(value);
	if (found)
		kvlsm_bytes_append(value, entry.value.data, entry.value.len);
	kvlsm_scan_close(scan);
	return found;
}

/* CREATE FOREIGN TABLE for the store; NULL: its columns are not known. */
static char *
definition(const Lost *lost, const char *server)
{
	KvlsmBytes value;
	const char *columns = "key text COLLATE \"C\" NOT NULL, "
						  "value jsonb NOT NULL";

	if (first_value(lost->id, &value) && value.slice.len > 0)
	{
		if (value.slice.data[0] == KVLSM_ROW_FORMAT)
			return NULL;
		if (value.slice.data[0] == KVLSM_TAG_BYTEA)
			columns = "key bytea NOT NULL, value bytea NOT NULL";
	}
	return psprintf("CREATE FOREIGN TABLE %s (%s) SERVER %s",
					quote_identifier(lost->name), columns,
					quote_identifier(server));
}

static void
check_statement(const ImportForeignSchemaStmt *stmt)
{
	if (!superuser())
		ereport(ERROR, (errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
						errmsg("must be superuser to import stores")));
	if (stmt->options != NIL)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("invalid option \"%s\"",
						linitial_node(DefElem, stmt->options)->defname),
				 errhint("IMPORT FOREIGN SCHEMA from kvlsm has no options.")));
	if (strcmp(stmt->remote_schema, REMOTE_SCHEMA) != 0)
		ereport(ERROR, (errcode(ERRCODE_FDW_SCHEMA_NOT_FOUND),
						errmsg("there is no schema \"%s\" to import",
							   stmt->remote_schema),
						errhint("Stores whose table is gone are in schema "
								"\"%s\".",
								REMOTE_SCHEMA)));
}

List *
kvlsm_import_schema(ImportForeignSchemaStmt *stmt, Oid server_oid)
{
	const char *server = GetForeignServer(server_oid)->servername;
	List *commands = NIL;
	List *orphans;
	ListCell *lc;

	check_statement(stmt);
	orphans = kvlsm_map_orphans(kvlsm_db(true));
	foreach (lc, orphans)
	{
		KvlsmOrphan *orphan = lfirst(lc);
		Lost *lost = palloc0(sizeof(Lost));
		char *command;

		lost->relid = orphan->relid;
		lost->id = orphan->id;
		snprintf(lost->name, NAMEDATALEN, "store_%u", orphan->id);
		command = definition(lost, server);
		if (command == NULL)
		{
			ereport(WARNING,
					(errmsg("store %u is of the typed layout and not imported",
							orphan->id),
					 errdetail("Nothing says what its columns were.")));
			continue;
		}
		commands = lappend(commands, command);
		imported = lappend(imported, lost);
	}
	return commands;
}

void
kvlsm_import_done(const ImportForeignSchemaStmt *stmt)
{
	Oid namespace = get_namespace_oid(stmt->local_schema, false);
	ListCell *lc;

	foreach (lc, imported)
	{
		Lost *lost = lfirst(lc);
		Oid relid = get_relname_relid(lost->name, namespace);

		/* LIMIT TO and EXCEPT have left some out */
		if (OidIsValid(relid) && kvlsm_is_store(relid))
			kvlsm_map_move(kvlsm_db(true), lost->relid, relid);
	}
}

void
kvlsm_import_reset(void)
{
	imported = NIL;
}
