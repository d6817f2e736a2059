/* SPDX-License-Identifier: PostgreSQL */
/*
 * write_set_model.c - see write_set_model.h.
 */
#include "write_set_model.h"

#include "harness.h"

#define ITERATORS  3
#define MAX_RANGES 24

/* Every write ever made, in order. */
typedef struct Write
{
	char key[32];
	size_t key_len;
	uint32_t stamp;
	uint32_t number; /* the value starts with it */
	size_t value_len;
	uint8_t kind;
	bool dead;
} Write;

typedef struct Range
{
	char lower[32], upper[32];
	size_t lower_len, upper_len;
	uint32_t stamp;
	size_t after; /* writes before it are hidden */
	bool dead;
} Range;

typedef struct Model
{
	const WriteSetPlan *plan;
	KvWriteSet *ws;
	Write *w;
	size_t n, room;
	Range range[MAX_RANGES];
	int ranges;
	char *value; /* the largest one */
	bool broken; /* the operation at hand may fail */
	KvIter *it[ITERATORS];
	uint32_t limit[ITERATORS];
	WriteSetTally tally;
} Model;

static KvSlice
write_key(const Write *w)
{
	return kv_slice(w->key, w->key_len);
}

/* Does a visible range delete hide write i of key? */
static bool
is_covered(const Model *m, size_t i, KvSlice key, uint32_t limit)
{
	int r;

	for (r = 0; r < m->ranges; r++)
	{
		const Range *g = &m->range[r];

		if (!g->dead && g->stamp < limit && g->after > i &&
			kv_slice_compare(kv_slice(g->lower, g->lower_len), key) <= 0 &&
			kv_slice_compare(key, kv_slice(g->upper, g->upper_len)) < 0)
			return true;
	}
	return false;
}

/* the newest visible write of key; NULL: none, or it is hidden */
static const Write *
model_get(const Model *m, KvSlice key, uint32_t limit)
{
	size_t i;

	for (i = m->n; i-- > 0;)
		if (!m->w[i].dead && m->w[i].stamp < limit &&
			kv_slice_equal(write_key(&m->w[i]), key))
			return is_covered(m, i, key, limit) ? NULL : &m->w[i];
	return NULL;
}

/* the visible key next to key (way 1: above, -1: below, 0: itself or above) */
static const Write *
model_near(const Model *m, KvSlice key, int way, uint32_t limit)
{
	const Write *best = NULL;
	size_t i;

	for (i = 0; i < m->n; i++)
	{
		const Write *w = &m->w[i];
		int c;

		if (w->dead || w->stamp >= limit)
			continue;
		c = kv_slice_compare(write_key(w), key);
		if ((way < 0 ? c >= 0 : c < way) ||
			is_covered(m, i, write_key(w), limit))
			continue;
		if (best == NULL ||
			(kv_slice_compare(write_key(w), write_key(best)) < 0) == (way >= 0))
			best = w;
	}
	return best ? model_get(m, write_key(best), limit) : NULL;
}

static void
model_kill(Model *m, uint32_t from)
{
	size_t i;

	for (i = 0; i < m->n; i++)
		if (m->w[i].stamp >= from)
			m->w[i].dead = true;
	for (i = 0; i < (size_t) m->ranges; i++)
		if (m->range[i].stamp >= from)
			m->range[i].dead = true;
}

static KvSlice
random_key(const Model *m, char *buf)
{
	int len = snprintf(buf, 32, "%c%c%c%ckey%05d", 0, 0, 0, 1,
					   (int) kv_rand_below((uint64_t) m->plan->keys));

	return kv_slice(buf, (size_t) len);
}

/* A failure is what was asked for; counts it. */
static bool
may_fail(Model *m, KvStatus status, const KvError *err)
{
	if (!m->broken)
	{
		KV_CHECK_OK(status, err);
		return false;
	}
	KV_CHECK(status == KV_NO_MEMORY || status == KV_IO_ERROR ||
			 status == KV_DISK_FULL || status == KV_INTERRUPTED);
	m->tally.failures++;
	return true;
}

