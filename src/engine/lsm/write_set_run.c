/* SPDX-License-Identifier: PostgreSQL */
/*
 * write_set_run.c - the runs of a write set: spilling and merging.
 *
 * A run is an SSTable in a temporary file (open_temp of kv_env.h) with all
 * live versions of a memtable, under the csns and stamps that they had there;
 * nothing refers to it but this process, so it is neither synced nor named.
 * What a kill has made dead stays out, and a run that is all dead is closed.
 *
 * Seven runs of a tier at most: the eighth makes one of the next tier of them
 * all.  So n spills leave 7 log8(n) runs, and an entry is written once for
 * each tier.  But a builder keeps filter and index in memory until its end,
 * about 1.5 bytes an entry, so a merge that would need more than a tenth of
 * the set's memory is not done; the memtable, which is empty at that time, is
 * given back for it.  With 64 MB and rows of 116 bytes a merge takes 8 runs of
 * 300,000, and 20 million rows end in 10 runs, whose indexes and filters take
 * 1 MB as long as they are open, and an iterator over them another.
 *
 * Only neighbours in age are merged: the csns of a run stay between those of
 * its neighbours, and whoever looks for the newest version may stop at the
 * first run that has one.
 */
#include "engine/lsm/merge_iter.h"
#include "engine/lsm/write_set_internal.h"

#define MERGE_RUNS	8
#define MERGE_BYTES ((uint64_t) 1 << 30)
/* at least, however little memory there may be */
#define MERGE_ENTRIES ((uint64_t) 1 << 20)

#define BLOCK_BYTES 8192

static const KvSstOptions run_options = {
	.block_bytes = BLOCK_BYTES,
	.frame_bytes = BLOCK_BYTES,
	.filter_bits = 10,
	.lz4 = true,
	.cache = NULL,
	.range_deletes = false,
};

/* Nobody else opens these files. */
static const KvIdentity run_identity = {1, 1, 1};

typedef struct RunOut
{
	KvFile *file; /* NULL: not begun */
	uint64_t file_no;
	KvSstBuilder *builder;
} RunOut;

/* ---- writing one ---- */

static void
abandon(KvWriteSet *ws, RunOut *out)
{
	kv_sst_builder_free(out->builder);
	if (out->file != NULL)
		ws->env->ops->close(ws->env, out->file);
	out->builder = NULL;
	out->file = NULL;
}

static KvStatus
put(KvWriteSet *ws, RunOut *out, const KvEntry *entry, KvError *err)
{
	KvEnv *env = ws->env;
	KvStatus status;

	if (out->file == NULL)
	{
		status = env->ops->open_temp(env, &out->file, err);
		if (status != KV_OK)
			return status;
		out->file_no = ++ws->last_file_no;
		status = kv_sst_builder_open(env, &run_options, &run_identity,
									 out->file_no, out->file, &out->builder,
									 err);
		if (status != KV_OK)
			return status;
	}
	return kv_sst_builder_add(out->builder, entry, err);
}

/* What is alive of the iterator's entries. */
static KvStatus
put_live(KvWriteSet *ws, RunOut *out, KvIter *it, KvError *err)
{
	KvEnv *env = ws->env;
	uint32_t n = 0;

	it->err = err;
	for (it->ops->first(it); it->valid; it->ops->next(it))
	{
		KvStatus status;

		if (++n % KV_SET_POLL_EVERY == 0 && env->ops->poll(env))
			return kv_fail(err, KV_INTERRUPTED, "interrupted");
		if (!kv_set_is_live(ws, it->entry.csn, kv_set_stamp(&it->entry)))
			continue;
		status = put(ws, out, &it->entry, err);
		if (status != KV_OK)
			return status;
	}
	return it->status;
}

