-- Random commands against a store and a heap table: equal at every step.
-- A fixed seed, so that a failure can be repeated; savepoints nest by
-- exception blocks, flushes and compactions come in between.

SELECT kv_create_store('model');
SET kvlsm.default_store = 'model';
CREATE TABLE heap (k text COLLATE "C" PRIMARY KEY, v text);

CREATE FUNCTION differ() RETURNS bigint LANGUAGE sql AS $$
	SELECT (SELECT count(*) FROM (
			(SELECT key, value FROM kv_range(max_rows => 10000) EXCEPT ALL SELECT k, v FROM heap)
			UNION ALL
			(SELECT k, v FROM heap EXCEPT ALL SELECT key, value #>> '{}' FROM model)) d)
		+ (SELECT count(*) FROM heap WHERE kv_get(k) IS DISTINCT FROM v)
		+ (SELECT count(*) FROM (
			SELECT k, v, row_number() OVER (ORDER BY k DESC) FROM heap
			EXCEPT SELECT * FROM kv_range(reverse => true, max_rows => 10000) WITH ORDINALITY) d)
$$;

-- one random command
CREATE FUNCTION command() RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	key text := 'k' || floor(random() * 300);
	val text := repeat(md5(random()::text), floor(random() * 30)::int);
	low text := 'k' || floor(random() * 300);
	had boolean;
BEGIN
	CASE floor(random() * 10)
		WHEN 0, 1, 2, 3 THEN
			PERFORM kv_put(key, val);
			INSERT INTO heap VALUES (key, val) ON CONFLICT (k) DO UPDATE SET v = excluded.v;
		WHEN 4, 5 THEN
			DELETE FROM heap WHERE k = key RETURNING true INTO had;
			IF kv_delete(key) IS DISTINCT FROM coalesce(had, false) THEN
				RAISE EXCEPTION 'delete of % differs', key;
			END IF;
		WHEN 6 THEN
			PERFORM kv_put_many(array_agg(low || i), array_agg(val || i)) FROM generate_series(1, 5) i;
			INSERT INTO heap SELECT low || i, val || i FROM generate_series(1, 5) i
			ON CONFLICT (k) DO UPDATE SET v = excluded.v;
		WHEN 7 THEN
			UPDATE model SET value = to_jsonb(val) WHERE model.key BETWEEN low AND low || '5';
			UPDATE heap SET v = val WHERE k BETWEEN low AND low || '5';
		WHEN 8 THEN
			DELETE FROM model WHERE model.key BETWEEN low AND low || '2';
			DELETE FROM heap WHERE k BETWEEN low AND low || '2';
		WHEN 9 THEN
			IF NOT EXISTS (SELECT FROM heap WHERE k = key) THEN
				INSERT INTO model VALUES (key, to_jsonb(val));
				INSERT INTO heap VALUES (key, val);
			END IF;
	END CASE;
END
$$;

CREATE FUNCTION commands(depth int) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..floor(random() * 8)::int LOOP
		PERFORM command();
		IF depth < 4 AND random() < 0.3 THEN
			BEGIN
				PERFORM commands(depth + 1);
				IF random() < 0.4 THEN
					RAISE EXCEPTION 'undo' USING ERRCODE = 'KV001';
				END IF;
			EXCEPTION WHEN SQLSTATE 'KV001' THEN
			END;
		END IF;
	END LOOP;
	IF differ() > 0 THEN
		RAISE EXCEPTION 'the store differs inside a transaction';
	END IF;
END
$$;

CREATE PROCEDURE transactions(n int) LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..n LOOP
		PERFORM commands(0);
		IF random() < 0.2 THEN
			ROLLBACK;
		ELSE
			COMMIT;
		END IF;
		IF differ() > 0 THEN
			RAISE EXCEPTION 'the store differs after transaction %', i;
		END IF;
		IF random() < 0.05 THEN
			PERFORM kvlsm_flush();
		ELSIF random() < 0.02 THEN
			PERFORM kvlsm_compact();
		END IF;
	END LOOP;
END
$$;

SELECT setseed(0.42);
CALL transactions(150);
SELECT differ(), count(*) > 50 AS enough FROM heap;
SELECT * FROM kvlsm_verify() WHERE problem IS NOT NULL;
DROP PROCEDURE transactions;
DROP FUNCTION commands, command, differ;
DROP TABLE heap;
DROP FOREIGN TABLE model;
