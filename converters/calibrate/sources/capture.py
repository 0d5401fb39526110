"""A folder of samples that a device has captured by the sink ``capture``: one .npz each, in the order of their names."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from converters.calibrate.sources.found import Found, RawSample, Skipped, at, files_of, take
from edge_sdk.array_files import READING_ERRORS
from edge_sdk.contract import Colour
from edge_sdk.errors import DataError
from edge_sdk.tensors import MAX_BYTES, Array

_COLOURS: tuple[Colour, ...] = ("bgr", "rgb", "gray")


def find(folder: Path, options: dict[str, str], shape: tuple[int, ...]) -> Found:
    """See ``converters.calibrate.sources``; a file that cannot be read is skipped."""
    take(options, folder, ())
    files = files_of(folder, (".npz",), "captured samples")

    def read(chosen: tuple[int, ...]) -> Iterator[RawSample | Skipped]:
        for index in chosen:
            name = at(files[index], folder)
            try:
                data, colour = _read(files[index])
            except DataError as exc:
                yield Skipped(name, str(exc))
            else:
                yield RawSample(data, colour, name)

    return Found(f"{folder.name}/, {len(files)} captured samples", len(files), read)


def _read(path: Path) -> tuple[Array, Colour]:
    """A sample and its channel order.

    Raises:
        DataError: if the file is damaged, or was not written by the sink.
    """
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            if stored.zip.getinfo("sample.npy").file_size > MAX_BYTES:
                raise ValueError(f"its sample has more than {MAX_BYTES} bytes")
            data = stored["sample"]
            stated = str(stored["colour"]) if "colour" in stored.files else "bgr"
    except READING_ERRORS as exc:
        raise DataError(f"{path} cannot be read as a captured sample: {exc}; remove it, or capture again") from exc
    colour = next((c for c in _COLOURS if c == stated), None)
    if colour is None or data.dtype.kind not in "fiub":
        raise DataError(
            f"{path} holds {data.dtype} of colour {stated!r}; a captured sample is numbers, and its colour one of {', '.join(_COLOURS)}"
        )
    return data, colour
