/* SPDX-License-Identifier: PostgreSQL */
/*
 * wal_test.c - WAL segments: what was written is read, what was synced and
 * is damaged is told from a torn tail.
 */
#include "harness.h"

#include "engine/base/coding.h"
#include "engine/wal/wal.h"
#include "engine/wal/wal_format.h"
#include "env_posix.h"
#include "env_sim.h"

static const KvIdentity identity = {UINT64_C(0x5aa5000011112222), 4, 2};
static SimEnv *sim;
static KvEnv *env;
static KvError err;

static void
setup(uint64_t seed)
{
	sim = sim_new(seed);
	env = &sim->env;
	env->ops->lock(env, KV_LOCK_WAL_IO, true);
}

/* Everything about record n follows from n; buf has max_payload bytes. */
static KvLogRecord
record(uint64_t n, size_t max_payload, char *buf)
{
	KvLogRecord rec = {.type = (uint8_t) (1 + n % 3)};
	KvRand rand;
	size_t i;

	kv_rand_init(&rand, n);
	rec.csn = 1000 + n;
	/* now and then far from the group's bases, in both directions */
	rec.xid = kv_rand_next(&rand) >> kv_rand_next(&rand) % 64;
	rec.lsn = n % 50 == 3 ? 0 : 5000 + n * 10;
	rec.payload = kv_slice(buf, kv_rand_next(&rand) % (max_payload + 1));
	for (i = 0; i < rec.payload.len; i++)
		buf[i] = (char) (n + i);
	return rec;
}

static bool
same(const KvLogRecord *a, const KvLogRecord *b)
{
	return a->type == b->type && a->csn == b->csn && a->xid == b->xid &&
		   a->lsn == b->lsn && kv_slice_equal(a->payload, b->payload);
}

static KvWalWriter *
create(uint64_t no, uint64_t prev, uint64_t prev_length, uint64_t prealloc)
{
	KvWalStart start = {no, prev, prev_length, 77, 88};
	KvWalWriter *w = NULL;

	KV_REQUIRE_OK(kv_wal_create(env, &identity, &start, prealloc, &w, &err),
				  &err);
	return w;
}

static KvStatus
add(KvWalWriter *w, uint64_t n, size_t max_payload)
{
	char *buf = malloc(max_payload + 1);
	KvLogRecord rec = record(n, max_payload, buf);
	KvStatus status = kv_wal_add(w, &rec, &err);

	free(buf);
	return status;
}

typedef struct Result
{
	KvStatus status; /* that ended reading */
	uint64_t n;		 /* records read */
	uint64_t good_end;
} Result;

/* Reads the segment; its records must be first, first + 1, ... */
static Result
read_all(uint64_t no, uint64_t limit, uint64_t first, size_t max_payload)
{
	Result result = {KV_OK, 0, 0};
	char *buf = malloc(max_payload + 1);
	KvWalReader *r = NULL;
	KvWalStart start;

	result.status = kv_wal_open(env, &identity, no, &r, &start, &err);
	if (result.status != KV_OK)
	{
		free(buf);
		return result;
	}
	for (;;)
	{
		KvLogRecord got, want;

		result.status = kv_wal_next(r, limit, &got, &err);
		if (result.status != KV_OK)
			break;
		want = record(first + result.n, max_payload, buf);
		result.n++;
		if (!same(&got, &want))
		{
			KV_CHECK(same(&got, &want));
			break;
		}
		KV_CHECK_EQ(kv_wal_timeline(r), 4);
	}
	/* an end stays an end */
	if (result.status == KV_NOT_FOUND)
	{
		KvLogRecord rec;

		KV_CHECK_STATUS(kv_wal_next(r, limit, &rec, &err), KV_NOT_FOUND);
	}
	result.good_end = kv_wal_good_end(r);
	kv_wal_reader_close(r);
	free(buf);
	return result;
}

