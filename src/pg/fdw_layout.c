/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_layout.c - what the options and the columns of a foreign table come to.
 *
 * Found out once and kept until PostgreSQL says that the table has changed:
 * a statement that reads one row must not parse options.
 *
 * Backends only.
 */
#include "fdw.h"

#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "foreign/foreign.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"

typedef struct LayoutEntry
{
	Oid relid;
	KvlsmLayout *layout;   /* NULL: not known */
	MemoryContext context; /* holds it and what it points to; may be NULL */
} LayoutEntry;

static HTAB *layouts = NULL;
static MemoryContext layout_context;

static void
forget(LayoutEntry *entry)
{
	if (entry->layout == NULL)
		return;
	entry->layout = NULL;
	MemoryContextReset(entry->context);
}

static void
relation_changed(Datum arg, Oid relid)
{
	LayoutEntry *entry;
	HASH_SEQ_STATUS seq;

	if (OidIsValid(relid))
	{
		entry = hash_search(layouts, &relid, HASH_FIND, NULL);
		if (entry != NULL)
			forget(entry);
		return;
	}
	hash_seq_init(&seq, layouts);
	while ((entry = hash_seq_search(&seq)) != NULL)
		forget(entry);
}

static void
init_cache(void)
{
	HASHCTL ctl = {0};

	layout_context = AllocSetContextCreate(CacheMemoryContext, "kvlsm layouts",
										   ALLOCSET_SMALL_SIZES);
	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(LayoutEntry);
	layouts = hash_create("kvlsm layouts", 16, &ctl, HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
}

/* The layout that is being found out. */
typedef struct Finder
{
	Relation rel;
	TupleDesc desc;
	KvlsmLayout *layout;
	List *names; /* KvlsmKeyName */
	bool quiet;	 /* return false instead of an error */
} Finder;

static bool
bad_plain(Finder *f, const char *detail)
{
	if (f->quiet)
		return false;
	ereport(ERROR,
			(errcode(ERRCODE_INVALID_TABLE_DEFINITION),
			 errmsg("the columns of \"%s\" do not fit the layout \"plain\"",
					RelationGetRelationName(f->rel)),
			 errdetail("%s", detail),
			 errhint("Declare the table as (key text COLLATE \"C\" NOT NULL, "
					 "value jsonb NOT NULL), or choose the layout "
					 "\"typed\".")));
	return false;
}

static bool
bad_key_column(Finder *f, int code, const char *message, const char *name)
{
	if (f->quiet)
		return false;
	ereport(ERROR, (errcode(code), errmsg_internal(message, name),
					errhint("Option \"key\" lists columns of the table, each "
							"with ASC or DESC behind it if wanted.")));
	return false;
}

/* The names of the key columns: the option's, or the first column's. */
static bool
find_names(Finder *f)
{
	const char *option = f->layout->options.key;
	int i;

	if (option != NULL)
	{
		f->names = kvlsm_parse_key(option);
		if (f->names == NIL)
			return bad_key_column(f, ERRCODE_FDW_INVALID_ATTRIBUTE_VALUE,
								  "\"%s\" is no list of columns", option);
	}
	for (i = 0; i < f->desc->natts && f->names == NIL; i++)
	{
		Form_pg_attribute att = TupleDescAttr(f->desc, i);
		KvlsmKeyName *name;

		if (att->attisdropped)
			continue;
		name = palloc0(sizeof(KvlsmKeyName));
		name->name = pstrdup(NameStr(att->attname));
		f->names = list_make1(name);
	}
	if (f->names == NIL)
		return bad_key_column(f, ERRCODE_INVALID_TABLE_DEFINITION,
							  "kvlsm table \"%s\" has no column for the key",
							  RelationGetRelationName(f->rel));
	if (list_length(f->names) > KVLSM_MAX_KEYS)
		return bad_key_column(f, ERRCODE_TOO_MANY_COLUMNS,
							  "the key of \"%s\" has too many columns",
							  RelationGetRelationName(f->rel));
	return true;
}

static AttrNumber
find_column(Finder *f, const char *name)
{
	int i;

	for (i = 0; i < f->desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(f->desc, i);

		if (!att->attisdropped && strcmp(NameStr(att->attname), name) == 0)
			return att->attnum;
	}
	return InvalidAttrNumber;
}

static bool
find_keys(Finder *f)
{
	KvlsmLayout *layout = f->layout;
	ListCell *lc;

	foreach (lc, f->names)
	{
		KvlsmKeyName *name = lfirst(lc);
		AttrNumber attno = find_column(f, name->name);

		if (attno == InvalidAttrNumber)
			return bad_key_column(f, ERRCODE_UNDEFINED_COLUMN,
								  "key column \"%s\" does not exist",
								  name->name);
		if (kvlsm_key_position(layout, attno) >= 0)
			return bad_key_column(f, ERRCODE_DUPLICATE_COLUMN,
								  "column \"%s\" appears twice in the key",
								  name->name);
		if (TupleDescAttr(f->desc, attno - 1)->attgenerated != '\0')
			return bad_key_column(f, ERRCODE_FEATURE_NOT_SUPPORTED,
								  "generated column \"%s\" cannot be a part "
								  "of the key",
								  name->name);
		layout->keys[layout->n_keys].attno = attno;
		layout->keys[layout->n_keys++].descending = name->descending;
	}
	return true;
}

/* The only column that is not the key; 0: there is none, or more than one. */
static AttrNumber
find_value_column(Finder *f)
{
	AttrNumber value = InvalidAttrNumber;
	int i;

	for (i = 0; i < f->desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(f->desc, i);

		if (att->attisdropped || att->attnum == f->layout->keys[0].attno)
			continue;
		if (value != InvalidAttrNumber)
			return InvalidAttrNumber;
		value = att->attnum;
	}
	return value;
}

static KvlsmTag
plain_tag(Oid type)
{
	switch (type)
	{
	case TEXTOID:
		return KVLSM_TAG_TEXT;
	case JSONBOID:
		return KVLSM_TAG_JSONB;
	case BYTEAOID:
		return KVLSM_TAG_BYTEA;
	default:
		return 0;
	}
}

static bool
set_plain(Finder *f)
{
	KvlsmLayout *layout = f->layout;
	KvlsmKeyName *name = linitial(f->names);
	Oid key_type = TupleDescAttr(f->desc, layout->keys[0].attno - 1)->atttypid;

	if (layout->n_keys > 1 || name->has_direction)
		return bad_plain(f,
						 "The key must be one column, without ASC or DESC.");
	layout->value_attno = find_value_column(f);
	if (layout->value_attno == InvalidAttrNumber)
		return bad_plain(f, "There must be two columns.");
	if (key_type != TEXTOID && key_type != BYTEAOID)
		return bad_plain(f, "The key column must be of type text or bytea.");
	layout->keys[0].type = key_type == BYTEAOID ? KVLSM_KEY_BYTEA
												: KVLSM_KEY_TEXT;
	layout->value_tag =
		plain_tag(TupleDescAttr(f->desc, layout->value_attno - 1)->atttypid);
	if (layout->value_tag == 0)
		return bad_plain(f, "The value column must be of type jsonb, text "
							"or bytea.");
	return true;
}

static bool
bad_type(Finder *f, Form_pg_attribute att, bool only_collation)
{
	if (f->quiet)
		return false;
	if (only_collation)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("column \"%s\" cannot be a part of the key: its "
						"collation does not compare bytes",
						NameStr(att->attname)),
				 errhint("Declare the column COLLATE \"C\".")));
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("column \"%s\" of type %s cannot be a part of the key",
					NameStr(att->attname), format_type_be(att->atttypid)),
			 errhint("Key columns are of type boolean, smallint, integer, "
					 "bigint, real, double precision, text, varchar, bytea, "
					 "uuid, date, time, timestamp or timestamptz. Option "
					 "\"key\" names them.")));
	return false;
}

