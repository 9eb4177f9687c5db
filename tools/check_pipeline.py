#!/usr/bin/env python3
"""Trains a pipeline twice, once undisturbed and once killed (SIGKILL) in stages drawn at random, and compares every
stage's weights or samples and the table of the report.

    python3 tools/check_pipeline.py recipes/r1/pipeline.toml --cut 20 --done runs/r1 --stages base,small-base

--cut N divides steps, documents and problems of the recipes, so that the proof takes minutes; 1 is the pipeline as it
is. --done RUN --stages A,B takes these stages, as they are, from a run of the pipeline: stages that need their full
length for the others to have something to work with. The exit status is 0 where all is the same and every kill hit the
stage that was drawn.
"""
import argparse
import hashlib
import json
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
# Of a recipe: what --cut divides, and the least that is left of it.
CUT = {"steps": 2, "documents": 40, "problems": 20, "every": 1, "warmup_steps": 1}


def cut_recipe(text, divisor):
    def shorter(match):
        return f"{match[1]}{max(CUT[match[2]], int(match[3]) // divisor)}"

    return re.sub(rf"(?m)^(({'|'.join(CUT)}) *= *)(\d+)$", lambda m: shorter([None, m[1], m[2], m[3]]), text)


def prepare(recipe, folder, args):
    """The recipes of the pipeline in `folder`, cut but for the stages that are taken as they are; the pipeline's."""
    shutil.copytree(recipe.parent.parent, folder, dirs_exist_ok=True)
    inside = folder / recipe.parent.name
    whole = {stage["recipe"] for stage in tomllib.loads(recipe.read_text())["stage"] if stage["name"] in args.stages}
    for path in inside.glob("*.toml"):
        if path.name not in whole:
            path.write_text(cut_recipe(path.read_text(), args.cut))
    return inside / recipe.name


def take_stages(run, args):
    for stage in args.stages:
        shutil.copytree(args.done / stage, run / stage)


def command(args, recipe, run):
    return [args.naru, "train", str(recipe), "--out", str(run), "--json"]


def finish(args, recipe, run):
    begin = time.monotonic()
    done = subprocess.run(command(args, recipe, run), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"naru ended with {done.returncode}: {done.stderr[-2000:]}")
    return json.loads(done.stdout), time.monotonic() - begin


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def results(run, stages):
    """Of every stage the digest of what it made, and that of the evaluations, which hold no times."""
    made = {}
    for stage in stages:
        files = sorted([*(run / stage).glob("model/*.safetensors"), *(run / stage).glob("samples.jsonl")])
        made[stage] = " ".join(digest(path)[:16] for path in files if path.stat().st_size > 0)
        if not made[stage]:
            sys.exit(f"stage {stage} made nothing: cut less, or take stages from a whole run")
    made["evaluations"] = digest(run / "evaluations.json")[:16]
    return made


def stage_at_work(run, stages):
    """The stage whose folder was written last."""
    found = [(path.stat().st_mtime, stage) for stage in stages for path in (run / stage).glob("*") if path.is_file()]
    return max(found, default=(0, None))[1]


def kill_in(args, recipe, run, stage, stages, wait):
    """Kills the run `wait` seconds after the stage began to write; whether it was at work still."""
    process = subprocess.Popen(command(args, recipe, run), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while process.poll() is None:
        if stage_at_work(run, stages) == stage:
            try:
                process.wait(timeout=wait)
            except subprocess.TimeoutExpired:
                is_at_work = stage_at_work(run, stages) == stage
                process.kill()
                process.wait()
                return is_at_work
        time.sleep(0.02)
    return False


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recipe", type=pathlib.Path)
    parser.add_argument("--cut", type=int, default=1)
    parser.add_argument("--done", type=pathlib.Path)
    parser.add_argument("--stages", type=lambda text: text.split(","), default=[])
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--seed", type=int, help="of the stages and moments; default: another each time")
    parser.add_argument("--naru", default=str(ROOT / "build" / "release" / "naru"))
    args = parser.parse_args()
    seed = args.seed if args.seed is not None else time.time_ns() % 1_000_000
    moments = random.Random(seed)
    with tempfile.TemporaryDirectory() as scratch:
        recipe = prepare(args.recipe.resolve(), pathlib.Path(scratch) / "recipes", args)
        stages = [stage["name"] for stage in tomllib.loads(recipe.read_text())["stage"]]
        quiet, killed = pathlib.Path(scratch) / "undisturbed", pathlib.Path(scratch) / "killed"
        for run in (quiet, killed):
            take_stages(run, args)
        _, seconds = finish(args, recipe, quiet)
        wanted = results(quiet, stages)
        print(f"undisturbed {seconds:.0f} s", flush=True)
        drawn = [stage for stage in stages if stage not in args.stages]
        at = sorted(moments.sample(drawn, min(args.kills, len(drawn))), key=stages.index)
        kills = 0
        for stage in at:
            wait = moments.uniform(0, seconds / len(stages) / 2)
            hit = kill_in(args, recipe, killed, stage, stages, wait)
            kills += hit
            print(f"{'killed' if hit else 'NOT killed'} in {stage}, {wait:.1f} s after it began", flush=True)
            if not hit:
                break
        finish(args, recipe, killed)
        found = results(killed, stages)
        for name, value in wanted.items():
            print(f"{name:18} {value} {'the same' if found[name] == value else 'DIFFERENT: ' + found[name]}")
        print(f"killed {kills} times (seed {seed}): {'the same' if found == wanted else 'DIFFERENT'}")
        sys.exit(0 if found == wanted and kills == args.kills else 1)


main()
