# SPDX-License-Identifier: PostgreSQL
#
# The chart of bench-engine.sh: one bar for each workload and peer, on a
# logarithmic axis, to the right of 1 where kvlsm is faster.

import html
import math

from workloads import COLOURS, ROWS

LEFT, WIDTH, BAR, GAP, TOP = 200, 560, 11, 9, 66
LOW, HIGH = 0.125, 32.0


def place(v):
    v = min(max(v, LOW), HIGH)
    return LEFT + WIDTH * math.log(v / LOW) / math.log(HIGH / LOW)


def text(x, y, what, anchor="start", size=11, colour="#222"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" '
            f'font-size="{size}" fill="{colour}">{html.escape(what)}</text>')


def axis(height):
    out, v = [], LOW
    while v <= HIGH:
        x = place(v)
        out.append(f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" '
                   f'y2="{height - 26}" '
                   f'stroke="{"#333" if v == 1 else "#ddd"}"/>')
        for y in (TOP - 10, height - 12):
            out.append(text(x, y, f"{v:g}", "middle", 10, "#555"))
        v *= 2
    return out


def bar(peer, r, y):
    a, b = sorted((place(1), place(r[0])))
    out = [f'<rect x="{a:.1f}" y="{y}" width="{max(b - a, 1):.1f}" '
           f'height="{BAR - 1}" fill="{COLOURS[peer]}"/>']
    right = b
    if r[3] > 1:
        right = max(b, place(r[2]))
        out.append(f'<line x1="{place(r[1]):.1f}" y1="{y + 5}" '
                   f'x2="{place(r[2]):.1f}" y2="{y + 5}" stroke="#000"/>')
    out.append(text(right + 4, y + 9, f"{r[0]:.2f}", size=9))
    return out


def legend(peers):
    out, x = [], 10
    for p in peers:
        out.append(f'<rect x="{x}" y="30" width="11" height="11" '
                   f'fill="{COLOURS[p]}"/>')
        out.append(text(x + 15, 40, p))
        x += 34 + 7 * len(p)
    return out


def chart(runs, path):
    peers = [w for w in runs.who if w in COLOURS]
    bars = []
    for title, op, _ in ROWS:
        got = [(p, runs.ratio(p, op)) for p in peers]
        got = [(p, r) for p, r in got if r]
        if got:
            bars.append((title, got))
    height = TOP + sum(len(g) * BAR + GAP for _, g in bars) + 28
    s = [f'<svg xmlns="http://www.w3.org/2000/svg" width="820" '
         f'height="{height}" font-family="DejaVu Sans, sans-serif">',
         f'<rect width="820" height="{height}" fill="white"/>',
         text(10, 19, "kvlsm / peer: operations a second, median of the "
              "blocks (line: smallest to largest)", size=13)]
    s += legend(peers) + axis(height)
    y = TOP
    for i, (title, got) in enumerate(bars):
        if i % 2:
            s.insert(2, f'<rect x="0" y="{y - GAP / 2}" width="820" '
                     f'height="{len(got) * BAR + GAP}" fill="#f6f6f6"/>')
        s.append(text(LEFT - 8, y + len(got) * BAR / 2 + 4, title, "end"))
        for p, r in got:
            s += bar(p, r, y)
            y += BAR
        y += GAP
    s.append("</svg>")
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join(s) + "\n")
