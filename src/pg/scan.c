/* SPDX-License-Identifier: PostgreSQL */
/*
 * scan.c - reading from the engine as one transaction sees it.
 *
 * A scan holds files of the engine and, for own writes, an iterator over the
 * write set.  Errors unwind past its owner, so it hangs on its memory
 * context, and on a list that the end of the transaction goes through before
 * it frees the write set (contexts of SPI are deleted later than that).
 *
 * Backends only.
 */
#include "scan.h"

#include "access/xact.h"
#include "lib/ilist.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/memutils.h"
#include "write_set.h"

struct KvlsmScan
{
	dlist_node node; /* in open_scans while scan is not NULL */
	KvScan *scan;
	Snapshot snapshot; /* the caller's */
	MemoryContextCallback callback;
};

/* a value larger than this is not kept for the next call */
#define KEEP_VALUE_BYTES (1024 * 1024)

static dlist_head open_scans = DLIST_STATIC_INIT(open_scans);
static KvValue last_value;

static bool
own_value(const KvEntry *entry, TimestampTz now, KvlsmFound *found)
{
	bool expires = entry->kind == KV_KIND_PUT_EXPIRING;

	if (entry->kind == KV_KIND_DELETE || (expires && entry->expires_us <= now))
		return false;
	found->value = entry->value;
	found->expires_us = expires ? entry->expires_us : 0;
	return true;
}

static void
take_last(KvlsmFound *found)
{
	found->value = kv_slice(last_value.data, last_value.len);
	found->expires_us = last_value.expires_us;
}

static void
drop_large_value(void)
{
	if (last_value.cap > KEEP_VALUE_BYTES)
	{
		kv_value_free(kvlsm_env(), &last_value);
		memset(&last_value, 0, sizeof(last_value));
	}
}

bool
kvlsm_lookup(KvSlice key, Snapshot snapshot, KvlsmFound *found)
{
	KvDb *db = kvlsm_db(false);
	KvWriteSet *own;
	KvReadView view;
	KvEntry entry;
	KvError err;
	KvStatus status;
	uint32 limit;

	kvlsm_view_of_snapshot(&view, snapshot);
	kv_error_clear(&err);
	own = kvlsm_own_writes(snapshot, &limit);
	if (own != NULL)
	{
		status = kv_write_set_get(own, key, limit, &entry, &err);
		if (status == KV_OK)
			return own_value(&entry, view.now_us, found);
		if (status != KV_NOT_FOUND)
			kvlsm_ereport(status, &err);
	}
	drop_large_value();
	status = kv_get(db, &view, key, &last_value, &err);
	kvlsm_ssi_report(snapshot);
	if (status == KV_NOT_FOUND)
		return false;
	kvlsm_check(status, &err);
	take_last(found);
	return true;
}

typedef struct Many
{
	MemoryContext context;
	KvSlice *values;
	const uint32 *index; /* of the keys that the engine is asked for */
} Many;

static bool
keep_value(Many *many, uint32 i, KvSlice value)
{
	char *copy = MemoryContextAllocExtended(many->context, value.len + 1,
											MCXT_ALLOC_HUGE | MCXT_ALLOC_NO_OOM);

	if (copy == NULL)
		return false;
	memcpy(copy, value.data, value.len);
	many->values[i] = kv_slice(copy, value.len);
	return true;
}

/* inside the engine: does not raise */
static KvStatus
take_one(void *arg, uint32_t i, const KvEntry *entry)
{
	Many *many = arg;

	return keep_value(many, many->index[i], entry->value) ? KV_OK
														  : KV_NO_MEMORY;
}

