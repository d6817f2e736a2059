-- Conditional and counting functions.

SELECT kv_create_store('m');
SET kvlsm.default_store = 'm';

-- kv_cas: a miss is false, never an error
SELECT kv_cas('a', 'x', 'y'), kv_get('a') IS NULL AS none;
SELECT kv_cas('a', NULL, '1');
SELECT kv_cas('a', NULL, '2'), kv_cas('a', '2', '3'), kv_get('a');
SELECT kv_cas('a', '1', '2'), kv_get('a');
SELECT kv_cas('a', '1', NULL), kv_cas('a', '2', NULL), kv_get('a') IS NULL AS gone;
SELECT kv_cas('a', NULL, NULL) AS nothing_and_nothing;
SELECT kv_put('j', '{"b": 2, "a": 1}'::jsonb);
SELECT kv_cas('j', '{"b": 2, "a": 1}', 'n') AS text_form_differs, kv_cas('j', '{"a": 1, "b": 2}', 'n');
SELECT kv_put('bin', '\x00ff'::bytea);
SELECT kv_cas('bin', '\x00ff', 'n') AS binary_is_no_text;
SELECT kv_cas(NULL, 'a', 'b');
SELECT kv_cas('', 'a', 'b');

-- kv_put_if_absent
SELECT kv_put_if_absent('p', '1'), kv_put_if_absent('p', '2'), kv_get('p');
SELECT kv_put_if_absent('pj', '{"x": null}'::jsonb), kv_get_json('pj');
SELECT kv_put_if_absent('pj', NULL::text);
SELECT kv_put_if_absent('pt', 'v', ttl => '1 hour');
SELECT kv_ttl('pt') BETWEEN '59 minutes' AND '1 hour' AS ttl;
SELECT kv_put_if_absent('pz', 'v', ttl => '0');

-- kv_swap
SELECT kv_swap('s', '1'), kv_swap('s', '2'), kv_get('s');
SELECT kv_swap('s', NULL);

-- versions
SELECT key, value, version IS NOT NULL AS v, expires_at FROM kv_entry('s');
SELECT count(*) FROM kv_entry('none');
SELECT count(*) FROM kv_entry(NULL);
SELECT kv_put('v', '{"n": 1}'::jsonb);
SELECT version AS v1 FROM kv_entry('v') \gset
SELECT kv_put_if_version('v', '{"n": 2}', :'v1'), kv_get('v');
SELECT kv_put_if_version('v', '{"n": 3}', :'v1'), kv_get('v');
SELECT version = :'v1' AS same FROM kv_entry('v');
SELECT kv_put_if_version('none', '1', :'v1');
SELECT kv_put_if_version('v', '1', '');
SELECT kv_put_if_version('v', '1', NULL);
SELECT kv_delete_if_version('v', :'v1'), kv_exists('v');
SELECT version AS v2 FROM kv_entry('v') \gset
SELECT kv_expire('v', '1 day');
SELECT kv_delete_if_version('v', :'v2') AS expiry_is_part_of_it;
SELECT kv_delete_if_version('v', version), kv_exists('v') FROM kv_entry('v');
-- they outlive compaction, which takes the sequence numbers away
SELECT kv_put('w', '1');
SELECT version AS w FROM kv_entry('w') \gset
SELECT kvlsm_flush(), kvlsm_compact();
SELECT version = :'w' AS same FROM kv_entry('w');

-- kv_incr
SELECT kv_incr('n'), kv_incr('n', 41), kv_incr('n', -2), kv_get('n'), kv_get_json('n');
SELECT kv_put('n', '9223372036854775807');
SELECT kv_incr('n', 0);
SELECT kv_incr('n');
SELECT kv_put('n', 'seven');
SELECT kv_incr('n');
SELECT kv_put('n', '7'::jsonb);
SELECT kv_incr('n', 1);
SELECT kv_incr('n', NULL);
SELECT kv_incr('bin');
SELECT sum(kv_incr('many', i)), kv_get('many') FROM generate_series(1, 10) i GROUP BY ();
SELECT kv_get('many');
-- the ttl counts for a new key only
SELECT kv_incr('nt', 1, '1 hour');
SELECT kv_incr('nt', 1, '2 hours');
SELECT kv_ttl('nt') <= '1 hour' AS old_one;
SELECT kv_incr('n', 1, '1 hour');
SELECT kv_ttl('n') IS NULL AS still_none;

