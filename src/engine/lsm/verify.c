/* SPDX-License-Identifier: PostgreSQL */
/*
 * verify.c - reads everything and says what is wrong.
 *
 * Any process.  Files are read past the block cache, in the version that is
 * current at the start; it is pinned, so the store goes on working.
 */
#include "engine/lsm/db_internal.h"

#include <stdio.h>

#define XXH_STATIC_LINKING_ONLY /* the state stands in our struct */
#include <xxhash.h>

#define CHUNK (256 << 10)

typedef struct Verify
{
	KvDb *db;
	bool (*report)(void *arg, const char *file, const char *problem);
	void *arg;
	bool stop;	/* report said so */
	bool found; /* a problem with the file at hand */
	char file[KV_NAME_MAX];
	char *last_key; /* the largest of the file before, in its level */
	size_t last_len;
	bool has_last;
} Verify;

static void
say(Verify *v, const char *problem)
{
	v->found = true;
	if (!v->stop)
		v->stop = !v->report(v->arg, v->file, problem);
}

/* KV_CORRUPT and KV_UNSUPPORTED are findings; anything else ends the work. */
static KvStatus
finding(Verify *v, KvStatus status, const KvError *err)
{
	if (status != KV_CORRUPT && status != KV_UNSUPPORTED && status != KV_FOREIGN)
		return status;
	say(v, err->message);
	return KV_OK;
}

/* ---- size and digest */

KvStatus
kv_file_digest(KvDb *db, KvFile *file, uint64_t *size, uint64_t *digest,
			   KvError *err)
{
	KvEnv *env = db->env;
	XXH3_state_t *state;
	char *mem, *chunk;
	size_t got = CHUNK;
	KvStatus status = KV_OK;

	mem = env->ops->alloc(env, sizeof(*state) + 64);
	chunk = env->ops->alloc(env, CHUNK);
	*size = *digest = 0;
	if (mem == NULL || chunk == NULL)
		status = kv_fail(err, KV_NO_MEMORY, "out of memory");
	else
	{
		state = (XXH3_state_t *) (((uintptr_t) mem + 63) & ~(uintptr_t) 63);
		XXH3_INITSTATE(state);
		(void) XXH3_64bits_reset(state);
		while (status == KV_OK && got == CHUNK)
		{
			if (env->ops->poll(env))
				status = kv_fail(err, KV_INTERRUPTED, "interrupted");
			else
				status = env->ops->pread(env, file, chunk, CHUNK, *size, &got,
										 err);
			if (status == KV_OK)
			{
				(void) XXH3_64bits_update(state, chunk, got);
				*size += got;
			}
		}
		*digest = XXH3_64bits_digest(state);
	}
	if (mem != NULL)
		env->ops->free(env, mem);
	if (chunk != NULL)
		env->ops->free(env, chunk);
	return status;
}

/* ---- content against the MANIFEST's word */

