/* SPDX-License-Identifier: PostgreSQL */
/*
 * block_reader.h - finds and decodes entries of a sorted block in memory.
 *
 * Nothing in a block is trusted: each offset and length is checked before it
 * is used, so that a block that passed its checksum but was built to harm
 * ends in "corrupt".  Knows nothing of files and the cache.
 */
#ifndef KV_BLOCK_READER_H
#define KV_BLOCK_READER_H

#include "engine/base/entry.h"
#include "engine/sst/sst.h"
#include "engine/sst/sst_buffer.h"

/* A parsed view; the payload is the caller's and must stay where it is. */
typedef struct KvBlock
{
	const char *data;
	const char *limit;	 /* after the last entry: the prefix array */
	const char *offsets; /* the offset array */
	uint32_t n_restarts;
	uint32_t common;	   /* all keys share that many bytes of the first */
	const char *first_key; /* common bytes of it may be read */
	uint64_t base_csn, base_xid;
	uint64_t base_expiry;
} KvBlock;

/* false: malformed.  A block without entries is well-formed. */
bool kv_block_parse(KvBlock *block, const char *data, size_t len);

/* Entries of one restart interval that moves backward keep decoded. */
#define KV_BACK_ENTRIES 16

typedef struct KvCursorBack KvCursorBack; /* block_reader.c */

/*
 * A position in a block.  entry is meaningful while valid; its key lives in
 * the block or in the cursor, its value in the block.  After each move: not
 * valid and status KV_OK means past the end.
 */
typedef struct KvCursor
{
	KvEnv *env;
	KvBlock block;
	/*
	 * Index blocks hold the complement of a csn, so that "before all
	 * versions" (UINT64_MAX) takes no space.
	 */
	uint64_t csn_mask;		/* 0 or UINT64_MAX */
	KvSstOverride override; /* both 0: none */
	bool valid;
	uint8_t repeats; /* KvRepeats; known after kv_cursor_next */
	KvStatus status; /* KV_OK, KV_CORRUPT or KV_NO_MEMORY */
	KvEntry *entry;	 /* own, or, to save a copy, the iterator's */
	KvEntry own;
	const char *at;		/* where entry starts */
	const char *next;	/* where the next one starts */
	KvBuffer key;		/* holds keys that had to be put together */
	KvCursorBack *back; /* NULL until the first move backward */
} KvCursor;

void kv_cursor_init(KvCursor *c, KvEnv *env, bool index,
					KvSstOverride override);
void kv_cursor_free(KvCursor *c);
/* Puts the cursor over another block, not valid; false: malformed. */
bool kv_cursor_open(KvCursor *c, const char *data, size_t len);

void kv_cursor_first(KvCursor *c);
void kv_cursor_last(KvCursor *c);
void kv_cursor_next(KvCursor *c); /* requires valid */
void kv_cursor_prev(KvCursor *c); /* requires valid */
/* to the first entry at or after (key, csn) */
void kv_cursor_seek(KvCursor *c, KvSlice key, uint64_t csn);
/*
 * Where kv_cursor_seek will begin to decode, so that it can be fetched
 * before; NULL: nowhere.  Moves the cursor.
 */
const char *kv_cursor_seek_start(KvCursor *c, KvSlice key, uint64_t csn);
/* to the last entry at or before (key, csn), or to the first if none is */
void kv_cursor_floor(KvCursor *c, KvSlice key, uint64_t csn);

#endif /* KV_BLOCK_READER_H */
