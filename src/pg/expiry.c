/* SPDX-License-Identifier: PostgreSQL */
/*
 * expiry.c - the clock that expiry is compared with.
 *
 * A transaction compares with its own start, so that it sees one truth from
 * beginning to end.  Compaction may forget a value only when no transaction
 * can still find it alive.  PostgreSQL does not publish when transactions
 * started (pg_stat_activity may be switched off), so kvlsm does, at the
 * first read of each: a slot for each process holds the clock of its
 * transaction, and the horizon is the largest value ever promised to a
 * compaction.  A reader stores its slot, then reads the horizon; a
 * compaction raises the horizon, then reads the slots, with a full barrier
 * between the two steps on both sides.  So either the compaction respects
 * the reader, or the reader sees the horizon and takes it for its clock: it
 * began before the horizon, had not read anything yet, and what has expired
 * since then is gone for it all the same.
 */
#include "kvlsm.h"

#include "access/xact.h"
#include "compat.h"
#include "miscadmin.h"
#include "storage/shmem.h"
#include "utils/timestamp.h"

/* In shared memory; times of 0 mean none. */
typedef struct ClockShared
{
	pg_atomic_uint64 horizon;
	pg_atomic_uint64 slots[FLEXIBLE_ARRAY_MEMBER]; /* by process number */
} ClockShared;

static ClockShared *clock_shared = NULL;
static LocalTransactionId my_lxid = InvalidLocalTransactionId;
static TimestampTz my_clock;

static int
slot_count(void)
{
	return MaxBackends + NUM_AUXILIARY_PROCS;
}

Size
kvlsm_clock_bytes(void)
{
	return add_size(offsetof(ClockShared, slots),
					mul_size(sizeof(pg_atomic_uint64), slot_count()));
}

void
kvlsm_clock_startup(void)
{
	bool found;
	int i;

	clock_shared = ShmemInitStruct("kvlsm clocks", kvlsm_clock_bytes(), &found);
	if (found)
		return;
	pg_atomic_init_u64(&clock_shared->horizon, 0);
	for (i = 0; i < slot_count(); i++)
		pg_atomic_init_u64(&clock_shared->slots[i], 0);
}

TimestampTz
kvlsm_read_clock(void)
{
	TimestampTz start;
	TimestampTz horizon;
	pg_atomic_uint64 *slot;

	if (my_lxid == kvlsm_my_lxid() && my_lxid != InvalidLocalTransactionId)
		return my_clock;
	if (!IsTransactionState())
		return GetCurrentTimestamp();

	start = GetCurrentTransactionStartTimestamp();
	slot = &clock_shared->slots[kvlsm_my_proc_no()];
	pg_atomic_write_u64(slot, (uint64) start);
	pg_memory_barrier(); /* pairs with kvlsm_oldest_clock */
	horizon = (TimestampTz) pg_atomic_read_u64(&clock_shared->horizon);
	if (horizon > start)
	{
		start = horizon;
		pg_atomic_write_u64(slot, (uint64) start);
	}
	my_clock = start;
	my_lxid = kvlsm_my_lxid();
	return start;
}

void
kvlsm_end_clock(void)
{
	if (my_lxid == InvalidLocalTransactionId)
		return;
	my_lxid = InvalidLocalTransactionId;
	pg_atomic_write_u64(&clock_shared->slots[kvlsm_my_proc_no()], 0);
}

static TimestampTz
oldest_slot(TimestampTz oldest)
{
	int i;

	for (i = 0; i < slot_count(); i++)
	{
		TimestampTz t = (TimestampTz) pg_atomic_read_u64(&clock_shared->slots[i]);

		if (t != 0 && t < oldest)
			oldest = t;
	}
	return oldest;
}

TimestampTz
kvlsm_oldest_clock(void)
{
	TimestampTz oldest = oldest_slot(GetCurrentTimestamp());
	uint64 known = pg_atomic_read_u64(&clock_shared->horizon);

	while (known < (uint64) oldest &&
		   !pg_atomic_compare_exchange_u64(&clock_shared->horizon, &known,
										   (uint64) oldest))
		;
	pg_memory_barrier(); /* pairs with kvlsm_read_clock */
	return oldest_slot(oldest);
}
