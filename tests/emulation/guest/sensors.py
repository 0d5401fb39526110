"""Sensors without hardware, made by the kernel: IIO with a timer as its trigger, an I2C bus of memory, a sound card whose output is
its input; runs in the machine as root. Each is first looked at without the project, so that a failure says whose it is.
"""

from __future__ import annotations

import struct
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scenes import play, shell, wait_until

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


def i2c_polled() -> dict[str, Any]:
    """21.5 degrees, as an LM75 has them: 1/256 of a degree, the higher byte first."""
    bus = i2c_bus()
    for register, byte in enumerate((0x15, 0x80)):
        shell(f"i2cset -y {bus} {CHIP:#x} {register} {byte:#x} b")
    text = f"i2c:{bus}?address={CHIP:#x}&register=0&format=>h&rate_hz=50&scale=0.00390625&channels=celsius"
    return readings(source_from(text), 4)


def i2c_absent() -> dict[str, Any]:
    """A chip that does not answer."""
    source = source_from(f"i2c:{i2c_bus()}?address=0x20&register=0&format=>h&rate_hz=50")
    try:
        source.open()
    except SourceError as exc:
        return {"message": str(exc)}
    return {"message": ""}


def i2c() -> dict[str, Any]:
    """A register of a chip, written and read as SMBus does."""
    bus = i2c_bus()
    shell(f"i2cset -y {bus} {CHIP:#x} 0 0x8015 w")
    return {"read": shell(f"i2cget -y {bus} {CHIP:#x} 0 w").strip()}


@contextmanager
def tone() -> Iterator[None]:
    """1000 Hz that is played into the card comes out of it."""
    shell("modprobe snd-aloop pcm_substreams=1; udevadm settle")
    wave = 20_000 * np.sin(np.arange(60 * 16_000) * (2 * np.pi * 1_000 / 16_000))
    Path("/tmp/tone.raw").write_bytes(wave.astype("<i2").tobytes())
    command = [
        "aplay",
        "-q",
        "-D",
        "plughw:Loopback,0",
        "-t",
        "raw",
        "-f",
        "S16_LE",
        "-c",
        "1",
        "-r",
        "16000",
        "/tmp/tone.raw",
    ]
    player = subprocess.Popen(command)
    try:
        playing = Path("/proc/asound/Loopback/pcm0p/sub0/status")
        wait_until(lambda: "RUNNING" in playing.read_text(), "a tone that is played")
        yield
    finally:
        player.terminate()
        player.wait()


def upward(frames: Sequence[int]) -> int:
    """How often they cross zero upwards."""
    return sum(1 for a, b in pairwise(frames) if a < 0 <= b)


def sound() -> dict[str, Any]:
    with tone():
        shell("arecord -q -D plughw:Loopback,1 -f S16_LE -c 1 -r 16000 -d 2 /tmp/tone.wav")
    frames = struct.unpack("<16000h", Path("/tmp/tone.wav").read_bytes()[-32_000:])
    return {"hertz": upward(frames), "loudest": max(frames)}


def sound_source() -> Source:
    """The card's input, by ALSA's name for it."""
    card = Path("/proc/asound/Loopback").readlink().name.removeprefix("card")
    return source_from(f"audio:hw:{card},1?rate_hz=16000")


def sound_recorded() -> dict[str, Any]:
    with tone():
        seen = readings(sound_source(), 4)
    frames = [int(value) for (value,) in seen.pop("values")][-16_000:]
    return {**seen, "hertz": upward(frames), "loudest": max(frames)}


def sound_busy() -> dict[str, Any]:
    """Another program has the card, and gives it back."""
    with tone():
        other = subprocess.Popen(
            ["arecord", "-q", "-D", "hw:Loopback,1", "-f", "S16_LE", "-c", "1", "-r", "16000", "/tmp/other.wav"]
        )
        wait_until(
            lambda: Path("/tmp/other.wav").exists() and Path("/tmp/other.wav").stat().st_size > 1_000,
            "another recording",
        )
        source = sound_source()
        try:
            source.open()
            message = ""
        except SourceError as exc:
            message = str(exc)
        other.terminate()
        other.wait()
        return {"message": message, "after": len(readings(source, 1)["times_ns"])}


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
    """Its driver is taken away while it is read, and comes back. This kernel wakes nobody who waits for readings."""
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
    "i2c_polled": i2c_polled,
    "i2c_absent": i2c_absent,
    "sound": sound,
    "sound_recorded": sound_recorded,
    "sound_busy": sound_busy,
}

if __name__ == "__main__":
    play(SCENES)
