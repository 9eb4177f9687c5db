"""naru serve from outside: what clients ask and get, that an answer does not depend on who else is there, and what becomes
of clients that are slow, wrong, hostile or gone.

    python3 run_server_tests.py BINARY [--only WORD]
"""

import argparse
import json
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

import block_dialect_tests
import client_tests
import command_tests
import hostile_tests
from server_rig import MODEL, WAIT_SECONDS, Client, Server, request, together

PLAIN = {"temperature": 1, "top_p": 1, "top_k": 0, "min_p": 0, "repetition_penalty": 1, "ignore_eos": True}
KEY = "0123456789abcdef0123"
SLOW = ["--chip", "reference"]  # some 400 tokens a second


def chat(**more):
    return {"messages": [{"role": "user", "content": "Hello there"}], "max_tokens": 12, "seed": 7, **PLAIN, **more}


def completion(prompt, **more):
    return {"prompt": prompt, "max_tokens": 16, "seed": 7, **PLAIN, **more}


def streamed(answer):
    """The choices of a stream, put together: text, reasoning, logprobs, reason; and its usage."""
    events = answer.events()
    assert answer.status == 200 and events[-1] == "[DONE]", (answer.status, events[-1:])
    assert answer.fields["content-type"].startswith("text/event-stream")
    choices, usage, ids = {}, None, set()
    for event in map(json.loads, events[:-1]):
        ids.add(event["id"])
        assert isinstance(event["choices"], list)
        usage = event.get("usage") or usage
        for part in event["choices"]:
            choice = choices.setdefault(part["index"], {"text": "", "reasoning": "", "logprobs": [], "reason": None})
            assert choice["reason"] is None, "more of a choice behind its end"
            delta = part.get("delta", {})
            choice["text"] += part.get("text", "") + (delta.get("content") or "")
            choice["reasoning"] += delta.get("reasoning_content", "")
            logprobs = part["logprobs"] or {}
            choice["logprobs"] += logprobs.get("content") or logprobs.get("token_logprobs") or []
            choice["reason"] = part["finish_reason"]
    assert len(ids) == 1
    return choices, usage


def test_pages(binary):
    with Server(binary, "--parallel", "2") as server:
        assert "a context of 256 tokens, 2 answers at once" in server.ready
        assert server.lines[0].startswith(f"curl http://127.0.0.1:{server.address[1]}/v1/chat/completions ")
        for prefix in ("", "/v1"):
            assert server.ask("GET", f"{prefix}/health").json() == {"status": "ok"}
            models = server.ask("GET", f"{prefix}/models").json()
            assert models["object"] == "list" and [m["id"] for m in models["data"]] == ["tiny"]
            assert server.ask("GET", f"{prefix}/models/tiny").json() == models["data"][0]
        missing = server.ask("GET", "/v1/models/other")
        assert missing.status == 404 and missing.json()["error"]["code"] == "model_not_found"
        facts = server.ask("GET", "/v1/server").json()
        assert facts["numerics_id"].startswith("naru") and facts["chip"].startswith("cpu") and facts["parallel"] == 2
        while facts["files"] is None:  # hashes are made behind the first answers
            time.sleep(0.01)
            facts = server.ask("GET", "/v1/server").json()
        shown = json.loads(subprocess.run([binary, "show", str(MODEL), "--json"], capture_output=True, check=True).stdout)
        assert facts["files"][0]["sha256"] == shown["files"][0]["sha256"]
        with server.client() as client:
            head = client.ask("HEAD", "/v1/models")
            whole = client.ask("GET", "/v1/models")
            assert head.status == 200 and head.fields["content-length"] == str(len(whole.body))
            options = client.ask("OPTIONS", "/v1/chat/completions")
            assert options.status == 204 and options.fields["allow"] == "POST, OPTIONS"
            wrong = client.ask("GET", "/v1/chat/completions")
            assert wrong.status == 405 and wrong.fields["allow"] == "POST, OPTIONS"
            assert client.ask("GET", "/nowhere").json()["error"]["code"] == "not_found"
            assert "no embeddings" in client.ask("POST", "/v1/embeddings", {}).json()["error"]["message"]


