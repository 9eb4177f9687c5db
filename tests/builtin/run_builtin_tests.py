"""The built-in model: that it is inside of the program and the recorded one, that its answer has the recorded bits at every
level and on every chip, what commands do without MODEL, and that damage is found. Python's standard library only.

    python3 run_builtin_tests.py BINARY SOURCE_ROOT
"""

import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "cli"))
from terminal_rig import CONTROL, PROMPT, Terminal

KOREAN = "민수는 사과를 12개"


class Rig:
    """The program, its record, and an empty folder without models, defaults or network."""

    def __init__(self, binary, root, folder):
        self.binary, self.root, self.folder = binary, root, folder
        self.file = root / "src/builtin/r1-tiny.gguf"
        self.record = json.loads((root / "src/builtin/r1-tiny.json").read_text(encoding="utf-8"))
        self.golden = self.record["golden"]
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("NARU_")}
        self.environment |= {"XDG_CONFIG_HOME": str(folder), "NARU_MODELS": str(folder / "models"), "HF_HUB_OFFLINE": "1"}

    def run(self, *words, stdin="", status=0, binary=None, cwd=None, **environment):
        done = subprocess.run([binary or self.binary, *map(str, words)], input=stdin, text=True, capture_output=True,
                              cwd=cwd or self.folder, env=self.environment | environment, timeout=120, check=False)
        assert done.returncode == status, (words, done.returncode, done.stdout[-500:], done.stderr[-1500:])
        return done


def test_it_is_the_recorded_file(rig):
    assert hashlib.sha256(rig.file.read_bytes()).hexdigest() == rig.record["sha256"]
    shown = json.loads(rig.run("show", "builtin", "--json").stdout)
    assert shown["files"] == [{"name": "r1-tiny.gguf", "bytes": rig.record["bytes"], "sha256": rig.record["sha256"]}]
    assert shown["parameters"]["total"] == rig.record["parameters"]
    assert shown["builtin"]["weights_sha256"] == rig.record["weights_sha256"]
    text = rig.run("show", "builtin").stdout
    for words in (rig.record["sha256"], rig.record["recipe"], "make_builtin_model.py", "Apache-2.0", "word problems"):
        assert words in text, (words, text)
    assert rig.record["bytes"] <= 4 << 20, "a few MB at most"


def test_its_answer_has_the_recorded_bits_everywhere(rig):
    machine = json.loads(rig.run("show", "--machine", "--json").stdout)
    levels = [level["name"] for level in machine["levels"] if level["present"]]
    assert "baseline" in levels, machine
    others = [chip["name"] for chip in machine["chips"] if chip["present"] and chip["name"] != "cpu"]
    assert {"reference", "distant"} <= set(others), machine
    places = [("cpu", level) for level in levels] + [(chip, "") for chip in others]
    asked = [rig.golden["question"], "--temperature", "0", "-n", rig.golden["max_tokens"], "--json"]
    for chip, level in places:
        told = json.loads(rig.run("run", "builtin", *asked, "--chip", chip, **({"NARU_CPU": level} if level else {})).stdout)
        for key in ("text", "ids", "logprobs", "numerics_id"):  # each log-probability is the shortest decimal of its f32
            assert told[key] == rig.golden[key], (chip, level, key, told[key])


def test_without_a_model_it_answers_and_says_so(rig):
    done = rig.run("run", "--temperature", "0", "-n", rig.golden["max_tokens"], stdin=rig.golden["question"] + "\n")
    assert done.stdout.rstrip().endswith(rig.golden["text"].strip()), done.stdout
    note = "naru: note: no MODEL was given: the built-in one answers (r1-tiny, 1.36 M parameters, trained from nothing by "
    assert note in done.stderr and "naru pull smollm2-135m-instruct" in done.stderr, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    named = rig.run("run", "builtin", rig.golden["question"], "--temperature", "0", "-n", rig.golden["max_tokens"])
    assert named.stdout == done.stdout and not named.stderr, named.stderr
    assert "the prompt: it is empty" in rig.run("run", status=2).stderr
    done = rig.run("run", rig.golden["question"], status=2)  # one word is MODEL
    assert f"naru run builtin \"{rig.golden['question']}\"" in done.stderr, done.stderr
    for word in ("hello", "\u4f60\u597d\uff0c1+1\u7b49\u4e8e\u51e0\uff1f", "word" * 100):
        done = rig.run("run", word, status=2)
        assert f"naru run builtin \"{word[:90]}" in done.stderr, done.stderr
    for path in ("./hello", "hello.gguf"):
        assert "naru run builtin" not in rig.run("run", path, stdin="x", status=3).stderr