static void
check_read(Result got, KvStatus status, uint64_t n, uint64_t good_end)
{
	KV_CHECK_STATUS(got.status, status);
	KV_CHECK_EQ(got.n, n);
	if (good_end != 0)
		KV_CHECK_EQ(got.good_end, good_end);
}

KV_TEST(wal_round_trip)
{
	int round;

	for (round = 0; round < 60; round++)
	{
		size_t max_payload = round % 3 == 0	  ? 20
							 : round % 3 == 1 ? 3000
											  : 400000;
		uint64_t n = 0, length[3], first[4] = {0};
		uint64_t no;

		setup(kv_rand());
		for (no = 1; no <= 3; no++)
		{
			KvWalWriter *w = create(no * 10, no > 1 ? (no - 1) * 10 : 0,
									no > 1 ? length[no - 2] : 0,
									kv_rand_below(3) * 100000);
			uint64_t records = kv_rand_below(30);

			KV_CHECK_EQ(kv_wal_segment(w), no * 10);
			KV_CHECK_EQ(kv_wal_length(w), KV_WAL_HEADER_BYTES);
			for (; records > 0; records--)
			{
				KV_CHECK_OK(add(w, n++, max_payload), &err);
				KV_CHECK(kv_wal_pending(w) > 0);
				if (kv_rand_below(3) == 0)
					KV_CHECK_OK(kv_wal_write(w, &err), &err);
				if (kv_rand_below(4) == 0)
					KV_CHECK_OK(kv_wal_sync(w, &err), &err);
			}
			KV_CHECK_OK(kv_wal_write(w, &err), &err);
			KV_CHECK_OK(kv_wal_sync(w, &err), &err);
			KV_CHECK_EQ(kv_wal_pending(w), 0);
			length[no - 1] = kv_wal_length(w);
			first[no] = n;
			kv_wal_close(w);
		}
		for (no = 1; no <= 3; no++)
		{
			check_read(read_all(no * 10, length[no - 1], first[no - 1],
								max_payload),
					   KV_NOT_FOUND, first[no] - first[no - 1], length[no - 1]);
			check_read(read_all(no * 10, 0, first[no - 1], max_payload),
					   KV_NOT_FOUND, first[no] - first[no - 1], length[no - 1]);
		}
		KV_CHECK_EQ(sim->live_allocs, 0);
		KV_CHECK_EQ(sim->open_files, 0);
		/* three segments and nothing else */
		KV_CHECK(sim_file_name(sim, 2) != NULL && sim_file_name(sim, 3) == NULL);
		sim_free(sim);
	}
}

/* The file is extended in steps, ahead of what is written; nothing else. */
KV_TEST(wal_file_grows_in_steps)
{
	uint64_t seed = kv_rand(), i, n = 0, refused = 400;
	KvWalWriter *w;
	int level;

	for (level = SIM_KILL; level <= SIM_GARBAGE; level++)
	{
		setup(seed);
		w = create(5, 0, 0, 4096);
		KV_CHECK_EQ(sim_file_size(sim, "5.wal"), 4096);
		for (i = n = 0; i < 600; i++)
		{
			uint64_t size = (uint64_t) sim_file_size(sim, "5.wal");
			uint64_t calls = sim->calls[SIM_PREALLOCATE];

			if (i == refused) /* the disk does not give any: it grows */
				sim_fail(sim, (SimFault){SIM_PREALLOCATE, 1, UINT64_MAX,
										 KV_DISK_FULL, SIM_NOTHING});
			KV_REQUIRE_OK(add(w, n++, 500), &err);
			KV_REQUIRE_OK(kv_wal_write(w, &err), &err);
			KV_REQUIRE_OK(kv_wal_sync(w, &err), &err);
			if (i >= refused)
				continue;
			KV_CHECK_EQ(sim->calls[SIM_PREALLOCATE] - calls,
						kv_wal_length(w) > size);
			KV_CHECK(kv_wal_length(w) <=
					 (uint64_t) sim_file_size(sim, "5.wal"));
			KV_CHECK_EQ(sim_file_size(sim, "5.wal") % 4096, 0);
		}
		check_read(read_all(5, 0, 0, 500), KV_NOT_FOUND, n, kv_wal_length(w));
		check_read(read_all(5, kv_wal_length(w), 0, 500), KV_NOT_FOUND, n,
				   kv_wal_length(w));
		i = kv_wal_length(w);
		sim_crash(sim, (SimLevel) level);
		env->ops->lock(env, KV_LOCK_WAL_IO, true);
		check_read(read_all(5, 0, 0, 500), KV_NOT_FOUND, n, i);
		sim_free(sim);
	}
}

