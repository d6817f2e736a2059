/* SPDX-License-Identifier: PostgreSQL */
/*
 * ordered.c - insertion into the tree; see ordered.h for the protocol with
 * the readers.
 *
 * Called by the one writer (the holder of KV_LOCK_LOG, or the owner of a
 * private buffer).  It must not allocate, wait or fail between making a node
 * odd and making it even again: readers wait for that.
 */
#include "engine/mem/ordered.h"

#include "engine/mem/arena.h"

/* A run this long is taken for ascending insertion: full nodes stay full.
 * kv_mem_bound relies on it being half a leaf at least. */
#define MIN_RUN 32

static inline KvNode *
node_at(KvMem *mem, uint32_t off)
{
	return kv_mem_ptr(mem, off);
}

/* A change of a node that readers may be in.  The odd store comes before the
 * content's by those being releases; pairs with node_same. */
static inline void
make_odd(KvNode *node)
{
	KV_ASSERT(kv_relaxed32(&node->version) % 2 == 0);
	kv_relaxed_set32(&node->version, kv_relaxed32(&node->version) + 1);
}

static inline void
make_even(KvNode *node)
{
	KV_ASSERT(kv_relaxed32(&node->version) % 2 == 1);
	kv_release32(&node->version, kv_relaxed32(&node->version) + 1);
}

static void
init_node(KvNode *node, int level)
{
	/* Nobody is in it but readers of an earlier generation. */
	kv_release32(&node->version, 2);
	kv_release32(&node->shape, kv_shape(0, level, false, 0));
	kv_release32(&node->next, 0);
}

/* ---- the statistics behind kv_ordered_debt ---- */

static inline uint32_t
over(int count, int half)
{
	return count > half ? (uint32_t) (count - half) : 0;
}

static inline void
count_over(KvMem *mem, int level, uint32_t add, uint32_t sub)
{
	_Atomic uint32_t *n = level == 0 ? &mem->under_log_lock.leaf_over
									 : &mem->under_log_lock.inner_over;

	kv_relaxed_set32(n, kv_relaxed32(n) + add - sub);
}

/*
 * A full leaf has 31 slots beyond its half; splitting it leaves at most one
 * and costs a node and one slot in the parent: 30 * 21 >= 576 + 33, and for
 * inner nodes 19 * 33 >= 576 + 33.
 */
size_t
kv_ordered_debt(const KvMem *mem)
{
	return 21 * (size_t) kv_relaxed32(&mem->under_log_lock.leaf_over) +
		   33 * (size_t) kv_relaxed32(&mem->under_log_lock.inner_over);
}

/* ---- heads, bases and what keys have in common ---- */

/* Only the writer may look at an entry like this: nobody else writes. */
static KvSlice
entry_key(const KvMem *mem, uint32_t ref)
{
	KvEntryView view;

	if (!kv_entry_view(mem, ref, &view))
		return kv_slice(NULL, 0); /* rot; kv_mem_check will find it */
	return kv_slice(kv_mem_ptr(mem, view.key_off), view.key_len);
}

static uint64_t
make_slot(const KvMem *mem, uint32_t ref, size_t skip)
{
	if (ref == 0)
		return 0;
	return (uint64_t) kv_head_of(entry_key(mem, ref), skip) << 32 | ref;
}

/* Many slots with one head make lookups compare keys: is it worth a skip? */
static bool
has_ties(const uint64_t *slot, int count)
{
	int ties = 0;
	int i;

	for (i = 2; i < count; i++)
		ties += slot[i] >> 32 == slot[i - 1] >> 32;
	return ties > count / 16;
}

static void
reskip(const KvMem *mem, uint64_t *slot, int count, size_t skip)
{
	int i;

	for (i = 0; i < count; i++)
		__builtin_prefetch(kv_mem_ptr(mem, (uint32_t) slot[i]));
	for (i = 0; i < count; i++)
		slot[i] = make_slot(mem, (uint32_t) slot[i], skip);
}

/* The best skip for a node between two separators. */
static size_t
skip_between(const KvMem *mem, uint32_t lower, uint32_t upper)
{
	size_t n;

	if (lower == 0 || upper == 0)
		return kv_relaxed32(&mem->under_log_lock.common);
	n = kv_slice_common(entry_key(mem, lower), entry_key(mem, upper));
	return n < KV_MAX_SKIP ? n : KV_MAX_SKIP;
}

