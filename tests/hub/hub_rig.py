"""What the tests of pulls share: a folder, a hub with a model (hub_server.py), and ways to run naru on both."""

import os
import pathlib
import random
import subprocess
import time

from hub_server import Hub, Repository

WAIT_SECONDS = 60
WEIGHTS = random.Random(1).randbytes(300_000)
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\nsize 300000\n"
PROXIES = {"http_proxy", "https_proxy", "all_proxy", "no_proxy"}


def model_files(weights=WEIGHTS):
    return {"config.json": b'{"model_type": "llama"}', "model.safetensors": weights, "tokenizer.json": b"{}",
            "chat_template.jinja": b"x", "additional_chat_templates/tool_use.jinja": b"y", "LICENSE": b"do what you like",
            "README.md": b"no part of it", "pytorch_model.bin": b"no part", "onnx/model.onnx": b"no part", "empty": b""}


WANTED = ["LICENSE", "additional_chat_templates/tool_use.jinja", "chat_template.jinja", "config.json",
          "model.safetensors", "naru-pull.json", "tokenizer.json"]


class Rig:
    def __init__(self, binary, preload, data, folder):
        self.binary, self.preload, self.data, self.folder = binary, preload, data, folder
        self.models, self.hub, self.processes = folder / "models", Hub(), []
        self.hub.repositories["owner/name"] = Repository(model_files(), ["model.safetensors"])

    def environment(self, **variables):
        clean = {name: value for name, value in os.environ.items()
                 if not name.startswith(("NARU_", "HF_", "XDG_")) and name.lower() not in PROXIES}
        return {**clean, "NARU_MODELS": str(self.models), "HF_ENDPOINT": self.hub.address, **variables}

    def run(self, *arguments, limit=None, **variables):
        done = subprocess.run([self.binary, *map(str, arguments)], capture_output=True, check=False, text=True,
                              env=self.environment(**variables), cwd=self.folder, timeout=WAIT_SECONDS,
                              preexec_fn=limit, stdin=subprocess.DEVNULL)
        messages = [line for line in done.stderr.splitlines() if line.startswith("naru: ") and "note:" not in line]
        assert len(messages) == (done.returncode != 0), (done.returncode, done.stderr)
        return done

    def start(self, *arguments, **variables):
        process = subprocess.Popen([self.binary, *map(str, arguments)], env=self.environment(**variables),
                                   cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.processes.append(process)
        return process

    def pull(self, name="owner/name", *flags, **variables):
        done = self.run("pull", name, *flags, **variables)
        assert done.returncode == 0, done.stderr
        return done

    def fail(self, wanted, *words, name="owner/name", flags=(), limit=None, **variables):
        """A pull that fails: no model afterwards that was not there before."""
        before = self.whole()
        done = self.run("pull", name, *flags, limit=limit, **variables)
        assert done.returncode == wanted, (done.returncode, done.stderr)
        for word in words:
            assert word in done.stderr, (word, done.stderr)
        assert self.whole() == before, (before, self.whole())
        return done

    def whole(self):
        """Every file of the models that readers see, with its content."""
        return {str(path.relative_to(self.models)): path.read_bytes() for path in sorted(self.models.rglob("*"))
                if path.is_file() and not str(path.relative_to(self.models)).startswith(".partial/")}

    def check_whole(self, folder="owner/name", files=None):
        files = files or model_files()
        found = {str(path.relative_to(self.models / folder)): path.read_bytes()
                 for path in (self.models / folder).rglob("*") if path.is_file()}
        assert sorted(found) == WANTED, sorted(found)
        for name in WANTED:
            assert name == "naru-pull.json" or found[name] == files[name], name
        assert not (self.models / ".partial").exists()

    def partial(self, path="model.safetensors", folder="owner--name"):
        return self.models / ".partial" / folder / path

    def contents(self, word="model.safetensors"):
        """The requests for the content of a file."""
        return [r for r in self.hub.requests if r["path"].endswith("/" + word) and "/stored/" in r["path"]]

    def wait_for_hold(self):
        assert self.hub.reached.wait(WAIT_SECONDS)

    def end(self):
        self.hub.close()
        for process in self.processes:
            if process.poll() is None:
                process.kill()
            process.communicate()


def wait_for_bytes(path, n):
    end = time.monotonic() + WAIT_SECONDS
    while not path.exists() or path.stat().st_size < n:
        assert time.monotonic() < end, f"{path} does not come to {n} bytes"
        time.sleep(0.005)
