-- INSERT, UPDATE and DELETE on foreign tables behave as on tables: where they
-- could differ, what is here was compared with a table of the same columns.
SET client_min_messages = warning;
CREATE SCHEMA write;
SET search_path = write, public;
CREATE FOREIGN TABLE t (id int NOT NULL, n int DEFAULT 42, txt text) SERVER kvlsm;
CREATE TABLE log (line text);
CREATE FUNCTION show() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING '% % old=% new=%', TG_WHEN, TG_OP,
		CASE WHEN TG_OP <> 'INSERT' THEN OLD END, CASE WHEN TG_OP <> 'DELETE' THEN NEW END;
	RETURN COALESCE(NEW, OLD);
END $$;

-- row triggers see the right rows
CREATE TRIGGER b BEFORE INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION show();
CREATE TRIGGER z AFTER INSERT OR UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION show();
INSERT INTO t (id, n) VALUES (1, 1), (2, 2);
UPDATE t SET n = n + 1, txt = 'u' WHERE id = 1;
UPDATE t SET id = 3 WHERE id = 1;
INSERT INTO t (id) VALUES (2) ON CONFLICT (id) DO NOTHING;
DELETE FROM t WHERE n = 2 RETURNING *;
COPY t (id, n) FROM stdin;
4	4
\.
DROP TRIGGER b ON t;
DROP TRIGGER z ON t;
-- they change rows, and leave some out
CREATE FUNCTION other_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.n = 0 THEN
		RETURN NULL;
	END IF;
	NEW.id := NEW.id + 100;
	RETURN NEW;
END $$;
CREATE TRIGGER b BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION other_row();
INSERT INTO t VALUES (3, 0), (5, 5) RETURNING *;
UPDATE t SET n = 44 WHERE id = 4 RETURNING *;
UPDATE t SET n = 0 RETURNING *;
SELECT * FROM t ORDER BY id;
DROP TRIGGER b ON t;
TRUNCATE t;

-- a trigger or a function that changes the row that the statement is about to
INSERT INTO t VALUES (1, 1, 'a'), (2, 2, 'b'), (3, 3, 'c');
CREATE FUNCTION touch(i int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	UPDATE t SET txt = 'touched' WHERE id = i;
	RETURN i;
END $$;
CREATE FUNCTION change_own() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF OLD.txt <> 'touched' AND (TG_OP = 'DELETE' OR NEW.txt <> 'touched') THEN
		PERFORM touch(OLD.id);
	END IF;
	RETURN COALESCE(NEW, OLD);
END $$;
CREATE FUNCTION delete_own() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	DELETE FROM t WHERE id = OLD.id;
	RETURN NEW;
END $$;
CREATE TRIGGER b BEFORE UPDATE OR DELETE ON t FOR EACH ROW EXECUTE FUNCTION change_own();
UPDATE t SET n = 10 WHERE id = 1;
DELETE FROM t WHERE id = 1;
DROP TRIGGER b ON t;
CREATE TRIGGER b BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION delete_own();
UPDATE t SET n = 10 WHERE id = 1;
DROP TRIGGER b ON t;
UPDATE t SET n = touch(1) WHERE id = 1;
DELETE FROM t WHERE id = 1 AND touch(id) = 1;
SELECT * FROM t ORDER BY id;

-- a row that a join hits twice: the first counts, also if a trigger writes
UPDATE t SET n = t.n + v.d FROM (VALUES (1, 10), (1, 20), (2, 100)) v (i, d)
	WHERE t.id = v.i RETURNING t.n IN (11, 21, 102) AS once;
SELECT sum(n) IN (116, 126) AS once FROM t;
CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	INSERT INTO log VALUES (TG_OP);
	RETURN NEW;
END $$;
CREATE TRIGGER b BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION audit();
CREATE TRIGGER u BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION audit();
UPDATE t SET n = 1000 FROM (VALUES (1), (1), (2)) v (i) WHERE t.id = v.i RETURNING t.*;
SELECT * FROM t ORDER BY id;
DROP TRIGGER u ON t;
INSERT INTO t VALUES (1, 5), (1, 6) ON CONFLICT (id) DO UPDATE SET n = excluded.n;
INSERT INTO t VALUES (7, 5), (7, 6) ON CONFLICT (id) DO UPDATE SET n = excluded.n;
INSERT INTO t VALUES (7, 5), (7, 6) ON CONFLICT (id) DO NOTHING RETURNING *;
SELECT count(*) FROM log;
DROP TRIGGER b ON t;
DELETE FROM t USING (VALUES (7), (7), (3)) v (i) WHERE id = v.i RETURNING id;

-- several parts of a statement and one row
WITH u AS (UPDATE t SET n = 0 WHERE id = 2 RETURNING *)
	INSERT INTO t (id, n) SELECT id, 9 FROM u ON CONFLICT (id) DO UPDATE SET n = excluded.n;
WITH d AS (DELETE FROM t WHERE id = 2 RETURNING *)
	INSERT INTO t SELECT id, 99, txt FROM d ON CONFLICT (id) DO UPDATE SET n = -1 RETURNING *;
WITH d AS (DELETE FROM t WHERE id = 1 RETURNING *) UPDATE t SET n = -1 FROM d WHERE t.id = d.id;
SELECT * FROM t ORDER BY id;

-- what a statement's own functions see of its rows
CREATE FUNCTION rows() RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT count(*) FROM t);
END $$;
INSERT INTO t SELECT i, rows() FROM generate_series(11, 14) i;
INSERT INTO t VALUES (15, rows()), (16, rows());
SELECT id, n FROM t WHERE id > 10 ORDER BY id;
-- and a statement of those that it reads
INSERT INTO t SELECT id + 100, n FROM t;
SELECT count(*) FROM t;
-- the key moves along
UPDATE t SET id = id + 1 WHERE id IN (15, 16);
UPDATE t SET id = id + 1000 WHERE id IN (15, 16) RETURNING id;

