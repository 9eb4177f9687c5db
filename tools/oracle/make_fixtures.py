"""Makes tests/fixtures/models: small checkpoints in every layout with ids and the logits that transformers gives.

Each folder <name>/ holds the model (a Hugging Face folder `hf/` or `model.gguf`), `ids.json` (an array of token
ids), `rows.json` (positions) and `logits.npy` (float32 [len(rows), vocab], transformers, f32, eager). MANIFEST.json
says how each was made, with sizes, the smallest router margin and the SHA-256 of every file.

    python3 make_fixtures.py --out ../../tests/fixtures/models [--only NAME]
"""

import argparse
import hashlib
import importlib.metadata
import json
import pathlib
import shutil
import sys
import tempfile

import numpy as np
import torch

import gguf_export
import logits as oracle
import make_checkpoints
import shapes

SEED = 20
V3_YARN = shapes.yarn(4.0, 16, 1.0, 1.0)
SMALL = {
    "hidden_size": 32,
    "intermediate_size": 40,
    "moe_intermediate_size": 10,
    "vocab_size": 96,
    "num_hidden_layers": 3,
    "n_routed_experts": 8,
    "num_experts_per_tok": 3,
    "kv_lora_rank": 16,
    "q_lora_rank": 12,
    "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8,
    "v_head_dim": 6,
}


def v2(**more):
    return {"family": "deepseek_v2", "config": shapes.latent_v2(**{**SMALL, **more})}


def v3(**more):
    flags = {k: more.pop(k) for k in ("mtp", "fused", "fp8") if k in more}
    return {"family": "deepseek_v3", "config": shapes.latent_v3(**{**SMALL, **more}), **flags}


def dense(family, *dims, **more):
    return {"family": family, "config": shapes.dense(*dims, **more)}


def mixed_kinds(name, shape):
    """One tensor of every kind: rows of 256 take the K kinds, rows of 64 the kinds with blocks of 32."""
    kinds = {
        "token_embd": "Q8_0",
        "attn_q": "Q4_0",
        "attn_k": "Q4_1",
        "attn_v": "Q5_0",
        "attn_output": "Q5_1",
        "ffn_gate": "Q4_K",
        "ffn_up": "Q5_K",
        "ffn_down": "Q6_K",
    }
    return kinds.get(name.split(".")[-2], "F32")


# name -> (shape, options of write_checkpoint, options of gguf_export.export or None, number of ids)
FIXTURES = {
    "llama-gqa": (dense("llama", 32, 4, 2, 48, 97), {"dialect": "old"}, None, 600),
    "llama-tied-llama3": (
        dense("llama", 48, 6, 2, 56, 128, tie_word_embeddings=True, rope_parameters=shapes.LLAMA3_ROPE),
        {"dtype": "bf16", "shard": "20KB"},
        None,
        80,
    ),
    "llama-odd": (dense("llama", 42, 3, 3, 37, 101), {}, None, 80),
    "qwen2-gqa": (dense("qwen2", 40, 5, 1, 48, 97), {"dtype": "bf16", "dialect": "old"}, None, 80),
    "qwen3-wide-head": (dense("qwen3", 32, 4, 2, 40, 97, head_dim=16), {}, None, 80),
    "v2-lite": (v2(q_lora_rank=None, rope_parameters=shapes.V2_YARN), {"dtype": "bf16", "dialect": "old"}, None, 80),
    "v2-group": (
        v2(
            topk_method="group_limited_greedy",
            n_group=4,
            topk_group=2,
            routed_scaling_factor=16.0,
            rope_parameters=shapes.REAL_YARN,
        ),
        {"dtype": "bf16"},
        None,
        80,
    ),
    "v3-qlora": (v3(rope_parameters=V3_YARN), {"dtype": "bf16", "dialect": "old"}, None, 600),
    "v3-f32": (v3(num_hidden_layers=2, num_experts_per_tok=3, rope_parameters=V3_YARN), {}, None, 80),
    "v3-mscale-differs": (
        v3(q_lora_rank=None, n_shared_experts=2, rope_parameters=shapes.yarn(40.0, 4096, 1.0, 0.707)),
        {"dtype": "bf16"},
        None,
        80,
    ),
    "v3-odd": (
        v3(
            hidden_size=33,
            num_attention_heads=3,
            num_key_value_heads=3,
            n_routed_experts=9,
            n_group=3,
            topk_group=2,
            num_experts_per_tok=5,
            vocab_size=101,
            kv_lora_rank=13,
            qk_nope_head_dim=7,
            v_head_dim=5,
        ),
        {"dtype": "bf16"},
        None,
        80,
    ),
    "v3-mtp": (v3(num_hidden_layers=2, num_nextn_predict_layers=1, mtp=True), {"dtype": "bf16"}, None, 80),
    "v3-fused": (v3(num_hidden_layers=2, fused=True), {"dtype": "bf16"}, None, 80),
    "v3-fp8": (
        v3(
            hidden_size=136,
            num_attention_heads=2,
            num_key_value_heads=2,
            intermediate_size=48,
            moe_intermediate_size=16,
            vocab_size=64,
            num_hidden_layers=2,
            n_routed_experts=4,
            n_group=2,
            topk_group=1,
            num_experts_per_tok=2,
            kv_lora_rank=136,
            fp8=True,
        ),
        {"dialect": "old"},
        None,
        80,
    ),
    "gguf-llama-f32": (
        dense("llama", 32, 4, 2, 48, 288, tie_word_embeddings=True, rope_parameters=shapes.LLAMA3_ROPE),
        {},
        {"kind": "F32"},
        80,
    ),
    "gguf-llama-kinds": (
        dense("llama", 256, 4, 1, 256, 288, layers=1, head_dim=16, tie_word_embeddings=True),
        {},
        {"kind": mixed_kinds},
        80,
    ),
    "gguf-qwen2-f16": (dense("qwen2", 40, 5, 1, 48, 288), {}, {"kind": "F16"}, 80),
    "gguf-qwen3-bf16": (dense("qwen3", 32, 4, 2, 40, 288, head_dim=16), {}, {"kind": "BF16"}, 80),
    "gguf-v2-lite-split": (
        v2(vocab_size=288, q_lora_rank=None, rope_parameters=shapes.V2_YARN), {}, {"kind": "BF16"}, 80
    ),
    "gguf-v3-split": (v3(vocab_size=288, rope_parameters=V3_YARN), {}, {"kind": "BF16"}, 80),
    "gguf-v3-whole": (v3(vocab_size=288, rope_parameters=V3_YARN), {}, {"kind": "BF16", "kv_b": "whole"}, 80),
}


