"""A video file, at its own pace or as fast as it can be read."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from edge_sdk.contract import Colour
from edge_sdk.errors import SourceError
from edge_sdk.inputs import check_plain_file
from edge_sdk.kinds import Settings
from edge_sdk.redact import redacted
from edge_sdk.sources import Source
from edge_sdk.sources.capture import Capture, Held, opencv
from edge_sdk.sources.pace import Pace
from edge_sdk.tensors import Array

_URL = re.compile(r"[a-z][a-z0-9+.-]+:/")


class VideoSettings(Settings):
    """``file:clip.mp4?pace=fast&start=10&stop=100&step=2&loop=1``.

    Attributes:
        path: the video.
        pace: ``realtime`` gives each frame when it is due by its time stamp, like a camera; ``fast`` gives it when asked.
        start, stop, step: frame numbers as of a Python slice, counted from 0.
        loop: begin again at the end.
    """

    path: Path
    pace: Literal["realtime", "fast"] = "realtime"
    start: int = Field(default=0, ge=0, le=10**9)
    stop: int | None = Field(default=None, ge=1, le=10**9)
    step: int = Field(default=1, ge=1, le=10**9)
    loop: bool = False

    @model_validator(mode="after")
    def _not_empty(self) -> VideoSettings:
        if self.stop is not None and self.stop <= self.start:
            raise ValueError(f"start={self.start} to stop={self.stop} holds no frame; stop must be above start")
        return self


class VideoSource(Source):
    """Frames of a video file through OpenCV, BGR uint8 (height, width, 3), named ``clip.mp4#17`` by their number in the file.

    A file that was cut off ends at its last frame that can be decoded; one without any frame is an error when it is opened.
    """

    settings_class = VideoSettings

    def __init__(self, settings: VideoSettings) -> None:
        self.settings = settings
        self.live = settings.pace == "realtime"
        self._frames: _Frames | None = None
        self._pace: Pace | None = None
        self._first: _Frame | None = None

    def _open(self) -> None:
        self._close()
        if _URL.match(str(self.settings.path)):
            raise SourceError(
                f"{redacted(str(self.settings.path))} is a URL, not a file. A network camera is rtsp://user:password@host/path; other "
                "streams are read through gstreamer"
            )
        check_plain_file(self.settings.path, SourceError, give="the path of a video file")
        frames = self._frames = _Frames(self.settings)
        self._pace = Pace()
        try:
            self._first = frames.next()
            if self._first is None:
                raise SourceError(frames.why_none())
            self.period_s = frames.period_s
        except BaseException:
            self._close()
            raise

    def _read(self) -> tuple[Array, Colour, str, int | None] | None:
        frames, pace = self._frames, self._pace
        if frames is None or pace is None:
            return None
        frame, self._first = self._first or frames.next(), None
        if frame is None:
            return None
        due_ns = pace.wait(frame.position_ns) if self.live else time.monotonic_ns()
        if due_ns is None:
            return None
        return frame.image, "bgr", f"{self.settings.path.name}#{frame.number}", due_ns

    def _close(self) -> None:
        frames, self._frames, self._first = self._frames, None, None
        if self._pace is not None:
            self._pace.stop()
        if frames is not None:
            frames.close()


@dataclass(frozen=True)
class _Frame:
    image: Array
    number: int  # in the file
    position_ns: int  # since the first frame given


class _Frames:
    """The wanted frames of a file in order, from the beginning again if looping."""

    def __init__(self, settings: VideoSettings) -> None:
        self._settings = settings
        self._cv2 = opencv("reading a video")
        self._held = Held(self._make)
        self._number = 0  # of the next frame in the file
        self._stamp_ms: float | None = None  # of the last frame given, in this pass
        self._position_ns = -1
        self.period_s = 0.0  # by the frame rate, where the file states one

    def next(self) -> _Frame | None:
        frame = self._next()
        if frame is None and self._settings.loop and self._position_ns >= 0:
            self._held.rewind()
            self._number, self._stamp_ms = 0, None
            frame = self._next()
        return frame

    def why_none(self) -> str:
        """A message for a file that gave no frame."""
        if self._number == 0:
            return f"{self._settings.path} holds no frame that can be decoded: it is not a video, or is damaged"
        return f"{self._settings.path} ends after {self._number} frames, before start={self._settings.start}; use a smaller start"

    def close(self) -> None:
        self._held.give_up()

    def _make(self) -> Capture:
        capture: Capture = self._cv2.VideoCapture(str(self._settings.path))
        if not capture.isOpened():
            raise SourceError(f"{self._settings.path} is not a video that OpenCV can read, or it is damaged")
        return capture

    def _next(self) -> _Frame | None:
        settings = self._settings
        wanted = settings.start if self._stamp_ms is None else self._number + settings.step - 1
        if settings.stop is not None and wanted >= settings.stop:
            return None
        while self._number < wanted:
            if not self._held.use(lambda capture: capture.grab()):
                return None
            self._number += 1
        got = self._held.use(self._decode)
        if got is None:
            return None
        self._number += 1
        image, stamp_ms, fps = got
        self.period_s = settings.step / fps if fps > 0 else 0.0
        self._advance(stamp_ms, fps)
        return _Frame(image, wanted, self._position_ns)

    def _decode(self, capture: Capture) -> tuple[Array, float, float] | None:
        done, image = capture.read()
        if not done or image is None:
            return None
        return image, capture.get(self._cv2.CAP_PROP_POS_MSEC), capture.get(self._cv2.CAP_PROP_FPS)

    def _advance(self, stamp_ms: float, fps: float) -> None:
        """Move the position on by the time stamps; across passes, and where a stream has none, by the frame rate."""
        last_ms, self._stamp_ms = self._stamp_ms, stamp_ms
        if self._position_ns < 0:
            self._position_ns = 0
        elif last_ms is not None and stamp_ms > last_ms:
            self._position_ns += round((stamp_ms - last_ms) * 1e6)
        elif fps > 0:
            self._position_ns += round(self._settings.step / fps * 1e9)
        elif self._settings.pace == "realtime":
            raise SourceError(f"{self._settings.path} has neither time stamps nor a frame rate; use pace=fast")
