/* SPDX-License-Identifier: PostgreSQL */
/*
 * scan.c - ranges: what a view sees of [lower, upper), in either direction.
 *
 * A merge over the memtables and files of one version and the caller's own
 * writes; for each key the newest visible version decides.  The files of the
 * version are pinned until the scan is closed; memtables are not: when one is
 * recycled (KV_RETRY) the scan is built again in the then current version and
 * goes on behind the last key that was decided.
 *
 * Runs in any process; takes no lock but those of the block cache.
 */
#include "engine/lsm/compact_job.h"
#include "engine/lsm/db_internal.h"
#include "engine/lsm/merge_iter.h"
#include "engine/lsm/run_iter.h"
#include "engine/lsm/scan_internal.h"

/* ---- pins */

uint64_t
kv_scans_oldest(const KvDb *db)
{
	uint64_t oldest = UINT64_MAX;
	const KvScan *scan;

	for (scan = db->scans; scan != NULL; scan = scan->next)
		if (scan->version != 0 && scan->version < oldest)
			oldest = scan->version;
	return oldest;
}

void
kv_unpin_unneeded(KvDb *db)
{
	uint64_t scans = kv_scans_oldest(db);
	uint64_t job = kv_compaction_version(db);

	kv_version_unpin(db, job < scans ? job : scans);
}

/* ---- building the merge */

/* The files of a sorted level that may hold something of the range. */
static uint32_t
level_slots(const KvScan *scan, const KvVersion *v, int level, uint32_t *slots)
{
	uint32_t low = v->level_start[level], high = v->level_start[level + 1];
	uint32_t end = high, n = 0;

	while (low < high)
	{
		uint32_t mid = low + (high - low) / 2;

		if (kv_key_after_file(scan->lower,
							  &kv_file_at(scan->db, v->files[mid])->meta))
			low = mid + 1;
		else
			high = mid;
	}
	while (low < end &&
		   kv_file_overlaps_range(&kv_file_at(scan->db, v->files[low])->meta,
								  scan->lower, scan->upper))
		slots[n++] = v->files[low++];
	return n;
}

static KvStatus
add_run(KvScan *scan, const uint32_t *slots, uint32_t n, KvIter **children,
		uint32_t *n_children, KvError *err)
{
	KvStatus status;

	if (n == 0)
		return KV_OK;
	status = kv_run_iter(scan->db, slots, n, &scan->readahead,
						 &children[*n_children], err);
	if (status == KV_OK)
		(*n_children)++;
	return status;
}

static KvStatus
add_files(KvScan *scan, const KvVersion *v, KvIter **children,
		  uint32_t *n_children, KvError *err)
{
	KvDb *db = scan->db;
	uint32_t *slots = scan->slots;
	uint32_t i, n = 0, n_l0 = kv_level_count(v, 0);
	KvStatus status = KV_OK;
	int level;

	for (i = 0; i < n_l0; i++)
		if (kv_file_overlaps_range(&kv_file_at(db, v->files[i])->meta,
								   scan->lower, scan->upper))
			slots[n++] = v->files[i];
	for (i = 0; i < n && status == KV_OK;)
	{
		uint32_t len = kv_run_length(db, slots + i, n - i);

		kv_run_sort(db, slots + i, len);
		status = add_run(scan, slots + i, len, children, n_children, err);
		i += len;
	}
	for (level = 1; level < KV_LEVELS && status == KV_OK; level++)
	{
		uint32_t len = level_slots(scan, v, level, slots + n);

		status = add_run(scan, slots + n, len, children, n_children, err);
		n += len;
	}
	scan->n_slots = n;
	return status;
}

static KvStatus
add_memtables(KvScan *scan, const KvVersion *v, KvIter **children,
			  uint32_t *n_children, KvError *err)
{
	KvDb *db = scan->db;
	uint32_t i;

	for (i = 0; i < v->n_mem; i++)
	{
		KvStatus status;

		status = kv_mem_iter(db->env, kv_mem_at(db, v->mem[i].slot),
							 v->mem[i].generation, &children[*n_children]);
		if (status != KV_OK)
			return kv_fail(err, status, "out of memory for a scan");
		(*n_children)++;
	}
	return KV_OK;
}