static void
random_add(Model *m, uint32_t stamp)
{
	const WriteSetPlan *plan = m->plan;
	KvEntry e = {.kind = KV_KIND_PUT};
	uint32_t runs = kv_write_set_runs(m->ws);
	KvStatus status;
	KvError err;
	Write *w;

	if (m->n == m->room)
	{
		m->room = m->room ? 2 * m->room : 64;
		m->w = realloc(m->w, m->room * sizeof(Write));
	}
	w = &m->w[m->n];
	memset(w, 0, sizeof(*w));
	e.key = random_key(m, w->key);
	w->key_len = e.key.len;
	w->stamp = stamp;
	w->number = (uint32_t) m->n;
	w->kind = KV_KIND_PUT;
	memset(m->value, (int) (w->number % 251), plan->value_bytes + 4);
	memcpy(m->value, &w->number, 4);
	e.value = kv_slice(m->value, 4 + kv_rand_below(plan->value_bytes));
	if (kv_rand_below(5) == 0)
	{
		e.kind = w->kind = KV_KIND_DELETE;
		e.value.len = 0;
	}
	else if (plan->huge_bytes > 0 && kv_rand_below(1000) == 0)
		e.value.len = plan->huge_bytes;
	w->value_len = e.value.len;
	kv_error_clear(&err);
	status = kv_write_set_add(m->ws, stamp, &e, &err);
	if (status == KV_OK)
		m->n++;
	else
		(void) may_fail(m, status, &err);
	if (kv_write_set_runs(m->ws) > m->tally.most_runs)
		m->tally.most_runs = kv_write_set_runs(m->ws);
	m->tally.merges += kv_write_set_runs(m->ws) < runs;
}

static void
random_delete_range(Model *m, uint32_t stamp)
{
	Range *g = &m->range[m->ranges];
	KvStatus status;
	KvError err;

	if (m->ranges == MAX_RANGES)
		return;
	memset(g, 0, sizeof(*g));
	g->lower_len = random_key(m, g->lower).len;
	g->upper_len = random_key(m, g->upper).len;
	if (kv_slice_compare(kv_slice(g->lower, g->lower_len),
						 kv_slice(g->upper, g->upper_len)) >= 0)
		return;
	g->stamp = stamp;
	g->after = m->n;
	kv_error_clear(&err);
	status = kv_write_set_delete_range(m->ws, stamp,
									   kv_slice(g->lower, g->lower_len),
									   kv_slice(g->upper, g->upper_len), &err);
	if (status == KV_OK)
		m->ranges++;
	else
		(void) may_fail(m, status, &err);
}

static void
check_entry(const KvEntry *e, const Write *w)
{
	uint32_t number;
	size_t i;

	KV_CHECK_SLICES(e->key, write_key(w));
	KV_CHECK_EQ(e->kind, w->kind);
	KV_CHECK_EQ(e->value.len, w->value_len);
	if (e->value.len != w->value_len || w->value_len == 0)
		return;
	memcpy(&number, e->value.data, 4);
	KV_CHECK_EQ(number, w->number);
	/* a huge value is zeros from somewhere on */
	for (i = 4; i < w->value_len && i < 200; i++)
		if ((unsigned char) e->value.data[i] != w->number % 251)
		{
			KV_CHECK_EQ((unsigned char) e->value.data[i], w->number % 251);
			break;
		}
}

static void
check_get(Model *m, uint32_t limit)
{
	char buf[32];
	KvSlice key = random_key(m, buf);
	const Write *w = model_get(m, key, limit);
	KvEntry e;
	KvError err;
	KvStatus status;

	kv_error_clear(&err);
	status = kv_write_set_get(m->ws, key, limit, &e, &err);
	if (status != KV_OK && status != KV_NOT_FOUND && may_fail(m, status, &err))
		return;
	if (w == NULL && is_covered(m, 0, key, limit))
	{
		KV_CHECK_EQ(status, KV_OK);
		KV_CHECK_EQ(e.kind, KV_KIND_DELETE);
		return;
	}
	KV_CHECK_EQ(status == KV_OK, w != NULL);
	if (status == KV_OK && w != NULL)
		check_entry(&e, w);
}

/* One random move of an iterator that may have been open for long. */
static void
check_move(Model *m, int which)
{
	KvIter *it = m->it[which];
	uint32_t limit = m->limit[which];
	char buf[32];
	char old[32];
	KvSlice key = random_key(m, buf);
	const Write *w;
	KvError err;
	int what = (int) kv_rand_below(it->valid ? 16 : 4);

	kv_error_clear(&err);
	it->err = &err;
	if (what >= 4)
	{
		key = kv_slice(old, it->entry.key.len);
		memcpy(old, it->entry.key.data, key.len);
	}
	switch (what)
	{
	case 0:
		it->ops->first(it);
		w = model_near(m, kv_slice("", 0), 0, limit);
		break;
	case 1:
		it->ops->last(it);
		w = model_near(m, kv_slice("\xff", 1), -1, limit);
		break;
	case 2:
		it->ops->seek(it, key, UINT64_MAX);
		w = model_near(m, key, 0, limit);
		break;
	case 3:
		it->ops->seek_before(it, key);
		w = model_near(m, key, -1, limit);
		break;
	case 4:
		it->ops->seek(it, key, 5);
		w = model_near(m, key, 1, limit);
		break;
	case 5:
	case 6:
	case 7:
	case 8:
	case 9:
		it->ops->prev(it);
		w = model_near(m, key, -1, limit);
		break;
	default:
		it->ops->next(it);
		w = model_near(m, key, 1, limit);
	}
	if (!it->valid && it->status != KV_OK && may_fail(m, it->status, &err))
		return;
	KV_CHECK_EQ(it->valid, w != NULL);
	if (!it->valid || w == NULL)
		return;
	KV_CHECK_EQ(it->entry.csn, UINT64_MAX);
	check_entry(&it->entry, w);
}

