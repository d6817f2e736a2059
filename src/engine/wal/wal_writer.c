/* SPDX-License-Identifier: PostgreSQL */
/*
 * wal_writer.c - appends groups of records to one WAL segment.
 *
 * Collects records in private memory, writes them as checksummed groups and
 * syncs.  It never reads a segment, never reopens one and never overwrites a
 * byte.  One process at a time, under KV_LOCK_WAL_IO (in the server: the
 * engine worker).  docs/format.md specifies the bytes.
 */
#include "engine/base/check.h"
#include "engine/base/coding.h"
#include "engine/wal/wal.h"
#include "engine/wal/wal_format.h"

/* Worst case of a group's bases and of a record without its payload. */
#define BASES_MAX  (4 * KV_VARINT_MAX)
#define RECORD_MAX (1 + 4 * KV_VARINT_MAX)

/* A buffer that had to hold more is given back after the write. */
#define BUFFER_KEEP ((size_t) 4 << 20)

struct KvWalWriter
{
	KvEnv *env;
	KvFile *file;
	uint64_t file_no, salt;
	uint32_t timeline;
	uint64_t length; /* end of the last group in the file */
	uint64_t synced; /* the file is durable up to there */
	uint64_t room;	 /* the file has zeros up to there, or ends before */
	uint64_t step;	 /* by which room grows; 0: the file grows with length */

	/*
	 * Closed groups, then perhaps an open one; buf[0] will stand at offset
	 * length of the file.
	 */
	char *buf;
	size_t len, cap;
	size_t group; /* where in buf the open group starts */
	bool open;
	uint64_t base_csn, base_xid, base_lsn; /* of the open group */
	uint64_t max_lsn;					   /* of all that is in buf */

	KvError poison; /* status KV_OK: healthy */
};

static KvStatus
poisoned(const KvWalWriter *w, KvError *err)
{
	if (err != NULL)
		*err = w->poison;
	return w->poison.status;
}

static KvStatus
poison(KvWalWriter *w, KvStatus status, const KvError *why, KvError *err)
{
	KV_ASSERT(status != KV_OK && w->poison.status == KV_OK);
	w->poison = *why;
	w->poison.status = status;
	w->poison.file_no = w->file_no;
	w->poison.offset = w->length;
	return poisoned(w, err);
}

/* Names the file in whatever an env callback reported. */
static KvStatus
about_file(uint64_t file_no, KvStatus status, KvError *err)
{
	if (err != NULL)
		err->file_no = file_no;
	return status;
}

static void
encode_header(const KvFileHeader *h, const KvWalStart *start, char *buf)
{
	char *p = buf + KV_FILE_HEADER_BYTES;

	kv_file_header_encode(h, buf);
	p = kv_put_u64(p, start->prev_segment_no);
	p = kv_put_u64(p, start->prev_length);
	p = kv_put_u64(p, start->start_csn);
	p = kv_put_u64(p, start->start_lsn);
	(void) kv_put_u64(p,
					  kv_checksum(h->salt, h->file_no, KV_FILE_HEADER_BYTES,
								  KV_WAL_SUM_START, buf + KV_FILE_HEADER_BYTES,
								  KV_WAL_START_BYTES));
}

/*
 * A complete, synced file under its temporary name.  The handle is closed
 * again: a host may reopen a file by its name behind our back (fd.c does),
 * so all writing goes through a handle opened by the final name.
 */
static KvStatus
write_temp(KvEnv *env, const char *temp, const char *header, uint64_t prealloc,
		   KvError *err)
{
	const KvEnvOps *ops = env->ops;
	KvFile *file;
	KvStatus status;

	status = ops->open(env, temp, KV_OPEN_WRITE | KV_OPEN_CREATE, &file, err);
	if (status != KV_OK)
		return status;
	status = ops->pwrite(env, file, header, KV_WAL_HEADER_BYTES, 0, err);
	if (status == KV_OK && prealloc > KV_WAL_HEADER_BYTES)
		status = ops->preallocate(env, file, prealloc, err);
	if (status == KV_OK)
		status = ops->sync(env, file, err);
	ops->close(env, file);
	if (status != KV_OK)
		(void) ops->unlink(env, temp, NULL);
	return status;
}