void
kvlsm_lookup_many(const KvSlice *keys, uint32 n, Snapshot snapshot,
				  KvSlice *values)
{
	KvDb *db = kvlsm_db(false);
	KvSlice *asked = palloc(n * sizeof(KvSlice));
	uint32 *index = palloc(n * sizeof(uint32));
	Many many = {CurrentMemoryContext, values, index};
	KvWriteSet *own;
	KvReadView view;
	KvError err;
	KvStatus status;
	uint32 limit;
	uint32 n_asked = 0;
	uint32 i;

	kvlsm_view_of_snapshot(&view, snapshot);
	own = kvlsm_own_writes(snapshot, &limit);
	kv_error_clear(&err);
	for (i = 0; i < n; i++)
	{
		KvEntry entry;
		KvlsmFound found;

		values[i] = kv_slice(NULL, 0);
		status = own == NULL
					 ? KV_NOT_FOUND
					 : kv_write_set_get(own, keys[i], limit, &entry, &err);
		if (status == KV_NOT_FOUND)
		{
			asked[n_asked] = keys[i];
			index[n_asked++] = i;
			continue;
		}
		kvlsm_check(status, &err);
		if (own_value(&entry, view.now_us, &found) &&
			!keep_value(&many, i, found.value))
			kvlsm_ereport(KV_NO_MEMORY, &err);
	}
	status = kv_multi_get(db, &view, asked, n_asked, take_one, &many, &err);
	kvlsm_ssi_report(snapshot);
	kvlsm_check(status, &err);
	pfree(asked);
	pfree(index);
}

static KvStatus
note_one(void *arg, uint32_t i, const KvEntry *entry)
{
	bool *exists = arg;

	exists[i] = true;
	return KV_OK;
}

void
kvlsm_exist_latest(const KvSlice *keys, uint32 n, bool *exists)
{
	KvDb *db = kvlsm_db(false);
	KvReadView view;
	KvError err;

	kvlsm_view_latest(&view);
	memset(exists, 0, n * sizeof(bool));
	kv_error_clear(&err);
	kvlsm_check(kv_multi_get(db, &view, keys, n, note_one, exists, &err), &err);
}

bool
kvlsm_own_is_live(const KvEntry *own)
{
	KvlsmFound ignored;

	return own_value(own, kvlsm_read_clock(), &ignored);
}

pg_noreturn static void error_changed(void);
static void
error_changed(void)
{
	ereport(ERROR,
			(errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			 errmsg("could not serialize access due to concurrent update")));
	pg_unreachable();
}

/* if_live: what is not there may have been deleted by anyone. */
static bool
look_up_newest(KvSlice key, Snapshot snapshot, bool if_live, KvlsmFound *found)
{
	KvDb *db = kvlsm_db(false);
	KvReadView view;
	KvEntry entry;
	KvError err;
	KvStatus status;
	bool is_live;

	kvlsm_view_latest(&view);
	kv_error_clear(&err);
	status = kvlsm_own_latest(key, &entry, &err);
	if (status == KV_OK)
		return own_value(&entry, view.now_us, found);
	if (status != KV_NOT_FOUND)
		kvlsm_ereport(status, &err);
	drop_large_value();
	status = kv_get_newest(db, &view, key, &last_value, &is_live, &err);
	if (status == KV_NOT_FOUND)
		return false;
	kvlsm_check(status, &err);
	if (snapshot != NULL && (is_live || !if_live) &&
		!kvlsm_xid_visible(last_value.xid, snapshot))
		error_changed();
	take_last(found);
	return is_live;
}

bool
kvlsm_lookup_latest(KvSlice key, Snapshot snapshot, KvlsmFound *found)
{
	return look_up_newest(key, snapshot, false, found);
}

bool
kvlsm_lookup_conflict(KvSlice key, Snapshot snapshot, KvlsmFound *found)
{
	return look_up_newest(key, snapshot, true, found);
}

bool
kvlsm_read_to_modify(KvSlice key, Snapshot snapshot, KvlsmFound *found)
{
	kvlsm_lock_key_to_modify(key);
	return kvlsm_lookup_latest(key,
							   IsolationUsesXactSnapshot() ? snapshot : NULL,
							   found);
}

static void
close_scan(void *arg)
{
	KvlsmScan *scan = arg;

	if (scan->scan == NULL)
		return;
	kv_scan_close(scan->scan);
	scan->scan = NULL;
	dlist_delete(&scan->node);
}

