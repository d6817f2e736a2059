# SPDX-License-Identifier: PostgreSQL
#
# Settings do what they say: kvlsm.compression, kvlsm.compaction_rate_limit,
# kvlsm.stall_timeout.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use KvTest;
use PostgreSQL::Test::Utils;
use Test::More;
use Time::HiRes qw(time);

my $node = kv_cluster('settings', conf => "kvlsm.compression = none\n");

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

# Bytes a row of values that compress well, compacted into a store of its own.
sub bytes_with
{
	my ($store) = @_;

	sql("SELECT kv_create_store('$store');"
		  . "SELECT count(kv_put('k' || i, repeat('abcdefgh', 12), store => '$store'))"
		  . ' FROM generate_series(1, 5000) i; SELECT kvlsm_compact()');
	return sql("SELECT kvlsm_store_size('$store') / 5000");
}

# ---- compression

my $plain = bytes_with('plain');
$node->append_conf('postgresql.conf', "kvlsm.compression = lz4\n");
$node->restart;
kv_ready($node);
my $packed = bytes_with('packed');
cmp_ok($plain, '>', 90, 'without compression a row has its length');
cmp_ok($packed, '<', $plain / 2, 'with lz4 it has less than half of it');
is(sql('SELECT count(*) FROM plain'), '5000', 'what was there is read');

# ---- rate limit: a second for 2 MB

sub timed_compaction
{
	sql("SELECT count(kv_put('k' || i, repeat('abcdefgh', 12), store => 'packed'))"
		  . ' FROM generate_series(1, 5000) i; SELECT kvlsm_flush()');
	my $start = time();
	sql('SELECT kvlsm_compact()');
	return time() - $start;
}

$node->append_conf('postgresql.conf',
	"kvlsm.compaction_rate_limit = '2MB'\n");
$node->reload;
my $limited = timed_compaction();
cmp_ok($limited, '>', 0.7, 'a rate limit slows compaction down');
$node->append_conf('postgresql.conf', "kvlsm.compaction_rate_limit = 0\n");
$node->reload;
cmp_ok(timed_compaction(), '<', $limited, 'none does not');

# ---- stall timeout: nobody compacts, so L0 fills until writers stop

my ($out, $err, $start) = ('', '', 0);
sql('SELECT kvlsm_pause_compaction()');
$start = time();
$node->psql(
	'postgres', q{
SET kvlsm.stall_timeout = '700ms';
DO $$ BEGIN
	FOR i IN 1..100 LOOP
		PERFORM kv_put('s' || i, 'x');
		COMMIT;
		PERFORM kvlsm_flush();
	END LOOP;
END $$}, stderr => \$err);
like($err, qr/no room for the write within kvlsm\.stall_timeout \(700 ms\)/,
	'a writer that was stopped gives up');
cmp_ok(time() - $start, '>', 0.7, 'after that time');
is(sql("SELECT stalls_by_cause ->> 'compaction' <> '0' FROM kvlsm_stats()"),
	't', 'the stall was counted under its cause');
$node->psql(
	'postgres', q{
\set VERBOSITY sqlstate
SET kvlsm.stall_timeout = '100ms';
SELECT kv_put('one', 'more')}, stderr => \$err);
like($err, qr/53000/, 'with 53000');

# ---- the remedy that the stall names

sql('SELECT kvlsm_pause_compaction(false)');
sql("SELECT kv_put('one', 'more')");
is(sql("SELECT kv_get('one')"), 'more', 'then writing goes on');
is(sql('SELECT count(*) FROM kvlsm_verify() WHERE problem IS NOT NULL'),
	'0', 'nothing is damaged');
$node->stop;
done_testing();
