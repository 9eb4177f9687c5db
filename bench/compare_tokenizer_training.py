#!/usr/bin/env python3
"""naru's trainer of tokenizers against the official `tokenizers` library's, on one core, taking turns.

    python3 bench/compare_tokenizer_training.py [TEXT...] [--vocab-size 32000] [--pre-tokenizer deepseek-v3] [--runs 5]

Each run is a process of its own, kept on one core, with one thread; the two alternate, so that a machine that slows down
slows both. TEXT are plain text files; without any, the sources of this Python's standard library. Timed is all work
between the text and the finished vocabulary: for naru the reading of the file too, for the peer (which has its text in
memory, in stretches of 64 KiB that end where words end) the training call alone. The two files must be equal byte for
byte. Medians, smallest and largest value, and the ratio; exit status 1 when it is below --wanted (default 1.0).

Needs build/release/naru_train_tokenizer (made with the tests) and the package of tools/unicode/requirements.txt.
"""

import argparse
import json
import os
import pathlib
import re
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
CUT = re.compile(r"(?<=[!-~]\n)(?=[!-~])|(?<=[!-~])(?= [A-Za-z])")


def stretches(text):
    out, begin = [], 0
    while begin < len(text):
        match = CUT.search(text, begin + (1 << 16))
        end = match.start() if match else len(text)
        out.append(text[begin:end])
        begin = end
    return out


def run_peer(args):
    """The inner process: prints the seconds of the training call."""
    sys.path.insert(0, str(ROOT / "tools"))
    import trained_tokenizers
    texts = stretches(pathlib.Path(args.text[0]).read_bytes().decode("utf-8", "replace"))
    begin = time.perf_counter()
    tokenizer = trained_tokenizers.train(args.pre_tokenizer, texts, args.vocab_size, args.pair_count_min)
    print(time.perf_counter() - begin)
    tokenizer.save(args.peer_out)


def on_one_core(core, command):
    environment = {**os.environ, "RAYON_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "true"}
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, env=environment,
                          preexec_fn=lambda: os.sched_setaffinity(0, {core}))
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: exit status {done.returncode}\n{done.stderr}")
    return done.stdout


def collect(paths, out):
    if not paths:
        paths = sorted(pathlib.Path(sysconfig.get_paths()["stdlib"]).rglob("*.py"))
        paths = [path for path in paths if "site-packages" not in path.parts]
    with open(out, "wb") as file:
        for path in paths:
            file.write(pathlib.Path(path).read_bytes())
            file.write(b"\n")
    return os.path.getsize(out)


def line(name, n_bytes, seconds):
    speeds = sorted(n_bytes / 1e6 / s for s in seconds)
    print(f"{name:12} {statistics.median(seconds):8.3f} s ({min(seconds):.3f} to {max(seconds):.3f})   "
          f"{statistics.median(speeds):7.1f} MB/s ({speeds[0]:.1f} to {speeds[-1]:.1f})", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", nargs="*")
    parser.add_argument("--vocab-size", type=int, default=32000)
    parser.add_argument("--pre-tokenizer", default="deepseek-v3")
    parser.add_argument("--pair-count-min", type=int, default=2)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--wanted", type=float, default=1.0)
    parser.add_argument("--command", type=pathlib.Path, default=ROOT / "build" / "release" / "naru_train_tokenizer")
    parser.add_argument("--core", type=int, default=max(os.sched_getaffinity(0)))
    parser.add_argument("--peer-out", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer_out:
        return run_peer(args)
    numbers = [str(args.vocab_size), args.pre_tokenizer, str(args.pair_count_min)]
    ours, peers = [], []
    with tempfile.TemporaryDirectory() as folder:
        text = os.path.join(folder, "text.txt")
        n_bytes = collect(args.text, text)
        print(f"{n_bytes / 1e6:.1f} MB of text, vocabulary {numbers[0]}, {numbers[1]}, {args.runs} runs in turns, one core")
        for i in range(args.runs):
            out = os.path.join(folder, f"out{i}")
            summary = json.loads(on_one_core(args.core, [args.command, out, *numbers, text]))
            ours.append(summary["read_s"] + summary["learn_s"])
            peer_out = os.path.join(folder, f"peer{i}.json")
            peers.append(float(on_one_core(args.core, [sys.executable, __file__, text, "--vocab-size", numbers[0], "--pre-tokenizer",
                                                       numbers[1], "--pair-count-min", numbers[2], "--peer-out", peer_out])))
            same = pathlib.Path(out, "tokenizer.json").read_bytes() == pathlib.Path(peer_out).read_bytes()
            if not same:
                raise SystemExit("the two tokenizer.json differ")
    line("naru", n_bytes, ours)
    line("tokenizers", n_bytes, peers)
    ratios = sorted(peer / our for peer, our in zip(peers, ours))
    ratio = statistics.median(ratios)
    print(f"ratio        {ratio:8.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f}); the files are equal byte for byte")
    return 1 if ratio < args.wanted else 0


if __name__ == "__main__":
    sys.exit(main())
