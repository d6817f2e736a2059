/* SPDX-License-Identifier: PostgreSQL */
/*
 * world.h - a store on a simulated disk, with or without a host's log.
 *
 * Without one (host_log false) a commit is acknowledged by kv_sync_log.
 * With one, as in PostgreSQL, the batch and then the commit go into the
 * host's log, which is durable up to where it was flushed; the engine's
 * files may lag behind and are completed from it.  There one transaction at
 * a time may stay open while others commit; the number of one whose records
 * did not survive is given to another.
 */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "engine/kv_engine.h"
#include "env_sim.h"
#include "model.h"

/* One record of the host's log; lsn is its index + 1. */
typedef enum HostRecordType
{
	REC_BATCH = 1,
	REC_FILE,
	REC_INGEST,
	REC_COMMIT,
	REC_ABORT
} HostRecordType;

typedef struct HostRecord
{
	HostRecordType type;
	uint64_t xid, csn, file_no, offset;
	uint32_t commit; /* of REC_COMMIT: the model's number */
	char *bytes;
	size_t len;
} HostRecord;

/* When the host lets the worker and the compactor work. */
typedef enum WorldManner
{
	MANNER_AS_PLANNED,
	MANNER_LAZY, /* compaction only if asked for, or if writes stall */
	MANNER_EAGER /* as much as there is to do, after each step */
} WorldManner;

/* What a failure means for who trusted the store. */
typedef enum SimVerdict
{
	SIM_LOST,		 /* an acknowledged write is not there */
	SIM_TORN,		 /* a part of a commit, or a hole */
	SIM_RESURRECTED, /* what was overwritten, deleted or lost is back */
	SIM_OTHER,		 /* an error, a leak, a loop */
	SIM_VERDICTS
} SimVerdict;

typedef struct World World;

/* What one reader sees, and what that is according to the model. */
typedef struct View
{
	World *w;
	uint64_t csn;	  /* without a host */
	uint64_t xmax;	  /* with one: xids from here on are invisible, */
	uint64_t running; /* and so is this one */
	int64_t now_us;
	uint32_t state[MODEL_KEYS];
} View;

/* A reader that stays for a while, perhaps in the middle of a scan. */
typedef struct Snapshot
{
	bool open;
	View view;
	KvScan *scan;
	bool reverse;
	uint32_t at; /* entries that the scan has returned */
} Snapshot;

/* A transaction that has written and not ended. */
typedef struct OpenXact
{
	uint64_t xid; /* 0: none */
	uint32_t commit;
	bool keys[MODEL_KEYS]; /* locked, as by the host */
} OpenXact;

struct World
{
	uint64_t seed;
	bool host_log;
	SimEnv *sim;
	KvEnv *env;
	KvEnvOps ops;
	KvConfig config;
	void *shared;
	KvDb *db;
	Model model;
	uint32_t newest;	   /* without a host: the last commit */
	uint32_t acked;		   /* without a host: commits up to it must survive */
	uint32_t acked_before; /* of the sync before that */
	Snapshot snap;
	OpenXact xact;

	HostRecord *log;
	uint64_t log_len, log_cap, log_durable;
	uint64_t next_xid;
	uint8_t outcome[MODEL_COMMITS * 8]; /* KvXactState by xid */

	uint32_t planted;  /* faults */
	bool faults;	   /* calls may fail: errors are excused once one did */
	bool full;		   /* the disk was full at times */
	bool sync_fails;   /* a sync may have failed */
	char kept[32][64]; /* files that the backup needs */
	uint32_t n_kept;
	SimEnv *copy;	  /* the folder at some time, NULL: none */
	bool no_worker;	  /* the last one could not take over */
	bool rotten;	  /* bytes rot: KV_CORRUPT is a right answer, */
	uint32_t excused; /* which was given so often */

	/* run.c: the life */
	bool opened;	/* recovery was tried since the crash */
	bool up;		/* and has succeeded; */
	bool unchecked; /* the result has not been looked at */
	bool lived;		/* work was done since */
	bool gave_up;	/* the host goes on only after a crash */
	bool resumed;	/* all calls succeed again, all work was done */
	bool ended;		/* of the plan */

