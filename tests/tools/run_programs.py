"""Runs every program that no other test runs once, on something tiny: the benches, the helpers of the tools, and the
help of every Python script. Python's standard library only.

    python3 run_programs.py SOURCE_ROOT BUILD_FOLDER

A bench answers --help, measures a tiny shape of each op, and refuses an option that it does not know. A script whose
packages are not installed is listed as skipped: it compiles, and nothing more is known of it.
"""

import ast
import base64
import json
import pathlib
import re
import subprocess
import sys
import tempfile

TIMEOUT_SECONDS = 120
problems = []


def run(name, arguments, stdin="", status=0, out=""):
    """Runs a program; notes a problem unless it ends with `status` and prints `out`."""
    done = subprocess.run(arguments, input=stdin.encode(), capture_output=True, timeout=TIMEOUT_SECONDS)
    text = done.stdout.decode(errors="replace")
    if done.returncode != status or out not in text:
        problems.append(f"{name}: status {done.returncode}, {status} was wanted, with '{out}' in its output:\n"
                        f"{text[-1000:]}{done.stderr.decode(errors='replace')[-1000:]}")
    return text


def run_benches(build):
    for bench in ("bench_kernels", "bench_attention"):
        program = build / bench
        run(f"{bench} --help", [program, "--help"], out="--rounds")
        for wrong in (["--nonsense", "1"], ["--rounds"], ["--rounds", "0"], ["--shape", "1x2"], ["--level", "sse9"]):
            run(f"{bench} {' '.join(wrong)}", [program, *wrong], status=2)
    for op in ("matmul", "weight_grad", "product", "pack"):
        kinds = ("f32", "bf16", "i8", "q8_0", "q4_k") if op == "matmul" else ("bf16",)
        for kind in kinds:
            run(f"bench_kernels --op {op} --kind {kind}",
                [build / "bench_kernels", "--rounds", "1", "--threads", "2", "--op", op, "--kind", kind,
                 "--shape", "40x256x32"], out="peak int8")
    products = build / "bench_products"
    run("bench_products --help", [products, "--help"], out="--chip")
    for wrong in (["--chip", "abacus"], ["--kind", "f8"], ["--shape", "1x2"], ["--rounds", "0"]):
        run(f"bench_products {' '.join(wrong)}", [products, *wrong], status=2)
    run("bench_products", [products, "--chip", "distant", "--rounds", "1", "--shape", "2x256x32"], out="q6_k of q6_k 2x256x32")
    run("bench_attention", [build / "bench_attention", "--rounds", "1", "--shape", "8x2x4x2x16"], out="ratio")


def run_helpers(build, root):
    tokenizer = root / "tests" / "fixtures" / "text" / "trained" / "smollm.json"
    line = json.dumps({"text_b64": base64.b64encode(b"a b").decode()})
    ids = run("naru_tokenize_lines", [build / "naru_tokenize_lines", tokenizer], stdin=line + "\n").split()
    line = json.dumps({"ids": [int(i) for i in ids]})
    run("naru_tokenize_lines", [build / "naru_tokenize_lines", tokenizer], stdin=line + "\n",
        out=base64.b64encode(b"a b").decode())
    run("naru_tokenize_lines", [build / "naru_tokenize_lines"], status=2)
    line = json.dumps({"template": "{{ messages[0].content }}!", "messages": [{"role": "user", "content": "hi"}]})
    run("naru_render_lines", [build / "naru_render_lines"], stdin=line + "\n", out='"hi"')
    run("naru_train_tokenizer", [build / "naru_train_tokenizer"], status=2)
    with tempfile.TemporaryDirectory() as folder:
        text = pathlib.Path(folder) / "text.txt"
        text.write_text("low lower lowest\n" * 50)
        run("naru_train_tokenizer", [build / "naru_train_tokenizer", f"{folder}/made", "270", "qwen2", "2", text])


def missing_packages(script, ours):
    """Packages that are not here and that a script imports, or one of ours that it imports."""
    missing, waiting, seen = set(), [script], set()
    while waiting:
        path = waiting.pop()
        seen.add(path)
        for node in ast.walk(ast.parse(path.read_text(), str(path))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in {n.split(".")[0] for n in names}:
                if name in ours:
                    waiting += [ours[name]] if ours[name] not in seen else []
                elif name not in sys.stdlib_module_names and not is_installed(name):
                    missing.add(name)
    return missing


def is_installed(name, known={}):
    if name not in known:
        known[name] = subprocess.run([sys.executable, "-c", f"import {name}"], capture_output=True).returncode == 0
    return known[name]


def run_scripts(root):
    scripts = sorted([*root.glob("bench/*.py"), *root.glob("tools/**/*.py"), *root.glob("tools/check_*")])
    ours = {script.stem: script for script in scripts}
    skipped = []
    for script in dict.fromkeys(scripts):
        name = script.relative_to(root)
        source = script.read_text()
        try:
            compile(source, str(script), "exec")
        except SyntaxError as error:
            problems.append(f"{name}: {error}")
            continue
        if not re.search(r"main\(\)\)?\s*$", source):  # a module of others
            continue
        missing = missing_packages(script, ours)
        if missing:
            skipped.append(f"{name} ({', '.join(sorted(missing))})")
            continue
        run(f"{name} --help", [sys.executable, script, "--help"], out="usage:")
    if skipped:
        print(f"help not run, as packages are not here: {'; '.join(skipped)}")


def main():
    root, build = map(pathlib.Path, sys.argv[1:3])
    run_benches(build)
    run_helpers(build, root)
    run_scripts(root)
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
