/* SPDX-License-Identifier: PostgreSQL */
/*
 * batch_fuzz.c - a batch's payload of any content, as the host's log may hold
 * it.  Entries that are read give the same batch when they are written.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/kv_engine.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	SimEnv *sim = fuzz_begin();
	KvSlice rest = kv_slice((const char *) data, size);
	KvBatch copy = {0};
	KvError err;
	KvEntry e;
	uint32_t count;
	KvStatus st = kv_batch_start(&rest, &count, &err);

	while (st == KV_OK && rest.len > 0)
	{
		st = kv_batch_next(&rest, &e, &err);
		if (st == KV_OK && (e.key.len > size || e.value.len > size))
			abort();
		/* what replay accepts, a writer could have written */
		if (st == KV_OK && kv_batch_add(&sim->env, &copy, &e, &err) != KV_OK)
			abort();
	}
	if (st == KV_OK)
	{
		KvSlice again = kv_slice(copy.data, copy.len);

		/* an empty batch has no bytes */
		if (count > 0 && kv_batch_start(&again, &count, &err) != KV_OK)
			abort();
	}
	kv_batch_free(&sim->env, &copy);
	fuzz_end(sim);
	return 0;
}

void
fuzz_make_seeds(void)
{
	SimEnv *sim = fuzz_begin();
	KvEntry e = {.key = kv_slice("\0\0\0\1key", 7),
				 .value = kv_slice("value", 5),
				 .kind = KV_KIND_PUT};
	KvBatch batch = {0};
	KvError err;
	KvStatus st = kv_batch_add(&sim->env, &batch, &e, &err);

	if (st != KV_OK)
		abort();
	fuzz_seed("put", batch.data, batch.len);
	e.value = kv_slice("\0\0\0\1kez", 7);
	e.kind = KV_KIND_RANGE_DELETE;
	if (kv_batch_add(&sim->env, &batch, &e, &err) != KV_OK)
		abort();
	fuzz_seed("range", batch.data, batch.len);
	e.value = kv_slice("", 0);
	e.key = kv_slice("\0\0\0\1other", 9);
	e.kind = KV_KIND_DELETE;
	e.value.len = 0;
	st = kv_batch_add(&sim->env, &batch, &e, &err);
	e.key = kv_slice("\0\0\0\2third", 9);
	e.kind = KV_KIND_PUT_EXPIRING;
	e.expires_us = 123456;
	e.value.len = 3;
	if (st == KV_OK)
		st = kv_batch_add(&sim->env, &batch, &e, &err);
	if (st != KV_OK)
		abort();
	fuzz_seed("three", batch.data, batch.len);
	kv_batch_free(&sim->env, &batch);
	fuzz_end(sim);
}
