"""Signals and streams: what an interrupt stops and what it leaves, in the chat and in other long work; what a terminal and a
file get; and streams that do not block. run_chat_tests.py runs them."""

import os
import pathlib
import re
import signal
import subprocess
import tempfile
import threading
import time

from terminal_rig import CONTROL, LETTER_D, PROMPT, Terminal, WAIT_SECONDS, write_all, write_recipe


def test_control_c_stops_the_answer_not_the_program(naru, model):
    t = Terminal([naru, "run", model, "--context", "2048", "--chip", "reference", *LETTER_D])
    t.wait_for(PROMPT)
    t.type("hello\r")
    t.wait_for("dddd")
    assert not t.echoes()
    t.type(CONTROL["C"])
    t.wait_for(r"\(stopped\)")
    t.wait_for(PROMPT)
    t.type("more" + "\r")
    t.wait_for("dddd")
    t.type(CONTROL["C"])
    t.wait_for(r"\(stopped\)")
    t.wait_for(PROMPT)
    t.type(CONTROL["C"])
    t.wait_for("Ctrl-C again to leave")
    t.type(CONTROL["C"])
    assert t.wait_end() == 130


def test_an_interrupt_outside_of_the_editor_counts(naru, model):
    t = Terminal([naru, "run", model, "--context", "512"])
    t.wait_for(PROMPT)
    os.kill(t.pid, signal.SIGINT)
    t.wait_for("Ctrl-C again to leave")
    os.kill(t.pid, signal.SIGINT)
    assert t.wait_end() == 130


def test_two_control_c_end_the_program(naru, model):
    t = Terminal([naru, "run", model, "hello", "--chip", "reference", *LETTER_D])
    t.wait_for("dddd")
    os.kill(t.pid, signal.SIGINT)
    os.kill(t.pid, signal.SIGINT)
    assert t.wait_end() == 130


def test_one_answer_ends_with_control_c(naru, model):
    t = Terminal([naru, "run", model, "hello", "--chip", "reference", *LETTER_D])
    t.wait_for("dddd")
    t.type(CONTROL["C"])
    assert t.wait_end() == 130


def test_a_request_to_end(naru, model):
    for number in (signal.SIGTERM, signal.SIGHUP):
        t = Terminal([naru, "run", model])
        t.wait_for(PROMPT)
        os.kill(t.pid, number)
        assert t.wait_end() == 128 + number
        t = Terminal([naru, "run", model, "hello", "--chip", "reference", *LETTER_D])
        t.wait_for("dddd")
        os.kill(t.pid, number)
        assert t.wait_end() == 128 + number


def test_a_stopped_training_is_no_success(naru, model):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write_recipe(folder, "tiny-llama", "steps = 100000\n[batch]\nrows = 1\nmicro_rows = 1\ncontext = 32\n",
                     'generator = "digits"\ndocuments = 20\n')
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            t = Terminal([naru, "train", folder / "recipe.toml", f"output={folder}/run"])
            t.wait_for(r"step +[\d,]+/100,000")
            os.kill(t.pid, number)
            t.wait_for("stopped after")
            t.wait_for("go on .* train ")
            assert t.wait_end() == 128 + number, t.status
            assert "This run is not finished" in (folder / "run" / "report.html").read_text(encoding="utf-8")
        assert list((folder / "run" / "checkpoints").iterdir())


def test_a_stopped_check_says_what_it_found(naru, model):
    """Also where the chip hangs in an op, which nobody waits for any longer then."""
    t = Terminal([naru, "check", model, "--chip", "distant", "--inject", "hang@attention", "--prompt", "one two three"])
    t.wait_for("checking")
    os.kill(t.pid, signal.SIGINT)
    t.wait_for(r"ops +\d+ of \d+, then it ended, all alike")
    assert t.wait_end() == 130, t.status
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        t = Terminal([naru, "check", model, "--chip", "distant", "--inject", "hang@attention", "--record", folder / "run"])
        t.wait_for("recording")
        os.kill(t.pid, signal.SIGINT)
        t.wait_for("nothing was recorded")
        assert t.wait_end() == 130, t.status
        assert not list(folder.iterdir())


def test_the_data_of_a_recipe_breaks_between_tokens(naru, model):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write_recipe(folder, "tiny-moe", "steps = 1\n", 'generator = "word_problems"\ndocuments = 60\nlanguage = "en"\n')
        t = Terminal([naru, "data", folder / "recipe.toml"], columns=50)
        assert t.wait_end() == 0
        lines = re.sub("\x1b\\[[0-9]*m", "", t.seen).replace("\r", "").split("\n")
        assert max(map(len, lines)) <= 50, max(lines, key=len)
        document = lines[[i for i, line in enumerate(lines) if line.startswith("word_problems:")][0] + 1:]
        assert all(line.startswith("  ") for line in document[:2]) and len(document[0]) > 30, document[:2]
        assert "\x1b[36m" in t.seen and "\x1b[32m" in t.seen, "tokens are told apart"


