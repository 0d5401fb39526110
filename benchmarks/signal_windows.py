"""Windows of a vibration sensor, one second of six axes at 1 kHz, every quarter of a second: is a reading lost, and what does it cost?"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.bundles import signal_bundle
from benchmarks.processes import family, processor_s
from benchmarks.rows import Row
from benchmarks.serial_device import AXES, COUNTS, RATE_HZ
from edge_sdk.loop import Loop
from edge_sdk.tensors import Array
from edge_sdk.window_settings import WindowSettings

WINDOW = WindowSettings(length=RATE_HZ, rate_hz=RATE_HZ, hop=250, channels=tuple("abcdef"), units="g", gap="drop")
_ENGINE = {"input": "1,1000,6 float32", "output": "1,4 int8"}
_MOST_OF_A_CORE = 0.10


@dataclass(frozen=True)
class Seen:
    """Windows that came; readings missing between or in them; what the loop says was lost; gaps told; share of a core."""

    windows: int
    missing: int
    lost: int
    gaps: int
    core: float


def run(quick: bool) -> list[Row]:
    """From a serial line, and from a recording at its own pace."""
    seconds = 5 if quick else 20
    return [row for source in SOURCES for row in rows_of(source, watch(source, seconds), seconds)]


def rows_of(source: str, seen: Seen, seconds: float) -> list[Row]:
    """Nothing lost, and little used."""
    lost = f"{seen.missing} readings missing, {seen.lost} windows lost, {seen.gaps} gaps"
    return [
        Row(f"6 axes at 1 kHz, {source}: {seen.windows} windows in {seconds:g} s", lost, "none",
            met=not (seen.missing or seen.lost or seen.gaps)),
        Row("  processor time of all processes", f"{seen.core:.1%} of a core", f"at most {_MOST_OF_A_CORE:.0%}",
            met=seen.core <= _MOST_OF_A_CORE),
    ]  # fmt: skip


def watch(source: str, seconds: float) -> Seen:
    """Run the loop on a null engine for so long."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with SOURCES[source](folder) as text:
            others = set(family(os.getpid())) - {os.getpid()}
            bundle = signal_bundle(folder, WINDOW)
            with Loop(bundle, text, deadline_ms=100, engine="null", engine_options=_ENGINE) as loop:
                return _follow(loop, seconds, others)


def _follow(loop: Loop, seconds: float, others: set[int]) -> Seen:
    wanted = round((seconds * RATE_HZ - WINDOW.length) / WINDOW.hop) + 1
    began, missing, windows = time.monotonic(), 0, 0
    last: Array | None = None
    ours = [pid for pid in family(os.getpid()) if pid not in others]
    used_before = processor_s(ours)
    for windows, result in enumerate(loop, start=1):
        counter = result.sample.data[:, 0]
        missing += _missing(counter, 1) + (0 if last is None else _missing(np.array([last[0], counter[0]]), WINDOW.hop))
        last = counter
        if windows == wanted:
            break
    used = processor_s(ours) - used_before
    report = loop.report()
    lost = report.counts.dropped + report.counts.lost
    return Seen(windows, missing, lost, report.event_counts.get("gap", 0), used / (time.monotonic() - began))


def _missing(counter: Array, step: int) -> int:
    """How many readings are not there, of a counter that goes up by ``step``."""
    return int(np.sum((np.diff(counter) - step) % COUNTS))


@contextmanager
def _serial(folder: Path) -> Iterator[str]:
    link = folder / "ttyUSB0"
    device = subprocess.Popen([sys.executable, "-m", "benchmarks.serial_device", str(link)])
    try:
        while not link.exists():
            time.sleep(0.01)
        yield f"serial:{link}?format=<I6h&sync=aa55&time=0&time_unit=us"
    finally:
        device.kill()
        device.wait()


def _replay(folder: Path) -> AbstractContextManager[str]:
    numbers = np.arange(COUNTS)
    data = np.random.default_rng(0).standard_normal((COUNTS, AXES), np.float32)
    data[:, 0] = numbers
    np.savez(folder / "recorded.npz", data=data, t=numbers / RATE_HZ)
    return nullcontext(f"replay:{folder / 'recorded.npz'}?time=t&key=data&loop=true")


SOURCES: dict[str, Callable[[Path], AbstractContextManager[str]]] = {"serial line": _serial, "recording": _replay}