def test_answers_whole_and_streamed(binary):
    with Server(binary) as server:
        for path, body, text_of in [
            ("/v1/chat/completions", chat(), lambda c: c["message"]["content"]),
            ("/chat/completions", chat(n=3, logprobs=True, top_logprobs=2), lambda c: c["message"]["content"]),
            ("/v1/completions", completion("Hello"), lambda c: c["text"]),
            ("/v1/completions", completion(["Hello", "World"], n=2, logprobs=1), lambda c: c["text"]),
        ]:
            whole = server.ask("POST", path, body)
            assert whole.status == 200, whole.body
            answer = whole.json()
            assert answer["model"] == "tiny" and answer["system_fingerprint"].startswith("fp_")
            usage = answer["usage"]
            assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
            assert usage["prompt_cache_hit_tokens"] + usage["prompt_cache_miss_tokens"] == usage["prompt_tokens"]
            choices, stream_usage = streamed(
                server.ask("POST", path, {**body, "stream": True, "stream_options": {"include_usage": True}}))
            assert len(choices) == len(answer["choices"])
            assert stream_usage["completion_tokens"] == usage["completion_tokens"]
            for choice in answer["choices"]:
                other = choices[choice["index"]]
                assert other["text"] == text_of(choice) and other["reason"] == choice["finish_reason"] == "length"
                logprobs = choice["logprobs"] or {}
                assert other["logprobs"] == (logprobs.get("content") or logprobs.get("token_logprobs") or [])
        ignored = server.ask("POST", "/v1/chat/completions", chat(user="u", foo=1, model="gpt-4"))
        assert ignored.fields["x-naru-ignored"] == "foo, user, model" and ignored.fields["x-naru-seed"] == "7"
        drawn = server.ask("POST", "/v1/completions", completion("Hello", seed=None))
        again = server.ask("POST", "/v1/completions", completion("Hello", seed=int(drawn.fields["x-naru-seed"])))
        assert drawn.json()["choices"] == again.json()["choices"]
        too_long = server.ask("POST", "/v1/completions", completion("word " * 300))
        error = too_long.json()["error"]
        assert too_long.status == 400 and error["code"] == "context_length_exceeded" and " 256" in error["message"]


def ollama(server, path, body):
    """The objects of a stream, and what they say together."""
    answer = server.ask("POST", path, body)
    assert answer.status == 200 and answer.fields["content-type"] == "application/x-ndjson", answer.body
    lines = [json.loads(line) for line in answer.body.decode().splitlines()]
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    return lines, "".join(line["message"]["content"] if "message" in line else line["response"] for line in lines)


