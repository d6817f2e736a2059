# SPDX-License-Identifier: PostgreSQL
#
# A table that is dropped while kvlsm cannot write leaves its store behind;
# IMPORT FOREIGN SCHEMA brings it back.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use KvTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = kv_cluster('import');
my $import = 'IMPORT FOREIGN SCHEMA lost FROM SERVER kvlsm INTO back';

sub sql
{
	return $node->safe_psql('postgres', $_[0]);
}

sub error_of
{
	my ($sql) = @_;
	my ($rc, $out, $err) = $node->psql('postgres', $sql);

	return $err;
}

sub mode
{
	my ($name) = @_;

	sql("ALTER SYSTEM SET kvlsm.mode = '$name'");
	$node->reload;
	kv_wait("mode $name", sub { kv_mode($node) =~ /^$name/ });
}

# The new tables, by their numbers.
sub tables
{
	return split /\n/, sql(q{SELECT ftrelid::regclass FROM pg_foreign_table
		WHERE ftrelid::regclass::text ~ '^back\.store_'
		ORDER BY substring(ftrelid::regclass::text from '\d+$')::int});
}

sql(q{CREATE SCHEMA back;
	CREATE FOREIGN TABLE texts (key text COLLATE "C" NOT NULL,
		value jsonb NOT NULL) SERVER kvlsm;
	CREATE FOREIGN TABLE bytes (key bytea NOT NULL, value bytea NOT NULL)
		SERVER kvlsm;
	CREATE FOREIGN TABLE typed (id int NOT NULL, n int) SERVER kvlsm;
	CREATE FOREIGN TABLE stays (key text COLLATE "C" NOT NULL,
		value jsonb NOT NULL) SERVER kvlsm;
	INSERT INTO texts SELECT 'k' || i, to_jsonb(i) FROM generate_series(1, 500) i;
	INSERT INTO bytes VALUES ('\x00ff', '\x0001'), ('\xff', '\x');
	INSERT INTO typed VALUES (1, 2);
	INSERT INTO stays VALUES ('a', '1')});

is(error_of($import), '', 'nothing is lost: nothing to import');
is(scalar(tables()), 0, 'and no table');

mode('readonly');
like(error_of('DROP FOREIGN TABLE texts, bytes, typed'),
	qr/WARNING:.*not available.*IMPORT FOREIGN SCHEMA lost/s,
	'dropped while nothing can be written');
mode('normal');

# refusals
like(error_of('IMPORT FOREIGN SCHEMA public FROM SERVER kvlsm INTO back'),
	qr/there is no schema "public" to import/, 'another schema');
like(error_of("$import OPTIONS (all 'true')"), qr/invalid option "all"/,
	'an option');
sql('CREATE ROLE importer; GRANT ALL ON SCHEMA back TO importer;
	GRANT USAGE ON FOREIGN SERVER kvlsm TO importer');
like(error_of("SET ROLE importer; $import"), qr/must be superuser/,
	'another role');

# rolled back: nothing has moved
sql("BEGIN; $import; ROLLBACK");
is(scalar(tables()), 0, 'rolled back');

# in parts
my $err = error_of($import . '_other');
like($err, qr/ERROR/, 'a schema that does not exist');
$err = error_of("IMPORT FOREIGN SCHEMA lost LIMIT TO (store_0) FROM SERVER kvlsm INTO back");
like($err, qr/WARNING:.*typed layout and not imported/, 'LIMIT TO none');
is(scalar(tables()), 0, 'none of them');

like(error_of($import), qr/WARNING:.*typed layout and not imported/,
	'imported, but for the typed one');
my ($texts, $bytes) = tables();
is(sql("SELECT count(*), sum(value::int) FROM $texts"), '500|125250',
	'the rows of one');
is(sql("SELECT value FROM $texts WHERE key = 'k77'"), '77', 'by key');
is(sql("SELECT string_agg(key::text || value::text, ' ' ORDER BY key) FROM $bytes"),
	'\x00ff\x0001 \xff\x', 'the rows of the other');
sql("INSERT INTO $texts VALUES ('new', '0'); ALTER FOREIGN TABLE $texts RENAME TO texts");
is(sql('SELECT count(*) FROM back.texts'), '501', 'written to, and renamed');
is(sql('SELECT count(*) FROM stays'), '1', 'the others are as they were');

is(error_of($import) =~ /ERROR/ ? 'error' : 'none', 'none', 'again');
is(scalar(tables()), 1, 'nothing more');
$node->stop('immediate');
$node->start;
is(sql('SELECT count(*) FROM back.texts'), '501', 'after a crash');
sql('DROP FOREIGN TABLE back.texts');
is(error_of($import) =~ /store_/ ? 'found' : 'gone', 'gone',
	'dropped for good');

done_testing();
