/* SPDX-License-Identifier: PostgreSQL */
/*
 * kvlsm--1.0.sql - the SQL objects of kvlsm.
 *
 * Every name is qualified, and nothing is replaced that is there already: an
 * object that somebody has put into the schema before must make this script
 * fail, not become a part of the extension.
 */
\echo Use "CREATE EXTENSION kvlsm" to load this file. \quit

-- ---------------------------------------------------------------------------
-- Foreign data wrapper and server: every store is a foreign table on it
-- ---------------------------------------------------------------------------

CREATE FUNCTION @extschema@.kvlsm_fdw_handler() RETURNS pg_catalog.fdw_handler
	LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'kvlsm_fdw_handler';
COMMENT ON FUNCTION @extschema@.kvlsm_fdw_handler() IS
	'handler of the foreign data wrapper kvlsm';

CREATE FUNCTION @extschema@.kvlsm_fdw_validator(pg_catalog.text[],
												pg_catalog.oid)
	RETURNS pg_catalog.void
	LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'kvlsm_fdw_validator';
COMMENT ON FUNCTION @extschema@.kvlsm_fdw_validator(pg_catalog.text[],
													pg_catalog.oid) IS
	'checks the options of kvlsm tables';

CREATE FOREIGN DATA WRAPPER kvlsm
	HANDLER @extschema@.kvlsm_fdw_handler
	VALIDATOR @extschema@.kvlsm_fdw_validator;
COMMENT ON FOREIGN DATA WRAPPER kvlsm IS
	'key-value stores of this server';

CREATE SERVER kvlsm FOREIGN DATA WRAPPER kvlsm;
COMMENT ON SERVER kvlsm IS
	'the kvlsm stores of this database: each is a foreign table here';

-- ---------------------------------------------------------------------------
-- Writing.  Not STRICT: a NULL is an error (22004), not a silent nothing.
-- ---------------------------------------------------------------------------

