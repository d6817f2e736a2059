/* SPDX-License-Identifier: PostgreSQL */
/*
 * store.c - from a table to its store: existence, kind, lock, privileges,
 * id, all of it remembered for the next call.
 *
 * A function that puts one key is called a million times in a statement, so
 * nothing here may cost more than a hash lookup on the way through: what was
 * found out about a table stays until PostgreSQL says that the table, a role
 * or a membership has changed, and its lock is taken once a transaction.
 * That a table has no id yet is never remembered.
 *
 * Backends only.
 */
#include "kvlsm.h"

#include "access/parallel.h"
#include "access/relation.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "compat.h"
#include "fdw.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "store_map.h"
#include "utils/acl.h"
#include "utils/builtins.h"
#include "utils/hsearch.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/regproc.h"
#include "utils/syscache.h"
#include "write_set.h"

typedef struct StoreEntry
{
	Oid relid;
	/* forgotten by invalidation */
	bool known;	  /* it is a kvlsm table */
	bool plain;	  /* known to have the layout that the functions work on */
	uint32 id;	  /* 0: not known */
	Oid acl_role; /* for whom acl_granted holds */
	AclMode acl_granted;
	/* of this transaction */
	bool own_id; /* id goes with its rollback */
	uint64 lock_epoch;
	LOCKMODE locked; /* meaningless unless lock_epoch is the current one */
} StoreEntry;

static HTAB *stores = NULL;
static StoreEntry *last_store = NULL; /* entries are never removed */
/* rises when locks may have been released */
static uint64 lock_epoch = 1;
static bool have_own_ids = false;

/* kvlsm.default_store, resolved */
static struct
{
	Oid relid; /* InvalidOid: not known */
	char name[NAMEDATALEN * 2 + 8];
	KvlsmSearchPath *path;
	MemoryContext context;
} default_store;

static void
forget_entry(StoreEntry *entry)
{
	entry->known = false;
	entry->plain = false;
	entry->id = 0;
	entry->acl_role = InvalidOid;
}

static void
relation_changed(Datum arg, Oid relid)
{
	StoreEntry *entry;
	HASH_SEQ_STATUS seq;

	default_store.relid = InvalidOid;
	if (OidIsValid(relid))
	{
		entry = hash_search(stores, &relid, HASH_FIND, NULL);
		if (entry != NULL)
			forget_entry(entry);
		return;
	}
	hash_seq_init(&seq, stores);
	while ((entry = hash_seq_search(&seq)) != NULL)
		forget_entry(entry);
}

static void
catalog_changed(Datum arg, int cache_id, uint32 hash)
{
	relation_changed(arg, InvalidOid);
}

static void
init_cache(void)
{
	HASHCTL ctl = {0};

	ctl.keysize = sizeof(Oid);
	ctl.entrysize = sizeof(StoreEntry);
	stores = hash_create("kvlsm stores", 16, &ctl, HASH_ELEM | HASH_BLOBS);
	CacheRegisterRelcacheCallback(relation_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHOID, catalog_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(AUTHMEMROLEMEM, catalog_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(NAMESPACEOID, catalog_changed, (Datum) 0);
	CacheRegisterSyscacheCallback(FOREIGNDATAWRAPPEROID, catalog_changed,
								  (Datum) 0);
}

static StoreEntry *
find_entry(Oid relid)
{
	bool found;

	if (last_store != NULL && last_store->relid == relid)
		return last_store;
	if (stores == NULL)
		init_cache();
	last_store = hash_search(stores, &relid, HASH_ENTER, &found);
	if (!found)
		memset((char *) last_store + sizeof(Oid), 0,
			   sizeof(StoreEntry) - sizeof(Oid));
	return last_store;
}

static Oid
resolve_default(LOCKMODE mode)
{
	RangeVar *name;
	Oid relid;

	if (OidIsValid(default_store.relid) &&
		strcmp(default_store.name, kvlsm_default_store) == 0 &&
		kvlsm_same_search_path(default_store.path))
		return default_store.relid;

	if (stores == NULL)
		init_cache();
	name = makeRangeVarFromNameList(kvlsm_name_list(kvlsm_default_store));
	relid = RangeVarGetRelid(name, mode, true);
	if (!OidIsValid(relid))
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("store \"%s\" does not exist", kvlsm_default_store),
				 errhint("SELECT kv_create_store(%s) makes it; a store of "
						 "another name is given as the argument \"store\", or "
						 "by kvlsm.default_store.",
						 quote_literal_cstr(kvlsm_default_store))));
	if (strlen(kvlsm_default_store) < sizeof(default_store.name))
	{
		if (default_store.context == NULL)
			default_store.context =
				AllocSetContextCreate(TopMemoryContext, "kvlsm default store",
									  ALLOCSET_SMALL_SIZES);
		MemoryContextReset(default_store.context);
		default_store.path = kvlsm_get_search_path(default_store.context);
		strlcpy(default_store.name, kvlsm_default_store,
				sizeof(default_store.name));
		default_store.relid = relid;
	}
	return relid;
}

static void
lock_entry(StoreEntry *entry, LOCKMODE mode)
{
	if (entry->lock_epoch == lock_epoch && entry->locked >= mode)
		return;
	LockRelationOid(entry->relid, mode);
	entry->locked = entry->lock_epoch == lock_epoch ? Max(entry->locked, mode)
													: mode;
	entry->lock_epoch = lock_epoch;
}

