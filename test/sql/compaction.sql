-- kvlsm_compact for one store, pausing, what kvlsm_stats says of waiting
SELECT kv_create_store('ca');
SELECT kv_create_store('cb');
SELECT kv_create_store('never_used');
SELECT count(kv_put('k' || i, md5(i::text), store => 'ca')) FROM generate_series(1, 3000) i;
SELECT count(kv_put('k' || i, md5(i::text), store => 'cb')) FROM generate_series(1, 3000) i;
SELECT kvlsm_compact();
-- one store at a time
DELETE FROM ca WHERE key LIKE 'k1%';
DELETE FROM cb WHERE key LIKE 'k2%';
CREATE FUNCTION entries(store regclass) RETURNS bool LANGUAGE sql AS
	'SELECT kvlsm_store_size(store) > 0';
SELECT kvlsm_compact('ca');
SELECT count(*), entries('ca') FROM ca;
SELECT count(*), entries('cb') FROM cb;
SELECT kvlsm_compact('never_used');
SELECT kvlsm_compact('pg_class');
SELECT kvlsm_compact(store => 'cb');
SELECT count(*) FROM cb;

-- paused: requests are refused, reading and writing go on
SELECT compaction_paused FROM kvlsm_stats();
SELECT kvlsm_pause_compaction();
SELECT compaction_paused FROM kvlsm_stats();
SELECT kvlsm_compact();
SELECT kv_put('k1', 'while paused', store => 'ca');
SELECT kvlsm_flush();
SELECT kv_get('k1', 'ca');
SELECT kvlsm_pause_compaction(false);
SELECT compaction_paused FROM kvlsm_stats();
SELECT kvlsm_compact('ca');
SELECT kv_get('k1', 'ca');

-- a rate limit slows compaction down, and can be taken back
ALTER SYSTEM SET kvlsm.compaction_rate_limit = '1MB';
SELECT pg_reload_conf();
SELECT kvlsm_compact('cb');
ALTER SYSTEM RESET kvlsm.compaction_rate_limit;
SELECT pg_reload_conf();
SELECT kvlsm_compact('cb');

-- why writers had to wait
SELECT key, value ~ '^[0-9]+$' AS is_number
	FROM kvlsm_stats(), jsonb_each_text(stalls_by_cause) ORDER BY 1;
SELECT delays >= 0 AS delays, delayed_ms >= 0 AS delayed FROM kvlsm_stats();
SELECT file, problem FROM kvlsm_verify() WHERE problem IS NOT NULL;
DROP FOREIGN TABLE ca, cb, never_used;
DROP FUNCTION entries(regclass);
