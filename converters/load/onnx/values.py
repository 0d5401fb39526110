"""What stands for an ONNX tensor while the graph is translated: a constant, or a tensor of the .tflite graph.

A ``Value`` keeps ONNX's order of axes in ``shape`` and the order in which the numbers lie in ``axes``. ONNX's Transpose only
renames axes then; a TRANSPOSE is written where an operator needs another order, and never where only axes of size 1 move.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from converters.axes import Laid, plain
from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array

_SMALL = 1 << 16  # constants of up to so many elements are kept once read

WIDENED = ("float16", "float64", "bfloat16")


@dataclass(eq=False)
class Constant:
    """Numbers that are known. Large ones are read anew each time: they are not kept twice.

    Attributes:
        shape: in ONNX's order.
        stored: the NumPy type that the model stores.
        load: gives the numbers as stored.
    """

    shape: tuple[int, ...]
    stored: str
    load: Callable[[], Array]
    _kept: Array | None = None

    @staticmethod
    def of(values: Array) -> Constant:
        """A constant of numbers at hand."""
        return Constant(values.shape, values.dtype.name, lambda: values)

    @property
    def size(self) -> int:
        """How many numbers."""
        return math.prod(self.shape)

    @property
    def dtype(self) -> str:
        """The type that the .tflite has: every floating-point type is float32."""
        return "float32" if self.stored in WIDENED else self.stored

    def raw(self) -> Array:
        """The numbers as stored.

        Raises:
            ModelError: if the bytes do not fit the shape.
        """
        if self._kept is not None:
            return self._kept
        try:
            values = self.load().reshape(self.shape)
        except (ValueError, TypeError, OSError) as exc:
            raise ModelError(f"a constant of shape {self.shape} is damaged: {exc}. Export the model again") from exc
        if self.size <= _SMALL:
            self._kept = values
        return values

    def array(self) -> Array:
        """The numbers in ``dtype``."""
        with np.errstate(over="ignore"):  # a float64 "minus infinity" becomes float32's
            return self.raw().astype(self.dtype, copy=False)


@dataclass(frozen=True, eq=False)
class Value(Laid):
    """A tensor of the .tflite graph, seen as the ONNX tensor that it stands for.

    Attributes:
        tensor: its place in the .tflite graph.
        shape: in ONNX's order of axes.
        axes: ``axes[place]`` is the ONNX axis whose numbers lie at ``place`` in the .tflite tensor.
        dtype: NumPy's name.
        columns: only of a flattened tensor whose readers reorder their weights: which ONNX element stands at each place.
    """

    tensor: int
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    dtype: str
    columns: Array | None = None


Operand = Value | Constant


def channels_last(rank: int) -> tuple[int, ...]:
    """(batch, channels, ...) with the channels moved last: NCHW becomes NHWC."""
    return plain(rank) if rank < 3 else (0, *range(2, rank), 1)