/* Lowers the skip of the nodes on one edge of the tree. */
static void
lower_edge(KvMem *mem, bool right, size_t skip)
{
	uint32_t off = kv_relaxed32(&mem->root);

	for (;;)
	{
		KvNode *node = node_at(mem, off);
		uint32_t shape = kv_relaxed32(&node->shape);
		int count = kv_shape_count(shape);
		int level = kv_shape_level(shape);
		int i;

		if (kv_shape_skip(shape) > skip)
		{
			make_odd(node);
			for (i = 0; i < count; i++)
			{
				uint32_t ref = (uint32_t) kv_relaxed64(&node->slot[i]);

				kv_release64(&node->slot[i], make_slot(mem, ref, skip));
			}
			kv_release32(&node->shape, kv_shape(count, level, true, skip));
			make_even(node);
		}
		if (level == 0)
			break;
		off = kv_relaxed32(&node->child[right ? count - 1 : 0]);
	}
}

/*
 * Before key is inserted: the base is the first key's beginning; what all
 * keys have in common with it only ever shrinks.
 */
static void
adjust_base(KvMem *mem, KvTarget *target)
{
	KvSlice key = target->key;
	uint32_t common = kv_relaxed32(&mem->under_log_lock.common);
	size_t i;

	kv_target_base(mem, target);
	if (kv_relaxed64(&mem->under_log_lock.entries) == 0)
	{
		uint64_t base[KV_BASE_BYTES / 8] = {0};
		size_t len = key.len < KV_BASE_BYTES ? key.len : KV_BASE_BYTES;
		KvNode *root = node_at(mem, kv_relaxed32(&mem->root));

		/* a head of zeros at the key's end would do, but no less */
		memcpy(base, key.data, len);
		for (i = 0; i < KV_BASE_BYTES / 8; i++)
			kv_release64(&mem->base[i], base[i]);
		kv_release32(&mem->base_len, (uint32_t) len);
		kv_relaxed_set32(&mem->under_log_lock.common, (uint32_t) len);
		kv_release32(&root->shape, kv_shape(0, 0, true, len));
		kv_target_base(mem, target);
		return;
	}
	if (target->base_same >= common)
		return;
	common = (uint32_t) target->base_same;
	kv_relaxed_set32(&mem->under_log_lock.common, common);
	lower_edge(mem, false, common);
	lower_edge(mem, true, common);
}

/* ---- finding the place ---- */

void
kv_ordered_init(KvMem *mem)
{
	uint32_t root = kv_arena_alloc_node(mem);
	KvHint *hint = &mem->under_log_lock.hint;

	init_node(node_at(mem, root), 0);
	kv_release32(&node_at(mem, root)->shape, kv_shape(0, 0, true, 0));
	kv_release32(&mem->base_len, 0);
	kv_release32(&mem->root, root);
	kv_relaxed_set32(&mem->under_log_lock.common, 0);
	kv_relaxed_set32(&mem->under_log_lock.leaf_over, 0);
	kv_relaxed_set32(&mem->under_log_lock.inner_over, 0);
	kv_relaxed_set32(&hint->leaf, 0);
	kv_relaxed_set32(&hint->pos, 0);
	kv_relaxed_set32(&hint->upper, 0);
	kv_relaxed_set32(&hint->run, 0);
}

/* <0: the entry lies before the target */
static int
compare_entry(const KvMem *mem, uint32_t ref, const KvTarget *target)
{
	KvEntryView view;
	uint64_t csn;
	int cmp;

	if (!kv_entry_view(mem, ref, &view))
		return 1;
	cmp = kv_entry_compare_key(mem, &view, target->key, 0);
	if (cmp != 0)
		return cmp;
	csn = kv_batch_csn(mem, view.batch);
	return (csn < target->csn) - (csn > target->csn);
}

/*
 * The leaf of the last insertion takes the key without a descent if that
 * insertion was at its end and the key fits between it and the next leaf.
 */
