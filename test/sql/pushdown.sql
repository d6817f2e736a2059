-- Conditions, orders and joins that the store answers itself, each with its
-- plan and with the answer of a heap table beside it.
SET client_min_messages = warning;
CREATE SCHEMA pushdown;
SET search_path = pushdown, public;
CREATE FOREIGN TABLE t (key text COLLATE "C" NOT NULL, value text NOT NULL)
	SERVER kvlsm;
CREATE TABLE h (key text COLLATE "C" PRIMARY KEY, value text NOT NULL);
INSERT INTO h SELECT 'k' || lpad(i::text, 4, '0'), 'v' || i
	FROM generate_series(1, 2000) i;
INSERT INTO h VALUES ('a%b', 'p'), ('a_b', 'u'), ('ab', 'l'), ('k', 'short'),
	('k0005x', 'longer'), ('z', 'last');
INSERT INTO t SELECT * FROM h;
SELECT kvlsm_flush(); -- what is in memory is not told apart by table
ANALYZE h;

-- The plan, then whether both tables answer the same, in the same order.
CREATE FUNCTION same(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	a text[];
	b text[];
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS OFF) ' || replace(replace(query, '@', 't'), '#', '@') LOOP
		RETURN NEXT line;
	END LOOP;
	EXECUTE 'SELECT array_agg(r::text) FROM (' || replace(replace(query, '@', 't'), '#', '@')
		|| ') r' INTO a;
	EXECUTE 'SELECT array_agg(r::text) FROM (' || replace(replace(query, '@', 'h'), '#', '@')
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

SELECT same('SELECT * FROM @');
SELECT same('SELECT * FROM @ WHERE key = ''k0042''');
SELECT same('SELECT * FROM @ WHERE ''k0042'' = key');
SELECT same('SELECT * FROM @ WHERE key = ''k0042'' AND value = ''v42''');
SELECT same('SELECT * FROM @ WHERE key = ''nothing''');
SELECT same('SELECT * FROM @ WHERE key = ''''');
SELECT same('SELECT * FROM @ WHERE key = NULL');
SELECT same('SELECT * FROM @ WHERE key > ''k0010'' AND key < ''k0020''');
SELECT same('SELECT * FROM @ WHERE key >= ''k0010'' AND key <= ''k0020''');
SELECT same('SELECT * FROM @ WHERE key BETWEEN ''k0005'' AND ''k0006''');
SELECT same('SELECT * FROM @ WHERE key > ''k''');
SELECT same('SELECT * FROM @ WHERE key <= ''k''');
SELECT same('SELECT * FROM @ WHERE key > ''''');
SELECT same('SELECT * FROM @ WHERE key <= ''''');
SELECT same('SELECT * FROM @ WHERE key > ''k0010'' AND key < ''k0005''');
SELECT same('SELECT * FROM @ WHERE key > ''k0010'' AND key > ''k0100'' AND key <= ''k0110'' AND key < ''k0200''');
SELECT same('SELECT * FROM @ WHERE key IN (''k0003'', ''k0001'', ''no'', ''k0001'', NULL)');
SELECT same('SELECT * FROM @ WHERE key = ANY (''{}''::text[])');
SELECT same('SELECT * FROM @ WHERE key = ANY (NULL::text[])');
SELECT same('SELECT * FROM @ WHERE key = ANY (ARRAY(SELECT ''k'' || lpad(i::text, 4, ''0'') FROM generate_series(1, 300) i)) ORDER BY key');
SELECT same('SELECT * FROM @ WHERE key = ANY (ARRAY[''z'', ''ab'', ''k'']) ORDER BY key DESC');
SELECT same('SELECT * FROM @ WHERE key NOT IN (''k0003'', ''k0001'') AND key < ''k0010''');
SELECT same('SELECT * FROM @ WHERE key LIKE ''k001%''');
SELECT same('SELECT * FROM @ WHERE key LIKE ''k0%1''');
SELECT same('SELECT * FROM @ WHERE key LIKE ''a\%b''');
SELECT same('SELECT * FROM @ WHERE key LIKE ''a_b''');
SELECT same('SELECT * FROM @ WHERE key LIKE ''%b''');
SELECT same('SELECT * FROM @ WHERE key ^# ''k19''');
SELECT same('SELECT * FROM @ WHERE starts_with(key, ''k199'')');
SELECT same('SELECT * FROM @ WHERE (key, value) > (''k1998'', ''v1998'')');
SELECT same('SELECT * FROM @ WHERE key = ''k0001'' OR key = ''k0002''');

