#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# kvlsm beside a heap table with a primary key, through SQL: the same server,
# the same run, turn by turn (A B B A ...), medians of the ratios.
#
#   make bench-sql                                  1,000,000 rows, 10 minutes
#   make bench-sql BENCH_N=5000000                  the number that counts
#   make bench-sql BENCH_N=20000 BENCH_SECONDS=2 BENCH_FORCE=1     a smoke run
#
#   BENCH_N        rows that are loaded (a multiple of 1000)
#   BENCH_SECONDS  seconds of each client/server point and target, taken in
#   BENCH_PAIRS    so many turns (5)
#   BENCH_LOADS    pairs of loads (3)
#   BENCH_SPAN     upserts draw keys from 0 .. SPAN-1 (twice N: half are new)
#   BENCH_ONLY     groups to run: load batch read upsert mixed hot (all)
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

N=${BENCH_N:-1000000}
SECS=${BENCH_SECONDS:-10}
PAIRS=${BENCH_PAIRS:-5}
LOADS=${BENCH_LOADS:-3}
SPAN=${BENCH_SPAN:-$((2 * N))}
ONLY=" ${BENCH_ONLY:-load batch read upsert mixed hot} "
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
TMP=
DB=
TSV=

finish() {
	[ -z "$DB" ] || kv_cluster_stop "$DB" immediate
	[ -z "$TMP" ] || rm -rf "$TMP"
}

# ---- The machine ------------------------------------------------------------

# Percent of one processor that ran during the last second, ours included.
busy() {
	local a b
	a=$(awk '/^cpu /{print $2+$3+$4+$7+$8+$9}' /proc/stat)
	sleep 1
	b=$(awk '/^cpu /{print $2+$3+$4+$7+$8+$9}' /proc/stat)
	echo $(((b - a) * 100 / $(getconf CLK_TCK)))
}

