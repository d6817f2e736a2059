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
-- costs no aborted transaction and no line in the server's log.  So is what
-- passes by itself (a lock, a server that is starting): with Retry-After.
--
-- A version (ETag) follows from a value and its time of expiry.  A request
-- with If-Match or If-None-Match holds its key from the comparison to the
-- commit, and is answered 412, never a serialization failure, which PostgREST
-- would run again without end.

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

-- The same for what passes by itself: when to try again.
CREATE OR REPLACE FUNCTION kv_private.later(code text, message text)
RETURNS json
LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT
AS $$
BEGIN
	PERFORM set_config('response.headers', '[{"Retry-After":"1"}]', true);
	RETURN kv_private.answer(CASE code
		WHEN '55P03' THEN 409	-- somebody else holds the key
		WHEN '40P01' THEN 409
		WHEN '53400' THEN 429
		WHEN '53100' THEN 507	-- the disk is full
		ELSE 503 END, code, message, NULL);
END
$$;
COMMENT ON FUNCTION kv_private.later(text, text) IS
	'answer an HTTP request that may succeed when it is sent again';

CREATE OR REPLACE FUNCTION kv_private.refuse(fault text, hint text)
RETURNS void
LANGUAGE plpgsql VOLATILE PARALLEL SAFE SET search_path FROM CURRENT
AS $$
BEGIN
	RAISE EXCEPTION USING
		ERRCODE = 'invalid_parameter_value',
		MESSAGE = fault,
		HINT = hint;
END
$$;
COMMENT ON FUNCTION kv_private.refuse(text, text) IS
	'raises what is wrong with an HTTP request, with what to send instead';

CREATE OR REPLACE FUNCTION kv_private.header(name text) RETURNS text
LANGUAGE sql STABLE PARALLEL SAFE
RETURN nullif(current_setting('request.headers', true), '')::json ->> name;
COMMENT ON FUNCTION kv_private.header(text) IS
	'a header of the HTTP request, by its name in lower case, or NULL';

-- Looked at before anything is parsed: most requests have none.
CREATE OR REPLACE FUNCTION kv_private.has_condition() RETURNS boolean
LANGUAGE sql STABLE PARALLEL SAFE
RETURN current_setting('request.headers', true) ~ '"if-(none-)?match"';
COMMENT ON FUNCTION kv_private.has_condition() IS
	'may the HTTP request have If-Match or If-None-Match?';

CREATE OR REPLACE FUNCTION kv_private.set_etag(version text) RETURNS void
LANGUAGE sql VOLATILE SET search_path FROM CURRENT
AS $$
	SELECT set_config('response.headers',
		json_build_array(json_build_object('ETag', '"' || version || '"'))::text,
		true)
	WHERE version IS NOT NULL
$$;
COMMENT ON FUNCTION kv_private.set_etag(text) IS
	'send a version with the HTTP answer';

-- The versions that If-Match or If-None-Match lists; {*} for any; NULL: there
-- is no such header.  A weak tag never matches strongly.
CREATE OR REPLACE FUNCTION kv_private.etags(header text, strong boolean)
RETURNS text[]
LANGUAGE plpgsql STABLE PARALLEL SAFE SET search_path FROM CURRENT
AS $$
DECLARE
	raw text := kv_private.header(header);
BEGIN
	IF raw IS NULL OR btrim(raw) = '*' THEN
		RETURN string_to_array(btrim(raw), ',');
	ELSIF raw !~ '^\s*(W/)?"[^"]*"(\s*,\s*(W/)?"[^"]*")*\s*$' THEN
		PERFORM kv_private.refuse(format('malformed header %s', header),
			'Send the value of ETag as it came, with its quotes, or *.');
	END IF;
	RETURN ARRAY(SELECT m[2]
				 FROM regexp_matches(raw, '(W/)?"([^"]*)"', 'g') m
				 WHERE m[1] IS NULL OR NOT strong);
