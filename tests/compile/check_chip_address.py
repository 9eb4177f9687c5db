#!/usr/bin/env python3
"""Compiles chip_address.cpp as it is, which must succeed, and with its lines "//! ..." in force, each of which must
fail: they stand alone, no one names what another makes.

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
    refused = {i for i, line in enumerate(lines) if line.lstrip().startswith("//! ")}
    text = "\n".join(line.replace("//! ", "", 1) if i in refused else line for i, line in enumerate(lines))
    errors, done = errors_of(compiler, root, text)
    wanted = {i + 1 for i in refused}
    for line in sorted(errors ^ wanted):
        what = "compiles" if line in wanted else "fails beside those that must"
        print(f"line {line} {what}: {lines[line - 1].strip()}", file=sys.stderr)
    print(f"{len(wanted & errors)} of {len(wanted)} lines are refused")
    return 0 if wanted and errors == wanted else 1


if __name__ == "__main__":
    sys.exit(main())
