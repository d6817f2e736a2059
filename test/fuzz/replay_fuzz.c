/* SPDX-License-Identifier: PostgreSQL */
/*
 * replay_fuzz.c - a whole store replays records of any content: batches,
 * references to ingested runs with the pieces of their files, settles.
 *
 * Input: records: a byte for the type, two for the length, the payload.  A
 * record of a piece starts with a byte for its file and two for its offset.
 * What the store accepts it can flush, compact, read in both directions and
 * verify.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/coding.h"
#include "engine/kv_engine.h"
#include "engine/lsm/recover.h"
#include "engine/sst/sst.h"
#include "fuzz.h"

#define MAX_ROUNDS 200

typedef struct Store
{
	SimEnv *sim;
	KvConfig config;
	void *shared;
	KvDb *db;
} Store;

static KvStatus
open_store(Store *s, KvError *err)
{
	KvHost host = {fuzz_identity, 0, NULL, NULL};
	KvRecovery recovery;

	kv_config_default(&s->config);
	s->config.memtable_bytes = 64 << 10;
	s->config.memtables = 3;
	s->config.ring_bytes = 64 << 10;
	s->config.cache_bytes = 4 << 10;
	s->config.file_bytes = 8 << 10;
	s->config.block_bytes = 512;
	s->config.l0_compact = 2;
	s->config.max_files = 64;
	s->config.max_readers = 1;
	FUZZ_CHECK(kv_config_check(&s->config, err) == KV_OK);
	s->shared = aligned_alloc(64, kv_shared_bytes(&s->config));
	FUZZ_CHECK(s->shared != NULL);
	kv_shared_init(s->shared, &s->config);
	FUZZ_CHECK(kv_attach(&s->sim->env, s->shared, 0, &s->db, err) == KV_OK);
	return kv_recover(s->db, &host, &recovery, err);
}

static void
close_store(Store *s)
{
	kv_detach(s->db);
	free(s->shared);
}

static KvStatus
replay_one(Store *s, FuzzIn *in, uint64_t n, KvError *err)
{
	uint8_t type = fuzz_u8(in) & 3, file = 0;
	KvLogRecord rec = {KV_LOG_BATCH, 100 + n, 0, 1000 + n, {NULL, 0}};
	size_t len = fuzz_u8(in), offset;
	char *payload;
	KvStatus st;

	len |= (size_t) fuzz_u8(in) << 8;
	if (type == 0)
	{
		file = fuzz_u8(in);
		offset = fuzz_u8(in);
		offset |= (size_t) fuzz_u8(in) << 8;
	}
	payload = fuzz_bytes(in, &len);
	rec.payload = kv_slice(payload, len);
	rec.type = type == KV_LOG_INGEST   ? KV_LOG_INGEST
			   : type == KV_LOG_SETTLE ? KV_LOG_SETTLE
									   : KV_LOG_BATCH;
	if (type == KV_LOG_BATCH)
		rec.xid = n % 3;
	if (type == 0)
		st = kv_replay_file(s->db, 1 + file % 16, offset, rec.payload, err);
	else
		st = kv_replay_record(s->db, &rec, err);
	free(payload);
	return st;
}

/* false: damage was found */
static bool
count(Store *s, bool reverse, uint64_t *n)
{
	KvReadView view = {.max_csn = UINT64_MAX};
	KvSlice none = {NULL, 0};
	KvScan *scan;
	KvEntry e;
	KvError err;
	KvStatus st = kv_scan_open(s->db, &view, none, none, reverse, NULL, &scan,
							   &err);

	*n = 0;
	if (st == KV_OK)
	{
		while ((st = kv_scan_next(scan, &e, &err)) == KV_OK)
			++*n;
		kv_scan_close(scan);
	}
	FUZZ_CHECK(st == KV_NOT_FOUND || st == KV_CORRUPT);
	return st == KV_NOT_FOUND;
}

/*
 * What was accepted is a store like any other.  A run's reference may say
 * what is not so of a file that is sound: then damage is found, or keys
 * outside of the bounds that it tells are not.
 */
