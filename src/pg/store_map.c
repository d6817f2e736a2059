/* SPDX-License-Identifier: PostgreSQL */
/*
 * store_map.c - the map from foreign tables to store ids, and what happens
 * to it when tables and databases come and go.
 *
 * The map lives in the engine's system store: key 'M', database oid, table
 * oid (big-endian); value store id (big-endian) and an incarnation, 8 bytes.
 * Its entries are ordinary writes of the transaction, so CREATE, DROP,
 * TRUNCATE and their rollback are as transactional as the data.  Dropping
 * deletes the map entry and leaves a mark (kv_dropped_key) by which
 * compaction removes the data.
 *
 * CREATE writes nothing: the first write allocates.  An entry that is found
 * when a table or database is created belongs to an older object of the same
 * oid whose drop kvlsm did not see; it is dropped then.
 *
 * The hook must not fail because the store cannot be used: it warns.
 */
#include "store_map.h"

#include "access/htup_details.h"
#include "catalog/objectaccess.h"
#include "catalog/pg_class.h"
#include "catalog/pg_database.h"
#include "catalog/pg_language.h"
#include "catalog/pg_proc.h"
#include "foreign/foreign.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"
#include "write_set.h"

#define MAP_PREFIX		  'M'
#define MAP_KEY_BYTES	  (KV_STORE_PREFIX + 1 + 4 + 4)
#define MAP_VALUE_BYTES	  (4 + 8)
#define DROPPED_KEY_BYTES (KV_STORE_PREFIX + 1 + 4)

static object_access_hook_type prev_hook = NULL;

static void
put_be32(char *p, uint32 v)
{
	v = pg_hton32(v);
	memcpy(p, &v, sizeof(v));
}

static uint32
get_be32(const char *p)
{
	uint32 v;

	memcpy(&v, p, sizeof(v));
	return pg_ntoh32(v);
}

/* relid InvalidOid: only the prefix of a database's entries. */
static KvSlice
map_key(char *buf, Oid database, Oid relid)
{
	put_be32(buf, KV_SYSTEM_STORE);
	buf[KV_STORE_PREFIX] = MAP_PREFIX;
	put_be32(buf + KV_STORE_PREFIX + 1, database);
	if (!OidIsValid(relid))
		return kv_slice(buf, KV_STORE_PREFIX + 1 + 4);
	put_be32(buf + KV_STORE_PREFIX + 1 + 4, relid);
	return kv_slice(buf, MAP_KEY_BYTES);
}

static uint32
id_of_entry(KvSlice value)
{
	if (value.len != MAP_VALUE_BYTES)
		ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
						errmsg("the map of kvlsm stores is damaged")));
	return get_be32(value.data);
}

static uint32
lookup(KvDb *db, KvSlice key, bool *own_entry)
{
	KvReadView view;
	KvEntry own;
	KvValue value = {0};
	KvError err;
	KvStatus status;
	uint32 id;

	kv_error_clear(&err);
	status = kvlsm_own_latest(key, &own, &err);
	*own_entry = status == KV_OK;
	if (*own_entry)
		return own.kind == KV_KIND_DELETE ? 0 : id_of_entry(own.value);
	if (status != KV_NOT_FOUND)
		kvlsm_ereport(status, &err);
	kvlsm_view_latest(&view);
	status = kv_get(db, &view, key, &value, &err);
	if (status == KV_NOT_FOUND)
		return 0;
	kvlsm_check(status, &err);
	id = id_of_entry(kv_slice(value.data, value.len));
	kv_value_free(kvlsm_env(), &value);
	return id;
}

uint32
kvlsm_map_lookup(KvDb *db, Oid relid, bool *own)
{
	char buf[MAP_KEY_BYTES];

	return lookup(db, map_key(buf, MyDatabaseId, relid), own);
}

bool
kvlsm_map_peek(KvDb *db, Oid relid, uint32 *id)
{
	char buf[MAP_KEY_BYTES];
	KvSlice key = map_key(buf, MyDatabaseId, relid);
	KvReadView view;
	KvEntry own;
	KvValue value = {0};
	KvError err;
	KvStatus status;

	*id = 0;
	kv_error_clear(&err);
	status = kvlsm_own_latest(key, &own, &err);
	if (status != KV_OK && status != KV_NOT_FOUND)
		return false;
	if (status == KV_OK)
	{
		if (own.kind != KV_KIND_DELETE && own.value.len == MAP_VALUE_BYTES)
			*id = get_be32(own.value.data);
		return true;
	}
	kvlsm_view_latest(&view);
	status = kv_get(db, &view, key, &value, &err);
	if (status == KV_OK && value.len == MAP_VALUE_BYTES)
		*id = get_be32(value.data);
	kv_value_free(kvlsm_env(), &value);
	return status == KV_OK || status == KV_NOT_FOUND;
}

