#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Runs a command and adopts the processes it leaves behind for as long as it
# runs: reaper.pl CMD ARG...
#
# A postmaster is a daemon, so after kill -9 it stays a zombie until process 1
# collects it, which takes process 1 of some containers seconds.  A restart in
# between fails with "lock file postmaster.pid already exists".
use strict;
use warnings;
use Errno;

# prctl(PR_SET_CHILD_SUBREAPER, 1); without it things work as before, slower.
my %prctl = (x86_64 => 157, aarch64 => 167);
chomp(my $machine = `uname -m`);
syscall($prctl{$machine}, 36, 1, 0, 0, 0) if $prctl{$machine};

my $child = fork();
die "fork: $!" unless defined $child;
if ($child == 0)
{
	exec { $ARGV[0] } @ARGV or die "$ARGV[0]: $!";
}
$SIG{$_} = sub { kill($_[0], $child) }
  for qw(TERM INT HUP);
while (1)
{
	my $pid = waitpid(-1, 0);
	last if $pid == -1 and !$!{EINTR};
	next if $pid != $child;
	exit($? & 127 ? 128 + ($? & 127) : $? >> 8);
}
exit 1;
