"""llama.cpp's own quantiser (llama_model_quantize of llama-cpp-python), and what a GGUF file holds."""

import collections
import ctypes
import pathlib

import gguf
import llama_cpp

# naru's name of a kind -> general.file_type
KINDS = {"q8_0": 7, "q4_0": 2, "q4_1": 3, "q5_0": 8, "q5_1": 9, "q4_k_m": 15, "q5_k_m": 17, "q6_k": 18}

_quiet = llama_cpp.llama_log_callback(lambda *_: None)  # as long as the library may call it


def quantise(source, out, kind, threads):
    """Writes `out` as llama.cpp quantises the F32 or F16 file `source`."""
    params = llama_cpp.llama_model_quantize_default_params()
    params.nthread = threads
    params.ftype = KINDS[kind]
    llama_cpp.llama_log_set(_quiet, ctypes.c_void_p(0))
    status = llama_cpp.llama_model_quantize(str(source).encode(), str(out).encode(), ctypes.byref(params))
    if status != 0:
        raise RuntimeError(f"llama_model_quantize of {source} to {kind}: status {status}")


def tensor_kinds(path):
    """{tensor name: kind} of a file."""
    return {t.name: t.tensor_type.name.lower() for t in gguf.GGUFReader(path).tensors}


def different_kinds(ours, theirs):
    """Tensors whose kind is not that of llama.cpp's file, as "name: ours, theirs"."""
    mine, other = tensor_kinds(ours), tensor_kinds(theirs)
    return [f"{n}: {mine.get(n)}, {other.get(n)}" for n in sorted(mine.keys() | other.keys()) if mine.get(n) != other.get(n)]


def counted(path):
    """ "q4_0 210, f32 61" """
    counts = collections.Counter(tensor_kinds(path).values())
    return ", ".join(f"{kind} {n}" for kind, n in counts.most_common())


def megabytes(path):
    return pathlib.Path(path).stat().st_size / 1e6
