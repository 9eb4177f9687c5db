#!/usr/bin/env python3
"""Checks a GPU's chip on a machine that is there for a few minutes: packed here, run there, one report.

    python3 tools/check_gpu.py --pack FOLDER                 here: the programs, their libraries and this script
    python3 FOLDER/check_gpu.py --run FOLDER --out OUT       there: everything below, in --seconds (540) at most
    python3 tools/check_gpu.py --dry-run                     all of it here, in small, on the tests' stand-in for CUDA

In this order, each with a time of its own, what is worth most first:

    machine    what naru finds, and nvidia-smi
    quick      naru check --quick: about ten cases of each cell
    receipt    naru check --receipt OUT/receipt: the whole matrix
    contract   the cases of the contract suite by test_contract
    products   4096 x 4096 x 4096, and one row by a matrix of 8192 x 8192, of f32, bf16 and w8a8
    answer     an answer of the built-in model beside the CPU chip's
    decode     its speed
    large      that of a random model of V2-Lite's shape (made there, where numpy is; --layers)

OUT/report.json and OUT/report.md are written anew after each step and OUT/log.txt grows, so that what was found stays when the
time ends. A step that fails stops no other one; the exit status is 1 then. Python's standard library only.
"""
import argparse
import importlib.util
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAMS = ("naru", "test_contract", "bench_products")
# These belong to the system that a program runs on.
SYSTEM_LIBRARIES = re.compile(r"^(ld-linux|libc\.|libm\.|libdl\.|libpthread\.|librt\.|libresolv\.|libstdc\+\+|libgcc_s)")
# What a vendor says of a device: f32 Tflop/s by fma, int8 Top/s, Tbyte/s. For shares, and to be read as such.
SHEETS = {"H200": (67.0, 1979.0, 4.8), "H100": (67.0, 1979.0, 3.35), "A100": (19.5, 624.0, 2.0), "L4": (30.3, 242.0, 0.3)}


def libraries_of(program):
    """The files that the loader takes for a program, but for those of the system itself."""
    listing = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^\s*(\S+) => (/\S+)", listing, re.M)
    return {name: path for name, path in found if not SYSTEM_LIBRARIES.match(name)}


def pack(build, folder):
    missing = [name for name in PROGRAMS if not (build / name).is_file()]
    if missing:
        sys.exit(f"packing for a GPU: {build}: {', '.join(missing)} not there; run ./scripts/build release {' '.join(PROGRAMS)}")
    if folder.exists():
        sys.exit(f"packing for a GPU: {folder}: it is there already; name another folder, or remove it")
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "lib").mkdir(parents=True)
    for name in PROGRAMS:
        shutil.copy(build / name, partial / name)
        subprocess.run(["strip", partial / name], check=True)
        for library, path in libraries_of(build / name).items():
            shutil.copy(path, partial / "lib" / library)
    for script in ("check_gpu.py", "make_gguf_shape.py"):
        shutil.copy(ROOT / "tools" / script, partial / script)
    partial.rename(folder)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {size / 2**20:.1f} MiB; there: python3 {folder.name}/check_gpu.py --run {folder.name} --out OUT")


class Report:
    """What was found so far, on disk after each step."""

    def __init__(self, out, chip):
        self.out, self.chip, self.steps = out, chip, []
        out.mkdir(parents=True, exist_ok=True)
        (out / "log.txt").unlink(missing_ok=True)

    def add(self, step):
        self.steps.append(step)
        rows = [f"# Chip {self.chip}", "", "| step | ended | seconds | what |", "| --- | --- | ---: | --- |"]
        for each in self.steps:
            what = "; ".join(each["found"]).replace("|", "/")
            rows.append(f"| {each['name']} | {each['ended']} | {each['seconds']:.0f} | {what} |")
        self.write("report.json", json.dumps({"chip": self.chip, "steps": self.steps}, indent=1) + "\n")
        self.write("report.md", "\n".join(rows) + "\n")
        print(f"{step['name']}: {step['ended']} after {step['seconds']:.0f} s; {'; '.join(step['found'])[:300]}", flush=True)

    def write(self, name, text):
        partial = self.out / (name + ".partial")
        partial.write_text(text)
        partial.replace(self.out / name)


