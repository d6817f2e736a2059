/* SPDX-License-Identifier: PostgreSQL */
/*
 * write_set_read.c - what a transaction sees of its own writes.
 *
 * A get looks into the memtable, then into the runs from the youngest on.  An
 * iterator has two sides, the memtable and a merge of all runs.  Each offers
 * its next live key with the newest version that may be seen, and of the two
 * the nearer one is shown; where both have the key, the memtable is newer.
 *
 * The set changes under an open iterator.  A write may put a key between what
 * is shown and what the memtable's side offers next, and a kill may take that
 * away, so after either the side is sought again from the key that is shown:
 * cheap in memory, and in files needed for kills only.  After a spill or a
 * merge both sides are opened anew.  The iterator holds the runs that it
 * reads, which keeps what it shows in place until its next move.
 */
#include "engine/base/file_header.h"
#include "engine/lsm/write_set_internal.h"

/* Older versions of a key are stepped over, but not more than these. */
#define STEP_OVER 8

/* ---- get ---- */

typedef struct Lookup
{
	KvWriteSet *ws;
	uint32_t limit;
	bool copy; /* the slices end with the visit */
	KvStatus status;
	KvEntry *entry;
} Lookup;

static bool
take_visible(void *arg, const KvEntry *entry)
{
	Lookup *l = arg;
	KvWriteSet *ws = l->ws;

	if (!kv_set_is_visible(ws, entry, l->limit))
		return false;
	*l->entry = *entry;
	l->status = KV_OK;
	if (l->copy)
	{
		if (!kv_buffer_set(ws->env, &ws->found, entry->value))
			l->status = KV_NO_MEMORY;
		l->entry->value = kv_slice(ws->found.data, ws->found.len);
	}
	return true;
}

KvStatus
kv_write_set_get(KvWriteSet *ws, KvSlice key, uint32_t limit, KvEntry *entry,
				 KvError *err)
{
	Lookup l = {ws, limit, false, KV_NOT_FOUND, entry};
	bool may_have = kv_set_may_have(ws, key);
	uint64_t hash = ws->runs > 0 && may_have ? kv_key_hash(key) : 0;
	KvStatus status;
	uint32_t i;

	/* Private memory has no writer but us: nothing to try again. */
	if (may_have &&
		kv_mem_get(ws->mem, ws->generation, key, take_visible, &l) != KV_OK)
		return kv_corrupt(err, 0, 0, "the transaction's writes are damaged");
	l.copy = true;
	for (i = may_have ? ws->runs : 0; i > 0 && l.status == KV_NOT_FOUND; i--)
	{
		status = kv_sst_get(ws->run[i - 1]->sst, key, hash, take_visible, &l,
							NULL, err);
		if (status != KV_OK)
			return status;
	}
	if (l.status == KV_NO_MEMORY)
		return kv_fail(err, KV_NO_MEMORY, "no memory for a value");
	if (l.status == KV_NOT_FOUND && kv_set_is_covered(ws, key, 0, limit))
	{
		memset(entry, 0, sizeof(*entry));
		entry->kind = KV_KIND_DELETE;
		l.status = KV_OK;
	}
	if (l.status != KV_OK)
		return l.status;
	entry->key = key;
	entry->xid = 0;
	entry->state = KV_XACT_COMMITTED;
	return KV_OK;
}

/* ---- one side of an iterator ---- */

typedef struct Side
{
	KvIter *inner; /* NULL: there is none */
	bool stale;	   /* inner has to be sought again */
	bool forward;  /* which way it was moved last */
	bool valid;
	KvStatus status;
	/*
	 * What it offers.  Forward inner stands on it; backward inner has gone
	 * past all versions of its key, and these are copies.
	 */
	KvEntry entry;
	KvBuffer key, value;
} Side;

