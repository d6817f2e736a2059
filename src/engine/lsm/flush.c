/* SPDX-License-Identifier: PostgreSQL */
/*
 * flush.c - a memtable becomes a file in L0.
 *
 * Worker only.  Order: states read, host's log flushed, file written, synced
 * and linked, edit logged, version published, memtable free.  What happens
 * to a version is decided by drop_rule.c; there is always data below.
 */
#include "engine/lsm/db_internal.h"
#include "engine/lsm/drop_rule.h"
#include "engine/lsm/range_deletes.h"
#include "engine/sst/sst_buffer.h"

#define MAX_DOUBTS 256 /* transactions in doubt that one file may name */

#define RELIEVE_EVERY 4096 /* entries; the ring holds far more */

typedef struct Flush
{
	KvDb *db;
	KvHorizon horizon;
	KvTableOut out;
	bool open;
	uint64_t doubts[MAX_DOUBTS]; /* xids in doubt that went into the file */
	uint32_t n_doubts;
	KvBuffer key; /* whose versions are coming by */
	bool has_key;
	KvDropKey rule;
	KvRangeList ranges;
} Flush;

static KvStatus
note_doubt(Flush *f, uint64_t xid, KvError *err)
{
	KvEnv *env = f->db->env;
	uint32_t i;
	KvStatus st;

	for (i = 0; i < f->n_doubts; i++)
		if (f->doubts[i] == xid)
			return KV_OK;
	if (f->n_doubts == MAX_DOUBTS)
		return kv_fail(err, KV_STALLED, "too many transactions in doubt");
	env->ops->lock(env, KV_LOCK_VERSION, true);
	st = kv_doubt_add_locked(f->db, xid, KV_XACT_IN_DOUBT);
	env->ops->unlock(env, KV_LOCK_VERSION);
	if (st != KV_OK)
		return kv_fail(err, KV_STALLED, "too many transactions in doubt");
	f->doubts[f->n_doubts++] = xid;
	return KV_OK;
}

static KvStatus
start_key(Flush *f, KvSlice key, KvError *err)
{
	if (!kv_buffer_set(f->db->env, &f->key, key))
		return kv_fail(err, KV_NO_MEMORY, "out of memory");
	f->has_key = true;
	kv_drop_key_start(&f->rule, false, true);
	return KV_OK;
}

static KvStatus
open_table(Flush *f, KvError *err)
{
	KvStatus st;

	if (f->open)
		return KV_OK;
	st = kv_table_out_open(f->db, &f->out, f->ranges.n > 0, err);
	f->open = st == KV_OK;
	return st;
}

/* Writes one version, or drops it when nobody can see it. */
static KvStatus
flush_entry(Flush *f, const KvEntry *entry, KvError *err)
{
	KvEntry e = *entry;
	KvDropVerdict verdict;
	KvStatus st = KV_OK;

	if (!f->has_key ||
		!kv_slice_equal(e.key, kv_slice(f->key.data, f->key.len)))
		st = start_key(f, e.key, err);
	if (st != KV_OK)
		return st;
	verdict = kv_drop_decide(&f->rule, &f->horizon, &e, (KvXactState) e.state);
	/* with data below, a csn is never given up, nor a tombstone dropped */
	KV_ASSERT(verdict != KV_KEEP_BARE);
	if (verdict == KV_DROP)
		return KV_OK;
	if (verdict == KV_KEEP_UNTAGGED)
		e.xid = 0;
	else if (e.xid != 0 && e.state != KV_XACT_COMMITTED &&
			 !KV_BUG(flush_forgets_doubts))
		st = note_doubt(f, e.xid, err);
	if (st != KV_OK)
		return st;
	if (KV_BUG(flush_forgets_snapshots) &&
		(e.xid == 0 || (e.state == KV_XACT_COMMITTED && e.xid < f->horizon.xid)))
		f->rule.shadowed = true;
	st = open_table(f, err);
	return st == KV_OK ? kv_sst_builder_add(f->out.builder, &e, err) : st;
}

