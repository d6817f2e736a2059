#!/bin/bash
# SPDX-License-Identifier: PostgreSQL
#
# The memtable beside a skip list of the same entries, 16 + 100 bytes, alone
# and with readers beside the writer: the two in turn (A B, then B A), medians
# over the rounds.  Prints the table that docs/design/20261122_memtable.md
# keeps.
#
#   make bench-memtable                   about 8 minutes on an idle machine
#   make bench-memtable BENCH_ROUNDS=1    a trial
#
#   BENCH_ENTRIES  sizes (500000 2000000)
#   BENCH_READERS  readers beside the writer (0 1 3)
#   BENCH_SHAPES   keys (random; also text, ascending)
#   BENCH_ROUNDS   rounds (5)
#
# Every measurement is kept in .build/bench-memtable/results.tsv.

set -u
. "$(dirname "$0")/../tools/lib.sh"
cd "$KV_ROOT" || exit 1

OUT=.build/bench-memtable
mkdir -p "$OUT"
gcc -std=gnu11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -fno-strict-aliasing -Isrc \
	-o "$OUT/memtable_bench" test/bench/memtable_bench.c src/engine/mem/*.c \
	src/engine/base/*.c -lxxhash -lpthread ||
	kv_die "the benchmark does not compile"

: >"$OUT/results.tsv"
for ((round = 1; round <= ${BENCH_ROUNDS:-5}; round++)); do
	order=keep
	[ $((round % 2)) = 1 ] || order=swap
	for n in ${BENCH_ENTRIES:-500000 2000000}; do
		for readers in ${BENCH_READERS:-0 1 3}; do
			for shape in ${BENCH_SHAPES:-random}; do
				echo "round $round: $n $shape entries, $readers readers," \
					"load $(cut -d ' ' -f 1 /proc/loadavg)" >&2
				"$OUT/memtable_bench" "$n" "$readers" "$shape" "$order" \
					>>"$OUT/results.tsv" || exit 1
			done
		done
	done
done
python3 test/bench/memtable_report.py "$OUT/results.tsv"
