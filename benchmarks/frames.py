"""Where frames come from: a photograph, and a camera that is exactly on time."""

from __future__ import annotations

import cv2
import numpy as np

from edge_sdk.contract import Colour
from edge_sdk.sources import Source
from edge_sdk.sources.pace import Pace
from edge_sdk.tensors import Array
from examples.assets import carphone_video


def photo() -> Array:
    """A real frame, (480, 640, 3) uint8, BGR: the first of the carphone video, enlarged."""
    video = cv2.VideoCapture(str(carphone_video()))
    found, frame = video.read()
    video.release()
    if not found:
        raise SystemExit(f"{carphone_video()} cannot be decoded by OpenCV")
    return np.ascontiguousarray(cv2.resize(frame, (640, 480), interpolation=cv2.INTER_CUBIC))


class Camera(Source):
    """Gives the same frame at exact moments for a while; its capture time is the moment at which it was due.

    Attributes:
        captured_ns: capture times by sequence number.
    """

    live = True

    def __init__(self, frame: Array, *, per_second: float, seconds: float) -> None:
        self._frame, self._period_ns = frame, 1e9 / per_second
        self._left = round(per_second * seconds)
        self._pace = Pace()
        self.captured_ns: list[int] = []

    def interrupt(self) -> None:
        """See the base class."""
        self._pace.stop()

    def _open(self) -> None: ...

    def _read(self) -> tuple[Array, Colour, str, int | None] | None:
        if not self._left:
            return None
        self._left -= 1
        due_ns = self._pace.wait(round(len(self.captured_ns) * self._period_ns))
        if due_ns is None:
            return None
        self.captured_ns.append(due_ns)
        return self._frame, "bgr", "", due_ns

    def _close(self) -> None: ...


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
