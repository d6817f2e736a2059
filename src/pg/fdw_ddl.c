/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_ddl.c - kvlsm tables are checked when they are created and altered, not
 * when they are first used.
 *
 * The object access hook notes what a table was like before a statement
 * touches it, whichever way the statement comes to it: by name, through a
 * partitioned parent, or because a type is dropped.  When the statement is
 * done, and before the next one, the table is looked at again: its columns
 * must go with its options, and what the rows in its store depend on must be
 * as it was.  A store without rows is begun anew instead.
 *
 * Rows are never rewritten.  What old rows have in a column that is added
 * with a default is kept as an option of the column (fdw_missing.c).
 *
 * Backends only; nothing happens in a server that does not preload kvlsm.
 */
#include "fdw_ddl.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/namespace.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_foreign_table.h"
#include "catalog/pg_type.h"
#include "commands/tablecmds.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "parser/parse_coerce.h"
#include "scan.h"
#include "store_map.h"
#include "tcop/utility.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/snapmgr.h"

/* What a table was like before the statement. */
typedef struct Touched
{
	Oid relid;
	KvlsmLayout *layout; /* NULL: its columns did not fit */
	TupleDesc desc;
} Touched;

/* One for each utility statement that is being executed, inner ones too. */
typedef struct Statement
{
	struct Statement *outer;
	MemoryContext context;
	List *touched; /* Touched */
	bool checking; /* what is altered now is altered by this file */
} Statement;

static Statement *statement = NULL;
static bool copy_has_where = false;
static object_access_hook_type prev_access_hook = NULL;
static ProcessUtility_hook_type prev_utility_hook = NULL;

static void
touch(Oid relid)
{
	MemoryContext old;
	Touched *touched;
	Relation rel;
	ListCell *lc;

	foreach (lc, statement->touched)
		if (((Touched *) lfirst(lc))->relid == relid)
			return;
	if (!kvlsm_is_store(relid))
		return;
	/* the catalogue's changes cannot be seen yet */
	rel = relation_open(relid, AccessShareLock);
	old = MemoryContextSwitchTo(statement->context);
	touched = palloc(sizeof(Touched));
	touched->relid = relid;
	touched->layout = kvlsm_layout_if_good(rel);
	touched->desc = CreateTupleDescCopyConstr(RelationGetDescr(rel));
	statement->touched = lappend(statement->touched, touched);
	MemoryContextSwitchTo(old);
	relation_close(rel, NoLock);
}

static void
access_hook(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id,
			void *arg)
{
	if (prev_access_hook)
		prev_access_hook(access, class_id, object_id, sub_id, arg);
	if (statement == NULL || statement->checking)
		return;
	if (access == OAT_POST_ALTER &&
		(class_id == RelationRelationId || class_id == ForeignTableRelationId))
		touch(object_id);
	else if ((access == OAT_POST_CREATE || access == OAT_DROP) &&
			 class_id == RelationRelationId && sub_id > 0)
		touch(object_id);
}

bool
kvlsm_store_has_rows(Oid relid)
{
	char bounds[2][KV_STORE_PREFIX];
	KvlsmStore store;
	KvSlice lower;
	KvSlice upper;
	Snapshot snapshot;
	KvlsmScan *scan;
	KvEntry entry;
	bool found;

	kvlsm_store_of_relation(relid, false, &store);
	if (store.id == 0)
		return false;
	kvlsm_store_bounds(store.id, bounds[0], bounds[1], &lower, &upper);
	snapshot = RegisterSnapshot(GetLatestSnapshot());
	scan = kvlsm_scan_open(lower, upper, false, snapshot);
	found = kvlsm_scan_next(scan, &entry);
	kvlsm_scan_close(scan);
	UnregisterSnapshot(snapshot);
	return found;
}

/* Option of the table (column NULL) or of one of its columns. */
void
kvlsm_set_option(Oid relid, const char *column, const char *name,
				 const char *value, bool is_there)
{
	AlterTableCmd *cmd = makeNode(AlterTableCmd);

	cmd->subtype = column == NULL ? AT_GenericOptions
								  : AT_AlterColumnGenericOptions;
	cmd->name = column == NULL ? NULL : pstrdup(column);
	cmd->def = (Node *)
		list_make1(makeDefElemExtended(NULL, pstrdup(name),
									   (Node *) makeString(pstrdup(value)),
									   is_there ? DEFELEM_SET : DEFELEM_ADD,
									   -1));
	AlterTableInternal(relid, list_make1(cmd), false);
	CommandCounterIncrement();
}

static void
refuse(Relation rel, const char *what, const char *name)
{
	ereport(ERROR,
			(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			 errmsg_internal(what, RelationGetRelationName(rel), name),
			 errdetail("The table has rows, which kvlsm does not rewrite."),
			 errhint("Create another table and INSERT INTO it ... SELECT, or "
					 "TRUNCATE this one first.")));
}

