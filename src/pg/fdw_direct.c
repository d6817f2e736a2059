/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_direct.c - UPDATE and DELETE by the scan itself.
 *
 * Where the key's conditions alone say which rows, the scan that locks them
 * changes them too: nothing is handed up and looked for again.  With filters,
 * joins, triggers or generated columns it is left to fdw_modify.c.
 *
 * Runs in the planner and in the executor, in backends.
 */
#include "fdw_modify.h"
#include "fdw_plan.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/appendinfo.h"
#include "utils/memutils.h"

typedef struct Direct
{
	KvlsmModify *modify;
	CmdType operation;
	bool count;	  /* in es_processed */
	List *set;	  /* attribute numbers of an UPDATE */
	List *values; /* ExprStates for them */
	TupleTableSlot *new_slot;
} Direct;

/* ---- planning */

static ForeignScan *
find_scan(ModifyTable *plan, Index result_relation, int subplan_index)
{
	Plan *subplan = outerPlan(plan);

	/* with several target relations there is an Append, or a Result on it */
	if (IsA(subplan, Result) && outerPlan(subplan) != NULL &&
		IsA(outerPlan(subplan), Append))
		subplan = outerPlan(subplan);
	if (IsA(subplan, Append))
	{
		List *plans = ((Append *) subplan)->appendplans;

		if (subplan_index >= list_length(plans))
			return NULL;
		subplan = list_nth(plans, subplan_index);
	}
	if (!IsA(subplan, ForeignScan) ||
		((ForeignScan *) subplan)->scan.scanrelid != result_relation)
		return NULL;
	return (ForeignScan *) subplan;
}

/*
 * The new values move to where the scan evaluates them; it must not do so
 * once more for its own target list, of which nobody asks for them.
 */
static List *
take_new_values(PlannerInfo *root, ForeignScan *scan, Index result_relation,
				List **set)
{
	List *targets;
	List *values = NIL;
	ListCell *lc;

	get_translated_update_targetlist(root, result_relation, &targets, set);
	foreach (lc, targets)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);

		if (tle->resjunk)
			break;
		values = lappend(values, tle->expr);
	}
	*set = list_truncate(list_copy(*set), list_length(values));
	/* below an Append nothing is marked as junk: the new values come first */
	foreach (lc, scan->scan.plan.targetlist)
	{
		TargetEntry *tle = lfirst_node(TargetEntry, lc);
		Node *old = (Node *) tle->expr;

		if (foreach_current_index(lc) < list_length(values))
			tle->expr = (Expr *) makeNullConst(exprType(old), exprTypmod(old),
											   exprCollation(old));
	}
	return values;
}

static bool
plan_direct(PlannerInfo *root, ModifyTable *plan, Index result_relation,
			int subplan_index)
{
	ForeignScan *scan = find_scan(plan, result_relation, subplan_index);
	List *set = NIL;

	if ((plan->operation != CMD_UPDATE && plan->operation != CMD_DELETE) ||
		scan == NULL || scan->scan.plan.qual != NIL)
		return false;
	if (plan->operation == CMD_UPDATE)
		scan->fdw_exprs = take_new_values(root, scan, result_relation, &set);
	scan->operation = plan->operation;
	scan->resultRelation = result_relation;
	/* the whole row, for what stays as it is and for RETURNING */
	if (plan->operation == CMD_UPDATE || plan->returningLists != NIL)
		list_nth_cell(scan->fdw_private, KVLSM_PLAN_COLUMNS)->ptr_value =
			list_make1_int(InvalidAttrNumber);
	scan->fdw_private = lappend(scan->fdw_private, set);
	scan->fdw_private = lappend(scan->fdw_private,
								list_make1_int(plan->canSetTag));
	return true;
}

/* ---- running */

static Direct *
direct_of(ForeignScanState *node)
{
	return node->resultRelInfo->ri_FdwState;
}

