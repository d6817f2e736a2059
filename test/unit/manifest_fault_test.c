/* SPDX-License-Identifier: PostgreSQL */
/*
 * manifest_fault_test.c - MANIFESTs survive power loss and failing calls;
 * damaged, incomplete and newer ones are refused or stepped back from.
 */
#include "harness.h"

#include "engine/base/coding.h"
#include "engine/lsm/manifest_format.h"
#include "env_sim.h"
#include "manifest_model.h"

static const KvIdentity identity = {UINT64_C(0x7007000000000001), 2, 5};
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

static void
crash(SimLevel level)
{
	sim_crash(sim, level);
	env->ops->lock(env, KV_LOCK_WAL_IO, true);
}

static KvManifestState
copy_state(const KvManifestState *s)
{
	KvManifestState copy = *s;

	copy.files = env->ops->alloc(env, (s->n_files + 1) * sizeof(*s->files));
	copy.doubts = env->ops->alloc(env, (s->n_doubts + 1) * sizeof(*s->doubts));
	KV_REQUIRE(copy.files != NULL && copy.doubts != NULL);
	if (s->n_files > 0)
		memcpy(copy.files, s->files, s->n_files * sizeof(*s->files));
	if (s->n_doubts > 0)
		memcpy(copy.doubts, s->doubts, s->n_doubts * sizeof(*s->doubts));
	return copy;
}

static KvStatus
load(KvManifestState *state)
{
	bool back = true;
	KvStatus status = kv_manifest_load(env, &identity, NULL, NULL, state,
									   &back, &err);

	KV_CHECK(!back);
	return status;
}

#define EDITS 6

/* MANIFEST-2 of EDITS edits; states[i]: after i + 1 of them. */
static void
write_sample(KvManifestState *states, uint64_t *ends)
{
	KvManifestState state = {0};
	KvManifest *m;
	uint64_t next_no = 1;
	int i;

	for (i = 0; i < EDITS; i++)
	{
		ModelEdit e;

		model_random_edit(&e, &state, &next_no);
		KV_REQUIRE_OK(kv_manifest_apply(env, &state, &e.edit, &err), &err);
		if (i == 0)
			KV_REQUIRE_OK(kv_manifest_create(env, &identity, 2, &state, &m,
											 &err),
						  &err);
		else
			KV_REQUIRE_OK(kv_manifest_append(m, &e.edit, &err), &err);
		states[i] = copy_state(&state);
		ends[i] = kv_manifest_bytes(m);
	}
	kv_manifest_close(m);
	kv_manifest_state_free(env, &state);
}

/* The last record is damaged or gone; or another one is. */
static void
check_damage(const KvManifestState *states, int record, bool followed)
{
	KvManifestState got;
	KvStatus status = load(&got);

	if (record == 0 || followed)
	{
		KV_CHECK_STATUS(status, KV_CORRUPT);
		KV_CHECK_EQ(err.file_no, 2);
	}
	else if (status != KV_OK)
		KV_CHECK_OK(status, &err);
	else
	{
		KV_CHECK(got.torn);
		KV_CHECK_EQ(got.edits, record);
		KV_CHECK(model_same_state(&got, &states[record - 1]));
		kv_manifest_state_free(env, &got);
	}
}

static int
record_at(const uint64_t *ends, uint64_t off)
{
	int i = 0;

	while (i < EDITS && ends[i] <= off)
		i++;
	return i;
}

KV_TEST(manifest_every_byte_flipped)
{
	static const uint8_t masks[] = {0x01, 0x80, 0xff};
	KvManifestState states[EDITS], state;
	uint64_t ends[EDITS], off;
	size_t m;
	int i;

	setup(kv_rand());
	write_sample(states, ends);
	for (off = 0; off < ends[EDITS - 1]; off++)
	{
		int record = record_at(ends, off);

		for (m = 0; m < sizeof(masks); m++)
		{
			KV_CHECK(sim_rot(sim, "MANIFEST-2", off, masks[m]));
			check_damage(states, record, record < EDITS - 1);
			KV_CHECK(sim_rot(sim, "MANIFEST-2", off, masks[m]));
		}
	}
	for (off = 0; off < (uint64_t) sim_file_size(sim, "CURRENT"); off++)
	{
		for (m = 0; m < sizeof(masks); m++)
		{
			KV_CHECK(sim_rot(sim, "CURRENT", off, masks[m]));
			KV_CHECK_STATUS(load(&state), KV_CORRUPT);
			KV_CHECK(sim_rot(sim, "CURRENT", off, masks[m]));
		}
	}
	KV_REQUIRE_OK(load(&state), &err);
	KV_CHECK(model_same_state(&state, &states[EDITS - 1]) && !state.torn);
	kv_manifest_state_free(env, &state);
	for (i = 0; i < EDITS; i++)
		kv_manifest_state_free(env, &states[i]);
	KV_CHECK_EQ(sim->live_allocs, 0);
	sim_free(sim);
}