-- Orders, limits
SELECT same('SELECT * FROM @ ORDER BY key');
SELECT same('SELECT * FROM @ ORDER BY key DESC LIMIT 3');
SELECT same('SELECT * FROM @ WHERE key > ''k0100'' ORDER BY key LIMIT 5 OFFSET 2');
SELECT same('SELECT * FROM @ WHERE key < ''k0100'' ORDER BY key DESC LIMIT 5');
SELECT same('SELECT * FROM @ ORDER BY key, value');
SELECT same('SELECT * FROM @ ORDER BY value LIMIT 2');
SELECT same('SELECT DISTINCT key FROM @ WHERE key LIKE ''k000%'' ORDER BY key');
SELECT same('SELECT min(key), max(key) FROM @');
SELECT same('SELECT min(key) FROM @ WHERE key > ''k0500''');
SELECT same('SELECT max(key) FROM @ WHERE key LIKE ''k05%''');

-- Counting
SELECT same('SELECT count(*) FROM @');
SELECT same('SELECT count(*), count(key) FROM @ WHERE key >= ''k0100'' AND key < ''k0200''');
SELECT same('SELECT count(*) + 1 FROM @ WHERE key IN (''k0001'', ''k0002'', ''no'')');
SELECT same('SELECT count(value) FROM @');
SELECT same('SELECT count(*) FROM @ WHERE value > ''v5''');
SELECT same('SELECT count(*) FROM @ WHERE key LIKE ''k05%''');
SELECT same('SELECT count(*) FILTER (WHERE key > ''k'') FROM @');
SELECT same('SELECT count(*) FROM @ HAVING count(*) > 1');
SELECT same('SELECT count(*) FROM @ WHERE false');
SELECT same('SELECT left(key, 2), count(*) FROM @ GROUP BY 1 ORDER BY 1');

-- Joins: a path with a parameter, begun again for every row
SELECT same('SELECT h2.key, x.value FROM h h2 JOIN @ x ON x.key = h2.key WHERE h2.value IN (''v7'', ''v8'', ''v9'')');
SELECT same('SELECT i, (SELECT value FROM @ x WHERE x.key = ''k000'' || i) FROM generate_series(1, 12) i');
SELECT same('SELECT i, (SELECT count(*) FROM @ x WHERE x.key LIKE ''k000%'') FROM generate_series(1, 3) i');
SELECT same('SELECT i, (SELECT count(*) FROM @ x WHERE x.key <= ''k000'' || i) FROM generate_series(1, 3) i');
SELECT same('SELECT i, x.value FROM generate_series(1, 3) i, LATERAL (SELECT * FROM @ y WHERE y.key > ''k000'' || i ORDER BY key LIMIT 1) x');
SELECT same('SELECT i FROM generate_series(1, 3) i LEFT JOIN @ x ON x.key = ''k'' || i');
SELECT same('SELECT a.key FROM @ a JOIN @ b USING (key) WHERE a.key < ''k0003''');
SELECT same('SELECT * FROM @ WHERE key = (SELECT max(key) FROM h)');
SELECT same('SELECT * FROM @ x WHERE EXISTS (SELECT FROM h WHERE h.key = x.key AND h.value = ''v11'')');
SELECT same('SELECT x.key FROM unnest(ARRAY[''k0001'', ''k0009'']) u JOIN @ x ON x.key = u');

