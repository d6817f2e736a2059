/* SPDX-License-Identifier: PostgreSQL */
/*
 * compact_run.c - the work of a compaction: inputs in, outputs out.
 *
 * Compactor only.  Runs in slices; between two of them nothing but pins and
 * private memory is held.  What happens to a version is decided by
 * drop_rule.c; this file finds out what the rule needs to know.
 *
 * Outputs of a level never overlap, not even in their cut bounds: a file ends
 * only where the first KV_BOUND_BYTES of the key change, and thus never
 * inside a key.
 */
#include "engine/lsm/compact_job.h"

#include "engine/lsm/merge_iter.h"
#include "engine/lsm/run_iter.h"

#define READAHEAD_BYTES (1 << 20)
/* An output ends when it has passed that many files of the level below. */
#define MAX_PASSED 12
#define POLL_EVERY 64 /* entries */

/* ---- opening */

KvStatus
kv_job_open_inputs(KvDb *db, KvCompaction *c, KvError *err)
{
	KvEnv *env = db->env;
	const KvJobShared *job = &db->shared->job;
	uint32_t i, n = 0, n_inputs = job->n_inputs;
	KvIter **children;
	KvStatus status = KV_OK;

	c->readahead = READAHEAD_BYTES;
	children = env->ops->alloc(env, n_inputs * sizeof(KvIter *));
	c->inputs = env->ops->alloc(env, n_inputs * sizeof(uint32_t));
	if (children == NULL || c->inputs == NULL)
	{
		if (children != NULL)
			env->ops->free(env, children);
		return kv_fail(err, KV_NO_MEMORY, "out of memory for a compaction");
	}
	memcpy(c->inputs, job->inputs, n_inputs * sizeof(uint32_t));
	/* inputs stand by level; a sorted level is one run */
	for (i = 0; i < n_inputs && status == KV_OK;)
	{
		uint8_t level = kv_file_at(db, c->inputs[i])->meta.level;
		uint32_t len = 1;

		if (level == 0)
		{
			len = kv_run_length(db, c->inputs + i, n_inputs - i);
			kv_run_sort(db, c->inputs + i, len);
		}
		else
			while (i + len < n_inputs &&
				   kv_file_at(db, c->inputs[i + len])->meta.level == level)
				len++;
		status = kv_run_iter(db, c->inputs + i, len, &c->readahead,
							 &children[n], err);
		if (status == KV_OK)
			n++;
		i += len;
	}
	if (status == KV_OK)
		status = kv_merge_iter(env, children, n, &c->merge, err);
	while (status != KV_OK && n > 0)
	{
		n--;
		children[n]->ops->close(children[n]);
	}
	env->ops->free(env, children);
	return status;
}

