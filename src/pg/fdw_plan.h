/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_plan.h - what the planning files of the foreign data wrapper share, and
 * how a plan is handed to the executor.
 */
#ifndef KVLSM_FDW_PLAN_H
#define KVLSM_FDW_PLAN_H

#include "fdw_cond.h"

#include "nodes/plannodes.h"

struct ExplainState;

/* rel->fdw_private */
typedef struct KvlsmRelInfo
{
	KvlsmLayout *layout;
	IndexOptInfo *index; /* the key, described as an index */
	double bytes;		 /* of the table, about */
	double memory;		 /* rows that may be in memory only */
	bool known;			 /* by the engine, not guessed */
} KvlsmRelInfo;

typedef enum KvlsmRowLock
{
	KVLSM_LOCK_NONE,
	KVLSM_LOCK_SHARE,
	KVLSM_LOCK_UPDATE
} KvlsmRowLock;

/* fdw_private of a ForeignScan: lists of integers, but for CONDS */
enum
{
	KVLSM_PLAN_COLUMNS, /* attribute numbers that are wanted; 0: all */
	KVLSM_PLAN_FLAGS,	/* see below */
	KVLSM_PLAN_CONDS,	/* belonging to fdw_recheck_quals */
	KVLSM_PLAN_SET,		/* of a direct UPDATE: attributes of fdw_exprs */
	KVLSM_PLAN_TAG		/* of a direct one: 1: it counts rows */
};
enum
{
	KVLSM_FLAG_LOCK,	/* KvlsmRowLock */
	KVLSM_FLAG_POLICY,	/* LockWaitPolicy */
	KVLSM_FLAG_REVERSE, /* 1: backward */
	KVLSM_FLAG_COUNT	/* 1: the answer is the number of rows */
};

/* ---- fdw_analyze.c */
bool kvlsm_analyze(Relation rel, AcquireSampleRowsFunc *func,
				   BlockNumber *pages);

/* ---- fdw_size.c */
/* Rows and bytes, about; false: nobody can say.  Never raises. */
bool kvlsm_table_size(Oid relid, double *tuples, double *bytes);
/* Fills rel's pages and tuples; never raises because of the store. */
void kvlsm_estimate_size(RelOptInfo *rel, Oid relid, KvlsmRelInfo *info);
/*
 * About how many rows the conditions leave of the table, by the engine's
 * files; false: nobody can say, or a value is not known yet.
 */
bool kvlsm_estimate_rows(PlannerInfo *root, const KvlsmRelInfo *info,
						 Oid relid, const KvlsmChosen *chosen, double *rows);

/* ---- fdw_plan.c */
void kvlsm_plan_callbacks(FdwRoutine *routine);
/* Startup and total cost of reading so many rows of so many intervals. */
void kvlsm_scan_cost(const RelOptInfo *rel, double ranges, double rows,
					 Cost per_row, Cost *startup, Cost *total);

/* ---- fdw_scan.c: the executor's calls, also for fdw_direct.c */
typedef struct KvlsmScanRow
{
	KvSlice key; /* borrowed until the next row, or write */
	int64 expires_us;
} KvlsmScanRow;
void kvlsm_scan_begin(ForeignScanState *node, int eflags);
TupleTableSlot *kvlsm_scan_iterate(ForeignScanState *node);
/* More about the row in the slot, of a scan that locks rows to change them. */
const KvlsmScanRow *kvlsm_scan_row(const ForeignScanState *node);
void kvlsm_scan_end(ForeignScanState *node);
void kvlsm_scan_explain(ForeignScanState *node, struct ExplainState *es);

/* ---- fdw_direct.c */
void kvlsm_direct_callbacks(FdwRoutine *routine);

/* ---- fdw_explain.c */
typedef struct KvlsmScanReport
{
	const char *counted; /* the table, of a count; else NULL */
	bool reverse;
	uint64 rows_read;
	KvReadCost cost;
} KvlsmScanReport;
void kvlsm_explain_scan(ForeignScan *plan, struct ExplainState *es,
						const KvlsmScanReport *report);

/* ---- fdw_count.c */
void kvlsm_upper_paths(PlannerInfo *root, UpperRelationKind stage,
					   RelOptInfo *input, RelOptInfo *output, void *extra);
ForeignScan *kvlsm_count_plan(PlannerInfo *root, ForeignPath *path,
							  List *tlist);

#endif /* KVLSM_FDW_PLAN_H */
