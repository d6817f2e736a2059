#!/usr/bin/env python3
# SPDX-License-Identifier: PostgreSQL
#
# Tables of bench-memtable.sh: medians over the rounds, and the ratio to the
# skip list with its smallest and largest value, taken within a round.

import sys
from statistics import median

COLUMNS = {True: ["insert cpu", "find cpu", "next cpu", "bytes"],
           False: ["insert cpu", "insert wall", "find cpu", "find wall"]}


def load(path):
    """{(entries, shape, readers): {(structure, what): [value by round]}}"""
    runs = {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            name, n, readers, shape, what, value = line.rstrip("\n").split("\t")
            run = runs.setdefault((int(n), shape, int(readers)), {})
            run.setdefault((name, what), []).append(float(value))
    return runs


def ratio(run, what):
    pairs = [a / b for a, b in zip(run[("skip list", what)],
                                   run[("memtable", what)])]
    if len(pairs) == 1:
        return f"{pairs[0]:.1f}"
    return f"{median(pairs):.1f} ({min(pairs):.1f}–{max(pairs):.1f})"


def table(runs, alone):
    columns = COLUMNS[alone]
    print("| entries | keys | readers | structure | " +
          " | ".join(columns) + " |")
    print("|---" * (4 + len(columns)) + "|")
    for key in sorted(runs):
        if (key[2] == 0) != alone:
            continue
        run = runs[key]
        for name in ("skip list", "memtable"):
            cells = [f"{median(run[(name, c)]):,.0f}" if c != "bytes" else
                     f"{median(run[(name, c)]):.1f}" for c in columns]
            print(f"| {key[0]:,} | {key[1]} | {key[2]} | {name} | " +
                  " | ".join(cells) + " |")
        print("| | | | skip list / memtable | " + " | ".join(
            ratio(run, c) for c in columns) + " |")


def main():
    runs = load(sys.argv[1])
    rounds = max(len(v) for run in runs.values() for v in run.values())
    print(f"Nanoseconds an operation, median of {rounds} rounds; ratios: "
          "median (smallest–largest).\n")
    if any(k[2] == 0 for k in runs):
        table(runs, True)
        print()
    if any(k[2] > 0 for k in runs):
        table(runs, False)


main()
