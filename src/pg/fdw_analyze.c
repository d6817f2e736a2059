/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_analyze.c - ANALYZE of a foreign table.
 *
 * All entries are gone through, which costs a tenth of a microsecond each; the
 * rows of a random sample are made and given to PostgreSQL, whose statistics
 * are then those of any table.  Autovacuum does not analyze foreign tables:
 * somebody has to call it.
 *
 * Called by ANALYZE, in backends.
 */
#include "fdw_plan.h"

#include "access/htup_details.h"
#include "compat.h"
#include "executor/tuptable.h"
#include "miscadmin.h"
#include "scan.h"
#include "utils/memutils.h"
#include "utils/sampling.h"
#include "utils/snapmgr.h"

typedef struct Sample
{
	KvlsmLayout *layout;
	TupleTableSlot *slot;
	MemoryContext row_context;
	HeapTuple *rows; /* palloced */
	int n, target;
	double seen; /* entries so far */
	double rows_to_skip;
	ReservoirStateData state;
} Sample;

/* The place in the sample that the entry takes; -1: none. */
static int
place_of_next(Sample *s)
{
	double seen = s->seen++;

	if (s->n < s->target)
		return s->n++;
	if (s->rows_to_skip < 0)
		s->rows_to_skip = reservoir_get_next_S(&s->state, seen, s->target);
	if (s->rows_to_skip-- > 0)
		return -1;
	return (int) (s->target * sampler_random_fract(&s->state.randstate));
}

static void
keep_row(Sample *s, int place, const KvEntry *entry)
{
	MemoryContext old = MemoryContextSwitchTo(s->row_context);

	kvlsm_row_fill(s->layout, NULL, entry->key, entry->value, s->slot);
	MemoryContextSwitchTo(old);
	if (s->rows[place] != NULL)
		heap_freetuple(s->rows[place]);
	s->rows[place] = ExecCopySlotHeapTuple(s->slot);
	ExecClearTuple(s->slot);
	MemoryContextReset(s->row_context);
}

static int
acquire_rows(Relation rel, int elevel, HeapTuple *rows, int target,
			 double *total, double *dead)
{
	char bounds[2][KV_STORE_PREFIX];
	Sample s = {.rows = rows, .target = target, .rows_to_skip = -1};
	KvReadCost before, after;
	KvlsmStore store;
	KvlsmScan *scan;
	KvSlice lower, upper;
	KvEntry entry;

	*total = *dead = 0;
	kvlsm_store_of_relation(RelationGetRelid(rel), false, &store);
	if (store.id == 0)
		return 0;
	s.layout = kvlsm_layout_of(rel);
	s.slot = MakeSingleTupleTableSlot(RelationGetDescr(rel), &TTSOpsVirtual);
	s.row_context = AllocSetContextCreate(CurrentMemoryContext, "kvlsm row",
										  ALLOCSET_DEFAULT_SIZES);
	memset(rows, 0, target * sizeof(HeapTuple));
	reservoir_init_selection_state(&s.state, target);
	kv_read_cost(kvlsm_db(false), &before);
	kvlsm_store_bounds(store.id, bounds[0], bounds[1], &lower, &upper);
	scan = kvlsm_scan_open(lower, upper, false, GetActiveSnapshot());
	while (kvlsm_scan_next(scan, &entry))
	{
		int place = place_of_next(&s);

		if (place >= 0)
			keep_row(&s, place, &entry);
		CHECK_FOR_INTERRUPTS();
	}
	kvlsm_scan_close(scan);
	kv_read_cost(kvlsm_db(false), &after);
	ExecDropSingleTupleTableSlot(s.slot);
	*total = s.seen;
	*dead = (double) (after.skipped - before.skipped);
	ereport(elevel,
			(errmsg("\"%s\": %.0f rows, %.0f deleted or expired ones; %d rows "
					"in sample",
					RelationGetRelationName(rel), *total, *dead, s.n)));
	return s.n;
}

bool
kvlsm_analyze(Relation rel, AcquireSampleRowsFunc *func, BlockNumber *pages)
{
	double tuples;
	double bytes;

	*func = acquire_rows;
	*pages = 1;
	if (kvlsm_table_size(RelationGetRelid(rel), &tuples, &bytes))
		*pages = (BlockNumber) Min(bytes / BLCKSZ + 1, MaxBlockNumber);
	return true;
}
