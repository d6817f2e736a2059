/* SPDX-License-Identifier: PostgreSQL */
/*
 * entry.h - one version of one key, and the iterator that yields them.
 *
 * A key is the store id (4 bytes, big-endian) followed by the user's bytes.
 * Entries are ordered by key (memcmp, then length), then csn descending: the
 * newest version of a key comes first.  Two entries of one source never have
 * both key and csn equal.
 */
#ifndef KV_ENTRY_H
#define KV_ENTRY_H

#include "engine/base/slice.h"
#include "engine/base/status.h"

#define KV_STORE_PREFIX 4 /* bytes of store id before the user key */
#define KV_MAX_KEY		(65535 + KV_STORE_PREFIX) /* hard cap, store id included */
#define KV_MAX_VALUE	((1u << 30) - (1u << 20))

/* On disk: the numbers never change and are never reused. */
typedef enum KvKind
{
	KV_KIND_PUT = 1,
	KV_KIND_DELETE = 2,		  /* a tombstone: value empty */
	KV_KIND_PUT_EXPIRING = 3, /* expires_us is meaningful */
	/*
	 * Hides the older versions (smaller csn) of all keys in [key, value).
	 * It stands beside the order of entries: no iterator shows it.
	 */
	KV_KIND_RANGE_DELETE = 4
} KvKind;

/* What is known about the transaction that wrote a version. */
typedef enum KvXactState
{
	KV_XACT_IN_DOUBT = 0, /* ask the host */
	KV_XACT_COMMITTED = 1,
	KV_XACT_ABORTED = 2,
	KV_XACT_UNKNOWN = 3 /* the host has forgotten: an error, no guess */
} KvXactState;

typedef struct KvEntry
{
	KvSlice key; /* store id and user key */
	KvSlice value;
	uint64_t csn;		/* orders the versions of a key; 0: older than all */
	uint64_t xid;		/* full transaction id; 0: every snapshot sees it */
	int64_t expires_us; /* microseconds since 2000-01-01 UTC; 0: never */
	uint8_t kind;		/* KvKind */
	uint8_t state;		/* KvXactState as the source knows it */
} KvEntry;

/*
 * Visits versions of one key, newest first.  Returns true to stop.  The
 * entry's slices are valid during the call only.
 */
typedef bool (*KvVersionFn)(void *arg, const KvEntry *entry);

typedef struct KvIter KvIter;

/* Is an entry's key that of the entry before it, in key order? */
typedef enum KvRepeats
{
	KV_REPEATS_UNKNOWN,
	KV_REPEATS_NO,
	KV_REPEATS_YES
} KvRepeats;

typedef struct KvIterOps
{
	/* to the first entry at or after (key, csn); csn UINT64_MAX = all of key */
	void (*seek)(KvIter *it, KvSlice key, uint64_t csn);
	/* to the last entry whose key is < key */
	void (*seek_before)(KvIter *it, KvSlice key);
	void (*first)(KvIter *it);
	void (*last)(KvIter *it);
	void (*next)(KvIter *it);
	void (*prev)(KvIter *it);
	void (*close)(KvIter *it);
	/*
	 * NULL: no leaf, ever.  The iterator of one table whose entries are all
	 * that is left in the direction of the last move, if there is such a one
	 * (else NULL).  Who has it may move it in that direction instead of it,
	 * which saves the way through all layers, and calls leaf_moved before
	 * anything else is done with it.  *inside: none of the leaf's entries
	 * reaches the bound: forward, the first key that is not wanted, backward,
	 * the last that is (len 0: there is none).  What its entries say of
	 * their transactions is what the file says: the reader asks further.
	 */
	KvIter *(*leaf)(KvIter *it, KvSlice bound, bool *inside);
	void (*leaf_moved)(KvIter *it);
	/*
	 * NULL: none.  The range deletes of a transaction's own writes, which
	 * stand outside the order; fn's true ends it.
	 */
	void (*range_deletes)(KvIter *it, KvVersionFn fn, void *arg);
} KvIterOps;

/*
 * Embedded as the first member of every iterator.  After each move: valid
 * says whether entry holds something; if not, status says why (KV_OK: the
 * end).  KV_RETRY means that a memtable was recycled: close and seek again
 * in the current version.  entry's slices live until the next move or close.
 * next and prev may be mixed; both require valid.
 */
struct KvIter
{
	const KvIterOps *ops;
	bool valid;
	uint8_t repeats; /* KvRepeats; tables only: others leave it UNKNOWN */
	KvStatus status;
	KvEntry entry;
	KvError *err; /* the caller's; filled when status becomes an error */
};

/*
 * The version says that its key is absent: a tombstone, or a value whose time
 * has come at now_us.  The one rule for readers and for compaction.
 */
static inline bool
kv_entry_is_dead(const KvEntry *entry, int64_t now_us)
{
	return entry->kind == KV_KIND_DELETE ||
		   (entry->kind == KV_KIND_PUT_EXPIRING && entry->expires_us <= now_us);
}

/* Order of entries: key ascending, csn descending. */
static inline int
kv_entry_compare(KvSlice a_key, uint64_t a_csn, KvSlice b_key, uint64_t b_csn)
{
	int c = kv_slice_compare(a_key, b_key);

	if (c != 0)
		return c;
	return (a_csn < b_csn) - (a_csn > b_csn);
}

#endif /* KV_ENTRY_H */
