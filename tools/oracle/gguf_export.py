"""Writes a GGUF file of a Hugging Face folder (llama, qwen2, qwen3, deepseek_v2, deepseek_v3) with the gguf package,
under the names and layouts that llama.cpp uses: llama's query and key rows permuted to interleaved pairs, the
latent up-projection split (attn_k_b transposed, attn_v_b) or whole (attn_kv_b, older files), experts stacked.

With --twin the folder is written again with the values that the GGUF's blocks really hold, for the oracle.

    python3 gguf_export.py MODEL --out FILE.gguf [--kind BF16] [--kv-b split|whole] [--twin DIR]

The vocabulary is a minimal byte-level one (256 bytes, a few merges, four special tokens), so the folder's
vocabulary must have at least 260 entries.
"""

import argparse
import json
import math
import pathlib
import shutil
import sys

import gguf
import numpy as np
import torch
from safetensors.torch import load_file, save_file

import gguf_values

ARCHITECTURES = {
    "llama": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "deepseek_v2": "deepseek2",
    "deepseek_v3": "deepseek2",
}
PRE_TOKENIZERS = {"llama": "smollm", "qwen2": "qwen2", "qwen3": "qwen2"}
SPECIAL = ["<|begin|>", "<|im_end|>", "<|im_start|>", "<|pad|>"]
MERGES = (
    "h e|t h|i n|e r|a n|r e|o n|Ġ t|th e|Ġ a|in g|Ġt he|l l|o u|Ġ s|e n|o r|he ll|hell o|Ġ w|w or|l d"
).split("|")
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + "
    "'\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


def byte_letters():
    """GPT-2's printable stand-in for each byte, in the order of the bytes."""
    kept = [*range(33, 127), *range(161, 173), *range(174, 256)]
    extra = iter(range(256, 512))
    return [chr(b) if b in kept else chr(next(extra)) for b in range(256)]


def small_vocabulary(size):
    """(tokens, types, merges, first special id): bytes, merged pieces, fillers, special tokens last."""
    room = size - 256 - len(SPECIAL)
    if room < 0:
        raise SystemExit(f"vocabulary of {size}: a byte-level one needs at least {256 + len(SPECIAL)}")
    merges = MERGES[:room]
    tokens = byte_letters() + [m.replace(" ", "") for m in merges]
    types = [gguf.TokenType.NORMAL] * len(tokens)
    while len(tokens) < size - len(SPECIAL):
        tokens.append(f"<|unused{len(tokens)}|>")
        types.append(gguf.TokenType.UNUSED)
    return tokens + SPECIAL, types + [gguf.TokenType.CONTROL] * len(SPECIAL), merges, size - len(SPECIAL)


