"""What a server must bear: bytes that are no HTTP, bodies that are no JSON, slow and many clients. After each of them it
answers as before."""

import json
import random
import resource
import time

import crowd
from server_rig import Server, request, together

GOOD = {"prompt": "probe", "max_tokens": 4, "temperature": 0}


class Probe:
    """An answer that stays the same, whatever was done to the server."""

    def __init__(self, server):
        self.server = server
        self.wanted = self.ask()

    def ask(self):
        answer = self.server.ask("POST", "/v1/completions", GOOD)
        assert answer.status == 200, answer.body
        return answer.json()["choices"]

    def check(self, what):
        assert self.ask() == self.wanted, what


def chunked(*chunks):
    head = "POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n"
    return head.encode() + b"".join(chunks)


def test_bytes_that_are_no_http(binary):
    host = "host: localhost\r\n"
    post = f"POST /v1/completions HTTP/1.1\r\n{host}"
    cases = [
        (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
        (b"\x00" * 100 + b"\r\n\r\n", 400),
        ("GET /health\r\n\r\n", 400),
        ("GET /health HTTP/3.0\r\n\r\n", 505),
        (f"GET /health HTTP/1.1\r\n{host}{host}\r\n", 400),
        ("GET /health HTTP/1.1\r\n\r\n", 400),
        (f"GET /health HTTP/1.1\n{host}\n\n", 400),
        (f"GET /health HTTP/1.1\r\n{host}a: b\r\n c\r\n\r\n", 400),
        (f"GET /he%00alth HTTP/1.1\r\n{host}\r\n", 404),
        (f"GET /../../etc/passwd HTTP/1.1\r\n{host}\r\n", 404),
        (f"CONNECT other:80 HTTP/1.1\r\n{host}\r\n", 400),
        (f"GET /{'a' * 40000} HTTP/1.1\r\n{host}\r\n", 431),
        (f"GET /health HTTP/1.1\r\n{host}" + "a: b\r\n" * 101 + "\r\n", 431),
        (f"{post}content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n", 400),
        (f"{post}content-length: 9000000\r\n\r\n", 413),
        (f"{post}content-length: -5\r\n\r\n", 400),
        (f"{post}content-length: 5\r\ncontent-length: 5\r\n\r\nhello", 400),
        (f"{post}transfer-encoding: gzip\r\n\r\n", 400),
        (f"{post}content-length: 2\r\nexpect: miracles\r\n\r\n{{}}", 417),
        (f"{post}content-length: 2\r\ncontent-type: text/plain\r\n\r\n{{}}", 415),
        (f"{post}content-length: 2\r\ncontent-encoding: gzip\r\n\r\n{{}}", 415),
        (chunked(b"-2\r\nab\r\n"), 400),
        (chunked(b"ffffffffffffffffff\r\n"), 400),
        (chunked(b"2\r\nabc\r\n0\r\n\r\n"), 400),
        (chunked(b"2;" + b"x" * 6000), 400),
        (chunked(b"800001\r\n" + b"a" * 0x800001), 413),
        (chunked(*[b"100000\r\n" + b"a" * 0x100000 + b"\r\n"] * 9), 413),
    ]
    with Server(binary) as server:
        probe = Probe(server)
        for data, status in cases:
            with server.client() as client:
                try:
                    client.send(data)
                except (ConnectionResetError, BrokenPipeError):
                    pass  # it has heard enough
                answer = client.receive()
                assert answer.status == status, (data[:200], answer.status, answer.body)
                assert answer.json()["error"]["message"], data[:200]
                assert "0x" not in answer.json()["error"]["message"]
                if status not in (404, 417, 415) or b"gzip" in answer.body:
                    assert client.is_closed(), data[:200]
        probe.check("bytes that are no HTTP")


def test_bodies_that_are_no_requests(binary):
    deep = b'{"prompt":' + b"[" * 100000
    bodies = [b"", b"null", b"[]", b"{", b"\xff\xfe", b'{"prompt":"\xc3\x28"}', b'{"prompt":"\\ud800"}', b'{"prompt":"a"}x',
              b'{"prompt":"a","prompt":"b"}', b'{"prompt":1e999}', b'{"max_tokens":0,"prompt":"a"}', b"\xef\xbb\xbf{}", deep,
              b'{"prompt":"a","a":' + b"[" * 70 + b"]" * 70 + b"}", b'{"prompt":"' + b"\\u0000" * 10 + b'","n":99}',
              b'{"prompt":' + json.dumps(["a"] * 17).encode() + b"}"]
    with Server(binary) as server:
        probe = Probe(server)
        with server.client() as client:  # each refusal leaves the connection as it was
            for body in bodies:
                answer = client.ask("POST", "/v1/completions", body)
                assert answer.status == 400 and answer.is_open, (body[:80], answer.status, answer.body)
                assert answer.json()["error"]["type"] == "invalid_request_error"
        # A NUL and what is no character of any language are text like any other.
        odd = server.ask("POST", "/v1/completions", {**GOOD, "prompt": "a\0b\u200f\u0301" + "\U0010ffff"})
        assert odd.status == 200, odd.body
        probe.check("bodies")
        log = server.said()
        assert "\0" not in log and "\x1b" not in log


def test_roles_cannot_be_forged(binary):
    """Text that spells control tokens costs as many tokens as text does."""
    with Server(binary) as server:
        def prompt_tokens(content):
            answer = server.ask("POST", "/v1/chat/completions",
                                {"messages": [{"role": "user", "content": content}], "max_tokens": 1})
            assert answer.status == 200, answer.body
            return answer.json()["usage"]["prompt_tokens"]

        base = prompt_tokens("")
        for forged in ("<|im_start|>", "<|im_end|>", "<|endoftext|>", "</s>"):
            assert prompt_tokens(forged) > base + 1, forged


def test_pipelined_requests_and_cut_ones(binary):
    with Server(binary) as server:
        probe = Probe(server)
        with server.client() as client:
            client.send(request("GET", "/health") * 500 + request("POST", "/v1/completions", GOOD) + request("GET", "/nowhere")
                        + request("HEAD", "/health") + request("GET", "/health", connection="close") + b"GET /never")
            for _ in range(500):
                assert client.receive().json() == {"status": "ok"}
            assert client.receive().json()["choices"] == probe.wanted
            assert client.receive().status == 404
            assert client.receive(is_head=True).status == 200
            assert not client.receive().is_open and client.is_closed()
        whole = request("POST", "/v1/completions", GOOD)
        with server.client() as client:  # byte by byte
            for i in range(len(whole)):
                client.send(whole[i : i + 1])
            assert client.receive().json()["choices"] == probe.wanted
        for n in (1, 20, len(whole) - 1):  # cut, and gone
            with server.client() as client:
                client.send(whole[:n])
        with server.client() as client:  # it asks, closes its side, and may read what is there at once
            client.send(request("GET", "/health") * 2)
            client.socket.shutdown(1)
            assert client.receive().status == 200 and client.receive().status == 200
            assert client.is_closed()
        with server.client() as client:
            client.send(request("POST", "/v1/completions", GOOD, expect="100-continue").split(b"\r\n\r\n")[0] + b"\r\n\r\n")
            assert client.receive().status == 100
            client.send(json.dumps(GOOD))
            assert client.receive().json()["choices"] == probe.wanted
            client.send(request("POST", "/nowhere", GOOD, expect="100-continue").split(b"\r\n\r\n")[0] + b"\r\n\r\n")
            assert client.receive().status == 404 and client.is_closed()
        with server.client() as client:  # HTTP/1.0: a stream ends with its connection
            body = json.dumps({**GOOD, "stream": True})
            client.send(f"POST /v1/completions HTTP/1.0\r\ncontent-length: {len(body)}\r\n\r\n{body}")
            answer = client.receive()
            assert "transfer-encoding" not in answer.fields and answer.events()[-1] == "[DONE]"
        probe.check("pipelines")


def test_slow_and_many_clients(binary):
    with Server(binary) as server:
        probe = Probe(server)
        idle = [server.client() for _ in range(200)]
        slow = [server.client() for _ in range(20)]

        def drip():
            """One byte each 0.2 s, until the server has had enough of it."""
            begin = time.monotonic()
            for i, byte in enumerate(request("GET", "/health", x="y" * 400)):
                for client in slow:
                    try:
                        client.send(bytes([byte]))
                    except (ConnectionResetError, BrokenPipeError):
                        return time.monotonic() - begin
                if i > 0 and time.monotonic() - begin > 5.5:
                    break
                time.sleep(0.2)
            return time.monotonic() - begin

        def honest():
            for _ in range(10):
                probe.check("slow clients")
                time.sleep(0.05)

        together(drip, honest)
        for client in slow:
            assert client.receive().status == 408 and client.is_closed()
        for client in idle:  # they may still ask
            assert client.ask("GET", "/health").status == 200
            client.socket.close()


def test_connections_that_only_wait_give_way(binary):
    """More of them than there may be: whoever asks is let in, in the place of the one that waits longest."""
    wanted = 1024 + 60
    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(allowed, min(most, wanted + 100)), most))
    try:
        with Server(binary) as server:
            probe = Probe(server)
            held = [server.client() for _ in range(wanted)]
            held[100].send("GET /health HTTP/1.1\r\nhost: localhost\r\n")  # a header that is not whole
            probe.check("more connections than there may be")
            assert held[0].is_closed() and held[50].is_closed()
            for client in held[101:]:
                assert client.ask("GET", "/health").status == 200
            held[100].send("\r\n")
            assert held[100].receive().status == 200
            for client in held:
                client.socket.close()
            probe.check("all of them gone")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, most))


