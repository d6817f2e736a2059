/* SPDX-License-Identifier: PostgreSQL */
/*
 * wal_reader.c - reads a WAL segment and tells a torn tail from damage.
 *
 * Called by recovery and by verification.  It changes nothing on disk, and
 * it never goes on behind bytes that fail a check: what follows them is
 * looked at only to decide whether they had been synced.  docs/format.md
 * specifies the bytes.
 *
 * A bad group is a torn tail, and a normal end, if nothing says that it was
 * synced.  Two things can say so: the next segment's header holds this one's
 * final length, and each group holds how far the file was synced before it.
 */
#include <inttypes.h>

#include "engine/base/check.h"
#include "engine/base/coding.h"
#include "engine/wal/wal.h"
#include "engine/wal/wal_format.h"

#define WINDOW_BYTES ((size_t) 256 * 1024)

struct KvWalReader
{
	KvEnv *env;
	KvFile *file;
	uint64_t file_no, salt;
	uint64_t size;	   /* of the file, when it was opened */
	uint64_t good_end; /* end of the group that is being read */
	bool ended;		   /* kv_wal_next has said KV_NOT_FOUND */

	/* The records of the current group that were not handed out yet. */
	KvSlice rest;
	uint32_t timeline;
	uint64_t base_lsn, base_csn, base_xid;

	/* A piece of the file: window_len bytes from window_off. */
	char *window;
	size_t window_cap, window_len;
	uint64_t window_off;
};

typedef struct GroupHeader
{
	uint32_t length;
	uint64_t prev_end, synced;
} GroupHeader;

/*
 * Lets *p point to len bytes at off, which lie within the file's size.
 * Valid until the next call.
 */
static KvStatus
look_at(KvWalReader *r, uint64_t off, size_t len, const char **p, KvError *err)
{
	const KvEnvOps *ops = r->env->ops;
	KvStatus status;
	size_t got;

	if (off >= r->window_off && r->window_len >= len &&
		off - r->window_off <= r->window_len - len)
	{
		*p = r->window + (off - r->window_off);
		return KV_OK;
	}
	if (r->window_cap < len || r->window == NULL)
	{
		size_t cap = len > WINDOW_BYTES ? len : WINDOW_BYTES;
		char *window = ops->alloc(r->env, cap);

		if (window == NULL)
			return kv_fail(err, KV_NO_MEMORY,
						   "out of memory for %zu bytes of WAL", cap);
		if (r->window != NULL)
			ops->free(r->env, r->window);
		r->window = window;
		r->window_cap = cap;
	}
	r->window_len = 0;
	status = ops->pread(r->env, r->file, r->window, r->window_cap, off, &got,
						err);
	if (status != KV_OK)
	{
		if (err != NULL)
		{
			err->file_no = r->file_no;
			err->offset = off;
		}
		return KV_BUG(wal_read_error_is_end) ? KV_NOT_FOUND : status;
	}
	if (got < len)
		return kv_fail(err, KV_IO_ERROR,
					   "WAL segment %" PRIu64 " shrank while it was read",
					   r->file_no);
	r->window_off = off;
	r->window_len = got;
	*p = r->window;
	return KV_OK;
}

static KvStatus
read_start(KvWalReader *r, const KvIdentity *identity, KvWalStart *start,
		   KvError *err)
{
	KvFileHeader h;
	const char *p;
	KvStatus status;

	if (r->size < KV_WAL_HEADER_BYTES)
		return kv_corrupt(err, r->file_no, 0,
						  "WAL segment has only %" PRIu64 " bytes", r->size);
	status = look_at(r, 0, KV_WAL_HEADER_BYTES, &p, err);
	if (status != KV_OK)
		return status;
	status = kv_file_header_decode(p, KV_WAL_HEADER_BYTES, KV_FILE_WAL,
								   KV_WAL_VERSION, identity, r->file_no, &h,
								   err);
	if (status != KV_OK)
		return status;
	p += KV_FILE_HEADER_BYTES;
	if (kv_load_u64(p + KV_WAL_START_BYTES) !=
		kv_checksum(h.salt, h.file_no, KV_FILE_HEADER_BYTES, KV_WAL_SUM_START,
					p, KV_WAL_START_BYTES))
		return kv_corrupt(err, r->file_no, KV_FILE_HEADER_BYTES,
						  "wrong checksum of WAL segment header");
	start->segment_no = r->file_no;
	start->prev_segment_no = kv_load_u64(p);
	start->prev_length = kv_load_u64(p + 8);
	start->start_csn = kv_load_u64(p + 16);
	start->start_lsn = kv_load_u64(p + 24);
	r->salt = h.salt;
	r->good_end = KV_WAL_HEADER_BYTES;
	return KV_OK;
}

