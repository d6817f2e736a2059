# SPDX-License-Identifier: PostgreSQL
"""Encodings of keys, and headers made to mean two things."""

import json
import re

from client import *

# What stands in the path after "hx:", and the key that it is; None: 400.
ENCODINGS = [
    ("%26role=kv_writer", "&role=kv_writer"), ("%3Fselect=*", "?select=*"),
    ("%3fstrict=1", "?strict=1"), ("%23frag", "#frag"), ("a%2Fb", "a/b"),
    ("a%2fb", "a/b"), ("a//b", "a//b"), ("a%2F%2fb", "a//b"),
    ("%0d%0aX-Evil:%201", "\r\nX-Evil: 1"), ("%0aGET%20/", "\nGET /"),
    ("%2526", "%26"), ("%25%32%36", "%26"), ("%252F", "%2F"), ("%25", "%"),
    ("%2500", "%00"), ("%250d%250a", "%0d%0a"), ("%61%62", "ab"),
    ("%5C", "\\"), ("%5c..%5c", "\\..\\"), ("%22,%22x%22:%22", "\",\"x\":\""),
    ("%27;drop", "';drop"), ("%7B%7D", "{}"), ("$request_uri", "$request_uri"),
    ("%24%7Bx%7D", "${x}"), ("a+b", "a+b"), ("a%2Bb", "a+b"), ("a%20b", "a b"),
    ("eq.5", "eq.5"), ("%65q.5", "eq.5"), ("in.(1)", "in.(1)"),
    ("%C3%A9", "\u00e9"), ("%c3%a9", "\u00e9"), ("e%CC%81", "e\u0301"),
    ("%EF%BB%BF", "\ufeff"), ("%E2%80%AE", "\u202e"),
    ("%F0%9F%94%91", "\U0001f511"), ("%F4%8F%BF%BF", "\U0010ffff"),
    # not UTF-8: overlong, surrogates, too high, cut short
    ("%C0%AF", None), ("%C0%80", None), ("%E0%80%AF", None),
    ("%ED%A0%80", None), ("%ED%A0%BD%ED%B4%91", None),
    ("%F4%90%80%80", None), ("%F5%80%80%80", None), ("%E2%80", None),
    ("%F0%9F%94", None), ("%80", None), ("%FE%FF", None),
    # not percent-encoding
    ("%00", None), ("%", None), ("%4", None), ("%zz", None), ("%u0041", None),
    ("%%34%31", None), ("%-1", None), ("%g1", None),
]
# Each byte alone; . and / are in the list above where they may stand.
ENCODINGS += [("%%%02X_" % c, chr(c) + "_") for c in range(1, 128)]
ENCODINGS += [("%%%02x_" % c, None) for c in range(128, 256)]


def case_three_hundred_encodings():
    """Each names its own key or is refused, on every route with a path."""
    check(len(ENCODINGS) >= 300, "there are %d" % len(ENCODINGS))
    keys = sorted({"hx:" + key for _, key in ENCODINGS if key is not None})
    items = [{"key": key, "value": "of " + key} for key in keys]
    status(request("POST", "/kv/batch-put", json.dumps({"items": items})), 200)
    for encoded, key in ENCODINGS:
        answer = request("GET", "/kv/read/hx:" + encoded)
        raw = request("GET", "/kv/raw/hx:" + encoded)
        if key is None:
            status(answer, 400)
            same(sorted(answer.json()), FIELDS, encoded)
            status(raw, 400)
            status(request("DELETE", "/kv/delete/hx:" + encoded), 400)
            status(request("PUT", "/kv/raw/hx:" + encoded, b"x"), 400)
        else:
            want = {"key": "hx:" + key, "value": "of hx:" + key}
            same(status(answer, 200).json(), want, encoded)
            same(status(raw, 200).raw.decode(), want["value"], encoded)
    left = []
    for key in keys:
        path = "/kv/delete/" + quoted(key)
        left.append(status(request("DELETE", path), 200).json()["deleted"])
    check(all(left), "a refused request removed a key")
    page = request("GET", "/kv/range?prefix=hx:&keys_only=1").json()
    same(page["items"], [], "a refused request made a key")


