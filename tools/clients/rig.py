"""What the checks of each client share: steps that are told one by one, and a server of ours."""

import contextlib
import json
import pathlib
import sys
import time
import traceback

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests/server"))

from server_rig import Server, request  # noqa: E402,F401

KEY = "sk-check-0123456789abcdef"
NAME = "tiny"  # of the model, as it is served


class Wrong(Exception):
    pass


class Missing(Exception):
    """The server does not have what a step is about."""


def expect(is_so, what):
    if not is_so:
        raise Wrong(what)


def equal(found, wanted, what):
    if found != wanted:
        raise Wrong(f"{what}: {found!r} instead of {wanted!r}")


def raises(kind, work, *words):
    """The typed exception that a client makes of a refusal, with these words in its text."""
    try:
        got = work()
    except kind as problem:
        for word in words:
            expect(word in str(problem), f"the {kind.__name__} has not the word {word!r}: {problem}")
        return problem
    except Exception as problem:
        raise Wrong(f"{type(problem).__name__} instead of {kind.__name__}: {problem}") from problem
    raise Wrong(f"no {kind.__name__}, but {got!r:.500}")


class Report:
    """Counts steps; a wrong one is told with its reason, and the next go on."""

    def __init__(self, is_verbose):
        self.is_verbose, self.good, self.wrong, self.missing = is_verbose, 0, [], []
        self.client = ""

    @contextlib.contextmanager
    def step(self, name):
        what, begin = f"{self.client}: {name}", time.monotonic()
        try:
            yield
        except Missing as problem:
            self.missing.append(what)
            print(f"{what}: missing: {problem}", flush=True)
        except Exception as problem:  # whatever a client makes of an answer that it does not understand
            self.wrong.append(what)
            reason = str(problem) if isinstance(problem, Wrong) else f"{type(problem).__name__}: {problem}"
            print(f"{what}: WRONG: {reason[:1500]}", flush=True)
            if self.is_verbose and not isinstance(problem, Wrong):
                traceback.print_exc()
        else:
            self.good += 1
            seconds = time.monotonic() - begin
            print(f"{what}: good{f', {seconds:.1f} s' if seconds > 1 else ''}", flush=True)


def is_there(server, path):
    """A path that is not there answers 404, and so does its dialect."""
    return server.ask("POST", path, {}, authorization=f"Bearer {KEY}").status != 404


def check_form(text, what):
    """Arguments of a call, say: a JSON object."""
    try:
        value = json.loads(text)
    except ValueError as problem:
        raise Wrong(f"{what} is no JSON: {text!r}") from problem
    expect(isinstance(value, dict), f"{what} is no object: {text!r}")
    return value
