#!/usr/bin/env python3
"""Whole answers and whole runs on a chip beside the CPU's: the same tokens, and the same SHA-256 of what was trained.

    python3 tools/check_chip_runs.py --chip opencl                    all of it, half an hour with PoCL on two cores
    python3 tools/check_chip_runs.py --chip cuda --only answer
    python3 tools/check_chip_runs.py --only r1 --set base.steps=25 --set sft.steps=25 --set rl.steps=2

    answer   a greedy answer of SmolLM2-135M-Instruct (naru pull smollm2-135m-instruct): text, tokens, log-probabilities
    moe      50 steps of recipes/pretrain-tiny-moe.toml
    r1       recipes/r1-minute.toml: pretraining, supervised tuning and GRPO, stage by stage; with --set in fewer steps

Each proof runs on the CPU first and on the chip then, in processes of their own. What was computed is compared whole, times are
told and decide nothing. The exit status is 0 where all is equal, 1 where anything differs. Python's standard library only.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROOFS = ("answer", "moe", "r1")
# Of the answer's JSON what another chip may have otherwise.
MEASURED = ("timings", "kernels")


class Rig:
    def __init__(self, args, folder):
        self.naru, self.chip, self.folder, self.set = args.naru, args.chip, folder, args.set
        self.model, self.tokens = args.model, args.tokens

    def run(self, chip, *words):
        """What the program printed as JSON, and its seconds."""
        begin = time.monotonic()
        words = [str(word) for word in words] + ([] if words[0] == "data" else ["--chip", chip]) + ["--json"]
        done = subprocess.run([self.naru, *words], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"naru {' '.join(words)} ended with {done.returncode}: {done.stderr[-2000:]}")
        return json.loads(done.stdout), time.monotonic() - begin

    def both(self, name, of_chip):
        """Whether what of_chip(chip) gives is the same on both; prints each value, and seconds."""
        values = []
        for chip in ("cpu", self.chip):
            value, seconds = of_chip(chip)
            values.append(value)
            print(f"{name:7} {chip:8} {seconds:7.1f} s  {shown(value)}", flush=True)
        is_equal = values[0] == values[1]
        print(f"{name:7} {'equal' if is_equal else 'DIFFERENT'}", flush=True)
        return is_equal

    def answer(self):
        def of_chip(chip):
            told, seconds = self.run(chip, "run", self.model, "Why is the sky blue?", "--temperature", 0, "-n", self.tokens)
            return {key: value for key, value in told.items() if key not in MEASURED}, seconds
        return self.both("answer", of_chip)

    def trained(self, name, recipe, changes):
        """By run folder the SHA-256 of its weights."""
        def of_chip(chip):
            out = self.folder / f"{name}-{chip.replace(':', '-')}"
            _, seconds = self.run(chip, "train", recipe, *changes, "--out", out)
            weights = {str(path.parent.relative_to(out)): json.loads(path.read_text())["weights_sha256"]
                       for path in sorted(out.rglob("run.json"))}
            if not weights:
                sys.exit(f"{name} on {chip}: no run.json below {out}")
            return weights, seconds
        return self.both(name, of_chip)

    def moe(self):
        recipe, tokenizer = "recipes/pretrain-tiny-moe.toml", self.folder / "tokenizer"
        self.run("cpu", "data", recipe, "--train-tokenizer", tokenizer, "--pre-tokenizer", "qwen2")
        return self.trained("moe", recipe, ["steps=50", f"model.tokenizer={tokenizer}"])

    def r1(self):
        return self.trained("r1", "recipes/r1-minute.toml", self.set)


def shown(value):
    if "text" in value:
        return f"{len(value['ids'])} tokens: {value['text'][:60]!r}"
    return ", ".join(f"{name} {digest[:16]}" for name, digest in value.items())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--chip", default="opencl")
    parser.add_argument("--only", action="append", choices=PROOFS, help="this proof alone; may be given again")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="of r1-minute, as naru train takes it")
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--naru", default=str(ROOT / "build" / "release" / "naru"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        rig = Rig(args, pathlib.Path(name))
        equal = [getattr(rig, proof)() for proof in args.only or PROOFS]
    print("all equal" if all(equal) else "something differs")
    return 0 if all(equal) else 1


if __name__ == "__main__":
    sys.exit(main())
