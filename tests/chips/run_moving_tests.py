"""A run that moves between chips: killed on one again and again, and gone on with on another, it ends in the weights of the run
that never moved. Python's standard library only.

    python3 run_moving_tests.py BINARY SOURCE_ROOT CHIP

Ends with status 77 where the chip is absent.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

SKIPPED = 77
WAIT_SECONDS = 300
STEPS = 40


class Rig:
    def __init__(self, binary, root, chip, folder):
        self.binary, self.root, self.chip, self.folder = binary, root, chip, folder
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("NARU_")}
        self.environment["XDG_CONFIG_HOME"] = str(folder)

    def run(self, *words):
        done = subprocess.run([self.binary, *map(str, words)], cwd=self.folder, env=self.environment, capture_output=True,
                              text=True, timeout=WAIT_SECONDS, check=False)
        assert done.returncode == 0, (words, done.returncode, done.stdout[-500:], done.stderr[-1500:])
        return done

    def prepare(self):
        """A run of DeepSeek-V3 in small that keeps a checkpoint of every step."""
        source = self.root / "tests/recipes/pipeline"
        shutil.copy(source / "model.json", self.folder)
        shutil.copytree(self.root / "recipes/r1-minute/tokenizer", self.folder / "tokenizer")
        shutil.copy(self.root / "recipes/r1-minute/chat_template.jinja", self.folder)
        recipe = (source / "base.toml").read_text()
        for old, new in (("steps = 12", f"steps = {STEPS}"), ("every = 3", "every = 1")):
            assert old in recipe
            recipe = recipe.replace(old, new)
        (self.folder / "run.toml").write_text(recipe)

    def train(self, out, chip):
        return ["train", "run.toml", "--out", out, "--chip", chip, "--threads", "2"]

    def steps(self, out):
        """Checkpoints by their step."""
        return [path.name for path in (self.folder / out).glob("checkpoints/*") if ".partial" not in path.name]

    def train_a_while(self, out, chip):
        """Until two more checkpoints are there than were, then kill -9."""
        before = set(self.steps(out))
        process = subprocess.Popen([self.binary, *self.train(out, chip)], cwd=self.folder, env=self.environment,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        end = time.monotonic() + WAIT_SECONDS
        while len(set(self.steps(out)) - before) < 2:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end, "no checkpoint"
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL, "it was done before it was killed"

    def weights(self, out):
        return json.loads((self.folder / out / "run.json").read_text())["weights_sha256"]


def test_a_run_that_moves_ends_in_the_same_weights(rig):
    rig.prepare()
    rig.run(*rig.train("stayed", "cpu"))
    for chip in ("cpu", rig.chip, "cpu"):
        rig.train_a_while("moved", chip)
    rig.run(*rig.train("moved", rig.chip))
    assert rig.weights("moved") == rig.weights("stayed"), (rig.weights("moved"), rig.weights("stayed"))


def main():
    binary, root, chip = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve(), sys.argv[3]
    chips = json.loads(subprocess.run([binary, "show", "--machine", "--json"], capture_output=True, text=True,
                                      check=True).stdout)["chips"]
    found = next(each for each in chips if each["name"] == chip)
    if not found["present"]:
        print(f"skipped: chip {chip}: {found['why_not']}")
        sys.exit(SKIPPED)
    tests = [value for name, value in globals().items() if name.startswith("test_")]
    for test in tests:
        with tempfile.TemporaryDirectory() as folder:
            test(Rig(binary, root, chip, pathlib.Path(folder)))
            print("ok", test.__name__)


if __name__ == "__main__":
    main()