class Runner:
    def __init__(self, folder, out, chip, seconds, small, layers):
        self.folder, self.out, self.chip, self.small, self.layers = folder, out, chip, small, layers
        self.end = time.monotonic() + seconds
        self.report = Report(out, chip)
        self.failed = []
        self.environment = {**os.environ, "NARU_TEST_CHIP": chip, "XDG_CACHE_HOME": str(out / "cache")}
        if (folder / "lib").is_dir():
            self.environment["LD_LIBRARY_PATH"] = f"{folder / 'lib'}:{os.environ.get('LD_LIBRARY_PATH', '')}"

    def step(self, name, seconds, *commands, read=lambda text: [], wanted=""):
        """Runs commands in order; `read` makes what was found of their output, in which the pattern `wanted` must be."""
        begin = time.monotonic()
        end = min(self.end, begin + seconds)
        text, ended = "", "well"
        for command in commands:
            left = end - time.monotonic()
            if left < 1:
                ended = "no time was left"
                break
            with tempfile.TemporaryFile() as log:
                try:
                    status = subprocess.run([str(word) for word in command], stdout=log, stderr=subprocess.STDOUT, timeout=left,
                                            env=self.environment, stdin=subprocess.DEVNULL, check=False).returncode
                    if status != 0:
                        ended = f"status {status}"
                except subprocess.TimeoutExpired:
                    ended = f"cut after {seconds} s"
                except OSError as error:
                    ended = str(error)
                log.seek(0)
                text += f"$ {' '.join(map(str, command))}\n{log.read().decode(errors='replace')}\n"
        with open(self.out / "log.txt", "a") as log:
            log.write(f"==== {name}\n{text}")
        if ended == "well" and not re.search(wanted, text, re.M):
            ended = f"without {wanted}"
        found = read(text)
        if ended != "well":
            self.failed.append(name)
            found = found + text.strip().splitlines()[-1:]
        self.report.add({"name": name, "ended": ended, "seconds": time.monotonic() - begin, "found": found})
        return text

    def program(self, name, *words):
        return [self.folder / name, *words]

    def run(self):
        naru = lambda *words: self.program("naru", *words)  # noqa: E731
        together = lambda text: re.findall(r"^  cells +(.*)$", text, re.M)  # noqa: E731
        of_chip = ["--chip", self.chip]
        seen = self.step("machine", 60, naru("--version"), naru("show", "--machine"),
                         ["nvidia-smi"] if shutil.which("nvidia-smi") else ["true"],
                         read=lambda text: re.findall(rf"^  {self.chip} +(.*(?:\n {{20}}\S.*)*)", text, re.M))
        exact = ["--require", "exact"]
        some = ["--op", "add", "--op", "rms_norm"] if self.small else []
        self.step("quick", 120, naru("check", *of_chip, "--quick", *exact, *some), read=together)
        self.step("receipt", 200, naru("check", *of_chip, "--receipt", self.out / "receipt", "--force", *exact, *some,
                                       *(["--quick"] if self.small else [])), read=together)
        ops = "add:*Cases*/silu_mul" if self.small else "*"
        self.step("contract", 120, self.program("test_contract", f"--gtest_filter=Of/Cases*{'/' if self.small else ''}{ops}"),
                  read=lambda text: re.findall(r"^\[  (?:PASSED|FAILED)  \].*", text, re.M),
                  wanted=r"^\[  PASSED  \] [1-9]")  # of a chip that is absent all are skipped
        n, wide = (64, 256) if self.small else (4096, 8192)
        kinds = ("f32", "bf16", "i8")
        shapes = (f"{n}x{n}x{n}", f"1x{wide}x{wide}")
        self.step("products", 100, *(self.program("bench_products", *of_chip, "--kind", kind, "--shape", shape, "--rounds", "3")
                                     for shape in shapes for kind in kinds), read=lambda text: self.shares(text, seen))
        self.answer()
        tokens = ["--depths", "0", "--prompt-tokens", "64", "--new-tokens", "8" if self.small else "64", "--repeat", "1"]
        model = self.out / "model.gguf"
        layers = ["--layers", "2", "--scale", "8"] if self.small else ["--layers", str(self.layers)]
        rows = lambda text: re.findall(r"^ +0 .*", text, re.M)  # noqa: E731
        self.step("decode", 60, naru("bench", "builtin", *of_chip, *tokens), read=rows)
        if importlib.util.find_spec("numpy") is None:
            self.report.add({"name": "large", "ended": "not run", "seconds": 0, "found": ["numpy is not here to make the model"]})
        else:
            self.step("large", 150, [sys.executable, self.folder / "make_gguf_shape.py", "--out", model, *layers],
                      naru("bench", model, *of_chip, *tokens), read=rows)
        model.unlink(missing_ok=True)
        shutil.rmtree(self.out / "cache", ignore_errors=True)
        return 1 if self.failed else 0

    def answer(self):
        """The same words from both chips."""
        ask = ["run", "builtin", "What is 7 + 5?", "--temperature", "0", "--max-tokens", "32", "--json"]
        texts, measured = [], r'"[a-z_]*(?:ms|per_s|seconds|chip|level|threads)[a-z_]*": [^\n]*'

        def read(text):
            for part in text.split("$ ")[1:]:
                texts.append(re.sub(measured, "", part.split("\n", 1)[1]))
            return ["the same answer"] if len(texts) == 2 and texts[0] == texts[1] else ["another answer"]
        self.step("answer", 60, self.program("naru", *ask, "--chip", self.chip), self.program("naru", *ask, "--chip", "cpu"),
                  read=read)
        if len(texts) != 2 or texts[0] != texts[1]:
            self.failed.append("answer")

    @staticmethod
    def shares(text, machine):
        """Lines of bench_products, with the share of what the device's data sheet says."""
        sheet = next((numbers for name, numbers in SHEETS.items() if name in machine), None)
        lines = []
        for kind, shape, gops, gbs in re.findall(r"^(\w+) of \w+ (\S+): ([\d.]+) GOP/s, ([\d.]+) GB/s", text, re.M):
            if shape.startswith("1x"):
                share = f", {float(gbs) / sheet[2] / 10:.1f} % of the data sheet" if sheet else ""
                lines.append(f"{kind} {shape}: {gbs} GB/s{share}")
            else:
                peak = None if sheet is None else sheet[1] if kind == "w8a8" else sheet[0]
                share = f", {float(gops) / peak / 10:.1f} % of the data sheet" if peak else ""
                lines.append(f"{kind} {shape}: {gops} GOP/s{share}")
        return lines


