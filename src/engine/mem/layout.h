/* SPDX-License-Identifier: PostgreSQL */
/*
 * layout.h - what stands where in a memtable's buffer; for src/engine/mem
 * only.
 *
 *   KvMem | filter | entries, batches and chunks of nodes, as they came
 *
 * Everything is named by its offset from the buffer's start (uint32_t, 0:
 * none).  Entries and batches never change once a node points to them,
 * except for a batch's state and next; nodes change in place and never move.
 * No byte of this ever reaches a disk.
 *
 * Two rules make lock-free readers in other processes safe:
 *
 *  1. Every access to the buffer is a C11 atomic; readers load with acquire,
 *     the writer stores with release (both cost nothing on x86).  So a reader
 *     that saw any store sees all that precede it: the odd version before a
 *     node's new content, the new generation before anything that
 *     kv_mem_init's successors wrote over the old one.
 *  2. An offset or a length that was read is compared with the buffer's end
 *     before it is used, however often its node was validated: the memory
 *     may belong to the next generation by now.
 */
#ifndef KV_MEM_LAYOUT_H
#define KV_MEM_LAYOUT_H

#include <assert.h>
#include <stdatomic.h>

#include "engine/base/check.h"
#include "engine/mem/memtable.h"

static_assert(ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_LLONG_LOCK_FREE == 2 &&
				  ATOMIC_CHAR_LOCK_FREE == 2,
			  "shared memory needs lock-free atomics");

/* ---- nodes ---- */

#define KV_NODE_BYTES  512
#define KV_NODE_ALIGN  64
#define KV_NODE_CHUNK  8 /* nodes that are allocated together */
#define KV_LEAF_SLOTS  62
#define KV_INNER_SLOTS 41
#define KV_LEAF_HALF   (KV_LEAF_SLOTS / 2)
#define KV_INNER_HALF  (KV_INNER_SLOTS / 2)
#define KV_MAX_DEPTH   16
#define KV_BASE_BYTES  48

/*
 * A slot is head << 32 | entry.  The head is the 4 bytes of the key that
 * follow the first skip ones, big-endian, zero-padded: within one node, slots
 * with different heads are ordered by them, and only equal heads need a look
 * at the entries.
 *
 * skip bytes are common to all keys that can be looked for in the node: no
 * more than its two separators in the ancestors have in common or, where one
 * is missing (an edge node), than all keys of the tree have in common.
 *
 * In an inner node slot i is the smallest entry of child i's subtree at the
 * time of the split; slot 0 is never looked at.
 */
typedef struct KvNode
{
	_Atomic uint32_t version; /* odd: being changed */
	_Atomic uint32_t shape; /* skip << 16 | edge << 12 | level << 8 | count */
	_Atomic uint32_t next;	/* leaf: the next leaf */
	uint32_t unused;
	union
	{
		_Atomic uint64_t slot[KV_LEAF_SLOTS];
		struct
		{
			_Atomic uint64_t inner_slot[KV_INNER_SLOTS]; /* = slot */
			_Atomic uint32_t child[KV_INNER_SLOTS];
		};
	};
} KvNode;

static_assert(sizeof(KvNode) == KV_NODE_BYTES, "a node is 512 bytes");

#define KV_MAX_SKIP 0xffff

static inline uint32_t
kv_shape(int count, int level, bool edge, size_t skip)
{
	return (uint32_t) skip << 16 | (uint32_t) edge << 12 |
		   (uint32_t) level << 8 | (uint32_t) count;
}

static inline int
kv_shape_count(uint32_t shape)
{
	return (int) (shape & 0xff);
}

static inline int
kv_shape_level(uint32_t shape)
{
	return (int) (shape >> 8 & 0xf);
}

static inline bool
kv_shape_edge(uint32_t shape)
{
	return (shape >> 12 & 1) != 0;
}

static inline size_t
kv_shape_skip(uint32_t shape)
{
	return shape >> 16;
}

/* ---- the buffer's head ---- */

/* A run of insertions, each right after the one before it. */
typedef struct KvHint
{
	_Atomic uint32_t leaf;	/* of the last insertion; 0: none */
	_Atomic uint32_t pos;	/* its slot */
	_Atomic uint32_t upper; /* the leaf's upper separator; 0: none */
	_Atomic uint32_t run;	/* length of the run so far */
} KvHint;

