/* SPDX-License-Identifier: PostgreSQL */
/*
 * manifest_test.c - edits add up, and only a MANIFEST of ours is read.
 */
#include "harness.h"

#include "engine/lsm/manifest.h"
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

KV_TEST(meta_round_trip)
{
	uint64_t no;

	for (no = 1; no < 2000; no++)
	{
		KvFileMeta want = model_meta(no), got;
		char buf[KV_META_MAX_BYTES + 1];
		size_t len = kv_meta_encode(&want, buf, KV_META_MAX_BYTES), cut;
		KvSlice in = kv_slice(buf, len + 1);

		KV_CHECK(len > 0);
		KV_CHECK_OK(kv_meta_decode(&in, &got, &err), &err);
		KV_CHECK_EQ(in.len, 1);
		KV_CHECK(model_same_meta(&want, &got));
		KV_CHECK_EQ(got.level, want.level);
		KV_CHECK_EQ(got.run_xid, want.run_xid);
		KV_CHECK_EQ(got.has_doubt, want.has_doubt);
		KV_CHECK_EQ(got.oldest_expiry_us, want.oldest_expiry_us);
		KV_CHECK_EQ(kv_meta_encode(&want, buf, len - 1), 0);
		for (cut = 0; cut < len && no < 50; cut++)
		{
			in = kv_slice(buf, cut);
			KV_CHECK_STATUS(kv_meta_decode(&in, &got, &err), KV_CORRUPT);
		}
	}
}

KV_TEST(manifest_edits_add_up)
{
	int round;

	for (round = 0; round < 100; round++)
	{
		KvManifestState state = {0}, got;
		KvManifest *m;
		uint64_t next_no = 1;
		int i, edits = (int) kv_rand_below(60);

		setup(kv_rand());
		KV_REQUIRE_OK(kv_manifest_create(env, &identity, 3, &state, &m, &err),
					  &err);
		for (i = 0; i < edits; i++)
		{
			ModelEdit e;
			uint64_t before = kv_manifest_bytes(m);

			model_random_edit(&e, &state, &next_no);
			KV_CHECK_OK(kv_manifest_apply(env, &state, &e.edit, &err), &err);
			KV_CHECK_OK(kv_manifest_append(m, &e.edit, &err), &err);
			KV_CHECK(kv_manifest_bytes(m) > before);
		}
		KV_CHECK_EQ(kv_manifest_number(m), 3);
		KV_CHECK_EQ(kv_manifest_bytes(m), sim_file_size(sim, "MANIFEST-3"));
		kv_manifest_close(m);
		KV_REQUIRE_OK(load(&got), &err);
		KV_CHECK(model_same_state(&got, &state));
		KV_CHECK_EQ(got.edits, edits + 1);
		KV_CHECK_EQ(got.manifest_no, 3);
		KV_CHECK(!got.torn);
		/* the sum as one edit is the same sum */
		KV_REQUIRE_OK(kv_manifest_create(env, &identity, 9, &got, &m, &err),
					  &err);
		kv_manifest_close(m);
		kv_manifest_state_free(env, &got);
		KV_REQUIRE_OK(load(&got), &err);
		KV_CHECK(model_same_state(&got, &state));
		KV_CHECK_EQ(got.manifest_no, 9);
		KV_CHECK_EQ(got.edits, 1);
		kv_manifest_state_free(env, &got);
		kv_manifest_state_free(env, &state);
		KV_CHECK_EQ(sim->live_allocs, 0);
		KV_CHECK_EQ(sim->open_files, 0);
		sim_free(sim);
	}
}

