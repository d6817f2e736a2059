# SPDX-License-Identifier: PostgreSQL
#
# Transactions and what PostgreSQL does to their ids: a freeze that moves the
# end of the commit log, versions of transactions that failed after kvlsm's
# part of the commit, restarts; two transactions of a million keys at once;
# NOTIFY beside keys.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use KvTest;
use PostgreSQL::Test::Utils;
use Test::More;

# The commit log is cut in segments of 2^20 transactions: begin 400 before the
# second, so that the first goes with the first freeze.
sub skip_transactions
{
	my ($node) = @_;

	truncate($node->data_dir . '/pg_xact/0000', 256 * 1024)
	  or die "pg_xact: $!";
	$node->command_ok([ 'pg_resetwal', '-x', 1048576 - 400,
			'-D', $node->data_dir ], 'a cluster that is nearly new');
}

my $node = kv_cluster('transactions', before_start => \&skip_transactions,
	conf => <<'CONF');
kvlsm.memtable_size = 8MB
autovacuum = off
CONF

$node->safe_psql('postgres', <<'SQL');
CREATE EXTENSION dblink;
CREATE TABLE rows (k text PRIMARY KEY, v text);
-- Two serializable transactions that read what the other writes: the second
-- fails when kvlsm's part of its commit is done.
CREATE FUNCTION skew(i int) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	c text;
BEGIN
	FOREACH c IN ARRAY '{a,b}'::text[] LOOP
		PERFORM dblink_connect(c, 'dbname=postgres');
		PERFORM dblink_exec(c, 'BEGIN ISOLATION LEVEL SERIALIZABLE');
		PERFORM * FROM dblink(c, 'SELECT kv_count(prefix => ''none'')')
			AS t(n bigint);
	END LOOP;
	PERFORM * FROM dblink('a', format('SELECT kv_put(''skew%s'', ''a'')', i))
		AS t(v text);
	PERFORM * FROM dblink('b', format('SELECT kv_put(''lost%s'', ''b'')', i))
		AS t(v text);
	PERFORM dblink_exec('b', format(
		'INSERT INTO rows VALUES (''lost%s'', ''b'')', i));
	PERFORM dblink_exec('a', 'COMMIT');
	PERFORM dblink_exec('b', 'COMMIT', false);
	PERFORM dblink_disconnect('a');
	PERFORM dblink_disconnect('b');
	RETURN 'done';
END $$;
SQL

# ---- a freeze takes the commit log away

sub freeze
{
	$node->command_ok([ 'vacuumdb', '-a', '-F', '-q', '-h', $node->host,
			'-p', $node->port ], 'vacuumdb -a -F');
}

# keys that must be there and must not, and their rows alike
sub right
{
	my ($what) = @_;

	is($node->safe_psql('postgres',
			"SELECT kv_count(prefix => 'kept'), kv_count(prefix => 'skew'),"
			  . " kv_count(prefix => 'lost'), kv_count(prefix => 'gone'),"
			  . " (SELECT count(*) FROM rows WHERE k ~ '^kept'),"
			  . " (SELECT count(*) FROM rows r WHERE kv_get(k)"
			  . ' IS DISTINCT FROM v)'),
		'600|40|0|0|600|0', $what);
}

for my $part (0, 1)
{
	my $from = $part * 300 + 1;
	my $to = $from + 299;

	$node->safe_psql('postgres', <<"SQL");
DO \$\$
BEGIN
	FOR i IN $from..$to LOOP
		PERFORM kv_put('kept' || i, i::text);
		INSERT INTO rows VALUES ('kept' || i, i::text);
		COMMIT;
		PERFORM kv_put('gone' || i, i::text);
		ROLLBACK;
	END LOOP;
END \$\$;
SQL
	$node->safe_psql('postgres', "SELECT skew($part * 20 + i) FROM"
		  . ' generate_series(1, 20) i');
	# the first half is in files, with and without the tags of its xids
	$node->safe_psql('postgres', 'SELECT kvlsm_flush()') if $part == 0;
}
right('before the freeze');
# or its transactions would be kept
$node->safe_psql('postgres', 'UPDATE pg_database SET datallowconn = true');
cmp_ok($node->safe_psql('postgres', 'SELECT txid_current()'), '>', 1048576 + 100,
	'the second segment of the commit log has begun');
ok(-e $node->data_dir . '/pg_xact/0000', 'and the first is there');
freeze();
ok(!-e $node->data_dir . '/pg_xact/0000', 'the freeze has cut it off');
right('after the freeze');
$node->restart;
kv_ready($node);
right('after a restart');
$node->safe_psql('postgres',
	"SELECT kv_put('kept1', '1'), skew(41), kv_delete('skew41')");
freeze();
$node->stop('immediate');
kv_start_again($node);
kv_wait('the store', sub { kv_mode($node) eq 'normal' });
right('after a crash');
$node->safe_psql('postgres', 'SELECT kvlsm_flush(); SELECT kvlsm_compact()');
freeze();
right('after a compaction');
is($node->safe_psql('postgres',
		'SELECT file, problem FROM kvlsm_verify() WHERE problem IS NOT NULL'),
	'', 'every file is whole');

# ---- two large transactions at once

my @large = map {
	my %h = (out => '', err => '');
	$h{h} = IPC::Run::start(
		[
			'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d',
			$node->connstr('postgres'), '-c',
			"SELECT count(kv_put('$_' || i, i::text))"
			  . ' FROM generate_series(1, 1000000) i'
		],
		'>', \$h{out}, '2>', \$h{err});
	\%h
} qw(left right);
for my $h (@large)
{
	$h->{h}->finish;
	is($h->{out} . $h->{err}, "1000000\n", 'a million keys, beside another');
}
is($node->safe_psql('postgres',
		"SELECT kv_count(prefix => 'left'), kv_count(prefix => 'right'),"
		  . " kv_get('left777777'), (SELECT count(*) FROM pg_locks"
		  . " WHERE locktype = 'userlock')"),
	'1000000|1000000|777777|0', 'both are there, no lock is left');

# ---- NOTIFY comes after kvlsm's part of the commit

is($node->safe_psql('postgres',
		"BEGIN; SELECT kv_put('notified', 'x'); NOTIFY c;"
		  . " COMMIT; SELECT kv_get('notified')"),
	"\nx", 'a notification and a key');

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|signal (4|6|11)/,
	'no PANIC');
$node->stop;
done_testing();
