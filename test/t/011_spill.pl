# SPDX-License-Identifier: PostgreSQL
#
# A transaction that writes more than kvlsm.write_set_memory: it sees its own
# writes, can be rolled back in part, commits all of the rest, and leaves no
# file behind after a rollback, a cancel or kill -9.
#
# The long form (KV_LONG=1) writes 20 million rows under the default setting
# and measures memory and the time of the rollback.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use KvTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = kv_cluster('spill', conf => <<'CONF');
kvlsm.write_set_memory = 64kB
max_wal_size = 1GB
jit = off
CONF
my $rows = 300_000;

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# A statement that puts so many rows, in an order that is none of the keys'.
sub puts
{
	my ($n) = @_;

	return "SELECT count(kv_put('k' || lpad((i * 7919::bigint % 9999991)::text,"
	  . " 8, '0'), repeat(i::text, 8))) FROM (SELECT generate_series(1, $n) i) s";
}

# What is in the folders of temporary files and of the store.
sub left_behind
{
	my $dir = $node->data_dir;

	return join ' ', glob("$dir/base/pgsql_tmp/* $dir/kvlsm/*tmp*");
}

# One text for all that the store holds, and for what it should hold.
my $sum = "SELECT concat_ws(' ', count(*), sum(hashtext(key)::bigint),"
  . " sum(hashtext(value #>> '{}')::bigint)) FROM kv";
my $expected = <<"SQL";
SELECT concat_ws(' ', count(*), sum(hashtext(k)::bigint),
	sum(hashtext(repeat(i::text, 8))::bigint))
FROM (SELECT i, 'k' || lpad((i * 7919::bigint % 9999991)::text, 8, '0') AS k
	FROM generate_series(1, $rows) i) s
SQL

# ---- reading back, savepoints, a cursor, commit

my $out = sql(<<"SQL");
\\o /dev/null
BEGIN;
@{[puts($rows)]};
\\o
SELECT 'files', count(*) > 1 FROM pg_ls_tmpdir();
SELECT 'get', kv_get('k00007919') = '11111111', kv_get('k0000791') IS NULL;
SELECT 'missing', count(*) FROM generate_series(1, $rows, 1009) i
	WHERE kv_get('k' || lpad((i * 7919::bigint % 9999991)::text, 8, '0'))
		IS DISTINCT FROM repeat(i::text, 8);
SELECT 'range', count(*), min(key), max(key) FROM kv_range(max_rows => 5000);
SELECT 'reverse', count(*), min(key) > 'k09', max(key) > 'k099'
	FROM kv_range(max_rows => 5000, reverse => true);
