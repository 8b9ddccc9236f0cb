#!/usr/bin/env python3
"""Makes tests/golden/events.h: event files as TensorBoard's own messages and record writer give
them (pip install tensorboard), and sees to it that its reader takes them."""

import io
import os
import tempfile

from tensorboard.backend.event_processing import event_accumulator
from tensorboard.compat.proto import event_pb2, summary_pb2
from tensorboard.summary.writer.record_writer import RecordWriter


def scalar(time, step, tag, value):
    value = summary_pb2.Summary.Value(tag=tag, simple_value=value)
    return event_pb2.Event(
        wall_time=time, step=step, summary=summary_pb2.Summary(value=[value])
    )


def version(time):
    return event_pb2.Event(wall_time=time, file_version="brain.Event:2")


# The clock goes on by half a second whenever it is read; the name of the file takes one reading.
FIRST = [
    version(1700000001.0),
    scalar(1700000001.5, 0, "train/loss", 3.25),
    scalar(1700000002.0, 300, "held_out/accuracy", -0.1),
    scalar(1700000002.5, 5000000000, "x", 1e30),
]
RESUMED = [
    version(1700000011.0),
    event_pb2.Event(
        wall_time=1700000011.5,
        step=121,
        session_log=event_pb2.SessionLog(status=event_pb2.SessionLog.START),
    ),
    scalar(1700000012.0, 121, "train/loss", 2.0),
]


def written(events):
    out = io.BytesIO()
    writer = RecordWriter(out)
    for event in events:
        writer.write(event.SerializeToString(deterministic=True))
    return out.getvalue()


def read(data):
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "events.out.tfevents.1.test"), "wb") as f:
            f.write(data)
        reader = event_accumulator.EventAccumulator(folder)
        reader.Reload()
        return {
            tag: [(e.step, e.value) for e in reader.Scalars(tag)]
            for tag in reader.Tags()["scalars"]
        }


def array(name, data):
    lines = [
        "    " + ", ".join(f"0x{b:02x}" for b in data[i : i + 14]) + ","
        for i in range(0, len(data), 14)
    ]
    return f"static const unsigned char {name}[] = {{\n" + "\n".join(lines) + "\n};\n"


def main():
    first, resumed = written(FIRST), written(RESUMED)
    assert read(first)["train/loss"] == [(0, 3.25)], read(first)
    assert read(resumed) == {"train/loss": [(121, 2.0)]}, read(resumed)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "events.h")
    with open(path, "w") as f:
        f.write("/* Made by events.py. */\n/* clang-format off */\n")
        f.write(array("events_golden", first))
        f.write(array("events_golden_resumed", resumed))


main()
