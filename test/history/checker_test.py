# SPDX-License-Identifier: PostgreSQL
"""Does the checker see?  Histories made by hand, and by a small model.

One bad history for each anomaly, which must be found under the name it has,
and good ones, of which nothing may be said.  Then a model of a database with
snapshots, in 60 lines, makes random histories: right ones must pass at each
level, and with one of its rules broken something must be found.

Prints "ok - case" or "not ok - case"; needs no server.
"""

import random
import sys

import checker

# ---------------------------------------------------------------------------
# Histories by hand
# ---------------------------------------------------------------------------

# Operations are written "r x=1,2 y=", "a x 3" or "u x 3".  Without a time
# everything overlaps everything.


def operation(text, began, ended):
    kind, rest = text[0], text[2:].split()
    if kind == "r":
        return ["r", began, ended, dict(r.split("=") for r in rest)]
    return [kind, began, ended, rest[0], int(rest[1])]


def tx(name, *ops, status="ok", at=(0, 1000)):
    began, ended = at
    commit = {"ok": [began, ended], "unknown": [began, None],
              "fail": None}[status]
    return {"id": name, "status": status, "commit": commit,
            "ops": [operation(op, began, ended) for op in ops]}


ANY = ("rc", "rr", "ser")
ONE_SNAPSHOT = ("rr", "ser")

