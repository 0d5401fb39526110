"""Frames of any GStreamer pipeline, through the system's GStreamer: a Jetson's CSI camera, an industrial camera's element."""

from __future__ import annotations

import shlex
import shutil
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from edge_sdk.errors import SourceError
from edge_sdk.kinds import Settings
from edge_sdk.redact import redacted
from edge_sdk.sources.pipe import Pipe
from edge_sdk.sources.piped import FramePipeSource
from edge_sdk.tensors import Array

_LAUNCH = "gst-launch-1.0"
_BYTES = {"BGR": 3, "GRAY8": 1}  # a pixel


class GStreamerSettings(Settings):
    """``gstreamer:v4l2src ! image/jpeg ! jpegdec?width=1280&height=720``.

    Attributes:
        pipeline: up to the raw video, as for gst-launch-1.0; what converts it and hands it over is added.
        width, height: of the frames that it gives, in pixels; scale with ``! videoscale`` at its end.
        format: BGR, or GRAY8 for one channel.
        fps: frames a second that are asked for; without it, what the pipeline gives. Not converted: see ``videorate``.
        timeout_s: a frame that takes longer is a hang.
        latency_ms: how long a frame takes from its capture to the end of the pipeline, if you measured it.
    """

    location: ClassVar[str | None] = "pipeline"

    pipeline: str
    width: int = Field(ge=1, le=16384)
    height: int = Field(ge=1, le=16384)
    format: Literal["BGR", "GRAY8"] = "BGR"
    fps: float | None = Field(default=None, gt=0, le=1000)
    timeout_s: float = Field(default=10, gt=0, le=3600)
    latency_ms: float = Field(default=0, ge=0, le=10_000)

    @field_validator("pipeline")
    @classmethod
    def _can_be_split(cls, pipeline: str) -> str:
        try:
            if not shlex.split(pipeline):
                raise ValueError("is empty; write elements joined by !")
        except ValueError as exc:
            raise ValueError(f"{exc}: it is read as a shell reads it, so quotes must be closed") from exc
        return pipeline


class GStreamerSource(FramePipeSource):
    """Frames BGR uint8 (height, width, 3), or (height, width) of format GRAY8.

    ``gst-launch-1.0`` runs the pipeline and writes raw frames into a pipe. An OpenCV wheel has no GStreamer, and a system's cv2 that has
    it cannot be killed when a plugin hangs; a process can. The pipe carries no time stamps: a frame counts from when it came out, and the
    time that it took through the pipeline is not in its age, unless ``latency_ms`` states it. A pipeline's text, a password in it
    included, can be seen by this machine's users while it runs (``ps``).
    """

    settings_class = GStreamerSettings
    stuck_s = 30.0  # an encoder may be in it

    def __init__(self, settings: GStreamerSettings) -> None:
        super().__init__()
        self.settings = settings
        self.period_s = 1 / settings.fps if settings.fps else 0.0
        self._row_bytes = settings.width * _BYTES[settings.format]
        self._stride = -(-self._row_bytes // 4) * 4  # rows of raw video begin at multiples of 4 bytes

    def command(self, fd: int) -> list[str]:
        """The command line that writes frames to this descriptor."""
        settings = self.settings
        caps = f"video/x-raw,format={settings.format},width={settings.width},height={settings.height}"
        if settings.fps is not None:
            caps += f",framerate={fraction(settings.fps)}"
        end = f"! videoconvert ! {caps} ! fdsink fd={fd} sync=false"
        return [_LAUNCH, "-q", *shlex.split(settings.pipeline), *end.split()]

    def _pipe(self) -> Pipe:
        if shutil.which(_LAUNCH) is None:
            raise SourceError(
                f"{_LAUNCH} is not installed. Run: sudo apt install gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
            )
        size = self._stride * self.settings.height
        return Pipe(_LAUNCH, lambda fd, _: self.command(fd), size, self.settings.timeout_s)

    def _image(self, frame: Array) -> Array:
        rows = frame.reshape(self.settings.height, self._stride)[:, : self._row_bytes]
        rows = np.ascontiguousarray(rows)
        return rows if self.settings.format == "GRAY8" else rows.reshape(self.settings.height, self.settings.width, 3)

    def _captured_ns(self, pipe: Pipe) -> int:
        return super()._captured_ns(pipe) - round(self.settings.latency_ms * 1e6)

    def _advice(self) -> str:
        settings = self.settings
        return (
            f". The pipeline must give raw video of {settings.width}x{settings.height}; try it: "
            f"{_LAUNCH} -v {redacted(settings.pipeline)} ! fakesink"
        )


def fraction(fps: float) -> str:
    """A frame rate as GStreamer writes it: 30/1, and 30000/1001 for 29.97."""
    whole = round(fps)
    if fps != whole and abs(fps - whole * 1000 / 1001) < 0.01:
        return f"{whole * 1000}/1001"
    return f"{whole}/1" if fps == whole else f"{round(fps * 1000)}/1000"