-- kv_expire, kv_ttl
SELECT kv_expire('none', '1 hour');
SELECT kv_expire('s', '1 hour');
SELECT kv_get('s'), kv_ttl('s') BETWEEN '59 minutes' AND '1 hour' AS ttl;
BEGIN;
SELECT kv_expire('s', '2 hours');
SELECT kv_ttl('s'), expires_at = now() + interval '2 hours' AS t FROM kv_entry('s');
SELECT kv_expire('s', NULL);
SELECT kv_ttl('s') IS NULL AS never, kv_get('s');
ROLLBACK;
SELECT kv_ttl('s') > '59 minutes' AS as_before;
SELECT kv_expire('s', '-1 hour');
SELECT kv_put('soon', 'x', ttl => '1 microsecond');
SELECT kv_incr('soon') AS expired_is_nothing;

-- kv_count
SELECT kv_put_many(array_agg('c' || lpad(i::text, 3, '0')), array_agg(i::text)) FROM generate_series(1, 500) i;
SELECT kv_count(prefix => 'c'), kv_count('c100', 'c200'), kv_count('c500'), kv_count(end_key => 'c002', prefix => 'c');
SELECT kv_count('c2', 'c1');
SELECT kv_count(prefix => 'zz'), kv_count() = (SELECT count(*) FROM m) AS all_of_it;
SELECT kvlsm_flush();
SELECT kv_count_estimate(prefix => 'c') BETWEEN 100 AND 1000 AS roughly;

-- kv_batch: checks first, then the writes in order
SELECT kv_batch('[{"op":"put","key":"b1","value":1},{"op":"incr","key":"b1","by":4},{"op":"delete","key":"b2"},
	{"op":"check","key":"b1","exists":false},{"op":"delete","key":"b1"},{"op":"put","key":"b3","value":{"x":[1,2]},"ttl":60}]');
SELECT kv_get('b1') IS NULL AS deleted, kv_get('b3'), kv_ttl('b3') BETWEEN '50 s' AND '1 min' AS ttl;
SELECT kv_batch('[{"op":"check","key":"b3","value":{"x":[1,2]}},{"op":"put","key":"b4","value":null}]'), kv_get_json('b4');
SELECT kv_batch('[{"op":"put","key":"b4","value":"lost"},{"op":"check","key":"b3","value":{"x":[2,1]}}]'), kv_get_json('b4');
SELECT kv_batch('[{"op":"check","key":"b9","value":null},{"op":"check","key":"b3","value":null}]');
SELECT kv_batch(jsonb_build_array(jsonb_build_object('op', 'check', 'key', 'b3', 'version', version), '{"op":"incr","key":"b5"}'::jsonb)) FROM kv_entry('b3');
SELECT kv_batch('[{"op":"check","key":"b3","version":"no"}]');
SELECT kv_batch('[]');
SELECT kv_batch(NULL);
SELECT kv_batch('{}');
SELECT kv_batch('[1]');
SELECT kv_batch('[{"op":"move","key":"a"}]');
SELECT kv_batch('[{"key":"a"}]');
SELECT kv_batch('[{"op":"put","key":"b6","value":1},{"op":"put","key":"b7"}]');
SELECT kv_get('b6') IS NULL AS nothing;
SELECT kv_batch('[{"op":"check","key":"a"}]');
SELECT kv_batch('[{"op":"check","key":"a","exists":1}]');
SELECT kv_batch('[{"op":"delete","key":"a","value":1}]');
SELECT kv_batch('[{"op":"incr","key":"b5","by":"x"}]');
SELECT kv_batch('[{"op":"put","key":"","value":1}]');

-- own writes, savepoints, plpgsql
BEGIN;
SELECT kv_put('own', '1');
SELECT kv_cas('own', '1', '2'), kv_incr('own', 5), kv_swap('own', 'z');
SAVEPOINT s;
SELECT kv_cas('own', 'z', NULL), kv_exists('own');
SELECT kv_put_if_absent('own', 'again');
ROLLBACK TO s;
SELECT kv_get('own'), kv_cas('own', 'z', 'end');
COMMIT;
SELECT kv_get('own');
DO $$
BEGIN
	FOR i IN 1..100 LOOP
		BEGIN
			PERFORM kv_incr('loop');
			IF i % 3 = 0 THEN
				RAISE EXCEPTION 'third';
			END IF;
		EXCEPTION WHEN raise_exception THEN
			NULL;
		END;
	END LOOP;
