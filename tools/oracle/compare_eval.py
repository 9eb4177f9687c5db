"""Compares `naru eval --text` with transformers in float64: perplexity, bits per byte, the share of equal likeliest tokens
and the mean KL divergence of two models.

    python3 compare_eval.py                                    a tiny llama and the same with noise on its weights
    python3 compare_eval.py FOLDER OTHER --text FILE           two Hugging Face folders of one vocabulary
    python3 compare_eval.py --fixture tests/fixtures/eval      writes what tests/eval compares with

Windows are those of the perplexity page of transformers' documentation: each begins `stride` tokens after the one before and
scores what that one did not hold; here what the tokenizer puts before a text stands before every window.
"""

import argparse
import importlib.metadata
import json
import math
import pathlib
import shutil
import sys
import tempfile

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file

import double_model
import logits as oracle
import naru_cli

LIMIT = 1e-5  # of nats a token, relative; of the divergence relative to it or to a thousandth
MODELS = naru_cli.ROOT / "tests" / "fixtures" / "models"
FIXTURE = {"models": ["llama-gqa", "qwen3-wide-head"], "tokens": 120, "window": 32, "stride": 12}


def log_probs(model, ids):
    """float64 [T, vocab] of one pass."""
    family = model.config.model_type
    with torch.no_grad(), double_model.lifted(family):
        return model(torch.tensor([ids])).logits[0].double().log_softmax(-1)


def score(models, prefix, ids, window, stride):
    """Sums over the tokens: nats of each model, and of two KL(first || second) and equal likeliest tokens."""
    room = window - len(prefix)
    sums = {"tokens": 0, "nats": [0.0] * len(models), "kl": 0.0, "same_top": 0}
    previous_end, begin = (0 if prefix else 1), 0
    while previous_end < len(ids):
        end = min(begin + room, len(ids))
        rows = [log_probs(model, prefix + ids[begin:end]) for model in models]
        for token in range(previous_end, end):
            at = len(prefix) + token - begin - 1
            sums["tokens"] += 1
            for m, table in enumerate(rows):
                sums["nats"][m] -= float(table[at, ids[token]])
            if len(models) == 2:
                p, q = rows[0][at], rows[1][at]
                sums["kl"] += float((p.exp() * (p - q)).sum())
                sums["same_top"] += int(p.argmax() == q.argmax())
        previous_end, begin = end, begin + stride
    return sums


def load(folder):
    return double_model.make(oracle.load(folder))


def write_fixture(out):
    models = [load(MODELS / name / "hf") for name in FIXTURE["models"]]
    ids = json.loads((MODELS / FIXTURE["models"][0] / "ids.json").read_text())[: FIXTURE["tokens"]]
    texts = []
    for prefix in ([], [1]):
        texts.append({"prefix": prefix, **score(models, prefix, ids, FIXTURE["window"], FIXTURE["stride"])})
    versions = {p: importlib.metadata.version(p) for p in ("transformers", "torch")}
    fixture = {"made_by": "tools/oracle/compare_eval.py", "versions": versions, **FIXTURE, "ids": ids, "texts": texts}
    out.mkdir(parents=True, exist_ok=True)
    (out / "text_scores.json").write_text(json.dumps(fixture) + "\n")


def make_tiny(binary, folder):
    """A folder of the tiny llama with a tokenizer, and one with noise on all its weights."""
    naru_cli.call(binary, ["convert", MODELS / "gguf-llama-f32" / "model.gguf", folder / "a"])
    shutil.copytree(folder / "a", folder / "b")
    path = folder / "b" / "model.safetensors"
    torch.manual_seed(1)
    noisy = {name: w + 0.05 * w.std() * torch.randn(w.shape) if w.dim() > 1 else w for name, w in load_file(path).items()}
    save_file(noisy, path, {"format": "pt"})
    text = folder / "text.txt"
    words = "the quick brown fox jumps over 13 lazy dogs; 나루 배 한 척 渡船".split()
    rng = np.random.default_rng(2)
    text.write_text(" ".join(rng.choice(words, 150)) + "\n")
    return folder / "a", folder / "b", text


def off(found, wanted, scale):
    return abs(found - wanted) / scale


def compare(args, first, second, text):
    tokenizer = transformers.AutoTokenizer.from_pretrained(first)
    ids = tokenizer(text.read_text(), add_special_tokens=False)["input_ids"]
    with_special = tokenizer("", add_special_tokens=True)["input_ids"]
    prefix = with_special[:1] if with_special[:1] == [tokenizer.bos_token_id] else []
    wanted = score([load(first), load(second)], prefix, ids, args.window, args.stride)
    flags = ["--window", args.window, "--stride", args.stride, "--compute", "f32", "--threads", args.threads, "--json"]
    found = json.loads(naru_cli.call(args.naru, ["eval", first, "--text", text, "--against", second, *flags]))
    n = wanted["tokens"]
    # A character of a byte-level token is a byte of the text.
    n_bytes = len(text.read_bytes()) - (0 if prefix else len(tokenizer.convert_ids_to_tokens(ids[0])))
    nats = [total / n for total in wanted["nats"]]
    kl = wanted["kl"] / n
    rows = [
        ("tokens", found["tokens"], n, 0),
        ("nats per token", found["nats_per_token"], nats[0], off(found["nats_per_token"], nats[0], nats[0])),
        ("of the second", found["against"]["nats_per_token"], nats[1],
         off(found["against"]["nats_per_token"], nats[1], nats[1])),
        ("perplexity", found["perplexity"], math.exp(nats[0]),
         off(found["perplexity"], math.exp(nats[0]), math.exp(nats[0]))),
        ("bits per byte", found["bits_per_byte"], wanted["nats"][0] / math.log(2) / n_bytes,
         off(found["bits_per_byte"], wanted["nats"][0] / math.log(2) / n_bytes, found["bits_per_byte"])),
        ("mean KL", found["kl"], kl, off(found["kl"], kl, max(kl, 1e-3))),
        ("same top", found["same_top"], wanted["same_top"] / n, 0),
    ]
    good = found["tokens"] == n and abs(found["same_top"] * n - wanted["same_top"]) <= n * 1e-3
    for name, ours, theirs, error in rows:
        good = good and error <= LIMIT
        print(f"{name:16s} naru {ours:<22} transformers {theirs:<22} off by {error:.1e}")
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("models", nargs="*", type=pathlib.Path, help="two folders; default: tiny ones, made here")
    parser.add_argument("--text", type=pathlib.Path)
    parser.add_argument("--window", type=int, default=64)
    parser.add_argument("--stride", type=int, default=24)
    parser.add_argument("--fixture", type=pathlib.Path, help="write the fixture into this folder instead")
    naru_cli.add_arguments(parser)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.fixture:
        write_fixture(args.fixture)
        return 0
    if len(args.models) not in (0, 2) or bool(args.models) != bool(args.text):
        parser.error("two folders and --text FILE, or none of them")
    with tempfile.TemporaryDirectory() as scratch:
        models = (*args.models, args.text) if args.models else make_tiny(args.naru, pathlib.Path(scratch))
        good = compare(args, *models)
    print("within the limits" if good else "BEYOND THE LIMITS")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
