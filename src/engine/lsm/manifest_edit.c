/* SPDX-License-Identifier: PostgreSQL */
/*
 * manifest_edit.c - file metas and edits as bytes, and back.
 *
 * No I/O.  Called by whoever writes or reads a MANIFEST, and for the metas
 * in KV_LOG_INGEST records.  Bytes come from disk: nothing is trusted, and
 * nothing is allocated that the bytes do not account for.
 * docs/format.md specifies them, manifest_format.h the tags.
 */
#include "engine/lsm/manifest_format.h"

#include "engine/base/check.h"
#include "engine/base/coding.h"

/* varints of a meta's body, in their order on disk */
#define META_NUMBERS 14

/* ---- file metas ---- */

static void
meta_numbers(const KvFileMeta *m, uint64_t *n)
{
	n[0] = m->file_no;
	n[1] = m->size;
	n[2] = m->digest;
	n[3] = m->entries;
	n[4] = m->tombstones;
	n[5] = m->min_csn;
	n[6] = m->max_csn;
	n[7] = m->min_xid;
	n[8] = m->max_xid;
	n[9] = kv_zigzag(m->oldest_expiry_us);
	n[10] = m->key_bytes;
	n[11] = m->value_bytes;
	n[12] = m->run_csn;
	n[13] = m->run_xid;
}

size_t
kv_meta_encode(const KvFileMeta *meta, char *buf, size_t cap)
{
	uint64_t n[META_NUMBERS];
	size_t len = 2;
	size_t need;
	char *p;
	int i;

	KV_ASSERT(meta->smallest_len <= KV_BOUND_BYTES &&
			  meta->largest_len <= KV_BOUND_BYTES);
	meta_numbers(meta, n);
	for (i = 0; i < META_NUMBERS; i++)
		len += kv_varint_len(n[i]);
	len += kv_varint_len(meta->smallest_len) + meta->smallest_len;
	len += kv_varint_len(meta->largest_len) + meta->largest_len;
	if (meta->range_deletes > 0)
		len += kv_varint_len(meta->range_deletes);
	need = kv_varint_len(len) + len;
	KV_ASSERT(need <= KV_META_MAX_BYTES);
	if (need > cap)
		return 0;

	p = kv_put_varint(buf, len);
	*p++ = (char) ((meta->has_doubt ? KV_META_HAS_DOUBT : 0) |
				   (meta->largest_cut ? KV_META_LARGEST_CUT : 0) |
				   (meta->range_deletes > 0 ? KV_META_RANGES : 0));
	*p++ = (char) meta->level;
	for (i = 0; i < META_NUMBERS; i++)
		p = kv_put_varint(p, n[i]);
	p = kv_put_varint(p, meta->smallest_len);
	memcpy(p, meta->smallest, meta->smallest_len);
	p = kv_put_varint(p + meta->smallest_len, meta->largest_len);
	memcpy(p, meta->largest, meta->largest_len);
	p += meta->largest_len;
	if (meta->range_deletes > 0)
		p = kv_put_varint(p, meta->range_deletes);
	KV_ASSERT((size_t) (p - buf) == need);
	return need;
}

static bool
get_bound(KvSlice *in, char *bound, uint16_t *bound_len)
{
	uint64_t len;
	KvSlice bytes;

	if (!kv_get_varint(in, &len) || len > KV_BOUND_BYTES ||
		!kv_get_bytes(in, len, &bytes))
		return false;
	memcpy(bound, bytes.data, bytes.len);
	*bound_len = (uint16_t) len;
	return true;
}

