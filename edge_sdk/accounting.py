"""What became of every sample: captured = on_time + late + dropped + skipped + lost + in_flight, exact at any moment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from threading import Lock
from typing import Literal

from edge_sdk.watchdog.pulse import CAPTURED, DROPPED, LATE, LOST, ON_TIME, SKIPPED, Pulse, alone

Outcome = Literal["on_time", "late", "dropped", "skipped", "lost"]
_CELL: dict[Outcome, int] = {"on_time": ON_TIME, "late": LATE, "dropped": DROPPED, "skipped": SKIPPED, "lost": LOST}


@dataclass(frozen=True)
class Counts:
    """A snapshot.

    Attributes:
        captured: samples that the source gave.
        on_time, late: became results.
        dropped: replaced by a newer one before the engine was free.
        skipped: left out by the governor.
        lost: in the engine when it failed.
        in_flight: waiting or in work.
    """

    captured: int = 0
    on_time: int = 0
    late: int = 0
    dropped: int = 0
    skipped: int = 0
    lost: int = 0
    in_flight: int = 0


class Accounting:
    """Counts samples from capture to outcome; safe between the source's thread and the loop's.

    The counts stand in the loop's slot of the supervisor's page, where they outlive the application.

    Args:
        pulse: the loop's; by default one that nobody looks at.
    """

    def __init__(self, pulse: Pulse | None = None) -> None:
        self._lock = Lock()
        self._pulse = pulse or alone()
        self._found = self._read()

    def capture(self) -> None:
        """A sample came from the source."""
        with self._lock:
            self._pulse.cells[CAPTURED] += 1

    def settle(self, outcome: Outcome) -> None:
        """A sample found its end."""
        with self._lock:
            self._pulse.cells[_CELL[outcome]] += 1

    @property
    def dropped(self) -> int:
        """Samples of this loop that were dropped."""
        return int(self._pulse.cells[DROPPED]) - self._found[DROPPED - CAPTURED]

    def counts(self) -> Counts:
        """Everything of this loop, at one moment."""
        with self._lock:
            now = self._read()
        return _counts(a - b for a, b in zip(now, self._found, strict=True))

    def totals(self) -> Counts:
        """The same with what the loops before it counted in this slot, also before restarts."""
        with self._lock:
            return _counts(self._read())

    def _read(self) -> tuple[int, ...]:
        return tuple(self._pulse.cells[CAPTURED : LOST + 1])


def _counts(numbers: Iterable[int]) -> Counts:
    captured, on_time, late, dropped, skipped, lost = numbers
    in_flight = captured - on_time - late - dropped - skipped - lost
    return Counts(captured, on_time, late, dropped, skipped, lost, in_flight)
