"""Judges the GGUF files that `naru convert` writes by running them in llama.cpp (llama-cpp-python).

Each MODEL (a folder or a .gguf; default: the fixtures under tests/fixtures/models, the built-in tokenizers included) is
converted to F32 GGUF and loaded with an f32 cache. Then
1. texts get the same token ids from llama.cpp and from `naru tokenize`;
2. llama.cpp's greedy continuation of every prompt is naru's, token by token, on an f32 cache: where the two part, the
   margin between naru's best and second logit must be below 1e-3, and the rest of that text counts no more;
3. with --text, the texts of `naru run --temperature 0` and of llama.cpp are equal as far as 2. holds;
4. for each kind of --quantised (default q4_0 and q4_k_m), llama.cpp loads naru's quantised file, each of its tensors has
   the kind that it has in the file that llama.cpp makes of the F32 one, and its logits of a prompt are naru's to 5 % of
   their range at half of the positions (llama.cpp rounds activations, naru's f32 mode does not, so experts of tiny models
   are chosen otherwise here and there).

    python3 check_gguf_export.py [MODEL...] [--tokens 48] [--dtype f32] [--quantised q4_0,q4_k_m]

The default models have one of 27 layers too, made of v2-lite's: the count at which a model without a query rank needs no
key for it. What llama.cpp cannot judge is left out by name: softmax routers with groups (it takes the sum of two experts
as a group's score). With another --dtype the splits are printed and count not, for the same reason as in 4.
"""

import argparse
import json
import pathlib
import struct
import sys
import tempfile

import llama_cpp
import numpy as np

import gguf_quantise
import naru_cli

MARGIN = 1e-3
QUANTISED_SHARE = 0.05
TEXTS = ["hello the world", "The ferry lands at the old pier. ", "  Two  spaces,\n\nlines 12345 don't", "나루터 中文 ñandú"]


class Peer:
    def __init__(self, path, threads):
        f32 = llama_cpp.GGML_TYPE_F32 if hasattr(llama_cpp, "GGML_TYPE_F32") else 0
        self.model = llama_cpp.Llama(str(path), n_ctx=512, n_batch=512, n_threads=threads, n_threads_batch=threads,
                                     type_k=f32, type_v=f32, flash_attn=False, logits_all=True, verbose=False)

    def ids(self, text):
        return self.model.tokenize(text.encode(), add_bos=False, special=True)

    def logits(self, ids):
        self.model.reset()
        self.model.eval(ids)
        return np.array(self.model.scores[: len(ids)], dtype=np.float32)

    def greedy(self, ids, count):
        self.model.reset()
        self.model.eval(ids)
        out = []
        for _ in range(count):
            out.append(int(np.argmax(self.model.scores[self.model.n_tokens - 1])))
            self.model.eval(out[-1:])
        return out


def first_split(args, model, prompt, answer):
    """(index of the first answer token that is not naru's, margin there); (None, least margin) where all are."""
    flags = ["--compute", "f32", "--threads", args.threads]
    logits = naru_cli.logits(args.naru, model, prompt + answer, flags)[len(prompt) - 1 : -1]
    order = np.sort(logits, axis=1)
    margins = order[:, -1] - order[:, -2]
    for i, token in enumerate(answer):
        if int(np.argmax(logits[i])) != token:
            return i, float(margins[i])
    return None, float(margins.min())


def deepened(model, layers, folder):
    """A model of `layers` layers: the last of MODEL again and again. Bytes are only moved, so any dtype will do."""
    model, folder = pathlib.Path(model), pathlib.Path(folder)
    config = json.loads((model / "config.json").read_text())
    last = config["num_hidden_layers"] - 1
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": layers}))
    file = (model / "model.safetensors").read_bytes()
    begin = 8 + struct.unpack("<Q", file[:8])[0]
    header, data = {}, b""
    for name, tensor in json.loads(file[8:begin]).items():
        if name == "__metadata__":
            continue
        first, end = tensor["data_offsets"]
        is_last = name.startswith(f"model.layers.{last}.")
        for layer in range(last, layers if is_last else last + 1):
            place = [len(data), len(data) + end - first]
            header[name.replace(f".{last}.", f".{layer}.", 1) if is_last else name] = {**tensor, "data_offsets": place}
            data += file[begin + first : begin + end]
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
    return folder


def is_beyond_peer(show):
    config = show["config"]
    if show["architecture"] == "deepseek_v2" and config.get("experts", {}).get("n_group", 1) > 1:
        return "softmax routers with groups"
    return None


def check_texts(args, model, peer):
    """False where ids differ; None where the model has no tokenizer."""
    good = True
    for text in TEXTS:
        wanted = json.loads(naru_cli.call(args.naru, ["tokenize", model, "--json"], stdin=text.encode()))["ids"]
        found = peer.ids(text)
        if wanted != found:
            print(f"  {text!r}: naru {wanted}, llama.cpp {found}")
            good = False
    return good


