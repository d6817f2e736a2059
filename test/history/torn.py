# SPDX-License-Identifier: PostgreSQL
"""Is what one transaction wrote to a row and to a key ever seen apart?

    python3 torn.py --dsn "host=... dbname=..." --seconds 4 --reads 5000

Writers set a row and a key to the same number in one transaction, and roll
some back after they have written negative numbers.  Readers look at both in
one statement, one transaction with one snapshot, one cursor, one function, or
two sessions with one exported snapshot; what they see must be equal.  Each
pair that is compared counts as a read.
"""

import argparse
import random
import sys
import threading
import time
import traceback

from server import (Failed, Gone, Server, Session, plant, seed_from,
                    unplant, verdict)

WRITERS = 3
SLOTS = 4

SETUP = """
DROP TABLE IF EXISTS torn;
DROP FOREIGN TABLE IF EXISTS torn_kv;
CREATE TABLE torn (k int PRIMARY KEY, v bigint) WITH (fillfactor = 20);
INSERT INTO torn SELECT s, 0 FROM generate_series(1, %(slots)d) s;
SELECT kv_create_store('torn_kv');
SELECT kv_put('t' || s, '0'::text, store => 'torn_kv')
	FROM generate_series(1, %(slots)d) s;

-- The row is locked first; the key is written before it or after it.
CREATE OR REPLACE PROCEDURE torn_write(slot int, n int)
LANGUAGE plpgsql AS $$
DECLARE
	x bigint;
BEGIN
	FOR i IN 1..n LOOP
		SELECT v + 1 INTO x FROM torn WHERE k = slot FOR UPDATE;
		IF i %% 8 = 0 THEN
			PERFORM kv_put('t' || slot, (-x)::text, store => 'torn_kv');
			UPDATE torn SET v = -x WHERE k = slot;
			ROLLBACK;
		ELSIF i %% 2 = 0 THEN
			PERFORM kv_put('t' || slot, x::text, store => 'torn_kv');
			UPDATE torn SET v = x WHERE k = slot;
			COMMIT;
		ELSE
			UPDATE torn SET v = x WHERE k = slot;
			PERFORM kv_put('t' || slot, x::text, store => 'torn_kv');
			COMMIT;
		END IF;
	END LOOP;
END $$;

-- Each iteration is a statement with a snapshot of its own.
CREATE OR REPLACE FUNCTION torn_statements(n int) RETURNS SETOF text
LANGUAGE plpgsql AS $$
DECLARE
	a bigint;
	b bigint;
	s int;
	last bigint[] := array_fill(0::bigint, ARRAY[%(slots)d]);
BEGIN
	FOR i IN 1..n LOOP
		s := 1 + i / 2 %% %(slots)d;
		IF i %% 2 = 0 THEN
			SELECT v, kv_get('t' || s, 'torn_kv') INTO a, b
				FROM torn WHERE k = s;
		ELSE
			SELECT kv_get('t' || s, 'torn_kv'),
				(SELECT v FROM torn WHERE k = s) INTO b, a;
		END IF;
		IF a IS DISTINCT FROM b OR a < last[s] THEN
			RETURN NEXT format('slot %%s: row %%s, key %%s, before %%s', s, a,
							   b, last[s]);
		END IF;
		last[s] := a;
	END LOOP;
END $$;

-- All slots in one statement, by a scan.
CREATE OR REPLACE FUNCTION torn_scans(n int) RETURNS SETOF text
LANGUAGE plpgsql AS $$
BEGIN
	FOR i IN 1..n LOOP
		IF i %% 2 = 0 THEN
			RETURN QUERY SELECT format('row %%s, key %%s', t, r)
				FROM torn t FULL JOIN torn_kv r ON r.key = 't' || k
				WHERE (value #>> '{}')::bigint IS DISTINCT FROM v;
		ELSE
			RETURN QUERY SELECT format('row %%s, key %%s', t, r)
				FROM kv_range(prefix => 't', store => 'torn_kv') r
				FULL JOIN torn t ON r.key = 't' || k
				WHERE value::bigint IS DISTINCT FROM v;
		END IF;
	END LOOP;
END $$;

-- STABLE: both look with the snapshot of the statement that calls.
CREATE OR REPLACE FUNCTION torn_stable(s int) RETURNS text
LANGUAGE plpgsql STABLE AS $$
DECLARE
	a bigint;
	b bigint;
BEGIN
	SELECT v INTO a FROM torn WHERE k = s;
	PERFORM pg_sleep(0.0005);
	b := kv_get('t' || s, 'torn_kv');
	IF a IS DISTINCT FROM b THEN
		RETURN format('slot %%s: row %%s, key %%s', s, a, b);
	END IF;
	RETURN NULL;
END $$;
""" % {"slots": SLOTS}

