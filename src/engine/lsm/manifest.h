/* SPDX-License-Identifier: PostgreSQL */
/*
 * manifest.h - which files make up the store: MANIFEST-n and CURRENT.
 *
 * A MANIFEST is a sequence of edits, each a checksummed record; the state is
 * their sum.  Written by the engine worker alone (in tests: under
 * KV_LOCK_WAL_IO).  docs/format.md has the bytes; tags are frozen.
 */
#ifndef KV_MANIFEST_H
#define KV_MANIFEST_H

#include "engine/base/entry.h"
#include "engine/base/identity.h"
#include "engine/kv_env.h"

#define KV_BOUND_BYTES 128 /* keys in file bounds are cut to this */
#define KV_LEVELS	   7

/* One SSTable as the MANIFEST and the shared file table know it. */
typedef struct KvFileMeta
{
	uint64_t file_no;
	uint64_t size;
	uint64_t digest;
	uint64_t entries, tombstones;
	uint64_t min_csn, max_csn;
	uint64_t min_xid, max_xid;
	int64_t oldest_expiry_us;
	uint64_t key_bytes, value_bytes;
	uint64_t run_csn; /* not 0: an ingested run; overrides the entries' csn */
	uint64_t run_xid; /* and xid */
	uint8_t level;
	bool has_doubt; /* its doubtful xids are in the state's list */
	/*
	 * Bounds: smallest is a prefix of the smallest key; largest is a prefix
	 * of the largest, and if it was cut, every key that starts with it is
	 * within the bound.
	 */
	uint16_t smallest_len, largest_len;
	bool largest_cut;
	char smallest[KV_BOUND_BYTES];
	char largest[KV_BOUND_BYTES];
	uint64_t range_deletes; /* the bounds include what they cover */
} KvFileMeta;

/* A transaction that was running when a file with its versions was written. */
typedef struct KvDoubt
{
	uint64_t file_no;
	uint64_t xid;
	uint8_t state; /* KvXactState; IN_DOUBT until an edit settles it */
} KvDoubt;

/*
 * An edit.  Zero means "unchanged" for the scalars.  Arrays are borrowed.
 * Applied as: removes, adds, doubts, settles, scalars.
 */
typedef struct KvEdit
{
	const KvFileMeta *adds;
	uint32_t n_adds;
	const uint64_t *removes; /* file numbers */
	uint32_t n_removes;
	const KvDoubt *doubts; /* of added files */
	uint32_t n_doubts;
	const KvDoubt *settles; /* file_no ignored: holds for the xid */
	uint32_t n_settles;
	uint64_t min_wal;	  /* WAL segments below it are no longer needed */
	uint64_t flushed_csn; /* every batch up to it is in SSTables */
	uint64_t flushed_lsn;
	uint64_t file_no_ceiling; /* numbers below it may be handed out */
	uint64_t store_id_ceiling;
	uint64_t csn_floor; /* the next csn is larger */
	uint64_t runs_csn;	/* every ingested run up to it was named by an edit */
	/* recovery used that segment up to there; no longer written or used */
	uint64_t wal_cut_no, wal_cut_end;
	int64_t clock_us;				/* persisted monotone clock */
	uint32_t timeline, incarnation; /* of the recovery that wrote the edit */
} KvEdit;

/* The sum of the edits; owned by the caller, freed with kv_manifest_state_free. */
typedef struct KvManifestState
{
	KvFileMeta *files; /* in the order of file numbers */
	uint32_t n_files, cap_files;
	KvDoubt *doubts;
	uint32_t n_doubts, cap_doubts;
	uint64_t min_wal, flushed_csn, flushed_lsn;
	uint64_t file_no_ceiling, store_id_ceiling, csn_floor, runs_csn;
	uint64_t wal_cut_no, wal_cut_end;
	int64_t clock_us;
	uint32_t timeline, incarnation;
	uint64_t manifest_no;
	uint64_t edits; /* that were read */
	bool torn;		/* the last record was incomplete and was ignored */
} KvManifestState;

void kv_manifest_state_free(KvEnv *env, KvManifestState *state);
/*
 * Removing a file that is not there, or adding one twice, is KV_CORRUPT.  A
 * file that is removed and added by one edit (a move) keeps its doubts.  A
 * failure leaves the state as it was.
 */
KvStatus kv_manifest_apply(KvEnv *env, KvManifestState *state,
						   const KvEdit *edit, KvError *err) KV_MUST_CHECK;
/* All of it that can fail: afterwards the same kv_manifest_apply does not. */
KvStatus kv_manifest_prepare(KvEnv *env, KvManifestState *state,
							 const KvEdit *edit, KvError *err) KV_MUST_CHECK;

/*
 * Reads CURRENT and the MANIFEST that it names.  KV_NOT_FOUND: no CURRENT
 * (an empty folder).  exists (may be NULL) is asked for each added file, also
 * for those that a later edit removes: what counts is whether a state is
 * complete.  If the newest is not (a copy of the folder that lacks a file),
 * the result is the newest that is, and *stepped_back is set; KV_CORRUPT if
 * there is none.  That exists could not tell is a failure, not an answer.
 * *state is to be freed after KV_OK only.
 * identity->system_id must match: else KV_FOREIGN.
 */
typedef KvStatus (*KvFileExistsFn)(void *arg, uint64_t file_no, uint64_t size,
								   bool *exists, KvError *err);
KvStatus kv_manifest_load(KvEnv *env, const KvIdentity *identity,
						  KvFileExistsFn exists, void *arg,
						  KvManifestState *state, bool *stepped_back,
						  KvError *err) KV_MUST_CHECK;

typedef struct KvManifest KvManifest; /* open for appending */

/*
 * Writes the whole state as MANIFEST-<manifest_no>, syncs it and the folder,
 * then switches CURRENT to it and syncs the folder.  On failure nothing was
 * switched, or both are complete; the old MANIFEST is not removed here.
 */
KvStatus kv_manifest_create(KvEnv *env, const KvIdentity *identity,
							uint64_t manifest_no, const KvManifestState *state,
							KvManifest **m, KvError *err) KV_MUST_CHECK;
/*
 * Appends an edit and syncs.  A failure poisons the MANIFEST: every later
 * call returns the same status; the caller rolls to a new one.
 */
KvStatus kv_manifest_append(KvManifest *m, const KvEdit *edit,
							KvError *err) KV_MUST_CHECK;
uint64_t kv_manifest_bytes(const KvManifest *m);
uint64_t kv_manifest_number(const KvManifest *m);
void kv_manifest_close(KvManifest *m);

/* One file meta as bytes (MANIFEST edits and KV_LOG_INGEST records). */
size_t kv_meta_encode(const KvFileMeta *meta, char *buf, size_t cap);
KvStatus kv_meta_decode(KvSlice *in, KvFileMeta *meta,
						KvError *err) KV_MUST_CHECK;
#define KV_META_MAX_BYTES 512

#endif /* KV_MANIFEST_H */