static bool
use_hint(KvMem *mem, const KvTarget *target, KvPlan *plan)
{
	const KvHint *hint = &mem->under_log_lock.hint;
	uint32_t leaf = kv_relaxed32(&hint->leaf);
	uint32_t upper = kv_relaxed32(&hint->upper);
	const KvNode *node = kv_mem_ptr(mem, leaf);
	int count;

	if (leaf == 0)
		return false;
	count = kv_shape_count(kv_relaxed32(&node->shape));
	if (count == KV_LEAF_SLOTS || (int) kv_relaxed32(&hint->pos) != count - 1 ||
		compare_entry(mem, (uint32_t) kv_relaxed64(&node->slot[count - 1]),
					  target) >= 0)
		return false;
	if (upper != 0 && compare_entry(mem, upper, target) <= 0)
		return false;
	plan->path[0].node = leaf;
	plan->path[0].upper = upper;
	plan->path[0].pos = count;
	plan->depth = 1;
	plan->nodes = 0;
	plan->hinted = true;
	return true;
}

KvStatus
kv_ordered_plan(KvMem *mem, KvSlice key, uint64_t csn, KvPlan *plan)
{
	KvTarget target = {.key = key, .csn = csn};
	uint32_t off = kv_relaxed32(&mem->root);
	uint32_t lower = 0;
	uint32_t upper = 0;
	int i;

	adjust_base(mem, &target);
	if (use_hint(mem, &target, plan))
		return KV_OK;
	plan->hinted = false;
	for (i = 0; i < KV_MAX_DEPTH; i++)
	{
		KvNode *node = node_at(mem, off);
		uint32_t shape = kv_relaxed32(&node->shape);
		int count = kv_shape_count(shape);
		int pos;
		bool exact;

		plan->path[i].node = off;
		plan->path[i].lower = lower;
		plan->path[i].upper = upper;
		if (kv_node_bound(mem, node, kv_relaxed32(&node->version), shape,
						  &target, &pos, &exact) != KV_LOOK_OK)
			return kv_corrupt(NULL, 0, off, "a node in memory is damaged");
		if (exact)
			return KV_EXISTS;
		if (kv_shape_level(shape) == 0)
		{
			plan->path[i].pos = pos;
			break;
		}
		if (pos < count)
			upper = (uint32_t) kv_relaxed64(&node->slot[pos]);
		pos--;
		if (pos > 0)
			lower = (uint32_t) kv_relaxed64(&node->slot[pos]);
		plan->path[i].pos = pos;
		off = kv_relaxed32(&node->child[pos]);
		if (kv_shape_level(shape) == 1)
		{
			const char *p = kv_mem_ptr(mem, off);
			int line;

			for (line = 0; line < KV_NODE_BYTES; line += 64)
				__builtin_prefetch(p + line, 1);
		}
	}
	if (i == KV_MAX_DEPTH)
		return kv_corrupt(NULL, 0, off, "the tree in memory is too deep");
	plan->depth = i + 1;
	plan->nodes = 0;
	for (; i >= 0; i--)
	{
		uint32_t shape = kv_relaxed32(&node_at(mem, plan->path[i].node)->shape);

		if (kv_shape_count(shape) <
			(kv_shape_level(shape) == 0 ? KV_LEAF_SLOTS : KV_INNER_SLOTS))
			break;
		plan->nodes++;
	}
	if (i < 0)
		plan->nodes++; /* the root is full: a new one */
	return KV_OK;
}

/* ---- insertion ---- */

/* A node with one more slot than fits, while it is being split. */
typedef struct Wide
{
	uint64_t slot[KV_LEAF_SLOTS + 1];
	uint32_t child[KV_INNER_SLOTS + 1];
	int count;
	int level;
} Wide;

static void
insert_into(KvMem *mem, KvNode *node, int pos, uint64_t slot, uint32_t child)
{
	uint32_t shape = kv_relaxed32(&node->shape);
	int count = kv_shape_count(shape);
	int level = kv_shape_level(shape);
	int half = level == 0 ? KV_LEAF_HALF : KV_INNER_HALF;
	int i;

	KV_ASSERT(kv_relaxed32(&node->version) % 2 == 1);
	KV_ASSERT(count < (level == 0 ? KV_LEAF_SLOTS : KV_INNER_SLOTS));
	KV_ASSERT(pos >= 0 && pos <= count);
	for (i = count; i > pos; i--)
		kv_release64(&node->slot[i], kv_relaxed64(&node->slot[i - 1]));
	kv_release64(&node->slot[pos], slot);
	if (level > 0)
	{
		for (i = count; i > pos; i--)
			kv_release32(&node->child[i], kv_relaxed32(&node->child[i - 1]));
		kv_release32(&node->child[pos], child);
	}
	kv_release32(&node->shape, shape + 1);
	count_over(mem, level, over(count + 1, half), over(count, half));
}

