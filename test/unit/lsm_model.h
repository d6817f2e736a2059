/* SPDX-License-Identifier: PostgreSQL */
/*
 * lsm_model.h - a whole engine beside a list of every version ever written.
 *
 * One thread plays writers with and without transactions, readers with
 * snapshots, the worker and the compactor.  The model keeps every version and
 * knows what each snapshot must see; nothing may ever be missing or come
 * back, whatever was flushed and compacted meanwhile.
 */
#ifndef LSM_MODEL_H
#define LSM_MODEL_H

#include "db_support.h"

#define LSM_KEYS	  600
#define LSM_XIDS	  20000
#define LSM_SNAPSHOTS 5
#define LSM_SCANS	  4
#define LSM_KEY_CAP	  300

typedef struct LsmVersion
{
	uint64_t csn, xid;
	int64_t expires_us;
	uint8_t kind;
	uint32_t value; /* its number; content and length follow from it */
} LsmVersion;

typedef struct LsmKey
{
	LsmVersion *versions; /* oldest first */
	uint32_t n, cap;
} LsmKey;

typedef struct LsmModel LsmModel;

typedef struct LsmSnapshot
{
	bool live;
	LsmModel *model;
	uint64_t max_csn;
	int64_t now_us;
	uint64_t first_unsettled; /* the oldest xid that had not ended */
	uint64_t next_xid;
	uint8_t sees[LSM_XIDS];
	/* a transaction's own writes on top: 0 none, 1 put, 2 deleted */
	uint8_t own[LSM_KEYS];
} LsmSnapshot;

typedef struct LsmScan
{
	KvScan *scan; /* NULL: not open */
	LsmSnapshot snapshot;
	KvWriteSet *ws;
	int at, end; /* the next key to come lies there or further */
	bool reverse;
} LsmScan;

struct LsmModel
{
	TestDb t;
	int n_keys;
	LsmKey keys[LSM_KEYS];
	uint8_t states[LSM_XIDS]; /* KvXactState */
	uint64_t next_xid;
	uint64_t first_unsettled; /* none below runs */
	uint32_t next_value;
	uint64_t range_deletes; /* in one batch of so many */
	LsmSnapshot snapshots[LSM_SNAPSHOTS];
	LsmScan scans[LSM_SCANS];
};

LsmModel *lsm_open(int n_keys);
/* Ends everything, checks that nothing leaked. */
void lsm_close(LsmModel *m);
/* Killed or shut down, and back. */
void lsm_restart(LsmModel *m, bool kill);

/* Each does one random thing. */
void lsm_write(LsmModel *m);
void lsm_ingest(LsmModel *m);
void lsm_end_transaction(LsmModel *m);
void lsm_end_all(LsmModel *m);
void lsm_snapshot(LsmModel *m);
void lsm_scan(LsmModel *m); /* opens one, or reads some rows, or closes it */
void lsm_drop_readers(LsmModel *m);
void lsm_worker(LsmModel *m);
void lsm_compactor(LsmModel *m, uint64_t budget);
void lsm_tick(LsmModel *m);

/* ---- between lsm_model.c and lsm_ranges.c; buf of LSM_KEY_CAP */
KvSlice lsm_key_of(int i, char *buf);
KvSlice lsm_store_end(char *buf);
void lsm_remember(LsmModel *m, int key, const LsmVersion *v);
/* A range delete into the batch; covered[] gets the keys that it covers. */
void lsm_add_range_delete(LsmModel *m, KvBatch *batch, bool *covered);
/* Before the versions of the same batch, which it does not hide. */
void lsm_remember_ranges(LsmModel *m, const bool *covered, const KvWrite *w,
						 uint64_t csn);

/* What a reader of now sees, and what each snapshot sees, in every way. */
void lsm_check(LsmModel *m);
void lsm_verify(LsmModel *m);
/* Rows that a reader of now sees. */
int lsm_live_rows(LsmModel *m);

#endif /* LSM_MODEL_H */
