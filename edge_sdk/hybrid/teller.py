"""Events that may come often, told seldom."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns

from edge_sdk.result import Event

_QUIET_NS = 10 * 10**9
_STATES = ("remote_up", "remote_down", "remote_slow")  # of which the last one told must be the one that is true


class Teller:
    """Tells one event of a kind in ten seconds, and with the next one how many there were between.

    How the server is at last is told in any case, as soon as the ten seconds are over.

    Args:
        tell: told of events.
        clock: gives nanoseconds, as ``time.monotonic_ns``.
    """

    def __init__(self, tell: Callable[[Event], None], clock: Callable[[], int] = monotonic_ns) -> None:
        self._tell, self._clock = tell, clock
        self._told_ns: dict[str, int] = {}
        self._untold: dict[str, int] = {}
        self._state: tuple[str, str] | None = None  # the latest, if it was not told

    def say(self, kind: str, message: str) -> None:
        """Tell of something that happens now."""
        now_ns = self._clock()
        if self._is_quiet(kind, now_ns):
            self._untold[kind] = self._untold.get(kind, 0) + 1
            if kind in _STATES:
                self._state = kind, message
            return
        if kind in _STATES:
            self._state = None
        self._say(kind, message, now_ns)

    def tend(self) -> None:
        """Tell how the server is by now, where that is due."""
        now_ns = self._clock()
        if self._state is not None and not self._is_quiet(self._state[0], now_ns):
            (kind, message), self._state = self._state, None
            self._untold[kind] -= 1
            self._say(kind, message, now_ns)

    def _is_quiet(self, kind: str, now_ns: int) -> bool:
        return kind in self._told_ns and now_ns - self._told_ns[kind] < _QUIET_NS

    def _say(self, kind: str, message: str, now_ns: int) -> None:
        self._told_ns[kind] = now_ns
        untold = self._untold.pop(kind, 0)
        self._tell(Event(kind, f"{message} ({untold} more like it since the last)" if untold else message, now_ns))
