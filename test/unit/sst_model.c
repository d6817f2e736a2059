/* SPDX-License-Identifier: PostgreSQL */
/*
 * sst_model.c - tables built from a sorted array of entries, and compared
 * with it; shared by the tests of SSTables.
 */
#include "sst_model.h"

const KvIdentity model_identity = {42, 1, 1};

KvSlice
row_key(const Row *r)
{
	return kv_slice(r->key, r->key_len);
}

static int
compare_rows(const void *a, const void *b)
{
	const Row *x = a;
	const Row *y = b;

	return kv_entry_compare(row_key(x), x->csn, row_key(y), y->csn);
}

KvEntry
row_entry(const Row *r)
{
	KvEntry e = {0};

	e.key = row_key(r);
	e.value = kv_slice(r->value, r->value_len);
	e.csn = r->csn;
	e.xid = r->xid;
	e.expires_us = r->expires_us;
	e.kind = r->kind;
	e.state = r->xid != 0 ? KV_XACT_IN_DOUBT : KV_XACT_COMMITTED;
	return e;
}

bool
row_equals(const Row *want, const KvEntry *got)
{
	return kv_slice_equal(got->key, row_key(want)) &&
		   kv_slice_equal(got->value, kv_slice(want->value, want->value_len)) &&
		   got->csn == want->csn && got->xid == want->xid &&
		   got->expires_us == want->expires_us && got->kind == want->kind;
}

void
row_free(Row *r)
{
	free(r->key);
	free(r->value);
}

void
check_row(const KvEntry *got, const Row *want)
{
	KV_CHECK_SLICES(got->key, row_key(want));
	KV_CHECK_SLICES(got->value, kv_slice(want->value, want->value_len));
	KV_CHECK_EQ(got->csn, want->csn);
	KV_CHECK_EQ(got->xid, want->xid);
	KV_CHECK_EQ(got->expires_us, want->expires_us);
	KV_CHECK_EQ(got->kind, want->kind);
	KV_CHECK_EQ(got->state,
				want->xid != 0 ? KV_XACT_IN_DOUBT : KV_XACT_COMMITTED);
}

char *
random_bytes(size_t len, int alphabet)
{
	char *p = malloc(len + 1);
	size_t i;

	for (i = 0; i < len; i++)
		p[i] = (char) (alphabet < 256
						   ? 'a' + (int) kv_rand_below((uint64_t) alphabet)
						   : (int) kv_rand_below(256));
	return p;
}

/* Removes rows of equal key and csn. */
void
model_sort(Model *m)
{
	size_t i;
	size_t n = 0;

	if (m->n > 0)
		qsort(m->rows, m->n, sizeof(Row), compare_rows);
	for (i = 0; i < m->n; i++)
	{
		if (n > 0 && compare_rows(&m->rows[n - 1], &m->rows[i]) == 0)
		{
			row_free(&m->rows[i]);
			continue;
		}
		m->rows[n++] = m->rows[i];
	}
	m->n = n;
}

Row
random_row(size_t max_key, size_t max_value, int alphabet)
{
	Row r = {0};

	r.key_len = kv_rand_below(max_key + 1);
	r.key = random_bytes(r.key_len, alphabet);
	r.value_len = kv_rand_below(max_value + 1);
	r.kind = KV_KIND_PUT;
	r.csn = kv_rand_below(8) == 0 ? 0 : 1000000 + kv_rand_below(100000);
	if (kv_rand_below(50) == 0)
		r.csn = UINT64_MAX - kv_rand_below(5);
	if (kv_rand_below(3) != 0)
		r.xid = kv_rand_below(50) == 0 ? kv_rand() : 700 + kv_rand_below(300);
	if (kv_rand_below(6) == 0)
	{
		r.kind = KV_KIND_DELETE;
		r.value_len = 0;
	}
	else if (kv_rand_below(6) == 0)
	{
		r.kind = KV_KIND_PUT_EXPIRING;
		r.expires_us = (int64_t) (700000000000000 + kv_rand_below(1000000));
		if (kv_rand_below(20) == 0)
			r.expires_us = (int64_t) kv_rand();
	}
	r.value = random_bytes(r.value_len, kv_rand_below(2) ? 3 : 256);
	return r;
}