def test_ollama_and_pages_of_tokens(binary):
    options = {"num_predict": 12, "seed": 7, "temperature": 1, "top_p": 1, "top_k": 0, "min_p": 0, "repeat_penalty": 1,
               "num_ctx": 100000}
    plain = {name: value for name, value in PLAIN.items() if name != "ignore_eos"}
    with Server(binary) as server:
        messages = chat()["messages"]
        whole = server.ask("POST", "/beta/chat/completions", {**chat(), **plain, "ignore_eos": False}).json()
        lines, said = ollama(server, "/api/chat", {"messages": messages, "options": options})
        assert said == whole["choices"][0]["message"]["content"], (said, whole)
        assert lines[-1]["eval_count"] == whole["usage"]["completion_tokens"] and lines[-1]["total_duration"] > 0
        once = server.ask("POST", "/api/chat", {"messages": messages, "options": options, "stream": False})
        assert once.json()["message"]["content"] == said and once.fields["x-naru-ignored"] == "num_ctx"
        text = server.ask("POST", "/v1/completions", completion("Hello", ignore_eos=False, max_tokens=12)).json()
        assert ollama(server, "/api/generate", {"prompt": "Hello", "raw": True, "options": options})[1] == \
            text["choices"][0]["text"]
        wrong = server.ask("POST", "/api/chat", {"messages": 1})
        assert wrong.status == 400 and "messages" in wrong.json()["error"]
        assert server.ask("POST", "/api/chat", {}).json()["done_reason"] == "load"
        assert server.ask("POST", "/api/embed", {}).status == 400
        assert "naru pull" in server.ask("POST", "/api/pull", {"model": "x"}).json()["error"]
        assert server.ask("GET", "/api/tags").json()["models"][0]["name"] == "tiny"
        assert server.ask("GET", "/api/ps").json()["models"][0]["context_length"] == 256
        assert server.ask("POST", "/api/show", {"model": "tiny"}).json()["model_info"]["general.architecture"] == "llama"
        assert server.ask("GET", "/api/version").json()["version"] and server.ask("HEAD", "/").status == 200

        prompt = server.ask("POST", "/apply-template", chat()).json()["prompt"]
        tokens = server.ask("POST", "/v1/tokenize", {"messages": messages}).json()
        assert tokens["count"] == len(tokens["tokens"]) == whole["usage"]["prompt_tokens"]
        assert server.ask("POST", "/detokenize", {"tokens": tokens["tokens"]}).json()["content"] == prompt
        begun = [*messages, {"role": "assistant", "content": said[:4], "prefix": True}]
        assert server.ask("POST", "/apply-template", {"messages": begun}).json()["prompt"] == prompt + said[:4]
        on = server.ask("POST", "/chat/completions", {**chat(), "messages": begun, "thinking": {"type": "disabled"}})
        assert on.status == 200 and on.fields["x-naru-ignored"] == "thinking"
        filled = server.ask("POST", "/beta/completions", completion("a", suffix="b"))
        assert filled.status == 400 and filled.json()["error"]["param"] == "suffix"


def test_an_answer_is_that_of_naru_run(binary):
    """Token by token, with the bits of their probabilities, whoever else is served."""
    prompts = [(f"Tell me {i}" if i % 2 else "The same words", i) for i in range(8)]

    def alone(prompt, seed):
        done = subprocess.run([binary, "run", str(MODEL), prompt, "--raw", "--json", "--seed", str(seed), "--temperature",
                               "1", "--top-p", "1", "--max-tokens", "16", "--threads", "1", "--context", "256"],
                              capture_output=True, check=True, stdin=subprocess.DEVNULL)
        return json.loads(done.stdout)

    with Server(binary, "--parallel", "3") as server:

        def among_others(prompt, seed):
            body = completion(prompt, seed=seed, logprobs=0, ignore_eos=False)
            if seed % 2:
                return server.ask("POST", "/v1/completions", body).json()["choices"][0]
            choices, _ = streamed(server.ask("POST", "/v1/completions", {**body, "stream": True}))
            return {"text": choices[0]["text"], "logprobs": {"token_logprobs": choices[0]["logprobs"]},
                    "finish_reason": choices[0]["reason"]}

        got = together(*[lambda p=p, s=s: among_others(p, s) for p, s in prompts])
    for (prompt, seed), answer in zip(prompts, got):
        wanted = alone(prompt, seed)
        n = len(wanted["logprobs"]) - (1 if wanted["finish_reason"] == "stop" else 0)  # its end is no part of the text
        assert answer["text"] == wanted["text"] and answer["finish_reason"] == wanted["finish_reason"], (prompt, seed)
        assert answer["logprobs"]["token_logprobs"] == wanted["logprobs"][:n], (prompt, seed)