SELECT 'all', ($sum) = ($expected);
SAVEPOINT a;
SELECT 'deleted', count(kv_delete(key)) FROM kv WHERE key > 'k05';
SELECT 'overwritten', count(kv_put(key, 'other')) FROM kv;
SELECT 'after that', count(*) < $rows, min(value #>> '{}') FROM kv;
ROLLBACK TO a;
SELECT 'all again', ($sum) = ($expected);
DECLARE c CURSOR FOR SELECT key FROM kv;
MOVE 1000 FROM c;
SAVEPOINT b;
SELECT 'put', count(kv_put('m' || i, 'x')) FROM generate_series(1, 20000) i;
RELEASE b;
MOVE ALL FROM c;
COMMIT;
SELECT 'files', count(*) FROM pg_ls_tmpdir();
SQL
$sum =~ s/$/ WHERE key < 'l'/;
my $want = <<"WANT";
files|t
get|t|t
missing|0
WANT
like($out, qr/^\Q$want\E/, 'own writes in files are read by key');
like($out, qr/^range\|5000\|k0/m, 'and in ranges');
like($out, qr/^reverse\|5000\|t\|t$/m, 'backward too');
like($out, qr/^all\|t$/m, 'a scan finds all of them');
like($out, qr/^after that\|t\|other$/m, 'they can be overwritten and deleted');
like($out, qr/^all again\|t$/m, 'and ROLLBACK TO brings them back');
like($out, qr/^files\|0$/m, 'after the commit there is no file left');
is(sql("SELECT ($sum) = ($expected)"),
	't', 'all rows were committed');
is(sql("SELECT count(*) FROM kv WHERE key > 'l'"),
	'20000', 'and those of a released savepoint');
is(left_behind(), '', 'nothing is left behind');

# ---- rollback

my $before = sql($sum);
$out = sql("BEGIN; @{[puts(50_000)]}; SELECT count(*) > 1 FROM pg_ls_tmpdir();"
	  . ' ROLLBACK; SELECT count(*) FROM pg_ls_tmpdir()');
like($out, qr/^t\n0$/m, 'a rollback removes the files');
is(left_behind(), '', 'all of them');

# ---- an error while spilling: its own SQLSTATE; the transaction may go on

my $limited = "SET temp_file_limit = '1MB'; ";
like(kv_error($node, $limited . puts($rows)),
	qr/53400.*temporary file size exceeds temp_file_limit/,
	'temp_file_limit is reported as such');
is(left_behind(), '', 'and nothing is left behind');
sql(<<"SQL");
$limited
BEGIN;
SELECT count(kv_put('n' || i, 'x')) FROM generate_series(1, 1000) i;
DO \$\$ BEGIN
	PERFORM kv_put('o' || i, repeat(md5(i::text), 30))
		FROM generate_series(1, $rows) i;
EXCEPTION WHEN configuration_limit_exceeded THEN
	RAISE NOTICE 'enough';
END \$\$;
SELECT count(kv_put('n' || i, 'y')) FROM generate_series(501, 1500) i;
COMMIT;
SQL
is( sql("SELECT count(*), count(*) FILTER (WHERE value = '\"y\"')"
		  . " FROM kv WHERE key LIKE 'n%'"),
	'1500|1000', 'after an error in a block the transaction goes on');
is(sql("SELECT count(*) FROM kv WHERE key LIKE 'o%'"), '0', 'without it');
is(left_behind(), '', 'still nothing is left behind');

# ---- cancel and kill -9 in the middle

# Lets a session write without end, does something to it; its standard error.
sub interrupt
{
	my ($how) = @_;
	my $err = '';
	my $h = IPC::Run::start(
		[
			'psql', '-XqAt', '-d',
			$node->connstr('postgres') . ' application_name=victim',
			'-c', puts(100_000_000)
		],
		'>', '/dev/null', '2>', \$err);

	kv_wait('files of the session', sub {
		sql('SELECT count(*) > 3 FROM pg_ls_tmpdir()') eq 't' });
	$how->(sql("SELECT pid FROM pg_stat_activity"
			  . " WHERE application_name = 'victim'"));
	$h->finish;
	return $err;
}

like(interrupt(sub { sql("SELECT pg_cancel_backend($_[0])") }),
	qr/canceling statement due to user request/, 'the session was cancelled');
is(left_behind(), '', 'nothing is left behind');
interrupt(sub { sql("SELECT pg_terminate_backend($_[0])") });
is(left_behind(), '', 'nor after the end of a session');
like(interrupt(sub { kill 'KILL', $_[0] }),
	qr/connection to server was lost/, 'the session was killed');
kv_ready($node);
is(left_behind(), '', 'nothing is left behind after the restart');
is(sql($sum), $before, 'and the rows are those from before');

# ---- large rows of COPY and INSERT ... SELECT wait for no batch

my $large = PostgreSQL::Test::Utils::tempdir() . '/large.copy';
my $peak = "SELECT substring(pg_read_file('/proc/self/status')"
  . " FROM 'VmHWM:\\s+(\\d+)')::int";

sql("COPY (SELECT 'large' || i, repeat(md5(i::text), 65536)"
	  . " FROM generate_series(1, 80) i) TO '$large'");
sql('CREATE FOREIGN TABLE large (key text NOT NULL, value text NOT NULL)'
	  . ' SERVER kvlsm');
$out = sql(<<"SQL");
BEGIN;
INSERT INTO large SELECT 'first', repeat(md5('x'), 65536);
$peak AS before \\gset
COPY large FROM '$large';
INSERT INTO large SELECT 'more' || i, repeat(md5(i::text), 65536)
	FROM generate_series(1, 80) i;
SELECT count(*), sum(length(value)) FROM large;
SELECT ($peak) - :before;
ROLLBACK;
SQL
my ($counted, $grown) = split /\n/, $out;
is($counted, '161|337641472', 'large rows are there');
cmp_ok($grown, '<', 60000, "160 MB are not held at once ($grown kB)");
unlink $large;

# ---- the size that was promised

if ($ENV{KV_LONG})
{
	my $n = 20_000_000;
	my $file = PostgreSQL::Test::Utils::tempdir() . '/status';
	my $status = "\\! cat /proc/\$P/status >> $file\n";
	my $many = puts($n) =~ s/9999991/99999989/r;

	$node->append_conf('postgresql.conf', "kvlsm.write_set_memory = 64MB\n");
	$node->reload;
	my $times = sql(<<"SQL");
SELECT pg_backend_pid() AS pid \\gset
\\setenv P :pid
\\o /dev/null
SELECT count(kv_put('w' || i, 'x')) FROM generate_series(1, 1000) i;
$status
BEGIN;
SELECT clock_timestamp() AS t1 \\gset
@{[$many =~ s/repeat\(i::text, 8\)/repeat(md5(i::text), 3)/r]};
SELECT clock_timestamp() AS t2 \\gset
$status
ROLLBACK;
SELECT clock_timestamp() AS t3 \\gset
\\o
SELECT extract(epoch FROM :'t2'::timestamptz - :'t1'),
	extract(epoch FROM :'t3'::timestamptz - :'t2');
SQL
	my ($put_s, $rollback_s) = split /\|/, $times;
	my @anon = slurp_file($file) =~ /^RssAnon:\s+(\d+) kB/mg;
	my @most = slurp_file($file) =~ /^VmHWM:\s+(\d+) kB/mg;

	note("$n puts in $put_s s, rollback in $rollback_s s; RssAnon $anon[0] kB,"
		  . " then $anon[1] kB; VmHWM $most[0] kB, then $most[1] kB");
	cmp_ok($most[1] - $most[0], '<=', 72 * 1024,
		'20 million puts need little more than 64 MB');
	cmp_ok($rollback_s, '<', 1, 'and are rolled back in less than a second');
	is(left_behind(), '', 'nothing is left behind');
}
$node->stop;
done_testing();