# Another load makes every sync of PostgreSQL's several times slower, and not
# those of kvlsm's: so a synced block does not start beside one.  What the
# server has left to do is waited for.
quiet() {
	local strict=$1 try=0 limit=60
	[ "$FORCE" = 0 ] || limit=1
	BUSY=$(busy)
	[ "$BUSY" -le 5 ] || kv_say "  waiting for a quiet machine ..."
	while [ "$BUSY" -gt 5 ] && [ $((try += 1)) -lt "$limit" ]; do
		BUSY=$(busy)
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

# Which target goes first in a pair: A B, B A, A B ...
order() {
	if [ $(($1 % 2)) -eq 1 ]; then echo heap kvlsm; else echo kvlsm heap; fi
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
			row "$w" "c=$c" "$p" "$turn" "$t" "$TPS" tps "$TX" \
				$((${b% *} - ${a% *})) $((${b#* } - ${a#* }))
		done
	done
	kv_say "  $w c=$c: $(last_ratio "$w" "c=$c")"
}

last_ratio() {
	python3 test/bench/report.py ratio "$TSV" "$1" "$2"
}

# pair_timed WORKLOAD POINT ROWS EXPECTED HEAP-SQL KVLSM-SQL [SETTING...]: a
# statement that reads, second run of a session, turn by turn
pair_timed() {
	local w=$1 pt=$2 n=$3 want=$4 heap=$5 kv=$6 p t turn q
	shift 6
	for ((p = 1; p <= PAIRS; p++)); do
		turn=0
		for t in $(order "$p"); do
			turn=$((turn + 1))
			q=$heap
			[ "$t" = heap ] || q=$kv
			timed "$@" "$q" "$q"
			[ "$ANSWER" = "$want" ] ||
				kv_die "$w on $t answered $ANSWER, not $want: $q"
			row "$w" "$pt" "$p" "$turn" "$t" "$(per_s "$n" "$MS")" rows/s \
				1 0 0
		done
	done
	kv_say "  $w $pt: $(last_ratio "$w" "$pt")"
}

# ---- Groups -------------------------------------------------------------------

create_heap() {
	sql -c "DROP TABLE IF EXISTS hb" \
		-c "CREATE TABLE hb (key bytea PRIMARY KEY, value bytea)"
}

create_kvlsm() {
	sql -c "DROP FOREIGN TABLE IF EXISTS kv" -c "SELECT kvlsm_compact()" \
		-c "CREATE FOREIGN TABLE kv (key bytea NOT NULL,
			value bytea NOT NULL) SERVER kvlsm" >/dev/null
}

# One statement that writes all rows, then what makes it lie in files.
write_all() {
	local w=$1 pt=$2 p=$3 turn=$4 t=$5 q=$6 a b ms
	sql -c CHECKPOINT
	a=$(logs)
	timed "SET synchronous_commit = on" "$q"
	ms=$MS
	b=$(logs)
	row "$w" "$pt" "$p" "$turn" "$t" "$(per_s "$N" "$ms")" rows/s "$N" \
		$((${b% *} - ${a% *})) $((${b#* } - ${a#* }))
	if [ "$t" = heap ]; then
		timed CHECKPOINT
	else
		timed "SELECT kvlsm_flush()"
		ms=$(awk -v a="$ms" -v b="$MS" 'BEGIN{print a + b}')
		timed CHECKPOINT
	fi
	ms=$(awk -v a="$ms" -v b="$MS" 'BEGIN{print a + b}')
	row "${w}_on_disk" "$pt" "$p" "$turn" "$t" "$(per_s "$N" "$ms")" rows/s \
		"$N" 0 0
}

# Until kvlsm's files have not changed for two seconds, 60 at most: what it
# does by itself belongs to the figure, kvlsm_compact() does not.
settle() {
	local i last='' now same=0
	for ((i = 0; i < 60 && same < 2; i++)); do
		now=$(sql -c "SELECT files, bytes, compactions, obsolete_files
			FROM kvlsm_stats()")
		if [ "$now" = "$last" ]; then same=$((same + 1)); else same=0; fi
		last=$now
		sleep 1
	done
}

space() {
	local pt=$1
	settle
	row space "$pt" 1 1 heap "$(sql -c "SELECT round(
		pg_total_relation_size('hb') / $N.0, 1)")" bytes/row "$N" 0 0
	row space "$pt" 1 2 kvlsm "$(sql -c "SELECT round(
		bytes / $N.0, 1) FROM kvlsm_stats()")" bytes/row "$N" 0 0
	kv_say "  space $pt: $(last_ratio space "$pt")"
}

LOAD_HEAP="INSERT INTO hb SELECT k, v FROM src"
LOAD_KVLSM="SELECT count(kv_put(k, v)) FROM src"

overwrite() {
	local pass t turn
	for pass in 1 2; do
		turn=0
		for t in $(order "$pass"); do
			turn=$((turn + 1))
			if [ "$t" = heap ]; then
				write_all overwrite "one statement" "$pass" "$turn" heap \
					"INSERT INTO hb SELECT k, set_byte(v, 0, $pass) FROM src
					ON CONFLICT (key) DO UPDATE SET value = excluded.value"
			else
				write_all overwrite "one statement" "$pass" "$turn" kvlsm \
					"SELECT count(kv_put(k, set_byte(v, 0, $pass))) FROM src"
			fi
		done
	done
	kv_say "  overwrite: $(last_ratio overwrite "one statement")"
	space "overwritten twice"
	sql -c "VACUUM hb" -c "SELECT kvlsm_compact()" >/dev/null
	space "overwritten twice, VACUUM and kvlsm_compact()"
}

group_load() {
	local p t turn
	for ((p = 1; p <= LOADS; p++)); do
		turn=0
		quiet strict
		for t in $(order "$p"); do
			turn=$((turn + 1))
			"create_$t"
			if [ "$t" = heap ]; then
				write_all load_isel "one statement" "$p" "$turn" heap \
					"$LOAD_HEAP"
			else
				write_all load_isel "one statement" "$p" "$turn" kvlsm \
					"$LOAD_KVLSM"
			fi
		done
		if [ "$p" -eq 1 ]; then
			space "after load"
			overwrite
		fi
	done
	kv_say "  load_isel: $(last_ratio load_isel "one statement")"
	kv_say "  ... on disk: $(last_ratio load_isel_on_disk "one statement")"
}

# Rows a second of 1000-row transactions; text keys, as kv_put_many has them.
group_batch() {
	local mode p t turn a b
	for mode in on off; do
		[ "$mode" = off ] || quiet strict
		for ((p = 1; p <= 2; p++)); do
			turn=0
			for t in $(order "$p"); do
				turn=$((turn + 1))
				sql -c "DROP TABLE IF EXISTS ht" -c "CREATE TABLE ht (key text
					COLLATE \"C\" PRIMARY KEY, value text)"
				[ "$t" = heap ] || sql -c "DROP FOREIGN TABLE IF EXISTS kvt" \
					-c "CREATE FOREIGN TABLE kvt (key text COLLATE \"C\"
					NOT NULL, value text NOT NULL) SERVER kvlsm" -c CHECKPOINT
				a=$(logs)
				timed "SET synchronous_commit = $mode" "CALL load_b1000_$t()"
				b=$(logs)
				row "load_b1000_$mode" "1000 rows a commit" "$p" "$turn" "$t" \
					"$(per_s "$N" "$MS")" rows/s "$N" \
					$((${b% *} - ${a% *})) $((${b#* } - ${a#* }))
			done
		done
		kv_say "  load_b1000_$mode:" \
			"$(last_ratio "load_b1000_$mode" "1000 rows a commit")"
	done
}

# The same rows with text keys, if they are not there from the batches.
prepare_text() {
	# a table that is missing cannot even be named in a query
	if [ "$(sql -c "SELECT to_regclass('ht') IS NULL")" = t ] ||
		[ "$(sql -c "SELECT NOT EXISTS (SELECT FROM ht)")" = t ]; then
		sql -c "DROP TABLE IF EXISTS ht" -c "CREATE TABLE ht (key text
			COLLATE \"C\" PRIMARY KEY, value text)" \
			-c "CALL load_b1000_heap()"
	fi
	if [ "$(sql -c "SELECT to_regclass('kvt') IS NULL")" = t ]; then
		sql -c "CREATE FOREIGN TABLE kvt (key text COLLATE \"C\" NOT NULL,
			value text NOT NULL) SERVER kvlsm" -c "CALL load_b1000_kvlsm()"
	fi
	sql -c "VACUUM ANALYZE ht"
}

# Both sides loaded, at rest, and read once.
prepare() {
	kv_say "preparing ..."
	if [ "$(sql -c "SELECT to_regclass('hb') IS NULL")" = t ]; then
		create_heap
		create_kvlsm
		sql -c "$LOAD_HEAP" -c "$LOAD_KVLSM" >/dev/null
	fi
	case $ONLY in *" read "*) prepare_text ;; esac
	sql -c "SELECT kvlsm_flush()" -c "VACUUM ANALYZE hb" \
		-c CHECKPOINT \
		-c "SELECT count(*), sum(octet_length(value)) FROM hb" \
		-c "SELECT count(*), sum(octet_length(value)) FROM kv" >/dev/null
	same=$(sql -c "SELECT count(*) FROM hb h JOIN kv k ON h.key = k.key
		AND h.value = k.value")
	[ "$same" = "$N" ] || kv_die "$same of $N rows are equal"
}

group_read() {
	local c serial="SET max_parallel_workers_per_gather = 0"
	quiet lax
	for c in 1 2 8; do
		pgbench_turn select1 "$c" "" 1
		row select1 "c=$c" 1 1 floor "$TPS" tps "$TX" 0 0
		kv_say "  SELECT 1 c=$c: ${TPS%.*} tps"
	done
	for c in 1 2 8; do
		point get get "$c" ""
	done
	point getmiss getmiss 2 ""
	for c in 1 2; do
		point range100 range100 "$c" ""
	done
	pair_timed nl_get "200K keys a statement" 200000 200000 \
		"SELECT count(h.value) FROM look l JOIN hb h ON h.key = l.k" \
		"SELECT count(kv_get_bytes(k)) FROM look" \
		"$serial" "SET enable_hashjoin = off" "SET enable_mergejoin = off"
	pair_timed count serial "$N" "$N" \
		"SELECT count(*) FROM hb" "SELECT count(*) FROM kv" "$serial"
	pair_timed count "heap in parallel" "$N" "$N" \
		"SELECT count(*) FROM hb" "SELECT count(*) FROM kv"
	pair_timed scan_value serial "$N" $((N * 100)) \
		"SELECT sum(octet_length(value)) FROM hb" \
		"SELECT sum(octet_length(value)) FROM kv" "$serial"
	pair_timed scan_ordered "ORDER BY key" "$N" $((N * 100)) \
		"SELECT sum(octet_length(value)) FROM
			(SELECT value FROM hb ORDER BY key OFFSET 0) s" \
		"SELECT sum(octet_length(value)) FROM
			(SELECT value FROM kv ORDER BY key OFFSET 0) s" "$serial"
	pair_timed scan_ordered "by kv_range" "$N" $((N * 100)) \
		"SELECT sum(octet_length(value)) FROM
			(SELECT value FROM ht ORDER BY key OFFSET 0) s" \
		"SELECT sum(octet_length(value)) FROM
			kv_range(max_rows => 2147483647, store => 'kvt')" "$serial"
}

group_upsert() {
	local mode c
	sql -c CHECKPOINT
	for mode in on off; do
		for c in 1 2 8 16; do
			if [ "$mode" = on ]; then quiet strict; else quiet lax; fi
			point "upsert_$mode" ups "$c" "-c synchronous_commit=$mode"
		done
	done
	[ "$(sql -c "SELECT count(*) FROM kvlsm_verify()
		WHERE problem IS NOT NULL")" = 0 ] || kv_die "kvlsm_verify() complains"
}

# One row and one key, or two rows, in a transaction.
group_mixed() {
	local mode c
	for mode in on off; do
		for c in 2 8; do
			if [ "$mode" = on ]; then quiet strict; else quiet lax; fi
			point "mixed_$mode" mixed "$c" "-c synchronous_commit=$mode"
		done
	done
}

# Ten counters, while a transaction from before keeps its snapshot: fifths of
# the time, the last against the first, and the size that is left behind.
group_hot() {
	local t i a b first last size
	sql -c "CREATE TABLE hc (key text COLLATE \"C\" PRIMARY KEY, n int8)" \
		-c "INSERT INTO hc SELECT i, 0 FROM generate_series(0, 9) i" \
		-c "CREATE FOREIGN TABLE kvc (key text COLLATE \"C\" NOT NULL,
			value jsonb NOT NULL) SERVER kvlsm" \
		-c "SELECT count(kv_incr(i::text, 0, store => 'kvc'))
			FROM generate_series(0, 9) i" >/dev/null
	quiet lax
	for t in heap kvlsm; do
		sql -c "BEGIN ISOLATION LEVEL REPEATABLE READ" \
			-c "SELECT sum(n) FROM hc" -c "SELECT count(*) FROM kvc" \
			-c "SELECT pg_sleep($HOT + 60)" >/dev/null 2>&1 &
		sleep 1
		SLICE=$((HOT / 5))
		for ((i = 1; i <= 5; i++)); do
			a=$(logs)
			pgbench_turn "hot_$t" 4 "-c synchronous_commit=off" "$i"
			b=$(logs)
			row incr_hot "c=4, part $i of 5" 1 1 "$t" "$TPS" tps "$TX" \
				$((${b% *} - ${a% *})) $((${b#* } - ${a#* }))
			[ "$i" -gt 1 ] || first=$TPS
			last=$TPS
		done
		SLICE=$((SECS / PAIRS))
		row incr_hot "last part over first" 1 1 "$t" \
			"$(awk -v a="$last" -v b="$first" 'BEGIN{print a / b}')" \
			"of it" 1 0 0
		if [ "$t" = heap ]; then
			size=$(sql -c "SELECT pg_total_relation_size('hc')")
		else
			size=$(sql -c "SELECT kvlsm_flush()" \
				-c "SELECT kvlsm_store_size('kvc')" | tail -n 1)
		fi
		row incr_hot "size, snapshot still open" 1 1 "$t" "$size" bytes 1 0 0
		sql -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
			WHERE query LIKE 'SELECT pg_sleep($HOT%'" >/dev/null
		wait $!
		kv_say "  incr_hot $t: first ${first%.*}, last ${last%.*} tps, $size bytes"
	done
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
	for v in N SECONDS PAIRS LOADS SPAN ONLY FORCE; do
		v=BENCH_$v
		[ -z "${!v:-}" ] || printf "%s='%s' " "$v" "${!v}"
	done
}

main() {
	local start=$SECONDS
	kv_need python3
	ASKED=$(asked)
	BUSY=$(busy)
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
	printf '%s\n' "workload	point	pair	turn	target	value	unit	\
transactions	pg_wal_bytes	kvlsm_wal_bytes	busy_percent" >>"$TSV"

	kv_say "generating $N rows ..."
	sql -v n="$N" -f "$TMP/sql/source.sql" || kv_die "no source"
	case $ONLY in *" load "*) kv_say "load"; group_load ;; esac
	case $ONLY in *" batch "*) kv_say "batches"; group_batch ;; esac
	case $ONLY in *" read "* | *" upsert "* | *" mixed "*) prepare ;; esac
	case $ONLY in *" read "*) kv_say "reads"; group_read ;; esac
	case $ONLY in *" upsert "*) kv_say "upserts"; group_upsert ;; esac
	case $ONLY in *" mixed "*) kv_say "keys and rows"; group_mixed ;; esac
	case $ONLY in *" hot "*) kv_say "counters"; group_hot ;; esac
	printf '#\ttook\t%s s\n' $((SECONDS - start)) >>"$TSV"
	cp "$TSV" "$OUT/sql.tsv"
	python3 test/bench/report.py report "$OUT/sql.tsv" \
		test/bench/sql/goals.tsv "$OUT/sql.md" "$OUT/sql.svg" || exit 1
	kv_say "results: $OUT/sql.md, sql.tsv, sql.svg ($((SECONDS - start)) s)"
}

main
