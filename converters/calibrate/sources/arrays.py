"""One array of a .npy or .npz file; the first axis counts the samples. Pickled objects are refused.

images.npy?colour=rgb   images must say their channel order
captured.npz            several samples of a device: ``samples``, ``times_ns`` and perhaps ``colour``
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from converters.calibrate.sources.found import Found, RawSample, Skipped, take
from edge_sdk.array_files import READING_ERRORS
from edge_sdk.errors import DataError
from edge_sdk.tensors import Array

_CAPTURED = "samples"


def find(path: Path, options: dict[str, str], shape: tuple[int, ...]) -> Found:
    """See ``converters.calibrate.sources``."""
    take(options, path, ("colour",))
    array, stated = _load(path)
    if array.ndim == 0 or array.dtype.kind not in "fiub":
        raise DataError(
            f"{path} holds {array.dtype} of shape {array.shape}; numbers are needed, the first axis counts the samples"
        )
    image = array.dtype == np.uint8 and array.ndim == 4 and array.shape[3] == 3
    colour = options.get("colour", stated)
    if colour not in ("rgb", "bgr") and (image or "colour" in options):
        raise DataError(
            f"{path} holds images, shape {array.shape}, and does not say their channel order: give {path}?colour=rgb or {path}?colour=bgr"
        )

    def read(chosen: tuple[int, ...]) -> Iterator[RawSample | Skipped]:
        for index in chosen:
            data = np.ascontiguousarray(array[index])
            yield RawSample(data, "rgb" if colour == "rgb" else "bgr", f"{path.name}[{index}]")

    return Found(f"{path.name}, {len(array)} samples of shape {array.shape[1:]}", len(array), read)


def _load(path: Path) -> tuple[Array, str | None]:
    """The array, and the channel order that the file itself states or None."""
    try:
        if path.suffix.lower() == ".npy":
            return np.load(path, mmap_mode="r", allow_pickle=False), None
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if _CAPTURED in stored.files:
                return stored[_CAPTURED], str(stored["colour"]) if "colour" in stored.files else None
            if len(stored.files) == 1:
                return stored[stored.files[0]], None
            names = ", ".join(stored.files) or "none"
    except READING_ERRORS as exc:
        raise DataError(f"{path} cannot be read as arrays of numbers: {exc}") from exc
    raise DataError(
        f"{path} holds {len(names.split(', ')) if names != 'none' else 0} arrays ({names}); "
        f"one is needed, for the model's one input, or {_CAPTURED!r} and 'times_ns'"
    )
