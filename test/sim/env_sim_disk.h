/* SPDX-License-Identifier: PostgreSQL */
/*
 * env_sim_disk.h - one folder on a disk that may lose what was not synced.
 *
 * Knows nothing of the engine: env_sim.c puts a KvEnv in front of it.
 *
 * A file (inode) has three contents: what reads see; what is certainly on
 * disk (of the last sync); and the list of 512-byte sectors written since,
 * each as it was after the write.  The folder is kept the same way: entries
 * that reads see, entries of the last sync_dir, and operations since.
 */
#ifndef ENV_SIM_DISK_H
#define ENV_SIM_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "env_sim.h"

#define SIM_SECTOR 512

typedef struct SimDisk SimDisk;

SimDisk *sim_disk_new(void);
SimDisk *sim_disk_clone(const SimDisk *disk);
void sim_disk_free(SimDisk *disk);

/* Folder.  An inode number is >= 0; -1: no such name. */
int sim_disk_find(const SimDisk *disk, const char *name);
int sim_disk_create(SimDisk *disk, const char *name);
void sim_disk_link(SimDisk *disk, int ino, const char *name);
void sim_disk_rename(SimDisk *disk, const char *from, const char *to);
void sim_disk_unlink(SimDisk *disk, const char *name);
void sim_disk_sync_dir(SimDisk *disk);
/* the n-th name, NULL behind the last */
const char *sim_disk_name(const SimDisk *disk, size_t n);

/* Files.  An open inode outlives its names. */
void sim_disk_open(SimDisk *disk, int ino);
void sim_disk_close(SimDisk *disk, int ino);
uint64_t sim_disk_size(const SimDisk *disk, int ino);
size_t sim_disk_read(const SimDisk *disk, int ino, void *buf, size_t len,
					 uint64_t off);
void sim_disk_write(SimDisk *disk, int ino, const void *buf, size_t len,
					uint64_t off);
void sim_disk_extend(SimDisk *disk, int ino, uint64_t size);
void sim_disk_sync(SimDisk *disk, int ino);
/*
 * A sync that fails: each sector reaches the disk or not, and none of them
 * is tried again by a later sync (what Linux does with failed writeback).
 * Reads go on seeing the new bytes, or, as after the page's eviction, see
 * from now on what the disk has.
 */
void sim_disk_sync_failed(SimDisk *disk, int ino, uint64_t *rng);
/* Names and contents as reads see them; the order of names does not count. */
uint64_t sim_disk_hash(const SimDisk *disk);
/* Flips bits of a byte wherever the file is kept. */
bool sim_disk_rot(SimDisk *disk, int ino, uint64_t off, uint8_t mask);
/* Bytes of all files that have a name. */
uint64_t sim_disk_used(const SimDisk *disk);

void sim_disk_crash(SimDisk *disk, SimLevel level, uint64_t *rng);

/* splitmix64 */
uint64_t sim_random(uint64_t *rng);

#endif /* ENV_SIM_DISK_H */
