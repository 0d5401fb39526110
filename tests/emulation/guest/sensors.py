"""Sensors without hardware, made by the kernel: IIO with a timer as its trigger, an I2C bus of memory, a sound card whose output is
its input; runs in the machine as root. Each is first looked at without the project, so that a failure says whose it is.
"""

from __future__ import annotations

import struct
import subprocess
import threading
import time
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

from scenes import play, shell

from edge_sdk.errors import SourceError, SourceLostError
from edge_sdk.sources import Source, source_from

CONFIG = Path("/sys/kernel/config/iio")
RATE_HZ = 100
CHIP = 0x48  # an LM75, whose register 0 is the temperature


def iio_device() -> Path:
    """The dummy's folder in sysfs, made if need be, its timer ticking at ``RATE_HZ``."""
    shell("modprobe -a iio_dummy iio-trig-hrtimer industrialio-triggered-buffer kfifo_buf")
    for folder in (CONFIG / "devices/dummy/motion", CONFIG / "triggers/hrtimer/tick"):
        folder.mkdir(exist_ok=True)
    devices = Path("/sys/bus/iio/devices")
    (trigger,) = (path.parent for path in devices.glob("trigger*/name") if path.read_text() == "tick\n")
    (trigger / "sampling_frequency").write_text(str(RATE_HZ))
    (device,) = (path.parent for path in devices.glob("iio:device*/name") if path.read_text() == "motion\n")
    (device / "trigger/current_trigger").write_text("tick")
    return device


def i2c_bus() -> int:
    """The number of the bus whose chips are memory: what is written can be read back."""
    shell(f"modprobe i2c-dev; modprobe i2c-stub chip_addr={CHIP:#x}; udevadm settle")
    (name,) = (path for path in Path("/sys/bus/i2c/devices").glob("i2c-*/name") if "stub" in path.read_text())
    return int(name.parent.name.removeprefix("i2c-"))


def iio() -> dict[str, Any]:
    """Buffered readings as the kernel gives them: three channels and a time stamp."""
    device = iio_device()
    for channel in ("in_accel_x", "in_timestamp"):
        (device / f"scan_elements/{channel}_en").write_text("1")
    (device / "current_timestamp_clock").write_text("monotonic")
    (device / "buffer/length").write_text("64")
    (device / "buffer/enable").write_text("1")
    try:
        with Path("/dev", device.name).open("rb", buffering=0) as buffer:
            records = [buffer.read(16) for _ in range(50)]
    finally:
        (device / "buffer/enable").write_text("0")
    return {
        "stamps_ns": [struct.unpack("<q", record[8:])[0] for record in records],
        "raw": int((device / "in_accel_x_raw").read_text()),
        "values": [int.from_bytes(record[:2], "little", signed=True) for record in records],
    }


def i2c() -> dict[str, Any]:
    """A register of a chip, written and read as SMBus does."""
    bus = i2c_bus()
    shell(f"i2cset -y {bus} {CHIP:#x} 0 0x8015 w")
    return {"read": shell(f"i2cget -y {bus} {CHIP:#x} 0 w").strip()}


def sound() -> dict[str, Any]:
    """A tone that is played into the card comes out of it."""
    shell("modprobe snd-aloop; udevadm settle")
    play_ = ["speaker-test", "-D", "plughw:Loopback,0", "-c", "1", "-t", "sine", "-f", "1000", "-r", "16000"]
    player = subprocess.Popen(play_, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        shell("arecord -q -D plughw:Loopback,1 -f S16_LE -c 1 -r 16000 -d 2 /tmp/tone.wav")
    finally:
        player.terminate()
        player.wait()
    frames = struct.unpack("<16000h", Path("/tmp/tone.wav").read_bytes()[-32_000:])
    crossings = sum(1 for a, b in pairwise(frames) if a < 0 <= b)
    return {"hertz": crossings, "loudest": max(frames)}


def readings(source: Source, seconds: float) -> dict[str, Any]:
    """What a source gave in a time, from its first sample on."""
    times: list[int] = []
    values: list[list[float]] = []
    end = None
    with source:
        while end is None or time.monotonic() < end:
            sample = source.read()
            assert sample is not None
            assert sample.times_ns is not None
            end = end or time.monotonic() + seconds
            times += sample.times_ns.tolist()
            values += sample.data.tolist()
        return {
            "times_ns": times,
            "values": values,
            "channels": source.channels,
            "rate_hz": source.rate_hz,
            "now_ns": time.monotonic_ns(),
        }


def iio_buffered() -> dict[str, Any]:
    device = iio_device()
    raw = int((device / "in_accel_x_raw").read_text())
    return {"raw": raw, **readings(source_from(f"iio:motion/accel_x?rate_hz={RATE_HZ}"), 4)}


def iio_polled() -> dict[str, Any]:
    iio_device()
    return readings(source_from("iio:motion/accel_x,voltage0?mode=polled&rate_hz=50"), 4)


def iio_gone_and_back() -> dict[str, Any]:
    """Its driver is taken away while it is read, and comes back. This kernel wakes nobody who waits for readings: the source is closed."""
    iio_device()
    source = source_from(f"iio:motion/accel_x?rate_hz={RATE_HZ}")
    source.open()
    ended = threading.Event()
    reader = threading.Thread(target=lambda: (read_to_its_end(source), ended.set()), daemon=True)
    reader.start()
    time.sleep(1)
    (CONFIG / "devices/dummy/motion").rmdir()
    lost = ended.wait(3)
    source.close()
    reader.join(5)
    try:
        source.open()
        away = ""
    except SourceError as exc:
        away = str(exc)
    iio_device()
    return {"lost_by_itself": lost, "reader_ended": ended.is_set(), "away": away, **readings(source, 1)}


def read_to_its_end(source: Source) -> None:
    with suppress(SourceLostError):
        while source.read() is not None:
            pass


SCENES = {
    "iio": iio,
    "iio_buffered": iio_buffered,
    "iio_polled": iio_polled,
    "iio_gone_and_back": iio_gone_and_back,
    "i2c": i2c,
    "sound": sound,
}

if __name__ == "__main__":
    play(SCENES)
