"""The shapes of the tiny checkpoints that naru is compared on: a fixed table of variants per family, chosen so
that every path of a model is walked (grouped heads, tied heads, every rope scaling, both kinds of router, with
and without a low-rank query, ...), and a generator of random shapes.

A shape is a plain dict: `family`, `config` (keyword arguments of the transformers config class in the newer
dialect) and flags read by make_checkpoints.py (`mtp`, `fused`, `fp8`).
"""

import copy

import numpy as np

FAMILIES = ("llama", "qwen2", "qwen3", "deepseek_v2", "deepseek_v3")

PLAIN_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}


def yarn(factor, original, mscale, mscale_all_dim, theta=10000.0, beta_fast=32, beta_slow=1):
    """A YaRN rope block; mscale None leaves both mscale keys out."""
    rope = {
        "rope_type": "yarn",
        "rope_theta": theta,
        "factor": factor,
        "original_max_position_embeddings": original,
        "beta_fast": beta_fast,
        "beta_slow": beta_slow,
    }
    if mscale is not None:
        rope.update(mscale=mscale, mscale_all_dim=mscale_all_dim)
    return rope


def dense(hidden, heads, kv_heads, ffn, vocab, layers=2, **more):
    config = {
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "intermediate_size": ffn,
        "vocab_size": vocab,
        "num_hidden_layers": layers,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-5,
        "tie_word_embeddings": False,
        "rope_parameters": copy.deepcopy(PLAIN_ROPE),
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    config.update(more)
    return config


def latent(**more):
    """A tiny latent-attention + experts config; keyword arguments override."""
    config = {
        "hidden_size": 64,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "intermediate_size": 96,
        "moe_intermediate_size": 24,
        "vocab_size": 257,
        "num_hidden_layers": 3,
        "first_k_dense_replace": 1,
        "n_routed_experts": 8,
        "num_experts_per_tok": 3,
        "n_shared_experts": 2,
        "kv_lora_rank": 20,
        "q_lora_rank": 24,
        "qk_nope_head_dim": 16,
        "qk_rope_head_dim": 8,
        "v_head_dim": 12,
        "max_position_embeddings": 2048,
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "rope_parameters": copy.deepcopy(PLAIN_ROPE),
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    config.update(more)
    if "num_attention_heads" in more and "num_key_value_heads" not in more:
        config["num_key_value_heads"] = more["num_attention_heads"]
    return config


def latent_v2(**more):
    config = latent(n_group=1, topk_group=1, topk_method="greedy", routed_scaling_factor=1.0, norm_topk_prob=False)
    return {**config, **more}


def latent_v3(**more):
    config = latent(
        n_routed_experts=16,
        num_experts_per_tok=4,
        n_shared_experts=1,
        n_group=4,
        topk_group=2,
        routed_scaling_factor=2.5,
        norm_topk_prob=True,
        num_nextn_predict_layers=0,
    )
    return {**config, **more}


V2_YARN = yarn(4.0, 16, 0.707, 0.707)
REAL_YARN = yarn(40.0, 4096, 0.707, 0.707)

VARIANTS = {
    "llama": {
        "gqa": {"config": dense(64, 4, 2, 96, 257)},
        "tied": {"config": dense(64, 4, 4, 96, 256, tie_word_embeddings=True)},
        "llama3": {"config": dense(64, 4, 2, 96, 256, rope_parameters=LLAMA3_ROPE)},
        "llama3-tied": {
            "config": dense(64, 8, 2, 96, 300, rope_parameters=LLAMA3_ROPE, tie_word_embeddings=True, layers=3)
        },
        "odd": {"config": dense(54, 3, 3, 77, 101)},
        "one-kv": {"config": dense(70, 5, 1, 33, 131, rms_norm_eps=1e-6)},
        "wide-head": {"config": dense(48, 3, 1, 80, 257, head_dim=32)},
    },
    "qwen2": {
        "gqa": {"config": dense(64, 4, 2, 96, 257, rms_norm_eps=1e-6)},
        "tied": {
            "config": dense(
                64, 4, 2, 96, 256, tie_word_embeddings=True, rope_parameters={"rope_type": "default", "rope_theta": 1e6}
            )
        },
        "odd": {"config": dense(70, 7, 1, 61, 151)},
    },
    "qwen3": {
        "gqa": {"config": dense(64, 4, 2, 96, 257, head_dim=32, rms_norm_eps=1e-6)},
        "tied": {"config": dense(64, 4, 4, 96, 256, head_dim=16, tie_word_embeddings=True)},
        "odd": {"config": dense(50, 5, 1, 61, 151, head_dim=14)},
    },
    "deepseek_v2": {
        "lite": {"config": latent_v2(q_lora_rank=None, rope_parameters=V2_YARN)},
        "qlora": {"config": latent_v2(routed_scaling_factor=16.0, rope_parameters=V2_YARN)},
        "group": {
            "config": latent_v2(
                topk_method="group_limited_greedy",
                n_group=4,
                topk_group=2,
                routed_scaling_factor=16.0,
                rope_parameters=V2_YARN,
            )
        },
        "group-lite": {
            "config": latent_v2(
                topk_method="group_limited_greedy",
                n_routed_experts=12,
                n_group=3,
                topk_group=2,
                num_experts_per_tok=5,
                q_lora_rank=None,
                rope_parameters=REAL_YARN,
                qk_rope_head_dim=16,
            )
        },
        "no-yarn": {"config": latent_v2(n_shared_experts=1)},
        "odd": {
            "config": latent_v2(
                hidden_size=45,
                num_attention_heads=3,
                num_key_value_heads=3,
                vocab_size=101,
                n_routed_experts=7,
                num_experts_per_tok=2,
                moe_intermediate_size=13,
                kv_lora_rank=18,
                qk_nope_head_dim=10,
                v_head_dim=9,
                rope_parameters=V2_YARN,
            )
        },
    },
    "deepseek_v3": {
        "qlora": {"config": latent_v3(rope_parameters=yarn(4.0, 16, 1.0, 1.0))},
        "no-qlora": {"config": latent_v3(q_lora_rank=None, rope_parameters=yarn(4.0, 16, 1.0, 1.0))},
        "mscale-differs": {
            "config": latent_v3(rope_parameters=yarn(40.0, 4096, 1.0, 0.707), qk_rope_head_dim=16, n_shared_experts=2)
        },
        "mscale-absent": {"config": latent_v3(rope_parameters=yarn(8.0, 64, None, None, theta=100.0))},
        "plain-rope": {"config": latent_v3(n_group=1, topk_group=1, n_shared_experts=2)},
        "all-moe": {
            "config": latent_v3(
                first_k_dense_replace=0, num_hidden_layers=2, topk_group=4, num_experts_per_tok=6, norm_topk_prob=False
            )
        },
        "odd": {
            "config": latent_v3(
                hidden_size=50,
                num_attention_heads=3,
                num_key_value_heads=3,
                vocab_size=103,
                n_routed_experts=15,
                n_group=5,
                topk_group=3,
                num_experts_per_tok=5,
                moe_intermediate_size=11,
                kv_lora_rank=19,
                q_lora_rank=21,
                qk_nope_head_dim=13,
                v_head_dim=7,
                rope_parameters=yarn(4.0, 16, 1.0, 1.0),
            )
        },
        "mtp": {
            "config": latent_v3(rope_parameters=yarn(4.0, 16, 1.0, 1.0), num_nextn_predict_layers=1),
            "mtp": True,
        },
        "fused": {"config": latent_v3(rope_parameters=yarn(4.0, 16, 1.0, 1.0)), "fused": True},
        "fp8": {
            "config": latent_v3(
                hidden_size=256,
                intermediate_size=384,
                moe_intermediate_size=128,
                num_hidden_layers=2,
                n_routed_experts=8,
                rope_parameters=yarn(40.0, 4096, 1.0, 1.0),
                kv_lora_rank=128,
                q_lora_rank=128,
                qk_nope_head_dim=32,
                qk_rope_head_dim=16,
                v_head_dim=32,
            ),
            "fp8": True,
        },
        "fp8-ragged": {
            "config": latent_v3(
                hidden_size=200,
                intermediate_size=300,
                moe_intermediate_size=72,
                num_hidden_layers=2,
                n_routed_experts=8,
                rope_parameters=yarn(40.0, 4096, 1.0, 1.0),
                kv_lora_rank=136,
                q_lora_rank=130,
                qk_nope_head_dim=24,
                qk_rope_head_dim=16,
                v_head_dim=40,
            ),
            "fp8": True,
        },
    },
}


def fixed(family, variant):
    """The shape of a named variant, a private copy."""
    shape = copy.deepcopy(VARIANTS[family][variant])
    shape["family"] = family
    return shape


def _pick(rng, values):
    return values[int(rng.integers(len(values)))]


def _random_dense(rng, family):
    kv = int(rng.integers(1, 5))
    heads = kv * int(rng.integers(1, 5))
    head_dim = 2 * int(rng.integers(3, 25))
    hidden = heads * (head_dim if family != "qwen3" else int(rng.integers(5, 20)))
    more = {"tie_word_embeddings": bool(rng.integers(2)), "rms_norm_eps": _pick(rng, [1e-5, 1e-6])}
    rope = {"rope_type": "default", "rope_theta": float(_pick(rng, [100.0, 10000.0, 500000.0, 1e6]))}
    if family == "qwen3":
        more["head_dim"] = head_dim
    if family == "llama":
        if rng.integers(2):
            more["head_dim"] = 2 * int(rng.integers(3, 25))
        if rng.integers(2):
            rope = {
                **LLAMA3_ROPE,
                "rope_theta": rope["rope_theta"],
                "factor": float(_pick(rng, [2.0, 8.0, 32.0])),
                "original_max_position_embeddings": int(_pick(rng, [32, 256, 8192])),
            }
    return dense(
        hidden, heads, kv, int(rng.integers(9, 200)), int(rng.integers(33, 700)), int(rng.integers(1, 5)),
        rope_parameters=rope, **more,
    )


def _random_yarn(rng, both_mscales):
    mscale = float(_pick(rng, [0.707, 1.0]))
    all_dim = mscale if not both_mscales else float(_pick(rng, [0.5, 0.707, 1.0]))
    theta = float(_pick(rng, [100.0, 10000.0]))
    return yarn(float(_pick(rng, [2.0, 4.0, 40.0])), int(_pick(rng, [16, 64, 256, 4096])), mscale, all_dim, theta)


def _random_latent(rng, family):
    heads = int(rng.integers(1, 8))
    groups = int(rng.integers(1, 5))
    per_group = int(rng.integers(2, 7))
    kept = int(rng.integers(1, groups + 1))
    layers = int(rng.integers(1, 5))
    more = {
        "hidden_size": heads * int(rng.integers(8, 20)) if family == "deepseek_v2" else int(rng.integers(20, 130)),
        "num_attention_heads": heads,
        "num_key_value_heads": heads,
        "intermediate_size": int(rng.integers(9, 150)),
        "moe_intermediate_size": int(rng.integers(5, 60)),
        "vocab_size": int(rng.integers(33, 700)),
        "num_hidden_layers": layers,
        "first_k_dense_replace": int(rng.integers(0, layers)),
        "n_routed_experts": groups * per_group,
        "n_shared_experts": int(rng.integers(1, 4)),
        "kv_lora_rank": int(rng.integers(5, 70)),
        "q_lora_rank": None if rng.integers(2) else int(rng.integers(5, 70)),
        "qk_nope_head_dim": int(rng.integers(3, 40)),
        "qk_rope_head_dim": 2 * int(rng.integers(1, 17)),
        "v_head_dim": int(rng.integers(3, 40)),
        "n_group": groups,
        "topk_group": kept,
        "routed_scaling_factor": float(_pick(rng, [1.0, 2.5, 16.0])),
    }
    if rng.integers(4):
        more["rope_parameters"] = _random_yarn(rng, family == "deepseek_v3")
    if family == "deepseek_v2":
        # transformers rotates through complex views here, which need even strides and offsets.
        more["kv_lora_rank"] += more["kv_lora_rank"] % 2
        more["qk_nope_head_dim"] += more["qk_nope_head_dim"] % 2
        greedy = bool(rng.integers(2))
        more["topk_method"] = "greedy" if greedy else "group_limited_greedy"
        if greedy:
            more.update(n_group=1, topk_group=1)
        more["num_experts_per_tok"] = int(rng.integers(1, (groups if greedy else kept) * per_group + 1))
        return latent_v2(**more)
    more["num_experts_per_tok"] = int(rng.integers(1, kept * per_group + 1))
    more["norm_topk_prob"] = bool(rng.integers(4))
    return latent_v3(**more)


def random_shape(family, seed):
    """A random legal shape of the family; the same seed gives the same shape."""
    rng = np.random.default_rng([seed, FAMILIES.index(family)])
    make = _random_latent if family.startswith("deepseek") else _random_dense
    return {"family": family, "config": make(rng, family)}
