"""Who is told of results and events: the sinks, and the application's own handler."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from time import monotonic_ns

from edge_sdk.errors import OutputError
from edge_sdk.result import Event, Result
from edge_sdk.sinks import Sink

_EVENTS_KEPT = 1_000


class Audience:
    """Tells them, one at a time: events also come from the source's thread.

    Args:
        sinks: take every result and event.
        on_event: takes every event, or None.
        sinks_may_fail: a sink that cannot write, as on a full disk, is told and tried again with every record; otherwise its error is
            raised.

    Attributes:
        events: the latest.
        event_counts: how many there were of each kind.
    """

    def __init__(
        self, sinks: Sequence[Sink], on_event: Callable[[Event], None] | None, *, sinks_may_fail: bool = False
    ) -> None:
        self._sinks, self._on_event, self._may_fail = sinks, on_event, sinks_may_fail
        self._missing = [0] * len(sinks)  # records that each has not taken since it failed
        self._lock = threading.RLock()
        self.events: deque[Event] = deque(maxlen=_EVENTS_KEPT)
        self.event_counts: Counter[str] = Counter()

    def deliver(self, result: Result) -> None:
        """Give a result to the sinks."""
        with self._lock:
            for number in range(len(self._sinks)):
                self._give(number, result)

    def tell(self, event: Event) -> None:
        """Give an event to all."""
        with self._lock:
            self.events.append(event)
            self.event_counts[event.kind] += 1
            for number in range(len(self._sinks)):
                self._give(number, event)
        if self._on_event is not None:
            self._on_event(event)

    def say(self, kind: str, message: str) -> None:
        """Tell of something that happens now."""
        self.tell(Event(kind, message, monotonic_ns()))

    def _give(self, number: int, record: Result | Event) -> None:
        sink = self._sinks[number]
        try:
            if isinstance(record, Event):
                sink.event(record)
                return  # short enough, perhaps, for the last bytes of a full disk
            sink.result(record)
        except OutputError as exc:
            if not self._may_fail:
                raise
            self._missing[number] += 1
            if self._missing[number] == 1:
                self.say("sink_failed", f"{exc}. The loop goes on, and tries again with every result")
        else:
            missing, self._missing[number] = self._missing[number], 0
            if missing:
                self.say("sink_back", f"{type(sink).__name__} can write again; it lacks {missing} results and events")