static bool
set_typed(Finder *f)
{
	int i;

	f->layout->typed = true;
	f->layout->value_attno = InvalidAttrNumber;
	for (i = 0; i < f->layout->n_keys; i++)
	{
		KvlsmKeyColumn *key = &f->layout->keys[i];
		Form_pg_attribute att = TupleDescAttr(f->desc, key->attno - 1);

		key->type = KVLSM_KEY_BOOL;
		if (!kvlsm_key_type_of(att->atttypid, att->attcollation, &key->type))
			return bad_type(f, att, key->type == KVLSM_KEY_TEXT);
	}
	return true;
}

/* A table that says nothing about its layout is plain if it can be. */
static bool
fits_plain(Finder *f)
{
	bool was_quiet = f->quiet;
	bool fits;

	f->quiet = true;
	fits = set_plain(f);
	f->quiet = was_quiet;
	return fits;
}

static bool
find_out(Relation rel, KvlsmLayout *layout, bool quiet)
{
	Finder f = {rel, RelationGetDescr(rel), layout, NIL, quiet};
	bool good;

	memset(layout, 0, sizeof(*layout));
	kvlsm_options_of(RelationGetRelid(rel), &layout->options);
	good = find_names(&f) && find_keys(&f);
	if (good && layout->options.plain)
		good = set_plain(&f);
	else if (good && (layout->options.typed || !fits_plain(&f)))
		good = set_typed(&f);
	layout->options.key = NULL;
	return good;
}

