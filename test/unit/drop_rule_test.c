/* SPDX-License-Identifier: PostgreSQL */
/*
 * drop_rule_test.c - the truth table of what compaction drops, and proof that
 * no reader can tell the difference.
 */
#include "harness.h"

#include <string.h>

#include "engine/lsm/drop_rule.h"

/* Every reader sees csn up to 100, xids below 50, and a clock of 1000. */
static const KvHorizon horizon = {.xid = 50, .csn = 100, .now_us = 1000};

typedef struct Row
{
	const char *version; /* kind, csn, xid and state in words */
	const char *where;	 /* what is known of its key */
	const char *verdict;
} Row;

/*
 * version: put, delete, expired or expiring; "new" = not all snapshots reach
 * its csn; "untagged", or the state of its tag, which is "old" if all
 * snapshots see the xid once it has committed.
 */
static const Row table[] = {
	/* what every snapshot sees loses its tag, and at the bottom its csn */
	{"put untagged", "above data", "untagged"},
	{"put old committed", "above data", "untagged"},
	{"put untagged", "at the bottom", "bare"},
	{"put old committed", "at the bottom", "bare"},
	/* csn 0 only for the last of its key */
	{"put untagged", "at the bottom, one kept", "untagged"},
	/* what some snapshot does not see stays as it is */
	{"put committed", "above data", "keep"},
	{"put committed", "at the bottom", "keep"},
	{"put new untagged", "at the bottom", "keep"},
	{"put new old committed", "at the bottom", "keep"},
	{"delete committed", "at the bottom", "keep"},
	{"delete new untagged", "at the bottom", "keep"},
	{"expired committed", "at the bottom", "keep"},
	/* nobody knows yet */
	{"put in-doubt", "at the bottom", "keep"},
	{"put old in-doubt", "at the bottom", "keep"},
	{"delete old in-doubt", "at the bottom", "keep"},
	/* never happened */
	{"put aborted", "above data", "drop"},
	{"put old aborted", "at the bottom", "drop"},
	{"delete aborted", "above data", "drop"},
	/* tombstones hide what is below, if anything is */
	{"delete untagged", "above data", "untagged"},
	{"delete old committed", "above data", "untagged"},
	{"delete untagged", "at the bottom", "drop"},
	{"delete old committed", "at the bottom", "drop"},
	{"delete old committed", "at the bottom, one kept", "drop"},
	/* an expired put is a tombstone, but stays what it is */
	{"expired untagged", "above data", "untagged"},
	{"expired untagged", "at the bottom", "drop"},
	{"expiring untagged", "above data", "untagged"},
	{"expiring untagged", "at the bottom", "bare"},
	/* behind a version that everyone sees nothing is seen */
	{"put untagged", "shadowed", "drop"},
	{"put committed", "shadowed", "drop"},
	{"put in-doubt", "shadowed", "drop"},
	{"put new committed", "shadowed", "drop"},
	{"delete untagged", "shadowed above data", "drop"},
	{"expired untagged", "shadowed above data", "drop"},
	/* as is what is older than a range delete that everyone sees */
	{"put untagged", "range deleted", "drop"},
	{"put committed", "range deleted above data", "drop"},
	{"put in-doubt", "range deleted", "drop"},
	{"put new committed", "range deleted", "drop"},
	{"delete untagged", "range deleted above data", "drop"},
	/* a newer one stays, and stays newer: it keeps its csn */
	{"put untagged", "above a range delete at the bottom", "untagged"},
	{"put old committed", "above a range delete at the bottom", "untagged"},
	{"put committed", "above a range delete at the bottom", "keep"},
	{"delete untagged", "above a range delete at the bottom", "drop"},
	/* a range delete: as a tombstone */
	{"range untagged", "above data", "untagged"},
	{"range old committed", "above data", "untagged"},
	{"range untagged", "at the bottom", "drop"},
	{"range old committed", "at the bottom", "drop"},
	{"range committed", "at the bottom", "keep"},
	{"range new untagged", "at the bottom", "keep"},
	{"range new old committed", "above data", "keep"},
	{"range old in-doubt", "at the bottom", "keep"},
	{"range in-doubt", "above data", "keep"},
	{"range aborted", "above data", "drop"},
	{"range old aborted", "at the bottom", "drop"},
	{"range committed", "in a dropped store above data", "drop"},
	/* a dropped store takes all */
	{"put committed", "in a dropped store", "drop"},
	{"put in-doubt", "in a dropped store above data", "drop"},
	{"delete untagged", "in a dropped store above data", "drop"},
};

