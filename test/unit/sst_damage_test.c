/* SPDX-License-Identifier: PostgreSQL */
/*
 * sst_damage_test.c - damaged and hostile tables: an error or the right
 * answer, never a wrong one, never a crash.
 */
#include "sst_model.h"

#include "engine/sst/sst_internal.h"

static const KvSstOverride no_override = {0, 0};
static const KvSstOptions small_blocks = {256, 512, 10, true, NULL, false};

typedef struct Bytes
{
	char *data;
	size_t len;
} Bytes;

typedef struct Fixture
{
	PosixEnv *penv;
	Model m;
	Bytes good;
} Fixture;

static Bytes
read_file(PosixEnv *penv, uint64_t size)
{
	KvEnv *env = &penv->env;
	Bytes b = {malloc(size), size};
	KvFile *file;
	KvError err;
	size_t got;

	KV_REQUIRE_OK(env->ops->open(env, MODEL_FILE, KV_OPEN_READ, &file, &err),
				  &err);
	KV_REQUIRE_OK(env->ops->pread(env, file, b.data, size, 0, &got, &err),
				  &err);
	KV_REQUIRE(got == size);
	env->ops->close(env, file);
	return b;
}

static void
write_file(PosixEnv *penv, const char *data, size_t len)
{
	KvEnv *env = &penv->env;
	KvFile *file;
	KvError err;

	(void) env->ops->unlink(env, MODEL_FILE, &err);
	KV_REQUIRE_OK(env->ops->open(env, MODEL_FILE,
								 KV_OPEN_WRITE | KV_OPEN_CREATE, &file, &err),
				  &err);
	KV_REQUIRE_OK(env->ops->pwrite(env, file, data, len, 0, &err), &err);
	env->ops->close(env, file);
}

static void
poke(PosixEnv *penv, KvFile *file, char byte, uint64_t at)
{
	KvError err;

	KV_REQUIRE_OK(penv->env.ops->pwrite(&penv->env, file, &byte, 1, at, &err),
				  &err);
}

static Fixture
set_up(size_t n, bool lz4)
{
	KvSstOptions options = small_blocks;
	Fixture f;
	KvSstSummary summary;

	options.lz4 = lz4;
	f.penv = posix_env_open_temp();
	f.m = random_model(n, 6, 30, 3);
	summary = build_model(f.penv, &f.m, &options);
	f.good = read_file(f.penv, summary.size);
	return f;
}

static void
tear_down(Fixture *f)
{
	KV_CHECK_EQ(f->penv->live_allocs, 0);
	KV_CHECK_EQ(f->penv->live_files, 0);
	free(f->good.data);
	model_free(&f->m);
	posix_env_remove(f->penv);
	posix_env_close(f->penv);
}

/* ---- reading what may be damaged ---- */

typedef struct Visit
{
	const Model *m;
	size_t next;
	size_t seen;
	bool sound;
} Visit;

static bool
visit(void *arg, const KvEntry *e)
{
	Visit *v = arg;

	v->sound = v->sound && v->next < v->m->n &&
			   row_equals(&v->m->rows[v->next], e);
	v->next++;
	v->seen++;
	return !v->sound;
}

static bool
is_refusal(KvStatus status)
{
	return status == KV_CORRUPT || status == KV_UNSUPPORTED ||
		   status == KV_FOREIGN;
}

