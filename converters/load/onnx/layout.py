"""The order in which numbers lie: brought about where an operator needs it, and followed through reshapes."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from converters.axes import Laid, plain
from converters.load.onnx.build import Builder, Inputs
from converters.load.onnx.values import Value, channels_last
from edge_sdk.errors import ModelError
from edge_sdk.tensors import Array

_MOST_AXES = 6  # of TensorFlow Lite's TRANSPOSE

Block = tuple[tuple[int, ...], tuple[int, ...]]
"""Axes of one shape and axes of another that hold the same numbers; neither can be split further."""


class Layout:
    """Brings values into the order of axes that is asked for; what was made once is used again."""

    def __init__(self, builder: Builder) -> None:
        self._builder = builder
        self._made: dict[tuple[int, tuple[int, ...]], int] = {}

    def arranged(self, value: Value, axes: tuple[int, ...]) -> Value:
        """The value with its numbers in the order ``axes``: as it is, or behind a RESHAPE or a TRANSPOSE."""
        if value.axes == axes:
            return value
        order = tuple(value.axes.index(axis) for axis in axes)
        key = (value.tensor, order)
        if key not in self._made:
            self._made[key] = self._reordered(value, axes, order)
        return replace(value, tensor=self._made[key], axes=axes)

    def _reordered(self, value: Value, axes: tuple[int, ...], order: tuple[int, ...]) -> int:
        build = self._builder
        if not needs_transpose(value, axes):
            return self.restored(value, value.shape, axes).tensor
        if len(order) > _MOST_AXES:
            raise ModelError(f"it would need a transpose of {len(order)} axes; {_MOST_AXES} are allowed")
        return build.emit("TRANSPOSE", [value, build.integers(order)], value.shape, axes, value.dtype).tensor

    def restored(self, value: Value, shape: tuple[int, ...], axes: tuple[int, ...]) -> Value:
        """The numbers as they lie, as ``shape`` in the order ``axes``: a RESHAPE, or nothing."""
        stored = tuple(shape[axis] for axis in axes)
        if stored == value.stored:
            return replace(value, shape=shape, axes=axes)
        build = self._builder
        inputs: Inputs = [value, build.integers(stored)]
        made = build.emit("RESHAPE", inputs, shape, axes, value.dtype, newShape=np.array(stored, np.int32))
        build.reshaped_from[made.tensor] = (value.tensor, value.stored)
        return made

    def reshaped(self, value: Value, shape: tuple[int, ...], wanted: tuple[int, ...] | None = None) -> Value:
        """ONNX's Reshape: without a TRANSPOSE where the axes that are joined or split lie together in their order.

        Where it needs one, the result's axes come to lie as ``wanted``.
        """
        if value.shape == shape:
            return value
        if value.size != math.prod(shape):
            raise ModelError(f"it makes shape {shape} of {value.shape}, which holds another number of elements")
        blocks = matching_blocks(value.shape, shape)
        value = self.arranged(value, together(value, blocks, wanted or channels_last(len(shape))))
        known = (plain(len(shape)), channels_last(len(shape)))
        return self.restored(value, shape, axes_after(value.axes, blocks, shape, known))

    def flattened_as_it_lies(self, value: Value, shape: tuple[int, int]) -> Value | None:
        """(rows, columns) with the columns as they lie, or None if the rows do not lie outermost.

        The result's ``columns`` say which ONNX column stands at each place.
        """
        if value.shape[0] != shape[0] or value.axes[0] != 0:
            return None
        numbers = np.arange(shape[1]).reshape(value.shape[1:])
        columns: Array = numbers.transpose([axis - 1 for axis in value.axes[1:]]).reshape(-1)
        return replace(self.restored(value, shape, plain(2)), columns=columns)


def needs_transpose(value: Laid, axes: tuple[int, ...]) -> bool:
    """Whether bringing ``value`` into the order ``axes`` moves numbers: axes of size 1 may go anywhere."""
    return _wide(value.axes, value.shape) != _wide(axes, value.shape)


def matching_blocks(before: tuple[int, ...], after: tuple[int, ...]) -> list[Block]:
    """Cut two shapes of equally many elements into the smallest blocks that match; axes of size 1 are left out."""
    left, right = _wide(plain(len(before)), before), _wide(plain(len(after)), after)
    blocks, i, j = [], 0, 0
    while i < len(left):
        start, begin = i, j
        i, j = i + 1, j + 1
        while (a := math.prod(before[k] for k in left[start:i])) != (b := math.prod(after[k] for k in right[begin:j])):
            i, j = (i + 1, j) if a < b else (i, j + 1)
        blocks.append((left[start:i], right[begin:j]))
    return blocks


def together(value: Laid, blocks: list[Block], wanted: tuple[int, ...] = ()) -> tuple[int, ...]:
    """The value's order of axes if in it the axes of every block lie together in ONNX's order, else one in which they do.

    Args:
        value: what is to be reshaped.
        blocks: how its shape matches the new one.
        wanted: in which order the axes of the new shape should lie then.
    """
    wide = _wide(value.axes, value.shape)
    of = {axis: block for block in blocks for axis in block[0]}
    if tuple(axis for block in dict.fromkeys(of[axis] for axis in wide) for axis in block[0]) == wide:
        return value.axes
    ordered = sorted(blocks, key=lambda block: wanted.index(block[1][0]) if wanted else block[0])
    narrow = tuple(axis for axis in value.axes if axis not in of)
    return (*narrow, *(axis for block in ordered for axis in block[0]))


def axes_after(
    axes: tuple[int, ...], blocks: list[Block], shape: tuple[int, ...], known: tuple[tuple[int, ...], ...]
) -> tuple[int, ...]:
    """Where the axes of the reshaped tensor lie; those of size 1 go where one of the ``known`` orders comes of it."""
    of = {axis: block for block in blocks for axis in block[0]}
    order = dict.fromkeys(of[axis] for axis in axes if axis in of)
    wide = tuple(axis for block in order for axis in block[1])
    for one in known:
        if _wide(one, shape) == wide:
            return one
    return (*(axis for axis in plain(len(shape)) if axis not in wide), *wide)


def _wide(axes: tuple[int, ...], shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(axis for axis in axes if shape[axis] != 1)
