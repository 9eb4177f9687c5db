#!/usr/bin/env python3
"""Puts every fault in front of the distant chip, in training and in naru check, and prints what was found of it.

    python3 tools/check_faults.py                     all tables, some minutes
    python3 tools/check_faults.py --table train       training alone; or matrix, or soak

Training: a tiny model, trained once without a fault and then under each, begun again by itself whenever it ends with an
error, until it is done. Its weights must have the SHA-256 of the clean run. With rechecks of every step (recheck 1)
flips and lost ops are thrown away on the way; errors, hangs and a chip that goes end a start, and the next one goes on
from the checkpoint. A run under flips without rechecks is there to show that they are what helps.

The exit status is 0 where every run ended in the clean weights, and every fault was found in the op that it was put at.
"""
import argparse
import json
import pathlib
import resource
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
STARTS_MAX = 60
CONFIG = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 405, "hidden_size": 64,
    "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "hidden_act": "silu",
    "intermediate_size": 128, "max_position_embeddings": 256, "rope_theta": 10000.0, "rms_norm_eps": 1e-5,
    "tie_word_embeddings": True,
}
RECIPE = """seed = 1
steps = 40
[model]
config = "config.json"
tokenizer = "tokenizer"
init_std = 0.05
[[data]]
generator = "digits"
documents = 2000
[batch]
context = 64
rows = 8
micro_rows = 4
[optimizer]
lr = 3e-3
[schedule]
warmup_steps = 5
[checkpoint]
every = 5
"""
# Fault, rechecks, and what must be named where it is found: a word of the first message about it.
TRAINED = [
    ("flip:0.0001", 1, ""), ("flip:0.0003", 1, ""), ("flip:0.001", 1, ""), ("flip@adamw:0.05", 1, "the update of"),
    ("flip@weight_grad:0.003", 1, "the gradient of"), ("lost:0.0003", 1, ""), ("lost@matmul:0.003", 1, "the gradient of"),
    ("doubled:0.001", 1, ""), ("stale:0.0003", 1, ""), ("rounding:0.0003", 1, ""),
    ("error@weight_grad:0.001", 0, "run of weight_grad"), ("memory@attention:0.02", 0, "run of attention"),
    ("gone@matmul:0.002", 0, "run of matmul"), ("hang@attention_grad:0.02", 0, "run of attention_grad"),
    ("flip:0.001", 8, ""), ("flip:0.001", 0, ""),
]
MATRIX = [
    "flip@rms_norm", "flip@matmul:0.01", "flip@adamw:0.4", "rounding@silu_mul", "unfused@product", "order@matmul",
    "narrow@matmul", "subnormals@product", "stale@attention", "lost@combine", "lost@weight_grad:0.1",
    "doubled@column_sum", "error@route:0.5", "memory@embed:0.1", "gone@log_prob:0.5", "hang@rope:0.05",
]
SOAKED = [
    "flip:0.001", "flip:0.01", "flip@rms_norm:0.1", "lost@matmul:0.02", "stale@silu_mul:0.1", "order@product:0.2",
    "doubled@column_sum:0.2", "memory@embed:0.05", "hang@combine:0.05",
]


class Table:
    def __init__(self, *heads):
        self.heads, self.rows = heads, []

    def row(self, *cells):
        self.rows.append([str(cell) for cell in cells])
        print("  ".join(self.rows[-1]), flush=True)

    def print(self):
        print("\n| " + " | ".join(self.heads) + " |\n|" + " --- |" * len(self.heads))
        for row in self.rows:
            print("| " + " | ".join(row) + " |")
        print(flush=True)


def processor_seconds():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


class Trained:
    """Starts of one run until it is done."""

    def __init__(self, naru, place, name, fault, recheck):
        self.weights, self.found_step, self.found_after, self.said = None, None, None, ""
        self.starts = self.differences = 0
        command = [naru, "train", str(place / "recipe.toml"), "--out", str(place / "runs" / name), "--json",
                   "--chip", "distant", "--threads", "2", "--patience", "2", f"guard.recheck_every={recheck}"]
        if fault:
            command += ["--inject", fault]
        begin, work = time.monotonic(), processor_seconds()
        while self.weights is None and self.starts < STARTS_MAX:
            self.starts += 1
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            lines = []
            for line in process.stderr:
                lines.append(line)
                if "recheck: " in line:
                    self.notice(line, time.monotonic() - begin)
            answer = process.stdout.read()
            if process.wait() == 0:
                self.weights = json.loads(answer)["weights_sha256"]
                self.differences = json.loads(answer).get("recheck_differences", 0)
            elif process.returncode in (4, 7, 8, 9, 70):
                self.notice("".join(lines[-1:]) + answer, time.monotonic() - begin)
            else:
                sys.exit(f"naru ended with {process.returncode}: {''.join(lines)}{answer}")
        self.seconds, self.work = time.monotonic() - begin, processor_seconds() - work

    def notice(self, line, seconds):
        if self.found_after is None:
            words = line.replace(",", " ").replace(":", " ").split()
            steps = [words[i + 1] for i, word in enumerate(words[:-1]) if word == "step" and words[i + 1].isdigit()]
            self.found_step, self.found_after, self.said = steps[0] if steps else "-", seconds, line


