"""Makes what the example runs, in build/doorbell/: a bundle of two face detectors, and a video to try it on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import numpy.typing as npt

from converters import convert
from edge_sdk.bundle import Bundle
from edge_sdk.bundle.add import add_variants
from edge_sdk.outputs import replacing
from examples.assets.data import bikes_video, carphone_video
from examples.assets.models import face_detector, face_detector_full_range

OUT = Path("build/doorbell")
FPS = 25
_HERE = Path(__file__).parent
_SIZE = (640, 480)
_NOBODY = (140, 186)  # frames of the bikes: a street without people
_PASSERS_BY = (
    28,
    250,
)  # a man in a suit passes; cars; a cyclist waits, hidden by a car for a while; a wall, and somebody's legs
_CALIBRATE, _HOLDOUT = "?step=8", "?start=4&step=8"  # frames; the ones are much like the others, which flatters
Frame = npt.NDArray[np.uint8]


def main() -> None:
    """Make both."""
    OUT.mkdir(parents=True, exist_ok=True)
    video = make_video(OUT / "door.avi")
    click.echo(f"{video}\n{make_bundle(OUT, video)}")


def make_bundle(folder: Path, video: Path) -> Path:
    """The full-range detector, and behind it the short-range one: what ``edge-sdk convert``, twice, and ``edge-sdk bundle add`` do."""
    made = [
        convert(
            model,
            config=_HERE / config,
            calibrate=f"{video}{_CALIBRATE}",
            holdout=f"{video}{_HOLDOUT}",
            output=folder / f"{name}.edge",
            overwrite=True,
        ).bundle
        for name, model, config in (
            ("full", face_detector_full_range(), "model.toml"),
            ("short", face_detector(), "small.toml"),
        )
    ]
    with Bundle(made[0]) as base, Bundle(made[1]) as other:
        add_variants(base, other, folder / "faces.edge", suffix="small", overwrite=True)
    return folder / "faces.edge"


def make_video(path: Path) -> Path:
    """Real footage one after the other: an empty street, a man who talks, the street again, people who pass. 17 s."""
    with replacing(path, overwrite=True) as beside:
        writer = cv2.VideoWriter(str(beside), cv2.VideoWriter_fourcc(*"MJPG"), FPS, _SIZE)
        for part, first, last in (
            (bikes_video(), *_NOBODY),
            (carphone_video(), 0, 120),
            (bikes_video(), *_NOBODY),
            (bikes_video(), *_PASSERS_BY),
        ):
            for frame in _frames(part, first, last):
                writer.write(frame)
        writer.release()
    return path


def _frames(video: Path, first: int, last: int) -> Iterator[Frame]:
    """Frames of a video, the middle of each in the door's size."""
    capture: Any = cv2.VideoCapture(str(video))
    for number in range(last):
        frame = capture.read()[1]
        if number >= first:
            yield _cropped(frame)
    capture.release()


def _cropped(frame: Any) -> Frame:
    height, width = frame.shape[:2]
    inner_width, inner_height = min(width, height * 4 // 3), min(height, width * 3 // 4)
    x, y = (width - inner_width) // 2, (height - inner_height) // 2
    cropped: Frame = cv2.resize(frame[y : y + inner_height, x : x + inner_width], _SIZE)
    return cropped


if __name__ == "__main__":
    main()
