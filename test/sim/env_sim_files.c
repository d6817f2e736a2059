/* SPDX-License-Identifier: PostgreSQL */
/*
 * env_sim_files.c - the file callbacks over a simulated disk, and faults.
 *
 * Test code: what breaks the contract of kv_env.h aborts the program.
 */
#include "env_sim_state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include <execinfo.h>
#include <xxhash.h>

/* ---- faults ---- */

/* The fault that this call of the class runs into, or NULL. */
const SimFault *
sim_due_fault(SimEnv *sim, SimCall call)
{
	struct SimState *st = sim->state;
	const SimFault *due = NULL;
	size_t i;

	for (i = 0; i < st->n_faults; i++)
	{
		SimFault *f = &st->faults[i];

		if (f->call != call || f->times == 0)
			continue;
		if (f->nth > 1)
		{
			f->nth--;
			continue;
		}
		if (f->times != UINT64_MAX)
			f->times--;
		if (due == NULL)
			due = f;
	}
	if (due != NULL)
	{
		sim->faults_fired++;
		sim->fired[call][sim_fault_form(due)]++;
	}
	return due;
}

unsigned
sim_fault_form(const SimFault *f)
{
	unsigned forever = f->times == UINT64_MAX ? 1 : 0;

	if (f->call == SIM_ALLOC)
		return forever;
	return ((f->status == KV_DISK_FULL ? 3u : 0u) + (unsigned) f->done) * 2 +
		   forever;
}

const char *
sim_form_name(unsigned form)
{
	static const char *const names[SIM_FORMS] = {"EIO once",
												 "EIO sticky",
												 "EIO, half done, once",
												 "EIO, half, sticky",
												 "EIO, done, once",
												 "EIO, done, sticky",
												 "ENOSPC once",
												 "ENOSPC sticky",
												 "ENOSPC, half done, once",
												 "ENOSPC, half, sticky",
												 "ENOSPC, done, once",
												 "ENOSPC, done, sticky"};

	return names[form];
}

const char *
sim_call_name(SimCall call)
{
	static const char *const names[SIM_CALLS] = {"open",		"read",
												 "write",		"fsync",
												 "preallocate", "size",
												 "link",		"rename",
												 "unlink",		"fsyncdir",
												 "list",		"alloc"};

	return names[call];
}

KvStatus
sim_fault_status(KvStatus status, const char *name, KvError *err)
{
	(void) kv_fail(err, status, "simulated failure of \"%s\"", name);
	if (err != NULL)
		err->os_errno = status == KV_DISK_FULL ? ENOSPC : EIO;
	return status;
}

/*
 * Every I/O call begins here.  KV_OK: go on, and if *fault is set, do as
 * much as it says, then return sim_fault_status().
 */
static KvStatus
begin(SimEnv *sim, SimCall call, const char *name, const SimFault **fault,
	  KvError *err)
{
	struct SimState *st = sim->state;
	int i;

	*fault = NULL;
	if (sim->on_call != NULL)
		sim->on_call(sim->arg, call, name);
	for (i = KV_LOCK_LOG; i < KV_LOCK_COUNT; i++)
		if (st->held[i])
			sim_give_up("I/O under a lock that excludes it", name);
	sim->calls[call]++;
	sim->io_calls++;
	if (st->die_in != SIM_NEVER && --st->die_in == 0)
	{
		void *stack[32];
		int n = backtrace(stack, 32);

		st->dead = true;
		st->death_place = XXH3_64bits(stack, (size_t) n * sizeof(void *));
	}
	if (st->dead)
	{
		st->die_in = SIM_NEVER;
		return sim_fault_status(KV_IO_ERROR, name, err);
	}
	*fault = sim_due_fault(sim, call);
	if (*fault != NULL && (*fault)->done == SIM_NOTHING && call != SIM_SYNC)
		return sim_fault_status((*fault)->status, name, err);
	return KV_OK;
}

static KvStatus
finish(const SimFault *fault, const char *name, KvError *err)
{
	return fault == NULL ? KV_OK : sim_fault_status(fault->status, name, err);
}

