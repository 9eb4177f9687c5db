"""Installs a built naru into a temporary folder (DESTDIR) and looks at what is there: every file is ours and in its place,
the pages and completion of every command are among them, the installed program runs, knows nothing of the build folder,
and the recipes find what they name. Python's standard library only; nothing is built.

    python3 run_install_test.py BUILD_FOLDER CMAKE
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

problems = []


def expect(condition, problem):
    if not condition:
        problems.append(problem)


def run(arguments, **more):
    return subprocess.run([str(a) for a in arguments], capture_output=True, text=True, timeout=120, **more)


def allowed(path):
    """Whether a file below the prefix has a place there."""
    return re.fullmatch(r"bin/naru"
                        r"|share/man/man1/naru(-[a-z]+)?\.1"
                        r"|share/bash-completion/completions/naru|share/zsh/(site-functions|vendor-completions)/_naru"
                        r"|share/fish/vendor_completions\.d/naru\.fish"
                        r"|share/doc/naru/copyright|share/naru/(README\.md|LICENSE)|lib/systemd/system/naru\.service"
                        r"|share/naru/docs/[a-z-]+\.md|share/naru/recipes/([a-z0-9-]+/)?[a-z0-9-]+\.toml"
                        r"|share/naru/recipes/configs/[a-z0-9-]+\.json|share/naru/recipes/grpo-smollm2/[a-z-]+\.jsonl|share/naru/recipes/r1-(minute|tiny)/(chat_template\.jinja|tokenizer/[a-z_]+\.json)|share/naru/recipes/r1-tiny/hello\.jsonl|share/naru/examples/data/[a-z-]+\.(jsonl|toml|txt)", path)


def check_files(prefix):
    files = sorted(path.relative_to(prefix).as_posix() for path in prefix.rglob("*") if not path.is_dir())
    for name in files:
        expect(allowed(name), f"{name} has no place in an installation")
        mode = (prefix / name).stat().st_mode & 0o777
        wanted = 0o755 if name == "bin/naru" else 0o644
        expect(mode == wanted, f"{name} has mode {mode:o}, {wanted:o} was wanted")
    for name in ("bin/naru", "share/man/man1/naru.1", "share/bash-completion/completions/naru",
                 "share/zsh/site-functions/_naru", "share/fish/vendor_completions.d/naru.fish",
                 "share/naru/docs/install.md", "share/naru/recipes/pretrain-tiny-moe.toml",
                 "share/naru/recipes/configs/tiny-moe.json", "share/naru/examples/data/chat.jsonl"):
        expect(name in files, f"{name} was not installed")
    help_text = run([prefix / "bin/naru", "--help"]).stdout
    commands = re.findall(r"^  ([a-z]+) {2,}\S", help_text.split("\nExamples")[0], re.MULTILINE)
    pages = {name for name in files if name.startswith("share/man/")}
    wanted = {"share/man/man1/naru.1", *(f"share/man/man1/naru-{command}.1" for command in commands)}
    expect(len(commands) > 10 and pages == wanted, f"pages of the manual: {sorted(pages ^ wanted)} are too many or missing")


def check_service(prefix, installed_at):
    """The unit starts the installed program, and only flags that it has stand there as variables."""
    text = (prefix / "lib/systemd/system/naru.service").read_text()
    expect(f"ExecStart={installed_at}/bin/naru serve " in text and "@" not in re.sub(r"@[a-z-]+", "", text),
           f"the unit of systemd does not start {installed_at}/bin/naru")
    help_text = run([prefix / "bin/naru", "serve", "--help"]).stdout
    for name in re.findall(r"^Environment=NARU_([A-Z_]+)=", text, re.MULTILINE):
        known = name in ("SERVED_MODEL", "MODELS") or f"--{name.lower().replace('_', '-')} " in help_text
        expect(known, f"the unit of systemd sets NARU_{name}, which is no flag of naru serve")
    for line in ("DynamicUser=yes", "ProtectSystem=strict", "NoNewPrivileges=yes", "MemoryDenyWriteExecute=yes"):
        expect(line in text.splitlines(), f"the unit of systemd lacks {line}")


def check_program(prefix, build):
    program = prefix / "bin/naru"
    done = run([program, "--version"], cwd="/")
    expect(done.returncode == 0 and done.stdout.startswith("naru "), f"naru --version: {done}")
    expect(str(build).encode() not in program.read_bytes(), f"the program knows the build folder {build}")
    done = run(["readelf", "-d", program])
    if done.returncode == 0:
        expect("RPATH" not in done.stdout and "RUNPATH" not in done.stdout, "the program has a path of libraries")


def check_recipes(prefix, folder):
    """Data of a recipe is found from where it was installed, and nothing is written there."""
    share = prefix / "share/naru"
    before = sorted(share.rglob("*"))
    done = run([prefix / "bin/naru", "data", "--train-tokenizer", folder / "tokenizer", "--vocab", "300",
                share / "examples/data/notes.txt"], cwd=folder)
    expect(done.returncode == 0, f"a tokenizer of an example: {done.stderr}")
    done = run([prefix / "bin/naru", "data", share / "recipes/sft-smollm2-chat.toml", "model.path=builtin"],
               cwd=folder)
    expect(done.returncode == 0 and "chat.jsonl" in done.stdout, f"the data of a recipe: {done.stderr}")
    expect(sorted(share.rglob("*")) == before, "a command wrote below share/naru")


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    with tempfile.TemporaryDirectory(prefix="naru-install-") as folder:
        root = pathlib.Path(folder) / "root"
        done = run([sys.argv[2], "--install", build, "--component", "naru", "--prefix", "/opt/naru"],
                   env=dict(os.environ, DESTDIR=str(root)))
        expect(done.returncode == 0 and not done.stderr, f"cmake --install: {done.stdout}{done.stderr}")
        outside = [path for path in root.rglob("*") if not path.is_dir() and root / "opt/naru" not in path.parents]
        expect(not outside, f"outside of the prefix: {outside}")
        if not problems:
            check_files(root / "opt/naru")
            check_program(root / "opt/naru", build)
            check_service(root / "opt/naru", "/opt/naru")
            check_recipes(root / "opt/naru", pathlib.Path(folder))
    for problem in problems:
        print(problem, file=sys.stderr)
    print(f"{len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