KV_TEST(wal_header_tells_where_it_continues)
{
	KvWalStart start = {9, 8, 12345, UINT64_MAX, 7}, got;
	KvIdentity other = identity;
	KvWalReader *r;
	KvWalWriter *w;

	setup(1);
	KV_REQUIRE_OK(kv_wal_create(env, &identity, &start, 0, &w, &err), &err);
	kv_wal_close(w);
	KV_REQUIRE_OK(kv_wal_open(env, &identity, 9, &r, &got, &err), &err);
	KV_CHECK_EQ(got.segment_no, 9);
	KV_CHECK_EQ(got.prev_segment_no, 8);
	KV_CHECK_EQ(got.prev_length, 12345);
	KV_CHECK_EQ(got.start_csn, UINT64_MAX);
	KV_CHECK_EQ(got.start_lsn, 7);
	kv_wal_reader_close(r);

	KV_CHECK_STATUS(kv_wal_open(env, &identity, 10, &r, &got, &err),
					KV_NOT_FOUND);
	other.system_id++;
	KV_CHECK_STATUS(kv_wal_open(env, &other, 9, &r, &got, &err), KV_FOREIGN);
	KV_CHECK_STATUS(kv_wal_create(env, &identity, &start, 0, &w, &err),
					KV_EXISTS);
	KV_CHECK_EQ(err.file_no, 9);
	KV_CHECK_EQ(sim->live_allocs, 0);
	sim_free(sim);
}

/* ---- damage ---- */

#define GROUPS 8

typedef struct Sample
{
	uint64_t end[GROUPS + 1];	  /* of group i - 1; [0]: of the header */
	uint64_t synced[GROUPS + 1];  /* as group i tells; [GROUPS]: in the end */
	uint64_t records[GROUPS + 1]; /* before group i */
	uint64_t size;
} Sample;

/* Groups of 1 to 3 small records, synced after the 2nd, 3rd and 6th. */
static Sample
write_sample(uint64_t prealloc)
{
	KvWalWriter *w = create(5, 0, 0, prealloc);
	uint64_t synced = kv_wal_length(w), n = 0;
	Sample s;
	int i, j;

	for (i = 0; i < GROUPS; i++)
	{
		s.end[i] = kv_wal_length(w);
		s.synced[i] = synced;
		s.records[i] = n;
		for (j = 0; j <= i % 3; j++)
			KV_REQUIRE_OK(add(w, n++, 30), &err);
		KV_REQUIRE_OK(kv_wal_write(w, &err), &err);
		if (i == 1 || i == 2 || i == 5)
		{
			KV_REQUIRE_OK(kv_wal_sync(w, &err), &err);
			synced = kv_wal_length(w);
		}
	}
	s.end[GROUPS] = kv_wal_length(w);
	s.records[GROUPS] = n;
	s.synced[GROUPS] = synced;
	s.size = (uint64_t) sim_file_size(sim, "5.wal");
	kv_wal_close(w);
	return s;
}

