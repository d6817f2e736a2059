/* SPDX-License-Identifier: PostgreSQL */
/*
 * levels.c - whether the files of a store fit together; see world.h.
 *
 * kv_verify looks at each file and its neighbour; here the whole is looked
 * at, with a reader of its own: what recovery would find in the MANIFEST is
 * what the process works with, no version of a key stands above a newer one,
 * each key is found through the filter.
 */
#include <stdlib.h>
#include <string.h>

#include "world.h"

#include "engine/lsm/db_internal.h"

typedef struct Checker
{
	World *w;
	char keys[MODEL_KEYS][MODEL_KEY_MAX]; /* by number */
	uint32_t lens[MODEL_KEYS];
	uint64_t oldest[MODEL_KEYS]; /* csn, of what stands above */
	uint16_t last;				 /* key of the file before, in its level */
	bool has_last;
} Checker;

static int
model_number(const Checker *c, KvSlice key)
{
	int k;

	for (k = 0; k < MODEL_KEYS; k++)
		if (kv_slice_equal(key, kv_slice(c->keys[k], c->lens[k])))
			return k;
	return -1;
}

static bool
take_any(void *arg, const KvEntry *entry)
{
	*(uint64_t *) arg = entry->csn;
	return true;
}

/* The entries of one file, in their order. */
static void
check_entries(Checker *c, const KvFileMeta *meta, KvSst *sst, KvIter *it,
			  KvError *err)
{
	World *w = c->w;
	bool first = true;
	int before = -1;

	for (it->ops->first(it); it->valid && !w->failed; it->ops->next(it))
	{
		const KvEntry *e = &it->entry;
		int k = model_number(c, e->key);
		uint64_t found = 0;

		if (k < 0)
		{
			world_fail(w, SIM_OTHER, "file %llu has a key that nobody wrote",
					   (unsigned long long) meta->file_no);
			return;
		}
		if (first && meta->level > 0 && c->has_last &&
			kv_slice_compare(kv_slice(c->keys[c->last], c->lens[c->last]),
							 e->key) >= 0)
			world_fail(w, SIM_OTHER, "level %d: file %llu overlaps",
					   meta->level, (unsigned long long) meta->file_no);
		first = false;
		if (e->csn >= c->oldest[k])
			world_fail(w, SIM_RESURRECTED,
					   "level %d: file %llu has a version of key %d below "
					   "an older one",
					   meta->level, (unsigned long long) meta->file_no, k);
		c->oldest[k] = e->csn;
		if (k != before && kv_sst_get(sst, e->key, kv_key_hash(e->key),
									  take_any, &found, NULL, err) != KV_OK)
			world_fail(w, SIM_OTHER, "get from file: %s", err->message);
		else if (k != before && found != e->csn)
			world_fail(w, SIM_LOST, "file %llu does not find its key %d",
					   (unsigned long long) meta->file_no, k);
		before = k;
	}
	if (it->status != KV_OK && !w->failed)
		world_fail(w, SIM_OTHER, "reading file %llu: %s",
				   (unsigned long long) meta->file_no, err->message);
	c->last = before < 0 ? 0 : (uint16_t) before;
	c->has_last = before >= 0;
}

static void
check_file(Checker *c, const KvFileMeta *meta)
{
	World *w = c->w;
	KvEnv *env = w->env;
	KvSstOverride override = {meta->run_csn, meta->run_xid};
	char name[KV_NAME_MAX];
	KvFile *file;
	KvSst *sst;
	KvIter *it;
	KvError err;

	kv_file_name(name, KV_NAME_SST, meta->file_no);
	if (env->ops->open(env, name, KV_OPEN_READ, &file, &err) != KV_OK)
	{
		world_fail(w, SIM_LOST, "%s: %s", name, err.message);
		return;
	}
	kv_load_identity(w->db);
	if (kv_sst_open(env, NULL, &w->db->identity, meta->file_no, file,
					meta->size, override, &sst, &err) != KV_OK)
	{
		env->ops->close(env, file);
		world_fail(w, SIM_OTHER, "%s: %s", name, err.message);
		return;
	}
	if (kv_sst_iter(sst, 0, &it, &err) == KV_OK)
	{
		it->err = &err;
		check_entries(c, meta, sst, it, &err);
		it->ops->close(it);
	}
	kv_sst_close(sst);
}

/* What recovery would know of a file is what this process knows. */
static void
check_meta(World *w, const KvManifestState *m, const KvFileMeta *meta)
{
	char there[KV_META_MAX_BYTES], here[KV_META_MAX_BYTES];
	uint32_t i;

	for (i = 0; i < m->n_files; i++)
		if (m->files[i].file_no == meta->file_no)
			break;
	if (i == m->n_files)
		world_fail(w, SIM_LOST, "the MANIFEST does not have file %llu",
				   (unsigned long long) meta->file_no);
	else
	{
		size_t n = kv_meta_encode(&m->files[i], there, sizeof(there));

		if (kv_meta_encode(meta, here, sizeof(here)) != n ||
			memcmp(there, here, n) != 0)
			world_fail(w, SIM_OTHER,
					   "the MANIFEST has other statistics of file %llu",
					   (unsigned long long) meta->file_no);
	}
}

static bool
report(void *arg, const char *file, const char *problem)
{
	if (problem != NULL)
		world_fail(arg, SIM_OTHER, "verify: %s: %s", file, problem);
	return true;
}

void
world_check_levels(World *w)
{
	static Checker c;
	KvIdentity identity = {.system_id = 42, .timeline = 1};
	const KvVersion *v;
	KvManifestState m;
	KvError err;
	uint32_t i, n, in_manifest = 0;

	w->phase = "looking at the levels";
	memset(&c, 0, sizeof(c));
	c.w = w;
	for (i = 0; i < MODEL_KEYS; i++)
	{
		c.lens[i] = model_key((uint16_t) i, c.keys[i]);
		c.oldest[i] = UINT64_MAX;
	}
	if (kv_manifest_load(w->env, &identity, NULL, NULL, &m, NULL, &err) != KV_OK)
	{
		world_fail(w, SIM_OTHER, "MANIFEST: %s", err.message);
		return;
	}
	/* one thread: nothing is installed meanwhile */
	v = kv_version_acquire(w->db);
	n = v->level_start[KV_LEVELS];
	for (i = 0; i < n && !w->failed; i++)
	{
		const KvFileSlot *f = kv_file_at(w->db, v->files[i]);

		if (i == 0 ||
			kv_file_at(w->db, v->files[i - 1])->meta.level != f->meta.level)
			c.has_last = false;
		if (f->in_manifest)
			check_meta(w, &m, &f->meta);
		in_manifest += f->in_manifest;
		check_file(&c, &f->meta);
	}
	kv_version_release(w->db);
	if (in_manifest != m.n_files)
		world_fail(w, SIM_OTHER, "the MANIFEST has %u files instead of %u",
				   m.n_files, in_manifest);
	kv_manifest_state_free(w->env, &m);
	if (!w->failed && kv_verify(w->db, report, w, &err) != KV_OK)
		world_fail(w, SIM_OTHER, "verify: %s", err.message);
}

uint64_t
world_version(const World *w)
{
	return atomic_load_explicit(&w->db->shared->current_version,
								memory_order_acquire);
}