/* For calls that are done whole or not at all. */
static bool
half_done(const SimFault *fault)
{
	return fault != NULL && fault->done == SIM_PARTLY;
}

void
sim_fail(SimEnv *sim, SimFault fault)
{
	struct SimState *st = sim->state;

	if (st->n_faults == SIM_MAX_FAULTS)
		sim_give_up("too many faults", "sim_fail");
	st->faults[st->n_faults++] = fault;
}

void
sim_clear_faults(SimEnv *sim)
{
	sim->state->n_faults = 0;
}

void
sim_die_at(SimEnv *sim, uint64_t nth)
{
	sim->state->die_in = nth;
}

bool
sim_dead(const SimEnv *sim)
{
	return sim->state->dead;
}

/* ---- files ---- */

static void
check_file(SimEnv *sim, const KvFile *file)
{
	if (file->alive != FILE_ALIVE)
		sim_give_up("use of a closed file", "?");
	if (file->ino >= 0 &&
		sim_disk_find(sim->state->disk, file->name) != file->ino)
		sim_give_up("file is used after its name went away", file->name);
}

static void
check_named(const KvFile *file)
{
	if (file->ino < 0)
		sim_give_up("a temporary file is not for this", file->name);
}

static KvFile *
new_file(SimEnv *sim, const char *name, int ino, bool writable)
{
	struct SimState *st = sim->state;
	KvFile *f = calloc(1, sizeof(*f));

	if (f == NULL)
		sim_give_up("out of memory", name);
	f->alive = FILE_ALIVE;
	f->ino = ino;
	f->writable = writable;
	(void) snprintf(f->name, sizeof(f->name), "%s", name);
	f->next = st->files;
	if (f->next != NULL)
		f->next->prev = f;
	st->files = f;
	sim->open_files++;
	return f;
}

KvStatus
sim_open(KvEnv *env, const char *name, int flags, KvFile **file, KvError *err)
{
	SimEnv *sim = sim_of(env);
	struct SimState *st = sim->state;
	const SimFault *fault;
	KvStatus status;
	int ino;

	status = begin(sim, SIM_OPEN, name, &fault, err);
	if (status != KV_OK)
		return status;
	ino = sim_disk_find(st->disk, name);
	if (flags & KV_OPEN_CREATE)
	{
		if (!(flags & KV_OPEN_WRITE))
			sim_give_up("KV_OPEN_CREATE without KV_OPEN_WRITE", name);
		if (ino >= 0)
			return kv_fail(err, KV_EXISTS, "file \"%s\" exists", name);
		if (!half_done(fault))
			ino = sim_disk_create(st->disk, name);
	}
	else if (ino < 0)
		return kv_fail(err, KV_NOT_FOUND, "file \"%s\" is missing", name);
	if (fault != NULL)
		return finish(fault, name, err);

	*file = new_file(sim, name, ino, (flags & KV_OPEN_WRITE) != 0);
	sim_disk_open(st->disk, ino);
	return KV_OK;
}

KvStatus
sim_open_temp(KvEnv *env, KvFile **file, KvError *err)
{
	SimEnv *sim = sim_of(env);
	const SimFault *fault;
	KvStatus status = begin(sim, SIM_OPEN, "(temporary)", &fault, err);

	if (status != KV_OK)
		return status;
	if (fault != NULL)
		return finish(fault, "(temporary)", err);
	*file = new_file(sim, "(temporary)", -1, true);
	return KV_OK;
}

void
sim_close(KvEnv *env, KvFile *file)
{
	SimEnv *sim = sim_of(env);

	if (file->alive != FILE_ALIVE)
		sim_give_up("file is closed twice", "?");
	file->alive = 0;
	if (file->prev != NULL)
		file->prev->next = file->next;
	else
		sim->state->files = file->next;
	if (file->next != NULL)
		file->next->prev = file->prev;
	if (file->ino >= 0)
		sim_disk_close(sim->state->disk, file->ino);
	sim->state->temp_bytes -= file->temp_size;
	free(file->temp);
	sim->open_files--;
	free(file);
}

static uint64_t
size_of(SimEnv *sim, const KvFile *file)
{
	return file->ino < 0 ? file->temp_size
						 : sim_disk_size(sim->state->disk, file->ino);
}

