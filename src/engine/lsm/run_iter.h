/* SPDX-License-Identifier: PostgreSQL */
/*
 * run_iter.h - SSTables whose keys follow one another, as one iterator.
 *
 * Used for a level, for the files of one ingested run, and for a single L0
 * file.  It stands at a file's bound (merge_iter.h) until somebody needs the
 * file's content, and opens it then.
 */
#ifndef KV_RUN_ITER_H
#define KV_RUN_ITER_H

#include "engine/lsm/db_internal.h"

/*
 * slots and readahead are borrowed until close; the files must be pinned by
 * the caller.  *readahead (bytes, 0: none) may change at any time: what is
 * open already follows at its next move forward.  Entries carry the state
 * that is known without asking the host: kv_judge's source is KV_FROM_MEM.
 */
KvStatus kv_run_iter(KvDb *db, const uint32_t *slots, uint32_t n,
					 const uint32_t *readahead, KvIter **it,
					 KvError *err) KV_MUST_CHECK;

/*
 * Sorts the slots of one ingested run by key; how many of the n slots, from
 * the first on, belong to the same run (1 if it is no ingested run).
 */
uint32_t kv_run_length(KvDb *db, const uint32_t *slots, uint32_t n);
void kv_run_sort(KvDb *db, uint32_t *slots, uint32_t n);

#endif /* KV_RUN_ITER_H */
