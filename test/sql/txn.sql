-- Transactions: own writes, savepoints, rollback, together with heap rows.

SELECT kv_create_store('t');
SET kvlsm.default_store = 't';
CREATE TABLE heap (k text PRIMARY KEY, v text);
SELECT kv_put('old', '0');

BEGIN;
SELECT kv_put('a', '1');
INSERT INTO heap VALUES ('a', '1');
SELECT kv_get('a'), (SELECT v FROM heap WHERE k = 'a');
SELECT kv_put('old', '1'), kv_delete('none');
SELECT kv_get('old');
ROLLBACK;
SELECT kv_get('a') IS NULL AND NOT EXISTS (SELECT FROM heap) AS gone, kv_get('old');

BEGIN;
SELECT kv_put('a', '1');
INSERT INTO heap VALUES ('a', '1');
SAVEPOINT s1;
SELECT kv_put('a', '2'), kv_put('b', '2');
UPDATE heap SET v = '2';
SAVEPOINT s2;
SELECT kv_delete('a'), kv_put('c', '3');
SELECT kv_get('a') IS NULL AS deleted, kv_get('b'), kv_get('c');
RELEASE s2;
SELECT kv_get('a') IS NULL AS deleted, kv_get('c');
ROLLBACK TO s1;
SELECT kv_get('a'), kv_get('b'), kv_get('c');
SELECT kv_put('b', '4');
ROLLBACK TO s1;
SELECT kv_get('a'), kv_get('b');
SAVEPOINT s3;
SELECT kv_put('b', '5');
RELEASE s3;
COMMIT;
SELECT kv_get('a'), kv_get('b'), kv_get('c'), (SELECT v FROM heap WHERE k = 'a');

-- deep: the odd levels are rolled back
DO $$
DECLARE
	i int;
BEGIN
	FOR i IN 1..200 LOOP
		BEGIN
			PERFORM kv_put('deep' || i, i::text);
			PERFORM kv_put('last', i::text);
			IF i % 2 = 1 THEN
				RAISE EXCEPTION 'odd';
			END IF;
		EXCEPTION WHEN raise_exception THEN
			PERFORM kv_put('caught', i::text);
		END;
	END LOOP;
END
$$;
SELECT count(*), min(value::int % 2), max(value::int % 2) FROM kv_range(prefix => 'deep');
SELECT kv_get('last'), kv_get('caught');
CREATE FUNCTION nest(n int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	PERFORM kv_put('nest' || n, 'x');
	IF n > 0 THEN
		PERFORM nest(n - 1);
	END IF;
	IF n = 10 THEN
		RAISE EXCEPTION 'up to here';
	END IF;
EXCEPTION WHEN raise_exception THEN
	PERFORM kv_put('nest-caught' || n, 'x');
END
$$;
SELECT nest(20);
SELECT count(*), count(*) FILTER (WHERE key ~ 'caught') FROM kv_range(prefix => 'nest');

-- an error anywhere undoes the transaction
BEGIN;
SELECT kv_put('a', 'never');
SELECT 1 / 0;
COMMIT;
SELECT kv_get('a');
-- also one that comes after the writes were logged
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED);
BEGIN;
SELECT kv_put('a', 'never');
INSERT INTO child VALUES (1);
COMMIT;
SELECT kv_get('a');
-- a deferred trigger writes at commit
CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS
	'BEGIN PERFORM kv_put(''trigger'', NEW.k); RETURN NULL; END';
CREATE CONSTRAINT TRIGGER t AFTER INSERT ON heap DEFERRABLE INITIALLY DEFERRED
	FOR EACH ROW EXECUTE FUNCTION at_commit();
INSERT INTO heap VALUES ('from trigger', 'x');
SELECT kv_get('trigger');

-- no Halloween: a statement does not see what it writes
BEGIN;
SELECT count(kv_put(key || '+', value)) FROM t;
SELECT count(*) FROM t WHERE key LIKE '%+';
SELECT count(*) FROM t WHERE key LIKE '%++';
ROLLBACK;

-- procedures that commit
CREATE PROCEDURE steps() LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..10 LOOP
		PERFORM kv_put('step', i::text);
		IF i % 3 = 0 THEN
			ROLLBACK;
		ELSE
			COMMIT;
		END IF;
	END LOOP;
END
$$;
CALL steps();
SELECT kv_get('step');
CALL steps();

-- a cursor keeps its moment
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM kv_range(prefix => 'cur');
DECLARE d CURSOR FOR SELECT key, value FROM t WHERE key LIKE 'cur%';
SELECT kv_put('cur1', 'later');
FETCH ALL FROM d;
FETCH ALL FROM c;
COMMIT;
BEGIN;
DECLARE h CURSOR WITH HOLD FOR SELECT key FROM t WHERE key LIKE 'cur%';
COMMIT;
SELECT kv_delete('cur1');
FETCH ALL FROM h;
CLOSE h;

-- an error in the middle of a scan, often
DO $$
BEGIN
	FOR i IN 1..1000 LOOP
		BEGIN
			PERFORM 1 / (length(key) - 3) FROM t;
		EXCEPTION WHEN division_by_zero THEN
		END;
	END LOOP;
END
$$;
SELECT obsolete_files, pinned_versions < 10 AS nothing_pinned FROM kvlsm_stats();

-- repeatable read
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT kv_get('a');
SELECT kv_put('a', 'mine');
SELECT kv_get('a'), (SELECT value FROM t WHERE key = 'a');
COMMIT;
SELECT kv_get('a');

-- two phases: not yet
BEGIN;
SELECT kv_put('a', 'prepared');
\set VERBOSITY sqlstate
PREPARE TRANSACTION 'kv';
\set VERBOSITY default
SELECT kv_get('a');

-- two databases do not see each other
SELECT current_database() AS this_db \gset
CREATE DATABASE kv_other;
\c kv_other
CREATE EXTENSION kvlsm;
SELECT kv_create_store('t');
SELECT kv_get('a', 't');
SELECT kv_put('a', 'other database', store => 't');
SELECT kv_get('a', 't');
\c :this_db
SELECT kv_get('a', 't');
-- a copy of a database starts with empty stores
CREATE DATABASE kv_copy TEMPLATE kv_other;
\c kv_copy
SELECT kv_get('a', 't');
SELECT kv_put('a', 'copy', store => 't');
\c kv_other
SELECT kv_get('a', 't');
\c :this_db
DROP DATABASE kv_other;
DROP DATABASE kv_copy;
SELECT kv_get('a', 't');
DROP FUNCTION nest, at_commit CASCADE;
DROP PROCEDURE steps;
DROP TABLE heap, child, parent;
DROP FOREIGN TABLE t;