struct KvMem
{
	/* Set by kv_mem_init; readers compare. */
	_Atomic uint64_t generation;
	/* The buffer's size; changes in private buffers only. */
	_Atomic uint64_t bytes;
	/* Readers start here. */
	_Atomic uint32_t root;
	/* The first KV_BASE_BYTES of the first key, set once before the root
	 * has an entry; readers compare with them in edge nodes. */
	_Atomic uint32_t base_len;
	_Atomic uint64_t base[KV_BASE_BYTES / 8];

	/*
	 * Written under KV_LOCK_LOG, read without it by statistics and
	 * reservations: relaxed, not paired with anything.
	 */
	struct
	{
		_Atomic uint64_t used;
		_Atomic uint64_t entries;
		_Atomic uint32_t chunk;		 /* the next unused node of the chunk */
		_Atomic uint32_t chunk_left; /* unused nodes in it */
		_Atomic uint32_t leaf_over;	 /* slots in use beyond half, all leaves */
		_Atomic uint32_t inner_over; /* the same, inner nodes */
		_Atomic uint32_t common;	 /* bytes of base that all keys share */
		_Atomic uint32_t last_batch;
		_Atomic uint32_t n_range_deletes;
		KvHint hint;
	} under_log_lock;
	_Atomic uint32_t first_batch;
	/* The newest range delete, 0: none. */
	_Atomic uint32_t range_deletes;
	/* Words of 64 bits (mem_filter.c), set by kv_mem_init_filter; 0: none. */
	_Atomic uint32_t filter;
	_Atomic uint32_t filter_mask; /* of their number */
};

#define KV_MEM_HEAD_BYTES 256
static_assert(sizeof(KvMem) <= KV_MEM_HEAD_BYTES, "the head has grown");

/* ---- batches and entries ---- */

typedef struct KvMemBatchShared
{
	_Atomic uint64_t csn, xid, lsn;
	_Atomic uint32_t state;
	_Atomic uint32_t next; /* always larger than this one's offset */
} KvMemBatchShared;

/*
 * An entry: words of 4 bytes {check, batch, meta, [value length,]
 * [expiry low, expiry high,]} then key, value, zeros up to the next word.
 * meta is kind << 29 | key length << 12 | value length; a value length of
 * KV_META_LONG says that it has a word of its own.  check is a hash of all
 * that follows it and of the batch's csn and xid.
 */
#define KV_META_LONG	  0xfffu
#define KV_ENTRY_WORDS	  3
#define KV_ENTRY_MAX_HEAD 24

/*
 * A range delete: words {next, check, batch, lower's length, upper's length}
 * then lower and upper, each with zeros up to the next word.  next is the one
 * that was added before it, so a smaller offset; check is a hash of all that
 * follows it and of the batch's csn and xid.
 */
#define KV_RANGE_HEAD 20

/* An entry's head, every number of it checked against the buffer's end. */
typedef struct KvEntryView
{
	uint32_t start;
	uint32_t batch;
	uint32_t key_off;
	uint32_t key_len;
	uint32_t value_len;
	uint32_t check;
	uint8_t kind;
	int64_t expires_us;
} KvEntryView;

/* A word as it stands in memory, made comparable as a number. */
static inline uint32_t
kv_word_order(uint32_t word)
{
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	return __builtin_bswap32(word);
#else
	return word;
#endif
}

static inline uint32_t
kv_relaxed32(const _Atomic uint32_t *p)
{
	return atomic_load_explicit(p, memory_order_relaxed);
}

static inline uint64_t
kv_relaxed64(const _Atomic uint64_t *p)
{
	return atomic_load_explicit(p, memory_order_relaxed);
}

static inline uint32_t
kv_acquire32(const _Atomic uint32_t *p)
{
	return atomic_load_explicit(p, memory_order_acquire);
}

static inline uint64_t
kv_acquire64(const _Atomic uint64_t *p)
{
	return atomic_load_explicit(p, memory_order_acquire);
}

static inline void
kv_release32(_Atomic uint32_t *p, uint32_t v)
{
	atomic_store_explicit(p, v, memory_order_release);
}

static inline void
kv_release64(_Atomic uint64_t *p, uint64_t v)
{
	atomic_store_explicit(p, v, memory_order_release);
}

/* fields of under_log_lock */
static inline void
kv_relaxed_set32(_Atomic uint32_t *p, uint32_t v)
{
	atomic_store_explicit(p, v, memory_order_relaxed);
}