def test_many_clients_some_of_which_leave(binary):
    """Each whole answer among the crowd is the one that the server gives alone."""
    bodies = [chat(seed=i % 5, max_tokens=10 + i % 7, messages=[{"role": "user", "content": f"secret {i % 6}"}])
              for i in range(24)]
    with Server(binary, "--parallel", "4") as server:
        alone = [server.ask("POST", "/v1/chat/completions", body).json()["choices"] for body in bodies]

        def crowd(i):
            if i % 4 == 3:
                with server.client() as client:  # gone after the first bytes
                    client.send(request("POST", "/v1/chat/completions", {**bodies[i], "stream": True, "max_tokens": 200, "n": 8}))
                    client.until(b"data: ")
                return None
            return server.ask("POST", "/v1/chat/completions", bodies[i]).json()["choices"]

        got = together(*[lambda i=i: crowd(i) for i in range(len(bodies))])
        for i, choices in enumerate(got):
            assert choices is None or choices == alone[i], i
        server.wait_for_idle()
        log = server.said()
        assert " left, " in log and "secret" not in log, log


def test_a_client_that_leaves_is_not_answered_any_more(binary):
    body = chat(max_tokens=220, n=8)
    with Server(binary, "--parallel", "1", *SLOW) as server:
        begin = time.monotonic()
        server.ask("POST", "/v1/chat/completions", body)
        whole = time.monotonic() - begin
        for leave in ("close", "half-close", "reset"):
            for is_streamed in (False, True):
                client = server.client()
                client.send(request("POST", "/v1/chat/completions", {**body, "stream": is_streamed}))
                while server.ask("GET", "/v1/server").json()["answering"] == 0:
                    pass
                if leave == "half-close":
                    client.socket.shutdown(socket.SHUT_WR)
                else:
                    if leave == "reset":
                        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                    client.socket.close()
                begin = time.monotonic()
                server.wait_for_idle()
                server.ask("POST", "/v1/completions", completion("next", max_tokens=1))  # there is room for one
                took = time.monotonic() - begin
                assert took < whole / 2, (leave, is_streamed, took, whole)
                client.socket.close()


