/* SPDX-License-Identifier: PostgreSQL */
/*
 * ordered.h - the tree that orders a memtable's entries.
 *
 * A B+-tree of 512-byte nodes; what a node contains is in layout.h.  Entries
 * are only ever added.  One writer; readers in any process, without locks,
 * are optimistic:
 *
 *  - A node's version is odd while the node changes.  A reader takes an even
 *    version before it looks at a node and compares again before it follows
 *    or returns anything it found there, and once more on the parent after
 *    it has taken the child's version.  Any difference: start again at the
 *    root.
 *  - A split makes all nodes that it changes odd, the highest first, changes
 *    them and makes them even, the lowest first.  So a reader that took a
 *    child's version before or after the split knows it from the child's or
 *    from the parent's.
 *  - The root's "parent" is KvMem.root itself: a root that was split is not
 *    the root any more.
 *
 * The protocol is optimistic lock coupling (Leis and others, "The ART of
 * practical synchronization", 2016) with one writer; slots with the first
 * bytes of keys are "poor man's normalized keys" (Graefe and Larson, "B-tree
 * indexes and CPU caches", 2001).
 */
#ifndef KV_ORDERED_H
#define KV_ORDERED_H

#include "engine/mem/layout.h"

/* A place between entries: before (key, csn), or right after it. */
typedef struct KvTarget
{
	KvSlice key;
	uint64_t csn;
	bool after; /* an entry equal to (key, csn) lies before the target */
	int8_t end; /* -1: before all entries; 1: after all; 0: key and csn */
	/* set by the tree: how key compares with the tree's base */
	size_t base_same;
	int base_cmp;
} KvTarget;

/* Where a reader stands. */
typedef struct KvCursor
{
	uint32_t leaf;
	uint32_t version;
	int pos;
	uint32_t ref; /* the entry there */
} KvCursor;

typedef enum KvLook
{
	KV_LOOK_OK,
	KV_LOOK_END,	 /* no such entry */
	KV_LOOK_CHANGED, /* the writer was there, or the generation ended */
	KV_LOOK_BAD		 /* impossible content: the generation ended, or rot */
} KvLook;

/* Writer: an empty tree in an initialised arena. */
void kv_ordered_init(KvMem *mem);

/*
 * Finds the first entry behind the target or, with before, the last one in
 * front of it.  KV_OK, KV_NOT_FOUND, KV_RETRY (the generation is not the one
 * given, or the writer has held a node for very long) or KV_CORRUPT.
 */
KvStatus kv_ordered_seek(const KvMem *mem, uint64_t generation,
						 KvTarget *target, bool before, KvCursor *cursor);
/*
 * To the next or previous entry: OK; END (forward only); CHANGED and BAD:
 * seek again behind, or in front of, the entry last seen.
 */
KvLook kv_ordered_step(const KvMem *mem, KvCursor *cursor, bool backward);

/* What a bad look means, given the generation it was done in. */
KvStatus kv_ordered_judge(const KvMem *mem, uint64_t generation, KvLook look,
						  uint32_t off);

/*
 * Writer: how (key, csn) will be inserted.  KV_OK: the nodes that it needs
 * are counted in nodes; the plan holds until the next kv_ordered_add.
 * KV_EXISTS: it is there.
 */
typedef struct KvPlan
{
	struct
	{
		uint32_t node;
		uint32_t lower, upper; /* separators around the node; 0: none */
		int pos; /* child that was taken; leaf: where to insert */
	} path[KV_MAX_DEPTH];
	int depth;	 /* levels in path; the last is the leaf */
	int nodes;	 /* to be allocated */
	bool hinted; /* only the leaf is in path, and it has room */
} KvPlan;

KvStatus kv_ordered_plan(KvMem *mem, KvSlice key, uint64_t csn, KvPlan *plan);
/* Writer: puts the finished entry where the plan says. */
void kv_ordered_add(KvMem *mem, const KvPlan *plan, KvSlice key, uint32_t ref);

/*
 * Bytes that the next insertions may take for splits of nodes that are
 * filled by more than half now; see kv_mem_bound.
 */
size_t kv_ordered_debt(const KvMem *mem);
/* the most one of n insertions adds to that, and what splits cost besides */
#define KV_ORDERED_PER_ENTRY 41
#define KV_ORDERED_PER_BATCH (10 * (KV_NODE_BYTES + KV_NODE_ALIGN))

/* Shared by the writer (ordered.c) and the readers (ordered_read.c). */
uint32_t kv_head_of(KvSlice key, size_t skip);
void kv_target_base(const KvMem *mem, KvTarget *target);
KvLook kv_node_bound(const KvMem *mem, const KvNode *node, uint32_t version,
					 uint32_t shape, const KvTarget *target, int *pos,
					 bool *exact);

#endif /* KV_ORDERED_H */
