"""A server of ours under test, and clients of raw sockets. Python's standard library only; no network but the loopback."""

import json
import os
import pathlib
import re
import resource
import signal
import socket
import subprocess
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
MODEL = HERE.parent / "fixtures/models/gguf-llama-f32/model.gguf"
WAIT_SECONDS = 60


class Answer:
    """A whole response as it came."""

    def __init__(self, status, fields, body, is_open):
        self.status, self.fields, self.body, self.is_open = status, fields, body, is_open

    def json(self):
        return json.loads(self.body)

    def events(self):
        """Of a stream: what stands behind each data:, the last one [DONE]."""
        events = []
        for part in self.body.decode().split("\n\n")[:-1]:
            assert part.startswith("data: ") or part.startswith(": "), part
            if part.startswith("data: "):
                events.append(part[6:])
        return events


class Client:
    """One connection, to be used with right and wrong bytes."""

    def __init__(self, address):
        if isinstance(address, str):
            self.socket = socket.socket(socket.AF_UNIX)
            self.socket.settimeout(WAIT_SECONDS)
            self.socket.connect(address)
        else:
            self.socket = socket.create_connection(address, timeout=WAIT_SECONDS)
        self.held = b""

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def more(self):
        try:
            data = self.socket.recv(65536)
        except ConnectionResetError:
            data = b""
        self.held += data
        return bool(data)

    def until(self, mark):
        while mark not in self.held:
            assert self.more(), f"the connection ended before {mark!r}: {self.held[-500:]!r}"
        at = self.held.index(mark) + len(mark)
        taken, self.held = self.held[:at], self.held[at:]
        return taken

    def exactly(self, n):
        while len(self.held) < n:
            assert self.more(), f"the connection ended {n - len(self.held)} bytes early"
        taken, self.held = self.held[:n], self.held[n:]
        return taken

    def receive(self, is_head=False):
        """The next response, whichever way its body is framed."""
        lines = self.until(b"\r\n\r\n").decode().split("\r\n")[:-2]
        match = re.fullmatch(r"HTTP/1\.1 (\d+) .*", lines[0])
        assert match, lines[0]
        fields = dict((name.lower(), value) for name, value in (line.split(": ", 1) for line in lines[1:]))
        status = int(match[1])
        if status == 100:
            return Answer(status, fields, b"", True)
        if is_head or status in (204, 304):
            body = b""
        elif fields.get("transfer-encoding") == "chunked":
            body = b""
            while True:
                n = int(self.until(b"\r\n")[:-2], 16)
                chunk = self.exactly(n + 2)
                assert chunk.endswith(b"\r\n")
                body += chunk[:-2]
                if n == 0:
                    break
        elif "content-length" in fields:
            body = self.exactly(int(fields["content-length"]))
        else:
            while self.more():
                pass
            body, self.held = self.held, b""
        return Answer(status, fields, body, fields["connection"] == "keep-alive")

    def is_closed(self):
        """The other side has nothing more to say."""
        assert not self.held, self.held
        return not self.more()

    def ask(self, method, path, body=None, **fields):
        self.send(request(method, path, body, **fields))
        return self.receive(is_head=method == "HEAD")


def request(method, path, body=None, **fields):
    """A well-formed request; a field given as None is left out."""
    lines = {"host": "localhost", **{name.replace("_", "-"): value for name, value in fields.items()}}
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    if body is not None:
        lines.setdefault("content-type", "application/json")
        lines.setdefault("content-length", str(len(data)))
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items() if value is not None)
    return f"{method} {path} HTTP/1.1\r\n{head}\r\n".encode() + data


class Server:
    """naru serve; ended by TERM, and then it must end well. `log`: where its lines go, if not to a file that said() reads;
    `files_max`: descriptors that it may have; `folder`: that it is started in."""

    def __init__(self, binary, *arguments, model=MODEL, environment=None, log=None, files_max=None, folder=None):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("NARU_")}
        self.log = log or tempfile.TemporaryFile()
        defaults = ["--name", "tiny"]
        for name, value in (("--context", "256"), ("--threads", "2")):
            if name not in arguments:
                defaults += [name, value]
        if "--socket" not in arguments and "--port" not in arguments:
            defaults += ["--port", "0"]
        limit = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (files_max, files_max))) if files_max else None
        self.process = subprocess.Popen([os.path.abspath(binary), "serve", str(model), *defaults, *map(str, arguments)], preexec_fn=limit,
                                        stdout=subprocess.PIPE, stderr=self.log, env={**clean, **(environment or {})}, cwd=folder)
        first = self.process.stdout.readline().decode()
        match = re.fullmatch(r"(https?://(.*):(\d+)|unix:(.*)) serves tiny\n", first)
        assert match, (first, self.said())
        self.address = match[4] or (match[2].strip("[]"), int(match[3]))
        self.ready = self.process.stdout.readline().decode()
        assert self.ready.startswith("ready after "), (self.ready, self.said())
        self.lines = [self.process.stdout.readline().decode()]

    def __enter__(self):
        return self

    def __exit__(self, kind, *unused):
        if kind is not None and self.process.poll() is None:
            self.process.kill()
        status = self.end()
        assert kind is not None or status == 0, (status, self.said())

    def client(self):
        return Client(self.address)

    def ask(self, method, path, body=None, **fields):
        with self.client() as client:
            return client.ask(method, path, body, **fields)

    def said(self):
        if not self.log.seekable():
            return ""
        self.log.seek(0)
        return self.log.read().decode()

    def term(self):
        self.process.send_signal(signal.SIGTERM)

    def end(self):
        if self.process.poll() is None:
            self.term()
        try:
            self.process.communicate(timeout=WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return self.process.returncode

    def n_files(self):
        """Descriptors that it has open."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def resident_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) << 10

    def wait_for_idle(self, **fields):
        """Until nothing is being answered; how long that took."""
        begin = time.monotonic()
        while self.ask("GET", "/v1/server", **fields).json()["answering"] > 0:
            assert time.monotonic() - begin < WAIT_SECONDS, "an answer goes on"
            time.sleep(0.005)
        return time.monotonic() - begin


def together(*works):
    """Runs functions at once; the first failure is raised."""
    failures, results = [], [None] * len(works)

    def run(i):
        try:
            results[i] = works[i]()
        except BaseException as problem:  # raised again below
            failures.append(problem)

    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return results
