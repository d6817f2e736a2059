/* SPDX-License-Identifier: PostgreSQL */
/*
 * memtable_check.c - a walk over a memtable's tree that trusts nothing.
 *
 * For kvlsm_verify() in any process, with the writer at work, and for the
 * tests after each of their operations.  Each node is copied under its
 * version first; a child may have been split since its parent was copied,
 * which only narrows it, so the separators in the copy still hold.
 */
#include "engine/base/file_header.h"
#include "engine/mem/ordered.h"

/* Copies of a node that changed meanwhile, before the caller may look. */
#define MAX_TRIES (1 << 20)

typedef struct Walk
{
	const KvMem *mem;
	uint64_t generation;
	KvError *err;
	uint64_t entries;
	uint32_t last; /* the entry before, in order; 0: none */
	uint32_t next; /* what the leaf before names as the next one */
	bool any_leaf;
} Walk;

typedef struct NodeCopy
{
	uint64_t slot[KV_LEAF_SLOTS];
	uint32_t child[KV_INNER_SLOTS];
	uint32_t shape;
	uint32_t next;
	int count;
	int level;
} NodeCopy;

/* KV_RETRY if the generation has ended, which explains any damage. */
static KvStatus
damaged(const Walk *w, uint32_t off, const char *what)
{
	if (kv_mem_generation(w->mem) != w->generation)
		return KV_RETRY;
	return kv_corrupt(w->err, 0, off, "memtable: %s", what);
}

static KvStatus
copy_node(const Walk *w, uint32_t off, int level, NodeCopy *copy)
{
	const KvNode *node = kv_mem_ptr(w->mem, off);
	int tries;
	int i;

	copy->shape = 0;
	copy->next = 0;
	copy->count = 0;
	copy->level = 0;
	if (!kv_mem_holds(w->mem, off, KV_NODE_BYTES, KV_NODE_ALIGN))
		return damaged(w, off, "a node lies outside");
	for (tries = 0; tries < MAX_TRIES; tries++)
	{
		uint32_t version = kv_acquire32(&node->version);

		copy->shape = kv_acquire32(&node->shape);
		copy->next = kv_acquire32(&node->next);
		for (i = 0; i < KV_LEAF_SLOTS; i++)
			copy->slot[i] = kv_acquire64(&node->slot[i]);
		for (i = 0; i < KV_INNER_SLOTS; i++)
			copy->child[i] = kv_acquire32(&node->child[i]);
		/* Pairs with make_odd. */
		if (version % 2 == 0 && kv_acquire32(&node->version) == version)
			break;
		if (kv_mem_generation(w->mem) != w->generation)
			return KV_RETRY;
	}
	if (tries == MAX_TRIES)
		return KV_RETRY;
	copy->count = kv_shape_count(copy->shape);
	copy->level = kv_shape_level(copy->shape);
	if (level >= 0 && copy->level != level)
		return damaged(w, off, "a node has a wrong level");
	if (copy->count > (copy->level == 0 ? KV_LEAF_SLOTS : KV_INNER_SLOTS) ||
		(copy->level > 0 && copy->count == 0))
		return damaged(w, off, "a node has a wrong count");
	return KV_OK;
}

static bool
read_key(const Walk *w, uint32_t ref, KvEntryView *view, KvTarget *target)
{
	if (!kv_entry_view(w->mem, ref, view))
		return false;
	target->key = kv_slice(kv_mem_ptr(w->mem, view->key_off), view->key_len);
	target->csn = kv_batch_csn(w->mem, view->batch);
	return true;
}

/* Is the entry a before b (or, with equal, the same)?  0: none, so yes. */
static bool
in_order(const Walk *w, uint32_t a, uint32_t b, bool equal)
{
	KvEntryView view_a, view_b;
	KvTarget key_a, key_b;
	int cmp;

	if (a == 0 || b == 0)
		return true;
	if (a == b)
		return equal;
	if (!read_key(w, a, &view_a, &key_a) || !read_key(w, b, &view_b, &key_b))
		return false;
	cmp = kv_entry_compare_key(w->mem, &view_a, key_b.key, 0);
	if (cmp != 0)
		return cmp < 0;
	return key_a.csn > key_b.csn;
}

