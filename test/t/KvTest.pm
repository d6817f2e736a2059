# SPDX-License-Identifier: PostgreSQL
#
# What the TAP tests share: a cluster with kvlsm, killing its processes and
# waiting for it, and a model of what writers did.
#
# A writer is a psql process that runs a script of operations, each followed
# by \echo.  psql writes its output when the server goes away and it ends, so
# the operations that were answered are known exactly; one more may have
# happened.  Each writer has keys of its own, so its part of the store must
# equal the model after the answered operations, or after one more.

package KvTest;

use strict;
use warnings;
use Exporter 'import';
use PostgreSQL::Test::Cluster;
use PostgreSQL::Test::Utils;
use Time::HiRes qw(usleep);

our @EXPORT = qw(kv_cluster kv_ready kv_start_again kv_pid kv_mode
  kv_contents kv_error make_ops start_writer finish_writer apply_ops
  check_writer kv_wait);

# A running cluster with the extension and the store kv in postgres.
sub kv_cluster
{
	my ($name, %params) = @_;
	my $node = PostgreSQL::Test::Cluster->new($name);

	# conf: more settings; before_start: called with the node
	$node->init(allows_streaming => 1, %params);
	$node->append_conf('postgresql.conf', <<"CONF");
shared_preload_libraries = 'kvlsm'
restart_after_crash = on
max_connections = 30
shared_buffers = 16MB
log_statement = none
log_min_messages = info
kvlsm.memtable_size = 1MB
kvlsm.block_cache_size = 4MB
kvlsm.wal_buffers = 1MB
CONF
	$node->append_conf('postgresql.conf', $params{conf}) if $params{conf};
	$params{before_start}->($node) if $params{before_start};
	$node->start;
	kv_ready($node);
	$node->safe_psql('postgres',
		"CREATE EXTENSION kvlsm; SELECT kv_create_store('kv')");
	return $node;
}

# Repeats until the code returns true; dies after a minute.
sub kv_wait
{
	my ($what, $code) = @_;
	my $end = time() + 60;

	while (time() < $end)
	{
		return 1 if $code->();
		usleep(50_000);
	}
	die "timed out waiting for $what";
}

# "mode: reason"; the extension need not exist in the database.
sub kv_mode
{
	my ($node) = @_;
	my ($out, $err) = ('', '');

	$node->psql('postgres', "SELECT mode || coalesce(': ' || reason, '')"
		  . " FROM kvlsm_status()", stdout => \$out, stderr => \$err);
	return $out;
}

# Waits until connections are accepted and the engine worker has had its say.
sub kv_ready
{
	my ($node) = @_;

	kv_wait(
		'the server and its engine worker',
		sub {
			my ($out, $err) = ('', '');
			my $rc = $node->psql('postgres',
				"SELECT count(*) FROM pg_stat_activity"
				  . " WHERE backend_type = 'kvlsm engine worker'"
				  . " AND state = 'idle'",
				stdout => \$out, stderr => \$err);
			return $rc == 0 && $out eq '1';
		});
}

# After kill9: orphans may hold the shared memory for a moment.
sub kv_start_again
{
	my ($node) = @_;

	kv_wait(
		'the server to start',
		sub {
			$node->{_pid} = undef; # a failed start leaves the dead one's
			return $node->start(fail_ok => 1);
		});
	kv_ready($node);
}

sub kv_pid
{
	my ($node, $type) = @_;

	return $node->safe_psql('postgres',
		"SELECT pid FROM pg_stat_activity WHERE backend_type = '$type'"
		  . " AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1");
}

# SQLSTATE and text of the error that a statement raises.
sub kv_error
{
	my ($node, $sql) = @_;
	my ($out, $err) = ('', '');

	$node->psql('postgres', $sql, stdout => \$out, stderr => \$err,
		extra_params => [ '-v', 'VERBOSITY=verbose' ]);
	return $err;
}

# key => value of all keys with a prefix
sub kv_contents
{
	my ($node, $prefix) = @_;
	my $out = $node->safe_psql('postgres',
		"SELECT key || '=' || value FROM"
		  . " kv_range(prefix => '$prefix', max_rows => 10000)");

	return { map { split /=/, $_, 2 } split /\n/, $out };
}

# ---- operations: [ SQL, [ [ key, value or undef ], ... ] ]