KV_TEST(manifest_impossible_edits_change_nothing)
{
	KvFileMeta metas[2] = {model_meta(7), model_meta(7)};
	KvDoubt doubt = {8, 1, 0};
	uint64_t removes[2] = {8, 8};
	KvEdit first = {.adds = metas, .n_adds = 1, .min_wal = 4};
	KvEdit bad[5] = {{.adds = metas, .n_adds = 1, .min_wal = 5},
					 {.adds = metas, .n_adds = 2, .min_wal = 5},
					 {.removes = removes, .n_removes = 1, .min_wal = 5},
					 {.removes = removes, .n_removes = 2, .min_wal = 5},
					 {.doubts = &doubt, .n_doubts = 1, .min_wal = 5}};
	KvManifestState state = {0}, before;
	int i;

	setup(1);
	KV_REQUIRE_OK(kv_manifest_apply(env, &state, &first, &err), &err);
	before = copy_state(&state);
	for (i = 0; i < 5; i++)
	{
		if (i == 1)
			metas[0] = metas[1] = model_meta(9);
		if (i == 3)
			removes[0] = removes[1] = 7;
		KV_CHECK_STATUS(kv_manifest_apply(env, &state, &bad[i], &err),
						KV_CORRUPT);
		KV_CHECK(model_same_state(&state, &before));
	}
	kv_manifest_state_free(env, &before);
	kv_manifest_state_free(env, &state);
	sim_free(sim);
}

KV_TEST(manifest_moves_keep_doubts)
{
	KvFileMeta m = model_meta(7);
	KvDoubt doubts[2] = {{7, 100, 0}, {7, 101, 0}};
	KvDoubt settle = {0, 101, KV_XACT_ABORTED};
	uint64_t no = 7;
	KvEdit add = {.adds = &m, .n_adds = 1, .doubts = doubts, .n_doubts = 2};
	KvEdit end = {.settles = &settle, .n_settles = 1};
	KvEdit move = {.adds = &m, .n_adds = 1, .removes = &no, .n_removes = 1};
	KvEdit drop = {.removes = &no, .n_removes = 1};
	KvManifestState state = {0};

	setup(2);
	KV_CHECK_OK(kv_manifest_apply(env, &state, &add, &err), &err);
	KV_CHECK_OK(kv_manifest_apply(env, &state, &end, &err), &err);
	m.level = 3;
	KV_CHECK_OK(kv_manifest_apply(env, &state, &move, &err), &err);
	KV_CHECK_EQ(state.n_files, 1);
	KV_CHECK_EQ(state.files[0].level, 3);
	KV_CHECK_EQ(state.n_doubts, 2);
	KV_CHECK_EQ(state.doubts[0].state, KV_XACT_IN_DOUBT);
	KV_CHECK_EQ(state.doubts[1].state, KV_XACT_ABORTED);
	KV_CHECK_OK(kv_manifest_apply(env, &state, &drop, &err), &err);
	KV_CHECK_EQ(state.n_files, 0);
	KV_CHECK_EQ(state.n_doubts, 0);
	kv_manifest_state_free(env, &state);
	sim_free(sim);
}

/* ---- what lies in the folder ---- */

KV_TEST(manifest_empty_folder)
{
	KvManifestState state;

	setup(3);
	KV_CHECK_STATUS(load(&state), KV_NOT_FOUND);
	KV_CHECK_EQ(sim->live_allocs, 0);
	sim_free(sim);
}

KV_TEST(manifest_refusals)
{
	KvManifestState state = {0};
	KvIdentity other = identity;
	KvManifest *m;
	char *data;
	size_t size;

	setup(4);
	KV_REQUIRE_OK(kv_manifest_create(env, &identity, 1, &state, &m, &err),
				  &err);
	KV_CHECK_STATUS(kv_manifest_create(env, &identity, 1, &state, &m, &err),
					KV_EXISTS);
	other.system_id++;
	KV_CHECK_STATUS(kv_manifest_load(env, &other, NULL, NULL, &state, NULL,
									 &err),
					KV_FOREIGN);
	other = identity;
	other.timeline++;
	KV_CHECK_OK(kv_manifest_load(env, &other, NULL, NULL, &state, NULL, &err),
				&err);
	kv_manifest_state_free(env, &state);

	/* a MANIFEST of the same number, but of another life */
	data = sim_get_file(sim, "MANIFEST-1", &size);
	sim_remove_file(sim, "MANIFEST-1");
	KV_CHECK_STATUS(load(&state), KV_CORRUPT);
	KV_CHECK_EQ(err.file_no, 1);
	sim_remove_file(sim, "CURRENT");
	KV_REQUIRE_OK(kv_manifest_create(env, &identity, 1, &state, &m, &err),
				  &err);
	sim_put_file(sim, "MANIFEST-1", data, size);
	KV_CHECK_STATUS(load(&state), KV_CORRUPT);
	free(data);
	sim_free(sim);
}
