# SPDX-License-Identifier: PostgreSQL
#
# Table and chart of a benchmark's TSV: for each workload and point the
# medians of both targets, the median of the pairs' ratios with its spread,
# and the floor and goal that apply.  A ratio is always "kvlsm is so many
# times better": for bytes the heap's figure is the numerator.
#
#   report.py ratio TSV WORKLOAD POINT        one line for the terminal
#   report.py report TSV GOALS MD SVG
#   report.py merge OLD NEW TSV               both runs; NEW's points replace
#                                             OLD's
#
# Needs nothing outside Python's standard library.
import math
import sys
from statistics import median
from xml.sax.saxutils import escape

BASE, OURS = "heap", "kvlsm"


class Point:
    def __init__(self, unit):
        self.unit = unit
        self.values = {}
        self.tx = {}
        self.wal = {}
        self.kvwal = {}

    def add(self, target, pair, value, tx, wal, kvwal):
        self.values.setdefault(target, {})[pair] = value
        for d, v in ((self.tx, tx), (self.wal, wal), (self.kvwal, kvwal)):
            d[target] = d.get(target, 0) + v

    def ratios(self):
        a, b = self.values.get(BASE, {}), self.values.get(OURS, {})
        out = []
        for pair in sorted(set(a) & set(b)):
            num, den = b[pair], a[pair]
            if self.unit.startswith("bytes"):
                num, den = den, num
            if den > 0:
                out.append(num / den)
        return out

    def verdict(self):
        r = self.ratios()
        # too few pairs to say so, except where nothing varies
        if not r or len(r) < 5 and not self.unit.startswith("bytes"):
            return ""
        if median(r) >= 1.10:
            return "ahead" if min(r) > 1 else "unclear"
        return "level" if median(r) >= 0.95 else "behind"

    def per_tx(self, what, target):
        total = what.get(target, 0)
        return total / self.tx[target] if total and self.tx[target] else None


