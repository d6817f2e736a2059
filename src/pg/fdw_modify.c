/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_modify.c - UPDATE, DELETE and TRUNCATE on a foreign table, and what all
 * that writes through it has in common.
 *
 * Every row is a read-modify-write: its key is locked at once and to the end
 * of the transaction, then the newest version is looked at.  UPDATE and DELETE
 * find their row by the key columns that the scan below them delivers; that
 * scan has locked it, so the version that it delivered is the newest one.
 *
 * Constraints are checked here: the core does not for foreign tables.
 *
 * Backends only.
 */
#include "fdw_modify.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/appendinfo.h"
#include "store_map.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/*
 * The resjunk column with a key column as the scan saw it.  Partitions of one
 * table share the plan's columns: those whose numbers differ must not.
 */
static char *
junk_name(Form_pg_attribute att)
{
	return psprintf("kvlsm_key_%d_%s", att->attnum, NameStr(att->attname));
}

static void
add_update_targets(PlannerInfo *root, Index rtindex, RangeTblEntry *rte,
				   Relation rel)
{
	KvlsmLayout *layout = kvlsm_layout_of(rel);
	int i;

	for (i = 0; i < layout->n_keys; i++)
	{
		AttrNumber attno = layout->keys[i].attno;
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attno - 1);
		Var *var = makeVar(rtindex, attno, att->atttypid, att->atttypmod,
						   att->attcollation, 0);

		add_row_identity_var(root, var, rtindex, junk_name(att));
	}
}

static bool
allows_updates(Relation rel)
{
	KvlsmOptions options;

	kvlsm_options_of(RelationGetRelid(rel), &options);
	return options.updatable;
}

/* Never raises for the columns: tools ask about all tables. */
static int
is_updatable(Relation rel)
{
	return allows_updates(rel)
			   ? (1 << CMD_INSERT) | (1 << CMD_UPDATE) | (1 << CMD_DELETE)
			   : 0;
}

KvlsmModify *
kvlsm_modify_begin(ModifyTableState *mtstate, EState *estate, Relation rel)
{
	KvlsmModify *m = palloc0(sizeof(KvlsmModify));
	ModifyTable *plan = NULL; /* of COPY, too */

	if (mtstate != NULL)
		plan = (ModifyTable *) mtstate->ps.plan;
	m->mtstate = mtstate;
	m->on_conflict = plan == NULL ? ONCONFLICT_NONE : plan->onConflictAction;
	/* COPY leaves the executor's idea of its command id at nothing */
	m->owner = mtstate != NULL && plan == NULL ? InvalidCommandId
											   : estate->es_output_cid;
	m->layout = kvlsm_layout_of(rel);
	kvlsm_store_of_relation(RelationGetRelid(rel), true, &m->store);
	m->row_context = AllocSetContextCreate(estate->es_query_cxt, "kvlsm row",
										   ALLOCSET_DEFAULT_SIZES);
	kvlsm_check_on_conflict(m, rel);
	return m;
}

static void
find_junk(KvlsmModify *m, Relation rel, List *targetlist)
{
	int i;

	m->key_junk = palloc(m->layout->n_keys * sizeof(AttrNumber));
	for (i = 0; i < m->layout->n_keys; i++)
	{
		AttrNumber attno = m->layout->keys[i].attno;
		char *name = junk_name(TupleDescAttr(RelationGetDescr(rel), attno - 1));

		m->key_junk[i] = ExecFindJunkAttributeInTlist(targetlist, name);
		if (!AttributeNumberIsValid(m->key_junk[i]))
			elog(ERROR, "the plan has no column \"%s\"", name);
	}
}

/* Rows of an INSERT ... VALUES are known before any of their keys is locked. */
static void
expect_rows(const KvlsmModify *m, const ModifyTable *plan)
{
	const Plan *source = outerPlan(plan);

	if (m->layout->options.on_duplicate == KVLSM_DUPLICATE_UPDATE &&
		m->on_conflict == ONCONFLICT_NONE)
		return;
	if (source != NULL && IsA(source, ValuesScan))
		kvlsm_expect_keys(m->store.id, list_length(((const ValuesScan *) source)
													   ->values_lists));
}

static void
begin_modify(ModifyTableState *mtstate, ResultRelInfo *rinfo,
			 List *fdw_private, int subplan_index, int eflags)
{
	KvlsmModify *m;

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	m = kvlsm_modify_begin(mtstate, mtstate->ps.state, rinfo->ri_RelationDesc);
	m->one_by_one = fdw_private != NIL && linitial_int(fdw_private) != 0;
	if (mtstate->operation != CMD_INSERT)
		find_junk(m, rinfo->ri_RelationDesc,
				  outerPlanState(mtstate)->plan->targetlist);
	else
		expect_rows(m, (ModifyTable *) mtstate->ps.plan);
	rinfo->ri_FdwState = m;
}