static bool
says(const char *text, const char *word)
{
	return strstr(text, word) != NULL;
}

static KvEntry
version_of(const char *text, KvXactState *state)
{
	KvEntry e = {0};

	e.kind = KV_KIND_PUT;
	if (says(text, "delete"))
		e.kind = KV_KIND_DELETE;
	else if (says(text, "range"))
		e.kind = KV_KIND_RANGE_DELETE;
	else if (says(text, "expir"))
		e.kind = KV_KIND_PUT_EXPIRING;
	if (e.kind == KV_KIND_PUT_EXPIRING)
		e.expires_us = says(text, "expired") ? 1000 : 1001;
	e.csn = says(text, "new") ? 101 : 100;
	*state = KV_XACT_COMMITTED;
	if (says(text, "untagged"))
		return e;
	e.xid = says(text, "old") ? 49 : 50;
	if (says(text, "aborted"))
		*state = KV_XACT_ABORTED;
	else if (says(text, "in-doubt"))
		*state = KV_XACT_IN_DOUBT;
	return e;
}

KV_TEST(truth_table)
{
	static const char *const names[] = {"drop", "keep", "untagged", "bare"};
	size_t i;

	for (i = 0; i < sizeof(table) / sizeof(table[0]); i++)
	{
		const Row *row = &table[i];
		KvXactState state;
		KvEntry e = version_of(row->version, &state);
		KvDropKey key;
		const char *got;

		kv_drop_key_start(&key, says(row->where, "dropped store"),
						  says(row->where, "above data"));
		key.shadowed = says(row->where, "shadowed");
		key.kept = says(row->where, "one kept");
		key.dead_below = says(row->where, "range deleted") ? 102 : 0;
		key.covered = says(row->where, "range delete");
		if (e.kind == KV_KIND_RANGE_DELETE)
			got = names[kv_drop_decide_range(key.store_dropped, key.data_below,
											 &horizon, &e, state)];
		else
			got = names[kv_drop_decide(&key, &horizon, &e, state)];
		if (strcmp(got, row->verdict) != 0)
			kv_test_fail(__FILE__, __LINE__, "%s, %s: %s, not %s",
						 row->version, row->where, got, row->verdict);
	}
}

/* ---- what readers see */

#define MAX_VERSIONS 8
#define XIDS		 100

typedef struct History
{
	KvEntry inputs[MAX_VERSIONS]; /* newest first */
	int n;
	KvEntry below[3]; /* older than all inputs; not known but for "some" */
	int n_below;
	KvXactState state[XIDS];
} History;

static KvEntry
random_version(uint64_t csn)
{
	KvEntry e = {0};

	e.csn = csn;
	e.kind = (uint8_t) (1 + kv_rand_below(3));
	if (e.kind == KV_KIND_PUT_EXPIRING)
		e.expires_us = 998 + (int64_t) kv_rand_below(6);
	if (kv_rand_below(2) == 0)
		e.xid = 45 + kv_rand_below(10);
	return e;
}

static void
random_history(History *h)
{
	uint64_t csn = 90 + kv_rand_below(30);
	int i;

	for (i = 0; i < XIDS; i++)
		h->state[i] = (KvXactState) kv_rand_below(3);
	h->n = (int) kv_rand_below(MAX_VERSIONS);
	for (i = 0; i < h->n; i++)
	{
		h->inputs[i] = random_version(csn);
		csn -= 1 + kv_rand_below(5);
	}
	h->n_below = (int) kv_rand_below(3);
	for (i = 0; i < h->n_below; i++)
	{
		h->below[i] = random_version(csn);
		csn -= 1 + kv_rand_below(5);
	}
}

