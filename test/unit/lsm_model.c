/* SPDX-License-Identifier: PostgreSQL */
/*
 * lsm_model.c - see lsm_model.h.
 */
#include "lsm_model.h"

#include "engine/base/coding.h"
#include "harness.h"

#define STORE	  1
#define MAX_VALUE 700

/* ---- names of things */

/* Every third key is long, with a common start that exceeds file bounds. */
KvSlice
lsm_key_of(int i, char *buf)
{
	size_t n = KV_STORE_PREFIX;

	kv_store_be32(buf, STORE);
	if (i >= 200 && i < 260)
	{
		memset(buf + n, 'm', 140);
		n += 140;
	}
	n += (size_t) snprintf(buf + n, LSM_KEY_CAP - n, "%s%05d",
						   i < 200	 ? "a"
						   : i < 260 ? ""
									 : "z",
						   i);
	return kv_slice(buf, n);
}

static KvSlice
value_of(uint32_t number, char *buf)
{
	size_t len = 8 + (number * 2654435761u >> 16) % (MAX_VALUE - 8);

	memset(buf, 'a' + (int) (number % 26), len);
	kv_store_be32(buf, number);
	return kv_slice(buf, len);
}

/* The end of the store */
KvSlice
lsm_store_end(char *buf)
{
	kv_store_be32(buf, STORE + 1);
	return kv_slice(buf, KV_STORE_PREFIX);
}

/* ---- transactions and snapshots */

static KvXactState
state_of_xid(void *arg, uint64_t xid)
{
	LsmModel *m = arg;

	KV_REQUIRE(xid < m->next_xid);
	return (KvXactState) m->states[xid];
}

static uint64_t
first_unsettled(LsmModel *m)
{
	while (m->first_unsettled < m->next_xid &&
		   m->states[m->first_unsettled] != KV_XACT_IN_DOUBT)
		m->first_unsettled++;
	return m->first_unsettled;
}

static void
take_snapshot(LsmModel *m, LsmSnapshot *s)
{
	uint64_t xid;

	memset(s->own, 0, sizeof(s->own));
	s->live = true;
	s->model = m;
	s->max_csn = kv_snapshot_csn(m->t.db);
	s->now_us = m->t.penv->clock_us;
	s->next_xid = m->next_xid;
	s->first_unsettled = first_unsettled(m);
	for (xid = 1; xid < m->next_xid; xid++)
		s->sees[xid] = m->states[xid] == KV_XACT_COMMITTED;
}

static void
include_in_horizon(KvHorizon *h, const LsmSnapshot *s)
{
	if (s->first_unsettled < h->xid)
		h->xid = s->first_unsettled;
	if (s->max_csn < h->csn)
		h->csn = s->max_csn;
	if (s->now_us < h->now_us)
		h->now_us = s->now_us;
}

static void
update_horizon(LsmModel *m)
{
	KvHorizon h = {first_unsettled(m), UINT64_MAX, m->t.penv->clock_us};
	int i;

	for (i = 0; i < LSM_SNAPSHOTS; i++)
		if (m->snapshots[i].live)
			include_in_horizon(&h, &m->snapshots[i]);
	for (i = 0; i < LSM_SCANS; i++)
		if (m->scans[i].scan != NULL)
			include_in_horizon(&h, &m->scans[i].snapshot);
	m->t.penv->horizon = h;
}

static KvStatus
snapshot_sees(void *arg, uint64_t xid, KvXactState state, bool *visible)
{
	const LsmSnapshot *s = arg;
	KvXactState truth = (KvXactState) s->model->states[xid];

	/* the engine may not know yet, but never says what is not true */
	KV_CHECK(state == KV_XACT_IN_DOUBT || state == truth);
	*visible = s->sees[xid];
	return KV_OK;
}

static KvReadView
view_of(LsmSnapshot *s)
{
	KvReadView view = {s->max_csn, snapshot_sees, s, s->now_us};

	return view;
}

/* The version of a key that a snapshot must see as a row, or NULL. */
static const LsmVersion *
expected(const LsmModel *m, const LsmSnapshot *s, int key)
{
	const LsmKey *k = &m->keys[key];
	uint32_t i;

	for (i = k->n; i-- > 0;)
	{
		const LsmVersion *v = &k->versions[i];

		if (v->csn > s->max_csn || (v->xid != 0 && !s->sees[v->xid]))
			continue;
		if (v->kind == KV_KIND_DELETE || v->kind == KV_KIND_RANGE_DELETE ||
			(v->kind == KV_KIND_PUT_EXPIRING && v->expires_us <= s->now_us))
			return NULL;
		return v;
	}
	return NULL;
}

