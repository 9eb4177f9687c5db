#!/usr/bin/env python3
"""Makes the built-in model (src/builtin) again, and says whether the same file comes out.

    python3 tools/make_builtin_model.py                       trains recipes/r1-tiny.toml, 35 minutes on two quiet cores
    python3 tools/make_builtin_model.py --run runs/r1-tiny    of a run that is there and done
    python3 tools/make_builtin_model.py --run runs/r1-tiny --compare    what each kind of weights solves; writes nothing
    python3 tools/make_builtin_model.py --run runs/r1-tiny --write      makes this the built-in model

A run that was stopped is gone on with. The model of its last stage becomes a .gguf file, by naru convert, and the exit
status is 0 where its SHA-256 is the one in src/builtin/r1-tiny.json. --write puts the file there, and beside it the
record that the build and the tests read: SHA-256, size, what it solves (held-out problems, the likeliest answers and
drawn ones), and one answer with the bits of its log-probabilities. Then build, and ctest -R builtin.
"""
import argparse
import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
NAME = "r1-tiny"
RECIPE = f"recipes/{NAME}.toml"
FILE = ROOT / "src" / "builtin" / f"{NAME}.gguf"
RECORD = FILE.with_suffix(".json")
KINDS = ["f32", "bf16", "q8_0"]
PROBLEMS = {"countdown of three numbers": ["countdown", "--language", "all", "--numbers", "3"],
            "countdown of four": ["countdown", "--language", "all", "--numbers", "4"],
            "word problems": ["word_problems", "--language", "all"]}
# The first of those that a chat with it offers (src/builtin/builtin.cpp).
QUESTION = "Make 36 from the numbers 4 7 12 with + - * / and parentheses. Use each number once."
ANSWER_TOKENS_MAX = 192  # as in its training
DRAWN = 4


def run(naru, *words, is_shown=False):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("NARU_")}
    environment["NARU_CONFIG"] = "/dev/null"  # nobody's defaults
    done = subprocess.run([naru, *map(str, words)], cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, text=True,
                          capture_output=not is_shown, check=False)
    if done.returncode != 0:
        sys.exit(f"naru {words[0]} ended with {done.returncode}{'' if is_shown else ': ' + done.stderr[-2000:]}")
    return done.stdout


