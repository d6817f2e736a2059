#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# The crash simulator, and proof that it sees: each bug of test/sim/bugs.txt
# is built into the engine in turn, and the simulator must then fail.  Called
# by run.sh.
#
#   test/tools/sim.sh sim|bugs      BUG=name plants only this one
#
# The quick form takes the same seeds every day and others of the day, and
# ten of the bugs, which change daily; KV_LONG=1 takes its time and all bugs.

set -u
. "$(dirname "$0")/lib.sh"
cd "$KV_ROOT" || exit 1

name=$1
mk=(-s -f test/tools/engine.mk VARIANT=sim)
passed=0
failed=0
log=$KV_ROOT/.build/logs/$name.out

# One run of the simulator; its last line is its count.
simulate() {
	local out=$1 rc=0
	shift
	timeout -k 5 "${KV_SIM_TIMEOUT:-$((${KV_LONG:-0} ? 3600 : 300))}" \
		.build/sim/sim "$@" >"$out" 2>&1 || rc=$?
	echo "$rc" >"$out.rc"
}

# Two at a time.
run_sim() {
	local seconds=40 ops=2 part out rc line
	if [ "${KV_LONG:-0}" != 0 ]; then
		seconds=1800
		ops=4
	fi
	rm -f "$log".*
	simulate "$log.always" --seconds "$seconds" &
	simulate "$log.exhaustive" --exhaustive "$ops" --seconds "$seconds"
	simulate "$log.today" --seconds "$seconds" --from "$(date +%Y%m%d)000000"
	wait
	for part in exhaustive always today; do
		out=$log.$part
		rc=$(cat "$out.rc")
		grep -vE '^[0-9]+ passed' "$out" | tail -n 12
		line=$(grep -oE '[0-9]+ passed, [0-9]+ failed' "$out" | tail -n 1)
		if [ -n "$line" ]; then
			passed=$((passed + ${line%% *}))
			line=${line#*, }
			failed=$((failed + ${line%% *}))
		elif [ "$rc" -eq 0 ]; then
			rc='none, and no count'
		fi
		[ "$rc" = 0 ] || kv_say "not ok - sim ($part): exit code $rc"
		if [ "$rc" != 0 ] && [ "$failed" -eq 0 ]; then
			failed=1
		fi
	done
}

bug_names() {
	local names n take=10 i first
	mapfile -t names < <(sed 's/#.*//; s/[[:space:]].*//; /^$/d' \
		test/sim/bugs.txt)
	n=${#names[@]}
	if [ -n "${BUG:-}" ]; then
		printf '%s\n' "$BUG"
		return
	fi
	[ "${KV_LONG:-0}" = 0 ] && [ "$n" -gt "$take" ] || take=$n
	first=$(($(date +%s) / 86400 * take))
	for ((i = 0; i < take; i++)); do
		printf '%s\n' "${names[(first + i) % n]}"
	done
}

run_bugs() {
	local bug rc start
	for bug in $(bug_names); do
		if ! kv_make "${mk[@]}" "BUG=$bug" programs; then
			kv_say "not ok - $bug does not compile"
			failed=$((failed + 1))
			continue
		fi
		# Without this a misspelt name would look like a bug that the
		# simulator fails to find, or worse, one nobody planted.
		if ! grep -rqF "KV_BUG($bug)" src/engine; then
			kv_say "not ok - $bug is planted nowhere"
			failed=$((failed + 1))
			continue
		fi
		rc=0
		start=$SECONDS
		timeout -k 5 90 ".build/sim/bug-$bug/sim" --until-failure \
			--seconds 60 >"$log.$bug" 2>&1 || rc=$?
		if [ "$rc" -eq 0 ]; then
			kv_say "not ok - $bug survived"
			failed=$((failed + 1))
		elif [ "$rc" -eq 124 ] || [ "$rc" -eq 137 ]; then
			kv_say "not ok - $bug: no verdict within a minute"
			failed=$((failed + 1))
		else
			kv_say "ok - $bug was found after $((SECONDS - start)) s"
			passed=$((passed + 1))
		fi
	done
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
