# SPDX-License-Identifier: PostgreSQL
"""Runs random transactions at one isolation level and has them checked.

    python3 history.py --dsn "host=... dbname=..." --level rr --seconds 8

Twelve clients read lists and append to them: 8 keys of a store and 2 rows of
a table, in the same transactions.  Lists that have become long are left alone
and others take their places.  Now and then a client writes or reads a
register instead, one statement that is a transaction.  Meanwhile queries are
cancelled, files are flushed and merged, and a backend or the engine worker is
killed, which makes the server restart all processes.

With --rows all lists are rows: PostgreSQL's own isolation is known to be
right, so an anomaly would be a mistake of the checker's.

What a transaction does follows from the seed; when it does it, does not.  The
history is checked by checker.py, and saved if something was found.
"""

import argparse
import collections
import json
import os
import random
import sys
import threading
import time
import traceback

import checker
from server import (Failed, Gone, Server, Session, plant, seed_from,
                    unplant, verdict)

CLIENTS = 12
KEYS = 8
ROWS = 2
SLOTS = KEYS + ROWS     # all of them rows with --rows
LIST_MAX = 120          # appends to one list, then another one follows
ROW_LISTS = 2000        # rows made in advance for each slot
REGISTERS = 3

SETUP = """
DROP TABLE IF EXISTS lists, registers;
CREATE TABLE lists (k text PRIMARY KEY, v text NOT NULL)
	WITH (fillfactor = 50);
INSERT INTO lists SELECT 'h' || s || '.' || g, ''
	FROM generate_series(0, %d) s, generate_series(0, %d) g;
CREATE TABLE registers (k text PRIMARY KEY, v int);
INSERT INTO registers SELECT 'h' || i, NULL FROM generate_series(0, %d) i;
DELETE FROM kv;
CREATE OR REPLACE FUNCTION list_append(k text, n text) RETURNS text
LANGUAGE plpgsql AS $$
DECLARE
	list text;
BEGIN
	-- the attempt locks the key; what comes after it sees the newest list
	INSERT INTO kv VALUES (k, to_jsonb(n)) ON CONFLICT DO NOTHING;
	IF FOUND THEN
		RETURN n;
	END IF;
	list := kv_get(k) || ',' || n;
	PERFORM kv_put(k, list);
	RETURN list;
END $$;
""" % (SLOTS - 1, ROW_LISTS - 1, REGISTERS - 1)

SETTINGS = {"statement_timeout": "20s", "deadlock_timeout": "20ms",
            "client_min_messages": "error"}
LEVEL_SETTING = {"rc": "read\\ committed", "rr": "repeatable\\ read",
                 "ser": "serializable"}

KEY_READS = [
    "SELECT kv_get('%(k)s')",
    "SELECT value FROM kv_multi_get(ARRAY['%(k)s'])",
    "SELECT value FROM kv_range(start_key => '%(k)s', end_key => '%(k)s!')",
    "SELECT value #>> '{}' FROM kv WHERE key = '%(k)s'",
]
ROW_READ = "SELECT v FROM lists WHERE k = '%(k)s'"
ROW_APPEND = ("UPDATE lists SET v = CASE v WHEN '' THEN '%(n)d'"
              " ELSE v || ',%(n)d' END WHERE k = '%(k)s' RETURNING v")
KEY_APPEND = "SELECT list_append('%(k)s', '%(n)d')"
KEY_FOR_UPDATE = ("SELECT value #>> '{}' FROM kv WHERE key = '%(k)s'"
                  " FOR UPDATE")
KEY_ENTRY = "SELECT value #>> '{}', version FROM kv_entry('%(k)s')"
# The key, the list that was read, its version, the new list: put on condition
KEY_CONDITIONS = [
    "SELECT kv_cas('%(k)s', '%(old)s', '%(new)s')",
    "SELECT kv_put_if_version('%(k)s', to_jsonb('%(new)s'::text),"
    " '%(version)s')",
    "SELECT (kv_batch('[{\"op\": \"check\", \"key\": \"%(k)s\","
    " \"value\": \"%(old)s\"}, {\"op\": \"put\", \"key\": \"%(k)s\","
    " \"value\": \"%(new)s\"}]')->>'ok')::bool",
]
KEY_IF_ABSENT = "SELECT kv_put_if_absent('%(k)s', '%(new)s'::text)"
KEY_UPDATE = ("UPDATE kv SET value = to_jsonb((value #>> '{}') || ',%(n)d')"
              " WHERE key = '%(k)s' RETURNING value #>> '{}'")
