"""Holding a capture that may hang, so that another thread can give it up without waiting."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from edge_sdk.errors import needs
from edge_sdk.tensors import Array

T = TypeVar("T")
R = TypeVar("R", bound="Releasable")


class Releasable(Protocol):
    """What can be held."""

    def release(self) -> None:
        """Let go of the device or file; harmless when repeated."""


class Capture(Protocol):
    """What is used of ``cv2.VideoCapture``; an application or a test may inject its own."""

    def isOpened(self) -> bool:
        """Whether opening succeeded."""

    def grab(self) -> bool:
        """Take the next frame without decoding it; False if there is none."""

    def read(self) -> tuple[bool, Array | None]:
        """Take and decode the next frame, BGR uint8 (height, width, 3)."""

    def get(self, prop: int) -> float:
        """A property."""

    def set(self, prop: int, value: float) -> bool:
        """Ask for a property."""

    def release(self) -> None:
        """Let go of the device or file; harmless when repeated."""


class Held(Generic[R]):
    """A capture that one thread makes and uses, and any thread may give up.

    ``give_up`` never waits: if a call on the capture is under way, which may hang in the driver for ever, the thread that is in it
    releases the capture when it comes back.

    Args:
        make: opens the capture; called by the first ``use``.
    """

    def __init__(self, make: Callable[[], R]) -> None:
        self._make = make
        self._capture: R | None = None
        self._lock = threading.Lock()
        self._busy = False
        self._given_up = False

    def use(self, call: Callable[[R], T]) -> T | None:
        """What ``call`` makes of the capture, or None if the capture was given up before or meanwhile."""
        with self._lock:
            if self._given_up:
                return None
            self._busy = True
        try:
            if self._capture is None:
                self._capture = self._make()
            got = call(self._capture)
        finally:
            given_up = self._end_call()
        return None if given_up else got

    def rewind(self) -> None:
        """Let the next ``use`` make the capture anew: seeking is not exact in every format."""
        self.use(lambda capture: capture.release())
        self._capture = None

    def give_up(self) -> None:
        """Release the capture, now or when the call under way is over; harmless when repeated."""
        with self._lock:
            self._given_up = True
            busy = self._busy
        if not busy:
            self._release()

    def _end_call(self) -> bool:
        """Release the capture if it was given up during the call, and say whether it was."""
        with self._lock:
            self._busy = False
            given_up = self._given_up
        if given_up:
            self._release()
        return given_up

    def _release(self) -> None:
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()


def opencv(for_: str) -> Any:
    """The cv2 module.

    Raises:
        MissingPackageError: if it is not installed.
    """
    with needs("cv2", for_=for_, extra="camera"):
        import cv2
    return cv2
