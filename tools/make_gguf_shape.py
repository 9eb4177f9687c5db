"""Writes a random Q4_0 GGUF file of the DeepSeek-V2-Lite shape (15.7 B parameters, about 9 GB), piece by piece.

For tests of loading, memory and speed at real size without a real checkpoint. Values are random but sane: a weight
row has standard deviation about 1/sqrt(inputs) with a scale of random sign, so activations neither vanish nor
explode. The latent up-projection is stored split (attn_k_b, attn_v_b); router and norms are f32; YaRN keys are
those of the released model. Memory stays below 300 MB whatever the size. The same seed gives the same bytes.

    python3 make_gguf_shape.py --out FILE.gguf
    python3 make_gguf_shape.py --out FILE.gguf --layers 3 --scale 8       a small one of the same kind

The vocabulary is byte-level: of --tokenizer tokenizer.json (a byte-level BPE; cut to the first ids that fit, whose
merges are closed) or, without it, 256 bytes and a few merges; fillers up to the size.
"""

import argparse
import json
import os
import pathlib
import struct
import sys
import time

import numpy as np

F32, Q4_0 = 0, 2
ALIGNMENT = 32
PIECE_BLOCKS = 1 << 18  # 4.7 MB of Q4_0 a piece
U32, F32_VALUE, BOOL, STRING, ARRAY, I32 = 4, 6, 7, 8, 9, 5
NORMAL, CONTROL, UNUSED = 1, 3, 5
SPECIAL = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>"]
MERGES = (
    "h e|t h|i n|e r|a n|r e|o n|Ġ t|th e|Ġ a|in g|Ġt he|l l|o u|Ġ s|e n|o r|he ll|hell o|Ġ w|w or|l d"
).split("|")
CHAT_TEMPLATE = (
    "{{ '<｜begin▁of▁sentence｜>' }}{% for message in messages %}{% if message['role'] == 'system' %}"
    "{{ message['content'] }}{% elif message['role'] == 'user' %}{{ '<｜User｜>' + message['content'] }}{% else %}"
    "{{ '<｜Assistant｜>' + message['content'] + '<｜end▁of▁sentence｜>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<｜Assistant｜>' }}{% endif %}"
)