static KvStatus
remember_last(Verify *v, KvSlice key, KvError *err)
{
	KvEnv *env = v->db->env;

	if (v->last_key == NULL)
		v->last_key = env->ops->alloc(env, KV_MAX_KEY);
	if (v->last_key == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory");
	v->last_len = key.len < KV_MAX_KEY ? key.len : KV_MAX_KEY;
	memcpy(v->last_key, key.data, v->last_len);
	v->has_last = true;
	return KV_OK;
}

typedef struct Counts
{
	uint64_t entries, tombstones, range_deletes, min_csn, max_csn, max_xid;
} Counts;

static void
count_entry(Counts *n, const KvEntry *e)
{
	if (n->entries + n->range_deletes == 0)
		n->min_csn = n->max_csn = e->csn;
	n->entries += e->kind != KV_KIND_RANGE_DELETE;
	n->range_deletes += e->kind == KV_KIND_RANGE_DELETE;
	n->tombstones += e->kind == KV_KIND_DELETE;
	if (e->csn < n->min_csn)
		n->min_csn = e->csn;
	if (e->csn > n->max_csn)
		n->max_csn = e->csn;
	if (e->xid > n->max_xid)
		n->max_xid = e->xid;
}

static void
compare_counts(Verify *v, const KvFileMeta *meta, const Counts *n)
{
	if (n->entries != meta->entries || n->tombstones != meta->tombstones)
		say(v, "number of entries differs from the MANIFEST");
	if (n->range_deletes != meta->range_deletes)
		say(v, "number of range deletes differs from the MANIFEST");
	if (n->entries + n->range_deletes > 0 &&
		(n->min_csn != meta->min_csn || n->max_csn != meta->max_csn))
		say(v, "csn range differs from the MANIFEST");
	if (n->max_xid != meta->max_xid)
		say(v, "transaction range differs from the MANIFEST");
}

/* The bounds are those of keys and range deletes together. */
static void
check_bounds(Verify *v, const KvFileMeta *meta, KvFileMeta *bounds, KvSst *sst,
			 Counts *counts)
{
	const KvEntry *items;
	uint32_t i, n;
	KvSlice largest;

	items = kv_sst_range_deletes(sst, &n);
	for (i = 0; i < n; i++)
	{
		kv_widen_bounds(bounds, counts->entries + i == 0, items[i].key,
						items[i].value);
		count_entry(counts, &items[i]);
	}
	if (counts->entries + n == 0)
		return;
	if (!kv_slice_equal(kv_slice(bounds->smallest, bounds->smallest_len),
						kv_slice(meta->smallest, meta->smallest_len)))
		say(v, "smallest key differs from the MANIFEST");
	largest = kv_slice(bounds->largest, bounds->largest_len);
	if (n > 0 &&
		(bounds->largest_cut != meta->largest_cut ||
		 !kv_slice_equal(largest, kv_slice(meta->largest, meta->largest_len))))
		say(v, "range deletes reach beyond the bounds in the MANIFEST");
}

static KvStatus
check_content(Verify *v, const KvFileMeta *meta, KvSst *sst, KvError *err)
{
	Counts counts = {0};
	KvFileMeta bounds = {0};
	KvIter *it;
	KvStatus status = kv_sst_iter(sst, CHUNK, &it, err);
	bool outside = false;

	KV_ASSERT(meta->level < KV_LEVELS);
	if (status != KV_OK)
		return status;
	it->err = err;
	for (it->ops->first(it); it->valid; it->ops->next(it))
	{
		KvSlice key = it->entry.key;

		if (counts.entries == 0 && meta->level > 0 && v->has_last &&
			kv_slice_compare(kv_slice(v->last_key, v->last_len), key) >= 0)
			say(v, "overlaps the file before it in its level");
		if (counts.entries == 0)
			kv_set_bounds(&bounds, key, key);
		outside |= kv_key_before_file(key, meta) ||
				   kv_key_after_file(key, meta);
		count_entry(&counts, &it->entry);
		status = remember_last(v, key, err);
		if (status != KV_OK)
			break;
		if (counts.entries % 1024 == 0 && v->db->env->ops->poll(v->db->env))
		{
			status = kv_fail(err, KV_INTERRUPTED, "interrupted");
			break;
		}
	}
	if (status == KV_OK)
		status = it->status;
	it->ops->close(it);
	if (status != KV_OK)
		return status;
	if (outside)
		say(v, "a key lies outside the bounds in the MANIFEST");
	if (counts.entries > 0)
	{
		KvFileMeta last = {0};

		kv_set_bounds(&last, kv_slice(v->last_key, v->last_len),
					  kv_slice(v->last_key, v->last_len));
		bounds.largest_len = last.largest_len;
		bounds.largest_cut = last.largest_cut;
		memcpy(bounds.largest, last.largest, last.largest_len);
	}
	check_bounds(v, meta, &bounds, sst, &counts);
	compare_counts(v, meta, &counts);
	return KV_OK;
}

/* ---- one file */

static KvStatus
check_table(Verify *v, const KvFileMeta *meta, KvFile *file, KvError *err)
{
	KvDb *db = v->db;
	KvSstOverride override = {meta->run_csn, meta->run_xid};
	KvSst *sst;
	KvStatus status;

	kv_load_identity(db);
	status = kv_sst_open(db->env, NULL, &db->identity, meta->file_no, file,
						 meta->size, override, &sst, err);
	if (status != KV_OK)
	{
		db->env->ops->close(db->env, file);
		return status;
	}
	status = kv_sst_verify(sst, err);
	if (status == KV_OK)
		status = check_content(v, meta, sst, err);
	kv_sst_close(sst);
	return status;
}

static KvStatus
verify_file(Verify *v, const KvFileMeta *meta, KvError *err)
{
	KvEnv *env = v->db->env;
	uint64_t size, digest;
	KvFile *file;
	KvStatus status;

	v->found = false;
	kv_file_name(v->file, KV_NAME_SST, meta->file_no);
	status = env->ops->open(env, v->file, KV_OPEN_READ, &file, err);
	if (status == KV_NOT_FOUND)
	{
		say(v, "the file is missing");
		return KV_OK;
	}
	if (status != KV_OK)
		return status;
	status = kv_file_digest(v->db, file, &size, &digest, err);
	if (status != KV_OK)
	{
		env->ops->close(env, file);
		return status;
	}
	if (size != meta->size)
		say(v, "size differs from the MANIFEST");
	else if (digest != meta->digest)
		say(v, "content differs from the MANIFEST's digest");
	/* more detail; closes the file */
	status = finding(v, check_table(v, meta, file, err), err);
	if (status == KV_OK && !v->found && !v->stop)
		v->stop = !v->report(v->arg, v->file, NULL);
	return status;
}

static KvStatus
verify_files(Verify *v, const uint32_t *slots, uint32_t n, KvError *err)
{
	KvStatus status = KV_OK;
	uint32_t i;

	for (i = 0; i < n && status == KV_OK && !v->stop; i++)
	{
		const KvFileMeta *meta = &kv_file_at(v->db, slots[i])->meta;

		if (i == 0 ||
			meta->level != kv_file_at(v->db, slots[i - 1])->meta.level)
			v->has_last = false;
		if (i > 0 && meta->level > 0 && v->has_last &&
			kv_files_overlap(meta, &kv_file_at(v->db, slots[i - 1])->meta))
			say(v, "its bounds overlap those of the file before it");
		if (i > 0 && meta->level == 0 &&
			kv_file_at(v->db, slots[i - 1])->meta.max_csn < meta->max_csn)
			say(v, "L0 is not in the order of csn");
		status = verify_file(v, meta, err);
	}
	return status;
}

/* ---- memtables */

static KvStatus
verify_memtables(Verify *v, KvError *err)
{
	KvDb *db = v->db;
	KvEnv *env = db->env;
	uint32_t i;
	KvStatus status = KV_OK;

	for (i = 0;
		 i < db->shared->config.memtables && status == KV_OK && !v->stop; i++)
	{
		bool there;

		/* keeps writers out, and memtables from being given away */
		env->ops->lock(env, KV_LOCK_LOG, false);
		there = atomic_load_explicit(&db->shared->mem[i].state,
									 memory_order_acquire) != KV_MEM_FREE;
		if (there)
			status = kv_mem_check(kv_mem_at(db, i), err);
		env->ops->unlock(env, KV_LOCK_LOG);
		if (!there)
			continue;
		(void) snprintf(v->file, sizeof(v->file), "memtable %u", i);
		v->found = false;
		status = finding(v, status, err);
		if (status == KV_OK && !v->found && !v->stop)
			v->stop = !v->report(v->arg, v->file, NULL);
	}
	return status;
}

KvStatus
kv_verify(KvDb *db,
		  bool (*report)(void *arg, const char *file, const char *problem),
		  void *arg, KvError *err)
{
	KvEnv *env = db->env;
	KvReadView nothing = {0};
	Verify v = {0};
	const KvVersion *version;
	uint32_t *slots, n;
	KvScan *pin;
	KvStatus status;

	v.db = db;
	v.report = report;
	v.arg = arg;
	/* an open scan is what pins files */
	status = kv_scan_open(db, &nothing, kv_slice("", 0), kv_slice("", 0),
						  false, NULL, &pin, err);
	if (status != KV_OK)
		return status;
	version = kv_version_acquire(db);
	n = version->level_start[KV_LEVELS];
	slots = env->ops->alloc(env, (n + 1) * sizeof(uint32_t));
	if (slots != NULL)
		memcpy(slots, version->files, n * sizeof(uint32_t));
	kv_version_release(db);
	if (slots == NULL)
		status = kv_fail(err, KV_NO_MEMORY, "out of memory");
	if (status == KV_OK)
		status = verify_files(&v, slots, n, err);
	if (status == KV_OK && !v.stop)
		status = verify_memtables(&v, err);
	kv_scan_close(pin);
	if (slots != NULL)
		env->ops->free(env, slots);
	if (v.last_key != NULL)
		env->ops->free(env, v.last_key);
	return status;
}