/* Cut, and cut with zeros up to the old size: what a power loss leaves. */
KV_TEST(manifest_cut_at_every_byte)
{
	KvManifestState states[EDITS], state;
	uint64_t ends[EDITS];
	size_t size, cut;
	bool changed = false;
	int first = EDITS;
	char *data;

	setup(kv_rand());
	write_sample(states, ends);
	data = sim_get_file(sim, "MANIFEST-2", &size);
	for (cut = size; cut-- > 0;)
	{
		int record = record_at(ends, cut);
		bool whole = record > 0 && ends[record - 1] == cut;

		/* a cut between two edits looks like a shorter MANIFEST */
		sim_put_file(sim, "MANIFEST-2", data, cut);
		if (whole)
		{
			KV_REQUIRE_OK(load(&state), &err);
			KV_CHECK(!state.torn);
			KV_CHECK(model_same_state(&state, &states[record - 1]));
			kv_manifest_state_free(env, &state);
		}
		else
			check_damage(states, record, false);
		/* zeros instead of zeros change nothing */
		changed |= data[cut] != 0;
		if (data[cut] != 0)
			first = record;
		data[cut] = 0;
		sim_put_file(sim, "MANIFEST-2", data, size);
		if (changed)
			check_damage(states, first, false);
	}
	free(data);
	data = sim_get_file(sim, "CURRENT", &size);
	for (cut = 0; cut < size; cut++)
	{
		sim_put_file(sim, "CURRENT", data, cut);
		KV_CHECK_STATUS(load(&state), KV_CORRUPT);
	}
	free(data);
	sim_free(sim);
}

/* ---- copies of a folder ---- */

static uint64_t lacks[2];

static KvStatus
exists(void *arg, uint64_t file_no, uint64_t size, bool *there, KvError *why)
{
	(void) arg;
	(void) why;
	KV_CHECK_EQ(size, model_meta(file_no).size);
	*there = file_no != lacks[0] && file_no != lacks[1];
	return KV_OK;
}

static void
check_step(uint64_t lack0, uint64_t lack1, KvStatus want, uint64_t edits)
{
	KvManifestState state;
	bool back;
	KvStatus status;

	lacks[0] = lack0;
	lacks[1] = lack1;
	status = kv_manifest_load(env, &identity, exists, NULL, &state, &back,
							  &err);
	KV_CHECK_STATUS(status, want);
	if (status != KV_OK)
		return;
	KV_CHECK_EQ(state.edits, edits);
	KV_CHECK_EQ(back, edits < 5);
	kv_manifest_state_free(env, &state);
}

KV_TEST(manifest_steps_back_to_a_complete_state)
{
	KvManifestState state = {0};
	KvFileMeta m[5] = {model_meta(1), model_meta(2), model_meta(3),
					   model_meta(4), model_meta(5)};
	uint64_t two[] = {2, 3};
	/* 1: {1}; 2: {1,2}; 3: {1,2,3}; 4: {1,4}; 5: {1,4,5} */
	KvEdit edits[5] =
		{{.adds = &m[0], .n_adds = 1},
		 {.adds = &m[1], .n_adds = 1},
		 {.adds = &m[2], .n_adds = 1},
		 {.adds = &m[3], .n_adds = 1, .removes = two, .n_removes = 2},
		 {.adds = &m[4], .n_adds = 1}};
	KvManifest *manifest;
	int i;

	setup(5);
	KV_REQUIRE_OK(kv_manifest_apply(env, &state, &edits[0], &err), &err);
	KV_REQUIRE_OK(kv_manifest_create(env, &identity, 1, &state, &manifest, &err),
				  &err);
	for (i = 1; i < 5; i++)
		KV_REQUIRE_OK(kv_manifest_append(manifest, &edits[i], &err), &err);
	kv_manifest_close(manifest);
	kv_manifest_state_free(env, &state);
	check_step(0, 0, KV_OK, 5);
	/* removed since: nobody misses them */
	check_step(2, 3, KV_OK, 5);
	check_step(5, 0, KV_OK, 4);
	check_step(5, 2, KV_OK, 4);
	check_step(4, 0, KV_OK, 3);
	check_step(4, 3, KV_OK, 2);
	check_step(4, 2, KV_OK, 1);
	check_step(1, 0, KV_CORRUPT, 0);
	KV_CHECK_EQ(err.file_no, 1);
	KV_CHECK_EQ(sim->live_allocs, 0);
	sim_free(sim);
}

/* ---- the future, and adversaries ---- */

