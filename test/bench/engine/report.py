#!/usr/bin/env python3
# SPDX-License-Identifier: PostgreSQL
#
# Table and chart of bench-engine.sh.
#
#   report.py engine.tsv engine.md engine.svg
#
# A ratio is kvlsm's rate over a peer's within one block; reported are the
# median over the blocks, the smallest and the largest.  A read of one thread
# that did not run for more than a tenth of its time says nothing about wall
# time: such a block is left out of the ratio and counted, unless there is no
# other.

import html
import sys
from statistics import median

# Rows: (name in the table, operation, what one op is).
ROWS = [
    ("fillrandom", "fillrandom", "row"),
    ("fillrandom, settled", "fillrandom+settle", "row"),
    ("fillseq", "fillseq", "row"),
    ("fillseq, settled", "fillseq+settle", "row"),
    ("fillbatch 1000", "fillbatch", "row"),
    ("fillbatch 1000, settled", "fillbatch+settle", "row"),
    ("fillsync", "fillsync", "row"),
    ("overwrite", "overwrite", "row"),
    ("deleterandom", "deleterandom", "row"),
    ("readrandom, fresh after fill", "fresh", "get"),
    ("compact", "compact", "row"),
    ("readrandom, cache cold", "readcold", "get"),
    ("readrandom, warm", "readwarm", "get"),
    ("readmissing", "readmissing", "get"),
    ("multiget 100", "multiget", "key"),
    ("seek + 10 rows", "seek10", "seek"),
    ("seek + 100 rows", "seek100", "seek"),
    ("readseq", "readseq", "row"),
    ("readreverse", "readreverse", "row"),
    ("readrandom, 2 threads", "readrandom_2t", "get"),
    ("readrandom, writer 20K/s", "readwhilewriting", "get"),
    ("readrandom, writer free", "readwhilewriting_free", "get"),
]
PUTS = {"fillrandom", "fillrandom+settle", "fillseq", "fillseq+settle",
        "fillbatch", "fillbatch+settle", "overwrite", "deleterandom"}
ONE_THREAD = {"readcold", "readwarm", "readmissing", "multiget", "seek10",
              "seek100", "readseq", "readreverse"}
# operation: (peers whose best counts, floor, goal)
LSM = ("rocksdb", "rocksdb:tuned", "leveldb")
ALL = LSM + ("lmdb",)
FLOORS = {
    "fillrandom+settle": [(("rocksdb", "leveldb"), 2.0, 4.0),
                          (("rocksdb:walbuf",), None, 2.0)],
    "fillbatch+settle": [(LSM, 2.0, 2.5)],
    "fillseq+settle": [(LSM, 2.0, 3.0)],
    "fillsync": [(("rocksdb", "leveldb"), 1.0, 1.2)],
    "overwrite": [(LSM, 2.0, 3.5)],
    "deleterandom": [(LSM, 2.0, 3.0)],
    "readwarm": [(LSM, 2.0, 3.0), (("lmdb",), None, 1.2)],
    "fresh": [(LSM, 2.0, 4.0)],
    "multiget": [(("lmdb",), 1.0, 2.5), (("rocksdb",), None, 5.0)],
    "readmissing": [(ALL, 1.2, 2.0)],
    "seek10": [(("leveldb",), 1.5, 2.5)],
    "seek100": [(("leveldb",), 1.5, 3.0)],
    "readseq": [(("leveldb",), 2.5, 3.5)],
    "readreverse": [(("leveldb",), 2.5, 3.5)],
    "readrandom_2t": [(("rocksdb",), 2.0, 3.0), (("lmdb",), None, 1.1)],
    "readwhilewriting": [(("rocksdb",), 2.0, 3.0), (("lmdb",), None, 1.0)],
    "compact": [(("rocksdb",), 2.0, 2.5)],
}
COLOURS = {"rocksdb": "#c0504d", "rocksdb:walbuf": "#e6a5a3",
           "rocksdb:tuned": "#8c2d2a", "leveldb": "#4f81bd",
           "lmdb": "#9bbb59"}
# Medians of 5 million rows measured elsewhere with release builds, to be read
# beside the table, never to be divided by.
ELSEWHERE = {
    "fillrandom": ("184K", "167K"), "fillrandom+settle": ("144K", "116K"),
    "fillseq": ("353K", "372K"), "fillbatch": ("351K", "262K"),
    "fillbatch+settle": ("264K", "215K"), "fillsync": ("4.4K", "7.6K"),
    "overwrite": ("194K", "161K"), "deleterandom": ("205K", "130K"),
    "fresh": ("70K", "39K"), "compact": ("1.02M", "2.67M"),
    "readcold": ("156K", "41K"), "readwarm": ("201K", "40K"),
    "readmissing": ("1.81M", "2.00M"), "multiget": ("234K", "41K"),
    "seek10": ("135K", "14K"), "seek100": ("40K", "15K"),
    "readseq": ("5.00M", "13.5M"), "readreverse": ("3.22M", "9.2M"),
    "readrandom_2t": ("385K", "80K"), "readwhilewriting": ("156K", "39K"),
    "readwhilewriting_free": ("104K", "36K"),
}


