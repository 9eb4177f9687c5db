"""Calls the naru binary the way a user does: one function a command, JSON and npy out, errors with its own words."""

import json
import os
import pathlib
import subprocess
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[2]
MAX_TOKENS = "--max-tokens"
DEFAULT_BINARY = ROOT / "build" / "release" / "naru"


def add_arguments(parser):
    parser.add_argument("--naru", type=pathlib.Path, default=DEFAULT_BINARY, help="the binary to test")
    parser.add_argument("--threads", type=int, default=2)


def call(binary, arguments, stdin=None, level=None):
    """stdout of `naru arguments...`; `level` is NARU_CPU."""
    environment = {**os.environ, **({"NARU_CPU": level} if level else {})}
    done = subprocess.run(
        [str(binary), *map(str, arguments)], input=stdin, capture_output=True, env=environment, check=False
    )
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip()
        raise RuntimeError(f"naru {' '.join(map(str, arguments))}: exit code {done.returncode}\n{words}")
    return done.stdout


def logits(binary, model, ids, flags=(), level=None):
    """float32 [T, vocab] of `naru logits`."""
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        (scratch / "ids.json").write_text(json.dumps([int(i) for i in ids]))
        out = scratch / "logits.npy"
        call(binary, ["logits", model, "--ids", scratch / "ids.json", "--out", out, *flags], level=level)
        values = np.load(out)
    if values.dtype != np.float32 or values.ndim != 2 or len(values) != len(ids):
        raise RuntimeError(f"naru logits wrote {values.dtype} {values.shape} for {len(ids)} ids")
    return values
