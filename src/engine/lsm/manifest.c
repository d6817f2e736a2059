/* SPDX-License-Identifier: PostgreSQL */
/*
 * manifest.c - writes MANIFEST-n and switches CURRENT to it.
 *
 * Only ever appends to a MANIFEST that this process created: one that was
 * found on disk is read (manifest_load.c) and replaced.  One process at a
 * time, under KV_LOCK_WAL_IO (in the server: the engine worker).
 * docs/format.md specifies the bytes.
 */
#include "engine/base/check.h"
#include "engine/base/coding.h"
#include "engine/lsm/manifest_format.h"

struct KvManifest
{
	KvEnv *env;
	KvFile *file;
	uint64_t file_no, salt;
	uint64_t length;  /* end of the last record that is in the file */
	KvEditBuffer buf; /* what is being written */
	KvError poison;	  /* status KV_OK: healthy */
};

static KvStatus
poison(KvManifest *m, KvStatus status, const KvError *why, KvError *err)
{
	KV_ASSERT(status != KV_OK && m->poison.status == KV_OK);
	m->poison = *why;
	m->poison.status = status;
	m->poison.file_no = m->file_no;
	m->poison.offset = m->length;
	if (err != NULL)
		*err = m->poison;
	return status;
}

/*
 * Adds a record with edit to m->buf, whose first byte will stand at offset
 * m->length.
 */
static KvStatus
add_record(KvManifest *m, const KvEdit *edit, KvError *err)
{
	KvEditBuffer body = {0};
	uint64_t offset = m->length + m->buf.len;
	size_t start = m->buf.len;
	KvStatus status;
	char *p;

	status = kv_edit_encode(m->env, edit, &body, err);
	if (status != KV_OK)
		return status;
	if (body.len > UINT32_MAX)
		status = kv_fail(err, KV_TOO_LARGE, "edit of %zu bytes", body.len);
	else
	{
		p = m->env->ops->realloc(m->env, m->buf.data,
								 start + KV_MANIFEST_RECORD_BYTES + body.len);
		if (p == NULL)
			status = kv_fail(err, KV_NO_MEMORY, "out of memory for an edit");
		else
			m->buf.data = p;
	}
	if (status == KV_OK)
	{
		m->buf.cap = m->buf.len = start + KV_MANIFEST_RECORD_BYTES + body.len;
		p = m->buf.data + start;
		(void) kv_put_u32(p + KV_MANIFEST_AT_LENGTH, (uint32_t) body.len);
		(void) kv_put_u64(p + KV_MANIFEST_AT_OFFSET, offset);
		memcpy(p + KV_MANIFEST_RECORD_BYTES, body.data, body.len);
		(void) kv_put_u64(p, kv_checksum(m->salt, m->file_no, offset,
										 KV_MANIFEST_SUM_RECORD,
										 p + KV_MANIFEST_AT_LENGTH,
										 KV_MANIFEST_RECORD_BYTES -
											 KV_MANIFEST_AT_LENGTH + body.len));
	}
	m->env->ops->free(m->env, body.data);
	return status;
}

