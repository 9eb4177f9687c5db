"""Judges `naru convert`: tiny random checkpoints of every family are converted, and transformers loads the result.

For each shape: the official classes write a checkpoint; naru makes a Hugging Face folder of it, a GGUF file, and a
folder of that GGUF file. Of both folders, transformers' f32 logits (eager) are compared with `naru logits --compute
f32` and with transformers on the original: at most 2e-5 of their range; weights must come back with the same bits.
Tokenizers that are written from GGUF must give the ids of `naru tokenize` in transformers.

    python3 check_export.py                        every variant
    python3 check_export.py --random 5 --seed 3    5 random shapes a family
"""

import argparse
import json
import pathlib
import sys
import tempfile

import numpy as np
import torch

import logits as oracle
import make_checkpoints
import naru_cli
import shapes

LIMIT = 2e-5
TEXTS = ["hello the world", "  Two  spaces,\n\nlines 12345 don't", "나루터 中文 ñandú", "<|im_start|>user\nHi<|im_end|>"]


def convert(args, model, out, *flags):
    naru_cli.call(args.naru, ["convert", model, "--out", out, *flags])
    return out


def same_weights(model, converted):
    """Names whose bits are not those of the source, through the classes (they know every layout)."""
    wanted, found = model.state_dict(), converted.state_dict()
    return sorted(n for n in wanted.keys() | found.keys()
                  if n not in wanted or n not in found or not torch.equal(wanted[n], found[n]))


def check(label, folder, original, args, rng):
    """One converted folder: error over range, or a word for what is wrong."""
    reference = oracle.load(folder)
    ids, expected, margins, _ = oracle.draw_ids(reference, rng, args.length)
    good = oracle.decided(margins)
    found = naru_cli.logits(args.naru, folder, ids, ["--compute", "f32", "--threads", args.threads])
    spread = float(expected.max() - expected.min())
    error = float(np.abs(found[:good].astype(np.float64) - expected[:good]).max()) / spread
    # The config too must mean what the original's means.
    before = oracle.run(original, ids)[0]
    error = max(error, float(np.abs(before[:good].astype(np.float64) - expected[:good]).max()) / spread)
    differ = same_weights(original, reference)
    ok = error <= LIMIT and not differ
    print(f"{label:44s} {error:8.1e}{'' if ok else ' !'} {' '.join(differ[:3])}", flush=True)
    return ok


def one_shape(label, shape, seed, args):
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        source = scratch / "source"
        oracle_folder = make_checkpoints.write_checkpoint(shape, seed, source, dtype="f32", dialect=("new", "old")[seed % 2])
        original = oracle.load(oracle_folder)
        good = check(label + " hf", convert(args, source, scratch / "hf", "--dtype", "f32"), original,
                     args, np.random.default_rng(seed))
        try:
            gguf = convert(args, source, scratch / "m.gguf", "--dtype", "f32")
        except RuntimeError as error:
            if "GGUF cannot say" not in str(error):
                raise
            print(f"{label + ' gguf':44s} refused: {str(error).splitlines()[-1]}")
            return good
        return check(label + " gguf, hf", convert(args, gguf, scratch / "back", "--dtype", "f32"), original,
                     args, np.random.default_rng(seed)) and good


def check_tokenizer(model, args):
    """The tokenizer that is written from GGUF, as transformers loads it."""
    import transformers

    with tempfile.TemporaryDirectory() as scratch:
        folder = convert(args, model, pathlib.Path(scratch) / "hf")
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
        good = True
        for text in TEXTS:
            wanted = json.loads(naru_cli.call(args.naru, ["tokenize", model, "--json"], stdin=text.encode()))["ids"]
            found = tokenizer(text, add_special_tokens=False)["input_ids"]
            if wanted != found or tokenizer.decode(found) != text:
                print(f"{model}: {text!r}: naru {wanted}, transformers {found}")
                good = False
        if tokenizer.chat_template is not None:
            chat = [{"role": "user", "content": "Hi"}]
            rendered = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
            good &= "Hi" in rendered
    print(f"{'tokenizer of ' + str(model)[-34:]:44s} {'same ids' if good else 'OTHER IDS'}", flush=True)
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    naru_cli.add_arguments(parser)
    parser.add_argument("--families", nargs="+", choices=shapes.FAMILIES, default=list(shapes.FAMILIES))
    parser.add_argument("--random", type=int, default=0, help="this many random shapes a family, no fixed variants")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--length", type=int, default=96)
    parser.add_argument("--tokenizers", nargs="*", help="GGUF files; default: the fixtures")
    args = parser.parse_args()
    torch.set_num_threads(1)
    good = True
    print(f"{'max difference / range, limit ' + str(LIMIT):44s}")
    for family in args.families:
        if args.random:
            chosen = [(f"random {args.seed * 1000 + k}", shapes.random_shape(family, args.seed * 1000 + k),
                       args.seed * 1000 + k) for k in range(args.random)]
        else:
            chosen = [(v, shapes.fixed(family, v), args.seed + n) for n, v in enumerate(shapes.VARIANTS[family])]
        for name, shape, seed in chosen:
            good &= one_shape(f"{family} {name}", shape, seed, args)
    models = args.tokenizers
    if models is None:
        models = sorted((naru_cli.ROOT / "tests" / "fixtures" / "models").glob("gguf-*/model.gguf"))
    for model in models:
        good &= check_tokenizer(model, args)
    print("all within the limits" if good else "OVER THE LIMITS")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
