/* SPDX-License-Identifier: PostgreSQL */
/*
 * model.h - what the store should hold: a sorted array and its history.
 *
 * Commits are numbered from 1, and no number is used twice, also not that of
 * a commit that did not survive: its values would look like the new ones.
 * The state after any of them can be asked for, which is how a recovered
 * store is recognised as a prefix of history.
 * Lives outside the simulated disk.
 */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define MODEL_KEYS	  96
#define MODEL_COMMITS 4096

typedef struct ModelWrite
{
	uint32_t commit; /* that wrote it; also names the value */
	uint16_t key;
	bool deleted;
	int64_t expires_us; /* 0: never */
} ModelWrite;

typedef struct Model
{
	ModelWrite *writes; /* in commit order */
	uint32_t n_writes, cap;
	uint32_t commits;			  /* that were issued */
	bool lost[MODEL_COMMITS + 1]; /* not committed, rolled back or not survived */
} Model;

void model_init(Model *m);
void model_free(Model *m);
void model_write(Model *m, uint32_t commit, uint16_t key, bool deleted,
				 int64_t expires_us);
/* state[key]: the commit whose value it has after `upto`, 0 if absent */
void model_state(const Model *m, uint32_t upto, int64_t now_us,
				 uint32_t *state);
/* What came after `upto` did not survive. */
void model_lose(Model *m, uint32_t upto);

/* Bytes of key and value; both depend on the numbers alone. */
uint32_t model_key(uint16_t key, char *buf);
uint32_t model_value(uint32_t commit, uint16_t key, char *buf);
#define MODEL_VALUE_MAX 2048
#define MODEL_KEY_MAX	192

#endif /* SIM_MODEL_H */
