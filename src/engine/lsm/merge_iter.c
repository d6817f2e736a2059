/* SPDX-License-Identifier: PostgreSQL */
/*
 * merge_iter.c - many sorted sources as one, forward and backward.
 *
 * A binary heap of children.  The first 16 bytes of each child's key are kept
 * beside it as two numbers, which settles nearly every comparison.  The
 * better of the root's two children is remembered, so that a child that stays
 * on top costs one comparison a move.
 *
 * Children may stand at bounds (merge_iter.h): one that reaches the top is
 * moved once more, which makes it real.  This file knows nothing of
 * visibility; it is used by scans and by compaction, in any process.
 */
#include "engine/lsm/merge_iter.h"

#include "engine/base/check.h"
#include "engine/base/coding.h"

typedef struct MergeChild
{
	uint64_t hi, lo; /* bytes 0-7 and 8-15 of the key, padded with zeros */
	KvIter *it;
} MergeChild;

typedef struct KvMerge
{
	KvIter base;
	KvEnv *env;
	bool forward;
	uint32_t n;		 /* children */
	uint32_t n_heap; /* those that stand at something */
	uint32_t second; /* the better of heap[1] and heap[2]; 0: not known */
	KvIter **children;
	MergeChild heap[];
} KvMerge;

static bool
is_bound(const KvEntry *e)
{
	return e->kind == KV_KIND_BOUND || e->kind == KV_KIND_BOUND_OPEN;
}

static void
load_words(MergeChild *c)
{
	c->hi = kv_key_word(c->it->entry.key, 0);
	c->lo = kv_key_word(c->it->entry.key, 8);
}

/* An open bound is larger than every key that starts with it. */
static int
compare_open(const KvEntry *a, const KvEntry *b)
{
	bool a_open = a->kind == KV_KIND_BOUND_OPEN;
	bool b_open = b->kind == KV_KIND_BOUND_OPEN;

	if (a_open && b->key.len > a->key.len && kv_slice_has_prefix(b->key, a->key))
		return 1;
	if (b_open && a->key.len > b->key.len && kv_slice_has_prefix(a->key, b->key))
		return -1;
	if (a_open != b_open && kv_slice_equal(a->key, b->key))
		return a_open ? 1 : -1;
	return kv_entry_compare(a->key, a->csn, b->key, b->csn);
}

/* true: a comes before b in the direction of the merge */
static bool
before(const KvMerge *m, const MergeChild *a, const MergeChild *b)
{
	const KvEntry *x = &a->it->entry;
	const KvEntry *y = &b->it->entry;
	int c;

	if (x->kind == KV_KIND_BOUND_OPEN || y->kind == KV_KIND_BOUND_OPEN)
		c = compare_open(x, y);
	else if (a->hi != b->hi)
		c = a->hi < b->hi ? -1 : 1;
	else if (a->lo != b->lo)
		c = a->lo < b->lo ? -1 : 1;
	else
		c = kv_entry_compare(x->key, x->csn, y->key, y->csn);
	return m->forward ? c < 0 : c > 0;
}

static void
sift_down(KvMerge *m, uint32_t i)
{
	MergeChild moving = m->heap[i];

	for (;;)
	{
		uint32_t child = 2 * i + 1;

		if (child >= m->n_heap)
			break;
		if (child + 1 < m->n_heap &&
			before(m, &m->heap[child + 1], &m->heap[child]))
			child++;
		if (!before(m, &m->heap[child], &moving))
			break;
		m->heap[i] = m->heap[child];
		i = child;
	}
	m->heap[i] = moving;
	m->second = 0;
}

static void
merge_fail(KvMerge *m, KvStatus status)
{
	m->base.valid = false;
	m->base.status = status;
	m->n_heap = 0;
}

/* The top child has moved: restore the order.  false: the merge has failed. */
static bool
top_moved(KvMerge *m)
{
	KvIter *top = m->heap[0].it;

	if (!top->valid)
	{
		if (top->status != KV_OK)
		{
			merge_fail(m, top->status);
			return false;
		}
		m->heap[0] = m->heap[--m->n_heap];
		if (m->n_heap > 0)
			sift_down(m, 0);
		return true;
	}
	load_words(&m->heap[0]);
	if (m->n_heap == 1)
		return true;
	if (m->second == 0)
		m->second = m->n_heap > 2 && before(m, &m->heap[2], &m->heap[1]) ? 2
																		 : 1;
	if (before(m, &m->heap[m->second], &m->heap[0]))
		sift_down(m, 0);
	return true;
}

static void
move_top(KvMerge *m)
{
	KvIter *top = m->heap[0].it;

	KV_ASSERT(m->n_heap > 0 && top->valid);
	top->err = m->base.err;
	if (m->forward)
		top->ops->next(top);
	else
		top->ops->prev(top);
}

/* Shows the top, after making it real. */
static void
show_top(KvMerge *m)
{
	while (m->n_heap > 0)
	{
		if (!is_bound(&m->heap[0].it->entry))
		{
			m->base.entry = m->heap[0].it->entry;
			m->base.valid = true;
			m->base.status = KV_OK;
			return;
		}
		move_top(m);
		if (!top_moved(m))
			return;
	}
	m->base.valid = false;
	m->base.status = KV_OK;
}

