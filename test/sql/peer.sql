-- What breaks the nearest peers: crashes, hangs, wrong answers and leaks that
-- were seen in other stores behind a foreign table.

SELECT kv_create_store('p');
SET kvlsm.default_store = 'p';
INSERT INTO p SELECT 'k' || i, to_jsonb(i) FROM generate_series(1, 3) i;
CREATE FOREIGN TABLE pt (id int NOT NULL, part text COLLATE "C" NOT NULL, n int, body text) SERVER kvlsm OPTIONS (key 'part, id');
INSERT INTO pt SELECT i, substr('abc', i % 3 + 1, 1), i, 'b' || i FROM generate_series(1, 9) i;
CREATE TABLE three AS SELECT i, 'k' || i AS key, substr('abc', i, 1) AS part FROM generate_series(1, 3) i;

-- crashes: a key from a subquery, a lookup for each outer row, a NULL
-- parameter in a generic plan
SELECT value FROM p WHERE key = (SELECT key FROM three WHERE i = 2);
SELECT value FROM p WHERE key = (SELECT key FROM three WHERE i = 99);
SELECT i, (SELECT value FROM p WHERE p.key = three.key) FROM three ORDER BY i;
SELECT i, (SELECT body FROM pt WHERE pt.part = three.part AND pt.id = three.i + 2) FROM three ORDER BY i;
SET plan_cache_mode = force_generic_plan;
PREPARE one(text) AS SELECT value FROM p WHERE key = $1;
EXECUTE one(NULL);
EXECUTE one('k1');
PREPARE two(text, int) AS SELECT body FROM pt WHERE part = $1 AND id > $2;
EXECUTE two('a', NULL);
EXECUTE two(NULL, 0);
EXECUTE two('a', 3);
PREPARE many(text[]) AS SELECT count(*) FROM p WHERE key = ANY($1);
EXECUTE many(NULL);
EXECUTE many('{k1,NULL,k3,k3}');
RESET plan_cache_mode;

-- wrong answers: an inner scan that is not rewound
SELECT i, (SELECT count(*) FROM p WHERE three.i > 0) FROM three ORDER BY i;
SELECT i, (SELECT count(*) FROM pt WHERE pt.part = three.part) FROM three ORDER BY i;
SELECT i, (SELECT count(*) FROM pt WHERE pt.part >= three.part OFFSET 0) FROM three ORDER BY i;
SET enable_hashjoin = off;
SET enable_mergejoin = off;
SET enable_material = off;
SELECT count(*) FROM three JOIN p ON p.key <> three.key;
SELECT count(*) FROM three JOIN pt ON pt.id > three.i;
SELECT count(*) FROM p a, p b, pt c;
RESET enable_hashjoin;
RESET enable_mergejoin;
RESET enable_material;
-- a cursor that is left half way and taken up again
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT id FROM pt ORDER BY part, id;
FETCH 4 FROM c;
DELETE FROM pt WHERE part = 'c';
FETCH BACKWARD 2 FROM c;
FETCH ALL FROM c;
CLOSE c;
ROLLBACK;

