/* SPDX-License-Identifier: PostgreSQL */
/*
 * golden_test.c - WAL, MANIFEST and CURRENT files of every format version
 * open for ever, and today's writer still makes the same bytes.
 *
 * docs/format.md explains the files of version 1 byte by byte.  With
 * KV_GOLDEN=write the files of the newest version are made anew: only right
 * for a version that nobody has written yet.
 */
#include "harness.h"

#include "engine/lsm/db_internal.h"
#include "engine/lsm/manifest.h"
#include "engine/wal/wal.h"
#include "env_sim.h"

#define WAL_V1		   "test/golden/wal_v1.wal"
#define WAL_V2		   "test/golden/wal_v2.wal"
#define MANIFEST_FILE  "test/golden/manifest_v1.manifest"
#define CURRENT_FILE   "test/golden/manifest_v1.current"
#define RANGES_FILE	   "test/golden/manifest_v1_ranges.manifest"
#define RANGES_CURRENT "test/golden/manifest_v1_ranges.current"

static const KvIdentity identity = {UINT64_C(0x6a5b4c3d2e1f0011), 3, 2};
static SimEnv *sim;
static KvEnv *env;
static KvError err;
static KvEnvOps ops;

/* The salts of the files. */
static uint64_t
fixed_random(KvEnv *e)
{
	(void) e;
	return UINT64_C(0xc0c1c2c3c4c5c6c7);
}

static void
setup(void)
{
	sim = sim_new(1);
	env = &sim->env;
	ops = *env->ops;
	ops.random = fixed_random;
	env->ops = &ops;
	ops.lock(env, KV_LOCK_WAL_IO, true);
}

static void
put_golden(const char *path, const char *name)
{
	char data[4096];
	FILE *f = fopen(path, "rb");
	size_t len;

	KV_REQUIRE(f != NULL);
	len = fread(data, 1, sizeof(data), f);
	KV_REQUIRE(len > 0 && len < sizeof(data));
	(void) fclose(f);
	sim_put_file(sim, name, data, len);
}

/* The simulated file and the golden one are the same. */
static void
compare(const char *path, const char *name)
{
	const char *mode = getenv("KV_GOLDEN");
	char want[4096];
	size_t size, len;
	char *got = sim_get_file(sim, name, &size);
	FILE *f;

	KV_REQUIRE(got != NULL);
	if (mode != NULL && strcmp(mode, "write") == 0)
	{
		f = fopen(path, "wb");
		KV_REQUIRE(f != NULL);
		KV_CHECK_EQ(fwrite(got, 1, size, f), size);
		KV_CHECK_EQ(fclose(f), 0);
	}
	f = fopen(path, "rb");
	KV_REQUIRE(f != NULL);
	len = fread(want, 1, sizeof(want), f);
	(void) fclose(f);
	KV_CHECK_SLICES(kv_slice(got, size), kv_slice(want, len));
	free(got);
}

/* ---- WAL: segment 12; in version 2 the first batch deletes a range ---- */

static const char range_batch[] = "\4\5\5\0\0\0\1a\0\0\0\1m";

static const KvWalStart wal_start = {12, 9, 4096, 100, 0x2000};
static const uint64_t wal_aborted[2] = {739, 741};

static KvLogRecord
wal_record(int version, int i, char *buf)
{
	KvLogRecord recs[4] =
		{{KV_LOG_BATCH, 101, 740, 0x2100, {"payload one", 11}},
		 {KV_LOG_BATCH, 102, 738, 0x2090, {"two", 3}},
		 {KV_LOG_SETTLE, 102, 0, 0x2200, {buf, kv_settle_size(2)}},
		 {KV_LOG_INGEST, 103, 742, 0x2300, {"", 0}}};

	kv_settle_encode(buf, 102, wal_aborted, 2);
	if (version > 1)
		recs[0].payload = kv_slice(range_batch, sizeof(range_batch) - 1);
	return recs[i];
}