def load(path):
    meta, rows, names = [], [], None
    with open(path, encoding="utf-8") as f:
        for line in f:
            fields = line.rstrip("\n").split("\t")
            if line.startswith("# "):
                meta.append((fields[0][2:], "\t".join(fields[1:])))
            elif names is None:
                names = fields
            else:
                rows.append(dict(zip(names, fields)))
    return meta, rows


def who(row):
    if row["variant"] in ("default", "sync"):
        return row["engine"]
    return row["engine"] + ":" + row["variant"]


def short(x):
    for unit, size in (("M", 1e6), ("K", 1e3)):
        if x >= size:
            digits = 2 if x < 10 * size else 1 if x < 100 * size else 0
            return f"{x / size:.{digits}f}{unit}"
    return f"{x:.0f}"


class Runs:
    """Rows by (who, operation), each a dict by block."""

    def __init__(self, rows, groups):
        self.by = {}
        for r in rows:
            if r["group"] in groups:
                self.by.setdefault((who(r), r["op"]), {})[r["block"]] = r
        self.who = []
        for name, _ in self.by:
            if name not in self.who:
                self.who.append(name)
        self.who.sort(key=lambda w: (["kvlsm", *COLOURS].index(w)))

    def median(self, name, op, column):
        found = self.by.get((name, op))
        if not found:
            return None
        return median(float(r[column]) for r in found.values())

    def noisy(self, name, op, block):
        r = self.by[(name, op)][block]
        return (op in ONE_THREAD and float(r["own_cpu_s"]) > 0 and
                float(r["seconds"]) > 1.10 * float(r["own_cpu_s"]))

    def ratio(self, peer, op, column="ops_s"):
        """(median, min, max, blocks, noisy blocks left out), or None"""
        ours, theirs = self.by.get(("kvlsm", op)), self.by.get((peer, op))
        if not ours or not theirs:
            return None
        blocks = [b for b in ours if b in theirs]
        good = [b for b in blocks if not self.noisy("kvlsm", op, b)
                and not self.noisy(peer, op, b)]
        used = good or blocks
        values = []
        for b in used:
            a, c = float(ours[b][column]), float(theirs[b][column])
            if a > 0 and c > 0:
                values.append(c / a if column == "cpu_us_op" else a / c)
        if not values:
            return None
        return (median(values), min(values), max(values), len(values),
                len(blocks) - len(good))


def spread(r):
    if r is None:
        return "–"
    if r[3] == 1:
        return f"{r[0]:.2f}"
    return f"{r[0]:.2f} ({r[1]:.2f}–{r[2]:.2f})"


def rates(runs, out):
    out.append("| workload | " + " | ".join(runs.who) + " |")
    out.append("|---" * (len(runs.who) + 1) + "|")
    for title, op, unit in ROWS:
        cells = [runs.median(w, op, "ops_s") for w in runs.who]
        if any(c is not None for c in cells):
            out.append(f"| {title} ({unit}s/s) | " + " | ".join(
                "–" if c is None or (op == "compact" and w == "lmdb")
                else short(c)
                for w, c in zip(runs.who, cells)) + " |")


def ratios(runs, out, column):
    peers = [w for w in runs.who if w != "kvlsm"]
    out.append("| workload | " + " | ".join(peers) + " |")
    out.append("|---" * (len(peers) + 1) + "|")
    for title, op, _ in ROWS:
        cells = [None if op == "compact" and p == "lmdb"
                 else runs.ratio(p, op, column) for p in peers]
        if any(cells):
            out.append(f"| {title} | " +
                       " | ".join(spread(c) for c in cells) + " |")


def latencies(runs, out):
    out.append("| workload | " + " | ".join(runs.who) + " |")
    out.append("|---" * (len(runs.who) + 1) + "|")
    for title, op, _ in ROWS:
        cells = []
        for w in runs.who:
            v = [runs.median(w, op, c)
                 for c in ("p50_us", "p99_us", "p999_us", "max_us")]
            cells.append("–" if v[0] is None or v[3] == 0 else
                         f"{v[0]:.1f} / {v[1]:.1f} / {v[2]:.0f} / {v[3]:.0f}")
        if any(c != "–" for c in cells):
            out.append(f"| {title} | " + " | ".join(cells) + " |")