KvStatus
kv_meta_decode(KvSlice *in, KvFileMeta *meta, KvError *err)
{
	uint64_t n[META_NUMBERS];
	uint64_t len;
	uint8_t flags;
	KvSlice body;
	int i;

	memset(meta, 0, sizeof(*meta));
	if (!kv_get_varint(in, &len) || !kv_get_bytes(in, len, &body) ||
		!kv_get_u8(&body, &flags) || !kv_get_u8(&body, &meta->level))
		return kv_corrupt(err, 0, 0, "malformed description of a file");
	for (i = 0; i < META_NUMBERS; i++)
		if (!kv_get_varint(&body, &n[i]))
			return kv_corrupt(err, 0, 0, "malformed description of a file");
	if (!get_bound(&body, meta->smallest, &meta->smallest_len) ||
		!get_bound(&body, meta->largest, &meta->largest_len))
		return kv_corrupt(err, 0, 0, "malformed bounds of a file");
	if ((flags & KV_META_RANGES) != 0 &&
		(!kv_get_varint(&body, &meta->range_deletes) ||
		 meta->range_deletes == 0))
		return kv_corrupt(err, 0, 0, "malformed description of a file");
	if ((flags & ~KV_META_KNOWN_FLAGS) != 0 || body.len != 0)
		return kv_fail(err, KV_UNSUPPORTED,
					   "description of a file has unknown parts");
	meta->file_no = n[0];
	meta->size = n[1];
	meta->digest = n[2];
	meta->entries = n[3];
	meta->tombstones = n[4];
	meta->min_csn = n[5];
	meta->max_csn = n[6];
	meta->min_xid = n[7];
	meta->max_xid = n[8];
	meta->oldest_expiry_us = kv_unzigzag(n[9]);
	meta->key_bytes = n[10];
	meta->value_bytes = n[11];
	meta->run_csn = n[12];
	meta->run_xid = n[13];
	meta->has_doubt = (flags & KV_META_HAS_DOUBT) != 0;
	meta->largest_cut = (flags & KV_META_LARGEST_CUT) != 0;
	if (meta->file_no == 0 || meta->level >= KV_LEVELS)
		return kv_corrupt(err, 0, 0, "file of number %lu in level %u",
						  (unsigned long) meta->file_no, meta->level);
	return KV_OK;
}

/* ---- edits: writing ---- */

static bool
reserve(KvEnv *env, KvEditBuffer *buf, size_t n)
{
	size_t cap = buf->cap > 0 ? buf->cap : 1024;
	char *data;

	if (buf->cap - buf->len >= n)
		return true;
	while (cap - buf->len < n)
		cap *= 2;
	data = env->ops->realloc(env, buf->data, cap);
	if (data == NULL)
		return false;
	buf->data = data;
	buf->cap = cap;
	return true;
}

/* One field of known bytes; the buffer has room. */
static void
put_field(KvEditBuffer *buf, KvManifestTag tag, const char *bytes, size_t len)
{
	char *p = buf->data + buf->len;

	p = kv_put_varint(p, (uint64_t) tag * 2 + KV_TAG_MUST);
	p = kv_put_varint(p, len);
	memcpy(p, bytes, len);
	buf->len = (size_t) (p - buf->data) + len;
}

static void
put_number(KvEditBuffer *buf, KvManifestTag tag, uint64_t v)
{
	char bytes[KV_VARINT_MAX];

	if (v != 0)
		put_field(buf, tag, bytes, (size_t) (kv_put_varint(bytes, v) - bytes));
}

static void
put_scalars(KvEditBuffer *buf, const KvEdit *edit)
{
	put_number(buf, KV_TAG_MIN_WAL, edit->min_wal);
	put_number(buf, KV_TAG_FLUSHED_CSN, edit->flushed_csn);
	put_number(buf, KV_TAG_FLUSHED_LSN, edit->flushed_lsn);
	put_number(buf, KV_TAG_FILE_NO_CEILING, edit->file_no_ceiling);
	put_number(buf, KV_TAG_STORE_ID_CEILING, edit->store_id_ceiling);
	put_number(buf, KV_TAG_CSN_FLOOR, edit->csn_floor);
	if (edit->wal_cut_no != 0)
	{
		char bytes[2 * KV_VARINT_MAX];
		char *p = kv_put_varint(bytes, edit->wal_cut_no);

		p = kv_put_varint(p, edit->wal_cut_end);
		put_field(buf, KV_TAG_WAL_CUT, bytes, (size_t) (p - bytes));
	}
	put_number(buf, KV_TAG_CLOCK_US, kv_zigzag(edit->clock_us));
	put_number(buf, KV_TAG_TIMELINE, edit->timeline);
	put_number(buf, KV_TAG_INCARNATION, edit->incarnation);
	put_number(buf, KV_TAG_RUNS_CSN, edit->runs_csn);
}