KEY_INSERT = "INSERT INTO kv VALUES ('%(k)s', to_jsonb('%(n)d'::text))"

# deadlock, cancel, an INSERT that comes second; serialization elsewhere
EXPECTED = {"rc": {"40P01", "57014", "23505"}}
EXPECTED["rr"] = EXPECTED["ser"] = EXPECTED["rc"] | {"40001"}

now = time.monotonic_ns


class Lists:
    """Which list stands in each slot; shared by the clients."""

    def __init__(self, keys):
        self.keys = keys
        self.lock = threading.Lock()
        self.generation = [0] * SLOTS
        self.appends = [0] * SLOTS

    def key(self, slot):
        number = self.generation[slot]
        if slot < self.keys:
            return "k%d.%d" % (slot, number)
        return "h%d.%d" % (slot - self.keys, number)

    def key_to_append(self, slot):
        with self.lock:
            self.appends[slot] += 1
            if self.appends[slot] > LIST_MAX:
                self.appends[slot] = 0
                if self.generation[slot] < ROW_LISTS - 1:
                    self.generation[slot] += 1
            return self.key(slot)


class Client(threading.Thread):
    def __init__(self, run, number):
        super().__init__(daemon=True)
        self.run_of = run
        self.keys = run.lists.keys
        self.number = number
        self.rng = random.Random("%s/%d" % (run.seed, number))
        self.session = None
        self.pid = None
        self.count = 0              # of numbers that were used
        self.txs = []
        self.registers = []
        self.codes = collections.Counter()
        self.committed = 0
        self.trouble = None

    def run(self):
        try:
            while not self.run_of.stop.is_set():
                try:
                    self.turn()
                except Gone:
                    self.session = self.pid = None
                    time.sleep(0.02)
        except Exception:
            self.trouble = traceback.format_exc()
        if self.session is not None:
            self.session.close()

    def turn(self):
        if self.session is None:
            self.session = Session(
                self.run_of.dsn, application_name="client%d" % self.number,
                default_transaction_isolation=LEVEL_SETTING[
                    self.run_of.level], **SETTINGS)
            self.pid = self.session.pid
        if self.rng.random() < 0.15:
            self.register()
        else:
            self.transaction()

    def number_to_use(self):
        self.count += 1
        return self.count * CLIENTS + self.number

    def failed(self, error):
        self.codes[error.code] += 1
        if (error.code not in EXPECTED[self.run_of.level]
                or "timeout" in str(error)):
            self.run_of.unexpected[str(error)] += 1

    # ---- transactions

    def transaction(self):
        rng = self.rng
        tx = {"id": "T%d.%d" % (self.number, len(self.txs)),
              "status": "fail", "commit": None, "ops": []}
        self.txs.append(tx)
        self.before = "BEGIN; "
        try:
            for _ in range(rng.randint(1, 5)):
                self.step(tx["ops"])
            if rng.random() < 0.05:
                self.session.run("ROLLBACK")
                return
            tx["status"] = "unknown"
            tx["commit"] = [now(), None]
            self.session.run("COMMIT")
            tx["commit"][1] = now()
            if self.session.tag() != "COMMIT":
                raise RuntimeError("COMMIT said " + self.session.tag())
            tx["status"] = "ok"
            self.committed += 1
        except Failed as e:
            tx["status"] = "fail"
            self.failed(e)
            self.roll_back()

    def roll_back(self):
        """A cancel that comes late may hit this, too."""
        for _ in range(5):
            try:
                self.session.run("ROLLBACK")
                return
            except Failed as e:
                self.failed(e)
        self.session.close()
        raise Gone("cannot roll back")

    def statement(self, sql):
        before, self.before = self.before, ""
        return self.session.run(before + sql)

    def step(self, ops):
        rng = self.rng
        slot = rng.randrange(SLOTS)
        kind = rng.random()
        if kind < 0.15:
            self.read_all(ops)
        elif kind < 0.5:
            self.read(ops, slot, self.run_of.lists.key(slot))
        elif kind < 0.54:
            self.append_and_undo(ops, slot)
        else:
            self.append(ops, slot)

    def read(self, ops, slot, key, form=None):
        """The list; its version, where the form has one, is kept."""
        if form is None:
            form = self.rng.choice(KEY_READS) if slot < self.keys else ROW_READ
        began = now()
        rows = self.statement(form % {"k": key})
        text = rows[0][0] or "" if rows else ""
        ops.append(["r", began, now(), {key: text}])
        self.version = rows[0][-1] if rows else None
        return text

    def read_all(self, ops):
        """One statement, keys and rows."""
        names = [self.run_of.lists.key(slot) for slot in range(SLOTS)]
        sql = ("SELECT key, value FROM kv_multi_get('{%s}')"
               " UNION ALL SELECT k, v FROM lists WHERE k = ANY('{%s}')"
               % (",".join(names[:self.keys]), ",".join(names[self.keys:])))
        began = now()
        rows = self.statement(sql)
        ops.append(["r", began, now(), {k: v or "" for k, v in rows}])

    def append(self, ops, slot):
        key = self.run_of.lists.key_to_append(slot)
        form = self.rng.random()
        if slot < self.keys and form < 0.25:
            self.append_on_condition(ops, key)
            return
        if slot < self.keys and form < 0.35:
            self.read_then_put(ops, slot, key, KEY_FOR_UPDATE)
            return
        if slot < self.keys and self.run_of.level != "rc" and form < 0.65:
            self.read_then_put(ops, slot, key)
            return
        n = self.number_to_use()
        op = ["a", now(), None, key, n]
        ops.append(op)
        text = self.append_in_one(slot, key, n, form < 0.8)
        op[2] = now()
        if text is not None:
            ops.append(["r", op[1], op[2], {key: text}])

    def append_in_one(self, slot, key, n, as_function):
        what = {"k": key, "n": n}
        if slot >= self.keys:
            return self.statement(ROW_APPEND % what)[0][0]
        if as_function:
            return self.statement(KEY_APPEND % what)[0][0]
        rows = self.statement(KEY_UPDATE % what)
        if rows:
            return rows[0][0]
        self.statement(KEY_INSERT % what)
        return None

    def read_then_put(self, ops, slot, key, form=None):
        """
        With one snapshot, who writes to what has changed must fail; FOR
        UPDATE locks what it finds and finds the newest.
        """
        text = self.read(ops, slot, key, form)
        if form is not None and text == "":
            return              # nothing was locked
        n = self.number_to_use()
        op = ["a", now(), None, key, n]
        ops.append(op)
        self.statement("SELECT kv_put('%s', '%s'::text)" % (
            key, "%s,%d" % (text, n) if text else str(n)))
        op[2] = now()

    def append_on_condition(self, ops, key):
        """
        If the list has changed since it was read nothing is written, but the
        key is locked, so that a second attempt succeeds.
        """
        form = self.rng.choice(KEY_CONDITIONS)
        for attempt in range(2):
            text = self.read(ops, 0, key, KEY_ENTRY)
            n = self.number_to_use()
            what = {"k": key, "old": text, "version": self.version,
                    "new": "%s,%d" % (text, n) if text else str(n)}
            op = ["a", now(), None, key, n]
            ops.append(op)
            done = self.statement((form if text else KEY_IF_ABSENT) % what)
            op[2] = now()
            if done[0][0]:
                return
            op[0] = "u"         # must not be seen
            if attempt > 0 or self.run_of.level != "rc":
                self.run_of.unexpected["false, of a key that was locked or "
                                       "seen in the snapshot: " + form] += 1
                return

    def append_and_undo(self, ops, slot):
        key = self.run_of.lists.key_to_append(slot)
        n = self.number_to_use()
        op = ["u", now(), None, key, n]
        ops.append(op)
        form = KEY_APPEND if slot < self.keys else ROW_APPEND
        self.statement("SAVEPOINT s; %s; ROLLBACK TO SAVEPOINT s"
                       % (form % {"k": key, "n": n}))
        op[2] = now()

    # ---- registers

    def register(self):
        which = self.rng.randrange(0 if self.keys else REGISTERS,
                                   2 * REGISTERS)
        is_key = which < REGISTERS
        name = ("r%d" if is_key else "h%d") % (which % REGISTERS)
        kind = self.rng.random()
        if is_key and kind < 0.2:
            op = ["i", "counter", None, now(), None, "unknown"]
            sql = "SELECT kv_incr('counter')"
        elif kind < 0.6:
            n = self.number_to_use()
            op = ["w", name, n, now(), None, "unknown"]
            sql = ("SELECT %s('%s', '%d'::text)"
                   % ("kv_swap" if kind < 0.4 else "kv_put", name, n)
                   if is_key else
                   "UPDATE registers SET v = %d WHERE k = '%s'" % (n, name))
        else:
            op = ["r", name, None, now(), None, "unknown"]
            sql = ("SELECT kv_get('%s')::int" if is_key else
                   "SELECT v FROM registers WHERE k = '%s'") % name
        self.registers.append(op)
        try:
            rows = self.session.run(sql)
            op[4] = now()
            op[5] = "ok"
            if op[0] != "w":
                op[2] = rows[0][0]
            elif "kv_swap" in sql:
                # what it found; the lock came before, the write after
                old = rows[0][0]
                self.registers.append(["r", name, int(old) if old else None,
                                       op[3], op[4], "ok"])
        except Failed as e:
            op[5] = "fail"
            self.failed(e)


