#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# Build and run the fuzz targets (test/fuzz/*_fuzz.c), all together about 30
# seconds, two at a time.  Called by run.sh.  FUZZ_SECONDS sets the time of
# each; inputs that failed are kept in .build/fuzz and printed.

set -u
. "$(dirname "$0")/lib.sh"
cd "$KV_ROOT" || exit 1

kv_need clang
mk=(-s -f test/tools/engine.mk VARIANT=fuzz)
passed=0
failed=0
logs=$KV_ROOT/.build/logs/fuzz
rm -rf "$logs"
mkdir -p "$logs"

kv_make -k "${mk[@]}" programs
programs=$(kv_make "${mk[@]}" list)
count=$(printf '%s\n' "$programs" | grep -c .)
[ "$count" -gt 0 ] || count=1
seconds=$((45 / count))
[ "$seconds" -gt 2 ] || seconds=2
[ "$seconds" -le 15 ] || seconds=15
[ "${KV_LONG:-0}" = 0 ] || seconds=600
export seconds=${FUZZ_SECONDS:-$seconds} logs

run_one() {
	local prog=$1 t rc=0 corpus
	t=$(basename "$prog")
	corpus=.build/fuzz/corpus/$t
	mkdir -p "$corpus" ".build/fuzz/failed-$t"
	# A seed corpus that is kept in the project is read, never written.
	local seeds=()
	[ -d "test/fuzz/corpus/$t" ] && seeds=("test/fuzz/corpus/$t")
	timeout -k 5 $((seconds * 2 + 60)) "$prog" -max_total_time="$seconds" \
		-print_final_stats=1 -timeout=20 -rss_limit_mb=512 -malloc_limit_mb=400 \
		-artifact_prefix=".build/fuzz/failed-$t/" "$corpus" \
		"${seeds[@]}" >"$logs/$t" 2>&1 || rc=$?
	echo "$rc" >"$logs/$t.rc"
}
export -f run_one

for p in $programs; do
	[ -x "$p" ] && printf '%s\n' "$p"
done | xargs -r -P "$(nproc)" -L 1 bash -c 'run_one "$1"' _

for p in $programs; do
	t=$(basename "$p")
	rc=$(cat "$logs/$t.rc" 2>/dev/null || echo 'did not compile')
	runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$logs/$t" \
		2>/dev/null)
	if [ "$rc" = 0 ] && [ "${runs:-0}" -gt 0 ]; then
		kv_say "ok - $t: $runs runs in $seconds s"
		passed=$((passed + 1))
	else
		kv_say "not ok - $t: exit code $rc"
		grep -vE '^#[0-9]+' "$logs/$t" 2>/dev/null | tail -n 40
		failed=$((failed + 1))
	fi
done
kv_say "fuzz: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
