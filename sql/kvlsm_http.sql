-- SPDX-License-Identifier: PostgreSQL
--
-- The HTTP face of kvlsm: what PostgREST may call, and nothing else.
--
-- Run once per database, by psql, as a user who may create schemas, after
-- CREATE EXTENSION kvlsm:
--
--     psql -d app -f "$(pg_config --sharedir)/extension/kvlsm_http.sql"
--
-- Running it again replaces the functions and keeps every grant; grants for
-- the roles of docs/http/roles.sql are made there.  Afterwards:
-- NOTIFY pgrst, 'reload schema'.
--
-- kv_http holds one function a route.  Each has one unnamed argument, because
-- PostgREST then hands over the request body as it is: JSON null survives, a
-- misspelt field is a 400 that names it instead of a 404, and a key never
-- passes through PostgREST's filter grammar.  All are SECURITY INVOKER: the
-- privileges of the store's table decide who may read and write.
-- kv_private holds their helpers and is not exposed.
--
-- The store is the table public.kv.  Another one:
--     ALTER DATABASE app SET kv_http.store = 'sessions.kv';
--
-- An everyday answer such as "key not found" is returned, not raised: it
-- costs no aborted transaction and no line in the server's log.

\set ON_ERROR_STOP on
BEGIN;
SET LOCAL client_min_messages = warning;
SET LOCAL check_function_bodies = on;

CREATE SCHEMA IF NOT EXISTS kv_http;
CREATE SCHEMA IF NOT EXISTS kv_private;
REVOKE ALL ON SCHEMA kv_http, kv_private FROM PUBLIC;

-- The functions below find the extension wherever it was created, and
-- nothing else: SET search_path FROM CURRENT stores this path in each.
DO $$
DECLARE
	home text := (SELECT quote_ident(nspname)
				  FROM pg_catalog.pg_extension e
				  JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
				  WHERE extname = 'kvlsm');
BEGIN
	IF home IS NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'undefined_object',
			MESSAGE = 'the extension kvlsm is not installed here',
			HINT = 'Run CREATE EXTENSION kvlsm first.';
	END IF;
	PERFORM set_config('search_path',
					   'pg_catalog, ' || home || ', pg_temp', true);
END
$$;

-- ---------------------------------------------------------------------------
-- Helpers
-- ---------------------------------------------------------------------------

CREATE OR REPLACE FUNCTION kv_private.store() RETURNS regclass
LANGUAGE sql STABLE PARALLEL SAFE
RETURN coalesce(nullif(current_setting('kv_http.store', true), ''),
				'public.kv')::regclass;
COMMENT ON FUNCTION kv_private.store() IS
	'the store that HTTP requests read and write';

-- A body for PostgREST's status and error format; the transaction goes on.
CREATE OR REPLACE FUNCTION kv_private.answer(status int, code text,
											 message text, details text)
RETURNS json
LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT
AS $$
BEGIN
	PERFORM set_config('response.status', status::text, true);
	RETURN row_to_json(r)
	FROM (SELECT code, message, details, NULL::text AS hint) r;
END
$$;
COMMENT ON FUNCTION kv_private.answer(int, text, text, text) IS
	'answer an HTTP request with a status and an error body, without raising';

