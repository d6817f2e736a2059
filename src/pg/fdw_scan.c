/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_scan.c - running scans of a foreign table.
 *
 * The intervals of keys come from the plan's conditions whenever the scan
 * begins or begins again (fdw_range.c).  Single keys are looked up, several
 * of them together; other intervals are scanned one after the other, so that
 * rows always come in key order, or backward.
 *
 * Backends only.
 */
#include "fdw_plan.h"

#include "access/table.h"
#include "access/xact.h"
#include "compat.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "scan.h"
#include "store_map.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "write_set.h"

/* rows may leave so much behind before their context is reset */
#define ROW_BYTES 4096
/* so many keys are looked up together */
#define LOOKUPS 128

typedef struct KvScanState
{
	KvlsmLayout *layout;
	Relation rel;
	KvlsmStore store;
	bool *wanted; /* KvlsmWanted */
	KvlsmRowLock lock;
	LockWaitPolicy policy;
	bool reverse;
	bool count; /* the answer is the number of rows */
	KvlsmRanges *conditions;
	MemoryContext scan_context; /* ranges and an open scan; till a rescan */
	MemoryContext row_context;	/* Datums of the current row */
	size_t row_bytes;			/* that went into it since it was reset */

	bool ready; /* the ranges are made */
	bool points;
	KvlsmKeyRange *ranges;
	int n_ranges;
	int next; /* of the ranges, counted in the scan's direction */

	KvlsmScan *scan;  /* of the range before next; NULL: none */
	KvlsmScanRow row; /* the current one, if rows are locked */
	KvSlice keys[LOOKUPS], values[LOOKUPS];
	int n_found, at; /* of the keys looked up, and delivered */
	bool done;		 /* counted */
	KvlsmScanReport report;
	bool measure; /* for EXPLAIN (ANALYZE, BUFFERS) */
	KvReadCost before;
} KvScanState;

static void
read_plan(ForeignScanState *node, KvScanState *state)
{
	ForeignScan *plan = castNode(ForeignScan, node->ss.ps.plan);
	List *columns = list_nth(plan->fdw_private, KVLSM_PLAN_COLUMNS);
	List *flags = list_nth(plan->fdw_private, KVLSM_PLAN_FLAGS);
	TupleDesc desc = RelationGetDescr(state->rel);
	ListCell *lc;

	if (!list_member_int(columns, InvalidAttrNumber)) /* whole row */
	{
		state->wanted = palloc0(desc->natts * sizeof(bool));
		foreach (lc, columns)
			if (lfirst_int(lc) > 0)
				state->wanted[lfirst_int(lc) - 1] = true;
	}
	state->lock = (KvlsmRowLock) list_nth_int(flags, KVLSM_FLAG_LOCK);
	state->policy = (LockWaitPolicy) list_nth_int(flags, KVLSM_FLAG_POLICY);
	state->reverse = list_nth_int(flags, KVLSM_FLAG_REVERSE) != 0;
	state->count = list_nth_int(flags, KVLSM_FLAG_COUNT) != 0;
	state->conditions = kvlsm_ranges_init(state->layout,
										  plan->fdw_recheck_quals,
										  list_nth(plan->fdw_private,
												   KVLSM_PLAN_CONDS),
										  &node->ss.ps);
}

/* The table; a count has no scan relation of its own. */
static Relation
scanned_relation(ForeignScanState *node)
{
	ForeignScan *plan = castNode(ForeignScan, node->ss.ps.plan);
	EState *estate = node->ss.ps.state;
	int rti;

	if (plan->scan.scanrelid > 0)
		return node->ss.ss_currentRelation;
	rti = bms_next_member(plan->fs_relids, -1);
	return ExecGetRangeTableRelation(estate, rti);
}

void
kvlsm_scan_begin(ForeignScanState *node, int eflags)
{
	EState *estate = node->ss.ps.state;
	KvScanState *state = palloc0(sizeof(KvScanState));

	node->fdw_state = state;
	state->rel = scanned_relation(node);
	state->layout = kvlsm_layout_of(state->rel);
	read_plan(node, state);
	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	kvlsm_store_of_relation(RelationGetRelid(state->rel), false, &state->store);
	state->measure = (estate->es_instrument & INSTRUMENT_BUFFERS) != 0 &&
					 state->store.id != 0;
	state->scan_context = AllocSetContextCreate(estate->es_query_cxt,
												"kvlsm scan",
												ALLOCSET_SMALL_SIZES);
	state->row_context = AllocSetContextCreate(estate->es_query_cxt,
											   "kvlsm row",
											   ALLOCSET_DEFAULT_SIZES);
}

static void
make_ranges(ForeignScanState *node)
{
	KvScanState *state = node->fdw_state;
	MemoryContext old = MemoryContextSwitchTo(state->scan_context);

	state->n_ranges = kvlsm_ranges_make(state->conditions,
										node->ss.ps.ps_ExprContext,
										state->store.id, &state->ranges,
										&state->points);
	state->ready = true;
	MemoryContextSwitchTo(old);
}