/* COPY FROM, and rows that a partitioned table routes here. */
static void
begin_insert(ModifyTableState *mtstate, ResultRelInfo *rinfo)
{
	KvlsmModify *m;

	if (!allows_updates(rinfo->ri_RelationDesc))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("foreign table \"%s\" does not allow inserts",
						RelationGetRelationName(rinfo->ri_RelationDesc))));
	m = kvlsm_modify_begin(mtstate, mtstate->ps.state, rinfo->ri_RelationDesc);
	kvlsm_let_rows_wait(m, rinfo);
	/* a COPY has many rows; of those for partitions nobody knows */
	if (mtstate->ps.plan == NULL && m->waiting == NULL &&
		rinfo->ri_RootResultRelInfo == NULL &&
		m->layout->options.on_duplicate != KVLSM_DUPLICATE_UPDATE)
		kvlsm_expect_keys(m->store.id, INT_MAX);
	rinfo->ri_FdwState = m;
}

static void
end_modify(EState *estate, ResultRelInfo *rinfo)
{
	const KvlsmModify *m PG_USED_FOR_ASSERTS_ONLY = rinfo->ri_FdwState;

	/* they were written when the run ended */
	Assert(m == NULL || m->n_waiting == 0);
	rinfo->ri_FdwState = NULL;
}

static void
end_insert(EState *estate, ResultRelInfo *rinfo)
{
	KvlsmModify *m = rinfo->ri_FdwState;

	if (m != NULL && m->n_waiting > 0)
		kvlsm_insert_waiting(m, rinfo);
	rinfo->ri_FdwState = NULL;
}

/* ---- what all that write have in common */

int64
kvlsm_row_expires(const KvlsmModify *m, int64 old_expires)
{
	if (m->layout->options.has_ttl)
		return kvlsm_expires_at(&m->layout->options.ttl);
	return old_expires;
}

/* May the user see the key columns? */
static bool
may_show_key(const KvlsmModify *m, Relation rel)
{
	Oid relid = RelationGetRelid(rel);
	int i;

	if (pg_class_aclcheck(relid, GetUserId(), ACL_SELECT) == ACLCHECK_OK)
		return true;
	for (i = 0; i < m->layout->n_keys; i++)
		if (pg_attribute_aclcheck(relid, m->layout->keys[i].attno, GetUserId(),
								  ACL_SELECT) != ACLCHECK_OK)
			return false;
	return true;
}

static char *
describe_key(const KvlsmModify *m, Relation rel, TupleTableSlot *slot)
{
	StringInfoData names, values;
	int i;

	initStringInfo(&names);
	initStringInfo(&values);
	for (i = 0; i < m->layout->n_keys; i++)
	{
		AttrNumber attno = m->layout->keys[i].attno;
		Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attno - 1);
		const char *comma = i > 0 ? ", " : "";
		bool isnull;
		Datum value = slot_getattr(slot, attno, &isnull);
		Oid output;
		bool varlena;

		getTypeOutputInfo(att->atttypid, &output, &varlena);
		appendStringInfo(&names, "%s%s", comma, NameStr(att->attname));
		appendStringInfo(&values, "%s%s", comma,
						 OidOutputFunctionCall(output, value));
	}
	return psprintf("(%s)=(%s)", names.data, values.data);
}

void
kvlsm_error_duplicate(const KvlsmModify *m, Relation rel, TupleTableSlot *slot)
{
	char *name = psprintf("%s_kvkey", RelationGetRelationName(rel));

	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("duplicate key value violates unique constraint \"%s\"",
					name),
			 may_show_key(m, rel) ? errdetail("Key %s already exists.",
											  describe_key(m, rel, slot))
								  : 0,
			 errtableconstraint(rel, name)));
	pg_unreachable();
}

void
kvlsm_check_constraints(ResultRelInfo *rinfo, TupleTableSlot *slot,
						EState *estate)
{
	Relation rel = rinfo->ri_RelationDesc;

	if (RelationGetDescr(rel)->constr != NULL)
		ExecConstraints(rinfo, slot, estate);
	if (rel->rd_rel->relispartition)
		(void) ExecPartitionCheck(rinfo, slot, estate, true);
}

bool
kvlsm_is_done(const KvlsmModify *m, KvSlice key, Snapshot snapshot,
			  CmdType operation)
{
	CommandId owner;

	if (!kvlsm_written_since(key, snapshot, &owner))
		return false;
	if (owner != m->owner)
		ereport(ERROR,
				(errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				 errmsg("tuple to be %s was already modified by an operation "
						"triggered by the current command",
						operation == CMD_DELETE ? "deleted" : "updated"),
				 errhint("Consider using an AFTER trigger instead of a BEFORE "
						 "trigger to propagate changes to other rows.")));
	return true;
}

void
kvlsm_set_xmax(TupleTableSlot *slot, TransactionId xmax)
{
	HeapTupleHeader header;

	/* another's tuple is not to be written to */
	if (!TTS_IS_HEAPTUPLE(slot) || !TTS_SHOULDFREE(slot))
		return;
	header = ((HeapTupleTableSlot *) slot)->tuple->t_data;
	HeapTupleHeaderSetXmax(header, xmax);
}

