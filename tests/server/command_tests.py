"""What the command line of the server does beside answering: TLS, logs, --check-config, --for."""

import json
import os
import re
import signal
import ssl
import subprocess
import sys
import time

from server_rig import HERE, MODEL, WAIT_SECONDS, Client, Server, request

sys.path.insert(0, str(HERE.parent / "cli"))
from terminal_rig import Terminal  # noqa: E402

SECRET = "a secret that nobody may read"
HELLO = {"messages": [{"role": "user", "content": SECRET}], "max_tokens": 3, "ignore_eos": True, "seed": 1}


def clean_environment(**more):
    return {**{name: value for name, value in os.environ.items()
               if not name.startswith("NARU_") and name not in ("OPENAI_API_KEY", "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE")},
            "NARU_CONFIG": "/dev/null", **more}


def naru(binary, *words, **environment):
    return subprocess.run([binary, *map(str, words)], capture_output=True, text=True, check=False, timeout=60,
                          stdin=subprocess.DEVNULL, env=clean_environment(**environment))


def make_certificate(folder, name="cert"):
    """Files of a certificate that knows localhost, and of its key; None where there is no openssl to make them."""
    cert, key = folder / f"{name}.pem", folder / f"{name}-key.pem"
    try:
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days",
                        "3", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout",
                        key, "-out", cert], check=True, capture_output=True)
    except FileNotFoundError:
        return None
    return cert, key


class TlsClient(Client):
    """A connection with TLS."""

    def __init__(self, address, cert, **limits):
        super().__init__(address)
        context = ssl.create_default_context(cafile=cert)
        for name, value in limits.items():
            setattr(context, name, value)
        self.socket = context.wrap_socket(self.socket, server_hostname="localhost")


def test_tls(binary, folder):
    made = make_certificate(folder)
    if not made:
        print("test_tls: passed over: there is no openssl")
        return
    cert, key = made
    with Server(binary, "--tls-cert", cert, "--tls-key", key) as server:
        assert f"--cacert {cert} https://127.0.0.1:" in server.lines[0]
        with TlsClient(server.address, cert) as client:
            assert client.socket.version() == "TLSv1.3"
            for _ in range(3):  # on one connection
                assert client.ask("GET", "/v1/models").json()["data"][0]["id"] == "tiny"
            streamed = client.ask("POST", "/v1/chat/completions", {**HELLO, "stream": True})
            assert streamed.events()[-1] == "[DONE]" and streamed.is_open
            client.send(request("GET", "/health") * 2)  # one behind the other
            assert client.receive().status == client.receive().status == 200
            big = client.ask("POST", "/v1/completions", {"prompt": "a" * 3000000})
            assert big.status == 400 and big.json()["error"]["code"] == "context_length_exceeded"
            last = client.ask("GET", "/health", connection="close")
            assert not last.is_open and client.is_closed()
        with TlsClient(server.address, cert, maximum_version=ssl.TLSVersion.TLSv1_2) as client:
            assert client.socket.version() == "TLSv1.2" and client.ask("GET", "/health").status == 200
        with TlsClient(server.address, cert) as client:  # it leaves amid its answer
            client.send(request("POST", "/v1/completions", {"prompt": "a", "max_tokens": 200, "ignore_eos": True,
                                                            "stream": True}))
            client.until(b"data: ")
        with Client(server.address) as client:  # plain HTTP
            answer = client.ask("GET", "/health")
            assert answer.status == 400 and "https://" in answer.json()["error"]["message"] and client.is_closed()
        with Client(server.address) as client:  # TLS that is none
            client.send(b"\x16\x03\x01\x00\x05hello")
            while client.more():
                pass
            assert not client.held.startswith(b"HTTP")
        asked = naru(binary, "run", "--server", f"https://localhost:{server.address[1]}", "Hi", "-n", "3", "--json",
                     SSL_CERT_FILE=str(cert))
        assert asked.returncode == 0 and json.loads(asked.stdout)["model"] == "tiny", asked.stderr
        unknown = naru(binary, "run", "--server", f"https://localhost:{server.address[1]}", "Hi")
        assert unknown.returncode == 8 and "certificate" in unknown.stderr, unknown.stderr
    with Server(binary) as server, Client(server.address) as client:
        client.send(b"\x16\x03\x01\x00\x05hello")
        assert "--tls-cert" in client.receive().json()["error"]["message"]