/* The file is damaged in group i, and perhaps in groups up to last. */
static void
check_damage(const Sample *s, int i, int last)
{
	bool known = s->synced[GROUPS - 1] > s->end[i] && last < GROUPS - 1;

	if (i >= GROUPS)
	{
		check_read(read_all(5, s->end[GROUPS], 0, 30), KV_NOT_FOUND,
				   s->records[GROUPS], s->end[GROUPS]);
		check_read(read_all(5, 0, 0, 30), KV_NOT_FOUND, s->records[GROUPS],
				   s->end[GROUPS]);
		return;
	}
	check_read(read_all(5, s->end[GROUPS], 0, 30), KV_CORRUPT, s->records[i],
			   s->end[i]);
	KV_CHECK_EQ(err.file_no, 5);
	KV_CHECK_EQ(err.offset, s->end[i]);
	check_read(read_all(5, 0, 0, 30), known ? KV_CORRUPT : KV_NOT_FOUND,
			   s->records[i], s->end[i]);
	/* what the next segment does not vouch for is not looked at */
	check_read(read_all(5, s->end[i], 0, 30), KV_NOT_FOUND, s->records[i],
			   s->end[i]);
}

static int
group_at(const Sample *s, uint64_t off)
{
	int i = 0;

	while (i < GROUPS && s->end[i + 1] <= off)
		i++;
	return i;
}

KV_TEST(wal_every_byte_flipped)
{
	static const uint8_t masks[] = {0x01, 0x80, 0xff, 0x10};
	Sample s;
	uint64_t off;
	size_t m;

	setup(2);
	s = write_sample(1500);
	KV_CHECK_EQ(s.size, 1500);
	check_damage(&s, GROUPS, GROUPS);
	for (off = 0; off < s.size; off++)
	{
		for (m = 0; m < sizeof(masks); m++)
		{
			KV_CHECK(sim_rot(sim, "5.wal", off, masks[m]));
			if (off < KV_WAL_HEADER_BYTES)
				check_read(read_all(5, 0, 0, 30), KV_CORRUPT, 0, 0);
			else
				check_damage(&s, group_at(&s, off), group_at(&s, off));
			KV_CHECK(sim_rot(sim, "5.wal", off, masks[m]));
		}
		if (kv_test_failures() > 0)
			break;
	}
	sim_free(sim);
}

KV_TEST(wal_cut_at_every_byte)
{
	Sample s;
	uint64_t cut;
	size_t size;
	char *data;

	setup(3);
	s = write_sample(0);
	data = sim_get_file(sim, "5.wal", &size);
	for (cut = 0; cut <= s.size; cut++)
	{
		int i = group_at(&s, cut);

		sim_put_file(sim, "5.wal", data, cut);
		if (cut < KV_WAL_HEADER_BYTES)
			check_read(read_all(5, 0, 0, 30), KV_CORRUPT, 0, 0);
		else
		{
			Result with_limit = read_all(5, s.end[GROUPS], 0, 30);

			KV_CHECK_STATUS(with_limit.status,
							i == GROUPS ? KV_NOT_FOUND : KV_CORRUPT);
			check_read(read_all(5, s.end[i], 0, 30), KV_NOT_FOUND,
					   s.records[i], s.end[i]);
			check_read(read_all(5, 0, 0, 30), KV_NOT_FOUND, s.records[i],
					   s.end[i]);
		}
	}
	free(data);
	sim_free(sim);
}

/* A hole is not skipped, however good what follows looks. */
KV_TEST(wal_holes_of_zeros)
{
	Sample s;
	size_t size;
	char *data;
	int from, to;

	setup(4);
	s = write_sample(2000);
	data = sim_get_file(sim, "5.wal", &size);
	for (from = 0; from < GROUPS; from++)
	{
		for (to = from; to < GROUPS; to++)
		{
			char *copy = malloc(size);

			KV_REQUIRE(copy != NULL);
			memcpy(copy, data, size);
			memset(copy + s.end[from], 0, s.end[to + 1] - s.end[from]);
			sim_put_file(sim, "5.wal", copy, size);
			check_damage(&s, from, to);
			free(copy);
		}
	}
	free(data);
	sim_free(sim);
}

