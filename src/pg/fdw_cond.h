/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_cond.h - conditions on key columns, from the planner's clauses to
 * intervals of keys.
 *
 * fdw_cond.c runs in the planner, fdw_range.c in the executor; between them
 * stand two parallel lists of the plan: the conditions as expressions, "key
 * column, operator, value", and for each of them what fdw_range.c must know.
 */
#ifndef KVLSM_FDW_COND_H
#define KVLSM_FDW_COND_H

#include "fdw.h"

#include "nodes/execnodes.h"
#include "nodes/pathnodes.h"

/* ---- fdw_cond.c */
typedef struct KvlsmChosen
{
	List *quals; /* expressions, the key column on the left */
	List *conds; /* for each a list of integers: kvlsm_ranges_init reads it */
	List *exact; /* IndexClauses that need no other check */
	bool points; /* whole keys: at most one row for each combination */
} KvlsmChosen;

/*
 * Which of the clauses that match the key bound the keys to be read:
 * equalities on the first columns, then ranges on the next one.
 */
void kvlsm_choose_conds(const KvlsmLayout *layout, const IndexOptInfo *index,
						List *index_clauses, KvlsmChosen *chosen);

/* ---- fdw_range.c */
/* [lower, upper); of a point upper has no data */
typedef struct KvlsmKeyRange
{
	KvSlice lower, upper;
} KvlsmKeyRange;

typedef struct KvlsmRanges KvlsmRanges;

/*
 * Palloced; quals are compiled for parent.  Without one their values must be
 * constants: NULL if they are not.
 */
KvlsmRanges *kvlsm_ranges_init(const KvlsmLayout *layout, List *quals,
							   List *conds, PlanState *parent);
/*
 * The intervals for the values that the conditions have now: disjoint, in
 * key order, palloced in the current context; *points: all are points.
 */
int kvlsm_ranges_make(KvlsmRanges *ranges, ExprContext *econtext,
					  uint32 store_id, KvlsmKeyRange **made, bool *points);

#endif /* KVLSM_FDW_COND_H */
