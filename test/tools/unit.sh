#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# Build and run the engine's unit tests.  Called by run.sh.
#
#   test/tools/unit.sh unit|unit-asan|unit-tsan       UNIT=name runs one program
#
# A program prints "ok - name" or "not ok - name" for each case; one that
# prints nothing, crashes or takes over two minutes is a failed test.  The
# seconds beside each count show where a suite over its budget spends them.

set -u
. "$(dirname "$0")/lib.sh"
cd "$KV_ROOT" || exit 1

name=$1
case $name in
	unit) variant=unit ;;
	unit-asan) variant=asan ;;
	unit-tsan) variant=tsan ;;
esac
mk=(-s -f test/tools/engine.mk "VARIANT=$variant")
[ -n "${UNIT:-}" ] && mk+=("ONLY=$UNIT")
passed=0
failed=0
start=$SECONDS
logs=$KV_ROOT/.build/logs/$name
rm -rf "$logs"
mkdir -p "$logs"

programs=$(kv_make "${mk[@]}" list)
if ! kv_make -k "${mk[@]}" programs; then
	kv_say "not ok - $name: some programs do not compile"
	failed=1
fi

kv_say "compiled in $((SECONDS - start)) s"

export TSAN_OPTIONS=halt_on_error=1
export UBSAN_OPTIONS=print_stacktrace=1
# A small quarantine of freed memory: machines with 2 cores have little.
export ASAN_OPTIONS=detect_leaks=1:quarantine_size_mb=64
limit=120
[ "${KV_LONG:-0}" = 0 ] || limit=1800
export limit=${KV_UNIT_TIMEOUT:-$limit}
run_one() {
	local prog=$1 log=$2 rc=0 start=$SECONDS
	timeout -k 5 "$limit" "$prog" >"$log" 2>&1 || rc=$?
	echo "$rc $((SECONDS - start))" >"$log.rc"
}
export -f run_one

start=$SECONDS
for p in $programs; do
	[ -x "$p" ] && printf '%s %s\n' "$p" "$logs/$(basename "$p")"
done | xargs -r -P "$(nproc)" -L 1 bash -c 'run_one "$1" "$2"' _

for p in $programs; do
	t=$(basename "$p")
	rc=none took=0
	[ ! -s "$logs/$t.rc" ] || read -r rc took <"$logs/$t.rc"
	ok=$(grep -c '^ok' "$logs/$t" 2>/dev/null)
	bad=$(grep -c '^not ok' "$logs/$t" 2>/dev/null)
	ok=${ok:-0} bad=${bad:-0}
	if [ "$bad" -eq 0 ] && { [ "$rc" != 0 ] || [ "$ok" -eq 0 ]; }; then
		bad=1
	fi
	passed=$((passed + ok))
	failed=$((failed + bad))
	if [ "$bad" -gt 0 ]; then
		kv_say "not ok - $t: $ok passed, $bad failed, exit code $rc"
		tail -n 40 "$logs/$t" 2>/dev/null
	else
		kv_say "ok - $t: $ok passed, $took s"
	fi
done
kv_say "ran for $((SECONDS - start)) s"
kv_say "$name: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
