#!/usr/bin/env python3
# SPDX-License-Identifier: PostgreSQL
#
# Table and chart of bench-engine.sh.
#
#   report.py engine.tsv engine.md engine.svg
#
# runs.py says what counts, workloads.py what is asked.

import sys

sys.dont_write_bytecode = True

from chart import chart  # noqa: E402
from runs import Runs, load, who  # noqa: E402
from workloads import (ASSERTS_COST, CEILINGS, ELSEWHERE,  # noqa: E402
                       ELSEWHERE_MORE, GOALS, PUTS, RATES, ROWS)

MEMTABLES_MIB, CACHE_MIB = 2 * 64, 1024  # kvlsm's, as the bench sets them


def short(x):
    for unit, size in (("M", 1e6), ("K", 1e3)):
        if x >= size:
            digits = 2 if x < 10 * size else 1 if x < 100 * size else 0
            return f"{x / size:.{digits}f}{unit}"
    return f"{x:.0f}"


def spread(r):
    if r is None:
        return "–"
    if r[3] == 1:
        return f"{r[0]:.2f}"
    return f"{r[0]:.2f} ({r[1]:.2f}–{r[2]:.2f})"


def table(out, head, lines):
    out.append("| " + " | ".join(head) + " |")
    out.append("|---" * len(head) + "|")
    out += ["| " + " | ".join(cells) + " |" for cells in lines]


def rates(runs, out):
    lines = []
    for title, op, unit in ROWS:
        cells = [runs.median(w, op, "ops_s") for w in runs.who]
        if any(c is not None for c in cells):
            lines.append([f"{title} ({unit}s/s)"] + [
                "–" if c is None or (op == "compact" and w == "lmdb")
                else short(c) for w, c in zip(runs.who, cells)])
    for title, op in (("writer beside it, of 20K/s (rows/s)",
                       "readwhilewriting"),
                      ("writer beside it, free (rows/s)",
                       "readwhilewriting_free")):
        cells = [runs.median(w, op, "other_ops_s") for w in runs.who]
        if any(c is not None for c in cells):
            lines.append([title] + ["–" if c is None else short(c)
                                    for c in cells])
    table(out, ["workload"] + runs.who, lines)


def ratios(runs, out, column):
    peers = [w for w in runs.who if w != "kvlsm"]
    lines = []
    for title, op, _ in ROWS:
        cells = [runs.ratio(p, op, column) for p in peers]
        if any(cells):
            lines.append([title] + [spread(c) for c in cells])
    table(out, ["workload"] + peers, lines)


# ---- what may be claimed

def claim(r):
    """Rule 4: ahead needs 1.10 and every one of at least five blocks."""
    word = ("ahead" if r[0] >= 1.10 and r[1] > 1 else
            "unclear" if r[0] >= 1.10 else
            "level" if r[0] >= 0.95 else "behind")
    return word if r[3] >= 5 else f"({word})"


def weights(meta):
    """What a ratio on puts is divided by before it counts."""
    if dict(meta).get("rocksdb asserts") != "yes":
        return {}
    return {p: ASSERTS_COST for p in ("rocksdb", "rocksdb:tuned",
                                      "rocksdb:walbuf", "rocksdb:nowal")}


def claims(runs, out):
    peers = [w for w in runs.who if w != "kvlsm" and w not in CEILINGS]
    lines = []
    for title, op, _ in ROWS:
        best = runs.best(peers, op)
        if best:
            p, r = best
            lines.append([title, p, spread(r), str(r[3]),
                          spread(runs.ratio(p, op, "cpu_us_op")), claim(r)])
    table(out, ["workload", "best peer", "ratio", "blocks",
                "processor time, peer / kvlsm", "claim"], lines)


def goal_line(runs, title, op, goal, weight):
    peers, floor, aim = goal
    best = runs.best(peers, op, weight if op in PUTS else {})
    if not best:
        return None
    p, r = best
    w = weight.get(p, 1.0) if op in PUTS else 1.0

    def asked(x):
        if x is None:
            return "–"
        return f"{x:.1f}" if w == 1 else f"{x:.1f} x {w:.1f} = {x * w:.1f}"

    def reached(x):
        return "–" if x is None else "met" if r[0] >= x * w else "**missed**"
    return [title, p, spread(r), asked(floor), reached(floor), asked(aim),
            reached(aim)]


def goals(runs, meta, out):
    weight = weights(meta)
    lines = [goal_line(runs, title, op, g, weight)
             for title, op, _ in ROWS for g in GOALS.get(op, [])]
    table(out, ["workload", "against", "ratio", "floor", "", "goal", ""],
          [x for x in lines if x])


def met(value, bound, more):
    if bound is None:
        return "–"
    return "met" if (value >= bound if more else value <= bound) else \
        "**missed**"


