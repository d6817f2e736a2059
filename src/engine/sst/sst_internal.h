/* SPDX-License-Identifier: PostgreSQL */
/*
 * sst_internal.h - an open table, as sst_block.c, sst_reader.c, sst_iter.c
 * and sst_verify.c share it.
 *
 * A KvSst is private to one process and used by one thread at a time.
 */
#ifndef KV_SST_INTERNAL_H
#define KV_SST_INTERNAL_H

#include "engine/sst/block_reader.h"
#include "engine/sst/sst_meta.h"

/* Spare buffers of blocks that the cache did not take; two are in use. */
#define KV_SST_SPARES 2

struct KvSst
{
	/* Constant after kv_sst_open. */
	KvEnv *env;
	KvCache *cache; /* NULL: none */
	KvFile *file;	/* ours */
	uint64_t file_no;
	uint64_t size;
	uint64_t salt;
	KvSstOverride override;
	KvSstFooter footer;
	KvSstProps props;
	KvBuffer props_mem;	 /* props' keys point into it */
	KvBuffer top_mem;	 /* payload under top */
	KvBuffer dir_mem;	 /* payload under filter_dir */
	KvBuffer ranges_mem; /* payload of the range deletes */
	KvEntry *ranges;	 /* their keys and values point into it; or NULL */
	uint32_t *reach;	 /* [i]: which of 0..i has the largest upper bound */
	KvSstStats *stats;	 /* of iterators; or NULL */

	/* Scratch of one call at a time. */
	KvCursor top;
	KvCursor filter_dir;
	KvCursor index;
	KvCursor data;
	KvBuffer spares[KV_SST_SPARES];
	KvIter *spare_iter; /* a closed iterator, or NULL */
};

/* A block in memory: pinned in the cache, or in private memory. */
typedef struct KvBlockRef
{
	const char *data;
	uint32_t len;
	uint32_t pin;
	bool pinned;
	KvBuffer own;
} KvBlockRef;

/* Where a block comes from and goes to. */
typedef enum KvFetch
{
	KV_FETCH_CACHE,	  /* through the cache */
	KV_FETCH_NO_FILL, /* from the cache if it is there, but not into it */
	KV_FETCH_DISK	  /* the file's bytes, whatever the cache has */
} KvFetch;

/*
 * Reads, verifies and decompresses a block.  ref is zeroed or released.
 * KV_CORRUPT: a handle or block that makes no sense.  Release it before the
 * engine call ends.
 */
KvStatus kv_sst_fetch(KvSst *sst, KvBlockHandle h, KvBlockKind kind,
					  KvFetch how, KvBlockRef *ref, KvSstStats *stats,
					  KvError *err) KV_MUST_CHECK;
void kv_sst_release(KvSst *sst, KvBlockRef *ref);

/*
 * Verifies and decompresses a block whose stored bytes (h.size of them) are
 * in memory; appends nothing, replaces out.
 */
KvStatus kv_sst_decode_block(KvSst *sst, KvBlockHandle h, KvBlockKind kind,
							 const char *stored, KvBuffer *out,
							 KvError *err) KV_MUST_CHECK;
/* false: no block can be there */
bool kv_sst_handle_ok(const KvSst *sst, KvBlockHandle h);

/* The handle under an index cursor; what to say when a block is malformed. */
KvStatus kv_sst_handle_at(const KvSst *sst, const KvCursor *c,
						  KvBlockHandle *h, KvError *err) KV_MUST_CHECK;
KvStatus kv_sst_bad_block(const KvSst *sst, KvBlockHandle h, KvStatus status,
						  KvError *err);

/*
 * sst_reader.c: the data block in which (key, csn) belongs, by an index
 * partition that is looked at where it lies.  Moves sst->index.
 */
KvStatus kv_sst_find_block(KvSst *sst, KvBlockHandle partition, KvSlice key,
						   uint64_t csn, KvBlockHandle *block,
						   KvSstStats *stats, KvError *err) KV_MUST_CHECK;

/* sst_iter.c: before the table is closed. */
void kv_sst_free_spare(KvSst *sst);

/* Fetches and puts cursor over it; on failure nothing is left to release. */
KvStatus kv_sst_open_block(KvSst *sst, KvBlockHandle h, KvBlockKind kind,
						   KvBlockRef *ref, KvCursor *cursor,
						   KvSstStats *stats, KvError *err) KV_MUST_CHECK;

#endif /* KV_SST_INTERNAL_H */
