"""The quantised files of `naru convert` beside those that llama.cpp makes of the same F32 file, kind by kind.

MODEL (default: the packaged SmolLM2) is converted to F32 GGUF. For every kind both programs quantise that, and naru runs
both files with exact weights (--compute f32) on the beginnings of the fixture's texts. Wanted of naru's file: a root mean
square error of the logits (each position's less their mean, which softmax does not see) of at most 1.02 times that of
llama.cpp's, a size within 1 %, the same kind for each tensor.

    python3 compare_quantisers.py [MODEL] [--kinds q4_0,q4_k_m] [--tokens 64]

--weights compares in place of logits the weights themselves, cut into rows of 1024, so that the K kinds are judged on all
matrices whatever their width: the squared error of every block kind.
"""

import argparse
import ctypes
import json
import pathlib
import sys
import tempfile

import gguf
import llama_cpp
import numpy as np

import gguf_quantise
import gguf_values
import naru_cli
from quantised_error import FIXTURE, divergence, mean_square

ERROR_RATIO = 1.02
SIZE_SHARE = 0.01


def centred(logits):
    """What softmax sees: a number added to all logits of a position changes nothing."""
    return logits - logits.mean(axis=1, keepdims=True)


def of_file(args, path, ids, exact):
    logits = [naru_cli.logits(args.naru, path, i, ["--compute", "f32", "--threads", args.threads]) for i in ids]
    square = np.mean([mean_square(centred(a), centred(b)) for a, b in zip(logits, exact)])
    return float(square) ** 0.5, float(np.mean(np.concatenate([divergence(b, a) for a, b in zip(logits, exact)])))


def compare_logits(args, source, scratch):
    texts = json.loads(args.fixture.read_text())["texts"]
    vocab = json.loads(naru_cli.call(args.naru, ["show", source, "--json"]))["config"]["vocab"]
    ids = [[i % vocab for i in t["ids"][: args.tokens]] for t in texts]
    exact = [naru_cli.logits(args.naru, source, i, ["--compute", "f32", "--threads", args.threads]) for i in ids]
    good = True
    print(f"{'kind':8s} {'MB':>8s} {'theirs':>8s} {'ratio':>6s} {'RMS':>8s} {'theirs':>8s} {'ratio':>6s} "
          f"{'KL':>9s} {'theirs':>9s}  tensors of other kinds")
    for kind in args.kinds:
        ours, theirs = scratch / f"ours-{kind}.gguf", scratch / f"theirs-{kind}.gguf"
        naru_cli.call(args.naru, ["convert", source, ours, "--dtype", kind, "--threads", args.threads, "--force"])
        gguf_quantise.quantise(source, theirs, kind, args.threads)
        (error, kl), (peer_error, peer_kl) = of_file(args, ours, ids, exact), of_file(args, theirs, ids, exact)
        size, peer_size = gguf_quantise.megabytes(ours), gguf_quantise.megabytes(theirs)
        others = gguf_quantise.different_kinds(ours, theirs)
        ratio = error / peer_error if peer_error > 0 else 1.0 if error == 0 else float("inf")
        is_good = ratio <= ERROR_RATIO and abs(size / peer_size - 1) <= SIZE_SHARE and not others
        good &= is_good
        print(f"{kind:8s} {size:8.2f} {peer_size:8.2f} {size / peer_size:6.4f} {error:8.4f} {peer_error:8.4f} {ratio:6.3f} "
              f"{kl:9.6f} {peer_kl:9.6f}  {len(others)}{'' if is_good else ' !'} {'; '.join(others[:3])}", flush=True)
        ours.unlink()
        theirs.unlink()
    return good


def peer_blocks(values, kind):
    """Raw bytes of f32 rows [n, 256 m] as llama.cpp quantises them."""
    type_of = gguf.GGMLQuantizationType[kind.upper()]
    elements, size = gguf_values.BLOCKS[kind.upper()]
    out = np.empty(values.size // elements * size, dtype=np.uint8)
    quantise = llama_cpp.llama_cpp._lib.ggml_quantize_chunk
    quantise.restype = ctypes.c_size_t
    quantise.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64,
                         ctypes.c_void_p]
    quantise(int(type_of), values.ctypes.data, out.ctypes.data, 0, len(values), values.shape[1], None)
    return out