static void
read_wal(const char *path, int version)
{
	KvWalStart start;
	KvWalReader *r;
	KvLogRecord got;
	KvSettle settle;
	char buf[64];
	int i;

	setup();
	put_golden(path, "12.wal");
	KV_REQUIRE_OK(kv_wal_open(env, &identity, 12, &r, &start, &err), &err);
	KV_CHECK(memcmp(&start, &wal_start, sizeof(start)) == 0);
	for (i = 0; i < 4; i++)
	{
		KvLogRecord want = wal_record(version, i, buf);

		KV_REQUIRE_OK(kv_wal_next(r, 0, &got, &err), &err);
		KV_CHECK(got.type == want.type && got.csn == want.csn &&
				 got.xid == want.xid && got.lsn == want.lsn);
		KV_CHECK_SLICES(got.payload, want.payload);
		KV_CHECK_EQ(kv_wal_timeline(r), 3);
		if (i != 2)
			continue;
		KV_REQUIRE_OK(kv_settle_decode(got.payload, &settle, &err), &err);
		KV_CHECK_EQ(settle.csn_through, 102);
		KV_CHECK_EQ(settle.n_aborted, 2);
		KV_CHECK_EQ(kv_settle_aborted(&settle, 1), 741);
	}
	KV_CHECK_STATUS(kv_wal_next(r, 0, &got, &err), KV_NOT_FOUND);
	kv_wal_reader_close(r);
	sim_free(sim);
}

KV_TEST(golden_wal_v2_is_written)
{
	KvWalWriter *w;
	char buf[64];
	int i;

	setup();
	KV_REQUIRE_OK(kv_wal_create(env, &identity, &wal_start, 0, &w, &err), &err);
	for (i = 0; i < 4; i++)
	{
		KvLogRecord rec = wal_record(2, i, buf);

		KV_REQUIRE_OK(kv_wal_add(w, &rec, &err), &err);
		if (i == 1 || i == 3)
		{
			KV_REQUIRE_OK(kv_wal_write(w, &err), &err);
			KV_REQUIRE_OK(kv_wal_sync(w, &err), &err);
		}
	}
	kv_wal_close(w);
	compare(WAL_V2, "12.wal");
	sim_free(sim);
}

KV_TEST(golden_wal_v1_is_read) { read_wal(WAL_V1, 1); }

KV_TEST(golden_wal_v2_is_read)
{
	KvSlice payload = kv_slice(range_batch, sizeof(range_batch) - 1);
	uint32_t n;
	KvEntry e;

	read_wal(WAL_V2, 2);
	KV_REQUIRE_OK(kv_batch_start(&payload, &n, &err), &err);
	KV_REQUIRE_OK(kv_batch_next(&payload, &e, &err), &err);
	KV_CHECK(n == 1 && e.kind == KV_KIND_RANGE_DELETE);
	KV_CHECK_SLICES(e.key, kv_slice("\0\0\0\1a", 5));
	KV_CHECK_SLICES(e.value, kv_slice("\0\0\0\1m", 5));
}

/* ---- MANIFEST-11 and CURRENT ---- */

static void
make_metas(KvFileMeta *m)
{
	static const KvFileMeta base = {.size = 4242,
									.digest = UINT64_C(0x1122334455667788),
									.entries = 300,
									.tombstones = 2,
									.min_csn = 5,
									.max_csn = 99,
									.min_xid = 700,
									.max_xid = 741,
									.oldest_expiry_us = -1,
									.key_bytes = 6000,
									.value_bytes = 30000,
									.smallest_len = 5,
									.largest_len = 6,
									.smallest = "\0\0\0\1a",
									.largest = "\0\0\0\1zz"};

	m[0] = m[1] = m[2] = base;
	m[0].file_no = 7;
	m[1].file_no = 8;
	m[1].level = 6;
	m[1].has_doubt = true;
	m[2].file_no = 10;
	m[2].run_csn = 98;
	m[2].run_xid = 740;
	m[2].largest_cut = true;
}

