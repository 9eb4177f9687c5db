"""`naru run --server` against this server, and against others, which a few lines of Python stand for."""

import http.server
import json
import re
import threading

from command_tests import naru
from server_rig import MODEL, Server
from terminal_rig import PROMPT, Terminal


def test_run_with_a_server(binary, folder):
    """The answer is that of the model in this process, by the same seed."""
    sampling = ["--seed", "5", "--temperature", "1", "--top-p", "1", "-n", "12"]
    here = naru(binary, "run", MODEL, "Tell me", "--raw", "--context", "256", "--json", *sampling)
    keys = folder / "keys"
    keys.write_text("# whose\n0123456789abcdef0123 anna\n")
    path = folder / "s"
    with Server(binary, "--socket", path, "--keys", keys) as server:
        there = naru(binary, "run", "--server", f"unix:{path}", "Tell me", "--raw", "--json", "--api-key-file", keys,
                     *sampling)
        assert there.returncode == 0, there.stderr
        wanted, got = json.loads(here.stdout), json.loads(there.stdout)
        assert got["text"] == wanted["text"] and got["finish_reason"] == wanted["finish_reason"]
        assert got["usage"]["completion_tokens"] == wanted["usage"]["completion_tokens"] and got["model"] == "tiny"
        shown = naru(binary, "run", "--server", f"unix:{path}", "Tell me", "--raw", "--stats", *sampling,
                     NARU_API_KEY="0123456789abcdef0123")
        assert shown.stdout.strip() == wanted["text"].strip() and "first token" in shown.stderr
        asked = naru(binary, "run", "--server", f"unix:{path}", "Tell me", OPENAI_API_KEY="wrong")
        assert asked.returncode == 8 and "status 401" in asked.stderr and "its API key is not known" in asked.stderr
        long = naru(binary, "run", "--server", f"unix:{path}", "word " * 300, "--api-key-file", keys)
        assert long.returncode == 4 and " 256" in long.stderr, long.stderr
    gone = naru(binary, "run", "--server", f"unix:{path}", "Hi")
    assert gone.returncode == 8 and "no server answers at this socket" in gone.stderr
    for words, status, said in [
        (["--server", "ftp://x", "Hi"], 2, "an http or https address was wanted"),
        (["--server", "http://127.0.0.1:9", "Hi", "--chip", "cpu"], 2, "--chip is about a model that runs here"),
        (["--server", "http://127.0.0.1:9", "a", "b"], 2, "quote the prompt"),
        (["--model", "m", str(MODEL), "Hi"], 2, "--model is about a server"),
    ]:
        done = naru(binary, "run", *words)
        assert done.returncode == status and said in done.stderr, (words, done.stderr)


def test_forms_of_a_server(binary, folder):
    """--schema, --regex and --choice reach the server, in chats and raw; one that passes them over is found out."""
    schema = folder / "schema.json"
    schema.write_text('{"type": "integer", "minimum": 10, "maximum": 99}')
    with Server(binary) as server:
        ask = ["run", "--server", f"http://127.0.0.1:{server.address[1]}", "Tell me", "--json", "--temperature", "1"]
        for flags, form in [(["--choice", "yes", "--choice", "no"], "yes|no"), (["--regex", "[0-9]{3}x"], "[0-9]{3}x"),
                            (["--schema", schema], "[1-9][0-9]")]:
            for raw in [[], ["--raw"]]:
                done = naru(binary, *ask, *flags, *raw)
                assert done.returncode == 0 and re.fullmatch(form, json.loads(done.stdout)["text"]), (flags, raw, done)
        done = naru(binary, *ask, "--regex", "(")
        assert done.returncode == 2 and "reading the regular expression" in done.stderr, done.stderr
        # What cannot be done ends as it does with the model in this process.
        for text, status in [('{"type": 5}', 2), ('{"not": {}}', 6), ('{"pattern": "(?=a)"}', 6),
                             ('{"type": "string", "maxLength": 1000000}', 7), ('{"type"', 5)]:
            schema.write_text(text)
            for words in ["run", MODEL, "Tell me"], ask:
                done = naru(binary, *words, "--schema", schema)
                assert done.returncode == status and "schema" in done.stderr, (text, done)
        schema.write_text('{"type": "integer", "minimum": 10, "maximum": 99}')
    passed_over = events(piece(content="maybe"), piece("stop"), "[DONE]")
    cut = events(piece(content="ye"), piece("length"), "[DONE]")
    with OtherServer([passed_over] * 3 + [cut]) as other:
        ask = ["run", "--server", other.address, "Hi"]
        for flags, field in [(["--choice", "yes"], "structured_outputs.choice"), (["--regex", "m[aey]+"], "structured_outputs.regex"),
                             (["--schema", schema], "response_format")]:
            done = naru(binary, *ask, *flags)
            assert done.returncode == 8 and done.stdout == "maybe\n", done
            assert "which was asked for by " + field in done.stderr and "leave the form out" in done.stderr, done.stderr
        done = naru(binary, *ask, "--choice", "yes")
        assert done.returncode == 7 and done.stdout == "ye\n" and "its form is not whole" in done.stderr, done
        bodies = [body for path, body, key in other.asked]
        assert bodies[0]["structured_outputs"] == {"choice": ["yes"]}
        assert bodies[1]["structured_outputs"] == {"regex": "m[aey]+"}
        assert bodies[2]["response_format"]["json_schema"]["schema"] == json.loads(schema.read_text())
        other.shutdown()


