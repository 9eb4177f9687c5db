#!/usr/bin/env python3
"""Compiles chip_address.cpp as it is, which must succeed, and with each of its lines "//! ..." in force, which must
fail in that line.

usage: check_chip_address.py COMPILER ROOT
"""

import pathlib
import re
import subprocess
import sys


def errors_of(compiler, root, text):
    command = [compiler, "-std=c++20", "-fsyntax-only", "-x", "c++", f"-I{root / 'src'}", "-"]
    done = subprocess.run(command, input=text, text=True, capture_output=True, check=False)
    return {int(line) for line in re.findall(r"<stdin>:(\d+):\d+: error", done.stderr)}, done


def main():
    compiler, root = sys.argv[1], pathlib.Path(sys.argv[2])
    lines = (root / "tests/compile/chip_address.cpp").read_text(encoding="utf-8").splitlines()
    errors, done = errors_of(compiler, root, "\n".join(lines))
    if done.returncode != 0:
        print(f"what is allowed does not compile:\n{done.stderr}", file=sys.stderr)
        return 1
    refused = [i for i, line in enumerate(lines) if line.lstrip().startswith("//! ")]
    wrong = 0
    for i in refused:
        text = lines[:i] + [lines[i].replace("//! ", "", 1)] + lines[i + 1:]
        errors, done = errors_of(compiler, root, "\n".join(text))
        if done.returncode == 0 or errors != {i + 1}:
            print(f"line {i + 1} compiles, or fails elsewhere: {lines[i].strip()}\n{done.stderr}", file=sys.stderr)
            wrong += 1
    print(f"{len(refused)} lines are refused" if wrong == 0 else f"{wrong} of {len(refused)} lines are not refused")
    return 1 if wrong or not refused else 0


if __name__ == "__main__":
    sys.exit(main())
