#!/usr/bin/env python3
"""Tries to lose a training run: small ones of every kind are killed, starved of disk, started many times at once and
damaged, and each must end with the SHA-256 of an undisturbed run, or be refused with a documented status and everything
good still there.

    python3 tools/check_runs.py [--only kills,disk,limits,starts,damage] [--kills 40] [--starts 50] [--damages 500] [--seed N]

    kills    kill -9 at moments spread over a run, of sft, lora and mtp; each run is killed three times
    disk     a disk that is full at every stage: a tmpfs of growing size (needs root)
    limits   few open files, little memory, short files (ulimit -n, -v, -f)
    starts   simultaneous starts in one folder: one trains, the others are refused
    damage   run and checkpoint files with flipped bytes, cut, emptied, gone, unreadable, replaced by links and folders

Python's standard library only. As root, permissions are tried as another user. The exit status is 0 where nothing was
lost.
"""
import argparse
import hashlib
import json
import os
import pathlib
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
REFUSALS = {2, 3, 5, 6, 7, 8}  # docs/exit-codes.md
TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}" \
           "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "num_key_value_heads": 1, "rms_norm_eps": 1e-5,
         "tie_word_embeddings": True}
V3 = {"model_type": "deepseek_v3", "architectures": ["DeepseekV3ForCausalLM"], "num_key_value_heads": 2,
      "rms_norm_eps": 1e-6, "tie_word_embeddings": False, "q_lora_rank": None, "kv_lora_rank": 8,
      "qk_nope_head_dim": 8, "qk_rope_head_dim": 4, "v_head_dim": 8, "moe_intermediate_size": 8,
      "first_k_dense_replace": 1, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1, "n_group": 1,
      "topk_group": 1, "topk_method": "noaux_tc", "scoring_func": "sigmoid", "norm_topk_prob": True,
      "routed_scaling_factor": 1.0, "num_nextn_predict_layers": 1}
SIZES = {"vocab_size": 405, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "hidden_act": "silu",
         "intermediate_size": 24, "max_position_embeddings": 256, "rope_theta": 10000.0}
COMMON = """
steps = {steps}
[[validation]]
path = "held.jsonl"
[batch]
context = 64
rows = 4
micro_rows = 2
[optimizer]
lr = 0.01
[checkpoint]
every = 2
keep = 3
[validate]
every = 2
rows = 2
[sample]
every = 4
prompts = ["1 + 1"]
max_tokens = 2
"""


class Lost(Exception):
    pass


class Rig:
    """A scratch folder with configs, a tokenizer, data and recipes; what naru said last."""

    def __init__(self, naru, scratch, as_other):
        self.naru, self.path, self.other = naru, scratch, as_other
        (scratch / "tokenizer").mkdir()
        shutil.copy(ROOT / "tests/fixtures/text/trained/smollm.json", scratch / "tokenizer/tokenizer.json")
        (scratch / "tokenizer/tokenizer_config.json").write_text(json.dumps({"chat_template": TEMPLATE}))
        (scratch / "llama.json").write_text(json.dumps({**SIZES, **LLAMA}))
        (scratch / "v3.json").write_text(json.dumps({**SIZES, **V3}))

        def chats(name, n):
            lines = [{"messages": [{"role": "user", "content": f"{i} + 1"}, {"role": "assistant", "content": f"{i + 1}"}]}
                     for i in range(n)]
            (scratch / name).write_text("".join(json.dumps(line) + "\n" for line in lines))

        chats("chats.jsonl", 60)
        chats("held.jsonl", 8)
        self.write_recipe("pretrain", "llama.json", 'kind = "pretrain"', "")
        self.train("pretrain", scratch / "base")
        self.write_recipe("sft", "llama.json", 'kind = "sft"', "")
        self.write_recipe("mtp", "v3.json", 'kind = "pretrain"', "[loss]\nmtp = 0.3\n")
        lora = f'[model]\npath = "{scratch}/base/model"\n'
        self.write_recipe("lora", None, 'kind = "sft"', "[lora]\nrank = 2\n" + lora)

    def write_recipe(self, name, config, kind, more, steps=8):
        model = f'[model]\nconfig = "{config}"\ntokenizer = "tokenizer"\ninit_std = 0.1\n' if config else ""
        text = f"{kind}\n{COMMON.format(steps=steps)}[[data]]\npath = \"chats.jsonl\"\n{model}{more}"
        (self.path / f"{name}.toml").write_text(text)

    def command(self, name, folder, *more):
        return [self.naru, "train", str(self.path / f"{name}.toml"), "--out", str(folder), "--json", "-t", "1", *more]

    def start(self, name, folder, *more, **options):
        if self.other:
            options.update(user=65534, group=65534, extra_groups=[])
        return subprocess.Popen(self.command(name, folder, *more), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                text=True, errors="replace", **options)

    def train(self, name, folder, *more):
        """The weights of a run that must end well."""
        process = self.start(name, folder, *more)
        out, err = process.communicate(timeout=300)
        if process.returncode != 0:
            raise Lost(f"{name} in {folder} ended with {process.returncode}: {err[-600:]}")
        return json.loads(out)["weights_sha256"]


