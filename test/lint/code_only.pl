#!/usr/bin/perl
# SPDX-License-Identifier: PostgreSQL
#
# Prints C files with comments, string and character literals blanked, each
# line as "file:line: code".  Used by the checks that look at code only.
use strict;
use warnings;

for my $file (@ARGV)
{
	open(my $in, '<', $file) or die "$file: $!";
	local $/;
	my $text = <$in>;
	close($in);
	$text =~ s{(/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')}
		{ my $t = $1; my $n = ($t =~ tr/\n//);
		  $t =~ /^\// ? ' ' . "\n" x $n : substr($t, 0, 1) x 2 }gse;
	my $no = 0;
	for my $line (split /\n/, $text)
	{
		$no++;
		print "$file:$no: $line\n" if $line =~ /\S/;
	}
}
