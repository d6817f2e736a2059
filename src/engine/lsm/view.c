/* SPDX-License-Identifier: PostgreSQL */
/*
 * view.c - which version a reader sees.
 *
 * The one place where visibility, tombstones and expiry meet; used by gets
 * and scans alike, in any process.  Never compares csn alone unless the host
 * has no transactions (xid 0).
 */
#include "engine/lsm/db_internal.h"

KvStatus
kv_judge(KvDb *db, const KvReadView *view, const KvEntry *e, KvSource source,
		 KvVerdict *verdict)
{
	KV_ASSERT(e->kind >= KV_KIND_PUT && e->kind <= KV_KIND_RANGE_DELETE);
	*verdict = KV_HIDDEN;
	if (e->csn > view->max_csn)
		return KV_OK;
	if (e->xid != 0)
	{
		KvXactState state = kv_known_state(db, e, source);
		bool visible = state == KV_XACT_COMMITTED;

		if (state == KV_XACT_ABORTED)
			return KV_OK;
		if (view->visible != NULL)
		{
			KvStatus st = view->visible(view->arg, e->xid, state, &visible);

			if (st != KV_OK)
				return st;
		}
		if (!visible)
			return KV_OK;
	}
	*verdict = kv_entry_is_dead(e, view->now_us) ? KV_SEEN_DEAD : KV_SEEN_LIVE;
	return KV_OK;
}
