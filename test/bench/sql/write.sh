# SPDX-License-Identifier: PostgreSQL
#
# Groups of bench-sql.sh that write one key at a time: upserts, a key and a
# row in one transaction, hot counters.

# Through the foreign table as well, with the clients that are compared most.
group_upsert() {
	local mode c TARGETS
	sql -c CHECKPOINT
	for mode in on off; do
		for c in 1 2 8 16; do
			if [ "$mode" = on ]; then quiet strict; else quiet lax; fi
			TARGETS="heap kvlsm"
			case $c in 2 | 8) TARGETS="heap kvlsm fdw" ;; esac
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
