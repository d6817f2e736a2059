/* SPDX-License-Identifier: PostgreSQL */
/*
 * wal_fault_test.c - WAL segments when calls fail, power fails, and when the
 * bytes were made by somebody else.
 */
#include "harness.h"

#include "engine/base/coding.h"
#include "engine/wal/wal.h"
#include "engine/wal/wal_format.h"
#include "env_sim.h"

static const KvIdentity identity = {7, 1, 1};
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

static KvStatus
create(uint64_t no, KvWalWriter **w)
{
	KvWalStart start = {no, 0, 0, 0, 0};

	return kv_wal_create(env, &identity, &start, 4000, w, &err);
}

static KvStatus
add(KvWalWriter *w, uint64_t csn, size_t len)
{
	char payload[2000];
	KvLogRecord rec = {.type = KV_LOG_BATCH, .csn = csn, .xid = 3};

	memset(payload, (int) csn, sizeof(payload));
	rec.lsn = csn * 100;
	rec.payload = kv_slice(payload, len);
	return kv_wal_add(w, &rec, &err);
}

/* Reads records with the csns 1, 2, ... and syncs the file; how many. */
static uint64_t
read_back(uint64_t no, uint64_t limit, KvStatus *status)
{
	KvWalReader *r;
	KvWalStart start;
	KvLogRecord rec;
	uint64_t n = 0;

	*status = kv_wal_open(env, &identity, no, &r, &start, &err);
	if (*status != KV_OK)
		return 0;
	while ((*status = kv_wal_next(r, limit, &rec, &err)) == KV_OK)
	{
		KV_CHECK_EQ(rec.csn, ++n);
		KV_CHECK_EQ(rec.lsn, n * 100);
		KV_CHECK(rec.payload.len == 0 || rec.payload.data[0] == (char) n);
	}
	if (*status == KV_NOT_FOUND)
	{
		bool failed;
		KvStatus synced = kv_wal_reader_sync(r, &failed, &err);

		if (synced != KV_OK)
			*status = synced;
	}
	kv_wal_reader_close(r);
	return n;
}

KV_TEST(wal_failed_write_poisons)
{
	static const KvStatus statuses[] = {KV_IO_ERROR, KV_DISK_FULL};
	int i;

	for (i = 0; i < 2 * 3 * 20; i++)
	{
		SimFault fault = {SIM_PWRITE, 1, 1, statuses[i % 2],
						  (SimDone) (i / 2 % 3)};
		KvWalWriter *w;
		KvStatus status;
		uint64_t length, n;

		setup(kv_rand());
		KV_REQUIRE_OK(create(1, &w), &err);
		KV_REQUIRE_OK(add(w, 1, 500), &err);
		KV_REQUIRE_OK(kv_wal_write(w, &err), &err);
		KV_REQUIRE_OK(kv_wal_sync(w, &err), &err);
		length = kv_wal_length(w);
		sim_fail(sim, fault);
		KV_REQUIRE_OK(add(w, 2, 1500), &err);
		KV_CHECK_STATUS(kv_wal_write(w, &err), fault.status);
		KV_CHECK_EQ(sim->faults_fired, 1);
		KV_CHECK_EQ(err.file_no, 1);
		KV_CHECK_EQ(err.offset, length);
		KV_CHECK_EQ(kv_wal_length(w), length);

		/* from now on it is the same story, and no call is made */
		sim->io_calls = 0;
		KV_CHECK_STATUS(add(w, 3, 10), fault.status);
		KV_CHECK_STATUS(kv_wal_write(w, &err), fault.status);
		KV_CHECK_STATUS(kv_wal_sync(w, &err), fault.status);
		KV_CHECK_EQ(err.file_no, 1);
		KV_CHECK_STATUS(err.status, fault.status);
		KV_CHECK_EQ(sim->io_calls, 0);
		kv_wal_close(w);
		KV_CHECK_EQ(sim->live_allocs, 0);
		n = read_back(1, 0, &status);
		KV_CHECK_STATUS(status, KV_NOT_FOUND);
		KV_CHECK(n == 1 || (n == 2 && fault.done == SIM_ALL));
		sim_free(sim);
	}
}

