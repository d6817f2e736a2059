/* SPDX-License-Identifier: PostgreSQL */
/*
 * memtable_iter.c - iterators over one generation of a memtable.
 *
 * The current entry is copied to private memory and its check verified
 * there, so that neither a recycled buffer nor a flipped bit reaches a flush
 * or a reader.  Between two moves an iterator holds nothing in the shared
 * memory: it knows its leaf and that leaf's version, and if the version has
 * changed, it seeks from the root by the current key and csn.
 */
#include "engine/mem/ordered.h"

typedef struct KvMemIter
{
	KvIter it; /* first */
	KvEnv *env;
	const KvMem *mem;
	uint64_t generation;
	KvCursor cursor;
	char *buf; /* the current entry's bytes */
	size_t buf_bytes;
	/* the buffer of the entry before, and what is sought with it */
	char *spare;
	size_t spare_bytes;
} KvMemIter;

static void
stop_with(KvMemIter *m, KvStatus status)
{
	m->it.valid = false;
	m->it.status = status == KV_NOT_FOUND ? KV_OK : status;
}

/*
 * Makes room for bytes in the buffer that does not hold the current entry:
 * the key that a move starts from stays until the move has succeeded.
 */
static bool
swap_buffers(KvMemIter *m, size_t bytes)
{
	char *buf = m->spare;
	size_t size = m->spare_bytes;

	if (size < bytes)
	{
		size = bytes + bytes / 4 + 256;
		m->env->ops->free(m->env, buf);
		m->spare = NULL;
		m->spare_bytes = 0;
		buf = m->env->ops->alloc(m->env, size);
		if (buf == NULL)
			return false;
	}
	m->spare = m->buf;
	m->spare_bytes = m->buf_bytes;
	m->buf = buf;
	m->buf_bytes = size;
	return true;
}

/* Copies and verifies the entry at the cursor. */
static KvStatus
load(KvMemIter *m)
{
	const KvMem *mem = m->mem;
	KvIter *it = &m->it;
	KvEntryView view;
	KvMemBatch batch;
	KvStatus status;
	KvLook look = KV_LOOK_OK;
	size_t head;
	size_t bytes;

	if (!kv_entry_view(mem, m->cursor.ref, &view) ||
		!kv_batch_read(mem, view.batch, &batch))
		look = KV_LOOK_BAD;
	status = kv_ordered_judge(mem, m->generation, look, m->cursor.ref);
	if (status == KV_CORRUPT)
		return kv_corrupt(it->err, 0, m->cursor.ref,
						  "an entry in memory is damaged");
	if (status != KV_OK)
		return status;
	head = view.key_off - view.start;
	bytes = head + view.key_len + view.value_len;
	if (!swap_buffers(m, bytes))
		return kv_fail(it->err, KV_NO_MEMORY,
					   "no memory for an entry of %zu bytes", bytes);
	kv_mem_copy_out(mem, view.start, m->buf, bytes);
	/* Pairs with kv_mem_init: the copy is whole if it has not begun. */
	if (kv_mem_generation(mem) != m->generation)
		return KV_RETRY;
	if (!kv_entry_check(&view, m->buf + 4, bytes - 4, batch.csn, batch.xid))
		return kv_corrupt(it->err, 0, view.start,
						  "an entry in memory does not match its check");
	it->entry.key = kv_slice(m->buf + head, view.key_len);
	it->entry.value = kv_slice(m->buf + head + view.key_len, view.value_len);
	it->entry.csn = batch.csn;
	it->entry.xid = batch.xid;
	it->entry.expires_us = view.expires_us;
	it->entry.kind = view.kind;
	it->entry.state = (uint8_t) batch.state;
	return KV_OK;
}

static void
show(KvMemIter *m)
{
	KvStatus status = load(m);

	if (status != KV_OK)
	{
		stop_with(m, status);
		return;
	}
	m->it.valid = true;
	m->it.status = KV_OK;
}

static void
seek_target(KvMemIter *m, KvTarget *target, bool before)
{
	KvStatus status = kv_ordered_seek(m->mem, m->generation, target, before,
									  &m->cursor);

	if (status == KV_OK)
		show(m);
	else if (status == KV_CORRUPT)
		stop_with(m,
				  kv_corrupt(m->it.err, 0, 0, "a node in memory is damaged"));
	else
		stop_with(m, status);
}

static void
iter_seek(KvIter *it, KvSlice key, uint64_t csn)
{
	KvTarget target = {.key = key, .csn = csn};

	seek_target((KvMemIter *) it, &target, false);
}

static void
iter_seek_before(KvIter *it, KvSlice key)
{
	KvTarget target = {.key = key, .csn = UINT64_MAX};

	seek_target((KvMemIter *) it, &target, true);
}

static void
iter_first(KvIter *it)
{
	KvTarget target = {.end = -1};

	seek_target((KvMemIter *) it, &target, false);
}

static void
iter_last(KvIter *it)
{
	KvTarget target = {.end = 1};

	seek_target((KvMemIter *) it, &target, true);
}

/*
 * A damaged node could lead a scan round in circles: every step must go the
 * way that was asked for.  The key before is in the spare buffer by now.
 */
static void
check_way(KvMemIter *m, const KvTarget *from, bool backward)
{
	int way;

	if (!m->it.valid)
		return;
	way = kv_entry_compare(from->key, from->csn, m->it.entry.key,
						   m->it.entry.csn);
	if (backward ? way <= 0 : way >= 0)
		stop_with(m, kv_corrupt(m->it.err, 0, m->cursor.leaf,
								"entries in memory are out of order"));
}

static void
move(KvMemIter *m, bool backward)
{
	KvTarget target = {.key = m->it.entry.key,
					   .csn = m->it.entry.csn,
					   .after = !backward};
	KvLook look;

	/* The cursor means nothing in another generation. */
	if (kv_mem_generation(m->mem) != m->generation)
	{
		stop_with(m, KV_RETRY);
		return;
	}
	look = kv_ordered_step(m->mem, &m->cursor, backward);
	if (look == KV_LOOK_OK)
		show(m);
	else if (look == KV_LOOK_END)
		stop_with(m, kv_ordered_judge(m->mem, m->generation, look, 0));
	else
		seek_target(m, &target, backward);
	check_way(m, &target, backward);
}

static void
iter_next(KvIter *it)
{
	move((KvMemIter *) it, false);
}

static void
iter_prev(KvIter *it)
{
	move((KvMemIter *) it, true);
}

static void
iter_close(KvIter *it)
{
	KvMemIter *m = (KvMemIter *) it;
	KvEnv *env = m->env;

	env->ops->free(env, m->buf);
	env->ops->free(env, m->spare);
	env->ops->free(env, m);
}

static const KvIterOps mem_iter_ops = {
	.seek = iter_seek,
	.seek_before = iter_seek_before,
	.first = iter_first,
	.last = iter_last,
	.next = iter_next,
	.prev = iter_prev,
	.close = iter_close,
};

KvStatus
kv_mem_iter(KvEnv *env, const KvMem *mem, uint64_t generation, KvIter **it)
{
	KvMemIter *m = env->ops->alloc(env, sizeof(*m));

	if (m == NULL)
		return KV_NO_MEMORY;
	memset(m, 0, sizeof(*m));
	m->it.ops = &mem_iter_ops;
	m->env = env;
	m->mem = mem;
	m->generation = generation;
	*it = &m->it;
	return KV_OK;
}

void
kv_mem_iter_moved(KvIter *it, const KvMem *mem)
{
	((KvMemIter *) it)->mem = mem;
}
