"""A server in the place of naru's, for what no model of ours would say: it serves the page of a real naru, with its headers,
and answers by scripts. What the last message says is the name of the script."""

import http.client
import http.server
import json
import threading
import time
import urllib.parse

FACTS = {"version": "naru stub", "arithmetic": 1, "parallel": 4, "queue": 16, "answering": 0, "model": "stub",
         "numerics_id": "naru1", "chip": "cpu", "context_length": 4096, "files": None,
         "sampling": {"temperature": 0.6, "top_k": 20, "top_p": 0.95, "min_p": 0, "repetition_penalty": 1, "defaults": "makers"}}
METRICS = """naru_requests_running{model="stub"} 2
naru_requests_waiting{model="stub"} 1
naru_generated_tokens_total{model="stub"} %d
naru_prompt_tokens_total{model="stub"} %d
naru_cache_pages_used{model="stub"} 30
naru_cache_pages_total{model="stub"} 64
process_resident_memory_bytes 734003200
"""


class Cut(Exception):
    """The server goes away."""


class Stub:
    """`scripts`: name -> function(say, body), which calls say(content=, reasoning=) and may raise Cut. `page`: the address of
    a naru whose page it is."""

    def __init__(self, page, scripts, port=0):
        self.page, self.scripts, self.facts = page, scripts, dict(FACTS)
        self.bodies, self.paths, self.is_away, self.n_looks = [], [], False, 0
        stub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.0"

            def log_message(self, *unused):
                pass

            def do_GET(self):
                try:
                    stub.get(self)
                except (BrokenPipeError, ConnectionResetError):
                    pass  # whoever asked has gone

            def do_POST(self):
                stub.post(self)

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.server.shutdown()
        self.server.server_close()

    @staticmethod
    def send(handler, status, body, kind="application/json", fields=()):
        handler.send_response(status)
        handler.send_header("Content-Type", kind)
        handler.send_header("Content-Length", str(len(body)))
        for name, value in fields:
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(body)

    def json(self, handler, value, status=200):
        self.send(handler, status, json.dumps(value).encode())

    def get(self, handler):
        path = urllib.parse.urlsplit(handler.path).path
        self.paths.append(path)
        if self.is_away:
            handler.close_connection = True
        elif path == "/" or path.startswith("/page/"):
            connection = http.client.HTTPConnection(*self.page, timeout=30)
            connection.request("GET", handler.path)
            answer = connection.getresponse()
            body = answer.read()
            fields = [(name, value) for name, value in answer.getheaders()
                      if name.lower() not in ("content-type", "content-length", "connection")]
            self.send(handler, answer.status, body, answer.getheader("content-type"), fields)
            connection.close()
        elif path == "/v1/health":
            self.json(handler, {"status": "ok"})
        elif path == "/v1/server":
            self.json(handler, self.facts)
        elif path == "/v1/metrics":
            self.n_looks += 1
            self.send(handler, 200, (METRICS % (self.n_looks * 200, self.n_looks * 50)).encode(), "text/plain")
        else:
            self.json(handler, {"error": {"message": "there is no such path", "code": "not_found"}}, 404)

    def post(self, handler):
        body = json.loads(handler.rfile.read(int(handler.headers["content-length"])))
        if self.is_away:
            handler.close_connection = True
            return
        self.bodies.append(body)
        name = body["messages"][-1]["content"] if body["messages"][-1]["role"] == "user" else "(prefix)"
        script = self.scripts.get(name) or (lambda say, body: say(content=f"You said: {name}"))
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream; charset=utf-8")
        handler.send_header("x-naru-seed", str(body.get("seed", 1234567)))
        handler.end_headers()
        n = [0]

        def event(value):
            handler.wfile.write(f"data: {json.dumps(value)}\n\n".encode())
            handler.wfile.flush()

        def say(content=None, reasoning=None):
            n[0] += 1
            delta = {name: text for name, text in (("content", content), ("reasoning_content", reasoning)) if text is not None}
            event({"id": "x", "model": "stub", "choices": [{"index": 0, "delta": delta, "finish_reason": None}]})

        try:
            finish = script(say, body) or "stop"
            event({"id": "x", "model": "stub", "choices": [{"index": 0, "delta": {}, "finish_reason": finish}]})
            event({"id": "x", "model": "stub", "choices": [], "usage": {
                "prompt_tokens": 100, "completion_tokens": n[0], "total_tokens": 100 + n[0],
                "prompt_tokens_details": {"cached_tokens": 64}, "completion_tokens_details": {"reasoning_tokens": 0}}})
            handler.wfile.write(b"data: [DONE]\n\n")
        except (Cut, BrokenPipeError, ConnectionResetError):
            pass
        handler.close_connection = True


def at_rate(say, text, per_second, size=4, field="content"):
    """Says a text in pieces of that many characters, evenly."""
    begin, n = time.monotonic(), 0
    for i in range(0, len(text), size):
        say(**{field: text[i:i + size]})
        n += 1
        ahead = begin + n / per_second - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)
