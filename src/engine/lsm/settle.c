/* SPDX-License-Identifier: PostgreSQL */
/*
 * settle.c - finding out how transactions ended.
 *
 * A version is logged before its transaction commits.  The worker asks the
 * host again and again until it knows, and stores the answer with the batch
 * in the memtable or, for versions that went into a file meanwhile, in the
 * doubt list and the MANIFEST.  Worker only, but for kv_doubt_add_locked.
 */
#include "engine/lsm/db_internal.h"

KvStatus
kv_doubt_add_locked(KvDb *db, uint64_t xid, KvXactState state)
{
	KvShared *s = db->shared;
	uint32_t n = atomic_load_explicit(&s->n_doubts, memory_order_relaxed);
	uint32_t i, free_at = n;

	KV_ASSERT(db->env->ops->lock_held(db->env, KV_LOCK_VERSION));
	KV_ASSERT(n <= KV_MAX_DOUBTS);
	KV_ASSERT(xid != 0); /* 0 marks a free place */
	/* not on the list means committed */
	KV_ASSERT(state == KV_XACT_IN_DOUBT || state == KV_XACT_ABORTED);
	for (i = 0; i < n; i++)
	{
		uint64_t have = atomic_load_explicit(&s->doubts[i].xid,
											 memory_order_relaxed);

		if (have == xid)
			return KV_OK;
		if (have == 0 && free_at == n)
			free_at = i;
	}
	if (free_at == KV_MAX_DOUBTS)
		return KV_FULL;
	atomic_store_explicit(&s->doubts[free_at].state, state,
						  memory_order_release);
	/* the state is there before the xid can be found */
	atomic_store_explicit(&s->doubts[free_at].xid, xid, memory_order_release);
	if (free_at == n)
		/* pairs with the acquire in kv_listed_state */
		atomic_store_explicit(&s->n_doubts, n + 1, memory_order_release);
	return KV_OK;
}

static void
settle_memtable(KvDb *db, uint32_t slot)
{
	KvEnv *env = db->env;
	KvMemSlot *m = &db->shared->mem[slot];
	KvMem *mem = kv_mem_at(db, slot);
	uint32_t b = m->settled_batch;
	bool contiguous = true;
	uint64_t last_xid = 0;
	KvXactState last_state = KV_XACT_IN_DOUBT;
	KvMemBatch info;

	KV_ASSERT(slot < db->shared->config.memtables);
	while (kv_mem_next_batch(mem, &b, &info))
	{
		if (info.state == KV_XACT_IN_DOUBT)
		{
			if (info.xid != last_xid)
				last_state = env->ops->xact_state(env, info.xid);
			last_xid = info.xid;
			info.state = last_state;
			if (info.state == KV_XACT_COMMITTED ||
				info.state == KV_XACT_ABORTED)
				kv_mem_set_state(mem, b, info.state);
			else
				contiguous = false;
		}
		if (contiguous)
			m->settled_batch = b;
	}
}

/* Does any file that still exists possibly name xid? */
static bool
doubt_is_needed(KvDb *db, uint64_t xid)
{
	uint32_t i;

	for (i = 0; i < db->shared->config.max_files; i++)
	{
		const KvFileSlot *f = kv_file_at(db, i);

		if (atomic_load_explicit(&f->state, memory_order_relaxed) !=
				KV_FILE_FREE &&
			f->meta.has_doubt && f->meta.min_xid <= xid &&
			xid <= f->meta.max_xid)
			return true;
	}
	return false;
}

/* Keeps the compactor away; false: it has the file already. */
static bool
claim(KvDb *db, KvFileSlot *f)
{
	KvEnv *env = db->env;
	bool ours;

	env->ops->lock(env, KV_LOCK_VERSION, true);
	ours = !f->compacting;
	f->compacting = true;
	env->ops->unlock(env, KV_LOCK_VERSION);
	return ours;
}

