"""What stands for a .tflite tensor while the graph is translated: a constant, or a tensor of the ONNX graph.

A ``Value`` keeps TensorFlow Lite's order of axes in ``shape`` and the order in which the numbers lie in ``axes``. A TRANSPOSE only
renames axes then; a Transpose is written where an operator needs another order, and never where only axes of size 1 move.
"""

from __future__ import annotations

from dataclasses import dataclass

from converters.axes import Laid, plain
from edge_sdk.tensors import Array

NCHW = (0, 3, 1, 2)


@dataclass(frozen=True)
class Weight:
    """The weights of a linear operator.

    Attributes:
        tensor: the .tflite tensor that they are.
        axis: of the ONNX initializer, along which the output channels lie.
    """

    tensor: str
    axis: int


@dataclass(frozen=True, eq=False)
class Constant:
    """Numbers that are known, in the .tflite's order, and the tensor's name."""

    name: str
    values: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """As the .tflite has it."""
        return self.values.shape

    @property
    def dtype(self) -> str:
        """NumPy's name."""
        return self.values.dtype.name


@dataclass(frozen=True, eq=False)
class Value(Laid):
    """A tensor of the ONNX graph, seen as the .tflite tensor that it stands for.

    Attributes:
        name: its name while the graph is built.
        shape: in the .tflite's order of axes.
        axes: ``axes[place]`` is the .tflite axis whose numbers lie at ``place`` in the ONNX tensor.
        dtype: NumPy's name.
        columns: only of a flattened tensor whose readers reorder their weights: which .tflite column stands at each place.
    """

    name: str
    shape: tuple[int, ...]
    axes: tuple[int, ...]
    dtype: str
    columns: Array | None = None

    @property
    def stored_otherwise(self) -> bool:
        """Whether the axes lie in another order than in the .tflite."""
        return self.axes != plain(len(self.shape))


Operand = Value | Constant


def channels_first(rank: int) -> tuple[int, ...]:
    """(batch, ..., channels) with the channels moved behind the batch: NHWC becomes NCHW."""
    return plain(rank) if rank < 3 else (0, rank - 1, *range(1, rank - 1))
