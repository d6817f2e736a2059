/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_modify.c - INSERT, UPDATE, DELETE, COPY FROM and TRUNCATE on a foreign
 * table.
 *
 * Every row is a read-modify-write: its key is locked at once and to the end
 * of the transaction, then the newest version is looked at.  INSERT of a key
 * that is there is 23505, or nothing with ON CONFLICT DO NOTHING.  UPDATE and
 * DELETE find their row by the key that the scan below them delivers; a row
 * that another transaction has changed since this statement's snapshot is
 * 40001 at every isolation level, because the statement's conditions cannot
 * be checked again on the new version.
 *
 * Constraints are checked here: the core does not for foreign tables.
 *
 * Backends only.
 */
#include "fdw.h"

#include "access/xact.h"
#include "executor/executor.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "optimizer/appendinfo.h"
#include "scan.h"
#include "store_map.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* resjunk column with the row's key as the scan saw it */
#define KEY_COLUMN "kvlsm_key"

typedef struct ModifyState
{
	KvlsmLayout *layout;
	KvlsmStore store;
	AttrNumber key_junk;  /* of KEY_COLUMN in the plan's rows; 0: INSERT */
	bool skip_duplicates; /* ON CONFLICT DO NOTHING */
	MemoryContext row_context;
} ModifyState;

static void
add_update_targets(PlannerInfo *root, Index rtindex, RangeTblEntry *rte,
				   Relation rel)
{
	KvlsmLayout *layout = kvlsm_layout_of(rel);
	AttrNumber key = layout->keys[0].attno;
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), key - 1);
	Var *var = makeVar(rtindex, key, att->atttypid, att->atttypmod,
					   att->attcollation, 0);

	add_row_identity_var(root, var, rtindex, KEY_COLUMN);
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

static ModifyState *
make_state(ModifyTableState *mtstate, Relation rel)
{
	ModifyState *state = palloc0(sizeof(ModifyState));
	ModifyTable *plan = (ModifyTable *) mtstate->ps.plan; /* NULL: COPY */
	EState *estate = mtstate->ps.state;

	state->skip_duplicates = plan != NULL &&
							 plan->onConflictAction == ONCONFLICT_NOTHING;
	state->layout = kvlsm_layout_of(rel);
	kvlsm_store_of_relation(RelationGetRelid(rel), true, &state->store);
	state->row_context = AllocSetContextCreate(estate->es_query_cxt,
											   "kvlsm row",
											   ALLOCSET_DEFAULT_SIZES);
	return state;
}

static void
begin_modify(ModifyTableState *mtstate, ResultRelInfo *rinfo,
			 List *fdw_private, int subplan_index, int eflags)
{
	ModifyState *state;

	if (eflags & EXEC_FLAG_EXPLAIN_ONLY)
		return;
	state = make_state(mtstate, rinfo->ri_RelationDesc);
	if (mtstate->operation != CMD_INSERT)
	{
		Plan *subplan = outerPlanState(mtstate)->plan;

		state->key_junk = ExecFindJunkAttributeInTlist(subplan->targetlist,
													   KEY_COLUMN);
		if (!AttributeNumberIsValid(state->key_junk))
			elog(ERROR, "the plan has no column \"%s\"", KEY_COLUMN);
	}
	rinfo->ri_FdwState = state;
}

/* COPY FROM, and rows that a partitioned table routes here. */
static void
begin_insert(ModifyTableState *mtstate, ResultRelInfo *rinfo)
{
	if (!allows_updates(rinfo->ri_RelationDesc))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("foreign table \"%s\" does not allow inserts",
						RelationGetRelationName(rinfo->ri_RelationDesc))));
	rinfo->ri_FdwState = make_state(mtstate, rinfo->ri_RelationDesc);
}

static void
end_modify(EState *estate, ResultRelInfo *rinfo)
{
	rinfo->ri_FdwState = NULL;
}

static void
error_duplicate(Relation rel, const KvlsmLayout *layout, TupleTableSlot *slot)
{
	char *name = psprintf("%s_kvkey", RelationGetRelationName(rel));
	AttrNumber attno = layout->keys[0].attno;
	Form_pg_attribute att = TupleDescAttr(RelationGetDescr(rel), attno - 1);
	bool isnull;
	Datum key = slot_getattr(slot, attno, &isnull);
	Oid output;
	bool varlena;

	getTypeOutputInfo(att->atttypid, &output, &varlena);
	ereport(ERROR,
			(errcode(ERRCODE_UNIQUE_VIOLATION),
			 errmsg("duplicate key value violates unique constraint \"%s\"",
					name),
			 errdetail("Key (%s)=(%s) already exists.", NameStr(att->attname),
					   OidOutputFunctionCall(output, key)),
			 errtableconstraint(rel, name)));
}

/*
 * Locks the key, which must be free.  False: it is not, and its row is to be
 * skipped; with one snapshot for the transaction, only for what it can see.
 */
static bool
claim_key(ModifyState *state, Relation rel, EState *estate, KvSlice key,
		  TupleTableSlot *slot)
{
	bool must_see = state->skip_duplicates && IsolationUsesXactSnapshot();
	KvlsmFound old;

	kvlsm_lock_key_to_modify(key);
	if (!kvlsm_lookup_latest(key, must_see ? estate->es_snapshot : NULL, &old))
		return true;
	if (!state->skip_duplicates)
		error_duplicate(rel, state->layout, slot);
	return false;
}

