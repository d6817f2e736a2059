/* SPDX-License-Identifier: PostgreSQL */
/*
 * dropped.c - which stores are gone for everybody.
 *
 * A drop is an entry of the system store.  Here only drops count that every
 * snapshot sees: compaction then takes the store's keys away, whoever wrote
 * them.  Called by the compactor.
 */
#include "engine/lsm/db_internal.h"

typedef struct Everybody
{
	KvEnv *env;
	KvHorizon horizon;
} Everybody;

size_t
kv_dropped_key(uint32_t store_id, char *buf)
{
	kv_store_be32(buf, KV_SYSTEM_STORE);
	buf[KV_STORE_PREFIX] = KV_DROPPED_PREFIX;
	kv_store_be32(buf + KV_STORE_PREFIX + 1, store_id);
	return KV_STORE_PREFIX + 5;
}

static KvStatus
seen_by_everybody(void *arg, uint64_t xid, KvXactState state, bool *visible)
{
	Everybody *e = arg;

	*visible = false;
	if (xid >= e->horizon.xid)
		return KV_OK;
	if (state == KV_XACT_IN_DOUBT)
		state = e->env->ops->xact_state(e->env, xid);
	if (state == KV_XACT_UNKNOWN)
		return KV_CORRUPT;
	*visible = state == KV_XACT_COMMITTED;
	return KV_OK;
}

static KvStatus
append_id(KvEnv *env, uint32_t **ids, uint32_t *n, uint32_t *cap, uint32_t id,
		  KvError *err)
{
	if (*n == *cap)
	{
		uint32_t larger = *cap > 0 ? *cap * 2 : 64;
		uint32_t *more = env->ops->realloc(env, *ids,
										   larger * sizeof(uint32_t));

		if (more == NULL)
			return kv_fail(err, KV_NO_MEMORY, "out of memory");
		*ids = more;
		*cap = larger;
	}
	(*ids)[(*n)++] = id;
	return KV_OK;
}

KvStatus
kv_dropped_stores(KvDb *db, uint32_t **ids, uint32_t *n, KvError *err)
{
	KvEnv *env = db->env;
	Everybody everybody = {env, {0, 0, 0}};
	KvReadView view = {0};
	char lower[KV_STORE_PREFIX + 5], upper[KV_STORE_PREFIX + 1];
	uint32_t cap = 0;
	KvScan *scan;
	KvEntry entry;
	KvStatus status;

	*ids = NULL;
	*n = 0;
	env->ops->horizon(env, &everybody.horizon);
	view.max_csn = everybody.horizon.csn;
	view.visible = seen_by_everybody;
	view.arg = &everybody;
	view.now_us = everybody.horizon.now_us;
	(void) kv_dropped_key(0, lower);
	kv_store_be32(upper, KV_SYSTEM_STORE);
	upper[KV_STORE_PREFIX] = KV_DROPPED_PREFIX + 1;
	status = kv_scan_open(db, &view, kv_slice(lower, sizeof(lower)),
						  kv_slice(upper, sizeof(upper)), false, NULL, &scan,
						  err);
	if (status != KV_OK)
		return status;
	while ((status = kv_scan_next(scan, &entry, err)) == KV_OK)
	{
		/* nobody but the host writes here; a stranger's key is not an id */
		if (entry.key.len != KV_STORE_PREFIX + 5)
			continue;
		KV_ASSERT(*n == 0 ||
				  (*ids)[*n - 1] <
					  kv_load_be32(entry.key.data + KV_STORE_PREFIX + 1));
		status = append_id(env, ids, n, &cap,
						   kv_load_be32(entry.key.data + KV_STORE_PREFIX + 1),
						   err);
		if (status != KV_OK)
			break;
	}
	kv_scan_close(scan);
	if (status == KV_NOT_FOUND)
		return KV_OK;
	if (*ids != NULL)
		env->ops->free(env, *ids);
	*ids = NULL;
	*n = 0;
	return status;
}
