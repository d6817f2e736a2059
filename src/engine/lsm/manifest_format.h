/* SPDX-License-Identifier: PostgreSQL */
/*
 * manifest_format.h - bytes of MANIFEST-n and CURRENT.
 *
 * The specification, with an example in hex, is docs/format.md.  Tags are
 * frozen: none is ever renumbered or used for something else; what goes out
 * of use keeps its line here.
 */
#ifndef KV_MANIFEST_FORMAT_H
#define KV_MANIFEST_FORMAT_H

#include "engine/base/file_header.h"
#include "engine/lsm/manifest.h"

#define KV_MANIFEST_VERSION 1
#define KV_CURRENT_VERSION	1

/*
 * Record: u64 checksum of all that follows; u32 length of the body; u64
 * offset of the record itself; body: one edit.
 */
#define KV_MANIFEST_RECORD_BYTES 20
#define KV_MANIFEST_AT_LENGTH	 8
#define KV_MANIFEST_AT_OFFSET	 12

/* CURRENT: common header (its file number: the MANIFEST's), then */
#define KV_CURRENT_AT_SALT	 KV_FILE_HEADER_BYTES	  /* u64, the MANIFEST's */
#define KV_CURRENT_AT_LENGTH (KV_CURRENT_AT_SALT + 8) /* u64, when switched */
#define KV_CURRENT_AT_SUM	 (KV_CURRENT_AT_LENGTH + 8) /* u64 checksum */
#define KV_CURRENT_BYTES	 (KV_CURRENT_AT_SUM + 8)

/* `kind' of kv_checksum */
#define KV_MANIFEST_SUM_RECORD 1
#define KV_CURRENT_SUM		   1

/*
 * An edit is a sequence of {varint tag * 2 + must, varint length, bytes}.
 * must: a reader that does not know the tag refuses the file; without it, it
 * skips the field.  Tags may repeat where the comment says so.
 */
typedef enum KvManifestTag
{
	KV_TAG_ADD = 1,		/* a file meta; repeats */
	KV_TAG_REMOVE = 2,	/* varint file number; repeats */
	KV_TAG_DOUBT = 3,	/* varint file number, varint xid, u8 state; repeats */
	KV_TAG_SETTLE = 4,	/* varint xid, u8 state; repeats */
	KV_TAG_MIN_WAL = 5, /* varint, as all up to 10 */
	KV_TAG_FLUSHED_CSN = 6,
	KV_TAG_FLUSHED_LSN = 7,
	KV_TAG_FILE_NO_CEILING = 8,
	KV_TAG_STORE_ID_CEILING = 9,
	KV_TAG_CSN_FLOOR = 10,
	KV_TAG_WAL_CUT = 11, /* not written; varint segment number, varint offset */
	KV_TAG_CLOCK_US = 12,	 /* varint of the zigzagged microseconds */
	KV_TAG_TIMELINE = 13,	 /* varint */
	KV_TAG_INCARNATION = 14, /* varint */
	KV_TAG_RUNS_CSN = 15,	 /* varint */
	KV_TAG_LAST = 15
} KvManifestTag;

#define KV_TAG_MUST 1

/* First byte of a file meta's body. */
#define KV_META_HAS_DOUBT	0x01
#define KV_META_LARGEST_CUT 0x02
#define KV_META_RANGES		0x04 /* their number is the body's last varint */
#define KV_META_KNOWN_FLAGS 0x07

/* manifest_edit.c; for manifest.c and the fuzz target */
typedef struct KvEditBuffer
{
	char *data;
	size_t len, cap;
} KvEditBuffer;

/* Appends the edit's bytes to buf, whose data belongs to env. */
KvStatus kv_edit_encode(KvEnv *env, const KvEdit *edit, KvEditBuffer *buf,
						KvError *err) KV_MUST_CHECK;
/*
 * The arrays belong to the edit afterwards, also on failure: give them back
 * with kv_edit_free.
 */
KvStatus kv_edit_decode(KvEnv *env, KvSlice body, KvEdit *edit,
						KvError *err) KV_MUST_CHECK;
void kv_edit_free(KvEnv *env, KvEdit *edit);

#endif /* KV_MANIFEST_FORMAT_H */