static void
write_entry(KvSlice key, uint8 kind, const char *value, size_t len)
{
	KvEntry entry = {0};

	entry.key = key;
	entry.kind = kind;
	entry.value = kv_slice(value, len);
	kvlsm_buffer_write(&entry);
}

uint32
kvlsm_map_allocate(KvDb *db, Oid relid, bool *own)
{
	char buf[MAP_KEY_BYTES];
	char value[MAP_VALUE_BYTES];
	KvSlice key = map_key(buf, MyDatabaseId, relid);
	uint64 incarnation = pg_hton64((uint64) GetCurrentTimestamp());
	TimestampTz started = 0;
	KvStatus status;
	KvError err;
	uint32 id;

	id = lookup(db, key, own);
	if (id != 0)
		return id; /* the table is locked: it cannot change any more */

	/* whoever allocates first must end before others look again */
	kvlsm_lock_store(KV_SYSTEM_STORE, RowExclusiveLock);
	kvlsm_lock_key(key);
	id = lookup(db, key, own);
	if (id != 0)
		return id;

	kv_error_clear(&err);
	while ((status = kv_new_store_id(db, &id, &err)) == KV_STALLED)
		kvlsm_wait_for_room(&started);
	kvlsm_check(status, &err);
	put_be32(value, id);
	memcpy(value + 4, &incarnation, sizeof(incarnation));
	write_entry(key, KV_KIND_PUT, value, sizeof(value));
	CacheInvalidateRelcacheByRelid(relid);
	*own = true;
	return id;
}

static void
drop_entry(KvSlice key, uint32 id)
{
	char mark[DROPPED_KEY_BYTES];

	write_entry(key, KV_KIND_DELETE, NULL, 0);
	write_entry(kv_slice(mark, kv_dropped_key(id, mark)), KV_KIND_PUT, NULL, 0);
}

void
kvlsm_map_drop(KvDb *db, Oid database, Oid relid)
{
	char buf[MAP_KEY_BYTES];
	KvSlice key = map_key(buf, database, relid);
	bool own;
	uint32 id = lookup(db, key, &own);

	if (id != 0)
		drop_entry(key, id);
}

/* All entries of a database, as KvlsmOrphans, whether or not they are. */
static List *
entries_of(KvDb *db, Oid database)
{
	char lower[MAP_KEY_BYTES];
	char upper[MAP_KEY_BYTES];
	KvReadView view;
	KvScan *scan;
	KvEntry entry;
	KvError err;
	KvStatus status;
	List *entries = NIL;

	kvlsm_view_latest(&view);
	kv_error_clear(&err);
	kvlsm_check(kv_scan_open(db, &view, map_key(lower, database, InvalidOid),
							 map_key(upper, database + 1, InvalidOid), false,
							 NULL, &scan, &err),
				&err);
	while ((status = kv_scan_next(scan, &entry, &err)) == KV_OK)
	{
		KvlsmOrphan *e;

		if (entry.key.len != MAP_KEY_BYTES ||
			entry.value.len != MAP_VALUE_BYTES)
			continue;
		e = palloc(sizeof(KvlsmOrphan));
		e->relid = get_be32(entry.key.data + MAP_KEY_BYTES - 4);
		e->id = get_be32(entry.value.data);
		entries = lappend(entries, e);
	}
	kv_scan_close(scan);
	if (status != KV_NOT_FOUND)
		kvlsm_ereport(status, &err);
	return entries;
}

void
kvlsm_map_drop_database(KvDb *db, Oid database)
{
	List *entries = entries_of(db, database);
	ListCell *lc;

	foreach (lc, entries)
		kvlsm_map_drop(db, database, ((KvlsmOrphan *) lfirst(lc))->relid);
	list_free_deep(entries);
}

List *
kvlsm_map_orphans(KvDb *db)
{
	List *entries = entries_of(db, MyDatabaseId);
	List *orphans = NIL;
	ListCell *lc;

	foreach (lc, entries)
	{
		KvlsmOrphan *e = lfirst(lc);

		if (!SearchSysCacheExists1(RELOID, ObjectIdGetDatum(e->relid)))
			orphans = lappend(orphans, e);
	}
	return orphans;
}

