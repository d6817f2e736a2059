-- Expiry: exact on read, compared with the start of the transaction.

SELECT kv_create_store('x');
SET kvlsm.default_store = 'x';
SELECT kv_put('stays', 'v', '1 hour'), kv_put('goes', 'v', '20 milliseconds'),
	kv_put('forever', 'v'), kv_put('json', '{}'::jsonb, '1 day'),
	kv_put('month', 'v', '1 month');
-- a transaction sees one truth
BEGIN;
SELECT kv_put('mine', 'v', '1 millisecond');
SELECT pg_sleep(0.05);
SELECT kv_get('mine');
COMMIT;
SELECT kv_get('mine') IS NULL AS expired, kv_get('goes') IS NULL AS expired,
	kv_exists('goes'), kv_get('stays'), kv_get('forever');
SELECT key FROM kv_range();
SELECT key FROM x;
SELECT * FROM kv_multi_get('{goes,stays}');
SELECT kv_delete('goes'), kv_delete('stays');

-- a put without ttl takes the ttl away, one with ttl replaces it
SELECT kv_put('again', 'v', '10 milliseconds');
SELECT kv_put('again', 'w');
SELECT pg_sleep(0.03);
SELECT kv_get('again');
SELECT kv_put('again', 'x', '10 milliseconds');
SELECT pg_sleep(0.03);
SELECT kv_get('again') IS NULL AS expired;

-- an expired value hides what is below it, in memory and in files
SELECT kv_put('hide', 'old');
SELECT kvlsm_flush();
SELECT kv_put('hide', 'new', '10 milliseconds');
SELECT pg_sleep(0.03);
SELECT kv_get('hide') IS NULL AS expired;
SELECT kvlsm_flush();
SELECT kv_get('hide') IS NULL AS expired;
SELECT kvlsm_compact();
SELECT kv_get('hide') IS NULL AS expired, count(*) FROM kv_range(prefix => 'hide');

-- a transaction that is open keeps what had not expired when it began
SELECT kv_put('keep', 'v', '2 seconds');
BEGIN;
SELECT kv_get('keep');
SELECT pg_sleep(2.1);
SELECT kv_get('keep');
SELECT key FROM kv_range(prefix => 'keep');
COMMIT;
SELECT kv_get('keep') IS NULL AS expired;

-- a key that has expired may be inserted
INSERT INTO x VALUES ('keep', '"again"');
SELECT kv_get('keep');
SELECT kv_batch_put('[{"key": "b1", "value": 1, "ttl": "10 ms"}, {"key": "b2", "value": 1, "ttl": 0.01}, {"key": "b3", "value": 1, "ttl": 3600}]');
SELECT pg_sleep(0.03);
SELECT * FROM kv_range(prefix => 'b');
DROP FOREIGN TABLE x;