/* Header and the whole state as one record, synced. */
static KvStatus
write_state(KvManifest *m, const KvIdentity *identity,
			const KvManifestState *state, KvError *err)
{
	const KvEnvOps *ops = m->env->ops;
	KvFileHeader h = {.kind = KV_FILE_MANIFEST, .version = KV_MANIFEST_VERSION};
	KvEdit edit = {.adds = state->files,
				   .n_adds = state->n_files,
				   .doubts = state->doubts,
				   .n_doubts = state->n_doubts,
				   .min_wal = state->min_wal,
				   .flushed_csn = state->flushed_csn,
				   .flushed_lsn = state->flushed_lsn,
				   .file_no_ceiling = state->file_no_ceiling,
				   .store_id_ceiling = state->store_id_ceiling,
				   .csn_floor = state->csn_floor,
				   .runs_csn = state->runs_csn,
				   .wal_cut_no = state->wal_cut_no,
				   .wal_cut_end = state->wal_cut_end,
				   .clock_us = state->clock_us,
				   .timeline = state->timeline,
				   .incarnation = state->incarnation};
	KvStatus status;

	h.identity = *identity;
	h.file_no = m->file_no;
	h.salt = m->salt;
	m->buf.data = ops->alloc(m->env, KV_FILE_HEADER_BYTES);
	if (m->buf.data == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory for a MANIFEST");
	m->buf.cap = m->buf.len = KV_FILE_HEADER_BYTES;
	kv_file_header_encode(&h, m->buf.data);
	status = add_record(m, &edit, err);
	if (status == KV_OK && edit.flushed_lsn != 0)
		status = ops->flush_host_log(m->env, edit.flushed_lsn, err);
	if (status == KV_OK)
		status = ops->pwrite(m->env, m->file, m->buf.data, m->buf.len, 0, err);
	if (status == KV_OK && !KV_BUG(manifest_no_sync) &&
		!KV_BUG(current_before_manifest))
		status = ops->sync(m->env, m->file, err);
	if (status == KV_OK)
		m->length = m->buf.len;
	m->buf.len = 0;
	return status;
}

/* The new CURRENT, synced, under its temporary name. */
static KvStatus
write_current(KvManifest *m, const KvIdentity *identity, const char *temp,
			  KvError *err)
{
	const KvEnvOps *ops = m->env->ops;
	KvFileHeader h = {.kind = KV_FILE_CURRENT, .version = KV_CURRENT_VERSION};
	char bytes[KV_CURRENT_BYTES];
	KvFile *file;
	KvStatus status;

	h.identity = *identity;
	h.file_no = m->file_no;
	h.salt = ops->random(m->env);
	kv_file_header_encode(&h, bytes);
	(void) kv_put_u64(bytes + KV_CURRENT_AT_SALT, m->salt);
	(void) kv_put_u64(bytes + KV_CURRENT_AT_LENGTH, m->length);
	(void) kv_put_u64(bytes + KV_CURRENT_AT_SUM,
					  kv_checksum(h.salt, h.file_no, KV_FILE_HEADER_BYTES,
								  KV_CURRENT_SUM, bytes + KV_FILE_HEADER_BYTES,
								  KV_CURRENT_AT_SUM - KV_FILE_HEADER_BYTES));
	status = ops->open(m->env, temp, KV_OPEN_WRITE | KV_OPEN_CREATE, &file,
					   err);
	if (status != KV_OK)
		return status;
	status = ops->pwrite(m->env, file, bytes, sizeof(bytes), 0, err);
	if (status == KV_OK && !KV_BUG(current_no_sync))
		status = ops->sync(m->env, file, err);
	ops->close(m->env, file);
	return status;
}

KvStatus
kv_manifest_create(KvEnv *env, const KvIdentity *identity,
				   uint64_t manifest_no, const KvManifestState *state,
				   KvManifest **manifest, KvError *err)
{
	const KvEnvOps *ops = env->ops;
	char name[KV_NAME_MAX], temp[KV_NAME_MAX], current[KV_NAME_MAX];
	bool switching = false;
	KvManifest *m;
	KvStatus status;

	KV_ASSERT(ops->lock_held(env, KV_LOCK_WAL_IO));
	KV_ASSERT(manifest_no != 0);
	m = ops->alloc(env, sizeof(*m));
	if (m == NULL)
		return kv_fail(err, KV_NO_MEMORY, "out of memory for a MANIFEST");
	memset(m, 0, sizeof(*m));
	m->env = env;
	m->file_no = manifest_no;
	m->salt = ops->random(env);
	kv_file_name(name, KV_NAME_MANIFEST, manifest_no);
	kv_file_name(temp, KV_NAME_TEMP, manifest_no);
	kv_file_name(current, KV_NAME_CURRENT, 0);

	status = ops->open(env, name, KV_OPEN_WRITE | KV_OPEN_CREATE, &m->file,
					   err);
	if (status != KV_OK)
	{
		ops->free(env, m);
		return status;
	}
	status = write_state(m, identity, state, err);
	/* the MANIFEST's entry is durable before CURRENT can name it */
	if (status == KV_OK && !KV_BUG(manifest_no_dir_sync))
		status = ops->sync_dir(env, err);
	if (status == KV_OK)
		status = write_current(m, identity, temp, err);
	if (status == KV_OK)
	{
		ops->stop(env, "current-switch");
		switching = true;
		status = ops->rename(env, temp, current, err);
	}
	if (status == KV_OK && !KV_BUG(current_no_dir_sync))
		status = ops->sync_dir(env, err);
	if (status == KV_OK && KV_BUG(current_before_manifest))
		status = ops->sync(env, m->file, err);
	if (status == KV_OK)
	{
		*manifest = m;
		return KV_OK;
	}
	(void) ops->unlink(env, temp, NULL);
	kv_manifest_close(m);
	/* a rename that failed may have happened: CURRENT may name the file */
	if (!switching)
		(void) ops->unlink(env, name, NULL);
	return status;
}

KvStatus
kv_manifest_append(KvManifest *m, const KvEdit *edit, KvError *err)
{
	const KvEnvOps *ops = m->env->ops;
	KvError why;
	KvStatus status;

	KV_ASSERT(ops->lock_held(m->env, KV_LOCK_WAL_IO));
	if (m->poison.status != KV_OK)
	{
		if (err != NULL)
			*err = m->poison;
		return m->poison.status;
	}
	m->buf.len = 0;
	status = add_record(m, edit, err);
	if (status == KV_OK && edit->flushed_lsn != 0 &&
		!KV_BUG(flush_before_host_log))
		status = ops->flush_host_log(m->env, edit->flushed_lsn, err);
	/* nothing was written up to here: no reason to give the file up */
	if (status != KV_OK)
		return status;
	ops->stop(m->env, "manifest-write");
	kv_error_clear(&why);
	status = ops->pwrite(m->env, m->file, m->buf.data, m->buf.len, m->length,
						 &why);
	if (status == KV_OK)
	{
		m->length += m->buf.len;
		if (!KV_BUG(manifest_no_sync) &&
			!(KV_BUG(files_removed_before_edit) && edit->n_removes > 0))
			status = ops->sync(m->env, m->file, &why);
	}
	if (status != KV_OK)
	{
		if (KV_BUG(manifest_append_after_failure))
			return status;
		return poison(m, status, &why, err);
	}
	ops->stop(m->env, "manifest-synced");
	return KV_OK;
}

uint64_t
kv_manifest_bytes(const KvManifest *m)
{
	return m->length;
}

uint64_t
kv_manifest_number(const KvManifest *m)
{
	return m->file_no;
}

void
kv_manifest_close(KvManifest *m)
{
	KvEnv *env = m->env;

	env->ops->close(env, m->file);
	if (m->buf.data != NULL)
		env->ops->free(env, m->buf.data);
	env->ops->free(env, m);
}
