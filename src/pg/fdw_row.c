/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_row.c - between a row in a slot and the engine's bytes.
 *
 * Knows nothing of scans and writes.  Backends only.
 */
#include "fdw.h"

#include "access/detoast.h"
#include "port/pg_bswap.h"
#include "row_codec.h"
#include "utils/builtins.h"

void
kvlsm_key_begin(KvlsmBytes *out, uint32 store_id)
{
	uint32 id = pg_hton32(store_id);

	kvlsm_bytes_begin(out);
	kvlsm_bytes_append(out, &id, sizeof(id));
}

void
kvlsm_key_add(KvlsmBytes *out, const KvlsmLayout *layout, int i, Datum value)
{
	struct varlena *v;

	Assert(i < layout->n_keys);
	if (layout->typed)
	{
		kvlsm_key_append(out, &layout->keys[i], value);
		return;
	}
	v = pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value));
	kvlsm_bytes_append(out, VARDATA_ANY(v), VARSIZE_ANY_EXHDR(v));
}

void
kvlsm_error_null_column(Relation rel, AttrNumber attno)
{
	ereport(ERROR,
			(errcode(ERRCODE_NOT_NULL_VIOLATION),
			 errmsg("null value in column \"%s\" of relation \"%s\" violates "
					"not-null constraint",
					NameStr(TupleDescAttr(RelationGetDescr(rel), attno - 1)
								->attname),
					RelationGetRelationName(rel)),
			 errtablecol(rel, attno)));
	pg_unreachable();
}

static Datum
column(Relation rel, TupleTableSlot *slot, AttrNumber attno)
{
	bool isnull;
	Datum d = slot_getattr(slot, attno, &isnull);

	if (isnull)
		kvlsm_error_null_column(rel, attno);
	return d;
}

/* Key columns that are too long are refused before they are detoasted. */
static void
check_raw_size(const KvlsmKeyColumn *column, Datum value)
{
	if (column->type == KVLSM_KEY_TEXT || column->type == KVLSM_KEY_BYTEA)
		kvlsm_check_key_size(kv_slice(NULL, KV_STORE_PREFIX +
												toast_raw_datum_size(value) -
												VARHDRSZ));
}

void
kvlsm_row_key(KvlsmBytes *out, const KvlsmLayout *layout, Relation rel,
			  uint32 store_id, TupleTableSlot *slot)
{
	int i;

	if (!layout->typed)
	{
		kvlsm_make_key(out, store_id, column(rel, slot, layout->keys[0].attno));
		return;
	}
	kvlsm_key_begin(out, store_id);
	for (i = 0; i < layout->n_keys; i++)
	{
		Datum value = column(rel, slot, layout->keys[i].attno);

		check_raw_size(&layout->keys[i], value);
		kvlsm_key_add(out, layout, i, value);
	}
	kvlsm_check_key_size(out->slice);
}

static const KvlsmMissing *
find_missing(const KvlsmLayout *layout, AttrNumber attno)
{
	int i;

	for (i = 0; i < layout->n_missing; i++)
		if (layout->missing[i].attno == attno)
			return &layout->missing[i];
	return NULL;
}

/* In the value of the typed layout? */
static bool
is_stored(const KvlsmLayout *layout, Form_pg_attribute att)
{
	return !att->attisdropped && kvlsm_key_position(layout, att->attnum) < 0 &&
		   att->attgenerated != KVLSM_GENERATED_VIRTUAL;
}

void
kvlsm_row_value(KvlsmBytes *out, const KvlsmLayout *layout, Relation rel,
				TupleTableSlot *slot)
{
	TupleDesc desc = RelationGetDescr(rel);
	int i;

	if (!layout->typed)
	{
		kvlsm_make_value(out, layout->value_tag,
						 column(rel, slot, layout->value_attno));
		return;
	}
	slot_getallattrs(slot);
	kvlsm_row_begin(out);
	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!is_stored(layout, att))
			continue;
		if (!slot->tts_isnull[i])
			kvlsm_row_append(out, att, slot->tts_values[i]);
		else if (find_missing(layout, att->attnum) != NULL)
			kvlsm_row_append_null(out, att->attnum);
	}
	kvlsm_check_value_size(out->slice.len);
}

static Datum
plain_value(const KvlsmLayout *layout, KvSlice value)
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

