-- Conditions and orders on keys of several columns and types, each with its
-- plan and with the answer of a heap table beside it.
SET client_min_messages = warning;
CREATE SCHEMA pushdown_typed;
SET search_path = pushdown_typed, public;
SET timezone = 'UTC';
CREATE FOREIGN TABLE t (tenant int NOT NULL, at timestamptz NOT NULL,
	id int8 NOT NULL, body text, n int)
	SERVER kvlsm OPTIONS (key 'tenant, at DESC, id');
CREATE TABLE h (tenant int NOT NULL, at timestamptz NOT NULL,
	id int8 NOT NULL, body text, n int);
CREATE UNIQUE INDEX ON h (tenant, at DESC, id);
INSERT INTO h SELECT i % 10 - 5, timestamptz '2026-01-01' + i / 20 * interval '1 hour',
	i::int8 * 1000000007, 'body ' || i, nullif(i % 7, 0)
	FROM generate_series(1, 3000) i;
INSERT INTO h VALUES (0, 'infinity', 1, 'forever', 0),
	(0, '-infinity', 1, 'never', 0), (2147483647, 'epoch', -1, 'last', 0),
	(-2147483648, 'epoch', 9223372036854775807, 'first', 0);
INSERT INTO t SELECT * FROM h;
SELECT kvlsm_flush();
ANALYZE h;
ANALYZE t;

