# SPDX-License-Identifier: PostgreSQL
#
# A standby that is promoted opens the store.  A transaction that began before
# keeps its snapshot, which is older than what the store shows to everyone by
# then: it gets an error instead of a mixture.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use KvTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $primary = kv_cluster('primary');

$primary->safe_psql('postgres',
	"CREATE TABLE heap (v text); SELECT kv_put('a', 'old')");
$primary->backup('copy');

my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'copy', has_streaming => 1);
$standby->start;
$primary->wait_for_catchup($standby);

my $session = $standby->background_psql('postgres', on_error_stop => 0);
$session->query('BEGIN ISOLATION LEVEL REPEATABLE READ');
$session->query('SELECT 1'); # takes the snapshot

$primary->safe_psql('postgres',
	"BEGIN; INSERT INTO heap VALUES ('new'); SELECT kv_put('a', 'new'); COMMIT");
$primary->wait_for_catchup($standby);
$primary->stop;
$standby->promote;
kv_ready($standby);
is(kv_mode($standby), 'normal', 'the promoted standby opens the store');
is($standby->safe_psql('postgres', "SELECT kv_get('a')"), 'new',
	'with what was committed');

is($session->query('SELECT count(*) FROM heap'),
	'0', 'an older snapshot does not see the row');
is($session->query("SELECT kv_get('a')"),
	'', 'and is refused by the store instead of a newer value');
like($session->{stderr}, qr/snapshot from before the promotion/,
	'with an error');
$session->{stderr} = '';
$session->query('ROLLBACK');
is($session->query("SELECT kv_get('a')"), 'new', 'the next transaction reads');
$session->quit;
$standby->stop;
done_testing();
