#!/usr/bin/env python3
"""Writes src/text/generated/unicode_tables.cpp: what the official tokenizers' engines believe about each code point.

Nothing here trusts a Unicode data file: every class is measured by asking the `tokenizers` library itself, over all
code points, because its parts (onig for patterns, the Rust standard library for digits, the regex crate for added
tokens, a normalisation crate for NFC) each carry their own Unicode version, and token ids must follow those.

Needs the packages of requirements.txt. Usage: python3 tools/unicode/make_unicode_tables.py > OUT
"""

import sys

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
CHUNK = 1 << 15
HANGUL = range(0xAC00, 0xAC00 + 11172)

# Bit values shared with src/text/unicode.h.
FLAGS = {
    "letter": 1 << 0,        # \p{L}
    "mark": 1 << 1,          # \p{M}
    "number": 1 << 2,        # \p{N}
    "punctuation": 1 << 3,   # \p{P}
    "symbol": 1 << 4,        # \p{S}
    "space": 1 << 5,         # \s
    "digit": 1 << 6,         # what the Digits step calls numeric
    "word": 1 << 7,          # what an added token with single_word calls a word character
    "strip": 1 << 8,         # what an added token with lstrip or rstrip calls white space
    "nfc_safe": 1 << 9,      # stable under NFC, and nothing before it can interact with it
    "upper": 1 << 10,        # \p{Lu}
    "lower": 1 << 11,        # \p{Ll}
}


def chunks(items, size=CHUNK):
    for i in range(0, len(items), size):
        yield items[i:i + size]


def matched(pattern):
    """The code points that match a one-character pattern."""
    split = pre_tokenizers.Split(Regex(pattern), "removed")
    found = set()
    for chunk in chunks(CODE_POINTS):
        kept = [False] * len(chunk)
        for _, (begin, end) in split.pre_tokenize_str("".join(map(chr, chunk))):
            kept[begin:end] = [True] * (end - begin)
        found.update(c for c, k in zip(chunk, kept) if not k)
    return found


def digits():
    split = pre_tokenizers.Digits(True)
    found = set()
    for chunk in chunks(CODE_POINTS):
        pieces = {begin: end for _, (begin, end) in split.pre_tokenize_str("".join("a" + chr(c) for c in chunk))}
        found.update(c for i, c in enumerate(chunk) if pieces.get(2 * i + 1) == 2 * i + 2)
    return found


def added_token_probe(**flags):
    """The code points c for which 'c<x>' and '<x>c' treat the added token <x> differently from a neutral one."""
    tokenizer = Tokenizer(models.BPE(vocab={}, merges=[]))
    tokenizer.add_tokens([AddedToken("<x>", normalized=False, **flags), AddedToken("<y>", normalized=False)])
    target = tokenizer.token_to_id("<x>")
    left, right = set(), set()
    for text_of, out in ((lambda c: chr(c) + "<x><y>", left), (lambda c: "<y><x>" + chr(c), right)):
        for chunk in chunks(CODE_POINTS, 4096):
            texts = [text_of(c) for c in chunk]
            for c, encoding in zip(chunk, tokenizer.encode_batch(texts)):
                offsets = [o for i, o in zip(encoding.ids, encoding.offsets) if i == target]
                if flags.get("single_word"):
                    if not offsets:
                        out.add(c)
                elif offsets[0] != ((1, 4) if out is left else (3, 6)):
                    out.add(c)
    return left, right


def nfc_data():
    nfc, nfd = normalizers.NFC(), normalizers.NFD()
    decomposition, changed = {}, set()
    for chunk in chunks(CODE_POINTS, 4096):
        text = "\n".join(map(chr, chunk)) if 0x0A not in chunk else None
        for name, function in (("d", nfd), ("c", nfc)):
            if text is not None:
                parts = function.normalize_str(text).split("\n")
            else:
                parts = [function.normalize_str(chr(c)) for c in chunk]
            assert len(parts) == len(chunk)
            for c, part in zip(chunk, parts):
                if part == chr(c):
                    continue
                if name == "d":
                    decomposition[c] = tuple(map(ord, part))
                else:
                    changed.add(c)
    return nfc, nfd, decomposition, changed


