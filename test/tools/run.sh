#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# Run test suites and count.
#
#   test/tools/run.sh all | SUITE...
#   suites: lint unit unit-asan unit-tsan sim bugs fuzz sql iso tap http orm
#
# The last line is "N passed, N failed"; the exit code is zero only if
# nothing failed.  A suite is a script whose last line is
# "name: P passed, F failed".  One without that line, one that counted
# nothing, and one that exits non-zero without a failed test are each one
# failed test: nothing passes by being absent.
#
# Everything that PostgreSQL reads or writes lies in a directory of this run
# in /tmp, because the server's user may not be able to enter the checkout.
# Suites find it in KV_STAGE: in/ (copies of test, expected, docs, sql),
# install/ (private installation with assertions and stop points).  Logs of
# the last run are kept in .build/logs.

set -u
. "$(dirname "$0")/lib.sh"
cd "$KV_ROOT" || exit 1

# The quick form runs the unit tests with the sanitizers only; as most users'
# compiler makes them they run in the long form, and with "make unit".
ALL="lint unit-asan unit-tsan sim bugs fuzz sql iso tap http orm"
[ "${KV_LONG:-0}" = 0 ] || ALL="unit $ALL"
logs=$KV_ROOT/.build/logs
passed=0
failed=0
report=()
child=

suite_script() {
	case $1 in
		lint) echo test/lint/run.sh ;;
		unit | unit-asan | unit-tsan) echo test/tools/unit.sh "$1" ;;
		sim | bugs) echo test/tools/sim.sh "$1" ;;
		fuzz) echo test/tools/fuzz.sh ;;
		sql | iso) echo test/tools/regress.sh "$1" ;;
		tap) echo test/tools/tap.sh ;;
		http) echo test/http/run.sh ;;
		orm) echo test/orm/run.sh ;;
		*) kv_die "no such suite: $1" ;;
	esac
}

# Seconds of "make check" that each suite may take on two cores; a suite over
# its budget is reported, not failed.
suite_budget() {
	case $1 in
		lint) echo 15 ;;
		unit | unit-asan) echo 60 ;;
		unit-tsan) echo 25 ;;
		sim) echo 90 ;;
		bugs) echo 30 ;;
		fuzz | orm) echo 40 ;;
		sql | iso) echo 60 ;;
		tap) echo 120 ;;
		http) echo 60 ;;
	esac
}