	/* metamorphic.c */
	WorldManner manner;
	bool steady;	  /* nothing fails: a write that finds no room is wrong */
	uint64_t answers; /* of all reads, in one number */
	uint64_t asked;	  /* ticket of the last compaction that was asked for */
	uint64_t checked; /* version whose levels were looked at */

	bool trace;
	const char *step;  /* its name, NULL: no plan */
	size_t at_step;	   /* its line behind the first of the plan */
	const char *phase; /* what is being done, for messages */
	bool failed;
	SimVerdict verdict;
	char why[512];
};

void world_init(World *w, uint64_t seed, bool host_log);
void world_free(World *w);
/* Random number below n, from the world's seed. */
uint64_t world_rand(World *w, uint64_t n);
void world_fail(World *w, SimVerdict verdict, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/* An error that planted faults or rot explain. */
bool world_excuses(World *w, KvStatus st);

/* Recovery, the host's log included.  Any status; KV_OK: ready. */
KvStatus world_open(World *w, KvError *err);
/* Lets go of the store; nothing of it may be left in memory. */
void world_detach(World *w);
/* The worker process ends and a new one takes over. */
KvStatus world_take_over(World *w, KvError *err);
/* The process dies, the disk loses what the level lets it lose. */
void world_crash(World *w, SimLevel level);
/* The disk has no more than bytes left. */
void world_limit_disk(World *w, uint64_t bytes);
void world_set_horizon(World *w);

/* ---- commit.c */
uint64_t host_append(World *w, HostRecordType type, uint64_t xid, uint64_t csn,
					 const void *bytes, size_t len);
/* Commits n writes as one batch, or as an ingested run.  abort: rolls back. */
KvStatus world_commit(World *w, uint32_t n, bool run, bool roll_back,
					  KvError *err);
/* With a host only: writes, and ends later. */
KvStatus world_begin(World *w, uint32_t n, bool run, KvError *err);
KvStatus world_end(World *w, bool commit, KvError *err);
/* Makes what was committed durable. */
KvStatus world_sync(World *w, KvError *err);

/* ---- compare.c: gets and scans in both directions against the model */
void view_now(World *w, View *v);
void world_compare(World *w, View *v);
void world_compare_now(World *w);
/* After recovery: finds the prefix that survived and compares with it. */
void world_check_recovered(World *w);
void snapshot_open(World *w);
/* Compares some of what the snapshot sees; goes on with its scan. */
void snapshot_look(World *w);
void snapshot_close(World *w);

/* ---- rest.c: a store in which nothing is left to do */
/* It comes to rest in bounded steps; tolerate: so many may fail. */
void world_must_rest(World *w, uint32_t tolerate);
/* The folder holds what the MANIFEST names and the newest WAL segments. */
void world_check_folder(World *w);
/* Clean end: nothing is lost at any level, nothing has to be replayed. */
void world_shutdown(World *w);
/* While a backup runs, no file goes that was needed when it began. */
void world_backup(World *w, bool runs);

/* ---- rot.c */
/* A byte of a file rots: it is detected, or the answers are right. */
void world_rot(World *w);

/* Every byte of small stores, or of so many one. */
int sim_rot_all(uint64_t each);

/* ---- levels.c */
/* What the files hold, as a whole, and what the MANIFEST says of them. */
void world_check_levels(World *w);
uint64_t world_version(const World *w);

/* ---- metamorphic.c: one plan under several sets of settings */
int sim_metamorphic(uint64_t from, uint64_t count, double seconds,
					uint32_t most_failures, bool trace);

/* ---- exhaustive.c: every crash index of every tiny workload */
typedef enum SimDriver
{
	SIM_CRASHES,
	SIM_NESTED,
	SIM_FAULTS
} SimDriver;

/* each: of so many cases one is run. */
int sim_exhaustive(SimDriver what, uint32_t ops, uint64_t each, double seconds);

#endif /* SIM_WORLD_H */