typedef struct SetIter
{
	KvIter it;	/* first */
	KvEnv *env; /* an abort may free ws before it closes us */
	KvWriteSet *ws;
	uint32_t limit;
	Side mem, runs;
	KvRun **held; /* the runs that the side reads */
	uint32_t n_held;
	uint64_t version, changes, kills; /* of the set, at the last move */
	KvBuffer at;					  /* the key that a move starts from */
} SetIter;

#define NO_VERSION UINT64_MAX

static void
side_fails(Side *side, KvStatus status)
{
	side->valid = false;
	side->status = status;
}

/* false: give up, the side has failed */
static bool
may_go_on(SetIter *s, Side *side, uint32_t *steps)
{
	if (++*steps % KV_SET_POLL_EVERY != 0 || !s->env->ops->poll(s->env))
		return true;
	side_fails(side, kv_fail(s->it.err, KV_INTERRUPTED, "interrupted"));
	return false;
}

/* Offers the first visible version from where inner stands. */
static void
settle_forward(SetIter *s, Side *side)
{
	KvIter *inner = side->inner;
	uint32_t steps = 0;

	side->stale = false;
	side->forward = true;
	while (inner->valid && !kv_set_is_visible(s->ws, &inner->entry, s->limit))
	{
		inner->ops->next(inner);
		if (!may_go_on(s, side, &steps))
			return;
	}
	side->valid = inner->valid;
	side->status = inner->status;
	if (inner->valid)
		side->entry = inner->entry;
}

/*
 * Versions come oldest first that way: offers the last visible one of the
 * first key that has one, and leaves inner before that key.
 */
static void
settle_backward(SetIter *s, Side *side)
{
	KvIter *inner = side->inner;
	bool found = false;
	uint32_t steps = 0;

	side->stale = false;
	side->forward = false;
	while (inner->valid && !found)
	{
		bool kept = kv_buffer_set(s->env, &side->key, inner->entry.key);
		KvSlice key = kv_slice(side->key.data, side->key.len);

		while (kept && inner->valid && kv_slice_equal(inner->entry.key, key))
		{
			if (kv_set_is_visible(s->ws, &inner->entry, s->limit))
			{
				kept = kv_buffer_set(s->env, &side->value, inner->entry.value);
				side->entry = inner->entry;
				side->entry.key = key;
				side->entry.value = kv_slice(side->value.data, side->value.len);
				found = true;
			}
			inner->ops->prev(inner);
			if (!may_go_on(s, side, &steps))
				return;
		}
		if (!kept)
		{
			side_fails(side, kv_fail(s->it.err, KV_NO_MEMORY,
									 "no memory for an entry"));
			return;
		}
	}
	if (!inner->valid && inner->status != KV_OK)
		side_fails(side, inner->status);
	else
	{
		side->valid = found;
		side->status = KV_OK;
	}
}

static void
side_seek(SetIter *s, Side *side, KvSlice key, uint64_t csn)
{
	if (side->inner == NULL)
		return;
	side->inner->ops->seek(side->inner, key, csn);
	settle_forward(s, side);
}

static void
side_to_end(SetIter *s, Side *side, bool first)
{
	KvIter *inner = side->inner;

	if (inner == NULL)
		return;
	if (first)
	{
		inner->ops->first(inner);
		settle_forward(s, side);
	}
	else
	{
		inner->ops->last(inner);
		settle_backward(s, side);
	}
}

/* To the first visible key after key, which is what was shown. */
static void
side_next(SetIter *s, Side *side, KvSlice key)
{
	KvIter *inner = side->inner;
	int n;

	if (inner == NULL)
		return;
	if (side->stale || !side->forward)
		inner->ops->seek(inner, key, 0); /* csns begin with 1 */
	else if (!side->valid || kv_slice_compare(side->entry.key, key) > 0)
		return;
	else
	{
		inner->ops->next(inner);
		for (n = 0; inner->valid && kv_slice_equal(inner->entry.key, key); n++)
		{
			if (n < STEP_OVER)
				inner->ops->next(inner);
			else
				inner->ops->seek(inner, key, 0);
		}
	}
	settle_forward(s, side);
}