def good_checkpoints(folder):
    """{name: manifest's bytes} of the checkpoints whose files all have the SHA-256 that their manifest says."""
    good = {}
    checkpoints = folder / "checkpoints"
    for place in sorted(checkpoints.iterdir()) if checkpoints.is_dir() else []:
        try:
            text = (place / "manifest.json").read_bytes()
            files = json.loads(text)["files"]
            if all(hashlib.sha256((place / f["name"]).read_bytes()).hexdigest() == f["sha256"] for f in files):
                good[place.name] = text
        except (OSError, ValueError, KeyError, TypeError):
            pass
    return good


def lines_of(path):
    lines = []
    for text in path.read_text(errors="replace").splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
            lines += [line] if "step" in line else []
        except (ValueError, TypeError):
            pass
    return lines


def check_lines(folder, steps, are_all=True):
    """Each step once, of losses, validation losses and samples."""
    metrics, samples = lines_of(folder / "metrics.jsonl"), lines_of(folder / "samples.jsonl")
    for what, found, wanted in [
            ("loss", [m["step"] for m in metrics if "loss" in m], list(range(1, steps + 1))),
            ("validation_loss", [m["step"] for m in metrics if "validation_loss" in m], list(range(0, steps + 1, 2))),
            ("samples", [s["step"] for s in samples if "answer" in s], list(range(0, steps + 1, 4)))]:
        if (found != wanted) if are_all else (len(set(found)) != len(found)):
            raise Lost(f"{what} in {folder} stand for the steps {found}, {wanted} were wanted")
    left = [p.name for p in folder.rglob("*") if ".partial-" in p.name or ".aside." in p.name]
    if left and are_all:
        raise Lost(f"left behind in {folder}: {left}")


def lines_kept(path):
    """Lines of a file and of what is aside of it: a run that began and could not go on has them in either."""
    files = [path, path.with_name(path.stem + ".aside.jsonl")]
    return {line for file in files if file.is_file() for line in file.read_bytes().split(b"\n")} | {b""}


def check_kills(rig, args, moments):
    for kind in ["sft", "lora", "mtp"]:
        begin = time.monotonic()
        wanted = rig.train(kind, rig.path / f"{kind}-undisturbed")
        seconds = time.monotonic() - begin
        n_killed = 0
        for k in range(args.kills):
            folder = rig.path / f"{kind}-killed"
            for wait in [seconds * (k + 0.5) / args.kills, moments.uniform(0, seconds), moments.uniform(0, seconds)]:
                process = rig.start(kind, folder)
                try:
                    process.communicate(timeout=wait)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.communicate()
                    n_killed += 1
            if rig.train(kind, folder) != wanted:
                raise Lost(f"{kind}: other weights after kills near {k} of {args.kills}")
            check_lines(folder, 8)
            shutil.rmtree(folder)
        print(f"kills: {kind}: {args.kills} runs, {n_killed} kills over {seconds:.2f} s, all {wanted[:12]}", flush=True)


