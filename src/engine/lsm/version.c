/* SPDX-License-Identifier: PostgreSQL */
/*
 * version.c - immutable sets of memtables and files, and who looks at them.
 *
 * Readers take no lock: they publish the number they are about to use, and
 * use it if it is still the current one.  Installs are serialised by
 * KV_LOCK_VERSION.  Nothing here does I/O; files are removed by obsolete.c.
 */
#include "engine/lsm/db_internal.h"

static KvVersion *
version_slot(const KvDb *db, uint64_t number)
{
	KvShared *s = db->shared;

	return (KvVersion *) ((char *) s + s->versions_off +
						  (number % KV_VERSION_SLOTS) * s->version_stride);
}

const KvVersion *
kv_version_acquire(KvDb *db)
{
	KvShared *s = db->shared;
	uint64_t n;

	KV_ASSERT(atomic_load_explicit(&db->reader->active,
								   memory_order_relaxed) == 0);
	for (;;)
	{
		n = atomic_load_explicit(&s->current_version, memory_order_acquire);
		/*
		 * Store, full barrier, load: pairs with the sequentially consistent
		 * store of current_version before kv_version_can_install_locked and
		 * kv_oldest_reader look at active.  Either they see our number, or
		 * we see theirs and try again.
		 */
		atomic_store_explicit(&db->reader->active, n, memory_order_seq_cst);
		if (atomic_load_explicit(&s->current_version, memory_order_seq_cst) == n)
			return version_slot(db, n);
	}
}

void
kv_version_release(KvDb *db)
{
	atomic_store_explicit(&db->reader->active, 0, memory_order_release);
}

void
kv_version_pin(KvDb *db, uint64_t number)
{
	uint64_t old = atomic_load_explicit(&db->reader->pinned,
										memory_order_relaxed);

	/* under an acquired version, so that no moment is unprotected */
	KV_ASSERT(number != 0);
	KV_ASSERT(atomic_load_explicit(&db->reader->active,
								   memory_order_relaxed) == number);
	if (old == 0 || number < old)
		atomic_store_explicit(&db->reader->pinned, number,
							  memory_order_seq_cst);
}

void
kv_version_unpin(KvDb *db, uint64_t oldest_needed)
{
	atomic_store_explicit(&db->reader->pinned,
						  oldest_needed == UINT64_MAX ? 0 : oldest_needed,
						  memory_order_seq_cst);
}

uint64_t
kv_oldest_reader(KvDb *db)
{
	uint64_t oldest = UINT64_MAX;
	uint32_t i;

	for (i = 0; i < db->shared->config.max_readers; i++)
	{
		KvReaderSlot *r = kv_reader_at(db, i);
		uint64_t a = atomic_load_explicit(&r->active, memory_order_seq_cst);
		uint64_t p = atomic_load_explicit(&r->pinned, memory_order_seq_cst);

		if (a != 0 && a < oldest)
			oldest = a;
		if (p != 0 && p < oldest)
			oldest = p;
	}
	return oldest;
}

bool
kv_version_can_install_locked(KvDb *db)
{
	KvShared *s = db->shared;
	uint64_t next = atomic_load_explicit(&s->current_version,
										 memory_order_relaxed) +
					1;
	uint64_t victim = next > KV_VERSION_SLOTS ? next - KV_VERSION_SLOTS : 0;
	uint32_t i;

	KV_ASSERT(db->env->ops->lock_held(db->env, KV_LOCK_VERSION));
	if (victim == 0)
		return true;
	for (i = 0; i < s->config.max_readers; i++)
		if (atomic_load_explicit(&kv_reader_at(db, i)->active,
								 memory_order_seq_cst) == victim)
			return false;
	return true;
}

/* Where a file stands among those of its level. */
static bool
file_goes_before(int level, const KvFileMeta *a, const KvFileMeta *b)
{
	int c;

	if (level == 0)
	{
		if (a->max_csn != b->max_csn)
			return (a->max_csn > b->max_csn) ^ KV_BUG(l0_order_reversed);
		return a->file_no > b->file_no;
	}
	c = kv_slice_compare(kv_slice(a->smallest, a->smallest_len),
						 kv_slice(b->smallest, b->smallest_len));
	return c < 0 || (c == 0 && a->file_no < b->file_no);
}

static bool
contains(const uint32_t *slots, uint32_t n, uint32_t slot)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		if (slots[i] == slot)
			return true;
	return false;
}

static void
fill_files(KvDb *db, const KvVersion *old, KvVersion *v,
		   const KvVersionChange *change)
{
	uint32_t n = 0;
	int level;

	for (level = 0; level < KV_LEVELS; level++)
	{
		uint32_t i, start = n;

		v->level_start[level] = n;
		for (i = old ? old->level_start[level] : 0;
			 old && i < old->level_start[level + 1]; i++)
			if (!contains(change->removes, change->n_removes, old->files[i]))
				v->files[n++] = old->files[i];
		for (i = 0; i < change->n_adds; i++)
		{
			const KvFileMeta *meta = &kv_file_at(db, change->adds[i])->meta;
			uint32_t at = n;

			if (meta->level != level)
				continue;
			while (at > start &&
				   file_goes_before(level, meta,
									&kv_file_at(db, v->files[at - 1])->meta))
			{
				v->files[at] = v->files[at - 1];
				at--;
			}
			v->files[at] = change->adds[i];
			n++;
		}
	}
	v->level_start[KV_LEVELS] = n;
	KV_ASSERT(n <= db->shared->config.max_files);
	KV_ASSERT(n + change->n_removes ==
			  (old ? old->level_start[KV_LEVELS] : 0) + change->n_adds);
}