def test_slow_handshakes_end(binary, folder):
    made = make_certificate(folder)
    if not made:
        return
    with Server(binary, "--tls-cert", made[0], "--tls-key", made[1]) as server:
        silent, begun = Client(server.address), Client(server.address)
        begun.send(b"\x16")
        begin = time.monotonic()
        assert silent.is_closed() and begun.is_closed() and 4 < time.monotonic() - begin < 20


def serve(binary, *words, **environment):
    return naru(binary, "serve", MODEL, "--name", "tiny", "--context", "256", "--threads", "2", *words, **environment)


def test_tls_files(binary, folder):
    made, other = make_certificate(folder), make_certificate(folder, "other")
    if not made:
        return
    cert, key = made
    for words, status, said in [
        (["--tls-cert", cert], 2, "--tls-cert was given without --tls-key"),
        (["--tls-key", key], 2, "--tls-key was given without --tls-cert"),
        (["--tls-cert", folder / "none.pem", "--tls-key", key], 3, "none.pem"),
        (["--tls-cert", cert, "--tls-key", other[1]], 2, "its key is not that of the certificate"),
        (["--tls-cert", key, "--tls-key", key], 2, "it holds no certificate"),
        (["--tls-cert", cert, "--tls-key", cert], 2, "it holds no private key"),
        (["--tls-cert", cert, "--tls-key", key, "--socket", folder / "s"], 2, "--socket and --tls-cert"),
    ]:
        done = serve(binary, "--port", "0", *words)
        assert done.returncode == status and said in done.stderr, (words, done.stderr)


def test_logs(binary, folder):
    path = folder / "log"
    path.write_text("what was there\n")
    keys = folder / "keys"
    keys.write_text("0123456789abcdef0123 anna\n")
    with Server(binary, "--json-log", "--log", path, "--keys", keys) as server:
        bearer = {"authorization": "Bearer 0123456789abcdef0123"}
        answer = server.ask("POST", "/v1/chat/completions", HELLO, **bearer)
        server.ask("POST", "/v1/chat/completions", {**HELLO, "stream": True}, **bearer)
        server.ask("POST", "/v1/chat/completions", {"messages": SECRET}, **bearer)
        server.ask("POST", "/v1/chat/completions", HELLO)
        server.ask("GET", "/v1/nothing", **bearer)
        said = server.said()
    assert SECRET not in path.read_text() and SECRET not in said and "0123456789abcdef0123" not in path.read_text()
    first, *lines = path.read_text().splitlines()
    assert first == "what was there" and len(lines) == 5
    whole, streamed, wrong, nobody, nowhere = map(json.loads, lines)
    for line in (whole, streamed):
        assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["time"])
        assert line["request"] == "POST /v1/chat/completions" and line["status"] == 200
        assert line["model"] == "tiny" and line["key"] == "anna"
        usage = answer.json()["usage"]
        assert line["tokens"]["in"] == usage["prompt_tokens"] and line["tokens"]["out"] == 3
        assert 0 < line["first_seconds"] <= line["seconds"] < 60 and "body" not in line
    assert whole["id"] == answer.json()["id"]
    assert wrong["status"] == 400 and wrong["refused"] == "messages"
    assert nobody["status"] == 401 and "key" not in nobody and nowhere["status"] == 404

    with Server(binary, "--log-prompts", "--json-log", "--log", path) as server:
        assert "prompts are logged" in server.said()
        server.ask("POST", "/v1/completions", {"prompt": SECRET + "\n" * 100000, "max_tokens": 1})
        server.ask("POST", "/v1/chat/completions", HELLO)
    long, short = map(json.loads, path.read_text().splitlines()[6:])
    assert json.loads(short["body"]) == HELLO and short["body_bytes"] == len(short["body"])
    assert SECRET in long["body"] and len(long["body"]) == 65536 < long["body_bytes"]


def wait_until(is_so, what):
    end = time.monotonic() + WAIT_SECONDS
    while not is_so():
        assert time.monotonic() < end, what
        time.sleep(0.01)


