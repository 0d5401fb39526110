"""The images of a folder, in the order of their names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from edge_sdk.contract import Colour
from edge_sdk.errors import SourceError
from edge_sdk.kinds import Settings
from edge_sdk.sources import Source
from edge_sdk.sources.capture import opencv
from edge_sdk.tensors import Array

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")


class ImagesSettings(Settings):
    """``images:folder``.

    Attributes:
        path: the folder. Its files with the suffix of an image are read; others and subfolders are not.
    """

    path: Path


class ImagesSource(Source):
    """Images as BGR uint8 (height, width, 3), turned upright by their EXIF orientation, named by their file.

    An image that cannot be decoded is an error that names it; the next ``read`` goes on behind it.
    """

    settings_class = ImagesSettings

    def __init__(self, settings: ImagesSettings) -> None:
        self.settings = settings
        self._files: Iterator[Path] = iter(())

    def _open(self) -> None:
        folder = self.settings.path
        opencv("reading images")
        try:
            entries = sorted(folder.iterdir())
            files = [path for path in entries if path.suffix.lower() in SUFFIXES and path.is_file()]
        except FileNotFoundError as exc:
            raise SourceError(f"{folder} does not exist; give a folder of images") from exc
        except NotADirectoryError as exc:
            raise SourceError(f"{folder} is not a folder; give a folder of images") from exc
        except (OSError, ValueError) as exc:  # a name too long; one with a zero byte
            raise SourceError(
                f"{folder} cannot be read: {getattr(exc, 'strerror', None) or exc}; give a folder of images"
            ) from exc
        if not files:
            raise SourceError(
                f"{folder} holds no image: none of its {len(entries)} entries is a file that ends in {', '.join(SUFFIXES)}. "
                "Subfolders are not searched"
            )
        self._files = iter(files)

    def _read(self) -> tuple[Array, Colour, str, int | None] | None:
        path = next(self._files, None)
        return None if path is None else (_decode(path), "bgr", path.name, None)

    def _close(self) -> None:
        self._files = iter(())


def _decode(path: Path) -> Array:
    cv2 = opencv("reading images")
    try:
        content = np.frombuffer(path.read_bytes(), np.uint8)
        image: Array | None = cv2.imdecode(content, cv2.IMREAD_COLOR) if content.size else None
    except OSError as exc:
        raise SourceError(f"{path} cannot be read: {exc.strerror}") from exc
    except cv2.error as exc:  # larger than OpenCV's limit of pixels
        raise SourceError(f"{path} cannot be decoded: {exc}") from exc
    if image is None:
        raise SourceError(f"{path} is no image that OpenCV can decode; remove it, or save it again as PNG or JPEG")
    return image
