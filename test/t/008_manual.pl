# SPDX-License-Identifier: PostgreSQL
#
# docs/operations.md, installing and uninstalling: its very statements, in
# their order.  A statement that leaves a server unable to start is found here
# before a user finds it.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use KvTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use File::Path qw(rmtree);
use Test::More;

my $manual = slurp_file("$FindBin::RealBin/../../docs/operations.md");
my $node = PostgreSQL::Test::Cluster->new('manual');

# The SQL of a section, one string for each of its blocks.
sub blocks
{
	my ($section) = @_;
	my ($text) = $manual =~ /^## $section\n(.*?)(?=^## |\z)/ms;

	return $text =~ /^```sql\n(.*?)^```/msg;
}

# Statement by statement, as psql sends them.
sub run_block
{
	my ($sql) = @_;
	my ($out, $err) = ('', '');
	my $rc = $node->psql('postgres', $sql, stdout => \$out, stderr => \$err,
		on_error_stop => 1);

	is($rc, 0, 'runs: ' . ($sql =~ /\A(.*?);/s)[0]) or diag($err);
}

$node->init(allows_streaming => 1);
$node->start;
$node->safe_psql('postgres', 'CREATE ROLE reader; CREATE ROLE writer');

# ---- install
my ($preload, $create) = blocks('Install');
run_block($preload);
$node->restart;
kv_ready($node);
run_block($create);
$node->safe_psql('postgres', "SELECT kv_put('hello', 'world')");
$node->restart;
kv_ready($node);
is($node->safe_psql('postgres', "SELECT kv_get('hello')"),
	'world', 'the store works');

# With another library, as the comment of that block has it.
my ($others) = $preload =~ /^-- with others: +(= .*)$/m;
$others =~ s/pg_stat_statements/auto_explain/;
$node->safe_psql('postgres',
	"ALTER SYSTEM SET shared_preload_libraries $others");
$node->restart;
kv_ready($node);
is($node->safe_psql('postgres', 'SHOW shared_preload_libraries'),
	'auto_explain, kvlsm', 'beside another library');

# ---- uninstall
my ($uninstall) = blocks('Uninstall');
run_block($uninstall);
$node->stop('fast');
ok(-d $node->data_dir . '/kvlsm', 'there is a directory to remove');
rmtree($node->data_dir . '/kvlsm');
$node->start;
is($node->safe_psql('postgres', 'SHOW shared_preload_libraries'),
	'', 'the server starts without the library');
is( $node->safe_psql('postgres',
		"SELECT (SELECT count(*) FROM pg_replication_slots)"
		  . " + (SELECT count(*) FROM pg_class WHERE relname = 'kv')"
		  . " + (SELECT count(*) FROM pg_foreign_data_wrapper)"),
	'0', 'no slot, table or wrapper is left');
ok(!-e $node->data_dir . '/kvlsm', 'and no directory');
$node->stop;
done_testing();
