/* SPDX-License-Identifier: PostgreSQL */
/*
 * sst_test.c - tables against a sorted array, and the limits of the format.
 *
 * Every table is built into a real file and read back with and without a
 * cache, with few frames and many.
 */
#include "sst_model.h"

#include "engine/base/coding.h"

static const KvSstOverride no_override = {0, 0};

typedef struct Shape
{
	size_t n, max_key, max_value;
	int alphabet;
	uint32_t block, frame, bits;
	bool lz4;
	size_t frames; /* 0: no cache */
} Shape;

static void
check_shape(const Shape *s)
{
	PosixEnv *penv = posix_env_open_temp();
	KvSstOptions options = {s->block, s->frame, s->bits, s->lz4, NULL, false};
	Model m = random_model(s->n, s->max_key, s->max_value, s->alphabet);
	KvSstSummary summary = build_model(penv, &m, &options);
	void *area = NULL;
	KvCache cache;
	KvError err;
	KvSst *sst;

	if (s->frames > 0)
		area = new_cache(&cache, &penv->env, s->frames, s->frame);
	KV_REQUIRE_OK(open_table(penv, area ? &cache : NULL, summary.size,
							 no_override, &sst, &err),
				  &err);
	KV_CHECK_OK(kv_sst_verify(sst, &err), &err);
	check_gets(sst, &m, s->max_key, s->alphabet);
	check_scans(sst, &m, 0);
	check_scans(sst, &m, 4096);
	check_moves(sst, &m, 0, 3000, s->max_key, s->alphabet);
	check_moves(sst, &m, 3000, 3000, s->max_key, s->alphabet);
	kv_sst_close(sst);
	free(area);
	model_free(&m);
	KV_CHECK_EQ(penv->live_allocs, 0);
	KV_CHECK_EQ(penv->live_files, 0);
	posix_env_remove(penv);
	posix_env_close(penv);
}