static void
begin_direct(ForeignScanState *node, int eflags)
{
	ForeignScan *plan = castNode(ForeignScan, node->ss.ps.plan);
	EState *estate = node->ss.ps.state;
	Relation rel = node->ss.ss_currentRelation;
	Direct *direct;

	kvlsm_scan_begin(node, eflags);
	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	direct = palloc0(sizeof(Direct));
	direct->modify = kvlsm_modify_begin(NULL, estate, rel);
	direct->operation = plan->operation;
	direct->set = list_nth(plan->fdw_private, KVLSM_PLAN_SET);
	direct->count = linitial_int(list_nth(plan->fdw_private, KVLSM_PLAN_TAG)) !=
					0;
	direct->values = ExecInitExprList(plan->fdw_exprs, &node->ss.ps);
	if (direct->operation == CMD_UPDATE)
		direct->new_slot = ExecInitExtraTupleSlot(estate, RelationGetDescr(rel),
												  &TTSOpsVirtual);
	node->resultRelInfo->ri_FdwState = direct;
}

/* The old row with the new values. */
static TupleTableSlot *
make_new_row(ForeignScanState *node, Direct *direct, TupleTableSlot *old)
{
	ExprContext *econtext = node->ss.ps.ps_ExprContext;
	TupleTableSlot *slot = direct->new_slot;
	int natts = slot->tts_tupleDescriptor->natts;
	ListCell *lc_attno, *lc_value;

	econtext->ecxt_scantuple = old;
	ExecClearTuple(slot);
	memcpy(slot->tts_values, old->tts_values, natts * sizeof(Datum));
	memcpy(slot->tts_isnull, old->tts_isnull, natts * sizeof(bool));
	forboth(lc_attno, direct->set, lc_value, direct->values)
	{
		int at = lfirst_int(lc_attno) - 1;

		slot->tts_values[at] = ExecEvalExpr(lfirst(lc_value), econtext,
											&slot->tts_isnull[at]);
	}
	ExecStoreVirtualTuple(slot);
	slot->tts_tableOid = RelationGetRelid(node->ss.ss_currentRelation);
	return slot;
}

/*
 * Changes the row that the scan has come to; returns what RETURNING sees, or
 * NULL: another part of this command has changed the row already.
 */
static TupleTableSlot *
change_row(ForeignScanState *node, Direct *direct, TupleTableSlot *slot)
{
	const KvlsmScanRow *row = kvlsm_scan_row(node);
	int64 expires = row->expires_us;
	KvlsmModify *m = direct->modify;
	MemoryContext old;
	KvlsmBytes key;

	MemoryContextReset(m->row_context);
	old = MemoryContextSwitchTo(m->row_context);
	/* the scan's bytes may be the write set's, which is written to now */
	kvlsm_bytes_begin(&key);
	kvlsm_bytes_append(&key, row->key.data, row->key.len);
	/* what is evaluated here may write, too */
	if (direct->operation == CMD_UPDATE)
		slot = make_new_row(node, direct, slot);
	if (kvlsm_is_done(m, key.slice, node->ss.ps.state->es_snapshot,
					  direct->operation))
		slot = NULL;
	else if (direct->operation == CMD_DELETE)
		kvlsm_write_delete_of(m->owner, key.slice);
	else
		kvlsm_replace_row(m, node->resultRelInfo, node->ss.ps.state, key.slice,
						  expires, slot);
	MemoryContextSwitchTo(old);
	return slot;
}

static TupleTableSlot *
iterate_direct(ForeignScanState *node)
{
	Direct *direct = direct_of(node);
	ResultRelInfo *rinfo = node->resultRelInfo;
	EState *estate = node->ss.ps.state;
	Instrumentation *instrument = node->ss.ps.instrument;
	ProjectionInfo *returning = rinfo->ri_projectReturning;

	for (;;)
	{
		TupleTableSlot *slot = kvlsm_scan_iterate(node);
		TupleTableSlot *result;

		if (TupIsNull(slot))
			return slot;
		result = change_row(node, direct, slot);
		if (result == NULL)
			continue;
		if (direct->count)
			estate->es_processed++;
		if (returning != NULL)
		{
			returning->pi_exprContext->ecxt_scantuple = result;
			return slot;
		}
		if (instrument != NULL)
			instrument->tuplecount += 1;
		ResetExprContext(node->ss.ps.ps_ExprContext);
	}
}

static void
end_direct(ForeignScanState *node)
{
	node->resultRelInfo->ri_FdwState = NULL;
	kvlsm_scan_end(node);
}

void
kvlsm_direct_callbacks(FdwRoutine *routine)
{
	routine->PlanDirectModify = plan_direct;
	routine->BeginDirectModify = begin_direct;
	routine->IterateDirectModify = iterate_direct;
	routine->EndDirectModify = end_direct;
	routine->ExplainDirectModify = kvlsm_scan_explain;
}
