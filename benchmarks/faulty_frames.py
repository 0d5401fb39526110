"""An application that meets a fault every so many frames: ``python -m benchmarks.faulty_frames BUNDLE FOLDER FRAMES EVERY``.

It leaves in FOLDER/ages.txt, for each block of frames that is over, how many frames there were and the p99 of the ages, in ms; and in
FOLDER/given.txt how many frames its source gave, and how many sources were left behind that no fault had made hang: each may have had a
frame in hand, which nobody took.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterable
from itertools import cycle
from pathlib import Path

import numpy as np

from benchmarks.bundles import null_options
from edge_sdk.contract import Colour
from edge_sdk.engines.faulty import order_fault
from edge_sdk.errors import SourceError, SourceLostError
from edge_sdk.loop import Loop
from edge_sdk.result import Result
from edge_sdk.sources import Source
from edge_sdk.sources.pace import Pace
from edge_sdk.tensors import Array

BLOCK = 10_000  # frames
SIDE = 96  # pixels of the model's input
DEADLINE_MS, HANG_MS, SILENCE_MS = 50.0, 200.0, 250.0
FAULTS = ("engine hang", "engine crash", "engine error 1", "source lost", "source hang", "source bad")
_RATE_HZ = 1_500.0
_HANGS_ON_S = 0.1  # a read, after it was given up
_FRAMES = np.random.default_rng(0).integers(
    0, 256, (16, 120, 160, 3), np.uint8
)  # no two in a row alike: nothing stands still


class FaultyCamera(Source):
    """Frames at a fixed rate, and a fault of its own or of the engine's after every so many of them, each kind in turn.

    Args:
        frames: how many.
        every: so many to the next fault.
        orders: the file by which the engine is told.

    Attributes:
        given: frames so far, those that could not be read included.
        hangs: faults of that kind so far.
    """

    live = True

    def __init__(self, frames: int, every: int, orders: Path) -> None:
        self._frames, self._every, self._orders = frames, every, orders
        self._faults, self._next = cycle(FAULTS), every
        self._pace, self._closed = Pace(), threading.Event()
        self._first = self.given = self.hangs = 0

    def _open(self) -> None:
        self._pace, self._closed, self._first = Pace(), threading.Event(), self.given

    def _read(self) -> tuple[Array, Colour, str, int | None] | None:
        if self.given == self._frames:
            return None
        due_ns = self._pace.wait(round((self.given - self._first) * 1e9 / _RATE_HZ))
        if due_ns is None:
            return None
        if self.given == self._next:
            self._next += self._every
            if not self._strike(next(self._faults)):
                return None
        self.given += 1
        return _FRAMES[self.given % len(_FRAMES)], "bgr", "", due_ns

    def _strike(self, fault: str) -> bool:
        """Have this fault; False where the read has been given up meanwhile."""
        whom, _, what = fault.partition(" ")
        if whom == "engine":
            order_fault(self._orders, what)
        elif what == "lost":
            raise SourceLostError("the device went away, as was ordered")
        elif what == "bad":
            self.given += 1
            raise SourceError("a sample cannot be read, as was ordered")
        elif what == "hang":
            self.hangs += 1
            self._closed.wait()
            time.sleep(_HANGS_ON_S)
            return False
        return True

    def _close(self) -> None:
        self._pace.stop()
        self._closed.set()


def _write_ages(results: Iterable[Result], file: Path) -> None:
    ages: list[float] = []
    with file.open("w", buffering=1) as lines:
        end = BLOCK
        for result in results:
            if result.sequence >= end:
                lines.write(f"{end} {np.percentile(ages, 99):.4f}\n")
                ages.clear()
                end += BLOCK
            ages.append(result.age_ms)
        lines.write(f"{end} {np.percentile(ages, 99):.4f}\n")


def main() -> None:
    """Run to the end."""
    bundle, folder, (frames, every) = sys.argv[1], Path(sys.argv[2]), map(int, sys.argv[3:])
    orders = folder / "orders"
    camera = FaultyCamera(frames, every, orders)
    options = {**null_options(SIDE), "orders": str(orders), "inner": "null"}
    with Loop(
        bundle,
        camera,
        deadline_ms=DEADLINE_MS,
        hang_ms=HANG_MS,
        silence_ms=SILENCE_MS,
        engine="faulty",
        engine_options=options,
        governor=True,
    ) as loop:
        _write_ages(loop, folder / "ages.txt")
        in_hand = loop.report().sources_left_behind - camera.hangs
    (folder / "given.txt").write_text(f"{camera.given} {in_hand}")
    assert threading.active_count() == 1, threading.enumerate()


if __name__ == "__main__":
    main()