class Disturber(threading.Thread):
    """Cancels, kills, flushes and merges until the run stops."""

    def __init__(self, run, kill_every):
        super().__init__(daemon=True)
        self.run_of = run
        self.kill_every = kill_every
        self.rng = random.Random("%s/disturber" % run.seed)
        self.done = collections.Counter()
        self.trouble = None

    def run(self):
        try:
            self.work()
        except Exception:
            self.trouble = traceback.format_exc()

    def work(self):
        due = {"cancel": 0.3, "flush": 0.7}
        if self.kill_every:
            due["kill"] = self.kill_every * 0.7
        start = time.monotonic()
        while not self.run_of.stop.is_set():
            time.sleep(0.005)
            at = time.monotonic() - start
            for what, when in due.items():
                if at < when:
                    continue
                mean = {"cancel": 0.05, "flush": 1.0,
                        "kill": self.kill_every}[what]
                getattr(self, what)()
                at = time.monotonic() - start
                due[what] = at + mean * (0.7 + 0.6 * self.rng.random())

    def cancel(self):
        pid = self.rng.choice(self.run_of.clients).pid
        if pid is not None:
            self.attempt("SELECT pg_cancel_backend(%d)" % pid)
            self.done["cancels"] += 1

    def flush(self):
        self.attempt("SELECT kvlsm_flush()")
        self.done["flushes"] += 1
        if self.rng.random() < 0.3:
            self.attempt("SELECT kvlsm_compact()")
            self.done["compactions"] += 1

    def attempt(self, sql):
        try:
            self.run_of.server.run(sql)
        except Failed:
            pass                # the store is being recovered

    def kill(self):
        server = self.run_of.server
        if (self.done["killed backends"] + self.done["killed workers"]) % 2:
            if server.kill(self.rng.choice(server.workers() or [None])):
                self.done["killed workers"] += 1
        elif server.kill(self.rng.choice(self.run_of.clients).pid):
            self.done["killed backends"] += 1


