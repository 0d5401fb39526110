"""An application that fails on command: ``python -m benchmarks.drill BUNDLE FOLDER``; run it under a supervisor.

Its engine takes orders from FOLDER/engine (see ``edge_sdk.engines.faulty``), its source from FOLDER/source:

    lost N      the device goes away, and N tries to open it fail
    hang S      a read does not come back for S seconds
    bad         a sample cannot be read
    size        a frame of a shape that the contract does not take
    nan         a sample with a number that is none
    future      a sample from a clock that is ahead
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import numpy as np

from edge_sdk.contract import Colour
from edge_sdk.errors import SourceError, SourceLostError
from edge_sdk.loop import Loop
from edge_sdk.sources import Source
from edge_sdk.sources.pace import Pace
from edge_sdk.tensors import Array

RATE_HZ = 200.0
HANG_MS, DEADLINE_MS, SILENCE_MS = 200.0, 50.0, 300.0
SHAPE = (4,)


class DrillSource(Source):
    """Live numbers at a fixed rate, spoiled as the file ``orders`` says; an order is taken once, by removing the file."""

    live = True

    def __init__(self, orders: Path, rate_hz: float = RATE_HZ, samples: int | None = None) -> None:
        self._orders, self._rate_hz, self._left = orders, rate_hz, samples
        self._pace = Pace()
        self._given = self._shut = 0

    def _open(self) -> None:
        if self._shut:
            self._shut -= 1
            raise SourceError("the device is not back yet")
        self._pace, self._given = Pace(), 0

    def _read(self) -> tuple[Array, Colour, str, int | None] | None:
        if self._left is not None:
            if not self._left:
                return None
            self._left -= 1
        due_ns = self._pace.wait(round(self._given * 1e9 / self._rate_hz))
        self._given += 1
        if due_ns is None:
            return None
        return self._spoiled(take_order(self._orders), max(due_ns, time.monotonic_ns() - 1_000_000))

    def _spoiled(self, order: list[str], captured_ns: int) -> tuple[Array, Colour, str, int | None]:
        numbers = np.zeros(SHAPE, np.float32)
        kind, *rest = order or [""]
        if kind == "lost":
            self._shut = int(rest[0])
            raise SourceLostError("the device went away, as was ordered")
        if kind == "bad":
            raise SourceError("a sample cannot be read, as was ordered")
        if kind == "hang":
            time.sleep(float(rest[0]))
        if kind == "size":
            numbers = np.zeros((7, 7), np.float32)
        if kind == "nan":
            numbers[1] = np.nan
        if kind == "future":
            captured_ns += 500_000_000
        return numbers, "bgr", "", captured_ns

    def _close(self) -> None:
        self._pace.stop()


def take_order(orders: Path) -> list[str]:
    """The words of an order that waits there, which is taken by it; none mostly."""
    try:
        words = orders.read_text().split()
        orders.unlink()
    except FileNotFoundError:
        return []
    return words


def main() -> None:
    """Run until told to end."""
    bundle, folder = sys.argv[1], Path(sys.argv[2])
    options = {"orders": str(folder / "engine"), "inner": "null"}
    with Loop(
        bundle,
        DrillSource(folder / "source"),
        deadline_ms=DEADLINE_MS,
        hang_ms=HANG_MS,
        silence_ms=SILENCE_MS,
        engine="faulty",
        engine_options=options,
    ) as loop:
        for _ in loop:
            pass


if __name__ == "__main__":
    main()
