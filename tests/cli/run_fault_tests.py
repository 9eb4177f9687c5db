"""What a command does when things happen to it from outside: files that shrink under it, kills and interrupts at a known
moment, too few threads. Python's standard library only.

    python3 run_fault_tests.py BINARY PRELOAD [--fixtures tests/fixtures]

PRELOAD is the library of tests/tools/faults_preload.cpp.
"""

import argparse
import json
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from terminal_rig import Terminal

HERE = pathlib.Path(__file__).resolve().parent
WAIT_SECONDS = 60
NOBODY = 65534
STATUS_UNAVAILABLE = 8


class Rig:
    def __init__(self, binary, preload, data, folder):
        self.binary, self.preload, self.data, self.folder = binary, preload, data, folder
        self.held, self.processes = folder / "held", []
        (folder / "ids.json").write_text("[1, 2, 3, 4]")

    def model(self, name="llama-gqa/hf"):
        """A copy that may be damaged."""
        source = self.data / "models" / name
        target = self.folder / "models" / name
        if target.exists():
            shutil.rmtree(target) if target.is_dir() else target.unlink()
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
        return target

    def model_with_templates(self):
        """A model with a tokenizer, one chat template in its file and one in its folder."""
        model = self.model()
        (model / "tokenizer.json").write_text(json.dumps({
            "added_tokens": [], "normalizer": None, "post_processor": None,
            "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
            "decoder": {"type": "ByteLevel"},
            "model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []}}))
        (model / "chat_template.jinja").write_text("plain")
        (model / "additional_chat_templates").mkdir()
        (model / "additional_chat_templates/tool_use.jinja").write_text("tools")
        return model

    def tiny_model(self):
        """What recipes begin: config.json, and a tokenizer in t."""
        (self.folder / "t").mkdir(exist_ok=True)
        shutil.copy(self.data / "text/trained/smollm.json", self.folder / "t/tokenizer.json")
        (self.folder / "config.json").write_text(json.dumps({
            "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 405, "hidden_size": 16,
            "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 24,
            "hidden_act": "silu", "rms_norm_eps": 1e-5, "max_position_embeddings": 256, "rope_theta": 10000.0,
            "tie_word_embeddings": True}))

    def start(self, arguments):
        process = subprocess.Popen([self.binary, *map(str, arguments)], env=self.environment(), cwd=self.folder,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.processes.append(process)
        return process

    def environment(self, **variables):
        clean = {name: value for name, value in os.environ.items() if not name.startswith("NARU_")}
        return {**clean, "LD_PRELOAD": str(self.preload), **variables}

    def run(self, arguments, stdin=b"", **variables):
        return subprocess.run([self.binary, *map(str, arguments)], input=stdin, capture_output=True, check=False,
                              env=self.environment(**variables), cwd=self.folder, timeout=WAIT_SECONDS)

    def hold(self, arguments):
        """A command that has written its output and waits before it gives it its name."""
        self.held.write_text("")
        n_before = len(self.partials())
        process = subprocess.Popen([self.binary, *map(str, arguments)],
                                   env=self.environment(NARU_TEST_HOLD=str(self.held)), cwd=self.folder,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.processes.append(process)
        end = time.monotonic() + WAIT_SECONDS
        while sum(path.stat().st_size > 0 for path in self.partials()) <= n_before:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end, "nothing is written"
            time.sleep(0.01)
        time.sleep(0.1)
        return process

    def release(self, process):
        """The end of a command that was held."""
        self.held.unlink()
        out, err = process.communicate(timeout=WAIT_SECONDS)
        return subprocess.CompletedProcess(process.args, process.returncode, out, err)

    def end(self):
        for process in self.processes:
            if process.poll() is None:
                process.kill()
                process.communicate()

    def partials(self):
        return [path for path in self.folder.rglob("*.partial-*") if path.is_file()]


def check_message(done, status, *words):
    messages = [line for line in done.stderr.decode().splitlines() if line.startswith("naru: ")]
    assert done.returncode == status, (done.returncode, done.stdout, done.stderr)
    assert len(messages) == 1, done.stderr
    for word in words:
        assert word in messages[0], (word, messages[0])


def test_every_command_that_maps_a_file_that_shrinks(rig):
    """One message that names the file, status 8, nothing left behind: no end by SIGBUS."""
    ids, out = ["--ids", rig.folder / "ids.json"], ["--out", rig.folder / "out"]
    (rig.folder / "text.txt").write_text("some text " * 100)
    (rig.folder / "r.toml").write_text(
        'steps = 1\nkind = "sft"\n[model]\npath = "models/llama-gqa/hf"\ntokenizer = "t"\n[[data]]\npath = "c.jsonl"\n'
        '[batch]\ncontext = 32\n')
    (rig.folder / "t").mkdir()
    shutil.copy(rig.data / "text/tokenizers/smollm.json", rig.folder / "t/tokenizer.json")
    (rig.folder / "c.jsonl").write_text('{"messages": [{"role": "user", "content": "a"}]}\n')
    gguf = "gguf-qwen2-f16/model.gguf"
    for arguments, model, file in [
        (["run", "MODEL", "hello", "--raw"], gguf, "model.gguf"),
        (["run", "MODEL", "hello", "--raw"], None, "model.safetensors"),
        (["show", "MODEL", "--json"], None, "model.safetensors"),
        (["show", "MODEL"], gguf, "model.gguf"),
        (["logits", "MODEL", *ids, *out], None, "model.safetensors"),
        (["logits", "MODEL", *ids, *out], None, "ids.json"),
        (["grads", "MODEL", *ids, *out], None, "model.safetensors"),
        (["grads", "MODEL", *ids, *out], None, "ids.json"),
        (["bench", "MODEL"], None, "model.safetensors"),
        (["convert", "MODEL", "--out", "out.gguf"], None, "model.safetensors"),
        (["convert", "MODEL", "--out", "out", "--to", "hf"], gguf, "model.gguf"),
        (["tokenize", "MODEL"], gguf, "model.gguf"),
        (["data", "--train-tokenizer", "out", "--vocab", "300", "text.txt"], None, "text.txt"),
        (["train", "r.toml"], None, "model.safetensors"),
    ]:
        path = rig.model(model) if model else rig.model()
        (rig.folder / "ids.json").write_text("[1, 2, 3, 4]")
        done = rig.run([path if word == "MODEL" else word for word in arguments], NARU_TEST_SHRINK=file)
        try:
            check_message(done, STATUS_UNAVAILABLE, f"{file}: it had ", "and has 0 now")
            assert not rig.partials() and not (rig.folder / "out").exists()
            if "--json" in arguments:
                error = json.loads(done.stdout)["error"]
                assert error["code"] == "unavailable" and error["message"] in done.stderr.decode(), done.stdout
        except AssertionError as problem:
            raise AssertionError(f"{' '.join(map(str, arguments))} with {file} cut: {problem}") from problem


def test_a_name_that_is_no_utf8_gives_good_json(rig):
    model = pathlib.Path(os.fsdecode(os.fsencode(rig.folder) + b'/a"\xff\xe2\x82'))
    shutil.copytree(rig.model(), model)
    done = rig.run(["show", model, "--json"], NARU_TEST_SHRINK="model.safetensors")
    error = json.loads(done.stdout.decode())["error"]
    assert done.returncode == STATUS_UNAVAILABLE and '/a"\ufffd\ufffd' in error["message"], done.stdout


def test_a_run_that_goes_on_while_its_files_shrink(rig):
    """Files of the newest checkpoint, and lines of the run, are cut as they are mapped: one message, and no older one."""
    rig.tiny_model()
    (rig.folder / "going.toml").write_text(
        'steps = 2\n[model]\nconfig = "config.json"\ntokenizer = "t"\n[[data]]\ngenerator = "digits"\n'
        'documents = 20\n[batch]\ncontext = 32\nrows = 4\n[checkpoint]\nevery = 1\n')
    train = ["train", "going.toml", "--out", "going", "--threads", "1"]
    first = rig.run(train)
    assert first.returncode == 0, first.stderr
    shutil.copytree(rig.folder / "going", rig.folder / "whole")
    for file in ["weights.safetensors", "moments.safetensors", "metrics.jsonl"]:
        shutil.rmtree(rig.folder / "going")
        shutil.copytree(rig.folder / "whole", rig.folder / "going")
        check_message(rig.run(train, NARU_TEST_SHRINK=file), STATUS_UNAVAILABLE, file)
        assert not rig.partials(), file


def interrupted(process, wait):
    """Ctrl-C after `wait` seconds; the status, and how long it took to come."""
    time.sleep(wait)
    assert process.poll() is None, process.communicate()
    begin = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=WAIT_SECONDS)
    return process.returncode, time.monotonic() - begin, err.decode()


def test_an_interrupt_before_the_first_step_stops_soon_and_leaves_nothing_half(rig):
    (rig.folder / "early.toml").write_text(
        'steps = 2\n[model]\nconfig = "config.json"\ntokenizer = "t"\n[[data]]\ngenerator = "word_problems"\n'
        '[batch]\ncontext = 64\nrows = 2\n[[validation]]\ngenerator = "digits"\ndocuments = 60000\n[validate]\n'
        'rows = 1000000\n')
    train = ["train", "early.toml", "--threads", "1"]
    rig.tiny_model()
    # While the data is read: there is no run at all.
    process = rig.start([*train, "data.documents=8000000"])
    status, seconds, err = interrupted(process, 0.7)
    assert status == 130 and seconds < 2, (status, seconds, err)
    assert not (rig.folder / "runs/early").exists(), list((rig.folder / "runs/early").iterdir())
    # While step 0 is measured: the run is there and stopped, without a checkpoint, and begins again.
    process = rig.start([*train, "data.documents=20"])
    while b"memory" not in process.stderr.readline():
        pass
    status, seconds, err = interrupted(process, 0.05)
    assert status == 130 and seconds < 2 and "before the first step" in err, (status, seconds, err)
    record = json.loads((rig.folder / "runs/early/run.json").read_text())
    assert record["status"] == "stopped", record
    assert not list((rig.folder / "runs/early").rglob("step-*"))
    again = rig.run([*train, "data.documents=20", "validate.rows=4"])
    assert again.returncode == 0, again.stderr


def test_a_model_that_is_loaded_needs_its_file_no_more(rig):
    model = rig.model()
    process = rig.hold(["logits", model, "--ids", "ids.json", "--out", "o.npy"])
    os.truncate(model / "model.safetensors", 0)
    done = rig.release(process)
    assert done.returncode == 0 and (rig.folder / "o.npy").exists(), done.stderr


def test_a_chat_goes_on_without_its_file(rig):
    """What is read at all is read before the prompt: nothing of the file is missed, and nothing ends the chat."""
    model = rig.model("gguf-llama-f32/model.gguf")
    terminal = Terminal([rig.binary, "run", model, "-n", "3"])
    terminal.wait_for(">>> ")
    os.truncate(model, 0)
    terminal.type("hello\r")
    terminal.wait_for(">>> ")
    terminal.type("/quit\r")
    assert terminal.wait_end() == 0, terminal.seen


def test_a_kill_leaves_what_the_next_command_removes(rig):
    model = rig.model()
    arguments = ["logits", model, "--ids", "ids.json", "--out", "o.npy"]
    killed, alive = rig.hold(arguments), rig.hold(arguments)
    killed.kill()
    killed.communicate()
    assert len(rig.partials()) == 2
    done = rig.run(arguments)
    assert done.returncode == 0, done.stderr
    assert len(rig.partials()) == 1, "what a living process writes is left alone"
    alive.kill()
    alive.communicate()
    done = rig.run([*arguments, "--force"])
    assert done.returncode == 0 and not rig.partials(), (done.stderr, rig.partials())
    # The same for a folder.
    arguments = ["convert", model, "--out", "folder"]
    killed = rig.hold(arguments)
    killed.kill()
    killed.communicate()
    assert rig.run(arguments).returncode == 0
    assert not list(rig.folder.glob("*.partial-*"))


def test_two_interrupts_leave_nothing(rig):
    for arguments, name in [(["grads", rig.model(), "--ids", "ids.json", "--out", "g.safetensors"], "g.safetensors"),
                            (["convert", rig.model_with_templates(), "--out", "m"], "m")]:
        process = rig.hold(arguments)
        process.send_signal(signal.SIGINT)
        time.sleep(0.1)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == 130, process.returncode
        assert not list(rig.folder.rglob("*.partial-*")) and not (rig.folder / name).exists()


def test_an_evaluation_that_is_interrupted_keeps_whole_answers(rig):
    process = subprocess.Popen(
        [rig.binary, "eval", rig.model("gguf-llama-f32/model.gguf"), "--problems", "countdown", "--count", "5000",
         "--samples", "3", "--max-tokens", "40", "--answers", "a.jsonl", "--threads", "1"],
        cwd=rig.folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    rig.processes.append(process)
    end = time.monotonic() + WAIT_SECONDS
    while not any(path.stat().st_size for path in rig.folder.glob("a.jsonl.partial-*")):
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 130 and "stopped by you after" in err and "a.jsonl" in err, err
    lines = [json.loads(line) for line in (rig.folder / "a.jsonl").read_text().splitlines()]
    assert lines and len(lines) % 4 == 0 and [line["problem"] for line in lines] == [i // 4 for i in range(len(lines))]
    assert not list(rig.folder.glob("*.partial-*"))


def test_a_model_with_named_templates_is_converted_over_itself(rig):
    model = rig.model_with_templates()
    convert = ["convert", model, "--out", "m"]
    assert rig.run(convert).returncode == 0
    done = rig.run([*convert, "--force"])
    assert done.returncode == 0, done.stderr
    templates = rig.folder / "m/additional_chat_templates"
    assert [path.name for path in templates.iterdir()] == ["tool_use.jinja"]
    (templates / "notes.txt").write_text("mine")
    check_message(rig.run([*convert, "--force"]), 2, "'additional_chat_templates/notes.txt'")
    assert (templates / "notes.txt").read_text() == "mine"


def test_an_output_that_appears_meanwhile_is_kept(rig):
    for arguments, name in [(["logits", rig.model(), "--ids", "ids.json", "--out", "o.npy"], "o.npy"),
                            (["grads", rig.model(), "--ids", "ids.json", "--out", "g.npy"], "g.npy"),
                            (["convert", rig.model(), "--out", "m.gguf"], "m.gguf")]:
        process = rig.hold(arguments)
        (rig.folder / name).write_text("mine")
        check_message(rig.release(process), 2, name, "--force")
        assert (rig.folder / name).read_text() == "mine" and not rig.partials()


def test_too_few_threads(rig):
    """The limit does not bind the superuser, so that one becomes nobody, with a binary that nobody may read."""
    binary = rig.folder / "naru"
    shutil.copy(rig.binary, binary)
    binary.chmod(0o755)
    rig.folder.chmod(0o755)

    def limit():
        resource.setrlimit(resource.RLIMIT_NPROC, (8, 8))
        if os.geteuid() == 0:
            os.setgid(NOBODY)
            os.setuid(NOBODY)

    done = subprocess.run([binary, "show", "--machine", "--threads", "1024"], capture_output=True, check=False,
                          preexec_fn=limit, cwd=rig.folder, env={**os.environ, "HOME": str(rig.folder)},
                          timeout=WAIT_SECONDS)
    check_message(done, 7, "starting 1024 threads", "--threads N")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("preload", type=pathlib.Path)
    parser.add_argument("--fixtures", type=pathlib.Path, default=HERE.parent / "fixtures")
    parser.add_argument("--only", default="", help="tests whose name has this word")
    args = parser.parse_args()
    # What a background job ignores its children would ignore too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    failed = 0
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_") and args.only in name]
    for name, test in tests:
        with tempfile.TemporaryDirectory(prefix="naru-faults-") as folder:
            rig = Rig(args.binary.resolve(), args.preload.resolve(), args.fixtures.resolve(), pathlib.Path(folder))
            try:
                test(rig)
            except (AssertionError, subprocess.TimeoutExpired) as problem:
                failed += 1
                print(f"FAILED {name}: {problem}")
            finally:
                rig.end()
    print(f"{len(tests) - failed} of {len(tests)} tests passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