static void
fill_mem(const KvVersion *old, KvVersion *v, const KvVersionChange *change)
{
	uint32_t i, n = 0;

	/* newest first */
	KV_ASSERT(!change->new_mem || old == NULL || old->n_mem == 0 ||
			  (change->mem.generation > old->mem[0].generation &&
			   change->mem.start_csn >= old->mem[0].start_csn));
	if (change->new_mem)
		v->mem[n++] = change->mem;
	for (i = 0; old && i < old->n_mem; i++)
	{
		if (old->mem[i].generation == change->drop_generation)
			continue;
		KV_ASSERT(n < KV_MAX_MEMTABLES);
		v->mem[n++] = old->mem[i];
	}
	v->n_mem = n;
}

/* Files of one ingested run count as one. */
static uint32_t
count_l0(KvDb *db, const KvVersion *v)
{
	uint32_t i, n = 0;
	uint64_t run = 0;

	for (i = v->level_start[0]; i < v->level_start[1]; i++)
	{
		uint64_t csn = kv_file_at(db, v->files[i])->meta.run_csn;

		if (csn == 0 || csn != run)
			n++;
		run = csn;
	}
	return n;
}

KvStatus
kv_version_install_locked(KvDb *db, const KvVersionChange *change)
{
	KvShared *s = db->shared;
	uint64_t cur = atomic_load_explicit(&s->current_version,
										memory_order_relaxed);
	const KvVersion *old = cur ? version_slot(db, cur) : NULL;
	KvVersion *v = version_slot(db, cur + 1);
	uint32_t i;

	KV_ASSERT(db->env->ops->lock_held(db->env, KV_LOCK_VERSION));
	KV_ASSERT(old == NULL || old->number == cur);
	if (!kv_version_can_install_locked(db))
		return KV_STALLED;
	v->number = cur + 1;
	fill_mem(old, v, change);
	fill_files(db, old, v, change);
	for (i = 0; i < change->n_adds; i++)
	{
		KvFileSlot *f = kv_file_at(db, change->adds[i]);

		atomic_store_explicit(&f->live_no, f->meta.file_no,
							  memory_order_relaxed);
		/* release: pairs with the acquire in number_is_elsewhere */
		atomic_store_explicit(&f->state, KV_FILE_LIVE, memory_order_release);
	}
	for (i = 0; i < change->n_removes; i++)
	{
		KvFileSlot *f = kv_file_at(db, change->removes[i]);

		KV_ASSERT(atomic_load_explicit(&f->state, memory_order_relaxed) ==
				  KV_FILE_LIVE);
		KV_ASSERT(f->compacting); /* claimed by whoever removes it */
		f->obsolete_at = cur + 1;
		f->compacting = false;
		atomic_store_explicit(&f->live_no, 0, memory_order_relaxed);
		atomic_store_explicit(&f->state, KV_FILE_OBSOLETE,
							  memory_order_relaxed);
	}
	atomic_store_explicit(&s->l0_files, count_l0(db, v), memory_order_relaxed);
	/* pairs with kv_version_acquire */
	atomic_store_explicit(&s->current_version, cur + 1, memory_order_seq_cst);
	return KV_OK;
}

KvStatus
kv_file_slot_reserve(KvDb *db, uint32_t *slot, KvError *err)
{
	KvEnv *env = db->env;
	uint32_t i, n = db->shared->config.max_files;

	env->ops->lock(env, KV_LOCK_VERSION, true);
	for (i = 0; i < n; i++)
	{
		KvFileSlot *f = kv_file_at(db, i);

		if (atomic_load_explicit(&f->state, memory_order_relaxed) ==
			KV_FILE_FREE)
		{
			f->compacting = false;
			f->in_manifest = false;
			f->obsolete_at = 0;
			atomic_store_explicit(&f->fruitless, 0, memory_order_relaxed);
			memset(&f->meta, 0, sizeof(f->meta));
			atomic_store_explicit(&f->state, KV_FILE_PENDING,
								  memory_order_relaxed);
			env->ops->unlock(env, KV_LOCK_VERSION);
			*slot = i;
			return KV_OK;
		}
	}
	env->ops->unlock(env, KV_LOCK_VERSION);
	return kv_fail(err, KV_FULL, "all %u file slots are in use", n);
}

void
kv_file_slot_release(KvDb *db, uint32_t slot)
{
	KvEnv *env = db->env;

	KV_ASSERT(slot < db->shared->config.max_files);
	env->ops->lock(env, KV_LOCK_VERSION, true);
	/* what a version names is never given away */
	KV_ASSERT(atomic_load_explicit(&kv_file_at(db, slot)->state,
								   memory_order_relaxed) != KV_FILE_LIVE);
	atomic_store_explicit(&kv_file_at(db, slot)->state, KV_FILE_FREE,
						  memory_order_relaxed);
	env->ops->unlock(env, KV_LOCK_VERSION);
}
