/* SPDX-License-Identifier: PostgreSQL */
/*
 * manifest_load.c - reads CURRENT and the MANIFEST that it names.
 *
 * Called by recovery and by verification, before anything else is known
 * about the folder.  It changes nothing on disk.  docs/format.md specifies
 * the bytes.
 *
 * Each record is synced before the next one is written.  So a bad record is
 * a torn tail only if no good one follows it, and only behind the length
 * that CURRENT tells: up to there the file was synced before the switch.
 */
#include <inttypes.h>

#include "engine/base/check.h"
#include "engine/base/coding.h"
#include "engine/lsm/manifest_format.h"

typedef struct Loader
{
	KvEnv *env;
	const KvIdentity *identity;
	KvFileExistsFn exists;
	void *arg;

	/* From CURRENT. */
	uint64_t manifest_no, salt, synced;

	/* The MANIFEST. */
	char *data;
	size_t size;

	/* Files of the state that exists() denied. */
	uint64_t *missing;
	uint32_t n_missing, cap_missing;
	uint64_t complete; /* so many edits give a state that misses nothing */
} Loader;

/* Tells an error that came without a place where it was found. */
static KvStatus
locate(const Loader *l, uint64_t offset, KvStatus status, KvError *err)
{
	if (err != NULL && err->file_no == 0)
	{
		err->file_no = l->manifest_no;
		err->offset = offset;
	}
	return status;
}

/* A whole file into memory of env; *data is NULL unless KV_OK. */
static KvStatus
read_file(KvEnv *env, const char *name, char **data, size_t *size, KvError *err)
{
	const KvEnvOps *ops = env->ops;
	KvFile *file;
	KvStatus status;
	uint64_t bytes;
	size_t got;

	*data = NULL;
	status = ops->open(env, name, KV_OPEN_READ, &file, err);
	if (status != KV_OK)
		return status;
	status = ops->size(env, file, &bytes, err);
	if (status == KV_OK)
	{
		*size = (size_t) bytes;
		*data = ops->alloc(env, *size > 0 ? *size : 1);
		if (*data == NULL)
			status = kv_fail(err, KV_NO_MEMORY,
							 "out of memory for %zu bytes of \"%s\"", *size,
							 name);
	}
	if (status == KV_OK)
		status = ops->pread(env, file, *data, *size, 0, &got, err);
	if (status == KV_OK && got != *size)
		status = kv_fail(err, KV_IO_ERROR,
						 "file \"%s\" shrank while it was read", name);
	ops->close(env, file);
	if (status != KV_OK && *data != NULL)
	{
		ops->free(env, *data);
		*data = NULL;
	}
	return status;
}

static KvStatus
parse_current(Loader *l, const char *data, size_t size, KvError *err)
{
	KvFileHeader h;
	KvStatus status;

	if (size != KV_CURRENT_BYTES)
		return kv_corrupt(err, 0, 0, "CURRENT has %zu bytes, expected %d",
						  size, KV_CURRENT_BYTES);
	/* what the header says of itself: its checksum covers it */
	l->manifest_no = kv_load_u64(data + 32);
	status = kv_file_header_decode(data, size, KV_FILE_CURRENT,
								   KV_CURRENT_VERSION, l->identity,
								   l->manifest_no, &h, err);
	if (status != KV_OK)
		return status;
	if (kv_load_u64(data + KV_CURRENT_AT_SUM) !=
		kv_checksum(h.salt, h.file_no, KV_FILE_HEADER_BYTES, KV_CURRENT_SUM,
					data + KV_FILE_HEADER_BYTES,
					KV_CURRENT_AT_SUM - KV_FILE_HEADER_BYTES))
		return kv_corrupt(err, 0, KV_FILE_HEADER_BYTES,
						  "wrong checksum of CURRENT");
	l->salt = kv_load_u64(data + KV_CURRENT_AT_SALT);
	l->synced = kv_load_u64(data + KV_CURRENT_AT_LENGTH);
	return KV_OK;
}

static KvStatus
read_current(Loader *l, KvError *err)
{
	char name[KV_NAME_MAX];
	size_t size = 0;
	char *data;
	KvStatus status;

	kv_file_name(name, KV_NAME_CURRENT, 0);
	status = read_file(l->env, name, &data, &size, err);
	if (status != KV_OK)
		return status;
	status = parse_current(l, data, size, err);
	l->env->ops->free(l->env, data);
	return status;
}

static KvStatus
read_manifest(Loader *l, KvError *err)
{
	char name[KV_NAME_MAX];
	KvFileHeader h;
	KvStatus status;

	kv_file_name(name, KV_NAME_MANIFEST, l->manifest_no);
	status = read_file(l->env, name, &l->data, &l->size, err);
	if (status == KV_NOT_FOUND)
		return kv_corrupt(err, l->manifest_no, 0,
						  "CURRENT names \"%s\", which is missing", name);
	if (status != KV_OK)
		return locate(l, 0, status, err);
	status = kv_file_header_decode(l->data, l->size, KV_FILE_MANIFEST,
								   KV_MANIFEST_VERSION, l->identity,
								   l->manifest_no, &h, err);
	if (status != KV_OK)
		return status;
	if (h.salt != l->salt)
		return kv_corrupt(err, l->manifest_no, 0,
						  "\"%s\" is not the file that CURRENT means", name);
	if (l->size < l->synced)
		return kv_corrupt(err, l->manifest_no, l->size,
						  "\"%s\" has %zu bytes, at least %" PRIu64
						  " were synced",
						  name, l->size, l->synced);
	return KV_OK;
}