static void
side_prev(SetIter *s, Side *side, KvSlice key)
{
	if (side->inner == NULL)
		return;
	if (side->stale || side->forward)
		side->inner->ops->seek_before(side->inner, key);
	else if (!side->valid || kv_slice_compare(side->entry.key, key) < 0)
		return;
	settle_backward(s, side);
}

static void
side_close(SetIter *s, Side *side)
{
	if (side->inner != NULL)
		side->inner->ops->close(side->inner);
	side->inner = NULL;
	side->valid = false;
	kv_buffer_free(s->env, &side->key);
	kv_buffer_free(s->env, &side->value);
}

/* ---- both sides ---- */

static void
fail(SetIter *s, KvStatus status)
{
	s->it.valid = false;
	s->it.status = status;
}

static void
close_sources(SetIter *s)
{
	uint32_t i;

	side_close(s, &s->mem);
	side_close(s, &s->runs);
	for (i = 0; i < s->n_held; i++)
		kv_set_release_run(s->env, s->held[i]);
	s->n_held = 0;
	s->env->ops->free(s->env, s->held);
	s->held = NULL;
	s->version = NO_VERSION;
}

static KvStatus
open_sources(SetIter *s)
{
	KvWriteSet *ws = s->ws;
	KvError *err = s->it.err;
	KvStatus status = kv_mem_iter(s->env, ws->mem, ws->generation,
								  &s->mem.inner);

	if (status != KV_OK)
		return kv_fail(err, status, "no memory for an iterator");
	s->mem.stale = s->runs.stale = true;
	if (ws->runs == 0)
		return KV_OK;
	s->held = s->env->ops->alloc(s->env, ws->runs * sizeof(KvRun *));
	if (s->held == NULL)
		return kv_fail(err, KV_NO_MEMORY, "no memory for an iterator");
	while (s->n_held < ws->runs)
	{
		s->held[s->n_held] = ws->run[s->n_held];
		s->held[s->n_held++]->refs++;
	}
	return kv_set_runs_iter(ws, 0, ws->runs, &s->runs.inner, err);
}

/*
 * Before each move: what has happened to the set since the last one.  What is
 * shown may be gone afterwards.  false: failed.
 */
static bool
catch_up(SetIter *s)
{
	KvWriteSet *ws = s->ws;

	if (s->version != ws->version)
	{
		KvStatus status;

		close_sources(s);
		status = open_sources(s);
		if (status != KV_OK)
		{
			close_sources(s);
			fail(s, status);
			return false;
		}
		s->version = ws->version;
	}
	if (s->changes != ws->changes)
		s->mem.stale = true;
	if (s->kills != ws->all_kills)
		s->runs.stale = true;
	s->changes = ws->changes;
	s->kills = ws->all_kills;
	/* the memtable may have been moved */
	kv_mem_iter_moved(s->mem.inner, ws->mem);
	s->mem.inner->err = s->it.err;
	if (s->runs.inner != NULL)
		s->runs.inner->err = s->it.err;
	return true;
}

/* Copies the key that a move starts from; false: failed. */
static bool
keep_key(SetIter *s, KvSlice *key)
{
	if (!kv_buffer_set(s->env, &s->at, *key))
	{
		fail(s, kv_fail(s->it.err, KV_NO_MEMORY, "no memory for a key"));
		return false;
	}
	*key = kv_slice(s->at.data, s->at.len);
	return true;
}

