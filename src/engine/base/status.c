/* SPDX-License-Identifier: PostgreSQL */
/*
 * status.c - fills KvError; the one place where KV_CORRUPT is made.
 *
 * Called by every part of the engine, in every process.  Never throws,
 * never logs, never allocates.
 */
#include "engine/base/status.h"

#include <stdarg.h>
#include <stdio.h>

#include "engine/base/check.h"

void
kv_error_clear(KvError *err)
{
	if (err == NULL)
		return;
	err->status = KV_OK;
	err->os_errno = 0;
	err->host_code = 0;
	err->file_no = 0;
	err->offset = 0;
	err->message[0] = '\0';
}

KvStatus
kv_fail(KvError *err, KvStatus status, const char *fmt, ...)
{
	va_list args;

	KV_ASSERT(status != KV_OK && status != KV_CORRUPT);
	if (err == NULL)
		return status;
	kv_error_clear(err);
	err->status = status;
	va_start(args, fmt);
	(void) vsnprintf(err->message, sizeof(err->message), fmt, args);
	va_end(args);
	return status;
}

KvStatus
kv_corrupt(KvError *err, uint64_t file_no, uint64_t offset, const char *fmt,
		   ...)
{
	va_list args;

	if (err == NULL)
		return KV_CORRUPT;
	kv_error_clear(err);
	err->status = KV_CORRUPT;
	err->file_no = file_no;
	err->offset = offset;
	va_start(args, fmt);
	(void) vsnprintf(err->message, sizeof(err->message), fmt, args);
	va_end(args);
	return KV_CORRUPT;
}

const char *
kv_status_name(KvStatus status)
{
	switch (status)
	{
	case KV_OK:
		return "ok";
	case KV_NOT_FOUND:
		return "not found";
	case KV_CORRUPT:
		return "corrupt";
	case KV_IO_ERROR:
		return "I/O error";
	case KV_DISK_FULL:
		return "disk full";
	case KV_NO_MEMORY:
		return "out of memory";
	case KV_FULL:
		return "full";
	case KV_STALLED:
		return "stalled";
	case KV_RETRY:
		return "retry";
	case KV_INTERRUPTED:
		return "interrupted";
	case KV_INVALID:
		return "invalid argument";
	case KV_TOO_LARGE:
		return "too large";
	case KV_EXISTS:
		return "exists";
	case KV_UNSUPPORTED:
		return "unsupported format";
	case KV_FOREIGN:
		return "foreign";
	case KV_NOT_READY:
		return "not ready";
	}
	return "unknown status";
}
