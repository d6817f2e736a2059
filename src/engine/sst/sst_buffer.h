/* SPDX-License-Identifier: PostgreSQL */
/*
 * sst_buffer.h - a growing byte buffer in the host's private memory.
 *
 * Used by the builder and the readers of SSTables for what has no fixed
 * size.  Grows only: a buffer is reused for the next block.
 */
#ifndef KV_SST_BUFFER_H
#define KV_SST_BUFFER_H

#include "engine/kv_env.h"

typedef struct KvBuffer
{
	char *data;
	size_t len;
	size_t cap;
} KvBuffer;

#define KV_BUFFER_DOUBLE ((size_t) 16 << 20)

/*
 * Makes room for more bytes after len; false: no memory, buffer unchanged.
 * The caller has bounded more.
 */
static inline bool
kv_buffer_reserve(KvEnv *env, KvBuffer *b, size_t more)
{
	size_t need = b->len + more;
	size_t cap = need;
	size_t grown;
	char *data;

	if (b->cap >= need)
		return true;
	if (cap < 256)
		cap = 256;
	/* doubled while that is cheap */
	grown = b->cap + (b->cap < KV_BUFFER_DOUBLE ? b->cap : b->cap / 8);
	if (cap < grown)
		cap = grown;
	data = env->ops->realloc(env, b->data, cap);
	if (data == NULL && cap > need)
	{
		cap = need;
		data = env->ops->realloc(env, b->data, cap);
	}
	if (data == NULL)
		return false;
	b->data = data;
	b->cap = cap;
	return true;
}

/* The buffer holds bytes, which are not its own; false: no memory, empty. */
static inline bool
kv_buffer_set(KvEnv *env, KvBuffer *b, KvSlice bytes)
{
	b->len = 0;
	if (!kv_buffer_reserve(env, b, bytes.len))
		return false;
	if (bytes.len > 0)
		memcpy(b->data, bytes.data, bytes.len);
	b->len = bytes.len;
	return true;
}

static inline void
kv_buffer_free(KvEnv *env, KvBuffer *b)
{
	if (b->data != NULL)
		env->ops->free(env, b->data);
	b->data = NULL;
	b->len = b->cap = 0;
}

#endif /* KV_SST_BUFFER_H */
