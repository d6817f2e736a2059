-- kvlsm tables are checked when they are created and altered; rows are never
-- rewritten, so what they depend on cannot change.

CREATE FUNCTION fails(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	code text; msg text; det text; hnt text;
BEGIN
	EXECUTE sql;
	RAISE 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT,
		det = PG_EXCEPTION_DETAIL, hnt = PG_EXCEPTION_HINT;
	RETURN concat_ws(' | ', code, msg, nullif(det, ''), nullif(hnt, ''));
END
$$;
CREATE TYPE color AS ENUM ('red');
CREATE DOMAIN small AS int CHECK (VALUE < 100);
CREATE DOMAIN word AS text COLLATE "C";

-- columns
SELECT cols, options, fails(format('CREATE FOREIGN TABLE bad (%s) SERVER kvlsm OPTIONS (%s)', cols, options))
FROM (VALUES
	('', 'layout ''typed'''),
	('k int, v int', 'key ''x'''),
	('k int, v int', 'key ''k, k DESC'''),
	('k int, v int', 'key ''K, "V"'''),
	('k int, v int', 'key ''tableoid'''),
	('k text COLLATE "en-x-icu", v int', 'layout ''typed'''),
	('k text COLLATE "POSIX", v int', 'key ''k, v, x'''),
	('k numeric, v int', 'key ''k'''),
	('k char(3) COLLATE "C", v int', 'key ''k'''),
	('k jsonb, v int', 'key ''k'''),
	('k int[], v int', 'key ''k'''),
	('k color, v int', 'key ''k'''),
	('k interval, v int', 'key ''k'''),
	('k timetz, v int', 'key ''k'''),
	('k name, v int', 'key ''k'''),
	('k int GENERATED ALWAYS AS (v + 1) STORED, v int', 'key ''k'''),
	('k text, v text, w text', 'layout ''plain'''),
	('k text, v text', 'layout ''plain'', key ''k DESC'''),
	('k int, v text', 'layout ''plain''')) c(cols, options);
-- options
SELECT o, fails('CREATE FOREIGN TABLE bad (k int, v text) SERVER kvlsm OPTIONS (' || o || ')')
FROM unnest(ARRAY['key ''''', 'key '',''', 'key ''k,''', 'key ''k up''', 'key ''"k''', 'key ''k v''', 'key ''k ASC DESC''', 'key ''1''',
	'key ''""''', 'layout ''column''', 'on_duplicate ''replace''', 'ttl ''soon''', 'ttl ''-1 s''', 'batch_size ''0''', 'updatable ''x''',
	'compression ''lz4''', 'store ''other''']) o;
SELECT fails('CREATE FOREIGN TABLE bad (k int OPTIONS (width ''4''), v text) SERVER kvlsm');
SELECT fails('SELECT * FROM bad');
SELECT fails('CREATE FOREIGN TABLE good ("desc" int, v int) SERVER kvlsm OPTIONS (key ''desc desc'')');
-- good ones
CREATE FOREIGN TABLE "Odd" ("K ""1""" word, "B, c" small, "DESC" varchar COLLATE "POSIX", "select" int)
	SERVER kvlsm OPTIONS (key '"K ""1""" desc,"B, c","DESC"', on_duplicate 'error', updatable 'on', ttl '1 day');
CREATE FOREIGN TABLE o (a int, "Desc" int, "select" int) SERVER kvlsm OPTIONS (key '"Desc" DESC, select');
CREATE FOREIGN TABLE p (k text, v text) SERVER kvlsm;
CREATE FOREIGN TABLE IF NOT EXISTS p (k text, v text, w int) SERVER kvlsm;
CREATE FOREIGN TABLE t (k text COLLATE "C", v text) SERVER kvlsm OPTIONS (layout 'typed');
SELECT c.relname, f.ftoptions FROM pg_foreign_table f JOIN pg_class c ON c.oid = f.ftrelid ORDER BY 1;
\d o
DROP FOREIGN TABLE o, p, t;

-- a table without rows may become anything
CREATE FOREIGN TABLE t (a int NOT NULL, b text COLLATE "C", c int, d text) SERVER kvlsm OPTIONS (key 'a, b');
INSERT INTO t VALUES (1, 'x', 1, 'one');
DELETE FROM t;
ALTER FOREIGN TABLE t OPTIONS (SET key 'c DESC');
ALTER FOREIGN TABLE t ALTER c TYPE bigint, DROP COLUMN a;
INSERT INTO t VALUES ('x', 1, 'one'), ('y', 2, 'two');
SELECT * FROM t;
-- with rows it may not
SELECT sql, fails(sql) FROM unnest(ARRAY[
	'ALTER FOREIGN TABLE t OPTIONS (SET key ''c'')',
	'ALTER FOREIGN TABLE t OPTIONS (SET key ''c DESC, b'')',
	'ALTER FOREIGN TABLE t OPTIONS (DROP key)',
	'ALTER FOREIGN TABLE t OPTIONS (SET key ''nope'')',
	'ALTER FOREIGN TABLE t OPTIONS (SET layout ''plain'')',
	'ALTER FOREIGN TABLE t ALTER c TYPE int',
	'ALTER FOREIGN TABLE t ALTER c TYPE numeric',
	'ALTER FOREIGN TABLE t ALTER d TYPE jsonb',
	'ALTER FOREIGN TABLE t ALTER d TYPE varchar(2)',
	'ALTER FOREIGN TABLE t ALTER d TYPE int',
	'ALTER FOREIGN TABLE t DROP COLUMN c',
	'ALTER FOREIGN TABLE t ADD COLUMN e int, DROP COLUMN c, ADD COLUMN c bigint']) sql;
-- what does not concern the rows it may
ALTER FOREIGN TABLE t OPTIONS (SET key 'C desc');
ALTER FOREIGN TABLE t ALTER d TYPE varchar;
ALTER FOREIGN TABLE t ALTER d SET NOT NULL, ALTER d SET DEFAULT 'dd', ADD CHECK (c > 0);
ALTER FOREIGN TABLE t RENAME c TO "Count";
ALTER FOREIGN TABLE t ALTER "Count" DROP NOT NULL;
ALTER FOREIGN TABLE t RENAME b TO c;
INSERT INTO t VALUES ('z', 3);
INSERT INTO t VALUES ('z', NULL);
SELECT * FROM t;
SELECT ftoptions FROM pg_foreign_table WHERE ftrelid = 't'::regclass;
ALTER FOREIGN TABLE t DROP COLUMN c;
-- typed for ever, although it would fit plain: it was not
SELECT fails('SELECT kv_get(''x'', ''t'')');
SELECT * FROM t;
DROP FOREIGN TABLE t;
-- a plain table
CREATE FOREIGN TABLE p (k text COLLATE "C", v jsonb) SERVER kvlsm;
INSERT INTO p VALUES ('a', '1');
SELECT sql, fails(sql) FROM unnest(ARRAY[
	'ALTER FOREIGN TABLE p ADD COLUMN n int',
	'ALTER FOREIGN TABLE p DROP COLUMN v',
	'ALTER FOREIGN TABLE p DROP COLUMN k',
	'ALTER FOREIGN TABLE p OPTIONS (key ''v'')',
	'ALTER FOREIGN TABLE p OPTIONS (key ''k ASC'')',
	'ALTER FOREIGN TABLE p OPTIONS (layout ''typed'')',
	'ALTER FOREIGN TABLE p ALTER v TYPE int']) sql;
ALTER FOREIGN TABLE p ALTER v TYPE text, ALTER k TYPE bytea;
ALTER FOREIGN TABLE p OPTIONS (key 'k');
ALTER FOREIGN TABLE p RENAME k TO "Key";
SELECT * FROM p;
SELECT ftoptions FROM pg_foreign_table WHERE ftrelid = 'p'::regclass;
TRUNCATE p;
ALTER FOREIGN TABLE p ADD COLUMN n int;
INSERT INTO p VALUES ('b', 'v', 2);
SELECT * FROM p;
DROP FOREIGN TABLE p;

-- columns that are added: old rows have what the default was then
CREATE FOREIGN TABLE a (k int) SERVER kvlsm;
INSERT INTO a VALUES (1), (2);
SET intervalstyle = 'iso_8601';
SET datestyle = 'SQL, DMY';
ALTER FOREIGN TABLE a ADD COLUMN n int DEFAULT 5, ADD COLUMN t text DEFAULT 'it''s', ADD COLUMN f float8 NOT NULL DEFAULT 0.1 + 0.2,
	ADD COLUMN d date DEFAULT '2020-12-31', ADD COLUMN i interval DEFAULT '1 day -2 h', ADD COLUMN ar int[] DEFAULT '{1,2}',
	ADD COLUMN s small DEFAULT 7, ADD COLUMN e color DEFAULT 'red', ADD COLUMN x int;
RESET intervalstyle;
RESET datestyle;
ALTER FOREIGN TABLE a ALTER n SET DEFAULT 6;
INSERT INTO a (k) VALUES (3);
INSERT INTO a VALUES (4, NULL, NULL, 1, NULL, NULL, NULL, NULL, NULL, NULL);
UPDATE a SET x = 1 WHERE k = 2;
SELECT * FROM a;
SELECT count(*) FROM a WHERE n = 5;
SELECT attname, attfdwoptions FROM pg_attribute WHERE attrelid = 'a'::regclass AND attnum > 0 ORDER BY attnum;
ALTER FOREIGN TABLE a ADD COLUMN at timestamptz DEFAULT now();
SELECT count(DISTINCT at) FROM a;
SELECT sql, fails(sql) FROM unnest(ARRAY[
	'ALTER FOREIGN TABLE a ADD COLUMN y int NOT NULL',
	'ALTER FOREIGN TABLE a ADD COLUMN y int NOT NULL DEFAULT NULL',
	'ALTER FOREIGN TABLE a ADD COLUMN y float8 DEFAULT random()',
	'ALTER FOREIGN TABLE a ADD COLUMN y serial',
	'ALTER FOREIGN TABLE a ADD COLUMN y int GENERATED ALWAYS AS IDENTITY',
	'ALTER FOREIGN TABLE a ADD COLUMN y int GENERATED ALWAYS AS (k * 2) STORED',
	'ALTER FOREIGN TABLE a ALTER x SET NOT NULL',
	'ALTER FOREIGN TABLE a ALTER f SET NOT NULL',
	'ALTER FOREIGN TABLE a ALTER s SET NOT NULL']) sql;
CREATE DOMAIN never AS int NOT NULL;
SELECT fails('ALTER FOREIGN TABLE a ADD COLUMN y never');
-- and none of it in an empty one
TRUNCATE a;
ALTER FOREIGN TABLE a ADD COLUMN y serial, ADD COLUMN z int GENERATED ALWAYS AS (k * 2) STORED;
INSERT INTO a (k) VALUES (8), (9);
SELECT k, y, z, n FROM a;
UPDATE a SET k = k + 1 WHERE k = 9 RETURNING k, z;
DROP FOREIGN TABLE a;

-- ROLLBACK of all of it
CREATE FOREIGN TABLE r (a int, b int, c text) SERVER kvlsm OPTIONS (key 'a');
INSERT INTO r VALUES (1, 1, 'one'), (2, 2, 'two');
BEGIN;
ALTER FOREIGN TABLE r ADD COLUMN d int DEFAULT 4;
ALTER FOREIGN TABLE r RENAME a TO z;
SAVEPOINT s;
ALTER FOREIGN TABLE r DROP COLUMN c;
SELECT * FROM r;
ROLLBACK TO s;
UPDATE r SET d = 5 WHERE z = 1;
DELETE FROM r WHERE z = 2;
SELECT * FROM r;
DELETE FROM r;
ALTER FOREIGN TABLE r OPTIONS (SET key 'b DESC');
INSERT INTO r VALUES (5, 5, 'five', 5), (6, 6, 'six', 6);
SELECT * FROM r;
DROP FOREIGN TABLE r;
ROLLBACK;
SELECT * FROM r;
\d r
DROP FOREIGN TABLE r;

-- partitions of both kinds
CREATE TABLE part (k int NOT NULL, region text COLLATE "C", v text) PARTITION BY LIST (region);
CREATE FOREIGN TABLE part_a PARTITION OF part FOR VALUES IN ('a') SERVER kvlsm OPTIONS (key 'region, k DESC');
SELECT fails('CREATE FOREIGN TABLE part_x PARTITION OF part FOR VALUES IN (''x'') SERVER kvlsm OPTIONS (key ''v'')');
CREATE TABLE part_h PARTITION OF part FOR VALUES IN ('h');
CREATE FOREIGN TABLE part_b (v text, gone int, k int NOT NULL, region text COLLATE "C") SERVER kvlsm OPTIONS (key 'k');
ALTER FOREIGN TABLE part_b DROP COLUMN gone;
ALTER TABLE part ATTACH PARTITION part_b FOR VALUES IN ('b');
INSERT INTO part SELECT i, substr('abh', i % 3 + 1, 1), 'v' || i FROM generate_series(1, 6) i;
COPY part FROM stdin;
7	a	copied
7	b	copied
7	h	copied
\.
SELECT fails('INSERT INTO part VALUES (1, ''z'')');
SELECT fails('INSERT INTO part_b VALUES (''v'', 1, ''a'')');
SELECT tableoid::regclass, * FROM part ORDER BY k, region;
EXPLAIN (COSTS OFF) SELECT * FROM part WHERE region = 'b' AND k = 4;
EXPLAIN (COSTS OFF) SELECT * FROM part WHERE region = 'a' ORDER BY k DESC LIMIT 1;
PREPARE one(text) AS SELECT count(*) FROM part WHERE region = $1;
SET plan_cache_mode = force_generic_plan;
EXECUTE one('a');
EXPLAIN (COSTS OFF) EXECUTE one('b');
RESET plan_cache_mode;
UPDATE part SET v = 'u' WHERE k = 7 RETURNING tableoid::regclass, *;
DELETE FROM part WHERE k = 7 RETURNING *;
-- from a table partition to a foreign one the core moves rows
UPDATE part SET region = 'a' WHERE region = 'h' RETURNING *;
SELECT fails('UPDATE part SET region = ''h'' WHERE region = ''a''');
SELECT fails('UPDATE part SET region = ''b'' WHERE region = ''a''');
SELECT tableoid::regclass, count(*) FROM part GROUP BY 1 ORDER BY 1;
-- ALTER of the parent reaches them
ALTER TABLE part ADD COLUMN extra int DEFAULT 3;
ALTER TABLE part RENAME k TO "Id";
SELECT tableoid::regclass, * FROM part ORDER BY "Id";
SELECT ftrelid::regclass, ftoptions FROM pg_foreign_table WHERE ftrelid::regclass::text LIKE 'part%' ORDER BY 1;
SELECT fails('ALTER TABLE part ALTER "Id" TYPE bigint');
SELECT fails('ALTER TABLE part DROP COLUMN "Id"');
ALTER TABLE part DROP COLUMN v;
BEGIN;
ALTER TABLE part DETACH PARTITION part_b;
SELECT count(*) FROM part;
SELECT * FROM part_b;
ROLLBACK;
TRUNCATE part;
SELECT count(*) FROM part;
DROP TABLE part;

-- objects that a table depends on
CREATE SCHEMA other;
CREATE DOMAIN other.d AS int;
CREATE TYPE other.e AS ENUM ('x');
CREATE FOREIGN TABLE dep (k int, v other.e, w other.d) SERVER kvlsm;
INSERT INTO dep VALUES (1, 'x', 2);
DROP TYPE other.e CASCADE;
SELECT * FROM dep;
CREATE FOREIGN TABLE other.dep (k other.d, v int) SERVER kvlsm;
INSERT INTO other.dep VALUES (1, 2);
SELECT fails('DROP DOMAIN other.d CASCADE');
DROP SCHEMA other CASCADE;
SELECT * FROM dep;
DROP FOREIGN TABLE dep;

-- the attributes of a value's type
CREATE TYPE pair AS (x int, y text);
CREATE DOMAIN pairs AS pair[];
CREATE TABLE heap (a int, b text);
CREATE FOREIGN TABLE comp (k int, v pairs, h heap) SERVER kvlsm;
INSERT INTO comp VALUES (1, '{"(1,one)"}', '(2,two)');
SELECT fails('ALTER TYPE pair ALTER ATTRIBUTE x TYPE text');
SELECT fails('ALTER TABLE heap ALTER a TYPE bigint');
ALTER TYPE pair RENAME ATTRIBUTE x TO xx;
ALTER TYPE pair ADD ATTRIBUTE z int;
ALTER TABLE heap DROP COLUMN b;
SELECT *, (v[1]).xx + (h).a AS sum FROM comp;
DROP FOREIGN TABLE comp;
DROP DOMAIN pairs;
DROP TYPE pair;
DROP TABLE heap;

-- a view
CREATE FOREIGN TABLE base (id int, owner text, n int DEFAULT 1) SERVER kvlsm;
CREATE VIEW mine AS SELECT id, n, owner FROM base WHERE owner = 'me' WITH CHECK OPTION;
INSERT INTO mine VALUES (1, 1, 'me'), (2, 2, 'me');
INSERT INTO base VALUES (3, 'you');
UPDATE mine SET n = n + 10 RETURNING *;
SELECT fails('UPDATE mine SET owner = ''you''');
SELECT fails('INSERT INTO mine VALUES (4, 4, ''you'')');
DELETE FROM mine WHERE id < 9;
SELECT * FROM base;
DROP FOREIGN TABLE base CASCADE;

-- a table created inside a function, and by a schema's definition
CREATE SCHEMA made CREATE TABLE heap (k int);
DO $$
BEGIN
	CREATE FOREIGN TABLE made.t (k int, v int) SERVER kvlsm;
	INSERT INTO made.t VALUES (1, 1);
	ALTER FOREIGN TABLE made.t ADD COLUMN w int DEFAULT 2;
	BEGIN
		ALTER FOREIGN TABLE made.t OPTIONS (ADD key 'v');
	EXCEPTION WHEN feature_not_supported THEN
		RAISE NOTICE 'refused';
	END;
	RAISE NOTICE '%', (SELECT t FROM made.t);
END
$$;
DROP SCHEMA made CASCADE;
-- every store is a table: there is nothing to import (more in t/022_import.pl)
SELECT fails('IMPORT FOREIGN SCHEMA stores FROM SERVER kvlsm INTO public');
-- altering a table that is in use, or somebody else's
CREATE FOREIGN TABLE mine (k int, v int) SERVER kvlsm;
CREATE ROLE regress_kv_ddl;
SET ROLE regress_kv_ddl;
SELECT fails('ALTER FOREIGN TABLE mine RENAME k TO x');
SELECT fails('ALTER FOREIGN TABLE mine OPTIONS (key ''v'')');
RESET ROLE;
DROP ROLE regress_kv_ddl;
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM mine;
SELECT fails('ALTER FOREIGN TABLE mine ADD COLUMN w int');
COMMIT;
DROP FOREIGN TABLE mine, "Odd";
DROP FUNCTION fails;
DROP TYPE color;
DROP DOMAIN small, word, never;
