/* SPDX-License-Identifier: PostgreSQL */
/*
 * recover.h - what recover.c, replay.c and begin_use.c share.  Worker only.
 */
#ifndef KV_RECOVER_H
#define KV_RECOVER_H

#include "engine/lsm/db_internal.h"

/*
 * Starts a memtable whose entries all have larger csns than start_csn, and
 * flushes the one before, if there was one.
 */
KvStatus kv_replay_rotate(KvDb *db, uint64_t start_csn,
						  KvError *err) KV_MUST_CHECK;
/*
 * Applies a record, whose lsn and csn are noted in any case.  KV_CORRUPT: it
 * is malformed, or the host has forgotten the transaction.  KV_TOO_LARGE: the
 * memtables are smaller than when it was written.
 */
KvStatus kv_replay_record(KvDb *db, const KvLogRecord *rec,
						  KvError *err) KV_MUST_CHECK;
/* The same for KV_LOG_INGEST: files that are known already stay as they are. */
KvStatus kv_replay_run(KvDb *db, const KvLogRecord *rec,
					   KvError *err) KV_MUST_CHECK;

/* A number that was used somewhere: none at or below it is handed out. */
void kv_number_seen(KvDb *db, uint64_t file_no);
/* *has: the file is there, with this size. */
KvStatus kv_file_has_size(KvDb *db, const char *name, uint64_t size, bool *has,
						  KvError *err) KV_MUST_CHECK;

#endif /* KV_RECOVER_H */