def dry_run(build):
    standin = build / "tests" / "libnaru_cuda_standin.so"
    if not standin.is_file():
        sys.exit(f"trying the check of GPUs: {standin}: it is not there; run ./scripts/build release test_cuda naru_cuda_standin")
    os.environ.update({"NARU_LIBCUDA": str(standin), "NARU_NVRTC": str(standin)})
    with tempfile.TemporaryDirectory() as folder:
        packed = pathlib.Path(folder) / "packed"
        pack(build, packed)
        out = pathlib.Path(folder) / "out"
        status = Runner(packed, out, "cuda", 540, True, 2).run()
        print((out / "report.md").read_text())
        return status


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--pack", type=pathlib.Path, metavar="FOLDER", help="put all that is needed there into a new folder")
    what.add_argument("--run", type=pathlib.Path, metavar="FOLDER", help="run what was packed")
    what.add_argument("--dry-run", action="store_true", help="pack and run in small, on the stand-in of the tests")
    parser.add_argument("--out", type=pathlib.Path, help="where --run leaves its report, logs and receipt")
    parser.add_argument("--chip", default="cuda", help="the chip (default cuda)")
    parser.add_argument("--seconds", type=int, default=540, help="of all steps together (default 540)")
    parser.add_argument("--layers", type=int, default=9, help="of the random model, 0.33 GB each (default 9)")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "release", help="where the programs are built")
    arguments = parser.parse_args()
    if arguments.pack:
        return pack(arguments.build, arguments.pack)
    if arguments.dry_run:
        return dry_run(arguments.build)
    if arguments.out is None:
        parser.error("--run needs --out")
    folder, out = arguments.run.resolve(), arguments.out.resolve()
    return Runner(folder, out, arguments.chip, arguments.seconds, False, arguments.layers).run()


if __name__ == "__main__":
    sys.exit(main())
