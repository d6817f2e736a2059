/* SPDX-License-Identifier: PostgreSQL */
/*
 * verify_test.c - kv_verify finds what was damaged, and only that.
 */
#include "db_support.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

#include "engine/lsm/db_internal.h"

typedef struct Findings
{
	int good, bad;
	char file[KV_NAME_MAX]; /* of the last problem */
	int stop_after;			/* calls; 0: never */
} Findings;

static bool
note(void *arg, const char *file, const char *problem)
{
	Findings *f = arg;

	if (problem == NULL)
		f->good++;
	else
	{
		f->bad++;
		snprintf(f->file, sizeof(f->file), "%s", file);
	}
	return f->stop_after == 0 || f->good + f->bad < f->stop_after;
}

static Findings
verify(TestDb *t)
{
	Findings f = {0};
	KvError err;

	KV_CHECK_OK(kv_verify(t->db, note, &f, &err), &err);
	return f;
}

/* Files in several levels, and something in memory. */
static TestDb
store_with_files(void)
{
	TestDb t;
	KvError err;
	char key[32];
	int i;

	test_db_init(&t);
	t.penv->no_sync = true;
	KV_REQUIRE_OK(test_db_open(&t, &err), &err);
	for (i = 0; i < 5000; i++)
	{
		snprintf(key, sizeof(key), "k%05d", i * 7 % 5000);
		test_put(&t, key, "a value that is long enough to matter");
		if (i == 3000)
			test_compact(&t);
		if (i == 4500)
			test_flush(&t);
	}
	return t;
}

/* Names of the live tables. */
static int
live_files(TestDb *t, char names[][KV_NAME_MAX], int cap)
{
	const KvVersion *v = kv_version_acquire(t->db);
	int i, n = (int) v->level_start[KV_LEVELS];

	KV_REQUIRE(n <= cap);
	for (i = 0; i < n; i++)
		kv_file_name(names[i], KV_NAME_SST,
					 kv_file_at(t->db, v->files[i])->meta.file_no);
	kv_version_release(t->db);
	return n;
}

KV_TEST(a_sound_store_has_no_findings)
{
	TestDb t = store_with_files();
	char names[100][KV_NAME_MAX];
	int n = live_files(&t, names, 100);
	Findings f = verify(&t);

	KV_CHECK(n > 5);
	KV_CHECK_EQ(f.bad, 0);
	KV_CHECK(f.good > n); /* memtables too */
	test_db_free(&t);
}

KV_TEST(report_may_stop_it)
{
	TestDb t = store_with_files();
	Findings f = {.stop_after = 3};
	KvError err;

	KV_CHECK_OK(kv_verify(t.db, note, &f, &err), &err);
	KV_CHECK_EQ(f.good, 3);
	test_db_free(&t);
}

static void
flip(TestDb *t, const char *name, uint64_t offset)
{
	int fd = openat(t->penv->dir_fd, name, O_RDWR);
	char byte;

	KV_REQUIRE(fd >= 0);
	KV_REQUIRE(pread(fd, &byte, 1, (off_t) offset) == 1);
	byte ^= 0x10;
	KV_REQUIRE(pwrite(fd, &byte, 1, (off_t) offset) == 1);
	(void) close(fd);
}

KV_TEST(every_damaged_byte_is_found)
{
	TestDb t = store_with_files();
	char names[100][KV_NAME_MAX];
	int n = live_files(&t, names, 100), round;

	for (round = 0; round < 200 && kv_test_failures() == 0; round++)
	{
		const char *name = names[kv_rand_below((uint64_t) n)];
		int fd = openat(t.penv->dir_fd, name, O_RDONLY);
		off_t size = lseek(fd, 0, SEEK_END);
		uint64_t offset = kv_rand_below((uint64_t) size);
		Findings f;

		(void) close(fd);
		flip(&t, name, offset);
		f = verify(&t);
		KV_CHECK(f.bad > 0);
		KV_CHECK(strcmp(f.file, name) == 0);
		flip(&t, name, offset);
	}
	KV_CHECK_EQ(verify(&t).bad, 0);
	test_db_free(&t);
}

KV_TEST(missing_and_short_files_are_found)
{
	TestDb t = store_with_files();
	char names[100][KV_NAME_MAX];
	int n = live_files(&t, names, 100);
	Findings f;

	KV_REQUIRE(renameat(t.penv->dir_fd, names[n - 1], t.penv->dir_fd,
						"kept") == 0);
	f = verify(&t);
	KV_CHECK_EQ(f.bad, 1);
	KV_CHECK(strcmp(f.file, names[n - 1]) == 0);
	KV_REQUIRE(renameat(t.penv->dir_fd, "kept", t.penv->dir_fd,
						names[n - 1]) == 0);
	KV_CHECK_EQ(verify(&t).bad, 0);
	test_db_free(&t);
}

/* A file that is sound in itself but not the one that the MANIFEST means. */
KV_TEST(files_that_changed_places_are_found)
{
	TestDb t = store_with_files();
	char names[100][KV_NAME_MAX];
	int n = live_files(&t, names, 100);

	KV_REQUIRE(renameat(t.penv->dir_fd, names[n - 1], t.penv->dir_fd, "a") == 0);
	KV_REQUIRE(renameat(t.penv->dir_fd, names[n - 2], t.penv->dir_fd,
						names[n - 1]) == 0);
	KV_REQUIRE(renameat(t.penv->dir_fd, "a", t.penv->dir_fd, names[n - 2]) == 0);
	KV_CHECK(verify(&t).bad >= 2);
	test_db_free(&t);
}

/* The MANIFEST's own words are compared with what is there. */
KV_TEST(a_wrong_meta_is_found)
{
	TestDb t = store_with_files();
	const KvVersion *v = kv_version_acquire(t.db);
	KvFileMeta *meta = &kv_file_at(t.db, v->files[v->level_start[1]])->meta;
	KvFileMeta right = *meta;
	int i;

	kv_version_release(t.db);
	for (i = 0; i < 6; i++)
	{
		*meta = right;
		switch (i)
		{
		case 0:
			meta->entries++;
			break;
		case 1:
			meta->tombstones++;
			break;
		case 2:
			meta->max_csn++;
			break;
		case 3:
			meta->max_xid++;
			break;
		case 4:
			meta->digest++;
			break;
		case 5:
			meta->largest[meta->largest_len - 1]--;
			break;
		}
		KV_CHECK(verify(&t).bad > 0);
	}
	*meta = right;
	KV_CHECK_EQ(verify(&t).bad, 0);
	test_db_free(&t);
}
