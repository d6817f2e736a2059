# SPDX-License-Identifier: PostgreSQL
#
# Eight clients count in the same few rows by INSERT ... ON CONFLICT DO UPDATE
# and by UPDATE; nothing is lost, whether keys are locked or, in transactions
# of many keys, the store.

use strict;
use warnings;
use FindBin;
use lib $FindBin::RealBin;
use KvTest;
use PostgreSQL::Test::Utils;
use Test::More;

my $node = kv_cluster('upserts');
my $dir = PostgreSQL::Test::Utils::tempdir;

$node->safe_psql('postgres', <<'SQL');
CREATE FOREIGN TABLE counter (id int NOT NULL, n int NOT NULL) SERVER kvlsm;
CREATE FOREIGN TABLE pair (a int NOT NULL, b text COLLATE "C" NOT NULL, n int)
	SERVER kvlsm OPTIONS (key 'a, b');
CREATE FOREIGN TABLE wide (a int NOT NULL, b int NOT NULL, n int DEFAULT 0)
	SERVER kvlsm OPTIONS (key 'a, b');
SQL

# 8 clients run the script, so many times each.
sub clients
{
	my ($name, $times, $script) = @_;
	my $file = "$dir/$name.pgbench";

	append_to_file($file, $script);
	$node->command_ok([ 'pgbench', '-n', '-c', 8, '-j', 2, '-t', $times,
			'-M', 'prepared', '-f', $file, '-h', $node->host,
			'-p', $node->port, 'postgres' ], "8 clients: $name");
}

clients('counters', 250, <<'SQL');
\set id random(1, 3)
INSERT INTO counter AS t VALUES (:id, 1)
	ON CONFLICT (id) DO UPDATE SET n = t.n + 1;
SQL
is($node->safe_psql('postgres', 'SELECT sum(n), count(*) FROM counter'),
	'2000|3', 'each upsert counts once');

clients('updates', 125, <<'SQL');
\set id random(1, 3)
UPDATE counter SET n = n + 1 WHERE id = :id;
SQL
is($node->safe_psql('postgres', 'SELECT sum(n), count(*) FROM counter'),
	'3000|3', 'and so does each UPDATE');

# Past kvlsm.max_key_locks the store is locked if it is free; those who have
# locked keys do not wait for each other to have it.
clients('many', 20, <<'SQL');
INSERT INTO pair AS t SELECT i, 'x', 1 FROM generate_series(1, 100) i
	ON CONFLICT (b, a) DO UPDATE SET n = t.n + excluded.n;
SQL
is($node->safe_psql('postgres',
		'SELECT min(n), max(n), count(*) FROM pair'),
	'160|160|100', 'statements of many keys');

my $values = join(', ', map { "(:client_id + 10, :base + $_)" } 1 .. 60);
clients('values', 20, <<"SQL");
\\set base random(1, 100000)
INSERT INTO wide VALUES $values ON CONFLICT (a, b) DO NOTHING;
SQL
clients('selected', 20, <<'SQL');
\set base random(1, 100000)
INSERT INTO wide SELECT :client_id, :base + i FROM generate_series(1, 200) i
	ON CONFLICT (a, b) DO UPDATE SET n = wide.n + 1;
SQL
$node->safe_psql('postgres', <<'SQL');
TRUNCATE wide;
INSERT INTO wide SELECT a, b FROM generate_series(0, 7) a, generate_series(1, 100) b
SQL
clients('ranges', 20, <<'SQL');
UPDATE wide SET n = n + 1 WHERE a = :client_id;
SQL
clients('filters', 20, <<'SQL');
UPDATE wide SET n = n + 1 WHERE a = :client_id AND n >= 0;
SQL
is($node->safe_psql('postgres',
		'SELECT min(n), max(n), count(*) FROM wide'),
	'40|40|800', 'UPDATEs of many rows');

clients('nothing', 50, <<'SQL');
\set id random(1, 400)
BEGIN;
INSERT INTO pair VALUES (:id, 'once', 1) ON CONFLICT (a, b) DO NOTHING;
INSERT INTO counter AS t VALUES (1000 + :id, 1)
	ON CONFLICT (id) DO UPDATE SET n = t.n + 1;
COMMIT;
SQL
is($node->safe_psql('postgres', <<'SQL'), '400|0', 'DO NOTHING beside it');
SELECT sum(counter.n), (SELECT count(*) FROM pair WHERE b = 'once') - count(*)
	FROM counter JOIN pair ON a = id - 1000 AND b = 'once' WHERE id > 1000
SQL

$node->stop;
done_testing();