def sizes(runs, out):
    out.append("| engine | write amplification of fillrandom, settled "
               "| bytes a row on disk, settled | after compact "
               "| MiB resident after fill | most MiB resident |")
    out.append("|---" * 6 + "|")
    for w in runs.who:
        op = "fillrandom+settle"
        wa = runs.median(w, op, "written")
        if wa is None:
            continue
        n = runs.median(w, op, "ops")
        user = runs.median(w, op, "user_bytes")
        after = runs.median(w, "compact", "disk")
        peak = runs.median(w, "deleterandom", "peak_kb") or \
            runs.median(w, op, "peak_kb")
        out.append("| %s | %.2f | %.1f | %s | %.0f | %.0f |" % (
            w, wa / user, runs.median(w, op, "disk") / n,
            "–" if after is None else f"{after / n:.1f}",
            runs.median(w, op, "rss_kb") / 1024, peak / 1024))


def floors(runs, meta, out):
    asserts = dict(meta).get("rocksdb asserts") == "yes"
    out.append("| workload | against | ratio | floor | goal | reached |")
    out.append("|---" * 6 + "|")
    for title, op, _ in ROWS:
        for peers, floor, goal in FLOORS.get(op, []):
            best, best_is = None, None
            for p in peers:
                r = runs.ratio(p, op)
                # a put of a library with asserts is asked for half as much
                # again
                weight = 1.5 if (asserts and op in PUTS
                                 and p.startswith("rocksdb")) else 1.0
                if r and (best is None or r[0] / weight < best[0]):
                    best, best_is = (r[0] / weight, r, weight), p
            if best is None:
                continue
            reached = ("goal" if best[0] >= goal else
                       "floor" if floor is None or best[0] >= floor else "no")
            if floor is None and reached != "goal":
                reached = "no"
            w = f" x{best[2]:.1f}" if best[2] != 1 else ""
            out.append(f"| {title} | {best_is} | {spread(best[1])} | "
                       f"{'–' if floor is None else f'{floor:.1f}{w}'} | "
                       f"{goal:.1f}{w} | {reached} |")


def noise(runs, out):
    bad = [(w, op, b) for (w, op), blocks in runs.by.items()
           for b in blocks if runs.noisy(w, op, b)]
    if bad:
        out.append("")
        out.append(f"Reads of one thread that were kept waiting for over a "
                   f"tenth of their time by something else: {len(bad)} "
                   f"({', '.join(f'{w} {op} in block {b}' for w, op, b in bad[:12])}"
                   f"{', ...' if len(bad) > 12 else ''}). "
                   "Their ratios are left out where another block has one.")


def section(out, title):
    out += ["", f"## {title}", ""]


def markdown(meta, rows, path, svg):
    d = dict(meta)
    runs = Runs(rows, {"main", "seq", "batch", "sync"})
    blocks = len({r["block"] for r in rows})
    busy = max(int(r["busy"]) for r in rows)
    out = ["# The engine beside RocksDB, LevelDB and LMDB", "",
           f"Written by `make bench-engine`; every operation of every block is "
           f"in [engine.tsv](engine.tsv). {int(d['rows']):,} rows of 16 + 100 "
           f"bytes, {blocks} block{'s' if blocks != 1 else ''} with a seed "
           f"each, the order of the engines rotated. "
           f"{d['machine']}; {d['compiler']}."]
    if busy > 5:
        out += ["", f"**The machine was not idle** (up to {busy} % of a "
                "processor used by something else): a smoke run, its figures "
                "say little."]
    out += ["", f"![kvlsm beside each peer]({svg})"]
    section(out, "Rates, median of the blocks")
    rates(runs, out)
    section(out, "kvlsm / peer: median of the ratios (smallest–largest)")
    ratios(runs, out, "ops_s")
    noise(runs, out)
    section(out, "Floors and goals")
    out += ["The best of the peers named for a workload counts." +
            (" Puts against a RocksDB with asserts are asked for 1.5 times as "
             "much." if d.get("rocksdb asserts") == "yes" else ""), ""]
    floors(runs, meta, out)
    section(out, "Processor time an operation, peer / kvlsm, all threads")
    ratios(runs, out, "cpu_us_op")
    section(out, "Latency in microseconds: p50 / p99 / p99.9 / longest")
    latencies(runs, out)
    section(out, "Bytes")
    out += ["Written is what went through write(), divided by keys and values; "
            "LMDB was told not to sync, and its pages are counted the same "
            "way.", ""]
    sizes(runs, out)
    plain = Runs(rows, {"plain"})
    if plain.who:
        section(out, "Without compression")
        rates(plain, out)
        out.append("")
        ratios(plain, out, "ops_s")
    section(out, "From elsewhere")
    out += ["Medians of 5 million rows on another machine of this kind, "
            "release builds; not of this run.", "",
            "| workload | RocksDB 11.9 | tidesdb 9.3 |", "|---|---|---|"]
    out += [f"| {t} | {ELSEWHERE[op][0]} | {ELSEWHERE[op][1]} |"
            for t, op, _ in ROWS if op in ELSEWHERE]
    section(out, "With what")
    out += ["| engine | version | library has asserts | options |",
            "|---|---|---|---|"]
    for e in ("kvlsm", "rocksdb", "leveldb", "lmdb"):
        version = d.get(f"{e} version", "")
        if e == "kvlsm":
            version = d.get("kvlsm source", "") or version
        out.append(f"| {e} | {version} | {d.get(f'{e} asserts', '')} | "
                   f"{d.get(f'{e} options', '')} |")
    out += ["", "kvlsm has no multiget yet and LevelDB and LMDB have none: "
            "they get the keys one by one. A peer library is the Debian "
            "package; an imported `__assert_fail` means that it was built "
            "with asserts. Programs and libraries (start of SHA-256): " +
            ", ".join(f"{k} {v}" for k, v in meta
                      if k.endswith(("program", "library"))) + "."]
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(out) + "\n")


