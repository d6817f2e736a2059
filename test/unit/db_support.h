/* SPDX-License-Identifier: PostgreSQL */
/*
 * db_support.h - a whole engine in one process, for unit tests.
 *
 * TestDb owns a folder, a shared region and one attached process that plays
 * writer, worker and compactor in turn.
 */
#ifndef DB_SUPPORT_H
#define DB_SUPPORT_H

#include "engine/kv_engine.h"
#include "env_posix.h"

typedef struct TestDb
{
	PosixEnv *penv;
	KvEnv *env;
	KvConfig config;
	void *shared;
	KvDb *db;
	KvRecovery recovery;
	uint64_t xid; /* of the writes that follow; 0: visible at once */
} TestDb;

/* Small sizes, so that a test reaches every code path; open is separate. */
void test_db_init(TestDb *t);
/* Recovers (kv_recover, kv_open_for_use) into a fresh region. */
KvStatus test_db_open(TestDb *t, KvError *err);
/* As a killed process would leave it: nothing is flushed. */
void test_db_kill(TestDb *t);
/* Clean shutdown. */
void test_db_close(TestDb *t);
/* Closes and removes the folder; checks that nothing leaked. */
void test_db_free(TestDb *t);

/* Key in store 1.  Runs the worker when the engine says KV_STALLED. */
void test_put(TestDb *t, const char *key, const char *value);
void test_delete(TestDb *t, const char *key);
void test_write(TestDb *t, const KvBatch *batch);
void test_batch_add(TestDb *t, KvBatch *batch, const char *key,
					const char *value);
/* Finishes the run and commits it, with the worker's help. */
void test_ingest_commit(TestDb *t, KvIngest *g);
/* NULL: not found.  Valid until the next call. */
const char *test_get(TestDb *t, const char *key);
/* Worker rounds until there is nothing left to do. */
void test_work(TestDb *t);
void test_flush(TestDb *t);
/* Compaction steps and worker rounds until nothing is left. */
void test_compact(TestDb *t);
/* Number of live keys; checks their order. */
uint64_t test_count(TestDb *t, bool reverse);

/* kv_verify; each problem that it reports is a failure. */
void test_verify(KvDb *db);

#endif /* DB_SUPPORT_H */
