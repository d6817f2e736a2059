# SPDX-License-Identifier: PostgreSQL
"""What the HTTP cases share: tokens, requests, checks.

Nothing but Python's standard library.
"""

import base64
import decimal
import hashlib
import hmac
import http.client
import json
import os
import socket
import subprocess
import threading
import time
import urllib.parse

DIR = os.environ["KVH_DIR"]
PORT = int(os.environ["KVH_PORT"])
REST_PORT = int(os.environ["KVH_REST_PORT"])
RUN = os.environ["KVH_RUN"]
HERE = os.path.dirname(os.path.abspath(__file__))
SEED = int(os.environ.get("KVH_SEED", "20250101"))
TIMEOUT = 30

FIELDS = ["code", "details", "hint", "message"]


# ---------------------------------------------------------------------------
# Tokens
# ---------------------------------------------------------------------------

def base64url(raw):
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def token(role, seconds=3600, secret=None, alg="HS256", **claims):
    if secret is None:
        with open(DIR + "/http/conf/jwt", "rb") as f:
            secret = f.read()
    body = {"role": role, "aud": "kvlsm", "exp": int(time.time()) + seconds}
    body.update(claims)
    text = "%s.%s" % (
        base64url(json.dumps({"alg": alg, "typ": "JWT"}).encode()),
        base64url(json.dumps(body).encode()))
    if alg == "none":
        return text + "."
    mac = hmac.new(secret, text.encode(), hashlib.sha256).digest()
    return text + "." + base64url(mac)


TOKENS = {}


def auth(role):
    if role == "nobody":
        return {}
    if role not in TOKENS:
        TOKENS[role] = token("kv_" + role)
    return {"Authorization": "Bearer " + TOKENS[role]}


# ---------------------------------------------------------------------------
# Requests
# ---------------------------------------------------------------------------

class Answer:
    def __init__(self, status, headers, raw):
        self.status = status
        self.headers = headers
        self.raw = raw
        self.body = raw.decode(errors="replace")

    def json(self):
        return json.loads(self.body, parse_float=decimal.Decimal)

    def __str__(self):
        return "%s %s" % (self.status, self.body[:300])


kept = threading.local()  # .connection: of each thread


def request(method, path, body=None, headers=None, role="writer",
            timeout=TIMEOUT):
    """One request on a kept connection; path goes out as it is."""
    sent = dict(auth(role))
    if method == "POST":
        sent["Content-Type"] = "application/json"
    sent.update(headers or {})
    if isinstance(body, str):
        body = body.encode()
    for attempt in (1, 2):
        fresh = getattr(kept, "connection", None) is None
        if fresh:
            kept.connection = http.client.HTTPConnection(
                "127.0.0.1", PORT, timeout=timeout)
        try:
            kept.connection.request(method, path, body, sent)
            response = kept.connection.getresponse()
            raw = response.read()
            break
        except (http.client.HTTPException, OSError) as e:
            kept.connection.close()
            kept.connection = None
            if fresh or attempt == 2 or not isinstance(
                    e, (http.client.HTTPException, ConnectionError)):
                raise
    return Answer(response.status, response.headers, raw)


def put(key, value, **more):
    return request("POST", "/kv/put",
                   json.dumps(dict(key=key, value=value, **more)))


def quoted(key):
    return urllib.parse.quote(key, safe="", errors="strict")


def read(key):
    return request("GET", "/kv/read/" + quoted(key))


def raw_exchange(data, wait=5):
    """Bytes to nginx, bytes back until it closes or is silent."""
    with socket.create_connection(("127.0.0.1", PORT), timeout=wait) as s:
        s.sendall(data)
        got = b""
        try:
            while True:
                part = s.recv(65536)
                if not part:
                    break
                got += part
        except socket.timeout:
            pass
        return got


def run(*args):
    done = subprocess.run(["bash", RUN] + list(args), text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          stdin=subprocess.DEVNULL, timeout=60)
    check(done.returncode == 0, "run.sh %s: %s" % (args, done.stderr))
    return done.stdout.rstrip("\n")


def psql(sql):
    return run("psql", DIR, "-c", sql)


# ---------------------------------------------------------------------------
# Checks
# ---------------------------------------------------------------------------

class Wrong(Exception):
    pass


def check(true, why):
    if not true:
        raise Wrong(why)


def same(got, want, what=""):
    if got != want:
        raise Wrong("%s: got %.300r, want %.300r" % (what, got, want))


def status(answer, want, code=None):
    check(answer.status == want, "want %s, got %s" % (want, answer))
    if code is not None:
        same(sorted(answer.json()), FIELDS, "fields of an error")
        same(answer.json()["code"], code, "code")
    return answer