def check_disk(rig, args, moments):
    del args, moments
    place = rig.path / "disk"
    place.mkdir()
    wanted = rig.train("sft", rig.path / "disk-undisturbed")
    n_refused, kib = 0, 4
    while True:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", place], check=False).returncode != 0:
            print("disk: left out: no tmpfs can be mounted here", flush=True)
            return
        try:
            process = rig.start("sft", place / "run")
            _, err = process.communicate(timeout=300)
            if process.returncode == 0:
                break
            if process.returncode not in (7, 8):
                raise Lost(f"a disk of {kib} KiB: status {process.returncode}: {err[-600:]}")
            n_refused += 1
            had = good_checkpoints(place / "run")
            # Once more while it is full: what is good stays.
            rig.start("sft", place / "run").communicate(timeout=300)
            if had and not good_checkpoints(place / "run"):
                raise Lost(f"a disk of {kib} KiB: no good checkpoint is left")
            subprocess.run(["mount", "-o", "remount,size=64m", place], check=True)
            if rig.train("sft", place / "run") != wanted:
                raise Lost(f"a disk of {kib} KiB: other weights after there was room")
            check_lines(place / "run", 8)
        finally:
            subprocess.run(["umount", place], check=True)
        kib += 4 if kib < 64 else 16
    print(f"disk: full at {n_refused} sizes up to {kib} KiB, all {wanted[:12]} once there was room", flush=True)


def check_starts(rig, args, moments):
    del moments
    rig.write_recipe("long", "llama.json", 'kind = "sft"', "", steps=400)
    wanted = rig.train("long", rig.path / "starts-undisturbed")
    folder = rig.path / "starts"
    processes = [rig.start("long", folder) for _ in range(args.starts)]
    answers = [(p, *p.communicate(timeout=600)) for p in processes]
    winners = [json.loads(out)["weights_sha256"] for p, out, _ in answers if p.returncode == 0]
    refused = [err for p, _, err in answers if p.returncode == 8 and "another trainer" in err]
    if len(winners) != 1 or winners[0] != wanted or len(refused) != args.starts - 1:
        raise Lost(f"starts: {len(winners)} trained, {len(refused)} were refused, of {args.starts}; "
                   f"{[(p.returncode, err[-300:]) for p, _, err in answers if p.returncode not in (0, 8)]}")
    print(f"starts: of {args.starts} at once one trained, {len(refused)} were refused, {wanted[:12]}", flush=True)


DAMAGES = ["flip", "flip", "flip", "cut", "cut", "empty", "gone", "grown", "garbage", "unreadable", "loop", "nowhere",
           "folder", "other"]


def damage(path, how, moments, files):
    """One damage to a file or folder; what was done."""
    if path.is_dir():
        how = how if how in ("gone", "unreadable", "loop", "nowhere") else "gone"
    if how in ("flip", "cut", "garbage") and path.is_file():
        data = bytearray(path.read_bytes())
        at = moments.randrange(len(data)) if data else 0
        if how == "flip" and data:
            data[at] ^= 1 << moments.randrange(8)
        elif how == "cut":
            del data[at:]
        else:
            data[at:at + 16] = bytes(moments.randrange(256) for _ in range(16))
        path.write_bytes(bytes(data))
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "grown":
        path.write_bytes(path.read_bytes() + b"\0" * 100)
    elif how == "unreadable":
        path.chmod(0)
    elif how == "other":
        path.write_bytes(moments.choice(files).read_bytes())
    else:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        if how == "loop":
            path.symlink_to(path.name)
        elif how == "nowhere":
            path.symlink_to("/nowhere/at/all")
        elif how == "folder":
            path.mkdir()
    return how


