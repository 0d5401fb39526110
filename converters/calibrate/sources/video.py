"""Frames of a video, numbered from 0: ``clip.mp4?start=0&stop=60&step=2``, without ``stop`` itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from converters.calibrate.sources.found import Found, RawSample, Skipped, take, whole
from edge_sdk.errors import DataError, needs


def find(path: Path, options: dict[str, str], shape: tuple[int, ...]) -> Found:
    """See ``converters.calibrate.sources``."""
    take(options, path, ("start", "stop", "step"))
    total = _frames(path)
    start, stop, step = (
        whole(path, options, key, default, what="frame number")
        for key, default in (("start", 0), ("stop", total), ("step", 1))
    )
    stop = min(stop, total)
    if step < 1 or start >= stop:
        raise DataError(
            f"{path} has frames 0 to {total - 1}; start={start}, stop={stop}, step={step} leave none of them"
        )
    frames = range(start, stop, step)

    def read(chosen: tuple[int, ...]) -> Iterator[RawSample | Skipped]:
        return _read_video(path, [frames[i] for i in chosen])

    every = f", every {step}th" if step > 1 else ""
    return Found(f"{path.name}, frames {frames[0]} to {frames[-1]}{every}", len(frames), read)


def _frames(path: Path) -> int:
    """How many frames the video really has: what its header states is often wrong, so they are counted without decoding."""
    with needs("cv2", for_="reading a video", extra="convert"):
        import cv2
    video = cv2.VideoCapture(str(path))
    try:
        count = 0
        while video.grab():
            count += 1
    finally:
        video.release()
    if count == 0:
        raise DataError(f"{path} cannot be read as a video; it is damaged, or its codec is not known to OpenCV")
    return count


def _read_video(path: Path, wanted: list[int]) -> Iterator[RawSample]:
    import cv2

    video = cv2.VideoCapture(str(path))
    try:
        position = 0
        for number in wanted:
            while position <= number and video.grab():
                position += 1
            done, frame = video.retrieve()
            if position <= number or not done:
                raise DataError(f"{path}: frame {number} cannot be read; the file is damaged or was changed")
            yield RawSample(frame, "bgr", f"{path.name} frame {number}")
    finally:
        video.release()
