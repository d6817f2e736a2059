# SPDX-License-Identifier: PostgreSQL
#
# What kvlsm refuses: the server stays up, the SQLSTATE and the message say
# what to do, and nothing in the folder is changed.

use strict;
use warnings;
no warnings 'portable'; # 64-bit constants
use FindBin;
use lib $FindBin::RealBin;
use KvTest;
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Digest::MD5;
use File::Copy qw(copy move);
use Test::More;

my $node = kv_cluster('refuse');
my $data = $node->data_dir;
my $dir = "$data/kvlsm";

sub digest
{
	my $md5 = Digest::MD5->new;

	for my $f (sort glob "$dir/*")
	{
		$md5->add($f, slurp_file($f));
	}
	return $md5->hexdigest;
}

sub copy_folder
{
	my ($from, $to) = @_;

	mkdir $to or die "$to: $!";
	chmod 0700, $to;
	copy($_, $to . '/' . (split m{/}, $_)[-1]) for glob "$from/*";
}

# Starts, checks the refusal, stops; the folder must be as it was.
sub refused
{
	my ($what, $state, $message, $may_change) = @_;
	my $before = digest();
	my $error;

	$node->start;
	kv_ready($node);
	$error = kv_error($node, "SELECT kv_get('a')");
	like($error, qr/ERROR:  $state: $message/, "$what: refused");
	like($error, qr/HINT:  /, "$what: says what to do");
	is($node->safe_psql('postgres', 'SELECT 1'), '1', "$what: server is up");
	like(kv_error($node, "SELECT kv_put('a', 'b')"),
		qr/ERROR:  $state: /, "$what: no writing either");
	$node->stop;
	is(digest(), $before, "$what: nothing was changed") if !$may_change;
}

$node->safe_psql('postgres',
	"SELECT count(kv_put('k' || i, 'v' || i)) FROM generate_series(1, 1000) i");
$node->safe_psql('postgres', "SELECT kv_put('a', 'here')");
$node->safe_psql('postgres', 'SELECT kvlsm_flush()');

# ---- not preloaded
$node->stop;
copy_folder($dir, "$data.kvlsm.good");
for my $current ('', 'auto_explain', 'auto_explain, passwordcheck')
{
	my $list = join ', ', map { "'$_'" } (split /, /, $current), 'kvlsm';

	$node->append_conf('postgresql.conf',
		"shared_preload_libraries = '$current'");
	$node->start;
	my $error = kv_error($node, "SELECT kv_put('a', '1')");
	like($error, qr/ERROR:  55000: /, "not preloaded ($current): 55000");
	like($error,
		qr/ALTER SYSTEM SET shared_preload_libraries = \Q$list\E;/,
		'with the line to run');
	is( $node->safe_psql('postgres', 'SELECT mode FROM kvlsm_status()'),
		'not preloaded', 'kvlsm_status() answers');
	is( $node->safe_psql('postgres', "SELECT count(*) FROM pg_class"
			  . " WHERE relname = 'kv'"), '1', 'the catalog works');
	if ($current ne '')
	{
		# the line does what it says
		$node->safe_psql('postgres',
			"ALTER SYSTEM SET shared_preload_libraries = $list");
		$node->restart;
		kv_ready($node);
		is($node->safe_psql('postgres', "SELECT kv_get('a')"),
			'here', 'after the line and a restart the data is there');
		$node->safe_psql('postgres',
			'ALTER SYSTEM RESET shared_preload_libraries');
	}
	$node->stop;
}
$node->append_conf('postgresql.conf', "shared_preload_libraries = 'kvlsm'");

# ---- kvlsm.mode
$node->append_conf('postgresql.conf', 'kvlsm.mode = off');
$node->start;
kv_ready($node);
like(kv_error($node, "SELECT kv_get('a')"),
	qr/ERROR:  55000: .*kvlsm.mode is off/, 'mode off');
$node->append_conf('postgresql.conf', 'kvlsm.mode = readonly');
$node->reload;
kv_wait('read-only', sub { kv_mode($node) =~ /^readonly/ });
is($node->safe_psql('postgres', "SELECT kv_get('a')"),
	'here', 'mode readonly reads');
