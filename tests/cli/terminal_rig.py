"""A program on a pseudo terminal, as a person at the keyboard has it: what is typed, and what is seen."""

import fcntl
import os
import pathlib
import pty
import re
import select
import signal
import struct
import tempfile
import termios
import time

HERE = pathlib.Path(__file__).resolve().parent
WAIT_SECONDS = 60
CONTROL = {letter: bytes([ord(letter) - 64]) for letter in "CDKRUWY"}
UP, DOWN, LEFT = "\x1b[A", "\x1b[B", "\x1b[D"
LETTER_D = ["--logit-bias", "100=1000"]  # the model says "d" for ever
STATE = tempfile.TemporaryDirectory()  # of histories, which are no concern of the person who runs this


class Terminal:
    """A program on a terminal of its own."""

    def __init__(self, arguments, columns=72, rows=24, environment=None):
        self.seen = ""
        self.status = None
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update({"TERM": "xterm", "XDG_STATE_HOME": STATE.name, **(environment or {})})
            os.execv(arguments[0], [str(a) for a in arguments])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys):
        os.write(self.fd, keys if isinstance(keys, bytes) else keys.encode())

    def read_some(self, seconds):
        if not select.select([self.fd], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # the other side is closed
            data = b""
        self.seen += data.decode(errors="replace")
        return bool(data)

    def wait_for(self, pattern):
        """Until what came since the last wait matches; forgets it then. A line may break at a space."""
        pattern = re.sub(r"(?<![\[\\]) ", r"(?: |\\r\\n)", pattern)
        end = time.monotonic() + WAIT_SECONDS
        while not (match := re.search(pattern, self.seen, re.DOTALL)):
            if time.monotonic() > end or (not self.read_some(1) and self.is_done()):
                raise AssertionError(f"no {pattern!r} in {self.seen[-600:]!r}")
        self.seen = self.seen[match.end():]
        return match

    def is_done(self):
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
        return self.status is not None

    def wait_end(self):
        end = time.monotonic() + WAIT_SECONDS
        while not self.is_done():
            self.read_some(0.05)
            if time.monotonic() > end:
                os.kill(self.pid, signal.SIGKILL)
                raise AssertionError("the program does not end")
        while self.read_some(0.05):
            pass
        os.close(self.fd)
        return self.status

    def echoes(self):
        return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)


def write_all(fd, data):
    while data:
        data = data[os.write(fd, data):]


def write_recipe(folder, config, keys, data):
    """recipe.toml, with a tokenizer beside it."""
    root = HERE.parent.parent
    (folder / "tokenizer").mkdir()
    trained = root / "tests" / "fixtures" / "text" / "trained" / "smollm.json"
    (folder / "tokenizer" / "tokenizer.json").write_bytes(trained.read_bytes())
    model = f'[model]\nconfig = "{root}/recipes/configs/{config}.json"\ntokenizer = "tokenizer"\n'
    (folder / "recipe.toml").write_text(f"{keys}{model}[[data]]\n{data}")


PROMPT = r">>> "