# (title, levels, the only names that are found, final, transactions)
CASES = [
    ("one after the other", ANY, None, {"x": "1,2", "y": "3"},
     [tx("A", "a x 1", "r x=1", at=(0, 1)),
      tx("B", "r x=1 y=", "a x 2", "a y 3", "r x=1,2 y=3", at=(2, 3)),
      tx("C", "r x=1,2 y=3", at=(4, 5))]),
    ("several appends at once", ANY, None, {"x": "1,2,3"},
     [tx("A", "a x 1", "a x 2"), tx("B", "r x=1,2", "a x 3"),
      tx("C", "r x=")]),
    ("failed and not seen", ANY, None, {"x": "1"},
     [tx("A", "a x 1"), tx("B", "a x 2", "r x=1,2", status="fail")]),
    ("unknown, and it had committed", ANY, None, {"x": "1,2"},
     [tx("A", "a x 1"), tx("B", "r x=1", "a x 2", status="unknown")]),
    ("unknown, and it had not", ANY, None, {"x": "1"},
     [tx("A", "a x 1"), tx("B", "r x=1", "a x 2", status="unknown")]),
    ("rolled back to a savepoint", ANY, None, {"x": "1,3"},
     [tx("A", "a x 1", "u x 2", "r x=1", "a x 3", "r x=1,3")]),
    ("reads that are not repeatable", ("rc",), None, {"x": "1"},
     [tx("A", "a x 1"), tx("B", "r x=", "r x=1")]),
    ("reads that are not repeatable", ONE_SNAPSHOT, "internal G-single",
     {"x": "1"},
     [tx("A", "a x 1"), tx("B", "r x=", "r x=1")]),
    ("read skew between statements", ("rc",), None, {"x": "1", "y": "2"},
     [tx("A", "a x 1", "a y 2"), tx("B", "r x=", "r y=2")]),
    ("read skew (G-single)", ONE_SNAPSHOT, "G-single", {"x": "1", "y": "2"},
     [tx("A", "a x 1", "a y 2"), tx("B", "r x=", "r y=2")]),
    ("read skew in one statement", ANY, "G-single", {"x": "1", "y": "2"},
     [tx("A", "a x 1", "a y 2"), tx("B", "r x= y=2")]),
    ("write skew", ("rc", "rr"), None, {"x": "1", "y": "2"},
     [tx("A", "r x= y=", "a x 1"), tx("B", "r x= y=", "a y 2")]),
    ("write skew (G2)", ("ser",), "G2", {"x": "1", "y": "2"},
     [tx("A", "r x= y=", "a x 1"), tx("B", "r x= y=", "a y 2")]),
    ("only a reader sees that it is not serial (G2)", ("ser",), "G2",
     {"x": "1", "y": "2", "z": ""},
     [tx("A", "r x= y=", "a x 1"), tx("B", "r x=", "a y 2"),
      tx("C", "r y=2 x=")]),
    ("a serial order against real time (G2)", ("ser",), "G2-realtime",
     {"x": "1", "y": "2"},
     [tx("A", "r x=", at=(20, 100)), tx("B", "r y=", "a x 1", at=(0, 100)),
      tx("C", "a y 2", at=(5, 10))]),
    ("that order is allowed elsewhere", ("rc", "rr"), None,
     {"x": "1", "y": "2"},
     [tx("A", "r x=", at=(20, 100)), tx("B", "r y=", "a x 1", at=(0, 100)),
      tx("C", "a y 2", at=(5, 10))]),
    ("cycle with two rw apart (G-nonadjacent)", ONE_SNAPSHOT, "G-nonadjacent",
     {"x": "1", "y": "2", "p": "3", "q": "4"},
     [tx("A", "r x= q=4"), tx("B", "a x 1", "a p 3"),
      tx("C", "r p=3 y="), tx("D", "a y 2", "a q 4")]),
    ("lost update", ANY, "lost-update", {"x": "1,3"},
     [tx("A", "a x 1", at=(0, 1)), tx("B", "r x=1", "a x 2"),
      tx("C", "r x=1", "a x 3")]),
    ("dirty read (G1a)", ANY, "G1a", {"x": "1"},
     [tx("A", "a x 1"), tx("B", "a x 2", status="fail"), tx("C", "r x=1,2")]),
    ("dirty read that was overwritten (G1a)", ANY, "G1a", {"x": "1,3"},
     [tx("A", "a x 1"), tx("B", "a x 2", status="fail"), tx("C", "r x=1,2"),
      tx("D", "a x 3")]),
    ("failed append stays (G1a)", ANY, "G1a", {"x": "1,2"},
     [tx("A", "a x 1"), tx("B", "a x 2", status="fail")]),
    ("what a savepoint undid is seen (G1a)", ANY, "G1a", {"x": "1,2"},
     [tx("A", "a x 1", "u x 2"), tx("B", "r x=1,2")]),
    ("intermediate read (G1b)", ANY, "G1b G-single", {"x": "1,2"},
     [tx("A", "a x 1", "a x 2"), tx("B", "r x=1")]),
    ("intermediate read of one who fails (G1b)", ANY, "G1b G-single",
     {"x": "3,1,2"},
     [tx("A", "a x 1", "a x 2"), tx("B", "r x=3,1", status="fail"),
      tx("C", "a x 3")]),
    ("write cycle (G0)", ANY, "G0", {"x": "1,2", "y": "4,3"},
     [tx("A", "a x 1", "a y 3"), tx("B", "a x 2", "a y 4")]),
    ("one transaction's appends are torn apart (G0)", ANY, "G0",
     {"x": "1,2,3"}, [tx("A", "a x 1", "a x 3"), tx("B", "a x 2")]),
    ("circular information flow (G1c)", ANY, "G1c", {"x": "1", "y": "2"},
     [tx("A", "a x 1", "r y=2"), tx("B", "a y 2", "r x=1")]),
    ("lost append", ANY, "lost-append", {"x": "1"},
     [tx("A", "a x 1"), tx("B", "a x 2")]),
    ("lost append that was read", ANY, "lost-append", {"x": "1"},
     [tx("A", "a x 1"), tx("B", "a x 2"), tx("C", "r x=1,2")]),
    ("half of a commit", ANY, "partial", {"x": "1"},
     [tx("A", "a x 1", "a y 2", status="unknown")]),
    ("duplicate", ANY, "duplicate", {"x": "1,1"}, [tx("A", "a x 1")]),
    ("never appended", ANY, "phantom", {"x": "1,9"}, [tx("A", "a x 1")]),
    ("appended elsewhere", ANY, "phantom", {"x": "", "y": "1"},
     [tx("A", "a y 1"), tx("B", "r x=1", status="fail")]),
    ("not a prefix", ANY, "non-prefix", {"x": "1,2"},
     [tx("A", "a x 1"), tx("B", "a x 2"), tx("C", "r x=2")]),
    ("own append not seen", ANY, "internal", {"x": "1"},
     [tx("A", "a x 1", "r x=")]),
    ("a locked key changes", ("rc",), "internal", {"x": "2,1"},
     [tx("A", "a x 1", "r x=1", "r x=2,1"), tx("B", "a x 2")]),
    ("a key changes in a snapshot", ONE_SNAPSHOT, "internal G-single",
     {"x": "2,1"},
     [tx("A", "a x 1", "r x=1", "r x=2,1"), tx("B", "a x 2")]),
    ("own appends in another order", ANY, "internal", {"x": "2,1"},
     [tx("A", "a x 1", "a x 2")]),
    ("back in time", ("rc",), "internal", {"x": "1"},
     [tx("A", "a x 1"), tx("B", "r x=1", "r x=")]),
    ("stale read against real time", ANY, "G-single-realtime", {"x": "1"},
     [tx("A", "a x 1", at=(0, 1)), tx("B", "r x=", at=(2, 3))]),
    ("read from the future", ANY, "G1c-realtime", {"x": "1"},
     [tx("A", "a x 1", at=(5, 6)), tx("B", "r x=1", at=(0, 1))]),
    ("writes against real time", ANY, "G0-realtime", {"x": "2,1"},
     [tx("A", "a x 1", at=(0, 1)), tx("B", "a x 2", at=(2, 3))]),
    ("ends when the other begins", ANY, None, {"x": "1"},
     [tx("A", "a x 1", at=(0, 2)), tx("B", "r x=", at=(2, 3))]),
]


