#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# All house rules that a program can check, in a few seconds; style.md's
# rules are only as good as what is checked here.  Each check is a script of
# its own that prints what is wrong and exits non-zero.
#
#   test/lint/run.sh          last line "lint: P passed, F failed"

set -u
cd "$(dirname "$0")/../.." || exit 1
passed=0
failed=0
for check in layers names docs ledger scripts stops format-check; do
	case $check in
		format-check) cmd="test/lint/format.sh format-check" ;;
		*) cmd=test/lint/$check.sh ;;
	esac
	# shellcheck disable=SC2086
	if out=$(bash $cmd 2>&1); then
		echo "ok - $check"
		passed=$((passed + 1))
	else
		echo "not ok - $check"
		failed=$((failed + 1))
	fi
	[ -z "$out" ] || printf '%s\n' "$out" | head -n 60 | sed 's/^/    /'
done
echo "lint: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