static void
use(Store *s, bool runs)
{
	KvWork work = {.more = true};
	KvError err;
	bool busy = true;
	uint64_t n, again;
	KvStatus st;
	int i;

	if (!count(s, false, &n) || !count(s, true, &again))
	{
		FUZZ_CHECK(runs);
		return;
	}
	FUZZ_CHECK(runs || n == again);
	(void) kv_request_compact(s->db);
	for (i = 0; i < MAX_ROUNDS && (busy || work.more); i++)
	{
		FUZZ_CHECK(kv_worker_step(s->db, &work, &err) == KV_OK);
		st = kv_compact_step(s->db, UINT64_MAX, &busy, &err);
		FUZZ_CHECK(st == KV_OK || (runs && st == KV_CORRUPT));
	}
	kv_compact_abandon(s->db);
	FUZZ_CHECK(runs || i < MAX_ROUNDS);
	FUZZ_CHECK((count(s, false, &again) && again == n) || runs);
	FUZZ_CHECK(kv_shutdown(s->db, &err) == KV_OK);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	FuzzIn in = {data, size};
	Store s = {.sim = fuzz_begin()};
	KvError err;
	uint64_t n = 0;
	bool runs = false;
	KvStatus st;

	s.sim->horizon.xid = s.sim->horizon.csn = UINT64_MAX;
	st = open_store(&s, &err);
	FUZZ_CHECK(st == KV_OK);
	while (st == KV_OK && in.left > 0 && n < 200)
	{
		runs |= (*in.p & 3) == KV_LOG_INGEST;
		st = replay_one(&s, &in, ++n, &err);
	}
	if (st == KV_OK)
		st = kv_open_for_use(s.db, 1000 + n, &err);
	if (st == KV_OK)
		use(&s, runs);
	close_store(&s);
	fuzz_end(s.sim);
	return 0;
}

/* ---- seeds ---- */

static size_t
put_record(char *at, char type, const char *payload, size_t len)
{
	at[0] = type;
	at[1] = (char) len;
	at[2] = (char) (len >> 8);
	memcpy(at + 3, payload, len);
	return len + 3;
}

/* A run of one file, as a backend logs it: its bytes, then the reference. */
static size_t
put_run(char *at)
{
	Store s = {.sim = fuzz_begin()};
	KvEntry e = {.key = kv_slice("\0\0\0\1run", 7),
				 .value = kv_slice("value", 5),
				 .kind = KV_KIND_PUT};
	char name[KV_NAME_MAX], piece[8192];
	KvFileMeta meta;
	KvIngest *g;
	KvError err;
	KvSlice reference, in;
	size_t size, n;
	uint64_t count_of;
	char *bytes;

	FUZZ_CHECK(open_store(&s, &err) == KV_OK);
	FUZZ_CHECK(kv_open_for_use(s.db, 0, &err) == KV_OK);
	FUZZ_CHECK(kv_ingest_open(s.db, 0, &g, &err) == KV_OK);
	FUZZ_CHECK(kv_ingest_add(g, &e, &err) == KV_OK);
	FUZZ_CHECK(kv_ingest_finish(g, &err) == KV_OK);
	in = reference = kv_ingest_payload(g);
	FUZZ_CHECK(kv_get_varint(&in, &count_of));
	FUZZ_CHECK(kv_meta_decode(&in, &meta, &err) == KV_OK);
	kv_file_name(name, KV_NAME_SST, meta.file_no);
	bytes = sim_get_file(s.sim, name, &size);
	FUZZ_CHECK(bytes != NULL && size + 3 <= sizeof(piece));
	piece[0] = (char) (meta.file_no - 1);
	piece[1] = piece[2] = 0;
	memcpy(piece + 3, bytes, size);
	/* file and offset are not counted in the payload's length */
	n = put_record(at, 0, piece, size + 3);
	at[1] = (char) size;
	at[2] = (char) (size >> 8);
	n += put_record(at + n, KV_LOG_INGEST, reference.data, reference.len);
	free(bytes);
	kv_ingest_abort(g);
	close_store(&s);
	sim_free(s.sim);
	return n;
}

static size_t
put_batch(char *at)
{
	SimEnv *sim = fuzz_begin();
	KvEntry e = {.key = kv_slice("\0\0\0\1key", 7),
				 .value = kv_slice("value", 5),
				 .kind = KV_KIND_PUT};
	KvBatch batch = {0};
	KvError err;
	size_t n;

	FUZZ_CHECK(kv_batch_add(&sim->env, &batch, &e, &err) == KV_OK);
	e.key = kv_slice("\0\0\0\1other", 9);
	e.kind = KV_KIND_DELETE;
	e.value.len = 0;
	FUZZ_CHECK(kv_batch_add(&sim->env, &batch, &e, &err) == KV_OK);
	n = put_record(at, KV_LOG_BATCH, batch.data, batch.len);
	kv_batch_free(&sim->env, &batch);
	fuzz_end(sim);
	return n;
}

void
fuzz_make_seeds(void)
{
	static char seed[20000];
	char settle[64];
	uint64_t xid = 2;
	size_t n = put_batch(seed);

	fuzz_seed("batch", seed, n);
	n += put_batch(seed + n);
	kv_settle_encode(settle, 101, &xid, 1);
	n += put_record(seed + n, KV_LOG_SETTLE, settle, kv_settle_size(1));
	fuzz_seed("settled", seed, n);
	n = put_run(seed);
	n += put_batch(seed + n);
	fuzz_seed("run", seed, n);
}
