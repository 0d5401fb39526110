"""Who is told of results and events: the sinks, and the application's own handler."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from time import monotonic_ns

from edge_sdk.result import Event, Result
from edge_sdk.sinks import Sink

_EVENTS_KEPT = 1_000


class Audience:
    """Tells them, one at a time: events also come from the source's thread.

    Args:
        sinks: take every result and event.
        on_event: takes every event, or None.

    Attributes:
        events: the latest.
        event_counts: how many there were of each kind.
    """

    def __init__(self, sinks: Sequence[Sink], on_event: Callable[[Event], None] | None) -> None:
        self._sinks, self._on_event = sinks, on_event
        self._lock = threading.RLock()
        self.events: deque[Event] = deque(maxlen=_EVENTS_KEPT)
        self.event_counts: Counter[str] = Counter()

    def deliver(self, result: Result) -> None:
        """Give a result to the sinks."""
        with self._lock:
            for sink in self._sinks:
                sink.result(result)

    def tell(self, event: Event) -> None:
        """Give an event to all."""
        with self._lock:
            self.events.append(event)
            self.event_counts[event.kind] += 1
            for sink in self._sinks:
                sink.event(event)
        if self._on_event is not None:
            self._on_event(event)

    def say(self, kind: str, message: str) -> None:
        """Tell of something that happens now."""
        self.tell(Event(kind, message, monotonic_ns()))
