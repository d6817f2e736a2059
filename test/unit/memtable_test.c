/* SPDX-License-Identifier: PostgreSQL */
/*
 * memtable_test.c - the memtable against a sorted array, at its limits, and
 * with damaged memory.  Its sizes and statuses: memtable_limits_test.c;
 * readers beside the writer: memtable_race_test.c.
 */
#include "harness.h"

#include "engine/base/coding.h"
#include "engine/mem/memtable.h"

/* ---- a model: a sorted array of versions ---- */

typedef struct Version
{
	char *key;
	size_t key_len;
	char *value;
	size_t value_len;
	uint64_t csn, xid;
	int64_t expires_us;
	uint8_t kind;
} Version;

typedef struct Model
{
	Version *v;
	size_t n, room;
} Model;

static KvSlice
version_key(const Version *v)
{
	return kv_slice(v->key, v->key_len);
}

/* the first version at or after (key, csn) */
static size_t
model_bound(const Model *m, KvSlice key, uint64_t csn)
{
	size_t lo = 0;
	size_t hi = m->n;

	while (lo < hi)
	{
		size_t mid = (lo + hi) / 2;

		if (kv_entry_compare(version_key(&m->v[mid]), m->v[mid].csn, key,
							 csn) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static char *
copy_bytes(KvSlice s)
{
	char *p = malloc(s.len + 1);

	if (s.len > 0)
		memcpy(p, s.data, s.len);
	return p;
}

static void
model_add(Model *m, uint64_t csn, uint64_t xid, const KvEntry *e)
{
	size_t at = model_bound(m, e->key, csn);

	if (m->n == m->room)
	{
		m->room = m->room ? 2 * m->room : 64;
		m->v = realloc(m->v, m->room * sizeof(Version));
	}
	memmove(m->v + at + 1, m->v + at, (m->n - at) * sizeof(Version));
	m->n++;
	m->v[at] = (Version){.key = copy_bytes(e->key),
						 .key_len = e->key.len,
						 .value = copy_bytes(e->value),
						 .value_len = e->value.len,
						 .csn = csn,
						 .xid = xid,
						 .expires_us = e->expires_us,
						 .kind = e->kind};
}

static void
model_free(Model *m)
{
	size_t i;

	for (i = 0; i < m->n; i++)
	{
		free(m->v[i].key);
		free(m->v[i].value);
	}
	free(m->v);
}

static void
check_version(const KvEntry *e, const Version *v)
{
	KV_CHECK_SLICES(e->key, version_key(v));
	KV_CHECK_SLICES(e->value, kv_slice(v->value, v->value_len));
	KV_CHECK_EQ(e->csn, v->csn);
	KV_CHECK_EQ(e->xid, v->xid);
	KV_CHECK_EQ(e->kind, v->kind);
	KV_CHECK_EQ(e->expires_us, v->expires_us);
}

/* ---- keys of several shapes ---- */

enum
{
	SHAPE_RANDOM,	 /* 16 random bytes in one store */
	SHAPE_TEXT,		 /* user:00001234 */
	SHAPE_TINY,		 /* 0-3 bytes of 0, 1, 0xff: prefixes of each other */
	SHAPE_STORES,	 /* three stores */
	SHAPE_LONG,		 /* 300 common bytes, then little */
	SHAPE_ASCENDING, /* a counter, big-endian */
	SHAPE_MIXED,	 /* all of these in one table */
	SHAPES
};

static KvSlice
make_key(int shape, uint64_t r, char *buf)
{
	static uint32_t counter;
	size_t n = KV_STORE_PREFIX;
	int i;

	if (shape == SHAPE_MIXED)
		shape = (int) (r % SHAPE_MIXED);
	r /= SHAPE_MIXED;
	kv_store_be32(buf, shape == SHAPE_STORES ? (uint32_t) (r % 3) * 777 : 7);
	switch (shape)
	{
	case SHAPE_RANDOM:
		for (i = 0; i < 16; i++)
			buf[n++] = (char) kv_rand();
		break;
	case SHAPE_TINY:
		for (i = (int) (r % 4); i > 0; i--)
			buf[n++] = "\0\1\xff"[kv_rand_below(3)];
		break;
	case SHAPE_LONG:
		memset(buf + n, 'x', 300);
		n += 300 - r % 2;
		n += (size_t) snprintf(buf + n, 16, "%d", (int) (r / 2 % 20000));
		break;
	case SHAPE_ASCENDING:
		kv_store_be32(buf + n, counter++);
		n += 4;
		break;
	default:
		n += (size_t) snprintf(buf + n, 32, "user:%08d", (int) (r / 3 % 50000));
		break;
	}
	return kv_slice(buf, n);
}

#define KEY_ROOM 512

static KvEntry
make_entry(int shape, char *key, char *value)
{
	KvEntry e = {.key = make_key(shape, kv_rand(), key)};
	size_t len = kv_rand_below(16) == 0 ? kv_rand_below(6000)
										: kv_rand_below(40);

	e.kind = (uint8_t) (1 + kv_rand_below(3));
	if (e.kind == KV_KIND_DELETE)
		len = 0;
	if (e.kind == KV_KIND_PUT_EXPIRING)
		e.expires_us = (int64_t) kv_rand();
	memset(value, (int) kv_rand(), len);
	e.value = kv_slice(value, len);
	return e;
}

/* ---- reading back ---- */

static KvIter *
open_iter(const KvMem *mem)
{
	KvIter *it = NULL;
	static KvError err;

	KV_REQUIRE(kv_mem_iter(kv_test_env(), mem, kv_mem_generation(mem), &it) ==
			   KV_OK);
	it->err = &err;
	return it;
}

static void
check_scans(const KvMem *mem, const Model *m)
{
	KvIter *it = open_iter(mem);
	size_t i = 0;

	for (it->ops->first(it); it->valid; it->ops->next(it))
	{
		if (i < m->n)
			check_version(&it->entry, &m->v[i]);
		i++;
	}
	KV_CHECK_EQ(it->status, KV_OK);
	KV_CHECK_EQ(i, m->n);
	for (it->ops->last(it); it->valid && i > 0; it->ops->prev(it))
		check_version(&it->entry, &m->v[--i]);
	KV_CHECK_EQ(it->status, KV_OK);
	KV_CHECK_EQ(i, 0);
	KV_CHECK(!it->valid);
	it->ops->close(it);
}

static void
check_shown(const KvIter *it, const Model *m, size_t at)
{
	KV_CHECK_EQ(it->status, KV_OK);
	KV_CHECK_EQ(it->valid, at < m->n);
	if (it->valid && at < m->n)
		check_version(&it->entry, &m->v[at]);
}

/* A seek, then a few steps to and fro. */
static void
check_seek(KvIter *it, const Model *m, KvSlice key, uint64_t csn)
{
	size_t at;
	int steps;

	if (kv_rand() % 2)
	{
		it->ops->seek(it, key, csn);
		at = model_bound(m, key, csn);
	}
	else
	{
		it->ops->seek_before(it, key);
		at = model_bound(m, key, UINT64_MAX) - 1;
	}
	check_shown(it, m, at);
	for (steps = 0; steps < 4 && it->valid && at < m->n; steps++)
	{
		if (kv_rand() % 2)
		{
			it->ops->next(it);
			at++;
		}
		else
		{
			it->ops->prev(it);
			at--;
		}
		check_shown(it, m, at);
	}
}

typedef struct Visit
{
	const Model *m;
	size_t at;
	uint64_t stop_below; /* csn at which to stop */
} Visit;

static bool
visit(void *arg, const KvEntry *e)
{
	Visit *v = arg;

	KV_CHECK(v->at < v->m->n);
	if (v->at < v->m->n)
		check_version(e, &v->m->v[v->at]);
	v->at++;
	return e->csn < v->stop_below;
}

static void
check_get(const KvMem *mem, const Model *m, KvSlice key)
{
	Visit v = {m, model_bound(m, key, UINT64_MAX), 0};

	KV_CHECK_STATUS(kv_mem_get(mem, kv_mem_generation(mem), key, visit, &v),
					KV_OK);
	KV_CHECK(v.at == m->n || !kv_slice_equal(version_key(&m->v[v.at]), key));
}

static void
check_lookups(const KvMem *mem, const Model *m, int shape, int n)
{
	KvIter *it = open_iter(mem);
	char buf[KEY_ROOM];

	for (; n > 0 && kv_test_failures() == 0; n--)
	{
		KvSlice key = make_key(shape, kv_rand(), buf);
		uint64_t csn = kv_rand_below(1000);

		if (m->n > 0 && kv_rand() % 2)
		{
			const Version *v = &m->v[kv_rand_below(m->n)];

			key = version_key(v);
			csn = v->csn + kv_rand_below(3) - 1;
		}
		check_seek(it, m, key, csn);
		check_get(mem, m, key);
	}
	it->ops->close(it);
}

/* ---- the tests ---- */

#define BUF_BYTES (4u << 20)

static void
run_model(int shape, int adds)
{
	KvMem *mem = aligned_alloc(64, BUF_BYTES);
	char *value = malloc(6000);
	Model m = {0};
	uint64_t csn = 0;
	int i;

	kv_mem_init(mem, BUF_BYTES, 1);
	for (i = 0; i < adds && kv_test_failures() == 0;)
	{
		int n = (int) kv_rand_below(20);
		uint64_t xid = kv_rand();
		uint32_t batch;

		csn += 1 + kv_rand_below(3);
		KV_REQUIRE(kv_mem_begin_batch(mem, csn, xid, 0, KV_XACT_COMMITTED,
									  &batch) == KV_OK);
		for (; n > 0; n--, i++)
		{
			char key[KEY_ROOM];
			KvEntry e = make_entry(shape, key, value);
			size_t at = model_bound(&m, e.key, csn);
			KvStatus status = kv_mem_add(mem, batch, &e);

			if (at < m.n && m.v[at].csn == csn &&
				kv_slice_equal(version_key(&m.v[at]), e.key))
				KV_CHECK_STATUS(status, KV_EXISTS);
			else
			{
				KV_REQUIRE(status == KV_OK);
				model_add(&m, csn, xid, &e);
			}
		}
		if (kv_rand_below(100) == 0)
			check_lookups(mem, &m, shape, 20);
	}
	KV_CHECK_EQ(kv_mem_entries(mem), m.n);
	KV_CHECK_STATUS(kv_mem_check(mem, NULL), KV_OK);
	check_scans(mem, &m);
	check_lookups(mem, &m, shape, 1000);
	model_free(&m);
	free(value);
	free(mem);
}

KV_TEST(equals_a_sorted_array)
{
	int shape;

	for (shape = 0; shape < SHAPES; shape++)
	{
		run_model(shape, 70);
		run_model(shape, kv_test_long() ? 8000 : 3000);
	}
}

static KvMem *
new_mem(size_t bytes, uint64_t generation)
{
	KvMem *mem = aligned_alloc(64, bytes);

	KV_REQUIRE(mem != NULL);
	kv_mem_init(mem, bytes, generation);
	return mem;
}

static uint32_t
new_batch(KvMem *mem, uint64_t csn)
{
	uint32_t batch = 0;

	KV_REQUIRE(kv_mem_begin_batch(mem, csn, csn + 1000, csn + 2000,
								  KV_XACT_IN_DOUBT, &batch) == KV_OK);
	return batch;
}

static KvEntry
put_of(KvSlice key, KvSlice value)
{
	KvEntry e = {.key = key, .value = value, .kind = KV_KIND_PUT};

	return e;
}

KV_TEST(empty)
{
	KvMem *mem = new_mem(65536, 5);
	KvIter *it = open_iter(mem);
	Model m = {0};

	KV_CHECK_EQ(kv_mem_generation(mem), 5);
	KV_CHECK_EQ(kv_mem_entries(mem), 0);
	check_scans(mem, &m);
	check_get(mem, &m, kv_slice("\0\0\0\1a", 5));
	it->ops->seek(it, kv_slice("", 0), 0);
	check_shown(it, &m, 0);
	it->ops->close(it);
	KV_CHECK_STATUS(kv_mem_check(mem, NULL), KV_OK);
	free(mem);
}

/* kv_mem_bound's promise, until the buffer is full, in every key shape. */
static void
fill_by_promise(int shape, size_t bytes)
{
	KvMem *mem = new_mem(bytes, 1);
	char *value = malloc(6000);
	uint64_t csn = 0;
	int misses = 0;

	while (misses < 20 && kv_test_failures() == 0)
	{
		size_t n = 1 + kv_rand_below(misses ? 3 : 60);
		KvEntry e[64];
		char key[64][KEY_ROOM];
		size_t payload = 0;
		uint32_t batch;
		size_t i;

		for (i = 0; i < n; i++)
		{
			e[i] = make_entry(shape, key[i], value);
			payload += e[i].key.len + e[i].value.len;
		}
		if (kv_mem_free(mem) < kv_mem_bound(n, payload))
		{
			misses++;
			continue;
		}
		KV_CHECK_STATUS(kv_mem_begin_batch(mem, ++csn, 0, 0, KV_XACT_COMMITTED,
										   &batch),
						KV_OK);
		for (i = 0; i < n; i++)
			KV_CHECK(kv_mem_add(mem, batch, &e[i]) != KV_FULL);
	}
	KV_CHECK_STATUS(kv_mem_check(mem, NULL), KV_OK);
	free(value);
	free(mem);
}

KV_TEST(room_that_was_promised_is_there)
{
	int shape;

	for (shape = 0; shape < SHAPES; shape++)
	{
		fill_by_promise(shape, 65536);
		fill_by_promise(shape, 1 << 20);
	}
}

KV_TEST(full_leaves_it_as_it_was)
{
	KvMem *mem = new_mem(65536, 1);
	Model m = {0};
	char *value = malloc(6000);
	uint32_t batch = new_batch(mem, 1);
	int fulls = 0;

	while (fulls < 200)
	{
		char key[KEY_ROOM];
		KvEntry e = make_entry(SHAPE_RANDOM, key, value);
		KvStatus status = kv_mem_add(mem, batch, &e);

		if (status == KV_FULL)
			fulls++;
		else
		{
			KV_CHECK_STATUS(status, KV_OK);
			model_add(&m, 1, 1001, &e);
		}
	}
	KV_CHECK_EQ(kv_mem_entries(mem), m.n);
	KV_CHECK_STATUS(kv_mem_check(mem, NULL), KV_OK);
	check_scans(mem, &m);
	model_free(&m);
	free(value);
	free(mem);
}

KV_TEST(an_iterator_survives_writes_and_growth)
{
	size_t bytes = 65536;
	KvMem *mem = new_mem(bytes, 1);
	Model m = {0};
	KvIter *it = NULL;
	uint32_t batch = new_batch(mem, 1);
	int i;

	for (i = 0; i < 20000; i++)
	{
		char key[16];
		KvEntry e;

		kv_store_be32(key, 1);
		/* odd numbers at random, even ones in advance of the iterator */
		snprintf(key + 4, 12, "%07d", (int) kv_rand_below(1000000));
		e = put_of(kv_slice(key, 11), kv_slice("v", 1));
		if (kv_mem_free(mem) < kv_mem_bound(1, 12))
		{
			void *larger = aligned_alloc(64, 2 * bytes);

			memcpy(larger, mem, bytes);
			memset(mem, 0xee, bytes);
			free(mem);
			mem = larger;
			bytes *= 2;
			kv_mem_grown(mem, bytes);
			if (it)
				kv_mem_iter_moved(it, mem);
		}
		if (kv_mem_add(mem, batch, &e) == KV_OK)
			model_add(&m, 1, 1001, &e);
		if (i == 0)
		{
			it = open_iter(mem);
			it->ops->first(it);
		}
		if (i > 0 && i % 7 == 0)
		{
			char old[16];
			size_t at;

			if (!it->valid)
				it->ops->first(it);
			memcpy(old, it->entry.key.data, 11);
			at = model_bound(&m, kv_slice(old, 11), 1);
			if (kv_rand_below(5))
			{
				it->ops->next(it);
				check_shown(it, &m, at + 1);
			}
			else
			{
				it->ops->prev(it);
				check_shown(it, &m, at - 1);
			}
		}
	}
	it->ops->close(it);
	KV_CHECK_STATUS(kv_mem_check(mem, NULL), KV_OK);
	check_scans(mem, &m);
	model_free(&m);
	free(mem);
}

/*
 * Any single flipped bit in the buffer: the scan that a flush does, and
 * kv_mem_check, either report it or it changed nothing that they show.
 */
KV_TEST(flipped_bits_are_found)
{
	size_t bytes = 65536;
	KvMem *mem = new_mem(bytes, 1);
	Model m = {0};
	uint32_t batch = new_batch(mem, 1);
	size_t used;
	size_t i;
	int found = 0;

	for (i = 0; i < 100; i++)
	{
		char key[KEY_ROOM];
		KvEntry e = put_of(make_key(SHAPE_RANDOM, 0, key),
						   kv_slice("value value value", 17));

		KV_REQUIRE(kv_mem_add(mem, batch, &e) == KV_OK);
		model_add(&m, 1, 1001, &e);
	}
	used = kv_mem_used(mem);
	/* the head is the engine's own risk: 256 bytes of counters */
	for (i = 256; i < used; i++)
	{
		KvError err = {0};
		KvIter *it = open_iter(mem);
		unsigned char *byte = (unsigned char *) mem + i;
		unsigned char mask = (unsigned char) (1u << kv_rand_below(8));
		KvStatus checked;
		bool wrong = false;
		size_t n = 0;

		it->err = &err;
		*byte ^= mask;
		checked = kv_mem_check(mem, NULL);
		for (it->ops->first(it); it->valid && n < 200; it->ops->next(it))
		{
			if (n < m.n && kv_slice_equal(it->entry.key, version_key(&m.v[n])))
				check_version(&it->entry, &m.v[n]);
			else
				wrong = true;
			n++;
		}
		if (wrong)
			KV_CHECK_STATUS(checked, KV_CORRUPT);
		/* what a flush relies on: the statuses and the count */
		KV_CHECK(!wrong || it->status == KV_CORRUPT || n != m.n);
		KV_CHECK(n < 200);
		if (it->status == KV_OK && n != m.n)
			KV_CHECK_STATUS(checked, KV_CORRUPT);
		found += it->status == KV_CORRUPT || checked == KV_CORRUPT;
		it->ops->close(it);
		*byte ^= mask;
	}
	/* nearly all of the buffer's bytes mean something */
	KV_CHECK(found > 100 * 40);
	KV_CHECK_STATUS(kv_mem_check(mem, NULL), KV_OK);
	model_free(&m);
	free(mem);
}
