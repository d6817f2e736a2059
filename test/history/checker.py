# SPDX-License-Identifier: PostgreSQL
"""Is a history of transactions one that an isolation level allows?

Pure checks: no server, no clock.  What was run is in history.py; the method
is that of Elle (Kingsbury and Alvaro, VLDB 2020), for lists only.

A list is text, "1,5,9"; a transaction reads it or appends a number that is
used once in the whole history.  So every read tells which appends came
before it and in which order, and from this follow dependencies: ww (appended
directly after), wr (read what was appended), rw (did not see what was
appended next).  What is forbidden is a cycle.

Events, not transactions, are the nodes of the graph.  A commit is one event;
a snapshot is one, too: one for the transaction under REPEATABLE READ and
SERIALIZABLE, one for each statement under READ COMMITTED.

    wr: commit of the writer  -> snapshot of the reader
    rw: snapshot of the reader -> commit of the next writer
    ww: commit -> commit; with one snapshot for all, commit -> snapshot,
        because of two writers of a key the first wins
    rt: ended -> began, of any two events
    po: snapshot -> commit of the same transaction

Under PostgreSQL's REPEATABLE READ, which is snapshot isolation, this graph
has no cycle.  In terms of transactions: none of ww and wr (G0, G1c), none
with one rw (G-single) and none in which no two rw are neighbours; write skew
has two neighbours and stays allowed.  Under READ COMMITTED it means G0, G1c
and, for a statement that reads several keys, G-single.  SERIALIZABLE forbids
every cycle of transactions (G2), those with real time included: an rw that
closes such a cycle is one that PostgreSQL would have had to see.

    python3 checker.py FILE.json    checks what history.py has saved
"""

import json
import sys
from bisect import bisect_left
from collections import defaultdict, namedtuple

from graph import Graph

Anomaly = namedtuple("Anomaly", "name text")
# A statement's look at one key; ext: without what the transaction itself had
# appended before.
Read = namedtuple("Read", "tx op key ext")
Writer = namedtuple("Writer", "tx key undone")

# Operations of a transaction are lists:
#   ["r", began, ended, {key: text, ...}]     one statement
#   ["a", began, ended, key, number]          ended None: it failed
#   ["u", began, ended, key, number]          appended, and rolled back to a
#                                             savepoint
# A transaction is a dict: id, status (ok, fail, unknown), ops, and commit:
# [sent, returned or None], or None.

LEVELS = {"rc": "READ COMMITTED", "rr": "REPEATABLE READ",
          "ser": "SERIALIZABLE"}


def numbers(text):
    return [int(n) for n in text.split(",")] if text else []


def is_prefix(a, b):
    return a == "" or a == b or b.startswith(a + ",")


