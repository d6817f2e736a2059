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
#include "catalog/pg_attribute.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "fmgr.h"
#include "foreign/foreign.h"
#include "lib/stringinfo.h"
#include "parser/scansup.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/timestamp.h"

PG_FUNCTION_INFO_V1(kvlsm_fdw_validator);

static bool
is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f';
}

static void
skip_space(const char **in)
{
	while (is_space(**in))
		(*in)++;
}

static bool
is_name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
		   c == '$' || (c >= '0' && c <= '9') || IS_HIGHBIT_SET(c);
}

/* A word as it stands there; empty: there is none. */
static char *
take_word(const char **in)
{
	const char *start = *in;

	while (is_name_char(**in))
		(*in)++;
	return pnstrdup(start, *in - start);
}

/* The part behind the opening quote; NULL: the quote is never closed. */
static char *
take_quoted(const char **in)
{
	StringInfoData name;

	initStringInfo(&name);
	for (;; (*in)++)
	{
		if (**in == '\0')
			return NULL;
		if (**in == '"' && *++*in != '"')
			break;
		appendStringInfoChar(&name, **in);
	}
	if (name.len >= NAMEDATALEN)
		truncate_identifier(name.data, name.len, false);
	return name.data;
}

/* An identifier as SQL has them, folded to lower case unless quoted. */
static char *
take_name(const char **in)
{
	char *word;

	skip_space(in);
	if (**in == '"')
	{
		(*in)++;
		return take_quoted(in);
	}
	if ((**in >= '0' && **in <= '9') || **in == '$')
		return NULL;
	word = take_word(in);
	return downcase_truncate_identifier(word, (int) strlen(word), false);
}

static bool
take_direction(const char **in, KvlsmKeyName *name)
{
	char *word;

	skip_space(in);
	word = take_word(in);
	if (*word == '\0')
		return true;
	name->has_direction = true;
	name->descending = pg_strcasecmp(word, "desc") == 0;
	return name->descending || pg_strcasecmp(word, "asc") == 0;
}

List *
kvlsm_parse_key(const char *option)
{
	const char *in = option;
	List *names = NIL;

	for (;;)
	{
		KvlsmKeyName *name = palloc0(sizeof(KvlsmKeyName));

		name->name = take_name(&in);
		if (name->name == NULL || *name->name == '\0' ||
			!take_direction(&in, name))
			return NIL;
		names = lappend(names, name);
		skip_space(&in);
		if (*in == '\0')
			return names;
		if (*in++ != ',')
			return NIL;
	}
}

char *
kvlsm_format_key(List *names)
{
	StringInfoData option;
	ListCell *lc;

	initStringInfo(&option);
	foreach (lc, names)
	{
		const KvlsmKeyName *name = lfirst(lc);

		if (option.len > 0)
			appendStringInfoString(&option, ", ");
		appendStringInfoString(&option, quote_identifier(name->name));
		if (name->has_direction)
			appendStringInfoString(&option,
								   name->descending ? " DESC" : " ASC");
	}
	return option.data;
}

/* as many as are looked for together; each has a slot of PostgreSQL's */
#define DEFAULT_BATCH_SIZE 128

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

		if (strcmp(layout, "plain") != 0 && strcmp(layout, "typed") != 0)
			error_value("layout", "\"plain\" or \"typed\"");
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
	else if (strcmp(def->defname, "key") == 0 &&
			 kvlsm_parse_key(defGetString(def)) == NIL)
		error_value("key",
					"a list of columns, each with ASC or DESC behind it "
					"if wanted");
}

static void
check_column_option(DefElem *def)
{
	if (strcmp(def->defname, KVLSM_MISSING_OPTION) != 0)
		ereport(ERROR,
				(errcode(ERRCODE_FDW_INVALID_OPTION_NAME),
				 errmsg("invalid option \"%s\"", def->defname),
				 errhint("The only option of a column is \"missing\": "
						 "what rows have in it that were written before "
						 "the column was added.")));
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

		if (catalog == AttributeRelationId)
		{
			check_column_option(def);
			continue;
		}
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
		{
			options->typed = strcmp(defGetString(def), "typed") == 0;
			options->plain = !options->typed;
		}
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
