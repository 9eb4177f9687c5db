"""Compares `naru train` with PyTorch (transformers, eager, f32, torch.optim.AdamW) from the same tiny random checkpoints,
and the model folder that it leaves with what transformers reads from it.

A row is one checkpoint: the largest difference of the loss in --steps AdamW steps (constant rate, decay on matrices
only, clipping at 1, rows in two micro-batches), which must be at most 1e-4 (from 1 on: relative); then the largest
difference of logits between `naru logits` and transformers on the folder that naru wrote, over their range, at most 2e-5.

Once two correct implementations send a token to different experts, their losses part. So for models with experts naru
runs to every number of steps, transformers loads the weights it wrote, and the experts chosen under them are compared
with those under PyTorch's weights. Losses count up to the first difference, which is printed with its margin.

    python3 compare_training.py                                 every variant
    python3 compare_training.py --families llama --steps 50
    python3 compare_training.py --random 3 --seed 5             3 random shapes a family
"""

import argparse
import copy
import json
import pathlib
import sys
import tempfile

import numpy as np
import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

import compare_logits
import logits as oracle
import make_checkpoints
import naru_cli
import shapes
from compare_logits import forms_of

LOSS_LIMIT = 1e-4
LOGITS_LIMIT = compare_logits.LIMIT
VOCAB_LEAST = 257  # every byte and the end of a text
LR, BETAS, EPS, DECAY, CLIP = 1e-3, (0.9, 0.95), 1e-8, 0.1, 1.0


def write_tokenizer(folder):
    """A byte is a token: id by the byte-level alphabet's order, behind the end of a text."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {"<|end|>": 0, **{letter: 1 + i for i, letter in enumerate(alphabet)}}
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(["<|end|>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return tokenizer


def draw_texts(rng, count, length):
    letters = np.array(list("etaoin shrdlu"))
    return ["".join(rng.choice(letters, length)) for _ in range(count)]


def train_naru(args, folder, data, steps, form, out):
    """(losses of the steps, the folder of the model) of `naru train`."""
    recipe = out / "recipe.toml"
    out.mkdir()
    recipe.write_text(f"""