/* The whole file elsewhere, or a group moved, does not pass. */
KV_TEST(wal_groups_know_their_place)
{
	Sample s;
	size_t size;
	char *data, *copy;

	setup(5);
	s = write_sample(0);
	data = sim_get_file(sim, "5.wal", &size);
	sim_put_file(sim, "6.wal", data, size);
	check_read(read_all(6, 0, 0, 30), KV_CORRUPT, 0, 0);

	/* the first group once more at the end */
	copy = malloc(size + 1000);
	KV_REQUIRE(copy != NULL);
	memcpy(copy, data, size);
	memcpy(copy + size, data + s.end[0], s.end[1] - s.end[0]);
	sim_put_file(sim, "5.wal", copy, size + (s.end[1] - s.end[0]));
	check_read(read_all(5, 0, 0, 30), KV_NOT_FOUND, s.records[GROUPS],
			   s.end[GROUPS]);

	/* a segment of the same number, but of another life */
	sim_remove_file(sim, "5.wal");
	(void) write_sample(0);
	free(data);
	data = sim_get_file(sim, "5.wal", &size);
	memcpy(copy, data, s.end[1]);
	sim_put_file(sim, "5.wal", copy, size);
	check_read(read_all(5, s.end[GROUPS], 0, 30), KV_CORRUPT, s.records[1],
			   s.end[1]);
	free(copy);
	free(data);
	sim_free(sim);
}

/* ---- sizes ---- */

KV_TEST(wal_bytes_of_small_puts)
{
	static const int per_group[] = {1, 2, 4, 8, 16, 64, 256, 1024};
	char payload[124] = {0};
	size_t i;

	setup(6);
	for (i = 0; i < sizeof(per_group) / sizeof(per_group[0]); i++)
	{
		KvWalWriter *w = create(i + 1, 0, 0, 0);
		double bytes;
		int j;

		for (j = 0; j < per_group[i]; j++)
		{
			KvLogRecord rec = {.type = KV_LOG_BATCH};

			rec.csn = UINT64_C(5000000000) + (uint64_t) j;
			rec.xid = UINT64_C(700000000) + (uint64_t) j;
			rec.lsn = UINT64_C(0x1234567890) + (uint64_t) j * 250;
			rec.payload = kv_slice(payload, sizeof(payload));
			KV_CHECK_OK(kv_wal_add(w, &rec, &err), &err);
		}
		KV_CHECK_OK(kv_wal_write(w, &err), &err);
		bytes = (double) (kv_wal_length(w) - KV_WAL_HEADER_BYTES) /
				per_group[i];
		printf("# %d puts in a group: %.1f bytes each\n", per_group[i], bytes);
		KV_CHECK(bytes <= (per_group[i] < 4	  ? 180
						   : per_group[i] < 8 ? 143
											  : 140));
		kv_wal_close(w);
	}
	sim_free(sim);
}

KV_TEST(wal_groups_are_bounded)
{
	size_t max_payload = 300 * 1024;
	KvWalWriter *w;
	KvWalReader *r;
	KvWalStart start;
	KvLogRecord rec;
	uint64_t end = KV_WAL_HEADER_BYTES, n = 0;
	int groups = 0;

	setup(7);
	w = create(1, 0, 0, 0);
	for (n = 0; n < 60; n++)
		KV_CHECK_OK(add(w, n, max_payload), &err);
	KV_CHECK_OK(kv_wal_write(w, &err), &err);
	KV_CHECK_EQ(sim->calls[SIM_PWRITE], 2);
	kv_wal_close(w);
	check_read(read_all(1, 0, 0, max_payload), KV_NOT_FOUND, 60, 0);
	KV_REQUIRE_OK(kv_wal_open(env, &identity, 1, &r, &start, &err), &err);
	while (kv_wal_next(r, 0, &rec, &err) == KV_OK)
	{
		KV_CHECK(kv_wal_good_end(r) - end <= KV_WAL_GROUP_MAX);
		if (kv_wal_good_end(r) != end)
			groups++;
		end = kv_wal_good_end(r);
	}
	kv_wal_reader_close(r);
	KV_CHECK(groups >= 8);
	sim_free(sim);
}

