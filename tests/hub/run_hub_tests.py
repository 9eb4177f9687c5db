"""naru pull, list, rm and the finding of what was pulled, against a small hub of ours with faults (hub_server.py). Python's
standard library only; no network but the loopback.

    python3 run_hub_tests.py BINARY [--preload LIBRARY] [--fixtures tests/fixtures] [--only WORD]

LIBRARY is that of tests/tools/faults_preload.cpp; without it the test that needs it is passed over. After each pull that
failed no model may be there, and the message is one of one line.
"""

import argparse
import concurrent.futures
import fcntl
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import hub_fault_tests
from hub_rig import WANTED, WEIGHTS, Rig, model_files, wait_for_bytes
from hub_server import COMMIT, Repository, cut, git_blob, hold, other, sha256, status

HERE = pathlib.Path(__file__).resolve().parent


def test_a_model_is_pulled_listed_found_and_removed(rig):
    done = rig.pull()
    assert "owner/name · safetensors · 293.0 KiB in 6 files" in done.stdout, done.stdout
    assert f"{rig.models}/owner/name\nnaru run owner/name\n" in done.stdout, done.stdout
    rig.check_whole()
    manifest = json.loads((rig.models / "owner/name/naru-pull.json").read_text())
    assert manifest["commit"] == COMMIT and manifest["endpoint"] == rig.hub.address and manifest["pulled"]
    files = {entry["name"]: entry for entry in manifest["files"]}
    assert files["model.safetensors"]["sha256"] == sha256(WEIGHTS)
    assert files["tokenizer.json"]["git_blob"] == git_blob(b"{}")
    table = rig.run("list").stdout
    assert table.splitlines()[0].split() == ["name", "size", "kind", "pulled"], table
    assert table.splitlines()[1].split()[:4] == ["owner/name", "293.0", "KiB", "safetensors"], table
    listed = json.loads(rig.run("list", "--json").stdout)["models"]
    assert [(m["name"], m["is_whole"], m["folder"]) for m in listed] == [("owner/name", True, f"{rig.models}/owner/name")]
    asked = len(rig.contents())
    again = json.loads(rig.pull("owner/name", "--json").stdout)
    assert again["was_there"] and again["bytes_fetched"] == 0 and len(rig.contents()) == asked
    rig.check_whole()
    assert rig.run("rm", "owner/name").stdout == "removed owner/name (293.0 KiB)\n"
    assert not rig.whole() and "There are no models in" in rig.run("list").stdout
    done = rig.run("rm", "owner/name")
    assert done.returncode == 3 and "there is no such model" in done.stderr, done.stderr


def test_a_pulled_model_runs_by_its_name(rig):
    source = rig.data / "models/llama-gqa/hf"
    files = {path.name: path.read_bytes() for path in source.iterdir()}
    rig.hub.repositories["tiny/llama"] = Repository(files, ["model.safetensors"])
    gguf = (rig.data / "models/gguf-llama-f32/model.gguf").read_bytes()
    rig.hub.repositories["tiny/gguf"] = Repository({"sub/model.gguf": gguf, "a.gguf": b"a"}, ["sub/model.gguf"])
    (rig.folder / "ids.json").write_text("[1, 2, 3]")
    logits = ["--ids", "ids.json", "--out"]
    done = rig.run("logits", "tiny/llama", *logits, "a.npy")
    assert done.returncode == 3 and "naru pull tiny/llama" in done.stderr, done.stderr
    rig.pull("tiny/llama")
    rig.pull("tiny/gguf:sub/model.gguf")
    for name, path, out in [("tiny/llama", source, "a"), ("tiny/gguf:sub/model.gguf", None, "b")]:
        assert rig.run("logits", name, *logits, out + ".npy").returncode == 0
        path = path or rig.data / "models/gguf-llama-f32/model.gguf"
        assert rig.run("logits", path, *logits, out + "2.npy").returncode == 0
        assert (rig.folder / f"{out}.npy").read_bytes() == (rig.folder / f"{out}2.npy").read_bytes()
    assert json.loads(rig.run("show", "tiny/llama", "--json").stdout)
    for mistyped, meant in [("tiny/lama", "tiny/llama"), ("llama", "tiny/llama"),
                            ("tiny/gguf", "tiny/gguf:sub/model.gguf")]:
        done = rig.run("run", mistyped, "hello")
        assert done.returncode == 3 and f"did you mean {meant}?" in done.stderr, done.stderr
    done = rig.run("run", "smollm2-135m-instruct", "hello")
    assert done.returncode == 3 and "naru pull smollm2-135m-instruct" in done.stderr, done.stderr
    # A path that is there wins.
    (rig.folder / "tiny").mkdir()
    (rig.folder / "tiny/llama").write_text("")
    assert "neither a .gguf nor a .safetensors file" in rig.run("run", "tiny/llama", "hello").stderr


