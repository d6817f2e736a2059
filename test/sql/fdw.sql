-- The foreign table: the same data as the functions', seen as rows.

SELECT kv_create_store('f');
SET kvlsm.default_store = 'f';
SELECT * FROM f;
SELECT kv_put('t', 'text'), kv_put('j', '{"a": 1}'::jsonb), kv_put('n', '5'::jsonb),
	kv_put('b', '\x0102'::bytea);
SELECT *, tableoid::regclass FROM f;
SELECT count(*) FROM f;
SELECT value ->> 'a' FROM f WHERE key = 'j';
SELECT f FROM f WHERE key = 't';
EXPLAIN (COSTS OFF) SELECT * FROM f WHERE key = 't';

-- INSERT
INSERT INTO f VALUES ('i1', '"string"'), ('i2', '{"x": []}') RETURNING *;
SELECT kv_get('i1'), kv_get('i2');
INSERT INTO f SELECT 'g' || i, to_jsonb(i) FROM generate_series(1, 3) i;
SELECT * FROM kv_range(prefix => 'g');
INSERT INTO f VALUES ('i1', '1');
DO $$
DECLARE
	c text; t text; s text; d text;
BEGIN
	INSERT INTO f VALUES ('i1', '1');
EXCEPTION WHEN unique_violation THEN
	GET STACKED DIAGNOSTICS c = CONSTRAINT_NAME, t = TABLE_NAME, s = SCHEMA_NAME,
		d = PG_EXCEPTION_DETAIL;
	RAISE NOTICE '% % % %', s, t, c, d;
END
$$;
INSERT INTO f VALUES ('same', '1'), ('same', '2');
SELECT kv_get('same') IS NULL AS nothing_written;
INSERT INTO f VALUES (NULL, '1');
INSERT INTO f VALUES ('null', NULL);
INSERT INTO f VALUES ('', '1');
ALTER FOREIGN TABLE f ADD CONSTRAINT short CHECK (length(key) < 10);
INSERT INTO f VALUES ('much too long', '1');
-- skipped, also when the key is one of this command's own
INSERT INTO f VALUES ('i1', '"no"'), ('skip', '1'), ('skip', '2')
ON CONFLICT DO NOTHING RETURNING *;
SELECT kv_get('i1');
DELETE FROM f WHERE key = 'skip';
-- deleted and inserted in one transaction
BEGIN;
DELETE FROM f WHERE key = 'i1';
INSERT INTO f VALUES ('i1', '"new"');
SELECT kv_get('i1');
ROLLBACK;
SELECT kv_get('i1');

