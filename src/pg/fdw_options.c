/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_options.c - options of foreign tables, and what they come to together
 * with the table's columns.
 *
 * The validator runs at CREATE and ALTER and refuses what it does not know;
 * no option is a path or anything else that reaches outside the store.  It
 * does not see the columns, so these are checked when the table is used.
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

PG_FUNCTION_INFO_V1(kvlsm_fdw_validator);

#define DEFAULT_BATCH_SIZE 1000

static const char *const table_options[] = {"key", "layout", "updatable",
											"truncatable", "batch_size"};

static void
error_unknown(const char *name)
{
	ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
					errmsg("invalid option \"%s\"", name),
					errhint("Valid options of a kvlsm table are: key, layout, "
							"updatable, truncatable, batch_size.")));
}

static void
error_value(const char *name, const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE),
					errmsg("option \"%s\" must be %s", name, what)));
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

static void
bad_columns(Relation rel, const char *detail)
{
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
			 errmsg("the columns of \"%s\" do not fit the layout \"plain\"",
					RelationGetRelationName(rel)),
			 errdetail("%s", detail),
			 errhint("Declare the table as (key text COLLATE \"C\" NOT NULL, "
					 "value jsonb NOT NULL).")));
}

/* The first column is the key unless the option says otherwise. */
static void
find_columns(Relation rel, const char *key_name, KvlsmLayout *layout)
{
	TupleDesc desc = RelationGetDescr(rel);
	int columns = 0;
	int i;

	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (att->attisdropped)
			continue;
		if (++columns > 2)
			bad_columns(rel, "There are more than two columns.");
		if (key_name == NULL ? columns == 1
							 : strcmp(NameStr(att->attname), key_name) == 0)
			layout->key_attno = att->attnum;
		else
			layout->value_attno = att->attnum;
	}
	if (columns < 2)
		bad_columns(rel, "There are fewer than two columns.");
	if (layout->key_attno == 0)
		bad_columns(rel, "No column has the name that option \"key\" gives.");
}

static void
set_types(Relation rel, KvlsmLayout *layout)
{
	TupleDesc desc = RelationGetDescr(rel);
	Oid key_type = TupleDescAttr(desc, layout->key_attno - 1)->atttypid;
	Oid value_type = TupleDescAttr(desc, layout->value_attno - 1)->atttypid;

	if (key_type != TEXTOID && key_type != BYTEAOID)
		bad_columns(rel, "The key column must be of type text or bytea.");
	layout->key_is_bytea = key_type == BYTEAOID;
	switch (value_type)
	{
	case TEXTOID:
		layout->value_tag = KVLSM_TAG_TEXT;
		break;
	case JSONBOID:
		layout->value_tag = KVLSM_TAG_JSONB;
		break;
	case BYTEAOID:
		layout->value_tag = KVLSM_TAG_BYTEA;
		break;
	default:
		bad_columns(rel, "The value column must be of type jsonb, text "
						 "or bytea.");
	}
}

void
kvlsm_layout_of(Relation rel, KvlsmLayout *layout)
{
	ForeignTable *table = GetForeignTable(RelationGetRelid(rel));
	const char *key_name = NULL;
	ListCell *lc;

	memset(layout, 0, sizeof(*layout));
	layout->updatable = true;
	layout->truncatable = true;
	layout->batch_size = DEFAULT_BATCH_SIZE;
	foreach (lc, table->options)
	{
		DefElem *def = lfirst_node(DefElem, lc);

		if (strcmp(def->defname, "key") == 0)
			key_name = defGetString(def);
		else if (strcmp(def->defname, "updatable") == 0)
			layout->updatable = defGetBoolean(def);
		else if (strcmp(def->defname, "truncatable") == 0)
			layout->truncatable = defGetBoolean(def);
		else if (strcmp(def->defname, "batch_size") == 0)
			(void) parse_int(defGetString(def), &layout->batch_size, 0, NULL);
	}
	find_columns(rel, key_name, layout);
	set_types(rel, layout);
}

bool
kvlsm_is_updatable(Oid relid)
{
	ForeignTable *table = GetForeignTable(relid);
	ListCell *lc;

	foreach (lc, table->options)
	{
		DefElem *def = lfirst_node(DefElem, lc);

		if (strcmp(def->defname, "updatable") == 0)
			return defGetBoolean(def);
	}
	return true;
}

Datum
kvlsm_key_datum(const KvlsmLayout *layout, KvSlice key)
{
	return layout->key_is_bytea ? kvlsm_key_bytea(key) : kvlsm_key_text(key);
}

Datum
kvlsm_value_datum(const KvlsmLayout *layout, KvSlice value)
{
	switch (layout->value_tag)
	{
	case KVLSM_TAG_TEXT:
		return kvlsm_value_text(value);
	case KVLSM_TAG_JSONB:
		return kvlsm_value_jsonb(value);
	default:
		return kvlsm_value_bytea(value);
	}
}