def test_a_hang_up_has_files_read_again(binary, folder):
    """The log is opened anew, keys and certificate are read again, and a connection that is there stays."""
    log, old_log, keys = folder / "log", folder / "log.1", folder / "keys"
    keys.write_text("0123456789abcdef0123 anna\n")
    made, other = make_certificate(folder), make_certificate(folder, "other")
    tls = ["--tls-cert", made[0], "--tls-key", made[1]] if made else []
    anna, bert = ({"authorization": f"Bearer {key}"} for key in ("0123456789abcdef0123", "abcdef0123456789abcd"))

    def hang_up(server):
        n = server.said().count("hang-up: read again")
        server.process.send_signal(signal.SIGHUP)
        wait_until(lambda: server.said().count("hang-up: read again") > n, server.said())

    def connect(server, cert):
        return TlsClient(server.address, cert) if made else Client(server.address)

    with Server(binary, "--log", log, "--json-log", "--keys", keys, *tls) as server:
        with connect(server, made and made[0]) as client:
            assert client.ask("POST", "/v1/chat/completions", HELLO, **anna).status == 200
            wait_until(lambda: log.exists() and log.read_text().count("\n") == 1, "no line in the log")
            client.send(request("POST", "/v1/completions", {"prompt": "a", "max_tokens": 200, "ignore_eos": True,
                                                            "stream": True}, **anna))
            client.until(b"data: ")
            log.rename(old_log)
            keys.write_text("abcdef0123456789abcd bert\n")
            if made:
                made[0].write_bytes(other[0].read_bytes())
                made[1].write_bytes(other[1].read_bytes())
            hang_up(server)
            assert "keys: 1" in server.said()
            client.until(b"data: [DONE]")  # the answer under way is whole
            client.until(b"0\r\n\r\n")
            assert client.ask("GET", "/v1/models", **anna).status == 401
            assert client.ask("GET", "/v1/models", **bert).status == 200
            wait_until(lambda: log.exists() and log.read_text().count("\n") >= 2, "no line in the new log")
            assert old_log.read_text().count("\n") in (1, 2)  # a second where the answer ended before the rename
        with connect(server, other and other[0]) as client:  # a new connection has the new certificate
            assert client.ask("GET", "/v1/models", **bert).status == 200
        keys.write_text("short\n")  # what cannot be read changes nothing
        hang_up(server)
        assert "the key has 5 bytes" in server.said()
        with connect(server, other and other[0]) as client:
            assert client.ask("GET", "/v1/models", **bert).status == 200


def test_the_end_of_its_terminal_ends_it(binary):
    server = Terminal([binary, "serve", MODEL, "--port", "0", "--context", "64"], environment={"NARU_CONFIG": "/dev/null"})
    server.wait_for("ready after")
    os.kill(server.pid, signal.SIGHUP)
    server.wait_for("hang-up: read again: nothing")
    os.close(server.fd)
    wait_until(server.is_done, "it goes on without its terminal")


def test_a_log_that_cannot_be_written(binary):
    with Server(binary, "--log", "/dev/full", "--json-log") as server:
        for _ in range(3):
            assert server.ask("POST", "/v1/chat/completions", HELLO).status == 200
        server.wait_for_idle()
        for _ in range(100):
            if "lines of the log are lost" in server.said():
                break
            time.sleep(0.02)
        assert server.said().count("lines of the log are lost") == 1, server.said()
    # A pipe that nobody reads any more, and one whose reader has gone.
    for reader_stays in (True, False):
        there, here = os.pipe()
        with subprocess.Popen([binary, "serve", MODEL, "--port", "0", "--context", "256", "--log-prompts"],
                              stdout=subprocess.PIPE, stderr=here, env=clean_environment()) as process:
            os.close(here)
            if not reader_stays:
                os.close(there)
            address = ("127.0.0.1", int(re.search(rb":(\d+) ", process.stdout.readline())[1]))
            process.stdout.readline()
            body = {"prompt": "x" * 30000}  # refused, and longer in the log than a pipe holds after a few
            for _ in range(10):
                with Client(address) as client:
                    assert client.ask("POST", "/v1/completions", body).status == 400
            process.terminate()
            assert process.wait(30) == 0
            if reader_stays:
                os.close(there)
    done = serve(binary, "--port", "0", "--log", "/nowhere/at/all")
    assert done.returncode == 8 and "/nowhere/at/all" in done.stderr