class OtherServer(http.server.ThreadingHTTPServer):
    """A server of somebody else's: what it says to a POST is given."""

    def __init__(self, answers, models=("theirs",)):
        self.answers, self.models, self.asked = list(answers), models, []

        class Handler(http.server.BaseHTTPRequestHandler):
            def reply(self, status, body, kind, **fields):
                self.send_response(status)
                for name, value in {"Content-Type": kind, **fields}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(body.encode())

            def do_GET(self):
                data = [{"id": model, "object": "model", "max_model_len": 99} for model in self.server.models]
                self.reply(200, json.dumps({"object": "list", "data": data}), "application/json")

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                self.server.asked.append((self.path, body, self.headers.get("authorization")))
                answer = self.server.answers.pop(0)
                self.reply(*answer[:3], **dict(*answer[3:]))

            def log_message(self, *unused):
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{self.server_port}"


def events(*parts):
    return 200, "".join(f"data: {part if isinstance(part, str) else json.dumps(part)}\r\n\r\n" for part in parts), \
        "text/event-stream"


def piece(reason=None, **delta):
    return {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}], "usage": None}


def test_run_with_other_servers(binary):
    usage = {"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 2,
                                      "prompt_tokens_details": {"cached_tokens": 3}}}
    whole = {"choices": [{"index": 0, "message": {"role": "assistant", "content": "whole"}, "finish_reason": "stop"}],
             "usage": usage["usage"]}
    other = OtherServer([
        events(piece(role="assistant"), piece(reasoning="why "), piece(reasoning_content="so"), piece(content="because"),
               piece("length"), usage, "[DONE]"),
        (200, json.dumps(whole), "application/json"),
        events(piece(content="half"), {"error": {"message": "it\n\x1b[31mbroke", "code": None}}),
        events(piece(content="half")),
        (429, '{"error": "slow down"}', "application/json"),
        (302, "", "text/html"),
        (200, "no JSON", "text/plain"),
    ])
    with other:
        ask = ["run", "--server", other.address, "--json", "--temperature", "0.5", "--stop", "x", "--stop", "y", "--seed", "3",
               "--logit-bias", "7=-1", "--system", "S", "Hi"]
        done = naru(binary, *ask, OPENAI_API_KEY="their-key")
        answer = json.loads(done.stdout)
        assert answer["text"] == "because" and answer["reasoning"] == "why so" and answer["finish_reason"] == "length"
        assert answer["usage"] == {"prompt_tokens": 7, "completion_tokens": 2, "cached_tokens": 3, "total_tokens": 9}
        path, body, key = other.asked[0]
        assert path == "/v1/chat/completions" and key == "Bearer their-key"
        assert body == {"model": "theirs", "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Hi"}],
                        "stream": True, "stream_options": {"include_usage": True}, "temperature": 0.5,
                        "logit_bias": {"7": -1.0}, "seed": 3, "stop": ["x", "y"]}
        done = naru(binary, "run", "--server", other.address + "/prefix", "--model", "mine", "Hi")
        assert done.stdout == "whole\n" and other.asked[1][0] == "/prefix/chat/completions"
        assert other.asked[1][1]["model"] == "mine" and "seed" not in other.asked[1][1]
        done = naru(binary, "run", "--server", other.address, "Hi")
        assert done.returncode == 8 and "it ended with an error: it" in done.stderr and "\x1b" not in done.stderr
        done = naru(binary, "run", "--server", other.address, "Hi")
        assert done.returncode == 8 and "ended before it was whole" in done.stderr and done.stdout == "half\n"
        for status, words in [(8, "status 429: slow down"), (8, "status 302"), (8, "ended before it was whole")]:
            done = naru(binary, "run", "--server", other.address, "Hi")
            assert done.returncode == status and words in done.stderr, done.stderr
        other.shutdown()
    with OtherServer([], models=("one", "two")) as other:
        done = naru(binary, "run", "--server", other.address, "Hi")
        assert done.returncode == 2 and "it serves 2 models" in done.stderr and "one, two" in done.stderr
        other.shutdown()


