/* SPDX-License-Identifier: PostgreSQL */
/*
 * fdw_damage.c - for tests: rows of a table with damage done to their bytes
 * are decoded; each is a row or XX001, never a crash.
 *
 * Backends of builds with TESTING=1 only; test/t/021_damage.pl calls it.
 */
#ifdef KVLSM_TESTING

#include "fdw.h"

#include "access/relation.h"
#include "common/pg_prng.h"
#include "executor/executor.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "scan.h"
#include "utils/builtins.h"
#include "utils/memutils.h"
#include "utils/snapmgr.h"

/* A copy may become longer by this. */
#define MAX_GROWTH 8

typedef struct Tally
{
	int good;
	int damaged;
} Tally;

static uint64
below(pg_prng_state *random, uint64 n)
{
	return n == 0 ? 0 : pg_prng_uint64(random) % n;
}

/* A copy in memory of its own size, so that reading past it can be seen. */
static KvSlice
damage(pg_prng_state *random, KvSlice bytes, size_t keep)
{
	size_t len = bytes.len;
	char *copy = palloc(len + MAX_GROWTH);
	int n = 1 + (int) below(random, 3);
	size_t at;

	memcpy(copy, bytes.data, len);
	for (; n > 0 && len > keep; n--)
	{
		at = keep + below(random, len - keep);
		switch (below(random, 4))
		{
		case 0:
			copy[at] = (char) pg_prng_uint64(random);
			break;
		case 1:
			copy[at] ^= (char) (1 << below(random, 8));
			break;
		case 2:
			len = at;
			break;
		default:
			if (len == bytes.len + MAX_GROWTH)
				break;
			memmove(copy + at + 1, copy + at, len - at);
			copy[at] = (char) pg_prng_uint64(random);
			len++;
		}
	}
	return kv_slice(memcpy(palloc(len + 1), copy, len), len);
}

static void
decode(const KvlsmLayout *layout, KvSlice key, KvSlice value, bool in_place,
	   TupleTableSlot *slot, Tally *tally)
{
	MemoryContext caller = CurrentMemoryContext;

	PG_TRY();
	{
		if (in_place)
			kvlsm_row_fill_in_place(layout, NULL, key, value, slot);
		else
			kvlsm_row_fill(layout, NULL, key, value, slot);
		tally->good++;
	}
	PG_CATCH();
	{
		if (geterrcode() != ERRCODE_DATA_CORRUPTED)
			PG_RE_THROW();
		MemoryContextSwitchTo(caller);
		FlushErrorState();
		tally->damaged++;
	}
	PG_END_TRY();
}

static void
damage_row(const KvlsmLayout *layout, const KvEntry *entry, int rounds,
		   pg_prng_state *random, TupleTableSlot *slot, Tally *tally)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext,
												  "damaged row",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	int i;

	for (i = 0; i < rounds; i++)
	{
		KvSlice key = damage(random, entry->key, KV_STORE_PREFIX);
		KvSlice value = damage(random, entry->value, 0);

		decode(layout, key, entry->value, false, slot, tally);
		decode(layout, entry->key, value, (i & 1) != 0, slot, tally);
		ExecClearTuple(slot);
		MemoryContextReset(context);
	}
	MemoryContextSwitchTo(old);
	MemoryContextDelete(context);
}

PG_FUNCTION_INFO_V1(kvlsm_sql_damage_rows);

/* (table regclass, rounds for each row int, seed int): "good damaged" */
Datum
kvlsm_sql_damage_rows(PG_FUNCTION_ARGS)
{
	Relation rel = relation_open(PG_GETARG_OID(0), AccessShareLock);
	KvlsmLayout *layout = kvlsm_layout_of(rel);
	TupleTableSlot *slot = MakeSingleTupleTableSlot(RelationGetDescr(rel),
													&TTSOpsVirtual);
	char bounds[2][KV_STORE_PREFIX];
	Tally tally = {0, 0};
	pg_prng_state random;
	KvlsmStore store;
	KvSlice lower;
	KvSlice upper;
	KvlsmScan *scan;
	KvEntry entry;

	pg_prng_seed(&random, (uint64) PG_GETARG_INT32(2));
	kvlsm_store_of_relation(RelationGetRelid(rel), false, &store);
	kvlsm_store_bounds(store.id, bounds[0], bounds[1], &lower, &upper);
	scan = kvlsm_scan_open(lower, upper, false, GetActiveSnapshot());
	while (kvlsm_scan_next(scan, &entry))
	{
		CHECK_FOR_INTERRUPTS();
		damage_row(layout, &entry, PG_GETARG_INT32(1), &random, slot, &tally);
	}
	kvlsm_scan_close(scan);
	ExecDropSingleTupleTableSlot(slot);
	relation_close(rel, AccessShareLock);
	PG_RETURN_TEXT_P(cstring_to_text(psprintf("%d %d", tally.good,
											  tally.damaged)));
}

#endif