static KvStatus
check_entry(const Walk *w, uint64_t slot, size_t skip)
{
	uint32_t ref = (uint32_t) slot;
	KvEntryView view;
	KvTarget target;
	KvMemBatch batch;
	size_t bytes;

	if (!read_key(w, ref, &view, &target) ||
		!kv_batch_read(w->mem, view.batch, &batch))
		return damaged(w, ref, "an entry lies outside");
	if (kv_head_of(target.key, skip) != slot >> 32)
		return damaged(w, ref, "a slot does not match its entry");
	if (view.kind < KV_KIND_PUT || view.kind > KV_KIND_PUT_EXPIRING)
		return damaged(w, ref, "an entry has a wrong kind");
	bytes = view.key_off - view.start + view.key_len + view.value_len;
	if (!kv_entry_check(&view, (char *) kv_mem_ptr(w->mem, ref) + 4, bytes - 4,
						batch.csn, batch.xid))
		return damaged(w, ref, "an entry does not match its check");
	if (kv_mem_lacks(w->mem, w->generation, kv_key_hash(target.key)))
		return damaged(w, ref, "an entry is not in the filter");
	return KV_OK;
}

/*
 * Does the chain of leaves lead from the leaf before to off (0: the end)?  It
 * may pass leaves that have been split off since their parent was copied.
 */
static bool
chain_leads_to(const Walk *w, uint32_t off)
{
	uint32_t at = w->next;
	int hops;

	for (hops = 0; at != off && hops < 1 << 16; hops++)
	{
		const KvNode *node = kv_mem_ptr(w->mem, at);

		if (!kv_mem_holds(w->mem, at, KV_NODE_BYTES, KV_NODE_ALIGN))
			return false;
		at = kv_acquire32(&node->next);
	}
	return at == off;
}

static KvStatus
check_leaf(Walk *w, uint32_t off, const NodeCopy *copy, uint32_t lower,
		   uint32_t upper)
{
	size_t skip = kv_shape_skip(copy->shape);
	int i;

	if (w->any_leaf && !chain_leads_to(w, off))
		return damaged(w, off, "leaves are not chained");
	w->any_leaf = true;
	w->next = copy->next;
	for (i = 0; i < copy->count; i++)
	{
		uint32_t ref = (uint32_t) copy->slot[i];
		KvStatus status = check_entry(w, copy->slot[i], skip);

		if (status != KV_OK)
			return status;
		if (!in_order(w, w->last, ref, false) ||
			!in_order(w, lower, ref, true) || !in_order(w, ref, upper, false))
			return damaged(w, off, "entries are out of order");
		w->last = ref;
		w->entries++;
	}
	return KV_OK;
}

static KvStatus
check_node(Walk *w, uint32_t off, int level, uint32_t lower, uint32_t upper)
{
	NodeCopy copy;
	KvStatus status = copy_node(w, off, level, &copy);
	int i;

	if (status != KV_OK)
		return status;
	if (copy.level == 0)
		return check_leaf(w, off, &copy, lower, upper);
	if (copy.level >= KV_MAX_DEPTH)
		return damaged(w, off, "the tree is too deep");
	for (i = 0; i < copy.count; i++)
	{
		uint32_t from = i == 0 ? lower : (uint32_t) copy.slot[i];
		uint32_t to = i + 1 == copy.count ? upper : (uint32_t) copy.slot[i + 1];

		if (!in_order(w, from, to, false))
			return damaged(w, off, "separators are out of order");
		status = check_node(w, copy.child[i], copy.level - 1, from, to);
		if (status != KV_OK)
			return status;
	}
	return KV_OK;
}

KvStatus
kv_mem_check(const KvMem *mem, KvError *err)
{
	Walk w = {.mem = mem, .generation = kv_mem_generation(mem), .err = err};
	uint64_t before = 0;
	int tries;

	/* A count that differs means something only if nothing was added. */
	for (tries = 0; tries < 3; tries++)
	{
		KvStatus status;

		before = kv_mem_entries(mem);
		w.last = 0;
		w.any_leaf = false;
		if (kv_mem_check_ranges(mem, w.generation, &w.entries) != KV_OK)
			return damaged(&w, 0, "a range delete is damaged");
		status = check_node(&w, kv_acquire32(&mem->root), -1, 0, 0);
		if (status != KV_OK)
			return status;
		if (!chain_leads_to(&w, 0))
			return damaged(&w, 0, "leaves are not chained");
		if (w.entries == before || kv_mem_entries(mem) != before)
			return KV_OK;
	}
	/* One insertion may be between the tree and the count. */
	if (w.entries == before + 1)
		return KV_OK;
	return damaged(&w, 0, "entries are missing");
}
