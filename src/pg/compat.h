/* SPDX-License-Identifier: PostgreSQL */
/*
 * compat.h - what differs between PostgreSQL 15 and 18, in one place.
 *
 * Other files of src/pg use the names defined here and contain no version
 * test of their own.
 */
#ifndef KVLSM_COMPAT_H
#define KVLSM_COMPAT_H

#include "postgres.h"

#include "access/rmgr.h"
#include "commands/explain.h"
#if PG_VERSION_NUM >= 180000
#include "commands/explain_format.h"
#include "commands/explain_state.h"
#endif
#include "replication/slot.h"
#include "storage/proc.h"
#include "utils/pg_locale.h"
#include "utils/wait_event.h"

#if PG_VERSION_NUM < 150000
#error "kvlsm needs PostgreSQL 15 or later"
#endif

/* number of this process, below MaxBackends + NUM_AUXILIARY_PROCS */
#if PG_VERSION_NUM >= 170000
#define kvlsm_my_proc_no() ((uint32) MyProcNumber)
#else
#define kvlsm_my_proc_no() ((uint32) MyProc->pgprocno)
#endif

/* of the top-level transaction: differs between any two of one process */
#if PG_VERSION_NUM >= 170000
#define kvlsm_my_lxid() (MyProc->vxid.lxid)
#else
#define kvlsm_my_lxid() (MyProc->lxid)
#endif

/* below it the commit log may be gone; read under XactTruncationLock */
#if PG_VERSION_NUM >= 170000
#define kvlsm_oldest_clog_xid() (TransamVariables->oldestClogXid)
#else
#define kvlsm_oldest_clog_xid() (ShmemVariableCache->oldestClogXid)
#endif

/*
 * What an error while pg_xact is read leaves locked (the count of held
 * interrupts is the caller's to restore).  Since 17 these locks cannot be
 * named from here.
 */
#if PG_VERSION_NUM >= 170000
#define kvlsm_clog_lock() ((LWLock *) NULL)
#else
#define kvlsm_clog_lock() XactSLRULock
#endif

/* the last parameter of ExecutorRun, which 18 has no more */
#if PG_VERSION_NUM >= 180000
#define KVLSM_EXECUTE_ONCE_PARAM
#define KVLSM_EXECUTE_ONCE_ARG
#else
#define KVLSM_EXECUTE_ONCE_PARAM , bool execute_once
#define KVLSM_EXECUTE_ONCE_ARG	 , execute_once
#endif

/* the search path that a cached name resolution was made with */
#if PG_VERSION_NUM >= 170000
#define KvlsmSearchPath				 SearchPathMatcher
#define kvlsm_get_search_path(cxt)	 GetSearchPathMatcher(cxt)
#define kvlsm_same_search_path(path) SearchPathMatchesCurrentEnvironment(path)
#else
#define KvlsmSearchPath				 OverrideSearchPath
#define kvlsm_get_search_path(cxt)	 GetOverrideSearchPath(cxt)
#define kvlsm_same_search_path(path) OverrideSearchPathMatchesCurrent(path)
#endif

/*
 * As in libpq/auth.h, which cannot be included: it wants the headers of the
 * GSSAPI library with which the server was built.
 */
struct Port;
typedef void (*kvlsm_authentication_hook)(struct Port *, int);
extern PGDLLIMPORT kvlsm_authentication_hook ClientAuthentication_hook;

