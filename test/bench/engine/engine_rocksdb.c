/* SPDX-License-Identifier: PostgreSQL */
/*
 * engine_rocksdb.c - RocksDB through its C API.
 *
 * Implements bench.h; no other engine is linked into the same program.
 * Values are read with the calls that copy least: pinned slices, and the
 * batched multiget.  Variants: walbuf (manual_wal_flush: its log is buffered
 * in the process), nowal (no log: the ceiling of its memtable), tuned (hash
 * index in blocks, memtable filter, four write buffers, dynamic levels).
 */
#include <rocksdb/c.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

struct Session
{
	rocksdb_writebatch_t *batch;
};

const char *const engine_name = "rocksdb";

static rocksdb_t *db;
static rocksdb_column_family_handle_t *cf; /* the default one */
static rocksdb_readoptions_t *ropt;
static rocksdb_writeoptions_t *wopt, *wopt_sync;

static void
check(const char *what, char *err)
{
	if (err != NULL)
		bench_die(what, err);
}

void
engine_describe(FILE *out)
{
	fprintf(out, "version\t%s\n", ROCKSDB_VERSION);
	fprintf(out,
			"options\twrite buffer 64 MiB x 2, block 4 KiB, block cache 1 GiB "
			"LRU, full Bloom 10 bits, files 64 MiB, max_background_jobs 2, "
			"snappy, LZ4 or none, checksums verified; walbuf: "
			"manual_wal_flush; "
			"nowal: no log; "
			"tuned: data block hash index 0.75, memtable filter 0.1 of whole "
			"keys, 4 write buffers, dynamic level bytes (HyperClockCache is "
			"not "
			"in its C interface)\n");
}

static rocksdb_block_based_table_options_t *
table_options(bool tuned)
{
	rocksdb_block_based_table_options_t *t = rocksdb_block_based_options_create();

	rocksdb_block_based_options_set_block_size(t, 4096);
	rocksdb_block_based_options_set_block_cache(t,
												rocksdb_cache_create_lru((size_t) 1
																		 << 30));
	rocksdb_block_based_options_set_filter_policy(t,
												  rocksdb_filterpolicy_create_bloom_full(10));
	if (tuned)
	{
		rocksdb_block_based_options_set_data_block_index_type(
			t,
			rocksdb_block_based_table_data_block_index_type_binary_search_and_hash);
		rocksdb_block_based_options_set_data_block_hash_ratio(t, 0.75);
	}
	return t;
}

void
engine_open(const BenchConfig *config)
{
	rocksdb_options_t *o = rocksdb_options_create();
	bool tuned = strcmp(config->variant, "tuned") == 0;
	const char *names[1] = {"default"};
	const rocksdb_options_t *cf_options[1] = {o};
	char *err = NULL;

	rocksdb_options_set_create_if_missing(o, 1);
	rocksdb_options_set_write_buffer_size(o, 64 << 20);
	rocksdb_options_set_max_write_buffer_number(o, tuned ? 4 : 2);
	rocksdb_options_set_target_file_size_base(o, 64 << 20);
	rocksdb_options_set_max_background_jobs(o, 2);
	rocksdb_options_set_block_based_table_factory(o, table_options(tuned));
	rocksdb_options_set_compression(o, config->compress == BENCH_NONE
										   ? rocksdb_no_compression
									   : config->compress == BENCH_LZ4
										   ? rocksdb_lz4_compression
										   : rocksdb_snappy_compression);
	if (tuned)
	{
		rocksdb_options_set_memtable_prefix_bloom_size_ratio(o, 0.1);
		rocksdb_options_set_memtable_whole_key_filtering(o, 1);
		rocksdb_options_set_level_compaction_dynamic_level_bytes(o, 1);
	}
	else if (strcmp(config->variant, "walbuf") == 0)
		rocksdb_options_set_manual_wal_flush(o, 1);
	else if (strcmp(config->variant, "default") != 0 &&
			 strcmp(config->variant, "nowal") != 0)
		bench_die(config->variant, "no such variant");
	db = rocksdb_open_column_families(o, config->dir, 1, names, cf_options,
									  &cf, &err);
	check("open", err);
	ropt = rocksdb_readoptions_create();
	wopt = rocksdb_writeoptions_create();
	rocksdb_writeoptions_disable_WAL(wopt,
									 strcmp(config->variant, "nowal") == 0);
	wopt_sync = rocksdb_writeoptions_create();
	rocksdb_writeoptions_set_sync(wopt_sync, 1);
}

