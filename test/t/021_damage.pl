# SPDX-License-Identifier: PostgreSQL
#
# Damaged bytes of rows, hundreds of thousands of them, decode to a row or to
# XX001; nothing crashes, and no other error is raised.
#
# KVLSM_SEED: to repeat a run.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use KvTest;
use Test::More;

my $seed = $ENV{KVLSM_SEED} // int rand 1_000_000;
my $rounds = $ENV{KV_LONG} ? 20_000 : 1_000;
my $node = kv_cluster('damage');

note("KVLSM_SEED=$seed");
$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION damage_rows(regclass, int, int) RETURNS text
	AS '$libdir/kvlsm', 'kvlsm_sql_damage_rows' LANGUAGE C;
CREATE FOREIGN TABLE ints (a bool, b int2, c int4, d int8, e date, f time, g timestamptz, v int)
	SERVER kvlsm OPTIONS (key 'a, b DESC, c, d DESC, e, f DESC, g');
INSERT INTO ints SELECT i % 2 = 0, i, i, i, '2020-01-01'::date + i, '12:00', now(), i FROM generate_series(1, 20) i;
CREATE FOREIGN TABLE strings (a text COLLATE "C", b bytea, c float8, d float4, e uuid, f text COLLATE "C")
	SERVER kvlsm OPTIONS (key 'a, b DESC, c, d DESC, e DESC, f DESC');
INSERT INTO strings SELECT repeat('é', i), decode(repeat('00ff', i), 'hex'), i, -i, md5(i::text)::uuid, 'x'
FROM generate_series(0, 20) i;
CREATE FOREIGN TABLE rows (k int, b bool, c "char", i2 int2, i4 int4, i8 int8, f float8, t text, n name, u uuid,
	by bytea, num numeric, iv interval, j jsonb, a int[], gone text) SERVER kvlsm;
INSERT INTO rows SELECT i, i > 0, 'c', i, -i, i::int8 << i, i / 3.0, repeat('t', i * 10), 'n', md5(i::text)::uuid,
	decode(repeat('ab', i), 'hex'), i / 7.0, i * interval '1 h', '{"a": 1}', ARRAY[1, 2, NULL], 'gone'
FROM generate_series(0, 20) i;
INSERT INTO rows (k) VALUES (99);
ALTER FOREIGN TABLE rows DROP COLUMN gone;
ALTER FOREIGN TABLE rows ADD COLUMN late text DEFAULT 'late';
SQL

for my $table ('ints', 'strings', 'rows')
{
	my ($out, $err) = ('', '');
	my $rc = $node->psql('postgres', "SELECT damage_rows('$table', $rounds, $seed)",
		stdout => \$out, stderr => \$err);
	my ($good, $damaged) = split ' ', $out;

	is($rc, 0, "$table: rows or XX001 (KVLSM_SEED=$seed)") or diag($err);
	note("$table: $good good, $damaged damaged");
	cmp_ok($damaged // 0, '>', $rounds, "$table: damage is seen");
	cmp_ok($good // 0, '>', $rounds, "$table: some bytes are a row again");
}
is($node->safe_psql('postgres', 'SELECT count(*) FROM rows WHERE late = \'late\''),
	22, 'the rows themselves are as they were');

done_testing();