static void
fill_slot(KvScanState *state, TupleTableSlot *slot, KvSlice key, KvSlice value)
{
	MemoryContext old = MemoryContextSwitchTo(state->row_context);

	state->row_bytes += key.len + value.len;
	kvlsm_row_fill(state->layout, state->wanted, key, value, slot);
	MemoryContextSwitchTo(old);
}

/* ---- the next row, by key or in an interval */

static KvlsmKeyRange *
next_range(KvScanState *state)
{
	int i = state->next++;

	return &state->ranges[state->reverse ? state->n_ranges - 1 - i : i];
}

/* Looks up as many of the remaining keys as go together. */
static void
look_up(KvScanState *state, Snapshot snapshot)
{
	int left = state->n_ranges - state->next;
	int n = Min(left, LOOKUPS);
	int i;

	state->at = 0;
	state->n_found = 0;
	for (i = 0; i < n; i++)
		state->keys[i] = next_range(state)->lower;
	if (n == 1)
	{
		KvlsmFound found;

		if (kvlsm_lookup(state->keys[0], snapshot, &found))
			state->values[state->n_found++] = found.value;
		return;
	}
	kvlsm_lookup_many(state->keys, n, snapshot, state->values);
	for (i = 0; i < n; i++)
		if (state->values[i].data != NULL)
		{
			state->keys[state->n_found] = state->keys[i];
			state->values[state->n_found++] = state->values[i];
		}
}

static bool
next_point(KvScanState *state, Snapshot snapshot, KvSlice *key, KvSlice *value)
{
	MemoryContext old = CurrentMemoryContext;

	while (state->at == state->n_found)
	{
		if (state->next == state->n_ranges)
			return false;
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(state->row_context);
		MemoryContextSwitchTo(state->row_context);
		look_up(state, snapshot);
		MemoryContextSwitchTo(old);
	}
	*key = state->keys[state->at];
	*value = state->values[state->at++];
	return true;
}

/* Opens the next interval; false: there is none. */
static bool
open_next(KvScanState *state, Snapshot snapshot)
{
	MemoryContext old;
	KvlsmKeyRange *range;

	if (state->scan != NULL)
		kvlsm_scan_close(state->scan);
	state->scan = NULL;
	if (state->next == state->n_ranges)
		return false;
	CHECK_FOR_INTERRUPTS();
	range = next_range(state);
	old = MemoryContextSwitchTo(state->scan_context);
	state->scan = kvlsm_scan_open(range->lower, range->upper, state->reverse,
								  snapshot);
	MemoryContextSwitchTo(old);
	return true;
}

static bool
next_scanned(KvScanState *state, Snapshot snapshot, KvSlice *key,
			 KvSlice *value)
{
	KvEntry entry;

	while (state->scan == NULL || !kvlsm_scan_next(state->scan, &entry))
		if (!open_next(state, snapshot))
			return false;
	*key = entry.key;
	*value = entry.value;
	return true;
}

/* Borrowed until the next call. */
static bool
next_row(ForeignScanState *node, KvSlice *key, KvSlice *value)
{
	KvScanState *state = node->fdw_state;
	Snapshot snapshot = node->ss.ps.state->es_snapshot;

	if (state->points)
		return next_point(state, snapshot, key, value);
	return next_scanned(state, snapshot, key, value);
}

/* Other nodes read between the calls of this one. */
static void
measure_begin(KvScanState *state)
{
	kv_read_cost(kvlsm_db(false), &state->before);
}

static void
measure_end(KvScanState *state)
{
	KvReadCost *cost = &state->report.cost;
	KvReadCost now;

	kv_read_cost(kvlsm_db(false), &now);
	cost->files += now.files - state->before.files;
	cost->filter_negatives += now.filter_negatives -
							  state->before.filter_negatives;
	cost->blocks_read += now.blocks_read - state->before.blocks_read;
	cost->blocks_cached += now.blocks_cached - state->before.blocks_cached;
	cost->skipped += now.skipped - state->before.skipped;
}

/* ---- the executor's calls */

/* Does the row in the slot satisfy the scan's conditions? */
static bool
satisfies(ForeignScanState *node, TupleTableSlot *slot)
{
	ExprContext *econtext = node->ss.ps.ps_ExprContext;
	bool ok;

	econtext->ecxt_scantuple = slot;
	ok = ExecQual(node->ss.ps.qual, econtext);
	ResetExprContext(econtext);
	return ok;
}

/*
 * Locks the row and puts its newest version into the slot, whose conditions
 * the executor looks at again.  False: it is gone, or to be skipped.
 */
