/* SPDX-License-Identifier: PostgreSQL */
/*
 * env_bench.c - see env_bench.h.
 *
 * No host log, no transactions: what is written is visible at once, and a
 * version that a newer one hides is of no use to anyone.
 */
#include "env_bench.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define SECONDS_1970_TO_2000 INT64_C(946684800)

struct KvFile
{
	int fd;
	char name[64];
};

typedef struct Wakeup
{
	pthread_mutex_t mutex;
	pthread_cond_t cond;
	_Atomic bool pending;
} Wakeup;

typedef struct BenchEnv
{
	KvEnv env; /* first */
	char dir[4096];
	int dir_fd;
	pthread_rwlock_t locks[KV_LOCK_COUNT];
	Wakeup wakeups[3]; /* by KvKick */
	_Atomic uint64_t random_state;
} BenchEnv;

static BenchEnv *
bench_env(KvEnv *env)
{
	return (BenchEnv *) env;
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
	return kv_fail(err, status, "could not %s \"%s\": %s", what, name,
				   strerror(code));
}

/* ---- files */

static KvStatus
env_open(KvEnv *env, const char *name, int flags, KvFile **file, KvError *err)
{
	int os_flags = O_CLOEXEC | (flags & KV_OPEN_WRITE ? O_RDWR : O_RDONLY);
	KvFile *f = malloc(sizeof(*f));

	if (f == NULL)
		return os_fail(err, ENOMEM, "open", name);
	if (flags & KV_OPEN_CREATE)
		os_flags |= O_CREAT | O_EXCL;
	f->fd = openat(bench_env(env)->dir_fd, name, os_flags, 0600);
	if (f->fd < 0)
	{
		int code = errno;

		free(f);
		return os_fail(err, code, "open", name);
	}
	(void) snprintf(f->name, sizeof(f->name), "%s", name);
	*file = f;
	return KV_OK;
}

static void
env_close(KvEnv *env, KvFile *file)
{
	(void) env;
	(void) close(file->fd);
	free(file);
}

static KvStatus
env_pread(KvEnv *env, KvFile *file, void *buf, size_t len, uint64_t off,
		  size_t *got, KvError *err)
{
	size_t done = 0;

	(void) env;
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
	return KV_OK;
}

static KvStatus
env_pwrite(KvEnv *env, KvFile *file, const void *buf, size_t len, uint64_t off,
		   KvError *err)
{
	size_t done = 0;

	(void) env;
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
	return KV_OK;
}

static KvStatus
env_sync(KvEnv *env, KvFile *file, KvError *err)
{
	(void) env;
	if (fdatasync(file->fd) != 0)
		return os_fail(err, errno, "sync", file->name);
	return KV_OK;
}

static void
env_write_back(KvEnv *env, KvFile *file, uint64_t off, uint64_t len)
{
	(void) env;
	(void) sync_file_range(file->fd, (off_t) off, (off_t) len,
						   SYNC_FILE_RANGE_WRITE);
}

static KvStatus
env_preallocate(KvEnv *env, KvFile *file, uint64_t size, KvError *err)
{
	off_t old = lseek(file->fd, 0, SEEK_END);
	int code = 0;

	(void) env;
	if (old >= 0 && (uint64_t) old < size)
		code = posix_fallocate(file->fd, old, (off_t) size - old);
	if (code == 0 || code == EOPNOTSUPP || code == EINVAL)
		return KV_OK;
	return os_fail(err, code, "extend", file->name);
}

static KvStatus
env_size(KvEnv *env, KvFile *file, uint64_t *size, KvError *err)
{
	struct stat st;

	(void) env;
	if (fstat(file->fd, &st) != 0)
		return os_fail(err, errno, "stat", file->name);
	*size = (uint64_t) st.st_size;
	return KV_OK;
}

static KvStatus
env_link(KvEnv *env, const char *from, const char *to, KvError *err)
{
	int dir_fd = bench_env(env)->dir_fd;

	if (linkat(dir_fd, from, dir_fd, to, 0) != 0)
		return os_fail(err, errno, "link", to);
	return KV_OK;
}

static KvStatus
env_rename(KvEnv *env, const char *from, const char *to, KvError *err)
{
	int dir_fd = bench_env(env)->dir_fd;

	if (renameat(dir_fd, from, dir_fd, to) != 0)
		return os_fail(err, errno, "rename", from);
	return KV_OK;
}

static KvStatus
env_unlink(KvEnv *env, const char *name, KvError *err)
{
	if (unlinkat(bench_env(env)->dir_fd, name, 0) != 0)
		return os_fail(err, errno, "remove", name);
	return KV_OK;
}

static KvStatus
env_sync_dir(KvEnv *env, KvError *err)
{
	if (fsync(bench_env(env)->dir_fd) != 0)
		return os_fail(err, errno, "sync", bench_env(env)->dir);
	return KV_OK;
}

static KvStatus
env_list(KvEnv *env, bool (*fn)(void *arg, const char *name), void *arg,
		 KvError *err)
{
	DIR *dir = opendir(bench_env(env)->dir);
	struct dirent *entry;

	if (dir == NULL)
		return os_fail(err, errno, "list", bench_env(env)->dir);
	while ((entry = readdir(dir)) != NULL)
		if (strcmp(entry->d_name, ".") != 0 &&
			strcmp(entry->d_name, "..") != 0 && !fn(arg, entry->d_name))
			break;
	(void) closedir(dir);
	return KV_OK;
}

/* ---- memory and locks */

static void *
env_alloc(KvEnv *env, size_t size)
{
	(void) env;
	return malloc(size > 0 ? size : 1);
}

