# SPDX-License-Identifier: PostgreSQL
"""What takes its time: slow clients, held keys, a server that is away."""

import json
import socket
import threading

from client import *


def slow_clients():
    """Two clients that stop in the middle; how long nginx bears them."""
    bearer = auth("writer")["Authorization"].encode()
    started = [b"POST /kv/put HTTP/1.1\r\nHost: x\r\nAuth",
               b"POST /kv/put HTTP/1.1\r\nHost: x\r\nAuthorization: " + bearer +
               b"\r\nContent-Type: application/json\r\nContent-Length: 40\r\n"
               b"\r\n{\"key\":\"slow\","]
    ended = {}

    def one(i):
        begin = time.time()
        raw_exchange(started[i], wait=30)
        ended[i] = time.time() - begin

    threads = [threading.Thread(target=one, args=(i,)) for i in range(2)]
    for t in threads:
        t.start()
    return threads, ended


SLOW = slow_clients()


def case_others_are_served_beside_slow_ones():
    for _ in range(20):
        begin = time.time()
        status(put("fast", 1), 200)
        check(time.time() - begin < 2, "it waited")


def holding(key, seconds):
    """A session that holds the key of a transaction for so long."""
    held = subprocess.Popen(
        ["bash", RUN, "psql", DIR, "-c", "BEGIN", "-c",
         "SELECT kv_incr('%s')" % key, "-c", "SELECT pg_sleep(%s)" % seconds,
         "-c", "ROLLBACK"], stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.time() + 10
    while time.time() < end and psql(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE "
            "'SELECT pg_sleep(%%' AND state = 'active'") == "0":
        time.sleep(0.05)
    return held


def case_a_held_key_is_409_with_retry_after():
    """After lock_timeout, 5 s in roles.sql; other keys are not held."""
    held = holding("held", 8)
    try:
        status(put("not held", 1), 200)
        answer = request("POST", "/kv/incr", '{"key":"held"}')
        status(answer, 409, "55P03")
        same(answer.headers["Retry-After"], "1")
    finally:
        held.wait(20)
    status(request("POST", "/kv/incr", '{"key":"held"}'), 200)


def mode(name):
    psql("ALTER SYSTEM SET kvlsm.mode = '%s'" % name)
    psql("SELECT pg_reload_conf()")


def wait_for(wanted, work):
    end = time.time() + 15
    while time.time() < end:
        answer = work()
        if answer.status == wanted:
            return answer
        time.sleep(0.1)
    raise Wrong("it never answered %s, but %s" % (wanted, answer))


def case_a_store_that_is_off_is_503_with_retry_after():
    status(put("off", 1), 200)
    mode("readonly")
    try:
        answer = wait_for(503, lambda: put("off", 2))
        status(answer, 503, "55000")
        same(answer.headers.get_all("Retry-After"), ["1"], str(answer))
        same(status(read("off"), 200).json()["value"], 1)
        mode("off")
        for work in (lambda: read("off"), lambda: put("off", 2),
                     lambda: request("GET", "/kv/range"),
                     lambda: request("DELETE", "/kv/delete/off"),
                     lambda: request("POST", "/kv/multi-get",
                                     '{"keys":["off"]}'),
                     lambda: request("POST", "/kv/batch-put",
                                     '{"items":[{"key":"off","value":2}]}')):
            answer = wait_for(503, work)
            status(answer, 503, "55000")
            same(answer.headers.get_all("Retry-After"), ["1"], str(answer))
    finally:
        mode("normal")
    same(wait_for(200, lambda: read("off")).json()["value"], 1)
    wait_for(200, lambda: put("off", 3))


def case_slow_clients_are_sent_away():
    """client_header_timeout and client_body_timeout, 10 s in nginx.conf."""
    threads, ended = SLOW
    for t in threads:
        t.join(25)
    same(sorted(ended), [0, 1], "clients that were sent away")
    for i in ended:
        check(8 < ended[i] < 20, "after %s s" % ended[i])
    status(read("slow"), 404, "KV404")


def is_away(answer):
    """Whether it is what docs/http.md allows while the database is away.

    PostgREST answers 400 with an empty code to a request whose connection
    broke before the server could say anything (PostgREST issue 4681).
    """
    if sorted(answer.json()) != FIELDS:
        return False
    if answer.status == 400:
        return answer.json() == dict(code="", message="", details=None,
                                     hint=None)
    return answer.status in (500, 503, 504)


class Load:
    """Clients that put until they are told to stop."""

    def __init__(self, clients):
        self.stop = False
        self.acknowledged = {}
        self.slowest = 0
        self.wrong = []
        self.threads = [threading.Thread(target=self.run, args=(i,))
                        for i in range(clients)]
        for t in self.threads:
            t.start()

    def run(self, i):
        n = 0
        while not self.stop:
            n += 1
            begin = time.time()
            try:
                answer = put("load:%d:%d" % (i, n), n)
                if answer.status == 200:
                    self.acknowledged["load:%d:%d" % (i, n)] = n
                elif not is_away(answer):
                    self.wrong.append(str(answer))
            except (OSError, http.client.HTTPException) as e:
                self.wrong.append(repr(e))
            self.slowest = max(self.slowest, time.time() - begin)

    def end(self):
        self.stop = True
        for t in self.threads:
            t.join(30)


def case_server_killed_under_load_and_back():
    """Refused at once while it is away, and back by itself, data and all."""
    load = Load(4)
    time.sleep(0.5)
    run("kill", DIR)
    begin = time.time()
    answer = request("GET", "/kv/read/off", timeout=15)
    check(is_away(answer), str(answer))
    check(time.time() - begin < 5, "it hung")
    run("restart", DIR)
    wait_for(200, lambda: put("back", 1))
    time.sleep(0.5)
    load.end()
    same(load.wrong, [], "answers")
    check(load.slowest < 15, "the slowest request took %s s" % load.slowest)
    check(len(load.acknowledged) > 20, "a load of %d" % len(load.acknowledged))
    keys = sorted(load.acknowledged)
    for i in range(0, len(keys), 1000):
        got = status(request("POST", "/kv/multi-get", json.dumps(
            {"keys": keys[i:i + 1000]})), 200).json()
        same(got["missing"], [], "acknowledged, and lost")
        for item in got["items"]:
            same(item["value"], load.acknowledged[item["key"]], item["key"])