static bool
missing_option(Relation rel, AttrNumber attno, char **value)
{
	ListCell *lc;

	foreach (lc, GetForeignColumnOptions(RelationGetRelid(rel), attno))
	{
		DefElem *def = lfirst_node(DefElem, lc);

		if (strcmp(def->defname, KVLSM_MISSING_OPTION) != 0)
			continue;
		*value = defGetString(def);
		return true;
	}
	return false;
}

static void
find_missing(Relation rel, KvlsmLayout *layout)
{
	TupleDesc desc = RelationGetDescr(rel);
	int i;

	if (!layout->typed)
		return;
	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);
		char *text;
		Oid input;
		Oid param;
		KvlsmMissing *missing;

		if (att->attisdropped || !missing_option(rel, att->attnum, &text))
			continue;
		if (layout->missing == NULL)
			layout->missing = palloc(desc->natts * sizeof(KvlsmMissing));
		missing = &layout->missing[layout->n_missing++];
		getTypeInputInfo(att->atttypid, &input, &param);
		missing->attno = att->attnum;
		missing->value = OidInputFunctionCall(input, text, param,
											  att->atttypmod);
	}
}

/* Into the current context, with all that it points to. */
static KvlsmLayout *
copy_layout(const KvlsmLayout *from, TupleDesc desc)
{
	KvlsmLayout *copy = palloc(sizeof(KvlsmLayout));
	int i;

	*copy = *from;
	if (from->n_missing == 0)
		return copy;
	copy->missing = palloc(from->n_missing * sizeof(KvlsmMissing));
	for (i = 0; i < from->n_missing; i++)
	{
		AttrNumber attno = from->missing[i].attno;
		Form_pg_attribute att = TupleDescAttr(desc, attno - 1);

		copy->missing[i].attno = attno;
		copy->missing[i].value = datumCopy(from->missing[i].value,
										   att->attbyval, att->attlen);
	}
	return copy;
}

KvlsmLayout *
kvlsm_layout_if_good(Relation rel)
{
	KvlsmLayout *layout = palloc(sizeof(KvlsmLayout));

	if (find_out(rel, layout, true))
		return layout;
	pfree(layout);
	return NULL;
}

KvlsmLayout *
kvlsm_layout_of(Relation rel)
{
	Oid relid = RelationGetRelid(rel);
	KvlsmLayout layout;
	LayoutEntry *entry;
	MemoryContext old;
	bool found;

	if (layouts == NULL)
		init_cache();
	entry = hash_search(layouts, &relid, HASH_FIND, NULL);
	if (entry != NULL && entry->layout != NULL)
		return copy_layout(entry->layout, RelationGetDescr(rel));
	(void) find_out(rel, &layout, false);
	find_missing(rel, &layout);
	/* looking into the catalogue may have invalidated anything */
	entry = hash_search(layouts, &relid, HASH_ENTER, &found);
	if (!found)
	{
		entry->layout = NULL;
		entry->context = NULL;
	}
	forget(entry);
	if (entry->context == NULL)
		entry->context = AllocSetContextCreate(layout_context, "kvlsm layout",
											   ALLOCSET_SMALL_SIZES);
	old = MemoryContextSwitchTo(entry->context);
	entry->layout = copy_layout(&layout, RelationGetDescr(rel));
	MemoryContextSwitchTo(old);
	return copy_layout(&layout, RelationGetDescr(rel));
}

int
kvlsm_key_position(const KvlsmLayout *layout, AttrNumber attno)
{
	int i;

	for (i = 0; i < layout->n_keys; i++)
		if (layout->keys[i].attno == attno)
			return i;
	return -1;
}