KV_TEST(wal_failed_sync_poisons)
{
	SimFault fault = {SIM_SYNC, 1, 1, KV_IO_ERROR, SIM_NOTHING};
	int i;

	for (i = 0; i < 20; i++)
	{
		KvWalWriter *w;
		KvStatus status;
		uint64_t n;

		setup(kv_rand());
		KV_REQUIRE_OK(create(1, &w), &err);
		KV_REQUIRE_OK(add(w, 1, 500), &err);
		KV_REQUIRE_OK(kv_wal_write(w, &err), &err);
		sim_fail(sim, fault);
		KV_CHECK_STATUS(kv_wal_sync(w, &err), KV_IO_ERROR);
		KV_CHECK_EQ(sim->faults_fired, 1);
		KV_CHECK_STATUS(kv_wal_sync(w, &err), KV_IO_ERROR);
		KV_CHECK_STATUS(add(w, 2, 500), KV_IO_ERROR);
		kv_wal_close(w);
		sim_crash(sim, SIM_SYNCED_ONLY);
		n = read_back(1, 0, &status);
		KV_CHECK_STATUS(status, KV_NOT_FOUND);
		KV_CHECK(n <= 1);
		sim_free(sim);
	}
}

/* Each call of creation fails in turn: complete, or no such segment. */
KV_TEST(wal_create_fails_cleanly)
{
	static const SimCall calls[] = {SIM_OPEN,	  SIM_PWRITE, SIM_PREALLOCATE,
									SIM_SYNC,	  SIM_LINK,	  SIM_UNLINK,
									SIM_SYNC_DIR, SIM_ALLOC};
	size_t c;
	int nth, done;

	for (c = 0; c < sizeof(calls) / sizeof(calls[0]); c++)
	{
		for (nth = 1; nth <= 2; nth++)
		{
			for (done = SIM_NOTHING; done <= SIM_ALL; done++)
			{
				SimFault fault = {calls[c], (uint64_t) nth, 1, KV_IO_ERROR,
								  (SimDone) done};
				KvWalWriter *w;
				KvStatus status;

				setup(kv_rand());
				sim_fail(sim, fault);
				status = create(1, &w);
				if (status == KV_OK)
				{
					KV_CHECK(sim->faults_fired == 0 || calls[c] == SIM_UNLINK);
					kv_wal_close(w);
				}
				else
				{
					KV_CHECK_EQ(sim->faults_fired, 1);
					KV_CHECK_STATUS(status, calls[c] == SIM_ALLOC
												? KV_NO_MEMORY
												: KV_IO_ERROR);
				}
				KV_CHECK_EQ(sim->live_allocs, 0);
				KV_CHECK_EQ(sim->open_files, 0);
				/* whatever is there is whole */
				sim_clear_faults(sim);
				(void) read_back(1, 0, &status);
				KV_CHECK(status == KV_NOT_FOUND);
				KV_REQUIRE_OK(create(2, &w), &err);
				kv_wal_close(w);
				sim_free(sim);
			}
		}
	}
}

static uint64_t flush_answers;

static KvStatus
flush_host_log(void *arg, uint64_t lsn)
{
	(void) arg;
	(void) lsn;
	return flush_answers-- > 0 ? KV_IO_ERROR : KV_OK;
}

KV_TEST(wal_host_log_goes_first)
{
	KvWalWriter *w;
	KvStatus status;
	uint64_t writes;

	setup(3);
	KV_REQUIRE_OK(create(1, &w), &err);
	KV_REQUIRE_OK(add(w, 1, 10), &err);
	KV_REQUIRE_OK(add(w, 2, 10), &err);
	writes = sim->calls[SIM_PWRITE];
	flush_answers = 1;
	sim->flush_host_log = flush_host_log;
	KV_CHECK_STATUS(kv_wal_write(w, &err), KV_IO_ERROR);
	KV_CHECK_EQ(sim->calls[SIM_PWRITE], writes);
	/* no harm done */
	KV_REQUIRE_OK(add(w, 3, 10), &err);
	flush_answers = 0;
	sim->flush_host_log = NULL;
	KV_CHECK_OK(kv_wal_write(w, &err), &err);
	KV_CHECK_EQ(sim->max_flushed_lsn, 300);
	kv_wal_close(w);
	KV_CHECK_EQ(read_back(1, 0, &status), 3);
	sim_free(sim);
}

