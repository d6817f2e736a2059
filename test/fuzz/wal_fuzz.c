/* SPDX-License-Identifier: PostgreSQL */
/*
 * wal_fuzz.c - a WAL segment of any content, and batches in its records.
 *
 * Input: a byte that says whether the segment has a successor, whose header
 * tells its length; then the segment behind the file header.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/kv_engine.h"
#include "engine/wal/wal.h"
#include "fuzz.h"

static void
read_batch(KvSlice payload)
{
	KvEntry e;
	KvError err;
	uint32_t count, n = 0;

	if (kv_batch_start(&payload, &count, &err) != KV_OK)
		return;
	while (payload.len > 0 && kv_batch_next(&payload, &e, &err) == KV_OK)
		n++;
	/* what was accepted is as many as was said */
	if (payload.len == 0 && n != count)
		abort();
}

static void
read_segment(SimEnv *sim, uint64_t limit)
{
	KvWalReader *r;
	KvWalStart start;
	KvLogRecord rec;
	KvError err;
	uint64_t end = 0;

	if (kv_wal_open(&sim->env, &fuzz_identity, FUZZ_FILE_NO, &r, &start,
					&err) != KV_OK)
		return;
	while (kv_wal_next(r, limit, &rec, &err) == KV_OK)
	{
		if (kv_wal_good_end(r) < end)
			abort();
		end = kv_wal_good_end(r);
		if (rec.type == KV_LOG_BATCH)
			read_batch(rec.payload);
	}
	kv_wal_reader_close(r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SimEnv *sim;
	uint64_t limit = 0;

	if (size < 1)
		return 0;
	if (data[0] & 1)
		limit = KV_FILE_HEADER_BYTES + (size - 1) / (1 + (data[0] >> 1));
	sim = fuzz_begin();
	fuzz_put(sim, KV_NAME_WAL, KV_FILE_WAL, data + 1, size - 1);
	read_segment(sim, limit);
	fuzz_end(sim);
	return 0;
}

static void
fill(KvWalWriter *w, SimEnv *sim, int groups)
{
	KvError err;
	int g;

	for (g = 0; g < groups; g++)
	{
		KvBatch batch = {0};
		KvEntry e = {.key = kv_slice("\0\0\0\1key", 7),
					 .value = kv_slice("value", 5),
					 .kind = KV_KIND_PUT};
		KvLogRecord rec = {KV_LOG_BATCH, 10 + g, 5, 100 + g, {NULL, 0}};
		KvStatus st = kv_batch_add(&sim->env, &batch, &e, &err);

		e.key = kv_slice("\0\0\0\1other", 9);
		e.kind = g % 2 ? KV_KIND_DELETE : KV_KIND_PUT_EXPIRING;
		e.expires_us = 77;
		e.value.len = g % 2 ? 0 : 5;
		if (st == KV_OK)
			st = kv_batch_add(&sim->env, &batch, &e, &err);
		rec.payload = kv_slice(batch.data, batch.len);
		if (st == KV_OK)
			st = kv_wal_add(w, &rec, &err);
		if (st == KV_OK)
			st = kv_wal_write(w, &err);
		if (st == KV_OK)
			st = kv_wal_sync(w, &err);
		if (st != KV_OK)
			abort();
		kv_batch_free(&sim->env, &batch);
	}
}

void
fuzz_make_seeds(void)
{
	static const char *const names[] = {"empty", "one_group", "three_groups"};
	int i;

	for (i = 0; i < 3; i++)
	{
		SimEnv *sim = fuzz_begin();
		KvWalStart start = {FUZZ_FILE_NO, 3, 500, 9, 90};
		KvWalWriter *w;
		KvError err;
		char name[KV_NAME_MAX];
		size_t size;
		char *file;

		sim->env.ops->lock(&sim->env, KV_LOCK_WAL_IO, true);
		if (kv_wal_create(&sim->env, &fuzz_identity, &start, 0, &w, &err) !=
			KV_OK)
			abort();
		fill(w, sim, i == 2 ? 3 : i);
		kv_wal_close(w);
		sim->env.ops->unlock(&sim->env, KV_LOCK_WAL_IO);
		kv_file_name(name, KV_NAME_WAL, FUZZ_FILE_NO);
		file = sim_get_file(sim, name, &size);
		if (file == NULL)
			abort();
		/* the header's last byte becomes the one that says: no successor */
		file[KV_FILE_HEADER_BYTES - 1] = 0;
		fuzz_seed(names[i], file + KV_FILE_HEADER_BYTES - 1,
				  size - KV_FILE_HEADER_BYTES + 1);
		free(file);
		fuzz_end(sim);
	}
}
