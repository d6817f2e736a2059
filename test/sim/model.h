/* SPDX-License-Identifier: PostgreSQL */
/*
 * model.h - what the store should hold: a sorted array and its history.
 *
 * Commits are numbered from 1.  The state after any of them can be asked
 * for, which is how a recovered store is recognised as a prefix of history.
 * Lives outside the simulated disk.
 */
#ifndef SIM_MODEL_H
#define SIM_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#define MODEL_KEYS 96
#define MODEL_COMMITS 4096

typedef struct ModelWrite
{
	uint32_t commit; /* that wrote it; also names the value */
	uint16_t key;
	bool deleted;
} ModelWrite;

typedef struct Model
{
	ModelWrite *writes; /* in commit order */
	uint32_t n_writes, cap;
	uint32_t commits; /* that were issued */
	bool lost[MODEL_COMMITS + 1]; /* rolled back, or lost with the host's log */
} Model;

void model_init(Model *m);
void model_free(Model *m);
void model_write(Model *m, uint32_t commit, uint16_t key, bool deleted);
/* state[key]: the commit whose value it has after `upto`, 0 if absent */
void model_state(const Model *m, uint32_t upto, uint32_t *state);
/* Forgets what came after `upto`: it did not survive. */
void model_truncate(Model *m, uint32_t upto);

/* Bytes of key and value; both depend on the numbers alone. */
uint32_t model_key(uint16_t key, char *buf);
uint32_t model_value(uint32_t commit, uint16_t key, char *buf);
#define MODEL_VALUE_MAX 2048

#endif /* SIM_MODEL_H */
