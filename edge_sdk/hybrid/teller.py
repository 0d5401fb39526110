"""Events that may come often, told seldom."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns

from edge_sdk.result import Event

_QUIET_NS = 10 * 10**9


class Teller:
    """Tells one event of a kind in ten seconds, and with the next one how many there were between.

    Args:
        tell: told of events.
        clock: gives nanoseconds, as ``time.monotonic_ns``.
    """

    def __init__(self, tell: Callable[[Event], None], clock: Callable[[], int] = monotonic_ns) -> None:
        self._tell, self._clock = tell, clock
        self._told_ns: dict[str, int] = {}
        self._untold: dict[str, int] = {}

    def say(self, kind: str, message: str) -> None:
        """Tell of something that happens now."""
        now_ns = self._clock()
        if kind in self._told_ns and now_ns - self._told_ns[kind] < _QUIET_NS:
            self._untold[kind] = self._untold.get(kind, 0) + 1
            return
        self._told_ns[kind] = now_ns
        untold = self._untold.pop(kind, 0)
        self._tell(Event(kind, f"{message} ({untold} more like it since the last)" if untold else message, now_ns))
