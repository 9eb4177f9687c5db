#!/usr/bin/env python3
"""Trains every recipe of recipes/ for a few steps as it is shipped, with its data cut short.

usage: run_recipes.py NARU REPOSITORY

A recipe that starts from the demo's model is trained where that model was pulled (`naru pull smollm2-135m-instruct`), for
one step, or only planned where it trains all of the weights; elsewhere it is looked at for the message that says how to get
the model.
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib

SHORT = ["steps=3", "epochs=0", "schedule.warmup_steps=1"]
SMALL_ROLLOUTS = ["grpo.prompts=2", "grpo.answers=4", "grpo.max_tokens=16", "grpo.soft_tokens=0", "validate.problems=4",
                  "validate.samples=1", "sample.max_tokens=8"]
SMALL_LESSONS = ["distill.prompts=2", "distill.answers=2", "distill.max_tokens=8", "validate.problems=4",
                 "validate.samples=1", "sample.max_tokens=8"]
QUICKEST_PIPELINE = "r1-minute.toml"  # what holds for every pipeline is tried on it
TOKENIZERS = {"tokenizer-digits": [], "tokenizer-word-problems": ["--pre-tokenizer", "qwen2"]}


def run(naru, folder, *arguments):
    return subprocess.run([naru, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=600)


def refuse_others(recipe, overrides, naru, folder):
    """What is no going on is refused before any work: another recipe, and other weights to go on from."""
    def refused(words, *more):
        done = run(naru, folder, "train", f"recipes/{recipe.name}", *overrides, *more)
        assert done.returncode != 0 and words in done.stderr, (words, done.stderr)

    refused("was made by another recipe", "seed=2")
    path = folder / "runs" / recipe.stem / "pipeline.json"
    record = path.read_text()
    said = json.loads(record)
    said["stages"][-1]["inputs"][0]["sha256"] = "0" * 64
    path.write_text(json.dumps(said))
    refused("it began from the weights 0000")
    said["stages"].reverse()
    path.write_text(json.dumps(said))
    refused("its stages are")
    path.write_text(record[:100])
    refused("the record of a pipeline was wanted")
    path.write_text(record)


def check_start_over(recipe, keys, overrides, naru, folder):
    """Begun anew with another first stage and killed in it: what is gone on with then is all new."""
    place, first = folder / "runs" / recipe.stem, keys["stage"][0]["name"]
    anew = [*overrides, f"{first}.steps=40", f"{first}.checkpoint.every=1"]
    command = [naru, "train", f"recipes/{recipe.name}", *anew]
    with subprocess.Popen([*command, "--start-over"], cwd=folder, stdout=subprocess.DEVNULL,
                          stderr=subprocess.DEVNULL) as started:
        # The recipe is what is moved last: before that the old run is still there, and going on is refused.
        end = time.monotonic() + 300
        old = place / first / "set-aside-1" / "recipe.toml"
        while not old.exists() and started.poll() is None and time.monotonic() < end:
            time.sleep(0.002)
        started.kill()
    done = run(naru, folder, *command[1:], "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["done"], done.stderr
    weights = {stage["name"]: json.loads((place / stage["name"] / "run.json").read_text())["weights_sha256"]
               for stage in keys["stage"]}
    for stage in json.loads((place / "pipeline.json").read_text())["stages"]:
        assert (place / stage["name"] / "set-aside-1" / "run.json").exists(), f"{stage['name']} is the old run"
        assert all(taken["sha256"] == weights[taken["stage"]] for taken in stage["inputs"]), stage


def check_pipeline(recipe, keys, naru, folder):
    """A few steps of every stage, and the whole a second time: done already, and the same weights."""
    overrides = [*SHORT, "checkpoint.every=2", "validate.every=0", "sample.max_tokens=4"]
    for stage in keys["stage"]:
        own = tomllib.loads((folder / "recipes" / stage["recipe"]).read_text())
        for kind in ("data", "validation"):
            overrides += [f"{stage['name']}.{kind}.{i}.documents=100" for i, s in enumerate(own.get(kind, []))
                          if "generator" in s]
        if any("generator" in source for source in own.get("validation", [])):
            overrides += [f"{stage['name']}.validate.problems=4"]
        if own.get("kind") == "grpo":
            overrides += [f"{stage['name']}.grpo.prompts=4", f"{stage['name']}.grpo.answers=4"]
    planned = run(naru, folder, "train", f"recipes/{recipe.name}", *overrides, "--plan")
    assert planned.returncode == 0 and not (folder / "runs" / recipe.stem).exists(), planned.stderr
    hashes = []
    for _ in range(2):
        done = run(naru, folder, "train", f"recipes/{recipe.name}", *overrides, "--json")
        assert done.returncode == 0, done.stderr
        result = json.loads(done.stdout)
        assert result["done"] and len(result["stages"]) == len(keys["stage"]), done.stdout
        hashes.append(result["weights_sha256"])
    assert hashes[0] == hashes[1], hashes
    if recipe.name == QUICKEST_PIPELINE:
        refuse_others(recipe, overrides, naru, folder)
    asked = run(naru, folder, "run", f"runs/{recipe.stem}", "3 5 2 9 1 4 7 6", "--max-tokens", "2")
    assert asked.returncode == 0, asked.stderr
    if recipe.name == QUICKEST_PIPELINE:
        check_start_over(recipe, keys, overrides, naru, folder)
    return f"3 steps of {len(keys['stage'])} stages"


def short_stage(name, own):
    """Overrides that make a stage of any kind a matter of a second."""
    keys = [f"data.{i}.documents=60" for i, s in enumerate(own["data"]) if "generator" in s]
    keys += [f"validation.{i}.documents=20" for i, s in enumerate(own.get("validation", [])) if "generator" in s]
    if own["kind"] == "rejection":
        # A model that has learnt nothing is hardly ever right, and seldom comes to an end.
        keys += ["rejection.answers=4", "rejection.max_tokens=64", "rejection.right=false", "rejection.language_low=0",
                 "rejection.repetition_high=1", "rejection.keep=0", "rejection.problems=40"]
        keys = [key for key in keys if not key.startswith("data.")]
    else:
        keys += ["steps=2", "epochs=0", "schedule.warmup_steps=0", "checkpoint.every=1", "validate.every=0"]
    if own["kind"] in ("grpo", "distill"):
        keys += [f"{own['kind']}.prompts=2", f"{own['kind']}.answers=2", f"{own['kind']}.max_tokens=24",
                 "validate.problems=2", "validate.samples=1"]
        keys += ["grpo.rounds=1"] if own["kind"] == "grpo" else []
    elif own["kind"] != "rejection":
        keys += ["validate.rows=2", "batch.rows=2", "batch.micro_rows=2"]
    return [f"{name}.{key}" for key in keys]


def check_all_kinds(recipe, keys, naru, folder):
    """A pipeline in a folder of its own, with stages of every kind: cut short it is planned, and it ends."""
    path = str(recipe.relative_to(folder))
    overrides = ["evaluate.problems=3", "evaluate.samples=1", "evaluate.max_tokens=12"]
    for stage in keys["stage"]:
        overrides += short_stage(stage["name"], tomllib.loads((recipe.parent / stage["recipe"]).read_text()))
    planned = run(naru, folder, "train", path, *overrides, "--plan")
    assert planned.returncode == 0 and not (folder / "runs" / keys["name"]).exists(), planned.stderr
    results = []
    for _ in range(2):
        done = run(naru, folder, "train", path, *overrides, "--json")
        assert done.returncode == 0, done.stderr
        results.append(json.loads(done.stdout))
    assert results[0]["done"] and len(results[0]["stages"]) == len(keys["stage"])
    assert results[0]["weights_sha256"] == results[1]["weights_sha256"]
    assert results[0]["models"] == results[1]["models"]
    return f"2 steps of {len(keys['stage'])} stages"


def check(recipe, naru, folder):
    keys = tomllib.loads(recipe.read_text())
    if recipe.name == "pipeline.toml":
        return check_all_kinds(recipe, keys, naru, folder)
    if keys.get("kind") == "pipeline":
        return check_pipeline(recipe, keys, naru, folder)
    path, model = f"recipes/{recipe.name}", keys["model"]
    small = {"grpo": SMALL_ROLLOUTS, "distill": SMALL_LESSONS}
    overrides = [*SHORT, *small.get(keys.get("kind"), ["validate.rows=2"])]
    for teacher in keys.get("teacher", []):
        place = folder / "recipes" / teacher["path"]
        assert place.is_dir(), f"{teacher['path']}: no recipe before this one made it"
    for kind in ("data", "validation"):
        overrides += [f"{kind}.{i}.documents=300" for i, s in enumerate(keys.get(kind, [])) if "generator" in s]
    if model.get("tokenizer") in TOKENIZERS:
        options = TOKENIZERS[model["tokenizer"]]
        made = run(naru, folder, "data", path, "--train-tokenizer", f"recipes/{model['tokenizer']}", *options,
                   "data.0.documents=3000")
        assert made.returncode == 0, made.stderr
    elif "path" not in model:
        assert (folder / "recipes" / model["tokenizer"]).is_dir(), model["tokenizer"]
    elif model["path"].startswith("../runs/"):
        assert (folder / "recipes" / model["path"]).is_dir(), f"{model['path']}: no recipe before this one made it"
    elif run(naru, folder, "show", model["path"]).returncode != 0:
        refused = run(naru, folder, "train", path)
        assert refused.returncode == 3 and f"naru pull {model['path']}" in refused.stderr, refused.stderr
        return "read; its model is not here"
    elif "lora" not in keys:
        planned = run(naru, folder, "train", path, "--plan", "--json")
        assert planned.returncode == 0 and '"bytes"' in planned.stdout, planned.stderr + planned.stdout
        return "planned"
    else:
        overrides += ["steps=1", "batch.groups=1", "batch.micro_rows=1"]
    done = run(naru, folder, "train", path, *overrides)
    assert done.returncode == 0, done.stderr
    n_steps = 1 if "steps=1" in overrides else 3
    assert f"done after {n_steps} step" in done.stdout + done.stderr, done.stderr
    return f"{n_steps} step{'s' if n_steps > 1 else ''}"


def n_before(recipe, folder):
    """How many runs of other recipes a recipe goes on from, or learns from."""
    keys = tomllib.loads(recipe.read_text())
    paths = [keys.get("model", {}).get("path", ""), *(teacher["path"] for teacher in keys.get("teacher", []))]
    before = [pathlib.Path(path).parts[2] for path in paths if path.startswith("../runs/")]
    return max((1 + n_before(folder / "recipes" / f"{name}.toml", folder) for name in before), default=0)


def main():
    naru, repository = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for part in ("recipes", "examples"):
            shutil.copytree(repository / part, folder / part, ignore=shutil.ignore_patterns("tokenizer-*"))
        recipes = sorted((folder / "recipes").glob("*.toml"), key=lambda recipe: n_before(recipe, folder))
        assert recipes, repository
        recipes += sorted((folder / "recipes").glob("*/pipeline.toml"))
        for recipe in recipes:
            try:
                print(f"{recipe.name}: {check(recipe, naru, folder)}")
            except (AssertionError, KeyError, subprocess.TimeoutExpired) as problem:
                failed += 1
                print(f"FAILED {recipe.name}: {problem!r}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