/* All of the memtable's, into the list; dropped there are aborted ones. */
static KvStatus
take_ranges(Flush *f, const KvVersionMem *mem, uint32_t *n, KvError *err)
{
	KvEnv *env = f->db->env;
	KvRangeList all = {0};
	KvStatus st = kv_range_list_add_mem(f->db, &all, mem, err);
	uint32_t i;

	if (KV_BUG(range_delete_lost_in_flush))
		kv_range_list_free(env, &all);
	*n = all.n;
	for (i = 0; i < all.n && st == KV_OK; i++)
	{
		KvEntry *e = &all.items[i];

		switch (kv_drop_decide_range(false, true, &f->horizon, e,
									 (KvXactState) e->state))
		{
		case KV_DROP:
			continue;
		case KV_KEEP_UNTAGGED:
			e->xid = 0;
			break;
		default:
			if (e->xid != 0 && e->state != KV_XACT_COMMITTED)
				st = note_doubt(f, e->xid, err);
		}
		if (st == KV_OK && !kv_range_list_add(env, &f->ranges, e))
			st = kv_fail(err, KV_NO_MEMORY, "out of memory");
	}
	kv_range_list_free(env, &all);
	kv_range_list_sort(env, &f->ranges);
	return st;
}

static KvStatus
write_ranges(Flush *f, KvError *err)
{
	KvStatus st = f->ranges.n > 0 ? open_table(f, err) : KV_OK;
	uint32_t i;

	for (i = 0; i < f->ranges.n && st == KV_OK; i++)
		st = kv_sst_builder_add_range_delete(f->out.builder,
											 &f->ranges.items[i], err);
	return st;
}

/* next: the memtable after it, or NULL in recovery, when nobody writes */
static KvStatus
write_entries(Flush *f, uint32_t slot, const KvVersionMem *next, KvError *err)
{
	KvDb *db = f->db;
	KvMem *mem = kv_mem_at(db, slot);
	KvVersionMem source = {.slot = slot, .generation = kv_mem_generation(mem)};
	uint32_t n_ranges = 0;
	KvIter *it;
	KvStatus st;
	uint64_t n = 0;

	/* before the table begins: its header says whether there are any */
	st = take_ranges(f, &source, &n_ranges, err);
	if (st != KV_OK)
		return st;
	st = kv_mem_iter(db->env, mem, source.generation, &it);
	if (st != KV_OK)
		return kv_fail(err, st, "out of memory");
	it->err = err;
	for (it->ops->first(it); it->valid && st == KV_OK; it->ops->next(it), n++)
	{
		if (next != NULL && n % RELIEVE_EVERY == 0)
			st = kv_relieve_ring(db, err);
		if (st == KV_OK)
			st = flush_entry(f, &it->entry, err);
	}
	if (st == KV_OK)
		st = it->status;
	/* entries carry checks, but a damaged node could hide some of them */
	if (st == KV_OK && n + n_ranges != kv_mem_entries(mem) &&
		!KV_BUG(range_delete_lost_in_flush))
		st = kv_corrupt(err, 0, 0, "a memtable has lost entries");
	it->ops->close(it);
	if (st == KV_OK)
		st = write_ranges(f, err);
	return st;
}

/* The edit and version that replace the memtable by its file. */
static KvStatus
publish_flush(Flush *f, uint32_t slot, uint32_t file_slot,
			  const KvVersionMem *next, KvError *err)
{
	KvDb *db = f->db;
	KvShared *s = db->shared;
	KvMemSlot *m = &s->mem[slot];
	KvFileMeta *meta = &kv_file_at(db, file_slot)->meta;
	KvVersionChange change = {0};
	KvDoubt doubts[MAX_DOUBTS];
	KvEdit edit = {0};
	uint32_t i;

	for (i = 0; i < f->n_doubts; i++)
		/* may be settled by now, for another file; not for this one again */
		doubts[i] = (KvDoubt){meta->file_no, f->doubts[i],
							  (uint8_t) kv_listed_state(db, f->doubts[i])};
	if (f->open)
	{
		edit.adds = meta;
		edit.n_adds = 1;
		change.adds = &file_slot;
		change.n_adds = 1;
		edit.doubts = doubts;
		edit.n_doubts = f->n_doubts;
	}
	edit.flushed_csn = atomic_load_explicit(&m->max_csn, memory_order_relaxed);
	edit.flushed_lsn = atomic_load_explicit(&m->max_lsn, memory_order_relaxed);
	edit.csn_floor = edit.flushed_csn;
	edit.clock_us = f->horizon.now_us;
	if (next != NULL)
		edit.min_wal = atomic_load_explicit(&s->mem[next->slot].wal_no,
											memory_order_relaxed);
	/* in recovery, where next is NULL, a rolled back batch may be counted */
	KV_ASSERT(next == NULL || edit.flushed_csn >= db->state.flushed_csn);
	change.drop_generation = atomic_load_explicit(&m->generation,
												  memory_order_relaxed);
	return kv_commit_change(db, &edit, &change, err);
}