/* Every child was positioned anew. */
static void
build_heap(KvMerge *m, bool forward)
{
	uint32_t i;

	m->forward = forward;
	m->n_heap = 0;
	m->second = 0;
	for (i = 0; i < m->n; i++)
	{
		KvIter *c = m->children[i];

		if (c->valid)
		{
			m->heap[m->n_heap].it = c;
			load_words(&m->heap[m->n_heap]);
			m->n_heap++;
		}
		else if (c->status != KV_OK)
		{
			merge_fail(m, c->status);
			return;
		}
	}
	for (i = m->n_heap / 2; i > 0; i--)
		sift_down(m, i - 1);
	show_top(m);
}

static void
merge_seek(KvIter *it, KvSlice key, uint64_t csn)
{
	KvMerge *m = (KvMerge *) it;
	uint32_t i;

	for (i = 0; i < m->n; i++)
	{
		m->children[i]->err = it->err;
		m->children[i]->ops->seek(m->children[i], key, csn);
	}
	build_heap(m, true);
}

static void
merge_seek_before(KvIter *it, KvSlice key)
{
	KvMerge *m = (KvMerge *) it;
	uint32_t i;

	for (i = 0; i < m->n; i++)
	{
		m->children[i]->err = it->err;
		m->children[i]->ops->seek_before(m->children[i], key);
	}
	build_heap(m, false);
}

static void
merge_first(KvIter *it)
{
	KvMerge *m = (KvMerge *) it;
	uint32_t i;

	for (i = 0; i < m->n; i++)
	{
		m->children[i]->err = it->err;
		m->children[i]->ops->first(m->children[i]);
	}
	build_heap(m, true);
}

static void
merge_last(KvIter *it)
{
	KvMerge *m = (KvMerge *) it;
	uint32_t i;

	for (i = 0; i < m->n; i++)
	{
		m->children[i]->err = it->err;
		m->children[i]->ops->last(m->children[i]);
	}
	build_heap(m, false);
}

/*
 * Everyone but the child that is shown is put next to the shown entry on the
 * other side; that child itself moves last, because it owns the entry.
 */
static void
turn(KvMerge *m, bool forward)
{
	KvIter *shown = m->heap[0].it;
	KvEntry at = m->base.entry;
	uint32_t i;

	KV_ASSERT(m->n_heap > 0 && !is_bound(&shown->entry));
	for (i = 0; i < m->n; i++)
	{
		KvIter *c = m->children[i];

		if (c == shown)
			continue;
		c->err = m->base.err;
		c->ops->seek(c, at.key, at.csn);
		if (forward || (!c->valid && c->status != KV_OK))
			continue;
		if (c->valid)
			c->ops->prev(c);
		else
			c->ops->last(c);
	}
	shown->err = m->base.err;
	if (forward)
		shown->ops->next(shown);
	else
		shown->ops->prev(shown);
	build_heap(m, forward);
}

static void
merge_next(KvIter *it)
{
	KvMerge *m = (KvMerge *) it;

	KV_ASSERT(it->valid);
	if (!m->forward)
	{
		turn(m, true);
		return;
	}
	move_top(m);
	if (top_moved(m))
		show_top(m);
}

static void
merge_prev(KvIter *it)
{
	KvMerge *m = (KvMerge *) it;

	KV_ASSERT(it->valid);
	if (m->forward)
	{
		turn(m, false);
		return;
	}
	move_top(m);
	if (top_moved(m))
		show_top(m);
}

/* One child is left: those that have ended do not come back. */
static KvIter *
merge_leaf(KvIter *it, KvSlice bound, bool *inside)
{
	KvMerge *m = (KvMerge *) it;
	KvIter *only = m->n_heap == 1 ? m->heap[0].it : NULL;

	if (only == NULL || only->ops->leaf == NULL || is_bound(&only->entry))
		return NULL;
	return only->ops->leaf(only, bound, inside);
}

static void
merge_leaf_moved(KvIter *it)
{
	KvMerge *m = (KvMerge *) it;
	KvIter *only = m->heap[0].it;

	KV_ASSERT(m->n_heap == 1);
	only->err = it->err;
	only->ops->leaf_moved(only);
	if (top_moved(m))
		show_top(m);
}

static void
merge_close(KvIter *it)
{
	KvMerge *m = (KvMerge *) it;
	uint32_t i;

	for (i = 0; i < m->n; i++)
		m->children[i]->ops->close(m->children[i]);
	m->env->ops->free(m->env, m);
}

static const KvIterOps merge_ops = {
	.seek = merge_seek,
	.seek_before = merge_seek_before,
	.first = merge_first,
	.last = merge_last,
	.next = merge_next,
	.prev = merge_prev,
	.close = merge_close,
	.leaf = merge_leaf,
	.leaf_moved = merge_leaf_moved,
};

KvStatus
kv_merge_iter(KvEnv *env, KvIter **children, uint32_t n, KvIter **it,
			  KvError *err)
{
	KvMerge *m;

	m = env->ops->alloc(env, sizeof(*m) + n * sizeof(MergeChild) +
								 n * sizeof(KvIter *));
	if (m == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory for a merge");
	memset(m, 0, sizeof(*m));
	m->base.ops = &merge_ops;
	m->base.err = err;
	m->env = env;
	m->forward = true;
	m->n = n;
	m->children = (KvIter **) (m->heap + n);
	if (n > 0)
		memcpy(m->children, children, n * sizeof(KvIter *));
	*it = &m->base;
	return KV_OK;
}

void
kv_merge_forget(KvIter *it, KvIter *child)
{
	KvMerge *m = (KvMerge *) it;
	uint32_t i;

	for (i = 0; i < m->n; i++)
		if (m->children[i] == child)
		{
			m->children[i] = m->children[--m->n];
			break;
		}
	merge_fail(m, KV_OK);
}
