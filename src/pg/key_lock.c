/* SPDX-License-Identifier: PostgreSQL */
/*
 * key_lock.c - locks on stores and keys, in PostgreSQL's lock manager.
 *
 * Held to the end of the (sub)transaction, seen in pg_locks (database, store
 * id in classid, hash of the key in objid and objsubid; objsubid 0 is the
 * store itself) and by the deadlock detector.  Two keys with one hash share
 * a lock, which only locks too much.  The order is design 8: stores by id,
 * each before its keys, keys in their order.
 */
#include "kvlsm.h"

#include "common/hashfn.h"
#include "compat.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "storage/lock.h"

/*
 * Two transactions that both have keys locked and then wait for the store
 * would wait for each other: while the store is not free they go on with
 * keys, to so many times kvlsm.max_key_locks.
 */
#define MORE_KEY_LOCKS 8

/* keys locked by kvlsm_lock_key_to_modify in this transaction */
static int modify_locks = 0;

static uint32
store_of_key(KvSlice key)
{
	uint32 id;

	Assert(key.len >= KV_STORE_PREFIX);
	memcpy(&id, key.data, sizeof(id));
	return pg_ntoh32(id);
}

static void
set_tag(LOCKTAG *tag, uint32 store_id, uint32 hash, uint16 sub)
{
	tag->locktag_field1 = MyDatabaseId;
	tag->locktag_field2 = store_id;
	tag->locktag_field3 = hash;
	tag->locktag_field4 = sub;
	tag->locktag_type = LOCKTAG_USERLOCK;
	tag->locktag_lockmethodid = DEFAULT_LOCKMETHOD;
}

static void
set_key_tag(LOCKTAG *tag, KvSlice key)
{
	uint64 hash = hash_bytes_extended((const unsigned char *) key.data,
									  (int) key.len, 0);

	set_tag(tag, store_of_key(key), (uint32) hash, (uint16) ((hash >> 32) | 1));
}

void
kvlsm_lock_store(uint32 store_id, LOCKMODE mode)
{
	LOCKTAG tag;

	set_tag(&tag, store_id, 0, 0);
	(void) LockAcquire(&tag, mode, false, false);
}

void
kvlsm_lock_key(KvSlice key)
{
	LOCKTAG tag;

	set_key_tag(&tag, key);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

static bool
acquire(const LOCKTAG *tag, LOCKMODE mode, bool wait)
{
	return LockAcquire(tag, mode, false, !wait) != LOCKACQUIRE_NOT_AVAIL;
}

int
kvlsm_most_key_locks(void)
{
	return kvlsm_max_key_locks * MORE_KEY_LOCKS;
}

bool
kvlsm_lock_store_of_keys(uint32 store_id, int n)
{
	LOCKTAG tag;

	set_tag(&tag, store_id, 0, 0);
	return acquire(&tag, ShareRowExclusiveLock,
				   modify_locks == 0 || n > kvlsm_most_key_locks());
}

bool
kvlsm_lock_row(KvSlice key, bool share, bool wait)
{
	LOCKMODE mode = share ? ShareLock : ExclusiveLock;
	LOCKTAG key_tag;
	LOCKTAG store_tag;

	set_tag(&store_tag, store_of_key(key), 0, 0);
	set_key_tag(&key_tag, key);
	if (kvlsm_lock_held(&store_tag, ShareRowExclusiveLock) ||
		kvlsm_lock_held(&key_tag, ExclusiveLock) ||
		kvlsm_lock_held(&key_tag, mode))
		return true;
	if (modify_locks >= kvlsm_max_key_locks &&
		acquire(&store_tag, ShareRowExclusiveLock, false))
		return true;
	if (modify_locks >= kvlsm_most_key_locks())
		return acquire(&store_tag, ShareRowExclusiveLock, wait);
	if (!acquire(&store_tag, RowExclusiveLock, wait) ||
		!acquire(&key_tag, mode, wait))
		return false;
	modify_locks++;
	return true;
}

void
kvlsm_expect_keys(uint32 store_id, int n)
{
	if (n > kvlsm_max_key_locks - modify_locks)
		kvlsm_lock_store(store_id, ShareRowExclusiveLock);
}

void
kvlsm_lock_key_to_modify(KvSlice key)
{
	(void) kvlsm_lock_row(key, false, true);
}

void
kvlsm_forget_key_locks(void)
{
	modify_locks = 0;
}
