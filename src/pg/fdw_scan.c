/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_scan.c - planning and running scans of a foreign table.
 *
 * A scan reads the interval of keys that its plan fixed; for now that is
 * always the whole store, and every condition is checked by the executor.
 * Planner callbacks never raise because the store cannot be used: estimates
 * fall back to defaults, and the scan itself answers.
 *
 * Backends only.
 */
#include "fdw.h"

#include "access/sysattr.h"
#include "access/xact.h"
#include "compat.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/planmain.h"
#include "optimizer/prep.h"
#include "optimizer/restrictinfo.h"
#include "scan.h"
#include "store_map.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "write_set.h"

/* when nothing is known */
#define DEFAULT_TUPLES 1000
#define DEFAULT_PAGES  100

/* decoding a row costs this many operators */
#define ROW_OPERATORS 4

typedef enum RowLock
{
	ROW_LOCK_NONE,
	ROW_LOCK_SHARE,
	ROW_LOCK_UPDATE
} RowLock;

typedef struct KvScanState
{
	KvlsmLayout *layout;
	KvlsmStore store;
	MemoryContext scan_context; /* the engine's scan hangs on it */
	MemoryContext row_context;	/* Datums of the current row */
	KvlsmScan *scan;			/* NULL: not begun */
	bool *wanted;				/* KvlsmWanted */
	RowLock lock;
	LockWaitPolicy policy;
	uint64 rows_read;
} KvScanState;

/* Entries and bytes of the table; false if nobody can say. */
static bool
estimate_size(Oid relid, double *tuples, double *bytes)
{
	KvDb *db = kvlsm_db_if_ready();
	char bounds[2][KV_STORE_PREFIX];
	KvSlice lower;
	KvSlice upper;
	KvError err;
	uint64_t n_bytes = 0;
	uint64_t n_entries = 0;
	uint32 id;
	KvStats stats;

	if (db == NULL || !kvlsm_map_peek(db, relid, &id))
		return false;
	if (id == 0)
	{
		*tuples = 0;
		*bytes = 0;
		return true;
	}
	kvlsm_store_bounds(id, bounds[0], bounds[1], &lower, &upper);
	kv_error_clear(&err);
	if (kv_approximate_bytes(db, lower, upper, &n_bytes, &n_entries, &err) !=
		KV_OK)
		return false;
	/* the memtables are not in it, and nobody knows whose they are */
	kv_stats(db, &stats);
	*tuples = (double) n_entries + stats.memtable_entries;
	*bytes = (double) n_bytes + stats.memtable_bytes;
	return true;
}

static void
get_rel_size(PlannerInfo *root, RelOptInfo *rel, Oid relid)
{
	double tuples;
	double bytes;

	if (estimate_size(relid, &tuples, &bytes))
	{
		rel->tuples = clamp_row_est(tuples);
		rel->pages = (BlockNumber) Min(bytes / BLCKSZ + 1, MaxBlockNumber);
	}
	else
	{
		rel->tuples = DEFAULT_TUPLES;
		rel->pages = DEFAULT_PAGES;
	}
	set_baserel_size_estimates(root, rel);
}

static void
get_paths(PlannerInfo *root, RelOptInfo *rel, Oid relid)
{
	Cost startup = rel->baserestrictcost.startup;
	Cost per_row = cpu_tuple_cost + ROW_OPERATORS * cpu_operator_cost +
				   rel->baserestrictcost.per_tuple;
	Cost total = startup + seq_page_cost * rel->pages + per_row * rel->tuples;

	add_path(rel, (Path *) kvlsm_foreignscan_path(root, rel, startup, total));
}

/*
 * Columns that the query does not look at are not decoded.  The plan's own
 * target list does not tell: the planner puts all columns there when nothing
 * has to be computed.
 */
static List *
needed_columns(RelOptInfo *rel, List *quals)
{
	Bitmapset *used = NULL;
	List *columns = NIL;
	int column = -1;

	pull_varattnos((Node *) rel->reltarget->exprs, rel->relid, &used);
	pull_varattnos((Node *) quals, rel->relid, &used);
	while ((column = bms_next_member(used, column)) >= 0)
		columns = lappend_int(columns,
							  column + FirstLowInvalidHeapAttributeNumber);
	bms_free(used);
	return columns;
}

/*
 * Rows are locked as they are read, by the scan: a lock later on would need a
 * row's address, which a key is not (semantics of FOR UPDATE in docs/fdw.md).
 * That goes for rows to be changed as well, so that what is computed from
 * them is computed from their newest version.
 */
static RowLock
row_lock(PlannerInfo *root, RelOptInfo *rel, LockWaitPolicy *policy)
{
	PlanRowMark *mark;

	*policy = LockWaitBlock;
	if (bms_is_member(rel->relid, root->all_result_relids))
		return ROW_LOCK_UPDATE;
	mark = get_plan_rowmark(root->rowMarks, rel->relid);
	if (mark == NULL || mark->strength == LCS_NONE)
		return ROW_LOCK_NONE;
	*policy = mark->waitPolicy;
	return mark->strength <= LCS_FORSHARE ? ROW_LOCK_SHARE : ROW_LOCK_UPDATE;
}