def absolutes(runs, out):
    """Figures of 6.1 that are no ratios: (name, value, shown, floor, goal)."""
    lines = []

    def add(name, value, show, floor, goal, more=False):
        if value is not None:
            lines.append([name, show(value),
                          "–" if floor is None else show(floor),
                          met(value, floor, more),
                          "–" if goal is None else show(goal),
                          met(value, goal, more)])

    for name, op, goal in RATES:
        add(name, runs.median("kvlsm", op, "ops_s"), short, None, goal, True)
    one = runs.median("kvlsm", "readwarm", "ops_s")
    two = runs.median("kvlsm", "readrandom_2t", "ops_s")
    if one and two:
        add("2 threads / 1 thread, readrandom", two / one,
            "{:.2f}".format, 1.8, 1.9, True)
    fill = ("kvlsm", "fillrandom+settle")
    written = runs.median(*fill, "written")
    if written:
        add("write amplification of fillrandom, settled",
            written / runs.median(*fill, "user_bytes"), "{:.2f}".format,
            2.6, 2.2)
    disk = runs.median("kvlsm", "compact", "disk")
    if disk:
        add("bytes a row on disk after compact",
            disk / runs.median("kvlsm", "compact", "ops"), "{:.1f}".format,
            80, 76)
    add("p99.9 of a put (us)", runs.median("kvlsm", "fillrandom", "p999_us"),
        "{:.0f}".format, 61, 40)
    add("longest put of all blocks (us)",
        runs.worst("kvlsm", "fillrandom", "max_us"), "{:.0f}".format, None,
        10000)
    peak = runs.worst("kvlsm", "deleterandom", "peak_kb") or \
        runs.worst("kvlsm", "fillrandom", "peak_kb")
    if peak:
        add("most MiB resident: write buffers + cache + 2 %", peak / 1024,
            "{:.0f}".format, None, (MEMTABLES_MIB + CACHE_MIB) * 1.02)
    table(out, ["kvlsm", "measured", "floor", "", "goal", ""], lines)


# ---- the rest

def latencies(runs, out):
    lines = []
    for title, op, _ in ROWS:
        cells = []
        for w in runs.who:
            v = [runs.median(w, op, c)
                 for c in ("p50_us", "p99_us", "p999_us", "max_us")]
            cells.append("–" if v[0] is None or v[3] == 0 else
                         f"{v[0]:.1f} / {v[1]:.1f} / {v[2]:.0f} / {v[3]:.0f}")
        if any(c != "–" for c in cells):
            lines.append([title] + cells)
    table(out, ["workload"] + runs.who, lines)


def sizes(runs, out):
    lines = []
    for w in runs.who:
        op = "fillrandom+settle"
        written = runs.median(w, op, "written")
        if written is None:
            continue
        n = runs.median(w, op, "ops")
        after = runs.median(w, "compact", "disk")
        peak = runs.median(w, "deleterandom", "peak_kb") or \
            runs.median(w, op, "peak_kb")
        lines.append([w, f"{written / runs.median(w, op, 'user_bytes'):.2f}",
                      f"{runs.median(w, op, 'disk') / n:.1f}",
                      "–" if after is None else f"{after / n:.1f}",
                      f"{runs.median(w, op, 'rss_kb') / 1024:.0f}",
                      f"{peak / 1024:.0f}"])
    table(out, ["engine", "write amplification of fillrandom, settled",
                "bytes a row on disk, settled", "after compact",
                "MiB resident after fill", "most MiB resident"], lines)


def by_compression(rows, out):
    runs = Runs(rows, lambda r: r["group"] == "sizes",
                lambda r: f"{r['engine']}, {r['compress']}")
    lines = []
    for w in runs.who:
        n = runs.median(w, "compact", "ops")
        lines.append([w, f"{runs.median(w, 'fillbatch+settle', 'disk') / n:.1f}",
                      f"{runs.median(w, 'compact', 'disk') / n:.1f}"] + [
            "–" if w.startswith("lmdb") and op == "compact" else
            short(runs.median(w, op, "ops_s") or 0)
            for op in ("compact", "readcold", "readwarm", "readseq")])
    table(out, ["engine, compression", "bytes a row, settled",
                "after compact", "compact rows/s", "readrandom cold", "warm",
                "readseq rows/s"], lines)


def noise(runs, out):
    if not runs.again:
        return
    out += ["", f"{len(runs.again)} reads of one thread were kept waiting by "
            "something else for over a tenth of their time. They were run "
            "again where that finds things as they were; what counts is in "
            "bold, and where no run was left alone, the block is left out of "
            "the ratios if there is another. Rate (wall time / own time):", ""]
    for w, op, block, parts, chosen in runs.again:
        cells = []
        for p in parts:
            own = float(p["own_cpu_s"])
            text = f"{short(float(p['ops_s']))} ({float(p['seconds']) / own:.2f})"
            cells.append(f"**{text}**" if p is chosen else text)
        out.append(f"- block {block}, {w}, {op}: {', '.join(cells)}")


def section(out, title):
    out += ["", f"## {title}", ""]


