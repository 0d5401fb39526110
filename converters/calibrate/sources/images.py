"""A folder of images, nested folders too, in the order of their paths."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from converters.calibrate.sources.found import Found, RawSample, Skipped, files_of, take
from converters.calibrate.sources.suffixes import IMAGES
from edge_sdk.errors import DataError, needs
from edge_sdk.tensors import Array

_JPEG_START, _JPEG_SCAN, _JPEG_END = b"\xff\xd8", 0xDA, b"\xff\xd9"
_PNG_START, _PNG_END = b"\x89PNG", b"IEND"


def find(folder: Path, options: dict[str, str], shape: tuple[int, ...]) -> Found:
    """See ``converters.calibrate.sources``; an image that cannot be read is skipped."""
    take(options, folder, ())
    files = image_files(folder)

    def read(chosen: tuple[int, ...]) -> Iterator[RawSample | Skipped]:
        for index in chosen:
            try:
                yield RawSample(read_image(files[index]), "bgr", str(files[index]))
            except DataError as exc:
                yield Skipped(str(files[index]), str(exc))

    return Found(f"{folder.name}/, {len(files)} images", len(files), read, tuple(_empty_classes(folder, files)))


def read_image(path: Path) -> Array:
    """An image file as OpenCV reads it: uint8 (height, width, 3), blue first.

    Raises:
        DataError: if it is not an image, or is cut off; the message names it.
    """
    with needs("cv2", for_="reading images", extra="convert"):
        import cv2
    try:
        content = path.read_bytes()
        image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if content else None
    except OSError as exc:
        raise DataError(f"{path} cannot be read: {exc.strerror}") from exc
    except cv2.error as exc:  # larger than OpenCV's limit of pixels
        raise DataError(f"{path} cannot be decoded: {exc.err}") from exc
    if _cut_off(content):  # OpenCV 4 fills the rest with grey
        raise DataError(
            f"{path} cannot be read as an image to its end: the file is cut off; remove it, or get it again"
        )
    if image is None:
        raise DataError(f"{path} cannot be read as an image; remove it, or save it again as PNG or JPEG")
    return image  # type: ignore[no-any-return]


def image_files(folder: Path) -> list[Path]:
    """The images below ``folder``, in the order of their paths; hidden files are passed over.

    Raises:
        DataError: if a file there is not an image; the message names it.
    """
    return files_of(folder, IMAGES, "images")


def _cut_off(content: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end mark. What cameras append behind the end does not matter."""
    if content.startswith(_PNG_START):
        return _PNG_END not in content
    if not content.startswith(_JPEG_START):
        return False
    position = 2
    while position + 4 <= len(content) and content[position] == 0xFF:  # segments, the first may hold a small preview
        if content[position + 1] == _JPEG_SCAN:
            return content.find(_JPEG_END, position) < 0
        position += 2 + int.from_bytes(content[position + 2 : position + 4], "big")
    return position + 4 > len(content)


def _empty_classes(folder: Path, files: list[Path]) -> Iterator[str]:
    """Notes on class folders: one has images, and others are there that have none."""
    folders = [p.name for p in sorted(folder.iterdir()) if p.is_dir() and not p.name.startswith(".")]
    filled = {file.relative_to(folder).parts[0] for file in files}
    empty = [name for name in folders if name not in filled]
    if len(folders) > 1 and len(filled) == 1 and empty:
        yield (
            f"All images lie in the class folder {next(iter(filled))!r}; {len(empty)} others are empty, such as {empty[0]!r}: "
            "ranges for one class only. Give images of every class."
        )