def check_damage(rig, args, moments):
    wanted = rig.train("sft", rig.path / "damage-undisturbed")
    stopped = rig.path / "damage-stopped"
    process = rig.start("sft", stopped)  # stopped by Ctrl-C near its sixth step
    while not (stopped / "checkpoints/step-00000006").exists():
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    counts = {}
    for n in range(args.damages):
        folder = rig.path / "damaged"
        shutil.copytree(stopped, folder)
        done = []
        for _ in range(moments.choice([1, 1, 2, 3])):
            everything = [p for p in sorted(folder.rglob("*")) if not p.is_symlink() and os.access(p, os.R_OK)]
            files = [p for p in everything if p.is_file()]
            # Most of it to checkpoints and records; folders now and then.
            path = moments.choice(files if moments.random() < 0.9 else everything)
            try:
                done.append(f"{damage(path, moments.choice(DAMAGES), moments, files)} {path.relative_to(folder)}")
            except OSError:
                pass  # a file of a folder that was made unreadable before
        if rig.other:
            subprocess.run(["chown", "-hR", "65534:65534", folder], check=True)
        had = good_checkpoints(folder)
        before = {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*.jsonl") if p.is_file()}
        process = rig.start("sft", folder)
        out, err = process.communicate(timeout=300)
        said = f"after {', '.join(done)} (damage {n} of seed {args.seed}): status {process.returncode}: {err[-600:]}"
        if process.returncode == 0:
            if json.loads(out)["weights_sha256"] != wanted:
                raise Lost(f"other weights {said}")
            if not any(".jsonl" in what for what in done):
                check_lines(folder, 8, are_all=False)
        elif process.returncode in REFUSALS:
            lost = [name for name, text in had.items() if good_checkpoints(folder).get(name) != text]
            changed = [str(p) for p, data in before.items() if not set(data.split(b"\n")) <= lines_kept(folder / p)]
            if lost or changed:
                raise Lost(f"{lost + changed} lost by a refused start {said}")
        else:
            raise Lost(said)
        counts[process.returncode] = counts.get(process.returncode, 0) + 1
        subprocess.run(["chmod", "-R", "u+rwX", folder], check=False, stderr=subprocess.DEVNULL)
        shutil.rmtree(folder)
    statuses = ", ".join(f"{counts[s]} with {s}" for s in sorted(counts))
    print(f"damage: {args.damages} starts ended {statuses}; every 0 with {wanted[:12]}, nothing good lost", flush=True)


def check_limits(rig, args, moments):
    """Starts with few open files, little memory and short files: they end well, or change nothing and say why."""
    del args, moments
    wanted = rig.train("sft", rig.path / "limits-undisturbed")
    stopped = rig.path / "limits-stopped"
    process = rig.start("sft", stopped)
    while not (stopped / "checkpoints/step-00000004").exists():
        time.sleep(0.002)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    mib = 1 << 20
    limits = ([(resource.RLIMIT_NOFILE, n) for n in range(3, 24)] +
              [(resource.RLIMIT_AS, n * mib) for n in list(range(8, 128, 4)) + [8192, 20480]] +
              [(resource.RLIMIT_FSIZE, n) for n in range(0, 200000, 5000)])
    counts = {}
    for kind, limit in limits:
        folder = rig.path / "limited"
        shutil.copytree(stopped, folder)
        had = good_checkpoints(folder)

        def lower(kind=kind, limit=limit):
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(kind, (limit, limit))

        process = rig.start("sft", folder, preexec_fn=lower)
        out, err = process.communicate(timeout=300)
        said = f"with limit {kind} at {limit}: status {process.returncode}: {err[-600:]}"
        is_loader = process.returncode in (1, 127) and "error while loading shared libraries" in err
        if process.returncode not in REFUSALS | {0} and not is_loader:
            raise Lost(said)
        if [name for name in had if name not in good_checkpoints(folder)] and process.returncode != 0:
            raise Lost(f"a good checkpoint is gone {said}")
        if process.returncode == 0 and json.loads(out)["weights_sha256"] != wanted:
            raise Lost(f"other weights {said}")
        if rig.train("sft", folder) != wanted:
            raise Lost(f"other weights once there was room {said}")
        check_lines(folder, 8)
        counts[process.returncode] = counts.get(process.returncode, 0) + 1
        shutil.rmtree(folder)
    statuses = ", ".join(f"{counts[s]} with {s}" for s in sorted(counts))
    print(f"limits: {len(limits)} starts ended {statuses}; each then ended with {wanted[:12]}", flush=True)


def main():
    checks = {"kills": check_kills, "disk": check_disk, "limits": check_limits, "starts": check_starts,
              "damage": check_damage}
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", default=",".join(checks))
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--starts", type=int, default=50)
    parser.add_argument("--damages", type=int, default=500)
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--naru", default=str(ROOT / "build" / "release" / "naru"))
    args = parser.parse_args()
    moments = random.Random(args.seed)
    is_root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as scratch:
        pathlib.Path(scratch).chmod(0o777)
        try:
            rig = Rig(args.naru, pathlib.Path(scratch), False)
            for name in args.only.split(","):
                begin = time.monotonic()
                rig.other = is_root and name == "damage"  # root may read everything
                checks[name](rig, args, moments)
                print(f"{name}: {time.monotonic() - begin:.0f} s (seed {args.seed})", flush=True)
        except Lost as lost:
            sys.exit(f"LOST: {lost}")


main()