def test_what_a_server_passes_over_is_said(binary):
    with Server(binary) as server:
        ask = ["run", "--server", f"http://127.0.0.1:{server.address[1]}", "Hi", "-n", "2"]
        done = naru(binary, *ask, "--model", "another")
        said = "the server passed over: model (the model that answers is tiny)"
        assert done.returncode == 0 and said in done.stderr, done
        assert "passed over" not in naru(binary, *ask, "--model", "tiny").stderr
    said = {"x_naru_ignored": "seed", "x_naru_warning": "a\x1b[31m word"}
    with OtherServer([(*events(piece(content="so"), piece("stop"), "[DONE]"), said)]) as other:
        done = naru(binary, "run", "--server", other.address, "Hi", "--seed", "1")
        assert done.stdout == "so\n" and "the server passed over: seed\n" in done.stderr, done
        assert "the server warns: a" in done.stderr and "\x1b" not in done.stderr, done.stderr
        other.shutdown()


def test_a_chat_offers_what_the_model_of_a_server_can_be_asked(binary, folder):
    run = folder / "my-run"
    (run / "model").mkdir(parents=True)
    (run / "model" / "model.gguf").symlink_to(MODEL)
    (run / "recipe.toml").write_text('steps = 1\n[model]\npath = "m"\n[[data]]\npath = "d.txt"\n[sample]\n'
                                     'prompts = ["first", "second"]\n')
    with Server(binary, model=run / "model" / "model.gguf") as server:
        chat = Terminal([binary, "run", "--server", f"http://127.0.0.1:{server.address[1]}", "-n", "2", "--logit-bias",
                         "100=100", "--no-history"], environment={"NARU_CONFIG": "/dev/null"})
        chat.wait_for(r"what it can be asked .*1  first.*2  second")
        chat.wait_for(PROMPT)
        chat.type("2\r")
        chat.wait_for(r"second.*\r\n.*dd")
        chat.wait_for(PROMPT)
        chat.type("/quit\r")
        assert chat.wait_end() == 0


def test_chat_with_a_server(binary):
    with Server(binary) as server:
        address = f"http://127.0.0.1:{server.address[1]}"
        chat = Terminal([binary, "run", "--server", address, "-n", "5", "--logit-bias", "100=100", "--no-history"],
                        environment={"NARU_CONFIG": "/dev/null"})
        chat.wait_for(r"tiny at http.* · context 256 · logit-bias 100=100, max-tokens 5")
        chat.wait_for(PROMPT)
        chat.type("hello\r")
        chat.wait_for(r"ddddd\r\n.*stopped at --max-tokens 5")
        chat.wait_for(PROMPT)
        chat.type("/set temperature 0\r")
        chat.wait_for(r"temperature 0 \(/set\)")
        chat.wait_for(PROMPT)
        chat.type("/retry\r")
        chat.wait_for(r"ddddd\r\n")
        chat.wait_for(PROMPT)
        chat.type("/stats\r")
        chat.wait_for(r"context \d+ of 256 tokens, 1 turn")
        chat.wait_for(PROMPT)
        for _ in range(8):  # until the server's context is full
            chat.type("word word word word word word word word word word\r")
            chat.wait_for(r"ddddd\r\n")
            chat.wait_for(PROMPT)
        chat.type("/set max-tokens 200\r")
        chat.wait_for(PROMPT)
        chat.type("/clear\r")
        chat.wait_for(PROMPT)
        chat.type("go on\r")
        chat.wait_for(r"ddd")
        chat.type(b"\x03")
        chat.wait_for(r"\(stopped\)|max-tokens|context")
        chat.wait_for(PROMPT)
        chat.type("/quit\r")
        assert chat.wait_end() == 0
        chat = Terminal([binary, "run", "--server", address, "--choice", "yes", "--choice", "yesyes", "--no-history"],
                        environment={"NARU_CONFIG": "/dev/null"})
        chat.wait_for(r"answers are one of 2 texts")
        chat.wait_for(PROMPT)
        for _ in range(2):
            chat.type("Is it?\r")
            chat.wait_for(r"(\n|\?2004l)yes(yes)?\r\n")
            chat.wait_for(PROMPT)
        chat.type("/quit\r")
        assert chat.wait_end() == 0
        server.wait_for_idle()
