"""Compares `naru grads --compute f32` with PyTorch (transformers, eager attention) on tiny random checkpoints.

A row is one checkpoint and attention form; a cell is the largest of |g - ref| / (1e-4 |ref| + 1e-8 |all|) over its
parameters (norms over a tensor; `all` the norm over all of them), which must be at most 1; the loss must agree within
1e-5, and experts that no token chose must have gradients of exact zeros. Ids are drawn so that hardly any token has a
close router choice; a run with one is left out and counted.

    python3 compare_grads.py                          every variant, lengths 2, 33, 130
    python3 compare_grads.py --random 20 --seed 5     20 random shapes a family
"""

import argparse
import json
import pathlib
import sys
import tempfile

import numpy as np
import torch
from safetensors.torch import load_file

import logits as oracle
import make_checkpoints
import naru_cli
import prediction
import shapes
from compare_logits import forms_of

LOSS_LIMIT = 1e-5
MTP_WEIGHT = 0.3  # of the prediction layers' loss, where a shape has one


def reference_grads(model, ids):
    """Loss and gradients by the names of the model's own parameters."""
    model.train(False)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
        parameter.grad = None
    tokens = torch.tensor([ids])
    out = model(tokens)
    loss = torch.nn.functional.cross_entropy(out.logits[0, :-1].float(), tokens[0, 1:])
    loss.backward()
    grads = {n: (p.grad if p.grad is not None else torch.zeros_like(p)) for n, p in model.named_parameters()}
    return float(loss.detach()), {name: grad.detach() for name, grad in grads.items()}


def split_experts(name, value, known):
    """A stacked tensor of the classes as the single tensors that the checkpoint has."""
    if name in known:
        yield name, value
    elif name.endswith("experts.gate_up_proj"):
        for e, both in enumerate(value):
            gate, up = both.chunk(2)
            stem = name[: -len("gate_up_proj")]
            yield f"{stem}{e}.gate_proj.weight", gate
            yield f"{stem}{e}.up_proj.weight", up
    elif name.endswith("experts.down_proj"):
        for e, down in enumerate(value):
            yield f"{name[: -len('down_proj')]}{e}.down_proj.weight", down
    else:
        yield name, value


class Totals:
    def __init__(self):
        self.runs, self.failures, self.left_out, self.worst, self.worst_loss = 0, 0, 0, 0.0, 0.0


def check(naru, reference, totals):
    """The worst ratio of one run, and words on what is wrong."""
    loss, grads = reference
    found_loss = float(naru["loss"][0])
    named = {n: v for name, value in grads.items() for n, v in split_experts(name, value, naru)}
    missing = sorted(set(named) ^ (set(naru) - {"loss"}))
    if missing:
        return float("nan"), f"names differ: {missing[:4]}"
    everything = float(torch.sqrt(sum((v.double() ** 2).sum() for v in named.values())))
    worst, where = 0.0, ""
    for name, wanted in named.items():
        got = naru[name].double()
        norm = float(wanted.double().norm())
        if norm == 0.0 and ".experts." in name:
            if float(got.abs().max()) != 0.0:
                return float("nan"), f"{name} is not exactly zero"
            continue
        ratio = float((got - wanted.double()).norm()) / (1e-4 * norm + 1e-8 * everything)
        if ratio > worst:
            worst, where = ratio, name
    totals.worst_loss = max(totals.worst_loss, abs(found_loss - loss))
    if not abs(found_loss - loss) <= LOSS_LIMIT * max(1.0, abs(loss)):
        return float("nan"), f"loss {found_loss}, wanted {loss}"
    return worst, where


def naru_grads(args, folder, ids, form, mtp):
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / "ids.json").write_text(json.dumps([int(i) for i in ids]))
        out = scratch / "grads.safetensors"
        flags = ["--threads", args.threads, *(["--latent", form] if form else []), *(["--mtp", mtp] if mtp else [])]
        naru_cli.call(args.naru, ["grads", folder, "--ids", scratch / "ids.json", "--out", out, *flags], level=args.level)
        return load_file(out)


def compare(label, shape, seed, args, totals):
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / "hf"
        reference = oracle.load(make_checkpoints.write_checkpoint(shape, seed, folder))
        mtp = MTP_WEIGHT if shape.get("mtp") else 0
        layer = prediction.Prediction(reference, folder) if mtp else None

        def wanted(model, ids):
            return prediction.grads(model, layer, ids, mtp) if mtp else reference_grads(model, ids)

        rng = np.random.default_rng(seed)
        runs = []
        for length in args.lengths:
            ids, _, margins, _ = oracle.draw_ids(reference, rng, length)
            decided = oracle.decided(margins) == len(ids)
            runs.append((ids, wanted(reference, [int(i) for i in ids]) if decided else None))
        for form in forms_of(shape["family"], args.latent):
            cells = []
            for ids, truth in runs:
                if truth is None:
                    totals.left_out += 1
                    cells.append("  close")
                    continue
                worst, words = check(naru_grads(args, folder, ids, form, mtp), truth, totals)
                totals.runs += 1
                bad = not worst <= 1.0
                totals.failures += bad
                totals.worst = max(totals.worst, worst) if worst == worst else float("nan")
                cells.append(f"{worst:7.3f}" + (f" ! {words}" if bad else ""))
            name = label + (f" latent={form}" if form else "")
            print(f"{name:48s} {' '.join(cells)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    naru_cli.add_arguments(parser)
    parser.add_argument("--families", nargs="+", choices=shapes.FAMILIES, default=list(shapes.FAMILIES))
    parser.add_argument("--variant", help="only this variant")
    parser.add_argument("--lengths", type=lambda s: [int(x) for x in s.split(",")], default=[2, 33, 130])
    parser.add_argument("--random", type=int, default=0, help="this many random shapes a family, no fixed variants")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--latent", choices=("on", "off", "both"), default="both")
    parser.add_argument("--level", help="NARU_CPU of the runs")
    args = parser.parse_args()
    torch.set_num_threads(1)
    totals = Totals()
    for family in args.families:
        if args.random:
            for k in range(args.random):
                seed = args.seed * 1000 + k
                compare(f"{family} random {seed}", shapes.random_shape(family, seed), seed, args, totals)
            continue
        for number, variant in enumerate(shapes.VARIANTS[family]):
            shape = shapes.fixed(family, variant)
            if args.variant in (None, variant) and not shape.get("fp8"):
                compare(f"{family} {variant}", shape, args.seed + number, args, totals)
    print(f"{totals.runs} runs, worst ratio {totals.worst:.3f} (1 is the limit), worst loss difference "
          f"{totals.worst_loss:.1e}, {totals.failures} failed, {totals.left_out} left out for a close router choice")
    return 1 if totals.failures or not totals.runs else 0


if __name__ == "__main__":
    sys.exit(main())
