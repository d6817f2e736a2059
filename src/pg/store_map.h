/* SPDX-License-Identifier: PostgreSQL */
/*
 * store_map.h - which store id belongs to a foreign table.
 */
#ifndef KVLSM_STORE_MAP_H
#define KVLSM_STORE_MAP_H

#include "kvlsm.h"

/*
 * The newest committed id, or this transaction's own; 0: none.  *own: it
 * goes when this transaction is rolled back.
 */
uint32 kvlsm_map_lookup(KvDb *db, Oid relid, bool *own);
/*
 * As above, but allocates and maps an id if there is none, with the map
 * entry locked to the end of the transaction.
 */
uint32 kvlsm_map_allocate(KvDb *db, Oid relid, bool *own);
/* As kvlsm_map_lookup, for the planner: false instead of an error. */
bool kvlsm_map_peek(KvDb *db, Oid relid, uint32 *id);
/* Drops the store of a table or of all tables of a database, if it has one. */
void kvlsm_map_drop(KvDb *db, Oid database, Oid relid);
void kvlsm_map_drop_database(KvDb *db, Oid database);

/* Stores of this database whose table is not there. */
typedef struct KvlsmOrphan
{
	Oid relid; /* that the table had */
	uint32 id;
} KvlsmOrphan;
List *kvlsm_map_orphans(KvDb *db); /* palloced */
/* Gives the store of a table that is gone to another one, which has none. */
void kvlsm_map_move(KvDb *db, Oid from, Oid to);

/* Is the relation a foreign table of a wrapper whose handler is kvlsm's? */
bool kvlsm_is_store(Oid relid);

/* store.c: the cache of this backend */
void kvlsm_forget_store(Oid relid);
void kvlsm_stores_end_xact(bool committed); /* never fails */
void kvlsm_stores_end_sub(void);			/* after a ROLLBACK TO */

#endif /* KVLSM_STORE_MAP_H */
