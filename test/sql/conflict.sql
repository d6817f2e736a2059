-- INSERT ... ON CONFLICT on a store, on_duplicate and ttl.
SET client_min_messages = warning;
CREATE SCHEMA conflict;
SET search_path = conflict, public;
CREATE FOREIGN TABLE t (key text COLLATE "C" NOT NULL, value text NOT NULL)
	SERVER kvlsm;
INSERT INTO t VALUES ('a', '1'), ('b', '2');

-- DO NOTHING, with the key and without
INSERT INTO t VALUES ('a', 'x'), ('c', '3') ON CONFLICT (key) DO NOTHING RETURNING *;
INSERT INTO t VALUES ('a', 'x'), ('d', '4') ON CONFLICT DO NOTHING RETURNING *;
INSERT INTO t VALUES ('e', '5'), ('e', '6') ON CONFLICT (key) DO NOTHING RETURNING *;
SELECT * FROM t ORDER BY key;

-- DO UPDATE
EXPLAIN (COSTS OFF) INSERT INTO t VALUES ('a', 'x')
	ON CONFLICT (key) DO UPDATE SET value = excluded.value WHERE t.value <> 'y';
INSERT INTO t VALUES ('a', '10') ON CONFLICT (key) DO UPDATE SET value = excluded.value;
INSERT INTO t VALUES ('a', '1'), ('f', '7')
	ON CONFLICT (key) DO UPDATE SET value = t.value || '+' || excluded.value
	RETURNING *;
INSERT INTO t AS old VALUES ('a', 'no'), ('b', 'yes')
	ON CONFLICT (key) DO UPDATE SET value = excluded.value
	WHERE old.value = '2' RETURNING *;
INSERT INTO t SELECT 'm' || i, 'first' FROM generate_series(1, 3) i
	ON CONFLICT (key) DO UPDATE SET value = 'again';
INSERT INTO t SELECT 'm' || i, 'first' FROM generate_series(2, 4) i
	ON CONFLICT (key) DO UPDATE SET value = 'again' RETURNING *;
SELECT * FROM t ORDER BY key;

-- a row twice in one command
INSERT INTO t VALUES ('n', '1'), ('n', '2')
	ON CONFLICT (key) DO UPDATE SET value = excluded.value;
INSERT INTO t VALUES ('a', '1'), ('a', '2')
	ON CONFLICT (key) DO UPDATE SET value = excluded.value;
SELECT * FROM t WHERE key IN ('a', 'n');

-- the key changes
INSERT INTO t VALUES ('b', '-') ON CONFLICT (key) DO UPDATE SET key = 'b2', value = t.value;
INSERT INTO t VALUES ('b2', '-') ON CONFLICT (key) DO UPDATE SET key = 'a';
SELECT * FROM t WHERE key ^@ 'b';

-- within a transaction: what was written before, savepoints
BEGIN;
INSERT INTO t VALUES ('tx', '1') ON CONFLICT (key) DO UPDATE SET value = excluded.value;
INSERT INTO t VALUES ('tx', '2') ON CONFLICT (key) DO UPDATE SET value = t.value || excluded.value;
SAVEPOINT s;
INSERT INTO t VALUES ('tx', '3') ON CONFLICT (key) DO UPDATE SET value = t.value || excluded.value;
SELECT value FROM t WHERE key = 'tx';
ROLLBACK TO s;
DELETE FROM t WHERE key = 'tx';
INSERT INTO t VALUES ('tx', 'new') ON CONFLICT (key) DO UPDATE SET value = 'old' RETURNING *;
COMMIT;

-- in WITH, prepared, in PL/pgSQL, through a view
WITH w AS (INSERT INTO t VALUES ('a', 'w'), ('w', 'w')
	ON CONFLICT (key) DO UPDATE SET value = 'from WITH' RETURNING *)
	SELECT * FROM w ORDER BY key;
WITH w AS (INSERT INTO t VALUES ('w', 'w2')
	ON CONFLICT (key) DO UPDATE SET value = excluded.value RETURNING value)
	INSERT INTO t SELECT 'w3', value FROM w
	ON CONFLICT (key) DO UPDATE SET value = 'no' RETURNING *;
