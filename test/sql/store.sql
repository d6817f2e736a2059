-- Stores come and go with their tables.

SELECT kv_create_store('s');
SET kvlsm.default_store = 's';
SELECT kv_put('a', '1');

-- DROP is a part of the transaction
BEGIN;
DROP FOREIGN TABLE s;
SELECT kv_create_store('s');
SELECT kv_get('a') IS NULL AS empty;
SELECT kv_put('a', 'second life');
SELECT kv_get('a');
ROLLBACK;
SELECT kv_get('a');
BEGIN;
SAVEPOINT p;
DROP FOREIGN TABLE s;
ROLLBACK TO p;
SELECT kv_put('b', '2');
COMMIT;
SELECT kv_get('a'), kv_get('b');
DROP FOREIGN TABLE s;
SELECT kv_get('a');
SELECT kv_create_store('s');
SELECT kv_get('a') IS NULL AS empty, count(*) FROM s;

-- CREATE and a first write that are rolled back
BEGIN;
SELECT kv_create_store('s2');
SELECT kv_put('a', '1', store => 's2');
ROLLBACK;
BEGIN;
SAVEPOINT p;
SELECT kv_put('a', 'first write, rolled back');
ROLLBACK TO p;
SELECT kv_put('a', 'first write');
SAVEPOINT p;
SELECT kv_put('a', 'again');
ROLLBACK TO p;
SELECT kv_get('a');
COMMIT;
SELECT kv_get('a');
BEGIN;
SELECT kv_create_store('s3');
SELECT kv_put('x', '1', store => 's3');
SAVEPOINT p;
SELECT kv_put('y', '1', store => 's3');
ROLLBACK TO p;
SELECT kv_put('z', '1', store => 's3');
ROLLBACK;
SELECT kv_create_store('s3');
SELECT kv_put('z', '2', store => 's3');
SELECT key, value FROM s3;

-- rename, move, other owner: the data stays
ALTER FOREIGN TABLE s RENAME TO renamed;
SELECT kv_get('a', 'renamed');
SELECT kv_get('a');
CREATE SCHEMA moved;
ALTER FOREIGN TABLE renamed SET SCHEMA moved;
SELECT kv_get('a', 'moved.renamed');
CREATE ROLE regress_kv_new;
ALTER FOREIGN TABLE moved.renamed OWNER TO regress_kv_new;
SELECT kv_get('a', 'moved.renamed');

-- DROP by other roads
DROP OWNED BY regress_kv_new;
DROP ROLE regress_kv_new;
SELECT kv_create_store('moved.s4');
SELECT kv_put('a', '1', store => 'moved.s4');
DROP SCHEMA moved CASCADE;
SELECT count(kv_put('n' || i, md5(i::text), store => 's3')) FROM generate_series(1, 5000) i;
SELECT kvlsm_flush();
SELECT kvlsm_store_size('s3') > 0 AS has_size;
SELECT kvlsm_compact();
SELECT file, problem FROM kvlsm_verify() WHERE problem IS NOT NULL;

-- DROP EXTENSION takes the tables with it; what comes after starts empty
CREATE DATABASE kv_ext;
SELECT current_database() AS this_db \gset
\c kv_ext
CREATE SCHEMA kvx;
CREATE EXTENSION kvlsm SCHEMA kvx;
SELECT kvx.kv_create_store('s');
SELECT kvx.kv_put('a', '1', store => 's');
SELECT kvx.kv_get('a', 's');
DROP EXTENSION kvlsm;
BEGIN;
DROP EXTENSION kvlsm CASCADE;
ROLLBACK;
SELECT kvx.kv_get('a', 's');
DROP EXTENSION kvlsm CASCADE;
CREATE EXTENSION kvlsm;
SELECT kv_create_store('s');
SELECT kv_get('a', 's') IS NULL AS empty;
-- an object of somebody else under one of our names is not taken over
DROP EXTENSION kvlsm CASCADE;
CREATE FUNCTION kv_get(key text, store regclass DEFAULT NULL) RETURNS text LANGUAGE sql AS 'SELECT ''trojan''';
CREATE EXTENSION kvlsm;
\c :this_db
DROP DATABASE kv_ext;

-- the statistics answer
SELECT mode, files >= 0 AS files, jsonb_typeof(levels) FROM kvlsm_stats();
SELECT mode, reason FROM kvlsm_status();
SELECT kvlsm_shared_memory_size() > 0 AS some;
DROP FOREIGN TABLE s3;