KV_TEST(wal_read_errors_are_no_end)
{
	uint64_t nth, errors = 0;
	KvWalWriter *w;
	KvStatus status;
	uint64_t i;

	setup(4);
	KV_REQUIRE_OK(create(1, &w), &err);
	for (i = 1; i <= 600; i++)
	{
		KV_REQUIRE_OK(add(w, i, 2000), &err);
		KV_REQUIRE_OK(kv_wal_write(w, &err), &err);
	}
	kv_wal_close(w);
	KV_CHECK_EQ(read_back(1, 0, &status), 600);
	for (nth = 1; nth <= 12; nth++)
	{
		SimCall calls[] = {SIM_PREAD, SIM_ALLOC, SIM_SIZE, SIM_OPEN};
		size_t c;

		for (c = 0; c < 4; c++)
		{
			SimFault fault = {calls[c], nth, 1, KV_IO_ERROR, SIM_NOTHING};

			sim->faults_fired = 0;
			sim_clear_faults(sim);
			sim_fail(sim, fault);
			i = read_back(1, 0, &status);
			if (sim->faults_fired > 0)
			{
				KV_CHECK_STATUS(status, calls[c] == SIM_ALLOC ? KV_NO_MEMORY
															  : KV_IO_ERROR);
				errors++;
			}
			else
				KV_CHECK_EQ(i, 600);
			KV_CHECK_EQ(sim->live_allocs, 0);
			KV_CHECK_EQ(sim->open_files, 0);
		}
	}
	KV_CHECK(errors >= 8);
	sim_free(sim);
}

KV_TEST(wal_add_without_memory)
{
	SimFault fault = {SIM_ALLOC, 1, UINT64_MAX, KV_OK, SIM_NOTHING};
	KvWalWriter *w;
	KvStatus status;
	uint64_t i, added = 0;

	setup(5);
	KV_REQUIRE_OK(create(1, &w), &err);
	KV_REQUIRE_OK(add(w, ++added, 10), &err);
	/* the drainer begins anew */
	kv_wal_discard(w);
	KV_CHECK_EQ(kv_wal_pending(w), 0);
	KV_CHECK_OK(kv_wal_write(w, &err), &err);
	KV_REQUIRE_OK(add(w, 1, 10), &err);
	sim_fail(sim, fault);
	for (i = 0; i < 100; i++)
		if (add(w, added + 1, 2000) == KV_OK)
			added++;
		else
			KV_CHECK_STATUS(err.status, KV_NO_MEMORY);
	KV_CHECK(added > 20 && added < 50);
	sim_clear_faults(sim);
	KV_CHECK_OK(add(w, ++added, 2000), &err);
	KV_CHECK_OK(kv_wal_write(w, &err), &err);
	kv_wal_close(w);
	KV_CHECK_EQ(read_back(1, 0, &status), added);
	sim_free(sim);
}

/*
 * Power fails at any call, at any level, also while the next segment is
 * made: what was synced is there, the rest is a beginning of what was
 * written, and nothing is called damaged.
 */
KV_TEST(wal_survives_power_loss)
{
	int round, rounds = kv_test_long() ? 40000 : 4000, torn = 0;

	for (round = 0; round < rounds && kv_test_failures() == 0; round++)
	{
		uint64_t added = 0, written = 0, synced = 0, n;
		KvWalWriter *w;
		KvStatus status;

		setup(kv_rand());
		KV_REQUIRE_OK(create(1, &w), &err);
		sim_die_at(sim, 1 + kv_rand_below(25));
		while (added < 60)
		{
			KV_REQUIRE_OK(add(w, ++added, kv_rand_below(2000)), &err);
			if (kv_rand_below(2) == 0)
				continue;
			/* a write that failed by the power may be there or not */
			written = added;
			if (kv_wal_write(w, &err) != KV_OK)
				break;
			if (kv_rand_below(3) == 0)
			{
				if (kv_wal_sync(w, &err) != KV_OK)
					break;
				synced = written;
			}
		}
		sim_crash(sim, (SimLevel) kv_rand_below(SIM_LEVELS));
		n = read_back(1, 0, &status);
		KV_CHECK_STATUS(status, KV_NOT_FOUND);
		KV_CHECK(n >= synced && n <= written);
		torn += n < written && n > synced;
		/* recovering twice is recovering once */
		sim_crash(sim, SIM_GARBAGE);
		KV_CHECK_EQ(read_back(1, 0, &status), n);
		sim_free(sim);
	}
	KV_CHECK(torn > rounds / 100);
}

/* A segment's name appears with all its content, or not at all. */
KV_TEST(wal_creation_survives_power_loss)
{
	uint64_t nth;
	int level, i;

	for (nth = 1; nth <= 12; nth++)
	{
		for (level = 0; level < SIM_LEVELS; level++)
		{
			for (i = 0; i < 30; i++)
			{
				KvWalWriter *w;
				KvStatus status, created;

				setup(kv_rand());
				sim_die_at(sim, nth);
				created = create(1, &w);
				sim_crash(sim, (SimLevel) level);
				(void) read_back(1, 0, &status);
				KV_CHECK_STATUS(status, KV_NOT_FOUND);
				if (created == KV_OK)
					KV_CHECK(sim_file_size(sim, "1.wal") > 0);
				sim_free(sim);
			}
		}
	}
}