class Checker:
    def __init__(self, level, transactions, final=None):
        self.level = level
        self.txs = transactions
        self.final = final      # key -> text at the end, or None
        self.found = []
        self.writers = {}       # number -> Writer
        self.appends = {}       # id -> [(key, number)], what should last
        self.reads = []
        self.seen = set()       # ids of those whose appends were read
        self.order = {}         # key -> the longest list
        self.commit_node = {}
        self.graph = Graph()

    def report(self, name, text, *args):
        self.found.append(Anomaly(name, text % args))

    def run(self):
        self.collect_appends()
        self.collect_reads()
        self.find_orders()
        self.check_elements()
        self.check_prefixes()
        self.check_intermediate()
        self.check_lost()
        if not self.check_points() and self.level == "ser":
            self.check_serial()
        return self.found

    # ---- what happened

    def collect_appends(self):
        for tx in self.txs:
            mine = self.appends[tx["id"]] = []
            for op in tx["ops"]:
                if op[0] == "r":
                    continue
                key, n = op[3], op[4]
                if n in self.writers:
                    raise ValueError("number %d is used twice" % n)
                self.writers[n] = Writer(tx, key, op[0] == "u")
                if op[0] == "a":
                    mine.append((key, n))

    def committed(self, tx):
        return tx["status"] == "ok" or (tx["status"] == "unknown"
                                        and tx["id"] in self.seen)

    def collect_reads(self):
        """Reads without own appends; what they must agree in is checked."""
        for tx in self.txs:
            own = defaultdict(list)
            last = {}           # key -> (ext, was own then)
            for op in tx["ops"]:
                if op[0] == "a":
                    own[op[3]].append(str(op[4]))
                if op[0] != "r":
                    continue
                for key, text in op[3].items():
                    ext = self.without_own(tx, key, text, own[key])
                    if ext is None:
                        continue
                    self.reads.append(Read(tx, op, key, ext))
                    if key in last:
                        self.check_again(tx, key, last[key], ext)
                    last[key] = (ext, bool(own[key]))

    def without_own(self, tx, key, text, own):
        if not own:
            return text
        suffix = ",".join(own)
        if text == suffix:
            return ""
        if text.endswith("," + suffix):
            return text[:-len(suffix) - 1]
        self.report("internal", "transaction %s had appended %s to %s, and "
                    "read %s", tx["id"], suffix, key, tail(text))
        return None

    def check_again(self, tx, key, last, ext):
        """The second look at a key in one transaction."""
        before, was_own = last
        if self.level != "rc" or was_own:
            # one snapshot, or the key is locked
            if ext != before:
                self.report("internal", "transaction %s read %s as %s, then "
                            "as %s", tx["id"], key, tail(before), tail(ext))
        elif not is_prefix(before, ext):
            self.report("internal", "transaction %s read %s as %s, then as "
                        "the older %s", tx["id"], key, tail(before), tail(ext))

    def find_orders(self):
        texts = defaultdict(set)
        for read in self.reads:
            texts[read.key].add(read.ext)
        for key, text in (self.final or {}).items():
            texts[key].add(text)
        self.texts = texts
        for key, all_of in texts.items():
            base = (self.final or {}).get(key, "")
            longer = [t for t in all_of if is_prefix(base, t)]
            self.order[key] = max(longer, key=lambda t: (t.count(","), t))
        for key, all_of in texts.items():
            for text in [self.order[key]] + [
                    t for t in all_of if not is_prefix(t, self.order[key])]:
                for n in numbers(text):
                    if n in self.writers:
                        self.seen.add(self.writers[n].tx["id"])

    # ---- single elements

    def reader_of(self, key, n):
        for read in self.reads:
            if read.key == key and n in numbers(read.ext):
                return "transaction %s" % read.tx["id"]
        return "the last look"

    def check_elements(self):
        """Sets self.bad to the numbers that nobody should have seen."""
        self.bad = set()
        for key, all_of in self.texts.items():
            for text in [self.order[key]] + [
                    t for t in all_of if not is_prefix(t, self.order[key])]:
                listed = numbers(text)
                if len(set(listed)) != len(listed):
                    twice = [n for n in listed if listed.count(n) > 1]
                    self.report("duplicate", "%s has %d twice: %s", key,
                                twice[0], tail(text))
                    self.bad.add(twice[0])
                for n in listed:
                    if n not in self.bad:
                        self.check_element(key, n)

    def check_element(self, key, n):
        writer = self.writers.get(n)
        if writer is None or writer.key != key:
            self.report("phantom", "%s read %d in %s, which nobody appended",
                        self.reader_of(key, n), n, key)
        elif writer.undone:
            self.report("G1a", "%s read %d in %s, which transaction %s had "
                        "rolled back to a savepoint", self.reader_of(key, n),
                        n, key, writer.tx["id"])
        elif writer.tx["status"] == "fail":
            self.report("G1a", "%s read %d in %s, of transaction %s, which "
                        "failed", self.reader_of(key, n), n, key,
                        writer.tx["id"])
        else:
            return
        self.bad.add(n)

    def check_prefixes(self):
        for key, all_of in self.texts.items():
            order = self.order[key]
            for text in all_of:
                if is_prefix(text, order) or self.bad & set(numbers(text)):
                    continue
                a, b = numbers(text), numbers(order)
                at = next((i for i in range(min(len(a), len(b)))
                           if a[i] != b[i]), min(len(a), len(b)))
                self.report("non-prefix", "%s was read as %s, and as %s by "
                            "others: they part at element %d", key,
                            tail(text), tail(order), at)

    def check_intermediate(self):
        """G1b, and the order of one transaction's appends."""
        last = {}
        for tx in self.txs:
            for key, n in self.appends[tx["id"]]:
                last[tx["id"], key] = n
        for read in self.reads:
            n = int(read.ext[read.ext.rfind(",") + 1:]) if read.ext else None
            writer = self.writers.get(n)
            if (writer is None or n in self.bad or writer.key != read.key or
                    writer.tx is read.tx):
                continue
            if last[writer.tx["id"], read.key] != n:
                self.report("G1b", "transaction %s read %s up to %d, but "
                            "transaction %s appended %d after it",
                            read.tx["id"], read.key, n, writer.tx["id"],
                            last[writer.tx["id"], read.key])
        for key, text in self.order.items():
            place = {n: i for i, n in enumerate(numbers(text))}
            at = {}
            for n in place:
                if n in self.writers and n not in self.bad:
                    at.setdefault(self.writers[n].tx["id"], []).append(n)
            for tx_id, listed in at.items():
                if len(listed) > 1 and listed != [
                        n for k, n in self.appends[tx_id]
                        if k == key and n in place]:
                    self.report("internal", "transaction %s appended to %s in "
                                "another order than %s", tx_id, key, listed)

    def check_lost(self):
        if self.final is None:
            return
        there = {key: set(numbers(text)) for key, text in self.final.items()}
        empty = set()
        for tx in self.txs:
            if not self.committed(tx):
                continue
            for key, n in self.appends[tx["id"]]:
                if n in there.get(key, empty):
                    continue
                other = self.overwriter(tx, key, there.get(key, empty))
                if other is not None:
                    self.report("lost-update", "%d, appended to %s by "
                                "transaction %s, is gone: transaction %s "
                                "appended to what both had read", n, key,
                                tx["id"], other["id"])
                elif tx["status"] == "ok":
                    self.report("lost-append", "%d, appended to %s by "
                                "transaction %s, which committed, is gone", n,
                                key, tx["id"])
                else:
                    self.report("partial", "%d, appended to %s by transaction "
                                "%s, is not there, but other appends of it "
                                "are or were", n, key, tx["id"])

    def overwriter(self, tx, key, there):
        base = [r.ext for r in self.reads if r.tx is tx and r.key == key]
        if not base:
            return None
        for read in self.reads:
            if read.tx is not tx and read.key == key and read.ext in base:
                if any(k == key and n in there
                       for k, n in self.appends[read.tx["id"]]):
                    return read.tx
        return None

    # ---- cycles

    def committed_order(self, key):
        """[(place in the text, number, transaction)] and the bounds"""
        out, at = [], 0
        text = self.order.get(key, "")
        for part in text.split(",") if text else ():
            at += len(part)
            writer = self.writers.get(int(part))
            if writer and int(part) not in self.bad and writer.key == key \
                    and self.committed(writer.tx):
                out.append((at, int(part), writer.tx))
            at += 1
        return out

    def depend(self):
        """(kind, transaction a, transaction b, read or None, why)"""
        orders, ends = {}, {}
        for key in self.order:
            orders[key] = self.committed_order(key)
            ends[key] = [e[0] for e in orders[key]]
            for (_, m, a), (_, n, b) in zip(orders[key], orders[key][1:]):
                if a is not b:
                    yield "ww", a, b, None, "%s: %d, %d" % (key, m, n)
        for read in self.reads:
            if not is_prefix(read.ext, self.order[read.key]):
                continue
            entries = orders[read.key]
            i = bisect_left(ends[read.key], len(read.ext) + 1)
            if i > 0 and entries[i - 1][2] is not read.tx:
                yield ("wr", entries[i - 1][2], read.tx, read, "%s: %d"
                       % (read.key, entries[i - 1][1]))
            if i < len(entries) and entries[i][2] is not read.tx:
                yield ("rw", read.tx, entries[i][2], read, "%s: not %d"
                       % (read.key, entries[i][1]))

    def check_points(self):
        """Cycles of snapshots and commits; true if there is one."""
        graph = self.graph = Graph()
        events, commits, snapshots, first = [], {}, {}, {}
        for tx in self.txs:
            if self.committed(tx):
                commit = graph.node("commit of %s" % tx["id"])
                commits[tx["id"]] = commit
                sent, returned = tx["commit"]
                events.append((commit, sent, returned))
            done = [op for op in tx["ops"] if op[2] is not None]
            if self.level != "rc":
                done = done[:1]
            for i, op in enumerate(done):
                if self.level == "rc" and op[0] != "r":
                    continue
                node = graph.node(
                    "snapshot of %s" % tx["id"] if self.level != "rc" else
                    "statement %d of %s" % (i + 1, tx["id"]))
                snapshots[id(op)] = node
                first[tx["id"]] = node
                events.append((node, op[1], op[2]))
                if tx["id"] in commits:
                    graph.edge(node, commits[tx["id"]], "po")
        one = self.level != "rc"
        for kind, a, b, read, why in self.depend():
            if kind == "ww":
                graph.edge(commits[a["id"]],
                           first[b["id"]] if one else commits[b["id"]],
                           kind, why)
            else:
                node = (first[read.tx["id"]] if one
                        else snapshots[id(read.op)])
                if kind == "wr":
                    graph.edge(commits[a["id"]], node, kind, why)
                else:
                    graph.edge(node, commits[b["id"]], kind, why)
        graph.real_time(events)
        return self.report_cycles(graph, "G-nonadjacent")

    def check_serial(self):
        """Cycles of whole transactions, after all others were excluded."""
        graph = self.graph = Graph()
        nodes, events = {}, []
        for tx in self.txs:
            if self.committed(tx) and tx["ops"]:
                node = nodes[tx["id"]] = graph.node("%s" % tx["id"])
                events.append((node, tx["ops"][0][1], tx["commit"][1]))
        for kind, a, b, _, why in self.depend():
            if a["id"] in nodes and b["id"] in nodes:
                graph.edge(nodes[a["id"]], nodes[b["id"]], kind, why)
        graph.real_time(events)
        return self.report_cycles(graph, "G2")

    def report_cycles(self, graph, many):
        """many: the name of a cycle with several rw edges"""
        components = graph.components()
        for members in components:
            cycle = graph.least_cycle(members)
            kinds = [kind for _, kind, _ in cycle]
            rw = kinds.count("rw")
            if many == "G2":
                name = "G2"
            elif rw > 0:
                name = "G-single" if rw == 1 else many
            else:
                name = "G1c" if "wr" in kinds else "G0"
            if "rt" in kinds:
                name += "-realtime"
            self.report(name, "%s", graph.describe(cycle))
        return bool(components)


