/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_modify.h - what the files share that write through a foreign table.
 */
#ifndef KVLSM_FDW_MODIFY_H
#define KVLSM_FDW_MODIFY_H

#include "fdw.h"

#include "nodes/execnodes.h"
#include "scan.h"

/* rinfo->ri_FdwState */
typedef struct KvlsmModify
{
	ModifyTableState *mtstate;
	KvlsmLayout *layout;
	KvlsmStore store;
	AttrNumber *key_junk; /* of each key column in the plan's rows; or NULL */
	OnConflictAction on_conflict;
	CommandId owner; /* of the writes: the statement's command id */
	bool one_by_one; /* what the statement calls may look at its rows */
	MemoryContext row_context; /* reset for each row, or batch */
	/* rows that wait until a batch of them is written together */
	struct KvlsmNewRow *waiting; /* NULL: rows do not wait */
	int n_waiting;
	size_t waiting_bytes;
} KvlsmModify;

/* ---- fdw_modify.c */
/*
 * Palloced, with the store open for writing; mtstate NULL: the scan does it
 * all (fdw_direct.c).
 */
KvlsmModify *kvlsm_modify_begin(ModifyTableState *mtstate, EState *estate,
								Relation rel);
/* What the core checks for tables, and believes of foreign ones. */
void kvlsm_check_constraints(ResultRelInfo *rinfo, TupleTableSlot *slot,
							 EState *estate);
/* When a row that is written now expires; old_expires: what it replaces. */
int64 kvlsm_row_expires(const KvlsmModify *m, int64 old_expires);
/* 23505 as PostgreSQL words it; slot has the row. */
pg_noreturn void kvlsm_error_duplicate(const KvlsmModify *m, Relation rel,
									   TupleTableSlot *slot);
/*
 * Has this command written the key already?  27000 if a trigger or function
 * that it called has.
 */
bool kvlsm_is_done(const KvlsmModify *m, KvSlice key, Snapshot snapshot,
				   CmdType operation);
/*
 * The xmax that RETURNING sees of a written row, if the slot can have one: 0
 * if the row is new, which is how statements tell what ON CONFLICT did.
 */
void kvlsm_set_xmax(TupleTableSlot *slot, TransactionId xmax);
/*
 * Writes the row in the slot in place of the one under old_key, which is
 * locked: its key may be another one, which must be free (23505).
 */
void kvlsm_replace_row(KvlsmModify *m, ResultRelInfo *rinfo, EState *estate,
					   KvSlice old_key, int64 old_expires,
					   TupleTableSlot *slot);

/* ---- fdw_insert.c */
/* Rows of this COPY may be written in batches, if nothing looks at each. */
void kvlsm_let_rows_wait(KvlsmModify *m, const ResultRelInfo *rinfo);
/* Writes those that wait. */
void kvlsm_insert_waiting(KvlsmModify *m, ResultRelInfo *rinfo);
void kvlsm_insert_callbacks(FdwRoutine *routine);
/* 0A000 if the plan's ON CONFLICT cannot be done on the table. */
void kvlsm_check_on_conflict(const KvlsmModify *m, Relation rel);

#endif /* KVLSM_FDW_MODIFY_H */
