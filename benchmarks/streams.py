"""Where frames come from: a camera that is exactly on time, and a stream as fast as the loop can take it."""

from __future__ import annotations

from edge_sdk.contract import Colour
from edge_sdk.sources import Source
from edge_sdk.sources.pace import Pace
from edge_sdk.tensors import Array


class Camera(Source):
    """Gives the same frame at exact moments for a while; its capture time is the moment at which it was due.

    Attributes:
        captured_ns: capture times by sequence number.
    """

    live = True

    def __init__(self, frame: Array, *, per_second: float, seconds: float) -> None:
        self._frame, self._period_ns = frame, 1e9 / per_second
        self._first = 0
        self._left = round(per_second * seconds)
        self._pace = Pace()
        self.captured_ns: list[int] = []

    def _open(self) -> None:
        self._pace, self._first = Pace(), len(self.captured_ns)

    def _read(self) -> tuple[Array, Colour, str, int | None] | None:
        if not self._left:
            return None
        self._left -= 1
        due_ns = self._pace.wait(round((len(self.captured_ns) - self._first) * self._period_ns))
        if due_ns is None:
            return None
        self.captured_ns.append(due_ns)
        return self._frame, "bgr", "", due_ns

    def _close(self) -> None:
        self._pace.stop()


class Stream(Source):
    """Gives the same frame so many times, whenever the loop is ready for it."""

    def __init__(self, frame: Array, count: int) -> None:
        self._frame, self._left = frame, count

    def _open(self) -> None: ...

    def _read(self) -> tuple[Array, Colour, str, int | None] | None:
        if not self._left:
            return None
        self._left -= 1
        return self._frame, "bgr", "", None

    def _close(self) -> None: ...
