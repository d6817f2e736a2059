/* SPDX-License-Identifier: PostgreSQL */
/*
 * merge_iter_test.c - the merging iterator against a sorted array.
 *
 * The children are arrays that stand at bounds instead of entries as often as
 * they may, the way unopened files do.
 */
#include "harness.h"

#include <string.h>

#include "engine/lsm/merge_iter.h"

#define MAX_ENTRIES	 400
#define MAX_CHILDREN 9
#define MAX_KEY		 6

typedef struct Item
{
	char key[MAX_KEY];
	size_t len;
	uint64_t csn;
} Item;

typedef enum Standing
{
	REAL,
	LOW,
	HIGH
} Standing;

typedef struct ArrayIter
{
	KvIter base;
	Item items[MAX_ENTRIES];
	int n, at;
	Standing standing;
	bool lazy;
	int moves_until_retry; /* 0: never */
	bool *closed;
} ArrayIter;

static KvSlice
item_key(const Item *item)
{
	return kv_slice(item->key, item->len);
}

static int
compare_items(const void *a, const void *b)
{
	const Item *x = a, *y = b;

	return kv_entry_compare(item_key(x), x->csn, item_key(y), y->csn);
}

/* Shows position at, perhaps by a bound on the side that it is reached from. */
static void
stand(ArrayIter *a, int at, Standing standing)
{
	KvEntry *e = &a->base.entry;
	const Item *item = &a->items[at < 0 ? 0 : at];

	a->at = at;
	a->base.status = KV_OK;
	a->base.valid = at >= 0 && at < a->n;
	if (a->moves_until_retry > 0 && --a->moves_until_retry == 0)
	{
		a->base.valid = false;
		a->base.status = KV_RETRY;
	}
	if (!a->base.valid)
		return;
	memset(e, 0, sizeof(*e));
	e->key = item_key(item);
	e->csn = item->csn;
	e->kind = KV_KIND_PUT;
	if (!a->lazy || kv_rand_below(2) == 0)
		standing = REAL;
	a->standing = standing;
	if (standing == REAL)
		return;
	e->kind = KV_KIND_BOUND;
	e->csn = standing == LOW ? UINT64_MAX : 0;
	if (kv_rand_below(2) == 0)
		return;
	e->key.len = kv_rand_below(item->len + 1);
	if (standing == HIGH)
		e->kind = KV_KIND_BOUND_OPEN;
}

/* From a bound to its entry; must not become a bound again. */
static void
resolve(ArrayIter *a)
{
	bool lazy = a->lazy;

	a->lazy = false;
	stand(a, a->at, REAL);
	a->lazy = lazy;
}

static void
array_seek(KvIter *it, KvSlice key, uint64_t csn)
{
	ArrayIter *a = (ArrayIter *) it;
	int i = 0;

	while (i < a->n && kv_entry_compare(item_key(&a->items[i]),
										a->items[i].csn, key, csn) < 0)
		i++;
	stand(a, i, LOW);
	/* a bound is shown only if it is not before the target itself */
	if (it->valid && a->standing == LOW &&
		kv_entry_compare(it->entry.key, it->entry.csn, key, csn) < 0)
		resolve(a);
}

static void
array_seek_before(KvIter *it, KvSlice key)
{
	ArrayIter *a = (ArrayIter *) it;
	int i = a->n - 1;

	while (i >= 0 && kv_slice_compare(item_key(&a->items[i]), key) >= 0)
		i--;
	stand(a, i, HIGH);
}

static void
array_first(KvIter *it)
{
	stand((ArrayIter *) it, 0, LOW);
}

static void
array_last(KvIter *it)
{
	ArrayIter *a = (ArrayIter *) it;

	stand(a, a->n - 1, HIGH);
}

static void
array_next(KvIter *it)
{
	ArrayIter *a = (ArrayIter *) it;

	KV_REQUIRE(it->valid);
	if (a->standing == LOW)
		resolve(a);
	else
		stand(a, a->at + 1, LOW);
}

static void
array_prev(KvIter *it)
{
	ArrayIter *a = (ArrayIter *) it;

	KV_REQUIRE(it->valid);
	if (a->standing == HIGH)
		resolve(a);
	else
		stand(a, a->at - 1, HIGH);
}

static void
array_close(KvIter *it)
{
	*((ArrayIter *) it)->closed = true;
	free(it);
}

static const KvIterOps array_ops = {
	.seek = array_seek,
	.seek_before = array_seek_before,
	.first = array_first,
	.last = array_last,
	.next = array_next,
	.prev = array_prev,
	.close = array_close,
};

typedef struct Fixture
{
	Item all[MAX_ENTRIES * MAX_CHILDREN];
	int n;
	ArrayIter *children[MAX_CHILDREN];
	bool closed[MAX_CHILDREN];
	uint32_t n_children;
	KvIter *merge;
} Fixture;

/* Few letters and short keys: prefixes of one another, many versions. */
static Item
random_item(uint64_t csn)
{
	Item item = {{0}, 0, csn};
	size_t i;

	item.len = 1 + kv_rand_below(MAX_KEY - 1);
	for (i = 0; i < item.len; i++)
		item.key[i] = (char) (kv_rand_below(4) * 85);
	return item;
}

