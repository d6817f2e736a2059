#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# Sizes, names and heads of C files: no function over 200 lines and few over
# 100, no file over 700, no reserved identifiers, no dead code, an SPDX line
# and a head comment everywhere, 79 columns.

set -u
cd "$(dirname "$0")/../.." || exit 1
files=$(find src test -name '*.[ch]' 2>/dev/null)
[ -n "$files" ] || exit 0
# shellcheck disable=SC2086
exec perl - $files <<'PERL'
use strict;
use warnings;

my $bad = 0;
my ($functions, $long, $lines, $wide) = (0, 0, 0, 0);
my @long;
my %known = map { $_ => 1 } qw(_Static_assert _Atomic _Alignas _Alignof _Bool
  _Noreturn _Thread_local _Generic _Pragma _PG_init _PG_fini _GNU_SOURCE
  __attribute__ __func__ __FILE__ __LINE__ __VA_ARGS__ __asm__ __volatile__
  __has_feature __has_attribute __GNUC__ __clang__ __x86_64__ __aarch64__ __i386__ __SANITIZE_THREAD__ _IOLBF
  __SANITIZE_ADDRESS__ __SIZEOF_INT128__ __int128 __typeof__ __cplusplus _exit
  __BYTE_ORDER__ __ORDER_LITTLE_ENDIAN__ __extension__ __inline__ __restrict
  __OPTIMIZE__ __rdtsc __has_include __asan_poison_memory_region
  __asan_unpoison_memory_region);

sub complain { print "@_\n"; $bad = 1; }

for my $file (@ARGV)
{
	open(my $in, '<', $file) or die "$file: $!";
	my @text = <$in>;
	close($in);
	my $all = join('', @text);
	my $test = $file =~ m{^test/};

	complain("$file: no SPDX line at the top")
	  unless grep { /SPDX-License-Identifier: PostgreSQL/ } @text[0 .. ($#text < 2 ? $#text : 2)];
	# A head comment says what the file is responsible for: three lines or
	# more before the first line of code.
	my $head = 0;
	for (@text)
	{
		last unless m{^\s*(/\*|\*|//|$)} or /^ /;
		$head++ if m{^\s*(/\*|\*|//)?\s*\S} and !/SPDX/;
	}
	complain("$file: no head comment (what it does, what it must not)")
	  if $head < 3;
	complain(sprintf('%s: %d lines, at most 700', $file, scalar @text))
	  if @text > 700;
	complain("$file: #if 0") if $all =~ /^\s*#\s*if\s+0\b/m;

	my ($start, $prev) = (0, '');
	my $no = 0;
	for (@text)
	{
		$no++;
		$lines++;
		(my $w = $_) =~ s/\t/    /g;
		chomp $w;
		$wide++ if length($w) > 80;
		complain("$file:$no: " . length($w) . " columns")
		  if length($w) > 100;
		complain("$file:$no: TODO without an issue or design link")
		  if /\b(TODO|FIXME|XXX)\b/ and !m{issue|docs/};
		$start = $no if /^\{/ and $prev =~ /\)\s*$/;
		if (/^\}/ and $start)
		{
			my $n = $no - $start + 1;
			$functions++;
			if ($n > 100) { $long++; push @long, "$file:$start: function of $n lines"; }
			complain("$file:$start: function of $n lines, at most 200")
			  if $n > 200;
			$start = 0;
		}
		$prev = $_ if /\S/;
	}

	(my $code = $all) =~ s{/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"}{ }gs;
	while ($code =~ /(?<![A-Za-z0-9_#])(_[A-Za-z_]\w*)/g)
	{
		my $id = $1;
		next if $known{$id} or $id =~ /^(__builtin_|__atomic_|__sync_|_mm|__sanitizer|__asan|__ubsan|__lsan|_?_?LINE)/;
		complain("$file: reserved name $id");
		$known{$id} = 1;
	}
	if ($file =~ m{^src/engine/} and $file =~ /\.h$/
		and $code =~ /^\s*#\s*ifndef\s+(\w+)/m and $1 !~ /^KV_/)
	{
		complain("$file: guard $1 does not start with KV_");
	}
}
if ($functions and $long * 50 > $functions and $long > 2)
{
	complain("$long of $functions functions are over 100 lines, at most 2%");
}
print "$_\n" for @long;
complain("$wide of $lines lines are over 80 columns, at most 3%")
  if $wide * 33 > $lines;
exit $bad;
PERL