static void
check_kind(StoreEntry *entry)
{
	char *name;

	if (entry->known)
		return;
	if (kvlsm_is_store(entry->relid))
	{
		entry->known = true;
		return;
	}
	name = get_rel_name(entry->relid);
	if (name == NULL)
		ereport(ERROR,
				(errcode(ERRCODE_UNDEFINED_TABLE),
				 errmsg("store with OID %u does not exist", entry->relid)));
	ereport(ERROR,
			(errcode(ERRCODE_WRONG_OBJECT_TYPE),
			 errmsg("\"%s\" is not a kvlsm store", name),
			 errhint("A store is a foreign table of the server \"kvlsm\"; "
					 "kv_create_store makes one.")));
}

/*
 * The functions' keys and values are not those of a typed table.  The entry
 * is locked.
 */
static void
check_plain(StoreEntry *entry)
{
	Relation rel;
	KvlsmLayout *layout;

	if (entry->plain)
		return;
	rel = relation_open(entry->relid, NoLock);
	layout = kvlsm_layout_of(rel);
	if (layout->typed)
		ereport(ERROR,
				(errcode(ERRCODE_WRONG_OBJECT_TYPE),
				 errmsg("\"%s\" has the layout \"typed\"",
						RelationGetRelationName(rel)),
				 errhint("Use SELECT, INSERT, UPDATE and DELETE; the kv "
						 "functions work on tables of a key and a value.")));
	pfree(layout);
	relation_close(rel, NoLock);
	entry->plain = true;
}

static void
check_privilege(StoreEntry *entry, KvlsmAccess access)
{
	static const AclMode needed[] = {
		[KVLSM_INSPECT] = ACL_SELECT,
		[KVLSM_READ] = ACL_SELECT,
		[KVLSM_PUT] = ACL_INSERT | ACL_UPDATE,
		[KVLSM_DELETE] = ACL_DELETE,
		[KVLSM_MODIFY] = ACL_SELECT | ACL_INSERT | ACL_UPDATE,
		[KVLSM_REMOVE] = ACL_SELECT | ACL_DELETE,
	};
	AclMode mode = needed[access];

	if (entry->acl_role != GetUserId())
	{
		entry->acl_role = GetUserId();
		entry->acl_granted = 0;
	}
	if ((entry->acl_granted & mode) == mode)
		return;
	if (pg_class_aclmask(entry->relid, GetUserId(), mode, ACLMASK_ALL) != mode)
		aclcheck_error(ACLCHECK_NO_PRIV, OBJECT_FOREIGN_TABLE,
					   get_rel_name(entry->relid));
	entry->acl_granted |= mode;
}

static void
check_may_write(KvlsmAccess access)
{
	static const char *const names[] = {[KVLSM_PUT] = "kv_put()",
										[KVLSM_DELETE] = "kv_delete()",
										[KVLSM_MODIFY] = "a write to a store",
										[KVLSM_REMOVE] = "a write to a store"};
	const char *what = names[access];

	PreventCommandIfReadOnly(what);
	PreventCommandIfParallelMode(what);
	PreventCommandDuringRecovery(what);
}

/*
 * A parallel worker does not have what its transaction has written, and
 * would answer as if nothing had been.
 */
static void
check_may_read(void)
{
	if (IsParallelWorker())
		ereport(ERROR,
				(errcode(ERRCODE_INVALID_TRANSACTION_STATE),
				 errmsg("cannot read a kvlsm store in a parallel worker"),
				 errhint("Declare the function that reads it PARALLEL "
						 "RESTRICTED.")));
}

static void
find_id(StoreEntry *entry, bool for_write)
{
	KvDb *db = kvlsm_db(for_write);
	bool own;

	if (for_write)
		kvlsm_wait_before_write(db);
	if (entry->id != 0)
		return;
	entry->id = for_write ? kvlsm_map_allocate(db, entry->relid, &own)
						  : kvlsm_map_lookup(db, entry->relid, &own);
	entry->own_id = own;
	have_own_ids |= own;
}

void
kvlsm_open_store(Oid relid, KvlsmAccess access, KvlsmStore *store)
{
	bool writes = access > KVLSM_READ;
	LOCKMODE mode = writes ? RowExclusiveLock : AccessShareLock;
	StoreEntry *entry;

	if (!OidIsValid(relid))
		relid = resolve_default(mode);
	entry = find_entry(relid);
	lock_entry(entry, mode);
	check_kind(entry);
	check_privilege(entry, access);
	if (access != KVLSM_INSPECT)
		check_plain(entry);
	if (writes)
		check_may_write(access);
	else
		check_may_read();
	find_id(entry, writes);
	store->id = entry->id;
	if (access != KVLSM_PUT)
		kvlsm_ssi_read(relid);
	if (writes)
		kvlsm_ssi_write(relid);
}

void
kvlsm_store_of_relation(Oid relid, bool for_write, KvlsmStore *store)
{
	StoreEntry *entry = find_entry(relid);

	if (for_write)
		check_may_write(KVLSM_PUT);
	else
		check_may_read();
	find_id(entry, for_write);
	store->id = entry->id;
	kvlsm_ssi_read(relid);
	if (for_write)
		kvlsm_ssi_write(relid);
}

void
kvlsm_forget_store(Oid relid)
{
	forget_entry(find_entry(relid));
}

/* What this transaction found out by its own writes may be wrong now. */
static void
forget_own_ids(bool keep)
{
	StoreEntry *entry;
	HASH_SEQ_STATUS seq;

	if (!have_own_ids)
		return;
	hash_seq_init(&seq, stores);
	while ((entry = hash_seq_search(&seq)) != NULL)
	{
		if (entry->own_id && !keep)
			entry->id = 0;
		entry->own_id = false;
	}
	have_own_ids = false;
}

void
kvlsm_stores_end_xact(bool committed)
{
	lock_epoch++;
	forget_own_ids(committed);
}

void
kvlsm_stores_end_sub(void)
{
	lock_epoch++;
	forget_own_ids(false);
}
