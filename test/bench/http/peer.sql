-- SPDX-License-Identifier: PostgreSQL
--
-- The peer: a table with a primary key in the exposed schema, with the same
-- rows; and the least that PostgREST can be asked for.
\set ON_ERROR_STOP on
CREATE TABLE kv_http.heap (key text COLLATE "C" PRIMARY KEY,
	value jsonb NOT NULL);
GRANT SELECT ON kv_http.heap TO kv_reader;
GRANT SELECT, INSERT, UPDATE ON kv_http.heap TO kv_writer;
CREATE FUNCTION kv_http.constant(text) RETURNS json LANGUAGE sql IMMUTABLE
	RETURN '{"key":"user:000000","value":1}'::json;
CREATE FUNCTION kv_http.constant_put(jsonb) RETURNS json LANGUAGE sql VOLATILE
	RETURN '{"key":"user:000000"}'::json;
GRANT EXECUTE ON FUNCTION kv_http.constant(text), kv_http.constant_put(jsonb)
	TO kv_reader, kv_writer;
INSERT INTO kv_http.heap
	SELECT 'user:' || lpad(i::text, 6, '0'), jsonb_build_object('n', i,
		'text', repeat('0123456789', 8))
	FROM generate_series(0, :n - 1) i;
SELECT count(kv_put(key, value)) FROM kv_http.heap;
SELECT kvlsm_flush();
VACUUM ANALYZE kv_http.heap;
CHECKPOINT;
NOTIFY pgrst, 'reload schema';
