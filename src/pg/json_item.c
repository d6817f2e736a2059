/* SPDX-License-Identifier: PostgreSQL */
/*
 * json_item.c - reading the JSON objects of batches; see json_item.h.
 */
#include "json_item.h"

#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/numeric.h"
#include "utils/timestamp.h"

/* The message is constant; what is wrong where stands in the detail. */
void
kvlsm_bad_item(int item, const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("invalid item, nothing was written"),
					errdetail("items[%d]: %s", item, what)));
	pg_unreachable();
}

JsonbContainer *
kvlsm_item_object(int item, JsonbValue *element)
{
	if (element->type != jbvBinary ||
		!JsonContainerIsObject(element->val.binary.data))
		kvlsm_bad_item(item, "not a JSON object");
	return element->val.binary.data;
}

static bool
is_one_of(const char *name, int len, const char *const *fields)
{
	for (; *fields != NULL; fields++)
		if ((size_t) len == strlen(*fields) && memcmp(name, *fields, len) == 0)
			return true;
	return false;
}

void
kvlsm_item_check_fields(int item, JsonbContainer *object,
						const char *const *fields)
{
	JsonbIterator *it = JsonbIteratorInit(object);
	JsonbIteratorToken token;
	JsonbValue v;

	while ((token = JsonbIteratorNext(&it, &v, true)) != WJB_DONE)
		if (token == WJB_KEY &&
			!is_one_of(v.val.string.val, v.val.string.len, fields))
			kvlsm_bad_item(item, psprintf("unknown field \"%.*s\"",
										  v.val.string.len, v.val.string.val));
}

JsonbValue *
kvlsm_item_field(JsonbContainer *object, const char *name, JsonbValue *buf)
{
	return getKeyJsonValueFromContainer(object, name, (int) strlen(name), buf);
}

void
kvlsm_item_key(int item, JsonbContainer *object, uint32 store_id,
			   KvlsmBytes *key)
{
	JsonbValue buf;
	JsonbValue *field = kvlsm_item_field(object, "key", &buf);

	if (field == NULL)
		kvlsm_bad_item(item, "missing field \"key\"");
	if (field->type != jbvString)
		kvlsm_bad_item(item, "field \"key\" must be a string");
	if (field->val.string.len == 0)
		kvlsm_bad_item(item, "field \"key\" must not be empty");
	kvlsm_make_key_from(key, store_id, field->val.string.val,
						field->val.string.len);
}

static Interval *
interval_of_text(JsonbValue *ttl)
{
	char *text = pnstrdup(ttl->val.string.val, ttl->val.string.len);

	return DatumGetIntervalP(DirectFunctionCall3(interval_in,
												 CStringGetDatum(text),
												 ObjectIdGetDatum(InvalidOid),
												 Int32GetDatum(-1)));
}

static Interval *
interval_of_seconds(int item, JsonbValue *ttl)
{
	double secs =
		DatumGetFloat8(DirectFunctionCall1(numeric_float8_no_overflow,
										   NumericGetDatum(ttl->val.numeric)));
	Interval *interval;

	/* from a microsecond on: less is no time at all */
	if (!(secs >= 1e-6 && secs <= 1e11))
		kvlsm_bad_item(item, "\"ttl\" must be greater than 0 and at most 1e11 "
							 "seconds");
	interval = palloc0(sizeof(Interval));
	interval->time = (int64) (secs * USECS_PER_SEC);
	return interval;
}

int64
kvlsm_item_expires_at(int item, JsonbContainer *object)
{
	JsonbValue buf;
	JsonbValue *ttl = kvlsm_item_field(object, "ttl", &buf);

	if (ttl == NULL || ttl->type == jbvNull)
		return 0;
	if (ttl->type == jbvString)
		return kvlsm_expires_at(interval_of_text(ttl));
	if (ttl->type != jbvNumeric)
		kvlsm_bad_item(item,
					   "field \"ttl\" must be an interval or a number of "
					   "seconds");
	return kvlsm_expires_at(interval_of_seconds(item, ttl));
}