KvStatus
kv_flush_mem(KvDb *db, uint32_t slot, const KvVersionMem *next, KvError *err)
{
	KvEnv *env = db->env;
	KvShared *s = db->shared;
	KvMemSlot *m = &s->mem[slot];
	uint32_t file_slot = 0;
	Flush f = {0};
	KvFileMeta meta;
	KvStatus st;

	KV_ASSERT(slot < s->config.memtables);
	/* in recovery, where next is NULL, nobody else writes */
	KV_ASSERT(next == NULL || next->slot != slot);
	KV_ASSERT(next == NULL ||
			  atomic_load_explicit(&m->state, memory_order_acquire) ==
				  KV_MEM_IMMUTABLE);
	f.db = db;
	env->ops->horizon(env, &f.horizon);
	/* the states were read in kv_settle, before this */
	st = KV_BUG(flush_before_host_log)
			 ? KV_OK
			 : env->ops->flush_host_log(env, UINT64_MAX, err);
	if (st == KV_OK)
		st = kv_file_slot_reserve(db, &file_slot, err);
	if (st != KV_OK)
		return st;
	st = write_entries(&f, slot, next, err);
	if (st == KV_OK && f.open)
		st = kv_table_out_finish(db, &f.out, &meta, err);
	else if (f.open)
		kv_table_out_abort(db, &f.out);
	kv_buffer_free(env, &f.key);
	kv_range_list_free(env, &f.ranges);
	if (st == KV_OK && f.open)
	{
		meta.has_doubt = f.n_doubts > 0;
		kv_file_at(db, file_slot)->meta = meta;
	}
	if (st == KV_OK)
		st = publish_flush(&f, slot, file_slot, next, err);
	if (st != KV_OK || !f.open)
		kv_file_slot_release(db, file_slot);
	if (st != KV_OK)
		return st;
	if (f.open)
		atomic_fetch_add_explicit(&s->counters.flushed_bytes, meta.size,
								  memory_order_relaxed);
	atomic_fetch_add_explicit(&s->counters.flushes, 1, memory_order_relaxed);
	atomic_store_explicit(&s->flushed_lsn, db->state.flushed_lsn,
						  memory_order_relaxed);
	db->sweep_wanted = true;
	/* pairs with the acquire in free_mem_slot: readers have the new version */
	atomic_store_explicit(&m->state, KV_MEM_FREE, memory_order_release);
	env->ops->kick(env, KV_KICK_WAITERS);
	env->ops->kick(env, KV_KICK_COMPACTOR);
	return KV_OK;
}

KvStatus
kv_flush_oldest(KvDb *db, bool *did, KvError *err)
{
	KvEnv *env = db->env;
	KvShared *s = db->shared;
	const KvVersion *v = kv_version_acquire(db);
	KvVersionMem oldest = {0}, next = {0};
	uint32_t n = v->n_mem;
	KvStatus st;

	*did = false;
	if (n >= 2)
	{
		oldest = v->mem[n - 1];
		next = v->mem[n - 2];
	}
	kv_version_release(db);
	if (n < 2)
		return KV_OK;
	/* pairs with the release in rotation_finish */
	if (atomic_load_explicit(&s->mem[oldest.slot].state,
							 memory_order_acquire) != KV_MEM_IMMUTABLE)
		return KV_OK;
	/* the segment that min_wal will name must exist */
	st = kv_drain_ring(db, err);
	if (st == KV_OK)
		st = kv_settle(db, err);
	if (st == KV_OK)
		st = kv_log_pending_files(db, err);
	if (st != KV_OK)
		return st;
	env->ops->stop(env, "flush-start");
	st = kv_flush_mem(db, oldest.slot, &next, err);
	*did = st == KV_OK;
	return st;
}