-- Prepared statements: a NULL, and the generic plan
PREPARE get(text) AS SELECT value FROM t WHERE key = $1;
SET plan_cache_mode = force_generic_plan;
EXPLAIN (COSTS OFF) EXECUTE get('k0001');
EXECUTE get('k0001');
EXECUTE get(NULL);
EXECUTE get('none');
PREPARE page(text, int) AS SELECT key FROM t WHERE key > $1 ORDER BY key LIMIT $2;
EXPLAIN (COSTS OFF) EXECUTE page('k0001', 2);
EXECUTE page('k0001', 2);
PREPARE many(text[]) AS SELECT value FROM t WHERE key = ANY ($1) ORDER BY key;
EXPLAIN (COSTS OFF) EXECUTE many('{k0001}');
EXECUTE many('{k0003,k0001,none,NULL}');
EXECUTE many(NULL);
RESET plan_cache_mode;

-- A cursor backward and forward
BEGIN;
DECLARE c SCROLL CURSOR FOR SELECT key FROM t WHERE key < 'k0004' ORDER BY key;
FETCH 5 FROM c;
FETCH BACKWARD 2 FROM c;
FETCH FIRST FROM c;
FETCH LAST FROM c;
COMMIT;

-- What this transaction has written is seen, in order
BEGIN;
INSERT INTO t VALUES ('k0001a', 'new');
DELETE FROM t WHERE key = 'k0002';
UPDATE t SET value = 'changed' WHERE key = 'k0003';
SELECT * FROM t WHERE key >= 'k0001' AND key < 'k0005' ORDER BY key DESC;
SELECT * FROM t WHERE key IN ('k0001', 'k0001a', 'k0002', 'k0003');
SELECT count(*) FROM t WHERE key ^@ 'k000';
ROLLBACK;
SELECT count(*) FROM t WHERE key ^@ 'k000';

-- A key in another collation than the store's order: equality only
CREATE FOREIGN TABLE icu (key text COLLATE "und-x-icu" NOT NULL,
	value text NOT NULL) SERVER kvlsm;
INSERT INTO icu VALUES ('a', '1'), ('B', '2'), ('c', '3');
EXPLAIN (COSTS OFF) SELECT * FROM icu WHERE key IN ('a', 'B');
SELECT * FROM icu WHERE key IN ('a', 'B') ORDER BY value;
EXPLAIN (COSTS OFF) SELECT * FROM icu WHERE key < 'b' ORDER BY key;
SELECT * FROM icu WHERE key < 'b' ORDER BY key;
SELECT * FROM icu ORDER BY key DESC;
SELECT min(key), max(key) FROM icu;
EXPLAIN (COSTS OFF) SELECT * FROM icu WHERE key < 'b' COLLATE "C";
SELECT * FROM icu WHERE key < 'b' COLLATE "C" ORDER BY key;
EXPLAIN (COSTS OFF) SELECT * FROM t WHERE key = 'k' COLLATE "und-x-icu";
EXPLAIN (COSTS OFF) SELECT key FROM t ORDER BY key COLLATE "und-x-icu";
CREATE COLLATION nocase (provider = icu, locale = 'und-u-ks-level2',
	deterministic = false);
CREATE FOREIGN TABLE nd (key text COLLATE nocase NOT NULL,
	value text NOT NULL) SERVER kvlsm;
INSERT INTO nd VALUES ('a', '1'), ('A', '2');
EXPLAIN (COSTS OFF) SELECT * FROM nd WHERE key = 'a';
SELECT * FROM nd WHERE key = 'a' ORDER BY value;

-- A binary key
CREATE FOREIGN TABLE b (key bytea NOT NULL, value bytea NOT NULL)
	SERVER kvlsm;
INSERT INTO b SELECT ('\x' || k)::bytea, 'v' FROM unnest(
	ARRAY['00', '0000', '0001', '01', 'fe', 'ff', 'ff00', 'ffff', 'ffffff']) k;
