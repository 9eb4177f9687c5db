#!/usr/bin/env python3
"""Runs the official Python clients of openai, anthropic and ollama, unchanged, against naru serve, and the requests that agent
programs send; a scripted conversation each, whole and streamed, with tools, reasoning, logprobs and everything that is refused.

    python3 -m venv clients && clients/bin/pip install -r tools/requirements-clients.txt
    clients/bin/python tools/check_clients.py [--binary build/release/naru] [--only openai,anthropic,ollama,agents]

The model is a tiny one that naru trains first, in half a minute, so that it knows a few conversations by heart: calls of
tools and reasoning are real answers of a model. --learnt FOLDER keeps it, and takes it from there the next time; --model takes
another model, of which only the form of its answers is checked. The exit status is 0 where every step went well; a dialect
that the server does not have is said, and counts as a fault unless --allow-missing.
"""

import argparse
import importlib
import pathlib
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tools/clients"))

import learnt_model  # noqa: E402
from rig import KEY, Report, Server  # noqa: E402

CHECKS = {"openai": "openai_client", "anthropic": "anthropic_client", "ollama": "ollama_client", "agents": "agents"}


class Serving(Server):
    """A server of the model, with a key, and its address as clients write it."""

    def __init__(self, *arguments, **options):
        super().__init__(*arguments, **options)
        self.base = f"http://{self.address[0]}:{self.address[1]}"


def model_of(args, scratch):
    if args.model:
        return args.model
    if args.learnt and (args.learnt / "run/model/config.json").exists():
        return args.learnt / "run/model"
    print("a model learns its conversations by heart ...", flush=True)
    return learnt_model.learn(args.binary, args.learnt or scratch / "learnt")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=str(ROOT / "build/release/naru"))
    parser.add_argument("--model", type=pathlib.Path, help="a model of yours, with a chat template")
    parser.add_argument("--learnt", type=pathlib.Path, help="folder in which the trained model stays")
    parser.add_argument("--context", type=int, default=learnt_model.CONTEXT_MAX)
    parser.add_argument("--only", default=",".join(CHECKS), metavar="NAMES")
    parser.add_argument("--allow-missing", action="store_true", help="dialects that are not there are no fault")
    parser.add_argument("--verbose", action="store_true", help="tracebacks of the clients' own exceptions")
    args = parser.parse_args()
    names = args.only.split(",")
    for name in names:
        if name not in CHECKS:
            parser.error(f"there is no check {name}; one of {', '.join(CHECKS)} was wanted")
    if not pathlib.Path(args.binary).exists():
        parser.error(f"there is no {args.binary}; build naru, or give --binary")
    try:
        modules = [importlib.import_module(CHECKS[name]) for name in names]
    except ImportError as problem:
        parser.error(f"the client is not installed ({problem}): pip install -r tools/requirements-clients.txt")
    args.binary = str(pathlib.Path(args.binary).resolve())
    report = Report(args.verbose)
    with tempfile.TemporaryDirectory() as folder:
        scratch = pathlib.Path(folder)
        model = model_of(args, scratch)
        keys = scratch / "keys.txt"
        keys.write_text(f"{KEY} checks\n")

        def start(*more):
            flags = [] if "--parallel" in more else ["--parallel", "4"]
            return Serving(args.binary, "--keys", str(keys), "--context", str(args.context), *flags, *more, model=model)

        with start() as server:
            for module in modules:
                module.check(report, server, start, is_learnt=not args.model)
    print(f"{report.good} steps good, {len(report.wrong)} wrong, {len(report.missing)} missing")
    return 1 if report.wrong or (report.missing and not args.allow_missing) else 0


if __name__ == "__main__":
    sys.exit(main())
