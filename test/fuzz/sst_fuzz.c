/* SPDX-License-Identifier: PostgreSQL */
/*
 * sst_fuzz.c - an SSTable of any content: opened, read, searched, verified.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/sst/sst.h"
#include "fuzz.h"

#define MAX_ENTRIES 3000 /* a short input may claim to have many */

static uint64_t sum; /* so that every byte is read */

static void
read_bytes(KvSlice s)
{
	size_t i;

	for (i = 0; i < s.len; i++)
		sum += (uint8_t) s.data[i];
}

static bool
visit(void *arg, const KvEntry *e)
{
	uint32_t *n = arg;

	read_bytes(e->value);
	return ++*n > MAX_ENTRIES;
}

static void
search(KvSst *sst, KvSlice key)
{
	KvSstStats stats = {0};
	uint32_t n = 0;
	KvError err;
	KvStatus st = kv_sst_get(sst, key, kv_key_hash(key), visit, &n, &stats,
							 &err);

	(void) st;
	sum += kv_sst_offset_of(sst, key);
}

static void
walk(KvSst *sst, uint32_t readahead)
{
	char keys[8][64];
	size_t lens[8], n_keys = 0, i;
	uint32_t n = 0;
	KvIter *it;
	KvError err;

	if (kv_sst_iter(sst, readahead, &it, &err) != KV_OK)
		return;
	it->err = &err;
	for (it->ops->first(it); it->valid && n < MAX_ENTRIES;
		 it->ops->next(it), n++)
	{
		read_bytes(it->entry.key);
		read_bytes(it->entry.value);
		if (n_keys < 8 && it->entry.key.len <= sizeof(keys[0]))
		{
			lens[n_keys] = it->entry.key.len;
			memcpy(keys[n_keys++], it->entry.key.data, it->entry.key.len);
		}
	}
	n = 0;
	for (it->ops->last(it); it->valid && n < MAX_ENTRIES;
		 it->ops->prev(it), n++)
		read_bytes(it->entry.key);
	for (i = 0; i < n_keys; i++)
	{
		KvSlice key = kv_slice(keys[i], lens[i]);

		it->ops->seek(it, key, UINT64_MAX);
		if (it->valid)
			it->ops->prev(it);
		it->ops->seek_before(it, key);
		if (it->valid)
			it->ops->next(it);
		search(sst, key);
	}
	it->ops->close(it);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SimEnv *sim = fuzz_begin();
	KvSstOverride none = {0, 0};
	char name[KV_NAME_MAX];
	KvFile *file;
	KvSst *sst;
	KvError err;
	KvStatus st;

	fuzz_put(sim, KV_NAME_SST, KV_FILE_SST, data, size);
	kv_file_name(name, KV_NAME_SST, FUZZ_FILE_NO);
	if (sim->env.ops->open(&sim->env, name, KV_OPEN_READ, &file, &err) != KV_OK)
		abort();
	if (kv_sst_open(&sim->env, NULL, &fuzz_identity, FUZZ_FILE_NO, file,
					KV_FILE_HEADER_BYTES + size, none, &sst, &err) != KV_OK)
		sim->env.ops->close(&sim->env, file);
	else
	{
		walk(sst, 0);
		walk(sst, 4096);
		search(sst, kv_slice("\0\0\0\1k", 5));
		search(sst, kv_slice("", 0));
		st = kv_sst_verify(sst, &err);
		(void) st;
		kv_sst_close(sst);
	}
	fuzz_end(sim);
	return 0;
}

static void
make_seed(const char *seed, uint32_t n, bool lz4, uint32_t block_bytes)
{
	SimEnv *sim = fuzz_begin();
	KvSstOptions options = {.block_bytes = block_bytes,
							.frame_bytes = 512,
							.filter_bits = 10,
							.lz4 = lz4,
							.range_deletes = true};
	KvEntry range = {.key = kv_slice("\0\0\0\1key", 7),
					 .value = kv_slice("\0\0\0\1kez", 7),
					 .csn = 5,
					 .xid = 9,
					 .kind = KV_KIND_RANGE_DELETE};
	char name[KV_NAME_MAX], key[32];
	KvSstBuilder *b;
	KvSstSummary summary;
	KvFile *file;
	KvError err;
	uint32_t i;
	KvStatus st;

	kv_file_name(name, KV_NAME_SST, FUZZ_FILE_NO);
	st = sim->env.ops->open(&sim->env, name, KV_OPEN_WRITE | KV_OPEN_CREATE,
							&file, &err);
	if (st == KV_OK)
		st = kv_sst_builder_open(&sim->env, &options, &fuzz_identity,
								 FUZZ_FILE_NO, file, &b, &err);
	for (i = 0; st == KV_OK && i < n; i++)
	{
		KvEntry e = {.csn = 1 + i % 3, .kind = KV_KIND_PUT};

		memcpy(key, "\0\0\0\1key000", 10);
		key[7] = (char) ('0' + i / 100);
		key[8] = (char) ('0' + i / 10 % 10);
		key[9] = (char) ('0' + i % 10);
		e.key = kv_slice(key, 10);
		e.value = kv_slice("valuevaluevaluevaluevalue", 25);
		e.xid = i % 4 == 1 ? 9 : 0;
		if (i % 5 == 2)
		{
			e.kind = KV_KIND_DELETE;
			e.value.len = 0;
		}
		else if (i % 5 == 3)
		{
			e.kind = KV_KIND_PUT_EXPIRING;
			e.expires_us = 1000 + i;
		}
		st = kv_sst_builder_add(b, &e, &err);
	}
	for (i = 0; st == KV_OK && lz4 && i < n % 7; i++, range.csn--)
		st = kv_sst_builder_add_range_delete(b, &range, &err);
	if (st == KV_OK)
		st = kv_sst_builder_finish(b, &summary, &err);
	if (st != KV_OK)
		abort();
	kv_sst_builder_free(b);
	sim->env.ops->close(&sim->env, file);
	fuzz_seed_file(sim, KV_NAME_SST, seed);
	fuzz_end(sim);
}

void
fuzz_make_seeds(void)
{
	make_seed("one", 1, false, 128);
	make_seed("blocks", 40, false, 128);
	make_seed("lz4", 60, true, 256);
}
