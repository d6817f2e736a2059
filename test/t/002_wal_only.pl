# SPDX-License-Identifier: PostgreSQL
#
# PostgreSQL's WAL alone brings back what the kvlsm WAL has lost: its tail
# is cut off, or all its segments are removed, before the restart.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use KvTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = kv_cluster('wal_only', conf => 'kvlsm.memtable_size = 16MB');
my $dir = $node->data_dir . '/kvlsm';

sub rows
{
	return $node->safe_psql('postgres',
		"SELECT count(*), min(value #>> '{}'), max(value #>> '{}') FROM kv");
}

sub replayed
{
	return $node->safe_psql('postgres',
		'SELECT replayed_records FROM kvlsm_status()');
}

sub put
{
	my ($from, $to, $value) = @_;
	$node->safe_psql('postgres',
		    "SELECT count(kv_put('k' || i, '$value'))"
		  . " FROM generate_series($from, $to) i");
}

# ---- the tail

put(1, 1000, 'a');
put(1001, 2000, 'b');
$node->safe_psql('postgres', "SELECT kv_delete('k1')");
$node->safe_psql('postgres', "BEGIN; SELECT kv_put('gone', 'x'); ROLLBACK");
my $expected = rows();
is($expected, '1999|a|b', 'what was written is there');
$node->kill9;
my @wal = sort { -M $b <=> -M $a } glob "$dir/*.wal";
ok(@wal > 0, 'there are WAL segments');
kv_wait('the segment to be let go', sub { !is_locked($dir) });
my $newest = $wal[-1];
# zeros that are there in advance hold nothing
my $used = length(slurp_file($newest) =~ s/\0+\z//r);
truncate($newest, int($used / 10)) or die "truncate: $!";
kv_start_again($node);
is(rows(), $expected, 'a cut tail is replaced');
cmp_ok(replayed(), '>', 0, 'from PostgreSQL\'s WAL');

# ---- all segments since the last flush

$node->safe_psql('postgres', 'SELECT kvlsm_flush()');
put(1, 500, 'c');
put(3000, 3999, 'd');
$node->safe_psql('postgres',
	"BEGIN; SELECT kv_put('t1', 'y'), kv_put('t2', 'z'); COMMIT");
$expected = rows();
$node->kill9;
kv_wait('the segments to be let go', sub { !is_locked($dir) });
unlink glob "$dir/*.wal";
kv_start_again($node);
is(kv_mode($node), 'normal', 'the store is open');
is(rows(), $expected, 'lost segments are replaced');
cmp_ok(replayed(), '>', 2, 'from PostgreSQL\'s WAL');
is($node->safe_psql('postgres', "SELECT kv_get('t1') || kv_get('t2')"),
	'yz', 'the newest transaction is whole');
is($node->safe_psql('postgres', "SELECT kv_get('gone') IS NULL"),
	't', 'what was rolled back is not there');

# Checkpoints move PostgreSQL's WAL on; the slot keeps what is needed.
for my $i (1 .. 3)
{
	put(1, 2000, "e$i");
	$node->safe_psql('postgres', 'SELECT pg_switch_wal(); CHECKPOINT');
}
$expected = rows();
$node->stop('immediate');
kv_start_again($node);
is(rows(), $expected, 'and again after checkpoints');
is( $node->safe_psql('postgres',
		'SELECT count(*) FROM kvlsm_verify() WHERE problem IS NOT NULL'),
	'0', 'kvlsm_verify() finds nothing');

# The slot follows: PostgreSQL's WAL is not kept for ever.
my $limit = $node->safe_psql('postgres', 'SELECT pg_current_wal_lsn()');
$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
ok( $node->poll_query_until(
		'postgres',
		"SELECT restart_lsn >= '$limit' FROM pg_replication_slots"
		  . " WHERE slot_name = 'kvlsm'"),
	'the slot moves while nothing is written');
$node->stop;
done_testing();

# Orphans of a killed postmaster hold a lock on the folder until they end.
sub is_locked
{
	my ($folder) = @_;
	my $free;

	open(my $d, '<', $folder) or die "$folder: $!";
	$free = flock($d, 2 | 4);
	close($d);
	return !$free;
}
