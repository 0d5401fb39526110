"""How soon a source that hangs in a read is left behind and opened again: from the last frame that it gave."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path

import numpy as np

from benchmarks.bundles import numbers_bundle
from benchmarks.rows import Row
from benchmarks.streams import Camera
from edge_sdk.contract import Colour
from edge_sdk.loop import Loop
from edge_sdk.tensors import Array

_SILENCE_MS, _LIMIT_S = 500.0, 0.5
_FRAMES_BETWEEN, _PER_SECOND = 15, 30


class HangingCamera(Camera):
    """Hangs in every 16th read, until it is released at the end, as a driver does that nothing wakes."""

    def __init__(self, released: threading.Event) -> None:
        super().__init__(np.zeros(4, np.int8), per_second=_PER_SECOND, seconds=600)
        self._released = released
        self._before_hang = 0

    def _open(self) -> None:
        super()._open()
        self._before_hang = _FRAMES_BETWEEN

    def _read(self) -> tuple[Array, Colour, str, int | None] | None:
        if not self._before_hang:
            self._released.wait()
            return None
        self._before_hang -= 1
        return super()._read()


def run(quick: bool) -> list[Row]:
    """A budget of half a second, from a camera of 30 frames/s."""
    hangs = 3 if quick else 20
    reopened, first = map(np.array, reopen_after(hangs))
    budget = f"budget of {_SILENCE_MS:g} ms"
    return [
        Row(
            f"source hangs in read: {budget}'s end to its opening",
            f"p50 {np.median(reopened):.0f} ms, max {reopened.max():.0f} ms of {hangs} hangs",
            f"at most {_LIMIT_S * 1e3:g} ms",
            met=bool(reopened.max() <= _LIMIT_S * 1e3),
        ),
        Row("  the same to its first frame's result", f"p50 {np.median(first):.0f} ms, max {first.max():.0f} ms"),
    ]


def reopen_after(hangs: int) -> tuple[list[float], list[float]]:
    """Milliseconds from the end of each budget until the source was open again, and until the first result."""
    reopened: list[float] = []
    first: list[float] = []
    released = threading.Event()
    camera = HangingCamera(released)
    with tempfile.TemporaryDirectory() as name:
        bundle = numbers_bundle(Path(name))
        with Loop(bundle, camera, deadline_ms=50, silence_ms=_SILENCE_MS, engine="null") as loop:
            done_ms = 0.0
            for result in loop:
                back = [event.at_ns / 1e6 for event in loop.report().events if event.kind == "source_back"]
                if len(back) > len(reopened):
                    reopened.append(back[-1] - done_ms - _SILENCE_MS)
                    first.append(result.captured_ns / 1e6 + result.age_ms - done_ms - _SILENCE_MS)
                done_ms = result.captured_ns / 1e6 + result.age_ms
                if len(reopened) == hangs:
                    break
        released.set()
    return reopened, first
