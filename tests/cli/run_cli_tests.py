"""Runs the text tests of the command line: tests/cli/*.test against a naru binary. Python's standard library only.

    python3 run_cli_tests.py BINARY [--fixtures tests/fixtures] [--only WORD] [--jobs N]

A file holds cases. A case begins with a line `== what it shows`; the lines behind it are, in any order:

    $ run {models}/llama-gqa/hf hello     arguments, split as a shell does; no shell is involved
    before check --op add --receipt {tmp}/a   a run of its own in front, which ends well
    env NAME=VALUE                        a variable of the environment
    addresses KIB                         `ulimit -v` of the command; passed over under sanitizers, which reserve terabytes
    stdin TEXT                            default: empty; with Python's escapes (\\n, \\xff)
    make DEST TEXT                        a file with this text (escapes as above)
    sign DEST JSON                        a file with this object and its own SHA-256 (src/formats/json_digest.h)
    copy SOURCE DEST                      a file or folder
    cut SOURCE DEST BYTES                 the first BYTES bytes
    flip FILE AT                          the lowest bit of the byte there; -1 is the last one
    patch FILE OLD => NEW                 replaces bytes in a file, once at least
    link TARGET DEST                      a symbolic link
    status N                              wanted exit status; default 0
    out TEXT  /  err TEXT                 must be in standard output / error
    out~ REGEX  /  err~ REGEX             must match there (multi-line)
    out= TEXT                             standard output is exactly this
    json PATH VALUE                       the output is JSON and PATH (a.b.0) has this JSON value
    has PATH                              the output is JSON and has PATH
    no-file NAME  /  file NAME            must not / must exist afterwards
    text NAME TEXT                        a file that has this text afterwards
    link-to NAME TARGET                   a link to this afterwards

{tmp} is a folder of the case's own, {models} and {data} the fixtures. The defaults file is
{tmp}/config/naru/config.toml. Whatever a case says, a failure must leave one message of one line that begins with
"naru: " (a list may follow, indented), no stack trace, and no file named *.partial-*.
"""

import argparse
import concurrent.futures
import hashlib
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
TIMEOUT_SECONDS = 120


def unescape(text):
    """Bytes of a text with Python's escapes; characters beyond ASCII stay what they are."""
    return re.sub(rb"\\(x[0-9a-fA-F]{2}|.)", replace_escape, text.encode())


def replace_escape(match):
    word = match.group(1)
    if word.startswith(b"x"):
        return bytes([int(word[1:], 16)])
    return {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"0": b"\0", b"\\": b"\\"}[word]


def parse(path):
    """[(title, [(word, rest)])] of a file."""
    cases = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        word, _, rest = line.partition(" ")
        if word == "==":
            cases.append((f"{path.name}:{number}: {rest}", []))
        elif not cases:
            raise SystemExit(f"{path}:{number}: a line before the first case")
        else:
            cases[-1][1].append((word, rest))
    return cases


def at_path(value, path):
    for key in path.split("."):
        value = value[int(key)] if isinstance(value, list) else value[key]
    return value


