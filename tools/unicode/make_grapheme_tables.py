#!/usr/bin/env python3
"""Writes src/text/generated/grapheme_tables.cpp: what UAX #29 needs to know of each code point to tell where one visible
character ends and the next begins.

The properties are those of the `regex` package (its version is in requirements.txt, and with it that of Unicode). The
rules, as src/text/grapheme.cpp has them, are checked here against the package's own \\X on random strings; with --cases
some of those come out as the fixture of the C++ tests.

    python3 tools/unicode/make_grapheme_tables.py > src/text/generated/grapheme_tables.cpp
    python3 tools/unicode/make_grapheme_tables.py --cases > tests/fixtures/text/graphemes.json
"""

import argparse
import json
import random
import sys

import regex

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
HANGUL = range(0xAC00, 0xAC00 + 11172)

# Values shared with src/text/grapheme.cpp; a conjunct's part is kept in the bits above the class.
CLASSES = {"Other": 0, "CR": 1, "LF": 2, "Control": 3, "Extend": 4, "ZWJ": 5, "Regional_Indicator": 6, "Prepend": 7,
           "SpacingMark": 8, "L": 9, "V": 10, "T": 11, "LV": 12, "LVT": 13, "Pictographic": 14}
CONJUNCT = {"None": 0, "Linker": 1, "Consonant": 2, "Extend": 3}
CONJUNCT_SHIFT = 4
OTHER, CR, LF, CONTROL, EXTEND, ZWJ, FLAG, PREPEND, SPACING, L, V, T, LV, LVT, PICTURE = range(15)


def having(word):
    pattern = regex.compile(r"\p{%s}" % word)
    return [c for c in CODE_POINTS if pattern.match(chr(c))]


def records():
    found = {}
    for name, value in CLASSES.items():
        for c in [] if value in (OTHER, PICTURE) else having(f"Grapheme_Cluster_Break={name}"):
            assert c not in found, hex(c)
            found[c] = value
    for c in having("Extended_Pictographic"):
        assert c not in found, hex(c)
        found[c] = PICTURE
    for name, value in CONJUNCT.items():
        for c in [] if name == "None" else having(f"Indic_Conjunct_Break={name}"):
            found[c] = found.get(c, OTHER) | value << CONJUNCT_SHIFT
    return found


def breaks(text, found):
    """The places between two clusters, by the rules GB1 to GB999."""
    places, n_flags, picture, conjunct = [], 0, 0, 0
    for i, character in enumerate(text):
        record = found.get(ord(character), 0)
        now, part = record & 15, record >> CONJUNCT_SHIFT
        if i > 0:
            joined = (before == CR and now == LF) or (
                before not in (CR, LF, CONTROL) and now not in (CR, LF, CONTROL) and (
                    (before == L and now in (L, V, LV, LVT)) or (before in (LV, V) and now in (V, T)) or
                    (before in (LVT, T) and now == T) or now in (EXTEND, ZWJ, SPACING) or before == PREPEND or
                    (conjunct == 2 and part == 2) or (picture == 2 and now == PICTURE) or
                    (before == FLAG and now == FLAG and n_flags % 2 == 1)))
            if not joined:
                places.append(i)
        n_flags = n_flags + 1 if now == FLAG else 0
        # 1: behind a picture and what extends it, 2: behind a joiner after that
        picture = 1 if now == PICTURE or (picture == 1 and now == EXTEND) else 2 if picture == 1 and now == ZWJ else 0
        # 1: behind a consonant, 2: with a linker since
        conjunct = 1 if part == 2 else max(conjunct, 2) if part == 1 and conjunct else conjunct if part == 3 else 0
        before = now
    return places


def random_texts(found, seed, n):
    by_record = {}
    for c, record in found.items():
        by_record.setdefault(record, []).append(c)
    groups = [[0x61, 0x20, 0x4E2D, 0x3B1]] + [by_record[record] for record in sorted(by_record)]
    rng = random.Random(seed)
    for _ in range(n):
        yield "".join(chr(rng.choice(rng.choice(groups))) for _ in range(rng.randrange(1, 10)))


def self_test(found):
    for text in random_texts(found, 1, 300000):
        ends, at = [], 0
        for cluster in regex.findall(r"\X", text):
            at += len(cluster)
            ends.append(at)
        assert breaks(text, found) == ends[:-1], [hex(ord(c)) for c in text]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", action="store_true", help="print the fixture of the tests instead of the table")
    arguments = parser.parse_args()
    found = records()
    self_test(found)
    if arguments.cases:
        cases = [regex.findall(r"\X", text) for text in random_texts(found, 2, 400)]
        print("[" + ",\n".join(json.dumps(case) for case in cases) + "]")
        return
    assert all(found[c] == (LV if (c - 0xAC00) % 28 == 0 else LVT) for c in HANGUL)
    ranges = []
    for c in sorted(set(found) - set(HANGUL)):
        if ranges and ranges[-1][1] == c - 1 and ranges[-1][2] == found[c]:
            ranges[-1][1] = c
        else:
            ranges.append([c, c, found[c]])
    print("""// Made by: python3 tools/unicode/make_grapheme_tables.py > src/text/generated/grapheme_tables.cpp
// What code points are to UAX #29 (see the script); src/text/grapheme.cpp reads it. Do not edit.
// clang-format off
#include "text/generated/grapheme_tables.h"

namespace naru::text::generated {
""")
    print(f"const int kGraphemeRanges = {len(ranges)};")
    print(f"const GraphemeRange kGraphemeRange[{len(ranges)}] = {{")
    line = "   "
    for first, last, record in ranges:
        item = " {%#x, %#x, %d}," % (first, last, record)
        if len(line) + len(item) > 119:
            print(line)
            line = "   "
        line += item
    print(line.rstrip(",") + "\n};\n\n}  // namespace naru::text::generated")
    print(f"{len(ranges)} ranges", file=sys.stderr)


if __name__ == "__main__":
    main()
