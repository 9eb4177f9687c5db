#!/usr/bin/env python3
"""The proof that what naru sample writes depends on its command line, its model and its problems alone.

    python3 tools/check_samples.py runs/r1-minute/sft/model --problems digits --kills 10
    python3 tools/check_samples.py MODEL --problems FILE -- --answers 16 --keep 2

Samples once, then with 1, 3 and 32 answers at once and with one thread, then killed (SIGKILL) at random moments until it is
done, and compares samples.jsonl and dropped.jsonl byte for byte. Behind -- are flags of naru sample. The exit status is 0
where all are the same.
"""
import argparse
import hashlib
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def digests(folder):
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in ("samples.jsonl", "dropped.jsonl")}


def finish(command):
    """The result, and the seconds that it took."""
    begin = time.monotonic()
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"naru ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout), time.monotonic() - begin


def kill_often(command, folder, n_kills, seconds, moments):
    """How often it was killed; in how many of the kills the last line was half-written."""
    kills = halves = 0
    while kills < n_kills:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            process.wait(timeout=moments.uniform(0.02, max(1.5, 2 * seconds / n_kills)))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            kills += 1
            ends = [(folder / name).read_bytes()[-1:] for name in ("samples.jsonl", "dropped.jsonl")
                    if (folder / name).exists()]
            halves += any(end not in (b"", b"\n") for end in ends)
            continue
        if process.returncode != 0:
            sys.exit(f"naru ended with {process.returncode} after {kills} kills")
        break
    return kills, halves


def main():
    words = sys.argv[1:]
    more = words[words.index("--") + 1:] if "--" in words else []
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--problems", required=True)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--moments", type=int, help="the seed of the moments; default: another each time")
    parser.add_argument("--naru", default=str(ROOT / "build" / "release" / "naru"))
    args = parser.parse_args(words[:words.index("--")] if "--" in words else words)
    base = [args.naru, "sample", args.model, "--problems", args.problems, *more]
    seed = args.moments if args.moments is not None else time.time_ns() % 1_000_000
    holds = True
    with tempfile.TemporaryDirectory() as name:
        scratch = pathlib.Path(name)
        result, seconds = finish([*base, "--out", str(scratch / "first")])
        wanted = digests(scratch / "first")
        summary = result["summary"]
        print(f"{seconds:.1f} s, {summary['kept']} of {summary['answers']} answers kept: {wanted['samples.jsonl']}", flush=True)
        for flags in (["--at-once", "1"], ["--at-once", "3"], ["--at-once", "32"], ["--threads", "1"]):
            folder = scratch / "-".join(flags).strip("-")
            finish([*base, "--out", str(folder), *flags])
            is_same = digests(folder) == wanted
            holds &= is_same
            print(f"{' '.join(flags)}: {'the same files' if is_same else 'OTHER files'}", flush=True)
        if args.kills > 0:
            folder = scratch / "killed"
            command = [*base, "--out", str(folder)]
            kills, halves = kill_often(command, folder, args.kills, seconds, random.Random(seed))
            finish(command)
            is_same = digests(folder) == wanted
            holds &= is_same
            print(f"killed {kills} times (seed {seed}), {halves} times inside of a line: "
                  f"{'the same files' if is_same else 'OTHER files'}")
    print("all of it holds" if holds else "NOT all of it holds")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
