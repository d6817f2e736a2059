# SPDX-License-Identifier: PostgreSQL
#
# Tools and databases: pg_dump and restore of both layouts, stores by role,
# databases made from a template, and that nothing is left of what is dropped.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use KvTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Digest::MD5 qw(md5_hex);
use Test::More;

my $node = kv_cluster('dump');
my $dir = PostgreSQL::Test::Utils::tempdir();

sub sql
{
	my ($db, $sql) = @_;

	return $node->safe_psql($db, $sql);
}

# All rows of all stores of a database: how many, and a digest of them.
sub contents
{
	my ($db) = @_;
	my @tables = split /\n/, sql($db,
		'SELECT ftrelid::regclass FROM pg_foreign_table ORDER BY ftrelid::regclass::text');

	return join "\n", map {
		my $rows = sql($db, "SELECT * FROM $_");
		"$_: " . (() = $rows =~ /$/mg) . ' ' . md5_hex($rows)
	} @tables;
}

sub definitions
{
	my ($db) = @_;

	return sql($db, <<'SQL');
SELECT c.oid::regclass, pg_get_userbyid(c.relowner), c.relacl,
	ARRAY(SELECT unnest(f.ftoptions) ORDER BY 1), a.attname,
	format_type(a.atttypid, a.atttypmod), a.attcollation::regcollation, a.attnotnull,
	a.attfdwoptions, pg_get_expr(d.adbin, d.adrelid)
FROM pg_class c JOIN pg_foreign_table f ON f.ftrelid = c.oid
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
ORDER BY c.oid::regclass::text, a.attnum
SQL
}

# ---- dump and restore

sql('postgres', <<'SQL');
CREATE ROLE owner; CREATE ROLE reader; CREATE ROLE writer;
GRANT USAGE ON FOREIGN SERVER kvlsm TO owner;
CREATE SCHEMA app AUTHORIZATION owner;
SELECT kv_put('text', 'a "text"'), kv_put('json', '{"a": [1, null]}'::jsonb),
	kv_put('n', '7'::jsonb), kv_put('é', 'ü'), kv_put(E'ctl\x01', E'tab\t nl\n \\.');
SET ROLE owner;
CREATE FOREIGN TABLE app.plain_text (k text COLLATE "C", v text) SERVER kvlsm OPTIONS (layout 'plain', updatable 'true');
CREATE FOREIGN TABLE app.plain_bytes (v bytea, k bytea) SERVER kvlsm OPTIONS (key 'k');
INSERT INTO app.plain_text SELECT i, md5(i::text) FROM generate_series(1, 3000) i;
INSERT INTO app.plain_bytes VALUES ('', '\x00'), ('\xff00', '\x00ff');
CREATE TYPE app.color AS ENUM ('red', 'green');
CREATE FOREIGN TABLE app."Events" (tenant int NOT NULL, "At" timestamptz NOT NULL DEFAULT now(), id uuid, gone int,
	body jsonb, n numeric(10,2) CHECK (n > 0), c app.color DEFAULT 'red', arr text[])
	SERVER kvlsm OPTIONS (key 'tenant, "At" DESC, id', truncatable 'false', batch_size '50', ttl '1000 days');
INSERT INTO app."Events" SELECT i % 7, '2020-01-01'::timestamptz + i * interval '1.5 hours', md5(i::text)::uuid, i,
	jsonb_build_object('i', i), nullif(i % 11, 0), NULL, ARRAY['x', NULL, i::text] FROM generate_series(1, 2000) i;
ALTER FOREIGN TABLE app."Events" DROP COLUMN gone;
ALTER FOREIGN TABLE app."Events" ADD COLUMN later text NOT NULL DEFAULT 'it''s {"late"}';
ALTER FOREIGN TABLE app."Events" ADD COLUMN latest int DEFAULT 5;
ALTER FOREIGN TABLE app."Events" ALTER later SET DEFAULT 'soon';
UPDATE app."Events" SET latest = NULL WHERE tenant = 3;
CREATE FOREIGN TABLE app.floats (f float8, b bool, t text COLLATE "C", by bytea) SERVER kvlsm OPTIONS (key 'f DESC, b, t, by DESC');
INSERT INTO app.floats VALUES ('NaN', true, '', ''), ('-Infinity', false, 'a', '\x00'), (0.1, true, E'\x01', '\xff'), (-1e-300, NULL IS NULL, 'é', '\x00ff');
GRANT SELECT ON app."Events" TO reader;
GRANT SELECT, INSERT, UPDATE, DELETE ON app."Events" TO writer;
RESET ROLE;
CREATE TABLE part (region text COLLATE "C", k int, v text) PARTITION BY LIST (region);
CREATE FOREIGN TABLE part_a PARTITION OF part FOR VALUES IN ('a') SERVER kvlsm OPTIONS (key 'k');
CREATE TABLE part_h PARTITION OF part FOR VALUES IN ('h');
INSERT INTO part SELECT substr('ah', i % 2 + 1, 1), i, i FROM generate_series(1, 10) i;
SQL

my $rows = contents('postgres');
my $defs = definitions('postgres');