SET plan_cache_mode = force_generic_plan;
PREPARE up(text, text) AS INSERT INTO t VALUES ($1, $2)
	ON CONFLICT (key) DO UPDATE SET value = excluded.value || '!' RETURNING *;
EXECUTE up('p', '1');
EXECUTE up('p', '2');
SET kvlsm.on_conflict = off;
EXECUTE up('p', '3');
RESET kvlsm.on_conflict;
RESET plan_cache_mode;
DO $$
BEGIN
	FOR i IN 1 .. 12 LOOP
		INSERT INTO t VALUES ('count', '1') ON CONFLICT (key)
			DO UPDATE SET value = (t.value::int + 1)::text;
	END LOOP;
END $$;
SELECT value FROM t WHERE key = 'count';
CREATE VIEW v AS SELECT key AS k, value AS v FROM t;
INSERT INTO v VALUES ('p', 'view') ON CONFLICT (k) DO UPDATE SET v = excluded.v || v.v RETURNING *;

-- what cannot be inferred
INSERT INTO t VALUES ('a', '1') ON CONFLICT (value) DO NOTHING;
INSERT INTO t VALUES ('a', '1') ON CONFLICT (key, value) DO UPDATE SET value = '2';
INSERT INTO t VALUES ('a', '1') ON CONFLICT (lower(key)) DO NOTHING;
INSERT INTO t VALUES ('a', '1') ON CONFLICT (key) WHERE key > 'a' DO NOTHING;
INSERT INTO t VALUES ('a', '1') ON CONFLICT ON CONSTRAINT t_kvkey DO NOTHING;
SET kvlsm.on_conflict = off;
INSERT INTO t VALUES ('a', '1') ON CONFLICT (key) DO UPDATE SET value = '2';
INSERT INTO t VALUES ('a', '1') ON CONFLICT (key) DO NOTHING;
INSERT INTO t VALUES ('a', '1') ON CONFLICT DO NOTHING;
RESET kvlsm.on_conflict;
CREATE TABLE heap (key text PRIMARY KEY, value text);
INSERT INTO heap VALUES ('a', '1') ON CONFLICT (key) DO UPDATE SET value = '2';
INSERT INTO heap VALUES ('a', '1') ON CONFLICT (key) DO UPDATE SET value = '2' RETURNING *;
INSERT INTO heap VALUES ('a', '1') ON CONFLICT (value) DO NOTHING;

-- constraints hold for what the update makes
CREATE FOREIGN TABLE c (key text COLLATE "C" NOT NULL,
	value text NOT NULL CHECK (value <> 'bad')) SERVER kvlsm;
INSERT INTO c VALUES ('a', 'good');
INSERT INTO c VALUES ('a', 'x') ON CONFLICT (key) DO UPDATE SET value = 'bad';
INSERT INTO c VALUES ('a', 'x') ON CONFLICT (key) DO UPDATE SET value = NULL;
INSERT INTO c VALUES ('a', 'bad') ON CONFLICT (key) DO UPDATE SET value = 'fine';
SELECT * FROM c;

-- row triggers: BEFORE INSERT is fired; others would not be, and are refused
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING '% % %', TG_WHEN, TG_OP, NEW.key;
	NEW.value := NEW.value || '*';
	RETURN NEW;
END $$;
CREATE TRIGGER before_insert BEFORE INSERT ON c FOR EACH ROW EXECUTE FUNCTION note();
INSERT INTO c VALUES ('a', 'y'), ('b', 'y') ON CONFLICT (key)
	DO UPDATE SET value = excluded.value RETURNING *;
CREATE TRIGGER after_update AFTER UPDATE ON c FOR EACH ROW EXECUTE FUNCTION note();
INSERT INTO c VALUES ('a', 'z') ON CONFLICT (key) DO UPDATE SET value = excluded.value;
INSERT INTO c VALUES ('a', 'z') ON CONFLICT (key) DO NOTHING;

