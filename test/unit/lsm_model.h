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

#define MODEL_KEYS		600
#define MODEL_XIDS		20000
#define MODEL_SNAPSHOTS 5
#define MODEL_SCANS		4

typedef struct ModelVersion
{
	uint64_t csn, xid;
	int64_t expires_us;
	uint8_t kind;
	uint32_t value; /* its number; content and length follow from it */
} ModelVersion;

typedef struct ModelKey
{
	ModelVersion *versions; /* oldest first */
	uint32_t n, cap;
} ModelKey;

typedef struct Model Model;

typedef struct ModelSnapshot
{
	bool live;
	Model *model;
	uint64_t max_csn;
	int64_t now_us;
	uint64_t first_unsettled; /* the oldest xid that had not ended */
	uint64_t next_xid;
	uint8_t sees[MODEL_XIDS];
	/* a transaction's own writes on top: 0 none, 1 put, 2 deleted */
	uint8_t own[MODEL_KEYS];
} ModelSnapshot;

typedef struct ModelScan
{
	KvScan *scan; /* NULL: not open */
	ModelSnapshot snapshot;
	KvWriteSet *ws;
	int at, end; /* the next key to come lies there or further */
	bool reverse;
} ModelScan;

struct Model
{
	TestDb t;
	int n_keys;
	ModelKey keys[MODEL_KEYS];
	uint8_t states[MODEL_XIDS]; /* KvXactState */
	uint64_t next_xid;
	uint64_t first_unsettled; /* none below runs */
	uint32_t next_value;
	ModelSnapshot snapshots[MODEL_SNAPSHOTS];
	ModelScan scans[MODEL_SCANS];
};

Model *model_open(int n_keys);
/* Ends everything, checks that nothing leaked. */
void model_close(Model *m);
/* Killed or shut down, and back. */
void model_restart(Model *m, bool kill);

/* Each does one random thing. */
void model_write(Model *m);
void model_ingest(Model *m);
void model_end_transaction(Model *m);
void model_end_all(Model *m);
void model_snapshot(Model *m);
void model_scan(Model *m); /* opens one, or reads some rows, or closes it */
void model_drop_readers(Model *m);
void model_worker(Model *m);
void model_compactor(Model *m, uint64_t budget);
void model_tick(Model *m);

/* What a reader of now sees, and what each snapshot sees, in every way. */
void model_check(Model *m);
void model_verify(Model *m);
/* Rows that a reader of now sees. */
int model_live_rows(Model *m);

#endif /* LSM_MODEL_H */