CREATE FUNCTION @extschema@.kv_put(key pg_catalog.text,
		value pg_catalog.text,
		ttl pg_catalog.interval DEFAULT NULL,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.void
	LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10
	AS 'MODULE_PATHNAME', 'kvlsm_sql_put_text';
COMMENT ON FUNCTION @extschema@.kv_put(pg_catalog.text, pg_catalog.text,
		pg_catalog.interval, pg_catalog.regclass) IS
	'stores a text value under a key, in place of any older value';

CREATE FUNCTION @extschema@.kv_put(key pg_catalog.text,
		value pg_catalog.jsonb,
		ttl pg_catalog.interval DEFAULT NULL,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.void
	LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10
	AS 'MODULE_PATHNAME', 'kvlsm_sql_put_jsonb';
COMMENT ON FUNCTION @extschema@.kv_put(pg_catalog.text, pg_catalog.jsonb,
		pg_catalog.interval, pg_catalog.regclass) IS
	'stores a JSON value under a key, in place of any older value';

CREATE FUNCTION @extschema@.kv_put(key pg_catalog.text,
		value pg_catalog.bytea,
		ttl pg_catalog.interval DEFAULT NULL,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.void
	LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10
	AS 'MODULE_PATHNAME', 'kvlsm_sql_put_bytea';
COMMENT ON FUNCTION @extschema@.kv_put(pg_catalog.text, pg_catalog.bytea,
		pg_catalog.interval, pg_catalog.regclass) IS
	'stores a binary value under a key, in place of any older value';

CREATE FUNCTION @extschema@.kv_put(key pg_catalog.bytea,
		value pg_catalog.bytea,
		ttl pg_catalog.interval DEFAULT NULL,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.void
	LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10
	AS 'MODULE_PATHNAME', 'kvlsm_sql_put_bytea';
COMMENT ON FUNCTION @extschema@.kv_put(pg_catalog.bytea, pg_catalog.bytea,
		pg_catalog.interval, pg_catalog.regclass) IS
	'stores a binary value under a binary key, in place of any older value';

CREATE FUNCTION @extschema@.kv_delete(key pg_catalog.text,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.bool
	LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10
	AS 'MODULE_PATHNAME', 'kvlsm_sql_delete';
COMMENT ON FUNCTION @extschema@.kv_delete(pg_catalog.text,
		pg_catalog.regclass) IS
	'removes a key; true if it was there';

CREATE FUNCTION @extschema@.kv_delete(key pg_catalog.bytea,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.bool
	LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10
	AS 'MODULE_PATHNAME', 'kvlsm_sql_delete';
COMMENT ON FUNCTION @extschema@.kv_delete(pg_catalog.bytea,
		pg_catalog.regclass) IS
	'removes a binary key; true if it was there';

CREATE FUNCTION @extschema@.kv_batch_put(items pg_catalog.jsonb,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.int8
	LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000
	AS 'MODULE_PATHNAME', 'kvlsm_sql_batch_put';
COMMENT ON FUNCTION @extschema@.kv_batch_put(pg_catalog.jsonb,
		pg_catalog.regclass) IS
	'stores [{"key":..,"value":..,"ttl":..}, ...], all or none; returns how many';

CREATE FUNCTION @extschema@.kv_put_many(keys pg_catalog.text[],
		vals pg_catalog.text[],
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.int8
	LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000
	AS 'MODULE_PATHNAME', 'kvlsm_sql_put_many';
COMMENT ON FUNCTION @extschema@.kv_put_many(pg_catalog.text[],
		pg_catalog.text[], pg_catalog.regclass) IS
	'stores vals[i] under keys[i], all or none; returns how many';

-- ---------------------------------------------------------------------------
-- Writing on a condition: the key is locked to the end of the transaction, the
-- newest version counts.
-- ---------------------------------------------------------------------------

CREATE FUNCTION @extschema@.kv_cas(key pg_catalog.text,
		expected pg_catalog.text,
		new_value pg_catalog.text,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.bool
	LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10
	AS 'MODULE_PATHNAME', 'kvlsm_sql_cas';
COMMENT ON FUNCTION @extschema@.kv_cas(pg_catalog.text, pg_catalog.text,
		pg_catalog.text, pg_catalog.regclass) IS
	'puts new_value (NULL: deletes) if the value is expected (NULL: if there is none); whether it was';

CREATE FUNCTION @extschema@.kv_put_if_absent(key pg_catalog.text,
		value pg_catalog.text,
		ttl pg_catalog.interval DEFAULT NULL,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.bool
	LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10
	AS 'MODULE_PATHNAME', 'kvlsm_sql_put_if_absent_text';
COMMENT ON FUNCTION @extschema@.kv_put_if_absent(pg_catalog.text,
		pg_catalog.text, pg_catalog.interval, pg_catalog.regclass) IS
	'puts a text value if the key has none; whether it did';

CREATE FUNCTION @extschema@.kv_put_if_absent(key pg_catalog.text,
		value pg_catalog.jsonb,
		ttl pg_catalog.interval DEFAULT NULL,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.bool
	LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10
	AS 'MODULE_PATHNAME', 'kvlsm_sql_put_if_absent_jsonb';
COMMENT ON FUNCTION @extschema@.kv_put_if_absent(pg_catalog.text,
		pg_catalog.jsonb, pg_catalog.interval, pg_catalog.regclass) IS
	'puts a JSON value if the key has none; whether it did';

CREATE FUNCTION @extschema@.kv_swap(key pg_catalog.text,
		value pg_catalog.text,
		ttl pg_catalog.interval DEFAULT NULL,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.text
	LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10
	AS 'MODULE_PATHNAME', 'kvlsm_sql_swap';
COMMENT ON FUNCTION @extschema@.kv_swap(pg_catalog.text, pg_catalog.text,
		pg_catalog.interval, pg_catalog.regclass) IS
	'puts a text value and returns the one that was there';

CREATE FUNCTION @extschema@.kv_put_if_version(key pg_catalog.text,
		value pg_catalog.jsonb,
		version pg_catalog.text,
		ttl pg_catalog.interval DEFAULT NULL,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.bool
	LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10
	AS 'MODULE_PATHNAME', 'kvlsm_sql_put_if_version';
COMMENT ON FUNCTION @extschema@.kv_put_if_version(pg_catalog.text,
		pg_catalog.jsonb, pg_catalog.text, pg_catalog.interval, pg_catalog.regclass)
		IS
	'puts a JSON value if the version is the one of kv_entry; whether it was';

CREATE FUNCTION @extschema@.kv_delete_if_version(key pg_catalog.text,
		version pg_catalog.text,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.bool
	LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10
	AS 'MODULE_PATHNAME', 'kvlsm_sql_delete_if_version';
COMMENT ON FUNCTION @extschema@.kv_delete_if_version(pg_catalog.text,
		pg_catalog.text, pg_catalog.regclass) IS
	'removes a key if the version is the one of kv_entry; whether it was';

CREATE FUNCTION @extschema@.kv_incr(key pg_catalog.text,
		by pg_catalog.int8 DEFAULT 1,
		ttl pg_catalog.interval DEFAULT NULL,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.int8
	LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10
	AS 'MODULE_PATHNAME', 'kvlsm_sql_incr';
COMMENT ON FUNCTION @extschema@.kv_incr(pg_catalog.text, pg_catalog.int8,
		pg_catalog.interval, pg_catalog.regclass) IS
	'adds to a number, 0 if there is none, and returns the sum; ttl counts for a new key';

CREATE FUNCTION @extschema@.kv_expire(key pg_catalog.text,
		ttl pg_catalog.interval,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.bool
	LANGUAGE C VOLATILE PARALLEL UNSAFE COST 10
	AS 'MODULE_PATHNAME', 'kvlsm_sql_expire';
COMMENT ON FUNCTION @extschema@.kv_expire(pg_catalog.text,
		pg_catalog.interval, pg_catalog.regclass) IS
	'lets a key expire after ttl from now (NULL: never); false if there is none';

CREATE FUNCTION @extschema@.kv_delete_range(start_key pg_catalog.text,
		end_key pg_catalog.text,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.void
	LANGUAGE C VOLATILE PARALLEL UNSAFE COST 100
	AS 'MODULE_PATHNAME', 'kvlsm_sql_delete_range';
COMMENT ON FUNCTION @extschema@.kv_delete_range(pg_catalog.text,
		pg_catalog.text, pg_catalog.regclass) IS
	'removes the keys from start_key up to, not including, end_key at once; locks the store';

CREATE FUNCTION @extschema@.kv_batch(ops pg_catalog.jsonb,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.jsonb
	LANGUAGE C VOLATILE PARALLEL UNSAFE COST 1000
	AS 'MODULE_PATHNAME', 'kvlsm_sql_batch';
COMMENT ON FUNCTION @extschema@.kv_batch(pg_catalog.jsonb,
		pg_catalog.regclass) IS
	'checks, puts, deletes and increments as one: {"ok":true,"results":[..]}, or {"ok":false,"failed":i} and nothing was written';

-- ---------------------------------------------------------------------------
-- Reading.  A NULL key reads nothing.  Not declared STRICT, because a NULL
-- store stands for the default store.
-- ---------------------------------------------------------------------------

CREATE FUNCTION @extschema@.kv_get(key pg_catalog.text,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.text
	LANGUAGE C STABLE PARALLEL RESTRICTED COST 10
	AS 'MODULE_PATHNAME', 'kvlsm_sql_get';
COMMENT ON FUNCTION @extschema@.kv_get(pg_catalog.text, pg_catalog.regclass) IS
	'the value of a key as text; NULL if there is none';

CREATE FUNCTION @extschema@.kv_get_json(key pg_catalog.text,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.jsonb
	LANGUAGE C STABLE PARALLEL RESTRICTED COST 10
	AS 'MODULE_PATHNAME', 'kvlsm_sql_get_json';
COMMENT ON FUNCTION @extschema@.kv_get_json(pg_catalog.text,
		pg_catalog.regclass) IS
	'the value of a key as JSON; NULL if there is none';

CREATE FUNCTION @extschema@.kv_get_bytes(key pg_catalog.text,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.bytea
	LANGUAGE C STABLE PARALLEL RESTRICTED COST 10
	AS 'MODULE_PATHNAME', 'kvlsm_sql_get_bytes';
COMMENT ON FUNCTION @extschema@.kv_get_bytes(pg_catalog.text,
		pg_catalog.regclass) IS
	'the value of a key as bytes; NULL if there is none';

CREATE FUNCTION @extschema@.kv_get_bytes(key pg_catalog.bytea,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.bytea
	LANGUAGE C STABLE PARALLEL RESTRICTED COST 10
	AS 'MODULE_PATHNAME', 'kvlsm_sql_get_bytes';
COMMENT ON FUNCTION @extschema@.kv_get_bytes(pg_catalog.bytea,
		pg_catalog.regclass) IS
	'the value of a binary key as bytes; NULL if there is none';

CREATE FUNCTION @extschema@.kv_exists(key pg_catalog.text,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.bool
	LANGUAGE C STABLE PARALLEL RESTRICTED COST 10
	AS 'MODULE_PATHNAME', 'kvlsm_sql_exists';
COMMENT ON FUNCTION @extschema@.kv_exists(pg_catalog.text,
		pg_catalog.regclass) IS
	'whether a key has a value';

CREATE FUNCTION @extschema@.kv_multi_get(keys pg_catalog.text[],
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS TABLE(ord pg_catalog.int4, key pg_catalog.text,
				  value pg_catalog.text)
	LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000 ROWS 100
	AS 'MODULE_PATHNAME', 'kvlsm_sql_multi_get';
COMMENT ON FUNCTION @extschema@.kv_multi_get(pg_catalog.text[],
		pg_catalog.regclass) IS
	'the values of many keys, in the order asked for; NULL where there is none';

CREATE FUNCTION @extschema@.kvlsm_range_support(pg_catalog.internal)
	RETURNS pg_catalog.internal
	LANGUAGE C STRICT AS 'MODULE_PATHNAME', 'kvlsm_range_support';
COMMENT ON FUNCTION @extschema@.kvlsm_range_support(pg_catalog.internal) IS
	'row estimates of kv_range for the planner';

CREATE FUNCTION @extschema@.kv_range(start_key pg_catalog.text DEFAULT NULL,
		end_key pg_catalog.text DEFAULT NULL,
		prefix pg_catalog.text DEFAULT NULL,
		after_key pg_catalog.text DEFAULT NULL,
		max_rows pg_catalog.int4 DEFAULT 1000,
		reverse pg_catalog.bool DEFAULT false,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS TABLE(key pg_catalog.text, value pg_catalog.text)
	LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000 ROWS 1000
	SUPPORT @extschema@.kvlsm_range_support
	AS 'MODULE_PATHNAME', 'kvlsm_sql_range';
COMMENT ON FUNCTION @extschema@.kv_range(pg_catalog.text, pg_catalog.text,
		pg_catalog.text, pg_catalog.text, pg_catalog.int4, pg_catalog.bool,
		pg_catalog.regclass) IS
	'keys from start_key up to, not including, end_key, in key order, values as text';

CREATE FUNCTION @extschema@.kv_range_json(
		start_key pg_catalog.text DEFAULT NULL,
		end_key pg_catalog.text DEFAULT NULL,
		prefix pg_catalog.text DEFAULT NULL,
		after_key pg_catalog.text DEFAULT NULL,
		max_rows pg_catalog.int4 DEFAULT 1000,
		reverse pg_catalog.bool DEFAULT false,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS TABLE(key pg_catalog.text, value pg_catalog.jsonb)
	LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000 ROWS 1000
	SUPPORT @extschema@.kvlsm_range_support
	AS 'MODULE_PATHNAME', 'kvlsm_sql_range_json';
COMMENT ON FUNCTION @extschema@.kv_range_json(pg_catalog.text,
		pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.int4,
		pg_catalog.bool, pg_catalog.regclass) IS
	'keys from start_key up to, not including, end_key, in key order, values as JSON';

CREATE FUNCTION @extschema@.kv_entry(key pg_catalog.text,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS TABLE(key pg_catalog.text, value pg_catalog.jsonb,
				  version pg_catalog.text, expires_at pg_catalog.timestamptz)
	LANGUAGE C STABLE PARALLEL RESTRICTED COST 10 ROWS 1
	AS 'MODULE_PATHNAME', 'kvlsm_sql_entry';
COMMENT ON FUNCTION @extschema@.kv_entry(pg_catalog.text,
		pg_catalog.regclass) IS
	'value, version and time of expiry of a key; no row if there is none';

CREATE FUNCTION @extschema@.kv_ttl(key pg_catalog.text,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.interval
	LANGUAGE C STABLE PARALLEL RESTRICTED COST 10
	AS 'MODULE_PATHNAME', 'kvlsm_sql_ttl';
COMMENT ON FUNCTION @extschema@.kv_ttl(pg_catalog.text, pg_catalog.regclass)
		IS
	'time until a key expires; NULL if there is none, or it does not';

CREATE FUNCTION @extschema@.kv_count(start_key pg_catalog.text DEFAULT NULL,
		end_key pg_catalog.text DEFAULT NULL,
		prefix pg_catalog.text DEFAULT NULL,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.int8
	LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000
	AS 'MODULE_PATHNAME', 'kvlsm_sql_count';
COMMENT ON FUNCTION @extschema@.kv_count(pg_catalog.text, pg_catalog.text,
		pg_catalog.text, pg_catalog.regclass) IS
	'how many keys from start_key up to, not including, end_key';

CREATE FUNCTION @extschema@.kv_count_estimate(start_key pg_catalog.text DEFAULT NULL,
		end_key pg_catalog.text DEFAULT NULL,
		prefix pg_catalog.text DEFAULT NULL,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.int8
	LANGUAGE C STABLE PARALLEL RESTRICTED COST 100
	AS 'MODULE_PATHNAME', 'kvlsm_sql_count_estimate';
COMMENT ON FUNCTION @extschema@.kv_count_estimate(pg_catalog.text,
		pg_catalog.text, pg_catalog.text, pg_catalog.regclass) IS
	'the same, roughly and at once, from the files; what is in memory only is not counted';

-- What the HTTP routes read: binary values as {"$base64": ...}.
CREATE FUNCTION @extschema@.kvlsm_http_entry(key pg_catalog.text,
		store pg_catalog.regclass DEFAULT NULL,
		OUT value pg_catalog.jsonb, OUT version pg_catalog.text)
	LANGUAGE C STABLE PARALLEL RESTRICTED COST 10
	AS 'MODULE_PATHNAME', 'kvlsm_sql_http_entry';
COMMENT ON FUNCTION @extschema@.kvlsm_http_entry(pg_catalog.text,
		pg_catalog.regclass) IS
	'value, as HTTP shows it, and version of a key; NULLs if there is none';

CREATE FUNCTION @extschema@.kvlsm_http_range(
		start_key pg_catalog.text DEFAULT NULL,
		end_key pg_catalog.text DEFAULT NULL,
		prefix pg_catalog.text DEFAULT NULL,
		after_key pg_catalog.text DEFAULT NULL,
		max_rows pg_catalog.int4 DEFAULT 1000,
		reverse pg_catalog.bool DEFAULT false,
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS TABLE(key pg_catalog.text, value pg_catalog.jsonb)
	LANGUAGE C STABLE PARALLEL RESTRICTED COST 1000 ROWS 1000
	SUPPORT @extschema@.kvlsm_range_support
	AS 'MODULE_PATHNAME', 'kvlsm_sql_http_range';
COMMENT ON FUNCTION @extschema@.kvlsm_http_range(pg_catalog.text,
		pg_catalog.text, pg_catalog.text, pg_catalog.text, pg_catalog.int4,
		pg_catalog.bool, pg_catalog.regclass) IS
	'kv_range_json, with values as HTTP shows them';

CREATE FUNCTION @extschema@.kvlsm_uridecode(encoded pg_catalog.text)
	RETURNS pg_catalog.text
	LANGUAGE C IMMUTABLE STRICT PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'kvlsm_sql_uridecode';
COMMENT ON FUNCTION @extschema@.kvlsm_uridecode(pg_catalog.text) IS
	'decodes %XX; anything else, + included, stays as it is';

-- ---------------------------------------------------------------------------
-- Stores
-- ---------------------------------------------------------------------------

CREATE FUNCTION @extschema@.kv_create_store(name pg_catalog.text,
		options pg_catalog.jsonb DEFAULT '{}')
	RETURNS pg_catalog.regclass
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'kvlsm_sql_create_store';
COMMENT ON FUNCTION @extschema@.kv_create_store(pg_catalog.text,
		pg_catalog.jsonb) IS
	'creates a store: a foreign table (key text, value jsonb) on the server kvlsm';

CREATE FUNCTION @extschema@.kvlsm_store_size(
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.int8
	LANGUAGE C VOLATILE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME', 'kvlsm_sql_store_size';
COMMENT ON FUNCTION @extschema@.kvlsm_store_size(pg_catalog.regclass) IS
	'bytes of a store in files, roughly; what is in memory only is not counted';

-- ---------------------------------------------------------------------------
-- Administration
-- ---------------------------------------------------------------------------

CREATE FUNCTION @extschema@.kvlsm_stats(
		OUT mode pg_catalog.text,
		OUT files pg_catalog.int8,
		OUT bytes pg_catalog.int8,
		OUT entries pg_catalog.int8,
		OUT tombstones pg_catalog.int8,
		OUT levels pg_catalog.jsonb,
		OUT memtable_bytes pg_catalog.int8,
		OUT memtable_entries pg_catalog.int8,
		OUT memtables_immutable pg_catalog.int8,
		OUT last_csn pg_catalog.int8,
		OUT inserted_lsn pg_catalog.pg_lsn,
		OUT synced_lsn pg_catalog.pg_lsn,
		OUT flushed_lsn pg_catalog.pg_lsn,
		OUT wal_bytes pg_catalog.int8,
		OUT flushes pg_catalog.int8,
		OUT flushed_bytes pg_catalog.int8,
		OUT compactions pg_catalog.int8,
		OUT compacted_in_bytes pg_catalog.int8,
		OUT compacted_out_bytes pg_catalog.int8,
		OUT ingests pg_catalog.int8,
		OUT ingested_bytes pg_catalog.int8,
		OUT stalls pg_catalog.int8,
		OUT cache_hits pg_catalog.int8,
		OUT cache_misses pg_catalog.int8,
		OUT cache_evictions pg_catalog.int8,
		OUT cache_frames pg_catalog.int8,
		OUT obsolete_files pg_catalog.int8,
		OUT pinned_versions pg_catalog.int8,
		OUT doubtful pg_catalog.int8,
		OUT stalls_by_cause pg_catalog.jsonb,
		OUT delays pg_catalog.int8,
		OUT delayed_ms pg_catalog.int8,
		OUT compaction_paused pg_catalog.bool)
	LANGUAGE C VOLATILE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME', 'kvlsm_sql_stats';
COMMENT ON FUNCTION @extschema@.kvlsm_stats() IS
	'sizes and counters of the whole store, of all databases, since the start of the server';

CREATE FUNCTION @extschema@.kvlsm_flush() RETURNS pg_catalog.void
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'kvlsm_sql_flush';
COMMENT ON FUNCTION @extschema@.kvlsm_flush() IS
	'writes what is in memory to files and waits for it';

CREATE FUNCTION @extschema@.kvlsm_compact(
		store pg_catalog.regclass DEFAULT NULL)
	RETURNS pg_catalog.void
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'kvlsm_sql_compact';
COMMENT ON FUNCTION @extschema@.kvlsm_compact(pg_catalog.regclass) IS
	'flushes, merges the files of a store, or all files, and waits for it';

CREATE FUNCTION @extschema@.kvlsm_pause_compaction(
		pause pg_catalog.bool DEFAULT true)
	RETURNS pg_catalog.void
	LANGUAGE C VOLATILE STRICT PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'kvlsm_sql_pause_compaction';
COMMENT ON FUNCTION @extschema@.kvlsm_pause_compaction(pg_catalog.bool) IS
	'stops compaction until it is resumed with false, or the server restarts';

CREATE FUNCTION @extschema@.kvlsm_verify()
	RETURNS TABLE(file pg_catalog.text, problem pg_catalog.text)
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'kvlsm_sql_verify';
COMMENT ON FUNCTION @extschema@.kvlsm_verify() IS
	'reads every file: a row for each, problem is NULL where all is well';

CREATE FUNCTION @extschema@.kvlsm_status(
		OUT mode pg_catalog.text,
		OUT reason pg_catalog.text,
		OUT hint pg_catalog.text,
		OUT worker_pid pg_catalog.int4,
		OUT slot_state pg_catalog.text,
		OUT slot_lsn pg_catalog.pg_lsn,
		OUT synced_lsn pg_catalog.pg_lsn,
		OUT backup_running pg_catalog.bool,
		OUT recovered_files pg_catalog.int8,
		OUT recovered_wal_records pg_catalog.int8,
		OUT replayed_records pg_catalog.int8,
		OUT recovery_ms pg_catalog.int8)
	LANGUAGE C VOLATILE PARALLEL RESTRICTED
	AS 'MODULE_PATHNAME', 'kvlsm_sql_status';
COMMENT ON FUNCTION @extschema@.kvlsm_status() IS
	'state of kvlsm: answers even when nothing else does';

CREATE FUNCTION @extschema@.kvlsm_shared_memory_size()
	RETURNS pg_catalog.int8
	LANGUAGE C STABLE PARALLEL SAFE
	AS 'MODULE_PATHNAME', 'kvlsm_sql_shared_memory_size';
COMMENT ON FUNCTION @extschema@.kvlsm_shared_memory_size() IS
	'bytes of shared memory that the settings of kvlsm come to';

CREATE FUNCTION @extschema@.kvlsm_drop_slot() RETURNS pg_catalog.bool
	LANGUAGE C VOLATILE PARALLEL UNSAFE
	AS 'MODULE_PATHNAME', 'kvlsm_sql_drop_slot';
COMMENT ON FUNCTION @extschema@.kvlsm_drop_slot() IS
	'before kvlsm is taken out of shared_preload_libraries: makes the store read-only and drops its replication slot';

REVOKE ALL ON FUNCTION
	@extschema@.kvlsm_stats(),
	@extschema@.kvlsm_status(),
	@extschema@.kvlsm_flush(),
	@extschema@.kvlsm_compact(pg_catalog.regclass),
	@extschema@.kvlsm_pause_compaction(pg_catalog.bool),
	@extschema@.kvlsm_verify(),
	@extschema@.kvlsm_shared_memory_size(),
	@extschema@.kvlsm_drop_slot()
	FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
	@extschema@.kvlsm_stats(),
	@extschema@.kvlsm_status(),
	@extschema@.kvlsm_shared_memory_size()
	TO pg_monitor;
