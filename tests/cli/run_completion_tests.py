"""What `naru completion` and `naru man` print, against what `naru COMMAND --help` says that there is: every command and
every flag is in each of them, the text is right for its reader (bash, zsh, fish, groff, man, mandoc, as far as they are
here), and bash completes with it. Python's standard library only.

    python3 run_completion_tests.py BINARY
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

problems = []
skipped = []


def run(arguments, stdin="", environment=None):
    done = subprocess.run(arguments, input=stdin, capture_output=True, text=True, timeout=60,
                          env=dict(os.environ, NARU_CONFIG="/dev/null", **(environment or {})))
    return done.returncode, done.stdout, done.stderr


def expect(condition, problem):
    if not condition:
        problems.append(problem)


def commands_and_flags(binary):
    """{command: [flags]}, from the help texts."""
    _, text, _ = run([binary, "--help"])
    listed = text.split("naru COMMAND [arguments]")[1].split("\nExamples")[0]
    names = re.findall(r"^  ([a-z]+) {2,}\S", listed, re.MULTILINE)
    flags = {}
    for name in names:
        _, text, _ = run([binary, name, "--help"])
        flags[name] = re.findall(r"^  (?:-\w, |    )(--[a-z0-9-]+)", text, re.MULTILINE)
    expect(len(names) > 10 and sum(map(len, flags.values())) > 80, f"the help lists {flags}")
    return flags


def check_shells(binary, flags):
    texts = {}
    for shell in ("bash", "zsh", "fish"):
        status, text, _ = run([binary, "completion", shell])
        expect(status == 0 and text.endswith("\n"), f"completion {shell}: status {status}")
        texts[shell] = text
        if not shutil.which(shell):
            skipped.append(f"{shell} -n")
            continue
        status, out, err = run([shell, "-n"], stdin=text)
        expect(status == 0 and not err, f"{shell} -n: status {status}: {out}{err}")
    for command, names in flags.items():
        of_bash = re.search(rf"^    {command}\) echo '(.*)' ;;$", texts["bash"], re.MULTILINE)
        of_zsh = re.search(rf"^    {command}\)\n      _arguments (.*?)\n      ;;$", texts["zsh"], re.MULTILINE | re.DOTALL)
        of_fish = re.findall(rf"^complete -c naru -n '__fish_seen_subcommand_from {command}' -l (\S+)", texts["fish"],
                             re.MULTILINE)
        expect(of_bash and of_zsh, f"{command} is not in the completion of bash and zsh")
        for name in names:
            expect(of_bash and name in of_bash[1].split(), f"{command} {name} is not in the completion of bash")
            expect(of_zsh and re.search(rf"[)*]{name}=?\[", of_zsh[1]), f"{command} {name} is not in that of zsh")
            expect(name[2:] in of_fish, f"{command} {name} is not in that of fish")


def check_pages(binary, flags):
    pages = {"naru": run([binary, "man"])[1]}
    for command in flags:
        pages[f"naru-{command}"] = run([binary, "man", command])[1]
        expect(f"naru\\-{command} (1)" in pages["naru"], f"the page of naru does not name naru-{command}")
        for name in flags[command]:
            expect("\\fB" + name.replace("-", "\\-") + "\\fR" in pages[f"naru-{command}"],
                   f"{name} is not in the page of naru {command}")
    for name, page in pages.items():
        expect(page.isascii(), f"{name}.1 is not ASCII")
        for needed in (".TH ", ".SH NAME\n", ".SH SYNOPSIS\n", ".SH DESCRIPTION\n", '.SH "EXIT STATUS"\n'):
            expect(needed in page, f"{name}.1 has no {needed!r}")
        if shutil.which("groff"):
            status, out, err = run(["groff", "-man", "-ww", "-Tutf8"], stdin=page)
            expect(status == 0 and not err and len(out) > 500, f"groff on {name}.1: {err or status}")
        if shutil.which("mandoc"):
            status, out, err = run(["mandoc", "-Tlint", "-Werror"], stdin=page)
            expect(status == 0, f"mandoc on {name}.1: {out}{err}")
    for program in ("groff", "mandoc", "man"):
        if not shutil.which(program):
            skipped.append(program)
    if shutil.which("man"):
        status, out, err = run(["man", "-l", "-"], stdin=pages["naru-run"], environment={"MANWIDTH": "100", "LC_ALL": "C.UTF-8"})
        expect(status == 0 and "--temperature" in out, f"man -l on naru-run.1: status {status}: {err}")


def replies(script, binary, line, folder, environment, breaks=" \t\n\"'><=;|&(:"):
    """What bash offers at the end of the line."""
    program = (f'source "{script}"\nCOMP_WORDBREAKS=$1 COMP_LINE=$2 COMP_POINT=${{#2}}\n'
               '_naru "$3" "" ""\nprintf "%s\\n" "${COMPREPLY[@]}"\n')
    done = subprocess.run(["bash", "-c", program, "bash", breaks, line, str(binary)], capture_output=True, text=True,
                          timeout=60, cwd=folder, env=dict(os.environ, **environment))
    expect(not done.stderr, f"bash at {line!r}: {done.stderr}")
    return sorted(word for word in done.stdout.split("\n") if word)


def make_models(folder):
    """Three pulled models; the name of one is no name but something for a shell to run."""
    for name in ("owner/name", "owner/other:x.gguf", "owner/$(touch${IFS}made)"):
        place = folder / "models" / "owner" / name[6:].replace(":", "--")
        place.mkdir(parents=True)
        manifest = {"format": 1, "model": name, "endpoint": "https://huggingface.co", "commit": "0" * 40, "kind": "gguf",
                    "pulled": "2026-01-01T00:00:00Z",
                    "files": [{"name": "x.gguf", "path": "x.gguf", "bytes": 1, "sha256": "0" * 64}]}
        (place / "naru-pull.json").write_text(json.dumps(manifest))
        (place / "x.gguf").write_text("x")
    work = folder / "work"
    work.mkdir()
    (work / "recipe.toml").write_text("")
    (work / "own model").mkdir()


def check_fish(binary, folder):
    """What fish offers, where there is one: it says so itself."""
    script = folder / "naru.fish"
    script.write_text(run([binary, "completion", "fish"])[1])
    bin_folder = folder / "bin"
    bin_folder.mkdir()
    (bin_folder / "naru").symlink_to(binary)
    environment = {"NARU_MODELS": str(folder / "models"), "PATH": f"{bin_folder}:{os.environ['PATH']}", "HOME": str(folder)}
    for line, wanted in (("naru r", ["rm", "run", "runs"]), ("naru run --comp", ["--compute"]),
                         ("naru run --compute ", ["auto", "bf16", "f32"]), ("naru rm o", ["owner/name", "owner/other:x.gguf"]),
                         ("naru run --temperature ", []), ("naru man d", ["data", "doctor"])):
        status, out, err = run(["fish", "-c", f"source {script}; complete -C '{line}'"], environment=environment)
        found = sorted(reply.split("\t")[0] for reply in out.splitlines())
        expect(status == 0 and found == wanted, f"fish at {line!r}: {found} {err}, wanted {wanted}")


def check_bash(binary, flags, folder):
    script = folder / "completion.bash"
    script.write_text(run([binary, "completion", "bash"])[1])
    work = folder / "work"
    environment = {"NARU_MODELS": str(folder / "models"), "NARU_CONFIG": "/dev/null"}

    def want(line, wanted, **more):
        found = replies(script, binary, line, work, environment, **more)
        expect(found == sorted(wanted), f"bash at {line!r}: {found}, wanted {sorted(wanted)}")

    want("naru r", ["rm", "run", "runs"])
    want("naru ", [*flags, "help", "--help", "--version"])
    want("naru help tr", ["train"])
    want("naru run --comp", ["--compute"])
    want("naru run --compute ", ["f32", "bf16", "auto"])
    want("naru run x --latent o", ["on", "off"])
    want("naru run --compute=b", ["bf16"])
    want("naru run --compute=b", ["--compute=bf16"], breaks=" \t\n")
    want("naru run --chip r", ["reference"])
    want("naru run --temperature ", [])
    want("naru run --temperature 0.5 owner/n", ["owner/name"])
    want("naru run -s 5 --raw owner/n", ["owner/name"])
    want("naru run owner/other:", ["x.gguf"])
    want("naru run owner/other:", ["owner/other:x.gguf"], breaks=" \t\n")
    want("naru run o", ["owner/name", "owner/other:x.gguf", "own model"])
    want("naru run bui", ["builtin"])
    want("naru rm bui", [])
    want("naru run owner/name o", [])
    want("naru rm owner/name owner/n", ["owner/name"])
    want("naru rm wner", [])
    want("naru run x --adapter owner/n", ["owner/name"])
    want("naru train rec", ["recipe.toml"])
    want("naru train --out o", ["own model"])
    want("naru completion ", ["bash", "zsh", "fish"])
    want("naru nonsense --", [])
    expect(not (work / "made").exists(), "a manifest's text was run by bash")


def main():
    binary = pathlib.Path(sys.argv[1]).resolve()
    flags = commands_and_flags(binary)
    check_shells(binary, flags)
    check_pages(binary, flags)
    with tempfile.TemporaryDirectory(prefix="naru-completion-") as folder:
        make_models(pathlib.Path(folder))
        if shutil.which("bash"):
            check_bash(binary, flags, pathlib.Path(folder))
        if shutil.which("fish"):
            check_fish(binary, pathlib.Path(folder))
    for problem in problems:
        print(problem, file=sys.stderr)
    if skipped:
        print(f"not here, and not tried: {', '.join(skipped)}")
    print(f"{sum(map(len, flags.values()))} flags of {len(flags)} commands: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
