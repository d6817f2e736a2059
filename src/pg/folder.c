/* SPDX-License-Identifier: PostgreSQL */
/*
 * folder.c - the engine's folder in the data directory: makes it, and keeps
 * the worker of another server out of it.
 *
 * The engine worker only.
 */
#include "kvlsm.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file_perm.h"
#include "storage/fd.h"

/*
 * Holds a lock on the directory itself until the process ends, so that the
 * worker of a postmaster whose postmaster.pid was removed by hand and a new
 * one never write to the same files.
 */
static KvStatus
lock_folder(KvError *err)
{
	static bool locked = false;
	int tries;
	int fd;

	if (locked)
		return KV_OK;
	fd = open(KVLSM_DIR, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return kvlsm_file_error(err, errno, "open directory", "");
	for (tries = 0; flock(fd, LOCK_EX | LOCK_NB) != 0; tries++)
	{
		if (errno != EWOULDBLOCK && errno != EINTR)
			break; /* a file system without such locks */
		if (tries == 50)
		{
			close(fd);
			return kv_fail(err, KV_FOREIGN,
						   "directory \"%s\" is in use by a worker of another "
						   "server; end that server first",
						   KVLSM_DIR);
		}
		pg_usleep(100000L);
	}
	ReserveExternalFD();
	locked = true;
	return KV_OK;
}

KvStatus
kvlsm_prepare_folder(KvError *err)
{
	struct stat st;

	if (lstat(KVLSM_DIR, &st) != 0)
	{
		if (errno != ENOENT)
			return kvlsm_file_error(err, errno, "look at directory", "");
		if (MakePGDirectory(KVLSM_DIR) != 0)
			return kvlsm_file_error(err, errno, "create directory", "");
		fsync_fname(".", true);
	}
	else if (S_ISLNK(st.st_mode))
		return kv_fail(err, KV_FOREIGN,
					   "\"%s\" is a symbolic link, which base backups would "
					   "leave out; move the directory itself into the data "
					   "directory, or mount it there",
					   KVLSM_DIR);
	else if (!S_ISDIR(st.st_mode))
		return kv_fail(err, KV_FOREIGN, "\"%s\" is not a directory", KVLSM_DIR);
	return lock_folder(err);
}
