/* SPDX-License-Identifier: PostgreSQL */
/*
 * write_set.h - what xact.c needs of the transaction's buffered writes.
 *
 * Readers and writers use kvlsm_buffer_write and kvlsm_own_writes of kvlsm.h.
 */
#ifndef KVLSM_WRITE_SET_H
#define KVLSM_WRITE_SET_H

#include "kvlsm.h"

/* varints and lengths of an entry in a batch */
#define KVLSM_ENTRY_OVERHEAD 64

/* NULL if this transaction has written nothing. */
KvWriteSet *kvlsm_write_set(void);
/* More than any entry of the set takes in a batch. */
size_t kvlsm_largest_write(void);
/* The commit has begun: later writes would be lost, and are refused. */
void kvlsm_close_write_set(void);
/* A subtransaction has been rolled back; never fails. */
void kvlsm_abort_sub_writes(SubTransactionId subid);
void kvlsm_free_write_set(void); /* never fails */
/* The newest write of key by any command of this transaction; KV_NOT_FOUND. */
KvStatus kvlsm_own_latest(KvSlice key, KvEntry *entry,
						  KvError *err) KV_MUST_CHECK;
/* Waits while writers are stalled, once a command. */
void kvlsm_wait_before_write(KvDb *db);

#endif /* KVLSM_WRITE_SET_H */
