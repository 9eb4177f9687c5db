"""tools/check_docs finds what it is for: a document with each kind of mistake, and one without any.

    python3 test_check_docs.py BINARY
"""

import pathlib
import subprocess
import sys
import tempfile

TOOL = pathlib.Path(__file__).resolve().parents[2] / "tools" / "check_docs"
FENCE = "```"
GOOD = f"""# x
[a page](docs/page.md) and `docs/page.md`, `src/NAME/`, `build/x`, `runs/a`, `naru run MODEL --raw` and `naru COMMAND`.
{FENCE}
$ naru run m --temperature 0 -n 5      what --nonsense it does
A=1 build/release/naru train recipes/a.toml steps=3 \\
  --json | naru tokenize m --decode
Text of an answer, `naru`s and all.
{FENCE}
"""
BAD = {f"{FENCE}\nnaru run m --temprature 0\n{FENCE}\n": "README.md:2: naru run has no flag '--temprature'",
       f"{FENCE}\ncat x | naru tokenise m\n{FENCE}\n": "README.md:2: there is no command 'tokenise'",
       f"{FENCE}\nnaru train recipes/none.toml\n{FENCE}\n": "README.md:2: there is no recipes/none.toml",
       "Say `naru list --all`.\n": "README.md:1: naru list has no flag '--all'",
       "It is `docs/none.md`.\n": "README.md:1: there is no docs/none.md",
       "It is [there](docs/none.md).\n": "README.md:1: the link to docs/none.md leads nowhere"}


def check(binary, text):
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        for name in ("docs", "recipes", "src"):
            (root / name).mkdir()
        (root / "recipes/a.toml").write_text("")
        (root / "docs/page.md").write_text("")
        (root / ".gitignore").write_text("/build/\n/runs/\n")
        (root / "CONTRIBUTING.md").write_text("")
        (root / "ARCHITECTURE.md").write_text("")
        (root / "README.md").write_text(text)
        done = subprocess.run([sys.executable, TOOL, root, "--program", binary, "--least", "0"], capture_output=True, text=True)
        return done.returncode, done.stderr


def main():
    binary = pathlib.Path(sys.argv[1]).resolve()
    problems = []
    status, errors = check(binary, GOOD)
    if status != 0:
        problems.append(f"a good document: {errors}")
    for text, wanted in BAD.items():
        status, errors = check(binary, text)
        if status != 1 or wanted not in errors or len(errors.splitlines()) != 1:
            problems.append(f"{text!r}: status {status}, {errors!r}; wanted {wanted!r}")
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
