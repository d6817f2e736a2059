#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# kvlsm beside a heap table with a primary key, through SQL: the same server,
# the same run, turn by turn (A B B A ...), medians of the ratios.
#
#   make bench-sql                                  1,000,000 rows, 30 minutes
#   make bench-sql BENCH_N=5000000                  the number that counts
#   make bench-sql BENCH_N=20000 BENCH_SECONDS=2 BENCH_FORCE=1     a smoke run
#
#   BENCH_N        rows that are loaded (a multiple of 1000)
#   BENCH_SECONDS  seconds of each client/server point and target, taken in
#   BENCH_PAIRS    so many turns (5)
#   BENCH_LOADS    pairs of loads (3)
#   BENCH_SPAN     upserts draw keys from 0 .. SPAN-1 (twice N: half are new)
#   BENCH_ONLY     groups to run (all): load, space, copy, batch; point and
#                  scan, which are "read" together; upsert, mixed, hot
#   BENCH_APPEND   1: adds to the results that are there, so that a run can be
#                  made in parts; what is measured twice counts as measured the
#                  second time
#   BENCH_HOT      seconds of the counters for each target (300, smoke runs 10)
#   BENCH_FORCE    1: warn, do not refuse, when the machine is not idle
#   BENCH_OUT      where results go: docs/bench, and .build/bench for runs that
#                  are too small or forced
#
# Results: sql.tsv (every turn), sql.md (table), sql.svg (chart).  The cluster
# lies in BENCH_TMP (/tmp), which should be a real disk; the build has neither
# assertions nor stop points.  Nothing is measured that is not written down in
# the TSV.

set -u
. "$(dirname "$0")/../tools/lib.sh"
cd "$KV_ROOT" || exit 1
for part in load read write; do
	. "test/bench/sql/$part.sh"
done

N=${BENCH_N:-1000000}
SECS=${BENCH_SECONDS:-10}
PAIRS=${BENCH_PAIRS:-5}
LOADS=${BENCH_LOADS:-3}
SPAN=${BENCH_SPAN:-$((2 * N))}
ONLY=" ${BENCH_ONLY:-load space copy batch read upsert mixed hot} "
ONLY=${ONLY/ read / point scan }
APPEND=${BENCH_APPEND:-0}
FORCE=${BENCH_FORCE:-0}
[ $((N % 1000)) -eq 0 ] && [ "$N" -gt 0 ] ||
	kv_die "BENCH_N must be a multiple of 1000"
[ "$PAIRS" -le "$SECS" ] || PAIRS=$SECS
SLICE=$((SECS / PAIRS))
SMOKE=0
[ "$N" -ge 1000000 ] && [ "$SECS" -ge 10 ] && [ "$FORCE" = 0 ] || SMOKE=1
if [ "$SMOKE" = 0 ]; then
	OUT=${BENCH_OUT:-docs/bench}
else
	OUT=${BENCH_OUT:-.build/bench}
fi
HOT=${BENCH_HOT:-$((SMOKE ? 10 : 300))}
SQL=$KV_ROOT/test/bench/sql
TARGETS="heap kvlsm"
FRESH=0
TMP=
DB=
TSV=

finish() {
	[ -z "$DB" ] || kv_cluster_stop "$DB" immediate
	[ -z "$TMP" ] || rm -rf "$TMP"
}

# ---- The machine ------------------------------------------------------------

# Another load makes every sync of PostgreSQL's several times slower, and not
# those of kvlsm's: so a synced block does not start beside one.  What the
# server has left to do is waited for.
quiet() {
	local strict=$1 try=0 limit=60
	[ "$FORCE" = 0 ] || limit=1
	BUSY=$(kv_busy)
	[ "$BUSY" -le 5 ] || kv_say "  waiting for a quiet machine ..."
	while [ "$BUSY" -gt 5 ] && [ $((try += 1)) -lt "$limit" ]; do
		BUSY=$(kv_busy)
	done
	[ "$BUSY" -gt 5 ] || return 0
	if [ "$strict" = strict ] && [ "$FORCE" = 0 ]; then
		ps -eo pcpu,pid,args --sort=-pcpu | head -n 4 | cut -c 1-76 >&2
		kv_die "another load uses $BUSY% of a processor;" \
			"BENCH_FORCE=1 runs all the same"
	fi
	echo "warning: another load uses $BUSY% of a processor" >&2
}

# ---- One measurement ----------------------------------------------------------

# workload point pair turn target value unit transactions PG-WAL kvlsm-WAL busy
row() {
	printf '%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n' "$@" "$BUSY" >>"$TSV"
}

# A target's turn.  "fdw" is kvlsm through the foreign table where the plain
# name is a function: it has a workload of its own, beside the same heap.
note() {
	local w=$1 t=$5
	if [ "$t" = fdw ]; then
		row "${w}_fdw" "${@:2:3}" kvlsm "${@:6}"
		return
	fi
	row "$@"
	case $t:$TARGETS in
		heap:*fdw*) row "${w}_fdw" "${@:2}" ;;
	esac
}