SELECT array_agg(key ORDER BY key) FROM b WHERE key > '\x00';
SELECT array_agg(key ORDER BY key) FROM b WHERE key >= '\x0000' AND key < '\xff';
SELECT array_agg(key ORDER BY key DESC) FROM b WHERE key <= '\xff00';
SELECT array_agg(key ORDER BY key) FROM b WHERE key > '\xff';
SELECT array_agg(key) FROM b WHERE key IN ('\xffff', '\x00', '\x02');
EXPLAIN (COSTS OFF) SELECT * FROM b WHERE key > '\xff' ORDER BY key DESC;

-- Values as long as no key can be
SELECT count(*) FROM t WHERE key = repeat('k', 100000);
SELECT count(*) FROM t WHERE key > repeat('k', 100000);
SELECT count(*) FROM t WHERE key < repeat('k', 100000);
SELECT count(*) FROM t WHERE key IN ('k', repeat('k', 70000));
SELECT count(*) FROM t WHERE key ^@ repeat('k', 70000);

-- What the store did for a query
SELECT kvlsm_flush(), kvlsm_compact();
DELETE FROM t WHERE key ^@ 'k001';
CREATE FUNCTION cost(query text) RETURNS TABLE (what text, n text)
LANGUAGE plpgsql AS $$
DECLARE plan jsonb;
BEGIN
	-- the second time, when the blocks are in the cache
	FOR i IN 1..2 LOOP
		EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) ' || query INTO plan;
	END LOOP;
	RETURN QUERY SELECT key, CASE WHEN key = 'KV Blocks Cached'
			THEN (value::int > 0)::text ELSE value END
		FROM jsonb_each_text(plan #> '{0,Plan}') WHERE key LIKE 'KV %';
END $$;
SELECT * FROM cost('SELECT * FROM t WHERE key = ''k0042''');
SELECT * FROM cost('SELECT * FROM t WHERE key = ''k0042x''');
SELECT * FROM cost('SELECT * FROM t WHERE key >= ''k0005'' AND key < ''k0025''');
SELECT * FROM cost('SELECT * FROM t WHERE key >= ''k0005'' AND key < ''k0025'' ORDER BY key DESC');
SELECT * FROM cost('SELECT count(*) FROM t');
CREATE FUNCTION lines(query text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (ANALYZE, BUFFERS, COSTS OFF, TIMING OFF) '
		|| query LOOP
		IF line ~ 'KV|Scan' THEN
			RETURN NEXT regexp_replace(line, 'cached=[1-9]\d*', 'cached=some');
		END IF;
	END LOOP;
END $$;
SELECT lines('SELECT * FROM t WHERE key = ''k0042''');

-- Estimates without ANALYZE
SELECT kvlsm_flush();
CREATE FUNCTION rows(query text) RETURNS int LANGUAGE plpgsql AS $$
DECLARE line text;
BEGIN
	EXECUTE 'EXPLAIN (FORMAT JSON) ' || query INTO line;
	RETURN (line::jsonb #>> '{0,Plan,Plan Rows}')::int;
END $$;
SELECT rows('SELECT * FROM t') BETWEEN 1500 AND 2500 AS of_all,
	rows('SELECT * FROM t WHERE key = ''x''') AS of_key;

-- ANALYZE: the statistics of any table
ANALYZE VERBOSE t;
SELECT attname, n_distinct, null_frac,
	array_length(histogram_bounds::text::text[], 1)
	FROM pg_stats WHERE schemaname = 'pushdown' AND tablename = 't'
	ORDER BY 1;
SELECT rows('SELECT * FROM t WHERE value = ''v7''') AS of_value,
	rows('SELECT * FROM t WHERE value LIKE ''v1%''') BETWEEN 500 AND 1500
		AS of_pattern,
	rows('SELECT * FROM t WHERE key >= ''k1000'' AND key < ''k1500''')
		BETWEEN 300 AND 700 AS of_range,
	rows('SELECT * FROM h JOIN t USING (key)') BETWEEN 1500 AND 2500
		AS of_join;

DROP SCHEMA pushdown CASCADE;
