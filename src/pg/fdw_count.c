/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_count.c - count(*) that is answered by the scan itself.
 *
 * If all that is asked of a table is how many rows there are, and its key
 * alone decides which, no row has to be made: the scan counts entries.
 *
 * Called by the planner, in backends.
 */
#include "fdw_plan.h"

#include "compat.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/planmain.h"
#include "optimizer/tlist.h"
#include "utils/fmgroids.h"

/* count(*), or count of what is never NULL: a key column */
static bool
counts_rows(const KvlsmLayout *layout, Node *node)
{
	Aggref *agg = (Aggref *) node;
	TargetEntry *arg;

	if (!IsA(node, Aggref) || agg->aggfilter != NULL ||
		agg->aggdistinct != NIL || agg->agglevelsup != 0 ||
		agg->aggsplit != AGGSPLIT_SIMPLE)
		return false;
	if (agg->aggfnoid == F_COUNT_)
		return true;
	if (agg->aggfnoid != F_COUNT_ANY)
		return false;
	arg = linitial_node(TargetEntry, agg->args);
	return IsA(arg->expr, Var) &&
		   kvlsm_key_position(layout, ((Var *) arg->expr)->varattno) >= 0;
}

static bool
only_counts(PlannerInfo *root, const RelOptInfo *input, PathTarget *target)
{
	const KvlsmRelInfo *info = input->fdw_private;
	Query *parse = root->parse;
	List *parts;
	ListCell *lc;

	if (parse->groupClause != NIL || parse->groupingSets != NIL ||
		root->hasHavingQual || root->rowMarks != NIL)
		return false;
	parts = pull_var_clause((Node *) target->exprs,
							PVC_INCLUDE_AGGREGATES | PVC_INCLUDE_PLACEHOLDERS);
	foreach (lc, parts)
		if (!counts_rows(info->layout, lfirst(lc)))
			return false;
	return parts != NIL;
}

void
kvlsm_upper_paths(PlannerInfo *root, UpperRelationKind stage,
				  RelOptInfo *input, RelOptInfo *output, void *extra)
{
	PathTarget *target = root->upper_targets[UPPERREL_GROUP_AGG];
	KvlsmRelInfo *info = input->fdw_private;
	Path *path = input->cheapest_total_path;
	KvlsmChosen chosen;
	List *clauses;
	double rows = input->rows;
	Cost startup, total;
	ListCell *lc;

	if (stage != UPPERREL_GROUP_AGG || input->reloptkind != RELOPT_BASEREL ||
		info == NULL || path == NULL || !IsA(path, ForeignPath) ||
		path->param_info != NULL || !only_counts(root, input, target))
		return;
	clauses = linitial(((ForeignPath *) path)->fdw_private);
	kvlsm_choose_conds(info->layout, info->index, clauses, &chosen);
	foreach (lc, input->baserestrictinfo)
		if (!is_redundant_with_indexclauses(lfirst(lc), chosen.exact))
			return;
	kvlsm_scan_cost(input, 1, rows, -cpu_tuple_cost, &startup, &total);
	add_path(output,
			 (Path *) kvlsm_foreign_upper_path(root, output, target, total,
											   total,
											   list_make2(input, clauses)));
}

/*
 * The scan's rows are those of the aggregates and, for EXPLAIN to name them,
 * the columns that conditions look at.
 */
ForeignScan *
kvlsm_count_plan(PlannerInfo *root, ForeignPath *path, List *tlist)
{
	RelOptInfo *input = linitial(path->fdw_private);
	KvlsmRelInfo *info = input->fdw_private;
	KvlsmChosen chosen;
	List *scan_tlist = NIL;

	kvlsm_choose_conds(info->layout, info->index, lsecond(path->fdw_private),
					   &chosen);
	scan_tlist =
		add_to_flat_tlist(scan_tlist,
						  pull_var_clause((Node *) path->path.pathtarget->exprs,
										  PVC_INCLUDE_AGGREGATES));
	scan_tlist = add_to_flat_tlist(scan_tlist,
								   pull_var_clause((Node *) chosen.quals, 0));
	return make_foreignscan(tlist, NIL, 0, NIL,
							list_make3(NIL,
									   list_make4_int(KVLSM_LOCK_NONE,
													  LockWaitBlock, false,
													  true),
									   chosen.conds),
							scan_tlist, chosen.quals, NULL);
}
