/* SPDX-License-Identifier: PostgreSQL */
/*
 * rest.c - a store in which nothing is left to do; see world.h.
 */
#include "world.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/file_header.h"
#include "engine/lsm/manifest.h"

#define MAX_ROUNDS 2000

void
world_must_rest(World *w, uint32_t tolerate)
{
	uint64_t ticket = kv_request_compact(w->db);
	KvError err;
	KvWork work;
	bool busy;
	int i, quiet = 0;

	kv_pause_compaction(w->db, false);
	w->phase = "coming to rest";
	for (i = 0; i < MAX_ROUNDS && quiet < 2; i++)
	{
		KvStatus st;

		kv_error_clear(&err);
		busy = false;
		st = kv_worker_step(w->db, &work, &err);
		if (st == KV_OK)
			st = kv_compact_step(w->db, UINT64_MAX, &busy, &err);
		if (st != KV_OK && tolerate > 0)
			tolerate--;
		else if (st != KV_OK)
		{
			world_fail(w, SIM_OTHER, "at rest: %s: %s", kv_status_name(st),
					   err.message);
			return;
		}
		if (st == KV_OK && kv_request_done(w->db, ticket) && !busy &&
			!work.progressed && !work.more)
			quiet++;
		else
			quiet = 0;
	}
	if (quiet < 2)
		world_fail(w, SIM_OTHER, "the engine does not come to rest");
}

/* ---- the folder */

static bool
is_named(const KvManifestState *m, KvNameKind kind, uint64_t no)
{
	uint32_t i;

	switch (kind)
	{
	case KV_NAME_CURRENT:
		return true;
	case KV_NAME_MANIFEST:
		return no == m->manifest_no;
	case KV_NAME_WAL:
		return no >= m->min_wal;
	case KV_NAME_SST:
		for (i = 0; i < m->n_files; i++)
			if (m->files[i].file_no == no)
				return true;
		return false;
	default:
		return false;
	}
}

void
world_check_folder(World *w)
{
	KvIdentity identity = {.system_id = 42, .timeline = 1};
	uint32_t tables = 0, segments = 0;
	KvManifestState m;
	const char *name;
	KvError err;
	size_t i;

	w->phase = "looking at the folder";
	if (kv_manifest_load(w->env, &identity, NULL, NULL, &m, NULL, &err) != KV_OK)
	{
		world_fail(w, SIM_OTHER, "MANIFEST: %s", err.message);
		return;
	}
	for (i = 0; (name = sim_file_name(w->sim, i)) != NULL; i++)
	{
		uint64_t no;
		KvNameKind kind = kv_file_name_parse(name, &no);

		if (!is_named(&m, kind, no))
			world_fail(w, SIM_OTHER, "file \"%s\" is nobody's", name);
		tables += kind == KV_NAME_SST;
		segments += kind == KV_NAME_WAL;
	}
	if (tables != m.n_files)
		world_fail(w, SIM_OTHER, "%u tables of %u are there", tables,
				   m.n_files);
	if (segments < 1 || segments > 2)
		world_fail(w, SIM_OTHER, "%u WAL segments are there", segments);
	kv_manifest_state_free(w->env, &m);
}

/* ---- base backups */

void
world_backup(World *w, bool runs)
{
	KvIdentity identity = {.system_id = 42, .timeline = 1};
	KvManifestState m;
	const char *name;
	KvError err;
	uint32_t i;

	for (i = 0; i < w->n_kept && !runs; i++)
		if (sim_file_size(w->sim, w->kept[i]) < 0)
			world_fail(w, SIM_OTHER, "\"%s\" was removed during a backup",
					   w->kept[i]);
	w->n_kept = 0;
	w->sim->backup = runs;
	if (!runs || kv_manifest_load(w->env, &identity, NULL, NULL, &m, NULL,
								  &err) != KV_OK)
		return;
	for (i = 0; (name = sim_file_name(w->sim, i)) != NULL; i++)
	{
		uint64_t no;
		KvNameKind kind = kv_file_name_parse(name, &no);

		if (is_named(&m, kind, no) && w->n_kept < 32)
			strcpy(w->kept[w->n_kept++], name);
	}
	kv_manifest_state_free(w->env, &m);
}

/* ---- a clean end */

void
world_shutdown(World *w)
{
	KvError err;
	KvStatus st;

	w->phase = "shutting down";
	snapshot_close(w);
	if (w->xact.xid != 0 && world_end(w, world_rand(w, 2) == 0, &err) != KV_OK)
		world_fail(w, SIM_OTHER, "a transaction could not end: %s",
				   err.message);
	w->log_durable = w->log_len;
	st = kv_shutdown(w->db, &err);
	if (st != KV_OK)
		world_fail(w, SIM_OTHER, "shutdown: %s: %s", kv_status_name(st),
				   err.message);
	w->acked = w->newest;
	world_detach(w);
}
