/* SPDX-License-Identifier: PostgreSQL */
/*
 * ordered_read.c - lookups in the tree, by readers without locks.
 *
 * Any process, at any time, with the writer at work.  It must not follow an
 * offset that was not compared with the buffer's end, and must not return
 * what was found in a node whose version has changed (ordered.h has the
 * protocol).
 */
#include "engine/mem/ordered.h"

/* Rounds of waiting for a node after which a caller may look at the clock. */
#define MAX_SPINS	 (1 << 20)
#define PREFETCH_RUN 8 /* entries, a power of two */

static inline void
pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#endif
}

static inline bool
node_same(const KvNode *node, uint32_t version)
{
	/* The loads before this one were acquires: none can move behind it.
	 * Pairs with the odd store that precedes a change. */
	return kv_acquire32(&node->version) == version;
}

static inline KvLook
changed_or_bad(const KvNode *node, uint32_t version)
{
	return node_same(node, version) ? KV_LOOK_BAD : KV_LOOK_CHANGED;
}

uint32_t
kv_head_of(KvSlice key, size_t skip)
{
	uint32_t word = 0;

	if (key.len >= skip + 4)
		memcpy(&word, key.data + skip, 4);
	else if (key.len > skip)
		memcpy(&word, key.data + skip, key.len - skip);
	return kv_word_order(word);
}

/* How far, and then in which direction, the target differs from the base. */
void
kv_target_base(const KvMem *mem, KvTarget *target)
{
	KvSlice key = target->key;
	size_t len = kv_acquire32(&mem->base_len);
	size_t i;

	target->base_same = 0;
	target->base_cmp = 0;
	if (target->end != 0)
		return;
	if (len > KV_BASE_BYTES)
		len = KV_BASE_BYTES;
	for (i = 0; i < len; i += 8)
	{
		uint64_t a = kv_acquire64(&mem->base[i / 8]);
		uint64_t b = 0;
		size_t n = len - i < 8 ? len - i : 8;
		size_t same = 0;

		if (key.len <= i)
			break;
		memcpy(&b, key.data + i, key.len - i < 8 ? key.len - i : 8);
		if (a == b && n == 8 && key.len >= i + 8)
			continue;
		while (same < n && i + same < key.len &&
			   ((const unsigned char *) &a)[same] ==
				   ((const unsigned char *) &b)[same])
			same++;
		i += same;
		if (i < len && i < key.len)
			target->base_cmp = ((const unsigned char *) &a)[same] >
									   ((const unsigned char *) &b)[same]
								   ? -1
								   : 1;
		break;
	}
	target->base_same = i < len ? i : len;
	if (target->base_same > key.len)
		target->base_same = key.len;
	/* a key that ends inside the base lies before all that have it */
	if (target->base_cmp == 0 && target->base_same < len)
		target->base_cmp = -1;
}

/* Does the entry lie before the target (<0), at it (0) or behind it? */
static KvLook
compare_entry(const KvMem *mem, const KvNode *node, uint32_t version,
			  uint32_t ref, const KvTarget *target, size_t skip, int *cmp)
{
	KvEntryView view;
	uint64_t csn;

	if (!node_same(node, version))
		return KV_LOOK_CHANGED;
	if (!kv_entry_view(mem, ref, &view))
		return KV_LOOK_BAD;
	*cmp = kv_entry_compare_key(mem, &view, target->key, skip);
	if (*cmp != 0)
		return KV_LOOK_OK;
	/* Newer versions come first. */
	csn = kv_batch_csn(mem, view.batch);
	*cmp = (csn < target->csn) - (csn > target->csn);
	if (*cmp == 0 && target->after)
		*cmp = -1;
	return KV_LOOK_OK;
}

/* Three lines hold an entry of usual size.  Any address may be prefetched. */
static inline void
prefetch_entry(const KvMem *mem, uint32_t ref)
{
	const char *p = kv_mem_ptr(mem, ref);

	__builtin_prefetch(p);
	__builtin_prefetch(p + 64);
	__builtin_prefetch(p + 128);
}

/* Among slots lo .. count - 1, those with an equal head come first. */
static KvLook
bound_among_ties(const KvMem *mem, const KvNode *node, uint32_t version,
				 uint32_t shape, const KvTarget *target, int lo, int *pos,
				 bool *exact)
{
	size_t skip = kv_shape_skip(shape);
	uint32_t head = kv_head_of(target->key, skip);
	int hi = kv_shape_count(shape);
	int mid = lo; /* mostly the first one decides */

	/* Most often this is the entry that is looked for: all of it at once. */
	if (kv_shape_level(shape) == 0)
		prefetch_entry(mem, (uint32_t) kv_acquire64(&node->slot[mid]));
	while (lo < hi)
	{
		uint64_t slot = kv_acquire64(&node->slot[mid]);
		int cmp = 1;

		if (slot >> 32 == head)
		{
			KvLook look = compare_entry(mem, node, version, (uint32_t) slot,
										target, skip, &cmp);

			if (look != KV_LOOK_OK)
				return look;
			if (cmp == 0)
			{
				*exact = true;
				lo = mid;
				break;
			}
		}
		if (cmp < 0)
			lo = mid + 1;
		else
			hi = mid;
		mid = lo + (hi - lo) / 2;
	}
	*pos = lo;
	return KV_LOOK_OK;
}