static bool
lock_row(ForeignScanState *node, TupleTableSlot *slot, KvSlice key)
{
	KvScanState *state = node->fdw_state;
	KvEntry own;
	KvlsmFound found;
	KvError err;
	KvStatus status;

	if (!kvlsm_lock_row(key, state->lock == KVLSM_LOCK_SHARE,
						state->policy == LockWaitBlock))
	{
		if (state->policy == LockWaitSkip)
			return false;
		ereport(ERROR,
				(errcode(ERRCODE_LOCK_NOT_AVAILABLE),
				 errmsg("could not obtain lock on row in relation \"%s\"",
						RelationGetRelationName(node->ss.ss_currentRelation))));
	}
	/* what this transaction has written is newest for it, as scanned */
	kv_error_clear(&err);
	status = kvlsm_own_latest(key, &own, &err);
	if (status == KV_OK)
	{
		state->row.expires_us = own.kind == KV_KIND_PUT_EXPIRING
									? own.expires_us
									: 0;
		return true;
	}
	if (status != KV_NOT_FOUND)
		kvlsm_ereport(status, &err);
	if (!kvlsm_lookup_latest(key,
							 IsolationUsesXactSnapshot()
								 ? node->ss.ps.state->es_snapshot
								 : NULL,
							 &found))
		return false;
	state->row.expires_us = found.expires_us;
	fill_slot(state, slot, key, found.value);
	return true;
}

/* One row, with the number of rows for every aggregate. */
static TupleTableSlot *
count_rows(ForeignScanState *node)
{
	KvScanState *state = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	List *tlist = castNode(ForeignScan, node->ss.ps.plan)->fdw_scan_tlist;
	Snapshot snapshot = node->ss.ps.state->es_snapshot;
	int64 n = 0;
	KvSlice key, value;
	ListCell *lc;

	if (state->done)
		return ExecClearTuple(slot);
	state->done = true;
	if (state->points)
		while (next_point(state, snapshot, &key, &value))
			n++;
	else
		while (state->store.id != 0 && open_next(state, snapshot))
			n += kvlsm_scan_count(state->scan);
	state->report.rows_read += n;
	ExecClearTuple(slot);
	foreach (lc, tlist)
	{
		bool is_count = IsA(lfirst_node(TargetEntry, lc)->expr, Aggref);

		slot->tts_values[foreach_current_index(lc)] = Int64GetDatum(n);
		slot->tts_isnull[foreach_current_index(lc)] = !is_count;
	}
	return ExecStoreVirtualTuple(slot);
}

static TupleTableSlot *
next_tuple(ForeignScanState *node)
{
	KvScanState *state = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	KvSlice key, value;

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		if (!state->points && state->row_bytes > ROW_BYTES)
		{
			MemoryContextReset(state->row_context);
			state->row_bytes = 0;
		}
		if (!next_row(node, &key, &value))
			return ExecClearTuple(slot);
		state->report.rows_read++;
		fill_slot(state, slot, key, value);
		if (state->lock == KVLSM_LOCK_NONE ||
			(satisfies(node, slot) && lock_row(node, slot, key)))
		{
			state->row.key = key;
			return slot;
		}
	}
}

TupleTableSlot *
kvlsm_scan_iterate(ForeignScanState *node)
{
	KvScanState *state = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;

	if (state->store.id == 0 && !state->count)
		return ExecClearTuple(slot);
	if (state->store.id != 0 && !state->ready)
		make_ranges(node);
	if (state->measure)
		measure_begin(state);
	slot = state->count ? count_rows(node) : next_tuple(node);
	if (state->measure)
		measure_end(state);
	return slot;
}

/* The conditions' values may be others now. */
static void
rescan(ForeignScanState *node)
{
	KvScanState *state = node->fdw_state;

	state->next = state->n_found = state->at = 0;
	state->done = false;
	if (state->scan != NULL && node->ss.ps.chgParam == NULL &&
		state->n_ranges == 1)
	{
		state->next = 1;
		kvlsm_scan_rewind(state->scan);
		return;
	}
	state->scan = NULL;
	state->ready = false;
	/* closes the scan */
	if (state->scan_context != NULL)
		MemoryContextReset(state->scan_context);
}

const KvlsmScanRow *
kvlsm_scan_row(const ForeignScanState *node)
{
	const KvScanState *state = node->fdw_state;

	return &state->row;
}

void
kvlsm_scan_end(ForeignScanState *node)
{
	KvScanState *state = node->fdw_state;

	if (state == NULL || state->scan == NULL)
		return;
	kvlsm_scan_close(state->scan);
	state->scan = NULL;
}

void
kvlsm_scan_explain(ForeignScanState *node, ExplainState *es)
{
	KvScanState *state = node->fdw_state;

	if (state->count)
		state->report.counted = RelationGetRelationName(state->rel);
	state->report.reverse = state->reverse;
	kvlsm_explain_scan(castNode(ForeignScan, node->ss.ps.plan), es,
					   &state->report);
}

void
kvlsm_scan_callbacks(FdwRoutine *routine)
{
	routine->BeginForeignScan = kvlsm_scan_begin;
	routine->IterateForeignScan = kvlsm_scan_iterate;
	routine->ReScanForeignScan = rescan;
	routine->EndForeignScan = kvlsm_scan_end;
	routine->ExplainForeignScan = kvlsm_scan_explain;
}