static void
widen(const KvNode *node, int pos, uint64_t slot, uint32_t child, Wide *w)
{
	uint32_t shape = kv_relaxed32(&node->shape);
	int count = kv_shape_count(shape);
	int i;

	w->level = kv_shape_level(shape);
	w->count = count + 1;
	for (i = 0; i < count; i++)
		w->slot[i + (i >= pos)] = kv_relaxed64(&node->slot[i]);
	w->slot[pos] = slot;
	if (w->level == 0)
		return;
	for (i = 0; i < count; i++)
		w->child[i + (i >= pos)] = kv_relaxed32(&node->child[i]);
	w->child[pos] = child;
}

/* Slots from .. to - 1 become the content of a node between separators. */
static void
fill_node(KvMem *mem, KvNode *node, const Wide *w, int from, int to,
		  size_t skip, uint32_t lower, uint32_t upper)
{
	uint64_t slot[KV_LEAF_SLOTS];
	int count = to - from;
	int i;

	KV_ASSERT(count > 0 && to <= w->count);
	KV_ASSERT(count <= (w->level == 0 ? KV_LEAF_SLOTS : KV_INNER_SLOTS));
	memcpy(slot, w->slot + from, (size_t) count * sizeof(slot[0]));
	if (has_ties(slot, count))
	{
		size_t best = skip_between(mem, lower, upper);

		if (best > skip)
		{
			skip = best;
			reskip(mem, slot, count, skip);
		}
	}
	for (i = 0; i < count; i++)
		kv_release64(&node->slot[i], slot[i]);
	for (i = 0; i < count && w->level > 0; i++)
		kv_release32(&node->child[i], w->child[from + i]);
	kv_release32(&node->shape,
				 kv_shape(count, w->level, lower == 0 || upper == 0, skip));
}

/*
 * Splits the full node at plan->path[i], inserting on the way.  Returns the
 * new right node and its smallest entry, for the parent.
 */
static uint32_t
split_node(KvMem *mem, const KvPlan *plan, int i, int pos, uint64_t slot,
		   uint32_t child, bool ascending, uint32_t *separator)
{
	KvNode *left = node_at(mem, plan->path[i].node);
	uint32_t right_off = kv_arena_alloc_node(mem);
	KvNode *right = node_at(mem, right_off);
	size_t skip = kv_shape_skip(kv_relaxed32(&left->shape));
	uint32_t lower = plan->path[i].lower;
	uint32_t upper = plan->path[i].upper;
	Wide w;
	int half;
	int cut;

	widen(left, pos, slot, child, &w);
	half = w.level == 0 ? KV_LEAF_HALF : KV_INNER_HALF;
	cut = w.count / 2;
	if (ascending && w.level == 0)
		cut = pos + 1 < w.count ? pos + 1 : w.count - 1;
	else if (ascending && pos == w.count - 1)
		cut = w.count - 1;
	*separator = (uint32_t) w.slot[cut];
	init_node(right, w.level);
	fill_node(mem, right, &w, cut, w.count, skip, *separator, upper);
	kv_release32(&right->next, kv_relaxed32(&left->next));
	fill_node(mem, left, &w, 0, cut, skip, lower, *separator);
	if (w.level == 0)
		kv_release32(&left->next, right_off);
	count_over(mem, w.level, over(cut, half) + over(w.count - cut, half),
			   over(w.count - 1, half));
	return right_off;
}

static void
split_root(KvMem *mem, uint32_t left, uint32_t right, uint32_t separator)
{
	size_t skip = kv_relaxed32(&mem->under_log_lock.common);
	int level = kv_shape_level(kv_relaxed32(&node_at(mem, left)->shape));
	uint32_t off = kv_arena_alloc_node(mem);
	KvNode *root = node_at(mem, off);

	init_node(root, level + 1);
	kv_release64(&root->slot[0], 0);
	kv_release64(&root->slot[1], make_slot(mem, separator, skip));
	kv_release32(&root->child[0], left);
	kv_release32(&root->child[1], right);
	kv_release32(&root->shape, kv_shape(2, level + 1, true, skip));
	/* Pairs with the second load of root in descend: before the old root
	 * becomes even. */
	kv_release32(&mem->root, off);
}