def test_a_recipe_goes_on_from_a_pulled_model(rig):
    """By its name, by its folder, which holds one .gguf file, and by the file: the same weights, and the recipe as written."""
    (rig.folder / "t").mkdir()
    (rig.folder / "t/tokenizer.json").write_bytes((rig.data / "text/trained/smollm.json").read_bytes())
    (rig.folder / "config.json").write_text(json.dumps({
        "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 405, "hidden_size": 16,
        "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "intermediate_size": 24,
        "hidden_act": "silu", "rms_norm_eps": 1e-5, "max_position_embeddings": 256, "rope_theta": 10000.0,
        "tie_word_embeddings": True}))
    common = '[[data]]\ngenerator = "digits"\ndocuments = 20\n[batch]\ncontext = 32\nrows = 2\n'
    (rig.folder / "new.toml").write_text('steps = 1\n[model]\nconfig = "config.json"\ntokenizer = "t"\n' + common)
    (rig.folder / "on.toml").write_text('steps = 1\n[model]\npath = "tiny/gguf"\n' + common)
    train = ["--threads", "1", "--json"]
    assert rig.run("train", "new.toml", *train).returncode == 0
    assert rig.run("convert", "runs/new/model", "--out", "tiny.gguf").returncode == 0
    rig.hub.repositories["tiny/gguf"] = Repository({"tiny.gguf": (rig.folder / "tiny.gguf").read_bytes()}, ["tiny.gguf"])
    for command in (["train", "on.toml", *train], ["data", "on.toml"]):
        done = rig.run(*command)
        assert done.returncode == 3 and "'tiny/gguf': there is no such" in done.stderr, done.stderr
        assert "naru pull tiny/gguf" in done.stderr, done.stderr
    assert not (rig.folder / "runs/on").exists()
    rig.pull("tiny/gguf")
    assert json.loads(rig.run("data", "on.toml", "--json").stdout)["tokenizer"] == f"{rig.models}/tiny/gguf"
    hashes = set()
    for name, path in [("on", "tiny/gguf"), ("folder", rig.models / "tiny/gguf"), ("file", "tiny.gguf"), ("home", "~/m")]:
        if name == "home":
            (rig.folder / "m").symlink_to(rig.models / "tiny/gguf")
        done = rig.run("train", "on.toml", f"model.path={path}", f"output=~/out/{name}", *train, HOME=str(rig.folder))
        assert done.returncode == 0, done.stderr
        hashes.add(json.loads(done.stdout)["weights_sha256"])
        assert f'path = "{path}"\n' in (rig.folder / "out" / name / "recipe.toml").read_text()
    assert len(hashes) == 1, hashes
    # The name alone says which run it is: the same command goes on with it, wherever the model lies.
    os.rename(rig.models, rig.folder / "elsewhere")
    done = rig.run("train", "on.toml", f"--out={rig.folder}/out/on", *train, NARU_MODELS=str(rig.folder / "elsewhere"))
    assert done.returncode == 0 and json.loads(done.stdout)["weights_sha256"] in hashes, done.stderr


def test_what_was_begun_can_be_removed(rig):
    rig.hub.faults["model.safetensors"] = [cut(1000), status(404)]
    rig.fail(8)
    assert rig.run("rm", "owner/name").stdout.startswith("removed owner/name (")
    assert not (rig.models / ".partial").exists() and not (rig.models / "owner").exists()


def test_two_pulls_of_one_model_at_once(rig):
    rig.hub.faults["model.safetensors"] = [hold(1000)]
    rig.start("pull", "owner/name")
    wait_for_bytes(rig.partial(), 1000)
    rig.fail(8, "another naru is at work on it")
    done = rig.run("rm", "owner/name")
    assert done.returncode == 8 and "another naru is at work on it" in done.stderr, done.stderr
    rig.pull("owner/name@main")  # another name is another model
    assert (rig.models / "owner/name@main/model.safetensors").read_bytes() == WEIGHTS