void
kvlsm_replace_row(KvlsmModify *m, ResultRelInfo *rinfo, EState *estate,
				  KvSlice old_key, int64 old_expires, TupleTableSlot *slot)
{
	Relation rel = rinfo->ri_RelationDesc;
	KvlsmBytes key;
	KvlsmBytes value;
	KvlsmFound found;

	kvlsm_check_constraints(rinfo, slot, estate);
	kvlsm_row_key(&key, m->layout, rel, m->store.id, slot);
	kvlsm_row_value(&value, m->layout, rel, slot);
	if (!kv_slice_equal(key.slice, old_key))
	{
		kvlsm_lock_key_to_modify(key.slice);
		if (kvlsm_lookup_latest(key.slice, NULL, &found))
			kvlsm_error_duplicate(m, rel, slot);
		kvlsm_write_delete_of(m->owner, old_key);
	}
	kvlsm_write_put_of(m->owner, key.slice, value.slice,
					   kvlsm_row_expires(m, old_expires));
}

/* ---- UPDATE and DELETE */

/*
 * The key of the row to change, and its newest version.  false: it is gone, or
 * this command has written it already, for another row that it was joined
 * with: only the first counts then, as in any table.
 */
static bool
find_row(KvlsmModify *m, EState *estate, CmdType operation,
		 TupleTableSlot *plan_slot, KvlsmBytes *key, KvlsmFound *found)
{
	int i;

	kvlsm_key_begin(key, m->store.id);
	for (i = 0; i < m->layout->n_keys; i++)
	{
		bool isnull;
		Datum datum = ExecGetJunkAttribute(plan_slot, m->key_junk[i], &isnull);

		if (isnull)
			elog(ERROR, "row without a key");
		kvlsm_key_add(key, m->layout, i, datum);
	}
	/* what was found is borrowed until the next look */
	return !kvlsm_is_done(m, key->slice, estate->es_snapshot, operation) &&
		   kvlsm_read_to_modify(key->slice, estate->es_snapshot, found);
}

static TupleTableSlot *
exec_update(EState *estate, ResultRelInfo *rinfo, TupleTableSlot *slot,
			TupleTableSlot *plan_slot)
{
	KvlsmModify *m = rinfo->ri_FdwState;
	MemoryContext old;
	KvlsmBytes key;
	KvlsmFound found;
	bool is_there;

	MemoryContextReset(m->row_context);
	old = MemoryContextSwitchTo(m->row_context);
	is_there = find_row(m, estate, CMD_UPDATE, plan_slot, &key, &found);
	if (is_there)
		kvlsm_replace_row(m, rinfo, estate, key.slice, found.expires_us, slot);
	MemoryContextSwitchTo(old);
	return is_there ? slot : NULL;
}

static TupleTableSlot *
exec_delete(EState *estate, ResultRelInfo *rinfo, TupleTableSlot *slot,
			TupleTableSlot *plan_slot)
{
	KvlsmModify *m = rinfo->ri_FdwState;
	MemoryContext old;
	KvlsmBytes key;
	KvlsmFound found;
	bool is_there;

	MemoryContextReset(m->row_context);
	old = MemoryContextSwitchTo(m->row_context);
	is_there = find_row(m, estate, CMD_DELETE, plan_slot, &key, &found);
	if (is_there)
	{
		/* the old row, for RETURNING */
		if (rinfo->ri_projectReturning != NULL)
			kvlsm_row_fill(m->layout, NULL, key.slice, found.value, slot);
		kvlsm_write_delete_of(m->owner, key.slice);
	}
	MemoryContextSwitchTo(old);
	return is_there ? slot : NULL;
}

/* TRUNCATE: the store is dropped, the next write allocates another. */
static void
exec_truncate(List *rels, DropBehavior behavior, bool restart_seqs)
{
	ListCell *lc;

	foreach (lc, rels)
	{
		Relation rel = lfirst(lc);
		Oid relid = RelationGetRelid(rel);
		KvlsmOptions options;
		KvlsmStore store;

		kvlsm_options_of(relid, &options);
		if (!options.truncatable)
			ereport(ERROR,
					(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
					 errmsg("foreign table \"%s\" does not allow truncates",
							RelationGetRelationName(rel))));
		PreventCommandIfParallelMode("TRUNCATE");
		kvlsm_store_of_relation(relid, false, &store);
		if (store.id == 0)
			continue;
		kvlsm_map_drop(kvlsm_db(true), MyDatabaseId, relid);
		CacheInvalidateRelcacheByRelid(relid);
		kvlsm_forget_store(relid);
	}
}

void
kvlsm_modify_callbacks(FdwRoutine *routine)
{
	routine->AddForeignUpdateTargets = add_update_targets;
	routine->IsForeignRelUpdatable = is_updatable;
	routine->BeginForeignModify = begin_modify;
	kvlsm_insert_callbacks(routine);
	routine->ExecForeignUpdate = exec_update;
	routine->ExecForeignDelete = exec_delete;
	routine->EndForeignModify = end_modify;
	routine->BeginForeignInsert = begin_insert;
	routine->EndForeignInsert = end_insert;
	routine->ExecForeignTruncate = exec_truncate;
}
