/* SPDX-License-Identifier: PostgreSQL */
/*
 * manifest_fuzz.c - a MANIFEST of any content behind a CURRENT that names it.
 *
 * Input: how much of the MANIFEST CURRENT says is synced, and which tables
 * are missing (a byte each); then the MANIFEST behind its file header.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/coding.h"
#include "engine/lsm/manifest_format.h"
#include "fuzz.h"

static KvStatus
exists(void *arg, uint64_t file_no, uint64_t size, bool *there, KvError *err)
{
	(void) size;
	(void) err;
	*there = *(const uint8_t *) arg == 0 || file_no % 8 != *(uint8_t *) arg % 8;
	return KV_OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint8_t current[KV_CURRENT_BYTES] = {0}, missing;
	char name[KV_NAME_MAX];
	KvManifestState state;
	SimEnv *sim;
	KvError err;
	bool back;
	char *file;
	size_t n;
	uint32_t i;

	if (size < 2)
		return 0;
	missing = data[1];
	sim = fuzz_begin();
	fuzz_put(sim, KV_NAME_MANIFEST, KV_FILE_MANIFEST, data + 2, size - 2);
	(void) kv_put_u64((char *) current, FUZZ_SALT);
	(void) kv_put_u64((char *) current + 8,
					  KV_FILE_HEADER_BYTES + data[0] * (size - 2) / 255);
	fuzz_put(sim, KV_NAME_CURRENT, KV_FILE_CURRENT, current,
			 KV_CURRENT_BYTES - KV_FILE_HEADER_BYTES);
	kv_file_name(name, KV_NAME_CURRENT, 0);
	file = sim_get_file(sim, name, &n);
	if (file == NULL)
		abort();
	free(file);
	if (kv_manifest_load(&sim->env, &fuzz_identity, exists, &missing, &state,
						 &back, &err) == KV_OK)
	{
		for (i = 1; i < state.n_files; i++)
			if (state.files[i - 1].file_no >= state.files[i].file_no)
				abort();
		kv_manifest_state_free(&sim->env, &state);
	}
	fuzz_end(sim);
	return 0;
}

static void
fill_edit(KvEdit *edit, KvFileMeta *meta, KvDoubt *doubt, uint64_t file_no)
{
	memset(edit, 0, sizeof(*edit));
	memset(meta, 0, sizeof(*meta));
	meta->file_no = file_no;
	meta->size = 1000;
	meta->max_csn = file_no;
	meta->has_doubt = true;
	meta->smallest_len = meta->largest_len = 5;
	memcpy(meta->smallest, "\0\0\0\1a", 5);
	memcpy(meta->largest, "\0\0\0\1b", 5);
	*doubt = (KvDoubt){file_no, 77, KV_XACT_IN_DOUBT};
	edit->adds = meta;
	edit->n_adds = 1;
	edit->doubts = doubt;
	edit->n_doubts = 1;
	edit->flushed_csn = file_no;
	edit->min_wal = file_no;
	edit->clock_us = 5;
}

void
fuzz_make_seeds(void)
{
	SimEnv *sim = fuzz_begin();
	KvManifestState state = {0};
	KvManifest *m;
	KvEdit edit;
	KvFileMeta meta;
	KvDoubt doubt;
	KvError err;
	uint64_t old = 20;
	char name[KV_NAME_MAX];
	char *file;
	size_t size;
	KvStatus st;

	sim->env.ops->lock(&sim->env, KV_LOCK_WAL_IO, true);
	state.incarnation = state.timeline = 1;
	st = kv_manifest_create(&sim->env, &fuzz_identity, FUZZ_FILE_NO, &state,
							&m, &err);
	fill_edit(&edit, &meta, &doubt, old);
	if (st == KV_OK)
		st = kv_manifest_append(m, &edit, &err);
	fill_edit(&edit, &meta, &doubt, 21);
	doubt.state = KV_XACT_ABORTED;
	edit.settles = &doubt;
	edit.n_settles = 1;
	edit.removes = &old;
	edit.n_removes = 1;
	if (st == KV_OK)
		st = kv_manifest_append(m, &edit, &err);
	if (st != KV_OK)
		abort();
	kv_manifest_close(m);
	sim->env.ops->unlock(&sim->env, KV_LOCK_WAL_IO);
	kv_file_name(name, KV_NAME_MANIFEST, FUZZ_FILE_NO);
	file = sim_get_file(sim, name, &size);
	if (file == NULL)
		abort();
	file[KV_FILE_HEADER_BYTES - 2] = file[KV_FILE_HEADER_BYTES - 1] = 0;
	fuzz_seed("three_edits", file + KV_FILE_HEADER_BYTES - 2,
			  size - KV_FILE_HEADER_BYTES + 2);
	file[KV_FILE_HEADER_BYTES - 1] = 21;
	fuzz_seed("missing", file + KV_FILE_HEADER_BYTES - 2,
			  size - KV_FILE_HEADER_BYTES + 2);
	free(file);
	fuzz_end(sim);
}