static void
open_iterator(Model *m, int which, uint32_t limit)
{
	if (m->it[which] != NULL)
		m->it[which]->ops->close(m->it[which]);
	m->limit[which] = limit;
	KV_REQUIRE(kv_write_set_iter(m->ws, limit, &m->it[which]) == KV_OK);
}

/* From end to end, both ways: what the model has, in order. */
static void
check_all(Model *m, uint32_t limit)
{
	KvIter *it;
	KvError err;
	const Write *w = model_near(m, kv_slice("", 0), 0, limit);
	int way;

	kv_error_clear(&err);
	KV_REQUIRE(kv_write_set_iter(m->ws, limit, &it) == KV_OK);
	it->err = &err;
	for (way = 1; way >= -1 && kv_test_failures() == 0; way -= 2)
	{
		if (way > 0)
			it->ops->first(it);
		else
		{
			w = model_near(m, kv_slice("\xff", 1), -1, limit);
			it->ops->last(it);
		}
		while (it->valid && w != NULL && kv_test_failures() == 0)
		{
			check_entry(&it->entry, w);
			w = model_near(m, write_key(w), way, limit);
			if (way > 0)
				it->ops->next(it);
			else
				it->ops->prev(it);
		}
		KV_CHECK_OK(it->status, &err);
		KV_CHECK(!it->valid && w == NULL);
	}
	it->ops->close(it);
}

static void
random_op(Model *m, uint32_t *stamp)
{
	int what = (int) kv_rand_below(100);
	int which = (int) kv_rand_below(ITERATORS);

	if (what < 55)
		random_add(m, *stamp);
	else if (what < 58)
		(*stamp)++;
	else if (what < 59)
	{
		/* ROLLBACK TO: most often the latest; stamps go on, or not */
		uint32_t back = (uint32_t) kv_rand_below(4);
		uint32_t from = back > *stamp ? 0 : *stamp - back;

		kv_write_set_kill(m->ws, from);
		model_kill(m, from);
		*stamp += (uint32_t) kv_rand_below(2);
	}
	else if (what == 59 && kv_rand_below(4) == 0)
		random_delete_range(m, *stamp);
	else if (what < 75)
		check_get(m, (uint32_t) kv_rand_below(*stamp + 2));
	else
		check_move(m, which);
}

WriteSetTally
write_set_model_run(const WriteSetPlan *plan)
{
	size_t largest = plan->value_bytes + plan->huge_bytes + 4;
	Model m = {.plan = plan, .value = calloc(1, largest)};
	uint32_t stamp = 0;
	int i;

	KV_REQUIRE(m.value != NULL);
	KV_REQUIRE(kv_write_set_open(plan->env, plan->max_bytes, &m.ws) == KV_OK);
	for (i = 0; i < ITERATORS; i++)
		open_iterator(&m, i,
					  i == 0 ? UINT32_MAX : (uint32_t) kv_rand_below(300));
	for (i = 0; i < plan->ops && kv_test_failures() == 0; i++)
	{
		m.broken = plan->break_next != NULL && kv_rand_below(4) == 0;
		if (m.broken)
			plan->break_next(plan->env);
		random_op(&m, &stamp);
		if (m.broken)
			plan->repair(plan->env);
		m.broken = false;
		if (kv_rand_below(500) == 0)
			open_iterator(&m, (int) kv_rand_below(ITERATORS),
						  (uint32_t) kv_rand_below(stamp + 2));
	}
	if (plan->files)
		KV_CHECK(kv_write_set_entries(m.ws) <= m.n);
	else
		KV_CHECK_EQ(kv_write_set_entries(m.ws), m.n);
	check_all(&m, (uint32_t) kv_rand_below(stamp + 2));
	check_all(&m, UINT32_MAX);
	m.it[0]->ops->close(m.it[0]);
	kv_write_set_free(m.ws);
	/* an iterator may be closed after its set */
	for (i = 1; i < ITERATORS; i++)
		m.it[i]->ops->close(m.it[i]);
	free(m.value);
	free(m.w);
	return m.tally;
}
