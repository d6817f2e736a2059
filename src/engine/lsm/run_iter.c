/* SPDX-License-Identifier: PostgreSQL */
/*
 * run_iter.c - SSTables whose keys follow one another, as one iterator.
 *
 * At most one file of the run is open for reading at a time.  Runs in every
 * process that scans, and in the compactor.
 */
#include "engine/lsm/run_iter.h"

#include "engine/lsm/merge_iter.h"

typedef enum Standing
{
	AT_ENTRY,
	AT_LOW_BOUND, /* before all of files[at] */
	AT_HIGH_BOUND /* behind all of files[at] */
} Standing;

typedef struct KvRunIter
{
	KvIter base;
	KvDb *db;
	const uint32_t *slots;
	uint32_t n;
	uint32_t at; /* file */
	Standing standing;
	bool forward; /* the last move was */
	const uint32_t *readahead;
	KvIter *sub; /* of file sub_at, or NULL */
	uint32_t sub_at;
	uint32_t sub_readahead;
	KvSource source; /* what tags in file sub_at mean */
} KvRunIter;

static const KvFileMeta *
meta_of(const KvRunIter *r, uint32_t i)
{
	return &kv_file_at(r->db, r->slots[i])->meta;
}

static void
run_end(KvRunIter *r, KvStatus status)
{
	r->base.valid = false;
	r->base.status = status;
}

static void
stand_at_bound(KvRunIter *r, uint32_t file, Standing standing)
{
	const KvFileMeta *meta = meta_of(r, file);
	KvEntry *e = &r->base.entry;

	KV_ASSERT(file < r->n && standing != AT_ENTRY);
	r->at = file;
	r->standing = standing;
	r->base.valid = true;
	r->base.status = KV_OK;
	memset(e, 0, sizeof(*e));
	if (standing == AT_LOW_BOUND)
	{
		e->kind = KV_KIND_BOUND;
		e->key = kv_slice(meta->smallest, meta->smallest_len);
		e->csn = UINT64_MAX;
	}
	else
	{
		e->kind = meta->largest_cut ? KV_KIND_BOUND_OPEN : KV_KIND_BOUND;
		e->key = kv_slice(meta->largest, meta->largest_len);
	}
}

static void
go_forward_to(KvRunIter *r, uint32_t file)
{
	if (file < r->n)
		stand_at_bound(r, file, AT_LOW_BOUND);
	else
		run_end(r, KV_OK);
}

/* end: one after the file to go to */
static void
go_backward_to(KvRunIter *r, uint32_t end)
{
	if (end > 0)
		stand_at_bound(r, end - 1, AT_HIGH_BOUND);
	else
		run_end(r, KV_OK);
}

static void
close_sub(KvRunIter *r)
{
	if (r->sub != NULL)
		r->sub->ops->close(r->sub);
	r->sub = NULL;
}

static KvStatus
new_sub(KvRunIter *r, uint32_t file, KvIter **sub)
{
	KvStatus status;
	KvSst *sst;

	status = kv_table_open(r->db, r->slots[file], &sst, r->base.err);
	if (status == KV_OK)
		status = kv_sst_iter(sst, *r->readahead, sub, r->base.err);
	if (status == KV_OK)
		(*sub)->err = r->base.err;
	return status;
}

static bool
open_file(KvRunIter *r, uint32_t file)
{
	KvStatus status;

	r->at = file;
	r->standing = AT_ENTRY;
	if (r->sub != NULL && r->sub_at == file && r->sub_readahead == *r->readahead)
	{
		r->sub->err = r->base.err;
		return true;
	}
	close_sub(r);
	status = new_sub(r, file, &r->sub);
	if (status != KV_OK)
	{
		r->sub = NULL;
		run_end(r, status);
		return false;
	}
	r->sub_at = file;
	r->sub_readahead = *r->readahead;
	r->source = kv_file_source(meta_of(r, file));
	return true;
}

/* The open file has moved.  false: it is through, or has failed. */
static bool
show_sub(KvRunIter *r)
{
	if (!r->sub->valid)
	{
		run_end(r, r->sub->status);
		return false;
	}
	r->base.entry = r->sub->entry;
	if (r->base.entry.xid != 0)
		r->base.entry.state = (uint8_t) kv_known_state(r->db, &r->base.entry,
													   r->source);
	r->standing = AT_ENTRY;
	r->base.valid = true;
	r->base.status = KV_OK;
	return true;
}

static void
run_seek(KvIter *it, KvSlice key, uint64_t csn)
{
	KvRunIter *r = (KvRunIter *) it;
	uint32_t low = 0, high = r->n;

	r->forward = true;
	/* the first file that does not end before the key */
	while (low < high)
	{
		uint32_t mid = low + (high - low) / 2;

		if (kv_key_after_file(key, meta_of(r, mid)))
			low = mid + 1;
		else
			high = mid;
	}
	/* cut bounds may tie: the key may lie in a later file than it seems */
	for (; low < r->n && !kv_key_before_file(key, meta_of(r, low)); low++)
	{
		if (!open_file(r, low))
			return;
		r->sub->ops->seek(r->sub, key, csn);
		if (show_sub(r) || r->base.status != KV_OK)
			return;
	}
	go_forward_to(r, low);
}

static void
run_seek_before(KvIter *it, KvSlice key)
{
	KvRunIter *r = (KvRunIter *) it;
	uint32_t low = 0, high = r->n;

	r->forward = false;
	/* the first file that begins after the key */
	while (low < high)
	{
		uint32_t mid = low + (high - low) / 2;

		if (kv_key_before_file(key, meta_of(r, mid)))
			high = mid;
		else
			low = mid + 1;
	}
	for (; low > 0 && !kv_key_after_file(key, meta_of(r, low - 1)); low--)
	{
		if (!open_file(r, low - 1))
			return;
		r->sub->ops->seek_before(r->sub, key);
		if (show_sub(r) || r->base.status != KV_OK)
			return;
	}
	go_backward_to(r, low);
}

