/* SPDX-License-Identifier: PostgreSQL */
/*
 * write_set.c - a transaction's own writes, in the order of their keys.
 *
 * A memtable in private memory that grows by realloc.  Each run of writes
 * under one stamp is a batch of it: the batch's csn counts the batches, so
 * that the newest write of a key comes first, and its xid is the stamp.  The
 * backend that runs the transaction calls this, nobody else; nothing here is
 * shared or waits.
 *
 * Killed writes stay where they are.  A kill is {from, last}: dead are the
 * batches up to last whose stamp is from or larger.  A kill with a smaller
 * from includes the earlier ones, so what is kept rises in both numbers, and
 * one binary search decides.
 */
#include "engine/kv_engine.h"
#include "engine/mem/memtable.h"

#define FIRST_BYTES ((size_t) 64 << 10)
#define LAST_BYTES	((size_t) UINT32_MAX - 63)

typedef struct Kill
{
	uint64_t last; /* csn */
	uint32_t from; /* stamp */
} Kill;

struct KvWriteSet
{
	KvEnv *env;
	KvMem *mem;
	size_t bytes;
	size_t max_bytes;
	uint64_t csn;	/* of the newest batch */
	uint32_t batch; /* open for stamp; 0: none */
	uint32_t stamp;
	Kill *kill;
	size_t kills;
	size_t kill_room;	/* always more than kills once there is a write */
	uint64_t kill_csn;	/* csn at the last kill */
	uint32_t min_stamp; /* of the writes since then; UINT32_MAX: none */
};

/* ---- opening, growing ---- */

KvStatus
kv_write_set_open(KvEnv *env, size_t max_bytes, KvWriteSet **ws)
{
	KvWriteSet *w = env->ops->alloc(env, sizeof(*w));

	if (w == NULL)
		return KV_NO_MEMORY;
	memset(w, 0, sizeof(*w));
	w->env = env;
	w->bytes = FIRST_BYTES;
	w->max_bytes = max_bytes < LAST_BYTES ? max_bytes : LAST_BYTES;
	w->min_stamp = UINT32_MAX;
	w->mem = env->ops->alloc(env, w->bytes);
	if (w->mem == NULL)
	{
		env->ops->free(env, w);
		return KV_NO_MEMORY;
	}
	kv_mem_init(w->mem, w->bytes, 1);
	*ws = w;
	return KV_OK;
}

void
kv_write_set_free(KvWriteSet *ws)
{
	KvEnv *env;

	if (ws == NULL)
		return;
	env = ws->env;
	env->ops->free(env, ws->kill);
	env->ops->free(env, ws->mem);
	env->ops->free(env, ws);
}

