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
model_write(Model *m, uint32_t commit, uint16_t key, bool deleted,
			int64_t expires_us)
{
	if (m->n_writes == m->cap)
	{
		m->cap = m->cap ? m->cap * 2 : 256;
		m->writes = realloc(m->writes, m->cap * sizeof(*m->writes));
		if (m->writes == NULL)
			abort();
	}
	m->writes[m->n_writes++] = (ModelWrite){commit, key, deleted, expires_us};
}

void
model_state(const Model *m, uint32_t upto, int64_t now_us, uint32_t *state)
{
	uint32_t i;

	memset(state, 0, MODEL_KEYS * sizeof(*state));
	for (i = 0; i < m->n_writes && m->writes[i].commit <= upto; i++)
	{
		const ModelWrite *w = &m->writes[i];
		bool dead = w->deleted ||
					(w->expires_us != 0 && w->expires_us <= now_us);

		if (!m->lost[w->commit])
			state[w->key] = dead ? 0 : w->commit;
	}
}

void
model_lose(Model *m, uint32_t upto)
{
	uint32_t c;

	for (c = upto + 1; c <= m->commits; c++)
		m->lost[c] = true;
}

uint32_t
model_key(uint16_t key, char *buf)
{
	/* store 1, names of different lengths, some a prefix of others */
	static const char letters[] = "abcdefgh";
	uint32_t n = 0;

	memcpy(buf, "\0\0\0\1", 4);
	n = 4;
	/* a few that differ behind what bounds in a file's meta can hold */
	if (key % 16 == 3)
	{
		memset(buf + n, 'd', 140);
		n += 140;
	}
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
