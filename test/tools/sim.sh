#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# The crash simulator, and proof that it sees: each bug of test/sim/bugs.txt
# is built into the engine in turn, and the simulator must then fail.  Called
# by run.sh.
#
#   test/tools/sim.sh sim|bugs      BUG=name plants only this one
#
# The quick form takes the same seeds every day and others of the day, samples
# of what is exhaustive, and ten of the bugs, which change daily; KV_LONG=1
# takes everything, and prints when each bug was found.  KV_SIM_SECONDS: of
# the random part of the long form.

set -u
. "$(dirname "$0")/lib.sh"
cd "$KV_ROOT" || exit 1

name=$1
mk=(-s -f test/tools/engine.mk VARIANT=sim)
passed=0
failed=0
log=$KV_ROOT/.build/logs/$name.out
long_seconds=${KV_SIM_SECONDS:-1200}

# One run of the simulator; its last line is its count.
simulate() {
	local out=$log.$1 rc=0
	shift
	timeout -k 5 "${KV_SIM_TIMEOUT:-$((${KV_LONG:-0} ? 5400 : 300))}" \
		.build/sim/sim --save "$log.images" "$@" >"$out" 2>&1 || rc=$?
	echo "$rc" >"$out.rc"
}

# The parts, two at a time; the random form runs beside all others.
quick_parts() {
	parts="regress crashes nested faults rot metamorphic today always"
	simulate always --seconds 55 &
	simulate regress --ops test/sim/regress/*.ops
	simulate crashes --exhaustive 2 --seconds 20
	simulate nested --nested 1 --each 20
	simulate faults --sweep 1 --each 4
	simulate rot --rot-all --each 100
	simulate metamorphic --metamorphic --seconds 8
	simulate today --seconds 25 --from "$(date +%Y%m%d)000000"
	wait
}

# About 40 minutes of two cores.
long_parts() {
	parts="regress crashes nested faults rot metamorphic today always"
	simulate always --seconds "$long_seconds" --strict &
	simulate regress --ops test/sim/regress/*.ops
	simulate crashes --exhaustive 3 --seconds 600
	simulate nested --nested 1 --seconds 600
	simulate faults --sweep 2 --seconds 600
	simulate rot --rot-all
	simulate metamorphic --metamorphic --seconds 300
	simulate today --seconds "$((long_seconds / 2))" --strict \
		--from "$(date +%Y%m%d)000000"
	wait
}

# One table of all parts; images that several of them met count once.
print_table() {
	local start=$1
	cat "$log".{crashes,nested,faults,today,always} | awk -v took="$start" '
		/^# L[0-3] / { n = NF; name = $2 " " $3 (n > 6 ? " " $4 : "")
			all[name] += $(n - 2); distinct[name] += $(n - 1)
			nested[name] += $n; if (!(name in seen)) { seen[name] = 1
			order[++k] = name } }
		/ lost, / { lost += $2; torn += $4; back += $6 }
		/^# seeds/ { seeds += $5 - $3 + 1 }
		END {
			printf "# all parts: %-14s %9s %9s %9s\n", "crashes", "all",
				"distinct", "nested"
			for (i = 1; i <= k; i++) { name = order[i]
				printf "# %-25s %9d %9d %9d\n", name, all[name],
					distinct[name], nested[name]
				a += all[name]; d += distinct[name]; n2 += nested[name] }
			printf "# %-25s %9d %9d %9d\n", "total", a, d, n2
			printf "# %d seeds, %d s; %d lost, %d torn, %d resurrected\n",
				seeds, took, lost, torn, back
		}'
	printf '# %d different images at any level and in any part\n' \
		"$(od -An -v -t x8 -w8 "$log.images" | sort -u | wc -l)"
}

run_sim() {
	local part out rc line start=$SECONDS
	local headlines='exhaustive|seeds|metamorphic|flipped|SST|WAL|MANIF|CURR'
	rm -f "$log".*
	if [ "${KV_LONG:-0}" != 0 ]; then
		long_parts
	else
		quick_parts
	fi
	for part in $parts; do
		out=$log.$part
		rc=$(cat "$out.rc")
		if [ "$rc" != 0 ]; then
			grep -vE '^[0-9]+ passed' "$out" | tail -n 60
		elif [ "${KV_LONG:-0}" != 0 ]; then
			kv_say "-- $part"
			grep -E '^#' "$out"
		else
			grep -E "^# ($headlines)" "$out"
		fi
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
	print_table "$((SECONDS - start))"
	rm -f "$log.images"
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

# Sets found_by to the part of the simulator that fails, in the order of what
# they take.  The plans in test/sim/regress do not count: they were made of
# such failures.
hunt() {
	local sim=.build/sim/bug-$1/sim part args rc
	found_by=
	for part in random rot faults metamorphic longer; do
		case $part in
			random) args='--until-failure --seconds 10' ;;
			faults) args='--sweep 1' ;;
			metamorphic) args='--metamorphic --until-failure --seconds 10' ;;
			rot) args='--rot-all --each 20' ;;
			longer) args='--until-failure --seconds 60 --from 1000000' ;;
		esac
		rc=0
		# shellcheck disable=SC2086
		timeout -k 5 90 "$sim" $args >"$log.$1" 2>&1 || rc=$?
		# 124, 137: no verdict in time is none
		case $rc in
			0 | 124 | 137) ;;
			*) found_by=$part && return ;;
		esac
	done
}

run_bugs() {
	local bug start took found_by times=()
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
		start=$(date +%s%N)
		hunt "$bug"
		took=$(($(date +%s%N) / 1000000 - start / 1000000))
		if [ -z "$found_by" ]; then
			kv_say "not ok - $bug survived"
			failed=$((failed + 1))
		else
			times+=("$(printf '%6d.%03d s  %-12s %s' $((took / 1000)) \
				$((took % 1000)) "$found_by" "$bug")")
			kv_say "ok - $bug was found after $((took / 1000)) s ($found_by)"
			passed=$((passed + 1))
		fi
	done
	[ "${#times[@]}" -lt 2 ] ||
		printf '%s\n' "${times[@]}" | sort -n | sed 's/^/# /'
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
