/* SPDX-License-Identifier: PostgreSQL */
/*
 * write_set.c - the writes of a transaction before its commit.
 *
 * The engine keeps the entries (KvWriteSet); here each gets its stamp, another
 * one for every (command, subtransaction) pair, in the order of time.  Command
 * ids only rise within a transaction, so "what earlier commands wrote" is
 * the stamps below a limit.  Subtransactions nest, so what one of them and
 * its children wrote since it began is the tail of the stamps whose
 * subtransaction id is not below its own; a subtransaction that commits
 * needs no work, because its parent's id is smaller.
 *
 * A million statements have a million stamps, so they are kept as stretches:
 * as long as the subtransaction stays the same, stamps rise as command ids do.
 *
 * A statement whose triggers or functions run commands goes on under later
 * command ids than its own, and is told apart from them by its stretches.
 *
 * Backends only; freed by xact.c when the transaction ends.
 */
#include "write_set.h"

#include "access/xact.h"
#include "compat.h"
#include "miscadmin.h"
#include "storage/latch.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

typedef struct Stretch
{
	uint32 stamp; /* of its first write */
	CommandId cid;
	SubTransactionId subid;
	CommandId owner; /* the statement's, if not that of each write */
} Stretch;

static KvWriteSet *write_set = NULL;
/* of a transaction that has ended, empty, for the next one */
static KvWriteSet *spare_set = NULL;
static int spare_memory; /* kvlsm.write_set_memory when it was opened */
static Stretch *stretches = NULL;
static uint32 stretch_count = 0;
static uint32 stretch_room = 0;
static uint32 next_stamp = 0;
static size_t largest_write = 0;
static bool closed = false;

static void
add_stretch(CommandId cid, SubTransactionId subid, CommandId owner)
{
	Stretch *stretch;

	if (stretch_count == stretch_room)
	{
		uint32 room = stretch_room == 0 ? 64 : stretch_room * 2;

		if (stretches == NULL)
			stretches = MemoryContextAlloc(TopMemoryContext,
										   room * sizeof(Stretch));
		else
			stretches = repalloc_huge(stretches, (Size) room * sizeof(Stretch));
		stretch_room = room;
	}
	stretch = &stretches[stretch_count++];
	stretch->stamp = next_stamp;
	stretch->cid = cid;
	stretch->subid = subid;
	stretch->owner = owner;
}

static uint32
stamp_now(CommandId owner)
{
	CommandId cid = GetCurrentCommandId(true);
	SubTransactionId subid = GetCurrentSubTransactionId();
	const Stretch *last;
	uint64 stamp;

	if (owner == cid)
		owner = InvalidCommandId;
	if (stretch_count == 0 || stretches[stretch_count - 1].subid != subid ||
		stretches[stretch_count - 1].owner != owner)
		add_stretch(cid, subid, owner);
	last = &stretches[stretch_count - 1];
	stamp = (uint64) last->stamp + (cid - last->cid);
	if (stamp >= PG_UINT32_MAX)
		ereport(ERROR, (errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
						errmsg("too many commands in a transaction that "
							   "writes to kvlsm stores")));
	next_stamp = (uint32) stamp + 1;
	return (uint32) stamp;
}

/* The stamp of a write now; opens the set, and clears the error. */
static uint32
begin_write(CommandId owner, KvError *err)
{
	uint32 stamp;

	if (unlikely(closed))
		ereport(ERROR,
				(errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				 errmsg("cannot write to a kvlsm store any more: the commit "
						"of this transaction has begun")));
	stamp = stamp_now(owner);
	kv_error_clear(err);
	if (write_set == NULL && spare_set != NULL &&
		spare_memory == kvlsm_write_set_memory)
	{
		write_set = spare_set;
		spare_set = NULL;
	}
	if (write_set == NULL)
	{
		kvlsm_check(kv_write_set_open(kvlsm_env(),
									  (size_t) kvlsm_write_set_memory * 1024,
									  &write_set),
					err);
		spare_memory = kvlsm_write_set_memory;
	}
	return stamp;
}

/* owner: InvalidCommandId is the current command. */
static void
buffer_write_of(CommandId owner, const KvEntry *entry)
{
	KvError err;
	uint32 stamp = begin_write(owner, &err);
	size_t size = entry->key.len + entry->value.len + KVLSM_ENTRY_OVERHEAD;

	kvlsm_check(kv_write_set_add(write_set, stamp, entry, &err), &err);
	if (size > largest_write)
		largest_write = size;
}

void
kvlsm_buffer_write(const KvEntry *entry)
{
	buffer_write_of(InvalidCommandId, entry);
}

void
kvlsm_write_delete_range(KvSlice lower, KvSlice upper)
{
	KvError err;
	uint32 stamp = begin_write(InvalidCommandId, &err);

	kvlsm_check(kv_write_set_delete_range(write_set, stamp, lower, upper, &err),
				&err);
}

void
kvlsm_write_put_of(CommandId owner, KvSlice key, KvSlice value,
				   int64 expires_us)
{
	KvEntry entry = {0};

	entry.key = key;
	entry.value = value;
	entry.kind = expires_us != 0 ? KV_KIND_PUT_EXPIRING : KV_KIND_PUT;
	entry.expires_us = expires_us;
	buffer_write_of(owner, &entry);
}

void
kvlsm_write_put(KvSlice key, KvSlice value, int64 expires_us)
{
	kvlsm_write_put_of(InvalidCommandId, key, value, expires_us);
}