def interleave(weight, heads):
    """Half-split to interleaved pairs, per head, along the rows."""
    rows = weight.shape[0]
    return weight.reshape(heads, 2, rows // heads // 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def deinterleave(weight, heads):
    rows = weight.shape[0]
    return weight.reshape(heads, rows // heads // 2, 2, *weight.shape[1:]).swapaxes(1, 2).reshape(weight.shape)


def llama3_divisors(rope, head_dim):
    """rope_freqs: what each frequency is divided by."""
    out = []
    for i in range(0, head_dim, 2):
        wave = 2 * math.pi * rope["rope_theta"] ** (i / head_dim)
        original = rope["original_max_position_embeddings"]
        low, high = rope["low_freq_factor"], rope["high_freq_factor"]
        if wave < original / high:
            out.append(1.0)
        elif wave > original / low:
            out.append(rope["factor"])
        else:
            smooth = (original / wave - low) / (high - low)
            out.append(1 / ((1 - smooth) / rope["factor"] + smooth))
    return np.array(out, dtype=np.float32)


class Exporter:
    """Collects (GGUF name, values, kind) of one model and the values that come back for the twin."""

    def __init__(self, folder, out, kind, kv_b, rng):
        self.config = json.loads((pathlib.Path(folder) / "config.json").read_text())
        state = {}
        for path in sorted(pathlib.Path(folder).glob("*.safetensors")):
            state.update(load_file(path))
        self.state = {k: v.float().numpy() for k, v in state.items()}
        self.arch = ARCHITECTURES[self.config["model_type"]]
        self.writer = gguf.GGUFWriter(out, self.arch)
        self.kind_of = kind if callable(kind) else (lambda name, shape: kind)
        self.kv_b = kv_b
        self.rng = rng
        self.twin = {}

    def key(self, name, value):
        """One metadata value under the architecture's prefix; the type follows the Python type."""
        name = f"{self.arch}.{name}"
        if isinstance(value, bool):
            self.writer.add_bool(name, value)
        elif isinstance(value, int):
            self.writer.add_uint32(name, value)
        elif isinstance(value, float):
            self.writer.add_float32(name, value)
        else:
            self.writer.add_string(name, value)

    def put(self, name, values):
        """Adds a tensor and returns the values that its blocks hold."""
        values = np.ascontiguousarray(values, dtype=np.float32)
        kind = self.kind_of(name, values.shape)
        if values.ndim == 1 or name.endswith("ffn_gate_inp.weight"):
            kind = "F32"
        if values.shape[-1] % gguf_values.BLOCKS[kind][0]:
            raise SystemExit(f"{name}: rows of {values.shape[-1]} are no multiple of a {kind} block")
        type_id = gguf.GGMLQuantizationType[kind]
        if kind in ("Q4_K", "Q5_K", "Q6_K"):
            raw = gguf_values.random_blocks(self.rng, kind, values.shape)
        elif kind == "F32":
            raw = values
        elif kind == "F16":
            raw = values.astype(np.float16)
        else:
            raw = gguf.quants.quantize(values, type_id)
        if kind in ("F32", "F16"):
            self.writer.add_tensor(name, raw)
        else:
            raw = raw.reshape(*values.shape[:-1], -1)
            self.writer.add_tensor(name, raw, raw_dtype=type_id)
        return gguf_values.dequantise(raw.tobytes(), kind, values.shape)

    def copy(self, gguf_name, hf_name):
        self.twin[hf_name] = self.put(gguf_name, self.state[hf_name])

    def metadata(self):
        c = self.config
        rope = c["rope_parameters"]
        head_dim = c.get("head_dim") or c["hidden_size"] // c["num_attention_heads"]
        self.writer.add_name(f"tiny random {c['model_type']}")
        self.key("context_length", c["max_position_embeddings"])
        self.key("embedding_length", c["hidden_size"])
        self.key("block_count", c["num_hidden_layers"])
        self.key("feed_forward_length", c["intermediate_size"])
        self.key("vocab_size", c["vocab_size"])
        self.key("attention.head_count", c["num_attention_heads"])
        self.key("attention.layer_norm_rms_epsilon", float(c["rms_norm_eps"]))
        self.key("rope.freq_base", float(rope["rope_theta"]))
        if self.arch == "deepseek2":
            self.latent_metadata(c, rope)
            return
        self.key("attention.head_count_kv", c["num_key_value_heads"])
        self.key("attention.key_length", head_dim)
        self.key("attention.value_length", head_dim)
        self.key("rope.dimension_count", head_dim)
        if rope["rope_type"] == "llama3":
            self.put("rope_freqs.weight", llama3_divisors(rope, head_dim))
        elif rope["rope_type"] != "default":
            raise SystemExit(f"rope {rope['rope_type']}: GGUF has no layout for it in {self.arch}")

    def latent_metadata(self, c, rope):
        split = self.kv_b == "split"
        key_length = c["qk_nope_head_dim"] + c["qk_rope_head_dim"]
        self.key("attention.head_count_kv", 1 if split else c["num_attention_heads"])
        self.key("attention.key_length", c["kv_lora_rank"] + c["qk_rope_head_dim"] if split else key_length)
        self.key("attention.value_length", c["kv_lora_rank"] if split else c["v_head_dim"])
        if split:
            self.key("attention.key_length_mla", key_length)
            self.key("attention.value_length_mla", c["v_head_dim"])
        if c["q_lora_rank"] is not None:
            self.key("attention.q_lora_rank", c["q_lora_rank"])
        self.key("attention.kv_lora_rank", c["kv_lora_rank"])
        self.key("rope.dimension_count", c["qk_rope_head_dim"])
        self.key("leading_dense_block_count", c["first_k_dense_replace"])
        self.key("expert_count", c["n_routed_experts"])
        self.key("expert_used_count", c["num_experts_per_tok"])
        self.key("expert_shared_count", c["n_shared_experts"])
        self.key("expert_feed_forward_length", c["moe_intermediate_size"])
        self.key("expert_weights_scale", float(c["routed_scaling_factor"]))
        sigmoid = c["model_type"] == "deepseek_v3"
        self.key("expert_weights_norm", bool(c["norm_topk_prob"]) if sigmoid else False)
        self.key("expert_gating_func", 2 if sigmoid else 1)
        if (c["n_group"] or 1) > 1:
            self.key("expert_group_count", c["n_group"])
            self.key("expert_group_used_count", c["topk_group"])
        if rope["rope_type"] == "yarn":
            if rope.get("mscale") != rope.get("mscale_all_dim") or "mscale" not in rope:
                raise SystemExit("GGUF can only say YaRN with mscale equal to mscale_all_dim")
            self.key("rope.scaling.type", "yarn")
            self.key("rope.scaling.factor", float(rope["factor"]))
            self.key("rope.scaling.original_context_length", rope["original_max_position_embeddings"])
            self.key("rope.scaling.yarn_log_multiplier", 0.1 * rope["mscale_all_dim"])

    def tokenizer(self):
        tokens, types, merges, special = small_vocabulary(self.config["vocab_size"])
        self.writer.add_tokenizer_model("gpt2")
        self.writer.add_tokenizer_pre(PRE_TOKENIZERS.get(self.arch, "deepseek-v3"))
        self.writer.add_token_list(tokens)
        self.writer.add_token_types(types)
        self.writer.add_token_merges(merges)
        self.writer.add_bos_token_id(special)
        self.writer.add_eos_token_id(special + 1)
        self.writer.add_pad_token_id(special + 3)
        self.writer.add_add_bos_token(False)
        self.writer.add_chat_template(CHAT_TEMPLATE)

    def dense_attention(self, block, layer):
        heads = {"q": self.config["num_attention_heads"], "k": self.config["num_key_value_heads"]}
        for letter in "qkv":
            for part in ("weight", "bias"):
                name = f"{layer}.self_attn.{letter}_proj.{part}"
                if name not in self.state:
                    continue
                if self.arch == "llama" and letter in heads:
                    stored = self.put(f"{block}.attn_{letter}.{part}", interleave(self.state[name], heads[letter]))
                    self.twin[name] = deinterleave(stored, heads[letter])
                else:
                    self.copy(f"{block}.attn_{letter}.{part}", name)
        self.copy(f"{block}.attn_output.weight", f"{layer}.self_attn.o_proj.weight")
        if self.arch == "qwen3":
            for letter in "qk":
                self.copy(f"{block}.attn_{letter}_norm.weight", f"{layer}.self_attn.{letter}_norm.weight")

    def latent_attention(self, block, layer):
        c, attn = self.config, f"{layer}.self_attn."
        names = {
            "attn_q": "q_proj",
            "attn_q_a": "q_a_proj",
            "attn_q_a_norm": "q_a_layernorm",
            "attn_q_b": "q_b_proj",
            "attn_kv_a_mqa": "kv_a_proj_with_mqa",
            "attn_kv_a_norm": "kv_a_layernorm",
            "attn_output": "o_proj",
        }
        for ours, theirs in names.items():
            if f"{attn}{theirs}.weight" in self.state:
                self.copy(f"{block}.{ours}.weight", f"{attn}{theirs}.weight")
        name = f"{attn}kv_b_proj.weight"
        if self.kv_b == "whole":
            self.copy(f"{block}.attn_kv_b.weight", name)
            return
        whole = self.state[name].reshape(c["num_attention_heads"], -1, c["kv_lora_rank"])
        nope = c["qk_nope_head_dim"]
        keys = self.put(f"{block}.attn_k_b.weight", whole[:, :nope].swapaxes(1, 2))
        values = self.put(f"{block}.attn_v_b.weight", whole[:, nope:])
        self.twin[name] = np.concatenate([keys.swapaxes(1, 2), values], axis=1).reshape(self.state[name].shape)

    def feed_forward(self, block, layer):
        parts = {"gate": "gate_proj", "up": "up_proj", "down": "down_proj"}
        if f"{layer}.mlp.gate.weight" not in self.state:
            for ours, theirs in parts.items():
                self.copy(f"{block}.ffn_{ours}.weight", f"{layer}.mlp.{theirs}.weight")
            return
        self.copy(f"{block}.ffn_gate_inp.weight", f"{layer}.mlp.gate.weight")
        bias = f"{layer}.mlp.gate.e_score_correction_bias"
        if bias in self.state:
            self.copy(f"{block}.exp_probs_b.bias", bias)
        for ours, theirs in parts.items():
            names = [f"{layer}.mlp.experts.{e}.{theirs}.weight" for e in range(self.config["n_routed_experts"])]
            stored = self.put(f"{block}.ffn_{ours}_exps.weight", np.stack([self.state[n] for n in names]))
            self.twin.update(zip(names, stored))
            self.copy(f"{block}.ffn_{ours}_shexp.weight", f"{layer}.mlp.shared_experts.{theirs}.weight")

    def run(self):
        self.metadata()
        self.tokenizer()
        self.copy("token_embd.weight", "model.embed_tokens.weight")
        self.copy("output_norm.weight", "model.norm.weight")
        if not self.config.get("tie_word_embeddings"):
            self.copy("output.weight", "lm_head.weight")
        for n in range(self.config["num_hidden_layers"]):
            block, layer = f"blk.{n}", f"model.layers.{n}"
            self.copy(f"{block}.attn_norm.weight", f"{layer}.input_layernorm.weight")
            self.copy(f"{block}.ffn_norm.weight", f"{layer}.post_attention_layernorm.weight")
            (self.latent_attention if self.arch == "deepseek2" else self.dense_attention)(block, layer)
            self.feed_forward(block, layer)
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()


def export(folder, out, kind="F32", kv_b="split", twin=None, seed=1):
    """Writes the GGUF; `kind` is a name of gguf_values.BLOCKS or a function (tensor name, shape) -> name."""
    exporter = Exporter(folder, out, kind, kv_b, np.random.default_rng(seed))
    exporter.run()
    if twin is not None:
        twin = pathlib.Path(twin)
        twin.mkdir(parents=True, exist_ok=True)
        shutil.copy(pathlib.Path(folder) / "config.json", twin / "config.json")
        state = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in exporter.twin.items()}
        save_file(state, twin / "model.safetensors", {"format": "pt"})


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", help="folder with config.json (newer dialect) and safetensors")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--kind", choices=list(gguf_values.BLOCKS), default="F32")
    parser.add_argument("--kv-b", choices=("split", "whole"), default="split")
    parser.add_argument("--twin", type=pathlib.Path)
    args = parser.parse_args()
    export(args.model, args.out, args.kind, args.kv_b, args.twin)
    return 0


if __name__ == "__main__":
    sys.exit(main())
