/* SPDX-License-Identifier: PostgreSQL */
/*
 * file_header.h - the 56 bytes that start every file, checksums and names.
 *
 * Checksums are XXH3-64 over {salt of the file, file number, offset, kind,
 * length} and the payload, so that a block that stands in the wrong place or
 * in the wrong file never passes.
 */
#ifndef KV_FILE_HEADER_H
#define KV_FILE_HEADER_H

#include "engine/base/identity.h"
#include "engine/base/slice.h"
#include "engine/base/status.h"

typedef struct KvFileHeader
{
	uint8_t kind;	   /* KvFileKind */
	uint8_t version;   /* format version of this kind */
	uint32_t features; /* bits that a reader must know; 0 in version 1 */
	KvIdentity identity;
	uint64_t file_no;
	uint64_t salt;
} KvFileHeader;

/* Of SSTables (sst_format.h); the other kinds have none. */
#define KV_FEATURE_RANGE_DELETES 0x2u

void kv_file_header_encode(const KvFileHeader *h, char *buf);
/*
 * Checks magic, kind, checksum, file number, then version and features
 * (KV_UNSUPPORTED) and system id (KV_FOREIGN).
 */
KvStatus kv_file_header_decode(const char *buf, size_t len, KvFileKind kind,
							   uint8_t max_version, const KvIdentity *identity,
							   uint64_t file_no, KvFileHeader *h,
							   KvError *err) KV_MUST_CHECK;

uint64_t kv_checksum(uint64_t salt, uint64_t file_no, uint64_t offset,
					 uint8_t kind, const void *data, size_t len);
uint64_t kv_key_hash(KvSlice key); /* XXH3-64, for filters */

/* "<n>.wal", "<n>.sst", "MANIFEST-<n>", "pgsql_tmp.<n>"; buf of KV_NAME_MAX */
#define KV_NAME_MAX 64
typedef enum KvNameKind
{
	KV_NAME_OTHER, /* not ours */
	KV_NAME_WAL,
	KV_NAME_SST,
	KV_NAME_MANIFEST,
	KV_NAME_TEMP,
	KV_NAME_CURRENT,
	KV_NAME_LOCK
} KvNameKind;
void kv_file_name(char *buf, KvNameKind kind, uint64_t file_no);
KvNameKind kv_file_name_parse(const char *name, uint64_t *file_no);

#endif /* KV_FILE_HEADER_H */