def tail(text):
    if len(text) <= 60:
        return "(%s)" % text
    return "(%d elements ...%s)" % (text.count(",") + 1,
                                    text[text.index(",", len(text) - 50):])


# ---------------------------------------------------------------------------
# Registers: one key, one statement, a transaction of its own each
# ---------------------------------------------------------------------------

# ["w" or "r", key, number or None, began, ended or None, status]
# ["i", key, number or None, ...]: one was added, and this came out

FOREVER = float("inf")


def check_registers(ops):
    found = []
    by_key = defaultdict(list)
    for op in ops:
        by_key[op[1]].append(op)
    for key, listed in by_key.items():
        found += check_register(key, listed)
    return found


def check_register(key, ops):
    found = []
    writes = {op[2]: op for op in ops if op[0] == "w"}
    reads = [op for op in ops if op[0] == "r" and op[5] == "ok"]
    # Where a write has had its effect: at its end, or when it was read.
    effect = {n: op[4] if op[5] == "ok" else FOREVER
              for n, op in writes.items()}
    began = {n: op[3] for n, op in writes.items()}
    began[None], effect[None] = -FOREVER, -FOREVER
    for _, _, n, _, ended, _ in reads:
        if n is not None and n in writes:
            effect[n] = min(effect[n], ended)
    # the latest beginning among the writes that were over by some time
    over = sorted((e, began[n], n) for n, e in effect.items()
                  if e != FOREVER and n is not None)
    times, latest = [], []
    for e, b, n in over:
        times.append(e)
        latest.append(max(latest[-1], (b, n)) if latest else (b, n))
    for _, _, n, start, ended, _ in reads:
        if n is not None and n not in writes:
            found.append(Anomaly("phantom", "register %s: %s was read and "
                                 "never written" % (key, n)))
            continue
        if n is not None and writes[n][5] == "fail":
            found.append(Anomaly("G1a", "register %s: %s was read, whose "
                                 "write failed" % (key, n)))
            continue
        if began[n] > ended:
            found.append(Anomaly("future-read", "register %s: %s was read "
                                 "before it was written" % (key, n)))
        i = bisect_left(times, start)
        if i > 0 and latest[i - 1][0] > effect[n]:
            found.append(Anomaly(
                "stale-read", "register %s: %s was read, although %s was "
                "written after it and before the read"
                % (key, n, latest[i - 1][1])))
    return found


