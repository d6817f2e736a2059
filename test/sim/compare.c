/* SPDX-License-Identifier: PostgreSQL */
/*
 * compare.c - the store against the model, now and as snapshots see it;
 * see world.h.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "world.h"

#include <xxhash.h>

static KvStatus
visible(void *arg, uint64_t xid, KvXactState state, bool *result)
{
	const View *v = arg;

	if (state == KV_XACT_IN_DOUBT)
		state = (KvXactState) v->w->outcome[xid];
	*result = state == KV_XACT_COMMITTED && xid < v->xmax && xid != v->running;
	return KV_OK;
}

void
view_now(World *w, View *v)
{
	v->w = w;
	v->csn = w->host_log ? UINT64_MAX : kv_snapshot_csn(w->db);
	v->xmax = w->next_xid;
	v->running = w->xact.xid;
	v->now_us = w->sim->clock_us;
	model_state(&w->model, w->model.commits, v->now_us, v->state);
}

static KvReadView
read_view(View *v)
{
	KvReadView view = {v->csn, v->w->host_log ? visible : NULL, v, v->now_us};

	return view;
}

static bool
same_value(uint32_t commit, uint16_t key, const char *data, size_t len)
{
	char want[MODEL_VALUE_MAX];
	uint32_t n = model_value(commit, key, want);

	return n == len && memcmp(want, data, n) == 0;
}

/* For comparing what stores of different settings have answered. */
static void
note_answer(World *w, KvStatus st, KvSlice key, KvSlice value)
{
	uint64_t head[5] = {w->answers, st, key.len, value.len, 0};

	if (key.len > 0)
		head[4] = XXH3_64bits(key.data, key.len);
	w->answers = XXH3_64bits(head, sizeof(head));
	if (value.len > 0)
		w->answers = XXH3_64bits_withSeed(value.data, value.len, w->answers);
}

static void
compare_gets(World *w, View *v)
{
	KvReadView view = read_view(v);
	const uint32_t *state = v->state;
	KvValue value = {0};
	KvError err;
	uint16_t k;

	for (k = 0; k < MODEL_KEYS && !w->failed; k++)
	{
		char key[MODEL_KEY_MAX];
		uint32_t len = model_key(k, key);
		KvStatus st = kv_get(w->db, &view, kv_slice(key, len), &value, &err);

		if (world_excuses(w, st))
			continue;
		note_answer(w, st, kv_slice(key, len),
					kv_slice(value.data, st == KV_OK ? value.len : 0));
		if (st != KV_OK && st != KV_NOT_FOUND)
			world_fail(w, SIM_OTHER, "get of key %u: %s: %s", k,
					   kv_status_name(st), err.message);
		else if ((st == KV_OK) != (state[k] != 0))
			world_fail(w, st == KV_OK ? SIM_RESURRECTED : SIM_LOST,
					   "get: key %u is %s, should have value %u", k,
					   st == KV_OK ? "there" : "missing", state[k]);
		else if (st == KV_OK && !same_value(state[k], k, value.data, value.len))
			world_fail(w, SIM_TORN,
					   "get: key %u has %.*s, should have value %u", k,
					   (int) (value.len < 20 ? value.len : 20), value.data,
					   state[k]);
	}
	kv_value_free(w->env, &value);
}

typedef struct Sorted
{
	char key[MODEL_KEY_MAX];
	uint32_t len;
	uint16_t k;
} Sorted;

static int
by_bytes(const void *a, const void *b)
{
	const Sorted *x = a, *y = b;

	return kv_slice_compare(kv_slice(x->key, x->len), kv_slice(y->key, y->len));
}

/* The keys that the view has, in order. */
static uint32_t
sorted_keys(const View *v, Sorted *keys)
{
	uint32_t n = 0;
	uint16_t k;

	for (k = 0; k < MODEL_KEYS; k++)
		if (v->state[k] != 0)
		{
			keys[n].k = k;
			keys[n].len = model_key(k, keys[n].key);
			n++;
		}
	qsort(keys, n, sizeof(Sorted), by_bytes);
	return n;
}

/* A scan of everything between lower and the end of the store. */
static KvScan *
open_scan(World *w, View *v, KvSlice lower, bool reverse)
{
	KvReadView view = read_view(v);
	KvScan *scan;
	KvError err;
	KvStatus st = kv_scan_open(w->db, &view, lower, kv_slice("\0\0\0\2", 4),
							   reverse, NULL, &scan, &err);

	if (st == KV_OK)
		return scan;
	if (!world_excuses(w, st))
		world_fail(w, SIM_OTHER, "scan: %s", err.message);
	return NULL;
}

/* The next entry must be number *at of n; false: the end, or no verdict. */
static bool
scan_step(World *w, const View *v, KvScan *scan, const Sorted *keys,
		  uint32_t n, bool reverse, uint32_t *at)
{
	uint32_t i = (*at)++;
	const Sorted *want = &keys[reverse ? n - 1 - i : i];
	KvError err;
	KvEntry e;
	KvStatus st = kv_scan_next(scan, &e, &err);

	if ((st == KV_NOT_FOUND && i == n) || world_excuses(w, st))
		return false;
	if (st == KV_OK)
		note_answer(w, st, e.key, e.value);
	if (st != KV_OK || i == n)
		world_fail(w,
				   st == KV_NOT_FOUND ? SIM_LOST
				   : st == KV_OK	  ? SIM_RESURRECTED
									  : SIM_OTHER,
				   "scan (%s) at %u of %u: %s",
				   reverse ? "backward" : "forward", i, n, kv_status_name(st));
	else if (!kv_slice_equal(e.key, kv_slice(want->key, want->len)) ||
			 !same_value(v->state[want->k], want->k, e.value.data, e.value.len))
		world_fail(w, SIM_TORN,
				   "scan (%s) at %u: wrong key or value, wanted %u/%u",
				   reverse ? "backward" : "forward", i, v->state[want->k],
				   want->k);
	return !w->failed;
}

