"""Requests of agent programs (agent_requests.py): each is accepted and answered in its form, or refused by name with what to
do."""

import contextlib
import json

from agent_requests import PROGRAMS
from rig import KEY, Missing, Wrong, expect, is_there, request

PIECES_READ = 40  # of a stream; then the program leaves, as one does when its user presses Escape
SECONDS_WAITED = 10  # for the next of them


def read_some(client):
    """Status, fields, and as much of the body as a program reads before it leaves."""
    head = client.until(b"\r\n\r\n").decode()
    status = int(head.split(" ")[1])
    fields = {name.lower(): value for name, value in (line.split(": ", 1) for line in head.split("\r\n")[1:-2])}
    if "content-length" in fields:
        return status, fields, client.exactly(int(fields["content-length"])), True
    body = b""
    client.socket.settimeout(SECONDS_WAITED)
    with contextlib.suppress(TimeoutError):  # a model may say nothing that is text for long
        for _ in range(PIECES_READ):
            n = int(client.until(b"\r\n")[:-2], 16)
            body += client.exactly(n + 2)[:-2]
            if n == 0:
                return status, fields, body, True
    return status, fields, body, False


def error_of(path, body):
    """The message of an error in the form of its dialect."""
    value = json.loads(body)
    if path.startswith("/api/"):
        expect(isinstance(value["error"], str), f"an error of another form: {body!r}")
        return value["error"]
    if path.startswith("/v1/messages"):
        expect(value["type"] == "error", f"an error of another form: {body!r}")
    return value["error"]["message"]


def check_stream(path, body):
    """Each event of what was read is one of its dialect's."""
    if path.startswith("/api/"):
        for line in body.split(b"\n")[:-1]:
            expect("error" not in json.loads(line), f"an error in the stream: {line!r}")
        return
    for event in body.split(b"\n\n")[:-1]:
        lines = dict(line.split(b": ", 1) for line in event.split(b"\n") if not line.startswith(b":"))
        if not lines or lines[b"data"] == b"[DONE]":
            continue
        data = json.loads(lines[b"data"])
        expect("error" not in data or data.get("error") is None, f"an error in the stream: {event!r}")
        if not path.startswith("/v1/chat") and not path.startswith("/v1/completions"):
            expect(lines[b"event"].decode() == data["type"], f"an event of two names: {event!r}")


def try_one(server, path, headers, body, wanted):
    with server.client() as client:
        client.send(request("GET" if body is None else "POST", path, body, **headers))
        status, fields, said, is_whole = read_some(client)
    ignored = fields.get("x-naru-ignored")
    also = f", ignored: {ignored}" if ignored else ""
    if status == 200:
        if wanted == "refused":
            raise Wrong("it is accepted, and nothing here can know what it shows")
        if "event-stream" in fields["content-type"] or "ndjson" in fields["content-type"]:
            check_stream(path, said)
            expect(len(said) > 100, f"nothing was streamed: {said!r}")
        else:
            json.loads(said)
        return f"accepted{also}{'' if is_whole else ', left in the middle'}"
    if status == 404 and body is None:
        raise Missing(f"there is no {path}")
    message = error_of(path, said)
    if wanted == "accepted" or not 400 <= status < 500:
        raise Wrong(f"{status}: {message}")
    return f"refused with {status}: {message}"


def check(report, server, start, is_learnt):
    del start, is_learnt
    for program, requests in PROGRAMS.items():
        report.client = program
        for what, path, headers, body, *wanted in requests():
            told = {}
            with report.step(what):
                if not is_there(server, path.split("?")[0]) and body is not None:
                    raise Missing(f"there is no {path}")
                told["how"] = try_one(server, path, headers, body, wanted[0] if wanted else "accepted")
            if told:
                print(f"    {told['how']}")
    with report.step("nobody's answer goes on behind a program that has left"):
        server.wait_for_idle(authorization=f"Bearer {KEY}")