/* On a real disk: the simulated one would take a gigabyte for it. */
KV_TEST(wal_records_of_64_megabytes)
{
	PosixEnv *penv = posix_env_open_temp();
	size_t len = (size_t) 64 << 20;
	KvLogRecord rec = {.type = KV_LOG_BATCH, .csn = 5, .xid = 6, .lsn = 7};
	KvLogRecord small = {.type = KV_LOG_BATCH, .csn = 1, .xid = 2, .lsn = 3};
	KvLogRecord got;
	KvWalStart start = {1, 0, 0, 0, 0};
	char *payload = malloc(len);
	KvWalWriter *w;
	KvWalReader *r;
	size_t i;

	penv->no_sync = true;
	env = &penv->env;
	env->ops->lock(env, KV_LOCK_WAL_IO, true);
	KV_REQUIRE(payload != NULL);
	for (i = 0; i < len; i++)
		payload[i] = (char) (i * 31 >> 3);
	rec.payload = kv_slice(payload, len);
	small.payload = kv_slice("x", 1);
	KV_REQUIRE_OK(kv_wal_create(env, &identity, &start, 0, &w, &err), &err);
	KV_CHECK_OK(kv_wal_add(w, &small, &err), &err);
	KV_CHECK_OK(kv_wal_add(w, &rec, &err), &err);
	KV_CHECK_OK(kv_wal_add(w, &small, &err), &err);
	KV_CHECK_OK(kv_wal_write(w, &err), &err);
	KV_CHECK_OK(kv_wal_sync(w, &err), &err);
	rec.payload.len = SIZE_MAX / 2;
	KV_CHECK_STATUS(kv_wal_add(w, &rec, &err), KV_TOO_LARGE);
	rec.payload.len = len;
	kv_wal_close(w);
	KV_REQUIRE_OK(kv_wal_open(env, &identity, 1, &r, &start, &err), &err);
	KV_CHECK(kv_wal_next(r, 0, &got, &err) == KV_OK && same(&got, &small));
	KV_CHECK(kv_wal_next(r, 0, &got, &err) == KV_OK && same(&got, &rec));
	KV_CHECK(kv_wal_next(r, 0, &got, &err) == KV_OK && same(&got, &small));
	KV_CHECK_STATUS(kv_wal_next(r, 0, &got, &err), KV_NOT_FOUND);
	kv_wal_reader_close(r);
	KV_CHECK_EQ(penv->live_allocs, 0);
	KV_CHECK_EQ(penv->live_files, 0);
	env->ops->unlock(env, KV_LOCK_WAL_IO);
	free(payload);
	posix_env_remove(penv);
	posix_env_close(penv);
}

KV_TEST(wal_refuses_what_is_no_record)
{
	KvLogRecord rec = {.type = KV_LOG_SWITCH};
	KvWalWriter *w;

	setup(8);
	w = create(1, 0, 0, 0);
	KV_CHECK_STATUS(kv_wal_add(w, &rec, &err), KV_INVALID);
	rec.type = 0;
	KV_CHECK_STATUS(kv_wal_add(w, &rec, &err), KV_INVALID);
	KV_CHECK_EQ(kv_wal_pending(w), 0);
	/* nothing to do is no call */
	sim->io_calls = 0;
	KV_CHECK_OK(kv_wal_write(w, &err), &err);
	KV_CHECK_OK(kv_wal_sync(w, &err), &err);
	KV_CHECK_EQ(sim->io_calls, 0);
	kv_wal_close(w);
	sim_free(sim);
}
