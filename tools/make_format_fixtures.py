#!/usr/bin/env python3
"""Makes tests/fixtures/formats/* with the official libraries (tools/requirements-formats.txt), the truth that the tests of
src/formats compare with. Deterministic: the same versions give the same bytes.

    python3 tools/make_format_fixtures.py tests/fixtures/formats
"""
import json
import math
import pathlib
import struct
import sys
import tempfile

import gguf
import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoConfig

OUT = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "tests/fixtures/formats")
BLOCK_KINDS = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K", "Q5_K", "Q6_K"]
# Where the f16 scales of a block lie, in bytes.
SCALES = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}


def quants():
    """Random blocks of every kind and what gguf-py says they hold."""
    rng = np.random.default_rng(7)
    tensors = {}
    for kind in BLOCK_KINDS:
        qtype = gguf.GGMLQuantizationType[kind]
        elements, size = gguf.GGML_QUANT_SIZES[qtype]
        rows, blocks = 3, max(1, 64 // elements)
        data = rng.integers(0, 256, (rows * blocks, size), dtype=np.uint8)
        for at in SCALES[kind]:  # finite scales of mixed size and sign, a subnormal and a zero among them
            values = (rng.standard_normal(rows * blocks) * 10.0 ** rng.integers(-6, 3, rows * blocks)).astype(np.float16)
            if at == 0:
                values[0] = np.float16(3e-7)
            data[:, at:at + 2] = values.view(np.uint8).reshape(-1, 2)
        data = data.reshape(rows, blocks * size)
        values = gguf.quants.dequantize(data, qtype)
        assert np.isfinite(values).all()
        tensors[kind.lower() + ".bytes"] = data
        tensors[kind.lower() + ".values"] = values.astype(np.float32)
    save_file(tensors, OUT / "quants.safetensors")


def tiny_gguf():
    """A llama GGUF by gguf-py: every metadata type, several tensor types."""
    rng = np.random.default_rng(11)
    writer = gguf.GGUFWriter(OUT / "tiny.gguf", "llama")
    writer.add_name("tiny")
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(64)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(1e5)
    writer.add_rope_dimension_count(8)
    writer.add_vocab_size(9)
    for name, value in [("u8", 200), ("i8", -100), ("u16", 60000), ("i16", -30000), ("u32", 4000000000), ("i32", -2000000000),
                        ("u64", 1 << 63), ("i64", -(1 << 62)), ("f32", 0.1), ("f64", 0.1), ("bool", True)]:
        getattr(writer, "add_" + {"u": "uint", "i": "int", "f": "float", "b": "bool"}[name[0]] + name[1:].replace("ool", ""))(
            "test." + name, value)
    writer.add_array("test.ints", [1, -2, 3])
    writer.add_array("test.strings", ["a", "", "가"])
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(["<|end|>", "a", "b", "c", "ab", "abc", "<x>", "[PAD7]", "Ġ"])
    writer.add_token_types([3, 1, 1, 1, 1, 1, 4, 5, 1])
    writer.add_token_merges(["a b", "ab c"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template("{{ messages }}")
    names = {"token_embd.weight": (9, 32), "output_norm.weight": (32,), "blk.0.attn_norm.weight": (32,),
             "blk.0.ffn_norm.weight": (32,), "blk.0.attn_q.weight": (32, 32), "blk.0.attn_k.weight": (16, 32),
             "blk.0.attn_v.weight": (16, 32), "blk.0.attn_output.weight": (32, 32), "blk.0.ffn_gate.weight": (64, 32),
             "blk.0.ffn_up.weight": (64, 32), "blk.0.ffn_down.weight": (32, 64)}
    for name, shape in names.items():
        values = rng.standard_normal(shape).astype(np.float32)
        if len(shape) == 1:
            writer.add_tensor(name, values)
        elif "attn_q" in name:
            writer.add_tensor(name, values.astype(np.float16))
        else:
            qtype = gguf.GGMLQuantizationType.Q8_0 if "embd" in name else gguf.GGMLQuantizationType.Q4_1
            writer.add_tensor(name, gguf.quants.quantize(values, qtype), raw_dtype=qtype)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def tiny_safetensors():
    save_file({"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.array(7, dtype=np.int64), "empty": np.zeros((0, 5), np.float16),
               "bytes": np.arange(3, dtype=np.uint8)}, OUT / "tiny.safetensors", metadata={"note": "α"})


def verdicts():
    """Headers changed by one or two edits, and whether the official reader takes them: [u32 size, u8 accepted, bytes]*."""
    rng = np.random.default_rng(13)
    base = (b'{"__metadata__":{"format":"pt"},"x":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},'
            b'"y":{"dtype":"U8","shape":[],"data_offsets":[16,17]},"z":{"dtype":"BF16","shape":[0,3],"data_offsets":[17,17]}}')
    data = bytes(range(17))
    texts = [b"0", b"1", b"16", b"17", b"-1", b"2.0", b"1e1", b"null", b"[]", b"{}", b'"F16"', b'"I8"', b'"x"', b'"y"', b"[1,4]", b"[4]",
             b"[16,17]", b"[0,17]", b"18446744073709551615", b"9223372036854775807", b" ", b",", b'"dtype":"F32",', b'"shape":[4],', b"\x00"]
    out = bytearray()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "t.safetensors"
        for _ in range(1500):
            header = bytearray(base)
            for _ in range(int(rng.integers(1, 3))):
                at = int(rng.integers(0, len(header)))
                how = int(rng.integers(0, 4))
                if how == 0:
                    header[at] = int(rng.integers(0, 256))
                elif how == 1:
                    del header[at:at + int(rng.integers(1, 12))]
                elif how == 2:
                    header[at:at] = texts[int(rng.integers(0, len(texts)))]
                else:
                    end = at + int(rng.integers(1, 10))
                    header[at:end] = texts[int(rng.integers(0, len(texts)))]
            file = struct.pack("<Q", len(header)) + bytes(header) + data
            path.write_bytes(file)
            try:
                with safe_open(path, "pt") as opened:
                    opened.keys()
                good = True
            except (SafetensorError, OverflowError):
                good = False
            out += struct.pack("<IB", len(file), good) + file
    (OUT / "safetensors_verdicts.bin").write_bytes(bytes(out))


LLAMA = {"model_type": "llama", "vocab_size": 97, "hidden_size": 48, "intermediate_size": 80, "num_hidden_layers": 3,
         "num_attention_heads": 6, "num_key_value_heads": 2, "max_position_embeddings": 512, "rms_norm_eps": 1e-5}
V2 = {"model_type": "deepseek_v2", "vocab_size": 101, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 3,
      "num_attention_heads": 4, "max_position_embeddings": 4096, "n_routed_experts": 8, "num_experts_per_tok": 3,
      "moe_intermediate_size": 24, "n_shared_experts": 2, "first_k_dense_replace": 1, "kv_lora_rank": 20, "q_lora_rank": 24,
      "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 12}
V3 = {**V2, "model_type": "deepseek_v3", "num_key_value_heads": 4, "n_routed_experts": 16, "num_experts_per_tok": 4, "n_group": 4,
      "topk_group": 2, "n_shared_experts": 1}
YARN = {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32, "beta_slow": 1}
CONFIGS = {
    "llama_bare": {"model_type": "llama"},
    "llama_old": {**LLAMA, "rope_theta": 500000.0, "tie_word_embeddings": True, "torch_dtype": "bfloat16",
                  "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                   "original_max_position_embeddings": 64}},
    "llama_new": {**LLAMA, "dtype": "float32", "rope_parameters": {"rope_type": "llama3", "rope_theta": 500000.0, "factor": 32.0,
                  "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 128}},
    "llama_linear": {**LLAMA, "rope_scaling": {"type": "linear", "factor": 2.5}},
    "llama_yarn": {**LLAMA, "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 128}},
    "llama_yarn_given": {**LLAMA, "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "attention_factor": 1.25, "truncate": False}},
    "llama_wide_heads": {**LLAMA, "head_dim": 16, "attention_bias": True, "num_key_value_heads": None, "eos_token_id": [3, 4]},
    "llama_default_rope": {**LLAMA, "rope_theta": 7.0, "rope_parameters": {"rope_type": "default", "rope_theta": 1234.5}},
    "qwen2_bare": {"model_type": "qwen2"},
    "qwen2": {**LLAMA, "model_type": "qwen2", "rope_theta": 1e6, "use_sliding_window": False, "sliding_window": 4096,
              "max_window_layers": 1, "tie_word_embeddings": True},
    "qwen3_bare": {"model_type": "qwen3"},
    "qwen3": {**LLAMA, "model_type": "qwen3", "head_dim": 32, "rope_theta": 1e6,
              "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}},
    "v2_bare": {"model_type": "deepseek_v2", "num_experts_per_tok": 6},
    "v2_lite": {**V2, "q_lora_rank": None, "topk_method": "greedy", "scoring_func": "softmax", "norm_topk_prob": True,
                "routed_scaling_factor": 1.0, "rope_scaling": {**YARN, "mscale": 0.707, "mscale_all_dim": 0.707}},
    "v2_groups": {**V2, "topk_method": "group_limited_greedy", "n_group": 4, "topk_group": 2, "routed_scaling_factor": 16.0,
                  "rope_scaling": YARN},
    "v3_bare": {"model_type": "deepseek_v3"},
    "v3": {**V3, "rope_scaling": {**YARN, "mscale": 1.0, "mscale_all_dim": 1.0}, "num_nextn_predict_layers": 1, "topk_method": "noaux_tc",
           "scoring_func": "sigmoid", "auto_map": {"AutoModel": "modeling_evil.Model"}},
    "v3_two_scales": {**V3, "q_lora_rank": None, "rope_interleave": False, "norm_topk_prob": False,
                      "rope_parameters": {"rope_type": "yarn", "rope_theta": 20000.0, "factor": 4.0, "mscale": 1.0, "mscale_all_dim": 0.5,
                                          "original_max_position_embeddings": 16}},
}


def expected_config(config):
    """What the official class makes of a config, in our words."""
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "config.json").write_text(json.dumps(config))
        official = AutoConfig.from_pretrained(folder)
        official.save_pretrained(folder)
        saved = json.loads((pathlib.Path(folder) / "config.json").read_text())
    kind = official.model_type
    module = __import__(f"transformers.models.{kind}.modeling_{kind}", fromlist=["x"])
    stem = {"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3", "deepseek_v2": "DeepseekV2", "deepseek_v3": "DeepseekV3"}[kind]
    rotary = getattr(module, stem + "RotaryEmbedding")(official)
    is_mla = kind.startswith("deepseek")
    with torch.device("meta"):
        attention = getattr(module, stem + "Attention")(official, 0)
    result = {
        "vocab": official.vocab_size, "hidden": official.hidden_size, "layers": official.num_hidden_layers,
        "heads": official.num_attention_heads, "kv_heads": official.num_key_value_heads, "ffn": official.intermediate_size,
        "head_dim": official.qk_head_dim if is_mla else attention.head_dim, "rms_eps": official.rms_norm_eps,
        "tie_embeddings": official.tie_word_embeddings, "max_positions": official.max_position_embeddings,
        "theta": official.rope_parameters["rope_theta"], "rope_type": official.rope_parameters["rope_type"],
        "attention_factor": float(rotary.attention_scaling),
        "bos": official.bos_token_id, "eos": official.eos_token_id,
        "qkv_bias": (attention.kv_a_proj_with_mqa if is_mla else attention.k_proj).bias is not None,
        "o_bias": attention.o_proj.bias is not None, "qk_norm": hasattr(attention, "q_norm"),
    }
    if is_mla:
        result["score_scale"] = attention.scaling * math.sqrt(official.qk_head_dim)
        for ours, theirs in [("q_lora_rank", "q_lora_rank"), ("kv_lora_rank", "kv_lora_rank"), ("nope", "qk_nope_head_dim"),
                             ("rope", "qk_rope_head_dim"), ("v", "v_head_dim"), ("experts", "n_routed_experts"),
                             ("experts_per_token", "num_experts_per_tok"), ("shared_experts", "n_shared_experts"),
                             ("moe_ffn", "moe_intermediate_size"), ("first_dense", "first_k_dense_replace"),
                             ("routed_scaling", "routed_scaling_factor"), ("n_group", "n_group"), ("topk_group", "topk_group")]:
            result[ours] = getattr(official, theirs) or 0
        result["norm_topk"] = bool(kind == "deepseek_v3" and official.norm_topk_prob)
        result["interleaved"] = bool(kind == "deepseek_v2" or official.rope_interleave)
    return saved, result


def configs():
    cases = []
    for name, config in CONFIGS.items():
        saved, expected = expected_config(config)
        cases.append({"name": name, "config": config, "expected": expected})
        cases.append({"name": name + "_saved_again", "config": saved, "expected": expected})
    (OUT / "configs.json").write_text(json.dumps(cases, indent=1, sort_keys=True) + "\n")


def tiny_tokenizer():
    """A byte-level BPE with every part that naru reads."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(r"\p{N}{1,3}"), behavior="isolated", invert=False),
        pre_tokenizers.Split("\n", behavior="merged_with_previous", invert=True),
        pre_tokenizers.Digits(individual_digits=True),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=300, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False,
                                  special_tokens=["<s>", "</s>"])
    tokenizer.train_from_iterator(["the cat sat on the mat, the end. 나루 나루터 123 456"] * 4, trainer)
    tokenizer.add_tokens([AddedToken("<think>", normalized=False), AddedToken("  ", lstrip=True, rstrip=True, single_word=True)])
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<s> $A </s>", pair="<s> $A <s> $B", special_tokens=[("<s>", 0), ("</s>", 1)])])
    folder = OUT / "tokenizer"
    folder.mkdir(exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"add_bos_token": True, "add_eos_token": False, "bos_token": "<s>", "tokenizer_class": "PreTrainedTokenizerFast",
              "eos_token": {"__type": "AddedToken", "content": "</s>", "lstrip": False}, "pad_token": None, "unk_token": "<nowhere>",
              "model_max_length": 1000000000000000019884624838656, "auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]},
              "added_tokens_decoder": {str(tokenizer.token_to_id("<think>")): {"content": "<think>", "special": True, "normalized": False, "lstrip": True}},
              "chat_template": [{"name": "default", "template": "{{ bos_token }}"}, {"name": "tool_use", "template": "tools"}]}
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n")
    (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": {"content": "</s>"}}) + "\n")


def main():
    OUT.mkdir(parents=True, exist_ok=True)
    quants()
    tiny_gguf()
    tiny_safetensors()
    verdicts()
    configs()
    tiny_tokenizer()


main()