ROWS = "SELECT k, v FROM torn"
KEYS = ("SELECT substr(key, 2)::int, value::bigint"
        " FROM kv_range(prefix => 't', store => 'torn_kv')")
CURSORS = [
    "SELECT k, v, kv_get('t' || k, 'torn_kv')::bigint"
    " FROM generate_series(1, 25) g, torn",
    "SELECT substr(key, 2)::int,"
    " (SELECT v FROM torn WHERE k = substr(key, 2)::int),"
    " (value #>> '{}')::bigint FROM torn_kv, generate_series(1, 25) g",
]
RR = "BEGIN ISOLATION LEVEL REPEATABLE READ"


class Worker(threading.Thread):
    """Does its work again and again; connects again when it must."""

    def __init__(self, run, kind, number):
        super().__init__(daemon=True)
        self.run_of, self.kind = run, kind
        self.rng = random.Random("%s/%s/%d" % (run.seed, kind, number))
        self.sessions = []
        self.reads = 0
        self.bad = []
        self.trouble = None

    def run(self):
        try:
            while not self.run_of.stop.is_set():
                try:
                    while len(self.sessions) < 2:
                        self.sessions.append(Session(
                            self.run_of.dsn, application_name=self.kind,
                            statement_timeout="60s"))
                    getattr(self, self.kind)(*self.sessions)
                except Gone:
                    for session in self.sessions:
                        session.close()
                    self.sessions = []
                    time.sleep(0.02)
        except Exception:
            self.trouble = traceback.format_exc()
        for session in self.sessions:
            session.close()

    def writes(self, s, _):
        s.run("CALL torn_write(%d, 40)" % self.rng.randint(1, SLOTS))

    def count(self, reads, wrong):
        self.reads += reads
        self.bad += wrong

    def compare(self, rows, want):
        self.count(len(rows), ["slot %s: %s and %s" % (k, v, want.get(k))
                               for k, v in rows
                               if v != want.get(k) or v < 0])

    # ---- readers

    def statement(self, s, _):
        rows = s.run("SELECT torn_statements(2000)")
        self.count(2000, [row[0] for row in rows])

    def scan(self, s, _):
        rows = s.run("SELECT torn_scans(200)")
        self.count(200 * SLOTS, [row[0] for row in rows])

    def snapshot(self, s, _):
        s.run(RR)
        queries = [ROWS, KEYS]
        self.rng.shuffle(queries)
        want = dict(s.run(queries[0]))
        for i in range(10):
            time.sleep(0.002)
            self.compare(s.run(queries[(i + 1) % 2]), want)
        s.run("COMMIT")

    def cursor(self, s, _):
        s.run("BEGIN")
        s.run("DECLARE c CURSOR FOR " + self.rng.choice(CURSORS))
        want = {}
        while True:
            rows = s.run("FETCH 10 FROM c")
            if not rows:
                break
            for k, v, value in rows:
                self.compare([(k, v), (k, value)], {k: want.setdefault(k, v)})
            time.sleep(0.001)
        s.run("COMMIT")

    def function(self, s, _):
        rows = s.run("SELECT torn_stable(1 + g %% %d)"
                     " FROM generate_series(1, 40) g" % SLOTS)
        self.count(40, [row[0] for row in rows if row[0] is not None])

    def exported(self, a, b):
        a.run(RR)
        name = a.run("SELECT pg_export_snapshot()")[0][0]
        b.run(RR)
        b.run("SET TRANSACTION SNAPSHOT '%s'" % name)
        queries = [ROWS, KEYS]
        self.rng.shuffle(queries)
        for _ in range(3):
            want = dict(a.run(queries[0]))
            time.sleep(0.001)
            self.compare(b.run(queries[1]), want)
        a.run("COMMIT")
        b.run("COMMIT")


