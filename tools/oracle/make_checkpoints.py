"""Writes tiny random Hugging Face checkpoints with the official transformers classes.

Every parameter is random, also those that the classes initialise to ones or zeros (norm weights, biases, the
router's correction bias), so that no term of a model can hide. The same seed gives the same bytes of weights.

    python3 make_checkpoints.py --list
    python3 make_checkpoints.py --family deepseek_v3 --variant qlora --seed 1 --out DIR
    python3 make_checkpoints.py --family llama --random --seed 7 --dtype bf16 --dialect old --out DIR
    python3 make_checkpoints.py --all --seed 1 --out DIR        (one folder a variant)

An FP8 variant writes two folders: DIR, and DIR-dequantised with the same values in f32 for the oracle.
"""

import argparse
import json
import math
import os
import pathlib
import sys

os.environ.setdefault("TRANSFORMERS_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

import torch
import transformers
from safetensors.torch import load_file, save_file

import shapes

transformers.utils.logging.disable_progress_bar()
transformers.utils.logging.set_verbosity_error()

CLASSES = {
    "llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
    "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM),
    "qwen3": (transformers.Qwen3Config, transformers.Qwen3ForCausalLM),
    "deepseek_v2": (transformers.DeepseekV2Config, transformers.DeepseekV2ForCausalLM),
    "deepseek_v3": (transformers.DeepseekV3Config, transformers.DeepseekV3ForCausalLM),
}
FP8_BLOCK = 128
FP8_MAX = 448.0


def randomise(model, seed):
    """Fills every parameter and buffer that files hold; matrices about 1/sqrt(inputs), so activations stay sane."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in sorted(model.state_dict(keep_vars=True).items()):
            noise = torch.randn(value.shape, generator=generator, dtype=torch.float32)
            if name.endswith("e_score_correction_bias"):
                value.copy_(noise * 0.08)
            elif name.endswith(".bias"):
                value.copy_(noise * 0.3)
            elif value.dim() == 1:
                value.copy_(1.0 + 0.3 * noise)
            elif "embed_tokens" in name:
                value.copy_(noise)
            else:
                value.copy_(noise * (1.5 / math.sqrt(value.shape[-1])))
    model.tie_weights()


def state_of_files(folder):
    """All tensors of a folder, by the names in its files."""
    state = {}
    for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
        state.update(load_file(path))
    return state


def replace_state(folder, state):
    """Rewrites a folder's tensors as one file."""
    for path in pathlib.Path(folder).glob("model*.safetensors*"):
        path.unlink()
    state = {k: v.contiguous() for k, v in state.items()}
    save_file(state, pathlib.Path(folder) / "model.safetensors", {"format": "pt"})


def fuse_experts(state):
    """The names that transformers 5 uses in memory: experts stacked, gate rows before up rows."""
    out, experts = {}, {}
    for name, value in state.items():
        head, mark, tail = name.partition(".mlp.experts.")
        if not mark:
            out[name] = value
            continue
        index, kind, _ = tail.split(".")
        experts.setdefault(head, {})[(int(index), kind)] = value
    for head, parts in experts.items():
        count = 1 + max(i for i, _ in parts)
        gate_up = [torch.cat([parts[i, "gate_proj"], parts[i, "up_proj"]]) for i in range(count)]
        out[f"{head}.mlp.experts.gate_up_proj"] = torch.stack(gate_up)
        out[f"{head}.mlp.experts.down_proj"] = torch.stack([parts[i, "down_proj"] for i in range(count)])
    return out


def add_mtp(state, config, seed):
    """A multi-token-prediction module as DeepSeek-V3's files hold it: one more layer index, which readers may skip."""
    generator = torch.Generator().manual_seed(seed + 1000)
    last, new = config["num_hidden_layers"] - 1, config["num_hidden_layers"]
    hidden = config["hidden_size"]
    for name in [n for n in state if n.startswith(f"model.layers.{last}.")]:
        value = state[name]
        noise = torch.randn(value.shape, generator=generator, dtype=torch.float32)
        spread, mean = float(value.float().std()), 1.0 if name.endswith("norm.weight") else 0.0
        state[name.replace(f"layers.{last}.", f"layers.{new}.")] = (mean + spread * noise).to(value.dtype)
    prefix = f"model.layers.{new}."
    dtype = state["model.norm.weight"].dtype
    for name in ("enorm.weight", "hnorm.weight", "shared_head.norm.weight"):
        state[prefix + name] = (1 + 0.3 * torch.randn(hidden, generator=generator)).to(dtype)
    join = torch.randn(hidden, 2 * hidden, generator=generator) / (2 * hidden) ** 0.5
    state[prefix + "eh_proj.weight"] = join.to(dtype)
    state[prefix + "embed_tokens.weight"] = state["model.embed_tokens.weight"].clone()
    state[prefix + "shared_head.head.weight"] = state["lm_head.weight"].clone()
    return state


def is_fp8_tensor(name, value):
    kept = ("embed_tokens", "lm_head", "norm", "mlp.gate.", "eh_proj")
    return value.dim() == 2 and name.endswith(".weight") and not any(k in name for k in kept)


def to_fp8(state):
    """(file tensors, dequantised f32 twin): E4M3 with one f32 multiplier a 128x128 block, edge blocks smaller."""
    files, twin = {}, {}
    for name, value in state.items():
        if not is_fp8_tensor(name, value):
            files[name] = value if name.endswith("e_score_correction_bias") else value.to(torch.bfloat16)
            twin[name] = files[name].float()
            continue
        rows, cols = value.shape
        scale = torch.empty((rows + FP8_BLOCK - 1) // FP8_BLOCK, (cols + FP8_BLOCK - 1) // FP8_BLOCK)
        quantised = torch.empty(rows, cols, dtype=torch.float8_e4m3fn)
        exact = torch.empty(rows, cols)
        for r in range(scale.shape[0]):
            for c in range(scale.shape[1]):
                block = (slice(r * FP8_BLOCK, (r + 1) * FP8_BLOCK), slice(c * FP8_BLOCK, (c + 1) * FP8_BLOCK))
                s = value[block].abs().max() / FP8_MAX
                q = (value[block] / s).clamp(-FP8_MAX, FP8_MAX).to(torch.float8_e4m3fn)
                scale[r, c] = s
                quantised[block] = q
                exact[block] = (q.double() * s.double()).float()
        files[name] = quantised
        files[name + "_scale_inv"] = scale
        twin[name] = exact
    return files, twin


def old_dialect(config, family):
    """config.json as the labs and transformers 4 write it: rope_theta, rope_scaling, torch_dtype."""
    out = dict(config)
    rope = dict(out.pop("rope_parameters"))
    out["rope_theta"] = rope.pop("rope_theta")
    kind = rope.pop("rope_type")
    key = "type" if family.startswith("deepseek") else "rope_type"
    out["rope_scaling"] = None if kind == "default" else {key: kind, **rope}
    out["torch_dtype"] = out.pop("dtype", "float32")
    out["transformers_version"] = "4.46.0"
    if family.startswith("deepseek"):
        for name in ("head_dim", "qk_head_dim", "output_router_logits", "rope_interleave", "mlp_bias"):
            out.pop(name, None)
        out.update(moe_layer_freq=1, ep_size=1, seq_aux=True, aux_loss_alpha=0.001)
        out["scoring_func"] = "sigmoid" if family == "deepseek_v3" else "softmax"
        if family == "deepseek_v3":
            out["topk_method"] = "noaux_tc"
    else:
        out.pop("layer_types", None)
        if family != "qwen3" and out.get("head_dim") == out["hidden_size"] // out["num_attention_heads"]:
            out.pop("head_dim", None)
    return out


def write_checkpoint(shape, seed, out, dtype="f32", dialect="new", shard=None):
    """Writes one folder (two for FP8) and returns the folder that transformers reads for the reference."""
    family = shape["family"]
    config_class, model_class = CLASSES[family]
    torch.manual_seed(seed)
    model = model_class(config_class(**shape["config"])).eval()
    randomise(model, seed)
    if dtype == "bf16":
        for name, value in model.state_dict(keep_vars=True).items():
            if not name.endswith("e_score_correction_bias"):
                value.data = value.data.to(torch.bfloat16)
        model.config.dtype = torch.bfloat16
    else:
        model.config.dtype = torch.float32
    out = pathlib.Path(out)
    model.save_pretrained(out, **({"max_shard_size": shard} if shard else {}))
    reference = out
    config = json.loads((out / "config.json").read_text())
    state = None
    if shape.get("mtp"):
        state = add_mtp(state_of_files(out), config, seed)
    if shape.get("fused"):
        state = fuse_experts(state_of_files(out))
    if shape.get("fp8"):
        state, twin = to_fp8(state_of_files(out))
        reference = out.with_name(out.name + "-dequantised")
        model.save_pretrained(reference)
        replace_state(reference, twin)
        config["quantization_config"] = {
            "quant_method": "fp8",
            "fmt": "e4m3",
            "activation_scheme": "dynamic",
            "weight_block_size": [FP8_BLOCK, FP8_BLOCK],
        }
        config["dtype"] = "bfloat16"
    if state is not None:
        replace_state(out, state)
    if dialect == "old":
        config = old_dialect(config, family)
    (out / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    return reference


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--family", choices=shapes.FAMILIES)
    parser.add_argument("--variant", help="a name from --list")
    parser.add_argument("--random", action="store_true", help="a random shape drawn from --seed")
    parser.add_argument("--all", action="store_true", help="every variant (of --family when given), a folder each")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=pathlib.Path)
    parser.add_argument("--dtype", choices=("f32", "bf16"), default="f32")
    parser.add_argument("--dialect", choices=("new", "old"), default="new", help="of config.json")
    parser.add_argument("--shard", help="split into files of at most this size, as 40KB")
    parser.add_argument("--list", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    if args.list:
        for family, variants in shapes.VARIANTS.items():
            print(family + ":", " ".join(variants))
        return 0
    if args.out is None:
        parser.error("--out is needed")
    options = {"dtype": args.dtype, "dialect": args.dialect, "shard": args.shard}
    if args.all:
        for family in [args.family] if args.family else shapes.FAMILIES:
            for variant in shapes.VARIANTS[family]:
                folder = args.out / f"{family}-{variant}"
                write_checkpoint(shapes.fixed(family, variant), args.seed, folder, **options)
                print(folder)
        return 0
    if args.family is None or (args.variant is None) == (not args.random):
        parser.error("give --family and one of --variant and --random")
    if args.variant is not None and args.variant not in shapes.VARIANTS[args.family]:
        parser.error(f"--variant {args.variant}: {args.family} has {' '.join(shapes.VARIANTS[args.family])}")
    shape = shapes.random_shape(args.family, args.seed) if args.random else shapes.fixed(args.family, args.variant)
    print(write_checkpoint(shape, args.seed, args.out, **options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
