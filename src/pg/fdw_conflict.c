/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_conflict.c - ON CONFLICT (key) for foreign tables.
 *
 * PostgreSQL infers a unique index from the columns that ON CONFLICT names,
 * and a foreign table has none, so it refuses (42P10).  All the rest of the
 * statement it plans and prepares as for a table.  So the planner is given a
 * statement that names no columns where these are the key of a store, which
 * it takes for DO NOTHING only; in the finished plan the action is put back.
 * fdw_insert.c carries it out.
 *
 * Runs before and after the planner, in backends.
 */
#include "fdw.h"

#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/pg_am.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "commands/defrem.h"
#include "nodes/parsenodes.h"
#include "nodes/plannodes.h"
#include "optimizer/planner.h"
#include "parser/parsetree.h"
#include "store_map.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"

/* What was changed in a statement for the time of its planning. */
typedef struct Changed
{
	OnConflictExpr *on_conflict;
	OnConflictAction action;
	List *arbiter;
} Changed;

static planner_hook_type prev_planner;

/* A collation and an operator class may be named if they are the usual ones. */
static bool
is_plain(const InferenceElem *elem, const Var *var)
{
	return (!OidIsValid(elem->infercollid) ||
			elem->infercollid == var->varcollid) &&
		   (!OidIsValid(elem->inferopclass) ||
			elem->inferopclass == GetDefaultOpClass(var->vartype, BTREE_AM_OID));
}

/* The columns that ON CONFLICT names, if it names nothing but columns. */
static bool
named_columns(const OnConflictExpr *on_conflict, Bitmapset **columns)
{
	ListCell *lc;

	*columns = NULL;
	if (on_conflict->arbiterWhere != NULL)
		return false;
	foreach (lc, on_conflict->arbiterElems)
	{
		InferenceElem *elem = lfirst_node(InferenceElem, lc);
		Var *var = (Var *) elem->expr;

		if (!IsA(var, Var) || var->varattno <= 0 || !is_plain(elem, var))
			return false;
		*columns = bms_add_member(*columns, var->varattno);
	}
	return true;
}

/*
 * Are the columns, numbered as in parent, the key of the store?  (Partitions
 * have their parent's columns by name.)
 */
static bool
is_key_of(Oid relid, Oid parent, const Bitmapset *columns)
{
	Relation rel = table_open(relid, NoLock);
	KvlsmLayout *layout = kvlsm_layout_of(rel);
	bool same = layout->n_keys == bms_num_members(columns);
	int column = -1;

	while (same && (column = bms_next_member(columns, column)) >= 0)
	{
		AttrNumber attno = (AttrNumber) column;

		if (relid != parent)
			attno = get_attnum(relid, get_attname(parent, attno, false));
		same = kvlsm_key_position(layout, attno) >= 0;
	}
	table_close(rel, NoLock);
	return same;
}

/* The columns are the key of the table, or of all its partitions. */
static bool
is_key(const RangeTblEntry *rte, const Bitmapset *columns)
{
	List *children;
	ListCell *lc;
	bool any = false;

	if (rte->relkind == RELKIND_FOREIGN_TABLE)
		return kvlsm_is_store(rte->relid) &&
			   is_key_of(rte->relid, rte->relid, columns);
	if (rte->relkind != RELKIND_PARTITIONED_TABLE)
		return false;
	children = find_all_inheritors(rte->relid, AccessShareLock, NULL);
	foreach (lc, children)
	{
		Oid relid = lfirst_oid(lc);

		if (get_rel_relkind(relid) == RELKIND_PARTITIONED_TABLE)
			continue;
		if (!kvlsm_is_store(relid) || !is_key_of(relid, rte->relid, columns))
			return false;
		any = true;
	}
	return any;
}

static void
change(Query *query, List **changed)
{
	OnConflictExpr *on_conflict = query->onConflict;
	RangeTblEntry *rte;
	Bitmapset *columns;
	Changed *c;

	if (query->commandType != CMD_INSERT || on_conflict == NULL ||
		on_conflict->arbiterElems == NIL ||
		!named_columns(on_conflict, &columns))
		return;
	rte = rt_fetch(query->resultRelation, query->rtable);
	if (!is_key(rte, columns))
		return;
	c = palloc(sizeof(Changed));
	*c = (Changed){on_conflict, on_conflict->action, on_conflict->arbiterElems};
	*changed = lappend(*changed, c);
	on_conflict->action = ONCONFLICT_NOTHING;
	on_conflict->arbiterElems = NIL;
}

/* Statements that write stand at the top, or in WITH at the top. */
static List *
change_all(Query *parse)
{
	List *changed = NIL;
	ListCell *lc;

	change(parse, &changed);
	foreach (lc, parse->cteList)
	{
		Query *query = (Query *) lfirst_node(CommonTableExpr, lc)->ctequery;

		if (IsA(query, Query))
			change(query, &changed);
	}
	return changed;
}

static void
put_back(List *changed)
{
	ListCell *lc;

	foreach (lc, changed)
	{
		Changed *c = lfirst(lc);

		c->on_conflict->action = c->action;
		c->on_conflict->arbiterElems = c->arbiter;
	}
}

/* DO NOTHING never has anything to set. */
static void
restore_action(Plan *plan)
{
	ModifyTable *modify = (ModifyTable *) plan;

	if (plan != NULL && IsA(modify, ModifyTable) &&
		modify->onConflictAction == ONCONFLICT_NOTHING &&
		modify->onConflictSet != NIL)
		modify->onConflictAction = ONCONFLICT_UPDATE;
}

static PlannedStmt *
call_planner(Query *parse, const char *query_string, int options,
			 ParamListInfo params)
{
	return prev_planner
			   ? prev_planner(parse, query_string, options, params)
			   : standard_planner(parse, query_string, options, params);
}

static PlannedStmt *
plan_with_conflicts(Query *parse, const char *query_string, int options,
					ParamListInfo params)
{
	PlannedStmt *stmt;
	List *changed;
	ListCell *lc;

	if (!kvlsm_on_conflict ||
		(parse->onConflict == NULL && !parse->hasModifyingCTE))
		return call_planner(parse, query_string, options, params);
	changed = change_all(parse);
	PG_TRY();
	{
		stmt = call_planner(parse, query_string, options, params);
	}
	PG_FINALLY();
	{
		put_back(changed);
	}
	PG_END_TRY();
	if (changed == NIL)
		return stmt;
	restore_action(stmt->planTree);
	foreach (lc, stmt->subplans)
		restore_action(lfirst(lc));
	return stmt;
}

void
kvlsm_install_planner_hook(void)
{
	prev_planner = planner_hook;
	planner_hook = plan_with_conflicts;
}
