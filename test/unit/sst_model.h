/* SPDX-License-Identifier: PostgreSQL */
/*
 * sst_model.h - tables built from a sorted array of entries, and compared
 * with it; shared by the tests of SSTables.
 */
#ifndef SST_MODEL_H
#define SST_MODEL_H

#include "env_posix.h"
#include "harness.h"

#include "engine/base/file_header.h"
#include "engine/sst/sst.h"

#define MODEL_FILE_NO 7
#define MODEL_FILE	  "7.sst"

extern const KvIdentity model_identity;

typedef struct Row
{
	char *key;
	size_t key_len;
	char *value;
	size_t value_len;
	uint64_t csn;
	uint64_t xid;
	int64_t expires_us;
	uint8_t kind;
} Row;

typedef struct Model
{
	Row *rows;
	size_t n;
} Model;

KvSlice row_key(const Row *r);
KvEntry row_entry(const Row *r);
bool row_equals(const Row *want, const KvEntry *got);
void check_row(const KvEntry *got, const Row *want);
/* memory of the caller's; alphabet: how many different bytes, from 'a' */
char *random_bytes(size_t len, int alphabet);
Row random_row(size_t max_key, size_t max_value, int alphabet);
void row_free(Row *r);

Model random_model(size_t n, size_t max_key, size_t max_value, int alphabet);
void model_sort(Model *m);
void model_free(Model *m);
/* first row at or after (key, csn) */
size_t model_seek(const Model *m, KvSlice key, uint64_t csn);

/* Writes the model to MODEL_FILE, which is replaced. */
KvSstSummary build_model(PosixEnv *penv, const Model *m,
						 const KvSstOptions *options);
KvStatus open_table(PosixEnv *penv, KvCache *cache, uint64_t size,
					KvSstOverride override, KvSst **sst, KvError *err);
/* An area with that many frames; free() it. */
void *new_cache(KvCache *cache, KvEnv *env, size_t frames,
				uint32_t frame_bytes);

/* Compare; failures are the running test's. */
void check_get(KvSst *sst, const Model *m, KvSlice key, KvSstStats *stats);
void check_gets(KvSst *sst, const Model *m, size_t max_key, int alphabet);
void check_scans(KvSst *sst, const Model *m, uint32_t readahead);
void check_moves(KvSst *sst, const Model *m, uint32_t readahead, int moves,
				 size_t max_key, int alphabet);

#endif /* SST_MODEL_H */