sql() {
	PGOPTIONS="-c client_min_messages=warning" kv_psql "$DB" -At "$@"
}

# Both logs' positions.  kvlsm's is written a moment after the commit.
logs() {
	sql -c "SELECT pg_sleep(0.25)" -c "SELECT pg_current_wal_insert_lsn()
		- '0/0', (SELECT wal_bytes FROM kvlsm_stats())" -F ' ' | tail -n 1
}

# Client milliseconds of the last of the statements after "--", by psql's
# clock, commit included; the others come before it in the same session.
timed() {
	local args=() last=${*: -1} out
	while [ $# -gt 1 ]; do
		args+=(-c "$1")
		shift
	done
	out=$(sql "${args[@]}" -c '\timing on' -c "$last") || kv_die "failed: $last"
	ANSWER=$(printf '%s\n' "$out" | grep -v '^Time:' | tail -n 1)
	MS=$(printf '%s\n' "$out" | awk '/^Time:/{ms = $2} END{print ms}')
}

per_s() {
	awk -v n="$1" -v ms="$2" 'BEGIN{printf "%.1f", n * 1000 / ms}'
}

# pgbench_turn SCRIPT CLIENTS OPTIONS SEED: sets TPS and TX
pgbench_turn() {
	local j=$2 out
	[ "$j" -le 2 ] || j=2
	out=$(PGOPTIONS="$3" kv_as_pg "$BIN/pgbench" -h "$SOCK" -p 5432 \
		-U postgres -n -M prepared -c "$2" -j "$j" -T "$SLICE" \
		-D n="$N" -D span="$SPAN" --random-seed="$4" \
		-f "$TMP/sql/$1.pgbench" postgres 2>&1) ||
		{ printf '%s\n' "$out" >&2; kv_die "pgbench $1 failed"; }
	TPS=$(printf '%s\n' "$out" | awk '/^tps = /{print $3}')
	TX=$(printf '%s\n' "$out" | awk '/actually processed/{print $NF}')
}

# The targets of a pair: there, and back in the next one.
order() {
	local t out=
	for t in $TARGETS; do
		if [ $(($1 % 2)) -eq 1 ]; then out="$out $t"; else out="$t $out"; fi
	done
	echo "$out"
}

# point WORKLOAD SCRIPT CLIENTS OPTIONS: a client/server point, turn by turn
point() {
	local w=$1 script=$2 c=$3 opts=$4 p t turn a b
	for ((p = 1; p <= PAIRS; p++)); do
		turn=0
		for t in $(order "$p"); do
			turn=$((turn + 1))
			a=$(logs)
			pgbench_turn "${script}_$t" "$c" "$opts" "$p"
			b=$(logs)
			note "$w" "c=$c" "$p" "$turn" "$t" "$TPS" tps "$TX" \
				$((${b% *} - ${a% *})) $((${b#* } - ${a#* }))
		done
	done
	tell "$w" "c=$c"
}

# What a workload's turns have come to.
tell() {
	local w
	for w in "$1" "$1_fdw"; do
		case $w:$TARGETS in
			*_fdw:*fdw* | "$1":*) kv_say "  $w $2:" \
				"$(python3 test/bench/report.py ratio "$TSV" "$w" "$2")" ;;
		esac
	done
}

# pair_timed WORKLOAD POINT ROWS EXPECTED HEAP-SQL KVLSM-SQL FDW-SQL
# [SETTING...]: a statement that reads, second run of a session, turn by turn
pair_timed() {
	local w=$1 pt=$2 n=$3 want=$4 heap=$5 kvlsm=$6 fdw=$7 p t turn q
	shift 7
	for ((p = 1; p <= PAIRS; p++)); do
		turn=0
		for t in $(order "$p"); do
			turn=$((turn + 1))
			q=${!t}
			timed "$@" "$q" "$q"
			[ "$ANSWER" = "$want" ] ||
				kv_die "$w on $t answered $ANSWER, not $want: $q"
			note "$w" "$pt" "$p" "$turn" "$t" "$(per_s "$n" "$MS")" rows/s \
				1 0 0
		done
	done
	tell "$w" "$pt"
}

# ---- The run ------------------------------------------------------------------

describe() {
	local ver dirty=
	git diff --quiet HEAD -- src sql 2>/dev/null || dirty=' and changes'
	ver=$(git rev-parse --short HEAD 2>/dev/null)$dirty
	printf '#\tdate\t%s\n' "$(date -u '+%Y-%m-%d %H:%M UTC')"
	printf '#\tcommand\tmake bench-sql %s\n' "$ASKED"
	printf '#\tkvlsm\t%s, kvlsm.so sha256 %s, %s\n' "$ver" \
		"$(sha256sum "$KV_INSTALL$(kv_pg_config --pkglibdir)/kvlsm.so" |
			cut -c 1-16)" "no assertions, no stop points"
	printf '#\tserver\t%s\n' "$("$BIN/postgres" --version)"
	printf '#\tmachine\t%s x %s, %s MiB, Linux %s, %s\n' "$(nproc)" \
		"$(awk -F': ' '/^model name/{print $2; exit}' /proc/cpuinfo)" \
		"$(awk '/^MemTotal/{print int($2 / 1024)}' /proc/meminfo)" \
		"$(uname -r)" "$(stat -f -c %T "$TMP")"
	printf '#\tsettings\t%s\n' "$(sed -n '/ = /p' test/bench/bench.conf |
		tr '\n' ';' | sed 's/;$//; s/;/; /g')"
	printf '#\tpgbench\t%s\n' "-n -M prepared -j min(c, 2), unix socket,\
 $PAIRS turns of $SLICE s for each target"
	printf '#\trows\t%s, upserts over %s\n' "$N" "$SPAN"
	[ "$SMOKE" = 0 ] || printf '#\tsmoke\t%s\n' \
		"small, short, or beside other loads: no basis for a claim"
}

asked() {
	local v
	for v in N SECONDS PAIRS LOADS SPAN ONLY HOT APPEND FORCE; do
		v=BENCH_$v
		[ -z "${!v:-}" ] || printf "%s='%s' " "$v" "${!v}"
	done
}

wanted() {
	case $ONLY in *" $1 "*) ;; *) return 1 ;; esac
}