/*
 * *pos: how many slots lie before the target (an inner node's slot 0 counts
 * as one).  *exact: the slot at *pos is the target itself.
 */
KvLook
kv_node_bound(const KvMem *mem, const KvNode *node, uint32_t version,
			  uint32_t shape, const KvTarget *target, int *pos, bool *exact)
{
	int count = kv_shape_count(shape);
	int lo = kv_shape_level(shape) > 0 ? 1 : 0;
	size_t skip = kv_shape_skip(shape);
	int len = count - lo;
	uint64_t want;

	*exact = false;
	if (target->end != 0 || (kv_shape_edge(shape) && skip > target->base_same))
	{
		int way = target->end != 0 ? target->end : target->base_cmp;

		*pos = way < 0 ? lo : count;
		return KV_LOOK_OK;
	}
	want = (uint64_t) kv_head_of(target->key, skip) << 32;
	while (len > 1)
	{
		int half = len / 2;

		lo += kv_acquire64(&node->slot[lo + half - 1]) < want ? half : 0;
		len -= half;
	}
	if (len == 1 && kv_acquire64(&node->slot[lo]) < want)
		lo++;
	*pos = lo;
	if (lo < count && kv_acquire64(&node->slot[lo]) >> 32 == want >> 32)
		return bound_among_ties(mem, node, version, shape, target, lo, pos,
								exact);
	return KV_LOOK_OK;
}

static inline bool
shape_ok(uint32_t shape, int level)
{
	int count = kv_shape_count(shape);

	if (kv_shape_level(shape) != level)
		return false;
	return level == 0 ? count <= KV_LEAF_SLOTS
					  : count >= 1 && count <= KV_INNER_SLOTS;
}

static inline void
prefetch_node(const KvNode *node)
{
	const char *p = (const char *) node;
	int i;

	for (i = 0; i < KV_NODE_BYTES; i += 64)
		__builtin_prefetch(p + i);
}

/* The validated even version and shape of a node; level -1: any. */
static KvLook
enter_node(const KvMem *mem, uint32_t off, int level, uint32_t *version,
		   uint32_t *shape)
{
	const KvNode *node = kv_mem_ptr(mem, off);

	if (!kv_mem_holds(mem, off, KV_NODE_BYTES, KV_NODE_ALIGN))
		return KV_LOOK_BAD;
	*version = kv_acquire32(&node->version);
	if (*version & 1)
		return KV_LOOK_CHANGED;
	*shape = kv_acquire32(&node->shape);
	if (!shape_ok(*shape, level < 0 ? kv_shape_level(*shape) : level))
		return changed_or_bad(node, *version);
	return KV_LOOK_OK;
}

/* Sets the cursor on the leaf's slot pos; it may be behind the last one. */
static KvLook
stand_at(const KvMem *mem, uint32_t leaf, uint32_t version, uint32_t shape,
		 int pos, KvCursor *cursor)
{
	const KvNode *node = kv_mem_ptr(mem, leaf);

	if (pos == kv_shape_count(shape))
	{
		uint32_t next = kv_acquire32(&node->next);
		uint32_t next_version;
		KvLook look;

		if (!node_same(node, version))
			return KV_LOOK_CHANGED;
		if (next == 0)
			return KV_LOOK_END;
		look = enter_node(mem, next, 0, &next_version, &shape);
		if (look != KV_LOOK_OK)
			return look;
		if (!node_same(node, version))
			return KV_LOOK_CHANGED;
		leaf = next;
		version = next_version;
		node = kv_mem_ptr(mem, leaf);
		pos = 0;
		/* only the root may be an empty leaf */
		if (kv_shape_count(shape) == 0)
			return changed_or_bad(node, version);
	}
	cursor->leaf = leaf;
	cursor->version = version;
	cursor->pos = pos;
	cursor->ref = (uint32_t) kv_acquire64(&node->slot[pos]);
	if (!node_same(node, version))
		return KV_LOOK_CHANGED;
	return KV_LOOK_OK;
}

