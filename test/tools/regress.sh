#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# pg_regress (test/sql) and pg_isolation_regress (test/specs) on a temporary
# instance.  Called by run.sh, which prepares KV_STAGE.
#
#   test/tools/regress.sh sql|iso      REGRESS / ISOLATION name single tests
#
# pg_regress reports success when an expected file is missing, so what counts
# here is a list made beforehand: each input needs its expected output, each
# expected output its input, and each test an "ok" in pg_regress' report.

set -u
. "$(dirname "$0")/lib.sh"

name=$1
in=$KV_STAGE/in
out=$KV_STAGE/$name
pgxs=$(dirname "$(kv_pg_config --pgxs)")/../../src/test
passed=0
failed=0

case $name in
	sql)
		prog=$pgxs/regress/pg_regress dir=$in/test/sql ext=sql
		tests=${REGRESS:-}
		;;
	iso)
		prog=$pgxs/isolation/pg_isolation_regress dir=$in/test/specs ext=spec
		tests=${ISOLATION:-}
		;;
esac
[ -x "$prog" ] || kv_die "$prog is not installed"

fail() {
	kv_say "not ok - $*"
	failed=$((failed + 1))
}

if [ -z "$tests" ]; then
	for f in "$dir"/*."$ext"; do
		[ -e "$f" ] && tests="$tests $(basename "$f" ".$ext")"
	done
	[ -n "$tests" ] || fail "there are no tests in ${dir#"$in"/}"
	# Both kinds share expected/; the check is made with the first.
	if [ "$name" = sql ]; then
		for f in "$in"/expected/*; do
			t=$(basename "$f" .out)
			[ -e "$in/test/sql/$t.sql" ] ||
				[ -e "$in/test/specs/$t.spec" ] ||
				fail "expected/$(basename "$f") belongs to no test"
		done
	fi
fi

# Extensions are loaded with their symbols visible to one another, so the
# engine's must not leave the library; and all of them must be there.
check_symbols() {
	local so bad
	so=$KV_INSTALL$(kv_pg_config --pkglibdir)/kvlsm.so
	bad=$(nm -D --defined-only "$so" | awk '{ print $3 }' |
		grep -vE '^(kvlsm_|pg_finfo_kvlsm_|Pg_magic_func$|_PG_(init|fini)$)'
		nm -D --undefined-only "$so" | grep -E ' (kv_|kvlsm_)')
	if [ -n "$bad" ]; then
		fail "symbols of kvlsm.so: $bad"
	else
		kv_say "ok - symbols of kvlsm.so"
		passed=$((passed + 1))
	fi
}
if [ "$name" = sql ] && [ -z "${REGRESS:-}" ]; then
	check_symbols
fi

run=
for t in $tests; do
	if [ ! -e "$dir/$t.$ext" ]; then
		fail "$t: there is no test of this name"
	elif [ ! -e "$in/expected/$t.out" ]; then
		fail "$t: expected/$t.out is missing"
	else
		run="$run $t"
	fi
done

if [ -n "$run" ]; then
	mkdir -p "$out"
	ln -sfn "$in/expected" "$out/expected"
	[ "$(id -u)" -ne 0 ] || chown "$(kv_pg_user)" "$out"
	# shellcheck disable=SC2086
	kv_as_pg "$prog" --inputdir="$in/test" --outputdir="$out" \
		--temp-instance="$out/instance" \
		--temp-config="$in/test/kvlsm.conf" --bindir="$(kv_bindir)" \
		--no-locale --encoding=UTF8 --load-extension=kvlsm \
		--dbname="kvlsm_$name" $run >"$out/report" 2>&1
	for t in $run; do
		if grep -Eq "^(test )? *$t +\.\.\. ok |^ok [0-9]+ +[-+] $t " \
			"$out/report"; then
			kv_say "ok - $t"
			passed=$((passed + 1))
		else
			fail "$t"
		fi
	done
	if [ "$failed" -gt 0 ]; then
		cat "$out/report"
		head -n 200 "$out/regression.diffs" 2>/dev/null
		saved=$KV_ROOT/.build/logs/$name
		rm -rf "$saved"
		mkdir -p "$saved"
		cp -r "$out/results" "$out/regression.diffs" "$out/log" \
			"$out/report" "$saved/" 2>/dev/null
		tail -n 30 "$out/log/postmaster.log" 2>/dev/null
		kv_say "results, diffs and server log: .build/logs/$name"
	fi
fi
kv_say "$name: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
