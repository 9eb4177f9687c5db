"""Compares `naru grads` with a float64 PyTorch (transformers, eager attention) on tiny random checkpoints.

A row is one checkpoint and attention form; a cell is the largest of |g - true| / limit over its parameters (norms over a
tensor), which must be at most 1. In f32 the limit is 1e-4 |true| + 1e-8 |all|, `all` being all parameters together; in bf16
it is that and twice the error of the same float64 model with the operands of every product rounded to bf16 as naru rounds
them, on the same rounded parameters. Where a run does not keep that, the gradient may be one that hangs on the last bit of a
sum (nearly everything cancels, or a value lies between two bf16): then it is counted, and judged by twice the largest error of
eight such models whose products are off at random by one f32 rounding of their terms' absolute sum. The loss must agree
within 1e-5 (bf16: 2e-3 and twice that model's error), and experts that no token chose must have gradients of exact zeros.
Ids are drawn so that hardly any token has a close router choice; a run with one is left out and counted.

    python3 compare_grads.py                                              every variant, lengths 2, 33, 130
    python3 compare_grads.py --random 50 --seed 5 --lengths 2,3,4,5,8,33   50 random shapes a family, short documents
    python3 compare_grads.py --compute bf16
"""

import argparse
import json
import pathlib
import sys
import tempfile

import numpy as np
import torch
from safetensors.torch import load_file

import double_model
import logits as oracle
import make_checkpoints
import naru_cli
import prediction
import shapes
from compare_logits import forms_of

LOSS_LIMITS = {"f32": 1e-5, "bf16": 2e-3}  # of the loss, where that is above 1
MARGINS = {"f32": 1e-5, "bf16": 1e-3}  # a router choice that is closer may fall otherwise
MTP_WEIGHT = 0.3  # of the prediction layers' loss, where a shape has one


def reference_grads(model, ids):
    """Loss and gradients by the names of the model's own parameters."""
    model.train(False)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
        parameter.grad = None
    tokens = torch.tensor([ids])
    out = model(tokens)
    loss = torch.nn.functional.cross_entropy(out.logits[0, :-1], tokens[0, 1:])
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
        self.runs, self.failures, self.left_out, self.ill, self.ratios, self.worst_loss = 0, 0, 0, 0, [], 0.0


def by_name(grads, known):
    return {n: v.double() for name, value in grads.items() for n, v in split_experts(name, value, known)}


def check(naru, truth, same_rounding, drawn, compute, totals):
    """The worst ratio of one run, and words on what is wrong. `same_rounding`: what a float64 model with naru's operands
    gives, which is `truth` itself in f32; `drawn`: errors by parameter of models whose products are off."""
    wanted, rounded = by_name(truth[1], naru), by_name(same_rounding[1], naru)
    missing = sorted(set(wanted) ^ (set(naru) - {"loss"}))
    if missing:
        return float("nan"), f"names differ: {missing[:4]}"
    everything = float(torch.sqrt(sum((v**2).sum() for v in wanted.values())))
    worst, where = 0.0, ""
    for name, value in wanted.items():
        got = naru[name].double()
        if float(rounded[name].norm()) == 0.0 and ".experts." in name:
            if float(got.abs().max()) != 0.0:
                return float("nan"), f"{name} is not exactly zero"
            continue
        error = max(float((rounded[name] - value).norm()), drawn.get(name, 0.0))
        ratio = float((got - value).norm()) / (1e-4 * float(value.norm()) + 1e-8 * everything + 2 * error)
        if not ratio <= worst:
            worst, where = ratio, name
    error = abs(float(naru["loss"][0]) - truth[0])
    totals.worst_loss = max(totals.worst_loss, error)
    if not error <= LOSS_LIMITS[compute] * max(1.0, abs(truth[0])) + 2 * abs(same_rounding[0] - truth[0]):
        return float("nan"), f"loss {float(naru['loss'][0])}, wanted {truth[0]}"
    return worst, where


def naru_grads(args, folder, ids, form, mtp):
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / "ids.json").write_text(json.dumps([int(i) for i in ids]))
        out = scratch / "grads.safetensors"
        flags = ["--threads", args.threads, "--compute", args.compute]
        flags += [*(["--latent", form] if form else []), *(["--mtp", mtp] if mtp else [])]
        naru_cli.call(args.naru, ["grads", folder, "--ids", scratch / "ids.json", "--out", out, *flags], level=args.level)
        return load_file(out)


