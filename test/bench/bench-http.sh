#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# kvlsm over HTTP beside a heap table with a primary key, through the same
# nginx and the same PostgREST: /kv/read and /kv/put beside PostgREST's own
# table route, and beside a function that returns a constant, which is what
# PostgREST costs by itself.  Turn by turn, medians of the ratios.
#
#   make bench-http                             5 turns of 5 s of each
#   make bench-http BENCH_SECONDS=1 BENCH_FORCE=1       a smoke run
#
#   BENCH_N        rows (100000)
#   BENCH_SECONDS  seconds of a turn (5)
#   BENCH_PAIRS    turns of each target (5)
#   BENCH_CLIENTS  connections (8)
#   BENCH_FORCE    1: beside other loads too; the results are no claim
#
# Results: docs/bench/http.tsv (every turn), http.md (table), or .build/bench
# for a run that is short or forced.  wrk sends the requests.

set -u
. "$(dirname "$0")/../tools/lib.sh"
. "$(dirname "$0")/../http/stack.sh"
cd "$KV_ROOT" || exit 1

N=${BENCH_N:-100000}
SECS=${BENCH_SECONDS:-5}
PAIRS=${BENCH_PAIRS:-5}
CLIENTS=${BENCH_CLIENTS:-8}
FORCE=${BENCH_FORCE:-0}
OUT=docs/bench
[ "$SECS" -ge 5 ] && [ "$PAIRS" -ge 5 ] && [ "$FORCE" = 0 ] || OUT=.build/bench
HERE=$KV_ROOT/test/bench/http
TMP=

finish() {
	[ -z "$TMP" ] || {
		kvh_stop "$TMP/http" 2>/dev/null
		kv_cluster_stop "$TMP/pg" immediate
		rm -rf "$TMP"
	}
}

quiet() {
	local try=0
	BUSY=$(kv_busy)
	while [ "$BUSY" -gt 5 ] && [ "$FORCE" = 0 ]; do
		[ $((try += 1)) -lt 60 ] ||
			kv_die "another load uses $BUSY% of a processor"
		BUSY=$(kv_busy)
	done
}

# The documented configuration, and the peer's routes in it.
eval "$(declare -f kvh_configure | sed '1s/kvh_configure/configure_as_documented/')"
kvh_configure() {
	configure_as_documented "$1" || return 1
	PEER=$(cat "$HERE/peer.conf") perl -0pi -e \
		's/(\n\t# Everything else)/\n$ENV{PEER}$1/ or die "no place"' \
		"$1/conf/kvlsm.conf"
}

# turn WORKLOAD PAIR NUMBER TARGET: a row of requests/s, and one of each
# latency
turn() {
	local w=$1 out rps
	out=$(TARGET=$4 N=$N wrk -t 1 -c "$CLIENTS" -d "${SECS}s" --latency \
		-s "$HERE/$w.lua" -H "Authorization: Bearer $TOKEN" \
		"http://127.0.0.1:$PORT") || kv_die "wrk failed: $out"
	[ "$(printf '%s\n' "$out" | awk '/^refused/{print $2}')" = 0 ] ||
		kv_die "$w on $4 was refused: $out"
	rps=$(printf '%s\n' "$out" | awk '/^Requests\/sec/{print $2}')
	printf '%s\tc=%s\t%s\t%s\t%s\t%s\trequests/s\t0\t0\t0\t%s\n' "$w" \
		"$CLIENTS" "$2" "$3" "$4" "$rps" "$BUSY" >>"$TMP/http.tsv"
	printf '%s\n' "$out" | awk -v w="$w" -v c="$CLIENTS" -v p="$2" -v n="$3" \
		-v t="$4" -v b="$BUSY" '
		function ms(v) {
			return v ~ /us$/ ? v / 1000 : v ~ /ms$/ ? v + 0 : v * 1000
		}
		$1 == "50%" || $1 == "99%" {
			printf "%s p%d\tc=%s\t%s\t%s\t%s\t%.3f\tms\t0\t0\t0\t%s\n", w,
				$1, c, p, n, t, ms($2), b
		}' >>"$TMP/http.tsv"
}

describe() {
	printf '#\tdate\t%s UTC\n' "$(date -u '+%Y-%m-%d %H:%M')"
	printf '#\tcommand\t%s\n' "make bench-http BENCH_N=$N BENCH_SECONDS=$SECS\
 BENCH_PAIRS=$PAIRS BENCH_CLIENTS=$CLIENTS"
	printf '#\tkvlsm\t%s\n' "$(git -C "$KV_ROOT" rev-parse --short HEAD)"
	printf '#\tservers\t%s, %s, %s\n' "$("$(kv_bindir)/postgres" --version)" \
		"$("$(kv_postgrest_bin)" --version 2>&1 | head -n 1)" \
		"$("$(kvh_nginx_bin)" -v 2>&1 | sed 's/.*: //')"
	printf '#\tmachine\t%s processors, everything on it\n' "$(nproc)"
	[ "$OUT" = docs/bench ] || printf '#\tsmoke\t%s\n' \
		"short, or beside other loads: no basis for a claim"
}

main() {
	local p t i w order
	kv_need wrk
	kv_need python3
	TMP=$(mktemp -d "${BENCH_TMP:-/tmp}/kvbench.XXXXXX") || exit 1
	trap finish EXIT
	trap 'exit 1' INT TERM
	chmod 755 "$TMP"
	mkdir "$TMP/http"
	export KV_STAGE=$TMP KV_INSTALL=$TMP/install
	export KV_CONF=$KV_ROOT/test/bench/bench.conf
	kv_say "building ..."
	KV_BUILD=bench-build kv_make_install "$KV_INSTALL" ASSERTS=0 TESTING=0 ||
		kv_die "the build failed"
	kv_cluster_init "$TMP/pg" && kv_cluster_start "$TMP/pg" || exit 1
	kv_psql "$TMP/pg" -o /dev/null -c "CREATE EXTENSION kvlsm" \
		-c "SELECT kv_create_store('kv')" || exit 1
	kvh_install "$TMP/http" "$TMP/pg" || exit 1
	kv_psql "$TMP/pg" -o /dev/null -v n="$N" -f - <"$HERE/peer.sql" || exit 1
	kvh_start "$TMP/http" "$TMP/pg" || exit 1
	PORT=$(. "$TMP/http/ports" && echo "$http")
	TOKEN=$(kvh_token "$TMP/http" kv_writer 86400)
	describe >"$TMP/http.tsv"
	printf '%s\n' "workload	point	pair	turn	target	value	unit	\
transactions	pg_wal_bytes	kvlsm_wal_bytes	busy_percent" >>"$TMP/http.tsv"
	for w in read put; do
		for ((p = 0; p <= PAIRS; p++)); do
			order="floor heap kvlsm"
			[ $((p % 2)) -eq 0 ] || order="kvlsm heap floor"
			i=0
			quiet
			for t in $order; do
				turn "$w" "$p" $((i += 1)) "$t"
			done
			# the first turns warm everything up
			[ "$p" -gt 0 ] || sed -i "/^$w/d" "$TMP/http.tsv"
		done
		kv_say "  $w: $(python3 test/bench/report.py ratio "$TMP/http.tsv" \
			"$w" "c=$CLIENTS")"
	done
	mkdir -p "$OUT" && cp "$TMP/http.tsv" "$OUT/http.tsv" &&
		python3 test/bench/http/report.py "$OUT/http.tsv" "$HERE/goals.tsv" \
			>"$OUT/http.md" || exit 1
	kv_say "results: $OUT/http.md, http.tsv"
}

main
