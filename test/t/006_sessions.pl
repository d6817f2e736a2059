# SPDX-License-Identifier: PostgreSQL
#
# A session ends in the middle of what it does with a store: by itself, by
# pg_terminate_backend, in a scan, in a cursor, in a large commit.  Nothing
# of it may stay behind, and nobody else may notice.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use KvTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = kv_cluster('sessions');

$node->safe_psql('postgres',
	"SELECT count(kv_put('k' || i, repeat('v', 100)))"
	  . " FROM generate_series(1, 5000) i");

# Runs the statements in a session that then goes away.
sub session
{
	my ($name, $sql) = @_;
	my ($out, $err) = ('', '');

	$node->psql('postgres', $sql, stdout => \$out, stderr => \$err,
		on_error_stop => 0);
	kv_wait("the end of: $name", sub {
		$node->poll_query_until('postgres',
			"SELECT count(*) = 1 FROM pg_stat_activity"
			  . " WHERE backend_type = 'client backend'");
	});
	is($node->safe_psql('postgres', "SELECT kv_get('k1') IS NOT NULL"),
		't', "reading goes on: $name");
	is($node->safe_psql('postgres', "SELECT mode FROM kvlsm_status()"),
		'normal', "the store is open: $name");
	return $err;
}

session('disconnected with a cursor',
	"BEGIN; DECLARE c CURSOR FOR SELECT * FROM kv; FETCH 10 FROM c;");
session('disconnected with a cursor after writes',
	"BEGIN; SELECT kv_put('k1', 'other');"
	  . " DECLARE c CURSOR FOR SELECT * FROM kv; FETCH 10 FROM c;");
like(session('terminated with a cursor',
		"BEGIN; DECLARE c CURSOR FOR SELECT * FROM kv; FETCH 10 FROM c;"
		  . " SELECT pg_terminate_backend(pg_backend_pid());"),
	qr/terminating connection/, 'it was terminated');
like(session('terminated in a scan',
		"SELECT pg_terminate_backend(pg_backend_pid()) FROM kv"),
	qr/terminating connection/, 'it was terminated');

unlike(slurp_file($node->logfile), qr/was terminated by signal/,
	'no process crashed');
$node->stop;
done_testing();
