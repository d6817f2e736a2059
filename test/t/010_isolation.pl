# SPDX-License-Identifier: PostgreSQL
#
# Random transactions over keys and rows at each isolation level, while
# queries are cancelled and processes are killed, have a history that the
# level allows; what one transaction wrote to a row and to a key is never
# seen apart; and a server that ignores snapshots, conflicts or reads would be
# found.  The work is done by the programs in test/history.
#
# KV_LONG=1 runs 100,000 transactions and 1,000,000 reads, KVLSM_SEED=n others
# than those of the moment.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use KvTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $seed = $ENV{KVLSM_SEED} // time() * 1000 % 1_000_000_000;
my $long = $ENV{KV_LONG};
my $programs = "$FindBin::RealBin/../history";

note("seed $seed");
$ENV{PYTHONDONTWRITEBYTECODE} = 1;

# Its lines "ok - ..." and "not ok - ..." are tests of ours.
sub program
{
	my ($name, @args) = @_;
	my ($out, $err) = ('', '');
	my ($tests, $failed) = (0, 0);
	my @lines;

	my $done = IPC::Run::run([ 'python3', "$programs/$name.py", @args ],
		'>', \$out, '2>', \$err);
	for my $line (split /\n/, $out)
	{
		if ($line =~ /^(not )?ok - (.*)/)
		{
			$tests++;
			$failed++ if $1;
			ok(!$1, $2);
			if ($1) { diag($_) for @lines; }
			else { note($_) for @lines; }
			@lines = ();
		}
		else
		{
			$line =~ s/^# //;
			push @lines, $line;
		}
	}
	diag($_) for @lines;
	ok($tests > 0 && $err eq '' && ($done || $failed),
		"$name.py has said all");
	diag("$name.py @args: $err") if !$done || $err ne '';
}

# ---- the checker itself

program('checker_test');

# ---- a server

my $node = kv_cluster('isolation',
	conf => "max_connections = 60\nlog_min_messages = warning\n");
my @server = ('--dsn', $node->connstr('postgres'), '--seed', $seed);

sub history
{
	my ($level, @args) = @_;

	program('history', @server, '--level', $level, '--save',
		"$PostgreSQL::Test::Utils::log_path/history-$level.json", @args);
}

for my $level (qw(rc rr ser))
{
	history($level, $long
		? qw(--seconds 60 --transactions 34000 --kill-every 5 --max-seconds 900)
		: qw(--seconds 4.5 --kill-every 2));
}
# PostgreSQL's own word for it: no keys, so a finding is the checker's mistake
history('ser', '--rows', $long ? qw(--seconds 20) : qw(--seconds 1));
program('torn', @server, $long
	? qw(--seconds 60 --reads 1000000 --kill-every 20 --max-seconds 900)
	: qw(--seconds 2 --reads 5000));
is( $node->safe_psql('postgres',
		'SELECT file, problem FROM kvlsm_verify() WHERE problem IS NOT NULL'),
	'', 'kvlsm_verify finds nothing');

# ---- the same with mistakes on purpose must not pass

my @enough = qw(--seconds 1 --transactions 1000 --max-seconds 30);

program('torn', @server, qw(--plant ignore-snapshot --max-seconds 30));
history('rr', qw(--plant ignore-snapshot), @enough);
history('rr', qw(--plant ignore-conflicts), @enough);
history('ser', qw(--plant ignore-reads), @enough);

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|signal (4|6|11)/,
	'no PANIC');
$node->stop;
done_testing();