/* The nearer of what the sides offer; a caller knows no batches or stamps. */
static void
show(SetIter *s, bool forward)
{
	const Side *side = &s->mem;

	if (s->mem.status != KV_OK)
	{
		fail(s, s->mem.status);
		return;
	}
	if (s->runs.inner != NULL)
	{
		if (s->runs.status != KV_OK)
		{
			fail(s, s->runs.status);
			return;
		}
		if (!s->mem.valid)
			side = &s->runs;
		else if (s->runs.valid)
		{
			int c = kv_slice_compare(s->runs.entry.key, s->mem.entry.key);

			if (forward ? c < 0 : c > 0)
				side = &s->runs;
		}
	}
	s->it.valid = side->valid;
	s->it.status = KV_OK;
	if (!side->valid)
		return;
	s->it.entry = side->entry;
	s->it.entry.csn = UINT64_MAX;
	s->it.entry.xid = 0;
	s->it.entry.state = KV_XACT_COMMITTED;
}

static void
set_seek(KvIter *it, KvSlice key, uint64_t csn)
{
	SetIter *s = (SetIter *) it;

	if (!keep_key(s, &key) || !catch_up(s))
		return;
	/* What is shown has csn UINT64_MAX; real ones begin with 1. */
	if (csn != UINT64_MAX)
		csn = 0;
	side_seek(s, &s->mem, key, csn);
	side_seek(s, &s->runs, key, csn);
	show(s, true);
}

static void
set_seek_before(KvIter *it, KvSlice key)
{
	SetIter *s = (SetIter *) it;

	if (!keep_key(s, &key) || !catch_up(s))
		return;
	s->mem.stale = s->runs.stale = true;
	side_prev(s, &s->mem, key);
	side_prev(s, &s->runs, key);
	show(s, false);
}

static void
set_first(KvIter *it)
{
	SetIter *s = (SetIter *) it;

	if (!catch_up(s))
		return;
	side_to_end(s, &s->mem, true);
	side_to_end(s, &s->runs, true);
	show(s, true);
}

static void
set_last(KvIter *it)
{
	SetIter *s = (SetIter *) it;

	if (!catch_up(s))
		return;
	side_to_end(s, &s->mem, false);
	side_to_end(s, &s->runs, false);
	show(s, false);
}

static void
set_next(KvIter *it)
{
	SetIter *s = (SetIter *) it;
	KvSlice key = it->entry.key;

	KV_ASSERT(it->valid);
	if (!keep_key(s, &key) || !catch_up(s))
		return;
	side_next(s, &s->mem, key);
	side_next(s, &s->runs, key);
	show(s, true);
}

static void
set_prev(KvIter *it)
{
	SetIter *s = (SetIter *) it;
	KvSlice key = it->entry.key;

	KV_ASSERT(it->valid);
	if (!keep_key(s, &key) || !catch_up(s))
		return;
	side_prev(s, &s->mem, key);
	side_prev(s, &s->runs, key);
	show(s, false);
}

static void
set_close(KvIter *it)
{
	SetIter *s = (SetIter *) it;
	KvEnv *env = s->env;

	close_sources(s);
	kv_buffer_free(env, &s->at);
	env->ops->free(env, s);
}

static void
set_range_deletes(KvIter *it, KvVersionFn fn, void *arg)
{
	SetIter *s = (SetIter *) it;

	uint32_t at = 0;
	KvEntry e;

	while (kv_write_set_next_range(s->ws, s->limit, &at, &e))
		if (fn(arg, &e))
			return;
}

static const KvIterOps set_iter_ops = {
	.seek = set_seek,
	.seek_before = set_seek_before,
	.first = set_first,
	.last = set_last,
	.next = set_next,
	.prev = set_prev,
	.close = set_close,
	.range_deletes = set_range_deletes,
};

KvStatus
kv_write_set_iter(KvWriteSet *ws, uint32_t limit, KvIter **it)
{
	SetIter *s = ws->env->ops->alloc(ws->env, sizeof(*s));

	if (s == NULL)
		return KV_NO_MEMORY;
	memset(s, 0, sizeof(*s));
	s->it.ops = &set_iter_ops;
	s->env = ws->env;
	s->ws = ws;
	s->limit = limit;
	s->version = NO_VERSION;
	*it = &s->it;
	return KV_OK;
}