/* wait events: named ones exist since 17; declares and sets var */
#if PG_VERSION_NUM >= 170000
static inline uint32
kvlsm_wait_event(uint32 *known, const char *name)
{
	if (*known == 0)
		*known = WaitEventExtensionNew(name);
	return *known;
}
#define KVLSM_WAIT_EVENT(var, name)                                           \
	static uint32 var##_known = 0;                                            \
	const uint32 var = kvlsm_wait_event(&var##_known, name)
#else
#define KVLSM_WAIT_EVENT(var, name) const uint32 var = PG_WAIT_EXTENSION
#endif

/* written before a declaration: since 18 it may not stand behind */
#ifndef pg_noreturn
#define pg_noreturn pg_attribute_noreturn()
#endif

/* in just this mode */
#if PG_VERSION_NUM >= 170000
#define kvlsm_lock_held(tag, mode) LockHeldByMe((tag), (mode), false)
#else
#define kvlsm_lock_held(tag, mode) LockHeldByMe((tag), (mode))
#endif

#if PG_VERSION_NUM >= 160000
#define kvlsm_name_list(string) stringToQualifiedNameList((string), NULL)
#else
#define kvlsm_name_list(string) stringToQualifiedNameList(string)
#endif

/* does the collation compare bytes? */
#if PG_VERSION_NUM >= 180000
#define kvlsm_collate_is_c(collation)                                         \
	(pg_newlocale_from_collation(collation)->collate_is_c)
#else
#define kvlsm_collate_is_c(collation) lc_collate_is_c(collation)
#endif

/* pg_attribute.attgenerated of a column that is computed when read: from 18 */
#define KVLSM_GENERATED_VIRTUAL 'v'

/* paths of foreign scans; pathkeys, required outer rels, private data */
#if PG_VERSION_NUM >= 180000
#define kvlsm_foreignscan_path(root, rel, rows, startup, total, keys, outer,  \
							   private)                                       \
	create_foreignscan_path((root), (rel), NULL, (rows), 0, (startup),        \
							(total), (keys), (outer), NULL, NIL, (private))
#define kvlsm_foreign_upper_path(root, rel, target, startup, total, private)  \
	create_foreign_upper_path((root), (rel), (target), 1, 0, (startup),       \
							  (total), NIL, NULL, NIL, (private))
#elif PG_VERSION_NUM >= 170000
#define kvlsm_foreignscan_path(root, rel, rows, startup, total, keys, outer,  \
							   private)                                       \
	create_foreignscan_path((root), (rel), NULL, (rows), (startup), (total),  \
							(keys), (outer), NULL, NIL, (private))
#define kvlsm_foreign_upper_path(root, rel, target, startup, total, private)  \
	create_foreign_upper_path((root), (rel), (target), 1, (startup), (total), \
							  NIL, NULL, NIL, (private))
#else
#define kvlsm_foreignscan_path(root, rel, rows, startup, total, keys, outer,  \
							   private)                                       \
	create_foreignscan_path((root), (rel), NULL, (rows), (startup), (total),  \
							(keys), (outer), NULL, (private))
#define kvlsm_foreign_upper_path(root, rel, target, startup, total, private)  \
	create_foreign_upper_path((root), (rel), (target), 1, (startup), (total), \
							  NIL, NULL, (private))
#endif

#if PG_VERSION_NUM >= 170000
#define kvlsm_array_length(root, expr) estimate_array_length((root), (expr))
#else
#define kvlsm_array_length(root, expr) estimate_array_length(expr)
#endif

/* replication slots */
#if PG_VERSION_NUM >= 170000
#define kvlsm_slot_create(name)                                               \
	ReplicationSlotCreate((name), false, RS_PERSISTENT, false, false, false)
#else
#define kvlsm_slot_create(name)                                               \
	ReplicationSlotCreate((name), false, RS_PERSISTENT, false)
#endif
#if PG_VERSION_NUM >= 180000
#define kvlsm_slot_acquire(name) ReplicationSlotAcquire((name), true, false)
#else
#define kvlsm_slot_acquire(name) ReplicationSlotAcquire((name), true)
#endif
#if PG_VERSION_NUM >= 160000
#define kvlsm_slot_invalidated(slot)                                          \
	((slot)->data.invalidated != RS_INVAL_NONE)
#else
#define kvlsm_slot_invalidated(slot)                                          \
	((slot)->data.invalidated_at != InvalidXLogRecPtr ||                      \
	 (slot)->data.restart_lsn == InvalidXLogRecPtr)
#endif

#endif /* KVLSM_COMPAT_H */