# Servers of this run only: their data lies in the stage and their program in
# its installation.
kill_servers() {
	local f pid
	[ -n "${KV_STAGE:-}" ] || return 0
	find "$KV_STAGE" -name postmaster.pid 2>/dev/null |
		while read -r f; do
			pid=$(head -n 1 "$f")
			case $(readlink "/proc/$pid/exe" 2>/dev/null) in
				"$KV_STAGE"/*) kill -QUIT "$pid" ;;
			esac
		done
}

cleanup() {
	if [ -n "$child" ]; then
		kill -TERM "$child" 2>/dev/null
		wait "$child" 2>/dev/null
	fi
	kill_servers
	if [ -n "${KV_STAGE:-}" ]; then
		[ -n "${KV_KEEP:-}" ] && kv_say "kept: $KV_STAGE" ||
			rm -rf "$KV_STAGE"
	fi
}

prepare_stage() {
	local bin out
	KV_STAGE=$(mktemp -d /tmp/kvlsm-check.XXXXXX) || exit 1
	export KV_STAGE KV_INSTALL=$KV_STAGE/install
	chmod 755 "$KV_STAGE"
	mkdir "$KV_STAGE/in"
	# What PostgreSQL's own test programs leave in /tmp when they are killed.
	mkdir -m 1777 "$KV_STAGE/tmp"
	export TMPDIR=$KV_STAGE/tmp
	cp -r test expected docs sql "$KV_STAGE/in/" 2>/dev/null
	chmod -R a+rX "$KV_STAGE/in"
	kv_say "building kvlsm.so with assertions and stop points"
	if ! KV_BUILD=server kv_make_install "$KV_INSTALL" ASSERTS=1 TESTING=1 \
		>"$logs/build.log" 2>&1; then
		cat "$logs/build.log"
		return 1
	fi
	cat "$logs/build.log"
	if bin=$(kv_postgrest_bin 2>/dev/null) && ! kv_as_pg test -x "$bin"; then
		cp "$bin" "$KV_STAGE/postgrest"
		chmod 755 "$KV_STAGE/postgrest"
		export KV_POSTGREST=$KV_STAGE/postgrest
	fi
}

# Processor seconds of everything that this script has waited for, from the
# output of "times", which must not run in a subshell.  On a busy machine they
# tell a slow suite from one that had to wait.
cpu_of() {
	tail -n 1 "$logs/times" | tr -s 'ms ' ' ' |
		awk '{ printf "%d", $1 * 60 + $2 + $3 * 60 + $4 }'
}

# Both run in the background, so that a signal is handled at once.  Output
# goes to a file that is followed, not through a pipe: a process that
# a killed suite leaves behind would keep a pipe open for ever.
run_suite() {
	local name=$1 script start=$SECONDS rc=0 line p=0 f=0 took budget note= tailer
	local cpu
	script=$(suite_script "$name") || exit 1
	kv_say "== $name"
	times >"$logs/times"
	cpu=$(cpu_of)
	: >"$logs/$name.log"
	timeout -k 20 "${KV_SUITE_TIMEOUT:-$((${KV_LONG:-0} ? 7200 : 900))}" \
		perl test/tools/reaper.pl bash $script >"$logs/$name.log" 2>&1 </dev/null &
	child=$!
	tail -n +1 -s 0.2 -f --pid=$child "$logs/$name.log" &
	tailer=$!
	wait "$child" || rc=$?
	child=
	wait "$tailer"
	line=$(grep -E '^[a-z-]+: [0-9]+ passed, [0-9]+ failed$' \
		"$logs/$name.log" | tail -n 1)
	if [ -n "$line" ]; then
		p=$(printf '%s' "$line" | sed 's/.*: \([0-9]*\) passed.*/\1/')
		f=$(printf '%s' "$line" | sed 's/.*, \([0-9]*\) failed/\1/')
		[ $((p + f)) -gt 0 ] || { f=1 note=" (no test was run)"; }
	else
		f=1 note=" (ended without a count, exit code $rc)"
	fi
	if [ "$rc" -ne 0 ] && [ "$f" -eq 0 ]; then
		f=1 note=" (exit code $rc)"
	fi
	took=$((SECONDS - start))
	times >"$logs/times"
	cpu=$(($(cpu_of) - cpu))
	budget=$(suite_budget "$name")
	if [ "${KV_LONG:-0}" = 0 ] && [ "$took" -gt "$budget" ]; then
		note="$note (over its budget of $budget s)"
	fi
	passed=$((passed + p))
	failed=$((failed + f))
	line=$(printf '%-10s %5d passed %4d failed %5d s, processor %4d s%s' \
		"$name" "$p" "$f" "$took" "$cpu" "$note")
	report+=("$line")
	kv_say "-- $line"
}

suites=${*:-all}
if [ "$suites" = all ]; then
	suites=
	for s in $ALL; do
		# A kind of test that the project does not have yet.  Once its
		# directory exists it cannot be skipped.
		case $s in
			fuzz | orm) [ -d "test/$s" ] || continue ;;
		esac
		suites="$suites $s"
	done
fi
for s in $suites; do
	suite_script "$s" >/dev/null || exit 1
done

mkdir -p "$logs"
trap cleanup EXIT
trap 'exit 130' INT TERM HUP
started=$SECONDS
for s in $suites; do
	case $s in
		sql | iso | tap | http | orm)
			if [ -z "${KV_STAGE:-}" ] && ! prepare_stage; then
				kv_say "kvlsm.so could not be built and installed"
				failed=$((failed + 1))
				break
			fi
			;;
	esac
	run_suite "$s"
done
kv_say ""
printf '%s\n' "${report[@]}"
kv_say "$((SECONDS - started)) s in all, logs in .build/logs"
kv_say "$passed passed, $failed failed"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
