"""The recovery ladder: the steps by which an engine whose device failed is had back, in their order, and when each is due."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from edge_sdk.backoff import waits_s

Step = Literal["reopen", "restart", "reset"]
STEPS: tuple[Step, ...] = ("reopen", "restart", "reset")
WORDS: dict[Step, str] = {
    "reopen": "the device opened again in the same process",
    "restart": "a new process",
    "reset": "a reset of the device and a new process",
}
_FIRST = {
    "engine_error": 0,
    "hang": 1,
    "crash": 1,
    "start": 1,
}  # by kind of failure: a process that hangs or died opens nothing


@dataclass(frozen=True)
class Patience:
    """How an engine is had back.

    Attributes:
        answers: so many in a row must be right before it serves again.
        soon_s: failing again within so many seconds of being back, it is worse than it looked: the steps go on where they stood.
        first_wait_s, longest_wait_s: between tries once every step was tried; the waits double, and are jittered.
        start_s: so long the start waits for it.
    """

    answers: int = 5
    soon_s: float = 10.0
    first_wait_s: float = 1.0
    longest_wait_s: float = 60.0
    start_s: float = 10.0


class Steps:
    """Which step is due, and after what wait. Times are handed in, in seconds.

    Each step is tried at once after the one before; when all were, the last is tried again and again after growing waits.

    Args:
        patience: see there.
        can_reset: whether the device can be reset from outside.
    """

    def __init__(self, patience: Patience, *, can_reset: bool) -> None:
        self._patience = patience
        self._steps = STEPS if can_reset else STEPS[:-1]
        self._level = 0  # of the next step; beyond the last, it comes after a wait
        self._kind = "start"
        self._back_s = -math.inf
        self._waits: Iterator[float] = iter(())

    def failed(self, kind: str, now_s: float) -> None:
        """The engine failed in this way: ``engine_error``, ``hang``, ``crash``; or it is to ``start``."""
        if now_s - self._back_s >= self._patience.soon_s:
            self._level = 0
            self._waits = waits_s(self._patience.first_wait_s, self._patience.longest_wait_s)
        self._kind = kind
        self._level = max(self._level, _FIRST[kind])

    def next(self) -> tuple[float, Step]:
        """The wait, and the step to take then."""
        level, self._level = self._level, min(self._level + 1, len(self._steps))
        return (0.0, self._steps[level]) if level < len(self._steps) else (next(self._waits), self._steps[-1])

    def back(self, now_s: float) -> None:
        """The engine is back; of a start nothing can be told."""
        if self._kind != "start":
            self._back_s = now_s
