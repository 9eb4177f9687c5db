"""Training speed of naru against PyTorch on the CPU: tokens per second of whole steps (forward, backward, clipping,
AdamW), the same model, the same rows of token ids, the same threads, taking turns.

    python3 bench/compare_pytorch_training.py                       both models, 5 rounds
    python3 bench/compare_pytorch_training.py --models llama --rounds 3 --json out.json
    python3 bench/compare_pytorch_training.py --threads 1 --clock processor       on a machine that is busy otherwise

Two models of about ten million parameters: a DeepSeek-V3 (latent attention, experts) and a llama. Every row is one
document of exactly `--context` tokens, so both sides do the same attention. Each run is a process of its own. First
variants are tried: of PyTorch (the transformers classes) f32, f32 with bf16 products, bf16 autocast and bf16 weights,
then with the best of f32 and of bf16 the other ways of attention and experts, and several micro-batches; of naru f32 and
bf16 with several micro-batches. Then the best of each side's f32 and bf16 take turns. The first steps of a run are left
out. A run's figure is that of its median step; beside it stands the fastest step of all rounds. "cpu" is how much of
the threads' time the processes really got: figures of the wall clock mean little where it is far below 100 %. There
--threads 1 --clock processor helps: it counts the time that a process computed, whatever else ran between.

Peak is measured by naru itself (registers only); the share of it counts 6 operations a token and active parameter.
Exit status 1 when naru's best is below --wanted times PyTorch's best. Needs tools/requirements-oracle.txt.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEFAULT_BINARY = ROOT / "build" / "release" / "naru"
VOCAB = 4096
COMMON = {
    "vocab_size": VOCAB,
    "hidden_act": "silu",
    "attention_bias": False,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
    "bos_token_id": 0,
    "eos_token_id": 0,
}
MODELS = {
    "deepseek-v3": {
        **COMMON,
        "architectures": ["DeepseekV3ForCausalLM"],
        "model_type": "deepseek_v3",
        "hidden_size": 256,
        "num_hidden_layers": 6,
        "num_attention_heads": 8,
        "num_key_value_heads": 8,
        "q_lora_rank": None,
        "kv_lora_rank": 64,
        "qk_nope_head_dim": 32,
        "qk_rope_head_dim": 16,
        "v_head_dim": 32,
        "intermediate_size": 768,
        "moe_intermediate_size": 192,
        "first_k_dense_replace": 1,
        "n_routed_experts": 8,
        "num_experts_per_tok": 2,
        "n_shared_experts": 1,
        "n_group": 1,
        "topk_group": 1,
        "topk_method": "noaux_tc",
        "scoring_func": "sigmoid",
        "norm_topk_prob": True,
        "routed_scaling_factor": 1.0,
        "rope_interleave": True,
        "num_nextn_predict_layers": 0,
    },
    "llama": {
        **COMMON,
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": 320,
        "num_hidden_layers": 7,
        "num_attention_heads": 5,
        "num_key_value_heads": 5,
        "head_dim": 64,
        "intermediate_size": 768,
        "mlp_bias": False,
    },
}
KINDS = ("f32", "bf16")
PEER_NUMBERS = {"f32": "f32", "products": "bf16", "autocast": "bf16", "weights": "bf16"}


# --- the peer's process --------------------------------------------------------------------------------------------


def run_peer(spec):
    """Trains with PyTorch as `spec` says; prints the seconds of every step as JSON."""
    os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
    import contextlib

    import torch
    import transformers

    torch.set_num_threads(spec["threads"])
    torch.manual_seed(1)
    numbers = spec["numbers"]
    if numbers == "products":
        torch.set_float32_matmul_precision("medium")
    config_class, model_class = {
        "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
        "deepseek-v3": (transformers.DeepseekV3Config, transformers.DeepseekV3ForCausalLM),
    }[spec["model"]]
    config = config_class(**{k: v for k, v in MODELS[spec["model"]].items() if k not in ("architectures", "model_type")})
    config._attn_implementation = spec["attention"]
    if spec["experts"]:
        config._experts_implementation = spec["experts"]
    model = model_class(config)
    if numbers == "weights":
        model = model.to(torch.bfloat16)
    model.train()
    decayed = [p for n, p in model.named_parameters() if p.dim() >= 2 and "embed_tokens" not in n and "lm_head" not in n]
    known = {id(p) for p in decayed}
    groups = [{"params": decayed, "weight_decay": 0.1},
              {"params": [p for p in model.parameters() if id(p) not in known], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=1e-4, betas=(0.9, 0.95), eps=1e-8, fused=True)
    rows = torch.tensor(json.loads(pathlib.Path(spec["rows_file"]).read_text()))
    per_step, micro = spec["rows"], spec["micro_rows"]
    n_targets = per_step * (rows.shape[1] - 1)
    precision = torch.autocast("cpu", torch.bfloat16) if numbers == "autocast" else contextlib.nullcontext()
    clock = time.process_time if spec["clock"] == "processor" else time.perf_counter
    seconds, loss_sum = [], 0.0
    for step in range(spec["steps"]):
        begin = clock()
        loss_sum = 0.0
        for at in range(0, per_step, micro):
            place = (step * per_step + at) % (len(rows) - micro + 1)
            ids = rows[place : place + micro]
            with precision:
                logits = model(ids, use_cache=False).logits
                loss = torch.nn.functional.cross_entropy(
                    logits[:, :-1].reshape(-1, VOCAB), ids[:, 1:].reshape(-1), reduction="sum") / n_targets
            loss.backward()
            loss_sum += float(loss.detach())
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        seconds.append(clock() - begin)
    print(json.dumps({"seconds": seconds, "loss": loss_sum, "parameters": sum(p.numel() for p in model.parameters()),
                      "version": torch.__version__, "transformers": transformers.__version__}))


# --- processes -----------------------------------------------------------------------------------------------------


def call(command):
    """(stdout, wall seconds, processor seconds) of a process that must not fail."""
    before, begin = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run([str(c) for c in command], capture_output=True, check=False)
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command))[:300]}: exit status {done.returncode}\n{done.stderr.decode()[-2000:]}")
    return done.stdout, wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def peer(args, work, model, variant, steps):
    spec = {"model": model, "rows_file": str(work / "rows.json"), "rows": args.rows, "steps": steps,
            "threads": args.threads, "clock": args.clock, **variant}
    out, wall, processor = call([sys.executable, __file__, "--peer-run", json.dumps(spec)])
    return {**json.loads(out), "cpu": processor / wall / args.threads}


def naru(args, work, model, variant, steps):
    """A run of `naru train`. By the processor's clock a step is the difference between a long and a short run."""
    run = run_naru(args, work, model, variant, steps)
    if args.clock == "processor":
        short = run_naru(args, work, model, variant, args.warm_up)
        run["seconds"] = [(run["processor"] - short["processor"]) / (steps - args.warm_up)] * steps
    return run