def combining_classes(nfd):
    """ccc by bisection: two marks swap under NFD exactly where the first has the greater class."""
    def swapped(pairs):
        result = []
        for chunk in chunks(pairs, 4096):
            parts = nfd.normalize_str("\n".join("a" + chr(x) + chr(y) for x, y in chunk)).split("\n")
            assert len(parts) == len(chunk)
            result += [p != nfd.normalize_str("a" + chr(x)) + nfd.normalize_str(chr(y))
                       if len(p) != 3 else p == "a" + chr(y) + chr(x) for p, (x, y) in zip(parts, chunk)]
        return result

    skip = {0x0A}
    simple = [c for c in CODE_POINTS if c not in skip and nfd.normalize_str(chr(c)) == chr(c)]
    over = swapped([(0x0345, c) for c in simple])     # U+0345 has the greatest class, 240
    under = swapped([(c, 0x0334) for c in simple])    # U+0334 has the least, 1
    marks = [c for c, o, u in zip(simple, over, under) if o or u]
    if 0x0345 not in marks:
        marks.append(0x0345)
    if 0x0334 not in marks:
        marks.append(0x0334)
    # Order the marks: a stable merge by the swap relation; equal classes end side by side.
    count_below = {c: 0 for c in marks}
    for pivot in marks:
        for c, s in zip(marks, swapped([(pivot, c) for c in marks])):
            if s:
                count_below[pivot] += 1  # class(c) < class(pivot)
    ranks = {value: i + 1 for i, value in enumerate(sorted(set(count_below.values())))}
    return {c: ranks[count_below[c]] for c in marks}


def fold_extras():
    """For each ASCII letter of the case-insensitive contractions, the non-ASCII code points that match it."""
    extras = {}
    for letter in "stmdrevl":
        pattern = "(?i:'%s)" % letter
        split = pre_tokenizers.Split(Regex(pattern), "isolated")
        for chunk in chunks([c for c in CODE_POINTS if c > 0x7F]):
            for piece, _ in split.pre_tokenize_str("".join("." + "'" + chr(c) for c in chunk)):
                if len(piece) == 2 and piece[0] == "'":
                    extras.setdefault(letter, []).append(ord(piece[1]))
    return extras


def self_test(nfc, decomposition, ccc, compose):
    """The tables, run by the textbook algorithm, must agree with the library on random strings."""
    import random
    rng = random.Random(1)
    interesting = sorted(set(decomposition) | set(ccc) | {c for p in compose for c in p}) + list(range(0x1100, 0x1200))
    for _ in range(20000):
        text = [rng.choice(interesting) if rng.random() < 0.8 else rng.randrange(0x20, 0x250)
                for _ in range(rng.randrange(1, 9))]
        full = []
        for c in text:
            full += decomposition.get(c, (c,))
        i = 0
        while i < len(full):
            if not ccc.get(full[i]):
                i += 1
                continue
            j = i
            while j < len(full) and ccc.get(full[j]):
                j += 1
            full[i:j] = sorted(full[i:j], key=lambda x: ccc[x])
            i = j
        out, starter, last = [], -1, 0
        for c in full:
            cc = ccc.get(c, 0)
            if starter >= 0 and (last == 0 and starter == len(out) - 1 or last < cc and last != 0):
                composed = pair(out[starter], c, compose)
                if composed is not None:
                    out[starter] = composed
                    continue
            if cc == 0:
                starter, last = len(out), 0
            else:
                last = cc
            out.append(c)
        want = nfc.normalize_str("".join(map(chr, text)))
        got = "".join(map(chr, out))
        assert got == want, (text, list(map(ord, want)), out)


def pair(a, b, compose):
    if 0x1100 <= a < 0x1113 and 0x1161 <= b < 0x1176:
        return 0xAC00 + ((a - 0x1100) * 21 + b - 0x1161) * 28
    if a in HANGUL and (a - 0xAC00) % 28 == 0 and 0x11A7 < b < 0x11C3:
        return a + b - 0x11A7
    return compose.get((a, b))


