/* SPDX-License-Identifier: PostgreSQL */
/*
 * write_set_model.h - a transaction's own writes against a list of them all.
 */
#ifndef WRITE_SET_MODEL_H
#define WRITE_SET_MODEL_H

#include "engine/kv_engine.h"

typedef struct WriteSetPlan
{
	KvEnv *env;
	size_t max_bytes; /* of the set */
	int keys;
	size_t value_bytes; /* most values are shorter */
	size_t huge_bytes;	/* some are that long; 0: none */
	int ops;
	bool files; /* the environment has temporary files */
	/*
	 * NULL, or called before one operation in four, which may then fail, and
	 * after it; then nothing must have changed.
	 */
	void (*break_next)(KvEnv *env);
	void (*repair)(KvEnv *env);
} WriteSetPlan;

typedef struct WriteSetTally
{
	uint32_t most_runs;
	uint32_t merges; /* times that runs became fewer */
	uint32_t failures;
} WriteSetTally;

/* Random operations, three open iterators; differences are failed checks. */
WriteSetTally write_set_model_run(const WriteSetPlan *plan);

#endif /* WRITE_SET_MODEL_H */