/* ---- opening and closing */

LsmModel *
lsm_open(int n_keys)
{
	LsmModel *m = calloc(1, sizeof(*m));
	KvError err;

	KV_REQUIRE(m != NULL && n_keys <= LSM_KEYS);
	test_db_init(&m->t);
	m->t.config.file_bytes = 4 << 10;
	m->t.config.job_bytes = 1024 << kv_rand_below(10);
	m->t.config.space_percent = (uint32_t) (10 + kv_rand_below(100));
	m->t.config.max_files = 2000;
	m->t.config.lz4 = kv_rand_below(2) == 0;
	m->t.penv->no_sync = true;
	m->t.penv->xact_state = state_of_xid;
	m->t.penv->arg = m;
	m->t.penv->clock_us = 1000000;
	m->n_keys = n_keys;
	m->range_deletes = 2 + kv_rand_below(60);
	m->next_xid = m->first_unsettled = 1;
	update_horizon(m);
	KV_REQUIRE_OK(test_db_open(&m->t, &err), &err);
	return m;
}

static void
close_scan(LsmModel *m, LsmScan *s)
{
	if (s->scan == NULL)
		return;
	kv_scan_close(s->scan);
	if (s->ws != NULL)
		kv_write_set_free(s->ws);
	s->scan = NULL;
	s->ws = NULL;
	update_horizon(m);
}

void
lsm_drop_readers(LsmModel *m)
{
	int i;

	for (i = 0; i < LSM_SNAPSHOTS; i++)
		m->snapshots[i].live = false;
	for (i = 0; i < LSM_SCANS; i++)
		close_scan(m, &m->scans[i]);
	update_horizon(m);
}

void
lsm_end_all(LsmModel *m)
{
	uint64_t xid;

	for (xid = 1; xid < m->next_xid; xid++)
		if (m->states[xid] == KV_XACT_IN_DOUBT)
			m->states[xid] = kv_rand_below(2) == 0 ? KV_XACT_COMMITTED
												   : KV_XACT_ABORTED;
	update_horizon(m);
}

void
lsm_restart(LsmModel *m, bool kill)
{
	KvError err;

	lsm_drop_readers(m);
	/* the host's own recovery has ended them */
	lsm_end_all(m);
	if (kill)
	{
		KV_CHECK_OK(kv_sync_log(m->t.db, &err), &err);
		test_db_kill(&m->t);
	}
	else
		test_db_close(&m->t);
	KV_REQUIRE_OK(test_db_open(&m->t, &err), &err);
}

void
lsm_close(LsmModel *m)
{
	int i;

	lsm_drop_readers(m);
	test_db_free(&m->t);
	for (i = 0; i < LSM_KEYS; i++)
		free(m->keys[i].versions);
	free(m);
}

/* ---- writing */

void
lsm_remember(LsmModel *m, int key, const LsmVersion *v)
{
	LsmKey *k = &m->keys[key];

	if (k->n == k->cap)
	{
		k->cap = k->cap > 0 ? k->cap * 2 : 8;
		k->versions = realloc(k->versions, k->cap * sizeof(*v));
		KV_REQUIRE(k->versions != NULL);
	}
	k->versions[k->n++] = *v;
}

static uint64_t
some_xid(LsmModel *m)
{
	uint64_t xid;

	if (kv_rand_below(4) == 0)
		return 0;
	/* one that runs, if luck finds it */
	if (m->next_xid > 1 && kv_rand_below(2) == 0)
	{
		xid = m->next_xid - 1 - kv_rand_below(m->next_xid < 6 ? 1 : 5);
		if (m->states[xid] == KV_XACT_IN_DOUBT)
			return xid;
	}
	KV_REQUIRE(m->next_xid < LSM_XIDS);
	m->states[m->next_xid] = KV_XACT_IN_DOUBT;
	return m->next_xid++;
}

