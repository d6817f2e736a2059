/* SPDX-License-Identifier: PostgreSQL */
/*
 * sst_golden_test.c - tables written long ago open for ever.
 *
 * test/golden/sst_v1*.sst are never written again: a change of the format
 * gets files of its own.  The .txt beside each lists its entries.  Run in
 * the top directory.  KV_GOLDEN=folder writes the files of the current
 * version there instead.
 */
#include "sst_model.h"

#include <inttypes.h>

#define FOLDER "test/golden"

static const KvSstOverride no_override = {0, 0};

typedef struct Text
{
	char *data;
	size_t len, cap;
} Text;

static void
print(Text *t, const char *fmt, uint64_t v)
{
	if (t->cap - t->len < 64)
	{
		t->cap = 2 * t->cap + 4096;
		t->data = realloc(t->data, t->cap);
		KV_REQUIRE(t->data != NULL);
	}
	t->len += (size_t) snprintf(t->data + t->len, 64, fmt, v);
}

static void
print_hex(Text *t, KvSlice s)
{
	size_t i;

	for (i = 0; i < s.len; i++)
		print(t, "%02" PRIx64, (uint8_t) s.data[i]);
	if (s.len == 0)
		print(t, "-", 0);
}

static void
print_entry(Text *t, const KvEntry *e)
{
	print_hex(t, e->key);
	print(t, " %" PRIu64, e->csn);
	print(t, " %" PRIu64, e->xid);
	print(t, " %" PRIu64, e->kind);
	print(t, " %" PRId64 " ", (uint64_t) e->expires_us);
	print_hex(t, e->value);
	print(t, "\n", 0);
}

/* key csn xid kind expiry value; range deletes last */
static Text
list_table(KvSst *sst)
{
	Text t = {NULL, 0, 0};
	const KvEntry *ranges;
	uint32_t i, n;
	KvIter *it;
	KvError err;

	KV_REQUIRE_OK(kv_sst_iter(sst, 0, &it, &err), &err);
	for (it->ops->first(it); it->valid; it->ops->next(it))
		print_entry(&t, &it->entry);
	KV_CHECK_OK(it->status, &err);
	it->ops->close(it);
	ranges = kv_sst_range_deletes(sst, &n);
	for (i = 0; i < n; i++)
		print_entry(&t, &ranges[i]);
	return t;
}

static Text
read_all(KvEnv *env, const char *name)
{
	Text t = {NULL, 0, 0};
	KvFile *file;
	KvError err;
	uint64_t size;

	KV_REQUIRE_OK(env->ops->open(env, name, KV_OPEN_READ, &file, &err), &err);
	KV_REQUIRE_OK(env->ops->size(env, file, &size, &err), &err);
	t.data = malloc(size + 1);
	KV_REQUIRE_OK(env->ops->pread(env, file, t.data, size, 0, &t.len, &err),
				  &err);
	env->ops->close(env, file);
	return t;
}

static bool
count_version(void *arg, const KvEntry *e)
{
	(void) e;
	++*(size_t *) arg;
	return false;
}

/* Every key of the listing is found by itself, too. */
static void
check_keys(KvSst *sst, uint64_t entries)
{
	KvSlice last = {NULL, 0};
	char key[256];
	KvIter *it;
	KvError err;
	size_t n = 0;

	KV_REQUIRE_OK(kv_sst_iter(sst, 0, &it, &err), &err);
	for (it->ops->first(it); it->valid; it->ops->next(it))
	{
		if (last.data != NULL && kv_slice_equal(last, it->entry.key))
			continue;
		KV_REQUIRE(it->entry.key.len <= sizeof(key));
		memcpy(key, it->entry.key.data, it->entry.key.len);
		last = kv_slice(key, it->entry.key.len);
		KV_CHECK_OK(kv_sst_get(sst, last, kv_key_hash(last), count_version, &n,
							   NULL, &err),
					&err);
	}
	KV_CHECK_EQ(n, entries);
	it->ops->close(it);
}

static void
check_golden(const char *name, const char *list)
{
	PosixEnv *penv = posix_env_open(FOLDER);
	KvEnv *env = &penv->env;
	KvError err;
	KvFile *file;
	KvSst *sst;
	uint64_t size;
	uint64_t lines = 0;
	uint32_t ranges;
	Text got;
	Text want;
	size_t i;

	KV_REQUIRE_OK(env->ops->open(env, name, KV_OPEN_READ, &file, &err), &err);
	KV_REQUIRE_OK(env->ops->size(env, file, &size, &err), &err);
	KV_REQUIRE_OK(kv_sst_open(env, NULL, &model_identity, MODEL_FILE_NO, file,
							  size, no_override, &sst, &err),
				  &err);
	KV_CHECK_OK(kv_sst_verify(sst, &err), &err);
	got = list_table(sst);
	want = read_all(env, list);
	KV_CHECK_SLICES(kv_slice(got.data, got.len), kv_slice(want.data, want.len));
	for (i = 0; i < want.len; i++)
		lines += want.data[i] == '\n';
	(void) kv_sst_range_deletes(sst, &ranges);
	check_keys(sst, lines - ranges);
	kv_sst_close(sst);
	free(got.data);
	free(want.data);
	KV_CHECK_EQ(penv->live_allocs, 0);
	posix_env_close(penv);
}

KV_TEST(version_1) { check_golden("sst_v1.sst", "sst_v1.txt"); }

/* the example of docs/format_sst.md */
KV_TEST(version_1_example)
{
	check_golden("sst_v1_example.sst", "sst_v1_example.txt");
}

