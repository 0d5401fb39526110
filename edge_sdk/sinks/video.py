"""All results as an annotated video."""

from __future__ import annotations

import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from pydantic import Field, field_validator

from edge_sdk.draw import annotate, bgr_image, fit
from edge_sdk.errors import OutputError
from edge_sdk.kinds import Settings
from edge_sdk.outputs import refuse_existing, replacing
from edge_sdk.result import Result
from edge_sdk.sinks import Sink
from edge_sdk.sources.capture import opencv
from edge_sdk.tensors import Array

_CODECS = {".mp4": "mp4v", ".avi": "MJPG"}  # what every OpenCV wheel can write


class VideoSettings(Settings):
    """``video:annotated.mp4?fps=30``.

    Attributes:
        path: the video, ending in .mp4 (MPEG-4) or .avi (Motion JPEG).
        fps: frames a second of the video; each result is one frame.
        overwrite: replace what is there.
        deadline_ms: shown beside the age.
    """

    path: Path
    fps: float = Field(default=30.0, gt=0, le=1000)
    overwrite: bool = False
    deadline_ms: float | None = None

    @field_validator("path")
    @classmethod
    def _known(cls, path: Path) -> Path:
        if path.suffix not in _CODECS:
            raise ValueError(f"a video ends in {' or '.join(_CODECS)}; found {path.name!r}")
        return path


class VideoSink(Sink):
    """Writes beside the path and takes its place at ``close``, which makes a whole file of what came until then.

    Frames of another size than the first are fitted into it. OpenCV's writer does not say when it fails, so the free space is watched,
    and the finished file is read again before it takes its place.

    Raises:
        OutputError: if the path exists without ``overwrite``.
    """

    settings_class = VideoSettings

    def __init__(self, settings: VideoSettings) -> None:
        self.settings = settings
        self._cv2 = opencv("writing a video")
        refuse_existing(settings.path, overwrite=settings.overwrite)
        self._stack = ExitStack()
        self._writer: Any = None
        self._beside = settings.path
        self._size = (0, 0)  # width, height
        self._written = 0

    def result(self, result: Result) -> None:
        """See the base class."""
        image = annotate(bgr_image(result.sample), result, self.settings.deadline_ms)
        if shutil.disk_usage(self.settings.path.parent).free < 2 * image.nbytes:
            raise OutputError(
                f"the disk of {self.settings.path} is full; the video ends with frame {self._written}. Free some space"
            )
        if self._writer is None:
            self._begin(image)
        if (image.shape[1], image.shape[0]) != self._size:
            image = fit(image, self._size)
        self._writer.write(image)
        self._written += 1

    def close(self) -> None:
        """Finish the video; without any result there is none.

        Raises:
            OutputError: if it did not become whole; what was at the path is as it was.
        """
        writer, self._writer = self._writer, None
        with self._stack.pop_all():
            if writer is not None:
                writer.release()
                self._check()

    def _begin(self, image: Array) -> None:
        cv2, settings = self._cv2, self.settings
        self._size = (
            image.shape[1] // 2 * 2,
            image.shape[0] // 2 * 2,
        )  # both codecs store colour at half the resolution
        codec = cv2.VideoWriter_fourcc(*_CODECS[settings.path.suffix])
        with ExitStack() as stack:
            self._beside = stack.enter_context(replacing(settings.path, overwrite=settings.overwrite))
            self._writer = cv2.VideoWriter(str(self._beside), codec, settings.fps, self._size)
            if not self._writer.isOpened():
                self._writer = None
                raise OutputError(
                    f"cannot write {settings.path}: OpenCV cannot begin a {settings.path.suffix} file in this folder"
                )
            self._stack = stack.pop_all()
        self._written = 0

    def _check(self) -> None:
        cv2 = self._cv2
        capture = cv2.VideoCapture(str(self._beside))
        found = round(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
        capture.release()
        if found < self._written:  # one more where Ctrl-C came before the last was counted
            raise OutputError(
                f"cannot write {self.settings.path}: the finished file has {found} of {self._written} frames; is the disk full? "
                "Nothing was changed"
            )