KV_TEST(model_comparison)
{
	static const Shape shapes[] = {
		/* n, key, value, alphabet, block, frame, bits, lz4, frames */
		{0, 8, 8, 3, 128, 256, 10, true, 16},
		{1, 8, 8, 3, 128, 256, 10, true, 16},
		{3000, 3, 20, 2, 128, 256, 10, true, 16}, /* versions across blocks */
		{3000, 2, 20, 2, 64, 256, 10, false, 0},
		{5000, 12, 40, 3, 256, 512, 10, true, 64},
		{5000, 12, 300, 256, 512, 1024, 5, true, 16}, /* oversize blocks */
		{20000, 16, 20, 26, 1024, 2048, 10, true, 40},
		{20000, 40, 10, 2, 4096, 8192, 10, true, 1000},
		{3000, 9, 30, 256, 1024, 1024, 0, false, 100}, /* no filter */
		{3000, 300, 0, 1, 512, 1024, 10, true, 20},	   /* long shared keys */
	};
	size_t i;

	for (i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
	{
		check_shape(&shapes[i]);
		if (kv_test_failures() > 0)
		{
			kv_test_fail(__FILE__, __LINE__, "in shape %zu", i);
			break;
		}
	}
}

/* ---- single cases ---- */

static bool
stop_at_first(void *arg, const KvEntry *e)
{
	(void) arg;
	(void) e;
	return true;
}

static const KvSstOptions small_blocks = {512, 1024, 10, true, NULL, false};
static const KvSstOptions usual = {8192, 16384, 10, true, NULL, false};

static void
set_row(Row *r, const char *key, size_t key_len, uint64_t csn, size_t value_len)
{
	memset(r, 0, sizeof(*r));
	r->key = malloc(key_len + 1);
	memcpy(r->key, key, key_len);
	r->key_len = key_len;
	r->csn = csn;
	r->value = random_bytes(value_len, 256);
	r->value_len = value_len;
	r->kind = KV_KIND_PUT;
}

/* Builds, reads everything in every way, closes. */
static void
check_model(Model *m, const KvSstOptions *options, size_t frames)
{
	PosixEnv *penv = posix_env_open_temp();
	KvSstSummary summary = build_model(penv, m, options);
	KvCache cache;
	void *area = new_cache(&cache, &penv->env, frames, options->frame_bytes);
	KvError err;
	KvSst *sst;

	KV_REQUIRE_OK(open_table(penv, &cache, summary.size, no_override, &sst,
							 &err),
				  &err);
	KV_CHECK_OK(kv_sst_verify(sst, &err), &err);
	check_gets(sst, m, 8, 4);
	check_scans(sst, m, 0);
	check_scans(sst, m, 100000);
	check_moves(sst, m, 0, 300, 8, 4);
	kv_sst_close(sst);
	free(area);
	KV_CHECK_EQ(penv->live_allocs, 0);
	posix_env_remove(penv);
	posix_env_close(penv);
}

KV_TEST(huge_keys)
{
	Model m = {calloc(64, sizeof(Row)), 60};
	char *key = random_bytes(KV_MAX_KEY, 3);
	size_t i;

	/* they differ in the last bytes only, or in the first */
	for (i = 0; i < m.n; i++)
	{
		key[i % 2 ? 0 : KV_MAX_KEY - 1] = (char) ('a' + i);
		set_row(&m.rows[i], key, KV_MAX_KEY - i % 3, 5, i);
	}
	model_sort(&m);
	check_model(&m, &usual, 20);
	check_model(&m, &small_blocks, 20);
	model_free(&m);
	free(key);
}

KV_TEST(large_value)
{
	Model m = {calloc(64, sizeof(Row)), 40};
	size_t i;

	for (i = 0; i < m.n; i++)
	{
		char key[2] = {'k', (char) i};

		set_row(&m.rows[i], key, 2, 5, i == 20 ? 2u << 20 : 50);
	}
	memset(m.rows[20].value, 'x', 1 << 20); /* half of it compresses */
	model_sort(&m);
	check_model(&m, &usual, 20);
	model_free(&m);
}

KV_TEST(many_versions)
{
	Model m = {calloc(20100, sizeof(Row)), 20000};
	size_t i;

	/* of one key, over many blocks and index partitions, with neighbours */
	for (i = 0; i < m.n; i++)
		set_row(&m.rows[i],
				i < 10		? "key"
				: i > 19990 ? "key2"
							: "key1",
				i < 10 ? 3 : 4, 100 + i, i % 20);
	model_sort(&m);
	{
		PosixEnv *penv = posix_env_open_temp();
		KvSstSummary summary = build_model(penv, &m, &small_blocks);
		KvSstStats stats = {0};
		KvError err;
		KvSst *sst;

		KV_REQUIRE_OK(open_table(penv, NULL, summary.size, no_override, &sst,
								 &err),
					  &err);
		KV_CHECK_OK(kv_sst_verify(sst, &err), &err);
		check_get(sst, &m, kv_slice("key", 3), &stats);
		check_get(sst, &m, kv_slice("key1", 4), &stats);
		check_get(sst, &m, kv_slice("key2", 4), &stats);
		check_get(sst, &m, kv_slice("key11", 5), &stats);
		check_get(sst, &m, kv_slice("ke", 2), &stats);
		check_scans(sst, &m, 0);
		check_moves(sst, &m, 0, 2000, 4, 4);
		kv_sst_close(sst);
		posix_env_remove(penv);
		posix_env_close(penv);
	}
	model_free(&m);
}

/* An ingested run gets csn and xid from the MANIFEST. */
KV_TEST(override)
{
	PosixEnv *penv = posix_env_open_temp();
	Model m = random_model(2000, 10, 10, 3);
	KvSstOverride override = {77, 88};
	KvSstSummary summary;
	KvError err;
	KvSst *sst;
	KvIter *it;
	size_t i;
	size_t n = 0;

	/* one version of each key, without csn and xid */
	for (i = 0; i < m.n; i++)
		m.rows[i].csn = m.rows[i].xid = 0;
	model_sort(&m);
	summary = build_model(penv, &m, &small_blocks);
	KV_CHECK_EQ(summary.max_csn, 0);
	KV_CHECK_EQ(summary.max_xid, 0);
	for (i = 0; i < m.n; i++)
	{
		m.rows[i].csn = 77;
		m.rows[i].xid = 88;
	}
	KV_REQUIRE_OK(open_table(penv, NULL, summary.size, override, &sst, &err),
				  &err);
	KV_CHECK_OK(kv_sst_verify(sst, &err), &err);
	check_gets(sst, &m, 10, 3);
	check_scans(sst, &m, 5000);
	check_moves(sst, &m, 0, 3000, 10, 3);
	KV_REQUIRE_OK(kv_sst_iter(sst, 0, &it, &err), &err);
	/* the versions older than 77: the next key's */
	for (i = 0; i + 1 < m.n && n < 100; i++, n++)
	{
		it->ops->seek(it, row_key(&m.rows[i]), 76);
		KV_REQUIRE(it->valid);
		check_row(&it->entry, &m.rows[i + 1]);
		it->ops->seek(it, row_key(&m.rows[i]), 77);
		KV_REQUIRE(it->valid);
		check_row(&it->entry, &m.rows[i]);
	}
	it->ops->close(it);
	kv_sst_close(sst);
	model_free(&m);
	posix_env_remove(penv);
	posix_env_close(penv);
}

KV_TEST(builder_refuses)
{
	PosixEnv *penv = posix_env_open_temp();
	KvEnv *env = &penv->env;
	KvSstOptions bad = {0, 16384, 10, true, NULL, false};
	KvSstBuilder *b;
	KvSstSummary summary;
	KvFile *file;
	KvError err;
	KvEntry e = {0};

	KV_REQUIRE_OK(env->ops->open(env, MODEL_FILE,
								 KV_OPEN_WRITE | KV_OPEN_CREATE, &file, &err),
				  &err);
	KV_CHECK_STATUS(kv_sst_builder_open(env, &bad, &model_identity, 7, file,
										&b, &err),
					KV_INVALID);
	KV_REQUIRE_OK(kv_sst_builder_open(env, &usual, &model_identity, 7, file,
									  &b, &err),
				  &err);
	e.key = kv_slice("bb", 2);
	e.csn = 5;
	e.kind = KV_KIND_PUT;
	KV_CHECK_OK(kv_sst_builder_add(b, &e, &err), &err);
	KV_CHECK_STATUS(kv_sst_builder_add(b, &e, &err), KV_INVALID);
	e.csn = 6;
	KV_CHECK_STATUS(kv_sst_builder_add(b, &e, &err), KV_INVALID);
	e.key = kv_slice("ba", 2);
	KV_CHECK_STATUS(kv_sst_builder_add(b, &e, &err), KV_INVALID);
	e.key = kv_slice("c", 1);
	e.kind = 4;
	KV_CHECK_STATUS(kv_sst_builder_add(b, &e, &err), KV_INVALID);
	e.kind = KV_KIND_DELETE;
	e.value = kv_slice("x", 1);
	KV_CHECK_STATUS(kv_sst_builder_add(b, &e, &err), KV_INVALID);
	e.kind = KV_KIND_PUT;
	e.value.len = (size_t) KV_MAX_VALUE + 1;
	KV_CHECK_STATUS(kv_sst_builder_add(b, &e, &err), KV_TOO_LARGE);
	/* what was refused left no trace */
	e.value.len = 1;
	KV_CHECK_OK(kv_sst_builder_add(b, &e, &err), &err);
	KV_CHECK_OK(kv_sst_builder_finish(b, &summary, &err), &err);
	KV_CHECK_EQ(summary.entries, 2);
	KV_CHECK_STATUS(kv_sst_builder_add(b, &e, &err), KV_INVALID);
	KV_CHECK_STATUS(kv_sst_builder_finish(b, &summary, &err), KV_INVALID);
	kv_sst_builder_free(b);
	env->ops->close(env, file);
	posix_env_remove(penv);
	posix_env_close(penv);
}

/* No memory at any one place: a status, nothing leaked, no crash. */
KV_TEST(no_memory)
{
	PosixEnv *penv = posix_env_open_temp();
	Model m = random_model(2000, 10, 30, 3);
	KvSstSummary summary = build_model(penv, &m, &small_blocks);
	int64_t budget;

	for (budget = 0; budget < 60; budget++)
	{
		Row miss = random_row(10, 0, 3);
		KvSst *sst = NULL;
		KvIter *it = NULL;
		KvError err;
		KvStatus status;

		penv->alloc_budget = budget;
		status = open_table(penv, NULL, summary.size, no_override, &sst, &err);
		if (status == KV_OK)
			status = kv_sst_iter(sst, 3000, &it, &err);
		if (status == KV_OK)
		{
			it->ops->first(it);
			while (it->valid)
				it->ops->next(it);
			status = it->status;
			it->ops->seek_before(it, row_key(&miss));
			if (status == KV_OK)
				status = kv_sst_verify(sst, &err);
		}
		if (status != KV_OK)
			KV_CHECK_STATUS(status, KV_NO_MEMORY);
		penv->alloc_budget = -1;
		if (it != NULL)
		{
			/* with memory again it works again */
			it->ops->last(it);
			KV_CHECK(it->valid);
			it->ops->close(it);
		}
		if (sst != NULL)
			kv_sst_close(sst);
		KV_CHECK_EQ(penv->live_allocs, 0);
		KV_CHECK_EQ(penv->live_files, 0);
		row_free(&miss);
	}
	model_free(&m);
	posix_env_remove(penv);
	posix_env_close(penv);
}

KV_TEST(false_positives)
{
	PosixEnv *penv = posix_env_open_temp();
	Model m = {calloc(100000, sizeof(Row)), 100000};
	KvSstStats stats = {0};
	KvSstSummary summary;
	KvCache cache;
	void *area = new_cache(&cache, &penv->env, 2000, 16384);
	KvError err;
	KvSst *sst;
	double rate;
	size_t i;

	for (i = 0; i < m.n; i++)
	{
		uint64_t k = kv_rand() >> 8;
		char key[8];

		kv_put_u64(key, k);
		set_row(&m.rows[i], key, 8, 1, 0);
	}
	model_sort(&m);
	summary = build_model(penv, &m, &usual);
	KV_REQUIRE_OK(open_table(penv, &cache, summary.size, no_override, &sst,
							 &err),
				  &err);
	for (i = 0; i < m.n; i++)
	{
		m.rows[i].key[7] = 1; /* absent, and spread like those present */
		KV_CHECK_OK(kv_sst_get(sst, row_key(&m.rows[i]),
							   kv_key_hash(row_key(&m.rows[i])), NULL, NULL,
							   &stats, &err),
					&err);
	}
	rate = 1.0 - (double) stats.filter_negatives / (double) stats.filter_checks;
	KV_CHECK(stats.filter_checks > m.n - 100);
	if (rate > 0.0125)
		kv_test_fail(__FILE__, __LINE__, "false positives: %.2f %%",
					 100 * rate);
	kv_sst_close(sst);
	free(area);
	model_free(&m);
	posix_env_remove(penv);
	posix_env_close(penv);
}

/*
 * Filter and index partitions lie in the cache, and data that flows through
 * it does not push them out.
 */
KV_TEST(filter_and_index_stay_in_the_cache)
{
	PosixEnv *penv = posix_env_open_temp();
	Model m = {calloc(400, sizeof(Row)), 400};
	KvSstStats first = {0}, again = {0}, later = {0};
	KvSstSummary summary;
	KvCache cache;
	void *area = new_cache(&cache, &penv->env, 64, 1024);
	const char *data;
	char block[1024] = {0};
	uint32_t pin;
	KvError err;
	KvSst *sst;
	size_t i;

	for (i = 0; i < m.n; i++)
	{
		char key[8] = {0};

		key[3] = 1;
		kv_store_be32(key + 4, (uint32_t) i);
		set_row(&m.rows[i], key, 8, 1, 20);
	}
	summary = build_model(penv, &m, &small_blocks);
	KV_REQUIRE_OK(open_table(penv, &cache, summary.size, no_override, &sst,
							 &err),
				  &err);
	KV_CHECK_OK(kv_sst_get(sst, row_key(&m.rows[200]),
						   kv_key_hash(row_key(&m.rows[200])), stop_at_first,
						   NULL, &first, &err),
				&err);
	KV_CHECK_EQ(first.blocks_read, 3); /* filter, index, data */
	KV_CHECK_EQ(first.blocks_cached, 0);
	KV_CHECK_OK(kv_sst_get(sst, row_key(&m.rows[200]),
						   kv_key_hash(row_key(&m.rows[200])), stop_at_first,
						   NULL, &again, &err),
				&err);
	KV_CHECK_EQ(again.blocks_read, 0);
	KV_CHECK_EQ(again.blocks_cached, 3);
	for (i = 0; i < 250; i++)
		if (kv_cache_insert(&cache, 99, i, block, 1000, false, &data, &pin))
			kv_cache_unpin(&cache, pin);
	KV_CHECK_OK(kv_sst_get(sst, row_key(&m.rows[200]),
						   kv_key_hash(row_key(&m.rows[200])), stop_at_first,
						   NULL, &later, &err),
				&err);
	KV_CHECK_EQ(later.blocks_read, 1); /* data */
	KV_CHECK_EQ(later.blocks_cached, 2);
	kv_sst_close(sst);
	free(area);
	model_free(&m);
	posix_env_remove(penv);
	posix_env_close(penv);
}
