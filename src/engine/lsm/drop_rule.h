/* SPDX-License-Identifier: PostgreSQL */
/*
 * drop_rule.h - what flush and compaction do with each version of a key.
 *
 * The only place that decides it, as a pure function; its truth table is
 * test/unit/drop_rule_test.c.
 */
#ifndef KV_DROP_RULE_H
#define KV_DROP_RULE_H

#include "engine/kv_env.h"

typedef enum KvDropVerdict
{
	KV_DROP,
	KV_KEEP,		  /* as it is, with its tag */
	KV_KEEP_UNTAGGED, /* every snapshot sees it: its xid becomes 0 */
	KV_KEEP_BARE /* and nothing else of its key is left: so does its csn */
} KvDropVerdict;

/* What is known of a key while its versions come by, newest first. */
typedef struct KvDropKey
{
	bool store_dropped; /* every snapshot sees that its store is gone */
	bool data_below;	/* older data may lie below the output */
	bool shadowed;		/* a version that every snapshot sees came by */
	bool kept;			/* a version was kept */
	/*
	 * Of range deletes in the inputs that cover the key: the csn of the newest
	 * that every snapshot sees (0: none), and whether there are any at all.
	 */
	uint64_t dead_below;
	bool covered;
} KvDropKey;

/* The start of a key. */
static inline void
kv_drop_key_start(KvDropKey *key, bool store_dropped, bool data_below)
{
	key->store_dropped = store_dropped;
	key->data_below = data_below;
	key->shadowed = key->kept = key->covered = false;
	key->dead_below = 0;
}

/* Whether a version can be dropped without knowing how its writer ended. */
static inline bool
kv_drop_needs_no_state(const KvDropKey *key)
{
	return key->store_dropped || key->shadowed;
}

/* state is not KV_XACT_UNKNOWN: that is damage, reported by the caller. */
KvDropVerdict kv_drop_decide(KvDropKey *key, const KvHorizon *horizon,
							 const KvEntry *entry, KvXactState state);

/* Does every snapshot see what the entry says? */
bool kv_seen_by_all(const KvHorizon *horizon, const KvEntry *entry,
					KvXactState state);

/*
 * The same for a range delete, or a piece of one; data_below: older data may
 * lie below the output within its bounds.  Never KV_KEEP_BARE.
 */
KvDropVerdict kv_drop_decide_range(bool store_dropped, bool data_below,
								   const KvHorizon *horizon,
								   const KvEntry *entry, KvXactState state);

#endif /* KV_DROP_RULE_H */
