/* SPDX-License-Identifier: PostgreSQL */
/*
 * value.h - keys and values between Datums and the engine's bytes.
 *
 * A stored key is the store id (4 bytes, big-endian) and the user's bytes; a
 * stored value in a plain store is one tag byte and the payload.
 */
#ifndef KVLSM_VALUE_H
#define KVLSM_VALUE_H

#include "kvlsm.h"

#include "utils/jsonb.h"

struct KvlsmFound; /* scan.h */

/* On disk: the numbers never change and are never reused. */
typedef enum KvlsmTag
{
	KVLSM_TAG_TEXT = 1,	 /* the characters, in the database's encoding */
	KVLSM_TAG_JSONB = 2, /* jsonb without its length word; never a string */
	KVLSM_TAG_BYTEA = 3, /* the bytes */
	KVLSM_TAG_INT8 = 4	 /* 8 bytes, little-endian */
} KvlsmTag;

/*
 * Bytes under construction: short ones live in the struct, longer ones are
 * palloced in the current context.  slice is valid as long as both.
 */
typedef struct KvlsmBytes
{
	KvSlice slice;
	size_t cap;
	char local[320];
} KvlsmBytes;

/* To be filled piece by piece. */
static inline void
kvlsm_bytes_begin(KvlsmBytes *out)
{
	out->slice = kv_slice(out->local, 0);
	out->cap = sizeof(out->local);
}
/* Room for len more bytes, which the caller writes at once. */
char *kvlsm_bytes_extend(KvlsmBytes *out, size_t len);
static inline void
kvlsm_bytes_append(KvlsmBytes *out, const void *data, size_t len)
{
	memcpy(kvlsm_bytes_extend(out, len), data, len);
}

/* Not a NULL, not empty, not over the limit: 22004, 22023, 54000. */
void kvlsm_make_key(KvlsmBytes *out, uint32 store_id, Datum key);
/* The same, but an empty key is allowed: bounds of ranges. */
void kvlsm_make_bound(KvlsmBytes *out, uint32 store_id, Datum key);
/* A key's bytes are complete: 54000 if they are too many. */
void kvlsm_check_key_size(KvSlice key);
/* As much for the payload of a value. */
void kvlsm_check_value_size(size_t size);
/* From the characters or bytes themselves. */
void kvlsm_make_key_from(KvlsmBytes *out, uint32 store_id, const char *data,
						 size_t len);
/* tag TEXT, JSONB or BYTEA, value of that type; 54000 over the limit. */
void kvlsm_make_value(KvlsmBytes *out, KvlsmTag tag, Datum value);
void kvlsm_make_int8(KvlsmBytes *out, int64 value);
void kvlsm_make_json_value(KvlsmBytes *out, JsonbValue *value);

/* Palloced.  text: 42804 for a bytea value. */
Datum kvlsm_value_text(KvSlice stored);
Datum kvlsm_value_jsonb(KvSlice stored);
Datum kvlsm_value_bytea(KvSlice stored);
/* As jsonb, but a bytea value is {"$base64": "..."}. */
Datum kvlsm_value_tagged(KvSlice stored);
/* Is its text form this one?  Binary has none, and is not. */
bool kvlsm_value_is_text(KvSlice stored, text *expected);
/* The number that its text form says; 22P02, 22003. */
int64 kvlsm_value_int8(KvSlice stored);
int64 kvlsm_add(int64 a, int64 b); /* 22003 */

/*
 * The version of a value that was found: what it is and when it expires, in
 * hex digits.  Two values with one version are the same value (an ETag).
 */
#define KVLSM_VERSION_CHARS 32
void kvlsm_version_of(const struct KvlsmFound *found,
					  char buf[KVLSM_VERSION_CHARS + 1]);

/* The user's bytes of a key; text checks the encoding (22021). */
Datum kvlsm_key_text(KvSlice key);
Datum kvlsm_key_bytea(KvSlice key);

/* When a value put now with this ttl expires: 22023 if not in the future. */
int64 kvlsm_expires_at(Interval *ttl);

pg_noreturn void kvlsm_error_null(const char *what);

#endif /* KVLSM_VALUE_H */