static void
add_with_splits(KvMem *mem, const KvPlan *plan, uint64_t slot, bool ascending)
{
	int leaf = plan->depth - 1;
	int top = leaf - plan->nodes; /* the first that has room; -1: none */
	uint32_t child = 0;
	uint32_t separator = 0;
	int i;

	KV_ASSERT(plan->nodes > 0 && !plan->hinted);
	if (top < 0)
		top = -1;
	for (i = top < 0 ? 0 : top; i <= leaf; i++)
		make_odd(node_at(mem, plan->path[i].node));
	for (i = leaf; i > top; i--)
	{
		int pos = plan->path[i].pos + (i < leaf);

		child = split_node(mem, plan, i, pos, slot, child, ascending,
						   &separator);
		if (i > 0)
		{
			KvNode *parent = node_at(mem, plan->path[i - 1].node);

			slot = make_slot(mem, separator,
							 kv_shape_skip(kv_relaxed32(&parent->shape)));
		}
	}
	if (top < 0)
		split_root(mem, plan->path[0].node, child, separator);
	else
		insert_into(mem, node_at(mem, plan->path[top].node),
					plan->path[top].pos + 1, slot, child);
	for (i = leaf; i >= (top < 0 ? 0 : top); i--)
		make_even(node_at(mem, plan->path[i].node));
}

/* Remembers the insertion; after a split, where it went. */
static void
set_hint(KvMem *mem, const KvPlan *plan, uint32_t ref, uint32_t run)
{
	KvHint *hint = &mem->under_log_lock.hint;
	uint32_t leaf = plan->path[plan->depth - 1].node;
	uint32_t upper = plan->path[plan->depth - 1].upper;
	int pos = plan->path[plan->depth - 1].pos;
	KvNode *node = node_at(mem, leaf);
	int count = kv_shape_count(kv_relaxed32(&node->shape));

	if (plan->nodes > 0)
	{
		uint32_t next = kv_relaxed32(&node->next);

		if (pos >= count)
		{
			leaf = next;
			pos -= count;
		}
		else
			upper = (uint32_t) kv_relaxed64(&node_at(mem, next)->slot[0]);
	}
	KV_ASSERT((uint32_t) kv_relaxed64(&node_at(mem, leaf)->slot[pos]) == ref);
	(void) ref;
	kv_relaxed_set32(&hint->leaf, leaf);
	kv_relaxed_set32(&hint->pos, (uint32_t) pos);
	kv_relaxed_set32(&hint->upper, upper);
	kv_relaxed_set32(&hint->run, run);
}

void
kv_ordered_add(KvMem *mem, const KvPlan *plan, KvSlice key, uint32_t ref)
{
	const KvHint *hint = &mem->under_log_lock.hint;
	uint32_t leaf = plan->path[plan->depth - 1].node;
	KvNode *node = node_at(mem, leaf);
	int pos = plan->path[plan->depth - 1].pos;
	size_t skip = kv_shape_skip(kv_relaxed32(&node->shape));
	uint64_t slot = (uint64_t) kv_head_of(key, skip) << 32 | ref;
	uint32_t run = 0;

	KV_ASSERT(plan->depth > 0 && plan->depth <= KV_MAX_DEPTH);
	KV_ASSERT(ref != 0);
	if (kv_relaxed32(&hint->leaf) == leaf &&
		(int) kv_relaxed32(&hint->pos) + 1 == pos)
		run = kv_relaxed32(&hint->run) + 1;
	if (plan->nodes == 0)
	{
		make_odd(node);
		insert_into(mem, node, pos, slot, 0);
		make_even(node);
	}
	else
	{
		bool last = pos == KV_LEAF_SLOTS &&
					plan->path[plan->depth - 1].upper == 0;

		add_with_splits(mem, plan, slot, last || run >= MIN_RUN);
	}
	set_hint(mem, plan, ref, run);
}