like(kv_error($node, "SELECT kv_put('a', 'x')"),
	qr/ERROR:  55000: .*kvlsm.mode is readonly/, 'and does not write');
$node->append_conf('postgresql.conf', 'kvlsm.mode = normal');
$node->reload;
kv_wait('normal', sub { kv_mode($node) eq 'normal' });
$node->safe_psql('postgres', "SELECT kv_put('b', 'x')");
is($node->safe_psql('postgres', "SELECT kv_get('b')"),
	'x', 'mode normal writes again');
$node->stop;

# ---- a symlink, another cluster, a newer format, damage
sub with_good_folder
{
	system('rm', '-rf', $dir);
	copy_folder("$data.kvlsm.good2", $dir);
}
copy_folder($dir, "$data.kvlsm.good2");

move($dir, "$data.elsewhere") or die;
symlink("$data.elsewhere", $dir) or die;
refused('symlink', '55000', '.*symbolic link');
unlink $dir;
move("$data.elsewhere", $dir) or die;

my $other = kv_cluster('other');
$other->safe_psql('postgres', "SELECT kv_put('a', 'foreign')");
$other->stop;
system('rm', '-rf', $dir);
copy_folder($other->data_dir . '/kvlsm', $dir);
refused('folder of another cluster', '55000', '.*belongs to the cluster');
with_good_folder();

# A newer format: the version in the MANIFEST's header, with the checksum that
# a newer version would write.
my ($manifest) = glob "$dir/MANIFEST-*";
{
	my $bytes = slurp_file($manifest);

	is(unpack('Q<', substr($bytes, 48, 8)),
		header_checksum(substr($bytes, 0, 48)), 'the header is as documented');
	substr($bytes, 9, 1) = chr(200);
	substr($bytes, 48, 8) = pack('Q<', header_checksum(substr($bytes, 0, 48)));
	write_file($manifest, $bytes);
	refused('newer format', '55000', '.*format version 200');
	with_good_folder();
}

for my $case ('CURRENT', 'MANIFEST')
{
	my ($file) = glob "$dir/$case*";
	my $bytes = slurp_file($file);

	substr($bytes, int(length($bytes) / 2), 1) ^= "\x41";
	write_file($file, $bytes);
	refused("damaged $case", 'XX001', '');
	with_good_folder();
}

# The folder is gone, but the slot says that there was a store.
move($dir, "$data.elsewhere") or die;
mkdir $dir;
chmod 0700, $dir;
refused('lost folder', 'XX001', '.*replication slot');
rmdir $dir;
move("$data.elsewhere", $dir) or die;

# A damaged block: the key range answers XX001, the rest works.
my ($sst) = sort { -s $b <=> -s $a } glob "$dir/*.sst";
{
	my $bytes = slurp_file($sst);

	substr($bytes, 300, 1) ^= "\x41";
	write_file($sst, $bytes);
	$node->start;
	kv_ready($node);
	my $error = kv_error($node, "SELECT count(*) FROM kv");
	like($error, qr/ERROR:  XX001: /, 'damaged block: XX001');
	like($error, qr/File number \d+/, 'with the file');
	is($node->safe_psql('postgres', 'SELECT 1'), '1', 'server is up');
	isnt(
		$node->safe_psql('postgres',
			'SELECT count(*) FROM kvlsm_verify() WHERE problem IS NOT NULL'),
		'0',
		'kvlsm_verify() finds it');
	$node->stop;
	with_good_folder();
}

# Damaged footers: no file can be read, and PostgreSQL must not care.
for my $file (glob "$dir/*.sst")
{
	my $bytes = slurp_file($file);

	substr($bytes, -20, 1) ^= "\x41";
	write_file($file, $bytes);
}
$node->start;
kv_ready($node);
like(kv_error($node, "SELECT kv_get('a')"), qr/ERROR:  XX001: /,
	'damaged footers: XX001');
is($node->psql('postgres', 'CREATE TABLE plain (i int PRIMARY KEY)'),
	0, 'other tables can be made');
$node->stop;
with_good_folder();

