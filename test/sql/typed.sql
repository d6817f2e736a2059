-- The typed layout: any columns, the key's in the order of their types.

CREATE FOREIGN TABLE events (tenant int NOT NULL, at timestamptz NOT NULL, id uuid NOT NULL,
	body jsonb, n int) SERVER kvlsm OPTIONS (key 'tenant, at DESC, id');
SET timezone = 'UTC';
INSERT INTO events SELECT i % 3, '2020-01-01'::timestamptz + i * interval '1 day',
	('00000000-0000-0000-0000-' || lpad(i::text, 12, '0'))::uuid, jsonb_build_object('i', i), nullif(i, 4)
FROM generate_series(1, 9) i;
SELECT * FROM events;
SELECT tableoid::regclass, events FROM events WHERE n IS NULL;
SELECT count(*), sum(n) FROM events;
INSERT INTO events SELECT * FROM events LIMIT 1;
INSERT INTO events VALUES (NULL, '2020-01-01', '00000000-0000-0000-0000-000000000000');
INSERT INTO events (tenant, at) VALUES (1, '2020-01-01');
UPDATE events SET body = body || '{"u": true}', n = NULL WHERE tenant = 2 RETURNING *;
UPDATE events SET tenant = 7, at = 'infinity' WHERE tenant = 0 AND n = 3 RETURNING tenant, at;
DELETE FROM events WHERE tenant = 1 RETURNING n, id;
SELECT tenant, at, n, body FROM events;
COPY (SELECT * FROM events) TO stdout;
BEGIN;
TRUNCATE events;
COPY events FROM stdin;
1	-infinity	00000000-0000-0000-0000-000000000001	\N	\N
1	infinity	00000000-0000-0000-0000-000000000001	[]	-1
\.
SELECT * FROM events;
ROLLBACK;
SELECT count(*) FROM events;
-- the functions are for tables of a key and a value
SELECT kv_get('a', 'events');
SELECT kv_put('a', 'b', store => 'events');
SELECT kv_range(store => 'events');
SELECT kvlsm_store_size('events') >= 0 AS has_a_size;

-- a set: nothing but a key
CREATE FOREIGN TABLE edges (a int, b int) SERVER kvlsm OPTIONS (key 'b, a');
INSERT INTO edges SELECT i, 10 - i FROM generate_series(1, 3) i;
INSERT INTO edges VALUES (1, 9) ON CONFLICT DO NOTHING;
SELECT * FROM edges;
SELECT count(*) FROM edges WHERE b > 7;

