"""Operands of several shapes and orders brought to one, as NumPy's broadcasting wants them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from converters.axes import plain
from converters.targets.onnx.call import Call
from converters.targets.onnx.values import NCHW, Constant, Operand, Value


def aligned(call: Call, operands: Sequence[Operand]) -> tuple[list[str], tuple[int, ...], tuple[int, ...]]:
    """The ONNX tensors of operands that broadcast, and the shape and order of what comes of them.

    The largest computed operand stays as it lies, of several an image whose channels stand first, or what lies as the .tflite has
    it; the others follow it.
    """
    shape = np.broadcast_shapes(*(operand.shape for operand in operands))
    rank = len(shape)
    values = [operand for operand in operands if isinstance(operand, Value)]
    leader = max(values, key=lambda value: (value.size, _lies_well(value)), default=None)
    axes = plain(rank) if leader is None else _lifted(leader.axes, rank)
    return [_follow(call, operand, axes) for operand in operands], shape, axes


def _lies_well(value: Value) -> bool:
    return value.axes == NCHW if len(value.shape) == 4 else not value.stored_otherwise


def _lifted(axes: tuple[int, ...], rank: int) -> tuple[int, ...]:
    """The order with axes of size 1 put before it."""
    missing = rank - len(axes)
    return (*range(missing), *(axis + missing for axis in axes))


def _follow(call: Call, operand: Operand, axes: tuple[int, ...]) -> str:
    rank = len(operand.shape)
    if axes == plain(len(axes)) and (isinstance(operand, Constant) or operand.axes == plain(rank)):
        return call.layout.value(operand).name  # ONNX puts the axes of size 1 before it by itself
    if isinstance(operand, Constant):
        return call.layout.laid(Constant(operand.name, operand.values[(None,) * (len(axes) - rank)]), axes)
    full = (*(1,) * (len(axes) - rank), *operand.shape)
    return call.layout.arranged(call.layout.restored(operand, full, _lifted(operand.axes, len(axes))), axes).name


def in_one_order(call: Call, values: Sequence[Value]) -> list[Value]:
    """Values of one rank, all in the order in which most of their numbers lie already."""
    numbers: dict[tuple[int, ...], int] = {}
    for value in values:
        numbers[value.axes] = numbers.get(value.axes, 0) + value.size
    axes = max(numbers, key=lambda order: numbers[order])
    return [call.layout.arranged(value, axes) for value in values]
