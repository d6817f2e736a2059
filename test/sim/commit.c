/* SPDX-License-Identifier: PostgreSQL */
/*
 * commit.c - transactions of the simulated host; see world.h.
 */
#include "world.h"

#include <stdlib.h>
#include <string.h>

#define MAX_TRIES 200 /* rounds of work until a stall must be over */

uint64_t
host_append(World *w, HostRecordType type, uint64_t xid, uint64_t csn,
			const void *bytes, size_t len)
{
	HostRecord *r;

	if (w->log_len == w->log_cap)
	{
		w->log_cap = w->log_cap ? w->log_cap * 2 : 256;
		w->log = realloc(w->log, w->log_cap * sizeof(*w->log));
	}
	r = &w->log[w->log_len++];
	memset(r, 0, sizeof(*r));
	r->type = type;
	r->xid = xid;
	r->csn = csn;
	r->len = len;
	r->bytes = malloc(len ? len : 1);
	if (len > 0)
		memcpy(r->bytes, bytes, len);
	return w->log_len;
}

/* What a host does when a write is refused for want of room. */
static KvStatus
make_room(World *w, KvError *err)
{
	KvWork work;
	bool busy;
	KvStatus st;

	kv_pause_compaction(w->db, false);
	st = kv_worker_step(w->db, &work, err);
	if (st == KV_OK)
		st = kv_compact_step(w->db, UINT64_MAX, &busy, err);
	return st;
}

/*
 * A writer that was refused sleeps until it is kicked.  Room that was made
 * without a kick leaves it asleep.
 */
static void
check_woken(World *w, uint64_t kicks)
{
	if (w->sim->kicks[KV_KICK_WAITERS] == kicks)
		world_fail(w, SIM_OTHER, "a stalled writer was not woken");
}

typedef struct Logger
{
	World *w;
	KvSlice payload;
	uint64_t xid;
	HostRecordType type;
} Logger;

static uint64_t
log_batch(void *arg, uint64_t csn)
{
	Logger *l = arg;

	return host_append(l->w, l->type, l->xid, csn, l->payload.data,
					   l->payload.len);
}

typedef struct Item
{
	char key[MODEL_KEY_MAX], value[MODEL_VALUE_MAX];
	uint32_t key_len, value_len;
	int64_t expires_us;
	bool deleted;
} Item;

static int
by_key(const void *a, const void *b)
{
	const Item *x = a, *y = b;

	return kv_slice_compare(kv_slice(x->key, x->key_len),
							kv_slice(y->key, y->key_len));
}

/*
 * About n writes of different keys, in order, which the model notes as those
 * of commit.  counter: key 0, which tells the newest commit, is one of them.
 */
static uint32_t
make_items(World *w, uint32_t n, uint32_t commit, bool counter, Item *items,
		   bool *chosen)
{
	uint32_t i, count = 0;

	memset(chosen, 0, MODEL_KEYS);
	chosen[0] = counter;
	for (i = 0; i < n; i++)
		chosen[1 + world_rand(w, MODEL_KEYS - 1)] = true;
	for (i = 0; i < MODEL_KEYS; i++)
	{
		Item *item = &items[count];
		uint64_t dice = world_rand(w, 8);

		if (!chosen[i] || w->xact.keys[i])
			continue;
		item->deleted = i != 0 && dice < 2;
		item->expires_us = 0;
		/* some will have expired before they are written */
		if (i != 0 && dice == 2)
			item->expires_us = w->sim->clock_us - 500 +
							   (int64_t) world_rand(w, 4000);
		item->key_len = model_key((uint16_t) i, item->key);
		item->value_len = model_value(commit, (uint16_t) i, item->value);
		model_write(&w->model, commit, (uint16_t) i, item->deleted,
					item->expires_us);
		count++;
	}
	qsort(items, count, sizeof(Item), by_key);
	return count;
}

/* A range delete of a batch. */
typedef struct Range
{
	bool any;
	char lower[MODEL_KEY_MAX], upper[MODEL_KEY_MAX + 1];
	uint32_t lower_len, upper_len;
} Range;

/*
 * Some batches also delete a range, in one store of four half of them: what
 * items write in it stays.  Follows from the commit's and the store's number
 * alone, so that older plans draw what they drew.  chosen gets the keys that
 * are covered.
 */