static void
setup(Fixture *f, uint32_t n_children, int n, bool lazy)
{
	KvIter *its[MAX_CHILDREN];
	KvError err;
	uint32_t i;

	memset(f, 0, sizeof(*f));
	f->n_children = n_children;
	for (i = 0; i < n_children; i++)
	{
		f->children[i] = calloc(1, sizeof(ArrayIter));
		f->children[i]->base.ops = &array_ops;
		f->children[i]->lazy = lazy;
		f->children[i]->closed = &f->closed[i];
		its[i] = &f->children[i]->base;
	}
	for (; f->n < n && n_children > 0; f->n++)
	{
		ArrayIter *a = f->children[kv_rand_below(n_children)];

		if (a->n == MAX_ENTRIES)
			break;
		f->all[f->n] = random_item((uint64_t) f->n + 1);
		a->items[a->n++] = f->all[f->n];
	}
	qsort(f->all, (size_t) f->n, sizeof(Item), compare_items);
	for (i = 0; i < n_children; i++)
		qsort(f->children[i]->items, (size_t) f->children[i]->n, sizeof(Item),
			  compare_items);
	KV_REQUIRE_OK(kv_merge_iter(kv_test_env(), its, n_children, &f->merge, &err),
				  &err);
}

static void
teardown(Fixture *f)
{
	uint32_t i;

	f->merge->ops->close(f->merge);
	for (i = 0; i < f->n_children; i++)
		KV_CHECK(f->closed[i]);
}

static void
check_at(const Fixture *f, int at)
{
	const KvIter *it = f->merge;

	KV_CHECK_STATUS(it->status, KV_OK);
	KV_CHECK_EQ(it->valid, at >= 0 && at < f->n);
	if (!it->valid || at < 0 || at >= f->n)
		return;
	KV_CHECK_EQ(it->entry.kind, KV_KIND_PUT);
	KV_CHECK_EQ(it->entry.csn, f->all[at].csn);
	KV_CHECK_SLICES(it->entry.key, item_key(&f->all[at]));
}

static void
walk(uint32_t n_children, int n, bool lazy)
{
	Fixture f;
	int i;

	setup(&f, n_children, n, lazy);
	f.merge->ops->first(f.merge);
	for (i = 0; i < f.n && kv_test_failures() == 0; i++)
	{
		check_at(&f, i);
		f.merge->ops->next(f.merge);
	}
	check_at(&f, f.n);
	f.merge->ops->last(f.merge);
	for (i = f.n - 1; i >= 0 && kv_test_failures() == 0; i--)
	{
		check_at(&f, i);
		f.merge->ops->prev(f.merge);
	}
	check_at(&f, -1);
	teardown(&f);
}

KV_TEST(nothing_to_merge)
{
	walk(0, 0, false);
	walk(3, 0, true);
}

KV_TEST(walks_all_sources_both_ways)
{
	walk(1, 50, false);
	walk(2, 50, true);
	walk(MAX_CHILDREN, 300, false);
	walk(MAX_CHILDREN, 300, true);
}

/* Where the model stands after one random move. */
static int
random_move(Fixture *f, int at)
{
	KvIter *it = f->merge;
	Item target = random_item(kv_rand_below((uint64_t) f->n + 2));
	int i;

	switch (kv_rand_below(12))
	{
	case 0:
		it->ops->first(it);
		return 0;
	case 1:
		it->ops->last(it);
		return f->n - 1;
	case 2:
		it->ops->seek(it, item_key(&target), target.csn);
		for (i = 0; i < f->n; i++)
			if (compare_items(&f->all[i], &target) >= 0)
				break;
		return i;
	case 3:
		it->ops->seek_before(it, item_key(&target));
		for (i = f->n - 1; i >= 0; i--)
			if (kv_slice_compare(item_key(&f->all[i]), item_key(&target)) < 0)
				break;
		return i;
	default:
		if (!it->valid)
			return at;
		if (kv_rand_below(2) == 0)
		{
			it->ops->next(it);
			return at + 1;
		}
		it->ops->prev(it);
		return at - 1;
	}
}

KV_TEST(random_moves_with_turns)
{
	int round, move;

	for (round = 0; round < 60; round++)
	{
		Fixture f;
		int at = 0;

		setup(&f, 1 + (uint32_t) kv_rand_below(MAX_CHILDREN),
			  (int) kv_rand_below(200), kv_rand_below(2) == 0);
		f.merge->ops->first(f.merge);
		for (move = 0; move < 500 && kv_test_failures() == 0; move++)
		{
			check_at(&f, at);
			at = random_move(&f, at);
		}
		teardown(&f);
	}
}

KV_TEST(retry_of_a_child_ends_the_merge)
{
	int after;

	for (after = 1; after < 40; after++)
	{
		Fixture f;
		int seen = 0;

		setup(&f, 3, 100, true);
		f.children[1]->moves_until_retry = after;
		for (f.merge->ops->first(f.merge); f.merge->valid && seen < 1000;
			 seen++)
			f.merge->ops->next(f.merge);
		if (f.children[1]->moves_until_retry == 0)
			KV_CHECK_STATUS(f.merge->status, KV_RETRY);
		/* positioned anew, it works again */
		f.children[1]->moves_until_retry = 0;
		f.merge->ops->first(f.merge);
		check_at(&f, 0);
		teardown(&f);
	}
}

KV_TEST(a_forgotten_child_stays_open)
{
	Fixture f;

	setup(&f, 3, 30, false);
	kv_merge_forget(f.merge, &f.children[0]->base);
	f.merge->ops->close(f.merge);
	KV_CHECK(!f.closed[0]);
	KV_CHECK(f.closed[1] && f.closed[2]);
	f.children[0]->base.ops->close(&f.children[0]->base);
}