def introduction(meta, rows, svg, out):
    d = dict(meta)
    blocks = len({r["block"] for r in rows if r["group"] != "sizes"})
    starts = {(r["block"], r["group"], r["slice"], who(r)): int(r["busy"])
              for r in rows}
    busy = [b for b in starts.values() if b > 5]
    out += ["# The engine beside RocksDB, LevelDB and LMDB", "",
            "Written by `make bench-engine`; every operation of every block is "
            f"in [engine.tsv](engine.tsv). {int(d['rows']):,} rows of 16 + 100 "
            f"bytes, {blocks} block{'s' if blocks != 1 else ''} with a seed "
            f"each, the order of the engines rotated. "
            f"{d['machine']}; {d['compiler']}."]
    if busy:
        out += ["", f"**The machine was not idle** when {len(busy)} of "
                f"{len(starts)} runs began (up to {max(busy)} % of a processor "
                "used by something else)."]
    if d.get("rocksdb asserts") == "yes":
        out += ["", "**This RocksDB carries asserts** (Debian's package "
                "imports `__assert_fail`), which makes its puts about 1.5 "
                "times slower than a release build's and its reads hardly "
                "slower. Floors and goals on puts against it are therefore "
                "1.5 times as high; ratios are shown as measured."]
        if d.get("leveldb asserts") == "yes":
            out[-1] += (" (LevelDB's package imports it too; what is asked "
                        "against LevelDB was set with that very package.)")
    out += ["", f"![kvlsm beside each peer]({svg})"]


def with_what(meta, out):
    d = dict(meta)
    table(out, ["engine", "version", "library has asserts", "options"],
          [[e, (d.get("kvlsm source") if e == "kvlsm" else None) or
            d.get(f"{e} version", ""), d.get(f"{e} asserts", ""),
            d.get(f"{e} options", "")]
           for e in ("kvlsm", "rocksdb", "leveldb", "lmdb")])
    out += ["", "An engine without a call for several keys gets those of "
            "multiget one by one (LevelDB, LMDB). A peer library is the Debian "
            "package. Programs and libraries (start of SHA-256): " +
            ", ".join(f"{k} {v}" for k, v in meta
                      if k.endswith(("program", "library"))) + "."]


def measured_elsewhere(out):
    out += ["**From elsewhere**: medians of 5 million rows on another machine "
            "of this kind, release builds; not of this run, and never divided "
            "by. RocksDB without asserts and tidesdb are not in Debian.", ""]
    table(out, ["workload", "RocksDB 11.9", "tidesdb 9.3"],
          [[t, *ELSEWHERE[op]] for t, op, _ in ROWS if op in ELSEWHERE] +
          [list(x) for x in ELSEWHERE_MORE])


def markdown(meta, rows, runs, path, svg):
    out = []
    introduction(meta, rows, svg, out)
    section(out, "Rates, median of the blocks")
    rates(runs, out)
    section(out, "kvlsm / peer: median of the ratios (smallest–largest)")
    ratios(runs, out, "ops_s")
    noise(runs, out)
    section(out, "Against the best peer")
    out += ["Variants of a peer included. Ahead: a median of at least 1.10 "
            "and every one of at least 5 blocks above 1; level: 0.95 to 1.10; "
            "unclear: the median is above, a block is not; in brackets: fewer "
            "than 5 blocks.", ""]
    claims(runs, out)
    section(out, "Floors and goals")
    out += ["The best of the peers that a goal names counts, variants "
            "included.", ""]
    goals(runs, meta, out)
    out.append("")
    absolutes(runs, out)
    section(out, "Processor time an operation, peer / kvlsm, all threads")
    ratios(runs, out, "cpu_us_op")
    section(out, "Latency in microseconds: p50 / p99 / p99.9 / longest")
    latencies(runs, out)
    section(out, "Bytes")
    out += ["Written is what went through write(), divided by keys and values; "
            "LMDB was told not to sync, and its pages are counted the same "
            "way.", ""]
    sizes(runs, out)
    if any(r["group"] == "sizes" for r in rows):
        section(out, "By compression, 1,000,000 rows in batches")
        by_compression(rows, out)
    if any(r["group"] == "plain" for r in rows):
        ops = {r["op"] for r in rows if r["group"] == "plain"}
        plain = Runs(rows, lambda r: r["group"] == "plain" or (
            who(r) == "lmdb" and r["op"] in ops and
            r["group"] in ("main", "batch")))
        section(out, "Without compression")
        out += ["Loaded in batches, compacted, read. LMDB never compresses: "
                "its figures are those of above.", ""]
        rates(plain, out)
        out.append("")
        ratios(plain, out, "ops_s")
        noise(plain, out)
    section(out, "Measured elsewhere")
    measured_elsewhere(out)
    section(out, "With what")
    with_what(meta, out)
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(out) + "\n")


def main():
    meta, rows = load(sys.argv[1])
    runs = Runs(rows, lambda r: r["group"] in ("main", "seq", "batch", "sync"))
    if "kvlsm" not in runs.who:
        sys.exit("no measurements of kvlsm")
    chart(runs, sys.argv[3])
    markdown(meta, rows, runs, sys.argv[2], sys.argv[3].rsplit("/", 1)[-1])


main()
