-- SPDX-License-Identifier: PostgreSQL
--
-- Roles and privileges for kvlsm over HTTP.  Run by psql as a superuser in
-- the database that has the extension, a store and kvlsm_http.sql:
--
--     psql -d app -f roles.sql
--
-- Running it again changes nothing.  Then give the login a password:
-- \password kv_authenticator
--
-- kv_authenticator  PostgREST logs in as this; it may do nothing by itself
-- kv_anon           a request without a token; it may do nothing
-- kv_reader         a token with "role":"kv_reader"
-- kv_writer         a token with "role":"kv_writer"

\set ON_ERROR_STOP on

-- The store, as in the setting kv_http.store.
\if :{?store}
\else
	\set store public.kv
\endif

BEGIN;

DO $$
DECLARE
	wanted text;
BEGIN
	FOREACH wanted IN ARRAY
		'{kv_authenticator,kv_anon,kv_reader,kv_writer}'::text[]
	LOOP
		IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles
					   WHERE rolname = wanted) THEN
			EXECUTE format('CREATE ROLE %I NOLOGIN', wanted);
		END IF;
	END LOOP;
END
$$;
ALTER ROLE kv_authenticator LOGIN NOINHERIT
	NOCREATEDB NOCREATEROLE NOSUPERUSER NOREPLICATION NOBYPASSRLS;
GRANT kv_anon, kv_reader, kv_writer TO kv_authenticator;

-- The routes, and the functions of the extension behind them.  What those
-- may touch is decided by the privileges on the store.
SELECT n.nspname AS home
FROM pg_catalog.pg_extension e
JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = 'kvlsm' \gset
SELECT n.nspname AS store_schema, c.relname AS store_table
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = :'store'::pg_catalog.regclass \gset

GRANT USAGE ON SCHEMA :"home", :"store_schema", kv_http, kv_private
	TO kv_reader, kv_writer;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA kv_http, kv_private
	TO kv_reader, kv_writer;
GRANT SELECT ON :"store_schema".:"store_table" TO kv_reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON :"store_schema".:"store_table"
	TO kv_writer;

-- Nobody waits for ever: PostgREST applies these to each request.
ALTER ROLE kv_authenticator SET statement_timeout = '10s';
ALTER ROLE kv_authenticator SET idle_in_transaction_session_timeout = '10s';
ALTER ROLE kv_authenticator SET lock_timeout = '5s';
ALTER ROLE kv_authenticator SET default_transaction_isolation = 'read committed';
ALTER ROLE kv_reader SET statement_timeout = '2s';
ALTER ROLE kv_writer SET statement_timeout = '10s';

COMMIT;

-- PostgREST notices new functions when it is told.
NOTIFY pgrst, 'reload schema';
