# SPDX-License-Identifier: PostgreSQL
#
# Base backups under load: a restored copy opens complete, or refuses with
# XX001; and the way to uninstall.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use KvTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = kv_cluster('backup');
my $copies = $ENV{KVLSM_COPIES} // ($ENV{KV_LONG} ? 20 : 2);
my %model;
my $refused = 0;

$node->safe_psql('postgres',
	    "SELECT count(kv_put('base' || i, repeat('x', 100)))"
	  . " FROM generate_series(1, 20000) i");

for my $i (1 .. $copies)
{
	my $w = start_writer($node, "w$i-", {}, 20000, 500);

	$node->backup("b$i");
	$w->{h}->signal('INT');
	finish_writer($w);
	my $copy = PostgreSQL::Test::Cluster->new("copy$i");

	$copy->init_from_backup($node, "b$i");
	$copy->start;
	kv_ready($copy);
	if (kv_mode($copy) eq 'normal')
	{
		is( $copy->safe_psql('postgres',
				"SELECT count(*) FROM kv_range(prefix => 'base',"
				  . " max_rows => 10000)"),
			'10000',
			"copy $i has the old rows");
		ok(is_prefix($copy, $w), "copy $i is a state the writer went through");
		is( $copy->safe_psql('postgres',
				'SELECT count(*) FROM kvlsm_verify()'
				  . ' WHERE problem IS NOT NULL'),
			'0',
			"copy $i verifies");
		$copy->safe_psql('postgres', "SELECT kv_put('after', '1')");
	}
	else
	{
		$refused++;
		like(kv_error($copy, "SELECT kv_get('base1')"),
			qr/ERROR:  XX001: /, "copy $i refuses");
	}
	$copy->stop;
}
note("$refused of $copies copies refused");

# ---- pg_backup_start by hand
my $psql = IPC::Run::start(
	[
		'psql', '-XqAt', '-d', $node->connstr('postgres'), '-c',
		"SELECT pg_backup_start('by hand', true)", '-c',
		"SELECT pg_sleep(3)"
	],
	'>', \my $out, '2>', \my $err);
ok( $node->poll_query_until('postgres',
		'SELECT backup_running FROM kvlsm_status()'),
	'an open backup is seen');
$psql->finish;
ok( $node->poll_query_until('postgres',
		'SELECT NOT backup_running FROM kvlsm_status()'),
	'and its end with the session');
$node->safe_psql('postgres', "EXPLAIN SELECT pg_backup_start('x')");
ok( $node->poll_query_until('postgres',
		'SELECT NOT backup_running FROM kvlsm_status()'),
	'EXPLAIN opens none');

# ---- uninstall
like(
	kv_error($node,
		"CREATE ROLE nobody; SET ROLE nobody; SELECT kvlsm_drop_slot()"),
	qr/ERROR:  42501: /,
	'kvlsm_drop_slot() is for superusers');
is($node->safe_psql('postgres', 'SELECT kvlsm_drop_slot()'), 't',
	'the slot is dropped');
like(kv_mode($node), qr/^readonly: kvlsm_drop_slot/, 'nothing can be written');
like(kv_error($node, "SELECT kv_put('a', '1')"),
	qr/ERROR:  55000: .*kvlsm_drop_slot/, 'with the reason');
is($node->safe_psql('postgres',
		"SELECT count(*) FROM kv WHERE key = 'base1'"),
	'1', 'reading works');
is($node->safe_psql('postgres', 'SELECT count(*) FROM pg_replication_slots'),
	'0', 'there is no slot');
$node->stop;
$node->append_conf('postgresql.conf',
	"shared_preload_libraries = ''\nwal_level = minimal\n"
	  . "max_wal_senders = 0\nmax_replication_slots = 0");
$node->start;
$node->safe_psql('postgres', 'DROP EXTENSION kvlsm CASCADE');
is( $node->safe_psql('postgres',
		"SELECT count(*) FROM pg_class WHERE relname = 'kv'"),
	'0', 'uninstalled');
$node->stop;
done_testing();

# Is the writer's part of the copy the model after some number of operations?
# %differ holds the keys in which the two are different.
sub is_prefix
{
	my ($copy, $w) = @_;
	my $have = kv_contents($copy, $w->{prefix});
	my %differ = map { $_ => 1 } keys %$have;
	my %state;

	for my $n (0 .. $w->{acked} + 1)
	{
		return 1 if !%differ;
		last if $n == @{ $w->{ops} };
		apply_ops(\%state, $w->{ops}, $n, $n + 1);
		for my $k (keys %{ $w->{ops}[$n][1] })
		{
			if (($have->{$k} // "\0") eq ($state{$k} // "\0"))
			{
				delete $differ{$k};
			}
			else { $differ{$k} = 1; }
		}
	}
	return 0;
}