def test_one_file_of_many(rig):
    files = {"a-Q4_0.gguf": b"GGUF4", "sub/b-Q8_0.gguf": b"GGUF8", "c-00001-of-00002.gguf": b"1", "config.json": b"{}"}
    rig.hub.repositories["owner/many"] = Repository(files, ["a-Q4_0.gguf", "sub/b-Q8_0.gguf"])
    rig.fail(2, "it has 2 .gguf files", "naru pull owner/many:a-Q4_0.gguf", "sub/b-Q8_0.gguf (5 B)", name="owner/many")
    rig.fail(3, "did you mean a-Q4_0.gguf?", name="owner/many:a-Q4_1.gguf")
    rig.fail(6, "one part of a split GGUF file", name="owner/many:c-00001-of-00002.gguf")
    rig.fail(2, "a single file that is run is a .gguf file", name="owner/many:config.json")
    assert not rig.contents("a-Q4_0.gguf")
    for name, folder, file, content in [
            ("owner/many:a-Q4_0.gguf", "owner/many--a-Q4_0.gguf", "a-Q4_0.gguf", b"GGUF4"),
            ("owner/many:sub/b-Q8_0.gguf", "owner/many--sub--b-Q8_0.gguf", "b-Q8_0.gguf", b"GGUF8")]:
        rig.pull(name)
        assert (rig.models / folder / file).read_bytes() == content
    assert sorted(m["name"] for m in json.loads(rig.run("list", "--json").stdout)["models"]) == [
        "owner/many:a-Q4_0.gguf", "owner/many:sub/b-Q8_0.gguf"]
    rig.run("rm", "owner/many:a-Q4_0.gguf")
    assert not (rig.models / "owner/many--a-Q4_0.gguf").exists() and rig.whole()
    rig.hub.repositories["owner/one"] = Repository({"only.gguf": b"GGUF1", "README.md": b""})
    rig.pull("owner/one")
    assert (rig.models / "owner/one/only.gguf").read_bytes() == b"GGUF1"


def test_what_naru_cannot_run_is_not_fetched(rig):
    rig.hub.repositories["owner/pickle"] = Repository({"config.json": b"{}", "pytorch_model.bin": b"x"})
    rig.fail(6, "none of its 2 files", "pickles", name="owner/pickle")
    rig.hub.repositories["owner/split"] = Repository({"x-00001-of-00003.gguf": b"x"})
    rig.fail(6, "one part of a split GGUF file", name="owner/split")
    assert not [r for r in rig.hub.requests if "/resolve/" in r["path"]]


def test_an_adapter(rig):
    files = {"adapter_config.json": b"{}", "adapter_model.safetensors": b"x" * 100, "README.md": b"x"}
    rig.hub.repositories["owner/adapter"] = Repository(files, ["adapter_model.safetensors"])
    assert "naru run MODEL --adapter owner/adapter" in rig.pull("owner/adapter").stdout
    assert (rig.models / "owner/adapter/adapter_model.safetensors").read_bytes() == b"x" * 100
    done = rig.run("run", rig.data / "models/llama-gqa/hf", "--adapter", "owner/adapter", "hello", "--raw")
    assert f"{rig.models}/owner/adapter/adapter_config.json" in done.stderr, done.stderr


def test_shards_by_their_index(rig):
    shards = {f"model-0000{i}-of-00003.safetensors": bytes([i]) * (10_000 * i) for i in (1, 2, 3)}
    index = json.dumps({"weight_map": {f"t{i}": name for i, name in enumerate(shards)}}).encode()
    files = {"config.json": b"{}", "model.safetensors.index.json": index, "stray.safetensors": b"no part", **shards}
    rig.hub.repositories["owner/shards"] = Repository(files, shards)
    # Gone on with, shard by shard: what is there is not fetched again, the index too.
    rig.hub.faults["model-00003-of-00003.safetensors"] = [cut(5), status(500)]
    rig.fail(8, name="owner/shards", flags=["--at-once", "1", "--retries", "0"])
    n = len(rig.hub.requests)
    rig.pull("owner/shards")
    asked = [(r["path"].rsplit("/", 1)[1], r["range"]) for r in rig.hub.requests[n:] if "/api/" not in r["path"]]
    assert asked == [("model-00003-of-00003.safetensors", "bytes=5-")] * 2, asked
    assert len([r for r in rig.hub.requests if r["path"].endswith("index.json")]) == 1
    there = {path.name: path.read_bytes() for path in (rig.models / "owner/shards").iterdir()}
    del there["naru-pull.json"]
    assert there == {name: content for name, content in files.items() if name != "stray.safetensors"}
    rig.pull("owner/shards")
    del files["model-00002-of-00003.safetensors"]
    rig.hub.repositories["owner/lacking"] = Repository(files, [name for name in shards if name in files])
    n = len(rig.hub.requests)
    rig.fail(5, "model-00002-of-00003.safetensors, which the repository does not have", name="owner/lacking")
    assert not [r for r in rig.hub.requests[n:] if "00001" in r["path"]]
    files["model.safetensors.index.json"] = b'{"weight_map": {"t": "../x.safetensors"}}'
    rig.fail(5, "../x.safetensors", name="owner/lacking")


