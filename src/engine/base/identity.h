/* SPDX-License-Identifier: PostgreSQL */
/*
 * identity.h - whose files these are; stands in the header of every file.
 */
#ifndef KV_IDENTITY_H
#define KV_IDENTITY_H

#include <stdint.h>

typedef struct KvIdentity
{
	uint64_t system_id;	  /* of the cluster; must match to open a file */
	uint32_t timeline;	  /* on which the file was written */
	uint32_t incarnation; /* counts the recoveries of this folder */
} KvIdentity;

/*
 * Every file starts with this header (docs/format.md has the grammar):
 * magic 8, kind 1, format version 1, reserved 2, feature bits 4,
 * system id 8, timeline 4, incarnation 4, file number 8, salt 8, XXH3-64 of
 * what precedes 8 = 56 bytes.
 */
#define KV_FILE_HEADER_BYTES 56

typedef enum KvFileKind
{
	KV_FILE_WAL = 1,
	KV_FILE_SST = 2,
	KV_FILE_MANIFEST = 3,
	KV_FILE_CURRENT = 4
} KvFileKind;

#endif /* KV_IDENTITY_H */
