#!/usr/bin/env python3
"""Holds naru serve to the OpenAPI document that it gives of itself.

    python3 -m venv clients && clients/bin/pip install -r tools/requirements-clients.txt
    clients/bin/python tools/check_openapi.py [--binary build/release/naru] [--only paths,wrong,schemathesis] [--examples 100]

    paths         every path and method of the document is there, and none of them answers 404 or 405
    wrong         every field, at every depth, with every value that its schema does not allow: 4xx, and the error names it
    schemathesis  requests made from the document, valid ones and invalid ones: no server error, no connection that just ends

The exit status is 0 where all is so. --document takes another document than the server's own.
"""

import argparse
import collections
import copy
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import time

try:
    import jsonschema_rs
except ImportError:
    sys.exit("schemathesis and what it brings are not installed: pip install -r tools/requirements-clients.txt")

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests/server"), str(ROOT / "tools/clients")]

from body_schemas import SCHEMAS  # noqa: E402
from server_rig import MODEL, Server  # noqa: E402

TEMPLATE = ROOT / "tests/fixtures/text/families/qwen3.jinja"  # it has places for tools and reasoning
DEPTH_MAX = 6
LONG = "x" * 70000
WRONG = [None, True, 0, -1, 1.5, 1e300, 1 << 70, "", "x", "a\0b", LONG, [], [None], [[]], ["x"], {}, {"a": 1}]
USER = [{"role": "user", "content": "a"}]
BODIES = {  # the least that each path wants, with the shortest answer
    "/v1/chat/completions": {"messages": USER, "max_tokens": 1},
    "/v1/completions": {"prompt": "a", "max_tokens": 1},
    "/v1/responses": {"input": "a", "max_output_tokens": 1},
    "/v1/messages": {"model": "tiny", "messages": USER, "max_tokens": 1},
    "/v1/messages/count_tokens": {"model": "tiny", "messages": USER},
    "/api/chat": {"model": "tiny", "messages": USER, "stream": False, "options": {"num_predict": 1}},
    "/api/generate": {"model": "tiny", "prompt": "a", "stream": False, "options": {"num_predict": 1}},
    "/api/show": {"model": "tiny"},
    "/v1/tokenize": {"prompt": "a"},
    "/tokenize": {"prompt": "a"},
    "/v1/detokenize": {"tokens": [1]},
    "/detokenize": {"tokens": [1]},
    "/v1/apply-template": {"messages": USER},
    "/apply-template": {"messages": USER},
}


class Document:
    def __init__(self, value):
        self.value = value

    def resolve(self, schema):
        while "$ref" in schema:
            at = self.value
            for part in schema["$ref"].removeprefix("#/").split("/"):
                at = at[part.replace("~1", "/").replace("~0", "~")]
            schema = {**at, **{name: value for name, value in schema.items() if name != "$ref"}}
        return schema

    def allows(self, schema, value):
        whole = {**schema, "components": self.value.get("components", {})}
        try:
            return jsonschema_rs.is_valid(whole, value)
        except ValueError as problem:  # a schema that is none
            raise SystemExit(f"the document has a schema that is none: {json.dumps(schema)[:300]}: {problem}") from problem

    def branches(self, schema):
        """The schemas that one of alternatives may follow, each with what all share."""
        schema = self.resolve(schema)
        for kind in ("oneOf", "anyOf"):
            if kind in schema:
                rest = {name: value for name, value in schema.items() if name != kind}
                return [merged for branch in schema[kind] for merged in self.branches(self.merge([rest, branch]))]
        if "allOf" in schema:
            rest = {name: value for name, value in schema.items() if name != "allOf"}
            return self.branches(self.merge([rest, *schema["allOf"]]))
        return [schema]

    def merge(self, schemas):
        merged = {}
        for schema in map(self.resolve, schemas):
            properties = {**merged.get("properties", {}), **schema.get("properties", {})}
            required = [*merged.get("required", []), *schema.get("required", [])]
            merged = {**merged, **schema}
            if properties:
                merged["properties"] = properties
            if required:
                merged["required"] = required
        return merged

    def operations(self):
        for path, methods in self.value["paths"].items():
            for method, operation in methods.items():
                if method in ("get", "post", "put", "delete", "head", "patch"):
                    yield path, method, operation

    def body_schema(self, operation):
        body = self.resolve(operation.get("requestBody", {}))
        return body.get("content", {}).get("application/json", {}).get("schema")

    def sample(self, schema, depth=0):
        """A value that the schema allows: the least of it."""
        schema = self.branches(schema)[0]
        for name in ("const", "example", "default"):
            if name in schema:
                return schema[name]
        for name in ("enum", "examples"):
            if schema.get(name):
                return schema[name][0]
        kind = schema.get("type", "string")
        kind = next((k for k in kind if k != "null"), "null") if isinstance(kind, list) else kind
        if kind == "object":
            return {
                name: self.sample(schema["properties"][name], depth + 1)
                for name in schema.get("required", [])
                if name in schema.get("properties", {})
            }
        if kind == "array":
            return (
                [self.sample(schema.get("items", {}), depth + 1)] * max(1, schema.get("minItems", 1))
                if depth < DEPTH_MAX
                else []
            )
        return {
            "string": "a" * max(1, schema.get("minLength", 1)),
            "integer": max(1, schema.get("minimum", 1)),
            "number": max(1, schema.get("minimum", 1)),
            "boolean": True,
            "null": None,
        }[kind]