END
$$;
COMMENT ON FUNCTION kv_private.etags(text, boolean) IS
	'the versions in a conditional header of the HTTP request';

CREATE OR REPLACE FUNCTION kv_private.is_one_of(version text, tags text[])
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN version IS NOT NULL AND (tags = '{*}' OR version = ANY (tags));
COMMENT ON FUNCTION kv_private.is_one_of(text, text[]) IS
	'does a version, NULL if there is no value, match those of a header?';

-- If-Match and If-None-Match of a request that writes.  refusal is its 412,
-- or NULL: then, with hold, the key is held to the end of the transaction.
-- existed is NULL for a request without conditions.
CREATE OR REPLACE FUNCTION kv_private.check_conditions(k text, hold boolean,
	OUT refusal json, OUT existed boolean, OUT current_version text)
LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT
AS $$
DECLARE
	wanted text[] := kv_private.etags('if-match', true);
	unwanted text[] := kv_private.etags('if-none-match', false);
	held boolean := NOT hold;
BEGIN
	IF wanted IS NULL AND unwanted IS NULL THEN
		RETURN;
	END IF;
	LOOP
		SELECT e.version INTO current_version
		FROM kvlsm_http_entry(k, kv_private.store()) e;
		existed := current_version IS NOT NULL;
		IF wanted IS NOT NULL
			AND NOT kv_private.is_one_of(current_version, wanted)
			OR unwanted IS NOT NULL
			AND kv_private.is_one_of(current_version, unwanted)
		THEN
			PERFORM set_config('response.status', '412', true);
			PERFORM kv_private.set_etag(current_version);
			SELECT row_to_json(r) INTO refusal
			FROM (SELECT 'KV412' AS code, 'precondition failed' AS message,
						 k AS details, NULL::text AS hint,
						 current_version) r;
			RETURN;
		END IF;
		EXIT WHEN held;
		-- Compared again under the key's lock; what is written here is
		-- written over by the request itself.
		IF existed THEN
			held := kv_put_if_version(k, 'null', current_version,
									  store => kv_private.store());
		ELSE
			held := kv_put_if_absent(k, 'null'::jsonb,
									 store => kv_private.store());
		END IF;
		EXIT WHEN held;
	END LOOP;
END
$$;
COMMENT ON FUNCTION kv_private.check_conditions(text, boolean) IS
	'If-Match and If-None-Match of a request that writes a key';