def load(path):
    about, points = [], {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            c = line.rstrip("\n").split("\t")
            if c[0] == "#":
                about.append((c[1], c[2]))
            elif c[0] != "workload" and len(c) >= 10:
                p = points.setdefault((c[0], c[1]), Point(c[6]))
                p.add(c[4], int(c[2]), float(c[5]), int(c[7]), int(c[8]),
                      int(c[9]))
    return about, points


def runs(path):
    """A file's runs: the lines about each, and its turns."""
    out = []
    with open(path, encoding="utf-8") as f:
        for line in f:
            if line.startswith("#\tdate\t"):
                out.append(([], []))
            if line.startswith("#"):
                out[-1][0].append(line)
            elif not line.startswith("workload\t"):
                out[-1][1].append(line)
            else:
                heading = line
    return heading, out


def merge(old, new, path):
    heading, before = runs(old)
    _, added = runs(new)
    again = {tuple(t.split("\t")[:2]) for _, turns in added for t in turns}
    with open(path, "w", encoding="utf-8") as f:
        for about, turns in before:
            turns = [t for t in turns if tuple(t.split("\t")[:2]) not in again]
            if turns:
                f.writelines(about + [heading] + turns)
        for about, turns in added:
            f.writelines(about + [heading] + turns)


def load_goals(path):
    goals = {}
    with open(path, encoding="utf-8") as f:
        for line in f:
            c = line.rstrip("\n").split("\t")
            if not line.startswith("#") and len(c) == 4:
                goals[(c[0], c[1])] = (float(c[2]), float(c[3]))
    return goals


def short(v):
    if v is None:
        return ""
    for limit, div, suffix in ((1e6, 1e6, "M"), (1e4, 1e3, "K")):
        if abs(v) >= limit:
            return f"{v / div:.3g}{suffix}"
    return f"{v:.0f}" if abs(v) >= 100 else f"{v:.3g}"


def spread(r):
    return f"{min(r):.2f}-{max(r):.2f}" if len(r) > 1 else ""


def table(about, points, goals):
    yield "# kvlsm beside a heap table, through SQL"
    yield ""
    yield ("Ratio: how many times better kvlsm is, median of the pairs "
           "(smallest-largest). \"ahead\": 1.10 or more and every pair above "
           "1, else \"unclear\"; \"level\": 0.95 or more; none with less than 5 "
           "pairs. `_fdw`: kvlsm through the foreign table, where the workload "
           "without is one of its functions. WAL is bytes a transaction, of a load "
           "bytes a row: PostgreSQL's for the heap, PostgreSQL's + kvlsm's "
           "own for kvlsm. The chart is [sql.svg](sql.svg), every turn is in "
           "[sql.tsv](sql.tsv), the workloads are in `test/bench`.")
    yield ""
    if any(k == "smoke" for k, _ in about):
        yield "**A smoke run: no basis for a claim.**"
        yield ""
    yield ("| workload | point | unit | heap | kvlsm | ratio | spread | pairs "
           "| | floor | goal | WAL heap | WAL kvlsm |")
    yield "|---|---|---|--:|--:|--:|---|--:|---|--:|--:|--:|--:|"
    for key, p in points.items():
        r = p.ratios()
        mid = {t: median(v.values()) for t, v in p.values.items()}
        floor, goal = goals.get(key, (None, None))
        verdict = p.verdict()
        if floor and r and median(r) < floor:
            verdict = (verdict + " below the floor").strip()
        wal = [p.per_tx(p.wal, BASE), p.per_tx(p.wal, OURS),
               p.per_tx(p.kvwal, OURS)]
        # less than a byte is somebody else's: reads write none
        writes = (wal[1] or 0) >= 1
        kv = f"{short(wal[1])} + {short(wal[2])}" if writes else ""
        base = mid.get(BASE, mid.get("floor"))
        yield "| " + " | ".join([
            key[0], key[1], p.unit, short(base), short(mid.get(OURS)),
            f"**{median(r):.2f}**" if r else "", spread(r),
            str(len(r)) if r else "", verdict, short(floor), short(goal),
            short(wal[0]) if writes else "", kv]) + " |"
    for k, v in about:
        # each run has its own
        if k == "date":
            yield from ("", "| | |", "|---|---|")
        yield f"| {k} | {v} |"


def chart(points, goals):
    """Horizontal bars on a logarithmic axis; 1 is level with the heap."""
    rows = [(k, p.ratios()) for k, p in points.items() if p.ratios()]
    left, width, step = 300, 560, 20
    low = min([0.5] + [min(r) for _, r in rows])
    high = max([4.0] + [max(r) for _, r in rows] +
               [goals[k][1] for k, _ in rows if k in goals])
    lo, hi = math.log2(low) - 0.2, math.log2(high) + 0.3

    def x(v):
        return left + width * (math.log2(v) - lo) / (hi - lo)

    height = step * len(rows) + 90
    yield (f'<svg xmlns="http://www.w3.org/2000/svg" width="{left+width+80}" '
           f'height="{height}" font-family="sans-serif" font-size="12">')
    yield '<rect width="100%" height="100%" fill="white"/>'
    yield (f'<text x="10" y="20" font-size="14">kvlsm beside a heap table: '
           f'times better (median, smallest to largest; | floor, '
           f'\u25c6 goal)</text>')
    bottom = 45 + step * len(rows)
    for e in range(math.ceil(lo), math.floor(hi) + 1):
        v = 2.0 ** e
        color = "#000" if e == 0 else "#ddd"
        yield (f'<line x1="{x(v):.1f}" x2="{x(v):.1f}" y1="38" y2="{bottom}" '
               f'stroke="{color}"/>')
        yield (f'<text x="{x(v):.1f}" y="{bottom + 16}" '
               f'text-anchor="middle">{v:g}</text>')
    for i, (key, r) in enumerate(rows):
        y, m = 44 + step * i, median(r)
        a, b = sorted((x(1), x(m)))
        fill = "#4a8" if m >= 1 else "#c64"
        yield (f'<text x="{left - 8}" y="{y + 11}" text-anchor="end">'
               f'{escape(key[0] + " " + key[1])[:48]}</text>')
        yield (f'<rect x="{a:.1f}" y="{y}" width="{max(b - a, 1):.1f}" '
               f'height="{step - 7}" fill="{fill}"/>')
        yield (f'<line x1="{x(min(r)):.1f}" x2="{x(max(r)):.1f}" '
               f'y1="{y + 6}" y2="{y + 6}" stroke="#222"/>')
        if key in goals:
            f, g = goals[key]
            yield (f'<line x1="{x(f):.1f}" x2="{x(f):.1f}" y1="{y - 2}" '
                   f'y2="{y + step - 5}" stroke="#06c" stroke-width="2"/>')
            yield (f'<text x="{x(g):.1f}" y="{y + 11}" fill="#06c" '
                   f'text-anchor="middle">\u25c6</text>')
        yield (f'<text x="{max(x(max(r)), x(1), x(m)) + 8:.1f}" y="{y + 11}">'
               f'{m:.2f}</text>')
    yield "</svg>"


def main(argv):
    if argv[1] == "ratio":
        p = load(argv[2])[1].get((argv[3], argv[4]))
        if p is None or not p.ratios():
            print("-")
            return
        r = p.ratios()
        mid = {t: short(median(v.values())) for t, v in p.values.items()}
        print(f"heap {mid[BASE]}, kvlsm {mid[OURS]} {p.unit}, "
              f"{median(r):.2f} times better {spread(r)}")
        return
    if argv[1] == "merge":
        merge(argv[2], argv[3], argv[4])
        return
    about, points = load(argv[2])
    goals = load_goals(argv[3])
    with open(argv[4], "w", encoding="utf-8") as f:
        f.write("\n".join(table(about, points, goals)) + "\n")
    with open(argv[5], "w", encoding="utf-8") as f:
        f.write("\n".join(chart(points, goals)) + "\n")


main(sys.argv)