def emit_list(out, ctype, name, values, fmt=str):
    out.append(f"const {ctype} {name}[{len(values)}] = {{")
    line = "    "
    for v in values:
        item = fmt(v) + ", "
        if len(line) + len(item) > 119:
            out.append(line.rstrip())
            line = "    "
        line += item
    out.append(line.rstrip().rstrip(","))
    out.append("};")
    out.append("")


def main():
    flags = {c: 0 for c in CODE_POINTS}

    def put(name, points):
        for c in points:
            flags[c] |= FLAGS[name]

    for name, pattern in (("letter", r"\p{L}"), ("mark", r"\p{M}"), ("number", r"\p{N}"), ("punctuation", r"\p{P}"),
                          ("symbol", r"\p{S}"), ("space", r"\s"), ("upper", r"\p{Lu}"), ("lower", r"\p{Ll}")):
        put(name, matched(pattern))
    put("digit", digits())
    word_left, word_right = added_token_probe(single_word=True)
    assert word_left == word_right
    put("word", word_left)
    strip_left, _ = added_token_probe(lstrip=True)
    _, strip_right = added_token_probe(rstrip=True)
    assert strip_left == strip_right
    put("strip", strip_left)

    nfc, nfd, decomposition, changed = nfc_data()
    ccc = combining_classes(nfd)
    compose = {}
    for c, parts in decomposition.items():
        if c in HANGUL or c in changed or len(parts) < 2:
            continue
        first = nfc.normalize_str("".join(map(chr, parts[:-1])))
        assert len(first) == 1, hex(c)
        assert nfc.normalize_str(first + chr(parts[-1])) == chr(c), hex(c)
        compose[(ord(first), parts[-1])] = c
    self_test(nfc, decomposition, ccc, compose)
    seconds = {b for _, b in compose} | set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    put("nfc_safe", (c for c in CODE_POINTS if c not in changed and not ccc.get(c) and c not in seconds and
                     decomposition.get(c, (c,))[0] not in seconds and not ccc.get(decomposition.get(c, (c,))[0])))
    assert fold_extras() == {"s": [0x17F]}, "the contractions of the splitters must learn new letters"

    # Two stages: block index by code point / 128, then a record index by code point.
    records, blocks, stage1, stage2 = {}, {}, [], []
    for base in range(0, 0x110000, 128):
        block = tuple(records.setdefault((flags.get(c, 0), ccc.get(c, 0)), len(records))
                      for c in range(base, base + 128))
        if block not in blocks:
            blocks[block] = len(blocks)
            stage2 += block
        stage1.append(blocks[block])
    assert len(records) <= 256 and len(blocks) <= 65536
    decomposed = sorted(c for c in decomposition if c not in HANGUL)
    pool, offsets = [], [0]
    for c in decomposed:
        pool += decomposition[c]
        offsets.append(len(pool))

    out = ["// Made by: python3 tools/unicode/make_unicode_tables.py > src/text/generated/unicode_tables.cpp",
           "// Classes of code points as the official tokenizers' engines see them (see the script); src/text/unicode.h",
           "// and src/text/nfc.cpp read them. Do not edit.", "// clang-format off",
           '#include "text/generated/unicode_tables.h"', "", "namespace naru::text::generated {", ""]
    emit_list(out, "uint16_t", "kBlockOfCodePoint", stage1)
    emit_list(out, "uint8_t", "kRecordOfCodePoint", stage2)
    emit_list(out, "UnicodeRecord", "kRecords", list(records), lambda r: "{%d, %d}" % r)
    out.append(f"const int kDecompositions = {len(decomposed)};")
    emit_list(out, "uint32_t", "kDecomposed", decomposed, hex)
    emit_list(out, "uint16_t", "kDecompositionOffset", offsets)
    emit_list(out, "uint32_t", "kDecompositionPool", pool, hex)
    out.append(f"const int kCompositions = {len(compose)};")
    emit_list(out, "Composition", "kComposition", sorted((a, b, c) for (a, b), c in compose.items()),
              lambda t: "{%#x, %#x, %#x}" % t)
    out.append("}  // namespace naru::text::generated")
    print("\n".join(out))
    print(f"{len(records)} records, {len(blocks)} blocks, {len(decomposed)} decompositions, {len(compose)} pairs, "
          f"{len(ccc)} combining", file=sys.stderr)


if __name__ == "__main__":
    main()
