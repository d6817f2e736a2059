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

# [ name, who passes it ]
my @stops;
for my $line (split /\n/, slurp_file("$FindBin::RealBin/stop_points.txt"))
{
	$line =~ s/#.*//;
	push @stops, [ $1, $2 ] if $line =~ /^(\S+)\s+(\S+)/;
}
cmp_ok(scalar @stops, '>=', 20, 'the list of stop points was read');
# what makes a backend pass them: many small transactions, or one that is large
my $large = "SELECT count(kv_put('large' || i, repeat(md5(i::text), 8)))"
  . ' FROM generate_series(1, 8000) i';

my $node = kv_cluster('stops');
my @models = ({}, {});

$node->safe_psql('postgres', <<'SQL');
CREATE FUNCTION stop_set(text, text) RETURNS void
	AS '$libdir/kvlsm', 'kvlsm_sql_stop_set' LANGUAGE C;
CREATE TABLE large (n int);
SQL

for my $stop (@stops)
{
	my ($name, $who) = @$stop;
	my $crashes = crashes();
	my @wrong;

	$node->safe_psql('postgres', "SELECT stop_set('$name', 'kill')");
	my @writers =
	  map { start_writer($node, "w$_-", $models[$_], 3000, 200) } 0, 1;
	if ($who eq 'successor')
	{
		$node->psql('postgres',
			'SELECT pg_terminate_backend(worker_pid) FROM kvlsm_status()');
	}
	for (1 .. 200)
	{
		last if crashes() > $crashes;
		$node->psql('postgres', 'SELECT kvlsm_flush(); SELECT kvlsm_compact()');
		$node->psql('postgres', $large) if $name =~ /^commit-files/;
		# rolled back in the middle of its commit
		$node->psql('postgres',
			"SELECT stop_set('commit-files-done', 'cancel'); $large")
		  if $name eq 'abort-known';
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
# A cancel at each point of a backend: all of the transaction or nothing, its
# rows and its keys alike, no lock and no file left, and the next one works.
$node->safe_psql('postgres',
	"SELECT kv_delete_range('large', 'largf'), kv_delete_range('small', 'smalm')");
my %cancelled;
for my $stop (grep { $_->[1] eq 'backend' } @stops)
{
	my $name = $stop->[0];

	for my $what ([ 'small', 3 ], [ 'large', 8000 ])
	{
		my ($prefix, $n) = @$what;
		my ($out, $err) = ('', '');

		$node->safe_psql('postgres',
			"TRUNCATE large; SELECT kv_delete_range('$prefix', '$prefix~');"
			  . " SELECT stop_set('$name', 'cancel')");
		$node->psql('postgres',
			"BEGIN; INSERT INTO large VALUES ($n);"
			  . " SELECT count(kv_put('$prefix' || i, repeat(md5(i::text), 8)))"
			  . " FROM generate_series(1, $n) i; COMMIT",
			stdout => \$out, stderr => \$err);
		$cancelled{$name}++ if $err =~ /canceling statement due to user request/;
		is($node->safe_psql('postgres',
				"SELECT kv_count(prefix => '$prefix') = coalesce(max(n), 0),"
				  . " (SELECT count(*) FROM pg_locks WHERE locktype = 'userlock')"
				  . ' FROM large'),
			't|0', "$name: cancelled with $n keys, all or nothing");
	}
	$node->safe_psql('postgres', "SELECT stop_set('$name', NULL)");
}
is(join(' ', sort keys %cancelled), 'commit-files-done commit-locked',
	'where a cancel ends the transaction');
is($node->safe_psql('postgres',
		'SELECT file, problem FROM kvlsm_verify() WHERE problem IS NOT NULL'),
	'', 'every file is whole');
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
