/* SPDX-License-Identifier: PostgreSQL */
/*
 * engine_leveldb.c - LevelDB through its C API.
 *
 * Implements bench.h; no other engine is linked into the same program.
 */
#include <leveldb/c.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

struct Session
{
	leveldb_writebatch_t *batch;
};

const char *const engine_name = "leveldb";

static leveldb_t *db;
static leveldb_readoptions_t *ropt;
static leveldb_writeoptions_t *wopt, *wopt_sync;

static void
check(const char *what, char *err)
{
	if (err != NULL)
		bench_die(what, err);
}

void
engine_describe(FILE *out)
{
	fprintf(out, "version\t%d.%d\n", leveldb_major_version(),
			leveldb_minor_version());
	fprintf(out,
			"options\twrite_buffer 64 MiB, block 4 KiB, block cache 1 GiB "
			"LRU, Bloom 10 bits, max_file_size 8 MiB, snappy or none, "
			"sync off, checksums of reads not verified (its default)\n");
}

void
engine_open(const BenchConfig *config)
{
	leveldb_options_t *o = leveldb_options_create();
	char *err = NULL;

	if (strcmp(config->variant, "default") != 0)
		bench_die(config->variant, "no such variant");
	leveldb_options_set_create_if_missing(o, 1);
	leveldb_options_set_write_buffer_size(o, 64 << 20);
	leveldb_options_set_block_size(o, 4096);
	leveldb_options_set_max_file_size(o, 8 << 20);
	leveldb_options_set_cache(o, leveldb_cache_create_lru((size_t) 1 << 30));
	leveldb_options_set_filter_policy(o, leveldb_filterpolicy_create_bloom(10));
	if (config->compress == BENCH_LZ4)
		bench_die("LZ4", "it has snappy only");
	leveldb_options_set_compression(o, config->compress != BENCH_NONE
										   ? leveldb_snappy_compression
										   : leveldb_no_compression);
	db = leveldb_open(o, config->dir, &err);
	check("open", err);
	ropt = leveldb_readoptions_create();
	wopt = leveldb_writeoptions_create();
	wopt_sync = leveldb_writeoptions_create();
	leveldb_writeoptions_set_sync(wopt_sync, 1);
}

void
engine_close(void)
{
	leveldb_close(db);
}

void
engine_compact(void)
{
	leveldb_compact_range(db, NULL, 0, NULL, 0);
}

void
engine_counters(FILE *out)
{
	char *text = leveldb_property_value(db, "leveldb.stats");

	if (text != NULL)
		fprintf(out, "%s\n", text);
	leveldb_free(text);
}

Session *
session_open(void)
{
	Session *s = calloc(1, sizeof(*s));

	if (s == NULL)
		bench_die("session", "out of memory");
	s->batch = leveldb_writebatch_create();
	return s;
}

void
session_close(Session *s)
{
	leveldb_writebatch_destroy(s->batch);
	free(s);
}

void
engine_put(Session *s, const char *key, const char *value)
{
	char *err = NULL;

	(void) s;
	leveldb_put(db, wopt, key, BENCH_KEY, value, BENCH_VALUE, &err);
	check("put", err);
}

void
engine_put_sync(Session *s, const char *key, const char *value)
{
	char *err = NULL;

	(void) s;
	leveldb_put(db, wopt_sync, key, BENCH_KEY, value, BENCH_VALUE, &err);
	check("put", err);
}

void
engine_delete(Session *s, const char *key)
{
	char *err = NULL;

	(void) s;
	leveldb_delete(db, wopt, key, BENCH_KEY, &err);
	check("delete", err);
}

void
engine_batch_add(Session *s, const char *key, const char *value)
{
	leveldb_writebatch_put(s->batch, key, BENCH_KEY, value, BENCH_VALUE);
}

void
engine_batch_commit(Session *s)
{
	char *err = NULL;

	leveldb_write(db, wopt, s->batch, &err);
	check("write", err);
	leveldb_writebatch_clear(s->batch);
}

bool
engine_get(Session *s, const char *key, uint64_t *sum)
{
	char *err = NULL, *value;
	size_t len;

	(void) s;
	value = leveldb_get(db, ropt, key, BENCH_KEY, &len, &err);
	check("get", err);
	if (value == NULL)
		return false;
	*sum += bench_touch(key, value, len);
	leveldb_free(value);
	return true;
}

/* LevelDB has no call for several keys. */
unsigned
engine_multiget(Session *s, const char *keys, unsigned n, uint64_t *sum)
{
	unsigned i, found = 0;

	for (i = 0; i < n; i++)
		found += engine_get(s, keys + i * BENCH_KEY, sum);
	return found;
}

uint64_t
engine_scan(Session *s, const char *from, bool reverse, uint64_t limit,
			uint64_t *sum)
{
	leveldb_iterator_t *it = leveldb_create_iterator(db, ropt);
	uint64_t rows = 0;
	size_t key_len, len;

	(void) s;
	if (from != NULL)
		leveldb_iter_seek(it, from, BENCH_KEY);
	else if (reverse)
		leveldb_iter_seek_to_last(it);
	else
		leveldb_iter_seek_to_first(it);
	while (rows < limit && leveldb_iter_valid(it))
	{
		const char *key = leveldb_iter_key(it, &key_len);
		const char *value = leveldb_iter_value(it, &len);

		*sum += bench_touch(key, value, len);
		rows++;
		if (reverse)
			leveldb_iter_prev(it);
		else
			leveldb_iter_next(it);
	}
	leveldb_iter_destroy(it);
	return rows;
}