/* Room for one entry, its batch, and a kill: a kill cannot fail. */
static KvStatus
make_room(KvWriteSet *ws, size_t payload, KvError *err)
{
	/* twice: the entry may need a second batch */
	size_t need = kv_mem_bound(1, payload) + kv_mem_bound(0, 0);
	size_t bytes = ws->bytes;
	void *p;

	if (ws->kills + 1 >= ws->kill_room)
	{
		size_t room = ws->kill_room ? 2 * ws->kill_room : 4;

		p = ws->env->ops->realloc(ws->env, ws->kill, room * sizeof(Kill));
		if (p == NULL)
			return kv_fail(err, KV_NO_MEMORY,
						   "no memory for the transaction's writes");
		ws->kill = p;
		ws->kill_room = room;
	}
	if (kv_mem_free(ws->mem) >= need)
		return KV_OK;
	while (bytes - ws->bytes + kv_mem_free(ws->mem) < need)
	{
		if (bytes >= ws->max_bytes)
			return kv_fail(err, KV_FULL,
						   "the transaction's writes need more than %zu bytes",
						   ws->max_bytes);
		bytes = bytes < ws->max_bytes / 2 ? 2 * bytes : ws->max_bytes;
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

/* ---- writing ---- */

static KvStatus
open_batch(KvWriteSet *ws, uint32_t stamp)
{
	ws->stamp = stamp;
	return kv_mem_begin_batch(ws->mem, ++ws->csn, stamp, 0, KV_XACT_COMMITTED,
							  &ws->batch);
}

KvStatus
kv_write_set_add(KvWriteSet *ws, uint32_t stamp, const KvEntry *entry,
				 KvError *err)
{
	KvStatus status;

	if (entry->kind == KV_KIND_RANGE_DELETE)
		return kv_fail(err, KV_INVALID,
					   "a transaction's writes hold no range deletes");
	if (entry->key.len > KV_MAX_KEY || entry->value.len > KV_MAX_VALUE)
		return kv_fail(err, KV_TOO_LARGE, "a key or value is too large");
	status = make_room(ws, entry->key.len + entry->value.len, err);
	if (status != KV_OK)
		return status;
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
	while (ws->kills > 0 && ws->kill[ws->kills - 1].from >= from)
		ws->kills--;
	if (ws->csn == 0)
		return;
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

size_t
kv_write_set_bytes(const KvWriteSet *ws)
{
	return kv_mem_used(ws->mem);
}

uint64_t
kv_write_set_entries(const KvWriteSet *ws)
{
	return kv_mem_entries(ws->mem);
}

/* ---- reading ---- */

static bool
is_live(const KvWriteSet *ws, uint64_t csn, uint32_t stamp)
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

static bool
is_visible(const KvWriteSet *ws, const KvEntry *entry, uint32_t limit)
{
	return entry->xid < limit && is_live(ws, entry->csn, (uint32_t) entry->xid);
}

/* What a caller sees: it knows nothing of batches and stamps. */
static void
as_own(KvEntry *entry)
{
	entry->csn = UINT64_MAX;
	entry->xid = 0;
	entry->state = KV_XACT_COMMITTED;
}

typedef struct Lookup
{
	const KvWriteSet *ws;
	uint32_t limit;
	bool found;
	KvEntry *entry;
} Lookup;

static bool
take_visible(void *arg, const KvEntry *entry)
{
	Lookup *l = arg;

	if (!is_visible(l->ws, entry, l->limit))
		return false;
	*l->entry = *entry;
	as_own(l->entry);
	l->found = true;
	return true;
}

bool
kv_write_set_get(KvWriteSet *ws, KvSlice key, uint32_t limit, KvEntry *entry)
{
	Lookup l = {ws, limit, false, entry};

	/* Private memory has one generation and no writer but us. */
	return kv_mem_get(ws->mem, 1, key, take_visible, &l) == KV_OK && l.found;
}

/* ---- iterating ---- */

/* While valid, inner stands on the version that is shown. */
typedef struct SetIter
{
	KvIter it;	/* first */
	KvEnv *env; /* an abort may free ws before it closes us */
	KvWriteSet *ws;
	uint32_t limit;
	KvIter *inner;
	char *key; /* a key that moves of inner must not lose */
	size_t key_room;
} SetIter;

/* The memtable may have been moved since the last move of the iterator. */
static KvIter *
inner_of(SetIter *s)
{
	kv_mem_iter_moved(s->inner, s->ws->mem);
	s->inner->err = s->it.err;
	return s->inner;
}

static void
show(SetIter *s)
{
	s->it.valid = s->inner->valid;
	s->it.status = s->inner->status;
	if (!s->inner->valid)
		return;
	s->it.entry = s->inner->entry;
	as_own(&s->it.entry);
}

/* Copies inner's key. */
static bool
keep_key(SetIter *s, KvSlice *key)
{
	KvSlice from = s->inner->entry.key;
	KvEnv *env = s->env;

	if (from.len > s->key_room)
	{
		env->ops->free(env, s->key);
		s->key_room = 0;
		s->key = env->ops->alloc(env, 2 * from.len);
		if (s->key == NULL)
		{
			s->it.valid = false;
			s->it.status = kv_fail(s->it.err, KV_NO_MEMORY,
								   "no memory for a key");
			return false;
		}
		s->key_room = 2 * from.len;
	}
	memcpy(s->key, from.data, from.len);
	*key = kv_slice(s->key, from.len);
	return true;
}

/* From where inner stands to the next visible version. */
static void
settle_forward(SetIter *s)
{
	while (s->inner->valid && !is_visible(s->ws, &s->inner->entry, s->limit))
		s->inner->ops->next(s->inner);
	show(s);
}

/* From inner, on the oldest version of a key, back to a visible key. */
static void
settle_backward(SetIter *s)
{
	KvIter *inner = s->inner;

	while (inner->valid)
	{
		KvSlice key;

		if (!keep_key(s, &key))
			return;
		inner->ops->seek(inner, key, UINT64_MAX);
		while (inner->valid && kv_slice_equal(inner->entry.key, key) &&
			   !is_visible(s->ws, &inner->entry, s->limit))
			inner->ops->next(inner);
		if (inner->status != KV_OK ||
			(inner->valid && kv_slice_equal(inner->entry.key, key)))
			break;
		inner->ops->seek_before(inner, key);
	}
	show(s);
}

static void
set_seek(KvIter *it, KvSlice key, uint64_t csn)
{
	SetIter *s = (SetIter *) it;
	KvIter *inner = inner_of(s);

	/* What is shown has csn UINT64_MAX; real ones begin with 1. */
	inner->ops->seek(inner, key, csn == UINT64_MAX ? csn : 0);
	settle_forward(s);
}

static void
set_seek_before(KvIter *it, KvSlice key)
{
	SetIter *s = (SetIter *) it;
	KvIter *inner = inner_of(s);

	inner->ops->seek_before(inner, key);
	settle_backward(s);
}

static void
set_first(KvIter *it)
{
	SetIter *s = (SetIter *) it;
	KvIter *inner = inner_of(s);

	inner->ops->first(inner);
	settle_forward(s);
}

static void
set_last(KvIter *it)
{
	SetIter *s = (SetIter *) it;
	KvIter *inner = inner_of(s);

	inner->ops->last(inner);
	settle_backward(s);
}

static void
set_next(KvIter *it)
{
	SetIter *s = (SetIter *) it;
	KvIter *inner = inner_of(s);
	KvSlice key;

	if (!keep_key(s, &key))
		return;
	inner->ops->next(inner);
	/* Older versions of the same key: not one by one. */
	if (inner->valid && kv_slice_equal(inner->entry.key, key))
		inner->ops->seek(inner, key, 0);
	settle_forward(s);
}

static void
set_prev(KvIter *it)
{
	SetIter *s = (SetIter *) it;
	KvIter *inner = inner_of(s);
	KvSlice key;

	if (!keep_key(s, &key))
		return;
	inner->ops->seek_before(inner, key);
	settle_backward(s);
}

static void
set_close(KvIter *it)
{
	SetIter *s = (SetIter *) it;
	KvEnv *env = s->env;

	s->inner->ops->close(s->inner);
	env->ops->free(env, s->key);
	env->ops->free(env, s);
}

static const KvIterOps set_iter_ops = {
	.seek = set_seek,
	.seek_before = set_seek_before,
	.first = set_first,
	.last = set_last,
	.next = set_next,
	.prev = set_prev,
	.close = set_close,
};

KvStatus
kv_write_set_iter(KvWriteSet *ws, uint32_t limit, KvIter **it)
{
	SetIter *s = ws->env->ops->alloc(ws->env, sizeof(*s));
	KvStatus status;

	if (s == NULL)
		return KV_NO_MEMORY;
	memset(s, 0, sizeof(*s));
	status = kv_mem_iter(ws->env, ws->mem, 1, &s->inner);
	if (status != KV_OK)
	{
		ws->env->ops->free(ws->env, s);
		return status;
	}
	s->it.ops = &set_iter_ops;
	s->env = ws->env;
	s->ws = ws;
	s->limit = limit;
	*it = &s->it;
	return KV_OK;
}
