"""A small hub on loopback ports that speaks the API of the Hugging Face hub as far as naru uses it, with faults on demand.
Python's standard library only.

The hub is http://127.0.0.1:PORT; large files are redirected to http://localhost:PORT2, which counts as another host.
Every request is kept in `requests`. `faults[PATH]` is a list: each request for the content of PATH takes the first of
them, unless it is the last and `is_lasting`; PATH is "api" for the listing. A fault is a function of (handler, content).
"""

import hashlib
import http.server
import json
import re
import threading
import urllib.parse

COMMIT = "c0ffee" + "0" * 34
CHUNK = 16384


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def git_blob(content):
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Repository:
    def __init__(self, files, large=(), commit=COMMIT):
        self.files, self.large, self.commit = files, set(large), commit
        self.listing = None  # in the place of the right one
        self.revisions = {"main", commit}
        self.moved_to = None

    def entries(self):
        for path, content in self.files.items():
            entry = {"rfilename": path, "size": len(content), "blobId": git_blob(content)}
            if path in self.large:
                entry["blobId"] = "d" * 40
                entry["lfs"] = {"sha256": sha256(content), "size": len(content), "pointerSize": 134}
            yield entry

    def answer(self):
        if self.listing is not None:
            return self.listing
        return {"_id": "1", "id": "x", "sha": self.commit, "gated": False, "tags": ["a"], "siblings": list(self.entries())}


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass  # clients that are killed, and connections that a fault has cut


class Hub:
    def __init__(self):
        self.repositories, self.faults, self.lasting, self.requests = {}, {}, {}, []
        self.lock, self.end_of_test = threading.Lock(), threading.Event()
        self.reached = threading.Event()  # a handler holds
        self.servers = [Server(("127.0.0.1", 0), self.handler()) for _ in range(2)]
        for server in self.servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.servers[0].server_port}"
        self.storage = f"http://localhost:{self.servers[1].server_port}"

    def close(self):
        self.end_of_test.set()
        for server in self.servers:
            server.shutdown()
            server.server_close()

    def fault(self, path):
        with self.lock:
            queue = self.faults.get(path, [])
            if queue:
                return queue.pop(0)
            return self.lasting.get(path)

    def handler(hub):  # noqa: the class below needs a name for the hub
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            hub_ = hub

            def log_message(self, *_):
                pass

            def do_GET(self):
                parts = urllib.parse.urlsplit(self.path)
                path = urllib.parse.unquote(parts.path)
                with hub.lock:
                    hub.requests.append({"path": path, "range": self.headers.get("Range"),
                                         "token": self.headers.get("Authorization"), "host": self.headers.get("Host")})
                try:
                    self.route(path)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def route(self, path):
                if match := re.fullmatch(r"/api/models/([^/]+/[^/]+)/revision/(.+)", path):
                    return self.list(*match.groups())
                if match := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
                    return self.resolve(*match.groups())
                if match := re.fullmatch(r"/stored/([^/]+/[^/]+)/(.+)", path):
                    return self.serve(hub.repositories[match[1]], match[2])
                return self.refuse(404)

            def list(self, name, revision):
                repository = hub.repositories.get(name)
                if fault := hub.fault("api"):
                    return fault(self, b"")
                if repository is None:
                    return self.refuse(401, "RepoNotFound", "Invalid username or password.")
                if repository.moved_to:
                    return self.redirect(f"/api/models/{repository.moved_to}/revision/{revision}", 307)
                if revision not in repository.revisions:
                    return self.refuse(404, "RevisionNotFound", "Invalid rev id: " + revision)
                return self.send(json.dumps(repository.answer()).encode())

            def resolve(self, name, revision, path):
                repository = hub.repositories[name]
                if revision != repository.commit or path not in repository.files:
                    return self.refuse(404, "EntryNotFound", "Entry not found")
                if path in repository.large:
                    return self.redirect(f"{hub.storage}/stored/{name}/{urllib.parse.quote(path)}?signature=1")
                return self.serve(repository, path)

            def serve(self, repository, path):
                content = repository.files[path]
                fault = hub.fault(path)
                return fault(self, content) if fault else self.send(content)

            def redirect(self, target, status=302):
                self.send_response(status)
                self.send_header("Location", target)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def refuse(self, status, code=None, message=None, headers=()):
                body = json.dumps({"error": message or "no"}).encode()
                self.send_response(status)
                if code:
                    self.send_header("X-Error-Code", code)
                if message:
                    self.send_header("X-Error-Message", message)
                for name, value in headers:
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def begin(self, content, with_ranges=True):
                """The head of a good answer; what is to be sent of the content."""
                wanted = self.headers.get("Range")
                if not wanted or not with_ranges:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(content)))
                    self.end_headers()
                    return content
                first = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
                self.send_header("Content-Length", str(len(content) - first))
                self.end_headers()
                return content[first:]

            def send(self, content, with_ranges=True):
                self.wfile.write(self.begin(content, with_ranges))

        return Handler


# Faults.

def cut(n):
    """The connection ends after n bytes."""
    def fault(handler, content):
        handler.wfile.write(handler.begin(content)[:n])
        handler.wfile.flush()
        handler.close_connection = True
        handler.connection.shutdown(2)
    return fault


def hold(n):
    """n bytes, and then nothing until the test is over."""
    def fault(handler, content):
        handler.wfile.write(handler.begin(content)[:n])
        handler.wfile.flush()
        handler.hub_.reached.set()
        handler.hub_.end_of_test.wait(300)
        handler.close_connection = True
    return fault


def status(number, code=None, message=None, headers=()):
    return lambda handler, content: handler.refuse(number, code, message, headers)


def other(content):
    """Something else in the place of the content."""
    return lambda handler, _: handler.send(content)


def without_length(content):
    """Something else whose length is not said before its end."""
    def fault(handler, _):
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(content)
        handler.close_connection = True
    return fault


def without_ranges(handler, content):
    handler.send(content, with_ranges=False)


def cut_without_ranges(n):
    def fault(handler, content):
        handler.wfile.write(handler.begin(content, with_ranges=False)[:n])
        handler.wfile.flush()
        handler.close_connection = True
        handler.connection.shutdown(2)
    return fault


def wrong_range(handler, content):
    """Another part than the one that was asked for."""
    handler.send_response(206)
    handler.send_header("Content-Range", f"bytes 0-{len(content) - 1}/{len(content)}")
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def to(target):
    return lambda handler, content: handler.redirect(target)