# ---- the slot
$node->start;
kv_ready($node);
is($node->safe_psql('postgres', "SELECT kv_get('a')"), 'here',
	'the good folder opens');
$node->safe_psql('postgres', "SELECT kv_put('c', '1')");
$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('kvlsm')");
$node->restart;
kv_ready($node);
is(kv_mode($node), 'normal', 'a slot that was dropped is made again');
is($node->safe_psql('postgres', "SELECT kv_get('c')"), '1', 'nothing lost');

# WAL that is needed is gone: never an old answer.
$node->safe_psql('postgres', 'CHECKPOINT');
for my $i (1 .. 3)
{
	$node->safe_psql('postgres', "SELECT kv_put('d', '$i')");
	$node->safe_psql('postgres', 'SELECT pg_switch_wal()');
}
$node->stop('immediate');
system('rm', '-rf', $dir);
copy_folder("$data.kvlsm.good2", $dir);
$node->append_conf('postgresql.conf', "kvlsm.mode = off\nmin_wal_size = 32MB");
$node->start;
kv_ready($node);
# In this mode the slot keeper does not make another one.
$node->safe_psql('postgres', "SELECT pg_drop_replication_slot('kvlsm')");
$node->safe_psql('postgres', 'SELECT pg_switch_wal(); CHECKPOINT;'
	  . 'SELECT pg_switch_wal(); CHECKPOINT');
$node->stop;
$node->append_conf('postgresql.conf', 'kvlsm.mode = normal');
refused('WAL is gone', 'XX001', ".*PostgreSQL's WAL is needed",
	1);

# ---- a standby
my $primary = kv_cluster('primary');
$primary->safe_psql('postgres', "SELECT kv_put('a', '1')");
$primary->backup('b');
my $standby = PostgreSQL::Test::Cluster->new('standby');
$standby->init_from_backup($primary, 'b', has_streaming => 1);
$standby->start;
like(kv_error($standby, "SELECT kv_get('a')"),
	qr/ERROR:  55000: .*standby/, 'a standby refuses reads');
like(kv_error($standby, "SELECT kv_put('a', '2')"),
	qr/ERROR:  (25006|55000): /, 'and writes');
is(kv_mode($standby), 'standby', 'kvlsm_status() says so');
$primary->safe_psql('postgres', "SELECT kv_put('b', '2')");
$primary->wait_for_catchup($standby);
is($standby->safe_psql('postgres', 'SELECT 1'), '1', 'replay goes on');

# Promoted, it has everything or refuses.
$standby->promote;
kv_ready($standby);
if (kv_mode($standby) eq 'normal')
{
	is($standby->safe_psql('postgres', "SELECT kv_get('a') || kv_get('b')"),
		'12', 'a promoted standby has everything');
}
else
{
	like(kv_error($standby, "SELECT kv_get('a')"),
		qr/ERROR:  XX001: /, 'a promoted standby refuses');
}
$standby->stop;
$primary->stop;

# ---- wal_level = minimal: there can be no slot
my $minimal = PostgreSQL::Test::Cluster->new('minimal');
$minimal->init;
$minimal->append_conf('postgresql.conf', "shared_preload_libraries = 'kvlsm'");
$minimal->start;
kv_ready($minimal);
$minimal->safe_psql('postgres',
	"CREATE EXTENSION kvlsm; SELECT kv_create_store('kv')");
like(kv_mode($minimal), qr/^readonly: .*wal_level/, 'wal_level minimal');
like(kv_error($minimal, "SELECT kv_put('a', '1')"),
	qr/ERROR:  55000: .*wal_level.*HINT:  /s, 'refuses to write');
is($minimal->safe_psql('postgres', "SELECT kv_get('a') IS NULL"),
	't', 'and reads');
$minimal->append_conf('postgresql.conf',
	"wal_level = replica\nmax_replication_slots = 4");
$minimal->restart;
kv_ready($minimal);
$minimal->safe_psql('postgres', "SELECT kv_put('a', '1')");
is($minimal->safe_psql('postgres', "SELECT kv_get('a')"),
	'1', 'after the change it writes');

