# SPDX-License-Identifier: PostgreSQL
#
# kill -9 of a backend, of each worker and of the postmaster, at random
# moments, while two writers put, delete and batch: every answered operation
# is there afterwards, and none is half there.
#
# KVLSM_KILLS: number of kills (10; 100 in the long form).  KVLSM_SEED: to
# run the same operations again.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use KvTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);

my $kills = $ENV{KVLSM_KILLS} // ($ENV{KV_LONG} ? 100 : 10);
my $seed = $ENV{KVLSM_SEED} // time() * 1000 % 1_000_000_000;
srand($seed);
note("seed $seed, $kills kills");

my $node = kv_cluster('crash');
my @models = ({}, {});
my @victims = (
	'postmaster', 'client backend',
	'kvlsm engine worker', 'kvlsm compaction worker',
	'kvlsm slot keeper');
my ($ops, $interrupted, @wrong) = (0, 0);

for my $round (1 .. $kills)
{
	my $victim = $victims[ ($round - 1) % @victims ];
	my @writers =
	  map { start_writer($node, "w$_-", $models[$_], 5000, 200) } 0, 1;
	my $pid = 0;

	usleep(100_000 + int rand 400_000);
	if ($victim eq 'postmaster')
	{
		$node->kill9;
	}
	else
	{
		$pid = $node->safe_psql('postgres',
			"SELECT pid FROM pg_stat_activity WHERE backend_type = '$victim'"
			  . " AND pid <> pg_backend_pid() LIMIT 1");
		kill 'KILL', $pid if $pid;
	}
	for my $w (@writers)
	{
		$ops += finish_writer($w);
		$interrupted++ if $w->{acked} < @{ $w->{ops} };
	}
	if ($victim eq 'postmaster') { kv_start_again($node); }
	else { kv_ready($node); }
	for my $w (@writers)
	{
		my $wrong = check_writer($node, $w);
		push @wrong, "round $round ($victim): $wrong" if $wrong ne '';
	}
	last if @wrong;
}

is(join("\n", @wrong), '', "every answered operation is there, none half");
cmp_ok($interrupted, '>=', $kills, 'writers were interrupted');
note("$ops operations were answered");
cmp_ok($ops, '>=', $kills * 10, 'writers had written');
is( $node->safe_psql('postgres',
		'SELECT count(*) FROM kvlsm_verify() WHERE problem IS NOT NULL'),
	'0', 'kvlsm_verify() finds nothing');

# An engine worker that ends alone is started again; the others stay.
my $start = $node->safe_psql('postgres', 'SELECT pg_postmaster_start_time()');
my $before = kv_pid($node, 'kvlsm engine worker');
$node->safe_psql('postgres', "SELECT kv_put('alone', '1')");
$node->safe_psql('postgres', "SELECT pg_terminate_backend($before)");
kv_wait('another engine worker',
	sub { my $p = kv_pid($node, 'kvlsm engine worker'); $p && $p ne $before });
kv_ready($node);
$node->safe_psql('postgres', "SELECT kv_put('alone2', '2')");
$node->safe_psql('postgres', "SELECT kvlsm_flush()");
is( $node->safe_psql('postgres', "SELECT kv_get('alone') || kv_get('alone2')"),
	'12', 'the engine worker can be restarted alone');
$node->restart;
kv_ready($node);
is( $node->safe_psql('postgres', "SELECT kv_get('alone') || kv_get('alone2')"),
	'12', 'and a clean restart keeps everything');
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|Assert/, 'no PANIC');
$node->stop;
done_testing();
