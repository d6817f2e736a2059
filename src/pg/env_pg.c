/* SPDX-License-Identifier: PostgreSQL */
/*
 * env_pg.c - the engine's environment over fd.c, LWLocks and latches.
 *
 * Callbacks run inside the engine, which cannot be unwound: they never raise.
 * Where a PostgreSQL function might, the error is caught and turned into a
 * status.  A failed fsync is PANIC, as everywhere in PostgreSQL
 * (data_sync_elevel), and fsync = off is honoured.
 */
#include "kvlsm.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "access/xlog.h"
#include "access/xlog_internal.h"
#include "compat.h"
#include "miscadmin.h"
#include "postmaster/interrupt.h"
#include "storage/fd.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#define PATH_BYTES (sizeof(KVLSM_DIR) + 80)
#define MAX_CHUNK  (64 * 1024 * 1024) /* of one read or write call */

struct KvFile
{
	File vfd;
	bool temporary;
};

bool kvlsm_poll_enabled = true;
static MemoryContext env_context = NULL;

/* ---- errors */

static KvStatus
status_of_errno(int os_errno)
{
	switch (os_errno)
	{
	case ENOENT:
		return KV_NOT_FOUND;
	case EEXIST:
		return KV_EXISTS;
	case ENOSPC:
	case EDQUOT:
		return KV_DISK_FULL;
	case ENOMEM:
		return KV_NO_MEMORY;
	default:
		return KV_IO_ERROR;
	}
}

KvStatus
kvlsm_file_error(KvError *err, int os_errno, const char *action,
				 const char *name)
{
	KvStatus status = status_of_errno(os_errno);

	(void) kv_fail(err, status, "could not %s \"%s/%s\": %s", action,
				   KVLSM_DIR, name, strerror(os_errno));
	if (err != NULL)
		err->os_errno = os_errno;
	return status;
}

static KvStatus
open_file_error(KvError *err, int os_errno, const char *action,
				const KvFile *file)
{
	KvStatus status = status_of_errno(os_errno);

	(void) kv_fail(err, status, "could not %s \"%s\": %s", action,
				   FilePathName(file->vfd), strerror(os_errno));
	if (err != NULL)
		err->os_errno = os_errno;
	return status;
}

/*
 * Ends a PG_CATCH: forgets the error.  elog.c has set the hold-off count to
 * zero, but the engine may hold LWLocks, which count on it.
 */
static void
swallow_error(MemoryContext context, uint32 holdoff)
{
	MemoryContextSwitchTo(context);
	FlushErrorState();
	InterruptHoldoffCount = holdoff;
}

/* The error at hand, or NULL if there is no memory to copy it to. */
static ErrorData *
copy_error(void)
{
	ErrorData *volatile copy = NULL;

	PG_TRY();
	{
		copy = CopyErrorData();
	}
	PG_CATCH();
	{
		copy = NULL;
	}
	PG_END_TRY();
	return copy;
}

/*
 * Ends a PG_CATCH around fd.c's temporary files: the user gets to know what
 * the server said, temp_file_limit for instance, under its SQLSTATE.
 */
