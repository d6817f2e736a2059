/* SPDX-License-Identifier: PostgreSQL */
/*
 * range_deletes.c - lists of range deletes, and what a list covers.
 *
 * Private memory only; see range_deletes.h.  Runs in every process that
 * scans, in the worker (flush) and in the compactor.
 */
#include "engine/lsm/range_deletes.h"

/* ---- lists */

bool
kv_range_list_add(KvEnv *env, KvRangeList *list, const KvEntry *e)
{
	KvEntry *item;
	char *bytes;

	KV_ASSERT(e->kind == KV_KIND_RANGE_DELETE);
	if (list->n == list->cap)
	{
		uint32_t cap = list->cap > 0 ? 2 * list->cap : 8;
		KvEntry *items = env->ops->realloc(env, list->items,
										   cap * sizeof(KvEntry));

		if (items == NULL)
			return false;
		list->items = items;
		list->cap = cap;
	}
	bytes = env->ops->alloc(env, e->key.len + e->value.len);
	if (bytes == NULL)
		return false;
	memcpy(bytes, e->key.data, e->key.len);
	memcpy(bytes + e->key.len, e->value.data, e->value.len);
	item = &list->items[list->n++];
	*item = *e;
	item->key = kv_slice(bytes, e->key.len);
	item->value = kv_slice(bytes + e->key.len, e->value.len);
	return true;
}

static void
free_item(KvEnv *env, const KvEntry *item)
{
	env->ops->free(env, (void *) (uintptr_t) item->key.data);
}

void
kv_range_list_free(KvEnv *env, KvRangeList *list)
{
	uint32_t i;

	for (i = 0; i < list->n; i++)
		free_item(env, &list->items[i]);
	if (list->items != NULL)
		env->ops->free(env, list->items);
	memset(list, 0, sizeof(*list));
}

/* ---- sorting in place, without memory */

typedef int (*Compare)(const void *a, const void *b);

static void
swap(char *a, char *b, size_t size)
{
	char t[sizeof(KvEntry)];

	KV_ASSERT(size <= sizeof(t));
	memcpy(t, a, size);
	memcpy(a, b, size);
	memcpy(b, t, size);
}

static void
sift(char *base, size_t at, size_t n, size_t size, Compare cmp)
{
	size_t child;

	for (; (child = 2 * at + 1) < n; at = child)
	{
		if (child + 1 < n &&
			cmp(base + child * size, base + (child + 1) * size) < 0)
			child++;
		if (cmp(base + at * size, base + child * size) >= 0)
			return;
		swap(base + at * size, base + child * size, size);
	}
}

static void
heap_sort(void *items, size_t n, size_t size, Compare cmp)
{
	char *base = items;
	size_t i;

	for (i = n / 2; i > 0; i--)
		sift(base, i - 1, n, size, cmp);
	for (i = n; i > 1; i--)
	{
		swap(base, base + (i - 1) * size, size);
		sift(base, 0, i - 1, size, cmp);
	}
}

/* lower, csn descending, upper descending, untagged first */
static int
by_lower(const void *a, const void *b)
{
	const KvEntry *x = a, *y = b;
	int c = kv_entry_compare(x->key, x->csn, y->key, y->csn);

	if (c == 0)
		c = kv_slice_compare(y->value, x->value);
	return c != 0 ? c : (x->xid > y->xid) - (x->xid < y->xid);
}

static int
by_csn(const void *a, const void *b)
{
	const KvEntry *x = a, *y = b;

	return (x->csn < y->csn) - (x->csn > y->csn);
}

static int
by_key(const void *a, const void *b)
{
	return kv_slice_compare(*(const KvSlice *) a, *(const KvSlice *) b);
}

void
kv_range_list_sort(KvEnv *env, KvRangeList *list)
{
	uint32_t i, n = 0;

	heap_sort(list->items, list->n, sizeof(KvEntry), by_lower);
	for (i = 0; i < list->n; i++)
	{
		const KvEntry *e = &list->items[i];

		if (n > 0 &&
			kv_entry_compare(list->items[n - 1].key, list->items[n - 1].csn,
							 e->key, e->csn) == 0)
			free_item(env, e);
		else
			list->items[n++] = *e;
	}
	list->n = n;
}

/* ---- covers */

