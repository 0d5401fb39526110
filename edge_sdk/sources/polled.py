"""Signals that are asked for, reading by reading, at a rate."""

from __future__ import annotations

import errno
import threading
import time
from abc import abstractmethod

import numpy as np

from edge_sdk.errors import SourceError, SourceLostError
from edge_sdk.sources import SignalSource
from edge_sdk.sources.held import Held
from edge_sdk.sources.stamps import PIECE_NS
from edge_sdk.tensors import Array

_GONE = (errno.ENODEV, errno.ENOENT)
_FAILURES = 3  # so many one after the other are no accident


class PolledSource(SignalSource):
    """Base of signals that are polled.

    A reading is asked for at even moments, and has the time at which it was. Moments that have passed, as the device or this program was
    too slow, are left out, which the times show. Several readings make a sample where they are closer than 20 ms. One that fails is a
    broken reading; the third in a row means that the device is lost.

    Args:
        rate_hz: readings a second.
    """

    def __init__(self, rate_hz: float) -> None:
        self.rate_hz: float = rate_hz
        self._piece = max(1, int(PIECE_NS / 1e9 * rate_hz))
        self.period_s = self._piece / rate_hz
        self._polling: tuple[Held, threading.Event] | None = None

    @abstractmethod
    def _connect(self) -> Held:
        """Get hold of the device, and prove it by a reading."""

    @abstractmethod
    def _one(self) -> list[float]:
        """A reading; raises the OSError of the driver, or the ValueError of what is no number."""

    def _open(self) -> None:
        self._close()
        self._failures = 0
        self._failure: SourceError | None = None
        self._due_ns = 0
        self._polling = self._connect(), threading.Event()

    def _close(self) -> None:
        polling, self._polling = self._polling, None
        if polling is not None:
            held, closed = polling
            closed.set()
            held.give_up()

    def _readings(self) -> tuple[Array, Array] | None:
        polling = self._polling
        if polling is None:
            return None
        self._raise_failure()
        rows: list[list[float]] = []
        times_ns: list[int] = []
        while len(rows) < self._piece and self._failure is None:
            if not self._wait(polling[1]):
                return None
            with polling[0].use() as held:
                if not held:
                    return None
                times_ns.append(time.monotonic_ns())
                try:
                    rows.append(self._one())
                    self._failures = 0
                except (OSError, ValueError) as exc:
                    self._failure = self._failed(exc)
        if not rows:
            self._raise_failure()
        return np.array(rows, np.float64), np.array(times_ns[: len(rows)], np.int64)

    def _wait(self, closed: threading.Event) -> bool:
        """Wait for the next moment that has not passed; False if the source was closed."""
        now_ns, period_ns = time.monotonic_ns(), round(1e9 / self.rate_hz)
        behind = (now_ns - self._due_ns) // period_ns
        self._due_ns = now_ns if self._due_ns == 0 else self._due_ns + max(behind, 0) * period_ns
        is_closed = closed.wait(max(self._due_ns - now_ns, 0) / 1e9)
        self._due_ns += period_ns
        return not is_closed

    def _failed(self, exc: OSError | ValueError) -> SourceError:
        self._failures += 1
        reason = (isinstance(exc, OSError) and exc.strerror) or str(exc)
        if self._failures >= _FAILURES or (isinstance(exc, OSError) and exc.errno in _GONE):
            return SourceLostError(f"{self} does not answer any more: {reason}. Check its cable and power; see dmesg")
        return SourceError(f"{self} gave no reading: {reason}")

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