static void
compare_scan(World *w, View *v, bool reverse)
{
	Sorted all[MODEL_KEYS], *keys = all;
	uint32_t n = sorted_keys(v, all), at = 0;
	KvSlice lower = kv_slice("\0\0\0\1", 4);
	KvScan *scan;

	/* sometimes from a bound on, which is a key itself */
	if (n > 2 && world_rand(w, 2) == 0)
	{
		uint32_t skip = (uint32_t) world_rand(w, n);

		keys += skip;
		n -= skip;
		lower = kv_slice(keys->key, keys->len);
	}
	scan = open_scan(w, v, lower, reverse);
	if (scan == NULL)
		return;
	while (scan_step(w, v, scan, keys, n, reverse, &at))
		;
	kv_scan_close(scan);
}

void
world_compare(World *w, View *v)
{
	compare_gets(w, v);
	if (!w->failed)
		compare_scan(w, v, false);
	if (!w->failed)
		compare_scan(w, v, true);
}

void
world_compare_now(World *w)
{
	View v;

	view_now(w, &v);
	world_compare(w, &v);
}

/* ---- snapshots */

void
snapshot_open(World *w)
{
	Snapshot *s = &w->snap;

	view_now(w, &s->view);
	s->open = true;
	s->scan = NULL;
	s->at = 0;
	s->reverse = world_rand(w, 2) == 0;
	world_set_horizon(w);
	if (world_rand(w, 2) == 0)
		s->scan = open_scan(w, &s->view, kv_slice("\0\0\0\1", 4), s->reverse);
}

void
snapshot_look(World *w)
{
	Snapshot *s = &w->snap;
	Sorted keys[MODEL_KEYS];
	uint32_t n = sorted_keys(&s->view, keys), i;

	if (s->scan == NULL)
	{
		world_compare(w, &s->view);
		return;
	}
	for (i = 0; i < 8; i++)
		if (!scan_step(w, &s->view, s->scan, keys, n, s->reverse, &s->at))
		{
			kv_scan_close(s->scan);
			s->scan = NULL;
			return;
		}
}

void
snapshot_close(World *w)
{
	if (w->snap.scan != NULL)
		kv_scan_close(w->snap.scan);
	w->snap.scan = NULL;
	w->snap.open = false;
	world_set_horizon(w);
}

/* ---- after recovery */

static bool
report(void *arg, const char *file, const char *problem)
{
	World *w = arg;

	if (problem != NULL && !w->rotten)
		world_fail(w, SIM_OTHER, "verify: %s: %s", file, problem);
	return true;
}

/* Which commits the host's log still knows. */
static void
host_prefix(World *w)
{
	uint64_t i;

	model_lose(&w->model, 0);
	for (i = 0; i < w->log_len; i++)
		if (w->log[i].type == REC_COMMIT)
			w->model.lost[w->log[i].commit] = false;
}

/*
 * Without a host's log, key 0 tells which commit is the newest.  false: it
 * cannot be read, which was excused.
 */
static bool
stored_prefix(World *w)
{
	KvReadView view = {UINT64_MAX, NULL, NULL, w->sim->clock_us};
	KvValue value = {0};
	char key[MODEL_KEY_MAX], text[16] = "";
	uint32_t len = model_key(0, key), prefix = 0;
	KvError err;
	KvStatus st = kv_get(w->db, &view, kv_slice(key, len), &value, &err);

	if (st == KV_OK)
	{
		memcpy(text, value.data, value.len < 15 ? value.len : 15);
		prefix = (uint32_t) strtoul(text, NULL, 10);
	}
	kv_value_free(w->env, &value);
	if (st != KV_OK && world_excuses(w, st))
		return false;
	if (st != KV_OK && st != KV_NOT_FOUND)
		world_fail(w, SIM_OTHER, "reading the commit counter: %s", err.message);
	if (prefix < w->acked)
		world_fail(w, SIM_LOST, "commit %u was acknowledged, only %u survived",
				   w->acked, prefix);
	if (prefix > w->model.commits)
		world_fail(w, SIM_OTHER, "commit %u was never issued", prefix);
	else if (prefix > 0 && w->model.lost[prefix])
		world_fail(w, SIM_RESURRECTED, "commit %u was lost before and is back",
				   prefix);
	model_lose(&w->model, prefix);
	w->acked = w->acked_before = w->newest = prefix;
	return true;
}

void
world_check_recovered(World *w)
{
	KvError err;
	KvStatus st;

	if (w->host_log)
		host_prefix(w);
	else if (!stored_prefix(w))
		return;
	if (!w->failed)
		world_compare_now(w);
	if (w->failed)
		return;
	st = kv_verify(w->db, report, w, &err);
	if (st != KV_OK && !world_excuses(w, st))
		world_fail(w, SIM_OTHER, "verify: %s", err.message);
}
