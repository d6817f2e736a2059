#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# The engine in process beside RocksDB, LevelDB and LMDB: the same keys and
# values, blocks with the order of engines rotated, ratios within a block.
#
#   make bench-engine                                1,000,000 rows, one block
#   make bench-engine BENCH_N=5000000 BENCH_BLOCKS=5 the number that counts
#   make bench-engine BENCH_N=100000 BENCH_FORCE=1   a smoke run
#
#   BENCH_N        rows (1000000)
#   BENCH_BLOCKS   blocks, each with a seed of its own (5 at 5M rows, else 1)
#   BENCH_GROUPS   main seq batch sync plain sizes (the first four); plain is
#                  reads without compression, sizes is bytes a row by
#                  compression at 1,000,000 rows, in the first block only
#   BENCH_ENGINES  kvlsm rocksdb leveldb lmdb rocksdb:walbuf rocksdb:tuned;
#                  also rocksdb:nowal lmdb:writemap
#   BENCH_OPS      operations instead of main's, see test/bench/engine/ops.c
#   BENCH_APPEND   1: adds to the results that are there, so that a run can be
#                  made in parts, by groups or by blocks (never the engines of
#                  one block apart); what is measured twice counts as measured
#                  the second time
#   BENCH_FIRST    number of the first block (1)
#   BENCH_FORCE    1: synced puts are measured even beside another load
#   BENCH_OUT      where results go: docs/bench, and .build/bench-engine/out
#                  for runs that are too small or forced
#   BENCH_TMP      where stores lie (/tmp): a real disk with 5 GB free
#
# On two processors a block of 5M rows takes 12 minutes, plain 3, sizes 2.
#
# Results: engine.tsv (every operation of every block), engine.md (table),
# engine.svg (chart).  The peers come from Debian by test/tools/deps.sh bench
# and are never linked into the extension.

set -u
. "$(dirname "$0")/../tools/lib.sh"
cd "$KV_ROOT" || exit 1

N=${BENCH_N:-1000000}
BLOCKS=${BENCH_BLOCKS:-$((N >= 5000000 ? 5 : 1))}
GROUPS_WANTED=${BENCH_GROUPS:-main seq batch sync}
ENGINES=${BENCH_ENGINES:-kvlsm rocksdb leveldb lmdb rocksdb:walbuf rocksdb:tuned}
FIRST=${BENCH_FIRST:-1}
APPEND=${BENCH_APPEND:-0}
FORCE=${BENCH_FORCE:-0}
SLICES=3
SMOKE=0
[ "$N" -ge 1000000 ] && [ "$FORCE" = 0 ] || SMOKE=1
if [ "$SMOKE" = 0 ]; then
	OUT=${BENCH_OUT:-docs/bench}
else
	OUT=${BENCH_OUT:-.build/bench-engine/out}
fi
BIN=.build/bench-engine
TMP=
TSV=

finish() {
	[ -z "$TMP" ] || rm -rf "$TMP"
}

at_most() {
	echo $(($1 < N ? $1 : N))
}

# Waits so many seconds for the machine to be idle; false: it is not.
quiet() {
	local limit=$1 try=0
	[ "$FORCE" = 0 ] || limit=1
	BUSY=$(kv_busy)
	while [ "$BUSY" -gt 5 ] && [ $((try += 1)) -lt "$limit" ]; do
		BUSY=$(kv_busy)
	done
	[ "$BUSY" -gt 5 ] || return 0
	echo "warning: another load uses $BUSY% of a processor" >&2
	return 1
}

# ---- What was measured with what ---------------------------------------------

library_of() {
	ldd "$BIN/bench-$1" | awk -v n="lib$1" 'index($1, n) {print $3}'
}

describe() {
	local engine lib
	echo "# machine	$(awk -F': ' '/model name/{print $2; exit}' \
		/proc/cpuinfo), $(nproc) processors, $(awk '/MemTotal/{
		printf "%.0f GiB", $2 / 1048576}' /proc/meminfo), $(uname -sr), $(
		df --output=fstype "$TMP" | tail -n 1)"
	echo "# compiler	$(gcc --version | head -n 1)"
	echo "# rows	$N"
	for engine in kvlsm rocksdb leveldb lmdb; do
		"$BIN/bench-$engine" describe | sed "s/^/# $engine /"
		echo "# $engine program	$(sha256sum "$BIN/bench-$engine" |
			cut -c 1-16)"
		lib=$(library_of "$engine")
		if [ -z "$lib" ]; then
			echo "# $engine source	$(git describe --always --dirty \
				2>/dev/null)"
			nm "$BIN/bench-$engine" | grep -q __assert_fail &&
				echo "# $engine asserts	yes" || echo "# $engine asserts	no"
			continue
		fi
		echo "# $engine library	$(sha256sum "$lib" | cut -c 1-16)"
		nm -D "$lib" | grep -q __assert_fail &&
			echo "# $engine asserts	yes" || echo "# $engine asserts	no"
	done
}

# ---- Blocks ---------------------------------------------------------------------

operations() {
	local group=$1 variant=$2 reads scans
	reads=$(at_most 1000000)
	scans="multiget:$reads:100 seek:$(at_most 200000):10
		seek:$(at_most 50000):100 readseq readreverse"
	case $group:$variant in
		main:walbuf | main:nowal | main:writemap)
			echo "fillrandom:$N settle" ;;
		main:*)
			echo "${BENCH_OPS:-fillrandom:$N fresh:$(at_most 500000) settle
				compact readcold:$reads readwarm:$reads readmissing:$reads
				$scans
				readrandom_2t:$reads:2 readwhilewriting:4:20000
				readwhilewriting:4 overwrite:$reads
				deleterandom:$(at_most 500000)}" ;;
		plain:*)
			echo "fillbatch:$N:1000 settle compact readcold:$reads
				readwarm:$reads readmissing:$reads $scans
				readrandom_2t:$reads:2" ;;
		seq:*) echo "fillseq:$(at_most 2000000) settle" ;;
		batch:*) echo "fillbatch:$N:1000 settle" ;;
		sync:*) echo "fillsync:8000" ;;
		sizes:*)
			echo "fillbatch:$(at_most 1000000):1000 settle compact
				readcold:$(at_most 500000) readwarm:$(at_most 500000) readseq" ;;
	esac
}

