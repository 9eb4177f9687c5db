"""naru serve against llama-cpp-python's server and against llama.cpp's own parallel decode, on the same GGUF file: tokens per
second of 1, 8 and 32 clients, time to the first token, time between tokens.

    python3 -m venv peers && CC=clang CXX=clang++ CMAKE_ARGS=-DGGML_NATIVE=ON \\
        peers/bin/pip install --no-binary llama-cpp-python -r tools/requirements-peers.txt
    naru pull smollm2-135m-instruct
    naru convert smollm2-135m-instruct smollm2-q8_0.gguf --dtype q8_0
    peers/bin/python bench/compare_llama_server.py MODEL.gguf [--runs 5] [--clients 1,8,32] [--json out.json]

Every client asks for an answer over a connection of its own, reads the stream to its end, and asks for the next. All sides get
the same prompts, none of which begins as another does, greedy answers of the same number of tokens (prompts after which the
model would end earlier are left out before), and the same threads. Sides take turns within each run, so that a machine that
slows down slows all. The clients are one process over raw sockets, which keeps what comes with its time and reads it afterwards;
its processor time is told beside the rest, since it takes from every server alike.

The ratio is that to the faster of the two peers at that number of clients. Exit status 1 where it is below --wanted (1.5), or
the p99 of the time to the first token or between tokens is above that peer's.
"""

import argparse
import asyncio
import json
import os
import pathlib
import random
import resource
import signal
import socket
import statistics
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests/server"))

from stream_client import ask, post, quantile  # noqa: E402

WORDS = """time year people way day man thing woman life child world school state family student group country problem hand part
place case week company system program question work government number night point home water room mother area money story fact
month lot right study book eye job word business issue side kind head house service friend father power hour game line end member
law car city community name president team minute idea body information back parent face others level office door health person
art war history party result change morning reason research girl guy moment air teacher force education""".split()
SIDES = {"naru": "naru serve", "server": "llama-cpp-python's server", "parallel": "llama.cpp's parallel decode"}


def make_prompts(n, n_words, seed):
    """Texts none of which begins as another does, as far as chance goes."""
    chance = random.Random(f"prompts {seed}")
    return [" ".join(chance.choice(WORDS) for _ in range(n_words)).capitalize() + ". The story of it" for _ in range(n)]


# ---- servers


