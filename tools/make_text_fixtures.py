#!/usr/bin/env python3
"""Writes the fixtures of tests/text under tests/fixtures/text, with the official libraries as the truth.

 tokenizers/NAME.json   small vocabularies, trained here on the text below, one for each family's pre-tokenizer
 tokenizer_cases.json   for each: hard texts with their ids, id lists with their decoded text
 jinja_cases.json       the language cases of tools/chat_template_differential.py with the official output
 chat_cases.json        conversations through the templates of tests/fixtures/text/templates (which are written by hand), with
                        the official text, and its ids under one of the tokenizers

usage: python3 tools/make_text_fixtures.py
Needs the packages of tools/unicode/requirements.txt and transformers with jinja2. The result depends on nothing else.
"""

import json
import os
import random

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

import chat_template_differential as chat
import tokenizer_differential as differential

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "fixtures", "text")
SEED = 20240726

CORPUS = [
    "A ferry goes over the river every hour, and the people who wait for it don't mind the wind; it's what they've known.",
    "They'll say that she'd been there before, and we're sure that I'm not the one who'd forget it. That's that.",
    "In 1999 there were 365 days, 12 months and 8760 hours; 3.14159 is not 22/7, and 1,000,000 is 10^6.",
    "def ferry(n):\n    if n <= 1:\n        return [n]\n\n    return ferry(n - 1) + ferry(n - 2)  # two ways\n",
    "int main(void) {\n\tfor (int i = 0; i < 10; ++i) { printf(\"%d\\n\", i); }\r\n\treturn 0;\r\n}\n",
    "Die F\u00e4hre f\u00e4hrt \u00fcber den Flu\u00df. La \u00e9l\u00e8ve a \u00e9t\u00e9 \u00e0 l'\u00e9cole. El ni\u00f1o comi\u00f3 ma\u00f1ana.",
    "\u6e21\u3057\u8239\u306f\u5ddd\u3092\u6e21\u308b\u3002\u30d5\u30a7\u30ea\u30fc\u306f\u6bce\u6642\u51fa\u307e\u3059\u3002\u6e21\u8239\u8fc7\u6cb3\uff0c\u6bcf\u5c0f\u65f6\u4e00\u6b21\u3002",
    "\ub098\ub8e8\ud130\uc5d0\uc11c \ubc30\ub97c \uae30\ub2e4\ub9b0\ub2e4. \u041f\u0430\u0440\u043e\u043c \u0438\u0434\u0451\u0442 \u0447\u0435\u0440\u0435\u0437 \u0440\u0435\u043a\u0443.",
    "\u0641\u064a \u0627\u0644\u0646\u0647\u0631 \u0639\u0628\u0651\u0627\u0631\u0629. \u0928\u093e\u0935 \u0928\u0926\u0940 \u092a\u093e\u0930 \u0915\u0930\u0924\u0940 \u0939\u0948\u0964 \U0001f468\u200d\U0001f469\u200d\U0001f467 \U0001f600\U0001f680",
    "e\u0301 a\u0308 n\u0303 o\u0302\u0323 \u1112\u1161\u11ab \u212b \ufb01",
]
CHAT_TOKENS = ["<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<bos>", "<eos>",
               "<\uff5cUser\uff5c>", "<\uff5cAssistant\uff5c>", "<\uff5cend\u2581of\u2581sentence\uff5c>"]
PLAIN_TOKENS = ["<think>", "</think>", "<tool_call>", "</tool_call>", "<\uff5ctool\u2581call\u2581begin\uff5c>"]


def steps_of(name):
    split = lambda pattern: pre_tokenizers.Split(Regex(pattern), "isolated")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    digits = pre_tokenizers.Digits(True)
    cjk = split(differential.V2_CJK)
    v3 = ("[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|"
          " ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+")
    return {
        "gpt2": [gpt2], "smollm": [digits, gpt2], "llama3": [split(differential.LLAMA3), byte_level],
        "qwen2": [split(differential.QWEN2), byte_level],
        "deepseek_v3": [split("\\p{N}{1,3}"), split("[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+"), split(v3), byte_level],
        "deepseek_v2": [split("[\r\n]"), split(differential.V2_LETTERS), split(differential.V2_PUNCTUATION), split("\\s+$"),
                        cjk, digits, byte_level],
        "deepseek_coder": [split("[\r\n]"), split("\\s?\\p{L}+"), split("\\s?\\p{P}+"), cjk, digits, byte_level],
    }[name]


def train(name):
    tokenizer = Tokenizer(models.BPE(ignore_merges=name == "llama3"))
    if name == "qwen2":
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps_of(name))
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    if name == "smollm":
        alphabet = [c for c in alphabet if c not in "\u00f1\u00f2\u00c0"]  # as SmolLM2, without some bytes
    trainer = trainers.BpeTrainer(vocab_size=600, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(CORPUS * 2, trainer)
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t in CHAT_TOKENS])
    tokenizer.add_tokens([AddedToken(t, normalized=name.startswith("deepseek")) for t in PLAIN_TOKENS])
    if name == "gpt2":  # and every flag an added token can have
        tokenizer.normalizer = normalizers.NFC()
        tokenizer.add_tokens([AddedToken("<l>", lstrip=True, normalized=False), AddedToken("<r>", rstrip=True, normalized=False),
                              AddedToken("<w>", single_word=True, normalized=False), AddedToken("<n\u00e9>", normalized=True),
                              AddedToken("<a", normalized=False), AddedToken("<aa>", normalized=False),
                              AddedToken("  ", normalized=False), AddedToken("nw", normalized=True, single_word=True)])
    return tokenizer