-- every type of key: the order of the scan is that of the type
CREATE FUNCTION values_of(type text) RETURNS SETOF text LANGUAGE sql AS $$
	SELECT DISTINCT v FROM (
		SELECT unnest(CASE type
			WHEN 'boolean' THEN '{t,f}'
			WHEN 'smallint' THEN '{-32768,-32767,-257,-256,-255,-1,0,1,127,128,255,256,32766,32767}'
			WHEN 'integer' THEN '{-2147483648,-2147483647,-65536,-1,0,1,255,256,65535,65536,2147483647}'
			WHEN 'bigint' THEN '{-9223372036854775808,-9223372036854775807,-4294967296,-1,0,1,4294967295,9223372036854775807}'
			WHEN 'real' THEN '{NaN,Infinity,-Infinity,0,1e-45,-1e-45,3.4e38,-3.4e38,1,-1,1.0000001}'
			WHEN 'double precision' THEN '{NaN,Infinity,-Infinity,0,5e-324,-5e-324,1.7e308,-1.7e308,1,-1,1.0000000000000002}'
			WHEN 'text' THEN ARRAY['', 'a', 'aa', 'ab', 'b', E'\x01', E'\x01\x01', E'a\x01', E'a\x01b', E'\x7f', 'é', 'ê', '日本', '𝄞', E'\uffff', repeat('a', 500), repeat('a', 501), repeat('é', 300)]
			WHEN 'bytea' THEN ARRAY['\x', '\x00', '\x0000', '\x0001', '\x00ff', '\x00ff00', '\x01', '\x0100', '\xff', '\xff00', '\xffff', '\x61', '\x6100', '\x6101', '\x61ff', '\x' || repeat('00', 400), '\x' || repeat('ff', 400)]
			WHEN 'uuid' THEN '{00000000-0000-0000-0000-000000000000,ffffffff-ffff-ffff-ffff-ffffffffffff,00000000-0000-0000-0000-000000000001}'
			WHEN 'date' THEN '{-infinity,infinity,4713-01-01 BC,5874897-12-31,1999-12-31,2000-01-01,2000-01-02}'
			WHEN 'time' THEN '{00:00,24:00,23:59:59.999999,12:00,00:00:00.000001}'
			WHEN 'timestamp' THEN '{-infinity,infinity,4713-01-01 BC,294276-12-31,2000-01-01,1999-12-31 23:59:59.999999}'
			WHEN 'timestamptz' THEN '{-infinity,infinity,4713-01-01 BC,294276-12-31,2000-01-01,1999-12-31 23:59:59.999999}'
			ELSE '{}' END::text[])
		UNION ALL
		SELECT CASE type
			WHEN 'boolean' THEN (i % 2 = 0)::text
			WHEN 'smallint' THEN ((h & 65535) - 32768)::text
			WHEN 'integer' THEN h::text
			WHEN 'bigint' THEN (h::bigint * 2147483648 + h2)::text
			WHEN 'real' THEN (h::real * 10.0 ^ (h2 % 30))::real::text
			WHEN 'double precision' THEN (h::float8 * 10.0 ^ (h2 % 290))::text
			WHEN 'text' THEN replace(replace(replace(md5(i::text), '0', E'\x01'), '1', 'é'), 'f', E'\x7f')
			WHEN 'bytea' THEN '\x' || replace(replace(md5(i::text), '1', '0'), '8', 'f')
			WHEN 'uuid' THEN md5(i::text)
			WHEN 'date' THEN ('2000-01-01'::date + h % 700000)::text
			WHEN 'time' THEN ('00:00'::time + (h2 % 86400) * interval '1.000001 s')::text
			ELSE ('2000-01-01'::timestamp + h * interval '1.000001 s')::text END
		FROM generate_series(1, 200) i, LATERAL (SELECT hashint4(i) h, abs(hashint4(-i)) h2) x) s(v)
$$;
CREATE TYPE verdict AS (n bigint, in_order bool, same_rows bool, bounds_differ bigint, backward bool);
CREATE FUNCTION check_key(type text, direction text) RETURNS verdict LANGUAGE plpgsql AS $$
DECLARE
	r verdict;
	sql_type text := type || CASE type WHEN 'text' THEN ' COLLATE "C"' ELSE '' END;
	back text := CASE direction WHEN 'DESC' THEN 'ASC' ELSE 'DESC' END;
