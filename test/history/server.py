# SPDX-License-Identifier: PostgreSQL
"""What history.py and torn.py share: connections, errors, and a server whose
processes are killed and that comes back."""

import os
import signal
import sys
import time

try:
    import psycopg2
except ImportError:
    sys.exit("error: python3-psycopg2 is not installed; run: "
             "test/tools/deps.sh check")

ERRORS = (psycopg2.Error,)


class Gone(Exception):
    """The connection is lost."""


class Failed(Exception):
    """The statement failed, the connection is there; .code is its SQLSTATE."""

    def __init__(self, code, text):
        super().__init__("%s: %s" % (code, text))
        self.code = code


class Session:
    """One connection, statements as they are; rows are tuples."""

    def __init__(self, dsn, **settings):
        options = " ".join("-c %s=%s" % item for item in settings.items())
        try:
            self.conn = psycopg2.connect(dsn, options=options,
                                         connect_timeout=10)
        except ERRORS as e:
            raise Gone(str(e)) from None
        self.conn.autocommit = True
        self.cursor = self.conn.cursor()
        self.pid = self.conn.get_backend_pid()

    def run(self, sql):
        """Rows of the last statement, None if it has none."""
        try:
            self.cursor.execute(sql)
            return self.cursor.fetchall() if self.cursor.description else None
        except ERRORS as e:
            code = e.pgcode
            text = str(e).strip().split("\n")[0]
            # 57P01 to 57P03: the server ends the session
            if self.conn.closed or code is None or code.startswith("57P"):
                self.close()
                raise Gone(text) from None
            raise Failed(code, text) from None

    def tag(self):
        return self.cursor.statusmessage

    def close(self):
        try:
            self.conn.close()
        except ERRORS:
            pass


class Server:
    """The cluster as the one who disturbs it sees it."""

    def __init__(self, dsn):
        self.dsn = dsn
        self.session = None
        self.run("SELECT 1")
        # every backend is a child of the postmaster, and nothing else of ours
        self.postmaster = parent_of(self.session.pid)

    def run(self, sql, patience=60):
        """On a connection that is made again when it was lost."""
        end = time.monotonic() + patience
        while True:
            try:
                if self.session is None:
                    self.session = Session(self.dsn,
                                           application_name="disturber")
                return self.session.run(sql)
            except Gone:
                self.session = None
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def value(self, sql):
        return self.run(sql)[0][0]

    def wait_until(self, what, sql, patience=60):
        end = time.monotonic() + patience
        while True:
            try:
                if self.value(sql):
                    return
            except Failed:
                pass            # not recovered yet
            if time.monotonic() > end:
                raise RuntimeError("timed out waiting for " + what)
            time.sleep(0.05)

    def wait_ready(self):
        self.wait_until("the store", "SELECT mode = 'normal' AND"
                        " (SELECT count(*) = 1 FROM pg_stat_activity WHERE"
                        " backend_type = 'kvlsm engine worker')"
                        " FROM kvlsm_status()")

    def kill(self, pid):
        """SIGKILL, to a process of this cluster only."""
        if pid is None or parent_of(pid) != self.postmaster:
            return False
        try:
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            return False
        return True

    def workers(self):
        """The engine worker and the compaction worker."""
        rows = self.run("SELECT pid FROM pg_stat_activity"
                        " WHERE backend_type LIKE 'kvlsm%' ORDER BY 1")
        return [row[0] for row in rows]


def parent_of(pid):
    try:
        with open("/proc/%d/stat" % pid, encoding="ascii") as f:
            return int(f.read().rsplit(")", 1)[1].split()[1])
    except OSError:
        return None


# ---- bugs that the build for tests has, and that a name turns on

STOP_SET = """
CREATE OR REPLACE FUNCTION stop_set(text, text) RETURNS void
	AS '$libdir/kvlsm', 'kvlsm_sql_stop_set' LANGUAGE C"""


def plant(server, name):
    server.run(STOP_SET)
    server.run("SELECT stop_set('%s', 'bug')" % name)


def unplant(server, name):
    server.run("SELECT stop_set('%s', NULL)" % name)


def seed_from(args):
    if args.seed is not None:
        return args.seed
    return os.environ.get("KVLSM_SEED") or str(int(time.time() * 1000)
                                               % 1_000_000_000)


def verdict(true, title, lines=()):
    """For the TAP driver."""
    for line in lines:
        print("# " + line)
    print("%s - %s" % ("ok" if true else "not ok", title), flush=True)
    return bool(true)
