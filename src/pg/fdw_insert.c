/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_insert.c - INSERT and COPY FROM on a foreign table.
 *
 * The key is locked to the end of the transaction, then its newest version
 * is looked for.  If there is none the row is written.  If there is one, it
 * is 23505, unless ON CONFLICT or the table's on_duplicate says otherwise.
 * Rows of a batch are looked for together, and wait for that as encoded
 * entries: until the run of their INSERT, or COPY, ends.
 *
 * Backends only.
 */
#include "fdw_modify.h"

#include "access/transam.h"
#include "access/xact.h"
#include "catalog/pg_proc.h"
#include "commands/trigger.h"
#include "compat.h"
#include "executor/executor.h"
#include "executor/nodeModifyTable.h"
#include "fdw_ddl.h"
#include "miscadmin.h"
#include "nodes/nodeFuncs.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "write_set.h"

/* Rows with so many bytes wait no longer, however few they are. */
#define WAITING_BYTES ((size_t) 1 << 20)

/* A row on its way. */
typedef struct KvlsmNewRow
{
	TupleTableSlot *slot; /* NULL: it is gone */
	KvlsmBytes key;
	KvlsmBytes value;
} NewRow;

static void
encode(KvlsmModify *m, ResultRelInfo *rinfo, EState *estate, NewRow *row,
	   TupleTableSlot *slot)
{
	Relation rel = rinfo->ri_RelationDesc;

	row->slot = slot;
	kvlsm_check_constraints(rinfo, slot, estate);
	kvlsm_row_key(&row->key, m->layout, rel, m->store.id, slot);
	kvlsm_row_value(&row->value, m->layout, rel, slot);
}

static void
put(KvlsmModify *m, const NewRow *row)
{
	kvlsm_write_put_of(m->owner, row->key.slice, row->value.slice,
					   kvlsm_row_expires(m, 0));
}

/* ---- ON CONFLICT DO UPDATE */

void
kvlsm_check_on_conflict(const KvlsmModify *m, Relation rel)
{
	TriggerDesc *triggers = rel->trigdesc;

	if (m->on_conflict != ONCONFLICT_UPDATE || triggers == NULL)
		return;
	/* the core fires those of INSERT whatever becomes of the row */
	if (triggers->trig_update_before_row || triggers->trig_update_after_row ||
		triggers->trig_insert_after_row)
		ereport(ERROR,
				(errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				 errmsg("ON CONFLICT DO UPDATE is not supported on foreign "
						"table \"%s\" with its row triggers",
						RelationGetRelationName(rel)),
				 errdetail("Row triggers AFTER INSERT, BEFORE UPDATE and "
						   "AFTER UPDATE would not fire as on a table."),
				 errhint("Use INSERT ... ON CONFLICT DO NOTHING and "
						 "UPDATE.")));
}

static bool
has_stored_generated(Relation rel)
{
	TupleConstr *constr = RelationGetDescr(rel)->constr;

	return constr != NULL && constr->has_generated_stored;
}

static void
error_second_time(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_CARDINALITY_VIOLATION),
			 errmsg("ON CONFLICT DO UPDATE command cannot affect row a second "
					"time"),
			 errhint("Ensure that no rows proposed for insertion within the "
					 "same command have duplicate constrained values.")));
}

/*
 * The row is there: what DO UPDATE makes of it, or NULL if its WHERE does not
 * want it.  As ExecOnConflictUpdate of the core.
 */
