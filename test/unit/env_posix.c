/* SPDX-License-Identifier: PostgreSQL */
/*
 * env_posix.c - a KvEnv over a real folder, for tests and benchmarks.
 *
 * Not part of the extension.  One process, any number of threads.
 */
#include "env_posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SECONDS_1970_TO_2000 INT64_C(946684800)

struct KvFile
{
	int fd;
	char name[64];
};

/* Which locks this thread holds, of any environment. */
#define MAX_HELD 64
static _Thread_local struct
{
	const KvEnv *env;
	int lock_id;
} held[MAX_HELD];
static _Thread_local int n_held;

static PosixEnv *
posix_env(KvEnv *env)
{
	return (PosixEnv *) env;
}

static KvStatus
os_fail(KvError *err, int code, const char *what, const char *name)
{
	KvStatus status = KV_IO_ERROR;

	if (code == ENOSPC || code == EDQUOT)
		status = KV_DISK_FULL;
	else if (code == ENOENT)
		status = KV_NOT_FOUND;
	else if (code == EEXIST)
		status = KV_EXISTS;
	else if (code == ENOMEM)
		status = KV_NO_MEMORY;
	(void) kv_fail(err, status, "could not %s \"%s\": %s", what, name,
				   strerror(code));
	if (err != NULL)
		err->os_errno = code;
	return status;
}

/* ---- files ---- */

static KvStatus
posix_open(KvEnv *env, const char *name, int flags, KvFile **file, KvError *err)
{
	PosixEnv *penv = posix_env(env);
	int os_flags = O_CLOEXEC | O_NOFOLLOW;
	KvFile *f;

	os_flags |= flags & KV_OPEN_WRITE ? O_RDWR : O_RDONLY;
	if (flags & KV_OPEN_CREATE)
		os_flags |= O_CREAT | O_EXCL;
	f = malloc(sizeof(*f));
	if (f == NULL)
		return os_fail(err, ENOMEM, "open", name);
	f->fd = openat(penv->dir_fd, name, os_flags, 0600);
	if (f->fd < 0)
	{
		int code = errno;

		free(f);
		return os_fail(err, code, "open", name);
	}
	(void) snprintf(f->name, sizeof(f->name), "%s", name);
	atomic_fetch_add(&penv->live_files, 1);
	*file = f;
	return KV_OK;
}

static KvStatus
posix_open_temp(KvEnv *env, KvFile **file, KvError *err)
{
	static _Atomic uint64_t number;
	PosixEnv *penv = posix_env(env);
	char name[64];
	KvStatus status;

	(void) snprintf(name, sizeof(name), "temp-%" PRIu64,
					atomic_fetch_add(&number, 1));
	status = posix_open(env, name, KV_OPEN_WRITE | KV_OPEN_CREATE, file, err);
	if (status == KV_OK)
		(void) unlinkat(penv->dir_fd, name, 0);
	return status;
}

static void
posix_close(KvEnv *env, KvFile *file)
{
	(void) close(file->fd);
	free(file);
	atomic_fetch_sub(&posix_env(env)->live_files, 1);
}

