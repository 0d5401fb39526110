"""Waiting for the other process without paying for the way back from sleep.

Waking an idle core costs 50 microseconds and more; a DS-CNN inference takes as many, MobileNetV2 thirty times that. So a wait whose
end can be foreseen sleeps until shortly before it, and asks again and again for the rest. Every question is a system call: it orders
memory between the processes on every architecture, and releases the interpreter's lock.
"""

from __future__ import annotations

import os
from select import poll as Poll
from time import perf_counter, sleep

_LONGEST_S = 5e-3  # of a longer wait a wake-up is a small part, and its end is less certain
_SLEEP_S = 250e-6  # a shorter wait is not worth falling asleep
# Awake so long before the end that is foreseen, and so long behind it: a tenth of the wait, within these.
_MARGIN_S = (150e-6, 400e-6)
_TRUST, _VAIN = 16, 3  # what waits that end as foreseen earn at most, one each, and what a vain one costs
_SHORTEST_REST, _LONGEST_REST = 8, 128  # waits without foresight once the trust is spent


class Spin:
    """Waits on a poll object.

    Where waits mostly end otherwise than foreseen, or both sides share a core and the one that asks keeps the other from running, it stops
    and tries again later.

    Args:
        busy_cores: how many cores the other side needs meanwhile. Unless there are more, nothing is foreseen.

    Attributes:
        expected_s: how long the next wait will be; starts long, so nothing is foreseen before it has been seen.
    """

    def __init__(self, *, busy_cores: int = 1) -> None:
        self.expected_s = 1.0
        self._useful = len(os.sched_getaffinity(0)) > busy_cores
        self._trust, self._rest, self._next_rest = 0, 0, _SHORTEST_REST

    def wait(self, poll: Poll, timeout_ms: float | None) -> list[tuple[int, int]]:
        """The events of ``poll``, empty after ``timeout_ms`` (None waits for ever)."""
        started = perf_counter()
        early = False
        events: list[tuple[int, int]] = []
        if self._rest:
            self._rest -= 1
        elif self._useful and self.expected_s < _LONGEST_S:
            events, early = self._foresee(poll, started)
            self._judge(vain=not events)
        events = events or poll.poll(timeout_ms)
        self._learn(0.9 * self.expected_s if early else perf_counter() - started)
        return events

    def _foresee(self, poll: Poll, started: float) -> tuple[list[tuple[int, int]], bool]:
        """The events, and whether they were there when the sleep ended: then the sleep was too long."""
        margin_s = min(max(0.1 * self.expected_s, _MARGIN_S[0]), _MARGIN_S[1])
        slept = self.expected_s > _SLEEP_S
        if slept:
            sleep(self.expected_s - margin_s)
        events = poll.poll(0)
        if events:
            return events, slept
        end = started + max(2 * self.expected_s if not slept else 0, self.expected_s + margin_s)
        while not events and perf_counter() < end:
            events = poll.poll(0)
        return events, False

    def _judge(self, *, vain: bool) -> None:
        if not vain:
            self._trust = min(self._trust + 1, _TRUST)
            if self._trust == _TRUST:
                self._next_rest = _SHORTEST_REST
            return
        self._trust -= _VAIN
        if self._trust < 0:
            self._trust = 0
            self._rest, self._next_rest = self._next_rest, min(2 * self._next_rest, _LONGEST_REST)

    def _learn(self, waited_s: float) -> None:
        if waited_s > 2 * _LONGEST_S:
            self.expected_s = 1.0  # a pause: the next wait may be as long
        elif self.expected_s >= 1.0:
            self.expected_s = waited_s
        else:
            step_s = (waited_s - self.expected_s) * 0.2
            self.expected_s += min(
                max(step_s, -0.1 * self.expected_s), 0.02 * self.expected_s
            )  # one slow wait says little
