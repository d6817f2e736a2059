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
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/memutils.h"

typedef struct LayoutEntry
{
	Oid relid;
	KvlsmLayout *layout; /* NULL: not known */
} LayoutEntry;

static HTAB *layouts = NULL;
static MemoryContext layout_context;

static void
forget(LayoutEntry *entry)
{
	if (entry->layout == NULL)
		return;
	pfree(entry->layout);
	entry->layout = NULL;
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
find_plain_columns(Relation rel, KvlsmLayout *layout)
{
	TupleDesc desc = RelationGetDescr(rel);
	const char *key_name = layout->options.key;
	AttrNumber key = 0;
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
			key = att->attnum;
		else
			layout->value_attno = att->attnum;
	}
	if (columns < 2)
		bad_columns(rel, "There are fewer than two columns.");
	if (key == 0)
		bad_columns(rel, "No column has the name that option \"key\" gives.");
	layout->n_keys = 1;
	layout->keys[0].attno = key;
}

static void
set_plain_types(Relation rel, KvlsmLayout *layout)
{
	TupleDesc desc = RelationGetDescr(rel);
	Oid key_type = TupleDescAttr(desc, layout->keys[0].attno - 1)->atttypid;
	Oid value_type = TupleDescAttr(desc, layout->value_attno - 1)->atttypid;

	if (key_type != TEXTOID && key_type != BYTEAOID)
		bad_columns(rel, "The key column must be of type text or bytea.");
	layout->keys[0].type = key_type == BYTEAOID ? KVLSM_KEY_BYTEA
												: KVLSM_KEY_TEXT;
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

static void
find_out(Relation rel, KvlsmLayout *layout)
{
	memset(layout, 0, sizeof(*layout));
	kvlsm_options_of(RelationGetRelid(rel), &layout->options);
	layout->typed = layout->options.typed;
	find_plain_columns(rel, layout);
	set_plain_types(rel, layout);
	layout->options.key = NULL;
}

KvlsmLayout *
kvlsm_layout_of(Relation rel)
{
	Oid relid = RelationGetRelid(rel);
	KvlsmLayout *copy = palloc(sizeof(KvlsmLayout));
	LayoutEntry *entry;
	bool found;

	if (layouts == NULL)
		init_cache();
	entry = hash_search(layouts, &relid, HASH_FIND, NULL);
	if (entry != NULL && entry->layout != NULL)
	{
		*copy = *entry->layout;
		return copy;
	}
	find_out(rel, copy);
	/* looking into the catalogue may have invalidated anything */
	entry = hash_search(layouts, &relid, HASH_ENTER, &found);
	if (!found)
		entry->layout = NULL;
	forget(entry);
	entry->layout = MemoryContextAlloc(layout_context, sizeof(KvlsmLayout));
	*entry->layout = *copy;
	return copy;
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
