"""The chat on a pseudo terminal: what a person types and sees, and how a line is edited. signal_tests.py has what stops it.
Python's standard library only.

    python3 run_chat_tests.py BINARY [--fixtures tests/fixtures]

The model is a tiny random one, so its words mean nothing; a large bias makes it say one letter where that helps.
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import signal_tests
from terminal_rig import CONTROL, DOWN, HERE, LEFT, LETTER_D, PROMPT, Terminal, UP, write_recipe


def test_a_conversation(naru, model):
    t = Terminal([naru, "run", model, "-n", "5", *LETTER_D])
    t.wait_for(r"model\.gguf · .* parameters · context")
    t.wait_for(PROMPT)
    t.type("hello\r")
    t.wait_for(r"ddddd\r\n.*stopped at --max-tokens 5")
    t.wait_for(PROMPT)
    t.type("/stats\r")
    t.wait_for(r"decode .* tokens/s .*context \d+ of")
    t.type("/quit\r")
    assert t.wait_end() == 0


def test_a_model_of_a_run_offers_what_its_recipe_asks(naru, model):
    with tempfile.TemporaryDirectory() as name:
        run = pathlib.Path(name) / "small"
        (run / "model").mkdir(parents=True)
        (run / "model" / "model.gguf").symlink_to(model)
        (run / "recipe.toml").write_text('steps = 1\n[model]\npath = "m"\n[[data]]\npath = "d.txt"\n[sample]\n'
                                         'prompts = ["first", "second", "first", "two\\nlines", "/quit"]\n')
        t = Terminal([naru, "run", run / "model" / "model.gguf", "-n", "2", *LETTER_D])
        t.wait_for(r"1  first.*2  second")
        t.wait_for(r"or Tab")
        assert "3  " not in t.seen
        t.type("2\r")
        t.wait_for(r"second.*\r\n.*dd")
        t.wait_for(PROMPT)
        t.type("2\r")  # no start any more: what is typed is meant
        t.wait_for(r"2\r+\n.*dd")
        t.wait_for(PROMPT)
        t.type("\t\t\t\r")
        t.wait_for(r"first.*dd")
        t.wait_for(PROMPT)
        t.type("/quit\r")
        assert t.wait_end() == 0


def test_a_base_model_continues_text(naru, model):
    with tempfile.TemporaryDirectory() as folder:
        base = pathlib.Path(folder) / "base.gguf"
        base.write_bytes(model.read_bytes().replace(b"tokenizer.chat_template", b"tokenizer.chat_somewhat"))
        t = Terminal([naru, "run", base, "-n", "5", *LETTER_D])
        t.wait_for(r"has no chat template: it continues the prompt as plain text")
        t.wait_for(r"context \d+ · temperature .* · raw text")
        t.wait_for(PROMPT)
        t.type("hello\r")
        t.wait_for(r"ddddd")
        t.wait_for(PROMPT)
        t.type("/quit\r")
        assert t.wait_end() == 0


def test_help_and_a_mistyped_command(naru, model):
    t = Terminal([naru, "run", model])
    t.wait_for(PROMPT)
    t.type("/hlep\r")
    t.wait_for(r"there is no /hlep; did you mean /help\?")
    t.type("/help\r")
    t.wait_for(r"/clear .*Ctrl-C")
    t.type("/clear\r")
    t.wait_for("forgotten")
    t.type(CONTROL["D"])
    assert t.wait_end() == 0


def test_a_message_typed_during_an_answer_comes_next(naru, model):
    t = Terminal([naru, "run", model, "-n", "60", "--chip", "reference", *LETTER_D])
    t.wait_for(PROMPT)
    t.type("hello\r")
    t.wait_for("dddd")
    t.type("more\r")
    t.wait_for("stopped at --max-tokens 60")
    t.wait_for("stopped at --max-tokens 60")
    t.type("/quit\r")
    assert t.wait_end() == 0


def test_keys(naru, model):
    t = Terminal([naru, "run", model, "-n", "1", *LETTER_D])
    t.wait_for(PROMPT)
    t.type("wrong" + "\x15" + "hallo" + 4 * "\x1b[D" + "\x1b[3~" + "\u00e9" + "\r")  # Ctrl-U, left, Delete
    t.wait_for("stopped at --max-tokens 1")
    t.wait_for(PROMPT)
    t.type("\x1b[A")  # up: the message as it was sent
    t.wait_for("h\u00e9llo")
    t.type("\x15" + "\x1b[200~/two\rlines\x1b[201~")
    t.wait_for(r"/two\s+.*lines")
    t.type("\r")  # a message of two lines is no command
    t.wait_for(r"stopped at --max-tokens 1")
    t.type("/quit\r")
    assert t.wait_end() == 0


def test_a_full_context_makes_room(naru, model):
    t = Terminal([naru, "run", model, "--context", "64", *LETTER_D])
    t.wait_for(PROMPT)
    t.type("hello\r")
    t.wait_for("stopped: the context of 64 tokens is full; the next message makes room")
    t.wait_for(PROMPT)
    t.type("more\r")
    t.wait_for(r"the oldest turn dropped out of the context of 64 tokens; /clear starts over")
    t.wait_for("dddd")
    t.wait_for("makes room")
    t.wait_for(PROMPT)
    t.type("x" * 60 + "\r")
    t.wait_for(r"naru:.* answering in the chat: the newest message alone has \d\d tokens.* the context holds 64 .*--context N")
    t.wait_for(PROMPT)
    t.type("/stats\r")  # what failed changed nothing
    t.wait_for(r"context 64 of 64 tokens, 1 turn \(1 older dropped\)")
    t.type("/system " + "y" * 60 + "\rhello\r")
    t.wait_for(r"the newest message has, with the system prompt, \d+ tokens.*/system")
    t.type('/system ""\r')
    t.wait_for("there is no system prompt")
    t.type("/quit\r")
    assert t.wait_end() == 0


def saved_answers(path):
    return [m["content"] for m in json.loads(path.read_text())["messages"] if m["role"] == "assistant"]


def answer_of(naru, model, prompt, *flags):
    done = subprocess.run([naru, "run", model, prompt, "--json", *flags], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)["text"]


def test_an_answer_is_that_of_its_prompt(naru, model):
    """What left the context and what was taken back leave no trace."""
    flags = ["-n", "8", "--temperature", "0", "--context", "48"]
    with tempfile.TemporaryDirectory() as folder:
        t = Terminal([naru, "run", model, *flags])
        parts = (("hello", "stopped at"), ("more", "oldest turn dropped.*stopped at"), ("/undo", "taken back"),
                 ("wor", "oldest turn dropped.*stopped at"))
        for i, (keys, wanted) in enumerate(parts):
            t.wait_for(PROMPT)
            t.type(keys + "\r")
            t.wait_for(wanted)
            if not keys.startswith("/"):
                t.wait_for(PROMPT)
                t.type(f"/save {folder}/{i}.jsonl\r")
                t.wait_for(r"saved \d turn")
        t.type("/quit\r")
        assert t.wait_end() == 0
        folder = pathlib.Path(folder)
        assert saved_answers(folder / "1.jsonl") == [answer_of(naru, model, w, *flags) for w in ("hello", "more")]
        assert saved_answers(folder / "3.jsonl") == [answer_of(naru, model, w, *flags) for w in ("hello", "wor")]


def test_retry_save_and_load(naru, model):
    flags = ["-n", "8", "--temperature", "2", "--seed", "3"]
    with tempfile.TemporaryDirectory() as folder:
        t = Terminal([naru, "run", model, *flags])
        t.wait_for(PROMPT)
        t.type(f"/retry\r/undo\r/save {folder}/none\r")
        t.wait_for("no message to answer yet.*nothing to take back.*naru:.* nothing was said yet")
        t.type("hello\r")
        t.wait_for("stopped at")
        for name in "abc":
            t.wait_for(PROMPT)
            t.type(f"/save {folder}/{name} {name}.jsonl\r")
            t.wait_for("saved 1 turn")
            t.wait_for(PROMPT)
            if name != "c":
                t.type("/retry\r")
                t.wait_for("stopped at")
        t.type(f"/save {folder}/a a.jsonl\r")
        t.wait_for("there is a file of that name already")
        t.type(f"/save {folder}/a a.jsonl --force\r")
        t.wait_for("saved 1 turn")
        t.type("/quit\r")
        assert t.wait_end() == 0
        folder = pathlib.Path(folder)
        third = (folder / "c c.jsonl").read_bytes()
        assert (folder / "a a.jsonl").read_bytes() == third != (folder / "b b.jsonl").read_bytes()

        # The same answers in another chat; files that are no conversations cost nothing.
        (folder / "bad").write_text('{"messages": [{"role": "user"}]}')
        (folder / "first.jsonl").write_text('{"messages": [{"role": "user", "content": "hello"}]}\n')
        t = Terminal([naru, "run", model, *flags])
        for path, wanted in (("first.jsonl", "loaded 1 turn.*the last message has no answer"),
                             ("bad", r"naru:.*bad: messages\[0\]\.content"), (".", "naru:"), ("none", "naru:.*none")):
            t.wait_for(PROMPT)
            t.type(f"/load {folder}/{path}\r")
            t.wait_for(wanted)
        for _ in range(3):
            t.wait_for(PROMPT)
            t.type("/retry\r")
            t.wait_for("stopped at")
        t.wait_for(PROMPT)
        t.type(f"/save {folder}/again.jsonl\r/quit\r")
        assert t.wait_end() == 0
        assert (folder / "again.jsonl").read_bytes() == third
        write_recipe(folder, "tiny-llama", "steps = 1\nkind = \"sft\"\n[batch]\nrows = 1\nmicro_rows = 1\ncontext = 64\n",
                     f'path = "{folder}/again.jsonl"\n')
        (folder / "tokenizer" / "chat_template.jinja").write_text(
            "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
            "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}")
        subprocess.run([naru, "data", folder / "recipe.toml"], check=True, stdout=subprocess.DEVNULL)  # training reads it


def test_every_answer_has_the_form(naru, model):
    for flags, words, answer in [(["--choice", "yes", "--choice", "no"], "one of 2 texts", r"(yes|no)"),
                                 (["--regex", "[0-9]{4}", "--raw"], r"texts of \[0-9\]\{4\}", r"[0-9]{4}")]:
        t = Terminal([naru, "run", model, "--temperature", "1", *LETTER_D, *flags])
        t.wait_for("answers are " + words)
        t.wait_for(PROMPT)
        for _ in range(3):
            t.type("hello\r")
            t.wait_for(rf"(\n|\?2004l){answer}\r\n")
            t.wait_for(PROMPT)
        t.type("/retry\r")
        t.wait_for(rf"(\n|\?2004l){answer}\r\n")
        t.wait_for(PROMPT)
        t.type("/quit\r")
        assert t.wait_end() == 0


def test_settings(naru, model):
    t = Terminal([naru, "run", model, "--seed", "7"], environment={"NARU_TOP_K": "9"})
    t.wait_for(PROMPT)
    t.type("/set\r")
    t.wait_for(r"temperature +0\.7 +default.*top-k +9 +NARU_TOP_K.*logit-bias +none +default.*seed +7 +--seed.*"
               "max-tokens +until the context is full +default")
    for keys, wanted in (("/set temperature 2", r"temperature 2 \(/set\)"), ("/set top_p=0.5", r"top-p 0\.5 \(/set\)"),
                         ("/set temperature default", r"temperature 0\.7 \(default\)"),
                         ("/set seed default", r"seed 7 \(--seed\)"),
                         ("/set temprature 1", "there is no such setting; did you mean temperature"),
                         ("/set top-p 7", "reading the command: /set top-p: '7' was given.*to 1 was wanted"),
                         ("/set logit-bias 5000=1", "naru:.*5000"), ("/set seed", r"seed 7 \(--seed\)"),
                         ("/set logit-bias 100=1000", r"logit-bias 100=1000 \(/set\)"),
                         ("/set max-tokens 4", r"max-tokens 4 \(/set\)"),
                         ("hello", r"dddd\r\n.*stopped at --max-tokens 4"), ("/system be brief", "system: be brief"),
                         ("/system", "system: be brief"), ("/clear now", "/clear takes nothing behind it")):
        t.wait_for(PROMPT)
        t.type(keys + "\r")
        t.wait_for(wanted)
    t.type("/quit\r")
    assert t.wait_end() == 0


def test_completion_and_search(naru, model):
    with tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "a talk.jsonl").write_text('{"messages": [{"role": "user", "content": "hello"}]}')
        t = Terminal([naru, "run", model, "-n", "2", *LETTER_D], environment={"XDG_STATE_HOME": folder + "/state"})
        t.wait_for(PROMPT)
        t.type("/st\t\r")
        t.wait_for("no answer yet")
        t.type("/set top-\t")
        t.wait_for("top-k +top-p")
        t.type("k 5\r")
        t.wait_for(r"top-k 5 \(/set\)")
        t.type(f"/lo\t{folder}/a\t\r")
        t.wait_for("loaded 1 turn")
        t.wait_for(PROMPT)
        t.type("apple\r")
        t.wait_for("stopped at")
        t.wait_for(PROMPT)
        t.type("\x12app")
        t.wait_for(r"\(search 'app'\) .*apple")
        t.type("q")
        t.wait_for("no match for 'appq'")
        t.type("\x7f\x12\x07/st\x15")  # nothing older; away with it
        t.wait_for(PROMPT)
        t.type("\x12top-k\r")  # what was found is sent
        t.wait_for(r"top-k 5 \(/set\)")
        t.type("/quit\r")
        assert t.wait_end() == 0


def test_editing(naru, model):
    with tempfile.TemporaryDirectory() as folder:
        family = "\U0001F468\u200D\U0001F469\u200D\U0001F467"
        t = Terminal([naru, "run", model, "-n", "1", "--no-history", *LETTER_D], environment={"XDG_STATE_HOME": folder})
        # Each part: keys of one message, and the message.
        parts = (("one two\x17\x17\x19", "one two"),  # killed by words, and put back
                 (f"a{family}b" + LEFT + "\x7f", "ab"), ("\u1112\u1161\u11ab" + "\x7fx", "x"),
                 ("ab\ncd" + UP + "X" + DOWN + DOWN + "Y", "abX\ncdY"),  # by lines, not into the history
                 ("first" + UP + UP + DOWN + DOWN + "!", "first!"),  # away, and back to what was typed
                 ("gone" + UP + "\x03" + UP + "?", "first!?"))  # Ctrl-C leaves the history's middle
        for keys, _ in parts:
            t.wait_for(PROMPT)
            t.type(keys + "\r")
            t.wait_for("stopped at")
        t.wait_for(PROMPT)
        t.type(f"/save {folder}/said.jsonl\r/quit\r")
        assert t.wait_end() == 0
        messages = json.loads((pathlib.Path(folder) / "said.jsonl").read_text())["messages"]
        said = [m["content"] for m in messages if m["role"] == "user"]
        assert said == [wanted for _, wanted in parts], said
        assert not (pathlib.Path(folder) / "naru").exists()


def test_control_d_during_an_answer_leaves_after_it(naru, model):
    t = Terminal([naru, "run", model, "-n", "60", "--chip", "reference", *LETTER_D])
    t.wait_for(PROMPT)
    t.type("hello\r")
    t.wait_for("dddd")
    t.type(CONTROL["D"])
    t.wait_for("stopped at --max-tokens 60")
    assert t.wait_end() == 0


def test_chats_share_a_history(naru, model):
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "naru" / "history"
        environment = {"XDG_STATE_HOME": folder}
        chats = [Terminal([naru, "run", model, "-n", "1", *LETTER_D], environment=environment) for _ in range(2)]
        for i, t in enumerate(chats):
            t.wait_for(PROMPT)
            t.type(f"from {i}\r")
        for t in chats:
            t.wait_for("stopped at")
            t.type("/quit\r")
            assert t.wait_end() == 0
        lines = path.read_text().splitlines()
        assert sorted(lines) == ["/quit", "/quit", "from 0", "from 1"] or sorted(lines) == ["/quit", "from 0", "from 1"], lines
        assert path.stat().st_mode & 0o777 == 0o600
        path.write_bytes(b"\xff\xfe\x1b[2J\n\nsafe\nfrom\\nold\n")  # damaged: what can be read is there
        t = Terminal([naru, "run", model, "-n", "1", *LETTER_D], environment=environment)
        t.wait_for(PROMPT)
        t.type(UP)
        t.wait_for(r"from\r+\n.*old")
        t.type("\r")
        t.wait_for("stopped at")
        t.type("/quit\r")
        assert t.wait_end() == 0 and "\x1b[2J" not in t.seen
        assert path.read_text() == "safe\nfrom\\nold\n/quit\n"
        path.unlink()
        os.mkfifo(path)  # never opened for reading
        t = Terminal([naru, "run", model], environment=environment)
        t.wait_for("naru: note:.* this chat keeps no history")
        t.wait_for(PROMPT)
        t.type("/quit\r")
        assert t.wait_end() == 0


def test_an_empty_answer_says_so(naru, model):
    t = Terminal([naru, "run", model, "--logit-bias", "285=1000"])  # the end of the turn, at once
    t.wait_for(PROMPT)
    t.type("hello\r")
    t.wait_for(r"\(empty answer\)")
    t.type("/quit\r")
    assert t.wait_end() == 0


def test_the_hint_is_no_typed_text(naru, model):
    t = Terminal([naru, "run", model], environment={"NO_COLOR": "1"})
    t.wait_for("/help lists what can be typed")
    t.wait_for(PROMPT)
    t.type("/quit\r")
    assert t.wait_end() == 0
    assert "a message" not in t.seen


def test_styles(naru, model):
    t = Terminal([naru, "show", model])
    t.wait_for("\x1b\\[1m")
    assert t.wait_end() == 0
    t = Terminal([naru, "show", model], environment={"NO_COLOR": "1"})
    assert t.wait_end() == 0
    assert "\x1b" not in t.seen and "Model" in t.seen


def test_reasoning_is_dimmed(naru, model):
    # A template that opens the reasoning itself, as DeepSeek's do; the model then says "d" for ever, all of it thought.
    data = model.read_bytes()
    old, new = b"{{ '<|im_start|>assistant\n' }}", b"{{ '<|im_start|>ai<think>\n' }}"
    assert old in data and len(old) == len(new)
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "thinker.gguf"
        path.write_bytes(data.replace(old, new))
        t = Terminal([naru, "run", path, "hello", "-n", "5", *LETTER_D])
        t.wait_for("\x1b\\[2mddddd\x1b\\[0m")
        assert t.wait_end() == 0
        t = Terminal([naru, "run", path, "hello", "-n", "5", "--hide-reasoning", *LETTER_D])
        assert t.wait_end() == 0
        assert "ddd" not in t.seen and "thinking" in t.seen and "the answer ended inside its reasoning" in t.seen
        t = Terminal([naru, "run", path, "-n", "5", "--hide-reasoning", *LETTER_D])
        t.wait_for(PROMPT)
        t.type("hello\r")
        t.wait_for(r"\(the answer ended inside its reasoning, which --hide-reasoning does not show\).*stopped at --max-tokens 5")
        t.type("/quit\r")
        assert t.wait_end() == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--fixtures", type=pathlib.Path, default=HERE.parent / "fixtures")
    parser.add_argument("--only", default="")
    args = parser.parse_args()
    # What a background job ignores its children would ignore too.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    model = args.fixtures.resolve() / "models" / "gguf-llama-f32" / "model.gguf"
    tests = {name: test for source in (globals(), vars(signal_tests)) for name, test in source.items()
             if name.startswith("test_") and args.only in name}
    failed = 0
    for name, test in tests.items():
        try:
            test(args.binary.resolve(), model)
        except AssertionError as problem:
            failed += 1
            print(f"FAILED {name}: {problem or 'a wrong value'}")
    print(f"{len(tests) - failed} of {len(tests)} tests passed")
    return 1 if failed or not tests else 0


if __name__ == "__main__":
    sys.exit(main())