# ---- a slot that PostgreSQL has given up
$minimal->append_conf('postgresql.conf',
	"max_slot_wal_keep_size = 1MB\nmax_wal_size = 32MB\nmin_wal_size = 32MB");
$minimal->restart;
kv_ready($minimal);
my $keeper = kv_pid($minimal, 'kvlsm slot keeper');
kill 'STOP', $keeper;
$minimal->safe_psql('postgres', 'SELECT pg_switch_wal(); CHECKPOINT')
  for 1 .. 5;
is($minimal->safe_psql('postgres', "SELECT wal_status FROM pg_replication_slots"
		  . " WHERE slot_name = 'kvlsm'"),
	'lost', 'the slot was invalidated');
$minimal->safe_psql('postgres', "SELECT kv_put('b', '2')");
kill 'CONT', $keeper;
$minimal->append_conf('postgresql.conf', 'max_slot_wal_keep_size = -1');
$minimal->reload;
kv_wait(
	'another slot',
	sub {
		$minimal->safe_psql('postgres',
			"SELECT count(*) FROM pg_replication_slots"
			  . " WHERE slot_name = 'kvlsm' AND wal_status <> 'lost'") eq '1';
	});
$minimal->stop('immediate');
$minimal->start;
kv_ready($minimal);
is($minimal->safe_psql('postgres', "SELECT kv_get('a') || kv_get('b')"),
	'12', 'another slot was made, nothing is lost');
$minimal->stop;

unlike(slurp_file($node->logfile), qr/PANIC|TRAP|signal 11/, 'no PANIC');
done_testing();

sub write_file
{
	my ($file, $bytes) = @_;

	open(my $f, '>', $file) or die "$file: $!";
	binmode $f;
	print $f $bytes;
	close $f;
}

# Checksum of a file header, as docs/format.md has it.
sub header_checksum
{
	my ($head) = @_;
	my $prefix = pack('Q<', 0) . substr($head, 32, 8) . pack('Q<Q<', 0, 48)
	  . substr($head, 8, 1);

	return xxh3($head, xxh3($prefix, 0));
}

# XXH3-64 of 33 to 64 bytes with a seed.
sub xxh3
{
	my ($in, $seed) = @_;
	my $len = length $in;
	my @s = unpack 'Q<8', pack 'H*',
	  'b8fe6c3923a44bbe7c01812cf721ad1cded46de9839097db7240a4a4b7b3671f'
	  . 'cb79e64eccc0e578825ad07dccff7221b8084674f743248ee03590e6813a264c';
	my $acc = mul64($len, 0x9E3779B185EBCA87);

	# (offset in the input, word of the secret) of each 16-byte lane
	for my $lane ([ 16, 4 ], [ $len - 32, 6 ], [ 0, 0 ], [ $len - 16, 2 ])
	{
		my ($off, $k) = @$lane;
		my ($lo, $hi) = unpack 'Q<2', substr($in, $off, 16);

		$acc = add64(
			$acc,
			fold64(
				$lo ^ add64($s[$k], $seed),
				$hi ^ add64($s[ $k + 1 ], add64(~$seed, 1))));
	}
	$acc ^= $acc >> 37;
	$acc = mul64($acc, 0x165667919E3779F9);
	return $acc ^ ($acc >> 32);
}

sub add64 { use integer; my $r = $_[0] + $_[1]; no integer; return $r & ~0; }
sub mul64 { use integer; my $r = $_[0] * $_[1]; no integer; return $r & ~0; }

# high and low half of the 128-bit product, xored
sub fold64
{
	my ($x, $y) = @_;
	my ($xl, $xh) = ($x & 0xFFFFFFFF, $x >> 32);
	my ($yl, $yh) = ($y & 0xFFFFFFFF, $y >> 32);
	my $mid = add64(mul64($xh, $yl), mul64($xl, $yl) >> 32);
	my $mid2 = add64(mul64($xl, $yh), $mid & 0xFFFFFFFF);
	my $high = add64(add64(mul64($xh, $yh), $mid >> 32), $mid2 >> 32);

	return $high ^ mul64($x, $y);
}
