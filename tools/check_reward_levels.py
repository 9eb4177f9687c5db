#!/usr/bin/env python3
"""The same bits at every level of instructions, with an external reward whose speed is random.

    python3 tools/check_reward_levels.py             about three minutes on two quiet cores
    python3 tools/check_reward_levels.py --levels baseline,avx512 --steps 5

Makes a small model of latent attention and experts (the first two stages of recipes/r1-minute.toml, cut short), then trains
it by reinforcement learning for 20 steps with a program as the reward, which takes a random time for each answer: at every
level that this machine has, with one thread and with two, and once killed in the middle and gone on with. All runs must
end with the same SHA-256, and no rewards may have failed. The exit status is 0 where that holds.
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
LEVELS = ["baseline", "avx2", "avx512", "avx512vnni", "amx"]
JUDGE = '''import json, random, sys, time
for line in sys.stdin:
    asked = json.loads(line)
    time.sleep(random.random() * 0.004)
    words = asked["response"].split()
    reward = 1.0 if words and words[-1] == str(asked["answer"]) else 0.0
    print(json.dumps({"id": asked["id"], "reward": reward + 0.01 * len(words)}), flush=True)
'''


def recipe_text(model, steps):
    return f'''kind = "grpo"
seed = 1
steps = {steps}
[model]
path = "{model}"
[[data]]
generator = "digits"
[grpo]
prompts = 8
answers = 8
max_tokens = 16
at_once = 64
[[reward]]
kind = "program"
command = ["python3", "judge.py"]
processes = 3
seconds = 30.0
[batch]
context = 32
micro_rows = 16
[optimizer]
lr = 5e-4
[schedule]
kind = "constant"
[checkpoint]
every = 5
'''


def call(naru, arguments, level=None):
    environment = dict(os.environ)
    if level:
        environment["NARU_CPU"] = level
    done = subprocess.run([naru, *map(str, arguments)], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"naru {' '.join(map(str, arguments))} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


def kill_in_the_middle(naru, recipe, out):
    """Started and killed at a random moment after its first steps."""
    metrics = out / "metrics.jsonl"
    with subprocess.Popen([naru, "train", recipe, "--out", out, "--json"], cwd=ROOT, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as started:
        while started.poll() is None and not (metrics.exists() and metrics.read_bytes().count(b'"reward"') >= 7):
            time.sleep(0.005)
        time.sleep(random.random() * 0.3)
        started.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--naru", default=str(ROOT / "build" / "release" / "naru"))
    parser.add_argument("--levels", help="names, with commas; default: all that this machine has")
    parser.add_argument("--steps", type=int, default=20)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        call(args.naru, ["train", "recipes/r1-minute.toml", "--out", folder / "start", "base.steps=150", "sft.steps=60",
                         "rl.steps=1", "validate.every=0", "--json"])
        (folder / "judge.py").write_text(JUDGE)
        recipe = folder / "levels.toml"
        recipe.write_text(recipe_text(folder / "start" / "sft" / "model", args.steps))
        available = []
        for level in args.levels.split(",") if args.levels else LEVELS:
            probe = subprocess.run([args.naru, "show", "--machine"], env={**os.environ, "NARU_CPU": level},
                                   capture_output=True, text=True, check=False)
            if probe.returncode == 0:
                available.append(level)
            else:
                print(f"{level:12} not on this machine")
        hashes = {}
        runs = [(level, threads, False) for level in available for threads in (2, 1)] + [(available[-1], 2, True)]
        for level, threads, is_killed in runs:
            what = f"{level:12} {threads} thread{'s' if threads > 1 else ' '}{', killed' if is_killed else ''}"
            out = folder / f"{level}-{threads}{'-killed' if is_killed else ''}"
            if is_killed:
                kill_in_the_middle(args.naru, recipe, out)
            begin = time.monotonic()
            result = json.loads(call(args.naru, ["train", recipe, "--out", out, "--threads", threads, "--json"], level))
            run = json.loads((out / "run.json").read_text())
            failures = run.get("reward_failures", result.get("reward_failures", 0))
            hashes[what] = result["weights_sha256"]
            print(f"{what:32} {result['weights_sha256'][:12]}  {failures or 0} rewards failed  "
                  f"{time.monotonic() - begin:.1f} s", flush=True)
            if failures:
                return 1
    holds = len(set(hashes.values())) == 1
    print("all of it holds" if holds else "the runs differ")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