# ---- the chart: one bar for each workload and peer, logarithmic

def chart(rows, path):
    import math
    runs = Runs(rows, {"main", "seq", "batch", "sync"})
    peers = [w for w in runs.who if w != "kvlsm"]
    bars = []
    for title, op, _ in ROWS:
        got = [(p, runs.ratio(p, op)) for p in peers
               if not (op == "compact" and p == "lmdb")]
        got = [(p, r) for p, r in got if r]
        if got:
            bars.append((title, got))
    left, width, bar, gap, top = 210, 560, 9, 8, 58
    low, high = 0.25, 16.0
    height = top + sum(len(g) * bar + gap for _, g in bars) + 30

    def x(v):
        v = min(max(v, low), high)
        return left + width * math.log(v / low) / math.log(high / low)

    s = [f'<svg xmlns="http://www.w3.org/2000/svg" width="860" '
         f'height="{height}" font-family="sans-serif" font-size="11">',
         f'<rect width="860" height="{height}" fill="white"/>',
         '<text x="10" y="18" font-size="14">kvlsm / peer: operations a '
         'second, median of the blocks (line: smallest to largest)</text>']
    at = 10
    for p in peers:
        s.append(f'<rect x="{at}" y="30" width="10" height="10" '
                 f'fill="{COLOURS[p]}"/><text x="{at + 14}" y="39">'
                 f'{html.escape(p)}</text>')
        at += 30 + 7 * len(p)
    v = low
    while v <= high:
        s.append(f'<line x1="{x(v):.1f}" y1="{top - 6}" x2="{x(v):.1f}" '
                 f'y2="{height - 24}" stroke="{"#000" if v == 1 else "#ddd"}"/>'
                 f'<text x="{x(v):.1f}" y="{height - 10}" '
                 f'text-anchor="middle">{v:g}x</text>')
        v *= 2
    y = top
    for title, got in bars:
        s.append(f'<text x="{left - 8}" y="{y + len(got) * bar / 2 + 4:.0f}" '
                 f'text-anchor="end">{html.escape(title)}</text>')
        for p, r in got:
            a, b = sorted((x(1), x(r[0])))
            s.append(f'<rect x="{a:.1f}" y="{y}" width="{b - a:.1f}" '
                     f'height="{bar - 1}" fill="{COLOURS[p]}"/>')
            if r[3] > 1:
                s.append(f'<line x1="{x(r[1]):.1f}" y1="{y + 4}" '
                         f'x2="{x(r[2]):.1f}" y2="{y + 4}" stroke="#333"/>')
            s.append(f'<text x="{max(b, x(r[2])) + 4:.1f}" y="{y + 8}" '
                     f'font-size="9">{r[0]:.2f}</text>')
            y += bar
        y += gap
    s.append("</svg>")
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(s) + "\n")


def main():
    meta, rows = load(sys.argv[1])
    if not rows:
        sys.exit("no measurements")
    chart(rows, sys.argv[3])
    markdown(meta, rows, sys.argv[2], sys.argv[3].rsplit("/", 1)[-1])


main()