-- UPDATE and DELETE
UPDATE f SET value = '{"a": 2}' WHERE key = 'j' RETURNING *;
UPDATE f SET value = '0' WHERE key = 'none';
UPDATE f SET key = 'j2' WHERE key = 'j';
SELECT kv_get('j') IS NULL AS moved, kv_get('j2');
UPDATE f SET key = 't' WHERE key = 'j2';
UPDATE f SET value = to_jsonb((value #>> '{}')::int + 10) WHERE key LIKE 'g%';
SELECT * FROM kv_range(prefix => 'g');
WITH gone AS (DELETE FROM f WHERE key LIKE 'g%' RETURNING key, value)
SELECT * FROM gone;
SELECT count(*) FROM kv_range(prefix => 'g');
DELETE FROM f WHERE key = 'none' RETURNING *;

-- joins, subqueries, rescans
CREATE TABLE h (k text, n int);
INSERT INTO h SELECT k, i FROM unnest('{t,n,b,none}'::text[]) WITH ORDINALITY u(k, i);
SELECT h.k, (SELECT count(*) FROM f WHERE f.key >= h.k) FROM h ORDER BY 1;
SELECT h.k, f.value FROM h LEFT JOIN f ON f.key = h.k ORDER BY n;
SELECT h.k, x.value FROM h, LATERAL (SELECT value FROM f WHERE f.key = h.k OFFSET 0) x ORDER BY n;
SELECT count(*) FROM f a, f b WHERE a.key <> b.key;
SELECT key FROM f WHERE key = (SELECT 't');
PREPARE by_key(text) AS SELECT value FROM f WHERE key = $1;
EXECUTE by_key('t');
EXECUTE by_key(NULL);
SET plan_cache_mode = force_generic_plan;
EXECUTE by_key('t');
EXECUTE by_key(NULL);
RESET plan_cache_mode;

-- UPDATE ... FROM, own writes seen by the next command
BEGIN;
UPDATE f SET value = to_jsonb(h.n) FROM h WHERE h.k = f.key AND h.k <> 'b';
SELECT * FROM f WHERE key IN ('t', 'n');
SAVEPOINT s;
DELETE FROM f;
SELECT count(*) FROM f;
ROLLBACK TO s;
SELECT count(*) > 0 AS back FROM f;
ROLLBACK;

-- triggers and defaults
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	RAISE NOTICE '% % %', TG_OP, OLD, NEW;
	RETURN coalesce(NEW, OLD);
END
$$;
CREATE TRIGGER note BEFORE INSERT OR UPDATE OR DELETE ON f FOR EACH ROW EXECUTE FUNCTION note();
ALTER FOREIGN TABLE f ALTER value SET DEFAULT '"default"';
INSERT INTO f (key) VALUES ('d') RETURNING *;
UPDATE f SET value = '1' WHERE key = 'd';
DELETE FROM f WHERE key = 'd';
DROP TRIGGER note ON f;

-- COPY, both ways
COPY f FROM stdin;
c1	{"from": "copy"}
c2	"a string"
\.
COPY (SELECT * FROM f WHERE key LIKE 'c%' ORDER BY key) TO stdout;
COPY f FROM stdin;
c3	1
c1	2
\.
SELECT kv_get('c3') IS NULL AS nothing_written;

-- dump and restore by hand: text and JSON come back as they were
CREATE TABLE dump AS SELECT key, value FROM f WHERE key <> 'b';
CREATE TABLE texts AS SELECT key, kv_get(key) AS t FROM dump;
DELETE FROM f;
INSERT INTO f SELECT * FROM dump;
SELECT count(*) AS differ FROM texts WHERE kv_get(key) IS DISTINCT FROM t;

-- other types of columns
CREATE FOREIGN TABLE ft (key text NOT NULL, value text NOT NULL) SERVER kvlsm;
CREATE FOREIGN TABLE fb (value bytea NOT NULL, id bytea NOT NULL) SERVER kvlsm OPTIONS (key 'id');
INSERT INTO ft VALUES ('a', 'plain "text"');
INSERT INTO fb (id, value) VALUES ('\x00ff', '\x1234'), ('\x00', '');
SELECT * FROM ft;
SELECT * FROM fb;
SELECT kv_get('a', 'ft'), kv_get_bytes('\x00ff'::bytea, 'fb');
SELECT kv_put('j', '{"a": 1}'::jsonb, store => 'ft');
SELECT * FROM ft;
SELECT kv_put('b', '\xff'::bytea, store => 'ft');
SELECT key FROM ft;
SELECT * FROM ft;

-- not updatable
ALTER FOREIGN TABLE ft OPTIONS (updatable 'false');
INSERT INTO ft VALUES ('b', 'c');
DELETE FROM ft;
COPY ft FROM stdin;
x	y
\.
SELECT pg_relation_is_updatable('ft', false), pg_relation_is_updatable('f', false);

-- a partition
CREATE TABLE part (key text COLLATE "C", value jsonb) PARTITION BY RANGE (key);
CREATE FOREIGN TABLE part1 PARTITION OF part FOR VALUES FROM ('a') TO ('m') SERVER kvlsm;
CREATE FOREIGN TABLE part2 PARTITION OF part FOR VALUES FROM ('m') TO ('z') SERVER kvlsm;
INSERT INTO part VALUES ('b', '1'), ('n', '2');
INSERT INTO part VALUES ('b', '9'), ('c', '1') ON CONFLICT DO NOTHING RETURNING key;
DELETE FROM part WHERE key = 'c';
SELECT tableoid::regclass, * FROM part ORDER BY key;
UPDATE part SET value = '3' WHERE key = 'n';
SELECT kv_get('n', 'part2');

-- a view, and a tool's catalogue queries
CREATE VIEW v AS SELECT * FROM f;
INSERT INTO v VALUES ('v', '1');
SELECT kv_get('v');
SELECT is_updatable, is_insertable_into FROM information_schema.views WHERE table_name = 'v';

-- TRUNCATE
BEGIN;
TRUNCATE f;
SELECT count(*) FROM f;
INSERT INTO f VALUES ('after', '1');
SELECT * FROM f;
ROLLBACK;
SELECT count(*) > 1 AS back FROM f;
SELECT kv_get('after');
TRUNCATE f;
SELECT count(*) FROM f;
SELECT kv_put('new', 'life');
SELECT * FROM f;
DROP VIEW v;
DROP TABLE h, dump, texts, part;
DROP FUNCTION note;
DROP FOREIGN TABLE f, ft, fb;
