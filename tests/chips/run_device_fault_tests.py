"""A device that has too little memory, is lost in the middle of serving and of training, or never answers: what the program
says, and that it leaves nothing half-written. The device is the CUDA chip on the stand-in for NVIDIA's libraries (tests/cuda/standin), whose kernels
run through an OpenCL driver. Python's standard library only.

    python3 run_device_fault_tests.py BINARY SOURCE_ROOT STANDIN

Ends with status 77 where there is no OpenCL driver.
"""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request

from run_moving_tests import Rig, SKIPPED, WAIT_SECONDS

# cudaErrorIllegalAddress: from there on every call fails.
LOST = 700
LOST_WORDS = (r"running \w+, or what was queued before it", "on chip cuda", r"\(cu\w+\)",
              "the device is lost to this process: start naru again")


class DeviceRig(Rig):
    def __init__(self, binary, root, standin, folder):
        super().__init__(binary, root, "cuda", folder)
        cache = os.environ.get("XDG_CACHE_HOME", str(pathlib.Path.home() / ".cache"))
        self.environment |= {"NARU_LIBCUDA": standin, "NARU_NVRTC": standin, "POCL_CACHE_DIR": f"{cache}/pocl",
                             "XDG_CACHE_HOME": str(folder / "cache")}

    def fails(self, *words, **environment):
        """Status and standard error."""
        done = subprocess.run([self.binary, *map(str, words)], cwd=self.folder, env={**self.environment, **environment},
                              capture_output=True, text=True, timeout=WAIT_SECONDS, check=False)
        assert done.returncode != 0, (words, environment, done.stdout[-500:], done.stderr[-500:])
        return done.returncode, done.stderr

    def serve(self, **environment):
        process = subprocess.Popen([self.binary, "serve", "builtin", "--chip", "cuda", "--port", "0"], cwd=self.folder,
                                   env={**self.environment, **environment}, stdout=subprocess.PIPE,
                                   stderr=open(self.folder / "serve.log", "w"), text=True)
        first = process.stdout.readline()
        address = re.match(r"(http://\S+) serves ", first)
        assert address, (first, (self.folder / "serve.log").read_text())
        assert process.stdout.readline().startswith("ready")
        return process, address[1]


def asked(address):
    """Status and body of one answer."""
    body = {"messages": [{"role": "user", "content": "What is 7 + 5?"}], "max_tokens": 4, "temperature": 0}
    request = urllib.request.Request(address + "/v1/chat/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=WAIT_SECONDS) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def has_all(text, *parts):
    for part in parts:
        assert re.search(part, text), (part, text)


def test_a_model_that_does_not_fit_is_refused_with_the_numbers(rig):
    status, said = rig.fails("run", "builtin", "hi", "--chip", "cuda", NARU_STANDIN_MEMORY="64")
    assert status == 7, (status, said)
    has_all(said, "planning memory: .* for weights, .* make .* MiB, but 6[0-9.]+ MiB are available on chip cuda; .*or chip cpu")


def test_a_run_that_does_not_fit_is_refused_with_the_numbers(rig):
    rig.prepare()
    status, said = rig.fails(*rig.train("run", "cuda"), NARU_STANDIN_MEMORY="1")
    assert status == 7, (status, said)
    has_all(said, "planning ", " MiB", "batch")
    assert not (rig.folder / "run").exists(), "nothing was begun"


def test_a_run_whose_device_is_lost_goes_on_from_its_checkpoint(rig):
    rig.prepare()
    rig.run(*rig.train("stayed", "cpu"))
    status, said = rig.fails(*rig.train("run", "cuda"), NARU_STANDIN_FAIL_QUEUED=f"9000:{LOST}")
    assert status == 8, (status, said)
    has_all(said, *LOST_WORDS)
    kept = rig.steps("run")
    assert kept, "it was lost before the first checkpoint: let it fail later"
    assert not list((rig.folder / "run").rglob("*.partial-*")), "something was left half-written"
    rig.run(*rig.train("run", "cuda"))
    assert rig.weights("run") == rig.weights("stayed"), (rig.weights("run"), rig.weights("stayed"))


def test_a_server_whose_device_is_lost_says_so(rig):
    process, address = rig.serve(NARU_STANDIN_FAIL_QUEUED=f"2500:{LOST}")
    try:
        answers = [asked(address) for _ in range(20)]
    finally:
        process.terminate()
        process.wait(WAIT_SECONDS)
    statuses = [status for status, _ in answers]
    assert statuses[0] == 200, (answers[0], "it was lost before the first answer: let it fail later")
    lost = next((body for status, body in answers if status != 200), None)
    assert lost is not None, "it was not lost: let it fail earlier"
    # From then on every answer is that error, and the server is there to say it.
    assert statuses == [200] * statuses.count(200) + [503] * statuses.count(503), statuses
    has_all(lost["error"]["message"], *LOST_WORDS)
    assert process.returncode == 0, (process.returncode, (rig.folder / "serve.log").read_text()[-2000:])


def test_a_run_whose_device_hangs_ends_and_goes_on_from_its_checkpoint(rig):
    rig.prepare()
    rig.run(*rig.train("stayed", "cpu"))
    status, said = rig.fails(*rig.train("run", "cuda"), "--patience", "15", NARU_STANDIN_HANG_QUEUED="9000")
    assert status == 9, (status, said)
    has_all(said, r"training on chip cuda: .*\w+.*: no answer in 15 seconds \(--patience\)", "run the same command again")
    assert rig.steps("run"), "it hung before the first checkpoint: let it hang later"
    assert not list((rig.folder / "run").rglob("*.partial-*")), "something was left half-written"
    rig.run(*rig.train("run", "cuda"))
    assert rig.weights("run") == rig.weights("stayed"), (rig.weights("run"), rig.weights("stayed"))


def test_a_device_that_hangs_is_told_from_others_by_check(rig):
    status, said = rig.fails("check", "--chip", "cuda", "--quick", "--op", "rms_norm", "--patience", "10",
                             NARU_STANDIN_HANG_QUEUED="100")
    assert status == 9, (status, said)
    has_all(said, "1 of 1 cells of the matrix are at fault, rms_norm f32 first: .*no answer in 10 seconds; run: naru check ")
    status, said = rig.fails("check", "builtin", "--chip", "cuda", "--patience", "15", NARU_STANDIN_HANG_QUEUED="1000")
    assert status == 9, (status, said)
    has_all(said, r"pass \d+, layer \d+, \w+.*: no answer in 15 seconds; the chip hangs there")


def main():
    binary, root, standin = (pathlib.Path(word).resolve() for word in sys.argv[1:4])
    with tempfile.TemporaryDirectory() as folder:
        if subprocess.run([binary, "show", "builtin", "--chip", "opencl"], capture_output=True, check=False).returncode != 0:
            print("skipped: no OpenCL driver that the stand-in could launch kernels by (scripts/setup --opencl)")
            sys.exit(SKIPPED)
    tests = [value for name, value in globals().items() if name.startswith("test_") and (len(sys.argv) < 5 or sys.argv[4] in name)]
    for test in tests:
        with tempfile.TemporaryDirectory() as folder:
            test(DeviceRig(binary, root, str(standin), pathlib.Path(folder)))
            print("ok", test.__name__, flush=True)


if __name__ == "__main__":
    main()
