#!/usr/bin/env python3
"""Reads the event files of a run with the tensorboard package and compares them with its metrics.jsonl.

    python3 -m venv /tmp/tb && /tmp/tb/bin/pip install tensorboard 'setuptools<80'
    /tmp/tb/bin/python tools/check_event_files.py runs/NAME

Needed when src/runs/tensorboard.cpp changes; the golden bytes of tests/runs then follow it.
"""
import json
import math
import pathlib
import struct
import sys

from tensorboard.backend.event_processing import event_accumulator


def main():
    run = pathlib.Path(sys.argv[1])
    accumulator = event_accumulator.EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    accumulator.Reload()
    found = {}
    for tag in accumulator.Tags()["scalars"] + [t for t in accumulator.Tags().get("tensors", [])]:
        try:
            events = [(e.step, e.value) for e in accumulator.Scalars(tag)]
        except KeyError:
            events = [(e.step, e.tensor_proto.float_val[0] if e.tensor_proto.float_val
                       else struct.unpack("<f", e.tensor_proto.tensor_content)[0]) for e in accumulator.Tensors(tag)]
        found[tag] = events
    wanted = {}
    for line in (run / "metrics.jsonl").read_text().splitlines():
        values = json.loads(line)
        step = values.pop("step")
        values.pop("time")
        for tag, value in values.items():
            value = math.nan if value is None else struct.unpack("<f", struct.pack("<f", value))[0]
            wanted.setdefault(tag, []).append((step, value))
    same = {tag: [(s, repr(v)) for s, v in e] for tag, e in found.items()} == {
        tag: [(s, repr(v)) for s, v in e] for tag, e in wanted.items()}
    print(f"{sum(map(len, found.values()))} values of {len(found)} tags: {'equal' if same else 'DIFFERENT'}")
    if not same:
        print(found, wanted, sep="\n")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
