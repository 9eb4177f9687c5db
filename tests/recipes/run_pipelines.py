#!/usr/bin/env python3
"""Trains a pipeline of every kind of stage, with models of a few thousand parameters: once without a break, killed
after every piece of work that it finishes, and with what it must refuse.

usage: run_pipelines.py NARU REPOSITORY
"""
import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

PIPELINE = "work/pipeline.toml"
KILLS_MAX = 200


def run(naru, folder, *arguments):
    return subprocess.run([naru, *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=600)


def train(naru, folder, *arguments, pipeline=PIPELINE):
    done = run(naru, folder, "train", pipeline, "--threads", "2", *arguments)
    for line in done.stderr.splitlines():
        assert "CHECK" not in line, done.stderr
    return done


def prepare(repository, folder):
    shutil.copytree(repository / "tests/recipes/pipeline", folder / "work")
    shutil.copytree(repository / "recipes/r1-minute/tokenizer", folder / "work/tokenizer")
    shutil.copy(repository / "recipes/r1-minute/chat_template.jinja", folder / "work")


def stages_of(place):
    return json.loads((place / "pipeline.json").read_text())["stages"]


def output_of(place, stage):
    """The hash of what a stage gives to others."""
    if stage["kind"] == "rejection":
        return subprocess.run(["sha256sum", place / stage["name"] / "samples.jsonl"], capture_output=True, text=True,
                              check=True).stdout.split()[0]
    return json.loads((place / stage["name"] / "run.json").read_text())["weights_sha256"]


def outputs_of(place):
    return {stage["name"]: output_of(place, stage) for stage in stages_of(place)}


def table_of(place):
    return json.loads((place / "evaluations.json").read_text())


def check_whole(naru, folder):
    """A run without a break: its record, its table as text and as JSON, its page, and the model that is found."""
    done = train(naru, folder, "--out", "whole", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    place = folder / "whole"
    outputs = outputs_of(place)
    assert result["done"] and [s["stage"] for s in result["stages"]] == list(outputs), done.stdout
    for stage in stages_of(place):
        for taken in stage["inputs"]:
            assert taken["sha256"] == outputs[taken["stage"]], stage
    models = [stage["name"] for stage in stages_of(place) if stage["kind"] != "rejection"]
    assert [model["model"] for model in result["models"]] == models, result["models"]
    assert all(len(model["evaluations"]) == 1 for model in result["models"])
    assert result["weights_sha256"] == outputs[models[-1]], result
    assert result["not_improved"], "sentences"
    page = (place / "report.html").read_text()
    assert all(f'./{name}/report.html' in page for name in models), "links to the stages' own pages"
    assert all(sentence.replace("'", "&#39;") in page for sentence in result["not_improved"]), "the sentences"
    listed = run(naru, folder, "runs", "whole")
    assert listed.returncode == 0 and "What did not improve" in listed.stdout, listed.stdout + listed.stderr
    assert re.search(r"^again +all +\d", listed.stdout, re.M), listed.stdout
    as_json = json.loads(run(naru, folder, "runs", "whole", "--json").stdout)
    assert as_json["models"] == result["models"] and as_json["not_improved"] == result["not_improved"]
    asked = run(naru, folder, "run", "whole", "3 5 2 9 1 4 7 6", "--max-tokens", "2")
    assert asked.returncode == 0, asked.stderr
    # The table is what naru eval says of the model.
    own = json.loads(run(naru, folder, "eval", f"whole/{models[0]}", "--problems", "digits", "--count", "6", "--samples",
                         "2", "--max-tokens", "10", "--json").stdout)
    said = result["models"][0]["evaluations"][0]
    assert said["answers_sha256"] == own["answers_sha256"], (said, own)
    assert said["lines"][0]["greedy"] == own["scores"][0]["strict"], (said, own)
    assert said["lines"][0]["any"] == own["scores"][2]["strict"], (said, own)
    return outputs


def check_table(naru, folder):
    """What is said before the first step: which stages are done, which are not, and what they take."""
    shown = train(naru, folder, "--out", "whole")
    assert shown.returncode == 0, shown.stderr
    assert re.search(r"^stage +kind +takes +state +time$", shown.stderr, re.M), shown.stderr
    assert re.search(r"^rl +grpo +base +done", shown.stderr, re.M), shown.stderr
    assert "What did not improve" in shown.stdout and "whole/report.html" in shown.stdout, shown.stdout
    assert "this pipeline is done" in shown.stdout and shown.stdout.count("weights ") == 1, shown.stdout
    assert "done after" not in shown.stdout, "a stage that was done before is not told of again"
    planned = train(naru, folder, "--out", "none", "--plan")
    assert planned.returncode == 0 and not (folder / "none").exists(), planned.stderr
    assert re.search(r"^again +sft +base.* to do +- +\d+ steps", planned.stdout, re.M), planned.stdout


def marks_of(place):
    """What a killed run leaves whole: each of these is a moment to be killed at."""
    if not place.exists():
        return set()
    marks = {str(path) for path in place.glob("*/checkpoints/step-*/manifest.json")}
    marks |= {str(path) for path in place.glob("*/model/config.json")}
    marks |= {f"{path}:{path.stat().st_size}" for path in place.glob("*/samples.jsonl")}
    if (place / "evaluations.json").exists():
        marks |= {f"asked {one['key']}" for one in table_of(place)["evaluations"]}
    return marks


def check_killed(naru, folder, outputs):
    """Killed as soon as anything new is there, until nothing is left to do."""
    place, n_kills = folder / "killed", 0
    seen = marks_of(place)
    while n_kills < KILLS_MAX:
        with subprocess.Popen([naru, "train", PIPELINE, "--threads", "2", "--out", "killed"], cwd=folder,
                              stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as started:
            while started.poll() is None and marks_of(place) <= seen:
                time.sleep(0.001)
            if started.poll() is None:
                started.kill()
                n_kills += 1
            error = started.stderr.read()
            started.wait()
        assert started.returncode in (0, -9), error
        seen |= marks_of(place)
        if started.returncode == 0:
            break
    assert n_kills > 5, f"killed {n_kills} times only"
    assert outputs_of(place) == outputs, "killed, it ends in other weights"
    whole, killed = table_of(folder / "whole"), table_of(place)
    assert killed["models"] == whole["models"], "killed, it has another table"
    by_key = {one["key"]: one for one in killed["evaluations"]}
    assert all(by_key[one["key"]] == one for one in whole["evaluations"]), "killed, answers are others"
    return n_kills


def check_refused(naru, folder, outputs):
    """What is no going on is refused before any work, with what to do; and nothing is changed."""
    place = folder / "whole"
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*") if path.is_file() and path.name != "report.html"}

    def refused(words, *more, pipeline=PIPELINE):
        done = train(naru, folder, "--out", "whole", *more, pipeline=pipeline)
        for part in words:
            assert done.returncode != 0 and part in done.stderr, (part, done.returncode, done.stderr)

    refused(["stage rl", "was made by another recipe", "--start-over", "another output=FOLDER"], "rl.seed=2")
    record = (place / "pipeline.json").read_text()
    for stage in stages_of(place):
        for index, taken in enumerate(stage["inputs"]):
            said = json.loads(record)
            changed = next(one for one in said["stages"] if one["name"] == stage["name"])
            changed["inputs"][index]["sha256"] = "0" * 64
            (place / "pipeline.json").write_text(json.dumps(said))
            what = "samples" if taken["as"] == "samples" else "weights"
            refused([f"stage {stage['name']}", f"it began from the {what} 0000", outputs[taken["stage"]], "--start-over"])
    (place / "pipeline.json").write_text(record)
    samples, aside = place / "collect/samples.jsonl", folder / "samples-aside"
    shutil.copy2(samples, aside)
    samples.write_bytes(aside.read_bytes()[:-20])
    refused(["stage collect", "samples.jsonl", "--start-over"])
    samples.unlink()
    refused(["stage collect", "samples.jsonl"])
    shutil.copy2(aside, samples)
    table = (place / "evaluations.json").read_text()
    (place / "evaluations.json").write_text(table[:100])
    refused(["evaluations.json", "move it away"])
    (place / "evaluations.json").write_text(table)
    text = (folder / PIPELINE).read_text()
    other = folder / "work/other.toml"
    for change, words in {
        ('takes = "base"', 'takes = "bsae"'): ["line 22", "takes 'bsae'", "no such stage", "did you mean base?"],
        ('name = "base"\n', 'name = "base"\ntakes = "rl"\n'): ["which waits for it", "line "],
        ('recipe = "again.toml"', 'recipe = "nowhere.toml"'): ["stage again", "nowhere.toml"],
        ('generator = "digits"', 'path = "nowhere.jsonl"'): ["nowhere.jsonl"],
    }.items():
        other.write_text(text.replace(*change, 1))
        refused(words, pipeline="work/other.toml")
    other.unlink()
    after = {path: path.stat().st_mtime_ns for path in before}
    changed = [path for path in before if before[path] != after[path] and path.name not in ("pipeline.json", "evaluations.json")]
    assert not changed, changed


def check_cached(naru, folder):
    """A model is asked once: what is known of it is not asked again, and is asked again where it is gone."""
    place = folder / "whole"
    table = (place / "evaluations.json").read_text()
    assert train(naru, folder, "--out", "whole").returncode == 0
    assert (place / "evaluations.json").read_text() == table
    (place / "evaluations.json").unlink()
    assert train(naru, folder, "--out", "whole").returncode == 0
    assert (place / "evaluations.json").read_text() == table, "asked again, the same"
    assert train(naru, folder, "--out", "whole", "evaluate.samples=1").returncode == 0
    assert len(table_of(place)["evaluations"]) == 2 * len(json.loads(table)["evaluations"])


def main():
    naru, repository = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        prepare(repository, folder)
        outputs = check_whole(naru, folder)
        check_table(naru, folder)
        n_kills = check_killed(naru, folder, outputs)
        check_refused(naru, folder, outputs)
        check_cached(naru, folder)
    print(f"{len(outputs)} stages; killed {n_kills} times, the same outputs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
