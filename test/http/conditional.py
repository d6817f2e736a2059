# SPDX-License-Identifier: PostgreSQL
"""Versions and conditions, many keys, counters, binary values."""

import base64
import json
import threading

from client import *

NONE = "0" * 32


def conditional_put(key, value, **headers):
    return request("POST", "/kv/put", json.dumps({"key": key, "value": value}),
                   {n.replace("_", "-"): v for n, v in headers.items()})


def refused(answer, current):
    """A 412 says which version there is now; "" for none."""
    check(answer.status == 412, "want 412, got %s" % answer)
    body = answer.json()
    same(sorted(body), sorted(FIELDS + ["current_version"]), "fields")
    same((body["code"], body["message"]), ("KV412", "precondition failed"))
    same('"%s"' % body["current_version"] if body["current_version"] else None,
         current, "current_version")
    same(answer.headers["ETag"], current, "ETag")


def case_etag_is_the_version_of_the_value():
    status(put("e", 1), 200)
    first = status(read("e"), 200).headers["ETag"]
    check(first[0] == first[-1] == '"' and len(first) == 34, first)
    same(request("HEAD", "/kv/read/e").headers["ETag"], first, "HEAD")
    same(first, '"%s"' % psql("SELECT version FROM kv_entry('e')"), "SQL")
    status(put("e", 2), 200)
    check(read("e").headers["ETag"] != first, "another value, same version")
    status(put("e", 1), 200)
    same(read("e").headers["ETag"], first, "the same value again")
    status(put("e", 1, ttl_seconds=3600), 200)
    check(read("e").headers["ETag"] != first, "a time to live is no change")
    check("ETag" not in read("nothing here").headers, "ETag of nothing")
    check("ETag" not in put("e", 3).headers, "ETag without being asked for")


def case_if_none_match_of_a_read():
    status(put("e", 1), 200)
    etag = read("e").headers["ETag"]
    for sent in (etag, "W/" + etag, '"x", %s' % etag, "*", ' %s ' % etag):
        for method in ("GET", "HEAD"):
            answer = request(method, "/kv/read/e", None,
                             {"If-None-Match": sent})
            same((answer.status, answer.body, answer.headers["ETag"]),
                 (304, "", etag), sent)
    for sent in ('"x"', '"%s"' % NONE, 'W/"x", "y"'):
        status(request("GET", "/kv/read/e", None, {"If-None-Match": sent}), 200)
    for sent in ("x", etag[1:], '"x" "y"', ",", '"x",', "W/x"):
        status(request("GET", "/kv/read/e", None, {"If-None-Match": sent}),
               400, "22023")
    status(request("GET", "/kv/read/none", None, {"If-None-Match": "*"}), 404,
           "KV404")


def case_create_only():
    answer = conditional_put("new", 1, If_None_Match="*")
    status(answer, 200)
    same(answer.json(), {"key": "new"})
    etag = read("new").headers["ETag"]
    same(answer.headers["ETag"], etag, "ETag of the answer")
    refused(conditional_put("new", 2, If_None_Match="*"), etag)
    same(read("new").json()["value"], 1, "value")
    # anything but this version
    refused(conditional_put("new", 2, If_None_Match=etag), etag)
    status(conditional_put("new", 2, If_None_Match='"x"'), 200)
    same(read("new").json()["value"], 2, "value")
    status(request("DELETE", "/kv/delete/new"), 200)


def case_if_match_of_a_put():
    refused(conditional_put("m", 1, If_Match="*"), None)
    refused(conditional_put("m", 1, If_Match='"%s"' % NONE), None)
    status(read("m"), 404, "KV404")
    status(put("m", 1), 200)
    etag = read("m").headers["ETag"]
    answer = status(conditional_put("m", 2, If_Match=etag), 200)
    second = read("m").headers["ETag"]
    same(answer.headers["ETag"], second, "ETag of the answer")
    refused(conditional_put("m", 3, If_Match=etag), second)
    refused(conditional_put("m", 3, If_Match="W/" + second), second)
    status(conditional_put("m", 3, If_Match='"x", %s' % second), 200)
    status(conditional_put("m", 4, If_Match="*"), 200)
    same(read("m").json()["value"], 4, "value")
    # both: the first says yes, the second no
    fourth = read("m").headers["ETag"]
    refused(conditional_put("m", 5, If_Match=fourth, If_None_Match="*"), fourth)
    for sent in ("x", '"x', "", '"a" "b"'):
        answer = conditional_put("m", 5, If_Match=sent)
        if sent:
            status(answer, 400, "22023")
    status(request("DELETE", "/kv/delete/m"), 200)