static bool
same_keys(const KvlsmLayout *a, const KvlsmLayout *b)
{
	int i;

	if (a->n_keys != b->n_keys)
		return false;
	for (i = 0; i < a->n_keys; i++)
		if (a->keys[i].attno != b->keys[i].attno ||
			a->keys[i].descending != b->keys[i].descending)
			return false;
	return true;
}

/* Can the bytes of values of the one type be read as those of the other? */
static bool
same_image(Form_pg_attribute before, Form_pg_attribute after)
{
	int32 old_mod = before->atttypmod;
	int32 new_mod = after->atttypmod;

	if (!IsBinaryCoercible(before->atttypid, after->atttypid))
		return false;
	if (new_mod == -1 ||
		(new_mod == old_mod && before->atttypid == after->atttypid))
		return true;
	return after->atttypid == VARCHAROID && old_mod != -1 &&
		   new_mod > old_mod && before->atttypid == VARCHAROID;
}

/* A column whose type changed in a way that old rows would be misread. */
static const char *
changed_column(const Touched *before, const KvlsmLayout *after, TupleDesc desc)
{
	int i;

	for (i = 0; i < before->desc->natts; i++)
	{
		Form_pg_attribute old_att = TupleDescAttr(before->desc, i);
		Form_pg_attribute new_att = TupleDescAttr(desc, i);

		/* in plain rows each value says what it is */
		if (!new_att->attisdropped && after->typed &&
			!same_image(old_att, new_att))
			return NameStr(new_att->attname);
	}
	return NULL;
}

/* The store is dropped; the next write allocates another. */
static void
begin_anew(Oid relid)
{
	KvlsmStore store;

	kvlsm_store_of_relation(relid, false, &store);
	if (store.id == 0)
		return;
	kvlsm_map_drop(kvlsm_db(true), MyDatabaseId, relid);
	CacheInvalidateRelcacheByRelid(relid);
	kvlsm_forget_store(relid);
}

static void
check_rows(Relation rel, const Touched *before, const KvlsmLayout *after)
{
	const KvlsmLayout *old = before->layout;
	bool same_layout = old->typed == after->typed;
	bool key_is_same = same_keys(old, after) &&
					   old->value_attno == after->value_attno;
	const char *column = changed_column(before, after, RelationGetDescr(rel));

	if (same_layout && key_is_same && column == NULL)
		return;
	if (!kvlsm_store_has_rows(RelationGetRelid(rel)))
		begin_anew(RelationGetRelid(rel));
	else if (!same_layout)
		refuse(rel, "the layout of \"%s\" cannot change to \"%s\"",
			   after->typed ? "typed" : "plain");
	else if (!key_is_same)
		refuse(rel,
			   after->typed ? "the key of \"%s\" cannot change"
							: "the key and the value of \"%s\" cannot change",
			   NULL);
	else
		refuse(rel, "the type of column \"%2$s\" of \"%1$s\" cannot change in this way",
			   column);
}

/* Names of the key that were renamed; the option follows. */
static void
rename_key(Relation rel, const Touched *before)
{
	KvlsmOptions options;
	bool renamed = false;
	List *names;
	ListCell *lc;
	int i;

	kvlsm_options_of(RelationGetRelid(rel), &options);
	if (options.key == NULL)
		return;
	names = kvlsm_parse_key(options.key);
	foreach (lc, names)
	{
		KvlsmKeyName *name = lfirst(lc);

		for (i = 0; i < before->desc->natts; i++)
		{
			Form_pg_attribute old_att = TupleDescAttr(before->desc, i);
			Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), i);

			if (old_att->attisdropped || att->attisdropped ||
				strcmp(name->name, NameStr(old_att->attname)) != 0)
				continue;
			if (strcmp(name->name, NameStr(att->attname)) == 0)
				break;
			name->name = pstrdup(NameStr(att->attname));
			renamed = true;
			break;
		}
	}
	if (renamed)
		kvlsm_set_option(RelationGetRelid(rel), NULL, "key",
						 kvlsm_format_key(names), true);
}

static bool
is_renamed(Relation rel, const Touched *before)
{
	TupleDesc desc = RelationGetDescr(rel);
	int i;

	for (i = 0; i < before->desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped &&
			strcmp(NameStr(TupleDescAttr(desc, i)->attname),
				   NameStr(TupleDescAttr(before->desc, i)->attname)) != 0)
			return true;
	return false;
}

/*
 * A table that was created typed stays so, even if columns are dropped until
 * it would fit plain: what it is must not depend on what it has been.
 */
static KvlsmLayout *
pin_typed(Relation rel, KvlsmLayout *layout)
{
	kvlsm_set_option(RelationGetRelid(rel), NULL, "layout", "typed", false);
	pfree(layout);
	return kvlsm_layout_of(rel);
}