/* Every answer is right, or there is none. */
static void
check_answers(KvSst *sst, const Model *m)
{
	KvError err;
	KvIter *it;
	size_t i;

	for (i = 0; i < m->n; i++)
	{
		KvSlice key = row_key(&m->rows[i]);
		size_t at = model_seek(m, key, UINT64_MAX);
		Visit v = {m, at, 0, true};
		size_t n = 0;
		KvStatus status = kv_sst_get(sst, key, kv_key_hash(key), visit, &v,
									 NULL, &err);

		while (at + n < m->n && kv_slice_equal(row_key(&m->rows[at + n]), key))
			n++;
		KV_CHECK(v.sound);
		if (status == KV_OK)
			KV_CHECK_EQ(v.seen, n);
		else
			KV_CHECK_STATUS(status, KV_CORRUPT);
	}
	KV_REQUIRE_OK(kv_sst_iter(sst, 1000, &it, &err), &err);
	i = 0;
	for (it->ops->first(it); it->valid; it->ops->next(it))
	{
		KV_CHECK(i < m->n && row_equals(&m->rows[i], &it->entry));
		i++;
	}
	if (it->status == KV_OK)
		KV_CHECK_EQ(i, m->n);
	i = m->n;
	for (it->ops->last(it); it->valid; it->ops->prev(it))
	{
		KV_CHECK(i > 0 && row_equals(&m->rows[i - 1], &it->entry));
		i--;
	}
	if (it->status == KV_OK)
		KV_CHECK_EQ(i, 0);
	it->ops->close(it);
}

/* Touches everything; answers do not matter. */
static void
exercise(KvSst *sst, const Model *m)
{
	KvError err;
	KvIter *it;
	size_t i;

	(void) !kv_sst_verify(sst, &err);
	for (i = 0; i < m->n; i++)
	{
		KvSlice key = row_key(&m->rows[i]);
		Visit v = {m, 0, 0, false};

		(void) !kv_sst_get(sst, key, kv_key_hash(key), visit, &v, NULL, &err);
		(void) kv_sst_offset_of(sst, key);
	}
	KV_REQUIRE_OK(kv_sst_iter(sst, 1000, &it, &err), &err);
	for (it->ops->first(it); it->valid; it->ops->next(it))
		;
	for (it->ops->last(it); it->valid; it->ops->prev(it))
		;
	for (i = 0; i < m->n; i += 5)
	{
		it->ops->seek(it, row_key(&m->rows[i]), m->rows[i].csn);
		if (it->valid)
			it->ops->prev(it);
		it->ops->seek_before(it, row_key(&m->rows[i]));
		if (it->valid)
			it->ops->next(it);
	}
	it->ops->close(it);
}

/* ---- the tests ---- */

KV_TEST(every_byte)
{
	static const char masks[] = {0x01, (char) 0x80, (char) 0xff};
	Fixture f = set_up(50, true);
	KvEnv *env = &f.penv->env;
	KvFile *file;
	KvError err;
	size_t at;

	KV_REQUIRE_OK(env->ops->open(env, MODEL_FILE, KV_OPEN_WRITE, &file, &err),
				  &err);
	for (at = 0; at < f.good.len && kv_test_failures() == 0; at++)
	{
		size_t k;

		for (k = 0; k < sizeof(masks); k++)
		{
			KvStatus status;
			KvSst *sst;

			poke(f.penv, file, f.good.data[at] ^ masks[k], at);
			status = open_table(f.penv, NULL, f.good.len, no_override, &sst,
								&err);
			if (status == KV_OK)
			{
				check_answers(sst, &f.m);
				KV_CHECK_STATUS(kv_sst_verify(sst, &err), KV_CORRUPT);
				KV_CHECK_EQ(err.file_no, MODEL_FILE_NO);
				kv_sst_close(sst);
			}
			else
				KV_CHECK(is_refusal(status));
		}
		poke(f.penv, file, f.good.data[at], at);
	}
	env->ops->close(env, file);
	tear_down(&f);
}