-- What is wrong with {"key":..,"value":..,"ttl_seconds":..,"encoding":..};
-- NULL = nothing.
CREATE OR REPLACE FUNCTION kv_private.item_fault(item jsonb) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
	WHEN jsonb_typeof(item) IS DISTINCT FROM 'object'
		THEN 'not a JSON object'
	WHEN NOT item ? 'key'
		THEN 'missing field "key"'
	WHEN NOT item ? 'value'
		THEN 'missing field "value"'
	WHEN item - '{key,value,ttl_seconds,encoding}'::text[] <> '{}'
		THEN format('unknown field %s',
			(SELECT to_json(min(f)) FROM jsonb_object_keys(
				item - '{key,value,ttl_seconds,encoding}'::text[]) f))
	WHEN jsonb_typeof(item -> 'key') <> 'string'
		THEN 'field "key" must be a string'
	WHEN item ->> 'key' = ''
		THEN 'field "key" must not be empty'
	WHEN item ? 'encoding' AND item -> 'encoding' <> '"base64"'
		THEN 'field "encoding" must be "base64"'
	WHEN item ? 'encoding' AND (
			jsonb_typeof(item -> 'value') <> 'object'
			OR (item -> 'value') - '$base64' <> '{}'
			OR jsonb_typeof(item #> '{value,$base64}') IS DISTINCT FROM 'string'
			OR item #>> '{value,$base64}' !~
			   '^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$')
		THEN 'field "value" must be {"$base64":"..."}'
	WHEN coalesce(jsonb_typeof(item -> 'ttl_seconds'), 'null') = 'null'
		THEN NULL
	WHEN jsonb_typeof(item -> 'ttl_seconds') <> 'number'
		THEN 'field "ttl_seconds" must be a number'
	WHEN (item -> 'ttl_seconds')::numeric NOT BETWEEN 0.000001 AND 1e11
		THEN 'field "ttl_seconds" must be greater than 0 and at most 1e11'
	END;
COMMENT ON FUNCTION kv_private.item_fault(jsonb) IS
	'what is wrong with an item to put, or NULL';

-- What is wrong with {"FIELD":..}; NULL = nothing.
CREATE OR REPLACE FUNCTION kv_private.body_fault(body jsonb, field text)
RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE
	WHEN jsonb_typeof(body) <> 'object'
		THEN 'not a JSON object'
	WHEN body -> field IS NULL
		THEN format('missing field "%s"', field)
	WHEN body - field <> '{}'
		THEN format('unknown field %s', (SELECT to_json(min(f))
										 FROM jsonb_object_keys(body - field) f))
	END;
COMMENT ON FUNCTION kv_private.body_fault(jsonb, text) IS
	'what is wrong with an object that must have one field, or NULL';

-- The item is faultless.  A JSON string is stored as text.
CREATE OR REPLACE FUNCTION kv_private.put_item(item jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT
AS $$
DECLARE
	ttl interval := make_interval(secs => (item ->> 'ttl_seconds')::float8);
BEGIN
	IF item ? 'encoding' THEN
		PERFORM kv_put(item ->> 'key',
					   decode(item #>> '{value,$base64}', 'base64'), ttl,
					   kv_private.store());
	ELSE
		PERFORM kv_put(item ->> 'key', item -> 'value', ttl,
					   kv_private.store());
	END IF;
END
$$;
COMMENT ON FUNCTION kv_private.put_item(jsonb) IS
	'puts an item that was checked';

-- The key of a path or header, still percent-encoded.
CREATE OR REPLACE FUNCTION kv_private.key_of(encoded text) RETURNS text
LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE SET search_path FROM CURRENT
AS $$
DECLARE
	k text := kvlsm_uridecode(encoded);
BEGIN
	IF k = '' THEN
		RAISE EXCEPTION USING
			ERRCODE = 'invalid_parameter_value',
			MESSAGE = 'key must not be empty';
	END IF;
	RETURN k;
END
$$;
COMMENT ON FUNCTION kv_private.key_of(text) IS
	'the key that a path names';

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
			PERFORM kv_private.refuse(
				format('unknown parameter %s', to_json(name)),
				'Known are: ' || array_to_string(known, ', ') || '.');
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

CREATE OR REPLACE FUNCTION kv_http.kv_put(jsonb) RETURNS json
LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT
AS $$
DECLARE
	k text := $1 ->> 'key';
	v jsonb := $1 -> 'value';
	fault text;
	conditions record;
BEGIN
	-- Most requests are just this, and need nothing of what follows.
	IF jsonb_typeof($1 -> 'key') = 'string' AND k <> '' AND v IS NOT NULL
		AND $1 - 'key' - 'value' = '{}' AND NOT kv_private.has_condition()
	THEN
		PERFORM kv_put(k, v, NULL, kv_private.store());
		RETURN '{"key":' || to_json(k) || '}';
	END IF;
	fault := kv_private.item_fault($1);
	IF fault IS NOT NULL THEN
		PERFORM kv_private.refuse(fault,
			'Send {"key":"...","value":...}, "ttl_seconds" if wanted.');
	END IF;
	conditions := kv_private.check_conditions(k, true);
	IF conditions.refusal IS NOT NULL THEN
		RETURN conditions.refusal;
	END IF;
	PERFORM kv_private.put_item($1);
	IF conditions.existed IS NOT NULL THEN
		PERFORM kv_private.set_etag(e.version)
		FROM kvlsm_http_entry(k, kv_private.store()) e;
	END IF;
	IF $1 ->> 'ttl_seconds' IS NULL THEN
		RETURN row_to_json(r) FROM (SELECT k AS key) r;
	END IF;
	RETURN row_to_json(r)
	FROM (SELECT k AS key, now() + make_interval(
			secs => ($1 ->> 'ttl_seconds')::float8) AS expires_at) r;
EXCEPTION
	WHEN lock_not_available OR deadlock_detected OR cannot_connect_now
		OR object_not_in_prerequisite_state OR insufficient_resources
		OR disk_full OR configuration_limit_exceeded THEN
		RETURN kv_private.later(SQLSTATE, SQLERRM);
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
	fault := coalesce(kv_private.body_fault($1, 'items'), CASE
		WHEN jsonb_typeof(items) <> 'array'
			THEN 'field "items" must be an array'
		END);
	IF fault IS NOT NULL THEN
		PERFORM kv_private.refuse(fault,
			'Send {"items":[{"key":"...","value":...}, ...]}.');
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

	IF jsonb_path_exists(items, '$[*].encoding') THEN
		-- binary ones among them; an empty batch checks the number of items
		PERFORM kv_batch_put(jsonb_agg(jsonb_build_object('key', item -> 'key',
														  'value', 0)),
							 kv_private.store())
		FROM jsonb_array_elements(items) e (item);
		PERFORM kv_private.put_item(item)
		FROM jsonb_array_elements(items) WITH ORDINALITY e (item, ord)
		ORDER BY ord;
		RETURN row_to_json(r)
		FROM (SELECT jsonb_array_length(items) AS count) r;
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
EXCEPTION
	WHEN lock_not_available OR deadlock_detected OR cannot_connect_now
		OR object_not_in_prerequisite_state OR insufficient_resources
		OR disk_full OR configuration_limit_exceeded THEN
		RETURN kv_private.later(SQLSTATE, SQLERRM);
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
	entry record;
BEGIN
	IF k = '' THEN
		PERFORM kv_private.key_of($1);	-- refuses it
	END IF;
	entry := kvlsm_http_entry(k, kv_private.store());
	IF entry.version IS NULL THEN
		RETURN kv_private.answer(404, 'KV404', 'key not found', k);
	END IF;
	PERFORM set_config('response.headers',
					   '[{"ETag":"\"' || entry.version || '\""}]', true);
	IF kv_private.has_condition() AND kv_private.is_one_of(
			entry.version, kv_private.etags('if-none-match', false)) THEN
		PERFORM set_config('response.status', '304', true);
		RETURN NULL;
	END IF;
	RETURN '{"key":' || to_json(k) || ',"value":' || entry.value || '}';
EXCEPTION
	WHEN cannot_connect_now OR object_not_in_prerequisite_state THEN
		RETURN kv_private.later(SQLSTATE, SQLERRM);
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
	k text := kv_private.key_of(split_part($1, '?', 1));
	params jsonb := kv_private.query(
		substr($1, strpos($1 || '?', '?') + 1), '{strict}');
	must_exist boolean := kv_private.flag(params, 'strict');
	conditions record;
	removed boolean;
BEGIN
	LOOP
		conditions := kv_private.check_conditions(k, false);
		IF conditions.refusal IS NOT NULL THEN
			RETURN conditions.refusal;
		ELSIF conditions.existed IS NULL THEN
			removed := kv_delete(k, kv_private.store());
		ELSIF conditions.existed THEN
			-- false: it has changed meanwhile, and is compared again
			removed := nullif(kv_delete_if_version(
				k, conditions.current_version, kv_private.store()), false);
		ELSE
			removed := false;
		END IF;
		EXIT WHEN removed IS NOT NULL;
	END LOOP;
	IF must_exist AND NOT removed THEN
		RETURN kv_private.answer(404, 'KV404', 'key not found', k);
	END IF;
	RETURN row_to_json(r) FROM (SELECT k AS key, removed AS deleted) r;
EXCEPTION
	WHEN lock_not_available OR deadlock_detected OR cannot_connect_now
		OR object_not_in_prerequisite_state OR insufficient_resources
		OR disk_full THEN
		RETURN kv_private.later(SQLSTATE, SQLERRM);
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
		FROM kvlsm_http_range(params ->> 'start', params ->> 'end',
							  params ->> 'prefix', params ->> 'after', n + 1,
							  backward, kv_private.store())
			 WITH ORDINALITY r (key, value, ord);
	END IF;
	IF found_rows <= n THEN
		last_key := NULL;
	END IF;
	RETURN format('{"items":[%s],"next":%s}', coalesce(items, ''),
				  coalesce(to_json(last_key)::text, 'null'));
EXCEPTION
	WHEN cannot_connect_now OR object_not_in_prerequisite_state THEN
		RETURN kv_private.later(SQLSTATE, SQLERRM);
END
$$;
COMMENT ON FUNCTION kv_http.kv_range(text) IS
	'GET /kv/range: keys and values in key order, by bounds or prefix';

CREATE OR REPLACE FUNCTION kv_http.kv_multi_get(jsonb) RETURNS json
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT
AS $$
DECLARE
	keys jsonb := $1 -> 'keys';
	fault text;
	items json;
	missing json;
BEGIN
	fault := coalesce(kv_private.body_fault($1, 'keys'), CASE
		WHEN jsonb_typeof(keys) <> 'array'
			OR jsonb_path_exists(keys, '$[*] ? (@.type() != "string")')
			THEN 'field "keys" must be an array of strings'
		WHEN keys ? '' THEN 'a key must not be empty'
		END);
	IF fault IS NOT NULL THEN
		PERFORM kv_private.refuse(fault,
			'Send {"keys":["...", ...]}.');
	ELSIF jsonb_array_length(keys) > 1000 THEN
		RAISE EXCEPTION USING
			ERRCODE = 'program_limit_exceeded',
			MESSAGE = 'too many keys',
			DETAIL = format('There are %s, the limit is 1000.',
							jsonb_array_length(keys));
	END IF;
	SELECT coalesce(json_agg((SELECT i FROM (SELECT k AS key, e.value) i)
							 ORDER BY ord)
					FILTER (WHERE e.version IS NOT NULL), '[]'),
		   coalesce(json_agg(k ORDER BY ord)
					FILTER (WHERE e.version IS NULL), '[]')
	INTO items, missing
	FROM jsonb_array_elements_text(keys) WITH ORDINALITY a (k, ord),
		 kvlsm_http_entry(k, kv_private.store()) e;
	RETURN row_to_json(r) FROM (SELECT items, missing) r;
EXCEPTION
	WHEN cannot_connect_now OR object_not_in_prerequisite_state THEN
		RETURN kv_private.later(SQLSTATE, SQLERRM);
END
$$;
COMMENT ON FUNCTION kv_http.kv_multi_get(jsonb) IS
	'POST /kv/multi-get: many values, in the order asked for';

CREATE OR REPLACE FUNCTION kv_http.kv_incr(jsonb) RETURNS json
LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT
AS $$
DECLARE
	k text := $1 ->> 'key';
	step bigint := 1;
	-- what there is to check is the same as for a value
	fault text := kv_private.item_fault(
		CASE jsonb_typeof($1) WHEN 'object'
			THEN ($1 - 'by') || '{"value":null}' ELSE $1 END);
	n bigint;
BEGIN
	fault := coalesce(fault, CASE
		WHEN $1 ?| '{value,encoding}'
			THEN format('unknown field "%s"', CASE WHEN $1 ? 'value'
				THEN 'value' ELSE 'encoding' END)
		WHEN $1 ? 'by' AND (jsonb_typeof($1 -> 'by') <> 'number'
				OR $1 ->> 'by' !~ '^-?[0-9]{1,19}$')
			THEN 'field "by" must be a whole number of at most 64 bits'
		END);
	IF fault IS NOT NULL THEN
		PERFORM kv_private.refuse(fault,
			'Send {"key":"...","by":1}, "ttl_seconds" if wanted.');
	END IF;
	step := coalesce(($1 ->> 'by')::bigint, step);
	n := kv_incr(k, step,
				 make_interval(secs => ($1 ->> 'ttl_seconds')::float8),
				 kv_private.store());
	RETURN row_to_json(r)
	FROM (SELECT k AS key, n AS value, n::text AS value_text) r;
EXCEPTION
	WHEN lock_not_available OR deadlock_detected OR cannot_connect_now
		OR object_not_in_prerequisite_state OR insufficient_resources
		OR disk_full THEN
		RETURN kv_private.later(SQLSTATE, SQLERRM);
END
$$;
COMMENT ON FUNCTION kv_http.kv_incr(jsonb) IS
	'POST /kv/incr: add to a number and return the sum';

-- PostgREST sends what is of this type as it is, and under its name.
DO $$
BEGIN
	IF to_regtype('kv_http."application/octet-stream"') IS NULL THEN
		CREATE DOMAIN kv_http."application/octet-stream" AS bytea;
	END IF;
END
$$;

CREATE OR REPLACE FUNCTION kv_http.kv_raw_get(text)
RETURNS kv_http."application/octet-stream"
LANGUAGE plpgsql STABLE SET search_path FROM CURRENT
AS $$
DECLARE
	k text := kv_private.key_of($1);
	version text;
	refusal json;
BEGIN
	SELECT e.version INTO version
	FROM kvlsm_http_entry(k, kv_private.store()) e;
	IF version IS NULL THEN
		refusal := kv_private.answer(404, 'KV404', 'key not found', k);
		PERFORM set_config('response.headers',
			'[{"Content-Type":"application/json; charset=utf-8"}]', true);
		RETURN convert_to(refusal::text, 'UTF8');
	END IF;
	PERFORM kv_private.set_etag(version);
	IF kv_private.is_one_of(version,
							kv_private.etags('if-none-match', false)) THEN
		PERFORM set_config('response.status', '304', true);
		RETURN NULL;
	END IF;
	RETURN kv_get_bytes(k, kv_private.store());
EXCEPTION
	WHEN cannot_connect_now OR object_not_in_prerequisite_state THEN
		refusal := kv_private.later(SQLSTATE, SQLERRM);
		PERFORM set_config('response.headers', '[{"Retry-After":"1"},'
			'{"Content-Type":"application/json; charset=utf-8"}]', true);
		RETURN convert_to(refusal::text, 'UTF8');
END
$$;
COMMENT ON FUNCTION kv_http.kv_raw_get(text) IS
	'GET /kv/raw/:key: the bytes of one value, or 404';

-- The body is the value; the key comes in a header, as it stands in the path.
CREATE OR REPLACE FUNCTION kv_http.kv_raw_put(bytea) RETURNS json
LANGUAGE plpgsql VOLATILE SET search_path FROM CURRENT
AS $$
DECLARE
	k text := kv_private.key_of(coalesce(kv_private.header('x-kv-key'), ''));
	conditions record;
BEGIN
	conditions := kv_private.check_conditions(k, true);
	IF conditions.refusal IS NOT NULL THEN
		RETURN conditions.refusal;
	END IF;
	PERFORM kv_put(k, coalesce($1, ''), NULL, kv_private.store());
	IF conditions.existed IS NOT NULL THEN
		PERFORM kv_private.set_etag(e.version)
		FROM kvlsm_http_entry(k, kv_private.store()) e;
	END IF;
	RETURN row_to_json(r) FROM (SELECT k AS key) r;
EXCEPTION
	WHEN lock_not_available OR deadlock_detected OR cannot_connect_now
		OR object_not_in_prerequisite_state OR insufficient_resources
		OR disk_full THEN
		RETURN kv_private.later(SQLSTATE, SQLERRM);
END
$$;
COMMENT ON FUNCTION kv_http.kv_raw_put(bytea) IS
	'PUT /kv/raw/:key: store bytes as they are';

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA kv_http, kv_private FROM PUBLIC;
COMMIT;
