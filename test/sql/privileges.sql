-- The table's privileges decide, whatever the way in.

CREATE ROLE regress_kv_owner;
CREATE ROLE regress_kv_writer;
CREATE ROLE regress_kv_reader;
CREATE SCHEMA kvp;
GRANT ALL ON SCHEMA kvp TO regress_kv_owner;
GRANT USAGE ON SCHEMA kvp TO regress_kv_writer, regress_kv_reader;
SET kvlsm.default_store = 'kvp.s';

-- creating needs the server
SET ROLE regress_kv_owner;
SELECT kv_create_store('kvp.s');
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER kvlsm TO regress_kv_owner;
SET ROLE regress_kv_owner;
SELECT kv_create_store('kvp.s');
SELECT kv_put('a', '1');
GRANT SELECT ON kvp.s TO regress_kv_reader;
GRANT INSERT, UPDATE ON kvp.s TO regress_kv_writer;
RESET ROLE;

CREATE FUNCTION may(sql text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE sql;
	RETURN 'yes';
EXCEPTION WHEN OTHERS THEN
	RETURN SQLSTATE;
END
$$;
CREATE TABLE ways (i serial, sql text);
INSERT INTO ways (sql) VALUES
	('SELECT kv_get(''a'')'), ('SELECT kv_get_json(''a'')'),
	('SELECT kv_get_bytes(''a'')'), ('SELECT kv_get_bytes(''a''::bytea)'),
	('SELECT kv_exists(''a'')'), ('SELECT kv_multi_get(''{a}'')'),
	('SELECT kv_range()'), ('SELECT kv_range_json()'),
	('SELECT kvlsm_store_size()'), ('SELECT * FROM kvp.s'),
	('SELECT kv_put(''a'', ''2'')'), ('SELECT kv_put(''a'', ''2''::jsonb)'),
	('SELECT kv_put(''a'', ''2''::bytea)'),
	('SELECT kv_put(''a''::bytea, ''2''::bytea)'),
	('SELECT kv_batch_put(''[]'')'), ('SELECT kv_put_many(''{a}'', ''{1}'')'),
	('INSERT INTO kvp.s VALUES (random()::text, ''1'')'),
	('SELECT kv_delete(''zzz'')'), ('SELECT kv_delete(''zzz''::bytea)'),
	('DELETE FROM kvp.s WHERE key = ''zzz'''),
	('UPDATE kvp.s SET value = ''3'' WHERE key = ''a'''),
	('TRUNCATE kvp.s'),
	('SELECT kvlsm_stats()'), ('SELECT kvlsm_status()'), ('SELECT kvlsm_flush()'),
	('SELECT kvlsm_compact()'), ('SELECT kvlsm_verify()'),
	('SELECT kvlsm_shared_memory_size()'), ('SELECT kvlsm_drop_slot()'),
	('SELECT kv_create_store(''kvp.mine'')'),
	('SELECT kvlsm_compact(''kvp.s'')'), ('SELECT kvlsm_pause_compaction()'),
	('SELECT kv_cas(''a'', ''x'', ''y'')'), ('SELECT kv_cas(''a'', ''x'', NULL)'),
	('SELECT kv_put_if_absent(''a'', ''x'')'), ('SELECT kv_swap(''w'', ''x'')'),
	('SELECT kv_put_if_version(''a'', ''1'', ''x'')'),
	('SELECT kv_delete_if_version(''a'', ''x'')'), ('SELECT kv_incr(''i'')'),
	('SELECT kv_expire(''zzz'', ''1 h'')'), ('SELECT kv_batch(''[]'')'),
	('SELECT kv_entry(''a'')'), ('SELECT kv_ttl(''a'')'), ('SELECT kv_count()'),
	('SELECT kv_count_estimate()'), ('SELECT kvlsm_http_entry(''a'')'),
	('SELECT kvlsm_http_range()'), ('SELECT kv_delete_range(''y'', ''z'')');
GRANT SELECT ON ways TO PUBLIC;

SET ROLE regress_kv_reader;
SELECT sql, may(sql) AS reader FROM ways ORDER BY i;
RESET ROLE;
SET ROLE regress_kv_writer;
SELECT sql, may(sql) AS writer FROM ways ORDER BY i;
SELECT kv_get('a');
SELECT kv_put('a', '1', store => 'kvp.nowhere');
RESET ROLE;

-- changes count at once
REVOKE ALL ON kvp.s FROM regress_kv_writer;
SET ROLE regress_kv_writer;
SELECT kv_put('a', '1');
RESET ROLE;
GRANT regress_kv_owner TO regress_kv_writer;
SET ROLE regress_kv_writer;
SELECT kv_put('a', 'as a member');
RESET ROLE;
REVOKE regress_kv_owner FROM regress_kv_writer;
SET ROLE regress_kv_writer;
SELECT kv_put('a', '1');
RESET ROLE;
SELECT kv_get('a');

-- no function of the extension is missing in the list above
SELECT p.oid::regprocedure AS not_tested
FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass
	JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
WHERE extname = 'kvlsm' AND p.proname !~ '^kvlsm_(fdw_|range_support|uridecode|stop_)'
	AND NOT EXISTS (SELECT FROM ways WHERE sql ~ (p.proname || '\('));
-- none runs with its owner's rights
SELECT count(*) FROM pg_proc WHERE proname ~ '^kv(lsm)?_' AND prosecdef;

DROP TABLE ways;
DROP FUNCTION may;
DROP SCHEMA kvp CASCADE;
REVOKE ALL ON FOREIGN SERVER kvlsm FROM regress_kv_owner;
DROP ROLE regress_kv_owner, regress_kv_writer, regress_kv_reader;
