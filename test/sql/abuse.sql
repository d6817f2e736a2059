-- What a careless or hostile user tries, and what it must come to.  Each
-- case has failed once.

SELECT kv_create_store('ab');
SET kvlsm.default_store = 'ab';

-- a parallel worker knows nothing of what its transaction has written: a
-- function that lies about it gets an error, not an old answer
CREATE TABLE heap (k text, i int);
INSERT INTO heap SELECT 'k' || i, i FROM generate_series(1, 1000) i;
ANALYZE heap;
CREATE FUNCTION sly_get(k text) RETURNS text LANGUAGE plpgsql STABLE PARALLEL SAFE AS
	'BEGIN RETURN kv_get(k); END';
CREATE FUNCTION sly_count(k text) RETURNS bigint LANGUAGE plpgsql STABLE PARALLEL SAFE AS
	'BEGIN RETURN (SELECT count(*) FROM ab WHERE key = k); END';
SET parallel_setup_cost = 0;
SET parallel_tuple_cost = 0;
SET min_parallel_table_scan_size = 0;
SET parallel_leader_participation = off;
BEGIN;
SELECT kv_put('k1', 'own');
\set SHOW_CONTEXT never
SAVEPOINT s;
SELECT count(*) FROM heap WHERE sly_get(k) = 'own';
ROLLBACK TO s;
SELECT count(*) FROM heap WHERE sly_count(k) = 1;
ROLLBACK TO s;
\set SHOW_CONTEXT errors
SELECT count(*) FROM heap WHERE kv_get(k) = 'own';
ROLLBACK;
RESET parallel_setup_cost;
RESET parallel_tuple_cost;
RESET min_parallel_table_scan_size;
RESET parallel_leader_participation;

-- columns that nobody asks for are not decoded: one key that is not text
-- does not stop what needs no keys
SELECT kv_put('a', '"x"'::jsonb), kv_put('b', '2'::jsonb);
SELECT kv_put('\xff'::bytea, '\x00'::bytea);
SELECT count(*) FROM ab;
SELECT value FROM ab ORDER BY value::text LIMIT 2;
SELECT count(*) FROM ab a, ab b;
SELECT true AS any FROM ab LIMIT 1;
\set VERBOSITY sqlstate
SELECT ab FROM ab;
SELECT count(*) FROM ab WHERE key > 'z';
SELECT max(key) FROM ab;
\set VERBOSITY default
ALTER FOREIGN TABLE ab ALTER COLUMN key TYPE bytea;
SELECT key FROM ab WHERE key > '\x7f';
ALTER FOREIGN TABLE ab ALTER COLUMN key TYPE text;
SELECT * FROM kv_range('z');
SELECT kv_delete('\xff'::bytea);
SELECT ab FROM ab;
SELECT ab.*, tableoid::regclass FROM ab WHERE key = 'b';
SELECT key FROM ab WHERE value = '2';

-- one command changes a row once, however often it is joined
TRUNCATE heap;
INSERT INTO heap VALUES ('a', 1), ('a', 1), ('b', 5);
UPDATE ab SET value = to_jsonb(i) FROM heap WHERE heap.k = key RETURNING *;
WITH one AS (UPDATE ab SET value = '7' WHERE key = 'a' RETURNING key),
	two AS (UPDATE ab SET value = '7' WHERE key = 'a' RETURNING key)
SELECT (SELECT count(*) FROM one) + (SELECT count(*) FROM two) AS changed;
WITH one AS (DELETE FROM ab WHERE key = 'a' RETURNING key),
	two AS (DELETE FROM ab WHERE key = 'a' RETURNING key)
SELECT (SELECT count(*) FROM one) + (SELECT count(*) FROM two) AS deleted;
BEGIN;
UPDATE ab SET value = '8';
UPDATE ab SET value = '9' RETURNING *;
DELETE FROM ab USING heap WHERE heap.k = key RETURNING key;
ROLLBACK;

-- a row that does not belong into a partition would never be found again
CREATE TABLE part (key text COLLATE "C", value jsonb) PARTITION BY RANGE (key);
CREATE FOREIGN TABLE p1 PARTITION OF part FOR VALUES FROM ('a') TO ('m') SERVER kvlsm;
CREATE TABLE p2 PARTITION OF part FOR VALUES FROM ('m') TO ('z');
INSERT INTO part VALUES ('a', '1'), ('n', '2'), ('o', '3');
INSERT INTO p1 VALUES ('x', '1');
UPDATE part SET key = 'y' WHERE key = 'a';
UPDATE part SET key = 'b' WHERE key = 'a';
UPDATE part SET key = 'c' WHERE key = 'n';
SELECT tableoid::regclass, * FROM part ORDER BY key;
DROP TABLE part;

-- times to live in seconds that no type takes
\set SHOW_CONTEXT never
DO $$
DECLARE
	n text;
	d text;
BEGIN
	FOREACH n IN ARRAY '{1e400,1e-400,1e-9,0,-1}'::text[] LOOP
		BEGIN
			PERFORM kv_batch_put(('[{"key": "t", "value": 1, "ttl": ' || n || '}]')::jsonb);
		EXCEPTION WHEN invalid_parameter_value THEN
			GET STACKED DIAGNOSTICS d = PG_EXCEPTION_DETAIL;
			RAISE NOTICE '%: %', n, d;
		END;
	END LOOP;
END
$$;
\set VERBOSITY default
\set SHOW_CONTEXT errors
SELECT kv_batch_put('[{"key": "t", "value": 1, "ttl": 0.000001}]');

-- a store in the schema of temporary tables goes with its session
SELECT kv_create_store('pg_temp.short');
SELECT kv_put('a', '1', store => 'pg_temp.short');
SELECT kv_get('a', 'short');
SELECT current_database() AS this_db \gset
\c :this_db
SELECT kv_get('a', 'short');

DROP TABLE heap;
DROP FUNCTION sly_get, sly_count;
DROP FOREIGN TABLE ab;