-- privileges, as for any table
CREATE ROLE conflict_user;
GRANT USAGE ON SCHEMA conflict TO conflict_user;
GRANT INSERT ON t TO conflict_user;
SET ROLE conflict_user;
INSERT INTO t VALUES ('priv', '1');
INSERT INTO t VALUES ('priv', '1');
INSERT INTO t VALUES ('priv', '1') ON CONFLICT (key) DO NOTHING;
RESET ROLE;
GRANT SELECT (key) ON t TO conflict_user;
SET ROLE conflict_user;
INSERT INTO t VALUES ('priv', '1');
INSERT INTO t VALUES ('priv', '1') ON CONFLICT (key) DO NOTHING;
INSERT INTO t VALUES ('priv', '1') ON CONFLICT (key) DO UPDATE SET value = '2';
RESET ROLE;
GRANT SELECT, UPDATE ON t TO conflict_user;
SET ROLE conflict_user;
INSERT INTO t VALUES ('priv', '1') ON CONFLICT (key) DO UPDATE SET value = '2' RETURNING *;
RESET ROLE;

-- a partitioned table of stores
CREATE TABLE part (key text COLLATE "C" NOT NULL, value text NOT NULL)
	PARTITION BY RANGE (key);
CREATE FOREIGN TABLE part_a PARTITION OF part FOR VALUES FROM (MINVALUE) TO ('m')
	SERVER kvlsm;
CREATE FOREIGN TABLE part_z PARTITION OF part FOR VALUES FROM ('m') TO (MAXVALUE)
	SERVER kvlsm;
INSERT INTO part VALUES ('a', '1'), ('z', '1');
INSERT INTO part VALUES ('a', '2'), ('z', '2'), ('y', '2') ON CONFLICT (key)
	DO UPDATE SET value = part.value || excluded.value RETURNING *, tableoid::regclass;
INSERT INTO part VALUES ('a', '3'), ('x', '3') ON CONFLICT (key) DO NOTHING RETURNING *;
INSERT INTO part VALUES ('a', '3') ON CONFLICT (value) DO NOTHING;
SELECT *, tableoid::regclass FROM part ORDER BY key;
DROP FOREIGN TABLE part_z;
CREATE TABLE part_z PARTITION OF part FOR VALUES FROM ('m') TO (MAXVALUE);
INSERT INTO part VALUES ('a', '4') ON CONFLICT (key) DO UPDATE SET value = '4';

-- on_duplicate: what a plain INSERT does with a key that is there
CREATE FOREIGN TABLE u (key text COLLATE "C" NOT NULL, value text NOT NULL)
	SERVER kvlsm OPTIONS (on_duplicate 'update');
CREATE FOREIGN TABLE i (key text COLLATE "C" NOT NULL, value text NOT NULL)
	SERVER kvlsm OPTIONS (on_duplicate 'ignore');
INSERT INTO u VALUES ('a', '1'), ('b', '1'), ('a', '2');
INSERT INTO i VALUES ('a', '1'), ('b', '1'), ('a', '2');
INSERT INTO u VALUES ('b', '3') RETURNING *;
INSERT INTO i VALUES ('b', '3'), ('c', '3') RETURNING *;
COPY u FROM stdin;
b	copied
d	copied
\.
COPY i FROM stdin;
b	copied
d	copied
\.
SELECT * FROM u ORDER BY key;
SELECT * FROM i ORDER BY key;
INSERT INTO u VALUES ('a', 'x') ON CONFLICT (key) DO NOTHING RETURNING *;
INSERT INTO i VALUES ('a', 'x') ON CONFLICT (key) DO UPDATE SET value = 'y' RETURNING *;

-- ttl: rows of the table expire, whoever asks
CREATE FOREIGN TABLE s (key text COLLATE "C" NOT NULL, value text NOT NULL)
	SERVER kvlsm OPTIONS (ttl '1 hour');
