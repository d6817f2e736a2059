# SPDX-License-Identifier: PostgreSQL
#
# What bench-engine.sh measured, and ratios of it.
#
# A ratio is kvlsm's rate over a peer's within one block; reported are the
# median over the blocks, the smallest and the largest.  A read of one thread
# that did not run for more than a tenth of its time says nothing about wall
# time.  Most such reads were run again at once ("part"), and the first that
# was not kept waiting counts; where that does not help, the block is left out
# of the ratio, unless there is no other.

from statistics import median

from workloads import COLOURS, ONE_THREAD

MAX_WAITED = 1.10


def load(path):
    meta, rows, names = [], [], None
    with open(path, encoding="utf-8") as f:
        for line in f:
            fields = line.rstrip("\n").split("\t")
            if line.startswith("# "):
                meta.append((fields[0][2:], "\t".join(fields[1:])))
            elif names is None:
                names = fields
            elif len(fields) == len(names):
                rows.append(dict(zip(names, fields)))
    return meta, rows


def who(row):
    if row["variant"] in ("default", "sync"):
        return row["engine"]
    return row["engine"] + ":" + row["variant"]


def waited(row):
    """wall time over CPU time of a read of one thread, else 1"""
    own = float(row["own_cpu_s"])
    if row["op"] not in ONE_THREAD or own <= 0:
        return 1.0
    return float(row["seconds"]) / own


def choose(parts):
    for row in parts:
        if waited(row) <= MAX_WAITED:
            return row
    return min(parts, key=waited)


def merge(slices):
    """Slices of one workload in one block as if they were one run."""
    if len(slices) == 1:
        return slices[0]
    row = dict(slices[0])
    ops = sum(float(s["ops"]) for s in slices)
    seconds = sum(float(s["seconds"]) for s in slices)
    row["ops"], row["seconds"] = ops, seconds
    row["ops_s"] = ops / seconds
    row["cpu_us_op"] = sum(float(s["cpu_us_op"]) * float(s["ops"])
                           for s in slices) / ops
    for column in ("p50_us", "p99_us", "p999_us"):
        row[column] = median(float(s[column]) for s in slices)
    row["max_us"] = max(float(s["max_us"]) for s in slices)
    return row


class Runs:
    """One row for each (who, operation) and block."""

    def __init__(self, rows, wanted, name=who):
        found = {}
        for r in rows:
            if not wanted(r):
                continue
            blocks = found.setdefault((name(r), r["op"]), {})
            slices = blocks.setdefault(r["block"], {})
            if r["part"] == "1":  # measured anew
                slices[r["slice"]] = []
            slices.setdefault(r["slice"], []).append(r)
        self.by, self.again = {}, []
        for key, blocks in found.items():
            self.by[key] = {}
            for b, slices in blocks.items():
                for parts in slices.values():
                    if len(parts) > 1 or waited(parts[0]) > MAX_WAITED:
                        self.again.append((*key, b, parts, choose(parts)))
                self.by[key][b] = merge([choose(p) for p in slices.values()])
        order = ["kvlsm", *COLOURS]
        self.who = sorted({w for w, _ in self.by},
                          key=lambda w: (order.index(w.split(",")[0]), w))

    def median(self, name, op, column):
        found = self.by.get((name, op))
        if not found:
            return None
        return median(float(r[column]) for r in found.values())

    def worst(self, name, op, column):
        found = self.by.get((name, op))
        return max(float(r[column]) for r in found.values()) if found else None

    def ratio(self, peer, op, column="ops_s"):
        """(median, min, max, blocks, blocks left out), or None"""
        ours, theirs = self.by.get(("kvlsm", op)), self.by.get((peer, op))
        if not ours or not theirs or (op == "compact" and peer == "lmdb"):
            return None
        blocks = [b for b in ours if b in theirs]
        good = [b for b in blocks if waited(ours[b]) <= MAX_WAITED
                and waited(theirs[b]) <= MAX_WAITED]
        values = []
        for b in good or blocks:
            a, c = float(ours[b][column]), float(theirs[b][column])
            if a > 0 and c > 0:
                values.append(c / a if column == "cpu_us_op" else a / c)
        if not values:
            return None
        return (median(values), min(values), max(values), len(values),
                len(blocks) - len(good))

    def best(self, peers, op, weights=None):
        """The peer that is hardest to beat: (who, ratio), or None"""
        weights = weights or {}
        got = [(p, self.ratio(p, op)) for p in peers]
        got = [(p, r) for p, r in got if r]
        if not got:
            return None
        return min(got, key=lambda x: x[1][0] / weights.get(x[0], 1.0))