static uint32_t
find_bound(const KvSlice *bounds, uint32_t n, KvSlice key)
{
	uint32_t low = 0, high = n;

	/* the first bound that is after key */
	while (low < high)
	{
		uint32_t mid = low + (high - low) / 2;

		if (kv_slice_compare(bounds[mid], key) <= 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

/* The newest first, so a fragment is given its csn once: next leads past it. */
static void
fill(const KvRangeList *list, KvRangeCover *cover, uint32_t *next)
{
	uint32_t i, f;

	for (f = 0; f <= cover->n; f++)
	{
		next[f] = f;
		if (f < cover->n)
			cover->csn[f] = 0;
	}
	for (i = 0; i < list->n; i++)
	{
		const KvEntry *e = &list->items[i];
		uint32_t end = find_bound(cover->bounds, cover->n + 1, e->value) - 1;

		f = find_bound(cover->bounds, cover->n + 1, e->key) - 1;
		while (f < end)
		{
			if (next[f] != f)
			{
				/* halve the way for those who come after */
				next[f] = next[next[f]];
				f = next[f];
				continue;
			}
			cover->csn[f] = e->csn;
			next[f] = f + 1;
			f++;
		}
	}
}

KvStatus
kv_range_cover_build(KvEnv *env, KvRangeList *list, KvRangeCover *cover,
					 KvError *err)
{
	uint32_t i, n = 0;
	uint32_t *next;

	memset(cover, 0, sizeof(*cover));
	if (list->n == 0)
		return KV_OK;
	heap_sort(list->items, list->n, sizeof(KvEntry), by_csn);
	cover->bounds = env->ops->alloc(env, 2 * list->n * sizeof(KvSlice));
	cover->csn = env->ops->alloc(env, 2 * list->n * sizeof(uint64_t));
	next = env->ops->alloc(env, (2 * list->n + 1) * sizeof(uint32_t));
	if (cover->bounds == NULL || cover->csn == NULL || next == NULL)
	{
		if (next != NULL)
			env->ops->free(env, next);
		kv_range_cover_free(env, cover);
		return kv_fail(err, KV_NO_MEMORY, "out of memory for range deletes");
	}
	for (i = 0; i < list->n; i++)
	{
		cover->bounds[n++] = list->items[i].key;
		cover->bounds[n++] = list->items[i].value;
	}
	heap_sort(cover->bounds, n, sizeof(KvSlice), by_key);
	for (i = 1, n = 1; i < 2 * list->n; i++)
		if (!kv_slice_equal(cover->bounds[i], cover->bounds[n - 1]))
			cover->bounds[n++] = cover->bounds[i];
	KV_ASSERT(n >= 2);
	cover->n = n - 1;
	fill(list, cover, next);
	env->ops->free(env, next);
	return KV_OK;
}

void
kv_range_cover_free(KvEnv *env, KvRangeCover *cover)
{
	if (cover->bounds != NULL)
		env->ops->free(env, cover->bounds);
	if (cover->csn != NULL)
		env->ops->free(env, cover->csn);
	memset(cover, 0, sizeof(*cover));
}

/* Is key in fragment at (n: behind the last)? */
static bool
is_in(const KvRangeCover *cover, uint32_t at, KvSlice key)
{
	return kv_slice_compare(cover->bounds[at], key) <= 0 &&
		   (at == cover->n || kv_slice_compare(key, cover->bounds[at + 1]) < 0);
}

uint64_t
kv_range_cover_csn(KvRangeCover *cover, KvSlice key)
{
	uint32_t at = cover->at;

	if (cover->n == 0)
		return 0;
	if (!is_in(cover, at, key))
	{
		at = find_bound(cover->bounds, cover->n + 1, key);
		if (at == 0)
			return 0;
		cover->at = --at;
	}
	return at < cover->n ? cover->csn[at] : 0;
}

/* ---- sources */

typedef struct Collect
{
	KvEnv *env;
	KvRangeList *list;
	bool no_memory;
} Collect;

static bool
collect(void *arg, const KvEntry *e)
{
	Collect *c = arg;

	c->no_memory = !kv_range_list_add(c->env, c->list, e);
	return c->no_memory;
}

KvStatus
kv_range_list_add_mem(KvDb *db, KvRangeList *list, const KvVersionMem *mem,
					  KvError *err)
{
	const KvMem *m = kv_mem_at(db, mem->slot);
	Collect c = {db->env, list, false};
	KvStatus status;

	if (!kv_mem_has_range_deletes(m))
		return kv_mem_generation(m) == mem->generation ? KV_OK : KV_RETRY;
	status = kv_mem_range_deletes(db->env, m, mem->generation, collect, &c);
	if (status == KV_NO_MEMORY || c.no_memory)
		return kv_fail(err, KV_NO_MEMORY, "out of memory for range deletes");
	if (status == KV_CORRUPT)
		return kv_corrupt(err, 0, 0, "a range delete in memory is damaged");
	return status;
}

KvStatus
kv_range_list_add_file(KvDb *db, KvRangeList *list, uint32_t slot, KvError *err)
{
	const KvFileMeta *meta = &kv_file_at(db, slot)->meta;
	const KvEntry *items;
	uint32_t i, n;
	KvSst *sst;
	KvStatus status;

	if (meta->range_deletes == 0)
		return KV_OK;
	status = kv_table_open(db, slot, &sst, err);
	if (status != KV_OK)
		return status;
	items = kv_sst_range_deletes(sst, &n);
	for (i = 0; i < n; i++)
	{
		KvEntry e = items[i];

		if (e.xid != 0)
			e.state = (uint8_t) kv_known_state(db, &e, kv_file_source(meta));
		if (!kv_range_list_add(db->env, list, &e))
			return kv_fail(err, KV_NO_MEMORY,
						   "out of memory for range deletes");
	}
	return KV_OK;
}