KvStatus
kv_edit_encode(KvEnv *env, const KvEdit *edit, KvEditBuffer *buf, KvError *err)
{
	/* upper bounds of a field: tag, length, value */
	const size_t small = 4 * KV_VARINT_MAX + 1;
	size_t need = 16 * small +
				  (size_t) edit->n_adds * (KV_META_MAX_BYTES + small) +
				  ((size_t) edit->n_removes + edit->n_doubts + edit->n_settles) *
					  small;
	char bytes[KV_META_MAX_BYTES];
	uint32_t i;
	char *p;

	if (!reserve(env, buf, need))
		return kv_fail(err, KV_NO_MEMORY, "out of memory for an edit");
	for (i = 0; i < edit->n_removes; i++)
	{
		p = kv_put_varint(bytes, edit->removes[i]);
		put_field(buf, KV_TAG_REMOVE, bytes, (size_t) (p - bytes));
	}
	for (i = 0; i < edit->n_adds; i++)
		put_field(buf, KV_TAG_ADD, bytes,
				  kv_meta_encode(&edit->adds[i], bytes, sizeof(bytes)));
	for (i = 0; i < edit->n_doubts; i++)
	{
		p = kv_put_varint(bytes, edit->doubts[i].file_no);
		p = kv_put_varint(p, edit->doubts[i].xid);
		*p++ = (char) edit->doubts[i].state;
		put_field(buf, KV_TAG_DOUBT, bytes, (size_t) (p - bytes));
	}
	for (i = 0; i < edit->n_settles; i++)
	{
		p = kv_put_varint(bytes, edit->settles[i].xid);
		*p++ = (char) edit->settles[i].state;
		put_field(buf, KV_TAG_SETTLE, bytes, (size_t) (p - bytes));
	}
	put_scalars(buf, edit);
	return KV_OK;
}

/* ---- edits: reading ---- */

static bool
next_field(KvSlice *in, uint64_t *tag, bool *must, KvSlice *value)
{
	uint64_t key, len;

	if (!kv_get_varint(in, &key) || !kv_get_varint(in, &len) ||
		!kv_get_bytes(in, len, value))
		return false;
	*tag = key >> 1;
	*must = (key & KV_TAG_MUST) != 0;
	return true;
}

/* Room for n elements of size bytes; NULL with n = 0 is no failure. */
static bool
array(KvEnv *env, size_t n, size_t size, void *result)
{
	void *p = NULL;

	if (n > 0 && (p = env->ops->alloc(env, n * size)) == NULL)
		return false;
	memcpy(result, &p, sizeof(p));
	return true;
}

static bool
get_state(KvSlice *in, uint8_t *state)
{
	return kv_get_u8(in, state) && *state <= KV_XACT_UNKNOWN;
}

/* A scalar's value into edit; false: malformed. */
static bool
take_scalar(uint64_t tag, KvSlice *value, KvEdit *edit)
{
	uint64_t v;

	if (!kv_get_varint(value, &v))
		return false;
	switch ((KvManifestTag) tag)
	{
	case KV_TAG_MIN_WAL:
		edit->min_wal = v;
		return true;
	case KV_TAG_FLUSHED_CSN:
		edit->flushed_csn = v;
		return true;
	case KV_TAG_FLUSHED_LSN:
		edit->flushed_lsn = v;
		return true;
	case KV_TAG_FILE_NO_CEILING:
		edit->file_no_ceiling = v;
		return true;
	case KV_TAG_STORE_ID_CEILING:
		edit->store_id_ceiling = v;
		return true;
	case KV_TAG_CSN_FLOOR:
		edit->csn_floor = v;
		return true;
	case KV_TAG_RUNS_CSN:
		edit->runs_csn = v;
		return true;
	case KV_TAG_WAL_CUT:
		edit->wal_cut_no = v;
		return kv_get_varint(value, &edit->wal_cut_end);
	case KV_TAG_CLOCK_US:
		edit->clock_us = kv_unzigzag(v);
		return true;
	case KV_TAG_TIMELINE:
		edit->timeline = (uint32_t) v;
		return v <= UINT32_MAX;
	case KV_TAG_INCARNATION:
		edit->incarnation = (uint32_t) v;
		return v <= UINT32_MAX;
	default:
		return false;
	}
}