/* A reader that the horizon allows. */
typedef struct Reader
{
	uint64_t max_csn;
	bool sees[XIDS];
	int64_t now_us;
} Reader;

static void
random_reader(Reader *r, const History *h)
{
	int i;

	r->max_csn = horizon.csn + kv_rand_below(20);
	r->now_us = horizon.now_us + (int64_t) kv_rand_below(5);
	/* those in doubt may commit or not before the reader comes */
	for (i = 0; i < XIDS; i++)
		r->sees[i] = h->state[i] != KV_XACT_ABORTED &&
					 (kv_rand_below(2) == 0 ||
					  (h->state[i] == KV_XACT_COMMITTED &&
					   (uint64_t) i < horizon.xid));
}

/* The csn that identifies the version that is seen; 0: none */
static int
seen(const Reader *r, const KvEntry *versions, const int *names, int n)
{
	int i;

	for (i = 0; i < n; i++)
	{
		const KvEntry *e = &versions[i];

		if (e->csn > r->max_csn || (e->xid != 0 && !r->sees[e->xid]))
			continue;
		if (e->kind == KV_KIND_DELETE ||
			(e->kind == KV_KIND_PUT_EXPIRING && e->expires_us <= r->now_us))
			return 0;
		return names[i];
	}
	return 0;
}

KV_TEST(no_reader_sees_a_difference)
{
	int round, i, reader;

	for (round = 0; round < 30000 && kv_test_failures() == 0; round++)
	{
		History h = {0};
		KvEntry before[MAX_VERSIONS + 3], after[MAX_VERSIONS + 3];
		int before_names[MAX_VERSIONS + 3], after_names[MAX_VERSIONS + 3];
		int n_before = 0, n_after = 0;
		KvDropKey key;

		random_history(&h);
		kv_drop_key_start(&key, false, h.n_below > 0 || kv_rand_below(4) == 0);
		for (i = 0; i < h.n; i++)
		{
			KvEntry e = h.inputs[i];
			KvDropVerdict verdict;

			before[n_before] = e;
			before_names[n_before++] = i + 1;
			verdict = kv_drop_decide(&key, &horizon, &e, h.state[e.xid]);
			if (verdict == KV_DROP)
				continue;
			if (verdict != KV_KEEP)
				e.xid = 0;
			if (verdict == KV_KEEP_BARE)
				e.csn = 0;
			after[n_after] = e;
			after_names[n_after++] = i + 1;
		}
		for (i = 0; i < h.n_below; i++)
		{
			before[n_before] = after[n_after] = h.below[i];
			before_names[n_before++] = after_names[n_after++] = 100 + i;
		}
		/* csn descending, strictly */
		for (i = 1; i < n_after; i++)
			KV_CHECK(after[i].csn < after[i - 1].csn);
		for (reader = 0; reader < 20; reader++)
		{
			Reader r;

			random_reader(&r, &h);
			KV_CHECK_EQ(seen(&r, after, after_names, n_after),
						seen(&r, before, before_names, n_before));
		}
	}
}

KV_TEST(at_rest_one_version_remains)
{
	static const KvHorizon rest = {UINT64_MAX, UINT64_MAX, 2000};
	int round, i;

	for (round = 0; round < 2000; round++)
	{
		History h = {0};
		KvDropKey key;
		int kept = 0;

		random_history(&h);
		kv_drop_key_start(&key, false, false);
		for (i = 0; i < h.n; i++)
		{
			KvXactState state = h.state[h.inputs[i].xid] == KV_XACT_ABORTED
									? KV_XACT_ABORTED
									: KV_XACT_COMMITTED;

			if (kv_drop_decide(&key, &rest, &h.inputs[i], state) == KV_DROP)
				continue;
			kept++;
			KV_CHECK_EQ(h.inputs[i].kind, KV_KIND_PUT);
		}
		KV_CHECK(kept <= 1);
	}
}