def compare_weights(args, source, scratch):
    """Rows of 1024 from the beginning of every matrix."""
    matrices = [t.data.astype(np.float32).reshape(-1) for t in gguf.GGUFReader(source).tensors if t.data.ndim > 1]
    rows = np.concatenate([m[: min(m.size // 1024, 64) * 1024].reshape(-1, 1024) for m in matrices])
    size = np.sum(np.square(rows.astype(np.float64)))
    good = True
    print(f"{'kind':8s} {'error':>9s} {'theirs':>9s} {'ratio':>6s}   over the root mean square of {rows.size} weights")
    for kind in ("q8_0", "q4_0", "q4_1", "q5_0", "q5_1", "q4_k", "q5_k", "q6_k"):
        errors = []
        for raw in (naru_blocks(args, scratch, rows, kind), peer_blocks(rows, kind)):
            found = gguf_values.dequantise(raw, kind.upper(), rows.shape)
            errors.append(np.sqrt(np.sum(np.square(found.astype(np.float64) - rows)) / size))
        good &= errors[0] <= errors[1]
        print(f"{kind:8s} {errors[0]:9.6f} {errors[1]:9.6f} {errors[0] / max(errors[1], 1e-12):6.3f}", flush=True)
    return good


def naru_blocks(args, scratch, rows, kind):
    """The same of naru: the embedding of a llama model of which the rest is as small as can be."""
    rows = np.ascontiguousarray(rows, dtype=np.float32)
    name, out = scratch / "rows.gguf", scratch / "blocks.gguf"
    width = rows.shape[1]
    writer = gguf.GGUFWriter(name, "llama")
    for key, value in (("vocab_size", len(rows)), ("context_length", 16), ("embedding_length", width), ("block_count", 1),
                       ("feed_forward_length", 32), ("attention.head_count", width // 32),
                       ("attention.head_count_kv", 1), ("rope.dimension_count", 32)):
        writer.add_uint32(f"llama.{key}", value)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
    small = {"attn_q": (width, width), "attn_k": (32, width), "attn_v": (32, width), "attn_output": (width, width),
             "ffn_gate": (32, width), "ffn_up": (32, width), "ffn_down": (width, 32)}
    writer.add_tensor("token_embd.weight", rows)
    for n, shape in small.items():
        writer.add_tensor(f"blk.0.{n}.weight", np.zeros(shape, dtype=np.float32))
    for n in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
        writer.add_tensor(f"{n}.weight", np.ones(width, dtype=np.float32))
    writer.add_tensor("output.weight", np.zeros((len(rows), width), dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file_kind = {"q4_k": "q4_k_m", "q5_k": "q5_k_m"}.get(kind, kind)
    naru_cli.call(args.naru, ["convert", name, out, "--dtype", file_kind, "--threads", args.threads, "--force"])
    tensor = next(t for t in gguf.GGUFReader(out).tensors if t.name == "token_embd.weight")
    assert tensor.tensor_type.name.lower() == kind, tensor.tensor_type
    return tensor.data.tobytes()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    naru_cli.add_arguments(parser)
    parser.add_argument("model", nargs="?", type=pathlib.Path)
    parser.add_argument("--fixture", type=pathlib.Path, default=FIXTURE)
    parser.add_argument("--kinds", type=lambda text: text.split(","), default=list(gguf_quantise.KINDS))
    parser.add_argument("--tokens", type=int, default=96, help="of each text")
    parser.add_argument("--weights", action="store_true", help="compare weights, not logits")
    parser.add_argument("--scratch", type=pathlib.Path, help="where the folder of the files is made")
    args = parser.parse_args()
    if args.model is None:
        import smollm2_reference

        args.model = smollm2_reference.packaged_model()
    with tempfile.TemporaryDirectory(dir=args.scratch) as scratch:
        scratch = pathlib.Path(scratch)
        source = scratch / "f32.gguf"
        naru_cli.call(args.naru, ["convert", args.model, source, "--dtype", "f32"])
        good = (compare_weights if args.weights else compare_logits)(args, source, scratch)
    print("all within the limits" if good else "OVER THE LIMITS")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