# ---- every field, every wrong value


def fields_of(document, schema, base, place=()):
    """(place, schema of the field there, value of its container that holds for it) of every field, at every depth."""
    if len(place) >= DEPTH_MAX * 2:
        return
    seen = set()
    for branch in document.branches(schema):
        for name, field in branch.get("properties", {}).items():
            key = (name, json.dumps(field, sort_keys=True))
            if key in seen:
                continue
            seen.add(key)
            inside = dict(base) if isinstance(base, dict) and document.allows(branch, base) else document.sample(branch)
            if not isinstance(inside, dict):
                continue
            yield (*place, name), field, [(place, inside)]
            for found, deeper, holders in fields_of(document, field, inside.get(name), (*place, name)):
                yield found, deeper, [(place, inside), *holders]
        if "items" in branch and document.branches(branch["items"]):
            held = base[0] if isinstance(base, list) and base else None
            yield (*place, 0), branch["items"], []
            for found, deeper, holders in fields_of(document, branch["items"], held, (*place, 0)):
                yield found, deeper, holders


def put(body, place, value):
    """body with the value at the place; containers on the way are made."""
    if not place:
        return copy.deepcopy(value)
    name, rest = place[0], place[1:]
    if isinstance(name, int):
        body = list(body) if isinstance(body, list) and body else [None]
        body[name] = put(body[name], rest, value)
        return body
    body = dict(body) if isinstance(body, dict) else {}
    body[name] = put(body.get(name), rest, value)
    return body


def written(place):
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def names_it(answer, place):
    """Whether an error says which field it is about: the field, or what it stands in or holds."""
    text = answer.body.decode("utf-8", "replace")
    names = [part for part in place if isinstance(part, str)]
    return any(re.search(rf"(?<![A-Za-z_]){re.escape(name)}(?![A-Za-z_])", text) for name in names[-3:])


def is_ignored(answer, place):
    whole = [written(place[:n]) for n in range(1, len(place) + 1)]
    return any(name in whole for name in answer.fields.get("x-naru-ignored", "").split(", "))


def bodies(document, by_hand, undescribed):
    """(path, method, schema of its body, a body) of all that take one: by the document, and by the list of this check."""
    for path, method, operation in document.operations():
        schema = document.body_schema(operation)
        if schema is None:
            continue
        schemas = [schema] if any("properties" in branch for branch in document.branches(schema)) else []
        if path in SCHEMAS:
            schemas.append(SCHEMAS[path])
        if len(schemas) == 1 and path in SCHEMAS:
            by_hand.append(path)
        if not schemas:
            undescribed.append(path)
        for each in schemas:
            base = BODIES.get(path.removeprefix("/anthropic")) or BODIES.get(f"/v1{path}") or document.sample(each)
            yield path, method, each, base


def check_wrong(args, document, server):
    problems, counts, by_hand, undescribed = [], collections.Counter(), [], []
    for path, method, schema, base in bodies(document, by_hand, undescribed):
        client = server.client()
        for place, field, holders in fields_of(document, schema, base):
            counts["fields"] += 1
            for value in WRONG:
                if document.allows(field, value):
                    continue
                body = base
                for at, inside in holders:
                    body = put(body, at, inside)
                body = put(body, place, value)
                texts = {"prompt", "content", "messages"} - {place[0]}
                if "tokenize" in path and place[0] in ("messages", "content"):  # one of the three texts alone
                    body = {name: part for name, part in body.items() if name not in texts}
                if document.allows(schema, body):  # another branch takes it
                    continue
                answer = client.ask(method.upper(), path, body)
                if not answer.is_open:
                    client.socket.close()
                    client = server.client()
                kind = judge(answer, place, value)
                counts[kind] += 1
                if kind == "otherwise":
                    shown = f"{path} {written(place)} = {json.dumps(value)[:60]}"
                    problems.append(f"{shown}: {answer.status} {answer.body[:300].decode('utf-8', 'replace').strip()}")
        client.socket.close()
    print(f"wrong: {', '.join(f'{n} {what}' for what, n in sorted(counts.items()))}", flush=True)
    if by_hand:
        print(f"wrong: the document says nothing of the fields of {', '.join(by_hand)}: tried by the list of this check")
    if undescribed:
        print(f"wrong: nothing is known of the fields of {', '.join(undescribed)}")
    for problem in problems[: args.shown]:
        print(f"    {problem}")
    return not problems and counts["refused by name"] > 0


