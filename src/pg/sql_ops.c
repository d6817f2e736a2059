/* SPDX-License-Identifier: PostgreSQL */
/*
 * sql_ops.c - kv_batch: several operations on keys as one, on conditions.
 *
 * ops is [{"op": "check" | "put" | "delete" | "incr", "key": ..., ...}, ...].
 * All keys are locked first, in their order, so that two such calls cannot
 * block each other.  Then all checks are made, wherever they stand, against
 * what was there before the call; if one fails nothing is written and the
 * answer names it.  Then the writes follow in the order of the array, each
 * seeing those before it.
 */
#include "kvlsm.h"

#include "fmgr.h"
#include "json_item.h"
#include "miscadmin.h"
#include "scan.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/snapmgr.h"

PG_FUNCTION_INFO_V1(kvlsm_sql_batch);

typedef enum OpKind
{
	OP_CHECK,
	OP_PUT,
	OP_DELETE,
	OP_INCR
} OpKind;

typedef struct Op
{
	OpKind kind;
	int item;
	KvlsmBytes key;
	JsonbContainer *object;
} Op;

static const char *const op_names[] = {"check", "put", "delete", "incr"};

static void
parse_op(Op *op, int item, JsonbValue *element, uint32 store_id)
{
	static const char *const fields[][7] =
		{[OP_CHECK] = {"op", "key", "value", "version", "exists", NULL},
		 [OP_PUT] = {"op", "key", "value", "ttl", NULL},
		 [OP_DELETE] = {"op", "key", NULL},
		 [OP_INCR] = {"op", "key", "by", "ttl", NULL}};
	JsonbValue buf;
	JsonbValue *name;
	size_t i;

	op->item = item;
	op->object = kvlsm_item_object(item, element);
	name = kvlsm_item_field(op->object, "op", &buf);
	if (name == NULL || name->type != jbvString)
		kvlsm_bad_item(item,
					   "field \"op\" must be check, put, delete or incr");
	for (i = 0; i < lengthof(op_names); i++)
		if ((size_t) name->val.string.len == strlen(op_names[i]) &&
			memcmp(name->val.string.val, op_names[i], name->val.string.len) == 0)
			break;
	if (i == lengthof(op_names))
		kvlsm_bad_item(item,
					   "field \"op\" must be check, put, delete or incr");
	op->kind = (OpKind) i;
	kvlsm_item_check_fields(item, op->object, fields[i]);
	kvlsm_item_key(item, op->object, store_id, &op->key);
}

static int
by_key(const void *a, const void *b)
{
	return kv_slice_compare((*(Op *const *) a)->key.slice,
							(*(Op *const *) b)->key.slice);
}

static void
lock_keys(Op *ops, int n)
{
	Op **sorted = palloc(n * sizeof(Op *));
	int i;

	for (i = 0; i < n; i++)
		sorted[i] = &ops[i];
	qsort(sorted, n, sizeof(Op *), by_key);
	for (i = 0; i < n; i++)
		kvlsm_lock_key_to_modify(sorted[i]->key.slice);
	pfree(sorted);
}

static bool
same_json(KvSlice stored, JsonbValue *expected)
{
	Jsonb *a = DatumGetJsonbP(kvlsm_value_jsonb(stored));
	Jsonb *b = JsonbValueToJsonb(expected);

	return compareJsonbContainers(&a->root, &b->root) == 0;
}

/*
 * {"value": v}: v is there; null: nothing is.  {"version": s}: as kv_entry
 * shows it.  {"exists": bool}.  Several must all hold.
 */
static bool
check_holds(const Op *op)
{
	KvlsmFound found;
	JsonbValue buf;
	JsonbValue *field;
	bool there = kvlsm_read_to_modify(op->key.slice, GetActiveSnapshot(),
									  &found);
	bool any = false;
	bool holds = true;

	field = kvlsm_item_field(op->object, "exists", &buf);
	if (field != NULL)
	{
		if (field->type != jbvBool)
			kvlsm_bad_item(op->item, "field \"exists\" must be true or false");
		any = true;
		holds &= field->val.boolean == there;
	}
	field = kvlsm_item_field(op->object, "version", &buf);
	if (field != NULL)
	{
		char version[KVLSM_VERSION_CHARS + 1] = "";

		if (field->type != jbvString)
			kvlsm_bad_item(op->item, "field \"version\" must be a string");
		any = true;
		if (there)
			kvlsm_version_of(&found, version);
		holds &= there && field->val.string.len == KVLSM_VERSION_CHARS &&
				 memcmp(field->val.string.val, version, KVLSM_VERSION_CHARS) ==
					 0;
	}
	field = kvlsm_item_field(op->object, "value", &buf);
	if (field != NULL)
	{
		any = true;
		if (field->type == jbvNull)
			holds &= !there;
		else
			holds &= there && same_json(found.value, field);
	}
	if (!any)
		kvlsm_bad_item(op->item, "a check needs \"value\", \"version\" or "
								 "\"exists\"");
	return holds;
}

static int64
by_of(const Op *op)
{
	JsonbValue buf;
	JsonbValue *by = kvlsm_item_field(op->object, "by", &buf);

	if (by == NULL)
		return 1;
	if (by->type != jbvNumeric)
		kvlsm_bad_item(op->item, "field \"by\" must be a number");
	return DatumGetInt64(DirectFunctionCall1(numeric_int8,
											 NumericGetDatum(by->val.numeric)));
}

