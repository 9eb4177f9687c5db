#!/usr/bin/env python3
"""Runs fuzz targets one after another and prints a line for each: runs, coverage, finds.

    cmake --preset fuzz && cmake --build --preset fuzz
    python3 tools/run_fuzzers.py --seconds 600 [NAME...]
The corpus grows under build/fuzz/corpus and is used again; a find is kept under build/fuzz/finds and makes the exit
status 1.
"""
import argparse
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Bytes of the longest input: where one run costs much, short ones find more in the same time.
LENGTH_MAX = {"bpe_trainer": 2048, "tokenizer": 8192}


def run(binary, corpus, finds, seconds, memory_mb):
    corpus.mkdir(parents=True, exist_ok=True)
    finds.mkdir(parents=True, exist_ok=True)
    name = binary.name.removeprefix("fuzz_")
    dictionary = ROOT / "fuzz" / f"{name}.dict"
    command = [str(binary), str(corpus), f"-max_total_time={seconds}", f"-rss_limit_mb={memory_mb}", "-timeout=10", "-print_final_stats=1",
               f"-artifact_prefix={finds}/", f"-max_len={LENGTH_MAX.get(name, 65536)}"]
    if dictionary.exists():
        command.append(f"-dict={dictionary}")
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
    runs = re.search(r"number_of_executed_units: (\d+)", done.stdout)
    coverage = re.findall(r"cov: (\d+)", done.stdout)
    found = sorted(path.name for path in finds.iterdir())
    print(f"{binary.name}: {seconds} s, {runs.group(1) if runs else '?'} runs, {coverage[-1] if coverage else '?'} edges, "
          f"exit status {done.returncode}, finds: {', '.join(found) or 'none'}", flush=True)
    if done.returncode != 0:
        print(done.stdout[-4000:])
    return done.returncode == 0 and not found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="targets without fuzz_; all when none is given")
    parser.add_argument("--seconds", type=int, default=120)
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "fuzz")
    parser.add_argument("--memory-mb", type=int, default=1024)
    args = parser.parse_args()
    subprocess.run([sys.executable, str(ROOT / "tools" / "make_fuzz_corpus.py"), str(args.build / "corpus")], check=True)
    names = args.names or sorted(path.stem for path in (ROOT / "fuzz").glob("*.cpp"))
    good = [run(args.build / f"fuzz_{name}", args.build / "corpus" / name, args.build / "finds" / name, args.seconds, args.memory_mb)
            for name in names]
    sys.exit(0 if all(good) else 1)


main()
