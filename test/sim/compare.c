/* SPDX-License-Identifier: PostgreSQL */
/*
 * compare.c - the store against the model; see world.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

static KvStatus
visible(void *arg, uint64_t xid, KvXactState state, bool *result)
{
	World *w = arg;

	if (state == KV_XACT_IN_DOUBT)
		state = (KvXactState) w->outcome[xid];
	*result = state == KV_XACT_COMMITTED;
	return KV_OK;
}

/* A planted fault hit the comparison: no verdict, no failure. */
static bool
excused(World *w, KvStatus st)
{
	return (st == KV_IO_ERROR || st == KV_DISK_FULL || st == KV_NO_MEMORY ||
			st == KV_CORRUPT) &&
		   (sim_dead(w->sim) || w->sim->faults_fired > 0);
}

static KvReadView
view_of(World *w, uint64_t max_csn)
{
	KvReadView view = {max_csn, w->host_log ? visible : NULL, w,
					   w->sim->clock_us};

	return view;
}

static bool
same_value(uint32_t commit, uint16_t key, const char *data, size_t len)
{
	char want[MODEL_VALUE_MAX];
	uint32_t n = model_value(commit, key, want);

	return n == len && memcmp(want, data, n) == 0;
}

static void
compare_gets(World *w, const uint32_t *state, uint64_t max_csn)
{
	KvReadView view = view_of(w, max_csn);
	KvValue value = {0};
	KvError err;
	uint16_t k;

	for (k = 0; k < MODEL_KEYS && !w->failed; k++)
	{
		char key[64];
		uint32_t len = model_key(k, key);
		KvStatus st = kv_get(w->db, &view, kv_slice(key, len), &value, &err);

		if (excused(w, st))
			break;
		if (st != KV_OK && st != KV_NOT_FOUND)
			world_fail(w, "get of key %u: %s: %s", k, kv_status_name(st),
					   err.message);
		else if ((st == KV_OK) != (state[k] != 0))
			world_fail(w, "get: key %u is %s, should have value %u", k,
					   st == KV_OK ? "there" : "missing", state[k]);
		else if (st == KV_OK && !same_value(state[k], k, value.data, value.len))
			world_fail(w, "get: key %u has %.*s, should have value %u", k,
					   (int) (value.len < 20 ? value.len : 20), value.data,
					   state[k]);
	}
	if (!sim_dead(w->sim))
		kv_value_free(w->env, &value);
}

typedef struct Sorted
{
	char key[64];
	uint32_t len;
	uint16_t k;
} Sorted;

static int
by_bytes(const void *a, const void *b)
{
	const Sorted *x = a, *y = b;

	return kv_slice_compare(kv_slice(x->key, x->len), kv_slice(y->key, y->len));
}

static void
compare_scan(World *w, const uint32_t *state, uint64_t max_csn, bool reverse)
{
	KvReadView view = view_of(w, max_csn);
	Sorted keys[MODEL_KEYS];
	uint32_t n = 0, i;
	KvScan *scan;
	KvError err;
	KvEntry e;
	KvStatus st;
	uint16_t k;

	for (k = 0; k < MODEL_KEYS; k++)
		if (state[k] != 0)
		{
			keys[n].k = k;
			keys[n].len = model_key(k, keys[n].key);
			n++;
		}
	qsort(keys, n, sizeof(Sorted), by_bytes);
	st = kv_scan_open(w->db, &view, kv_slice("\0\0\0\1", 4),
					  kv_slice("\0\0\0\2", 4), reverse, NULL, &scan, &err);
	if (st != KV_OK)
	{
		if (!excused(w, st))
			world_fail(w, "scan: %s", err.message);
		return;
	}
	for (i = 0; !w->failed; i++)
	{
		const Sorted *want = &keys[reverse ? n - 1 - i : i];

		st = kv_scan_next(scan, &e, &err);
		if ((st == KV_NOT_FOUND && i == n) || excused(w, st))
			break;
		if (st != KV_OK || i == n)
			world_fail(w, "scan (%s) at %u of %u: %s",
					   reverse ? "backward" : "forward", i, n,
					   kv_status_name(st));
		else if (!kv_slice_equal(e.key, kv_slice(want->key, want->len)) ||
				 !same_value(state[want->k], want->k, e.value.data,
							 e.value.len))
			world_fail(w, "scan (%s) at %u: wrong key or value, wanted %u/%u",
					   reverse ? "backward" : "forward", i, state[want->k],
					   want->k);
	}
	kv_scan_close(scan);
}

void
world_compare(World *w, uint32_t upto, uint64_t max_csn)
{
	uint32_t state[MODEL_KEYS];

	model_state(&w->model, upto, state);
	compare_gets(w, state, max_csn);
	if (!w->failed)
		compare_scan(w, state, max_csn, false);
	if (!w->failed)
		compare_scan(w, state, max_csn, true);
}

static bool
report(void *arg, const char *file, const char *problem)
{
	if (problem != NULL)
		world_fail(arg, "verify: %s: %s", file, problem);
	return true;
}

/* Which commits the host's log still knows. */
static uint32_t
host_prefix(World *w)
{
	bool known[MODEL_COMMITS + 1] = {false};
	uint32_t c, last = 0;
	uint64_t i;

	for (i = 0; i < w->log_len; i++)
		if (w->log[i].type == 4)
			known[w->log[i].csn] = true;
	for (c = 1; c <= w->model.commits; c++)
		if (known[c])
			last = c;
	for (c = 1; c <= w->acked; c++)
		if (!known[c] && !w->model.lost[c])
			world_fail(w, "the simulated host lost commit %u", c);
	for (c = 1; c <= last; c++)
		w->model.lost[c] = !known[c];
	return last;
}

/* Without a host's log, key 0 tells which commit is the newest. */
static uint32_t
stored_prefix(World *w)
{
	KvReadView view = view_of(w, UINT64_MAX);
	KvValue value = {0};
	char key[64], text[16] = "";
	uint32_t len = model_key(0, key), prefix = 0;
	KvError err;
	KvStatus st = kv_get(w->db, &view, kv_slice(key, len), &value, &err);

	if (st == KV_OK)
	{
		memcpy(text, value.data, value.len < 15 ? value.len : 15);
		prefix = (uint32_t) strtoul(text, NULL, 10);
	}
	else if (st != KV_NOT_FOUND)
		world_fail(w, "reading the commit counter: %s", err.message);
	kv_value_free(w->env, &value);
	return prefix;
}

void
world_check_recovered(World *w)
{
	uint32_t upto = w->host_log ? host_prefix(w) : stored_prefix(w);
	KvError err;

	if (upto < w->acked && !w->host_log)
		world_fail(w, "commit %u was acknowledged, only %u survived", w->acked,
				   upto);
	if (upto > w->model.commits)
		world_fail(w, "commit %u was never issued", upto);
	model_truncate(&w->model, upto);
	if (w->acked > upto)
		w->acked = upto;
	if (!w->failed)
		world_compare(w, upto, UINT64_MAX);
	if (!w->failed && kv_verify(w->db, report, w, &err) != KV_OK)
		world_fail(w, "verify: %s", err.message);
	w->acked = upto;
}
