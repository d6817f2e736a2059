# SPDX-License-Identifier: PostgreSQL
"""HTTP cases of kvlsm, sent to the servers that run.sh has started.

One line a case; the last line is "http: P passed, F failed".  A case is a
function whose name starts with case_, here or in the modules below, or a
block of golden.http; they run in order.
"""

import decimal
import http.client
import json
import os
import random
import re
import subprocess
import sys
import time
import traceback
import urllib.parse

import conditional
import documents
import hostile
import patience
from client import *

# ---------------------------------------------------------------------------
# Golden requests and answers
# ---------------------------------------------------------------------------

def head_and_body(text):
    head, _, body = text.partition("\n\n")
    lines = head.rstrip("\n").split("\n")
    return lines[0], lines[1:], body.strip("\n")


def golden_blocks():
    with open(HERE + "/golden.http", encoding="utf-8") as f:
        text = f.read()
    for block in re.split(r"(?m)^== ", text)[1:]:
        name, _, rest = block.partition("\n")
        asked, wanted = re.split(r"(?m)^-- ", rest)
        yield name, asked, wanted


def as_pattern(text):
    text = re.escape(text)
    text = text.replace("<any>", ".*")
    return text.replace(
        "<time>", r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?\+00:00")


def golden(asked, wanted):
    line, headers, body = head_and_body(asked)
    method, path, _, role = (line.split(" ") + ["", "", ""])[:4]
    sent = dict(h.split(": ", 1) for h in headers)
    answer = request(method, path, body.encode() or None, sent,
                     role or "writer")

    want_status, want_headers, want_body = head_and_body(wanted)
    check(str(answer.status) == want_status,
          "want %s, got %s" % (want_status, answer))
    for h in want_headers:
        if h.startswith("!"):
            check(h[1:] not in answer.headers, h[1:] + " is there")
        else:
            name, value = h.split(": ", 1)
            same(answer.headers.get_all(name), [value], name)
    check(re.fullmatch(as_pattern(want_body), answer.body, re.S),
          "want body %s, got %s" % (want_body, answer.body))
    if answer.status >= 400 and method != "HEAD":
        same(sorted(answer.json()), FIELDS, "fields of an error")


# ---------------------------------------------------------------------------
# Keys
# ---------------------------------------------------------------------------

KEYS = [
    "a/b", "a//b", "/", "//", "/a", "a/", "a%2Fb", "a+b", "a b", " ", "eq.5",
    "gt.x", "not.in.(1,2)", "is.null", "like.*", "a?b#c&d=e", "?", "#", "&",
    "=", "\"\\", "\"", "'", "\\", "%", "%%", "%zz", "%00", "null", "limit",
    "select", "\u043a\u043b\u044e\u0447", "\U0001f511", "\U0001f469\u200d"
    "\U0001f680", "\r\n", "a\r\nX-Evil: 1", "\n", "\t", "\x01", "\x7f", "a",
    "0", "{}", "[]", "{\"key\":1}", "$1", "${jndi}", "..x", ".x", "a/../b",
    "a/./b", "\u0800", "\ufeff", "\uffff", "\u00e9", "e\u0301", ";", ",", "*",
    "<any>", "k" * 4096, "\u00e9" * 2048, "%" * 4096, "\U0001f511" * 1024,
]


def key_round_trip(key):
    value = "value of " + key[:50]
    same(status(put(key, value), 200).json(), {"key": key}, "put")
    same(status(read(key), 200).json(), {"key": key, "value": value}, "read")
    path = "/kv/delete/" + quoted(key)
    same(status(request("DELETE", path), 200).json(),
         {"key": key, "deleted": True}, "delete")
    status(read(key), 404, "KV404")
    same(read(key).json()["details"], key, "details")


def key_cases():
    for key in KEYS:
        shown = json.dumps(key)
        if len(shown) > 30:
            shown = "%s... (%d bytes)" % (shown[:12], len(key.encode()))
        yield "key: " + shown, key_round_trip, (key,)


def case_key_unencoded_in_path():
    """What need not be encoded in a path may stand there as it is."""
    for key in ("a/b", "a//b", "eq.5", "a+b", "in.(1,2)", "a:b@c!d$e'f*g,h;i="):
        status(put(key, 1), 200)
        answer = status(request("GET", "/kv/read/" + key), 200)
        same(answer.json(), {"key": key, "value": 1}, key)
        status(request("DELETE", "/kv/delete/" + key), 200)


def case_key_one_byte_too_long():
    status(put("k" * 4097, 1), 413, "54000")
    status(put("\u00e9" * 2048 + "x", 1), 413, "54000")


def case_key_dots():
    """Path segments . and .. are resolved by nginx, as documented."""
    for key in (".", "..", "a/.."):
        status(put(key, "dots"), 200)
    status(request("GET", "/kv/read/.."), 404, "KV404")
    status(request("GET", "/kv/read/%2e%2e"), 404, "KV404")
    answer = status(request("GET", "/kv/range?start=..&limit=1"), 200)
    same(answer.json()["items"], [{"key": "..", "value": "dots"}], "range")
    # A path that turns into another route's must not touch that route's key.
    status(put("b", 1), 200)
    status(request("DELETE", "/kv/read/x/../../delete/b"), 400, "22023")
    status(read("b"), 200)
    for key in (".", "..", "a/..", "b"):
        psql("SELECT kv_delete('%s')" % key)


def case_key_plus_in_query_is_space():
    status(put("p q", 1), 200)
    status(put("p+q", 2), 200)
    for query, key in (("p+q", "p q"), ("p%20q", "p q"), ("p%2Bq", "p+q")):
        answer = status(request("GET", "/kv/range?prefix=" + query), 200)
        same([i["key"] for i in answer.json()["items"]], [key], query)
    for key in ("p q", "p+q"):
        status(request("DELETE", "/kv/delete/" + quoted(key)), 200)


def random_key(rng):
    kind = rng.random()
    if kind < 0.3:
        alphabet = "/%+?&=#.\"\\ ~:;,()*'!$@[]{}|^`<>"
    elif kind < 0.5:
        alphabet = "".join(map(chr, range(1, 128)))
    else:
        alphabet = None
    size = int(rng.paretovariate(0.7))
    out = []
    while len(out) < min(size, 200):
        c = rng.choice(alphabet) if alphabet else chr(rng.choice(
            (rng.randint(1, 0x7f), rng.randint(0x80, 0x7ff),
             rng.randint(0x800, 0xffff), rng.randint(0x10000, 0x10ffff))))
        if not 0xd800 <= ord(c) <= 0xdfff:
            out.append(c)
    # A prefix of their own, and no segment that is . or ..
    return "rnd:" + "".join(out) + ":"


def case_random_keys():
    rng = random.Random(SEED)
    want = {}
    while len(want) < 500:
        want[random_key(rng)] = rng.randint(0, 1 << 40)
    keys = sorted(want, key=lambda k: k.encode())
    items = [{"key": k, "value": want[k]} for k in rng.sample(keys, len(keys))]
    why = "seed %d" % SEED
    same(status(request("POST", "/kv/batch-put", json.dumps(
        {"items": items}, ensure_ascii=rng.random() < 0.5)), 200).json(),
        {"count": 500}, why)
    for key in keys:
        same(status(read(key), 200).json(), {"key": key, "value": want[key]},
             why)
    got, after = [], ""
    for _ in range(50):
        page = status(request(
            "GET", "/kv/range?" + urllib.parse.urlencode(
                {"prefix": "rnd:", "after": after, "limit": 17})), 200).json()
        got += page["items"]
        after = page["next"]
        if after is None:
            break
    same([i["key"] for i in got], keys, "pages, " + why)
    same([i["value"] for i in got], [want[k] for k in keys], "values, " + why)
    for key in keys:
        answer = status(request("DELETE", "/kv/delete/" + quoted(key)), 200)
        same(answer.json(), {"key": key, "deleted": True}, why)


# ---------------------------------------------------------------------------
# Values
# ---------------------------------------------------------------------------

VALUES = [
    "null", "true", "false", "0", "-0", "1e400", "-1e-400",
    "12345678901234567890123456789.000000000000000000001", '""', '" "',
    '"null"', '"{\\"a\\":1}"', '"\\u00e9\\ud83d\\udd11\\n\\r\\t\\"\\\\/"',
    "[]", "{}", "[[],{},null]", '{"":""}', '{"key":1,"value":2}',
    "[" * 100 + "]" * 100, '{"a":' * 100 + "1" + "}" * 100,
]


def value_round_trip(text):
    sent = '{"key":"v","value":%s}' % text
    status(request("POST", "/kv/put", sent), 200)
    got = read("v").json()["value"]
    same(got, json.loads(text, parse_float=decimal.Decimal), "put and read")
    status(request("POST", "/kv/batch-put",
                   '{"items":[{"key":"w","value":%s}]}' % text), 200)
    same(read("w").json()["value"], got, "batch-put and read")
    page = request("GET", "/kv/range?start=v&end=x").json()
    same([i["value"] for i in page["items"]], [got, got], "range")
    for key in "vw":
        request("DELETE", "/kv/delete/" + key)


def value_cases():
    for text in VALUES:
        yield ("value: " + (text if len(text) < 40 else text[:30] + "..."),
               value_round_trip, (text,))


def case_value_zero_byte():
    status(request("POST", "/kv/put", '{"key":"v","value":"\\u0000"}'), 400,
           "22P05")
    status(read("v"), 404, "KV404")


def case_value_lone_surrogate():
    status(request("POST", "/kv/put", '{"key":"v","value":"\\ud800"}'), 400)
    status(read("v"), 404, "KV404")


def case_value_duplicate_fields():
    """JSON says nothing about them; the last one counts, as in jsonb."""
    status(request("POST", "/kv/put", '{"key":"v","value":1,"value":2}'), 200)
    same(read("v").json()["value"], 2, "value")
    status(request("DELETE", "/kv/delete/v"), 200)


def case_value_invalid_utf8():
    answer = request("POST", "/kv/put", b'{"key":"v","value":"\xff\xfe"}')
    status(answer, 400)
    status(read("v"), 404, "KV404")


def case_value_too_deep():
    deep = '{"key":"v","value":' + "[" * 200000 + "]" * 200000 + "}"
    answer = request("POST", "/kv/put", deep)
    check(answer.status in (400, 413), str(answer))
    status(read("v"), 404, "KV404")


def case_value_16_mib():
    value = "0123456789abcdef" * (1 << 20)
    status(put("big", value[:-64]), 200)
    same(len(read("big").json()["value"]), len(value) - 64, "length")
    status(put("big", value + "x"), 413, "54000")
    same(len(read("big").json()["value"]), len(value) - 64, "still the old")
    status(request("DELETE", "/kv/delete/big"), 200)


def case_body_too_large():
    """Refused by nginx from its Content-Length, before it is sent."""
    got = raw_exchange(
        b"POST /kv/put HTTP/1.1\r\nHost: x\r\nContent-Type: application/json"
        b"\r\nContent-Length: 30000000\r\n\r\n", wait=1)
    check(got.startswith(b"HTTP/1.1 413 "), repr(got[:200]))
    body = json.loads(got.split(b"\r\n\r\n", 1)[1])
    same(sorted(body), FIELDS, "fields")
    same(body["code"], "KV413", "code")


def case_batch_too_many():
    items = [{"key": "n%d" % i, "value": i} for i in range(10001)]
    answer = request("POST", "/kv/batch-put", json.dumps({"items": items}))
    status(answer, 413, "54000")
    status(read("n0"), 404, "KV404")
    answer = request("POST", "/kv/batch-put",
                     json.dumps({"items": items[:10000]}))
    same(status(answer, 200).json(), {"count": 10000}, "count")
    page = request("GET", "/kv/range?prefix=n&limit=1000&keys_only=1").json()
    same(len(page["items"]), 1000, "a page of the largest size")
    check(page["next"] is not None, "there are more")


def case_request_line_too_long():
    status(request("GET", "/kv/read/" + "a" * 40000), 414, "KV414")


def case_headers_too_large():
    status(request("GET", "/kv/read/a", headers={"X-Long": "a" * 40000}), 431,
           "KV431")


# ---------------------------------------------------------------------------
# SQL and HTTP see the same data
# ---------------------------------------------------------------------------

def case_sql_sees_http():
    status(put("s1", "plain"), 200)
    status(request("POST", "/kv/batch-put", json.dumps(
        {"items": [{"key": "s2", "value": "plain"},
                   {"key": "s3", "value": {"a": 1}}]})), 200)
    same(psql("SELECT kv_get('s1')"), "plain", "a JSON string, by put")
    same(psql("SELECT kv_get('s2')"), "plain", "a JSON string, by batch-put")
    same(psql("SELECT kv_get('s3')"), '{"a": 1}', "an object")


def case_http_sees_sql():
    psql("SELECT kv_put('s4', 'text'), kv_put('s5', '{\"b\":[]}'::jsonb)")
    same(read("s4").json()["value"], "text", "text")
    same(read("s5").json()["value"], {"b": []}, "jsonb")


def case_another_store():
    """The setting kv_http.store leads all five functions elsewhere."""
    psql("CREATE SCHEMA aside")
    psql("SELECT kv_create_store('aside.kv2')")
    got = psql("SET kv_http.store = 'aside.kv2'; "
               "SELECT kv_http.kv_put('{\"key\":\"o1\",\"value\":1}')")
    same(got, '{"key":"o1"}', "put")
    status(read("o1"), 404, "KV404")
    for call, want in (
            ("kv_read('o1')", '{"key":"o1","value":1}'),
            ("kv_batch_put('{\"items\":[{\"key\":\"o2\",\"value\":2}]}')",
             '{"count":1}'),
            ("kv_range('keys_only=1')",
             '{"items":[{"key":"o1"},{"key":"o2"}],"next":null}'),
            ("kv_delete('o1')", '{"key":"o1","deleted":true}')):
        got = psql("SET kv_http.store = 'aside.kv2'; SELECT kv_http." + call)
        same(got, want, call)


def case_time_to_live_ends():
    status(put("t1", 1, ttl_seconds=1), 200)
    status(request("POST", "/kv/batch-put", json.dumps(
        {"items": [{"key": "t2", "value": 1, "ttl_seconds": 1},
                   {"key": "t3", "value": 1}]})), 200)
    status(read("t1"), 200)
    status(read("t2"), 200)
    end = time.time() + 10
    while time.time() < end and (read("t1").status, read("t2").status) != (
            404, 404):
        time.sleep(0.1)
    status(read("t1"), 404, "KV404")
    status(read("t2"), 404, "KV404")
    status(read("t3"), 200)
    page = request("GET", "/kv/range?prefix=t&keys_only=1").json()
    same([i["key"] for i in page["items"]], ["t3"], "range")


# ---------------------------------------------------------------------------
# Who may do what
# ---------------------------------------------------------------------------

ROUTES = [
    ("GET", "/kv/read/role", None, "read"),
    ("GET", "/kv/range?prefix=role", None, "read"),
    ("POST", "/kv/put", '{"key":"role","value":1}', "write"),
    ("POST", "/kv/batch-put", '{"items":[{"key":"role","value":1}]}', "write"),
    ("DELETE", "/kv/delete/role2", None, "write"),
    ("POST", "/kv/multi-get", '{"keys":["role"]}', "read"),
    ("POST", "/kv/incr", '{"key":"role3"}', "write"),
    ("GET", "/kv/raw/role", None, "read"),
    ("PUT", "/kv/raw/role4", b"x", "write"),
]

# name, token, status for reading, status for writing, code when refused
ROLES = [
    ("no token", lambda: None, 401, 401, "42501"),
    ("anonymous role", lambda: token("kv_anon"), 401, 401, "42501"),
    ("reader", lambda: token("kv_reader"), 200, 403, "42501"),
    ("writer", lambda: token("kv_writer"), 200, 200, None),
    ("expired", lambda: token("kv_writer", -60), 401, 401, "PGRST301"),
    ("wrong secret", lambda: token("kv_writer", secret=b"x" * 64), 401, 401,
     "PGRST301"),
    ("algorithm none", lambda: token("kv_writer", alg="none"), 401, 401,
     "PGRST301"),
    ("for another service", lambda: token("kv_writer", aud="other"), 401, 401,
     "PGRST301"),
    ("not yet valid", lambda: token("kv_writer", nbf=int(time.time()) + 900),
     401, 401, "PGRST301"),
    ("superuser", lambda: token("postgres"), 403, 403, "42501"),
    ("the login role itself", lambda: token("kv_authenticator"), 403, 403,
     "42501"),
    ("role that does not exist", lambda: token("kv_none"), 400, 400, "22023"),
    ("role claim is no string", lambda: token({"a": 1}), 400, 400, "22023"),
    ("no JWT at all", lambda: "letmein", 401, 401, "PGRST301"),
]


def role_case(make, reading, writing, code):
    psql("SELECT kv_put('role', '1')")
    bearer = make()
    headers = {"Authorization": "Bearer " + bearer} if bearer else {}
    for method, path, body, kind in ROUTES:
        want = reading if kind == "read" else writing
        answer = request(method, path, body, headers, role="nobody")
        status(answer, want, code if want >= 400 else None)


def role_cases():
    for name, make, reading, writing, code in ROLES:
        yield "role: " + name, role_case, (make, reading, writing, code)


def case_token_of_make_token():
    """The script that the documentation shows makes tokens that work."""
    script = os.path.join(HERE, "../../docs/http/make-token.sh")
    for role, want in (("kv_reader", 403), ("kv_writer", 200)):
        made = subprocess.run([script, DIR + "/http/conf/jwt", role],
                              stdout=subprocess.PIPE, text=True, check=True)
        answer = request("POST", "/kv/put", '{"key":"role","value":1}',
                         {"Authorization": "Bearer " + made.stdout.strip()})
        status(answer, want)


def case_privileges_of_the_table_decide():
    psql("REVOKE DELETE ON kv FROM kv_writer")
    try:
        status(request("DELETE", "/kv/delete/role"), 403, "42501")
        status(put("role", 2), 200)
    finally:
        psql("GRANT DELETE ON kv TO kv_writer")
    status(request("DELETE", "/kv/delete/role"), 200)


def case_nothing_else_is_exposed():
    """PostgREST itself, past nginx, knows the routes' functions only."""
    c = http.client.HTTPConnection("127.0.0.1", REST_PORT, timeout=TIMEOUT)
    for path in ("/", "/kv", "/rpc/kv_get?key=role", "/rpc/kvlsm_stats",
                 "/rpc/store", "/rpc/kv_create_store?name=x"):
        c.request("GET", path, headers=auth("writer"))
        response = c.getresponse()
        response.read()
        same(response.status, 404, path)
    c.close()
    got = psql("SELECT string_agg(proname || '(' || "
               "pg_get_function_identity_arguments(oid) || ')' || "
               "prosecdef, ' ' ORDER BY proname) FROM pg_proc "
               "WHERE pronamespace = 'kv_http'::regnamespace")
    same(got, "kv_batch_put(jsonb)false kv_delete(text)false "
         "kv_incr(jsonb)false kv_multi_get(jsonb)false kv_put(jsonb)false "
         "kv_range(text)false kv_raw_get(text)false kv_raw_put(bytea)false "
         "kv_read(text)false", "functions of kv_http")
    same(psql("SELECT count(*) FROM pg_proc WHERE pronamespace IN "
              "('kv_http'::regnamespace, 'kv_private'::regnamespace) AND "
              "(prosecdef OR obj_description(oid) IS NULL OR "
              "has_function_privilege('kv_anon', oid, 'EXECUTE'))"), "0",
         "functions that are definer's, undescribed or open to all")


# ---------------------------------------------------------------------------
# Headers
# ---------------------------------------------------------------------------

def case_prefer_has_no_effect():
    status(request("POST", "/kv/put", '{"key":"h1","value":1}',
                   {"Prefer": "tx=rollback, params=single-object, "
                    "return=minimal"}), 200)
    same(read("h1").json()["value"], 1, "not rolled back")


def case_profile_has_no_effect():
    for name in ("Accept-Profile", "Content-Profile"):
        status(request("POST", "/kv/put", '{"key":"h1","value":2}',
                       {name: "kv_private"}), 200)
        status(request("GET", "/kv/read/h1", None, {name: "public"}), 200)


def case_accept_has_no_effect():
    for accept in ("text/csv", "application/vnd.pgrst.object+json", "x/y",
                   "application/vnd.pgrst.plan"):
        answer = request("GET", "/kv/read/h1", None, {"Accept": accept})
        same(status(answer, 200).headers["Content-Type"],
             "application/json; charset=utf-8", accept)


def case_range_header_has_no_effect():
    answer = request("GET", "/kv/range?prefix=b:&limit=2", None,
                     {"Range": "0-0", "Range-Unit": "items"})
    status(answer, 200)


def case_underscore_and_duplicate_headers():
    bearer = auth("reader")["Authorization"].encode()
    writer = auth("writer")["Authorization"].encode()
    body = b'{"key":"h2","value":1}'
    tail = (b"Content-Type: application/json\r\nContent-Length: %d\r\n"
            b"Connection: close\r\n\r\n" % len(body)) + body
    got = raw_exchange(
        b"POST /kv/put HTTP/1.1\r\nHost: x\r\nAuthorization: " + bearer +
        b"\r\nHTTP_AUTHORIZATION: " + writer + b"\r\n" + tail)
    check(got.startswith(b"HTTP/1.1 403 "), repr(got[:100]))
    # Of two tokens one is used, never one here and the other there.
    got = raw_exchange(
        b"POST /kv/put HTTP/1.1\r\nHost: x\r\nAuthorization: " + bearer +
        b"\r\nAuthorization: " + writer + b"\r\n" + tail)
    check(got[9:12] in (b"403", b"400"), repr(got[:100]))
    status(read("h2"), 404, "KV404")


def case_ambiguous_length_is_refused():
    token_line = b"Authorization: " + auth("writer")["Authorization"].encode()
    for lines in (b"Content-Length: 5\r\nTransfer-Encoding: chunked",
                  b"Content-Length: 5\r\nContent-Length: 6",
                  b"Transfer-Encoding: chunked, identity",
                  b"Transfer-Encoding: xchunked"):
        got = raw_exchange(
            b"POST /kv/put HTTP/1.1\r\nHost: x\r\n" + token_line +
            b"\r\nContent-Type: application/json\r\n" + lines +
            b"\r\n\r\n0\r\n\r\nGET /kv/read/smuggled HTTP/1.1\r\n"
            b"Host: x\r\n\r\n", wait=2)
        check(got[9:12] in (b"400", b"501"), "%r: %r" % (lines, got[:80]))
        same(got.count(b"HTTP/1.1 "), 1, "answers")


def case_chunked_body():
    body = b'{"key":"h3","value":[1,2,3]}'
    got = raw_exchange(
        b"POST /kv/put HTTP/1.1\r\nHost: x\r\nAuthorization: " +
        auth("writer")["Authorization"].encode() +
        b"\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked"
        b"\r\nConnection: close\r\n\r\n" +
        b"".join(b"1\r\n%c\r\n" % c for c in body) + b"0\r\n\r\n")
    check(got.startswith(b"HTTP/1.1 200 "), repr(got[:200]))
    same(read("h3").json()["value"], [1, 2, 3], "value")


def case_absolute_request_line():
    got = raw_exchange(
        b"GET http://x/kv/read/h3?http://x/kv/read/h1 HTTP/1.1\r\nHost: x\r\n"
        b"Authorization: " + auth("reader")["Authorization"].encode() +
        b"\r\nConnection: close\r\n\r\n")
    check(b'{"key":"h3",' in got, repr(got[:300]))


def case_head_has_no_body():
    got = raw_exchange(
        b"HEAD /kv/read/h3 HTTP/1.1\r\nHost: x\r\nAuthorization: " +
        auth("reader")["Authorization"].encode() +
        b"\r\n\r\nGET /kv/read/none HTTP/1.1\r\nHost: x\r\nAuthorization: " +
        auth("reader")["Authorization"].encode() +
        b"\r\nConnection: close\r\n\r\n")
    first, _, rest = got.partition(b"\r\n\r\n")
    check(first.startswith(b"HTTP/1.1 200 "), repr(first))
    check(rest.startswith(b"HTTP/1.1 404 "), repr(rest[:200]))


# ---------------------------------------------------------------------------
# Transactions, logs, the server's end
# ---------------------------------------------------------------------------

def case_batch_is_all_or_nothing():
    good = [{"key": "x1", "value": 1}, {"key": "x2", "value": 2}]
    for bad, want in (({"key": "x3"}, 400),
                      ({"key": "k" * 4097, "value": 1}, 413),
                      ({"key": "x3", "value": 1, "ttl_seconds": -1}, 400)):
        answer = request("POST", "/kv/batch-put",
                         json.dumps({"items": good + [bad]}))
        status(answer, want)
        for key in ("x1", "x2", "x3"):
            status(read(key), 404, "KV404")


def server_errors():
    with open(DIR + "/pg.log", encoding="utf-8", errors="replace") as f:
        return [line for line in f if re.search(r"\b(ERROR|FATAL|PANIC|"
                                                r"WARNING)\b", line)]


def case_a_miss_leaves_no_line_in_the_log():
    before = server_errors()
    for _ in range(5):
        status(read("missing"), 404, "KV404")
    status(request("HEAD", "/kv/read/missing"), 404)
    status(request("DELETE", "/kv/delete/missing"), 200)
    status(request("DELETE", "/kv/delete/missing?strict=1"), 404)
    status(request("GET", "/kv/range?prefix=missing"), 200)
    same(server_errors()[len(before):], [], "lines")


def case_logs_hold_no_keys_and_no_tokens():
    status(read("secret-key-4711"), 404)
    with open(DIR + "/http/access.log", encoding="utf-8") as f:
        text = f.read()
    check("GET /kv/read 404" in text, "the request is in the access log")
    check("4711" not in text and "Bearer" not in text, "a key or a token")


def case_curl():
    base = "http://127.0.0.1:%d" % PORT
    bearer = "Authorization: " + auth("writer")["Authorization"]

    def curl(*args):
        return subprocess.run(["curl", "-sS", "-m", "20", "-H", bearer]
                              + list(args), stdout=subprocess.PIPE, text=True,
                              check=True).stdout

    same(curl("-H", "Content-Type: application/json", "-d",
              '{"key":"curl","value":{"a":1}}', base + "/kv/put"),
         '{"key":"curl"}', "put")
    same(curl(base + "/kv/read/curl"), '{"key":"curl","value":{"a": 1}}',
         "read")
    same(curl("-G", base + "/kv/range", "--data-urlencode", "prefix=curl"),
         '{"items":[{"key":"curl","value":{"a": 1}}],"next":null}', "range")
    same(curl("-X", "DELETE", base + "/kv/delete/curl"),
         '{"key":"curl","deleted":true}', "delete")


def case_examples_of_the_manual():
    """The curl lines of docs/http.md, as they stand there."""
    with open(os.path.join(HERE, "../../docs/http.md"), encoding="utf-8") as f:
        blocks = re.findall(r"(?s)```sh\n(.*?)```", f.read())
    block = [b for b in blocks if "curl " in b]
    same(len(block), 1, "blocks with curl lines")
    text = block[0]
    for old, new in (("http://127.0.0.1:8080", "http://127.0.0.1:%d" % PORT),
                     ("/etc/kvlsm/jwt", DIR + "/http/conf/jwt"),
                     ("curl ", "curl -sS -m 20 -w '\\n' ")):
        check(old in text, old)
        text = text.replace(old, new)
    done = subprocess.run(["bash", "-eu", "-c", text], text=True, check=True,
                          cwd=os.path.join(HERE, "../.."),
                          stdout=subprocess.PIPE)
    same(done.stdout.split("\n"), [
        '{"key":"user:1"}', '{"key":"user:1","value":{"name": "Ada"}}',
        '{"count":2}', '{"items":[{"key":"a/b","value":1}],"next":null}',
        '{"key":"a/b","deleted":true}', ""], "answers")


# ---------------------------------------------------------------------------

def all_cases():
    for name, asked, wanted in golden_blocks():
        yield name, golden, (asked, wanted)
    yield from key_cases()
    yield from value_cases()
    yield from role_cases()
    for names in (vars(conditional), vars(documents), vars(hostile),
                  globals(), vars(patience)):
        for name, function in list(names.items()):
            if name.startswith("case_"):
                yield name[5:].replace("_", " "), function, ()


def main():
    passed = failed = 0
    try:
        for name, function, args in all_cases():
            try:
                function(*args)
            except Wrong as e:
                failed += 1
                print("FAILED  %s: %s" % (name, e))
            except Exception as e:
                failed += 1
                print("FAILED  %s: %s: %s" % (name, type(e).__name__, e))
                traceback.print_exc(file=sys.stdout)
            else:
                passed += 1
                print("ok      " + name)
    except Exception:
        failed += 1
        traceback.print_exc(file=sys.stdout)
    line = "http: %d passed, %d failed" % (passed, failed)
    print(line)
    with open(DIR + "/count", "w", encoding="utf-8") as f:
        f.write(line + "\n")
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
