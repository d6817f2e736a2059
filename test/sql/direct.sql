-- UPDATE and DELETE by conditions on the key: the scan does it all.
SET client_min_messages = warning;
CREATE SCHEMA direct;
SET search_path = direct, public;
CREATE FOREIGN TABLE t (key text COLLATE "C" NOT NULL, value text NOT NULL)
	SERVER kvlsm;
CREATE TABLE h (key text COLLATE "C" PRIMARY KEY, value text NOT NULL);
INSERT INTO h VALUES ('k001', '');
INSERT INTO t SELECT 'k' || lpad(i::text, 3, '0'), i FROM generate_series(1, 100) i;

-- one key, several, an interval
EXPLAIN (COSTS OFF) UPDATE t SET value = value || '!' WHERE key = 'k001';
EXPLAIN (COSTS OFF) DELETE FROM t WHERE key > 'k090';
UPDATE t SET value = value || '!' WHERE key = 'k001' RETURNING *;
UPDATE t SET value = value || '!' WHERE key = 'k001' RETURNING value, tableoid::regclass;
UPDATE t SET value = upper(key) WHERE key IN ('k002', 'k003', 'none') RETURNING *;
UPDATE t SET value = 'x' WHERE key = 'none' RETURNING *;
DELETE FROM t WHERE key = 'k004' RETURNING key, value;
DELETE FROM t WHERE key = 'k004' RETURNING *;
DELETE FROM t WHERE key > 'k095' RETURNING *;
DELETE FROM t WHERE key BETWEEN 'k090' AND 'k095';
SELECT count(*), max(key) FROM t;

-- the numbers of rows
DO $$
DECLARE n int;
BEGIN
	UPDATE t SET value = 'n' WHERE key <= 'k003';
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE WARNING 'updated %', n;
	DELETE FROM t WHERE key IN ('k005', 'k006', 'none');
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE WARNING 'deleted %', n;
END $$;

-- what stays as it is, and values that are asked for once
UPDATE t SET key = key WHERE key = 'k007' RETURNING *;
CREATE SEQUENCE s;
UPDATE t SET value = nextval('s') WHERE key IN ('k008', 'k009') RETURNING *;
SELECT last_value FROM s;
UPDATE t SET value = (100 / value::int)::text WHERE key = 'k010' RETURNING *;
UPDATE t SET (key, value) = (SELECT 'k010b', 'sub') WHERE key = 'k010' RETURNING *;
UPDATE t SET key = 'k011' WHERE key = 'k010b';
UPDATE t SET value = DEFAULT WHERE key = 'k011';
UPDATE t SET value = NULL WHERE key = 'k011';

-- every row, and not again what it has just moved on
UPDATE t SET key = 'z' || key WHERE key LIKE 'k08%' RETURNING key;
UPDATE t SET value = 'all';
SELECT value, count(*) FROM t GROUP BY 1;

-- left to the executor: filters, joins, triggers, generated columns
EXPLAIN (COSTS OFF) UPDATE t SET value = 'x' WHERE key > 'k' AND value = 'all';
SELECT kvlsm_flush();
ANALYZE h;
EXPLAIN (COSTS OFF) DELETE FROM t USING h WHERE t.key = h.key;
EXPLAIN (COSTS OFF) UPDATE t SET value = 'x' WHERE key = (SELECT 'k011');
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING '% % % -> %', TG_WHEN, TG_OP, OLD.value, NEW.value;
	RETURN coalesce(NEW, OLD);
END $$;
CREATE TRIGGER b BEFORE UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION note();
EXPLAIN (COSTS OFF) UPDATE t SET value = 'x' WHERE key = 'k011';
UPDATE t SET value = 'x' WHERE key = 'k011';
DELETE FROM t WHERE key = 'k012';
DROP TRIGGER b ON t;

-- prepared, in a transaction, with a savepoint
PREPARE up(text, text) AS UPDATE t SET value = $2 WHERE key = $1;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE up('k011', 'y');
BEGIN;
EXECUTE up('k011', 'y');
SAVEPOINT a;
EXECUTE up('k011', 'z');
DELETE FROM t WHERE key = 'k013';
UPDATE t SET value = 'gone' WHERE key = 'k013' RETURNING *;
ROLLBACK TO a;
SELECT * FROM t WHERE key IN ('k011', 'k013');
UPDATE t SET value = value || '+' WHERE key = 'k011' RETURNING *;
COMMIT;
EXECUTE up(NULL, 'never');
RESET plan_cache_mode;
SELECT * FROM t WHERE key = 'k011';

-- ANALYZE counts, several targets at once
CREATE TABLE parent (key text COLLATE "C" NOT NULL, value text NOT NULL)
	PARTITION BY LIST (key);
CREATE FOREIGN TABLE p1 PARTITION OF parent FOR VALUES IN ('a') SERVER kvlsm;
CREATE FOREIGN TABLE p2 PARTITION OF parent FOR VALUES IN ('b', 'c') SERVER kvlsm;
CREATE TABLE p3 PARTITION OF parent FOR VALUES IN ('d');
INSERT INTO parent VALUES ('a', '1'), ('b', '1'), ('c', '1'), ('d', '1');
EXPLAIN (COSTS OFF) UPDATE parent SET value = value || '2';
UPDATE parent SET value = value || '2' RETURNING *, tableoid::regclass;
UPDATE parent SET value = value || '3' WHERE key IN ('a', 'c') RETURNING *;
DELETE FROM parent WHERE key >= 'b' RETURNING *;
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)
	UPDATE t SET value = 'n' WHERE key < 'k020';
EXPLAIN (VERBOSE, COSTS OFF) UPDATE t SET value = value || 'n' WHERE key = 'k020';

-- a read-only transaction, a table that must not be written
BEGIN READ ONLY;
UPDATE t SET value = 'n' WHERE key = 'k020';
ROLLBACK;
ALTER FOREIGN TABLE t OPTIONS (updatable 'false');
DELETE FROM t WHERE key = 'k020';

DROP SCHEMA direct CASCADE;
