#!/usr/bin/env python3
"""Makes sums.jsonl and held-out.jsonl beside it: sums of two numbers of two digits, none of them twice."""
import json
import pathlib
import random

HELD_OUT, TRAINED = 100, 800


def main():
    folder = pathlib.Path(__file__).resolve().parent
    pairs = [(a, b) for a in range(11, 80) for b in range(11, 80) if a + b < 100]
    random.Random(1).shuffle(pairs)
    for name, some in (("held-out", pairs[:HELD_OUT]), ("sums", pairs[HELD_OUT:HELD_OUT + TRAINED])):
        lines = [{"prompt": f"What is {a} + {b}? Answer with the number only.", "answer": str(a + b)} for a, b in some]
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


if __name__ == "__main__":
    main()