INSERT INTO s VALUES ('a', '1'), ('b', '1');
SELECT kv_put('c', '1', store => 's');
UPDATE s SET value = '2' WHERE key = 'c';
INSERT INTO s VALUES ('d', '1') ON CONFLICT (key) DO UPDATE SET value = '2';
SELECT key, kv_ttl(key, store => 's') BETWEEN interval '59 minutes' AND interval '1 hour'
	AS expires FROM s ORDER BY key;
-- without it an UPDATE leaves the time as it was
SELECT kv_put('e', '1', ttl => interval '2 hours', store => 't');
UPDATE t SET value = '2' WHERE key = 'e';
INSERT INTO t VALUES ('e', '3') ON CONFLICT (key) DO UPDATE SET value = excluded.value;
SELECT value, kv_ttl('e', store => 't') BETWEEN interval '119 minutes' AND interval '2 hours'
	AS expires FROM t WHERE key = 'e';
ALTER FOREIGN TABLE s OPTIONS (SET ttl 'soon');
ALTER FOREIGN TABLE s OPTIONS (SET ttl '-1 s');
ALTER FOREIGN TABLE s OPTIONS (ADD on_duplicate 'maybe');

-- batches: duplicates among the rows of a statement, and of earlier ones
CREATE FOREIGN TABLE b (key text COLLATE "C" NOT NULL, value text NOT NULL)
	SERVER kvlsm OPTIONS (batch_size '100');
INSERT INTO b SELECT i, 'x' FROM generate_series(1, 1000) i;
SELECT count(*) FROM b;
INSERT INTO b SELECT i, 'x' FROM generate_series(2001, 1500, -1) i UNION ALL SELECT 7, 'y';
INSERT INTO b SELECT i % 150, 'x' FROM generate_series(3000, 3299) i;
SELECT count(*) FROM b;
BEGIN;
INSERT INTO b SELECT i, 'x' FROM generate_series(2001, 2300) i;
DELETE FROM b WHERE key = '2050' OR key = '50';
INSERT INTO b VALUES ('50', 'again'), ('2050', 'again'), ('3000', 'new');
SELECT * FROM b WHERE value <> 'x' ORDER BY key;
INSERT INTO b SELECT i, 'x' FROM generate_series(2250, 2450) i;
ROLLBACK;
SELECT count(*) FROM b;

-- rows that wait are there when the triggers of the statement run, of any table
CREATE FUNCTION counted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING '% sees %', NEW.what,
		(SELECT count(*) FROM b WHERE key ^@ NEW.what);
	RETURN NULL;
END $$;
CREATE TABLE noted (what text);
CREATE TRIGGER n AFTER INSERT ON noted FOR EACH ROW EXECUTE FUNCTION counted();
WITH n AS (INSERT INTO noted VALUES ('w'))
INSERT INTO b SELECT 'w' || i, 'x' FROM generate_series(1, 300) i;
WITH k AS (INSERT INTO b SELECT 'v' || i, 'x' FROM generate_series(1, 300) i)
INSERT INTO noted VALUES ('v');
WITH k AS (INSERT INTO b SELECT 'u' || i, 'x' FROM generate_series(1, 300) i),
	l AS (INSERT INTO noted VALUES ('u'))
INSERT INTO b SELECT 'ux' || i, 'x' FROM generate_series(1, 30) i;
-- and when the next statement of a function looks, or the error is caught
DO $$
DECLARE
	n bigint;
BEGIN
	INSERT INTO b SELECT 't' || i, 'x' FROM generate_series(1, 200) i;
	GET DIAGNOSTICS n = ROW_COUNT;
	RAISE WARNING '% rows, % seen', n, (SELECT count(*) FROM b WHERE key ^@ 't');
	INSERT INTO b SELECT 't' || i, 'x' FROM generate_series(1000, 800, -5) i
		UNION ALL SELECT 't5', 'again';
EXCEPTION WHEN unique_violation THEN
	RAISE WARNING '% (%)', SQLERRM, (SELECT count(*) FROM b WHERE key ^@ 't');
END $$;
EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF)
	INSERT INTO b SELECT 's' || i, 'x' FROM generate_series(1, 5) i;