def train_table(naru, is_quick):
    table = Table("fault", "rechecks", "starts", "thrown away", "found in step", "after", "named", "processor time", "weights")
    is_right = True
    with tempfile.TemporaryDirectory() as scratch:
        place = pathlib.Path(scratch)
        (place / "config.json").write_text(json.dumps(CONFIG))
        (place / "recipe.toml").write_text(RECIPE)
        (place / "tokenizer").mkdir()
        shutil.copy(ROOT / "tests/fixtures/text/trained/smollm.json", place / "tokenizer" / "tokenizer.json")
        clean = Trained(naru, place, "clean", "", 0)
        table.row("none", "-", 1, "-", "-", "-", "-", f"{clean.work:.1f} s", "clean")
        checked = Trained(naru, place, "checked", "", 1)
        is_right &= checked.weights == clean.weights
        table.row("none", 1, 1, 0, "-", "-", "-", f"{checked.work / clean.work:.2f} x",
                  "clean" if checked.weights == clean.weights else "OTHERS")
        for i, (fault, recheck, named) in enumerate(TRAINED[::4] if is_quick else TRAINED):
            run = Trained(naru, place, f"run-{i}", fault, recheck)
            is_clean = run.weights == clean.weights
            is_helped = recheck == 1 or not fault.startswith("flip")
            is_named = not named or run.found_after is None or named in run.said
            is_right &= (is_clean or not is_helped) and is_named
            word = ("-" if run.found_after is None or not named else "right" if is_named else "WRONG")
            after = "-" if run.found_after is None else f"{run.found_after:.1f} s"
            table.row(f"`{fault}`", recheck or "no", run.starts, run.differences or "-", run.found_step or "-", after, word,
                      f"{run.work / clean.work:.2f} x", "clean" if is_clean else "others")
    table.print()
    return is_right


def checked(naru, *flags):
    begin = time.monotonic()
    done = subprocess.run([naru, "check", "--chip", "distant", "--json", *flags], capture_output=True, text=True, check=False)
    if done.returncode not in (0, 9, 70):
        sys.exit(f"naru check ended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout), time.monotonic() - begin


def matrix_table(naru, is_quick):
    table = Table("fault", "found after", "of seconds", "graded", "in", "op named")
    is_right = True
    for fault in MATRIX[::4] if is_quick else MATRIX:
        op = fault.partition("@")[2].partition(":")[0]
        matrix, seconds = checked(naru, "--quick", "--inject", fault, "--patience", "3")
        n_before, found = 0, []
        for cell in matrix["cells"]:
            if cell["verdict"] not in ("exact", "absent"):
                found.append(cell)
            if not found:
                n_before += cell["cases"]
        # Behind it stand cells whose cases run the op too, and all others where the chip is gone.
        is_named = any(cell["op"] == op for cell in found)
        is_right &= is_named
        cells = ", ".join(sorted({f"{cell['op']} {cell['kind']}" for cell in found})[:3])
        table.row(f"`{fault}`", f"{n_before} cases" if found else "-", f"{seconds:.1f} s",
                  ", ".join(sorted({cell["verdict"] for cell in found})) or "-",
                  cells + (", ..." if len(found) > 3 else ""), "right" if is_named else "WRONG")
    table.print()
    return is_right


def soak_table(naru, is_quick):
    table = Table("fault", "first after", "found", "op runs", "rate at most", "op named")
    is_right = True
    for fault in SOAKED[::4] if is_quick else SOAKED:
        op = fault.partition("@")[2].partition(":")[0]
        ops = ["--op", op, "--op", "add"] if op else []
        minutes = "0.2" if is_quick else "0.1" if op else "0.5"
        report, _ = checked(naru, "--soak", minutes, "--inject", fault, "--patience", "3", *ops)
        findings = report["findings"]
        ops = {finding["op"] for finding in findings}
        if "hangs" in report:
            ops = {report["hangs"].partition(":")[0]}
        is_named = bool(ops) and (not op or op in ops)
        is_right &= is_named
        first = f"{findings[0]['seconds']:.2f} s" if findings else f"hang, {report['seconds']:.1f} s" if ops else "-"
        table.row(f"`{fault}`", first, report["found"], report["op_runs"], f"{report['rate_at_most']:.1e}",
                  "right" if is_named else "WRONG")
    report, _ = checked(naru, "--soak", "0.2" if is_quick else "0.4")
    is_right &= report["found"] == 0
    table.row("none", "-", report["found"], report["op_runs"], f"{report['rate_at_most']:.1e}", "-")
    table.print()
    return is_right


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--naru", default=str(ROOT / "build" / "release" / "naru"))
    parser.add_argument("--table", choices=("train", "matrix", "soak"), help="this one alone")
    parser.add_argument("--quick", action="store_true", help="every fourth fault")
    args = parser.parse_args()
    tables = {"train": train_table, "matrix": matrix_table, "soak": soak_table}
    is_right = [tables[name](args.naru, args.quick) for name in ([args.table] if args.table else tables)]
    print("all found, all clean" if all(is_right) else "NOT as it must be")
    return 0 if all(is_right) else 1


if __name__ == "__main__":
    sys.exit(main())