def test_hostile_lists(rig):
    good = Repository(model_files(), ["model.safetensors"])
    for change, wanted, word in [
            ({"rfilename": "../../x"}, 5, "a path inside the repository"), ({"rfilename": "/etc/x"}, 5, "a path inside"),
            ({"rfilename": "a/../../x"}, 5, "a path inside"), ({"rfilename": "a\u001b[31m"}, 5, "a path inside"),
            ({"rfilename": ""}, 5, "a path inside"), ({"rfilename": "x" * 2000}, 5, "a path inside"),
            ({"size": -1}, 5, "size"), ({"size": 1 << 60}, 5, "size"), ({"blobId": "x"}, 5, "blobId"),
            ({"blobId": None}, 6, "neither its size nor its hash"), ({"size": None}, 6, "neither its size"),
            ({"lfs": {"sha256": "Z" * 64, "size": 1}}, 5, "a SHA-256")]:
        entries = list(good.entries())
        entries[0] = {**entries[0], **change}
        rig.hub.repositories["owner/hostile"] = Repository({})
        rig.hub.repositories["owner/hostile"].listing = {**good.answer(), "siblings": entries}
        rig.fail(wanted, word, name="owner/hostile")
    for listing in [[], {"sha": "main", "siblings": []}, {"siblings": []}, {"sha": COMMIT, "siblings": [{}]},
                    {**good.answer(), "siblings": list(good.entries())[:1] * 2}]:
        rig.hub.repositories["owner/hostile"].listing = listing
        rig.fail(5, name="owner/hostile")
    rig.hub.faults["api"] = [other(b"<html>not a hub</html>")]
    rig.fail(5, "the hub's list of owner/name")
    assert not rig.models.exists()


def test_a_new_commit_replaces_the_model_as_a_whole(rig):
    rig.pull()
    files = model_files()
    files["config.json"] = b'{"model_type": "qwen2"}'
    rig.hub.repositories["owner/name"] = Repository(files, ["model.safetensors"], "ab" * 20)
    rig.hub.faults["config.json"] = [status(404)]
    rig.fail(3, "config.json", "has no such")
    # The weights have two names now. One that is cut meanwhile is not gone on with: it is installed too.
    assert rig.partial().stat().st_nlink == 2
    weights = rig.models / "owner/name/model.safetensors"
    os.truncate(weights, 1000)
    rig.hub.faults["model.safetensors"] = [cut(10), status(500)]
    rig.fail(8, flags=["--retries", "0"])
    assert weights.read_bytes() == WEIGHTS[:1000] and rig.partial().read_bytes() == WEIGHTS[:10]
    weights.write_bytes(WEIGHTS)
    rig.run("rm", "owner/name")
    rig.hub.repositories["owner/name"] = Repository(model_files(), ["model.safetensors"])
    rig.pull()
    rig.hub.repositories["owner/name"] = Repository(files, ["model.safetensors"], "ab" * 20)
    asked = len(rig.contents())
    done = json.loads(rig.pull("owner/name", "--json").stdout)
    assert done["bytes_fetched"] == len(files["config.json"]) and len(rig.contents()) == asked, done
    rig.check_whole(files=files)
    # A damaged file is found, and fetched again.
    weights.write_bytes(bytes(300_000))
    done = json.loads(rig.pull("owner/name", "--json").stdout)
    assert done["bytes_fetched"] == 300_000 and not done["was_there"], done
    rig.check_whole(files=files)
    weights.write_bytes(WEIGHTS[:1000])
    rig.hub.faults["model.safetensors"] = [cut(10), status(500)]
    rig.fail(8, flags=["--retries", "0"])
    assert weights.read_bytes() == WEIGHTS[:1000], "what is installed is not written to"
    rig.pull()
    rig.check_whole(files=files)