static KvStatus
posix_pread(KvEnv *env, KvFile *file, void *buf, size_t len, uint64_t off,
			size_t *got, KvError *err)
{
	size_t done = 0;

	while (done < len)
	{
		ssize_t n = pread(file->fd, (char *) buf + done, len - done,
						  (off_t) (off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return os_fail(err, errno, "read", file->name);
		if (n == 0)
			break;
		done += (size_t) n;
	}
	*got = done;
	atomic_fetch_add(&posix_env(env)->preads, 1);
	atomic_fetch_add(&posix_env(env)->pread_bytes, done);
	return KV_OK;
}

static KvStatus
posix_pwrite(KvEnv *env, KvFile *file, const void *buf, size_t len,
			 uint64_t off, KvError *err)
{
	size_t done = 0;

	while (done < len)
	{
		ssize_t n = pwrite(file->fd, (const char *) buf + done, len - done,
						   (off_t) (off + done));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return os_fail(err, n < 0 ? errno : ENOSPC, "write", file->name);
		done += (size_t) n;
	}
	atomic_fetch_add(&posix_env(env)->pwrite_bytes, len);
	return KV_OK;
}

static KvStatus
posix_sync(KvEnv *env, KvFile *file, KvError *err)
{
	PosixEnv *penv = posix_env(env);

	atomic_fetch_add(&penv->syncs, 1);
	if (!penv->no_sync && fdatasync(file->fd) != 0)
		return os_fail(err, errno, "sync", file->name);
	return KV_OK;
}

static void
posix_write_back(KvEnv *env, KvFile *file, uint64_t off, uint64_t len)
{
	(void) env;
	(void) sync_file_range(file->fd, (off_t) off, (off_t) len,
						   SYNC_FILE_RANGE_WRITE);
}

static KvStatus
posix_preallocate(KvEnv *env, KvFile *file, uint64_t size, KvError *err)
{
	int code;

	(void) env;
	if (size == 0)
		return KV_OK;
	code = posix_fallocate(file->fd, 0, (off_t) size);
	if (code == EOPNOTSUPP || code == EINVAL)
		return KV_OK;
	return code == 0 ? KV_OK : os_fail(err, code, "extend", file->name);
}

static KvStatus
posix_size(KvEnv *env, KvFile *file, uint64_t *size, KvError *err)
{
	struct stat st;

	(void) env;
	if (fstat(file->fd, &st) != 0)
		return os_fail(err, errno, "stat", file->name);
	*size = (uint64_t) st.st_size;
	return KV_OK;
}

static KvStatus
posix_link(KvEnv *env, const char *from, const char *to, KvError *err)
{
	int dir_fd = posix_env(env)->dir_fd;

	if (linkat(dir_fd, from, dir_fd, to, 0) != 0)
		return os_fail(err, errno, "link", to);
	return KV_OK;
}

static KvStatus
posix_rename(KvEnv *env, const char *from, const char *to, KvError *err)
{
	int dir_fd = posix_env(env)->dir_fd;

	if (renameat(dir_fd, from, dir_fd, to) != 0)
		return os_fail(err, errno, "rename", from);
	return KV_OK;
}

static KvStatus
posix_unlink(KvEnv *env, const char *name, KvError *err)
{
	if (unlinkat(posix_env(env)->dir_fd, name, 0) != 0)
		return os_fail(err, errno, "remove", name);
	return KV_OK;
}

static KvStatus
posix_sync_dir(KvEnv *env, KvError *err)
{
	PosixEnv *penv = posix_env(env);

	atomic_fetch_add(&penv->dir_syncs, 1);
	if (!penv->no_sync && fsync(penv->dir_fd) != 0)
		return os_fail(err, errno, "sync", penv->dir);
	return KV_OK;
}

static KvStatus
posix_list(KvEnv *env, bool (*fn)(void *arg, const char *name), void *arg,
		   KvError *err)
{
	PosixEnv *penv = posix_env(env);
	DIR *dir = opendir(penv->dir);
	struct dirent *entry;
	int code;

	if (dir == NULL)
		return os_fail(err, errno, "list", penv->dir);
	for (;;)
	{
		errno = 0;
		entry = readdir(dir);
		if (entry == NULL)
			break;
		if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
			continue;
		if (!fn(arg, entry->d_name))
		{
			errno = 0;
			break;
		}
	}
	code = errno;
	(void) closedir(dir);
	return code == 0 ? KV_OK : os_fail(err, code, "list", penv->dir);
}

/* ---- memory ---- */

static bool
may_allocate(PosixEnv *penv)
{
	int64_t budget = atomic_load(&penv->alloc_budget);

	while (budget >= 0)
	{
		if (budget == 0)
			return false;
		if (atomic_compare_exchange_weak(&penv->alloc_budget, &budget,
										 budget - 1))
			return true;
	}
	return true;
}

static void *
posix_alloc(KvEnv *env, size_t size)
{
	PosixEnv *penv = posix_env(env);
	void *p = may_allocate(penv) ? malloc(size > 0 ? size : 1) : NULL;

	if (p != NULL)
		atomic_fetch_add(&penv->live_allocs, 1);
	return p;
}

static void *
posix_realloc(KvEnv *env, void *ptr, size_t size)
{
	PosixEnv *penv = posix_env(env);

	if (ptr == NULL)
		return posix_alloc(env, size);
	return may_allocate(penv) ? realloc(ptr, size > 0 ? size : 1) : NULL;
}

static void
posix_free(KvEnv *env, void *ptr)
{
	if (ptr == NULL)
		return;
	free(ptr);
	atomic_fetch_sub(&posix_env(env)->live_allocs, 1);
}

/* ---- locks ---- */

static void
lock_abort(const char *what, int lock_id)
{
	fprintf(stderr, "env_posix: lock %d %s\n", lock_id, what);
	abort();
}

static bool
posix_lock_held(KvEnv *env, int lock_id)
{
	int i;

	for (i = 0; i < n_held; i++)
		if (held[i].env == env && held[i].lock_id == lock_id)
			return true;
	return false;
}

static void
posix_lock(KvEnv *env, int lock_id, bool exclusive)
{
	pthread_rwlock_t *lock = &posix_env(env)->locks[lock_id];
	int i;

	for (i = 0; i < n_held; i++)
		if (held[i].env == env && held[i].lock_id >= lock_id)
			lock_abort("taken twice or against the order", lock_id);
	if (n_held == MAX_HELD)
		lock_abort("is one too many", lock_id);
	if ((exclusive ? pthread_rwlock_wrlock(lock)
				   : pthread_rwlock_rdlock(lock)) != 0)
		lock_abort("cannot be taken", lock_id);
	held[n_held].env = env;
	held[n_held].lock_id = lock_id;
	n_held++;
}

static void
posix_unlock(KvEnv *env, int lock_id)
{
	int i;

	for (i = 0; i < n_held; i++)
		if (held[i].env == env && held[i].lock_id == lock_id)
			break;
	if (i == n_held)
		lock_abort("released but not held", lock_id);
	held[i] = held[--n_held];
	(void) pthread_rwlock_unlock(&posix_env(env)->locks[lock_id]);
}

/* ---- the rest of the world ---- */

static void
posix_kick(KvEnv *env, KvKick whom)
{
	atomic_fetch_add(&posix_env(env)->kicks[whom], 1);
}

static bool
posix_poll(KvEnv *env)
{
	return atomic_load(&posix_env(env)->interrupt);
}

static int64_t
posix_now_us(KvEnv *env)
{
	int64_t injected = atomic_load(&posix_env(env)->clock_us);
	struct timespec ts;

	if (injected != 0)
		return injected;
	(void) clock_gettime(CLOCK_REALTIME, &ts);
	return ((int64_t) ts.tv_sec - SECONDS_1970_TO_2000) * 1000000 +
		   ts.tv_nsec / 1000;
}

/* splitmix64 */
static uint64_t
posix_random(KvEnv *env)
{
	uint64_t z = atomic_fetch_add(&posix_env(env)->random_state,
								  UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

static KvXactState
posix_xact_state(KvEnv *env, uint64_t xid)
{
	PosixEnv *penv = posix_env(env);

	return penv->xact_state != NULL ? penv->xact_state(penv->arg, xid)
									: KV_XACT_COMMITTED;
}

static void
posix_horizon(KvEnv *env, KvHorizon *horizon)
{
	PosixEnv *penv = posix_env(env);

	*horizon = penv->get_horizon != NULL ? penv->get_horizon(penv->arg)
										 : penv->horizon;
	if (horizon->now_us == 0)
		horizon->now_us = posix_now_us(env);
}

static KvStatus
posix_flush_host_log(KvEnv *env, uint64_t lsn, KvError *err)
{
	PosixEnv *penv = posix_env(env);

	(void) err;
	atomic_fetch_add(&penv->host_flushes, 1);
	atomic_store(&penv->last_flush_lsn, lsn);
	return KV_OK;
}

static bool
posix_backup_running(KvEnv *env)
{
	return atomic_load(&posix_env(env)->backup);
}

static void
posix_log(KvEnv *env, KvLogLevel level, const char *message)
{
	static const char *const names[] = {"debug", "info", "warning"};
	PosixEnv *penv = posix_env(env);

	if (level == KV_LOG_WARNING)
		atomic_fetch_add(&penv->warnings, 1);
	if (!penv->quiet && level != KV_LOG_DEBUG)
		fprintf(stderr, "%s: %s\n", names[level], message);
}

static void
posix_stop(KvEnv *env, const char *name)
{
	PosixEnv *penv = posix_env(env);

	if (penv->stop != NULL)
		penv->stop(penv->arg, name);
}

static const KvEnvOps posix_ops = {
	.open = posix_open,
	.open_temp = posix_open_temp,
	.close = posix_close,
	.pread = posix_pread,
	.pwrite = posix_pwrite,
	.sync = posix_sync,
	.write_back = posix_write_back,
	.preallocate = posix_preallocate,
	.size = posix_size,
	.link = posix_link,
	.rename = posix_rename,
	.unlink = posix_unlink,
	.sync_dir = posix_sync_dir,
	.list = posix_list,
	.alloc = posix_alloc,
	.realloc = posix_realloc,
	.free = posix_free,
	.lock = posix_lock,
	.unlock = posix_unlock,
	.lock_held = posix_lock_held,
	.kick = posix_kick,
	.poll = posix_poll,
	.now_us = posix_now_us,
	.random = posix_random,
	.xact_state = posix_xact_state,
	.horizon = posix_horizon,
	.flush_host_log = posix_flush_host_log,
	.backup_running = posix_backup_running,
	.log = posix_log,
	.stop = posix_stop,
};

/* ---- the test's side ---- */

static void
give_up(const char *what, const char *name)
{
	fprintf(stderr, "env_posix: could not %s \"%s\": %s\n", what, name,
			strerror(errno));
	abort();
}

PosixEnv *
posix_env_open(const char *dir)
{
	PosixEnv *penv = calloc(1, sizeof(*penv));
	uint64_t seed = 1;
	int i;

	if (penv == NULL)
		give_up("allocate for", dir);
	penv->env.ops = &posix_ops;
	(void) snprintf(penv->dir, sizeof(penv->dir), "%s", dir);
	if (mkdir(dir, 0700) != 0 && errno != EEXIST)
		give_up("create", dir);
	penv->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (penv->dir_fd < 0)
		give_up("open", dir);
	for (i = 0; i < KV_LOCK_COUNT; i++)
		(void) pthread_rwlock_init(&penv->locks[i], NULL);
	if (getrandom(&seed, sizeof(seed), 0) != (ssize_t) sizeof(seed))
		seed = (uint64_t) getpid();
	atomic_store(&penv->random_state, seed);
	atomic_store(&penv->alloc_budget, -1);
	penv->horizon.csn = UINT64_MAX;
	penv->horizon.xid = UINT64_MAX;
	return penv;
}

PosixEnv *
posix_env_open_temp(void)
{
	const char *tmp = getenv("TMPDIR");
	char path[4096];

	(void) snprintf(path, sizeof(path), "%s/kvlsm-test.XXXXXX",
					tmp != NULL && tmp[0] != '\0' ? tmp : "/tmp");
	if (mkdtemp(path) == NULL)
		give_up("create", path);
	return posix_env_open(path);
}

void
posix_env_close(PosixEnv *penv)
{
	int i;

	for (i = 0; i < KV_LOCK_COUNT; i++)
		(void) pthread_rwlock_destroy(&penv->locks[i]);
	(void) close(penv->dir_fd);
	free(penv);
}

static bool
remove_one(void *arg, const char *name)
{
	PosixEnv *penv = arg;

	(void) unlinkat(penv->dir_fd, name, 0);
	return true;
}

void
posix_env_remove(PosixEnv *penv)
{
	(void) posix_list(&penv->env, remove_one, penv, NULL);
	(void) rmdir(penv->dir);
}
