"""The circuit breaker: a server that fails is out until it has proven itself, and is tried again after ever longer waits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Literal

from edge_sdk.backoff import waits_s

State = Literal["open", "half_open", "closed"]
_S = 1e9  # nanoseconds


class Breaker:
    """``closed``: the server is asked. ``open``: it is not. ``half_open``: it is being proven.

    It begins open, with a proof due at once. One failure opens it: as the device serves meanwhile, caution costs no result. A first failure
    is answered by a proof at once; one that comes soon after is not, so a server that comes and goes is asked ever more rarely.

    Args:
        first_wait_s, longest_wait_s: of the doubling waits before a proof.
        healthy_s: after so long without failure the waits begin anew.

    Attributes:
        state: see above.
        reason: of the latest failure.
        turns: how often each state was entered.
    """

    def __init__(self, *, first_wait_s: float, longest_wait_s: float, healthy_s: float) -> None:
        self._first_s, self._longest_s, self._healthy_ns = first_wait_s, longest_wait_s, healthy_s * _S
        self._waits: Iterator[float] | None = None
        self._closed_ns = self._retry_ns = 0
        self.state: State = "open"
        self.reason = ""
        self.turns: Counter[State] = Counter()

    def due(self, now_ns: int) -> bool:
        """Whether a proof is due that could close it."""
        return self.state == "open" and now_ns >= self._retry_ns

    def prove(self) -> None:
        """A proof is under way."""
        self._enter("half_open")

    def passed(self, now_ns: int) -> None:
        """The server has proven itself."""
        self._closed_ns = now_ns
        self._enter("closed")

    def failed(self, reason: str, now_ns: int) -> None:
        """A request or a proof failed."""
        healthy = self.state == "closed" and now_ns - self._closed_ns >= self._healthy_ns
        if healthy or self._waits is None:
            self._waits = waits_s(self._first_s, self._longest_s)
        wait_s = 0.0 if healthy else next(self._waits)
        self._retry_ns = now_ns + round(wait_s * _S)
        self.reason = reason
        self._enter("open")

    def _enter(self, state: State) -> None:
        if state != self.state:
            self.state = state
            self.turns[state] += 1
