#!/usr/bin/env python3
"""The proof of recipes/r1-minute.toml: what it reaches with several seeds, and that its bits depend on nothing else.

    python3 tools/check_r1_minute.py                 all of it: about ten minutes on two quiet cores
    python3 tools/check_r1_minute.py --seeds 1 --kills 0

For every seed: sampled accuracy on 1,000 problems that training never asks, at most 25 % before reinforcement learning
and at least 90 % after it, greedily at least 95 %, answers at least twice as long, and more than 100,000
log-probabilities of which none differs between rollout and update. Then the same SHA-256 with one thread and with two, and
after SIGKILL at random moments of every stage. Seconds are told, and decide nothing. The exit status is 0 where all holds.
"""
import argparse
import json
import pathlib
import random
import resource
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECIPE = "recipes/r1-minute.toml"
# What must hold of each: name, how it is shown, whether it holds.
TARGETS = [
    ("sampled before", "{:.1%}", lambda found: found <= 0.25),
    ("sampled after", "{:.1%}", lambda found: found >= 0.90),
    ("greedy after", "{:.1%}", lambda found: found >= 0.95),
    ("answers longer", "{:.1f} times", lambda found: found >= 2),
    ("log-probabilities", "{:,}", lambda found: found > 100_000),
]


def command(naru, folder, seed, *options):
    return [naru, "train", RECIPE, f"seed={seed}", "--out", str(folder), "--json", *options]


def train(naru, folder, seed, *options):
    """The result, and wall and processor seconds."""
    begin, before = time.monotonic(), resource_seconds()
    done = subprocess.run(command(naru, folder, seed, *options), cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"naru ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout), time.monotonic() - begin, resource_seconds() - before


def resource_seconds():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def lines_of(folder):
    """Every whole line of metrics.jsonl."""
    try:
        return [json.loads(line) for line in (folder / "metrics.jsonl").read_bytes().split(b"\n")[:-1] if line]
    except OSError:
        return []


def accuracies(naru, model):
    """Greedy and drawn, on 1,000 problems of the held-out split."""
    done = subprocess.run([naru, "eval", str(model), "--problems", "digits", "--count", "1000", "--samples", "1",
                           "--max-tokens", "16", "--json"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"naru eval ended with {done.returncode}: {done.stderr[-2000:]}")
    return {row["answers"]: row["strict"]["mean"] for row in json.loads(done.stdout)["scores"]}


def check_seed(naru, scratch, seed, threads):
    """Whether all targets hold; and the SHA-256."""
    folder = scratch / f"seed-{seed}"
    result, wall, used = train(naru, folder, seed, "--threads", str(threads))
    before, after = accuracies(naru, folder / "sft" / "model"), accuracies(naru, folder / "rl" / "model")
    lengths = [line["answer_tokens"] for line in lines_of(folder / "rl") if "answer_tokens" in line]
    run = json.loads((folder / "rl" / "run.json").read_text())
    found = [before["drawn"], after["drawn"], after["greedy"], lengths[-1] / lengths[0], run["tokens_compared"]]
    holds = True
    print(f"seed {seed}: {wall:.0f} s, {used:.0f} s of processors, {threads} threads, {result['weights_sha256']}")
    for (name, shown, is_good), value in zip(TARGETS, found):
        holds &= is_good(value)
        print(f"  {name:18} {shown.format(value):>12}  {'holds' if is_good(value) else 'MISSED'}", flush=True)
    return holds, result["weights_sha256"]


def steps_done(folder):
    """By stage, those that were written down."""
    return {path.parent.name: (lines_of(path.parent) or [{"step": 0}])[-1]["step"]
            for path in sorted(folder.glob("*/metrics.jsonl"))}


def check_kills(naru, scratch, seed, n_kills, n_steps, moments):
    """The SHA-256 of a run that is killed a moment after some steps, drawn over all stages; how often it was."""
    folder, kills = scratch / "killed", 0
    for step in sorted(moments.randrange(n_steps) for _ in range(n_kills)):
        process = subprocess.Popen(command(naru, folder, seed), cwd=ROOT, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        while process.poll() is None and sum(steps_done(folder).values()) < step:
            time.sleep(0.02)
        # In a rollout, an update, a checkpoint, the export of a model, or while the next stage opens.
        time.sleep(moments.uniform(0, 1.5))
        if process.poll() is not None:
            break
        process.kill()
        process.wait()
        kills += 1
        print(f"  kill {kills:2d}: {steps_done(folder)}", flush=True)
    result, _, _ = train(naru, folder, seed)
    return result["weights_sha256"], kills


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--moments", type=int, help="the seed of the moments; default: another each time")
    parser.add_argument("--naru", default=str(ROOT / "build" / "release" / "naru"))
    args = parser.parse_args()
    seeds = [int(seed) for seed in args.seeds.split(",")]
    with tempfile.TemporaryDirectory() as name:
        scratch, holds, hashes = pathlib.Path(name), True, {}
        for seed in seeds:
            is_good, hashes[seed] = check_seed(args.naru, scratch, seed, args.threads)
            holds &= is_good
        one, _, _ = train(args.naru, scratch / "one-thread", seeds[0], "--threads", "1")
        is_same = one["weights_sha256"] == hashes[seeds[0]]
        print(f"one thread: {'the same' if is_same else 'ANOTHER'} SHA-256", flush=True)
        holds &= is_same
        if args.kills > 0:
            moments = args.moments if args.moments is not None else time.time_ns() % 1_000_000
            print(f"killed at random moments (seed {moments})", flush=True)
            found, kills = check_kills(args.naru, scratch, seeds[0], args.kills,
                                       sum(steps_done(scratch / f"seed-{seeds[0]}").values()), random.Random(moments))
            is_same = found == hashes[seeds[0]] and kills == args.kills
            print(f"killed {kills} times: {'the same' if found == hashes[seeds[0]] else 'ANOTHER'} SHA-256")
            holds &= is_same
    print("all of it holds" if holds else "NOT all of it holds")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