BEGIN
	EXECUTE format('CREATE TEMP TABLE heap AS SELECT v::%s AS k, row_number() OVER () AS n FROM values_of(%L) v', sql_type, type);
	IF type IN ('real', 'double precision', 'boolean') THEN
		DELETE FROM heap a USING heap b WHERE a.k = b.k AND a.n > b.n;
	END IF;
	EXECUTE format('CREATE FOREIGN TABLE kvt (k %s NOT NULL, n bigint) SERVER kvlsm OPTIONS (key %L)', sql_type, 'k ' || direction);
	INSERT INTO kvt SELECT k, n FROM heap ORDER BY md5(n::text);
	EXECUTE format('SELECT count(*), (SELECT array_agg(n) FROM (SELECT n FROM kvt) k) = (SELECT array_agg(n) FROM (SELECT n FROM heap ORDER BY k %s) h),
		count(*) = (SELECT count(*) FROM kvt JOIN heap USING (n) WHERE kvt.k = heap.k) FROM heap', direction)
	INTO r.n, r.in_order, r.same_rows;
	SELECT count(*) INTO r.bounds_differ FROM (SELECT * FROM heap ORDER BY md5(n::text) LIMIT 40) v
	WHERE (SELECT count(*) FROM kvt WHERE k = v.k) <> 1
		OR (SELECT count(*) FROM kvt WHERE k < v.k) <> (SELECT count(*) FROM heap WHERE k < v.k)
		OR (SELECT count(*) FROM kvt WHERE k <= v.k) <> (SELECT count(*) FROM heap WHERE k <= v.k)
		OR (SELECT count(*) FROM kvt WHERE k > v.k) <> (SELECT count(*) FROM heap WHERE k > v.k)
		OR (SELECT count(*) FROM kvt WHERE k >= v.k) <> (SELECT count(*) FROM heap WHERE k >= v.k);
	EXECUTE format('SELECT (SELECT array_agg(n) FROM (SELECT n FROM kvt ORDER BY k %s) k) = (SELECT array_agg(n) FROM (SELECT n FROM heap ORDER BY k %s) h)', back, back)
	INTO r.backward;
	DROP TABLE heap;
	DROP FOREIGN TABLE kvt;
	RETURN r;
END
$$;
SET client_min_messages = warning;
SELECT t, d, (check_key(t, d)).*
FROM unnest('{boolean,smallint,integer,bigint,real,double precision,text,bytea,uuid,date,time,timestamp,timestamptz}'::text[]) t,
	unnest('{ASC,DESC}'::text[]) d;
RESET client_min_messages;
-- of many columns
CREATE TABLE heap (a text COLLATE "C", b bytea, c float8, d bool, e int2, f varchar(40) COLLATE "C", g text);
INSERT INTO heap SELECT DISTINCT ON (1, 2, 3, 4, 5, 6)
	(ARRAY['', 'a', E'a\x01', 'aa', 'b'])[1 + i % 5], (ARRAY['', '\x00', '\x0000', '\x00ff', '\xff']::bytea[])[1 + i / 5 % 5],
	(ARRAY['NaN', '-Infinity', 0, 1.5]::float8[])[1 + i / 25 % 4], i / 100 % 2 = 0, i / 200 % 3 - 1, left(md5(i::text), i % 3), i
FROM generate_series(0, 2000) i;
CREATE FOREIGN TABLE many (g text, f varchar(40) COLLATE "C", e int2, d bool, c float8, b bytea, a text COLLATE "C")
	SERVER kvlsm OPTIONS (key ' a ,"b" desc,c DESC, D asc,e DESC,f');
INSERT INTO many (a, b, c, d, e, f, g) SELECT * FROM heap;
SELECT count(*), (SELECT array_agg(g) FROM (SELECT g FROM many) m) =
	(SELECT array_agg(g) FROM (SELECT g FROM heap ORDER BY a, b DESC, c DESC, d, e DESC, f) h) AS in_order FROM many;
SELECT count(*) FROM many NATURAL JOIN heap;
SELECT count(*) FROM many WHERE a = E'a\x01' AND b = '\x00ff' AND c = 'NaN';
SELECT count(*) FROM heap WHERE a = E'a\x01' AND b = '\x00ff' AND c = 'NaN';
DROP TABLE heap;

-- zero is one key, and so is NaN
CREATE FOREIGN TABLE fl (k float8, v text) SERVER kvlsm;
INSERT INTO fl VALUES ('-0', 'zero'), ('NaN', 'nan');
INSERT INTO fl VALUES (0, 'again');
INSERT INTO fl VALUES ('-NaN', 'again');
SELECT * FROM fl WHERE k = 0;
DELETE FROM fl WHERE k = 'NaN' RETURNING *;

-- any type as a value, by its own image
CREATE TYPE color AS ENUM ('red', 'green', 'blue');
CREATE TYPE pair AS (x int, y text);
CREATE DOMAIN small AS int CHECK (VALUE < 100);
CREATE TABLE vals (k int PRIMARY KEY, b bool, c "char", i2 int2, i4 int4, i8 int8, o oid, f4 float4, f8 float8,
	num numeric, t text, ch char(5), vc varchar(9), na name, by bytea, u uuid, d date, ti time, tz timetz, ts timestamp,
	iv interval, pt point, bx box, ip inet, mac macaddr, bt bit(3), vb varbit, j json, jb jsonb, x xml, ar int[],
	ta text[], mr int4multirange, ra numrange, en color, co pair, ca pair[], dom small, tv tsvector, ov oidvector, mo money);
INSERT INTO vals VALUES (1, true, 'x', -1, -2147483648, 9223372036854775807, 4294967295, 1.5, -0.1,
	123456789012345678901234567890.5, 'text', 'ab', 'vc', 'name', '\x00ff', md5('u')::uuid, 'infinity', '12:34:56.7', '12:00+02', '1066-10-14',
	'1 mon -2 days', '(1,2)', '(1,2,3,4)', '::1/64', '08:00:2b:01:02:03', '101', '1', '{"a" : 1}', '{"a": [1, "x", null]}', '<a/>', '{{1,2},{3,NULL}}',
	'{a,NULL,"b c"}', '{[1,3),[5,8)}', '[1.5,)', 'blue', '(1,two)', '{"(1,a)","(,)"}', 42, 'fat:1 cat', '1 2 3', 12.34);
INSERT INTO vals VALUES (2);
INSERT INTO vals (k, b, c, i2, i4, i8, f8, t, by, ar, jb) VALUES (3, false, '', 0, 0, 0, 0, '', '', '{}', '{}'),
	(4, NULL, NULL, 127, 128, -129, '-0', repeat('x', 126), '\x00', NULL, '"s"'),
	(5, NULL, NULL, -128, 32768, 1 << 30, 'NaN', repeat('y', 127), '\x00', NULL, '1'),
	(6, NULL, NULL, 255, -32769, -(2 ^ 40)::int8, 'Infinity', repeat('long', 100000), decode(repeat('00ff', 9000), 'hex'), ARRAY(SELECT generate_series(1, 3000)), NULL);
CREATE FOREIGN TABLE kvals (k int NOT NULL, b bool, c "char", i2 int2, i4 int4, i8 int8, o oid, f4 float4, f8 float8,
	num numeric, t text, ch char(5), vc varchar(9), na name, by bytea, u uuid, d date, ti time, tz timetz, ts timestamp,
	iv interval, pt point, bx box, ip inet, mac macaddr, bt bit(3), vb varbit, j json, jb jsonb, x xml, ar int[],
	ta text[], mr int4multirange, ra numrange, en color, co pair, ca pair[], dom small, tv tsvector, ov oidvector, mo money)
	SERVER kvlsm;
INSERT INTO kvals SELECT * FROM vals;
SELECT v.k FROM vals v JOIN kvals kv USING (k) WHERE v::text IS DISTINCT FROM kv::text;
\x
SELECT * FROM kvals WHERE k = 1;
\x
SELECT k, length(t), length(by), (co).y, ar[3000] FROM kvals WHERE k IN (1, 6);
UPDATE kvals SET co.y = 'three', ar[2] = 7, t = left(t, 130) WHERE k = 6
RETURNING k, co, length(t), array_length(ar, 1);
SELECT count(*) FROM kvals WHERE f8 = 'NaN' OR t = '' OR i8 < 0;

-- columns come and go without a rewrite
CREATE FOREIGN TABLE cols (k int NOT NULL, a text, b int) SERVER kvlsm;
INSERT INTO cols VALUES (1, 'one', 1), (2, 'two', 2);
ALTER FOREIGN TABLE cols DROP COLUMN a;
SELECT * FROM cols;
ALTER FOREIGN TABLE cols ADD COLUMN c text;
INSERT INTO cols VALUES (3, 3, 'c');
ALTER FOREIGN TABLE cols ADD COLUMN a text;
UPDATE cols SET a = 'new' WHERE k = 1;
SELECT * FROM cols;

-- too long, and nothing of it is written
INSERT INTO cols VALUES (9, 1, repeat('x', 17000000));
CREATE FOREIGN TABLE lk (k text COLLATE "C", v int) SERVER kvlsm;
INSERT INTO lk VALUES (repeat('k', 5000), 1);
INSERT INTO lk VALUES (repeat('k', 4094), 1);
INSERT INTO lk VALUES (repeat('k', 4095), 1);
SELECT count(*) FROM lk WHERE k = repeat('k', 100000);
SELECT length(k), v FROM lk;
SELECT k FROM cols WHERE k = 9;
-- from a toasted value of a heap table
CREATE TABLE toasted (k text, v text);
ALTER TABLE toasted ALTER k SET STORAGE EXTERNAL, ALTER v SET STORAGE EXTERNAL;
INSERT INTO toasted SELECT repeat('k', 3000), string_agg(md5(i::text), '') FROM generate_series(1, 4000) i;
CREATE FOREIGN TABLE detoasted (k text COLLATE "C", n int, v text) SERVER kvlsm;
INSERT INTO detoasted SELECT k, 1, v FROM toasted;
SELECT d.v = t.v AND d.k = t.k AS same, length(d.v) FROM detoasted d, toasted t;
DROP TABLE toasted, vals;
DROP FOREIGN TABLE events, edges, many, fl, kvals, cols, lk, detoasted;
DROP FUNCTION values_of, check_key;
DROP TYPE verdict, color, pair;
DROP DOMAIN small;