END
$$;
SELECT kv_get('loop');

-- privileges and read-only transactions
CREATE ROLE regress_kvlsm_m;
GRANT INSERT, UPDATE ON m TO regress_kvlsm_m;
SET ROLE regress_kvlsm_m;
SELECT kv_cas('own', 'end', 'x');
SELECT kv_incr('loop');
SELECT kv_count();
SELECT * FROM kv_entry('own');
RESET ROLE;
GRANT SELECT ON m TO regress_kvlsm_m;
SET ROLE regress_kvlsm_m;
SELECT kv_cas('own', 'end', 'x'), kv_count() > 0 AS ok;
SELECT kv_cas('own', 'x', NULL);
SELECT kv_batch('[{"op":"delete","key":"own"}]');
RESET ROLE;
BEGIN READ ONLY;
SELECT kv_incr('loop');
ROLLBACK;
SELECT kv_cas('own', 'x', 'y', store => 'pg_class');

DROP FOREIGN TABLE m;
DROP ROLE regress_kvlsm_m;

-- kv_delete_range
SELECT kv_create_store('dr');
SET kvlsm.default_store = 'dr';
SELECT kv_put_many(array_agg('k' || lpad(i::text, 4, '0')), array_agg(i::text)) FROM generate_series(1, 2000) i;
SELECT kv_delete_range('k0100', 'k1900');
SELECT kv_count(), kv_get('k0099'), kv_get('k0100') IS NULL AS first, kv_get('k1899') IS NULL AS last, kv_get('k1900');
SELECT count(*), min(key), max(key) FROM dr;
SELECT kv_put('k0500', 'back'), kv_get('k0500') IS NULL AS not_yet;
SELECT kvlsm_flush(), kvlsm_compact();
SELECT kv_count(), kv_get('k0500'), kv_exists('k0501');
BEGIN;
SELECT kv_put('k0600', 'in'), kv_put('k0010', 'changed');
SELECT kv_delete_range('k0005', 'k0700');
SELECT kv_count(), kv_get('k0600') IS NULL AS gone, kv_get('k0010') IS NULL AS gone2, kv_exists('k0500');
SELECT kv_put('k0300', 'after');
SELECT key FROM kv_range(start_key => 'k0003', max_rows => 4);
SELECT key FROM kv_range(end_key => 'k1901', max_rows => 4, reverse => true);
SELECT kv_incr('k0400'), kv_put_if_absent('k0011', 'new'), kv_cas('k0012', NULL, 'cas');
SAVEPOINT s;
SELECT kv_delete_range('', 'l');
SELECT kv_count(), (SELECT count(*) FROM dr);
SELECT kv_put('z', '1');
ROLLBACK TO s;
SELECT kv_count(), kv_get('k0300'), kv_get('k0001');
COMMIT;
SELECT kv_count(), kv_get('k0300'), kv_get('k0400'), kv_get('k0011'), kv_get('k0600') IS NULL AS gone;
BEGIN;
SELECT kv_delete_range('', 'l');
ROLLBACK;
SELECT kv_count();
-- together with an ingested run
BEGIN;
SELECT kv_delete_range('k', 'l');
SELECT count(kv_put('k' || lpad(i::text, 7, '0'), repeat(md5(i::text), 8))) FROM generate_series(1, 30000) i;
COMMIT;
SELECT kv_count(), kv_get('k0300') IS NULL AS gone;
BEGIN;
SELECT kv_delete_range('k0010000', 'k0020000');
DECLARE c CURSOR FOR SELECT key FROM dr WHERE key >= 'k0009999';
SELECT kv_delete_range('k0020000', 'l');
FETCH 2 FROM c;
COMMIT;
SELECT kvlsm_flush(), kvlsm_compact();
SELECT kv_count();
SELECT kv_delete_range('b', 'a');
SELECT kv_delete_range('a', 'a');
SELECT kv_delete_range(NULL, 'a');
SELECT kv_delete_range('a', NULL);
SELECT kv_delete_range(NULL, NULL);
SELECT file, problem FROM kvlsm_verify() WHERE problem IS NOT NULL;
DROP FOREIGN TABLE dr;