def test_reasoning_comes_apart(binary, folder):
    """A template that opens the model's reasoning: a random model never closes it."""
    template = folder / "thinks.jinja"
    template.write_text("{{ messages[0]['content'] }}{% if deep is not defined or deep %}<think>\n{% endif %}")
    with Server(binary, "--chat-template", template) as server:
        body = chat(logprobs=True)
        answer = server.ask("POST", "/v1/chat/completions", body).json()
        choice = answer["choices"][0]
        assert choice["message"]["content"] == "" and choice["message"]["reasoning_content"]
        assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == answer["usage"]["completion_tokens"] == 12
        assert len(choice["logprobs"]["reasoning_content"]) == 12 and choice["logprobs"]["content"] == []
        choices, _ = streamed(server.ask("POST", "/v1/chat/completions", {**body, "stream": True}))
        assert choices[0]["reasoning"] == choice["message"]["reasoning_content"] and choices[0]["text"] == ""
        shallow = server.ask("POST", "/v1/chat/completions", {**body, "chat_template_kwargs": {"deep": False}}).json()
        assert shallow["choices"][0]["message"]["content"] and "reasoning_content" not in shallow["choices"][0]["message"]
        assert shallow["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0


def test_keys_and_who_may_ask(binary, folder):
    keys = folder / "keys.txt"
    keys.write_text(f"# ours\n{KEY} anna\n")
    with Server(binary, "--keys", keys, "--allow-origin", "https://example.org") as server:
        key = {"authorization": f"Bearer {KEY}"}
        assert server.ask("GET", "/health").status == 200
        for path in ("/v1/models", "/v1/models/tiny", "/v1/server"):
            refused = server.ask("GET", path)
            assert refused.status == 401 and refused.json()["error"]["code"] == "invalid_api_key", path
            assert refused.fields["www-authenticate"] == "Bearer"
            assert server.ask("GET", path, **key).status == 200
        assert server.ask("POST", "/v1/chat/completions", chat()).status == 401
        assert server.ask("POST", "/v1/chat/completions", chat(), x_api_key=KEY).status == 200
        assert server.ask("GET", "/v1/models", **key, host="evil.example").status == 421
        evil = server.ask("POST", "/v1/chat/completions", chat(), **key, origin="https://evil.example")
        assert evil.status == 403 and "access-control-allow-origin" not in evil.fields
        good = server.ask("POST", "/v1/chat/completions", chat(), **key, origin="https://example.org")
        assert good.status == 200 and good.fields["access-control-allow-origin"] == "https://example.org"
        asked = server.ask("OPTIONS", "/v1/chat/completions", origin="https://example.org",
                           access_control_request_method="POST")
        assert asked.status == 204 and "authorization" in asked.fields["access-control-allow-headers"]
        assert " anna " in server.said() and KEY not in server.said()


def test_a_full_queue(binary):
    with Server(binary, "--parallel", "1", "--queue", "1", *SLOW) as server:
        clients = [server.client() for _ in range(2)]
        for client in clients:
            client.send(request("POST", "/v1/chat/completions", chat(max_tokens=240)))
        while server.ask("GET", "/v1/server").json()["answering"] < 2:
            pass
        full = server.ask("POST", "/v1/chat/completions", chat())
        assert full.status == 429 and full.fields["retry-after"] == "1", full.body
        assert full.json()["error"]["code"] == "queue_full"
        for client in clients:
            assert client.receive().status == 200
            client.socket.close()
        assert server.ask("POST", "/v1/chat/completions", chat()).status == 200


def test_it_drains(binary):
    with Server(binary, "--parallel", "1", *SLOW) as server:
        idle, busy = server.client(), server.client()
        assert idle.ask("GET", "/health").status == 200
        busy.send(request("POST", "/v1/chat/completions", chat(max_tokens=200, stream=True)))
        busy.until(b"data: ")
        server.term()
        assert idle.is_closed()
        answer = busy.until(b"data: [DONE]\n\n")
        assert b"finish_reason\":\"length" in answer
        busy.until(b"0\r\n\r\n")
        assert busy.is_closed()
        busy.socket.close()  # what it still sends would be waited for
        server.process.wait(60)
        assert server.process.returncode == 0
        try:
            Client(server.address)
            raise AssertionError("somebody listens")
        except ConnectionRefusedError:
            pass


def test_a_unix_socket_and_a_start_after_a_kill(binary, folder):
    path = folder / "naru.sock"
    with Server(binary, "--socket", path) as server:
        assert path.stat().st_mode & 0o777 == 0o600
        assert server.ask("GET", "/health", host="anything").status == 200
        assert f"--unix-socket {path}" in server.lines[0]
        second = run_serve(binary, "--socket", path)
        assert second.returncode == 8 and "another program listens there" in second.stderr, second.stderr
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        assert path.exists()
        server.process.returncode = 0  # as wanted
    with Server(binary, "--socket", path) as server:
        assert server.ask("POST", "/v1/completions", completion("a")).status == 200
    assert not path.exists()
    path.write_text("a file")
    assert "no socket" in run_serve(binary, "--socket", path).stderr and path.read_text() == "a file"


def test_several_models_and_what_is_counted(binary):
    """Two names of one model: each is loaded when it is asked for, and gives the same bytes; /metrics adds up."""
    command = [binary, "serve", f"one={MODEL}", f"two={MODEL}", "--port", "0", "--context", "128", "--threads", "1",
               "--quiet", "--parallel", "3", "--cache-tokens", "160"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            first = process.stdout.readline()
            assert first.endswith(" serves one, two\n"), first
            address = ("127.0.0.1", int(first.split()[0].rsplit(":", 1)[1]))
            assert process.stdout.readline().startswith("ready: each is loaded when a request names it, in ")

            def ask(method, path, body=None):
                with Client(address) as client:
                    return client.ask(method, path, body)

            assert [m["status"] for m in ask("GET", "/v1/models").json()["data"]] == ["idle", "idle"]
            assert ask("POST", "/v1/completions", completion("a", model="three")).json()["error"]["code"] == "model_not_found"
            bodies = [completion("Hello", model=("one", "two")[i % 2], seed=i // 2, max_tokens=90) for i in range(8)]
            answers = together(*[lambda body=body: ask("POST", "/v1/completions", body) for body in bodies])
            texts = [answer.json()["choices"][0]["text"] for answer in answers]
            assert texts[::2] == texts[1::2] and len(set(texts)) == 4
            assert [m["status"] for m in ask("GET", "/health").json()["models"]] == ["loaded", "loaded"]
            lines = dict(line.rsplit(" ", 1) for line in ask("GET", "/metrics").body.decode().splitlines() if line[0] != "#")
            assert lines['naru_requests_total{dialect="openai.completion",status="200"}'] == "8"
            assert lines['naru_cache_pages_total{model="two"}'] == "5"
            assert float(lines['naru_step_seconds_total{model="one"}']) > 0
        finally:
            process.terminate()
        assert process.wait(WAIT_SECONDS) == 0


def run_serve(binary, *arguments):
    return subprocess.run([binary, "serve", str(MODEL), *map(str, arguments)], capture_output=True, text=True, check=False,
                          timeout=60)


def test_starts_that_are_refused(binary, folder):
    (folder / "empty.txt").write_text("# none\n")
    for arguments, status, words in [
        (["--host", "0.0.0.0", "--port", "0"], 2, "there are no keys; give --keys FILE, or"),
        (["--host", "::", "--port", "0"], 2, "there are no keys"),
        (["--host", "no.such.host.invalid"], 3, "it is no address of this machine"),
        (["--keys", folder / "none.txt"], 3, "none.txt"),
        (["--keys", folder / "empty.txt"], 2, "it holds no key"),
        (["--keys", folder / "empty.txt", "--no-key"], 2, "--keys and --no-key"),
        ([MODEL, "--name", "x"], 2, "--name, --chat-template and --adapter are of one model"),
        ([MODEL, "--port", "0"], 2, "two models would be called model"),
        (["--port", "65536"], 2, "--port"),
        (["--context", "100000", "--port", "0"], 4, "100000"),
    ]:
        done = run_serve(binary, *arguments)
        assert done.returncode == status and words in done.stderr, (arguments, done.returncode, done.stderr)
        assert len([line for line in done.stderr.splitlines() if line.startswith("naru: ")]) == 1, done.stderr
    with Server(binary, "--host", "0.0.0.0", "--no-key") as server:
        assert Client(("127.0.0.1", server.address[1])).ask("GET", "/health", host="other.name").status == 200
        taken = run_serve(binary, "--port", server.address[1])
        assert taken.returncode == 8 and "give --port 0" in taken.stderr


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=pathlib.Path)
    parser.add_argument("--only", default="", metavar="WORD", help="tests with this word in their name")
    arguments = parser.parse_args()
    binary = str(arguments.binary.resolve())
    sources = (globals(), vars(hostile_tests), vars(block_dialect_tests), vars(command_tests),
               vars(client_tests))
    tests = {name: test for source in sources for name, test in source.items()
             if name.startswith("test_") and arguments.only in name}

    def run(name):
        begin = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            tests[name](binary, *([pathlib.Path(folder)] if tests[name].__code__.co_argcount > 1 else []))
        print(f"{name}: {time.monotonic() - begin:.2f} s", flush=True)

    # Those that wait for deadlines go beside all others.
    waiting = [name for name in tests if "slow" in name]
    together(*[lambda name=name: run(name) for name in waiting],
             lambda: [run(name) for name in tests if name not in waiting])
    print(f"{len(tests)} tests passed")


if __name__ == "__main__":
    sys.exit(main())