def reg(kind, value, began, ended, status="ok"):
    return [kind, "x", value, began, ended, status]


REGISTERS = [
    ("one after the other", None,
     [reg("r", None, 0, 1), reg("w", 1, 2, 3), reg("r", 1, 4, 5),
      reg("w", 2, 6, 7), reg("r", 2, 8, 9)]),
    ("either while they overlap", None,
     [reg("w", 1, 0, 10), reg("w", 2, 5, 15), reg("r", 1, 12, 13),
      reg("r", 2, 16, 17), reg("r", None, 1, 2)]),
    ("unknown, later or never", None,
     [reg("w", 1, 0, 1), reg("w", 2, 2, None, "unknown"), reg("r", 1, 5, 6),
      reg("r", 2, 7, 8)]),
    ("stale read", "stale-read",
     [reg("w", 1, 0, 1), reg("w", 2, 2, 3), reg("r", 1, 4, 5)]),
    ("nothing, after a write", "stale-read",
     [reg("w", 1, 0, 1), reg("r", None, 4, 5)]),
    ("old again, after the new was read", "stale-read",
     [reg("w", 1, 0, 1), reg("w", 2, 2, 100), reg("r", 2, 3, 4),
      reg("r", 1, 5, 6)]),
    ("an unknown one that was read counts", "stale-read",
     [reg("w", 1, 0, 1), reg("w", 2, 2, None, "unknown"), reg("r", 2, 5, 6),
      reg("r", 1, 7, 8)]),
    ("before it was written", "future-read",
     [reg("r", 1, 0, 1), reg("w", 1, 2, 3)]),
    ("a failed write", "G1a",
     [reg("w", 1, 0, 1, "fail"), reg("r", 1, 2, 3)]),
    ("never written", "phantom", [reg("r", 7, 2, 3)]),
]

COUNTERS = [
    ("all there", None, 3,
     [reg("i", 1, 0, 1), reg("i", 2, 0, 3), reg("i", None, 4, None, "unknown"),
      reg("i", 3, 5, 6)]),
    ("one lost", "lost-update", 1, [reg("i", 1, 0, 1), reg("i", 2, 0, 3)]),
    ("one too many", "lost-update", 2,
     [reg("i", 1, 0, 1), reg("i", None, 4, 5, "fail")]),
    ("twice the same", "duplicate", 2, [reg("i", 1, 0, 1), reg("i", 1, 0, 3)]),
    ("back", "stale-read", 2, [reg("i", 2, 0, 1), reg("i", 1, 2, 3)]),
]

# ---------------------------------------------------------------------------
# Histories of a model
# ---------------------------------------------------------------------------

class Conflict(Exception):
    pass