/* Replaces the second record's body; checksum right. */
static void
put_second_record(const char *head, size_t head_len, const char *body,
				  size_t len)
{
	char *data = malloc(head_len + KV_MANIFEST_RECORD_BYTES + len);
	char *p = data + head_len;

	KV_REQUIRE(data != NULL);
	memcpy(data, head, head_len);
	(void) kv_put_u32(p + KV_MANIFEST_AT_LENGTH, (uint32_t) len);
	(void) kv_put_u64(p + KV_MANIFEST_AT_OFFSET, head_len);
	if (len > 0)
		memcpy(p + KV_MANIFEST_RECORD_BYTES, body, len);
	(void) kv_put_u64(p, kv_checksum(kv_load_u64(head + 40), 1, head_len,
									 KV_MANIFEST_SUM_RECORD,
									 p + KV_MANIFEST_AT_LENGTH,
									 KV_MANIFEST_RECORD_BYTES -
										 KV_MANIFEST_AT_LENGTH + len));
	sim_put_file(sim, "MANIFEST-1", data,
				 head_len + KV_MANIFEST_RECORD_BYTES + len);
	free(data);
}

KV_TEST(manifest_unknown_tags)
{
	/* tag 20, with and without the bit; then min_wal = 9 */
	static const char must[] = {41, 2, 'h', 'i', 11, 1, 9};
	static const char may[] = {40, 2, 'h', 'i', 11, 1, 9};
	static const char zero[] = {1, 0};
	KvManifestState state = {0};
	KvManifest *m;
	size_t size;
	char *head;

	setup(6);
	state.csn_floor = 1;
	KV_REQUIRE_OK(kv_manifest_create(env, &identity, 1, &state, &m, &err),
				  &err);
	kv_manifest_close(m);
	head = sim_get_file(sim, "MANIFEST-1", &size);
	put_second_record(head, size, must, sizeof(must));
	KV_CHECK_STATUS(load(&state), KV_UNSUPPORTED);
	KV_CHECK_EQ(err.file_no, 1);
	KV_CHECK_EQ(err.offset, size);
	put_second_record(head, size, zero, sizeof(zero));
	KV_CHECK_STATUS(load(&state), KV_UNSUPPORTED);
	put_second_record(head, size, may, sizeof(may));
	KV_REQUIRE_OK(load(&state), &err);
	KV_CHECK_EQ(state.min_wal, 9);
	KV_CHECK_EQ(state.csn_floor, 1);
	kv_manifest_state_free(env, &state);
	free(head);
	sim_free(sim);
}

KV_TEST(manifest_random_edits_with_right_checksums)
{
	int round, rounds = kv_test_long() ? 500000 : 20000;
	int seen[KV_NOT_READY + 1] = {0};
	KvManifestState state = {0};
	KvEditBuffer buf = {0};
	ModelEdit e;
	KvManifest *m;
	uint64_t next_no = 1;
	size_t size;
	char *head;

	setup(7);
	state.csn_floor = 1;
	KV_REQUIRE_OK(kv_manifest_create(env, &identity, 1, &state, &m, &err),
				  &err);
	kv_manifest_close(m);
	head = sim_get_file(sim, "MANIFEST-1", &size);
	for (round = 0; round < rounds; round++)
	{
		size_t i, edits = kv_rand_below(4);

		buf.len = 0;
		memset(&state, 0, sizeof(state));
		model_random_edit(&e, &state, &next_no);
		KV_REQUIRE_OK(kv_edit_encode(env, &e.edit, &buf, &err), &err);
		for (i = 0; i < edits && buf.len > 0; i++)
			buf.data[kv_rand_below(buf.len)] = (char) (kv_rand_below(3) == 0
														   ? 0xff
														   : kv_rand());
		if (kv_rand_below(8) == 0)
			buf.len = kv_rand_below(buf.len + 1);
		put_second_record(head, size, buf.data, buf.len);
		seen[load(&state)]++;
		kv_manifest_state_free(env, &state);
	}
	KV_CHECK_EQ(seen[KV_OK] + seen[KV_CORRUPT] + seen[KV_UNSUPPORTED], rounds);
	KV_CHECK(seen[KV_OK] > 0 && seen[KV_CORRUPT] > 0 &&
			 seen[KV_UNSUPPORTED] > 0);
	env->ops->free(env, buf.data);
	KV_CHECK_EQ(sim->live_allocs, 0);
	free(head);
	sim_free(sim);
}

/* ---- failing calls and power loss ---- */