-- a lookup in PL/pgSQL: the sixth call is the first with a generic plan
CREATE FUNCTION of_key(k text) RETURNS jsonb LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT value FROM p WHERE key = k);
END
$$;
CREATE FUNCTION of_keys(a text, b int) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	RETURN (SELECT body FROM pt WHERE part = a AND id = b);
END
$$;
SELECT i, of_key('k' || i), of_keys('a', i), of_key(NULL) FROM generate_series(1, 9) i;
CREATE FUNCTION change(k text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE
	n int;
BEGIN
	UPDATE p SET value = to_jsonb((value #>> '{}')::int + 1) WHERE key = k;
	GET DIAGNOSTICS n = ROW_COUNT;
	RETURN n;
END
$$;
SELECT sum(change('k' || i % 4)) FROM generate_series(1, 40) i;
SELECT * FROM p;

-- a duplicate overwrites nothing, a changed key leaves nothing behind
INSERT INTO pt VALUES (1, 'b', 0, 'overwritten');
INSERT INTO pt VALUES (1, 'b', 0, 'overwritten') ON CONFLICT DO NOTHING RETURNING *;
UPDATE pt SET id = 100, part = 'z' WHERE part = 'b' AND id = 1;
UPDATE pt SET id = 4 WHERE part = 'b' AND id = 7;
SELECT part, id, body FROM pt WHERE id IN (1, 4, 7, 100);
BEGIN;
UPDATE pt SET id = -id;
DELETE FROM pt WHERE part = 'a';
INSERT INTO pt VALUES (1, 'b', 1, 'back');
SELECT count(*), sum(id) FROM pt;
ROLLBACK;
SELECT count(*), sum(id) FROM pt;

-- rows of more than 64 KB, and many of them in one scan
INSERT INTO pt SELECT i, 'big', i, repeat(md5(i::text), 3000 * i) FROM generate_series(1, 20) i;
SELECT sum(length(body)) FROM pt WHERE part = 'big';
SELECT count(*) FROM pt WHERE part = 'big' AND body = repeat(md5(n::text), 3000 * n);
UPDATE pt SET body = body || 'x' WHERE part = 'big' AND id = 20 RETURNING length(body);
INSERT INTO p VALUES ('big', to_jsonb(repeat('y', 3000000)));
SELECT length(value #>> '{}') FROM p WHERE key = 'big';
DELETE FROM pt WHERE part = 'big' RETURNING length(body) > 90000 AS big;

-- DROP after a scan that failed, in its transaction and after it
CREATE FOREIGN TABLE fail (k int, v int) SERVER kvlsm;
INSERT INTO fail SELECT i, i - 5 FROM generate_series(1, 10) i;
SELECT 1 / v FROM fail;
BEGIN;
SAVEPOINT s;
SELECT 1 / v FROM fail;
ROLLBACK TO s;
DROP FOREIGN TABLE fail;
ROLLBACK;
SELECT count(*) FROM fail;
BEGIN;
DECLARE c CURSOR FOR SELECT * FROM fail;
FETCH 1 FROM c;
DROP FOREIGN TABLE fail;
COMMIT;
SELECT 1 / v FROM fail;
DROP FOREIGN TABLE fail;

-- a store costs no process: six of them, and sixty
DO $$
BEGIN
	FOR i IN 1..60 LOOP
		EXECUTE format('CREATE FOREIGN TABLE many%s (k int, v text) SERVER kvlsm', i);
		EXECUTE format('INSERT INTO many%s SELECT i, i FROM generate_series(1, 10) i', i);
	END LOOP;
END
$$;
SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'kvlsm%';
SELECT count(*) FROM many1 NATURAL JOIN many2 NATURAL JOIN many3 NATURAL JOIN many4 NATURAL JOIN many5 NATURAL JOIN many60;
DO $$
BEGIN
	FOR i IN 1..60 LOOP
		EXECUTE format('DROP FOREIGN TABLE many%s', i);
	END LOOP;
END
$$;

-- INSERT keeps no memory per row: 40,000 more rows, not 40,000 more pieces
CREATE FOREIGN TABLE leak (k int, v text) SERVER kvlsm;
CREATE FUNCTION used() RETURNS bigint LANGUAGE sql AS
	'SELECT sum(used_bytes) FROM pg_backend_memory_contexts';
CREATE FUNCTION watch() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
	IF NEW.k IN (2000, 42000) THEN
		INSERT INTO seen VALUES (NEW.k, used());
	END IF;
	RETURN NEW;
END
$$;
CREATE TEMP TABLE seen (k int, bytes bigint);
CREATE TRIGGER watch BEFORE INSERT ON leak FOR EACH ROW EXECUTE FUNCTION watch();
SET kvlsm.write_set_memory = '64kB';
INSERT INTO leak SELECT i, 'v' || i FROM generate_series(1, 42000) i;
RESET kvlsm.write_set_memory;
SELECT count(*) = 2 AS seen_twice, (max(bytes) - min(bytes)) / 40000 < 200 AS less_than_200_bytes_a_row FROM seen;
-- nor does reading
SELECT max(u) - min(u) < 2000000 AS steady FROM (
	SELECT CASE WHEN k % 10000 = 0 THEN used() END AS u FROM leak WHERE length(v) > 0) x;
DROP FOREIGN TABLE p, pt, leak;
DROP TABLE three;
DROP FUNCTION of_key, of_keys, change, used, watch;
