/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_plan.c - planning scans of a foreign table.
 *
 * The key is described to the planner as what it is to queries: a unique
 * index in key order.  PostgreSQL then matches clauses, joins and orders to
 * it as it does for any index; of the index paths that come out of it, foreign
 * paths are made.  No such index exists, and none is ever opened: the
 * description is marked as hypothetical.
 *
 * Planner callbacks never raise because the store cannot be used: estimates
 * fall back to defaults, and the scan itself answers.
 *
 * Backends only.
 */
#include "fdw_plan.h"

#include "access/sysattr.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_type.h"
#include "commands/defrem.h"
#include "compat.h"
#include "nodes/makefuncs.h"
#include "optimizer/cost.h"
#include "optimizer/optimizer.h"
#include "optimizer/pathnode.h"
#include "optimizer/paths.h"
#include "optimizer/planmain.h"
#include "optimizer/plancat.h"
#include "optimizer/prep.h"
#include "optimizer/restrictinfo.h"
#include "utils/lsyscache.h"
#include "utils/pg_locale.h"
#include "utils/selfuncs.h"

/* decoding a row costs this many operators */
#define ROW_OPERATORS 4
/* finding a place in the store costs as much as reading so many rows */
#define SEEK_ROWS 10
/* going backward beside going forward: more than the planner takes for equal */
#define BACKWARD_COST 1.02
/* about so many rows lie in a block: the files' estimates err by as many */
#define BLOCK_ROWS 100

static get_relation_info_hook_type prev_relation_info;

static void get_rel_size(PlannerInfo *root, RelOptInfo *rel, Oid relid);

void
kvlsm_scan_cost(const RelOptInfo *rel, double ranges, double rows,
				Cost per_row, Cost *startup, Cost *total)
{
	double part = rel->tuples > 0 ? Min(rows / rel->tuples, 1) : 1;
	Cost row = cpu_tuple_cost + ROW_OPERATORS * cpu_operator_cost;

	*startup = SEEK_ROWS * row;
	*total = SEEK_ROWS * row * ranges + seq_page_cost * rel->pages * part +
			 (row + per_row) * rows;
}

/* ---- the key as an index */

static bool
is_c_collation(Oid collation)
{
	return !OidIsValid(collation) || lc_collate_is_c(collation);
}

/* Of an index path, before it becomes a foreign one. */
static void
estimate_cost(PlannerInfo *root, IndexPath *path, double loop_count,
			  Cost *startup, Cost *total, Selectivity *selectivity,
			  double *correlation, double *pages)
{
	RelOptInfo *rel = path->path.parent;
	KvlsmRelInfo *info = rel->fdw_private;
	KvlsmChosen chosen;

	kvlsm_choose_conds(info->layout, path->indexinfo, path->indexclauses,
					   &chosen);
	*selectivity = clauselist_selectivity(root, chosen.quals, rel->relid,
										  JOIN_INNER, NULL);
	*startup = 0;
	*total = rel->tuples * *selectivity * cpu_index_tuple_cost;
	*correlation = 1;
	*pages = 1;
}

static void
describe_column(IndexOptInfo *index, Relation rel, const KvlsmLayout *layout,
				int i)
{
	AttrNumber attno = layout->keys[i].attno;
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attno - 1);
	Oid type = getBaseType(att->atttypid);
	Oid opclass = GetDefaultOpClass(type, BTREE_AM_OID);
	Var *var = makeVar(index->rel->relid, attno, att->atttypid, att->atttypmod,
					   att->attcollation, 0);

	index->indexkeys[i] = attno;
	index->indexcollations[i] = att->attcollation;
	index->opfamily[i] = get_opclass_family(opclass);
	index->opcintype[i] = get_opclass_input_type(opclass);
	index->reverse_sort[i] = layout->keys[i].descending;
	index->nulls_first[i] = layout->keys[i].descending;
	index->indextlist = lappend(index->indextlist,
								makeTargetEntry((Expr *) var, i + 1, NULL,
												false));
	if (!is_c_collation(att->attcollation))
	{
		/*
		 * Bytes are in another order than the column: only = is the same, and
		 * that only if what is equal has the same bytes.
		 */
		index->sortopfamily = NULL;
		index->opfamily[i] =
			get_collation_isdeterministic(att->attcollation)
				? get_opclass_family(GetDefaultOpClass(TEXTOID, HASH_AM_OID))
				: InvalidOid;
	}
}