/* ---- bytes of an adversary, with right checksums ---- */

static void
seal(char *group, uint64_t salt, uint64_t no, uint64_t off, size_t len)
{
	(void) kv_put_u32(group + KV_WAL_AT_LENGTH,
					  (uint32_t) (len - KV_WAL_GROUP_BYTES));
	(void) kv_put_u64(group, kv_checksum(salt, no, off, KV_WAL_SUM_GROUP,
										 group + KV_WAL_AT_LENGTH,
										 len - KV_WAL_AT_LENGTH));
}

KV_TEST(wal_random_groups_with_right_checksums)
{
	int round, rounds = kv_test_long() ? 1000000 : 8000;
	int seen[KV_NOT_READY + 1] = {0};
	KvWalWriter *w;
	uint64_t salt;
	size_t size, length;
	char *data;

	setup(6);
	KV_REQUIRE_OK(create(1, &w), &err);
	KV_REQUIRE_OK(add(w, 1, 20), &err);
	KV_REQUIRE_OK(add(w, 2, 5), &err);
	KV_REQUIRE_OK(kv_wal_write(w, &err), &err);
	length = (size_t) kv_wal_length(w);
	kv_wal_close(w);
	data = sim_get_file(sim, "1.wal", &size);
	salt = kv_load_u64(data + 40);
	for (round = 0; round < rounds; round++)
	{
		char copy[400];
		char *group = copy + KV_WAL_HEADER_BYTES;
		size_t len = length - KV_WAL_HEADER_BYTES;
		KvWalReader *r;
		KvWalStart start;
		KvLogRecord rec;
		KvStatus status;
		size_t i, edits = 1 + kv_rand_below(4), total = 0;

		memcpy(copy, data, length);
		for (i = 0; i < edits; i++)
			group[KV_WAL_AT_BODY + kv_rand_below(len - KV_WAL_AT_BODY)] =
				(char) (kv_rand_below(3) == 0 ? 0xff : kv_rand());
		if (kv_rand_below(4) == 0)
			len = KV_WAL_AT_BODY + kv_rand_below(len - KV_WAL_AT_BODY + 1);
		seal(group, salt, 1, KV_WAL_HEADER_BYTES, len);
		sim_put_file(sim, "1.wal", copy, KV_WAL_HEADER_BYTES + len);
		KV_REQUIRE_OK(kv_wal_open(env, &identity, 1, &r, &start, &err), &err);
		while ((status = kv_wal_next(r, 0, &rec, &err)) == KV_OK)
		{
			/* the sanitizer looks at every byte */
			for (i = 0; i < rec.payload.len; i++)
				total += (unsigned char) rec.payload.data[i];
		}
		seen[status]++;
		KV_CHECK(total < 1000000);
		kv_wal_reader_close(r);
	}
	KV_CHECK_EQ(seen[KV_NOT_FOUND] + seen[KV_CORRUPT] + seen[KV_UNSUPPORTED],
				rounds);
	KV_CHECK(seen[KV_CORRUPT] > 0 && seen[KV_UNSUPPORTED] > 0);
	free(data);
	sim_free(sim);
}

KV_TEST(wal_random_files)
{
	int round, rounds = kv_test_long() ? 200000 : 5000;

	setup(7);
	for (round = 0; round < rounds; round++)
	{
		char data[600];
		size_t i, len = kv_rand_below(sizeof(data));
		KvFileHeader h = {.kind = KV_FILE_WAL, .version = 1, .file_no = 1};
		KvStatus status;

		for (i = 0; i < len; i++)
			data[i] = (char) kv_rand();
		if (len >= KV_WAL_HEADER_BYTES)
		{
			h.identity = identity;
			kv_file_header_encode(&h, data);
			(void) kv_put_u64(data + 88, kv_checksum(0, 1, 56, KV_WAL_SUM_START,
													 data + 56, 32));
		}
		sim_put_file(sim, "1.wal", data, len);
		KV_CHECK_EQ(read_back(1, 0, &status), 0);
		KV_CHECK_STATUS(status,
						len < KV_WAL_HEADER_BYTES ? KV_CORRUPT : KV_NOT_FOUND);
	}
	KV_CHECK_EQ(sim->live_allocs, 0);
	sim_free(sim);
}