Model
random_model(size_t n, size_t max_key, size_t max_value, int alphabet)
{
	Model m;
	size_t i;

	m.rows = calloc(n + 1, sizeof(Row));
	m.n = n;
	for (i = 0; i < n; i++)
		m.rows[i] = random_row(max_key, max_value, alphabet);
	model_sort(&m);
	return m;
}

void
model_free(Model *m)
{
	size_t i;

	for (i = 0; i < m->n; i++)
		row_free(&m->rows[i]);
	free(m->rows);
}

/* First row at or after (key, csn). */
size_t
model_seek(const Model *m, KvSlice key, uint64_t csn)
{
	size_t lo = 0;
	size_t hi = m->n;

	while (lo < hi)
	{
		size_t mid = (lo + hi) / 2;

		if (kv_entry_compare(row_key(&m->rows[mid]), m->rows[mid].csn, key,
							 csn) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* ---- tables ---- */

KvSstSummary
build_model(PosixEnv *penv, const Model *m, const KvSstOptions *options)
{
	KvEnv *env = &penv->env;
	KvSstSummary summary;
	KvSstBuilder *b;
	KvFile *file;
	KvError err;
	size_t i, ranges = 0;

	(void) env->ops->unlink(env, MODEL_FILE, &err);
	KV_REQUIRE_OK(env->ops->open(env, MODEL_FILE,
								 KV_OPEN_WRITE | KV_OPEN_CREATE, &file, &err),
				  &err);
	KV_REQUIRE_OK(kv_sst_builder_open(env, options, &model_identity,
									  MODEL_FILE_NO, file, &b, &err),
				  &err);
	for (i = 0; i < m->n; i++)
	{
		KvEntry e = row_entry(&m->rows[i]);

		if (e.kind == KV_KIND_RANGE_DELETE)
		{
			ranges++;
			KV_REQUIRE_OK(kv_sst_builder_add_range_delete(b, &e, &err), &err);
			continue;
		}
		KV_REQUIRE_OK(kv_sst_builder_add(b, &e, &err), &err);
	}
	KV_REQUIRE_OK(kv_sst_builder_finish(b, &summary, &err), &err);
	KV_CHECK_EQ(summary.entries, m->n - ranges);
	KV_CHECK_EQ(summary.range_deletes, ranges);
	if (m->n > 0 && ranges == 0)
	{
		KV_CHECK_SLICES(summary.smallest, row_key(&m->rows[0]));
		KV_CHECK_SLICES(summary.largest, row_key(&m->rows[m->n - 1]));
	}
	kv_sst_builder_free(b);
	env->ops->close(env, file);
	return summary;
}

KvStatus
open_table(PosixEnv *penv, KvCache *cache, uint64_t size,
		   KvSstOverride override, KvSst **sst, KvError *err)
{
	KvEnv *env = &penv->env;
	KvFile *file;
	KvStatus status;

	KV_REQUIRE_OK(env->ops->open(env, MODEL_FILE, KV_OPEN_READ, &file, err),
				  err);
	status = kv_sst_open(env, cache, &model_identity, MODEL_FILE_NO, file,
						 size, override, sst, err);
	if (status != KV_OK)
		env->ops->close(env, file);
	return status;
}

typedef struct Visit
{
	const Model *m;
	size_t next;
	size_t seen;
	size_t stop_after;
} Visit;

static bool
visit(void *arg, const KvEntry *e)
{
	Visit *v = arg;

	KV_REQUIRE(v->next < v->m->n);
	check_row(e, &v->m->rows[v->next++]);
	return ++v->seen == v->stop_after;
}

static size_t
versions_of(const Model *m, KvSlice key, size_t from)
{
	size_t n = 0;

	while (from + n < m->n && kv_slice_equal(row_key(&m->rows[from + n]), key))
		n++;
	return n;
}

void
check_get(KvSst *sst, const Model *m, KvSlice key, KvSstStats *stats)
{
	size_t at = model_seek(m, key, UINT64_MAX);
	size_t n = versions_of(m, key, at);
	Visit v = {m, at, 0, 0};
	KvError err;

	if (n > 1 && kv_rand_below(2))
		v.stop_after = n = 1 + kv_rand_below(n);
	KV_CHECK_OK(kv_sst_get(sst, key, kv_key_hash(key), visit, &v, stats, &err),
				&err);
	KV_CHECK_EQ(v.seen, n);
}

void
check_gets(KvSst *sst, const Model *m, size_t max_key, int alphabet)
{
	KvSstStats stats = {0};
	size_t i;

	for (i = 0; i < m->n && kv_test_failures() == 0; i++)
	{
		Row miss = random_row(max_key, 0, alphabet);

		check_get(sst, m, row_key(&m->rows[i]), &stats);
		check_get(sst, m, row_key(&miss), &stats);
		row_free(&miss);
	}
}

void
check_scans(KvSst *sst, const Model *m, uint32_t readahead)
{
	KvIter *it;
	KvError err;
	size_t i;

	KV_REQUIRE_OK(kv_sst_iter(sst, readahead, &it, &err), &err);
	i = 0;
	for (it->ops->first(it); it->valid; it->ops->next(it))
	{
		KV_REQUIRE(i < m->n);
		check_row(&it->entry, &m->rows[i++]);
	}
	KV_CHECK_OK(it->status, &err);
	KV_CHECK_EQ(i, m->n);
	for (it->ops->last(it); it->valid; it->ops->prev(it))
	{
		KV_REQUIRE(i > 0);
		check_row(&it->entry, &m->rows[--i]);
	}
	KV_CHECK_OK(it->status, &err);
	KV_CHECK_EQ(i, 0);
	it->ops->close(it);
}

/* Random moves of one iterator against an index into the model. */
void
check_moves(KvSst *sst, const Model *m, uint32_t readahead, int moves,
			size_t max_key, int alphabet)
{
	KvIter *it;
	KvError err;
	size_t at = m->n; /* n: not valid */

	KV_REQUIRE_OK(kv_sst_iter(sst, readahead, &it, &err), &err);
	while (moves-- > 0 && kv_test_failures() == 0)
	{
		Row r = random_row(max_key, 0, alphabet);
		KvSlice key = row_key(&r);
		uint64_t csn = kv_rand_below(3) ? UINT64_MAX : r.csn;
		uint64_t what = kv_rand_below(12);

		if (m->n > 0 && kv_rand_below(2))
			key = row_key(&m->rows[kv_rand_below(m->n)]);
		/* the key may be the iterator's own */
		if (it->valid && kv_rand_below(4) == 0)
			key = it->entry.key;
		if (what == 0)
		{
			it->ops->first(it);
			at = 0;
		}
		else if (what == 1)
		{
			it->ops->last(it);
			at = m->n > 0 ? m->n - 1 : m->n;
		}
		else if (what <= 3)
		{
			at = model_seek(m, key, csn);
			it->ops->seek(it, key, csn);
		}
		else if (what <= 5)
		{
			at = model_seek(m, key, UINT64_MAX);
			at = at > 0 ? at - 1 : m->n;
			it->ops->seek_before(it, key);
		}
		else if (it->valid && what <= 8)
		{
			it->ops->next(it);
			at++;
		}
		else if (it->valid)
		{
			it->ops->prev(it);
			at = at > 0 ? at - 1 : m->n;
		}
		KV_CHECK_OK(it->status, &err);
		KV_CHECK_EQ(it->valid, at < m->n);
		if (it->valid && at < m->n)
			check_row(&it->entry, &m->rows[at]);
		row_free(&r);
	}
	it->ops->close(it);
}

void *
new_cache(KvCache *cache, KvEnv *env, size_t frames, uint32_t frame_bytes)
{
	size_t bytes = frames * (frame_bytes + 256) + 65536;
	void *area;

	while (kv_cache_frames(bytes, frame_bytes) > frames)
		bytes -= frame_bytes / 2;
	area = malloc(bytes);
	kv_cache_init(area, bytes, frame_bytes);
	kv_cache_attach(cache, env, area);
	return area;
}
