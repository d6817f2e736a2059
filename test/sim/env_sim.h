/* SPDX-License-Identifier: PostgreSQL */
/*
 * env_sim.h - a KvEnv over a simulated disk, for one process and one thread.
 *
 * All that happens follows from the seed and from the calls made.  A test
 *
 *   sim = sim_new(seed);
 *   ... opens the engine with &sim->env, works with it ...
 *   sim_crash(sim, SIM_POWER_LOSS);    the process is gone, with its memory
 *   ... opens the engine again on what the disk has kept ...
 *
 * and in between lets calls fail (sim_fail), stops the process at the n-th
 * call (sim_die_at), fills the disk (disk_limit), lets bytes rot (sim_rot).
 * A test of a fault also checks that it fired (faults_fired, sim_dead).
 *
 * Checked all the time, abort() on failure: locks are not taken twice nor
 * against their order; no I/O under a lock that excludes it; no use of a
 * closed file.  A file is used only under the name by which it was opened,
 * because PostgreSQL's fd.c may reopen it by that name at any time.
 */
#ifndef ENV_SIM_H
#define ENV_SIM_H

#include "engine/kv_env.h"

/* What survives sim_crash. */
typedef enum SimLevel
{
	SIM_KILL,		 /* L0: all writes; still not synced */
	SIM_SYNCED_ONLY, /* L1: only what was synced, entries too */
	SIM_POWER_LOSS,	 /* L2: each sector and each entry may be there or not */
	SIM_GARBAGE /* L3: L2, and what one write per file changed is random */
} SimLevel;
#define SIM_LEVELS 4

typedef enum SimCall
{
	SIM_OPEN, /* open_temp too */
	SIM_PREAD,
	SIM_PWRITE,
	SIM_SYNC,
	SIM_PREALLOCATE,
	SIM_SIZE,
	SIM_LINK,
	SIM_RENAME,
	SIM_UNLINK,
	SIM_SYNC_DIR,
	SIM_LIST,
	SIM_ALLOC, /* alloc and realloc; no I/O: sim_die_at does not count it */
	SIM_CALLS
} SimCall;

/* What a failing call has done. */
typedef enum SimDone
{
	SIM_NOTHING,
	SIM_PARTLY, /* pwrite: a part, chosen by the seed; others: nothing */
	SIM_ALL		/* everything: the error lies */
} SimDone;

/* The nth call of its class from now on (1: the next), and times - 1 more. */
typedef struct SimFault
{
	SimCall call;
	uint64_t nth;
	uint64_t times;	 /* UINT64_MAX: for ever */
	KvStatus status; /* KV_IO_ERROR or KV_DISK_FULL; ignored for SIM_ALLOC */
	SimDone done;
} SimFault;

#define SIM_MAX_FAULTS 8
/* The ways in which a call of one class can fail; see sim_fault_form. */
#define SIM_FORMS 12
#define SIM_NEVER UINT64_MAX

typedef struct SimEnv
{
	KvEnv env; /* first */

	/* Injected by the test at any time. */
	int64_t clock_us;	 /* what now_us() tells; only the test moves it */
	bool interrupt;		 /* poll() answers true (also when dead) */
	bool backup;		 /* what backup_running() answers */
	bool verbose;		 /* log() prints */
	uint64_t disk_limit; /* bytes of all files; more is KV_DISK_FULL */
	KvHorizon horizon;	 /* now_us 0: the clock */
	KvXactState (*xact_state)(void *arg, uint64_t xid);	 /* NULL: committed */
	KvStatus (*flush_host_log)(void *arg, uint64_t lsn); /* NULL: KV_OK */
	void (*stop)(void *arg, const char *name);			 /* NULL: nothing */
	/* before each call; name may be NULL.  It may call sim_die_at(sim, 1). */
	void (*on_call)(void *arg, SimCall call, const char *name);
	void *arg; /* of the four above */

	/* Counted; the test may reset them. */
	uint64_t calls[SIM_CALLS];
	uint64_t io_calls; /* all classes but SIM_ALLOC */
	uint64_t faults_fired;
	uint64_t fired[SIM_CALLS][SIM_FORMS]; /* the same, in all, by its form */
	uint64_t fired_full;				  /* calls that disk_limit failed */
	uint64_t kicks[3];					  /* by KvKick */
	uint64_t warnings;					  /* log() with KV_LOG_WARNING */
	uint64_t bytes_written;
	uint64_t max_flushed_lsn; /* of flush_host_log, UINT64_MAX excluded */
	int64_t live_allocs, open_files;

	/* Private to env_sim.c. */
	struct SimState *state;
} SimEnv;

SimEnv *sim_new(uint64_t seed);
void sim_free(SimEnv *sim);
/*
 * A new process on a copy of the disk as it is, unsynced writes included:
 * crashing several clones gives several images of one moment.  Faults,
 * injected answers and counters are not copied.
 */
SimEnv *sim_clone(const SimEnv *sim, uint64_t seed);

void sim_fail(SimEnv *sim, SimFault fault);
/* Below SIM_FORMS: status, what was done, once or for ever; name for people. */
unsigned sim_fault_form(const SimFault *fault);
const char *sim_form_name(unsigned form);
const char *sim_call_name(SimCall call);
void sim_clear_faults(SimEnv *sim);
/*
 * The nth I/O call from now on (1: the next) and all later ones fail with
 * KV_IO_ERROR and do nothing, until sim_crash.  SIM_NEVER takes it back.
 */
void sim_die_at(SimEnv *sim, uint64_t nth);
bool sim_dead(const SimEnv *sim);
/*
 * Ends the process: open files, private memory, locks and faults are gone;
 * what the test injected and the counters stay.  The disk becomes what level
 * says.  Nothing that the engine returned may be used afterwards.
 */
void sim_crash(SimEnv *sim, SimLevel level);

/* The disk behind the engine's back: not counted, never failing. */
bool sim_rot(SimEnv *sim, const char *name, uint64_t off, uint8_t mask);
/* size of a file, or -1 */
int64_t sim_file_size(const SimEnv *sim, const char *name);
/* the whole file, malloc'ed; NULL if there is none */
char *sim_get_file(const SimEnv *sim, const char *name, size_t *size);
/* replaces or creates a file, synced, with its entry */
void sim_put_file(SimEnv *sim, const char *name, const void *data, size_t size);
void sim_remove_file(SimEnv *sim, const char *name);
/* the n-th file name, NULL behind the last; no order */
const char *sim_file_name(const SimEnv *sim, size_t n);

/* The two exchange their disks. */
void sim_swap_disks(SimEnv *a, SimEnv *b);

/* One draw of the disk's random numbers; a new start of them. */
uint64_t sim_draw(SimEnv *sim);
void sim_reseed(SimEnv *sim, uint64_t seed);

/* All names and contents, in one number. */
uint64_t sim_image_hash(const SimEnv *sim);
/*
 * Where sim_die_at struck: the engine's functions that were active, in one
 * number; 0 if it has not.
 */
uint64_t sim_death_place(const SimEnv *sim);

#endif /* ENV_SIM_H */