/* with range deletes, some of which begin at a key or end at one */
KV_TEST(version_1_ranges)
{
	check_golden("sst_v1_ranges.sst", "sst_v1_ranges.txt");
}

/* range deletes and nothing else */
KV_TEST(version_1_only_ranges)
{
	check_golden("sst_v1_only_ranges.sst", "sst_v1_only_ranges.txt");
}

/* ---- writing them ---- */

static void
write_golden(PosixEnv *penv, const char *name, const char *list,
			 const Model *m, const KvSstOptions *options)
{
	KvEnv *env = &penv->env;
	KvSstSummary summary;
	KvError err;
	KvFile *file;
	KvSst *sst;
	Text t;

	atomic_store(&penv->random_state, 1);
	summary = build_model(penv, m, options);
	KV_REQUIRE_OK(open_table(penv, NULL, summary.size, no_override, &sst, &err),
				  &err);
	t = list_table(sst);
	kv_sst_close(sst);
	KV_REQUIRE_OK(env->ops->link(env, MODEL_FILE, name, &err), &err);
	KV_REQUIRE_OK(env->ops->unlink(env, MODEL_FILE, &err), &err);
	KV_REQUIRE_OK(env->ops->open(env, list, KV_OPEN_WRITE | KV_OPEN_CREATE,
								 &file, &err),
				  &err);
	KV_REQUIRE_OK(env->ops->pwrite(env, file, t.data, t.len, 0, &err), &err);
	env->ops->close(env, file);
	free(t.data);
}

static Row
make_row(const char *key, uint64_t csn, uint64_t xid, KvKind kind,
		 const char *value)
{
	Row r = {0};

	r.key_len = 4 + strlen(key);
	r.key = calloc(1, r.key_len + 1);
	r.key[3] = 1; /* store 1 */
	memcpy(r.key + 4, key, strlen(key));
	r.value = strdup(value);
	r.value_len = strlen(value);
	if (kind == KV_KIND_RANGE_DELETE)
	{
		free(r.value);
		r.value_len += 4;
		r.value = calloc(1, r.value_len + 1);
		r.value[3] = 1;
		memcpy(r.value + 4, value, strlen(value));
	}
	r.csn = csn;
	r.xid = xid;
	r.kind = (uint8_t) kind;
	if (kind == KV_KIND_PUT_EXPIRING)
		r.expires_us = INT64_C(850000000000000) + (int64_t) csn;
	return r;
}

KV_TEST(write_files)
{
	const char *folder = getenv("KV_GOLDEN");
	KvSstOptions options = {512, 1024, 10, true, NULL, false};
	KvSstOptions plain = {4096, 8192, 10, false, NULL, false};
	KvSstOptions ranges = {.block_bytes = 512,
						   .frame_bytes = 1024,
						   .filter_bits = 10,
						   .lz4 = true,
						   .range_deletes = true};
	PosixEnv *penv;
	Model m = {calloc(700, sizeof(Row)), 0};
	size_t i;

	if (folder == NULL)
	{
		free(m.rows);
		return;
	}
	penv = posix_env_open(folder);
	m.rows[m.n++] = make_row("apple", 12, 750, KV_KIND_PUT, "red");
	m.rows[m.n++] = make_row("apple", 10, 0, KV_KIND_PUT, "green");
	m.rows[m.n++] = make_row("apricot", 11, 750, KV_KIND_DELETE, "");
	m.rows[m.n++] = make_row("banana", 0, 0, KV_KIND_PUT_EXPIRING, "yellow");
	model_sort(&m);
	write_golden(penv, "sst_v1_example.sst", "sst_v1_example.txt", &m, &plain);
	model_free(&m);

	m.rows = calloc(700, sizeof(Row));
	m.n = 0;
	for (i = 0; i < 600; i++)
	{
		char key[40];
		char value[60];

		/* half of the rows are versions of four keys */
		(void) snprintf(key, sizeof(key), i % 2 ? "key-%zu" : "hot-%zu",
						i % 2 ? i * 7919 % 1000 : i % 8);
		(void) snprintf(value, sizeof(value), "value %zu of %s", i, key);
		m.rows[m.n++] = make_row(key, i % 9 == 3 ? 0 : 1000 + i * 31 % 601,
								 i % 3 ? 0 : 5000000000 + i % 7,
								 (KvKind) (1 + i % 3), i % 3 == 1 ? "" : value);
	}
	model_sort(&m);
	write_golden(penv, "sst_v1.sst", "sst_v1.txt", &m, &options);
	model_free(&m);

	m.rows = calloc(700, sizeof(Row));
	m.n = 0;
	m.rows[m.n++] = make_row("b", 2000, 0, KV_KIND_RANGE_DELETE, "c");
	m.rows[m.n++] = make_row("b", 1990, 77, KV_KIND_RANGE_DELETE, "zz");
	m.rows[m.n++] = make_row("hot-0", 900, 0, KV_KIND_RANGE_DELETE, "hot-6");
	model_sort(&m);
	write_golden(penv, "sst_v1_only_ranges.sst", "sst_v1_only_ranges.txt", &m,
				 &ranges);
	for (i = 0; i < 100; i++)
	{
		char key[40];

		(void) snprintf(key, sizeof(key), "hot-%zu", i % 8);
		m.rows[m.n++] = make_row(key, 1000 + i, 0, KV_KIND_PUT, "value");
	}
	model_sort(&m);
	write_golden(penv, "sst_v1_ranges.sst", "sst_v1_ranges.txt", &m, &ranges);
	model_free(&m);
	posix_env_close(penv);
}