/* The arrays are as long as count_fields found. */
typedef struct EditArrays
{
	KvFileMeta *adds;
	uint64_t *removes;
	KvDoubt *doubts;
	KvDoubt *settles;
} EditArrays;

static KvStatus
take_field(uint64_t tag, KvSlice value, KvEdit *edit, const EditArrays *to,
		   KvError *err)
{
	bool good = true;
	KvDoubt *doubt;
	KvStatus status;

	switch (tag)
	{
	case KV_TAG_ADD:
		status = kv_meta_decode(&value, &to->adds[edit->n_adds], err);
		if (status != KV_OK)
			return status;
		edit->n_adds++;
		break;
	case KV_TAG_REMOVE:
		good = kv_get_varint(&value, &to->removes[edit->n_removes]);
		edit->n_removes++;
		break;
	case KV_TAG_DOUBT:
		doubt = &to->doubts[edit->n_doubts++];
		good = kv_get_varint(&value, &doubt->file_no) &&
			   kv_get_varint(&value, &doubt->xid) &&
			   get_state(&value, &doubt->state);
		break;
	case KV_TAG_SETTLE:
		doubt = &to->settles[edit->n_settles++];
		doubt->file_no = 0;
		good = kv_get_varint(&value, &doubt->xid) &&
			   get_state(&value, &doubt->state);
		break;
	default:
		good = take_scalar(tag, &value, edit);
		break;
	}
	if (!good || value.len != 0)
		return kv_corrupt(err, 0, 0, "malformed field %u of an edit",
						  (unsigned) tag);
	return KV_OK;
}

/* How often each known tag occurs; refuses what it must not skip. */
static KvStatus
count_fields(KvSlice body, uint32_t *counts, KvError *err)
{
	uint64_t tag;
	KvSlice value;
	bool must;

	while (body.len > 0)
	{
		if (!next_field(&body, &tag, &must, &value))
			return kv_corrupt(err, 0, 0, "malformed edit");
		if (tag >= 1 && tag <= KV_TAG_LAST)
			counts[tag]++;
		else if (must)
			return kv_fail(err, KV_UNSUPPORTED,
						   "MANIFEST has an edit with the unknown tag %lu",
						   (unsigned long) tag);
	}
	return KV_OK;
}

KvStatus
kv_edit_decode(KvEnv *env, KvSlice body, KvEdit *edit, KvError *err)
{
	uint32_t counts[KV_TAG_LAST + 1] = {0};
	EditArrays to = {0};
	uint64_t tag;
	KvSlice value;
	KvStatus status;
	bool must, room;

	memset(edit, 0, sizeof(*edit));
	status = count_fields(body, counts, err);
	if (status != KV_OK)
		return status;
	room = array(env, counts[KV_TAG_ADD], sizeof(KvFileMeta), &to.adds) &&
		   array(env, counts[KV_TAG_REMOVE], sizeof(uint64_t), &to.removes) &&
		   array(env, counts[KV_TAG_DOUBT], sizeof(KvDoubt), &to.doubts) &&
		   array(env, counts[KV_TAG_SETTLE], sizeof(KvDoubt), &to.settles);
	edit->adds = to.adds;
	edit->removes = to.removes;
	edit->doubts = to.doubts;
	edit->settles = to.settles;
	if (!room)
		return kv_fail(err, KV_NO_MEMORY, "out of memory for an edit");
	while (body.len > 0)
	{
		if (!next_field(&body, &tag, &must, &value))
			return kv_corrupt(err, 0, 0, "malformed edit");
		if (tag < 1 || tag > KV_TAG_LAST)
			continue;
		status = take_field(tag, value, edit, &to, err);
		if (status != KV_OK)
			return status;
	}
	return KV_OK;
}

static void
give_back(KvEnv *env, const void *array)
{
	if (array != NULL)
		env->ops->free(env, (void *) (uintptr_t) array);
}

void
kv_edit_free(KvEnv *env, KvEdit *edit)
{
	give_back(env, edit->adds);
	give_back(env, edit->removes);
	give_back(env, edit->doubts);
	give_back(env, edit->settles);
	memset(edit, 0, sizeof(*edit));
}
