"""How far naru's default mode (products of quantised weights) is from its own f32 run, beside llama-cpp-python.

1. Root-mean-square error of all logits of some texts against `naru logits --compute f32` (itself checked against
   transformers by smollm2_reference.py): naru's must be at most 1.1 times that of llama-cpp-python on the same file.
2. On the greedy answers of the f32 model (the SmolLM2 fixture), fed token by token to both: the default mode's best
   token is the f32 one on at least 93 % of the answers' tokens, and the mean KL divergence is at most 0.01.

    python3 quantised_error.py [MODEL.gguf] [--naru BINARY] [--no-peer]
"""

import argparse
import json
import pathlib
import sys

import numpy as np

import naru_cli

FIXTURE = naru_cli.ROOT / "tests" / "fixtures" / "models" / "smollm2" / "reference.json"
RMS_RATIO = 1.1
TOP1_SHARE = 0.93
MEAN_KL = 0.01


class Peer:
    """llama-cpp-python with logits of every position."""

    def __init__(self, model, threads, context):
        import llama_cpp

        self.model = llama_cpp.Llama(
            str(model), n_ctx=context, n_batch=512, n_threads=threads, n_threads_batch=threads, logits_all=True,
            verbose=False,
        )

    def logits(self, ids):
        self.model.reset()
        self.model.eval(ids)
        return np.array(self.model.scores[: len(ids)], dtype=np.float32)


def log_softmax(values):
    values = values.astype(np.float64)
    values -= values.max(axis=1, keepdims=True)
    return values - np.log(np.exp(values).sum(axis=1, keepdims=True))


def divergence(exact, other):
    """KL(exact || other) of each row."""
    p, q = log_softmax(exact), log_softmax(other)
    return (np.exp(p) * (p - q)).sum(axis=1)


def mean_square(values, exact):
    return float(np.mean(np.square(values.astype(np.float64) - exact)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", nargs="?", type=pathlib.Path)
    parser.add_argument("--fixture", type=pathlib.Path, default=FIXTURE)
    parser.add_argument("--no-peer", action="store_true", help="without llama-cpp-python")
    parser.add_argument("--level", help="NARU_CPU of the runs")
    naru_cli.add_arguments(parser)
    args = parser.parse_args()
    if args.model is None:
        import smollm2_reference

        args.model = smollm2_reference.packaged_model()
    content = json.loads(args.fixture.read_text())
    longest = max(len(t["ids"]) for t in content["texts"])
    peer = None if args.no_peer else Peer(args.model, args.threads, max(longest, 512) + 8)
    flags = ["--threads", args.threads]

    def naru(ids, *compute):
        return naru_cli.logits(args.naru, args.model, ids, [*flags, *compute], args.level)

    good, sums, tokens = True, {"naru": 0.0, "llama.cpp": 0.0}, 0
    print(f"{'root mean square error':24s} {'tokens':>6s} {'naru':>9s} {'llama.cpp':>9s} {'ratio':>6s}")
    for text in content["texts"]:
        ids = text["ids"]
        exact = naru(ids, "--compute", "f32")
        squares = {"naru": mean_square(naru(ids), exact)}
        if peer:
            squares["llama.cpp"] = mean_square(peer.logits(ids), exact)
        tokens += len(ids)
        for who, value in squares.items():
            sums[who] += value * len(ids)
        print_errors(text["name"], len(ids), squares)
    squares = {who: value / tokens for who, value in sums.items() if who == "naru" or peer}
    ratio = print_errors("all", tokens, squares)
    good &= ratio is None or ratio <= RMS_RATIO

    agree = {"naru": [], "llama.cpp": []}
    kl = {"naru": [], "llama.cpp": []}
    for chat in content["chat"]:
        ids, start = chat["prompt_ids"] + chat["greedy_ids"], len(chat["prompt_ids"]) - 1
        exact = naru(ids, "--compute", "f32")[start:-1]
        others = {"naru": naru(ids)[start:-1]}
        if peer:
            others["llama.cpp"] = peer.logits(ids)[start:-1]
        for who, values in others.items():
            agree[who].append(values.argmax(axis=1) == exact.argmax(axis=1))
            kl[who].append(divergence(exact, values))
    for who in [w for w in agree if agree[w]]:
        share, mean = float(np.concatenate(agree[who]).mean()), float(np.concatenate(kl[who]).mean())
        count = len(np.concatenate(kl[who]))
        print(f"{who:10s} on {count} answer tokens: top-1 {100 * share:.1f} %, mean KL {mean:.5f}")
        if who == "naru":
            good &= share >= TOP1_SHARE and mean <= MEAN_KL
    print("within the limits" if good else "OVER THE LIMITS")
    return 0 if good else 1


def print_errors(name, tokens, squares):
    """One table line; returns the ratio or None."""
    ours, theirs = squares["naru"] ** 0.5, squares.get("llama.cpp", float("nan")) ** 0.5
    print(f"{name:24s} {tokens:6d} {ours:9.4f} {theirs:9.4f} {ours / theirs:6.3f}")
    return ours / theirs if "llama.cpp" in squares else None


if __name__ == "__main__":
    sys.exit(main())
