/* SPDX-License-Identifier: PostgreSQL */
/*
 * scan.h - reading from the engine as one transaction sees it.
 *
 * What the SQL functions and the foreign table have in common: own writes
 * laid over what a snapshot sees, and scans that do not outlive the memory
 * context or the transaction they were opened in.
 */
#ifndef KVLSM_SCAN_H
#define KVLSM_SCAN_H

#include "kvlsm.h"

typedef struct KvlsmFound
{
	KvSlice value;	  /* borrowed until the next lookup, or write */
	int64 expires_us; /* 0: never */
} KvlsmFound;

/*
 * The value of key as of the snapshot and this transaction's earlier
 * commands; false: there is none.
 */
bool kvlsm_lookup(KvSlice key, Snapshot snapshot, KvlsmFound *found);
/*
 * kvlsm_lookup of many keys, several times as fast as one by one.  values[i]
 * is palloced, or has no data: there is none.
 */
void kvlsm_lookup_many(const KvSlice *keys, uint32 n, Snapshot snapshot,
					   KvSlice *values);
/*
 * The newest value, by whatever command or transaction; the caller holds the
 * key's lock.  40001 if it was written by a transaction that the snapshot
 * does not see (NULL: not asked).
 */
bool kvlsm_lookup_latest(KvSlice key, Snapshot snapshot, KvlsmFound *found);
/* The same, but a row that such a transaction has deleted is just not there. */
bool kvlsm_lookup_conflict(KvSlice key, Snapshot snapshot, KvlsmFound *found);

/*
 * Which of the keys have a row that is committed, whatever the snapshot; this
 * transaction's own unlogged writes are not looked at.
 */
void kvlsm_exist_latest(const KvSlice *keys, uint32 n, bool *exists);
/* Is an own write a row, rather than a deletion or expired? */
bool kvlsm_own_is_live(const KvEntry *own);

/*
 * Locks the key to the end of the transaction and reads its newest version;
 * at levels with one snapshot for the transaction 40001 as above.
 */
bool kvlsm_read_to_modify(KvSlice key, Snapshot snapshot, KvlsmFound *found);

typedef struct KvlsmScan KvlsmScan;

/*
 * In the current memory context; closed with it, or at the latest when the
 * transaction ends.  The snapshot must live as long.
 */
KvlsmScan *kvlsm_scan_open(KvSlice lower, KvSlice upper, bool reverse,
						   Snapshot snapshot);
/* false at the end; entry borrowed until the next call */
bool kvlsm_scan_next(KvlsmScan *scan, KvEntry *entry);
/* How many are left; the scan is at its end then. */
uint64 kvlsm_scan_count(KvlsmScan *scan);
void kvlsm_scan_rewind(KvlsmScan *scan);
void kvlsm_scan_close(KvlsmScan *scan);
void kvlsm_close_all_scans(void); /* at the end of a transaction; never fails */

/*
 * 40001 if a key in the interval has a newest version that the snapshot does
 * not see.  Reads the interval; the caller keeps other writers out.
 */
void kvlsm_check_range(KvSlice lower, KvSlice upper, Snapshot snapshot);

/* The first key after all that start with prefix; empty: there is none. */
KvSlice kvlsm_prefix_end(KvSlice prefix, char *buf);
/* All of a store.  buf: KV_STORE_PREFIX bytes each. */
void kvlsm_store_bounds(uint32 store_id, char *lower_buf, char *upper_buf,
						KvSlice *lower, KvSlice *upper);

#endif /* KVLSM_SCAN_H */