PREPARE more(int, int) AS INSERT INTO b SELECT 'r' || i, 'x' FROM generate_series($1, $2) i;
EXECUTE more(1, 130);
EXECUTE more(131, 140);
SELECT left(key, 1), count(*) FROM b WHERE key >= 'r' GROUP BY 1 ORDER BY 1;
DELETE FROM b WHERE key >= 'r';

-- COPY: rows that wait for a batch, and what must not wait
COPY b FROM stdin;
9001	x
9002	x
\.
COPY b FROM stdin;
9003	x
7	x
\.
COPY b FROM stdin;
9004	x
9004	y
\.
SELECT * FROM b WHERE key ^@ '900' ORDER BY key;
CREATE FUNCTION seen() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING '% % sees %', TG_LEVEL, TG_WHEN,
		(SELECT count(*) FROM b WHERE key ^@ '900');
	RETURN NEW;
END $$;
CREATE TRIGGER s AFTER INSERT ON b FOR EACH STATEMENT EXECUTE FUNCTION seen();
COPY b FROM stdin;
9005	x
9006	x
\.
-- what COPY itself calls sees the rows before its own, as on a table
CREATE FUNCTION so_far(of regclass) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	n bigint;
BEGIN
	EXECUTE 'SELECT count(*) FROM ' || of INTO n;
	RETURN n;
END $$;
CREATE TABLE rows_h (key text PRIMARY KEY, value text DEFAULT so_far('rows_h'));
CREATE FOREIGN TABLE rows_k (key text NOT NULL, value text NOT NULL DEFAULT so_far('rows_k')) SERVER kvlsm;
COPY rows_h (key) FROM stdin;
a
b
c
\.
COPY rows_k (key) FROM stdin;
a
b
c
\.
TABLE rows_h EXCEPT TABLE rows_k;
ALTER FOREIGN TABLE rows_k ALTER value DROP DEFAULT;
COPY rows_h FROM stdin WHERE so_far('rows_h')::int < 5;
d	d
e	e
f	f
\.
COPY rows_k FROM stdin WHERE so_far('rows_k')::int < 5;
d	d
e	e
f	f
\.
SELECT count(*), (SELECT count(*) FROM rows_h) FROM rows_k;
CREATE TABLE root (key text COLLATE "C" NOT NULL, value text NOT NULL)
	PARTITION BY RANGE (key);
CREATE FOREIGN TABLE leaf PARTITION OF root FOR VALUES FROM (MINVALUE) TO ('m')
	SERVER kvlsm;
CREATE TABLE leaf2 PARTITION OF root FOR VALUES FROM ('m') TO (MAXVALUE);
COPY root FROM stdin;
a	1
z	2
b	3
\.
SELECT *, tableoid::regclass FROM root ORDER BY key;
BEGIN;
INSERT INTO root SELECT c || i, i FROM unnest('{f,s}'::text[]) c, generate_series(1, 200) i;
SELECT tableoid::regclass, count(*) FROM root GROUP BY 1 ORDER BY 1;
ROLLBACK;
BEGIN;
COPY leaf FROM stdin;
c	4
\.
SELECT count(*) FROM leaf;
ROLLBACK;
SELECT count(*) FROM leaf;

-- keys of several columns, in any order; usual collations and operator classes
CREATE FOREIGN TABLE m (a text COLLATE "C" NOT NULL, b int NOT NULL, n int CHECK (n <> 13), txt text)
	SERVER kvlsm OPTIONS (key 'a, b DESC');
INSERT INTO m VALUES ('x', 1, 10, 'a'), ('x', 2, 20, 'b'), ('y', 1, 30, NULL);
INSERT INTO m VALUES ('x', 1, 11, 'c') ON CONFLICT (b, a)
	DO UPDATE SET n = excluded.n, txt = m.txt || excluded.txt RETURNING *;
INSERT INTO m VALUES ('x', 1, 12, 'c') ON CONFLICT (a COLLATE "C", b int4_ops, a)
	DO UPDATE SET n = excluded.n RETURNING *;
