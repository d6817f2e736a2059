/* SPDX-License-Identifier: PostgreSQL */
/*
 * merge_iter.h - what the merging iterator asks of its children.
 *
 * A child may stand at a bound instead of an entry: valid, but entry.kind is
 * one of the two below, and nothing that it holds comes before the bound in
 * the direction in which it was positioned.  Its next move in that direction
 * brings the first entry (a move in the other one leaves what the bound
 * stands for behind).  So a file is opened only when its turn comes.
 */
#ifndef KV_MERGE_ITER_H
#define KV_MERGE_ITER_H

#include "engine/kv_env.h"

/* Kinds that no entry has. */
#define KV_KIND_BOUND 0
#define KV_KIND_BOUND_OPEN                                                    \
	0xff /* the key and everything that starts with it */

/*
 * Merges children by (key, csn descending); takes them over on KV_OK.
 * A child's failure, KV_RETRY included, ends the merge with that status
 * until it is positioned anew.  Keys given to seek must not be the merge's
 * own.
 */
KvStatus kv_merge_iter(KvEnv *env, KvIter **children, uint32_t n, KvIter **it,
					   KvError *err) KV_MUST_CHECK;
/* The child is the caller's again; the merge has to be positioned anew. */
void kv_merge_forget(KvIter *it, KvIter *child);

#endif /* KV_MERGE_ITER_H */
