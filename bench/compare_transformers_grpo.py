"""Reinforcement learning of naru against a plain transformers loop on the CPU: answer tokens per second of whole steps
(answers sampled, rewarded, learnt from), the same model, the same form of prompts, answers of the same length, the same
threads, taking turns.

    python3 bench/compare_transformers_grpo.py                       all models, answers of 24 and of 256 tokens
    python3 bench/compare_transformers_grpo.py --models llama-0.2m --lengths 24 --rounds 5 --json out.json
    python3 bench/compare_transformers_grpo.py --threads 1 --clock processor       on a machine that is busy otherwise

A step is 4 prompts of 17 tokens with 32 answers each, of exactly so many tokens: the vocabulary has nothing that ends an
answer. The reward is that of naru's digits (the last digit is the sum); the models' heads are drawn so that they write
nothing but digits and spaces, so that a tenth of all answers is right and hardly any group teaches nothing. Then GRPO as
published: advantages by group, clipped ratio, mean by answer, one update, clipping, AdamW.

The peer is generate() (cache, one batch of all answers, sampled at temperature 1) and one forward and backward pass
by micro-batches whose head sees the answers' tokens alone. naru is a run of `naru train`, whose updates compare every
log-probability with the rollout's, and, as they do by default, compute a prompt once for the answers of a micro-batch
(grpo.share_prompts). Each run is a process of its own. First variants are tried: of the peer f32, f32 with
bf16 products, bf16 autocast and bf16 weights, ways of attention and experts, and several micro-batches; of naru f32 and
bf16 with several micro-batches. Then the best of each side's f32 and bf16 take turns. A run's figure is that of its
median step, the first ones left out; "rollout" and "update" are its parts. The share of peak counts 2 operations a
token and active parameter in rollouts (prompts once) and 6 in updates, of the machine's peak as naru measures it
(registers only). "cpu" is how much of the threads' time the processes really got: figures of the wall clock mean
little where it is far below 100 %. --clock processor counts the time that a process computed; with it a step of naru is
the difference between a long and a short run.

At the end, of each model: naru's rollout against `naru bench --batch` at the same batch and mean depth. Exit status 1
when naru's best is below --wanted times the peer's best (4 for models of 0.2 M parameters, 2.5 for 3.6 M), or a rollout
below --wanted-rollout of the engine's own batched decode. Needs tools/requirements-oracle.txt.
"""

import argparse
import json
import os
import pathlib
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from compare_pytorch_training import DEFAULT_BINARY, KINDS, PEER_NUMBERS, Choice, call, name_of  # noqa: E402

