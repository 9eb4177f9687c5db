#!/usr/bin/env python3
"""What recipes/r1-tiny.toml reaches, stage by stage, on problems that training never asks.

    python3 tools/check_r1_tiny.py                       trains it first, under an hour on two quiet cores
    python3 tools/check_r1_tiny.py --run runs/r1-tiny    measures a run that is there

Of every stage: countdown of three numbers and of four, drawn (pass@1, pass@8) and greedily, in three languages; word
problems in each language; the share of answers all of whose words are of the question's language; their length. Then
whether the last stage, against the one before, at least doubles pass@1 of three numbers, raises pass@8, solves 90 % of
the word problems of each language, and keeps to the language in 99 % of all answers. Seconds decide nothing. The exit
status is 0 where all of it holds.
"""
import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
RECIPE = "recipes/r1-tiny.toml"
STAGES = ["base", "sft", "rl"]
LANGUAGES = ["en", "ko", "zh"]
SCRIPTS = {"en": r"[A-Za-z]{2,}", "ko": r"[\uac00-\ud7a3]", "zh": r"[\u4e00-\u9fff]"}


def fail(done, what):
    if done.returncode != 0:
        sys.exit(f"{what} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done


def ask(naru, model, count, samples, *options):
    """The table of an evaluation as a dictionary (language, k or "greedy"), and all answers."""
    with tempfile.TemporaryDirectory() as name:
        path = pathlib.Path(name) / "answers.jsonl"
        command = [naru, "eval", str(model), "--count", str(count), "--samples", str(samples), "--max-tokens", "256",
                   "--at-once", "256", "--json", "--answers", str(path), *options]
        done = fail(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False), "naru eval")
        answers = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    table = {}
    for row in json.loads(done.stdout)["scores"]:
        table[row["language"], row["pass_at"] if row["answers"] == "drawn" else "greedy"] = row["strict"]["mean"]
    return table, answers


def is_consistent(answer):
    """Whether no word of an answer is of another language than its question's."""
    others = [script for language, script in SCRIPTS.items() if language != answer["language"]]
    said = re.sub(r"</?think>", "", answer["answer"])
    return not any(re.search(script, said) for script in others)


def share(found):
    found = list(found)
    return sum(found) / len(found)


def measure(naru, model, count):
    """The row of a stage."""
    row, answers = {}, []
    for numbers in (3, 4):
        table, given = ask(naru, model, count, 8, "--problems", "countdown", "--numbers", str(numbers), "--language",
                           "all", "--pass-at", "1,8")
        row |= {f"countdown {numbers} {name}": table["all", key]
                for name, key in (("pass@1", 1), ("pass@8", 8), ("greedy", "greedy"))}
        if numbers == 3:
            row |= {f"countdown 3 {language}": table[language, 1] for language in LANGUAGES}
        drawn = [answer for answer in given if answer["draw"] != "greedy"]
        row[f"countdown {numbers} tokens"] = share(answer["tokens"] for answer in drawn)
        row[f"countdown {numbers} thought"] = share(answer["answer"].startswith("<think>") for answer in drawn)
        answers += given
    for language in LANGUAGES:
        table, given = ask(naru, model, count, 1, "--problems", "word_problems", "--language", language)
        row[f"word problems {language}"] = table["all", 1]
        row[f"word problems {language} greedy"] = table["all", "greedy"]
        answers += given
    row["in the language"] = share(map(is_consistent, answers))
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--run", type=pathlib.Path, help="a folder that the recipe made; default: it is trained")
    parser.add_argument("--stages", default=",".join(STAGES))
    parser.add_argument("--count", type=int, default=600, help="problems of each kind")
    parser.add_argument("--naru", default=str(ROOT / "build" / "release" / "naru"))
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        run = args.run
        if run is None:
            run = pathlib.Path(name) / "r1-tiny"
            fail(subprocess.run([args.naru, "train", RECIPE, "--out", str(run)], cwd=ROOT, capture_output=True,
                                text=True, check=False), "naru train")
        stages = args.stages.split(",")
        rows = [measure(args.naru, (run / stage / "model").resolve(), args.count) for stage in stages]
    print(f"{'':24}" + "".join(f"{stage:>10}" for stage in stages))
    for key in rows[0]:
        shown = "{:10.1f}" if key.endswith("tokens") else "{:10.1%}"
        print(f"{key:24}" + "".join(shown.format(row[key]) for row in rows))
    if len(rows) < 2:
        return 0
    before, after = rows[-2:]
    targets = {
        "countdown of 3: pass@1 doubled": after["countdown 3 pass@1"] >= 2 * before["countdown 3 pass@1"],
        "countdown of 3: pass@8 risen": after["countdown 3 pass@8"] > before["countdown 3 pass@8"],
        "word problems: 90 % in each language": all(after[f"word problems {x}"] >= 0.9 for x in LANGUAGES),
        "answers in the question's language: 99 %": after["in the language"] >= 0.99,
    }
    for target, holds in targets.items():
        print(f"{target:42}{'holds' if holds else 'MISSED'}")
    return 0 if all(targets.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
