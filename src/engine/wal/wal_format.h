/* SPDX-License-Identifier: PostgreSQL */
/*
 * wal_format.h - what the writer and the reader of WAL segments share.
 *
 * The specification, with an example in hex, is docs/format.md.  Nothing
 * here changes without a new version and a row in its ledger.
 */
#ifndef KV_WAL_FORMAT_H
#define KV_WAL_FORMAT_H

#include "engine/base/file_header.h"

#define KV_WAL_VERSION 2

/* segment header: common header, four numbers, checksum of those */
#define KV_WAL_START_BYTES	32
#define KV_WAL_HEADER_BYTES (KV_FILE_HEADER_BYTES + KV_WAL_START_BYTES + 8)

/*
 * Group: u64 checksum of all that follows; u32 length of the body; u64 end
 * of the previous group, which is where this one starts; u64 offset up to
 * which this file was synced when the group was closed; body.
 */
#define KV_WAL_GROUP_BYTES 28
#define KV_WAL_AT_CHECKSUM 0
#define KV_WAL_AT_LENGTH   8
#define KV_WAL_AT_PREV_END 12
#define KV_WAL_AT_SYNCED   20
#define KV_WAL_AT_BODY	   KV_WAL_GROUP_BYTES

/* A group of several records is at most that long, its header included. */
#define KV_WAL_GROUP_MAX ((size_t) 1 << 20)

/* `kind' of kv_checksum within a segment */
#define KV_WAL_SUM_START 1
#define KV_WAL_SUM_GROUP 2

#endif /* KV_WAL_FORMAT_H */