def test_a_terminal_gets_no_foreign_escapes(naru, model):
    """Names of files and texts inside of them are shown, never obeyed: ESC, DEL, and U+009B, which is ESC [ in one."""
    evil = "\x1b]0;title\x07\x7f\u009b2J"
    controls = re.compile("[\x00-\x06\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]|\x1b(?!\\[[0-9;?]*[A-Za-z])|\x07")
    data = model.read_bytes()
    old, new = b"tiny random llama", evil.encode()
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / f"{evil}.gguf"
        path.write_bytes(data.replace(old, new + b"." * (len(old) - len(new))))
        ids = pathlib.Path(folder) / "ids.json"
        ids.write_text("[1, 2, 3]")
        for words in (["show", path], ["show", path, "--json"], ["show", path, "--sha256"],
                      ["run", path, "hi", "-n", "2", "--system", "x", "--stats"],
                      ["bench", path, "--depths", "0", "--prompt-tokens", "4", "--new-tokens", "2", "--repeat", "1"],
                      ["logits", path, "--ids", ids, "--out", path.with_suffix(".npy")],
                      ["grads", path, "--ids", ids, "--out", path.with_suffix(".safetensors")],
                      ["convert", path, path.with_suffix(".f32.gguf")],
                      ["check", path, "--ids", ids], ["check", path, "--ids", ids, "--record", path.with_suffix(".run")],
                      ["check", path, "--ids", ids, "--chip", "distant", "--inject", "lost@add", "--json"],
                      ["check", path, "--ids", ids, "--chip", "distant", "--against", path.with_suffix(".run")],
                      ["show", path.with_name(evil)], ["data", path.with_name(evil + ".toml")]):
            t = Terminal([naru, *words])
            t.wait_end()
            found = controls.search(t.seen.replace("\r", ""))
            assert found is None, f"{words[0]}: {t.seen[max(0, found.start() - 60):found.end() + 20]!r}"
            assert "\x1b]" not in t.seen and "\x1b[2J" not in t.seen, words[0]
        t = Terminal([naru, "run", path])
        t.wait_for(r"parameters · context")
        t.wait_for(PROMPT)
        t.type(CONTROL["D"])
        assert t.wait_end() == 0


def test_streams_that_do_not_block_are_waited_for(naru, model):
    text = ("the quick brown fox " * 20000).encode()
    for name in ("ids", "json"):
        in_read, in_write = os.pipe()
        out_read, out_write = os.pipe()
        os.set_blocking(in_read, False)
        os.set_blocking(out_write, False)
        child = subprocess.Popen([naru, "tokenize", model] + (["--json"] if name == "json" else []), stdin=in_read,
                                 stdout=out_write, stderr=subprocess.PIPE)
        os.close(in_read)
        os.close(out_write)
        writer = threading.Thread(target=lambda: (time.sleep(0.2), write_all(in_write, text), os.close(in_write)))
        writer.start()
        time.sleep(0.4)  # the reader is late: the pipe is full before anybody takes from it
        out = b""
        while part := os.read(out_read, 65536):
            out += part
        writer.join()
        os.close(out_read)
        assert child.wait() == 0, child.stderr.read()
        child.stderr.close()
        assert len(out) > 200000 and out.endswith(b"\n"), len(out)


def test_typing_disarms_control_c(naru, model):
    t = Terminal([naru, "run", model])
    t.wait_for(PROMPT)
    t.type(CONTROL["C"])
    t.wait_for("Ctrl-C again to leave")
    t.wait_for(PROMPT)
    t.type("x\x7f")
    t.type(CONTROL["C"])
    t.wait_for("Ctrl-C again to leave")
    t.wait_for(PROMPT)
    t.type("y")
    t.type(CONTROL["C"])  # takes the letter away
    t.type(CONTROL["C"])
    t.wait_for("Ctrl-C again to leave")
    t.type(CONTROL["C"])
    assert t.wait_end() == 130


def test_what_goes_to_a_file_has_no_escapes(naru, model):
    with tempfile.TemporaryDirectory() as folder:
        log = pathlib.Path(folder) / "log"
        flags = " ".join(["-n", "5", *LETTER_D])
        t = Terminal(["/bin/sh", "-c", f"'{naru}' run '{model}' {flags} 2>'{log}'"])
        t.type("hello\r")
        t.wait_for("ddddd")
        t.type("again\r")
        t.wait_for("ddddd")
        t.type(CONTROL["D"])
        assert t.wait_end() == 0
        assert log.read_text().count("stopped at --max-tokens 5") == 2 and "\x1b" not in log.read_text()


def test_one_control_c_ends_the_reading_of_data(naru, model):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        write_recipe(folder, "tiny-moe", "steps = 1\n", 'generator = "word_problems"\ndocuments = 1000000\n')
        t = Terminal([naru, "data", folder / "recipe.toml"])
        t.read_some(1)  # in the middle of it
        assert not t.is_done(), t.seen
        t.type(CONTROL["C"])
        begin = time.monotonic()
        assert t.wait_end() in (-signal.SIGINT, 130), t.status
        assert time.monotonic() - begin < 5, "it went on"


def test_what_was_ignored_from_the_start_stays_ignored(naru, model):
    """As under nohup."""
    child = subprocess.Popen([naru, "run", model, "hello", "--context", "2048", "--chip", "reference", *LETTER_D],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                             preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))
    os.read(child.stdout.fileno(), 1)  # it is at work
    child.send_signal(signal.SIGHUP)
    time.sleep(0.2)
    assert child.poll() is None
    child.send_signal(signal.SIGTERM)
    child.communicate(timeout=WAIT_SECONDS)
    assert child.returncode == 128 + signal.SIGTERM, child.returncode


def test_an_answer_that_nobody_can_get_is_no_success(naru, model):
    done = subprocess.run([naru, "tokenize", model], input=b"hello", stderr=subprocess.PIPE, check=False,
                          preexec_fn=lambda: os.close(1))
    assert done.returncode == 8 and b"standard output" in done.stderr, done
    with open("/dev/full", "wb") as full:
        done = subprocess.run([naru, "tokenize", model], input=b"hello", stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 7, done
