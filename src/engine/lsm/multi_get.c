/* SPDX-License-Identifier: PostgreSQL */
/*
 * multi_get.c - many keys at once.
 *
 * The sources are asked as in get.c, but each by all keys that are not
 * decided yet, one step of all before the next step of any: so the cache
 * misses of many keys overlap, which are most of what a get costs (AMAC,
 * Kocberber, Falsafi, Grot, "Asynchronous Memory Access Chaining", 2015).
 * Any process; takes no lock but those of the block cache.
 */
#include "engine/lsm/get_internal.h"

/* Keys under way: their probes and the blocks' first lines fit into L1. */
#define GROUP 16

typedef struct Taker
{
	KvMultiGetFn fn;
	void *arg;
	uint32_t i;
} Taker;

typedef struct Group
{
	KvGet get[GROUP];
	KvGetProbe probe[GROUP];
	Taker taker[GROUP];
	KvValue value; /* of a memtable, copied */
	uint32_t n;
} Group;

static KvStatus
take(void *arg, const KvEntry *entry)
{
	Taker *t = arg;

	return t->fn(t->arg, t->i, entry);
}

/* ---- the steps */

/* What each probe looks at next comes nearer. */
static void
bring(Group *group)
{
	uint32_t i;

	for (i = 0; i < group->n; i++)
		if (!group->probe[i].probe.absent)
			kv_sst_probe_frame(group->probe[i].sst, &group->probe[i].probe);
	for (i = 0; i < group->n; i++)
		if (!group->probe[i].probe.absent)
			kv_sst_probe_data(group->probe[i].sst, &group->probe[i].probe);
}

/* Those that were started, to the end. */
static KvStatus
finish_probes(Group *group, KvError *err)
{
	KvStatus st = KV_OK;
	uint32_t i;

	bring(group);
	for (i = 0; i < group->n && st == KV_OK; i++)
		st = kv_get_filter(&group->get[i], &group->probe[i], err);
	bring(group);
	for (i = 0; i < group->n && st == KV_OK; i++)
		st = kv_get_index(&group->get[i], &group->probe[i], err);
	bring(group);
	for (i = 0; i < group->n && st == KV_OK; i++)
		if (!group->probe[i].probe.absent)
			kv_sst_probe_block(group->probe[i].sst, group->get[i].key,
							   &group->probe[i].probe);
	for (i = 0; i < group->n && st == KV_OK; i++)
	{
		st = kv_get_visit(&group->get[i], &group->probe[i], err);
		kv_get_stop_below(&group->get[i]);
	}
	return st;
}

/* One file of L0. */
static KvStatus
ask_l0_file(Group *group, KvDb *db, uint32_t slot, KvError *err)
{
	const KvFileMeta *meta = &kv_file_at(db, slot)->meta;
	KvStatus st = KV_OK;
	uint32_t i;

	for (i = 0; i < group->n && st == KV_OK; i++)
	{
		KvGet *g = &group->get[i];

		group->probe[i].probe.absent = true;
		if (!g->done && !kv_key_before_file(g->key, meta) &&
			!kv_key_after_file(g->key, meta))
			st = kv_get_start(g, slot, &group->probe[i], err);
	}
	return st == KV_OK ? finish_probes(group, err) : st;
}

/*
 * A sorted level: for each key the n-th file that may hold it.  *more: one
 * of them has another one, which is rare: only where cut bounds tie.
 */
static KvStatus
ask_level(Group *group, const KvVersion *v, int level, uint32_t n, bool *more,
		  KvError *err)
{
	uint32_t end = v->level_start[level + 1], i;
	KvStatus st = KV_OK;

	*more = false;
	for (i = 0; i < group->n && st == KV_OK; i++)
	{
		KvGet *g = &group->get[i];
		uint32_t f;

		group->probe[i].probe.absent = true;
		if (g->done)
			continue;
		f = kv_get_candidate(g->db, v, level, g->key) + n;
		if (f >= end ||
			kv_key_before_file(g->key, &kv_file_at(g->db, v->files[f])->meta))
			continue;
		*more |= f + 1 < end &&
				 !kv_key_before_file(g->key,
									 &kv_file_at(g->db, v->files[f + 1])->meta);
		st = kv_get_start(g, v->files[f], &group->probe[i], err);
	}
	return st == KV_OK ? finish_probes(group, err) : st;
}