KV_TEST(manifest_failed_append_poisons)
{
	static const SimCall calls[] = {SIM_PWRITE, SIM_SYNC};
	int i;

	for (i = 0; i < 2 * 3 * 10; i++)
	{
		SimFault fault = {calls[i % 2], 1, 1, KV_DISK_FULL,
						  (SimDone) (i / 2 % 3)};
		KvManifestState state = {0};
		KvEdit edit = {.min_wal = 5}, other = {.min_wal = 6};
		KvManifest *m;

		setup(kv_rand());
		state.csn_floor = 1;
		KV_REQUIRE_OK(kv_manifest_create(env, &identity, 1, &state, &m, &err),
					  &err);
		sim_fail(sim, fault);
		KV_CHECK_STATUS(kv_manifest_append(m, &edit, &err), KV_DISK_FULL);
		KV_CHECK_EQ(sim->faults_fired, 1);
		sim->io_calls = 0;
		KV_CHECK_STATUS(kv_manifest_append(m, &other, &err), KV_DISK_FULL);
		KV_CHECK_EQ(err.file_no, 1);
		KV_CHECK_EQ(sim->io_calls, 0);
		kv_manifest_close(m);

		/* the way out: a new one */
		state.min_wal = 7;
		KV_REQUIRE_OK(kv_manifest_create(env, &identity, 2, &state, &m, &err),
					  &err);
		crash(SIM_SYNCED_ONLY);
		KV_REQUIRE_OK(load(&state), &err);
		KV_CHECK_EQ(state.min_wal, 7);
		kv_manifest_state_free(env, &state);
		sim_free(sim);
	}
}

KV_TEST(manifest_append_without_memory)
{
	SimFault fault = {SIM_ALLOC, 1, 1, KV_OK, SIM_NOTHING};
	KvManifestState state = {0};
	KvEdit edit = {.min_wal = 5};
	KvManifest *m;
	int n = 0;

	setup(8);
	KV_REQUIRE_OK(kv_manifest_create(env, &identity, 1, &state, &m, &err),
				  &err);
	do
	{
		sim_clear_faults(sim);
		fault.nth = (uint64_t) ++n;
		sim_fail(sim, fault);
	} while (kv_manifest_append(m, &edit, &err) == KV_NO_MEMORY);
	KV_CHECK(n == 3 && sim->faults_fired == 2);
	kv_manifest_close(m);
	do
	{
		sim_clear_faults(sim);
		fault.nth = (uint64_t) n++ - 2;
		sim_fail(sim, fault);
	} while (load(&state) == KV_NO_MEMORY);
	KV_CHECK(n > 5);
	KV_CHECK_EQ(state.edits, 2);
	kv_manifest_state_free(env, &state);
	KV_CHECK_EQ(sim->live_allocs, 0);
	sim_free(sim);
}

/*
 * Any call of a switch fails, at any call the power fails, at any level: the
 * old state or the new one is there, whole; the new one if it was reported.
 */
KV_TEST(manifest_switch_is_atomic)
{
	int round, rounds = kv_test_long() ? 200000 : 6000, old = 0, new = 0;

	for (round = 0; round < rounds && kv_test_failures() == 0; round++)
	{
		SimFault fault = {(SimCall) kv_rand_below(SIM_CALLS),
						  1 + kv_rand_below(3), 1, KV_IO_ERROR,
						  (SimDone) kv_rand_below(3)};
		KvManifestState state = {0}, got;
		KvFileMeta file = model_meta(9);
		KvEdit edit = {.adds = &file, .n_adds = 1, .min_wal = 2};
		KvManifest *m;
		KvStatus status;
		uint64_t reported = 1, tried;

		setup(kv_rand());
		state.min_wal = 1;
		KV_REQUIRE_OK(kv_manifest_create(env, &identity, 1, &state, &m, &err),
					  &err);
		if (kv_rand_below(2) == 0)
			sim_fail(sim, fault);
		else
			sim_die_at(sim, 1 + kv_rand_below(14));
		tried = 2;
		if (kv_manifest_append(m, &edit, &err) == KV_OK)
			reported = 2;
		kv_manifest_close(m);
		if (kv_manifest_apply(env, &state, &edit, &err) == KV_OK)
		{
			state.min_wal = 3;
			tried = 3;
			status = kv_manifest_create(env, &identity, 2, &state, &m, &err);
			if (status == KV_OK)
			{
				reported = 3;
				kv_manifest_close(m);
				(void) env->ops->unlink(env, "MANIFEST-1", NULL);
			}
		}
		crash((SimLevel) kv_rand_below(SIM_LEVELS));
		KV_REQUIRE_OK(load(&got), &err);
		KV_CHECK(got.min_wal >= reported && got.min_wal <= tried);
		KV_CHECK_EQ(got.n_files, got.min_wal > 1);
		if (got.min_wal == 3)
			new ++;
		else
			old++;
		kv_manifest_state_free(env, &got);
		sim_free(sim);
	}
	KV_CHECK(old > rounds / 10 && new > rounds / 10);
}
