"""Samples that cannot be used: each is counted and told, and a source that gives nothing else is an error."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic_ns

from edge_sdk.errors import EdgeSdkError
from edge_sdk.result import Event

_IN_A_ROW = 5  # so many one after the other are no accident


class BadSamples:
    """Keeps count.

    Args:
        tell: told of every bad sample.
    """

    def __init__(self, tell: Callable[[Event], None]) -> None:
        self._tell = tell
        self._in_a_row = 0
        self._any_good = False
        self._last: EdgeSdkError | None = None

    def good(self) -> None:
        """A sample was good."""
        self._in_a_row, self._any_good = 0, True

    def seen(self, reason: EdgeSdkError, sequence: int) -> None:
        """A sample was bad; raises ``reason`` if one too many in a row was."""
        self._last = reason
        self._in_a_row += 1
        self._tell(Event("bad_sample", str(reason), monotonic_ns(), sequence))
        if self._in_a_row >= _IN_A_ROW:
            raise reason

    def end(self) -> None:
        """The source has ended; raises the last reason if it gave no good sample at all."""
        if self._last is not None and not self._any_good:
            raise self._last