KvStatus
kv_wal_open(KvEnv *env, const KvIdentity *identity, uint64_t segment_no,
			KvWalReader **reader, KvWalStart *start, KvError *err)
{
	const KvEnvOps *ops = env->ops;
	char name[KV_NAME_MAX];
	KvWalReader *r;
	KvStatus status;

	r = ops->alloc(env, sizeof(*r));
	if (r == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory for a WAL reader");
	memset(r, 0, sizeof(*r));
	r->env = env;
	r->file_no = segment_no;
	kv_file_name(name, KV_NAME_WAL, segment_no);
	status = ops->open(env, name, KV_OPEN_READ, &r->file, err);
	if (status != KV_OK)
	{
		ops->free(env, r);
		return status;
	}
	status = ops->size(env, r->file, &r->size, err);
	if (status == KV_OK)
		status = read_start(r, identity, start, err);
	if (status != KV_OK)
	{
		kv_wal_reader_close(r);
		return status;
	}
	*reader = r;
	return KV_OK;
}

/*
 * Whether a good group starts at off and ends at stop or before.  *p then
 * points to it.  KV_OK says nothing about *good.
 */
static KvStatus
check_group(KvWalReader *r, uint64_t off, uint64_t stop, const char **p,
			GroupHeader *g, bool *good, KvError *err)
{
	KvStatus status;

	*good = false;
	if (off > stop || stop - off < KV_WAL_GROUP_BYTES)
		return KV_OK;
	status = look_at(r, off, KV_WAL_GROUP_BYTES, p, err);
	if (status != KV_OK)
		return status;
	g->length = kv_load_u32(*p + KV_WAL_AT_LENGTH);
	g->prev_end = kv_load_u64(*p + KV_WAL_AT_PREV_END);
	g->synced = kv_load_u64(*p + KV_WAL_AT_SYNCED);
	/* no byte of the body is asked for before its length was found sane */
	if (g->length == 0 || g->length > stop - off - KV_WAL_GROUP_BYTES ||
		g->prev_end != off || g->synced > off)
		return KV_OK;
	status = look_at(r, off, KV_WAL_GROUP_BYTES + (size_t) g->length, p, err);
	if (status != KV_OK)
		return status;
	*good = KV_BUG(wal_no_checksum) ||
			kv_load_u64(*p) ==
				kv_checksum(r->salt, r->file_no, off, KV_WAL_SUM_GROUP,
							*p + KV_WAL_AT_LENGTH,
							KV_WAL_GROUP_BYTES - KV_WAL_AT_LENGTH +
								(size_t) g->length);
	return KV_OK;
}

/*
 * The group at off is bad and this is the newest segment.  KV_CORRUPT if a
 * good group further on says that off had been synced, else KV_NOT_FOUND.
 * A group tells its own offset, so most places are dismissed at one glance.
 */
static KvStatus
torn_or_damaged(KvWalReader *r, uint64_t off, KvError *err)
{
	uint64_t at = off + 1;

	KV_ASSERT(off == r->good_end);
	while (at < r->size && r->size - at >= KV_WAL_GROUP_BYTES)
	{
		const char *p;
		GroupHeader g;
		bool good = false;
		KvStatus status;

		status = look_at(r, at, KV_WAL_GROUP_BYTES, &p, err);
		if (status != KV_OK)
			return status;
		if (kv_load_u64(p + KV_WAL_AT_PREV_END) == at)
		{
			status = check_group(r, at, r->size, &p, &g, &good, err);
			if (status != KV_OK)
				return status;
		}
		if (good && g.synced > off)
			return kv_corrupt(err, r->file_no, off,
							  "damaged WAL group; the file was synced up to "
							  "%" PRIu64,
							  g.synced);
		at += good ? KV_WAL_GROUP_BYTES + (uint64_t) g.length : 1;
	}
	r->ended = true;
	return KV_NOT_FOUND;
}

static KvStatus
next_group(KvWalReader *r, uint64_t limit, KvError *err)
{
	uint64_t off = r->good_end;
	uint64_t stop = limit != 0 ? limit : r->size;
	uint64_t timeline;
	GroupHeader g;
	const char *p;
	bool good;
	KvStatus status;

	if (r->ended || (limit != 0 && off == limit))
		return KV_NOT_FOUND;
	if (limit > r->size || off > stop)
		return kv_corrupt(err, r->file_no, off,
						  "WAL segment should end at %" PRIu64
						  ", its size is %" PRIu64,
						  limit, r->size);
	status = check_group(r, off, stop, &p, &g, &good, err);
	if (status != KV_OK)
		return status;
	if (!good && limit != 0 && !KV_BUG(wal_damage_is_end))
		return kv_corrupt(err, r->file_no, off,
						  "damaged WAL group; the file was synced up to "
						  "%" PRIu64,
						  limit);
	if (!good)
		return torn_or_damaged(r, off, err);

	r->rest = kv_slice(p + KV_WAL_AT_BODY, g.length);
	r->good_end = off + KV_WAL_GROUP_BYTES + g.length;
	if (!kv_get_varint(&r->rest, &timeline) || timeline > UINT32_MAX ||
		!kv_get_varint(&r->rest, &r->base_lsn) ||
		!kv_get_varint(&r->rest, &r->base_csn) ||
		!kv_get_varint(&r->rest, &r->base_xid) || r->rest.len == 0)
		return kv_corrupt(err, r->file_no, off, "malformed WAL group");
	r->timeline = (uint32_t) timeline;
	return KV_OK;
}

KvStatus
kv_wal_next(KvWalReader *r, uint64_t limit, KvLogRecord *rec, KvError *err)
{
	uint64_t csn, xid, lsn, len;
	KvStatus status;

	if (r->rest.len == 0)
	{
		status = next_group(r, limit, err);
		if (status != KV_OK)
		{
			r->rest.len = 0;
			return status;
		}
	}
	/* the checksum was right: whatever is wrong here was written wrongly */
	if (!kv_get_u8(&r->rest, &rec->type) || !kv_get_varint(&r->rest, &csn) ||
		!kv_get_varint(&r->rest, &xid) || !kv_get_varint(&r->rest, &lsn) ||
		!kv_get_varint(&r->rest, &len) ||
		!kv_get_bytes(&r->rest, len, &rec->payload))
		return kv_corrupt(err, r->file_no, r->good_end,
						  "malformed record in the WAL group that ends here");
	if (rec->type < KV_LOG_BATCH || rec->type > KV_LOG_SETTLE)
		return kv_fail(err, KV_UNSUPPORTED,
					   "WAL segment %" PRIu64 " has a record of unknown "
					   "type %u",
					   r->file_no, rec->type);
	rec->csn = r->base_csn + (uint64_t) kv_unzigzag(csn);
	rec->xid = r->base_xid + (uint64_t) kv_unzigzag(xid);
	rec->lsn = r->base_lsn + (uint64_t) kv_unzigzag(lsn);
	return KV_OK;
}

uint64_t
kv_wal_good_end(const KvWalReader *r)
{
	return r->good_end;
}

uint32_t
kv_wal_timeline(const KvWalReader *r)
{
	return r->timeline;
}

KvStatus
kv_wal_reader_sync(KvWalReader *r, bool *failed, KvError *err)
{
	const KvEnvOps *ops = r->env->ops;
	char name[KV_NAME_MAX];
	KvFile *file;
	KvStatus status;

	/* not every system syncs through a handle opened for reading */
	kv_file_name(name, KV_NAME_WAL, r->file_no);
	*failed = false;
	status = ops->open(r->env, name, KV_OPEN_WRITE, &file, err);
	if (status != KV_OK)
		return status;
	status = ops->sync(r->env, file, err);
	*failed = status != KV_OK;
	ops->close(r->env, file);
	if (status != KV_OK && err != NULL)
		err->file_no = r->file_no;
	return status;
}

void
kv_wal_reader_close(KvWalReader *r)
{
	KvEnv *env = r->env;

	env->ops->close(env, r->file);
	if (r->window != NULL)
		env->ops->free(env, r->window);
	env->ops->free(env, r);
}
