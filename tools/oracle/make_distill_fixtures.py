"""Writes tests/fixtures/train/distill.json: the reverse KL of a student to its teachers, sum over the vocabulary of
p (log p - log q), weighted over teachers, with its gradient, by PyTorch's autograd in float64: of rows of logits that are
drawn here, and of tiny models under tests/fixtures/models by all parameters of the student (of each the norm and some
evenly spread elements).

    python3 tools/oracle/make_distill_fixtures.py --out tests/fixtures/train
"""

import argparse
import importlib.metadata
import json
import pathlib
import random
import sys

import torch
from safetensors.torch import load_file

import double_model
import logits as oracle
from compare_grads import split_experts

MODELS_FOLDER = pathlib.Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "models"
# Student, family of the student, teachers with their weights; all stored in f32, or read as f32.
PAIRS = (
    ("qwen2-gqa", "qwen2", (("llama-gqa", "llama", 1.0),)),
    ("v2-group", "deepseek_v2", (("v3-f32", "deepseek_v3", 0.75),)),
)
TOKENS = 40
KEPT = 24


def reverse_kl(x, teachers):
    """[rows]: of student's logits x to those of the teachers."""
    log_p = torch.log_softmax(x, -1)
    return sum(w * (log_p.exp() * (log_p - torch.log_softmax(y, -1))).sum(-1) for y, w in teachers)


def drawn_row(rng, n, scale):
    return [float(torch.tensor(rng.gauss(0, scale), dtype=torch.float32)) for _ in range(n)]


def rows_case(rng, n, scale, distance, weights):
    x = drawn_row(rng, n, scale)
    ys = []
    for _ in weights:
        moved = [a + rng.gauss(0, distance) for a in x]
        ys.append([float(torch.tensor(v, dtype=torch.float32)) for v in moved])
    weight = rng.choice([1.0, 0.25, -0.5])
    at = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    loss = reverse_kl(at, [(torch.tensor(y, dtype=torch.float64), w) for y, w in zip(ys, weights)])
    (weight * loss).backward()
    log_p = torch.log_softmax(at.detach(), -1)
    return {
        "x": x,
        "teachers": [{"weight": w, "y": y} for y, w in zip(ys, weights)],
        "row_weight": weight,
        "loss": float(loss.detach()),
        "entropy": float(-(log_p.exp() * log_p).sum()),
        "gradient": at.grad.tolist(),
    }


def make_rows():
    rng = random.Random(5)
    cases = []
    for n, scale, distance in ((1, 1, 1), (2, 1, 3), (17, 2, 0), (17, 2, 0.01), (33, 1, 1), (64, 8, 2), (40, 30, 20), (50, 0, 5)):
        for weights in ((1.0,), (0.5,), (0.75, 0.25), (1.0, 2.0, 0.125)):
            cases.append(rows_case(rng, n, scale, distance, weights))
    return cases


def double_logits(name, family, ids):
    model = double_model.make(oracle.load(MODELS_FOLDER / name / "hf"))
    model.train(False)
    with double_model.lifted(family):
        return model, model(torch.tensor([ids]), use_cache=False).logits[0]


def make_pair(student, family, teachers):
    folder = MODELS_FOLDER / student / "hf"
    known = {n for path in folder.glob("*.safetensors") for n in load_file(path)}
    ids = json.loads((MODELS_FOLDER / student / "ids.json").read_text())[:TOKENS]
    taught = []
    with torch.no_grad():
        for name, of, weight in teachers:
            taught.append((double_logits(name, of, ids)[1], weight))
    model = double_model.make(oracle.load(folder))
    model.train(False)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
    with double_model.lifted(family):
        x = model(torch.tensor([ids]), use_cache=False).logits[0]
        losses = reverse_kl(x, taught)[:-1]
        losses.mean().backward()
    grads = {n: (p.grad if p.grad is not None else torch.zeros_like(p)) for n, p in model.named_parameters()}
    parameters, total = {}, 0.0
    for stacked, value in grads.items():
        for parameter, grad in split_experts(stacked, value, known):
            flat = grad.flatten()
            total += float(flat.norm()) ** 2
            parameters[parameter] = {"norm": float(flat.norm()), "values": flat[:: -(-len(flat) // KEPT)].tolist()}
    return {
        "student": student,
        "teachers": [{"model": name, "weight": weight} for name, _, weight in teachers],
        "tokens": TOKENS,
        "kept": KEPT,
        "loss": float(losses.mean().detach()),
        "norm": total**0.5,
        "parameters": parameters,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    fixture = {
        "made_by": "tools/oracle/make_distill_fixtures.py",
        "versions": {p: importlib.metadata.version(p) for p in ("transformers", "torch", "safetensors")},
        "rows": make_rows(),
        "pairs": [make_pair(*pair) for pair in PAIRS],
    }
    path = args.out / "distill.json"
    path.write_text(json.dumps(fixture, separators=(",", ":")) + "\n")
    print(f"{path.stat().st_size} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
