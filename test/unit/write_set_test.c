/* SPDX-License-Identifier: PostgreSQL */
/*
 * write_set_test.c - a transaction's own writes against a list of them all.
 */
#include "harness.h"

#include "engine/kv_engine.h"

/* The model: every write ever made, in order. */
typedef struct Write
{
	char key[32];
	size_t key_len;
	uint32_t stamp;
	uint32_t number; /* the value */
	uint8_t kind;
	bool dead;
} Write;

typedef struct Model
{
	Write *w;
	size_t n, room;
} Model;

static KvSlice
write_key(const Write *w)
{
	return kv_slice(w->key, w->key_len);
}

/* the newest visible write of key; NULL: none */
static const Write *
model_get(const Model *m, KvSlice key, uint32_t limit)
{
	size_t i;

	for (i = m->n; i-- > 0;)
		if (!m->w[i].dead && m->w[i].stamp < limit &&
			kv_slice_equal(write_key(&m->w[i]), key))
			return &m->w[i];
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
		int c = kv_slice_compare(write_key(w), key);

		if (w->dead || w->stamp >= limit || (way < 0 ? c >= 0 : c < way))
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
}

static KvSlice
random_key(char *buf)
{
	int len = snprintf(buf, 32, "%c%c%c%ckey%03d", 0, 0, 0, 1,
					   (int) kv_rand_below(150));

	return kv_slice(buf, (size_t) len);
}

static void
random_add(KvWriteSet *ws, Model *m, uint32_t stamp)
{
	KvEntry e = {.kind = KV_KIND_PUT};
	KvError err;
	Write *w;
	char value[256] = {0};

	if (m->n == m->room)
	{
		m->room = m->room ? 2 * m->room : 64;
		m->w = realloc(m->w, m->room * sizeof(Write));
	}
	w = &m->w[m->n];
	memset(w, 0, sizeof(*w));
	e.key = random_key(w->key);
	w->key_len = e.key.len;
	w->stamp = stamp;
	w->number = (uint32_t) m->n;
	w->kind = KV_KIND_PUT;
	memcpy(value, &w->number, 4);
	e.value = kv_slice(value, 4 + kv_rand_below(200));
	if (kv_rand_below(5) == 0)
	{
		e.kind = w->kind = KV_KIND_DELETE;
		e.value.len = 0;
	}
	m->n++;
	KV_REQUIRE_OK(kv_write_set_add(ws, stamp, &e, &err), &err);
}

static void
check_entry(const KvEntry *e, const Write *w)
{
	uint32_t number;

	KV_CHECK_SLICES(e->key, write_key(w));
	KV_CHECK_EQ(e->csn, UINT64_MAX);
	KV_CHECK_EQ(e->kind, w->kind);
	if (w->kind == KV_KIND_DELETE || e->value.len < 4)
	{
		KV_CHECK_EQ(e->value.len, 0);
		return;
	}
	memcpy(&number, e->value.data, 4);
	KV_CHECK_EQ(number, w->number);
}

static void
check_get(KvWriteSet *ws, const Model *m, uint32_t limit)
{
	char buf[32];
	KvSlice key = random_key(buf);
	const Write *w = model_get(m, key, limit);
	KvEntry e;
	bool found = kv_write_set_get(ws, key, limit, &e);

	KV_CHECK_EQ(found, w != NULL);
	if (found && w != NULL)
		check_entry(&e, w);
}

/* One random move of an iterator that may have been open for long. */
static void
check_move(KvIter *it, const Model *m, uint32_t limit)
{
	char buf[32];
	char old[32];
	KvSlice key = random_key(buf);
	const Write *w;
	int what = (int) kv_rand_below(it->valid ? 12 : 4);

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
		it->ops->prev(it);
		w = model_near(m, key, -1, limit);
		break;
	default:
		it->ops->next(it);
		w = model_near(m, key, 1, limit);
	}
	KV_CHECK_STATUS(it->status, KV_OK);
	KV_CHECK_EQ(it->valid, w != NULL);
	if (it->valid && w != NULL)
		check_entry(&it->entry, w);
}

static void
run_model(int ops)
{
	KvWriteSet *ws;
	Model m = {0};
	KvIter *it[3];
	uint32_t limit[3];
	uint32_t stamp = 0;
	int i;

	KV_REQUIRE(kv_write_set_open(kv_test_env(), 64u << 20, &ws) == KV_OK);
	for (i = 0; i < 3; i++)
	{
		limit[i] = i == 0 ? UINT32_MAX : (uint32_t) kv_rand_below(300);
		KV_REQUIRE(kv_write_set_iter(ws, limit[i], &it[i]) == KV_OK);
	}
	for (i = 0; i < ops && kv_test_failures() == 0; i++)
	{
		int what = (int) kv_rand_below(100);
		int which = (int) kv_rand_below(3);

		if (what < 50)
			random_add(ws, &m, stamp);
		else if (what < 55)
			stamp++;
		else if (what < 57)
		{
			/* ROLLBACK TO: most often the latest; stamps go on, or not */
			uint32_t back = (uint32_t) kv_rand_below(4);
			uint32_t from = back > stamp ? 0 : stamp - back;

			kv_write_set_kill(ws, from);
			model_kill(&m, from);
			stamp += (uint32_t) kv_rand_below(2);
		}
		else if (what < 75)
			check_get(ws, &m, (uint32_t) kv_rand_below(stamp + 2));
		else
			check_move(it[which], &m, limit[which]);
		if (kv_rand_below(500) == 0)
		{
			it[which]->ops->close(it[which]);
			limit[which] = (uint32_t) kv_rand_below(stamp + 2);
			KV_REQUIRE(kv_write_set_iter(ws, limit[which], &it[which]) == KV_OK);
		}
	}
	KV_CHECK_EQ(kv_write_set_entries(ws), m.n);
	it[0]->ops->close(it[0]);
	kv_write_set_free(ws);
	/* an iterator may be closed after its set */
	it[1]->ops->close(it[1]);
	it[2]->ops->close(it[2]);
	free(m.w);
}