def run_naru(args, work, model, variant, steps):
    with tempfile.TemporaryDirectory(dir=work) as folder:
        recipe = pathlib.Path(folder, "recipe.toml")
        recipe.write_text(f"""
seed = 1
steps = {steps}
compute = "{variant['compute']}"
[model]
config = "{work / model}.json"
tokenizer = "{work / 'tokenizer'}"
[[data]]
path = "{work / 'text.txt'}"
[batch]
context = {args.context}
rows = {args.rows}
micro_rows = {variant['micro_rows']}
groups = 1
[optimizer]
lr = 1e-4
[schedule]
kind = "constant"
[loss]
bias_update = 0.0
balance = 0.0
[guard]
clip_z = 1e9
skip_z = 1e9
[checkpoint]
every = 1000000
""")
        out, wall, processor = call([args.naru, "train", recipe, "--out", f"{folder}/run", "--threads", args.threads, "--json"])
        answer = json.loads(out)
        lines = [json.loads(line) for line in pathlib.Path(folder, "run", "metrics.jsonl").read_text().splitlines()]
        speeds = [line["tokens_per_s"] for line in lines if "tokens_per_s" in line]
        per_step = args.rows * args.context
        result = {"seconds": [per_step / s for s in speeds], "loss": answer["loss"], "plan": answer["plan"],
                  "processor": processor, "cpu": processor / wall / args.threads}
        if variant.get("measures_peak"):
            command = [args.naru, "bench", f"{folder}/run/model", "--json", "--threads", args.threads, "--depths", 0,
                       "--repeat", 1, "--prompt-tokens", 16, "--new-tokens", 2]
            result["machine"] = json.loads(call(command)[0])["machine"]
        return result


