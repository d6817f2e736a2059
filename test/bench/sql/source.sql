-- SPDX-License-Identifier: PostgreSQL
--
-- What is loaded: n rows of 16 + 100 bytes in random key order, as bytea
-- (src) and, in batches of 1000, as text (src_b); 200,000 keys to look up.
-- Values are 50 random bytes twice over, so that they compress to a half.
\set ON_ERROR_STOP on
CREATE EXTENSION kvlsm;
SET synchronous_commit = off;

CREATE UNLOGGED TABLE src AS
	SELECT decode(md5(i::text), 'hex') AS k, r || r AS v
	FROM generate_series(0, :n - 1) AS i,
		LATERAL (SELECT substr(sha512(i::text::bytea), 1, 50) AS r
				 OFFSET 0) AS s;

-- Not compressed: both targets read the arrays, neither should wait for it.
CREATE UNLOGGED TABLE src_b (b int PRIMARY KEY, keys text[], vals text[]);
ALTER TABLE src_b ALTER keys SET STORAGE EXTERNAL,
	ALTER vals SET STORAGE EXTERNAL;
INSERT INTO src_b
	SELECT i / 1000, array_agg(left(md5(i::text), 16) ORDER BY i),
		array_agg(r || r ORDER BY i)
	FROM generate_series(0, :n - 1) AS i,
		LATERAL (SELECT left(encode(sha512(i::text::bytea), 'base64'), 50)
				 AS r OFFSET 0) AS s
	GROUP BY 1;

CREATE UNLOGGED TABLE look AS
	SELECT decode(md5(((i * 7919::bigint + 17) % :n)::text), 'hex') AS k
	FROM generate_series(1, 200000) AS i;

CREATE PROCEDURE load_b1000_heap() LANGUAGE plpgsql AS $$
DECLARE
	ks text[];
	vs text[];
BEGIN
	FOR i IN 0 .. (SELECT max(b) FROM src_b)
	LOOP
		SELECT keys, vals INTO ks, vs FROM src_b WHERE b = i;
		INSERT INTO ht SELECT * FROM unnest(ks, vs);
		COMMIT;
	END LOOP;
END $$;

CREATE PROCEDURE load_b1000_kvlsm() LANGUAGE plpgsql AS $$
DECLARE
	ks text[];
	vs text[];
BEGIN
	FOR i IN 0 .. (SELECT max(b) FROM src_b)
	LOOP
		SELECT keys, vals INTO ks, vs FROM src_b WHERE b = i;
		PERFORM kv_put_many(ks, vs, 'kvt');
		COMMIT;
	END LOOP;
END $$;

CREATE PROCEDURE load_b1000_fdw() LANGUAGE plpgsql AS $$
DECLARE
	ks text[];
	vs text[];
BEGIN
	FOR i IN 0 .. (SELECT max(b) FROM src_b)
	LOOP
		SELECT keys, vals INTO ks, vs FROM src_b WHERE b = i;
		INSERT INTO kvt SELECT * FROM unnest(ks, vs);
		COMMIT;
	END LOOP;
END $$;

VACUUM ANALYZE src, src_b, look;