static KvStatus
temp_file_error(KvError *err, MemoryContext context, uint32 holdoff)
{
	ErrorData *data;
	KvStatus status;

	MemoryContextSwitchTo(context);
	data = copy_error();
	swallow_error(context, holdoff);
	if (data == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory");
	if (data->sqlerrcode == ERRCODE_CONFIGURATION_LIMIT_EXCEEDED)
		status = KV_DISK_FULL;
	else
		status = status_of_errno(data->saved_errno);
	if (status != KV_DISK_FULL && status != KV_NO_MEMORY)
		status = KV_IO_ERROR;
	(void) kv_fail(err, status, "%s", data->message);
	if (err != NULL)
	{
		err->os_errno = data->saved_errno;
		if (data->sqlerrcode != ERRCODE_INTERNAL_ERROR)
			err->host_code = data->sqlerrcode;
	}
	FreeErrorData(data);
	return status;
}

static const char *
path_of(char *path, const char *name)
{
	snprintf(path, PATH_BYTES, "%s/%s", KVLSM_DIR, name);
	return path;
}

/* ---- memory: a header keeps the size, for realloc */

#define HEADER_BYTES 16
/* From here on, pages of this size where the system grants them. */
#define LARGE_BYTES ((size_t) 4 << 20)
#define LARGE_PAGE	((uintptr_t) 2 << 20)

/*
 * A large transaction's writes are looked for all over their memory: with
 * small pages every look misses the TLB, and every page costs a fault.
 */
static void
ask_for_large_pages(char *p, size_t size)
{
#ifdef MADV_HUGEPAGE
	uintptr_t from = TYPEALIGN(LARGE_PAGE, (uintptr_t) p);
	uintptr_t to = TYPEALIGN_DOWN(LARGE_PAGE, (uintptr_t) p + size);

	if (size >= LARGE_BYTES && from < to)
		(void) madvise((void *) from, to - from, MADV_HUGEPAGE);
#endif
}

static void *
env_alloc(KvEnv *env, size_t size)
{
	char *p;

	if (size > MaxAllocHugeSize - HEADER_BYTES)
		return NULL;
	if (env_context == NULL)
		env_context = AllocSetContextCreate(TopMemoryContext, "kvlsm engine",
											ALLOCSET_DEFAULT_SIZES);
	p = MemoryContextAllocExtended(env_context, size + HEADER_BYTES,
								   MCXT_ALLOC_NO_OOM | MCXT_ALLOC_HUGE);
	if (p == NULL)
		return NULL;
	ask_for_large_pages(p, size);
	*(size_t *) p = size;
	return p + HEADER_BYTES;
}

static void
env_free(KvEnv *env, void *ptr)
{
	if (ptr != NULL)
		pfree((char *) ptr - HEADER_BYTES);
}

static void *
env_realloc(KvEnv *env, void *ptr, size_t size)
{
	size_t old;
	void *p;

	if (ptr == NULL)
		return env_alloc(env, size);
	old = *(size_t *) ((char *) ptr - HEADER_BYTES);
	p = env_alloc(env, size);
	if (p == NULL)
		return NULL;
	memcpy(p, ptr, Min(old, size));
	env_free(env, ptr);
	return p;
}

/* ---- files */

static KvStatus
env_open(KvEnv *env, const char *name, int flags, KvFile **file, KvError *err)
{
	char path[PATH_BYTES];
	const int os_flags = (flags & KV_OPEN_WRITE ? O_RDWR : O_RDONLY) |
						 (flags & KV_OPEN_CREATE ? O_CREAT | O_EXCL : 0) |
						 PG_BINARY;
	KvFile *f;
	volatile File vfd = -1;
	volatile int os_errno = 0;
	MemoryContext context = CurrentMemoryContext;
	uint32 holdoff = InterruptHoldoffCount;

	f = env_alloc(env, sizeof(KvFile));
	if (f == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory");

	PG_TRY();
	{
		vfd = PathNameOpenFile(path_of(path, name), os_flags);
		os_errno = errno;
	}
	PG_CATCH();
	{
		swallow_error(context, holdoff);
		os_errno = ENOMEM; /* no other reason to raise */
	}
	PG_END_TRY();
	if (vfd < 0)
	{
		env_free(env, f);
		return kvlsm_file_error(err, os_errno, "open file", name);
	}
	f->vfd = vfd;
	f->temporary = false;
	*file = f;
	return KV_OK;
}

/*
 * Not bound to a resource owner, which may end with a subtransaction: the
 * write set closes it.  fd.c removes it at exit, the postmaster after a crash.
 */
static KvStatus
env_open_temp(KvEnv *env, KvFile **file, KvError *err)
{
	KvFile *f = env_alloc(env, sizeof(KvFile));
	MemoryContext context = CurrentMemoryContext;
	uint32 holdoff = InterruptHoldoffCount;
	volatile KvStatus status = KV_OK;

	if (f == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory");
	PG_TRY();
	{
		f->vfd = OpenTemporaryFile(true);
	}
	PG_CATCH();
	{
		status = temp_file_error(err, context, holdoff);
	}
	PG_END_TRY();
	if (status != KV_OK)
	{
		env_free(env, f);
		return status;
	}
	f->temporary = true;
	*file = f;
	return KV_OK;
}

static void
env_close(KvEnv *env, KvFile *file)
{
	FileClose(file->vfd);
	env_free(env, file);
}

static KvStatus
env_pread(KvEnv *env, KvFile *file, void *buf, size_t len, uint64_t off,
		  size_t *got, KvError *err)
{
	KVLSM_WAIT_EVENT(wait_event, "KvlsmFileRead");
	size_t done = 0;

	while (done < len)
	{
		int n = FileRead(file->vfd, (char *) buf + done,
						 (int) Min(len - done, MAX_CHUNK),
						 (off_t) (off + done), wait_event);

		if (n < 0)
			return open_file_error(err, errno, "read file", file);
		if (n == 0)
			break;
		done += n;
	}
	*got = done;
	return KV_OK;
}

static KvStatus
write_file(KvFile *file, const void *buf, size_t len, uint64_t off,
		   KvError *err)
{
	KVLSM_WAIT_EVENT(wait_event, "KvlsmFileWrite");
	size_t done = 0;

	while (done < len)
	{
		int n;

		errno = 0;
		n = FileWrite(file->vfd, (char *) buf + done,
					  (int) Min(len - done, MAX_CHUNK), (off_t) (off + done),
					  wait_event);
		if (n <= 0)
			return open_file_error(err, errno != 0 ? errno : ENOSPC,
								   "write file", file);
		done += n;
	}
	return KV_OK;
}

/* FileWrite raises in temporary files only: temp_file_limit. */
static KvStatus
write_temp_file(KvFile *file, const void *buf, size_t len, uint64_t off,
				KvError *err)
{
	MemoryContext context = CurrentMemoryContext;
	uint32 holdoff = InterruptHoldoffCount;
	volatile KvStatus status = KV_OK;

	PG_TRY();
	{
		status = write_file(file, buf, len, off, err);
	}
	PG_CATCH();
	{
		status = temp_file_error(err, context, holdoff);
	}
	PG_END_TRY();
	return status;
}

static KvStatus
env_pwrite(KvEnv *env, KvFile *file, const void *buf, size_t len, uint64_t off,
		   KvError *err)
{
	return file->temporary ? write_temp_file(file, buf, len, off, err)
						   : write_file(file, buf, len, off, err);
}

static KvStatus
env_sync(KvEnv *env, KvFile *file, KvError *err)
{
	KVLSM_WAIT_EVENT(wait_event, "KvlsmFileSync");
	int os_errno;

	if (FileSync(file->vfd, wait_event) == 0)
		return KV_OK;
	os_errno = errno;
	ereport(data_sync_elevel(LOG), (errcode_for_file_access(),
									errmsg("could not fsync file \"%s\": %m",
										   FilePathName(file->vfd))));
	return open_file_error(err, os_errno, "fsync file", file);
}

static void
env_write_back(KvEnv *env, KvFile *file, uint64_t off, uint64_t len)
{
	KVLSM_WAIT_EVENT(wait_event, "KvlsmFileWriteBack");

	/* nobody will wait for a temporary file to be on disk */
	if (!file->temporary)
		FileWriteback(file->vfd, (off_t) off, (off_t) len, wait_event);
}

static KvStatus
env_size(KvEnv *env, KvFile *file, uint64_t *size, KvError *err)
{
	off_t n = FileSize(file->vfd);

	if (n < 0)
		return open_file_error(err, errno, "find size of file", file);
	*size = n;
	return KV_OK;
}

static KvStatus
env_preallocate(KvEnv *env, KvFile *file, uint64_t size, KvError *err)
{
	uint64_t old = 0;
	KvStatus status = env_size(env, file, &old, err);
	int rc;

	if (status != KV_OK || old >= size)
		return status;
	/* FileSize has opened the file if need be: the descriptor is valid */
	do
		rc = posix_fallocate(FileGetRawDesc(file->vfd), (off_t) old,
							 (off_t) (size - old));
	while (rc == EINTR);
	if (rc == ENOSPC || rc == EDQUOT)
		return open_file_error(err, rc, "extend file", file);
	return KV_OK; /* file systems that cannot do it need not */
}

static KvStatus
env_link(KvEnv *env, const char *from, const char *to, KvError *err)
{
	char from_path[PATH_BYTES], to_path[PATH_BYTES];

	if (link(path_of(from_path, from), path_of(to_path, to)) != 0)
		return kvlsm_file_error(err, errno, "link file", to);
	return KV_OK;
}

static KvStatus
env_rename(KvEnv *env, const char *from, const char *to, KvError *err)
{
	char from_path[PATH_BYTES], to_path[PATH_BYTES];

	if (rename(path_of(from_path, from), path_of(to_path, to)) != 0)
		return kvlsm_file_error(err, errno, "rename file", from);
	return KV_OK;
}

static KvStatus
env_unlink(KvEnv *env, const char *name, KvError *err)
{
	char path[PATH_BYTES];

	if (unlink(path_of(path, name)) != 0)
		return kvlsm_file_error(err, errno, "remove file", name);
	return KV_OK;
}

static KvStatus
env_sync_dir(KvEnv *env, KvError *err)
{
	/* PANIC on a failure, unless data_sync_retry */
	if (fsync_fname_ext(KVLSM_DIR, true, false, data_sync_elevel(LOG)) != 0)
		return kvlsm_file_error(err, errno, "fsync directory", "");
	return KV_OK;
}

/* Plain opendir: AllocateDir might raise, and nothing is opened meanwhile. */
static KvStatus
env_list(KvEnv *env, bool (*fn)(void *arg, const char *name), void *arg,
		 KvError *err)
{
	DIR *dir = opendir(KVLSM_DIR);
	struct dirent *entry;
	int os_errno;

	if (dir == NULL)
		return kvlsm_file_error(err, errno, "open directory", "");
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
	os_errno = errno;
	closedir(dir);
	return os_errno == 0
			   ? KV_OK
			   : kvlsm_file_error(err, os_errno, "read directory", "");
}

/* ---- locks and waking */

static void
env_lock(KvEnv *env, int lock_id, bool exclusive)
{
	LWLockAcquire(&kvlsm_shared->locks[lock_id].lock,
				  exclusive ? LW_EXCLUSIVE : LW_SHARED);
}

static void
env_unlock(KvEnv *env, int lock_id)
{
	LWLockRelease(&kvlsm_shared->locks[lock_id].lock);
}

static bool
env_lock_held(KvEnv *env, int lock_id)
{
	return LWLockHeldByMe(&kvlsm_shared->locks[lock_id].lock);
}

/*
 * A latch lies in the PGPROC of its process: the memory is always there, and
 * a wakeup of whoever owns it next is harmless.
 */
static void
env_kick(KvEnv *env, KvKick whom)
{
	Latch *latch = NULL;

	switch (whom)
	{
	case KV_KICK_WORKER:
		latch = kvlsm_shared->worker_latch;
		break;
	case KV_KICK_COMPACTOR:
		latch = kvlsm_shared->compactor_latch;
		break;
	case KV_KICK_WAITERS:
		ConditionVariableBroadcast(&kvlsm_shared->waiters);
		break;
	}
	if (latch != NULL)
		SetLatch(latch);
}

static bool
env_poll(KvEnv *env)
{
	if (!kvlsm_poll_enabled)
		return false;
	return (InterruptPending && (QueryCancelPending || ProcDiePending)) ||
		   ShutdownRequestPending;
}

/* ---- clock, random, transactions, log */

static int64_t
env_now_us(KvEnv *env)
{
	return GetCurrentTimestamp();
}

static uint64_t
env_random(KvEnv *env)
{
	uint64_t r;

	if (!pg_strong_random(&r, sizeof(r)))
		r = (uint64_t) GetCurrentTimestamp() * UINT64_C(0x9E3779B97F4A7C15) ^
			(uint64_t) MyProcPid;
	return r;
}

static KvXactState
env_xact_state(KvEnv *env, uint64_t xid)
{
	return kvlsm_xact_state(xid);
}

static void
env_horizon(KvEnv *env, KvHorizon *horizon)
{
	kvlsm_horizon(horizon);
}

/*
 * GetXLogInsertRecPtr() at the start of a page points behind its header,
 * which nobody has reserved: XLogFlush() would refuse it.
 */
XLogRecPtr
kvlsm_insert_end_lsn(void)
{
	XLogRecPtr lsn = GetXLogInsertRecPtr();
	uint64 in_page = lsn % XLOG_BLCKSZ;

	if (XLogSegmentOffset(lsn, wal_segment_size) == SizeOfXLogLongPHD)
		return lsn - SizeOfXLogLongPHD;
	if (in_page == SizeOfXLogShortPHD)
		return lsn - SizeOfXLogShortPHD;
	return lsn;
}

static KvStatus
env_flush_host_log(KvEnv *env, uint64_t lsn, KvError *err)
{
	XLogRecPtr end = kvlsm_insert_end_lsn();

	if (lsn == UINT64_MAX)
		lsn = end;
	else if (lsn > end)
		return kv_fail(err, KV_FOREIGN,
					   "position %X/%X lies beyond the end of PostgreSQL's "
					   "WAL, %X/%X",
					   LSN_FORMAT_ARGS(lsn), LSN_FORMAT_ARGS(end));
	XLogFlush(lsn);
	return KV_OK;
}

static uint64_t
env_host_log_end(KvEnv *env)
{
	return kvlsm_insert_end_lsn();
}

static bool
env_backup_running(KvEnv *env)
{
	return kvlsm_backup_running();
}

static void
env_log(KvEnv *env, KvLogLevel level, const char *message)
{
	switch (level)
	{
	case KV_LOG_DEBUG:
		ereport(DEBUG1, (errmsg_internal("kvlsm: %s", message)));
		break;
	case KV_LOG_INFO:
		ereport(LOG_SERVER_ONLY, (errmsg("kvlsm: %s", message)));
		break;
	case KV_LOG_WARNING:
		/* not WARNING: a client has nothing to do with it */
		ereport(LOG_SERVER_ONLY, (errmsg("kvlsm: warning: %s", message)));
		break;
	}
}

static void
env_stop(KvEnv *env, const char *name)
{
	kvlsm_stop(name);
}

static const KvEnvOps env_ops = {
	.open = env_open,
	.open_temp = env_open_temp,
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
	.host_log_end = env_host_log_end,
	.backup_running = env_backup_running,
	.log = env_log,
	.stop = env_stop,
};

static KvEnv the_env = {&env_ops};

KvEnv *
kvlsm_env(void)
{
	return &the_env;
}