def prepare(args, work):
    """A text of drawn words, a tokenizer trained on it, and the same ids as rows for the peer."""
    import random

    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    rng = random.Random(7)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = ["".join(rng.choices(letters, weights=range(30, 4, -1), k=rng.randint(2, 9))) for _ in range(6000)]
    text = " ".join(rng.choices(words, weights=[1 / (i + 9) for i in range(len(words))], k=60000))
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator([text], trainers.BpeTrainer(
        vocab_size=VOCAB, show_progress=False, special_tokens=["<|end|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    ids = tokenizer.encode(text).ids
    n_rows = len(ids) // args.context
    if tokenizer.get_vocab_size() != VOCAB or n_rows < args.rows:
        raise SystemExit(f"the text gives {tokenizer.get_vocab_size()} tokens and {n_rows} rows, {VOCAB} and {args.rows} wanted")
    # Whole rows only: what is left at the end would be a shorter document.
    ids = ids[: n_rows * args.context]
    text = tokenizer.decode(ids, skip_special_tokens=False)
    folder = work / "tokenizer"
    folder.mkdir()
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))
    (work / "text.txt").write_text(text)
    (work / "rows.json").write_text(json.dumps([ids[i * args.context : (i + 1) * args.context] for i in range(n_rows)]))
    for name, config in MODELS.items():
        (work / f"{name}.json").write_text(json.dumps(config))


# --- variants and tables -------------------------------------------------------------------------------------------


def name_of(variant):
    return " ".join(f"micro {v}" if k == "micro_rows" else f"{v}" for k, v in variant.items() if v)


def best_step(run, args):
    return min(run["seconds"][args.warm_up :])


class Choice:
    """The best variant of each kind of numbers, by a short run of each."""

    def __init__(self, args, work, model, side, kind_of, tokens):
        self.args, self.work, self.model, self.side, self.kind_of, self.tokens = args, work, model, side, kind_of, tokens
        self.best, self.log = {}, {}

    def attempt(self, variant):
        name = name_of(variant)
        if name in self.log:
            return
        try:
            run = self.side(self.args, self.work, self.model, variant, self.args.warm_up + self.args.trial_steps)
        except RuntimeError as error:
            self.log[name] = str(error)[-300:]
            print(f"  {name:44s} failed: {str(error).strip().splitlines()[-1][:110]}", flush=True)
            return
        speed = self.log[name] = self.tokens / best_step(run, self.args)
        print(f"  {name:44s} {speed:9.0f} tokens/s", flush=True)
        kind = self.kind_of(variant)
        if kind not in self.best or speed > self.best[kind][0]:
            self.best[kind] = (speed, variant)

    def change(self, key, values):
        """Other values of one key, with what was best so far of each kind."""
        for kind in list(self.best):
            for value in values:
                self.attempt({**self.best[kind][1], key: value})


def choose_peer(args, work, model):
    choice = Choice(args, work, model, peer, lambda v: PEER_NUMBERS[v["numbers"]], args.rows * args.context)
    has_experts = model == "deepseek-v3"
    for numbers in PEER_NUMBERS:
        choice.attempt({"numbers": numbers, "attention": "sdpa", "experts": "grouped_mm" if has_experts else None,
                        "micro_rows": args.rows})
    choice.change("attention", ["eager"])
    if has_experts:
        choice.change("experts", ["eager"])  # batched_mm is fifty times slower on a CPU
        for numbers in PEER_NUMBERS:
            choice.attempt({"numbers": numbers, "attention": "sdpa", "experts": "eager", "micro_rows": args.rows})
    choice.change("micro_rows", micro_choices(args))
    return choice


def choose_naru(args, work, model):
    choice = Choice(args, work, model, naru, lambda v: v["compute"], args.rows * args.context)
    for kind in KINDS:
        choice.attempt({"compute": kind, "micro_rows": args.rows})
    choice.change("micro_rows", micro_choices(args))
    return choice


def micro_choices(args):
    return sorted({max(1, args.rows // 2), max(1, args.rows // 4)} - {args.rows}, reverse=True)


def compare(args, work, model, peak):
    print(f"{model}: variants, fastest of {args.trial_steps} steps", flush=True)
    choices = {"peer": choose_peer(args, work, model), "naru": choose_naru(args, work, model)}
    peers, ours = ({kind: variant for kind, (_, variant) in choice.best.items()} for choice in choices.values())
    sides = [("naru", kind, naru, ours[kind]) for kind in ours] + [("PyTorch", kind, peer, peers[kind]) for kind in peers]
    sides.sort(key=lambda s: s[1])
    runs = {(name, kind): [] for name, kind, _, _ in sides}
    for _ in range(args.rounds):
        for name, kind, side, variant in sides:
            runs[name, kind].append(side(args, work, model, variant, args.warm_up + args.steps))
    plan = runs["naru", "f32"][0]["plan"]
    print(f"{model}: {plan['parameters']} parameters, {plan['active']} active a token; {args.rows} rows of {args.context} tokens, "
          f"{args.threads} threads, {args.rounds} rounds of {args.steps} steps")
    print(f"{'':16s} {'tokens/s: median (least to most)':>34s} {'fastest':>9s} {'of peak':>8s} {'cpu':>5s}  variant")
    table = {}
    for name, kind, _, variant in sides:
        tokens = args.rows * args.context
        medians = sorted(tokens / statistics.median(r["seconds"][args.warm_up :]) for r in runs[name, kind])
        fastest = tokens / min(best_step(r, args) for r in runs[name, kind])
        median = statistics.median(medians)
        share = 6 * plan["active"] * median / peak[kind]
        cpu = statistics.median(r["cpu"] for r in runs[name, kind])
        table[f"{name} {kind}"] = {"median": median, "least": medians[0], "most": medians[-1], "fastest": fastest,
                                   "share_of_peak": share, "cpu": cpu, "variant": name_of(variant),
                                   "loss": runs[name, kind][-1]["loss"]}
        spread = f"{median:.0f} ({medians[0]:.0f} to {medians[-1]:.0f})"
        print(f"{name + ' ' + kind:16s} {spread:>34s} {fastest:9.0f} {100 * share:6.1f} % {100 * cpu:4.0f}%  {name_of(variant)}")
    ratios = {}
    for what in ("median", "fastest"):
        def best(name, kinds, what=what):
            return max(table[f"{name} {k}"][what] for k in kinds if f"{name} {k}" in table)
        ratios[what] = {kind: best("naru", [kind]) / best("PyTorch", [kind]) for kind in KINDS}
        ratios[what]["best"] = best("naru", KINDS) / best("PyTorch", KINDS)
        print(f"naru over PyTorch, by the {what:8s}" + "".join(f"{k:>8s} {v:.2f}" for k, v in ratios[what].items()))
    version = runs["PyTorch", "f32"][0]
    return {"plan": plan, "table": table, "ratios": ratios, "tried": {side: choice.log for side, choice in choices.items()},
            "peer": {"torch": version["version"], "transformers": version["transformers"]}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--naru", type=pathlib.Path, default=DEFAULT_BINARY)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=6, help="timed steps of a run")
    parser.add_argument("--warm-up", type=int, default=2, help="first steps of a run, left out")
    parser.add_argument("--trial-steps", type=int, default=2, help="timed steps of a variant's first run")
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    parser.add_argument("--wanted", type=float, default=1.0)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--keep", type=pathlib.Path, help="make text, tokenizer and configurations in this new folder, and keep them")
    parser.add_argument("--peer-run", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer_run:
        run_peer(json.loads(args.peer_run))
        return 0
    with tempfile.TemporaryDirectory() as scratch:
        work = args.keep.resolve() if args.keep else pathlib.Path(scratch)
        work.mkdir(exist_ok=True)
        prepare(args, work)
        first = run_naru(args, work, "llama", {"compute": "f32", "micro_rows": 1, "measures_peak": True}, 1)
        peak = {kind: first["machine"][kind]["per_s"] for kind in KINDS}
        print(f"{args.clock} clock, {args.threads} threads; peak f32 {peak['f32'] / 1e9:.0f}, bf16 {peak['bf16'] / 1e9:.0f} GFLOP/s; load {os.getloadavg()[0]:.1f}", flush=True)
        result = {"peak": peak, "load": os.getloadavg(), "models": {m: compare(args, work, m, peak) for m in args.models}}
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if all(m["ratios"]["median"]["best"] >= args.wanted for m in result["models"].values()) else 1


if __name__ == "__main__":
    sys.exit(main())