def shape_of(layers, scale, vocab):
    """The config of V2-Lite, widths divided by `scale` and kept multiples of 32."""

    def part(n):
        return max(32, n // scale // 32 * 32)

    return {
        "layers": layers,
        "hidden": part(2048),
        "heads": max(1, 16 // scale),
        "latent": part(512),
        "nope": 128,
        "rope": 64,
        "value": 128,
        "dense": part(10944),
        "expert": part(1408),
        "experts": 64,
        "used": 6,
        "shared": 2,
        "vocab": vocab,
        "context": 163840,
    }


def tensors_of(c):
    """(name, shape slowest first, type) in file order."""
    query, hidden = c["nope"] + c["rope"], c["hidden"]
    out = [("token_embd.weight", (c["vocab"], hidden), Q4_0)]
    for n in range(c["layers"]):
        b = f"blk.{n}."
        out += [
            (b + "attn_norm.weight", (hidden,), F32),
            (b + "attn_q.weight", (c["heads"] * query, hidden), Q4_0),
            (b + "attn_kv_a_mqa.weight", (c["latent"] + c["rope"], hidden), Q4_0),
            (b + "attn_kv_a_norm.weight", (c["latent"],), F32),
            (b + "attn_k_b.weight", (c["heads"], c["latent"], c["nope"]), Q4_0),
            (b + "attn_v_b.weight", (c["heads"], c["value"], c["latent"]), Q4_0),
            (b + "attn_output.weight", (hidden, c["heads"] * c["value"]), Q4_0),
            (b + "ffn_norm.weight", (hidden,), F32),
        ]
        if n == 0:
            wide = [("", (), c["dense"])]
        else:
            out.append((b + "ffn_gate_inp.weight", (c["experts"], hidden), F32))
            wide = [("_exps", (c["experts"],), c["expert"]), ("_shexp", (), c["shared"] * c["expert"])]
        for suffix, lead, width in wide:
            out += [
                (b + f"ffn_gate{suffix}.weight", (*lead, width, hidden), Q4_0),
                (b + f"ffn_up{suffix}.weight", (*lead, width, hidden), Q4_0),
                (b + f"ffn_down{suffix}.weight", (*lead, hidden, width), Q4_0),
            ]
    out += [("output_norm.weight", (hidden,), F32), ("output.weight", (c["vocab"], hidden), Q4_0)]
    return out


def byte_letters():
    """GPT-2's printable stand-in for each byte, in the order of the bytes."""
    kept = {*range(33, 127), *range(161, 173), *range(174, 256)}
    extra = iter(range(256, 512))
    return [chr(b) if b in kept else chr(next(extra)) for b in range(256)]


def vocabulary(size, tokenizer):
    """(tokens, types, merges), special tokens last."""
    room = size - len(SPECIAL)
    if tokenizer is None:
        merges = MERGES[: max(0, room - 256)]
        tokens = byte_letters() + [m.replace(" ", "") for m in merges]
    else:
        model = json.loads(tokenizer.read_text(encoding="utf-8"))["model"]
        names = {i: t for t, i in model["vocab"].items()}
        taken = []
        for i in range(min(room, len(names))):
            # An id without a letter in the vocabulary, or a special token's place, becomes a filler.
            taken.append(names.get(i, ""))
        tokens = [t if t and t not in SPECIAL else f"<|unused{i}|>" for i, t in enumerate(taken)]
        kept = set(tokens)
        pairs = [tuple(m.split(" ")) if isinstance(m, str) else tuple(m) for m in model["merges"]]
        merges = [f"{a} {b}" for a, b in pairs if a in kept and b in kept and a + b in kept]
    if len(tokens) > room:
        raise SystemExit(f"vocabulary of {size}: too small for 256 bytes and {len(SPECIAL)} special tokens")
    types = [UNUSED if t.startswith("<|unused") else NORMAL for t in tokens]
    while len(tokens) < room:
        tokens.append(f"<|unused{len(tokens)}|>")
        types.append(UNUSED)
    return tokens + SPECIAL, types + [CONTROL] * len(SPECIAL), merges


def text(value):
    raw = value.encode("utf-8")
    return struct.pack("<Q", len(raw)) + raw


def pair(name, kind, value):
    """One metadata entry; value is (element kind, list) for an array."""
    packers = {U32: "<I", I32: "<i", F32_VALUE: "<f", BOOL: "<?"}
    head = text(name) + struct.pack("<I", kind)
    if kind == STRING:
        return head + text(value)
    if kind == ARRAY:
        element, items = value
        body = b"".join(map(text, items)) if element == STRING else np.array(items, dtype="<i4").tobytes()
        return head + struct.pack("<IQ", element, len(items)) + body
    return head + struct.pack(packers[kind], value)


def metadata(c, tokenizer):
    tokens, types, merges = vocabulary(c["vocab"], tokenizer)
    first_special = c["vocab"] - len(SPECIAL)
    arch = {
        "context_length": (U32, c["context"]),
        "embedding_length": (U32, c["hidden"]),
        "block_count": (U32, c["layers"]),
        "feed_forward_length": (U32, c["dense"]),
        "vocab_size": (U32, c["vocab"]),
        "attention.head_count": (U32, c["heads"]),
        "attention.head_count_kv": (U32, 1),
        "attention.layer_norm_rms_epsilon": (F32_VALUE, 1e-6),
        "attention.kv_lora_rank": (U32, c["latent"]),
        "attention.key_length": (U32, c["latent"] + c["rope"]),
        "attention.value_length": (U32, c["latent"]),
        "attention.key_length_mla": (U32, c["nope"] + c["rope"]),
        "attention.value_length_mla": (U32, c["value"]),
        "rope.dimension_count": (U32, c["rope"]),
        "rope.freq_base": (F32_VALUE, 10000.0),
        "rope.scaling.type": (STRING, "yarn"),
        "rope.scaling.factor": (F32_VALUE, 40.0),
        "rope.scaling.original_context_length": (U32, 4096),
        "rope.scaling.yarn_log_multiplier": (F32_VALUE, 0.0707),
        "leading_dense_block_count": (U32, 1),
        "expert_count": (U32, c["experts"]),
        "expert_used_count": (U32, c["used"]),
        "expert_shared_count": (U32, c["shared"]),
        "expert_feed_forward_length": (U32, c["expert"]),
        "expert_weights_scale": (F32_VALUE, 1.0),
        "expert_weights_norm": (BOOL, False),
        "expert_gating_func": (U32, 1),
    }
    out = [
        pair("general.architecture", STRING, "deepseek2"),
        pair("general.name", STRING, "random DeepSeek-V2-Lite shape"),
        pair("general.file_type", U32, 2),
        pair("general.quantization_version", U32, 2),
        pair("general.alignment", U32, ALIGNMENT),
    ]
    out += [pair(f"deepseek2.{k}", kind, value) for k, (kind, value) in arch.items()]
    out += [
        pair("tokenizer.ggml.model", STRING, "gpt2"),
        pair("tokenizer.ggml.pre", STRING, "deepseek-v3"),
        pair("tokenizer.ggml.tokens", ARRAY, (STRING, tokens)),
        pair("tokenizer.ggml.token_type", ARRAY, (I32, types)),
        pair("tokenizer.ggml.merges", ARRAY, (STRING, merges)),
        pair("tokenizer.ggml.bos_token_id", U32, first_special),
        pair("tokenizer.ggml.eos_token_id", U32, first_special + 1),
        pair("tokenizer.ggml.add_bos_token", BOOL, False),
        pair("tokenizer.chat_template", STRING, CHAT_TEMPLATE),
    ]
    return out


def padded(n):
    return (n + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT


def bytes_of(shape, kind):
    count = int(np.prod(shape))
    return count * 4 if kind == F32 else count // 32 * 18


def header(c, tokenizer, tensors):
    pairs = metadata(c, tokenizer)
    out = [b"GGUF", struct.pack("<IQQ", 3, len(tensors), len(pairs)), *pairs]
    offset = 0
    for name, shape, kind in tensors:
        dims = tuple(reversed(shape))
        out.append(text(name) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, kind, offset))
        offset += padded(bytes_of(shape, kind))
    blob = b"".join(out)
    return blob + bytes(padded(len(blob)) - len(blob)), offset


def random_q4_0(rng, blocks, inputs):
    """Raw blocks: random nibbles (standard deviation 4.6) under scales of random sign, so the mean is zero."""
    raw = rng.integers(0, 256, (blocks, 18), dtype=np.uint8)
    scale = rng.uniform(0.7, 1.3, blocks) / (4.6 * np.sqrt(inputs)) * np.where(raw[:, 0] & 1, 1.0, -1.0)
    raw[:, 0:2] = scale.astype("<f2").view(np.uint8).reshape(-1, 2)
    return raw


def random_f32(rng, name, shape):
    if len(shape) == 1:
        return (1.0 + 0.1 * rng.standard_normal(shape)).astype("<f4")
    return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype("<f4")


class Progress:
    """One line on a terminal, one line a tenth otherwise."""

    def __init__(self, total):
        self.total, self.done, self.begin, self.said = total, 0, time.monotonic(), -1

    def add(self, count):
        self.done += count
        percent = 100 * self.done // self.total
        step = percent if sys.stderr.isatty() else percent // 10
        if step != self.said:
            self.said = step
            speed = self.done / max(time.monotonic() - self.begin, 1e-9) / 1e6
            end = "\r" if sys.stderr.isatty() and percent < 100 else "\n"
            line = f"{percent:3d} % of {self.total / 1e9:.2f} GB, {speed:.0f} MB/s"
            print(line, file=sys.stderr, end=end, flush=True)


def write(path, c, seed, tokenizer):
    tensors = tensors_of(c)
    head, size = header(c, tokenizer, tensors)
    progress = Progress(len(head) + size)
    part = path.with_name(path.name + ".part")
    with open(part, "wb") as file:
        file.write(head)
        progress.add(len(head))
        for index, (name, shape, kind) in enumerate(tensors):
            rng = np.random.Generator(np.random.SFC64([seed, index]))
            length = bytes_of(shape, kind)
            if kind == F32:
                file.write(random_f32(rng, name, shape).tobytes())
            else:
                left = length // 18
                while left:
                    blocks = min(left, PIECE_BLOCKS)
                    file.write(random_q4_0(rng, blocks, shape[-1]).data)
                    left -= blocks
                    progress.add(blocks * 18)
            file.write(bytes(padded(length) - length))
            progress.add(padded(length) - (length if kind == Q4_0 else 0))
    os.replace(part, path)
    return len(head) + size, sum(int(np.prod(shape)) for _, shape, _ in tensors)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--layers", type=int, default=27)
    parser.add_argument("--scale", type=int, default=1, help="divides the widths")
    parser.add_argument("--vocab", type=int, default=102400)
    parser.add_argument("--tokenizer", type=pathlib.Path, help="a byte-level tokenizer.json")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    if args.layers < 1 or args.scale < 1 or args.vocab < 256 + len(SPECIAL):
        parser.error(f"--layers and --scale are at least 1, --vocab at least {256 + len(SPECIAL)}")
    size, parameters = write(args.out, shape_of(args.layers, args.scale, args.vocab), args.seed, args.tokenizer)
    print(f"{args.out}: {size / 1e9:.3f} GB, {parameters / 1e9:.3f} B parameters")
    return 0


if __name__ == "__main__":
    sys.exit(main())