static void
make_range(World *w, uint32_t n, uint32_t commit, bool *chosen, Range *r)
{
	uint64_t h = (commit + 1) * UINT64_C(0x9e3779b97f4a7c15) ^ n;
	uint64_t one_of = w->seed % 4 == 2 ? 2 : 6;
	bool covers[MODEL_KEYS];
	uint16_t i;

	h ^= h >> 29;
	h *= UINT64_C(0xbf58476d1ce4e5b9);
	r->any = false;
	/* it must not be ingested instead */
	if (h % one_of != 0 || n * (MODEL_VALUE_MAX + MODEL_KEY_MAX) >
							   kv_max_batch_bytes(w->db) - 4 * MODEL_KEY_MAX)
		return;
	r->lower_len = model_key((uint16_t) (h >> 8 & 0xff) % MODEL_KEYS, r->lower);
	r->upper_len = model_key((uint16_t) (h >> 16 & 0xff) % MODEL_KEYS,
							 r->upper);
	if (h >> 24 & 1)
		r->upper[r->upper_len++] = '\0';
	for (i = 0; i < MODEL_KEYS; i++)
	{
		char buf[MODEL_KEY_MAX];
		KvSlice key = kv_slice(buf, model_key(i, buf));

		covers[i] = kv_slice_compare(kv_slice(r->lower, r->lower_len), key) <=
						0 &&
					kv_slice_compare(key, kv_slice(r->upper, r->upper_len)) < 0;
		if (covers[i] && (w->xact.keys[i] || (i == 0 && !chosen[0])))
			return;
	}
	r->any = kv_slice_compare(kv_slice(r->lower, r->lower_len),
							  kv_slice(r->upper, r->upper_len)) < 0;
	for (i = 0; i < MODEL_KEYS && r->any; i++)
		if (covers[i] && !chosen[i])
		{
			chosen[i] = true;
			model_write(&w->model, commit, i, true, 0);
		}
}

static KvStatus
add_range(World *w, const Range *r, KvBatch *batch, KvError *err)
{
	KvEntry e = {.kind = KV_KIND_RANGE_DELETE};

	if (r == NULL || !r->any)
		return KV_OK;
	e.key = kv_slice(r->lower, r->lower_len);
	e.value = kv_slice(r->upper, r->upper_len);
	return kv_batch_add(w->env, batch, &e, err);
}

static void
fill_entry(const Item *item, KvEntry *e)
{
	memset(e, 0, sizeof(*e));
	e->key = kv_slice(item->key, item->key_len);
	e->kind = item->deleted ? KV_KIND_DELETE : KV_KIND_PUT;
	e->value = kv_slice(item->value, item->deleted ? 0 : item->value_len);
	if (item->expires_us != 0)
	{
		e->kind = KV_KIND_PUT_EXPIRING;
		e->expires_us = item->expires_us;
	}
}

static KvStatus
write_batch(World *w, const Item *items, uint32_t n, const Range *range,
			uint64_t xid, KvError *err)
{
	KvBatch batch = {0};
	Logger l = {w, {NULL, 0}, xid, REC_BATCH};
	KvWrite write = {&batch, xid, w->host_log ? log_batch : NULL, &l};
	KvStatus st = KV_OK;
	uint64_t csn, kicks;
	uint32_t i;
	int tries;

	for (i = 0; st == KV_OK && i < n; i++)
	{
		KvEntry e;

		fill_entry(&items[i], &e);
		st = kv_batch_add(w->env, &batch, &e, err);
	}
	if (st == KV_OK)
		st = add_range(w, range, &batch, err);
	l.payload = kv_slice(batch.data, batch.len);
	kicks = w->sim->kicks[KV_KICK_WAITERS];
	for (tries = 0; st == KV_OK; tries++)
	{
		st = kv_write(w->db, &write, &csn, err);
		if (st == KV_OK && tries > 0)
			check_woken(w, kicks);
		if (st != KV_STALLED)
			break;
		if (tries == MAX_TRIES)
		{
			world_fail(w, SIM_OTHER, "a stall does not end");
			break;
		}
		st = make_room(w, err);
	}
	kv_batch_free(w->env, &batch);
	return st;
}

static KvStatus
log_files(World *w, KvIngest *g, KvError *err)
{
	uint64_t no, size;
	uint32_t i;
	KvStatus st = KV_OK;

	for (i = 0; st == KV_OK && kv_ingest_file(g, i, &no, &size) == KV_OK; i++)
	{
		uint64_t off, piece = 700;

		for (off = 0; st == KV_OK && off < size; off += piece)
		{
			char buf[700];
			size_t len = size - off < piece ? size - off : piece;
			HostRecord *r;

			st = kv_ingest_read(g, i, off, buf, len, err);
			if (st != KV_OK)
				break;
			host_append(w, REC_FILE, 0, 0, buf, len);
			r = &w->log[w->log_len - 1];
			r->file_no = no;
			r->offset = off;
		}
	}
	return st;
}

