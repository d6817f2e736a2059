/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_row.c - between a row in a slot and the engine's bytes.
 *
 * Knows nothing of scans and writes.  Backends only.
 */
#include "fdw.h"

#include "port/pg_bswap.h"
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
	struct varlena *v =
		pg_detoast_datum_packed((struct varlena *) DatumGetPointer(value));

	Assert(!layout->typed && i == 0);
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

void
kvlsm_row_key(KvlsmBytes *out, const KvlsmLayout *layout, Relation rel,
			  uint32 store_id, TupleTableSlot *slot)
{
	kvlsm_make_key(out, store_id, column(rel, slot, layout->keys[0].attno));
}

void
kvlsm_row_value(KvlsmBytes *out, const KvlsmLayout *layout, Relation rel,
				TupleTableSlot *slot)
{
	kvlsm_make_value(out, layout->value_tag,
					 column(rel, slot, layout->value_attno));
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

void
kvlsm_row_fill(const KvlsmLayout *layout, KvlsmWanted wanted, KvSlice key,
			   KvSlice value, TupleTableSlot *slot)
{
	int key_at = layout->keys[0].attno - 1;
	int value_at = layout->value_attno - 1;

	ExecClearTuple(slot);
	memset(slot->tts_isnull, true,
		   slot->tts_tupleDescriptor->natts * sizeof(bool));
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
	ExecStoreVirtualTuple(slot);
}
