/* SPDX-License-Identifier: PostgreSQL */
/*
 * world.h - a store on a simulated disk, with or without a host's log.
 *
 * Without one (host_log false) a commit is acknowledged by kv_sync_log.
 * With one, as in PostgreSQL, the batch and then the commit go into the
 * host's log, which is durable up to where it was flushed; the engine's
 * files may lag behind and are completed from it.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "engine/kv_engine.h"
#include "env_sim.h"
#include "model.h"

/* One record of the host's log; lsn is its index + 1. */
typedef struct HostRecord
{
	uint8_t type; /* 1 batch, 2 file piece, 3 ingest, 4 commit, 5 abort */
	uint64_t xid, csn, file_no, offset;
	char *bytes;
	size_t len;
} HostRecord;

typedef struct World
{
	uint64_t seed;
	bool host_log;
	SimEnv *sim;
	KvEnv *env;
	KvConfig config;
	void *shared;
	KvDb *db;
	Model model;
	uint32_t acked; /* commits up to it must survive */

	HostRecord *log;
	uint64_t log_len, log_cap, log_durable;
	uint64_t next_xid;
	uint8_t outcome[MODEL_COMMITS * 8]; /* by xid: 0 running, 1, 2 aborted */

	const char *phase; /* what is being done, for messages */
	bool failed;
	char why[512];
} World;

void world_init(World *w, uint64_t seed, bool host_log);
void world_free(World *w);
/* Random number below n, from the world's seed. */
uint64_t world_rand(World *w, uint64_t n);
void world_fail(World *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Recovery, the host's log included.  Any status; KV_OK: ready. */
KvStatus world_open(World *w, KvError *err);
/* The process dies, the disk loses what the level lets it lose. */
void world_crash(World *w, SimLevel level);

/* Commits n writes as one batch, or as an ingested run.  abort: rolls back. */
KvStatus world_commit(World *w, uint32_t n, bool run, bool roll_back,
					  KvError *err);
/* Makes what was committed durable. */
KvStatus world_sync(World *w, KvError *err);

/*
 * Compares the store with the model after commit `upto`: gets, scans in both
 * directions.  max_csn: of a snapshot, or UINT64_MAX.
 */
void world_compare(World *w, uint32_t upto, uint64_t max_csn);
/* After recovery: finds the prefix that survived and compares with it. */
void world_check_recovered(World *w);

#endif /* SIM_WORLD_H */