void
engine_close(void)
{
	rocksdb_column_family_handle_destroy(cf);
	rocksdb_close(db);
}

void
engine_compact(void)
{
	rocksdb_compact_range(db, NULL, 0, NULL, 0);
}

void
engine_counters(FILE *out)
{
	char *text = rocksdb_property_value(db, "rocksdb.levelstats");

	if (text != NULL)
		fprintf(out, "%s\n", text);
	rocksdb_free(text);
}

Session *
session_open(void)
{
	Session *s = calloc(1, sizeof(*s));

	if (s == NULL)
		bench_die("session", "out of memory");
	s->batch = rocksdb_writebatch_create();
	return s;
}

void
session_close(Session *s)
{
	rocksdb_writebatch_destroy(s->batch);
	free(s);
}

void
engine_put(Session *s, const char *key, const char *value)
{
	char *err = NULL;

	(void) s;
	rocksdb_put(db, wopt, key, BENCH_KEY, value, BENCH_VALUE, &err);
	check("put", err);
}

void
engine_put_sync(Session *s, const char *key, const char *value)
{
	char *err = NULL;

	(void) s;
	rocksdb_put(db, wopt_sync, key, BENCH_KEY, value, BENCH_VALUE, &err);
	check("put", err);
}

void
engine_delete(Session *s, const char *key)
{
	char *err = NULL;

	(void) s;
	rocksdb_delete(db, wopt, key, BENCH_KEY, &err);
	check("delete", err);
}

void
engine_batch_add(Session *s, const char *key, const char *value)
{
	rocksdb_writebatch_put(s->batch, key, BENCH_KEY, value, BENCH_VALUE);
}

void
engine_batch_commit(Session *s)
{
	char *err = NULL;

	rocksdb_write(db, wopt, s->batch, &err);
	check("write", err);
	rocksdb_writebatch_clear(s->batch);
}

static bool
touch_pinned(const char *key, rocksdb_pinnableslice_t *pinned, uint64_t *sum)
{
	const char *value;
	size_t len;

	if (pinned == NULL)
		return false;
	value = rocksdb_pinnableslice_value(pinned, &len);
	*sum += bench_touch(key, value, len);
	rocksdb_pinnableslice_destroy(pinned);
	return true;
}

bool
engine_get(Session *s, const char *key, uint64_t *sum)
{
	char *err = NULL;
	rocksdb_pinnableslice_t *pinned;

	(void) s;
	pinned = rocksdb_get_pinned(db, ropt, key, BENCH_KEY, &err);
	check("get", err);
	return touch_pinned(key, pinned, sum);
}

unsigned
engine_multiget(Session *s, const char *keys, unsigned n, uint64_t *sum)
{
	const char *list[BENCH_MULTI] = {NULL};
	size_t sizes[BENCH_MULTI] = {0};
	rocksdb_pinnableslice_t *values[BENCH_MULTI];
	char *errs[BENCH_MULTI];
	unsigned i, found = 0;

	(void) s;
	for (i = 0; i < n; i++)
	{
		list[i] = keys + i * BENCH_KEY;
		sizes[i] = BENCH_KEY;
	}
	rocksdb_batched_multi_get_cf(db, ropt, cf, n, list, sizes, values, errs,
								 false);
	for (i = 0; i < n; i++)
	{
		check("multiget", errs[i]);
		found += touch_pinned(list[i], values[i], sum);
	}
	return found;
}

uint64_t
engine_scan(Session *s, const char *from, bool reverse, uint64_t limit,
			uint64_t *sum)
{
	rocksdb_iterator_t *it = rocksdb_create_iterator(db, ropt);
	uint64_t rows = 0;
	size_t key_len, len;

	(void) s;
	if (from != NULL)
		rocksdb_iter_seek(it, from, BENCH_KEY);
	else if (reverse)
		rocksdb_iter_seek_to_last(it);
	else
		rocksdb_iter_seek_to_first(it);
	while (rows < limit && rocksdb_iter_valid(it))
	{
		const char *key = rocksdb_iter_key(it, &key_len);
		const char *value = rocksdb_iter_value(it, &len);

		*sum += bench_touch(key, value, len);
		rows++;
		if (reverse)
			rocksdb_iter_prev(it);
		else
			rocksdb_iter_next(it);
	}
	rocksdb_iter_destroy(it);
	return rows;
}
