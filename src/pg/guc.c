/* SPDX-License-Identifier: PostgreSQL */
/*
 * guc.c - the settings.
 *
 * Sizes of shared memory are fixed at server start; delays may be reloaded.
 * docs/operations.md describes each for users.  Only defined when preloaded.
 */
#include "kvlsm.h"

#include <limits.h>

#include "miscadmin.h"
#include "nodes/pg_list.h"
#include "storage/proc.h"
#include "utils/guc.h"
#include "utils/varlena.h"

int kvlsm_memtable_size = 64;
int kvlsm_memtables = 3;
int kvlsm_block_cache_size = 128;
int kvlsm_wal_buffers = 16;
int kvlsm_max_files = 4096;
int kvlsm_wal_writer_delay = 200;
int kvlsm_stall_timeout = 60000;
int kvlsm_max_key_size = 4096;
int kvlsm_max_value_size = 16 * 1024 * 1024;
int kvlsm_max_batch_items = 10000;
int kvlsm_max_rows = 10000;
int kvlsm_max_key_locks = 32;
int kvlsm_write_set_memory = 64 * 1024;
bool kvlsm_on_conflict = true;
char *kvlsm_default_store = "kv";
int kvlsm_block_size = 4096;
int kvlsm_compression = 1;
int kvlsm_compaction_rate_limit = 0;
int kvlsm_force_mode = KVLSM_FORCE_NORMAL;

static const struct config_enum_entry compressions[] = {{"none", 0, false},
														{"lz4", 1, false},
														{NULL, 0, false}};

static const struct config_enum_entry modes[] =
	{{"normal", KVLSM_FORCE_NORMAL, false},
	 {"readonly", KVLSM_FORCE_READONLY, false},
	 {"off", KVLSM_FORCE_OFF, false},
	 {NULL, 0, false}};

typedef struct IntSetting
{
	const char *name, *short_desc, *long_desc;
	int *var;
	int min, max;
	GucContext context;
	int flags;
} IntSetting;

static const IntSetting int_settings[] = {
	{"kvlsm.memtable_size", "Size of one memtable in shared memory.",
	 "New data is kept there until it is written to a sorted file.",
	 &kvlsm_memtable_size, 1, 16384, PGC_POSTMASTER, GUC_UNIT_MB},
	{"kvlsm.memtables", "Number of memtables.",
	 "One takes writes; the others wait to be written to files.",
	 &kvlsm_memtables, 2, 8, PGC_POSTMASTER, 0},
	{"kvlsm.block_cache_size", "Size of the block cache in shared memory.",
	 NULL, &kvlsm_block_cache_size, 1, 1024 * 1024, PGC_POSTMASTER, GUC_UNIT_MB},
	{"kvlsm.wal_buffers",
	 "Size of the ring through which batches reach the kvlsm WAL.", NULL,
	 &kvlsm_wal_buffers, 1, 2047, PGC_POSTMASTER, GUC_UNIT_MB},
	{"kvlsm.max_files", "Largest number of sorted files.",
	 "Shared memory is reserved for each.", &kvlsm_max_files, 64, 262144,
	 PGC_POSTMASTER, 0},
	{"kvlsm.block_size", "Size of a data block before compression.", NULL,
	 &kvlsm_block_size, 1024, 65536, PGC_POSTMASTER, GUC_UNIT_BYTE},
	{"kvlsm.wal_writer_delay",
	 "Time between writes of the kvlsm WAL by the engine worker.", NULL,
	 &kvlsm_wal_writer_delay, 1, 10000, PGC_SIGHUP, GUC_UNIT_MS},
	{"kvlsm.compaction_rate_limit",
	 "Data that compaction merges in a second, before compression.",
	 "Zero sets no limit.", &kvlsm_compaction_rate_limit, 0, INT_MAX,
	 PGC_SIGHUP, GUC_UNIT_KB},
	{"kvlsm.stall_timeout",
	 "Time after which a write that waits for room fails.",
	 "Zero waits without limit.", &kvlsm_stall_timeout, 0, INT_MAX, PGC_SUSET,
	 GUC_UNIT_MS},
	{"kvlsm.max_key_size", "Largest key.", NULL, &kvlsm_max_key_size, 1, 65535,
	 PGC_SIGHUP, GUC_UNIT_BYTE},
	{"kvlsm.max_value_size", "Largest value.", NULL, &kvlsm_max_value_size, 1,
	 KV_MAX_VALUE, PGC_SIGHUP, GUC_UNIT_BYTE},
	{"kvlsm.max_batch_items", "Most items of one batch call.", NULL,
	 &kvlsm_max_batch_items, 1, INT_MAX, PGC_SIGHUP, 0},
	{"kvlsm.max_rows", "Most rows that one call of kv_range returns.", NULL,
	 &kvlsm_max_rows, 1, INT_MAX, PGC_SIGHUP, 0},
	{"kvlsm.max_key_locks", "Most keys that a transaction locks one by one.",
	 "A transaction that writes more keys locks their stores.",
	 &kvlsm_max_key_locks, 0, 10000, PGC_SUSET, 0},
	{"kvlsm.write_set_memory",
	 "Memory for what a transaction has written and not yet committed.",
	 "What does not fit goes to temporary files.", &kvlsm_write_set_memory, 64,
	 INT_MAX, PGC_SUSET, GUC_UNIT_KB},
};

