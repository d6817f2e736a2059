/* SPDX-License-Identifier: PostgreSQL */
/*
 * manifest_model.h - made-up files, edits and comparisons for the tests of
 * the MANIFEST.
 */
#ifndef MANIFEST_MODEL_H
#define MANIFEST_MODEL_H

#include "engine/lsm/manifest.h"

#define MODEL_EDIT_FILES 4

/* An edit, and the arrays that it points to. */
typedef struct ModelEdit
{
	KvEdit edit;
	KvFileMeta adds[MODEL_EDIT_FILES];
	uint64_t removes[MODEL_EDIT_FILES];
	KvDoubt doubts[MODEL_EDIT_FILES];
	KvDoubt settles[MODEL_EDIT_FILES];
} ModelEdit;

/* Everything about the meta of a file follows from its number. */
KvFileMeta model_meta(uint64_t file_no);
bool model_same_meta(const KvFileMeta *a, const KvFileMeta *b);
bool model_same_state(const KvManifestState *a, const KvManifestState *b);
/* One that fits the state; *next_no is the next unused file number. */
void model_random_edit(ModelEdit *e, const KvManifestState *state,
					   uint64_t *next_no);

#endif /* MANIFEST_MODEL_H */
