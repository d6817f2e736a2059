/* SPDX-License-Identifier: PostgreSQL */
/*
 * env_sim_state.h - what env_sim.c and env_sim_files.c share, and nobody
 * else sees.
 */
#ifndef ENV_SIM_STATE_H
#define ENV_SIM_STATE_H

#include "env_sim.h"
#include "env_sim_disk.h"

#define FILE_ALIVE UINT32_C(0x51f11e00)

/* An open file; in a list, as a crash closes them all. */
struct KvFile
{
	uint32_t alive;
	int ino;	/* -1: a temporary file, which no disk image has */
	char *temp; /* its bytes */
	uint64_t temp_size;
	bool writable;
	char name[64];
	KvFile *prev, *next;
};

/* In front of each block of memory; in a list for the same reason. */
typedef struct Block
{
	struct Block *prev, *next;
	size_t size;
	uint64_t unused; /* keeps the caller's part aligned to 16 */
} Block;

struct SimState
{
	SimDisk *disk;
	uint64_t disk_rng; /* what a crash keeps */
	uint64_t env_rng;  /* what random() tells */
	KvFile *files;
	Block *blocks;
	SimFault faults[SIM_MAX_FAULTS];
	size_t n_faults;
	uint64_t die_in; /* I/O calls until death; SIM_NEVER */
	bool dead;
	uint64_t death_place;
	bool held[KV_LOCK_COUNT];
	uint64_t temp_bytes; /* of all temporary files */
};

static inline SimEnv *
sim_of(KvEnv *env)
{
	return (SimEnv *) env;
}

/* Prints and aborts: the engine broke a contract, or the test is wrong. */
void sim_give_up(const char *what, const char *name);

/* env_sim_files.c: the fault that this call of the class runs into, or NULL */
const SimFault *sim_due_fault(SimEnv *sim, SimCall call);
KvStatus sim_fault_status(KvStatus status, const char *name, KvError *err);

/* the file callbacks of KvEnvOps */
KvStatus sim_open(KvEnv *env, const char *name, int flags, KvFile **file,
				  KvError *err);
KvStatus sim_open_temp(KvEnv *env, KvFile **file, KvError *err);
void sim_close(KvEnv *env, KvFile *file);
KvStatus sim_pread(KvEnv *env, KvFile *file, void *buf, size_t len,
				   uint64_t off, size_t *got, KvError *err);
KvStatus sim_pwrite(KvEnv *env, KvFile *file, const void *buf, size_t len,
					uint64_t off, KvError *err);
KvStatus sim_sync(KvEnv *env, KvFile *file, KvError *err);
KvStatus sim_preallocate(KvEnv *env, KvFile *file, uint64_t size, KvError *err);
KvStatus sim_size(KvEnv *env, KvFile *file, uint64_t *size, KvError *err);
KvStatus sim_link(KvEnv *env, const char *from, const char *to, KvError *err);
KvStatus sim_rename(KvEnv *env, const char *from, const char *to, KvError *err);
KvStatus sim_unlink(KvEnv *env, const char *name, KvError *err);
KvStatus sim_sync_dir(KvEnv *env, KvError *err);
KvStatus sim_list(KvEnv *env, bool (*fn)(void *arg, const char *name),
				  void *arg, KvError *err);

#endif /* ENV_SIM_STATE_H */
