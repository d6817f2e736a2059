#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# Bytes on disk change only on purpose: the code of each header that defines
# a file format has its checksum in format.sums, beside the row of the format
# ledger in docs/format.md that describes it.
#
#   test/lint/ledger.sh            compare
#   test/lint/ledger.sh --accept   after docs/format.md got its row

set -u
cd "$(dirname "$0")/../.." || exit 1
sums=test/lint/format.sums
doc=docs/format.md

# Headers named *_format.h or file_header.h, without comments and blanks.
current() {
	local f
	for f in $(find src/engine -name '*_format.h' -o -name file_header.h |
		LC_ALL=C sort); do
		printf '%s %s\n' "$(perl test/lint/code_only.pl "$f" |
			sed 's/^[^ ]* //' | tr -d ' \t\n' | sha256sum | cut -c1-16)" "$f"
	done
}

# The newest row: "| 3 | 2026-01-31 | ..." in the section "Format ledger".
newest_row() {
	[ -e "$doc" ] || return 0
	sed -n '/^#.*[Ll]edger/,$p' "$doc" |
		sed -n 's/^| *\([0-9][0-9]*\) *|.*/\1/p' | sort -n | tail -n 1
}

row=$(newest_row)
if [ "${1:-}" = --accept ]; then
	[ -n "$row" ] || { echo "$doc has no ledger row yet"; exit 1; }
	{ echo "row $row"; current; } >"$sums"
	exit 0
fi
[ -n "$(current)" ] || exit 0
if [ ! -e "$sums" ]; then
	echo "$sums is missing; see the head of this script"
	exit 1
fi
bad=0
if ! diff <(tail -n +2 "$sums") <(current) >/dev/null; then
	echo "format headers changed (< accepted, > now):"
	diff <(tail -n +2 "$sums") <(current) | grep '^[<>]'
	echo "add a row to the ledger in $doc, a golden file," \
		"then test/lint/ledger.sh --accept"
	bad=1
fi
if [ "$(head -n 1 "$sums")" != "row $row" ]; then
	echo "the newest ledger row is ${row:-missing}," \
		"the accepted one: $(head -n 1 "$sums")"
	bad=1
fi
exit $bad
