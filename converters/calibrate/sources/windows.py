"""Windows of rows, brought into the shape of a model's input without ever changing the order of time and channel."""

from __future__ import annotations

from pathlib import Path

from edge_sdk.errors import DataError
from edge_sdk.tensors import Array


def fitted(window: Array, shape: tuple[int, ...], path: Path) -> Array:
    """A window (rows, channels) in the input's ``shape``: (1, rows, channels), with further axes of 1, or all in one row.

    Raises:
        DataError: if the shape is of another size, or has the axes in another order.
    """
    rows, channels = window.shape
    axes = tuple(axis for axis in shape if axis != 1)
    if axes not in (
        tuple(axis for axis in (rows, channels) if axis != 1),
        tuple(n for n in (rows * channels,) if n != 1),
    ):
        raise DataError(
            f"{path}: a window of {rows} rows of {channels} numbers does not fit the model's input, shape {shape}; "
            "it takes (1, rows, channels), axes of 1 aside, or (1, rows * channels)"
        )
    return window.reshape(shape)
