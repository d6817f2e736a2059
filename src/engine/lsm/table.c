/* SPDX-License-Identifier: PostgreSQL */
/*
 * table.c - the SSTables a process has open, and writing new ones.
 *
 * Open tables are private to a process and found by file slot.  New tables
 * are written under a temporary name that base backups skip, and get their
 * final name by link() once complete and synced.
 */
#include "engine/lsm/db_internal.h"

void
kv_load_identity(KvDb *db)
{
	const KvShared *s = db->shared;

	db->identity.system_id = atomic_load_explicit(&s->system_id,
												  memory_order_relaxed);
	db->identity.timeline = atomic_load_explicit(&s->timeline,
												 memory_order_relaxed);
	db->identity.incarnation = atomic_load_explicit(&s->incarnation,
													memory_order_relaxed);
}

KvStatus
kv_table_open(KvDb *db, uint32_t slot, KvSst **sst, KvError *err)
{
	KvEnv *env = db->env;
	const KvFileMeta *meta = &kv_file_at(db, slot)->meta;
	KvSstOverride override = {meta->run_csn, meta->run_xid};
	KvOpenTable *t;
	char name[KV_NAME_MAX];
	KvFile *file;
	KvStatus st;

	KV_ASSERT(slot < db->shared->config.max_files);
	KV_ASSERT(meta->file_no != 0); /* 0 marks what is not open */
	if (db->tables == NULL)
	{
		size_t n = db->shared->config.max_files * sizeof(KvOpenTable);

		db->tables = env->ops->alloc(env, n);
		if (db->tables == NULL)
			return kv_fail(err, KV_NO_MEMORY, "out of memory");
		memset(db->tables, 0, n);
	}
	t = &db->tables[slot];
	if (t->file_no == meta->file_no)
	{
		*sst = t->sst;
		return KV_OK;
	}
	if (t->file_no != 0)
	{
		kv_sst_close(t->sst);
		t->file_no = 0;
	}
	kv_load_identity(db);
	kv_file_name(name, KV_NAME_SST, meta->file_no);
	st = env->ops->open(env, name, KV_OPEN_READ, &file, err);
	if (st == KV_NOT_FOUND)
		return kv_corrupt(err, meta->file_no, 0, "file %s is missing", name);
	if (st != KV_OK)
		return st;
	st = kv_sst_open(env, &db->cache, &db->identity, meta->file_no, file,
					 meta->size, override, &t->sst, err);
	if (st != KV_OK)
	{
		if (!KV_BUG(file_left_open))
			env->ops->close(env, file);
		return st;
	}
	kv_sst_count_in(t->sst, &db->sst_stats);
	t->file_no = meta->file_no;
	*sst = t->sst;
	return KV_OK;
}

void
kv_table_sweep(KvDb *db)
{
	uint64_t current = atomic_load_explicit(&db->shared->current_version,
											memory_order_relaxed);
	uint32_t i;

	if (db->tables == NULL || db->tables_swept == current ||
		db->scans != NULL || db->compaction != NULL)
		return;
	db->tables_swept = current;
	for (i = 0; i < db->shared->config.max_files; i++)
	{
		KvOpenTable *t = &db->tables[i];

		if (t->file_no == 0 ||
			atomic_load_explicit(&kv_file_at(db, i)->live_no,
								 memory_order_relaxed) == t->file_no)
			continue;
		kv_sst_close(t->sst);
		t->file_no = 0;
	}
}

void
kv_table_close_all(KvDb *db)
{
	uint32_t i;

	if (db->tables == NULL)
		return;
	for (i = 0; i < db->shared->config.max_files; i++)
		if (db->tables[i].file_no != 0)
			kv_sst_close(db->tables[i].sst);
	db->env->ops->free(db->env, db->tables);
	db->tables = NULL;
}