class Case:
    def __init__(self, binary, data, steps, folder):
        self.binary, self.steps, self.folder = binary, steps, folder
        self.names = {"{tmp}": str(folder), "{models}": str(data / "models"), "{data}": str(data)}
        self.problems = []

    def fill(self, text):
        for name, value in self.names.items():
            text = text.replace(name, value)
        return text

    def prepare(self, word, rest):
        if word == "make":
            target, _, text = rest.partition(" ")
            pathlib.Path(target).parent.mkdir(parents=True, exist_ok=True)
            pathlib.Path(target).write_bytes(unescape(text))
        elif word == "sign":
            target, _, text = rest.partition(" ")
            document = json.loads(text)
            compact = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            document["sha256"] = hashlib.sha256(compact.encode()).hexdigest()
            pathlib.Path(target).write_text(json.dumps(document))
        elif word == "copy":
            source, target = rest.split(" ")
            pathlib.Path(target).parent.mkdir(parents=True, exist_ok=True)
            if os.path.isdir(source):
                shutil.copytree(source, target, dirs_exist_ok=True)
            else:
                shutil.copy(source, target)
        elif word == "cut":
            source, target, size = rest.split(" ")
            pathlib.Path(target).write_bytes(pathlib.Path(source).read_bytes()[: int(size)])
        elif word == "flip":
            target, at = rest.split(" ")
            content = bytearray(pathlib.Path(target).read_bytes())
            content[int(at)] ^= 1
            pathlib.Path(target).write_bytes(content)
        elif word == "before":
            done = subprocess.run([self.binary, *shlex.split(rest)], capture_output=True, cwd=self.folder,
                                  timeout=TIMEOUT_SECONDS, check=False)
            self.expect(done.returncode == 0, f"before: status {done.returncode}: {done.stderr.decode(errors='replace')}")
        elif word == "link":
            os.symlink(*rest.split(" "))
        elif word == "patch":
            target, _, change = rest.partition(" ")
            old, new = (unescape(part) for part in change.split(" => "))
            bytes_before = pathlib.Path(target).read_bytes()
            if old not in bytes_before:
                self.problems.append(f"patch: {old!r} is not in {target}")
            pathlib.Path(target).write_bytes(bytes_before.replace(old, new))

    def run(self):
        arguments, environment, stdin, limit = [], dict(os.environ), b"", []
        for name in [n for n in environment if n.startswith("NARU_")]:
            del environment[name]
        environment["XDG_CONFIG_HOME"] = str(self.folder / "config")  # no defaults file of whoever runs this
        for word, rest in self.steps:
            rest = self.fill(rest)
            if word == "$":
                arguments = shlex.split(rest)
            elif word == "env":
                name, _, value = rest.partition("=")
                environment[name] = value
            elif word == "stdin":
                stdin = unescape(rest)
            elif word == "addresses":
                limit = ["sh", "-c", f'ulimit -v {int(rest)} && exec "$@"', "sh"]
            else:
                self.prepare(word, rest)
        try:
            done = subprocess.run([*limit, self.binary, *arguments], input=stdin, capture_output=True, env=environment,
                                  cwd=self.folder, timeout=TIMEOUT_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            self.problems.append(f"no end after {TIMEOUT_SECONDS} s")
            return
        self.out = done.stdout.decode(errors="replace")
        self.err = done.stderr.decode(errors="replace")
        self.check_always(done.returncode)
        for word, rest in self.steps:
            self.check(word, self.fill(rest))
        if self.problems:
            self.problems.append(f"status {done.returncode}\n--- out\n{self.out[:2000]}\n--- err\n{self.err[:2000]}")

    def expect(self, condition, problem):
        if not condition:
            self.problems.append(problem)

    def check_always(self, status):
        wanted = next((int(rest) for word, rest in self.steps if word == "status"), 0)
        self.expect(status == wanted, f"status {status}, wanted {wanted}")
        messages = [line for line in self.err.splitlines() if line.startswith("naru: ") and "naru: note:" not in line]
        self.expect(len(messages) == (1 if wanted not in (0, 141) else 0), f"{len(messages)} messages")
        left = list(self.folder.rglob("*.partial-*"))
        self.expect(not left, f"half-written files: {left}")

    def check(self, word, rest):
        text = self.err if word.startswith("err") else self.out
        if word in ("out", "err"):
            self.expect(rest in text, f"{word}: no {rest!r}")
        elif word in ("out~", "err~"):
            self.expect(re.search(rest, text, re.MULTILINE), f"{word}: nothing matches {rest!r}")
        elif word == "out=":
            self.expect(self.out.encode() == unescape(rest), f"out=: {self.out!r} is not {rest!r}")
        elif word in ("json", "has"):
            self.check_json(word, rest)
        elif word == "file":
            self.expect(os.path.exists(rest), f"no file {rest}")
        elif word == "no-file":
            self.expect(not os.path.exists(rest), f"a file {rest}")
        elif word == "text":
            name, _, text = rest.partition(" ")
            self.expect(pathlib.Path(name).read_bytes() == unescape(text), f"text: another one in {name}")
        elif word == "link-to":
            name, _, target = rest.partition(" ")
            self.expect(os.path.islink(name) and os.readlink(name) == target, f"link-to: {name} is no link to {target}")
        elif word not in ("$", "before", "env", "stdin", "addresses", "make", "sign", "copy", "cut", "flip", "patch", "link",
                          "status"):
            self.problems.append(f"no such line: {word}")

    def check_json(self, word, rest):
        path, _, wanted = rest.partition(" ")
        try:
            found = at_path(json.loads(self.out), path)
        except (ValueError, KeyError, IndexError, TypeError) as problem:
            self.problems.append(f"{word} {path}: {problem!r}")
            return
        if word == "json":
            self.expect(found == json.loads(wanted), f"json {path}: {found!r}, wanted {wanted}")


def run_case(binary, data, title, steps):
    with tempfile.TemporaryDirectory(prefix="naru-cli-") as folder:
        case = Case(binary, data, steps, pathlib.Path(folder))
        case.run()
        return title, case.problems


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--fixtures", type=pathlib.Path, default=HERE.parent / "fixtures")
    parser.add_argument("--only", default="", help="cases whose title has this word")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--sanitized", action="store_true", help="the binary is one of a sanitizer")
    args = parser.parse_args()
    cases = [case for path in sorted(HERE.glob("*.test")) for case in parse(path) if args.only in case[0]]
    if args.sanitized:
        cases = [case for case in cases if all(word != "addresses" for word, _ in case[1])]
    if not cases:
        raise SystemExit("no cases")
    binary, data = args.binary.resolve(), args.fixtures.resolve()
    failed = 0
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        for title, problems in pool.map(lambda case: run_case(binary, data, *case), cases):
            if problems:
                failed += 1
                print(f"FAILED {title}\n  " + "\n  ".join(problems))
    print(f"{len(cases) - failed} of {len(cases)} cases passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