class Model:
    """Versions with commit numbers; one step of one transaction at a time."""

    def __init__(self, level, seed, broken=None):
        self.rng = random.Random(seed)
        self.level, self.broken = level, broken
        self.versions = {}              # key -> [(commit number, list)]
        self.locks = {}
        self.now = 0                    # commits so far
        self.clock = 0
        self.numbers = 0
        self.history = []

    def tick(self):
        self.clock += 1
        return self.clock

    def at(self, key, number):
        listed = self.versions.get(key, [])
        return next((v for n, v in reversed(listed) if n <= number), [])

    def transaction(self, name):
        """A generator: between two yields others run."""
        rng = self.rng
        record = {"id": name, "status": "fail", "commit": None, "ops": []}
        self.history.append(record)
        own, snapshot = {}, None
        try:
            for _ in range(rng.randint(1, 4)):
                began = self.tick()
                yield
                if snapshot is None or self.level == "rc":
                    snapshot = self.now
                if self.broken == "stale" and rng.random() < 0.1:
                    snapshot = max(0, self.now - 3)
                key = rng.choice("xyz")
                if rng.random() < 0.5:
                    late = self.broken == "ignores snapshot"
                    keys = (key, rng.choice("xyz"))
                    seen = {k: own.get(k, self.at(k, self.now if late
                                                  else snapshot))
                            for k in keys}
                    if self.broken == "dirty" and rng.random() < 0.1:
                        seen[key] = self.dirty.get(key, seen[key])
                    record["ops"].append(["r", began, self.tick(), {
                        k: ",".join(map(str, v)) for k, v in seen.items()}])
                else:
                    self.numbers += 1
                    op = ["a", began, None, key, self.numbers]
                    record["ops"].append(op)
                    self.lock(name, key, snapshot)
                    base = own.get(key, self.at(
                        key, self.now if self.level == "rc"
                        and self.broken != "no lock" else snapshot))
                    own[key] = base + [self.numbers]
                    self.dirty = dict(own)
                    op[2] = self.tick()
                yield
            if rng.random() < 0.1:
                raise Conflict
            record["commit"] = [self.tick(), None]
            yield
            self.commit(own, record)
            yield
            if record["status"] == "ok":
                record["commit"][1] = self.tick()
        except Conflict:
            pass
        self.locks = {k: t for k, t in self.locks.items() if t != name}

    dirty = {}

    def lock(self, name, key, snapshot):
        if self.broken == "no lock":
            return
        if self.locks.setdefault(key, name) != name:
            raise Conflict      # instead of waiting
        newest = self.versions.get(key, [(0, [])])[-1][0]
        if self.level != "rc" and newest > snapshot:
            raise Conflict

    def commit(self, own, record):
        lost = self.rng.random() < 0.05
        if self.broken == "commit is lost" and lost:
            own = {}
        if self.broken == "commit is halved" and lost:
            own = dict(list(own.items())[1:])
        record["status"] = "unknown" if self.rng.random() < 0.05 else "ok"
        self.now += 1
        for key, value in own.items():
            self.versions.setdefault(key, []).append((self.now, value))

    def run(self, count):
        running, started = [], 0
        while running or started < count:
            if len(running) < 5 and started < count:
                started += 1
                running.append(self.transaction("T%d" % started))
            one = self.rng.choice(running)
            if next(one, self) is self:
                running.remove(one)
        return {"level": self.level, "transactions": self.history,
                "final": {k: ",".join(map(str, self.at(k, self.now)))
                          for k in "xyz"}}


BROKEN = [("ignores snapshot", ONE_SNAPSHOT), ("stale", ANY), ("dirty", ANY),
          ("no lock", ANY), ("commit is lost", ANY),
          ("commit is halved", ANY)]


# ---------------------------------------------------------------------------

failed = 0


def case(true, title, why=""):
    global failed
    print("%s - %s" % ("ok" if true else "not ok", title))
    if not true:
        failed += 1
        print("# " + str(why).replace("\n", "\n# "))


def names_of(found):
    return sorted({a.name for a in found})


def main():
    for title, levels, want, final, transactions in CASES:
        for level in levels:
            found = checker.check({"level": level, "final": final,
                                   "transactions": transactions})
            case(names_of(found) == sorted((want or "").split()),
                 "%s: %s: %s" % (level, title, want or "nothing"), found)
    for title, want, ops in REGISTERS:
        found = checker.check_registers(ops)
        case(names_of(found) == ([want] if want else []),
             "register: %s: %s" % (title, want or "nothing"), found)
    for title, want, final, ops in COUNTERS:
        found = checker.check_counter(ops, final)
        case(names_of(found) == ([want] if want else []),
             "counter: %s: %s" % (title, want or "nothing"), found)
    for level in ("rc", "rr"):
        for seed in range(10):
            found = checker.check(Model(level, seed).run(300))
            if found:
                break
        case(not found, "%s: a model's histories pass" % level,
             "seed %d: %s" % (seed, found[:3]))
    # the model has no SERIALIZABLE: it is snapshot isolation
    found = [a for seed in range(10)
             for a in checker.check(Model("ser", seed).run(300))]
    case({a.name for a in found} <= {"G2", "G2-realtime"} and found,
         "ser: of a model with snapshots only, G2 is found", found[:3])
    for broken, levels in BROKEN:
        for level in levels:
            missed = [seed for seed in range(5) if not [
                a for a in checker.check(Model(level, seed, broken).run(300))
                if a.name[:2] != "G2"]]
            case(not missed, "%s: found in a model: %s" % (level, broken),
                 "seeds %s" % missed)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