void
kvlsm_write_delete_of(CommandId owner, KvSlice key)
{
	KvEntry entry = {0};

	entry.key = key;
	entry.kind = KV_KIND_DELETE;
	buffer_write_of(owner, &entry);
}

void
kvlsm_write_delete(KvSlice key)
{
	kvlsm_write_delete_of(InvalidCommandId, key);
}

KvWriteSet *
kvlsm_own_writes(Snapshot snapshot, uint32 *limit)
{
	uint32 low = 0;
	uint32 high = stretch_count;
	uint64 end;

	if (write_set == NULL)
		return NULL;
	/* the last stretch that began before, most often the last of all */
	if (high > 0 && stretches[high - 1].cid < snapshot->curcid)
		low = high;
	while (low < high)
	{
		uint32 mid = low + (high - low) / 2;

		if (stretches[mid].cid < snapshot->curcid)
			low = mid + 1;
		else
			high = mid;
	}
	if (low == 0)
		return NULL;
	end = low < stretch_count ? stretches[low].stamp : next_stamp;
	*limit = (uint32) Min(end, (uint64) stretches[low - 1].stamp +
								   (snapshot->curcid - stretches[low - 1].cid));
	return write_set;
}

KvStatus
kvlsm_own_latest(KvSlice key, KvEntry *entry, KvError *err)
{
	if (write_set == NULL)
		return KV_NOT_FOUND;
	return kv_write_set_get(write_set, key, PG_UINT32_MAX, entry, err);
}

/* Which version of key has a stamp below the limit; 0: none. */
static uint64
version_below(KvSlice key, uint32 limit)
{
	KvEntry entry;
	KvError err;
	KvStatus status;

	if (limit == 0)
		return 0;
	kv_error_clear(&err);
	status = kv_write_set_get(write_set, key, limit, &entry, &err);
	if (status == KV_NOT_FOUND)
		return 0;
	kvlsm_check(status, &err);
	return entry.csn;
}

/* Whose write a stamp is. */
static CommandId
owner_of(uint32 stamp)
{
	uint32 low = 0;
	uint32 high = stretch_count;
	const Stretch *stretch;

	Assert(stamp < next_stamp);
	while (high - low > 1)
	{
		uint32 mid = low + (high - low) / 2;

		if (stretches[mid].stamp <= stamp)
			low = mid;
		else
			high = mid;
	}
	stretch = &stretches[low];
	if (stretch->owner != InvalidCommandId)
		return stretch->owner;
	return stretch->cid + (stamp - stretch->stamp);
}

bool
kvlsm_written_since(KvSlice key, Snapshot snapshot, CommandId *owner)
{
	uint32 low = 0;
	uint32 high = next_stamp;
	uint64 newest;

	(void) kvlsm_own_writes(snapshot, &low);
	if (write_set == NULL || low == high)
		return false;
	newest = version_below(key, high);
	if (newest == 0 || newest == version_below(key, low))
		return false;
	/* the stamp is the last one with which the version is not yet there */
	while (high - low > 1)
	{
		uint32 mid = low + (high - low) / 2;

		if (version_below(key, mid) == newest)
			high = mid;
		else
			low = mid;
	}
	*owner = owner_of(low);
	return true;
}

KvWriteSet *
kvlsm_write_set(void)
{
	return write_set;
}

size_t
kvlsm_largest_write(void)
{
	return largest_write;
}

void
kvlsm_close_write_set(void)
{
	closed = true;
}

void
kvlsm_abort_sub_writes(SubTransactionId subid)
{
	uint32 first = stretch_count;

	while (first > 0 && stretches[first - 1].subid >= subid)
		first--;
	if (write_set != NULL && first < stretch_count)
		kv_write_set_kill(write_set, stretches[first].stamp);
}

void
kvlsm_free_write_set(void)
{
	if (write_set != NULL)
	{
		kv_write_set_free(spare_set);
		spare_set = NULL;
		if (kv_write_set_reset(write_set))
			spare_set = write_set;
		else
			kv_write_set_free(write_set);
	}
	write_set = NULL;
	stretch_count = 0;
	next_stamp = 0;
	largest_write = 0;
	closed = false;
	if (stretch_room > 4096)
	{
		pfree(stretches);
		stretches = NULL;
		stretch_room = 0;
	}
}

/* Slows a writer down while flush or compaction is behind. */
static void
delay_write(uint64 us)
{
	KVLSM_WAIT_EVENT(wait_event, "KvlsmWriteDelay");
	TimestampTz end = GetCurrentTimestamp() + us;

	while (us > 0)
	{
		long left_ms = TimestampDifferenceMilliseconds(GetCurrentTimestamp(),
													   end);

		if (left_ms <= 0)
			break;
		(void) WaitLatch(MyLatch,
						 WL_LATCH_SET | WL_TIMEOUT | WL_EXIT_ON_PM_DEATH,
						 left_ms, wait_event);
		ResetLatch(MyLatch);
		CHECK_FOR_INTERRUPTS();
	}
}

void
kvlsm_wait_before_write(KvDb *db)
{
	static LocalTransactionId last_lxid = InvalidLocalTransactionId;
	static CommandId last_cid = InvalidCommandId;
	CommandId cid = GetCurrentCommandId(false);
	TimestampTz started = 0;

	if (cid == last_cid && kvlsm_my_lxid() == last_lxid)
		return;
	while (kv_write_would_stall(db))
	{
		kv_stall_foreseen(db, started == 0);
		kvlsm_wait_for_room(&started);
	}
	delay_write(kv_write_delay_us(db));
	last_cid = cid;
	last_lxid = kvlsm_my_lxid();
}
