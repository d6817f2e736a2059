/* SPDX-License-Identifier: PostgreSQL */
/*
 * write_set_filter.c - is a key among a large transaction's writes?
 *
 * A load asks for every key whether it was written already, and the answer is
 * nearly always no.  One bit a key, in a table of fixed size, says so without
 * a way through the memtable and the runs: of a set with as many keys as the
 * table has bits, 37 % of the other keys are still told apart.
 *
 * Killed writes keep their bits: they cost a look, no more.  The backend that
 * runs the transaction calls this through the set, nobody else.
 */
#include "engine/base/file_header.h"
#include "engine/lsm/write_set_internal.h"

/* A set with fewer writes does without. */
#define FIRST_ENTRIES 1024
/* The part of the set's memory that it takes. */
#define PART 16

static void
set_bit(KvWriteSet *ws, KvSlice key)
{
	uint64_t bit = kv_key_hash(key) & ws->filter_mask;

	ws->filter[bit / 64] |= UINT64_C(1) << (bit % 64);
}

/* Without memory for it, it is tried again a thousand writes later. */
static void
build(KvWriteSet *ws)
{
	KvEnv *env = ws->env;
	size_t bytes = 64;
	KvIter *it = NULL;

	while (bytes * 2 <= ws->allowed_bytes / PART)
		bytes *= 2;
	if (kv_mem_iter(env, ws->mem, ws->generation, &it) != KV_OK)
		return;
	ws->filter = env->ops->alloc(env, bytes);
	if (ws->filter != NULL)
	{
		memset(ws->filter, 0, bytes);
		ws->filter_mask = (uint64_t) bytes * 8 - 1;
		for (it->ops->first(it); it->valid; it->ops->next(it))
			set_bit(ws, it->entry.key);
	}
	it->ops->close(it);
}

void
kv_set_filter_add(KvWriteSet *ws, KvSlice key)
{
	if (ws->filter != NULL)
		set_bit(ws, key);
	else if (ws->runs == 0 && kv_mem_entries(ws->mem) % FIRST_ENTRIES == 0)
		build(ws);
}

void
kv_write_set_prefetch(const KvWriteSet *ws, KvSlice key)
{
	if (ws->filter != NULL)
		__builtin_prefetch(&ws->filter[(kv_key_hash(key) & ws->filter_mask) / 64]);
}

bool
kv_set_may_have(const KvWriteSet *ws, KvSlice key)
{
	uint64_t bit;

	if (ws->filter == NULL)
		return true;
	bit = kv_key_hash(key) & ws->filter_mask;
	return (ws->filter[bit / 64] >> (bit % 64) & 1) != 0;
}
