"""Adaptive spin: where the other side usually answers at once, asking again for a moment is cheaper than sleeping and being woken.

Waking from idle costs 50 microseconds and more on an idle machine, a DS-CNN inference 50. Every poll is a system call, so it orders
memory between the processes on every architecture, and releases the interpreter's lock.
"""

from __future__ import annotations

from select import poll as Poll
from time import perf_counter

_LONGEST_S = 200e-6  # above this a wake-up is a small part of the wait, and spinning would only burn a core
_SHORTEST_REST, _LONGEST_REST = 16, 4_096  # waits without spinning after a spin in vain


class Spin:
    """Waits on a poll object, spinning only if recent waits were short and spinning has ended them.

    A spin in vain mostly says that both sides share a core, where the one that spins keeps the other from running. It is followed by
    waits without one, twice as many from time to time.

    Attributes:
        expected_s: smoothed length of recent waits; starts long, so nothing spins before it has been seen to pay.
    """

    def __init__(self) -> None:
        self.expected_s = 1.0
        self._rest, self._next_rest = 0, _SHORTEST_REST

    def learn(self, waited_s: float) -> None:
        """Take a wait's length into account."""
        if waited_s > 10 * _LONGEST_S:
            self.expected_s = 1.0  # a pause: the next wait may be as long
        else:
            self.expected_s += (waited_s - self.expected_s) * (0.5 if waited_s < self.expected_s else 0.2)

    def wait(self, poll: Poll, timeout_ms: float | None) -> list[tuple[int, int]]:
        """The events of ``poll``, empty after ``timeout_ms`` (None waits for ever)."""
        if self._rest:
            self._rest -= 1
        elif self.expected_s < _LONGEST_S:
            events = self._spin(poll)
            if events:
                self._next_rest = _SHORTEST_REST
                return events
            self._rest, self._next_rest = self._next_rest, min(2 * self._next_rest, _LONGEST_REST)
        return poll.poll(timeout_ms)

    def _spin(self, poll: Poll) -> list[tuple[int, int]]:
        end = perf_counter() + 2 * self.expected_s
        events: list[tuple[int, int]] = poll.poll(0)
        while not events and perf_counter() < end:
            events = poll.poll(0)
        return events