KvStatus
kv_table_out_open(KvDb *db, KvTableOut *out, bool range_deletes, KvError *err)
{
	KvEnv *env = db->env;
	const KvConfig *c = &db->shared->config;
	KvSstOptions options = {c->block_bytes, 0, 10, c->lz4, &db->cache, false};
	KvCacheStats cache;
	char name[KV_NAME_MAX];
	KvStatus st;

	KV_ASSERT(!env->ops->lock_held(env, KV_LOCK_LOG));
	KV_ASSERT(!env->ops->lock_held(env, KV_LOCK_VERSION));
	memset(out, 0, sizeof(*out));
	kv_cache_stats(&db->cache, &cache);
	options.range_deletes = range_deletes;
	options.frame_bytes = (uint32_t) cache.frame_bytes;
	kv_load_identity(db);
	st = kv_new_file_no(db, &out->file_no, err);
	if (st != KV_OK)
		return st;
	kv_file_name(name, KV_NAME_TEMP, out->file_no);
	st = env->ops->open(env, name, KV_OPEN_WRITE | KV_OPEN_CREATE, &out->file,
						err);
	if (st != KV_OK)
		return st;
	st = kv_sst_builder_open(env, &options, &db->identity, out->file_no,
							 out->file, &out->builder, err);
	if (st != KV_OK)
		kv_table_out_abort(db, out);
	return st;
}

static void
fill_meta(KvFileMeta *meta, uint64_t file_no, const KvSstSummary *sum)
{
	memset(meta, 0, sizeof(*meta));
	meta->file_no = file_no;
	meta->size = sum->size;
	meta->digest = sum->digest;
	meta->entries = sum->entries;
	meta->tombstones = sum->tombstones;
	meta->min_csn = sum->min_csn;
	meta->max_csn = sum->max_csn;
	meta->min_xid = sum->min_xid;
	meta->max_xid = sum->max_xid;
	meta->oldest_expiry_us = sum->oldest_expiry_us;
	meta->key_bytes = sum->key_bytes;
	meta->value_bytes = sum->value_bytes;
	meta->range_deletes = sum->range_deletes;
	if (sum->entries > 0)
		kv_set_bounds(meta, sum->smallest, sum->largest);
	if (sum->range_deletes > 0)
		kv_widen_bounds(meta, sum->entries == 0, sum->range_lower,
						sum->range_upper);
}

KvStatus
kv_table_out_finish(KvDb *db, KvTableOut *out, KvFileMeta *meta, KvError *err)
{
	KvEnv *env = db->env;
	char temp[KV_NAME_MAX], name[KV_NAME_MAX];
	KvSstSummary sum;
	KvStatus st;

	KV_ASSERT(out->builder != NULL && out->file != NULL);
	kv_file_name(temp, KV_NAME_TEMP, out->file_no);
	kv_file_name(name, KV_NAME_SST, out->file_no);
	st = kv_sst_builder_finish(out->builder, &sum, err);
	if (st == KV_OK)
	{
		fill_meta(meta, out->file_no, &sum);
		if (!KV_BUG(table_no_sync))
			st = env->ops->sync(env, out->file, err);
	}
	if (st == KV_OK)
		st = env->ops->link(env, temp, name, err);
	if (st != KV_OK)
	{
		kv_table_out_abort(db, out);
		return st;
	}
	kv_sst_builder_free(out->builder);
	env->ops->close(env, out->file);
	out->builder = NULL;
	out->file = NULL;
	env->ops->stop(env, "table-linked");
	/* a temporary name that stays is swept at the next start */
	st = env->ops->unlink(env, temp, err);
	if (st == KV_OK || st == KV_NOT_FOUND)
		st = KV_BUG(table_no_dir_sync) ? KV_OK : env->ops->sync_dir(env, err);
	if (st != KV_OK)
	{
		KvError ignored;

		(void) env->ops->unlink(env, name, &ignored);
	}
	return st;
}

void
kv_table_out_abort(KvDb *db, KvTableOut *out)
{
	KvEnv *env = db->env;
	char name[KV_NAME_MAX];
	KvError ignored;

	if (out->builder != NULL)
		kv_sst_builder_free(out->builder);
	if (out->file != NULL)
	{
		env->ops->close(env, out->file);
		kv_file_name(name, KV_NAME_TEMP, out->file_no);
		(void) env->ops->unlink(env, name, &ignored);
		kv_cache_forget(&db->cache, &out->file_no, 1);
	}
	out->builder = NULL;
	out->file = NULL;
}