def test_the_chat_without_a_model(rig):
    t = Terminal([rig.binary, "run", "--temperature", "0"], environment=rig.environment, columns=100)
    t.wait_for(r"r1-tiny · 1\.36 M parameters · context 512")
    t.wait_for(r"built in: r1-tiny, .*recipes/r1-tiny\.toml: it knows word problems and countdown in English, Korean and Chinese")
    t.wait_for(r"what it can be asked.*1  Make 36 from.*2  " + KOREAN)
    t.wait_for(r"3  \S+.*a bigger one: naru pull smollm2-135m-instruct")
    t.wait_for(PROMPT)
    t.type("1\r")
    t.wait_for(r"Use each number once\.")
    t.wait_for(re.escape(rig.golden["text"].split()[-1]))
    t.wait_for(PROMPT)
    t.type(CONTROL["D"])
    assert t.wait_end() == 0


def test_a_path_that_is_there_wins(rig):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        other = rig.root / "tests/fixtures/models/gguf-llama-f32/model.gguf"
        (folder / "builtin").symlink_to(other)
        assert json.loads(rig.run("show", "builtin", "--json", cwd=folder).stdout)["architecture"] == "llama"
        assert json.loads(rig.run("show", "builtin:/r1-tiny.gguf", "--json", cwd=folder).stdout)["builtin"]
        assert rig.run("run", "-n", "1", "--json", stdin="hello", cwd=folder).stdout.count('"r1-tiny.gguf"') == 1
    assert "no such file inside" in rig.run("show", "builtin:/other.gguf", status=3).stderr


def test_other_commands_take_it(rig):
    ids = rig.run("tokenize", "builtin", stdin="Make 36").stdout
    assert rig.run("tokenize", "builtin", "--decode", stdin=ids).stdout == "Make 36"
    told = json.loads(rig.run("eval", "builtin", "--problems", "word_problems", "--count", "6", "--samples", "0", "--json").stdout)
    assert told["scores"], told
    rig.run("convert", "builtin", "again.gguf", "--dtype", rig.record["dtype"])
    assert json.loads(rig.run("show", "again.gguf", "--json").stdout)["parameters"]["total"] == rig.record["parameters"]
    listed = rig.run("list")
    assert "The built-in model is there without: naru run" in listed.stdout, listed.stdout
    assert json.loads(rig.run("list", "--json").stdout)["builtin"]["sha256"] == rig.record["sha256"]
    assert "inside of this program" in rig.run("rm", "builtin", status=2).stderr
    assert "inside of this program" in rig.run("pull", "builtin", status=2).stderr
    assert re.search(r"^  built in +r1-tiny, .*its SHA-256 is right$", rig.run("doctor").stdout, re.MULTILINE)


def test_recipes_take_it(rig):
    (rig.folder / "recipe.toml").write_text(
        'kind = "sft"\nsteps = 1\n[model]\npath = "builtin"\n[[data]]\ngenerator = "countdown"\ndocuments = 8\n'
        '[batch]\ncontext = 256\nrows = 1\nmicro_rows = 1\n')
    assert "countdown" in rig.run("data", "recipe.toml").stdout
    told = json.loads(rig.run("train", "recipe.toml", "--plan", "--json").stdout)
    assert told["parameters"] == rig.record["parameters"], told
    told = rig.run("sample", "builtin", "--problems", "countdown", "--count", "2", "--plan").stdout
    assert "builtin:/r1-tiny.gguf" in told, told


