-- kv_batch_put and kv_put_many: all or nothing.

SELECT kv_create_store('b');
SET kvlsm.default_store = 'b';

-- what a statement raises, in full
CREATE FUNCTION fails(sql text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	code text; msg text; det text; hnt text;
BEGIN
	EXECUTE sql;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS code = RETURNED_SQLSTATE, msg = MESSAGE_TEXT,
		det = PG_EXCEPTION_DETAIL, hnt = PG_EXCEPTION_HINT;
	RETURN concat_ws(' | ', code, msg, nullif(det, ''), nullif(hnt, ''));
END
$$;

SELECT kv_batch_put('[{"key": "a", "value": 1}, {"key": "b", "value": "text"},
	{"key": "c", "value": {"x": [1, 2]}}, {"key": "d", "value": null},
	{"key": "e", "value": "ttl", "ttl": "1 hour"},
	{"key": "f", "value": [], "ttl": 3600.5}, {"key": "g", "value": 1, "ttl": null}]');
SELECT * FROM kv_range_json();
SELECT kv_get('b'), kv_get('c'), kv_get('d');
SELECT kv_batch_put('[]');
-- the last of two wins
SELECT kv_batch_put('[{"key": "a", "value": 1}, {"key": "a", "value": 2}]');
SELECT kv_get('a');

SELECT fails(format('SELECT kv_batch_put(%L)', items)) FROM (VALUES
	('[{"key": "x", "value": 1}, {"key": "y"}]'),
	('[{"key": "x", "value": 1}, {"value": 1}]'),
	('[{"key": "x", "value": 1}, {"key": "", "value": 1}]'),
	('[{"key": "x", "value": 1}, {"key": 1, "value": 1}]'),
	('[{"key": "x", "value": 1}, {"key": null, "value": 1}]'),
	('[{"key": "x", "value": 1}, 1]'),
	('[{"key": "x", "value": 1}, "s"]'),
	('[{"key": "x", "value": 1}, null]'),
	('[{"key": "x", "value": 1}, []]'),
	('[{"key": "x", "value": 1}, {"key": "y", "value": 1, "tll": 1}]'),
	('[{"key": "x", "value": 1}, {"key": "y", "value": 1, "ttl": true}]'),
	('[{"key": "x", "value": 1}, {"key": "y", "value": 1, "ttl": 0}]'),
	('[{"key": "x", "value": 1}, {"key": "y", "value": 1, "ttl": "-1 s"}]'),
	('[{"key": "x", "value": 1}, {"key": "y", "value": 1, "ttl": 1e12}]'),
	('{"key": "x", "value": 1}'), ('"x"'), ('1'), ('null')) v(items);
SELECT fails('SELECT kv_batch_put(NULL)');
SELECT kv_get('x') IS NULL AS nothing_written;
SELECT fails($$SELECT kv_batch_put(jsonb_agg(jsonb_build_object('key', i::text, 'value', i)))
	FROM generate_series(1, 10001) i$$);
SELECT kv_batch_put(jsonb_agg(jsonb_build_object('key', 'n' || i, 'value', i)))
FROM generate_series(1, 10000) i;
SELECT count(*), sum(value::int) FROM kv_range(prefix => 'n', max_rows => 10000);

SELECT kv_put_many('{p,q}', '{1,2}');
SELECT kv_put_many('{}', '{}');
SELECT kv_put_many('{p,p}', '{1,last}');
SELECT kv_get('p'), kv_get('q');
SELECT fails(sql) FROM (VALUES
	('SELECT kv_put_many(''{x,y}'', ''{1}'')'),
	('SELECT kv_put_many(''{x,NULL}'', ''{1,2}'')'),
	('SELECT kv_put_many(''{x,y}'', ''{1,NULL}'')'),
	('SELECT kv_put_many(''{x,""}'', ''{1,2}'')'),
	('SELECT kv_put_many(''{{x},{y}}'', ''{1,2}'')'),
	('SELECT kv_put_many(NULL, ''{1,2}'')'),
	('SELECT kv_put_many(''{x}'', NULL)')) v(sql);
SELECT kv_get('x') IS NULL AS nothing_written;

-- more than one batch of the log, more than the lock table takes
SELECT count(kv_put('m' || i, i::text)) FROM generate_series(1, 50000) i;
SELECT count(*) FROM b WHERE key LIKE 'm%';
-- the statement fails at its end: nothing of it stays
SELECT count(kv_put('o' || i, (1 / (1000 - i))::text)) FROM generate_series(1, 1000) i;
SELECT count(*) FROM b WHERE key LIKE 'o%';

-- a transaction that is larger than its memory; a value that is, too
BEGIN;
SET LOCAL kvlsm.write_set_memory = '1MB';
SELECT count(kv_put('big' || i, repeat('x', 100000))) FROM generate_series(1, 100) i;
SELECT kv_put('bigger', repeat('y', 3000000));
SELECT count(*), sum(length(value)) FROM kv_range(prefix => 'big');
SELECT count(*) > 0 AS in_files FROM pg_ls_tmpdir();
SELECT length(kv_get('big7')), length(kv_get('bigger'));
ROLLBACK;
SELECT count(*) FROM kv_range(prefix => 'big');
DROP FUNCTION fails;
DROP FOREIGN TABLE b;