static IndexOptInfo *
describe_key(RelOptInfo *rel, Relation relation, const KvlsmLayout *layout)
{
	IndexOptInfo *index = makeNode(IndexOptInfo);
	int n = layout->n_keys;
	int i;

	index->rel = rel;
	index->tree_height = -1;
	index->ncolumns = index->nkeycolumns = n;
	index->indexkeys = palloc0(n * sizeof(int));
	index->indexcollations = palloc0(n * sizeof(Oid));
	index->opfamily = palloc0(n * sizeof(Oid));
	index->opcintype = palloc0(n * sizeof(Oid));
	index->reverse_sort = palloc0(n * sizeof(bool));
	index->nulls_first = palloc0(n * sizeof(bool));
	index->canreturn = palloc0(n * sizeof(bool));
	index->sortopfamily = index->opfamily;
	index->relam = BTREE_AM_OID;
	index->predOK = true;
	index->unique = true;
	index->immediate = true;
	index->hypothetical = true;
	index->amoptionalkey = true;
	index->amsearcharray = true;
	index->amhasgettuple = true;
	index->amcostestimate = (void (*)()) estimate_cost;
	for (i = 0; i < n; i++)
		describe_column(index, relation, layout, i);
	return index;
}

static void
describe_relation(RelOptInfo *rel, Oid relid)
{
	Relation relation = table_open(relid, NoLock);
	KvlsmRelInfo *info = palloc0(sizeof(KvlsmRelInfo));

	info->layout = kvlsm_layout_of(relation);
	info->index = describe_key(rel, relation, info->layout);
	rel->fdw_private = info;
	rel->indexlist = list_make1(info->index);
	table_close(relation, NoLock);
}

/* Before the planner looks at joins: a unique key makes some superfluous. */
static void
relation_info(PlannerInfo *root, Oid relid, bool inhparent, RelOptInfo *rel)
{
	if (prev_relation_info)
		prev_relation_info(root, relid, inhparent, rel);
	if (rel->fdwroutine != NULL &&
		rel->fdwroutine->GetForeignRelSize == get_rel_size)
		describe_relation(rel, relid);
}

void
kvlsm_install_relation_hook(void)
{
	prev_relation_info = get_relation_info_hook;
	get_relation_info_hook = relation_info;
}

static void
get_rel_size(PlannerInfo *root, RelOptInfo *rel, Oid relid)
{
	KvlsmRelInfo *info;

	/* without the hook: kvlsm is not preloaded, and the scan will say so */
	if (rel->fdw_private == NULL)
		describe_relation(rel, relid);
	info = rel->fdw_private;
	kvlsm_estimate_size(rel, relid, info);
	info->index->tuples = rel->tuples;
	check_index_predicates(root, rel);
	set_baserel_size_estimates(root, rel);
}

/* ---- paths */

static double
number_of_ranges(PlannerInfo *root, const KvlsmChosen *chosen)
{
	double n = 1;
	ListCell *lc;

	foreach (lc, chosen->quals)
	{
		Node *qual = lfirst(lc);

		if (IsA(qual, ScalarArrayOpExpr))
			n *= kvlsm_array_length(root,
									lsecond(((ScalarArrayOpExpr *) qual)->args));
	}
	return n;
}

static Path *
foreign_path(PlannerInfo *root, RelOptInfo *rel, List *index_clauses,
			 const Path *like)
{
	KvlsmRelInfo *info = rel->fdw_private;
	KvlsmChosen chosen;
	Relids outer = PATH_REQ_OUTER(like);
	double rows;
	Cost startup, total;
	bool reverse = IsA(like, IndexPath) &&
				   ((IndexPath *) like)->indexscandir == BackwardScanDirection;

	kvlsm_choose_conds(info->layout, info->index, index_clauses, &chosen);
	rows = rel->tuples * clauselist_selectivity(root, chosen.quals, rel->relid,
												JOIN_INNER, NULL);
	kvlsm_scan_cost(rel, number_of_ranges(root, &chosen), clamp_row_est(rows),
					rel->baserestrictcost.per_tuple, &startup, &total);
	/* which is a little slower, so that it is not taken without need */
	if (reverse)
		total *= BACKWARD_COST;
	startup += rel->baserestrictcost.startup;
	total += rel->baserestrictcost.startup;
	return (Path *) kvlsm_foreignscan_path(root, rel, like->rows, startup,
										   total, like->pathkeys, outer,
										   list_make2(index_clauses,
													  makeInteger(reverse)));
}

/*
 * The rows that constant conditions leave, by the engine's files instead of
 * statistics: they know what was written since ANALYZE.
 */
static void
refine_rows(PlannerInfo *root, RelOptInfo *rel, Oid relid, List *clauses)
{
	KvlsmRelInfo *info = rel->fdw_private;
	KvlsmChosen chosen;
	List *others = NIL;
	double rows;
	double by_statistics;
	ListCell *lc;

	kvlsm_choose_conds(info->layout, info->index, clauses, &chosen);
	if (chosen.quals == NIL || chosen.points ||
		!kvlsm_estimate_rows(root, info, relid, &chosen, &rows))
		return;
	foreach (lc, rel->baserestrictinfo)
		if (!is_redundant_with_indexclauses(lfirst(lc), chosen.exact))
			others = lappend(others, lfirst(lc));
	/* the files know blocks: of few rows, statistics may know more */
	by_statistics = rel->tuples * clauselist_selectivity(root, chosen.quals,
														 rel->relid,
														 JOIN_INNER, NULL);
	rows = Max(rows, Min(by_statistics, BLOCK_ROWS));
	rows *= clauselist_selectivity(root, others, rel->relid, JOIN_INNER, NULL);
	rel->rows = clamp_row_est(rows);
}