def test_pipelines_take_it(rig):
    """Its tokenizer is that of a teacher which is not trained yet; and of samples that nobody kept nothing is learnt."""
    model = rig.root / "recipes/configs/r1-tiny.json"
    batch = '[batch]\ncontext = 256\nrows = 1\nmicro_rows = 1\n'
    data = '[[data]]\ngenerator = "countdown"\ndocuments = 8\n'
    (rig.folder / "guide.toml").write_text(
        f'kind = "sft"\nsteps = 1\n[model]\nconfig = "{model}"\ntokenizer = "builtin"\n{data}{batch}')
    (rig.folder / "student.toml").write_text(
        f'kind = "distill"\nsteps = 1\n[model]\npath = "builtin"\n[[teacher]]\npath = "guide"\n{data}'
        '[distill]\nprompts = 1\nanswers = 1\nmax_tokens = 8\n[batch]\ncontext = 256\nmicro_rows = 1\n')
    (rig.folder / "collect.toml").write_text(
        f'kind = "rejection"\n[model]\npath = "builtin"\n{data}[rejection]\nproblems = 1\nanswers = 1\nmax_tokens = 1\n')
    (rig.folder / "learn.toml").write_text(
        f'kind = "sft"\nsteps = 1\n[model]\npath = "builtin"\n[[data]]\npath = "collect"\n{batch}')

    def pipeline(first, second, takes):
        text = "".join(f'[[stage]]\nname = "{name}"\nrecipe = "{name}.toml"\n' for name in (first, second)) + takes
        (rig.folder / "pipeline.toml").write_text(f'kind = "pipeline"\nname = "p"\noutput = "p"\n{text}')
        return "pipeline.toml"

    assert "student" in rig.run("train", pipeline("guide", "student", 'teacher = "guide"'), "--plan").stdout
    recipe = pipeline("collect", "learn", 'data = ["collect"]')
    for _ in range(2):  # when it is reached, and at once when that is known
        told = rig.run("train", recipe, status=2).stderr
        assert "stage learn: reading the samples of stage collect: it kept none of its answers to 1 problem," in told, told
        assert "p/collect/dropped.jsonl" in told and "--start-over" in told, told
    assert "kept none" in rig.run("train", recipe, "--start-over", status=2).stderr


def test_the_server_without_a_model(rig):
    checked = rig.run("serve", "--check-config", "--port", "0")
    assert "would serve r1-tiny" in checked.stdout and "Make 36 from the numbers" in checked.stdout, checked.stdout
    assert "the built-in one is served" in checked.stderr, checked.stderr
    assert "would serve small" in rig.run("serve", "small=builtin", "--check-config", "--port", "0").stdout
    server = subprocess.Popen([rig.binary, "serve", "--port", "0", "--quiet"], cwd=rig.folder, env=rig.environment,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        address = server.stdout.readline().split()[0]
        assert server.stdout.readline().startswith("ready"), server.stderr.read()
        body = {"messages": [{"role": "user", "content": rig.golden["question"]}], "temperature": 0,
                "max_tokens": rig.golden["max_tokens"]}
        asked = urllib.request.Request(f"{address}/v1/chat/completions", json.dumps(body).encode(),
                                       {"Content-Type": "application/json"})
        with urllib.request.urlopen(asked, timeout=60) as answer:
            told = json.loads(answer.read())
    finally:
        server.terminate()
        server.communicate(timeout=60)
    message = told["choices"][0]["message"]
    assert told["model"] == "r1-tiny" and message["content"].strip() == rig.golden["text"].strip(), told
    assert (message.get("reasoning_content") or "").strip() == rig.golden["reasoning"].strip(), told


def test_damage_is_found(rig):
    """A byte of the model in the program's file is another: every use says so, and nothing is answered."""
    program, model = bytearray(pathlib.Path(rig.binary).read_bytes()), rig.file.read_bytes()
    begin = program.find(model)
    assert begin > 0 and program.find(model, begin + 1) < 0, "the model is in the program, once"
    program[begin + len(model) // 2] ^= 1
    damaged = rig.folder / "naru"
    damaged.write_bytes(program)
    damaged.chmod(0o755)
    for words in (["run", "-n", "1"], ["run", "builtin", "hello"], ["show", "builtin"], ["doctor"]):
        done = rig.run(*words, stdin="hello", status=5, binary=damaged)
        assert rig.record["sha256"] in done.stderr and "install or build naru again" in done.stderr, done.stderr
    damaged.unlink()


def main():
    binary, root = (pathlib.Path(path).resolve() for path in sys.argv[1:3])
    tests = [(name, test) for name, test in globals().items() if name.startswith("test_")]
    failed = 0
    for name, test in tests:
        with tempfile.TemporaryDirectory(prefix="naru-builtin-") as folder:
            try:
                test(Rig(binary, root, pathlib.Path(folder)))
            except AssertionError as problem:
                failed += 1
                print(f"FAILED {name}: {problem}")
    print(f"{len(tests) - failed} of {len(tests)} tests passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