seed = 1
steps = {steps}
compute = "f32"
[model]
path = "{folder}"
form = "{ {'on': 'latent', 'off': 'expanded', None: ''}[form] }"
[[data]]
path = "{data}"
[batch]
context = {args.length}
rows = {args.rows}
micro_rows = {max(1, args.rows // 2)}
groups = 2
overlong = "drop"
[optimizer]
lr = {LR}
beta1 = {BETAS[0]}
beta2 = {BETAS[1]}
eps = {EPS}
weight_decay = {DECAY}
clip_norm = {CLIP}
[schedule]
kind = "constant"
[loss]
bias_update = 0.0
balance = 0.0
[guard]
clip_z = 1e9
skip_z = 1e9
""")
    naru_cli.call(args.naru, ["train", recipe, "--out", out / "run", "--threads", args.threads, "--json"], level=args.level)
    lines = [json.loads(line) for line in (out / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    if len(losses) != steps:
        raise RuntimeError(f"naru train wrote {len(losses)} losses for {steps} steps")
    return losses, out / "run" / "model"


class Reference:
    """The same steps with PyTorch, one at a time."""

    def __init__(self, folder, rows):
        self.model = oracle.load(folder)
        self.rows = torch.tensor(rows)
        matrices, others = [], []
        for name, parameter in self.model.named_parameters():
            parameter.requires_grad_(True)
            is_matrix = parameter.dim() >= 2 and "embed_tokens" not in name and "lm_head" not in name
            (matrices if is_matrix else others).append(parameter)
        groups = [{"params": matrices, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=LR, betas=BETAS, eps=EPS)

    def step(self):
        logits = self.model(self.rows, use_cache=False).logits[:, :-1]
        loss = torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), self.rows[:, 1:].reshape(-1))
        self.optimizer.zero_grad()
        loss.backward()
        grads = [p.grad for p in self.model.parameters() if p.grad is not None]
        norm = float(torch.sqrt(sum((g.double() ** 2).sum() for g in grads)))
        if norm > CLIP:
            for grad in grads:
                grad.mul_(CLIP / norm)
        self.optimizer.step()
        return float(loss.detach())


def routes(model, rows):
    """[(experts of each token as sets of sorted numbers, margins)] of each layer with experts."""
    found, hooks = [], []

    def watch(gate, _, output):
        chosen = next(t for t in output[1:] if not t.is_floating_point())
        found.append((chosen.reshape(-1, chosen.shape[-1]).sort(-1).values,
                      oracle.router_margin(gate, model.config, output[0])))

    for name, module in model.named_modules():
        if name.endswith("mlp.gate"):
            hooks.append(module.register_forward_hook(watch))
    try:
        with torch.no_grad():
            model(rows, use_cache=False)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def first_difference(ours, wanted):
    """Words on the first token that goes elsewhere, or None."""
    for layer, ((a, _), (b, margins)) in enumerate(zip(ours, wanted, strict=True)):
        tokens = torch.nonzero((a != b).any(-1)).flatten()
        if len(tokens):
            token = int(tokens[0])
            return f"layer with experts {layer}, token {token}, margin {float(margins[token]):.1e}, {len(tokens)} in that layer"
    return None


def load_strictly(folder):
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", experts_implementation="eager", output_loading_info=True)
    wrong = {k: v for k, v in info.items() if v and k in ("missing_keys", "unexpected_keys", "mismatched_keys")}
    if wrong:
        raise RuntimeError(f"{folder}: transformers says {wrong}")
    return model.eval()


class Totals:
    def __init__(self):
        self.rows, self.failures, self.worst_loss, self.worst_logits, self.parted = 0, 0, 0.0, 0.0, 0


def compare_folder(args, folder, rng, form):
    """The largest difference of logits over their range, of the folder that naru wrote."""
    model = load_strictly(folder)
    ids, wanted, margins, _ = oracle.draw_ids(model, rng, args.length)
    flags = ["--compute", "f32", "--threads", args.threads, *(["--latent", form] if form else [])]
    found = naru_cli.logits(args.naru, folder, ids, flags, args.level)
    good = oracle.decided(margins)
    spread = float(wanted.max() - wanted.min())
    return float(np.abs(found[:good].astype(np.float64) - wanted[:good]).max()) / spread if good else float("nan")


def compare(label, shape, seed, args, totals):
    shape = copy.deepcopy(shape)
    shape["config"]["vocab_size"] = max(VOCAB_LEAST, shape["config"]["vocab_size"])
    has_experts = shape["family"].startswith("deepseek")
    for form in forms_of(shape["family"], args.latent):
        with tempfile.TemporaryDirectory() as scratch:
            scratch = pathlib.Path(scratch)
            folder = scratch / "hf"
            make_checkpoints.write_checkpoint(shape, seed, folder)
            tokenizer = write_tokenizer(folder)
            rng = np.random.default_rng(seed)
            # With its end a text fills a row, and all texts are one step.
            texts = draw_texts(rng, args.rows, args.length - 1)
            data = scratch / "data.jsonl"
            data.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
            rows = [[*tokenizer.encode(text).ids, 0] for text in texts]
            losses, written = train_naru(args, folder, data, args.steps, form, scratch / "all")
            reference = Reference(folder, rows)
            wanted, parted = [], None
            for step in range(args.steps):
                if has_experts and step > 0 and parted is None:
                    _, model = train_naru(args, folder, data, step, form, scratch / f"to{step}")
                    words = first_difference(routes(oracle.load(model), reference.rows), routes(reference.model, reference.rows))
                    parted = f"after {step} steps: {words}" if words else None
                if parted is not None:
                    break
                wanted.append(reference.step())
            differences = [abs(a - b) / max(1.0, abs(b)) for a, b in zip(losses, wanted)]
            worst_logits = compare_folder(args, written, rng, form)
        worst = max(differences)
        bad = not worst <= LOSS_LIMIT or not worst_logits <= LOGITS_LIMIT
        totals.rows += 1
        totals.failures += bad
        totals.parted += parted is not None
        totals.worst_loss = max(totals.worst_loss, worst) if worst == worst else float("nan")
        totals.worst_logits = max(totals.worst_logits, worst_logits) if worst_logits == worst_logits else float("nan")
        name = label + (f" latent={form}" if form else "")
        words = f"loss {wanted[0]:.3f} to {wanted[-1]:.3f}, {len(wanted)} steps"
        print(f"{name:44s} {worst:8.1e} at step {1 + int(np.argmax(differences)):3d}   logits {worst_logits:8.1e}   {words}"
              f"{'  !' if bad else ''}" + (f"\n    routed elsewhere {parted}" if parted else ""), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    naru_cli.add_arguments(parser)
    parser.add_argument("--families", nargs="+", choices=shapes.FAMILIES, default=list(shapes.FAMILIES))
    parser.add_argument("--variant", help="only this variant")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--length", type=int, default=65, help="tokens of a row")
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
            # naru does not train FP8 and refuses checkpoints with prediction layers.
            if args.variant in (None, variant) and not shape.get("fp8") and not shape.get("mtp"):
                compare(f"{family} {variant}", shape, args.seed + number, args, totals)
    print(f"{totals.rows} runs of {args.steps} steps: worst loss {totals.worst_loss:.1e} (limit {LOSS_LIMIT}), worst logits "
          f"{totals.worst_logits:.1e} (limit {LOGITS_LIMIT}), {totals.failures} failed, {totals.parted} parted by routing")
    return 1 if totals.failures or not totals.rows else 0


if __name__ == "__main__":
    sys.exit(main())
