/* SPDX-License-Identifier: PostgreSQL */
/*
 * write_set.c - a transaction's own writes: memory, adding, killing.
 *
 * A memtable in private memory that grows by realloc.  Each run of writes
 * under one stamp is a batch of it: the batch's csn counts the batches, so
 * that the newest write of a key comes first, and its xid is the stamp plus
 * one.  The backend that runs the transaction calls this, nobody else;
 * nothing here is shared or waits.
 *
 * What does not fit goes to files (write_set_run.c), the whole memtable at
 * once; an entry that would not even fit alone becomes a file of its own.
 *
 * Killed writes stay where they are until a run of them is dead altogether.
 * A kill is {from, last}: dead are the batches up to last whose stamp is from
 * or larger.  A kill with a smaller from includes the earlier ones, so what is
 * kept rises in both numbers, and one binary search decides.
 */
#include "engine/lsm/write_set_internal.h"

#define FIRST_BYTES ((size_t) 64 << 10)
#define LAST_BYTES	((size_t) UINT32_MAX - 63)
/*
 * Doubled up to here, then times 16: what is not used yet is not real memory,
 * and little is held twice while it is copied.
 */
#define DOUBLED_BYTES ((size_t) 4 << 20)

/* ---- opening, growing ---- */

/* A part is for readers of runs, for building them, and for the filter. */
static size_t
memtable_bytes(const KvEnv *env, size_t allowed)
{
	size_t bytes = allowed;

	if (env->ops->open_temp != NULL)
		bytes -= allowed / 8 + allowed / KV_SET_FILTER_PART;
	if (bytes < FIRST_BYTES)
		bytes = FIRST_BYTES;
	return bytes < LAST_BYTES ? bytes : LAST_BYTES;
}

KvStatus
kv_write_set_open(KvEnv *env, size_t max_bytes, KvWriteSet **ws)
{
	KvWriteSet *w = env->ops->alloc(env, sizeof(*w));

	if (w == NULL)
		return KV_NO_MEMORY;
	memset(w, 0, sizeof(*w));
	w->env = env;
	w->bytes = FIRST_BYTES;
	w->allowed_bytes = max_bytes;
	w->max_bytes = memtable_bytes(env, max_bytes);
	w->min_stamp = UINT32_MAX;
	w->generation = 1;
	w->mem = env->ops->alloc(env, w->bytes);
	if (w->mem == NULL)
	{
		env->ops->free(env, w);
		return KV_NO_MEMORY;
	}
	kv_mem_init(w->mem, w->bytes, w->generation);
	*ws = w;
	return KV_OK;
}

void
kv_write_set_free(KvWriteSet *ws)
{
	KvEnv *env;
	uint32_t i;

	if (ws == NULL)
		return;
	env = ws->env;
	for (i = 0; i < ws->runs; i++)
		kv_set_release_run(env, ws->run[i]);
	env->ops->free(env, ws->run);
	env->ops->free(env, ws->kill);
	env->ops->free(env, ws->filter);
	env->ops->free(env, ws->mem);
	kv_range_list_free(env, &ws->ranges);
	kv_buffer_free(env, &ws->found);
	env->ops->free(env, ws);
}

bool
kv_write_set_reset(KvWriteSet *ws)
{
	if (ws->bytes > FIRST_BYTES || ws->runs > 0 || ws->ranges.n > 0 ||
		ws->found.cap > 0 || ws->filter != NULL)
		return false;
	kv_mem_init(ws->mem, ws->bytes, ++ws->generation);
	ws->csn = 0;
	ws->batch = 0;
	ws->kills = 0;
	ws->kill_csn = 0;
	ws->min_stamp = UINT32_MAX;
	return true;
}

static size_t
next_size(size_t bytes, size_t max_bytes)
{
	size_t times = bytes < DOUBLED_BYTES ? 2 : 16;

	return bytes < max_bytes / times ? times * bytes : max_bytes;
}

