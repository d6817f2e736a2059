/* SPDX-License-Identifier: PostgreSQL */
/*
 * sst_format.h - what builder and reader of SSTables share: the numbers of
 * the format, block handles, limits.
 *
 * docs/format_sst.md is the specification.  Numbers are frozen: one that is
 * no longer written keeps its meaning and is never given another.  Included
 * by files of sst/ only.
 */
#ifndef KV_SST_FORMAT_H
#define KV_SST_FORMAT_H

#include "engine/base/coding.h"
#include "engine/base/entry.h"
#include "engine/base/file_header.h"

#define KV_SST_VERSION 1

/*
 * Feature bits of the file header (file_header.h has those that are known).
 * 0x1 is kept for a hash index in data blocks; 0x2: there may be a block of
 * range deletes.
 */

/* Kinds of blocks; part of every checksum. */
typedef enum KvBlockKind
{
	KV_BLOCK_DATA = 1,
	KV_BLOCK_FILTER = 2,	 /* one partition of the filter */
	KV_BLOCK_INDEX = 3,		 /* one partition of the index of data blocks */
	KV_BLOCK_TOP = 4,		 /* the index of index partitions */
	KV_BLOCK_FILTER_DIR = 5, /* the index of filter partitions */
	KV_BLOCK_PROPERTIES = 6,
	KV_BLOCK_FOOTER = 7, /* not a block, but its checksum needs a kind */
	KV_BLOCK_RANGE_DELETES = 8
} KvBlockKind;

/* How a block's payload is stored. */
typedef enum KvCompression
{
	KV_COMPRESS_NONE = 0,
	KV_COMPRESS_LZ4 = 1
} KvCompression;

/* After the payload: compression 1, raw length 4, checksum 8. */
#define KV_BLOCK_TRAILER 13

/*
 * A sorted block (data, index, top, filter directory) ends in arrays and a
 * tail of fixed size:
 *   entries | prefix 8 x n (big-endian) | offset 4 x n | tail
 *   tail: base csn 8, base xid 8, base expiry 8, common prefix 4, n 4
 */
#define KV_SORTED_TAIL	  32
#define KV_SORTED_RESTART 12 /* prefix and offset of one restart point */
/* Entries from one restart point to the next: data, other sorted blocks. */
#define KV_DATA_INTERVAL  16
#define KV_INDEX_INTERVAL 1
/* A reader gives up on a restart point with more; no writer comes near. */
#define KV_MAX_INTERVAL 256

/* The first byte of an entry. */
#define KV_META_KIND	  0x07 /* KvKind */
#define KV_META_CSN_BASE  0x08 /* csn is the block's base */
#define KV_META_CSN_DELTA 0x10 /* zigzag varint to add to the base; else 0 */
#define KV_META_XID_BASE  0x20
#define KV_META_XID_DELTA 0x40
#define KV_META_RESERVED  0x80

/* Longest entry without its key and value bytes: meta and six varints. */
#define KV_ENTRY_OVERHEAD (1 + 6 * KV_VARINT_MAX)

/* The largest payload: one entry with the longest key and value. */
#define KV_BLOCK_MAX_RAW (KV_MAX_VALUE + KV_MAX_KEY + 4096)
/* LZ4 cannot do better than this; more raw bytes are a lie. */
#define KV_MAX_RATIO 256

/*
 * Footer, the last bytes of the file: handles of top index, filter directory
 * and properties (offset 8, size 8 each), size of the file 8, reserved 8,
 * magic 8, checksum 8.
 */
#define KV_FOOTER_BYTES 80
#define KV_FOOTER_MAGIC UINT64_C(0x31545353564b4c53) /* "SLKVSST1" */

/* Tags of the properties block; each is followed by a length and bytes. */
typedef enum KvSstProperty
{
	/* varints */
	KV_PROP_ENTRIES = 1,
	KV_PROP_TOMBSTONES = 2,
	KV_PROP_MIN_CSN = 3,
	KV_PROP_MAX_CSN = 4,
	KV_PROP_MIN_XID = 5,
	KV_PROP_MAX_XID = 6,
	KV_PROP_KEY_BYTES = 7,
	KV_PROP_VALUE_BYTES = 8,
	KV_PROP_OLDEST_EXPIRY = 9, /* zigzag */
	KV_PROP_DATA_BLOCKS = 10,
	KV_PROP_DATA_END = 11, /* offset after the last data block */
	KV_PROP_INDEX_BLOCKS = 12,
	KV_PROP_FILTER_BLOCKS = 13,
	KV_PROP_BLOCK_BYTES = 14, /* what the builder was told */
	KV_PROP_FRAME_BYTES = 15,
	KV_PROP_FILTER_BITS = 16,
	/* bytes */
	KV_PROP_SMALLEST = 17,
	KV_PROP_LARGEST = 18,
	/* varints; only in tables with range deletes */
	KV_PROP_RANGE_DELETES = 19, /* how many */
	KV_PROP_RANGE_OFFSET = 20,	/* their block */
	KV_PROP_RANGE_SIZE = 21
} KvSstProperty;

/* Where a block is; size includes the trailer.  size 0: there is none. */
typedef struct KvBlockHandle
{
	uint64_t offset;
	uint64_t size;
} KvBlockHandle;

#define KV_HANDLE_MAX (2 * KV_VARINT_MAX)

static inline char *
kv_handle_put(char *p, KvBlockHandle h)
{
	p = kv_put_varint(p, h.offset);
	return kv_put_varint(p, h.size);
}

/* All of the slice must be the handle. */
static inline bool
kv_handle_get(KvSlice in, KvBlockHandle *h)
{
	return kv_get_varint(&in, &h->offset) && kv_get_varint(&in, &h->size) &&
		   in.len == 0;
}

#endif /* KV_SST_FORMAT_H */