static KvStatus
add_sources(KvScan *scan, const KvVersion *v, KvIter ***children,
			uint32_t *n_children, KvError *err)
{
	KvEnv *env = scan->db->env;
	uint32_t n_files = v->level_start[KV_LEVELS] + 1;
	KvStatus status;

	if (scan->cap_slots < n_files)
	{
		uint32_t *slots = env->ops->realloc(env, scan->slots,
											n_files * sizeof(uint32_t));

		if (slots == NULL)
			return kv_fail(err, KV_NO_MEMORY, "out of memory for a scan");
		scan->slots = slots;
		scan->cap_slots = n_files;
	}
	*children = env->ops->alloc(env, (v->n_mem + kv_level_count(v, 0) +
									  KV_LEVELS + 1) *
										 sizeof(KvIter *));
	if (*children == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory for a scan");
	status = add_memtables(scan, v, *children, n_children, err);
	if (status == KV_OK)
		status = add_files(scan, v, *children, n_children, err);
	/* one place is left for the caller's own writes */
	KV_ASSERT(*n_children <= v->n_mem + kv_level_count(v, 0) + KV_LEVELS);
	return status;
}

/* Drops the merge, but not the caller's own writes. */
static void
drop_merge(KvScan *scan)
{
	if (scan->merge == NULL)
		return;
	if (scan->overlay != NULL)
		kv_merge_forget(scan->merge, scan->overlay);
	scan->merge->ops->close(scan->merge);
	scan->merge = NULL;
	scan->leaf = NULL;
	scan->positioned = false;
	scan->on_returned = false;
}

/* KV_RETRY: a memtable was recycled meanwhile. */
static KvStatus
build_once(KvScan *scan, KvError *err)
{
	KvDb *db = scan->db;
	KvIter **children = NULL;
	uint32_t n = 0;
	const KvVersion *v;
	KvStatus status;

	drop_merge(scan);
	kv_scan_drop_ranges(scan);
	v = kv_version_acquire(db);
	kv_version_pin(db, v->number);
	scan->version = v->number;
	status = add_sources(scan, v, &children, &n, err);
	if (status == KV_OK)
		status = kv_scan_collect_ranges(scan, v, err);
	kv_version_release(db);
	kv_unpin_unneeded(db);
	if (status == KV_OK)
	{
		uint32_t own = scan->overlay != NULL;

		if (own)
			children[n] = scan->overlay;
		status = kv_merge_iter(db->env, children, n + own, &scan->merge, err);
	}
	while (status != KV_OK && n > 0)
	{
		n--;
		children[n]->ops->close(children[n]);
	}
	if (children != NULL)
		db->env->ops->free(db->env, children);
	return status;
}

/* A merge over what is current now, not positioned. */
static KvStatus
build(KvScan *scan, KvError *err)
{
	KvEnv *env = scan->db->env;
	KvStatus status = build_once(scan, err);

	while (status == KV_RETRY)
	{
		if (env->ops->poll(env))
			return kv_fail(err, KV_INTERRUPTED, "interrupted");
		status = build_once(scan, err);
	}
	return status;
}

/* To where the scan goes on: the start, or behind what is decided. */
static void
position(KvScan *scan)
{
	KvIter *it = scan->merge;
	KvSlice decided = {scan->decided.data, scan->decided.len};

	scan->leaf = NULL;
	if (!scan->reverse)
	{
		if (scan->has_decided)
			it->ops->seek(it, decided, 0);
		else if (scan->lower.len > 0)
			it->ops->seek(it, scan->lower, UINT64_MAX);
		else
			it->ops->first(it);
	}
	else if (scan->has_decided)
		it->ops->seek_before(it, decided);
	else if (scan->upper.len > 0)
		it->ops->seek_before(it, scan->upper);
	else
		it->ops->last(it);
	scan->positioned = true;
	scan->on_returned = false;
}

/*
 * The merge has failed or ended.  KV_OK: it was built again and stands where
 * the scan goes on; KV_NOT_FOUND: the end.
 */
static KvStatus
ended(KvScan *scan, KvError *err)
{
	KvStatus status = scan->merge->status;

	if (status == KV_OK)
		return KV_NOT_FOUND;
	if (status != KV_RETRY)
		return status;
	status = build(scan, err);
	if (status != KV_OK)
		return status;
	scan->merge->err = err;
	position(scan);
	return KV_OK;
}

/* ---- rows */

static KvStatus
keep_bytes(KvScan *scan, KvBuffer *buffer, KvSlice bytes, KvError *err)
{
	return kv_buffer_set(scan->db->env, buffer, bytes)
			   ? KV_OK
			   : kv_fail(err, KV_NO_MEMORY, "out of memory for a scan");
}

static KvStatus
judge(KvScan *scan, const KvEntry *e, KvVerdict *verdict)
{
	/* own writes are seen whatever the view says */
	if (e->csn == UINT64_MAX)
	{
		*verdict = kv_entry_is_dead(e, scan->view.now_us) ? KV_SEEN_DEAD
														  : KV_SEEN_LIVE;
		return KV_OK;
	}
	if (scan->hidden.n > 0 && e->csn < kv_range_cover_csn(&scan->hidden, e->key))
	{
		*verdict = KV_SEEN_DEAD;
		return KV_OK;
	}
	/* files' entries come with the state that the file's list gives them */
	return kv_judge(scan->db, &scan->view, e, KV_FROM_MEM, verdict);
}

static void
count_move(KvScan *scan)
{
	if (scan->moves < READAHEAD_AFTER && ++scan->moves == READAHEAD_AFTER)
		scan->readahead = READAHEAD_BYTES;
}

static KvStatus
check_cancel(KvScan *scan, KvError *err)
{
	KvEnv *env = scan->db->env;

	if (++scan->steps < POLL_EVERY)
		return KV_OK;
	scan->steps = 0;
	return env->ops->poll(env) ? kv_fail(err, KV_INTERRUPTED, "interrupted")
							   : KV_OK;
}

/* ---- rows of many sources */

static KvStatus
next_forward(KvScan *scan, KvEntry *entry, uint64_t *count, KvError *err)
{
	KvStatus status;

	KV_ASSERT(scan->positioned && !scan->reverse);
	if (scan->leaf != NULL)
	{
		if (kv_scan_leaf_forward(scan, entry, count))
			return KV_OK;
		status = check_cancel(scan, err);
		if (status != KV_OK)
			return status;
	}
	if (scan->on_returned)
	{
		KV_ASSERT(scan->merge->valid);
		scan->merge->ops->next(scan->merge);
		scan->on_returned = false;
		count_move(scan);
	}
	for (;;)
	{
		KvIter *it = scan->merge;
		KvVerdict verdict;

		if (!it->valid)
		{
			status = ended(scan, err);
			if (status != KV_OK)
				return status;
			continue;
		}
		if (scan->upper.len > 0 &&
			kv_slice_compare(it->entry.key, scan->upper) >= 0)
			return KV_NOT_FOUND;
		if (!scan->has_decided ||
			!kv_slice_equal(it->entry.key,
							kv_slice(scan->decided.data, scan->decided.len)))
		{
			status = judge(scan, &it->entry, &verdict);
			if (status == KV_OK && verdict != KV_HIDDEN &&
				!kv_scan_decide(scan, it->entry.key))
				status = kv_fail(err, KV_NO_MEMORY, "out of memory for a scan");
			if (status != KV_OK)
				return status;
			scan->db->skipped += verdict == KV_SEEN_DEAD;
			if (verdict == KV_SEEN_LIVE)
			{
				*entry = it->entry;
				scan->on_returned = true;
				if (scan->hidden.n == 0)
					kv_scan_enter_leaf(scan);
				return KV_OK;
			}
		}
		status = check_cancel(scan, err);
		if (status != KV_OK)
			return status;
		it->ops->next(it);
		count_move(scan);
	}
}

/*
 * Backward the versions of a key come oldest first, so the newest visible one
 * is known only when the key ends.  On return scan->key holds the key, if
 * *any; *live says whether *entry and scan->value hold a row.
 */
static KvStatus
collect_key(KvScan *scan, KvEntry *entry, bool *any, bool *live, KvError *err)
{
	KvIter *it = scan->merge;

	KV_ASSERT(scan->positioned && scan->reverse);
	*any = *live = false;
	while (it->valid)
	{
		KvVerdict verdict;
		KvStatus status = KV_OK;

		if (kv_slice_compare(it->entry.key, scan->lower) < 0)
			break;
		if (!*any)
			status = keep_bytes(scan, &scan->key, it->entry.key, err);
		else if (!kv_slice_equal(it->entry.key,
								 kv_slice(scan->key.data, scan->key.len)))
			break;
		*any = true;
		if (status == KV_OK)
			status = judge(scan, &it->entry, &verdict);
		if (status != KV_OK)
			return status;
		if (verdict == KV_SEEN_LIVE)
		{
			status = keep_bytes(scan, &scan->value, it->entry.value, err);
			if (status != KV_OK)
				return status;
			*entry = it->entry;
			*live = true;
		}
		else if (verdict == KV_SEEN_DEAD)
			*live = false;
		status = check_cancel(scan, err);
		if (status != KV_OK)
			return status;
		it->ops->prev(it);
	}
	/* an interrupted key has to be collected again */
	return it->valid ? KV_OK : it->status;
}

static KvStatus
next_backward(KvScan *scan, KvEntry *entry, KvError *err)
{
	for (;;)
	{
		bool any, live;
		KvBuffer swap;
		KvStatus status;

		if (scan->leaf == NULL && scan->has_decided && scan->hidden.n == 0)
			kv_scan_enter_leaf(scan);
		if (scan->leaf != NULL)
		{
			if (kv_scan_leaf_backward(scan, entry))
				return KV_OK;
			status = check_cancel(scan, err);
			if (status != KV_OK)
				return status;
		}
		status = collect_key(scan, entry, &any, &live, err);
		if (status == KV_RETRY)
		{
			status = ended(scan, err);
			if (status == KV_OK)
				continue;
		}
		if (status != KV_OK)
			return status;
		if (!any)
			return KV_NOT_FOUND;
		swap = scan->decided;
		scan->decided = scan->key;
		scan->key = swap;
		scan->has_decided = true;
		if (live)
		{
			entry->key = kv_slice(scan->decided.data, scan->decided.len);
			entry->value = kv_slice(scan->value.data, scan->value.len);
			return KV_OK;
		}
		scan->db->skipped++;
	}
}

/* With count, rows may be counted instead of being returned. */
static KvStatus
next_row(KvScan *scan, KvEntry *entry, uint64_t *count, KvError *err)
{
	KvStatus status;

	if (scan->merge == NULL)
	{
		status = build(scan, err);
		if (status != KV_OK)
			return status;
	}
	scan->merge->err = err;
	if (!scan->positioned)
		position(scan);
	if (scan->reverse)
		status = next_backward(scan, entry, err);
	else
		status = next_forward(scan, entry, count, err);
	if (status != KV_OK && status != KV_NOT_FOUND)
		drop_merge(scan);
	return status;
}

KvStatus
kv_scan_next(KvScan *scan, KvEntry *entry, KvError *err)
{
	return next_row(scan, entry, NULL, err);
}

KvStatus
kv_scan_count(KvScan *scan, uint64_t *n, KvError *err)
{
	KvStatus status;
	KvEntry entry;

	*n = 0;
	while ((status = next_row(scan, &entry, n, err)) == KV_OK)
		++*n;
	return status == KV_NOT_FOUND ? KV_OK : status;
}

KvStatus
kv_scan_rewind(KvScan *scan, KvError *err)
{
	(void) err;
	scan->has_decided = false;
	scan->positioned = false;
	scan->on_returned = false;
	scan->readahead = 0;
	scan->moves = 0;
	return KV_OK;
}

KvStatus
kv_scan_open(KvDb *db, const KvReadView *view, KvSlice lower, KvSlice upper,
			 bool reverse, KvIter *overlay, KvScan **out, KvError *err)
{
	KvEnv *env = db->env;
	KvScan *scan = NULL;
	KvStatus status = KV_OK;
	char *bytes;

	if (kv_mode(db) != KV_MODE_NORMAL && kv_mode(db) != KV_MODE_READONLY)
		status = kv_fail(err, KV_NOT_READY, "the store is not open");
	if (status == KV_OK)
	{
		kv_table_sweep(db);
		scan = env->ops->alloc(env, sizeof(*scan) + lower.len + upper.len);
		if (scan == NULL)
			status = kv_fail(err, KV_NO_MEMORY, "out of memory for a scan");
	}
	if (status != KV_OK)
	{
		if (overlay != NULL)
			overlay->ops->close(overlay);
		return status;
	}
	memset(scan, 0, sizeof(*scan));
	bytes = (char *) (scan + 1);
	if (lower.len > 0)
		memcpy(bytes, lower.data, lower.len);
	if (upper.len > 0)
		memcpy(bytes + lower.len, upper.data, upper.len);
	scan->db = db;
	scan->view = *view;
	scan->lower = kv_slice(bytes, lower.len);
	scan->upper = kv_slice(bytes + lower.len, upper.len);
	scan->reverse = reverse;
	scan->overlay = overlay;
	scan->next = db->scans;
	db->scans = scan;
	status = build(scan, err);
	if (status != KV_OK)
	{
		kv_scan_close(scan);
		return status;
	}
	*out = scan;
	return KV_OK;
}

void
kv_scan_close(KvScan *scan)
{
	KvDb *db = scan->db;
	KvEnv *env = db->env;
	KvScan **link = &db->scans;

	while (*link != scan)
	{
		KV_ASSERT(*link != NULL);
		link = &(*link)->next;
	}
	*link = scan->next;
	drop_merge(scan);
	if (scan->overlay != NULL)
		scan->overlay->ops->close(scan->overlay);
	kv_scan_drop_ranges(scan);
	kv_unpin_unneeded(db);
	if (scan->slots != NULL)
		env->ops->free(env, scan->slots);
	kv_buffer_free(env, &scan->decided);
	kv_buffer_free(env, &scan->key);
	kv_buffer_free(env, &scan->value);
	env->ops->free(env, scan);
}

void
kv_scans_close_all(KvDb *db)
{
	while (db->scans != NULL)
		kv_scan_close(db->scans);
}

void
kv_reset(KvDb *db)
{
	kv_scans_close_all(db);
	kv_version_release(db);
}
