"""Data to calibrate and check on, as a stream of raw samples: memory does not grow with their number.

photos/                          a folder of images, nested folders too, in the order of their names
clip.mp4?start=0&stop=60&step=2  frames of a video, numbered from 0, without ``stop`` itself
windows.npy, windows.npz         one array, the first axis counts the samples
images.npy?colour=rgb            the same for images, which must say their channel order
rows.csv                         one sample a row, numbers, with or without a line of names
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl

import numpy as np

from edge_sdk.contract import Colour
from edge_sdk.errors import DataError, needs
from edge_sdk.tensors import Array

DEFAULT_MAX_SAMPLES = 200
IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".ppm", ".pgm", ".tif", ".tiff", ".webp")
VIDEO_SUFFIXES = (".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm")
_NOT_DATA = ("Thumbs.db", "desktop.ini")


@dataclass(frozen=True)
class RawSample:
    """One raw sample: an image (uint8) or numbers, its channel order, and the name to call it in messages."""

    data: Array
    colour: Colour
    name: str


@dataclass(frozen=True)
class Samples:
    """A set of samples that can be gone through again and again.

    Attributes:
        description: one line for people, such as ``"clip.mp4, frames 0 to 59"``.
        available: how many the data holds.
        chosen: which of them are used, evenly spaced, rising.
    """

    description: str
    available: int
    chosen: tuple[int, ...]
    _read: Callable[[tuple[int, ...]], Iterator[RawSample]]

    def __len__(self) -> int:
        return len(self.chosen)

    def __iter__(self) -> Iterator[RawSample]:
        return self._read(self.chosen)

    def first(self, count: int) -> Samples:
        """The first ``count`` of the chosen samples, in order."""
        return Samples(self.description, self.available, self.chosen[:count], self._read)

    def spread(self, count: int) -> Samples:
        """At most ``count`` of the chosen samples, evenly spaced."""
        positions = spaced(len(self.chosen), count)
        return Samples(self.description, self.available, tuple(self.chosen[i] for i in positions), self._read)


def open_samples(where: str | Path, *, shape: tuple[int, ...], max_samples: int = DEFAULT_MAX_SAMPLES) -> Samples:
    """Find the samples of a folder or file.

    Args:
        where: the path, with ``?key=value&...`` behind it where the kind of data takes options.
        shape: of the model's input tensor; a row of a CSV file is brought into it.
        max_samples: at most so many are used, evenly spaced over all.

    Raises:
        DataError: if it is missing, empty, or not of a kind that can be read.
    """
    if max_samples < 1:
        raise DataError(f"max_samples is at least 1; found {max_samples}")
    path, options = _split(str(where))
    if not path.exists():
        raise DataError(f"{path} does not exist; data is a folder of images, a video, .npy, .npz or .csv")
    suffix = path.suffix.lower()
    if path.is_dir():
        found = _images(path, options)
    elif suffix in VIDEO_SUFFIXES:
        found = _video(path, options)
    elif suffix in (".npy", ".npz"):
        found = _array(path, options)
    elif suffix == ".csv":
        found = _table(path, options, shape)
    else:
        raise DataError(
            f"{path} is not data that can be read: a folder of images, a video ({', '.join(VIDEO_SUFFIXES)}), .npy, .npz or .csv"
        )
    description, count, read = found
    if count == 0:
        raise DataError(f"{path} is empty: {description}")
    return Samples(description, count, spaced(count, max_samples), read)


_Found = tuple[str, int, Callable[[tuple[int, ...]], Iterator[RawSample]]]


def spaced(count: int, most: int) -> tuple[int, ...]:
    """At most ``most`` of the numbers 0 to ``count`` - 1, evenly spaced, first and last included."""
    if count <= most:
        return tuple(range(count))
    return tuple(int(i) for i in np.linspace(0, count - 1, most).round())


def read_image(path: Path) -> Array:
    """An image file as OpenCV reads it: uint8 (height, width, 3), blue first.

    Raises:
        DataError: if it is not an image; the message names it.
    """
    with needs("cv2", for_="reading images", extra="convert"):
        import cv2
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"{path} cannot be read as an image; remove it, or save it again as PNG or JPEG")
    return image  # type: ignore[no-any-return]


def image_files(folder: Path) -> list[Path]:
    """The images below ``folder``, in the order of their paths; hidden files are passed over.

    Raises:
        DataError: if a file there is not an image; the message names it.
    """
    files = [
        p for p in sorted(folder.rglob("*")) if p.is_file() and p.name not in _NOT_DATA and not p.name.startswith(".")
    ]
    odd = [str(p.relative_to(folder)) for p in files if p.suffix.lower() not in IMAGE_SUFFIXES]
    if odd:
        more = f" and {len(odd) - 3} more" if len(odd) > 3 else ""
        raise DataError(
            f"{folder} holds files that are not images: {', '.join(odd[:3])}{more}. Images are {', '.join(IMAGE_SUFFIXES)}"
        )
    return files


def _split(where: str) -> tuple[Path, dict[str, str]]:
    if Path(where).exists():  # a name may itself hold a question mark
        return Path(where), {}
    path, _, query = where.partition("?")
    return Path(path), dict(parse_qsl(query, keep_blank_values=True))


def _take(options: dict[str, str], path: Path, allowed: tuple[str, ...]) -> None:
    if odd := sorted(set(options) - set(allowed)):
        takes = ", ".join(allowed) or "no options"
        raise DataError(f"{path} has no option {', '.join(odd)}; it takes {takes}")


def _images(folder: Path, options: dict[str, str]) -> _Found:
    _take(options, folder, ())
    files = image_files(folder)

    def read(chosen: tuple[int, ...]) -> Iterator[RawSample]:
        for index in chosen:
            yield RawSample(read_image(files[index]), "bgr", str(files[index]))

    return f"{folder.name}/, {len(files)} images", len(files), read


def _video(path: Path, options: dict[str, str]) -> _Found:
    _take(options, path, ("start", "stop", "step"))
    total = _frames(path)
    numbers = {key: _whole(path, key, options[key]) for key in options}
    start, stop, step = numbers.get("start", 0), min(numbers.get("stop", total), total), numbers.get("step", 1)
    if step < 1 or start >= stop:
        raise DataError(
            f"{path} has frames 0 to {total - 1}; start={start}, stop={stop}, step={step} leave none of them"
        )
    frames = range(start, stop, step)

    def read(chosen: tuple[int, ...]) -> Iterator[RawSample]:
        return _read_video(path, [frames[i] for i in chosen])

    every = f", every {step}th" if step > 1 else ""
    return f"{path.name}, frames {frames[0]} to {frames[-1]}{every}", len(frames), read


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


def _whole(path: Path, key: str, value: str) -> int:
    if not value.isdecimal():
        raise DataError(f"{path}?{key}={value}: {key} is a frame number, 0 or more")
    return int(value)


def _array(path: Path, options: dict[str, str]) -> _Found:
    _take(options, path, ("colour",))
    array = _load(path)
    if array.ndim == 0 or array.dtype.kind not in "fiub":
        raise DataError(
            f"{path} holds {array.dtype} of shape {array.shape}; numbers are needed, the first axis counts the samples"
        )
    image = array.dtype == np.uint8 and array.ndim == 4 and array.shape[3] == 3
    colour = options.get("colour")
    if colour not in ("rgb", "bgr") and (image or colour is not None):
        raise DataError(
            f"{path} holds images, shape {array.shape}, and does not say their channel order: give {path}?colour=rgb or {path}?colour=bgr"
        )

    def read(chosen: tuple[int, ...]) -> Iterator[RawSample]:
        for index in chosen:
            yield RawSample(
                np.ascontiguousarray(array[index]), "rgb" if colour == "rgb" else "bgr", f"{path.name}[{index}]"
            )

    return f"{path.name}, {len(array)} samples of shape {array.shape[1:]}", len(array), read


def _load(path: Path) -> Array:
    try:
        if path.suffix.lower() == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False)  # type: ignore[no-any-return]
        with np.load(path, allow_pickle=False) as stored:
            if len(stored.files) != 1:
                names = ", ".join(stored.files) or "none"
                raise DataError(
                    f"{path} holds {len(stored.files)} arrays ({names}); one is needed, for the model's one input"
                )
            return stored[stored.files[0]]  # type: ignore[no-any-return]
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as exc:
        raise DataError(f"{path} cannot be read as arrays of numbers: {exc}") from exc


def _table(path: Path, options: dict[str, str], shape: tuple[int, ...]) -> _Found:
    _take(options, path, ())
    rows = sum(1 for _ in _rows(path, shape))

    def read(chosen: tuple[int, ...]) -> Iterator[RawSample]:
        wanted = set(chosen)
        for index, (line, numbers) in enumerate(_rows(path, shape)):
            if index in wanted:
                yield RawSample(numbers.reshape(shape), "bgr", f"{path.name} line {line}")

    return f"{path.name}, {rows} rows", rows, read


def _rows(path: Path, shape: tuple[int, ...]) -> Iterator[tuple[int, Array]]:
    """Line number (from 1) and numbers of every row; a first line that is no numbers is one of names."""
    size = int(np.prod(shape))
    try:
        with path.open(newline="", encoding="utf-8") as file:
            for line, cells in enumerate(csv.reader(file), start=1):
                numbers = _numbers(path, line, cells) if cells else None
                if numbers is None:
                    continue
                if numbers.size != size:
                    raise DataError(
                        f"{path} line {line} has {numbers.size} numbers; the model's input takes {size}, shape {shape}"
                    )
                yield line, numbers
    except (OSError, UnicodeDecodeError, csv.Error) as exc:
        raise DataError(f"{path} cannot be read as CSV: {exc}") from exc


def _numbers(path: Path, line: int, cells: list[str]) -> Array | None:
    try:
        return np.array([float(cell) for cell in cells], np.float32)
    except ValueError as exc:
        if line == 1:
            return None
        raise DataError(f"{path} line {line} is not numbers: {exc}") from exc
