-- kv_range and kv_multi_get: all parameters alone and together.

SELECT kv_create_store('r');
SET kvlsm.default_store = 'r';
SELECT * FROM kv_range();
SELECT kv_put_many(array_agg('k' || to_char(i, 'FM00')), array_agg('v' || i))
FROM generate_series(1, 20) i;
SELECT kv_put('a', 'first'), kv_put('z', 'last'), kv_put('ключ', 'utf8');

-- bounds: start included, end excluded
SELECT * FROM kv_range('k05', 'k08');
SELECT * FROM kv_range('k05', 'k05');
SELECT * FROM kv_range('k18');
SELECT * FROM kv_range(end_key => 'k02');
SELECT * FROM kv_range(start_key => 'zz');

-- prefix, alone and with bounds
SELECT * FROM kv_range(prefix => 'k1', max_rows => 3);
SELECT * FROM kv_range('k05', 'k13', prefix => 'k1');
SELECT * FROM kv_range(prefix => 'none');
SELECT * FROM kv_range(prefix => 'клю');
SELECT count(*) FROM kv_range(prefix => '');

-- after_key: exclusive, in the direction of the scan
SELECT * FROM kv_range(after_key => 'k18');
SELECT * FROM kv_range(after_key => 'k02', reverse => true);
SELECT * FROM kv_range(prefix => 'k', after_key => 'k09', max_rows => 2);
SELECT * FROM kv_range('k05', 'k10', after_key => 'k01', max_rows => 1);
SELECT * FROM kv_range('k05', 'k10', after_key => 'k12');

-- reverse keeps the meaning of the bounds
SELECT * FROM kv_range('k05', 'k08', reverse => true);
SELECT * FROM kv_range(prefix => 'k1', reverse => true, max_rows => 3);
SELECT * FROM kv_range(max_rows => 2, reverse => true);

-- every combination against the same written as a query on the table
CREATE TABLE bounds (b text COLLATE "C");
INSERT INTO bounds VALUES (NULL), ('a'), ('k'), ('k1'), ('k10'), ('k105'), ('z');
SELECT count(*) AS combinations, count(*) FILTER (WHERE got IS DISTINCT FROM want) AS wrong
FROM bounds s(s), bounds e(e), bounds p(p), bounds a(a), (VALUES (false), (true)) rev(rev),
	(VALUES (0), (1), (3), (100)) n(n),
	LATERAL (SELECT array_agg(key ORDER BY ord) FROM
		kv_range(s, e, p, a, n, rev) WITH ORDINALITY r(key, value, ord)) g(got),
	LATERAL (SELECT array_agg(key ORDER BY i) FROM (
		SELECT key, row_number() OVER (ORDER BY CASE WHEN NOT rev THEN key END,
									   CASE WHEN rev THEN key END DESC) i FROM r
		WHERE (s IS NULL OR key >= s) AND (e IS NULL OR key < e)
			AND (p IS NULL OR starts_with(key, p))
			AND (a IS NULL OR CASE WHEN rev THEN key < a ELSE key > a END)) q
		WHERE i <= n) w(want)
WHERE s IS NULL OR e IS NULL OR s <= e;

-- with own writes, deletes and overwrites in between
BEGIN;
SELECT kv_put('k05', 'own'), kv_put('k055', 'new'), kv_delete('k06'), kv_delete('k07');
SELECT kv_put('k07', 'again');
SELECT * FROM kv_range('k04', 'k09');
SELECT * FROM kv_range('k04', 'k09', reverse => true);
-- what the statement itself writes is not in its range
SELECT key, kv_put(key || '!', value) FROM kv_range('k04', 'k06');
SELECT key FROM kv_range('k04', 'k06');
ROLLBACK;
SELECT * FROM kv_range('k04', 'k09');

-- JSON
SELECT kv_put('j1', '{"a": [1]}'::jsonb), kv_put('j2', '\x00'::bytea);
SELECT * FROM kv_range_json(prefix => 'j');
SELECT * FROM kv_range_json('k01', 'k03', reverse => true);

-- from memory and from files
SELECT kvlsm_flush();
SELECT kv_put('k05', 'newer'), kv_delete('k06');
SELECT * FROM kv_range('k04', 'k09');
SELECT kvlsm_compact();
SELECT * FROM kv_range('k04', 'k09', reverse => true);

-- pages to the end
DO $$
DECLARE
	last text;
	pages int := 0;
	seen int := 0;
	n int;
BEGIN
	LOOP
		SELECT max(key COLLATE "C"), count(*) INTO last, n
		FROM kv_range_json(after_key => last, max_rows => 7);
		EXIT WHEN n = 0;
		pages := pages + 1;
		seen := seen + n;
	END LOOP;
	RAISE NOTICE '% rows on % pages', seen, pages;
END
$$;

-- a key that is no text
SELECT kv_put('\xff00'::bytea, '\x01'::bytea);
SELECT count(*) FROM kv_range(prefix => 'k');
\set VERBOSITY sqlstate
SELECT count(*) FROM kv_range();
SELECT kv_range(prefix => 'j');
-- bad arguments
SELECT * FROM kv_range('b', 'a');
SELECT * FROM kv_range('b', 'a', reverse => true);
SELECT * FROM kv_range(max_rows => -1);
SELECT * FROM kv_range(max_rows => 10001);
\set VERBOSITY default
SELECT kv_delete('\xff00'::bytea);

-- the planner knows how many rows to expect
CREATE FUNCTION planned_rows(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
BEGIN
	EXECUTE 'EXPLAIN ' || query INTO line;
	RETURN substring(line FROM 'rows=\d+');
END
$$;
SELECT planned_rows('SELECT * FROM kv_range(max_rows => 17)'),
	planned_rows('SELECT * FROM kv_range_json()');

-- kv_multi_get: the order of the input, NULL for what is missing
SELECT * FROM kv_multi_get(ARRAY['k03', 'none', 'k01', NULL, 'k03']);
SELECT * FROM kv_multi_get('{}');
SELECT * FROM kv_multi_get(NULL);
DROP TABLE bounds;
DROP FUNCTION planned_rows;
DROP FOREIGN TABLE r;