static TupleTableSlot *
update_instead(KvlsmModify *m, ResultRelInfo *rinfo, EState *estate,
			   const NewRow *row, const KvlsmFound *old)
{
	OnConflictSetState *set = rinfo->ri_onConflict;
	Relation rel = rinfo->ri_RelationDesc;
	ExprContext *econtext = m->mtstate->ps.ps_ExprContext;
	TupleTableSlot *slot = set->oc_ProjSlot;
	int64 expires = old->expires_us;
	CommandId ignored;

	/* first of all: what was found is borrowed until the next look */
	kvlsm_row_fill(m->layout, NULL, row->key.slice, old->value,
				   set->oc_Existing);
	if (kvlsm_written_since(row->key.slice, estate->es_snapshot, &ignored))
		error_second_time();
	set->oc_Existing->tts_tableOid = RelationGetRelid(rel);
	econtext->ecxt_scantuple = set->oc_Existing;
	econtext->ecxt_innertuple = row->slot;
	econtext->ecxt_outertuple = NULL;
	if (!ExecQual(set->oc_WhereClause, econtext))
		return NULL;
	(void) ExecProject(set->oc_ProjInfo);
	slot->tts_tableOid = RelationGetRelid(rel);
	if (has_stored_generated(rel))
		ExecComputeStoredGenerated(rinfo, estate, slot, CMD_UPDATE);
	/* functions that SET and WHERE call may have changed the row */
	(void) kvlsm_is_done(m, row->key.slice, estate->es_snapshot, CMD_UPDATE);
	kvlsm_replace_row(m, rinfo, estate, row->key.slice, expires, slot);
	/* what it points to goes with the row's context */
	ExecMaterializeSlot(slot);
	ExecClearTuple(set->oc_Existing);
	if (rinfo->ri_projectReturning != NULL)
		kvlsm_set_xmax(slot, GetCurrentTransactionId());
	return slot;
}

/* ---- one row */

/* The newest version of a key that is locked now. */
static bool
find_existing(const KvlsmModify *m, EState *estate, KvSlice key,
			  KvlsmFound *old)
{
	/* what is skipped or changed must be what the snapshot shows */
	bool must_see = m->on_conflict != ONCONFLICT_NONE &&
					IsolationUsesXactSnapshot();

	kvlsm_lock_key_to_modify(key);
	return kvlsm_lookup_conflict(key, must_see ? estate->es_snapshot : NULL,
								 old);
}

/* The row that was written; NULL: none. */
static TupleTableSlot *
insert_row(KvlsmModify *m, ResultRelInfo *rinfo, EState *estate, NewRow *row)
{
	bool blind = m->on_conflict == ONCONFLICT_NONE &&
				 m->layout->options.on_duplicate == KVLSM_DUPLICATE_UPDATE;
	KvlsmFound old;

	if (blind || !find_existing(m, estate, row->key.slice, &old))
	{
		put(m, row);
		if (rinfo->ri_projectReturning != NULL)
			kvlsm_set_xmax(row->slot, InvalidTransactionId);
		return row->slot;
	}
	if (m->on_conflict == ONCONFLICT_UPDATE)
		return update_instead(m, rinfo, estate, row, &old);
	if (m->on_conflict == ONCONFLICT_NONE &&
		m->layout->options.on_duplicate == KVLSM_DUPLICATE_ERROR)
		kvlsm_error_duplicate(m, rinfo->ri_RelationDesc, row->slot);
	return NULL;
}

static TupleTableSlot *
exec_insert(EState *estate, ResultRelInfo *rinfo, TupleTableSlot *slot,
			TupleTableSlot *plan_slot)
{
	KvlsmModify *m = rinfo->ri_FdwState;
	MemoryContext old;
	NewRow row, *next;

	if (m->waiting != NULL)
	{
		old = MemoryContextSwitchTo(m->row_context);
		next = &m->waiting[m->n_waiting++];
		encode(m, rinfo, estate, next, slot);
		MemoryContextSwitchTo(old);
		m->waiting_bytes += next->key.slice.len + next->value.slice.len;
		if (m->n_waiting == m->layout->options.batch_size ||
			m->waiting_bytes >= WAITING_BYTES)
			kvlsm_insert_waiting(m, rinfo);
		return slot;
	}
	MemoryContextReset(m->row_context);
	old = MemoryContextSwitchTo(m->row_context);
	encode(m, rinfo, estate, &row, slot);
	slot = insert_row(m, rinfo, estate, &row);
	MemoryContextSwitchTo(old);
	return slot;
}

/* ---- batches */

/* A function of the user's own that may read or write the table. */
static bool
may_look(Oid function, void *context)
{
	return function >= FirstNormalObjectId &&
		   func_volatile(function) == PROVOLATILE_VOLATILE;
}

static bool
calls_such(Node *node, void *context)
{
	if (node == NULL)
		return false;
	if (IsA(node, Query))
		return query_tree_walker((Query *) node, calls_such, context, 0);
	if (check_functions_in_node(node, may_look, context))
		return true;
	return expression_tree_walker(node, calls_such, context);
}

