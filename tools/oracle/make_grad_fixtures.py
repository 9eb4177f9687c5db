"""Writes tests/fixtures/train: losses and gradients of PyTorch (as compare_grads.py takes them) for some of the tiny models
under tests/fixtures/models. Of every parameter the norm and up to 96 evenly spread elements are kept, so the files stay
small; that is enough to see any wrong gradient.

    python3 tools/oracle/make_grad_fixtures.py --out tests/fixtures/train
"""

import argparse
import importlib.metadata
import json
import pathlib
import sys

import torch
from safetensors.torch import load_file, save_file

import logits as oracle
import prediction
from compare_grads import MTP_WEIGHT, reference_grads, split_experts

MODELS = ("llama-gqa", "v2-group", "v3-f32", "v3-mtp")
TOKENS = 48
KEPT = 96
MODELS_FOLDER = pathlib.Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "models"


def make(name, out):
    folder = MODELS_FOLDER / name / "hf"
    known = {n for path in folder.glob("*.safetensors") for n in load_file(path)}
    ids = json.loads((MODELS_FOLDER / name / "ids.json").read_text())[:TOKENS]
    model = oracle.load(folder)
    if getattr(model.config, "num_nextn_predict_layers", 0):
        loss, grads = prediction.grads(model, prediction.Prediction(model, folder), ids, MTP_WEIGHT)
    else:
        loss, grads = reference_grads(model, ids)
    tensors, norms, total = {}, {}, 0.0
    for stacked, value in grads.items():
        for parameter, grad in split_experts(stacked, value, known):
            flat = grad.flatten()
            norm = float(flat.double().norm())
            norms[parameter] = norm
            total += norm**2
            stride = -(-len(flat) // KEPT)
            tensors[parameter] = flat[::stride].contiguous().clone()
    save_file(tensors, out / f"{name}.safetensors")
    return {"tokens": TOKENS, "loss": loss, "norm": total**0.5, "kept": KEPT, "norms": norms}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    packages = ("transformers", "torch", "safetensors")
    manifest = {
        "made_by": "tools/oracle/make_grad_fixtures.py",
        "versions": {p: importlib.metadata.version(p) for p in packages},
        "models": {name: make(name, args.out) for name in MODELS},
    }
    (args.out / "grads.json").write_text(json.dumps(manifest, indent=1) + "\n")
    print(f"{sum(p.stat().st_size for p in args.out.iterdir())} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