/* One write; what it has to say about it is appended to the results. */
static void
do_write(const Op *op, JsonbParseState **results)
{
	int64 expires_us = kvlsm_item_expires_at(op->item, op->object);
	KvSlice key = op->key.slice;
	KvlsmFound found;
	KvlsmBytes value;
	JsonbValue buf;
	JsonbValue result = {.type = jbvNull};
	JsonbValue *field;
	bool there;
	int64 sum;

	switch (op->kind)
	{
	case OP_PUT:
		field = kvlsm_item_field(op->object, "value", &buf);
		if (field == NULL)
			kvlsm_bad_item(op->item, "missing field \"value\"");
		kvlsm_make_json_value(&value, field);
		kvlsm_write_put(key, value.slice, expires_us);
		break;
	case OP_DELETE:
		result.type = jbvBool;
		result.val.boolean = kvlsm_read_to_modify(key, GetActiveSnapshot(),
												  &found);
		kvlsm_write_delete(key);
		break;
	case OP_INCR:
		there = kvlsm_read_to_modify(key, GetActiveSnapshot(), &found);
		if (there)
			expires_us = found.expires_us;
		sum = kvlsm_add(there ? kvlsm_value_int8(found.value) : 0, by_of(op));
		kvlsm_make_int8(&value, sum);
		kvlsm_write_put(key, value.slice, expires_us);
		result.type = jbvNumeric;
		result.val.numeric = int64_to_numeric(sum);
		break;
	case OP_CHECK:
		result.type = jbvBool;
		result.val.boolean = true;
		break;
	}
	pushJsonbValue(results, WJB_ELEM, &result);
}

static void
push_field(JsonbParseState **state, const char *name)
{
	JsonbValue key;

	key.type = jbvString;
	key.val.string.val = unconstify(char *, name);
	key.val.string.len = (int) strlen(name);
	pushJsonbValue(state, WJB_KEY, &key);
}

/* {"ok": ok, name: what follows */
static void
begin_answer(JsonbParseState **state, bool ok, const char *name)
{
	JsonbValue v;

	pushJsonbValue(state, WJB_BEGIN_OBJECT, NULL);
	push_field(state, "ok");
	v.type = jbvBool;
	v.val.boolean = ok;
	pushJsonbValue(state, WJB_VALUE, &v);
	push_field(state, name);
}

static Datum
end_answer(JsonbParseState **state)
{
	JsonbValue *answer = pushJsonbValue(state, WJB_END_OBJECT, NULL);

	return JsonbPGetDatum(JsonbValueToJsonb(answer));
}

static Datum
failed_answer(int item)
{
	JsonbParseState *state = NULL;
	JsonbValue v;

	begin_answer(&state, false, "failed");
	v.type = jbvNumeric;
	v.val.numeric = int64_to_numeric(item);
	pushJsonbValue(&state, WJB_VALUE, &v);
	return end_answer(&state);
}

static Datum
do_writes(const Op *ops, int n)
{
	JsonbParseState *state = NULL;
	int i;

	begin_answer(&state, true, "results");
	pushJsonbValue(&state, WJB_BEGIN_ARRAY, NULL);
	for (i = 0; i < n; i++)
	{
		CHECK_FOR_INTERRUPTS();
		do_write(&ops[i], &state);
	}
	pushJsonbValue(&state, WJB_END_ARRAY, NULL);
	return end_answer(&state);
}

/* kv_batch(ops, store) */
Datum
kvlsm_sql_batch(PG_FUNCTION_ARGS)
{
	Jsonb *items;
	JsonbIterator *it;
	JsonbValue element;
	KvlsmStore store;
	Oid relid = PG_ARGISNULL(1) ? InvalidOid : PG_GETARG_OID(1);
	Op *ops;
	bool deletes = false;
	int n = 0;
	int i;

	if (PG_ARGISNULL(0))
		kvlsm_error_null("ops");
	items = PG_GETARG_JSONB_P(0);
	if (!JB_ROOT_IS_ARRAY(items) || JB_ROOT_IS_SCALAR(items))
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				 errmsg("ops must be a JSON array"),
				 errhint("Pass "
						 "'[{\"op\":\"put\",\"key\":\"...\",\"value\":...}, "
						 "...]'.")));
	kvlsm_check_batch_items(JB_ROOT_COUNT(items));
	kvlsm_check_batch_bytes(VARSIZE(items));
	kvlsm_open_store(relid, KVLSM_MODIFY, &store);
	ops = MemoryContextAllocHuge(CurrentMemoryContext,
								 sizeof(Op) * (JB_ROOT_COUNT(items) + 1));
	it = JsonbIteratorInit(&items->root);
	(void) JsonbIteratorNext(&it, &element, true); /* WJB_BEGIN_ARRAY */
	while (JsonbIteratorNext(&it, &element, true) == WJB_ELEM)
	{
		parse_op(&ops[n], n, &element, store.id);
		deletes |= ops[n++].kind == OP_DELETE;
	}
	if (deletes)
		kvlsm_open_store(relid, KVLSM_REMOVE, &store);
	lock_keys(ops, n);
	for (i = 0; i < n; i++)
		if (ops[i].kind == OP_CHECK && !check_holds(&ops[i]))
			return failed_answer(i);
	return do_writes(ops, n);
}
