"""What became of every sample: captured = on_time + late + dropped + skipped + lost + in_flight, exact at any moment."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock
from typing import Literal

Outcome = Literal["on_time", "late", "dropped", "skipped", "lost"]


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
    """Counts samples from capture to outcome; safe between the source's thread and the loop's."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._captured = 0
        self._outcomes: dict[Outcome, int] = {"on_time": 0, "late": 0, "dropped": 0, "skipped": 0, "lost": 0}

    def capture(self) -> None:
        """A sample came from the source."""
        with self._lock:
            self._captured += 1

    def settle(self, outcome: Outcome) -> None:
        """A sample found its end."""
        with self._lock:
            self._outcomes[outcome] += 1

    def counts(self) -> Counts:
        """Everything, at one moment."""
        with self._lock:
            in_flight = self._captured - sum(self._outcomes.values())
            return Counts(self._captured, in_flight=in_flight, **self._outcomes)
