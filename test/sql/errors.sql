-- Bad input: SQLSTATE, message, and nothing written.

SELECT kv_create_store('e');
SET kvlsm.default_store = 'e';
CREATE FUNCTION fails(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	code text; msg text; det text; hnt text;
BEGIN
	EXECUTE sql;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT,
		det = PG_EXCEPTION_DETAIL, hnt = PG_EXCEPTION_HINT;
	RETURN concat_ws(' | ', code, msg, nullif(det, ''), nullif(hnt, ''));
END
$$;
CREATE TABLE heap (key text, value jsonb);
CREATE VIEW v AS SELECT 1;

SELECT sql, fails(sql) FROM (VALUES
	('SELECT kv_put(NULL::text, ''v'')'),
	('SELECT kv_put(''k'', NULL::text)'),
	('SELECT kv_put(''k'', NULL::jsonb)'),
	('SELECT kv_put(NULL::bytea, ''v''::bytea)'),
	('SELECT kv_delete(NULL::text)'),
	('SELECT kv_put('''', ''v'')'),
	('SELECT kv_get('''')'),
	('SELECT kv_exists('''')'),
	('SELECT kv_delete('''')'),
	('SELECT kv_put(repeat(''k'', 4097), ''v'')'),
	('SELECT kv_get(repeat(''k'', 4097))'),
	('SELECT kv_range(repeat(''k'', 4097))'),
	('SELECT kv_put(''k'', repeat(''v'', 16 * 1024 * 1024 + 1))'),
	('SELECT kv_put(''k'', ''v'', ''0 s'')'),
	('SELECT kv_put(''k'', ''v'', ''-1 day'')'),
	('SELECT kv_put(''k'', ''v'', ''300000 years'')'),
	('SELECT kv_put(''k'', ''v'', store => ''heap'')'),
	('SELECT kv_get(''k'', ''heap'')'),
	('SELECT kv_get(''k'', ''v'')'),
	('SELECT kv_get(''k'', ''nowhere'')'),
	('SELECT kv_get(''k'', 4294967295::oid::regclass)'),
	('SELECT kv_put(''k'', 4)'),
	('SELECT kv_put(''k'', ''{''::jsonb)'),
	('SELECT kvlsm_store_size(''heap'')')) s(sql);
SELECT count(*) FROM kv_range();
-- the longest value
SELECT kv_put('k', repeat('v', 16 * 1024 * 1024));
SELECT length(kv_get('k'));

-- no default store
SET kvlsm.default_store = 'missing';
SELECT fails('SELECT kv_get(''k'')');
SET kvlsm.default_store = 'no_schema.kv';
SELECT fails('SELECT kv_get(''k'')');
SET kvlsm.default_store = 'a..b';
SET kvlsm.default_store = 'e';

-- read-only transactions
BEGIN READ ONLY;
SELECT length(kv_get('k'));
\set VERBOSITY sqlstate
SAVEPOINT s;
SELECT kv_put('k', 'v');
ROLLBACK TO s;
SELECT kv_delete('k');
ROLLBACK TO s;
SELECT kv_batch_put('[]');
ROLLBACK TO s;
INSERT INTO e VALUES ('x', '1');
ROLLBACK;
\set VERBOSITY default

-- parallel workers: refused by the planner, and by the function if forced
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
INSERT INTO heap SELECT i::text, to_jsonb(i) FROM generate_series(1, 1000) i;
EXPLAIN (COSTS OFF) SELECT kv_get(key) FROM heap WHERE value <> '1';
EXPLAIN (COSTS OFF) SELECT kv_put(key, value) FROM heap WHERE value <> '1';
CREATE FUNCTION sly_put(k text) RETURNS text LANGUAGE plpgsql PARALLEL SAFE AS
	'BEGIN PERFORM kv_put(k, k); RETURN k; END';
SET force_parallel_mode = on;
\set VERBOSITY sqlstate
SELECT sly_put('sly');
\set VERBOSITY default
RESET force_parallel_mode;
SELECT kv_get('sly') IS NULL AS nothing_written;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;

-- columns that do not fit, and options (more of it in ddl.sql)
SELECT fails('CREATE FOREIGN TABLE bad (key numeric, value jsonb) SERVER kvlsm');
SELECT fails('CREATE FOREIGN TABLE bad (key text, value text) SERVER kvlsm OPTIONS (directory ''/etc'')');
SELECT fails('CREATE SERVER s2 FOREIGN DATA WRAPPER kvlsm OPTIONS (host ''x'')');
SELECT fails('ALTER FOREIGN TABLE e OPTIONS (ADD filename ''/etc/passwd'')');
DROP FOREIGN TABLE e;
DROP TABLE heap;
DROP VIEW v;
DROP FUNCTION fails, sly_put;
