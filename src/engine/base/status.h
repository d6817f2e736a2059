/* SPDX-License-Identifier: PostgreSQL */
/*
 * status.h - what an engine function returns, and where the detail goes.
 *
 * The engine never throws and never exits.  A function that can fail returns
 * a KvStatus; the first place that sees the failure fills the caller's
 * KvError, later ones leave it alone.  Corruption is created by kv_corrupt()
 * and nowhere else: one breakpoint catches every first detection.
 */
#ifndef KV_STATUS_H
#define KV_STATUS_H

#include <stddef.h>
#include <stdint.h>

typedef enum KvStatus
{
	KV_OK = 0,
	KV_NOT_FOUND,	/* no such key, no such file */
	KV_CORRUPT,		/* bytes that fail a check; file and offset in KvError */
	KV_IO_ERROR,	/* the host's file call failed; os_errno says how */
	KV_DISK_FULL,	/* ENOSPC or EDQUOT */
	KV_NO_MEMORY,	/* the host's allocator said no */
	KV_FULL,		/* a fixed area (arena, ring, table) has no room */
	KV_STALLED,		/* try again after the worker has made room */
	KV_RETRY,		/* a memtable was recycled under the reader: look again */
	KV_INTERRUPTED, /* the host asked to stop (poll) */
	KV_INVALID,		/* an argument breaks the function's contract */
	KV_TOO_LARGE,	/* over a hard limit of the format */
	KV_EXISTS,		/* a file of that name is already there */
	KV_UNSUPPORTED, /* a newer format: refused, nothing changed */
	KV_FOREIGN,		/* belongs to another cluster or timeline: refused */
	KV_NOT_READY	/* starting, read-only, degraded or off */
} KvStatus;

#define KV_MUST_CHECK __attribute__((warn_unused_result))

typedef struct KvError
{
	KvStatus status;
	int os_errno;	   /* 0 if no system call was involved */
	int host_code;	   /* what the host calls the failure; 0: by status */
	uint64_t file_no;  /* 0 if no numbered file was involved */
	uint64_t offset;   /* byte offset in that file */
	char message[256]; /* one line, no trailing newline, no user data */
} KvError;

/*
 * Fill err (may be NULL) and return status.  The message is printf-style.
 * Never called with KV_CORRUPT: that is kv_corrupt()'s.
 */
KvStatus kv_fail(KvError *err, KvStatus status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* The only source of KV_CORRUPT. */
KvStatus kv_corrupt(KvError *err, uint64_t file_no, uint64_t offset,
					const char *fmt, ...) __attribute__((format(printf, 4, 5)));

void kv_error_clear(KvError *err);
const char *kv_status_name(KvStatus status);

#endif /* KV_STATUS_H */
