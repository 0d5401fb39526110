"""Sources whose frames another program writes into a pipe."""

from __future__ import annotations

import time
from abc import abstractmethod

from edge_sdk.contract import Colour
from edge_sdk.errors import SourceError, SourceLostError
from edge_sdk.sources import Source
from edge_sdk.sources.capture import Held
from edge_sdk.sources.pipe import GRACE_S, OPEN_S, Pipe
from edge_sdk.tensors import Array


class PipeSource(Source):
    """Base of sources whose frames another program writes. A live source; its program runs from opening to closing.

    A frame that is not read waits in the pipe and looks fresh when it is: who reads must keep up, as the loop's reader does.
    """

    live = True

    def __init__(self) -> None:
        self._opened: tuple[Pipe, Held[Pipe]] | None = None
        self._before: Pipe | None = None
        self._first: tuple[Array, int] | None = None

    def _open(self) -> None:
        self._close()
        if self._before is not None and not self._before.wait_ended(3 * GRACE_S):
            raise SourceError(
                "the program that read this source before cannot be killed: it hangs in a driver. See dmesg"
            )
        pipe = self._pipe()
        held = Held(lambda: pipe)
        self._opened = pipe, held
        try:
            image = held.use(lambda pipe: pipe.start() or pipe.frame(OPEN_S))  # type: ignore[func-returns-value]
            if image is None:
                raise SourceError("the source was closed while it was being opened")
            self._first = image, self._captured_ns(pipe)
        except BaseException as exc:
            self._close()
            pipe.release()  # which nobody held yet where it was closed before its first use
            if isinstance(exc, SourceLostError):
                raise SourceError(f"{exc}{self._advice()}") from exc
            raise

    def _take(self) -> tuple[Array, int] | None:
        """The next frame's bytes, and when it was captured."""
        opened, first = self._opened, self._first
        if opened is None:
            return None
        self._first = None
        return first or opened[1].use(self._next)

    def _close(self) -> None:
        opened, self._opened, self._first = self._opened, None, None
        if opened is not None:
            pipe, held = opened
            self._before = pipe
            pipe.stop()
            held.give_up()

    def _next(self, pipe: Pipe) -> tuple[Array, int] | None:
        frame = pipe.frame()
        return None if frame is None else (frame, self._captured_ns(pipe))

    def _captured_ns(self, pipe: Pipe) -> int:
        """When the frame that just came was captured: when it came, where nothing better is known."""
        return time.monotonic_ns()

    def _advice(self) -> str:
        """What to do when it does not open, to be added to what the program said."""
        return ""

    @abstractmethod
    def _pipe(self) -> Pipe: ...


class FramePipeSource(PipeSource):
    """Base of those whose frames are pictures."""

    def _read(self) -> tuple[Array, Colour, str, int | None] | None:
        got = self._take()
        return None if got is None else (self._image(got[0]), "bgr", "", got[1])

    @abstractmethod
    def _image(self, frame: Array) -> Array:
        """The image, BGR uint8 (height, width, 3), of the bytes of a frame, uint8 (frame_bytes,)."""
