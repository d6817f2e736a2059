/* SPDX-License-Identifier: PostgreSQL */
/*
 * lsm_ranges.c - range deletes in the model: a version of each key that they
 * cover.
 */
#include "lsm_model.h"

#include "harness.h"

/* A key, or less, or more than one: bounds need not be keys. */
static KvSlice
random_bound(const LsmModel *m, char *buf)
{
	KvSlice key = lsm_key_of((int) kv_rand_below((uint64_t) m->n_keys), buf);

	switch (kv_rand_below(5))
	{
	case 0:
		key.len -= kv_rand_below(key.len - KV_STORE_PREFIX);
		break;
	case 1:
		buf[key.len++] = '\0';
		break;
	case 2:
		return kv_rand_below(4) == 0 ? lsm_store_end(buf) : key;
	default:
		break;
	}
	return key;
}

void
lsm_add_range_delete(LsmModel *m, KvBatch *batch, bool *covered)
{
	char lower[LSM_KEY_CAP], upper[LSM_KEY_CAP], key[LSM_KEY_CAP];
	KvEntry e = {.kind = KV_KIND_RANGE_DELETE};
	KvError err;
	int i;

	do
	{
		e.key = random_bound(m, lower);
		e.value = random_bound(m, upper);
	} while (kv_slice_compare(e.key, e.value) >= 0);
	for (i = 0; i < m->n_keys; i++)
		if (kv_slice_compare(e.key, lsm_key_of(i, key)) <= 0 &&
			kv_slice_compare(lsm_key_of(i, key), e.value) < 0)
			covered[i] = true;
	KV_CHECK_OK(kv_batch_add(m->t.env, batch, &e, &err), &err);
}

void
lsm_remember_ranges(LsmModel *m, const bool *covered, const KvWrite *w,
					uint64_t csn)
{
	LsmVersion v = {.csn = csn, .xid = w->xid, .kind = KV_KIND_RANGE_DELETE};
	int i;

	for (i = 0; i < m->n_keys; i++)
		if (covered[i])
			lsm_remember(m, i, &v);
}
