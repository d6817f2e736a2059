/* SPDX-License-Identifier: PostgreSQL */
/*
 * model.c - see model.h.
 */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void
model_init(Model *m)
{
	memset(m, 0, sizeof(*m));
}

void
model_free(Model *m)
{
	free(m->writes);
	memset(m, 0, sizeof(*m));
}

void
model_write(Model *m, uint32_t commit, uint16_t key, bool deleted)
{
	if (m->n_writes == m->cap)
	{
		m->cap = m->cap ? m->cap * 2 : 256;
		m->writes = realloc(m->writes, m->cap * sizeof(*m->writes));
		if (m->writes == NULL)
			abort();
	}
	m->writes[m->n_writes++] = (ModelWrite){commit, key, deleted};
}

void
model_state(const Model *m, uint32_t upto, uint32_t *state)
{
	uint32_t i;

	memset(state, 0, MODEL_KEYS * sizeof(*state));
	for (i = 0; i < m->n_writes && m->writes[i].commit <= upto; i++)
		if (!m->lost[m->writes[i].commit])
			state[m->writes[i].key] = m->writes[i].deleted
										  ? 0
										  : m->writes[i].commit;
}

void
model_truncate(Model *m, uint32_t upto)
{
	while (m->n_writes > 0 && m->writes[m->n_writes - 1].commit > upto)
		m->n_writes--;
	while (m->commits > upto)
		m->lost[m->commits--] = false;
}

uint32_t
model_key(uint16_t key, char *buf)
{
	/* store 1, names of different lengths, some a prefix of others */
	static const char letters[] = "abcdefgh";
	uint32_t n = 0;

	memcpy(buf, "\0\0\0\1", 4);
	n = 4;
	buf[n++] = letters[key % 8];
	if (key >= 8)
		n += (uint32_t) sprintf(buf + n, "%0*d", 1 + key % 23, key / 8);
	return n;
}

uint32_t
model_value(uint32_t commit, uint16_t key, char *buf)
{
	uint32_t n = (uint32_t) sprintf(buf, "%u/%u:", commit, key);
	uint32_t len = (commit * 2654435761u >> 16) % 60;

	/* now and then a value larger than a block */
	if (commit % 37 == 0)
		len += 1500;
	memset(buf + n, 'a' + (int) (commit % 26), len);
	return n + len;
}