/* Runs whose transaction was rolled back leave the version. */
static KvStatus
remove_aborted_runs(KvDb *db, KvError *err)
{
	KvShared *s = db->shared;
	uint64_t removes[64];
	uint32_t slots[64], n = 0, i, logged = 0;
	KvVersionChange change = {0};
	KvEdit edit = {0};
	KvStatus st;

	for (i = 0; i < s->config.max_files && n < 64; i++)
	{
		KvFileSlot *f = kv_file_at(db, i);
		KvEntry probe = {0};

		if (atomic_load_explicit(&f->state, memory_order_relaxed) !=
				KV_FILE_LIVE ||
			f->meta.run_xid == 0 || !f->meta.has_doubt || f->compacting)
			continue;
		probe.xid = f->meta.run_xid;
		if (kv_known_state(db, &probe, KV_FROM_DOUBTFUL_FILE) !=
				KV_XACT_ABORTED ||
			!claim(db, f))
			continue;
		if (f->in_manifest)
			removes[logged++] = f->meta.file_no;
		slots[n++] = i;
	}
	if (n == 0)
		return KV_OK;
	edit.removes = removes;
	edit.n_removes = logged;
	change.removes = slots;
	change.n_removes = n;
	KV_ASSERT(logged <= n);
	st = kv_commit_change(db, &edit, &change, err);
	for (i = 0; st != KV_OK && i < n; i++)
		kv_file_at(db, slots[i])->compacting = false;
	return st;
}

/* Asks about the doubtful transactions of files; durable before visible. */
static KvStatus
settle_doubts(KvDb *db, KvError *err)
{
	KvEnv *env = db->env;
	KvShared *s = db->shared;
	uint32_t n = atomic_load_explicit(&s->n_doubts, memory_order_relaxed);
	KvDoubt settled[64];
	uint32_t at[64], i, n_settled = 0;
	KvEdit edit = {0};
	KvStatus st;

	for (i = 0; i < n && n_settled < 64; i++)
	{
		uint64_t xid = atomic_load_explicit(&s->doubts[i].xid,
											memory_order_relaxed);
		KvXactState state;

		if (xid == 0)
			continue;
		if (atomic_load_explicit(&s->doubts[i].state, memory_order_relaxed) !=
			KV_XACT_IN_DOUBT)
		{
			/* not on the list means committed; the rest has to be known */
			if (atomic_load_explicit(&s->doubts[i].state, memory_order_relaxed) ==
					KV_XACT_COMMITTED ||
				!doubt_is_needed(db, xid))
				atomic_store_explicit(&s->doubts[i].xid, 0,
									  memory_order_release);
			continue;
		}
		state = env->ops->xact_state(env, xid);
		if (state != KV_XACT_COMMITTED && state != KV_XACT_ABORTED)
			continue;
		settled[n_settled] = (KvDoubt){0, xid, state};
		at[n_settled++] = i;
	}
	if (n_settled == 0)
		return KV_OK;
	/* an asynchronous commit may be seen and still be lost: not by us */
	st = env->ops->flush_host_log(env, UINT64_MAX, err);
	if (st != KV_OK)
		return st;
	edit.settles = settled;
	edit.n_settles = n_settled;
	st = kv_log_edit(db, &edit, err);
	if (st != KV_OK)
		return st;
	for (i = 0; i < n_settled; i++)
		atomic_store_explicit(&s->doubts[at[i]].state, settled[i].state,
							  memory_order_release);
	return KV_OK;
}

KvStatus
kv_settle(KvDb *db, KvError *err)
{
	KvShared *s = db->shared;
	uint32_t i;
	KvStatus st;

	for (i = 0; i < s->config.memtables; i++)
		if (atomic_load_explicit(&s->mem[i].state, memory_order_acquire) !=
			KV_MEM_FREE)
			settle_memtable(db, i);
	if (atomic_load_explicit(&s->n_doubts, memory_order_relaxed) == 0)
		return KV_OK;
	/* a settle edit refers to files, so their adds come first */
	st = kv_log_pending_files(db, err);
	if (st == KV_OK)
		st = settle_doubts(db, err);
	if (st == KV_OK)
		st = remove_aborted_runs(db, err);
	return st;
}