KV_TEST(equals_a_list_of_all_writes)
{
	int i;

	for (i = 0; i < 20; i++)
		run_model(300);
	run_model(kv_test_long() ? 20000 : 5000);
}

static KvEntry
put_of(const char *key, KvSlice value)
{
	KvEntry e = {.key = kv_slice(key, strlen(key)),
				 .value = value,
				 .kind = KV_KIND_PUT};

	return e;
}

KV_TEST(rolled_back_loops_cost_nothing_but_their_writes)
{
	KvWriteSet *ws;
	KvEntry e = put_of("abcd1", kv_slice("v", 1));
	KvEntry kept = put_of("abcd0", kv_slice("w", 1));
	int64_t blocks;
	uint32_t i;
	KvEntry out;

	KV_REQUIRE(kv_write_set_open(kv_test_env(), 64u << 20, &ws) == KV_OK);
	KV_REQUIRE(kv_write_set_add(ws, 0, &kept, NULL) == KV_OK);
	blocks = kv_test_env_blocks();
	for (i = 1; i < 50000; i++)
	{
		KV_REQUIRE(kv_write_set_add(ws, i, &e, NULL) == KV_OK);
		kv_write_set_kill(ws, i);
	}
	KV_CHECK_EQ(kv_test_env_blocks(), blocks);
	KV_CHECK(!kv_write_set_get(ws, e.key, UINT32_MAX, &out));
	KV_CHECK(kv_write_set_get(ws, kept.key, UINT32_MAX, &out));
	/* a stamp that was killed may be used again */
	KV_REQUIRE(kv_write_set_add(ws, 7, &e, NULL) == KV_OK);
	KV_CHECK(kv_write_set_get(ws, e.key, UINT32_MAX, &out));
	kv_write_set_kill(ws, 0);
	KV_CHECK(!kv_write_set_get(ws, kept.key, UINT32_MAX, &out));
	kv_write_set_free(ws);
}

KV_TEST(full_and_large)
{
	KvWriteSet *ws;
	size_t max = 3u << 20;
	char *value = calloc(1, max);
	KvEntry large = put_of("abcdlarge", kv_slice(value, 2u << 20));
	KvEntry small = put_of("abcdsmall", kv_slice(value, 100));
	KvError err;
	KvEntry out;

	KV_REQUIRE(kv_write_set_open(kv_test_env(), max, &ws) == KV_OK);
	KV_CHECK_OK(kv_write_set_add(ws, 0, &small, &err), &err);
	KV_CHECK(kv_write_set_bytes(ws) < 16384);
	KV_CHECK_OK(kv_write_set_add(ws, 0, &large, &err), &err);
	KV_CHECK_STATUS(kv_write_set_add(ws, 1, &large, &err), KV_FULL);
	KV_CHECK(strstr(err.message, "3145728") != NULL);
	/* still usable */
	KV_CHECK_OK(kv_write_set_add(ws, 1, &small, &err), &err);
	KV_CHECK(kv_write_set_get(ws, large.key, 1, &out));
	KV_CHECK_EQ(out.value.len, 2u << 20);
	KV_CHECK_EQ(kv_write_set_entries(ws), 3);
	kv_write_set_free(ws);
	free(value);
}

/* Every allocation fails once: a status, no leak, and the set goes on. */
KV_TEST(out_of_memory)
{
	char *value = calloc(1, 200000);
	KvEntry e = put_of("abcd", kv_slice(value, 200000));
	uint64_t n;

	for (n = 1; n < 8; n++)
	{
		KvWriteSet *ws = NULL;
		KvIter *it = NULL;
		KvStatus status;
		KvEntry out;

		kv_test_env_fail_alloc(n);
		status = kv_write_set_open(kv_test_env(), 64u << 20, &ws);
		if (status != KV_OK)
		{
			KV_CHECK_STATUS(status, KV_NO_MEMORY);
			continue;
		}
		if (kv_write_set_add(ws, 0, &e, NULL) != KV_OK)
			KV_CHECK_STATUS(kv_write_set_add(ws, 0, &e, NULL), KV_OK);
		KV_CHECK(kv_write_set_get(ws, e.key, 1, &out));
		status = kv_write_set_iter(ws, 1, &it);
		if (status == KV_OK)
		{
			it->ops->first(it);
			if (!it->valid)
				KV_CHECK_STATUS(it->status, KV_NO_MEMORY);
			it->ops->last(it);
			if (!it->valid)
				KV_CHECK_STATUS(it->status, KV_NO_MEMORY);
			it->ops->close(it);
		}
		kv_write_set_free(ws);
	}
	free(value);
}