void
kvlsm_map_move(KvDb *db, Oid from, Oid to)
{
	char buf[2][MAP_KEY_BYTES];
	char value[MAP_VALUE_BYTES];
	KvSlice from_key = map_key(buf[0], MyDatabaseId, from);
	KvSlice to_key = map_key(buf[1], MyDatabaseId, to);
	uint64 incarnation = pg_hton64((uint64) GetCurrentTimestamp());
	bool own;
	uint32 id;

	kvlsm_lock_store(KV_SYSTEM_STORE, RowExclusiveLock);
	kvlsm_lock_key(from_key);
	kvlsm_lock_key(to_key);
	id = lookup(db, from_key, &own);
	/* somebody else has taken it meanwhile, or the new one was written to */
	if (id == 0 || lookup(db, to_key, &own) != 0)
		return;
	put_be32(value, id);
	memcpy(value + 4, &incarnation, sizeof(incarnation));
	write_entry(to_key, KV_KIND_PUT, value, sizeof(value));
	write_entry(from_key, KV_KIND_DELETE, NULL, 0);
	CacheInvalidateRelcacheByRelid(to);
}

bool
kvlsm_is_store(Oid relid)
{
	ForeignTable *table;
	ForeignDataWrapper *fdw;
	HeapTuple tuple;
	Form_pg_proc proc;
	bool result = false;

	if (get_rel_relkind(relid) != RELKIND_FOREIGN_TABLE)
		return false;
	table = GetForeignTable(relid);
	fdw = GetForeignDataWrapper(GetForeignServer(table->serverid)->fdwid);
	if (!OidIsValid(fdw->fdwhandler))
		return false;
	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(fdw->fdwhandler));
	if (!HeapTupleIsValid(tuple))
		return false;
	proc = (Form_pg_proc) GETSTRUCT(tuple);
	if (proc->prolang == ClanguageId)
	{
		bool isnull;
		Datum src = SysCacheGetAttr(PROCOID, tuple, Anum_pg_proc_prosrc,
									&isnull);

		result = !isnull &&
				 strcmp(TextDatumGetCString(src), "kvlsm_fdw_handler") == 0;
	}
	ReleaseSysCache(tuple);
	return result;
}

/* The engine if a drop can be written, else NULL. */
static KvDb *
db_for_drop(void)
{
	KvDb *db = kvlsm_db_if_ready();

	return db != NULL && kv_mode(db) == KV_MODE_NORMAL ? db : NULL;
}

static void
drop_or_warn(Oid database, Oid relid)
{
	KvDb *db = db_for_drop();

	if (db == NULL)
		ereport(WARNING,
				(errmsg("kvlsm is not available: the data of what is dropped "
						"stays on disk"),
				 errhint("For a table that is dropped, IMPORT FOREIGN SCHEMA "
						 "lost "
						 "brings it back.")));
	else if (OidIsValid(relid))
		kvlsm_map_drop(db, database, relid);
	else
		kvlsm_map_drop_database(db, database);
}

static void
drop_stale(Oid database, Oid relid)
{
	KvDb *db = db_for_drop();
	uint32 id;

	if (db == NULL)
		return;
	if (OidIsValid(relid))
	{
		/* whatever is created comes here: a damaged map must not matter */
		if (kvlsm_map_peek(db, relid, &id) && id != 0)
			kvlsm_map_drop(db, database, relid);
	}
	else
		kvlsm_map_drop_database(db, database);
}

static void
access_hook(ObjectAccessType access, Oid class_id, Oid object_id, int sub_id,
			void *arg)
{
	if (prev_hook)
		prev_hook(access, class_id, object_id, sub_id, arg);
	if (sub_id != 0 || !IsNormalProcessingMode())
		return;
	if (access == OAT_DROP)
	{
		if (class_id == RelationRelationId && kvlsm_is_store(object_id))
			drop_or_warn(MyDatabaseId, object_id);
		else if (class_id == DatabaseRelationId)
			drop_or_warn(object_id, InvalidOid);
	}
	else if (access == OAT_POST_CREATE)
	{
		if (class_id == RelationRelationId)
			drop_stale(MyDatabaseId, object_id);
		else if (class_id == DatabaseRelationId)
			drop_stale(object_id, InvalidOid);
	}
}

void
kvlsm_install_hooks(void)
{
	prev_hook = object_access_hook;
	object_access_hook = access_hook;
}
