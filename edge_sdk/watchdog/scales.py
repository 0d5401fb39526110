"""The application's memory budget: what leaks is started anew before the system runs out of memory and picks its own victim."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns

from edge_sdk.watchdog.events import S_NS, Events
from edge_sdk.watchdog.life import Life
from edge_sdk.watchdog.plan import Plan

_WEIGH_S = 10.0  # to weigh holds a large process up for a millisecond or so


class Scales:
    """Weighs the application now and then.

    Args:
        events: tells when it is time.
        say: told when it is too large.

    Attributes:
        memory_mb: its memory when it was last weighed; see ``processes.memory_mb``.
    """

    def __init__(self, events: Events, say: Callable[[str], None]) -> None:
        self.memory_mb = 0.0
        self._say = say
        self._is_time = False
        self._recycled_ns: int | None = None
        self._put_up_with: Life | None = None
        events.every(_WEIGH_S, self._now)

    def too_large(self, life: Life, plan: Plan) -> str | None:
        """Why it is to be started anew, if it is; at most once in ``plan.recycle_s``."""
        if plan.memory_mb is None or not self._is_time:
            return None
        self._is_time = False
        self.memory_mb = round(life.memory_mb(), 1)
        if self.memory_mb <= plan.memory_mb:
            return None
        words = f"its memory is {self.memory_mb:g} MB, above {plan.memory_mb:g} MB"
        now = monotonic_ns()
        if self._recycled_ns is not None and now - self._recycled_ns < plan.recycle_s * S_NS:
            if self._put_up_with is not life:
                self._say(f"{words}; it goes on, as it was started anew within the last {plan.recycle_s:g} s")
            self._put_up_with = life
            return None
        self._recycled_ns = now
        self._say(f"{words}; it is started anew")
        return words

    def _now(self) -> None:
        self._is_time = True