def rows_of(length):
    """Positions whose logits are kept: ends, and both sides of the block, page and segment borders."""
    wanted = (0, 1, 15, 16, 31, 32, 33, 63, 64, 79, 127, 128, 511, 512, 513, length - 1)
    return sorted({r for r in wanted if r < length})


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make(name, out):
    shape, options, gguf_options, length = FIXTURES[name]
    folder = out / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        reference = make_checkpoints.write_checkpoint(shape, SEED, scratch / "hf", **options)
        if gguf_options is None:
            shutil.copytree(scratch / "hf", folder / "hf")
        else:
            reference = scratch / "twin"
            gguf_export.export(scratch / "hf", folder / "model.gguf", twin=reference, seed=SEED, **gguf_options)
        rng = np.random.default_rng(SEED)
        ids, values, margins, redraws = oracle.draw_ids(oracle.load(reference), rng, length)
    if oracle.decided(margins) != length:
        raise SystemExit(f"{name}: no ids found without a router margin below 1e-5")
    rows = rows_of(length)
    (folder / "ids.json").write_text(json.dumps(ids) + "\n")
    (folder / "rows.json").write_text(json.dumps(rows) + "\n")
    np.save(folder / "logits.npy", np.ascontiguousarray(values[rows], dtype=np.float32))
    files = {str(p.relative_to(folder)): sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()}
    size = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
    entry = {
        "family": shape["family"],
        "model": "hf" if gguf_options is None else "model.gguf",
        "options": {**options, **{k: str(getattr(v, "__name__", v)) for k, v in (gguf_options or {}).items()}},
        "tokens": length,
        "vocab": int(values.shape[1]),
        "range": float(values.max() - values.min()),
        "bytes": size,
        "sha256": files,
    }
    if np.isfinite(margins).any():
        entry["smallest_router_margin"] = float(margins.min())
    print(f"{name:22s} {size:8d} bytes  range {entry['range']:7.3f}  redraws {redraws}", flush=True)
    return entry


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--only", choices=list(FIXTURES))
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / "MANIFEST.json"
    manifest = json.loads(path.read_text()) if path.exists() else {"fixtures": {}}
    packages = ("transformers", "torch", "safetensors", "gguf", "numpy")
    manifest["made_by"] = "tools/oracle/make_fixtures.py"
    manifest["seed"] = SEED
    manifest["versions"] = {p: importlib.metadata.version(p) for p in packages}
    for name in [args.only] if args.only else FIXTURES:
        manifest["fixtures"][name] = make(name, args.out)
    path.write_text(json.dumps(manifest, indent=2) + "\n")
    total = sum(e["bytes"] for e in manifest["fixtures"].values())
    print(f"{len(manifest['fixtures'])} fixtures, {total} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