def test_check_config(binary, folder):
    keys = folder / "keys"
    keys.write_text("0123456789abcdef0123 anna\n")
    done = serve(binary, "--port", "0", "--keys", keys, "--check-config", "--json-log")
    assert done.returncode == 0, done.stderr
    for words in (r"http://127\.0\.0\.1:\d+ .*would serve tiny", "a? *256 tokens, 4 answers at once", r"1, of .*keys",
                  "JSON to standard error", "curl http"):
        assert re.search(words, done.stdout), (words, done.stdout)
    assert "0123456789abcdef0123" not in done.stdout
    socket_path = folder / "s"
    assert serve(binary, "--socket", socket_path, "--check-config").returncode == 0 and not socket_path.exists()
    with Server(binary) as server:
        taken = serve(binary, "--port", server.address[1], "--check-config")
        assert taken.returncode == 8 and "give --port 0" in taken.stderr
    for words, status in [(["--context", "100000"], 4), (["--keys", folder / "none"], 3), (["--host", "0.0.0.0"], 2),
                          (["--chat-template", folder / "none"], 3), (["--quiet", "--json-log"], 2)]:
        assert serve(binary, "--port", "0", "--check-config", *words).returncode == status, words
    # The environment and the defaults file reach it as they reach any flag.
    (folder / "config.toml").write_text("[serve]\nparallel = 3\n")
    done = serve(binary, "--check-config", NARU_PORT="0", NARU_CONFIG=str(folder / "config.toml"))
    assert done.returncode == 0 and "3 answers at once" in done.stdout, done
    # The name of a run, not of the folder in it.
    run = folder / "my-run"
    (run / "model").mkdir(parents=True)
    (run / "run.json").write_text("{}")
    (run / "model" / "model.gguf").write_bytes(MODEL.read_bytes())
    for path in (run / "model", f"{run}/model/"):
        done = naru(binary, "serve", path, "--port", "0", "--context", "64", "--check-config")
        assert done.returncode == 0 and "would serve my-run" in done.stdout, done


def test_settings_for_programs(binary, folder):
    keys = folder / "keys"
    keys.write_text("0123456789abcdef0123 anna\n")
    words = [w for p in ("claude", "codex", "opencode", "openwebui") for w in ("--for", p)]
    with Server(binary, "--keys", keys, *words) as server:
        base = f"http://127.0.0.1:{server.address[1]}"
        text = ""
        while "open-webui serve" not in text:
            text += server.process.stdout.readline().decode()
    for line in (f"export ANTHROPIC_BASE_URL={base}", 'export ANTHROPIC_AUTH_TOKEN="$NARU_API_KEY"',
                 "export ANTHROPIC_MODEL=tiny", f'base_url = "{base}/v1"', 'wire_api = "responses"', 'model = "tiny"',
                 'env_key = "NARU_API_KEY"', "model_context_window = 256", f"export OPENAI_API_BASE_URL={base}/v1"):
        assert line in text.splitlines(), (line, text)
    opencode = json.loads(text[text.index("{\n"):text.index("\n}\n") + 3])
    provider = opencode["provider"]["naru"]
    assert opencode["model"] == "naru/tiny" and provider["options"] == {"baseURL": f"{base}/v1",
                                                                        "apiKey": "{env:NARU_API_KEY}"}
    assert provider["models"]["tiny"]["limit"]["context"] == 256
    # A name that a shell would read otherwise; an address of all networks; no keys.
    done = naru(binary, "serve", MODEL, "--name", "it's $(mine)", "--context", "64", "--port", "0", "--check-config",
                "--for", "claude", "--host", "0.0.0.0", "--no-key")
    block = "".join(line + "\n" for line in done.stdout.splitlines() if line.startswith(("export ANTHROPIC", "unset")))
    read = subprocess.run(["sh", "-c", block + 'echo "$ANTHROPIC_MODEL $ANTHROPIC_BASE_URL $ANTHROPIC_AUTH_TOKEN"'],
                          capture_output=True, text=True, check=True).stdout
    assert re.fullmatch(r"it's \$\(mine\) http://127\.0\.0\.1:\d+ none\n", read), read
    assert serve(binary, "--for", "emacs").returncode == 2
    assert serve(binary, "--for", "codex", "--socket", folder / "s").returncode == 2
