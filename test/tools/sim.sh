#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# The crash simulator, and proof that it sees: each bug of test/sim/bugs.txt
# is built into the engine in turn, and the simulator must then fail.  Called
# by run.sh.
#
#   test/tools/sim.sh sim|bugs

set -u
. "$(dirname "$0")/lib.sh"
cd "$KV_ROOT" || exit 1

name=$1
mk=(-s -f test/tools/engine.mk VARIANT=sim)
passed=0
failed=0
log=$KV_ROOT/.build/logs/$name.out

run_sim() {
	local args=(--quick)
	[ "${KV_LONG:-0}" = 0 ] || args=(--long)
	timeout -k 5 "${KV_SIM_TIMEOUT:-$((${KV_LONG:-0} ? 3600 : 300))}" \
		.build/sim/sim "${args[@]}" >"$log" 2>&1
	local rc=$? line
	tail -n 15 "$log"
	line=$(grep -oE '[0-9]+ passed, [0-9]+ failed' "$log" | tail -n 1)
	if [ -n "$line" ]; then
		passed=${line%% *}
		failed=${line#*, }
		failed=${failed%% *}
	elif [ "$rc" -eq 0 ]; then
		passed=1
	fi
	if [ "$rc" -ne 0 ] && [ "$failed" -eq 0 ]; then
		failed=1
		kv_say "not ok - the simulator ended with exit code $rc"
	fi
}

run_bugs() {
	local bug rc
	while read -r bug _; do
		case $bug in '' | '#'*) continue ;; esac
		if ! kv_make "${mk[@]}" "BUG=$bug" programs; then
			kv_say "not ok - $bug does not compile"
			failed=$((failed + 1))
			continue
		fi
		# Without this a misspelt name would look like a bug that the
		# simulator fails to find, or worse, one nobody planted.
		if ! grep -rqE "(BUG_|\<)$bug\>" src/engine test/unit \
			test/sim/*.[ch]; then
			kv_say "not ok - $bug is planted nowhere"
			failed=$((failed + 1))
			continue
		fi
		rc=0
		timeout -k 5 60 ".build/sim/bug-$bug/sim" --quick \
			>"$log.$bug" 2>&1 || rc=$?
		if [ "$rc" -eq 0 ]; then
			kv_say "not ok - $bug survived"
			failed=$((failed + 1))
		elif [ "$rc" -eq 124 ] || [ "$rc" -eq 137 ]; then
			kv_say "not ok - $bug: no verdict within a minute"
			failed=$((failed + 1))
		else
			kv_say "ok - $bug was found (exit code $rc)"
			passed=$((passed + 1))
		fi
	done <test/sim/bugs.txt
}

mkdir -p .build/logs
if ! kv_make "${mk[@]}" programs; then
	kv_say "not ok - the simulator does not compile"
	failed=1
elif [ "$name" = sim ]; then
	run_sim
else
	run_bugs
fi
kv_say "$name: $passed passed, $failed failed"
[ "$failed" -eq 0 ]