static inline void
kv_relaxed_set64(_Atomic uint64_t *p, uint64_t v)
{
	atomic_store_explicit(p, v, memory_order_relaxed);
}

static inline void *
kv_mem_ptr(const KvMem *mem, uint32_t off)
{
	return (char *) (uintptr_t) mem + off;
}

static inline const _Atomic uint32_t *
kv_mem_word(const KvMem *mem, uint32_t off)
{
	return (const _Atomic uint32_t *) kv_mem_ptr(mem, off);
}

/* Is there room for len bytes at off, behind the head? */
static inline bool
kv_mem_holds(const KvMem *mem, uint32_t off, uint64_t len, uint32_t align)
{
	return off >= KV_MEM_HEAD_BYTES && off % align == 0 &&
		   off + len <= kv_relaxed64(&mem->bytes);
}

static inline uint64_t
kv_batch_csn(const KvMem *mem, uint32_t batch)
{
	const KvMemBatchShared *b = kv_mem_ptr(mem, batch);

	/* a bad offset can only come from another generation or a bit flip */
	if (!kv_mem_holds(mem, batch, sizeof(*b), 8))
		return 0;
	return kv_acquire64(&b->csn);
}

/*
 * Reads the head of the entry at ref.  False: it cannot be one, so the
 * generation has changed or the memory is damaged.
 */
static inline bool
kv_entry_view(const KvMem *mem, uint32_t ref, KvEntryView *view)
{
	const _Atomic uint32_t *w = kv_mem_word(mem, ref);
	uint32_t off = ref + KV_ENTRY_WORDS * 4;
	uint32_t meta;

	if (!kv_mem_holds(mem, ref, KV_ENTRY_MAX_HEAD, 4))
		return false;
	meta = kv_acquire32(w + 2);
	view->start = ref;
	view->check = kv_acquire32(w);
	view->batch = kv_acquire32(w + 1);
	view->kind = (uint8_t) (meta >> 29);
	view->key_len = meta >> 12 & 0x1ffff;
	view->value_len = meta & KV_META_LONG;
	view->expires_us = 0;
	w += KV_ENTRY_WORDS;
	if (view->value_len == KV_META_LONG)
	{
		view->value_len = kv_acquire32(w++);
		off += 4;
	}
	if (view->kind == KV_KIND_PUT_EXPIRING)
	{
		uint64_t lo = kv_acquire32(w);
		uint64_t hi = kv_acquire32(w + 1);

		view->expires_us = (int64_t) (hi << 32 | lo);
		off += 8;
	}
	view->key_off = off;
	return kv_mem_holds(mem, off, (uint64_t) view->key_len + view->value_len,
						4);
}

/* mem_entry.c: bytes of entries */
size_t kv_entry_bytes(const KvEntry *entry);
void kv_entry_write(KvMem *mem, uint32_t ref, uint32_t batch,
					const KvEntry *entry);
/* <0, 0, >0: the key of view against key; the first skip bytes are equal */
int kv_entry_compare_key(const KvMem *mem, const KvEntryView *view,
						 KvSlice key, size_t skip);
/* len bytes at off to private memory; off + len was checked */
void kv_mem_copy_out(const KvMem *mem, uint32_t off, void *to, size_t len);
/* false: bytes (a copy of the entry from its second word on) are damaged */
bool kv_entry_check(const KvEntryView *view, const void *bytes, size_t len,
					uint64_t csn, uint64_t xid);
bool kv_batch_read(const KvMem *mem, uint32_t batch, KvMemBatch *info);

/* mem_filter.c: for kv_mem_add, of a memtable that has a filter */
void kv_mem_filter_add(KvMem *mem, uint64_t hash);
/* What it takes of the buffer, 0 without one; for the writer. */
static inline size_t
kv_mem_filter_bytes(const KvMem *mem)
{
	return kv_relaxed32(&mem->filter) == 0
			   ? 0
			   : ((size_t) kv_relaxed32(&mem->filter_mask) + 1) * 8;
}

/* mem_range.c: for kv_mem_add and kv_mem_check */
KvStatus kv_mem_add_range_delete(KvMem *mem, uint32_t batch,
								 const KvEntry *entry) KV_MUST_CHECK;
KvStatus kv_mem_check_ranges(const KvMem *mem, uint64_t generation,
							 uint64_t *n) KV_MUST_CHECK;

#endif /* KV_MEM_LAYOUT_H */