def check(args, model):
    show = json.loads(naru_cli.call(args.naru, ["show", model, "--json"]))
    label = "/".join(pathlib.Path(model).parts[-2:])
    reason = is_beyond_peer(show)
    if reason:
        print(f"{label:40s} left out: {reason}")
        return True
    with tempfile.TemporaryDirectory() as scratch:
        gguf = pathlib.Path(scratch) / "model.gguf"
        try:
            naru_cli.call(args.naru, ["convert", model, gguf, "--dtype", args.dtype])
        except RuntimeError as error:
            if "GGUF cannot say" not in str(error):
                raise
            print(f"{label:40s} refused: {str(error).splitlines()[-1]}")
            return args.allow_refusal
        try:
            peer = Peer(gguf, args.threads)
        except ValueError as error:
            print(f"{label:40s} llama.cpp does not load it: {error}")
            return args.allow_refusal
        has_tokenizer = show["tokenizer"]["kind"] is not None
        same_ids = check_texts(args, gguf, peer) if has_tokenizer else None
        rng = np.random.default_rng(args.seed)
        splits, good, least = [], same_ids is not False, float("inf")
        for _ in range(args.prompts):
            prompt = [int(i) for i in rng.integers(0, show["config"]["vocab"], 24)]
            answer = peer.greedy(prompt, args.tokens)
            split, margin = first_split(args, gguf, prompt, answer)
            least = min(least, margin)
            if split is not None:
                splits.append(f"token {split}, margin {margin:.1e}")
                good &= margin < MARGIN or args.dtype != "f32"
        if has_tokenizer and args.text:
            good &= check_answer(args, gguf, peer)
        del peer
        if args.dtype == "f32":
            for kind in args.quantised:
                good &= check_quantised(args, gguf, kind, show["config"]["vocab"], rng)
    ids = {True: "same ids", False: "OTHER IDS", None: "no tokenizer"}[same_ids]
    told = "; ".join(splits) if splits else f"equal, least margin {least:.1e}"
    print(f"{label:40s} {ids}; {args.prompts} x {args.tokens} greedy tokens: {told}{'' if good else ' !'}", flush=True)
    return good


def check_quantised(args, source, kind, vocab, rng):
    """naru's file of a kind: loaded by llama.cpp, with llama.cpp's choice of kinds, the same model in both."""
    ours, theirs = source.with_name("ours.gguf"), source.with_name("theirs.gguf")
    try:
        naru_cli.call(args.naru, ["convert", source, ours, "--dtype", kind, "--force"])
    except RuntimeError as error:
        print(f"  {kind}: {str(error).splitlines()[-1]}")
        return "no tensor of it can be" in str(error)
    gguf_quantise.quantise(source, theirs, kind, args.threads)
    others = gguf_quantise.different_kinds(ours, theirs)
    prompt = [int(i) for i in rng.integers(0, vocab, 24)]
    try:
        found = Peer(ours, args.threads).logits(prompt)
    except ValueError as error:
        print(f"  {kind}: llama.cpp does not load it: {error} !")
        return False
    wanted = naru_cli.logits(args.naru, ours, prompt, ["--compute", "f32", "--threads", args.threads])
    share = float(np.median(np.abs(found - wanted).max(axis=1)) / (wanted.max() - wanted.min()))
    good = not others and share <= QUANTISED_SHARE
    print(f"  {kind}: {gguf_quantise.counted(ours)}; logits within {100 * share:.2f} % of llama.cpp's"
          f"{'' if good else ' !'} {'; '.join(others[:4])}")
    return good


def check_answer(args, gguf, peer):
    """The text of `naru run` against llama.cpp's, on a raw prompt."""
    flags = ["--raw", "--temperature", "0", "--compute", "f32", "--max-tokens", args.tokens, "--threads", args.threads]
    answer = json.loads(naru_cli.call(args.naru, ["run", gguf, TEXTS[1], "--json", *flags]))
    ids = peer.ids(TEXTS[1])
    bos = peer.model.token_bos()
    if peer.model._model.add_bos_token() and bos >= 0:
        ids = [bos] + ids
    found = peer.greedy(ids, len(answer["ids"]))
    split, margin = first_split(args, gguf, ids, found)
    if split is None and found != answer["ids"] or split is not None and margin >= MARGIN:
        print(f"  naru run {answer['ids'][:12]}, llama.cpp {found[:12]}, split {split}, margin {margin:.1e}")
        return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    naru_cli.add_arguments(parser)
    parser.add_argument("models", nargs="*", type=pathlib.Path)
    parser.add_argument("--dtype", choices=("f32", "f16", "bf16", *gguf_quantise.KINDS), default="f32")
    parser.add_argument("--quantised", type=lambda text: [k for k in text.split(",") if k], default=["q4_0", "q4_k_m"])
    parser.add_argument("--tokens", type=int, default=48)
    parser.add_argument("--prompts", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--text", action="store_true", help="also compare with `naru run`")
    parser.add_argument("--allow-refusal", action="store_true", help="a model that llama.cpp does not load is no failure")
    args = parser.parse_args()
    models = args.models
    if not models:
        root = naru_cli.ROOT / "tests" / "fixtures" / "models"
        models = sorted(p for pattern in ("*/hf", "gguf-*/model.gguf") for p in root.glob(pattern))
        args.allow_refusal = True
    with tempfile.TemporaryDirectory() as scratch:
        if not args.models:
            deep = pathlib.Path(scratch) / "v2-lite-27"
            deep.mkdir()
            models.append(deepened(naru_cli.ROOT / "tests/fixtures/models/v2-lite/hf", 27, deep))
        results = [check(args, model) for model in models]
    print("all within the limits" if all(results) else "OVER THE LIMITS")
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