/* What the core checks for tables, and believes of foreign ones. */
static void
check_constraints(ResultRelInfo *rinfo, TupleTableSlot *slot, EState *estate)
{
	Relation rel = rinfo->ri_RelationDesc;

	if (RelationGetDescr(rel)->constr != NULL)
		ExecConstraints(rinfo, slot, estate);
	if (rel->rd_rel->relispartition)
		(void) ExecPartitionCheck(rinfo, slot, estate, true);
}

static TupleTableSlot *
exec_insert(EState *estate, ResultRelInfo *rinfo, TupleTableSlot *slot,
			TupleTableSlot *plan_slot)
{
	ModifyState *state = rinfo->ri_FdwState;
	Relation rel = rinfo->ri_RelationDesc;
	MemoryContext old;
	KvlsmBytes key;
	KvlsmBytes value;
	bool is_free;

	check_constraints(rinfo, slot, estate);
	MemoryContextReset(state->row_context);
	old = MemoryContextSwitchTo(state->row_context);
	kvlsm_row_key(&key, state->layout, rel, state->store.id, slot);
	kvlsm_row_value(&value, state->layout, rel, slot);
	is_free = claim_key(state, rel, estate, key.slice, slot);
	if (is_free)
		kvlsm_write_put(key.slice, value.slice, 0);
	MemoryContextSwitchTo(old);
	return is_free ? slot : NULL;
}

/* The key of the row to change; locked, and the newest version is ours. */
static bool
lock_row(ModifyState *state, EState *estate, TupleTableSlot *plan_slot,
		 KvlsmBytes *key, KvSlice *value)
{
	bool isnull;
	Datum datum = ExecGetJunkAttribute(plan_slot, state->key_junk, &isnull);
	KvlsmFound found;

	if (isnull)
		elog(ERROR, "row without a key");
	kvlsm_make_key(key, state->store.id, datum);
	if (!kvlsm_read_to_modify(key->slice, estate->es_snapshot, &found))
		return false;
	*value = found.value;
	return true;
}

/* Which version the write set has as of the snapshot; 0: none. */
static uint64
own_version(KvSlice key, Snapshot snapshot)
{
	uint32 limit;
	KvWriteSet *own = kvlsm_own_writes(snapshot, &limit);
	KvEntry entry;
	KvError err;
	KvStatus status;

	if (own == NULL)
		return 0;
	kv_error_clear(&err);
	status = kv_write_set_get(own, key, limit, &entry, &err);
	if (status == KV_NOT_FOUND)
		return 0;
	kvlsm_check(status, &err);
	return entry.csn;
}

/*
 * Has this command written the row already, for another row that it was
 * joined with?  Only the first counts then, as in any table.
 */
static bool
is_done(KvSlice key, Snapshot snapshot)
{
	SnapshotData after = *snapshot;

	after.curcid++;
	return own_version(key, &after) != own_version(key, snapshot);
}

static TupleTableSlot *
exec_update(EState *estate, ResultRelInfo *rinfo, TupleTableSlot *slot,
			TupleTableSlot *plan_slot)
{
	ModifyState *state = rinfo->ri_FdwState;
	Relation rel = rinfo->ri_RelationDesc;
	MemoryContext old;
	KvlsmBytes old_key;
	KvlsmBytes key;
	KvlsmBytes value;
	KvSlice old_value;
	bool found;

	check_constraints(rinfo, slot, estate);
	MemoryContextReset(state->row_context);
	old = MemoryContextSwitchTo(state->row_context);
	found = lock_row(state, estate, plan_slot, &old_key, &old_value) &&
			!is_done(old_key.slice, estate->es_snapshot);
	if (found)
	{
		kvlsm_row_key(&key, state->layout, rel, state->store.id, slot);
		kvlsm_row_value(&value, state->layout, rel, slot);
		if (!kv_slice_equal(key.slice, old_key.slice))
		{
			(void) claim_key(state, rel, estate, key.slice, slot);
			kvlsm_write_delete(old_key.slice);
		}
		kvlsm_write_put(key.slice, value.slice, 0);
	}
	MemoryContextSwitchTo(old);
	return found ? slot : NULL;
}

static TupleTableSlot *
exec_delete(EState *estate, ResultRelInfo *rinfo, TupleTableSlot *slot,
			TupleTableSlot *plan_slot)
{
	ModifyState *state = rinfo->ri_FdwState;
	MemoryContext old;
	KvlsmBytes key;
	KvSlice value;
	bool found;

	MemoryContextReset(state->row_context);
	old = MemoryContextSwitchTo(state->row_context);
	found = lock_row(state, estate, plan_slot, &key, &value);
	if (found)
	{
		if (rinfo->ri_projectReturning != NULL)
			kvlsm_row_fill(state->layout, NULL, key.slice, value, slot);
		kvlsm_write_delete(key.slice);
	}
	MemoryContextSwitchTo(old);
	return found ? slot : NULL;
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
	routine->ExecForeignInsert = exec_insert;
	routine->ExecForeignUpdate = exec_update;
	routine->ExecForeignDelete = exec_delete;
	routine->EndForeignModify = end_modify;
	routine->BeginForeignInsert = begin_insert;
	routine->EndForeignInsert = end_modify;
	routine->ExecForeignTruncate = exec_truncate;
}
