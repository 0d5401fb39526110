"""One request to a server: how long it may take as a whole, and how it is given up from another thread."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from edge_sdk.errors import RemoteError, RemoteTimeoutError


class _Cancellation:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.asked = False
        self.calls: list[Callable[[], object]] = []


class Attempt:
    """A time limit on the monotonic clock that every wait of one request shares.

    Args:
        timeout_s: from now.
        late: what is said when it is over.
    """

    def __init__(self, timeout_s: float, late: str = "") -> None:
        self._end, self._timeout_s, self._late = monotonic() + timeout_s, timeout_s, late
        self._cancellation = _Cancellation()

    def part(self, longest_s: float, late: str) -> Attempt:
        """The same request, but a step of it that may take ``longest_s`` at most."""
        part = Attempt(longest_s, late)
        part._cancellation = self._cancellation
        if self._end < part._end:
            part._end, part._timeout_s, part._late = self._end, self._timeout_s, self._late
        return part

    def left_s(self) -> float:
        """Seconds left, above 0.

        Raises:
            RemoteTimeoutError: if there are none.
            RemoteError: if the request was cancelled.
        """
        if self._cancellation.asked:
            raise RemoteError("the request was cancelled")
        left_s = self._end - monotonic()
        if left_s <= 0:
            raise RemoteTimeoutError(self._late or f"no answer within {self._timeout_s * 1000:g} ms")
        return left_s

    def cancel(self) -> None:
        """From any thread: whatever it waits for ends."""
        with self._cancellation.lock:
            self._cancellation.asked = True
            for call in self._cancellation.calls:
                call()

    @contextmanager
    def ended_by(self, call: Callable[[], object]) -> Iterator[None]:
        """In this block ``cancel`` makes ``call``, which must not wait, and which never runs behind the block."""
        cancellation = self._cancellation
        with cancellation.lock:
            cancellation.calls.append(call)
        try:
            self.left_s()
            yield
        finally:
            with cancellation.lock:
                cancellation.calls.remove(call)
