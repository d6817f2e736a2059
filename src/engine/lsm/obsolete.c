/* SPDX-License-Identifier: PostgreSQL */
/*
 * obsolete.c - removing files that nothing can need any more.
 *
 * Worker only.  A table goes when no version that a reader may look at names
 * it; WAL segments and MANIFESTs when the durable state has moved past them;
 * nothing while a base backup runs.
 */
#include "engine/lsm/db_internal.h"

#define KV_REMOVALS_A_STEP 32

/*
 * A moved table lives on in another slot under the same number, which may be
 * obsolete by now too, and be needed for longer.
 */
static bool
number_is_elsewhere(KvDb *db, uint32_t slot, uint64_t file_no)
{
	uint32_t i;

	for (i = 0; i < db->shared->config.max_files; i++)
	{
		const KvFileSlot *f = kv_file_at(db, i);
		/*
		 * acquire: pairs with the release in kv_version_install_locked.  The
		 * meta of a PENDING one is its writer's; if it is for the same
		 * number, the slot that it is moved from is LIVE.
		 */
		uint32_t state = atomic_load_explicit(&f->state, memory_order_acquire);

		if (i != slot && (state == KV_FILE_LIVE || state == KV_FILE_OBSOLETE) &&
			f->meta.file_no == file_no)
			return true;
	}
	return false;
}

static KvStatus
remove_tables(KvDb *db, uint32_t *removed, KvError *err)
{
	KvEnv *env = db->env;
	uint64_t oldest = KV_BUG(files_removed_under_scans) ? UINT64_MAX
														: kv_oldest_reader(db);
	uint64_t gone[KV_REMOVALS_A_STEP];
	uint32_t i, n_gone = 0;
	char name[KV_NAME_MAX];
	KvStatus st = KV_OK;

	kv_table_sweep(db);
	for (i = 0; i < db->shared->config.max_files; i++)
	{
		KvFileSlot *f = kv_file_at(db, i);

		if (*removed >= KV_REMOVALS_A_STEP)
			break;
		if (atomic_load_explicit(&f->state, memory_order_relaxed) !=
				KV_FILE_OBSOLETE ||
			f->obsolete_at > oldest)
			continue;
		KV_ASSERT(f->obsolete_at != 0);
		if (!number_is_elsewhere(db, i, f->meta.file_no))
		{
			/* an edit has removed it, or never named it */
			KV_ASSERT(f->meta.file_no != 0);
			kv_file_name(name, KV_NAME_SST, f->meta.file_no);
			st = env->ops->unlink(env, name, err);
			if (st == KV_NOT_FOUND)
				st = KV_OK;
			if (st != KV_OK)
				break;
			gone[n_gone++] = f->meta.file_no;
			(*removed)++;
		}
		kv_file_slot_release(db, i);
	}
	kv_cache_forget(&db->cache, gone, n_gone);
	return st;
}

typedef struct Sweep
{
	KvDb *db;
	uint64_t names[KV_REMOVALS_A_STEP];
	KvNameKind kinds[KV_REMOVALS_A_STEP];
	uint32_t n;
	bool more;
} Sweep;

static bool
collect_old(void *arg, const char *name)
{
	Sweep *sw = arg;
	uint64_t no;
	KvNameKind kind = kv_file_name_parse(name, &no);
	uint64_t min_wal = sw->db->state.min_wal;

	if (KV_BUG(wal_removed_early))
		min_wal = atomic_load_explicit(&sw->db->shared->wal_no,
									   memory_order_relaxed);

	if (!(kind == KV_NAME_WAL && no < min_wal) &&
		!(kind == KV_NAME_MANIFEST && no < sw->db->state.manifest_no))
		return true;
	if (sw->n == KV_REMOVALS_A_STEP)
	{
		sw->more = true;
		return false;
	}
	sw->names[sw->n] = no;
	sw->kinds[sw->n++] = kind;
	return true;
}

static KvStatus
remove_logs(KvDb *db, uint32_t *removed, KvError *err)
{
	KvEnv *env = db->env;
	Sweep sw = {0};
	char name[KV_NAME_MAX];
	uint32_t i;
	KvStatus st;

	sw.db = db;
	st = env->ops->list(env, collect_old, &sw, err);
	for (i = 0; st == KV_OK && i < sw.n; i++)
	{
		kv_file_name(name, sw.kinds[i], sw.names[i]);
		st = env->ops->unlink(env, name, err);
		if (st == KV_NOT_FOUND)
			st = KV_OK;
		(*removed)++;
	}
	if (st == KV_OK)
		db->sweep_wanted = sw.more;
	return st;
}

KvStatus
kv_remove_obsolete(KvDb *db, uint32_t *removed, KvError *err)
{
	KvEnv *env = db->env;
	KvStatus st;

	*removed = 0;
	if (env->ops->backup_running(env) && !KV_BUG(files_removed_in_backup))
		return KV_OK;
	st = remove_tables(db, removed, err);
	if (st == KV_OK && db->sweep_wanted)
		st = remove_logs(db, removed, err);
	return st;
}
