"""naru against llama-cpp-python on one GGUF file: prefill and decode tokens per second, taking turns.

Each run is a process of its own (naru bench, peer_llama_cpp.py) on the same file with the same thread count; the
two alternate, so that a machine that slows down slows both. Medians, smallest and largest value, and the ratio.

    python3 compare_llama_cpp.py MODEL.gguf [--runs 5] [--json out.json]
    python3 compare_llama_cpp.py MODEL.gguf --batch 8      also naru's decode of a batch against its batch of 1

The prefill figure is that of a prompt of --prompt-tokens from an empty cache, decode that of --new-tokens after it.
The peer runs with its own defaults (f16 cache); --flash-attention turns that on for it. Exit code 1 when a ratio is
below --wanted (default 0.8) or the batch gains less than --wanted-batch (default 2.5).
"""

import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
DEFAULT_BINARY = HERE.parent / "build" / "release" / "naru"


def json_of(command, environment=None):
    done = subprocess.run([str(c) for c in command], capture_output=True, check=False, env=environment)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(map(str, command))}: exit code {done.returncode}\n{done.stderr.decode()}")
    return json.loads(done.stdout)


def peer(args):
    command = [sys.executable, HERE / "peer_llama_cpp.py", args.model, "--threads", args.threads]
    command += ["--prompt-tokens", args.prompt_tokens, "--new-tokens", args.new_tokens]
    return json_of(command + (["--flash-attention"] if args.flash_attention else []))


def naru(args, batch=1):
    command = [args.naru, "bench", args.model, "--json", "--threads", args.threads, "--batch", batch]
    command += ["--depths", f"0,{args.prompt_tokens}", "--repeat", 1, "--prompt-tokens", args.prompt_tokens, "--new-tokens", args.new_tokens]
    environment = {**os.environ, **({"NARU_CPU": args.level} if args.level else {})}
    answer = json_of(command, environment)
    # A row's depth is what the cache holds before both of its runs.
    rows = {r["depth"]: r for r in answer["rows"]}
    if 0 not in rows or args.prompt_tokens not in rows:
        raise SystemExit(f"naru bench gave no rows of depth 0 and {args.prompt_tokens}: {answer['rows']}")
    prefill = {"prefill_tokens_per_s": rows[0]["prefill_tokens_per_s"]}
    return {**rows[args.prompt_tokens], **prefill, "machine": answer.get("machine")}


def spread(values):
    return {"median": statistics.median(values), "least": min(values), "most": max(values), "runs": values}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--naru", type=pathlib.Path, default=DEFAULT_BINARY)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt-tokens", type=int, default=512)
    parser.add_argument("--new-tokens", type=int, default=128)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--batch", type=int, help="also decode this many sequences at once (naru only)")
    parser.add_argument("--flash-attention", action="store_true", help="for the peer")
    parser.add_argument("--level", help="NARU_CPU of naru's runs")
    parser.add_argument("--wanted", type=float, default=0.8)
    parser.add_argument("--wanted-batch", type=float, default=2.5)
    parser.add_argument("--json", type=pathlib.Path)
    args = parser.parse_args()
    ours, theirs, batched = [], [], []
    for number in range(args.runs):
        ours.append(naru(args))
        theirs.append(peer(args))
        if args.batch:
            batched.append(naru(args, args.batch))
        print(f"run {number + 1} of {args.runs}", file=sys.stderr, flush=True)
    result = {
        "model": args.model.name,
        "threads": args.threads,
        "prompt_tokens": args.prompt_tokens,
        "new_tokens": args.new_tokens,
        "machine": ours[0]["machine"],
        "peer": {"name": "llama-cpp-python", "version": theirs[0]["version"], "system": theirs[0]["system"]},
        "rows": {},
    }
    good = True
    print(f"{args.model.name}, {args.threads} threads, {args.runs} alternating runs, tokens/s: median (least to most)")
    print(f"{'':24s} {'naru':>26s} {'llama.cpp ' + theirs[0]['version']:>26s} {'ratio':>7s}")
    for label, key in ((f"prefill {args.prompt_tokens}", "prefill_tokens_per_s"),
                       (f"decode {args.new_tokens} at {args.prompt_tokens}", "decode_tokens_per_s")):
        a, b = spread([r[key] for r in ours]), spread([r[key] for r in theirs])
        ratio = a["median"] / b["median"]
        good &= ratio >= args.wanted
        result["rows"][key] = {"naru": a, "peer": b, "ratio": ratio}
        cells = [f"{v['median']:.1f} ({v['least']:.1f} to {v['most']:.1f})" for v in (a, b)]
        print(f"{label:24s} {cells[0]:>26s} {cells[1]:>26s} {ratio:7.2f}")
    if args.batch:
        one = statistics.median(r["decode_tokens_per_s"] for r in ours)
        many = spread([r["decode_tokens_per_s"] for r in batched])
        gain = many["median"] / one
        good &= gain >= args.wanted_batch
        result["batch"] = {"size": args.batch, "decode_tokens_per_s": many, "over_batch_of_1": gain}
        print(f"naru decode, batch of {args.batch}: {many['median']:.1f} tokens/s together, {gain:.2f} x a batch of 1")
    if args.json:
        args.json.write_text(json.dumps(result, indent=2) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
