"""Sources give samples: camera frames, video, images, arrays. ``source_from("camera:0")`` makes one from text.

A source of your own is a subclass of ``Source`` with three hooks, passed to ``Loop`` as an object.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType

from edge_sdk.contract import Colour
from edge_sdk.tensors import Array


@dataclass(frozen=True, slots=True)
class Sample:
    """One raw input.

    Attributes:
        data: an image, uint8 (height, width[, 3]), or numbers in the shape of the input tensor. Not reused by the source.
        sequence: counted from 0 by the source, over everything captured.
        captured_ns: when, on the clock of ``time.monotonic_ns``.
        colour: channel order of a 3-channel image.
        name: the file or position it comes from, or "".
    """

    data: Array
    sequence: int
    captured_ns: int
    colour: Colour = "bgr"
    name: str = ""


class Source(ABC):
    """Base of all sources: open, read until None, close; a context manager that may be opened again after closing.

    Attributes:
        live: samples come at their own pace whether read or not (a camera); the loop then keeps only the newest.
            Otherwise the loop reads when it is ready and nothing is dropped.
    """

    live: bool = False
    _sequence = 0

    def __enter__(self) -> Source:
        self.open()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def open(self) -> None:
        """Get hold of the device or file.

        Raises:
            SourceError: if that is impossible; the message names what was found and what to do.
        """
        self._open()

    def read(self) -> Sample | None:
        """The next sample, or None at the end. Waits for it.

        Raises:
            SourceLostError: if the device went away.
        """
        got = self._read()
        if got is None:
            return None
        data, colour, name, captured_ns = got
        sample = Sample(data, self._sequence, captured_ns or time.monotonic_ns(), colour, name)
        self._sequence += 1
        return sample

    def close(self) -> None:
        """Let go of it; harmless if not open."""
        self._close()

    @abstractmethod
    def _open(self) -> None: ...

    @abstractmethod
    def _read(self) -> tuple[Array, Colour, str, int | None] | None:
        """Data, colour order, name, and the capture time if the device knows it."""

    @abstractmethod
    def _close(self) -> None: ...