KV_TEST(golden_manifest_v1_is_read)
{
	KvManifestState state;
	KvFileMeta m[3];
	int i;

	setup();
	put_golden(MANIFEST_FILE, "MANIFEST-11");
	put_golden(CURRENT_FILE, "CURRENT");
	KV_REQUIRE_OK(kv_manifest_load(env, &identity, NULL, NULL, &state, NULL,
								   &err),
				  &err);
	make_metas(m);
	KV_REQUIRE(state.n_files == 2 && state.n_doubts == 1);
	for (i = 0; i < 2; i++)
	{
		char x[KV_META_MAX_BYTES], y[KV_META_MAX_BYTES];
		size_t len = kv_meta_encode(&m[i + 1], x, sizeof(x));

		KV_CHECK_SLICES(kv_slice(y,
								 kv_meta_encode(&state.files[i], y, sizeof(y))),
						kv_slice(x, len));
	}
	KV_CHECK_EQ(state.files[0].digest, UINT64_C(0x1122334455667788));
	KV_CHECK_EQ(state.files[0].oldest_expiry_us, -1);
	KV_CHECK_EQ(state.doubts[0].file_no, 8);
	KV_CHECK_EQ(state.doubts[0].xid, 741);
	KV_CHECK_EQ(state.doubts[0].state, KV_XACT_ABORTED);
	KV_CHECK_EQ(state.min_wal, 12);
	KV_CHECK_EQ(state.flushed_csn, 99);
	KV_CHECK_EQ(state.flushed_lsn, 0x2000);
	KV_CHECK_EQ(state.file_no_ceiling, 64);
	KV_CHECK_EQ(state.store_id_ceiling, 16);
	KV_CHECK_EQ(state.csn_floor, 1000);
	KV_CHECK_EQ(state.runs_csn, 98);
	KV_CHECK_EQ(state.wal_cut_no, 9);
	KV_CHECK_EQ(state.wal_cut_end, 4096);
	KV_CHECK_EQ(state.clock_us, 800000000000000);
	KV_CHECK_EQ(state.timeline, 3);
	KV_CHECK_EQ(state.incarnation, 2);
	KV_CHECK_EQ(state.edits, 3);
	KV_CHECK(!state.torn);
	kv_manifest_state_free(env, &state);
	sim_free(sim);
}

/* A file's flag says that a number of range deletes follows. */
static void
make_ranges(KvFileMeta *m)
{
	KvFileMeta three[3];

	make_metas(three);
	*m = three[1];
	m->range_deletes = 3;
}

KV_TEST(golden_manifest_v1_with_ranges_is_written)
{
	KvFileMeta m;
	KvManifestState state = {.files = &m,
							 .n_files = 1,
							 .min_wal = 9,
							 .file_no_ceiling = 64,
							 .store_id_ceiling = 16,
							 .csn_floor = 1000,
							 .timeline = 3,
							 .incarnation = 2};
	KvManifest *manifest;

	setup();
	make_ranges(&m);
	KV_REQUIRE_OK(kv_manifest_create(env, &identity, 11, &state, &manifest,
									 &err),
				  &err);
	kv_manifest_close(manifest);
	compare(RANGES_FILE, "MANIFEST-11");
	compare(RANGES_CURRENT, "CURRENT");
	sim_free(sim);
}

KV_TEST(golden_manifest_v1_with_ranges_is_read)
{
	KvManifestState state;
	KvFileMeta m;

	setup();
	make_ranges(&m);
	put_golden(RANGES_FILE, "MANIFEST-11");
	put_golden(RANGES_CURRENT, "CURRENT");
	KV_REQUIRE_OK(kv_manifest_load(env, &identity, NULL, NULL, &state, NULL,
								   &err),
				  &err);
	KV_REQUIRE(state.n_files == 1);
	KV_CHECK_EQ(state.files[0].file_no, m.file_no);
	KV_CHECK_EQ(state.files[0].range_deletes, 3);
	kv_manifest_state_free(env, &state);
	sim_free(sim);
}

KV_TEST(golden_manifest_v1_is_written)
{
	KvFileMeta m[3];
	KvDoubt doubt = {8, 741, KV_XACT_IN_DOUBT};
	KvDoubt settle = {0, 741, KV_XACT_ABORTED};
	uint64_t remove = 7;
	KvManifestState state = {.files = m,
							 .n_files = 1,
							 .min_wal = 9,
							 .file_no_ceiling = 64,
							 .store_id_ceiling = 16,
							 .csn_floor = 1000,
							 .wal_cut_no = 9,
							 .wal_cut_end = 4096,
							 .clock_us = 800000000000000,
							 .timeline = 3,
							 .incarnation = 2};
	KvEdit edits[2] = {{.adds = m + 1,
						.n_adds = 2,
						.removes = &remove,
						.n_removes = 1,
						.doubts = &doubt,
						.n_doubts = 1,
						.min_wal = 12,
						.flushed_csn = 99,
						.flushed_lsn = 0x2000,
						.runs_csn = 98},
					   {.settles = &settle, .n_settles = 1}};
	KvManifest *manifest;

	setup();
	make_metas(m);
	KV_REQUIRE_OK(kv_manifest_create(env, &identity, 11, &state, &manifest,
									 &err),
				  &err);
	KV_REQUIRE_OK(kv_manifest_append(manifest, &edits[0], &err), &err);
	KV_REQUIRE_OK(kv_manifest_append(manifest, &edits[1], &err), &err);
	kv_manifest_close(manifest);
	compare(MANIFEST_FILE, "MANIFEST-11");
	compare(CURRENT_FILE, "CURRENT");
	sim_free(sim);
}