static ForeignScan *
get_plan(PlannerInfo *root, RelOptInfo *rel, Oid relid, ForeignPath *path,
		 List *tlist, List *clauses, Plan *outer_plan)
{
	List *quals = extract_actual_clauses(clauses, false);
	LockWaitPolicy policy;
	RowLock lock = row_lock(root, rel, &policy);

	return make_foreignscan(tlist, quals, rel->relid, NIL,
							list_make2(needed_columns(rel, quals),
									   list_make2_int(lock, policy)),
							NIL, NIL, outer_plan);
}

static void
read_plan(ForeignScanState *node, KvScanState *state)
{
	List *plan = castNode(ForeignScan, node->ss.ps.plan)->fdw_private;
	List *columns = linitial(plan);
	List *lock = lsecond(plan);
	TupleDesc desc = node->ss.ss_ScanTupleSlot->tts_tupleDescriptor;
	ListCell *lc;

	if (!list_member_int(columns, InvalidAttrNumber)) /* whole row */
	{
		state->wanted = palloc0(desc->natts * sizeof(bool));
		foreach (lc, columns)
			if (lfirst_int(lc) > 0)
				state->wanted[lfirst_int(lc) - 1] = true;
	}
	state->lock = (RowLock) linitial_int(lock);
	state->policy = (LockWaitPolicy) lsecond_int(lock);
}

static void
begin_scan(ForeignScanState *node, int eflags)
{
	EState *estate = node->ss.ps.state;
	KvScanState *state = palloc0(sizeof(KvScanState));

	node->fdw_state = state;
	state->layout = kvlsm_layout_of(node->ss.ss_currentRelation);
	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	read_plan(node, state);
	kvlsm_store_of_relation(RelationGetRelid(node->ss.ss_currentRelation),
							false, &state->store);
	state->scan_context = AllocSetContextCreate(estate->es_query_cxt,
												"kvlsm scan",
												ALLOCSET_SMALL_SIZES);
	state->row_context = AllocSetContextCreate(estate->es_query_cxt,
											   "kvlsm row",
											   ALLOCSET_DEFAULT_SIZES);
}

static void
start(KvScanState *state, Snapshot snapshot)
{
	MemoryContext old = MemoryContextSwitchTo(state->scan_context);
	char bounds[2][KV_STORE_PREFIX];
	KvSlice lower;
	KvSlice upper;

	kvlsm_store_bounds(state->store.id, bounds[0], bounds[1], &lower, &upper);
	state->scan = kvlsm_scan_open(lower, upper, false, snapshot);
	MemoryContextSwitchTo(old);
}

static void
fill_slot(KvScanState *state, TupleTableSlot *slot, KvSlice key, KvSlice value)
{
	MemoryContext old = MemoryContextSwitchTo(state->row_context);

	kvlsm_row_fill(state->layout, state->wanted, key, value, slot);
	MemoryContextSwitchTo(old);
}

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

	if (!kvlsm_lock_row(key, state->lock == ROW_LOCK_SHARE,
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
		return true;
	if (status != KV_NOT_FOUND)
		kvlsm_ereport(status, &err);
	if (!kvlsm_lookup_latest(key,
							 IsolationUsesXactSnapshot()
								 ? node->ss.ps.state->es_snapshot
								 : NULL,
							 &found))
		return false;
	fill_slot(state, slot, key, found.value);
	return true;
}

static TupleTableSlot *
iterate_scan(ForeignScanState *node)
{
	KvScanState *state = node->fdw_state;
	TupleTableSlot *slot = node->ss.ss_ScanTupleSlot;
	KvEntry entry;

	ExecClearTuple(slot);
	if (state->store.id == 0)
		return slot;
	if (state->scan == NULL)
		start(state, node->ss.ps.state->es_snapshot);
	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(state->row_context);
		if (!kvlsm_scan_next(state->scan, &entry))
			return ExecClearTuple(slot);
		state->rows_read++;
		fill_slot(state, slot, entry.key, entry.value);
		if (state->lock == ROW_LOCK_NONE ||
			(satisfies(node, slot) && lock_row(node, slot, entry.key)))
			return slot;
	}
}

static void
rescan(ForeignScanState *node)
{
	KvScanState *state = node->fdw_state;

	if (state->scan != NULL)
		kvlsm_scan_rewind(state->scan);
}

static void
end_scan(ForeignScanState *node)
{
	KvScanState *state = node->fdw_state;

	if (state == NULL || state->scan == NULL)
		return;
	kvlsm_scan_close(state->scan);
	state->scan = NULL;
}

static void
explain_scan(ForeignScanState *node, ExplainState *es)
{
	KvScanState *state = node->fdw_state;

	ExplainPropertyText("KV Range", "all keys", es);
	if (es->analyze)
		ExplainPropertyInteger("KV Rows Read", NULL, state->rows_read, es);
}

void
kvlsm_scan_callbacks(FdwRoutine *routine)
{
	routine->GetForeignRelSize = get_rel_size;
	routine->GetForeignPaths = get_paths;
	routine->GetForeignPlan = get_plan;
	routine->BeginForeignScan = begin_scan;
	routine->IterateForeignScan = iterate_scan;
	routine->ReScanForeignScan = rescan;
	routine->EndForeignScan = end_scan;
	routine->ExplainForeignScan = explain_scan;
}
