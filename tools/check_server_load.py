#!/usr/bin/env python3
"""Tries to make naru serve give a wrong answer, or none, by load, clients that leave, and faults of the machine.

    python3 tools/check_server_load.py [--only crowd,slow,kills,descriptors,log] [--seconds 600]

    crowd        64 clients at once with secrets in their prompts and shared beginnings, a quarter of whose requests are left
                 in the middle: every answer that is read to its end is the one that the request gets alone, nobody's
                 secret is in another's bytes, and in the end descriptors, memory, pages and answers are what they were
    slow         1000 idle connections and 100 that send a byte a second, against honest clients: p99 of the time to the first
                 token with and without them, in alternation
    kills        kill -TERM finishes what was begun; kill -9, and the next start serves on the same port at once
    descriptors  more connections than the server has descriptors: those that are served see nothing of it, and those that
                 wait are served when there are some again
    log          a log on a full disk: nobody's answer suffers

With --model another model than the tiny one of the tests. Python's standard library only. The exit status is 0 where all that
was tried went well.
"""

import argparse
import asyncio
import collections
import json
import multiprocessing
import pathlib
import re
import resource
import selectors
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/server"))

import crowd  # noqa: E402
from server_rig import MODEL, Server, together  # noqa: E402
from stream_client import ask, post, quantile  # noqa: E402

MEBIBYTE = 1 << 20
PLAIN = {"temperature": 1, "top_p": 1, "top_k": 0, "min_p": 0, "repetition_penalty": 1, "ignore_eos": True, "seed": 7}


class Failed(Exception):
    pass


def expect(is_so, what):
    if not is_so:
        raise Failed(what)


def say(text):
    print(text, flush=True)


def completion(prompt, n_tokens, **more):
    return {"prompt": prompt, "max_tokens": n_tokens, **PLAIN, **more}


def serve(args, *more, **options):
    return Server(
        args.binary, "--context", str(args.context), "--threads", str(args.threads), *more, model=args.model, **options
    )