READERS = ["statement", "statement", "scan", "snapshot", "cursor", "function",
           "exported"]
# where a build that ignores snapshots must be caught
MUST_FIND = ["snapshot", "cursor", "function", "exported"]


class Run:
    def __init__(self, args):
        self.args, self.dsn = args, args.dsn
        self.seed = seed_from(args)
        self.server = Server(args.dsn)
        self.stop = threading.Event()
        self.writers = [Worker(self, "writes", i) for i in range(WRITERS)]
        self.readers = [Worker(self, kind, i)
                        for i, kind in enumerate(READERS)]
        self.kills = 0

    def enough(self, took):
        if took >= self.args.max_seconds:
            return True
        if self.args.plant:
            return all(self.bad_of(kind) for kind in MUST_FIND)
        return (took >= self.args.seconds
                and sum(r.reads for r in self.readers) >= self.args.reads)

    def bad_of(self, kind):
        return [text for r in self.readers if r.kind == kind for text in r.bad]

    def go(self):
        """Seconds that it took."""
        args = self.args
        self.server.wait_ready()
        self.server.run(SETUP)
        if args.plant:
            plant(self.server, args.plant)
        threads = self.writers + self.readers
        start = time.monotonic()
        for thread in threads:
            thread.start()
        flushed, killed = start, start
        while True:
            time.sleep(0.05)
            at = time.monotonic()
            if self.enough(at - start) or any(t.trouble for t in threads):
                break
            if at - flushed > 0.6:
                flushed = at
                self.disturb("SELECT kvlsm_flush(); SELECT kvlsm_compact()")
            if args.kill_every and at - killed > args.kill_every:
                killed = at
                for pid in self.server.workers()[:1]:
                    self.kills += self.server.kill(pid)
        took = time.monotonic() - start
        self.stop.set()
        end = time.monotonic() + 90
        for thread in threads:
            thread.join(max(0, end - time.monotonic()))
            if thread.is_alive():
                thread.trouble = "it does not come to an end"
        if args.plant:
            unplant(self.server, args.plant)
        return took

    def disturb(self, sql):
        try:
            self.server.run(sql)
        except Failed:
            pass                # the store is being recovered

    def report(self, took):
        trouble = [t.trouble for t in self.writers + self.readers if t.trouble]
        writes = self.server.value("SELECT sum(v) FROM torn")
        reads = sum(r.reads for r in self.readers)
        good = verdict(not trouble, "torn reads: all went through",
                       "".join(trouble).split("\n") if trouble else [])
        if not self.args.plant:
            good &= verdict(
                reads >= self.args.reads and writes > 100,
                "torn reads: %d and more" % self.args.reads,
                ["figure: torn reads: seed %s, %.1f s, %d reads in all, %d "
                 "transactions wrote, %d kills" % (self.seed, took, reads,
                                                   writes, self.kills)])
        for kind in dict.fromkeys(READERS):
            bad = self.bad_of(kind)
            n = sum(r.reads for r in self.readers if r.kind == kind)
            lines = ["figure: %s%s: %d reads, %d torn"
                     % (kind, ", " + self.args.plant if self.args.plant
                        else "", n, len(bad))] + bad[:3]
            if not self.args.plant:
                good &= verdict(not bad and n > 0, "torn reads: none in one "
                                + kind, lines)
            elif kind in MUST_FIND:
                good &= verdict(bad, "torn reads: %s: found in one %s"
                                % (self.args.plant, kind), lines)
        return good


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--reads", type=int, default=2000,
                        help="go on until as many pairs were compared")
    parser.add_argument("--max-seconds", type=float, default=3600)
    parser.add_argument("--kill-every", type=float, default=0,
                        help="seconds from one SIGKILL of a worker process "
                        "to the next")
    parser.add_argument("--plant", metavar="BUG",
                        help="a mistake of the server's, which must be found")
    parser.add_argument("--seed")
    args = parser.parse_args()
    run = Run(args)
    return 0 if run.report(run.go()) else 1


if __name__ == "__main__":
    sys.exit(main())