-- What is wrong with {"key":..,"value":..,"ttl_seconds":..}; NULL = nothing.
CREATE OR REPLACE FUNCTION kv_private.item_fault(item jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
	WHEN jsonb_typeof(item) IS DISTINCT FROM 'object'
		THEN 'not a JSON object'
	WHEN NOT item ? 'key'
		THEN 'missing field "key"'
	WHEN NOT item ? 'value'
		THEN 'missing field "value"'
	WHEN item - '{key,value,ttl_seconds}'::text[] <> '{}'
		THEN format('unknown field %s',
			(SELECT to_json(min(f))
			 FROM jsonb_object_keys(item - '{key,value,ttl_seconds}'::text[]) f))
	WHEN jsonb_typeof(item -> 'key') <> 'string'
		THEN 'field "key" must be a string'
	WHEN item ->> 'key' = ''
		THEN 'field "key" must not be empty'
	WHEN coalesce(jsonb_typeof(item -> 'ttl_seconds'), 'null') = 'null'
		THEN NULL
	WHEN jsonb_typeof(item -> 'ttl_seconds') <> 'number'
		THEN 'field "ttl_seconds" must be a number'
	WHEN (item -> 'ttl_seconds')::numeric NOT BETWEEN 0.000001 AND 1e11
		THEN 'field "ttl_seconds" must be greater than 0 and at most 1e11'
	END;
COMMENT ON FUNCTION kv_private.item_fault(jsonb) IS
	'what is wrong with an item to put, or NULL';

-- Parameters of a raw query string as one object.  An empty value is the same
-- as none.  Forms and URLSearchParams write a space as +, and a plus as %2B.
CREATE OR REPLACE FUNCTION kv_private.query(raw text, known text[])
RETURNS jsonb
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path FROM CURRENT
AS $$
DECLARE
	pair text;
	name text;
	val text;
	result jsonb := '{}';
BEGIN
	FOREACH pair IN ARRAY string_to_array(raw, '&') LOOP
		CONTINUE WHEN pair = '';
		name := kvlsm_uridecode(replace(split_part(pair, '=', 1), '+', '%20'));
		val := kvlsm_uridecode(replace(
			substr(pair, strpos(pair || '=', '=') + 1), '+', '%20'));
		IF name <> ALL (known) THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('unknown parameter %s', to_json(name)),
				HINT = 'Known are: ' || array_to_string(known, ', ') || '.';
		ELSIF result ? name THEN
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('parameter "%s" is given twice', name);
		END IF;
		result := result || jsonb_build_object(name, nullif(val, ''));
	END LOOP;
	RETURN result;
END
$$;
COMMENT ON FUNCTION kv_private.query(text, text[]) IS
	'the parameters of a still percent-encoded query string';

CREATE OR REPLACE FUNCTION kv_private.flag(params jsonb, name text)
RETURNS boolean
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path FROM CURRENT
AS $$
BEGIN
	CASE params ->> name
		WHEN 'true', '1' THEN RETURN true;
		WHEN 'false', '0' THEN RETURN false;
		ELSE
			IF params ->> name IS NULL THEN
				RETURN false;
			END IF;
			RAISE EXCEPTION USING
				ERRCODE = 'invalid_parameter_value',
				MESSAGE = format('parameter "%s" must be true or false', name);
	END CASE;
END
$$;
COMMENT ON FUNCTION kv_private.flag(jsonb, text) IS
	'a boolean parameter of a query string, false when absent';

-- ---------------------------------------------------------------------------
-- Routes
-- ---------------------------------------------------------------------------

-- A JSON string is stored as text, so that psql shows it without quotes.
CREATE OR REPLACE FUNCTION kv_http.kv_put(jsonb) RETURNS json
LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT
AS $$
DECLARE
	fault text := kv_private.item_fault($1);
	k text := $1 ->> 'key';
	v jsonb := $1 -> 'value';
	ttl interval;
BEGIN
	IF fault IS NOT NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = fault,
			HINT = 'Send {"key":"...","value":...}, "ttl_seconds" if wanted.';
	END IF;
	ttl := make_interval(secs => ($1 ->> 'ttl_seconds')::float8);
	IF jsonb_typeof(v) = 'string' THEN
		PERFORM kv_put(k, v #>> '{}', ttl, kv_private.store());
	ELSE
		PERFORM kv_put(k, v, ttl, kv_private.store());
	END IF;
	IF ttl IS NULL THEN
		RETURN row_to_json(r) FROM (SELECT k AS key) r;
	END IF;
	RETURN row_to_json(r)
	FROM (SELECT k AS key, now() + ttl AS expires_at) r;
END
$$;
COMMENT ON FUNCTION kv_http.kv_put(jsonb) IS
	'POST /kv/put: store one value, in place of any older one';

CREATE OR REPLACE FUNCTION kv_http.kv_batch_put(jsonb) RETURNS json
LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT
AS $$
DECLARE
	items jsonb := $1 -> 'items';
	fault text;
	n bigint;
BEGIN
	fault := CASE
		WHEN jsonb_typeof($1) <> 'object' THEN 'not a JSON object'
		WHEN items IS NULL THEN 'missing field "items"'
		WHEN $1 - 'items' <> '{}' THEN format('unknown field %s',
			(SELECT to_json(min(f)) FROM jsonb_object_keys($1 - 'items') f))
		WHEN jsonb_typeof(items) <> 'array'
			THEN 'field "items" must be an array'
		END;
	IF fault IS NOT NULL THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = fault,
			HINT = 'Send {"items":[{"key":"...","value":...}, ...]}.';
	END IF;

	SELECT format('items[%s]: %s', ord - 1, kv_private.item_fault(item))
	INTO fault
	FROM jsonb_array_elements(items) WITH ORDINALITY e (item, ord)
	WHERE kv_private.item_fault(item) IS NOT NULL
	ORDER BY ord
	LIMIT 1;
	IF FOUND THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'invalid item, nothing was written',
			DETAIL = fault;
	END IF;

	IF jsonb_path_exists(items, '$[*].ttl_seconds') THEN
		SELECT jsonb_agg(item - 'ttl_seconds' ||
						 jsonb_build_object('ttl', item -> 'ttl_seconds')
						 ORDER BY ord)
		INTO items
		FROM jsonb_array_elements(items) WITH ORDINALITY e (item, ord);
	END IF;
	n := kv_batch_put(items, kv_private.store());
	RETURN row_to_json(r) FROM (SELECT n AS count) r;
END
$$;
COMMENT ON FUNCTION kv_http.kv_batch_put(jsonb) IS
	'POST /kv/batch-put: store many values, all or none';

-- The argument is the key as it stands in the path, still percent-encoded.
CREATE OR REPLACE FUNCTION kv_http.kv_read(text) RETURNS json
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT
AS $$
DECLARE
	k text := kvlsm_uridecode($1);
	v jsonb;
BEGIN
	IF k = '' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'key must not be empty';
	END IF;
	v := kv_get_json(k, kv_private.store());
	IF v IS NULL THEN
		RETURN kv_private.answer(404, 'KV404', 'key not found', k);
	END IF;
	RETURN row_to_json(r) FROM (SELECT k AS key, v AS value) r;
END
$$;
COMMENT ON FUNCTION kv_http.kv_read(text) IS
	'GET /kv/read/:key: one value, or 404';

-- The key, still percent-encoded, and the query string if there is one: a
-- question mark inside the key is %3F here.
CREATE OR REPLACE FUNCTION kv_http.kv_delete(text) RETURNS json
LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT
AS $$
DECLARE
	k text := kvlsm_uridecode(split_part($1, '?', 1));
	params jsonb := kv_private.query(
		substr($1, strpos($1 || '?', '?') + 1), '{strict}');
	must_exist boolean := kv_private.flag(params, 'strict');
	removed boolean;
BEGIN
	IF k = '' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'key must not be empty';
	END IF;
	removed := kv_delete(k, kv_private.store());
	IF must_exist AND NOT removed THEN
		RETURN kv_private.answer(404, 'KV404', 'key not found', k);
	END IF;
	RETURN row_to_json(r) FROM (SELECT k AS key, removed AS deleted) r;
END
$$;
COMMENT ON FUNCTION kv_http.kv_delete(text) IS
	'DELETE /kv/delete/:key: remove one key; a missing one is no error';

-- The argument is the raw query string.  One row more than asked for is read
-- to know whether there is a next page.
CREATE OR REPLACE FUNCTION kv_http.kv_range(text) RETURNS json
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT
AS $$
DECLARE
	params jsonb := kv_private.query($1,
		'{start,end,prefix,after,limit,reverse,keys_only}');
	backward boolean := kv_private.flag(params, 'reverse');
	keys_only boolean := kv_private.flag(params, 'keys_only');
	n int := 100;
	items text;
	last_key text;
	found_rows bigint;
BEGIN
	IF params ->> 'limit' !~ '^[0-9]{1,4}$'
		OR (params ->> 'limit')::int NOT BETWEEN 1 AND 1000 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'parameter "limit" must be from 1 to 1000';
	END IF;
	n := coalesce((params ->> 'limit')::int, n);

	IF keys_only THEN
		SELECT string_agg(row_to_json((SELECT i FROM (SELECT key) i))::text,
						  ',' ORDER BY ord)
				   FILTER (WHERE ord <= n),
			   max(key) FILTER (WHERE ord = n), count(*)
		INTO items, last_key, found_rows
		FROM kv_range(params ->> 'start', params ->> 'end',
					  params ->> 'prefix', params ->> 'after', n + 1,
					  backward, kv_private.store())
			 WITH ORDINALITY r (key, value, ord);
	ELSE
		SELECT string_agg(row_to_json((SELECT i FROM (SELECT key, value) i))::text,
						  ',' ORDER BY ord) FILTER (WHERE ord <= n),
			   max(key) FILTER (WHERE ord = n), count(*)
		INTO items, last_key, found_rows
		FROM kv_range_json(params ->> 'start', params ->> 'end',
						   params ->> 'prefix', params ->> 'after', n + 1,
						   backward, kv_private.store())
			 WITH ORDINALITY r (key, value, ord);
	END IF;
	IF found_rows <= n THEN
		last_key := NULL;
	END IF;
	RETURN format('{"items":[%s],"next":%s}', coalesce(items, ''),
				  coalesce(to_json(last_key)::text, 'null'));
END
$$;
COMMENT ON FUNCTION kv_http.kv_range(text) IS
	'GET /kv/range: keys and values in key order, by bounds or prefix';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA kv_http, kv_private FROM PUBLIC;
COMMIT;