static void
run_first(KvIter *it)
{
	go_forward_to((KvRunIter *) it, 0);
}

static void
run_last(KvIter *it)
{
	KvRunIter *r = (KvRunIter *) it;

	go_backward_to(r, r->n);
}

/* The wish for read-ahead has changed: a new iterator at the same place. */
static bool
follow_readahead(KvRunIter *r)
{
	KvIter *old = r->sub;
	KvStatus status;

	status = new_sub(r, r->at, &r->sub);
	if (status == KV_OK)
	{
		r->sub->ops->seek(r->sub, old->entry.key, old->entry.csn);
		r->sub_readahead = *r->readahead;
		status = r->sub->status;
	}
	else
		r->sub = NULL;
	old->ops->close(old);
	if (status != KV_OK)
	{
		run_end(r, status);
		return false;
	}
	KV_ASSERT(r->sub->valid);
	return true;
}

static void
run_next(KvIter *it)
{
	KvRunIter *r = (KvRunIter *) it;

	KV_ASSERT(it->valid);
	r->forward = true;
	switch (r->standing)
	{
	case AT_HIGH_BOUND:
		go_forward_to(r, r->at + 1);
		return;
	case AT_LOW_BOUND:
		if (!open_file(r, r->at))
			return;
		r->sub->ops->first(r->sub);
		break;
	case AT_ENTRY:
		r->sub->err = it->err;
		if (r->sub_readahead != *r->readahead && !follow_readahead(r))
			return;
		r->sub->ops->next(r->sub);
		break;
	}
	if (!show_sub(r) && it->status == KV_OK)
		go_forward_to(r, r->at + 1);
}

static void
run_prev(KvIter *it)
{
	KvRunIter *r = (KvRunIter *) it;

	KV_ASSERT(it->valid);
	r->forward = false;
	switch (r->standing)
	{
	case AT_LOW_BOUND:
		go_backward_to(r, r->at);
		return;
	case AT_HIGH_BOUND:
		if (!open_file(r, r->at))
			return;
		r->sub->ops->last(r->sub);
		break;
	case AT_ENTRY:
		r->sub->err = it->err;
		r->sub->ops->prev(r->sub);
		break;
	}
	if (!show_sub(r) && it->status == KV_OK)
		go_backward_to(r, r->at);
}

static KvIter *
run_leaf(KvIter *it, KvSlice bound, bool *inside)
{
	KvRunIter *r = (KvRunIter *) it;
	const KvFileMeta *meta = meta_of(r, r->at);

	if (!it->valid || r->standing != AT_ENTRY ||
		r->sub_readahead != *r->readahead)
		return NULL;
	*inside = bound.len == 0 || (r->forward ? kv_key_after_file(bound, meta)
											: kv_key_before_file(bound, meta));
	return r->sub;
}

static void
run_leaf_moved(KvIter *it)
{
	KvRunIter *r = (KvRunIter *) it;

	if (show_sub(r) || it->status != KV_OK)
		return;
	if (r->forward)
		go_forward_to(r, r->at + 1);
	else
		go_backward_to(r, r->at);
}

static void
run_close(KvIter *it)
{
	KvRunIter *r = (KvRunIter *) it;
	KvEnv *env = r->db->env;

	close_sub(r);
	env->ops->free(env, r);
}

static const KvIterOps run_ops = {
	.seek = run_seek,
	.seek_before = run_seek_before,
	.first = run_first,
	.last = run_last,
	.next = run_next,
	.prev = run_prev,
	.close = run_close,
	.leaf = run_leaf,
	.leaf_moved = run_leaf_moved,
};

KvStatus
kv_run_iter(KvDb *db, const uint32_t *slots, uint32_t n,
			const uint32_t *readahead, KvIter **it, KvError *err)
{
	KvRunIter *r = db->env->ops->alloc(db->env, sizeof(*r));

	if (r == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory for an iterator");
	memset(r, 0, sizeof(*r));
	r->base.ops = &run_ops;
	r->base.err = err;
	r->db = db;
	r->slots = slots;
	r->n = n;
	r->readahead = readahead;
	*it = &r->base;
	return KV_OK;
}

uint32_t
kv_run_length(KvDb *db, const uint32_t *slots, uint32_t n)
{
	uint64_t run_csn = kv_file_at(db, slots[0])->meta.run_csn;
	uint32_t i = 1;

	KV_ASSERT(n > 0);
	if (run_csn != 0)
		while (i < n && kv_file_at(db, slots[i])->meta.run_csn == run_csn)
			i++;
	return i;
}

/* Where bounds tie, the files of a run are in the order of their numbers. */
static bool
in_order(const KvFileMeta *a, const KvFileMeta *b)
{
	int c = kv_slice_compare(kv_slice(a->smallest, a->smallest_len),
							 kv_slice(b->smallest, b->smallest_len));

	return c < 0 || (c == 0 && a->file_no < b->file_no);
}

/* By insertion: runs are short, or in order, or nearly so. */
void
kv_run_sort(KvDb *db, uint32_t *slots, uint32_t n)
{
	uint32_t i, j;

	for (i = 1; i < n; i++)
	{
		uint32_t slot = slots[i];
		const KvFileMeta *meta = &kv_file_at(db, slot)->meta;

		for (j = i; j > 0; j--)
		{
			if (in_order(&kv_file_at(db, slots[j - 1])->meta, meta))
				break;
			slots[j] = slots[j - 1];
		}
		slots[j] = slot;
	}
}