/* Is it a name at all?  Whether there is such a table shows at its use. */
static bool
check_default_store(char **newval, void **extra, GucSource source)
{
	char *copy = pstrdup(*newval);
	List *names = NIL;
	bool good = SplitIdentifierString(copy, '.', &names) && names != NIL;

	if (!good)
		GUC_check_errdetail("It must be the name of a table, with its schema "
							"or without.");
	list_free(names);
	pfree(copy);
	return good;
}

void
kvlsm_define_gucs(void)
{
	int i;

	for (i = 0; i < (int) lengthof(int_settings); i++)
	{
		const IntSetting *s = &int_settings[i];

		/* the boot value is the variable's initial one */
		DefineCustomIntVariable(s->name, s->short_desc, s->long_desc, s->var,
								*s->var, s->min, s->max, s->context, s->flags,
								NULL, NULL, NULL);
	}
	DefineCustomStringVariable("kvlsm.default_store",
							   "Store that functions use when none is given.",
							   "The name of a foreign table, looked up in "
							   "search_path.",
							   &kvlsm_default_store, "kv", PGC_USERSET, 0,
							   check_default_store, NULL, NULL);
	DefineCustomBoolVariable("kvlsm.on_conflict",
							 "INSERT ... ON CONFLICT (key) works on stores.",
							 "It takes a hook in the planner.",
							 &kvlsm_on_conflict, true, PGC_USERSET, 0, NULL,
							 NULL, NULL);
	DefineCustomEnumVariable("kvlsm.compression",
							 "Compression of blocks in sorted files.", NULL,
							 &kvlsm_compression, 1, compressions,
							 PGC_POSTMASTER, 0, NULL, NULL, NULL);
	DefineCustomEnumVariable("kvlsm.mode", "What the store may be used for.",
							 "\"readonly\" refuses writes, \"off\" does not "
							 "open the store.",
							 &kvlsm_force_mode, KVLSM_FORCE_NORMAL, modes,
							 PGC_SIGHUP, 0, NULL, NULL, NULL);
	MarkGUCPrefixReserved("kvlsm");
}

void
kvlsm_config_from_gucs(KvConfig *config)
{
	kv_config_default(config);
	config->memtable_bytes = (uint64) kvlsm_memtable_size << 20;
	config->memtables = kvlsm_memtables;
	config->ring_bytes = (uint64) kvlsm_wal_buffers << 20;
	config->cache_bytes = (uint64) kvlsm_block_cache_size << 20;
	config->block_bytes = kvlsm_block_size;
	config->max_files = kvlsm_max_files;
	config->max_readers = MaxBackends + NUM_AUXILIARY_PROCS;
	config->lz4 = kvlsm_compression != 0;
	config->host_log = true;
}