for my $format ('plain', 'custom')
{
	my $file = "$dir/$format.dump";
	my $db = "restored_$format";

	$node->command_ok(
		[
			'pg_dump', '-d', $node->connstr('postgres'), '-F', $format,
			'--include-foreign-data=kvlsm', '-f', $file
		],
		"pg_dump, format $format");
	sql('postgres', "CREATE DATABASE $db");
	$node->command_ok(
		$format eq 'plain'
		? [
			'psql', '-Xq', '-v', 'ON_ERROR_STOP=1', '-o', '/dev/null',
			'-d', $node->connstr($db), '-f', $file
		  ]
		: [ 'pg_restore', '-e', '-d', $node->connstr($db), $file ],
		"restore, format $format");
	is(contents($db), $rows, "the same rows, format $format");
	is(definitions($db), $defs, "the same tables, format $format");
	is(sql($db, "SELECT count(*) FROM part"), 10, 'partitions of both kinds');
}
$node->command_ok(
	[
		'pg_dump', '-d', $node->connstr('restored_plain'),
		'--include-foreign-data=kvlsm', '-f', "$dir/again.dump"
	],
	'pg_dump of what was restored');
my ($first, $again) = map { slurp_file("$dir/$_.dump") } 'plain', 'again';
s/^\\(un)?restrict .*$//mg for $first, $again;
is($again, $first, 'a dump of the restored database is the same dump');

# ---- roles

for my $case (
	[ 'reader', 'SELECT count(*) FROM app."Events"', 1 ],
	[ 'reader', 'DELETE FROM app."Events"', 0 ],
	[ 'reader', 'INSERT INTO app."Events" (tenant, id) VALUES (1, md5(\'r\')::uuid)', 0 ],
	[ 'reader', 'ALTER FOREIGN TABLE app."Events" ADD COLUMN x int', 0 ],
	[ 'reader', 'TRUNCATE app."Events"', 0 ],
	[ 'writer', 'INSERT INTO app."Events" (tenant, id, n) VALUES (1, md5(\'w\')::uuid, 1)', 1 ],
	[ 'writer', 'UPDATE app."Events" SET n = 2 WHERE id = md5(\'w\')::uuid', 1 ],
	[ 'writer', 'DELETE FROM app."Events" WHERE id = md5(\'w\')::uuid', 1 ],
	[ 'writer', 'SELECT count(*) FROM app.floats', 0 ],
	[ 'writer', 'DROP FOREIGN TABLE app."Events"', 0 ],
	[ 'owner', 'ALTER FOREIGN TABLE app."Events" RENAME latest TO last', 1 ])
{
	my ($role, $statement, $may) = @$case;
	my $err = kv_error($node,
		"GRANT USAGE ON SCHEMA app TO reader, writer; SET ROLE $role; $statement");

	if ($may) { is($err, '', "$role: $statement"); }
	else { like($err, qr/42501/, "$role may not: $statement"); }
}

# ---- a database made from another one

sql('postgres', 'CREATE DATABASE copy TEMPLATE restored_plain');
is(definitions('copy'), definitions('restored_plain'),
	'a copied database has the tables');
is(sql('copy', 'SELECT count(*) FROM app."Events"'), 0, 'and none of the rows');
sql('copy', 'INSERT INTO app.plain_text VALUES (\'1\', \'of the copy\')');
is(sql('restored_plain', 'SELECT v = md5(\'1\') FROM app.plain_text WHERE k = \'1\''),
	't', 'what the copy writes is its own');
sql('copy', 'TRUNCATE app.plain_bytes; DROP SCHEMA app CASCADE');
is(contents('restored_plain'), $rows, 'the original has all its rows');

# ---- nothing is left of what is dropped

sub on_disk
{
	sql('postgres', 'SELECT kvlsm_flush(); SELECT kvlsm_compact()');
	return sql('postgres', 'SELECT entries FROM kvlsm_stats()');
}

cmp_ok(on_disk(), '>', 10_000, 'the databases have their rows on disk');
sql('postgres', 'DROP DATABASE copy');
sql('postgres', 'DROP DATABASE restored_plain');
sql('postgres', 'DROP DATABASE restored_custom');
sql('postgres', 'BEGIN; DROP OWNED BY owner CASCADE; ROLLBACK');
sql('postgres', 'BEGIN; DROP SCHEMA app CASCADE; ROLLBACK');
sql('postgres', 'ALTER FOREIGN TABLE app."Events" RENAME last TO latest');
is(contents('postgres'), $rows, 'DROP and ROLLBACK loses nothing');
sql('postgres', 'DROP OWNED BY owner CASCADE; DROP TABLE part');
is(sql('postgres', 'SELECT count(*) FROM kv_range()'), 5, 'other stores stay');
sql('postgres', 'DROP FOREIGN TABLE kv');
# the map of the stores and the marks of what was dropped may be left
cmp_ok(on_disk(), '<', 100, 'no row of a dropped store is left on disk');
is(sql('postgres', 'SELECT count(*) FROM kvlsm_verify() WHERE problem IS NOT NULL'),
	0, 'the files are in order');

done_testing();