def case_conditions_of_a_delete():
    path = "/kv/delete/d"
    refused(request("DELETE", path, None, {"If-Match": "*"}), None)
    status(put("d", 1), 200)
    etag = read("d").headers["ETag"]
    refused(request("DELETE", path, None, {"If-Match": '"x"'}), etag)
    refused(request("DELETE", path, None, {"If-None-Match": "*"}), etag)
    same(status(read("d"), 200).json()["value"], 1, "value")
    same(status(request("DELETE", path, None, {"If-Match": etag}), 200).json(),
         {"key": "d", "deleted": True})
    status(read("d"), 404, "KV404")
    same(status(request("DELETE", path, None, {"If-None-Match": "*"}),
                200).json(), {"key": "d", "deleted": False})
    status(read("d"), 404, "KV404")
    # who may read and delete may do this, and no more
    psql("REVOKE INSERT, UPDATE ON kv FROM kv_writer")
    try:
        psql("SELECT kv_put('d', '1')")
        status(request("DELETE", path, None,
                       {"If-Match": read("d").headers["ETag"]}), 200)
        status(conditional_put("d", 1, If_None_Match="*"), 403, "42501")
    finally:
        psql("GRANT INSERT, UPDATE ON kv TO kv_writer")


def in_threads(n, work):
    """work(i) in n threads that begin together; their answers."""
    answers = [None] * n
    gate = threading.Barrier(n)

    def one(i):
        gate.wait()
        try:
            answers[i] = work(i)
        except Exception as e:
            answers[i] = e

    threads = [threading.Thread(target=one, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60)
    for answer in answers:
        if answer is None or isinstance(answer, Exception):
            raise Wrong("a client ended with %r" % (answer,))
    return answers


# Counts the executions of requests, also of those that fail: a sequence is
# not rolled back.
COUNT = """
ALTER FUNCTION kv_private.check_conditions(text, boolean)
	RENAME TO conditions_checked;
CREATE SEQUENCE kv_private.executed;
CREATE FUNCTION kv_private.check_conditions(k text, hold boolean,
	OUT refusal json, OUT existed boolean, OUT current_version text)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE r record;
BEGIN
	PERFORM nextval('kv_private.executed');
	r := kv_private.conditions_checked(k, hold);
	refusal := r.refusal;
	existed := r.existed;
	current_version := r.current_version;
END $$;
GRANT USAGE ON SEQUENCE kv_private.executed TO kv_writer;
GRANT EXECUTE ON FUNCTION kv_private.check_conditions(text, boolean)
	TO kv_writer;
"""
UNCOUNT = """
DROP FUNCTION kv_private.check_conditions(text, boolean);
DROP SEQUENCE kv_private.executed;
ALTER FUNCTION kv_private.conditions_checked(text, boolean)
	RENAME TO check_conditions;
"""


def case_twenty_clients_one_winner_a_round():
    """One 200 a round, and every request executed once: never run again."""
    psql(COUNT)
    try:
        status(put("race", -1), 200)
        rounds = 10
        before = int(psql("SELECT nextval('kv_private.executed')"))
        for n in range(rounds):
            etag = read("race").headers["ETag"]
            answers = in_threads(20, lambda i: conditional_put(
                "race", [n, i], If_Match=etag))
            same(sorted(a.status for a in answers), [200] + [412] * 19,
                 "statuses")
            winner = [a.status for a in answers].index(200)
            same(read("race").json()["value"], [n, winner], "value")
            same(answers[winner].headers["ETag"], read("race").headers["ETag"])
        same(int(psql("SELECT last_value FROM kv_private.executed")) - before,
             rounds * 20, "executions")
    finally:
        psql(UNCOUNT)


def case_twenty_clients_create_one_key():
    answers = in_threads(20, lambda i: conditional_put("only", i,
                                                       If_None_Match="*"))
    same(sorted(a.status for a in answers), [200] + [412] * 19, "statuses")
    same(read("only").json()["value"], [a.status for a in answers].index(200))
    status(request("DELETE", "/kv/delete/only"), 200)


# ---------------------------------------------------------------------------

def multi_get(keys):
    return request("POST", "/kv/multi-get", json.dumps({"keys": keys}))


def case_multi_get():
    for key, value in (("g1", None), ("g/2", {"a": [1]}), ("g 3", "text")):
        status(put(key, value), 200)
    answer = status(multi_get(["g 3", "none", "g1", "g/2", "g 3"]), 200)
    same(answer.json(), {"items": [
        {"key": "g 3", "value": "text"}, {"key": "g1", "value": None},
        {"key": "g/2", "value": {"a": [1]}}, {"key": "g 3", "value": "text"}],
        "missing": ["none"]})
    same(status(multi_get([]), 200).json(), {"items": [], "missing": []})
    same(len(status(multi_get(["x%d" % i for i in range(1000)]),
                    200).json()["missing"]), 1000, "missing")
    status(multi_get(["x"] * 1001), 413, "54000")
    for body in ("{}", '{"keys":"a"}', '{"keys":[1]}', '{"keys":[""]}',
                 '{"keys":[null]}', '{"keys":[],"x":1}', "[]", "7"):
        status(request("POST", "/kv/multi-get", body), 400, "22023")
    status(request("POST", "/kv/multi-get", "{"), 400, "PGRST102")
    status(request("GET", "/kv/multi-get"), 405, "KV405")


def incr(**body):
    return request("POST", "/kv/incr", json.dumps(body))


def case_incr():
    same(status(incr(key="n"), 200).json(),
         {"key": "n", "value": 1, "value_text": "1"})
    same(status(incr(key="n", by=41), 200).json()["value"], 42)
    same(status(incr(key="n", by=-50), 200).json()["value"], -8)
    big = (1 << 63) - 1
    same(status(incr(key="n2", by=big), 200).json(),
         {"key": "n2", "value": big, "value_text": str(big)})
    status(incr(key="n2"), 400, "22003")
    status(put("n3", "x"), 200)
    status(incr(key="n3"), 400, "22P02")
    for body in ({}, {"key": ""}, {"key": 1}, {"key": "n", "by": 1.5},
                 {"key": "n", "by": "1"}, {"key": "n", "by": 1 << 70},
                 {"key": "n", "value": 1}, {"key": "n", "encoding": "base64"},
                 {"key": "n", "ttl_seconds": 0}, {"key": "n", "x": 1}):
        status(request("POST", "/kv/incr", json.dumps(body)), 400)
    # of a new key only
    status(incr(key="n4", ttl_seconds=0.3), 200)
    same(status(incr(key="n4", ttl_seconds=3600), 200).json()["value"], 2)
    time.sleep(0.4)
    status(read("n4"), 404, "KV404")
    status(request("GET", "/kv/incr"), 405, "KV405")


def case_eight_clients_count_to_two_hundred():
    def work(i):
        for _ in range(25):
            status(incr(key="sum"), 200)
        return True

    in_threads(8, work)
    same(read("sum").json()["value"], 200, "sum")


# ---------------------------------------------------------------------------

BYTES = bytes(range(256)) + b"\r\n\r\n--\x00\xff"


def raw_put(key, raw, **headers):
    return request("PUT", "/kv/raw/" + quoted(key), raw,
                   {n.replace("_", "-"): v for n, v in headers.items()})


def raw_get(key, **headers):
    return request("GET", "/kv/raw/" + quoted(key), None,
                   {n.replace("_", "-"): v for n, v in headers.items()})


def case_raw_bytes():
    for key in ("r", "r/a b+c%?&=#", "\u043a\u043b", "eq.5", "r\r\nX-A: 1",
                "k" * 4096):
        same(status(raw_put(key, BYTES), 200).json(), {"key": key})
        answer = status(raw_get(key), 200)
        same(answer.raw, BYTES, "bytes")
        same(answer.headers["Content-Type"], "application/octet-stream")
        same(answer.headers["ETag"], read(key).headers["ETag"], "ETag")
        same(read(key).json()["value"],
             {"$base64": base64.b64encode(BYTES).decode()}, "as JSON")
        status(request("DELETE", "/kv/delete/" + quoted(key)), 200)
    status(raw_put("k" * 4097, b"x"), 413, "54000")
    status(raw_put("empty", b""), 200)
    same(status(raw_get("empty"), 200).raw, b"", "no bytes")
    status(request("DELETE", "/kv/delete/empty"), 200)
    status(request("PUT", "/kv/raw/", b"x"), 400, "22023")


def case_raw_misses_and_methods():
    answer = raw_get("none")
    status(answer, 404, "KV404")
    same(answer.headers["Content-Type"], "application/json; charset=utf-8")
    same(request("HEAD", "/kv/raw/none").status, 404, "HEAD")
    for method in ("POST", "DELETE", "PATCH"):
        answer = request(method, "/kv/raw/r", b"x")
        status(answer, 405, "KV405")
        same(answer.headers["Allow"], "GET, HEAD, PUT")
    # what was stored as text or JSON, as its characters
    status(put("r1", "text \u00e9"), 200)
    same(raw_get("r1").raw, "text \u00e9".encode())
    status(put("r1", [1, {"a": None}]), 200)
    same(raw_get("r1").raw, b'[1, {"a": null}]')
    same(request("HEAD", "/kv/raw/r1").headers["ETag"],
         raw_get("r1").headers["ETag"])


def case_raw_conditions():
    status(raw_put("rc", b"1", If_None_Match="*"), 200)
    etag = raw_get("rc").headers["ETag"]
    refused(raw_put("rc", b"2", If_None_Match="*"), etag)
    status(raw_put("rc", b"3", If_Match=etag), 200)
    refused(raw_put("rc", b"4", If_Match=etag), raw_get("rc").headers["ETag"])
    same(raw_get("rc").raw, b"3")
    same(raw_get("rc", If_None_Match=raw_get("rc").headers["ETag"]).status, 304)
    status(request("PUT", "/kv/raw/rc", b"x", role="reader"), 403, "42501")
    status(request("GET", "/kv/raw/rc", role="nobody"), 401)


def case_base64_in_json():
    def encoded(raw):
        return {"$base64": base64.b64encode(raw).decode()}

    status(put("b64", encoded(BYTES), encoding="base64"), 200)
    same(raw_get("b64").raw, BYTES)
    same(read("b64").json()["value"], encoded(BYTES))
    same(status(request("POST", "/kv/batch-put", json.dumps({"items": [
        {"key": "b64", "value": encoded(b"a"), "encoding": "base64"},
        {"key": "b65", "value": 1},
        {"key": "b64", "value": encoded(b"b"), "encoding": "base64"}]})),
        200).json(), {"count": 3})
    page = request("GET", "/kv/range?prefix=b6").json()
    same([i["value"] for i in page["items"]], [encoded(b"b"), 1], "range")
    same(multi_get(["b64"]).json()["items"][0]["value"], encoded(b"b"))
    # without the field it is an object like any other
    status(put("b64", {"$base64": "!"}), 200)
    same(read("b64").json()["value"], {"$base64": "!"})
    for value in ("YQ==", {"$base64": "!"}, {"$base64": "YQ"}, {}, {"a": 1},
                  {"$base64": 1}, {"$base64": "YQ==", "x": 1}, None):
        status(put("b64", value, encoding="base64"), 400, "22023")
    status(put("b64", encoded(b"a"), encoding="hex"), 400, "22023")
    for key in ("b64", "b65"):
        status(request("DELETE", "/kv/delete/" + key), 200)