def exchange(method, path, lines, body=b""):
    """A request with these header lines, in bytes, and its answers."""
    return raw_exchange(
        b"%s %s HTTP/1.1\r\nHost: x\r\n%s\r\nConnection: close\r\n\r\n%s"
        % (method, path, b"\r\n".join(lines), body))


def bearer(role):
    return b"Authorization: " + auth(role)["Authorization"].encode()


def case_header_values_that_are_not_ascii():
    """Refused with four fields; a condition is never lost on the way."""
    status(put("hy", 1), 200)
    length = b"Content-Length: 22"
    body = b'{"key":"hy","value":2}'
    kind = b"Content-Type: application/json"
    for line in (b'If-Match: "\xff"', b'If-Match: \xc3\xa9',
                 b'If-None-Match: "\x80"'):
        got = exchange(b"POST", b"/kv/put",
                       [bearer("writer"), kind, length, line], body)
        check(got.startswith(b"HTTP/1.1 400 "), "%r: %r" % (line, got[:200]))
        # without the sizes of chunks
        same(sorted(json.loads(got[got.index(b"{"):got.rindex(b"}") + 1])),
             FIELDS)
    same(read("hy").json()["value"], 1, "nothing was written")
    got = exchange(b"GET", b"/kv/read/hy", [b"Authorization: Bearer \xff\xfe"])
    check(got.startswith(b"HTTP/1.1 401 "), repr(got[:200]))
    got = exchange(b"PUT", b"/kv/raw/h\xffy",
                   [bearer("writer"), b"Content-Length: 1"], b"x")
    check(got.startswith(b"HTTP/1.1 400 "), repr(got[:200]))
    status(request("DELETE", "/kv/delete/hy"), 200)


def case_folded_and_injected_headers():
    """A folded line, a bare CR or LF, a name with a blank: no second token,
    no key from the client."""
    body = b'{"key":"hz","value":1}'
    tail = [b"Content-Type: application/json", b"Content-Length: 22"]
    writer = bearer("writer")
    for line in (b"X-A: 1\r\n " + writer, b"X-A: 1\r\n\t" + writer,
                 b"X-A: 1\r" + writer, b"Authorization : " + writer[15:],
                 b"X_Authorization: " + writer[15:]):
        got = exchange(b"POST", b"/kv/put", [bearer("reader"), line] + tail,
                       body)
        check(got[9:12] in (b"400", b"403"), "%r: %r" % (line[:20], got[:99]))
    status(read("hz"), 404, "KV404")
    got = exchange(b"PUT", b"/kv/raw/hz1",
                   [writer, b"X-KV-Key: hz2", b"x_kv_key: hz3",
                    b"Content-Length: 1"], b"x")
    check(b'{"key":"hz1"}' in got, repr(got))
    status(read("hz2"), 404, "KV404")
    status(request("DELETE", "/kv/delete/hz1"), 200)


def case_a_body_is_no_second_request():
    """Whatever the two lengths say, what follows them is never executed."""
    inner = (b"POST /kv/put HTTP/1.1\r\nHost: x\r\n" + bearer("writer") +
             b"\r\nContent-Type: application/json\r\nContent-Length: 22\r\n"
             b'\r\n{"key":"sm","value":1}')
    for lines in ([b"Content-Length: 4", b"Transfer-Encoding: chunked"],
                  [b"Transfer-Encoding: chunked", b"Content-Length: 4"],
                  [b"Transfer-Encoding: chunked", b"Transfer-Encoding: x"],
                  [b"Transfer-Encoding : chunked", b"Content-Length: 5"],
                  [b"Content-Length: +5"], [b"Content-Length: 5, 5"],
                  [b"Content-Length: -1"], [b"Content-Length: 0x5"]):
        got = raw_exchange(
            b"POST /kv/incr HTTP/1.1\r\nHost: x\r\n" + bearer("reader") +
            b"\r\nContent-Type: application/json\r\n" + b"\r\n".join(lines) +
            b"\r\n\r\n0\r\n\r\n" + inner, wait=2)
        first = re.match(rb"HTTP/1.1 (\d+)", got)
        check(first and first[1] in (b"400", b"501"), "%r: %r" % (lines, got))
        same(got.count(b"HTTP/1.1 "), 1, "answers to %r" % lines)
        status(read("sm"), 404, "KV404")