KvStatus
kv_job_note_below(KvDb *db, KvCompaction *c, const KvVersion *v, KvError *err)
{
	uint32_t first = v->level_start[c->output_level + 1];
	uint32_t n = v->level_start[KV_LEVELS] - first;
	int level;

	for (level = 0; level <= KV_LEVELS; level++)
		c->below_start[level] = level > c->output_level
									? v->level_start[level] - first
									: 0;
	if (n == 0)
		return KV_OK;
	c->below = db->env->ops->alloc(db->env, n * sizeof(uint32_t));
	if (c->below == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory for a compaction");
	memcpy(c->below, v->files + first, n * sizeof(uint32_t));
	c->next_level = c->output_level + 1;
	while (kv_level_count(v, c->next_level) == 0)
		c->next_level++;
	for (level = 0; level < KV_LEVELS; level++)
		c->level_at[level] = c->below_start[level];
	return KV_OK;
}

/* ---- what the rule needs to know */

/* Keys come in ascending order, so each level is walked once. */
static bool
data_below(KvDb *db, KvCompaction *c, KvSlice key)
{
	bool found = false;
	int level;

	for (level = c->output_level + 1; level < KV_LEVELS; level++)
	{
		uint32_t end = c->below_start[level + 1];
		uint32_t *at = &c->level_at[level];

		while (*at < end &&
			   kv_key_after_file(key, &kv_file_at(db, c->below[*at])->meta))
		{
			(*at)++;
			if (level == c->next_level)
				c->passed++;
		}
		if (*at < end &&
			!kv_key_before_file(key, &kv_file_at(db, c->below[*at])->meta))
			found = true;
	}
	return found;
}

KvStatus
kv_job_state_of(KvDb *db, const KvEntry *e, KvXactState *state, KvError *err)
{
	*state = KV_XACT_COMMITTED;
	if (e->xid == 0)
		return KV_OK;
	*state = (KvXactState) e->state;
	if (*state == KV_XACT_IN_DOUBT)
		*state = db->env->ops->xact_state(db->env, e->xid);
	if (*state == KV_XACT_UNKNOWN)
		return kv_corrupt(err, 0, 0, "the host has forgotten transaction %llu",
						  (unsigned long long) e->xid);
	return KV_OK;
}

static KvStatus
note_doubt(KvDb *db, KvCompaction *c, uint64_t xid, KvError *err)
{
	KvJobShared *job = &db->shared->job;
	uint32_t i;

	if (xid == c->last_doubt)
		return KV_OK;
	c->last_doubt = xid;
	for (i = 0; i < job->n_doubts; i++)
		if (job->doubts[i] == xid)
			return KV_OK;
	if (job->n_doubts == KV_MAX_DOUBTS)
		return kv_fail(err, KV_FULL, "too many transactions in doubt");
	job->doubts[job->n_doubts++] = xid;
	return KV_OK;
}

/* ---- outputs */

static KvStatus
open_output(KvDb *db, KvCompaction *c, KvError *err)
{
	KvStatus status;

	if (c->out_open)
		return KV_OK;
	status = kv_table_out_open(db, &c->out, c->ranges.n > 0, err);
	if (status != KV_OK)
		return status;
	c->out_open = true;
	c->passed = 0;
	return KV_OK;
}

/*
 * The output's share of the range deletes: those that begin before next, the
 * key that ends the output (len 0: the last output, which may have no keys).
 */
static KvStatus
add_ranges(KvDb *db, KvCompaction *c, KvSlice next, KvError *err)
{
	KvRangeList pieces = {0};
	KvStatus status;
	uint32_t i;

	if (c->ranges.n == 0 || (!c->out_open && next.len > 0))
		return KV_OK;
	status = kv_job_range_pieces(db, c, next, &pieces, err);
	if (status == KV_OK && pieces.n > 0)
		status = open_output(db, c, err);
	for (i = 0; i < pieces.n && status == KV_OK; i++)
	{
		const KvEntry *e = &pieces.items[i];

		if (e->xid != 0 && e->state == KV_XACT_IN_DOUBT)
			status = note_doubt(db, c, e->xid, err);
		if (status == KV_OK)
			status = kv_sst_builder_add_range_delete(c->out.builder, e, err);
	}
	kv_range_list_free(db->env, &pieces);
	return status == KV_OK ? kv_job_ranges_done(db, c, next, err) : status;
}

/* next: the key that begins the next output; len 0: there is none */
static KvStatus
finish_output(KvDb *db, KvCompaction *c, KvSlice next, KvError *err)
{
	KvJobShared *job = &db->shared->job;
	KvFileMeta meta;
	uint32_t slot;
	KvStatus status = add_ranges(db, c, next, err);

	if (status != KV_OK || !c->out_open)
		return status;
	c->out_open = false;
	status = kv_file_slot_reserve(db, &slot, err);
	if (status != KV_OK)
	{
		kv_table_out_abort(db, &c->out);
		return status;
	}
	status = kv_table_out_finish(db, &c->out, &meta, err);
	if (status != KV_OK)
	{
		kv_file_slot_release(db, slot);
		return status;
	}
	meta.level = c->output_level;
	meta.run_csn = meta.run_xid = 0;
	meta.has_doubt = false; /* known at the end of the job */
	kv_file_at(db, slot)->meta = meta;
	job->outputs[job->n_outputs++] = slot;
	job->out_bytes += meta.size;
	return KV_OK;
}

/* May the output end between the last key and this one? */
static bool
may_cut(const KvCompaction *c, KvSlice key)
{
	size_t n = key.len < c->key.len ? key.len : c->key.len;

	return KV_BUG(compaction_cuts_in_key) || n < KV_BOUND_BYTES ||
		   memcmp(key.data, c->key.data, KV_BOUND_BYTES) != 0;
}

static KvStatus
maybe_cut(KvDb *db, KvCompaction *c, KvSlice key, KvError *err)
{
	if (!c->out_open ||
		(kv_sst_builder_bytes(c->out.builder) < db->shared->config.file_bytes &&
		 c->passed < MAX_PASSED))
		return KV_OK;
	/* the last slot of the job has to take all that is left */
	if (!may_cut(c, key) || db->shared->job.n_outputs + 1 >= KV_JOB_FILES)
		return KV_OK;
	return finish_output(db, c, key, err);
}

static KvStatus
add_to_output(KvDb *db, KvCompaction *c, const KvEntry *e, KvError *err)
{
	KvStatus status = open_output(db, c, err);

	return status == KV_OK ? kv_sst_builder_add(c->out.builder, e, err)
						   : status;
}

/* ---- the loop */

static KvStatus
start_key(KvDb *db, KvCompaction *c, KvSlice key, KvError *err)
{
	bool below = data_below(db, c, key);
	KvStatus status = maybe_cut(db, c, key, err);

	if (status != KV_OK)
		return status;
	if (!kv_buffer_set(db->env, &c->key, key))
		return kv_fail(err, KV_NO_MEMORY, "out of memory for a compaction");
	c->has_key = true;
	kv_drop_key_start(&c->rule, kv_store_listed(c->dropped, c->n_dropped, key),
					  below);
	if (c->ranges.n > 0)
		kv_job_cover_key(c, key);
	return KV_OK;
}

static KvStatus
merge_entry(KvDb *db, KvCompaction *c, KvError *err)
{
	KvEntry e = c->merge->entry;
	KvXactState state = KV_XACT_COMMITTED;
	KvStatus status = KV_OK;
	KvDropKey before;

	if (!c->has_key ||
		!kv_slice_equal(e.key, kv_slice(c->key.data, c->key.len)))
		status = start_key(db, c, e.key, err);
	else if (KV_BUG(compaction_cuts_in_key))
		status = maybe_cut(db, c, e.key, err);
	if (status == KV_OK && !kv_drop_needs_no_state(&c->rule))
		status = kv_job_state_of(db, &e, &state, err);
	if (status != KV_OK)
		return status;
	before = c->rule;
	switch (kv_drop_decide(&c->rule, &c->horizon, &e, state))
	{
	case KV_DROP:
		return KV_OK;
	case KV_KEEP:
		if (e.xid != 0 && state == KV_XACT_IN_DOUBT)
			status = note_doubt(db, c, e.xid, err);
		break;
	case KV_KEEP_BARE:
		e.csn = 0;
		e.xid = 0;
		break;
	case KV_KEEP_UNTAGGED:
		e.xid = 0;
		break;
	}
	if (status == KV_OK)
		status = add_to_output(db, c, &e, err);
	/* no file number just now: the entry will come again */
	if (status == KV_STALLED)
		c->rule = before;
	return status;
}

KvStatus
kv_job_merge(KvDb *db, KvCompaction *c, uint64_t budget, bool *done,
			 KvError *err)
{
	KvEnv *env = db->env;
	KvIter *it = c->merge;
	uint64_t used = 0;
	uint32_t n = 0;
	KvStatus status;

	*done = false;
	it->err = err;
	if (!c->positioned)
		it->ops->first(it);
	c->positioned = true;
	while (it->valid && used < budget)
	{
		if (n++ % POLL_EVERY == 0 && env->ops->poll(env))
			return kv_fail(err, KV_INTERRUPTED, "compaction interrupted");
		status = merge_entry(db, c, err);
		if (status != KV_OK)
			return status;
		used += it->entry.key.len + it->entry.value.len + 16;
		db->merged_bytes += it->entry.key.len + it->entry.value.len + 16;
		it->ops->next(it);
	}
	if (it->valid)
		return KV_OK;
	if (it->status != KV_OK && !KV_BUG(compaction_read_error_is_end))
		return it->status;
	*done = true;
	return finish_output(db, c, kv_slice("", 0), err);
}
