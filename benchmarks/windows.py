"""A sensor of six axes at 1 kHz, live, in windows of a second every quarter of one: what the application costs, and what it loses.

``python -m benchmarks.windows SECONDS PIECE`` runs for so long, in pieces of so many readings.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.bundles import signal_bundle
from benchmarks.rows import Row
from edge_sdk.loop import Loop
from edge_sdk.sources import Sample, SignalSource
from edge_sdk.sources.pace import Pace
from edge_sdk.tensors import Array
from edge_sdk.window_settings import WindowSettings
from edge_sdk.windows import Windows

WINDOW = WindowSettings(
    length=1_000, rate_hz=1_000, hop=250, channels=tuple("abcdef"), units="g", gap="linear", longest_fill=5
)
_ENGINE = {"input": "1,1000,6 float32", "output": "1,4 int8"}
_LIMIT = 0.10  # of a core
_PERIOD_NS = 1_000_000


def run(quick: bool) -> list[Row]:
    """In pieces of 1 and of 10 readings, live; and the cutting alone."""
    return [*(live(5 if quick else 30, piece) for piece in (1, 10)), *(_alone(piece) for piece in (1, 10, 100))]


def live(seconds: float, piece: int) -> Row:
    """Processor time of source, windows, encoding and loop, without the engine's process; windows that did not become results."""
    sensor = Sensor(round(seconds * WINDOW.rate_hz), piece)
    with tempfile.TemporaryDirectory() as folder:
        bundle = signal_bundle(Path(folder), WINDOW)
        with Loop(bundle, sensor, deadline_ms=200, engine="null", engine_options=_ENGINE) as loop:
            before, started = time.process_time(), time.monotonic()
            results = sum(1 for _ in loop)
            share = (time.process_time() - before) / (time.monotonic() - started)
            counts = loop.report().counts
    due = (sensor.count - WINDOW.length) // WINDOW.hop + 1
    measured = f"{share:.1%} of a core; {due - results} of {due} windows missing, {counts.late} late"
    what = f"6 axes at 1 kHz, {seconds:g} s in pieces of {piece}"
    return Row(what, measured, f"at most {_LIMIT:.0%}, none", met=share <= _LIMIT and results == due)


def _alone(piece: int, seconds: int = 20) -> Row:
    windows = Windows(WINDOW, lambda message, dropped: None)
    data, times = _readings(seconds * 1_000)
    pieces = [
        Sample(data[i : i + piece], 0, 0, times_ns=times[i : i + piece] + _PERIOD_NS)
        for i in range(0, len(data), piece)
    ]
    before = time.process_time()
    for each in pieces:
        windows.add(each)
    return Row(f"  cutting alone, pieces of {piece}", f"{(time.process_time() - before) / seconds:.2%} of a core")


class Sensor(SignalSource):
    """Gives ``count`` readings, a piece whenever its last one is due."""

    channels = WINDOW.channels
    rate_hz = WINDOW.rate_hz

    def __init__(self, count: int, piece: int) -> None:
        self.count, self._piece = count, piece
        self._data, self._times = _readings(count)
        self._at = 0
        self._pace = Pace()

    def interrupt(self) -> None:
        """See the base class."""
        self._pace.stop()

    def _open(self) -> None: ...

    def _readings(self) -> tuple[Array, Array] | None:
        start, self._at = self._at, self._at + self._piece
        data, times = self._data[start : self._at], self._times[start : self._at]
        if not len(data):
            return None
        due_ns = self._pace.wait(int(times[-1]))
        return None if due_ns is None else (data, times - times[-1] + due_ns)

    def _close(self) -> None: ...


def _readings(count: int) -> tuple[Array, Array]:
    data = np.random.default_rng(0).normal(size=(count, len(WINDOW.channels))).astype(np.float32)
    return data, np.arange(count, dtype=np.int64) * _PERIOD_NS


if __name__ == "__main__":
    print(live(float(sys.argv[1]), int(sys.argv[2])))