# What an engine (engine[:variant]) is measured with in a group; nothing: not.
compressions() {
	case $1:$2 in
		sync:*:walbuf | sync:*:tuned | sync:*:nowal | sync:*:writemap) ;;
		*:rocksdb:walbuf | *:rocksdb:nowal | *:lmdb:writemap)
			[ "$1" != main ] || echo default ;;
		# LMDB never compresses: its main group is the one to compare with
		plain:lmdb | plain:*:tuned) ;;
		sizes:lmdb) echo none ;;
		sizes:kvlsm) echo none lz4 ;;
		sizes:leveldb) echo none snappy ;;
		sizes:rocksdb) echo none snappy lz4 ;;
		sizes:*) ;;
		plain:*) echo none ;;
		*:lmdb*) echo none ;;
		*) echo default ;;
	esac
}

# group block engine[:variant] [slice]
measure() {
	local group=$1 block=$2 engine=${3%%:*} slice=${4:-}
	local variant=default compress rc rows=$N
	[ "$engine" = "$3" ] || variant=${3#*:}
	[ "$group:$engine" != sync:lmdb ] || variant=sync
	[ "$group" != sizes ] || rows=$(at_most 1000000)
	for compress in $(compressions "$group" "$3"); do
		if ! quiet 10 && [ "$group:$FORCE" = sync:0 ]; then
			kv_say "block $block, $group: $3 left out"
			SKIPPED=$((SKIPPED + 1))
			continue
		fi
		kv_say "$(date +%H:%M:%S) block $block, $group: $3 ($compress)$slice"
		# shellcheck disable=SC2046
		timeout "${BENCH_TIMEOUT:-1800}" "$BIN/bench-$engine" "$TMP/store" \
			"$block" "$rows" "$compress" "$variant" \
			$(operations "$group" "$variant") \
			2>>"$OUT/engine.log" |
			sed "s/^/$block	$group	${slice:-0}	$BUSY	/" >>"$TSV"
		rc=${PIPESTATUS[0]}
		[ "$rc" -eq 0 ] || {
			tail -n 3 "$OUT/engine.log" >&2
			kv_die "bench-$engine failed with exit code $rc; BENCH_APPEND=1" \
				"BENCH_FIRST=$block goes on"
		}
		rm -rf "$TMP/store"
	done
}

# Synced puts: two seconds of each engine in turn, there and back.
measure_slices() {
	local group=$1 block=$2 slice i at
	if ! quiet 60 && [ "$FORCE" = 0 ]; then
		kv_say "block $block, $group: left out"
		SKIPPED=$((SKIPPED + 1))
		return 0
	fi
	for ((slice = 1; slice <= SLICES; slice++)); do
		for ((i = 0; i < ${#list[@]}; i++)); do
			at=$(((i + block - 1) % ${#list[@]}))
			[ $((slice % 2)) = 1 ] || at=$((${#list[@]} - 1 - at))
			measure "$group" "$block" "${list[at]}" "$slice"
		done
	done
}

# A file that results are to be added to was made by these programs.
check_append() {
	local new=$OUT/engine.new
	describe >"$new"
	diff <(grep -E '^# (rows|.* program|.* library)	' "$new") \
		<(grep -E '^# (rows|.* program|.* library)	' "$TSV") >&2 ||
		kv_die "$TSV was measured with something else"
	rm -f "$new"
}

bash test/tools/deps.sh bench || exit 1
make -s -j2 -f test/bench/engine/build.mk programs ||
	kv_die "the benchmark does not compile"
trap finish EXIT
trap 'exit 1' INT TERM
TMP=$(mktemp -d "${BENCH_TMP:-/tmp}/kvlsm-bench.XXXXXX") || exit 1
mkdir -p "$OUT"
TSV=$OUT/engine.tsv
SKIPPED=0
if [ "$APPEND" = 1 ] && [ -s "$TSV" ]; then
	check_append
else
	: >"$OUT/engine.log"
	describe >"$TSV"
	printf 'block\tgroup\tslice\tbusy\t%s\n' "$("$BIN/bench-kvlsm" header)" \
		>>"$TSV"
fi

read -ra list <<<"$ENGINES"
for ((block = FIRST; block < FIRST + BLOCKS; block++)); do
	for group in $GROUPS_WANTED; do
		if [ "$group" = sync ]; then
			measure_slices "$group" "$block"
			continue
		fi
		[ "$group" != sizes ] || [ "$block" = "$FIRST" ] || continue
		for ((i = 0; i < ${#list[@]}; i++)); do
			measure "$group" "$block" \
				"${list[(i + block - 1) % ${#list[@]}]}"
		done
	done
done
python3 test/bench/engine/report.py "$TSV" "$OUT/engine.md" "$OUT/engine.svg" ||
	exit 1
kv_say "results: $OUT/engine.md, $OUT/engine.svg, $OUT/engine.tsv"
[ "$SKIPPED" = 0 ] || kv_say "$SKIPPED measurements of synced puts were left" \
	"out because of another load: BENCH_APPEND=1 BENCH_GROUPS=sync adds them"
