#!/usr/bin/env python3
"""Trains a recipe twice, once undisturbed and once killed (SIGKILL) at random moments, and compares the weights.

    python3 tools/check_kills.py recipes/pretrain-tiny-moe.toml --kills 10 steps=60 schedule.warmup_steps=10 checkpoint.every=5

KEY=VALUE overrides keys of the recipe. The exit status is 0 where both runs end with the same SHA-256.
"""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent


def steps_done(folder):
    try:
        lines = (folder / "metrics.jsonl").read_bytes().splitlines()
        return json.loads(lines[-1])["step"] if lines else 0
    except (OSError, ValueError, KeyError):
        return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recipe")
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seed", type=int, help="of the moments; default: another each time")
    parser.add_argument("--naru", default=str(ROOT / "build" / "release" / "naru"))
    parser.add_argument("keys", nargs="*", help="KEY=VALUE")
    args = parser.parse_intermixed_args()
    seed = args.seed if args.seed is not None else time.time_ns() % 1_000_000
    moments = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        quiet, killed = pathlib.Path(scratch) / "undisturbed", pathlib.Path(scratch) / "killed"

        def command(folder):
            return [args.naru, "train", args.recipe, *args.keys, "--out", str(folder), "--json"]

        def finish(folder):
            """The weights, and the seconds until the first step and until the end."""
            begin, first = time.monotonic(), None
            with open(pathlib.Path(scratch) / "said", "w+") as said:
                process = subprocess.Popen(command(folder), stdout=subprocess.PIPE, stderr=said, text=True)
                while process.poll() is None:
                    time.sleep(0.05)
                    if first is None and steps_done(folder) > 0:
                        first = time.monotonic() - begin
                if process.returncode != 0:
                    said.seek(0)
                    sys.exit(f"naru ended with {process.returncode}: {said.read()[-1000:]}")
            return json.loads(process.stdout.read())["weights_sha256"], first or 0.0, time.monotonic() - begin

        wanted, opening, seconds = finish(quiet)
        print(f"undisturbed {seconds:.1f} s, the first step after {opening:.1f} s, {wanted}", flush=True)
        kills = 0
        while kills < args.kills:
            process = subprocess.Popen(command(killed), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            # One in four while it opens; the others during its steps, before and after a checkpoint.
            wait = moments.uniform(0.01, opening)
            if moments.random() > 0.25:
                wait = opening + moments.uniform(0, 2 * (seconds - opening) / args.kills)
            try:
                process.wait(timeout=wait)
                print(f"done before kill {kills + 1}: {kills} kills it was; train longer for more", flush=True)
                break
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            kills += 1
            print(f"kill {kills:2d} after {wait:5.2f} s, step {steps_done(killed)}", flush=True)
        found, _, _ = finish(killed)
        print(f"killed {kills} times (seed {seed}) {found}: {'the same' if found == wanted else 'DIFFERENT'}")
        sys.exit(0 if found == wanted and kills == args.kills else 1)


main()