def test_a_repair_that_was_not_finished_is_installed(rig):
    rig.pull()
    weights = rig.models / "owner/name/model.safetensors"
    weights.write_bytes(bytes(300_000))
    # All files have come, and the pull ended before the model took its place.
    rig.partial().parent.mkdir(parents=True)
    (rig.partial("naru-pull.json")).write_bytes((rig.models / "owner/name/naru-pull.json").read_bytes())
    rig.partial().write_bytes(WEIGHTS)
    done = json.loads(rig.pull("owner/name", "--json").stdout)
    assert not done["was_there"] and done["bytes_fetched"] == 0, done
    rig.check_whole()
    assert json.loads(rig.pull("owner/name", "--json").stdout)["was_there"]


def test_what_is_the_users_stays(rig):
    rig.pull()
    (rig.models / "owner/name/notes.txt").write_text("mine")
    rig.fail(2, "'notes.txt', which `naru pull` did not put there")
    done = rig.run("rm", "owner/name")
    assert done.returncode == 2 and "notes.txt" in done.stderr, done.stderr
    assert (rig.models / "owner/name/notes.txt").read_text() == "mine" and len(rig.whole()) == len(WANTED) + 1
    own = rig.models / "owner/own"
    own.mkdir()
    (own / "model.safetensors").write_text("mine")
    rig.hub.repositories["owner/own"] = rig.hub.repositories["owner/name"]
    rig.fail(2, "it was not made by `naru pull`", name="owner/own")
    done = rig.run("rm", "owner/own")
    assert done.returncode == 2 and "it was not made by `naru pull`" in done.stderr, done.stderr
    assert "owner/own" not in rig.run("list").stdout


def test_names_and_settings_that_cannot_be(rig):
    for name in ["name", "owner/name/more", "../name", "owner/..", "owner/na--me", "owner/name:",
                 "owner/name:../x.gguf", "owner/name:/x.gguf", "owner/name:a\x1b.gguf", "owner/name@", "owner/name@..",
                 "owner/name@a b", "o" * 97 + "/name", "/etc/passwd", "owner/name:" + "x" * 300 + ".gguf"]:
        rig.fail(2, "reading the name of a model", name=name)
        done = rig.run("rm", name)
        if name == "name":  # a word that a short name could be
            assert done.returncode == 3 and "there is no model of that name" in done.stderr, done.stderr
        else:
            assert done.returncode == 2 and "reading the name of a model" in done.stderr, done.stderr
    rig.fail(2, "did you mean owner/name?", name="https://huggingface.co/owner/name/tree/main")
    for address in ["nonsense", "ftp://x", "http://", "https://a b", "http://h/?q=1", "http://u:p@h", "file:///etc"]:
        rig.fail(2, "reading HF_ENDPOINT", HF_ENDPOINT=address)
    rig.fail(2, "reading HF_TOKEN", HF_TOKEN="a b")
    rig.fail(2, "reading HF_TOKEN", HF_TOKEN="a\r\nX: y")
    rig.fail(8, "HF_HUB_OFFLINE is set", HF_HUB_OFFLINE="1")
    rig.fail(2, "--at-once", flags=["--at-once", "0"])
    assert not rig.hub.requests and not rig.models.exists()
    rig.fail(8, "HF_HUB_OFFLINE is set", HF_HUB_OFFLINE="True")
    rig.pull("owner/name", HF_HUB_OFFLINE="FALSE", HF_ENDPOINT=rig.hub.address + "/",
             PIP_INDEX_URL="https://user:secret@host/simple")
    rig.check_whole()


def test_a_revision_is_kept_beside(rig):
    rig.hub.repositories["owner/name"].revisions.add("refs/pr/1")
    rig.pull("owner/name@refs/pr/1")
    rig.pull()
    assert (rig.models / "owner/name@refs--pr--1/config.json").exists()
    asked = [r["path"] for r in rig.hub.requests if r["path"].startswith("/api/")]
    assert asked == ["/api/models/owner/name/revision/refs/pr/1", "/api/models/owner/name/revision/main"], asked
    rig.hub.repositories["owner/name"].revisions.add("refs--pr--1")
    rig.fail(2, "it holds the model owner/name@refs/pr/1", name="owner/name@refs--pr--1")
    done = rig.run("run", "owner/name@refs--pr--1", "hello")
    assert done.returncode == 3 and "no model of that name" in done.stderr, done.stderr
    done = rig.run("rm", "owner/name", "owner/name@refs--pr--1")
    assert done.returncode == 2 and "it holds the model owner/name@refs/pr/1" in done.stderr, done.stderr
    assert (rig.models / "owner/name/config.json").exists(), "nothing is removed before all names are looked at"
    # So it is with what was begun.
    rig.run("rm", "owner/name", "owner/name", "owner/name@refs/pr/1")
    assert not rig.whole()
    rig.hub.faults["model.safetensors"] = [cut(1000), status(500)]
    rig.fail(8, name="owner/name@refs/pr/1", flags=["--retries", "0"])
    done = rig.run("rm", "owner/name@refs--pr--1")
    assert done.returncode == 3 and "owner/name@refs/pr/1" in rig.run("list").stdout, done.stderr