def small_pool(args):
    """Flags that give the cache fewer pages than the answers that are computed at once could fill."""
    flags = args.server_flags.split() if args.server_flags else []
    known = subprocess.run([args.binary, "serve", "--help"], capture_output=True, text=True, check=True).stdout
    if not flags and "--cache-tokens " in known:
        flags = ["--cache-tokens", str(max(args.context, args.context * args.parallel // 8))]
    if not flags:
        say(
            "crowd: this server's cache always holds what it computes at once: pages cannot run out (--server-flags gives others)"
        )
    return ["--parallel", str(args.parallel), *flags]


def spoken(server):
    """Which of the dialects the server has."""
    paths = [crowd.CHAT, crowd.TEXT, crowd.MESSAGES, crowd.OLLAMA]
    return [path for path in paths if server.ask("POST", path, {}).status != 404]


def counted(server):
    """What the server itself counts of its answers and its cache; {} where it counts nothing."""
    answer = server.ask("GET", "/metrics")
    if answer.status != 200:
        return {}
    names = "cache_pages_used|requests_running|requests_waiting|preemptions_total|cache_pages_total"
    found = re.finditer(rf"^naru_({names})\S* (\S+)$", answer.body.decode(), re.M)
    return {match[1]: float(match[2]) for match in found}


# ---- the crowd


def check_crowd(args):
    begin = time.monotonic()
    with serve(args, "--parallel", "1") as server:
        paths = spoken(server)
        questions = crowd.make_questions(args.clients, args.questions, args.seed, paths, args.tokens)
        alone = crowd.answers_alone(server.address, questions)
    say(
        f"crowd: {len(alone)} questions of {args.clients} clients to {', '.join(paths)}, answered alone in "
        f"{time.monotonic() - begin:.1f} s"
    )
    with serve(args, *small_pool(args), "--quiet") as server:
        warm = crowd.Crowd(server.address, questions, alone, (args.seed, "warm")).run(min(20, args.seconds / 4))
        expect(not warm.problems, "\n".join(warm.problems))
        before = rest(server)
        tally = crowd.Crowd(server.address, questions, alone, args.seed).run(args.seconds)
        say(f"crowd: in {args.seconds} s {tally.line()}")
        expect(not tally.problems, "\n".join(tally.problems))
        expect(tally.finished > 0, "nothing was answered")
        after = rest(server)
        say(
            f"crowd: descriptors {before['files']} before, {after['files']} after; memory {before['memory'] / MEBIBYTE:.1f} MiB "
            f"before, {after['memory'] / MEBIBYTE:.1f} MiB after"
        )
        if after["counted"]:
            told = after["counted"]
            say(
                f"crowd: {told['preemptions_total']:.0f} answers gave up their pages and went on later; of "
                f"{told['cache_pages_total']:.0f} pages {told['cache_pages_used']:.0f} are held at rest"
            )
            expect(told["preemptions_total"] > 0 or args.seconds < 10, "pages never ran out: longer --tokens would need more")
        expect(after["files"] == before["files"], "descriptors are lost")
        expect(after["memory"] <= before["memory"] * 1.05 + 8 * MEBIBYTE, "memory is lost")
        for name in ("cache_pages_used", "requests_running", "requests_waiting"):
            expect(after["counted"].get(name, 0) == 0, f"{name} is {after['counted'].get(name)} where nobody asks")
        again = crowd.Crowd(server.address, questions, alone, (args.seed, "again"), leaves=0).run(1)
        expect(not again.problems, "\n".join(again.problems))


def rest(server):
    """What a server that nobody asks anything holds."""
    server.wait_for_idle()
    time.sleep(2.5)  # lingering connections are closed
    return {"files": server.n_files(), "memory": server.resident_bytes(), "counted": counted(server)}


# ---- slow clients


class Besiegers:
    """A process with connections that do nothing, or next to it."""

    def __init__(self, address, n_idle, n_slow):
        self.here, there = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=besiege, args=(there, address, n_idle, n_slow), daemon=True)
        self.process.start()
        self.opened = self.here.recv()

    def end(self):
        """Connections that stood, were closed by the server, and were opened anew."""
        self.here.send("end")
        told = self.here.recv()
        self.process.join(30)
        return told


def besiege(pipe, address, n_idle, n_slow):
    allow_descriptors(n_idle + n_slow + 100)
    poll = selectors.DefaultSelector()
    slow, counts = set(), {"opened": 0, "closed by the server": 0, "not had": 0}

    def open_one(is_slow):
        try:
            connection = socket.create_connection(address, timeout=5)
        except OSError:
            counts["not had"] += 1
            return
        connection.setblocking(False)
        counts["opened"] += 1
        poll.register(connection, selectors.EVENT_READ, is_slow)
        if is_slow:
            slow.add(connection)

    for i in range(n_idle + n_slow):
        open_one(i >= n_idle)
    pipe.send(dict(counts))
    next_byte, at, again = time.monotonic(), 0, collections.deque()
    text = b"GET /health HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 10000
    while not pipe.poll():
        for key, _ in poll.select(max(0, min(0.2, next_byte - time.monotonic()))):
            try:
                data = key.fileobj.recv(65536)
            except OSError:
                data = b""
            if data:
                continue  # why it is closed
            poll.unregister(key.fileobj)
            slow.discard(key.fileobj)
            key.fileobj.close()
            counts["closed by the server"] += 1
            again.append((time.monotonic() + 1, key.data))
        while again and again[0][0] < time.monotonic():
            open_one(again.popleft()[1])
        # Spread over the second: a tenth of them every tenth of it.
        if time.monotonic() >= next_byte:
            next_byte += 0.1
            for connection in list(slow):
                if connection.fileno() % 10 == at % 10:
                    try:
                        connection.send(text[at // 10 % len(text) :][:1])
                    except OSError:
                        pass
            at += 1
    pipe.recv()
    counts["standing"] = len(poll.get_map())
    pipe.send(counts)


def allow_descriptors(n):
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(n, min(most, 65536)), most))


async def honest_clients(address, n_clients, seconds, tokens):
    """Seconds to the first token of each answer; what went wrong."""
    times, problems = [], []
    until = time.monotonic() + seconds

    async def one(number):
        i = 0
        while time.monotonic() < until:
            i += 1
            data = post(crowd.TEXT, completion(f"Client {number} asks the question {i}.", tokens, stream=True))
            try:
                reply = await ask(address, data, timeout=60)
                if reply.status != 200 or not reply.body.endswith(b"data: [DONE]\n\n"):
                    raise ValueError(f"status {reply.status}: {reply.body[-300:]!r}")
                times.append(reply.events()[0][0] - reply.begin)
            except (OSError, ValueError, asyncio.TimeoutError) as problem:
                problems.append(repr(problem))
                await asyncio.sleep(0.05)

    await asyncio.gather(*[one(number) for number in range(n_clients)])
    return times, problems


def check_slow(args):
    with serve(args, "--parallel", "8", "--quiet") as server:
        asyncio.run(honest_clients(server.address, args.honest, 2, args.honest_tokens))
        quiet, besieged, ratios = [], [], []
        for number in range(args.rounds):
            for is_besieged in (False, True) if number % 2 == 0 else (True, False):
                besiegers = Besiegers(server.address, args.idle, args.slow) if is_besieged else None
                times, problems = asyncio.run(
                    honest_clients(server.address, args.honest, args.round_seconds, args.honest_tokens)
                )
                told = besiegers.end() if besiegers else {}
                if is_besieged:
                    say(f"slow: round {number + 1}: {told}")
                expect(
                    not problems,
                    f"{len(problems)} honest requests were not answered, {'besieged' if is_besieged else 'in quiet'}"
                    f": {problems[0] if problems else ''}",
                )
                (besieged if is_besieged else quiet).append(times)
                time.sleep(0.2)
            ratios.append(quantile(besieged[-1], 0.99) / quantile(quiet[-1], 0.99))
        all_quiet, all_besieged = sum(quiet, []), sum(besieged, [])
        ratio = quantile(all_besieged, 0.99) / quantile(all_quiet, 0.99)
        for name, times in (("in quiet", all_quiet), ("besieged", all_besieged)):
            say(
                f"slow: time to the first token, {name}: p50 {1000 * quantile(times, 0.5):.2f} ms, p99 "
                f"{1000 * quantile(times, 0.99):.2f} ms, {len(times)} answers"
            )
        say(
            f"slow: {args.idle} idle and {args.slow} slow connections move p99 by {ratio:.2f}x (rounds: "
            f"{', '.join(f'{r:.2f}' for r in ratios)})"
        )
        expect(ratio < 1.2, "that is 1.2x or more")


# ---- kills


def check_kills(args):
    body = completion("Before the end", 200, stream=True)
    with serve(args, "--parallel", "4", "--chip", "reference") as server:
        clients = [server.client() for _ in range(8)]
        for client in clients:
            client.send(post(crowd.TEXT, body))
        while server.ask("GET", "/v1/server").json()["answering"] < 8:
            time.sleep(0.01)
        begin = time.monotonic()
        server.term()
        # Those that wait in the queue are answers under way too.
        answers = together(*[client.receive for client in clients])
        expect(all(answer.status == 200 and answer.events()[-1] == "[DONE]" for answer in answers), "kill -TERM cut an answer")
        expect(
            len(
                {
                    tuple(
                        json.loads(event)["choices"][0]["text"]
                        for event in answer.events()[:-1]
                        if json.loads(event)["choices"]
                    )
                    for answer in answers
                }
            )
            == 1,
            "equal requests were answered differently while the server ended",
        )
        for client in clients:
            client.socket.close()
        server.process.wait(60)
        expect(server.process.returncode == 0, f"after kill -TERM the exit status is {server.process.returncode}")
        say(f"kills: kill -TERM: 8 streams were finished, exit status 0 after {time.monotonic() - begin:.2f} s")
        port = str(server.address[1])
    for number in range(args.kills):
        server = serve(args, "--port", port, "--chip", "reference")
        busy = [server.client() for _ in range(4)]
        for client in busy:
            client.send(post(crowd.TEXT, {**body, "max_tokens": 400}))
        busy[0].until(b"data: ")
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        for client in busy:
            while client.more():
                pass
            expect(b"[DONE]" not in client.held, "a killed server ended its stream well")
        begin = time.monotonic()
        with serve(args, "--port", port) as next_one:
            answer = next_one.ask("POST", crowd.TEXT, completion("again", 4))
            expect(answer.status == 200, f"behind kill -9 the next start answers {answer.status}")
        server.process.stdout.close()
    say(
        f"kills: kill -9, {args.kills} times: the next start served on the same port each time, the last one "
        f"{time.monotonic() - begin:.2f} s later"
    )


# ---- out of descriptors


def check_descriptors(args):
    body = completion("With few descriptors", 150)
    with serve(args, "--parallel", "4", "--chip", "reference", files_max=64) as server:
        wanted = server.ask("POST", crowd.TEXT, body).json()["choices"][0]["text"]
        busy = server.client()
        busy.send(post(crowd.TEXT, {**body, "stream": True}))
        busy.until(b"data: ")
        held = [server.client() for _ in range(100)]
        time.sleep(0.2)
        say(f"descriptors: 64 allowed, {server.n_files()} open, 101 connections wanted")
        answer = busy.until(b"data: [DONE]\n\n").decode()
        said = "".join(json.loads(line[6:])["choices"][0]["text"] for line in re.findall(r"data: \{.*\}", answer))
        expect(wanted.endswith(said) and len(said) > len(wanted) / 2, "the stream that was under way is another")
        served = 0
        for client in held[:20]:  # these were let in
            served += client.ask("POST", crowd.TEXT, completion("a", 2)).status == 200
        expect(served == 20, f"of 20 clients that were let in {served} were served")
        for client in held[:60]:
            client.socket.close()
        for client in held[60:]:  # these waited
            try:
                answer = client.ask("POST", crowd.TEXT, completion("a", 2))
                expect(answer.status == 200, f"one that waited got {answer.status}")
            except (AssertionError, OSError) as problem:
                raise Failed(f"one that waited was not served when there were descriptors again: {problem!r}") from problem
            client.socket.close()
        busy.socket.close()
        answer = server.ask("POST", crowd.TEXT, body)
        expect(answer.json()["choices"][0]["text"] == wanted, "afterwards the answer is another")
    say("descriptors: the stream under way was not touched, all that waited were served when there were some again")


# ---- a full disk for logs


def check_log(args):
    wanted = None
    for name in (None, "/dev/full"):
        log = open(name, "wb", buffering=0) if name else None
        with serve(args, "--parallel", "4", log=log) as server:
            bodies = [completion(f"The log is full {i}", 16, n=2) for i in range(16)]
            answers = together(*[lambda body=body: server.ask("POST", crowd.TEXT, body) for body in bodies])
            refused = server.ask("POST", crowd.TEXT, {"prompt": 5})
            expect(all(answer.status == 200 for answer in answers), f"with {name or 'a log'} not everybody is answered")
            expect(refused.status == 400, f"with {name or 'a log'} a refusal has the status {refused.status}")
            texts = [[choice["text"] for choice in answer.json()["choices"]] for answer in answers]
            expect(wanted in (None, texts), f"with {name} the answers are others")
            wanted = texts
        if log:
            log.close()
    say("log: 16 answers and a refusal with /dev/full in the place of the log: the same as with one, exit status 0")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    checks = {
        "crowd": check_crowd,
        "slow": check_slow,
        "kills": check_kills,
        "descriptors": check_descriptors,
        "log": check_log,
    }
    parser.add_argument("--binary", default=str(ROOT / "build/release/naru"))
    parser.add_argument("--model", type=pathlib.Path, default=MODEL)
    parser.add_argument("--only", default=",".join(checks), metavar="NAMES")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)

    group = parser.add_argument_group("crowd")
    group.add_argument("--clients", type=int, default=64)
    group.add_argument("--tokens", type=int, default=150, help="of the longest answer; default 150")
    group.add_argument("--seconds", type=float, default=60, help="default 60; 600 for the proof")
    group.add_argument("--questions", type=int, default=8, help="of each client; default 8")
    group.add_argument("--parallel", type=int, default=16, help="answers computed at once; default 16")
    group.add_argument("--server-flags", help="that make its page pool small; default: what this server has")
    group = parser.add_argument_group("slow")
    group.add_argument("--idle", type=int, default=1000)
    group.add_argument("--slow", type=int, default=100)
    group.add_argument("--honest-tokens", type=int, default=40, help="of an honest client's answer; default 40")
    group.add_argument("--honest", type=int, default=4, help="honest clients; default 4")
    group.add_argument("--rounds", type=int, default=6)
    group.add_argument("--round-seconds", type=float, default=8)
    group = parser.add_argument_group("kills")
    group.add_argument("--kills", type=int, default=5)
    args = parser.parse_args()
    if not pathlib.Path(args.binary).exists():
        parser.error(f"there is no {args.binary}; build naru, or give --binary")
    args.binary = str(pathlib.Path(args.binary).resolve())
    allow_descriptors(1024)
    failed = []
    for name in args.only.split(","):
        if name not in checks:
            parser.error(f"there is no check {name}; one of {', '.join(checks)} was wanted")
        try:
            checks[name](args)
            say(f"{name}: good")
        except (Failed, AssertionError, OSError, ValueError, KeyError) as problem:
            say(f"{name}: FAILED: {problem if isinstance(problem, Failed) else repr(problem)}")
            failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
