/* SPDX-License-Identifier: PostgreSQL */
/*
 * slice.h - a borrowed run of bytes.
 *
 * A slice owns nothing: whoever hands one out says how long it stays valid.
 * Order is memcmp, then length; that is the order of user keys everywhere.
 */
#ifndef KV_SLICE_H
#define KV_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct KvSlice
{
	const char *data;
	size_t len;
} KvSlice;

static inline KvSlice
kv_slice(const void *data, size_t len)
{
	KvSlice s = {(const char *) data, len};

	return s;
}

static inline int
kv_slice_compare(KvSlice a, KvSlice b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	int c = n ? memcmp(a.data, b.data, n) : 0;

	if (c != 0)
		return c;
	return (a.len > b.len) - (a.len < b.len);
}

static inline bool
kv_slice_equal(KvSlice a, KvSlice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

/* How many bytes both start with. */
static inline size_t
kv_slice_common(KvSlice a, KvSlice b)
{
	size_t n = a.len < b.len ? a.len : b.len;
	size_t i = 0;

	while (i < n && a.data[i] == b.data[i])
		i++;
	return i;
}

static inline bool
kv_slice_has_prefix(KvSlice s, KvSlice prefix)
{
	return s.len >= prefix.len &&
		   (prefix.len == 0 || memcmp(s.data, prefix.data, prefix.len) == 0);
}

#endif /* KV_SLICE_H */