def trained(run_folder):
    """The model of the last stage, and the SHA-256 of its weights."""
    stage = run_folder / "rl"
    try:
        record = json.loads((stage / "run.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        sys.exit(f"reading {stage}/run.json: {problem}; give the folder of a run of {RECIPE}")
    if record.get("status") != "done":
        sys.exit(f"reading {stage}/run.json: the run is {record.get('status')}, one that is done was wanted; "
                 f"go on with it: naru train {RECIPE}")
    return stage / "model", record["weights_sha256"]


def convert(naru, model, kind, temperature, out):
    """As GGUF, under the name of the recipe and with the advice of how its tokens are chosen."""
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name) / NAME
        shutil.copytree(model, folder)
        path = folder / "generation_config.json"
        advice = json.loads(path.read_text(encoding="utf-8")) | {"temperature": temperature}
        path.write_text(json.dumps(advice, indent=2) + "\n", encoding="utf-8")
        run(naru, "convert", folder, out, "--dtype", kind)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def solves(naru, file, count):
    rows = []
    for problems, words in PROBLEMS.items():
        told = json.loads(run(naru, "eval", file, "--problems", *words, "--count", count, "--samples", DRAWN, "--max-tokens",
                              ANSWER_TOKENS_MAX, "--at-once", "256", "--json"))
        row = {"problems": problems, "count": count}
        for score in told["scores"]:
            if score["language"] == "all":
                key = "greedy" if score["answers"] != "drawn" else f"pass@{score['pass_at']}"
                row[key] = round(score["strict"]["mean"], 4)
        rows.append(row)
    return rows


def answer(naru, file):
    told = json.loads(run(naru, "run", file, QUESTION, "--temperature", "0", "-n", ANSWER_TOKENS_MAX, "--json"))
    return {"question": QUESTION, "max_tokens": ANSWER_TOKENS_MAX, "reasoning": told.get("reasoning", ""),
            "text": told["text"], "ids": told["ids"], "logprobs": told["logprobs"], "numerics_id": told["numerics_id"]}


def make_record(naru, file, args, weights):
    shown = json.loads(run(naru, "show", file, "--json"))
    return {"model": NAME, "recipe": RECIPE, "dtype": args.dtype, "temperature": args.temperature,
            "bytes": file.stat().st_size, "sha256": sha256(file), "parameters": shown["parameters"]["total"],
            "weights_sha256": weights, "solves": solves(naru, file, args.count), "golden": answer(naru, file)}


def write(naru, made, args, weights):
    record = make_record(naru, made, args, weights)
    lines = [f"  {json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}" for key, value in record.items()]
    shutil.copyfile(made, FILE)
    RECORD.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    print(f"{FILE.relative_to(ROOT)}: {record['bytes']:,} bytes, {args.dtype}, SHA-256 {record['sha256']}")
    for row in record["solves"]:
        print("  " + ", ".join(f"{key} {value}" for key, value in row.items()))
    print(f"  {QUESTION}\n  {record['golden']['text']!r}")
    print("Build it in, and test it: ./scripts/build release naru && ctest --test-dir build/release -R builtin")
    return 0


def compare(naru, model, args):
    with tempfile.TemporaryDirectory() as name:
        for kind in KINDS:
            made = pathlib.Path(name) / f"{kind}.gguf"
            convert(naru, model, kind, args.temperature, made)
            print(f"{kind}: {made.stat().st_size:,} bytes")
            for row in solves(naru, made, args.count):
                print("  " + ", ".join(f"{key} {value}" for key, value in row.items()))
            print(f"  {answer(naru, made)['text']!r}", flush=True)
    return 0


def check(made, weights, record):
    found = sha256(made)
    if found == record["sha256"]:
        print(f"the same file comes out, bit for bit: SHA-256 {found}")
        return 0
    is_trained_so = weights == record["weights_sha256"]
    print(f"ANOTHER file comes out: SHA-256 {found}, {record['sha256']} is committed\n"
          f"the weights are {'the same: it was converted otherwise' if is_trained_so else 'others: it was trained otherwise'}"
          f" ({weights}, recorded {record['weights_sha256']})")
    return 1


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=pathlib.Path, help=f"a run of {RECIPE} that is done; default: runs/{NAME}, which is "
                                                         "trained, or gone on with, first")
    parser.add_argument("--write", action="store_true", help="make this the built-in model")
    parser.add_argument("--compare", action="store_true", help="only print what it solves with each kind of weights")
    parser.add_argument("--dtype", choices=KINDS, help="of its weights; default: that of the record, else q8_0")
    parser.add_argument("--temperature", type=float, help="that the file advises; default: that of the record, else 0")
    parser.add_argument("--count", type=int, default=600, help="problems of each kind that are measured")
    parser.add_argument("--naru", default=str(ROOT / "build" / "release" / "naru"))
    args = parser.parse_args()
    record = json.loads(RECORD.read_text(encoding="utf-8")) if RECORD.exists() else {}
    if not record and not args.write and not args.compare:
        parser.error(f"{RECORD.relative_to(ROOT)} is not there to compare with; give --write to make it")
    if record and not args.write and not args.compare and (args.dtype or args.temperature is not None):
        parser.error("--dtype and --temperature change the file, which is compared with the committed one; give --write too")
    args.dtype = args.dtype or record.get("dtype", "q8_0")
    args.temperature = record.get("temperature", 0.0) if args.temperature is None else args.temperature
    if args.run is None:
        run(args.naru, "train", RECIPE, "--out", ROOT / "runs" / NAME, is_shown=True)
    model, weights = trained(args.run or ROOT / "runs" / NAME)
    if args.compare:
        return compare(args.naru, model.resolve(), args)
    with tempfile.TemporaryDirectory() as name:
        made = pathlib.Path(name) / FILE.name
        convert(args.naru, model.resolve(), args.dtype, args.temperature, made)
        return write(args.naru, made, args, weights) if args.write else check(made, weights, record)


if __name__ == "__main__":
    sys.exit(main())