static KvEntry
random_entry(LsmModel *m, int key, LsmVersion *v, char *key_buf,
			 char *value_buf)
{
	KvEntry e = {0};

	memset(v, 0, sizeof(*v));
	v->kind = (uint8_t) (kv_rand_below(4) == 0	 ? KV_KIND_DELETE
						 : kv_rand_below(4) == 0 ? KV_KIND_PUT_EXPIRING
												 : KV_KIND_PUT);
	v->value = ++m->next_value;
	if (v->kind == KV_KIND_PUT_EXPIRING)
		v->expires_us = m->t.penv->clock_us + (int64_t) kv_rand_below(300);
	e.key = lsm_key_of(key, key_buf);
	e.kind = v->kind;
	e.expires_us = v->expires_us;
	if (v->kind != KV_KIND_DELETE)
		e.value = value_of(v->value, value_buf);
	return e;
}

void
lsm_write(LsmModel *m)
{
	int n = 1 + (int) kv_rand_below(8), i, key;
	int stride = 1 + (int) kv_rand_below((uint64_t) m->n_keys / 10);
	KvWrite w = {NULL, some_xid(m), NULL, NULL};
	LsmVersion v[8];
	int keys[8];
	char key_buf[LSM_KEY_CAP], value_buf[MAX_VALUE];
	KvBatch batch = {0};
	uint64_t csn;
	KvError err;
	KvStatus st;
	int tries = 0;
	bool covered[LSM_KEYS] = {false};
	int ranges = kv_rand_below(m->range_deletes) == 0;

	if (ranges > 0 && kv_rand_below(4) == 0)
		ranges += (int) kv_rand_below(3);
	for (i = 0; i < ranges; i++)
		lsm_add_range_delete(m, &batch, covered);
	key = (int) kv_rand_below((uint64_t) m->n_keys);
	if (ranges > 0 && kv_rand_below(3) == 0)
		n = 0;
	for (i = 0; i < n && key < m->n_keys; i++, key += stride)
	{
		KvEntry e = random_entry(m, key, &v[i], key_buf, value_buf);

		keys[i] = key;
		KV_CHECK_OK(kv_batch_add(m->t.env, &batch, &e, &err), &err);
	}
	n = i;
	w.batch = &batch;
	update_horizon(m);
	while ((st = kv_write(m->t.db, &w, &csn, &err)) == KV_STALLED &&
		   tries++ < 10000)
	{
		lsm_worker(m);
		lsm_compactor(m, UINT64_MAX);
	}
	KV_REQUIRE_OK(st, &err);
	lsm_remember_ranges(m, covered, &w, csn);
	for (i = 0; i < n; i++)
	{
		v[i].csn = csn;
		v[i].xid = w.xid;
		lsm_remember(m, keys[i], &v[i]);
	}
	kv_batch_free(m->t.env, &batch);
}

void
lsm_ingest(LsmModel *m)
{
	static LsmVersion v[LSM_KEYS];
	static int keys[LSM_KEYS];
	char key_buf[LSM_KEY_CAP], value_buf[MAX_VALUE];
	uint64_t xid = some_xid(m), csn;
	int n = 0, key, i, tries = 0;
	KvIngest *ingest;
	KvError err;
	KvStatus st;

	update_horizon(m);
	KV_REQUIRE_OK(kv_ingest_open(m->t.db, xid, &ingest, &err), &err);
	for (key = (int) kv_rand_below((uint64_t) m->n_keys / 2);
		 key < m->n_keys && n < 20 + (int) kv_rand_below(300);
		 key += 1 + (int) kv_rand_below(3))
	{
		KvEntry e = random_entry(m, key, &v[n], key_buf, value_buf);

		keys[n++] = key;
		KV_REQUIRE_OK(kv_ingest_add(ingest, &e, &err), &err);
	}
	KV_REQUIRE_OK(kv_ingest_finish(ingest, &err), &err);
	while ((st = kv_ingest_commit(m->t.db, ingest, NULL, NULL, &csn, &err)) ==
			   KV_STALLED &&
		   tries++ < 10000)
	{
		lsm_worker(m);
		lsm_compactor(m, UINT64_MAX);
	}
	KV_REQUIRE_OK(st, &err);
	for (i = 0; i < n; i++)
	{
		v[i].csn = csn;
		v[i].xid = xid;
		lsm_remember(m, keys[i], &v[i]);
	}
}

