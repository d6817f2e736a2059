# SPDX-License-Identifier: PostgreSQL
"""The OpenAPI document's examples, and clients that people use."""

import json
import re

from client import *

DOCS = os.path.join(HERE, "../../docs/http")


def operations():
    """(name, method, path, operation) in the document's order."""
    with open(DOCS + "/openapi.json", encoding="utf-8") as f:
        document = json.load(f)
    same(document["openapi"], "3.0.3")
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield operation["operationId"], method, path, operation


def example_of(content):
    kind, media = next(iter(content.items()))
    return kind, media["example"]


def send_example(method, path, operation):
    query, headers = [], {}
    for p in operation.get("parameters", ()):
        value = p.get("example")
        if value is None:
            continue
        if p["in"] == "path":
            path = path.replace("{%s}" % p["name"], quoted(value))
        elif p["in"] == "query":
            query.append((p["name"], str(value)))
        else:
            headers[p["name"]] = value
    if query:
        path += "?" + urllib.parse.urlencode(query)
    body = None
    if "requestBody" in operation:
        kind, body = example_of(operation["requestBody"]["content"])
        headers["Content-Type"] = kind
        if kind == "application/json":
            body = json.dumps(body)
    return request(method.upper(), path, body, headers)


def case_examples_of_the_openapi_document():
    """Each is sent, in order, and answered as the document says."""
    psql("TRUNCATE kv")
    names = set()
    for name, method, path, operation in operations():
        names.add(name)
        answer = send_example(method, path, operation)
        code = str(answer.status)
        check(code in operation["responses"], "%s: %s" % (name, answer))
        check(code == next(iter(operation["responses"])),
              "%s: %s is not the first of its answers" % (name, answer))
        response = operation["responses"][code]
        if "content" not in response:
            same(answer.body, "", name)
            continue
        kind, wanted = example_of(response["content"])
        same(answer.headers["Content-Type"].split(";")[0], kind, name)
        same(answer.json() if kind == "application/json" else answer.body,
             wanted, name)
    same(sorted(names), ["batchPut", "delete", "head", "incr", "multiGet",
                         "put", "range", "rawGet", "rawPut", "read"])


def case_openapi_knows_every_route():
    """The routes of nginx.conf, each with its methods, and no others."""
    with open(DOCS + "/nginx.conf", encoding="utf-8") as f:
        text = f.read()
    routes = re.findall(r"location (?:=|\^~) (/kv/\S+) \{(.*?)\n\t\}", text,
                        re.S)
    want = {}
    for path, block in routes:
        allowed = re.search(r'add_header Allow "?([A-Z, ]+)"? always', block)
        want[path] = sorted(allowed.group(1).split(", "))
    got = {}
    for name, method, path, operation in operations():
        got.setdefault(path.replace("{key}", ""), []).append(method.upper())
    for path in want:
        # a HEAD of what can be read is not written down twice
        have = set(got.get(path, []))
        if "GET" in have:
            have.add("HEAD")
        same(sorted(have | {"HEAD"} if "HEAD" in want[path] else have),
             want[path], path)
    same(sorted(got), sorted(want), "routes")


def case_clients_in_javascript():
    """fetch through nginx, and postgrest-js to PostgREST itself."""
    node = os.environ.get("KVH_NODE")
    modules = os.environ.get("KVH_NODE_MODULES")
    check(node and modules, "no node: run test/tools/deps.sh http")
    done = subprocess.run(
        [node, os.path.join(HERE, "clients.mjs")], text=True, timeout=60,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        env=dict(os.environ, KVH_TOKEN=token("kv_writer"),
                 KVH_READER=token("kv_reader")))
    same(done.returncode, 0, done.stdout)
    same(done.stdout.count("ok - "), 12, done.stdout)