def test_links_are_refused_before_anything_is_fetched(rig):
    elsewhere = rig.folder / "elsewhere"
    elsewhere.mkdir()
    rig.models.mkdir()
    (rig.models / "owner").symlink_to(elsewhere)
    rig.fail(2, "is a link")
    (rig.models / "owner").unlink()
    rig.pull()
    (rig.models / "owner/name").rename(elsewhere / "name")
    (rig.models / "owner/name").symlink_to(elsewhere / "name")
    asked = len(rig.contents())
    rig.fail(2, "is a link")
    assert len(rig.contents()) == asked
    done = rig.run("rm", "owner/name")
    assert done.returncode == 2 and "is a link" in done.stderr, done.stderr
    assert (elsewhere / "name/config.json").exists() and (rig.models / "owner/name").is_symlink()


def test_what_is_replaced_is_locked(rig):
    """Else another pull could take it for its own place."""
    rig.pull()
    rig.hub.repositories["owner/name"] = Repository(model_files(), ["model.safetensors"], "ab" * 20)
    folder = os.open(rig.models / "owner/name", os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    rig.fail(8, "another naru is at work on it")
    done = rig.run("rm", "owner/name")
    assert done.returncode == 8 and "another naru is at work on it" in done.stderr, done.stderr
    os.close(folder)
    rig.pull()
    rig.check_whole()


def test_the_models_folder(rig):
    for variables, folder in [({"XDG_DATA_HOME": "data"}, rig.folder / "home/.local/share/naru/models"),
                              ({"XDG_DATA_HOME": str(rig.folder / "data")}, rig.folder / "data/naru/models")]:
        rig.pull("owner/name", NARU_MODELS="", HOME=str(rig.folder / "home"), **variables)
        assert (folder / "owner/name/config.json").exists()
    (rig.folder / "file").write_text("")
    rig.fail(8, "file", NARU_MODELS=str(rig.folder / "file"))
    # A manifest that cannot be read is said, and hides no other model.
    rig.pull()
    broken = rig.models / "owner/broken"
    broken.mkdir()
    (broken / "naru-pull.json").write_text("{")
    done = rig.run("list")
    assert "owner/name" in done.stdout and "owner/broken/naru-pull.json" in done.stderr, done


def run_test(test, binary, preload, data):
    """None, or what went wrong."""
    with tempfile.TemporaryDirectory(prefix="naru-hub-") as folder:
        rig = Rig(binary, preload, data, pathlib.Path(folder).resolve())
        try:
            test(rig)
        except (AssertionError, subprocess.TimeoutExpired) as problem:
            return f"FAILED {test.__name__}: line {problem.__traceback__.tb_next.tb_lineno}: {str(problem)[:2000]}"
        finally:
            rig.end()
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--preload", type=pathlib.Path)
    parser.add_argument("--fixtures", type=pathlib.Path, default=HERE.parent / "fixtures")
    parser.add_argument("--jobs", type=int, default=4, help="tests at once: they wait more than they work")
    parser.add_argument("--only", default="", help="tests whose name has this word")
    args = parser.parse_args()
    # What a background job ignores its children would ignore too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    preload = args.preload.resolve() if args.preload else None
    tests = [test for name, test in {**globals(), **vars(hub_fault_tests)}.items()
             if name.startswith("test_") and args.only in name]
    with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        problems = list(pool.map(lambda test: run_test(test, args.binary.resolve(), preload, args.fixtures.resolve()), tests))
    for problem in filter(None, problems):
        print(problem)
    failed = len([problem for problem in problems if problem])
    print(f"{len(tests) - failed} of {len(tests)} tests passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