def judge(answer, place, value):
    """What became of a wrong value."""
    if 400 <= answer.status < 500 and names_it(answer, place):
        return "refused by name"
    if answer.status == 200 and value is None:
        return "null taken as not given"
    if answer.status == 200 and is_ignored(answer, place):
        return "said to be ignored"
    return "otherwise"


def check_paths(args, document, server):
    del args
    problems, n = [], 0
    for path, method, operation in document.operations():
        n += 1
        where = re.sub(r"\{[^}]*\}", "tiny", path)
        schema = document.body_schema(operation)
        answer = server.ask(method.upper(), where, {} if schema is not None else None)
        is_unknown_name = where != path and b"none of that name is there" in answer.body
        if answer.status in (404, 405, 500, 501) and not is_unknown_name:
            problems.append(f"{method} {path}: {answer.status} {answer.body[:200]!r}")
    print(f"paths: {n} operations, {len(problems)} that are not there")
    for problem in problems:
        print(f"    {problem}")
    return not problems and n > 0


# ---- schemathesis


def check_schemathesis(args, document, server, scratch):
    place = scratch / "openapi.json"
    place.write_text(json.dumps(document.value))
    base = f"http://{server.address[0]}:{server.address[1]}"
    is_good = True
    for mode in ("positive", "negative"):
        begin = time.monotonic()
        command = [
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            str(place),
            "--url",
            base,
            "--mode",
            mode,
            "--checks",
            "not_a_server_error",
            "--max-examples",
            str(args.examples),
            "--seed",
            str(args.seed),
            "--generation-allow-x00",
            "true",
            "--continue-on-failure",
            "--suppress-health-check",
            "all",
            "--request-timeout",
            "60",
            "--warnings",
            "off",
            "--report",
            "ndjson",
            "--report-ndjson-path",
            str(scratch / f"{mode}.ndjson"),
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=scratch)
        statuses = collections.Counter(
            re.findall(
                r'"status_code": ?(\d+)',
                (scratch / f"{mode}.ndjson").read_text() if (scratch / f"{mode}.ndjson").exists() else "",
            )
        )
        told = ", ".join(f"{n} of {status}" for status, n in sorted(statuses.items()))
        print(
            f"schemathesis, {mode}: exit status {done.returncode} after {time.monotonic() - begin:.0f} s; answers: {told}",
            flush=True,
        )
        is_good &= done.returncode == 0
        if done.returncode != 0 or args.verbose:
            print(done.stdout[-6000:], done.stderr[-2000:])
        if not any(status.startswith("2") for status in statuses) and mode == "positive":
            print("    none was answered: the document asks for what the server refuses")
            is_good = False
    return is_good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "build/release/naru"))
    parser.add_argument("--model", type=pathlib.Path, default=MODEL)
    parser.add_argument("--only", default="paths,wrong,schemathesis", metavar="NAMES")
    parser.add_argument("--document", type=pathlib.Path, help="another document than /openapi.json of the server")
    parser.add_argument("--examples", type=int, default=100, help="of schemathesis for each operation; default 100")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shown", type=int, default=40, help="problems that are listed; default 40")
    parser.add_argument("--verbose", action="store_true")
    args = parser.parse_args()
    if not pathlib.Path(args.binary).exists():
        parser.error(f"there is no {args.binary}; build naru, or give --binary")
    failed = []
    template = ["--chat-template", TEMPLATE] if args.model == MODEL else []
    binary = str(pathlib.Path(args.binary).resolve())
    with tempfile.TemporaryDirectory() as scratch, tempfile.TemporaryDirectory() as runs, Server(
        binary, "--parallel", "4", "--context", "1024", "--runs", runs, *template, model=args.model
    ) as server:
        probe = server.ask("POST", "/v1/completions", {"prompt": "probe", "max_tokens": 4, "temperature": 0}).json()["choices"]
        if args.document:
            document = Document(json.loads(args.document.read_text()))
        else:
            answer = server.ask("GET", "/openapi.json")
            if answer.status != 200:
                print(f"the server gives no /openapi.json: {answer.status}")
                return 1
            document = Document(answer.json())
        checks = {
            "paths": check_paths,
            "wrong": check_wrong,
            "schemathesis": lambda *given: check_schemathesis(*given, pathlib.Path(scratch)),
        }
        for name in args.only.split(","):
            if name not in checks:
                parser.error(f"there is no check {name}; one of {', '.join(checks)} was wanted")
            if not checks[name](args, document, server):
                failed.append(name)
        server.wait_for_idle()
        again = server.ask("POST", "/v1/completions", {"prompt": "probe", "max_tokens": 4, "temperature": 0}).json()["choices"]
        if again != probe:
            failed.append("the answer afterwards is another")
    print("all is as the document says" if not failed else f"FAILED: {', '.join(failed)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