/* Room for need bytes; KV_FULL, without a message: not within the limit. */
static KvStatus
grow(KvWriteSet *ws, size_t need, KvError *err)
{
	size_t bytes = ws->bytes;
	void *p;

	if (kv_mem_free(ws->mem) >= need)
		return KV_OK;
	while (bytes - ws->bytes + kv_mem_free(ws->mem) < need)
	{
		if (bytes >= ws->max_bytes)
			return KV_FULL;
		bytes = next_size(bytes, ws->max_bytes);
	}
	p = ws->env->ops->realloc(ws->env, ws->mem, bytes);
	if (p == NULL)
		return kv_fail(err, KV_NO_MEMORY,
					   "no memory for the transaction's writes (%zu bytes)",
					   bytes);
	ws->mem = p;
	ws->bytes = bytes;
	kv_mem_grown(ws->mem, bytes);
	return KV_OK;
}

void
kv_set_shrink(KvWriteSet *ws)
{
	KvEnv *env = ws->env;
	void *p = ws->bytes > FIRST_BYTES ? env->ops->alloc(env, FIRST_BYTES)
									  : NULL;

	KV_ASSERT(kv_mem_entries(ws->mem) == 0);
	if (p == NULL)
		return;
	env->ops->free(env, ws->mem);
	ws->mem = p;
	ws->bytes = FIRST_BYTES;
	kv_mem_init(ws->mem, ws->bytes, ++ws->generation);
	ws->batch = 0;
	ws->version++;
}

KvStatus
kv_set_make_kill_room(KvWriteSet *ws, KvError *err)
{
	size_t room = ws->kill_room ? 2 * ws->kill_room : 4;
	void *p;

	if (ws->kills + 1 < ws->kill_room)
		return KV_OK;
	p = ws->env->ops->realloc(ws->env, ws->kill, room * sizeof(KvKill));
	if (p == NULL)
		return kv_fail(err, KV_NO_MEMORY,
					   "no memory for the transaction's writes");
	ws->kill = p;
	ws->kill_room = room;
	return KV_OK;
}

/*
 * Room for one entry and its batch.  KV_FULL with files at hand: the memtable
 * is empty, and the entry is too large for it.
 */
static KvStatus
make_room(KvWriteSet *ws, size_t payload, KvError *err)
{
	/* twice: the entry may need a second batch */
	size_t need = kv_mem_bound(1, payload) + kv_mem_bound(0, 0);
	KvStatus status = kv_set_make_kill_room(ws, err);

	if (status == KV_OK)
		status = grow(ws, need, err);
	if (status != KV_FULL)
		return status;
	if (ws->env->ops->open_temp == NULL)
		return kv_fail(err, KV_FULL,
					   "the transaction's writes need more than %zu bytes",
					   ws->allowed_bytes);
	status = kv_set_spill(ws, err);
	return status == KV_OK ? grow(ws, need, err) : status;
}

/* ---- writing ---- */

static KvStatus
open_batch(KvWriteSet *ws, uint32_t stamp)
{
	ws->stamp = stamp;
	return kv_mem_begin_batch(ws->mem, ++ws->csn, (uint64_t) stamp + 1, 0,
							  KV_XACT_COMMITTED, &ws->batch);
}

static KvStatus
add_to_memtable(KvWriteSet *ws, uint32_t stamp, const KvEntry *entry,
				KvError *err)
{
	KvStatus status = KV_OK;

	if (ws->batch == 0 || ws->stamp != stamp)
		status = open_batch(ws, stamp);
	if (status == KV_OK)
		status = kv_mem_add(ws->mem, ws->batch, entry);
	if (status == KV_EXISTS)
	{
		/* The same key under the same stamp: the later write counts. */
		status = open_batch(ws, stamp);
		if (status == KV_OK)
			status = kv_mem_add(ws->mem, ws->batch, entry);
	}
	if (status == KV_CORRUPT)
		return kv_corrupt(err, 0, 0, "the transaction's writes are damaged");
	if (status != KV_OK)
		return kv_fail(err, status, "the transaction's writes do not fit");
	return KV_OK;
}