static void
fill_plain(const KvlsmLayout *layout, KvlsmWanted wanted, KvSlice key,
		   KvSlice value, TupleTableSlot *slot)
{
	int key_at = layout->keys[0].attno - 1;
	int value_at = layout->value_attno - 1;

	if (wanted == NULL || wanted[key_at])
	{
		slot->tts_values[key_at] = layout->keys[0].type == KVLSM_KEY_BYTEA
									   ? kvlsm_key_bytea(key)
									   : kvlsm_key_text(key);
		slot->tts_isnull[key_at] = false;
	}
	if (wanted == NULL || wanted[value_at])
	{
		slot->tts_values[value_at] = plain_value(layout, value);
		slot->tts_isnull[value_at] = false;
	}
}

static void
error_damaged(const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
					errmsg("the %s of a row is damaged", what),
					errhint("It was written by a newer version of kvlsm, "
							"or is damaged.")));
}

/* Columns up to the last wanted one are looked at, in their order. */
static void
fill_keys(const KvlsmLayout *layout, KvlsmWanted wanted, KvSlice key,
		  TupleTableSlot *slot)
{
	int n = layout->n_keys;
	int i;

	while (n > 0 && wanted != NULL && !wanted[layout->keys[n - 1].attno - 1])
		n--;
	key.data += KV_STORE_PREFIX;
	key.len -= KV_STORE_PREFIX;
	for (i = 0; i < n; i++)
	{
		const KvlsmKeyColumn *column = &layout->keys[i];
		int at = column->attno - 1;

		if (wanted != NULL && !wanted[at])
		{
			if (!kvlsm_key_skip(column, &key))
				error_damaged("key");
			continue;
		}
		if (!kvlsm_key_take(column, &key, &slot->tts_values[at]))
			error_damaged("key");
		slot->tts_isnull[at] = false;
	}
	if (n == layout->n_keys && key.len > 0)
		error_damaged("key");
}

/* What the row has unless it says otherwise. */
static void
fill_missing(const KvlsmLayout *layout, KvlsmWanted wanted,
			 TupleTableSlot *slot)
{
	int i;

	for (i = 0; i < layout->n_missing; i++)
	{
		int at = layout->missing[i].attno - 1;

		if (wanted != NULL && !wanted[at])
			continue;
		slot->tts_values[at] = layout->missing[i].value;
		slot->tts_isnull[at] = false;
	}
}

/* The last value column that is wanted; 0: none is. */
static AttrNumber
last_wanted(const KvlsmLayout *layout, KvlsmWanted wanted, int natts)
{
	int i;

	for (i = natts; i > 0; i--)
		if (wanted == NULL ||
			(wanted[i - 1] && kvlsm_key_position(layout, (AttrNumber) i) < 0))
			break;
	return (AttrNumber) i;
}

static void
fill_values(const KvlsmLayout *layout, KvlsmWanted wanted, KvSlice value,
			bool in_place, TupleTableSlot *slot)
{
	TupleDesc desc = slot->tts_tupleDescriptor;
	AttrNumber last = last_wanted(layout, wanted, desc->natts);
	KvlsmRowReader reader;
	bool damaged;

	if (last == 0)
		return;
	if (!kvlsm_row_open(&reader, value))
		error_damaged("value");
	while (kvlsm_row_next(&reader, &damaged) && reader.attno <= last)
	{
		int at = reader.attno - 1;
		Form_pg_attribute att = TupleDescAttr(desc, at);

		if ((wanted != NULL && !wanted[at]) || !is_stored(layout, att))
			continue;
		if (!kvlsm_row_datum(&reader, att, in_place, &slot->tts_values[at],
							 &slot->tts_isnull[at]))
			error_damaged("value");
	}
	if (damaged)
		error_damaged("value");
}

static void
fill(const KvlsmLayout *layout, KvlsmWanted wanted, KvSlice key, KvSlice value,
	 bool in_place, TupleTableSlot *slot)
{
	ExecClearTuple(slot);
	memset(slot->tts_isnull, true,
		   slot->tts_tupleDescriptor->natts * sizeof(bool));
	if (layout->typed)
	{
		fill_keys(layout, wanted, key, slot);
		fill_missing(layout, wanted, slot);
		fill_values(layout, wanted, value, in_place, slot);
	}
	else
		fill_plain(layout, wanted, key, value, slot);
	ExecStoreVirtualTuple(slot);
}

void
kvlsm_row_fill(const KvlsmLayout *layout, KvlsmWanted wanted, KvSlice key,
			   KvSlice value, TupleTableSlot *slot)
{
	fill(layout, wanted, key, value, false, slot);
}

void
kvlsm_row_fill_in_place(const KvlsmLayout *layout, KvlsmWanted wanted,
						KvSlice key, KvSlice value, TupleTableSlot *slot)
{
	fill(layout, wanted, key, value, true, slot);
}
