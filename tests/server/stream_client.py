"""Many clients in one process: requests over raw sockets in asyncio, each piece of an answer kept with the time at which it
came, and read only when the answer is whole, so that clients cost little while they measure. Python's standard library only.
"""

import asyncio
import dataclasses
import json
import math
import random
import socket
import time


@dataclasses.dataclass
class Reply:
    """What came of a request. Times are those of time.perf_counter, in seconds."""

    begin: float  # before the connection was opened
    pieces: list  # (time, bytes) as the socket gave them
    was_left: bool = False  # by us, before it was whole
    parsed: tuple = None  # (status, fields, [(time, bytes of the body)])

    def parse(self):
        """Head and body; the body's parts keep their times. ValueError: it is no whole HTTP response."""
        if self.parsed is None:
            self.parsed = parse_response(self.pieces)
        return self.parsed

    @property
    def status(self):
        return self.parse()[0]

    @property
    def fields(self):
        return self.parse()[1]

    @property
    def body(self):
        return b"".join(part for _, part in self.parse()[2])

    def json(self):
        return json.loads(self.body)

    def events(self):
        """Of a stream of server-sent events: [(time, data)], [DONE] and comments left out."""
        events, held = [], b""
        for at, part in self.parse()[2]:
            held += part
            *whole, held = held.split(b"\n\n")
            for text in whole:
                for line in text.split(b"\n"):
                    if line.startswith(b"data: ") and line != b"data: [DONE]":
                        events.append((at, line[6:]))
        return events


def parse_response(pieces):
    data = b"".join(piece for _, piece in pieces)
    head_end = data.find(b"\r\n\r\n")
    if head_end < 0 or not data.startswith(b"HTTP/1."):
        raise ValueError(f"no whole HTTP response: {data[:200]!r}")
    lines = data[:head_end].decode("latin-1").split("\r\n")
    fields = {name.lower(): value.strip() for name, value in (line.split(":", 1) for line in lines[1:])}
    body, passed, ends = [], 0, []
    for at, piece in pieces:  # where in `data` each piece ends
        passed += len(piece)
        ends.append((passed, at))
    index = 0

    def time_of(end):
        nonlocal index
        while ends[index][0] < end:
            index += 1
        return ends[index][1]

    at = head_end + 4
    if fields.get("transfer-encoding") == "chunked":
        while True:
            line_end = data.find(b"\r\n", at)
            if line_end < 0:
                raise ValueError(f"the stream ends in the middle of a chunk: {data[-200:]!r}")
            n = int(data[at:line_end].split(b";")[0], 16)
            begin, end = line_end + 2, line_end + 2 + n
            if len(data) < end + 2:
                raise ValueError(f"the stream ends in the middle of a chunk: {data[-200:]!r}")
            if n == 0:
                break
            body.append((time_of(end), data[begin:end]))
            at = end + 2
    elif len(data) > at:
        body.append((ends[-1][1], data[at:]))
    return int(lines[0].split(" ")[1]), fields, body


class Exchange(asyncio.Protocol):
    """One request on a connection of its own. `should_leave(n)` is asked behind each piece, with the bytes so far."""

    def __init__(self, data, should_leave, leaves_by_reset):
        self.data, self.should_leave, self.leaves_by_reset = data, should_leave, leaves_by_reset
        self.pieces, self.n_bytes, self.was_left = [], 0, False
        self.ended = asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport
        transport.write(self.data)
        if self.should_leave and self.should_leave(0):
            self.leave()

    def data_received(self, data):
        self.pieces.append((time.perf_counter(), data))
        self.n_bytes += len(data)
        if self.should_leave and not self.was_left and self.should_leave(self.n_bytes):
            self.leave()

    def leave(self):
        self.was_left = True
        if self.leaves_by_reset:
            sock = self.transport.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            self.transport.abort()
        else:
            self.transport.close()

    def connection_lost(self, problem):
        if not self.ended.done():
            self.ended.set_result(problem)


def post(path, body, **fields):
    """The bytes of a request whose connection ends with its answer."""
    data = json.dumps(body).encode()
    lines = {
        "host": "localhost",
        "connection": "close",
        "content-type": "application/json",
        "content-length": str(len(data)),
        **{name.replace("_", "-"): value for name, value in fields.items()},
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + data


async def ask(address, data, should_leave=None, leaves_by_reset=False, timeout=600):
    """The reply to the bytes `data`; ConnectionError where the connection cannot be had."""
    begin = time.perf_counter()
    loop = asyncio.get_running_loop()
    make = lambda: Exchange(data, should_leave, leaves_by_reset)
    if isinstance(address, str):
        _, exchange = await loop.create_unix_connection(make, address)
    else:
        _, exchange = await loop.create_connection(make, *address)
    try:
        await asyncio.wait_for(exchange.ended, timeout)
    finally:
        exchange.transport.abort()
    return Reply(begin, exchange.pieces, exchange.was_left)


def leaver(chance):
    """When a client that leaves does so, by chance: at once, in the head, or after some of a stream."""
    after = chance.choice([0, 1, 300, chance.randrange(300, 6000)])
    return lambda n: n >= after


def quantile(values, q):
    """The least of the values that at least the part q of them does not pass."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(q * len(ordered)) - 1)]


def new_chance(*what):
    return random.Random(repr(what))
