# SPDX-License-Identifier: PostgreSQL
#
# Groups of bench-sql.sh that read: one key or range a statement by pgbench
# (point), and statements that read much (scan).  Before anything is timed all
# targets must answer alike.

# The same rows with text keys, if they are not there from the batches.
prepare_text() {
	local t
	for t in heap kvlsm; do
		# a table that is missing cannot even be named in a query
		[ "$(sql -c "SELECT to_regclass('$([ "$t" = heap ] && echo ht ||
			echo kvt)') IS NULL")" = t ] || continue
		create_text "$t"
		sql -c "CALL load_b1000_$t()"
	done
	sql -c "VACUUM ANALYZE ht"
	equal ht kvt
}

equal() {
	local same
	same=$(sql -c "SELECT count(*) FROM $1 h JOIN $2 k ON h.key = k.key
		AND h.value = k.value")
	[ "$same" = "$N" ] || kv_die "$same of $N rows of $1 and $2 are equal"
}

# Both sides loaded, at rest, and read once.
prepare() {
	kv_say "preparing ..."
	if [ "$FRESH" = 0 ]; then
		create_heap
		create_kvlsm
		sql -c "$load_heap" -c "$load_kvlsm" >/dev/null
		FRESH=1
	fi
	if wanted point || wanted scan; then prepare_text; fi
	sql -c "SELECT kvlsm_flush()" -c "VACUUM ANALYZE hb" \
		-c CHECKPOINT \
		-c "SELECT count(*), sum(octet_length(value)) FROM hb" \
		-c "SELECT count(*), sum(octet_length(value)) FROM kv" >/dev/null
	equal hb kv
}

# All targets answer a script alike, for the first key, the last, and one
# between.
agree() {
	local script=$1 t i out first
	for i in 0 $((N / 3)) $((N - 1)); do
		first=
		for t in $TARGETS; do
			out=$(grep -v '^\\set' "$TMP/sql/${script}_$t.pgbench" |
				sql -v i="$i" -v n="$N" -f -) || kv_die "$script on $t"
			[ -n "$first" ] || first="$out."
			[ "$out." = "$first" ] ||
				kv_die "$script, key $i: $t does not answer as the heap"
		done
	done
}

# read_point WORKLOAD CLIENTS...
read_point() {
	local w=$1 c
	shift
	agree "$w"
	for c in "$@"; do
		point "$w" "$w" "$c" ""
	done
}

group_point() {
	local c TARGETS="heap kvlsm fdw"
	quiet lax
	for c in 1 2 8; do
		pgbench_turn select1 "$c" "" 1
		row select1 "c=$c" 1 1 floor "$TPS" tps "$TX" 0 0
		kv_say "  SELECT 1 c=$c: ${TPS%.*} tps"
	done
	read_point get 1 2 8
	read_point getmiss 2
	read_point range100 1 2
	read_point in100 1 2
}

group_scan() {
	local serial="SET max_parallel_workers_per_gather = 0"
	quiet lax
	TARGETS="heap kvlsm fdw" pair_timed nl_get "200K keys a statement" \
		200000 200000 \
		"SELECT count(h.value) FROM look l JOIN hb h ON h.key = l.k" \
		"SELECT count(kv_get_bytes(k)) FROM look" \
		"SELECT count(h.value) FROM look l JOIN kv h ON h.key = l.k" \
		"$serial" "SET enable_hashjoin = off" "SET enable_mergejoin = off"
	pair_timed count serial "$N" "$N" \
		"SELECT count(*) FROM hb" "SELECT count(*) FROM kv" "" "$serial"
	pair_timed count "heap in parallel" "$N" "$N" \
		"SELECT count(*) FROM hb" "SELECT count(*) FROM kv" ""
	pair_timed scan_value serial "$N" $((N * 100)) \
		"SELECT sum(octet_length(value)) FROM hb" \
		"SELECT sum(octet_length(value)) FROM kv" "" "$serial"
	pair_timed scan_ordered "ORDER BY key" "$N" $((N * 100)) \
		"SELECT sum(octet_length(value)) FROM
			(SELECT value FROM hb ORDER BY key OFFSET 0) s" \
		"SELECT sum(octet_length(value)) FROM
			(SELECT value FROM kv ORDER BY key OFFSET 0) s" "" "$serial"
	pair_timed scan_ordered "by kv_range" "$N" $((N * 100)) \
		"SELECT sum(octet_length(value)) FROM
			(SELECT value FROM ht ORDER BY key OFFSET 0) s" \
		"SELECT sum(octet_length(value)) FROM
			kv_range(max_rows => 2147483647, store => 'kvt')" "" "$serial"
}