static void
check_altered(const Touched *before)
{
	KvlsmLayout *after;
	Relation rel;

	if (get_rel_relkind(before->relid) != RELKIND_FOREIGN_TABLE)
		return; /* gone as a whole */
	rel = relation_open(before->relid, NoLock);
	if (is_renamed(rel, before))
		rename_key(rel, before);
	if (before->layout == NULL)
	{
		/* it may take more than one statement to make it good */
		relation_close(rel, NoLock);
		return;
	}
	after = kvlsm_layout_of(rel);
	if (before->layout->typed && !after->typed && !after->options.plain)
		after = pin_typed(rel, after);
	check_rows(rel, before, after);
	if (after->typed)
		kvlsm_check_added(rel, before->desc, after);
	relation_close(rel, NoLock);
}

static void
check_created(CreateForeignTableStmt *stmt)
{
	Oid relid = RangeVarGetRelid(stmt->base.relation, NoLock, true);
	KvlsmLayout *layout;
	Relation rel;

	if (!OidIsValid(relid) || !kvlsm_is_store(relid))
		return;
	rel = relation_open(relid, AccessShareLock);
	/* not one that was there: IF NOT EXISTS */
	if (rel->rd_createSubid != InvalidSubTransactionId)
	{
		layout = kvlsm_layout_of(rel);
		if (layout->typed && !layout->options.typed)
			layout = pin_typed(rel, layout);
		pfree(layout);
	}
	relation_close(rel, NoLock);
}

static void
check_statement(Node *stmt)
{
	ListCell *lc;

	statement->checking = true;
	if (statement->touched != NIL || IsA(stmt, CreateForeignTableStmt))
		CommandCounterIncrement();
	foreach (lc, statement->touched)
		check_altered(lfirst(lc));
	if (IsA(stmt, CreateForeignTableStmt))
		check_created((CreateForeignTableStmt *) stmt);
}

/* Statements that can change the columns or options of a table. */
static bool
may_alter(Node *stmt)
{
	switch (nodeTag(stmt))
	{
	case T_AlterTableStmt:
	case T_RenameStmt:
	case T_CreateForeignTableStmt:
	case T_DropStmt:
	case T_ImportForeignSchemaStmt:
	case T_DropOwnedStmt:
		return true;
	default:
		return false;
	}
}

static void
call_next(PlannedStmt *pstmt, const char *query, bool read_only,
		  ProcessUtilityContext context, ParamListInfo params,
		  QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	if (prev_utility_hook)
		prev_utility_hook(pstmt, query, read_only, context, params, env, dest,
						  qc);
	else
		standard_ProcessUtility(pstmt, query, read_only, context, params, env,
								dest, qc);
}

/* Known while the statement runs, which another COPY may be a part of. */
static void
call_copy(PlannedStmt *pstmt, const char *query, bool read_only,
		  ProcessUtilityContext context, ParamListInfo params,
		  QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	bool outer = copy_has_where;

	PG_TRY();
	{
		copy_has_where = ((CopyStmt *) pstmt->utilityStmt)->whereClause != NULL;
		call_next(pstmt, query, read_only, context, params, env, dest, qc);
	}
	PG_FINALLY();
	{
		copy_has_where = outer;
	}
	PG_END_TRY();
}

bool
kvlsm_copy_has_where(void)
{
	return copy_has_where;
}

static void
utility_hook(PlannedStmt *pstmt, const char *query, bool read_only,
			 ProcessUtilityContext context, ParamListInfo params,
			 QueryEnvironment *env, DestReceiver *dest, QueryCompletion *qc)
{
	Statement mine = {statement, CurrentMemoryContext, NIL, false};

	if (IsA(pstmt->utilityStmt, CopyStmt))
	{
		call_copy(pstmt, query, read_only, context, params, env, dest, qc);
		return;
	}
	if (!may_alter(pstmt->utilityStmt))
	{
		call_next(pstmt, query, read_only, context, params, env, dest, qc);
		return;
	}
	PG_TRY();
	{
		statement = &mine;
		call_next(pstmt, query, read_only, context, params, env, dest, qc);
		check_statement(pstmt->utilityStmt);
		if (IsA(pstmt->utilityStmt, ImportForeignSchemaStmt))
			kvlsm_import_done((ImportForeignSchemaStmt *) pstmt->utilityStmt);
	}
	PG_FINALLY();
	{
		statement = mine.outer;
		/* not at the end of one of the statements that it consists of */
		if (IsA(pstmt->utilityStmt, ImportForeignSchemaStmt))
			kvlsm_import_reset();
	}
	PG_END_TRY();
}

void
kvlsm_install_ddl_hooks(void)
{
	prev_access_hook = object_access_hook;
	object_access_hook = access_hook;
	prev_utility_hook = ProcessUtility_hook;
	ProcessUtility_hook = utility_hook;
}