sub put_sql
{
	my ($key, $value) = @_;

	return defined $value
	  ? "SELECT kv_put('$key', '$value')"
	  : "SELECT kv_delete('$key')";
}

sub make_ops
{
	my ($prefix, $n, $keys) = @_;
	my @ops;
	my $value = sub {
		my $v = join '', map { chr(97 + int rand 26) } 1 .. 8;
		return $v x (1 + int rand 20);
	};
	my $key = sub { sprintf '%s%03d', $prefix, int rand $keys };

	for my $i (1 .. $n)
	{
		my $kind = rand;
		my %set;

		if ($kind < 0.45)
		{
			%set = ($key->() => $value->());
			push @ops, [ put_sql(%set), \%set ];
		}
		elsif ($kind < 0.6)
		{
			%set = ($key->() => undef);
			push @ops, [ put_sql(%set), \%set ];
		}
		elsif ($kind < 0.8)
		{
			$set{ $key->() } = $value->() for 1 .. 5;
			my $items = join ',',
			  map { qq({"key":"$_","value":"$set{$_}"}) } sort keys %set;
			push @ops, [ "SELECT kv_batch_put('[$items]')", \%set ];
		}
		else
		{
			# a transaction; one in four is rolled back
			for (1 .. 3)
			{
				my $k = $key->();
				$set{$k} = rand() < 0.3 ? undef : $value->();
			}
			my $undo = rand() < 0.25;
			push @ops,
			  [
				join("; ",
					"BEGIN",
					(map { put_sql($_, $set{$_}) } sort keys %set),
					$undo ? "ROLLBACK" : "COMMIT"),
				$undo ? {} : \%set
			  ];
		}
	}
	return \@ops;
}

sub apply_ops
{
	my ($model, $ops, $from, $to) = @_;

	for my $i ($from .. $to - 1)
	{
		my $set = $ops->[$i][1];

		for my $k (keys %$set)
		{
			if (defined $set->{$k}) { $model->{$k} = $set->{$k}; }
			else { delete $model->{$k}; }
		}
	}
}

# ---- writers

sub start_writer
{
	my ($node, $prefix, $model, $n, $keys) = @_;
	my $w = {
		prefix => $prefix,
		model => $model,
		ops => make_ops($prefix, $n, $keys),
		file => PostgreSQL::Test::Utils::tempdir() . '/writer'
	};
	# files, not pipes: nobody reads while the writer works
	my $script = "\\o /dev/null\n";

	$script .= "$w->{ops}[$_][0];\n\\echo ack $_\n" for 0 .. $n - 1;
	append_to_file("$w->{file}.sql", $script);
	$w->{h} = IPC::Run::start(
		[
			'psql', '-XqAt', '-v', 'ON_ERROR_STOP=1', '-d',
			$node->connstr('postgres') . ' application_name=writer',
			'-f', "$w->{file}.sql"
		],
		'>', "$w->{file}.out", '2>', "$w->{file}.err");
	return $w;
}

# Waits for its end; operations that were answered.
sub finish_writer
{
	my ($w) = @_;

	$w->{h}->finish;
	$w->{acked} = () = slurp_file("$w->{file}.out") =~ /^ack \d+$/mg;
	return $w->{acked};
}

# Compares and brings the model up to date; '' or what is wrong.
sub check_writer
{
	my ($node, $w) = @_;
	my $have = kv_contents($node, $w->{prefix});
	my $model = $w->{model};
	my $flat = sub {
		my ($h) = @_;
		return join "\n", map { "$_=$h->{$_}" } sort keys %$h;
	};

	apply_ops($model, $w->{ops}, 0, $w->{acked});
	return '' if $flat->($have) eq $flat->($model);
	if ($w->{acked} < @{ $w->{ops} })
	{
		my %next = %$model;

		apply_ops(\%next, $w->{ops}, $w->{acked}, $w->{acked} + 1);
		if ($flat->($have) eq $flat->(\%next))
		{
			%$model = %next;
			return '';
		}
	}
	my @diff;
	for my $k (sort keys %{ { %$have, %$model } })
	{
		my ($a, $b) = ($have->{$k} // '(none)', $model->{$k} // '(none)');
		push @diff, "$k: have $a, expected $b" if $a ne $b;
	}
	return "$w->{prefix} after $w->{acked} answers: "
	  . join('; ', @diff[ 0 .. ($#diff < 4 ? $#diff : 4) ]);
}

1;