/* An open scan closes with the memory context, or the transaction. */
static void
attach_scan(KvlsmScan *scan, Snapshot snapshot)
{
	scan->snapshot = snapshot;
	dlist_push_head(&open_scans, &scan->node);
	scan->callback.func = close_scan;
	scan->callback.arg = scan;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, &scan->callback);
}

KvlsmScan *
kvlsm_scan_open(KvSlice lower, KvSlice upper, bool reverse, Snapshot snapshot)
{
	KvDb *db = kvlsm_db(false);
	KvlsmScan *scan = palloc0(sizeof(KvlsmScan));
	KvWriteSet *own;
	KvIter *overlay = NULL;
	KvReadView view;
	KvError err;
	KvStatus status;
	uint32 limit;

	kv_error_clear(&err);
	kvlsm_view_of_snapshot(&view, snapshot);
	own = kvlsm_own_writes(snapshot, &limit);
	if (own != NULL)
		kvlsm_check(kv_write_set_iter(own, limit, &overlay), &err);
	status = kv_scan_open(db, &view, lower, upper, reverse, overlay,
						  &scan->scan, &err);
	if (status != KV_OK)
	{
		scan->scan = NULL;
		kvlsm_ereport(status, &err);
	}
	attach_scan(scan, snapshot);
	return scan;
}

bool
kvlsm_scan_next(KvlsmScan *scan, KvEntry *entry)
{
	KvError err;
	KvStatus status;

	if (scan->scan == NULL)
		elog(ERROR, "scan of a kvlsm store used after it was closed");
	kv_error_clear(&err);
	status = kv_scan_next(scan->scan, entry, &err);
	kvlsm_ssi_report(scan->snapshot);
	if (status == KV_NOT_FOUND)
		return false;
	kvlsm_check(status, &err);
	return true;
}

uint64
kvlsm_scan_count(KvlsmScan *scan)
{
	uint64_t n;
	KvError err;
	KvStatus status;

	kv_error_clear(&err);
	status = kv_scan_count(scan->scan, &n, &err);
	kvlsm_ssi_report(scan->snapshot);
	kvlsm_check(status, &err);
	return n;
}

void
kvlsm_scan_rewind(KvlsmScan *scan)
{
	KvError err;

	kv_error_clear(&err);
	kvlsm_check(kv_scan_rewind(scan->scan, &err), &err);
}

void
kvlsm_scan_close(KvlsmScan *scan)
{
	close_scan(scan);
}

void
kvlsm_close_all_scans(void)
{
	while (!dlist_is_empty(&open_scans))
		close_scan(dlist_container(KvlsmScan, node,
								   dlist_head_node(&open_scans)));
}

void
kvlsm_check_range(KvSlice lower, KvSlice upper, Snapshot snapshot)
{
	KvlsmConflicts conflicts = {snapshot, false};
	KvlsmScan *scan = palloc0(sizeof(KvlsmScan));
	KvReadView view;
	KvEntry entry;
	KvError err;

	kv_error_clear(&err);
	kvlsm_view_conflicts(&view, &conflicts);
	kvlsm_check(kv_scan_open(kvlsm_db(false), &view, lower, upper, false, NULL,
							 &scan->scan, &err),
				&err);
	attach_scan(scan, snapshot);
	while (kvlsm_scan_next(scan, &entry) && !conflicts.found)
		CHECK_FOR_INTERRUPTS();
	close_scan(scan);
	if (conflicts.found)
		error_changed();
}

KvSlice
kvlsm_prefix_end(KvSlice prefix, char *buf)
{
	size_t len = prefix.len;

	memcpy(buf, prefix.data, prefix.len);
	while (len > 0 && (uint8) buf[len - 1] == 0xFF)
		len--;
	if (len > 0)
		buf[len - 1]++;
	return kv_slice(buf, len);
}

void
kvlsm_store_bounds(uint32 store_id, char *lower_buf, char *upper_buf,
				   KvSlice *lower, KvSlice *upper)
{
	uint32 id = pg_hton32(store_id);

	memcpy(lower_buf, &id, sizeof(id));
	*lower = kv_slice(lower_buf, KV_STORE_PREFIX);
	*upper = kvlsm_prefix_end(*lower, upper_buf);
}
