/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_cond.c - which clauses of a query bound the keys to be read.
 *
 * The planner's own matching of clauses to an index has been here before
 * (fdw_plan.c describes the key to it as one), so a clause arrives with its
 * key column on the left, LIKE as a pair of comparisons, and with a mark if
 * it must be checked again.  What is left is what the store's order can do:
 * equalities on the first columns, and an interval on the next one.
 *
 * Called by the planner, in backends.
 */
#include "fdw_cond.h"

#include "access/stratnum.h"
#include "catalog/pg_am.h"
#include "catalog/pg_operator.h"
#include "catalog/pg_type.h"
#include "nodes/makefuncs.h"
#include "nodes/nodeFuncs.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/pg_locale.h"

typedef struct Candidate
{
	IndexClause *clause;
	Expr *qual;
	StrategyNumber strategy; /* of btree, as written */
	int column;				 /* the first one */
	List *cond;
	bool is_array;
	bool is_partial; /* less than the qual says */
	bool used;
} Candidate;

static bool
is_int(Oid type)
{
	return type == INT2OID || type == INT4OID || type == INT8OID;
}

/* Can a value of that type be made one of the column's? */
static bool
comparable(const IndexOptInfo *index, int column, Oid type)
{
	Oid own = index->opcintype[column];

	return type == own || (is_int(own) && is_int(type)) ||
		   (own == FLOAT8OID && type == FLOAT4OID);
}

static StrategyNumber
btree_strategy(Oid opno, const IndexOptInfo *index, int column, Oid *right)
{
	Oid family = index->opfamily[column];
	Oid left;
	int strategy;

	if (!op_in_opfamily(opno, family))
		return InvalidStrategy;
	get_op_opfamily_properties(opno, family, false, &strategy, &left, right);
	/* a key that is not in its collation's order has the hash family */
	if (index->sortopfamily == NULL)
		return strategy == HTEqualStrategyNumber ? BTEqualStrategyNumber
												 : InvalidStrategy;
	return (StrategyNumber) strategy;
}

static bool
match_simple(const IndexOptInfo *index, Candidate *c)
{
	Oid opno = IsA(c->qual, OpExpr) ? ((OpExpr *) c->qual)->opno
									: ((ScalarArrayOpExpr *) c->qual)->opno;
	Oid right;

	c->column = c->clause->indexcol;
	c->is_array = IsA(c->qual, ScalarArrayOpExpr);
	c->strategy = btree_strategy(opno, index, c->column, &right);
	c->cond = list_make3_int(c->strategy, c->column, (int) right);
	return c->strategy != InvalidStrategy &&
		   comparable(index, c->column, right) &&
		   (!c->is_array || c->strategy == BTEqualStrategyNumber);
}

/*
 * (a, b, ...) < (1, 2, ...) as far as it goes on consecutive columns of one
 * direction; the rest makes it weaker, so that it must be checked again.
 */
static bool
match_row(const KvlsmLayout *layout, const IndexOptInfo *index, Candidate *c)
{
	RowCompareExpr *row = (RowCompareExpr *) c->qual;
	int n = 0;
	ListCell *lc_op;

	c->column = linitial_int(c->clause->indexcols);
	c->cond = list_make2_int(row->rctype, c->column);
	foreach (lc_op, row->opnos)
	{
		int column = c->column + n;
		Oid right;

		if (n >= list_length(c->clause->indexcols) ||
			list_nth_int(c->clause->indexcols, n) != column ||
			layout->keys[column].descending !=
				layout->keys[c->column].descending ||
			btree_strategy(lfirst_oid(lc_op), index, column, &right) ==
				InvalidStrategy ||
			right != index->opcintype[column])
			break;
		c->cond = lappend_int(c->cond, (int) right);
		n++;
	}
	c->strategy = (StrategyNumber) row->rctype;
	c->is_partial = n < list_length(row->opnos);
	if (c->is_partial && c->strategy == BTLessStrategyNumber)
		linitial_int(c->cond) = BTLessEqualStrategyNumber;
	if (c->is_partial && c->strategy == BTGreaterStrategyNumber)
		linitial_int(c->cond) = BTGreaterEqualStrategyNumber;
	return n > 0;
}

