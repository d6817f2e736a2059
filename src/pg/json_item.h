/* SPDX-License-Identifier: PostgreSQL */
/*
 * json_item.h - the JSON objects that kv_batch_put and kv_batch are given.
 *
 * item is the object's place in the array, from 0, for messages: all that is
 * wrong with one is 22023 and says where.
 */
#ifndef KVLSM_JSON_ITEM_H
#define KVLSM_JSON_ITEM_H

#include "value.h"

pg_noreturn void kvlsm_bad_item(int item, const char *what);
/* The element as an object. */
JsonbContainer *kvlsm_item_object(int item, JsonbValue *element);
/* Nothing but these fields; the list ends with NULL. */
void kvlsm_item_check_fields(int item, JsonbContainer *object,
							 const char *const *fields);
/* NULL: the object has none.  buf: where the answer is put. */
JsonbValue *kvlsm_item_field(JsonbContainer *object, const char *name,
							 JsonbValue *buf);
/* The field "key", which must be a string and not empty. */
void kvlsm_item_key(int item, JsonbContainer *object, uint32 store_id,
					KvlsmBytes *key);
/* The field "ttl", an interval or seconds, as a time; 0: none. */
int64 kvlsm_item_expires_at(int item, JsonbContainer *object);

/* sql_batch.c: limits of one call, 54000 beyond them */
void kvlsm_check_batch_items(int64 n);
void kvlsm_check_batch_bytes(size_t bytes);

#endif /* KVLSM_JSON_ITEM_H */