-- row counts
DO $$
DECLARE
	a int;
	b int;
	c int;
	d int;
BEGIN
	INSERT INTO t SELECT i FROM generate_series(1, 20) i ON CONFLICT (id) DO NOTHING;
	GET DIAGNOSTICS a = ROW_COUNT;
	INSERT INTO t SELECT i FROM generate_series(15, 24) i ON CONFLICT (id) DO UPDATE SET n = 0 WHERE t.id <> 17;
	GET DIAGNOSTICS b = ROW_COUNT;
	UPDATE t SET n = n + 1 WHERE id <= 24 AND n = 0;
	GET DIAGNOSTICS c = ROW_COUNT;
	DELETE FROM t WHERE id BETWEEN 20 AND 30;
	GET DIAGNOSTICS d = ROW_COUNT;
	RAISE WARNING '% % % %', a, b, c, d;
END $$;

-- views with check options
CREATE VIEW v AS SELECT id, n, txt FROM t WHERE n < 50 WITH CHECK OPTION;
CREATE VIEW v2 AS SELECT n AS b, id AS a FROM v WHERE id < 500 WITH CHECK OPTION;
INSERT INTO v VALUES (300, 1, 'v') RETURNING *;
INSERT INTO v VALUES (301, 60, 'v');
INSERT INTO v SELECT i, i FROM generate_series(440, 460) i;
UPDATE v SET n = 80 WHERE id = 300;
UPDATE v2 SET a = 600 WHERE a = 300;
INSERT INTO v2 VALUES (2, 300) ON CONFLICT (a) DO UPDATE SET b = 70;
INSERT INTO v2 VALUES (2, 300) ON CONFLICT (a) DO UPDATE SET a = 600;
INSERT INTO v2 VALUES (2, 300) ON CONFLICT (a) DO UPDATE SET b = excluded.b + v2.b RETURNING *;
SELECT * FROM t WHERE id >= 300;

-- identity, defaults, generated columns, constraints
CREATE FOREIGN TABLE g (id int GENERATED ALWAYS AS IDENTITY, v int NOT NULL, w text DEFAULT 'w',
	dbl int GENERATED ALWAYS AS (v * 2) STORED, CHECK (v < 100)) SERVER kvlsm;