KvStatus
kv_wal_create(KvEnv *env, const KvIdentity *identity, const KvWalStart *start,
			  uint64_t prealloc, KvWalWriter **writer, KvError *err)
{
	const KvEnvOps *ops = env->ops;
	KvFileHeader h = {.kind = KV_FILE_WAL, .version = KV_WAL_VERSION};
	char header[KV_WAL_HEADER_BYTES];
	char temp[KV_NAME_MAX];
	char name[KV_NAME_MAX];
	KvWalWriter *w;
	KvStatus status;

	KV_ASSERT(ops->lock_held(env, KV_LOCK_WAL_IO));
	w = ops->alloc(env, sizeof(*w));
	if (w == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory for a WAL writer");
	memset(w, 0, sizeof(*w));
	h.identity = *identity;
	h.file_no = start->segment_no;
	h.salt = ops->random(env);
	encode_header(&h, start, header);
	kv_file_name(temp, KV_NAME_TEMP, start->segment_no);
	kv_file_name(name, KV_NAME_WAL, start->segment_no);

	ops->stop(env, "wal-create");
	status = write_temp(env, temp, header, prealloc, err);
	if (status != KV_OK)
		goto failed;
	status = ops->link(env, temp, name, err);
	/* what stays behind if this fails is swept at the next start */
	(void) ops->unlink(env, temp, NULL);
	if (status != KV_OK)
		goto failed;
	if (!KV_BUG(wal_no_dir_sync))
		status = ops->sync_dir(env, err);
	if (status == KV_OK)
		status = ops->open(env, name, KV_OPEN_WRITE, &w->file, err);
	if (status != KV_OK)
		goto failed;

	w->env = env;
	w->file_no = h.file_no;
	w->salt = h.salt;
	w->timeline = identity->timeline;
	w->length = w->synced = KV_WAL_HEADER_BYTES;
	w->step = prealloc;
	w->room = prealloc;
	*writer = w;
	return KV_OK;

failed:
	ops->free(env, w);
	return about_file(start->segment_no, status, err);
}

/* Room for n more bytes at the end of buf. */
static bool
reserve(KvWalWriter *w, size_t n)
{
	size_t cap = w->cap > 0 ? w->cap : 64 * 1024;
	char *buf;

	if (w->cap - w->len >= n)
		return true;
	while (cap - w->len < n)
		cap *= 2;
	buf = w->env->ops->realloc(w->env, w->buf, cap);
	if (buf == NULL)
		return false;
	w->buf = buf;
	w->cap = cap;
	return true;
}

/* The bases are those of the first record; w->buf has room. */
static void
open_group(KvWalWriter *w, const KvLogRecord *first)
{
	char *p;

	KV_ASSERT(!w->open);
	KV_ASSERT(w->cap - w->len >= KV_WAL_GROUP_BYTES + BASES_MAX);
	w->group = w->len;
	w->open = true;
	w->base_csn = first->csn;
	w->base_xid = first->xid;
	w->base_lsn = first->lsn;
	p = w->buf + w->group + KV_WAL_AT_BODY;
	p = kv_put_varint(p, w->timeline);
	p = kv_put_varint(p, w->base_lsn);
	p = kv_put_varint(p, w->base_csn);
	p = kv_put_varint(p, w->base_xid);
	w->len = (size_t) (p - w->buf);
}

static void
close_group(KvWalWriter *w)
{
	char *p = w->buf + w->group;
	size_t len = w->len - w->group;
	uint64_t offset = w->length + w->group;

	KV_ASSERT(w->open);
	(void) kv_put_u32(p + KV_WAL_AT_LENGTH,
					  (uint32_t) (len - KV_WAL_GROUP_BYTES));
	(void) kv_put_u64(p + KV_WAL_AT_PREV_END, offset);
	(void) kv_put_u64(p + KV_WAL_AT_SYNCED, w->synced);
	(void) kv_put_u64(p + KV_WAL_AT_CHECKSUM,
					  kv_checksum(w->salt, w->file_no, offset,
								  KV_WAL_SUM_GROUP, p + KV_WAL_AT_LENGTH,
								  len - KV_WAL_AT_LENGTH));
	w->open = false;
}

KvStatus
kv_wal_add(KvWalWriter *w, const KvLogRecord *rec, KvError *err)
{
	size_t need = RECORD_MAX + rec->payload.len;
	char *p;

	if (w->poison.status != KV_OK)
		return poisoned(w, err);
	if (rec->type < KV_LOG_BATCH || rec->type > KV_LOG_SETTLE)
		return kv_fail(err, KV_INVALID, "log record of type %u", rec->type);
	if (rec->payload.len > UINT32_MAX - KV_WAL_GROUP_MAX)
		return kv_fail(err, KV_TOO_LARGE, "log record of %zu bytes",
					   rec->payload.len);
	if (!reserve(w, KV_WAL_GROUP_BYTES + BASES_MAX + need))
		return kv_fail(err, KV_NO_MEMORY,
					   "out of memory for a log record of %zu bytes",
					   rec->payload.len);
	if (w->open && w->len - w->group + need > KV_WAL_GROUP_MAX)
		close_group(w);
	if (!w->open)
		open_group(w, rec);
	p = w->buf + w->len;
	*p++ = (char) rec->type;
	p = kv_put_varint(p, kv_zigzag((int64_t) (rec->csn - w->base_csn)));
	p = kv_put_varint(p, kv_zigzag((int64_t) (rec->xid - w->base_xid)));
	p = kv_put_varint(p, kv_zigzag((int64_t) (rec->lsn - w->base_lsn)));
	p = kv_put_varint(p, rec->payload.len);
	if (rec->payload.len > 0)
		memcpy(p, rec->payload.data, rec->payload.len);
	w->len = (size_t) (p - w->buf) + rec->payload.len;
	KV_ASSERT(w->len <= w->cap);
	if (rec->lsn > w->max_lsn)
		w->max_lsn = rec->lsn;
	return KV_OK;
}

size_t
kv_wal_pending(const KvWalWriter *w)
{
	return w->len;
}

void
kv_wal_discard(KvWalWriter *w)
{
	w->len = 0;
	w->open = false;
	w->max_lsn = 0;
}

/*
 * A sync of a file whose size has not changed costs half as much.  Only a
 * hint: where it fails, the write that follows finds out what is the matter.
 */
static void
make_file_room(KvWalWriter *w)
{
	uint64_t end = w->length + w->len, room;

	if (w->step == 0 || end <= w->room)
		return;
	room = (end / w->step + 1) * w->step;
	if (w->env->ops->preallocate(w->env, w->file, room, NULL) == KV_OK)
		w->room = room;
	else
		w->step = 0;
}

KvStatus
kv_wal_write(KvWalWriter *w, KvError *err)
{
	const KvEnvOps *ops = w->env->ops;
	KvError why;
	KvStatus status;

	KV_ASSERT(ops->lock_held(w->env, KV_LOCK_WAL_IO));
	if (w->poison.status != KV_OK)
		return poisoned(w, err);
	if (w->len == 0)
		return KV_OK;
	if (w->open)
		close_group(w);
	if (w->max_lsn > 0 && !KV_BUG(flush_before_host_log))
	{
		status = ops->flush_host_log(w->env, w->max_lsn, err);
		if (status != KV_OK)
			return status;
	}
	make_file_room(w);
	ops->stop(w->env, "wal-write");
	kv_error_clear(&why);
	status = ops->pwrite(w->env, w->file, w->buf, w->len, w->length, &why);
	if (status != KV_OK && !KV_BUG(wal_append_after_failure))
		return poison(w, status, &why, err);
	w->length += w->len;
	kv_wal_discard(w);
	if (w->cap > BUFFER_KEEP)
	{
		ops->free(w->env, w->buf);
		w->buf = NULL;
		w->cap = 0;
	}
	return KV_OK;
}

KvStatus
kv_wal_sync(KvWalWriter *w, KvError *err)
{
	const KvEnvOps *ops = w->env->ops;
	KvError why;
	KvStatus status;

	KV_ASSERT(ops->lock_held(w->env, KV_LOCK_WAL_IO));
	if (w->poison.status != KV_OK)
		return poisoned(w, err);
	KV_ASSERT(w->synced <= w->length);
	if (w->synced == w->length)
		return KV_OK;
	ops->stop(w->env, "wal-fsync");
	kv_error_clear(&why);
	status = KV_BUG(wal_no_sync) ? KV_OK : ops->sync(w->env, w->file, &why);
	if (status != KV_OK && KV_BUG(wal_retry_sync))
		status = ops->sync(w->env, w->file, &why);
	if (status != KV_OK)
		return poison(w, status, &why, err);
	w->synced = w->length;
	return KV_OK;
}

uint64_t
kv_wal_length(const KvWalWriter *w)
{
	return w->length;
}

uint64_t
kv_wal_segment(const KvWalWriter *w)
{
	return w->file_no;
}

void
kv_wal_close(KvWalWriter *w)
{
	KvEnv *env = w->env;

	env->ops->close(env, w->file);
	if (w->buf != NULL)
		env->ops->free(env, w->buf);
	env->ops->free(env, w);
}
