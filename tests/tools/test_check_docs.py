"""tools/check_docs finds what it is for: a document with each kind of mistake, and one without any.

    python3 test_check_docs.py BINARY
"""

import importlib.machinery
import importlib.util
import pathlib
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


def load_tool():
    loader = importlib.machinery.SourceFileLoader("check_docs", str(TOOL))
    tool = importlib.util.module_from_spec(importlib.util.spec_from_loader("check_docs", loader))
    sys.dont_write_bytecode = True
    loader.exec_module(tool)
    return tool


def check(tool, program, text):
    """The errors that the tool finds in a README.md with this text."""
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder).resolve()
        for name in ("docs", "recipes", "src"):
            (root / name).mkdir()
        (root / "recipes/a.toml").write_text("")
        (root / "docs/page.md").write_text("")
        (root / "README.md").write_text(text)
        return tool.check_document(root, root / "README.md", program, ["build", "runs"])[0]


def main():
    tool = load_tool()
    program = tool.Program(pathlib.Path(sys.argv[1]).resolve())
    problems = []
    errors = check(tool, program, GOOD)
    if errors:
        problems.append(f"a good document: {errors}")
    for text, wanted in BAD.items():
        errors = check(tool, program, text)
        if len(errors) != 1 or wanted not in errors[0]:
            problems.append(f"{text!r}: {errors!r}; wanted {wanted!r}")
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