/* One attempt, from the root. */
static KvLook
descend(const KvMem *mem, KvTarget *target, bool before, KvCursor *cursor)
{
	uint32_t off = kv_acquire32(&mem->root);
	const KvNode *node = kv_mem_ptr(mem, off);
	uint32_t version;
	uint32_t shape;
	KvLook look = enter_node(mem, off, -1, &version, &shape);
	int level;
	int pos;
	bool exact;

	if (look != KV_LOOK_OK)
		return look;
	/* Pairs with the store of a new root in split_root. */
	if (kv_acquire32(&mem->root) != off)
		return KV_LOOK_CHANGED;
	/* Only now: a version after the first insertion implies the base. */
	kv_target_base(mem, target);
	for (level = kv_shape_level(shape); level > 0; level--)
	{
		uint32_t child_version;

		look = kv_node_bound(mem, node, version, shape, target, &pos, &exact);
		if (look != KV_LOOK_OK)
			return look;
		/* A separator is in its subtree.  Looking backwards, the subtree
		 * must begin in front of the target. */
		if (!exact || before)
			pos--;
		off = kv_acquire32(&node->child[pos]);
		if (!node_same(node, version))
			return KV_LOOK_CHANGED;
		if (!kv_mem_holds(mem, off, KV_NODE_BYTES, KV_NODE_ALIGN))
			return KV_LOOK_BAD;
		if (level == 1)
			prefetch_node(kv_mem_ptr(mem, off));
		look = enter_node(mem, off, level - 1, &child_version, &shape);
		if (look != KV_LOOK_OK)
			return look;
		if (!node_same(node, version))
			return KV_LOOK_CHANGED;
		node = kv_mem_ptr(mem, off);
		version = child_version;
	}
	look = kv_node_bound(mem, node, version, shape, target, &pos, &exact);
	if (look != KV_LOOK_OK)
		return look;
	if (!before)
		return stand_at(mem, off, version, shape, pos, cursor);
	if (pos == 0)
		return node_same(node, version) ? KV_LOOK_END : KV_LOOK_CHANGED;
	return stand_at(mem, off, version, shape, pos - 1, cursor);
}

KvStatus
kv_ordered_judge(const KvMem *mem, uint64_t generation, KvLook look,
				 uint32_t off)
{
	/* Whatever was read from a later generation was stored after it. */
	if (kv_acquire64(&mem->generation) != generation)
		return KV_RETRY;
	if (look == KV_LOOK_BAD)
		return kv_corrupt(NULL, 0, off, "a node in memory is damaged");
	return look == KV_LOOK_END ? KV_NOT_FOUND : KV_OK;
}

KvStatus
kv_ordered_seek(const KvMem *mem, uint64_t generation, KvTarget *target,
				bool before, KvCursor *cursor)
{
	int spins;

	for (spins = 0; spins < MAX_SPINS; spins++)
	{
		KvLook look = descend(mem, target, before, cursor);
		KvStatus status;

		if (look == KV_LOOK_OK)
			return KV_OK;
		status = kv_ordered_judge(mem, generation, look, 0);
		if (look != KV_LOOK_CHANGED || status != KV_OK)
			return status;
		pause_briefly();
	}
	/* The writer sleeps inside a change.  The caller can be interrupted. */
	return KV_RETRY;
}

/*
 * A scan's entries lie anywhere.  They are fetched eight at a time, because
 * the address translations of prefetches overlap only when these stand close
 * together.
 */
static inline void
prefetch_ahead(const KvMem *mem, const KvNode *node, int count, int pos,
			   bool backward)
{
	int done = backward ? count - 1 - pos : pos; /* in this leaf */
	int from = done == 0 ? 1 : done + PREFETCH_RUN;
	int i;

	if (done % PREFETCH_RUN != 0)
		return;
	for (i = from; i < done + 2 * PREFETCH_RUN && i < count; i++)
	{
		int slot = backward ? count - 1 - i : i;

		prefetch_entry(mem, (uint32_t) kv_acquire64(&node->slot[slot]));
	}
}

KvLook
kv_ordered_step(const KvMem *mem, KvCursor *cursor, bool backward)
{
	const KvNode *node = kv_mem_ptr(mem, cursor->leaf);
	uint32_t shape = kv_acquire32(&node->shape);

	if (!node_same(node, cursor->version) ||
		cursor->pos >= kv_shape_count(shape))
		return KV_LOOK_CHANGED;
	prefetch_ahead(mem, node, kv_shape_count(shape), cursor->pos, backward);
	if (!backward)
		return stand_at(mem, cursor->leaf, cursor->version, shape,
						cursor->pos + 1, cursor);
	/* The previous leaf is found from the root. */
	if (cursor->pos == 0)
		return KV_LOOK_CHANGED;
	return stand_at(mem, cursor->leaf, cursor->version, shape, cursor->pos - 1,
					cursor);
}