/* Damage that comes after the table was opened. */
KV_TEST(rot_while_open)
{
	Fixture f = set_up(70, false);
	KvEnv *env = &f.penv->env;
	KvFile *file;
	KvSst *sst;
	KvError err;
	size_t at;

	KV_REQUIRE_OK(env->ops->open(env, MODEL_FILE, KV_OPEN_WRITE, &file, &err),
				  &err);
	KV_REQUIRE_OK(open_table(f.penv, NULL, f.good.len, no_override, &sst, &err),
				  &err);
	for (at = 0; at < f.good.len && kv_test_failures() == 0; at++)
	{
		poke(f.penv, file, f.good.data[at] ^ 0x10, at);
		check_answers(sst, &f.m);
		KV_CHECK_STATUS(kv_sst_verify(sst, &err), KV_CORRUPT);
		poke(f.penv, file, f.good.data[at], at);
	}
	KV_CHECK_OK(kv_sst_verify(sst, &err), &err);
	kv_sst_close(sst);
	env->ops->close(env, file);
	tear_down(&f);
}

KV_TEST(cut_files)
{
	Fixture f = set_up(60, true);
	size_t len;

	for (len = 0; len < f.good.len; len++)
	{
		KvSst *sst;
		KvError err;

		write_file(f.penv, f.good.data, len);
		/* the MANIFEST knows better, or it was told the same lie */
		KV_CHECK_STATUS(open_table(f.penv, NULL, f.good.len, no_override, &sst,
								   &err),
						KV_CORRUPT);
		KV_CHECK_STATUS(open_table(f.penv, NULL, len, no_override, &sst, &err),
						KV_CORRUPT);
	}
	tear_down(&f);
}

KV_TEST(wrong_identity)
{
	Fixture f = set_up(20, true);
	KvEnv *env = &f.penv->env;
	KvIdentity other = model_identity;
	KvFile *file;
	KvSst *sst;
	KvError err;

	KV_REQUIRE_OK(env->ops->open(env, MODEL_FILE, KV_OPEN_READ, &file, &err),
				  &err);
	KV_CHECK_STATUS(kv_sst_open(env, NULL, &model_identity, MODEL_FILE_NO + 1,
								file, f.good.len, no_override, &sst, &err),
					KV_CORRUPT);
	other.system_id++;
	KV_CHECK_STATUS(kv_sst_open(env, NULL, &other, MODEL_FILE_NO, file,
								f.good.len, no_override, &sst, &err),
					KV_FOREIGN);
	env->ops->close(env, file);
	tear_down(&f);
}

#define MAX_BLOCKS 500

typedef struct Place
{
	KvBlockHandle h;
	KvBlockKind kind;
} Place;

static size_t
add_place(Place *places, size_t n, KvBlockHandle h, KvBlockKind kind)
{
	KV_REQUIRE(n < MAX_BLOCKS);
	places[n].h = h;
	places[n].kind = kind;
	return n + 1;
}

/* Where the blocks of a sound table are. */
static size_t
find_blocks(KvSst *sst, Place *places)
{
	size_t n = 0;
	KvBlockHandle h;
	KvError err;

	n = add_place(places, n, sst->footer.top, KV_BLOCK_TOP);
	n = add_place(places, n, sst->footer.filter_dir, KV_BLOCK_FILTER_DIR);
	n = add_place(places, n, sst->footer.properties, KV_BLOCK_PROPERTIES);
	for (kv_cursor_first(&sst->filter_dir); sst->filter_dir.valid;
		 kv_cursor_next(&sst->filter_dir))
	{
		KV_REQUIRE_OK(kv_sst_handle_at(sst, &sst->filter_dir, &h, &err), &err);
		n = add_place(places, n, h, KV_BLOCK_FILTER);
	}
	for (kv_cursor_first(&sst->top); sst->top.valid; kv_cursor_next(&sst->top))
	{
		KvBlockRef ref;

		KV_REQUIRE_OK(kv_sst_handle_at(sst, &sst->top, &h, &err), &err);
		n = add_place(places, n, h, KV_BLOCK_INDEX);
		KV_REQUIRE_OK(kv_sst_open_block(sst, h, KV_BLOCK_INDEX, &ref,
										&sst->index, NULL, &err),
					  &err);
		for (kv_cursor_first(&sst->index); sst->index.valid;
			 kv_cursor_next(&sst->index))
		{
			KV_REQUIRE_OK(kv_sst_handle_at(sst, &sst->index, &h, &err), &err);
			n = add_place(places, n, h, KV_BLOCK_DATA);
		}
		kv_sst_release(sst, &ref);
	}
	return n;
}