static void
get_paths(PlannerInfo *root, RelOptInfo *rel, Oid relid)
{
	KvlsmRelInfo *info = rel->fdw_private;
	List *found;
	Path all = {.type = T_Path};
	ListCell *lc;

	/* LATERAL references of a plain scan */
	all.rows = rel->rows;
	all.param_info = get_baserel_parampathinfo(root, rel, rel->lateral_relids);
	if (all.param_info != NULL)
		all.rows = all.param_info->ppi_rows;
	if (info->index->sortopfamily != NULL)
		all.pathkeys =
			truncate_useless_pathkeys(root, rel,
									  build_index_pathkeys(root, info->index,
														   ForwardScanDirection));
	create_index_paths(root, rel);
	found = rel->pathlist;
	rel->pathlist = NIL;
	foreach (lc, found)
	{
		IndexPath *path = lfirst(lc);

		if (IsA(path, IndexPath) && path->path.param_info == NULL &&
			path->indexclauses != NIL)
		{
			refine_rows(root, rel, relid, path->indexclauses);
			break;
		}
	}
	add_path(rel, foreign_path(root, rel, NIL, &all));
	foreach (lc, found)
	{
		IndexPath *path = lfirst(lc);

		if (!IsA(path, IndexPath))
			continue;
		if (path->path.param_info == NULL)
			path->path.rows = rel->rows;
		add_path(rel, foreign_path(root, rel, path->indexclauses, &path->path));
		if (path->indexscandir != BackwardScanDirection)
			continue;
		/* who does not need this order should not have to go backward */
		path->indexscandir = ForwardScanDirection;
		path->path.pathkeys = NIL;
		add_path(rel, foreign_path(root, rel, path->indexclauses, &path->path));
	}
}

/* ---- the plan */

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
static KvlsmRowLock
row_lock(PlannerInfo *root, RelOptInfo *rel, LockWaitPolicy *policy)
{
	PlanRowMark *mark;

	*policy = LockWaitBlock;
	if (bms_is_member(rel->relid, root->all_result_relids))
		return KVLSM_LOCK_UPDATE;
	mark = get_plan_rowmark(root->rowMarks, rel->relid);
	if (mark == NULL || mark->strength == LCS_NONE)
		return KVLSM_LOCK_NONE;
	*policy = mark->waitPolicy;
	return mark->strength <= LCS_FORSHARE ? KVLSM_LOCK_SHARE
										  : KVLSM_LOCK_UPDATE;
}

/* Key columns are never NULL. */
static bool
says_key_is_not_null(const KvlsmLayout *layout, RestrictInfo *rinfo)
{
	NullTest *test = (NullTest *) rinfo->clause;

	return IsA(test, NullTest) && test->nulltesttype == IS_NOT_NULL &&
		   !test->argisrow && IsA(test->arg, Var) &&
		   kvlsm_key_position(layout, ((Var *) test->arg)->varattno) >= 0;
}

static ForeignScan *
get_plan(PlannerInfo *root, RelOptInfo *rel, Oid relid, ForeignPath *path,
		 List *tlist, List *clauses, Plan *outer_plan)
{
	KvlsmRelInfo *info;
	KvlsmChosen chosen;
	List *rest = NIL;
	List *quals;
	List *flags;
	LockWaitPolicy policy;
	KvlsmRowLock lock;
	ListCell *lc;

	if (IS_UPPER_REL(rel))
		return kvlsm_count_plan(root, path, tlist);
	info = rel->fdw_private;
	lock = row_lock(root, rel, &policy);
	kvlsm_choose_conds(info->layout, info->index, linitial(path->fdw_private),
					   &chosen);
	foreach (lc, clauses)
	{
		RestrictInfo *rinfo = lfirst_node(RestrictInfo, lc);

		if (!is_redundant_with_indexclauses(rinfo, chosen.exact) &&
			!says_key_is_not_null(info->layout, rinfo))
			rest = lappend(rest, rinfo);
	}
	quals = extract_actual_clauses(rest, false);
	flags = list_make4_int(lock, policy, intVal(lsecond(path->fdw_private)),
						   false);
	return make_foreignscan(tlist, quals, rel->relid, NIL,
							list_make3(needed_columns(rel, quals), flags,
									   chosen.conds),
							NIL, chosen.quals, outer_plan);
}

void
kvlsm_plan_callbacks(FdwRoutine *routine)
{
	routine->GetForeignRelSize = get_rel_size;
	routine->GetForeignPaths = get_paths;
	routine->GetForeignPlan = get_plan;
	routine->GetForeignUpperPaths = kvlsm_upper_paths;
	routine->AnalyzeForeignTable = kvlsm_analyze;
}