static void *
env_realloc(KvEnv *env, void *ptr, size_t size)
{
	(void) env;
	return realloc(ptr, size > 0 ? size : 1);
}

static void
env_free(KvEnv *env, void *ptr)
{
	(void) env;
	free(ptr);
}

static void
env_lock(KvEnv *env, int lock_id, bool exclusive)
{
	pthread_rwlock_t *lock = &bench_env(env)->locks[lock_id];

	if (exclusive)
		(void) pthread_rwlock_wrlock(lock);
	else
		(void) pthread_rwlock_rdlock(lock);
}

static void
env_unlock(KvEnv *env, int lock_id)
{
	(void) pthread_rwlock_unlock(&bench_env(env)->locks[lock_id]);
}

static bool
env_lock_held(KvEnv *env, int lock_id)
{
	(void) env;
	(void) lock_id;
	return true; /* asked by assertions only */
}

/* ---- waking and waiting */

static void
env_kick(KvEnv *env, KvKick whom)
{
	Wakeup *w = &bench_env(env)->wakeups[whom];

	if (atomic_load_explicit(&w->pending, memory_order_relaxed))
		return;
	(void) pthread_mutex_lock(&w->mutex);
	atomic_store(&w->pending, true);
	(void) pthread_cond_broadcast(&w->cond);
	(void) pthread_mutex_unlock(&w->mutex);
}

void
bench_env_wait(KvEnv *env, KvKick whom, double seconds)
{
	Wakeup *w = &bench_env(env)->wakeups[whom];
	struct timespec until;

	(void) clock_gettime(CLOCK_REALTIME, &until);
	until.tv_nsec += (long) (seconds * 1e9) % 1000000000;
	until.tv_sec += (time_t) seconds + until.tv_nsec / 1000000000;
	until.tv_nsec %= 1000000000;
	(void) pthread_mutex_lock(&w->mutex);
	while (!atomic_load(&w->pending))
		if (pthread_cond_timedwait(&w->cond, &w->mutex, &until) == ETIMEDOUT)
			break;
	atomic_store(&w->pending, false);
	(void) pthread_mutex_unlock(&w->mutex);
}

static bool
env_poll(KvEnv *env)
{
	(void) env;
	return false;
}

/* ---- the rest of the world */

static int64_t
env_now_us(KvEnv *env)
{
	struct timespec ts;

	(void) env;
	(void) clock_gettime(CLOCK_REALTIME, &ts);
	return ((int64_t) ts.tv_sec - SECONDS_1970_TO_2000) * 1000000 +
		   ts.tv_nsec / 1000;
}

static uint64_t
env_random(KvEnv *env)
{
	uint64_t state = atomic_fetch_add(&bench_env(env)->random_state, 1);

	return bench_random(&state);
}

static KvXactState
env_xact_state(KvEnv *env, uint64_t xid)
{
	(void) env;
	(void) xid;
	return KV_XACT_COMMITTED;
}

static void
env_horizon(KvEnv *env, KvHorizon *horizon)
{
	horizon->xid = UINT64_MAX;
	horizon->csn = UINT64_MAX;
	horizon->now_us = env_now_us(env);
}

static KvStatus
env_flush_host_log(KvEnv *env, uint64_t lsn, KvError *err)
{
	(void) env;
	(void) lsn;
	(void) err;
	return KV_OK;
}

static bool
env_backup_running(KvEnv *env)
{
	(void) env;
	return false;
}

static void
env_log(KvEnv *env, KvLogLevel level, const char *message)
{
	(void) env;
	if (level == KV_LOG_WARNING)
		fprintf(stderr, "kvlsm: %s\n", message);
}

static void
env_stop(KvEnv *env, const char *name)
{
	(void) env;
	(void) name;
}

static const KvEnvOps bench_ops = {
	.open = env_open,
	.close = env_close,
	.pread = env_pread,
	.pwrite = env_pwrite,
	.sync = env_sync,
	.write_back = env_write_back,
	.preallocate = env_preallocate,
	.size = env_size,
	.link = env_link,
	.rename = env_rename,
	.unlink = env_unlink,
	.sync_dir = env_sync_dir,
	.list = env_list,
	.alloc = env_alloc,
	.realloc = env_realloc,
	.free = env_free,
	.lock = env_lock,
	.unlock = env_unlock,
	.lock_held = env_lock_held,
	.kick = env_kick,
	.poll = env_poll,
	.now_us = env_now_us,
	.random = env_random,
	.xact_state = env_xact_state,
	.horizon = env_horizon,
	.flush_host_log = env_flush_host_log,
	.backup_running = env_backup_running,
	.log = env_log,
	.stop = env_stop,
};

KvEnv *
bench_env_open(const char *dir)
{
	BenchEnv *benv = calloc(1, sizeof(*benv));
	int i;

	if (benv == NULL)
		bench_die(dir, "out of memory");
	benv->env.ops = &bench_ops;
	(void) snprintf(benv->dir, sizeof(benv->dir), "%s", dir);
	benv->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (benv->dir_fd < 0)
		bench_die(dir, strerror(errno));
	for (i = 0; i < KV_LOCK_COUNT; i++)
		(void) pthread_rwlock_init(&benv->locks[i], NULL);
	for (i = 0; i < 3; i++)
	{
		(void) pthread_mutex_init(&benv->wakeups[i].mutex, NULL);
		(void) pthread_cond_init(&benv->wakeups[i].cond, NULL);
	}
	atomic_store(&benv->random_state,
				 (uint64_t) getpid() ^ (uint64_t) env_now_us(&benv->env));
	return &benv->env;
}

void
bench_env_close(KvEnv *env)
{
	(void) close(bench_env(env)->dir_fd);
	free(env);
}
