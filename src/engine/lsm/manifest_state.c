/* SPDX-License-Identifier: PostgreSQL */
/*
 * manifest_state.c - the sum of edits.
 *
 * No I/O.  The engine worker prepares each edit (all that can fail), appends
 * it to the MANIFEST, then applies it to its state; loading a MANIFEST
 * applies them all.  files is kept in the order of file numbers.
 */
#include <inttypes.h>

#include "engine/base/check.h"
#include "engine/lsm/manifest.h"

void
kv_manifest_state_free(KvEnv *env, KvManifestState *state)
{
	if (state->files != NULL)
		env->ops->free(env, state->files);
	if (state->doubts != NULL)
		env->ops->free(env, state->doubts);
	memset(state, 0, sizeof(*state));
}

/* Index of the first file whose number is not below file_no. */
static uint32_t
lower_bound(const KvFileMeta *files, uint32_t n, uint64_t file_no)
{
	uint32_t low = 0, high = n;

	while (low < high)
	{
		uint32_t mid = low + (high - low) / 2;

		if (files[mid].file_no < file_no)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static bool
has_file(const KvManifestState *state, uint64_t file_no)
{
	uint32_t i = lower_bound(state->files, state->n_files, file_no);

	return i < state->n_files && state->files[i].file_no == file_no;
}

static bool
removes_file(const KvEdit *edit, uint64_t file_no)
{
	uint32_t i;

	for (i = 0; i < edit->n_removes; i++)
		if (edit->removes[i] == file_no)
			return true;
	return false;
}

static bool
adds_file(const KvEdit *edit, uint32_t n_adds, uint64_t file_no)
{
	uint32_t i;

	for (i = 0; i < n_adds; i++)
		if (edit->adds[i].file_no == file_no)
			return true;
	return false;
}

/* Looks for all that could fail, so that a failure changes nothing. */
static KvStatus
check_edit(const KvManifestState *state, const KvEdit *edit, KvError *err)
{
	bool ascending = true;
	uint32_t i, j;

	for (i = 0; i < edit->n_removes; i++)
	{
		uint64_t file_no = edit->removes[i];

		for (j = 0; j < i && edit->removes[j] != file_no; j++)
			;
		if (j < i || !has_file(state, file_no))
			return kv_corrupt(err, 0, 0,
							  "edit removes file %" PRIu64
							  ", which is not there",
							  file_no);
	}
	for (i = 0; i < edit->n_adds; i++)
	{
		uint64_t file_no = edit->adds[i].file_no;

		if (i > 0 && file_no <= edit->adds[i - 1].file_no)
			ascending = false;
		if ((!ascending && adds_file(edit, i, file_no)) ||
			(has_file(state, file_no) && !removes_file(edit, file_no)))
			return kv_corrupt(err, 0, 0,
							  "edit adds file %" PRIu64 " a second time",
							  file_no);
	}
	for (i = 0; i < edit->n_doubts; i++)
	{
		uint64_t file_no = edit->doubts[i].file_no;

		if (ascending)
		{
			j = lower_bound(edit->adds, edit->n_adds, file_no);
			if (j < edit->n_adds && edit->adds[j].file_no == file_no)
				continue;
		}
		else if (adds_file(edit, edit->n_adds, file_no))
			continue;
		if (!has_file(state, file_no) || removes_file(edit, file_no))
			return kv_corrupt(err, 0, 0,
							  "edit is about transactions of file %" PRIu64
							  ", which is not there",
							  file_no);
	}
	return KV_OK;
}

/* Room for more elements in a growing array. */
static bool
reserve(KvEnv *env, void *array, uint32_t n, uint32_t more, uint32_t *cap,
		size_t size)
{
	uint64_t need = (uint64_t) n + more;
	uint64_t new_cap = *cap > 0 ? *cap : 16;
	void *p;

	if (need <= *cap)
		return true;
	while (new_cap < need)
		new_cap *= 2;
	if (new_cap > UINT32_MAX)
		return false;
	memcpy(&p, array, sizeof(p));
	p = env->ops->realloc(env, p, (size_t) new_cap * size);
	if (p == NULL)
		return false;
	memcpy(array, &p, sizeof(p));
	*cap = (uint32_t) new_cap;
	return true;
}

static void
apply_removes(KvManifestState *state, const KvEdit *edit)
{
	uint32_t i, kept = 0;

	if (edit->n_removes == 0)
		return;
	for (i = 0; i < state->n_files; i++)
	{
		if (removes_file(edit, state->files[i].file_no))
			continue;
		if (kept != i)
			state->files[kept] = state->files[i];
		kept++;
	}
	state->n_files = kept;

	/* a file that only moves to another level keeps its doubts */
	kept = 0;
	for (i = 0; i < state->n_doubts; i++)
	{
		uint64_t file_no = state->doubts[i].file_no;

		if (removes_file(edit, file_no) &&
			!adds_file(edit, edit->n_adds, file_no))
			continue;
		state->doubts[kept++] = state->doubts[i];
	}
	state->n_doubts = kept;
}

static void
apply_add(KvManifestState *state, const KvFileMeta *meta)
{
	uint32_t at = lower_bound(state->files, state->n_files, meta->file_no);

	KV_ASSERT(state->n_files < state->cap_files); /* kv_manifest_prepare */
	KV_ASSERT(at == state->n_files ||
			  state->files[at].file_no != meta->file_no);
	memmove(state->files + at + 1, state->files + at,
			(size_t) (state->n_files - at) * sizeof(*meta));
	state->files[at] = *meta;
	state->n_files++;
}

static void
apply_doubt(KvManifestState *state, const KvDoubt *doubt)
{
	uint32_t i;

	for (i = 0; i < state->n_doubts; i++)
	{
		if (state->doubts[i].file_no == doubt->file_no &&
			state->doubts[i].xid == doubt->xid)
		{
			state->doubts[i].state = doubt->state;
			return;
		}
	}
	KV_ASSERT(state->n_doubts < state->cap_doubts);
	state->doubts[state->n_doubts++] = *doubt;
}

static void
apply_settle(KvManifestState *state, const KvDoubt *settle)
{
	uint32_t i;

	for (i = 0; i < state->n_doubts; i++)
		if (state->doubts[i].xid == settle->xid)
			state->doubts[i].state = settle->state;
}

static void
apply_scalars(KvManifestState *state, const KvEdit *edit)
{
	if (edit->min_wal != 0)
		state->min_wal = edit->min_wal;
	if (edit->flushed_csn != 0)
		state->flushed_csn = edit->flushed_csn;
	if (edit->flushed_lsn != 0)
		state->flushed_lsn = edit->flushed_lsn;
	if (edit->file_no_ceiling != 0)
		state->file_no_ceiling = edit->file_no_ceiling;
	if (edit->store_id_ceiling != 0)
		state->store_id_ceiling = edit->store_id_ceiling;
	if (edit->csn_floor != 0)
		state->csn_floor = edit->csn_floor;
	if (edit->runs_csn != 0)
		state->runs_csn = edit->runs_csn;
	if (edit->wal_cut_no != 0)
	{
		state->wal_cut_no = edit->wal_cut_no;
		state->wal_cut_end = edit->wal_cut_end;
	}
	if (edit->clock_us != 0)
		state->clock_us = edit->clock_us;
	if (edit->timeline != 0)
		state->timeline = edit->timeline;
	if (edit->incarnation != 0)
		state->incarnation = edit->incarnation;
}

KvStatus
kv_manifest_prepare(KvEnv *env, KvManifestState *state, const KvEdit *edit,
					KvError *err)
{
	KvStatus status = check_edit(state, edit, err);

	if (status != KV_OK)
		return status;
	if (!reserve(env, &state->files, state->n_files, edit->n_adds,
				 &state->cap_files, sizeof(KvFileMeta)) ||
		!reserve(env, &state->doubts, state->n_doubts, edit->n_doubts,
				 &state->cap_doubts, sizeof(KvDoubt)))
		return kv_fail(err, KV_NO_MEMORY,
					   "out of memory for the list of files");
	return KV_OK;
}

KvStatus
kv_manifest_apply(KvEnv *env, KvManifestState *state, const KvEdit *edit,
				  KvError *err)
{
	KvStatus status = kv_manifest_prepare(env, state, edit, err);
	uint32_t i;

	if (status != KV_OK)
		return status;
	apply_removes(state, edit);
	for (i = 0; i < edit->n_adds; i++)
		apply_add(state, &edit->adds[i]);
	for (i = 0; i < edit->n_doubts; i++)
		apply_doubt(state, &edit->doubts[i]);
	for (i = 0; i < edit->n_settles; i++)
		apply_settle(state, &edit->settles[i]);
	apply_scalars(state, edit);
	return KV_OK;
}
