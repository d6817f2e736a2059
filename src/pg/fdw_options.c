/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_options.c - options of foreign tables.
 *
 * The validator runs at CREATE and ALTER and refuses what it does not know;
 * no option is a path or anything else that reaches outside the store.  It
 * does not see the columns: fdw_layout.c does.
 */
#include "fdw.h"

#include "access/reloptions.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(kvlsm_fdw_validator);

#define DEFAULT_BATCH_SIZE 1000

static const char *const table_options[] = {"key",		  "layout",
											"updatable",  "truncatable",
											"batch_size", "on_duplicate",
											"ttl"};

static void
error_unknown(const char *name)
{
	ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					errmsg("invalid option \"%s\"", name),
					errhint("Valid options of a kvlsm table are: key, layout, "
							"on_duplicate, ttl, batch_size, updatable, "
							"truncatable.")));
}

static void
error_value(const char *name, const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
					errmsg("option \"%s\" must be %s", name, what)));
}

static bool
parse_duplicate(const char *word, KvlsmDuplicate *value)
{
	if (strcmp(word, "error") == 0)
		*value = KVLSM_DUPLICATE_ERROR;
	else if (strcmp(word, "update") == 0)
		*value = KVLSM_DUPLICATE_UPDATE;
	else if (strcmp(word, "ignore") == 0)
		*value = KVLSM_DUPLICATE_IGNORE;
	else
		return false;
	return true;
}

/* 22007 if it is no interval. */
static Interval *
parse_ttl(const char *text)
{
	return DatumGetIntervalP(DirectFunctionCall3(interval_in,
												 CStringGetDatum(text),
												 ObjectIdGetDatum(InvalidOid),
												 Int32GetDatum(-1)));
}

static void
check_table_option(DefElem *def)
{
	int i;

	for (i = 0; i < (int) lengthof(table_options); i++)
		if (strcmp(def->defname, table_options[i]) == 0)
			break;
	if (i == (int) lengthof(table_options))
		error_unknown(def->defname);

	if (strcmp(def->defname, "layout") == 0)
	{
		const char *layout = defGetString(def);

		if (strcmp(layout, "typed") == 0)
			ereport(ERROR,
					(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
					 errmsg("layout \"typed\" is not supported yet"),
					 errhint("Use the plain layout: one column of type text "
							 "or bytea for the key, one of type jsonb, text "
							 "or bytea for the value.")));
		if (strcmp(layout, "plain") != 0)
			error_value("layout", "\"plain\"");
	}
	else if (strcmp(def->defname, "updatable") == 0 ||
			 strcmp(def->defname, "truncatable") == 0)
	{
		bool value;

		if (!parse_bool(defGetString(def), &value))
			error_value(def->defname, "a boolean");
	}
	else if (strcmp(def->defname, "batch_size") == 0)
	{
		int value;

		if (!parse_int(defGetString(def), &value, 0, NULL) || value < 1 ||
			value > 100000)
			error_value("batch_size", "an integer from 1 to 100000");
	}
	else if (strcmp(def->defname, "on_duplicate") == 0)
	{
		KvlsmDuplicate value;

		if (!parse_duplicate(defGetString(def), &value))
			error_value("on_duplicate", "\"error\", \"update\" or \"ignore\"");
	}
	else if (strcmp(def->defname, "ttl") == 0)
		(void) kvlsm_expires_at(parse_ttl(defGetString(def)));
	else if (strcmp(def->defname, "key") == 0 && *defGetString(def) == '\0')
		error_value("key", "the name of a column");
}

Datum
kvlsm_fdw_validator(PG_FUNCTION_ARGS)
{
	List *options = untransformRelOptions(PG_GETARG_DATUM(0));
	Oid catalog = PG_GETARG_OID(1);
	ListCell *lc;

	foreach (lc, options)
	{
		DefElem *def = lfirst_node(DefElem, lc);

		if (catalog != ForeignTableRelationId)
			ereport(ERROR,
					(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					 errmsg("invalid option \"%s\"", def->defname),
					 errhint("kvlsm has options of foreign tables only.")));
		check_table_option(def);
	}
	PG_RETURN_VOID();
}

void
kvlsm_options_of(Oid relid, KvlsmOptions *options)
{
	ForeignTable *table = GetForeignTable(relid);
	ListCell *lc;

	memset(options, 0, sizeof(*options));
	options->updatable = true;
	options->truncatable = true;
	options->batch_size = DEFAULT_BATCH_SIZE;
	foreach (lc, table->options)
	{
		DefElem *def = lfirst_node(DefElem, lc);

		if (strcmp(def->defname, "key") == 0)
			options->key = defGetString(def);
		else if (strcmp(def->defname, "layout") == 0)
			options->typed = strcmp(defGetString(def), "typed") == 0;
		else if (strcmp(def->defname, "updatable") == 0)
			options->updatable = defGetBoolean(def);
		else if (strcmp(def->defname, "truncatable") == 0)
			options->truncatable = defGetBoolean(def);
		else if (strcmp(def->defname, "batch_size") == 0)
			(void) parse_int(defGetString(def), &options->batch_size, 0, NULL);
		else if (strcmp(def->defname, "on_duplicate") == 0)
			(void) parse_duplicate(defGetString(def), &options->on_duplicate);
		else if (strcmp(def->defname, "ttl") == 0)
		{
			options->has_ttl = true;
			options->ttl = *parse_ttl(defGetString(def));
		}
	}
}