/*
 * What a memtable shows is only known to be so when kv_mem_get is through: it
 * is copied, and handed on after that.
 */
static KvStatus
ask_mem_for(KvGet *g, Taker *taker, KvValue *value, const KvVersionMem *mem)
{
	KvGetCopy copy = {g->db->env, value};
	KvEntry e = {.key = g->key, .kind = KV_KIND_PUT};
	KvStatus st;

	g->take = kv_get_copy_value;
	g->arg = &copy;
	st = kv_get_from_mem(g, mem);
	g->take = take;
	g->arg = taker;
	if (st != KV_OK)
		g->done = g->found = false;
	if (st != KV_OK || !g->found)
		return st;
	e.value = kv_slice(value->data, value->len);
	e.csn = value->csn;
	e.xid = value->xid;
	e.expires_us = value->expires_us;
	if (e.expires_us != 0)
		e.kind = KV_KIND_PUT_EXPIRING;
	return take(taker, &e);
}

static KvStatus
ask_mem(Group *group, const KvVersionMem *mem)
{
	const KvMem *m = kv_mem_at(group->get[0].db, mem->slot);
	KvStatus st = KV_OK;
	uint32_t i;

	for (i = 0; i < group->n; i++)
		if (!group->get[i].done)
			kv_mem_prefetch(m, group->get[i].hash);
	for (i = 0; i < group->n && st == KV_OK; i++)
		if (!group->get[i].done)
			st = ask_mem_for(&group->get[i], &group->taker[i], &group->value,
							 mem);
	return st;
}

static bool
all_done(const Group *group)
{
	uint32_t i;

	for (i = 0; i < group->n; i++)
		if (!group->get[i].done)
			return false;
	return true;
}

static KvStatus
ask_version(Group *group, KvDb *db, const KvVersion *v, KvError *err)
{
	uint32_t m = 0, f = v->level_start[0], n;
	KvStatus st = KV_OK;
	int level;

	while (st == KV_OK && !all_done(group) &&
		   (m < v->n_mem || f < v->level_start[1]))
	{
		if (kv_mem_is_next(db, v, m, f))
			st = ask_mem(group, &v->mem[m++]);
		else
			st = ask_l0_file(group, db, v->files[f++], err);
	}
	for (level = 1; level < KV_LEVELS && st == KV_OK; level++)
	{
		bool more = kv_level_count(v, level) > 0 && !all_done(group);

		for (n = 0; more && st == KV_OK; n++)
			st = ask_level(group, v, level, n, &more, err);
	}
	return st;
}

/* ---- the call */

static KvStatus
get_group(KvDb *db, Group *group, KvError *err)
{
	uint32_t i;
	KvStatus st;

	for (;;)
	{
		/* in another version other sources may be newer */
		for (i = 0; i < group->n; i++)
			group->get[i].dead_below = 0;
		st = ask_version(group, db, kv_version_acquire(db), err);
		kv_version_release(db);
		if (st != KV_RETRY)
			break;
		/* what is decided stays so; the others begin again */
		if (db->env->ops->poll(db->env))
			return kv_fail(err, KV_INTERRUPTED, "interrupted");
	}
	return st == KV_NO_MEMORY ? kv_fail(err, st, "out of memory") : st;
}

KvStatus
kv_multi_get(KvDb *db, const KvReadView *view, const KvSlice *keys, uint32_t n,
			 KvMultiGetFn fn, void *arg, KvError *err)
{
	uint32_t from, i;
	Group group;
	KvStatus st = KV_OK;

	if (kv_mode(db) != KV_MODE_NORMAL && kv_mode(db) != KV_MODE_READONLY)
		return kv_fail(err, KV_NOT_READY, "the store is not open");
	kv_table_sweep(db);
	memset(&group.value, 0, sizeof(group.value));
	for (from = 0; from < n && st == KV_OK; from += group.n)
	{
		group.n = n - from < GROUP ? n - from : GROUP;
		for (i = 0; i < group.n; i++)
		{
			KvSlice key = keys[from + i];

			group.taker[i] = (Taker){fn, arg, from + i};
			group.get[i] = (KvGet){.db = db,
								   .view = view,
								   .key = key,
								   .hash = kv_key_hash(key),
								   .take = take,
								   .arg = &group.taker[i]};
		}
		st = get_group(db, &group, err);
	}
	kv_value_free(db->env, &group.value);
	return st;
}
