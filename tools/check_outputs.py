#!/usr/bin/env python3
"""Several commands at once write the same outputs again and again, half of them killed or interrupted at a random moment.
Whatever happens, an output that is there is whole (its bytes are those of an undisturbed run), no command fails but by the
signal it got, and the commands at the end leave nothing beside their outputs. Python's standard library only.

    python3 tools/check_outputs.py [--seconds 60] [--seed 1] [--naru build/release/naru]
"""

import argparse
import hashlib
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
MODEL = ROOT / "tests/fixtures/models/llama-gqa/hf"
AT_ONCE = 4
OUTPUTS = ["o.npy", "g.safetensors", "m.gguf", "folder"]
# By its signal, before or after the command catches it; or stopped by it.
ALLOWED = {0, -signal.SIGKILL, -signal.SIGTERM, 130, 143}


def arguments_of(output):
    ids = ["--ids", "ids.json"]
    command = {"o.npy": ["logits", MODEL, *ids], "g.safetensors": ["grads", MODEL, *ids]}.get(output, ["convert", MODEL])
    return [*command, "--out", output, "--force"]


def digest(path):
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    return hashlib.sha256(b"".join(file.name.encode() + file.read_bytes() for file in files)).hexdigest()


def one_round(start, draw, statuses):
    processes = [start(draw.choice(OUTPUTS)) for _ in range(AT_ONCE)]
    for process in processes:
        if draw.random() < 0.5:
            time.sleep(draw.random() * 0.03)
            process.send_signal(draw.choice([signal.SIGKILL, signal.SIGTERM]))
    for process in processes:
        words = process.communicate()[1].decode(errors="replace")
        statuses[process.returncode] = statuses.get(process.returncode, 0) + 1
        if process.returncode not in ALLOWED:
            raise SystemExit(f"status {process.returncode}: {words}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--naru", type=pathlib.Path, default=ROOT / "build/release/naru")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    draw, statuses = random.Random(args.seed), {}
    with tempfile.TemporaryDirectory(prefix="naru-outputs-") as name:
        folder = pathlib.Path(name)
        (folder / "ids.json").write_text("[1, 2, 3, 4]")

        def start(output):
            return subprocess.Popen([args.naru.resolve(), *arguments_of(output)], cwd=folder,
                                    stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

        def write_all():
            for output in OUTPUTS:
                process = start(output)
                words = process.communicate()[1].decode(errors="replace")
                if process.returncode != 0:
                    raise SystemExit(f"status {process.returncode}: {words}")
            return {output: digest(folder / output) for output in OUTPUTS}

        wanted = write_all()
        end = time.monotonic() + args.seconds
        while time.monotonic() < end:
            one_round(start, draw, statuses)
            if {output: digest(folder / output) for output in OUTPUTS} != wanted:
                raise SystemExit("an output is not whole")
        write_all()
        left = sorted(path.name for path in folder.iterdir() if path.name not in [*OUTPUTS, "ids.json"])
        if left:
            raise SystemExit(f"left behind: {left}")
    print(f"{sum(statuses.values())} commands, by status: {dict(sorted(statuses.items()))}; seed {args.seed}; all is whole")
    return 0


if __name__ == "__main__":
    sys.exit(main())