static KvStatus
add_as_run(KvWriteSet *ws, uint32_t stamp, const KvEntry *entry, KvError *err)
{
	KvEntry e = *entry;

	ws->batch = 0;
	e.csn = ++ws->csn;
	e.xid = (uint64_t) stamp + 1;
	e.state = KV_XACT_COMMITTED;
	return kv_set_add_run_of(ws, &e, err);
}

KvStatus
kv_write_set_add(KvWriteSet *ws, uint32_t stamp, const KvEntry *entry,
				 KvError *err)
{
	KvStatus status;

	if (entry->kind == KV_KIND_RANGE_DELETE)
		return kv_fail(err, KV_INVALID,
					   "a range delete is no entry of a write set");
	if (entry->key.len > KV_MAX_KEY || entry->value.len > KV_MAX_VALUE)
		return kv_fail(err, KV_TOO_LARGE, "a key or value is too large");
	status = make_room(ws, entry->key.len + entry->value.len, err);
	if (status == KV_OK)
		status = add_to_memtable(ws, stamp, entry, err);
	else if (status == KV_FULL && ws->env->ops->open_temp != NULL)
		status = add_as_run(ws, stamp, entry, err);
	if (status != KV_OK)
		return status;
	kv_set_filter_add(ws, entry->key);
	ws->changes++;
	if (stamp < ws->min_stamp)
		ws->min_stamp = stamp;
	return KV_OK;
}

void
kv_write_set_kill(KvWriteSet *ws, uint32_t from)
{
	uint32_t min_stamp = ws->min_stamp;

	/* Later writes, even under the same stamp, are none of these. */
	ws->batch = 0;
	ws->min_stamp = UINT32_MAX;
	ws->changes++;
	ws->all_kills++;
	kv_set_drop_dead_runs(ws, from);
	while (ws->kills > 0 && ws->kill[ws->kills - 1].from >= from)
		ws->kills--;
	if (ws->csn == 0)
		return;
	KV_ASSERT(ws->kills < ws->kill_room);
	/* All that was written since the last kill dies: that one is extended.
	 * So a loop of rolled back subtransactions costs one. */
	if (ws->kills > 0 && min_stamp >= from &&
		ws->kill[ws->kills - 1].last == ws->kill_csn)
		ws->kill[ws->kills - 1].last = ws->csn;
	else
	{
		ws->kill[ws->kills].from = from;
		ws->kill[ws->kills].last = ws->csn;
		ws->kills++;
	}
	ws->kill_csn = ws->csn;
}

/* ---- what there is ---- */

bool
kv_set_is_live(const KvWriteSet *ws, uint64_t csn, uint32_t stamp)
{
	size_t lo = 0;
	size_t hi = ws->kills;

	/* the first kill that reaches csn has the smallest from of all that do */
	while (lo < hi)
	{
		size_t mid = (lo + hi) / 2;

		if (ws->kill[mid].last < csn)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo == ws->kills || stamp < ws->kill[lo].from;
}

size_t
kv_write_set_bytes(const KvWriteSet *ws)
{
	size_t bytes = kv_mem_used(ws->mem);
	uint32_t i;

	for (i = 0; i < ws->runs; i++)
		bytes += ws->run[i]->bytes;
	return bytes;
}

uint64_t
kv_write_set_entries(const KvWriteSet *ws)
{
	uint64_t entries = kv_mem_entries(ws->mem);
	uint32_t i;

	for (i = 0; i < ws->runs; i++)
		entries += ws->run[i]->entries;
	return entries;
}

uint32_t
kv_write_set_runs(const KvWriteSet *ws)
{
	return ws->runs;
}
