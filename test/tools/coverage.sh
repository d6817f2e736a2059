#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# What the simulator reaches of the engine: lines and branches by file, of
# recovery and in all.
#
#   test/tools/coverage.sh          KV_SIM_SECONDS=n: of the random part
#
# The .gcov files with each line's count stay in .build/cov/gcov.

set -u
. "$(dirname "$0")/lib.sh"
cd "$KV_ROOT" || exit 1

kv_need gcov
recovery="recover.c replay.c begin_use.c manifest_load.c manifest_state.c
wal_reader.c"
seconds=${KV_SIM_SECONDS:-60}
sim=.build/cov/sim

kv_make -s -f test/tools/engine.mk VARIANT=cov programs || exit 1
find .build/cov -name '*.gcda' -delete
$sim --ops test/sim/regress/*.ops
$sim --exhaustive 2 --seconds "$seconds"
$sim --nested 1 --each 40
$sim --sweep 1 --each 2
$sim --rot-all --each 200
$sim --metamorphic --seconds "$((seconds / 4))"
$sim --seconds "$seconds"

rm -rf .build/cov/gcov
mkdir -p .build/cov/gcov
objects=$(find .build/cov/obj/src/engine -name '*.gcda')
cd .build/cov/gcov || exit 1
# shellcheck disable=SC2086
(cd "$KV_ROOT" && printf '%s\n' $objects | sed "s|^|$KV_ROOT/|") |
	xargs gcov -b 2>/dev/null | awk -v recovery="$recovery" '
	BEGIN { split(recovery, r, /[ \n]+/); for (i in r) wanted[r[i]] = 1 }
	/^File / { file = $0; sub(/.*\//, "", file); sub(/\047$/, "", file)
		path = $0 ~ /src\/engine\/.*\.c/ ? $0 : "" }
	# a sum over all files follows the last one
	/^$/ { path = "" }
	path == "" { next }
	/^Lines executed:/ { split($0, a, /[:% ]+/); l[file] = a[3]; n[file] = a[5] }
	/^Branches executed:/ { split($0, a, /[:% ]+/); m[file] = a[5] }
	/^Taken at least once:/ { split($0, a, /[:% ]+/); b[file] = a[5] }
	function line(name, hit, all, taken, branches) {
		printf "%-20s %5d lines %6.1f %%  %5d branches %6.1f %%\n", name,
			all, all ? 100 * hit / all : 0, branches,
			branches ? 100 * taken / branches : 0
	}
	END {
		for (f in n) {
			h = n[f] * l[f] / 100; t = m[f] * b[f] / 100
			eh += h; en += n[f]; et += t; em += m[f]
			if (!(f in wanted)) continue
			line(f, h, n[f], t, m[f])
			rh += h; rn += n[f]; rt += t; rm += m[f]
		}
		line("recovery", rh, rn, rt, rm)
		line("engine", eh, en, et, em)
	}'