void
lsm_end_transaction(LsmModel *m)
{
	uint64_t xid = first_unsettled(m) + kv_rand_below(4);
	bool committed = kv_rand_below(4) != 0;

	if (xid >= m->next_xid || m->states[xid] != KV_XACT_IN_DOUBT)
		return;
	m->states[xid] = committed ? KV_XACT_COMMITTED : KV_XACT_ABORTED;
	if (kv_rand_below(2) == 0)
		kv_note_xact(m->t.db, xid, committed);
	update_horizon(m);
}

void
lsm_snapshot(LsmModel *m)
{
	LsmSnapshot *s = &m->snapshots[kv_rand_below(LSM_SNAPSHOTS)];

	if (s->live)
		s->live = false;
	else
		take_snapshot(m, s);
	update_horizon(m);
}

void
lsm_tick(LsmModel *m)
{
	m->t.penv->clock_us += (int64_t) kv_rand_below(40);
	update_horizon(m);
}

/* ---- the background */

void
lsm_worker(LsmModel *m)
{
	KvWork work;
	KvError err;

	KV_CHECK_OK(kv_worker_step(m->t.db, &work, &err), &err);
}

void
lsm_compactor(LsmModel *m, uint64_t budget)
{
	bool busy;
	KvError err;
	KvStatus st = kv_compact_step(m->t.db, budget, &busy, &err);

	if (st != KV_STALLED)
		KV_CHECK_OK(st, &err);
}

/* ---- reading */

static void
check_row(const LsmVersion *v, bool own, int key, KvSlice value)
{
	char buf[MAX_VALUE];

	if (own)
		KV_CHECK_SLICE(value, "own");
	else if (v == NULL)
		kv_test_fail(__FILE__, __LINE__, "key %d is not to be seen", key);
	else
		KV_CHECK_SLICES(value, value_of(v->value, buf));
}

static bool
is_row(const LsmModel *m, const LsmSnapshot *s, int key)
{
	if (s->own[key] != 0)
		return s->own[key] == 1;
	return expected(m, s, key) != NULL;
}

/* Own writes of a transaction over some keys. */
static KvIter *
random_overlay(LsmModel *m, LsmSnapshot *s, KvWriteSet **ws)
{
	char key_buf[LSM_KEY_CAP];
	KvIter *it;
	KvError err;
	int key;

	*ws = NULL;
	if (kv_rand_below(2) == 0)
		return NULL;
	KV_REQUIRE(kv_write_set_open(m->t.env, 1 << 20, ws) == KV_OK);
	for (key = (int) kv_rand_below(60); key < m->n_keys;
		 key += 1 + (int) kv_rand_below(60))
	{
		KvEntry e = {0};

		s->own[key] = (uint8_t) (1 + kv_rand_below(2));
		e.key = lsm_key_of(key, key_buf);
		e.kind = s->own[key] == 1 ? KV_KIND_PUT : KV_KIND_DELETE;
		if (s->own[key] == 1)
			e.value = kv_slice("own", 3);
		KV_CHECK_OK(kv_write_set_add(*ws, 1, &e, &err), &err);
	}
	KV_REQUIRE(kv_write_set_iter(*ws, 2, &it) == KV_OK);
	return it;
}

static void
open_scan(LsmModel *m, LsmScan *s)
{
	char low[LSM_KEY_CAP], high[LSM_KEY_CAP];
	KvSlice lower = {NULL, 0}, upper = lsm_store_end(high);
	int from = 0, to = m->n_keys;
	KvReadView view;
	KvError err;
	KvIter *overlay;

	take_snapshot(m, &s->snapshot);
	overlay = random_overlay(m, &s->snapshot, &s->ws);
	s->reverse = kv_rand_below(2) == 0;
	if (kv_rand_below(3) != 0)
	{
		from = (int) kv_rand_below((uint64_t) m->n_keys);
		lower = lsm_key_of(from, low);
	}
	if (kv_rand_below(3) != 0)
	{
		to = from + (int) kv_rand_below((uint64_t) (m->n_keys - from));
		upper = lsm_key_of(to, high);
	}
	s->at = s->reverse ? to - 1 : from;
	s->end = s->reverse ? from - 1 : to;
	view = view_of(&s->snapshot);
	KV_REQUIRE_OK(kv_scan_open(m->t.db, &view, lower, upper, s->reverse,
							   overlay, &s->scan, &err),
				  &err);
	update_horizon(m);
}