INSERT INTO m VALUES ('x', 1) ON CONFLICT (a COLLATE "POSIX", b) DO NOTHING;
INSERT INTO m VALUES ('x', 1) ON CONFLICT (a text_pattern_ops, b) DO NOTHING;
INSERT INTO m VALUES ('x', 1) ON CONFLICT (a) DO NOTHING;
INSERT INTO m VALUES ('x', 1) ON CONFLICT (a, b) DO UPDATE SET b = 2;
INSERT INTO m VALUES ('x', 1) ON CONFLICT (a, b) DO UPDATE SET b = NULL;
INSERT INTO m VALUES ('x', 1) ON CONFLICT (a, b) DO UPDATE SET a = 'z', b = 3 RETURNING *;
INSERT INTO m VALUES ('x', 2), ('x', 3) ON CONFLICT (a, b) DO UPDATE SET n = NULL RETURNING m;
INSERT INTO m VALUES ('x', 2);
UPDATE m SET a = 'x', b = 2 WHERE a = 'y';
INSERT INTO m VALUES ('x', 2, 7, 's'), ('z', 3, 8, 't') ON CONFLICT (a, b) DO UPDATE SET (n, txt) =
	(SELECT excluded.n, string_agg(o.a || excluded.txt, ',' ORDER BY o.a, o.b) FROM m o WHERE o.a >= m.a)
	RETURNING *;
SELECT * FROM m ORDER BY a, b;

-- partitions of partitions, with their columns in another order
CREATE TABLE q (id int NOT NULL, n int DEFAULT 42, txt text, CHECK (n >= 0 OR txt = 'neg'))
	PARTITION BY RANGE (id);
CREATE FOREIGN TABLE q1 PARTITION OF q FOR VALUES FROM (0) TO (100) SERVER kvlsm;
CREATE FOREIGN TABLE q2 (txt text, gone int, id int NOT NULL, n int,
	CONSTRAINT q_check CHECK (n >= 0 OR txt = 'neg')) SERVER kvlsm OPTIONS (key 'id');
ALTER FOREIGN TABLE q2 DROP COLUMN gone;
ALTER TABLE q ATTACH PARTITION q2 FOR VALUES FROM (100) TO (200);
CREATE TABLE q3 (n int, txt text, id int NOT NULL,
	CONSTRAINT q_check CHECK (n >= 0 OR txt = 'neg')) PARTITION BY RANGE (id);
CREATE FOREIGN TABLE q3a (n int, id int NOT NULL, txt text,
	CONSTRAINT q_check CHECK (n >= 0 OR txt = 'neg')) SERVER kvlsm OPTIONS (key 'id');
ALTER TABLE q3 ATTACH PARTITION q3a FOR VALUES FROM (200) TO (1000);
ALTER TABLE q ATTACH PARTITION q3 FOR VALUES FROM (200) TO (1000);
INSERT INTO q VALUES (1, 1, 'a'), (101, 2, 'b'), (201, 3, 'c');
INSERT INTO q VALUES (1, 10, 'A'), (101, 20, 'B'), (201, 30, 'C'), (2, 40, 'D'), (102, 50, 'E'), (202, 60, 'F')
	ON CONFLICT (id) DO UPDATE SET n = q.n + excluded.n, txt = q.txt || excluded.txt
	WHERE q.txt <> 'b' RETURNING *, tableoid::regclass;
INSERT INTO q VALUES (1, 1), (1, 2) ON CONFLICT (id) DO UPDATE SET n = 0;
INSERT INTO q VALUES (102, 1) ON CONFLICT (id) DO UPDATE SET id = 103 RETURNING *;
INSERT INTO q VALUES (202, 1) ON CONFLICT (id) DO UPDATE SET id = 3;
INSERT INTO q VALUES (202, 1) ON CONFLICT (id) DO UPDATE SET n = -1;
INSERT INTO q VALUES (202, 1) ON CONFLICT (id) DO UPDATE SET n = -1, txt = 'neg';
INSERT INTO q SELECT i FROM generate_series(100, 104) i ON CONFLICT (id) DO NOTHING RETURNING id;
WITH w AS (INSERT INTO q VALUES (1, 5), (300, 5) ON CONFLICT (id)
	DO UPDATE SET n = excluded.n RETURNING id, n) SELECT * FROM w;
