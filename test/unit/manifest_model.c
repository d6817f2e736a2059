/* SPDX-License-Identifier: PostgreSQL */
/*
 * manifest_model.c - made-up files, edits and comparisons for the tests of
 * the MANIFEST.
 */
#include "manifest_model.h"

#include "harness.h"

KvFileMeta
model_meta(uint64_t file_no)
{
	KvFileMeta m;
	KvRand rand;
	uint64_t *n[] = {&m.size,	   &m.digest,	   &m.entries, &m.tombstones,
					 &m.min_csn,   &m.max_csn,	   &m.min_xid, &m.max_xid,
					 &m.key_bytes, &m.value_bytes, &m.run_csn, &m.run_xid};
	size_t i;

	memset(&m, 0, sizeof(m));
	kv_rand_init(&rand, file_no);
	for (i = 0; i < sizeof(n) / sizeof(n[0]); i++)
		*n[i] = kv_rand_next(&rand) >> kv_rand_next(&rand) % 64;
	m.file_no = file_no;
	m.oldest_expiry_us = (int64_t) kv_rand_next(&rand);
	m.level = (uint8_t) (kv_rand_next(&rand) % KV_LEVELS);
	m.has_doubt = kv_rand_next(&rand) % 2;
	m.largest_cut = kv_rand_next(&rand) % 2;
	m.smallest_len = (uint16_t) (kv_rand_next(&rand) % (KV_BOUND_BYTES + 1));
	m.largest_len = (uint16_t) (kv_rand_next(&rand) % (KV_BOUND_BYTES + 1));
	for (i = 0; i < m.smallest_len; i++)
		m.smallest[i] = (char) kv_rand_next(&rand);
	for (i = 0; i < m.largest_len; i++)
		m.largest[i] = (char) kv_rand_next(&rand);
	return m;
}

bool
model_same_meta(const KvFileMeta *a, const KvFileMeta *b)
{
	char x[KV_META_MAX_BYTES], y[KV_META_MAX_BYTES];
	size_t len = kv_meta_encode(a, x, sizeof(x));

	return len == kv_meta_encode(b, y, sizeof(y)) && memcmp(x, y, len) == 0;
}

bool
model_same_state(const KvManifestState *a, const KvManifestState *b)
{
	uint32_t i;

	if (a->n_files != b->n_files || a->n_doubts != b->n_doubts)
		return false;
	for (i = 0; i < a->n_files; i++)
		if (!model_same_meta(&a->files[i], &b->files[i]))
			return false;
	for (i = 0; i < a->n_doubts; i++)
		if (a->doubts[i].file_no != b->doubts[i].file_no ||
			a->doubts[i].xid != b->doubts[i].xid ||
			a->doubts[i].state != b->doubts[i].state)
			return false;
	return a->min_wal == b->min_wal && a->flushed_csn == b->flushed_csn &&
		   a->flushed_lsn == b->flushed_lsn &&
		   a->file_no_ceiling == b->file_no_ceiling &&
		   a->store_id_ceiling == b->store_id_ceiling &&
		   a->csn_floor == b->csn_floor && a->runs_csn == b->runs_csn &&
		   a->wal_cut_no == b->wal_cut_no &&
		   a->wal_cut_end == b->wal_cut_end && a->clock_us == b->clock_us &&
		   a->timeline == b->timeline && a->incarnation == b->incarnation;
}

static uint64_t
maybe(void)
{
	return kv_rand_below(4) == 0 ? kv_rand() >> kv_rand_below(64) : 0;
}

void
model_random_edit(ModelEdit *e, const KvManifestState *state, uint64_t *next_no)
{
	KvEdit *edit = &e->edit;
	uint32_t i;

	memset(e, 0, sizeof(*e));
	edit->adds = e->adds;
	edit->removes = e->removes;
	edit->doubts = e->doubts;
	edit->settles = e->settles;
	edit->n_adds = (uint32_t) kv_rand_below(MODEL_EDIT_FILES);
	for (i = 0; i < edit->n_adds; i++)
	{
		e->adds[i] = model_meta((*next_no)++);
		if (kv_rand_below(2) == 0)
		{
			KvDoubt *d = &e->doubts[edit->n_doubts++];

			d->file_no = e->adds[i].file_no;
			d->xid = 1 + kv_rand_below(10);
		}
	}
	for (i = 0; i < MODEL_EDIT_FILES - 1 && state->n_files > 0; i++)
	{
		uint64_t no = state->files[kv_rand_below(state->n_files)].file_no;
		uint32_t j;

		for (j = 0; j < edit->n_removes && e->removes[j] != no; j++)
			;
		if (j == edit->n_removes && kv_rand_below(2) == 0)
			e->removes[edit->n_removes++] = no;
	}
	/* one of them may only move */
	if (edit->n_removes > 0 && kv_rand_below(3) == 0)
		e->adds[edit->n_adds++] = model_meta(e->removes[0]);
	edit->n_settles = (uint32_t) kv_rand_below(3);
	for (i = 0; i < edit->n_settles; i++)
	{
		e->settles[i].xid = 1 + kv_rand_below(10);
		e->settles[i].state = (uint8_t) kv_rand_below(4);
	}
	edit->min_wal = maybe();
	edit->flushed_csn = maybe();
	edit->flushed_lsn = maybe();
	edit->file_no_ceiling = maybe();
	edit->store_id_ceiling = maybe();
	edit->csn_floor = maybe();
	edit->runs_csn = maybe();
	edit->wal_cut_no = maybe();
	edit->wal_cut_end = edit->wal_cut_no != 0 ? maybe() : 0;
	edit->clock_us = (int64_t) maybe();
	edit->timeline = (uint32_t) maybe();
	edit->incarnation = (uint32_t) maybe();
}
