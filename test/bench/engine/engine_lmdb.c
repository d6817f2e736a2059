/* SPDX-License-Identifier: PostgreSQL */
/*
 * engine_lmdb.c - LMDB.
 *
 * Implements bench.h; no other engine is linked into the same program.  The
 * environment is opened with MDB_NOSYNC, except in the variant "sync", whose
 * commits are durable as they are by default.  A read transaction is renewed
 * for every get and every scan, so that reads see the newest commit as the
 * other engines' do.
 */
#include <lmdb.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

struct Session
{
	MDB_txn *read;	/* reset between calls */
	MDB_txn *batch; /* NULL: none open */
};

const char *const engine_name = "lmdb";

static MDB_env *env;
static MDB_dbi dbi;
static bool synced; /* every commit is */

static void
check(const char *what, int rc)
{
	if (rc != 0)
		bench_die(what, mdb_strerror(rc));
}

void
engine_describe(FILE *out)
{
	fprintf(out, "version\t%d.%d.%d\n", MDB_VERSION_MAJOR, MDB_VERSION_MINOR,
			MDB_VERSION_PATCH);
	fprintf(out, "options\tmap 24 GiB, MDB_NOSYNC (writemap: MDB_WRITEMAP "
				 "too), MDB_NORDAHEAD not set, read transaction renewed for "
				 "every get, no compression\n");
}

void
engine_open(const BenchConfig *config)
{
	unsigned flags = MDB_NOTLS;
	MDB_txn *txn;

	/* the choice is per process: a run of synced puts is one of its own */
	synced = strcmp(config->variant, "sync") == 0;
	if (!synced)
		flags |= MDB_NOSYNC;
	if (strcmp(config->variant, "writemap") == 0)
		flags |= MDB_WRITEMAP;
	check("create", mdb_env_create(&env));
	check("mapsize", mdb_env_set_mapsize(env, (size_t) 24 << 30));
	check("open", mdb_env_open(env, config->dir, flags, 0600));
	check("begin", mdb_txn_begin(env, NULL, 0, &txn));
	check("dbi", mdb_dbi_open(txn, NULL, 0, &dbi));
	check("commit", mdb_txn_commit(txn));
}

void
engine_close(void)
{
	mdb_env_close(env);
}

/* A B-tree that is updated in place: nothing to do. */
void
engine_compact(void)
{
}

void
engine_counters(FILE *out)
{
	MDB_stat st;

	check("stat", mdb_env_stat(env, &st));
	fprintf(out, "depth %u, %zu leaf pages, %zu entries\n", st.ms_depth,
			st.ms_leaf_pages, st.ms_entries);
}

Session *
session_open(void)
{
	Session *s = calloc(1, sizeof(*s));

	if (s == NULL)
		bench_die("session", "out of memory");
	check("begin", mdb_txn_begin(env, NULL, MDB_RDONLY, &s->read));
	mdb_txn_reset(s->read);
	return s;
}

void
session_close(Session *s)
{
	mdb_txn_abort(s->read);
	free(s);
}

static void
add(MDB_txn *txn, const char *key, const char *value)
{
	MDB_val k = {BENCH_KEY, (void *) key};
	MDB_val v = {BENCH_VALUE, (void *) value};

	check("put", mdb_put(txn, dbi, &k, &v, 0));
}

void
engine_put(Session *s, const char *key, const char *value)
{
	MDB_txn *txn;

	(void) s;
	check("begin", mdb_txn_begin(env, NULL, 0, &txn));
	add(txn, key, value);
	check("commit", mdb_txn_commit(txn));
}

void
engine_put_sync(Session *s, const char *key, const char *value)
{
	engine_put(s, key, value);
	if (!synced)
		check("sync", mdb_env_sync(env, 1));
}

void
engine_delete(Session *s, const char *key)
{
	MDB_val k = {BENCH_KEY, (void *) key};
	MDB_txn *txn;
	int rc;

	(void) s;
	check("begin", mdb_txn_begin(env, NULL, 0, &txn));
	rc = mdb_del(txn, dbi, &k, NULL);
	if (rc != MDB_NOTFOUND)
		check("delete", rc);
	check("commit", mdb_txn_commit(txn));
}

void
engine_batch_add(Session *s, const char *key, const char *value)
{
	if (s->batch == NULL)
		check("begin", mdb_txn_begin(env, NULL, 0, &s->batch));
	add(s->batch, key, value);
}

void
engine_batch_commit(Session *s)
{
	check("commit", mdb_txn_commit(s->batch));
	s->batch = NULL;
}

static bool
get_in(MDB_txn *txn, const char *key, uint64_t *sum)
{
	MDB_val k = {BENCH_KEY, (void *) key}, v;
	int rc = mdb_get(txn, dbi, &k, &v);

	if (rc == MDB_NOTFOUND)
		return false;
	check("get", rc);
	*sum += bench_touch(key, v.mv_data, v.mv_size);
	return true;
}

bool
engine_get(Session *s, const char *key, uint64_t *sum)
{
	bool found;

	check("renew", mdb_txn_renew(s->read));
	found = get_in(s->read, key, sum);
	mdb_txn_reset(s->read);
	return found;
}

/* LMDB has no call for several keys; they share one read transaction. */
unsigned
engine_multiget(Session *s, const char *keys, unsigned n, uint64_t *sum)
{
	unsigned i, found = 0;

	check("renew", mdb_txn_renew(s->read));
	for (i = 0; i < n; i++)
		found += get_in(s->read, keys + i * BENCH_KEY, sum);
	mdb_txn_reset(s->read);
	return found;
}

uint64_t
engine_scan(Session *s, const char *from, bool reverse, uint64_t limit,
			uint64_t *sum)
{
	MDB_val k = {BENCH_KEY, (void *) from}, v;
	MDB_cursor *cursor;
	uint64_t rows = 0;
	int rc;

	check("renew", mdb_txn_renew(s->read));
	check("cursor", mdb_cursor_open(s->read, dbi, &cursor));
	rc = mdb_cursor_get(cursor, &k, &v,
						from != NULL ? MDB_SET_RANGE
						: reverse	 ? MDB_LAST
									 : MDB_FIRST);
	while (rc == 0)
	{
		*sum += bench_touch(k.mv_data, v.mv_data, v.mv_size);
		if (++rows == limit)
			break;
		rc = mdb_cursor_get(cursor, &k, &v, reverse ? MDB_PREV : MDB_NEXT);
	}
	if (rc != MDB_NOTFOUND)
		check("scan", rc);
	mdb_cursor_close(cursor);
	mdb_txn_reset(s->read);
	return rows;
}