static List *
find_candidates(const KvlsmLayout *layout, const IndexOptInfo *index,
				List *index_clauses)
{
	List *candidates = NIL;
	ListCell *lc;

	foreach (lc, index_clauses)
	{
		IndexClause *clause = lfirst_node(IndexClause, lc);
		ListCell *lc2;

		foreach (lc2, clause->indexquals)
		{
			Candidate *c = palloc0(sizeof(Candidate));
			bool good = false;

			c->clause = clause;
			c->qual = lfirst_node(RestrictInfo, lc2)->clause;
			if (IsA(c->qual, OpExpr) || IsA(c->qual, ScalarArrayOpExpr))
				good = match_simple(index, c);
			else if (IsA(c->qual, RowCompareExpr))
				good = match_row(layout, index, c);
			if (good)
				candidates = lappend(candidates, c);
		}
	}
	return candidates;
}

static void
use(Candidate *c, KvlsmChosen *chosen)
{
	c->used = true;
	chosen->quals = lappend(chosen->quals, c->qual);
	chosen->conds = lappend(chosen->conds, c->cond);
}

/* An equality on the column, one value rather than many. */
static bool
use_equality(List *candidates, int column, KvlsmChosen *chosen)
{
	Candidate *best = NULL;
	ListCell *lc;

	foreach (lc, candidates)
	{
		Candidate *c = lfirst(lc);

		if (c->column == column && c->strategy == BTEqualStrategyNumber &&
			(best == NULL || (best->is_array && !c->is_array)))
			best = c;
	}
	if (best != NULL)
		use(best, chosen);
	return best != NULL;
}

static void
use_ranges(List *candidates, int column, KvlsmChosen *chosen)
{
	ListCell *lc;

	foreach (lc, candidates)
	{
		Candidate *c = lfirst(lc);

		if (c->column == column && c->strategy != BTEqualStrategyNumber)
			use(c, chosen);
	}
}

/* A pattern that asks for what it begins with, and for nothing else. */
static bool
is_pure_prefix(Const *pattern)
{
	char *like;
	size_t len;

	if (!IsA(pattern, Const) || pattern->constisnull ||
		pattern->consttype != TEXTOID)
		return false;
	like = TextDatumGetCString(pattern->constvalue);
	len = strlen(like);
	return len > 1 && strcspn(like, "%_\\") == len - 1 && like[len - 1] == '%';
}

/*
 * LIKE 'p%' and ^@ 'p' are turned into an interval and said to be lossy; in
 * the order of bytes, just the strings that begin with p lie in it.
 */
static bool
says_prefix(const IndexOptInfo *index, const IndexClause *clause)
{
	Expr *expr = clause->rinfo->clause;
	Oid collation = index->indexcollations[clause->indexcol];

	if (index->sortopfamily == NULL || !lc_collate_is_c(collation) ||
		list_length(clause->indexquals) != 2)
		return false;
	if (IsA(expr, FuncExpr))
		return ((FuncExpr *) expr)->funcid == F_STARTS_WITH;
	if (!IsA(expr, OpExpr))
		return false;
	if (((OpExpr *) expr)->opno == OID_TEXT_LIKE_OP)
		return is_pure_prefix(lsecond(((OpExpr *) expr)->args));
	return ((OpExpr *) expr)->opfuncid == F_STARTS_WITH;
}

static bool
is_exact(const IndexOptInfo *index, List *candidates, IndexClause *clause)
{
	int n = 0;
	ListCell *lc;

	if (clause->lossy && !says_prefix(index, clause))
		return false;
	foreach (lc, candidates)
	{
		Candidate *c = lfirst(lc);

		if (c->clause == clause && c->used && !c->is_partial)
			n++;
	}
	return n == list_length(clause->indexquals);
}

void
kvlsm_choose_conds(const KvlsmLayout *layout, const IndexOptInfo *index,
				   List *index_clauses, KvlsmChosen *chosen)
{
	List *candidates = find_candidates(layout, index, index_clauses);
	int column = 0;
	ListCell *lc;

	memset(chosen, 0, sizeof(*chosen));
	while (column < layout->n_keys && use_equality(candidates, column, chosen))
		column++;
	chosen->points = column == layout->n_keys;
	if (!chosen->points)
		use_ranges(candidates, column, chosen);
	foreach (lc, index_clauses)
	{
		IndexClause *clause = lfirst_node(IndexClause, lc);

		if (is_exact(index, candidates, clause))
		{
			IndexClause *exact = makeNode(IndexClause);

			*exact = *clause;
			exact->lossy = false;
			chosen->exact = lappend(chosen->exact, exact);
		}
	}
}
