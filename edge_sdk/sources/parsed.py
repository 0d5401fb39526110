"""Signals that come as text or bytes: readings, broken places between them, and the times of both."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from edge_sdk.errors import SourceError
from edge_sdk.sources import SignalSource
from edge_sdk.sources.stamps import ClockOffset, EvenTimes
from edge_sdk.tensors import Array

TimeUnit = Literal["s", "ms", "us", "ns"]
UNIT_NS = {"s": 1_000_000_000, "ms": 1_000_000, "us": 1_000, "ns": 1}
FARTHEST_NS = 2**62  # 146 years


@dataclass(frozen=True)
class Parsed:
    """What came, in its order.

    Attributes:
        data: the readings, float64 (good, channels).
        times_ns: when each was taken, by the clock of the device, int64 (good,); None where that is not said.
        places: int64 (good,): which each reading was among all, the broken ones counted.
        count: how many there were, the broken ones counted.
        broken: what is to be said of the broken ones, or "".
    """

    data: Array
    times_ns: Array | None
    places: Array
    count: int
    broken: str


class Decoder(Protocol):
    """Finds readings in bytes that come in pieces of any length."""

    @property
    def channels(self) -> tuple[str, ...]:
        """The name of each; empty until they are known."""

    def feed(self, data: bytes) -> Parsed:
        """The readings that are whole with ``data``."""


class ParsedSource(SignalSource):
    """Base of signals that are parsed. Broken readings are counted together, piece by piece, and reading goes on behind them.

    Readings have the device's times, put on our clock; or those of an even rate; otherwise they lie evenly in the time in which they came.
    """

    def begin(self, name: str, rate_hz: float | None) -> None:
        """Set the times to nothing known; to be called on opening. ``name`` is what broken readings are said of."""
        self._name = name
        self._broken = ""
        self._offset = ClockOffset()
        self._even = None if rate_hz is None else EvenTimes(rate_hz)

    @abstractmethod
    def _arrived(self) -> tuple[Parsed, int, int] | None:
        """What came, when the first of it did and when all had, by ``time.monotonic_ns``; None at the end. Waits for it."""

    def _readings(self) -> tuple[Array, Array] | None:
        while True:
            broken, self._broken = getattr(self, "_broken", ""), ""
            if broken:
                raise SourceError(f"{self._name}: {broken}")
            got = self._arrived()
            if got is None:
                return None
            parsed, began_ns, read_ns = got
            self._broken = parsed.broken
            if parsed.count:
                times_ns = self._times(parsed, began_ns, read_ns)
                if len(times_ns):
                    return parsed.data, times_ns

    def _times(self, parsed: Parsed, began_ns: int, read_ns: int) -> Array:
        if parsed.times_ns is not None:
            return self._offset(parsed.times_ns, read_ns) if len(parsed.times_ns) else parsed.times_ns
        if self._even is not None:
            return self._even(parsed.places, parsed.count, read_ns)
        share = (parsed.places + 1) / parsed.count
        return began_ns + np.rint((read_ns - began_ns) * share).astype(np.int64)