CREATE FUNCTION same(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	a text[];
	b text[];
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || replace(query, '@', 't') LOOP
		RETURN NEXT line;
	END LOOP;
	EXECUTE 'SELECT array_agg(r::text) FROM (' || replace(query, '@', 't')
		|| ') r' INTO a;
	EXECUTE 'SELECT array_agg(r::text) FROM (' || replace(query, '@', 'h')
		|| ') r' INTO b;
	IF query !~* 'order by' THEN
		a := (SELECT array_agg(x ORDER BY x) FROM unnest(a) x);
		b := (SELECT array_agg(x ORDER BY x) FROM unnest(b) x);
	END IF;
	RETURN NEXT CASE WHEN a IS NOT DISTINCT FROM b
		THEN 'same: ' || coalesce(cardinality(a), 0) || ' rows'
		ELSE 'DIFFERENT: ' || coalesce(left(a::text, 200), 'nothing')
			|| ' instead of ' || coalesce(left(b::text, 200), 'nothing') END;
END $$;

-- A prefix of the key, and a range on the column after it
SELECT same('SELECT * FROM @ WHERE tenant = 3');
SELECT same('SELECT * FROM @ WHERE tenant = 3 AND at = ''2026-01-02''');
SELECT same('SELECT * FROM @ WHERE tenant = -2 AND at = ''2026-01-02 01:00'' AND id = 503000003521');
SELECT same('SELECT * FROM @ WHERE tenant = 3 AND at > ''2026-01-02'' AND at <= ''2026-01-03''');
SELECT same('SELECT * FROM @ WHERE tenant = 3 AND at BETWEEN ''2026-01-02'' AND ''2026-01-02 12:00''');
SELECT same('SELECT * FROM @ WHERE tenant = 0 AND at > ''2026-01-07''');
SELECT same('SELECT * FROM @ WHERE tenant = 0 AND at < ''2026-01-01 03:00''');
SELECT same('SELECT * FROM @ WHERE tenant = 0 AND at <= ''-infinity''');
SELECT same('SELECT * FROM @ WHERE tenant > 3');
SELECT same('SELECT * FROM @ WHERE tenant >= 2147483647');
SELECT same('SELECT * FROM @ WHERE tenant <= -2147483648');
SELECT same('SELECT * FROM @ WHERE tenant < -2147483648');
SELECT same('SELECT * FROM @ WHERE at = ''2026-01-02''');
SELECT same('SELECT * FROM @ WHERE id = 1');
SELECT same('SELECT * FROM @ WHERE tenant = 3 AND id > 1000 AND n = 2');
SELECT same('SELECT * FROM @ WHERE tenant > 3 AND at > ''2026-01-06''');

-- Values of other types
SELECT same('SELECT * FROM @ WHERE tenant = 3::int8 AND at > ''2026-01-06''');
SELECT same('SELECT * FROM @ WHERE tenant = 3::int2 AND at > ''2026-01-06''');
SELECT same('SELECT * FROM @ WHERE tenant = 99999999999');
SELECT same('SELECT * FROM @ WHERE tenant < 99999999999 AND at = ''epoch''');
SELECT same('SELECT * FROM @ WHERE tenant > 99999999999');
SELECT same('SELECT * FROM @ WHERE tenant > -99999999999 AND tenant <= -5');
SELECT same('SELECT * FROM @ WHERE tenant = 3.0 AND n = 1');
SELECT same('SELECT * FROM @ WHERE tenant = 3 AND at > date ''2026-01-06''');

-- Lists
SELECT same('SELECT * FROM @ WHERE tenant IN (4, -4, 77) AND at = ''2026-01-02''');
SELECT same('SELECT * FROM @ WHERE tenant IN (4, -4, 77) ORDER BY tenant, at DESC LIMIT 5');
SELECT same('SELECT * FROM @ WHERE tenant IN (4, -4) AND at IN (''2026-01-02'', ''2026-01-03'') ORDER BY tenant, at DESC, id');
SELECT same('SELECT * FROM @ WHERE tenant = 1 AND at IN (''2026-01-02'', ''2026-01-03'', ''2026-01-02'') AND id > 0');
SELECT same('SELECT * FROM @ WHERE tenant = ANY (ARRAY[1, 2]::int8[]) AND at < ''2026-01-01 02:00''');

-- Row comparisons: pages
SELECT same('SELECT tenant, at, id FROM @ WHERE (tenant, at) >= (3, ''2026-01-02'') ORDER BY tenant, at DESC, id LIMIT 3');
SELECT same('SELECT * FROM @ WHERE tenant = 3 AND (at, id) < (''2026-01-02'', 500000003500) ORDER BY at DESC, id LIMIT 4');
SELECT same('SELECT * FROM @ WHERE (tenant) > (4)');
CREATE FOREIGN TABLE p (a int NOT NULL, b text COLLATE "C" NOT NULL,
	c int NOT NULL, d int) SERVER kvlsm OPTIONS (key 'a, b, c');
CREATE TABLE hp (a int, b text COLLATE "C", c int, d int, PRIMARY KEY (a, b, c));
INSERT INTO hp SELECT i % 5, chr(97 + i % 3), i, i FROM generate_series(1, 90) i;
INSERT INTO p SELECT * FROM hp;
EXPLAIN (COSTS OFF) SELECT * FROM p WHERE (a, b, c) > (2, 'b', 40)
	ORDER BY a, b, c LIMIT 4;
SELECT * FROM p WHERE (a, b, c) > (2, 'b', 40) ORDER BY a, b, c LIMIT 4;
SELECT * FROM hp WHERE (a, b, c) > (2, 'b', 40) ORDER BY a, b, c LIMIT 4;
EXPLAIN (COSTS OFF) SELECT * FROM p WHERE (a, b, c) <= (2, 'b', 40)
	ORDER BY a DESC, b DESC, c DESC LIMIT 4;
SELECT * FROM p WHERE (a, b, c) <= (2, 'b', 40)
	ORDER BY a DESC, b DESC, c DESC LIMIT 4;
SELECT * FROM hp WHERE (a, b, c) <= (2, 'b', 40)
	ORDER BY a DESC, b DESC, c DESC LIMIT 4;
EXPLAIN (COSTS OFF) SELECT * FROM p WHERE a = 1 AND (b, c) >= ('b', 60);
SELECT * FROM p WHERE a = 1 AND (b, c) >= ('b', 60);
SELECT * FROM hp WHERE a = 1 AND (b, c) >= ('b', 60) ORDER BY b, c;
-- a NULL decides nothing; columns that do not follow one another
SELECT * FROM p WHERE (a, b) > (4, NULL);
SELECT count(*), (SELECT count(*) FROM hp WHERE (a, b) > (3, NULL))
	FROM p WHERE (a, b) > (3, NULL);
EXPLAIN (COSTS OFF) SELECT * FROM p WHERE (a, c) > (4, 60);
SELECT * FROM p WHERE (a, c) > (4, 60) ORDER BY a, b, c LIMIT 2;
SELECT * FROM hp WHERE (a, c) > (4, 60) ORDER BY a, b, c LIMIT 2;
SELECT * FROM p WHERE b = 'b' AND a = 2 AND c = 22;
SELECT * FROM p WHERE a = 2 AND b ^@ 'b' AND c < 40;
SELECT * FROM p WHERE a = 2 AND b LIKE 'b%' ORDER BY b DESC, c DESC LIMIT 2;
DROP FOREIGN TABLE p;
DROP TABLE hp;

-- Orders
SELECT same('SELECT * FROM @ ORDER BY tenant, at DESC, id LIMIT 5');
SELECT same('SELECT * FROM @ ORDER BY tenant DESC, at, id DESC LIMIT 5');
SELECT same('SELECT tenant, at, id FROM @ ORDER BY tenant, at, id LIMIT 5');
SELECT same('SELECT * FROM @ WHERE tenant = 2 ORDER BY at DESC, id LIMIT 5');
SELECT same('SELECT * FROM @ WHERE tenant = 2 ORDER BY at, id DESC LIMIT 5');
SELECT same('SELECT * FROM @ WHERE tenant = 2 AND at = ''2026-01-02'' ORDER BY id');
SELECT same('SELECT min(tenant), max(tenant) FROM @');
SELECT same('SELECT max(at), min(at) FROM @ WHERE tenant = 4');

-- Counting, joins
SELECT same('SELECT count(*) FROM @ WHERE tenant = 3 AND at > ''2026-01-04''');
SELECT same('SELECT count(*) FROM @ WHERE tenant = 3 AND n > 2');
SELECT same('SELECT count(n), count(tenant) FROM @ WHERE tenant = 3');
SELECT same('SELECT v.i, (SELECT count(*) FROM @ x WHERE x.tenant = v.i) FROM generate_series(-6, 6) v(i)');
SELECT same('SELECT v.i, x.at FROM generate_series(1, 3) v(i), LATERAL (SELECT at FROM @ y WHERE y.tenant = v.i ORDER BY at DESC LIMIT 1) x');
SELECT same('SELECT a.id FROM @ a JOIN @ b ON a.tenant = b.tenant AND a.at = b.at AND a.id = b.id WHERE a.tenant = 1 AND a.at < ''2026-01-01 05:00''');
-- a unique key: nothing is joined that is not looked at
EXPLAIN (COSTS OFF) SELECT h.* FROM h LEFT JOIN t USING (tenant, at, id);
EXPLAIN (COSTS OFF) SELECT h.* FROM h LEFT JOIN t USING (tenant, at);
EXPLAIN (COSTS OFF) SELECT DISTINCT tenant, at, id FROM t WHERE tenant = 1;

-- Prepared: the generic plan
SET plan_cache_mode = force_generic_plan;
PREPARE page(int, timestamptz, int8) AS SELECT id FROM t
	WHERE tenant = $1 AND (at, id) < ($2, $3) ORDER BY at DESC LIMIT 2;
EXPLAIN (COSTS OFF) EXECUTE page(1, '2026-01-02', 0);
EXECUTE page(1, '2026-01-02', 0);
EXECUTE page(NULL, '2026-01-02', 0);
PREPARE one(int8, timestamptz, int) AS SELECT body FROM t
	WHERE tenant = $1 AND at = $2 AND id = $3;
EXECUTE one(0, 'infinity', 1);
EXECUTE one(10000000000, 'infinity', 1);
EXECUTE one(0, NULL, 1);
RESET plan_cache_mode;

DROP SCHEMA pushdown_typed CASCADE;