static size_t
read_file(SimEnv *sim, const KvFile *file, void *buf, size_t len, uint64_t off)
{
	if (file->ino >= 0)
		return sim_disk_read(sim->state->disk, file->ino, buf, len, off);
	if (off >= file->temp_size)
		return 0;
	if (len > file->temp_size - off)
		len = (size_t) (file->temp_size - off);
	memcpy(buf, file->temp + off, len);
	return len;
}

static void
write_file(SimEnv *sim, KvFile *file, const void *buf, size_t len, uint64_t off)
{
	uint64_t end = off + len;

	if (file->ino >= 0)
	{
		sim_disk_write(sim->state->disk, file->ino, buf, len, off);
		return;
	}
	if (end > file->temp_size)
	{
		file->temp = realloc(file->temp, end);
		if (file->temp == NULL)
			sim_give_up("out of memory", file->name);
		memset(file->temp + file->temp_size, 0, end - file->temp_size);
		sim->state->temp_bytes += end - file->temp_size;
		file->temp_size = end;
	}
	memcpy(file->temp + off, buf, len);
}

KvStatus
sim_pread(KvEnv *env, KvFile *file, void *buf, size_t len, uint64_t off,
		  size_t *got, KvError *err)
{
	SimEnv *sim = sim_of(env);
	const SimFault *fault;
	KvStatus status;

	check_file(sim, file);
	status = begin(sim, SIM_PREAD, file->name, &fault, err);
	if (status != KV_OK)
		return status;
	*got = read_file(sim, file, buf, len, off);
	return finish(fault, file->name, err);
}

static bool
fits(SimEnv *sim, const KvFile *file, uint64_t end)
{
	uint64_t used = sim_disk_used(sim->state->disk) + sim->state->temp_bytes;
	uint64_t size = size_of(sim, file);

	return end <= size || sim->disk_limit == UINT64_MAX ||
		   used + (end - size) <= sim->disk_limit;
}

KvStatus
sim_pwrite(KvEnv *env, KvFile *file, const void *buf, size_t len, uint64_t off,
		   KvError *err)
{
	SimEnv *sim = sim_of(env);
	struct SimState *st = sim->state;
	const SimFault *fault;
	KvStatus status;
	bool full;

	check_file(sim, file);
	if (!file->writable)
		sim_give_up("write to a file opened for reading", file->name);
	status = begin(sim, SIM_PWRITE, file->name, &fault, err);
	if (status != KV_OK)
		return status;
	full = !fits(sim, file, off + len);
	if (full || half_done(fault))
		len = len > 0 ? sim_random(&st->disk_rng) % len : 0;
	/* on a full disk not even the part may fit */
	if (fits(sim, file, off + len))
	{
		write_file(sim, file, buf, len, off);
		sim->bytes_written += len;
	}
	sim->fired_full += full;
	if (full)
		return sim_fault_status(KV_DISK_FULL, file->name, err);
	return finish(fault, file->name, err);
}

KvStatus
sim_sync(KvEnv *env, KvFile *file, KvError *err)
{
	SimEnv *sim = sim_of(env);
	struct SimState *st = sim->state;
	const SimFault *fault;
	KvStatus status;

	check_file(sim, file);
	check_named(file);
	status = begin(sim, SIM_SYNC, file->name, &fault, err);
	if (status != KV_OK)
		return status;
	if (fault != NULL && fault->done != SIM_ALL)
		sim_disk_sync_failed(st->disk, file->ino, &st->disk_rng);
	else
		sim_disk_sync(st->disk, file->ino);
	return finish(fault, file->name, err);
}

KvStatus
sim_preallocate(KvEnv *env, KvFile *file, uint64_t size, KvError *err)
{
	SimEnv *sim = sim_of(env);
	const SimFault *fault;
	KvStatus status;

	check_file(sim, file);
	check_named(file);
	status = begin(sim, SIM_PREALLOCATE, file->name, &fault, err);
	if (status != KV_OK)
		return status;
	if (!fits(sim, file, size))
	{
		sim->fired_full++;
		return sim_fault_status(KV_DISK_FULL, file->name, err);
	}
	if (!half_done(fault))
		sim_disk_extend(sim->state->disk, file->ino, size);
	return finish(fault, file->name, err);
}