/* One row, or the end.  false: closed */
static bool
read_scan(LsmModel *m, LsmScan *s)
{
	int step = s->reverse ? -1 : 1;
	char key_buf[LSM_KEY_CAP];
	KvEntry e;
	KvError err;
	KvStatus st = kv_scan_next(s->scan, &e, &err);

	while (s->at != s->end && !is_row(m, &s->snapshot, s->at))
		s->at += step;
	if (s->at == s->end)
	{
		KV_CHECK_STATUS(st, KV_NOT_FOUND);
		close_scan(m, s);
		return false;
	}
	KV_CHECK_OK(st, &err);
	if (st != KV_OK)
	{
		close_scan(m, s);
		return false;
	}
	KV_CHECK_SLICES(e.key, lsm_key_of(s->at, key_buf));
	check_row(expected(m, &s->snapshot, s->at), s->snapshot.own[s->at] == 1,
			  s->at, e.value);
	s->at += step;
	return true;
}

void
lsm_scan(LsmModel *m)
{
	LsmScan *s = &m->scans[kv_rand_below(LSM_SCANS)];
	uint64_t rows = kv_rand_below(30);

	if (s->scan == NULL)
	{
		open_scan(m, s);
		return;
	}
	if (kv_rand_below(20) == 0)
		close_scan(m, s);
	while (s->scan != NULL && rows-- > 0 && read_scan(m, s))
		;
}

static void
check_gets(LsmModel *m, LsmSnapshot *s)
{
	KvReadView view = view_of(s);
	KvValue value = {0};
	char key_buf[LSM_KEY_CAP];
	KvError err;
	int key;

	for (key = 0; key < m->n_keys; key++)
	{
		KvStatus st = kv_get(m->t.db, &view, lsm_key_of(key, key_buf), &value,
							 &err);
		const LsmVersion *v = expected(m, s, key);

		if (v == NULL)
			KV_CHECK_STATUS(st, KV_NOT_FOUND);
		else if (KV_CHECK_OK(st, &err))
			check_row(v, false, key, kv_slice(value.data, value.len));
	}
	kv_value_free(m->t.env, &value);
}

static void
check_scan(LsmModel *m, const LsmSnapshot *snapshot, bool reverse, bool rewind)
{
	char high[LSM_KEY_CAP];
	LsmScan s = {0};
	KvReadView view;
	KvError err;
	int i;

	s.snapshot = *snapshot;
	s.reverse = reverse;
	view = view_of(&s.snapshot);
	KV_REQUIRE_OK(kv_scan_open(m->t.db, &view, kv_slice(NULL, 0),
							   lsm_store_end(high), reverse, NULL, &s.scan,
							   &err),
				  &err);
	for (i = 0; i <= rewind; i++)
	{
		s.at = reverse ? m->n_keys - 1 : 0;
		s.end = reverse ? -1 : m->n_keys;
		if (i < rewind)
		{
			int rows = (int) kv_rand_below((uint64_t) m->n_keys);
			KvEntry e;

			while (rows-- > 0 && kv_scan_next(s.scan, &e, &err) == KV_OK)
				;
			KV_CHECK_OK(kv_scan_rewind(s.scan, &err), &err);
		}
	}
	while (kv_test_failures() == 0 && read_scan(m, &s))
		;
	if (s.scan != NULL)
		kv_scan_close(s.scan);
}

void
lsm_check(LsmModel *m)
{
	static LsmSnapshot now;
	int i;

	take_snapshot(m, &now);
	check_gets(m, &now);
	check_scan(m, &now, false, kv_rand_below(4) == 0);
	check_scan(m, &now, true, kv_rand_below(4) == 0);
	for (i = 0; i < LSM_SNAPSHOTS; i++)
		if (m->snapshots[i].live && kv_test_failures() == 0)
		{
			if (kv_rand_below(4) == 0)
				check_gets(m, &m->snapshots[i]);
			check_scan(m, &m->snapshots[i], kv_rand_below(2) == 0, false);
		}
	update_horizon(m);
}

int
lsm_live_rows(LsmModel *m)
{
	static LsmSnapshot now;
	int key, n = 0;

	take_snapshot(m, &now);
	for (key = 0; key < m->n_keys; key++)
		n += expected(m, &now, key) != NULL;
	return n;
}

void
lsm_verify(LsmModel *m)
{
	test_verify(m->t.db);
}