/* Makes the checksum of a block right again. */
static void
forge(char *file, const Place *p, uint64_t salt)
{
	char *stored = file + p->h.offset;
	size_t len = (size_t) p->h.size - KV_BLOCK_TRAILER;

	(void) kv_put_u64(stored + len + 5,
					  kv_checksum(salt, MODEL_FILE_NO, p->h.offset,
								  (uint8_t) p->kind, stored, len + 5));
}

/* Random bytes under valid checksums, in blocks that are not compressed. */
KV_TEST(forged_blocks)
{
	Fixture f = set_up(200, false);
	Place places[MAX_BLOCKS];
	char *copy = malloc(f.good.len);
	int rounds = kv_test_long() ? 200000 : 1500;
	uint64_t salt;
	KvError err;
	KvSst *sst;
	size_t n;

	KV_REQUIRE_OK(open_table(f.penv, NULL, f.good.len, no_override, &sst, &err),
				  &err);
	n = find_blocks(sst, places);
	salt = sst->salt;
	kv_sst_close(sst);
	while (rounds-- > 0 && kv_test_failures() == 0)
	{
		/* the few directories get as much as the many data blocks */
		size_t pick = kv_rand_below(2) ? kv_rand_below(n) : kv_rand_below(6);
		const Place *p = &places[pick < n ? pick : 0];
		size_t changes = 1 + kv_rand_below(3);

		memcpy(copy, f.good.data, f.good.len);
		while (changes-- > 0)
		{
			/* often in the arrays and the tail, sometimes in the trailer */
			size_t len = (size_t) p->h.size - 8;
			size_t at = kv_rand_below(2)
							? kv_rand_below(len)
							: len - 1 - kv_rand_below(len < 64 ? len : 64);
			char *byte = copy + p->h.offset + at;

			*byte = kv_rand_below(3)
						? (char) kv_rand()
						: (char) (*byte + (kv_rand_below(2) ? 1 : -1));
		}
		forge(copy, p, salt);
		write_file(f.penv, copy, f.good.len);
		if (open_table(f.penv, NULL, f.good.len, no_override, &sst, &err) ==
			KV_OK)
		{
			exercise(sst, &f.m);
			kv_sst_close(sst);
		}
	}
	free(copy);
	tear_down(&f);
}

/* A block in another's place, with its checksum, is not taken for it. */
KV_TEST(swapped_blocks)
{
	Fixture f = set_up(200, false);
	Place places[MAX_BLOCKS];
	char *copy = malloc(f.good.len);
	KvError err;
	KvSst *sst;
	size_t n;
	size_t a;
	size_t b;
	int swaps = 0;

	KV_REQUIRE_OK(open_table(f.penv, NULL, f.good.len, no_override, &sst, &err),
				  &err);
	n = find_blocks(sst, places);
	kv_sst_close(sst);
	for (a = 3; a < n; a++)
		for (b = a + 1; b < n && b < a + 20; b++)
		{
			KvBlockHandle x = places[a].h;
			KvBlockHandle y = places[b].h;

			if (x.size != y.size)
				continue;
			swaps++;
			memcpy(copy, f.good.data, f.good.len);
			memcpy(copy + x.offset, f.good.data + y.offset, x.size);
			memcpy(copy + y.offset, f.good.data + x.offset, x.size);
			write_file(f.penv, copy, f.good.len);
			KV_REQUIRE_OK(open_table(f.penv, NULL, f.good.len, no_override,
									 &sst, &err),
						  &err);
			check_answers(sst, &f.m);
			KV_CHECK_STATUS(kv_sst_verify(sst, &err), KV_CORRUPT);
			kv_sst_close(sst);
		}
	KV_CHECK(swaps > 0);
	free(copy);
	tear_down(&f);
}
