#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# clang-format on every C file, with the configuration in .clang-format.
#
#   test/lint/format.sh format         rewrite
#   test/lint/format.sh format-check   list files that would change

set -u
. "$(dirname "$0")/../tools/lib.sh"
cd "$KV_ROOT" || exit 1

kv_need clang-format
files=$(find src test -name '*.[ch]' 2>/dev/null)
[ -n "$files" ] || exit 0
if [ "${1:-}" = format ]; then
	printf '%s\n' "$files" | xargs -P "$(nproc)" -n 8 clang-format -i
	exit
fi
check_one() {
	local f rc=0
	for f in "$@"; do
		if ! clang-format "$f" | cmp -s - "$f"; then
			echo "$f is not formatted; run: make format"
			rc=1
		fi
	done
	return $rc
}
export -f check_one
printf '%s\n' "$files" |
	xargs -P "$(nproc)" -n 8 bash -c 'check_one "$@"' _