INSERT INTO q VALUES (101);
SELECT * FROM q ORDER BY id;
CREATE TRIGGER after_insert AFTER INSERT ON q FOR EACH ROW EXECUTE FUNCTION note();
INSERT INTO q VALUES (1) ON CONFLICT (id) DO UPDATE SET n = 0;
DROP TRIGGER after_insert ON q;

-- rules, SQL functions, statement triggers
CREATE FOREIGN TABLE k (id int NOT NULL, n int) SERVER kvlsm;
CREATE TABLE source (id int, n int);
CREATE RULE also AS ON INSERT TO source DO ALSO
	INSERT INTO k VALUES (NEW.id, NEW.n) ON CONFLICT (id) DO UPDATE SET n = excluded.n + 1000;
INSERT INTO source VALUES (1, 1), (2, 2);
INSERT INTO source VALUES (1, 5);
CREATE FUNCTION add(i int, v int) RETURNS int LANGUAGE sql AS
	'INSERT INTO k VALUES (i, v) ON CONFLICT (id) DO UPDATE SET n = k.n + excluded.n RETURNING n';
CREATE FUNCTION add_atomic(i int, v int) RETURNS int BEGIN ATOMIC
	INSERT INTO k VALUES (i, v) ON CONFLICT (id) DO UPDATE SET n = k.n + excluded.n RETURNING n;
END;
SELECT add(1, 1), add(1, 1), add_atomic(1, 1), add_atomic(9, 9);
SELECT sum(add(i % 3, 1)), sum(add_atomic(i % 3, 1)) FROM generate_series(1, 9) i;
CREATE FUNCTION say() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE WARNING '% %', TG_WHEN, TG_OP;
	RETURN NULL;
END $$;
CREATE TRIGGER s1 BEFORE INSERT OR UPDATE ON k EXECUTE FUNCTION say();
CREATE TRIGGER s2 AFTER INSERT OR UPDATE ON k EXECUTE FUNCTION say();
INSERT INTO k VALUES (2, 1) ON CONFLICT (id) DO UPDATE SET n = 1;
INSERT INTO k VALUES (2, 1) ON CONFLICT (id) DO NOTHING;
DROP TRIGGER s1 ON k;
DROP TRIGGER s2 ON k;
SELECT * FROM k ORDER BY id;

-- functions that change the row meanwhile
CREATE FUNCTION touch(i int) RETURNS int LANGUAGE plpgsql AS $$
BEGIN
	UPDATE k SET n = n + 1 WHERE id = i;
	RETURN i;
END $$;
INSERT INTO k VALUES (2, 1) ON CONFLICT (id) DO UPDATE SET n = touch(2);
INSERT INTO k VALUES (2, 1) ON CONFLICT (id) DO UPDATE SET n = 0 WHERE touch(2) = 2;
INSERT INTO k VALUES (touch(2), 1) ON CONFLICT (id) DO UPDATE SET n = 0;
INSERT INTO k VALUES (2, touch(9)) ON CONFLICT (id) DO UPDATE SET n = excluded.n RETURNING *;

-- one snapshot for the transaction
BEGIN ISOLATION LEVEL SERIALIZABLE;
INSERT INTO k VALUES (1, 1), (50, 1) ON CONFLICT (id) DO UPDATE SET n = -5 RETURNING *;
DELETE FROM k WHERE id = 1;
INSERT INTO k VALUES (1, 1), (50, 1) ON CONFLICT (id) DO UPDATE SET n = -6 RETURNING *;
COMMIT;
-- an expired row is not there
SELECT kv_put('gone', 'old', ttl => interval '1 ms', store => 't');
SELECT pg_sleep(0.01);
INSERT INTO t VALUES ('gone', 'new') ON CONFLICT (key) DO UPDATE SET value = 'no' RETURNING *;
SELECT kv_ttl('gone', store => 't');

DROP SCHEMA conflict CASCADE;
DROP ROLE conflict_user;