KvStatus
sim_size(KvEnv *env, KvFile *file, uint64_t *size, KvError *err)
{
	SimEnv *sim = sim_of(env);
	const SimFault *fault;
	KvStatus status;

	check_file(sim, file);
	status = begin(sim, SIM_SIZE, file->name, &fault, err);
	if (status != KV_OK)
		return status;
	*size = size_of(sim, file);
	return finish(fault, file->name, err);
}

KvStatus
sim_link(KvEnv *env, const char *from, const char *to, KvError *err)
{
	SimEnv *sim = sim_of(env);
	SimDisk *disk = sim->state->disk;
	const SimFault *fault;
	KvStatus status;

	status = begin(sim, SIM_LINK, to, &fault, err);
	if (status != KV_OK)
		return status;
	if (sim_disk_find(disk, from) < 0)
		return kv_fail(err, KV_NOT_FOUND, "file \"%s\" is missing", from);
	if (sim_disk_find(disk, to) >= 0)
		return kv_fail(err, KV_EXISTS, "file \"%s\" exists", to);
	if (!half_done(fault))
		sim_disk_link(disk, sim_disk_find(disk, from), to);
	return finish(fault, to, err);
}

KvStatus
sim_rename(KvEnv *env, const char *from, const char *to, KvError *err)
{
	SimEnv *sim = sim_of(env);
	SimDisk *disk = sim->state->disk;
	const SimFault *fault;
	KvStatus status;

	status = begin(sim, SIM_RENAME, to, &fault, err);
	if (status != KV_OK)
		return status;
	if (sim_disk_find(disk, from) < 0)
		return kv_fail(err, KV_NOT_FOUND, "file \"%s\" is missing", from);
	if (!half_done(fault))
		sim_disk_rename(disk, from, to);
	return finish(fault, to, err);
}

KvStatus
sim_unlink(KvEnv *env, const char *name, KvError *err)
{
	SimEnv *sim = sim_of(env);
	const SimFault *fault;
	KvStatus status;

	status = begin(sim, SIM_UNLINK, name, &fault, err);
	if (status != KV_OK)
		return status;
	if (sim_disk_find(sim->state->disk, name) < 0)
		return kv_fail(err, KV_NOT_FOUND, "file \"%s\" is missing", name);
	if (!half_done(fault))
		sim_disk_unlink(sim->state->disk, name);
	return finish(fault, name, err);
}

KvStatus
sim_sync_dir(KvEnv *env, KvError *err)
{
	SimEnv *sim = sim_of(env);
	const SimFault *fault;
	KvStatus status;

	status = begin(sim, SIM_SYNC_DIR, "folder", &fault, err);
	if (status != KV_OK)
		return status;
	if (!half_done(fault))
		sim_disk_sync_dir(sim->state->disk);
	return finish(fault, "folder", err);
}

KvStatus
sim_list(KvEnv *env, bool (*fn)(void *arg, const char *name), void *arg,
		 KvError *err)
{
	SimEnv *sim = sim_of(env);
	const SimFault *fault;
	KvStatus status;
	char(*names)[64];
	size_t i, n = 0;
	uint64_t first;

	status = begin(sim, SIM_LIST, "folder", &fault, err);
	if (status != KV_OK)
		return status;
	/* fn may change the folder; the order is nobody's business */
	while (sim_disk_name(sim->state->disk, n) != NULL)
		n++;
	names = calloc(n + 1, sizeof(*names));
	if (names == NULL)
		sim_give_up("out of memory", "list");
	first = n > 0 ? sim_random(&sim->state->disk_rng) % n : 0;
	for (i = 0; i < n; i++)
		(void) snprintf(names[i], sizeof(names[i]), "%s",
						sim_disk_name(sim->state->disk, (i + first) % n));
	if (half_done(fault))
		n /= 2;
	for (i = 0; i < n; i++)
		if (!fn(arg, names[i]))
			break;
	free(names);
	return finish(fault, "folder", err);
}
