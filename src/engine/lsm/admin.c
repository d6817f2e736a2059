/* SPDX-License-Identifier: PostgreSQL */
/*
 * admin.c - requests to the worker, sizes and counters.
 *
 * Any process.  Requests are tickets: asked here, done by worker and
 * compactor; the host waits for kv_request_done in its own way.
 */
#include "engine/lsm/db_internal.h"

#define KV_TICKET_COMPACT (UINT64_C(1) << 63)

uint64_t
kv_request_flush(KvDb *db)
{
	uint64_t ticket = atomic_fetch_add_explicit(&db->shared->flush_asked, 1,
												memory_order_acq_rel) +
					  1;

	db->env->ops->kick(db->env, KV_KICK_WORKER);
	return ticket;
}

static void
include_lower(KvRange *range, KvSlice lower)
{
	if (lower.len > KV_BOUND_BYTES)
		lower.len = KV_BOUND_BYTES;
	if (range->any &&
		kv_slice_compare(kv_slice(range->lower, range->lower_len), lower) <= 0)
		return;
	memcpy(range->lower, lower.data, lower.len);
	range->lower_len = (uint16_t) lower.len;
}

static void
include_upper(KvRange *range, KvSlice upper)
{
	char cut[KV_BOUND_BYTES];
	size_t n = upper.len < KV_BOUND_BYTES ? upper.len : KV_BOUND_BYTES;

	memcpy(cut, upper.data, n);
	/* cut, it stands for the first key behind all that begin so */
	if (upper.len > n)
	{
		while (n > 0 && cut[n - 1] == '\xff')
			n--;
		if (n > 0)
			cut[n - 1]++;
	}
	if (range->any &&
		(range->upper_len == 0 ||
		 (n > 0 &&
		  kv_slice_compare(kv_slice(cut, n),
						   kv_slice(range->upper, range->upper_len)) <= 0)))
		return;
	memcpy(range->upper, cut, n);
	range->upper_len = (uint16_t) n;
}

uint64_t
kv_request_compact(KvDb *db)
{
	return kv_request_compact_range(db, kv_slice("", 0), kv_slice("", 0));
}

uint64_t
kv_request_compact_range(KvDb *db, KvSlice lower, KvSlice upper)
{
	KvEnv *env = db->env;
	KvRange *range = &db->shared->compact_range;
	uint64_t ticket;

	/* what is in memory now belongs to what is compacted */
	(void) kv_request_flush(db);
	env->ops->lock(env, KV_LOCK_VERSION, true);
	include_lower(range, lower);
	include_upper(range, upper);
	range->any = true;
	ticket = atomic_fetch_add_explicit(&db->shared->compact_asked, 1,
									   memory_order_acq_rel) +
			 1;
	env->ops->unlock(env, KV_LOCK_VERSION);
	KV_ASSERT((ticket & KV_TICKET_COMPACT) == 0);
	db->env->ops->kick(db->env, KV_KICK_WORKER);
	db->env->ops->kick(db->env, KV_KICK_COMPACTOR);
	return ticket | KV_TICKET_COMPACT;
}

void
kv_pause_compaction(KvDb *db, bool pause)
{
	atomic_store_explicit(&db->shared->compaction_paused, pause,
						  memory_order_relaxed);
	db->env->ops->kick(db->env, KV_KICK_COMPACTOR);
}

bool
kv_compaction_paused(const KvDb *db)
{
	return atomic_load_explicit(&db->shared->compaction_paused,
								memory_order_relaxed);
}

bool
kv_request_done(KvDb *db, uint64_t ticket)
{
	const KvShared *s = db->shared;

	if (ticket & KV_TICKET_COMPACT)
		return atomic_load_explicit(&s->compact_done, memory_order_acquire) >=
			   (ticket & ~KV_TICKET_COMPACT);
	return atomic_load_explicit(&s->flush_done, memory_order_acquire) >= ticket;
}

/* Which part of one file lies in [lower, upper): 0 to 1, by its blocks. */
static KvStatus
file_share(KvDb *db, uint32_t slot, KvSlice lower, KvSlice upper,
		   double *share, KvError *err)
{
	const KvFileMeta *meta = &kv_file_at(db, slot)->meta;
	uint64_t from, to, end;
	KvSst *sst;
	KvStatus st;

	*share = 0;
	if (!kv_file_overlaps_range(meta, lower, upper))
		return KV_OK;
	st = kv_table_open(db, slot, &sst, err);
	if (st != KV_OK)
		return st;
	from = kv_sst_offset_of(sst, lower);
	end = kv_sst_data_end(sst);
	to = upper.len == 0 ? end : kv_sst_offset_of(sst, upper);
	if (to > from)
		*share = (double) (to - from) / (double) end;
	return KV_OK;
}