VOCAB = 512
PROMPT_TOKENS = 17
COMMON = {
    "vocab_size": VOCAB,
    "hidden_act": "silu",
    "attention_bias": False,
    "rms_norm_eps": 1e-6,
    "rope_theta": 10000.0,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": False,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
LLAMA = {**COMMON, "architectures": ["LlamaForCausalLM"], "model_type": "llama", "mlp_bias": False}
DEEPSEEK = {
    **COMMON,
    "architectures": ["DeepseekV3ForCausalLM"],
    "model_type": "deepseek_v3",
    "q_lora_rank": None,
    "first_k_dense_replace": 1,
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
}
MODELS = {
    "llama-0.2m": {**LLAMA, "hidden_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 2,
                   "head_dim": 16, "intermediate_size": 128},
    "llama-3.6m": {**LLAMA, "hidden_size": 192, "num_hidden_layers": 8, "num_attention_heads": 6, "num_key_value_heads": 2,
                   "head_dim": 32, "intermediate_size": 576},
    "deepseek-v3-0.2m": {**DEEPSEEK, "hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4,
                         "num_key_value_heads": 4, "kv_lora_rank": 32, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8,
                         "v_head_dim": 16, "intermediate_size": 192, "moe_intermediate_size": 32, "n_routed_experts": 4},
    "deepseek-v3-3.6m": {**DEEPSEEK, "hidden_size": 192, "num_hidden_layers": 6, "num_attention_heads": 6,
                         "num_key_value_heads": 6, "kv_lora_rank": 64, "qk_nope_head_dim": 32, "qk_rope_head_dim": 16,
                         "v_head_dim": 32, "intermediate_size": 512, "moe_intermediate_size": 112, "n_routed_experts": 6},
}
WANTED = {"0.2m": 4.0, "3.6m": 2.5}


class Case:
    """A model and a length of answers."""

    def __init__(self, args, model, length):
        self.model, self.length = model, length
        self.context = PROMPT_TOKENS + length
        self.answers = args.prompts * args.answers
        self.answer_tokens = self.answers * length
        self.rows = self.answers * self.context


# --- the peer's process --------------------------------------------------------------------------------------------


def reward(digits, text):
    """1 where an answer of digits and spaces ends in the sum of the digits, modulo 10."""
    text = text.strip()
    is_right = text and all(c in "0123456789 " for c in text) and text[-1] == str(sum(digits) % 10)
    return 1.0 if is_right else 0.0


class Peer:
    """A GRPO loop as one writes it with transformers."""

    def __init__(self, spec):
        import torch
        import transformers

        self.torch, self.spec = torch, spec
        torch.set_num_threads(spec["threads"])
        torch.manual_seed(1)
        if spec["numbers"] == "products":
            torch.set_float32_matmul_precision("medium")
        config = transformers.AutoConfig.from_pretrained(spec["folder"])
        config._attn_implementation = spec["attention"]
        if spec["experts"]:
            config._experts_implementation = spec["experts"]
        dtype = torch.bfloat16 if spec["numbers"] == "weights" else torch.float32
        self.model = transformers.AutoModelForCausalLM.from_pretrained(spec["folder"], config=config, dtype=dtype)
        decayed = [p for n, p in self.model.named_parameters() if p.dim() >= 2 and "embed_tokens" not in n and "lm_head" not in n]
        known = {id(p) for p in decayed}
        rest = [p for p in self.model.parameters() if id(p) not in known]
        groups = [{"params": decayed, "weight_decay": 0.1}, {"params": rest, "weight_decay": 0.0}]
        self.optimizer = torch.optim.AdamW(groups, lr=1e-6, betas=(0.9, 0.95), eps=1e-8, fused=True)
        self.texts = json.loads(pathlib.Path(spec["texts"]).read_text())
        self.id_of = {text: i for i, text in enumerate(self.texts)}
        self.sampling = transformers.GenerationConfig(
            do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=spec["length"],
            min_new_tokens=spec["length"], use_cache=True, eos_token_id=None, pad_token_id=0)

    def precision(self):
        import contextlib

        is_cast = self.spec["numbers"] == "autocast"
        return self.torch.autocast("cpu", self.torch.bfloat16) if is_cast else contextlib.nullcontext()

    def rollout(self, chains):
        torch, spec = self.torch, self.spec
        prompts = torch.tensor([[self.id_of[c] for c in " ".join(map(str, chain)) + " ="] for chain in chains])
        prompts = prompts.repeat_interleave(spec["answers"], dim=0)
        self.model.eval()
        with torch.inference_mode(), self.precision():
            ids = self.model.generate(prompts, attention_mask=torch.ones_like(prompts), generation_config=self.sampling)
        answers = [
            "".join(self.texts[i] for i in row) for row in ids[:, prompts.shape[1]:].tolist()]
        rewards = torch.tensor([reward(chains[i // spec["answers"]], text) for i, text in enumerate(answers)])
        groups = rewards.view(-1, spec["answers"])
        advantages = (groups - groups.mean(1, keepdim=True)) / (groups.std(1, keepdim=True) + 1e-6)
        return ids.clone(), advantages.view(-1), float((groups.std(1) == 0).float().mean())

    def update(self, ids, advantages):
        torch, spec = self.torch, self.spec
        n = spec["length"]
        self.model.train()
        for at in range(0, len(ids), spec["micro_rows"]):
            rows, advantage = ids[at : at + spec["micro_rows"]], advantages[at : at + spec["micro_rows"], None]
            with self.precision():
                logits = self.model(rows, use_cache=False, logits_to_keep=n + 1).logits[:, :-1]
                log_probs = -torch.nn.functional.cross_entropy(
                    logits.reshape(-1, VOCAB).float(), rows[:, -n:].reshape(-1), reduction="none").view(-1, n)
                # One update a rollout: what sampled is what is trained.
                ratio = torch.exp(log_probs - log_probs.detach())
                loss = -torch.minimum(ratio * advantage, ratio.clamp(0.8, 1.2) * advantage).mean(1).sum() / len(ids)
            loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0, foreach=True)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def run(self):
        import random

        import torch
        import transformers

        clock = time.process_time if self.spec["clock"] == "processor" else time.perf_counter
        rng = random.Random(1)
        result = {"seconds": [], "rollout": [], "update": [], "flat": [], "version": torch.__version__,
                  "transformers": transformers.__version__}
        for _ in range(self.spec["steps"]):
            chains = [[rng.randint(0, 9) for _ in range(8)] for _ in range(self.spec["prompts"])]
            begin = clock()
            ids, advantages, flat = self.rollout(chains)
            middle = clock()
            self.update(ids, advantages)
            end = clock()
            if ids.shape[1] != PROMPT_TOKENS + self.spec["length"]:
                raise SystemExit(f"rows of {ids.shape[1]} tokens, {PROMPT_TOKENS + self.spec['length']} were wanted")
            for key, value in (("seconds", end - begin), ("rollout", middle - begin), ("update", end - middle), ("flat", flat)):
                result[key].append(value)
        return result


# --- processes -----------------------------------------------------------------------------------------------------


def peer(args, work, case, variant, steps):
    spec = {"folder": str(work / case.model), "texts": str(work / "texts.json"), "prompts": args.prompts,
            "answers": args.answers, "length": case.length, "steps": steps, "threads": args.threads, "clock": args.clock,
            **variant}
    out, wall, processor = call([sys.executable, __file__, "--peer-run", json.dumps(spec)])
    return {**json.loads(out.splitlines()[-1]), "cpu": processor / wall / args.threads}


def naru(args, work, case, variant, steps):
    """A run of `naru train`. By the processor's clock a step is the difference between a long and a short run."""
    run = run_naru(args, work, case, variant, steps)
    if args.clock == "processor":
        short = run_naru(args, work, case, variant, args.warm_up)
        run["seconds"] = [(run["processor"] - short["processor"]) / (steps - args.warm_up)] * steps
    return run


def run_naru(args, work, case, variant, steps):
    with tempfile.TemporaryDirectory(dir=work) as folder:
        recipe = pathlib.Path(folder, "recipe.toml")
        recipe.write_text(f"""
kind = "grpo"
seed = 1
steps = {steps}
compute = "{variant['compute']}"
[model]
path = "{work / case.model}"
[[data]]
generator = "digits"
[grpo]
prompts = {args.prompts}
answers = {args.answers}
max_tokens = {case.length}
at_once = {case.answers}
[batch]
context = {case.context}
micro_rows = {variant['micro_rows']}
groups = 1
[optimizer]
lr = 1e-6
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
        lines = [line for line in lines if "update_seconds" in line]
        if len(lines) != steps or any(line["answer_tokens"] != case.length for line in lines):
            raise SystemExit(f"naru made {len(lines)} steps of answers of {[line['answer_tokens'] for line in lines]} tokens, "
                             f"{steps} of {case.length} were wanted")
        return {"seconds": [case.rows / line["tokens_per_s"] for line in lines],
                "rollout": [line["rollout_seconds"] for line in lines],
                "update": [line["update_seconds"] for line in lines],
                "flat": [line["flat_groups"] for line in lines], "plan": answer["plan"], "processor": processor,
                "cpu": processor / wall / args.threads}


def naru_bench(args, work, case, kind):
    """Tokens per second of the engine's batched decode, in the middle of an answer; and the machine."""
    new_tokens = min(case.length, 64)
    depth = max(0, PROMPT_TOKENS + case.length // 2 - new_tokens // 2)
    answer = json.loads(call([
        args.naru, "bench", work / case.model, "--json", "--threads", args.threads, "--compute", kind, "--depths", depth,
        "--batch", case.answers, "--repeat", 3, "--prompt-tokens", 16, "--new-tokens", new_tokens])[0])
    return answer["rows"][0]["decode_tokens_per_s"], answer["machine"]


# --- models --------------------------------------------------------------------------------------------------------


def token_texts():
    """Of every id its text: the bytes that prompts have, one each, then strings of digits and spaces."""
    single = [*"0123456789", " ", "="]
    longer = [a + b for a in "0123456789 " for b in "0123456789 "] + [f"{i:03d}" for i in range(1000)]
    return (single + longer)[:VOCAB]


def prepare(args, work):
    """A tokenizer without anything that ends an answer, and the models, drawn once for both sides."""
    import torch
    import transformers

    texts = token_texts()
    (work / "texts.json").write_text(json.dumps(texts))
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": {text.replace(" ", "\u0120"): i for i, text in enumerate(texts)}, "merges": []},
    }
    for name in args.models:
        torch.manual_seed(1)
        values = {k: v for k, v in MODELS[name].items() if k not in ("architectures", "model_type")}
        config_class, model_class = (
            (transformers.LlamaConfig, transformers.LlamaForCausalLM) if name.startswith("llama")
            else (transformers.DeepseekV3Config, transformers.DeepseekV3ForCausalLM))
        model = model_class(config_class(**values))
        with torch.no_grad():  # the first channel is the same for every token, and keeps the head from "="
            model.model.embed_tokens.weight[:, 0] = 0.2
            model.lm_head.weight[:, 0] = 0
            model.lm_head.weight[texts.index("="), 0] = -10
        model.save_pretrained(work / name)
        config = json.loads((work / name / "config.json").read_text())
        (work / name / "config.json").write_text(json.dumps({**config, **MODELS[name]}))
        (work / name / "tokenizer.json").write_text(json.dumps(tokenizer))
        (work / name / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast"}))


# --- variants and tables -------------------------------------------------------------------------------------------


def choose_peer(args, work, case):
    choice = Choice(args, work, case, peer, lambda v: PEER_NUMBERS[v["numbers"]], case.answer_tokens)
    has_experts = case.model.startswith("deepseek")
    for numbers in PEER_NUMBERS:
        choice.attempt({"numbers": numbers, "attention": "sdpa", "experts": "grouped_mm" if has_experts else None,
                        "micro_rows": case.answers})
    choice.change("attention", ["eager"])
    if has_experts:
        choice.change("experts", ["eager"])
    choice.change("micro_rows", micro_choices(case))
    return choice


def choose_naru(args, work, case):
    choice = Choice(args, work, case, naru, lambda v: v["compute"], case.answer_tokens)
    for kind in KINDS:
        choice.attempt({"compute": kind, "micro_rows": case.answers // 8})
    choice.change("micro_rows", [case.answers, *micro_choices(case)])
    return choice


def micro_choices(case):
    return [case.answers // 2, case.answers // 4, case.answers // 16]


def operations(case, plan, rows):
    """Of a step whose update computes so many rows, without attention's scores: rollout and update."""
    rollout = 2 * plan["active"] * (case.answer_tokens + case.answers // plan["answers"] * PROMPT_TOKENS)
    return {"rollout": rollout, "update": 6 * plan["active"] * rows}


def rows_without_copies(case, plan, micro_rows):
    """Rows of naru's updates: of the answers to one prompt in a micro-batch all but one begin with its last token."""
    prompts = case.answers // micro_rows * max(1, micro_rows // plan["answers"])
    return case.answers * (1 + case.length) + prompts * (PROMPT_TOKENS - 1)


def median_of(run, key, args):
    return statistics.median(run[key][args.warm_up :])


def row_of(args, case, runs, plan, peak, variant, rows):
    speeds = sorted(case.answer_tokens / median_of(r, "seconds", args) for r in runs)
    seconds = {key: statistics.median(median_of(r, key, args) for r in runs) for key in ("seconds", "rollout", "update")}
    counted = operations(case, plan, rows)
    shares = {key: counted[key] / seconds[key] / peak for key in counted}
    shares["all"] = sum(counted.values()) / seconds["seconds"] / peak
    return {"median": statistics.median(speeds), "least": speeds[0], "most": speeds[-1], "seconds": seconds,
            "share_of_peak": shares, "cpu": statistics.median(r["cpu"] for r in runs),
            "flat_groups": statistics.mean(f for r in runs for f in r["flat"]), "variant": name_of(variant)}


def print_row(name, row):
    spread = f"{row['median']:.0f} ({row['least']:.0f} to {row['most']:.0f})"
    share, seconds = row["share_of_peak"], row["seconds"]
    print(f"  {name:18s} {spread:>26s} {seconds['rollout']:8.3f} {seconds['update']:8.3f} {100 * share['all']:6.1f} % "
          f"{100 * share['rollout']:6.1f} % {100 * share['update']:6.1f} % {100 * row['cpu']:4.0f}%  {row['variant']}", flush=True)


def compare(args, work, case, peak):
    print(f"\n{case.model}, answers of {case.length} tokens: variants, fastest of {args.trial_steps} steps", flush=True)
    choices = {"peer": choose_peer(args, work, case), "naru": choose_naru(args, work, case)}
    peers, ours = ({kind: variant for kind, (_, variant) in choice.best.items()} for choice in choices.values())
    sides = [("naru", kind, naru, ours[kind]) for kind in ours] + [("transformers", kind, peer, peers[kind]) for kind in peers]
    sides.sort(key=lambda s: s[1])
    runs = {(name, kind): [] for name, kind, _, _ in sides}
    decode = {kind: [] for kind in ours}
    for _ in range(args.rounds):
        for name, kind, side, variant in sides:
            runs[name, kind].append(side(args, work, case, variant, args.warm_up + args.steps))
            if name == "naru":
                decode[kind].append(naru_bench(args, work, case, kind)[0])
    plan = {**runs["naru", "f32"][0]["plan"], "answers": args.answers}
    print(f"{case.model}: {plan['parameters']} parameters, {plan['active']} active a token; {args.prompts} x {args.answers} answers "
          f"x {case.length} tokens, {args.threads} threads, {args.rounds} rounds of {args.steps} steps")
    print(f"  {'':18s} {'answer tokens/s (least, most)':>26s} {'rollout':>8s} {'update':>8s} {'of peak':>8s} {'rollout':>8s} {'update':>8s} {'cpu':>5s}  variant")
    table = {}
    for name, kind, _, variant in sides:
        rows = rows_without_copies(case, plan, variant["micro_rows"]) if name == "naru" else case.rows
        table[f"{name} {kind}"] = row_of(args, case, runs[name, kind], plan, peak[kind], variant, rows)
        print_row(f"{name} {kind}", table[f"{name} {kind}"])

    def best(name, kinds):
        return max(table[f"{name} {k}"]["median"] for k in kinds if f"{name} {k}" in table)
    ratios = {kind: best("naru", [kind]) / best("transformers", [kind]) for kind in KINDS}
    ratios["best"] = best("naru", KINDS) / best("transformers", KINDS)
    print("  naru over transformers" + "".join(f"   {k} {v:.2f}" for k, v in ratios.items()))
    rollouts = {}
    for kind, of_bench in decode.items():
        of_rollout = case.answer_tokens / table[f"naru {kind}"]["seconds"]["rollout"]
        rollouts[kind] = {"tokens_per_s": of_rollout, "decode_tokens_per_s": statistics.median(of_bench),
                          "ratio": of_rollout / statistics.median(of_bench)}
        print(f"  naru {kind}: rollout {of_rollout:.0f} tokens/s, {100 * rollouts[kind]['ratio']:.0f} % of the engine's decode of "
              f"{case.answers} at once ({statistics.median(of_bench):.0f})", flush=True)
    version = runs["transformers", "f32"][0]
    return {"plan": plan, "table": table, "ratios": ratios, "rollouts": rollouts,
            "tried": {side: choice.log for side, choice in choices.items()},
            "peer": {"torch": version["version"], "transformers": version["transformers"]}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--naru", type=pathlib.Path, default=DEFAULT_BINARY)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--lengths", nargs="+", type=int, default=[24, 256])
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--answers", type=int, default=32, help="of each prompt")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3, help="timed steps of a run")
    parser.add_argument("--warm-up", type=int, default=1, help="first steps of a run, left out")
    parser.add_argument("--trial-steps", type=int, default=1, help="timed steps of a variant's first run")
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    parser.add_argument("--wanted", type=float, help="naru over transformers; default: 4 at 0.2 M parameters, 2.5 at 3.6 M")
    parser.add_argument("--wanted-rollout", type=float, default=0.85)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--keep", type=pathlib.Path, help="make tokenizer and models in this new folder, and keep them")
    parser.add_argument("--peer-run", help=argparse.SUPPRESS)
    args = parser.parse_args()
    os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
    if args.peer_run:
        print(json.dumps(Peer(json.loads(args.peer_run)).run()))
        return 0
    good = True
    with tempfile.TemporaryDirectory() as scratch:
        work = args.keep.resolve() if args.keep else pathlib.Path(scratch)
        work.mkdir(exist_ok=True)
        prepare(args, work)
        machine = naru_bench(args, work, Case(args, args.models[0], 24), "f32")[1]
        peak = {kind: machine[kind]["per_s"] for kind in KINDS}
        print(f"{args.clock} clock, {args.threads} threads; peak f32 {peak['f32'] / 1e9:.0f}, bf16 {peak['bf16'] / 1e9:.0f} GFLOP/s; "
              f"load {os.getloadavg()[0]:.1f}", flush=True)
        result = {"machine": machine, "load": os.getloadavg(), "cases": {}}
        for model in args.models:
            for length in args.lengths:
                case = result["cases"][f"{model} {length}"] = compare(args, work, Case(args, model, length), peak)
                good &= case["ratios"]["best"] >= (args.wanted or WANTED[model.split("-")[-1]])
                good &= all(r["ratio"] >= args.wanted_rollout for r in case["rollouts"].values())
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
