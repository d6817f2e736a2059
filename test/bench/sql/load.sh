# SPDX-License-Identifier: PostgreSQL
#
# Groups of bench-sql.sh that write many rows: loads by INSERT ... SELECT and
# COPY, batches of 1000, and what all of it weighs once it is written over.
# The fixed parts of both targets are the same; "fdw" writes through the
# foreign table where kvlsm has a function as well.

create_heap() {
	sql -c "DROP TABLE IF EXISTS hb" \
		-c "CREATE TABLE hb (key bytea PRIMARY KEY, value bytea)"
}

create_kvlsm() {
	sql -c "DROP FOREIGN TABLE IF EXISTS kv" -c "SELECT kvlsm_compact()" \
		-c "CREATE FOREIGN TABLE kv (key bytea NOT NULL,
			value bytea NOT NULL) SERVER kvlsm" >/dev/null
}

create_fdw() {
	create_kvlsm
}

load_heap="INSERT INTO hb SELECT k, v FROM src"
load_kvlsm="SELECT count(kv_put(k, v)) FROM src"
load_fdw="INSERT INTO kv SELECT k, v FROM src"

# One statement that writes all rows, then what makes it lie in files.
write_all() {
	local w=$1 pt=$2 p=$3 turn=$4 t=$5 q=$6 a b ms
	sql -c CHECKPOINT
	a=$(logs)
	timed "SET synchronous_commit = on" "$q"
	ms=$MS
	b=$(logs)
	note "$w" "$pt" "$p" "$turn" "$t" "$(per_s "$N" "$ms")" rows/s "$N" \
		$((${b% *} - ${a% *})) $((${b#* } - ${a#* }))
	if [ "$t" = heap ]; then
		timed CHECKPOINT
	else
		timed "SELECT kvlsm_flush()"
		ms=$(awk -v a="$ms" -v b="$MS" 'BEGIN{print a + b}')
		timed CHECKPOINT
	fi
	ms=$(awk -v a="$ms" -v b="$MS" 'BEGIN{print a + b}')
	note "${w}_on_disk" "$pt" "$p" "$turn" "$t" "$(per_s "$N" "$ms")" rows/s \
		"$N" 0 0
}

# write_turn WORKLOAD PAIR PREPARE HEAP KVLSM FDW: a statement of each target
write_turn() {
	local w=$1 p=$2 prepare=$3 heap=$4 kvlsm=$5 fdw=$6 t turn=0
	for t in $(order "$p"); do
		turn=$((turn + 1))
		[ "$prepare" = - ] || "${prepare}_$t"
		write_all "$w" "one statement" "$p" "$turn" "$t" "${!t}"
	done
}

group_load() {
	local p TARGETS="heap kvlsm fdw"
	for ((p = 1; p <= LOADS; p++)); do
		quiet strict
		write_turn load_isel "$p" create "$load_heap" "$load_kvlsm" "$load_fdw"
	done
	FRESH=1
	tell load_isel "one statement"
	tell load_isel_on_disk "one statement"
}

# The server reads a file that it has written itself.
group_copy() {
	local p
	sql -c "COPY (SELECT k, v FROM src) TO '$DB/src.copy'"
	for ((p = 1; p <= LOADS; p++)); do
		quiet strict
		write_turn load_copy "$p" create "COPY hb FROM '$DB/src.copy'" \
			"COPY kv FROM '$DB/src.copy'" ""
	done
	rm -f "$DB/src.copy"
	FRESH=1
	tell load_copy "one statement"
	tell load_copy_on_disk "one statement"
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
	tell space "$pt"
}

# Both tables as a load leaves them, and nothing else in the store.
fresh() {
	sql -c "DROP FOREIGN TABLE IF EXISTS kvt"
	if [ "$FRESH" = 0 ]; then
		create_heap
		create_kvlsm
		sql -c "$load_heap" -c "$load_kvlsm" -c "SELECT kvlsm_flush()" \
			>/dev/null
	fi
}

# Twice by the upsert of each, weighed, and after both were cleaned up by the
# same SQL on both tables: UPDATE and ON CONFLICT, twice each.
group_space() {
	local p upsert
	fresh
	FRESH=0
	space "after load"
	for p in 1 2; do
		quiet strict
		write_turn overwrite "$p" - \
			"INSERT INTO hb SELECT k, set_byte(v, 0, $p) FROM src
			ON CONFLICT (key) DO UPDATE SET value = excluded.value" \
			"SELECT count(kv_put(k, set_byte(v, 0, $p))) FROM src" ""
	done
	tell overwrite "one statement"
	space "overwritten twice"
	sql -c "VACUUM hb" -c "SELECT kvlsm_compact()" >/dev/null
	space "overwritten twice, VACUUM and kvlsm_compact()"
	for p in 1 2; do
		quiet strict
		write_turn update_all "$p" - \
			"UPDATE hb SET value = set_byte(value, 0, $((p + 2)))" \
			"UPDATE kv SET value = set_byte(value, 0, $((p + 2)))" ""
		sql -c "VACUUM hb"
	done
	tell update_all "one statement"
	for p in 1 2; do
		quiet strict
		upsert="SELECT k, set_byte(v, 0, $((p + 4))) FROM src
			ON CONFLICT (key) DO UPDATE SET value = excluded.value"
		write_turn upsert_all "$p" - "INSERT INTO hb $upsert" \
			"INSERT INTO kv $upsert" ""
		sql -c "VACUUM hb"
	done
	tell upsert_all "one statement"
	equal hb kv
}

create_text() {
	if [ "$1" = heap ]; then
		sql -c "DROP TABLE IF EXISTS ht" -c "CREATE TABLE ht (key text
			COLLATE \"C\" PRIMARY KEY, value text)"
	else
		sql -c "DROP FOREIGN TABLE IF EXISTS kvt" -c "CREATE FOREIGN TABLE
			kvt (key text COLLATE \"C\" NOT NULL, value text NOT NULL)
			SERVER kvlsm"
	fi
}

# Rows a second of 1000-row transactions; text keys, as kv_put_many has them.
group_batch() {
	local mode p t turn a b TARGETS="heap kvlsm fdw"
	for mode in on off; do
		[ "$mode" = off ] || quiet strict
		for ((p = 1; p <= 2; p++)); do
			turn=0
			for t in $(order "$p"); do
				turn=$((turn + 1))
				create_text "$t"
				sql -c CHECKPOINT
				a=$(logs)
				timed "SET synchronous_commit = $mode" "CALL load_b1000_$t()"
				b=$(logs)
				note "load_b1000_$mode" "1000 rows a commit" "$p" "$turn" \
					"$t" "$(per_s "$N" "$MS")" rows/s "$N" \
					$((${b% *} - ${a% *})) $((${b#* } - ${a#* }))
			done
		done
		tell "load_b1000_$mode" "1000 rows a commit"
	done
}
