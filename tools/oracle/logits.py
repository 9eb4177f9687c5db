"""Reference logits of a Hugging Face folder: transformers, f32, eager attention and experts, the whole sequence at
once. Models with experts also give the router margin of each token: how far the last chosen selection key is from
the first one not chosen (and the same for groups), the smallest over the layers. Below about 1e-5 two correct
implementations may choose differently, so such a token and all after it prove nothing.

    python3 logits.py MODEL --ids ids.json --out logits.npy [--rows 0,1,31]
"""

import argparse
import json
import os
import pathlib
import sys

os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")

import numpy as np
import torch
import transformers

transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()


def load(folder):
    """The model in f32, everything eager."""
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager"
    ).eval()


def _gap(keys, count):
    """Distance between the count-th and the next key of each row; infinite when all are chosen."""
    if count >= keys.shape[-1]:
        return torch.full(keys.shape[:-1], float("inf"))
    top = torch.topk(keys, count + 1, dim=-1).values
    return top[..., count - 1] - top[..., count]


def router_margin(gate, config, router_logits):
    """Smallest selection gap of each token at one router."""
    logits = router_logits.reshape(-1, router_logits.shape[-1]).float()
    grouped = config.n_group is not None and config.n_group > 1
    if config.model_type == "deepseek_v3":
        keys = logits.sigmoid() + gate.e_score_correction_bias
        group_keys = keys.view(len(keys), config.n_group, -1).topk(2, dim=-1).values.sum(-1) if grouped else None
    else:
        keys = logits.softmax(-1)
        grouped = grouped and config.topk_method == "group_limited_greedy"
        group_keys = keys.view(len(keys), config.n_group, -1).max(-1).values if grouped else None
    if not grouped:
        return _gap(keys, config.num_experts_per_tok)
    margin = _gap(group_keys, config.topk_group)
    chosen = torch.zeros_like(group_keys).scatter_(1, group_keys.topk(config.topk_group, dim=-1).indices, 1).bool()
    allowed = chosen.repeat_interleave(keys.shape[-1] // config.n_group, dim=-1)
    masked = keys.masked_fill(~allowed, float("-inf"))
    return torch.minimum(margin, _gap(masked, config.num_experts_per_tok))


def run(model, ids):
    """(logits [T, vocab] f32, margins [T] f32); margins are infinite for models without experts."""
    margins = torch.full((len(ids),), float("inf"))
    hooks = []

    def watch(gate, _, output):
        nonlocal margins
        margins = torch.minimum(margins, router_margin(gate, model.config, output[0]))

    for name, module in model.named_modules():
        if name.endswith("mlp.gate"):
            hooks.append(module.register_forward_hook(watch))
    try:
        with torch.no_grad():
            logits = model(torch.tensor([ids]), use_cache=False).logits[0].float().numpy()
    finally:
        for hook in hooks:
            hook.remove()
    return logits, margins.numpy()


def decided(margins, limit=1e-5):
    """How many leading tokens have every router margin at or above the limit."""
    low = np.flatnonzero(~(margins >= limit))
    return int(low[0]) if len(low) else len(margins)


def draw_ids(model, rng, length, limit=1e-5, tries=50):
    """Random ids; a token whose router margin is below the limit is drawn again, so that all rows can be compared.

    Returns (ids, logits, margins, redraws)."""
    vocab = model.config.vocab_size
    ids = [int(i) for i in rng.integers(0, vocab, length)]
    for redraws in range(tries):
        logits, margins = run(model, ids)
        good = decided(margins, limit)
        if good == length:
            break
        ids[good] = int(rng.integers(0, vocab))
    return ids, logits, margins, redraws


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--ids", type=pathlib.Path, required=True, help="JSON array of token ids")
    parser.add_argument("--out", type=pathlib.Path, required=True, help=".npy, float32 [T, vocab]")
    parser.add_argument("--rows", help="comma separated positions; only these rows are written")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    ids = json.loads(args.ids.read_text())
    logits, margins = run(load(args.model), ids)
    rows = [int(r) for r in args.rows.split(",")] if args.rows else range(len(ids))
    np.save(args.out, np.ascontiguousarray(logits[list(rows)], dtype=np.float32))
    print(f"{len(ids)} tokens, vocabulary {logits.shape[1]}, range {logits.max() - logits.min():.4f}")
    if np.isfinite(margins).any():
        print(f"smallest router margin {margins.min():.3g} at token {int(margins.argmin())};", end=" ")
        print(f"{decided(margins)} of {len(ids)} tokens before the first one below 1e-5")
    return 0


if __name__ == "__main__":
    sys.exit(main())