def check_counter(ops, final):
    """Every number came out once, in the order of time, up to the last."""
    found = []
    done = sorted((op[4], op[3], op[2]) for op in ops if op[5] == "ok")
    numbers_seen = [n for _, _, n in done]
    if len(set(numbers_seen)) != len(numbers_seen):
        found.append(Anomaly("duplicate", "counter: a number came out twice"))
    over = sorted((ended, n) for ended, _, n in done)
    times, most = [], []
    for ended, n in over:
        times.append(ended)
        most.append(max(n, most[-1]) if most else n)
    for _, began, n in done:
        i = bisect_left(times, began)
        if i > 0 and most[i - 1] > n:
            found.append(Anomaly("stale-read", "counter: %d came out after "
                                 "%d" % (n, most[i - 1])))
    perhaps = sum(op[5] == "unknown" for op in ops)
    if final is not None and not (len(done) <= final <= len(done) + perhaps):
        found.append(Anomaly("lost-update", "counter: it is %d, %d were added "
                             "and perhaps %d more"
                             % (final, len(done), perhaps)))
    return found


def check(history):
    """history: a dict as it is saved; all anomalies."""
    found = Checker(history["level"], history["transactions"],
                    history.get("final")).run()
    single = history.get("registers", [])
    return (found + check_registers([op for op in single if op[0] != "i"])
            + check_counter([op for op in single if op[0] == "i"],
                            history.get("counter")))


def summary(found, most=3):
    """Lines: each kind with how often, and some of them."""
    by_name = defaultdict(list)
    for anomaly in found:
        by_name[anomaly.name].append(anomaly.text)
    for name, texts in sorted(by_name.items()):
        yield "%s (%d)" % (name, len(texts))
        for text in texts[:most]:
            yield "    " + text
        if len(texts) > most:
            yield "    ..."


def main():
    with open(sys.argv[1], encoding="utf-8") as f:
        history = json.load(f)
    found = check(history)
    for line in summary(found):
        print(line)
    print("%s: %d transactions, %d anomalies" % (
        LEVELS[history["level"]], len(history["transactions"]), len(found)))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
