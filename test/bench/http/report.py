# SPDX-License-Identifier: PostgreSQL
#
# The table of bench-http.sh:  report.py TSV GOALS
#
# For each workload the medians of kvlsm, the heap table and the floor, and
# the median of kvlsm / heap over the turns that followed each other; of
# milliseconds heap / kvlsm, so that more is always better.
import sys
from statistics import median


def load(path):
    about, points = [], {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            c = line.rstrip("\n").split("\t")
            if c[0] == "#":
                about.append((c[1], c[2]))
            elif c[0] != "workload":
                key = (c[0], c[1], c[6])
                turns = points.setdefault(key, {}).setdefault(c[4], {})
                turns[int(c[2])] = float(c[5])
    return about, points


def load_goals(path):
    with open(path, encoding="utf-8") as f:
        rows = [line.split("\t") for line in f if not line.startswith("#")]
    return {(r[0], r[1]): (float(r[2]), float(r[3])) for r in rows}


def number(v):
    return f"{v:.0f}" if v >= 100 else f"{v:.2f}"


def table(about, points, goals):
    yield "# kvlsm over HTTP"
    yield ""
    yield ("Through one nginx and one PostgREST: `/kv/read` and `/kv/put` of "
           "kvlsm, PostgREST's own route to a heap table with a primary key "
           "(a read by key, an upsert), and a function that returns a "
           "constant. Ratio: how many times better kvlsm is than the heap "
           "table, median of the turns (smallest-largest).")
    yield ""
    if any(k == "smoke" for k, _ in about):
        yield "**A smoke run: no basis for a claim.**"
        yield ""
    yield ("| workload | point | unit | constant | heap | kvlsm | ratio | "
           "spread | floor | goal |")
    yield "|---|---|---|--:|--:|--:|--:|---|--:|--:|"
    for key, targets in points.items():
        ours, base = targets["kvlsm"], targets["heap"]
        ratios = [ours[p] / base[p] for p in sorted(set(ours) & set(base))]
        if key[2] == "ms":
            ratios = [1 / r for r in ratios]
        floor, goal = goals.get(key[:2], ("", ""))
        yield "| " + " | ".join(
            [*key] + [number(median(targets[t].values()))
                      for t in ("floor", "heap", "kvlsm")] +
            [f"**{median(ratios):.2f}**",
             f"{min(ratios):.2f}-{max(ratios):.2f}", str(floor),
             str(goal)]) + " |"
    yield ""
    yield "| | |"
    yield "|---|---|"
    for k, v in about:
        yield f"| {k} | {v} |"


about, points = load(sys.argv[1])
print("\n".join(table(about, points, load_goals(sys.argv[2]))))