# Rows of another number, or from another machine, have no place in one table.
check_append() {
	local what
	for what in machine rows; do
		[ "$(grep "^#	$what	" "$OUT/sql.tsv" | tail -n 1)" = \
			"$(grep "^#	$what	" "$TSV")" ] ||
			kv_die "$OUT/sql.tsv was measured with: $(grep "^#	$what	" \
				"$OUT/sql.tsv" | tail -n 1 | cut -f 3)"
	done
}

finish_report() {
	sed -i "0,/^workload/s//#	took	$1 s\nworkload/" "$TSV"
	if [ "$APPEND" = 1 ] && [ -s "$OUT/sql.tsv" ]; then
		python3 test/bench/report.py merge "$OUT/sql.tsv" "$TSV" \
			"$TMP/merged.tsv" && mv "$TMP/merged.tsv" "$TSV" || exit 1
	fi
	cp "$TSV" "$OUT/sql.tsv"
	python3 test/bench/report.py report "$OUT/sql.tsv" \
		test/bench/sql/goals.tsv "$OUT/sql.md" "$OUT/sql.svg" || exit 1
}

main() {
	local start=$SECONDS
	kv_need python3
	ASKED=$(asked)
	BUSY=$(kv_busy)
	TMP=$(mktemp -d "${BENCH_TMP:-/tmp}/kvbench.XXXXXX") || exit 1
	trap finish EXIT
	trap 'exit 1' INT TERM
	chmod 755 "$TMP"
	cp -r "$SQL" "$TMP/sql"
	chmod -R a+rX "$TMP"
	export KV_STAGE=$TMP KV_INSTALL=$TMP/install
	export KV_CONF=$KV_ROOT/test/bench/bench.conf
	kv_say "building ..."
	KV_BUILD=bench-build kv_make_install "$KV_INSTALL" ASSERTS=0 TESTING=0 ||
		kv_die "the build failed"
	BIN=$(kv_bindir) || exit 1
	kv_cluster_init "$TMP/pg" || exit 1
	DB=$TMP/pg
	kv_cluster_start "$DB" || exit 1
	SOCK=$(kv_cluster_socket "$DB")
	mkdir -p "$OUT"
	TSV=$TMP/sql.tsv
	describe >"$TSV"
	if [ "$APPEND" = 1 ] && [ -s "$OUT/sql.tsv" ]; then check_append; fi
	printf '%s\n' "workload	point	pair	turn	target	value	unit	\
transactions	pg_wal_bytes	kvlsm_wal_bytes	busy_percent" >>"$TSV"

	kv_say "generating $N rows ..."
	sql -v n="$N" -f "$TMP/sql/source.sql" || kv_die "no source"
	if wanted load; then kv_say "loads"; group_load; fi
	if wanted space; then kv_say "bytes on disk"; group_space; fi
	if wanted copy; then kv_say "COPY"; group_copy; fi
	if wanted batch; then kv_say "batches"; group_batch; fi
	if wanted point || wanted scan || wanted upsert || wanted mixed; then
		prepare
	fi
	if wanted point; then kv_say "reads of a key"; group_point; fi
	if wanted scan; then kv_say "reads of many"; group_scan; fi
	if wanted upsert; then kv_say "upserts"; group_upsert; fi
	if wanted mixed; then kv_say "keys and rows"; group_mixed; fi
	if wanted hot; then kv_say "counters"; group_hot; fi
	finish_report $((SECONDS - start))
	kv_say "results: $OUT/sql.md, sql.tsv, sql.svg ($((SECONDS - start)) s)"
}

main