static bool
good_record(const Loader *l, size_t off, KvSlice *body)
{
	const char *p = l->data + off;
	uint32_t length;

	if (l->size - off < KV_MANIFEST_RECORD_BYTES)
		return false;
	length = kv_load_u32(p + KV_MANIFEST_AT_LENGTH);
	/* an empty edit is one; zeros are none, they do not tell this offset */
	if (length > l->size - off - KV_MANIFEST_RECORD_BYTES ||
		kv_load_u64(p + KV_MANIFEST_AT_OFFSET) != off)
		return false;
	*body = kv_slice(p + KV_MANIFEST_RECORD_BYTES, length);
	if (KV_BUG(manifest_no_checksum))
		return true;
	return kv_load_u64(p) ==
		   kv_checksum(l->salt, l->manifest_no, off, KV_MANIFEST_SUM_RECORD,
					   p + KV_MANIFEST_AT_LENGTH,
					   KV_MANIFEST_RECORD_BYTES - KV_MANIFEST_AT_LENGTH +
						   (size_t) length);
}

/* No good record begins behind off, and off was not synced for sure. */
static bool
is_torn_tail(const Loader *l, size_t off)
{
	KvSlice body;
	size_t at;

	if (off < l->synced)
		return false;
	for (at = off + 1; at < l->size; at++)
		if (good_record(l, at, &body))
			return false;
	return true;
}

/* Asks for the files that edit brings; forgets those that it takes away. */
static KvStatus
track_missing(Loader *l, const KvEdit *edit, uint64_t edits, KvError *err)
{
	uint32_t i, j;

	for (i = 0; i < edit->n_removes; i++)
		for (j = 0; j < l->n_missing; j++)
			if (l->missing[j] == edit->removes[i])
				l->missing[j--] = l->missing[--l->n_missing];
	for (i = 0; i < edit->n_adds; i++)
	{
		const KvFileMeta *meta = &edit->adds[i];
		bool there;
		KvStatus status = l->exists(l->arg, meta->file_no, meta->size, &there,
									err);

		if (status != KV_OK)
			return status;
		if (there)
			continue;
		if (l->n_missing == l->cap_missing)
		{
			uint32_t cap = l->cap_missing > 0 ? l->cap_missing * 2 : 16;
			uint64_t *p = l->env->ops->realloc(l->env, l->missing,
											   cap * sizeof(*p));

			if (p == NULL)
				return kv_fail(err, KV_NO_MEMORY,
							   "out of memory for the list of files");
			l->missing = p;
			l->cap_missing = cap;
		}
		l->missing[l->n_missing++] = meta->file_no;
	}
	if (l->n_missing == 0)
		l->complete = edits;
	return KV_OK;
}

/* Adds up at most max_edits edits.  On failure state holds some of them. */
static KvStatus
replay(Loader *l, uint64_t max_edits, KvManifestState *state, KvError *err)
{
	size_t off = KV_FILE_HEADER_BYTES;

	state->manifest_no = l->manifest_no;
	while (off < l->size && state->edits < max_edits)
	{
		KvEdit edit;
		KvSlice body;
		KvStatus status;

		if (!good_record(l, off, &body))
		{
			if (!is_torn_tail(l, off))
				return kv_corrupt(err, l->manifest_no, off,
								  "damaged MANIFEST record");
			state->torn = true;
			break;
		}
		status = kv_edit_decode(l->env, body, &edit, err);
		if (status == KV_OK)
			status = kv_manifest_apply(l->env, state, &edit, err);
		if (status == KV_OK)
			state->edits++;
		if (status == KV_OK && l->exists != NULL)
			status = track_missing(l, &edit, state->edits, err);
		kv_edit_free(l->env, &edit);
		if (status != KV_OK)
			return locate(l, off, status, err);
		off += KV_MANIFEST_RECORD_BYTES + body.len;
	}
	if (state->edits == 0)
		return kv_corrupt(err, l->manifest_no, off, "MANIFEST is empty");
	return KV_OK;
}

/* Back to the newest state that misses no file, if there is one. */
static KvStatus
step_back(Loader *l, KvManifestState *state, KvError *err)
{
	bool torn = state->torn;
	uint64_t missing = l->missing[0];
	KvStatus status;

	if (l->complete == 0)
		return kv_corrupt(err, missing, 0,
						  "file %" PRIu64 " is missing, and no earlier state "
						  "of MANIFEST-%" PRIu64 " can do without",
						  missing, l->manifest_no);
	kv_manifest_state_free(l->env, state);
	l->exists = NULL;
	status = replay(l, l->complete, state, err);
	state->torn = torn;
	return status;
}

KvStatus
kv_manifest_load(KvEnv *env, const KvIdentity *identity, KvFileExistsFn exists,
				 void *arg, KvManifestState *state, bool *stepped_back,
				 KvError *err)
{
	Loader l = {.env = env, .identity = identity, .exists = exists, .arg = arg};
	KvStatus status;
	bool back = false;

	memset(state, 0, sizeof(*state));
	status = read_current(&l, err);
	if (status == KV_OK)
		status = read_manifest(&l, err);
	if (status == KV_OK)
		status = replay(&l, UINT64_MAX, state, err);
	if (status == KV_OK && l.n_missing > 0)
	{
		back = true;
		status = step_back(&l, state, err);
	}
	if (status != KV_OK)
		kv_manifest_state_free(env, state);
	if (l.data != NULL)
		env->ops->free(env, l.data);
	if (l.missing != NULL)
		env->ops->free(env, l.missing);
	if (stepped_back != NULL)
		*stepped_back = back;
	return status;
}
