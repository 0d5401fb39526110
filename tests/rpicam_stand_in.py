"""Stands in for rpicam-vid: takes its options, and writes to files what its documentation and source say, with faults when told to.

The option --fault comes from the test, not from rpicam-vid. Frames are of one colour: luma counts frames, or JPEG's red.
"""

import argparse
import itertools
import signal
import sys
import time
from pathlib import Path

parser = argparse.ArgumentParser()
for flag in ("--nopreview", "--flush"):
    parser.add_argument(flag, action="store_true")
for name in ("--camera", "--timeout", "--width", "--height"):
    parser.add_argument(name, type=int, required=True)
parser.add_argument("--framerate", type=float, required=True)
for name in ("--codec", "--output", "--metadata", "--metadata-format"):
    parser.add_argument(name, required=True)
parser.add_argument("--fault", default="")
given = parser.parse_args()
assert (given.codec, given.metadata_format, given.timeout) == ("yuv420", "txt", 0)
assert given.nopreview and given.flush


def planes(luma: int, blue: int, red: int) -> bytes:
    width = given.width + {"padded": 32, "narrow": -32}.get(given.fault, 0)
    area = width * given.height
    return bytes([luma]) * area + bytes([blue]) * (area // 4) + bytes([red]) * (area // 4)


print("[0:11:29.72] [477]  INFO Camera camera_manager.cpp:284 libcamera v0.5.0", file=sys.stderr)
if given.fault == "none":
    sys.exit("ERROR: *** no cameras available ***")
if given.fault == "silent":
    time.sleep(60)
if given.fault == "stuck":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
with Path(given.output).open("wb", buffering=0) as frames, Path(given.metadata).open("w", buffering=1) as metadata:
    for number in itertools.count():
        time.sleep(1 / given.framerate)
        stamp = time.monotonic_ns() - 7_000_000
        frame = planes(76, 84, 255) if given.fault == "red" else planes(number % 256, 128, 128)
        if given.fault == "chatty":
            print("ERROR: a line on standard output", flush=True)
        if number == 3 and given.fault == "half":
            frames.write(frame[:1000])
            sys.exit("ERROR: *** failed to queue buffer ***")
        if number == 3 and given.fault == "stuck":
            frames.write(frame[:1000])
            time.sleep(60)
        rest = memoryview(frame)
        while rest:
            rest = rest[frames.write(rest) :]
        if given.fault != "unstamped":
            metadata.write(f"ExposureTime=20000\nSensorTimestamp={stamp}\nLux=99.5\n\n")
