# SPDX-License-Identifier: PostgreSQL
#
# A process dies by SIGKILL at each place where the order of steps matters:
# between the batch in PostgreSQL's WAL and the memtable, between a file and
# the MANIFEST that names it, and so on.  Nothing answered is lost, nothing
# is half there, and kvlsm_verify() finds nothing.
#
# Needs a build with stop points (make TESTING=1), which the test suites use.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use KvTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(usleep time);

my $seed = $ENV{KVLSM_SEED} // time() * 1000 % 1_000_000_000;
srand($seed);
note("seed $seed");

# who dies there
my @stops = (
	[ 'batch-logged', 'a backend' ],
	[ 'wal_write', 'the engine worker' ],
	[ 'wal-sync', 'the engine worker' ],
	[ 'wal_sync', 'the engine worker' ],
	[ 'wal_create', 'the engine worker' ],
	[ 'flush-start', 'the engine worker' ],
	[ 'table-linked', 'whoever writes a file' ],
	[ 'manifest-append', 'the engine worker' ],
	[ 'manifest_append', 'the engine worker' ],
	[ 'manifest_synced', 'the engine worker' ],
	[ 'compaction-done', 'the compaction worker' ],
	[ 'compaction-logged', 'the engine worker' ],
	[ 'current_switch', 'an engine worker that takes over' ]);

my $node = kv_cluster('stops');
my @models = ({}, {});

$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION stop_set(text, text) RETURNS void
	AS '$libdir/kvlsm', 'kvlsm_sql_stop_set' LANGUAGE C;
SQL

for my $stop (@stops)
{
	my ($name, $who) = @$stop;
	my $crashes = crashes();
	my @wrong;

	$node->safe_psql('postgres', "SELECT stop_set('$name', 'kill')");
	my @writers =
	  map { start_writer($node, "w$_-", $models[$_], 3000, 200) } 0, 1;
	if ($name eq 'current_switch')
	{
		$node->psql('postgres',
			'SELECT pg_terminate_backend(worker_pid) FROM kvlsm_status()');
	}
	for (1 .. 200)
	{
		last if crashes() > $crashes;
		$node->psql('postgres', 'SELECT kvlsm_flush(); SELECT kvlsm_compact()');
		usleep(20_000);
	}
	cmp_ok(crashes(), '>', $crashes, "$name: $who died there");
	finish_writer($_) for @writers;
	kv_ready($node);
	kv_wait('the store', sub { kv_mode($node) eq 'normal' });
	$node->safe_psql('postgres', "SELECT stop_set('$name', NULL)");
	for my $w (@writers)
	{
		my $wrong = check_writer($node, $w);
		push @wrong, $wrong if $wrong ne '';
	}
	push @wrong,
	  split /\n/, $node->safe_psql('postgres',
		'SELECT file, problem FROM kvlsm_verify() WHERE problem IS NOT NULL');
	is(join("\n", @wrong), '', "$name: nothing lost, nothing half");
	last if @wrong;
}
unlike(slurp_file($node->logfile), qr/PANIC|TRAP|signal (4|6|11)/,
	'no PANIC');
$node->stop;
done_testing();

# Every crash of a process makes the postmaster restart all of them.
sub crashes
{
	my $n = () = slurp_file($node->logfile) =~ /was terminated by signal/g;
	return $n;
}
