#!/usr/bin/env python3
"""naru's trainer of tokenizers against the official `tokenizers` library's.

    python3 tools/trained_tokenizers.py                        writes the fixtures of tests/fixtures/text/trained
    python3 tools/trained_tokenizers.py --compare [--rounds N] [--seed N] [--command build/release/naru_train_tokenizer]

The fixtures: corpus.json, a list of texts in several languages and of code; NAME.json, the tokenizer.json that the library
saves after training on them with the pre-tokenizer NAME; cases.json, texts with their ids under one of these files.
--compare trains both on random texts (small alphabets and long runs among them) and compares the files byte for byte;
it exits with 1 where any differ. Needs the package of tools/unicode/requirements.txt; nothing else decides the result.
"""

import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

import tokenizer_differential as differential

ROOT = pathlib.Path(__file__).resolve().parent.parent
OUT = ROOT / "tests" / "fixtures" / "text" / "trained"
COMMAND = ROOT / "build" / "release" / "naru_train_tokenizer"
SEED = 20261125
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
PLAIN = ["<think>", "</think>"]
V3 = (r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"""
      r""" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""")


def steps_of(name):
    def split(pattern):
        return pre_tokenizers.Split(Regex(pattern), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    digits = pre_tokenizers.Digits(True)
    line_ends, cjk = split("[\\r\\n]"), split(differential.V2_CJK)
    return {
        "deepseek-v3": [split("\\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), split(V3), byte_level],
        "llama-bpe": [split(differential.LLAMA3), byte_level],
        "qwen2": [split(differential.QWEN2), byte_level],
        "smollm": [digits, gpt2],
        "gpt-2": [gpt2],
        "deepseek-llm": [line_ends, split(differential.V2_LETTERS), split(differential.V2_PUNCTUATION), split("\\s+$"), cjk, digits,
                         byte_level],
        "deepseek-coder": [line_ends, split("\\s?\\p{L}+"), split("\\s?\\p{P}+"), cjk, digits, byte_level],
    }[name]


NAMES = ["deepseek-v3", "llama-bpe", "qwen2", "smollm", "gpt-2", "deepseek-llm", "deepseek-coder"]


def train(name, texts, vocab_size, pair_count_min):
    """The library's tokenizer of these texts, set up as naru sets up a new one."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=name == "llama-bpe"))
    if name == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    steps = steps_of(name)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps) if len(steps) > 1 else steps[0]
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, min_frequency=pair_count_min, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), special_tokens=SPECIAL + PLAIN)
    tokenizer.train_from_iterator(texts, trainer)
    # The trainer flags all of them special.
    tokenizer.add_tokens([AddedToken(text, normalized=False, special=False) for text in PLAIN])
    return tokenizer


# --- texts --------------------------------------------------------------------------------------------------------

SENTENCES = [
    "A ferry goes over the river every {n} hours, and the people who wait for it don't mind the wind.",
    "They'll say that she'd been there before; we're sure that I'm not the one who'd forget it in {n}.",
    "In {n} there were 365 days, 12 months and 8760 hours; 3.14159 is not 22/7, and 1,000,000 is 10^6.",
    "def ferry(n):\n    if n <= {n}:\n        return [n]\n\n    return ferry(n - 1) + ferry(n - {n})  # two ways\n",
    "int main(void) {{\n\tfor (int i = 0; i < {n}; ++i) {{ printf(\"%d\\n\", i); }}\r\n\treturn 0;\r\n}}\n",
    "Die F\u00e4hre f\u00e4hrt um {n} Uhr \u00fcber den Flu\u00df. La \u00e9l\u00e8ve a \u00e9t\u00e9 \u00e0 l'\u00e9cole.",
    "\u6e21\u3057\u8239\u306f{n}\u5206\u3067\u5ddd\u3092\u6e21\u308b\u3002\u30d5\u30a7\u30ea\u30fc\u306f\u6bce\u6642\u51fa\u307e\u3059\u3002\u6e21\u8239\u8fc7\u6cb3\uff0c\u6bcf\u5c0f\u65f6{n}\u6b21\u3002",
    "\ub098\ub8e8\ud130\uc5d0\uc11c \ubc30\ub97c {n}\ubd84 \uae30\ub2e4\ub9b0\ub2e4. \u041f\u0430\u0440\u043e\u043c \u0438\u0434\u0451\u0442 \u0447\u0435\u0440\u0435\u0437 \u0440\u0435\u043a\u0443 {n} \u043c\u0438\u043d\u0443\u0442.",
    "\u0641\u064a \u0627\u0644\u0646\u0647\u0631 {n} \u0639\u0628\u0651\u0627\u0631\u0629. \u0928\u093e\u0935 \u0928\u0926\u0940 \u092a\u093e\u0930 \u0915\u0930\u0924\u0940 \u0939\u0948\u0964 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f600",
    "e\u0301 a\u0308 n\u0303 o\u0302\u0323 \u1112\u1161\u11ab \u212b {n} \ufb01",
    "----------------------------------------\n| {n} | ======== | ________________ |\n\n\n\n   \t\t{n}\n",
    "<|im_start|>user\n{n} + {n}?<|im_end|>\n<|im_start|>assistant\n<think>\nhm\n</think>\n\n{n}<|im_end|>\n",
]