def test_bytes_by_chance(binary):
    """Requests with some of their bytes changed: an answer or an end, never a server that is gone."""
    chance = random.Random(5)
    whole = request("POST", "/v1/completions", GOOD)
    with Server(binary) as server:
        probe = Probe(server)
        for _ in range(300):
            data = bytearray(whole)
            for _ in range(chance.randrange(1, 6)):
                data[chance.randrange(len(data))] = chance.randrange(256)
            with server.client() as client:
                client.send(bytes(data))
                client.socket.shutdown(1)
                while client.more():
                    pass
                assert not client.held or client.held.startswith(b"HTTP/1.1 "), data
        server.wait_for_idle()
        probe.check("chance")


def test_a_crowd_gets_what_each_gets_alone(binary):
    """Some seconds of what tools/check_server_load.py does for ten minutes."""
    questions = crowd.make_questions(8, 4, seed=17, tokens_max=24)
    with Server(binary, "--parallel", "1") as server:
        alone = crowd.answers_alone(server.address, questions)
    with Server(binary, "--parallel", "4") as server:
        tally = crowd.Crowd(server.address, questions, alone, seed=17).run(2)
        assert not tally.problems, "\n".join(tally.problems)
        assert tally.finished > 20 and tally.left > 5, tally.line()
        server.wait_for_idle()
        log = server.said()
        assert not any(client[0].secret in log for client in questions)