KvStatus
kv_approximate_bytes(KvDb *db, KvSlice lower, KvSlice upper, uint64_t *bytes,
					 uint64_t *entries, KvError *err)
{
	const KvVersion *v;
	uint32_t i;
	KvStatus st = KV_OK;

	*bytes = 0;
	*entries = 0;
	if (kv_mode(db) != KV_MODE_NORMAL && kv_mode(db) != KV_MODE_READONLY)
		return kv_fail(err, KV_NOT_READY, "the store is not open");
	kv_table_sweep(db);
	v = kv_version_acquire(db);
	for (i = 0; st == KV_OK && i < v->level_start[KV_LEVELS]; i++)
	{
		const KvFileMeta *meta = &kv_file_at(db, v->files[i])->meta;
		double share;

		st = file_share(db, v->files[i], lower, upper, &share, err);
		if (st != KV_OK)
			continue;
		*bytes += (uint64_t) ((double) meta->size * share);
		*entries += (uint64_t) ((double) meta->entries * share);
	}
	kv_version_release(db);
	return st;
}

static void
fill_counters(const KvShared *s, KvStats *out)
{
	const KvCounters *c = &s->counters;
	int i;

	out->wal_bytes = atomic_load_explicit(&c->wal_bytes, memory_order_relaxed);
	out->flushes = atomic_load_explicit(&c->flushes, memory_order_relaxed);
	out->flushed_bytes = atomic_load_explicit(&c->flushed_bytes,
											  memory_order_relaxed);
	out->compactions = atomic_load_explicit(&c->compactions,
											memory_order_relaxed);
	out->compacted_in_bytes = atomic_load_explicit(&c->compacted_in,
												   memory_order_relaxed);
	out->compacted_out_bytes = atomic_load_explicit(&c->compacted_out,
													memory_order_relaxed);
	out->ingests = atomic_load_explicit(&c->ingests, memory_order_relaxed);
	out->ingested_bytes = atomic_load_explicit(&c->ingested_bytes,
											   memory_order_relaxed);
	for (i = 0; i < KV_STALL_CAUSES; i++)
	{
		out->stalls_by[i] = atomic_load_explicit(&c->stalls[i],
												 memory_order_relaxed);
		out->stalls += out->stalls_by[i];
	}
	out->delays = atomic_load_explicit(&c->delays, memory_order_relaxed);
	out->delayed_us = atomic_load_explicit(&c->delayed_us,
										   memory_order_relaxed);
	out->compaction_paused = atomic_load_explicit(&s->compaction_paused,
												  memory_order_relaxed);
	out->synced_lsn = atomic_load_explicit(&s->synced_lsn,
										   memory_order_relaxed);
	out->flushed_lsn = atomic_load_explicit(&s->flushed_lsn,
											memory_order_relaxed);
	out->last_csn = atomic_load_explicit(&s->published_csn,
										 memory_order_relaxed);
}

static void
fill_version(KvDb *db, KvStats *out)
{
	const KvVersion *v = kv_version_acquire(db);
	int level;
	uint32_t i;

	out->current_version = v->number;
	out->memtables_immutable = v->n_mem > 0 ? v->n_mem - 1 : 0;
	if (v->n_mem > 0)
	{
		const KvMem *mem = kv_mem_at(db, v->mem[0].slot);

		out->memtable_bytes = kv_mem_used(mem);
		out->memtable_entries = kv_mem_entries(mem);
	}
	for (level = 0; level < KV_LEVELS; level++)
		for (i = v->level_start[level]; i < v->level_start[level + 1]; i++)
		{
			const KvFileMeta *meta = &kv_file_at(db, v->files[i])->meta;

			out->files[level]++;
			out->bytes[level] += meta->size;
			out->entries[level] += meta->entries;
			out->tombstones[level] += meta->tombstones + meta->range_deletes;
		}
	kv_version_release(db);
}

void
kv_stats(KvDb *db, KvStats *out)
{
	KvShared *s = db->shared;
	KvEnv *env = db->env;
	KvCacheStats cache;
	uint64_t oldest;
	uint32_t i;

	memset(out, 0, sizeof(*out));
	out->mode = kv_mode(db);
	fill_counters(s, out);
	kv_cache_stats(&db->cache, &cache);
	out->cache_hits = cache.hits;
	out->cache_misses = cache.misses;
	out->cache_evictions = cache.evictions;
	out->cache_frames = cache.frames;
	if (out->mode != KV_MODE_NORMAL && out->mode != KV_MODE_READONLY)
		return;
	env->ops->lock(env, KV_LOCK_LOG, false);
	out->inserted_lsn = s->under_log_lock.inserted_lsn;
	env->ops->unlock(env, KV_LOCK_LOG);
	fill_version(db, out);
	oldest = kv_oldest_reader(db);
	out->oldest_pinned_version = oldest == UINT64_MAX ? 0 : oldest;
	for (i = 0; i < s->config.max_files; i++)
		if (atomic_load_explicit(&kv_file_at(db, i)->state,
								 memory_order_relaxed) == KV_FILE_OBSOLETE)
			out->obsolete_files++;
	for (i = 0; i < atomic_load_explicit(&s->n_doubts, memory_order_acquire);
		 i++)
		if (atomic_load_explicit(&s->doubts[i].xid, memory_order_relaxed) != 0)
			out->doubtful++;
}

void
kv_read_cost(const KvDb *db, KvReadCost *cost)
{
	const KvSstStats *s = &db->sst_stats;

	cost->files = s->filter_checks + s->iterators;
	cost->filter_negatives = s->filter_negatives;
	cost->blocks_read = s->blocks_read;
	cost->blocks_cached = s->blocks_cached;
	cost->skipped = db->skipped;
}
