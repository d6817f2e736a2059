/* SPDX-License-Identifier: PostgreSQL */
/*
 * sst_meta.h - what a table says of itself: properties and footer.
 *
 * Encoding and decoding only; no I/O.  Used by sst_builder.c and
 * sst_reader.c.
 */
#ifndef KV_SST_META_H
#define KV_SST_META_H

#include "engine/sst/sst_buffer.h"
#include "engine/sst/sst_format.h"

typedef struct KvSstProps
{
	uint64_t entries, tombstones;
	uint64_t min_csn, max_csn;
	uint64_t min_xid, max_xid;
	uint64_t key_bytes, value_bytes;
	int64_t oldest_expiry_us;
	uint64_t data_blocks, data_end;
	uint64_t index_blocks, filter_blocks;
	uint64_t block_bytes, frame_bytes, filter_bits;
	KvSlice smallest, largest;
	uint64_t range_deletes;
	KvBlockHandle range_block; /* size 0: none */
} KvSstProps;

/* Appends to out; false: no memory. */
bool kv_props_encode(KvEnv *env, const KvSstProps *props, KvBuffer *out);
/* Unknown tags are skipped.  The keys point into in.  false: malformed. */
bool kv_props_decode(KvSlice in, KvSstProps *props);

/* The entry, or range delete, is in the table. */
void kv_props_count(KvSstProps *props, const KvEntry *e);

typedef struct KvSstFooter
{
	KvBlockHandle top, filter_dir, properties;
	uint64_t file_size;
} KvSstFooter;

/* buf of KV_FOOTER_BYTES; the footer's offset follows from file_size */
void kv_footer_encode(const KvSstFooter *f, uint64_t salt, uint64_t file_no,
					  char *buf);
KvStatus kv_footer_decode(const char *buf, uint64_t salt, uint64_t file_no,
						  uint64_t file_size, KvSstFooter *f,
						  KvError *err) KV_MUST_CHECK;

#endif /* KV_SST_META_H */
