"""One measured run of llama-cpp-python in a process of its own: prefill of a prompt, then decode after it, through
the C interface so that Python costs next to nothing. Prints one JSON object. compare_llama_cpp.py calls it.

    python3 peer_llama_cpp.py MODEL.gguf --prompt-tokens 512 --new-tokens 128 --threads 2
"""

import argparse
import ctypes
import json
import sys
import time

import llama_cpp
import numpy as np


def decode(context, ids):
    tokens = (llama_cpp.llama_token * len(ids))(*ids)
    if llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(tokens, len(ids))) != 0:
        raise RuntimeError("llama_decode failed")
    llama_cpp.llama_synchronize(context)


def best(logits, count):
    """Index of the largest logit."""
    return int(np.ctypeslib.as_array(logits, shape=(count,)).argmax())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--flash-attention", action="store_true")
    args = parser.parse_args()
    model = llama_cpp.Llama(
        args.model,
        n_ctx=args.prompt_tokens + args.new_tokens + 8,
        n_batch=max(args.prompt_tokens, 32),
        n_ubatch=512,
        n_threads=args.threads,
        n_threads_batch=args.threads,
        flash_attn=args.flash_attention,
        verbose=False,
    )
    context, vocab = model.ctx, model.n_vocab()
    ids = [(7919 * i + 1000) % vocab for i in range(args.prompt_tokens)]
    decode(context, ids[:32])
    decode(context, ids[:1])
    llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
    begin = time.perf_counter()
    decode(context, ids)
    prefill = time.perf_counter() - begin
    token = best(llama_cpp.llama_get_logits(context), vocab)
    begin = time.perf_counter()
    for _ in range(args.new_tokens):
        decode(context, [token])
        token = best(llama_cpp.llama_get_logits(context), vocab)
    decoded = time.perf_counter() - begin
    print(
        json.dumps(
            {
                "version": llama_cpp.__version__,
                "system": llama_cpp.llama_print_system_info().decode().strip(),
                "prefill_tokens_per_s": args.prompt_tokens / prefill,
                "decode_tokens_per_s": args.new_tokens / decoded,
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
