"""Compares `naru logits --compute f32` with transformers on tiny random checkpoints of every family.

A row is one checkpoint and attention form; a cell is max |naru - transformers| over the range (largest minus
smallest) of the reference logits of that run. Tokens from the first router margin below 1e-5 on prove nothing:
ids are drawn so that there are hardly any, the rest is left out and counted, and more than 1 % is a failure.

    python3 compare_logits.py                          every variant, lengths 1, 33, 130, 512
    python3 compare_logits.py --random 20 --seed 5     20 random shapes a family
    python3 compare_logits.py --gguf                   also GGUF files of the same weights, both latent layouts
"""

import argparse
import json
import pathlib
import sys
import tempfile

import numpy as np
import torch

import gguf_export
import logits as oracle
import make_checkpoints
import naru_cli
import shapes

LIMIT = 2e-5
LEFT_OUT_LIMIT = 0.01


def forms_of(family, wanted):
    if not family.startswith("deepseek"):
        return [None]
    return {"on": ["on"], "off": ["off"], "both": ["on", "off"]}[wanted]


def ggufs_of(shape, folder, args):
    """(label, file) of the GGUF twins that this shape can have: F32 weights, so the same reference holds."""
    config = json.loads((folder / "config.json").read_text())
    rope = config.get("rope_parameters", {})
    sayable = rope.get("rope_type") != "yarn" or rope.get("mscale", 0) == rope.get("mscale_all_dim", 1)
    plain = not any(shape.get(k) for k in ("fp8", "fused", "mtp"))
    if not args.gguf or config["vocab_size"] < 260 or not sayable or not plain or args.dtype != "f32":
        return []
    layouts = ("split", "whole") if shape["family"].startswith("deepseek") else ("split",)
    out = []
    for layout in layouts:
        path = folder.parent / f"{layout}.gguf"
        gguf_export.export(folder, path, "F32", layout)
        out.append((f"gguf {layout}" if len(layouts) > 1 else "gguf", path))
    return out


class Totals:
    def __init__(self):
        self.failures, self.left_out, self.tokens, self.worst, self.runs = 0, 0, 0, 0.0, 0


def compare(label, shape, seed, args, totals):
    """One checkpoint: all forms and lengths, one printed line a form."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / "hf"
        # The old dialect cannot be exported to GGUF here, so it takes turns only without --gguf.
        dialect = args.dialect if args.dialect != "alternate" else ("new", "old")[seed % 2]
        options = {"dtype": args.dtype, "dialect": "new" if args.gguf else dialect}
        if args.shard:
            options["shard"] = "60KB"
        reference = oracle.load(make_checkpoints.write_checkpoint(shape, seed, folder, **options))
        rng = np.random.default_rng(seed)
        runs = [oracle.draw_ids(reference, rng, length) for length in args.lengths]
        models = [("hf", folder), *ggufs_of(shape, folder, args)]
        for kind, path in models:
            for form in forms_of(shape["family"], args.latent):
                cells = one_line(path, form, runs, args, totals)
                name = label + ("" if kind == "hf" else f" [{kind}]") + (f" latent={form}" if form else "")
                print(f"{name:48s} {' '.join(cells)}", flush=True)


def one_line(path, form, runs, args, totals):
    cells = []
    for ids, expected, margins, _ in runs:
        good = oracle.decided(margins)
        totals.tokens += len(ids)
        totals.left_out += len(ids) - good
        totals.runs += 1
        flags = ["--compute", "f32", "--threads", args.threads, *(["--latent", form] if form else [])]
        if args.prefill_chunk:
            flags += ["--prefill-chunk", args.prefill_chunk]
        try:
            found = naru_cli.logits(args.naru, path, ids, flags, args.level)
        except RuntimeError as error:
            print(error, file=sys.stderr)
            totals.failures += 1
            cells.append(f"{'error':>9s}")
            continue
        if found.shape != expected.shape:
            print(f"{path}: shape {found.shape}, wanted {expected.shape}", file=sys.stderr)
            totals.failures += 1
            cells.append(f"{'shape':>9s}")
            continue
        spread = float(expected.max() - expected.min())
        error = float(np.abs(found[:good].astype(np.float64) - expected[:good]).max()) / spread if good else 0.0
        bad = not error <= LIMIT
        totals.failures += bad
        totals.worst = max(totals.worst, error) if error == error else float("nan")
        cells.append(f"{error:8.1e}{'!' if bad else ' '}")
    return cells


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    naru_cli.add_arguments(parser)
    parser.add_argument("--families", nargs="+", choices=shapes.FAMILIES, default=list(shapes.FAMILIES))
    parser.add_argument("--variant", help="only this variant")
    parser.add_argument("--lengths", type=lambda s: [int(x) for x in s.split(",")], default=[1, 33, 130, 512])
    parser.add_argument("--random", type=int, default=0, help="this many random shapes a family, no fixed variants")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--latent", choices=("on", "off", "both"), default="both")
    parser.add_argument("--dtype", choices=("f32", "bf16"), default="f32", help="of the checkpoint")
    parser.add_argument("--dialect", choices=("new", "old", "alternate"), default="alternate")
    parser.add_argument("--shard", action="store_true", help="several files and an index")
    parser.add_argument("--gguf", action="store_true")
    parser.add_argument("--prefill-chunk", type=int)
    parser.add_argument("--level", help="NARU_CPU of the runs")
    args = parser.parse_args()
    torch.set_num_threads(1)
    totals = Totals()
    print(f"{'max difference / range, limit ' + str(LIMIT):48s} {' '.join(f'{n:8d} ' for n in args.lengths)}")
    for family in args.families:
        if args.random:
            for k in range(args.random):
                seed = args.seed * 1000 + k
                compare(f"{family} random {seed}", shapes.random_shape(family, seed), seed, args, totals)
            continue
        for number, variant in enumerate(shapes.VARIANTS[family]):
            if args.variant in (None, variant):
                shape = shapes.fixed(family, variant)
                compare(f"{family} {variant}", shape, args.seed + number, args, totals)
    share = totals.left_out / max(totals.tokens, 1)
    print(f"{totals.runs} runs, worst {totals.worst:.2e}, {totals.failures} over the limit or failed;", end=" ")
    print(f"left out {totals.left_out} of {totals.tokens} tokens ({100 * share:.2f} %) after a close router choice")
    return 1 if totals.failures or share > LEFT_OUT_LIMIT or not totals.runs else 0


if __name__ == "__main__":
    sys.exit(main())