class Run:
    def __init__(self, args):
        self.args = args
        self.dsn, self.level = args.dsn, args.level
        self.seed = seed_from(args)
        self.server = Server(args.dsn)
        self.stop = threading.Event()
        self.lists = Lists(0 if args.rows else KEYS)
        self.unexpected = collections.Counter()
        self.clients = [Client(self, i) for i in range(CLIENTS)]
        self.disturber = Disturber(self, args.kill_every)

    def go(self):
        """Seconds that it took."""
        args = self.args
        self.server.wait_ready()
        self.server.run(SETUP)
        if args.plant:
            plant(self.server, args.plant)
        start = time.monotonic()
        threads = self.clients + [self.disturber]
        for thread in threads:
            thread.start()
        while True:
            time.sleep(0.1)
            took = time.monotonic() - start
            if took >= args.max_seconds or any(t.trouble for t in threads):
                break
            if took >= args.seconds and self.committed() >= args.transactions:
                break
        self.stop.set()
        end = time.monotonic() + 60
        for thread in threads:
            thread.join(max(0, end - time.monotonic()))
        if any(thread.is_alive() for thread in threads):
            self.give_up()
        if args.plant:
            unplant(self.server, args.plant)
        return took

    def give_up(self):
        verdict(False, self.level + ": all clients come to an end", [
            "%s" % (row,) for row in self.server.run(
                "SELECT pid, state, wait_event_type, wait_event, query"
                " FROM pg_stat_activity WHERE backend_type ="
                " 'client backend'")])
        os._exit(1)

    def committed(self):
        return sum(client.committed for client in self.clients)

    def last_look(self):
        """({key: list}, what two ways to read it disagree about)"""
        self.server.wait_ready()
        final, last = {}, ""
        while True:
            rows = self.server.run("SELECT * FROM kv_range(prefix => 'k',"
                                   " after_key => '%s', max_rows => 1000)"
                                   % (last or "k"))
            if not rows:
                break
            final.update(rows)
            last = rows[-1][0]
        other = dict(self.server.run("SELECT key, value #>> '{}' FROM kv"
                                     " WHERE key LIKE 'k%'"))
        differ = sorted(k for k in set(final) | set(other)
                        if final.get(k) != other.get(k))
        final.update(self.server.run("SELECT k, v FROM lists WHERE v <> ''"))
        self.counter = self.server.value("SELECT kv_get('counter')::bigint")
        return final, differ

    def figures(self, took):
        txs = [tx for c in self.clients for tx in c.txs]
        count = collections.Counter(tx["status"] for tx in txs)
        codes = sum((c.codes for c in self.clients), collections.Counter())
        ops = collections.Counter(op[0] for tx in txs for op in tx["ops"])
        reads = sum(len(op[3]) for tx in txs for op in tx["ops"]
                    if op[0] == "r")
        kind = (", rows only" if self.args.rows else
                ", " + self.args.plant if self.args.plant else "")
        yield "%s%s: seed %s, %.1f s, %d transactions: ok %d, fail %d, " \
            "unknown %d" % (checker.LEVELS[self.level], kind, self.seed, took,
                            len(txs), count["ok"], count["fail"],
                            count["unknown"])
        yield "errors: " + ", ".join("%s %d" % c for c in
                                     sorted(codes.items()))
        yield "%d lists read in %d statements, %d appends, %d undone; " \
            "%d uses of registers" % (
                reads, ops["r"], ops["a"], ops["u"],
                sum(len(c.registers) for c in self.clients))
        yield "disturbed: " + ", ".join("%d %s" % (n, what) for what, n in
                                        sorted(self.disturber.done.items()))

    def report(self, took):
        name = self.level + (", rows only" if self.args.rows else "")
        threads = self.clients + [self.disturber]
        trouble = [t.trouble for t in threads if t.trouble]
        final, differ = self.last_look()
        good = verdict(not trouble, name + ": the clients went through",
                       "".join(trouble).split("\n") if trouble else [])
        wanted = max(self.args.transactions, 100)
        good &= verdict(self.committed() >= wanted or self.args.plant,
                        "%s: %d transactions and more" % (name, wanted),
                        ["figure: " + line for line in self.figures(took)])
        good &= verdict(not self.unexpected, name + ": no other errors than "
                        "those of the level and of cancelling",
                        ["%d x %s" % (n, text) for text, n in
                         self.unexpected.most_common(10)])
        good &= verdict(not differ, name + ": kv_range and the foreign table "
                        "agree at the end", differ[:5])
        history = {
            "level": self.level, "seed": self.seed, "final": final,
            "counter": self.counter,
            "transactions": [tx for c in self.clients for tx in c.txs],
            "registers": [op for c in self.clients for op in c.registers]}
        start = time.monotonic()
        found = checker.check(history)
        lines = list(checker.summary(found))
        lines.append("checked in %.1f s" % (time.monotonic() - start))
        if found and self.args.save and not self.args.plant:
            with open(self.args.save, "w", encoding="utf-8") as f:
                json.dump(history, f)
            lines.append("the history is in " + self.args.save)
        if self.args.plant:
            return good & verdict(found, "%s: %s: found"
                                  % (name, self.args.plant), lines)
        return good & verdict(not found, name + ": no anomaly", lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--level", choices=sorted(checker.LEVELS),
                        required=True)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--transactions", type=int, default=0,
                        help="go on until as many have committed")
    parser.add_argument("--max-seconds", type=float, default=3600)
    parser.add_argument("--rows", action="store_true",
                        help="no keys: finds what the checker gets wrong")
    parser.add_argument("--kill-every", type=float, default=0,
                        help="seconds from one SIGKILL to the next")
    parser.add_argument("--plant", metavar="BUG",
                        help="a mistake of the server's, which must be found")
    parser.add_argument("--seed")
    parser.add_argument("--save", help="where a history with anomalies goes")
    args = parser.parse_args()
    run = Run(args)
    return 0 if run.report(run.go()) else 1


if __name__ == "__main__":
    sys.exit(main())