/* The run, open for reading; NULL if there is nothing in it. */
static KvStatus
finish(KvWriteSet *ws, RunOut *out, KvRun **result, KvError *err)
{
	KvEnv *env = ws->env;
	KvSstOverride none = {0, 0};
	KvSstSummary summary;
	KvStatus status;
	KvRun *run;

	*result = NULL;
	if (out->file == NULL)
		return KV_OK;
	run = env->ops->alloc(env, sizeof(*run));
	if (run == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory for a run");
	memset(run, 0, sizeof(*run));
	status = kv_sst_builder_finish(out->builder, &summary, err);
	if (status == KV_OK)
		status = kv_sst_open(env, NULL, &run_identity, out->file_no, out->file,
							 summary.size, none, &run->sst, err);
	if (status != KV_OK)
	{
		env->ops->free(env, run);
		return status;
	}
	out->file = NULL;
	run->refs = 1;
	run->size = summary.size;
	run->entries = summary.entries;
	run->min_stamp = (uint32_t) (summary.min_xid - 1);
	abandon(ws, out);
	*result = run;
	return KV_OK;
}

void
kv_set_release_run(KvEnv *env, KvRun *run)
{
	KV_ASSERT(run->refs > 0);
	if (--run->refs > 0)
		return;
	kv_sst_close(run->sst);
	env->ops->free(env, run);
}

/* ---- the list ---- */

static KvStatus
reserve_run(KvWriteSet *ws, KvError *err)
{
	uint32_t room = ws->run_room ? 2 * ws->run_room : MERGE_RUNS;
	void *p;

	if (ws->runs < ws->run_room)
		return KV_OK;
	p = ws->env->ops->realloc(ws->env, ws->run, room * sizeof(KvRun *));
	if (p == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory for a run");
	ws->run = p;
	ws->run_room = room;
	return KV_OK;
}

void
kv_set_drop_dead_runs(KvWriteSet *ws, uint32_t from)
{
	uint32_t i, kept = 0;

	for (i = 0; i < ws->runs; i++)
	{
		if (ws->run[i]->min_stamp < from)
			ws->run[kept++] = ws->run[i];
		else
			kv_set_release_run(ws->env, ws->run[i]);
	}
	if (kept < ws->runs)
		ws->version++;
	ws->runs = kept;
}

KvStatus
kv_set_runs_iter(KvWriteSet *ws, uint32_t first, uint32_t n, KvIter **it,
				 KvError *err)
{
	KvEnv *env = ws->env;
	KvIter **children = env->ops->alloc(env, n * sizeof(KvIter *));
	uint32_t opened = 0;
	KvStatus status = KV_OK;

	KV_ASSERT(n > 0 && first + n <= ws->runs);
	if (children == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory to read runs");
	while (opened < n && status == KV_OK)
	{
		status = kv_sst_iter(ws->run[first + opened]->sst, KV_SET_READAHEAD,
							 &children[opened], err);
		opened += status == KV_OK;
	}
	if (status == KV_OK && n == 1)
		*it = children[0];
	else if (status == KV_OK)
		status = kv_merge_iter(env, children, n, it, err);
	while (status != KV_OK && opened > 0)
	{
		opened--;
		children[opened]->ops->close(children[opened]);
	}
	env->ops->free(env, children);
	return status;
}

/* What is live of the iterator, which is closed, as a run; NULL: nothing is. */
static KvStatus
write_run(KvWriteSet *ws, KvIter *it, KvRun **run, KvError *err)
{
	RunOut out = {0};
	KvStatus status = put_live(ws, &out, it, err);

	it->ops->close(it);
	if (status == KV_OK)
		status = finish(ws, &out, run, err);
	if (status != KV_OK)
		abandon(ws, &out);
	return status;
}

/* ---- merging ---- */

/* The youngest n runs become one, or none if all in them is dead. */
static KvStatus
merge(KvWriteSet *ws, uint32_t n, KvError *err)
{
	uint32_t first = ws->runs - n;
	uint32_t tier = ws->run[first]->tier;
	uint64_t bytes = 0;
	KvRun *run = NULL;
	KvIter *it;
	uint32_t i;
	KvStatus status = kv_set_runs_iter(ws, first, n, &it, err);

	if (status != KV_OK)
		return status;
	status = write_run(ws, it, &run, err);
	if (status != KV_OK)
		return status;
	for (i = first; i < ws->runs; i++)
	{
		bytes += ws->run[i]->bytes;
		kv_set_release_run(ws->env, ws->run[i]);
	}
	ws->runs = first;
	if (run != NULL)
	{
		run->tier = tier + 1;
		run->bytes = bytes;
		ws->run[ws->runs++] = run;
	}
	ws->version++;
	return KV_OK;
}

/* How many of the youngest runs are due to become one; 0: none. */
static uint32_t
runs_to_merge(const KvWriteSet *ws)
{
	uint64_t size = 0;
	uint64_t entries = 0;
	uint64_t max_entries = ws->allowed_bytes / 16;
	uint32_t n;

	if (max_entries < MERGE_ENTRIES)
		max_entries = MERGE_ENTRIES;
	for (n = 0; n < ws->runs; n++)
	{
		const KvRun *run = ws->run[ws->runs - 1 - n];

		if (run->tier != ws->run[ws->runs - 1]->tier)
			break;
		size += run->size;
		entries += run->entries;
	}
	return n >= MERGE_RUNS && size <= MERGE_BYTES && entries <= max_entries ? n
																			: 0;
}

static KvStatus
merge_due(KvWriteSet *ws, KvError *err)
{
	KvStatus status = KV_OK;
	uint32_t n;

	while (status == KV_OK && (n = runs_to_merge(ws)) > 0)
	{
		kv_set_shrink(ws);
		status = merge(ws, n, err);
	}
	return status;
}

/* ---- spilling ---- */

KvStatus
kv_set_spill(KvWriteSet *ws, KvError *err)
{
	KvRun *run = NULL;
	KvIter *it;
	KvStatus status = reserve_run(ws, err);

	if (status != KV_OK)
		return status;
	status = kv_mem_iter(ws->env, ws->mem, ws->generation, &it);
	if (status != KV_OK)
		return kv_fail(err, status, "out of memory to spill");
	status = write_run(ws, it, &run, err);
	if (status != KV_OK)
		return status;
	if (run != NULL)
	{
		run->bytes = kv_mem_used(ws->mem);
		kv_set_filter_grow_to_end(ws);
		ws->run[ws->runs++] = run;
	}
	kv_mem_init(ws->mem, ws->bytes, ++ws->generation);
	ws->batch = 0;
	ws->version++;
	return merge_due(ws, err);
}

KvStatus
kv_set_add_run_of(KvWriteSet *ws, const KvEntry *entry, KvError *err)
{
	RunOut out = {0};
	KvRun *run = NULL;
	KvStatus status;

	KV_ASSERT(kv_mem_entries(ws->mem) == 0);
	status = reserve_run(ws, err);
	if (status == KV_OK)
		status = put(ws, &out, entry, err);
	if (status == KV_OK)
		status = finish(ws, &out, &run, err);
	if (status != KV_OK)
	{
		abandon(ws, &out);
		return status;
	}
	run->bytes = kv_mem_bound(1, entry->key.len + entry->value.len);
	ws->run[ws->runs++] = run;
	ws->version++;
	return KV_OK;
}