class Served:
    """A server's process that listens on a port of the loopback, and is ended behind the with."""

    def __init__(self, command, port, environment=None):
        self.address = ("127.0.0.1", port)
        self.process = subprocess.Popen(
            [str(c) for c in command],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env={**os.environ, **(environment or {})},
        )
        for _ in range(600):
            if self.process.poll() is not None:
                raise SystemExit(
                    f"{' '.join(map(str, command))}: exit code {self.process.returncode}\n{self.process.stderr.read().decode()}"
                )
            if self.is_ready():
                return
            time.sleep(0.1)
        self.process.kill()
        raise SystemExit(f"{command[0]} does not listen after a minute")

    def is_ready(self):
        try:
            with socket.create_connection(self.address, timeout=1) as client:
                client.sendall(b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                return client.recv(64).startswith(b"HTTP/1.1 200")
        except OSError:
            return False

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.communicate()

    def processor_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start_naru(args, n_clients):
    port = free_port()
    command = [
        args.naru,
        "serve",
        args.model,
        "--port",
        port,
        "--parallel",
        n_clients,
        "--context",
        args.context,
        "--threads",
        args.threads,
        "--quiet",
        *args.naru_flags.split(),
    ]
    return Served(command, port, {"NARU_CPU": args.level} if args.level else None)


def start_llama(args):
    port = free_port()
    # interrupt_requests: else a second client ends the answer of the first one.
    command = [
        args.python,
        "-m",
        "llama_cpp.server",
        "--model",
        args.model,
        "--port",
        port,
        "--n_ctx",
        args.context,
        "--n_threads",
        args.threads,
        "--n_threads_batch",
        args.threads,
        "--n_batch",
        512,
        "--interrupt_requests",
        "false",
        "--verbose",
        "false",
        "--flash_attn",
        str(args.flash_attention).lower(),
    ]
    return Served(command, port)


# ---- measuring


async def one_client(address, bodies, replies):
    for body in bodies:
        replies.append(await ask(address, post("/v1/completions", body), timeout=3600))


async def all_clients(address, clients):
    replies = []
    await asyncio.gather(*[one_client(address, bodies, replies) for bodies in clients])
    return replies


def processor_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def measure(server, clients, more):
    """clients: [prompt, ...] of each. What came, in seconds and tokens."""
    bodies = [[{"prompt": prompt, "stream": True, "temperature": 0, **more} for prompt in prompts] for prompts in clients]
    server_begin, own_begin, begin = server.processor_seconds(), processor_seconds(), time.perf_counter()
    replies = asyncio.run(all_clients(server.address, bodies))
    seconds, own, theirs = (
        time.perf_counter() - begin,
        processor_seconds() - own_begin,
        server.processor_seconds() - server_begin,
    )
    first, between, tokens, short = [], [], 0, 0
    for reply in replies:
        if reply.status != 200:
            raise SystemExit(f"status {reply.status}: {reply.body[:500]!r}")
        choices = [(at, json.loads(data)["choices"][0]) for at, data in reply.events() if b'"choices":[]' not in data]
        times = [at for at, choice in choices if choice.get("text")]
        is_whole = choices[-1][1]["finish_reason"] == "length"
        if not times:
            raise SystemExit(f"an answer without text: {reply.body[-500:]!r}")
        short += not is_whole
        tokens += more["max_tokens"] if is_whole else len(times)
        first.append(times[0] - reply.begin)
        between += [b - a for a, b in zip(times, times[1:])]
    return {
        "seconds": seconds,
        "tokens": tokens,
        "short": short,
        "first": first,
        "between": between,
        "clients_processor_seconds": own,
        "server_processor_seconds": theirs,
    }


def measure_naru(args, work):
    results = {}
    with start_naru(args, max(work)) as server:
        for n_clients, clients in work.items():
            more = {"max_tokens": args.new_tokens, "ignore_eos": True, "cache_salt": f"run {random.random()}"}
            measure(server, [clients[0][:1]], {**more, "cache_salt": "warm"})
            results[n_clients] = measure(server, clients, more)
    return results


def measure_server(args, work):
    results = {}
    with start_llama(args) as server:
        for n_clients, clients in work.items():
            more = {"max_tokens": args.new_tokens}
            measure(server, [["Warm."]], more)
            results[n_clients] = measure(server, clients, more)
    return results


def measure_parallel(args, work):
    results = {}
    for n_clients, clients in work.items():
        command = [args.python, HERE / "peer_llama_parallel.py", args.model, "--threads", args.threads]
        done = subprocess.run(
            [str(c) for c in command],
            input=json.dumps({"prompts": clients, "new_tokens": args.new_tokens, "context": args.context}),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise SystemExit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stderr}")
        results[n_clients] = {"short": 0, **json.loads(done.stdout)}
    return results


def choose_prompts(args, n):
    """Prompts after which the model goes on for as long as is asked."""
    wanted = make_prompts(2 * n + 8, args.prompt_words, args.seed)
    with start_naru(args, 8) as server:
        bodies = [{"prompt": prompt, "max_tokens": args.new_tokens, "temperature": 0} for prompt in wanted]

        async def try_all():
            replies = []
            for i in range(0, len(bodies), 8):
                replies += await asyncio.gather(
                    *[ask(server.address, post("/v1/completions", body)) for body in bodies[i : i + 8]]
                )
            return replies

        replies = asyncio.run(try_all())
    answers = [reply.json() for reply in replies]
    chosen = [
        (prompt, answer["usage"]["prompt_tokens"])
        for prompt, answer in zip(wanted, answers)
        if answer["choices"][0]["finish_reason"] == "length"
    ]
    if len(chosen) < n:
        raise SystemExit(
            f"after {len(wanted) - len(chosen)} of {len(wanted)} prompts the model ends early: take fewer --new-tokens"
        )
    return [prompt for prompt, _ in chosen[:n]], statistics.mean(tokens for _, tokens in chosen[:n])


# ---- the table


def summary(runs):
    """Of the runs of one side with one number of clients."""
    rates = [run["tokens"] / run["seconds"] for run in runs]
    first, between = sum((run["first"] for run in runs), []), sum((run["between"] for run in runs), [])
    told = {
        "tokens_per_s": statistics.median(rates),
        "least": min(rates),
        "most": max(rates),
        "short": sum(run["short"] for run in runs),
        "first_p50_s": quantile(first, 0.5),
        "first_p99_s": quantile(first, 0.99),
        "between_p50_s": quantile(between, 0.5),
        "between_p99_s": quantile(between, 0.99),
    }
    if "clients_processor_seconds" in runs[0]:
        for name in ("clients", "server"):
            told[f"{name}_processors"] = sum(run[f"{name}_processor_seconds"] for run in runs) / sum(
                run["seconds"] for run in runs
            )
    return told


def line(name, s):
    short = f"  {s['short']} ended early" if s["short"] else ""
    own = (
        f"{s['clients_processors']:5.2f} {s['server_processors']:5.2f}" if "clients_processors" in s else f"{'-':>5s} {'-':>5s}"
    )
    return (
        f"  {name:28s} {s['tokens_per_s']:8.1f} ({s['least']:.1f} to {s['most']:.1f}){'':4s} {1000 * s['first_p50_s']:9.1f} "
        f"{1000 * s['first_p99_s']:9.1f} {1000 * s['between_p50_s']:8.2f} {1000 * s['between_p99_s']:8.2f}  {own}{short}"
    )


def report(args, results, prompt_tokens):
    print(
        f"{args.model.name}: prompts of {prompt_tokens:.0f} tokens, answers of {args.new_tokens}, {args.threads} threads, "
        f"{args.runs} runs in which the sides take turns; times in ms; processors used by the clients and by the server"
    )
    print(
        f"  {'':28s} {'tokens/s: median (range)':>30s} {'first p50':>9s} {'first p99':>9s} {'next p50':>8s} {'next p99':>8s}  own   server"
    )
    is_good, told = True, {}
    for n_clients in args.clients:
        print(f"{n_clients} client{'s' if n_clients > 1 else ''}")
        told[n_clients] = {side: summary(runs[n_clients]) for side, runs in results.items()}
        for side, each in told[n_clients].items():
            print(line(SIDES[side], each))
        peers = {side: each for side, each in told[n_clients].items() if side != "naru"}
        if "naru" not in told[n_clients] or not peers:
            continue
        best = max(peers, key=lambda side: peers[side]["tokens_per_s"])
        ours, theirs = told[n_clients]["naru"], peers[best]
        ratio = ours["tokens_per_s"] / theirs["tokens_per_s"]
        firsts, betweens = (ours[name] / theirs[name] for name in ("first_p99_s", "between_p99_s"))
        good = ratio >= args.wanted and firsts <= 1 and betweens <= 1
        is_good &= good
        told[n_clients]["ratio"] = {"to": best, "tokens_per_s": ratio, "first_p99": firsts, "between_p99": betweens}
        print(
            f"  {'good' if good else 'NOT GOOD'}: {ratio:.2f} x the tokens/s of {SIDES[best]}, {firsts:.2f} x its p99 to the first token, "
            f"{betweens:.2f} x its p99 between tokens"
        )
    return is_good, told


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--naru", type=pathlib.Path, default=HERE.parent / "build/release/naru")
    parser.add_argument("--naru-flags", default="", help="more flags of naru serve, in one word")
    parser.add_argument("--python", default=sys.executable, help="in which llama-cpp-python is; default: this one")
    parser.add_argument("--sides", default="naru,server,parallel")
    parser.add_argument("--clients", default="1,8,32")
    parser.add_argument("--requests", type=int, default=2, help="of each client in a run; default 2 (of one client alone: 8)")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--prompt-words", type=int, default=100)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--context", type=int, default=512, help="of one sequence")
    parser.add_argument(
        "--flash-attention", action="store_true", help="for llama-cpp-python's server; its parallel decode decides itself"
    )
    parser.add_argument("--level", help="NARU_CPU of naru's runs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--wanted", type=float, default=1.5)
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(1))  # servers are ended with it
    args.clients = [int(n) for n in args.clients.split(",")]
    sides = {"naru": measure_naru, "server": measure_server, "parallel": measure_parallel}
    chosen = args.sides.split(",")
    for side in chosen:
        if side not in sides:
            parser.error(f"there is no side {side}; one of {', '.join(sides)} was wanted")
    counts = {n: args.requests if n > 1 else 4 * args.requests for n in args.clients}
    prompts, prompt_tokens = choose_prompts(args, max(n * counts[n] for n in args.clients))
    work = {n: [prompts[i * counts[n] : (i + 1) * counts[n]] for i in range(n)] for n in args.clients}
    results = {side: {n: [] for n in args.clients} for side in chosen}
    for number in range(args.runs):
        # Each run begins with another side.
        for side in chosen[number % len(chosen) :] + chosen[: number % len(chosen)]:
            for n_clients, measured in sides[side](args, work).items():
                results[side][n_clients].append(measured)
        print(f"run {number + 1} of {args.runs}", file=sys.stderr, flush=True)
    is_good, told = report(args, results, prompt_tokens)
    if args.json:
        args.json.write_text(
            json.dumps(
                {
                    "model": args.model.name,
                    "threads": args.threads,
                    "new_tokens": args.new_tokens,
                    "prompt_tokens": prompt_tokens,
                    "runs": args.runs,
                    "clients": told,
                },
                indent=2,
            )
            + "\n"
        )
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