static KvStatus
write_run(World *w, const Item *items, uint32_t n, uint64_t xid, KvError *err)
{
	Logger l = {w, {NULL, 0}, xid, REC_INGEST};
	KvIngest *g;
	uint64_t csn;
	uint32_t i;
	int tries;
	KvStatus st = kv_ingest_open(w->db, xid, &g, err);

	if (st != KV_OK)
		return st;
	for (i = 0; st == KV_OK && i < n; i++)
	{
		KvEntry e;

		fill_entry(&items[i], &e);
		st = kv_ingest_add(g, &e, err);
	}
	if (st == KV_OK)
		st = kv_ingest_finish(g, err);
	if (st == KV_OK && w->host_log)
		st = log_files(w, g, err);
	if (st == KV_OK)
		l.payload = kv_ingest_payload(g);
	for (tries = 0; st == KV_OK && tries < MAX_TRIES; tries++)
	{
		st = kv_ingest_commit(w->db, g, w->host_log ? log_batch : NULL, &l,
							  &csn, err);
		if (st == KV_OK)
			return st;
		if (st == KV_STALLED)
			st = make_room(w, err);
	}
	if (st == KV_OK)
		st = kv_fail(err, KV_STALLED, "still no room for a run");
	kv_ingest_abort(g);
	return st;
}

static KvStatus
write_items(World *w, const Item *items, uint32_t n, const Range *range,
			uint64_t xid, bool run, KvError *err)
{
	KvStatus st = run ? write_run(w, items, n, xid, err)
					  : write_batch(w, items, n, range, xid, err);

	if (st == KV_TOO_LARGE && range->any)
		world_fail(w, SIM_OTHER, "a range delete cannot be ingested");

	return st == KV_TOO_LARGE ? write_run(w, items, n, xid, err) : st;
}

/* The commit or abort record, and all that follows from it. */
static void
end_xact(World *w, uint64_t xid, uint32_t commit, bool committed)
{
	host_append(w, committed ? REC_COMMIT : REC_ABORT, xid, 0, NULL, 0);
	w->log[w->log_len - 1].commit = commit;
	w->outcome[xid] = committed ? KV_XACT_COMMITTED : KV_XACT_ABORTED;
	w->model.lost[commit] = !committed;
	/* a hint, so that it must not matter whether it is given */
	if (world_rand(w, 4) != 0)
		kv_note_xact(w->db, xid, committed);
	world_set_horizon(w);
}

KvStatus
world_commit(World *w, uint32_t n, bool run, bool roll_back, KvError *err)
{
	static Item items[MODEL_KEYS];
	uint32_t commit = ++w->model.commits, count;
	uint64_t xid = w->host_log ? w->next_xid++ : 0;
	bool chosen[MODEL_KEYS];
	Range range = {0};
	KvStatus st;

	count = make_items(w, n, commit, true, items, chosen);
	if (!run)
		make_range(w, count, commit, chosen, &range);
	w->model.lost[commit] = true;
	w->outcome[xid] = KV_XACT_IN_DOUBT;
	st = write_items(w, items, count, &range, xid, run, err);
	if (w->host_log)
		end_xact(w, xid, commit, st == KV_OK && !roll_back);
	else if (st == KV_OK) /* else nothing of it was applied */
	{
		w->model.lost[commit] = false;
		w->newest = commit;
	}
	return st;
}

KvStatus
world_begin(World *w, uint32_t n, bool run, KvError *err)
{
	static Item items[MODEL_KEYS];
	uint32_t commit = ++w->model.commits, count;
	uint64_t xid = w->next_xid++;
	bool keys[MODEL_KEYS];
	Range range = {0};
	KvStatus st;

	count = make_items(w, n, commit, false, items, keys);
	if (!run)
		make_range(w, count, commit, keys, &range);
	w->model.lost[commit] = true;
	w->outcome[xid] = KV_XACT_IN_DOUBT;
	w->xact.xid = xid;
	w->xact.commit = commit;
	memcpy(w->xact.keys, keys, sizeof(keys));
	world_set_horizon(w);
	st = write_items(w, items, count, &range, xid, run, err);
	if (st != KV_OK)
		(void) world_end(w, false, err);
	return st;
}

KvStatus
world_end(World *w, bool commit, KvError *err)
{
	static Item items[MODEL_KEYS];
	bool keys[MODEL_KEYS];
	OpenXact x = w->xact;
	Range none = {0};
	KvStatus st = KV_OK;
	uint32_t count;

	/* a second batch under the same xid */
	if (commit && world_rand(w, 3) == 0)
	{
		count = make_items(w, 1 + (uint32_t) world_rand(w, 4), x.commit, false,
						   items, keys);
		if (count > 0)
			st = write_items(w, items, count, &none, x.xid, false, err);
	}
	memset(&w->xact, 0, sizeof(w->xact));
	end_xact(w, x.xid, x.commit, commit && st == KV_OK);
	return st;
}

KvStatus
world_sync(World *w, KvError *err)
{
	KvStatus st = KV_OK;

	if (w->host_log)
	{
		w->log_durable = w->log_len;
		return KV_OK;
	}
	st = kv_sync_log(w->db, err);
	if (st == KV_OK && w->acked < w->newest)
	{
		w->acked_before = w->acked;
		w->acked = w->newest;
	}
	return st;
}