INSERT INTO g (v) VALUES (1), (2) RETURNING *;
INSERT INTO g (id, v) VALUES (9, 1);
INSERT INTO g (v, dbl) VALUES (1, 1);
INSERT INTO g (v) VALUES (100);
INSERT INTO g (w) VALUES ('no v');
INSERT INTO g (id, v) OVERRIDING SYSTEM VALUE VALUES (1, 5)
	ON CONFLICT (id) DO UPDATE SET v = excluded.v + g.v RETURNING *;
INSERT INTO g (id, v) OVERRIDING SYSTEM VALUE VALUES (1, 5)
	ON CONFLICT (id) DO UPDATE SET w = 'only w' RETURNING *;
INSERT INTO g (id, v) OVERRIDING SYSTEM VALUE VALUES (1, 99)
	ON CONFLICT (id) DO UPDATE SET v = excluded.v + g.v;
UPDATE g SET v = 10 WHERE id = 2 RETURNING *;
UPDATE g SET w = DEFAULT WHERE id = 2 RETURNING *;
UPDATE g SET v = v + 99;
COPY g (v) FROM stdin;
7
8
\.
SELECT v, dbl, w FROM g ORDER BY v;

-- 23505 tells what it is about
DO $$
DECLARE
	s text;
	t text;
	c text;
	d text;
BEGIN
	INSERT INTO t VALUES (2);
EXCEPTION WHEN unique_violation THEN
	GET STACKED DIAGNOSTICS s = SCHEMA_NAME, t = TABLE_NAME, c = CONSTRAINT_NAME, d = PG_EXCEPTION_DETAIL;
	RAISE WARNING '% % % %', s, t, c, d;
END $$;

-- RETURNING: the table, and whether the row is new
INSERT INTO t VALUES (400, 1) ON CONFLICT (id) DO UPDATE SET n = 2
	RETURNING id, n, tableoid::regclass, xmax = 0 AS inserted;
INSERT INTO t VALUES (400, 1) ON CONFLICT (id) DO UPDATE SET n = 2
	RETURNING id, n, tableoid::regclass, xmax = 0 AS inserted;
INSERT INTO t VALUES (401, 1) RETURNING t, xmax = 0 AS inserted;

-- many rows with writing triggers, in runs of the write set, with savepoints
SET kvlsm.write_set_memory = '64kB';
CREATE TRIGGER b BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION audit();
CREATE TRIGGER u BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION audit();
BEGIN;
INSERT INTO t SELECT i, 0, repeat('x', 100) FROM generate_series(10001, 13000) i;
SAVEPOINT s;
UPDATE t SET n = n + 1 FROM generate_series(1, 2) WHERE id > 10000;
SELECT min(n), max(n), count(*) FROM t WHERE id > 10000;
ROLLBACK TO s;
UPDATE t SET n = n + 1 FROM generate_series(1, 2) WHERE id > 10000;
DROP TRIGGER u ON t;
INSERT INTO t SELECT i FROM generate_series(12001, 14000) i
	ON CONFLICT (id) DO UPDATE SET n = t.n + 10, txt = NULL;
SAVEPOINT s;
INSERT INTO t SELECT i FROM generate_series(12001, 12002) i, generate_series(1, 2)
	ON CONFLICT (id) DO UPDATE SET n = t.n + 10;
ROLLBACK TO s;
INSERT INTO t SELECT i FROM generate_series(14001, 14002) i, generate_series(1, 2)
	ON CONFLICT (id) DO UPDATE SET n = t.n + 10;
ROLLBACK TO s;
INSERT INTO t SELECT i FROM generate_series(13001, 15000) i
	ON CONFLICT (id) DO UPDATE SET n = t.n + 10;
SELECT n, count(*), count(txt) FROM t WHERE id > 10000 GROUP BY n ORDER BY n;
COMMIT;
RESET kvlsm.write_set_memory;
SELECT n, count(*), count(txt) FROM t WHERE id > 10000 GROUP BY n ORDER BY n;

DROP SCHEMA write CASCADE;