class Judge:
    """Ids of one checkpoint, their gradients in float64, and those with rounded operands."""

    def __init__(self, shape, seed, folder, args):
        plain = oracle.load(make_checkpoints.write_checkpoint(shape, seed, folder))
        self.family, self.compute = shape["family"], args.compute
        self.mtp = MTP_WEIGHT if shape.get("mtp") else 0
        is_bf16 = args.compute == "bf16"
        layer = double_model.make(prediction.Prediction(plain, folder), is_bf16) if self.mtp else None
        self.model, self.layer = double_model.make(plain, is_bf16), layer
        parts = [self.model, layer] if layer else [self.model]
        self.routers = [m.weight for part in parts for n, m in part.named_modules() if n.endswith("mlp.gate")]

    def lifted(self, form, is_noisy=False):
        rounded = {"on": "latent", "off": "expanded", None: "grouped"}[form] if self.compute == "bf16" else None
        return double_model.lifted(self.family, self.routers, rounded, is_noisy)

    def draw(self, form, rng, length):
        with self.lifted(form):
            ids, _, margins, _ = oracle.draw_ids(self.model, rng, length, MARGINS[self.compute])
        return [int(i) for i in ids], oracle.decided(margins, MARGINS[self.compute]) == length

    def grads(self, ids, form):
        """(exact, with rounded operands); in f32 one and the same."""
        with double_model.lifted(self.family):
            truth = self._grads(ids)
        if self.compute == "f32":
            return truth, truth
        with self.lifted(form):
            return truth, self._grads(ids)

    def noise(self, ids, form, truth, known, draws=8):
        """By parameter, the largest error where products are off as f32 sums are."""
        wanted, errors = by_name(truth[1], known), {}
        for draw in range(draws):
            torch.manual_seed(draw)
            with self.lifted(form, is_noisy=True):
                grads = by_name(self._grads(ids)[1], known)
            errors = {n: max(errors.get(n, 0.0), float((grads[n] - v).norm())) for n, v in wanted.items()}
        return errors

    def _grads(self, ids):
        return prediction.grads(self.model, self.layer, ids, self.mtp) if self.mtp else reference_grads(self.model, ids)


def compare(label, shape, seed, args, totals):
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch) / "hf"
        judge = Judge(shape, seed, folder, args)
        for form in forms_of(shape["family"], args.latent):
            rng = np.random.default_rng(seed)
            cells = []
            for length in args.lengths:
                ids, is_decided = judge.draw(form, rng, length)
                if not is_decided:
                    totals.left_out += 1
                    cells.append("  close")
                    continue
                found = naru_grads(args, folder, ids, form, judge.mtp)
                truth, same_rounding = judge.grads(ids, form)
                worst, words = check(found, truth, same_rounding, {}, args.compute, totals)
                if worst > 1.0:
                    totals.ill += 1
                    drawn = judge.noise(ids, form, truth, found)
                    worst, words = check(found, truth, same_rounding, drawn, args.compute, totals)
                totals.runs += 1
                bad = not worst <= 1.0
                totals.failures += bad
                totals.ratios.append(worst)
                cells.append(f"{worst:7.3f}" + (f" ! {words}" if bad else ""))
            name = label + (f" latent={form}" if form else "")
            print(f"{name:48s} {' '.join(cells)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    naru_cli.add_arguments(parser)
    parser.add_argument("--compute", choices=("f32", "bf16"), default="f32")
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
    ratios = np.sort(np.array(totals.ratios or [np.nan]))
    print(f"{totals.runs} runs, ratios: median {np.median(ratios):.3f}, of one in a hundred {ratios[int(0.99 * len(ratios))]:.3f}, "
          f"worst {ratios[-1]:.3f} (1 is the limit), worst loss difference {totals.worst_loss:.1e}, {totals.failures} failed, "
          f"{totals.ill} judged by models whose sums are off, {totals.left_out} left out for a close router choice")
    return 1 if totals.failures or not totals.runs else 0


if __name__ == "__main__":
    sys.exit(main())