NAMES = ["gpt2", "smollm", "llama3", "qwen2", "deepseek_v3", "deepseek_v2", "deepseek_coder"]
EDGES = ["", " ", "  ", "\n", "\r\n", " \n ", "\n\n  a", "a  b", "a\t\tb", "  \n\n  x  \n", "'S 'ſ 'RE don't DON'T", "x'", "1234567", "12 345",
         "\u0661\u0662\u0663\u0664", "\u00bd\u2155\u2160", "a\u0301", "\u0301", "\u1112\u1161\u11ab", "\ud55c\uae00", "\u200d", "\U0001f468\u200d\U0001f469", "\u0085x\u00a0y\u3000z",
         "\u180e\ufeff", "\x00\x01\x7f", "foo.bar_baz(qux)", "!!!\n\n", "#include <a>\r\n\r\n", "\u4e2d\u6587abc\u304b\u306a\uff01", "\u212b\ufb01\u01c5", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
         "=" * 100, " " * 100, "ab" * 60, "<|im_start|>user\nhi<|im_end|>", "<|im_start|", "<<|im_end|>>", "<think>a</think>", "<l> x  <l>", "x <r>  y", "a<w>b <w> <w>", "<ne\u0301> <n\u00e9>",
         "<a<aa<aa>", "nw nwx xnw", "<bos><eos>"]


def tokenizer_cases(tokenizer, rng):
    specials = [t.content for t in tokenizer.get_added_tokens_decoder().values()]
    cases = []
    texts = list(EDGES)
    for label, draw in differential.make_classes(rng, specials).items():
        if label in ("words", "text"):  # made from this Python's library
            continue
        short = (t for t in iter(lambda: draw(rng), None) if len(t) <= 60)
        texts += [next(short) for _ in range(5)]
    for text in texts:
        data = differential.as_bytes(text)
        decoded = data.decode("utf-8", "replace")
        cases.append({"hex": data.hex(), "ids": tokenizer.encode(decoded, add_special_tokens=False).ids})
        if isinstance(text, str) and "<" in text:
            tokenizer.encode_special_tokens = True
            cases[-1]["ids_special_as_text"] = tokenizer.encode(decoded, add_special_tokens=False).ids
            tokenizer.encode_special_tokens = False
    n = tokenizer.get_vocab_size(with_added_tokens=True)
    decodes = []
    for _ in range(40):
        ids = [rng.randrange(n) for _ in range(rng.randrange(1, 12))]
        decodes.append({"ids": ids, "text": tokenizer.decode(ids, skip_special_tokens=False),
                        "text_without_special": tokenizer.decode(ids, skip_special_tokens=True)})
    return {"encode": cases, "decode": decodes}


def jinja_cases():
    base = {"messages": [{"role": "user", "content": "hi"}], "settings": chat.VARIABLES, "special": {"bos_token": "<bos>"}}
    cases = []
    for template in ["{{ " + e + " }}" for e in chat.expressions()] + chat.TEMPLATES:
        try:
            cases.append({"template": template, "text": chat.official(dict(base, template=template))})
        except Exception:
            cases.append({"template": template})  # refused
    return {"variables": chat.VARIABLES, "cases": cases}


def chat_cases(tokenizers, rng):
    folder = os.path.join(OUT, "templates")
    cases = []
    for name, family in (("chatml", "qwen2"), ("chatml_tools", "qwen2"), ("headers", "llama3"), ("markers", "deepseek_v3")):
        template = open(os.path.join(folder, name + ".jinja"), encoding="utf-8", newline="").read()
        for _ in range(15):
            case = chat.make_conversation(rng)
            case["template"] = name
            case["tokenizer"] = family
            try:
                case["text"] = chat.official(dict(case, template=template))
                case["ids"] = tokenizers[family].encode(case["text"], add_special_tokens=False).ids
            except Exception:
                pass
            cases.append(case)
    return cases


def write(name, value):
    with open(os.path.join(OUT, name), "w", encoding="utf-8") as out:
        json.dump(value, out, ensure_ascii=True, separators=(",", ":"))
        out.write("\n")


def main():
    os.makedirs(os.path.join(OUT, "tokenizers"), exist_ok=True)
    rng = random.Random(SEED)
    tokenizers = {name: train(name) for name in NAMES}
    for name, tokenizer in tokenizers.items():
        write(f"tokenizers/{name}.json", json.loads(tokenizer.to_str()))
    write("tokenizer_cases.json", {name: tokenizer_cases(tokenizer, rng) for name, tokenizer in tokenizers.items()})
    write("jinja_cases.json", jinja_cases())
    write("chat_cases.json", chat_cases(tokenizers, rng))


if __name__ == "__main__":
    main()
