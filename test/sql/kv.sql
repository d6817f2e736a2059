-- One key at a time: put, get, delete, exists, for text, jsonb and bytea.

SELECT kv_create_store('kv');
\d kv

-- untyped literals are text
SELECT kv_put('a', '1');
SELECT kv_get('a'), kv_exists('a'), kv_get('b'), kv_exists('b');
SELECT kv_put('a', '2');
SELECT kv_get('a');
SELECT kv_delete('a'), kv_delete('b');
SELECT kv_delete('a');
SELECT kv_get('a'), kv_exists('a');

-- the empty value is a value
SELECT kv_put('empty', '');
SELECT kv_get('empty') = '' AS is_empty, kv_exists('empty');

-- put and get of one statement: the get sees what was there before
SELECT kv_put('one', 'new'), kv_get('one') IS NULL AS not_yet;
SELECT kv_get('one');

-- JSON; a JSON string and a text value are the same value
SELECT kv_put('j:object', '{"b": [1, 2, {"c": null}], "a": 1.50}'::jsonb);
SELECT kv_put('j:array', '[1, "x", null]'::jsonb);
SELECT kv_put('j:number', '12345678901234567890.5'::jsonb);
SELECT kv_put('j:bool', 'true'::jsonb);
SELECT kv_put('j:null', 'null'::jsonb);
SELECT kv_put('j:string', '"a \"b\" ü"'::jsonb);
SELECT kv_put('j:text', 'a "b" ü');
SELECT kv_put('j:empty', '{}'::jsonb);
SELECT k, kv_get(k), kv_get_json(k), convert_from(kv_get_bytes(k), 'UTF8')
FROM unnest('{j:object,j:array,j:number,j:bool,j:null,j:string,j:text,j:empty}'::text[]) k;
SELECT kv_get('j:string') = kv_get('j:text') AS same;

-- binary values and keys
SELECT kv_put('bin', '\x00ff10'::bytea);
SELECT kv_get_bytes('bin'), kv_get_json('bin');
SELECT kv_put('\x00ff'::bytea, '\x01'::bytea);
SELECT kv_get_bytes('\x00ff'::bytea);
SELECT kv_delete('\x00ff'::bytea), kv_get_bytes('\x00ff'::bytea);
-- a text key is the bytes of its characters
SELECT kv_get_bytes(convert_to('bin', 'UTF8'));
SELECT kv_get('bin');

-- odd keys
SELECT kv_put(k, 'value of ' || k)
FROM unnest(ARRAY['a/b', 'a b', '%', 'ключ', E'\n', '"', '''', '\', '.', ' ']) k;
SELECT count(*) FROM unnest(ARRAY['a/b', 'a b', '%', 'ключ', E'\n', '"', '''', '\', '.', ' ']) k
WHERE kv_get(k) = 'value of ' || k;

-- large, compressible and not; toasted in a table first
CREATE TABLE big (id int, v text);
INSERT INTO big VALUES (1, repeat('abc', 100000)),
	(2, (SELECT string_agg(md5(i::text), '') FROM generate_series(1, 10000) i));
SELECT kv_put('big' || id, v) FROM big;
SELECT id, kv_get('big' || id) = v AS same, length(kv_get('big' || id)) FROM big ORDER BY id;
SELECT kv_put(repeat('k', 4096), 'longest key');
SELECT kv_get(repeat('k', 4096));
-- larger than a memtable allows in a batch
SELECT kv_put('huge', repeat('0123456789', 800000));
SELECT length(kv_get('huge')), md5(kv_get('huge')) = md5(repeat('0123456789', 800000)) AS same;
SELECT kv_delete('huge');

-- NULL: reads nothing, writes nothing
SELECT kv_get(NULL), kv_exists(NULL), kv_get_json(NULL), kv_get_bytes(NULL::text);

-- prepared, in plpgsql, in a loop
PREPARE put AS SELECT kv_put($1, $2);
EXECUTE put('p1', 'v1');
EXECUTE put('p2', 'v2');
SELECT kv_get('p1'), kv_get('p2');
DO $$
BEGIN
	FOR i IN 1..20 LOOP
		PERFORM kv_put('loop', i::text);
		IF kv_get('loop') IS DISTINCT FROM i::text THEN
			RAISE EXCEPTION 'own write % not seen', i;
		END IF;
	END LOOP;
END
$$;
SELECT kv_get('loop');

-- a store given by name, by schema, by setting
CREATE SCHEMA other;
SELECT kv_create_store('other.kv');
SELECT kv_put('a', 'in other', store => 'other.kv');
SELECT kv_get('a'), kv_get('a', 'other.kv');
SET kvlsm.default_store = 'other.kv';
SELECT kv_get('a');
RESET kvlsm.default_store;
SET search_path = other, public;
SELECT kv_get('a');
RESET search_path;
SELECT kv_get('a');
SELECT kv_create_store('Odd "name"');
SELECT kv_create_store('"Odd ""name"""', '{"updatable": false, "batch_size": 10}');
SELECT kv_put('a', 'odd', store => '"Odd ""name"""'), kv_get('a', '"Odd ""name"""');
SELECT kv_get('a', '"Odd ""name"""');
SELECT kv_create_store('kv');
SELECT kv_create_store(NULL);
SELECT kv_create_store('x', '[1]');
SELECT kv_create_store('x', '{"nonsense": 1}');
DROP SCHEMA other CASCADE;
DROP FOREIGN TABLE "Odd ""name""";

-- percent-encoding
SELECT kvlsm_uridecode(''), kvlsm_uridecode('a%2Fb+c%20d%e2%82%ac'), kvlsm_uridecode(NULL);
\set VERBOSITY sqlstate
SELECT kvlsm_uridecode('%');
SELECT kvlsm_uridecode('%4');
SELECT kvlsm_uridecode('%zz');
SELECT kvlsm_uridecode('a%00b');
SELECT kvlsm_uridecode('%ff');
\set VERBOSITY default

-- every function is commented, writers are volatile, readers are not strict
SELECT p.oid::regprocedure AS without_comment
FROM pg_proc p JOIN pg_depend d ON d.objid = p.oid AND d.classid = 'pg_proc'::regclass
	JOIN pg_extension e ON e.oid = d.refobjid AND d.refclassid = 'pg_extension'::regclass
WHERE extname = 'kvlsm' AND obj_description(p.oid, 'pg_proc') IS NULL;
SELECT proname, provolatile, proparallel, bool_or(proisstrict) AS strict, count(*)
FROM pg_proc WHERE proname ~ '^kv_' GROUP BY 1, 2, 3 ORDER BY 1;
DROP TABLE big;
DROP FOREIGN TABLE kv;