def corpus(rng, n):
    return [rng.choice(SENTENCES).replace("{{", "{").replace("}}", "}").replace("{n}", str(rng.randrange(10 ** rng.randrange(1, 6))))
            for _ in range(n)]


def random_texts(rng):
    kind = rng.randrange(5)
    if kind == 0:
        return corpus(rng, rng.randrange(1, 300))
    alphabet = ["ab", "aab-= ", "ACGT", "abc de\u4e00\u4e8c\u4e09\uac00 =-__ \n\t1\u0301\u00e9", "".join(map(chr, range(32, 127)))][kind]
    if kind == 1:
        alphabet = "a" if rng.random() < 0.3 else alphabet
    longest = rng.choice([8, 60, 2000])
    return ["".join(rng.choice(alphabet) * (rng.randrange(1, 9) if rng.random() < 0.1 else 1) for _ in range(rng.randrange(longest)))
            for _ in range(rng.randrange(1, 40000 // longest))]


# --- modes --------------------------------------------------------------------------------------------------------


def write_fixtures():
    rng = random.Random(SEED)
    texts = corpus(rng, 160)
    OUT.mkdir(parents=True, exist_ok=True)

    def write(name, value):
        (OUT / name).write_text(json.dumps(value, ensure_ascii=True, indent=0) + "\n", encoding="utf-8")
    write("corpus.json", texts)
    cases = []
    others = corpus(random.Random(SEED + 1), 24) + ["", " ", "\n\n", "<think>x</think>", "\u00df\U0001f680\u0000", "zzzzqqqq" * 9]
    for name in NAMES:
        tokenizer = train(name, texts, 400, 2)
        tokenizer.save(str(OUT / f"{name}.json"))
        cases += [{"name": name, "text": text, "ids": tokenizer.encode(text, add_special_tokens=False).ids} for text in others]
    write("cases.json", cases)


def compare(args):
    rng = random.Random(args.seed)
    n_different = 0
    for i in range(args.rounds):
        name, texts = rng.choice(NAMES), random_texts(rng)
        vocab_size, pair_count_min = rng.choice([261, 262, 300, 500, 2000, 8000]), rng.choice([1, 1, 2, 3, 10])
        if not any(texts):
            continue
        with tempfile.TemporaryDirectory() as folder:
            path, out = os.path.join(folder, "texts.jsonl"), os.path.join(folder, "out")
            with open(path, "w", encoding="utf-8") as file:
                for text in texts:
                    file.write(json.dumps({"text": text}, ensure_ascii=rng.random() < 0.5) + "\n")
            subprocess.run([args.command, out, str(vocab_size), name, str(pair_count_min), path], check=True, stdout=subprocess.DEVNULL,
                           stderr=subprocess.DEVNULL)
            ours = pathlib.Path(out, "tokenizer.json").read_text(encoding="utf-8")
        theirs = train(name, texts, vocab_size, pair_count_min).to_str(pretty=True)
        if ours != theirs:
            n_different += 1
            print(f"round {i}: {name}, vocabulary {vocab_size}, counts from {pair_count_min}, {len(texts)} texts: different")
    print(f"{args.rounds} rounds, seed {args.seed}: {n_different} different")
    return 1 if n_different else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--compare", action="store_true")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--command", type=pathlib.Path, default=COMMAND)
    args = parser.parse_args()
    if args.compare:
        sys.exit(compare(args))
    write_fixtures()


if __name__ == "__main__":
    main()
