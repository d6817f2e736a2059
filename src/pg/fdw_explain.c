/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_explain.c - what EXPLAIN shows of a scan.
 *
 * Called by EXPLAIN, in backends.
 */
#include "fdw_plan.h"

#include "compat.h"
#include "nodes/makefuncs.h"
#include "utils/ruleutils.h"

static bool find_below(Plan *at, const Plan *plan, List **ancestors);

static bool
find_in_list(List *plans, const Plan *plan, List **ancestors)
{
	ListCell *lc;

	foreach (lc, plans)
		if (find_below(lfirst(lc), plan, ancestors))
			return true;
	return false;
}

/*
 * The way down from at to the plan, nearest parent first.  Nodes of other
 * kinds have no children but left and right that a foreign scan may be.
 */
static bool
find_below(Plan *at, const Plan *plan, List **ancestors)
{
	bool found;

	if (at == NULL)
		return false;
	if (at == plan)
		return true;
	found = find_below(outerPlan(at), plan, ancestors) ||
			find_below(innerPlan(at), plan, ancestors);
	if (!found && IsA(at, Append))
		found = find_in_list(((Append *) at)->appendplans, plan, ancestors);
	if (!found && IsA(at, MergeAppend))
		found = find_in_list(((MergeAppend *) at)->mergeplans, plan, ancestors);
	if (!found && IsA(at, SubqueryScan))
		found = find_below(((SubqueryScan *) at)->subplan, plan, ancestors);
	if (found)
		*ancestors = lappend(*ancestors, at);
	return found;
}

/*
 * EXPLAIN does not say where it is in the plan, but without it a value that a
 * nested loop hands down would be shown as a number.
 */
static List *
find_ancestors(ExplainState *es, Plan *plan)
{
	List *ancestors = NIL;

	if (!find_below(es->pstmt->planTree, plan, &ancestors))
		(void) find_in_list(es->pstmt->subplans, plan, &ancestors);
	return ancestors;
}

static void
show_conditions(ForeignScan *plan, ExplainState *es)
{
	bool prefix = es->verbose || list_length(es->rtable) > 1;
	List *context;
	Node *quals;

	if (plan->fdw_recheck_quals == NIL)
		return;
	context = set_deparse_context_plan(es->deparse_cxt, (Plan *) plan,
									   find_ancestors(es, (Plan *) plan));
	quals = (Node *) make_ands_explicit(plan->fdw_recheck_quals);
	ExplainPropertyText("KV Cond",
						deparse_expression(quals, context, prefix, false), es);
}

static void
show_cost(const KvReadCost *cost, ExplainState *es)
{
	if (es->format == EXPLAIN_FORMAT_TEXT)
	{
		ExplainPropertyText("KV Cost",
							psprintf("files=%lu filter negatives=%lu blocks "
									 "read=%lu cached=%lu tombstones "
									 "skipped=%lu",
									 (unsigned long) cost->files,
									 (unsigned long) cost->filter_negatives,
									 (unsigned long) cost->blocks_read,
									 (unsigned long) cost->blocks_cached,
									 (unsigned long) cost->skipped),
							es);
		return;
	}
	ExplainPropertyUInteger("KV Files", NULL, cost->files, es);
	ExplainPropertyUInteger("KV Filter Negatives", NULL,
							cost->filter_negatives, es);
	ExplainPropertyUInteger("KV Blocks Read", NULL, cost->blocks_read, es);
	ExplainPropertyUInteger("KV Blocks Cached", NULL, cost->blocks_cached, es);
	ExplainPropertyUInteger("KV Tombstones Skipped", NULL, cost->skipped, es);
}

void
kvlsm_explain_scan(ForeignScan *plan, ExplainState *es,
				   const KvlsmScanReport *report)
{
	if (report->counted != NULL)
		ExplainPropertyText("KV Aggregate",
							psprintf("count(*) on %s", report->counted), es);
	show_conditions(plan, es);
	if (report->reverse)
		ExplainPropertyText("KV Direction", "backward", es);
	if (!es->analyze)
		return;
	ExplainPropertyInteger("KV Rows Read", NULL, report->rows_read, es);
	if (es->buffers)
		show_cost(&report->cost, es);
}
