/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_missing.c - what rows have in a column that was added after they were
 * written.
 *
 * As in a heap table the default is evaluated once, when the column is
 * added; its text form becomes the option "missing" of the column, so that
 * dumps have it too.  A default that must be evaluated for each row would
 * need a rewrite and is refused, as long as there are rows.
 *
 * The core does not look at the rows of a foreign table when a column becomes
 * NOT NULL, but its planner believes it: they are looked at here.
 *
 * Backends only.
 */
#include "fdw_ddl.h"

#include "executor/executor.h"
#include "miscadmin.h"
#include "optimizer/optimizer.h"
#include "rewrite/rewriteHandler.h"
#include "scan.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

static void
error_contains_null(Relation rel, Form_pg_attribute att)
{
	ereport(ERROR,
			(errcode(ERRCODE_NOT_NULL_VIOLATION),
			 errmsg("column \"%s\" of relation \"%s\" contains null values",
					NameStr(att->attname), RelationGetRelationName(rel)),
			 errtablecol(rel, att->attnum)));
}

static void
error_needs_rewrite(Relation rel, Form_pg_attribute att)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg("column \"%s\" of \"%s\" would have another value in each "
					"row",
					NameStr(att->attname), RelationGetRelationName(rel)),
			 errdetail("The table has rows, which kvlsm does not rewrite."),
			 errhint("Add the column without a default, set it by UPDATE, and "
					 "then ALTER COLUMN ... SET DEFAULT.")));
}

/*
 * Text forms that can be read again whatever the settings are then, as
 * pg_dump makes them.
 */
static int
set_dump_settings(void)
{
	int level = NewGUCNestLevel();

	(void) set_config_option("datestyle", "ISO", PGC_USERSET, PGC_S_SESSION,
							 GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("intervalstyle", "postgres", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("extra_float_digits", "3", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	(void) set_config_option("search_path", "pg_catalog", PGC_USERSET,
							 PGC_S_SESSION, GUC_ACTION_SAVE, true, 0, false);
	return level;
}

static char *
text_of(Form_pg_attribute att, Datum value)
{
	int level = set_dump_settings();
	Oid output;
	bool varlena;
	char *text;

	getTypeOutputInfo(att->atttypid, &output, &varlena);
	text = OidOutputFunctionCall(output, value);
	AtEOXact_GUC(true, level);
	return text;
}

/* The value of the default now, as text; NULL: it is NULL. */
static char *
evaluate(Form_pg_attribute att, Node *expr)
{
	EState *estate = CreateExecutorState();
	MemoryContext caller = CurrentMemoryContext;
	ExprState *state;
	char *text = NULL;
	bool isnull;
	Datum value;

	MemoryContextSwitchTo(estate->es_query_cxt);
	state = ExecPrepareExpr(expression_planner((Expr *) expr), estate);
	value = ExecEvalExpr(state, GetPerTupleExprContext(estate), &isnull);
	MemoryContextSwitchTo(caller);
	if (!isnull)
		text = text_of(att, value);
	FreeExecutorState(estate);
	return text;
}

/* A domain may forbid NULL without the column saying so. */
static void
check_domain_takes_null(Form_pg_attribute att)
{
	Oid input;
	Oid param;

	if (get_typtype(att->atttypid) != TYPTYPE_DOMAIN)
		return;
	getTypeInputInfo(att->atttypid, &input, &param);
	(void) OidInputFunctionCall(input, NULL, param, att->atttypmod);
}

static void
check_new_column(Relation rel, Form_pg_attribute att)
{
	Node *expr;
	char *text;

	if (att->attgenerated == KVLSM_GENERATED_VIRTUAL)
		return;
	if (att->attgenerated != '\0')
		error_needs_rewrite(rel, att);
	expr = build_column_default(rel, att->attnum);
	if (expr != NULL && contain_volatile_functions(expr))
		error_needs_rewrite(rel, att);
	text = expr == NULL ? NULL : evaluate(att, expr);
	if (text != NULL)
		kvlsm_set_option(RelationGetRelid(rel), NameStr(att->attname),
						 KVLSM_MISSING_OPTION, text, false);
	else if (att->attnotnull)
		error_contains_null(rel, att);
	else
		check_domain_takes_null(att);
}

/* Every row is read; only the column is decoded. */
static void
check_no_nulls(Relation rel, Form_pg_attribute att, const KvlsmLayout *layout)
{
	TupleDesc desc = RelationGetDescr(rel);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(desc, &TTSOpsVirtual);
	bool *wanted = palloc0(desc->natts * sizeof(bool));
	MemoryContext row_context = AllocSetContextCreate(CurrentMemoryContext,
													  "kvlsm row",
													  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old;
	Snapshot snapshot = RegisterSnapshot(GetLatestSnapshot());
	char bounds[2][KV_STORE_PREFIX];
	KvlsmStore store;
	KvSlice lower;
	KvSlice upper;
	KvlsmScan *scan;
	KvEntry entry;

	wanted[att->attnum - 1] = true;
	kvlsm_store_of_relation(RelationGetRelid(rel), false, &store);
	kvlsm_store_bounds(store.id, bounds[0], bounds[1], &lower, &upper);
	scan = kvlsm_scan_open(lower, upper, false, snapshot);
	while (kvlsm_scan_next(scan, &entry))
	{
		CHECK_FOR_INTERRUPTS();
		MemoryContextReset(row_context);
		old = MemoryContextSwitchTo(row_context);
		kvlsm_row_fill_in_place(layout, wanted, entry.key, entry.value, slot);
		MemoryContextSwitchTo(old);
		if (slot->tts_isnull[att->attnum - 1])
			error_contains_null(rel, att);
	}
	kvlsm_scan_close(scan);
	UnregisterSnapshot(snapshot);
	ExecDropSingleTupleTableSlot(slot);
	MemoryContextDelete(row_context);
}

/* Does the column need a look, now that the table is as it is? */
static bool
is_new_or_newly_not_null(TupleDesc before, Form_pg_attribute att)
{
	if (att->attisdropped)
		return false;
	return att->attnum > before->natts ||
		   (att->attnotnull &&
			!TupleDescAttr(before, att->attnum - 1)->attnotnull);
}

void
kvlsm_check_added(Relation rel, TupleDesc before, const KvlsmLayout *layout)
{
	/* options that are set here make the relation's own descriptor anew */
	TupleDesc desc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
	bool has_rows = false;
	int i;

	for (i = 0; i < desc->natts; i++)
	{
		Form_pg_attribute att = TupleDescAttr(desc, i);

		if (!is_new_or_newly_not_null(before, att))
			continue;
		if (!has_rows && !kvlsm_store_has_rows(RelationGetRelid(rel)))
			return;
		has_rows = true;
		if (att->attnum > before->natts)
			check_new_column(rel, att);
		else if (kvlsm_key_position(layout, att->attnum) < 0)
			check_no_nulls(rel, att, layout);
	}
}
