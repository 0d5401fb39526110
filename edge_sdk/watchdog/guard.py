"""The guard: a process that does nothing but outlive the supervisor, and ends what the application had started when it died."""

from __future__ import annotations

from collections.abc import Callable

from edge_sdk.watchdog import processes
from edge_sdk.watchdog.events import Events


class Guard:
    """Has one, and another should somebody end it.

    Args:
        mark: in the environment of all that it ends, see ``processes.guard``.
        events: tells of its end.
        say: told where there can be none.
    """

    def __init__(self, mark: str, events: Events, say: Callable[[str], None]) -> None:
        self._mark, self._events, self._say = mark, events, say
        self._pid = 0
        self._start()

    def end(self) -> None:
        """End it: nothing is left to guard."""
        if self._pid:
            self._events.on_end(self._pid, lambda code: None)
            processes.kill({self._pid})

    def _start(self, code: int = 0) -> None:
        try:
            self._pid = processes.guard(self._mark)
        except OSError as exc:  # no memory, or too many processes
            self._pid = 0
            self._say(
                f"there is no guard ({exc.strerror}): a kill of this process may leave some of the application running"
            )
        else:
            self._events.on_end(self._pid, self._start)