/* The plan's private list: does a statement's own code see its rows come? */
static List *
plan_modify(PlannerInfo *root, ModifyTable *plan, Index result_relation,
			int subplan_index)
{
	return list_make1_int(plan->operation == CMD_INSERT &&
						  calls_such((Node *) root->parse, NULL));
}

static void
let_wait(KvlsmModify *m)
{
	m->waiting = MemoryContextAllocHuge(CurrentMemoryContext,
										(Size) m->layout->options.batch_size *
											sizeof(NewRow));
}

/*
 * Rows that something has to look at one by one go one by one.  Those of the
 * statement's own INSERT wait here until its run ends (run_hook), which spares
 * the core's two copies of each.  Of a part of a WITH the run ends too late,
 * and rows that may be ignored have to be counted at once: batches of the
 * core's.
 */
static int
batch_size(ResultRelInfo *rinfo)
{
	KvlsmModify *m = rinfo->ri_FdwState;
	TriggerDesc *triggers = rinfo->ri_TrigDesc;

	if (m == NULL || m->one_by_one || rinfo->ri_projectReturning != NULL ||
		rinfo->ri_WithCheckOptions != NIL || m->on_conflict != ONCONFLICT_NONE ||
		(triggers != NULL && (triggers->trig_insert_before_row ||
							  triggers->trig_insert_after_row)))
		return 1;
	if (m->mtstate->ps.plan != NULL && m->mtstate->canSetTag &&
		m->layout->options.on_duplicate != KVLSM_DUPLICATE_IGNORE &&
		m->layout->options.batch_size > 1)
	{
		let_wait(m);
		return 1;
	}
	return m->layout->options.batch_size;
}

/* Which of the keys have a row that another transaction has committed. */
static void
find_all(const KvlsmModify *m, NewRow *rows, int n, bool *exists)
{
	KvSlice *keys = palloc(n * sizeof(KvSlice));
	int i;

	kvlsm_expect_keys(m->store.id, n);
	for (i = 0; i < n; i++)
	{
		kvlsm_lock_key_to_modify(rows[i].key.slice);
		keys[i] = rows[i].key.slice;
		if (kvlsm_write_set() != NULL)
			kv_write_set_prefetch(kvlsm_write_set(), keys[i]);
	}
	kvlsm_exist_latest(keys, n, exists);
}

/* Is there a row now?  exists: not counting this transaction's writes. */
static bool
is_taken(const NewRow *row, bool exists)
{
	KvEntry own;
	KvError err;
	KvStatus status;

	kv_error_clear(&err);
	status = kvlsm_own_latest(row->key.slice, &own, &err);
	if (status == KV_NOT_FOUND)
		return exists;
	kvlsm_check(status, &err);
	return kvlsm_own_is_live(&own);
}

static void
error_taken(const KvlsmModify *m, Relation rel, const NewRow *row)
{
	TupleTableSlot *slot = row->slot;

	if (slot == NULL)
	{
		slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
		kvlsm_row_fill(m->layout, NULL, row->key.slice, row->value.slice, slot);
	}
	kvlsm_error_duplicate(m, rel, slot);
}

/* Writes what may be written; returns how many, with their slots in kept. */
static int
insert_rows(KvlsmModify *m, Relation rel, NewRow *rows, int n,
			TupleTableSlot **kept)
{
	KvlsmDuplicate on_duplicate = m->layout->options.on_duplicate;
	bool *exists = palloc0(n * sizeof(bool));
	int n_kept = 0;
	int i;

	if (on_duplicate != KVLSM_DUPLICATE_UPDATE)
		find_all(m, rows, n, exists);
	for (i = 0; i < n; i++)
	{
		if (on_duplicate != KVLSM_DUPLICATE_UPDATE &&
			is_taken(&rows[i], exists[i]))
		{
			if (on_duplicate == KVLSM_DUPLICATE_ERROR)
				error_taken(m, rel, &rows[i]);
			continue;
		}
		put(m, &rows[i]);
		kept[n_kept++] = rows[i].slot;
	}
	return n_kept;
}

static TupleTableSlot **
exec_batch(EState *estate, ResultRelInfo *rinfo, TupleTableSlot **slots,
		   TupleTableSlot **plan_slots, int *n_slots)
{
	KvlsmModify *m = rinfo->ri_FdwState;
	TupleTableSlot **kept;
	MemoryContext old;
	NewRow *rows;
	int i;

	MemoryContextReset(m->row_context);
	old = MemoryContextSwitchTo(m->row_context);
	/* the array of slots is the core's: it goes on with it */
	kept = palloc(*n_slots * sizeof(TupleTableSlot *));
	rows = MemoryContextAllocHuge(CurrentMemoryContext,
								  *n_slots * sizeof(NewRow));
	for (i = 0; i < *n_slots; i++)
		encode(m, rinfo, estate, &rows[i], slots[i]);
	*n_slots = insert_rows(m, rinfo->ri_RelationDesc, rows, *n_slots, kept);
	MemoryContextSwitchTo(old);
	return kept;
}

/* Does COPY into the table run what may look at its rows? */
static bool
copy_may_look(const ResultRelInfo *rinfo)
{
	const TupleConstr *constr = RelationGetDescr(rinfo->ri_RelationDesc)->constr;
	int n = constr == NULL ? 0 : constr->num_defval;
	int i;

	/* triggers may look at it, also before COPY says that it ends */
	if (rinfo->ri_TrigDesc != NULL)
		return true;
	for (i = 0; i < n; i++)
		if (calls_such(stringToNode(constr->defval[i].adbin), NULL))
			return true;
	return false;
}

/*
 * PostgreSQL 15 gives a foreign table the rows of COPY one by one.  A row that
 * is ignored would be counted, so that on_duplicate 'ignore' has it so.
 */
void
kvlsm_let_rows_wait(KvlsmModify *m, const ResultRelInfo *rinfo)
{
	const ResultRelInfo *root = rinfo->ri_RootResultRelInfo;

	if (m->mtstate->ps.plan != NULL || m->layout->options.batch_size == 1 ||
		kvlsm_copy_has_where() ||
		m->layout->options.on_duplicate == KVLSM_DUPLICATE_IGNORE ||
		copy_may_look(rinfo) || (root != NULL && copy_may_look(root)))
		return;
	let_wait(m);
}

void
kvlsm_insert_waiting(KvlsmModify *m, ResultRelInfo *rinfo)
{
	MemoryContext old = MemoryContextSwitchTo(m->row_context);
	int n = m->n_waiting;
	int i;

	for (i = 0; i < n; i++)
		m->waiting[i].slot = NULL;
	m->n_waiting = 0;
	m->waiting_bytes = 0;
	(void) insert_rows(m, rinfo->ri_RelationDesc, m->waiting, n,
					   palloc(n * sizeof(TupleTableSlot *)));
	MemoryContextSwitchTo(old);
	MemoryContextReset(m->row_context);
}

/* ---- the end of a statement's run */

static ExecutorRun_hook_type prev_run;

static void
write_waiting(ResultRelInfo *rinfo)
{
	KvlsmModify *m = rinfo->ri_FdwState;

	if (rinfo->ri_FdwRoutine != NULL &&
		rinfo->ri_FdwRoutine->ExecForeignInsert == exec_insert && m != NULL &&
		m->n_waiting > 0)
		kvlsm_insert_waiting(m, rinfo);
}

/* Before the statement's triggers, of whatever table, see what it has done. */
static void
run_hook(QueryDesc *query, ScanDirection direction,
		 uint64 count KVLSM_EXECUTE_ONCE_PARAM)
{
	ModifyTableState *mtstate = (ModifyTableState *) query->planstate;
	ListCell *lc;

	if (prev_run)
		prev_run(query, direction, count KVLSM_EXECUTE_ONCE_ARG);
	else
		standard_ExecutorRun(query, direction, count KVLSM_EXECUTE_ONCE_ARG);
	if (query->operation != CMD_INSERT || !IsA(mtstate, ModifyTableState))
		return;
	write_waiting(mtstate->resultRelInfo);
	foreach (lc, query->estate->es_tuple_routing_result_relations)
		write_waiting(lfirst(lc));
}

void
kvlsm_install_run_hook(void)
{
	prev_run = ExecutorRun_hook;
	ExecutorRun_hook = run_hook;
}

void
kvlsm_insert_callbacks(FdwRoutine *routine)
{
	routine->PlanForeignModify = plan_modify;
	routine->ExecForeignInsert = exec_insert;
	routine->GetForeignModifyBatchSize = batch_size;
	routine->ExecForeignBatchInsert = exec_batch;
}
